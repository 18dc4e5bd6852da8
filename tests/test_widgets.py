"""The widgets, turned as a reader turns them, without a browser: what they show is what the library
answers.
"""

import base64
import html
import re
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, refusal, trained
from outputs import Images

from course_lib import figures, item_map, widgets
from course_lib.augment import Complementary
from course_lib.log import DAY, EventLog
from course_lib.nomination import Nominator
from course_lib.production import FAULTS, Day, sold_before
from course_lib.state import State

BASKET = ["22423", "85123A"]
NEW = 0  # a number that no customer has


@pytest.fixture
def nominator(retail: EventLog, retail_state: State) -> Nominator:
    nominator = Nominator(retail)
    nominator.publish(retail_state, retail.days[3])
    return nominator


@pytest.fixture
def explorer(nominator: Nominator, retail: EventLog) -> widgets.Panel:
    users = {"<new>": NEW, "somebody known": retail.users.index[0]}
    return widgets.nomination_explorer(nominator, users, BASKET, k=5)


def rows(table) -> list[list[str]]:
    """The cells of a table in HTML, its head left out."""
    return [
        re.findall(r"<td>(.*?)</td>", row)
        for row in re.findall(r"<tr>(.*?)</tr>", table.value, re.S)
    ]


def test_what_is_shown_is_what_the_nominator_answers(
    explorer: widgets.Panel, nominator: Nominator, retail: EventLog
):
    found = nominator.nominate(NEW, 5)
    before = retail.events[retail.events["time"] < retail.days[3]]
    shown = rows(explorer.nominations)
    assert [row[0] for row in shown] == found["item"].tolist()
    assert [row[2] for row in shown] == [f"{score:.3f}" for score in found["score"]]
    assert [int(row[3]) for row in shown] == [
        (before["item"] == item).sum() for item in found["item"]
    ]
    assert not any(row[4] for row in shown)
    assert "nothing" in explorer.history.value and rows(explorer.history) == []


def test_a_purchase_is_history_and_moves_vector_and_list_at_once(
    explorer: widgets.Panel, nominator: Nominator
):
    first, picture = explorer.listed["item"].tolist(), explorer.picture.value
    explorer.buy.click()
    assert rows(explorer.history)[0][0] == "22423"
    np.testing.assert_array_equal(explorer.path[-1], nominator.user_vector(NEW).numpy())
    cosine = float((explorer.path[0] * explorer.path[1]).sum())
    assert cosine < 0.9999 and f"{cosine:.3f}" in explorer.message.value
    now = nominator.nominate(NEW, 5)["item"].tolist()
    shown = rows(explorer.nominations)
    assert [row[0] for row in shown] == now and "22423" not in now and now != first
    for place, (item, *_, change) in enumerate(shown):
        by = first.index(item) - place if item in first else None
        assert change == (
            "new" if by is None else f"▲{by}" if by > 0 else f"▼{-by}" if by < 0 else ""
        )
    assert explorer.picture.value != picture


def test_the_explorer_shows_the_shop_on_the_courses_map(
    explorer: widgets.Panel, nominator: Nominator, retail: EventLog
):
    """In the picture, what was bought and what is nominated stand where the map has them."""
    first = explorer.listed["item"]
    with mock.patch.object(figures, "item_map", wraps=figures.item_map) as drawn:
        explorer.buy.click()
    places, _, colours, steps = drawn.call_args[0]
    listed = retail.items.index[: retail.listed(nominator.version.time)]
    np.testing.assert_array_equal(places, item_map.places(listed))
    found = {name: listed[rows].tolist() for name, rows in steps[""].items()}
    assert found == {
        "bought last": ["22423"],
        "nominated at first": first.tolist(),
        "nominated now": explorer.listed["item"].tolist(),
    }
    assert colours is item_map.KINDS


def test_another_item_can_be_typed_and_nonsense_changes_nothing(
    explorer: widgets.Panel, nominator: Nominator, retail: EventLog
):
    item = retail.items.index[7]
    explorer.item.value = f"{retail.items['description'].iloc[7]} ({item})"
    explorer.buy.click()
    assert nominator.history(NEW)["item"].tolist() == [item]
    for nonsense in (explorer.item.value, "no such thing"):  # owned already, and unknown
        explorer.item.value = nonsense
        explorer.buy.click()
        assert nominator.history(NEW)["item"].tolist() == [item] and len(explorer.path) == 2
    assert "no such item" in explorer.message.value


def test_another_user_and_starting_again(
    explorer: widgets.Panel, nominator: Nominator, retail: EventLog
):
    explorer.buy.click()
    explorer.again.click()
    assert len(explorer.path) == 1 and nominator.history(NEW).empty
    user = retail.users.index[0]
    explorer.user.value = user
    assert [row[0] for row in rows(explorer.history)] == nominator.history(user, 5)["item"].tolist()
    assert [row[0] for row in rows(explorer.nominations)] == nominator.nominate(user, 5)[
        "item"
    ].tolist()


def test_text_from_the_log_is_text(explorer: widgets.Panel):
    """A user or an item called <new> must not become a tag."""
    assert "&lt;new&gt;" in explorer.nominations.value and "<new>" not in explorer.nominations.value


HARD = [
    "GIFT $_$ CARD $5",
    "a < b &amp; <b>c</b>",
    "_x_ ^ {y} \\n",
    "two\n lines",
    "שלום 😀",
    "w" * 300,
]


@pytest.fixture
def hard() -> EventLog:
    """Users buy items whose descriptions, ids and fields are hard to show."""
    n = len(HARD)
    time = pd.Timestamp("2020-01-01 09:00") + pd.to_timedelta(np.arange(2 * n), "h")
    users = np.repeat(["<i>ann</i>", "b & $b$"], n)
    events = pd.DataFrame({"user": users, "item": [f"<{i}&>" for i in range(n)] * 2, "time": time})
    items = pd.DataFrame({"item": [f"<{i}&>" for i in range(n)], "description": HARD, "kind": HARD})
    items["listed"] = pd.Timestamp("2019-12-01")
    return EventLog.from_frame(events, items, pd.DataFrame({"user": ["<i>ann</i>", "b & $b$"]}))


def test_hard_text_is_shown_as_it_is_and_escaped_once(hard: EventLog):
    """In the lists to choose from, in both tables, in messages and in the figure."""
    state, now = trained(hard, SMALL, hard.days[:1]), hard.days[-1] + DAY
    nominator = Nominator(hard)
    nominator.publish(state, now)
    panel = widgets.nomination_explorer(nominator, ["<i>ann</i>", "<new>"], ["<0&>"], k=6)
    assert panel.user.options[0] == ("<i>ann</i>", "<i>ann</i>")
    offered = [" ".join(f"{text} (<{i}&>)".split()) for i, text in enumerate(HARD)]
    assert sorted(panel.item.options) == sorted(offered)
    panel.user.value = "<new>"
    for number, name in enumerate(offered):
        panel.item.value = name
        panel.buy.click()
        assert nominator.history("<new>")["item"].iloc[0] == f"<{number}&>"
        assert f"Bought: {html.escape(name)}." in panel.message.value
    found = [html.unescape(row[1]) for row in rows(panel.history)]
    assert found == [text.replace("\n", r"\n") for text in HARD[:0:-1]]  # the latest five
    assert "<b>c" not in panel.history.value and "&amp;amp;amp;" not in panel.history.value
    explorer = widgets.view_explorer(Complementary(), state, hard, ["<1&>"], now)
    assert html.escape(HARD[1], quote=False) in explorer.table.value


def test_nothing_to_choose_from_and_unknown_items_are_said(
    nominator: Nominator, retail: EventLog, retail_state: State, table: pd.DataFrame
):
    day = retail.days[3]
    assert "users is empty" in refusal(widgets.nomination_explorer, nominator, [], BASKET)
    assert "there is no item 'none' yet" in refusal(
        widgets.nomination_explorer, nominator, ["<new>"], ["none"]
    )
    options = (Complementary(), retail_state, retail)
    assert "items is empty" in refusal(widgets.view_explorer, *options, [], day)
    assert "no item 'none'" in refusal(widgets.view_explorer, *options, ["none"], day)
    early = [retail.items.index[0]], pd.Timestamp("2000-01-01")
    assert "there is no item" in refusal(widgets.view_explorer, *options, *early)
    assert "hnsw is empty" in refusal(widgets.index_dials, table[table["index"] == "ivf"])


def test_a_search_is_followed_step_by_step():
    """By lists, and in a graph whose walk begins in a layer above."""
    up = {"links": {0: [2], 2: [0]}, "walk": [0, 2], "seen": {0, 2}, "found": [2]}
    lower = {"links": {0: [1], 1: [0, 2], 2: [1]}}
    walk = [
        lower | {"seen": [], "found": [], "above": up},
        lower | {"walk": [2], "seen": {2, 1}, "found": [2], "above": up},
    ]
    lists = [{"title": "nprobe 1", "seen": np.array([1]), "found": [1]}]
    groups = np.zeros(3, int)
    searches = {"lists": (80.0, groups, lists), "graph": (100.0, groups, walk)}
    panel = widgets.circle_search(np.array([0, 90, 180]), searches)
    assert panel.shown["found"] == [1] and "1 of 3" in panel.message.value
    picture = panel.picture.value
    panel.search.value = "graph"
    assert "2 of 3" in panel.message.value and "none in this layer" in panel.message.value
    panel.step.value = 2
    assert panel.shown["title"] == "step 2 of 2" and "3 of 3" in panel.message.value
    assert panel.picture.value != picture and "data:image/png" in panel.picture.value
    panel.search.value = "lists"
    assert panel.shown["title"] == "nprobe 1"  # its only step
    assert "searches is empty" in refusal(widgets.circle_search, np.array([0]), {})


def test_one_item_is_a_plane_too():
    """A log of one item: all differences are 0."""
    plane = item_map.Plane(np.array([[3.0, 4.0, 0.0]]))
    np.testing.assert_array_equal(plane.points, [[0, 0]])
    assert plane.of(np.ones((2, 3))).shape == (2, 2)
    events = pd.DataFrame(
        {"user": ["a"], "item": ["x"], "time": [pd.Timestamp("2020-01-01 09:00")]}
    )
    log = EventLog.from_frame(
        events, pd.DataFrame({"item": ["x"], "kind": ["k"]}), pd.DataFrame({"user": ["a"]})
    )
    state = trained(log, SMALL, log.days)
    panel = widgets.view_explorer(Complementary(), state, log, ["x"], log.days[0] + DAY)
    assert "data:image/png" in panel.picture.value and len(panel.cosines) == 3


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [("ivf", np.nan, probe, probe / 8, probe / 10) for probe in (1, 4, 8)]
    rows += [
        ("hnsw", M, ef, ef / 100 - 1 / M, ef * M / 10_000) for M in (4, 16) for ef in (50, 100)
    ]
    return pd.DataFrame(rows, columns=["index", "M", "value", "recall", "compared"])


def test_dials(table: pd.DataFrame):
    panel = widgets.index_dials(table)
    assert panel.chosen["value"] == 1 and panel.M.disabled and not panel.nprobe.disabled
    picture = panel.picture.value
    panel.nprobe.value = 4
    assert (
        "0.500" in panel.message.value
        and "40.0 %" in panel.message.value
        and panel.picture.value != picture
    )
    panel.kind.value = "hnsw"
    assert panel.nprobe.disabled and not panel.M.disabled
    panel.M.value, panel.ef_search.value = 16, 100
    assert (
        panel.chosen.name == 6
        and "0.938" in panel.message.value
        and "16.0 %" in panel.message.value
    )


def test_a_page_without_widgets_says_so(table: pd.DataFrame, explorer: widgets.Panel):
    for panel in (widgets.index_dials(table), explorer):
        bundle = panel._repr_mimebundle_()
        assert bundle["text/plain"] == panel.words and panel.words.startswith("A widget: ")
        assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
        (image,) = Images(panel.picture.value).found
        png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert png.startswith(b"\x89PNG") and len(image["alt"]) > 20


def test_the_rings_are_where_the_values_are(table: pd.DataFrame):
    """`figures.dials` rings the chosen row."""
    for row in (2, 5):
        (axes,) = figures.dials(table, row).axes
        rings = [line for line in axes.lines if line.get_markersize() == 16]
        assert [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in rings] == [
            (table["recall"][row], 100 * table["compared"][row])
        ]


# -- views of an item
# -------------------------------------------------------------------------------------------------


@pytest.fixture
def views(retail: EventLog, retail_state: State) -> widgets.Panel:
    items = retail.items.index[retail.item_rows[:2]].tolist()  # both learned
    return widgets.view_explorer(Complementary(), retail_state, retail, items, retail.days[3])


def test_every_filled_field_is_in_one_view(views: widgets.Panel):
    whole, first, second = (views.fields[name] for name in ("whole", "first view", "second view"))
    for field in views.fields.index:
        shown = [value for value in (first[field], second[field]) if value != "·"]
        assert shown == ([] if whole[field] == "·" else [whole[field]])
    assert str(whole["item"]) in views.table.value


def test_the_cosines_are_those_of_the_views_vectors(
    views: widgets.Panel, retail: EventLog, retail_state: State
):
    """In float64, from the same draw made here."""
    views.draw.value = 7
    code = retail.items.index.get_indexer([views.item.value])
    features = retail_state.features.item_features(retail, code, retail.days[3])
    parts = [features, *Complementary()(features, torch.Generator().manual_seed(7))]
    with torch.no_grad():
        whole, first, second = (
            retail_state.model.item_vectors(part).double().numpy()[0] for part in parts
        )
    listed = np.arange(retail.listed(retail.days[3]))
    middle = retail_state.item_vectors(retail, listed, retail.days[3]).double().numpy().mean(0)
    whole, first, second = (
        (v - middle) / np.linalg.norm(v - middle) for v in (whole, first, second)
    )
    expected = [np.dot(a, b) for a, b in ((whole, first), (whole, second), (first, second))]
    np.testing.assert_allclose(views.cosines, expected, atol=1e-4)
    assert [f"{value:.2f}" for value in expected] == re.findall(
        r"<b>(.*?)</b>", views.message.value
    )


def test_another_item_or_draw_is_shown_at_once(views: widgets.Panel):
    picture, table = views.picture.value, views.table.value
    views.item.value = views.item.options[1][1]
    assert views.picture.value != picture and str(views.item.value) in views.table.value != table
    fields = views.fields
    changed = []
    for draw in range(1, 6):
        views.draw.value = draw
        changed.append(not views.fields.equals(fields))
    assert any(changed)


# -- a day in production ---------------------------------------------------------------------------


def test_a_day_passes_on_buttons(retail: EventLog, tmp_path_factory):
    """What is said is what the day's table has; faults and midnight; and another day."""
    morning = retail.days[2]
    past = sold_before(retail, morning)
    state = trained(past, SMALL, past.days)
    panel = widgets.production_dashboard(
        lambda: Day(retail, state, morning, tmp_path_factory.mktemp("day"))
    )
    first, picture = panel.day, panel.picture.value
    assert "no shard has landed" in panel.message.value and first.left > 3
    panel.hour.click()
    row = first.table.iloc[-1]
    assert f"{row['events']} events learned" in panel.message.value
    assert f"<b>{row['hour']}</b>, v1, {row['answers']} answers" in panel.message.value
    assert panel.picture.value != picture
    panel.faults[FAULTS.index("lose an hour")].click()
    assert first.table["fault"].tolist() == ["", "", "lose an hour"]
    while first.left > 1:
        panel.hour.click()
    assert panel.hour.description == "Midnight" and all(b.disabled for b in panel.faults)
    panel.hour.click()
    assert panel.hour.disabled and "Lost of the day's events: <b>0</b>" in panel.message.value
    panel.again.click()
    assert panel.day is not first and len(panel.day.table) == 1 and not panel.hour.disabled


# -- capacity --------------------------------------------------------------------------------------


def test_what_is_chosen_is_planned_and_shown():
    asked = []

    def plan(*chosen: float) -> pd.DataFrame:
        asked.append(chosen)
        machines = [chosen[0] / 1e6, 500.0]
        return pd.DataFrame({"machines": machines, "GiB": 1.0}, index=["flat", "<pq>"])

    panel = widgets.capacity_dials(plan, (10**9, 10**8, 10, 256))
    picture = panel.picture.value
    assert asked == [(10**9, 10**8, 10, 256)] and "<b>&lt;pq&gt;</b>, 500" in panel.message.value
    panel.items.value, panel.memory.value = 10**5, 64
    assert asked[-1] == (10**5, 10**8, 10, 64) and panel.table.loc["flat", "machines"] == 0.1
    assert "<b>flat</b>, 0" in panel.message.value and panel.picture.value != picture
