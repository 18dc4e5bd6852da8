"""What figures share: the canvas, how one is shown, keys, intervals, names beside lines."""

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
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter
from PIL import Image

from course_lib import looks, texts
from course_lib.looks import BLUE, GREY, RED

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


def styled(named: Iterable[tuple]) -> Iterator[tuple]:
    """(label, values, its `looks.Look`) of each of a few things (name, values), or of none."""
    named = list(named)
    for (name, values), look in zip(named, looks.of(name for name, _ in named), strict=True):
        if not len(values):
            raise ValueError(f"there is nothing to draw: '{name}' has no values.")
        hidden = str(name).startswith("_")  # a legend leaves such names out
        yield "\u200b" * hidden + str(name), values, look


def arrow(
    axes,
    start,
    end,
    colour: str,
    width: float,
    head: str = "->",
    gap: int = 5,
    style: str = "-",
    bend: float = 0,
) -> None:
    """An arrow; with a `bend`, it swings to its right by so much of its length, or to its left."""
    line = {"arrowstyle": head, "color": colour, "lw": width, "shrinkA": gap, "shrinkB": gap}
    line |= {"ls": style, "connectionstyle": f"arc3,rad={bend}"}
    axes.annotate("", end, start, arrowprops=line, zorder=0 if width == 1 else 3)


def _extent(text: Text):
    """The box of a text, in pixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        return text.get_window_extent()


def name_lines(axes, lines: dict[str, tuple[np.ndarray, str]], size: float = 9) -> None:
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


def interval_lengths(found: list) -> tuple[np.ndarray, np.ndarray]:
    """Means [n] of `Difference`s, and how far their intervals reach below and above [2, n]."""
    mean = np.array([difference.mean for difference in found])
    return mean, np.array([[d.mean - d.low, d.high - d.mean] for d in found]).T


def key_below(
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
        legend_key(more, "o", BLUE): any(d.low > 0 for d in found),
        legend_key(less, "o", RED): any(d.high < 0 for d in found),
        legend_key("the 95 % interval holds 0", "s", GREY, "white"): any(
            d.low <= 0 <= d.high for d in found
        ),
    }
    keys = [*keys, *(key for key, drawn in signs.items() if drawn or not words)]
    legend = keys_outside(figure, keys, len(keys))
    legend.set_title(xlabel, {"size": 10})


def keys_outside(figure: Figure, keys: list, columns: int, **look) -> Legend:
    """A legend of these handles below all panels, in so many columns."""
    look = {"frameon": False, "fontsize": 9, "ncols": columns} | look
    return figure.legend(handles=keys, loc="outside lower center", **look)


def legend_key(label: str, mark: str, colour: str, face: str | None = None) -> Line2D:
    return Line2D([], [], ls="", marker=mark, color=colour, mfc=face or colour, mew=2, label=label)


def interval_rows(axes, found: dict[str, object]) -> None:
    """A `Difference` on each row, from above; grey and hollow if its interval holds 0."""
    for row, difference in enumerate(found.values()):
        draw_interval(axes, row, difference)
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(range(len(found)), found)


def number_beside(axes, y: float, difference: object, text: str) -> None:
    """The mean of a `Difference` as text, at the right end of its row."""
    clear = difference.low > 0 or difference.high < 0
    look = {"va": "center", "fontsize": 9, "color": "black" if clear else "#666666"}
    at = axes.get_yaxis_transform()
    axes.text(1.01, y, text.replace("-", "−"), transform=at, **look)


def draw_interval(axes, y: float, difference: object, mark: str = "o", hollow: str = "s") -> None:
    """A `Difference` at a height; grey, with its `hollow` marker, if its interval holds 0."""
    clear = difference.low > 0 or difference.high < 0
    colour = GREY if not clear else BLUE if difference.mean > 0 else RED
    axes.plot([difference.low, difference.high], [y, y], color=colour, lw=2)
    marker, face = (mark, colour) if clear else (hollow, "white")
    axes.plot(difference.mean, y, marker, color=colour, mfc=face)


def name_ends(axes, ends: dict[str, tuple[float, str]]) -> None:
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


def ink_of(colour: str) -> str:
    """The colour, dark enough for text on white."""
    return to_hex(0.75 * np.array(to_rgb(colour)))


def legend_below(figure: Figure, axes) -> None:
    """A legend off the data: below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    handles = [part[0] if isinstance(part, ErrorbarContainer) else part for part in handles]
    columns = max(1, min(len(labels), 110 // (max(map(len, labels), default=0) + 6)))
    keys_outside(figure, handles, columns, labels=labels)
