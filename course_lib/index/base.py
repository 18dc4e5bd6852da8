"""The contract of a vector index, and what its engines share."""

from __future__ import annotations

import dataclasses
import datetime
import json
import operator
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import ExitStack

import numpy as np
import pandas as pd
import torch

from course_lib.files import atomic_write

Vectors = np.ndarray | torch.Tensor
Found = tuple[np.ndarray, np.ndarray]  # scores [n, k], falling, and ids [n, k]
FORMAT = 3  # of the file; others have ids where this one has rows, or the reverse
LARGE = 2**31 - 1  # the engines count in 32 bits


class Engine(ABC):
    """What an engine has to do for `VectorIndex`, which calls one method at a time.

    - `_held`: the ids, in a set or another container. An engine that keeps them elsewhere
      overrides `_size` and `_known`.
    """

    KINDS = ()  # the values of the field `kind`, if the engine has one
    _held: Collection[int] = ()

    @abstractmethod
    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        """Replace everything; copy what you keep. If it raises, all is to be as before."""

    @abstractmethod
    def _search(self, queries: np.ndarray, k: int) -> Found:
        """Exactly k for each query; there are as many."""

    @abstractmethod
    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None: ...

    @abstractmethod
    def _delete(self, ids: np.ndarray) -> None: ...

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What the file holds besides the settings, in arrays that no later change touches."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        """Take over what `_arrays` gave. Raises KeyError or RuntimeError if it does not fit."""

    def _size(self) -> int:
        return len(self._held)

    def _count(self, k: int) -> int:
        """`_size`, or an older one that was at least k, where asking each time costs too much."""
        return self._size()

    def _known(self, ids: np.ndarray) -> np.ndarray:
        """[m] whether each id is there."""
        return np.fromiter((id in self._held for id in ids.tolist()), bool, len(ids))


@dataclasses.dataclass(eq=False)
class VectorIndex(Engine):
    """Item vectors by id, searched by inner product; on unit vectors that is the cosine.

    Ids are whole numbers from 0 on, each once, and the caller's: no row number is ever answered.
    What is refused has changed nothing. Any call may run beside any other: those on one index take
    turns, and a search sees an upsert, a deletion or a rebuild whole or not at all. A fork waits
    for the running call; the child's index is its own.

    To add an engine, derive a dataclass whose fields are its settings, and write the methods of
    `Engine`; what they get has been checked.

    - `dim`: columns of the vectors, None before the first `build`.
    - `version`: of the model that made the vectors, for `load` to compare: text, or a whole number
      or a time, which a file has as text.
    """

    dim = None

    def __new__(cls, *arguments, **settings) -> VectorIndex:
        index = super().__new__(cls)
        index.version, index._lock = None, threading.RLock()
        _locks.add(index._lock)
        weakref.finalize(index, _locks.discard, index._lock)
        return index

    def __len__(self) -> int:
        with self._lock:
            return self._size()

    def build(self, vectors: Vectors, ids: np.ndarray) -> None:
        """Hold these vectors [m, d] under these ids [m], and nothing else; m may be 0.

        Raises ValueError for NaN, infinity and numbers beyond 1e18, and for ids that are not as
        many different whole numbers as there are vectors.
        """
        vectors, ids = _pairs(vectors, ids)
        with self._lock:
            self._build(vectors, ids)
            self.dim = vectors.shape[1]

    def search(self, queries: Vectors, k: int) -> Found:
        """The k best of every query [n, d]: scores [n, k], falling, and ids [n, k].

        With k beyond `len`, as many as there are, never fewer: an engine that finds too few looks
        again, wider. Raises ValueError for k < 1, an empty index, NaN, or other than d columns.
        """
        wanted, queries = item_count(k, "k"), _matrix(queries, "queries")
        with self._lock:
            k = min(wanted, self._count(wanted))
            if k == 0:
                raise ValueError("the index is empty; build it with item vectors first.")
            _check_columns(queries, "queries", self.dim)
            if len(queries) == 0:
                return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
            return self._search(queries, k)

    def upsert(self, vectors: Vectors, ids: np.ndarray) -> None:
        """Add vectors [m, d] with new ids [m], replace those of known ids. Raises as `build`."""
        vectors, ids = _pairs(vectors, ids)
        with self._lock:
            _check_columns(vectors, "vectors", self.dim)
            if len(ids) == 0:
                return
            if self._size() == 0:  # nothing yet that an engine could have learned from
                self.build(vectors, ids)
            else:
                self._upsert(vectors, ids)

    def delete(self, ids: np.ndarray) -> None:
        """Forget these ids [m]. Raises ValueError if one of them is unknown, or there twice."""
        ids = _ids(ids)
        if len(ids) == 0:
            return
        with self._lock:
            known = self._known(ids) if self._size() else np.zeros(len(ids), bool)
            if not known.all():
                some = f"{(~known).sum()} of {len(ids)} ids"
                raise ValueError(f"{some} are not in the index, the first is {ids[~known][0]}.")
            self._delete(ids)

    def serve(self) -> None:
        """Lead those who ask a database by a fixed name here, now that the version is whole."""

    def drop(self) -> None:
        """Remove what a database keeps of the index, once its version is retired."""

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to one file, whole or not at all. Raises ValueError before `build`."""
        with self._lock:
            if self.dim is None:
                raise ValueError("the index is empty; build it with item vectors first.")
            meta = {"format": FORMAT, "class": type(self).__name__, "dim": self.dim}
            meta |= {"version": _version_text(self.version), "settings": dataclasses.asdict(self)}
            arrays = self._arrays()
        with atomic_write(path) as new, open(new, "wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, version: str | None = None) -> VectorIndex:
        """The index that `save` wrote to this file; `VectorIndex.load` takes every engine's.

        `version`: of the model whose user vectors will be the queries. Raises ValueError if the
        index has another one, and for a file that is damaged, cut short, or not this class's.
        """
        meta, arrays = _read(path)
        name, wanted, engines = meta["class"], _version_text(version), cls.engines()
        if name not in engines:
            known = name in VectorIndex.engines()
            advice = "load it with VectorIndex.load" if known else "import that engine first"
            raise ValueError(f"{path} holds a {name}, not a {cls.__name__} known here; {advice}.")
        if wanted is not None and wanted != meta["version"]:
            raise ValueError(
                f"{path} holds vectors of model version {meta['version']!r}, and {wanted!r} is "
                "wanted; build the index from that model's item vectors."
            )
        try:
            index = engines[name](**meta["settings"])
            index._restore(arrays, meta["dim"])
        except (KeyError, TypeError, RuntimeError) as error:
            advice = "or of another release of its engine; save the index again"
            raise ValueError(f"{path} is damaged, {advice}.") from error
        index.dim, index.version = meta["dim"], meta["version"]
        return index

    @classmethod
    def engines(cls) -> dict[str, type[VectorIndex]]:
        """This class and all that derive from it and are imported, by name."""
        derived = {cls.__name__: cls}
        for engine in cls.__subclasses__():
            derived |= engine.engines()
        return derived


def search_all(queries: np.ndarray, k: int, vectors: np.ndarray, ids: np.ndarray) -> Found:
    """`search` among these vectors [m, d], with every product: for an engine that found too few."""
    scores = queries @ vectors.T
    best = np.argsort(-scores, axis=1)[:, :k]
    return np.take_along_axis(scores, best, axis=1), ids[best]


# -- settings ------------------------------------------------------------------------------------


class Dial:
    """A field for a whole number from `low` to `high`; a float or None, if its default is."""

    def __init__(self, default: float | None, low: float = 1, high: float = LARGE) -> None:
        self.default, self.low, self.high = default, low, high

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, index: VectorIndex | None, owner: type):
        return self.default if index is None else vars(index)[self.name]

    def __set__(self, index: VectorIndex, value) -> None:
        number, whole = _whole(value), not isinstance(self.default, float)
        if not whole and isinstance(value, (float, np.floating)):
            number = float(value)
        fits = number is not None and self.low <= number <= self.high
        if not fits and (value is not None or self.default is not None):
            wanted = f"a{' whole' * whole} number from {self.low} to {self.high}"
            raise ValueError(f"{self.name} is {value!r:.50}; it takes {wanted}.")
        vars(index)[self.name] = number


class Kind(Dial):
    """The field `kind`, one of a few words, fixed when the index is made."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.default, self.kinds = kinds[0], kinds

    def __set__(self, index: VectorIndex, kind: str) -> None:
        if not isinstance(kind, str) or kind not in self.kinds:
            raise ValueError(f"kind is {kind!r:.50}; there are {', '.join(self.kinds)}.")
        fixed = vars(index).setdefault("kind", str(kind))
        if fixed != kind:
            raise ValueError(f"this index is of kind '{fixed}'; make another one of '{kind}'.")


# -- graphs --------------------------------------------------------------------------------------


class Tombstones(dict[int, int]):
    """The row 0, 1, 2, … of each living id in a graph, and which rows are dead.

    A graph can't let go of a row that others are reached through: a replaced or deleted one stays,
    hidden, with −1 in `ids` [rows]. When over a quarter are dead, the graph is built anew. Where
    rows are only in order, `fill` leaves no dead one.
    """

    def __init__(self, ids: np.ndarray) -> None:
        super().__init__(zip(ids.tolist(), range(len(ids)), strict=True))
        self.pop(-1, None)
        self.ids = ids

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """The rows [m] of these ids, −1 for an unknown one."""
        return np.array([self.get(id, -1) for id in ids.tolist()], np.int64)

    def add(self, ids: np.ndarray, row: int) -> np.ndarray:
        """Give these ids [m] the rows from `row` on; returns the rows that they had, now dead."""
        had = self.bury(ids[self.rows(ids) >= 0])
        broken = np.full(row - len(self.ids), -1)  # of an insertion that failed
        self.ids = np.concatenate([self.ids, broken, ids])
        self.update(zip(ids.tolist(), range(row, len(self.ids)), strict=True))
        return had

    def bury(self, ids: np.ndarray) -> np.ndarray:
        """Returns the rows of these ids [m], now dead."""
        rows = np.array([self.pop(id) for id in ids.tolist()], np.int64)
        self.ids[rows] = -1
        return rows

    def fill(self) -> tuple[np.ndarray, np.ndarray]:
        """Let the last living rows take the dead ones' places; returns which move, and where to."""
        n = len(self)
        moved, gaps = n + np.flatnonzero(self.ids[n:] >= 0), np.flatnonzero(self.ids[:n] < 0)
        ids = self.ids[moved]
        self.ids = self.ids[:n].copy()
        self.ids[gaps] = ids
        self.update(zip(ids.tolist(), gaps.tolist(), strict=True))
        return moved, gaps

    def living(self) -> np.ndarray:
        """The rows, in order, that are not dead."""
        return np.flatnonzero(self.ids >= 0)

    def crowded(self) -> bool:
        """Whether over a quarter of the rows are dead."""
        return len(self.ids) - len(self) > len(self.ids) / 4


# -- forks ---------------------------------------------------------------------------------------

_locks: set[threading.RLock] = set()  # of all indexes
_forking, _taken = threading.RLock(), ExitStack()  # by the thread that is forking


def _before_fork() -> None:
    """Wait until nobody is inside an engine: the child would get it half changed, and locked."""
    _forking.acquire()
    for lock in [*_locks]:
        _taken.enter_context(lock)


def _after_fork() -> None:
    _taken.close()
    _forking.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    after = {"after_in_parent": _after_fork, "after_in_child": _after_fork}
    os.register_at_fork(before=_before_fork, **after)


# -- checks --------------------------------------------------------------------------------------


def _read(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:  # a zip file: every part has a checksum
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        known = meta.get("format") == FORMAT
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # zipfile and NumPy meet damage with a dozen kinds of exceptions
        broken = "no saved index, or it is damaged or cut short"
        raise ValueError(f"{path} is {broken}; save the index again.") from error
    if not known:
        raise ValueError(f"{path} is of another release of the library; save the index again.")
    return meta, arrays


def _version_text(version) -> str | None:
    if version is None or isinstance(version, str):
        return version
    if isinstance(version, (datetime.date, np.datetime64)) and not pd.isna(version):
        return pd.Timestamp(version).isoformat()
    if (number := _whole(version)) is None:
        raise ValueError(f"version is {version!r:.50}; give text, a whole number or a time.")
    return str(number)


def item_count(k: int, name: str) -> int:
    """`k` as an int. Raises ValueError, which calls it `name`, for all but whole numbers from 1."""
    number = _whole(k)
    if number is None or number < 1:
        raise ValueError(f"{name} is {k!r:.50}; ask for a whole number of items, at least 1.")
    return number


def _whole(value) -> int | None:
    """A whole number, of whatever library, as an int; None for anything else, and for True."""
    try:
        return None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        return None


def _pairs(vectors: Vectors, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vectors, ids = _matrix(vectors, "vectors"), _ids(ids)
    if len(ids) != len(vectors):
        raise ValueError(f"{len(vectors)} vectors came with {len(ids)} ids; each needs its own.")
    return vectors, ids


def _ids(ids: np.ndarray) -> np.ndarray:
    """[m] int64, all different, a copy."""
    ids = _array(ids)
    good = ids.ndim == 1 and (len(ids) == 0 or ids.dtype.kind in "iu")
    if not good or (len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < 2**63):
        raise ValueError("ids must be whole numbers from 0 to 2**63 - 1, in one dimension.")
    if (different := len(np.unique(ids))) < len(ids):
        raise ValueError(f"{len(ids)} ids came, {different} of them different; name each once.")
    return ids.astype(np.int64)


def _matrix(vectors: Vectors, name: str) -> np.ndarray:
    """[n, d] float32, in one piece; the caller's own memory where that is so already."""
    try:
        vectors = _array(vectors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} are no table of numbers; they need to be, [n, d].") from error
    if vectors.ndim != 2 or vectors.shape[1] == 0 or vectors.dtype.kind not in "fiub":
        came = f"{vectors.dtype} {list(vectors.shape)}"
        raise ValueError(f"{name} are {came}; they need to be numbers [n, d], with d from 1 on.")
    if vectors.dtype != np.float32:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            vectors = vectors.astype(np.float32)
    vectors = np.ascontiguousarray(vectors)
    if not np.vdot(vectors, vectors) < 1e37:  # no product of two can overflow then
        good = np.einsum("nd,nd->n", vectors, vectors) < 1e37
        if not good.all():
            too_large = "or numbers beyond 1e18, whose products are infinite"
            where = f"NaN or infinity in row {int(good.argmin())}, {too_large}"
            raise ValueError(f"{name} hold {where}; the model that made them diverged.")
    return vectors


def _array(values) -> np.ndarray:
    """What torch, pandas or a list hold, in a type that NumPy knows, if there is one."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    values = np.asarray(values)
    if values.dtype == object and values.ndim:  # columns that pandas keeps as Arrow's, say
        values = pd.DataFrame(values).infer_objects().to_numpy().reshape(values.shape)
    return values


def _check_columns(vectors: np.ndarray, name: str, dim: int | None) -> None:
    if dim not in (None, vectors.shape[1]):
        columns = f"{vectors.shape[1]} columns, the index has {dim}"
        raise ValueError(f"{name} have {columns}; use vectors of one model.")
