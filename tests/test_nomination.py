"""Nomination against brute force over the same state's vectors, and every odd thing one may ask."""

import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import filelock
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
    assert [len(small.nominate(user, 1_000)) for user in ("ann", "bob", "cid", "eve")] == [
        1,
        1,
        2,
        4,
    ]


@pytest.mark.parametrize("k", [0, -5])
def test_k_below_1(small: Nominator, k: int):
    assert refusal(small.nominate, "ann", k).startswith(f"k is {k}")


@pytest.mark.parametrize("user", ["eve", None, 17, float("nan")])
def test_an_unknown_user_is_a_new_user(
    small: Nominator, tiny: EventLog, tiny_state: State, user: object
):
    assert len(small.nominate(user, 4)) == 4
    assert same(small.user_vector(user), tiny_state.user_vectors(tiny, np.array([-1]), 8))
    assert small.history(user).empty


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
    state = new_state(tiny, SMALL)
    nominator.publish(state, "2020-01-02 10:00")
    assert (
        nominator.history("ann")["item"].tolist() == ["bag", "mug"]
        and nominator.history("cid").empty
    )
    assert set(nominator.nominate("ann", 9)["item"]) == {"lamp", "vase"}
    nominator.publish(state, "2019-12-18 09:30")  # only the mug is listed
    assert nominator.nominate("eve", 9)["item"].tolist() == ["mug"]
    nominator.publish(state, "2019-12-01")
    assert refusal(nominator.nominate, "eve", 9).startswith("the index is empty")


def test_a_state_that_knows_the_future_is_not_published(tiny: EventLog, tiny_state: State):
    """The state has learned from 6 January."""
    assert refusal(Nominator(tiny).publish, tiny_state, "2020-01-02").startswith(
        "the counts stand at 2020-01-06"
    )


def test_before_publish(tiny: EventLog):
    for ask in (Nominator(tiny).nominate, Nominator(tiny).user_vector, Nominator(tiny).history):
        assert refusal(ask, "ann").startswith("nothing is published yet")


def test_a_version_is_one_states_users_and_items(
    tiny: EventLog, tiny_state: State, small: Nominator
):
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


# -- purchases since, and incremental states
# --------------------------------------------------------------------------


def test_a_live_purchase_is_history_at_once(
    nominator: Nominator, retail: EventLog, retail_state: State
):
    user = "somebody new"
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


# -- versions in a folder
# ---------------------------------------------------------------------------------------------


def test_a_new_process_goes_on_with_the_last_version(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    one = Nominator(tiny, folder=tmp_path)
    assert one.version is None and not one.refresh()
    one.publish(tiny_state)
    two = Nominator(tiny, folder=tmp_path)
    assert two.version.name == one.version.name == "v1" and two.version.index.version == "v1"
    pd.testing.assert_frame_equal(two.nominate("cid", 2), one.nominate("cid", 2))
    other = new_state(tiny, SMALL)
    one.publish(other)
    assert (
        two.version.name == "v1"
        and two.refresh()
        and two.version.name == "v2"
        and not two.refresh()
    )
    pd.testing.assert_frame_equal(two.nominate("cid", 2), one.nominate("cid", 2))
    one.publish(tiny_state)
    assert sorted(path.name for path in tmp_path.glob("v*")) == [
        "v2",
        "v3",
    ]  # this one and the one before


def test_two_publishers_at_once(tiny: EventLog, tiny_state: State, tmp_path: Path):
    one, two = (Nominator(tiny, folder=tmp_path) for _ in range(2))
    one.publish(tiny_state)
    with filelock.FileLock(tmp_path / "publishing.lock"):
        assert refusal(two.publish, tiny_state).startswith(
            f"somebody else is publishing to {tmp_path}"
        )
    assert (tmp_path / "current").read_text() == "v1" and len(one.nominate("eve", 4)) == 4
    two.publish(tiny_state)
    assert two.version.name == "v2"


def test_a_failed_publish_leaves_the_folder_as_it_was(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(tiny_state)
    broken = new_state(tiny, SMALL)
    broken.model.item_tables[0].weight.data.fill_(float("nan"))
    assert refusal(nominator.publish, broken).startswith("vectors hold NaN")
    assert Nominator(tiny, folder=tmp_path).version.name == "v1" == nominator.version.name
    nominator.publish(tiny_state)
    assert Nominator(tiny, folder=tmp_path).version.name == "v2"


@pytest.mark.parametrize("file", ["index", "state.pt", "version.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_version_is_left_for_the_one_before(
    tiny: EventLog, tiny_state: State, tmp_path: Path, file: str, damage: str
):
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(tiny_state)
    expected = nominator.nominate("cid", 2)
    nominator.publish(new_state(tiny, SMALL))
    path = tmp_path / "v2" / file
    path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ) if damage == "cut" else path.unlink()
    with pytest.warns(UserWarning, match="v1, the version before, is served"):
        served = Nominator(tiny, folder=tmp_path)
    pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
    (tmp_path / "v1" / file).unlink()
    assert "is no whole version" in refusal(Nominator, tiny, folder=tmp_path)


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    from helpers import SMALL, tiny_frames, trained
    from course_lib import nomination
    from course_lib.log import EventLog
    log = EventLog.from_frame(**tiny_frames())
    state = trained(log, SMALL, log.days)
    nominator = nomination.Nominator(log, folder={folder!r})
    print("ready", flush=True)
    while True:
        nominator.publish(state)
        print(nominator.version.name, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs a system that can stop a process")
def test_killed_while_publishing_the_last_good_version_answers(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    """A process that publishes again and again is killed (really) at different moments; the next
    one reads and goes on.
    """
    Nominator(tiny, folder=tmp_path).publish(tiny_state)
    expected = Nominator(tiny, folder=tmp_path).nominate("cid", 2)
    script = textwrap.dedent(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.stdout.readline()
    for wait in (0.0, 0.003, 0.007, 0.011):
        time.sleep(wait)
        process.send_signal(
            signal.SIGSTOP
        )  # frozen in the middle of whatever it does: others must not see half of it
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            served = Nominator(tiny, folder=tmp_path)
        pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    served = Nominator(tiny, folder=tmp_path)
    pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
    name = served.version.name
    served.publish(tiny_state)  # the lock died with the process
    assert int(served.version.name[1:]) == int(name[1:]) + 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system that can kill a process")
@pytest.mark.parametrize("moment", ["state.pt", "index", "version.json", "rename", "current"])
def test_killed_at_every_step_of_publishing(
    tiny: EventLog, tiny_state: State, tmp_path: Path, moment: str
):
    """Killed just before each file is written, the directory is moved, or the pointer is turned."""
    Nominator(tiny, folder=tmp_path).publish(tiny_state)
    expected = Nominator(tiny, folder=tmp_path).nominate("cid", 2)
    script = f"""
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from helpers import SMALL, tiny_frames
    from course_lib import nomination, state
    from course_lib.index import FaissIndex
    from course_lib.log import EventLog

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    log = EventLog.from_frame(**tiny_frames())
    nominator = nomination.Nominator(log, folder={str(tmp_path)!r})
    if {moment!r} == "state.pt":
        state.State.save = die
    elif {moment!r} == "index":
        FaissIndex.save = die
    elif {moment!r} == "version.json":
        Path.write_text = die
    elif {moment!r} == "rename":
        Path.rename = die
    else:
        nomination.atomic_write = die
    nominator.publish(state.new_state(log, SMALL))
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True)
    assert process.returncode == -signal.SIGKILL
    served = Nominator(tiny, folder=tmp_path)
    assert served.version.name == "v1"
    pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
    served.publish(new_state(tiny, SMALL))
    assert Nominator(tiny, folder=tmp_path).version.name == "v2"
