"""Versions of a model: published whole, kept, updated by the hour, gone back to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import torch

from course_lib.features import concat_features
from course_lib.files import atomic_write
from course_lib.incremental_update import Touched
from course_lib.index import VectorIndex
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
        same = log.items.index[:old].equals(self.log.items.index)
        if not (same and log.users.index[: len(self.log.users)].equals(self.log.users.index)):
            raise ValueError("this log does not go on from the served one; make it with append.")
        features, name = state.features, state.features.users.id
        users = _fields(state, log, self.users)
        users[name][touched.users] = features.users.encode(log.users.iloc[touched.users])[name]
        items = np.append(self.item_indices, features.item_indices(log, new))
        items[touched.items] = features.item_indices(log, touched.items)
        ids = np.full(len(log.items), -1)
        ids[self.rows[:-1]] = np.arange(len(self.rows) - 1)
        added = touched.items[ids[touched.items] < 0]
        ids[added] = np.arange(len(added)) + len(self.rows) - 1
        if len(touched.items):
            vectors = state.item_vectors(log, touched.items, features.counts.time)
            self.index.upsert(vectors, ids[touched.items])
        before = max(self.before, log.rows(end=state.learned_until).stop)
        rows = np.concatenate([self.rows[:-1], added, [-1]])
        return Version(self.name, state, self.index, log, self.time, before, users, items, rows)


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
    parts = [{name: torch.from_numpy(fields[:-1]) for name, fields in (known or {}).items()}]
    start = len(parts[0][state.features.users.id]) if known else 0
    parts.append(state.features.users.encode(log.users.iloc[start:]))
    parts.append(
        {name: fields.new_zeros(1, *fields.shape[1:]) for name, fields in parts[1].items()}
    )
    return {name: fields.numpy() for name, fields in concat_features(parts[not known :]).items()}


# -- where versions are kept ----------------------------------------------------------------------

NAME = re.compile(r"v([1-9][0-9]{0,15})(\.new)?")
PARTS = ("version.json", "state.pt", "index")


class Kept:
    """What `Memory` and `Folder` share."""

    def before(self) -> str | None:
        """The version to go back to."""
        now = _number(self.current or "")
        return max(
            (name for name in self.names() if _number(name) < now), key=_number, default=None
        )


class Memory(dict[str, Version], Kept):
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


class Folder(Kept):
    """Versions in `folder`/versions: `v1`, `v2`, …, and a file `current` that names one of them.

    Removes nothing but what it wrote.
    """

    def __init__(self, folder: str | Path) -> None:
        self.place = Path(folder) / "versions"
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{self.place} is no folder; choose another for versions.") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises ValueError if another process is publishing here."""
        try:
            with filelock.FileLock(
                self.place / "publishing.lock", timeout=0
            ):  # ends with a process
                yield
        except filelock.Timeout:
            raise ValueError(
                f"somebody else is publishing to {self.place}; wait until they are done."
            ) from None

    @property
    def current(self) -> str | None:
        """The name of the version to serve; setting it switches every process that looks."""
        pointer = self.place / "current"
        if not pointer.exists():
            return None
        name = pointer.read_text("utf-8", errors="replace") if pointer.is_file() else ""
        if not NAME.fullmatch(name):
            raise ValueError(f"{pointer} names no version; choose another folder for versions.")
        return name

    def names(self) -> list[str]:
        """The whole versions."""
        whole = [path for path in self._own("v*") if (path / PARTS[0]).is_file()]
        return [path.name for path in whole if not path.suffix]

    def _own(self, pattern: str) -> list[Path]:
        found = [path for path in self.place.glob(pattern) if _number(path.name)]
        return [path for path in found if path.is_dir() and not path.is_symlink()]

    def next(self) -> str:
        """A name that nothing here has had; what killed publishers left is cleared away first."""
        for path in self._own("v*.new"):
            if all(_is_part(file.name) for file in path.iterdir()):
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
            return Version.of(card | {"name": name}, state, index, log)
        except Exception as error:  # damage and other logs show in many ways
            reason = str(error).rstrip(".") or type(error).__name__
            raise ValueError(f"{place} can't be served, because {reason}; publish anew.") from error

    @current.setter
    def current(self, name: str) -> None:
        with atomic_write(self.place / "current") as new:
            new.write_text(name, "utf-8")

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


def _is_part(name: str) -> bool:
    return name in PARTS or any(
        re.fullmatch(rf"\.{part}\.[0-9a-f]{{32}}\.new", name) for part in PARTS
    )


def _remove(place: Path) -> None:
    for path in place.iterdir():
        if _is_part(path.name) and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    with suppress(OSError):  # somebody's own files are in there
        place.rmdir()
