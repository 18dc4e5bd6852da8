"""The contract of `VectorIndex`, for every engine of the library and for a made-up one."""

import importlib
import itertools
import sys
from pathlib import Path

import pytest
from helpers import refusal
from index_contract import LOCAL, Make, check_contract

from course_lib.index import FaissIndex, MilvusIndex, VectorIndex
from course_lib.index.base import Dial

FULL = {"nprobe": 1_000, "M": 64, "ef_construction": 1_000, "ef_search": 1_000}  # exact, if so few


@pytest.mark.parametrize("make", LOCAL)
def test_an_engine_lives_up_to_the_contract(make: Make):
    engine = getattr(make, "func", make)
    dials = {name: FULL[name] for name in FULL if isinstance(vars(engine).get(name), Dial)}
    product = getattr(make, "keywords", {}).get("kind") == "ivfpq"
    check_contract(lambda: make(**dials), not product, 12 if product else 40, 20)


@pytest.mark.parametrize("kind", MilvusIndex.KINDS)
def test_milvus_lives_up_to_the_contract(kind: str, tmp_path: Path):
    names = (f"life_{number}" for number in itertools.count())
    dials = {"ef_search": 1_000, "M": 64, "nprobe": 1_000, "kind": kind}
    check_contract(lambda: MilvusIndex(tmp_path / "x.db", next(names), **dials), True, 2, 8)


MADE_UP = '''
from dataclasses import dataclass

import numpy as np

from course_lib.index.base import Dial, VectorIndex


@dataclass(eq=False)
class MadeUpIndex(VectorIndex):
    """Every product, in NumPy. `slices`: into how many the queries are cut."""

    slices: int = Dial(1, 1, 100)

    def __post_init__(self):
        self._held = {}

    def _build(self, vectors, ids):
        self._held = {}
        self._upsert(vectors, ids)

    def _search(self, queries, k):
        rows, ids = np.stack(list(self._held.values())), np.array(list(self._held))
        scores = np.concatenate([part @ rows.T for part in np.array_split(queries, self.slices)])
        best = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, best, axis=1), ids[best]

    def _upsert(self, vectors, ids):
        self._held.update(zip(ids.tolist(), vectors.copy()))

    def _delete(self, ids):
        for id in ids.tolist():
            del self._held[id]

    def _arrays(self):
        ids = np.array(list(self._held), np.int64)
        return {"ids": ids, "vectors": np.array(list(self._held.values()), np.float32)}

    def _restore(self, arrays, dim):
        self._build(arrays["vectors"].reshape(-1, dim), arrays["ids"])


class DerivedIndex(MadeUpIndex):
    pass
'''


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module with a new engine, as somebody else would write one."""
    (tmp_path / "made_up_engine.py").write_text(MADE_UP, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_up_engine")
    del sys.modules["made_up_engine"]


def test_a_new_engine_is_one_file(made_up):
    check_contract(made_up.MadeUpIndex, True, 40, 20)
    check_contract(lambda: made_up.DerivedIndex(slices=3), True, 10, 20)
    assert refusal(made_up.MadeUpIndex, 0).startswith("slices is 0; it takes a whole number")


def test_a_class_that_cannot_open_a_file_says_which_can(made_up, tmp_path: Path):
    index = made_up.DerivedIndex(slices=2)
    index.build([[1.0, 2.0]], [7])
    index.save(tmp_path / "x")
    assert made_up.MadeUpIndex.load(tmp_path / "x").slices == 2
    message = refusal(FaissIndex.load, tmp_path / "x")
    assert "holds a DerivedIndex, not a FaissIndex" in message and "VectorIndex.load" in message
    made_up.DerivedIndex.__name__ = "NotHere"
    index.save(tmp_path / "x")
    made_up.DerivedIndex.__name__ = "DerivedIndex"
    message = refusal(VectorIndex.load, tmp_path / "x")
    assert "holds a NotHere" in message and "import that engine first" in message
