"""Every figure of the course: one function each, in colours that survive colour blindness and
greyscale.
"""

from __future__ import annotations

import base64
import html
import io
import json
import textwrap
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Sized
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from PIL import Image

from course_lib import looks, texts
from course_lib.evaluation import Difference
from course_lib.log import EventLog
from course_lib.looks import BLACK, BLUE, FIVE, GREEN, GREY, ORANGE, RED, SKY

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
    """Colour and marker of each thing in the figure's legends, or of its lines if it has none."""
    found = {}
    for legend in (*figure.legends, *filter(None, (ax.get_legend() for ax in figure.axes))):
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            line = isinstance(handle, Line2D)
            colour = handle.get_color() if line else handle.get_facecolor()
            marker = handle.get_marker() if line else ""
            found[text.get_text()] = f"{to_hex(colour)} {marker}".removesuffix(" None").strip()
    for line in () if found else (line for ax in figure.axes for line in ax.lines):
        if not str(line.get_label()).startswith("_"):  # named beside it
            look = f"{to_hex(line.get_color())} {line.get_marker()}"
            found[line.get_label()] = look.removesuffix(" None").strip()
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
    figure, (axes,) = panels(height=3.6)
    axes.axis("off")
    axes.set(xlim=(-1, 103), ylim=(-6, 35))
    boxes = [
        (0, 12, "LOG", "who bought what,\nwhen, and what each\nitem and user is", GREY),
        (34, 24, "ITEM TOWER", "an item's features\n→ 64 numbers", BLUE),
        (34, 0, "USER TOWER", "a user's purchases\n→ 64 numbers", ORANGE),
        (61, 12, "VECTOR INDEX", "64 numbers\nfor every item", BLUE),
        (
            84,
            12,
            "NOMINATIONS",
            "the k items that point\nmost nearly where\nthe user points",
            GREEN,
        ),
    ]
    for x, y, name, text, colour in boxes:
        look = {"facecolor": colour, "edgecolor": colour, "alpha": 0.2}
        axes.add_patch(FancyBboxPatch((x, y), 18, 10, boxstyle="round,pad=0.3", **look))
        axes.text(x + 9, y + 9.2, name, ha="center", va="top", fontsize=10, weight="bold")
        axes.text(x + 9, y + 4.2, text, ha="center", va="center", fontsize=9.5)
    night, now = BLUE, "#B35C00"
    arrows = [
        ((16, 22.6), (33.4, 29.5), "item features", (21, 28.5), night),
        ((16, 11.4), (33.4, 4.5), "the user's history", (19.5, 4), now),
        ((52.6, 29.5), (68, 22.8), "stored", (64, 27.5), night),
        ((52.6, 4.5), (68, 11.2), "the query", (65, 5.2), now),
        ((79.6, 17), (83.4, 17), "", (0, 0), now),
    ]
    look = {"arrowstyle": "->", "lw": 2}
    for start, end, text, place, colour in arrows:
        axes.annotate("", end, start, arrowprops=look | {"color": colour})
        axes.text(*place, text, fontsize=9.5, ha="center", style="italic")
    axes.plot([18.6, 43], [17, 17], color=night, lw=1.5, ls="--")
    for end in (23.4, 10.6):
        dashed = look | {"lw": 1.5, "ls": "--", "color": night}
        axes.annotate("", (43, end), (43, 17), arrowprops=dashed)
    axes.text(31, 18, "both learn", fontsize=9.5, ha="center", style="italic")
    for y, text, colour, dashes in (
        (-0.4, "every night: training", night, "--"),
        (-3, "every night: all items' vectors", night, "-"),
        (-5.6, "while somebody waits: one user", now, "-"),
    ):
        axes.plot([61, 64.5], [y + 0.7, y + 0.7], color=colour, lw=2, ls=dashes)
        axes.text(66, y, text, fontsize=9.5, color=colour)
    return figure


def nominated_scores(
    scores: np.ndarray, later: dict[str, float], k: int, user: str = "the user"
) -> Figure:
    """A histogram of one user's scores of all items, a line at the k-th, and beneath it what the
    user bought later: filled and named right of the line, hollow left of it.

    - `scores`: [n], falling. `later`: the score of each item bought later, by its description.
    """
    figure, (axes,) = panels(height=4.4, of=scores)
    heights, edges, bars = axes.hist(scores, 50, color="#BBBBBB", edgecolor="white", lw=0.5)
    last, top = scores[min(k, len(scores)) - 1], heights.max()
    found = {name: score for name, score in later.items() if score >= last}
    missed = [score for score in later.values() if score < last]
    axes.axvline(last, color=BLUE, lw=2)
    axes.text(last + 0.008, 1.02 * top, f"the first {k}", color=BLUE, weight="bold", va="center")
    axes.text(last - 0.008, 1.02 * top, "all other items", ha="right", va="center", color="#555555")
    rows = -top * (0.06 + 0.055 * (np.arange(len(missed)) % 3))  # so that none hides another
    axes.plot(sorted(missed), rows, "o", mfc="white", mec=RED, ms=7, mew=1.5)
    axes.plot(list(found.values()), [-0.115 * top] * len(found), "o", color=GREEN, ms=9)
    left, look = min(scores[-1], 0), {"y": -0.115 * top, "va": "center", "weight": "bold"}
    if missed:
        text = f"missed ({len(missed)})"
        axes.text(left - 0.025, s=text, color=RED, **look | {"y": -0.165 * top})
    if found:
        text = f"found ({len(found)})"
        axes.text(max(found.values()) + 0.015, s=text, color="#00664B", **look)
    step = 0.8 / max(len(found), 5)
    for row, (name, score) in enumerate(sorted(found.items(), key=lambda each: -each[1])):
        y = (0.14 + step * row) * top
        axes.plot([score, score], [-0.08 * top, y], color=GREEN, lw=1)
        axes.text(score + 0.008, y, name.capitalize(), color="#00664B", fontsize=9.5, va="center")
    axes.axhline(0, color=BLACK, lw=0.8)
    axes.text(left - 0.025, -0.07 * top, "bought later:", va="center", fontsize=9.5)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])
    axes.set(xlabel="score: the cosine of the item's vector and the user's (1: same direction)")
    axes.set(ylabel="items", ylim=(-0.22 * top, 1.1 * top), xlim=(left - 0.03, 1))
    axes.set_title(f"What {user} bought later: {len(found)} found, {len(missed)} missed")
    return figure


def towers(
    rows: dict[str, dict[str, np.ndarray]],
    vectors: dict[str, np.ndarray],
    values: dict[str, pd.Series] | None = None,
) -> Figure:
    """Both towers field by field, from left to right: each looked-up row as a strip of its numbers
    and a bar of its length, the sum of a tower's rows, the unit vector that its network makes of
    the sum, and the score.

    - `rows`: of each tower, [d] by field. `vectors`: of each tower, [d], length 1.
    - `values`: of each tower, what was looked up, by field; None is "unknown".
    """
    count = sum(map(len, rows.values())) + 2 * len(rows)
    figure, (axes,) = panels(height=0.29 * count + 0.7, of=rows)
    axes.axis("off")
    small = {"fontsize": 9, "va": "center"}
    arrow = {"arrowstyle": "->", "color": "#333333", "lw": 1.2}
    top, middles = 0.0, []
    longest = max(np.linalg.norm(row) for tower in rows.values() for row in tower.values())
    for (title, looked_up), colour in zip(rows.items(), (BLUE, ORANGE), strict=True):
        last = top + len(looked_up) - 1
        middle = (top + last) / 2
        tint = {"facecolor": colour, "alpha": 0.1, "lw": 0, "boxstyle": "round,pad=0.3"}
        axes.add_patch(FancyBboxPatch((0.5, top - 1.4), 98.5, last - top + 2, **tint))
        axes.text(1, top - 1.05, title, fontsize=11, weight="bold", va="center")
        for place, (name, row) in enumerate(looked_up.items()):
            known = (values or {}).get(title, {})
            value = (known[name] or "unknown") if name in known else ""
            value = " ".join(value) if isinstance(value, list) else value
            axes.text(24, top + place, f"{name} {value}".strip(), ha="right", **small)
            length = np.linalg.norm(row)
            _strip(axes, row, top + place, 25, 40)
            bar = {"facecolor": colour, "lw": 0}
            axes.add_patch(Rectangle((41, top + place - 0.2), 6 * length / longest, 0.4, **bar))
            axes.text(41.8 + 6 * length / longest, top + place, f"{length:.1f}", **small)
        axes.plot([52, 52.8, 52.8, 52], [top - 0.3, top - 0.3, last + 0.3, last + 0.3], color=GREY)
        whole, unit = sum(looked_up.values()), vectors[title]
        for x, name, row in ((56, "sum", whole), (86, "unit vector", unit)):
            _strip(axes, row, middle, x, x + 12)
            axes.text(x + 6, middle - 0.8, name, ha="center", **small)
            length = f"length {np.linalg.norm(row):.1f}"
            axes.text(x + 6, middle + 0.8, length, ha="center", **small)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": GREY}
        text = "network\n+ shortcut,\n÷ length"
        axes.text(77, middle, text, ha="center", bbox=box, **small)
        for start, end in ((53.2, 55.6), (68.4, 71), (83, 85.6)):
            axes.annotate("", (end, middle), (start, middle), arrowprops=arrow)
        middles.append(middle)
        top = last + 2.8
    one, other = (np.asarray(vector, dtype=float) for vector in vectors.values())
    meet = len(next(iter(rows.values())))  # between the towers
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": GREEN, "lw": 2}
    text = f"score = {one @ other:.3f}".replace("-", "−")
    axes.text(92, meet, text, ha="center", va="center", fontsize=10.5, weight="bold", bbox=box)
    for middle, way in zip(middles, (1, -1), strict=True):
        start, end = (92, middle + 1.2 * way), (92, meet - 0.6 * way)
        axes.annotate("", end, start, arrowprops=arrow | {"lw": 1.6})
    axes.text(32.5, -1.05, "its 64 numbers", ha="center", color="#555555", **small)
    axes.text(41, -1.05, "its length", color="#555555", **small)
    text = "purple: above 0, orange: below 0; the colours of every strip have a scale of their own"
    axes.text(25, top - 1.55, text, color="#555555", **small)
    axes.set(xlim=(0, 100), ylim=(top - 1.1, -1.8))
    axes.set_title("Each tower adds up its fields; the two meet only in the score")
    return figure


def _strip(axes, values: np.ndarray, y: float, left: float, right: float) -> None:
    """A row of numbers as colours around 0, on a scale of its own."""
    values = np.asarray(values)
    limit = np.abs(values).max() or 1
    look = {"cmap": "PuOr", "aspect": "auto", "vmin": -limit, "vmax": limit}
    axes.imshow(values[None], extent=(left, right, y + 0.36, y - 0.36), **look)


def copied_and_split(checked: bool = False) -> Figure:
    """What every process has whole, what is divided among processes, the tool that joins the parts,
    and what it promises to keep the same: a row for each part. `checked`: with how far chapter 14
    has checked that, in place of the tool.
    """
    figure, (axes,) = panels(height=4.6)
    axes.axis("off")
    axes.set(xlim=(0, 100), ylim=(-0.9, 6.7))
    title = "What is small is copied, and what is large is divided"
    if checked:
        title = "How far one machine could check the promises"
    axes.set_title(title, fontsize=12)
    rows = [
        ("towers", "a copy", "a copy", "DDP", "equal parameters", "✓ after one day"),
        ("a batch's events", "one half", "other half", "gathered vectors", "the same loss",
         "✓ seven steps of a day"),
        ("small tables", "a copy", "a copy", "GatheredAdagrad", "equal rows", "✓ after one day"),
        ("large tables", "one half", "other half", "TorchRec", "the same loss",
         "✓ table-wise: seven steps\n✗ column-wise: 0.006 apart"),
        ("item vectors", "some", "the others", "Milvus, an alias", "one version per answer",
         "~ in one file, undivided"),
        ("hours", "one stream, one trainer", None, "Redis, an offset", "each hour, once",
         "✓ three hours, lost files"),
    ]  # fmt: skip
    columns = {0: "what there is", 19: "process 1", 33: "process 2"}
    columns |= {49: "promised", 74: "checked here"} if checked else {49: "joined by", 74: "promise"}
    for x, title in columns.items():
        axes.text(x, 6.2, title, fontsize=10, weight="bold")
    for place, (part, first, second, tool, promise, check) in enumerate(rows):
        y = 5 - place
        shown = (part, promise, check) if checked else (part, tool, promise)
        for x, text in zip((0, 49, 74), shown, strict=True):
            lines = text.split("\n")
            for line, up in zip(lines, (0.56, 0.14) if len(lines) == 2 else (0.35,), strict=True):
                ink = {"✓": "#00664b", "~": "#8a5a00", "✗": "#a34700"}.get(line[0], "black")
                axes.text(x, y + up, line, fontsize=10, va="center", color=ink)
        colour = BLUE if first == second else ORANGE if second else GREY
        boxes = [(19, 12, first), (33, 12, second)] if second else [(19, 26, first)]
        for x, width, text in boxes:
            look = {"facecolor": colour, "edgecolor": colour, "alpha": 0.25}
            axes.add_patch(Rectangle((x, y), width, 0.7, **look))
            axes.text(x + width / 2, y + 0.35, text, fontsize=10, ha="center", va="center")
    keys = ((19, BLUE, "a copy each"), (36, ORANGE, "divided"), (49, GREY, "in one place"))
    for x, colour, text in keys:
        axes.add_patch(Rectangle((x, -0.75), 2, 0.4, facecolor=colour, alpha=0.4))
        axes.text(x + 3, -0.55, text, fontsize=9.5, va="center")
    if checked:
        axes.text(70, -0.55, "✓ kept   ~ in part   ✗ not kept", fontsize=9.5, va="center")
    return figure


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
        for kind, (measured, curve), look in _looks(lines.items()):
            colour = look.colour
            last, value = measured.index[-1], measured.iloc[-1]
            ax.plot(curve, color=colour, lw=1.8)
            ax.plot(measured.iloc[:-1], "o", color=colour, ms=7)
            ax.plot([last, last], [curve[last], value], ":", color=colour, lw=1.5)
            ax.plot(last, value, "o", color=colour, mfc="white", mew=2, ms=8)
            ends[f"{kind}: ×{value / curve[last]:.1f}"] = value, _ink(colour)
        ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=name)
        low, high = ax.get_ylim()
        height = (high - low) / np.log10(high / low)  # `_name_ends` takes the axes as linear
        places = {n: (low + height * np.log10(y / low), ink) for n, (y, ink) in ends.items()}
        _name_ends(ax, places)
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


def estimates(values: dict[str, np.ndarray], truth: float, xlabel: str, title: str) -> Figure:
    """Histograms of estimates, each with its mean above, and a line at what they estimate; the
    largest in a thousand are left out.
    """
    figure, (axes,) = panels(height=3.4, of=values)
    looked = list(_looks(values.items()))
    every = np.concatenate(list(values.values()))
    edges = np.linspace(every.min(), np.quantile(every, 0.999), 31)
    for name, found, look in looked:
        drawn = {"color": look.colour, "alpha": 0.55, "label": name, "edgecolor": "white"}
        axes.hist(found, edges, hatch=look.hatch, **drawn)
        mean, at = np.mean(found), axes.get_xaxis_transform()
        axes.plot(mean, 1.03, "v", color=look.colour, ms=9, transform=at, clip_on=False)
        above = {"color": _ink(look.colour), "ha": "center", "va": "bottom", "transform": at}
        axes.text(mean, 1.06, f"mean {mean:.1f}", **above)
    axes.axvline(truth, color="black", lw=2)
    axes.text(truth, 0.94, f" {truth:.1f}, the true sum", transform=axes.get_xaxis_transform())
    axes.set(xlabel=xlabel, ylabel="batches")
    axes.set_title(title, pad=30)
    _legend_below(figure, axes)
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
    """Events and new items of each day, with named spans (first day, day after the last)."""
    new = log.events.drop_duplicates("item")
    counts = {"Events on each day": log.events, "Items chosen for the first time": new}
    figure, axes = panels(1, height=4.2, rows=2, of=log.events, sharex=True)
    for ax, (title, events) in zip(axes, counts.items(), strict=True):
        daily = events.resample("D", on="time").size()
        ax.bar(daily.index, daily, width=1.0, align="edge", color="#8a8a8a")
        ax.set(title=title, ylabel="items" if events is new else "events")
        for (name, (first, last)), colour in zip(spans.items(), (ORANGE, BLUE), strict=False):
            ax.axvspan(first, last, color=colour, alpha=0.4, lw=0, zorder=0)
            if ax is axes[0]:
                look = {"ha": "center", "va": "top", "fontsize": 9, "parse_math": False}
                at = first + (last - first) / 2, 0.97
                ax.text(*at, name, transform=ax.get_xaxis_transform(), **look)
    axes[0].margins(y=0.18)
    axes[1].xaxis.set_major_formatter(DateFormatter("%d %b\n%Y"))
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


def relations(tables: dict[str, pd.DataFrame], framed: Collection[tuple[str, str]] = ()) -> Figure:
    """How related fields are, a heat map for each k×k table, 0 in white and the largest in dark
    blue; `framed`: cells (row, column) of the last one that have a frame.
    """
    most = max(map(len, tables.values()), default=0)
    of = max(tables.values(), key=len, default=())
    figure, axes = panels(len(tables), height=0.36 * most + 1.5, of=of, sharey=True)
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        values = table.to_numpy(dtype=float)
        top = np.nanmax(values)
        ax.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=top)
        for (i, j), value in np.ndenumerate(values):
            text = "" if np.isnan(value) else f"{value:.{1 if top >= 2 else 2}f}"
            look = {"ha": "center", "va": "center", "fontsize": 9}
            ax.text(j, i, text, color="white" if value > 0.6 * top else "black", **look)
        ax.set_xticks(range(len(table)), table.columns, rotation=45, ha="right")
        ax.set_yticks(range(len(table)), table.index)
        ax.set_title(title, fontsize=10.5)
        ax.grid(False)
    for row, column in framed:
        place = table.columns.get_loc(column) - 0.5, table.index.get_loc(row) - 0.5
        axes[-1].add_patch(Rectangle(place, 1, 1, facecolor="none", edgecolor=RED, lw=2.5))
    return figure


def masks(sheets: dict[str, dict[str, Collection[str]]], fields: list[str]) -> Figure:
    """In which view each of the `fields` stands, a row for each seed: a panel for each way to
    choose what goes with it, with the seed first among those that the first view hides.
    """
    of = sheets and fields
    figure, axes = panels(len(sheets), height=0.3 * len(fields) + 2, of=of, sharey=True)
    looks = {
        "in the second view: the field drawn": {"facecolor": RED, "edgecolor": "white"},
        "in the second view: its relatives": TILES["hidden"],
        "in the first view": TILES["shown"],
    }
    drawn, relative, rest = looks.values()
    for ax, (title, hidden) in zip(axes, sheets.items(), strict=True):
        for row, seed in enumerate(fields):
            for column, field in enumerate(fields):
                look = rest if field not in hidden[seed] else drawn if field == seed else relative
                ax.add_patch(Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, **look))
        ax.set(xlim=(-0.5, len(fields) - 0.5), ylim=(len(fields) - 0.5, -0.5))
        ax.set_xticks(range(len(fields)), fields, rotation=45, ha="right")
        ax.set_yticks(range(len(fields)), fields)
        ax.set_title(title, fontsize=10.5)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[0].set_ylabel("field drawn")
    keys = [Patch(**look, label=name) for name, look in looks.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def contrast(
    item: list[str], views: list[list[str]], cosines: np.ndarray, names: list[str]
) -> Figure:
    """Contrastive learning in one picture: an item, its two views, the tower that they share, their
    vectors, and the cosines of m items' first and second views.

    - `item`: k values. `views`: those of each view, "·" where hidden. `cosines`: [m, m].
    """
    figure, (axes,) = panels(height=3.1, of=names)
    axes.axis("off")
    axes.set(xlim=(0, 18.9), ylim=(-0.6, 5.8))
    rows = [(3.25, 2.05, item, "one item"), (7.4, 3.3, views[0], "first view")]
    rows += [(7.4, 0.8, views[1], "second view")]
    for right, y, values, name in rows:
        left, middle = right - len(values), right - len(values) / 2
        for place, value in enumerate(values):
            state = "hidden" if value == "·" else "shown"
            _tile(axes, left + place, y, 1, 0.8, state, value, copied=False, size=9)
        axes.text(middle, y + 0.95, name, ha="center", va="bottom")
    for y, colour in ((3.7, BLUE), (1.2, RED)):
        for start, end in (((3.3, 2.45), (4.4, y)), ((7.5, y), (8.3, y)), ((10.8, y), (11.6, y))):
            _arrow(axes, start, end, GREY, 1.5, gap=1)
        axes.add_patch(Rectangle((11.7, y - 0.2), 1.2, 0.4, color=colour))
    axes.text(12.3, 4.05, "vector", ha="center", color=_ink(BLUE))
    axes.text(12.3, 1.55, "vector", ha="center", color=_ink(RED))
    axes.add_patch(Rectangle((8.35, 0.7), 2.4, 3.5, fc="white", ec="black", lw=1.5))
    axes.text(9.55, 2.45, "item tower,\nthe same\nfor both", ha="center", va="center")
    for (row, column), value in np.ndenumerate(np.asarray(cosines)):
        own = row == column
        place = (14.6 + column, 3.3 - row)
        face = *to_rgb(BLUE), 0.75 * max(float(value), 0)
        look = {"ec": "black", "lw": 2.5, "zorder": 3} if own else {"ec": "#BBBBBB", "lw": 0.8}
        axes.add_patch(Rectangle(place, 1, 1, fc=face, **look))
    for place, name in enumerate(names):
        axes.text(14.4, 3.8 - place, name, ha="right", va="center", color=_ink(BLUE))
        axes.text(15.1 + place, 4.45, name, ha="center", va="bottom", color=_ink(RED))
    centre = 14.6 + len(names) / 2
    axes.text(centre, 5.1, "second views", ha="center", va="bottom", color=_ink(RED))
    look = {"ha": "right", "va": "center", "rotation": 90, "color": _ink(BLUE)}
    axes.text(14.0, 4.3 - len(names) / 2, "first views", **look)
    axes.text(centre, 4.1 - len(names), "framed: an item's own two", ha="center", va="top")
    axes.set_title("Of all pairs, the two views of one item should be the most alike")
    return figure


def turning(steps: dict[str, tuple[np.ndarray, np.ndarray]], names: tuple[list, list]) -> Figure:
    """Unit vectors in the plane, a circle for each step: users, and items, of which item i was
    bought by user i, with an arc between the two; items that nobody bought are grey.

    - `steps`: [n, 2] users and [m, 2] items of each, m at least n. `names`: theirs.
    """
    figure, axes = panels(len(steps), height=4.3, of=steps, sharey=True)
    around = np.linspace(0, 2 * np.pi, 200)
    for ax, (title, (users, items)) in zip(axes, steps.items(), strict=True):
        ax.plot(np.cos(around), np.sin(around), color="#CCCCCC", lw=1)
        for user, item in zip(users, items, strict=False):
            start, end = (np.arctan2(*vector[::-1]) for vector in (user, item))
            arc = start + np.linspace(0, 1, 30) * ((end - start + np.pi) % (2 * np.pi) - np.pi)
            ax.plot(np.cos(arc), np.sin(arc), color=GREEN, lw=5, alpha=0.6)
        for place, (name, (x, y)) in enumerate(zip(names[1], items, strict=True)):
            bought = place < len(users)
            colour, far = (ORANGE, 0.7) if bought else (GREY, 1.18)
            ax.plot([0, x], [0, y], "--", color=colour, lw=1.8)
            ax.plot(x, y, "s", color=colour, mfc="none", ms=11, mew=2)
            look = {"ha": "center" if bought else "left", "va": "center", "fontsize": 10}
            box = {"facecolor": "white", "lw": 0, "pad": 1, "alpha": 0.9}
            ax.text(far * x, far * y, name, color=_ink(colour), bbox=box, **look)
        for name, (x, y) in zip(names[0], users, strict=True):
            ax.plot([0, x], [0, y], color=BLUE, lw=1.8)
            ax.plot(x, y, "o", color=BLUE, ms=6)
            ax.text(1.2 * x, 1.2 * y, name, color=_ink(BLUE), ha="center", va="center")
        ax.set(title=title, xlim=(-1.4, 1.4), ylim=(-1.15, 1.35), aspect="equal")
        ax.axis("off")
    keys = [_key("a user", "o", BLUE), _key("the item that this user bought", "s", ORANGE, "white")]
    if len(names[1]) > len(names[0]):
        keys.append(_key("an item in no batch", "s", GREY, "white"))
    keys.append(Line2D([], [], color=GREEN, lw=5, alpha=0.6, label="between the two"))
    figure.legend(handles=keys, loc="outside lower center", frameon=False, ncols=4, fontsize=9.5)
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
    digits: int | None = None,
) -> Figure:
    """R@100, or something else, by slice: one group of bars per slice, one bar per arm; `table` is
    arms × slices. With `digits` each bar has its value, to so many, on top.
    """
    figure, (axes,) = panels(height=3.2, of=table)
    width = 0.8 / len(table)
    for row, (name, values, look) in enumerate(_looks(table.iterrows())):
        where = np.arange(len(values)) + (row - (len(table) - 1) / 2) * width
        drawn = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "label": name}
        bars = axes.bar(where, values, width * 0.92, **drawn)
        if digits is not None:
            axes.bar_label(bars, fmt=f"%.{digits}f", fontsize=9, padding=2)
            axes.grid(axis="x", visible=False)
            axes.margins(y=0.12)
    axes.set_xticks(range(table.shape[1]), table.columns)
    axes.set(ylabel=ylabel, xlabel=xlabel, title=title)
    _legend_below(figure, axes)
    return figure


def grown(values: dict[str, np.ndarray], x: np.ndarray, xlabel: str, title: str) -> Figure:
    """How many times its first value each line is over `x`, all axes logarithmic, each with its own
    dash pattern and its name at its end; a broad grey line grows as `x` does.
    """
    figure, (axes,) = panels(height=4.2, of=values)
    axes.plot(x, x / x[0], color="#dddddd", lw=7, solid_capstyle="butt")
    ends = {}
    for name, line, look in _looks(values.items()):
        axes.plot(x, line / line[0], color=look.colour, ls=look.dashes, marker=look.marker, lw=2)
        ends[name] = line[-1] / line[0], _ink(look.colour)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="times as much", title=title)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g} ×")
    axes.set_xticks(x, [f"{size:,.0f}" for size in x])
    axes.margins(x=0.02)
    axes.set_ylim(bottom=min(0.35, axes.get_ylim()[0]))
    slope = {"xy": (x[-1], x[-1] / x[0]), "xytext": (-150, 0), "textcoords": "offset points"}
    axes.annotate("as the catalogue does", **slope, va="center", fontsize=10, color="#666666")
    _name_ends(axes, ends)
    return figure


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
      `found`, those with a ring. A step in a graph has `links` too, a list of items for each item
      in it, and the items along its `walk`; and it may have such a graph `above` it, whose walk
      came first.
    - `centres`: [c, 2] the groups', marked by crosses, if any.
    """
    columns = 2 if len(steps) == 4 else min(len(steps), 3)
    rows = -(-len(steps) // max(columns, 1))
    side = 3.0 if columns == 3 else 3.9
    figure, axes = panels(columns, rows * (side + 0.2) + 0.6, columns * side, rows, of=steps)
    turns, around = np.radians(degrees), np.linspace(0, 2 * np.pi, 200)
    outer = np.stack([np.cos(turns), np.sin(turns)], axis=1)  # [m, 2]
    tip = np.cos(np.radians(query)), np.sin(np.radians(query))
    keys = [
        _key("compared", "o", BLUE),
        _key("not compared", "o", "#BFDBEC"),
        Line2D([], [], ls="", marker="o", mfc="none", mec=RED, color=RED, ms=11, label="found"),
        Line2D([], [], color=RED, lw=1.5, label="query"),
    ]
    if centres is not None:
        keys.append(_key("centre of a list", "x", "black"))
    if any("walk" in step for step in steps):
        keys.append(Line2D([], [], color="black", lw=2, label="walk"))
    if any("above" in step for step in steps):
        look = {"color": "black", "lw": 2, "ls": ":", "marker": ">"}
        keys.append(Line2D([], [], label="down, to the same item", **look))
    for ax, step in zip(axes, steps, strict=False):
        layers = [(outer, step)]
        if "above" in step:
            layers.append((0.6 * outer, step["above"]))
        walked = []
        for places, layer in layers:
            graph = layer.get("links", {})
            links = {(item, near) for item in graph for near in graph[item]}
            if not graph:
                ax.plot(np.cos(around), np.sin(around), color=GREY, lw=0.5, zorder=0)
                _name_groups(ax, outer, groups, layer["seen"])
            for start, end in sorted(links):
                if (end, start) in links:
                    ax.plot(*places[[start, end]].T, color=GREY, lw=0.8, zorder=0)
                else:
                    _arrow(ax, places[start], places[end], "#555555", 1, head="-|>")
            for item in graph or range(len(degrees)):
                look = {"color": FIVE[groups[item]], "marker": "os^"[groups[item]], "ms": 9}
                ax.plot(*places[item], alpha=1 if item in layer["seen"] else 0.25, **look)
                if places is not outer:  # beside it, off the links
                    spot = 0.72 * np.array([np.cos(turns[item] + 0.22), np.sin(turns[item] + 0.22)])
                    name = ax.text(*spot, item, ha="center", va="center", fontsize=9)
                    name.set_path_effects([withStroke(linewidth=3, foreground="white")])
            walked = [*((item, places[item]) for item in layer.get("walk", [])), *walked]
        for (item, start), (other, end) in pairwise(walked):
            _arrow(ax, start, end, "black", 2, style=":" if item == other else "-")
        if walked:
            x, y = walked[0][1] + (0.07, 0.07) if "above" in step else 1.2 * walked[0][1] + (0.1, 0)
            ax.text(x, y, "start", va="center", fontsize=9, style="italic")
        for group, place in enumerate(() if centres is None else centres):
            ax.plot(*place, "x", color=FIVE[group], ms=11, mew=2.5)
        ax.plot(*outer[step["found"]].T, "o", mfc="none", mec=RED, ms=17, mew=1.8)
        _arrow(ax, (0, 0), tip, RED, 1.5, head="-|>", gap=0)
        for number, place in enumerate(1.2 * outer):
            ax.text(*place, number, ha="center", va="center", fontsize=10)
        ax.set(aspect="equal", title=step["title"], xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
        ax.axis("off")
    for ax in axes[len(steps) :]:
        ax.remove()
    look = {"frameon": False, "fontsize": 9, "columnspacing": 1.2, "handletextpad": 0.4}
    look["ncols"] = min(len(keys), 3 * columns)
    figure.legend(handles=keys, loc="outside lower center", **look)
    return figure


def _name_groups(axes, places: np.ndarray, groups: np.ndarray, seen: Collection[int]) -> None:
    """Write beside each of several groups whether its items were compared."""
    for group in np.unique(groups) if len(set(np.asarray(groups).tolist())) > 1 else ():
        items = np.flatnonzero(groups == group)
        middle = places[items].mean(0)
        spot, opened = 0.6 * middle / np.linalg.norm(middle), np.isin(items, list(seen)).all()
        look = {"ha": "center", "va": "center", "fontsize": 9, "color": FIVE[group]}
        axes.text(*spot, "list opened" if opened else "not opened", **look)


def _arrow(
    axes, start, end, colour: str, width: float, head: str = "->", gap: int = 5, style: str = "-"
) -> None:
    line = {"arrowstyle": head, "color": colour, "lw": width, "shrinkA": gap, "shrinkB": gap}
    line["ls"] = style
    axes.annotate("", end, start, arrowprops=line, zorder=0 if width == 1 else 3)


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
    for number, (_, part, look) in enumerate(_looks(parts)):
        kind, M = part["index"].iloc[0], part["M"].iloc[0]
        name = "lists, by nprobe" if kind == "ivf" else f"graph with M = {M:.0f}, by efSearch"
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
    ticks = [0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1]
    getattr(axes, f"set_{name}scale")("function", functions=scale)
    getattr(axes, f"set_{name}ticks")(ticks, [f"{tick:g}" for tick in ticks])
    getattr(axes, f"set_{name}lim")(least - 0.05, 1.002)


def frontier(
    table: pd.DataFrame, names: dict[str, str], title: str, at: float, least: float = 0.6
) -> Figure:
    """The least CPU milliseconds per query at which each index reaches a recall, a line per index,
    named at its end, from a recall of `least` on. A setting that another one of the same index
    beats in both is left out. An arrow leads from the time of the exact scan ("flat"), if there is
    one, to a bar over the times `at` a recall.

    - `table`: `index`, `recall`, `ms`; and perhaps `value`, the dial's, to stand beside each dot.
    - `names`: what each index is called.
    """
    figure, (axes,) = panels(height=4.6, of=table)
    lines, times, scan = {}, [], None
    parts = table[table["index"].isin(list(names))].groupby("index", sort=False)
    for name, part, look in _looks(parts):
        called, part = names[name.lstrip("\u200b")], part.sort_values("ms")
        part = part[part["recall"] > part["recall"].cummax().shift(fill_value=-1)]
        drawn = {"marker": look.marker, "color": look.colour, "mfc": "white", "ms": 6}
        axes.plot(part["recall"], part["ms"], ls=look.dashes, **drawn)
        last = part["ms"].iloc[-1]
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
        lines[called] = last, _ink(look.colour)
    _stretch_to_one(axes, "x", least + 0.05)
    axes.set(yscale="log", title=title, ylabel="CPU ms per query, one thread")
    axes.set_xlabel("recall of the right hundred")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    shown = table.loc[table["index"].isin(list(names)) & (table["recall"] >= least), "ms"]
    axes.set_ylim(0.7 * shown.min(), 2 * shown.max())
    if scan and times:
        _arrow(axes, (at, scan), (at, max(times)), BLACK, 2, gap=4)
        axes.plot([at, at], [min(times), max(times)], color=BLACK, lw=4, zorder=1)
        look = {"color": BLACK, "weight": "bold", "ha": "right", "va": "center"}
        ends = dict.fromkeys(f"{ms:.2f}" for ms in (min(times), max(times)))
        faster = dict.fromkeys(f"{scan / ms:.0f}" for ms in (max(times), min(times)))
        text = f"at {at:g}: {' to '.join(ends)} ms,\n{' to '.join(faster)} times as fast"
        axes.annotate(text, (at, 3 * min(times)), (-8, 24), textcoords="offset points", **look)
    _name_ends(axes, lines)
    return figure


def memory(table: pd.DataFrame, title: str) -> Figure:
    """Recall over the bytes that an item takes, a dot per index with its milliseconds beside it;
    if codes are among them, an arrow leads from these to themselves re-ranked.

    `table`: by name of the index, its `called`, `bytes`, `recall`, `ms`.
    """
    figure, (axes,) = panels(height=3.8, of=table)
    lines = {}
    rows = (row for _, row in table.iterrows())
    for row, look in zip(rows, looks.of(table.index), strict=True):
        axes.plot(row["bytes"], row["recall"], look.marker, color=look.colour, ms=8)
        point = np.array([[row["bytes"], row["recall"]]], dtype=float)
        lines[f"{row['called']}: {row['ms']:.{1 if row['ms'] >= 1 else 2}f} ms"] = (
            point,
            _ink(look.colour),
        )
    pair = ["ivfpq", "ivfpq re-ranked"]
    if set(pair) <= set(table.index):
        ends = table.loc[pair, ["bytes", "recall"]].to_numpy(float)
        _arrow(axes, *ends, "#333333", 1.5, gap=8)
    ticks = [16, 32, 64, 128, 256, 512]
    axes.set(xscale="log", title=title, ylabel="recall of the right hundred")
    axes.set_xlabel("bytes an item in fast memory")
    axes.set(xlim=(0.6 * table["bytes"].min(), 2.5 * table["bytes"].max()), ylim=(0.3, 1.06))
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    _name_lines(axes, lines, 10)
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
    _arrow(left, (long / 2, 0.8), (0.5, 0.2), "#333333", 1.2, gap=0)
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
        _arrow(ax, part, book[nearest], BLUE, 1.5)
        middle = (every[place].max(0) + every[place].min(0)) / 2
        for name, value in zip("xy", middle, strict=True):
            getattr(ax, f"set_{name}lim")(value - half, value + half)
            getattr(ax, f"{name}axis").set_major_locator(MaxNLocator(3))
        ax.set_box_aspect(1)
        ax.set_anchor("N")
        ax.set(title=f"Part {place + 1} becomes word {nearest}", xlabel="first number")
        ax.set_ylabel("second number")
    return figure


def _extent(text: Text):
    """The box of a text, in pixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        return text.get_window_extent()


def _name_lines(axes, lines: dict[str, tuple[np.ndarray, str]], size: float = 9) -> None:
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
        drawn = {"fontsize": size, "color": colour, "va": "center", "parse_math": False}
        text = axes.annotate(name, points[0], (0, 0), textcoords="offset points", **drawn)
        text.set_in_layout(False)
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        box = _extent(text)
        box, best = np.array([box.width, box.height]), None
        for point, pixel in zip(points, axes.transData.transform(points), strict=True):
            for dx, dy in ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1)):
                middle = pixel + (box / 2 + pad) * (dx, dy)
                low, high = middle - box / 2, middle + box / 2
                covered = ((dots > low - 2) & (dots < high + 2)).all(1).sum()
                covered += 60 * sum(
                    (low < top).all() and (high > bottom).all() for bottom, top in taken
                )
                outside = np.maximum(0, (frame.min - low, high - frame.max - pad)).sum()
                cost = covered + 5 * outside
                if best is None or cost < best[0]:
                    best = cost, point, middle - pixel, (low, high)
        _, text.xy, shift, where = best
        text.set_position((shift - (box[0] / 2, 0)) * 72 / axes.figure.dpi)
        taken.append(where)


def cost(sheets: dict[str, pd.DataFrame], named: Collection[str] | None = None) -> Figure:
    """R@100 over CPU seconds, a dot per arm, the course's own filled; a panel per sheet, whose rows
    are arms with `R@100` and `cpu_seconds`. Stairs lead over the best recall for a time.

    - `named`: the arms that have their names beside their dots, as those on the stairs have; all
      others are pale. None: all.
    """
    tables = [table.dropna().sort_values("cpu_seconds") for table in sheets.values()]
    figure, axes = panels(len(sheets), height=4.4, of=min(tables, key=len, default=[]))
    for ax, title, table in zip(axes, sheets, tables, strict=True):
        names = {}
        best = table["R@100"].cummax()
        stairs = np.repeat(table["cpu_seconds"], 2)[1:], np.repeat(best, 2)[:-1]
        ax.plot(*stairs, color=GREY, lw=1, ls=":")
        steps = table.index[best > best.shift(fill_value=0)]
        shown = table.index if named is None else dict.fromkeys([*named, *steps])
        for name, row in table[["cpu_seconds", "R@100"]].iterrows():
            own = str(name).startswith("ours")
            colour = BLUE if own else "#444444"
            look = {"color": colour} if name in shown else {"color": "#bbbbbb", "ms": 5}
            ax.plot(*row, "o", **look, mfc=BLUE if own else "white")
            names[name] = row.to_numpy()[None], colour
        ax.set(xscale="log", xlabel="CPU seconds of the replay (log scale)", title=title)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(0.12, 0.09)
        _name_lines(ax, {name: names[name] for name in shown if name in names})
    axes[0].set_ylabel("R@100")
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


def shares(
    values: dict[str, np.ndarray],
    xlabel: str,
    of: str,
    title: str,
    top: float | None = None,
    unit: str = "",
) -> Figure:
    """How two or three sets of values are spread, each as shares of its own, so that a small set
    shows beside a large one; named at its median. The last bin, up to `top`, holds all larger
    values, too. `of`: what is counted; `unit`: of the values, behind a median.
    """
    figure, (axes,) = panels(height=3.6, of=values)
    looks = list(_looks(values.items()))
    top = top or max(np.quantile(part, 0.985) for _, part, _ in looks)
    edges = np.linspace(min(0, *(np.min(part) for _, part, _ in looks)), top, 31)
    peak = 0
    for _, part, look in looks:
        weights = np.full(len(part), 100 / len(part))
        drawn = {"color": look.colour, "weights": weights}
        heights, _, _ = axes.hist(np.minimum(part, top), edges, alpha=0.35, **drawn)
        axes.hist(np.minimum(part, top), edges, histtype="step", lw=1.6, ls=look.dashes, **drawn)
        peak = max(peak, heights.max())
    for row, (name, part, look) in enumerate(sorted(looks, key=lambda each: np.median(each[1]))):
        median, height = np.median(part), peak * (1.12 - 0.3 * row)
        axes.plot([median, median], [0, height], color=look.colour, lw=2)
        text = f" {name}: half of them by less than {median:.1f}{unit}"
        ink = _ink(look.colour)
        axes.text(median, height, text, color=ink, va="top", weight="bold", fontsize=10)
    axes.set(xlabel=f"{xlabel}; the last bin holds {top:.3g} and more", title=title)
    axes.set(ylabel=f"share of the {of} (%)", ylim=(0, 1.15 * peak))
    return figure


def embedding_rows(
    values: dict[str, str], indices: np.ndarray, rows: list[str], table: np.ndarray
) -> Figure:
    """An embedding table as strips of numbers, and which of its rows each value looks up.

    - `values`: [n] what is looked up, by item; `indices`: [n] their rows. `rows`: [r] what the
      table's rows stand for; `table`: [r, d].
    """
    most = max(len(values), len(rows))
    figure, (axes,) = panels(height=0.42 * most + 1.1, of=values)
    axes.axis("off")
    axes.set(xlim=(0, 100.5), ylim=(most + 0.2, -1.2))
    for x, title in (
        (9, "item and value"),
        (26, "index"),
        (72, f"embedding table: {table.shape[1]} numbers for each index"),
    ):
        axes.text(x, -0.8, title, ha="center", va="center", fontsize=10, weight="bold")
    limit, arrow = np.abs(table).max(), {"arrowstyle": "->", "color": "#333333", "lw": 1.2}
    for y, (name, row) in enumerate(zip(rows, table, strict=True)):
        axes.text(43, y, f"{y}: {name}", va="center", fontsize=10)
        look = {"cmap": "PuOr", "aspect": "auto", "vmin": -limit, "vmax": limit}
        axes.imshow(np.asarray(row)[None], extent=(54, 100, y + 0.36, y - 0.36), **look)
        axes.add_patch(Rectangle((42, y - 0.36), 58, 0.72, fill=False, edgecolor=GREY, lw=1))
    for y, ((item, value), index) in enumerate(zip(values.items(), indices, strict=True)):
        axes.text(9, y, f"{item}: {value}", ha="center", va="center", fontsize=10)
        axes.text(26, y, f"{index}", ha="center", va="center", fontsize=10)
        axes.annotate("", (23.5, y), (17, y), arrowprops=arrow)
        axes.annotate("", (41.6, index), (28.5, y), arrowprops=arrow)
    axes.imshow(
        limit * np.linspace(-1, 1, 60)[None], extent=(70, 84, most - 0.15, most - 0.45), **look
    )
    for x, text, side in ((69, "below 0", "right"), (85, "above 0", "left")):
        axes.text(x, most - 0.3, text, ha=side, va="center", fontsize=9)
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
    axes.set(xlim=(-16, 100), ylim=(len(rows) + 0.3, -1.2))
    titles = (
        "shared table\n(only read)",
        "delta table\n(its own rows)",
        "what is read\nthrough it",
    )
    for x, title in zip((0, 38, 76), titles, strict=True):
        axes.text(x + 11, -0.55, title, ha="center", va="center", fontsize=9, weight="bold")
    for y, row in enumerate(rows):
        name = f"ID {row}" if row else "ID 0, the default"
        axes.text(-2, y + 0.4, name, ha="right", va="center", fontsize=9)
        shared = base[row] if row < len(base) else None
        read = of.get(row, shared)
        for x, values, colour in (
            (0, shared, BLUE),
            (38, of.get(row), ORANGE),
            (76, read, ORANGE if row in of else BLUE),
        ):
            if values is not None:
                alpha = 0.8 if colour == ORANGE else 0.3
                axes.add_patch(Rectangle((x, y), 22, 0.8, facecolor=colour, alpha=alpha))
                text = "   ".join(f"{value:+.2f}" for value in values)
                axes.text(x + 11, y + 0.4, text, ha="center", va="center", fontsize=9)
        arrow = {"arrowstyle": "->", "color": "#333333", "lw": 1}
        if row in of:
            copied = y + 0.4 if row < len(base) else 0.4
            axes.annotate("", (37.5, y + 0.4), (22.5, copied), arrowprops=arrow | {"ls": "--"})
        start = 60.5 if row in of else 22.5
        axes.annotate("", (75.5, y + 0.4), (start, y + 0.4), arrowprops=arrow)
    if of:  # above the dashed arrows
        words = {"ha": "center", "va": "center", "fontsize": 9, "style": "italic"}
        axes.text(30, -0.55, "each starts\nas a copy", **words)
    return figure


def differences(
    found: dict[str, object],
    xlabel: str,
    title: str,
    digits: int | None = None,
    xlim: tuple[float, float] | None = None,
    words: tuple[str, str] | None = None,
    parts: dict[str, object] | None = None,
) -> Figure:
    """Mean paired differences with their 95 % intervals, one row each; `found` has a `Difference`
    by name. With `digits`, each mean stands at the right of its row; sister figures share `xlim`.
    With `words`, such as ("gain", "loss"), the legend has only what is drawn, and calls it so;
    there is none if all are clearly more. `parts` of the last row stand below it, thinner and in
    grey letters.
    """
    parts = parts or {}
    rows = {**found, **parts}
    figure, (axes,) = panels(height=0.34 * len(rows) + 1.4, of=rows)
    _rows(axes, rows)
    for line in axes.lines[2 * len(found) : 2 * len(rows)]:
        line.set(lw=1, ms=4)
    for label in axes.get_yticklabels()[len(found) :]:
        label.set(fontsize=9, color="#666666")
    axes.set(xlabel=xlabel, title=title, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlim(xlim)
    for row, difference in enumerate(rows.values() if digits is not None else ()):
        _number(axes, row, difference, f"{difference.mean:+.{digits}f}")
    if not (words and all(difference.low > 0 for difference in rows.values())):
        _key_below(figure, [], None, words, rows.values())
    return figure


def matched_and_mixed(
    found: dict[str, tuple[float, float]], chance: float, xlabel: str, title: str
) -> Figure:
    """What a matched pair finds (a ring) and a mixed one (a dot), a row for each name, with the
    difference at the right; a dashed line at what chance finds.
    """
    figure, (axes,) = panels(height=0.5 * len(found) + 1.5, of=found)
    for row, (matched, mixed) in enumerate(found.values()):
        axes.plot([mixed, matched], [row, row], color=GREY, lw=2, zorder=1)
        axes.plot(matched, row, "o", color=BLUE, mfc="none", mew=2, ms=13)
        axes.plot(mixed, row, "o", color=RED, ms=7)
        text = f"{mixed - matched:+.3f}".replace("-", "−")
        axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
    last = len(found) - 1
    for value, name, colour in zip(
        [*found.values()][-1], ("matched pair", "mixed pair"), (BLUE, RED), strict=True
    ):
        box = {"facecolor": "white", "lw": 0, "pad": 1}
        drawn = {"color": _ink(colour), "ha": "center", "fontsize": 10, "bbox": box}
        axes.text(max(value, 0.02), last + 0.52, name, **drawn)
    axes.axvline(chance, color="#555555", ls="--", lw=1.2)
    axes.text(chance + 0.004, -0.62, "100 at random", fontsize=9.5, color="#555555", va="center")
    axes.set_yticks(range(len(found)), found)
    most = max(max(pair) for pair in found.values())
    axes.set(xlim=(0, 1.1 * most), ylim=(last + 0.9, -0.95), xlabel=xlabel, title=title)
    axes.grid(visible=False, axis="y")
    return figure


def differences_by(
    sheets: dict[str, dict[str, object]],
    xlabel: str,
    columns: int | None = None,
    title: str = "",
    digits: int | None = None,
    levels: dict[str, float] | None = None,
    notes: list[list[str]] = (),
    below: dict[str, dict[str, tuple[object, str]]] | None = None,
    words: tuple[str, str] | None = None,
) -> Figure:
    """`differences` of the same names, several times: a panel for each sheet, so many in a row;
    three, or four in two rows, if not said. With `digits`, each mean stands right of its row; with
    `levels`, the base's in each sheet, in per cent, and each panel has a scale of its own; or
    `notes`, such as the level that a row started from, stand above the rows, a list for each sheet.
    `below` has a part of a row's runs with its name, drawn thin below it: below[panel][row]. With
    `words`, such as ("gain", "loss"), the legend has only what is drawn, and calls it so.
    """
    count = len(next(iter(sheets.values()), ()))
    columns = columns or (2 if len(sheets) == 4 else 3)
    rows = -(-len(sheets) // columns)
    tall = 0.42 if notes else 0.36 if below else 0.26
    height = rows * (tall * count + 0.75) + 0.6 + 0.3 * bool(title)
    options = {"rows": rows, "of": sheets and range(count), "sharex": not levels, "sharey": True}
    figure, axes = panels(min(len(sheets), columns) or 1, height, **options)
    figure.get_layout_engine().set(hspace=0.12, wspace=0.02 if digits is None else 0.06)
    for ax in axes[len(sheets) :]:
        ax.remove()
    figure.suptitle(title, fontsize=12)
    for ax, (panel, found) in zip(axes, sheets.items(), strict=False):
        _rows(ax, found)
        ax.set_title(panel, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.xaxis.set_tick_params(labelbottom=True)
        for row, difference in enumerate(found.values()):
            if levels:
                part = round(100 * difference.mean / levels[panel])
                _number(ax, row, difference, f"{part:+d} %".replace("-", "−"))
                ax.set_title("change", loc="right", fontsize=9, x=1.12)
            elif digits is not None:
                _number(ax, row, difference, f"{difference.mean:+.{digits}f}")
        names = list(found)
        for name, (part, text) in (below or {}).get(panel, {}).items():
            y, thin = names.index(name) + 0.38, {"color": GREY, "lw": 1}
            ax.plot([part.low, part.high], [y, y], **thin)
            ax.plot(part.mean, y, "s", mfc="white", ms=4, **thin)
            at, look = (part.low, y), {"ha": "right", "va": "center", "fontsize": 9}
            ax.annotate(text, at, (-5, 0), textcoords="offset points", color="#666666", **look)
    for ax, rows in zip(axes, notes, strict=False):
        for row, note in enumerate(rows):
            at = ax.get_yaxis_transform()
            note = note.replace("-", "−")
            ax.text(0.98, row - 0.3, note, transform=at, ha="right", va="center", fontsize=9)
    axes[0].set_ylim(count - (0.4 if below else 0.5), -0.5)
    found = [difference for rows in sheets.values() for difference in rows.values()]
    _key_below(figure, [], xlabel, words, found)
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
                _interval(ax, y, difference)
                _number(ax, y, difference, f"{difference.mean:+.{digits}f}".replace("-", "−"))
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
    _key_below(figure, [], xlabel, None if clear else ("more", "less"), shown)
    return figure


def stages(
    sheets: dict[str, dict[str, list[float]]],
    x: list[str],
    ylabel: str,
    levels: dict[str, dict[str, float]] | None = None,
) -> Figure:
    """What each name has at each of the stages `x`, with its numbers: a panel per sheet, its scale
    from 0 on; `levels` are dotted lines, in a sheet, of what a name is to be compared with.
    """
    figure, axes = panels(len(sheets), height=3.6, of=next(iter(sheets.values()), ()))
    for ax, (title, named) in zip(axes, sheets.items(), strict=True):
        ends = {}
        for name, values, look in _looks(named.items()):
            ink, places = _ink(look.colour), np.arange(len(x))
            drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
            ax.plot(places, values, lw=2, ms=6, **drawn)
            above = {"fontsize": 9, "color": ink, "textcoords": "offset points"}
            above["path_effects"] = [withStroke(linewidth=2, foreground="white")]
            turns = np.diff(values, prepend=values[0], append=values[-1]) / max(values)
            for place, value, (before, after) in zip(places, values, pairwise(turns), strict=True):
                at, ha = (0, 7), "center"
                if before < -0.25 or after < -0.5:  # a steep line would cross the number
                    flat = after < 0.25 and before < 0
                    at, ha = ((-8, -2), "right") if flat else ((8, -7 if after > 0 else -3), "left")
                ax.annotate(f"{value:.3f}", (place, value), at, ha=ha, **above)
            ends[name] = values[-1], ink
            level = (levels or {}).get(title, {}).get(name)
            if level is not None:
                ax.axhline(level, color=look.colour, lw=1.2, ls=":")
                ends[f"a random draw,\n{name}: {level:.3f}"] = level, ink
        ax.set_xticks(range(len(x)), x)
        ax.margins(y=0.18)
        ax.set(title=title, xlim=(-0.3, len(x) - 0.7))
        ax.set_ylim(bottom=0)
        _name_ends(ax, ends)
    axes[0].set_ylabel(ylabel)
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
            found[name if single else f"{term}: {measure.split()[0]}"] = Difference(*row)
        shown += found.values()
        _rows(ax, found)
        for row, difference in enumerate(found.values()):
            _number(ax, row, difference, f"{difference.mean:+.3f}".replace("-0.000", "0.000"))
        base = rows["without"].droplevel(1).round(3).to_dict()
        base = ", ".join(f"{name.split()[0]} {value}" for name, value in base.items())
        ax.set_title(f"{log.replace(',', ' log,', 1)}\nwithout a term: {base}", fontsize=10)
        ax.set_xticks([0, 0.02, 0.04, 0.06])
    axes[0].set_xlim(min(-0.018, live["low"].min()), max(0.063, live["high"].max()))
    axes[0].set_ylim(count - 0.5, -0.5)
    figure.get_layout_engine().set(wspace=0.06)
    figure.suptitle(title, fontsize=11.5)
    label = "difference that the term makes, with its 95 % interval over users"
    _key_below(figure, [], label, ("more", "less"), shown)
    return figure


def _key_below(
    figure: Figure,
    keys: list[Line2D],
    xlabel: str | None = None,
    words: tuple[str, str] | None = None,
    found: Collection = (),
) -> None:
    """What the colours of differences mean, after `keys` of the figure's own, and below the label
    of all panels; with `words` for more and less, only of those that are `found`.
    """
    more, less = words or ("more", "less")
    signs = {
        _key(more, "o", BLUE): any(d.low > 0 for d in found),
        _key(less, "o", RED): any(d.high < 0 for d in found),
        _key("the 95 % interval holds 0", "s", GREY, "white"): any(
            d.low <= 0 <= d.high for d in found
        ),
    }
    keys = [*keys, *(key for key, drawn in signs.items() if drawn or not words)]
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


def _number(axes, y: float, difference: object, text: str) -> None:
    """The mean of a `Difference` as text, at the right end of its row."""
    clear = difference.low > 0 or difference.high < 0
    look = {"va": "center", "fontsize": 9, "color": "black" if clear else "#666666"}
    at = axes.get_yaxis_transform()
    axes.text(1.01, y, text, transform=at, **look)


def _interval(axes, y: float, difference: object, mark: str = "o", hollow: str = "s") -> None:
    """A `Difference` at a height; grey, with its `hollow` marker, if its interval holds 0."""
    clear = difference.low > 0 or difference.high < 0
    colour = GREY if not clear else BLUE if difference.mean > 0 else RED
    axes.plot([difference.low, difference.high], [y, y], color=colour, lw=2)
    marker, face = (mark, colour) if clear else (hollow, "white")
    axes.plot(difference.mean, y, marker, color=colour, mfc=face)


def over(
    x: np.ndarray,
    values: dict[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    title: str,
    ylim: tuple[float | None, float | None] = (None, None),
    levels: dict[str, float] | None = None,
    marks: dict[str, np.ndarray] | None = None,
) -> Figure:
    """A few lines over the same positions, each with its name beside it, and with markers if there
    are at most 50 positions; dates are shown as months. Of several runs, [runs, positions], the
    line is the mean, and each run has a faint dot.

    - `levels`: level lines by name, of what has no position; the ticks are then the positions.
    - `marks`: positions of what happens, by what it is called, as triangles at the bottom.
    """
    figure, (axes,) = panels(height=3.3, of=values)
    named = {}
    for name, level in (levels or {}).items():
        axes.axhline(level, color=GREY, lw=1.5, ls=":")
        named[name] = np.array([level]), _ink(GREY)
    for name, line, look in _looks(values.items()):
        if np.ndim(line) == 2:
            faint = {"color": look.colour, "ms": 5, "alpha": 0.35, "mec": "none"}
            axes.plot(np.tile(x, len(line)), np.ravel(line), "o", **faint)
            line = np.mean(line, axis=0)
        marker = look.marker if len(line) <= 50 else ""
        drawn = {"color": look.colour, "marker": marker, "ls": look.dashes, "lw": 2}
        (drawn_line,) = axes.plot(x, line, ms=6, label=name, **drawn)
        ends = drawn_line.get_ydata()
        named[name] = ends[np.isfinite(ends)], _ink(look.colour)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    for name, places in (marks or {}).items():
        bottom = axes.get_xaxis_transform()
        axes.plot(places, [0.05] * len(places), "k^", ms=7, transform=bottom)
        axes.text(places[0], 0.11, name, transform=bottom, fontsize=9.5)
    if all(np.issubdtype(np.asarray(line).dtype, np.integer) for line in values.values()):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)
    axes.set_ylim(*ylim)
    if levels:
        axes.set_xticks(x)
    if np.issubdtype(np.asarray(x).dtype, np.datetime64):
        axes.xaxis.set_major_formatter(DateFormatter("%b"))
    axes.margins(x=0.02)
    _name_ends(axes, {name: (y[-1], ink) for name, (y, ink) in named.items() if len(y)})
    return figure


def _name_ends(axes, ends: dict[str, tuple[float, str]]) -> None:
    """Write names in their colours at the right of the axes, each as near to its line's end as the
    others leave room.
    """
    within = axes.transScale + axes.transLimits
    long = {n for n in ends if len(n) > 24 and " " in n and "\n" not in n}
    texts = {n: textwrap.fill(n, 20) if n in long else n for n in ends}
    rows = {name: 0.04 + 0.055 * (1 + text.count("\n")) for name, text in texts.items()}
    order = sorted(ends, key=lambda name: ends[name][0])
    places = [within.transform((axes.get_xlim()[1], ends[name][0]))[1] for name in order]
    for _ in range(200):
        for i, (one, other) in enumerate(pairwise(order)):
            short = (rows[one] + rows[other]) / 2 - (places[i + 1] - places[i])
            if short > 0:
                places[i] -= short / 2
                places[i + 1] += short / 2
    for name, y in zip(order, places, strict=True):
        look = {"color": ends[name][1], "fontsize": 10, "va": "center", "parse_math": False}
        text = axes.text(1.015, y, texts[name], transform=axes.transAxes, **look)
        text.set_in_layout(len(name) < 60)


def _tint(colour: str) -> str:
    """The colour, half as strong on white."""
    return to_hex(0.5 + 0.5 * np.array(to_rgb(colour)))


def _ink(colour: str) -> str:
    """The colour, dark enough for text on white."""
    return to_hex(0.75 * np.array(to_rgb(colour)))


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
    names: list[str],
    whole: dict,
    views: dict[str, dict],
    words: dict | None = None,
    title: str = "",
) -> Figure:
    """What views show of a few items: the views of an item one above the other, a tile for each
    field, cut into as many as a bag has values. What all of several views show has a frame.

    - `whole`, `views`: features of the items by field, [n] indices or [n, L]; 0 is the default.
      `words`: by field, each item's value, or list of values, to be written into the tiles.
    """
    count, across, drawn, copies = len(views), len(whole) < 4, set(), 0
    figure, (axes,) = panels(1, (0.4 * count + 0.16) * len(names) + 1.3, of=names and views)
    for column, field in enumerate(whole):
        for row, of_item in enumerate(np.asarray(whole[field]).reshape(len(names), -1)):
            seen = np.array([np.reshape(v[field], (len(names), -1))[row] for v in views.values()])
            seen = seen[:, of_item > 0] > 0  # [views, values]
            values = words[field][row] if field in (words or ()) else ""
            values = values if isinstance(values, list) else [values] * seen.shape[1]
            parts = max(seen.shape[1], 1)
            for view, shown in enumerate(seen):
                for place in range(parts):
                    box = [column - 0.47, (count + 0.45) * row + view - 0.45, 0.94, 0.88]
                    box[2 if across else 3] /= parts
                    box[0 if across else 1] += place * box[2 if across else 3]
                    state = "empty" if not len(shown) else "shown" if shown[place] else "hidden"
                    copied = state == "shown" and count > 1 and seen[:, place].all()
                    copies += copied
                    drawn.add(state)
                    text = "–" if state == "empty" else values[place]
                    size = 9 if across or len(str(text)) < 9 else 8
                    _tile(axes, *box, state, str(text), copied, size)
    rows = [(count + 0.45) * row + view for row, _ in enumerate(names) for view in range(count)]
    labels = [view if count > 1 else name for name in names for view in views]
    axes.set_yticks(rows, labels, fontsize=9)
    for row, name in enumerate(names if count > 1 else ()):
        at, y = axes.get_yaxis_transform(), (count + 0.45) * row + (count - 1) / 2
        axes.text(-0.115, y, name, transform=at, ha="right", va="center", fontsize=10)
    axes.set(xlim=(-0.5, len(whole) - 0.5), ylim=(rows[-1] + 0.5, -0.5))
    axes.set_xticks(range(len(whole)), whole, fontsize=9)
    axes.xaxis.tick_top()
    axes.set_title(title)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    keys = [
        Patch(**TILES[state], label=label)
        for state, label in (("shown", "shown"), ("hidden", "hidden"), ("empty", "has no value"))
        if state in drawn
    ]
    if count > 1:
        label = "shown in both: can be copied" + ("" if copies else " (none here)")
        keys.insert(1, Patch(facecolor="none", **COPIED, label=label))
    figure.legend(handles=keys, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


TILES = {  # what a tile of each state is filled and edged with
    "shown": {"facecolor": BLUE, "edgecolor": "white", "lw": 1},
    "hidden": {"facecolor": "#FCE5D4", "edgecolor": RED, "lw": 1},
    "empty": {"facecolor": "#EEEEEE", "edgecolor": "white", "lw": 1},
}
COPIED = {"edgecolor": "black", "lw": 2.5}


def _tile(axes, x, y, width, height, state: str, text: str, copied: bool, size: int) -> None:
    if len(text) > 11:
        text = "-\n".join(text.rsplit("-", 1))
    gap = 0.02 if copied else 0.01
    look = TILES[state] | (COPIED | {"zorder": 3} if copied else {})
    place = (x + gap, y + gap), width - 2 * gap, height - 2 * gap
    axes.add_patch(Rectangle(*place, **look))
    colour = {"shown": "white", "hidden": "#8A3A00", "empty": "#777777"}[state]
    look = {"ha": "center", "va": "center", "fontsize": size, "color": colour, "zorder": 4}
    axes.text(x + width / 2, y + height / 2, text, linespacing=0.9, **look)


def _views(axes, vectors: np.ndarray, cosines: Iterable[float] = ()) -> None:
    whole = vectors[0]
    axes.plot(*whole, "*", color="black", ms=11, label="whole item")
    arrow = {"arrowstyle": "->", "color": BLACK, "lw": 1.4}
    for place, bend, marker, name in zip(
        vectors[1:], (-0.2, 0.2), "os", ("first view", "second view"), strict=True
    ):
        bent = arrow | {"connectionstyle": f"arc3,rad={bend}"}
        axes.annotate("", place, whole, arrowprops=bent)
        axes.plot(*place, marker, color=BLACK, mfc="white", mew=1.6, ms=7, label=name)
    for place, cosine in zip(vectors[1:], cosines, strict=False):
        look = {"weight": "bold", "ha": "left", "va": "center", "textcoords": "offset points"}
        text = axes.annotate(f"{cosine:.2f}", place, (8, 0), **look)
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def bars(values: pd.Series, xlabel: str, ylabel: str, title: str) -> Figure:
    """A bar for each entry, with its number on top."""
    figure, (axes,) = panels(height=3, of=values)
    drawn = axes.bar(range(len(values)), values, color=BLUE)
    axes.set_xticks(range(len(values)), values.index)
    axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
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
    title: str = "",
) -> Figure:
    """Paired differences over a parameter: a panel per sheet, a line per name, which stands beside
    it, each `Difference` with its 95 % interval, or None where nothing was run. `x` are the ticks'
    names, and `at` their places, about one apart, if they are not to stand in equal steps.
    """
    places = np.arange(len(x)) if at is None else np.asarray(at)
    figure, axes = panels(len(sheets), height=4.1, of=sheets, sharey=True)
    for ax, (sheet, named) in zip(axes, sheets.items(), strict=True):
        lines = {}
        for number, (name, found, look) in enumerate(_looks(named.items())):
            run = [difference is not None for difference in found]
            where = places[run] + (number - (len(named) - 1) / 2) * 0.045
            means, errors = _intervals([difference for difference in found if difference])
            drawn = {"color": look.colour, "marker": look.marker, "ls": look.dashes}
            ax.errorbar(where, means, errors, ms=5, lw=1.3, label=name, **drawn)
            lines[name] = np.column_stack([where, means]), look.colour
        ax.axhline(0, color=GREY, lw=1)
        ax.set_xticks(places, x)
        ax.set(title=sheet, xlabel=xlabel)
        ax.margins(x=0.1)
        _name_lines(ax, lines)
    axes[0].set_ylabel(ylabel)
    figure.suptitle(title, fontsize=12)
    return figure


def trade_off(
    named: dict[str, dict[str, tuple]],
    constant: np.ndarray,
    xlabel: str,
    ylabel: str,
    near: Collection[str] = (),
    quarters: Collection[str] = (),
    title: str = "",
) -> Figure:
    """What arms gain in one respect over what they gain in another, beside a model to whose scores
    a constant is added.

    - `named`: of each arm pairs of `Difference`s (x, y) by weight, from the smallest, which is
      hollow, to the largest, which is filled; arrows lead from one to the next. What is clear of
      zero on both axes has its colour, intervals and weight; all else is pale.
    - `constant`: [c, 2] (x, y) of a growing constant. `near`: the arms that the large panel is cut
      to; a small one beside it has all others, and a frame where the large one is.
    - `quarters`: what it means to lie in the upper left, the upper right, the lower left and the
      lower right.
    """
    sizes = {"width_ratios": [2, 1]} if near else {}
    figure, axes = panels(1 + bool(near), height=5.2, of=named, **sizes)
    figure.suptitle(title, fontsize=12)
    path = np.concatenate([np.zeros((1, 2)), constant])
    names = [{}, {}]
    for ax, written in zip(axes, names, strict=False):
        ax.plot(*path.T, ".--", color="black", lw=1.5, ms=5, label="plain + a constant")
        for name, found, look in _looks(named.items()):
            if ax is axes[0] or name not in near:
                written |= _weights(ax, name, found, look)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.xaxis.set_major_locator(MaxNLocator(5 if ax is axes[0] else 2))
        ax.margins(0.25, 0.08)
    for axis, part in enumerate("xy" if near else ""):
        found = [pair[axis] for name in near for pair in named[name].values()]
        low, high = min(d.low for d in found), max(d.high for d in found)
        axes[0].set(**{f"{part}lim": (low - 0.1 * (high - low), high + 0.1 * (high - low))})
    if near:
        corner, size = axes[0].viewLim.min, axes[0].viewLim.size
        axes[1].add_patch(Rectangle(corner, *size, fill=False, lw=1, ls="-", ec=GREY))
        axes[1].set_title("further out (frame: left panel)", fontsize=10)
    for ax in axes:  # as lines through many points, which names keep off
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        steps = np.linspace(0, 1, 9)
        look = {"color": GREY, "lw": 1, "zorder": 0, "scalex": False, "scaley": False}
        ax.plot(left + steps * (right - left), 0 * steps, **look)
        ax.plot(0 * steps, bottom + steps * (top - bottom), **look)
    for place, text in enumerate(quarters):
        x, y = place % 2, 1 - place // 2
        look = {"ha": ("left", "right")[x], "va": ("bottom", "top")[y], "style": "italic"}
        look |= {"transform": axes[0].transAxes, "color": "#555555"}
        axes[0].text(0.015 + 0.97 * x, 0.02 + 0.96 * y, text, **look)
    steps = np.linspace(0.2, 1, 9)[:, None]
    way = np.concatenate([start + steps * (end - start) for start, end in pairwise(path)])
    names[0]["plain + a constant"] = way, "black"
    names[1] = {textwrap.fill(name, 12): line for name, line in names[1].items()}
    for ax, written in zip(axes, names, strict=False):
        inside = {name: (_within(ax, at), colour) for name, (at, colour) in written.items()}
        _name_lines(ax, {name: line for name, line in inside.items() if len(line[0])})
    keys = [_key("largest weight α; smaller ones are hollow", "o", "#444444")]
    keys.append(_key("pale: not clear of zero on both axes", "o", _tint("#444444")))
    look = {"frameon": False, "fontsize": 9, "ncols": 2}
    figure.legend(handles=keys, loc="outside lower center", **look)
    return figure


PALE = "#999999"


def _weights(axes, name: str, found: dict[str, tuple], look: looks.Look) -> dict[str, tuple]:
    """The pairs of one arm in `trade_off`; returns the names to write, with their places [1, 2] and
    colours.
    """
    places = np.array([(x.mean, y.mean) for x, y in found.values()])
    sizes = np.linspace(9, 5, 4)[: len(found)][::-1]
    names = {}
    for (start, end), size in zip(pairwise(places), sizes[1:], strict=True):
        arrow = {"arrowstyle": "->", "color": PALE, "lw": 0.8, "shrinkA": 4, "shrinkB": size / 2}
        axes.annotate("", end, start, arrowprops=arrow, annotation_clip=True)
    for (weight, pair), (x, y), size in zip(found.items(), places, sizes, strict=True):
        clear, last = all(d.low > 0 or d.high < 0 for d in pair), weight == [*found][-1]
        colour = look.colour if clear else _tint(look.colour)
        if clear:
            of, to = pair
            axes.plot([of.low, of.high], [y, y], color=colour, lw=1, alpha=0.6)
            axes.plot([x, x], [to.low, to.high], color=colour, lw=1, alpha=0.6)
        face = colour if last else "white"
        axes.plot(x, y, look.marker, color=colour, ms=size, mfc=face, zorder=3)
        if clear or last:
            text = f"{name}, {weight}" if clear and weight else name
            names[text] = np.array([[x, y]]), _ink(look.colour)
    return names


def share_bars(found: dict[str, dict[str, float]], xlabel: str, title: str) -> Figure:
    """Shares, 0 to 1, as bars with their numbers: found[set][group]; the sets are told apart by
    colour and hatch.
    """
    table = pd.DataFrame(found)
    figure, (axes,) = panels(height=max(0.55, 0.22 * table.shape[1]) * len(table) + 1.3, of=table)
    width, groups = 0.8 / max(table.shape[1], 1), np.arange(len(table))
    for place, (name, values, look) in enumerate(_looks(table.items())):
        y = groups + (place - (table.shape[1] - 1) / 2) * width
        drawn = {"color": look.colour, "hatch": look.hatch, "edgecolor": "white", "label": name}
        bars = axes.barh(y, values, 0.92 * width, **drawn)
        axes.bar_label(bars, [f"{100 * value:.0f} %" for value in values], padding=3, fontsize=10)
    axes.set_yticks(groups, table.index, fontsize=10)
    axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, 1.06), xlabel=xlabel, title=title)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(visible=False, axis="y")
    _legend_below(figure, axes)
    return figure


def map_and_match(table: pd.DataFrame, title: str) -> Figure:
    """How even each model's map is and how many views it matches, columns `uniformity` and
    `matched`: a named dot for each row, and an arrow to it from the first.
    """
    figure, (axes,) = panels(height=3.6, of=table)
    places = table[["uniformity", "matched"]].to_numpy()
    arrow = {"arrowstyle": "->", "color": GREY, "lw": 1.3, "shrinkA": 7, "shrinkB": 7}
    names = {}
    colours = (BLACK, GREY, *[RED] * len(table))  # the first, the control, those with a term
    for place, name, colour in zip(places, table.index, colours, strict=False):
        if name != table.index[0]:
            axes.annotate("", place, places[0], arrowprops=arrow)
        axes.plot(*place, "o", color=colour, ms=9)
        names[name] = place[None], colour
    axes.set(xlim=(0, -4.3), ylim=(0, 0.7), title=title)
    axes.set(
        xlabel="uniformity: 0 all alike, −4 spread evenly", ylabel="random mask's views matched"
    )
    _name_lines(axes, names, 10)
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


def night_line() -> Figure:
    """Two nights on a time line: each learns from the whole day before it, and publishes a version,
    by which requests are answered until the next.
    """
    figure, (axes,) = panels(height=3.6)
    title = "Every night learns from the day before, and publishes one whole version"
    axes.set(xlim=(-15, 34), ylim=(-0.6, 3.6), xlabel="time of day", title=title)
    ticks = {-12: "12:00", 0: "0:00", 12: "12:00", 24: "0:00"}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_yticks(range(4), ["requests are\nanswered by", "published", "learned", "events"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    words = {"fontsize": 9.5, "va": "center"}
    arrow = {"arrowstyle": "->", "color": "#333333"}
    days = ("yesterday's events", -15, 0), ("today's events", 0, 24), ("", 24, 34)
    bands = ("last night's version", -15, 2), ("tonight's version", 2, 26), ("the next", 26, 34)
    for (day, start, end), (version, since, until) in zip(days, bands, strict=True):
        axes.barh(3, end - start - 0.3, 0.45, start + 0.15, color=GREY, alpha=0.4)
        axes.text((start + end) / 2, 3, day, ha="center", **words)
        tint = BLUE if since > 0 else "#999999"
        axes.barh(0, until - since - 0.15, 0.5, since, color=tint)
        axes.text((since + until) / 2, 0, version, color="white", ha="center", **words)
    for midnight in (0, 24):
        axes.axvline(midnight, color=GREY, lw=0.8, ls=":", zorder=0)
        axes.annotate("", (midnight + 0.8, 2.28), (midnight - 1.5, 2.74), arrowprops=arrow)
        axes.barh(2, 1.6, 0.45, midnight + 0.2, color=BLUE)
        axes.text(midnight + 2.2, 2, "all parameters", color=BLUE, **words)
        axes.annotate("", (midnight + 2, 1.2), (midnight + 1.7, 1.75), arrowprops=arrow)
        axes.plot(midnight + 2, 1, "o", color=BLUE, ms=13)
        axes.annotate("", (midnight + 2, 0.28), (midnight + 2, 0.8), arrowprops=arrow)
    axes.text(3, 1, "every item's vector, the user network", color=BLUE, **words)
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
