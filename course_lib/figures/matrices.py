"""Figures of tables as heat maps, their numbers written in them, or words (02, 07, two logs)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_lib.figures.style import panels
from course_lib.looks import BLUE, ORANGE


def heat(
    table: pd.DataFrame,
    title: str,
    xlabel: str,
    ylabel: str,
    limits: tuple[float, float] | None = None,
    digits: int = 2,
    framed: Iterable[tuple[int, int]] = (),
) -> Figure:
    """A small table as a heat map with its numbers written in it, NaN left blank; sister maps share
    `limits`, and what lies around 0 is white there with limits of −x and x, or of x and −x where
    low is blue. `framed`: the cells (row, column) that have a frame.
    """
    values = table.to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    size = {"height": 0.55 * len(table) + 1.2, "width": min(1.1 * table.shape[1] + 2.5, 9)}
    figure, (axes,) = panels(**size, of=finite)
    _heat(axes, table, *(limits or (finite.min(), finite.max())), digits)
    for row, column in framed:
        look = {"fill": False, "edgecolor": "black", "lw": 2.5}
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, **look))
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure


def verdicts(table: pd.DataFrame, title: str) -> Figure:
    """A row for each finding, a column for each test of it: "yes" on blue, "no" on orange, another
    word on grey; and the last column, the reading of the others, in bold on no colour.
    """
    figure, (axes,) = panels(height=0.4 * len(table) + 1.1, of=table)
    colours = {"yes": (BLUE, "white"), "no": (ORANGE, "black")}
    last = table.shape[1] - 1
    for (row, column), word in np.ndenumerate(table.to_numpy()):
        fill, ink = colours.get(word, ("#E6E6E6", "black"))
        if column == last:
            fill, ink = "white", "black"
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=fill, edgecolor="white")
        )
        weight = "bold" if column == last else "normal"
        axes.text(column, row, word, ha="center", va="center", color=ink, weight=weight)
    axes.set(xlim=(-0.5, last + 0.5), ylim=(len(table) - 0.5, -0.5))
    axes.set_xticks(range(last + 1), table.columns, weight="bold")
    axes.set_yticks(range(len(table)), table.index)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=12)
    return figure


def loss_matrix(cosines: pd.DataFrame, tau: float) -> Figure:
    """The in-batch loss step by step, a panel each: cosines, logits, shares of the row, and −log of
    the own shares, whose mean is the loss.

    - `cosines`: [n, n] users × items; each user's own item is on the diagonal.
    """
    n = len(cosines)
    options = {"gridspec_kw": {"width_ratios": [n, n, n, 1.1]}, "of": cosines}
    figure, axes = panels(4, 0.62 * n + 1.6, **options)
    logits = cosines / tau
    weights = np.exp(logits.sub(logits.max(axis=1), axis=0))
    shares = weights.div(weights.sum(axis=1), axis=0)
    own = pd.DataFrame({"own item": -np.log(np.diag(shares))}, cosines.index)
    steps = {"1 · cosine": cosines, f"2 · logit = cosine ÷ {tau:g}": logits}
    steps |= {"3 · share of the row": shares, "4 · −log share": own}
    for ax, (title, table) in zip(axes, steps.items(), strict=True):
        _matrix(ax, table, 0, table.to_numpy().max(), range(n if table is not own else 0))
        ax.set_title(title)
        if ax is not axes[0]:
            ax.set_yticks([])
    axes[3].set_xlabel(f"mean = loss\n{own.to_numpy().mean():.3f}", weight="bold")
    figure.suptitle("How much weight falls on each user's own item?", fontsize=12)
    figure.supxlabel(
        "framed: the user's own item; all others in its row are negatives", fontsize=9.5
    )
    return figure


def mixed_columns(logits: pd.DataFrame, own: Collection[int], why: np.ndarray, m: int) -> Figure:
    """A step's logits, users × columns, of which the last `m` were drawn from the catalogue: the
    own column of each row framed, and what is masked hatched, with the reason.

    - `why`: [n, c] the reason for each masked logit, "" for a negative and for the own item.
    """
    n, c = logits.shape
    figure, (axes,) = panels(height=0.62 * n + 1.6, width=7.5, of=logits)
    values = logits.where(why == "")
    _matrix(axes, values, np.nanmin(values), np.nanmax(values), own)
    for i, j in np.argwhere(why != ""):
        look = {"facecolor": "#EEEEEE", "hatch": "////", "edgecolor": "#BBBBBB", "lw": 0}
        axes.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, **look))
        box = {"facecolor": "#EEEEEE", "lw": 0, "pad": 1.5}
        text = f"masked:\n{why[i, j]}"
        axes.text(j, i, text, ha="center", va="center", fontsize=9, bbox=box)
    axes.axvline(c - m - 0.5, color="black", lw=1.2, zorder=2.5)
    for middle, text in (((c - m - 1) / 2, "the batch's items"), (c - (m + 1) / 2, "drawn")):
        axes.text(middle, -0.62, text, ha="center", va="bottom", fontsize=10)
    axes.set_title("Logits: which columns are a user's negatives?", pad=26)
    axes.set_xlabel("framed: the user's own item; a masked logit has no weight", fontsize=9.5)
    return figure


def _matrix(axes, table: pd.DataFrame, low: float, high: float, own: Iterable[int] = ()) -> None:
    """A matrix in shades of blue with its numbers, NaN left blank; of each row the column `own` is
    framed.
    """
    values = table.to_numpy(dtype=float)
    axes.imshow(values, cmap="Blues", aspect="auto", vmin=low, vmax=low + 1.25 * (high - low))
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if value > low + 0.8 * (high - low) else "black"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour)
    for i, j in enumerate(own):
        look = {"fill": False, "edgecolor": ORANGE, "lw": 3, "zorder": 3}
        axes.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, **look))
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set_yticks(range(len(table)), table.index)
    axes.set_xticks(np.arange(table.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(table) + 1) - 0.5, minor=True)
    axes.grid(False)
    axes.grid(which="minor", color="white", lw=2, alpha=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _heat(axes, table: pd.DataFrame, low: float, high: float, digits: int = 2) -> None:
    values, middle, around_0 = table.to_numpy(dtype=float), (low + high) / 2, low == -high
    shown = np.nan_to_num(values, nan=np.nan, neginf=np.nan)
    cmap = "cividis" if not around_0 else "RdBu" if high > 0 else "RdBu_r"
    low, high = sorted((low, high))
    axes.imshow(shown, cmap=cmap, aspect="auto", vmin=low, vmax=high)
    for (i, j), value in np.ndenumerate(values):
        light = abs(value) > 0.6 * high if around_0 else value < middle
        text = "" if np.isnan(value) else f"{value:.{digits}f}".replace("-", "−")
        axes.text(j, i, text, ha="center", va="center", color="white" if light else "black")
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set_yticks(range(len(table)), table.index)
    axes.grid(False)
