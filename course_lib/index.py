"""Vector indexes: where item vectors are kept, and searched by user vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import faiss
import numpy as np
import torch

Vectors = np.ndarray | torch.Tensor


class VectorIndex(ABC):
    """Item vectors by id, searched by inner product; on unit vectors that is the cosine."""

    @abstractmethod
    def build(self, vectors: Vectors, ids: np.ndarray) -> None:
        """Hold these vectors [m, d] under these ids [m] (int64, each once), and nothing else."""

    @abstractmethod
    def search(self, queries: Vectors, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of every query [n, d]: scores [n, k], falling, and ids [n, k].

        With k beyond `len`, as many as there are. Raises ValueError for k < 1, an empty index, or other than d columns.
        """

    @abstractmethod
    def __len__(self) -> int: ...


class FaissIndex(VectorIndex):
    """Faiss (Douze et al., 2024). `kind="flat"` compares the query with every vector: exact, and the yardstick."""

    def __init__(self, kind: str = "flat") -> None:
        if kind != "flat":
            raise ValueError(f"kind is '{kind}'; there is 'flat'.")
        self.kind = kind
        self._index: faiss.Index | None = None

    def build(self, vectors: Vectors, ids: np.ndarray) -> None:
        vectors, ids = _matrix(vectors, "vectors"), np.asarray(ids, dtype=np.int64)
        if len(ids) != len(vectors) or len(np.unique(ids)) != len(ids):
            different = len(np.unique(ids))
            raise ValueError(f"{len(vectors)} vectors came with {len(ids)} ids, {different} of them different; each needs its own.")
        index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
        index.add_with_ids(vectors, ids)
        self._index = index

    def search(self, queries: Vectors, k: int) -> tuple[np.ndarray, np.ndarray]:
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item.")
        if len(self) == 0:
            raise ValueError("the index is empty; build it with item vectors first.")
        queries = _matrix(queries, "queries")
        if queries.shape[1] != self._index.d:
            raise ValueError(f"queries have {queries.shape[1]} columns, the index has {self._index.d}; use vectors of one model.")
        return self._index.search(queries, min(k, len(self)))

    def __len__(self) -> int:
        return 0 if self._index is None else self._index.ntotal


def _matrix(vectors: Vectors, name: str) -> np.ndarray:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:
        raise ValueError(f"{name} have {vectors.ndim} dimension(s); they need two, [n, d].")
    broken = ~np.isfinite(vectors).all(1)
    if broken.any():
        raise ValueError(f"{name} hold NaN or infinity in row {int(broken.argmax())}; the model that made them diverged.")
    return vectors
