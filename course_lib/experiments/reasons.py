"""What decides whether a self-supervised term pays: arms and tasks of sweeps that change one thing
at a time.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

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
)


def shuffled(log: EventLog, share: float, seed: int) -> Simulated:
    """A simulated log with three events per item, of whose items that share have each other's
    fields.
    """
    task = simulate(events_per_item=3.0, seed=seed)
    return replace(task, log=shuffled_fields(task.log, share, seed))


def co_purchased(
    start: str, log: EventLog, events: float, seed: int, shuffle: float = 0.0
) -> HeldOut:
    """A share `events` of a real log before `start`, whose items' only fields are made of what
    another half of the users bought; of the share `shuffle` of the items they are shuffled.
    """
    made = shuffled_fields(co_purchase_fields(log, seed=seed), shuffle, seed)
    return held_out(made, pd.Timestamp(start), events, seed=seed)


def co_purchased_shuffled(
    start: str, events: float, log: EventLog, shuffle: float, seed: int
) -> HeldOut:
    """The same at one share of the events, by the share of the items that is shuffled."""
    return co_purchased(start, log, events, seed, shuffle)


shop_tuning, shop = partial(co_purchased, TUNING[0]), partial(co_purchased, TEST[0])
films_tuning = partial(co_purchased, movie_tweetings.TUNING[0])
films = partial(co_purchased, movie_tweetings.TEST[0])
SHOP_EVENTS, FILMS_EVENTS = 0.1, 0.3  # a few events for each item
shop_shuffled = partial(co_purchased_shuffled, TEST[0], SHOP_EVENTS)
films_shuffled = partial(co_purchased_shuffled, movie_tweetings.TEST[0], FILMS_EVENTS)

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


# of every kind the try with the best validation, see reason_tuning.csv
CHOSEN: dict[str, Learner] = {}

MODELS = {
    "the course's": None,
    "no shortcut": architectures.no_shortcut,
    "concatenated": architectures.concatenated,
    "no item ID": architectures.no_item_id,
    "ID from fields": architectures.id_from_fields,
}


def by_model(term: Term) -> dict[str, Learner]:
    """Every model without the term and with it."""
    arms = product(MODELS.items(), {"": None, " + term": term}.items())
    return {name + more: Learner({}, term, model) for (name, model), (more, term) in arms}


def by_negatives(term: Term) -> dict[str, Learner]:
    """In-batch negatives, and all items as negatives, without the term and with it."""
    losses = {"in-batch": {}, "all items, masked": MASKED}
    arms = product(losses.items(), {"": None, " + term": term}.items())
    return {name + more: Learner(changes, term) for (name, changes), (more, term) in arms}


SIMULATED_ARMS = {
    name: SIMULATED[name]
    for name in ("plain", "new items", "fields dropped", "random mask", "complementary")
}
SIMULATED_TERM = SIMULATED["complementary"].term


def _simulated(events: float, log: EventLog, seed: int) -> Simulated:
    return simulate(events_per_item=events, seed=seed)


def _shop(events: float, log: EventLog, seed: int) -> HeldOut:
    return held_out(log, pd.Timestamp(TEST[0]), events, seed=seed)


def _shop_informed(events: float, log: EventLog, seed: int) -> HeldOut:
    return shop(log, events, seed)


# a day, and one with ten times the events
GRADIENTS = {
    "simulated": (partial(_simulated, 3.0), partial(_simulated, 30.0)),
    "shop": (partial(_shop, 0.1), partial(_shop, 1.0)),
    "shop, informative fields": (partial(_shop_informed, 0.1), partial(_shop_informed, 1.0)),
}
GRADIENT_TERMS = dict.fromkeys(GRADIENTS, Term("complementary"))
