"""Figures of who finds more: differences, their intervals, and trades between slices."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from course_lib.evaluation import Difference
from course_lib.figures.style import (
    arrow,
    draw_interval,
    ink_of,
    interval_lengths,
    interval_rows,
    key_below,
    keys_outside,
    legend_below,
    legend_key,
    name_ends,
    name_lines,
    number_beside,
    panels,
    styled,
)
from course_lib.looks import BLUE, GREY, RED


def differences(
    found: dict[str, object],
    xlabel: str,
    title: str,
    digits: int | None = None,
    words: tuple[str, str] | None = None,
) -> Figure:
    """Mean paired differences with their 95 % intervals, one row each; `found` has a `Difference`
    by name. With `digits`, each mean stands at the right of its row.
    With `words`, such as ("gain", "loss"), the legend has only what is drawn, and calls it so;
    there is none if all are clearly more.
    """
    figure, (axes,) = panels(height=0.34 * len(found) + 1.4, of=found)
    interval_rows(axes, found)
    axes.set(xlabel=xlabel, title=title, ylim=(len(found) - 0.4, -0.6))
    for row, difference in enumerate(found.values() if digits is not None else ()):
        number_beside(axes, row, difference, f"{difference.mean:+.{digits}f}")
    if not (words and all(difference.low > 0 for difference in found.values())):
        key_below(figure, [], None, words, found.values())
    return figure


def differences_by(
    sheets: dict[str, dict[str, object]],
    xlabel: str,
    columns: int | None = None,
    title: str = "",
    digits: int | None = None,
    levels: dict[str, float] | None = None,
    notes: list[list[str]] = (),
    words: tuple[str, str] | None = None,
    marks: dict[str, tuple[float, str]] | None = None,
) -> Figure:
    """`differences` of the same names, several times: a panel for each sheet, so many in a row;
    three, or four in two rows, if not said. With `digits`, each mean stands right of its row; with
    `levels`, the base's in each sheet, in per cent, and each panel has a scale of its own; or
    `notes`, such as the level that a row started from, stand above the rows, a list for each sheet.
    With `words`, such as ("gain", "loss"), the legend has only what is drawn, and calls it so.
    `marks`: by panel, a value that a dashed line marks, with its name.
    """
    count = len(next(iter(sheets.values()), ()))
    columns = columns or (2 if len(sheets) == 4 else 3)
    rows = -(-len(sheets) // columns)
    tall = 0.42 if notes else 0.26
    height = rows * (tall * count + 0.75) + 0.6 + 0.3 * bool(title)
    options = {"rows": rows, "of": sheets and range(count), "sharex": not levels, "sharey": True}
    figure, axes = panels(min(len(sheets), columns) or 1, height, **options)
    figure.get_layout_engine().set(hspace=0.12, wspace=0.02 if digits is None else 0.06)
    for ax in axes[len(sheets) :]:
        ax.remove()
    figure.suptitle(title, fontsize=12)
    for ax, (panel, found) in zip(axes, sheets.items(), strict=False):
        interval_rows(ax, found)
        ax.set_title(panel, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.xaxis.set_tick_params(labelbottom=True)
        for value, name in [marks[panel]] if panel in (marks or {}) else ():
            ax.axvline(value, color="#666666", lw=1, ls="--", zorder=0)
            ax.set_title(f"{panel} (dashed: {name})", fontsize=10)
        for row, difference in enumerate(found.values()):
            if levels:
                part = round(100 * difference.mean / levels[panel])
                sign = "+" * (part > 0)
                number_beside(ax, row, difference, f"{sign}{part} %")
                ax.set_title("change", loc="right", fontsize=9, x=1.12)
            elif digits is not None:
                rounded = round(difference.mean, digits) + 0.0  # no -0.0
                number_beside(ax, row, difference, f"{rounded:+.{digits}f}")
    for ax, rows in zip(axes, notes, strict=False):
        for row, note in enumerate(rows):
            at = ax.get_yaxis_transform()
            note = note.replace("-", "−")
            ax.text(0.98, row - 0.3, note, transform=at, ha="right", va="center", fontsize=9)
    axes[0].set_ylim(count - 0.5, -0.5)
    found = [difference for rows in sheets.values() for difference in rows.values()]
    key_below(figure, [], xlabel, words, found)
    return figure


def exchanges(found: dict[str, tuple[int, int]], xlabel: str, title: str) -> Figure:
    """What each name gains and what it loses, as bars to the right and to the left of 0, with the
    numbers at their ends and the net beside the name.
    """
    figure, (axes,) = panels(height=0.45 * len(found) + 1.1, of=found)
    gains, losses = np.array([*found.values()]).T
    axes.barh(range(len(found)), gains, 0.6, color=BLUE)
    axes.barh(range(len(found)), -losses, 0.6, color=RED)
    for row, (gain, loss) in enumerate(zip(gains, losses, strict=True)):
        look = {"va": "center", "fontsize": 10}
        axes.text(gain, row, f" {gain} come in", color=BLUE, **look)
        axes.text(-loss, row, f"{loss} go out ", color=RED, ha="right", **look)
        net = f"net {gain - loss:+d}".replace("-", "−")
        axes.text(1.01, row, net, transform=axes.get_yaxis_transform(), weight="bold", **look)
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(range(len(found)), found)
    axes.set_xlim(-1.45 * max(*losses, 1), 1.5 * max(*gains, 1))
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.set(xlabel=xlabel, title=title, ylim=(len(found) - 0.5, -0.5))
    return figure


def differences_grouped(
    sheets: dict[str, dict[str, dict[str, object]]], xlabel: str, digits: int = 3
) -> Figure:
    """`differences_by` in groups, each below its heading: sheets[panel][group][name], of the same
    groups and names in every panel. Each panel has a scale of its own; a rule sets the last group
    off, and each mean stands right of its row.
    """
    groups = next(iter(sheets.values()), {})
    names = list(next(iter(groups.values()), ()))
    rows = [(group, name) for group in groups for name in (None, *names)]
    height = 0.21 * len(rows) + 1.5
    figure, axes = panels(max(len(sheets), 1), height, of=names, sharey=True)
    figure.get_layout_engine().set(wspace=0.03)
    for ax, (title, found) in zip(axes, sheets.items(), strict=True):
        for y, (group, name) in enumerate(rows):
            if name is not None:
                difference = found[group][name]
                draw_interval(ax, y, difference)
                number_beside(ax, y, difference, f"{difference.mean:+.{digits}f}")
        ax.axvline(0, color=GREY, lw=1)
        ax.axhline(len(rows) - len(names) - 1.5, color=GREY, lw=0.8)
        ax.set_title(title, fontsize=10)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.margins(x=0.1)
        ax.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    axes[0].set_yticks(range(len(rows)), [g if name is None else name for g, name in rows])
    for tick, (_, name) in zip(axes[0].get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if name is None else "normal")
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    shown = [
        found for sheet in sheets.values() for group in sheet.values() for found in group.values()
    ]
    clear = any(found.low > 0 or found.high < 0 for found in shown)
    key_below(figure, [], xlabel, None if clear else ("more", "less"), shown)
    return figure


def with_and_without(live: pd.DataFrame, title: str) -> Figure:
    """What `experiments.with_and_without` found: a panel for each log, a row for each measure and
    term, on one scale in all chapters.
    """
    logs = live.index.unique(0)
    count = len(live) // max(len(logs), 1)
    single = len(live.index.unique(2)) == 1  # the title names it
    figure, axes = panels(len(logs) or 1, 0.32 * count + 2.1, of=live, sharex=True, sharey=True)
    shown = []
    for ax, log in zip(axes, logs, strict=True):
        rows, found = live.loc[log], {}
        for (measure, term), row in rows[["difference", "low", "high", "users"]].iterrows():
            name = measure.replace("AUC among tail items", "AUC of the tail")
            found[name if single else f"{term}: {name}"] = Difference(*row)
        shown += found.values()
        interval_rows(ax, found)
        for row, difference in enumerate(found.values()):
            number_beside(ax, row, difference, f"{difference.mean:+.3f}".replace("-0.000", "0.000"))
        base = rows["without"].groupby(level=0, sort=False).first().round(3).to_dict()
        base = ", ".join(f"{name.split()[0]} {value}" for name, value in base.items())
        ax.set_title(f"{log.replace(',', ' log,', 1)}\nwithout a term: {base}", fontsize=10)
        ax.set_xticks([-0.04, 0, 0.04])
    axes[0].set_xlim(min(-0.045, live["low"].min()), max(0.063, live["high"].max()))
    axes[0].set_ylim(count - 0.5, -0.5)
    figure.get_layout_engine().set(wspace=0.06)
    figure.suptitle(title, fontsize=11.5)
    label = "difference that the term makes, with its 95 % interval over users"
    key_below(figure, [], label, ("more", "less"), shown)
    return figure


def parts_of(found: dict[str, tuple[int, int]], xlabel: str, title: str) -> Figure:
    """Shares as bars, the largest on top, each with its numbers: found[name] is (so many, of so
    many).
    """
    figure, (axes,) = panels(height=0.3 * len(found) + 1, of=found)
    rows = sorted(found.items(), key=lambda row: row[1][0] / row[1][1])
    drawn = axes.barh(range(len(rows)), [100 * part / whole for _, (part, whole) in rows])
    axes.bar_label(drawn, [f"{part:,} of {whole:,}" for _, (part, whole) in rows], padding=4)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(xlabel=f"{xlabel} (%)", xlim=(0, 115), title=title)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(visible=False, axis="y")
    return figure


def gains(
    sheets: dict[str, dict[str, list]],
    x: list,
    xlabel: str,
    ylabel: str,
    at: Collection[float] | None = None,
    ends: bool = False,
) -> Figure:
    """Paired differences over a parameter: a panel per sheet, a line per name, which stands beside
    it, each `Difference` with its 95 % interval. `x` are the ticks' names, and `at` their places,
    about one apart, if they are not to stand in equal steps. With `ends`, all names stand at the
    right of the last panel.
    """
    places = np.arange(len(x)) if at is None else np.asarray(at)
    figure, axes = panels(len(sheets), height=4.1, of=sheets, sharey=True)
    for ax, (sheet, named) in zip(axes, sheets.items(), strict=True):
        lines = {}
        for number, (name, found, look) in enumerate(styled(named.items())):
            where = places + (number - (len(named) - 1) / 2) * 0.045
            means, errors = interval_lengths(found)
            drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
            ax.errorbar(where, means, errors, ms=5, lw=1.3, label=name, **drawn)
            lines[name] = np.column_stack([where, means]), look.colour
        ax.axhline(0, color=GREY, lw=1)
        ax.set_xticks(places, x)
        ax.set(title=sheet, xlabel=xlabel)
        ax.margins(x=0.1)
        if not ends:
            name_lines(ax, lines)
    if ends:
        name_ends(axes[-1], {n: (way[-1, 1], ink_of(colour)) for n, (way, colour) in lines.items()})
    axes[0].set_ylabel(ylabel)
    return figure


def dumbbells(
    sheets: dict[str, dict[str, tuple[float, object]]], xlabel: str, title: str = ""
) -> Figure:
    """What each model reaches without a term, a hollow dot, and with it, a filled one: a panel per
    sheet, a row per model. `sheets`: by panel and model the level without it, and the `Difference`
    that it makes, whose colour says whether it is clear of zero.
    """
    names = next(iter(sheets.values()), {})
    height = 0.36 * len(names) + 1.7
    figure, axes = panels(len(sheets) or 1, height, of=names, sharey=True)
    figure.suptitle(title, fontsize=12)
    for ax, (panel, found) in zip(axes, sheets.items(), strict=True):
        for row, (level, difference) in enumerate(found.values()):
            clear = difference.low > 0 or difference.high < 0
            colour = GREY if not clear else BLUE if difference.mean > 0 else RED
            ax.plot([level, level + difference.mean], [row, row], color=colour, lw=2.5)
            ax.plot(level, row, "o", color=colour, mfc="white", ms=8)
            ax.plot(level + difference.mean, row, "o", color=colour, ms=8)
        ax.axvline(next(iter(found.values()))[0], color=GREY, lw=1, ls="--", zorder=0)
        ax.set_title(panel, fontsize=10.5)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.margins(x=0.12)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    keys = [
        legend_key("without the term", "o", "#444444", "white"),
        legend_key("with it: clearly more", "o", BLUE),
        legend_key("clearly less", "o", RED),
        legend_key("cannot tell", "o", GREY),
    ]
    look = {"frameon": False, "fontsize": 9, "ncols": 4}
    figure.legend(handles=keys, loc="outside lower center", **look).set_title(xlabel, {"size": 10})
    return figure


def shifts(
    sheets: dict[str, dict[str, tuple[Difference, Difference]]],
    levels: dict[str, float],
    title: str,
    keys: tuple[str, str, str],
    spans: dict[str, tuple[float, float]],
) -> Figure:
    """What a change does to each of several rows: an arrow from a hollow dot to a filled one, both
    with their 95 % intervals; a panel per sheet, with a dashed line at its base.

    - `sheets`: by panel and row, how much more than the base the row has before and after.
    - `levels`: the base's, by panel; `spans`: where each panel's axis begins and ends.
    - `keys`: what before, after and the base are called.
    """
    names = next(iter(sheets.values()), {})
    figure, axes = panels(len(sheets) or 1, 0.6 * len(names) + 1.4, of=names, sharey=True)
    figure.suptitle(title, fontsize=12)
    for ax, (panel, found) in zip(axes, sheets.items(), strict=True):
        base = levels[panel]
        for row, pair in enumerate(found.values()):
            places = (row - 0.17, "#444444", "white"), (row + 0.17, BLUE, BLUE)
            for difference, (y, ink, face) in zip(pair, places, strict=True):
                ends = base + difference.low, base + difference.high
                ax.plot(ends, [y, y], color=ink, lw=1.5)
                ax.plot(base + difference.mean, y, "o", color=ink, mfc=face, ms=8)
            start, end = ((base + d.mean, y) for d, (y, *_) in zip(pair, places, strict=True))
            arrow(ax, start, end, "#333333", 1.5, gap=5)
        ax.axvline(base, color="#666666", lw=1.2, ls="--", zorder=0)
        ax.set_title(panel, fontsize=10.5)
        ax.set_xlim(*spans[panel])
        ax.xaxis.set_major_locator(MaxNLocator(3))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    before, after, base = keys
    dashed = Line2D([], [], color="#666666", ls="--", label=base)
    dots = legend_key(before, "o", "#444444", "white"), legend_key(after, "o", BLUE)
    keys_outside(figure, [*dots, dashed], 3)
    return figure


def share_bars(
    found: dict[str, dict[str, float]],
    xlabel: str,
    title: str,
    most: dict[str, dict[str, float]] | None = None,
) -> Figure:
    """Shares, 0 to 1, as bars with their numbers: found[set][group]; the sets are told apart by
    colour and hatch. A tick marks the `most` that a share could be, where it is given.
    """
    table = pd.DataFrame(found)
    figure, (axes,) = panels(height=max(0.55, 0.22 * table.shape[1]) * len(table) + 1.3, of=table)
    width, groups = 0.8 / max(table.shape[1], 1), np.arange(len(table))
    for place, (name, values, look) in enumerate(styled(table.items())):
        y = groups + (place - (table.shape[1] - 1) / 2) * width
        drawn = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "label": name}
        bars = axes.barh(y, values, 0.92 * width, **drawn)
        axes.bar_label(bars, [f"{100 * value:.0f} %" for value in values], padding=3, fontsize=10)
        if name in (most or {}):
            ends = [most[name][group] for group in table.index]
            axes.vlines(ends, y - 0.46 * width, y + 0.46 * width, color="black", lw=2.5)
    if most:
        axes.plot([], [], "|", color="black", ms=10, mew=2.5, label="the most there can be")
    axes.set_yticks(groups, table.index, fontsize=10)
    axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, 1.06), xlabel=xlabel, title=title)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(visible=False, axis="y")
    legend_below(figure, axes)
    return figure
