"""Figures of a day in production (13)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_lib.figures.style import panels
from course_lib.looks import BLUE, GREEN, GREY, ORANGE, RED


def day_line(numbered: bool = False) -> Figure:
    """A night and the hours after it on a time line: what is learned, what is published, by what
    requests are answered, and what is thrown away. The night is blue, the hours are orange.
    Versions are `numbered`, or called by their nights.
    """
    figure, (axes,) = panels(height=4.4)
    title = "A night moves everything, an hour a few rows; the next night starts without the hours"
    axes.set(xlim=(-0.4, 29.4), ylim=(-0.6, 4.6), xlabel="time of day", title=title)
    axes.set_xticks([0, 6, 9, 12, 15, 18, 24], [f"{h}:00" for h in (0, 6, 9, 12, 15, 18, 24)])
    lanes = ("requests are\nanswered by", "published", "learned\nby the hour", "learned\nat night")
    axes.set_yticks(range(5), [*lanes, "events"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    words = {"fontsize": 9.5, "va": "center"}
    arrow = {"arrowstyle": "->", "color": "#333333"}
    for start, name in ((0, "yesterday's events"), (24, "today's events")):
        axes.axvline(start, color=GREY, lw=0.8, ls=":", zorder=0)
        axes.barh(4, 1.6, 0.4, start, color=GREY, alpha=0.6)
        axes.text(start + 1.8, 4, name, **words)
        axes.barh(3, 1.6, 0.4, start, color=BLUE)
        axes.text(start + 1.8, 3, "all parameters", color=BLUE, **words)
        axes.annotate("", (start + 0.8, 3.25), (start + 0.8, 3.78), arrowprops=arrow)
        axes.annotate("", (start + 1.6, 1.2), (start + 1.6, 2.8), arrowprops=arrow)
        axes.plot(start + 1.6, 1, "o", color=BLUE, ms=13)
    axes.text(2.2, 1, "every item's vector,\nthe user network", color=BLUE, **words)
    opened = np.arange(9, 20)
    hours = opened[: -1 if numbered else None] + 1  # a trainer leaves the last to the night
    axes.barh([4] * len(opened), 0.8, 0.4, opened + 0.1, color=GREY, alpha=0.6)
    if numbered:
        axes.text(9.1, 3.52, "hour by hour; the last waits for the night", **words)
    else:
        axes.text(20.2, 4, "hour by hour", **words)
    rows = np.linspace(0.08, 0.5, len(hours))  # what the hours have learned
    axes.bar(hours + 0.5, rows, 1, 1.75, color=ORANGE)
    end = 24 if numbered else 25.6
    axes.barh(1.75, end - hours[-1] - 1, rows[-1], hours[-1] + 1, color=ORANGE, align="edge")
    axes.text(7, 2.48, "ID rows of the users and items in those events", color="#8a5a00", **words)
    axes.plot(end, 2, "x", color="black", ms=11, mew=2.5)
    axes.text(26.2, 2, "discarded", **words)
    axes.plot(hours + 0.2, [1] * len(hours), "o", color=ORANGE, ms=7)
    text = "those items' vectors, and those ID rows"
    axes.text(10, 1.38, text, color="#8a5a00", **words)
    last, this, coming = (
        ("v0", "v1", "v2") if numbered else ("old", "last night's version", "the next")
    )
    bands = [
        (-0.4, 1.6, "#cccccc", last, "black"),
        (1.6, 10.2, BLUE, this, "white"),
        (10.2, 25.6, ORANGE, f"{this}, and what the hours have learned", "black"),
        (25.6, 28.6, BLUE, coming, "white"),
    ]
    if numbered:  # the night finds the state that the hours before it have left
        axes.set_xlim(-4.4, 29.4)
        bands[0] = -4.2, 1.6, ORANGE, f"{last}, and\nits hours", "black"
    for start, end, colour, text, ink in bands:
        axes.barh(0, end - start, 0.5, start, color=colour)
        axes.text((start + end) / 2, 0, text, color=ink, ha="center", **words)
    return figure


def dashboard(
    table: pd.DataFrame,
    usual: pd.DataFrame | None = None,
    named: bool = True,
    notes: bool = True,
    title: str = "",
) -> Figure:
    """A day in production by the hour, as `production.Day.table` has it, one measure a panel:
    recall and the served state's age; and with `notes` the events learned, what became of the
    shards, and the name of the version that serves. The next day's first hour stands apart.

    Each kind of fault has a letter, in every panel at its hours; `named` says below what it is.
    `usual`: the same day without faults, in grey.
    """
    recall = table.columns[1]
    measures = {
        recall: f"{recall} of what is bought in the hour",
        "age": "age of the state as the hour begins (hours)",
        "events": "events learned as the hour begins",
    }
    days = {"this day": (table, {"color": BLUE, "marker": "o", "ms": 5})}
    if usual is not None:
        look = {"color": "#bbbbbb", "lw": 6, "marker": "o", "ms": 6, "solid_capstyle": "round"}
        days = {"the same day without faults": (usual, look)} | days
    if not notes:
        del measures["events"]
    columns = 2 if notes else 1
    figure, axes = panels(columns, height=5.8 if notes else 4.4, rows=2, of=table)
    figure.suptitle(title, fontsize=12)
    figure.get_layout_engine().set(hspace=0.08)
    hours, end = _day_hours(table), _NEXT_DAY
    for ax, (column, measure) in zip(axes, measures.items(), strict=False):
        seen = pd.concat([rows[column].iloc[1:-1] for rows, _ in days.values()]).max()
        if column != "age" or not seen > 0:  # the first and the last are as old as a night
            seen = max(rows[column].max() for rows, _ in days.values())
        top = 1.35 * seen or 1
        for name, (rows, look) in days.items():
            x, y = np.array(_day_hours(rows)), rows[column].where(rows[column] <= top)
            ax.plot(x[x < end], y[x < end], label=name, **look)
            ax.plot(x[x == end], y[x == end], **look)
        ax.set_title(measure, fontsize=11)
        ax.set(ylim=(0, top))
        for x, value in zip(hours, table[column], strict=True):
            if value > top:
                side = ("left", x - 0.6) if x < end else ("right", end + 0.9)
                ax.text(side[1], 0.75 * top, f"↑{value:.0f} h", ha=side[0], fontsize=9)
    if notes:
        _shards(axes[3], table, hours)
    for ax in axes:
        _mark_faults(ax, table)
    for ax in axes[-columns:]:
        ax.set_xlabel("hour of the day")
    if usual is not None:
        axes[0].legend(frameon=False, fontsize=9, loc="lower right")
    letters = _letters(table)
    if named and letters:
        words = (f"{letter}: {fault}" for fault, letter in letters.items())
        figure.supxlabel("     ".join(words), fontsize=9.5)
    return figure


def shard_notes(table: pd.DataFrame) -> Figure:
    """What a trainer notes of each hour's shard, and the version that serves: the last panel of a
    `dashboard`, by itself.
    """
    figure, (axes,) = panels(height=3.2, of=table)
    hours, versions = _day_hours(table), table["version"].tolist()
    _shards(axes, table, hours)
    _mark_faults(axes, table)
    for hour, old, new in zip(hours[1:], versions, versions[1:], strict=False):
        if new != old and hour != _NEXT_DAY:
            axes.text(hour - 0.15, 6.4, "▲ a new name", va="center", fontsize=9.5)
    if len(hours):
        axes.text(hours[0] + 0.3, 1, "nothing was sent", va="center", fontsize=9)
    axes.set_ylim(6.9, -1.9)
    title = "The notes name the late shards; the version's name shows the kill"
    axes.set_title(title, fontsize=12)
    axes.set_xlabel("hour of the day")
    return figure


def _letters(table: pd.DataFrame) -> dict[str, str]:
    """The letter of each kind of fault."""
    return dict(zip(filter(None, dict.fromkeys(table["fault"])), "ABCDEFGH", strict=False))


def _mark_faults(ax, table: pd.DataFrame) -> None:
    """The hours as ticks, and a letter at those with a fault."""
    hours, letters = _day_hours(table), _letters(table)
    ax.set(xlim=(hours[0] - 0.7, _NEXT_DAY + 1))
    ax.set_xticks([9, 12, 15, 18, _NEXT_DAY], ["9", "12", "15", "18", "next day"])
    for x, fault in zip(hours, table["fault"], strict=True):
        if fault:
            ax.axvspan(x - 0.45, x + 0.45, color=ORANGE, alpha=0.25, lw=0, zorder=0)
            place = ax.get_xaxis_transform()
            ax.text(x, 0.9, letters[fault], transform=place, ha="center", weight="bold")


_NEXT_DAY = 22  # where a dashboard has the first hour of the next day


def _shards(axes, table: pd.DataFrame, hours: list[int]) -> None:
    """What became of the shards of each step, a row for each outcome, and which version served."""
    fates = ["learned", "nothing landed", "damaged", "from the future", "there already"]
    for x, seen in zip(hours, table["shards"], strict=True):
        rows = [fates.index(fate) for fate in seen]
        axes.plot([x] * len(rows), rows, "o", color=BLUE, ms=6)
    strip, names = len(fates) + 0.4, list(dict.fromkeys(table["version"]))
    for x, version in zip(hours, table["version"], strict=True):
        colour = (BLUE, GREEN, RED)[names.index(version) % 3]
        box = {"facecolor": colour, "alpha": 0.25, "lw": 0}
        axes.add_patch(Rectangle((x - 0.5, strip - 0.42), 1, 0.84, **box))
        axes.text(x, strip, version, fontsize=9, ha="center", va="center")
    axes.axhline(strip - 0.7, color=GREY, lw=1)
    axes.set_yticks([*range(len(fates)), strip], [*fates, "version"])
    axes.set_title("the hour's shard, and the version", fontsize=11)
    axes.set(ylim=(strip + 0.6, -1.9))


def _day_hours(table: pd.DataFrame) -> list[int]:
    """The hours [n] of a day's rows; that of the next day is 22."""
    return [int(hour) if hour.isdigit() else _NEXT_DAY for hour in table["hour"]]
