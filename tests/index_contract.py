"""What every vector index must do: random lives by hypothesis, against brute force."""

import importlib.util
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from course_lib.index import VectorIndex

Make = Callable[..., VectorIndex]
DIM = 8

needs_hnswlib = pytest.mark.skipif(
    importlib.util.find_spec("hnswlib") is None, reason="hnswlib is not installed: no C++ compiler?"
)


def engines(*without: str) -> list:
    """pytest parameters: every engine of the library, in every kind that it has."""
    made = []
    for name, engine in VectorIndex.engines().items():
        if engine.__module__ in ("course_lib.index.base", *without):
            continue
        if not engine.__module__.startswith("course_lib.index."):
            continue  # made up by another test
        marks = needs_hnswlib if name == "HnswlibIndex" else ()
        for kind in engine.KINDS or (None,):
            make = engine if kind is None else partial(engine, kind=kind)
            made.append(pytest.param(make, id=f"{name}-{kind}" if kind else name, marks=marks))
    return made


ENGINES = engines()
LOCAL = engines("course_lib.index.milvus")


class Reference:
    """What an index must answer: a dictionary and brute force, in float64."""

    def __init__(self, vectors=(), ids=()) -> None:
        self.vectors: dict[int, np.ndarray] = {}
        self.upsert(vectors, ids)

    def upsert(self, vectors, ids) -> None:
        rows = np.asarray(vectors, np.float64)
        self.vectors.update(zip(np.asarray(ids).tolist(), rows, strict=True))

    def delete(self, ids) -> None:
        for id in np.asarray(ids).tolist():
            del self.vectors[id]

    def compare(self, index: VectorIndex, queries, k: int) -> float:
        """Recall@k (equal scores count), once all that must hold for any engine does."""
        scores, ids = index.search(queries, k)
        queries, k = np.asarray(queries, np.float64), min(k, len(self.vectors))
        assert len(index) == len(self.vectors)
        assert scores.shape == ids.shape == (len(queries), k)
        assert (scores.dtype, ids.dtype) == (np.float32, np.int64)
        assert all(len(set(row)) == k for row in ids.tolist()), "an item twice"
        assert set(ids.ravel().tolist()) <= set(self.vectors), "an id that is not there"
        assert (np.diff(scores, axis=1) <= 1e-5).all(), "not falling"
        products = queries @ np.stack(list(self.vectors.values())).T
        threshold = np.sort(products, axis=1)[:, -k, None] - 1e-5
        pairs = zip(queries, ids.tolist(), strict=True)
        own = np.array([[self.vectors[id] @ query for id in row] for query, row in pairs])
        if getattr(index, "kind", "") != "ivfpq":  # whose scores are approximate
            np.testing.assert_allclose(scores, own, atol=1e-5)
        return float((own >= threshold).mean())


class Contract(RuleBasedStateMachine):
    """Builds, upserts, deletes, searches, saves and loads; ids are few, so that they meet again."""

    make: Make
    exact: bool
    folder: Path
    some_ids = st.lists(
        st.one_of(st.integers(0, 30), st.sampled_from([2**31, 2**53 + 1, 2**63 - 1])),
        unique=True,
        max_size=24,
    )

    def __init__(self) -> None:
        super().__init__()
        self.index, self.reference, self.dim = type(self).make(), Reference(), None

    def teardown(self) -> None:
        self.index.drop()

    def drawn(self, ids, seed: int, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
        """Vectors for these ids; coarse ones are often equal, and sometimes 0."""
        rng, shape = np.random.default_rng(seed), (len(ids), DIM)
        vectors = rng.integers(-1, 2, shape) if coarse else rng.normal(size=shape)
        return vectors.astype(np.float32), np.array(ids, np.int64)

    @initialize(ids=some_ids, seed=st.integers(0, 99), coarse=st.booleans())
    def begin(self, ids, seed, coarse) -> None:
        self.build(ids, seed, coarse)

    @rule(ids=some_ids, seed=st.integers(0, 99), coarse=st.booleans())
    def build(self, ids, seed, coarse) -> None:
        vectors, ids = self.drawn(ids, seed, coarse)
        self.index.build(vectors, ids)
        self.reference = Reference(vectors, ids)
        vectors[:] = 9  # the index has its own

    @rule(ids=some_ids, seed=st.integers(0, 99), coarse=st.booleans())
    def upsert(self, ids, seed, coarse) -> None:
        vectors, ids = self.drawn(ids, seed, coarse)
        self.index.upsert(vectors, ids)
        self.reference.upsert(vectors, ids)
        vectors[:], ids[:] = 9, 9

    @rule(data=st.data())
    def delete(self, data) -> None:
        present = sorted(self.reference.vectors)
        gone = data.draw(st.lists(st.sampled_from(present), unique=True)) if present else []
        self.index.delete(np.array(gone, np.int64))
        self.reference.delete(gone)

    @rule(seed=st.integers(0, 99), n=st.integers(0, 3), k=st.sampled_from([1, 5, 2**40]))
    def search(self, seed, n, k) -> None:
        queries, _ = self.drawn(range(n), seed, False)
        if not self.reference.vectors:
            assert "is empty" in refusal(self.index.search, queries, k)
        elif n:
            recall = self.reference.compare(self.index, queries, k)
            assert recall == 1 or not self.exact

    @rule(version=st.sampled_from([None, "v1", 7]))
    def save_and_load(self, version) -> None:
        path = self.folder / "index"
        self.index.version = version
        self.index.save(path)
        self.index = VectorIndex.load(path, version=version)
        assert self.index.version == (None if version is None else str(version))

    @rule(ids=some_ids.filter(len), seed=st.integers(0, 99))
    def refused(self, ids, seed) -> None:
        vectors, ids = self.drawn(ids, seed, False)
        assert "columns" in refusal(self.index.upsert, vectors[:, 1:], ids)
        assert "of them different" in refusal(self.index.upsert, vectors[[0, 0]], ids[[0, 0]])
        if missing := set(ids.tolist()) - set(self.reference.vectors):
            unknown = [*list(self.reference.vectors)[:2], missing.pop()]
            assert "not in the index" in refusal(self.index.delete, unknown)

    @invariant()
    def size(self) -> None:
        assert len(self.index) == len(self.reference.vectors)


def check_contract(make: Make, exact: bool, examples: int, steps: int) -> None:
    """Drive an index through that many lives, the same ones each time: no test is a lottery."""
    with tempfile.TemporaryDirectory() as folder:
        machine = {"make": staticmethod(make), "exact": exact, "folder": Path(folder)}
        run_state_machine_as_test(
            type("Lives", (Contract,), machine),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
