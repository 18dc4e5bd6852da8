"""Widgets: what a reader can turn by hand. Each has a figure in figures/ that says the same on a
page that stands still.

A widget is a `Panel`; its parts are attributes, so that a test can turn them and read what they
show.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from course_lib import figures, item_map, looks
from course_lib.augment import Augmentation
from course_lib.item_map import Plane
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.production import FAULTS, Day
from course_lib.state import State


class Panel(ipywidgets.VBox):
    """A box that a page without widgets replaces by a sentence.

    `dials`: what alone decides what it shows, from the first to the last; () where more does, such
    as what was done before.
    """

    # Else JupyterLab would take an arrow or a digit that is meant for a control.
    KEYS = """<script>
(() => {
  const box = document.currentScript.closest(".widget-vbox");
  const keep = () => box.querySelectorAll("select, input, button").forEach(
    (control) => { control.dataset.lmSuppressShortcuts = true; });
  new MutationObserver(keep).observe(box, { childList: true, subtree: true });
  keep();
})();
</script>"""
    words = "A widget: run this cell in Jupyter to use it; the figure below shows the same."
    dials: tuple[ipywidgets.Dropdown, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.message, self.picture = ipywidgets.HTML(), ipywidgets.HTML()

    def fill(self, *parts: ipywidgets.Widget) -> None:
        """Show these parts, from top to bottom."""
        script = {"output_type": "display_data", "data": {"text/html": self.KEYS}, "metadata": {}}
        self.children = [*parts, ipywidgets.Output(outputs=[script])]

    def turn(self, show: Callable[[], None], *below: ipywidgets.Widget, **dials) -> Panel:
        """This panel with these dials, attributes by their names, above `below` (message and
        picture, if nothing is named); `show` is called now and whenever one is turned.
        """
        for name, dial in dials.items():
            setattr(self, name, dial)
            dial.observe(lambda _: show(), "value")
        self.dials = tuple(dials.values())
        self.fill(ipywidgets.HBox(self.dials), *(below or (self.message, self.picture)))
        show()
        return self

    def show_figure(self, figure: Figure, width: int, alt: str) -> None:
        """Show a figure as HTML, because a widget's picture has no alt text."""
        file = io.BytesIO()
        figure.savefig(file, format="png")
        source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        self.picture.value = f'<img alt="{html.escape(alt)}" width="{width}" src="{source}">'

    def _repr_mimebundle_(self, **options) -> dict:
        return super()._repr_mimebundle_(**options) | {"text/plain": self.words}


def nomination_explorer(
    nominator: Nominator, users: Mapping | Sequence, basket: Sequence, k: int = 10
) -> Panel:
    """Choose a user, see history and nominations; buy, and see at once how far the vector turns,
    what becomes of the list, and where it goes on the course's map of items.

    - `users`: those to choose from, or their ids by what they are to be called; one that the log
      doesn't know is a new user.
    - `basket`: ids of the items to buy that are offered first; any other listed item can be typed.

    Parts: `user`, `item` (a description and its id), `buy`, `again` (forget what was bought here);
    `message`, `history`, `nominations` (tables as HTML), `picture`; and as values `path`, the
    user's vectors [1, d] from the first to now, `listed` and `before`, the nominations now and
    before the last purchase (None at first).
    """
    log, times_bought = nominator.log, _times_bought(nominator)
    listed = log.items.iloc[: log.listed(nominator.version.time)]
    spots, kinds, colours = _on_the_map(nominator, listed)
    others = listed.index[~listed.index.isin(list(basket))]
    names = dict(_names(listed, [*basket, *others]))
    panel = Panel()
    panel.words = "A widget: run this cell in Jupyter to buy for a user. On this page, read on."
    called = users if isinstance(users, Mapping) else {str(user): user for user in users}
    called = list(_some("users", list(called.items())))
    panel.user = ipywidgets.Dropdown(options=called, description="user")
    panel.item = ipywidgets.Combobox(options=list(names), value=next(iter(names)))
    panel.item.description, panel.item.layout.width = "item", "32em"
    panel.buy = ipywidgets.Button(description="Buy", button_style="primary")
    panel.again = ipywidgets.Button(description="Start again")
    panel.buy.layout.width, panel.again.layout.width = "6em", "8em"
    panel.history, panel.nominations = ipywidgets.HTML(), ipywidgets.HTML()
    tables = ipywidgets.VBox([panel.nominations, panel.history])
    controls = ipywidgets.HBox([panel.user, panel.item, panel.buy, panel.again])
    panel.fill(controls, panel.message, ipywidgets.HBox([tables, panel.picture]))

    def show(message: str) -> None:
        user = panel.user.value
        panel.path.append(nominator.user_vector(user).numpy())
        panel.before, panel.listed = panel.listed, nominator.nominate(user, k)
        codes = log.items.index.get_indexer(panel.listed["item"])
        table = panel.listed.assign(
            bought=times_bought[codes], change=_changes(panel.listed, panel.before)
        )
        panel.nominations.value = _table(f"Nominations for {panel.user.label}", table)
        panel.history.value = _table("History, latest first", nominator.history(user, 5))
        cosine = float((panel.path[0] * panel.path[-1]).sum())
        panel.message.value = (
            f"{html.escape(message)} Cosine of the vector with where it was at first: "
            f"<b>{cosine:.3f}</b>"
        )
        bought = log.items.index.get_indexer(nominator.history(user, k)["item"])
        panel.first = codes if panel.before is None else panel.first
        sets = {"bought last": bought, "nominated at first": panel.first, "nominated now": codes}
        figure = figures.item_map(spots, kinds, colours, {"": sets})
        alt = "The items that were bought and nominated, on the map of all items."
        panel.show_figure(figure, 330, alt)

    def start(_=None) -> None:
        nominator.live.pop(panel.user.value, None)
        panel.path, panel.listed = [], None
        show("Nothing bought yet.")

    def buy(_) -> None:
        item = names.get(panel.item.value)
        if item is None:
            panel.message.value = "There is no such item; type a part of its name, and choose one."
        elif item in nominator.history(panel.user.value, len(log.items))["item"].array:
            panel.message.value = "The user has that already; choose another."
        else:
            nominator.buy(panel.user.value, item)
            show(f"Bought: {panel.item.value}.")

    panel.user.observe(start, "value")
    panel.buy.on_click(buy)
    panel.again.on_click(start)
    start()
    return panel


def circle_search(
    degrees: np.ndarray, searches: Mapping[str, tuple[float, np.ndarray, Sequence[dict]]]
) -> Panel:
    """Follow a search step by step among items on a circle: which lists are opened, or which links
    a walk takes, what has been compared, and what is the best so far.

    - `degrees`: where the items point. `searches`: of each where the query points, the items'
      groups and its steps, all as `figures.circles` wants them.

    Parts: `search`, `step` (beyond a search's last it stays there); `message`, `picture`; and as a
    value `shown`, the step.
    """
    panel = Panel()
    most = max(len(steps) for _, _, steps in _some("searches", searches).values())
    search, step = _dial("search", searches), _dial("step", range(1, most + 1))

    def show() -> None:
        query, groups, steps = searches[panel.search.value]
        number = min(panel.step.value, len(steps))
        panel.shown = step = {"title": f"step {number} of {len(steps)}"} | steps[number - 1]
        seen = {*step["seen"], *step.get("above", {}).get("seen", ())}
        panel.message.value = (
            f"compared <b>{len(seen)} of {len(degrees)}</b>, best so far: "
            f"{', '.join(map(str, step['found'])) or 'none in this layer'}"
        )
        alt = "Items on a circle: what was compared is bright, the best so far has a ring."
        panel.show_figure(figures.circles(degrees, query, groups, [step]), 390, alt)

    return panel.turn(show, search=search, step=step)


def index_dials(table: pd.DataFrame) -> Panel:
    """Turn nprobe, efSearch and M, and see what they do to recall and to the number of vectors
    compared.

    `table`: as `figures.dials` wants it. Parts: `kind`, `nprobe`, `M`, `ef_search`; `message`,
    `picture`; and as a value `chosen`, the row of the table.
    """
    ivf, hnsw = (_some(kind, table[table["index"] == kind]) for kind in ("ivf", "hnsw"))
    panel = Panel()
    panel.words = "A widget: run this cell in Jupyter to use it; the figure above shows the same."

    def show() -> None:
        of_graph = panel.kind.value == "hnsw"
        panel.nprobe.disabled = of_graph
        panel.M.disabled = panel.ef_search.disabled = not of_graph
        rows = hnsw[hnsw["M"] == panel.M.value] if of_graph else ivf
        value = panel.ef_search.value if of_graph else panel.nprobe.value
        panel.chosen = row = rows[rows["value"] == value].iloc[0]
        panel.message.value = (
            f"recall <b>{row['recall']:.3f}</b>, compared <b>{100 * row['compared']:.1f} %</b> of "
            "the vectors"
        )
        alt = "The share of vectors compared over recall, with a ring where the dials stand."
        panel.show_figure(figures.dials(table, row.name), 800, alt)

    return panel.turn(
        show,
        kind=_dial("index", ["ivf", "hnsw"]),
        nprobe=_dial("nprobe", _values(ivf["value"])),
        M=_dial("M", _values(hnsw["M"])),
        ef_search=_dial("efSearch", _values(hnsw["value"])),
    )


def _on_the_map(
    nominator: Nominator, listed: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Where the listed items are, what kind each is of, and the kinds' colours: on the course's
    map, or for another log in a plane of its own.
    """
    spots, log, version = item_map.places(listed.index), nominator.log, nominator.version
    if spots is not None:
        kinds = pd.Index(item_map.KINDS).get_indexer(item_map.load()["kind"][listed.index])
        return spots, kinds, item_map.KINDS
    vectors = version.state.item_vectors(log, np.arange(len(listed)), version.time).numpy()
    return Plane(vectors).points, np.zeros(len(listed), int), {"items": looks.GREY}


def _times_bought(nominator: Nominator) -> np.ndarray:
    log = nominator.log
    return np.bincount(log.item_rows[: nominator.version.before], minlength=len(log.items))


def _names(items: pd.DataFrame, ids: Sequence) -> list[tuple[str, object]]:
    """Description and id in one line, as a browser's list wants it, and the id, of each item."""
    for item in ids:
        if item not in items.index:
            raise ValueError(f"there is no item {item!r} yet; name items by their ids.")
    texts = items["description"].loc[list(ids)]
    return [(" ".join(f"{text} ({item})".split()), item) for item, text in texts.items()]


def _some(what: str, values: Sequence) -> Sequence:
    if not len(values):
        raise ValueError(f"there is nothing to show: {what} is empty; give at least one.")
    return values


def _dial(name: str, options: Sequence, **chosen) -> ipywidgets.Dropdown:
    """A list to choose from: a screen reader is told its name, and of no slider it is."""
    options = list(options)
    longest = max(len(str(one[0] if isinstance(one, tuple) else one)) for one in options)
    layout = {"width": f"{max(13, 8 + 0.6 * longest):g}em"}
    return ipywidgets.Dropdown(options=options, description=name, layout=layout, **chosen)


def _values(column: pd.Series) -> list[int]:
    return [int(value) for value in sorted(column.unique())]


def _changes(now: pd.DataFrame, before: pd.DataFrame | None) -> list[str]:
    """What became of each item's place."""
    if before is None:
        return [""] * len(now)
    old = {item: place for place, item in enumerate(before["item"])}
    moved = [old[item] - place if item in old else None for place, item in enumerate(now["item"])]
    return [
        "new" if by is None else f"▲{by}" if by > 0 else f"▼{-by}" if by < 0 else "" for by in moved
    ]


def _html(table: pd.DataFrame, **options) -> str:
    """Whole texts, escaped, without pandas' class, whose style holds for the whole page."""
    with pd.option_context("display.max_colwidth", None):
        text = table.to_html(border=0, justify="left", **options)
    return text.replace('class="dataframe"', 'cellpadding="3" style="font: 12px/1.3 sans-serif"', 1)


def _table(title: str, table: pd.DataFrame) -> str:
    body = _html(table, index=False, float_format="{:.3f}".format) if len(table) else "nothing"
    return f"<b>{html.escape(title)}</b><br>{body}"


def production_dashboard(begin: Callable[[], Day]) -> Panel:
    """Let a day in production pass hour by hour, with a fault on each button; see recall, the
    served state's age, what is learned, and what became of the shards.

    `begin`: makes the day, and makes it anew for "Start again". Parts: `hour`, `faults` (a button
    each), `again`; `message` (what became of the shards, and what is lost), `picture`; and as a
    value `day`.
    """
    panel = Panel()
    panel.hour = ipywidgets.Button(description="Next hour", button_style="primary")
    panel.faults = [ipywidgets.Button(description=fault.capitalize()) for fault in FAULTS]
    panel.again = ipywidgets.Button(description="Start again")
    for button in panel.faults:
        button.layout.width = "12em"
    controls = [ipywidgets.HBox([panel.hour, panel.again]), ipywidgets.HBox(panel.faults)]
    panel.fill(*controls, panel.message, panel.picture)

    def show(became: dict[str, str]) -> None:
        day = panel.day
        panel.hour.description = "Midnight" if day.left == 1 else "Next hour"
        panel.hour.disabled = not day.left
        for button in panel.faults:
            button.disabled = day.left < 2
        row, version = day.table.iloc[-1], day.nominator.version.name
        lines = [f"{name}: {text}" for name, text in became.items()] or ["no shard has landed"]
        waiting = "" if day.left else f" Lost of the day's events: <b>{day.lost()}</b>."
        panel.message.value = (
            f"<b>{row['hour']}</b>, {version}, {row['answers']} answers. "
            f"{html.escape('; '.join(lines).rstrip('.'))}.{waiting}"
        )
        alt = "By the hour: recall, the served state's age, events learned, what became of shards."
        panel.show_figure(figures.dashboard(day.table), 600, alt)

    def start(_=None) -> None:
        panel.day = begin()
        show(panel.day.step())

    panel.hour.on_click(lambda _: show(panel.day.step()))
    for button, fault in zip(panel.faults, FAULTS, strict=True):
        button.on_click(lambda _, fault=fault: show(panel.day.step(fault)))
    panel.again.on_click(start)
    start()
    return panel


def capacity_dials(
    plan: Callable[[float, float, float, float], pd.DataFrame], start: tuple[float, ...]
) -> Panel:
    """Choose items, daily users, requests a user and GiB a machine; see what each index kind needs.

    - `plan`: gives a table for `figures.capacity` for these four, with a column "machines".
      `start`: the four to begin with.

    Parts: `items`, `users`, `requests`, `memory`; `message`, `picture`; and as a value `table`.
    """
    panel = Panel()
    names = ("items", "users", "requests", "memory")
    labels = ("items", "daily users", "requests", "GiB each")
    choices = (
        [(f"{f} · 10{'⁵⁶⁷⁸⁹'[e - 5]}", f * 10**e) for e in range(5, 10) for f in (1, 3)][:-1],
        [(f"{f} · 10{'⁵⁶⁷⁸'[e - 5]}", f * 10**e) for e in range(5, 9) for f in (1, 3)][:-1],
        [1, 3, 10, 30, 100],
        [64, 128, 256, 512, 1024],
    )
    dials = {
        name: _dial(label, values, value=value)
        for name, label, values, value in zip(names, labels, choices, start, strict=True)
    }

    def show() -> None:
        panel.table = plan(*(dial.value for dial in panel.dials))
        least = panel.table["machines"].idxmin()
        machines = f"{panel.table.loc[least, 'machines']:,.0f}"
        panel.message.value = f"fewest machines: <b>{html.escape(least)}</b>, {machines}"
        alt = "What each kind of index needs, a panel for each resource."
        panel.show_figure(figures.capacity(panel.table), 800, alt)

    return panel.turn(show, **dials)


def view_explorer(
    augment: Augmentation, state: State, log: EventLog, items: Sequence, time: pd.Timestamp
) -> Panel:
    """Choose an item and a draw; see the item before and after masking, and where its vector goes.

    `items`: ids of those to choose from. Parts: `item`, `draw` (a seed); `table` (HTML), `message`,
    `picture`; and as values `fields`, a DataFrame of the item and its two views, and `cosines`, of
    each view with the whole and of both with each other.
    """
    panel = Panel()
    names = _names(log.items.iloc[: log.listed(time)], _some("items", items))
    choice = ipywidgets.Dropdown(options=names, description="item", layout={"width": "36em"})
    panel.table = ipywidgets.HTML()
    rows = np.arange(log.listed(time))
    plane = Plane(state.item_vectors(log, rows, time).numpy(), log.items.index[rows])

    def show() -> None:
        item, seed = panel.item.value, panel.draw.value
        panel.fields, vectors = two_views(augment, state, log, item, time, seed)
        centred = torch.from_numpy(vectors - plane.middle)
        pairs = centred[[0, 0, 1]], centred[[1, 2, 2]]
        panel.cosines = tuple(torch.cosine_similarity(*pairs).tolist())
        panel.table.value = _html(panel.fields, na_rep="·")
        words = (
            "cosine (around the mean of all items) of the whole item with the first view "
            "<b>{:.2f}</b>, with the second <b>{:.2f}</b>; of the views <b>{:.2f}</b>"
        )
        panel.message.value = words.format(*panel.cosines)
        figure = figures.views_map(plane.points, plane.of(vectors))
        panel.show_figure(figure, 360, "The item and its two views among all items.")

    beside = ipywidgets.HBox([panel.table, panel.picture])
    return panel.turn(show, panel.message, beside, item=choice, draw=_dial("draw", range(20)))


def two_views(
    augment: Augmentation, state: State, log: EventLog, item: object, time: pd.Timestamp, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """An item and two views of it: what they show, a column each ("·" where masked), and their
    vectors, [3, d].
    """
    features = state.features.item_features(log, log.items.index.get_indexer([item]), time)
    views = augment(features, torch.Generator().manual_seed(seed))
    parts = {"whole": features, "first view": views[0], "second view": views[1]}
    shown = {
        name: state.features.items.decode(part).iloc[0].map(_spelled)
        for name, part in parts.items()
    }
    with torch.no_grad():
        vectors = torch.cat(
            [state.model.item_vectors(state.to_device(part)) for part in parts.values()]
        )
    return pd.DataFrame(shown), vectors.cpu().numpy()


def _spelled(value: object) -> str:
    if value is None or value == []:
        return "·"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
