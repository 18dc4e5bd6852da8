"""Figures of the log and of the plane on which its items lie (01, 15)."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
import pandas as pd
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.figure import Figure

from course_lib import looks
from course_lib.figures.style import keys_outside, legend_key, panels
from course_lib.log import DAY, EventLog
from course_lib.looks import BLACK, BLUE, GREY, ORANGE, RED, SKY

MANY = 100  # a set of more items than these is shown on a map by brightness, not by markers


def head_effect(counts: np.ndarray, of: str = "items") -> Figure:
    """The share of the events that the top items take, with the tenth's marked, and how much of
    both the head, the mid and the tail have; or the top of whatever else is counted.
    """
    counts = np.sort(counts)[::-1]
    figure, (axes,) = panels(height=4, of=counts)
    top = 100 * np.arange(len(counts) + 1) / len(counts)
    share = 100 * np.r_[0, counts.cumsum()] / counts.sum()
    bands = {"head": (counts > 100, 0.28), "mid": ((counts > 20) & (counts <= 100), 0.16)}
    bands["tail"] = (counts <= 20, 0.06)
    for name, (inside, alpha) in bands.items():
        places = np.flatnonzero(inside)
        if not len(places):
            continue
        start, end = top[places[0]], top[places[-1] + 1]
        axes.axvspan(start, end, color=BLUE, alpha=alpha, lw=0)
        axes.text((start + end) / 2, 129, name, ha="center", va="center", weight="bold")
        part = 100 * counts[inside].sum() / counts.sum()
        text = f"{end - start:.0f} % of the {of},\n{part:.0f} % of the events"
        axes.text((start + end) / 2, 115, text, ha="center", va="center", fontsize=9.5)
    axes.plot(top, share, color=BLUE, lw=2.5)
    axes.plot([0, 100], [0, 100], color=GREY, ls="--", lw=1)
    axes.text(71, 63, f"if all {of} were alike", color="#555555", va="center")
    tenth = share[np.searchsorted(top, 10.01) - 1] if len(counts) >= 10 else share[1]
    axes.plot([10, 10, 0], [0, tenth, tenth], color=RED, lw=1.2, ls=":")
    axes.plot(10, tenth, "o", color=RED, ms=8)
    text = f"10 % of the {of},\n{tenth:.0f} % of the events"
    arrow = {"arrowstyle": "-", "color": RED, "shrinkB": 6}
    look = {"color": "#A04000", "weight": "bold", "va": "bottom", "arrowprops": arrow}
    axes.annotate(text, (10, tenth), (1.5, 80), **look)
    axes.set(xlim=(0, 100), ylim=(0, 137))
    axes.set(title=f"When the log ends, the top tenth of the {of} has {tenth:.0f} % of the events")
    axes.set(xlabel=f"{of}, those with the most events first (%; the shares above are rounded)")
    axes.set(ylabel="share of all events (%)", yticks=range(0, 101, 20))
    return figure


def hours_against_day(values: dict[str, np.ndarray], xlabel: str, title: str) -> Figure:
    """A histogram for each kind of draw, one above the other on the same axes: how much further
    from its day each hour is than its own draw. What is above 0 is orange, and a mark is at the
    mean.
    """
    figure, axes = panels(1, 1.6 * len(values) + 0.9, 9, len(values), values, sharex=True)
    for ax in axes[1:]:
        ax.sharey(axes[0])
    every = np.concatenate(list(values.values()))
    step = 0.01 if len(every) > 500 else 0.04
    edges = step * np.arange(np.floor(every.min() / step), np.ceil(every.max() / step) + 1)
    for ax, (name, part) in zip(axes, values.items(), strict=True):
        heights, _, bars = ax.hist(part, edges, edgecolor="white", lw=0.5)
        for left, bar in zip(edges, bars, strict=False):
            bar.set_facecolor(ORANGE if left > -step / 2 else SKY)
        mean, at = np.mean(part), ax.get_xaxis_transform()
        ax.axvline(0, color=BLACK, lw=1.5)
        ax.plot(mean, 1.02, "v", color=BLACK, ms=8, transform=at, clip_on=False)
        ax.text(mean, 1.09, f"  mean {mean:+.3f}".replace("-", "−"), transform=at)
        for x, side, share, how, ink in (
            (0.01, "left", np.mean(part < 0), "nearer", "#0A5A8A"),
            (0.99, "right", np.mean(part > 0), "further", "#8A5A00"),
        ):
            text = f"{100 * share:.0f} % of the hours\nare {how}"
            ax.text(x, 0.62, text, transform=ax.transAxes, ha=side, color=ink, weight="bold")
        ax.set_title(name, loc="left", fontsize=10, weight="bold")
        ax.set_ylabel("hours")
    axes[-1].set_xlabel(xlabel)
    figure.suptitle(title, fontsize=12)
    return figure


def strips(values: pd.DataFrame, xlabel: str, title: str) -> Figure:
    """A row of dots for each column, with its mean as a bar and a number, and a line at 0."""
    figure, (axes,) = panels(height=0.62 * values.shape[1] + 1.1, of=values)
    shift = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
    for row, (name, look) in enumerate(zip(values, looks.of(values), strict=True)):
        mean = values[name].mean()
        axes.plot(values[name], row + shift, "o", color=look.colour, ms=4, alpha=0.45, mec="none")
        axes.plot([mean, mean], [row - 0.34, row + 0.34], color="black", lw=3)
        axes.text(mean, row - 0.38, f"mean {mean:.2f}", ha="center", va="bottom", fontsize=9.5)
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(range(values.shape[1]), values.columns)
    axes.set(xlabel=xlabel, title=title, ylim=(values.shape[1] - 0.5, -0.75))
    axes.grid(visible=False, axis="y")
    return figure


def newcomers(weekly: pd.DataFrame) -> Figure:
    """How many of each column were seen for the first time in each week, the index; a cross stands
    where none was.
    """
    arrow = {"arrowstyle": "-", "color": GREY, "shrinkB": 9}
    figure, axes = panels(weekly.shape[1], height=3, of=weekly, sharey=True)
    for ax, (name, counts), colour in zip(axes, weekly.items(), (BLUE, ORANGE), strict=True):
        ax.bar(counts.index, counts, width=5, color=colour)
        none = counts.index[counts == 0]
        ax.plot(none, np.full(len(none), 0.025 * weekly.to_numpy().max()), "x", color=BLACK, ms=6)
        for week in none[:1]:
            text = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
            ax.annotate("none", (week, 0), (0, 38), arrowprops=arrow, **text)
        ax.set_title(f"new {name}")
        ax.xaxis.set_major_locator(MonthLocator(interval=2))
        ax.xaxis.set_major_formatter(DateFormatter("%b"))
        first, last = weekly.index[[0, -1]].year
        ax.set_xlabel(f"week of {first}" if first == last else f"week, {first} to {last}")
    axes[0].set_ylabel("seen for the first time")
    figure.suptitle("New users come in every week, new items in nearly every one", fontsize=12)
    return figure


def log_days(log: EventLog, spans: dict[str, tuple]) -> Figure:
    """Events and new items of each day, with up to three named spans (first day, day after the
    last), and what share of each span's events are their items' first; the title says if that is
    clearly more in the last but one. An arrow points to a day with hardly any events.
    """
    new = log.events.drop_duplicates("item")
    new_items = "Items chosen for the first time, and their share of the events in each span"
    counts = {"Events on each day": log.events, new_items: new}
    figure, axes = panels(1, height=4.8, rows=2, of=log.events, sharex=True)
    colours, shares = (GREY, ORANGE, BLUE)[-len(spans) :], []
    for first, last in spans.values():
        inside = [rows["time"].between(first, last, "left").sum() for rows in (new, log.events)]
        shares.append(inside[0] / max(inside[1], 1))
    for ax, (title, events) in zip(axes, counts.items(), strict=True):
        daily = events.resample("D", on="time").size()
        ax.bar(daily.index, daily, width=1.0, align="edge", color="#8a8a8a")
        ax.set(title=title, ylabel="items" if events is new else "events")
        ax.margins(y=0.2)
        for name, colour, share in zip(spans, colours, shares, strict=True):
            first, last = spans[name]
            alpha = 0.2 if colour == GREY else 0.4
            ax.axvspan(first, last, color=colour, alpha=alpha, lw=0, zorder=0)
            look = {"ha": "center", "va": "top", "fontsize": 9, "parse_math": False}
            text, at = f"{100 * share:.0f} %" if events is new else name, first + (last - first) / 2
            ax.text(at, 0.97, text, transform=ax.get_xaxis_transform(), **look)
    if len(shares) > 1 and shares[-2] > 1.2 * shares[-1]:
        figure.suptitle("The log is still filling up when the settings are chosen", fontsize=12)
    _mark_gap(axes[0], log.events.resample("D", on="time").size())
    axes[1].xaxis.set_major_formatter(DateFormatter("%d %b\n%Y"))
    return figure


def _mark_gap(axes, daily: pd.Series) -> None:
    """An arrow to the emptiest day between the first and the last, if it has less than a fifth of
    the median.
    """
    whole = daily.iloc[1:-1]
    if len(whole) and whole.min() < whole.median() / 5:
        day, top = whole.idxmin(), 0.86 * axes.get_ylim()[1]
        text = f"{day.day} {day:%B}: {whole[day]:,} events"
        arrow = {"arrowstyle": "->", "color": BLACK}
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none"}
        look = {"ha": "center", "fontsize": 9, "arrowprops": arrow, "bbox": box, "zorder": 5}
        axes.annotate(text, (day + DAY / 2, whole[day]), (day + DAY / 2, top), **look)


def item_map(
    places: np.ndarray, kinds: np.ndarray, colours: dict[str, str], steps: dict[str, dict]
) -> Figure:
    """All items in a plane, a dot each in the colour of its kind, and a panel for each step.

    - `places`: [m, 2], y pointing down. `kinds`: [m] numbers of the entries of `colours`.
    - `steps`: of each, sets of rows by name. Where there are some, all other items are pale, and
      each set has a marker, or is merely bright: see `bright`.
    """
    columns = 2 if len(steps) in (2, 4) else min(len(steps), 3)
    width, rows = (9 if columns > 1 else 6.6), -(-len(steps) // max(columns, 1))
    height = rows * (0.9 * width / max(columns, 1) + 0.3) + 0.6
    figure, axes = panels(columns, height, width, rows, of=steps and places)
    shades = np.array(list(colours.values()))
    small = [name for name in _names(steps) if name not in bright(steps)]
    if len(small) > 4:
        raise ValueError(f"there are {len(small)} sets, and a map tells 4 apart; draw fewer.")
    markers = dict(zip(small, "so^D", strict=False))
    for ax, (title, sets) in zip(axes, steps.items(), strict=False):
        lit = np.concatenate([[], *(rows for name, rows in sets.items() if name not in markers)])
        alpha = np.where(np.isin(np.arange(len(places)), lit) | (not sets), 1, 0.2)
        ax.scatter(*places.T, s=12 / columns, c=shades[kinds], alpha=alpha, lw=0)
        for name in sorted(filter(markers.get, sets), key=lambda name: -len(sets[name])):
            look = {"marker": markers[name], "s": 48 / columns**0.5, "ec": "black", "lw": 1.1}
            ax.scatter(*places[sets[name]].T, c=shades[kinds[sets[name]]], **look)
        ax.set(aspect="equal", title=title, xticks=[], yticks=[])
        ax.margins(0.03)
        ax.invert_yaxis()
        ax.grid(False)
        ax.spines[:].set_visible(False)
    for ax in axes[len(steps) :]:
        ax.remove()
    keys = [legend_key(name, "o", colour) for name, colour in colours.items()]
    keys += [legend_key(name, mark, "black", "white") for name, mark in markers.items()]
    keys += [legend_key(f"bright: {name}", ".", GREY) for name in bright(steps)]
    keys_outside(figure, keys, 4, fontsize=8, columnspacing=1, handletextpad=0.2)
    return figure


def bright(steps: dict[str, dict[str, Sized]]) -> list[str]:
    """The names of the sets that a map shows by brightness: over MANY items in some step."""
    most = {name: max(len(sets.get(name, ())) for sets in steps.values()) for name in _names(steps)}
    return [name for name, items in most.items() if items > MANY]


def _names(steps: dict[str, dict[str, Sized]]) -> list[str]:
    return list(dict.fromkeys(name for sets in steps.values() for name in sets))
