"""What the experiment `index_frontier` is made of, and its committed table."""

import os

import faiss
import numpy as np
import pytest

from course_lib import results
from course_lib.experiments import frontier, index_recall, synthetic_vectors
from course_lib.experiments.index_frontier import LARGE, SMALL, WIDE, one_core


def test_recall_by_hand():
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert index_recall(exact[:, ::-1], exact) == 1
    assert index_recall(np.array([[4, 9, 1, 0], [1, 2, 3, 4]]), exact) == 0.25


def test_synthetic_vectors_have_the_shape_they_say_and_queries_share_it():
    items, queries = synthetic_vectors(50_000), synthetic_vectors(50_000, seed=1)
    assert items.dtype == np.float32 and not np.allclose(items, queries)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-5)
    mean = items.mean(0, dtype=float)
    assert 0.84 < np.linalg.norm(mean) < 0.88
    variances, directions = np.linalg.eigh(np.cov(items.T))
    ratios = variances[:-1] / variances[1:]  # rising: each over the next larger
    assert np.median(ratios) == pytest.approx(0.85, abs=0.02)
    np.testing.assert_allclose(np.var(queries @ directions, axis=0), variances, rtol=0.1)
    np.testing.assert_allclose(queries.mean(0), mean, atol=0.01)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("flat", ""), ("ivf", "nprobe"), ("hnsw", "ef_search"), ("ivfpq re-ranked", "nprobe")],
)
def test_a_frontier_rises_to_the_exact_answer(name: str, parameter: str):
    vectors, queries = synthetic_vectors(2_000), synthetic_vectors(50, seed=1)
    exact = np.argsort(-(queries.astype(float) @ vectors.astype(float).T), axis=1)[:, :10]
    efforts = {"nprobe": (1, 45), "ef_search": (10, 2_000), None: (0,)}
    rows = list(frontier(name, vectors, queries, exact, efforts))
    assert [row["parameter"] for row in rows] == [parameter] * len(rows)
    assert rows[-1]["recall"] > 0.999
    assert name == "flat" or rows[0]["recall"] < 0.97
    assert all(row["ms"] > 0 and row["queries_per_s"] > 0 for row in rows)


def test_one_core_gives_everything_back():
    threads, cores = (
        faiss.omp_get_max_threads(),
        getattr(os, "sched_getaffinity", lambda process: None)(0),
    )
    with pytest.raises(RuntimeError), one_core():
        assert faiss.omp_get_max_threads() == 1
        raise RuntimeError
    assert faiss.omp_get_max_threads() == threads
    assert cores is None or os.sched_getaffinity(0) == cores


def test_the_committed_table_is_what_the_experiment_makes():
    table = results.load("index_frontier")
    for data, names in (
        ("course", SMALL),
        ("million", LARGE),
        ("towers", WIDE),
        ("wide", WIDE),
    ):
        part = table[table["vectors"] == data]
        assert tuple(dict.fromkeys(part["index"])) == names
        assert (part.loc[part["index"] == "flat", "recall"] == 1).all()
        assert part["recall"].between(0, 1).all() and (part[["ms", "queries_per_s"]] > 0).all(
            axis=None
        )
    assert (table.loc[table["vectors"] == "million", "rows"] == 1_000_000).all()
    assert table[["version", "faiss", "date"]].notna().all(axis=None)
