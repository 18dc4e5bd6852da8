"""The vector index against brute force in NumPy."""

import numpy as np
import pytest
import torch
from helpers import refusal, unit_vectors

from course_lib.index import FaissIndex

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
    """A long vector that points the right way beats a short one nearby: what an L2 index would get wrong."""
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
    for other in (array, array.astype(float), np.asfortranarray(array), torch.cat([queries, queries])[::2][:1]):
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
def test_bad_vectors_leave_the_index_as_it_was(index: FaissIndex, vectors: np.ndarray, ids: list[int], sentence: str):
    assert refusal(index.build, vectors, np.array(ids)).startswith(sentence)
    assert len(index) == 300


def test_an_unknown_kind():
    assert refusal(FaissIndex, "cloud").startswith("kind is 'cloud'")
