"""What a constant does that is added to the score of every item of a slice: a model that lifts the
slice and has learned nothing about it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from course_lib.evaluation import SLICES, TwoTowerNightly, ranks, replay, slice_codes
from course_lib.experiments.jobs import check_days, done
from course_lib.experiments.self_supervision import PLAIN
from course_lib.log import DAY, EventLog
from course_lib.online_retail import TEST, load_online_retail
from course_lib.results import table_row
from course_lib.state import Settings, new_state


@dataclass(frozen=True)
class Lifted:
    """An experiment: the plain towers, replayed once for each seed, with constants added to the
    scores of all cold or of all tail items. A row per slice, constant and seed; the arm of a
    constant of 0.02 on the tail is "plain + 0.02 on tail".
    """

    constants: tuple[float, ...] = (0.01, 0.02, 0.04, 0.08, 0.16)
    lifted: tuple[str, ...] = ("cold", "tail")
    seeds: Collection[int] = range(3)
    start: str = TEST[0]

    def load(self) -> EventLog:
        return load_online_retail()

    def tables(
        self, name: str, log: EventLog, seeds: Collection[int] | None, processes: int
    ) -> dict[str, pd.DataFrame]:
        check_days(name, log, self.start)
        arms = tuple(product(self.lifted, self.constants))
        chosen = [seed for seed in self.seeds if seeds is None or seed in seeds]
        jobs = [partial(_replayed, arms, seed, self.start) for seed in chosen]
        rows = [row for found in done(jobs, log, processes) for row in found]
        return {name: pd.DataFrame(rows)}


def _replayed(
    arms: tuple[tuple[str, float], ...], seed: int, start: str, log: EventLog
) -> list[dict]:
    nightly = Lifting(log, arms, seed)
    result = replay(log, nightly, start, progress=False)
    # an AUC within a slice cannot change by a constant that all of the slice have
    return [
        table_row(
            f"plain + {constant:g} on {lifted}",
            seed,
            result.assign(rank=np.concatenate(nightly.ranks[lifted, constant])),
        )
        for lifted, constant in arms
    ]


class Lifting(TwoTowerNightly):
    """The towers of `base`, which keep what the day's ranks would be with each constant."""

    def __init__(
        self,
        log: EventLog,
        arms: Collection[tuple[str, float]],
        seed: int,
        base: Settings = PLAIN,
    ) -> None:
        super().__init__(new_state(log, replace(base, seed=seed)))
        self.ranks: dict[tuple[str, float], list[np.ndarray]] = {arm: [] for arm in arms}

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        scores, rows = super().scores(log, day, users), log.rows(day, day + DAY)
        m, bought = scores.shape[1], [log.bought(user, rows.start) for user in users]
        times = np.bincount(log.item_rows[: rows.start], minlength=m)[:m]
        of = torch.from_numpy(slice_codes(times))  # [m]
        asked = np.searchsorted(users, log.user_rows[rows]), log.item_rows[rows]
        for (lifted, constant), found in self.ranks.items():
            higher = constant * (of == list(SLICES).index(lifted))  # [m]
            found.append(ranks(scores + higher, bought, *asked))
        return scores
