"""Figures of full and incremental updates (04 to 06)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from course_lib.figures.style import ink_of, name_ends, panels, styled
from course_lib.looks import BLUE, GREY, ORANGE, RED


def copied_and_split(checked: bool = False) -> Figure:
    """What every process has whole, what is divided among processes, the tool that joins the parts,
    and what it promises to keep the same: a row for each part. `checked`: with how far chapter 14
    has checked that, in place of the tool.
    """
    figure, (axes,) = panels(height=3.3)
    axes.axis("off")
    axes.set(xlim=(0, 100), ylim=(-0.9, 4.7))
    title = "What is small is copied, and what is large is divided"
    if checked:
        title = "How far one machine could check the promises"
    axes.set_title(title, fontsize=12)
    rows = [
        ("towers", "a copy", "a copy", "DDP", "equal parameters", "✓ after one day"),
        ("a batch's events", "one half", "other half", "gathered vectors", "the same loss",
         "✓ seven steps of a day"),
        ("small tables", "a copy", "a copy", "GatheredAdagrad", "equal rows", "✓ after one day"),
        ("large tables", "one half", "other half", "TorchRec", "the same loss",
         "✓ table-wise: seven steps\n✗ column-wise: 0.006 apart"),
    ]  # fmt: skip
    columns = {0: "what there is", 19: "rank 0", 33: "rank 1"}
    columns |= (
        {49: "should hold", 74: "checked here"} if checked else {49: "joined by", 74: "should hold"}
    )
    for x, title in columns.items():
        axes.text(x, 4.2, title, fontsize=10, weight="bold")
    for y, (part, first, second, tool, promise, check) in enumerate(reversed(rows)):
        shown = (part, promise, check) if checked else (part, tool, promise)
        for x, text in zip((0, 49, 74), shown, strict=True):
            lines = text.split("\n")
            for line, up in zip(lines, (0.6, 0.1) if len(lines) == 2 else (0.35,), strict=True):
                ink = {"✓": "#00664b", "✗": "#a34700"}.get(line[0], "black")
                axes.text(x, y + up, line, fontsize=10, va="center", color=ink)
        colour = BLUE if first == second else ORANGE
        for x, text in ((19, first), (33, second)):
            look = {"facecolor": colour, "edgecolor": colour, "alpha": 0.25}
            axes.add_patch(Rectangle((x, y), 12, 0.7, **look))
            axes.text(x + 6, y + 0.35, text, fontsize=10, ha="center", va="center")
    for x, colour, text in ((19, BLUE, "a copy each"), (33, ORANGE, "divided")):
        axes.add_patch(Rectangle((x, -0.75), 2, 0.4, facecolor=colour, alpha=0.4))
        axes.text(x + 3, -0.55, text, fontsize=9.5, va="center")
    if checked:
        axes.text(74, -0.55, "✓ kept   ✗ not kept", fontsize=9.5, va="center")
    return figure


def shares(
    values: dict[str, np.ndarray],
    xlabel: str,
    of: str,
    title: str,
    top: float | None = None,
    unit: str = "",
) -> Figure:
    """How two or three sets of values are spread, each as shares of its own, so that a small set
    shows beside a large one; named at its median. The last bin, up to `top`, holds all larger
    values, too. `of`: what is counted; `unit`: of the values, behind a median.
    """
    figure, (axes,) = panels(height=3.6, of=values)
    looks = list(styled(values.items()))
    top = top or max(np.quantile(part, 0.985) for _, part, _ in looks)
    edges = np.linspace(min(0, *(np.min(part) for _, part, _ in looks)), top, 31)
    peak = 0
    for _, part, look in looks:
        weights = np.full(len(part), 100 / len(part))
        drawn = {"color": look.colour, "weights": weights}
        heights, _, _ = axes.hist(np.minimum(part, top), edges, alpha=0.35, **drawn)
        axes.hist(np.minimum(part, top), edges, histtype="step", lw=1.6, ls=look.dashes, **drawn)
        peak = max(peak, heights.max())
    for row, (name, part, look) in enumerate(sorted(looks, key=lambda each: np.median(each[1]))):
        median, height = np.median(part), peak * (1.12 - 0.3 * row)
        axes.plot([median, median], [0, height], color=look.colour, lw=2)
        text = f" {name}: half of them by less than {median:.1f}{unit}"
        ink = ink_of(look.colour)
        axes.text(median, height, text, color=ink, va="top", weight="bold", fontsize=10)
    axes.set(xlabel=f"{xlabel}; the last bin holds {top:.3g} and more", title=title)
    axes.set(ylabel=f"share of the {of} (%)", ylim=(0, 1.15 * peak))
    return figure


def embedding_rows(
    values: dict[str, str], indices: np.ndarray, rows: list[str], table: np.ndarray
) -> Figure:
    """An embedding table as strips of numbers, and which of its rows each value looks up.

    - `values`: [n] what is looked up, by item; `indices`: [n] their rows. `rows`: [r] what the
      table's rows stand for; `table`: [r, d].
    """
    most = max(len(values), len(rows))
    figure, (axes,) = panels(height=0.42 * most + 1.1, of=values)
    axes.axis("off")
    axes.set(xlim=(0, 100.5), ylim=(most + 0.2, -1.2))
    for x, title in (
        (9, "item and value"),
        (26, "index"),
        (72, f"embedding table: {table.shape[1]} numbers for each index"),
    ):
        axes.text(x, -0.8, title, ha="center", va="center", fontsize=10, weight="bold")
    limit, arrow = np.abs(table).max(), {"arrowstyle": "->", "color": "#333333", "lw": 1.2}
    for y, (name, row) in enumerate(zip(rows, table, strict=True)):
        axes.text(43, y, f"{y}: {name}", va="center", fontsize=10)
        look = {"cmap": "PuOr", "aspect": "auto", "vmin": -limit, "vmax": limit}
        axes.imshow(np.asarray(row)[None], extent=(54, 100, y + 0.36, y - 0.36), **look)
        axes.add_patch(Rectangle((42, y - 0.36), 58, 0.72, fill=False, edgecolor=GREY, lw=1))
    for y, ((item, value), index) in enumerate(zip(values.items(), indices, strict=True)):
        axes.text(9, y, f"{item}: {value}", ha="center", va="center", fontsize=10)
        axes.text(26, y, f"{index}", ha="center", va="center", fontsize=10)
        axes.annotate("", (23.5, y), (17, y), arrowprops=arrow)
        axes.annotate("", (41.6, index), (28.5, y), arrowprops=arrow)
    axes.imshow(
        limit * np.linspace(-1, 1, 60)[None], extent=(70, 84, most - 0.15, most - 0.45), **look
    )
    for x, text, side in ((69, "below 0", "right"), (85, "above 0", "left")):
        axes.text(x, most - 0.3, text, ha=side, va="center", fontsize=9)
    return figure


def delta_rows(base: np.ndarray, ids: np.ndarray, own: np.ndarray) -> Figure:
    """A delta table as boxes, a row for each ID: what is shared, what it owns, what is read.

    - `base`: [r, d], of which row 0 is the default. `ids`: [t], rising, some of them beyond the
      base's end; `own`: [t, d].
    """
    of = dict(zip(np.asarray(ids).tolist(), np.asarray(own), strict=True))
    rows = sorted({*range(len(base)), *of})
    figure, (axes,) = panels(height=0.4 * len(rows) + 1.1, of=base)
    axes.axis("off")
    axes.set(xlim=(-16, 100), ylim=(len(rows) + 0.3, -1.2))
    titles = (
        "shared table\n(only read)",
        "delta table\n(its own rows)",
        "what is read\nthrough it",
    )
    for x, title in zip((0, 38, 76), titles, strict=True):
        axes.text(x + 11, -0.55, title, ha="center", va="center", fontsize=9, weight="bold")
    for y, row in enumerate(rows):
        name = f"ID {row}" if row else "ID 0, the default"
        axes.text(-2, y + 0.4, name, ha="right", va="center", fontsize=9)
        shared = base[row] if row < len(base) else None
        read = of.get(row, shared)
        for x, values, colour in (
            (0, shared, BLUE),
            (38, of.get(row), ORANGE),
            (76, read, ORANGE if row in of else BLUE),
        ):
            if values is not None:
                alpha = 0.8 if colour == ORANGE else 0.3
                axes.add_patch(Rectangle((x, y), 22, 0.8, facecolor=colour, alpha=alpha))
                text = "   ".join(f"{value:+.2f}".replace("-", "−") for value in values)
                axes.text(x + 11, y + 0.4, text, ha="center", va="center", fontsize=9)
        arrow = {"arrowstyle": "->", "color": "#333333", "lw": 1}
        if row in of:
            copied = y + 0.4 if row < len(base) else 0.4
            axes.annotate("", (37.5, y + 0.4), (22.5, copied), arrowprops=arrow | {"ls": "--"})
        start = 60.5 if row in of else 22.5
        axes.annotate("", (75.5, y + 0.4), (start, y + 0.4), arrowprops=arrow)
    if of:  # above the dashed arrows
        words = {"ha": "center", "va": "center", "fontsize": 9, "style": "italic"}
        axes.text(30, -0.55, "each starts\nas a copy", **words)
    return figure


def matched_and_mixed(
    found: dict[str, tuple[float, float, object]], chance: float, xlabel: str, title: str
) -> Figure:
    """What a matched pair finds (a ring) and a mixed one (a dot), a row for each name, with their
    `Difference` at the right; a dashed line at what chance finds.
    """
    figure, (axes,) = panels(height=0.5 * len(found) + 1.6, of=found)
    for row, (matched, mixed, difference) in enumerate(found.values()):
        axes.plot([mixed, matched], [row, row], color=GREY, lw=2, zorder=1)
        axes.plot(matched, row, "o", color=BLUE, mfc="none", mew=2, ms=13)
        axes.plot(mixed, row, "o", color=RED, ms=7)
        mean, low, high = difference.mean, difference.low, difference.high
        text = f"{mean:+.3f}  [{low:+.3f}, {high:+.3f}]".replace("-", "−")
        axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
    head = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9.5}
    axes.text(1.01, -0.62, "mixed less matched", weight="bold", **head)
    most = max(max(pair[:2]) for pair in found.values())
    last = len(found) - 1
    for value, name, colour in zip(
        [*found.values()][-1], ("matched pair", "mixed pair"), (BLUE, RED), strict=False
    ):
        box = {"facecolor": "white", "lw": 0, "pad": 1}
        drawn = {"color": ink_of(colour), "ha": "center", "fontsize": 10, "bbox": box}
        axes.text(max(value, 0.11 * most), last + 0.52, name, **drawn)
    axes.axvline(chance, color="#555555", ls="--", lw=1.2)
    text = f"100 at random: {chance:.3f}"
    axes.text(chance + 0.004, -0.62, text, fontsize=9.5, color="#555555", va="center")
    axes.set_yticks(range(len(found)), found)
    axes.set(xlim=(0, 1.1 * most), ylim=(last + 0.9, -0.95), xlabel=xlabel, title=title)
    axes.grid(visible=False, axis="y")
    return figure


def over(
    x: np.ndarray,
    values: dict[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    title: str,
    ylim: tuple[float | None, float | None] = (None, None),
    marks: dict[str, np.ndarray] | None = None,
    bands: dict[str, tuple[float, float]] | None = None,
) -> Figure:
    """A few lines over the same positions, each with its name beside it, and with markers if there
    are at most 50 positions; dates are shown as months. Of several runs, [runs, positions], the
    line is the mean, and each run has a faint dot.

    - `marks`: positions of what happens, by what it is called, as triangles at the bottom.
    - `bands`: parts of the positions, from and to, that are shaded and named at the top.
    """
    figure, (axes,) = panels(height=3.3, of=values)
    for name, (start, end) in (bands or {}).items():
        axes.axvspan(start, end, color=GREY, alpha=0.15, lw=0)
        top = axes.get_xaxis_transform()
        axes.text((start + end) / 2, 0.93, name, transform=top, ha="center", va="top")
    named = {}
    for name, line, look in styled(values.items()):
        if np.ndim(line) == 2:
            faint = {"color": look.colour, "ms": 5, "alpha": 0.35, "mec": "none"}
            axes.plot(np.tile(x, len(line)), np.ravel(line), "o", **faint)
            line = np.mean(line, axis=0)
        marker = look.marker if len(line) <= 50 else ""
        drawn = {"color": look.colour, "marker": marker, "ls": look.dashes, "lw": 2}
        (drawn_line,) = axes.plot(x, line, ms=6, label=name, **drawn)
        ends = drawn_line.get_ydata()
        named[name] = ends[np.isfinite(ends)], ink_of(look.colour)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    for name, places in (marks or {}).items():
        bottom = axes.get_xaxis_transform()
        axes.plot(places, [0.05] * len(places), "k^", ms=7, transform=bottom)
        axes.text(places[0], 0.11, name, transform=bottom, fontsize=9.5)
    if all(np.issubdtype(np.asarray(line).dtype, np.integer) for line in values.values()):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)
    axes.set_ylim(*ylim)
    if np.issubdtype(np.asarray(x).dtype, np.datetime64):
        axes.xaxis.set_major_formatter(DateFormatter("%b"))
    axes.margins(x=0.02)
    name_ends(axes, {name: (y[-1], ink) for name, (y, ink) in named.items() if len(y)})
    return figure


def beside_diagonal(x: np.ndarray, y: np.ndarray, xlabel: str, ylabel: str, title: str) -> Figure:
    """What the same things have by two measures: a dot each [n], on one scale in both directions,
    and the dashed line on which both would be equal.
    """
    figure, (axes,) = panels(height=3.8, of=x)
    axes.plot(x, y, "o", color=BLUE, ms=5, alpha=0.5, mec="none")
    wide, high = 1.04 * np.max(x), max(1.25 * np.max(y), 0.42 * np.max(x))
    axes.plot([0, high], [0, high], color="#555555", ls="--", lw=1.2)
    axes.set(xlim=(0, wide), ylim=(0, high), xlabel=xlabel, ylabel=ylabel, title=title)
    axes.set_aspect("equal")
    words = {"color": "#555555", "fontsize": 9.5, "va": "center"}
    axes.text(0.9 * high, 0.86 * high, " on this line, both would be equal", **words)
    return figure


def marked_days(days: dict[str, pd.DatetimeIndex], until: pd.Timestamp, title: str) -> Figure:
    """A row of marks for each entry, one for each of its days, with their number at the end."""
    figure, (axes,) = panels(height=2.6, of=days)
    for row, marked in enumerate(days.values()):
        axes.vlines(marked, row - 0.3, row + 0.3, color=BLUE, lw=1.5)
        axes.text(
            1.01, row, f"{len(marked)} times", va="center", transform=axes.get_yaxis_transform()
        )
    axes.set_yticks(range(len(days)), days)
    axes.set(ylim=(len(days) - 0.4, -0.6), title=title)
    axes.set_xlim(min(min(marked) for marked in days.values()), until)
    axes.xaxis.set_major_formatter(DateFormatter("%-d %b"))
    axes.grid(axis="y", visible=False)
    return figure


def night_line() -> Figure:
    """Two nights on a time line: each learns from the whole day before it, and publishes a version,
    by which requests are answered until the next.
    """
    figure, (axes,) = panels(height=3.6)
    title = "Every night learns from the day before, and publishes one whole version"
    axes.set(xlim=(-15, 34), ylim=(-0.6, 3.6), xlabel="time of day", title=title)
    ticks = {-12: "12:00", 0: "0:00", 12: "12:00", 24: "0:00"}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_yticks(range(4), ["requests are\nanswered by", "published", "learned", "events"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    words = {"fontsize": 9.5, "va": "center"}
    arrow = {"arrowstyle": "->", "color": "#333333"}
    days = ("yesterday's events", -15, 0), ("today's events", 0, 24), ("", 24, 34)
    bands = ("last night's version", -15, 2), ("tonight's version", 2, 26), ("the next", 26, 34)
    for (day, start, end), (version, since, until) in zip(days, bands, strict=True):
        axes.barh(3, end - start - 0.3, 0.45, start + 0.15, color=GREY, alpha=0.4)
        axes.text((start + end) / 2, 3, day, ha="center", **words)
        tint = BLUE if since > 0 else "#999999"
        axes.barh(0, until - since - 0.15, 0.5, since, color=tint)
        axes.text((since + until) / 2, 0, version, color="white", ha="center", **words)
    for midnight in (0, 24):
        axes.axvline(midnight, color=GREY, lw=0.8, ls=":", zorder=0)
        axes.annotate("", (midnight + 0.8, 2.28), (midnight - 1.5, 2.74), arrowprops=arrow)
        axes.barh(2, 1.6, 0.45, midnight + 0.2, color=BLUE)
        axes.text(midnight + 2.2, 2, "all parameters", color=BLUE, **words)
        axes.annotate("", (midnight + 2, 1.2), (midnight + 1.7, 1.75), arrowprops=arrow)
        axes.plot(midnight + 2, 1, "o", color=BLUE, ms=13)
        axes.annotate("", (midnight + 2, 0.28), (midnight + 2, 0.8), arrowprops=arrow)
    axes.text(3, 1, "every item's vector, the user network", color=BLUE, **words)
    return figure
