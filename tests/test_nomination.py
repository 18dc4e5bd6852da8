"""Nomination against brute force over the same state's vectors, and every odd thing one may ask."""

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL, refusal, same, trained

from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.updates import State, new_state


@pytest.fixture(scope="module")
def morning(retail: EventLog) -> pd.Timestamp:
    return retail.days[3]


@pytest.fixture(scope="module")
def nominator(retail: EventLog, retail_state: State, morning: pd.Timestamp) -> Nominator:
    nominator = Nominator(retail)
    nominator.publish(retail_state, morning)
    return nominator


@pytest.fixture
def small(tiny: EventLog, tiny_state: State) -> Nominator:
    """Everything of the tiny log is published: ann has mug, bag and lamp; bob bag, mug and vase; cid mug and bag."""
    nominator = Nominator(tiny)
    nominator.publish(tiny_state)
    return nominator


def brute_force(log: EventLog, state: State, user: object, k: int, time: pd.Timestamp) -> list[tuple[str, float]]:
    """The k best of all items listed by `time` that the user has not bought before, by cosines in float64."""
    past = log.events[log.events["time"] < time]
    bought = set(past.loc[past["user"] == user, "item"])
    items = [item for item, listed in log.items["listed"].items() if listed <= time]
    code = log.users.index.get_indexer([user])
    query = state.user_vectors(log, code, len(past)).double().numpy()[0]
    vectors = state.item_vectors(log, np.arange(len(items)), time).double().numpy()
    scores = sorted(((float(v @ query), item) for v, item in zip(vectors, items, strict=True) if item not in bought), reverse=True)
    return [(item, score) for score, item in scores[:k]]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_against_brute_force(retail: EventLog, retail_state: State, nominator: Nominator, morning: pd.Timestamp, k: int):
    buyers = retail.events["user"].unique()
    for user in (*buyers[[0, 1, 50]], buyers[-1], -123):  # the last has no history yet, -123 is nobody
        found = nominator.nominate(user, k)
        expected = brute_force(retail, retail_state, user, k, morning)
        assert found["item"].tolist() == [item for item, _ in expected]
        np.testing.assert_allclose(found["score"], [score for _, score in expected], atol=1e-5)
        assert found["description"].tolist() == retail.items.loc[found["item"], "description"].tolist()


def test_never_what_the_user_has_and_exactly_k(retail: EventLog, nominator: Nominator, morning: pd.Timestamp):
    """For the users with the longest histories: what they have would come first if it were let in."""
    past = retail.events[retail.events["time"] < morning]
    longest = past["user"].value_counts().index[:10]
    would_come_first = 0
    for user in longest:
        bought = set(past.loc[past["user"] == user, "item"])
        found = nominator.nominate(user, 20)
        assert len(found) == 20 and found["item"].is_unique and bought.isdisjoint(found["item"])
        assert found["score"].is_monotonic_decreasing
        best = nominator.version.index.search(nominator.user_vector(user), 20)[1][0]
        would_come_first += len(bought & set(retail.items.index[best]))
    assert would_come_first > 20


def test_by_hand(small: Nominator):
    assert small.nominate("ann", 9)["item"].tolist() == ["vase"]
    assert small.nominate("bob", 1)["item"].tolist() == ["lamp"]
    assert set(small.nominate("cid", 2)["item"]) == {"lamp", "vase"}
    assert small.nominate("ann", 1)["description"].tolist() == ["A TALL VASE"]
    assert small.nominate("cid", 1).columns.tolist() == ["item", "description", "score"]


def test_k_beyond_the_catalogue(small: Nominator):
    assert [len(small.nominate(user, 1_000)) for user in ("ann", "bob", "cid", "eve")] == [1, 1, 2, 4]


@pytest.mark.parametrize("k", [0, -5])
def test_k_below_1(small: Nominator, k: int):
    assert refusal(small.nominate, "ann", k).startswith(f"k is {k}")


@pytest.mark.parametrize("user", ["eve", None, 17, float("nan")])
def test_an_unknown_user_is_a_new_user(small: Nominator, tiny: EventLog, tiny_state: State, user: object):
    assert len(small.nominate(user, 4)) == 4
    assert same(small.user_vector(user), tiny_state.user_vectors(tiny, np.array([-1]), 8))
    assert small.history(user).empty


def test_a_user_without_history_is_nominated_for_by_country(nominator: Nominator, retail: EventLog, retail_state: State):
    """The last to come: unknown to the state, but the log knows where they live."""
    user = retail.users.index[-1]
    features = retail_state.features.user_features(retail, np.array([len(retail.users) - 1]), 0)
    assert features["user"].tolist() == [0] and features["country"].item() > 0 and not features["history"].any()
    assert len(nominator.nominate(user, 10)) == 10 and nominator.history(user).empty


def test_a_user_who_has_everything(frames):
    events = pd.concat([frames["events"], pd.DataFrame({"user": ["bob"], "item": ["lamp"], "time": [pd.Timestamp("2020-01-07")]})])
    log = EventLog.from_frame(events, frames["items"], frames["users"])
    nominator = Nominator(log)
    nominator.publish(trained(log, SMALL, log.days))
    assert nominator.nominate("bob", 3).empty
    assert nominator.nominate("bob", 3).columns.tolist() == ["item", "description", "score"]


def test_history(small: Nominator):
    assert small.history("ann")["item"].tolist() == ["lamp", "bag", "mug"]
    assert small.history("ann", 1)["description"].tolist() == ["A RED LAMP"]


def test_what_is_published_ends_at_its_time(tiny: EventLog):
    """Published for the second, 10:00: ann has her mug and her bag, cid nothing yet; lamp and vase are listed already."""
    nominator = Nominator(tiny)
    state = new_state(tiny, SMALL)
    nominator.publish(state, "2020-01-02 10:00")
    assert nominator.history("ann")["item"].tolist() == ["bag", "mug"] and nominator.history("cid").empty
    assert set(nominator.nominate("ann", 9)["item"]) == {"lamp", "vase"}
    nominator.publish(state, "2019-12-18 09:30")  # only the mug is listed
    assert nominator.nominate("eve", 9)["item"].tolist() == ["mug"]
    nominator.publish(state, "2019-12-01")
    assert refusal(nominator.nominate, "eve", 9).startswith("the index is empty")


def test_a_state_that_knows_the_future_is_not_published(tiny: EventLog, tiny_state: State):
    """The state has learned from 6 January."""
    assert refusal(Nominator(tiny).publish, tiny_state, "2020-01-02").startswith("the counts stand at 2020-01-06")


def test_before_publish(tiny: EventLog):
    for ask in (Nominator(tiny).nominate, Nominator(tiny).user_vector, Nominator(tiny).history):
        assert refusal(ask, "ann").startswith("nothing is published yet")


def test_a_version_is_one_states_users_and_items(tiny: EventLog, tiny_state: State, small: Nominator):
    """After a new publish both sides are new, and scores are cosines of that state alone."""
    old = small.nominate("eve", 4)
    other = new_state(tiny, SMALL)
    small.publish(other)
    found = small.nominate("eve", 4).set_index("item")["score"]
    vectors = other.item_vectors(tiny, np.arange(4), pd.Timestamp("2020-01-06 00:00:01"))
    expected = other.user_vectors(tiny, np.array([-1]), 8) @ vectors.T
    np.testing.assert_allclose(found[tiny.items.index].to_numpy(), expected[0].numpy(), atol=1e-6)
    assert not np.allclose(found[old["item"]].to_numpy(), old["score"].to_numpy())


def test_if_publishing_fails_the_old_version_stays(small: Nominator, tiny: EventLog):
    broken = new_state(tiny, SMALL)
    broken.model.item_tables[0].weight.data.fill_(float("nan"))
    before, version = small.nominate("cid", 2), small.version
    assert refusal(small.publish, broken).startswith("vectors hold NaN")
    assert small.version is version
    pd.testing.assert_frame_equal(small.nominate("cid", 2), before)
