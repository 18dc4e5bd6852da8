"""The long runs behind the committed tables: `python -m course_lib.experiments NAME` rewrites data/results/NAME.csv.

Every row carries its arm, its seed, the library's version and the date. The notebooks load the tables, and run one
seed again to see that it lies where the table says.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from course_lib import __version__
from course_lib.evaluation import Recommender, TwoTowerNightly, TwoTowerServed, replay, slices, summary
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
    yield from served("no counts: nightly full", counts=False)
    yield from served("no counts: nightly full + hourly IDs", counts=False, hourly="ids")
    yield from served("no counts: nightly full + hourly all parameters", counts=False, hourly="all")
    yield from served("no counts: no full, hourly IDs", counts=False, full_every=None, hourly="ids")
    yield from served("no counts: no full, hourly all parameters", counts=False, full_every=None, hourly="all")
    yield from served("no counts: nightly full in time order", counts=False, shuffle=False)


def updates_tuning() -> Iterator[Arm]:
    """How the hourly learning rate was chosen: it is the tables' own."""
    for rate in (0.0, 0.03, 0.1, 0.3):
        yield from served(f"nightly full + hourly IDs rate={rate}", until=TUNING[0], hourly="ids", rate=rate)


EXPERIMENTS = {
    "peers_test": (peers_test, TEST, False),
    "peers_tuning": (peers_tuning, TUNING, False),
    "what_moved_it": (what_moved_it, TUNING, False),
    "updates_test": (updates_test, TEST, True),
    "updates_tuning": (updates_tuning, TUNING, True),
}


def run(name: str, log: EventLog | None = None, seeds: Collection[int] = SEEDS) -> dict[str, pd.DataFrame]:
    """Run an experiment. Returns its table, a row per arm and seed, by `name`.

    An hourly experiment has two more: `name`_by_day and `name`_by_hour, events and hits at 100, the mean of the seeds.
    """
    arms, days, hourly = EXPERIMENTS[name]
    log = log or load_online_retail()
    rows, hits = [], []
    for arm, seed, make in arms():
        if seed not in seeds:
            continue
        result = replay(log, make(log), *days, hourly=hourly)
        row = {"arm": arm, "seed": seed, **summary(result).round(5)}
        rows.append(row | {"version": __version__, "date": datetime.date.today().isoformat()})
        print(row, flush=True)
        if hourly:
            hits.append(result.assign(arm=arm, seed=seed, hit=result["rank"] <= 100, slice=slices(result)))
    tables = {name: pd.DataFrame(rows)}
    if hourly:
        hits = pd.concat(hits)
        for by in ("day", "hour"):
            by_seed = hits.groupby(["arm", by, "slice", "seed"], sort=False)["hit"].agg(["size", "sum"])
            mean = by_seed.groupby(level=["arm", by, "slice"], sort=False).mean().round(2)
            tables[f"{name}_by_{by}"] = mean.rename(columns={"size": "events", "sum": "hits"}).reset_index()
    return tables


def load(name: str) -> pd.DataFrame:
    """The committed table of an experiment."""
    return pd.read_csv(RESULTS / f"{name}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, nargs="+")
    for experiment in parser.parse_args().name:
        RESULTS.mkdir(parents=True, exist_ok=True)
        for name, table in run(experiment).items():
            table.to_csv(RESULTS / f"{name}.csv", index=False)  # only a finished table replaces the old one


if __name__ == "__main__":
    main()
