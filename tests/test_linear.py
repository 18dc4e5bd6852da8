"""The linear part, against EASE worked out in float64, and in all that a state goes through."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, refusal, trained
from scipy.sparse import csr_matrix

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.index import VectorIndex
from course_lib.linear import LinearPart, low_rank_ease
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.state import Settings, State, new_state

LINEAR = replace(SMALL, linear_rank=2, linear_weight=3.0, popularity_weight=1.5, linear_ridge=2.0)


def ease(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Steck (2019), equation 8, with the diagonal as it comes."""
    p = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    return -p / p.diagonal()


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    return matrix[~np.eye(len(matrix), dtype=bool)]


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_it_is_ease_of_the_largest_eigenvalues_and_a_diagonal(rank: int):
    history = (np.random.default_rng(rank).random((40, 12)) < 0.3).astype(float)
    a, b = low_rank_ease(csr_matrix(history), rank, ridge=5.0)
    gram = history.T @ history
    values, vectors = np.linalg.eigh(gram)
    low = (vectors[:, -rank:] * values[-rank:]) @ vectors[:, -rank:].T
    approximated = low + np.diag(gram.diagonal() - low.diagonal())
    expected = off_diagonal(ease(approximated, 5.0))
    np.testing.assert_allclose(off_diagonal((a @ b.T).numpy()), expected, atol=1e-5)


def test_a_score_is_the_cosine_and_both_weighted_parts(tiny: EventLog):
    """By hand: three numbers for each pair, added up."""
    state = trained(tiny, LINEAR, tiny.days)
    linear, before = state.features.linear, len(tiny)
    time = state.learned_until
    users, items = np.arange(len(tiny.users)), np.arange(len(tiny.items))
    scores = state.user_vectors(tiny, users, before) @ state.item_vectors(tiny, items, time).T
    plain = {}
    for name, ask in (("users", "user_features"), ("items", "item_features")):
        rows, when = (users, before) if name == "users" else (items, time)
        plain[name] = getattr(state.features, ask)(tiny, rows, when)
        plain[name].pop("linear")
    with torch.no_grad():
        cosine = (
            state.model.user_vectors(plain["users"]) @ state.model.item_vectors(plain["items"]).T
        )
    index = state.features.item_indices(tiny, items)
    popularity = state.features.counts.at(time, index)[:, 0] / linear.top
    last = tiny.events["time"].iloc[-1]
    for user in users:
        rows = tiny.events.index[tiny.user_rows == user]
        ease_score = torch.zeros(len(items))
        for row in rows:
            age = (last - tiny.events["time"].iloc[row]) / pd.Timedelta(days=1)
            own = index[tiny.item_rows[row]]
            if own < len(linear.users):
                known = [i if i < len(linear.items) else 0 for i in index.tolist()]
                ease_score += 0.5 ** (age / 120) * (linear.items[known] @ linear.users[own])
        expected = cosine[user] + 0.1 * (3.0 * ease_score + 1.5 * popularity)
        torch.testing.assert_close(scores[user], expected.float(), atol=1e-5, rtol=1e-4)


def test_it_knows_nothing_of_the_day_that_is_learned(retail: EventLog):
    """What it has fitted is the same, whatever comes after the morning."""
    settings = replace(LINEAR, linear_rank=8, batch_size=256)
    state = trained(retail, settings, retail.days[:6])
    morning = retail.days[6]
    events = retail.events[retail.events["time"] < morning + pd.Timedelta(hours=10)]
    events = events[~events["time"].between(morning, morning + pd.Timedelta(hours=9))]
    short = EventLog.from_frame(events, retail.items.reset_index(), retail.users.reset_index())
    state.features.linear.fitted = None
    parts = []
    for log in (retail, short):
        new = full_update(state, log, morning)
        parts.append((new.features.linear.users[:1000], new.features.linear.top))
    assert parts[0][1] == parts[1][1]
    width = min(len(users) for users, _ in parts)
    torch.testing.assert_close(
        parts[0][0][:width].abs(), parts[1][0][:width].abs(), atol=1e-4, rtol=0
    )


def test_it_is_fitted_again_after_a_week(retail: EventLog):
    settings = replace(LINEAR, linear_rank=4, batch_size=256)
    state, fitted = new_state(retail, settings), []
    for day in retail.days[:10]:
        state = full_update(state, retail, day)
        fitted.append(state.features.linear.fitted)
    gaps = pd.Series(sorted(set(fitted))).diff().dropna()
    assert len(gaps) == 1 and gaps.iloc[0] >= pd.Timedelta(days=7)


def test_saved_and_loaded(tiny: EventLog, tmp_path: Path):
    state = trained(tiny, LINEAR, tiny.days)
    state.save(tmp_path / "state.pt")
    loaded = State.load(tmp_path / "state.pt", device="cpu")
    users = np.arange(len(tiny.users))
    assert torch.equal(
        loaded.user_vectors(tiny, users, len(tiny)), state.user_vectors(tiny, users, len(tiny))
    )
    assert loaded.features.linear.fitted == state.features.linear.fitted


@pytest.fixture(scope="module")
def learned(retail: EventLog) -> State:
    settings = replace(LINEAR, linear_rank=8, negatives=16, mask_bought=True, average=0.5)
    return trained(retail, replace(settings, batch_size=256), retail.days[:4])


ENGINES = [name for name in VectorIndex.engines() if name != "VectorIndex"]


@pytest.mark.parametrize("engine", ENGINES)
def test_published_updated_by_the_hour_and_asked(
    engine: str, retail: EventLog, learned: State, tmp_path: Path
):
    """Every engine ranks by the same inner product as NumPy does, also after an hour and after a
    purchase that nobody has learned yet.
    """
    make = VectorIndex.engines()[engine]
    state, day = learned, retail.days[4]
    hour = retail.events["time"][retail.events["time"] >= day].iloc[0].floor("h")
    make_index = {
        "MilvusIndex": lambda version: make(str(tmp_path / "items.db"), collection=version)
    }
    nominator = Nominator(retail, make_index.get(engine, lambda version: make()))
    nominator.publish(state, day)
    new, touched = incremental_update(state, retail, hour, turn="skip")
    nominator.update(new, touched)
    user = retail.users.index[retail.user_rows[0]]
    bought = nominator.history(user)["item"].tolist()
    fresh = next(item for item in retail.items.index if item not in bought)
    nominator.buy(user, fresh)
    query = nominator.user_vector(user)[0].numpy()
    listed = np.arange(retail.listed(day))
    vectors = state.item_vectors(retail, listed, day).numpy()
    moved = touched.items[touched.items < len(listed)]
    vectors[moved] = new.item_vectors(retail, moved, hour).numpy()
    owned = {*retail.bought(retail.user_rows[0], nominator.version.before), retail.item_row(fresh)}
    order = [row for row in np.argsort(-(vectors @ query), kind="stable") if row not in owned][:10]
    scores, rows = nominator.best(user, 10)
    np.testing.assert_allclose(scores, (vectors @ query)[order], atol=1e-4)
    assert len(query) == LINEAR.dim + 9 and len(set(rows.tolist())) == 10


def test_without_it_nothing_changes(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days)
    assert state.features.linear is None
    assert state.item_vectors(tiny, np.arange(2), state.learned_until).shape == (2, SMALL.dim)


def test_popularity_alone(tiny: EventLog):
    state = trained(tiny, replace(SMALL, popularity_weight=2.0), tiny.days)
    vectors = state.item_vectors(tiny, np.arange(len(tiny.items)), state.learned_until)
    assert vectors.shape[1] == SMALL.dim + 1 and vectors[:, -1].max() > 0


@pytest.mark.parametrize(
    "wrong",
    [{"linear_rank": -1}, {"linear_rank": 2.5}, {"linear_ridge": 0}, {"popularity_weight": -1}],
)
def test_settings_out_of_range(wrong: dict):
    assert next(iter(wrong)) in refusal(Settings, **wrong)


def test_too_little_to_fit():
    """Fewer users or items than dimensions: nothing is fitted, and nobody's vector says anything."""
    part = LinearPart(5, 1.0, 10.0, (1.0, 1.0))
    part.fit(np.array([0, 1]), np.array([1, 2]), np.zeros(2), 3)
    assert part.items.shape == (1, 5) and not part.items.any()
