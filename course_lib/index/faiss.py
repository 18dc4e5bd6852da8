"""Faiss: exact search, inverted lists, and a graph, in this process."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import faiss
import numpy as np

from course_lib.index.base import Dial, Found, Kind, Tombstones, VectorIndex


@dataclass(eq=False)
class FaissIndex(VectorIndex):
    """Faiss (Douze et al., 2024), in this process. `kind` is one of

    - "flat": compares the query with every vector; exact, and the yardstick. Changes in place.
    - "ivf": k-means puts the vectors into `nlist` lists (by default √m), a query looks into the
      `nprobe` nearest. Changes in place. `build` learns the lists; after most items have changed,
      build again.
    - "ivfpq": the same, with each vector cut into `pq_m` parts of one byte each (Jégou et al.,
      2011), 16 times smaller by default; scores are approximate, too.
    - "hnsw": a graph in layers, walked greedily (Malkov and Yashunin, 2018): `M` neighbours a
      vector, candidate lists of `ef_construction` and `ef_search`. Replaced and deleted rows stay
      in the graph, hidden; when they are over a quarter of it, it is built anew.

    `nprobe` and `ef_search` may be moved at any time: higher is nearer to exact, and slower. A
    query that finds fewer than k is searched again exactly ("ivfpq": in all lists). The other
    dials count at the next `build`.
    """

    KINDS = ("flat", "ivf", "hnsw", "ivfpq")

    kind: str = Kind(KINDS)
    _: KW_ONLY
    nlist: int | None = Dial(None)
    nprobe: int = Dial(16)
    pq_m: int | None = Dial(None)
    M: int = Dial(16, 2, 2048)
    ef_construction: int = Dial(100)
    ef_search: int = Dial(150)

    def __post_init__(self) -> None:
        self._index: faiss.Index | None = None
        # the ids; with their rows where Faiss numbers the vectors itself
        self._held: set[int] | Tombstones = set()
        # made once, since that takes a tenth of a search
        self._effort: faiss.SearchParameters | None = None

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        index = _trained(self, vectors)
        if self._by_row():
            index.add(vectors)
        else:
            index.add_with_ids(vectors, ids)
        self._take(index, ids)

    def _take(self, index: faiss.Index, ids: np.ndarray) -> None:
        held = Tombstones(ids) if self._by_row() else set(ids.tolist())
        self._index, self._held = index, held
        graph = self.kind == "hnsw"
        self._effort = faiss.SearchParametersHNSW() if graph else faiss.SearchParametersIVF()

    def _search(self, queries: np.ndarray, k: int) -> Found:
        index = self._index
        if self.kind == "flat":
            scores, rows = index.search(queries, k)
            return scores, self._held.ids.take(rows)
        if self.kind == "hnsw":  # Faiss allocates all of ef
            self._effort.efSearch = min(max(self.ef_search, k), len(self._held.ids))
        else:
            self._effort.nprobe = min(self.nprobe, index.nlist)
        scores, found = index.search(queries, k, params=self._effort)
        if -1 in found[:, -1].tolist():  # Faiss fills up with it
            short = found[:, -1] < 0
            scores[short], found[short] = self._search_everywhere(queries[short], k)
        return scores, self._held.ids.take(found) if self.kind == "hnsw" else found

    def _search_everywhere(self, queries: np.ndarray, k: int) -> Found:
        index = self._index
        if self.kind == "hnsw":
            living = faiss.SearchParameters(sel=self._effort.sel)
            return index.storage.search(queries, k, params=living)
        return index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=index.nlist))

    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        index = self._index
        if self.kind == "flat":
            rows = self._held.rows(ids)
            known = rows >= 0
            self._add(vectors[~known], ids[~known])
            self._stored()[rows[known]] = vectors[known]
        elif self.kind == "hnsw":
            self._add(vectors, ids)
        else:
            known = ids[self._known(ids)]
            old = index.reconstruct_batch(known)
            index.remove_ids(known)
            try:
                index.add_with_ids(vectors, ids)
            except BaseException:
                index.remove_ids(ids)
                index.add_with_ids(old, known)
                raise
            self._held.update(ids.tolist())

    def _add(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        row = self._index.ntotal
        try:
            self._index.add(vectors)
        except BaseException:  # Ctrl-C, say: what Faiss has taken by then is dead
            ids, row = ids[:0], self._index.ntotal
            raise
        finally:
            self._held.add(ids, row)
            self._tidy()

    def _delete(self, ids: np.ndarray) -> None:
        if self._by_row():
            self._held.bury(ids)
            self._tidy()
        else:
            self._index.remove_ids(ids)
            self._held.difference_update(ids.tolist())

    def _tidy(self) -> None:
        """Fill dead rows with the last; hide a graph's, or build it anew without them."""
        held = self._held
        if self.kind == "flat":
            if len(held) < len(held.ids):
                moved, gaps = held.fill()
                stored = self._stored()
                stored[gaps] = stored[moved]
                self._index.remove_ids(faiss.IDSelectorRange(len(held), len(stored)))
        elif held.crowded():
            living = held.living()
            self._build(self._index.reconstruct_batch(living), held.ids[living])
        elif len(held) < len(held.ids):
            alive = np.packbits(held.ids >= 0, bitorder="little")
            self._effort = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBitmap(alive))

    def _by_row(self) -> bool:
        """Whether Faiss numbers the vectors itself."""
        return self.kind in ("flat", "hnsw")

    def _stored(self) -> np.ndarray:
        """[rows, d] a flat index's vectors: a window on Faiss's memory until the next call."""
        flat = self._index
        return faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(-1, flat.d)

    def _arrays(self) -> dict[str, np.ndarray]:
        ids = self._held.ids.copy() if self._by_row() else np.array([*self._held], np.int64)
        return {"index": faiss.serialize_index(self._index), "ids": ids}

    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        index, ids = faiss.deserialize_index(arrays["index"]), arrays["ids"]
        if (index.d, index.ntotal) != (dim, len(ids)):
            raise RuntimeError("the index and its ids do not belong together")
        self._take(index, ids)
        if self._by_row():
            self._tidy()


def _trained(dials: FaissIndex, vectors: np.ndarray) -> faiss.Index:
    """An index that has learned from the vectors what it must, and holds none of them."""
    (m, d), kind = vectors.shape, dials.kind
    lists = max(1, min(dials.nlist or round(m**0.5), m))
    parts = dials.pq_m or max(p for p in range(1, max(d // 4, 1) + 1) if d % p == 0)
    if kind == "ivfpq" and d % parts:
        cut = f"{d} columns, which can't be cut into pq_m = {parts} equal parts"
        raise ValueError(f"vectors have {cut}.")
    recipes = {
        "flat": "Flat",
        "ivf": f"IVF{lists},Flat",
        "ivfpq": f"IVF{lists},PQ{parts}",
        "hnsw": f"HNSW{dials.M},Flat",
    }
    index = faiss.index_factory(d, recipes[kind], faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        index.hnsw.efConstruction = dials.ef_construction
    if kind == "ivfpq":
        index.do_polysemous_training = False  # slow, and for a search that is not ours
        index.pq.cp.min_points_per_centroid = 1  # or Faiss warns on stderr when items are few
    if kind in ("ivf", "ivfpq"):
        index.cp.min_points_per_centroid = 1
        index.train(np.resize(vectors, (max(m, 256), d)))  # a byte tells 256 vectors apart
        index.set_direct_map_type(faiss.DirectMap.Hashtable)  # finds an id's list, to remove it
    return index
