"""The stream: hour shards are learned as they land, and what they touch is published."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd

from course_lib import tfrecord
from course_lib.files import alone
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, HOUR, EventLog, local_time
from course_lib.nomination import Nominator
from course_lib.state import INSTANT, State
from course_lib.versions import check_known


class StreamTrainer:
    """Follows a folder of hour shards: an incremental update for each, a full update for each day
    that is over.

    - Events are learned in order of arrival: one that comes late is given the time at which the
      trainer had arrived, so that it is history from now on, and is in the next full update. An
      event that was there before is left out, so the same shard twice, or an hour in two shards,
      counts nothing twice. Shards from the future wait.
    - `keep` holds the last full state, `full.pt`, and what has been learned since `log`, in order,
      a file for each shard: `events-000001.tfrecord`, …. The incremental state is made again from
      those. So a process that was killed, at whatever moment, goes on where it was: nothing lost,
      nothing twice. A shard may go once it is learned.

    - `log`: what was before the first shard. `state`: a full state that has learned it, for the
      first start only.
    - `nominator`: gets every full state, every touched ID, and the log as it grows.

    Raises ValueError for a state that has learned another log, and where `keep` belongs to another.
    """

    def __init__(
        self,
        shards: str | Path,
        keep: str | Path,
        log: EventLog,
        state: State | None = None,
        nominator: Nominator | None = None,
    ) -> None:
        self.shards, self.keep, self.nominator = Path(shards), Path(keep), nominator
        self.keep.mkdir(parents=True, exist_ok=True)
        self.seen: dict[str, tuple | None] = {}  # size and times of each shard that was read
        self.log, self.starts = _replayed(log, self.keep)
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
            return self._poll(now)

    def _poll(self, now: pd.Timestamp) -> dict[str, str]:
        became = {}
        for path in sorted(self.shards.glob("*.tfrecord")):
            hour = pd.to_datetime(path.stem, format="%Y-%m-%dT%H", errors="coerce")
            signature = _signature(path)
            if self.seen.get(path.name, ()) == signature:
                continue
            if pd.isna(hour):
                became[path.name] = "no hour shard: its name is not like 2011-06-01T09.tfrecord"
            elif hour > now:
                became[path.name] = "from the future: waits"
                continue
            else:
                self._close(hour.normalize())
                became[path.name] = self._learn(path, hour)
            self.seen[path.name] = signature
        self._close(now.normalize())
        return became

    def _learn(self, path: Path, hour: pd.Timestamp) -> str:
        try:
            if path.is_file() and path.stat().st_size == 0:
                return "empty: no events"
            log = _appended(self.log, path, hour, self.day)
        except Exception as error:  # whatever it holds, what comes after it goes on
            return f"left alone: {error or type(error).__name__}"
        start = len(self.log)
        if len(log) == start:
            return "nothing new"
        events = tfrecord.event_frame(log, slice(start, len(log)))
        kept = _kept(self.keep, len(self.starts) + 1)
        tfrecord.write(kept, events)
        try:
            self.state = self._learned(self.state, log, start, len(log))
        except BaseException:  # the shard is still there, and is tried again
            kept.unlink()
            raise
        self.log = log
        self.starts.append(start)
        return f"{len(log) - start} events learned"

    def _learned(self, state: State, log: EventLog, start: int, end: int) -> State:
        """The state after these event rows, published."""
        times = log.events["time"]
        state, touched = incremental_update(
            state, log, times.iloc[start], times.iloc[end - 1] + INSTANT
        )
        if self.nominator is not None:
            self.nominator.update(state, touched, log)
        return state

    def _served(self, full: State) -> State:
        """Publish a full state, then learn what the log holds of the day that is open."""
        if self.nominator is not None:
            self.nominator.publish(full, full.learned_until, self.log)
        learned, state = self.log.rows(end=full.learned_until).stop, full
        for start, end in pairwise([*(s for s in self.starts if s >= learned), len(self.log)]):
            state = self._learned(state, self.log, start, end)
        return state

    def _close(self, today: pd.Timestamp) -> None:
        """Full updates for the days before today; the incremental state is discarded."""
        days = self.log.days
        for day in days[(days >= self.day) & (days < today)]:
            full = full_update(self.state.full or self.state, self.log, day)
            full.save(self.keep / "full.pt")
            self.state = self._served(full)


def _kept(keep: Path, number: int) -> Path:
    return keep / f"events-{number:06}.tfrecord"


def _replayed(log: EventLog, keep: Path) -> tuple[EventLog, list[int]]:
    """The log with what earlier processes have learned, and the row at which each shard begins."""
    parts, starts = [], []
    while (path := _kept(keep, len(parts) + 1)).exists():
        starts.append(len(log) + sum(map(len, parts)))
        parts.append(pd.concat(tfrecord.read(path), ignore_index=True))
    try:
        return log.append(pd.concat(parts, ignore_index=True)) if parts else log, starts
    except ValueError as error:
        raise ValueError(f"{keep} does not go on from this log, for {error}") from None


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


def _appended(log: EventLog, path: Path, hour: pd.Timestamp, day: pd.Timestamp) -> EventLog:
    """The log with the shard's events at its end, all of one day, which is `day` or later; none is
    given a time before what is there.
    """
    events = pd.concat(tfrecord.read(path), ignore_index=True)
    events = events.sort_values("time", kind="stable", ignore_index=True)
    times, begin = events["time"], log.events["time"].iloc[0]
    if times.iloc[-1] >= hour + HOUR:
        raise ValueError(f"{path} holds an event of {times.iloc[-1]}, which is yet to come.")
    if times.iloc[0] < begin:
        raise ValueError(f"{path} holds an event of {times.iloc[0]}, before the log begins.")
    pairs = zip(events["user"].map(log.user_row), events["item"].map(log.item_row), strict=True)
    if all(item in log.bought(user, len(log)) for user, item in pairs):
        return log  # much sooner than `append` finds it out
    floor = max(log.events["time"].iloc[-1] + INSTANT, day, hour.normalize())
    return log.append(events.assign(time=times.clip(lower=floor)))


def _signature(path: Path) -> tuple | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
