"""Several epochs over few events: the simulated log, and the real one treated alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from course_lib.augment import SelfSupervision
from course_lib.evaluation import ranks, recall, summary, within_slice_auc
from course_lib.experiments.jobs import check_days, done
from course_lib.experiments.self_supervision import ALPHAS, PLAIN
from course_lib.experiments.terms import NAMES, Term
from course_lib.full_update import full_update
from course_lib.log import EventLog
from course_lib.online_retail import TEST, TUNING, load_online_retail
from course_lib.results import stamp
from course_lib.simulate import HeldOut, Simulated, held_out, simulate
from course_lib.state import Settings, State, new_state

EPOCHS = 10
Reshape = Callable[[State, EventLog], None]


class Asked:
    """What a task asks: to rank all items but those that the user bought, for each user in `liked`.

    - `log`, `day`: what there is to learn, all of it on that day.
    - `rows`, `items`: of every event to be found [e] the user's row and the item's code.
    - `validation`: [e] the events of every second user, by which the best epoch may be chosen.
    """

    def __init__(self, task: Simulated | HeldOut) -> None:
        log, (self.day,) = task.log, task.log.days
        asked = log.users.index.get_indexer(task.liked["user"])
        self.log, self.items = log, log.items.index.get_indexer(task.liked["item"])
        self.users, self.rows = np.unique(asked, return_inverse=True)
        self.had = [log.bought(user, len(log)) for user in self.users]
        self.times_bought = np.bincount(log.item_rows, minlength=len(log.items))
        self.validation = self.rows % 2 == 0

    def result(
        self, state: State, of: np.ndarray | slice = slice(None), auc: bool = True
    ) -> pd.DataFrame:
        """`rank`, `bought`, `user` (a row) and, unless it is not wanted, `within_auc`: of all
        events, or of some.
        """
        rows, items, scores = self.rows[of], self.items[of], self.scores(state)
        found = {"rank": ranks(scores, self.had, rows, items)}
        if auc:
            found["within_auc"] = within_slice_auc(scores, self.had, rows, items, self.times_bought)
        return pd.DataFrame(found | {"bought": self.times_bought[items], "user": rows})

    def scores(self, state: State) -> torch.Tensor:
        """[users, items]"""
        vectors = state.item_vectors(self.log, np.arange(len(self.log.items)), self.day)
        return state.user_vectors(self.log, self.users, len(self.log)) @ vectors.T

    def cold_nominated(self, state: State) -> float:
        """How many of a user's first 100 nobody has bought, the mean of the users who are not for
        validation.
        """
        scores, had = self.scores(state)[1::2], self.had[1::2]
        for row, own in zip(scores, had, strict=True):
            row[own] = -torch.inf
        first = scores.topk(min(100, scores.shape[1])).indices.numpy()
        return round(float((self.times_bought[first] == 0).sum(1).mean()), 3)


def epochs(
    task: Simulated | HeldOut,
    settings: Settings,
    term: SelfSupervision | None = None,
    number: int = EPOCHS,
    reshape: Reshape | None = None,
) -> Iterator[tuple[State, dict]]:
    """Train on a log of one day, epoch after epoch, and measure after each.

    Half of the users are for validation, by which the best epoch may be chosen; all other numbers
    are of the other half. `R@100` and so on as in `summary`, of the items in `liked`: all items are
    candidates but those that the user bought. `cold nominated`: of a user's first 100, how many
    nobody has bought.

    - `reshape`: changes the untrained state's model, such as those of experiments/architectures.py.
    """
    asked, state = Asked(task), new_state(task.log, settings)
    if reshape:
        reshape(state, task.log)
    for done_epochs in range(1, number + 1):
        state = full_update(state, asked.log, asked.day, term=term, turn="again")
        result = asked.result(state)
        held = round(recall(result[asked.validation], 100), 5)
        measured = summary(result[~asked.validation]).round(5)
        measured["cold nominated"] = asked.cold_nominated(state)
        yield state, {"pass": done_epochs, "validation": held, **measured}


class Learner(NamedTuple):
    """What learns: changes to the settings `PLAIN`, a self-supervised term and another model, if
    any.
    """

    changes: dict = {}
    term: Term | None = None
    reshape: Reshape | None = None


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: all that it needs but the log."""

    arm: str
    learner: Learner
    seed: int
    parameter: str
    value: float
    task: Callable[[EventLog, float, int], Simulated | HeldOut]
    epochs: int = EPOCHS

    def __call__(self, log: EventLog) -> pd.DataFrame:
        """A row for every epoch."""
        task, (changes, term, reshape) = self.task(log, self.value, self.seed), self.learner
        settings, term = replace(PLAIN, seed=self.seed, **changes), term and term.on(task.log)
        rows = [row for _, row in epochs(task, settings, term, self.epochs, reshape)]
        keys = {self.parameter: self.value, "arm": self.arm, "seed": self.seed}
        keys["events"] = len(task.log)
        return pd.DataFrame([keys | row for row in rows])


@dataclass(frozen=True)
class Sweep:
    """An experiment in several epochs: its arms, a parameter and the values that it takes.

    `start`: of the days whose events are to be found, if they are the log's. `load`: gives the log.
    `epochs`: how many.
    """

    arms: dict[str, Learner]
    parameter: str
    values: tuple[float, ...]
    seeds: Collection[int]
    task: Callable[[EventLog, float, int], Simulated | HeldOut]
    start: str | None = None
    load: Callable[[], EventLog] = load_online_retail
    epochs: int = EPOCHS

    def trials(self) -> list[Trial]:
        return [
            Trial(arm, self.arms[arm], seed, self.parameter, value, self.task, self.epochs)
            for value, seed, arm in product(self.values, self.seeds, self.arms)
        ]

    def tables(
        self, name: str, log: EventLog, seeds: Collection[int] | None, processes: int
    ) -> dict[str, pd.DataFrame]:
        """A row per arm, value and seed, at the epoch with the best validation; and one by epoch,
        the mean of the seeds.
        """
        if self.start:
            check_days(name, log, self.start)
        trials = [trial for trial in self.trials() if seeds is None or trial.seed in seeds]
        parts = []
        for part in done(trials, log, processes):
            print(part.iloc[-1].to_dict(), flush=True)
            parts.append(part)
        rows = pd.concat(parts, ignore_index=True)
        keys = rows.sort_values("validation", kind="stable").groupby(
            [self.parameter, "arm", "seed"], sort=False
        )
        best = rows.loc[keys.tail(1).index].sort_index()
        by_pass = rows.groupby([self.parameter, "arm", "pass"], sort=False)
        by_pass = by_pass[["R@100", "cold", "tail"]].mean().round(5).reset_index()
        return {name: best.assign(**stamp()), f"{name}_by_pass": by_pass.assign(**stamp())}


def simulated(log: EventLog, events_per_item: float, seed: int) -> Simulated:
    """A simulated log; the real one has no say in it."""
    return simulate(events_per_item=events_per_item, seed=seed)


def popular(log: EventLog, events_per_item: float, seed: int) -> Simulated:
    """The same logs, but to be found is what is bought next, popular items more often, and not what
    would be liked.
    """
    return simulate(events_per_item=events_per_item, seed=seed, liked_by_popularity=True)


def real(start: str, log: EventLog, share: float, seed: int) -> HeldOut:
    """A share of what was sold before `start`, and what the same users bought in the 60 days from
    then on.
    """
    return held_out(log, pd.Timestamp(start), share, seed=seed)


real_before_april, real_before_june = partial(real, TUNING[0]), partial(real, TEST[0])

# of every kind the try with the best validation at three events per item
SIMULATED = {
    "plain": Learner(),
    "new items": Learner({"cold_start_dropout": 0.9}),
    "fields dropped": Learner({"field_dropout": 0.3}),
    "random mask": Learner(term=Term("random mask", 3.0)),
    "dropout": Learner(term=Term("dropout", 3.0)),
    "complementary": Learner(term=Term("complementary", 3.0)),
    "correlated mask": Learner(term=Term("correlated mask", 0.3)),
    "correlated mask, corrected MI": Learner(term=Term("correlated mask, corrected MI", 3.0)),
}


def tries(
    plain: Iterable[tuple[str, float]],
    new: Iterable[float],
    dropped: Iterable[float],
    terms: Iterable[tuple],
    base: dict | None = None,
) -> dict[str, Learner]:
    """The arms of a tuning run by the names of its table, each a change to the settings `base`.

    - `plain`: settings and their values. `new`: shares of `cold_start_dropout`. `dropped`: shares
      of `field_dropout`. `terms`: name and α, and τ_s if it is not the usual one, of a `Term`.
    """
    base, rows = base or {}, {"plain": Learner(base or {})}
    for setting, value in plain:
        rows[f"plain {setting}={value}"] = Learner(base | {setting: value})
    for share in new:
        rows[f"new items {share}"] = Learner(base | {"cold_start_dropout": share})
    for share in dropped:
        rows[f"fields dropped {share}"] = Learner(base | {"field_dropout": share})
    for name, *dials in terms:
        told = [
            f"{dial}={value}" for dial, value in zip(("alpha", "temperature"), dials, strict=False)
        ]
        rows[" ".join([name, *told])] = Learner(base, Term(name, *dials))
    return rows


PLAIN_TRIES = (("embedding_lr", 0.03), ("embedding_lr", 0.3), ("temperature", 0.2))
SIMULATED_TRIES = tries(  # five for each kind of arm
    (*PLAIN_TRIES, ("q_half_life", 30.0)),
    (0.1, 0.3, 0.5, 0.7, 0.9),
    (0.1, 0.2, 0.3, 0.5, 0.7),
    (
        (n, *dials)
        for n in NAMES
        for dials in ((0.1, 0.3), (0.3, 0.3), (1.0, 0.3), (3.0, 0.3), (1.0, 0.1))
    ),
)
REAL_TRIES = tries(  # four for each kind of arm
    (), (0.1, 0.3, 0.5, 0.9), (0.05, 0.1, 0.2, 0.3), product(NAMES, ALPHAS)
)
# of every kind the try with the best validation on a tenth of the real events
REAL = {
    "plain": Learner(),
    "new items": Learner({"cold_start_dropout": 0.3}),
    "fields dropped": Learner({"field_dropout": 0.2}),
    **{name: Learner(term=Term(name, 0.03)) for name in NAMES},
}
