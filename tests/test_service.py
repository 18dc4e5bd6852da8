"""The service, in a process of its own: what it answers, what it refuses, and that neither new
versions nor real kills lose or change anything.
"""

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import before, embedded, refusal, tiny_frames, trained
from prometheus_client.parser import text_string_to_metric_families
from shop import JSON, ROOT, Client, Witness, kill, open_shop, pairs, service

from course_lib import service as module
from course_lib import tfrecord
from course_lib.log import DAY, EventLog
from course_lib.nomination import Nominator
from course_lib.state import Settings, State
from course_lib.stream import Follower, Purchases, StreamTrainer

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="real kills need SIGKILL")
SETTINGS = Settings(dim=8, hidden=8, history=5, popularity_half_lives=(2.0,), device="cpu")
START = pd.Timestamp("2020-01-05")  # what is before it is known; two days come as hours


@pytest.fixture(scope="module")
def whole() -> EventLog:
    """Six days, 60 users whose ids are whole numbers, 150 items whose ids are text."""
    draw, n = np.random.default_rng(0), 1_500
    events = {"user": draw.integers(0, 60, n), "item": draw.zipf(1.3, n) % 150}
    events = pd.DataFrame(events).drop_duplicates()
    events["item"] = "i" + events["item"].astype(str)
    first, last = pd.Timestamp("2020-01-01"), START + 2 * DAY - pd.Timedelta(minutes=1)
    events["time"] = pd.date_range(first, last, len(events))
    items, users = (pd.DataFrame({name: events[name].unique()}) for name in ("item", "user"))
    items["colour"] = draw.choice(["red", "blue", None], len(items))
    items["words"] = [["big"] * n for n in draw.integers(0, 2, len(items))]
    users["tags"] = [["new"] * n for n in draw.integers(0, 2, len(users))]
    return EventLog.from_frame(events, items, users.assign(age=40))


@pytest.fixture(scope="module")
def known(whole: EventLog) -> EventLog:
    return before(whole, START)


@pytest.fixture(scope="module")
def state(known: EventLog) -> State:
    return trained(known, SETTINGS, known.days)


@pytest.fixture
def trainer(known: EventLog, state: State, tmp_path: Path) -> StreamTrainer:
    return open_shop(tmp_path, known, state)


@pytest.fixture(scope="module")
def running(known: EventLog, state: State, tmp_path_factory) -> Iterator[tuple[int, Witness]]:
    """A service that several tests share: its port, and who knows what it has to answer."""
    folder = tmp_path_factory.mktemp("shop")
    witness = open_shop(folder, known, state).nominator
    with service(folder) as (_, port):
        yield port, witness


def wrong(witness: Witness, user, k: int, answer: dict) -> str | None:
    key = answer["version"], answer["learned_until"]
    if key not in witness.truths:
        return f"{key} was never served"
    return witness.truths[key].wrong(user, k, answer)


def check_sentence(error: str) -> None:
    assert error[-1] == "." and "\n" not in error and len(error) < 200 and ". " not in error
    assert "Traceback" not in error and ".py" not in error


# -- answers --------------------------------------------------------------------------------------


def test_nominations_are_those_of_a_search_through_all_items(running, known: EventLog):
    port, witness = running
    ask = Client(port)
    for user, k in itertools.product([*known.users.index[:5].tolist(), 10**6, 10**30], [1, 7, 500]):
        status, answer = ask("/nominate", {"user": user, "k": k})
        assert status == 200 and wrong(witness, user, k, answer) is None
    assert len(ask("/nominate", {"user": 1})[1]["items"]) == 10
    assert ask("/health") == (200, {"version": "v1", "trouble": None})
    status, answer = ask("/version")
    assert (status, answer["version"], answer["items"]) == (200, "v1", len(known.items))


def test_a_purchase_is_history_at_once(running, known: EventLog):
    port, witness = running
    ask, user = Client(port), 55  # whom no other test asks for
    first, second = ask("/nominate", {"user": user, "k": 2})[1]["items"]
    bought = {"user": user, "item": first, "request": "once"}
    assert ask("/buy", bought) == (200, {"request": "once", "new": True})
    assert ask("/buy", bought) == (200, {"request": "once", "new": False})
    witness.buy(user, first)
    scores, rows = witness.best(user, 1000)
    answer = ask("/nominate", {"user": user, "k": 1000})[1]
    assert answer["items"] == known.items.index[rows].tolist() and first not in answer["items"]
    np.testing.assert_allclose(answer["scores"], scores, atol=1e-6)
    status, answer = ask("/buy", bought | {"item": second})
    assert status == 409 and answer["error"].startswith("request 'once' was another purchase")
    unnamed = [ask("/buy", {"user": user, "item": second})[1]["request"] for _ in range(2)]
    assert len({*unnamed}) == 2


def test_metrics_count_what_was_answered(running, known: EventLog):
    port, _ = running
    ask = Client(port)

    def metrics() -> dict:
        connection = ask.connection
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        families = text_string_to_metric_families(text)
        return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}

    old = metrics()
    for k in (5, 5, 0):
        ask("/nominate", {"user": 1, "k": k})
    ask("/nowhere/1")
    ask("/nowhere/2")
    new = metrics()
    grown = {key: value - old.get(key, 0) for key, value in new.items()}
    counted = {key[1:]: n for key, n in grown.items() if key[0] == "nominator_requests_total" and n}
    assert counted == {
        ("/nominate", "200"): 2,
        ("/nominate", "400"): 1,
        ("other", "404"): 2,
        ("/metrics", "200"): 1,
    }
    assert grown["nominator_seconds_count", "/nominate"] == 3
    assert grown["nominator_seconds_bucket", "/nominate", "+Inf"] == 3
    assert 0 < new["nominator_version_age_seconds",] < 3600
    assert new["nominator_index_items",] == len(known.items) and new["nominator_version",] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.* is this machine on Linux alone")
def test_no_other_address_is_served(running):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", running[0]), timeout=5)


# -- bad input ------------------------------------------------------------------------------------

ONE = {"user": 1, "item": "i1", "request": "1"}
REFUSED = {  # path, body, status, and what the sentence has
    "k = 0": ("/nominate", {"user": 1, "k": 0}, 400, "k is 0; ask for a whole number from 1 to"),
    "k = -1": ("/nominate", {"user": 1, "k": -1}, 400, "k is -1; ask for"),
    "k = 1e9": ("/nominate", {"user": 1, "k": 10**9}, 400, "k is 1000000000; ask for"),
    "k of 999 digits": ("/nominate", {"user": 1, "k": 10**999}, 400, "k is 10000"),
    "k is text": ("/nominate", {"user": 1, "k": "10"}, 400, "k is '10'; ask for"),
    "k is broken": ("/nominate", {"user": 1, "k": 2.5}, 400, "k is 2.5; ask for"),
    "k is true": ("/nominate", {"user": 1, "k": True}, 400, "k is True; ask for"),
    "user of another type": ("/nominate", {"user": "1"}, 400, "user '1' is of type str"),
    "user is true": ("/nominate", {"user": True}, 400, "user True is of type bool"),
    "user is NaN": ("/nominate", b'{"user": NaN}', 400, "user nan is of type float"),
    "user is a list": ("/nominate", {"user": [1]}, 400, "user [1] is of type list"),
    "user is an object": ("/nominate", {"user": {"\n": "\n"}}, 400, "is of type dict"),
    "user is long": ("/nominate", {"user": "x" * 4000}, 400, "is of type str"),
    "no user": ("/nominate", {"k": 3}, 400, "the body has no user"),
    "user is null": ("/nominate", {"user": None}, 400, "the body has no user"),
    "another name": ("/nominate", {"user": 1, "K": 3}, 400, "object of user, k and nothing else"),
    "a list": ("/nominate", [1, 3], 400, "the body is no JSON object"),
    "nothing": ("/nominate", b"", 400, "the body is no JSON object"),
    "no JSON": ("/nominate", b"user=1&k=3", 400, "the body is no JSON object"),
    "half a JSON": ("/nominate", b'{"user": 1, "k', 400, "the body is no JSON object"),
    "no text": ("/nominate", b"\xff\xfe{}", 400, "the body is no JSON object"),
    "a deep JSON": ("/nominate", b"[" * 4000, 400, "the body is no JSON object"),
    "10 MB": ("/nominate", {"user": 1, "x": "x" * 10**7}, 413, "the body is over 4096 bytes"),
    "10 MB of lists": ("/buy", b"[" * 10**7, 413, "the body is over 4096 bytes"),
    "an unknown item": ("/buy", ONE | {"item": "j1"}, 404, "there is no item 'j1' here"),
    "item of another type": ("/buy", ONE | {"item": 1}, 400, "item 1 is of type int"),
    "no item": ("/buy", {"user": 1}, 400, "the body has no item"),
    "a buyer of another type": ("/buy", ONE | {"user": "1"}, 400, "user '1' is of type str"),
    "a buyer beyond 64 bits": ("/buy", ONE | {"user": 10**30}, 400, "a whole number of 64 bits"),
    "a request that is no text": ("/buy", ONE | {"request": 1}, 400, "request takes text"),
    "half a character": ("/buy", ONE | {"request": "\ud800"}, 400, "request takes text"),
    "another path": ("/", {"user": 1}, 404, "nothing is here"),
    "a path of the disk": ("/../../etc/passwd", {"user": 1}, 404, "nothing is here"),
    "another method": ("/nominate", None, 405, "another method"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gets_a_sentence_and_the_service_goes_on(case: str, running):
    port, witness = running
    path, body, expected, words = REFUSED[case]
    status, answer = Client(port)(path, body)
    assert status == expected and list(answer) == ["error"] and words in answer["error"]
    check_sentence(answer["error"])
    status, answer = Client(port)("/nominate", {"user": 99, "k": 3})
    assert status == 200 and wrong(witness, 99, 3, answer) is None


def test_a_page_of_another_site_is_not_heard(running):
    """What a browser would send for it: no JSON by its type, or another host."""
    ask = Client(running[0])
    status, answer = ask("/buy", ONE, {"Content-Type": "text/plain"})
    assert status == 415 and "say application/json" in answer["error"]
    status, answer = ask("/nominate", {"user": 1}, {"Host": "shop.example", **JSON})
    assert status == 404
    status, answer = ask("/nominate", {"user": 1}, {"Host": f"localhost:{running[0]}", **JSON})
    assert status == 200


def test_slow_clients_are_told_or_cut_off_and_hold_nobody_up(running):
    port, witness = running
    head = b"POST /nominate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = {
        "half a body": head + b'Content-Length: 40\r\n\r\n{"user": 1,',
        "half a head": head,
        "nothing": b"",
    }
    with contextlib.ExitStack() as stack:
        clients = {name: [] for name in slow}
        for name, _ in itertools.product(slow, range(50)):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            clients[name].append(stack.enter_context(contextlib.closing(client)))
            client.sendall(slow[name])
        ask = Client(port)
        for user in range(50):
            status, answer = ask("/nominate", {"user": user, "k": 5})
            assert status == 200 and wrong(witness, user, 5, answer) is None
        for name, sockets in clients.items():
            for client in sockets:
                heard = b"".join(iter(lambda client=client: client.recv(4096), b""))
                if name == "half a body":
                    assert heard.startswith(b"HTTP/1.1 408 ") and b"over 5 s to come" in heard
                else:
                    assert heard == b""


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (lambda folder: None, ["nowhere"], "there is no folder"),
        (lambda folder: None, [], "holds no whole log; write it with log.save."),
        (lambda folder: open_log(folder, cut=True), [], "holds no whole log"),
        (lambda folder: open_log(folder), ["--port", "-1"], "port -1 is not to be had"),
        (lambda folder: open_log(folder), ["--port", "99999"], "port 99999 is not to be had"),
        (lambda folder: open_log(folder), ["--port", "taken"], "is not to be had"),
    ],
    ids=["no folder", "no log", "half a log", "no port", "no such port", "a port that is taken"],
)
def test_a_start_that_can_not_be(make, arguments, words, tmp_path, monkeypatch, capsys):
    make(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = [port if argument == "taken" else argument for argument in arguments]
        folder = tmp_path / arguments.pop(0) if arguments[:1] == ["nowhere"] else tmp_path
        monkeypatch.setattr(sys, "argv", ["service", str(folder), *arguments])
        with pytest.raises(SystemExit):
            module.main()
    error = capsys.readouterr().err.splitlines()[-1]
    assert words in error and error.endswith(".")


def open_log(folder: Path, cut: bool = False) -> None:
    EventLog.from_frame(**tiny_frames()).save(folder / "log")
    if cut:
        path = folder / "log" / "items.parquet"
        path.write_bytes(path.read_bytes()[:-100])


# -- versions -------------------------------------------------------------------------------------


def hammer(
    port: int, users: list, stop: threading.Event, seen: list, seed: int, pause: float
) -> None:
    """Ask until it is time to stop; what fails is noted in `seen`, like what is answered."""
    ask, draw = Client(port), np.random.default_rng(seed)
    while not stop.wait(pause):
        user, k = users[draw.integers(len(users))], int(draw.integers(1, 30))
        try:
            seen.append((user, k, *ask("/nominate", {"user": user, "k": k})))
        except Exception as error:
            seen.append((user, k, 0, repr(error)))


@contextlib.contextmanager
def hammered(port: int, log: EventLog, clients: int, pause: float) -> Iterator[list]:
    """Several clients ask all the while; the list of (user, k, status, answer)."""
    seen, stop, users = [], threading.Event(), [*log.users.index.tolist(), 10**6]
    threads = [
        threading.Thread(target=hammer, args=(port, users, stop, seen, seed, pause))
        for seed in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_versions_change_under_load_and_no_answer_fails_or_is_mixed(
    trainer: StreamTrainer, whole: EventLog, tmp_path: Path
):
    """Two days are learned hour by hour and closed, by another process than the one that answers."""
    hours = tfrecord.write_shards(whole, tmp_path / "hours", "hour", START, START + 2 * DAY)[::4]
    witness = trainer.nominator
    with service(tmp_path) as (_, port), hammered(port, whole, 4, 0.002) as seen:
        for number, path in enumerate([*hours, None]):
            if path is not None:
                path.rename(tmp_path / "shards" / path.name)
            trainer.poll(pd.to_datetime(path.stem) if path else START + 2 * DAY)
            if number % 3 != 1:  # every third is not waited for
                version, learned = witness.key()
                until(lambda version=version, learned=learned: answers(seen, version, learned))
        ask = Client(port)
        assert ask("/health") == (200, {"version": witness.version.name, "trouble": None})
    assert {status for _, _, status, _ in seen} == {200}
    keys = {(answer["version"], answer["learned_until"]) for *_, answer in seen}
    assert len({version for version, _ in keys}) == 3 and len(keys) > 8
    assert not [w for user, k, _, answer in seen if (w := wrong(witness, user, k, answer))]
    mixed = [a | {"version": "v1"} for *_, a in seen if a["version"] != "v1"]  # the check can fail
    assert all(wrong(witness, 10**6, len(a["items"]), a) for a in mixed[:20])


def answers(seen: list, version: str, learned: str) -> bool:
    last = seen[-1][-1] if seen else {}
    return isinstance(last, dict) and (last["version"], last["learned_until"]) == (version, learned)


def test_a_service_that_starts_anew_answers_alike(
    trainer: StreamTrainer, whole: EventLog, tmp_path: Path
):
    """In the middle of a day, and after the trainer, too, has started anew."""
    tfrecord.write_shards(whole, tmp_path / "shards", "hour", START, START + DAY / 2)
    trainer.poll(START + DAY / 2)
    with service(tmp_path) as (_, port):
        ask = Client(port)
        expected = [ask("/nominate", {"user": user, "k": 20})[1] for user in range(30)]
        assert all(wrong(trainer.nominator, u, 20, a) is None for u, a in enumerate(expected))
        past = EventLog.load(tmp_path / "log")
        again = Witness(past, folder=tmp_path)
        StreamTrainer(tmp_path / "shards", tmp_path / "keep", past, None, again)
        key = {"version": "v2", "learned_until": expected[0]["learned_until"]}
        until(lambda: key.items() <= ask("/version")[1].items())
        for user, answer in enumerate(expected):
            found = ask("/nominate", {"user": user, "k": 20})[1]
            assert found == answer | key and wrong(again, user, 20, found) is None


# -- kills ----------------------------------------------------------------------------------------

PUBLISHER = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from course_lib import versions
    from course_lib.log import EventLog
    from course_lib.nomination import Nominator
    from course_lib.state import State

    folder, moment = Path(sys.argv[1]), sys.argv[2]
    savez, rename = np.savez, Path.rename

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def half(file, **arrays):
        file.write(b"half an index"); file.flush()
        die()

    nominator = Nominator(EventLog.load(folder / "log"), folder=folder)
    if moment == "index":
        np.savez = half
    elif moment == "rename":
        Path.rename = lambda *both: (rename(*both), die())
    else:
        versions.Folder.current = property(versions.Folder.current.fget, die)
    nominator.publish(State.load(folder / "keep" / "full.pt"))
"""


def test_a_publisher_is_killed_and_the_last_good_version_answers(
    trainer: StreamTrainer, known: EventLog, tmp_path: Path
):
    """In the middle of writing the index, when the folder has been moved, and at the pointer."""
    witness = trainer.nominator
    with service(tmp_path) as (_, port), hammered(port, known, 1, 0.05) as seen:
        for moment in ("index", "rename", "current"):
            script = [sys.executable, "-c", textwrap.dedent(PUBLISHER), str(tmp_path), moment]
            assert subprocess.run(script, cwd=ROOT).returncode == -signal.SIGKILL
            asked = len(seen)
            until(lambda asked=asked: len(seen) > asked + 5)
            assert seen[-1][-1]["version"] == "v1"
        assert Client(port)("/health")[1]["trouble"] is None
        witness.publish(trainer.state, trainer.state.learned_until)
        until(lambda: seen[-1][-1]["version"] == witness.version.name)
    assert {status for _, _, status, _ in seen} == {200}
    assert not [w for user, k, _, answer in seen if (w := wrong(witness, user, k, answer))]


def bought(folder: Path) -> pd.DataFrame:
    paths = sorted((folder / "shards").glob("*.tfrecord"))
    return pd.concat(tfrecord.read(*paths), ignore_index=True)


def test_a_service_is_killed_among_purchases_and_nothing_is_lost_or_there_twice(
    trainer: StreamTrainer, known: EventLog, tmp_path: Path
):
    """Four clients buy until it dies, and then send again what had no answer and what had one."""
    new = [
        {"user": user, "item": item, "request": f"{user} {item}"}
        for user, item in itertools.product(
            [*known.users.index[:20].tolist(), 777], known.items.index
        )
        if user == 777
        or item not in known.items.index[known.bought(known.row_of_user[user], 10**6)]
    ]
    acknowledged, waiting = set(), new[::6]
    for deaths in (1, 2, 3):
        with service(tmp_path) as (process, port):
            lots = [waiting[place::4] for place in range(4)]
            answered = [[] for _ in lots]

            def buy(lot: list, answered: list, port=port) -> None:
                ask = Client(port)
                with contextlib.suppress(OSError, http.client.HTTPException):  # it is dead
                    for purchase in lot:
                        answered.append((purchase["request"], *ask("/buy", purchase)))

            threads = [
                threading.Thread(target=buy, args=both) for both in zip(lots, answered, strict=True)
            ]
            for thread in threads:
                thread.start()
            if deaths < 3:
                goal = 40 * deaths
                until(lambda answered=answered, goal=goal: sum(map(len, answered)) >= goal)
                kill(process)
            for thread in threads:
                thread.join()
        for request, status, answer in itertools.chain(*answered):
            assert status == 200 and not (answer["new"] and request in acknowledged)
            acknowledged.add(request)
        written = Counter(bought(tmp_path)["request"])
        assert acknowledged <= set(written) and set(written.values()) == {1}
    assert set(written) == {purchase["request"] for purchase in waiting}
    trainer.poll()
    assert pairs(trainer.log.events) == sorted(
        [*pairs(known.events), *((one["user"], one["item"]) for one in waiting)]
    )


HALF = """
import os, time
from course_lib import tfrecord
framed, fsync = tfrecord._framed, os.fsync
torn = []

def half(record):
    torn.extend([1] if b"torn" in record else [])
    return framed(record)[:-9] if torn else framed(record)

def hang(file):
    if torn:
        print("half", flush=True)
        time.sleep(600)
    fsync(file)

tfrecord._framed, os.fsync = half, hang
"""


def test_a_service_is_killed_in_the_middle_of_a_record(
    trainer: StreamTrainer, known: EventLog, tmp_path: Path
):
    one, two = ({"user": 777, "item": item, "request": item} for item in known.items.index[:2])
    two["request"] = "torn"
    with service(tmp_path, HALF) as (process, port):
        assert Client(port)("/buy", one)[0] == 200
        status, answer = Client(port)("/buy", two)
        assert status == 503 and "send it again, with the same request id" in answer["error"]
        check_sentence(answer["error"])
        assert process.stdout.readline() == "half\n"
        kill(process)
    path = max((tmp_path / "shards").glob("*.tfrecord"))
    assert "is cut off" in refusal(lambda: list(tfrecord.read(path)))
    assert "is cut off" in trainer.poll()[path.name]
    with service(tmp_path) as (_, port):
        ask = Client(port)
        left = ask("/nominate", {"user": 777, "k": 1000})[1]["items"]
        assert one["item"] not in left and two["item"] in left
        assert ask("/buy", one) == (200, {"request": one["request"], "new": False})
        assert ask("/buy", two) == (200, {"request": "torn", "new": True})
    assert pairs(bought(tmp_path)) == sorted((777, one["item"]) for one in (one, two))
    assert Path(f"{path}.damaged").stat().st_size > 0
    trainer.poll()
    assert len(trainer.log) == len(known) + 2


# -- what it stands on ----------------------------------------------------------------------------


def test_a_purchase_that_the_disk_does_not_take(known: EventLog, tmp_path: Path, monkeypatch):
    """The shard is as it was, the client hears of it, and the next try counts."""
    nominator = Nominator(known)
    purchases = Purchases(tmp_path, nominator)
    assert purchases.add(777, "i1", "one")
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            purchases.add(777, "i2", "two")
    assert path.read_bytes() == whole and nominator.live == {777: ["i1"]}
    assert purchases.add(777, "i2", "two") and not purchases.add(777, "i2", "two")
    again = Purchases(tmp_path, Nominator(known))
    assert again.taken == {"one": (777, "i1"), "two": (777, "i2")} == purchases.taken
    assert again.nominator.live == {777: ["i1", "i2"]}


def test_a_purchase_has_all_fields_and_a_new_user_none(known: EventLog, tmp_path: Path):
    purchases, old = Purchases(tmp_path, Nominator(known)), int(known.users.index[3])
    purchases.add(old, "i1", "one")
    purchases.add(777, "i2", "two")
    (path,) = tmp_path.iterdir()
    (table,) = tfrecord.read(path)
    for row, (user, item) in enumerate([(old, "i1"), (777, "i2")]):
        event, fields = table.iloc[row], known.items.loc[item]
        assert (event["user"], event["item"], event["item/words"]) == (user, item, fields["words"])
        assert event["item/listed"] == fields["listed"]
        assert event["item/colour"] == (None if pd.isna(fields["colour"]) else fields["colour"])
    assert table["user/tags"].tolist() == [known.users.loc[old, "tags"], []]
    assert table["user/age"].tolist() == [40, None]


@pytest.mark.parametrize("cut", [1, 9, 30])
@pytest.mark.parametrize("kind", ["cut", "zeros"])
def test_half_a_record_is_set_aside(cut: int, kind: str, known: EventLog, tmp_path: Path):
    path = tmp_path / "2020-01-05T09.tfrecord"
    for rows in (slice(0, 2), slice(2, 3)):
        whole = path.read_bytes() if path.exists() else b""
        tfrecord.append(path, tfrecord.event_frame(known, rows))
    all_three = path.read_bytes()
    tfrecord.mend(path)
    assert path.read_bytes() == all_three and len([*tmp_path.iterdir()]) == 1
    half = all_three[:-cut] + b"\0" * cut * (kind == "zeros")
    path.write_bytes(half)
    tfrecord.mend(path)
    assert path.read_bytes() == whole
    assert Path(f"{path}.damaged").read_bytes() == half[len(whole) :]
    assert pairs(pd.concat(tfrecord.read(path))) == pairs(known.events[:2])
    tfrecord.append(path, tfrecord.event_frame(known, slice(2, 3)))
    assert path.read_bytes() == all_three


def test_an_hour_that_the_trainer_took_back(
    trainer: StreamTrainer, whole: EventLog, tmp_path: Path
):
    """The follower says so, and goes on serving; one that begins anew serves what there is."""
    past = EventLog.load(tmp_path / "log")

    def make(log: EventLog) -> Nominator:
        return Nominator(log, folder=tmp_path)

    follower = Follower(tmp_path / "keep", past, make)
    tfrecord.write_shards(whole, tmp_path / "shards", "hour", START, START + DAY / 4)
    trainer.poll(START + DAY / 4)
    follower.poll()
    assert follower.log.events.equals(trainer.log.events)
    expected = follower.nominator.best(1, 20)
    np.testing.assert_array_equal(expected, trainer.nominator.best(1, 20))
    last = max((tmp_path / "keep").glob("events-*"))
    last.unlink()
    assert "has taken back an hour" in refusal(follower.poll)
    np.testing.assert_array_equal(follower.nominator.best(1, 20), expected)
    anew = Follower(tmp_path / "keep", past, make)
    anew.poll()
    assert len(anew.log) < len(trainer.log) and anew.starts == trainer.starts[:-1]


def test_a_version_published_after_the_log_was_read(
    trainer: StreamTrainer, known: EventLog, tmp_path: Path
):
    """The follower does not serve it with a log that ends too early."""
    user = int(known.users.index[0])
    owned = known.items.index[known.bought(0, len(known))]
    item = known.items.index.difference(owned)[0]

    def late(log: EventLog) -> Nominator:
        Purchases(tmp_path / "shards", trainer.nominator).add(user, item, "one")
        trainer.poll()
        trainer.poll(pd.Timestamp.now() + DAY)
        return Nominator(log, folder=tmp_path)

    follower = Follower(tmp_path / "keep", known, late)
    assert trainer.nominator.version.name == "v2" and follower.nominator.version is None
    follower.poll()
    assert follower.nominator.version.name == "v2"
    np.testing.assert_array_equal(follower.nominator.best(user, 9), trainer.nominator.best(user, 9))


@pytest.mark.parametrize("name", ["online_retail", "movie_tweetings", "tiny"])
def test_a_log_is_loaded_as_it_was_saved(name: str, tiny: EventLog, tmp_path: Path):
    log = tiny if name == "tiny" else before(embedded(name), embedded(name).days[9])
    log.save(tmp_path)
    loaded = EventLog.load(tmp_path)
    for table in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(loaded, table), getattr(log, table))
