"""Tuning: which settings suit a log, found on its own earlier days, with as many tries for every
method that is compared.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from course_lib.baselines import ALS, EASE, ItemCF, Popularity, UserKNN
from course_lib.evaluation import Recommender, TwoTowerNightly, replay, summary
from course_lib.frames import checked
from course_lib.log import EventLog
from course_lib.state import Settings, new_state

Dials = dict[str, Sequence]
TRIES = 12
LEARNED, TESTED = 6, 2  # the fewest days that tell anything
WEEK = 7
# where the two towers start on a log that nobody has tried: all items are negatives
RECIPE = {
    "negatives": 10**6,
    "mask_bought": True,
    "average": 0.8,
    "linear_rank": 64,
    "popularity_weight": 1.0,
}
# what else to try, by option, the one that matters most first; each set fills TRIES
TOWERS: Dials = {
    "q_half_life": (3.0, 14.0, 30.0),
    "linear_weight": (2.0, 8.0),
    "popularity_weight": (0.3, 3.0),
    "embedding_lr": (0.05, 0.2),
    "temperature": (0.07, 0.14),
    "linear_half_life": (60.0, 240.0),
    "linear_rank": (128,),
    "average": (0.5, 0.9),
}
DIALS: dict[type | None, Dials] = {
    None: TOWERS,
    Popularity: {"half_life": (3.0, 14.0, 1.0, 2.0, 5.0, 10.0, 21.0, 30.0, 0.5, 60.0, 120.0)},
    ItemCF: {
        "popularity": (1.0, 10.0, 30.0),
        "history_half_life": (30.0, 120.0, 240.0),
        "popularity_half_life": (2.0, 3.0, 14.0),
        "refit": (1, 3),
    },
    EASE: {
        "popularity": (0.1, 1.0, 3.0),
        "ridge": (30.0, 300.0, 1000.0),
        "history_half_life": (60.0, 240.0, 480.0),
        "popularity_half_life": (3.0, 14.0),
    },
    UserKNN: {
        "popularity": (1.0, 3.0, 10.0),
        "neighbours": (50, 300, 1000),
        "popularity_half_life": (3.0, 14.0),
        "purchase_half_life": (14.0, 60.0),
        "idf": (0.0,),
    },
    ALS: {
        "popularity": (0.3, 3.0, 10.0),
        "confidence": (1.0, 3.0, 30.0),
        "ridge": (3.0, 30.0, 100.0),
        "history_half_life": (30.0, 120.0),
    },
}


class Tuned(NamedTuple):
    """The best options, and a row per try: `options`, all of `evaluation.summary`, `cpu_s`."""

    options: dict
    tries: pd.DataFrame


def tune(
    log: EventLog,
    make: Callable[..., Recommender] | None = None,
    dials: Dials | None = None,
    days: tuple[str, str] | None = None,
    tries: int = TRIES,
    progress: bool = True,
    k: int = 100,
) -> Tuned:
    """Coordinate search: try an option's values one by one, keep what has the best R@k, go on
    with the next option, until `tries` replays are spent. If tries are left after the last value,
    options whose best value is the outermost one tried are followed outwards, by the same factor.

    The first try is of the defaults. Seeds of the two towers differ by about 0.002 in R@100.

    - `make`: a class of baselines.py, or what else makes a recommender of options; None: the two
      towers, which start from RECIPE; their best options are for `Settings`.
    - `dials`: the values to try by option, in the order that matters; None: those of `make`.
    - `days`: the first day to test and the day after the last, of which nothing later is read; keep
      other days for the comparison that you report. None: the last quarter of the log's days.

    Raises ValueError, before anything is tried, for an option or a value that `make` does not take
    and for too few days; warns if there is less than a week to test.
    """
    tries, k = checked("tries", tries, 1, whole=True), checked("k", k, 1, whole=True)
    period = _period(log, days)
    best, top, rows = {} if make else dict(RECIPE), -1.0, []
    if dials is None:
        if make not in DIALS:
            raise ValueError(f"no values are known to try for {make!r:.80}; pass some as dials.")
        dials = DIALS[make]
    make = make or partial(_towers, log)
    _check(make, dials)
    with tqdm(total=tries, desc="tries", disable=not progress) as bar:

        def attempt(**change: object) -> None:
            nonlocal best, top
            rows.append(_try(log, make, best | change, period, k))
            bar.update()
            if rows[-1][f"R@{k}"] > top:
                best, top = best | change, rows[-1][f"R@{k}"]

        attempt()
        for name, values in dials.items():
            for value in values[: tries - len(rows)]:
                attempt(**{name: value})
        tried = {name: list(values) for name, values in dials.items()}
        while len(rows) < tries and (further := _further(make, best, tried)):
            for name, value in further[: tries - len(rows)]:
                tried[name].append(value)
                attempt(**{name: value})
    return Tuned(best, pd.DataFrame(rows))


def _further(make: Callable[..., Recommender], best: dict, tried: Dials) -> list[tuple]:
    """Options and their next values outwards, of those whose best value is the outermost tried."""
    further = []
    for name, values in tried.items():
        order = sorted(values)
        for outer, inner in (order[:2], order[:-3:-1]) if len(order) > 1 else ():
            if best.get(name) == outer and isinstance(outer, float) and inner > 0 < outer:
                with contextlib.suppress(ValueError):  # what the option does not allow
                    make(**{name: outer * outer / inner})
                    further.append((name, outer * outer / inner))
    return further


def _try(
    log: EventLog, make: Callable[..., Recommender], options: dict, period: tuple, k: int
) -> dict:
    started = time.process_time()
    result = replay(log, make(**options), *period, progress=False)
    spent = time.process_time() - started
    spelled = " ".join(f"{name}={value}" for name, value in options.items())
    return {"options": spelled, **summary(result, k), "cpu_s": round(spent, 1)}


def _towers(log: EventLog, **options) -> TwoTowerNightly:
    return TwoTowerNightly(new_state(log, Settings(**options)))


def _check(make: Callable[..., Recommender], dials: Dials) -> None:
    for name, values in dials.items():
        for value in values:
            try:
                make(**{name: value})
            except TypeError:
                raise ValueError(f"there is no option '{name}' to try values of.") from None


def _period(log: EventLog, days: tuple[str, str] | None) -> tuple:
    """The first day to test and the day after the last; None: to the log's end."""
    start, end = days or (log.days[len(log.days) * 3 // 4], None)
    parts = log.rows(end=start), log.rows(start, end)
    learned, tested = (log.events["time"].iloc[r].dt.normalize().nunique() for r in parts)
    if learned < LEARNED or tested < TESTED:
        raise ValueError(
            f"the log has {learned} days before {pd.Timestamp(start):%Y-%m-%d}, to learn from, and "
            f"{tested} from then on, to test on; tuning needs at least {LEARNED} and {TESTED}."
        )
    if tested < WEEK:
        warnings.warn(
            f"only {tested} days to test on: a choice by less than a week is mostly chance.",
            stacklevel=3,
        )
    return start, end
