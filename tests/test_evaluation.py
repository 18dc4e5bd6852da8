"""Replay and its numbers, against brute force, SciPy and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, refusal, same, tiny_frames, trained, unit_vectors, with_listing
from scipy import stats
from sklearn.metrics import roc_auc_score

from course_lib.baselines import Popularity
from course_lib.evaluation import (
    NO_CANDIDATE,
    TwoTowerNightly,
    TwoTowerServed,
    alignment,
    gains_by_day,
    paired_difference,
    ranks,
    recall,
    recall_between,
    recalls,
    replay,
    slice_codes,
    slices,
    summary,
    uniformity,
    within_slice_auc,
)
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update, unfrozen_update
from course_lib.log import DAY, EventLog
from course_lib.state import new_state

pytestmark = pytest.mark.filterwarnings("ignore:the log has 4 items")

# -- ranks -----------------------------------------------------------------------------------------
# -------------------


def brute_rank(scores: list[float], bought: set[int], item: int) -> int:
    """How many of the items that the user could be nominated score at least as high as this one."""
    if item >= len(scores):
        return NO_CANDIDATE
    return sum(scores[other] >= scores[item] for other in range(len(scores)) if other not in bought)


@pytest.mark.parametrize("levels", [3, 1_000_000], ids=["many ties", "no ties"])
def test_ranks_against_brute_force(levels: int):
    rng = np.random.default_rng(levels)
    scores = rng.integers(levels, size=(6, 40)).astype(np.float32)
    bought = [
        rng.choice(44, size, replace=False) for size in (0, 1, 5, 20, 2, 3)
    ]  # four of these items are not listed yet
    rows = rng.integers(6, size=50)
    items = np.array([rng.choice(np.setdiff1d(np.arange(44), bought[row])) for row in rows])
    expected = [
        brute_rank(scores[row].tolist(), set(bought[row]), item)
        for row, item in zip(rows, items, strict=True)
    ]
    assert (items >= 40).any() and expected == ranks(
        torch.from_numpy(scores), bought, rows, items
    ).tolist()


def test_ranks_by_hand():
    scores = torch.tensor([[0.9, 0.5, 0.5, 0.1]])
    everything, nothing = np.array([0, 0, 0, 0, 0]), [np.array([], dtype=int)]
    assert ranks(scores, nothing, everything, np.arange(5)).tolist() == [1, 3, 3, 4, NO_CANDIDATE]
    assert ranks(scores, [np.array([0, 2])], np.array([0, 0]), np.array([1, 3])).tolist() == [1, 2]
    assert (
        scores.tolist() == torch.tensor([[0.9, 0.5, 0.5, 0.1]]).tolist()
    )  # the caller's scores stay


def test_a_model_that_knows_nothing_scores_0():
    for value in (0.0, 1.0, -3.5, -torch.inf, torch.inf):
        rank = ranks(
            torch.full((2, 101), value),
            [np.array([], dtype=int)] * 2,
            np.array([0, 1, 1]),
            np.array([0, 50, 100]),
        )
        assert rank.tolist() == [101] * 3
        assert recall(pd.DataFrame({"rank": rank}), 100) == 0


def test_a_score_of_nan_is_refused():
    scores = torch.zeros(2, 3)
    scores[1, 2] = torch.nan
    assert refusal(
        ranks, scores, [np.array([], dtype=int)] * 2, np.array([0]), np.array([0])
    ).startswith("a score is NaN")


TYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16,
    torch.uint32, torch.float16, torch.bfloat16, torch.float32, torch.float64,
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("array", [False, True], ids=["tensor", "array"])
def test_scores_of_any_type_of_number(kind: torch.dtype, array: bool):
    """The same order as in Python's own numbers, however the scores lie in memory."""
    rng = np.random.default_rng(5)
    top = 2 if kind == torch.bool else 100
    scores = torch.from_numpy(rng.integers(top, size=(5, 12))).to(kind)
    values = scores.double().tolist()
    bought = [rng.choice(12, 3, replace=False) for _ in range(5)]
    rows, items = np.repeat(np.arange(5), 12), np.tile(np.arange(12), 5)
    expected, places = [], []
    for row, item in zip(rows, items, strict=True):
        others = [values[row][i] for i in range(12) if i not in bought[row] and i != item]
        own = values[row][item]
        here = item not in bought[row]
        expected.append(sum(v >= own for v in others) + 1 if here else NO_CANDIDATE)
        share = sum((v < own) + (v == own) / 2 for v in others) / len(others)
        places.append(share if here else np.nan)
    memory = [scores, torch.stack([scores, scores]).permute(1, 2, 0)[..., 0]]  # and strided
    if array and kind == torch.bfloat16:
        memory = []  # NumPy has none
    elif array:
        plain = scores.numpy()
        memory = [plain, plain[::-1].copy()[::-1], plain.astype(plain.dtype.newbyteorder(">"))]
    for given in memory:
        assert ranks(given, bought, rows, items).tolist() == expected
        found = within_slice_auc(given, bought, rows, items, np.ones(12))
        np.testing.assert_allclose(found, places, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "near"), [(torch.float64, 1 + 2**-50), (torch.int64, 2**62 + 1), (torch.float32, 1)]
)
def test_no_precision_is_lost(kind: torch.dtype, near: float):
    """Of two scores that differ in the last place the higher is first; equal ones tie."""
    low = 2**62 if kind == torch.int64 else 1
    scores, nothing = torch.tensor([[low, near]], dtype=kind), [np.array([], dtype=int)]
    rank = ranks(scores, nothing, [0, 0], [0, 1]).tolist()
    assert rank == ([2, 1] if near > low else [2, 2])
    assert ranks(scores.numpy(), nothing, [0, 0], [0, 1]).tolist() == rank


def test_infinite_scores_are_scores():
    scores, bought = torch.tensor([[-torch.inf, 0.0, torch.inf, torch.inf]]), [np.array([3])]
    assert ranks(scores, bought, [0] * 3, [0, 1, 2]).tolist() == [3, 2, 1]
    assert ranks(scores, [np.array([1, 2, 3])], [0], [0]).tolist() == [1]  # alone, and not fourth
    found = within_slice_auc(scores, bought, [0] * 4, [0, 1, 2, 3], np.zeros(4))
    np.testing.assert_array_equal(found, [0, 0.5, 1, np.nan])  # 3 was bought before


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0)])
def test_nobody_or_nothing_to_rank(shape: tuple[int, int]):
    bought = [np.array([1])] * shape[0]
    empty = ranks(torch.zeros(shape), bought, [], [])
    assert empty.shape == (0,) and empty.dtype == np.int64
    assert within_slice_auc(torch.zeros(shape), bought, [], [], np.zeros(shape[1])).shape == (0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": [2]}, "rows has 2, and scores have 2 rows"),
        ({"rows": [-1]}, "rows has shape (1,)"),
        ({"rows": [0.0]}, "rows has shape (1,) and type float64"),
        ({"rows": [True]}, "rows has shape (1,) and type bool"),
        ({"items": [-1]}, "items has shape (1,)"),
        ({"items": [[0]]}, "items has shape (1, 1)"),
        ({"items": [0, 1]}, "scores have shape [2, 3], bought is of 2 users, and there are 1 rows"),
        ({"bought": [np.array([0])]}, "scores have shape [2, 3], bought is of 1 users"),
        ({"bought": [np.array([-1]), []]}, "bought has shape (1,)"),
        ({"scores": torch.zeros(2)}, "scores have shape [2], bought is of 2 users"),
        ({"scores": torch.zeros(2, 3, 1)}, "scores have shape [2, 3, 1]"),
        ({"scores": np.array([["a", "b", "c"]] * 2)}, "scores are <U1"),
        ({"scores": np.full((2, 3), None)}, "scores are object"),
        ({"scores": torch.zeros(2, 3) * 1j}, "scores are torch.complex64"),
        ({"scores": np.zeros((2, 3)) * 1j}, "scores are complex128"),
        ({"scores": np.array([[0, 1, np.nan]] * 2)}, "a score is NaN"),
    ],
)
def test_what_can_not_be_ranked_is_refused(change: dict, reason: str):
    given = {"scores": torch.zeros(2, 3), "bought": [[], []], "rows": [0], "items": [1]} | change
    assert refusal(ranks, **given).startswith(reason)
    assert refusal(within_slice_auc, **given, times_bought=np.zeros(3)).startswith(reason)


def test_times_bought_is_of_each_candidate():
    given = torch.zeros(1, 3), [[]], [0], [1]
    assert "give one number for each column" in refusal(within_slice_auc, *given, np.zeros(2))
    for wrong in (-1, np.nan):
        assert "below 0 or NaN" in refusal(within_slice_auc, *given, np.array([0, 1, wrong]))


def test_what_is_not_listed_is_a_miss_at_every_k():
    """Even when fewer than k items are listed, or none."""
    for listed in (0, 1, 3):
        rank = ranks(torch.zeros(1, listed), [np.array([3])], np.array([0]), np.array([3]))
        assert recall(pd.DataFrame({"rank": rank}), 100) == 0


# -- places within a slice
# --------------------------------------------------------------------------------------------


def slice_name(times: int) -> str:
    return "cold" if times == 0 else "tail" if times <= 20 else "mid" if times <= 100 else "head"


@pytest.mark.parametrize("levels", [3, 1_000_000], ids=["many ties", "no ties"])
def test_within_slice_against_scikit_learn(levels: int):
    """The AUC of one event: its item against what else of its slice the user could be nominated."""
    rng = np.random.default_rng(levels)
    scores = rng.integers(levels, size=(6, 60)).astype(np.float32)
    times_bought = rng.choice([0, 1, 20, 21, 100, 101, 5_000], 60)
    of = np.array([slice_name(times) for times in times_bought])
    bought = [
        rng.choice(64, size, replace=False) for size in (0, 1, 5, 30, 2, 45)
    ]  # four of these items are not listed yet
    rows = rng.integers(6, size=80)
    items = np.array([rng.choice(np.setdiff1d(np.arange(64), bought[row])) for row in rows])
    expected = []
    for row, item in zip(rows, items, strict=True):
        same_slice = np.flatnonzero(of == of[item]) if item < 60 else []
        others = [other for other in same_slice if other != item and other not in bought[row]]
        truth, values = [1] + [0] * len(others), scores[row][[item, *others]] if others else []
        expected.append(roc_auc_score(truth, values) if others else np.nan)
    found = within_slice_auc(torch.from_numpy(scores), bought, rows, items, times_bought)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (
        np.isnan(found[items >= 60]).all()
        and (items >= 60).any()
        and len(set(of[items[items < 60]])) == 4
    )


def test_within_slice_by_hand():
    """Cold are 0 to 3, tail are 4 and 5; head is 6 alone."""
    scores = torch.tensor([[0.1, 0.5, 0.5, 0.9, 0.2, 0.3, 0.8]])
    before, times_bought = scores.clone(), np.array([0, 0, 0, 0, 1, 20, 101])

    def within(bought: list[int], *items: int) -> list[float]:
        rows = np.zeros(len(items), dtype=int)
        return (
            within_slice_auc(
                scores, [np.array(bought, dtype=int)], rows, np.array(items), times_bought
            )
            .round(6)
            .tolist()
        )

    assert within([], 0, 1, 2, 3) == [0, 0.5, 0.5, 1]  # 1 and 2: one of three is lower, one equal
    assert within([], 4, 5) == [0, 1]
    assert within([3], 1) == [0.75]  # bought before: no candidate
    assert within([0, 1, 9], 2) == [0]
    assert (
        np.isnan(within([], 6, 7)).all() and np.isnan(within([4], 5)).all()
    )  # alone in its slice; not listed
    assert torch.equal(scores, before)


def test_lifting_a_whole_slice_changes_ranks_and_no_place_within():
    rng = np.random.default_rng(0)
    scores, times_bought = (
        torch.from_numpy(rng.normal(size=(4, 50))),
        rng.choice([0, 5, 50, 500], 50),
    )
    rows, items, nothing = (
        np.arange(40) % 4,
        rng.integers(50, size=40),
        [np.array([], dtype=int)] * 4,
    )
    lifted = scores + 3 * torch.from_numpy(times_bought == 0)
    places = [
        within_slice_auc(values, nothing, rows, items, times_bought) for values in (scores, lifted)
    ]
    np.testing.assert_array_equal(*places)
    assert (ranks(lifted, nothing, rows, items) != ranks(scores, nothing, rows, items)).any()


def test_equal_scores_are_chance():
    for value in (0.0, -3.5, -torch.inf):
        found = within_slice_auc(
            torch.full((1, 30), value),
            [np.arange(5)],
            np.zeros(25, int),
            np.arange(5, 30),
            np.arange(30) * 10,
        )
        assert (found[~np.isnan(found)] == 0.5).all() and len(found[~np.isnan(found)]) == 25


@pytest.mark.parametrize("listed", [0, 1])
def test_a_place_among_hardly_any_items(listed: int):
    rows, items = np.zeros(2, dtype=int), np.array([0, 3])
    assert np.isnan(
        within_slice_auc(
            torch.zeros(1, listed), [np.array([2])], rows, items, np.zeros(listed, dtype=int)
        )
    ).all()


def test_slice_codes_at_the_borders():
    times = [0, 1, 20, 21, 100, 101, 10**9]
    assert slice_codes(np.array(times)).tolist() == [0, 1, 1, 2, 2, 3, 3]
    found = slices(pd.DataFrame({"bought": times}, index=[5, 5, 1, 2, 3, 4, 0]))
    assert found.tolist() == [slice_name(number) for number in times] and found.index.tolist() == [
        5,
        5,
        1,
        2,
        3,
        4,
        0,
    ]
    assert found.cat.categories.tolist() == ["cold", "tail", "mid", "head"]


# -- the shape of the space
# -------------------------------------------------------------------------------------------


def results_of(days: list[int], bought: list[int], *ranks: list[int]) -> list[pd.DataFrame]:
    """Replays of the same events, whose ranks differ."""
    asked = pd.DataFrame({"day": days, "user": "u", "item": "i", "bought": bought})
    return [asked.assign(rank=of) for of in ranks]


def test_recalls_leave_out_a_slice_without_events():
    (one,) = results_of([1, 1, 2, 2], [0, 0, 7, 30], [3, 30, 2, 50])
    assert recalls(one, 10).to_dict() == {"R@10": 0.5, "cold": 0.5, "tail": 1.0, "mid": 0.0}


def test_gains_by_day_are_paired_differences_weighed_by_events():
    """Day 1 has three events, day 2 one; the head is met on one day alone."""
    one, other = results_of([1, 1, 1, 2], [0, 5, 999, 5], [1, 1, 90, 1], [90, 1, 1, 90])
    found = gains_by_day(one, other, 10)
    assert list(found) == ["all events", "tail"]
    assert found["all events"] == paired_difference([2 / 3, 1], [2 / 3, 0], weights=[3, 1])
    assert found["all events"].mean == pytest.approx(1 / 4)
    assert found["tail"] == paired_difference([1, 1], [1, 0], weights=[1, 1])
    assert gains_by_day(one, one, 10)["all events"].mean == 0
    assert "not of the same events" in refusal(gains_by_day, one, other[:3], 10)


def test_alignment_and_uniformity_against_loops():
    one, other = unit_vectors(9, 5, 0), unit_vectors(9, 5, 1)
    a, b = one.double().numpy(), other.double().numpy()
    distances = [sum((a[i, k] - b[i, k]) ** 2 for k in range(5)) for i in range(9)]
    assert alignment(one, other) == pytest.approx(sum(distances) / 9, rel=1e-5)
    pairs = [
        np.exp(-2 * sum((a[i, k] - a[j, k]) ** 2 for k in range(5)))
        for i in range(9)
        for j in range(i)
    ]
    assert uniformity(one) == pytest.approx(np.log(sum(pairs) / 36), rel=1e-5)


def test_alignment_and_uniformity_by_hand():
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert [alignment(east, other) for other in (east, north, -east)] == pytest.approx([0, 2, 4])
    assert [
        uniformity(torch.cat([east, other])) for other in (east, north, -east)
    ] == pytest.approx([0, -4, -8])
    assert uniformity(unit_vectors(1_000, 64, 0)) == pytest.approx(
        -4, abs=0.15
    )  # as even as it gets


# -- recall, slices, differences
# --------------------------------------------------------------------------------------


def test_recall_between_is_a_replays_if_both_sides_are_of_one_state(tiny: EventLog):
    """And with other item vectors, that of their ranks."""
    day = tiny.days[2]
    state = trained(tiny, SMALL, tiny.days[:2])
    items = state.item_vectors(tiny, np.arange(tiny.listed(day)), day)
    served, options = TwoTowerNightly(state), {"progress": False, "learn_before": False}
    result = replay(tiny, served, day, day + DAY, **options)
    for k in (1, 2, 3):
        assert recall_between(tiny, day, state, items, k) == recall(result, k)
        worst = recall_between(tiny, day, state, torch.zeros_like(items), k)
        assert worst <= recall_between(tiny, day, state, items, k)  # ties count against it


def test_recall_by_hand():
    result = pd.DataFrame({"rank": [1, 2, 5, 6, NO_CANDIDATE]})
    assert [recall(result, k) for k in (1, 2, 4, 5, 100)] == [0.2, 0.4, 0.4, 0.6, 0.8]


def test_summary_slices_by_hand():
    """Hits and misses at the borders of every slice."""
    rows = [
        (100, 0, 0.9), (101, 0, 0.2),                                      # cold: one of two
        (1, 1, 1), (51, 20, 0.5), (500, 20, 0), (600, 2, 0.1),             # tail: two of four
        # mid: three of four; one is alone in its slice
        (7, 21, 0.3), (9, 100, 1), (100, 100, 0.2), (999, 50, np.nan),
        # head: one of two; one is no candidate
        (50, 101, 0.7), (NO_CANDIDATE, 5_000, np.nan),
    ]  # fmt: skip
    result = summary(pd.DataFrame(rows, columns=["rank", "bought", "within_auc"]))
    recalls = {"R@50": 4 / 12, "R@100": 7 / 12, "cold": 0.5, "tail": 0.5, "mid": 0.75, "head": 0.5}
    within = {"in-cold": 0.55, "in-tail": 0.4, "in-mid": 0.5, "in-head": 0.7}
    assert result.to_dict() == pytest.approx(recalls | within) and list(result.index) == [
        *recalls,
        *within,
    ]


def test_summary_of_an_empty_slice_is_nan():
    result = summary(pd.DataFrame({"rank": [1, 200], "bought": [0, 0], "within_auc": [0.75, 0.25]}))
    assert result["cold"] == 0.5 and result[["tail", "mid", "head"]].isna().all()
    assert result["in-cold"] == 0.5 and result[["in-tail", "in-mid", "in-head"]].isna().all()


@pytest.mark.parametrize("confidence", [0.95, 0.8])
@pytest.mark.parametrize("pairs", [2, 5, 190])
def test_paired_difference_against_scipy(pairs: int, confidence: float):
    rng = np.random.default_rng(pairs)
    a, b = rng.normal(0.24, 0.01, pairs), rng.normal(0.23, 0.01, pairs)
    found = paired_difference(a, b, confidence)
    expected = stats.ttest_rel(a, b).confidence_interval(confidence)
    assert found.mean == pytest.approx((a - b).mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.pairs == pairs


def test_weighted_difference_by_hand():
    """Days of 10, 20 and 70 events: (2 − 2 + 14) hits more of 100. Residuals w (d − 0.14) are
    0.6, −4.8, 4.2; √(3/2 · 41.04) / 100 = 0.07846; t with 2 degrees of freedom is 4.3027.
    """
    found = paired_difference([0.5, 0.4, 0.7], [0.3, 0.5, 0.5], weights=[10, 20, 70])
    assert found.mean == pytest.approx(0.14) and found.pairs == 3
    assert (found.low, found.high) == pytest.approx((0.14 - 0.33758, 0.14 + 0.33758), abs=1e-5)
    flat = paired_difference([0.5, 0.4, 0.7], [0.3, 0.5, 0.5])
    assert paired_difference([0.5, 0.4, 0.7], [0.3, 0.5, 0.5], weights=[3] * 3) == pytest.approx(
        flat
    )


def test_weighted_by_events_it_is_the_pooled_difference_and_bootstraps_alike():
    """Days of very uneven size, whose large ones go the other way; the interval is about that of
    days drawn anew, 20,000 times.
    """
    rng = np.random.default_rng(0)
    events = rng.integers(5, 400, size=120)
    chance = 0.3 - 0.1 * (events > 200)
    a, b = (rng.binomial(events, share) for share in (chance, np.full(120, 0.25)))
    found = paired_difference(a / events, b / events, weights=events)
    assert found.mean == pytest.approx((a.sum() - b.sum()) / events.sum())
    assert found.mean < 0 < paired_difference(a / events, b / events).mean
    drawn = rng.integers(120, size=(20_000, 120))
    means = (a - b)[drawn].sum(1) / events[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08 * (high - low))


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, 0], [1, -1], [1, np.nan], [1, np.inf]])
def test_weights_that_are_none(weights: list[float]):
    message = refusal(paired_difference, [0.1, 0.2], [0.2, 0.4], weights=weights)
    assert message.startswith("weights must be 2 numbers above 0")


def test_a_difference_prints_itself():
    difference = paired_difference([0.25, 0.27, 0.26], [0.24, 0.24, 0.24])
    assert str(difference) == "+0.0200 [-0.0048, +0.0448] (3 pairs)"  # 0.02 ± 4.3027 · 0.01 / √3


@pytest.mark.parametrize(
    "a, b", [([0.1], [0.2]), ([], []), ([0.1, 0.2, 0.3], [0.1]), ([0.1, 0.2], [0.1, 0.2, 0.3])]
)
def test_pairs_that_are_none(a: list[float], b: list[float]):
    assert refusal(paired_difference, a, b)


# -- replay ----------------------------------------------------------------------------------------
# -------------------


class Diary:
    """A recommender that prefers items in the order of their codes, and notes what it is asked and
    told.
    """

    def __init__(self) -> None:
        self.pages: list[tuple] = []

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> np.ndarray:
        self.pages.append(("scores", day.day, users.tolist()))
        return -np.tile(np.arange(float(log.listed(day))), (len(users), 1))

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.pages.append(("learn", day.day))

    def learn_hour(self, log: EventLog, hour: pd.Timestamp) -> None:
        self.pages.append(("hour", hour.day, hour.hour))


def test_replay_by_hand(tiny: EventLog):
    """Test, then train. All four items are listed from the start: mug 1, bag 2, lamp 3, vase 4,
    less what the user has.
    """
    diary = Diary()
    result = replay(tiny, diary, "2020-01-02", progress=False)
    assert diary.pages == [
        ("learn", 1),
        ("scores", 2, [0, 2]), ("learn", 2),
        ("scores", 4, [1]), ("learn", 4),
        ("scores", 5, [0, 2]), ("learn", 5),
        ("scores", 6, [1]), ("learn", 6),
    ]  # fmt: skip
    expected = [
        # day, user, item, rank, place within its slice (−1: none else is in it), times bought
        # before that day, items the user had
        (2, "ann", "bag", 1, -1, 1, 1),
        (2, "cid", "mug", 1, 1, 1, 0),  # before the bag; lamp and vase are cold
        (4, "bob", "mug", 1, -1, 2, 1),
        (5, "ann", "lamp", 1, 1, 0, 2),  # before the vase
        (5, "cid", "bag", 1, -1, 2, 1),
        (6, "bob", "vase", 2, -1, 0, 2),  # by now the lamp is no longer cold
    ]
    shown = result.assign(day=result["day"].dt.day, within_auc=result["within_auc"].fillna(-1))
    assert list(shown.itertuples(index=False, name=None)) == expected
    assert result.columns.tolist() == [
        "day",
        "user",
        "item",
        "rank",
        "within_auc",
        "bought",
        "history",
    ]


def test_replay_from_to(tiny: EventLog):
    diary = Diary()
    result = replay(tiny, diary, "2020-01-04", "2020-01-05", progress=False)
    assert result["item"].tolist() == ["mug"]
    assert [page[:2] for page in diary.pages] == [
        ("learn", 1),
        ("learn", 2),
        ("scores", 4),
        ("learn", 4),
    ]
    whole = replay(tiny, Diary(), tiny.days[0], progress=False)
    assert len(whole) == len(tiny) and whole["rank"].tolist() == [1, 2, 1, 1, 1, 1, 1, 2]


def test_replay_of_a_day_when_nothing_is_listed(frames):
    """Items that are listed within the day of their first sale are no candidates that morning:
    misses, and no crash.
    """
    listed = ["2020-01-06", "2020-01-05", "2020-01-01 10:00", "2020-01-01 09:00"]
    frames["items"] = frames["items"].assign(listed=[pd.Timestamp(t) for t in listed])
    result = replay(EventLog.from_frame(**frames), Diary(), "2020-01-01", progress=False)
    assert result["rank"].tolist()[:2] == [NO_CANDIDATE] * 2
    assert result["rank"].tolist()[2:] == [1, 1, 1, 1, 1, 2]
    assert (
        result["within_auc"].isna()[:2].all() and result["within_auc"].notna().sum() == 1
    )  # cid's mug, before the bag


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (("2020-02-01",), "the log has no day from 2020-02-01 to before 2020-01-07; its days are"),
        (("2019-12-01", "2020-01-01"), "the log has no day from 2019-12-01 to before 2020-01-01"),
        (("2020-01-03", "2020-01-04"), "the log has no day from 2020-01-03 to before 2020-01-04"),
        (("2020-01-05", "2020-01-02"), "the log has no day from 2020-01-05 to before 2020-01-02"),
        (("2020-01-05", "2020-01-05"), "the log has no day from 2020-01-05 to before 2020-01-05"),
        ((pd.Timestamp("2020-01-05", tz="UTC"),), "Timestamp('2020-01-05 00:00:00+0000', t… is no"),
        (("2020-01-02", "2020-01-05 00:00+01:00"), "'2020-01-05 00:00+01:00' is no moment of"),
        (("soon",), "'soon' is no moment of"),
        ((None,), "None is no moment of"),
    ],
)
def test_replay_of_no_days(tiny: EventLog, days: tuple, reason: str):
    diary = Diary()
    assert refusal(replay, tiny, diary, *days, progress=False).startswith(reason)
    assert diary.pages == []


def test_what_a_replay_calls_must_be_there_before_anything_is_learned(tiny: EventLog):
    baseline, learned = Popularity(), []
    baseline.learn = lambda log, day: learned.append(day)
    message = refusal(replay, tiny, baseline, "2020-01-05", progress=False, hourly=True)
    assert message.startswith("Popularity has no method 'learn_hour'") and not learned
    assert "no method 'scores'" in refusal(replay, tiny, object(), "2020-01-05")


@pytest.mark.parametrize("shape", [(2,), (4, 2), (2, 3), (2, 5), (1, 4), (2, 4, 1), ()])
def test_scores_of_another_shape_are_refused(tiny: EventLog, shape: tuple[int, ...]):
    diary = Diary()
    diary.scores = lambda log, day, users: np.zeros(shape)
    message = refusal(replay, tiny, diary, "2020-01-05", progress=False)
    assert f"have shape {list(shape)}" in message and "must have shape [2, 4]" in message


def test_a_small_catalogue_is_said_to_be_small(tiny: EventLog):
    with pytest.warns(UserWarning, match="the log has 4 items, so R@100 is 1") as said:
        result = replay(tiny, Diary(), tiny.days[0], progress=False)
    assert len(said) == 1 and recall(result, 100) == 1 > recall(result, 1)


def test_replay_of_the_two_towers_is_test_then_train(tiny: EventLog):
    """Ranks and final state against a loop of full updates and cosines by hand."""
    recommender = TwoTowerNightly(new_state(tiny, SMALL))
    result = replay(tiny, recommender, "2020-01-01", progress=False)
    state, expected = new_state(tiny, SMALL), []
    for day in tiny.days:
        rows = tiny.rows(day, day + pd.Timedelta(days=1))
        for row in range(rows.start, rows.stop):
            user, item = tiny.user_rows[row], tiny.item_rows[row]
            users = state.user_vectors(tiny, np.array([user]), rows.start)
            scores = (users @ state.item_vectors(tiny, np.arange(4), day).T)[0]
            expected.append(
                brute_rank(scores.tolist(), set(tiny.bought(user, rows.start).tolist()), item)
            )
        state = full_update(state, tiny, day)
    assert result["rank"].tolist() == expected
    ours, theirs = recommender.state.model.state_dict(), state.model.state_dict()
    assert all(same(ours[name], theirs[name]) for name in theirs)


def test_scores_of_the_two_towers_know_nothing_of_the_day(tiny: EventLog):
    """On the fifth: what was bought up to the fourth is event rows 0 to 4; ann's lamp and cid's bag
    are the answers.
    """
    day, users = pd.Timestamp("2020-01-05"), np.array([2, 0])
    state = trained(tiny, SMALL, tiny.days[:3])
    features = state.features.user_features(tiny, users, 5)
    assert features["history"].tolist() == [[1, 0, 0], [2, 1, 0]]
    vectors = state.model.item_vectors(state.features.item_features(tiny, np.arange(4), day))
    expected = (state.model.user_vectors(features) @ vectors.T).detach()
    found = TwoTowerNightly(state).scores(tiny, day, users)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    leaked = state.user_vectors(tiny, users, 7) @ vectors.detach().T
    assert not torch.allclose(leaked, expected, atol=1e-3)  # the comparison can tell


def test_later_events_change_no_earlier_rank():
    frames, other = with_listing(tiny_frames()), with_listing(tiny_frames())
    other["events"].loc[5:, ["user", "item"]] = [("bob", "vase"), ("cid", "lamp"), ("ann", "lamp")]
    results = []
    for f in (frames, other):
        log = EventLog.from_frame(**f)
        results.append(
            replay(log, TwoTowerNightly(new_state(log, SMALL)), "2020-01-01", progress=False)
        )
    pd.testing.assert_frame_equal(results[0][:5], results[1][:5])


def test_the_update_of_the_replay_can_be_exchanged(tiny: EventLog):
    days = []

    def lazy(state, log, day):
        days.append(day.day)
        return state

    recommender = TwoTowerNightly(new_state(tiny, SMALL), lazy)
    replay(tiny, recommender, "2020-01-05", progress=False)
    assert days == [1, 2, 4, 5, 6] and recommender.state.updates == 0


# -- hour by hour ----------------------------------------------------------------------------------
# -------------------


def test_hourly_replay_by_hand(tiny: EventLog):
    """Each hour is tested, then told; what a user bought that morning is history and no candidate
    that evening.
    """
    diary = Diary()
    result = replay(tiny, diary, "2020-01-05", "2020-01-06", progress=False, hourly=True)
    assert diary.pages == [
        ("learn", 1), ("learn", 2), ("learn", 4),
        ("scores", 5, [0]), ("hour", 5, 8), ("scores", 5, [2]), ("hour", 5, 23), ("learn", 5),
    ]  # fmt: skip
    assert result[["user", "item", "hour", "rank", "bought", "history"]].values.tolist() == [
        ["ann", "lamp", 8, 1, 0, 2],
        ["cid", "bag", 23, 1, 2, 1],
    ]
    quiet = Diary()
    replay(tiny, quiet, "2020-01-05", "2020-01-06", progress=False, hourly=True, learn_before=False)
    assert quiet.pages == diary.pages[3:]


def test_what_was_bought_this_morning_is_no_candidate_this_evening():
    frames = tiny_frames()
    frames["events"].loc[6, "user"] = (
        "ann"  # ann: lamp at 8, and at 23:59, instead of cid, the bag, which she has: so the vase
    )
    frames["events"].loc[6, "item"] = "vase"
    log = EventLog.from_frame(**with_listing(frames))
    hourly = replay(log, Diary(), "2020-01-05", "2020-01-06", progress=False, hourly=True)
    daily = replay(log, Diary(), "2020-01-05", "2020-01-06", progress=False)
    assert hourly["history"].tolist() == [2, 3] and daily["history"].tolist() == [2, 2]
    code = {item: i for i, item in enumerate(log.items.index)}
    later = int(
        code["lamp"] < code["vase"]
    )  # the lamp stood before the vase, and is gone by the evening
    assert daily["rank"].iloc[1] - hourly["rank"].iloc[1] == later


@pytest.mark.parametrize("hourly", [None, "ids", "all"])
def test_what_is_served_is_what_was_published(hourly: str | None):
    """Through the busy days of the tiny log: vectors by hand, from the updates themselves, against
    the recommender's scores.
    """
    log = EventLog.from_frame(**with_listing(tiny_frames()))
    start = trained(log, SMALL, log.days[:3])
    served = TwoTowerServed(start, hourly=hourly, rate=0.03)
    morning, evening = pd.Timestamp("2020-01-05 08:00"), pd.Timestamp("2020-01-05 23:00")
    everyone, everything = np.arange(3), np.arange(4)
    vectors = start.item_vectors(log, everything, morning)
    np.testing.assert_array_equal(
        served.scores(log, morning, everyone),
        start.user_vectors(log, everyone, log.rows(morning).start) @ vectors.T,
    )
    served.learn_hour(log, morning)
    state = start
    if hourly == "ids":
        state, touched = incremental_update(start, log, morning, rate=0.03)
        vectors[touched.items] = state.item_vectors(log, touched.items, morning)
    if hourly == "all":
        state = unfrozen_update(start, log, morning, rate=0.03)
        vectors = state.item_vectors(log, everything, morning)
    expected = state.user_vectors(log, everyone, log.rows(evening).start) @ vectors.T
    np.testing.assert_array_equal(served.scores(log, evening, everyone), expected)
    served.learn(log, pd.Timestamp("2020-01-04"))  # learned already: passed over
    assert served.state.updates == state.updates
    served.learn(log, pd.Timestamp("2020-01-05"))  # the hour's state is discarded
    night = full_update(start, log, pd.Timestamp("2020-01-05"))
    midnight = pd.Timestamp("2020-01-06")
    expected = (
        night.user_vectors(log, everyone, 7) @ night.item_vectors(log, everything, midnight).T
    )
    np.testing.assert_array_equal(served.scores(log, midnight, everyone), expected)


def test_what_can_not_be_served_is_refused(tiny_state):
    for options in ({"hourly": "id"}, {"hourly": True}, {"full_every": 0}):
        assert refusal(TwoTowerServed, tiny_state, **options).startswith("hourly is")


def test_cadence(retail: EventLog):
    """A full update every three days learns the three days at once; without one none is learned."""
    state = trained(retail, SMALL, retail.days[:2])
    rare, never = TwoTowerServed(state, full_every=3), TwoTowerServed(state, full_every=None)
    for day in retail.days[2:6]:  # Friday, Sunday, Monday, Tuesday
        rare.learn(retail, day)
        never.learn(retail, day)
    assert never.state is state and rare.state.updates == state.updates + 1
    expected = full_update(state, retail, retail.days[2], days=3)
    assert same(
        rare.state.model.item_tables[0].weight.detach(),
        expected.model.item_tables[0].weight.detach(),
    )
    assert rare.first == retail.days[4]
