"""What decides whether a self-supervised term pays: arms and tasks of sweeps that change one thing
at a time.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from typing import NamedTuple

import pandas as pd

from course_lib import movie_tweetings
from course_lib.experiments import architectures
from course_lib.experiments.negatives import MASKED
from course_lib.experiments.sweeps import (
    PLAIN_TRIES,
    SIMULATED,
    Learner,
    real,
    real_before_june,
    simulated,
    tries,
)
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

SHARES = (0.1, 0.3, 0.5, 0.9), (0.05, 0.2, 0.3, 0.5)  # of new items, of fields
# four tries for each kind of arm
TRIES = tries(PLAIN_TRIES, *SHARES, product(NAMES[:4], (0.1, 0.3, 1, 3)))

# a tower that learns more slowly had the best validation; four tries more for each kind on top
SLOW = {"temperature": 0.2, "embedding_lr": 0.03}
SLOW_TRIES = tries(
    (("temperature", 0.4), ("embedding_lr", 0.01), ("dense_lr", 3e-4)),
    *SHARES,
    product(("random mask", "complementary"), (0.1, 0.3, 1.0, 3.0)),
    base=SLOW,
)

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


# a task, and its share of the events, or events per item
GRADIENTS = {
    "simulated": (simulated, 3.0),
    "shop": (real_before_june, 0.1),
    "shop, informative fields": (SHOP._replace(by="events"), 0.1),
}
FILMS_GRADIENTS = {
    "films": (partial(real, movie_tweetings.TEST[0]), 0.1),
    "films, informative fields": (FILMS._replace(by="events"), 0.1),
}
