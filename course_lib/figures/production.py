"""Figures of more than one machine, and of how much is needed (14)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from course_lib.figures.style import ink_of, legend_key, name_ends, panels, styled
from course_lib.looks import BLACK, BLUE, GREEN, GREY, ORANGE, RED


def divided_tables(share: float = 0.57) -> Figure:
    """A long embedding table and a short one, cut for two ranks table-wise, column-wise and
    row-wise: a panel each. The long one has this `share` of all rows, and is drawn as long.
    """
    figure, axes = panels(3, height=2.9)
    figure.suptitle("Three ways to divide two tables between two ranks", fontsize=12)
    tables = ((1.0, 4.0), (6.0, 4.0 * (1 - share) / share))  # left edge, height: all are four wide
    first, second = (to_rgb(colour) + (0.35,) for colour in (GREEN, RED))
    ways = {
        "table-wise": f"{share:.0%} of the rows on rank 0",
        "column-wise": "exactly half for each rank",
        "row-wise": "even, if IDs are hashed",
    }
    for ax, (way, says) in zip(axes, ways.items(), strict=True):
        ax.axis("off")
        ax.set(xlim=(0, 11), ylim=(-0.8, 4.3))
        ax.set_title(way, fontsize=11, weight="bold")
        ax.text(5.5, -0.55, says, ha="center", va="center", fontsize=10)
        for place, (x, rows) in enumerate(tables):
            boxes = {
                "table-wise": [(x, 4 - rows, 4, rows, place)],
                "column-wise": [(x + 2 * half, 4 - rows, 2, rows, half) for half in (0, 1)],
                "row-wise": [(x, 4 - rows / 2 * (1 + h), 4, rows / 2, h) for h in (0, 1)],
            }[way]
            for left, low, width, height, rank in boxes:
                look = {"facecolor": (first, second)[rank], "edgecolor": BLACK, "lw": 1}
                ax.add_patch(Rectangle((left, low), width, height, **look))
                ax.text(
                    left + width / 2, low + height / 2, f"rank {rank}" if width > 2 else str(rank),
                    ha="center", va="center", fontsize=10,
                )  # fmt: skip
    return figure


def alias_in_time() -> Figure:
    """A new version is published: which collections there are, where the alias leads, and which
    version a reader on another machine asks, from left to right in time.
    """
    figure, axes = _time_line(
        5, "The alias switches in one step; each reader follows a little later"
    )
    names = ["collection items_v1", "collection items_v2", "user tower 2"]
    names += ["the alias items", "a reader elsewhere"]
    bars = [
        (0, 0, 62, BLUE, "serves"),
        (0, 62, 38, GREY, "kept, to go back to"),
        (1, 16, 30, GREY, "is filled"),
        (1, 46, 8, GREY, ""),
        (1, 54, 46, ORANGE, "serves"),
        (2, 46, 54, ORANGE, "on disk"),
        (3, 0, 54, BLUE, "leads to items_v1"),
        (3, 54, 46, ORANGE, "leads to items_v2"),
        (4, 0, 62, BLUE, "user tower 1, asks items_v1"),
        (4, 62, 38, ORANGE, "user tower 2, asks items_v2"),
    ]
    for row, start, width, colour, text in bars:
        _bar(axes, row, start, width, colour, text)
    axes.axvline(54, color=BLACK, lw=1.5, ls="--")
    axes.text(53, -0.72, "the alias switches", ha="right", va="center", fontsize=10)
    axes.axvline(62, color=BLACK, lw=1, ls=":")
    axes.text(63, -0.72, "the reader looks", va="center", fontsize=10)
    axes.set_yticks(range(5), names)
    return figure


def offset_in_time() -> Figure:
    """Three hours, what the broker was told of them, what is left in the trainer's files, and from
    where a new trainer reads.
    """
    figure, axes = _time_line(4, "The files show that hour 3 is missing; the broker cannot know")
    for hour in range(3):
        start = 4 + 32 * hour
        _bar(axes, 0, start, 28, BLUE, f"hour {hour + 1}")
        _bar(axes, 1, start, 28, GREY, "acknowledged")
    for hour in range(2):
        _bar(axes, 2, 4 + 32 * hour, 28, BLUE, f"events, offset {hour + 1}")
        _bar(axes, 3, 4 + 32 * hour, 28, GREY, "replayed from the file")
    lost = {"facecolor": "white", "edgecolor": RED, "ls": "--", "lw": 1.5}
    axes.add_patch(Rectangle((68, 2 - 0.33), 28, 0.66, **lost))
    axes.text(82, 2, "file lost", ha="center", va="center", fontsize=10, color="#a34700")
    _bar(axes, 3, 68, 28, ORANGE, "read again")
    axes.plot([66, 66], [1.6, 3.9], color=BLACK, lw=1.5, ls="--")
    axes.text(
        65, 3.72, "the files reach offset 2 without a gap", ha="right", va="center", fontsize=10
    )
    axes.text(67, 3.72, "so read on from here", va="center", fontsize=10)
    axes.set(ylim=(4, -0.6), xlabel="")
    names = ["the broker's stream", "what it was told", "the trainer's files", "a new trainer"]
    axes.set_yticks(range(4), names)
    return figure


def _time_line(rows: int, title: str) -> tuple[Figure, object]:
    """Empty axes for `_bar`, a row for each thing, with time from left to right."""
    figure, (axes,) = panels(height=0.55 * rows + 1)
    axes.set(xlim=(0, 100), ylim=(rows - 0.4, -1), xticks=[])
    axes.set_title(title, fontsize=12)
    axes.set_xlabel("time →", loc="right")
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _bar(axes, row: int, start: float, width: float, colour: str, text: str) -> None:
    look = {"facecolor": to_rgb(colour) + (0.3,), "edgecolor": colour}
    axes.add_patch(Rectangle((start, row - 0.33), width, 0.66, **look))
    axes.text(start + width / 2, row, text, ha="center", va="center", fontsize=10)


def capacity(
    table: pd.DataFrame,
    title: str = "",
    labels: dict[str, list[str]] | None = None,
    within: dict[str, list[tuple[float, float]]] | None = None,
) -> Figure:
    """A panel for each column of the table, a dot for each index kind, on logarithmic axes, with
    the numbers in a column at its right, to two digits: estimates have no more.

    `labels`: by column, what stands there instead. `within`: by column, the least and most that
    each value may be: a pale bar.
    """
    figure, axes = panels(len(table.columns), height=0.42 * len(table) + 1.5, of=table, sharey=True)
    figure.get_layout_engine().set(wspace=0.06)
    if title:
        figure.suptitle(title, fontsize=12)
    for ax, (name, values) in zip(axes, table.items(), strict=True):
        bars = (within or {}).get(name, [(value, value) for value in values])
        texts = (labels or {}).get(name) or [
            f"{float(f'{value:.2g}'):,.{0 if value >= 1 else 2}f}" for value in values
        ]
        for row, (value, (low, high), text) in enumerate(zip(values, bars, texts, strict=True)):
            ax.barh(row, high - low, 0.42, low, color=BLUE, alpha=0.2)
            ax.plot(value, row, "o", color=BLUE, ms=9)
            look = {"transform": ax.get_yaxis_transform(), "va": "center"}
            ax.text(1.02, row, text, **look)
        low, high = np.min(bars), np.max(bars)
        start = min(1.0, 10.0 ** np.floor(np.log10(low)))
        ax.set(xscale="log", xlim=(start, 2 * max(high, 10 * start)))
        ax.set_title(name, fontsize=10.5)
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_yticks(range(len(table)), table.index)
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    return figure


def wedge(
    x: np.ndarray,
    level: float,
    bounds: tuple[np.ndarray, np.ndarray],
    here: tuple[float, str],
    names: tuple[str, str],
    xlabel: str,
    ylabel: str,
    title: str,
) -> Figure:
    """What two ways cost over `x` [n]: the first the same everywhere, the second between two
    rising `bounds`, [n] each. Dots mark where they cross, and a line the x of `here`, with its
    name.
    """
    figure, (axes,) = panels(height=3.6, width=8, of=x)
    axes.fill_between(x, *bounds, color=BLUE, alpha=0.2, lw=0)
    for way, side in zip(bounds, ("at least", "at most"), strict=True):
        axes.plot(x, way, color=BLUE, lw=1.5)
        cross = np.interp(level, way, x)
        axes.plot(cross, level, "o", color=RED, ms=7, zorder=4)
        look = {"textcoords": "offset points", "color": ink_of(RED), "fontsize": 10}
        shift, ha = ((-8, 7), "right") if side == "at most" else ((6, -15), "left")
        axes.annotate(f"{cross:.0f}", (cross, level), shift, ha=ha, **look)
    axes.axhline(level, color=RED, lw=2)
    top = 2.2 * level
    start, end = x[0] + 0.02 * np.ptp(x), np.interp(0.75 * top, bounds[1], x)
    axes.text(start, level - 0.02 * top, names[0], color=ink_of(RED), va="top")
    look = {"color": ink_of(BLUE), "va": "center"}
    axes.text(end + 0.05 * np.ptp(x), 0.7 * top, names[1], **look)
    axes.text(end, 0.75 * top, "at most  ", ha="right", **look)
    axes.text(x[-1], 0.88 * bounds[0][-1], "at least  ", ha="right", **look)
    axes.axvline(here[0], color=GREY, ls="--", lw=1)
    axes.text(here[0] + 0.6, 0.02 * top, f"{here[1]}: {here[0]:.0f}", color="#666666", va="bottom")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(x[0], x[-1]), ylim=(0, top))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def forecasts(
    sheets: dict[str, dict[str, tuple[pd.Series, pd.Series]]], xlabel: str, title: str
) -> Figure:
    """Curves through all measured sizes but the last, on logarithmic axes, a panel for each sheet.

    `sheets`: by panel (its name is the y label) and name, what was measured and the curve, both
    with sizes as index. The last measured size is hollow, and at the right stands how many times
    the curve's value it is.
    """
    figure, axes = panels(len(sheets), height=3.7, of=sheets)
    figure.suptitle(title, fontsize=12)
    figure.get_layout_engine().set(wspace=0.05)
    for ax, (name, lines) in zip(axes, sheets.items(), strict=True):
        ends = {}
        for kind, (measured, curve), look in styled(lines.items()):
            colour = look.colour
            last, value = measured.index[-1], measured.iloc[-1]
            ax.plot(curve, color=colour, lw=1.8)
            ax.plot(measured.iloc[:-1], "o", color=colour, ms=7)
            ax.plot([last, last], [curve[last], value], ":", color=colour, lw=1.5)
            ax.plot(last, value, "D", color=colour, mfc="white", mew=2, ms=7)
            ends[f"{kind}: ×{value / curve[last]:.1f}"] = value, ink_of(colour)
        ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=name)
        name_ends(ax, ends)
    keys = [
        legend_key("measured, and the curve goes through it", "o", BLACK),
        legend_key("measured; how many times what the curve says", "D", BLACK, "white"),
    ]
    figure.legend(handles=keys, loc="outside lower center", frameon=False, fontsize=9, ncols=2)
    return figure


def parts_and_copies() -> Figure:
    """Two parts of an index side by side, their copies below each other, and a request between
    them that asks one copy of each part at once.
    """
    copies = 4
    figure, (axes,) = panels(height=0.55 * copies + 1.9, width=8)
    axes.axis("off")
    words = {"ha": "center", "va": "center", "fontsize": 10}
    arrow = {"arrowstyle": "-|>", "color": RED, "lw": 2}
    for part, (left, asked) in enumerate(((0, 0), (4.4, 2)), 1):
        for copy in range(copies):
            alpha = 0.5 if copy == asked else 0.18
            axes.add_patch(Rectangle((left, copy), 1.9, 0.7, color=BLUE, alpha=alpha))
            axes.text(left + 0.95, copy + 0.35, f"part {part}, copy {copy + 1}", **words)
        side, y = (1.9, 4.4)[part - 1], asked + 0.35
        toward = (-0.25, 0.25)[part - 1]
        axes.annotate("", (side, y - 0.08), (3.15 + toward, -0.45), arrowprops=arrow)
        axes.annotate("", (3.15 + toward, copies - 0.45), (side, y + 0.08), arrowprops=arrow)
    axes.text(3.15, -0.7, "a request", color="#A04000", **words)
    axes.text(3.15, copies - 0.15, "merged: the best items", color="#A04000", **words)
    edge = {"arrowstyle": "<->", "color": "#555555"}
    axes.annotate("", (0, copies + 0.35), (6.3, copies + 0.35), arrowprops=edge)
    axes.text(3.15, copies + 0.7, "parts: as many as the bytes ask for", **words)
    axes.annotate("", (6.6, 0), (6.6, copies - 0.3), arrowprops=edge)
    middle = (copies - 0.3) / 2
    axes.text(6.8, middle, "copies: as many as\nthe requests ask for", va="center", fontsize=10)
    axes.set(xlim=(-0.3, 9.2), ylim=(copies + 1, -1.1))
    axes.set_title("A request asks one copy of every part, all at once", fontsize=12)
    return figure
