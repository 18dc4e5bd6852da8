"""Versions of a model: published whole, kept, updated by the hour, gone back to."""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from course_lib.features import concat_features
from course_lib.files import alone, atomic_write
from course_lib.incremental_update import Touched
from course_lib.index import FaissIndex, VectorIndex
from course_lib.log import EventLog, local_time
from course_lib.state import State

# -- a version ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """What is served: a user network, and the vectors that the item network of the same state made.

    - `time`: items listed by then can be nominated. `before`: event rows < `before` are history.
    - `users`: every user's fields as the state knows them, by row; the last row is a new user.
    - `item_indices`: [items] every item's index in the item table, by row.
    - `rows`: [n + 1] the row of the item that `index` holds, or may hold, under the id 0, 1, …,
      n − 1; the last is −1, for what another process has put there since.
    """

    name: str
    state: State
    index: VectorIndex
    log: EventLog
    time: pd.Timestamp
    before: int
    users: dict[str, np.ndarray]
    item_indices: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, card: dict, state: State, index: VectorIndex, log: EventLog) -> Version:
        """The version of a `card`: `name`, `time`, and the `items` with the ids 0, 1, 2, …, which
        were rows when it was published. In another log they may have other rows.
        """
        check_known(state, log, card["items"])
        time = local_time(card["time"])
        before = log.rows(end=time).stop
        log.bought(0, before)  # sorts the events by user, before the first question
        items = state.features.item_indices(log, np.arange(len(log.items))).numpy()
        rows = np.array([*map(log.row_of_item.get, card["items"]), -1])
        users = _fields(state, log, None)
        return cls(card["name"], state, index, log, time, before, users, items, rows)

    def fill(self) -> None:
        """Index all that is listed, and answer a query."""
        items = np.arange(self.log.listed(self.time))
        vectors = self.state.item_vectors(self.log, items, self.time)
        self.index.version = self.name
        self.index.build(vectors, items)
        if len(items):
            self.index.search(vectors[:1], 1)

    def updated(self, state: State, touched: Touched, log: EventLog) -> Version:
        """The version after an incremental update; `index` gets the touched items' vectors, in
        place, and all else that changes is new. `log` must go on from this version's.
        """
        old, new = len(self.log.items), np.arange(len(self.log.items), len(log.items))
        if log is not self.log and not (
            log.items.index[:old].equals(self.log.items.index)
            and log.users.index[: len(self.log.users)].equals(self.log.users.index)
        ):
            raise ValueError("this log does not go on from the served one; make it with append.")
        features, name = state.features, state.features.users.id
        users = _fields(state, log, self.users)
        users[name][touched.users] = features.users.encode(log.users.iloc[touched.users])[name]
        items = np.append(self.item_indices, features.item_indices(log, new))
        items[touched.items] = features.item_indices(log, touched.items)
        ids, rows = self._ids(touched.items)
        if len(touched.items):
            vectors = state.item_vectors(log, touched.items, features.counts.time)
            self.index.upsert(vectors, ids)
        before = max(self.before, log.rows(end=state.learned_until).stop)
        return Version(self.name, state, self.index, log, self.time, before, users, items, rows)

    def _ids(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of these items (rows) in `index`, new ones for those that it doesn't hold; and
        `rows` with these.
        """
        if np.array_equal(self.rows.take(items, mode="clip"), items):
            return items, self.rows  # as a rule an item's id is its row: nothing is searched
        held = len(self.rows) - 1
        place = pd.Index(self.rows[:-1]).get_indexer(items)
        added = items[place < 0]
        place[place < 0] = np.arange(len(added)) + held
        return place, np.concatenate([self.rows[:-1], added, [-1]])


def check_known(state: State, log: EventLog, items: Iterable = ()) -> None:
    """Raise ValueError unless the log has these `items`, and all items, users and fields that the
    state has learned.
    """
    for encoder, table, rows, stored in (
        (state.features.items, log.items, log.row_of_item, items),
        (state.features.users, log.users, log.row_of_user, ()),
    ):
        fields = [*encoder.vocabularies][1:]
        lacks = [f"field {name!r}" for name in fields if name not in table]
        known = (*stored, *encoder.vocabularies[encoder.id])
        lacks += [f"{encoder.id} {id!r}" for id in known if id not in rows]
        if lacks:
            raise ValueError(
                f"the log lacks {lacks[0]}, which the model knows ({len(lacks)} such); use the log "
                "that the model has learned, or one that goes on from it."
            )


def _fields(state: State, log: EventLog, known: dict | None) -> dict[str, np.ndarray]:
    """Every field but the history, by row: of the users that are `known`, of all others, and of a
    new user.
    """
    encoder = state.features.users
    start = len(known[encoder.id]) - 1 if known else 0
    new = encoder.encode(log.users.iloc[start:])
    parts = [new, {name: values.new_zeros(1, *values.shape[1:]) for name, values in new.items()}]
    if known:
        parts.insert(0, {name: torch.from_numpy(rows[:-1]) for name, rows in known.items()})
    return {name: values.numpy() for name, values in concat_features(parts).items()}


# -- where versions are kept ----------------------------------------------------------------------

NAME = re.compile(r"v([1-9][0-9]{0,15})(\.new)?")
PART = re.compile(r"(\.)?(version\.json|state\.pt|index)(?(1)\.[0-9a-f]{32}\.new)")


class Memory(dict[str, Version]):
    """The versions of this process alone, by name, with the methods of `Folder`."""

    current, alone, names = None, nullcontext, dict.keys

    def next(self) -> str:
        return f"v{1 + max(map(_number, self), default=0)}"

    def keep(self, version: Version, card: dict) -> None:
        self[version.name] = version

    def load(self, name: str, log: EventLog) -> Version:
        return self[name]

    def retire(self, name: str, served: VectorIndex) -> None:
        drop(self.pop(name).index, served)


class Folder:
    """Versions in `folder`/versions: `v1`, `v2`, …, and a file `current` that names one of them.

    Removes nothing but what it wrote.
    """

    def __init__(self, folder: str | Path) -> None:
        self.place = Path(folder) / "versions"
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{self.place} is no folder; choose another for versions.") from None

    def alone(self) -> AbstractContextManager:
        """Raises ValueError if another process is publishing here."""
        return alone(self.place / "publishing.lock", "somebody else is publishing")

    @property
    def current(self) -> str | None:
        """The name of the version to serve; setting it switches every process that looks."""
        pointer = self.place / "current"
        if not pointer.exists():
            return None
        name = pointer.read_text("utf-8", errors="replace") if pointer.is_file() else ""
        if not NAME.fullmatch(name) or name.endswith(".new"):
            raise ValueError(f"{pointer} names no version; choose another folder for versions.")
        return name

    @current.setter
    def current(self, name: str) -> None:
        with atomic_write(self.place / "current") as new:
            new.write_text(name, "utf-8")

    def names(self) -> list[str]:
        """The whole versions."""
        whole = [path for path in self._own("v*") if (path / "version.json").is_file()]
        return [path.name for path in whole if not path.suffix]

    def _own(self, pattern: str) -> list[Path]:
        found = [path for path in self.place.glob(pattern) if _number(path.name)]
        return [path for path in found if path.is_dir() and not path.is_symlink()]

    def next(self) -> str:
        """A name that nothing here has had; what killed publishers left is cleared away first."""
        for path in self._own("v*.new"):
            if all(PART.fullmatch(file.name) for file in path.iterdir()):
                _remove(path)
        names = [path.name for path in self.place.glob("v*")] + [self.current or ""]
        return f"v{1 + max(map(_number, names), default=0)}"

    def keep(self, version: Version, card: dict) -> None:
        """Write the version aside, then move it to its place whole."""
        aside = self.place / f"{version.name}.new"
        aside.mkdir()
        try:
            with atomic_write(aside / "version.json") as new:
                new.write_text(json.dumps(card), "utf-8")
            version.state.save(aside / "state.pt")
            version.index.save(aside / "index")
            aside.rename(self.place / version.name)
        except BaseException:
            _remove(aside)
            raise

    def load(self, name: str, log: EventLog) -> Version:
        place = self.place / name
        try:
            card = json.loads((place / "version.json").read_text("utf-8"))
            state, index = State.load(place / "state.pt"), VectorIndex.load(place / "index", name)
            return Version.of(card, state, index, log)
        except Exception as error:  # damage and other logs show in many ways
            reason = str(error).rstrip(".") or type(error).__name__
            reason = "it is not there" if not place.is_dir() else reason
            raise ValueError(f"{place} can't be served, because {reason}; publish anew.") from error

    def retire(self, name: str, served: VectorIndex) -> None:
        """Remove a version, unless its database can't be reached: then at the next publishing."""
        try:
            drop(VectorIndex.load(self.place / name / "index"), served)
        except ConnectionError:
            return
        except Exception:  # damaged: nothing leads to what it was
            pass
        _remove(self.place / name)


def drop(index: VectorIndex, served: VectorIndex | None) -> None:
    """Let a database forget the vectors, unless they are where the served version's are."""
    if type(index) is not type(served) or asdict(index) != asdict(served):
        index.drop()


def _number(name: str) -> int:
    match = NAME.fullmatch(name)
    return int(match[1]) if match else 0


def _remove(place: Path) -> None:
    with suppress(OSError):  # somebody's own files are in there
        for path in place.iterdir():
            if PART.fullmatch(path.name):
                path.unlink()
        place.rmdir()


# -- publishing -----------------------------------------------------------------------------------


class Publisher:
    """Serves one version at a time, and keeps the one before. Any call may run beside any other;
    `publish`, `update`, `refresh` and `back` take turns.
    """

    def __init__(
        self,
        log: EventLog,
        make_index: Callable[[str], VectorIndex] = lambda version: FaissIndex("flat"),
        folder: str | Path | None = None,
    ) -> None:
        self.log, self.make_index = log, make_index
        self.version: Version | None = None
        self.live: dict[object, list] = {}  # items bought since, by user
        self._kept = Memory() if folder is None else Folder(folder)
        self._writing = threading.RLock()
        self._nothing = "nothing is published yet; call publish(state) first."
        self._open()

    def publish(
        self,
        state: State,
        time: pd.Timestamp | str | None = None,
        log: EventLog | None = None,
    ) -> None:
        """Compute and index all listed items' vectors, and serve them with this user network.

        The version before serves until the new one has answered a query, and on if anything fails
        or the process is killed, here and after a restart. It is kept to go back to.

        - `time`: items listed by then can be nominated, and what was bought before then is the
          users' history; without it, the end of the log.
        - `log`: as it stands now, if it has grown.

        Raises ValueError if the state has learned from events after `time` or from another log, is
        incremental (`update` is for those), or somebody else is publishing to the same folder.
        """
        log = self.log if log is None else log
        end = log.events["time"].iloc[-1] + pd.Timedelta(seconds=1)
        time = end if time is None else local_time(time)
        _check_learned(state, time)
        with self._writing, self._kept.alone():
            last, name = self._kept.current, self._kept.next()
            card = {"name": name, "time": time.isoformat(), "items": log.items.index.tolist()}
            index = self.make_index(name)
            try:
                version = Version.of(card, state, index, log)
                version.fill()
                self._kept.keep(version, card)
            except BaseException:
                with suppress(Exception):
                    drop(index, self.version and self.version.index)
                raise
            index.serve()
            self._kept.current = name
            self.log, self.version = log, version
            for old in {*self._kept.names()} - {name, last}:
                self._kept.retire(old, version.index)

    def update(self, state: State, touched: Touched, log: EventLog | None = None) -> None:
        """Serve an incremental state: the touched items' vectors go to the index, and nothing else
        does.

        - `log`: as it stands now, if it has grown (`EventLog.append`). What the state has learned
          of it is the users' history from now on.

        Raises ValueError if the state does not build on the full state that is published. If
        anything fails, all is as before. A process that starts anew goes on with the full version:
        incremental states are made again from the hour's shards, not kept.
        """
        with self._writing:
            version = self._published()
            full, base = version.state.full or version.state, state.full
            same = state is version.state or base is full
            if not same and (base is None or base.fingerprint() != full.fingerprint()):
                raise ValueError(
                    "this state does not build on the full state that is published; publish its "
                    "full state first."
                )
            log = self.log if log is None else log
            self.version = version.updated(state, touched, log)
            self.log = log

    def refresh(self, read: Callable[[], EventLog] | None = None, name: str | None = None) -> bool:
        """Take over the version that the folder says is current, its user network and its index
        together; returns whether it is another one than before.

        - `read`: gives the log as it stands now. It is called once the version is known, so that
          the log holds all that the version has learned.
        - `name`: the version to take over, if something else says which is current, such as the
          alias of a database (`MilvusIndex.leads_to`).

        Raises ValueError, and goes on serving what it did, if that version can't be loaded.
        """
        with self._writing:
            name = self._kept.current if name is None else name
            if name is None or (self.version is not None and name == self.version.name):
                return False
            log = self.log if read is None else read()
            self.version = self._kept.load(name, log)
            self.log = log
            return True

    def back(self) -> None:
        """Serve the version before the current one, here and wherever the folder is refreshed;
        raises ValueError if none is kept.
        """
        with self._writing, self._kept.alone():
            name = self._before()
            if name is None:
                raise ValueError("there is no version to go back to; publish a state.")
            version = self._kept.load(name, self.log)
            version.index.serve()
            self._kept.current = name
            self.version = version

    def _open(self) -> None:
        """Serve the version that is kept as current; if that can't be, the one before, or none."""
        try:
            self.refresh()
        except ValueError as error:
            self._nothing, served = str(error), "nothing is"
            with suppress(ValueError):
                if self.refresh(name=self._before()):
                    served = f"{self.version.name}, the version before, is"
            warnings.warn(f"{error} Until then {served} served.", stacklevel=3)

    def _before(self) -> str | None:
        """The version to go back to."""
        now = _number(self._kept.current or "")
        earlier = [name for name in self._kept.names() if _number(name) < now]
        return max(earlier, key=_number, default=None)

    def _published(self) -> Version:
        version = self.version
        if version is None:
            raise ValueError(self._nothing)
        return version


def _check_learned(state: State, time: pd.Timestamp) -> None:
    """Raise ValueError unless a state may be published for that time."""
    if state.full is not None:
        advice = "send what it touched with update(state, touched)"
        raise ValueError(f"this state comes from an incremental update; {advice}.")
    if (until := state.learned_until) is None:
        warnings.warn("this state has learned nothing, and is published all the same", stacklevel=3)
    elif time < until:
        raise ValueError(
            f"this state has learned events until {until:%Y-%m-%d %H:%M:%S}, and "
            f"{time:%Y-%m-%d %H:%M:%S} is earlier; publish it for a later time."
        )
