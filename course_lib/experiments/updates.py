"""What happens between two nights, and how many nights apart they may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from course_lib.experiments.replays import Run, Served
from course_lib.log import DAY, EventLog
from course_lib.online_retail import TEST, TUNING
from course_lib.results import SEEDS
from course_lib.state import Settings
from course_lib.tuning import RECIPE

NO_COUNTS = Settings(popularity_half_lives=())
# arms that let hours do more than the course does, and how each goes on between two nights
HOURS = {
    "nightly full + hourly all parameters": {"hourly": "all"},
    "no full, hourly all parameters": {"full_every": None, "hourly": "all"},
    "no full, hourly IDs": {"full_every": None, "hourly": "ids"},
}
# the learning rates that April and May chose (hours_tuning); for IDs it is the night's
SLOW = {"nightly full + hourly all parameters": 0.003, "no full, hourly all parameters": 0.01}


def served(
    name: str,
    base: Settings | None = None,
    until: str = TEST[0],
    seeds: Iterable[int] = SEEDS,
    **options,
) -> Iterator[Run]:
    """A run of `TwoTowerServed` for each seed, with these options."""
    for seed in seeds:
        settings = replace(base or Settings(), seed=seed)
        yield Run(name, seed, Served(settings, until, options))


def test() -> Iterator[Run]:
    """Every way to go on between two nights, and every cadence; tested hour by hour."""
    yield from served("never updated", full_every=None)
    yield from served("nightly full")
    yield from served("nightly full + hourly IDs", hourly="ids")
    yield from served("nightly full + hourly counts", hourly="ids", rate=0.0)
    yield from served("no full, hourly IDs", full_every=None, hourly="ids")
    yield from served("nightly full in time order", shuffle=False)
    for days in (3, 7, 14, 30):
        yield from served(f"full every {days} days", full_every=days)
        yield from served(f"full every {days} days + hourly IDs", full_every=days, hourly="ids")
    for name, options in {
        "nightly full": {},
        "nightly full + hourly IDs": {"hourly": "ids"},
        "nightly full in time order": {"shuffle": False},
    }.items():
        yield from served(f"no counts: {name}", NO_COUNTS, **options)


def recipe() -> Iterator[Run]:
    """The arms that chapter 06 decides by, with the recipe for a new log; three seeds."""
    for name, options in {
        "nightly full": {},
        "nightly full + hourly IDs": {"hourly": "ids"},
        "nightly full + hourly counts": {"hourly": "ids", "rate": 0.0},
    }.items():
        yield from served(name, Settings(**RECIPE), seeds=range(3), **options)


def tuning() -> Iterator[Run]:
    """How the hourly learning rate was chosen: it is the tables' own."""
    for rate in (0.0, 0.03, 0.1, 0.3):
        name = f"nightly full + hourly IDs rate={rate}"
        yield from served(name, until=TUNING[0], hourly="ids", rate=rate)


def hours_test() -> Iterator[Run]:
    """These arms at the night's learning rate and at their own, and what they are held against."""
    yield from served("nightly full")
    yield from served("nightly full + hourly counts", hourly="ids", rate=0.0)
    for name, options in HOURS.items():
        yield from served(name, **options)
    for name, rate in SLOW.items():
        yield from served(name.replace("hourly", "slow hourly"), **HOURS[name], rate=rate)


def hours_tuning() -> Iterator[Run]:
    """How fast the hours should learn, where they do more than they do in the course."""
    for name, options in HOURS.items():
        for rate in (0.003, 0.01, 0.03, 0.1, 0.3):
            rated = options | {"rate": rate}
            yield from served(f"{name} rate={rate}", until=TUNING[0], **rated)


def hours_and_opponents(
    log: EventLog, day: pd.Timestamp, rng: np.random.Generator, least: int = 50
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each of a day's hours with `least` events or more, the places in the day [n] of its
    events, and of its two fair opponents: as many random events, and as many of whole visits of
    random customers.
    """
    rows = log.rows(day, day + DAY)
    users, hours = log.user_rows[rows], log.events["time"].iloc[rows].dt.hour.to_numpy()
    for hour in np.unique(hours):
        own = np.flatnonzero(hours == hour)
        if len(own) >= least:
            random_events = rng.choice(len(hours), len(own), replace=False)
            turn = rng.permutation(len(log.users))[users]  # customers in random order
            yield own, random_events, np.argsort(turn, kind="stable")[: len(own)]
