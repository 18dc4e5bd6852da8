"""The peers against NumPy loops in float64, and EASE against scikit-learn's ridge regression."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_frames, with_listing
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_similarity

from course_lib.baselines import EASE, ItemCF, Popularity
from course_lib.evaluation import Recommender
from course_lib.log import EventLog

DAY = pd.Timedelta(days=1)


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
    history = torch.rand(20, 7, generator=torch.Generator().manual_seed(0)) > 0.6
    history[:, 3] = False  # listed, and never sold
    found = ItemCF().similarities(history.float())
    expected = cosine_similarity(history.double().T)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.fixture(scope="module")
def purchases() -> torch.Tensor:
    return (torch.rand(60, 9, generator=torch.Generator().manual_seed(1)) > 0.7).float()


def test_ease_is_a_ridge_regression_of_every_item_on_the_others(purchases: torch.Tensor):
    """Column j: the weights that predict item j from all other items, by scikit-learn."""
    found = EASE(ridge=5.0).similarities(purchases)
    for item in range(9):
        others = np.arange(9) != item
        ridge = Ridge(alpha=5.0, fit_intercept=False).fit(
            purchases[:, others].double(), purchases[:, item].double()
        )
        np.testing.assert_allclose(found[others, item].numpy(), ridge.coef_, atol=1e-5)
    assert (found.diagonal() == 0).all()


def test_ease_satisfies_its_closed_form(purchases: torch.Tensor):
    """(XᵀX + λI) B = XᵀX + λI − diag(γ): what is left over lies on the diagonal alone (Steck,
    2019).
    """
    x = purchases.double().numpy()
    gram = x.T @ x + 5.0 * np.eye(9)
    left = gram - gram @ EASE(ridge=5.0).similarities(purchases).double().numpy()
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


@pytest.mark.parametrize("make", [Popularity, ItemCF, EASE])
def test_a_user_without_history_gets_what_is_popular(busy: EventLog, make: type):
    day = busy.days[1]
    buyers = busy.user_rows[busy.rows(end=day)]
    stranger = np.setdiff1d(np.arange(30), buyers)[:1]
    scores = after(busy, make(), day).scores(busy, day, stranger)[0].numpy()
    assert (
        np.argsort(-scores, kind="stable") == np.argsort(-popularity(busy, day, 7.0), kind="stable")
    ).all()


@pytest.mark.parametrize("make", [Popularity, ItemCF, EASE])
def test_before_the_first_day_all_scores_are_the_same_number(busy: EventLog, make: type):
    scores = make().scores(busy, busy.days[0], np.arange(4))
    assert scores.shape == (4, busy.listed(busy.days[0])) and not scores.any()


def test_similarities_are_refitted_every_week(busy: EventLog):
    """The first day fits; until seven days later new purchases make new histories, but no new
    similarities.
    """
    first, fitted = busy.days[5], []

    class Noted(ItemCF):
        def similarities(self, history: torch.Tensor) -> torch.Tensor:
            fitted.append(len(history.any(0).nonzero()))
            return super().similarities(history)

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
    [Popularity, ItemCF, lambda: EASE(ridge=1.0)],
    ids=["popularity", "item-to-item CF", "EASE"],
)
def test_later_events_change_no_score(make):
    frames, other = with_listing(tiny_frames()), with_listing(tiny_frames())
    other["events"].loc[5:, ["user", "item"]] = [("bob", "vase"), ("cid", "lamp"), ("ann", "lamp")]
    morning = pd.Timestamp("2020-01-05")
    logs = [EventLog.from_frame(**f) for f in (frames, other)]
    a, b = (after(log, make(), morning).scores(log, morning, np.arange(3)) for log in logs)
    assert torch.equal(a, b) and a.any()
