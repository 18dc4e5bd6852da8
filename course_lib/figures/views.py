"""Figures of self-supervision: views, masks and what is alike (07 to 12)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from course_lib.figures.style import arrow, ink_of, keys_outside, legend_below, name_lines, panels
from course_lib.looks import BLACK, BLUE, GREY, RED


def relations(
    tables: dict[str, pd.DataFrame], row: str, framed: Collection[Collection[str]]
) -> Figure:
    """How related fields are, a heat map for each k×k table, 0 in white and the largest in dark
    blue; `framed`: of each table, the columns that have a frame in this row.
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
    for ax, table, columns in zip(axes, tables.values(), framed, strict=True):
        for column in columns:
            place = table.columns.get_loc(column) - 0.5, table.index.get_loc(row) - 0.5
            ax.add_patch(Rectangle(place, 1, 1, facecolor="none", edgecolor=RED, lw=2.5))
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
    keys_outside(figure, keys, 3)
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
    axes.set(xlim=(0, 18.9), ylim=(-1, 5.8))
    rows = [(3.25, 2.05, item, "one item"), (7.4, 3.3, views[0], "first view")]
    rows += [(7.4, 0.8, views[1], "second view")]
    for right, y, values, name in rows:
        left, middle = right - len(values), right - len(values) / 2
        for place, value in enumerate(values):
            if value == "·":
                look = {"fc": "white", "ec": GREY, "ls": "--", "lw": 1.2}
                axes.add_patch(Rectangle((left + place + 0.05, y), 0.9, 0.8, **look))
                look = {"ha": "center", "va": "center", "fontsize": 9, "color": "#555555"}
                axes.text(left + place + 0.5, y + 0.4, value, **look)
            else:
                _tile(axes, left + place, y, 1, 0.8, "shown", value, copied=False, size=9)
        axes.text(middle, y + 0.95, name, ha="center", va="bottom")
    for y, colour in ((3.7, BLUE), (1.2, RED)):
        for start, end in (((3.3, 2.45), (4.4, y)), ((7.5, y), (8.3, y)), ((10.8, y), (11.6, y))):
            arrow(axes, start, end, GREY, 1.5, gap=1)
        axes.add_patch(Rectangle((11.7, y - 0.2), 1.2, 0.4, color=colour))
    axes.text(12.3, 4.05, "vector", ha="center", color=ink_of(BLUE))
    axes.text(12.3, 1.55, "vector", ha="center", color=ink_of(RED))
    axes.add_patch(Rectangle((8.35, 0.7), 2.4, 3.5, fc="white", ec="black", lw=1.5))
    axes.text(9.55, 2.45, "item tower,\nthe same\nfor both", ha="center", va="center")
    for (row, column), value in np.ndenumerate(np.asarray(cosines)):
        own = row == column
        place = (14.6 + column, 3.3 - row)
        face = *to_rgb(BLUE), 0.75 * max(float(value), 0)
        look = {"ec": "black", "lw": 2.5, "zorder": 3} if own else {"ec": "#BBBBBB", "lw": 0.8}
        axes.add_patch(Rectangle(place, 1, 1, fc=face, **look))
        middle, text = (place[0] + 0.5, place[1] + 0.5), f"{value:.2f}".replace("-", "−")
        text = text.replace("−0.00", "0.00")
        axes.text(*middle, text, ha="center", va="center", fontsize=9, zorder=4)
    for place, name in enumerate(names):
        axes.text(14.4, 3.8 - place, name, ha="right", va="center", color=ink_of(BLUE))
        axes.text(15.1 + place, 4.45, name, ha="center", va="bottom", color=ink_of(RED))
    centre = 14.6 + len(names) / 2
    axes.text(centre, 5.1, "second views", ha="center", va="bottom", color=ink_of(RED))
    look = {"ha": "right", "va": "center", "rotation": 90, "color": ink_of(BLUE)}
    axes.text(14.0, 4.3 - len(names) / 2, "first views", **look)
    goals = "framed, one item: cos → 1\nall other pairs: cos → 0"
    axes.text(centre, 4.1 - len(names), goals, ha="center", va="top")
    axes.set_title("Of all pairs, the two views of one item should be the most alike")
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
        ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes[0].set_ylabel("share of the pairs (%)")
    legend_below(figure, axes[0])
    return figure


def views_map(plane: np.ndarray, vectors: np.ndarray) -> Figure:
    """All items [m, 2] in grey; arrows from the whole item to its two views, `vectors` [3, 2]:
    whole, first, second.
    """
    figure, (axes,) = panels(height=3.8, width=5.0)
    axes.plot(*plane.T, ".", color=GREY, ms=2, alpha=0.4)
    _views(axes, vectors)
    axes.set(title="All items (grey) in two of 64 dimensions", xticklabels=[], yticklabels=[])
    legend_below(figure, axes)
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
    legend_below(figure, axes[0])
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
    keys_outside(figure, keys, 4)
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


def map_and_match(table: pd.DataFrame, title: str) -> Figure:
    """How even each model's map is and how many views it matches, columns `uniformity` and
    `matched`: a named dot for each row, and an arrow to it from the first.
    """
    figure, (axes,) = panels(height=3.2, of=table)
    places = table[["uniformity", "matched"]].to_numpy()
    arrow = {"arrowstyle": "->", "color": GREY, "lw": 1.3, "shrinkA": 7, "shrinkB": 7}
    names = {}
    colours = (BLACK, GREY, *[RED] * len(table))  # the first, the control, those with a term
    for place, name, colour in zip(places, table.index, colours, strict=False):
        if name != table.index[0]:
            axes.annotate("", place, places[0], arrowprops=arrow)
        axes.plot(*place, "o", color=colour, ms=8)
        names[name] = place[None], colour
    axes.set(xlim=(0, -4.5), ylim=(0, 0.65), title=title)
    axes.set(xlabel="uniformity: 0 all alike, −4 spread evenly", ylabel="share of views matched")
    name_lines(axes, names, 10)
    return figure
