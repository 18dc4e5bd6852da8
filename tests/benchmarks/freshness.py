"""How much of a lead is freshness: side_by_side_freshness.csv, and its hits by day.

    python tests/benchmarks/freshness.py [--log online_retail] [--seeds 0 1 2]

In side_by_side.csv our towers learn every night, and most rivals are fitted anew once a week. Here
each of these goes at the other's pace, with the options that side_by_side.py has chosen.
"""

from __future__ import annotations

import argparse
import ast
import importlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import side_by_side
import torch

from course_lib.evaluation import Recommender, TwoTowerNightly
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, EventLog
from course_lib.results import RESULTS
from course_lib.state import State
from course_lib.tuning import Tuned

TABLE = RESULTS / "side_by_side_freshness.csv"


class Weekly(TwoTowerNightly):
    """Towers whose weights learn every seventh night; counts and histories are of last night, as
    rivals' popularity is. Users' vectors are computed as they come.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.waiting: list[pd.Timestamp] = []

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.waiting.append(day)
        if day - self.waiting[0] < 6 * DAY:
            self.state, _ = incremental_update(self.state, log, day, day + DAY, rate=0.0)
            return
        self.state = self.state.full or self.state
        for waiting in self.waiting:
            super().learn(log, waiting)
        self.waiting = []


class AllWeekly(TwoTowerNightly):
    """Towers that learn every night, of which only every seventh night's are served, with its
    counts.
    """

    served, since = None, pd.NaT

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        if self.served is None or day - self.since >= 7 * DAY:
            self.served, self.since = TwoTowerNightly(self.state), day
        return self.served.scores(log, day, users)


def weekly(make: Callable[..., TwoTowerNightly], **options) -> Recommender:
    return Weekly(make(**options).state)


def all_weekly(make: Callable[..., TwoTowerNightly], **options) -> Recommender:
    return AllWeekly(make(**options).state)


def nightly(make: Callable[..., Recommender], **options) -> Recommender:
    return make(**options, refit=1)


ARMS = {
    "ours, everything, weekly": ("ours, everything", weekly),
    "ours, everything, weekly, counts too": ("ours, everything", all_weekly),
    "EASE, nightly": ("EASE", nightly),
    "LibRecommender TwoTower, nightly": ("LibRecommender TwoTower", nightly),
}


def options_of(log: str, arm: str) -> dict:
    """What side_by_side.py has chosen for an arm."""
    table = pd.read_csv(side_by_side.TABLE).query("log == @log and arm == @arm")
    spelled = table["options"].fillna("").iloc[0].split()
    pairs = (pair.split("=") for pair in spelled)
    return {name: ast.literal_eval(value) for name, value in pairs}


def run(name: str, log: EventLog, module, seeds: Sequence[int]) -> None:
    arm, pace = ARMS[name]
    source, log_name = side_by_side.ARMS[arm], module.__name__.rpartition(".")[2]
    options = options_of(log_name, arm)

    def make(log: EventLog, seed: int) -> Callable[..., Recommender]:
        return partial(pace, source.make(log, seed))

    chosen = Tuned(options, pd.DataFrame())
    rows, days = side_by_side.replayed(source._replace(make=make), log, module, chosen, seeds)
    side_by_side.keep(log_name, name, rows, days, TABLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", default="online_retail", help="a module of course_lib")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    module = importlib.import_module(f"course_lib.{chosen.log}")
    log = getattr(module, f"load_{chosen.log}")()
    for name in chosen.arms:
        run(name, log, module, chosen.seeds)


if __name__ == "__main__":
    main()
