"""The stream: hour shards are learned as they land in a folder, and what they touch is published."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from course_lib import tfrecord
from course_lib.files import atomic_write
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, HOUR, EventLog
from course_lib.nomination import Nominator
from course_lib.state import State

INSTANT = pd.Timedelta(microseconds=1)


class StreamTrainer:
    """Follows a folder of hour shards: an incremental update for each, a full update for each day
    that is over.

    - Events are learned in order of arrival: one that comes late is given the time at which the
      follower had arrived, so that it is history from now on, and is in the next full update. An
      event that was there before is left out, so the same shard twice, or an hour in two shards,
      counts nothing twice. Shards from the future wait.
    - What is kept, in `keep`, is the full state, and which shards it has learned, in which order
      (`learned-N.json` for the state after N updates). The incremental state is not: it is made
      again, from the shards that came since. So a process that was killed, at whatever moment, goes
      on where it was: nothing lost, nothing twice.

    - `shards`: the folder. Shards must stay there while they are of the day that is not over yet,
      and, because a log is made of them, longer: a new follower reads them all.
    - `log`: what was before the first shard. `state`: a full state that has learned it; for the
      first start only.
    - `nominator`: gets every full state and every touched ID; its log grows with this one.
    """

    def __init__(
        self,
        shards: str | Path,
        keep: str | Path,
        log: EventLog,
        state: State | None = None,
        nominator: Nominator | None = None,
    ) -> None:
        self.shards, self.keep, self.log, self.nominator = Path(shards), Path(keep), log, nominator
        self.keep.mkdir(parents=True, exist_ok=True)
        self.learned: list[
            tuple[str, str]
        ] = []  # name of each shard, and the day that was open then; in order
        self.seen: dict[str, tuple[int, int]] = {}  # size and time of each shard that was read
        if (self.keep / "full.pt").exists():
            self.state = State.load(self.keep / "full.pt")
            journal = self.keep / f"learned-{self.state.updates}.json"
            for name, day in json.loads(journal.read_text("utf-8")):
                self._append(self.shards / name, pd.Timestamp(day))
                self.seen[name] = _signature(self.shards / name)
            self.day = self.state.features.counts.time.normalize() + DAY  # the day that is open
        elif state is None:
            raise ValueError(
                f"{self.keep} holds no state yet; pass one that has learned the log so far."
            )
        else:
            self.state, self.day = state, state.features.counts.time.normalize() + DAY
            self._save()
        self._publish()

    def poll(self, now: pd.Timestamp | str | None = None) -> dict[str, str]:
        """Learn what has landed since the last time, and close the days that are over; returns what
        became of each shard.

        `now`: the clock; a shard that begins later waits. A damaged one is left alone, and read
        again when it has changed.
        """
        now = pd.Timestamp.now() if now is None else pd.Timestamp(now)
        became = {}
        for path in sorted(self.shards.glob("*.tfrecord")):
            hour = pd.to_datetime(path.stem, format="%Y-%m-%dT%H", errors="coerce")
            signature = _signature(path)
            if self.seen.get(path.name) == signature:
                continue
            if pd.isna(hour):
                became[path.name] = "no hour shard: its name is not like 2011-06-01T09.tfrecord"
            elif hour > now:
                became[path.name] = "from the future: waits"
                continue
            else:
                self._close(min(hour, now).normalize())
                became[path.name] = self._learn(path, now)
            self.seen[path.name] = signature
        self._close(now.normalize())
        return became

    def _learn(self, path: Path, now: pd.Timestamp) -> str:
        start = len(self.log)
        if path.stat().st_size == 0:
            return "empty: no events"
        try:
            self._append(path, self.day, now)
        except ValueError as error:
            return f"left alone: {error}"
        if len(self.log) == start:
            return "nothing new"
        first = self.log.events["time"].iloc[start]
        self.state, touched = incremental_update(
            self.state, self.log, first, self.log.events["time"].iloc[-1] + INSTANT
        )
        if self.nominator is not None:
            self.nominator.update(self.state, touched, self.log)
        return f"{len(self.log) - start} events learned"

    def _append(self, path: Path, day: pd.Timestamp, now: pd.Timestamp | None = None) -> None:
        """The shard's events go to the end of the log; none is given a time before what is there,
        or before the day.
        """
        events = pd.concat(tfrecord.read(path), ignore_index=True).sort_values(
            "time", kind="stable", ignore_index=True
        )
        if now is not None and events["time"].iloc[-1] > now + HOUR:
            raise ValueError(
                f"{path} holds an event of {events['time'].iloc[-1]:%Y-%m-%d %H:%M}, which is yet to come."
            )
        floor = max(self.log.events["time"].iloc[-1].as_unit("us") + INSTANT, day.as_unit("us"))
        self.log = self.log.append(events.assign(time=events["time"].clip(lower=floor)))
        self.learned.append((path.name, day.isoformat()))

    def _close(self, today: pd.Timestamp) -> None:
        """Full updates for the days before today; the incremental state is discarded."""
        while self.day < today:
            rows = self.log.rows(self.day, self.day + DAY)
            if rows.start < rows.stop:
                self.state = full_update(self.state.full or self.state, self.log, self.day)
                self._save()
                self._publish()
            self.day += DAY

    def _save(self) -> None:
        with atomic_write(
            self.keep / f"learned-{self.state.updates}.json"
        ) as new:  # before the state that goes with it
            new.write_text(json.dumps(self.learned), "utf-8")
        self.state.save(self.keep / "full.pt")
        for old in self.keep.glob("learned-*.json"):
            if old.stem != f"learned-{self.state.updates}":
                old.unlink()

    def _publish(self) -> None:
        if self.nominator is not None:
            self.nominator.log = self.log
            self.nominator.publish(self.state, self.log.events["time"].iloc[-1] + INSTANT)


def _signature(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
