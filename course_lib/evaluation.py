"""Replay: test on a day, then train on it, for every day in turn; and honest comparisons of
replays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from scipy import stats
from tqdm.auto import tqdm

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update, unfrozen_update
from course_lib.log import DAY, HOUR, EventLog
from course_lib.state import State

SLICES = {
    "cold": (0, 0),
    "tail": (1, 20),
    "mid": (21, 100),
    "head": (101, np.inf),
}  # times bought up to then
NO_CANDIDATE = torch.iinfo(
    torch.long
).max  # the rank of an item that was not listed yet: a miss at every k


class Recommender(Protocol):
    """What `replay` can replay: see `TwoTowerNightly` and the classes of peers.py."""

    def scores(
        self, log: EventLog, day: pd.Timestamp, users: np.ndarray
    ) -> np.ndarray | torch.Tensor:
        """[n, m] scores of the m items listed at the start of `day` for n users (codes), from
        events before `day` alone.
        """

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        """Take in the events of `day`."""


class TwoTowerNightly:
    """The two towers, fully updated every night."""

    def __init__(
        self, state: State, update: Callable[[State, EventLog, pd.Timestamp], State] = full_update
    ) -> None:
        self.state, self.update = state, update

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        items = self.state.item_vectors(log, np.arange(log.listed(day)), day)  # [m, d]
        return (
            self.state.user_vectors(log, users, log.rows(day).start) @ items.T
        )  # [n, d] @ [d, m] → [n, m]

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.state = self.update(self.state, log, day)


class TwoTowerServed:
    """The two towers as they are served through the day, for `replay(..., hourly=True)`.

    Item vectors are what the index holds: published whole after a full update, one by one as items
    are listed, and, with `hourly`, as an hour's events touch them. Users' vectors are computed as
    they come, from what they had bought when the hour began.

    - `full_every`: days from one full update to the next; None: never again. `shuffle`: of the full
      update.
    - `hourly`: None, "ids" (the incremental update) or "all" (nothing frozen). `rate`: the learning
      rate of "ids".
    - `state`: fresh, or trained: days that it has learned already are passed over.
    """

    def __init__(
        self,
        state: State,
        full_every: int | None = 1,
        hourly: str | None = None,
        rate: float | None = None,
        shuffle: bool = True,
    ) -> None:
        self.state, self.full_every, self.hourly, self.rate, self.shuffle = (
            state,
            full_every,
            hourly,
            rate,
            shuffle,
        )
        self.vectors = torch.zeros(0, state.settings.dim)  # [m, d] by item code
        self.first: pd.Timestamp | None = None  # of the days that wait for the next full update

    def scores(self, log: EventLog, time: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        self.publish(log, np.arange(len(self.vectors), log.listed(time.normalize())), time)
        return (
            self.state.user_vectors(log, users, log.rows(time).start) @ self.vectors.T
        )  # [n, d] @ [d, m] → [n, m]

    def publish(self, log: EventLog, items: np.ndarray, time: pd.Timestamp) -> None:
        """Put these items' vectors (codes [t], new ones at the end) into the index."""
        if len(items):
            new = self.vectors.new_zeros(
                max(items.max() + 1 - len(self.vectors), 0), self.vectors.shape[1]
            )
            self.vectors = torch.cat([self.vectors, new])
            self.vectors[torch.from_numpy(items)] = self.state.item_vectors(log, items, time)

    def learn_hour(self, log: EventLog, hour: pd.Timestamp) -> None:
        if self.hourly == "ids":
            self.state, touched = incremental_update(
                self.state, log, hour, rate=self.rate, turn="skip"
            )
            self.publish(log, touched.items, hour)
        elif self.hourly == "all":
            self.state = unfrozen_update(self.state, log, hour)
            self.publish(log, np.arange(len(self.vectors)), hour)

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        full = self.state.full or self.state
        if full.learned_until is not None and day < full.learned_until:
            return
        self.first = self.first or day
        days = (day - self.first).days + 1
        if self.full_every is not None and days >= self.full_every:
            self.state = full_update(full, log, self.first, days=days, shuffle=self.shuffle)
            self.first, self.vectors = None, self.vectors[:0]


def replay(
    log: EventLog,
    recommender: Recommender,
    start: pd.Timestamp | str,
    end: pd.Timestamp | str | None = None,
    progress: bool = True,
    hourly: bool = False,
    learn_before: bool = True,
) -> pd.DataFrame:
    """Test, then train: the recommender lives through the log's days, and is asked on each from
    `start` (to before `end`).

    Before any event of a day is trained on, all items listed by then, minus those already bought,
    are ranked for each of the day's buyers. Days before `start` are only trained on; without
    `learn_before` they are not (the recommender has learned them already).

    With `hourly` the same is done hour by hour: what a user bought this morning is history and no
    candidate this afternoon, and the recommender has a `learn_hour` besides, called once the hour
    is tested. Candidates are the items listed by that morning.

    Returns one row per event: `day`, `user`, `item`, `rank` (1 is best; ties count against the
    model), `within` (its place among the candidates of its own slice, see `within_slice_auc`),
    `bought` (how often the item had been bought before that day) and `history` (how many items the
    user had bought); `hour` too, if hourly.
    """
    start = pd.Timestamp(start)
    days = [day for day in log.days if end is None or day < pd.Timestamp(end)]
    if not days or days[-1] < start:
        have = f"{log.days[0]:%Y-%m-%d} … {log.days[-1]:%Y-%m-%d}"
        raise ValueError(
            f"the log has no day from {start:%Y-%m-%d} to {end or 'its end'}; its days are {have}."
        )
    times_bought = np.zeros(len(log.items), dtype=int)
    results = []
    for day in tqdm(days, desc="replay", unit="day", disable=not progress):
        rows = log.rows(day, day + DAY)
        if day >= start:
            for time in _hours(log, rows) if hourly else [day]:
                tested = _test(
                    log,
                    recommender,
                    time,
                    log.rows(time, time + (HOUR if hourly else DAY)),
                    times_bought,
                )
                results.append(tested.assign(hour=time.hour) if hourly else tested)
                if hourly:
                    recommender.learn_hour(log, time)
        if day >= start or learn_before:
            recommender.learn(log, day)
        np.add.at(times_bought, log.item_rows[rows], 1)
    return pd.concat(results, ignore_index=True)


def _hours(log: EventLog, rows: slice) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(log.events["time"].iloc[rows].dt.floor("h").unique())


def _test(
    log: EventLog,
    recommender: Recommender,
    time: pd.Timestamp,
    rows: slice,
    times_bought: np.ndarray,
) -> pd.DataFrame:
    items, (users, user_rows) = (
        log.item_rows[rows],
        np.unique(log.user_rows[rows], return_inverse=True),
    )
    scores = torch.as_tensor(recommender.scores(log, time, users))
    bought = [log.bought(user, rows.start) for user in users]
    return pd.DataFrame(
        {
            "day": time.normalize(),
            "user": log.users.index[users[user_rows]],
            "item": log.items.index[items],
            "rank": ranks(scores, bought, user_rows, items),
            "within_auc": within_slice_auc(
                scores, bought, user_rows, items, times_bought[: scores.shape[1]]
            ),
            "bought": times_bought[items],
            "history": np.array([len(b) for b in bought])[user_rows],
        }
    )


def within_slice_auc(
    scores: torch.Tensor,
    bought: list[np.ndarray],
    rows: np.ndarray,
    items: np.ndarray,
    times_bought: np.ndarray,
) -> np.ndarray:
    """[e] of the other candidates in the slice of each event's item: the share that scores lower,
    ties counting half.

    The mean over events is an AUC: 0.5 is chance, whether or not the slice as a whole stands high.
    Recall of cold items can be bought by lifting all of them; this cannot. NaN where the item was
    no candidate, or the only one of its slice. Arguments as for `ranks`; `times_bought`: [m] of
    each candidate.
    """
    of = torch.from_numpy(slice_codes(times_bought))  # [m]
    candidates = scores.clone()
    for row, codes in enumerate(bought):
        candidates[row, codes[codes < candidates.shape[1]]] = (
            torch.nan
        )  # compares as neither lower nor equal
    rows, items = torch.as_tensor(rows), torch.as_tensor(items)
    listed = items < len(of)
    own_slice = torch.full((len(items),), -1)  # [e]
    own_slice[listed] = of[items[listed]]
    share = torch.full((len(items),), torch.nan)  # [e]
    for code in range(len(SLICES)):
        columns, mine = (
            (of == code).nonzero()[:, 0],
            (own_slice == code).nonzero()[:, 0],
        )  # [s], [e']
        others, own = (
            candidates[:, columns][rows[mine]],
            scores[rows[mine], items[mine]][:, None],
        )  # [e', s], [e', 1]
        lower, ties = (
            (others < own).sum(1),
            (others == own).sum(1) - 1,
        )  # the item itself is no other
        share[mine] = (lower + ties / 2) / ((~others.isnan()).sum(1) - 1)
    return share.numpy()


def ranks(
    scores: torch.Tensor, bought: list[np.ndarray], rows: np.ndarray, items: np.ndarray
) -> np.ndarray:
    """[e] rank of each event's item among the candidates of its user: how many score at least as
    high, itself included.

    A tie counts against the model: one that gives every item the same score has every item in last
    place.

    - `scores`: [n, m]; `bought`: n arrays of item codes that are no candidates for that user.
    - `rows`: [e] the event's user, a row of `scores`; `items`: [e] item codes; one ≥ m was no
      candidate: rank NO_CANDIDATE.
    """
    if torch.isnan(scores).any():
        raise ValueError(
            "a score is NaN, and NaN has no rank; look for a division by 0 or a diverged model."
        )
    candidates = scores.clone()
    for row, codes in enumerate(bought):
        candidates[row, codes[codes < candidates.shape[1]]] = -torch.inf
    rows, items = torch.as_tensor(rows), torch.as_tensor(items)
    rank = torch.full((len(items),), NO_CANDIDATE)  # [e]
    known = items < scores.shape[1]
    rows, items = rows[known], items[known]
    rank[known] = (candidates[rows] >= scores[rows, items][:, None]).sum(1)  # [e', m] → [e']
    return rank.numpy()


def recall(result: pd.DataFrame, k: int) -> float:
    """R@k: the share of events whose item was among the first k."""
    return float((result["rank"] <= k).mean())


def slices(result: pd.DataFrame) -> pd.Series:
    """Each event's slice, by how often its item had been bought up to then: cold, tail, mid or
    head.
    """
    return pd.Series(
        pd.Categorical.from_codes(slice_codes(result["bought"]), list(SLICES)), result.index
    )


def slice_codes(times_bought: np.ndarray) -> np.ndarray:
    """[m] each item's slice as a number: 0 cold, 1 tail, 2 mid, 3 head."""
    return np.searchsorted([high for _, high in SLICES.values()], times_bought)


def summary(result: pd.DataFrame) -> pd.Series:
    """R@50, R@100, R@100 by slice, and the AUC within each slice (`within_slice_auc`); NaN for an
    empty one.
    """
    of = slices(result)
    recalls = {"R@50": recall(result, 50), "R@100": recall(result, 100)}
    recalls |= {name: recall(result[of == name], 100) for name in SLICES}
    return pd.Series(
        recalls
        | {f"in-{name}": float(result.loc[of == name, "within_auc"].mean()) for name in SLICES}
    )


def alignment(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean squared distance of n pairs [n, d], [n, d] of unit vectors that belong together: 0 where
    they are equal, 4 at most.

    Source: Wang & Isola, 2020, section 4.1.
    """
    return float((first - second).square().sum(1).mean())


def uniformity(vectors: torch.Tensor) -> float:
    """log of the mean of exp(−2 · squared distance) over all pairs of unit vectors [m, d], m ≥ 2;
    lower is more evenly spread.

    0 if all are the same; on a sphere of many dimensions −4 is about as even as it gets. Source:
    Wang & Isola, 2020, section 4.1.
    """
    return float(torch.pdist(vectors).square().mul(-2).exp().mean().log())


class Difference(NamedTuple):
    """A mean paired difference and its 95 % interval."""

    mean: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}] ({self.pairs} pairs)"


def paired_difference(
    a: Iterable[float], b: Iterable[float], confidence: float = 0.95
) -> Difference:
    """Mean of a_i − b_i with Student's t interval. Pair i is one seed, or one day, of both arms.

    Over seeds it says what another run on this log would show; over days, roughly, what another
    half-year would.
    """
    a, b = np.asarray(list(a), dtype=float), np.asarray(list(b), dtype=float)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} values and b has {len(b)}; each needs its partner.")
    difference = a - b
    if len(difference) < 2:
        raise ValueError("an interval needs at least two pairs; run more seeds.")
    mean, error = difference.mean(), stats.sem(difference)
    half = error * stats.t.ppf(0.5 + confidence / 2, len(difference) - 1)
    return Difference(float(mean), float(mean - half), float(mean + half), len(difference))
