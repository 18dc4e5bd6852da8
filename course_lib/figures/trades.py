"""A figure of what a setting gains in one respect for what it loses in another (15)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from course_lib.figures.style import ink_of, name_lines, panels
from course_lib.looks import BLUE


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
