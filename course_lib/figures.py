"""Every figure of the course: one function each, in colours that survive colour blindness and greyscale."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.dates import MonthLocator
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from course_lib.log import EventLog

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"  # Okabe and Ito, 2008
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 11,
}


def show(figure: Figure, alt: str) -> None:
    """Display the figure as a PNG with `alt` as its text for readers who cannot see it."""
    png = io.BytesIO()
    figure.savefig(png, format="png", bbox_inches="tight")
    display({"image/png": png.getvalue(), "text/plain": alt}, metadata={"image/png": {"alt": alt}}, raw=True)


def panels(columns: int = 1, height: float = 3.2, width: float = 9.0, **options) -> tuple[Figure, np.ndarray]:
    """An empty figure with `columns` axes side by side, without pyplot's global state."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def pipeline() -> Figure:
    """The whole course in one picture: log → towers → index → nominations."""
    figure, (axes,) = panels(height=2.9)
    axes.axis("off")
    axes.set(xlim=(-1, 101), ylim=(0, 34))
    boxes = [
        (0, 12, "LOG\nwho bought what,\nwhen", GREY),
        (26, 23, "ITEM TOWER\nfeatures → vector", BLUE),
        (26, 1, "USER TOWER\nfeatures → vector", ORANGE),
        (54, 12, "VECTOR INDEX\nall item vectors", BLUE),
        (80, 12, "NOMINATIONS\nthe k items that point\nwhere the user points", GREEN),
    ]
    for x, y, text, colour in boxes:
        axes.add_patch(FancyBboxPatch((x, y), 20, 10, boxstyle="round,pad=0.3", facecolor=colour, alpha=0.18, edgecolor=colour))
        axes.text(x + 10, y + 5, text, ha="center", va="center", fontsize=9)
    arrows = [
        ((20.6, 19), (25.5, 27), "every night", (18, 25.5)),
        ((20.6, 15), (25.5, 7), "now", (20.5, 8)),
        ((46.6, 27), (56, 22.8), "stored", (54, 26.5)),
        ((46.6, 7), (56, 11.2), "the query", (55, 6)),
        ((74.6, 17), (79.5, 17), "the k\nnearest", (77, 18.5)),
    ]
    for start, end, text, place in arrows:
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 1.4, "color": "#333333"})
        axes.text(*place, text, fontsize=8.5, ha="center", style="italic")
    return figure


def head_effect(times_bought: np.ndarray) -> Figure:
    """How often each item was bought, by rank; and the share of events that the top items take."""
    counts = np.sort(times_bought)[::-1]
    rank = np.arange(1, len(counts) + 1)
    figure, (left, right) = panels(2)
    left.plot(rank, counts, color=BLUE, lw=2)
    left.set(xscale="log", yscale="log", xlabel="item, by rank", ylabel="buyers of the item", title="Buyers per item, by rank")
    right.plot(100 * rank / len(rank), 100 * counts.cumsum() / counts.sum(), color=BLUE, lw=2)
    right.plot([0, 100], [0, 100], color=GREY, ls="--", lw=1, label="if all were alike")
    right.set(xlabel="top items (% of catalogue)", ylabel="share of events (%)", title="What the top items take")
    right.legend(frameon=False)
    return figure


def hours_against_day(observed: np.ndarray, shuffled: np.ndarray) -> Figure:
    """How far an hour's goods are from its day's, and how far a random hour of the same size would be."""
    figure, (axes,) = panels(height=3)
    bins = np.linspace(0, 1, 41)
    axes.hist(shuffled, bins, color=GREY, alpha=0.55, label="same size, drawn at random from the day")
    axes.hist(observed, bins, histtype="step", lw=2, color=RED, label="a real hour")
    axes.set(xlabel="distance from the whole day's mix of goods (total variation: 0 same, 1 disjoint)", ylabel="hours")
    axes.set_title("An hour is not a small day")
    axes.legend(frameon=False)
    return figure


def newcomers(log: EventLog, start: str) -> Figure:
    """Items and users seen for the first time, by week from `start` on."""
    figure, axes = panels(2, height=2.8)
    for ax, column, colour in zip(axes, ("item", "user"), (BLUE, ORANGE), strict=True):
        first = log.events.drop_duplicates(column)
        weekly = first[first["time"] >= start].resample("W", on="time").size()
        ax.bar(weekly.index, weekly, width=5, color=colour)
        ax.set(ylabel=f"{column}s seen for the first time", xlabel="week", title=f"New {column}s every week")
        ax.xaxis.set_major_locator(MonthLocator(interval=2))
        ax.tick_params(axis="x", rotation=30)
    return figure


def curves(lines: dict[str, np.ndarray], xlabel: str, ylabel: str, title: str) -> Figure:
    """A few labelled lines over their own positions, each with its own dash pattern."""
    figure, (axes,) = panels(height=3)
    styles = zip(lines.items(), (BLUE, ORANGE, GREEN, RED, GREY), ("-", "--", "-.", ":", "-"), strict=False)
    for (name, values), colour, dashes in styles:
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, ls=dashes, lw=2, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend(frameon=False)
    return figure


def heat(table: pd.DataFrame, title: str, xlabel: str, ylabel: str) -> Figure:
    """A small table as a heat map with its numbers written in it."""
    figure, (axes,) = panels(height=0.55 * len(table) + 1.2, width=1.1 * table.shape[1] + 2.5)
    values = table.to_numpy(dtype=float)
    axes.imshow(np.nan_to_num(values, neginf=np.nan), cmap="cividis", aspect="auto")
    middle = np.nanmean(np.where(np.isfinite(values), values, np.nan))
    for (i, j), value in np.ndenumerate(values):
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value < middle else "black")
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set_yticks(range(len(table)), table.index)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.grid(False)
    return figure


def arms(table: pd.DataFrame, column: str, title: str) -> Figure:
    """One dot per seed and arm, the arm's mean as a bar; `table` has `arm` and `column`."""
    names = list(dict.fromkeys(table["arm"]))[::-1]
    figure, (axes,) = panels(height=0.36 * len(names) + 1.1)
    for row, name in enumerate(names):
        values = table.loc[table["arm"] == name, column]
        axes.barh(row, values.mean(), color=BLUE, alpha=0.25)
        axes.plot(values, np.full(len(values), row), "o", color=BLUE, ms=5)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=column, title=title)
    axes.set_xlim(left=0)
    return figure


def slices(table: pd.DataFrame, title: str) -> Figure:
    """R@100 by slice: one group of bars per slice, one bar per arm; `table` is arms × slices."""
    figure, (axes,) = panels(height=3)
    width = 0.8 / len(table)
    looks = zip(table.iterrows(), (BLUE, ORANGE, GREEN, RED, GREY), ("", "//", "..", "xx", "\\\\"), strict=False)
    for row, ((name, values), colour, hatch) in enumerate(looks):
        where = np.arange(len(values)) + (row - (len(table) - 1) / 2) * width
        axes.bar(where, values, width * 0.92, color=colour, hatch=hatch, edgecolor="white", label=name)
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set(ylabel="R@100", xlabel="how often the item had been bought before that day", title=title)
    axes.legend(frameon=False)
    return figure


def paths(values: dict[str, np.ndarray], left: str, right: str, xlabel: str) -> Figure:
    """Two quantities, [n + 1, 2] for each name, side by side, over the number of purchases from 0 to n."""
    figure, axes = panels(2, height=2.8)
    for ax, column, title in zip(axes, (0, 1), (left, right), strict=True):
        for (name, steps), colour, line in zip(values.items(), (BLUE, ORANGE), ("o-", "s--"), strict=True):
            ax.plot(np.arange(len(steps)), steps[:, column], line, color=colour, label=name)
        ax.set(xlabel=xlabel, title=title)
    axes[0].legend(frameon=False)
    return figure
