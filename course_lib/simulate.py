"""A small log with known tastes: the only place where the truth is known, and where the amount of
data can be chosen. And real logs with fewer events, or with fields that say more or less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import faiss
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from course_lib.frames import checked
from course_lib.log import DAY, NOT_A_FIELD, EventLog

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
    """A log, and what each of its users would like if everything were shown to everyone alike.

    - `log`: all events on one day; its items, bought or not, are listed from the start.
    - `tastes`: [users, topics] chance that a user wants something of a topic.
    - `topics`: [items] each item's hidden topic.
    - `liked`: `user`, `item`: items drawn from each user's taste alone, none of them bought.
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

    Every item has one of 40 hidden topics, and fields with mostly the topic's own values. Every
    user likes a few topics (Dirichlet, 0.1 each). A purchase is a topic by taste, then one of its
    items by popularity, 1 / rank^`zipf`; a second purchase of the same item is left out. With the
    same seed and sizes, items and tastes are the same whatever `events_per_item` is. With
    `liked_by_popularity` what is to be found is drawn as purchases are.
    """
    if items < TOPICS or users < 1 or not 1 <= events_per_item * items < np.inf:
        raise ValueError(
            f"{items} items, {users} users and {events_per_item} events per item; it needs "
            f"{TOPICS} items, 1, and 1 event."
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
    bought = _draw(chance, tastes[buyers], exposed["popular"])
    events = _on_one_day(pd.DataFrame({"user": buyers, "item": bought}).drop_duplicates())
    table = table.assign(item=np.arange(items), listed=START - DAY)
    log = EventLog.from_frame(events, table, pd.DataFrame({"user": np.unique(events["user"])}))

    asked = np.repeat(log.users.index.to_numpy(dtype=int), liked)
    shelves = exposed["popular" if liked_by_popularity else "uniform"]
    wanted = pd.DataFrame({"user": asked, "item": _draw(chance, tastes[asked], shelves)})
    wanted = wanted.drop_duplicates()
    new = ~pd.MultiIndex.from_frame(wanted).isin(pd.MultiIndex.from_frame(events[["user", "item"]]))
    users, order = (table.index.to_numpy(dtype=int) for table in (log.users, log.items))
    return Simulated(log, tastes[users], topics[order], wanted[new].reset_index(drop=True))


def subsampled(log: EventLog, share: float, seed: int = 0) -> EventLog:
    """A log of that share of the events, drawn at random: a smaller shop with the same goods, some
    of them never sold. Raises ValueError for a share that leaves no event or is above 1.
    """
    return _log_of(log, _some(log.events, share, seed), log.items)


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

    Candidates are the items that were listed by `day`, sold or not. Only users whom the subsampled
    log knows are asked. Raises ValueError if nothing is left to learn or to find.
    """
    day = pd.Timestamp(day)
    items = log.items.iloc[: log.listed(day)].assign(listed=START - DAY)
    before, after = log.rows(None, day), log.rows(day, day + days * DAY)
    before, after = log.events.iloc[before], log.events.iloc[after]
    small = _log_of(log, _on_one_day(_some(before, share, seed)), items)
    wanted = after[after["user"].isin(small.users.index) & after["item"].isin(items.index)]
    if wanted.empty:
        raise ValueError(
            f"nobody who bought before {day:%Y-%m-%d} bought a listed item in the {days} days from "
            "then on; choose another day."
        )
    return HeldOut(small, wanted[["user", "item"]].reset_index(drop=True))


def shuffled_fields(log: EventLog, share: float, seed: int = 0) -> EventLog:
    """A log in which that share of the items, drawn at random, have each other's fields, which say
    nothing of them any more. Raises ValueError for a share that is not from 0 to 1.
    """
    share = checked("share", share, 0, 1)
    chance = np.random.default_rng([seed, 2])
    chosen = np.flatnonzero(chance.random(len(log.items)) < share)
    items, other = log.items.copy(), chance.permutation(chosen)
    for name in items.columns.difference(NOT_A_FIELD):
        values = items[name].to_numpy(object, copy=True)
        values[chosen] = values[other]
        items[name] = values
    return _log_of(log, log.events, items)


def split_values(log: EventLog, parts: int, seed: int = 0) -> EventLog:
    """A log in which every value of an item's fields, also of a list-valued one, stands as one of
    that many values, drawn for each item: what a value says of an item stays the same, and each is
    met in a part of the events only. Raises ValueError for less than one part.
    """
    parts = checked("parts", parts, 1, whole=True)
    chance, items = np.random.default_rng([seed, 4]), log.items.copy()

    def split(value: object) -> object:
        if isinstance(value, list):
            return [split(part) for part in value]
        return value if pd.isna(value) else f"{value}, part {chance.integers(parts)}"

    for name in items.columns.difference(NOT_A_FIELD):
        items[name] = [split(value) for value in items[name]]
    return _log_of(log, log.events, items)


def co_purchase_fields(
    log: EventLog,
    fields: int = 4,
    in_bag: int = 4,
    values: int = 100,
    directions: int = 32,
    seed: int = 0,
) -> EventLog:
    """A log whose items' fields say who buys them: made from what a random half of the users
    bought on any day, the days to be asked about included; they are left out of the log.

    Each value is the item's cluster, of `values`, by k-means over a half, drawn anew, of the
    largest singular directions of those users' purchases: one for each of the fields, and `in_bag`
    more in the list-valued field `clusters`. An item that none of them bought has no values. The
    log's own fields are left out.
    """
    chance = np.random.default_rng([seed, 3])
    makers = chance.random(len(log.users)) < 0.5
    made = makers[log.user_rows]
    places = log.user_rows[made], log.item_rows[made]
    bought = csr_matrix((np.ones(made.sum()), places), (len(log.users), len(log.items)))
    times = np.asarray(bought.sum(0))[0]  # [items]
    scaled, start = bought.multiply(times.clip(1) ** -0.5).tocsr(), np.ones(min(bought.shape))
    _, size, vectors = svds(scaled, directions, v0=start)
    known = np.flatnonzero(times)
    points = (vectors * size[:, None]).T[known]  # [known, directions]
    points /= np.linalg.norm(points, axis=1, keepdims=True).clip(1e-9)
    clusters = np.full((len(log.items), fields + in_bag), None)
    for number in range(fields + in_bag):
        part = points[:, chance.permutation(directions)[: directions // 2]]
        part = np.ascontiguousarray(part, np.float32)
        kmeans = faiss.Kmeans(part.shape[1], values, seed=seed + number, min_points_per_centroid=1)
        kmeans.train(part)
        found = kmeans.index.search(part, 1)[1][:, 0]
        clusters[known, number] = [f"{number}: {cluster}" for cluster in found]
    items = log.items[log.items.columns.intersection(NOT_A_FIELD)].copy()
    for number in range(fields):
        items[f"cluster_{number}"] = clusters[:, number]
    items["clusters"] = [[v for v in row if v is not None] for row in clusters[:, fields:]]
    return _log_of(log, log.events[~made], items)


def _some(events: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """That share of the events, drawn at random, in their order; one at least."""
    share = checked("share", share, 0.5 / max(len(events), 1), 1)
    return events.sample(n=round(share * len(events)), random_state=seed).sort_index()


def _on_one_day(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(time=START + DAY * 0.99 * np.arange(len(events)) / len(events))


def _log_of(log: EventLog, events: pd.DataFrame, items: pd.DataFrame) -> EventLog:
    """A log of these events and items, and of the users who are left."""
    users = log.users.loc[log.users.index.isin(events["user"])]
    return EventLog.from_frame(
        events.reset_index(drop=True), items.reset_index(), users.reset_index()
    )


def _values(
    chance: np.random.Generator, topics: np.ndarray, values: int, own: int, clear: float
) -> np.ndarray:
    """[items] a field: with chance `clear` one of the topic's own values, else any."""
    n = len(topics)
    owned = np.stack([chance.choice(values, own, replace=False) for _ in range(TOPICS)])
    mine = owned[topics, chance.integers(own, size=n)]  # owned: [topics, own]
    return np.where(chance.random(n) < clear, mine, chance.integers(values, size=n))


def _shelves(topics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[topics, items] chance of each item, given the topic."""
    shelves = (topics == np.arange(TOPICS)[:, None]) * weight
    return shelves / shelves.sum(1, keepdims=True)


def _draw(chance: np.random.Generator, tastes: np.ndarray, shelves: np.ndarray) -> np.ndarray:
    """[n] an item for each row of tastes [n, topics], each of which sums to 1."""
    topics = (chance.random((len(tastes), 1)) > tastes.cumsum(1)[:, :-1]).sum(1)
    items = np.zeros(len(topics), dtype=int)
    for topic in np.unique(topics):
        here = topics == topic
        items[here] = chance.choice(shelves.shape[1], here.sum(), p=shelves[topic])
    return items
