"""What several chapters' checks ask about: a small shop, a state that knows it, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from course_lib.full_update import full_update
from course_lib.log import EventLog
from course_lib.state import Settings, State, new_state


def events(*lines: str) -> pd.DataFrame:
    """`user`, `item`, `time` of lines such as "ann mug 01T09:30, bob bag 02T10": January 2020."""
    rows = [line.split() for line in ", ".join(lines).split(", ")]
    found = pd.DataFrame(rows, columns=["user", "item", "time"])
    times = pd.to_datetime("2020-01-" + found["time"], format="ISO8601")
    return found.assign(time=times.astype("datetime64[us]"))


def shop(*lines: str) -> tuple[EventLog, State, pd.Timestamp]:
    """A log of mugs, bags, signs and clocks, a state that has learned two days, and the third."""
    bought = events(*lines)
    items = {"item": ["mug", "bag", "sign", "clock"], "colour": ["red", "blue", "red", None]}
    users = pd.DataFrame({"user": sorted(set(bought["user"]))})
    users["city"] = np.where(users["user"] == "bob", "Ayr", "Ely")
    log = EventLog.from_frame(bought, pd.DataFrame(items), users)
    return log, learned(log, field_dropout=0.0), log.days[2]


def learned(log: EventLog, **changes) -> State:
    """A small state, with these settings changed, that has learned the log's first two days."""
    sizes = {"dim": 4, "hidden": 4, "batch_size": 4, "history": 3, "popularity_half_lives": (2.0,)}
    state = new_state(log, Settings(**sizes | changes, device="cpu"))
    for day in log.days[:2]:
        state = full_update(state, log, day)
    return state


def long_table(column: str, arms: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """A row per arm and seed, as the committed tables have."""
    rows = [(arm, seed, value) for arm, values in arms.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["arm", "seed", column])


def interval(
    differences: Sequence[float], weights: Sequence[float] | float = 1.0
) -> tuple[float, float, float, int]:
    """Mean, low, high and number of pairs: Student's 95 %; of weighted pairs by Cochran's formula
    for a ratio.
    """
    differences, n = np.asarray(differences), len(differences)
    weights = np.broadcast_to(weights, n)
    mean = np.average(differences, weights=weights)
    error = np.sqrt(n / (n - 1) * np.square(weights * (differences - mean)).sum()) / weights.sum()
    half = stdtrit(n - 1, 0.975) * error
    return mean, mean - half, mean + half, n
