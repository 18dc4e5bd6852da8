"""Figures of what is gained in one respect for what is lost in another (12, 15)."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from course_lib import looks
from course_lib.figures.style import arrow, ink_of, keys_outside, name_lines, panels, styled
from course_lib.looks import BLUE, GREY

PALE = "#bbbbbb"
SHADE = "#e2eddd"


def trade_off(
    named: dict[str, dict[str, tuple]],
    constant: np.ndarray,
    xlabel: str,
    ylabel: str,
    near: Collection[str] = (),
    corner: str = "",
    title: str = "",
) -> Figure:
    """What arms gain in one respect over what they gain in another, beside a model to whose scores
    a constant is added.

    - `named`: of each arm pairs of `Difference`s (x, y) by weight ("" if it has none), from the
      smallest to the largest; arrows lead from one to the next. An interval that leaves out zero
      has the arm's colour; all other intervals are grey.
    - `constant`: [c, 2] (x, y) of a growing constant. `near`: the arms that have a panel each, all
      on one scale; the last panel has all others, and a frame where those panels are.
    - `corner`: what it means to lie in the upper right, which is shaded.
    """
    rows, columns = -(-(len(near) + 1) // 3), min(3, len(near) + 1)
    figure, axes = panels(columns, 2.35 * rows + 1.1, rows=rows, of=named)
    for ax in axes[len(near) + 1 :]:
        ax.remove()
    figure.suptitle(title, fontsize=12)
    path, last = np.concatenate([np.zeros((1, 2)), constant]), axes[len(near)]
    own = dict(zip(near, axes, strict=False))
    written = {ax: {} for ax in axes[: len(near) + 1]}
    for ax in written:
        ax.plot(*path.T, ".--", color="black", lw=1.5, ms=5)
    for name, found, look in styled(named.items()):
        ax = own.get(name, last)
        names = _weights(ax, found, look)
        if name in own:
            ax.set_title(name, fontsize=10, color=ink_of(look.colour))
        else:
            names = {f"{name}, α = {text}" if text else name: at for text, at in names.items()}
        written[ax] |= names
    _one_scale(axes[: len(near)], [pair for name in near for pair in named[name].values()])
    last.margins(0.4, 0.08)
    if near:
        (left, bottom), (right, top) = axes[0].viewLim.min, axes[0].viewLim.max
        frame = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
        last.plot(*np.array(frame).T, color=GREY, lw=1)
        last.set_title("rivals, on a wider scale", fontsize=10)
    for ax in written:
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        _cross(ax)
    roomy = min(written, key=lambda ax: (len(written[ax]), ax is last))
    written[roomy]["plain + a constant"] = path, "black"
    for ax, names in written.items():
        inside = {name: (_within(ax, at), colour) for name, (at, colour) in names.items()}
        name_lines(ax, {name: line for name, line in inside.items() if len(line[0])})
    figure.supylabel(ylabel, fontsize=10)
    keys = [Line2D([], [], color="#444444", lw=1.6, label="95 % interval that leaves out zero")]
    keys.append(Line2D([], [], color=PALE, lw=0.8, label="one that holds zero"))
    keys.append(Rectangle((0, 0), 1, 1, color=SHADE, label=corner))
    if near:
        keys.append(Line2D([], [], color=GREY, lw=1, label="frame: the other panels"))
    keys = keys if corner else keys[:2] + keys[3:]
    keys_outside(figure, keys, len(keys)).set_title(xlabel, {"size": 10})
    return figure


def trade_path(
    path: dict[str, tuple[float, float]],
    beside: dict[str, tuple[float, float]],
    xlabel: str,
    ylabel: str,
    title: str,
    noise: tuple[float, str] | None = None,
) -> Figure:
    """Where a model lies in two respects (x, y) at each value of a setting, joined in this order,
    and other methods `beside` it; each point has its name. `noise`: a length of x that a bar at the
    bottom shows, with its name.
    """
    figure, (axes,) = panels(height=3.6, width=7.5, of=path)
    axes.plot(*np.array([*path.values()], float).T, "o:", color=BLUE, lw=1, ms=8)
    axes.margins(0.3, 0.2)
    names = {name: (np.array([place], float), ink_of(BLUE)) for name, place in path.items()}
    for name, place in beside.items():
        axes.plot(*place, "s", color="#444444", mfc="white", mew=2, ms=7)
        names[name] = np.array([place], float), "#444444"
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if noise:
        length, name = noise
        left, bottom = axes.get_xlim()[0] + length / 2, axes.get_ylim()[0]
        y = bottom + 0.05 * (axes.get_ylim()[1] - bottom)
        axes.plot([left, left + length], [y, y], "|-", color="#444444", lw=2)
        axes.text(left + 1.3 * length, y, name, va="center", fontsize=9, color="#444444")
    name_lines(axes, names, 10)
    return figure


def _weights(axes, found: dict[str, tuple], look: looks.Look) -> dict[str, tuple]:
    """The pairs of one arm in `trade_off`; returns its weights, with their places [1, 2] and
    colours.
    """
    places = np.array([(x.mean, y.mean) for x, y in found.values()])
    for start, end in pairwise(places):
        arrow(axes, start, end, GREY, 0.8)
    names = {}
    for (weight, (of, to)), (x, y) in zip(found.items(), places, strict=True):
        for difference, line in (
            (of, ([of.low, of.high], [y, y])),
            (to, ([x, x], [to.low, to.high])),
        ):
            clear = difference.low > 0 or difference.high < 0
            axes.plot(*line, color=look.colour if clear else PALE, lw=1.6 if clear else 0.8)
        axes.plot(x, y, look.marker, color=look.colour, ms=7, zorder=3)
        names[weight.removeprefix("α = ")] = np.array([[x, y]]), ink_of(look.colour)
    return names


def _one_scale(panels, pairs: list[tuple]) -> None:
    """Give all panels the scale that shows zero and all intervals of the pairs."""
    for axis, part in enumerate("xy" if len(pairs) else ""):
        low = min(0, *(pair[axis].low for pair in pairs))
        high = max(0, *(pair[axis].high for pair in pairs))
        for ax in panels:
            ax.set(**{f"{part}lim": (low - 0.1 * (high - low), high + 0.1 * (high - low))})


def _cross(axes) -> None:
    """Lines through zero, of many points, which names keep off; the upper right is shaded."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    steps = np.linspace(0, 1, 9)
    look = {"color": GREY, "lw": 1, "zorder": 0, "scalex": False, "scaley": False}
    axes.plot(left + steps * (right - left), 0 * steps, **look)
    axes.plot(0 * steps, bottom + steps * (top - bottom), **look)
    axes.add_patch(Rectangle((0, 0), right, top, color=SHADE, lw=0, zorder=-1))
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _within(axes, points: np.ndarray) -> np.ndarray:
    """Those of the points [n, 2] that the axes show."""
    low, high = axes.viewLim.min, axes.viewLim.max
    return points[((points > low) & (points < high)).all(1)]
