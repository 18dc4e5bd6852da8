"""Figures of a day in production and of more than one machine (13, 14)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from course_lib.figures.style import ink_of, legend_key, name_ends, panels, styled
from course_lib.looks import BLACK, BLUE, GREEN, GREY, ORANGE, RED


def divided_tables() -> Figure:
    """A long embedding table and a short one, cut for two ranks table-wise, column-wise and
    row-wise: a panel each.
    """
    figure, axes = panels(3, height=2.9)
    figure.suptitle("Three ways to divide two tables between two ranks", fontsize=12)
    tables = ((1.0, 4.0), (6.0, 1.4))  # left edge, height: all are four wide
    first, second = (to_rgb(colour) + (0.35,) for colour in (BLUE, ORANGE))
    ways = {
        "table-wise": "a long table unbalances the ranks",
        "column-wise": "exactly half for each rank",
        "row-wise": "even if new IDs are spread",
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
        4, "The alias switches in one step; each reader follows a little later"
    )
    names = ["collection items_v1", "collection items_v2", "the alias items", "a reader elsewhere"]
    bars = [
        (0, 0, 62, BLUE, "serves"),
        (0, 62, 38, GREY, "kept, to go back to"),
        (1, 22, 32, GREY, "is filled"),
        (1, 54, 46, ORANGE, "serves"),
        (2, 0, 54, BLUE, "leads to items_v1"),
        (2, 54, 46, ORANGE, "leads to items_v2"),
        (3, 0, 62, BLUE, "user tower 1, asks items_v1"),
        (3, 62, 38, ORANGE, "user tower 2, asks items_v2"),
    ]
    for row, start, width, colour, text in bars:
        _bar(axes, row, start, width, colour, text)
    axes.axvline(54, color=BLACK, lw=1.5, ls="--")
    axes.text(53, -0.72, "the alias switches", ha="right", va="center", fontsize=10)
    axes.axvline(62, color=BLACK, lw=1, ls=":")
    axes.text(63, -0.72, "the reader looks", va="center", fontsize=10)
    axes.set_yticks(range(4), names)
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
    axes.set_ylim(4, -0.6)
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
    within: dict[str, float] | None = None,
) -> Figure:
    """A panel for each column of the table, a dot for each index kind, on logarithmic axes, with
    the number beside each dot, to two digits: estimates have no more.

    `labels`: by column, what stands beside the dots instead. `within`: by column, the factor by
    which its values may be off, up or down: a pale bar.
    """
    figure, axes = panels(len(table.columns), height=0.42 * len(table) + 1.5, of=table, sharey=True)
    if title:
        figure.suptitle(title, fontsize=12)
    for ax, (name, values) in zip(axes, table.items(), strict=True):
        start = min(1.0, 10.0 ** np.floor(np.log10(values.min())))
        span = max(values.max() / start, 10)
        factor = within.get(name, 1) if within else 1
        for row, value in enumerate(values):
            ax.barh(row, value * (factor - 1 / factor), 0.42, value / factor, color=BLUE, alpha=0.2)
            ax.plot(value, row, "o", color=BLUE, ms=9)
            text = f"{float(f'{value:.2g}'):,.{0 if value >= 1 else 2}f}"
            text = labels[name][row] if labels and name in labels else text
            left = len(text) > 7 and value > start * span**0.6
            drawn = {
                "textcoords": "offset points",
                "va": "center",
                "ha": "right" if left else "left",
            }
            ax.annotate(text, (value, row), (-9 if left else 9, 0), **drawn)
        ends = start, max(start * span**1.45, 1.3 * factor * values.max())
        ax.set(xscale="log", xlim=(min(ends[0], values.min() / factor / 1.3), ends[1]))
        ax.set_title(name, fontsize=10.5)
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_yticks(range(len(table)), table.index)
    axes[0].set_ylim(len(table) - 0.5, -0.5)
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


def parts_and_copies(copies: int = 4) -> Figure:
    """Two parts of an index side by side, their copies below each other, and a request between
    them that asks one copy of each part at once.
    """
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
        axes.text(9.1, 3.52, "hour by hour; only the night learns the last", **words)
    else:
        axes.text(20.2, 4, "hour by hour", **words)
    rows = np.linspace(0.08, 0.5, len(hours))  # what the hours have learned
    axes.bar(hours + 0.5, rows, 1, 1.75, color=ORANGE)
    end = 24 if numbered else 25.6
    axes.barh(1.75, end - hours[-1] - 1, rows[-1], hours[-1] + 1, color=ORANGE, align="edge")
    axes.text(7, 2.48, "ID rows of the users and items in those events", color="#8a5a00", **words)
    axes.plot(end, 2, "x", color="black", ms=11, mew=2.5)
    axes.text(*((20.4, 2.48) if numbered else (26.2, 2)), "discarded", **words)
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
) -> Figure:
    """A day in production by the hour, as `production.Day.table` has it, one measure a panel:
    recall, the served state's age, events learned, and with `notes` what became of the shards, and
    the name of the version that serves. The next day's first hour stands apart.

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
    columns, rows = (2, 2) if notes else (1, 3)
    figure, axes = panels(columns, height=5.8, rows=rows, of=table)
    figure.get_layout_engine().set(hspace=0.08)
    hours, end = _day_hours(table), _NEXT_DAY
    for ax, (column, title) in zip(axes, measures.items(), strict=False):
        seen = pd.concat([rows[column].iloc[1:-1] for rows, _ in days.values()]).max()
        if column != "age" or not seen > 0:  # the first and the last are as old as a night
            seen = max(rows[column].max() for rows, _ in days.values())
        top = 1.35 * seen or 1
        for name, (rows, look) in days.items():
            x, y = np.array(_day_hours(rows)), rows[column].where(rows[column] <= top)
            ax.plot(x[x < end], y[x < end], label=name, **look)
            ax.plot(x[x == end], y[x == end], **look)
        ax.set_title(title, fontsize=11)
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
