"""The vector indexes: what they take and refuse, how near to exact they are, what failures leave.

tests/test_index_contract.py drives every engine through random lives; here are the single cases.
"""

import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import refusal, unit_vectors
from index_contract import LOCAL, Make, Reference, needs_hnswlib

from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex, VectorIndex
from course_lib.index import faiss as module

IDS = np.random.default_rng(0).permutation(np.arange(10_000, 10_300))
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def index() -> FaissIndex:
    index = FaissIndex("flat")
    index.build(unit_vectors(300, 12, seed=1), IDS)
    return index


def built(make: Make, rows: int = 300, dim: int = 12) -> VectorIndex:
    index = make()
    index.build(unit_vectors(rows, dim, seed=1), np.arange(rows))
    return index


@pytest.mark.parametrize("k", [1, 7, 300])
def test_flat_search_is_exact(index: FaissIndex, k: int):
    queries = unit_vectors(5, 12, seed=2)
    scores, ids = index.search(queries, k)
    cosines = queries.double().numpy() @ unit_vectors(300, 12, seed=1).double().numpy().T
    order = np.argsort(-cosines, axis=1)[:, :k]
    assert (ids == IDS[order]).all()
    np.testing.assert_allclose(scores, np.take_along_axis(cosines, order, axis=1), atol=1e-6)


def test_inner_product_and_not_distance(index: FaissIndex):
    """A long vector that points the right way beats a short one nearby: L2 would get that wrong."""
    index.build(np.array([[10.0, 0.0], [0.9, 0.1]]), np.array([1, 2]))
    assert index.search(np.array([[1.0, 0.0]]), 2)[1].tolist() == [[1, 2]]


def test_an_empty_index(index: FaissIndex):
    for empty in (FaissIndex(), index):
        assert refusal(FaissIndex().delete, [3]) == (
            "1 of 1 ids are not in the index, the first is 3."
        )
        empty.build(np.zeros((0, 12)), [])
        assert len(empty) == 0 and empty.dim == 12
        assert refusal(empty.search, np.zeros((1, 12)), 1).startswith("the index is empty")


# -- what goes in --------------------------------------------------------------------------------

GRID = np.random.default_rng(3).integers(-3, 4, (40, 12)).astype(np.float32)  # exact in every type


@pytest.mark.parametrize("make", LOCAL)
def test_vectors_of_every_type_and_layout_are_the_same_vectors(make: Make):
    wide = np.repeat(np.repeat(GRID, 2, axis=0), 3, axis=1)
    frozen = GRID.copy()
    frozen.setflags(write=False)
    forms = {
        "float16": GRID.astype(np.float16),
        "bfloat16": torch.tensor(GRID).bfloat16(),
        "float64": GRID.astype(np.float64),
        "big-endian": GRID.astype(">f8"),
        "int8": GRID.astype(np.int8),
        "int64 tensor": torch.tensor(GRID).long(),
        "strided": wide[::2, ::3],
        "backwards": GRID[::-1, ::-1].copy()[::-1, ::-1],
        "Fortran": np.asfortranarray(GRID),
        "strided tensor": torch.tensor(wide)[::2, ::3],
        "requires grad": torch.tensor(GRID, requires_grad=True),
        "read-only": frozen,
        "list": GRID.tolist(),
        "frame": pd.DataFrame(GRID.astype(np.float64)),
        "Arrow frame": pd.DataFrame(GRID).astype("float[pyarrow]"),
    }
    expected, reference = None, Reference(GRID, np.arange(40))
    for name, form in ({"plain": GRID} | forms).items():
        index = make()
        index.M = 48  # a graph of all neighbours, and so exact
        index.build(form, np.arange(40))
        scores, _ = index.search(form, 9)
        expected = scores if expected is None else expected
        assert np.array_equal(scores, expected), name  # equal products may change places
        reference.compare(index, GRID, 9)


@pytest.mark.parametrize(
    "vectors, sentence",
    [
        (np.zeros((2, 11)), "have 11 columns, the index has 12"),
        (np.zeros(12), "are float64 [12]; they need to be numbers [n, d]"),
        (np.zeros((2, 12, 1)), "are float64 [2, 12, 1]; they"),
        (np.zeros((2, 0)), "are float64 [2, 0]; they"),
        ([[1.0] * 12, [1.0] * 11], "are no table of numbers"),
        (None, "are object []; they"),
        (np.full((2, 12), "1"), "are <U1 [2, 12]; they"),
        (np.full((2, 12), None), "are object [2, 12]; they"),
        (np.full((2, 12), 1j), "are complex128 [2, 12]; they"),
        (np.array([[0.0] * 12, [NAN] * 12]), "hold NaN or infinity in row 1"),
        (torch.tensor([[0.0] * 12, [INFINITY] * 12]), "hold NaN or infinity in row 1"),
        (np.full((2, 12), 1e39), "hold NaN or infinity in row 0"),
        (torch.full((2, 12), -1e39, dtype=torch.float64), "hold NaN or infinity in row 0"),
        (np.full((2, 12), 1e30, np.float32), "hold NaN or infinity in row 0, or numbers beyond"),
    ],
)
def test_vectors_that_are_refused_change_nothing(index: FaissIndex, vectors, sentence: str):
    before = index.search(unit_vectors(3, 12, seed=1), 300)
    assert f"vectors {sentence}" in refusal(index.upsert, vectors, [10_000, 1])
    assert f"queries {sentence}" in refusal(index.search, vectors, 1)
    if "the index has" not in sentence:
        assert f"vectors {sentence}" in refusal(index.build, vectors, [10_000, 1])
    after = index.search(unit_vectors(3, 12, seed=1), 300)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e18, 1e-30])
@pytest.mark.parametrize("make", LOCAL)
def test_very_long_and_very_short_vectors_have_products(make: Make, size: float):
    index, vectors = make(), unit_vectors(300, 8, seed=1).double() * size
    index.build(vectors, np.arange(300))
    scores, ids = index.search(-vectors[:20], 300)
    assert np.isfinite(scores).all() and (np.sort(ids) == np.arange(300)).all()


@pytest.mark.parametrize(
    "ids",
    [
        [5, 0, 2**53 + 1],
        (5, 0, 9),
        range(3),
        np.array([5, 0, 255], np.uint8),
        np.array([5, 0, 2**63 - 1], np.uint64),
        np.array([5, 0, 9], ">i4"),
        np.array([5, 0, 9], object),
        np.arange(12)[::4],
        torch.tensor([5, 0, 9]),
        torch.tensor([5, 0, 9], dtype=torch.uint8),
        pd.Index([5, 0, 2**62]),
        pd.Series([5, 0, 9], index=[7, 8, 9]),
        pd.Series([5, 0, 2**62 + 1], dtype="int64[pyarrow]"),
        pd.Series([5, 0, 2**62 + 1], dtype="Int64"),
        pd.Series([5, 0, 9], dtype="category"),
    ],
)
def test_ids_come_back_as_they_went_in(ids):
    index, wanted = FaissIndex(), [int(id) for id in ids]
    index.build(np.eye(3), ids)
    assert index.search(np.eye(3), 1)[1].ravel().tolist() == wanted
    index.upsert(2 * np.eye(3)[:1], ids[:1] if not isinstance(ids, pd.Series) else ids.iloc[:1])
    index.delete(ids)
    assert len(index) == 0


@pytest.mark.parametrize(
    "ids",
    [
        np.array([1, 2**63], np.uint64),
        [1, 2**64],
        [1, -1],
        [1.0, 2.0],
        [1, NAN],
        [True, False],
        np.array([1, True], object),
        ["1", "2"],
        [1, None],
        pd.Series([1, None], dtype="int64[pyarrow]"),
        pd.Series([1, None], dtype="Int64"),
        pd.to_datetime(["2020-01-01", "2020-01-02"]),
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([True, False]),
        [[1], [2]],
        {1, 2},
        7,
        None,
    ],
)
def test_ids_that_are_refused_change_nothing(index: FaissIndex, ids):
    for call in (index.build, index.upsert):
        assert refusal(call, np.eye(2, 12), ids).startswith("ids must be whole numbers from 0")
    assert refusal(index.delete, ids).startswith("ids must be whole numbers from 0")
    assert len(index) == 300


def test_each_vector_needs_an_id_of_its_own(index: FaissIndex):
    for call in (index.build, index.upsert):
        assert refusal(call, np.eye(2, 12), [1]).startswith("2 vectors came with 1 ids")
        assert "1 of them different" in refusal(call, np.eye(2, 12), [1, 1])
    message = refusal(index.delete, [*IDS[:2], 77, 99])
    assert message == "2 of 4 ids are not in the index, the first is 77."
    assert refusal(index.delete, IDS[[0, 1, 0]]).startswith("3 ids came, 2 of them different")
    assert len(index) == 300


@pytest.mark.parametrize("k", [np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_k_is_any_whole_number(index: FaissIndex, k):
    assert index.search(np.eye(2, 12), k)[1].shape == (2, 3)
    assert index.search(np.eye(2, 12), 2**31)[1].shape == (2, 300)
    assert index.search(np.eye(2, 12), 2**70)[1].shape == (2, 300)
    assert index.search(np.zeros((0, 12)), k)[0].shape == (0, 3)


@pytest.mark.parametrize("k", [0, -1, 2.0, NAN, True, np.True_, "3", None, [3], np.float64(3)])
def test_k_that_is_refused(index: FaissIndex, k):
    assert refusal(index.search, np.zeros((1, 12)), k).startswith(f"k is {k!r}; ask for a whole")


# -- dials and versions --------------------------------------------------------------------------

DIALS = [
    *((FaissIndex, name) for name in ("nlist", "nprobe", "pq_m", "M", "ef_construction")),
    (FaissIndex, "ef_search"),
    *((MilvusIndex, name) for name in ("nlist", "nprobe", "M", "ef_construction", "ef_search")),
    pytest.param(HnswlibIndex, "M", marks=needs_hnswlib),
    pytest.param(HnswlibIndex, "ef_construction", marks=needs_hnswlib),
    pytest.param(HnswlibIndex, "ef_search", marks=needs_hnswlib),
]
WRONG = [0, -1, 2**31, 2**70, 1.5, 16.0, NAN, INFINITY, True, np.True_, "16", [16], np.float32(16)]


@pytest.mark.parametrize("engine, name", DIALS)
def test_a_dial_takes_whole_numbers_in_its_range(engine: type[VectorIndex], name: str):
    wrong = [*WRONG, *([1, 2049] if name == "M" else [])]
    wrong += [] if name in ("nlist", "pq_m") else [None]
    for value in wrong:
        message = refusal(engine, **{name: value})
        assert message.startswith(f"{name} is {value!r}; it takes a whole number from "), value
    if engine is MilvusIndex:
        return
    index = built(engine)
    for value in wrong:
        before = getattr(index, name)
        assert refusal(setattr, index, name, value).startswith(f"{name} is {value!r}; it takes")
        assert getattr(index, name) == before
    for value in (np.int64(8), np.uint8(8), torch.tensor(8)):
        setattr(index, name, value)
        assert type(getattr(index, name)) is int and getattr(index, name) == 8


@pytest.mark.parametrize("make", LOCAL)
@pytest.mark.parametrize("value", ["low", "high"])
def test_dials_at_both_ends_of_their_range(make: Make, value: str):
    """At most 300 rows are at most 300 candidates and lists, whatever a dial says."""
    index = make()
    few, largest = value == "low", 2**31 - 1
    for name, end in {"nlist": largest, "nprobe": largest, "M": 2048, "ef_search": largest}.items():
        if hasattr(index, name):
            setattr(index, name, (2 if name == "M" else 1) if few else end)
    index.ef_construction = 1 if few else 400
    vectors = unit_vectors(300, 8, seed=1)
    index.build(vectors, np.arange(300))
    recall = Reference(vectors, np.arange(300)).compare(index, unit_vectors(9, 8, seed=2), 10)
    assert few or recall == 1 or index.kind == "ivfpq"


def test_a_kind_is_one_of_those_there_are_and_stays():
    assert refusal(FaissIndex, "cloud") == "kind is 'cloud'; there are flat, ivf, hnsw, ivfpq."
    assert refusal(FaissIndex, None).startswith("kind is None; there are flat")
    assert refusal(MilvusIndex, kind="flat") == "kind is 'flat'; there are FLAT, HNSW, IVF_FLAT."
    index = FaissIndex("ivf")
    assert refusal(setattr, index, "kind", "hnsw").startswith("this index is of kind 'ivf'")
    index.kind = "ivf"
    with pytest.raises(TypeError, match="nprobes"):
        FaissIndex(nprobes=3)
    assert repr(FaissIndex("ivf", nprobe=np.int64(3))).startswith("FaissIndex(kind='ivf', nlist=")


@pytest.mark.parametrize(
    "version, text",
    [
        ("v7", "v7"),
        (np.str_("v7"), "v7"),
        (7, "7"),
        (np.int64(7), "7"),
        (pd.Timestamp("2011-11-01 05:00"), "2011-11-01T05:00:00"),
        (pd.Timestamp("2011-11-01").date(), "2011-11-01T00:00:00"),
        (np.datetime64("2011-11-01"), "2011-11-01T00:00:00"),
        (None, None),
    ],
)
def test_a_version_is_kept_as_text(index: FaissIndex, tmp_path, version, text):
    index.version = version
    index.save(tmp_path / "x")
    assert text == VectorIndex.load(tmp_path / "x", version=version).version
    assert f"{text!r}, and 'other' is wanted" in refusal(
        VectorIndex.load, tmp_path / "x", version="other"
    )


@pytest.mark.parametrize("version", [1.5, NAN, True, b"v7", ["v7"], pd.NaT, np.datetime64("NaT")])
def test_a_version_that_is_refused(index: FaissIndex, tmp_path, version):
    index.save(tmp_path / "x")
    assert refusal(VectorIndex.load, tmp_path / "x", version=version).startswith("version is ")
    index.version = version
    assert refusal(index.save, tmp_path / "x").startswith("version is ")
    assert VectorIndex.load(tmp_path / "x").version is None


# -- how near to exact ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", LOCAL)
def test_a_life_of_upserts_and_deletes(make: Make):
    """Ids come and go, are replaced, come back; recall stays, with the dials as they are."""
    rng, seeds = np.random.default_rng(0), iter(range(100, 200))
    index, ids, vectors = make(), rng.permutation(9_000)[:500], unit_vectors(500, 12, next(seeds))
    index.build(vectors, ids)
    reference, gone, recalls = Reference(vectors, ids), [], []
    for change in ("none", "upsert", "delete", "upsert", "delete", "delete"):
        present = np.array(list(reference.vectors))
        if change == "upsert":
            new = 10_000 + 100 * len(recalls) + np.arange(5)
            ids = np.concatenate([rng.permutation(present)[:60], new, gone[:10]]).astype(int)
            vectors = unit_vectors(len(ids), 12, next(seeds))
            index.upsert(vectors, ids)
            reference.upsert(vectors, ids)
        elif change == "delete":
            gone = rng.permutation(present)[:120]
            index.delete(gone)
            reference.delete(gone)
        queries = unit_vectors(20, 12, next(seeds))
        recalls.append(reference.compare(index, queries, 10))
        assert reference.compare(index, queries[:3], 10**6) == 1
    assert min(recalls) > (0.4 if getattr(index, "kind", "") == "ivfpq" else 0.9)


@pytest.mark.parametrize("make", LOCAL)
@pytest.mark.parametrize("items", [0, 1, 3])
def test_few_items(make: Make, items: int, capfd: pytest.CaptureFixture):
    index, vectors = make(), unit_vectors(5, 8, seed=1)
    index.build(vectors[:items], np.arange(items))
    index.upsert(vectors[3:], np.array([0, 7]))  # 0 is replaced, if it is there
    assert len(index) == max(items + 1, 2)
    if getattr(index, "kind", "") != "ivfpq":  # it has learned to tell other vectors apart
        assert index.search(vectors[3:], 1)[1].flatten().tolist() == [0, 7]
    index.delete(np.array([0, 7]))
    assert len(index) == max(items - 1, 0)
    assert capfd.readouterr().err == "", "a notebook would show it"


GRAPHS = [
    pytest.param(lambda: FaissIndex("hnsw"), id="Faiss"),
    pytest.param(HnswlibIndex, id="hnswlib", marks=needs_hnswlib),
]


def rows(index: VectorIndex) -> int:
    """How many vectors the graph holds, dead ones included."""
    graph = index._index
    return graph.ntotal if isinstance(index, FaissIndex) else graph.get_current_count()


@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_is_rebuilt_when_over_a_quarter_is_dead(make: Make):
    index = built(make, 400, 8)
    index.delete(np.arange(100))
    assert rows(index) == 400 and len(index) == 300
    index.delete([100])
    assert rows(index) == len(index) == 299
    vectors = unit_vectors(400, 8, seed=1)
    assert (index.search(vectors[101:], 1)[1].flatten() == np.arange(101, 400)).all()


@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_does_not_wear_out(make: Make):
    """All vectors replaced twice, a tenth at a time: recall is that of a new graph."""
    index = built(make, 2_000, 16)
    for turn in range(20):
        vectors = unit_vectors(2_000, 16, seed=2 + turn // 10)
        some = np.arange(2_000)[turn % 10 :: 10]
        index.upsert(vectors[some], some)
    reference = Reference(vectors, np.arange(2_000))
    assert reference.compare(index, unit_vectors(100, 16, seed=50), 10) > 0.95


@pytest.mark.parametrize("make", GRAPHS)
def test_a_query_that_a_graph_answers_short_is_searched_exactly(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    """200 items of one direction fill everybody's neighbour lists: walks don't reach the others."""
    index = make()
    index.M = 2
    same = unit_vectors(1, 8, seed=2).repeat(200, 1)
    vectors = torch.cat([unit_vectors(200, 8, seed=1), same])
    index.build(vectors, np.arange(400))
    index.delete(np.arange(0, 80, 2))
    searched, exactly = [], index._search_everywhere
    monkeypatch.setattr(
        index, "_search_everywhere", lambda q, k: searched.append(len(q)) or exactly(q, k)
    )
    reference = Reference(vectors, np.arange(400))
    reference.delete(np.arange(0, 80, 2))
    assert reference.compare(index, unit_vectors(9, 8, seed=3), 360) == 1
    assert searched


def test_lists_and_parts_are_learned_from_what_build_gets(capfd: pytest.CaptureFixture):
    for nlist, lists in ((None, 20), (7, 7), (999, 400)):
        assert built(lambda nlist=nlist: FaissIndex("ivf", nlist=nlist), 400)._index.nlist == lists
    index, vectors = FaissIndex("ivf"), unit_vectors(400, 12, seed=1)
    index.build(vectors[:0], [])
    index.upsert(vectors, np.arange(400))
    assert index._index.nlist == 20
    assert built(lambda: FaissIndex("ivfpq", pq_m=6))._index.pq.M == 6
    assert capfd.readouterr().err == "", "a notebook would show Faiss's warnings"


@pytest.mark.parametrize("kind", ["ivf", "ivfpq", "hnsw"])
def test_faiss_called_directly_answers_the_same(kind: str):
    """By its own classes, as its documentation has it: the wrapping changes no number."""
    vectors, queries = unit_vectors(900, 16, seed=1).numpy(), unit_vectors(50, 16, seed=2).numpy()
    coarse, metric = faiss.IndexFlatIP(16), faiss.METRIC_INNER_PRODUCT
    bare = {
        "ivf": lambda: faiss.IndexIVFFlat(coarse, 16, 30, metric),
        "ivfpq": lambda: faiss.IndexIVFPQ(coarse, 16, 30, 4, 8, metric),
        "hnsw": lambda: faiss.IndexHNSWFlat(16, 16, metric),
    }[kind]()
    if kind == "hnsw":
        bare.hnsw.efConstruction, bare.hnsw.efSearch = 100, 150
    else:
        bare.cp.min_points_per_centroid, bare.nprobe = 1, 16
        if kind == "ivfpq":
            bare.pq.cp.min_points_per_centroid = 1
        bare.train(vectors)
    bare.add(vectors)
    index = built(lambda: FaissIndex(kind), 900, 16)
    for mine, its in zip(index.search(queries, 10), bare.search(queries, 10), strict=True):
        assert np.array_equal(mine, its)


def test_more_probes_are_nearer_to_exact_and_all_of_them_are():
    queries, reference = (
        unit_vectors(50, 16, seed=2),
        Reference(unit_vectors(900, 16, 1), range(900)),
    )
    index, recalls = built(lambda: FaissIndex("ivf"), 900, 16), []
    for index.nprobe in (1, 5, 30):
        recalls.append(reference.compare(index, queries, 10))
    assert recalls[0] < recalls[1] < recalls[2] == 1
    index.nprobe = 1  # a list has about 30 items
    assert reference.compare(index, queries, 200) > 0.9, "too few in one list: all are searched"


def test_a_longer_candidate_list_is_nearer_to_exact():
    index = built(lambda: FaissIndex("hnsw", M=8, ef_construction=20), 3_000, 32)
    reference, recalls = Reference(unit_vectors(3_000, 32, seed=1), np.arange(3_000)), []
    for index.ef_search in (10, 400):
        recalls.append(reference.compare(index, unit_vectors(50, 32, seed=2), 10))
    assert recalls[0] + 0.1 < recalls[1] > 0.95


# -- what fails half-way -------------------------------------------------------------------------


class Failing:
    """An engine that raises once, in one of its methods, when it has done half."""

    def __init__(self, engine, method: str) -> None:
        self.engine, self.method = engine, method

    def __getattr__(self, name: str):
        if name != self.method:
            return getattr(self.engine, name)
        self.method = ""

        def half(vectors, *ids):
            some = len(vectors) // 2
            getattr(self.engine, name)(vectors[:some], *(each[:some] for each in ids))
            raise KeyboardInterrupt

        return half


def test_a_build_that_is_refused_or_fails_leaves_the_index_as_it_was(monkeypatch):
    index, queries = built(lambda: FaissIndex("ivfpq")), unit_vectors(9, 12, seed=2)
    before = index.search(queries, 300)
    index.pq_m = 5
    message = refusal(index.build, unit_vectors(3, 12, seed=3), np.arange(3))
    assert message == "vectors have 12 columns, which can't be cut into pq_m = 5 equal parts."
    trained = module._trained
    monkeypatch.setattr(module, "_trained", lambda *a: Failing(trained(*a), "add_with_ids"))
    index.pq_m = None
    with pytest.raises(KeyboardInterrupt):
        index.build(unit_vectors(30, 12, seed=3), np.arange(30))
    assert len(index) == 300 and all(map(np.array_equal, before, index.search(queries, 300)))


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    "make, method",
    [
        (lambda: FaissIndex("flat"), "add"),
        (lambda: FaissIndex("ivf", nprobe=99), "add_with_ids"),
        (lambda: FaissIndex("hnsw"), "add"),
        pytest.param(HnswlibIndex, "add_items", marks=needs_hnswlib),
    ],
    ids=["flat", "ivf", "hnsw", "hnswlib"],
)
def test_an_upsert_that_fails_leaves_the_index_as_it_was(make: Make, method: str, many: bool):
    """Ctrl-C in the middle of an insertion, say; then it is repeated."""
    index, queries = built(make), unit_vectors(20, 12, seed=2)
    reference = Reference(unit_vectors(300, 12, seed=1), np.arange(300))
    ids = np.arange(290, 510 if many else 330)
    vectors = unit_vectors(len(ids), 12, seed=5)
    index._index = Failing(index._index, method)
    with pytest.raises(KeyboardInterrupt):
        index.upsert(vectors, ids)
    assert reference.compare(index, queries, 10) == 1
    assert reference.compare(index, queries, 300) == 1
    for one in (index, reference):
        one.upsert(vectors, ids)
        one.delete(ids[::2])
    assert reference.compare(index, queries, 10) == 1


def test_without_its_package_an_engine_says_how_to_install_it():
    """In a process of its own, where nobody has imported any; the other engines work."""
    script = """
import sys
sys.modules["hnswlib"] = sys.modules["pymilvus"] = None
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex, VectorIndex
FaissIndex().build([[1.0]], [1])
for engine in (HnswlibIndex, MilvusIndex):
    try:
        engine()
    except ImportError as error:
        print(error)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    hnswlib, milvus = done.stdout.splitlines()
    assert hnswlib.startswith("HnswlibIndex needs hnswlib") and "pip install hnswlib" in hnswlib
    assert "conda install -c conda-forge hnswlib" in hnswlib and done.stderr == ""
    assert milvus == (
        "MilvusIndex needs pymilvus and milvus-lite: pip install pymilvus milvus-lite."
    )
