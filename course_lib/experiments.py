"""The long runs behind the committed tables: `python -m course_lib.experiments NAME` rewrites
data/results/NAME.csv.

Every row carries its arm, its seed, the library's version and the date. The notebooks load the
tables, and run one seed again to see that it lies where the table says.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import faiss
import numpy as np
import pandas as pd
import torch

from course_lib import __version__
from course_lib.augment import (
    Augmentation,
    Complementary,
    CorrelatedMask,
    Dropout,
    RandomMask,
    SelfSupervision,
    mutual_information,
    shuffled_columns,
)
from course_lib.baselines import EASE, ItemCF, Popularity
from course_lib.evaluation import (
    Recommender,
    TwoTowerNightly,
    TwoTowerServed,
    alignment,
    ranks,
    recall,
    replay,
    summary,
    uniformity,
    within_slice_auc,
)
from course_lib.full_update import full_update
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex, VectorIndex
from course_lib.log import EventLog
from course_lib.online_retail import load_online_retail
from course_lib.results import RESULTS, SEEDS, TEST, TUNING, table_row
from course_lib.simulate import HeldOut, Simulated, held_out, simulate, subsampled
from course_lib.state import Settings, State, new_state


class Run(NamedTuple):
    """One run: how to make what is replayed, and on what share of the log (drawn by seed)."""

    name: str
    seed: int
    make: Callable[[EventLog], Recommender]
    share: float = 1.0


def two_tower(name: str, **changes) -> Iterator[Run]:
    """One arm of the two-tower model for each seed, with these settings changed."""
    for seed in SEEDS:
        settings = replace(Settings(), seed=seed, **changes)
        yield Run(
            name, seed, lambda log, settings=settings: TwoTowerNightly(new_state(log, settings))
        )


def baselines_test() -> Iterator[Run]:
    """The two towers and their peers on the test days, with their default settings: the chosen
    ones.
    """
    yield Run("popularity", 0, lambda log: Popularity())
    yield Run("item-to-item CF", 0, lambda log: ItemCF())
    yield Run("EASE", 0, lambda log: EASE())
    yield from two_tower("two towers")


def baselines_tuning() -> Iterator[Run]:
    """How the peers' default settings were chosen."""
    for half_life in (3, 5, 7, 10, 14):
        yield Run(f"popularity half_life={half_life}", 0, lambda log, h=half_life: Popularity(h))
    for weight in (1.0, 3.0, 10.0):
        for half_life in (30, 60):
            for recent in (3, 7):
                options = {
                    "history_half_life": half_life,
                    "popularity": weight,
                    "popularity_half_life": recent,
                }
                yield Run(
                    f"item-to-item CF {_spell(options)}", 0, lambda log, o=options: ItemCF(**o)
                )
    for ridge in (50, 100, 200):
        for half_life in (60, 120, 200):
            for weight in (0.15, 0.3, 0.6):
                options = {"ridge": ridge, "history_half_life": half_life, "popularity": weight}
                yield Run(f"EASE {_spell(options)}", 0, lambda log, o=options: EASE(**o))


def _spell(options: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


def ablation() -> Iterator[Run]:
    """One thing changed at a time, on the days that the settings were chosen on."""
    yield from two_tower("as chosen")
    yield from two_tower("no purchase counts", popularity_half_lives=())
    yield from two_tower("history of 10 items", history=10)
    yield from two_tower("history ends at the morning", session_prefix_share=0.0)
    yield from two_tower("q half-life 3 days", q_half_life=3.0)
    yield from two_tower("q half-life 30 days", q_half_life=30.0)
    yield from two_tower("temperature 0.05", temperature=0.05)
    yield from two_tower("temperature 0.2", temperature=0.2)
    yield from two_tower("tables at a rate of 0.02", embedding_lr=0.02)
    yield from two_tower("16 dimensions", dim=16)


@cache
def warm_state(log: EventLog, settings: Settings, until: str) -> State:
    """A state that was fully updated every night until then."""
    state = new_state(log, settings)
    for day in log.days[log.days < pd.Timestamp(until)]:
        state = full_update(state, log, day)
    return state


def served(name: str, counts: bool = True, until: str = TEST[0], **options) -> Iterator[Run]:
    """One arm of `TwoTowerServed` for each seed; all arms start from the same state."""
    for seed in SEEDS:
        settings = Settings(seed=seed) if counts else Settings(seed=seed, popularity_half_lives=())
        yield Run(
            name,
            seed,
            lambda log, settings=settings: TwoTowerServed(
                warm_state(log, settings, until), **options
            ),
        )


def updates_test() -> Iterator[Run]:
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


def updates_tuning() -> Iterator[Run]:
    """How the hourly learning rate was chosen: it is the tables' own."""
    for rate in (0.0, 0.03, 0.1, 0.3):
        yield from served(
            f"nightly full + hourly IDs rate={rate}", until=TUNING[0], hourly="ids", rate=rate
        )


# -- vector indexes: recall against time
# ------------------------------------------------------------------------------

SMALL_INDEXES = (
    "flat",
    "ivf",
    "ivfpq",
    "hnsw",
    "hnswlib",
    "Milvus FLAT",
    "Milvus HNSW",
    "Milvus IVF_FLAT",
)
LARGE_INDEXES = SMALL_INDEXES[
    :5
]  # embedded Milvus spends more on a query's way in and out than on any search
EFFORTS = {"nprobe": (1, 2, 4, 8, 16, 32, 64, 128), "ef_search": (100, 200, 400, 800), None: (0,)}


def make_index(name: str) -> tuple[VectorIndex, str | None]:
    """An empty index of that name, and which attribute trades its speed for recall. Graphs are of
    moderate size.
    """
    if name.startswith("Milvus"):
        kind = name.split()[1]
        return MilvusIndex(kind=kind), {"FLAT": None, "HNSW": "ef_search", "IVF_FLAT": "nprobe"}[
            kind
        ]
    if name == "hnswlib":
        return HnswlibIndex(M=16, ef_construction=40), "ef_search"
    return FaissIndex(name, M=16, ef_construction=40), {"flat": None, "hnsw": "ef_search"}.get(
        name, "nprobe"
    )


def synthetic_vectors(rows: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    """[rows, dim] unit vectors shaped like the course's own: a mean of length 0.86, and variances
    that fall by 15 % from one direction to the next (tests/benchmarks/bench_index.py measures on
    the same).

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
    """The share of the exact answer's ids [n, k] that are in the answer's [n, k]: recall@k of an
    index.
    """
    return float(
        np.mean([np.isin(right, answer).mean() for right, answer in zip(exact, found, strict=True)])
    )


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
        yield {
            "index": name,
            "parameter": parameter or "",
            "value": value,
            "recall": round(index_recall(index.search(queries, k)[1], exact), 4),
            "ms": round(
                1000
                / len(single)
                * _cpu_seconds(lambda: [index.search(query, k) for query in single]),
                4,
            ),
            "queries_per_s": round(len(queries) / _cpu_seconds(index.search, queries, k), 1),
            "build_s": round(built, 2),
        }


def _cpu_seconds(action: Callable, *arguments) -> float:
    started = time.process_time()
    action(*arguments)
    return max(time.process_time() - started, 1e-9)


def index_frontier() -> pd.DataFrame:
    """Recall@100 against CPU time, on one thread: items and 500 buyers of 1 November 2011, and a
    million synthetic items.
    """
    log, now = load_online_retail(), pd.Timestamp("2011-11-01")
    state, before = warm_state(log, Settings(), f"{now:%Y-%m-%d}"), log.rows(now).start
    items = state.item_vectors(log, np.arange(log.listed(now)), now).numpy()
    buyers = state.user_vectors(log, pd.unique(log.user_rows[before:])[:500], before).numpy()
    million, asked = synthetic_vectors(1_000_000), synthetic_vectors(500, seed=1)
    rows = []
    with one_core():
        for data, names, vectors, queries, efforts in (
            (
                "course",
                SMALL_INDEXES,
                items,
                buyers,
                EFFORTS | {"nprobe": (4, 8, 16, 32, 64)},
            ),  # fewer lists hold fewer than 100
            ("million", LARGE_INDEXES, million, asked, EFFORTS),
        ):
            yardstick = FaissIndex()
            yardstick.build(vectors, np.arange(len(vectors)))
            exact = yardstick.search(queries, 100)[1]
            for name in names:
                for row in frontier(name, vectors, queries, exact, efforts):
                    rows.append({"vectors": data, "rows": len(vectors), **row})
                    print(rows[-1], flush=True)
    versions = {
        "faiss": faiss.__version__,
        "version": __version__,
        "date": datetime.date.today().isoformat(),
    }
    return pd.DataFrame(rows).assign(**versions)


@contextmanager
def one_core() -> Iterator[None]:
    """One thread for Faiss; and, where the system can do it (Linux), one core for everything,
    hnswlib and Milvus included.
    """
    threads, cores = (
        faiss.omp_get_max_threads(),
        getattr(os, "sched_getaffinity", lambda process: None)(0),
    )
    faiss.omp_set_num_threads(1)
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)


# -- self-supervised learning
# -----------------------------------------------------------------------------------------

PLAIN = Settings(
    popularity_half_lives=()
)  # without purchase counts among the inputs, which keep every new item down
NAMES = (
    "random mask",
    "dropout",
    "complementary",
    "correlated mask",
    "correlated mask, less chance",
)
ALPHAS, TEMPERATURES = (0.03, 0.1, 0.3, 1.0), (0.1, 0.3)


@cache
def augmentation(name: str, log: EventLog, until: str | None = None) -> Augmentation:
    """An augmentation by its name in `NAMES`; mutual information is that of the items listed by
    `until` (None: all).
    """
    if not name.startswith("correlated"):
        return {
            "random mask": RandomMask(0.5),
            "dropout": Dropout(),
            "complementary": Complementary(),
        }[name]
    items = log.items if until is None else log.items.iloc[: log.listed(until)]
    mi = mutual_information(items)  # every item once, as the term draws them
    return CorrelatedMask(
        mi if name == "correlated mask" else mi - mutual_information(shuffled_columns(items))
    )


def supervised(
    name: str,
    augment: str | Augmentation | None = None,
    alpha: float = 0.1,
    temperature: float = 0.3,
    until: str = TEST[0],
    seeds: Iterable[int] = SEEDS,
    share: float = 1.0,
    base: Settings = PLAIN,
    **changes,
) -> Iterator[Run]:
    """One nightly arm for each seed, on the joint loss with that augmentation (None: on the main
    loss alone).
    """
    for seed in seeds:
        settings = replace(base, seed=seed, **changes)

        def make(log: EventLog, settings: Settings = settings) -> Recommender:
            chosen = augmentation(augment, log, until) if isinstance(augment, str) else augment
            term = chosen and SelfSupervision(chosen, alpha, temperature)
            return TwoTowerNightly(new_state(log, settings), partial(full_update, term=term))

        yield Run(name, seed, make, share)


def _shape(log: EventLog, recommender: Recommender, end: str) -> dict:
    """Of the model at `end`: alignment of the last seven days' buyers with what they bought,
    uniformity of all items' vectors.
    """
    state, day = recommender.state, log.days[log.days < end][-1] - pd.Timedelta(days=6)
    rows = log.rows(day, end)
    vectors = state.item_vectors(log, np.arange(log.listed(day)), pd.Timestamp(end))  # [m, d]
    users = state.user_vectors(log, log.user_rows[rows], rows.start)  # [n, d]
    old = torch.from_numpy(log.item_rows[rows] < len(vectors))
    items = vectors[torch.from_numpy(log.item_rows[rows])[old]]
    return {
        "alignment": round(alignment(users[old], items), 4),
        "uniformity": round(uniformity(vectors), 4),
    }


def self_supervision_tuning() -> Iterator[Run]:
    """Every kind of arm gets eight tries (the plain one counts for all), two seeds each, on April
    and May.
    """
    tuned = partial(supervised, until=TUNING[0], seeds=range(2))
    yield from tuned("plain")
    for days in (2.0, 3.0, 4.0, 5.0, 10.0, 14.0, 30.0):
        yield from tuned(f"q half-life {days:g} days", q_half_life=days)
    for share in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        yield from tuned(f"new items {share}", cold_start_dropout=share)
    for share in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        yield from tuned(f"fields dropped {share}", field_dropout=share)
    for name, temperature, alpha in product(NAMES, TEMPERATURES, ALPHAS):
        yield from tuned(
            f"{name} alpha={alpha} temperature={temperature}", name, alpha, temperature
        )
    for share, days in product((0.0, 0.01, 0.02, 0.05, 0.1, 0.2), (3.0, 5.0, 7.0)):
        name = f"counts: new items {share}, q half-life {days:g} days"
        yield from tuned(name, base=Settings(), cold_start_dropout=share, q_half_life=days)


def self_supervision_test() -> Iterator[Run]:
    """Every augmentation with some and with much weight; its rivals; and recipes, with purchase
    counts and without.

    "Default untrained" is a main loss that never sees a default (`field_dropout=0`), so that the
    term alone trains it.
    """
    yield from supervised("plain")
    yield from supervised("default untrained", field_dropout=0.0)
    for name in ("random mask", "correlated mask"):
        yield from supervised(f"default untrained + {name} alpha=0.1", name, field_dropout=0.0)
    yield from supervised("q half-life 3 days", q_half_life=3.0)
    yield from supervised("new items 0.1", cold_start_dropout=0.1)
    for name in NAMES:
        for alpha in (0.03, 0.1, 1.0) if name in ("random mask", NAMES[-1]) else (0.1, 1.0):
            yield from supervised(f"{name} alpha={alpha}", name, alpha)
    yield from supervised(
        "q half-life 3 days + random mask alpha=0.03", "random mask", 0.03, q_half_life=3.0
    )
    yield from supervised("counts", base=Settings())
    yield from supervised("counts + random mask alpha=0.03", "random mask", 0.03, base=Settings())
    recipe = {"base": Settings(), "cold_start_dropout": 0.2, "q_half_life": 3.0}
    yield from supervised("counts + new items 0.2, q half-life 3 days", **recipe)
    yield from supervised(
        "counts + new items 0.2, q half-life 3 days + random mask alpha=0.03",
        "random mask",
        0.03,
        **recipe,
    )
    yield from supervised(
        "counts + new items 0.01, q half-life 5 days",
        base=Settings(),
        cold_start_dropout=0.01,
        q_half_life=5.0,
    )


def subsampled_tuning() -> Iterator[Run]:
    """Three tries for each kind of arm on a tenth of the events, two seeds each, on April and May."""
    shop = partial(supervised, until=TUNING[0], seeds=range(2), share=0.1)
    yield from shop("plain")
    for chance in (0.1, 0.3, 0.5):
        yield from shop(f"new items {chance}", cold_start_dropout=chance)
    for name, alpha in product(NAMES, (0.1, 0.3, 1.0)):
        yield from shop(f"{name} alpha={alpha}", name, alpha)


def subsampled_test() -> Iterator[Run]:
    """The same comparison on smaller shops: a share of the log's events, drawn anew for each seed;
    as tuned on a tenth.
    """
    for share in (0.3, 0.1, 0.03):
        shop = partial(supervised, share=share)
        yield from shop(f"{share:.0%}: plain")
        yield from shop(f"{share:.0%}: new items 0.1", cold_start_dropout=0.1)
        for name in NAMES:
            alpha = 1.0 if name == "dropout" else 0.1
            yield from shop(f"{share:.0%}: {name} alpha={alpha}", name, alpha)


# -- several passes over few events: the simulated log, and the real one treated alike
# ---------------------------------

EPOCHS = 10
Learner = tuple[
    dict, str | None, float, float
]  # changed settings, augmentation, alpha, temperature


def epochs(
    task: Simulated | HeldOut,
    settings: Settings,
    term: SelfSupervision | None = None,
    number: int = EPOCHS,
) -> Iterator[tuple[State, dict]]:
    """Train on a log of one day, pass after pass, and measure after each.

    Half of the users are for validation, by which the best pass may be chosen; all other numbers
    are of the other half. `R@100` and so on as in `summary`, of the items in `liked`: all items are
    candidates but those that the user bought.
    """
    log, (day,) = task.log, task.log.days
    codes = (
        log.users.index.get_indexer(task.liked["user"]),
        log.items.index.get_indexer(task.liked["item"]),
    )
    (users, rows), items = np.unique(codes[0], return_inverse=True), codes[1]
    had = [log.bought(user, len(log)) for user in users]
    times_bought = np.bincount(log.item_rows, minlength=len(log.items))
    state, validation = new_state(log, settings), rows % 2 == 0
    for done in range(1, number + 1):
        state = full_update(state, log, day, term=term, turn="again")
        scores = (
            state.user_vectors(log, users, len(log))
            @ state.item_vectors(log, np.arange(len(log.items)), day).T
        )
        result = pd.DataFrame(
            {"rank": ranks(scores, had, rows, items), "bought": times_bought[items]}
        )
        result["within_auc"] = within_slice_auc(scores, had, rows, items, times_bought)
        held = recall(result[validation], 100)
        yield (
            state,
            {"pass": done, "validation": round(held, 5), **summary(result[~validation]).round(5)},
        )


def simulated_arms() -> dict[str, Learner]:
    """What is compared on the simulated log: of every kind the try with the best validation at
    three events per item.
    """
    return {
        "plain": ({}, None, 0, 1),
        "new items": ({"cold_start_dropout": 0.9}, None, 0, 1),
        "fields dropped": ({"field_dropout": 0.3}, None, 0, 1),
        "random mask": ({}, "random mask", 3.0, 0.3),
        "dropout": ({}, "dropout", 3.0, 0.3),
        "complementary": ({}, "complementary", 3.0, 0.3),
        "correlated mask": ({}, "correlated mask", 0.3, 0.3),
        "correlated mask, less chance": ({}, "correlated mask, less chance", 3.0, 0.3),
    }


def simulated_tuning() -> dict[str, Learner]:
    """Five tries for each kind of arm."""
    arms = {"plain": ({}, None, 0, 1)}
    for name, value in (
        ("embedding_lr", 0.03),
        ("embedding_lr", 0.3),
        ("temperature", 0.2),
        ("q_half_life", 30.0),
    ):
        arms[f"plain {name}={value}"] = ({name: value}, None, 0, 1)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        arms[f"new items {share}"] = ({"cold_start_dropout": share}, None, 0, 1)
    for share in (0.1, 0.2, 0.3, 0.5, 0.7):
        arms[f"fields dropped {share}"] = ({"field_dropout": share}, None, 0, 1)
    for name in NAMES:
        for alpha, temperature in ((0.1, 0.3), (0.3, 0.3), (1.0, 0.3), (3.0, 0.3), (1.0, 0.1)):
            arms[f"{name} alpha={alpha} temperature={temperature}"] = ({}, name, alpha, temperature)
    return arms


def simulated_task(events_per_item: float, seed: int) -> Simulated:
    return simulate(events_per_item=events_per_item, seed=seed)


def popular_task(events_per_item: float, seed: int) -> Simulated:
    """The same logs, but to be found is what is bought next, popular items more often, and not what
    would be liked.
    """
    return simulate(events_per_item=events_per_item, seed=seed, liked_by_popularity=True)


def real_tuning() -> dict[str, Learner]:
    """Four tries for each kind of arm."""
    arms = {"plain": ({}, None, 0, 1)}
    for share in (0.1, 0.3, 0.5, 0.9):
        arms[f"new items {share}"] = ({"cold_start_dropout": share}, None, 0, 1)
    for share in (0.05, 0.1, 0.2, 0.3):
        arms[f"fields dropped {share}"] = ({"field_dropout": share}, None, 0, 1)
    for name, alpha in product(NAMES, ALPHAS):
        arms[f"{name} alpha={alpha}"] = ({}, name, alpha, 0.3)
    return arms


def real_arms() -> dict[str, Learner]:
    """Of every kind the try with the best validation on a tenth of the real events
    (`sweep_real_tuning`).
    """
    arms = {"plain": ({}, None, 0, 1), "new items": ({"cold_start_dropout": 0.3}, None, 0, 1)}
    arms |= {"fields dropped": ({"field_dropout": 0.2}, None, 0, 1)}
    return arms | {name: ({}, name, 0.03, 0.3) for name in NAMES}


def real_tuning_task(share: float, seed: int) -> HeldOut:
    """What was sold before April, and what the same users bought in April and May."""
    return held_out(_embedded_log(), pd.Timestamp(TUNING[0]), share, seed=seed)


def real_task(share: float, seed: int) -> HeldOut:
    """What was sold before the test days, and what the same users bought in June and July."""
    return held_out(_embedded_log(), pd.Timestamp(TEST[0]), share, seed=seed)


class Sweep(NamedTuple):
    """An experiment in several passes: its arms, and a dial with the values that it is turned to."""

    arms: Callable[[], dict[str, Learner]]
    parameter: str
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    task: Callable[[float, int], Simulated | HeldOut]

    def jobs(self) -> list[tuple[float, int, str]]:
        return list(product(self.values, self.seeds, self.arms()))


SWEEPS = {
    "sweep_tuning": Sweep(simulated_tuning, "events per item", (3.0,), (10, 11), simulated_task),
    "sweep": Sweep(
        simulated_arms, "events per item", (1.0, 3.0, 10.0, 20.0), tuple(SEEDS), simulated_task
    ),
    "sweep_popular": Sweep(simulated_arms, "events per item", (3.0,), tuple(SEEDS), popular_task),
    "sweep_real_tuning": Sweep(real_tuning, "share", (0.1,), (10, 11), real_tuning_task),
    "sweep_real": Sweep(real_arms, "share", (0.03, 0.1), tuple(SEEDS), real_task),
}


def sweep_runs(name: str, processes: int = 1) -> dict[str, pd.DataFrame]:
    """A row per arm, value of the dial and seed, at the pass with the best validation; and one by
    pass, the seeds' means.
    """
    jobs = [(name, number) for number in range(len(SWEEPS[name].jobs()))]
    return best_epochs(
        name,
        pd.concat(
            map(_learned, jobs) if processes == 1 else _in_parallel(_learned, jobs, processes)
        ),
    )


def best_epochs(name: str, done: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of a sweep, from every pass of every run, in order."""
    dial = SWEEPS[name].parameter
    done = done.reset_index(drop=True)
    best = done.loc[
        done.sort_values("validation", kind="stable")
        .groupby([dial, "arm", "seed"], sort=False)
        .tail(1)
        .index
    ]
    by_pass = (
        done.groupby([dial, "arm", "pass"], sort=False)[["R@100", "cold", "tail"]]
        .mean()
        .round(5)
        .reset_index()
    )
    dated = {"version": __version__, "date": datetime.date.today().isoformat()}
    return {name: best.sort_index().assign(**dated), f"{name}_by_pass": by_pass.assign(**dated)}


def _learned(job: tuple[str, int]) -> pd.DataFrame:
    """Every pass of one run of a sweep, by its number."""
    name, number = job
    sweep = SWEEPS[name]
    value, seed, arm = sweep.jobs()[number]
    changes, augment, alpha, temperature = sweep.arms()[arm]
    task = _task(name, value, seed)
    term = augment and SelfSupervision(augmentation(augment, task.log), alpha, temperature)
    rows = [row for _, row in epochs(task, replace(PLAIN, seed=seed, **changes), term)]
    keys = {sweep.parameter: value, "arm": arm, "seed": seed, "events": len(task.log)}
    print(keys | rows[-1], flush=True)
    return pd.DataFrame([keys | row for row in rows])


@cache
def _task(name: str, value: float, seed: int) -> Simulated | HeldOut:
    return SWEEPS[name].task(value, seed)


MEASURED = {"index_frontier": index_frontier}

EXPERIMENTS = {
    "baselines_test": (baselines_test, TEST, False),
    "baselines_tuning": (baselines_tuning, TUNING, False),
    "ablation": (ablation, TUNING, False),
    "updates_test": (updates_test, TEST, True),
    "updates_tuning": (updates_tuning, TUNING, True),
    "self_supervision_tuning": (self_supervision_tuning, TUNING, False),
    "self_supervision_test": (self_supervision_test, TEST, False),
    "subsampled_tuning": (subsampled_tuning, TUNING, False),
    "subsampled_test": (subsampled_test, TEST, False),
}


def run(
    name: str, log: EventLog | None = None, seeds: Collection[int] = SEEDS, processes: int = 1
) -> dict[str, pd.DataFrame]:
    """Run an experiment and return its tables by name.

    `name` has a row per arm and seed. An hourly experiment has three more, of events and hits at
    100: `name`_by_month for each arm and seed; `name`_by_day and `name`_by_hour, where they are the
    mean of the seeds. With several `processes`, each runs arms of its own on one thread (and on the
    embedded log: `log` is for one process).
    """
    arms, _, hourly = EXPERIMENTS[name]
    jobs = [(name, number) for number, arm in enumerate(arms()) if arm.seed in seeds]
    rows, hits = [], []
    for row, found in (
        map(partial(_replayed, log=log), jobs)
        if processes == 1
        else _in_parallel(_replayed, jobs, processes)
    ):
        rows.append(row)
        hits += [found] if hourly else []
        print(row, flush=True)
    return {name: pd.DataFrame(rows)} | (by_time(name, pd.concat(hits)) if hourly else {})


def _replayed(
    job: tuple[str, int], log: EventLog | None = None
) -> tuple[dict, pd.DataFrame | None]:
    """One arm of an experiment, by its number."""
    name, number = job
    arms, days, hourly = EXPERIMENTS[name]
    arm = list(arms())[number]
    log = log or _embedded_log()
    if arm.share < 1:
        log = subsampled(log, arm.share, arm.seed)
    recommender = arm.make(log)
    result = replay(log, recommender, *days, hourly=hourly, progress=False)
    row = table_row(
        arm.name,
        arm.seed,
        result,
        _shape(log, recommender, days[1]) if "self_supervision" in name else {},
    )
    return row, hits_of(arm.name, arm.seed, result) if hourly else None


@cache
def _embedded_log() -> EventLog:
    return load_online_retail()


def _in_parallel(work: Callable, jobs: list, processes: int) -> Iterator:
    with multiprocessing.get_context("spawn").Pool(processes, torch.set_num_threads, [1]) as pool:
        yield from pool.imap(work, jobs)


def hits_of(arm: str, seed: int, result: pd.DataFrame) -> pd.DataFrame:
    """Events and hits at 100 of one hourly replay, by day and hour."""
    hits = (
        result.assign(hit=result["rank"] <= 100)
        .groupby(["day", "hour"], as_index=False)["hit"]
        .agg(events="size", hits="sum")
    )
    return hits.assign(arm=arm, seed=seed, month=hits["day"].dt.strftime("%Y-%m"))


def by_time(name: str, hits: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The further tables of an hourly experiment."""
    tables = {
        f"{name}_by_month": hits.groupby(["arm", "seed", "month"], sort=False)[
            ["events", "hits"]
        ].sum()
    }
    for by in ("day", "hour"):
        sums = hits.groupby(["arm", "seed", by])[["events", "hits"]].sum()
        tables[f"{name}_by_{by}"] = sums.groupby(level=["arm", by], sort=False).mean().round(1)
    return {table: values.reset_index() for table, values in tables.items()}


def tables(name: str, processes: int = 1) -> dict[str, pd.DataFrame]:
    """All that `python -m course_lib.experiments NAME` writes."""
    if name in EXPERIMENTS:
        return run(name, processes=processes)
    return sweep_runs(name, processes) if name in SWEEPS else {name: MEASURED[name]()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*EXPERIMENTS, *SWEEPS, *MEASURED], nargs="+")
    parser.add_argument(
        "--processes", type=int, default=1, help="how many arms to run side by side"
    )
    options = parser.parse_args()
    for experiment in options.name:
        RESULTS.mkdir(parents=True, exist_ok=True)
        for name, table in tables(experiment, options.processes).items():
            table.to_csv(
                RESULTS / f"{name}.csv", index=False
            )  # only a finished table replaces the old one


if __name__ == "__main__":
    main()
