"""The baselines against NumPy loops in float64; EASE and ALS against scikit-learn's ridge regression."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Frames, refusal, tiny_frames, with_listing
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_similarity

from course_lib.baselines import ALS, EASE, ItemCF, Popularity, UserKNN
from course_lib.evaluation import NO_CANDIDATE, Recommender, replay
from course_lib.log import EventLog

DAY = pd.Timedelta(days=1)
PERSONAL = [ItemCF, EASE, UserKNN, ALS]
ALL = [Popularity, *PERSONAL]
pytestmark = pytest.mark.filterwarnings("ignore:the log has")


@pytest.fixture(scope="module")
def busy() -> EventLog:
    """30 users, 12 items, 20 days; the last two items are first sold late, and listed two days
    before.
    """
    rng = np.random.default_rng(0)
    pairs = [(user, item) for user in range(30) for item in rng.choice(12, 6, replace=False)]
    days = [rng.integers(16, 20) if item >= 10 else rng.integers(20) for _, item in pairs]
    events = pd.DataFrame(pairs, columns=["user", "item"]).assign(
        time=pd.Timestamp("2020-03-01 12:00") + np.array(days) * DAY
    )
    events = events.sort_values("time", ignore_index=True)
    first = events.groupby("item")["time"].min()
    items = pd.DataFrame(
        {
            "item": range(12),
            "listed": [first[item] - (2 * DAY if item >= 10 else 30 * DAY) for item in range(12)],
        }
    )
    return EventLog.from_frame(events, items, pd.DataFrame({"user": range(30)}))


def after(log: EventLog, recommender: Recommender, day: pd.Timestamp) -> Recommender:
    """The recommender, having learned every day before `day`."""
    for earlier in log.days[log.days < day]:
        recommender.learn(log, earlier)
    return recommender


def weights(log: EventLog, day: pd.Timestamp, half_life: float) -> np.ndarray:
    """[users, items listed] how much is left of each purchase before `day`."""
    matrix = np.zeros((len(log.users), len(log.items)))
    for user, item, time in zip(log.user_rows, log.item_rows, log.events["time"], strict=True):
        if time < day:
            matrix[user, item] = 0.5 ** ((day - time.normalize()).days / half_life)
    return matrix[:, : log.listed(day)]


def popularity(log: EventLog, day: pd.Timestamp, half_life: float) -> np.ndarray:
    return weights(log, day, half_life).sum(0)


@pytest.mark.parametrize("half_life", [1.0, 7.0])
def test_popularity_against_brute_force(busy: EventLog, half_life: float):
    day, users = busy.days[-2], np.array([3, 0])
    scores = after(busy, Popularity(half_life), day).scores(busy, day, users)
    expected = popularity(busy, day, half_life)
    np.testing.assert_allclose(scores.numpy(), [expected, expected], rtol=1e-9)


def test_item_cf_against_brute_force(busy: EventLog):
    day, users = busy.days[-2], np.array([5, 0, 29])
    scores = after(
        busy, ItemCF(history_half_life=9.0, popularity=0.4, popularity_half_life=3.0), day
    ).scores(busy, day, users)
    history, recent = weights(busy, day, 9.0), popularity(busy, day, 3.0)
    expected = np.zeros((3, history.shape[1]))
    for row, user in enumerate(users):
        for item in range(history.shape[1]):
            for other in range(history.shape[1]):
                if other != item:
                    similarity = history[:, item] @ history[:, other]
                    similarity /= np.linalg.norm(history[:, item]) * np.linalg.norm(
                        history[:, other]
                    )
                    expected[row, item] += history[user, other] * similarity
            expected[row, item] += 0.4 * recent[item] / recent.max()
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


def test_item_cf_similarities_against_scikit_learn():
    history = np.random.default_rng(0).random((20, 7)) > 0.6
    history[:, 3] = False  # listed, and never sold
    recommender = ItemCF()
    recommender.fit(csr_matrix(history, dtype=np.float32))
    expected = cosine_similarity(history.astype(float).T)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(recommender.similarity.toarray(), expected, atol=1e-6)


@pytest.fixture(scope="module")
def purchases() -> np.ndarray:
    """[60, 10] what each user has; nobody has item 4."""
    purchases = np.random.default_rng(1).random((60, 10)) > 0.7
    purchases[:, 4] = False
    return purchases.astype(float)


def ease_weights(purchases: np.ndarray, ridge: float) -> np.ndarray:
    recommender = EASE(ridge=ridge)
    recommender.fit(csr_matrix(purchases, dtype=np.float32))
    return recommender.similarity


def test_ease_is_a_ridge_regression_of_every_item_on_the_others(purchases: np.ndarray):
    """Column j: the weights that predict item j from all other items, by scikit-learn."""
    found = ease_weights(purchases, 5.0)
    for item in range(10):
        others = np.arange(10) != item
        ridge = Ridge(alpha=5.0, fit_intercept=False)
        ridge.fit(purchases[:, others], purchases[:, item])
        np.testing.assert_allclose(found[others, item], ridge.coef_, atol=1e-5)
    assert (found.diagonal() == 0).all()


def test_ease_satisfies_its_closed_form(purchases: np.ndarray):
    """(XᵀX + λI) B = XᵀX + λI − diag(γ): what is left over lies on the diagonal alone (Steck,
    2019).
    """
    gram = purchases.T @ purchases + 5.0 * np.eye(10)
    left = gram - gram @ ease_weights(purchases, 5.0)
    np.testing.assert_allclose(left - np.diag(np.diag(left)), 0, atol=1e-4)
    assert (np.diag(left) > 1).all()


def test_ease_scores_against_brute_force(busy: EventLog):
    day, users = busy.days[-2], np.array([5, 0])
    scores = after(busy, EASE(ridge=2.0, history_half_life=9.0, popularity=0.0), day).scores(
        busy, day, users
    )
    history = weights(busy, day, 9.0)
    inverse = np.linalg.inv(history.T @ history + 2.0 * np.eye(history.shape[1]))
    similarity = np.eye(len(inverse)) - inverse / np.diag(inverse)
    np.testing.assert_allclose(scores.numpy(), history[users] @ similarity, atol=1e-5)


@pytest.mark.parametrize("neighbours", [3, 1000])
def test_user_knn_against_brute_force(busy: EventLog, neighbours: int):
    day, users = busy.days[-2], np.array([5, 0, 29])
    options = {"neighbours": neighbours, "purchase_half_life": 4.0, "idf": 0.7}
    recommender = UserKNN(history_half_life=9.0, popularity=0.2, **options)
    scores = after(busy, recommender, day).scores(busy, day, users)
    history, lately, recent = (weights(busy, day, h) for h in (9.0, 4.0, 7.0))
    cosine = cosine_similarity(history / history.sum(0) ** 0.7)
    expected = np.zeros((3, history.shape[1]))
    for row, user in enumerate(users):
        others = sorted(set(range(30)) - {user}, key=lambda other: -cosine[user, other])
        for other in others[:neighbours]:
            expected[row] += cosine[user, other] * lately[other]
        expected[row] /= expected[row].max()
        expected[row] += 0.2 * recent.sum(0) / recent.sum(0).max()
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4)


@pytest.fixture(scope="module")
def decayed(purchases: np.ndarray) -> np.ndarray:
    """[60, 10] purchases of which a part is left; the last user has none."""
    left = purchases * np.random.default_rng(2).uniform(0.1, 1, purchases.shape)
    left[-1] = 0
    return left


def test_als_solves_weighted_ridge_regressions(decayed: np.ndarray):
    """A user's factors predict 1 for what the user has, with confidence 1 + 6 · what is left, and
    0 for all else, with confidence 1.
    """
    items = np.random.default_rng(3).normal(size=(10, 4))
    found = ALS(factors=4, ridge=2.0, confidence=6.0).solve(items, csr_matrix(decayed))
    for row, left in zip(found, decayed, strict=True):
        ridge = Ridge(alpha=2.0, fit_intercept=False).fit(items, left > 0, 1 + 6 * left)
        np.testing.assert_allclose(row, ridge.coef_, atol=1e-5)
    assert not found[-1].any()


def test_als_satisfies_the_normal_equations_of_users_and_items(decayed: np.ndarray):
    """After many passes the gradient of the whole loss (Hu et al., 2008, equation 3) is 0, for
    users' factors, which today's history makes, and for items'.
    """
    history = csr_matrix(decayed, dtype=np.float32)
    recommender = ALS(factors=3, ridge=2.0, confidence=6.0, passes=300)
    recommender.fit(history)
    items = recommender.items.astype(float)
    users = recommender.solve(items, history).astype(float)
    np.testing.assert_allclose(
        recommender.predict(history[7:9], np.array([7, 8])), users[7:9] @ items.T, atol=1e-5
    )
    off = (1 + 6 * decayed) * (users @ items.T - (decayed > 0))  # [60, 10]
    assert np.abs(off).max() > 0.1 and np.abs(items).max() > 0.1
    np.testing.assert_allclose(off @ items + 2 * users, 0, atol=1e-3)
    np.testing.assert_allclose(off.T @ users + 2 * items, 0, atol=1e-3)


def test_als_goes_on_from_its_last_factors_and_counts_new_purchases(busy: EventLog):
    """A refit lowers the loss of the new histories; between two fits a purchase changes what its
    buyer gets, and no one else.
    """
    first, later = busy.days[8], busy.days[9]
    recommender = after(busy, ALS(factors=4, popularity=0.0), first)
    recommender.scores(busy, first, np.arange(30))
    items = recommender.items.copy()
    recommender.learn(busy, first)
    after_purchase = recommender.scores(busy, later, np.arange(30))
    assert (recommender.items == items).all() and recommender.fitted == first
    history = weights(busy, later, 60.0)[:, : len(items)]
    for user in range(30):
        bought, c = history[user] > 0, 1 + 10 * history[user]
        solved = np.linalg.solve(
            (items.T * c) @ items + 10 * np.eye(4), (items.T * c) @ bought.astype(float)
        )
        np.testing.assert_allclose(after_purchase[user, : len(items)], items @ solved, atol=1e-5)
    recommender.scores(busy, busy.days[-1], np.arange(30))
    assert recommender.fitted == busy.days[-1] and recommender.items.shape == (12, 4)
    assert not np.allclose(recommender.items[: len(items)], items, atol=1e-3)


def test_als_is_the_same_every_time(busy: EventLog):
    day = busy.days[-2]
    a, b = (after(busy, ALS(), day).scores(busy, day, np.arange(30)) for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize("make", PERSONAL)
def test_a_wrong_option_is_refused(make: type):
    for name in ("history_half_life", "popularity_half_life"):
        for value in (0, -1.0, float("nan"), "7", None):
            assert refusal(make, **{name: value}).startswith(f"{name} is {value!r}; it must be")
    assert refusal(make, popularity=-0.1) == (
        "popularity is -0.1; it must be a number, at least 0."
    )
    for value in (0, 1.5, True):
        assert "whole number, at least 1" in refusal(make, refit=value)
    with pytest.raises(TypeError, match="half_life"):
        make(half_life=3.0)


def test_a_wrong_option_of_one_baseline_is_refused():
    assert "half_life is -3" in refusal(Popularity, -3)
    assert "ridge is 0" in refusal(EASE, ridge=0)
    assert "neighbours is 2.5; it must be a whole number" in refusal(UserKNN, neighbours=2.5)
    assert "factors is 0" in refusal(ALS, factors=0)
    assert UserKNN(idf=0).idf == 0 and ALS(confidence=np.float32(3)).confidence == 3


@pytest.mark.parametrize("make", ALL)
def test_a_user_without_history_gets_what_is_popular(busy: EventLog, make: type):
    day = busy.days[1]
    buyers = busy.user_rows[busy.rows(end=day)]
    stranger = np.setdiff1d(np.arange(30), buyers)[:1]
    scores = after(busy, make(), day).scores(busy, day, stranger)[0].numpy()
    assert (
        np.argsort(-scores, kind="stable") == np.argsort(-popularity(busy, day, 7.0), kind="stable")
    ).all()


@pytest.mark.parametrize("make", ALL)
def test_before_the_first_day_all_scores_are_the_same_number(busy: EventLog, make: type):
    scores = make().scores(busy, busy.days[0], np.arange(4))
    assert scores.shape == (4, busy.listed(busy.days[0])) and not scores.any()


@pytest.mark.parametrize("make", ALL)
def test_a_first_morning_without_candidates(frames: Frames, make: type):
    """Items listed at their first sale: no candidate on the first morning, 0 columns; the next day
    the scores are those of a recommender that was not asked before.
    """
    first = frames["events"].groupby("item")["time"].min()
    frames["items"]["listed"] = frames["items"]["item"].map(first)
    log = EventLog.from_frame(**frames)
    asked, other = make(), make()
    assert asked.scores(log, log.days[0], np.arange(3)).shape == (3, 0)
    assert asked.scores(log, log.days[0], np.arange(0)).shape == (0, 0)
    for recommender in (asked, other):
        recommender.learn(log, log.days[0])
    assert asked.scores(log, log.days[1], np.arange(0)).shape == (0, 2)
    scores = [r.scores(log, log.days[1], np.arange(3)) for r in (asked, other)]
    assert torch.equal(*scores) and scores[0].any()
    result = replay(log, make(), log.days[0], progress=False)
    assert result["rank"].tolist()[:2] == [NO_CANDIDATE] * 2


def test_similarities_are_refitted_every_week(busy: EventLog):
    """The first day fits; until seven days later new purchases make new histories, but no new
    similarities.
    """
    first, fitted = busy.days[5], []

    class Noted(ItemCF):
        def fit(self, history: csr_matrix) -> None:
            fitted.append(history.nnz)
            super().fit(history)

    recommender = after(busy, Noted(popularity=0.0), first)
    asked = {day: recommender.scores(busy, day, np.arange(30)) for day in busy.days[5:]}
    assert len(fitted) == 3 and busy.days[-1] == first + 14 * DAY
    later = first + 6 * DAY
    history, old = weights(busy, later, 60.0), weights(busy, first, 60.0)
    similarity = cosine_similarity(old.T) * (1 - np.eye(old.shape[1]))
    np.testing.assert_allclose(
        asked[later].numpy()[:, : old.shape[1]], history[:, : old.shape[1]] @ similarity, atol=1e-5
    )


def test_an_item_listed_since_the_last_fit_is_scored_by_popularity_alone(busy: EventLog):
    day = next(day for day in busy.days if busy.listed(day) > busy.listed(busy.days[12]))
    assert day - busy.days[12] < 7 * DAY
    recommender = after(busy, ItemCF(popularity=0.0), busy.days[12])
    recommender.scores(busy, busy.days[12], np.arange(30))
    scores = recommender.scores(busy, day, np.arange(30))
    known = busy.listed(busy.days[12])
    assert (
        scores.shape == (30, busy.listed(day))
        and not scores[:, known:].any()
        and scores[:, :known].any()
    )


@pytest.mark.parametrize(
    "make",
    [Popularity, ItemCF, lambda: EASE(ridge=1.0), UserKNN, ALS],
    ids=["popularity", "item-to-item CF", "EASE", "user kNN", "ALS"],
)
def test_later_events_change_no_score(make):
    frames, other = with_listing(tiny_frames()), with_listing(tiny_frames())
    other["events"].loc[5:, ["user", "item"]] = [("bob", "vase"), ("cid", "lamp"), ("ann", "lamp")]
    morning = pd.Timestamp("2020-01-05")
    logs = [EventLog.from_frame(**f) for f in (frames, other)]
    a, b = (after(log, make(), morning).scores(log, morning, np.arange(3)) for log in logs)
    assert torch.equal(a, b) and a.any()
