"""What decides whether a self-supervised term pays: arms and tasks of sweeps that change one thing
at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import NamedTuple

import pandas as pd

from course_lib import movie_tweetings
from course_lib.experiments import architectures
from course_lib.experiments.negatives import MASKED
from course_lib.experiments.sweeps import SIMULATED, Learner
from course_lib.experiments.terms import NAMES, Term
from course_lib.log import EventLog
from course_lib.online_retail import TEST, TUNING
from course_lib.simulate import (
    HeldOut,
    Simulated,
    co_purchase_fields,
    held_out,
    shuffled_fields,
    simulate,
    split_values,
)


def shuffled(log: EventLog, share: float, seed: int) -> Simulated:
    """A simulated log with three events per item, of whose items that share have each other's
    fields.
    """
    task = simulate(events_per_item=3.0, seed=seed)
    return replace(task, log=shuffled_fields(task.log, share, seed))


def split(events_per_item: float, log: EventLog, parts: float, seed: int) -> Simulated:
    """A simulated log, each value of whose fields stands as one of several."""
    task = simulate(events_per_item=events_per_item, seed=seed)
    return replace(task, log=split_values(task.log, int(parts), seed))


class Informed(NamedTuple):
    """A task on a real log whose items' only fields are made of what half of the users bought, by
    one number.

    - `start`: events before it are learned, a share `events` of them; the next 60 days are asked.
    - `even`: 1: of each item's later buyers at most three are asked for, so that every item counts
      nearly alike; 0: all of them. `shuffle`: the share of items whose fields are shuffled.
    - `parts`: as how many values each value of a field stands. `by`: which of them the number is.
    """

    start: str
    by: str
    events: float = 0.1
    even: float = 1.0
    shuffle: float = 0.0
    parts: float = 1.0

    def __call__(self, log: EventLog, value: float, seed: int) -> HeldOut:
        task = self._replace(**{self.by: value})
        made = shuffled_fields(co_purchase_fields(log, seed=seed), task.shuffle, seed)
        made = split_values(made, int(task.parts), seed)
        held = held_out(made, pd.Timestamp(self.start), task.events, seed=seed)
        if task.even:
            wanted = held.liked.sample(frac=1, random_state=seed).groupby("item").head(3)
            held = held._replace(liked=wanted.sort_index().reset_index(drop=True))
        return held


FILMS = Informed(movie_tweetings.TEST[0], "even", events=0.3)
SHOP, SHOP_TUNING = Informed(TEST[0], "even"), Informed(TUNING[0], "even")

# four tries for each kind of arm
TRIES = {
    "plain": Learner(),
    "plain embedding_lr=0.03": Learner({"embedding_lr": 0.03}),
    "plain embedding_lr=0.3": Learner({"embedding_lr": 0.3}),
    "plain temperature=0.2": Learner({"temperature": 0.2}),
    **{f"new items {p}": Learner({"cold_start_dropout": p}) for p in (0.1, 0.3, 0.5, 0.9)},
    **{f"fields dropped {p}": Learner({"field_dropout": p}) for p in (0.05, 0.2, 0.3, 0.5)},
    **{f"{n} alpha={a}": Learner(term=Term(n, a)) for n, a in product(NAMES[:4], (0.1, 0.3, 1, 3))},
}

# a tower that learns more slowly had the best validation; four tries more for each kind on top
SLOW = {"temperature": 0.2, "embedding_lr": 0.03}
SLOW_TRIES = {
    "plain": Learner(SLOW),
    "plain temperature=0.4": Learner(SLOW | {"temperature": 0.4}),
    "plain embedding_lr=0.01": Learner(SLOW | {"embedding_lr": 0.01}),
    "plain dense_lr=0.0003": Learner(SLOW | {"dense_lr": 3e-4}),
    **{f"new items {p}": Learner(SLOW | {"cold_start_dropout": p}) for p in (0.1, 0.3, 0.5, 0.9)},
    **{f"fields dropped {p}": Learner(SLOW | {"field_dropout": p}) for p in (0.05, 0.2, 0.3, 0.5)},
    **{
        f"{name} alpha={alpha}": Learner(SLOW, Term(name, alpha))
        for name, alpha in product(("random mask", "complementary"), (0.1, 0.3, 1.0, 3.0))
    },
}

# on top of it, of every kind the try with the best mean validation of both questions
INFORMED_TERM = Term("complementary", 1.0)
INFORMED = {
    "plain": Learner(SLOW),
    "plain, temperature 0.4": Learner(SLOW | {"temperature": 0.4}),
    "new items": Learner(SLOW | {"cold_start_dropout": 0.3}),
    "fields dropped": Learner(SLOW | {"field_dropout": 0.3}),
    "random mask": Learner(SLOW, Term("random mask", 0.3)),
    "complementary": Learner(SLOW, INFORMED_TERM),
}

MODELS = {
    "the course's": None,
    "no shortcut": architectures.no_shortcut,
    "concatenated": architectures.concatenated,
    "no item ID": architectures.no_item_id,
    "ID from fields": architectures.id_from_fields,
}


def by_model(term: Term, **changes) -> dict[str, Learner]:
    """Every model without the term and with it."""
    arms = product(MODELS.items(), {"": None, " + term": term}.items())
    return {name + more: Learner(changes, term, model) for (name, model), (more, term) in arms}


def by_negatives(term: Term, **changes) -> dict[str, Learner]:
    """In-batch negatives, and all items as negatives, without the term and with it."""
    losses = {"in-batch": changes, "all items, masked": changes | MASKED}
    arms = product(losses.items(), {"": None, " + term": term}.items())
    return {name + more: Learner(changes, term) for (name, changes), (more, term) in arms}


INFORMED_MODELS = by_model(INFORMED_TERM, **SLOW)
INFORMED_NEGATIVES = by_negatives(INFORMED_TERM, **SLOW)
SIMULATED_ARMS = {
    name: SIMULATED[name]
    for name in ("plain", "new items", "fields dropped", "random mask", "complementary")
}
# the events of an item, and those of a value, apart: of each as many values as are given
SPLIT = {
    "reason_simulated_values_3": (partial(split, 3.0), (1.0, 4.0, 16.0)),
    "reason_simulated_values_12": (partial(split, 12.0), (1.0, 4.0)),
}
SIMULATED_TERM = SIMULATED["complementary"].term


def _simulated(events: float, log: EventLog, seed: int) -> Simulated:
    return simulate(events_per_item=events, seed=seed)


def _real(start: str, events: float, log: EventLog, seed: int) -> HeldOut:
    return held_out(log, pd.Timestamp(start), events, seed=seed)


def _informed(task: Informed, events: float, log: EventLog, seed: int) -> HeldOut:
    return task._replace(by="events")(log, events, seed)


def _day_and_more(task: Callable, events: float) -> tuple[Callable, Callable]:
    """A day, and one with ten times the events."""
    return partial(task, events), partial(task, 10 * events)


GRADIENTS = {
    "simulated": _day_and_more(_simulated, 3.0),
    "shop": _day_and_more(partial(_real, TEST[0]), 0.1),
    "shop, informative fields": _day_and_more(partial(_informed, SHOP), 0.1),
}
FILMS_GRADIENTS = {
    "films": _day_and_more(partial(_real, movie_tweetings.TEST[0]), 0.1),
    "films, informative fields": _day_and_more(partial(_informed, FILMS), 0.1),
}
