"""Every figure of the course: one function each, in colours that survive colour blindness and
greyscale.
"""

from __future__ import annotations

import base64
import html
import io
import json
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Sized
from itertools import cycle, pairwise

import matplotlib
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from course_lib import looks, texts
from course_lib.evaluation import Difference
from course_lib.log import EventLog
from course_lib.looks import BLUE, FIVE, GREEN, GREY, ORANGE, RED

MANY = 100  # a set of more items than these is shown on a map by brightness, not by markers
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 11,
}


class PlainFigure(Figure):
    """A figure that draws text from a log as it stands: a $ or a _ in it is no formula."""

    def draw(self, renderer) -> None:
        axes = [axis for ax in self.axes for axis in (ax.xaxis, ax.yaxis)]
        axes = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatter)]
        powers = {text for axis in axes for text in axis.get_ticklabels(which="both")}
        for text in self.findobj(Text):
            text.set_parse_math(text in powers)
        with warnings.catch_warnings():  # what the font lacks is drawn as a box
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            super().draw(renderer)


def show(figure: Figure, alt: str) -> None:
    """Display the figure, twice as sharp as it is wide, with `alt` as its text for readers who
    cannot see it: the text itself, or "NN: name" for one of those in texts/NN.toml.
    """
    html_tag, alt = tag(figure, alt)
    # as HTML, because JupyterLab gives an image/png no alt text
    display({"text/html": html_tag, "text/plain": alt}, raw=True)


def tag(figure: Figure, alt: str, dpi: int = 200) -> tuple[str, str]:
    """The figure as an HTML tag, and its text; `alt` as `show` wants it. At 100 `dpi` it is as
    sharp as it is wide.
    """
    if named := texts.NAMED.fullmatch(alt):
        alt = texts.alt(*named.groups())
    png, small = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", bbox_inches="tight", dpi=dpi)
    # 256 colours, none of them far from the true one, take a third of the bytes
    image = Image.open(png).convert("RGB")
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        small, format="png", optimize=True
    )
    source = f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"
    of = f'data-arms="{html.escape(json.dumps(arms(figure)))}" data-drawn="{fingerprint(figure)}"'
    size = f'width="{100 * image.width // dpi}" src="{source}"'
    return f'<img alt="{html.escape(alt)}" {of} {size}>', alt


def arms(figure: Figure) -> dict[str, str]:
    """Colour and marker of each thing in the figure's legends."""
    found = {}
    for legend in (*figure.legends, *filter(None, (ax.get_legend() for ax in figure.axes))):
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            line = isinstance(handle, Line2D)
            colour = handle.get_color() if line else handle.get_facecolor()
            marker = handle.get_marker() if line else ""
            found[text.get_text()] = f"{to_hex(colour)} {marker}".removesuffix(" None").strip()
    return found


def fingerprint(figure: Figure) -> str:
    """A short name for what the figure draws, whatever the fonts and the last digits: its words,
    and of how many points, patches, images and collections it is made.
    """
    found = []
    for ax in figure.axes:
        found += [text.get_text() for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
        found += [len(line.get_xdata()) for line in ax.lines]
        found += [len(ax.patches), len(ax.images), len(ax.collections)]
    return f"{zlib.crc32(repr(found).encode()):08x}"


def panels(
    columns: int = 1,
    height: float = 3.2,
    width: float = 9.0,
    rows: int = 1,
    of: Sized = "figure",
    **options,
) -> tuple[Figure, np.ndarray]:
    """An empty figure with `columns` axes side by side, in as many `rows`, without pyplot's global
    state; all axes in one array. Raises ValueError if what it is `of` is empty.
    """
    if not (of.size if isinstance(of, pd.DataFrame) else len(of)):
        raise ValueError("there is nothing to draw: the table is empty; look at where it is made.")
    with matplotlib.rc_context(STYLE):
        figure = PlainFigure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **options).ravel()


def _looks(named: Iterable[tuple]) -> Iterator[tuple]:
    """(label, values, its `looks.Look`) of each of a few things (name, values), or of none."""
    named = list(named)
    for (name, values), look in zip(named, looks.of(name for name, _ in named), strict=True):
        if not len(values):
            raise ValueError(f"there is nothing to draw: '{name}' has no values.")
        hidden = str(name).startswith("_")  # a legend leaves such names out
        yield "\u200b" * hidden + str(name), values, look


def pipeline() -> Figure:
    """The whole course in one picture: log → towers → index → nominations."""
    figure, (axes,) = panels(height=3)
    axes.axis("off")
    axes.set(xlim=(-1, 103), ylim=(0, 34))
    boxes = [
        (0, 12, "LOG\nwho bought what,\nwhen", GREY),
        (35, 23.5, "ITEM TOWER\nfeatures → vector", BLUE),
        (35, 0.5, "USER TOWER\nfeatures → vector", ORANGE),
        (61, 12, "VECTOR INDEX\nall item vectors", BLUE),
        (84, 12, "NOMINATIONS\nthe k items that\npoint where the\nuser points", GREEN),
    ]
    for x, y, text, colour in boxes:
        look = {"facecolor": colour, "edgecolor": colour, "alpha": 0.18}
        axes.add_patch(FancyBboxPatch((x, y), 18, 10, boxstyle="round,pad=0.3", **look))
        axes.text(x + 9, y + 5, text, ha="center", va="center", fontsize=9)
    arrows = [
        ((17, 22.6), (34.4, 29), "item features,\nevery night", (23.5, 27.6)),
        ((17, 11.4), (34.4, 5), "the user's history,\nat each request", (22.5, 2.6)),
        ((53.6, 28.5), (68, 22.8), "stored", (64, 26.5)),
        ((53.6, 5.5), (68, 11.2), "the query", (64.5, 6)),
        ((79.6, 17), (83.4, 17), "", (0, 0)),
    ]
    look = {"arrowstyle": "->", "lw": 1.4, "color": "#333333"}
    for start, end, text, place in arrows:
        axes.annotate("", end, start, arrowprops=look)
        axes.text(*place, text, fontsize=8.5, ha="center", style="italic")
    axes.plot([18.6, 44], [17, 17], color="#333333", lw=1, ls="--")
    for end in (23, 11):
        axes.annotate("", (44, end), (44, 17), arrowprops=look | {"lw": 1, "ls": "--"})
    axes.text(31.5, 17.8, "both learn, every night", fontsize=8.5, ha="center", style="italic")
    return figure


def towers(rows: dict[str, dict[str, np.ndarray]], vectors: dict[str, np.ndarray]) -> Figure:
    """Both towers field by field: each looked-up row as a strip of its numbers, the sum of a
    tower's rows, and the unit vector that its network makes of the sum.

    - `rows`: of each tower, [d] by what was looked up. `vectors`: of each tower, [d], length 1.
    """
    most = max(map(len, rows.values()), default=0)
    figure, axes = panels(len(rows), height=0.27 * most + 2.6, of=rows)
    for ax, (title, looked_up) in zip(axes, rows.items(), strict=True):
        d, top = len(vectors[title]), most - len(looked_up)
        strips = [(top + place, *named) for place, named in enumerate(looked_up.items())]
        strips += [(most + 0.9, "sum", sum(looked_up.values()))]
        strips += [(most + 4.4, "unit vector", vectors[title])]
        for y, name, values in strips:
            values = np.asarray(values)
            limit, where = np.abs(values).max() or 1, (0, d, y + 0.36, y - 0.36)
            look = {"cmap": "cividis", "aspect": "auto", "vmin": -limit, "vmax": limit}
            ax.imshow(values[None], extent=where, **look)
            ax.text(-0.03 * d, y, name, ha="right", va="center", fontsize=8.5)
            ax.text(1.03 * d, y, f"{np.linalg.norm(values):.1f}", va="center", fontsize=8.5)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": GREY}
        text = f"shortcut + network: [{d}] → [{d}],\nthen ÷ length"
        ax.text(d / 2, most + 2.6, text, ha="center", va="center", fontsize=8.5, bbox=box)
        for start in (-0.55, 1.3, 3.35):
            end = (d / 2, most + start + 0.65)
            ax.annotate("", end, (d / 2, most + start), arrowprops={"arrowstyle": "->"})
        ax.text(d / 2, top - 1, title, ha="center", fontsize=10, weight="bold")
        ax.text(1.03 * d, top - 1, "length", fontsize=8.5)
        ax.set(xlim=(-0.75 * d, 1.25 * d), ylim=(most + 4.9, -1.5))
        ax.axis("off")
    one, other = (np.asarray(vector, dtype=float) for vector in vectors.values())
    figure.supxlabel(f"score = cosine of the two unit vectors = {one @ other:.3f}", fontsize=10)
    return figure


def copied_and_split() -> Figure:
    """What every process has whole, and what is divided among processes: a row for each part."""
    figure, (axes,) = panels(height=4.3)
    axes.axis("off")
    axes.set(xlim=(0, 100), ylim=(-0.9, 6.6))
    rows = [
        ("towers", "all parameters", "all parameters", "mean of the gradients", "DDP"),
        ("events of a batch", "first half", "second half", "item vectors are sent", "share"),
        ("small tables", "all rows", "all rows", "mean of the gradients", "GatheredAdagrad"),
        ("large tables", "some of them", "the others", "rows go where they are used", "TorchRec"),
        ("item vectors", "some items", "the others", "answers are merged", "Milvus"),
        ("hours of the stream", "one stream, one trainer", None, "an offset an hour", "Redis"),
    ]
    columns = {0: "what", 20: "process 1", 37: "process 2", 57: "what joins them", 84: "by"}
    for x, title in columns.items():
        axes.text(x, 6.2, title, fontsize=9, weight="bold")
    for place, (part, first, second, how, tool) in enumerate(rows):
        y = 5 - place
        for x, text in ((0, part), (57, how), (84, tool)):
            axes.text(x, y + 0.35, text, fontsize=9, va="center")
        colour = BLUE if first == second else ORANGE if second else GREY
        boxes = [(20, 15, first), (37, 15, second)] if second else [(20, 32, first)]
        for x, width, text in boxes:
            look = {"facecolor": colour, "edgecolor": colour, "alpha": 0.25}
            axes.add_patch(Rectangle((x, y), width, 0.7, **look))
            axes.text(x + width / 2, y + 0.35, text, fontsize=9, ha="center", va="center")
    keys = ((20, BLUE, "a copy each"), (37, ORANGE, "divided"), (50, GREY, "one place"))
    for x, colour, text in keys:
        axes.add_patch(Rectangle((x, -0.75), 2, 0.4, facecolor=colour, alpha=0.4))
        axes.text(x + 3, -0.55, text, fontsize=9, va="center")
    return figure


def capacity(table: pd.DataFrame) -> Figure:
    """A panel for each column of the table, a row for each index kind, on logarithmic axes, with
    the number beside each mark, to two digits: estimates have no more.
    """
    figure, axes = panels(len(table.columns), height=0.36 * len(table) + 1.3, of=table, sharey=True)
    for ax, (name, values), colour in zip(axes, table.items(), FIVE, strict=False):
        ax.plot(values, range(len(values)), "o", color=colour)
        for row, value in enumerate(values):
            text = f"{float(f'{value:.2g}'):,.{0 if value >= 1 else 2}f}"
            ax.annotate(text, (value, row), (7, 0), textcoords="offset points", va="center")
        span = values.max() / values.min()
        ax.set(xscale="log", title=name)
        ax.set_xlim(values.min() / max(span, 10) ** 0.1, values.max() * max(span, 10) ** 0.5)
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_yticks(range(len(table)), table.index)
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    return figure


def head_effect(times_bought: np.ndarray) -> Figure:
    """How often each item was bought, by rank, with the limits of tail and head; and the share of
    events that the top items take, with the tenth's marked.
    """
    counts = np.sort(times_bought)[::-1]
    rank = np.arange(1, len(counts) + 1)
    figure, (left, right) = panels(2, height=3.4, of=counts)
    left.plot(rank, counts, color=BLUE, lw=2)
    left.set(xscale="log", yscale="log", title="Buyers per item, by rank")
    left.set(xlabel="item, by rank", ylabel="buyers of the item")
    for name, (low, high), alpha in (("tail", (1, 20), 0.35), ("mid", (20, 100), 0.18)):
        left.axhspan(low, high, color=GREY, alpha=alpha, lw=0)
        left.text(1.1, (low * high) ** 0.5, name, va="center")
    left.text(1.1, 130, "head", va="center")
    top, share = 100 * rank / len(rank), 100 * counts.cumsum() / counts.sum()
    tenth = share[np.searchsorted(top, 10.01) - 1] if len(top) >= 10 else share[0]
    right.plot(top, share, color=BLUE, lw=2)
    right.plot([0, 100], [0, 100], color=GREY, ls="--", lw=1)
    right.text(56, 47, "if all were alike", color="#555555")
    right.plot([10, 10, 0], [0, tenth, tenth], color=RED, lw=1, ls=":")
    right.plot(10, tenth, "o", color=RED)
    right.text(13, tenth - 3, f"{tenth:.0f} %", color=RED, va="top")
    right.set(xlabel="top items (% of catalogue)", ylabel="share of events (%)")
    right.set(title="What the top items take")
    return figure


def hours_against_day(values: dict[str, np.ndarray], xlabel: str, title: str) -> Figure:
    """Histograms of what was measured of hours, random draws and what else has the same size: the
    first real hours, the second filled in grey; a line at each mean.
    """
    figure, (axes,) = panels(height=3.2, of=values)
    least, most = (end([end(part) for part in values.values()]) for end in (np.min, np.max))
    count = 40 if min(map(len, values.values())) > 500 else 16
    edges = np.linspace(min(0, least), most, count + 1)
    styles = ((RED, "-"), (GREY, "-"), (BLUE, "--"))
    for (name, part), (colour, dashes) in zip(values.items(), styles, strict=False):
        filled = {"alpha": 0.5} if colour == GREY else {"histtype": "step", "lw": 2, "ls": dashes}
        label = f"{name} (mean {np.mean(part):.2f})"
        axes.hist(part, edges, color=colour, label=label, **filled)
        axes.axvline(np.mean(part), color=colour, ls=dashes, lw=1)
    axes.set(xlabel=xlabel, ylabel="hours", title=title)
    _legend_below(figure, axes)
    return figure


def newcomers(log: EventLog, start: str) -> Figure:
    """Items and users seen for the first time, by whole week from `start` on."""
    first = {column: log.events.drop_duplicates(column) for column in ("item", "user")}
    first = {column: new[new["time"] >= start] for column, new in first.items()}
    if not all(map(len, first.values())):
        raise ValueError(
            f"nobody or nothing is seen for the first time from {start} on; the log's days are "
            f"{log.days[0]:%Y-%m-%d} … {log.days[-1]:%Y-%m-%d}."
        )
    figure, axes = panels(2, height=2.8, of=first, sharey=True)
    for ax, (column, new), colour in zip(axes, first.items(), (BLUE, ORANGE), strict=True):
        weekly = new.resample("W", on="time").size()
        if len(weekly) > 1:  # the last week is seldom whole
            weekly = weekly[weekly.index <= log.days[-1]]
        ax.bar(weekly.index, weekly, width=5, color=colour)
        ax.set(title=f"New {column}s in each week")
        ax.xaxis.set_major_locator(MonthLocator(interval=2))
        ax.xaxis.set_major_formatter(DateFormatter("%b\n%Y"))
    axes[0].set_ylabel("seen for the first time")
    return figure


def curves(lines: dict[str, np.ndarray], xlabel: str, ylabel: str, title: str) -> Figure:
    """A few labelled lines over their own positions, each with its own dash pattern."""
    figure, (axes,) = panels(height=3.2, of=lines)
    for name, values, look in _looks(lines.items()):
        drawn = {"color": look.colour, "ls": look.dashes, "lw": 2, "label": name}
        axes.plot(np.arange(1, len(values) + 1), values, **drawn)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    _legend_below(figure, axes)
    return figure


def heat(
    table: pd.DataFrame,
    title: str,
    xlabel: str,
    ylabel: str,
    limits: tuple[float, float] | None = None,
    digits: int = 2,
) -> Figure:
    """A small table as a heat map with its numbers written in it, NaN left blank; sister maps share
    `limits`, and what lies around 0 is white there with limits of −x and x.
    """
    values = table.to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    size = {"height": 0.55 * len(table) + 1.2, "width": min(1.1 * table.shape[1] + 2.5, 9)}
    figure, (axes,) = panels(**size, of=finite)
    _heat(axes, table, *(limits or (finite.min(), finite.max())), digits)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure


def sharpening(steps: dict[str, pd.DataFrame], xlabel: str, ylabel: str) -> Figure:
    """What training does to a matrix of shares (0 to 1, each row's sum 1): `heat`, a panel for each
    step.
    """
    most = max(map(len, steps.values()), default=0)
    figure, axes = panels(len(steps), height=0.55 * most + 1.1, of=steps, sharey=True)
    for ax, (title, table) in zip(axes, steps.items(), strict=True):
        _heat(ax, table, 0, 1)
        ax.set(title=title, xlabel=xlabel)
    axes[0].set_ylabel(ylabel)
    return figure


def _heat(axes, table: pd.DataFrame, low: float, high: float, digits: int = 2) -> None:
    values, middle, around_0 = table.to_numpy(dtype=float), (low + high) / 2, low == -high
    shown = np.nan_to_num(values, nan=np.nan, neginf=np.nan)
    cmap = "RdBu" if around_0 else "cividis"
    axes.imshow(shown, cmap=cmap, aspect="auto", vmin=low, vmax=high)
    for (i, j), value in np.ndenumerate(values):
        light = abs(value) > 0.6 * high if around_0 else value < middle
        text = "" if np.isnan(value) else f"{value:.{digits}f}"
        axes.text(j, i, text, ha="center", va="center", color="white" if light else "black")
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set_yticks(range(len(table)), table.index)
    axes.grid(False)


def slice_bars(
    table: pd.DataFrame,
    title: str,
    ylabel: str = "R@100",
    xlabel: str = "how often the item had been bought before that day",
) -> Figure:
    """R@100, or something else, by slice: one group of bars per slice, one bar per arm; `table` is
    arms × slices.
    """
    figure, (axes,) = panels(height=3.2, of=table)
    width = 0.8 / len(table)
    for row, (name, values, look) in enumerate(_looks(table.iterrows())):
        where = np.arange(len(values)) + (row - (len(table) - 1) / 2) * width
        drawn = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "label": name}
        axes.bar(where, values, width * 0.92, **drawn)
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set(ylabel=ylabel, xlabel=xlabel, title=title)
    _legend_below(figure, axes)
    return figure


def lines(
    sheets: dict[str, dict[str, np.ndarray]], x: np.ndarray, xlabel: str, ylabel: str
) -> Figure:
    """One panel per sheet, all axes logarithmic, labelled lines over `x`, each with its own dash
    pattern.
    """
    figure, axes = panels(len(sheets), height=3.4, of=sheets, sharex=True)
    for ax, (title, named) in zip(axes, sheets.items(), strict=True):
        for name, values, look in _looks(named.items()):
            ax.plot(x, values, color=look.colour, ls=look.dashes, lw=2, label=name)
        ax.set(xscale="log", yscale="log", title=title, xlabel=xlabel)
    _legend_below(figure, axes[0])
    axes[0].set_ylabel(ylabel)
    return figure


def circles(degrees: np.ndarray, query: float, groups: np.ndarray, steps: list[dict]) -> Figure:
    """Unit vectors of two entries on their circle, a panel for each step of a search.

    - `degrees`: [m] where the items point; `query`: where the query points.
    - `groups`: [m] 0, 1 or 2: each has a colour and a marker.
    - `steps`: each a `title`; `seen`, the items that were compared, the others being pale; and
      `found`, those with a ring. A step in a graph has `links` too, a list of items for each item
      in it, and the items along its `walk`; and it may have such a graph `above` it, whose walk
      came first.
    """
    height, width = 3.4 if len(steps) < 4 else 2.7, min(9.0, 3.4 * len(steps))
    figure, axes = panels(len(steps), height, width, of=steps)
    turns, around = np.radians(degrees), np.linspace(0, 2 * np.pi, 200)
    outer = np.stack([np.cos(turns), np.sin(turns)], axis=1)  # [m, 2]
    tip = np.cos(np.radians(query)), np.sin(np.radians(query))
    for ax, step in zip(axes, steps, strict=True):
        layers = [(outer, step)]
        if "above" in step:
            layers.append((0.6 * outer, step["above"]))
        walked = []
        for places, layer in layers:
            graph = layer.get("links", {})
            links = {(item, near) for item in graph for near in graph[item]}
            if not graph:
                ax.plot(np.cos(around), np.sin(around), color=GREY, lw=0.5, zorder=0)
            for start, end in sorted(links):
                if (end, start) in links:
                    ax.plot(*places[[start, end]].T, color=GREY, lw=0.8, zorder=0)
                else:
                    _arrow(ax, places[start], places[end], "#555555", 1, head="-|>")
            for item in graph or range(len(degrees)):
                look = {"color": FIVE[groups[item]], "marker": "os^"[groups[item]], "ms": 8}
                ax.plot(*places[item], alpha=1 if item in layer["seen"] else 0.25, **look)
                if places is not outer:  # beside it, off the links
                    spot = 0.79 * np.array([np.cos(turns[item] + 0.2), np.sin(turns[item] + 0.2)])
                    ax.text(*spot, item, ha="center", va="center", fontsize=8)
            walked = [*places[layer.get("walk", [])], *walked]
        for start, end in zip(walked, walked[1:], strict=False):
            _arrow(ax, start, end, "black", 2)
        ax.plot(*outer[step["found"]].T, "o", mfc="none", mec=RED, ms=15, mew=1.8)
        _arrow(ax, (0, 0), tip, RED, 1.5, head="-|>", gap=0)
        for number, place in enumerate(1.2 * outer):
            ax.text(*place, number, ha="center", va="center", fontsize=9)
        ax.set(aspect="equal", title=step["title"], xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
        ax.axis("off")
    return figure


def _arrow(axes, start, end, colour: str, width: float, head: str = "->", gap: int = 5) -> None:
    line = {"arrowstyle": head, "color": colour, "lw": width, "shrinkA": gap, "shrinkB": gap}
    axes.annotate("", end, start, arrowprops=line, zorder=0 if width == 1 else 3)


def dials(table: pd.DataFrame, chosen: int | None = None) -> Figure:
    """Recall over vectors compared: left IVF with a dot per nprobe, right HNSW with a line per M
    and a dot per efSearch.

    - `table`: `index` ("ivf" or "hnsw"), `M`, `value` (nprobe or efSearch), `recall`, `compared`
      (share of the vectors).
    - `chosen`: a row of it, to be ringed.
    """
    figure, axes = panels(2, height=4.2, of=table, sharey=True, sharex=True)
    parts = table.groupby(["index", "M"], dropna=False)
    parts = sorted(parts, key=lambda part: part[0][0] == "hnsw")
    places = list(zip(_looks(parts), cycle(("right", "right", "center", "left")), strict=False))
    for ax, kind, name in zip(axes, ("ivf", "hnsw"), ("nprobe", "efSearch"), strict=True):
        for (_, part, look), side in places:
            if part["index"].iloc[0] != kind:
                continue
            M = part["M"].iloc[0]
            label = None if np.isnan(M) else f"M = {M:.0f}"
            x, y = 100 * part["compared"], part["recall"]
            drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
            ax.plot(x, y, ms=5, label=label, **drawn)
            shift = {"right": (-6, 3), "center": (2, -14), "left": (7, -6)}[side]
            for value, *place in zip(part["value"], x, y, strict=True):
                text = {"textcoords": "offset points", "fontsize": 8, "color": look.colour}
                text["path_effects"] = [withStroke(linewidth=2, foreground="white")]
                ax.annotate(f"{value:.0f}", place, xytext=shift, ha=side, **text)
        _stretch_to_one(ax, "y", table["recall"].min())
        ax.set(
            xscale="log",
            xlabel="vectors compared (% of all, log scale)",
            title=f"{kind.upper()}: the numbers are {name}",
        )
        ax.set_xticks([2, 5, 10, 20, 50], [2, 5, 10, 20, 50])
        ax.margins(x=0.1)
        ax.minorticks_off()
    if chosen is not None:
        row = table.loc[chosen]
        ax = axes[0] if row["index"] == "ivf" else axes[1]
        ax.plot(100 * row["compared"], row["recall"], "o", mfc="none", mec=RED, ms=16, mew=2)
    axes[0].set_ylabel("recall")
    if axes[1].lines:
        _legend_below(figure, axes[1])
    return figure


def _stretch_to_one(axes, name: str, least: float) -> None:
    """Recall on axis "x" or "y", which gives the last hundredths before 1 room."""
    scale = (lambda recall: -np.log(1.01 - recall), lambda y: 1.01 - np.exp(-y))
    ticks = [0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1]
    getattr(axes, f"set_{name}scale")("function", functions=scale)
    getattr(axes, f"set_{name}ticks")(ticks, [f"{tick:g}" for tick in ticks])
    getattr(axes, f"set_{name}lim")(least - 0.05, 1.002)


def frontier(table: pd.DataFrame, titles: dict[str, str], valued: Collection[str] = ()) -> Figure:
    """The least CPU milliseconds per query at which each index reaches a recall, a named line per
    index; a panel for each `vectors` in `titles`, with a scale of its own. A setting that another
    one of the same index beats in both is left out.

    - `valued`: the indexes whose dots have their dial's `value` beside them.
    """
    figure, axes = panels(len(titles), height=4.4, of=table)
    for ax, (data, title) in zip(axes, titles.items(), strict=True):
        lines = {}
        for name, part, look in _looks(table.groupby("index", sort=False)):
            part = part[part["vectors"] == data].sort_values("ms")
            part = part[part["recall"] > part["recall"].cummax().shift(fill_value=-1)]
            drawn = {"marker": look.marker, "color": look.colour, "mfc": "none", "ms": 6}
            if len(part):
                ax.plot(part["recall"], part["ms"], ls=look.dashes, **drawn)
                lines[name] = part[["recall", "ms"]].to_numpy(), look.colour
            for row in part.itertuples() if name in valued else ():
                shift = {"textcoords": "offset points", "color": look.colour, "fontsize": 7.5}
                ax.annotate(row.value, (row.recall, row.ms), (4, -9), **shift)
        _stretch_to_one(ax, "x", table.loc[table["vectors"] == data, "recall"].min())
        ax.set(yscale="log", xlabel="recall@100 (stretched towards 1)", title=title)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.margins(y=0.12)
        _name_lines(ax, lines)
    axes[0].set_ylabel("CPU ms per query, one thread")
    return figure


def _extent(text: Text):
    """The box of a text, in pixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        return text.get_window_extent()


def _name_lines(axes, lines: dict[str, tuple[np.ndarray, str]]) -> None:
    """Write each name in its colour beside one of its points [n, 2], where it covers least of what
    is drawn.
    """
    axes.figure.draw_without_rendering()  # now the axes have their place
    frame, dots, steps = (
        axes.get_window_extent(),
        [np.zeros((0, 2))],
        np.linspace(0, 1, 30)[:, None],
    )
    for line in axes.lines:
        way = axes.transData.transform(line.get_path().vertices)
        dots += [way, *(start + steps * (end - start) for start, end in pairwise(way))]
    for bars in axes.collections:
        for way in bars.get_segments() if isinstance(bars, LineCollection) else ():
            start, end = axes.transData.transform(way)[[0, -1]]
            dots.append(start + steps * (end - start))
    dots, pad = np.concatenate(dots), axes.figure.dpi / 72 * 6
    taken = [(box.min, box.max) for box in map(_extent, axes.texts)]
    for name, (points, colour) in lines.items():
        drawn = {"fontsize": 9, "color": colour, "va": "center", "parse_math": False}
        text = axes.annotate(name, points[0], (0, 0), textcoords="offset points", **drawn)
        text.set_in_layout(False)
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        box = _extent(text)
        size, best = np.array([box.width, box.height]), None
        for point, pixel in zip(points, axes.transData.transform(points), strict=True):
            for dx, dy in ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1)):
                middle = pixel + (size / 2 + pad) * (dx, dy)
                low, high = middle - size / 2, middle + size / 2
                covered = ((dots > low - 2) & (dots < high + 2)).all(1).sum()
                covered += 60 * sum(
                    (low < top).all() and (high > bottom).all() for bottom, top in taken
                )
                outside = np.maximum(0, (frame.min - low, high - frame.max - pad)).sum()
                cost = covered + 5 * outside
                if best is None or cost < best[0]:
                    best = cost, point, middle - pixel, (low, high)
        _, text.xy, shift, where = best
        text.set_position((shift - (size[0] / 2, 0)) * 72 / axes.figure.dpi)
        taken.append(where)


def cost(sheets: dict[str, pd.DataFrame], named: Collection[str] | None = None) -> Figure:
    """R@100 over CPU seconds, a dot per arm, the course's own filled; a panel per sheet, whose rows
    are arms with `R@100` and `cpu_seconds`. Stairs lead over the best recall for a time.

    - `named`: the arms that have their names beside their dots; None: all.
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
        ax.margins(0.12, 0.06)
        shown = names if named is None else {n: names[n] for n in named if n in names}
        _name_lines(ax, shown)
    axes[0].set_ylabel("R@100")
    return figure


def losses_by_age(arms: dict[str, list], ages: list[int], title: str) -> Figure:
    """Mean paired differences with their 95 % intervals over the age in nights; `arms` has a
    `Difference` per age.
    """
    figure, (axes,) = panels(height=3.2, of=arms)
    places = np.arange(len(ages))
    for row, (name, found, look) in enumerate(_looks(arms.items())):
        mean, error = _intervals(found)
        drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
        where = places + (row - (len(arms) - 1) / 2) * 0.08
        axes.errorbar(where, mean, error, capsize=4, label=name, **drawn)
    axes.axhline(0, color=GREY, lw=1)
    axes.set_xticks(places, ages)
    axes.set(xlabel="age in nights", ylabel="R@100 against all fresh", title=title)
    _legend_below(figure, axes)
    return figure


def _intervals(found: list) -> tuple[np.ndarray, np.ndarray]:
    """Means [n] of `Difference`s, and how far their intervals reach below and above [2, n]."""
    mean = np.array([difference.mean for difference in found])
    return mean, np.array([[d.mean - d.low, d.high - d.mean] for d in found]).T


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
    keys = [_key(name, "o", colour) for name, colour in colours.items()]
    keys += [_key(name, mark, "black", "white") for name, mark in markers.items()]
    keys += [_key(f"bright: {name}", ".", GREY) for name in bright(steps)]
    look = {"ncols": 4, "frameon": False, "fontsize": 8, "columnspacing": 1, "handletextpad": 0.2}
    figure.legend(handles=keys, loc="outside lower center", **look)
    return figure


def bright(steps: dict[str, dict[str, Sized]]) -> list[str]:
    """The names of the sets that a map shows by brightness: over MANY items in some step."""
    most = {name: max(len(sets.get(name, ())) for sets in steps.values()) for name in _names(steps)}
    return [name for name, items in most.items() if items > MANY]


def _names(steps: dict[str, dict[str, Sized]]) -> list[str]:
    return list(dict.fromkeys(name for sets in steps.values() for name in sets))


def histograms(values: dict[str, np.ndarray], xlabel: str, ylabel: str, title: str) -> Figure:
    """Two or three sets of values over the same bins; the first filled, the others as outlines with
    their own dashes.
    """
    figure, (axes,) = panels(height=3, of=values)
    _outlines(axes, values, min(0, *(np.min(part, initial=0) for part in values.values())))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    _legend_below(figure, axes)
    return figure


def _outlines(axes, values: dict[str, np.ndarray], low: float, room: float = 1, bins=40) -> None:
    looks = list(_looks(values.items()))
    edges = np.linspace(low, room * max(np.max(part) for part in values.values()), bins + 1)
    for row, (name, part, look) in enumerate(looks):
        filled = {"alpha": 0.45} if row == 0 else {"histtype": "step", "lw": 2, "ls": look.dashes}
        axes.hist(part, edges, color=look.colour, label=f"{name} ({len(part):,})", **filled)


def against(x: np.ndarray, y: np.ndarray, xlabel: str, ylabel: str, title: str) -> Figure:
    """Pairs of values in the same unit [n], a dot each, on one scale, with the line of equality."""
    figure, (axes,) = panels(height=4, width=4.6, of=x)
    most = 1.04 * max(np.max(x), np.max(y))
    axes.plot(x, y, "o", color=BLUE, ms=4, alpha=0.5, mec="none")
    axes.plot([0, most], [0, most], "--", color=GREY, lw=1)
    axes.text(0.94 * most, 0.97 * most, "equal", ha="right", fontsize=9, color=GREY)
    axes.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return figure


def embedding_rows(
    values: dict[str, str], indices: np.ndarray, rows: list[str], table: np.ndarray
) -> Figure:
    """An embedding table as strips of numbers, and which of its rows each value looks up.

    - `values`: [n] what is looked up, by item; `indices`: [n] their rows. `rows`: [r] what the
      table's rows stand for; `table`: [r, d].
    """
    figure, (axes,) = panels(height=0.42 * max(len(values), len(rows)) + 0.9, of=values)
    axes.axis("off")
    axes.set(xlim=(0, 100), ylim=(max(len(values), len(rows)) - 0.3, -1.2))
    for x, title in (
        (9, "item and value"),
        (26, "index"),
        (77, "embedding table: a row for each index"),
    ):
        axes.text(x, -0.8, title, ha="center", va="center", fontsize=9, weight="bold")
    limit, arrow = np.abs(table).max(), {"arrowstyle": "->", "color": "#333333", "lw": 1}
    for y, (name, row) in enumerate(zip(rows, table, strict=True)):
        axes.text(42, y, f"{y}: {name}", va="center", fontsize=9)
        look = {"cmap": "cividis", "aspect": "auto", "vmin": -limit, "vmax": limit}
        axes.imshow(np.asarray(row)[None], extent=(54, 100, y + 0.36, y - 0.36), **look)
    for y, ((item, value), index) in enumerate(zip(values.items(), indices, strict=True)):
        axes.text(9, y, f"{item}: {value}", ha="center", va="center", fontsize=9)
        axes.text(26, y, f"{index}", ha="center", va="center", fontsize=9)
        axes.annotate("", (23.5, y), (17, y), arrowprops=arrow)
        axes.annotate("", (41, index), (28.5, y), arrowprops=arrow)
    return figure


def delta_rows(base: np.ndarray, ids: np.ndarray, own: np.ndarray) -> Figure:
    """A delta table as boxes, a row for each ID: what is shared, what it owns, what is read.

    - `base`: [r, d], of which row 0 is the default. `ids`: [t], rising, some of them beyond the
      base's end; `own`: [t, d].
    """
    of = dict(zip(np.asarray(ids).tolist(), np.asarray(own), strict=True))
    rows = sorted({*range(len(base)), *of})
    figure, (axes,) = panels(height=0.4 * len(rows) + 1.1, of=base)
    axes.axis("off")
    axes.set(xlim=(-8, 100), ylim=(len(rows) + 0.3, -1.2))
    titles = (
        "shared table\n(only read)",
        "delta table\n(its own rows)",
        "what is read\nthrough it",
    )
    for x, title in zip((0, 38, 76), titles, strict=True):
        axes.text(x + 11, -0.55, title, ha="center", va="center", fontsize=9, weight="bold")
    for y, row in enumerate(rows):
        axes.text(-2, y + 0.4, f"ID {row}", ha="right", va="center", fontsize=9)
        shared = base[row] if row < len(base) else None
        read = of.get(row, shared)
        for x, values, colour in (
            (0, shared, BLUE),
            (38, of.get(row), ORANGE),
            (76, read, ORANGE if row in of else BLUE),
        ):
            if values is not None:
                axes.add_patch(Rectangle((x, y), 22, 0.8, facecolor=colour, alpha=0.3))
                text = "   ".join(f"{value:+.2f}" for value in values)
                axes.text(x + 11, y + 0.4, text, ha="center", va="center", fontsize=9)
        arrow = {"arrowstyle": "->", "color": "#333333", "lw": 1}
        if row in of:
            copied = y + 0.4 if row < len(base) else 0.4
            axes.annotate("", (37.5, y + 0.4), (22.5, copied), arrowprops=arrow | {"ls": "--"})
        start = 60.5 if row in of else 22.5
        axes.annotate("", (75.5, y + 0.4), (start, y + 0.4), arrowprops=arrow)
    axes.text(30, len(rows) - 0.02, "starts as a copy", ha="center", fontsize=8, style="italic")
    return figure


def differences(found: dict[str, object], xlabel: str, title: str) -> Figure:
    """Mean paired differences with their 95 % intervals, one row each; `found` has a `Difference`
    by name.
    """
    figure, (axes,) = panels(height=0.34 * len(found) + 1.4, of=found)
    _rows(axes, found)
    axes.set(xlabel=xlabel, title=title, ylim=(len(found) - 0.4, -0.6))
    _key_below(figure, [])
    return figure


def differences_by(sheets: dict[str, dict[str, object]], xlabel: str) -> Figure:
    """`differences` of the same names, several times: a panel for each sheet, three in a row, or
    four in two rows.
    """
    count = len(next(iter(sheets.values()), ()))
    across = 2 if len(sheets) == 4 else 3
    rows = -(-len(sheets) // across)
    height = rows * (0.26 * count + 0.75) + 0.6
    options = {"rows": rows, "of": sheets and range(count), "sharex": True, "sharey": True}
    figure, axes = panels(min(len(sheets), across) or 1, height, **options)
    figure.get_layout_engine().set(hspace=0.12)
    for ax in axes[len(sheets) :]:
        ax.remove()
    for ax, (title, found) in zip(axes, sheets.items(), strict=False):
        _rows(ax, found)
        ax.set_title(title, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.xaxis.set_tick_params(labelbottom=True)
    axes[0].set_ylim(count - 0.5, -0.5)
    _key_below(figure, [], xlabel)
    return figure


def differences_grouped(sheets: dict[str, dict[str, dict[str, object]]], xlabel: str) -> Figure:
    """`differences_by` in groups, each below its heading: sheets[panel][group][name], of the same
    groups and names in every panel.
    """
    groups = next(iter(sheets.values()), {})
    names = list(next(iter(groups.values()), ()))
    rows = [(group, name) for group in groups for name in (None, *names)]
    height = 0.21 * len(rows) + 1.3
    options = {"of": names, "sharex": True, "sharey": True}
    figure, axes = panels(max(len(sheets), 1), height, **options)
    for ax, (title, found) in zip(axes, sheets.items(), strict=True):
        for y, (group, name) in enumerate(rows):
            if name is not None:
                _interval(ax, y, found[group][name])
        ax.axvline(0, color=GREY, lw=1)
        ax.set_title(title)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes[0].set_yticks(range(len(rows)), [g if name is None else name for g, name in rows])
    for tick, (_, name) in zip(axes[0].get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if name is None else "normal")
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    _key_below(figure, [], xlabel)
    return figure


def with_and_without(live: pd.DataFrame) -> Figure:
    """What `experiments.with_and_without` found: `differences_by`, a panel for each log, a row for
    each measure and term.
    """
    sheets: dict[str, dict] = {}
    for log, rows in live.groupby(level=0, sort=False):
        base = rows["without"].droplevel([0, 2]).round(3).to_dict()
        base = ", ".join(f"{name.split()[0]} {value}" for name, value in base.items())
        sheets[f"{log}\nwithout: {base}"] = {
            f"{measure.split()[0]}, {term}": Difference(
                *row[["difference", "low", "high", "users"]]
            )
            for measure in rows.index.unique(1)
            for (_, _, term), row in rows.xs(measure, level=1, drop_level=False).iterrows()
        }
    return differences_by(sheets, "with the term, less without")


def _key_below(figure: Figure, keys: list[Line2D], xlabel: str | None = None) -> None:
    """What the colours of differences mean, after `keys` of the figure's own, and below the label
    of all panels.
    """
    keys = [*keys, _key("more", "o", BLUE), _key("less", "o", RED)]
    keys.append(_key("the 95 % interval holds 0", "s", GREY, "white"))
    look = {"frameon": False, "fontsize": 9, "ncols": len(keys)}
    legend = figure.legend(handles=keys, loc="outside lower center", **look)
    legend.set_title(xlabel, {"size": 10})


def _key(label: str, mark: str, colour: str, face: str | None = None) -> Line2D:
    return Line2D([], [], ls="", marker=mark, color=colour, mfc=face or colour, mew=2, label=label)


def _rows(axes, found: dict[str, object]) -> None:
    """A `Difference` on each row, from above; grey and hollow if its interval holds 0."""
    for row, difference in enumerate(found.values()):
        _interval(axes, row, difference)
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(range(len(found)), found)


def _interval(axes, y: float, difference: object, mark: str = "o", hollow: str = "s") -> None:
    """A `Difference` at a height; grey, with its `hollow` marker, if its interval holds 0."""
    clear = difference.low > 0 or difference.high < 0
    colour = GREY if not clear else BLUE if difference.mean > 0 else RED
    axes.plot([difference.low, difference.high], [y, y], color=colour, lw=2)
    marker, face = (mark, colour) if clear else (hollow, "white")
    axes.plot(difference.mean, y, marker, color=colour, mfc=face)


def over(
    x: np.ndarray, values: dict[str, np.ndarray], xlabel: str, ylabel: str, title: str
) -> Figure:
    """A few labelled lines over the same positions, with markers if there are at most 50; dates
    are shown as months.
    """
    figure, (axes,) = panels(height=3.3, of=values)
    for name, line, look in _looks(values.items()):
        marker = look.marker if len(line) <= 50 else ""
        drawn = {"color": look.colour, "marker": marker, "ls": look.dashes}
        axes.plot(x, line, ms=5, label=name, **drawn)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if np.issubdtype(np.asarray(x).dtype, np.datetime64):
        axes.xaxis.set_major_formatter(DateFormatter("%b"))
    _legend_below(figure, axes)
    return figure


def matches(sheets: dict[str, np.ndarray]) -> Figure:
    """Cosines [m, m] of m items' first views with all second views, a panel for each name: those of
    the same item against those of different items, each as shares of its own.
    """
    figure, axes = panels(len(sheets), height=3.1, of=sheets, sharex=True, sharey=True)
    edges = np.linspace(-1, 1, 41)
    for ax, (title, cosines) in zip(axes, sheets.items(), strict=True):
        cosines, same = np.asarray(cosines), np.eye(len(cosines), dtype=bool)
        parts = (("different items", ~same, GREY), ("views of the same item", same, BLUE))
        for name, of, colour in parts:
            part = cosines[of]
            look = {"alpha": 0.5} if colour == GREY else {"histtype": "step", "lw": 2}
            weights = np.full(len(part), 100 / len(part))
            ax.hist(part, edges, color=colour, label=name, weights=weights, **look)
        ax.set(title=title, xlabel="cosine of a first view and a second view")
    axes[0].set_ylabel("share of the pairs (%)")
    _legend_below(figure, axes[0])
    return figure


def views_map(plane: np.ndarray, vectors: np.ndarray) -> Figure:
    """All items [m, 2] in grey; arrows from the whole item to its two views, `vectors` [3, 2]:
    whole, first, second.
    """
    figure, (axes,) = panels(height=3.8, width=5.0)
    axes.plot(*plane.T, ".", color=GREY, ms=2, alpha=0.4)
    _views(axes, vectors)
    axes.set(title="All items (grey) in two of 64 dimensions", xticklabels=[], yticklabels=[])
    _legend_below(figure, axes)
    return figure


def views_maps(maps: dict[str, tuple[np.ndarray, np.ndarray, Iterable[float]]]) -> Figure:
    """`views_map` for several models, a panel each.

    - `maps`: by title: all items in a plane [m, 2]; whole, first and second view in it [3, 2]; the
      cosine of either view with the whole item, to be written beside its mark.
    """
    figure, axes = panels(len(maps), height=4, of=maps)
    for ax, (title, (plane, vectors, cosines)) in zip(axes, maps.items(), strict=True):
        ax.plot(*plane.T, ".", color=GREY, ms=2, alpha=0.4, label="all items")
        _views(ax, vectors, cosines)
        ax.set(title=title, xticklabels=[], yticklabels=[])
        ax.set(xlabel="1st principal direction", ylabel="2nd principal direction")
    _legend_below(figure, axes[0])
    return figure


def tiles(
    names: list[str], whole: dict, views: dict[str, dict], words: dict | None = None
) -> Figure:
    """What views show of a few items, narrow enough for a telephone: the views of an item one above
    the other, a tile for each field, cut into as many as a bag has values. What all of several
    views show has a frame.

    - `whole`, `views`: features of the items by field, [n] indices or [n, L]; 0 is the default.
      `words`: of a bag, each item's values, to be written into the tiles.
    """
    count = len(views)
    height = (0.27 * count + 0.13) * len(names) + 1.3
    figure, (axes,) = panels(1, height, 5.6, of=names and views)
    looks = {
        "kept": {"facecolor": BLUE},
        "masked": {"facecolor": "white", "hatch": "/////", "edgecolor": RED},
        "default: nothing known": {"facecolor": "#DDDDDD"},
    }
    copied = {"facecolor": "none", "edgecolor": "black", "lw": 1.8, "zorder": 3}
    for column, field in enumerate(whole):
        for row, of_item in enumerate(np.asarray(whole[field]).reshape(len(names), -1)):
            seen = np.array([np.reshape(v[field], (len(names), -1))[row] for v in views.values()])
            seen = seen[:, of_item > 0] > 0  # [views, values]
            width, top = 0.9 / max(seen.shape[1], 1), (count + 0.5) * row - 0.4
            for view, shown in enumerate(seen):
                states = ["kept" if value else "masked" for value in shown]
                for place, state in enumerate(states or list(looks)[2:]):
                    corner = (column - 0.45 + place * width, top + view)
                    look = {"edgecolor": "white", "linewidth": 0} | looks[state]
                    axes.add_patch(Rectangle(corner, width - 0.04, 0.8, **look))
                    if shown.size and field in (words or ()):
                        look = {"ha": "center", "va": "center", "fontsize": 7}
                        look["color"] = "white" if shown[place] else "black"
                        back = None if shown[place] else {"facecolor": "white", "lw": 0, "pad": 1}
                        middle = corner[0] + width / 2 - 0.02, corner[1] + 0.4
                        axes.text(*middle, words[field][row][place], bbox=back, **look)
            for place in np.flatnonzero(seen.all(0)) if count > 1 else ():
                corner = (column - 0.45 + place * width, top)
                axes.add_patch(Rectangle(corner, width - 0.04, count - 0.2, **copied))
    rows = [(count + 0.5) * row + view for row, _ in enumerate(names) for view in range(count)]
    labels = [f"{name}, {view}" if count > 1 else name for name in names for view in views]
    axes.set_yticks(rows, labels, fontsize=9)
    axes.set(xlim=(-0.5, len(whole) - 0.5), ylim=(rows[-1] + 0.5, -0.5))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    slanted = {"rotation": 45, "ha": "right"} if len(whole) > 3 else {}
    axes.set_xticks(range(len(whole)), whole, fontsize=9, **slanted)
    keys = [Patch(**({"edgecolor": "white"} | look), label=name) for name, look in looks.items()]
    if count > 1:
        keys.append(Patch(**copied, label="both views show it"))
    look = {"ncols": 2, "frameon": False, "fontsize": 9}
    figure.legend(handles=keys, loc="outside lower center", **look)
    return figure


def _views(axes, vectors: np.ndarray, cosines: Iterable[float] = ()) -> None:
    whole = vectors[0]
    axes.plot(*whole, "*", color="black", ms=11, label="whole item")
    for place, colour, marker, name in zip(
        vectors[1:], (BLUE, RED), "os", ("first view", "second view"), strict=True
    ):
        axes.annotate("", place, whole, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4})
        axes.plot(*place, marker, color=colour, ms=7, label=name)
    for place, cosine, colour in zip(vectors[1:], cosines, (BLUE, RED), strict=False):
        away, look = np.sign(place - whole) * [22, 12], {"color": colour, "weight": "bold"}
        look |= {"textcoords": "offset points", "ha": "center", "va": "center"}
        text = axes.annotate(f"{cosine:.2f}", place, away, **look)
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def bars(values: pd.Series, xlabel: str, ylabel: str, title: str) -> Figure:
    """A bar for each entry, with its number on top."""
    figure, (axes,) = panels(height=3, of=values)
    drawn = axes.bar(range(len(values)), values, color=BLUE)
    axes.set_xticks(range(len(values)), values.index)
    axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return figure


def gains(sheets: dict[str, dict[str, list]], x: list, xlabel: str, ylabel: str) -> Figure:
    """Paired differences over a parameter: a panel per sheet, a line per name, which stands beside
    it, each `Difference` with its 95 % interval.
    """
    figure, axes = panels(len(sheets), height=4.1, of=sheets)
    for ax, (title, named) in zip(axes, sheets.items(), strict=True):
        lines = {}
        for number, (name, found, look) in enumerate(_looks(named.items())):
            where = np.arange(len(x)) + (number - (len(named) - 1) / 2) * 0.07
            means, errors = _intervals(found)
            drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
            ax.errorbar(where, means, errors, ms=5, lw=1.3, label=name, **drawn)
            lines[name] = np.column_stack([where, means]), look.colour
        ax.axhline(0, color=GREY, lw=1)
        ax.set_xticks(range(len(x)), x)
        ax.set(title=title, xlabel=xlabel)
        ax.margins(x=0.1)
        _name_lines(ax, lines)
    axes[0].set_ylabel(ylabel)
    return figure


def trade_off(
    named: dict[str, list[tuple]],
    constant: np.ndarray,
    xlabel: str,
    ylabel: str,
    near: Collection[str] = (),
    quarters: Collection[str] = (),
) -> Figure:
    """What arms gain in one respect over what they gain in another, beside a model to whose scores
    a constant is added.

    - `named`: of each arm pairs of `Difference`s (x, y), from its smallest weight, which is hollow,
      to its largest, which is filled.
    - `constant`: [c, 2] (x, y) of a growing constant. `near`: the arms that the large panel is cut
      to; a small one beside it has all.
    - `quarters`: what it means to lie in the upper left, the upper right, the lower left and the
      lower right.
    """
    sizes = {"width_ratios": [2, 1]} if near else {}
    figure, axes = panels(1 + bool(near), height=4.8, of=named, **sizes)
    path = np.concatenate([np.zeros((1, 2)), constant])
    drawn = list(_looks(named.items()))
    points = {name: np.array([(x.mean, y.mean) for x, y in found]) for name, found, _ in drawn}
    for ax in axes:
        ax.axhline(0, color=GREY, lw=1, zorder=0)
        ax.axvline(0, color=GREY, lw=1, zorder=0)
        ax.plot(*path.T, ".--", color="black", lw=1.5, ms=5, label="plain + a constant")
        for _, found, look in drawn:
            (x, dx), (y, dy) = (_intervals(part) for part in zip(*found, strict=True))
            marks = {"color": look.colour, "marker": look.marker, "ms": 8}
            ax.errorbar(x, y, dy, dx, fmt="none", ecolor=look.colour, alpha=0.3, lw=1.2)
            ax.plot(x, y, mfc="white", lw=0.8, **marks)
            ax.plot(x[-1], y[-1], ls="", **marks)
        ax.set(xlabel=xlabel)
        ax.xaxis.set_major_locator(MaxNLocator(5 if ax is axes[0] else 3))
    for axis, part in enumerate("xy" if near else ""):
        found = [pair[axis] for name in near for pair in named[name]]
        low, high = min(d.low for d in found), max(d.high for d in found)
        axes[0].set(**{f"{part}lim": (low - 0.1 * (high - low), high + 0.1 * (high - low))})
    for place, text in enumerate(quarters):
        x, y = place % 2, 1 - place // 2
        look = {"ha": ("left", "right")[x], "va": ("bottom", "top")[y], "style": "italic"}
        look |= {"transform": axes[0].transAxes, "color": "#555555"}
        axes[0].text(0.015 + 0.97 * x, 0.02 + 0.96 * y, text, **look)
    axes[0].set(ylabel=ylabel)
    lines = {name: (points[name], look.colour) for name, _, look in drawn}
    lines["a constant"] = constant, "black"
    if near:
        corner, size = axes[0].viewLim.min, axes[0].viewLim.size
        axes[1].add_patch(Rectangle(corner, *size, fill=False, lw=1, ls="-", ec=GREY))
        axes[1].set(xlabel="", title="all arms; frame: the left panel")
        axes[1].title.set_fontsize(10)
        _name_lines(axes[1], {n: line for n, line in lines.items() if n not in near})
    inside = {n: (_within(axes[0], at), colour) for n, (at, colour) in lines.items()}
    _name_lines(axes[0], {n: line for n, line in inside.items() if len(line[0])})
    return figure


def _within(axes, points: np.ndarray) -> np.ndarray:
    """Those of the points [n, 2] that the axes show."""
    low, high = axes.viewLim.min, axes.viewLim.max
    return points[((points > low) & (points < high)).all(1)]


def _legend_below(figure: Figure, axes) -> None:
    """A legend off the data: below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    handles = [part[0] if isinstance(part, ErrorbarContainer) else part for part in handles]
    columns = max(1, min(len(labels), 110 // (max(map(len, labels), default=0) + 6)))
    look = {"frameon": False, "fontsize": 9, "ncols": columns}
    figure.legend(handles, labels, loc="outside lower center", **look)


def day_line() -> Figure:
    """A night and the hours after it on a time line: what moves, what is published, what is thrown
    away.
    """
    figure, (axes,) = panels(height=4.5)
    axes.set(xlim=(-0.5, 29), ylim=(-0.75, 4.8), xlabel="hour of the day")
    axes.set_xticks([0, 6, 9, 12, 15, 18, 24], ["0", "6", "9", "12", "15", "18", "midnight"])
    lanes = ("requests", "published", "learned by the hour", "learned by night", "events")
    axes.set_yticks(range(len(lanes)), lanes)
    axes.grid(visible=False)
    arrow = {"arrowstyle": "->", "color": "#333333"}
    for start, name in ((0.2, "yesterday's"), (24.2, "today's")):
        axes.barh(4, 1.4, 0.34, start, color=GREY, alpha=0.6)
        axes.text(start, 4.32, name, fontsize=9.5)
        axes.barh(3, 1.4, 0.34, start, color=BLUE)
        axes.annotate("", (start + 0.7, 3.25), (start + 0.7, 3.8), arrowprops=arrow)
        axes.annotate("", (start + 1.4, 1.3), (start + 1.4, 2.8), arrowprops=arrow | {"lw": 1.6})
        axes.plot(start + 1.4, 1, "o", color=BLUE, ms=13)
    axes.text(2, 3, "a full update: all parameters", fontsize=9.5, va="center")
    axes.text(2.2, 0.93, "every item's vector\nand the user tower", fontsize=9.5, va="center")
    hours = np.arange(9, 18)
    axes.barh([4] * 9, 0.8, 0.34, hours - 0.9, color=GREY, alpha=0.6)
    axes.text(8.1, 4.32, "an hour's each", fontsize=9.5)
    rows = np.linspace(0.08, 0.6, 9)  # what the hours have learned
    axes.bar(hours + 0.5, rows, 1, 1.75, color=ORANGE, align="center")
    axes.bar(21.8, rows[-1], 7.6, 1.75, color=ORANGE, align="center")
    axes.text(9, 2.46, "ID rows of the users and items in those events", fontsize=9.5)
    axes.plot(hours + 0.2, [1] * 9, "o", color=ORANGE, ms=6)
    axes.text(9, 0.6, "the vectors of those items alone", fontsize=9.5)
    axes.plot(25.6, 2.05, "x", color="black", ms=10, mew=2.5)
    axes.text(26.1, 2.05, "discarded", fontsize=9.5, va="center")
    times = np.arange(0, 28.6, 0.35)
    parts = np.digitize(times, (1.6, 9.2, 25.6))
    axes.scatter(times, [0] * len(times), marker="|", c=np.array([GREY, BLUE, ORANGE, BLUE])[parts])
    names = ("yesterday's", "tonight's version", "tonight's version and the hours", "the next")
    for x, text in zip((-0.3, 3.4, 11.5, 25.6), names, strict=True):
        axes.text(x, -0.5, text, fontsize=9.5)
    axes.axvline(0, color=GREY, lw=0.8, ls=":")
    axes.axvline(24, color=GREY, lw=0.8, ls=":")
    return figure


def dashboard(table: pd.DataFrame) -> Figure:
    """A day in production by the hour, as `production.Day.table` has it: recall, the state's age,
    what was published, and latency; an hour with a fault is marked.
    """
    figure, axes = panels(2, height=5.2, rows=2, of=table)
    x, recall = np.arange(len(table)), table.columns[1]
    axes[0].plot(x, table[recall], "o-", color=BLUE, ms=5)
    axes[0].set(title=f"{recall} of the hour's purchases", ylim=(0, None))
    axes[1].plot(x, table["age"], "o-", color=BLUE, ms=5)
    axes[1].set(title="age of the served state (hours)", ylim=(0, None))
    axes[2].bar(x, table["sent"], color=GREY, label="vectors sent")
    axes[2].bar(x, table["added"], color=ORANGE, hatch="//", label="of them new items")
    held = int(table["held"].iloc[-1])
    axes[2].set(title=f"published; the index holds {held:,}", yscale="symlog", xlabel="hour")
    for name, colour, line in (("p50", BLUE, "o-"), ("p99", RED, "s--")):
        axes[3].plot(x, table[name], line, color=colour, ms=5, label=name)
    axes[3].set(title="latency of an answer (ms)", ylim=(0, None), xlabel="hour")
    for ax in axes:
        ax.set_xticks(x, table["hour"].str.replace("next day", "next"), fontsize=8)
        ax.set_xlim(-0.6, len(x) - 0.4)
        for place in np.flatnonzero(table["fault"]):
            ax.axvspan(place - 0.45, place + 0.45, color=RED, alpha=0.12, lw=0, zorder=0)
    for place in np.flatnonzero(table["fault"]):
        look = {"rotation": 90, "fontsize": 8, "ha": "center", "va": "top"}
        place = (place, 0.96, table["fault"].iloc[place])
        axes[1].text(*place, transform=axes[1].get_xaxis_transform(), **look)
    axes[2].set_ylim(0, 20 * table["sent"].max() + 1)
    axes[2].legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    axes[3].legend(frameon=False, fontsize=8)
    return figure
