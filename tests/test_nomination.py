"""Nomination against brute force over the same state's vectors, and every odd thing one may ask."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL, refusal, same, trained

from course_lib.incremental_update import incremental_update
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.state import State, new_state


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
    """Everything of the tiny log is published: ann has mug, bag and lamp; bob bag, mug and vase;
    cid mug and bag.
    """
    nominator = Nominator(tiny)
    nominator.publish(tiny_state)
    return nominator


def brute_force(
    log: EventLog, state: State, user: object, k: int, time: pd.Timestamp
) -> list[tuple[str, float]]:
    """The k best of all items listed by `time` that the user has not bought before, by cosines in
    float64.
    """
    past = log.events[log.events["time"] < time]
    bought = set(past.loc[past["user"] == user, "item"])
    items = [item for item, listed in log.items["listed"].items() if listed <= time]
    code = log.users.index.get_indexer([user])
    query = state.user_vectors(log, code, len(past)).double().numpy()[0]
    vectors = state.item_vectors(log, np.arange(len(items)), time).double().numpy()
    scores = sorted(
        (
            (float(v @ query), item)
            for v, item in zip(vectors, items, strict=True)
            if item not in bought
        ),
        reverse=True,
    )
    return [(item, score) for score, item in scores[:k]]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_against_brute_force(
    retail: EventLog, retail_state: State, nominator: Nominator, morning: pd.Timestamp, k: int
):
    buyers = retail.events["user"].unique()
    for user in (
        *buyers[[0, 1, 50]],
        buyers[-1],
        -123,
    ):  # the last has no history yet, -123 is nobody
        found = nominator.nominate(user, k)
        expected = brute_force(retail, retail_state, user, k, morning)
        assert found["item"].tolist() == [item for item, _ in expected]
        np.testing.assert_allclose(found["score"], [score for _, score in expected], atol=1e-5)
        assert (
            found["description"].tolist() == retail.items.loc[found["item"], "description"].tolist()
        )


def test_never_what_the_user_has_and_exactly_k(
    retail: EventLog, nominator: Nominator, morning: pd.Timestamp
):
    """For those with the longest histories: what they have would come first if it were let in."""
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
    assert [len(small.nominate(user, 1_000)) for user in ("ann", "bob", "cid", "eve")] == [
        1,
        1,
        2,
        4,
    ]


@pytest.mark.parametrize("k", [0, -5, True, np.True_, 2.0, np.float64(2), "2", None])
def test_k_is_a_whole_number_from_1(small: Nominator, k: object):
    for ask in (small.nominate, small.best):
        assert refusal(ask, "ann", k).startswith(f"k is {k!r}")
    assert refusal(small.history, "ann", k).startswith(f"length is {k!r}")


@pytest.mark.parametrize("whole", [int, np.int64, np.uint8, np.int16])
def test_k_of_any_library(small: Nominator, whole: type):
    assert small.nominate("cid", whole(1)).equals(small.nominate("cid", 1))
    assert small.best("cid", whole(2))[1].tolist() == small.best("cid", 2)[1].tolist()
    assert small.history("ann", whole(2)).equals(small.history("ann", 2))


def test_an_unknown_user_is_a_new_user(small: Nominator, tiny: EventLog, tiny_state: State):
    assert len(small.nominate("eve", 4)) == 4
    assert same(small.user_vector("eve"), tiny_state.user_vectors(tiny, np.array([-1]), 8))
    assert small.history("eve").empty


def test_an_id_of_another_type_is_refused(nominator: Nominator, small: Nominator):
    """ "16438" is not the user 16438, and would get a stranger's list."""
    user = nominator.log.users.index[0]
    for ask in (nominator.nominate, nominator.best, nominator.user_vector, nominator.history):
        assert str(user) in refusal(ask, str(user), *([5] if ask == nominator.best else []))
    item = nominator.log.items.index[0]
    assert str(user) in refusal(nominator.buy, str(user), item)
    for user in (17, None, float("nan"), ["ann"]):
        assert repr(user) in refusal(small.nominate, user)
        assert repr(user) in refusal(small.buy, user, "mug")
    assert "7" in refusal(small.buy, "ann", 7)
    assert not small.live and not nominator.live


def test_a_user_without_history_is_nominated_for_by_country(
    nominator: Nominator, retail: EventLog, retail_state: State
):
    """The last to come: unknown to the state, but the log knows where they live."""
    user = retail.users.index[-1]
    features = retail_state.features.user_features(retail, np.array([len(retail.users) - 1]), 0)
    assert (
        features["user"].tolist() == [0]
        and features["country"].item() > 0
        and not features["history"].any()
    )
    assert len(nominator.nominate(user, 10)) == 10 and nominator.history(user).empty


def test_a_user_who_has_everything(frames):
    events = pd.concat(
        [
            frames["events"],
            pd.DataFrame({"user": ["bob"], "item": ["lamp"], "time": [pd.Timestamp("2020-01-07")]}),
        ]
    )
    log = EventLog.from_frame(events, frames["items"], frames["users"])
    nominator = Nominator(log)
    nominator.publish(trained(log, SMALL, log.days))
    assert nominator.nominate("bob", 3).empty
    assert nominator.nominate("bob", 3).columns.tolist() == ["item", "description", "score"]


def test_history(small: Nominator):
    assert small.history("ann")["item"].tolist() == ["lamp", "bag", "mug"]
    assert small.history("ann", 1)["description"].tolist() == ["A RED LAMP"]


def test_what_is_published_ends_at_its_time(tiny: EventLog):
    """Published for the second, 10:00: ann has her mug and her bag, cid nothing yet; lamp and vase
    are listed already.
    """
    nominator = Nominator(tiny)
    state = trained(tiny, SMALL, tiny.days[:1])
    nominator.publish(state, "2020-01-02 10:00")
    assert (
        nominator.history("ann")["item"].tolist() == ["bag", "mug"]
        and nominator.history("cid").empty
    )
    assert set(nominator.nominate("ann", 9)["item"]) == {"lamp", "vase"}
    state = new_state(tiny, SMALL)
    with pytest.warns(UserWarning, match="has learned nothing"):
        nominator.publish(state, "2019-12-18 09:30")  # only the mug is listed
    assert nominator.nominate("eve", 9)["item"].tolist() == ["mug"]


@pytest.mark.filterwarnings("ignore:this state has learned nothing")
def test_nothing_listed_is_no_rows(tiny: EventLog, tmp_path: Path):
    """And the folder can be opened again."""
    Nominator(tiny, folder=tmp_path).publish(new_state(tiny, SMALL), "2019-12-01")
    nominator = Nominator(tiny, folder=tmp_path)
    assert nominator.nominate("ann", 9).empty
    assert nominator.nominate("ann", 9).columns.tolist() == ["item", "description", "score"]
    assert [len(found) for found in nominator.best("ann", 3)] == [0, 0]
    assert nominator.user_vector("ann").shape == (1, SMALL.dim) and nominator.history("ann").empty


def test_a_state_that_knows_the_future_is_not_published(tiny: EventLog, tiny_state: State):
    """The state has learned what Bob bought at midnight, on 6 January."""
    nominator = Nominator(tiny)
    for time in ("2020-01-02", "2020-01-06", tiny.events["time"].iloc[-1]):
        assert "is earlier; publish it for a later time" in refusal(
            nominator.publish, tiny_state, time
        )
    nominator.publish(tiny_state, "2020-01-06 00:00:01")
    first_days = trained(tiny, SMALL, tiny.days[:2])
    nominator.publish(first_days, "2020-01-02 11:01")
    assert "is earlier" in refusal(nominator.publish, first_days, "2020-01-02 11:00")


@pytest.mark.parametrize(
    "time", [pd.Timestamp("2020-01-07", tz="UTC"), "2020-01-07T10:00Z", "yesterday", 7, pd.NaT]
)
def test_a_clock_is_the_shops(small: Nominator, tiny_state: State, time: object):
    version = small.version
    refusal(small.publish, tiny_state, time)
    assert small.version is version


def test_before_publish(tiny: EventLog):
    nominator = Nominator(tiny)
    for ask in (nominator.nominate, nominator.user_vector, nominator.history):
        assert refusal(ask, "ann").startswith("nothing is published yet")
    assert not nominator.refresh()
    assert refusal(nominator.back).startswith("there is no version to go back to")


def test_a_version_is_one_states_users_and_items(
    tiny: EventLog, tiny_state: State, small: Nominator
):
    """After a new publish both sides are new, and scores are cosines of that state alone."""
    old = small.nominate("eve", 4)
    other = trained(tiny, replace(SMALL, seed=1), tiny.days)
    small.publish(other)
    found = small.nominate("eve", 4).set_index("item")["score"]
    vectors = other.item_vectors(tiny, np.arange(4), pd.Timestamp("2020-01-06 00:00:01"))
    expected = other.user_vectors(tiny, np.array([-1]), 8) @ vectors.T
    np.testing.assert_allclose(found[tiny.items.index].to_numpy(), expected[0].numpy(), atol=1e-6)
    assert not np.allclose(found[old["item"]].to_numpy(), old["score"].to_numpy())


def test_if_publishing_fails_the_old_version_stays(small: Nominator, tiny: EventLog):
    broken = trained(tiny, SMALL, tiny.days[:1])
    broken.model.item_tables[0].weight.data.fill_(float("nan"))
    before, version = small.nominate("cid", 2), small.version
    assert refusal(small.publish, broken).startswith("vectors hold NaN")
    assert small.version is version
    pd.testing.assert_frame_equal(small.nominate("cid", 2), before)


# -- purchases since, and incremental states
# --------------------------------------------------------------------------


def test_a_live_purchase_is_history_at_once(
    nominator: Nominator, retail: EventLog, retail_state: State
):
    user = -1  # nobody's number
    before = nominator.nominate(user, 5)
    first = before["item"].iloc[0]
    nominator.buy(user, first)
    try:
        after = nominator.nominate(user, 5)
        assert first not in set(after["item"]) and len(after) == 5
        assert nominator.history(user)["item"].tolist() == [first]
        codes = np.array([retail.items.index.get_loc(first)])
        features = retail_state.features.features_of(retail, np.array([-1]), [codes])
        assert same(nominator.user_vector(user), retail_state.model.user_vectors(features).detach())
        nominator.buy(user, first)  # again: no second time
        assert nominator.history(user)["item"].tolist() == [first]
    finally:
        nominator.live.clear()
    assert refusal(nominator.buy, user, "no such item").startswith(
        "there is no item 'no such item'"
    )


def test_an_incremental_state_sends_what_it_touched(
    retail: EventLog, retail_state: State, morning: pd.Timestamp
):
    """Touched items have the vectors of the hour's state; all others have the morning's; users are
    the hour's.
    """
    nominator = Nominator(retail)
    nominator.publish(retail_state, morning)
    sent = []
    index = nominator.version.index
    upsert = index.upsert
    index.upsert = lambda vectors, ids: (sent.append(ids), upsert(vectors, ids))
    hour = retail.events["time"][retail.rows(morning).start].floor("h")
    new, touched = incremental_update(retail_state, retail, hour)
    nominator.update(new, touched)
    assert len(sent) == 1 and set(sent[0]) == set(
        retail.item_rows[retail.rows(hour, hour + pd.Timedelta(hours=1))]
    )
    everything = np.arange(len(index))
    expected = retail_state.item_vectors(retail, everything, morning)
    listed = touched.items[touched.items < len(index)]
    expected[listed] = new.item_vectors(retail, listed, hour)
    buyer = retail.users.index[touched.users[0]]
    query = new.user_vectors(retail, touched.users[:1], nominator.version.before)
    assert same(nominator.user_vector(buyer), query)
    scores, items = index.search(query, len(index))
    np.testing.assert_allclose(scores[0], (expected @ query[0])[items[0]], atol=1e-5)


def test_an_incremental_state_of_another_full_state_is_refused(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    new, touched = incremental_update(state, tiny, "2020-01-05 08:00")
    nominator = Nominator(tiny)
    assert refusal(nominator.publish, new, "2020-01-05 09:00").startswith(
        "this state comes from an incremental update"
    )
    nominator.publish(trained(tiny, SMALL, tiny.days[:2]), "2020-01-05")
    assert refusal(nominator.update, new, touched).startswith(
        "this state does not build on the full state"
    )
    nominator.publish(state, "2020-01-05")
    nominator.update(new, touched)
    assert refusal(nominator.update, state, touched).startswith(
        "this state does not build on the full state"
    )


def test_an_answer_names_its_version(tiny: EventLog, tiny_state: State):
    """And how far that had learned, after an hour's update too."""
    day = tiny.days[-1]
    nominator, full = Nominator(tiny), trained(tiny, SMALL, tiny.days[:-1])
    nominator.publish(full, day)
    assert nominator.nominate("ann", 2).attrs == {
        "version": "v1",
        "learned_until": full.learned_until,
    }
    hourly, touched = incremental_update(full, tiny, day, day + pd.Timedelta(days=1))
    nominator.update(hourly, touched)
    attrs = nominator.nominate("ann", 2).attrs
    assert attrs == {"version": "v1", "learned_until": hourly.learned_until}
    assert full.learned_until < day < hourly.learned_until
    nominator.publish(tiny_state)
    assert nominator.nominate("ann", 2).attrs["version"] == "v2"
