"""The broker: what is replayed, missing, trimmed, killed or away; nothing lost, nothing twice.

That a trainer does the same with it as with a folder, test_stream.py shows.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers import contents, refusal
from servers import killed, needs_redis, patiently, redis
from test_stream import SHARDS, land, pairs, served, table

from course_lib import tfrecord
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.redis_stream import RedisStream
from course_lib.state import State
from course_lib.stream import StreamTrainer

pytestmark = needs_redis
NAMES = list(SHARDS)
NOW = "2020-01-04 12:00"  # when the first two shards are over


@pytest.fixture
def server(tmp_path: Path):
    (tmp_path / "redis").mkdir()
    with redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def uri(server) -> str:
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def stream(uri: str, tmp_path: Path) -> RedisStream:
    """With the first two shards in it."""
    stream = RedisStream(uri)
    for name in NAMES[:2]:
        send(stream, tmp_path, name)
    return stream


def send(stream: RedisStream, folder: Path, name: str) -> str:
    land(folder, name)
    return stream.send(folder / f"{name}.tfrecord")


def learned(trainer: StreamTrainer, known: EventLog) -> int:
    return len(trainer.log) - len(known)


def test_offsets_are_kept_with_the_state(
    stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    keep = tmp_path / "keep"
    trainer = StreamTrainer(stream, keep, known, knowing)
    assert trainer.poll(NOW) == {
        f"hours/1 {NAMES[0]}": "2 events learned",
        f"hours/2 {NAMES[1]}": "2 events learned",
    }
    assert trainer.poll(NOW) == {} and trainer.offsets == {"hours/1", "hours/2"}
    assert send(stream, tmp_path, NAMES[1]) == "hours/3"
    again = StreamTrainer(RedisStream(uri), keep, known)
    assert again.offsets == trainer.offsets and pairs(again.log) == pairs(trainer.log)
    assert "offset" not in again.log.events
    assert again.poll(NOW) == {f"hours/3 {NAMES[1]}": "nothing new"}
    assert stream._client.xpending("hours", "trainer")["pending"] == 0


def test_a_replayed_offset_counts_nothing(
    stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    """The group is set back by hand, or lost: the state knows better."""
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing)
    trainer.poll(NOW)
    stream._client.xgroup_destroy("hours", "trainer")
    again = StreamTrainer(RedisStream(uri), tmp_path / "keep", known)
    assert again.poll(NOW) == {f"hours/{n} {NAMES[n - 1]}": "learned before" for n in (1, 2)}
    assert learned(again, known) == 4 and again.state.updates == trainer.state.updates


def test_an_answer_that_gets_lost_is_given_again(
    stream: RedisStream, known: EventLog, knowing: State, tmp_path: Path
):
    """The broker believes that it has delivered what never arrived."""
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing)
    trainer.poll(NOW)
    send(stream, tmp_path, NAMES[2])
    stream._client.xreadgroup("trainer", "trainer", {"hours": ">"})
    assert trainer.poll("2020-01-05 12:00") == {f"hours/3 {NAMES[2]}": "1 events learned"}


def test_what_the_state_lacks_is_given_again(
    stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    """Whatever has been acknowledged: a new state in an old group starts at the beginning."""
    StreamTrainer(stream, tmp_path / "one", known, knowing).poll(NOW)
    other = StreamTrainer(RedisStream(uri), tmp_path / "two", known, knowing)
    other.poll(NOW)
    assert learned(other, known) == 4
    stream.trim(0)
    stream._client.xtrim("hours", minid="0-2", approximate=False)
    third = StreamTrainer(RedisStream(uri), tmp_path / "three", known, knowing)
    assert "has lost the shard with offset 1 before" in refusal(third.poll, NOW)
    assert learned(third, known) == 0


@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_lost_file_has_what_follows_read_again(
    acknowledged: bool,
    lost: int,
    stream: RedisStream,
    uri: str,
    known: EventLog,
    knowing: State,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """The first file, one in the middle or the last: a new trainer replays those before it, and
    asks for all after them, files or no files. No hour is skipped, none is doubled.
    """
    path = tmp_path / "2020-01-04T11.tfrecord"
    tfrecord.write(path, table(("cid", "bag", "2020-01-04 11:00")))
    stream.send(path)
    keep, now = tmp_path / "keep", "2020-01-04 23:00"
    whole = StreamTrainer(stream, keep, known, knowing)
    with monkeypatch.context() as patch:
        if not acknowledged:
            patch.setattr(stream, "done", lambda shard: None)
        first = whole.poll(now)
    assert all("learned" in became for became in first.values())
    (keep / f"events-{lost:06}.tfrecord").unlink()
    again = StreamTrainer(RedisStream(uri), keep, known)
    assert again.offsets == {f"hours/{n}" for n in range(1, lost)}
    became = again.poll(now)
    for number, (name, value) in enumerate(first.items(), 1):
        before = None if acknowledged else "learned before"
        assert became.get(name) == (value if number >= lost else before)
    assert pairs(again.log) == pairs(whole.log) and again.offsets == whole.offsets
    assert contents(again.state) == contents(whole.state)
    third = StreamTrainer(RedisStream(uri), keep, known)
    assert third.poll(now) == {} and pairs(third.log) == pairs(whole.log)


@pytest.mark.parametrize("how", ["trim", "all", "hole", "delivered"])
def test_a_skipped_offset_is_refused(
    how: str, stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    """Somebody else has trimmed or deleted what was not learned: nothing after it is learned, by
    this process or the next.
    """
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing)
    trainer.poll(NOW)
    for name in NAMES[2:5]:
        send(stream, tmp_path, name)
    gone = 3
    if how == "trim":
        stream._client.xtrim("hours", minid="0-4", approximate=False)
    elif how == "all":
        stream._client.xtrim("hours", maxlen=0, approximate=False)
    elif how == "hole":
        stream._client.xdel("hours", "0-4")
        gone = 4
    else:
        stream._client.xreadgroup("trainer", "trainer", {"hours": ">"})  # and killed then
        stream._client.xdel("hours", "0-3")
    for one in (trainer, StreamTrainer(RedisStream(uri), tmp_path / "keep", known), trainer):
        message = refusal(one.poll, "2020-01-09")
        assert message.startswith(f"hours has lost the shard with offset {gone} before it was")
        assert learned(one, known) == 4 and one.offsets == {"hours/1", "hours/2"}


def test_a_trim_that_would_lose_data_is_refused(
    stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing)
    assert "trim no more than that, not 1" in refusal(stream.trim, 1)
    send(stream, tmp_path, NAMES[5])  # from the future: waits
    send(stream, tmp_path, NAMES[0])
    send(stream, tmp_path, NAMES[2])
    assert "from the future: waits" in trainer.poll("2020-01-05 12:00").values()
    assert learned(trainer, known) == 5
    assert "after offset 2, which is not learned" in refusal(stream.trim, 3)
    stream._client.xgroup_create("hours", "backup", id="0-1")
    assert "after offset 1, which is not learned" in refusal(stream.trim, 2)
    stream.trim(1)
    assert stream._client.xlen("hours") == 4
    again = StreamTrainer(RedisStream(uri), tmp_path / "keep", known)
    assert list(again.poll("2020-01-09")) == [f"hours/3 {NAMES[5]}"]
    assert learned(again, known) == 7


def test_another_stream_under_the_same_name(
    stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing)
    trainer.poll(NOW)
    stream._client.delete("hours")
    send(stream, tmp_path, NAMES[2])
    for one in (trainer, StreamTrainer(RedisStream(uri), tmp_path / "keep", known)):
        message = "hours ends with offset 1, and 2 is learned"
        assert refusal(one.poll, "2020-01-09").startswith(message)
    other = RedisStream(uri, "hours_2")
    send(other, tmp_path, NAMES[2])
    moved = StreamTrainer(other, tmp_path / "keep", known)
    assert moved.poll("2020-01-05 12:00") == {f"hours_2/1 {NAMES[2]}": "1 events learned"}
    assert moved.offsets == {"hours/1", "hours/2", "hours_2/1"}


def test_entries_that_are_no_shards(
    stream: RedisStream, known: EventLog, knowing: State, tmp_path: Path
):
    """Poison is left alone and acknowledged; an id that is no offset stops everything."""
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing)
    trainer.poll(NOW)
    add = stream._client.xadd
    add("hours", {"hour": NAMES[0], "shard": b"hello, I am no shard"}, id="0-*")
    add("hours", {"hour": b"\xff../..", "shard": b""}, id="0-*")
    add("hours", {"hour": NAMES[0]}, id="0-*")
    became = list(trainer.poll(NOW).values())
    assert became[0].startswith("left alone: hours/3: record 0 at byte 0 has a damaged head")
    assert became[1].startswith("no hour shard") and became[2] == "empty: no events"
    assert stream._client.xpending("hours", "trainer")["pending"] == 0
    add("hours", {"hour": NAMES[0]})
    assert "has no offset; append shards with send alone" in refusal(trainer.poll, NOW)
    stream._client.set("text", "mine")
    message = refusal(StreamTrainer(RedisStream(stream.uri, "text"), tmp_path, known, knowing).poll)
    assert message.startswith(f"Redis at {stream.uri} refuses text: WRONGTYPE")


def test_a_broker_that_goes_away_and_comes_back(
    server, stream: RedisStream, known: EventLog, knowing: State, tmp_path: Path
):
    nominator = Nominator(known)
    trainer = StreamTrainer(stream, tmp_path / "keep", known, knowing, nominator)
    trainer.poll(NOW)
    send(stream, tmp_path, NAMES[2])
    before = served(nominator)
    server.kill()
    for call in (lambda: trainer.poll("2020-01-05 12:00"), lambda: stream.trim(1)):
        with pytest.raises(ConnectionError, match=f"^Redis does not answer at {stream.uri}; is"):
            call()
    assert served(nominator) == before
    server.__enter__()
    became = patiently(lambda: trainer.poll("2020-01-05 12:00"))
    assert became == {f"hours/3 {NAMES[2]}": "1 events learned"}


def test_a_password_comes_from_the_environment(stream: RedisStream, monkeypatch):
    uri = stream.uri
    stream._client.config_set("requirepass", "secret")
    message = refusal(RedisStream(uri).trim, 0)
    assert message == f"Redis at {uri} wants another REDIS_PASSWORD."
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    RedisStream(uri).trim(0)
    message = refusal(RedisStream, uri.replace("//", "//:secret@"))
    assert "REDIS_PASSWORD" in message and "secret" not in message


# -- killed --------------------------------------------------------------------------------------

SCRIPT = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from helpers import KNOWN, SMALL, before, tiny_frames, trained, with_listing
    from test_stream import SHARDS, land, pairs, served
    from course_lib import stream
    from course_lib.log import EventLog
    from course_lib.redis_stream import RedisStream

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    known = before(EventLog.from_frame(**with_listing(tiny_frames())), KNOWN)
    broker = RedisStream({uri!r})
    trainer = stream.StreamTrainer(broker, {keep!r}, known, trained(known, SMALL, known.days))
    if {moment!r} == "read":
        stream._appended = die
    elif {moment!r} == "committed":
        stream.incremental_update = die
    elif {moment!r} == "acknowledged":
        RedisStream.done = die
    trainer.poll({now!r})
"""


@pytest.mark.parametrize("moment", ["read", "committed", "acknowledged"])
def test_a_consumer_killed_between_reading_and_acknowledging(
    moment: str, stream: RedisStream, uri: str, known: EventLog, knowing: State, tmp_path: Path
):
    """Killed before its events and offset are kept, just after that, and before the broker hears of
    it; then the broker forgets all that it may.
    """
    keep = tmp_path / "keep"
    values = {"tests": str(Path(__file__).parent), "uri": uri, "keep": str(keep), "now": NOW}
    script = textwrap.dedent(SCRIPT.format(moment=moment, **values))
    assert killed(subprocess.run([sys.executable, "-c", script], capture_output=True))
    assert stream._client.xpending("hours", "trainer")["pending"] == 2
    plain = StreamTrainer(tmp_path, tmp_path / "plain", known, knowing)  # the same two, in a folder
    plain.poll(NOW)
    again = StreamTrainer(stream, keep, known)
    became = again.poll(NOW)
    first = "2 events learned" if moment == "read" else "learned before"
    assert list(became.values()) == [first, "2 events learned"]
    assert again.log.events.equals(plain.log.events)
    assert again.state.updates == plain.state.updates
    assert again.offsets == {"hours/1", "hours/2"} and again.poll(NOW) == {}
    stream.trim(2)
    assert stream._client.xlen("hours") == 0
    assert StreamTrainer(RedisStream(uri), keep, known).poll(NOW) == {}
