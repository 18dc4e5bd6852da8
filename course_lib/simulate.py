"""A small log with known tastes: the only place where the truth is known, and where the amount of
data is a dial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from course_lib.log import DAY, EventLog

START = pd.Timestamp("2020-01-01")
# name → (values of the field, how many of them are a topic's own, how often an item's value is one
# of those)
FIELDS = {
    "line": (400, 10, 0.9),
    "label": (200, 5, 0.8),
    "colour": (20, 4, 0.5),
    "material": (30, 3, 0.5),
    "price_band": (9, 3, 0.5),
}
KEYWORDS = (800, 20, 0.7)
TOPICS = 40


@dataclass(frozen=True, eq=False)
class Simulated:
    """A log, and what each of its users would like to buy if everything were shown to everyone
    alike.

    - `log`: all events on one day; items that nobody bought are in its table of items too, listed
      from the start.
    - `tastes`: [users, topics] chance that a user wants something of a topic, in the order of
      `log.users`.
    - `topics`: [items] each item's hidden topic, in the order of `log.items`.
    - `liked`: `user`, `item`: of every user, items drawn from the taste alone, none of them bought;
      popularity is left out unless asked for.
    """

    log: EventLog
    tastes: np.ndarray
    topics: np.ndarray
    liked: pd.DataFrame


def simulate(
    items: int = 3_000,
    users: int = 1_200,
    events_per_item: float = 4.0,
    liked: int = 10,
    zipf: float = 1.0,
    seed: int = 0,
    liked_by_popularity: bool = False,
) -> Simulated:
    """Make a log whose users buy by taste × popularity.

    Every item has one of 40 hidden topics; its fields are drawn from values that are mostly the
    topic's own. Every user likes a few topics (Dirichlet, 0.1 each). A purchase is a topic by the
    user's taste, then one of its items by popularity, 1 / rank^`zipf`; a second purchase of the
    same item by the same user is left out, so that there are somewhat fewer than `events_per_item`
    × `items` events. With the same seed and sizes, items and tastes are the same whatever
    `events_per_item` is. With `liked_by_popularity` what is to be found is drawn as purchases are.
    Raises ValueError if there would be no events.
    """
    if items < TOPICS or users < 1 or not 1 <= events_per_item * items < np.inf:
        raise ValueError(
            f"{items} items, {users} users and {events_per_item} events per item; it needs {TOPICS} items, 1, and 1 event."
        )
    world, chance = (np.random.default_rng([seed, part]) for part in range(2))
    topics = world.permutation(np.arange(items) % TOPICS)
    table = pd.DataFrame({name: _values(world, topics, *shape) for name, shape in FIELDS.items()})
    words = np.stack([_values(world, topics, *KEYWORDS) for _ in range(4)], axis=1)  # [items, 4]
    table["keywords"] = [list(dict.fromkeys(row)) for row in words.tolist()]
    popularity = 1 / world.permutation(np.arange(1, items + 1)) ** zipf
    tastes = world.dirichlet(np.full(TOPICS, 0.1), size=users)
    exposed = {"popular": _shelves(topics, popularity), "uniform": _shelves(topics, np.ones(items))}

    buyers = chance.integers(users, size=round(events_per_item * items))
    events = pd.DataFrame(
        {"user": buyers, "item": _draw(chance, tastes[buyers], exposed["popular"])}
    ).drop_duplicates()
    events["time"] = START + DAY * 0.99 * np.arange(len(events)) / len(events)
    table = table.assign(item=np.arange(items), listed=START - DAY)
    log = EventLog.from_frame(events, table, pd.DataFrame({"user": np.unique(events["user"])}))

    asked = np.repeat(log.users.index.to_numpy(dtype=int), liked)
    wanted = pd.DataFrame(
        {
            "user": asked,
            "item": _draw(
                chance, tastes[asked], exposed["popular" if liked_by_popularity else "uniform"]
            ),
        }
    ).drop_duplicates()
    new = ~pd.MultiIndex.from_frame(wanted).isin(pd.MultiIndex.from_frame(events[["user", "item"]]))
    order = log.items.index.to_numpy(dtype=int)
    return Simulated(
        log,
        tastes[log.users.index.to_numpy(dtype=int)],
        topics[order],
        wanted[new].reset_index(drop=True),
    )


def subsampled(log: EventLog, share: float, seed: int = 0) -> EventLog:
    """A log of that share of the events, drawn at random: a smaller shop with the same goods, some
    of them never sold.

    Raises ValueError for a share that leaves no event or is above 1.
    """
    if not 0 < share <= 1 or round(share * len(log)) < 1:
        raise ValueError(
            f"share is {share}; it must be above 0, at most 1, and leave an event of the log's {len(log)}."
        )
    events = log.events.sample(n=round(share * len(log)), random_state=seed).sort_index()
    users = log.users.loc[log.users.index.isin(events["user"])]
    return EventLog.from_frame(
        events.reset_index(drop=True), log.items.reset_index(), users.reset_index()
    )


class HeldOut(NamedTuple):
    """A log to learn from, all of it on one day, and what its users bought later: `user`, `item`,
    each pair once.
    """

    log: EventLog
    liked: pd.DataFrame


def held_out(
    log: EventLog, day: pd.Timestamp, share: float = 1.0, days: int = 60, seed: int = 0
) -> HeldOut:
    """The events before `day`, subsampled to `share` and put on one day in their order; to be
    found: those of the `days` from it on.

    So a real log can be learned in several passes, as a simulated one is, with the same items as
    candidates: those that were listed by `day`, sold or not. Only users whom the subsampled log
    knows are asked. Raises ValueError if nothing is left to learn or to find.
    """
    day = pd.Timestamp(day)
    items = log.items.iloc[: log.listed(day)].assign(listed=START - DAY)
    before, after = (
        log.events.iloc[log.rows(None, day)],
        log.events.iloc[log.rows(day, day + days * DAY)],
    )
    if not 0 < share <= 1 or round(share * len(before)) < 1:
        raise ValueError(
            f"share is {share}; it must be above 0, at most 1, and leave an event of the {len(before)} before {day:%Y-%m-%d}."
        )
    events = before.sample(n=round(share * len(before)), random_state=seed).sort_index()
    events = events.assign(time=START + DAY * 0.99 * np.arange(len(events)) / len(events))
    users = log.users.loc[log.users.index.isin(events["user"])]
    small = EventLog.from_frame(
        events.reset_index(drop=True), items.reset_index(), users.reset_index()
    )
    wanted = after[after["user"].isin(users.index) & after["item"].isin(items.index)]
    if wanted.empty:
        raise ValueError(
            f"nobody who bought before {day:%Y-%m-%d} bought a listed item in the {days} days from then on; choose another day."
        )
    return HeldOut(small, wanted[["user", "item"]].reset_index(drop=True))


def _values(
    chance: np.random.Generator, topics: np.ndarray, values: int, own: int, clear: float
) -> np.ndarray:
    """[items] a field: with chance `clear` one of the topic's own values, else any."""
    belong = np.stack(
        [chance.choice(values, own, replace=False) for _ in range(TOPICS)]
    )  # [topics, own]
    mine = belong[topics, chance.integers(own, size=len(topics))]
    return np.where(
        chance.random(len(topics)) < clear, mine, chance.integers(values, size=len(topics))
    )


def _shelves(topics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[topics, items] chance of each item, given the topic."""
    shelves = (topics == np.arange(TOPICS)[:, None]) * weight
    return shelves / shelves.sum(1, keepdims=True)


def _draw(chance: np.random.Generator, tastes: np.ndarray, shelves: np.ndarray) -> np.ndarray:
    """[n] an item for each row of tastes [n, topics]."""
    topics = _choose(chance, tastes)
    items = np.zeros(len(topics), dtype=int)
    for topic in np.unique(topics):
        here = topics == topic
        items[here] = chance.choice(shelves.shape[1], here.sum(), p=shelves[topic])
    return items


def _choose(chance: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """[n] a column for each row of shares [n, c], each row of which sums to 1."""
    return (chance.random((len(shares), 1)) > shares.cumsum(1)[:, :-1]).sum(1)
