"""Figures of the towers, their loss and its negatives (00, 02)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import NullLocator

from course_lib.figures.style import (
    ink_of,
    keys_outside,
    legend_below,
    legend_key,
    name_ends,
    panels,
    styled,
)
from course_lib.looks import BLACK, BLUE, GREEN, GREY, ORANGE, RED


def pipeline() -> Figure:
    """The whole course in one picture: log → towers → index → nominations."""
    figure, (axes,) = panels(height=3.6)
    axes.axis("off")
    axes.set(xlim=(-1, 103), ylim=(-6, 35))
    boxes = [
        (0, 12, "LOG", "who bought what,\nwhen, and what each\nitem and user is", GREY),
        (34, 24, "ITEM TOWER", "an item's features\n→ 64 numbers", BLUE),
        (34, 0, "USER TOWER", "a user's country\nand purchases\n→ 64 numbers", ORANGE),
        (61, 12, "VECTOR INDEX", "64 numbers\nfor every item", BLUE),
        (
            84,
            12,
            "NOMINATIONS",
            "the k items that point\nmost nearly where\nthe user points",
            GREEN,
        ),
    ]
    for x, y, name, text, colour in boxes:
        look = {"facecolor": colour, "edgecolor": colour, "alpha": 0.2}
        axes.add_patch(FancyBboxPatch((x, y), 18, 10, boxstyle="round,pad=0.3", **look))
        axes.text(x + 9, y + 9.2, name, ha="center", va="top", fontsize=10, weight="bold")
        axes.text(x + 9, y + 4.2, text, ha="center", va="center", fontsize=9.5)
    night, now = BLUE, "#B35C00"
    arrows = [
        ((16, 22.6), (33.4, 29.5), "item features", (21, 28.5), night),
        ((16, 11.4), (33.4, 4.5), "user features", (19.5, 4), now),
        ((52.6, 29.5), (68, 22.8), "stored", (64, 27.5), night),
        ((52.6, 4.5), (68, 11.2), "the query", (65, 5.2), now),
        ((79.6, 17), (83.4, 17), "", (0, 0), now),
    ]
    look = {"arrowstyle": "->", "lw": 2}
    for start, end, text, place, colour in arrows:
        axes.annotate("", end, start, arrowprops=look | {"color": colour})
        axes.text(*place, text, fontsize=9.5, ha="center", style="italic")
    axes.plot([18.6, 43], [17, 17], color=night, lw=1.5, ls="--")
    for end in (23.4, 10.6):
        dashed = look | {"lw": 1.5, "ls": "--", "color": night}
        axes.annotate("", (43, end), (43, 17), arrowprops=dashed)
    axes.text(31, 18, "both learn", fontsize=9.5, ha="center", style="italic")
    for y, text, colour, dashes in (
        (-0.4, "every night: training", night, "--"),
        (-3, "every night: all items' vectors", night, "-"),
        (-5.6, "while somebody waits: one user", now, "-"),
    ):
        axes.plot([61, 64.5], [y + 0.7, y + 0.7], color=colour, lw=2, ls=dashes)
        axes.text(66, y, text, fontsize=9.5, color=colour)
    return figure


def nominated_scores(
    scores: np.ndarray, later: dict[str, float], k: int, user: str = "the user"
) -> Figure:
    """A histogram of one user's scores of all items, a line at the k-th, and beneath it what the
    user bought later: filled and named right of the line, hollow left of it.

    - `scores`: [n], falling. `later`: the score of each item bought later, by its description.
    """
    figure, (axes,) = panels(height=4.4, of=scores)
    heights, edges, bars = axes.hist(scores, 50, color="#BBBBBB", edgecolor="white", lw=0.5)
    last, top = scores[min(k, len(scores)) - 1], heights.max()
    found = {name: score for name, score in later.items() if score >= last}
    missed = [score for score in later.values() if score < last]
    axes.axvline(last, color=BLUE, lw=2)
    axes.text(last + 0.008, 1.02 * top, f"the first {k}", color=BLUE, weight="bold", va="center")
    axes.text(last - 0.008, 1.02 * top, "all other items", ha="right", va="center", color="#555555")
    rows = -top * (0.06 + 0.055 * (np.arange(len(missed)) % 3))  # so that none hides another
    axes.plot(sorted(missed), rows, "o", mfc="white", mec=RED, ms=7, mew=1.5)
    left, look = min(scores[-1], 0), {"y": -0.115 * top, "va": "center", "weight": "bold"}
    if missed:
        text = f"missed ({len(missed)})"
        axes.text(left - 0.025, s=text, color=RED, **look | {"y": -0.165 * top})
    if found:
        text = f"found ({len(found)})"
        axes.text(max(found.values()) + 0.02, s=text, color="#00664B", **look)
    step = 0.8 / max(len(found), 5)
    for row, (name, score) in enumerate(sorted(found.items(), key=lambda each: -each[1])):
        y, at = (0.14 + step * row) * top, -top * (0.06 + 0.055 * (row % 3))
        axes.plot([score, score], [at, y], color=GREY, lw=0.7, zorder=1.5)
        axes.plot(score, at, "o", color=GREEN, mec="white", ms=9)
        axes.text(score + 0.008, y, name.capitalize(), color="#00664B", fontsize=9.5, va="center")
    axes.axhline(0, color=BLACK, lw=0.8)
    axes.text(left - 0.025, -0.07 * top, "bought later:", va="center", fontsize=9.5)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])
    axes.set(xlabel="score: the cosine of the item's vector and the user's (1: same direction)")
    axes.set(ylabel="items", ylim=(-0.22 * top, 1.1 * top), xlim=(left - 0.03, 1))
    axes.set_title(f"What {user} bought later: {len(found)} found, {len(missed)} missed")
    return figure


def towers(
    rows: dict[str, dict[str, np.ndarray]],
    vectors: dict[str, np.ndarray],
    values: dict[str, pd.Series] | None = None,
) -> Figure:
    """Both towers field by field, from left to right: each looked-up row as a strip of its numbers
    and a bar of its length, the sum of a tower's rows, the unit vector that its network makes of
    the sum, and the score.

    - `rows`: of each tower, [d] by field. `vectors`: of each tower, [d], length 1.
    - `values`: of each tower, what was looked up, by field; None is "unknown".
    """
    count = sum(map(len, rows.values())) + 2 * len(rows)
    figure, (axes,) = panels(height=0.29 * count + 0.7, of=rows)
    axes.axis("off")
    small = {"fontsize": 9, "va": "center"}
    arrow = {"arrowstyle": "->", "color": "#333333", "lw": 1.2}
    top, middles = 0.0, []
    longest = max(np.linalg.norm(row) for tower in rows.values() for row in tower.values())
    for (title, looked_up), colour in zip(rows.items(), (BLUE, ORANGE), strict=True):
        last = top + len(looked_up) - 1
        middle = (top + last) / 2
        tint = {"facecolor": colour, "alpha": 0.1, "lw": 0, "boxstyle": "round,pad=0.3"}
        axes.add_patch(FancyBboxPatch((0.5, top - 1.4), 98.5, last - top + 2, **tint))
        axes.text(1, top - 1.05, title, fontsize=11, weight="bold", va="center")
        for place, (name, row) in enumerate(looked_up.items()):
            known = (values or {}).get(title, {})
            value = (known[name] or "unknown") if name in known else ""
            value = " ".join(value) if isinstance(value, list) else value
            axes.text(24, top + place, f"{name} {value}".strip(), ha="right", **small)
            length = np.linalg.norm(row)
            _strip(axes, row, top + place, 25, 40)
            bar = {"facecolor": GREY, "lw": 0}
            axes.add_patch(Rectangle((41, top + place - 0.2), 6 * length / longest, 0.4, **bar))
            axes.text(41.8 + 6 * length / longest, top + place, f"{length:.1f}", **small)
        axes.plot([52, 52.8, 52.8, 52], [top - 0.3, top - 0.3, last + 0.3, last + 0.3], color=GREY)
        whole, unit = sum(looked_up.values()), vectors[title]
        for x, name, row in ((56, "sum", whole), (86, "unit vector", unit)):
            _strip(axes, row, middle, x, x + 12)
            axes.text(x + 6, middle - 0.8, name, ha="center", **small)
            length = f"length {np.linalg.norm(row):.1f}"
            axes.text(x + 6, middle + 0.8, length, ha="center", **small)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": GREY}
        text = "network\n+ shortcut,\n÷ length"
        axes.text(77, middle, text, ha="center", bbox=box, **small)
        for start, end in ((53.2, 55.6), (68.4, 71), (83, 85.6)):
            axes.annotate("", (end, middle), (start, middle), arrowprops=arrow)
        middles.append(middle)
        top = last + 2.8
    one, other = (np.asarray(vector, dtype=float) for vector in vectors.values())
    meet = len(next(iter(rows.values())))  # between the towers
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": GREEN, "lw": 2}
    text = f"score = {one @ other:.3f}".replace("-", "−")
    axes.text(92, meet, text, ha="center", va="center", fontsize=10.5, weight="bold", bbox=box)
    for middle, way in zip(middles, (1, -1), strict=True):
        start, end = (92, middle + 1.2 * way), (92, meet - 0.6 * way)
        axes.annotate("", end, start, arrowprops=arrow | {"lw": 1.6})
    axes.text(32.5, -1.05, "its 64 numbers", ha="center", color="#555555", **small)
    axes.text(41, -1.05, "its length", color="#555555", **small)
    text = "purple: above 0, orange: below 0; the colours of every strip have a scale of their own"
    axes.text(25, top - 1.55, text, color="#555555", **small)
    axes.set(xlim=(0, 100), ylim=(top - 1.1, -1.8))
    axes.set_title("Each tower adds up its fields; the two meet only in the score")
    return figure


def _strip(axes, values: np.ndarray, y: float, left: float, right: float) -> None:
    """A row of numbers as colours around 0, on a scale of its own."""
    values = np.asarray(values)
    limit = np.abs(values).max() or 1
    look = {"cmap": "PuOr", "aspect": "auto", "vmin": -limit, "vmax": limit}
    look |= {"zorder": 2}  # above a tower's tint, which would change the colours
    axes.imshow(values[None], extent=(left, right, y + 0.36, y - 0.36), **look)


def estimates(
    sheets: dict[str, dict[str, np.ndarray]], truth: float, xlabel: str, title: str
) -> Figure:
    """Histograms of a few estimators over one another, a row for each sheet, such as a sample size,
    with a triangle at each mean and a line through all rows at what they estimate; the largest in
    a thousand are left out.
    """
    of = min(sheets.values(), key=len, default=())
    size = {"height": 1.1 * len(sheets) + 1.5, "rows": len(sheets) or 1}
    figure, axes = panels(**size, of=of, sharex=True)
    every = np.concatenate([found for values in sheets.values() for found in values.values()])
    edges = np.linspace(every.min(), np.quantile(every, 0.999), 61)
    keys = []
    for ax, (sheet, values) in zip(axes, sheets.items(), strict=True):
        keys = []
        for name, found, look in styled(values.items()):
            ax.hist(found, edges, color=look.colour, alpha=0.65)
            at = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 5}
            ax.plot(np.mean(found), -0.09, "^", color=ink_of(look.colour), ms=10, **at)
            keys.append(legend_key(name, "s", look.colour))
        ax.axvline(truth, color="black", lw=2)
        ax.set_ylabel(sheet, rotation=0, ha="right", va="center", fontsize=11)
        ax.set(yticks=[])
    above = {"transform": axes[0].get_xaxis_transform(), "ha": "center", "va": "bottom"}
    axes[0].text(truth, 1.02, f"the true sum, {truth:.1f}", **above)
    axes[0].set_title(title, pad=24)
    for ax in axes:
        ax.tick_params(length=0, pad=10)
    axes[-1].set_xlabel(xlabel)
    keys_outside(figure, [*keys, legend_key("mean", "^", "#555555")], len(keys) + 1)
    return figure


def curves(
    lines: dict[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    title: str,
    start: int = 1,
    bottom: float | None = None,
) -> Figure:
    """A few lines from the position `start` on, each with its own dash pattern and its name at its
    end; the axis begins at `bottom`, if that is given.
    """
    figure, (axes,) = panels(height=3.2, of=lines)
    ends = {}
    for name, values, look in styled(lines.items()):
        where = np.arange(start, start + len(values))
        axes.plot(where, values, color=look.colour, ls=look.dashes, lw=2)
        ends[name] = values[-1], ink_of(look.colour)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.margins(x=0.01)
    axes.set_ylim(bottom=bottom)
    name_ends(axes, ends)
    return figure


def turning(steps: dict[str, tuple[np.ndarray, np.ndarray]], names: tuple[list, list]) -> Figure:
    """Unit vectors in the plane, a circle for each step: users, and items, of which item i was
    bought by user i, with an arc between the two; items that nobody bought are grey.

    - `steps`: [n, 2] users and [m, 2] items of each, m at least n. `names`: theirs.
    """
    figure, axes = panels(len(steps), height=4.3, of=steps, sharey=True)
    around = np.linspace(0, 2 * np.pi, 200)
    for ax, (title, (users, items)) in zip(axes, steps.items(), strict=True):
        ax.plot(np.cos(around), np.sin(around), color="#CCCCCC", lw=1)
        for user, item in zip(users, items, strict=False):
            start, end = (np.arctan2(*vector[::-1]) for vector in (user, item))
            arc = start + np.linspace(0, 1, 30) * ((end - start + np.pi) % (2 * np.pi) - np.pi)
            ax.plot(np.cos(arc), np.sin(arc), color=GREEN, lw=5, alpha=0.6)
            if abs(arc[-1] - arc[0]) > 0.1:  # else there is nothing to be seen
                x, y = 1.1 * np.cos(arc.mean()), 1.1 * np.sin(arc.mean())
                look = {"color": ink_of(GREEN), "va": "center", "fontsize": 10}
                ax.text(x, y, "angle left\nto close", **look)
        for place, (name, (x, y)) in enumerate(zip(names[1], items, strict=True)):
            bought = place < len(users)
            colour, far = (ORANGE, 0.7) if bought else (GREY, 1.18)
            ax.plot([0, x], [0, y], "--", color=colour, lw=1.8)
            ax.plot(x, y, "s", color=colour, mfc="none", ms=11, mew=2)
            look = {"ha": "center" if bought else "left", "va": "center", "fontsize": 10}
            box = {"facecolor": "white", "lw": 0, "pad": 1, "alpha": 0.9}
            ax.text(far * x, far * y, name, color=ink_of(colour), bbox=box, **look)
        for name, (x, y) in zip(names[0], users, strict=True):
            ax.plot([0, x], [0, y], color=BLUE, lw=1.8)
            ax.plot(x, y, "o", color=BLUE, ms=6)
            ax.text(1.2 * x, 1.2 * y, name, color=ink_of(BLUE), ha="center", va="center")
        ax.set(title=title, xlim=(-1.4, 1.4), ylim=(-1.15, 1.35), aspect="equal")
        ax.axis("off")
    keys = [
        legend_key("a user", "o", BLUE),
        legend_key("the item that this user bought", "s", ORANGE, "white"),
    ]
    if len(names[1]) > len(names[0]):
        keys.append(legend_key("an item in no batch", "s", GREY, "white"))
    keys_outside(figure, keys, 4, fontsize=9.5)
    return figure


def slice_bars(
    table: pd.DataFrame,
    title: str,
    ylabel: str = "R@100",
    xlabel: str = "how often the item had been bought before that day",
    digits: int | None = None,
    chance: float | None = None,
) -> Figure:
    """R@100, or something else, by slice: one group of bars per slice, one bar per arm; `table` is
    arms × slices. With `digits` each bar has its value, to so many, on top; a dashed line marks
    what a random hundred finds by `chance`, if given.
    """
    figure, (axes,) = panels(height=3.2, of=table)
    width = 0.8 / len(table)
    for row, (name, values, look) in enumerate(styled(table.iterrows())):
        where = np.arange(len(values)) + (row - (len(table) - 1) / 2) * width
        drawn = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "label": name}
        bars = axes.bar(where, values, width * 0.92, **drawn)
        if digits is not None:
            numbers = [f"{value:.{digits}f}".replace("-", "−") for value in values]
            axes.bar_label(bars, numbers, fontsize=9, padding=2)
            axes.grid(axis="x", visible=False)
            axes.margins(y=0.12)
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set(ylabel=ylabel, xlabel=xlabel, title=title)
    if (table < 0).any(axis=None):
        axes.axhline(0, color="#333333", lw=1)
    if chance is not None:
        axes.axhline(chance, color="#333333", lw=1, ls="--", zorder=0)
        look = {"transform": axes.get_yaxis_transform(), "fontsize": 9, "va": "center"}
        axes.text(1.005, chance, "a random\nhundred", **look)
    legend_below(figure, axes)
    return figure


def grown(values: dict[str, np.ndarray], x: np.ndarray, xlabel: str, title: str) -> Figure:
    """How many times its first value each line is over `x`, all axes logarithmic, each with its own
    dash pattern and its name at its end; a broad grey line grows as `x` does.
    """
    figure, (axes,) = panels(height=4.2, of=values)
    axes.plot(x, x / x[0], color="#dddddd", lw=7, solid_capstyle="butt")
    ends = {}
    for name, line, look in styled(values.items()):
        axes.plot(x, line / line[0], color=look.colour, ls=look.dashes, marker=look.marker, lw=2)
        ends[name] = line[-1] / line[0], ink_of(look.colour)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="times as much", title=title)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g} ×")
    axes.set_xticks(x, [f"{size:,.0f}" for size in x])
    axes.margins(x=0.02)
    axes.set_ylim(bottom=min(0.35, axes.get_ylim()[0]))
    slope = {"xy": (x[-1], x[-1] / x[0]), "xytext": (-150, 0), "textcoords": "offset points"}
    axes.annotate("as the catalogue does", **slope, va="center", fontsize=10, color="#666666")
    name_ends(axes, ends)
    return figure
