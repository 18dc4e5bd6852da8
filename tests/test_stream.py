"""The follower: every odd order of shards, and being killed, end where the plain order ends."""

import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import contents, refusal, trained

from course_lib import tfrecord
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.index import FaissIndex
from course_lib.log import DAY, EventLog
from course_lib.nomination import Nominator
from course_lib.state import Settings, State
from course_lib.stream import StreamTrainer

SETTINGS = Settings(dim=8, hidden=8, history=5, popularity_half_lives=(2.0,), device="cpu")
START, END = (
    pd.Timestamp("2010-12-03"),
    pd.Timestamp("2010-12-06"),
)  # Friday and Sunday: two days with events


def before(log: EventLog, time: pd.Timestamp) -> EventLog:
    """What the log held before that time: nothing in it knows the rest."""
    events = log.events[log.events["time"] < time]
    items = log.items[
        log.items.index.isin(events["item"]) | (log.items["listed"] < time)
    ].reset_index()
    return EventLog.from_frame(
        events, items, log.users[log.users.index.isin(events["user"])].reset_index()
    )


@pytest.fixture(scope="module")
def past(retail: EventLog) -> EventLog:
    return before(retail, START)


@pytest.fixture(scope="module")
def state(past: EventLog) -> State:
    return trained(past, SETTINGS, past.days)


@pytest.fixture(scope="module")
def hours(retail: EventLog, tmp_path_factory) -> list[Path]:
    return tfrecord.write_shards(retail, tmp_path_factory.mktemp("hours"), "hour", START, END)


@pytest.fixture(scope="module")
def plain(hours: list[Path], past: EventLog, state: State, tmp_path_factory) -> StreamTrainer:
    """A follower that met every shard in its time, and then the morning after."""
    folder = tmp_path_factory.mktemp("plain")
    follower = StreamTrainer(folder, folder / "keep", past, state, Nominator(past))
    for path in hours:
        shutil.copy(path, folder)
        became = follower.poll(hour_of(path))
        assert list(became) == [path.name] and became[path.name].endswith("events learned")
    follower.poll(END)
    return follower


def hour_of(path: Path) -> pd.Timestamp:
    return pd.to_datetime(path.stem, format="%Y-%m-%dT%H")


def pairs(log: EventLog) -> list[tuple]:
    return list(log.events[["user", "item"]].itertuples(index=False, name=None))


def test_all_events_in_their_order(plain: StreamTrainer, retail: EventLog):
    expected = retail.events[: retail.rows(None, END).stop]
    assert pairs(plain.log) == list(expected[["user", "item"]].itertuples(index=False, name=None))
    late = plain.log.events["time"].to_numpy() - expected["time"].to_numpy()
    assert late.min() >= np.timedelta64(0) and late.max() < np.timedelta64(
        1, "s"
    )  # two shards may meet at one minute


def test_it_ends_where_full_updates_of_the_same_log_end(plain: StreamTrainer, state: State):
    expected = state
    for day in plain.log.days[plain.log.days >= START]:
        expected = full_update(expected, plain.log, day)
    assert plain.state.full is None and contents(plain.state) == contents(expected)
    assert plain.day == END


def test_within_a_day_it_is_hour_after_hour(
    hours: list[Path], past: EventLog, state: State, tmp_path: Path
):
    first = [path for path in hours if hour_of(path) < START + DAY]
    for path in first:
        shutil.copy(path, tmp_path)
    nominator = Nominator(past)
    follower = StreamTrainer(tmp_path, tmp_path / "keep", past, state, nominator)
    follower.poll(hour_of(first[-1]))
    expected, start = state, len(past)
    for path in first:
        rows = sum(len(chunk) for chunk in tfrecord.read(path))
        times = follower.log.events["time"].iloc[start : start + rows]
        expected, _ = incremental_update(
            expected, follower.log, times.iloc[0], times.iloc[-1] + pd.Timedelta(microseconds=1)
        )
        start += rows
    for mine, other in zip(
        (follower.state.model.item_tables[0], follower.state.model.user_tables[0]),
        (expected.model.item_tables[0], expected.model.user_tables[0]),
        strict=True,
    ):
        assert (
            mine.ids.tolist() == other.ids.tolist()
            and mine.weight.tolist() == other.weight.tolist()
        )
    everything = np.arange(len(follower.log.items))
    index = FaissIndex("flat")
    vectors = expected.item_vectors(follower.log, everything, expected.features.counts.time)
    bought = np.unique(follower.log.item_rows[len(past) :])
    index.build(vectors[bought], bought)
    user = follower.log.users.index[-1]  # who came that day, and was nobody in the morning
    scores, items = index.search(nominator.user_vector(user), 5)
    served = dict(zip(*nominator.best(user, 10_000)[::-1], strict=True))
    owned = set(nominator.history(user, 10_000)["item"])
    for score, item in zip(scores[0], items[0], strict=True):
        if follower.log.items.index[item] not in owned:
            assert served[item] == pytest.approx(
                score, abs=0.05
            )  # older counts in vectors of earlier hours


@pytest.mark.parametrize(
    "trouble", ["shuffled", "twice", "renamed", "late", "damaged", "empty", "no shard"]
)
def test_trouble_ends_with_every_event_once(
    trouble: str,
    hours: list[Path],
    past: EventLog,
    state: State,
    plain: StreamTrainer,
    tmp_path: Path,
):
    follower = StreamTrainer(tmp_path, tmp_path / "keep", past, state)
    order = list(hours)
    if trouble == "shuffled":  # within the day
        order = order[::-1] if len(order) < 3 else [order[1], order[0], *order[2:]]
    if trouble == "late":  # the third shard comes when its day is over
        order = [*order[:2], *order[3:], order[2]]
    for i, path in enumerate(order):
        shutil.copy(path, tmp_path)
        now = max(map(hour_of, order[: i + 1]))
        if trouble == "damaged" and i == 2:
            whole = (tmp_path / path.name).read_bytes()
            (tmp_path / path.name).write_bytes(whole[:-5])
            assert follower.poll(now)[path.name].startswith(
                f"left alone: {tmp_path / path.name}: record"
            )
            assert follower.poll(now) == {}
            (tmp_path / path.name).write_bytes(whole)
        if trouble == "empty" and i == 2:
            (tmp_path / "2010-12-03T07.tfrecord").touch()
            assert follower.poll(now)["2010-12-03T07.tfrecord"] == "empty: no events"
        if trouble == "no shard" and i == 2:
            (tmp_path / "notes.tfrecord").write_text("hello")
            assert follower.poll(now)["notes.tfrecord"].startswith("no hour shard")
        assert path.name in follower.poll(now) or trouble in ("empty", "no shard")
        if trouble == "twice":
            time.sleep(0.01)
            shutil.copyfile(path, tmp_path / path.name)  # a new file with the same events
            assert follower.poll(now)[path.name] == "nothing new"
        if trouble == "renamed" and i == 2:
            other = f"{hour_of(path):%Y-%m-%d}T23.tfrecord"
            shutil.copyfile(path, tmp_path / other)
            assert follower.poll(now) == {other: "from the future: waits"}
            assert follower.poll(hour_of(Path(other)))[other] == "nothing new"
    follower.poll(END)
    assert sorted(pairs(follower.log)) == sorted(pairs(plain.log))
    assert follower.log.events["time"].is_monotonic_increasing
    counted = follower.state.features.counts.total(END)
    assert counted[0] == pytest.approx(
        float(plain.state.features.counts.total(END)[0]), rel=0.2 if trouble == "late" else 1e-9
    )
    if trouble not in ("shuffled", "late"):
        assert contents(follower.state) == contents(plain.state)
    again = StreamTrainer(
        tmp_path, tmp_path / "keep", past
    )  # a process that starts anew reads the same log
    assert pairs(again.log) == pairs(follower.log) and contents(again.state) == contents(
        follower.state
    )
    assert set(again.poll(END).values()) <= {
        "nothing new",
        "empty: no events",
        "no hour shard: its name is not like 2011-06-01T09.tfrecord",
    }
    assert len(again.log) == len(follower.log)


def test_a_shard_from_the_future_waits(
    hours: list[Path], past: EventLog, state: State, tmp_path: Path
):
    shutil.copy(hours[1], tmp_path)
    follower = StreamTrainer(tmp_path, tmp_path / "keep", past, state)
    assert follower.poll(hour_of(hours[1]) - pd.Timedelta(minutes=1)) == {
        hours[1].name: "from the future: waits"
    }
    assert len(follower.log) == len(past)
    assert follower.poll(hour_of(hours[1]))[hours[1].name].endswith("events learned")


def test_events_from_the_future_are_refused(
    hours: list[Path], past: EventLog, state: State, tmp_path: Path
):
    """An earlier hour's name, a later day's events."""
    shutil.copy(hours[-1], tmp_path / hours[0].name)
    follower = StreamTrainer(tmp_path, tmp_path / "keep", past, state)
    assert "which is yet to come" in follower.poll(hour_of(hours[0]))[hours[0].name]
    assert len(follower.log) == len(past)


def test_without_a_state_there_is_no_start(past: EventLog, tmp_path: Path):
    assert refusal(StreamTrainer, tmp_path, tmp_path / "keep", past).startswith(
        f"{tmp_path / 'keep'} holds no state yet"
    )


SCRIPT = """
    import sys
    from pathlib import Path
    import pandas as pd
    sys.path.insert(0, {tests!r})
    from test_stream import END, START, before, hour_of, SETTINGS
    from helpers import trained
    from course_lib.online_retail import load_online_retail
    from course_lib.stream import StreamTrainer
    past = before(load_online_retail(), START)
    keep = Path({keep!r})
    state = None if (keep / "full.pt").exists() else trained(past, SETTINGS, past.days)
    follower = StreamTrainer({shards!r}, keep, past, state)
    print("ready", flush=True)
    for path in sorted(Path({shards!r}).glob("*.tfrecord")):
        follower.poll(hour_of(path))
        print(path.name, flush=True)
    follower.poll(END)
    print("done", flush=True)
"""


def test_killed_at_any_moment_it_goes_on_where_it_was(
    hours: list[Path], past: EventLog, plain: StreamTrainer, tmp_path: Path
):
    """Killed (really) again and again, after ever more shards, in whatever it is doing then; the
    last run ends it.
    """
    shards, keep = tmp_path / "shards", tmp_path / "keep"
    shards.mkdir()
    for path in hours:
        shutil.copy(path, shards)
    script = textwrap.dedent(
        SCRIPT.format(tests=str(Path(__file__).parent), keep=str(keep), shards=str(shards))
    )
    for kill_after in (0, 9, 17, 10_000):  # lines that it has printed
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        for lines, line in enumerate(process.stdout, 1):
            if lines > kill_after:
                time.sleep(0.02)
                process.kill()
                break
            if line == "done\n":
                break
        process.wait()
    assert process.returncode == 0
    follower = StreamTrainer(shards, keep, past)
    assert pairs(follower.log) == pairs(plain.log)
    assert contents(follower.state) == contents(plain.state)
