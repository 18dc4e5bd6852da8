"""Vector indexes: recall against time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd

from course_lib.experiments.jobs import check_days
from course_lib.experiments.replays import warm_state
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex, VectorIndex
from course_lib.index.base import Found
from course_lib.log import EventLog
from course_lib.online_retail import load_online_retail
from course_lib.results import stamp
from course_lib.state import Settings
from course_lib.tuning import RECIPE

HERE = ("flat", "ivf", "ivfpq", "hnsw", "hnswlib")  # in this process
LARGE = (*HERE, "ivfpq re-ranked")
WIDE = ("flat", "ivf", "hnsw", "hnswlib")  # the towers alone, and with the linear part
# embedded Milvus spends more on a query's way in and out than on any search
SMALL = (*HERE, "Milvus FLAT", "Milvus HNSW", "Milvus IVF_FLAT")
EFFORTS = {"nprobe": (1, 2, 4, 8, 16, 32, 64, 128), "ef_search": (100, 200, 400, 800), None: (0,)}
FEWER_PROBES = EFFORTS | {"nprobe": (4, 8, 16, 32, 64)}  # fewer lists hold fewer than 100 items
PARAMETERS = {"flat": None, "hnsw": "ef_search", "FLAT": None, "HNSW": "ef_search"}
DAY = "2011-11-01"


class Reranked:
    """IVF-PQ asked for ten times as many, which their whole vectors put in order."""

    nprobe = 16

    def build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        recipe = f"IVF{round(len(vectors) ** 0.5)},PQ16"
        codes = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
        codes.do_polysemous_training = False
        self._index = faiss.IndexRefineFlat(codes)
        self._index.train(vectors)
        self._index.add(vectors)  # under their row numbers, which are the ids here

    def search(self, queries: np.ndarray, k: int) -> Found:
        lists = faiss.SearchParametersIVF(nprobe=self.nprobe)
        wider = faiss.IndexRefineSearchParameters(k_factor=10, base_index_params=lists)
        return self._index.search(queries, k, params=wider)


def make_index(name: str) -> tuple[VectorIndex | Reranked, str | None]:
    """An empty index of that name, and which attribute trades its speed for recall. Graphs are of
    moderate size.
    """
    if name.startswith("Milvus"):
        kind = name.split()[1]
        return MilvusIndex(kind=kind), PARAMETERS.get(kind, "nprobe")
    if name == "hnswlib":
        return HnswlibIndex(M=16, ef_construction=40), "ef_search"
    if name == "ivfpq re-ranked":
        return Reranked(), "nprobe"
    return FaissIndex(name, M=16, ef_construction=40), PARAMETERS.get(name, "nprobe")


def synthetic_vectors(rows: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    """[rows, dim] unit vectors shaped like the course's own: a mean of length 0.86, and variances
    that fall by 15 % from one direction to the next.

    Vectors that spread evenly would have no near neighbours, and no index could find them. The
    directions are the same for every seed: items with one, queries with another.
    """
    spread = 0.85 ** (np.arange(dim) / 2)
    drawn = np.random.default_rng(seed).standard_normal((rows, dim), np.float32)
    drawn *= np.float32(0.5) * (spread / np.linalg.norm(spread)).astype(np.float32)
    drawn[:, -1] += 0.86
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, dim)))[0].astype(np.float32)
    drawn = drawn @ turned
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def index_recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Recall@k of an index: the share of the exact answer's ids [n, k] that are in its answer's
    [n, k].
    """
    return float(np.mean([np.isin(*rows).mean() for rows in zip(exact, found, strict=True)]))


def frontier(
    name: str,
    vectors: np.ndarray,
    queries: np.ndarray,
    exact: np.ndarray,
    efforts: dict[str | None, Iterable[int]] = EFFORTS,
) -> Iterator[dict]:
    """Build the index of that name once, and measure it at each effort: `nprobe` or `ef_search`, or
    None for an exact one.

    Yields `index`, `parameter`, `value`, `recall` of `exact` [n, k], `ms` (per query, one by one,
    the mean of 200), `queries_per_s` (all in one call), `build_s`. All times are CPU time, so that
    other programs' load does not count; how many threads share it is the caller's choice.
    """
    index, parameter = make_index(name)
    built = _cpu_seconds(index.build, vectors, np.arange(len(vectors)))
    k, single = exact.shape[1], np.split(queries[:200], len(queries[:200]))  # of [1, d] each
    for value in efforts[parameter]:
        if parameter:
            setattr(index, parameter, value)
        found = index.search(queries, k)[1]
        one_by_one = _cpu_seconds(lambda: [index.search(query, k) for query in single])
        together = _cpu_seconds(index.search, queries, k)
        yield {
            "index": name,
            "parameter": parameter or "",
            "value": value,
            "recall": round(index_recall(found, exact), 4),
            "ms": round(1000 / len(single) * one_by_one, 4),
            "queries_per_s": round(len(queries) / together, 1),
            "build_s": round(built, 2),
        }


def _cpu_seconds(action: Callable, *arguments) -> float:
    started = time.process_time()
    action(*arguments)
    return max(time.process_time() - started, 1e-9)


@dataclass(frozen=True)
class Frontier:
    """The experiment: recall@100 against CPU time, on one thread. Items and 500 buyers of
    1 November 2011, and a million synthetic items; and the same items and buyers as
    `tuning.RECIPE` has them, with all their numbers ("wide") and with the towers' alone.
    """

    load: Callable[[], EventLog] = load_online_retail

    def tables(
        self, name: str, log: EventLog, seeds: Collection[int] | None, processes: int
    ) -> dict[str, pd.DataFrame]:
        check_days(name, log, DAY)
        million, asked = synthetic_vectors(1_000_000), synthetic_vectors(500, seed=1)
        wide = _of_the_course(log, Settings(**RECIPE))
        towers = [part[:, : Settings().dim] for part in wide]
        rows = []
        with one_core():
            for data, names, vectors, queries, efforts in (
                ("course", SMALL, *_of_the_course(log, Settings()), FEWER_PROBES),
                ("million", LARGE, million, asked, EFFORTS),
                ("towers", WIDE, *map(np.ascontiguousarray, towers), FEWER_PROBES),
                ("wide", WIDE, *wide, FEWER_PROBES),
            ):
                yardstick = FaissIndex()
                yardstick.build(vectors, np.arange(len(vectors)))
                exact = yardstick.search(queries, 100)[1]
                for index in names:
                    for row in frontier(index, vectors, queries, exact, efforts):
                        rows.append({"vectors": data, "rows": len(vectors), **row})
                        print(rows[-1], flush=True)
        return {name: pd.DataFrame(rows).assign(faiss=faiss.__version__, **stamp())}


def _of_the_course(log: EventLog, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the items listed on the day, and of 500 buyers before it."""
    now, before = pd.Timestamp(DAY), log.rows(DAY).start
    state = warm_state(log, settings, DAY)
    items = state.item_vectors(log, np.arange(log.listed(now)), now).numpy()
    buyers = pd.unique(log.user_rows[before:])[:500]
    return items, state.user_vectors(log, buyers, before).numpy()


@contextmanager
def one_core() -> Iterator[None]:
    """One thread for Faiss; and, where the system can do it (Linux), one core for everything,
    hnswlib and Milvus included.
    """
    threads = faiss.omp_get_max_threads()
    cores = getattr(os, "sched_getaffinity", lambda process: None)(0)
    faiss.omp_set_num_threads(1)
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)
