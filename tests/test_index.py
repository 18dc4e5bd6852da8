"""The vector indexes against brute force in NumPy, and against files and servers that are not as
they should be.
"""

import gc
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refusal, unit_vectors

from course_lib import index as module
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex, VectorIndex

needs_hnswlib = pytest.mark.skipif(
    importlib.util.find_spec("hnswlib") is None, reason="hnswlib is not installed: no C++ compiler?"
)
LOCAL = [
    *(
        pytest.param(lambda kind=kind: FaissIndex(kind), id=f"Faiss-{kind}")
        for kind in FaissIndex.KINDS
    ),
    pytest.param(HnswlibIndex, id="hnswlib", marks=needs_hnswlib),
]
ENGINES = [
    *LOCAL,
    *(
        pytest.param(lambda kind=kind: MilvusIndex(kind=kind), id=f"Milvus-{kind}")
        for kind in MilvusIndex.KINDS
    ),
]
EXACT = ("flat", "FLAT")
Make = Callable[[], VectorIndex]

IDS = np.random.default_rng(0).permutation(np.arange(10_000, 10_300))


@pytest.fixture
def index() -> FaissIndex:
    index = FaissIndex("flat")
    index.build(unit_vectors(300, 12, seed=1), IDS)
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
    """A long vector that points the right way beats a short one nearby: what an L2 index would get
    wrong.
    """
    index.build(np.array([[10.0, 0.0], [0.9, 0.1]]), np.array([1, 2]))
    assert index.search(np.array([[1.0, 0.0]]), 2)[1].tolist() == [[1, 2]]


def test_k_beyond_the_index_gives_all_there_is(index: FaissIndex):
    scores, ids = index.search(unit_vectors(2, 12, seed=3), 1_000_000)
    assert scores.shape == ids.shape == (2, 300)
    assert sorted(ids[0]) == sorted(IDS)


def test_building_again_replaces_everything(index: FaissIndex):
    index.build(unit_vectors(2, 4, seed=4), np.array([7, 8]))
    assert len(index) == 2 and set(index.search(unit_vectors(1, 4, seed=5), 9)[1][0]) == {7, 8}


def test_tensors_and_arrays_are_alike(index: FaissIndex):
    queries = unit_vectors(2, 12, seed=3)
    array = queries.numpy()
    for other in (
        array,
        array.astype(float),
        np.asfortranarray(array),
        torch.cat([queries, queries])[::2][:1],
    ):
        scores, ids = index.search(other, 3)
        expected = index.search(queries[: len(ids)], 3)
        assert (ids == expected[1]).all() and (scores == expected[0]).all()


def test_the_index_keeps_its_own_copy(index: FaissIndex):
    vectors = np.eye(3, dtype=np.float32)
    index.build(vectors, np.arange(3))
    vectors[:] = 0
    assert index.search(np.eye(3), 1)[1].flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_1(index: FaissIndex, k: int):
    assert refusal(index.search, np.zeros((1, 12)), k).startswith(f"k is {k}")


def test_an_empty_index():
    index = FaissIndex()
    assert len(index) == 0
    assert refusal(index.search, np.zeros((1, 12)), 1).startswith("the index is empty")
    index.build(np.zeros((0, 12)), np.array([], dtype=int))
    assert refusal(index.search, np.zeros((1, 12)), 1).startswith("the index is empty")


@pytest.mark.parametrize(
    "queries, sentence",
    [
        (np.zeros((1, 11)), "queries have 11 columns, the index has 12"),
        (np.zeros(12), "queries have 1 dimension"),
        (np.array([[0.0] * 12, [np.nan] * 12]), "queries hold NaN or infinity in row 1"),
        (np.array([[np.inf] * 12]), "queries hold NaN or infinity in row 0"),
    ],
)
def test_bad_queries(index: FaissIndex, queries: np.ndarray, sentence: str):
    assert refusal(index.search, queries, 1).startswith(sentence)


@pytest.mark.parametrize(
    "vectors, ids, sentence",
    [
        (np.zeros((2, 3)), [1], "2 vectors came with 1 ids"),
        (np.zeros((2, 3)), [1, 1], "2 vectors came with 2 ids, 1 of them different"),
        (np.zeros(3), [1], "vectors have 1 dimension"),
        (np.array([[0.0, 0.0], [0.0, np.nan]]), [1, 2], "vectors hold NaN or infinity in row 1"),
    ],
)
def test_bad_vectors_leave_the_index_as_it_was(
    index: FaissIndex, vectors: np.ndarray, ids: list[int], sentence: str
):
    assert refusal(index.build, vectors, np.array(ids)).startswith(sentence)
    assert len(index) == 300


def test_an_unknown_kind():
    assert refusal(FaissIndex, "cloud").startswith("kind is 'cloud'")


# -- every engine ----------------------------------------------------------------------------------
# -------------------


class Reference:
    """What an index must answer: a dictionary and brute force, in float64."""

    def __init__(self, vectors: torch.Tensor, ids: np.ndarray):
        self.vectors = dict(zip(ids.tolist(), vectors.double().numpy(), strict=True))

    def upsert(self, vectors: torch.Tensor, ids: np.ndarray) -> None:
        self.vectors.update(zip(ids.tolist(), vectors.double().numpy(), strict=True))

    def delete(self, ids: np.ndarray) -> None:
        for id in ids.tolist():
            del self.vectors[id]

    def compare(self, index: VectorIndex, queries: torch.Tensor, k: int) -> float:
        """Recall, once all that must hold for any engine does."""
        scores, ids = index.search(queries, k)
        known, k = np.array(list(self.vectors)), min(k, len(self.vectors))
        cosines = queries.double().numpy() @ np.stack(list(self.vectors.values())).T
        best = np.argsort(-cosines, axis=1)[:, :k]
        assert len(index) == len(self.vectors)
        assert (
            scores.shape == ids.shape == (len(queries), k)
            and ids.dtype == np.int64
            and scores.dtype == np.float32
        )
        assert all(len(set(row)) == k for row in ids.tolist()), "an item twice"
        assert set(ids.flatten().tolist()) <= set(self.vectors), "an id that is not there"
        assert (np.diff(scores, axis=1) <= 1e-6).all(), "not falling"
        kind = getattr(index, "kind", "hnsw")
        if kind != "ivfpq":  # whose scores are approximate
            own = np.array(
                [
                    [self.vectors[id] @ query for id in row]
                    for row, query in zip(ids, queries.double().numpy(), strict=True)
                ]
            )
            np.testing.assert_allclose(scores, own, atol=1e-5)
        if kind in EXACT:
            assert (ids == known[best]).all()
        return np.mean(
            [len(set(found) & set(true)) / k for found, true in zip(ids, known[best], strict=True)]
        )


@pytest.mark.parametrize("make", ENGINES)
def test_a_life_of_upserts_and_deletes(make: Make):
    """Ids come and go, are replaced, come back; at every step answers are those of brute force."""
    rng, seeds = np.random.default_rng(0), iter(range(100, 200))
    index, ids, vectors = make(), rng.permutation(9_000)[:500], unit_vectors(500, 12, next(seeds))
    index.build(vectors, ids)
    reference, gone, recalls = Reference(vectors, ids), [], []
    for change in ("none", "upsert", "delete", "upsert", "delete", "delete"):
        present = np.array(list(reference.vectors))
        if change == "upsert":
            ids = np.concatenate(
                [
                    rng.permutation(present)[:60],
                    10_000 + 100 * len(recalls) + np.arange(5),
                    gone[:10],
                ]
            ).astype(int)
            vectors = unit_vectors(len(ids), 12, next(seeds))
            index.upsert(vectors, ids)
            reference.upsert(vectors, ids)
        elif change == "delete":
            gone = rng.permutation(present)[:120]
            index.delete(gone)
            reference.delete(gone)
        queries = unit_vectors(20, 12, next(seeds))
        recalls += [
            reference.compare(index, queries, 10),
            reference.compare(index, queries[:3], 10**6),
        ]
    assert min(recalls[1::2]) == 1, "with k beyond the size, everything is there"
    assert min(recalls[::2]) > (0.4 if getattr(index, "kind", "") == "ivfpq" else 0.9)


@pytest.mark.parametrize("make", ENGINES)
@pytest.mark.parametrize("items", [0, 1, 3])
def test_few_items(make: Make, items: int, capfd: pytest.CaptureFixture):
    index, vectors = make(), unit_vectors(5, 8, seed=1)
    index.build(vectors[:items], np.arange(items))
    index.upsert(vectors[3:], np.array([0, 7]))  # 0 is replaced, if it is there
    index.upsert(vectors[:0], np.array([], int))
    index.delete(np.array([], int))
    assert len(index) == max(items + 1, 2)
    if (
        getattr(index, "kind", "") != "ivfpq"
    ):  # it has learned what it can tell apart, from other vectors
        assert index.search(vectors[3:], 1)[1].flatten().tolist() == [0, 7]
    assert index.search(vectors[:0], 1)[1].shape == (0, 1)
    index.delete(np.array([0, 7]))
    assert len(index) == max(items - 1, 0)
    assert capfd.readouterr().err == "", "a notebook would show it"


@pytest.mark.parametrize("make", LOCAL)
def test_everything_deleted_then_something_new(make: Make):
    index = make()
    index.build(unit_vectors(40, 8, seed=1), np.arange(40))
    index.delete(np.arange(40))
    assert len(index) == 0
    assert refusal(index.search, np.zeros((1, 8)), 1).startswith("the index is empty")
    assert refusal(index.upsert, np.zeros((1, 9)), [1]).startswith(
        "vectors have 9 columns, the index has 8"
    )
    index.upsert(unit_vectors(3, 8, seed=2), np.array([5, 6, 7]))
    assert sorted(index.search(unit_vectors(1, 8, seed=2), 9)[1][0]) == [5, 6, 7]


@pytest.mark.parametrize("make", LOCAL)
def test_refused_changes_change_nothing(make: Make):
    index, vectors = make(), unit_vectors(30, 8, seed=1)
    index.build(vectors, np.arange(30))
    before = index.search(vectors, 30)
    nan = np.where(np.arange(16).reshape(2, 8) == 11, np.nan, 1)
    assert refusal(index.upsert, np.zeros((2, 7)), [1, 2]).startswith(
        "vectors have 7 columns, the index has 8"
    )
    assert refusal(index.upsert, nan, [1, 99]).startswith("vectors hold NaN or infinity in row 1")
    assert refusal(index.upsert, np.zeros((2, 8)), [1, 1]).startswith(
        "2 vectors came with 2 ids, 1 of them different"
    )
    assert refusal(index.upsert, np.zeros((2, 8)), [1, -1]).startswith("ids must be whole numbers")
    assert refusal(index.upsert, np.zeros((2, 8)), [1.0, 2.5]).startswith(
        "ids must be whole numbers"
    )
    assert refusal(index.upsert, np.zeros((2, 8)), ["a", "b"]).startswith(
        "ids must be whole numbers"
    )
    assert refusal(index.delete, [1, 77, 2, 99]).startswith(
        "2 of 4 ids are not in the index, the first is 77."
    )
    assert refusal(index.delete, [1, 2, 1]).startswith("3 ids to delete, 2 of them different")
    assert refusal(index.search, nan, 3).startswith("queries hold NaN or infinity in row 1")
    after = index.search(vectors, 30)
    assert len(index) == 30 and (before[1] == after[1]).all() and (before[0] == after[0]).all()


def test_deleting_from_nothing():
    assert refusal(FaissIndex().delete, [3]).startswith(
        "1 of 1 ids are not in the index, the first is 3."
    )


# -- approximate engines
# ----------------------------------------------------------------------------------------------

GRAPHS = [pytest.param(lambda: FaissIndex("hnsw"), id="Faiss-hnsw"), LOCAL[-1]]


def rows(index: VectorIndex) -> int:
    """How many vectors the graph holds, dead ones included."""
    return (
        index._index.ntotal if isinstance(index, FaissIndex) else index._index.get_current_count()
    )


@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_is_rebuilt_when_over_a_quarter_is_dead(make: Make):
    index, vectors = make(), unit_vectors(400, 8, seed=1)
    index.build(vectors, np.arange(400))
    index.delete(np.arange(100))
    assert rows(index) == 400 and len(index) == 300
    index.delete([100])
    assert rows(index) == len(index) == 299
    assert (index.search(vectors[101:], 1)[1].flatten() == np.arange(101, 400)).all()


@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_does_not_wear_out(make: Make):
    """All vectors replaced twice, a tenth at a time: recall is that of a new graph."""
    index, vectors = make(), unit_vectors(2_000, 16, seed=1)
    index.build(vectors, np.arange(2_000))
    for round in range(20):
        vectors = unit_vectors(2_000, 16, seed=2 + round // 10)
        some = np.arange(2_000)[round % 10 :: 10]
        index.upsert(vectors[some], some)
    assert (
        Reference(vectors, np.arange(2_000)).compare(index, unit_vectors(100, 16, seed=50), 10)
        > 0.95
    )


@pytest.mark.parametrize("make", GRAPHS)
def test_a_query_that_a_graph_answers_short_is_searched_exactly(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    """200 items of one direction fill everybody's neighbour lists: walks do not reach all the
    others.
    """
    index = make()
    index.M = 2
    vectors = torch.cat([unit_vectors(200, 8, seed=1), unit_vectors(1, 8, seed=2).repeat(200, 1)])
    index.build(vectors, np.arange(400))
    index.delete(np.arange(0, 80, 2))
    searched, exactly = [], index._search_everywhere
    monkeypatch.setattr(
        index,
        "_search_everywhere",
        lambda queries, k: searched.append(len(queries)) or exactly(queries, k),
    )
    reference = Reference(vectors, np.arange(400))
    reference.delete(np.arange(0, 80, 2))
    assert reference.compare(index, unit_vectors(9, 8, seed=3), 360) == 1
    assert searched


def test_lists_and_parts_are_learned_from_what_build_gets(capfd: pytest.CaptureFixture):
    vectors = unit_vectors(400, 12, seed=1)
    for index, lists in (
        (FaissIndex("ivf"), 20),
        (FaissIndex("ivf", nlist=7), 7),
        (FaissIndex("ivf", nlist=999), 400),
    ):
        index.build(vectors, np.arange(400))
        assert index._index.nlist == lists
    index = FaissIndex("ivf")
    index.build(vectors[:0], [])
    index.upsert(vectors, np.arange(400))
    assert index._index.nlist == 20
    index = FaissIndex("ivfpq", pq_m=6)
    index.build(vectors, np.arange(400))
    assert index._index.pq.M == 6
    assert refusal(FaissIndex("ivfpq", pq_m=5).build, vectors, np.arange(400)).startswith(
        "vectors have 12 columns, which can't be cut"
    )
    assert capfd.readouterr().err == "", "a notebook would show Faiss's warnings"


def test_more_probes_are_nearer_to_exact_and_all_of_them_are():
    vectors, queries = unit_vectors(900, 16, seed=1), unit_vectors(50, 16, seed=2)
    index, reference = FaissIndex("ivf"), Reference(vectors, np.arange(900))
    index.build(vectors, np.arange(900))
    recalls = []
    for index.nprobe in (1, 5, 30):
        recalls.append(reference.compare(index, queries, 10))
    assert recalls[0] < recalls[1] < recalls[2] == 1
    index.nprobe = 1  # a list has about 30 items
    assert reference.compare(index, queries, 200) > 0.9, "too few in one list: all are searched"


def test_a_longer_candidate_list_is_nearer_to_exact():
    vectors, queries = unit_vectors(3_000, 32, seed=1), unit_vectors(50, 32, seed=2)
    index, reference = (
        FaissIndex("hnsw", M=8, ef_construction=20),
        Reference(vectors, np.arange(3_000)),
    )
    index.build(vectors, np.arange(3_000))
    recalls = []
    for index.ef_search in (10, 400):
        recalls.append(reference.compare(index, queries, 10))
    assert recalls[0] + 0.1 < recalls[1] > 0.95


def test_without_hnswlib_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    with pytest.raises(
        ImportError, match="HnswlibIndex needs hnswlib.*pip install hnswlib.*conda install"
    ):
        HnswlibIndex()


def test_without_pymilvus_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "milvus_lite", None)
    with pytest.raises(
        ImportError, match="MilvusIndex needs pymilvus and milvus-lite: pip install"
    ):
        MilvusIndex()


# -- files -----------------------------------------------------------------------------------------
# -------------------


@pytest.fixture
def file(tmp_path: Path, index: FaissIndex) -> Path:
    index.version = "v7"
    index.save(tmp_path / "items.index")
    return tmp_path / "items.index"


@pytest.mark.parametrize("make", LOCAL)
def test_a_saved_index_answers_as_before_and_goes_on(make: Make, tmp_path: Path):
    index, vectors = make(), unit_vectors(300, 12, seed=1)
    index.ef_search = index.nprobe = 17  # settings are kept
    index.build(vectors, IDS)
    index.delete(IDS[:20])
    index.upsert(vectors[20:40].flip(0), IDS[20:40])
    index.version = "v7"
    index.save(tmp_path / "items.index")
    loaded = VectorIndex.load(tmp_path / "items.index", version="v7")
    assert type(loaded) is type(index) and loaded.version == "v7" and loaded.ef_search == 17
    queries = unit_vectors(9, 12, seed=2)
    for mine, its in zip(index.search(queries, 50), loaded.search(queries, 50), strict=True):
        assert (mine == its).all()
    reference = Reference(vectors, IDS)
    reference.delete(IDS[:20])
    reference.upsert(vectors[20:40].flip(0), IDS[20:40])
    for one in (loaded, reference):
        one.upsert(queries, np.arange(9))
        one.delete(IDS[30:60])
        one.upsert(vectors[:1], IDS[:1])
    assert reference.compare(loaded, unit_vectors(20, 12, seed=3), 10) > (
        0.4 if getattr(index, "kind", "") == "ivfpq" else 0.9
    )
    assert [path.name for path in tmp_path.iterdir()] == ["items.index"]


def test_an_index_of_another_model_version_is_refused(file: Path):
    assert len(FaissIndex.load(file)) == 300
    assert "holds vectors of model version 'v7', and 'v8' is wanted" in refusal(
        FaissIndex.load, file, version="v8"
    )
    index = FaissIndex.load(file)
    index.version = None
    index.save(file)
    assert "holds vectors of model version None, and 'v7' is wanted" in refusal(
        FaissIndex.load, file, version="v7"
    )


def test_another_engines_file_is_refused(file: Path):
    assert "holds a FaissIndex, not a HnswlibIndex" in refusal(HnswlibIndex.load, file)


def test_a_truncated_file_is_refused(file: Path):
    whole = file.read_bytes()
    for length in [0, 1, 10, *range(100, len(whole), 997), len(whole) - 1]:
        file.write_bytes(whole[:length])
        assert "damaged or cut short" in refusal(VectorIndex.load, file), length


def test_a_damaged_file_is_refused_or_harmless(file: Path, index: FaissIndex):
    """One bit flips, anywhere: the file is refused, or it is one of the few bits (a date, say) that
    no answer depends on.
    """
    whole, queries, refused = file.read_bytes(), unit_vectors(3, 12, seed=2), 0
    places = [*range(0, len(whole), 61), *range(len(whole) - 400, len(whole))]
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            loaded = VectorIndex.load(file, version="v7")
        except ValueError:
            refused += 1
        else:
            assert (loaded.search(queries, 300)[1] == index.search(queries, 300)[1]).all(), place
    assert refused > len(places) / 2


@pytest.mark.parametrize("content", [b"", b"not an index", b"PK\x03\x04", bytes(5_000)])
def test_a_file_that_is_no_index(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    assert "is no saved index" in refusal(VectorIndex.load, tmp_path / "x")


def test_an_array_or_a_pickle_is_no_index(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.arange(3))
    np.savez(tmp_path / "y.npz", meta=np.array([{}], dtype=object))
    assert "is no saved index" in refusal(VectorIndex.load, tmp_path / "x.npy")
    assert "is no saved index" in refusal(VectorIndex.load, tmp_path / "y.npz")
    with pytest.raises(FileNotFoundError):
        VectorIndex.load(tmp_path / "z.npz")


def test_a_save_that_fails_leaves_the_old_file(
    file: Path, index: FaissIndex, monkeypatch: pytest.MonkeyPatch
):
    before = file.read_bytes()
    index.upsert(unit_vectors(5, 12, seed=9), np.arange(5))

    def full_disk(target, **arrays):
        target.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(module.np, "savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        index.save(file)
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == [
        file.name
    ]


def test_an_empty_index_is_not_saved(tmp_path: Path):
    assert refusal(FaissIndex().save, tmp_path / "x").startswith("the index is empty")
    assert not list(tmp_path.iterdir())


# -- Milvus: embedded, and the same on a server
# -----------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path: Path):
    """A Milvus server in another process, on 127.0.0.1: its address, the process, its data."""
    port, data = free_port(), tmp_path / "server.db"
    command = [
        sys.executable,
        "-m",
        "milvus_lite",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--data-dir",
        str(data),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if process.poll() is None and probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process, data
    finally:
        process.kill()
        process.wait()


def test_a_server_is_only_another_uri(server, tmp_path: Path):
    uri, process, data = server
    vectors = unit_vectors(300, 12, seed=1)
    index, reference = MilvusIndex(uri, collection="items_v7"), Reference(vectors, IDS)
    assert len(index) == 0 and refusal(index.search, vectors[:1], 1).startswith(
        "the index is empty"
    )
    index.build(vectors, IDS)
    index.version = "v7"
    index.save(tmp_path / "card")
    other = VectorIndex.load(tmp_path / "card", version="v7")  # as another process would
    assert other.uri == uri and other.dim == 12
    for one in (other, reference):
        one.upsert(unit_vectors(8, 12, seed=2), np.concatenate([IDS[:5], [1, 2, 3]]))
        one.delete(IDS[5:9])
    for one in (index, other):  # at once, for everybody
        assert reference.compare(one, unit_vectors(5, 12, seed=3), 10) == 1
    index.search(vectors[:1], 300)
    other.delete(IDS[10:20])
    reference.delete(IDS[10:20])
    assert index.search(vectors[:2], 300)[1].shape == (2, 289), (
        "what another deletes is not made up for"
    )
    assert refusal(index.delete, [IDS[30], 77]).startswith(
        "1 of 2 ids are not in the index, the first is 77."
    )
    other.upsert(vectors[:2], IDS[10:12])
    assert index.search(vectors[:2], 300)[1].shape == (2, 291), "nor is what another adds left out"
    assert "model version 'v7', and 'v8' is wanted" in refusal(
        VectorIndex.load, tmp_path / "card", version="v8"
    )
    assert "can't be opened: its folder is missing, another process has it open" in refusal(
        MilvusIndex, data
    )
    MilvusIndex(uri, collection="items_v7").build(unit_vectors(3, 4, seed=1), np.arange(3))
    assert "has no collection 'items_v7' of 12 columns" in refusal(
        VectorIndex.load, tmp_path / "card"
    )
    index.timeout = other.timeout = 1
    if hasattr(signal, "SIGSTOP"):  # not on Windows
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(ConnectionError, match="^Milvus does not answer"):
            index.search(vectors[:1], 1)
    process.kill()
    process.wait()
    for call in (
        lambda: index.search(vectors[:1], 1),
        lambda: len(index),
        lambda: VectorIndex.load(tmp_path / "card"),
    ):
        with pytest.raises(
            ConnectionError,
            match="^Milvus does not answer at http://127.0.0.1:[0-9]+; is it running",
        ):
            call()


@pytest.mark.parametrize(
    "listens", [False, True], ids=["nobody listens", "accepts and never answers"]
)
def test_an_unreachable_server_is_named_within_5_seconds(
    listens: bool, capfd: pytest.CaptureFixture
):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(
            ConnectionError,
            match=f"^Milvus does not answer at {uri}; is it running, is that its address",
        ):
            MilvusIndex(uri)
        assert time.monotonic() - started < 5
    assert capfd.readouterr().err == ""


def test_a_database_file_outlives_its_process_and_a_notebook_sees_no_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = """
import numpy as np
from course_lib.index import MilvusIndex
index = MilvusIndex("items.db", kind="HNSW", M=8)
index.version = "v7"
index.build(np.eye(60, 8) + np.eye(60, 8, 1), np.arange(60))
index.upsert(5 * np.eye(1, 8), [3])
index.save("card")
MilvusIndex().build(np.eye(3), np.arange(3))
print(index.search(np.eye(1, 8), 1)[1])
index.collection = "nowhere"
try:
    index.search(np.eye(1, 8), 1)
except ValueError as error:
    print(error)
"""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("PYTHONPATH", str(Path(module.__file__).parent.parent))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, "[[3]]", "")
    assert re.fullmatch(r"Milvus at .*items.db refuses: .*nowhere.*\.", done.stdout.splitlines()[1])
    assert not list((tmp_path / "temporary").iterdir()), (
        "a temporary database goes with its process"
    )
    index = MilvusIndex.load(tmp_path / "card", version="v7")  # from another folder
    assert index.uri == str(tmp_path / "items.db") and index.kind == "HNSW" and index.M == 8
    assert len(index) == 60 and index.search(np.eye(1, 8), 1)[1].tolist() == [[3]]


def test_a_temporary_database_is_not_saved_and_not_shared(tmp_path: Path):
    first, second = MilvusIndex(), MilvusIndex()
    first.build(unit_vectors(3, 4, seed=1), np.arange(3))
    assert len(second) == 0
    assert refusal(first.save, tmp_path / "card").startswith("this Milvus database is temporary")
    folder = Path(first.uri).parent
    assert folder.exists()
    del first
    gc.collect()  # the refusal's traceback
    assert not folder.exists() and not list(tmp_path.iterdir())


def test_few_probes_in_milvus_are_widened():
    vectors, reference = (
        unit_vectors(900, 8, seed=1),
        Reference(unit_vectors(900, 8, seed=1), np.arange(900)),
    )
    index = MilvusIndex(kind="IVF_FLAT", nprobe=1)
    index.build(vectors, np.arange(900))
    queries = unit_vectors(30, 8, seed=2)
    narrow = reference.compare(index, queries, 10)
    assert reference.compare(index, queries, 300) == 1, "too few in one list: all are searched"
    index.nprobe = 30
    assert narrow < 0.95 < reference.compare(index, queries, 10)


@pytest.mark.parametrize(
    "uri, sentence",
    [
        ("somewhere", "uri is 'somewhere'; name a file that ends in .db"),
        (
            "/no/such/folder/items.db",
            "/no/such/folder/items.db can't be opened: its folder is missing",
        ),
        ("http://ann:secret@127.0.0.1:19530", "a saved index shows its uri to everybody"),
    ],
)
def test_a_bad_uri(uri: str, sentence: str):
    message = refusal(MilvusIndex, uri)
    assert message.startswith(sentence) and "secret" not in message


def test_an_unknown_kind_of_milvus():
    assert refusal(MilvusIndex, kind="flat").startswith(
        "kind is 'flat'; there are FLAT, HNSW, IVF_FLAT."
    )
