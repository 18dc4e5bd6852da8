"""The figures: text stands as it is, every arm is drawn or refused, nothing to draw is said."""

import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import refusal
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text

from course_lib import figures, item_map, looks
from course_lib.evaluation import Difference
from course_lib.log import EventLog

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LOOKS = Path(__file__).parent / "fixtures" / "figures.json"
RNG = np.random.default_rng(0)
PLANE = RNG.normal(size=(40, 2))
GAIN = Difference(0.1, -0.1, 0.2, 5)
DAY = pd.Timestamp("2020-01-05")
ONE, OTHER = np.array([0.6, 0.8]), np.array([1.0, 0.0])
TOWERS = {
    "item": {"ID 7": np.array([3.0, 4.0]), "colour RED": np.array([-3.0, 1.0])},
    "user": {"history 1": np.array([2.0, 0.0])},
}
ROWS = {"a": "RED", "b": "missing", "c": "RED"}, [1, 0, 1], ["default", "RED"], PLANE[:2]
HARD = [
    "GIFT $_$ CARD",
    "CARD $5 OR $10",
    r"\frac{1}{2} $\frac$",
    "a < b & c > d",
    "_hidden_ ^ {x}",
    "_",
    "two\nlines",
    "שלום عالم",
    "mug 😀🎁",
    "x" * 300,
    "100 % \\$ $$",
    "<b>bold</b>",
]


def dial_rows(numbers: list[int]) -> pd.DataFrame:
    rows = [("ivf", np.nan, probe, probe / 8, probe / 10) for probe in (1, 4, 8)]
    rows += [("hnsw", M, ef, ef / 100 - 1 / M, ef * M / 10_000) for M in numbers for ef in (50, 99)]
    return pd.DataFrame(rows, columns=["index", "M", "value", "recall", "compared"])


def frontier_rows(names: list[str]) -> pd.DataFrame:
    rows = [(name, r, 1 + r) for name in names for r in (0.5, 1.0)]
    return pd.DataFrame(rows, columns=["index", "recall", "ms"])


def numbers(names: list[str], rows: int = 3) -> dict[str, np.ndarray]:
    return {name: np.arange(1.0, rows + 1) + place for place, name in enumerate(names)}


def bar_table(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"cold": 0.1, "tail": 0.2}, index=names)


def cost_table(names: list[str]) -> pd.DataFrame:
    places = np.arange(1.0, len(names) + 1)
    return pd.DataFrame({"R@100": places, "cpu_seconds": places}, index=names)


def matched_table(names: list[str]) -> pd.DataFrame:
    places = np.arange(1.0, len(names) + 1)
    return pd.DataFrame({"uniformity": -places / 4, "matched": places / 99}, index=names)


def related(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.eye(len(names)) + 1, names, names)


def item_fields(names: list[str]) -> dict[str, np.ndarray]:
    """Indices of a field with one value and of a bag."""
    bag = np.tile([[1, 2, 0]], (len(names), 1))
    return {"item": np.arange(1, len(names) + 1), "words": bag}


# name → the figure of arms by these names, all other text being t; None: as many as there are
ARMS: dict[str, tuple[Callable[[list[str], str], Figure], int | None]] = {
    "curves": (lambda n, t: figures.curves(numbers(n), t, t, t), 9),
    "heat": (lambda n, t: figures.heat(bar_table(n), t, t, t), None),
    "slice_bars": (lambda n, t: figures.slice_bars(bar_table(n), t, t, t), 9),
    "grown": (lambda n, t: figures.grown(numbers(n), np.arange(1, 4), t, t), 9),
    "dials": (lambda n, t: figures.dials(dial_rows([2 + i for i, _ in enumerate(n)])), 8),
    "frontier": (
        lambda n, t: figures.frontier(frontier_rows(n), dict(zip(n, n, strict=True)), t, at=1.005),
        9,
    ),
    "cost": (lambda n, t: figures.cost({t: cost_table(n)}), None),
    "exchanges": (lambda n, t: figures.exchanges(dict.fromkeys(n, (3, 2)), t, t), None),
    "shares": (lambda n, t: figures.shares(numbers(n), t, t, t), 9),
    "matches": (lambda n, t: figures.matches({m: np.eye(3) / 2 for m in n}), None),
    "differences": (lambda n, t: figures.differences(dict.fromkeys(n, GAIN), t, t), None),
    "differences_by": (
        lambda n, t: figures.differences_by(dict.fromkeys((t, "b"), dict.fromkeys(n, GAIN)), t),
        None,
    ),
    "differences_grouped": (
        lambda n, t: figures.differences_grouped({t: {"row": dict.fromkeys(n, GAIN)}}, t),
        None,
    ),
    "verdicts": (lambda n, t: figures.verdicts(pd.DataFrame({t: "yes", "b": "no"}, n), t), None),
    "over": (lambda n, t: figures.over(np.arange(3), numbers(n), t, t, t), 9),
    "tiles": (lambda n, t: figures.tiles(n, item_fields(n), {t: item_fields(n)}), None),
    "share_bars": (lambda n, t: figures.share_bars({m: {t: 0.5, "b": 1} for m in n}, t, t), 9),
    "strips": (lambda n, t: figures.strips(pd.DataFrame(numbers(n)), t, t), 9),
    "map_and_match": (lambda n, t: figures.map_and_match(matched_table(n), t), None),
    "relations": (
        lambda n, t: figures.relations({t: related(n)}, n[0] if n else "", [n[:1]]),
        None,
    ),
    "masks": (lambda n, t: figures.masks({t: {m: [m, n[0]] for m in n}}, n), None),
    "marked_days": (
        lambda n, t: figures.marked_days({m: [DAY] for m in n}, DAY + pd.Timedelta(days=9), t),
        None,
    ),
    "parts_of": (lambda n, t: figures.parts_of(dict.fromkeys(n, (1, 2)), t, t), None),
    "gains": (lambda n, t: figures.gains({t: {m: [GAIN] for m in n}}, [t], t, t), 9),
    "dumbbells": (lambda n, t: figures.dumbbells({t: dict.fromkeys(n, (1.0, GAIN))}, t), None),
    "shifts": (
        lambda n, t: figures.shifts(
            {t: dict.fromkeys(n, (GAIN, GAIN))}, {t: 1.0}, t, (t, t, t), {t: (0, 2)}
        ),
        None,
    ),
    "capacity": (lambda n, t: figures.capacity(pd.DataFrame({t: 2.0, "b": 3.0}, index=n)), None),
    "item_map": (
        lambda n, t: figures.item_map(
            PLANE,
            np.arange(40) % 2,
            {"one": "#000000", "other": "#ffffff"},
            {t: {m: [3] for m in n}},
        ),
        4,
    ),
    "estimates": (lambda n, t: figures.estimates({t: numbers(n)}, 1.0, t, t), 9),
    "turning": (
        lambda n, t: figures.turning({t: (PLANE[:1], PLANE[: len(n)])}, ([t], n)),
        None,
    ),
}
every = pytest.mark.parametrize("name", ARMS)
STEP = {  # from item 3 of the layer above to item 0, and on to item 1
    "title": "title",
    "seen": {0, 1},
    "found": [1],
    "links": {0: [1], 1: [0, 2], 2: [], 3: [], 4: [], 5: []},
    "walk": [0, 1],
    "above": {"links": {3: [0], 0: [3]}, "walk": [3], "seen": {3}},
}


def drawn(figure: Figure) -> list[Text]:
    """All text of the figure, as it is drawn into a PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30, bbox_inches="tight")
    assert file.getvalue().startswith(b"\x89PNG")
    return figure.findobj(Text)


@every
@pytest.mark.filterwarnings("error", "ignore:constrained_layout not applied")
def test_text_of_a_log_is_drawn_as_it_stands(name: str):
    """Names, titles, ticks and legends: no formula but a logarithmic axis's powers."""
    draw, most = ARMS[name]
    for start in range(0, len(HARD), most or len(HARD)):
        arms = HARD[start : start + (most or len(HARD))]
        found = drawn(draw(arms, arms[0]))
        shown = {text.get_text().replace("\u200b", "") for text in found}
        assert set(arms) <= shown or name in ("dials", "shares")
        formulas = {text.get_text() for text in found if text.get_parse_math()} - {""}
        assert all(formula.startswith("$\\mathdefault{") for formula in formulas)


def test_powers_on_logarithmic_axes_stay_formulas():
    found = drawn(forecasts())
    powers = [text for text in found if "mathdefault" in text.get_text() and text.get_visible()]
    assert len(powers) > 4 and all(text.get_parse_math() for text in powers)


@every
def test_every_arm_is_drawn_or_all_are_refused(name: str):
    """As many arms as the figure tells apart have as many names in it; one more is refused."""
    draw, most = ARMS[name]
    arms = [f"arm {number}" for number in range((most or 11) + 1)]
    shown = " ".join(text.get_text() for text in drawn(draw(arms[:-1], "title")))
    if name == "dials":
        assert all(f"M = {2 + number}" in shown for number in range(8))
    else:
        assert all(arm in shown for arm in arms[:-1])
    if most:
        assert refusal(draw, arms, "title").endswith("apart; draw fewer.")


@every
def test_nothing_to_draw_is_said_in_a_sentence(name: str):
    draw, _ = ARMS[name]
    if name not in ("item_map", "turning", "dials", "gains"):
        assert refusal(draw, [], "title").startswith("there is nothing to draw")
    for draw in (
        lambda: figures.gains({}, [], "x", "y"),
        lambda: figures.item_map(PLANE, np.zeros(40, int), {"one": "#000000"}, {}),
        lambda: figures.turning({}, ([], [])),
        lambda: figures.embedding_rows({}, [], ["default"], PLANE[:1]),
        lambda: figures.dials(dial_rows([4])[:0]),
        lambda: figures.head_effect(np.array([])),
        lambda: figures.curves({"empty": np.array([])}, "x", "y", "title"),
        lambda: figures.shares({"full": np.ones(3), "empty": []}, "x", "items", "title"),
        lambda: figures.heat(pd.DataFrame([[np.nan]]), "title", "x", "y"),
    ):
        assert refusal(draw).startswith("there is nothing to draw")


def test_the_days_of_a_log(tiny: EventLog):
    first = tiny.events["time"].iloc[0].normalize()
    axes = figures.log_days(tiny, {"test": (first, first + pd.Timedelta("1D"))}).axes
    for ax, events in zip(axes, (tiny.events, tiny.events.drop_duplicates("item")), strict=True):
        (bars,) = ax.containers
        assert sum(bar.get_height() for bar in bars) == len(events)
    assert axes[0].texts[0].get_text() == "test"
    of_day = tiny.events[tiny.events["time"] < first + pd.Timedelta("1D")]
    assert axes[1].texts[0].get_text() == f"{100 * of_day['item'].nunique() / len(of_day):.0f} %"


def test_an_empty_day_is_pointed_at():
    times = [f"2020-01-0{day} 12:00" for day in (1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 5)]
    events = {"user": range(14), "item": [0] * 14, "time": pd.to_datetime(times)}
    items, users = pd.DataFrame({"item": [0]}), pd.DataFrame({"user": range(14)})
    log = EventLog.from_frame(pd.DataFrame(events), items, users)
    first, middle, last = pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-05"])
    figure = figures.log_days(log, {"tuning": (first, middle), "test": (middle, last)})
    assert figure.axes[0].texts[-1].get_text() == "3 January: 0 events"
    assert [text.get_text() for text in figure.axes[1].texts] == ["14 %", "0 %"]
    assert figure.get_suptitle().startswith("The log is still filling up")


def test_a_week_without_newcomers_is_marked():
    weeks = pd.date_range("2020-01-05", periods=3, freq="W")
    figure = figures.newcomers(pd.DataFrame({"items": [2, 0, 1], "users": [1, 1, 1]}, weeks))
    for ax, heights, none in zip(figure.axes, ([2, 0, 1], [1, 1, 1]), (1, 0), strict=True):
        assert [bar.get_height() for bar in ax.patches] == heights
        assert len(ax.lines[0].get_xdata()) == none
        assert [text.get_text() for text in ax.texts] == ["none"] * none


def test_hours_are_counted_on_both_sides_of_zero():
    values = {"events": np.array([0.2, 0.3, 0.1, -0.2]), "visits": np.array([0.0, 0.0])}
    figure = figures.hours_against_day(values, "x", "title")
    one, other = ([text.get_text().strip() for text in ax.texts] for ax in figure.axes)
    assert one == ["mean +0.100", "25 % of the hours\nare nearer", "75 % of the hours\nare further"]
    assert "0 % of the hours\nare further" in other and drawn(figure)
    bars = figure.axes[0].patches
    assert sum(b.get_height() for b in bars if to_hex(b.get_facecolor()) == "#e69f00") == 3


def test_what_was_bought_later_stands_on_both_sides_of_the_last_place():
    later = {"MUG": 0.5, "BAG": 0.2, "BOX": 0.1}
    (axes,) = figures.nominated_scores(np.array([0.6, 0.5, 0.2, 0.1]), later, 2).axes
    assert "1 found, 2 missed" in axes.get_title()
    assert [text.get_text() for text in axes.texts][-2:] == ["Mug", "bought later:"]
    last, missed, _, found, *_ = axes.lines
    assert last.get_xdata() == [0.5, 0.5]
    assert (list(missed.get_xdata()), list(found.get_xdata())) == ([0.1, 0.2], [0.5])


def test_the_top_tenth_is_marked():
    """One item in ten has 9 of 18 buyers."""
    texts = [text.get_text() for text in drawn(figures.head_effect(np.r_[9, [1] * 9]))]
    assert "10 % of the items,\n50 % of the events" in texts


def test_head_mid_and_tail_have_their_shares():
    """Of 4 items the first has 120 of 200 buyers, the second 60, the others 10 each."""
    (axes,) = figures.head_effect(np.array([10, 120, 60, 10])).axes
    texts = [text.get_text() for text in axes.texts]
    for name, items, events in (("head", 25, 60), ("mid", 25, 30), ("tail", 50, 10)):
        text = f"{items} % of the items,\n{events} % of the events"
        assert texts[texts.index(name) + 1] == text


def test_a_line_of_many_points_has_no_markers_and_dates_are_months():
    days = np.datetime64("2020-01-01") + np.arange(60)
    figure = figures.over(days, {"a": np.arange(60.0)}, "x", "y", "title")
    assert "Feb" in {text.get_text() for text in drawn(figure)}
    assert figure.axes[0].lines[0].get_marker() in ("", "None")


def test_a_known_arm_looks_the_same_whatever_stands_beside_it():
    for names in (["complementary", "a"], ["a", "new items", "b", "complementary"]):
        figure = figures.over(np.arange(3), numbers(names), "x", "y", "title")
        found = figures.arms(figure)
        assert found["complementary"] == "#d55e00 v"
        assert len(set(found.values())) == len(names)


@pytest.mark.parametrize("first", ["nightly full", "popularity", "plain"])
def test_arms_of_one_kind_and_names_that_no_chapter_has_look_different(first: str):
    start = list(looks.ARMS).index(first)
    arms = list(looks.ARMS)[start : start + (3 if first == "popularity" else 5)]
    assert len({look.colour for look in looks.of(["one", *arms, "other"])}) == len(arms) + 2


SIGNS = ("more", "less", "the 95 % interval holds 0")


def test_an_arm_has_one_colour_and_marker_through_the_course():
    """What legends of all committed figures name twice looks the same twice."""
    found: dict[tuple[str, bool], dict[str, list[Path]]] = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for arms in re.findall(r'data-arms="([^"]*)"', images_of(path)):
            arms = json.loads(html.unescape(arms))
            own = {name: look for name, look in arms.items() if name not in item_map.KINDS}
            assert len(set(own.values())) == len(own), (path.name, own)
            for name, look in arms.items():
                name = re.sub(r" \([\d,]+\)$", "", name)  # how many values a histogram has
                colour, _, marker = look.partition(" ")
                if name in arms and "more" in arms and name not in SIGNS:
                    colour = ""  # in this figure colours say which is more
                for part in filter(None, (colour, marker)):
                    found.setdefault((name, part[0] == "#"), {}).setdefault(part, []).append(path)
    assert len(found) > 20
    several = {name: where for name, where in found.items() if len(where) > 1}
    assert not several


def images_of(path: Path) -> str:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)


@pytest.mark.parametrize(
    "change",
    [
        lambda axes: axes.lines[1].set_data([1, 2], [9, 9]),
        lambda axes: axes.plot([1, 2], [1, 2]),
        lambda axes: axes.set_title("another"),
        lambda axes: axes.text(0, 0, "another"),
        lambda axes: axes.add_patch(Rectangle((0, 0), 1, 1)),
    ],
)
def test_a_fingerprint_changes_with_what_is_drawn_and_not_with_how_sharp(change: Callable):
    figure = figures.over(np.arange(3), numbers(["a", "b"]), "x", "y", "title")
    before = figures.fingerprint(figure)
    figure.set_dpi(30)
    assert figures.fingerprint(figure) == before
    change(figure.axes[0])
    assert figures.fingerprint(figure) != before


def test_towers_add_up_what_they_look_up_and_meet_in_the_cosine():
    figure = figures.towers(TOWERS, {"item": ONE, "user": OTHER})
    (axes,) = figure.axes
    strips = [np.asarray(image.get_array()).ravel().tolist() for image in axes.images]
    assert strips == [[3, 4], [-3, 1], [0, 5], [0.6, 0.8], [2, 0], [2, 0], [1, 0]]
    words = [text.get_text() for text in drawn(figure) if text in axes.texts]
    # in the order of the strips: |(3, 4)|, |(−3, 1)| = √10, |(0, 5)|, 1; and the user's
    ends = [word.removeprefix("length ") for word in words]
    lengths = [word for word in ends if word.replace(".", "").isdigit()]
    assert lengths == ["5.0", "3.2", "5.0", "1.0", "2.0", "2.0", "1.0"]
    assert "score = 0.600" in words
    values = {"item": pd.Series({"ID 7": ["A", "B"], "colour RED": None}), "user": pd.Series()}
    words = [
        t.get_text() for t in drawn(figures.towers(TOWERS, {"item": ONE, "user": OTHER}, values))
    ]
    assert {"ID 7 A B", "colour RED unknown", "history 1"} <= set(words)
    assert "there is nothing to draw" in refusal(figures.towers, {}, {})


def test_a_loss_matrix_shows_every_step_of_the_loss():
    """With cosines 1 and 0, τ = 1, the own share is e / (e + 1)."""
    figure = figures.loss_matrix(pd.DataFrame(np.eye(2), ["Ann", "Bob"], ["mug", "bag"]), 1.0)
    written = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    steps = ["1.00", "0.00", "0.00", "1.00"]
    assert written == [steps, steps, ["0.73", "0.27", "0.27", "0.73"], ["0.31", "0.31"]]
    assert figure.axes[3].get_xlabel() == "mean = loss\n0.313"
    frames = [[patch.get_xy() for patch in ax.patches] for ax in figure.axes]
    assert frames == [[(-0.46, -0.46), (0.54, 0.54)]] * 3 + [[]]


def test_mixed_columns_frame_the_own_and_give_a_reason_for_each_mask():
    why = np.array([["", "", "a copy"], ["has it", "", ""]], dtype=object)
    logits = pd.DataFrame([[1, 2, -np.inf], [-np.inf, 4, 5]], ["Ann", "Bob"], ["a", "b", "a"])
    (axes,) = figures.mixed_columns(logits, [0, 1], why, 1).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[:4] == ["1.00", "2.00", "4.00", "5.00"]
    assert texts[4:6] == ["masked:\na copy", "masked:\nhas it"]
    assert axes.lines[0].get_xdata()[0] == 1.5
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [False, False, True, True]


def test_bars_say_their_values_if_asked():
    found = figures.slice_bars(bar_table(["one"]), "title", digits=1)
    assert [text.get_text() for text in found.axes[0].texts] == ["0.1", "0.2"]


def test_dials_of_one_kind_alone_have_no_bar():
    table = dial_rows([4])
    for kind in ("ivf", "hnsw"):
        (axes,) = figures.dials(table[table["index"] == kind]).axes
        assert len(axes.lines) == 1


def test_the_bar_between_graphs_and_lists_is_read_off_the_lines():
    """At a recall of 0.95: between 0.9 and 1 in both; the graph with the fewest counts."""
    rows = [("ivf", np.nan, 1, 0.9, 0.2), ("ivf", np.nan, 2, 1.0, 0.4)]
    rows += [("hnsw", 4, 10, 0.9, 0.1), ("hnsw", 4, 20, 1.0, 0.2), ("hnsw", 8, 10, 0.9, 0.5)]
    table = pd.DataFrame(rows, columns=["index", "M", "value", "recall", "compared"])
    figure = figures.dials(table)
    (axes,) = figure.axes
    ends = axes.lines[-1].get_xydata()
    assert ends.ravel() == pytest.approx([0.95, 11.915, 0.95, 23.83], rel=1e-3)
    assert {"12 %", "24 %"} <= {text.get_text() for text in axes.texts}
    figure.draw_without_rendering()
    for line, end in zip(axes.lines[:2], ends[::-1], strict=True):  # in pixels, on its line
        (x, y), (right, top) = axes.transData.transform(line.get_xydata())
        at, height = axes.transData.transform(end)
        assert height == pytest.approx(y + (top - y) * (at - x) / (right - x), abs=0.01)


def test_a_code_names_the_nearest_word_of_each_part():
    """The first part is on word 1; the second is nearest to word 0."""
    books = np.array([[[0, 0], [1, 1]], [[0, 0], [1, 1]]])
    figure = figures.codes(np.array([1, 1, 0.2, 0.4]), books, (64, 16))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["A code is short", "Part 1 becomes word 1", "Part 2 becomes word 0"]
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert sorted(widths) == [1] * 16 + [16] * 16


def test_a_delta_table_shows_its_own_rows_and_else_the_base():
    base, own = np.array([[0.0], [1.0], [2.0]]), np.array([[7.0], [8.0]])
    texts = figures.delta_rows(base, np.array([1, 4]), own).axes[0].texts
    read = [text.get_text() for text in texts if text.get_position()[0] == 87]
    assert read[1:] == ["+0.00", "+7.00", "+2.00", "+8.00"]  # below the column's title


def test_every_value_points_at_its_row():
    """Two items that share a value, and one that has none."""
    (axes,) = figures.embedding_rows(*ROWS).axes
    arrows = [text for text in axes.texts if isinstance(text, Annotation)]
    rows = [(text.xyann[1], text.xy[1]) for text in arrows if text.xy[0] == 41.6]
    assert rows == [(0, 1), (1, 0), (2, 1)]
    strips = [np.asarray(image.get_array())[0].tolist() for image in axes.images]
    assert strips[:-1] == ROWS[3].tolist()  # the last is the key


def test_a_map_shows_small_sets_by_markers_and_large_ones_by_brightness():
    places = np.arange(400.0).reshape(200, 2)
    steps = {"first": {"large": np.arange(50), "small": [7]}, "second": {"large": np.arange(150)}}
    figure = figures.item_map(places, np.arange(200) % 2, {"a": "#0072B2", "b": "#E69F00"}, steps)
    first, second = figure.axes
    assert [(ax.collections[0].get_alpha() == 1).sum() for ax in (first, second)] == [50, 150]
    (marked,) = first.collections[1:]
    assert marked.get_offsets().tolist() == [[14, 15]]
    assert to_hex(marked.get_facecolor()[0]) == "#e69f00" and len(second.collections) == 1
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["a", "b", "small", "bright: large"]


def test_matches_keep_views_of_the_same_item_apart_from_those_of_others():
    (axes,) = figures.matches({"half": np.eye(3) / 2 + 0.02}).axes
    bars = [bar for bar in axes.patches[:40] if bar.get_height()]
    assert [(bar.get_x(), bar.get_height()) for bar in bars] == [pytest.approx((0, 100), abs=1e-9)]
    outline = axes.patches[40].get_xy()
    assert set(outline[outline[:, 1] > 0][:, 0].round(2)) == {0.5, 0.55}


def test_every_dot_of_the_dials_says_its_value():
    table = dial_rows([4, 8])
    (axes,) = figures.dials(table).axes
    words = [text.get_text() for text in axes.texts]
    assert sorted(filter(str.isdigit, words)) == sorted(map(str, table["value"]))


def test_a_frontier_leaves_out_what_is_beaten_and_says_the_times():
    """Of three settings the middle one finds less than the first, and takes longer. At 0.85 the
    line, straight on the stretched axis, is at 1.59 ms, an eighth of the scan's 12.1.
    """
    rows = [("ivf", 0.8, 1.0), ("ivf", 0.7, 2.0), ("ivf", 0.9, 3.0), ("flat", 1.0, 12.1)]
    table = pd.DataFrame([*rows, ("other", 0.9, 9.0)], columns=["index", "recall", "ms"])
    names = {"flat": "scan", "ivf": "lists"}
    (axes,) = figures.frontier(table, names, "title", at=0.85).axes
    assert axes.lines[0].get_xydata().tolist() == [[0.8, 1.0], [0.9, 3.0]]
    words = {text.get_text() for text in axes.texts}
    assert {"lists", "scan: 12.1 ms", "at 0.85: 1.59 ms,\n8 times as fast"} <= words


def test_names_stand_beside_their_dots_and_cover_none():
    places = np.random.default_rng(0).random((12, 2)) + 1
    table = pd.DataFrame(places, [f"arm {i}" for i in range(12)], ["R@100", "cpu_seconds"])
    (axes,) = figures.cost({"sheet": table}).axes
    named = [text.get_text() for text in axes.texts]
    assert sorted(named) == sorted(table.index)
    dots = axes.transData.transform(places[:, ::-1])
    boxes = [text.get_window_extent() for text in axes.texts]
    for i, box in enumerate(boxes):
        assert not any(box.contains(*dot) for dot in dots)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        own = axes.transData.transform(axes.texts[i].xy)
        assert own == pytest.approx(dots[table.index.get_loc(named[i])])
        gap = np.maximum(0, np.maximum(box.min - own, own - box.max)).max()
        assert gap < 20  # pixels, at 100 to the inch


def test_dots_beside_the_diagonal_have_one_scale():
    """All dots and the whole line are within the axes, and an angle of 45° is drawn as one."""
    x, y = np.array([1.0, 4.0, 12.0]), np.array([0.5, 3.0, 0.1])
    (axes,) = figures.beside_diagonal(x, y, "x", "y", "title").axes
    dots, line = axes.lines
    assert (dots.get_xdata() == x).all() and (dots.get_ydata() == y).all()
    assert (line.get_xdata() == line.get_ydata()).all() and axes.get_aspect() == 1
    assert axes.get_xlim()[1] >= 12 and axes.get_ylim()[1] >= 3


def test_shares_are_of_each_set_and_none_is_left_out():
    """Two of 4 values in the first bin, and 300 of 300; what is far away is in the last bin."""
    (axes,) = figures.shares(
        {"few": np.array([0.0, 0.0, 3.0, 90.0]), "many": np.zeros(300)}, "x", "items", "title"
    ).axes
    filled = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    few, many = np.reshape(filled, (2, 30))
    assert few[0] == 50 and few[-1] == 25 and few.sum() == pytest.approx(100)
    assert many[0] == pytest.approx(100)


def test_recall_near_1_has_room_and_stays_where_it_is():
    (right,) = figures.frontier(frontier_rows(["a"]), {"a": "a"}, "title", 1.005, 0.45).axes
    assert right.lines[0].get_xdata().tolist() == [0.5, 1.0]
    places = right.transData.transform([[recall, 1] for recall in (0.5, 0.9, 0.98, 1)])[:, 0]
    assert np.diff(places)[2] > np.diff(places)[0] / 2 > 0


def test_several_lists_say_whether_they_were_opened():
    step = {"title": "title", "seen": [0, 1], "found": [1]}
    (axes,) = figures.circles(np.array([0, 30, 180]), 20, np.array([0, 0, 1]), [step]).axes
    assert [text.get_text() for text in axes.texts[:2]] == ["list opened", "not opened"]


def test_a_step_shows_what_was_seen_what_was_found_and_where_it_walked():
    """Six items, 60 degrees apart; two of them stand in the layer above, too."""
    plain = {"title": "title", "seen": [4], "found": [4]}
    axes, other = figures.circles(np.arange(0, 360, 60), 30, np.arange(6) % 3, [STEP, plain]).axes
    assert [line.get_alpha() for line in other.lines[1:-1]] == [0.25] * 4 + [1, 0.25]
    *items, rings = (line for line in axes.lines if line.get_marker() in tuple("os^"))
    assert [line.get_alpha() for line in items] == [1, 1, *[0.25] * 4, 1, 0.25]
    np.testing.assert_allclose(items[6].get_xydata(), [[-0.6, 0]], atol=1e-9)
    second = 0.5, 3**0.5 / 2
    np.testing.assert_allclose(rings.get_xydata(), [second])
    arrows = [(text.xyann, text.xy) for text in axes.texts if isinstance(text, Annotation)]
    one_way, down, walked, query = arrows
    np.testing.assert_allclose(one_way, [second, (-0.1, 3**0.5 / 2)], atol=1e-9)
    np.testing.assert_allclose(down, [(-0.6, 0), (1, 0)], atol=1e-9)
    np.testing.assert_allclose(walked, [(1, 0), second], atol=1e-9)
    np.testing.assert_allclose(query, [(0, 0), second[::-1]], atol=1e-9)


def test_lists_have_their_sectors_centres_and_borders_before_a_search():
    """Centres at 0, 90 and 180 degrees; the borders lie halfway."""
    centres = np.array([[1, 0], [0, 1], [-1, 0]])
    (axes,) = figures.circles(
        np.array([0, 90, 180]), 20, np.arange(3), [{"title": "t"}], centres
    ).axes
    assert sorted((p.theta1, p.theta2) for p in axes.patches) == [(-90, 45), (45, 135), (135, 270)]
    assert [text.get_text() for text in axes.texts[3:6]] == ["0°", "90°", "180°"]


def test_tiles_say_shown_hidden_nothing_and_what_can_be_copied():
    """Two items with a field and a bag of up to two: a tile for each value, or one for none; a
    dark frame around what both views show.
    """
    whole = {"label": np.array([3, 0]), "words": np.array([[1, 2], [4, 0]])}
    view = {"label": np.array([3, 0]), "words": np.array([[0, 2], [0, 0]])}
    words = {"label": ["MUG", None], "words": [["tin", "red"], ["big"]]}
    blue, pale, grey = "#0072b2", "#fce5d4", "#eeeeee"

    def tiles_of(views: dict) -> list:
        (axes,) = figures.tiles(["mug", "bag"], whole, views, words, "title").axes
        written = [text.get_text() for text in axes.texts if text.get_zorder() == 4]
        assert len(written) == len(axes.patches)
        return [
            (text, to_hex(patch.get_facecolor()), to_hex(patch.get_edgecolor()) == "#000000")
            for text, patch in zip(written, axes.patches, strict=True)
        ]

    shown, hidden = ("red", blue, False), ("tin", pale, False)
    nothing = ("–", grey, False)
    assert tiles_of({"one": view}) == [
        ("MUG", blue, False),
        nothing,
        hidden,
        shown,
        ("big", pale, False),
    ]
    copied = ("red", blue, True)
    assert tiles_of({"one": view, "whole": whole}) == [
        *[("MUG", blue, True)] * 2,
        *[nothing] * 2,
        *[hidden, copied],
        *[("tin", blue, False), copied],
        *[("big", pale, False), ("big", blue, False)],
    ]


def test_a_mask_is_drawn_as_the_draw_the_hidden_and_the_shown():
    """Of two fields the second hides the first as well."""
    (axes,) = figures.masks({"title": {"a": ["a"], "b": ["b", "a"]}}, ["a", "b"]).axes
    colours = [to_hex(patch.get_facecolor()) for patch in axes.patches]
    assert colours == ["#d55e00", "#0072b2", "#fce5d4", "#d55e00"]


def test_a_tick_marks_the_most_that_a_share_can_be():
    found = {"drawn": {"a": 0.5, "b": 0.2}, "others": {"a": 0.1, "b": 0.1}}
    figure = figures.share_bars(found, "x", "t", most={"drawn": {"b": 0.4, "a": 0.9}})
    (ticks,) = figure.axes[0].collections
    bars = figure.axes[0].patches[:2]
    for (low, high), bar, most in zip(ticks.get_segments(), bars, (0.9, 0.4), strict=True):
        assert low[0] == high[0] == most and bar.get_y() == pytest.approx(low[1])
        assert high[1] == pytest.approx(bar.get_y() + bar.get_height())


def test_relations_frame_the_cells_that_are_named():
    tables = {"one": related(["a", "b"]), "two": related(["a", "b"])}
    figure = figures.relations(tables, "a", [[], ["b"]])
    assert [len(ax.patches) for ax in figure.axes] == [0, 1]
    assert figure.axes[1].patches[0].get_xy() == (0.5, -0.5)


def test_what_is_named_beside_its_line_is_among_the_arms():
    assert figures.arms(figures.over(np.arange(3), numbers(["a", "_b"]), "x", "y", "t")) == {
        "a": "#0072b2 o",
        "\u200b_b": "#e69f00 s",
    }


def test_a_heat_map_leaves_blank_what_is_missing_and_is_white_around_0():
    table = pd.DataFrame([[3.0, np.nan], [0.0, -3.0]])
    (axes,) = figures.heat(table, "title", "x", "y", (-3, 3), digits=0).axes
    assert [text.get_text() for text in axes.texts] == ["3", "", "0", "−3"]
    image = axes.images[0]
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95


def test_a_heat_map_is_blue_where_low_with_turned_limits_and_frames_cells():
    table = pd.DataFrame([[-3.0, 1.0], [0.0, 3.0]])
    (axes,) = figures.heat(table, "title", "x", "y", (3, -3), framed=[(0, 0), (1, 1)]).axes
    image = axes.images[0]
    red, _, blue, _ = image.cmap(image.norm(-3.0))
    assert blue > red and min(image.cmap(image.norm(0.0))[:3]) > 0.95
    assert [frame.get_xy() for frame in axes.patches] == [(-0.47, -0.47), (0.53, 0.53)]


def test_what_happens_is_marked_at_the_bottom_under_its_name():
    marks = {"updates": np.array([1, 2])}
    (axes,) = figures.over(np.arange(3), numbers(["a"]), "x", "y", "t", marks=marks).axes
    (line,) = (line for line in axes.lines if line.get_marker() == "^")
    assert line.get_xdata().tolist() == [1, 2]
    assert "updates" in {text.get_text() for text in axes.texts}


def test_a_band_is_shaded_from_its_start_to_its_end_under_its_name():
    bands = {"tail": (0.5, 1.5)}
    (axes,) = figures.over(np.arange(3), numbers(["a"]), "x", "y", "t", bands=bands).axes
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (0.5, 1)
    assert "tail" in {text.get_text() for text in axes.texts}


def test_shares_end_where_asked_and_say_their_unit():
    values = {"a": np.array([1.0, 2.0, 90.0])}
    (axes,) = figures.shares(values, "x", "items", "t", top=10, unit="°").axes
    assert axes.get_xlabel() == "x; the last bin holds 10 and more"
    assert axes.texts[0].get_text().endswith("less than 2.0°")


def test_panels_of_differences_say_their_means():
    found = {"a": Difference(0.5, 0.25, 0.75, 5)}
    figure = figures.differences_by({"one": found, "two": found}, "x", title="both", digits=2)
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["+0.50", "+0.50"]
    assert figure.get_suptitle() == "both"


def test_a_dumbbell_reaches_from_without_to_with_and_says_by_colour_whether_that_is_clear():
    gain, null = Difference(0.5, 0.25, 0.75, 5), Difference(0.5, -0.25, 1.25, 5)
    (axes,) = figures.dumbbells({"log": {"a": (1.0, gain), "b": (2.0, null)}}, "x").axes
    bars = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_lw() == 2.5]
    assert [list(line.get_xdata()) for line in bars] == [[1.0, 1.5], [2.0, 2.5]]
    assert [line.get_color() for line in bars] == [looks.BLUE, looks.GREY]


def test_a_shift_leads_from_before_to_after_beside_its_base():
    before, after = Difference(0.5, 0.25, 0.75, 5), Difference(-0.5, -1, 0, 5)
    keys = "before", "after", "base"
    (axes,) = figures.shifts({"p": {"a": (before, after)}}, {"p": 2}, "t", keys, {"p": (0, 4)}).axes
    intervals = [list(line.get_xdata()) for line in axes.lines if line.get_lw() == 1.5]
    assert [each for each in intervals if len(each) == 2] == [[2.25, 2.75], [1, 2]]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in dots] == [[2.5], [1.5]]
    (head,) = (text for text in axes.texts if isinstance(text, Annotation))
    assert head.xyann[0] == 2.5 and head.xy[0] == 1.5


def test_names_of_gains_stand_at_the_right_of_the_last_panel():
    gain = Difference(0.5, 0.25, 0.75, 5)
    sheets = {"one": {"a": [gain, gain]}, "two": {"a": [gain, gain]}}
    axes = figures.gains(sheets, ["p", "q"], "x", "y", ends=True).axes
    assert [[text.get_text() for text in ax.texts] for ax in axes] == [[], ["a"]]


def test_contrast_frames_an_items_own_views():
    figure = figures.contrast(["a", "b"], [["a", "·"], ["·", "b"]], np.eye(3), list("pqr"))
    own = [p for p in figure.axes[0].patches if p.get_linewidth() == 2.5]
    assert len(own) == 3 and {p.get_facecolor()[3] for p in own} == {0.75}


def test_maps_of_views_say_the_cosines():
    maps = {"a": (PLANE, PLANE[:3], (0.5, -0.25)), "b": (PLANE, PLANE[3:6], (1, 0))}
    written = [[text.get_text() for text in ax.texts] for ax in figures.views_maps(maps).axes]
    assert [[word for word in words if word] for words in written] == [
        ["0.50", "-0.25"],
        ["1.00", "0.00"],
    ]


LOGS = ("simulated log, 3", "real log, 3%")


def test_with_and_without_draws_each_log_measure_and_term_beside_its_base():
    rows = {
        (log, measure, term): {"without": 0.5, "difference": 1, "low": 0.5, "high": 2, "users": 9}
        for log in ("simulated, 3", "real, 3%")
        for measure in ("R@100", "AUC")
        for term in ("a", "b")
    }
    figure = figures.with_and_without(pd.DataFrame.from_dict(rows, orient="index"), "title")
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [f"{log}\nwithout a term: R@100 0.5, AUC 0.5" for log in LOGS]
    assert [len(ax.lines) for ax in figure.axes] == [9, 9]  # four intervals and marks, and zero


# -- the committed pictures ------------------------------------------------------------------------


def look_of(figure: Figure) -> list:
    """What is drawn, whatever the fonts: colours, marks, words, and where things are on average."""
    found = []
    for ax in figure.axes:
        for line in ax.lines:
            look = [to_hex(line.get_color()), line.get_marker(), line.get_linestyle()]
            places = np.mean(line.get_xydata(), axis=0).round(4).tolist()
            found.append([*look, line.get_label(), len(line.get_xdata()), *places])
        for patch in ax.patches:
            box = patch.get_path().get_extents(patch.get_patch_transform()).extents
            look = [to_hex(patch.get_facecolor(), keep_alpha=True), patch.get_hatch()]
            found.append([*look, *box.round(4).tolist()])
        legend = ax.get_legend().get_texts() if ax.get_legend() else []
        for text in (*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label, *legend):
            found.append([text.get_text(), to_hex(text.get_color())])
        found += [np.round(np.ma.getdata(image.get_array()), 4).tolist() for image in ax.images]
    return found


def pictures() -> dict[str, list]:
    arms = {name: [f"arm {i}" for i in range(most or 4)] for name, (_, most) in ARMS.items()}
    found = {name: look_of(draw(arms[name], "title")) for name, (draw, _) in ARMS.items()}
    turn, groups = np.arange(0, 360, 60), np.arange(6) % 3
    return found | {
        "pipeline": look_of(figures.pipeline()),
        "towers": look_of(figures.towers(TOWERS, {"item": ONE, "user": OTHER})),
        "day_line": look_of(figures.day_line()),
        "night_line": look_of(figures.night_line()),
        "memory": look_of(figures.memory(memory_rows(), "title", apart=24)),
        "aged": look_of(figures.aged({0: np.array([0.8, 0.9]), 7: np.array([0.5, 0.7])}, "t")),
        "dashboard": look_of(figures.dashboard(day_rows())),
        "shard_notes": look_of(figures.shard_notes(day_rows())),
        "matched_and_mixed": look_of(
            figures.matched_and_mixed({"a": (0.3, 0.1, GAIN)}, 0.03, "x", "t")
        ),
        "copied_and_split": look_of(figures.copied_and_split()),
        "copied_and_split, checked": look_of(figures.copied_and_split(checked=True)),
        "divided_tables": look_of(figures.divided_tables()),
        "alias_in_time": look_of(figures.alias_in_time()),
        "offset_in_time": look_of(figures.offset_in_time()),
        "parts_and_copies": look_of(figures.parts_and_copies()),
        "forecasts": look_of(forecasts()),
        "wedge": look_of(wedge()),
        "trade_path": look_of(trade_path()),
        "differences_by, marked": look_of(
            figures.differences_by({"a": {"b": GAIN}}, "x", marks={"a": (0.1, "here")})
        ),
        "head_effect": look_of(figures.head_effect(np.arange(1, 250))),
        "loss_matrix": look_of(figures.loss_matrix(pd.DataFrame(np.eye(3)), 0.5)),
        "mixed_columns": look_of(
            figures.mixed_columns(pd.DataFrame(PLANE[:2]), [0, 1], np.array([["", "b"]] * 2), 1)
        ),
        "circles": look_of(figures.circles(turn, 30, groups, [STEP])),
        "circles, before": look_of(figures.circles(turn, 30, groups, [{"title": "t"}], PLANE[:3])),
        "codes": look_of(figures.codes(np.arange(4), np.arange(12).reshape(2, 3, 2), (64, 16))),
        "views_map": look_of(figures.views_map(PLANE, PLANE[:3])),
        "delta_rows": look_of(figures.delta_rows(PLANE[:3], np.array([1, 4]), PLANE[3:5])),
    }


def memory_rows() -> pd.DataFrame:
    rows = {"flat": ("scan", 256, 1.0, 9.0), "ivfpq": ("codes", 24, 0.4, 0.7)}
    rows["ivfpq re-ranked"] = ("re-ranked", 280, 0.9, 1.9)
    columns = ["called", "bytes", "recall", "ms"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def forecasts() -> Figure:
    sizes = [10, 100, 1000]
    lines = {"flat": (pd.Series([1.0, 2, 8], sizes), pd.Series([1.0, 2, 4], sizes))}
    return figures.forecasts({"ms": lines | {"HNSW": lines["flat"]}}, "items", "title")


def test_a_forecast_has_its_last_size_hollow_and_says_how_far_off_it_is():
    (axes,) = forecasts().axes
    assert {text.get_text() for text in axes.texts} == {"flat: ×2.0", "HNSW: ×2.0"}
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata().tolist() for line in hollow] == [[[1000, 8]]] * 2


def test_a_trade_path_joins_its_points_in_order_and_names_all():
    (axes,) = trade_path().axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 4], [3, 3], [2, 1]]
    assert {text.get_text() for text in axes.texts} == {"3", "7", "20", "CF"}


def trade_path() -> Figure:
    path = {"3": (1, 4), "7": (3, 3), "20": (2, 1)}
    return figures.trade_path(path, {"CF": (2, 0)}, "x", "y", "title")


def test_capacity_says_what_it_is_told_and_how_far_off_it_may_be():
    table = pd.DataFrame({"machines": [4.0, 6.0]}, index=["IVF", "PQ"])
    told = {"machines": ["2 × 2", "1 × 6"]}
    (axes,) = figures.capacity(table, "", told, {"machines": [(2, 40), (4, 60)]}).axes
    assert [text.get_text() for text in axes.texts] == ["2 × 2", "1 × 6"]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert np.allclose(ends, [(2, 40), (4, 60)])


def test_a_wedge_says_where_its_bounds_cross_the_level():
    (axes,) = wedge().axes
    assert {"24", "50", "here: 30"} <= {text.get_text().strip() for text in axes.texts}


def wedge() -> Figure:
    x = np.arange(1, 81)
    return figures.wedge(x, 1000, (20 * x, 1000 / 24 * x), (30, "here"), ("a", "b"), "x", "y", "t")


def day_rows() -> pd.DataFrame:
    """A day as `production.Day.table` has it."""
    return pd.DataFrame(
        {
            "hour": ["08", "09", "10", "next day"],
            "R@100": [0.3, 0.2, 0.25, 0.1],
            "age": [14.0, 15.0, 2.0, 9.0],
            "events": [0, 90, 0, 130],
            "fault": ["", "", "lose an hour", ""],
            "version": ["v1", "v1", "v1", "v2"],
            "shards": [["nothing landed"], ["learned"], ["nothing landed"], ["learned"]],
        }
    )


def test_a_mixed_pair_stands_beside_the_matched_one_with_their_difference():
    loss = Difference(-0.24, -0.26, -0.22, 9)
    found = {"one night": (0.25, 0.25, GAIN), "another seed": (0.25, 0.01, loss)}
    (axes,) = figures.matched_and_mixed(found, 0.03, "R@100", "title").axes
    words = {text.get_text() for text in axes.texts}
    assert {"−0.240  [−0.260, −0.220]", "100 at random: 0.030"} <= words


def test_the_key_of_differences_has_what_is_drawn():
    loss = Difference(-0.02, -0.03, -0.01, 9)
    figure = figures.differences({"whole": loss}, "x", "title", words=("more", "less"))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["less"]


def test_a_dashboard_keeps_the_notes_for_later_if_asked():
    assert len(figures.dashboard(day_rows(), notes=False).axes) == 2
    words = [text.get_text() for text in figures.shard_notes(day_rows()).axes[0].texts]
    assert words.count("A") == 1 and {"v1", "v2"} <= set(words)


def test_faults_have_letters_in_every_panel_and_names_below():
    usual = day_rows().assign(fault="")
    figure = figures.dashboard(day_rows(), usual)
    assert "A: lose an hour" in " ".join(text.get_text() for text in drawn(figure))
    assert "lose" not in " ".join(
        text.get_text() for text in drawn(figures.dashboard(day_rows(), usual, named=False))
    )
    for ax in figure.axes:  # the marked hour is 10
        spans = [
            p.get_x() + p.get_width() / 2 for p in ax.patches if abs(p.get_width() - 0.9) < 1e-9
        ]
        np.testing.assert_allclose(spans, [10.0])
        assert [text.get_position()[0] for text in ax.texts if text.get_text() == "A"] == [10]
    for ax in figure.axes[:3]:  # the next day stands apart
        assert [line.get_xdata().tolist() for line in ax.lines] == [[8, 9, 10], [22]] * 2
    assert "there is nothing to draw" in refusal(figures.dashboard, day_rows()[:0])
    assert drawn(figures.dashboard(day_rows()[:1]))


def test_the_library_draws_what_it_drew_when_the_notebooks_were_run():
    """pytest --nbval compares no pictures. So a figure that changes fails here: run the notebooks
    that show it (make outputs), and then `python tests/test_figures.py`.
    """
    committed, found = json.loads(LOOKS.read_text("utf-8")), json.loads(json.dumps(pictures()))
    assert list(committed) == list(found)
    for name in committed:
        assert len(committed[name]) == len(found[name]), name
        for one, other in zip(committed[name], found[name], strict=True):
            numeric = [isinstance(value, float) for value in one]
            for value, now, number in zip(one, other, numeric, strict=True):
                assert now == pytest.approx(value, abs=1e-3) if number else now == value, name


if __name__ == "__main__":
    rows = [f"{json.dumps(name)}: {json.dumps(look)}" for name, look in pictures().items()]
    LOOKS.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")
