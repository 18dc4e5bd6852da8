"""The stream: hour shards are learned as they land, and what they touch is published. Purchases
become such shards, and another process can serve what is learned of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import pandas as pd

from course_lib import tfrecord
from course_lib.files import alone
from course_lib.frames import short
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, HOUR, EventLog, local_time
from course_lib.nomination import Nominator
from course_lib.state import INSTANT, State
from course_lib.versions import check_known

NAME = "request"  # a column of purchases: a second try has the name of the first
LATER = "from the future"


class Shard(NamedTuple):
    """An hour's events, as a reader gives them.

    - `hour`: when it begins, NaT if the shard does not say so.
    - `read`: its events, in `tfrecord.read`'s columns; raises ValueError for damage.
    - `offset`: its place in the stream, the same whenever it is given; None if it has none.
    """

    name: str
    hour: pd.Timestamp
    read: Callable[[], pd.DataFrame]
    offset: str | None = None


class Reader(Protocol):
    """Where shards come from: a folder, or a broker such as `RedisStream`."""

    def arrived(self, learned: Collection[str]) -> Iterator[Shard]:
        """Every shard that has come and is not done, in order. `learned`: the offsets that the
        trainer keeps with its state. Raises ValueError if one is gone that is not among them.
        """

    def done(self, shard: Shard) -> None:
        """The shard is learned and kept, or never can be: it need not be given again."""


class ShardFolder:
    """A folder into which hour shards are put; one that changes is given again."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._arrived: dict[str, tuple | None] = {}  # size and times of each shard when it was read
        self._done: dict[str, tuple | None] = {}

    def arrived(self, learned: Collection[str]) -> Iterator[Shard]:
        for path in sorted(self.folder.glob("*.tfrecord")):
            self._arrived[path.name] = _signature(path)
            if self._done.get(path.name, ()) != self._arrived[path.name]:
                yield Shard(path.name, hour_of(path.stem), lambda path=path: events_of(path))

    def done(self, shard: Shard) -> None:
        self._done[shard.name] = self._arrived[shard.name]


class StreamTrainer:
    """Follows a stream of hour shards: an incremental update for each, a full update for each day
    that is over.

    Events are learned in order of arrival: one that comes late is given the time at which the
    trainer had arrived. An event that was there before is left out, so that the same shard twice,
    or an hour in two shards, counts nothing twice. Shards from the future wait.

    - `shards`: a folder, or another reader.
    - `keep`: a folder for the last full state, `full.pt`, and what has been learned since `log`, a
      file for each shard, with its offset: `events-000001.tfrecord`, …. The incremental state is
      made again from those, so that a process that was killed, at whatever moment, goes on where it
      was. A shard may go once it is learned.
    - `log`: what was before the first shard. `state`: a full state that has learned it, for the
      first start only.
    - `nominator`: gets every full state, every touched ID, and the log as it grows.

    Raises ValueError for a state that has learned another log, and where `keep` belongs to another.
    """

    def __init__(
        self,
        shards: str | Path | Reader,
        keep: str | Path,
        log: EventLog,
        state: State | None = None,
        nominator: Nominator | None = None,
    ) -> None:
        self.keep, self.nominator = Path(keep), nominator
        self.shards = ShardFolder(shards) if isinstance(shards, (str, Path)) else shards
        self.keep.mkdir(parents=True, exist_ok=True)
        self.log, self.starts, self.offsets, _ = _replayed(log, self.keep)
        full = self.keep / "full.pt"
        if not full.exists() and state is None:
            raise ValueError(f"{keep} holds no state yet; pass one that has learned the log.")
        state = State.load(full) if full.exists() else state
        _check(state, self.log, self.starts, self.keep)
        if not full.exists():
            state.save(full)
        self.state = self._served(state)

    @property
    def day(self) -> pd.Timestamp:
        """The day that is open: the one after the last that a full update has learned."""
        learned_until = (self.state.full or self.state).learned_until
        return (learned_until - INSTANT).normalize() + DAY

    def poll(self, now: pd.Timestamp | str | None = None) -> dict[str, str]:
        """Learn what has landed since the last time, and close the days that are over; returns what
        became of each shard.

        A shard that can't be learned is left alone, and read again when it has changed. If learning
        or publishing fails, that shard or day changes nothing here, and the next call tries again.
        `fates` then says in a word what became of each: "learned", "there already", "empty",
        "damaged" (or anything else that can't be learned) or "from the future".

        - `now`: the clock; a shard that begins later waits.

        Raises ValueError if another trainer is at work in `keep`, or has gone on there.
        """
        now = pd.Timestamp.now() if now is None else local_time(now)
        with alone(self.keep / "training.lock", "somebody else is training"):
            if _kept(self.keep, len(self.starts) + 1).exists():
                raise ValueError(
                    f"another trainer has gone on in {self.keep}; make this one anew, or give each "
                    "trainer a folder of its own."
                )
            became, self.fates = {}, []
            for shard in self.shards.arrived(self.offsets):
                fate, became[shard.name] = self._take(shard, now)
                self.fates.append(fate)
                if fate != LATER:
                    self.shards.done(shard)
            self._close(now.normalize())
            return became

    def _take(self, shard: Shard, now: pd.Timestamp) -> tuple[str, str]:
        """What becomes of a shard: in a word, and in full."""
        if shard.offset in self.offsets:
            return "there already", "learned before"
        if pd.isna(shard.hour):
            return "damaged", "no hour shard: its name is not like 2011-06-01T09.tfrecord"
        if shard.hour > now:
            return LATER, "from the future: waits"
        self._close(shard.hour.normalize())
        try:
            events = shard.read()
            if events.empty:
                return "empty", "empty: no events"
            log = _appended(self.log, events, shard, self.day)
        except Exception as error:  # whatever it holds, what comes after it goes on
            return "damaged", f"left alone: {error or type(error).__name__}"
        start = len(self.log)
        if len(log) == start:
            return "there already", "nothing new"
        events = tfrecord.event_frame(log, slice(start, len(log)))
        if shard.offset is not None:
            events["offset"] = shard.offset
        kept = _kept(self.keep, len(self.starts) + 1)
        tfrecord.write(kept, events)
        try:
            self.state = _gone_on(self.state, log, [*self.starts, start], self.nominator)
        except BaseException:  # the shard is still there, and is tried again
            kept.unlink()
            raise
        self.log = log
        self.starts.append(start)
        if shard.offset is not None:
            self.offsets.add(shard.offset)
        return "learned", f"{len(log) - start} events learned"

    def _served(self, full: State) -> State:
        """Publish a full state, then learn what the log holds of the day that is open."""
        if self.nominator is not None:
            self.nominator.publish(full, full.learned_until, self.log)
        return _gone_on(full, self.log, self.starts, self.nominator)

    def _close(self, today: pd.Timestamp) -> None:
        """Full updates for the days before today; the incremental state is discarded."""
        days = self.log.days
        for day in days[(days >= self.day) & (days < today)]:
            full = full_update(self.state.full or self.state, self.log, day)
            full.save(self.keep / "full.pt")
            self.state = self._served(full)


class Purchases:
    """Purchases on disk, in hour shards that a `StreamTrainer` learns, each request once.

    - `folder`: the trainer's `shards`, in which one process writes. What it wrote before, until it
      was killed, is the nominator's history again; what was half written is set aside.
    """

    def __init__(self, folder: str | Path, nominator: Nominator) -> None:
        self.folder, self.nominator = Path(folder), nominator
        self.taken: dict[str, tuple] = {}  # user and item, by request
        for path in sorted(self.folder.glob("????-??-??T??.tfrecord")):
            tfrecord.mend(path)
            if NAME in (events := events_of(path)):  # others' shards have none
                for request, *bought in events[[NAME, "user", "item"]].to_numpy().tolist():
                    self.taken[request] = tuple(bought)
                    nominator.buy(*bought)

    def add(self, user: int | str, item: int | str, request: str) -> bool:
        """Write a purchase down, and put it into the user's history; False if that was done before.
        It is on disk once this returns.

        - `request`: the client's name for it, which a second try has, too.

        Raises ValueError if that name is another purchase's, for ids that a shard can't hold, and
        as `Nominator.buy` does; OSError if the disk takes no more.
        """
        if self.taken.get(request, (user, item)) != (user, item):
            raise ValueError(f"request {short(request)} was another purchase; choose a new name.")
        if request in self.taken:
            return False
        log, now = self.nominator.log, pd.Timestamp.now()
        event = {"user": user, "item": item, "time": now, NAME: request}
        for kind, id, table in (("item", item, log.items), ("user", user, log.users)):
            for name, column in table.items():
                missing = [] if isinstance(column.iloc[0], list) else None
                event[f"{kind}/{name}"] = column[id] if id in column.index else missing
        tfrecord.append(self.folder / f"{now:%Y-%m-%dT%H}.tfrecord", pd.DataFrame([event]))
        self.taken[request] = user, item
        self.nominator.buy(user, item)
        return True


class Follower:
    """Serves what a `StreamTrainer` in another process learns.

    Its full states come from the nominator's folder. Of an hour nothing travels but the events that
    the trainer kept: learned again, they give the same vectors, at the cost of what they touch.

    - `keep`, `log`: as the trainer has them. `make`: gives a nominator for a log, with the folder
      to which the trainer's publishes.
    """

    def __init__(
        self, keep: str | Path, log: EventLog, make: Callable[[EventLog], Nominator]
    ) -> None:
        self.keep = Path(keep)
        self.log, self.starts, _, self.last = _replayed(log, self.keep)
        self.nominator = make(self.log)
        version, end = self.nominator.version, self.log.events["time"].iloc[-1]
        if version is not None and (version.state.learned_until or end) > end + INSTANT:
            self.nominator.version = None  # published since the log was read: `poll` takes it over

    def poll(self) -> None:
        """Serve what has been published and learned since the last time.

        Raises ValueError, and goes on serving what it did, if a version can't be loaded, and if the
        trainer has taken back an hour that could not be published there.
        """
        if not self.nominator.refresh(self._read):
            self._read()
        if (version := self.nominator.version) is not None:
            _gone_on(version.state, self.log, self.starts, self.nominator)

    def _read(self) -> EventLog:
        if _signature(_kept(self.keep, len(self.starts))) != self.last:
            raise ValueError(f"the trainer has taken back an hour in {self.keep}; begin anew.")
        self.log, starts, _, last = _replayed(self.log, self.keep, len(self.starts))
        self.starts, self.last = [*self.starts, *starts], last or self.last
        return self.log


def _gone_on(state: State, log: EventLog, starts: list[int], nominator: Nominator | None) -> State:
    """The state after all of the log, which it learns shard by shard; each is published."""
    times, learned = log.events["time"], log.rows(end=state.learned_until).stop
    for start, end in pairwise([*(s for s in starts if s >= learned), len(log)]):
        hour = times.iloc[start], times.iloc[end - 1] + INSTANT
        state, touched = incremental_update(state, log, *hour)
        if nominator is not None:
            nominator.update(state, touched, log)
    return state


def _kept(keep: Path, number: int) -> Path:
    return keep / f"events-{number:06}.tfrecord"


def _replayed(
    log: EventLog, keep: Path, known: int = 0
) -> tuple[EventLog, list[int], set[str], tuple | None]:
    """The log with what is kept in the shards after those that it knows, the row at which each
    begins, the offsets of those that have one, and the last one's signature.
    """
    parts, starts, offsets, last = [], [], set(), None
    while (path := _kept(keep, known + len(parts) + 1)).exists():
        last = _signature(path)
        starts.append(len(log) + sum(map(len, parts)))
        parts.append(events_of(path))
        if "offset" in parts[-1]:
            offsets.add(parts[-1].pop("offset").iloc[0])
    try:
        log = log.append(pd.concat(parts, ignore_index=True)) if parts else log
    except ValueError as error:
        raise ValueError(f"{keep} does not go on from this log, for {error}") from None
    return log, starts, offsets, last


def _check(state: State, log: EventLog, starts: list[int], keep: Path) -> None:
    """Raise ValueError unless the state has learned this log, up to where a shard begins."""
    until = state.learned_until
    if until is None:
        raise ValueError("this state has learned nothing; pass one that has learned the log.")
    row = log.rows(end=until).stop
    if row not in (*starts, len(log)) or log.events["time"].iloc[row - 1] + INSTANT != until:
        raise ValueError(
            f"the state has learned until {until}, and neither this log nor a shard in {keep} ends "
            "there; pass the log that it has learned, and no more."
        )
    check_known(state, log)


def _appended(log: EventLog, events: pd.DataFrame, shard: Shard, day: pd.Timestamp) -> EventLog:
    """The log with the shard's events at its end, all of one day, which is `day` or later; none is
    given a time before what is there.
    """
    events = events.drop(columns=NAME, errors="ignore")
    events = events.sort_values("time", kind="stable", ignore_index=True)
    times, begin = events["time"], log.events["time"].iloc[0]
    if times.iloc[-1] >= shard.hour + HOUR:
        raise ValueError(f"{shard.name} holds an event of {times.iloc[-1]}, which is yet to come.")
    if times.iloc[0] < begin:
        raise ValueError(f"{shard.name} holds an event of {times.iloc[0]}, before the log begins.")
    pairs = zip(events["user"].map(log.user_row), events["item"].map(log.item_row), strict=True)
    if all(item in log.bought(user, len(log)) for user, item in pairs):
        return log  # much sooner than `append` finds it out
    floor = max(log.events["time"].iloc[-1] + INSTANT, day, shard.hour.normalize())
    return log.append(events.assign(time=times.clip(lower=floor)))


def hour_of(text: str) -> pd.Timestamp:
    """The hour that a shard's name gives, such as 2011-06-01T09; NaT for any other text."""
    return pd.to_datetime(text, format="%Y-%m-%dT%H", errors="coerce")


def events_of(path: Path) -> pd.DataFrame:
    """The events of a shard, none for an empty file. Raises as `tfrecord.read`."""
    if path.is_file() and path.stat().st_size == 0:
        return pd.DataFrame()
    return pd.concat(tfrecord.read(path), ignore_index=True)


def _signature(path: Path) -> tuple | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
