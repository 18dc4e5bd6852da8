"""The long runs behind the committed tables: `python -m course_lib.experiments NAME` rewrites data/results/NAME.csv.

Every row carries its arm, its seed, the library's version and the date. The notebooks load the tables, and run one
seed again to see that it lies where the table says.
"""

from __future__ import annotations

import argparse
import datetime
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import faiss
import numpy as np
import pandas as pd

from course_lib import __version__
from course_lib.evaluation import Recommender, TwoTowerNightly, TwoTowerServed, replay, summary
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex, VectorIndex
from course_lib.log import EventLog, load_online_retail
from course_lib.peers import EASE, ItemCF, Popularity
from course_lib.updates import Settings, State, full_update, new_state

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
TUNING = ("2011-04-01", "2011-06-01")
TEST = ("2011-06-01", "2011-12-10")
SEEDS = range(5)
Arm = tuple[str, int, Callable[[EventLog], Recommender]]  # name, seed, how to make it


def two_tower(name: str, **changes) -> Iterator[Arm]:
    """One arm of the two-tower model for each seed, with these settings changed."""
    for seed in SEEDS:
        settings = replace(Settings(), seed=seed, **changes)
        yield name, seed, lambda log, settings=settings: TwoTowerNightly(new_state(log, settings))


def peers_test() -> Iterator[Arm]:
    """The two towers and their peers on the test days, with their default settings: the chosen ones."""
    yield "popularity", 0, lambda log: Popularity()
    yield "item-to-item CF", 0, lambda log: ItemCF()
    yield "EASE", 0, lambda log: EASE()
    yield from two_tower("two towers")


def peers_tuning() -> Iterator[Arm]:
    """How the peers' default settings were chosen."""
    for half_life in (3, 5, 7, 10, 14):
        yield f"popularity half_life={half_life}", 0, lambda log, h=half_life: Popularity(h)
    for weight in (1.0, 3.0, 10.0):
        for half_life in (30, 60):
            for recent in (3, 7):
                options = {"history_half_life": half_life, "popularity": weight, "popularity_half_life": recent}
                yield f"item-to-item CF {_spell(options)}", 0, lambda log, o=options: ItemCF(**o)
    for ridge in (50, 100, 200):
        for half_life in (60, 120, 200):
            for weight in (0.15, 0.3, 0.6):
                options = {"ridge": ridge, "history_half_life": half_life, "popularity": weight}
                yield f"EASE {_spell(options)}", 0, lambda log, o=options: EASE(**o)


def _spell(options: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


def what_moved_it() -> Iterator[Arm]:
    """One thing changed at a time, on the days that the settings were chosen on."""
    yield from two_tower("as chosen")
    yield from two_tower("no purchase counts", statistics=())
    yield from two_tower("history of 10 items", history=10)
    yield from two_tower("history ends at the morning", visit_share=0.0)
    yield from two_tower("q half-life 3 days", q_half_life=3.0)
    yield from two_tower("q half-life 30 days", q_half_life=30.0)
    yield from two_tower("temperature 0.05", temperature=0.05)
    yield from two_tower("temperature 0.2", temperature=0.2)
    yield from two_tower("tables at a rate of 0.02", table_rate=0.02)
    yield from two_tower("16 dimensions", dim=16)


@cache
def warm_state(log: EventLog, settings: Settings, until: str) -> State:
    """A state that was fully updated every night until then."""
    state = new_state(log, settings)
    for day in log.days[log.days < pd.Timestamp(until)]:
        state = full_update(state, log, day)
    return state


def served(name: str, counts: bool = True, until: str = TEST[0], **options) -> Iterator[Arm]:
    """One arm of `TwoTowerServed` for each seed; all arms start from the same state."""
    for seed in SEEDS:
        settings = Settings(seed=seed) if counts else Settings(seed=seed, statistics=())
        yield name, seed, lambda log, settings=settings: TwoTowerServed(warm_state(log, settings, until), **options)


def updates_test() -> Iterator[Arm]:
    """What happens between two nights, and how many nights apart they may be; tested hour by hour."""
    yield from served("never updated", full_every=None)
    yield from served("nightly full")
    yield from served("nightly full + hourly IDs", hourly="ids")
    yield from served("nightly full + hourly counts", hourly="ids", rate=0.0)
    yield from served("nightly full + hourly all parameters", hourly="all")
    yield from served("no full, hourly IDs", full_every=None, hourly="ids")
    yield from served("no full, hourly all parameters", full_every=None, hourly="all")
    yield from served("nightly full in time order", shuffle=False)
    for days in (3, 7, 14, 30):
        yield from served(f"full every {days} days", full_every=days)
        yield from served(f"full every {days} days + hourly IDs", full_every=days, hourly="ids")
    for name, options in {
        "nightly full": {},
        "nightly full + hourly IDs": {"hourly": "ids"},
        "nightly full in time order": {"shuffle": False},
    }.items():
        yield from served(f"no counts: {name}", counts=False, **options)


def updates_tuning() -> Iterator[Arm]:
    """How the hourly learning rate was chosen: it is the tables' own."""
    for rate in (0.0, 0.03, 0.1, 0.3):
        yield from served(f"nightly full + hourly IDs rate={rate}", until=TUNING[0], hourly="ids", rate=rate)


# -- vector indexes: recall against time ------------------------------------------------------------------------------

SMALL_INDEXES = ("flat", "ivf", "ivfpq", "hnsw", "hnswlib", "Milvus FLAT", "Milvus HNSW", "Milvus IVF_FLAT")
LARGE_INDEXES = SMALL_INDEXES[:5]  # embedded Milvus spends more on a query's way in and out than on any search
EFFORTS = {"nprobe": (1, 2, 4, 8, 16, 32, 64, 128), "ef_search": (100, 200, 400, 800), None: (0,)}


def make_index(name: str) -> tuple[VectorIndex, str | None]:
    """An empty index of that name, and which attribute trades its speed for recall. Graphs are of moderate size."""
    if name.startswith("Milvus"):
        kind = name.split()[1]
        return MilvusIndex(kind=kind), {"FLAT": None, "HNSW": "ef_search", "IVF_FLAT": "nprobe"}[kind]
    if name == "hnswlib":
        return HnswlibIndex(M=16, ef_construction=40), "ef_search"
    return FaissIndex(name, M=16, ef_construction=40), {"flat": None, "hnsw": "ef_search"}.get(name, "nprobe")


def synthetic_vectors(rows: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    """[rows, dim] unit vectors shaped like the course's own: a mean of length 0.86, and variances that fall by 15 % from one
    direction to the next (tests/benchmarks/bench_index.py measures on the same).

    Vectors that spread evenly would have no near neighbours, and no index could find them. The directions are the same for
    every seed: items with one, queries with another.
    """
    spread = 0.85 ** (np.arange(dim) / 2)
    drawn = np.random.default_rng(seed).standard_normal((rows, dim), np.float32)
    drawn *= np.float32(0.5) * (spread / np.linalg.norm(spread)).astype(np.float32)
    drawn[:, -1] += 0.86
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, dim)))[0].astype(np.float32)
    drawn = drawn @ turned
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def index_recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact answer's ids [n, k] that are in the answer's [n, k]: recall@k of an index."""
    return float(np.mean([np.isin(right, answer).mean() for right, answer in zip(exact, found, strict=True)]))


def frontier(
    name: str,
    vectors: np.ndarray,
    queries: np.ndarray,
    exact: np.ndarray,
    efforts: dict[str | None, Iterable[int]] = EFFORTS,
) -> Iterator[dict]:
    """Build the index of that name once, and measure it at each effort: `nprobe` or `ef_search`, or None for an exact one.

    Yields `index`, `parameter`, `value`, `recall` of `exact` [n, k], `ms` (per query, one by one, the mean of 200),
    `queries_per_s` (all in one call), `build_s`. All times are CPU time, so that other programs' load does not count; how many
    threads share it is the caller's choice.
    """
    index, parameter = make_index(name)
    built = _cpu_seconds(index.build, vectors, np.arange(len(vectors)))
    k, single = exact.shape[1], np.split(queries[:200], len(queries[:200]))  # of [1, d] each
    for value in efforts[parameter]:
        if parameter:
            setattr(index, parameter, value)
        yield {
            "index": name,
            "parameter": parameter or "",
            "value": value,
            "recall": round(index_recall(index.search(queries, k)[1], exact), 4),
            "ms": round(1000 / len(single) * _cpu_seconds(lambda: [index.search(query, k) for query in single]), 4),
            "queries_per_s": round(len(queries) / _cpu_seconds(index.search, queries, k), 1),
            "build_s": round(built, 2),
        }


def _cpu_seconds(action: Callable, *arguments) -> float:
    started = time.process_time()
    action(*arguments)
    return max(time.process_time() - started, 1e-9)


def index_frontier() -> pd.DataFrame:
    """Recall@100 against CPU time, on one thread: items and 500 buyers of 1 November 2011, and a million synthetic items."""
    log, now = load_online_retail(), pd.Timestamp("2011-11-01")
    state, before = warm_state(log, Settings(), f"{now:%Y-%m-%d}"), log.rows(now).start
    items = state.item_vectors(log, np.arange(log.listed(now)), now).numpy()
    buyers = state.user_vectors(log, pd.unique(log.user_codes[before:])[:500], before).numpy()
    million, asked = synthetic_vectors(1_000_000), synthetic_vectors(500, seed=1)
    rows = []
    with one_core():
        for data, names, vectors, queries, efforts in (
            ("course", SMALL_INDEXES, items, buyers, EFFORTS | {"nprobe": (4, 8, 16, 32, 64)}),  # fewer lists hold fewer than 100
            ("million", LARGE_INDEXES, million, asked, EFFORTS),
        ):
            yardstick = FaissIndex()
            yardstick.build(vectors, np.arange(len(vectors)))
            exact = yardstick.search(queries, 100)[1]
            for name in names:
                for row in frontier(name, vectors, queries, exact, efforts):
                    rows.append({"vectors": data, "rows": len(vectors), **row})
                    print(rows[-1], flush=True)
    versions = {"faiss": faiss.__version__, "version": __version__, "date": datetime.date.today().isoformat()}
    return pd.DataFrame(rows).assign(**versions)


@contextmanager
def one_core() -> Iterator[None]:
    """One thread for Faiss; and, where the system can do it (Linux), one core for everything, hnswlib and Milvus included."""
    threads, cores = faiss.omp_get_max_threads(), getattr(os, "sched_getaffinity", lambda process: None)(0)
    faiss.omp_set_num_threads(1)
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)


MEASURED = {"index_frontier": index_frontier}


EXPERIMENTS = {
    "peers_test": (peers_test, TEST, False),
    "peers_tuning": (peers_tuning, TUNING, False),
    "what_moved_it": (what_moved_it, TUNING, False),
    "updates_test": (updates_test, TEST, True),
    "updates_tuning": (updates_tuning, TUNING, True),
}


def run(name: str, log: EventLog | None = None, seeds: Collection[int] = SEEDS) -> dict[str, pd.DataFrame]:
    """Run an experiment and return its tables by name.

    `name` has a row per arm and seed. An hourly experiment has three more, of events and hits at 100: `name`_by_month for each
    arm and seed; `name`_by_day and `name`_by_hour, where they are the mean of the seeds.
    """
    arms, days, hourly = EXPERIMENTS[name]
    log = log or load_online_retail()
    rows, hits = [], []
    for arm, seed, make in arms():
        if seed not in seeds:
            continue
        result = replay(log, make(log), *days, hourly=hourly)
        rows.append(table_row(arm, seed, result))
        print(rows[-1], flush=True)
        hits += [hits_of(arm, seed, result)] if hourly else []
    return {name: pd.DataFrame(rows)} | (by_time(name, pd.concat(hits)) if hourly else {})


def table_row(arm: str, seed: int, result: pd.DataFrame) -> dict:
    """What a table says of one replay."""
    measured = {"arm": arm, "seed": seed, **summary(result).round(5)}
    return measured | {"version": __version__, "date": datetime.date.today().isoformat()}


def hits_of(arm: str, seed: int, result: pd.DataFrame) -> pd.DataFrame:
    """Events and hits at 100 of one hourly replay, by day and hour."""
    hits = result.assign(hit=result["rank"] <= 100).groupby(["day", "hour"], as_index=False)["hit"].agg(events="size", hits="sum")
    return hits.assign(arm=arm, seed=seed, month=hits["day"].dt.strftime("%Y-%m"))


def by_time(name: str, hits: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The further tables of an hourly experiment."""
    tables = {f"{name}_by_month": hits.groupby(["arm", "seed", "month"], sort=False)[["events", "hits"]].sum()}
    for by in ("day", "hour"):
        sums = hits.groupby(["arm", "seed", by])[["events", "hits"]].sum()
        tables[f"{name}_by_{by}"] = sums.groupby(level=["arm", by], sort=False).mean().round(1)
    return {table: values.reset_index() for table, values in tables.items()}


def load(name: str) -> pd.DataFrame:
    """The committed table of an experiment."""
    return pd.read_csv(RESULTS / f"{name}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*EXPERIMENTS, *MEASURED], nargs="+")
    for experiment in parser.parse_args().name:
        RESULTS.mkdir(parents=True, exist_ok=True)
        for name, table in run(experiment).items():
            table.to_csv(RESULTS / f"{name}.csv", index=False)  # only a finished table replaces the old one


if __name__ == "__main__":
    main()
