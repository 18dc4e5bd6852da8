"""Experiments that replay days of the log: runs, how their recommenders are made, their tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.augment import SelfSupervision
from course_lib.evaluation import (
    Recommender,
    TwoTowerNightly,
    TwoTowerServed,
    alignment,
    replay,
    uniformity,
)
from course_lib.experiments.jobs import check_days, done
from course_lib.experiments.terms import Term
from course_lib.full_update import Loss, full_update
from course_lib.log import EventLog
from course_lib.online_retail import TEST, load_online_retail
from course_lib.results import SEEDS, table_row
from course_lib.simulate import subsampled
from course_lib.state import Settings, State, new_state


@dataclass(frozen=True)
class Run:
    """One run: a recommender made for the log, or for a share of its events, drawn by `seed`."""

    name: str
    seed: int
    recipe: Callable[[EventLog], Recommender]
    share: float = 1.0


@dataclass(frozen=True)
class Baseline:
    """A recipe: a class of baselines.py and its options."""

    kind: type
    options: dict = field(default_factory=dict)

    def __call__(self, log: EventLog) -> Recommender:
        return self.kind(**self.options)


@dataclass(frozen=True)
class Nightly:
    """A recipe: the two towers from scratch, on the joint loss if there is a term; its relations
    are those of the items listed by `until`. `loss`: another main loss.
    """

    settings: Settings
    term: Term | None = None
    until: str | None = None
    loss: Loss | None = None

    def __call__(self, log: EventLog) -> Recommender:
        term = self.term and self.term.on(log, self.until)
        update = partial(full_update, term=term, loss=self.loss)
        return TwoTowerNightly(new_state(log, self.settings), update)


@dataclass(frozen=True)
class Served:
    """A recipe: `TwoTowerServed` with these options, from a state that has learned until then."""

    settings: Settings
    until: str
    options: dict

    def __call__(self, log: EventLog) -> Recommender:
        return TwoTowerServed(warm_state(log, self.settings, self.until), **self.options)


_WARM: WeakKeyDictionary[EventLog, dict] = WeakKeyDictionary()  # a log's states go when it goes


def warm_state(
    log: EventLog,
    settings: Settings,
    until: str,
    term: SelfSupervision | None = None,
    progress: bool = False,
) -> State:
    """A state that was fully updated every night until then, on the joint loss if there is a term;
    all runs start from the same one.
    """
    states = _WARM.setdefault(log, {})
    if (settings, until, term) not in states:
        state, days = new_state(log, settings), log.days[log.days < pd.Timestamp(until)]
        for day in tqdm(days, desc="nights", unit="night", disable=not progress):
            state = full_update(state, log, day, term=term)
        states[settings, until, term] = state
    return states[settings, until, term]


def nightly(
    name: str,
    term: Term | None = None,
    *,
    until: str = TEST[0],
    seeds: Iterable[int] = SEEDS,
    share: float = 1.0,
    base: Settings | None = None,
    loss: Loss | None = None,
    **changes,
) -> Iterator[Run]:
    """A run for each seed of the two towers, updated every night, with these settings changed."""
    for seed in seeds:
        settings = replace(base or Settings(), seed=seed, **changes)
        yield Run(name, seed, Nightly(settings, term, until, loss), share)


@dataclass(frozen=True)
class Replays:
    """An experiment: its runs, and the days that each of them replays.

    - `hourly`: tested hour by hour. `shape`: alignment and uniformity stand in the table as well.
    - `by`: with a table of events and hits at 100 by "month", for each seed, or by "day", means of
      the seeds, for intervals over days. `load`: gives the log, which has those days.
    """

    runs: Callable[[], Iterable[Run]]
    days: tuple[str, str]
    hourly: bool = False
    shape: bool = False
    by: tuple[str, ...] = ()
    load: Callable[[], EventLog] = load_online_retail

    def tables(
        self, name: str, log: EventLog, seeds: Collection[int] | None, processes: int
    ) -> dict[str, pd.DataFrame]:
        check_days(name, log, *self.days)
        runs = [run for run in self.runs() if seeds is None or run.seed in seeds]
        jobs = [partial(_replayed, run, self.days, self.hourly, self.shape) for run in runs]
        rows, hits = [], []
        for row, found in done(jobs, log, processes):
            print(row, flush=True)
            rows.append(row)
            hits.append(found)
        further = {f"{name}_by_{by}": BY[by](pd.concat(hits)) for by in self.by}
        return {name: pd.DataFrame(rows)} | further


def _replayed(
    run: Run, days: tuple[str, str], hourly: bool, shape: bool, log: EventLog
) -> tuple[dict, pd.DataFrame]:
    """A run's row of the table, and its hits by day, or by hour."""
    if run.share < 1:
        log = subsampled(log, run.share, run.seed)
    recommender = run.recipe(log)
    result = replay(log, recommender, *days, hourly=hourly, progress=False)
    more = shape_of(log, recommender.state, days[1]) if shape else {}
    row = table_row(run.name, run.seed, result, more)
    hits = result.assign(hit=result["rank"] <= 100).groupby("day", as_index=False)["hit"]
    return row, hits.agg(events="size", hits="sum").assign(arm=run.name, seed=run.seed)


def shape_of(log: EventLog, state: State, end: str) -> dict[str, float]:
    """Of the model at `end`: alignment of the last seven days' buyers with what they bought,
    uniformity of all items' vectors.
    """
    day = log.days[log.days < end][-1] - pd.Timedelta(days=6)
    rows = log.rows(day, end)
    vectors = state.item_vectors(log, np.arange(log.listed(day)), pd.Timestamp(end))  # [m, d]
    users = state.user_vectors(log, log.user_rows[rows], rows.start)  # [n, d]
    bought = torch.tensor(log.item_rows[rows])
    old = bought < len(vectors)
    return {
        "alignment": round(alignment(users[old], vectors[bought[old]]), 4),
        "uniformity": round(uniformity(vectors), 4),
    }


def _months(hits: pd.DataFrame) -> pd.DataFrame:
    """Events and hits by arm, seed and month."""
    hits = hits.assign(month=hits["day"].dt.strftime("%Y-%m"))
    return (
        hits.groupby(["arm", "seed", "month"], sort=False)[["events", "hits"]].sum().reset_index()
    )


def _days(hits: pd.DataFrame) -> pd.DataFrame:
    """Events and hits by arm and day: the mean of the seeds."""
    days = hits.groupby(["arm", "day"], sort=False)[["events", "hits"]].mean()
    return days.round(1).reset_index()


BY = {"month": _months, "day": _days}
