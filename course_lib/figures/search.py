"""Figures of vector indexes (03)."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Wedge
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from course_lib import looks
from course_lib.figures.style import (
    arrow,
    ink_of,
    keys_outside,
    legend_key,
    name_lines,
    panels,
    styled,
)
from course_lib.looks import BLACK, BLUE, FIVE, GREY, ORANGE, RED


def circles(
    degrees: np.ndarray,
    query: float,
    groups: np.ndarray,
    steps: list[dict],
    centres: np.ndarray | None = None,
) -> Figure:
    """Unit vectors of two entries on their circle, a panel for each step of a search, and below
    them what the marks mean.

    - `degrees`: [m] where the items point; `query`: where the query points.
    - `groups`: [m] 0, 1 or 2: each has a colour and a marker, and if there are several, says
      whether it was opened.
    - `steps`: each a `title`; `seen`, the items that were compared, the others being pale; and
      `found`, those with a ring. Without these the search has not begun. A step in a graph has
      `links` too, a list of items for each item in it, and the items along its `walk`; it may have
      such a graph `above` it, whose walk came first; and `notes`, texts with their places. It may
      have `groups` and `centres` of its own; without a `query` (False) borders and centres have no
      names either.
    - `centres`: [c, 2] the groups', marked by crosses with their degrees, if any; then each group's
      sector is tinted, up to the borders halfway between two centres.
    """
    columns = 2 if len(steps) == 4 else min(len(steps), 3)
    rows = -(-len(steps) // max(columns, 1))
    side = 3.9 if columns == 2 else 3.2
    figure, axes = panels(columns, rows * (side + 0.2) + 0.4, columns * side, rows, of=steps)
    turns, around = np.radians(degrees), np.linspace(0, 2 * np.pi, 200)
    outer = np.stack([np.cos(turns), np.sin(turns)], axis=1)  # [m, 2]
    tip = np.cos(np.radians(query)), np.sin(np.radians(query))
    several = len(np.unique(groups)) > 1
    steps = [{"groups": groups, "centres": centres} | step for step in steps]
    keys = [Line2D([], [], color=RED, lw=1.5, label="query")]
    if any("seen" in step for step in steps):
        bright, pale = "compared", "not compared"
        if several:  # whose colours are the groups'
            bright, pale = f"bright: {bright}", f"pale: {pale}"
        ring = {"marker": "o", "mfc": "none", "mec": RED, "color": RED, "ms": 11}
        keys += [
            legend_key(bright, "o", "#555555" if several else BLUE),
            legend_key(pale, "o", "#D0D0D0" if several else "#BFDBEC"),
            Line2D([], [], ls="", **ring, label="found"),
        ]
    if centres is not None:
        keys.append(legend_key("centre of a list (shape and colour: the list)", "x", "black"))
    if any("walk" in step for step in steps):
        keys.append(Line2D([], [], color="black", lw=2, label="walk"))
    if any("above" in step for step in steps):
        look = {"color": "black", "lw": 2, "ls": ":", "marker": ">"}
        keys.append(Line2D([], [], label="down, to the same item", **look))
    for ax, step in zip(axes, steps, strict=False):
        layers, groups, centres = [(outer, step)], step["groups"], step["centres"]
        if "above" in step:
            layers.append((0.6 * outer, step["above"]))
        if centres is not None:
            _sectors(ax, centres, step.get("query", True))
        walked = []
        for places, layer in layers:
            graph = layer.get("links", {})
            links = {(item, near) for item in graph for near in graph[item]}
            if not graph:
                ax.plot(np.cos(around), np.sin(around), color=GREY, lw=0.5, zorder=0)
                if step.get("query", True):
                    _name_groups(ax, outer, groups, layer.get("seen"), centres)
            for start, end in sorted(links):
                both = (end, start) in links
                way = _way(places, start, end, graph)  # [n, 2]
                ax.plot(*way.T, color=GREY if both else "#555555", lw=0.8, zorder=0)
                if not both:
                    head = "-|>,head_width=0.35,head_length=0.6"
                    tail, point = way[[0, -1]] if len(way) == 2 else way[[11, 14]]
                    point = 0.4 * tail + 0.6 * point
                    arrow(ax, tail, point, "#555555", 1, head, gap=0)
            for item in graph or range(len(degrees)):
                look = {"color": FIVE[groups[item]], "marker": "os^"[groups[item]], "ms": 9}
                ax.plot(
                    *places[item], alpha=1 if item in layer.get("seen", [item]) else 0.25, **look
                )
                if places is not outer:  # beside it, off the links
                    spot = 0.72 * np.array([np.cos(turns[item] + 0.22), np.sin(turns[item] + 0.22)])
                    name = ax.text(*spot, item, ha="center", va="center", fontsize=9)
                    name.set_path_effects([withStroke(linewidth=3, foreground="white")])
            walked = [*((item, places[item]) for item in layer.get("walk", [])), *walked]
        for (item, start), (other, end) in pairwise(walked):
            bend = _bend(outer, item, other, step["links"]) if len(layers) == 1 else 0
            style = ":" if item == other else "-"
            arrow(ax, start, end, "black", 2, style=style, bend=bend)
        if walked:
            x, y = walked[0][1] + (0.07, 0.07) if "above" in step else 1.2 * walked[0][1] + (0.1, 0)
            ax.text(x, y, "start", va="center", fontsize=9, style="italic")
        for group, place in enumerate(() if centres is None else centres):
            ax.plot(*(0.8 * place), "x", color=ink_of(FIVE[group]), ms=10, mew=2.5)
        for text, spot in step.get("notes", {}).items():
            ax.text(*spot, text, ha="center", va="center", fontsize=9, color=ink_of(RED))
        if len(found := step.get("found", [])):
            ax.plot(*outer[found].T, "o", mfc="none", mec=RED, ms=17, mew=1.8)
        if step.get("query", True):
            arrow(ax, (0, 0), tip, RED, 1.5, head="-|>", gap=0)
        for number, place in enumerate(1.2 * outer):
            ax.text(*place, number, ha="center", va="center", fontsize=10)
        ax.set(aspect="equal", title=step["title"], xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
        ax.axis("off")
    for ax in axes[len(steps) :]:
        ax.remove()
    keys_outside(figure, keys, min(len(keys), 3 * columns), columnspacing=1.2, handletextpad=0.4)
    return figure


def _bend(places: np.ndarray, start: int, end: int, others: Collection[int]) -> float:
    """How far a link swings out, as a share of its length, so that it misses what it would cross:
    0 unless one of the others stands close to its middle.
    """
    middle = places[[start, end]].mean(0)
    near = [i for i in others if i not in (start, end)]
    if not any(np.linalg.norm(places[i] - middle) < 0.15 for i in near):
        return 0
    (dx, dy) = places[end] - places[start]
    return 0.42 if (dy, -dx) @ middle > 0 else -0.42


def _way(places: np.ndarray, start: int, end: int, others: Collection[int]) -> np.ndarray:
    """Points [n, 2] of the link between two places, straight or bent."""
    ends = places[[start, end]]
    bend = _bend(places, start, end, others)
    if not bend:
        return ends
    dx, dy = ends[1] - ends[0]
    turn = ends.mean(0) + bend * np.array([dy, -dx])
    t = np.linspace(0, 1, 21)[:, None]
    return (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * turn + t**2 * ends[1]


def _sectors(axes, centres: np.ndarray, named: bool) -> None:
    """Tint what is nearest to each centre on the circle, and draw the borders between."""
    turns = np.degrees(np.arctan2(*centres.T[::-1])) % 360
    order = np.argsort(turns)
    for group, after in zip(order, np.roll(order, -1), strict=True):
        border = turns[group] + (turns[after] - turns[group]) % 360 / 2
        before = turns[order[list(order).index(group) - 1]]
        start = turns[group] - (turns[group] - before) % 360 / 2
        look = {"color": FIVE[group], "alpha": 0.17, "lw": 0, "zorder": -2}
        axes.add_patch(Wedge((0, 0), 1, start, border, **look))
        end = np.cos(np.radians(border)), np.sin(np.radians(border))
        axes.plot(*zip((0, 0), end, strict=True), color="#888888", lw=1, ls="--", zorder=-1)
        rim = 1.14 * np.array(end)
        axes.text(*rim, "border" * named, ha="center", va="center", fontsize=9, color="#555555")


def _name_groups(
    axes,
    places: np.ndarray,
    groups: np.ndarray,
    seen: Collection[int] | None,
    centres: np.ndarray | None,
) -> None:
    """Write into each of several groups whether its items were compared, and where its centre
    points.
    """
    for group in np.unique(groups) if len(set(np.asarray(groups).tolist())) > 1 else ():
        items = np.flatnonzero(groups == group)
        middle = places[items].mean(0) if centres is None else centres[group]
        words = (
            [] if centres is None else [f"{round(np.degrees(np.arctan2(*middle[::-1])) % 360)}°"]
        )
        if seen is not None:
            words.append("list opened" if np.isin(items, list(seen)).all() else "not opened")
        spot = 0.6 * middle / np.linalg.norm(middle) * (1 if centres is None else 0.75)
        look = {"ha": "center", "va": "center", "fontsize": 9, "color": ink_of(FIVE[group])}
        axes.text(*spot, "\n".join(words), **look)


def dials(table: pd.DataFrame, chosen: int | None = None, title: str = "") -> Figure:
    """Vectors compared over recall: a line for lists, and one for a graph of each M; a small number
    beside each dot is the dial's. A bar at a recall of 0.95 leads from the least that a graph
    compares to what lists do, read off the drawn lines.

    - `table`: `index` ("ivf" or "hnsw"), `M`, `value` (nprobe or efSearch), `recall`, `compared`
      (share of the vectors).
    - `chosen`: a row of it, to be ringed, and then there is no bar.
    """
    figure, (axes,) = panels(height=4.6, of=table)
    needed = {"ivf": [], "hnsw": []}
    sides = ((-6, 4), "right"), ((1, -14), "left"), ((4, -13), "left")
    parts = table.groupby(["index", "M"], dropna=False)
    parts = sorted(parts, key=lambda part: part[0][0] == "hnsw")
    own = [(k if k == "ivf" or table["M"].max() == M else (k, M), part) for (k, M), part in parts]
    for number, (_, part, look) in enumerate(styled(own)):
        kind, M = part["index"].iloc[0], part["M"].iloc[0]
        if len(own) == 3 and kind == "hnsw" and table["M"].max() > M:  # a graph, so a green
            look = look._replace(colour="#00573F")
        size = f" with M = {M:.0f}" if table["M"].nunique() > 1 else ""
        name = "lists, by nprobe" if kind == "ivf" else f"graph{size}, by efSearch"
        drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
        axes.plot(part["recall"], 100 * part["compared"], ms=5, label=name, **drawn)
        _number_dots(axes, part.assign(compared=100 * part["compared"]), look, sides[number % 3])
        if part["recall"].max() > 0.95 > part["recall"].min():
            needed[kind].append(100 * read_off(part["recall"], part["compared"], 0.95))
    _stretch_to_one(axes, "x", table["recall"].min())
    axes.set(yscale="log", ylabel="vectors compared (% of all)", xlabel="recall", title=title)
    axes.set_yticks([2, 5, 10, 20, 50], [2, 5, 10, 20, 50])
    axes.margins(y=0.1)
    axes.minorticks_off()
    if chosen is not None:
        row = table.loc[chosen]
        axes.plot(row["recall"], 100 * row["compared"], "o", mfc="none", mec=RED, ms=16, mew=2)
    elif all(needed.values()):
        ends = [min(needed["hnsw"]), min(needed["ivf"])]
        axes.plot([0.95, 0.95], ends, "_-", color=BLACK, lw=3, ms=14, mew=3)
        look = {"color": BLACK, "fontsize": 11, "weight": "bold", "ha": "center", "va": "center"}
        look["path_effects"] = [withStroke(linewidth=3, foreground="white")]
        for y, shift in zip(ends, ((-12, -15), (0, 14)), strict=True):
            text = {"textcoords": "offset points", **look}
            axes.annotate(f"{y:.0f} %", (0.95, y), shift, **text)
    axes.legend(loc="upper left", frameon=False)
    return figure


def _number_dots(axes, part: pd.DataFrame, look: looks.Look, side: tuple) -> None:
    """Beside each dot at (`recall`, the last column) the `value` of its dial."""
    text = {"textcoords": "offset points", "fontsize": 9, "color": look.colour}
    text["path_effects"] = [withStroke(linewidth=2, foreground="white")]
    for value, recall, y in zip(part["value"], part["recall"], part.iloc[:, -1], strict=True):
        axes.annotate(f"{value:.0f}", (recall, y), xytext=side[0], ha=side[1], **text)


def _stretched(recall):
    return -np.log(1.01 - recall)


def read_off(recall: np.ndarray, cost: np.ndarray, at: float) -> float:
    """The cost at which a recall is reached, between the two nearest of the settings [n]: read off
    the straight line that `dials` and `frontier` draw, on their stretched axis of recall and
    logarithmic axis of cost.
    """
    order = np.argsort(recall := np.asarray(recall))
    costs = np.log(np.asarray(cost)[order])
    return float(np.exp(np.interp(_stretched(at), _stretched(recall[order]), costs)))


def _stretch_to_one(axes, name: str, least: float) -> None:
    """Recall on axis "x" or "y", which gives the last hundredths before 1 room."""
    scale = (_stretched, lambda y: 1.01 - np.exp(-y))
    ticks = [0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1]
    getattr(axes, f"set_{name}scale")("function", functions=scale)
    getattr(axes, f"set_{name}ticks")(ticks, [f"{tick:g}" for tick in ticks])
    getattr(axes, f"set_{name}lim")(least - 0.05, 1.002)


def frontier(
    table: pd.DataFrame, names: dict[str, str], title: str, at: float, least: float = 0.6
) -> Figure:
    """The least CPU milliseconds per query at which each index reaches a recall, a line per index,
    named at its lower end, from a recall of `least` on. A setting that another of the same index
    beats in both is left out. An arrow leads from the time of the exact scan ("flat"), if there is
    one, to a bar over the times `at` a recall.

    - `table`: `index`, `recall`, `ms`; and perhaps `value`, the dial's, to stand beside each dot.
    - `names`: what each index is called.
    """
    figure, (axes,) = panels(height=4.6, of=table)
    lines, times, scan = {}, [], None
    parts = table[table["index"].isin(list(names))].groupby("index", sort=False)
    for name, part, look in styled(parts):
        called, part = names[name.lstrip("\u200b")], part.sort_values("ms")
        part = part[part["recall"] > part["recall"].cummax().shift(fill_value=-1)]
        drawn = {"marker": look.marker, "color": look.colour, "mfc": "white", "ms": 6}
        axes.plot(part["recall"], part["ms"], ls=look.dashes, **drawn)
        ms = read_off(part["recall"], part["ms"], at)
        if "value" in part and name != "flat":
            side = {"^": ((7, -4), "left"), "v": ((-3, -13), "right")}.get(look.marker)
            shown = part.loc[part["recall"] >= least, ["value", "recall", "ms"]]
            _number_dots(axes, shown, look, side or ((-6, 3), "right"))
        if name == "flat":
            scan = ms
            axes.axhline(ms, color=look.colour, lw=1, ls=":")
            called = f"{called}: {ms:.1f} ms"
        elif part["recall"].max() >= at:
            times.append(ms)
            axes.plot(at, ms, "o", color=look.colour, ms=5)
        first = part.loc[part["recall"] >= least, ["recall", "ms"]].to_numpy()[:1]
        lines[called] = first, ink_of(look.colour)
    _stretch_to_one(axes, "x", least + 0.05)
    axes.set(yscale="log", title=title, ylabel="CPU ms per query, one thread")
    axes.set_xlabel("recall of the right hundred")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    shown = table.loc[table["index"].isin(list(names)) & (table["recall"] >= least), "ms"]
    axes.set_ylim(0.7 * shown.min(), 2 * shown.max())
    if scan and times:
        arrow(axes, (at, scan), (at, max(times)), BLACK, 2, gap=4)
        axes.plot([at, at], [min(times), max(times)], color=BLACK, lw=4, zorder=1)
        look = {"color": BLACK, "weight": "bold", "ha": "right", "va": "center"}
        ends = dict.fromkeys(f"{ms:.2f}" for ms in (min(times), max(times)))
        faster = dict.fromkeys(f"{scan / ms:.0f}" for ms in (max(times), min(times)))
        text = f"at {at:g}: {' to '.join(ends)} ms,\n{' to '.join(faster)} times as fast"
        axes.annotate(text, (at, 3 * min(times)), (-8, 24), textcoords="offset points", **look)
    name_lines(axes, lines, 10)
    return figure


def memory(table: pd.DataFrame, title: str, apart: int | None = None) -> Figure:
    """Recall over the bytes that an item takes, a dot per index with its milliseconds beside it.

    - `table`: by name of the index, its `called`, `bytes`, `recall`, `ms`.
    - `apart`: the bytes in fast memory of re-ranked codes ("ivfpq re-ranked") whose whole vectors
      lie elsewhere: a hollow mark at the same recall, of no measured time, to which an arrow leads
      from the codes alone ("ivfpq").
    """
    figure, (axes,) = panels(height=4, of=table)
    lines = {}
    rows = (row for _, row in table.iterrows())
    for row, look in zip(rows, looks.of(table.index), strict=True):
        axes.plot(row["bytes"], row["recall"], look.marker, color=look.colour, ms=9)
        point = np.array([[row["bytes"], row["recall"]]], dtype=float)
        lines[f"{row['called']}: {row['ms']:.{1 if row['ms'] >= 1 else 2}f} ms"] = (
            point,
            ink_of(look.colour),
        )
        if row.name == "ivfpq re-ranked" and apart:
            hollow = {"color": look.colour, "mfc": "white", "mew": 2, "ms": 9}
            axes.plot([apart, row["bytes"]], [row["recall"]] * 2, color=look.colour, lw=1, ls=":")
            axes.plot(apart, row["recall"], look.marker, **hollow)
            text = "re-ranked, whole vectors on a disk:\ntime not measured"
            ink = {"color": ink_of(look.colour), "fontsize": 10, "va": "top"}
            axes.annotate(text, (apart, row["recall"]), (10, -8), textcoords="offset points", **ink)
    if apart and "ivfpq" in table.index:
        ends = table.loc[["ivfpq", "ivfpq re-ranked"], "recall"]
        arrow(axes, *((apart, recall) for recall in ends), "#333333", 1.5, gap=9)
    ticks = [16, 32, 64, 128, 256, 512]
    axes.set(xscale="log", title=title, ylabel="recall of the right hundred")
    axes.set_xlabel("bytes an item in fast memory")
    axes.set(xlim=(0.6 * table["bytes"].min(), 2.5 * table["bytes"].max()), ylim=(0.3, 1.06))
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    name_lines(axes, lines, 10)
    return figure


def aged(recalls: dict[int, np.ndarray], title: str) -> Figure:
    """Recall over the nights since an index was learned, which are stretched near 0: a faint dot
    per run, a line through their means, and a band over what the runs of 0 nights found.

    `recalls`: [runs] by age in nights, 0 among them.
    """
    figure, (axes,) = panels(height=3.6, of=recalls)
    ages = sorted(recalls)
    axes.axhspan(min(recalls[0]), max(recalls[0]), color=GREY, alpha=0.25, lw=0)
    for age in ages:
        faint = {"color": BLUE, "ms": 6, "alpha": 0.35, "mec": "none"}
        axes.plot([age] * len(recalls[age]), recalls[age], "o", **faint)
    axes.plot(ages, [np.mean(recalls[age]) for age in ages], "o-", color=BLUE, lw=2, ms=7)
    roots = (lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2)
    axes.set_xscale("function", functions=roots)
    axes.set_xticks(ages, ["today" if age == 0 else age for age in ages])
    axes.set(xlabel="nights since the lists were learned", ylabel="recall of the right ten")
    axes.set(title=title, ylim=(0.4, 1), xlim=(-0.1, 1.1 * max(ages)))
    look = {"fontsize": 10, "va": "center", "ha": "right"}
    text = "what lists learned today find, by order of the items"
    axes.text(1.07 * max(ages), max(recalls[0]) + 0.03, text, color="#555555", **look)
    end = max(ages), np.mean(recalls[max(ages)])
    axes.annotate("mean", end, (-12, 14), textcoords="offset points", color=ink_of(BLUE), **look)
    return figure


def codes(vector: np.ndarray, codebooks: np.ndarray, sizes: tuple[int, int]) -> Figure:
    """Product quantisation: how long a vector and its code are, and, a panel for each part, which
    entry of its codebook is nearest.

    - `vector`: [2·p], two numbers a part, to be drawn in a plane; `codebooks`: [p, e, 2].
    - `sizes`: numbers of a real vector, of 4 bytes each, and parts of it, with a byte each.
    """
    parts = np.reshape(vector, (len(codebooks), 2))
    options = {"width_ratios": [1.5] + [1] * len(parts), "of": parts}
    figure, (left, *planes) = panels(1 + len(parts), 3.1, **options)
    numbers, pieces = sizes
    long = 4 * numbers / pieces
    for piece in range(pieces):
        ink = BLUE if piece % 2 else "#7FB8D8"
        left.barh(1, long, 0.34, long * piece, color=ink)
        left.barh(0, 1, 0.34, piece, color=ORANGE if piece % 2 else "#F3CF7F")
    left.text(0, 1.27, f"the vector, in {pieces} parts: {4 * numbers} bytes", fontsize=10)
    left.text(pieces + 5, 0, f"its code: {pieces} bytes, one a part", va="center", fontsize=10)
    arrow(left, (long / 2, 0.8), (0.5, 0.2), "#333333", 1.2, gap=0)
    left.text(long, 0.5, "number of the nearest code word", va="center", fontsize=9)
    left.set(title="A code is short", xlim=(0, 4 * numbers), ylim=(-0.5, 1.6))
    left.axis("off")
    every = [np.vstack([part, book]) for part, book in zip(parts, codebooks, strict=True)]
    half = 0.8 * max(np.ptp(points, 0).max() for points in every)  # one scale in all planes
    for place, (ax, part, book) in enumerate(zip(planes, parts, codebooks, strict=True)):
        nearest = int(((book - part) ** 2).sum(1).argmin())
        text = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
        for entry, word in enumerate(book):
            ink = "black" if entry == nearest else "#666666"
            ax.plot(*word, "x", color=ink, ms=9, mew=2.5)
            below = part[1] > word[1]
            ax.annotate(f"word {entry}", word, (0, -13 if below else 13), color=ink, **text)
        ax.plot(*part, "o", color=BLUE, ms=8)
        beside = (0, 13 if part[1] > book[nearest][1] else -13)
        ax.annotate("the part", part, beside, color=BLUE, weight="bold", **text)
        arrow(ax, part, book[nearest], BLUE, 1.5)
        middle = (every[place].max(0) + every[place].min(0)) / 2
        for name, value in zip("xy", middle, strict=True):
            getattr(ax, f"set_{name}lim")(value - half, value + half)
            getattr(ax, f"{name}axis").set_major_locator(MaxNLocator(3))
        ax.set_box_aspect(1)
        ax.set_anchor("N")
        ax.set(title=f"Part {place + 1} becomes word {nearest}", xlabel="first number")
        ax.set_ylabel("second number")
    return figure


def cost(sheets: dict[str, pd.DataFrame]) -> Figure:
    """R@100 over CPU seconds, a dot per arm, the course's own filled; a panel per sheet, whose rows
    are arms with `R@100` and `cpu_seconds`. Stairs lead over the best recall for a time.
    """
    tables = [table.dropna().sort_values("cpu_seconds") for table in sheets.values()]
    figure, axes = panels(len(sheets), height=4.4, of=min(tables, key=len, default=[]))
    for ax, title, table in zip(axes, sheets, tables, strict=True):
        names = {}
        best = table["R@100"].cummax()
        stairs = np.repeat(table["cpu_seconds"], 2)[1:], np.repeat(best, 2)[:-1]
        ax.plot(*stairs, color=GREY, lw=1, ls=":")
        for name, row in table[["cpu_seconds", "R@100"]].iterrows():
            own = str(name).startswith("ours")
            colour = BLUE if own else "#444444"
            ax.plot(*row, "o", color=colour, mfc=BLUE if own else "white")
            names[name] = row.to_numpy()[None], colour
        ax.set(xscale="log", xlabel="CPU seconds of the replay (log scale)", title=title)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(0.12, 0.09)
        name_lines(ax, names)
    axes[0].set_ylabel("R@100")
    return figure
