"""A day in production: shards land, are learned and published while clients ask; and faults."""

from __future__ import annotations

import copy
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from course_lib import tfrecord
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, HOUR, EventLog
from course_lib.nomination import Nominator
from course_lib.state import State
from course_lib.stream import StreamTrainer

FAULTS = ("kill the publisher", "lose an hour", "deliver twice", "damage a shard", "clock back")
CLIENTS, K = 3, 100  # threads that ask, and for how many items


class Answer(NamedTuple):
    """What a client got: `items`, best first, from `version`, whose state had `learned_until`.

    `last`: it was asked after the hour's shard had been dealt with.
    """

    user: object
    items: tuple
    version: str
    learned_until: pd.Timestamp
    last: bool


class Day:
    """A day of a log, replayed an hour at a time as production lives it.

    As an hour begins, the shard of the hour before lands, is learned, and what it touched is
    published; meanwhile clients, a thread each, ask for the users who buy in this hour. The last
    step is midnight: a full update, published whole.

    - `log`: all of it. The trainer knows what was sold before `day`, and then the shards that land;
      an item that is first sold today is new to it. `state`: a full one that has learned that much.
    - `folder`: an empty one, for shards, versions, and what the trainer keeps.

    `answers` are those of the last step; `past` is the log of the morning.
    """

    def __init__(self, log: EventLog, state: State, day: pd.Timestamp, folder: str | Path) -> None:
        self.log, self.day = log, day
        self.folder, self.past = Path(folder), sold_before(log, day)
        self.inbox, self.keep = self.folder / "inbox", self.folder / "keep"
        self.inbox.mkdir()
        self.shards = tfrecord.write_shards(log, self.folder / "outbox", "hour", day, day + DAY)
        later = log.events["time"].iloc[log.rows(day).start :].dt.floor("h").unique()
        self.hours = pd.DatetimeIndex(later)[: len(self.shards) + 1]
        self.late: list[Path] = []  # shards that are to be sent again
        self.answers: list[Answer] = []
        self.rows: list[dict] = []
        self.start(state)

    def start(self, state: State | None = None) -> None:
        """A process starts, and goes on where the last one stopped; clients ask the old one until
        it is ready.
        """
        nominator = Nominator(self.past, folder=self.folder)
        self.trainer = StreamTrainer(self.inbox, self.keep, self.past, state, nominator)

    @property
    def nominator(self) -> Nominator:
        return self.trainer.nominator

    @property
    def table(self) -> pd.DataFrame:
        """A row for each step so far: `hour`, `R@100` of what was bought in that hour, `age` (hours
        from the last event that was learned to the hour), `events` learned, `sent` (vectors),
        `answers`, `fault`, `version` (the one that serves at the end), `shards` (what became of
        them, as `StreamTrainer.fates` has it, each word once; or "nothing landed").
        """
        return pd.DataFrame(self.rows)

    @property
    def left(self) -> int:
        """How many steps are to come, the one over midnight included."""
        return len(self.shards) + 1 - len(self.rows)

    def step(self, fault: str | None = None) -> dict[str, str]:
        """An hour passes, or midnight, which has no faults; returns what became of each shard. What
        a fault has held up is sent again with the next hour. Raises ValueError after the day.
        """
        if not self.left:
            raise ValueError("this day is over; begin another.")
        place, learned, midnight = len(self.rows), len(self.trainer.log), self.left == 1
        hour = self.hours[place] if place < len(self.hours) else self.day + DAY
        bought = self.log.events[self.log.rows(hour, hour + HOUR)]
        over, users = threading.Event(), bought["user"].unique().tolist()
        with ThreadPoolExecutor(CLIENTS) as pool:
            shares = [users[turn::CLIENTS] for turn in range(CLIENTS)]
            asking = [pool.submit(self._ask, share, over) for share in shares]
            try:
                new = [self.shards[place - 1]] if place else []
                fault, clock = (None, self.day + DAY) if midnight else (fault, hour)
                became, fates = self._land(new, clock, fault)
            finally:
                over.set()
        self.answers = [answer for client in asking for answer in client.result()]
        log, version = self.trainer.log, self.nominator.version
        row = {
            "hour": "next day" if midnight else f"{hour:%H}",
            f"R@{K}": _found(bought, self.answers),
            "age": (hour - version.state.learned_until) / HOUR,
            "events": len(log) - learned,
            "sent": len(version.index) if midnight else len(np.unique(log.item_rows[learned:])),
            "answers": len(self.answers),
            "fault": fault or "",
            "version": version.name,
            "shards": [*dict.fromkeys(fates)] or ["nothing landed"],
        }
        self.rows.append(row)
        return became

    def lost(self) -> int:
        """How many of the day's events the trainer's log lacks, or has twice."""
        day = self.log.events[self.log.rows(self.day, self.day + DAY)]
        has = self.trainer.log.events.iloc[len(self.past) :]
        pairs, found = (pd.MultiIndex.from_frame(e[["user", "item"]]) for e in (day, has))
        return int((~pairs.isin(found)).sum() + found.duplicated().sum())

    def _land(
        self, new: list[Path], clock: pd.Timestamp, fault: str | None
    ) -> tuple[dict[str, str], list[str]]:
        """What became of each shard, and that in a word each."""
        self._send(self.late)
        self.late = new if fault in ("lose an hour", "damage a shard") else []
        if fault == "kill the publisher":
            kill_publisher(self.past, self.keep / "full.pt", self.folder)
            self.start()
        if fault != "lose an hour":
            self._send(new)
        if fault == "damage a shard":
            for path in new:
                flip_a_bit(self.inbox / path.name)
        if fault == "clock back":
            clock -= 3 * HOUR
        became, fates = self.trainer.poll(clock), self.trainer.fates
        if fault == "deliver twice":
            self._send(new)
            again = self.trainer.poll(clock)
            became |= {name: f"{became[name]}; then {text}" for name, text in again.items()}
            fates += self.trainer.fates
        inbox = f"{self.inbox}{os.sep}"
        return {name: text.replace(inbox, "") for name, text in became.items()}, fates

    def _send(self, shards: list[Path]) -> None:
        for path in shards:
            shutil.copyfile(path, self.inbox / path.name)

    def _ask(self, users: Sequence, over: threading.Event) -> list[Answer]:
        """One client: its users in turn, again and again, and once more when the shard is done."""
        answers, last = [], not users
        while not last:
            last = over.is_set()
            for user in users:
                found = self.nominator.nominate(user, K)
                by = found.attrs["version"], found.attrs["learned_until"]
                answers.append(Answer(user, tuple(found["item"]), *by, last))
                over.wait(0.02)
        return answers


def sold_before(log: EventLog, time: pd.Timestamp) -> EventLog:
    """The log of the events before `time`, and of their users and items alone: what a trainer knows
    that gets nothing but shards.
    """
    events = log.events[: log.rows(end=time).stop]
    known = (table[table.index.isin(events[table.index.name])] for table in (log.items, log.users))
    return EventLog.from_frame(events, *(table.reset_index() for table in known))


def flip_a_bit(path: Path) -> None:
    """Turn over one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def kill_publisher(log: EventLog, state: Path, folder: Path) -> None:
    """Let another process publish a saved state to a folder of versions, and kill it when all files
    are written, just before the version is moved to its place.
    """
    spawn = get_context("spawn")
    reached = spawn.Event()
    process = spawn.Process(target=_publish_until, args=(log, state, folder, reached), daemon=True)
    process.start()
    while not reached.wait(0.1):
        if not process.is_alive():
            raise RuntimeError(f"the publisher ended by itself, with code {process.exitcode}.")
    process.kill()
    process.join()


def _publish_until(log: EventLog, state: Path, folder: Path, reached) -> None:
    def stop(*_) -> None:
        reached.set()
        threading.Event().wait()  # for the end

    Path.rename = stop
    loaded = State.load(state)
    Nominator(log, folder=folder).publish(loaded, loaded.learned_until)


def _found(bought: pd.DataFrame, answers: list[Answer]) -> float:
    """The share of purchases that the buyers' last answers hold."""
    lists = {answer.user: set(answer.items) for answer in answers if answer.last}
    pairs = zip(bought["user"], bought["item"], strict=True)
    return pd.Series([item in lists[user] for user, item in pairs], dtype=float).mean()


def by_the_hour(state: State, log: EventLog, day: pd.Timestamp) -> State:
    """The state after an incremental update for each hour of the day that has events."""
    for hour in log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique():
        state, _ = incremental_update(state, log, hour)
    return state


def with_hours_merged(hourly: State) -> State:
    """A bug: the full state under the hours, with the ID rows that they have learned written into
    its tables.
    """
    start, learned = copy.deepcopy(hourly.full), hourly.model
    for own, table in (
        (learned.item_tables[0], start.model.item_tables[0]),
        (learned.user_tables[0], start.model.user_tables[0]),
    ):
        inside = own.ids < len(table)
        table.weight.data[own.ids[inside]] = own.weight.data[inside]
    return start


def half_baskets(
    log: EventLog, state: State, day: pd.Timestamp, generator: np.random.Generator, k: int = 100
) -> pd.DataFrame:
    """What a visit's second half finds, for user vectors stored in the morning and for those
    computed with the first half in the history.

    A user's purchases of the day are halved at random; neither nominates the first half. A row for
    each user with two or more: `day`, `new` (no history), `events` (of the second half), and how
    many of those are among the first k: `stored`, `computed`.
    """
    rows, listed, found = log.rows(day, day + DAY), log.listed(day), []
    nominator = Nominator(log)
    nominator.publish(state, day)
    index = nominator.version.index
    for user in np.unique(log.user_rows[rows]):
        basket = log.item_rows[rows][log.user_rows[rows] == user]
        basket = generator.permutation(basket[basket < listed])
        if len(basket) < 2:
            continue
        second, first = np.array_split(basket, 2)
        id, old = log.users.index[user], log.bought(user, rows.start)
        vectors = [nominator.user_vector(id)]
        for item in log.items.index[first]:
            nominator.buy(id, item)
        vectors.append(nominator.user_vector(id))
        had = np.concatenate([old, first])
        best = [index.search(v.numpy(), k + len(had))[1][0] for v in vectors]
        hits = [int(np.isin(second, b[~np.isin(b, had)][:k]).sum()) for b in best]
        found.append((day, len(old) == 0, len(second), *hits))
    return pd.DataFrame(found, columns=["day", "new", "events", "stored", "computed"])
