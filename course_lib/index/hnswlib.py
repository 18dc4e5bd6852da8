"""hnswlib: a graph, in this process."""

from __future__ import annotations

import tempfile
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from course_lib.index.base import Dial, Found, Tombstones, VectorIndex, search_all


@dataclass(eq=False)
class HnswlibIndex(VectorIndex):
    """hnswlib (Malkov and Yashunin, 2018), in this process: a graph by the authors of HNSW.

    Replaced and deleted rows are kept hidden, as in `FaissIndex`: to reuse one costs hnswlib 5 to 7
    times an insertion, and recall goes down with every round.

    `ef_search` may be moved at any time: higher is nearer to exact, and slower. A query that finds
    fewer than k is searched again exactly. `M` and `ef_construction` count at the next `build`.
    """

    _: KW_ONLY
    M: int = Dial(16, 2, 2048)
    ef_construction: int = Dial(100)
    ef_search: int = Dial(150)

    def __post_init__(self) -> None:
        try:
            import hnswlib
        except ImportError as error:
            raise ImportError(
                "HnswlibIndex needs hnswlib: pip install hnswlib where there is a C++ compiler, "
                "else conda install -c conda-forge hnswlib."
            ) from error
        self._engine, self._index = hnswlib, None
        self._held = Tombstones(np.zeros(0, np.int64))

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        index = self._engine.Index("ip", vectors.shape[1])
        index.init_index(max(len(ids), 1), M=self.M, ef_construction=self.ef_construction)
        if len(ids):
            index.add_items(vectors, np.arange(len(ids)))
        self._index, self._held = index, Tombstones(ids)

    def _search(self, queries: np.ndarray, k: int) -> Found:
        self._index.set_ef(max(self.ef_search, k))
        try:
            rows, distances = self._index.knn_query(queries, k)
        except RuntimeError:  # one of the walks found fewer than k; it does not say which
            if len(queries) == 1:
                return self._search_everywhere(queries, k)
            halves = [self._search(half, k) for half in np.array_split(queries, 2)]
            return tuple(np.concatenate(parts) for parts in zip(*halves, strict=True))
        return 1 - distances, self._held.ids[rows.astype(np.int64)]

    def _search_everywhere(self, query: np.ndarray, k: int) -> Found:
        living = self._held.living()
        return search_all(query, k, self._vectors(living), self._held.ids[living])

    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        row = len(self._held.ids)
        if row + len(ids) > self._index.get_max_elements():
            self._index.resize_index((row + len(ids)) * 5 // 4)
        try:
            self._index.add_items(vectors, row + np.arange(len(ids)))
        except BaseException:  # Ctrl-C, say
            self._rebuild()
            raise
        self._hide(self._held.add(ids, row))

    def _delete(self, ids: np.ndarray) -> None:
        self._hide(self._held.bury(ids))

    def _hide(self, dead: np.ndarray) -> None:
        for row in dead.tolist():
            self._index.mark_deleted(row)
        if self._held.crowded():
            self._rebuild()

    def _rebuild(self) -> None:
        living = self._held.living()
        self._build(self._vectors(living), self._held.ids[living])

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        vectors = self._index.get_items(rows)
        return np.asarray(vectors, np.float32).reshape(len(rows), self._index.dim)

    def _arrays(self) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:  # hnswlib writes to files only
            self._index.save_index(str(Path(folder, "index")))
            index = np.fromfile(Path(folder, "index"), np.uint8)
        return {"index": index, "ids": self._held.ids.copy()}

    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        index, ids = self._engine.Index("ip", dim), arrays["ids"]
        with tempfile.TemporaryDirectory() as folder:
            arrays["index"].tofile(Path(folder, "index"))
            index.load_index(str(Path(folder, "index")))
        if index.get_current_count() != len(ids):
            raise RuntimeError("the index and its ids do not belong together")
        self._index, self._held = index, Tombstones(ids)
