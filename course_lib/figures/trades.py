"""Figures of what is gained in one respect for what is lost in another (12, 15)."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from course_lib import looks
from course_lib.figures.style import (
    ink_of,
    keys_outside,
    legend_key,
    name_lines,
    panels,
    styled,
    tint_of,
)
from course_lib.looks import BLUE, GREY


def trade_off(
    named: dict[str, dict[str, tuple]],
    constant: np.ndarray,
    xlabel: str,
    ylabel: str,
    near: Collection[str] = (),
    quarters: Collection[str] = (),
    title: str = "",
) -> Figure:
    """What arms gain in one respect over what they gain in another, beside a model to whose scores
    a constant is added.

    - `named`: of each arm pairs of `Difference`s (x, y) by weight, from the smallest, which is
      hollow, to the largest, which is filled; arrows lead from one to the next. What is clear of
      zero on both axes has its colour, intervals and weight; all else is pale.
    - `constant`: [c, 2] (x, y) of a growing constant. `near`: the arms that the large panel is cut
      to; a small one beside it has all others, and a frame where the large one is.
    - `quarters`: what it means to lie in the upper left, the upper right, the lower left and the
      lower right.
    """
    sizes = {"width_ratios": [2, 1]} if near else {}
    figure, axes = panels(1 + bool(near), height=5.2, of=named, **sizes)
    figure.suptitle(title, fontsize=12)
    path = np.concatenate([np.zeros((1, 2)), constant])
    names = [{}, {}]
    for ax, written in zip(axes, names, strict=False):
        ax.plot(*path.T, ".--", color="black", lw=1.5, ms=5, label="plain + a constant")
        for name, found, look in styled(named.items()):
            if ax is axes[0] or name not in near:
                written |= _weights(ax, name, found, look)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.xaxis.set_major_locator(MaxNLocator(5 if ax is axes[0] else 2))
        ax.margins(0.25, 0.08)
    for axis, part in enumerate("xy" if near else ""):
        found = [pair[axis] for name in near for pair in named[name].values()]
        low, high = min(d.low for d in found), max(d.high for d in found)
        axes[0].set(**{f"{part}lim": (low - 0.1 * (high - low), high + 0.1 * (high - low))})
    if near:
        corner, size = axes[0].viewLim.min, axes[0].viewLim.size
        axes[1].add_patch(Rectangle(corner, *size, fill=False, lw=1, ls="-", ec=GREY))
        axes[1].set_title("further out (frame: left panel)", fontsize=10)
    for ax in axes:  # as lines through many points, which names keep off
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        steps = np.linspace(0, 1, 9)
        look = {"color": GREY, "lw": 1, "zorder": 0, "scalex": False, "scaley": False}
        ax.plot(left + steps * (right - left), 0 * steps, **look)
        ax.plot(0 * steps, bottom + steps * (top - bottom), **look)
    for place, text in enumerate(quarters):
        x, y = place % 2, 1 - place // 2
        look = {"ha": ("left", "right")[x], "va": ("bottom", "top")[y], "style": "italic"}
        look |= {"transform": axes[0].transAxes, "color": "#555555"}
        axes[0].text(0.015 + 0.97 * x, 0.02 + 0.96 * y, text, **look)
    steps = np.linspace(0.2, 1, 9)[:, None]
    way = np.concatenate([start + steps * (end - start) for start, end in pairwise(path)])
    names[0]["plain + a constant"] = way, "black"
    names[1] = {textwrap.fill(name, 12): line for name, line in names[1].items()}
    for ax, written in zip(axes, names, strict=False):
        inside = {name: (_within(ax, at), colour) for name, (at, colour) in written.items()}
        name_lines(ax, {name: line for name, line in inside.items() if len(line[0])})
    keys = [legend_key("largest weight α; smaller ones are hollow", "o", "#444444")]
    keys.append(legend_key("pale: not clear of zero on both axes", "o", tint_of("#444444")))
    keys_outside(figure, keys, 2)
    return figure


def trade_path(
    path: dict[str, tuple[float, float]],
    beside: dict[str, tuple[float, float]],
    xlabel: str,
    ylabel: str,
    title: str,
) -> Figure:
    """Where a model lies in two respects (x, y) at each value of a setting, joined in this order,
    and other methods `beside` it; each point has its name.
    """
    figure, (axes,) = panels(height=3.6, width=7.5, of=path)
    axes.plot(*np.array([*path.values()], float).T, "o-", color=BLUE, lw=1.5, ms=8)
    axes.margins(0.3, 0.2)
    names = {name: (np.array([place], float), ink_of(BLUE)) for name, place in path.items()}
    for name, place in beside.items():
        axes.plot(*place, "s", color="#444444", mfc="white", mew=2, ms=7)
        names[name] = np.array([place], float), "#444444"
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    name_lines(axes, names, 10)
    return figure


PALE = "#999999"


def _weights(axes, name: str, found: dict[str, tuple], look: looks.Look) -> dict[str, tuple]:
    """The pairs of one arm in `trade_off`; returns the names to write, with their places [1, 2] and
    colours.
    """
    places = np.array([(x.mean, y.mean) for x, y in found.values()])
    sizes = np.linspace(9, 5, 4)[: len(found)][::-1]
    names = {}
    for (start, end), size in zip(pairwise(places), sizes[1:], strict=True):
        arrow = {"arrowstyle": "->", "color": PALE, "lw": 0.8, "shrinkA": 4, "shrinkB": size / 2}
        axes.annotate("", end, start, arrowprops=arrow, annotation_clip=True)
    for (weight, pair), (x, y), size in zip(found.items(), places, sizes, strict=True):
        clear, last = all(d.low > 0 or d.high < 0 for d in pair), weight == [*found][-1]
        colour = look.colour if clear else tint_of(look.colour)
        if clear:
            of, to = pair
            axes.plot([of.low, of.high], [y, y], color=colour, lw=1, alpha=0.6)
            axes.plot([x, x], [to.low, to.high], color=colour, lw=1, alpha=0.6)
        face = colour if last else "white"
        axes.plot(x, y, look.marker, color=colour, ms=size, mfc=face, zorder=3)
        if clear or last:
            text = f"{name}, {weight}" if clear and weight else name
            names[text] = np.array([[x, y]]), ink_of(look.colour)
    return names


def _within(axes, points: np.ndarray) -> np.ndarray:
    """Those of the points [n, 2] that the axes show."""
    low, high = axes.viewLim.min, axes.viewLim.max
    return points[((points > low) & (points < high)).all(1)]
