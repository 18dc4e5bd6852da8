"""Vector indexes: where item vectors are kept, and searched by user vectors.

`VectorIndex` is the interface; behind it `FaissIndex` (in this process: exact, IVF, HNSW, IVF-PQ),
`HnswlibIndex` (in this process: HNSW, small and fast) and `MilvusIndex` (a database: embedded in
this process, or a server or cluster).
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import torch

from course_lib.files import atomic_write

Vectors = np.ndarray | torch.Tensor
Found = tuple[np.ndarray, np.ndarray]  # scores [n, k], falling, and ids [n, k]


class VectorIndex(ABC):
    """Item vectors by id, searched by inner product; on unit vectors that is the cosine.

    Ids are whole numbers from 0 on, each once. All checks are here, before an engine sees anything:
    what is refused has changed nothing. To add an engine, write the methods that start with an
    underscore, and `__len__`.

    - `dim`: columns of the vectors, None before the first `build`.
    - `version`: of the model that made the vectors. Set it to have `save` keep it and `load`
      compare it.
    """

    dim: int | None = None
    version: str | None = None

    def build(self, vectors: Vectors, ids: np.ndarray) -> None:
        """Hold these vectors [m, d] under these ids [m], and nothing else.

        Raises ValueError for NaN, infinity, or ids that are not as many different whole numbers as
        there are vectors.
        """
        vectors, ids = _pairs(vectors, ids)
        self._build(vectors, ids)
        self.dim = vectors.shape[1]

    def search(self, queries: Vectors, k: int) -> Found:
        """The k best of every query [n, d]: scores [n, k], falling, and ids [n, k].

        With k beyond `len`, as many as there are, never fewer: an approximate engine that finds too
        few looks again, wider. Raises ValueError for k < 1, an empty index, NaN, or other than d
        columns.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item.")
        count = self._count(k)
        if count == 0:
            raise ValueError("the index is empty; build it with item vectors first.")
        queries, k = self._columns(_matrix(queries, "queries"), "queries"), min(k, count)
        return (
            self._search(queries, k)
            if len(queries)
            else (np.zeros((0, k), np.float32), np.zeros((0, k), np.int64))
        )

    def upsert(self, vectors: Vectors, ids: np.ndarray) -> None:
        """Add the vectors [m, d] with new ids, and replace those whose ids [m] are known. Raises
        ValueError as `build` does.
        """
        vectors, ids = _pairs(vectors, ids)
        self._columns(vectors, "vectors")
        if len(ids) == 0:
            return
        if len(self) == 0:  # nothing yet that an engine could have learned from
            self.build(vectors, ids)
        else:
            self._upsert(vectors, ids)

    def delete(self, ids: np.ndarray) -> None:
        """Forget these ids [m]. Raises ValueError if one is unknown or there twice; then nothing is
        deleted.
        """
        ids = _whole(ids)
        known = self._known(ids) if len(self) and len(ids) else np.zeros(len(ids), bool)
        if not known.all():
            raise ValueError(
                f"{(~known).sum()} of {len(ids)} ids are not in the index, the first is {ids[~known][0]}."
            )
        if len(np.unique(ids)) != len(ids):
            raise ValueError(
                f"{len(ids)} ids to delete, {len(np.unique(ids))} of them different; name each once."
            )
        if len(ids):
            self._delete(ids)

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to one file, which is there whole or not at all. Raises ValueError if the
        index is empty.
        """
        if len(self) == 0:
            raise ValueError("the index is empty; build it with item vectors first.")
        meta = {
            "class": type(self).__name__,
            "settings": self._settings(),
            "version": self.version,
            "dim": self.dim,
        }
        arrays = self._arrays()
        with atomic_write(path) as new, open(new, "wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, version: str | None = None) -> VectorIndex:
        """The index that `save` wrote to this file; `VectorIndex.load` takes every engine's.

        With `version`, the model's whose user vectors will be the queries: raises ValueError if the
        index is of another one. Raises ValueError too for a file that is damaged or cut short, or
        another class's.
        """
        meta, arrays = _read(path)
        engines = {engine.__name__: engine for engine in (cls, *cls.__subclasses__())}
        if meta["class"] not in engines:
            raise ValueError(
                f"{path} holds a {meta['class']}, not a {cls.__name__}; load it with VectorIndex.load."
            )
        if version is not None and version != meta["version"]:
            raise ValueError(
                f"{path} holds vectors of model version {meta['version']!r}, and {version!r} is wanted; vectors of two versions "
                "can't be compared, so build the index from that model's item vectors."
            )
        index = engines[meta["class"]](**meta["settings"])
        try:
            index._restore(arrays, meta["dim"])
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"{path} is damaged, or of another release of its engine; save the index again."
            ) from error
        index.dim, index.version = meta["dim"], meta["version"]
        return index

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        """Replace everything; there may be no vectors at all."""

    @abstractmethod
    def _search(self, queries: np.ndarray, k: int) -> Found:
        """Exactly k ≤ len for each query."""

    @abstractmethod
    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None: ...

    @abstractmethod
    def _delete(self, ids: np.ndarray) -> None: ...

    @abstractmethod
    def _known(self, ids: np.ndarray) -> np.ndarray:
        """[m] whether each id is there."""

    def _settings(self) -> dict:
        """The constructor's arguments, which an engine keeps as attributes of the same names."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What the file holds besides the settings."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        """Take over what `_arrays` gave."""

    def _count(self, k: int) -> int:
        """`len`, or an older one that was at least k, where asking at every search would cost too
        much.
        """
        return len(self)

    def _columns(self, vectors: np.ndarray, name: str) -> np.ndarray:
        if self.dim is not None and vectors.shape[1] != self.dim:
            raise ValueError(
                f"{name} have {vectors.shape[1]} columns, the index has {self.dim}; use vectors of one model."
            )
        return vectors


# -- engines in this process, which number the rows that hold vectors
# ----------------------------------------------------


class _Rows:
    """Which id is in which of an engine's rows 0, 1, 2, …; a dead row has the id −1."""

    def __init__(self, ids: np.ndarray | None = None) -> None:
        self.ids = np.zeros(0, np.int64)
        self._row: dict[int, int] = {}
        if ids is not None:
            self.ids = ids
            self._row = {id: row for row, id in enumerate(ids.tolist()) if id >= 0}

    def __len__(self) -> int:
        return len(self._row)

    def of(self, ids: np.ndarray) -> np.ndarray:
        """[m] the rows of these ids, −1 where there is none."""
        return np.fromiter((self._row.get(id, -1) for id in ids.tolist()), np.int64, len(ids))

    def append(self, ids: np.ndarray) -> np.ndarray:
        """[m] new rows at the end."""
        rows = np.arange(len(self.ids), len(self.ids) + len(ids))
        self.ids = np.concatenate([self.ids, ids])
        self._row.update(zip(ids.tolist(), rows.tolist(), strict=True))
        return rows

    def drop(self, rows: np.ndarray) -> None:
        """These rows die, and stay."""
        for id in self.ids[rows].tolist():
            del self._row[id]
        self.ids[rows] = -1

    def compact(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """These rows go, and the last ones move into the gaps: which move, and where to."""
        self.drop(rows)
        moved, gaps = np.flatnonzero(self.ids[len(self) :] >= 0) + len(self), rows[rows < len(self)]
        self.ids[gaps] = self.ids[moved]
        self._row.update(zip(self.ids[gaps].tolist(), gaps.tolist(), strict=True))
        self.ids = self.ids[: len(self)].copy()
        return moved, gaps

    def crowded(self) -> bool:
        """Whether over a quarter of the rows are dead."""
        return len(self.ids) - len(self) > len(self.ids) / 4


class _InRows:
    """What the engines in this process share: they number the rows that hold vectors, and `_Rows`
    knows whose they are.
    """

    _rows: _Rows

    def __len__(self) -> int:
        return len(self._rows)

    def _known(self, ids: np.ndarray) -> np.ndarray:
        return self._rows.of(ids) >= 0


# -- Faiss -----------------------------------------------------------------------------------------
# -------------------


class FaissIndex(_InRows, VectorIndex):
    """Faiss (Douze et al., 2024), in this process. `kind` is one of

    - "flat": compares the query with every vector; exact, and the yardstick. Replaces and deletes
      in place.
    - "ivf": k-means puts the vectors into `nlist` lists (by default √m), a query looks into the
      `nprobe` nearest. Replaces and deletes in place. `build` learns the lists; after most items
      have changed, build again.
    - "ivfpq": the same, with each vector cut into `pq_m` parts of one byte each (Jégou et al.,
      2011), 16 times smaller by default; scores are approximate, too.
    - "hnsw": a graph in layers, walked greedily (Malkov and Yashunin, 2018): `M` neighbours a
      vector, candidate lists of `ef_construction` and `ef_search`. Can't delete or replace: such
      rows stay in the graph, hidden from answers, and when they are over a quarter of it, it is
      rebuilt.

    `nprobe` and `ef_search` may be moved at any time: higher is nearer to exact, and slower. A
    query that finds fewer than k is searched again exactly ("ivfpq": in all lists).
    """

    KINDS = ("flat", "ivf", "hnsw", "ivfpq")

    def __init__(
        self,
        kind: str = "flat",
        *,
        nlist: int | None = None,
        nprobe: int = 16,
        pq_m: int | None = None,
        M: int = 16,
        ef_construction: int = 100,
        ef_search: int = 150,
    ) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"kind is '{kind}'; there are {', '.join(self.KINDS)}.")
        self.kind, self.nlist, self.nprobe, self.pq_m = kind, nlist, nprobe, pq_m
        self.M, self.ef_construction, self.ef_search = M, ef_construction, ef_search
        self._index: faiss.Index | None = None
        self._rows = _Rows()
        self._living: faiss.IDSelector | None = None  # rows that a search may return; None: all

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        index = self._trained(vectors)
        self._index, self._rows, self._living = index, _Rows(), None
        self._add(vectors, ids)

    def _trained(self, vectors: np.ndarray) -> faiss.Index:
        """An empty index that knows what it must learn from the vectors."""
        m, d = vectors.shape
        if self.kind == "flat":
            return faiss.IndexFlatIP(d)
        if self.kind == "hnsw":
            index = faiss.IndexHNSWFlat(d, self.M, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = self.ef_construction
            return index
        lists = max(1, min(self.nlist or round(m**0.5), m))
        if self.kind == "ivf":
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT)
        else:
            parts = self.pq_m or max(part for part in range(1, max(d // 4, 1) + 1) if d % part == 0)
            if d % parts:
                raise ValueError(
                    f"vectors have {d} columns, which can't be cut into pq_m = {parts} equal parts."
                )
            index = faiss.IndexIVFPQ(
                faiss.IndexFlatIP(d), d, lists, parts, 8, faiss.METRIC_INNER_PRODUCT
            )
            index.pq.cp.min_points_per_centroid = 1
        index.cp.min_points_per_centroid = 1  # or Faiss warns on stderr when items are few
        index.train(
            np.resize(vectors, (max(m, 256), d))
        )  # a byte stands for 256 centroids: repeat if items are fewer
        index.set_direct_map_type(
            faiss.DirectMap.Hashtable
        )  # finds a row's list, so that it can be removed
        return index

    def _add(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        rows = self._rows.append(ids)
        if self.kind in ("ivf", "ivfpq"):
            self._index.add_with_ids(vectors, rows)
        else:
            self._index.add(vectors)

    def _search(self, queries: np.ndarray, k: int) -> Found:
        parameters = None
        if self.kind in ("ivf", "ivfpq"):
            parameters = faiss.SearchParametersIVF(
                nprobe=max(1, min(self.nprobe, self._index.nlist))
            )
        elif self.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(
                efSearch=max(self.ef_search, k), sel=self._living
            )
        scores, rows = self._index.search(queries, k, params=parameters)
        short = rows[:, -1] < 0  # Faiss fills up with −1
        if short.any():
            scores[short], rows[short] = self._search_everywhere(queries[short], k)
        return scores, self._rows.ids[rows]

    def _search_everywhere(self, queries: np.ndarray, k: int) -> Found:
        if self.kind == "hnsw":
            return self._index.storage.search(
                queries, k, params=faiss.SearchParameters(sel=self._living)
            )
        return self._index.search(
            queries, k, params=faiss.SearchParametersIVF(nprobe=self._index.nlist)
        )

    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        rows = self._rows.of(ids)
        known = rows >= 0
        if self.kind == "flat":
            self._stored()[rows[known]] = vectors[known]
        elif self.kind == "hnsw":
            self._rows.drop(rows[known])
            known[:] = False
        else:
            self._index.remove_ids(rows[known])
            self._index.add_with_ids(vectors[known], rows[known])
        self._add(vectors[~known], ids[~known])
        self._tidy()

    def _delete(self, ids: np.ndarray) -> None:
        rows = self._rows.of(ids)
        if self.kind == "flat":  # the last rows move into the gaps
            moved, gaps = self._rows.compact(rows)
            stored = self._stored()
            stored[gaps] = stored[moved]
            self._index.remove_ids(faiss.IDSelectorRange(len(self), len(stored)))
        else:
            self._rows.drop(rows)
            if self.kind != "hnsw":
                self._index.remove_ids(rows)
        self._tidy()

    def _tidy(self) -> None:
        """HNSW: hide the dead rows, or rebuild without them."""
        if self.kind == "hnsw":
            living = self._rows.ids >= 0
            if self._rows.crowded():
                self._build(self._stored()[living], self._rows.ids[living])
            elif not living.all():
                self._living = faiss.IDSelectorBitmap(np.packbits(living, bitorder="little"))

    def _stored(self) -> np.ndarray:
        """[rows, d] the vectors that a flat index or a graph holds: a window on Faiss's memory, not
        a copy.
        """
        flat = self._index if self.kind == "flat" else faiss.downcast_index(self._index.storage)
        return faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"index": faiss.serialize_index(self._index), "ids": self._rows.ids}

    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        self._index, self._rows = faiss.deserialize_index(arrays["index"]), _Rows(arrays["ids"])
        self._tidy()


# -- hnswlib ---------------------------------------------------------------------------------------
# -------------------


class HnswlibIndex(_InRows, VectorIndex):
    """hnswlib (Malkov and Yashunin, 2018), in this process: the graph of `FaissIndex("hnsw")` by
    the authors of the method.

    hnswlib can replace a vector in place and reuse a deleted one's row, but both repair the graph
    around the old place: 5 to 7 times the cost of an insertion, and recall goes down with every
    round. So here a replaced or deleted row is marked as deleted and the new vector is inserted;
    when such rows are over a quarter of the graph, it is rebuilt.

    `ef_search` may be moved at any time: higher is nearer to exact, and slower. A query that finds
    fewer than k is searched again exactly.
    """

    def __init__(self, *, M: int = 16, ef_construction: int = 100, ef_search: int = 150) -> None:
        self._engine = _hnswlib()
        self.M, self.ef_construction, self.ef_search = M, ef_construction, ef_search
        self._index = None
        self._rows = _Rows()

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        index = self._engine.Index("ip", vectors.shape[1])
        index.init_index(max(len(ids), 1), M=self.M, ef_construction=self.ef_construction)
        self._index, self._rows = index, _Rows()
        self._add(vectors, ids)

    def _add(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        rows = self._rows.append(ids)
        if len(self._rows.ids) > self._index.get_max_elements():
            self._index.resize_index(len(self._rows.ids) * 5 // 4)
        if len(rows):
            self._index.add_items(vectors, rows)

    def _search(self, queries: np.ndarray, k: int) -> Found:
        self._index.set_ef(max(self.ef_search, k))
        try:
            rows, distances = self._index.knn_query(queries, k)
        except (
            RuntimeError
        ):  # for one of the queries the walk found fewer than k; it does not say for which
            if len(queries) == 1:
                return self._search_everywhere(queries, k)
            middle = len(queries) // 2
            halves = self._search(queries[:middle], k), self._search(queries[middle:], k)
            return np.concatenate([half[0] for half in halves]), np.concatenate(
                [half[1] for half in halves]
            )
        return 1 - distances, self._rows.ids[rows.astype(np.int64)]

    def _search_everywhere(self, query: np.ndarray, k: int) -> Found:
        living = np.flatnonzero(self._rows.ids >= 0)
        scores = query @ self._vectors(living).T
        best = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, best, axis=1), self._rows.ids[living[best]]

    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        rows = self._rows.of(ids)
        self._drop(rows[rows >= 0])
        self._add(vectors, ids)
        self._tidy()

    def _delete(self, ids: np.ndarray) -> None:
        self._drop(self._rows.of(ids))
        self._tidy()

    def _drop(self, rows: np.ndarray) -> None:
        self._rows.drop(rows)
        for row in rows.tolist():
            self._index.mark_deleted(row)

    def _tidy(self) -> None:
        if self._rows.crowded():
            living = np.flatnonzero(self._rows.ids >= 0)
            self._build(self._vectors(living), self._rows.ids[living])

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._index.get_items(rows), np.float32).reshape(len(rows), self.dim)

    def _arrays(self) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:  # hnswlib writes to files only
            self._index.save_index(str(Path(folder, "index")))
            return {"index": np.fromfile(Path(folder, "index"), np.uint8), "ids": self._rows.ids}

    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        self._index, self._rows = self._engine.Index("ip", dim), _Rows(arrays["ids"])
        with tempfile.TemporaryDirectory() as folder:
            arrays["index"].tofile(Path(folder, "index"))
            self._index.load_index(str(Path(folder, "index")))


def _hnswlib():
    try:
        import hnswlib
    except ImportError as error:
        raise ImportError(
            "HnswlibIndex needs hnswlib, which is not installed. pip builds it with a C++ compiler (pip install hnswlib); "
            "conda-forge has it built (conda install -c conda-forge hnswlib)."
        ) from error
    return hnswlib


# -- Milvus ----------------------------------------------------------------------------------------
# -------------------


class MilvusIndex(VectorIndex):
    """Milvus (Wang et al., 2021), a vector database. `uri` says where:

    - None: embedded in this process (Milvus Lite), in a temporary folder that goes with the index.
    - a path that ends in ".db": the same, and it stays. One process at a time can have it open.
    - "http://…", "https://…": a server or a cluster, with nothing else to change. The environment's
      MILVUS_TOKEN ("user:password" or a key) is sent along.

    The vectors live in the collection of that name: a new MilvusIndex finds what an earlier one
    built there, `build` replaces it, and `save` writes a card (where it is, which version) instead
    of vectors. Publish each model version to a collection of its own, or a user vector of one
    version meets item vectors of another.

    `kind`: "FLAT" (exact), "HNSW" or "IVF_FLAT", with the parameters of `FaissIndex`. Replaces and
    deletes in place; a search sees it at once (strong consistency). A query that finds fewer than k
    is searched again, as wide as possible. Raises ConnectionError if Milvus does not answer, within
    5 s when it is constructed, later after `timeout` s.
    """

    KINDS = ("FLAT", "HNSW", "IVF_FLAT")
    CONNECT = 3.0  # seconds
    ROWS = 5_000  # in one request

    def __init__(
        self,
        uri: str | None = None,
        collection: str = "items",
        kind: str = "FLAT",
        *,
        nlist: int | None = None,
        nprobe: int = 16,
        M: int = 16,
        ef_construction: int = 100,
        ef_search: int = 150,
        timeout: float = 60.0,
    ) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"kind is '{kind}'; there are {', '.join(self.KINDS)}.")
        self.collection, self.kind, self.nlist, self.nprobe = collection, kind, nlist, nprobe
        self.M, self.ef_construction, self.ef_search, self.timeout = (
            M,
            ef_construction,
            ef_search,
            timeout,
        )
        self._milvus = _pymilvus()
        self._temporary = uri is None
        self.uri = _milvus_uri(uri)
        self._size = 0  # as of the last time that Milvus was asked
        token = os.environ.get("MILVUS_TOKEN", "")
        with self._talk():
            self._client = self._milvus.MilvusClient(
                self.uri, token=token, timeout=self.CONNECT, dedicated=True
            )
        if self._temporary:
            weakref.finalize(self, _forget, self._client, self.uri)
        if self._ask("has_collection"):
            fields = self._ask("describe_collection")["fields"]
            self.dim = next(
                int(field["params"]["dim"]) for field in fields if field["name"] == "vector"
            )
            self._ask("load_collection")
            len(self)

    def __len__(self) -> int:
        if self.dim is not None:
            counted = self._ask(
                "query", filter="", output_fields=["count(*)"], consistency_level="Strong"
            )
            self._size = int(counted[0]["count(*)"])
        return self._size

    def _count(self, k: int) -> int:
        return self._size if self._size >= k else len(self)

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        lists = min(
            self.nlist or round(len(ids) ** 0.5), len(ids) // 39
        )  # fewer vectors a list are too few for k-means
        kind = self.kind if self.kind != "IVF_FLAT" or lists else "FLAT"
        building = {
            "FLAT": {},
            "HNSW": {"M": self.M, "efConstruction": self.ef_construction},
            "IVF_FLAT": {"nlist": lists},
        }[kind]
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", self._milvus.DataType.INT64, is_primary=True)
        schema.add_field("vector", self._milvus.DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        indexes = self._client.prepare_index_params()
        nested = {
            "params": building
        }  # the form that both a server and Milvus Lite read; Lite ignores the flat one
        indexes.add_index("vector", index_type=kind, metric_type="IP", params=nested)
        self._ask("drop_collection")
        self._size = 0
        self._ask("create_collection", schema=schema, consistency_level="Strong")
        self._write("insert", vectors, ids)
        self._ask("flush")
        self._ask(
            "create_index", index_params=indexes
        )  # last: so it is there when we return, not some time later
        self._ask("load_collection")
        self._size = len(ids)

    def _write(self, method: str, vectors: np.ndarray, ids: np.ndarray) -> None:
        for part in self._parts(ids):
            rows = zip(ids[part].tolist(), vectors[part], strict=True)
            self._ask(method, data=[{"id": id, "vector": vector} for id, vector in rows])

    def _search(self, queries: np.ndarray, k: int) -> Found:
        found = self._hits(queries, k, {"ef": max(self.ef_search, k), "nprobe": self.nprobe})
        short = [i for i, (_, ids) in enumerate(found) if len(ids) < k]
        if short:
            k = min(k, len(self))  # somebody else may have deleted some
            wider = self._hits(
                queries[short], k, {"ef": min(max(self._size, k), 32_768), "nprobe": 65_536}
            )  # Milvus's limits
            for i, (scores, ids) in zip(short, wider, strict=True):
                found[i] = (
                    (scores, ids) if len(ids) >= k else self._search_everywhere(queries[i], k)
                )
        return np.array([scores[:k] for scores, _ in found], np.float32), np.array(
            [ids[:k] for _, ids in found], np.int64
        )

    def _hits(self, queries: np.ndarray, k: int, effort: dict[str, int]) -> list[Found]:
        used = {"FLAT": (), "HNSW": ("ef",), "IVF_FLAT": ("nprobe",)}[self.kind]
        hits = self._ask(
            "search",
            data=queries,
            limit=k,
            search_params={"metric_type": "IP", "params": {name: effort[name] for name in used}},
            output_fields=["id"],  # else Milvus Lite sends the vectors, too
            consistency_level="Strong",
        )
        return [(row.distances, row.ids) for row in hits]

    def _search_everywhere(self, query: np.ndarray, k: int) -> Found:
        """Fetch all vectors and compare: the last resort where a graph has corners that no path
        leads to.
        """
        rows = []
        with self._talk():
            pages = self._client.query_iterator(
                self.collection, batch_size=self.ROWS, output_fields=["id", "vector"]
            )
            while page := pages.next():
                rows += page
            pages.close()
        scores, ids = (
            np.array([row["vector"] for row in rows], np.float32) @ query,
            np.array([row["id"] for row in rows]),
        )
        best = np.argsort(-scores)[:k]
        return scores[best], ids[best]

    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        self._write("upsert", vectors, ids)

    def _delete(self, ids: np.ndarray) -> None:
        for part in self._parts(ids):
            self._ask("delete", ids=ids[part].tolist())
        self._size -= len(ids)

    def _known(self, ids: np.ndarray) -> np.ndarray:
        asked = [
            self._ask(
                "query", ids=ids[part].tolist(), output_fields=["id"], consistency_level="Strong"
            )
            for part in self._parts(ids)
        ]
        return np.isin(ids, [row["id"] for rows in asked for row in rows])

    def _parts(self, ids: np.ndarray) -> list[slice]:
        return [slice(start, start + self.ROWS) for start in range(0, len(ids), self.ROWS)]

    def _arrays(self) -> dict[str, np.ndarray]:
        if self._temporary:
            raise ValueError(
                "this Milvus database is temporary and ends with the index, so a saved card would lead nowhere; "
                "make the index with a uri, such as 'items.db'."
            )
        self._ask("flush")
        return {}

    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        if self.dim != dim:  # the constructor has looked
            raise ValueError(
                f"Milvus at {self.uri} has no collection '{self.collection}' of {dim} columns; build the index again."
            )

    def _ask(self, method: str, **arguments):
        with self._talk():
            return getattr(self._client, method)(self.collection, timeout=self.timeout, **arguments)

    @contextmanager
    def _talk(self) -> Iterator[None]:
        """What goes wrong between this process and Milvus, in one sentence."""
        import grpc

        try:
            yield
        except (self._milvus.MilvusException, grpc.RpcError) as error:
            message = str(getattr(error, "message", "") or error)
            if (
                isinstance(error, grpc.RpcError)
                or "connecting to server" in message
                or "Retry timeout" in message
            ):
                raise ConnectionError(
                    f"Milvus does not answer at {self.uri}; is it running, is that its address, and is the timeout long enough?"
                ) from error
            if "Open local milvus failed" in message:
                reasons = "its folder is missing, another process has it open, or it is damaged"
                raise ValueError(f"{self.uri} can't be opened: {reasons}.") from error
            raise ValueError(
                f"Milvus at {self.uri} refuses: {message.splitlines()[0].rstrip('.')}."
            ) from error


def _milvus_uri(uri: str | os.PathLike | None) -> str:
    uri = str(Path(tempfile.mkdtemp(prefix="milvus-"), "index.db")) if uri is None else str(uri)
    if "@" in uri and "://" in uri:
        raise ValueError(
            "a saved index shows its uri to everybody; put user:password into the environment's MILVUS_TOKEN instead."
        )
    if uri.startswith(("http://", "https://")):
        return uri
    if uri.endswith(".db"):
        return os.path.abspath(uri)
    raise ValueError(
        f"uri is '{uri}'; name a file that ends in .db (Milvus Lite), or a server as http://host:19530."
    )


def _pymilvus():
    os.environ.setdefault(
        "GRPC_VERBOSITY", "NONE"
    )  # read when grpc is imported; errors arrive as exceptions all the same
    try:
        import milvus_lite  # noqa: F401 (pymilvus finds it by itself)
        import pymilvus
    except ImportError as error:
        raise ImportError(
            "MilvusIndex needs pymilvus and milvus-lite: pip install pymilvus milvus-lite."
        ) from error
    for name in ("pymilvus", "milvus_lite", "grpc._server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus


def _forget(client, uri: str) -> None:
    """End an embedded database and remove it."""
    from milvus_lite.server_manager import server_manager_instance

    client.close()
    server_manager_instance.release_server(uri)
    shutil.rmtree(Path(uri).parent, ignore_errors=True)


# -- shared ----------------------------------------------------------------------------------------
# -------------------


def _read(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:  # a zip file: every part has a checksum
            arrays = {name: file[name] for name in file.files}
        return json.loads(str(arrays.pop("meta"))), arrays
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # zipfile and NumPy meet damage with a dozen kinds of exceptions
        raise ValueError(
            f"{path} is no saved index, or it is damaged or cut short; save the index again."
        ) from error


def _pairs(vectors: Vectors, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vectors, ids = _matrix(vectors, "vectors"), _whole(ids)
    if len(ids) != len(vectors) or len(np.unique(ids)) != len(ids):
        different = len(np.unique(ids))
        raise ValueError(
            f"{len(vectors)} vectors came with {len(ids)} ids, {different} of them different; each needs its own."
        )
    return vectors, ids


def _whole(ids: np.ndarray) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 1 or (len(ids) and (ids.dtype.kind not in "iu" or ids.min() < 0)):
        raise ValueError("ids must be whole numbers from 0 on, in one dimension.")
    return ids.astype(np.int64)


def _matrix(vectors: Vectors, name: str) -> np.ndarray:
    if isinstance(vectors, torch.Tensor):
        vectors = vectors.detach().cpu()
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:
        raise ValueError(f"{name} have {vectors.ndim} dimension(s); they need two, [n, d].")
    broken = ~np.isfinite(vectors).all(1)
    if broken.any():
        raise ValueError(
            f"{name} hold NaN or infinity in row {int(broken.argmax())}; the model that made them diverged."
        )
    return vectors
