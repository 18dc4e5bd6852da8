"""The stream trainer: every odd order of shards, poison among them, and being killed at any step,
end where the plain order ends.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import (
    FORK,
    KNOWN,
    SMALL,
    before,
    contents,
    needs_fork,
    refusal,
    trained,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from servers import needs_redis, redis

from course_lib import files, stream, tfrecord
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.index import FaissIndex
from course_lib.log import DAY, EventLog
from course_lib.nomination import Nominator
from course_lib.redis_stream import RedisStream
from course_lib.state import Settings, State, new_state
from course_lib.stream import StreamTrainer

SETTINGS = Settings(dim=8, hidden=8, history=5, popularity_half_lives=(2.0,), device="cpu")
START, END = (
    pd.Timestamp("2010-12-03"),
    pd.Timestamp("2010-12-06"),
)  # Friday and Sunday: two days with events


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


class Inbox:
    """Where shards land: a folder, or a stream on the broker at `uri`."""

    def __init__(self, folder: Path, uri: str | None) -> None:
        self.folder, self.uri, self.name = folder, uri, folder.as_posix()
        folder.mkdir(parents=True, exist_ok=True)

    def reader(self) -> Path | RedisStream:
        """A new one, as a process that starts anew has it."""
        return self.folder if self.uri is None else RedisStream(self.uri, self.name)

    def put(self, path: Path, content: bytes | None = None) -> None:
        """A file, or these bytes under its name."""
        content, own = path.read_bytes() if content is None else content, self.folder / path.name
        own.unlink(missing_ok=True)
        own.write_bytes(content)
        if self.uri is not None:
            self.reader().send(own)

    def land(self, name: str) -> None:
        path = self.folder / f"{name}.tfrecord"
        tfrecord.write(path, table(*SHARDS[name]))
        self.put(path)

    @staticmethod
    def poll(trainer: StreamTrainer, now: object) -> dict[str, str]:
        """What became of each file, whatever its name is on the broker."""
        became = trainer.poll(now).items()
        return {
            f"{name.split()[-1].removesuffix('.tfrecord')}.tfrecord": how for name, how in became
        }


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield f"redis://127.0.0.1:{server.port}"


@pytest.fixture(params=["folder", pytest.param("broker", marks=needs_redis)])
def uri(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("broker") if request.param == "broker" else None


@pytest.fixture
def inbox(uri: str | None, tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "shards", uri)


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
    inbox: Inbox,
    tmp_path: Path,
):
    follower = StreamTrainer(inbox.reader(), tmp_path / "keep", past, state)
    poll = partial(inbox.poll, follower)
    order = list(hours)
    if trouble == "shuffled":  # within the day
        order = order[::-1] if len(order) < 3 else [order[1], order[0], *order[2:]]
    if trouble == "late":  # the third shard comes when its day is over
        order = [*order[:2], *order[3:], order[2]]
    for i, path in enumerate(order):
        now = max(map(hour_of, order[: i + 1]))
        if trouble == "damaged" and i == 2:
            inbox.put(path, path.read_bytes()[:-5])
            left = poll(now)[path.name]
            assert left.startswith("left alone: ") and "is cut off" in left
            assert poll(now) == {}
        inbox.put(path)
        if trouble == "empty" and i == 2:
            inbox.put(Path("2010-12-03T07.tfrecord"), b"")
            assert poll(now)["2010-12-03T07.tfrecord"] == "empty: no events"
        if trouble == "no shard" and i == 2:
            inbox.put(Path("notes.tfrecord"), b"hello")
            assert poll(now)["notes.tfrecord"].startswith("no hour shard")
        assert path.name in poll(now) or trouble in ("empty", "no shard")
        if trouble == "twice":
            time.sleep(0.01)
            inbox.put(path)  # a new file with the same events
            assert poll(now) == {path.name: "nothing new"}
        if trouble == "renamed" and i == 2:
            other = f"{hour_of(path):%Y-%m-%d}T23.tfrecord"
            inbox.put(Path(other), path.read_bytes())
            assert poll(now) == {other: "from the future: waits"}
            assert poll(hour_of(Path(other)))[other] == "nothing new"
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
        inbox.reader(), tmp_path / "keep", past
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
    hours: list[Path], past: EventLog, state: State, inbox: Inbox, tmp_path: Path
):
    """And what comes after it does not."""
    for path in (hours[2], hours[1]):
        inbox.put(path)
    follower = StreamTrainer(inbox.reader(), tmp_path / "keep", past, state)
    became = inbox.poll(follower, hour_of(hours[1]))
    assert became[hours[2].name] == "from the future: waits"
    assert became[hours[1].name].endswith("events learned")
    again = StreamTrainer(inbox.reader(), tmp_path / "keep", past)
    for trainer in (follower, again):
        early = hour_of(hours[2]) - pd.Timedelta(minutes=1)
        assert inbox.poll(trainer, early)[hours[2].name] == "from the future: waits"
    assert inbox.poll(again, hour_of(hours[2]))[hours[2].name].endswith("events learned")


def test_events_from_the_future_are_refused(
    hours: list[Path], past: EventLog, state: State, inbox: Inbox, tmp_path: Path
):
    """An earlier hour's name, a later day's events."""
    inbox.put(hours[0], hours[-1].read_bytes())
    follower = StreamTrainer(inbox.reader(), tmp_path / "keep", past, state)
    assert "which is yet to come" in inbox.poll(follower, hour_of(hours[0]))[hours[0].name]
    assert len(follower.log) == len(past)


def test_without_a_state_there_is_no_start(past: EventLog, tmp_path: Path):
    assert refusal(StreamTrainer, tmp_path, tmp_path / "keep", past).startswith(
        f"{tmp_path / 'keep'} holds no state yet"
    )


# -- poison, failures and kills, on the tiny log ------------------------------------------------

NEW = {"item/listed": pd.Timestamp("2020-01-04"), "item/description": "NEW", "item/colour": "red"}
SHARDS = {  # in order of time; two hours are in more than one shard, one shard has a late event
    "2020-01-04T09": [("bob", "mug", "2020-01-04 09:00"), ("eve", "mug", "2020-01-04 09:10")],
    "2020-01-04T10": [("eve", "cup", "2020-01-04 10:00"), ("ann", "cup", "2020-01-04 09:50")],
    "2020-01-05T08": [("ann", "lamp", "2020-01-05 08:00"), ("eve", "mug", "2020-01-04 09:10")],
    "2020-01-05T23": [("cid", "bag", "2020-01-05 23:59"), ("fay", "pot", "2020-01-05 08:30")],
    "2020-01-06T00": [("bob", "vase", "2020-01-06 00:00"), ("fay", "vase", "2020-01-05 23:58")],
    "2020-01-08T12": [("gus", "cup", "2020-01-08 12:00"), ("gus", "mug", "2020-01-08 12:00")],
}


def table(*bought: tuple[str, str, str], **other: object) -> pd.DataFrame:
    events = pd.DataFrame(bought, columns=["user", "item", "time"])
    events["time"] = pd.to_datetime(events["time"]).astype("datetime64[us]")
    events = events.assign(**NEW | {"user/city": "Ely"} | other)
    return (
        events
        if "item/words" in other
        else events.assign(**{"item/words": [["big"]] * len(events)})
    )


def land(folder: Path, name: str) -> None:
    tfrecord.write(folder / f"{name}.tfrecord", table(*SHARDS[name]))


def good(folder: Path) -> None:
    land(folder, "2020-01-04T10")


POISON = {
    "a list for one value": lambda path: tfrecord.write(
        path, table(("zoe", "jar", "2020-01-04 09:30"), **{"item/colour": [["red", "blue"]]})
    ),
    "one value for a list": lambda path: tfrecord.write(
        path, table(("zoe", "jar", "2020-01-04 09:30"), **{"item/words": "big"})
    ),
    "numbers for users": lambda path: tfrecord.write(path, table((7, "mug", "2020-01-04 09:30"))),
    "numbers for items": lambda path: tfrecord.write(path, table(("zoe", 7, "2020-01-04 09:30"))),
    "a lost column": lambda path: tfrecord.write(
        path, table(("zoe", "mug", "2020-01-04 09:30")).drop(columns="user/city")
    ),
    "the year 1": lambda path: tfrecord.write(path, table(("zoe", "mug", "0001-01-01 00:00"))),
    "the year 9999": lambda path: tfrecord.write(path, table(("zoe", "mug", "9999-01-01 00:00"))),
    "a later hour": lambda path: tfrecord.write(path, table(("zoe", "mug", "2020-01-04 10:00"))),
    "half a record": lambda path: (
        tfrecord.write(path, table(("zoe", "mug", "2020-01-04 09:30"))),
        path.write_bytes(path.read_bytes()[:-7]),
    ),
    "no shard": lambda path: path.write_text("hello"),
    "a folder": lambda path: path.mkdir(),
    "a broken link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("poison", POISON)
def test_a_poisoned_shard_is_left_alone(
    poison: str, known: EventLog, knowing: State, tmp_path: Path
):
    """The log is unchanged by it, what comes after goes on, the day can be closed, and it is tried
    again, here and after a restart, once it has changed.
    """
    shards, path = tmp_path / "shards", tmp_path / "shards" / "2020-01-04T09.tfrecord"
    shards.mkdir()
    POISON[poison](path)
    land(shards, "2020-01-04T10")
    trainer = StreamTrainer(shards, tmp_path / "keep", known, knowing, Nominator(known))
    became = trainer.poll("2020-01-04 12:00")
    assert became[path.name].startswith("left alone: ") and len(became[path.name]) > 20
    assert became["2020-01-04T10.tfrecord"] == "2 events learned"
    assert trainer.poll("2020-01-04 12:05") == {}
    assert trainer.poll("2020-01-05 00:00") == {} and trainer.state.full is None
    assert pairs(trainer.log) == [*pairs(known), ("ann", "cup"), ("eve", "cup")]
    keep = shutil.copytree(tmp_path / "keep", tmp_path / "copy")
    again = StreamTrainer(shards, keep, known, None, Nominator(known))
    assert list(again.poll("2020-01-05 00:00")) == [path.name, "2020-01-04T10.tfrecord"]
    path.rmdir() if path.is_dir() else path.unlink()
    land(shards, "2020-01-04T09")
    for mended in (trainer, again):
        assert mended.poll("2020-01-05 01:00") == {path.name: "2 events learned"}
        assert len(mended.log) == len(known) + 4


@pytest.mark.parametrize("error", [PermissionError("no"), FileNotFoundError(), KeyError("x")])
def test_whatever_reading_raises(
    error: Exception, known: EventLog, knowing: State, tmp_path: Path, monkeypatch
):
    """Such as for a shard that vanishes between listing and reading."""
    land(tmp_path, "2020-01-04T09")
    land(tmp_path, "2020-01-04T10")
    read = tfrecord.read

    def fail(path: Path):
        if path.name == "2020-01-04T09.tfrecord":
            raise error
        return read(path)

    monkeypatch.setattr(stream.tfrecord, "read", fail)
    trainer = StreamTrainer(tmp_path, tmp_path / "keep", known, knowing)
    became = trainer.poll("2020-01-04 12:00")
    assert became["2020-01-04T09.tfrecord"].startswith("left alone: ")
    assert became["2020-01-04T10.tfrecord"] == "2 events learned"
    assert trainer.fates == ["damaged", "learned"]
    (tmp_path / "2020-01-04T11.tfrecord").touch()
    (tmp_path / "2020-01-04T14.tfrecord").touch()
    trainer.poll("2020-01-04 12:00")
    assert trainer.fates == ["empty", "from the future"]


def served(nominator: Nominator) -> list:
    return [nominator.best(user, 9)[1].tolist() for user in ("ann", "eve", "nobody")]


@pytest.mark.parametrize("step", ["upsert", "build"])
def test_what_fails_is_tried_again(
    step: str, known: EventLog, knowing: State, inbox: Inbox, tmp_path: Path
):
    """The database is away when an hour's vectors are sent, or a new version's; then it is back."""
    nominator, plain = Nominator(known), Nominator(known)
    expected = StreamTrainer(inbox.folder, tmp_path / "plain", known, knowing, plain)
    trainer = StreamTrainer(inbox.reader(), tmp_path / "keep", known, knowing, nominator)
    inbox.land("2020-01-04T09")
    now = "2020-01-04 12:00"
    if step == "build":
        trainer.poll(now)
        now = "2020-01-05 00:00"
    before = (trainer.log, trainer.state, trainer.day, nominator.version, nominator.log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaissIndex, step, lambda *_: (_ for _ in ()).throw(ConnectionError("gone")))
        for _ in range(2):
            with pytest.raises(ConnectionError):
                trainer.poll(now)
            now_is = (trainer.log, trainer.state, trainer.day, nominator.version, nominator.log)
            assert all(a is b or a == b for a, b in zip(now_is, before, strict=True))
    trainer.poll(now)
    for clock in ("2020-01-04 12:00", now):
        expected.poll(clock)
    assert pairs(trainer.log) == pairs(expected.log) and len(trainer.log) == len(known) + 2
    assert contents(trainer.state) == contents(expected.state)
    assert served(nominator) == served(plain)
    inbox.land("2020-01-04T10")  # and it goes on
    assert list(trainer.poll(now).values()) == ["2 events learned"]


class Killed(BaseException):
    pass


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Raises Killed just before or just after a file is moved to its place, the index is changed,
    or a state is made, whichever is the `step`-th.
    """
    left = [step]

    def watched(function):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            result = function(*arguments, **options)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for target, name in (
            (files.os, "replace"),
            (FaissIndex, "upsert"),
            (FaissIndex, "build"),
            (stream, "incremental_update"),
            (stream, "full_update"),
        ):
            patch.setattr(target, name, watched(getattr(target, name)))
        yield


def run(inbox: Inbox, arrivals: list, known: EventLog, knowing: State, kills: list) -> tuple:
    """The log, the contents of the state, and what is served, once every shard has arrived, one
    after the other; at a number of `kills` the process dies, and a new one begins.
    """
    trainer, now, kills = None, KNOWN, list(kills)
    for name in arrivals:
        path = inbox.folder / f"{name.removesuffix('!')}.tfrecord"
        if name.endswith("!"):
            if not path.exists():
                inbox.put(path, b"poison")
        else:
            inbox.land(name)
            now = max(now, hour_of(path))
        while True:
            try:
                with killed_at(kills.pop(0) if kills else 0):
                    if trainer is None:
                        nominator = Nominator(known)
                        keep = inbox.folder / "keep"
                        trainer = StreamTrainer(inbox.reader(), keep, known, knowing, nominator)
                    trainer.poll(now)
                break
            except Killed:
                trainer = None
    state = trainer.state
    tables = [state.model.item_tables[0], state.model.user_tables[0]]
    learned = [table.weight.tolist() for table in tables], state.updates, str(state.learned_until)
    return trainer.log.events.to_numpy().tolist(), learned, served(nominator)


@given(
    order=st.permutations(list(SHARDS)),
    extra=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(list(SHARDS)), st.booleans())),
    kills=st.lists(st.integers(0, 14), max_size=8),
)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_kills_repetitions_and_poison_change_nothing(order, extra, kills, known, knowing, uri):
    arrivals = list(order)
    for place, name, poison in sorted(extra, reverse=True):
        if poison:
            arrivals.insert(place, f"{name}!")
        elif name in arrivals[:place]:
            arrivals.insert(place, name)
    with tempfile.TemporaryDirectory() as folder:
        plain = run(Inbox(Path(folder, "plain"), None), order, known, knowing, [])
        assert run(Inbox(Path(folder, "odd"), uri), arrivals, known, knowing, kills) == plain
    events = {(user, item) for shard in SHARDS.values() for user, item, _ in shard}
    assert sorted(tuple(row[:2]) for row in plain[0]) == sorted({*pairs(known), *events})


def test_a_shard_that_grows_after_it_was_learned(known: EventLog, knowing: State, tmp_path: Path):
    """Its new events are learned, and a new process reads the log in the same order."""
    path, name = tmp_path / "2020-01-04T09.tfrecord", "2020-01-04T09.tfrecord"
    trainer = StreamTrainer(tmp_path, tmp_path / "keep", known, knowing)
    tfrecord.write(path, table(("bob", "mug", "2020-01-04 09:30")))
    assert trainer.poll("2020-01-04 10:00") == {name: "1 events learned"}
    tfrecord.write(
        path, table(("eve", "mug", "2020-01-04 09:10"), ("bob", "mug", "2020-01-04 09:30"))
    )
    assert trainer.poll("2020-01-04 10:01") == {name: "1 events learned"}
    path.unlink()  # nobody needs it any more
    again = StreamTrainer(tmp_path, tmp_path / "keep", known)
    assert pairs(again.log) == pairs(trainer.log) == [*pairs(known), ("bob", "mug"), ("eve", "mug")]
    assert again.log.events.equals(trainer.log.events)
    assert again.state.updates == trainer.state.updates
    assert again.poll("2020-01-05 00:00") == {}
    assert again.state.full is None and again.state.updates == knowing.updates + 1


# -- starts that are refused --------------------------------------------------------------------


def test_a_start_that_can_not_be(
    known: EventLog, knowing: State, tmp_path: Path, tiny: EventLog, tiny_state: State
):
    for state, words in (
        (new_state(known, SMALL), "has learned nothing"),
        (trained(known, SMALL, known.days[:1]), "the state has learned until"),
        (tiny_state, "the state has learned until"),
    ):
        assert words in refusal(StreamTrainer, tmp_path, tmp_path / "keep", known, state)
    assert not list((tmp_path / "keep").iterdir())
    longer = known.append(table(("bob", "mug", "2020-01-04 09:00")))
    assert "until" in refusal(StreamTrainer, tmp_path, tmp_path / "keep", longer, knowing)
    trainer = StreamTrainer(tmp_path, tmp_path / "keep", known, knowing)
    for clock in (pd.Timestamp("2020-01-05", tz="UTC"), "2020-01-05T00:00Z", "now?", 5, pd.NaT):
        refusal(trainer.poll, clock)


def test_two_trainers_in_one_folder(known: EventLog, knowing: State, tmp_path: Path):
    """The second one says that the first has gone on, and what the first kept stays as it is."""
    keep = tmp_path / "keep"
    for name in SHARDS:
        land(tmp_path, name)
    first, second = (StreamTrainer(tmp_path, keep, known, knowing) for _ in range(2))
    with files.alone(keep / "training.lock", "somebody else is training"):
        assert refusal(first.poll, "2020-01-09").startswith("somebody else is training in")
    first.poll("2020-01-09")
    kept = {path.name: path.read_bytes() for path in keep.iterdir()}
    assert "has gone on" in refusal(second.poll, "2020-01-09")
    assert {path.name: path.read_bytes() for path in keep.iterdir()} == kept
    third = StreamTrainer(tmp_path, keep, known)
    assert set(third.poll("2020-01-09").values()) == {"nothing new"}


def test_the_keep_of_another_log(known: EventLog, knowing: State, tmp_path: Path, tiny: EventLog):
    keep = tmp_path / "keep"
    keep.mkdir()
    for name in ("learned-1.json", "events.tfrecord", "notes.txt", "events-1.tfrecord"):
        (keep / name).write_text("mine")
    trainer = StreamTrainer(tmp_path, keep, known, knowing)
    land(tmp_path, "2020-01-04T09")
    trainer.poll("2020-01-05 00:00")
    files = {path: path.read_bytes() for path in keep.iterdir()}
    later = trainer.log.append(table(("ann", "vase", "2020-01-04 23:00")))
    shorter = EventLog.from_frame(
        known.events[:-1], known.items.reset_index(), known.users.reset_index()
    )
    for log in (later, shorter, tiny):
        refusal(StreamTrainer, tmp_path, keep, log)
    assert {path: path.read_bytes() for path in keep.iterdir()} == files
    assert sum(data == b"mine" for data in files.values()) == 4
    (keep / "events-000001.tfrecord").unlink()
    assert str(keep) in refusal(StreamTrainer, tmp_path, keep, known)


def follow(
    folder: Path, uri: str | None, keep: Path, past: EventLog, state: State, said: Connection
) -> None:
    state = None if (keep / "full.pt").exists() else state
    follower = StreamTrainer(Inbox(folder, uri).reader(), keep, past, state)
    said.send("ready")
    for path in sorted(folder.glob("*.tfrecord")):
        follower.poll(hour_of(path))
        said.send(path.name)
    follower.poll(END)
    said.send("done")


@needs_fork
def test_killed_at_any_moment_it_goes_on_where_it_was(
    hours: list[Path],
    past: EventLog,
    state: State,
    plain: StreamTrainer,
    inbox: Inbox,
    tmp_path: Path,
):
    """Killed (really) again and again, after ever more shards, in whatever it is doing then; the
    last run ends it.
    """
    keep = tmp_path / "keep"
    for path in hours:
        inbox.put(path)
    for kill_after in (0, 9, 17, 10_000):  # words that it has said
        heard, said = FORK.Pipe(duplex=False)
        job = (inbox.folder, inbox.uri, keep, past, state, said)
        process = FORK.Process(target=follow, args=job)
        process.start()
        said.close()  # so that nothing more is heard of a process that is gone
        for _ in range(kill_after + 1):
            if heard.recv() == "done":
                break
        else:
            time.sleep(0.02)
            process.kill()
        process.join()
    assert process.exitcode == 0
    follower = StreamTrainer(inbox.reader(), keep, past)
    assert pairs(follower.log) == pairs(plain.log)
    assert contents(follower.state) == contents(plain.state)
