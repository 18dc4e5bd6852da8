"""Replay: test on a day, then train on it, day after day; and fair comparisons of replays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from scipy.special import stdtrit
from tqdm.auto import tqdm

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update, unfrozen_update
from course_lib.log import DAY, HOUR, EventLog, local_time
from course_lib.state import State

# times bought up to then
SLICES = {"cold": (0, 0), "tail": (1, 20), "mid": (21, 100), "head": (101, np.inf)}
NO_CANDIDATE = torch.iinfo(torch.long).max  # the rank of what was no candidate: a miss at every k


class Recommender(Protocol):
    """What `replay` can replay: see `TwoTowerNightly` and the classes of baselines.py."""

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
        return self.state.user_vectors(log, users, log.rows(day).start) @ items.T  # [n, m]

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.state = self.update(self.state, log, day)


class TwoTowerServed:
    """The two towers as they are served through the day, for `replay(..., hourly=True)`.

    Item vectors are what the index holds: published whole after a full update, one by one as items
    are listed and as an hour's update moves them.

    - `state`: fresh, or trained: days that it has learned already are passed over.
    - `full_every`: days from one full update, shuffled or not, to the next; None: never again.
    - `hourly`: None, "ids" (the incremental update) or "all" (nothing frozen), at `rate`.
    """

    def __init__(
        self,
        state: State,
        full_every: int | None = 1,
        hourly: str | None = None,
        rate: float | None = None,
        shuffle: bool = True,
    ) -> None:
        if hourly not in (None, "ids", "all") or (full_every is not None and full_every < 1):
            raise ValueError(
                f"hourly is {hourly!r} and full_every is {full_every}; "
                "choose None, 'ids' or 'all', and None or a number of days."
            )
        self.state, self.full_every, self.hourly = state, full_every, hourly
        self.rate, self.shuffle = rate, shuffle
        self.vectors = torch.zeros(0, 0)  # [m, d] by item code
        self.first: pd.Timestamp | None = None  # of the days that wait for the next full update

    def scores(self, log: EventLog, time: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        self.publish(log, np.arange(len(self.vectors), log.listed(time.normalize())), time)
        return self.state.user_vectors(log, users, log.rows(time).start) @ self.vectors.T  # [n, m]

    def publish(self, log: EventLog, items: np.ndarray, time: pd.Timestamp) -> None:
        """Put these items' vectors (codes [t], new ones at the end) into the index."""
        if len(items):
            new = max(items.max() + 1 - len(self.vectors), 0)
            vectors = self.state.item_vectors(log, items, time)
            more = vectors.shape[1] - self.vectors.shape[1]
            self.vectors = torch.nn.functional.pad(self.vectors, (0, more, 0, new))
            self.vectors[torch.from_numpy(items)] = vectors

    def learn_hour(self, log: EventLog, hour: pd.Timestamp) -> None:
        if self.hourly == "ids":
            options = {"rate": self.rate, "turn": "skip"}
            self.state, touched = incremental_update(self.state, log, hour, **options)
            self.publish(log, touched.items, hour)
        elif self.hourly == "all":
            self.state = unfrozen_update(self.state, log, hour, rate=self.rate)
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
    `learn_before` they are not (the recommender has learned them already). With `hourly` each hour
    is tested, then given to the recommender's `learn_hour`; candidates are those of the morning.

    Returns one row per event: `day`, `user`, `item`, `rank`, `within_auc` (see `ranks` and
    `within_slice_auc`), `bought` (how often the item had been bought before that day) and `history`
    (how many items the user had bought); `hour` too, if hourly. Raises ValueError, before anything
    is learned, for a period without days and for a recommender that lacks a method.
    """
    days = _days(log, start, end)
    for method in ("scores", "learn", *(["learn_hour"] if hourly else [])):
        if not callable(getattr(recommender, method, None)):
            raise ValueError(
                f"{type(recommender).__name__} has no method '{method}', which this replay calls; "
                + ("replay it with hourly=False." if method == "learn_hour" else "add one.")
            )
    if len(log.items) <= 100:
        warnings.warn(
            f"the log has {len(log.items)} items, so R@100 is 1 for every listed item, whatever "
            "the model; compare recall at a smaller k.",
            stacklevel=2,
        )
    step, start = HOUR if hourly else DAY, local_time(start)
    times_bought = np.zeros(len(log.items), dtype=int)
    results = []
    for day in tqdm(days, desc="replay", unit="day", disable=not progress):
        rows = log.rows(day, day + DAY)
        if day >= start:
            times = log.events["time"].iloc[rows].dt.floor("h").unique() if hourly else [day]
            for time in times:
                tested = _test(log, recommender, time, log.rows(time, time + step), times_bought)
                results.append(tested.assign(hour=time.hour) if hourly else tested)
                if hourly:
                    recommender.learn_hour(log, time)
        if day >= start or learn_before:
            recommender.learn(log, day)
        np.add.at(times_bought, log.item_rows[rows], 1)
    return pd.concat(results, ignore_index=True)


def _days(
    log: EventLog, start: pd.Timestamp | str, end: pd.Timestamp | str | None
) -> pd.DatetimeIndex:
    """The log's days to before `end`, at least one of them from `start` on."""
    start, end = local_time(start), local_time(log.days[-1] + DAY if end is None else end)
    days = log.days[log.days < end]
    if not len(days) or days[-1] < start:
        raise ValueError(
            f"the log has no day from {start:%Y-%m-%d} to before {end:%Y-%m-%d}; its days are "
            f"{log.days[0]:%Y-%m-%d} … {log.days[-1]:%Y-%m-%d}."
        )
    return days


def _test(
    log: EventLog,
    recommender: Recommender,
    time: pd.Timestamp,
    rows: slice,
    times_bought: np.ndarray,
) -> pd.DataFrame:
    items, codes = log.item_rows[rows], log.user_rows[rows]
    users, user_rows, bought = _asked(log, rows)
    scores = recommender.scores(log, time, users)
    shape, listed = tuple(np.shape(scores)), log.listed(time.normalize())
    if len(shape) != 2 or shape[0] != len(users) or not listed <= shape[1] <= log.listed(time):
        raise ValueError(
            f"{type(recommender).__name__}'s scores at {time} have shape {list(shape)}; they must "
            f"have shape {[len(users), listed]}, a row for each user and a column for each item."
        )
    times = times_bought[: shape[1]]
    return pd.DataFrame(
        {
            "day": time.normalize(),
            "user": log.users.index[codes],
            "item": log.items.index[items],
            "rank": ranks(scores, bought, user_rows, items),
            "within_auc": within_slice_auc(scores, bought, user_rows, items, times),
            "bought": times_bought[items],
            "history": np.array([len(b) for b in bought])[user_rows],
        }
    )


def _asked(log: EventLog, rows: slice) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The users of these event rows, [n]; each event's place among them; and what each had bought
    before, n arrays of item codes.
    """
    users, user_rows = np.unique(log.user_rows[rows], return_inverse=True)
    return users, user_rows, [log.bought(user, rows.start) for user in users]


def ranks(
    scores: torch.Tensor | np.ndarray,
    bought: list[np.ndarray],
    rows: np.ndarray,
    items: np.ndarray,
) -> np.ndarray:
    """[e] rank of each event's item among the candidates of its user: how many score at least as
    high, itself included, so that a tie counts against the model.

    - `scores`: [n, m], bool, whole numbers or floats, compared without loss; no NaN.
    - `bought`: n arrays of item codes that are no candidates for that user.
    - `rows`: [e] the event's user, a row of `scores`; `items`: [e] item codes; one ≥ m, or in
      `bought`, was no candidate: rank NO_CANDIDATE.
    """
    scores, allowed, rows, items, known = _candidates(scores, bought, rows, items)
    rank = torch.full((len(items),), NO_CANDIDATE)  # [e]
    rows, items = rows[known], items[known]
    at_least = scores[rows] >= scores[rows, items][:, None]  # [e', m]
    rank[known] = (at_least & allowed[rows]).sum(1)
    return rank.numpy()


def within_slice_auc(
    scores: torch.Tensor | np.ndarray,
    bought: list[np.ndarray],
    rows: np.ndarray,
    items: np.ndarray,
    times_bought: np.ndarray,
) -> np.ndarray:
    """[e] of the other candidates in the slice of each event's item: the share that scores lower,
    ties counting half.

    The mean over events is an AUC: 0.5 is chance, even where recall is bought by lifting the whole
    slice. NaN where the item was no candidate, or the only one of its slice. Arguments as for
    `ranks`; `times_bought`: [m] of each candidate.
    """
    scores, allowed, rows, items, known = _candidates(scores, bought, rows, items)
    of = torch.from_numpy(slice_codes(times_bought))
    if of.shape != scores.shape[1:]:
        raise ValueError(
            f"times_bought has shape {list(of.shape)} and scores {list(scores.shape)}; "
            "give one number for each column."
        )
    own_slice = torch.full((len(items),), -1)  # [e]
    own_slice[known] = of[items[known]]
    share = torch.full((len(items),), torch.nan)  # [e]
    for code in range(len(SLICES)):
        columns, mine = (of == code).nonzero()[:, 0], (own_slice == code).nonzero()[:, 0]
        others, may = (t[:, columns][rows[mine]] for t in (scores, allowed))  # [e', s]
        own = scores[rows[mine], items[mine]][:, None]  # [e', 1]
        lower = ((others < own) & may).sum(1)
        ties = ((others == own) & may).sum(1) - 1  # the item itself is no other
        share[mine] = (lower + ties / 2) / (may.sum(1) - 1)
    return share.numpy()


def _candidates(scores, bought, rows, items) -> tuple[torch.Tensor, ...]:
    """Scores [n, m], which of them are of candidates [n, m], rows [e], items [e], and whether each
    item is a candidate of its user [e].
    """
    scores, rows, items = _as_scores(scores), _codes("rows", rows), _codes("items", items)
    if scores.dim() != 2 or len(bought) != len(scores) or len(rows) != len(items):
        raise ValueError(
            f"scores have shape {list(scores.shape)}, bought is of {len(bought)} users, and there "
            f"are {len(rows)} rows and {len(items)} items; they must be [n, m], n, e and e."
        )
    if (rows >= len(scores)).any():
        raise ValueError(
            f"rows has {int(rows.max())}, and scores have {len(scores)} rows; count them from 0."
        )
    allowed = torch.ones(scores.shape, dtype=torch.bool)
    for row, codes in enumerate(bought):
        codes = _codes("bought", codes)
        allowed[row, codes[codes < scores.shape[1]]] = False
    known = items < scores.shape[1]
    known[known.clone()] = allowed[rows[known], items[known]]
    return scores, allowed, rows, items, known


def _as_scores(scores: torch.Tensor | np.ndarray) -> torch.Tensor:
    """As a tensor of a type that compares, and that loses nothing."""
    if not isinstance(scores, torch.Tensor):
        scores = np.asarray(scores)
        if scores.dtype.kind not in "biuf":
            raise ValueError(f"scores are {scores.dtype}; give numbers.")
        scores = torch.tensor(scores.astype(scores.dtype.newbyteorder("="), order="C"))
    scores = scores.detach().cpu()
    if scores.dtype.is_complex or scores.dtype == torch.uint64:
        raise ValueError(f"scores are {scores.dtype}, which has no order here; give floats.")
    if not scores.dtype.is_floating_point:
        return scores.long()
    if scores.isnan().any():
        raise ValueError(
            "a score is NaN, and NaN has no rank; look for a division by 0 or a diverged model."
        )
    return scores if scores.dtype.itemsize >= 4 else scores.float()


def _codes(name: str, codes: np.ndarray) -> torch.Tensor:
    codes = np.asarray(codes.cpu() if isinstance(codes, torch.Tensor) else codes)
    if codes.ndim != 1 or (codes.size and (codes.dtype.kind not in "iu" or codes.min() < 0)):
        raise ValueError(
            f"{name} has shape {codes.shape} and type {codes.dtype}; it must be a list of whole "
            "numbers, none below 0."
        )
    return torch.tensor(codes.astype(np.int64))


def recall_between(
    log: EventLog, day: pd.Timestamp, state: State, item_vectors: torch.Tensor, k: int = 100
) -> float:
    """R@k of a day's events if the user vectors of `state` search `item_vectors` [m, d], which may
    be those of another state.
    """
    rows = log.rows(day, day + DAY)
    users, user_rows, bought = _asked(log, rows)
    scores = state.user_vectors(log, users, rows.start) @ item_vectors.T  # [n, m]
    return float((ranks(scores, bought, user_rows, log.item_rows[rows]) <= k).mean())


def recall(result: pd.DataFrame, k: int) -> float:
    """R@k: the share of events whose item was among the first k; 1 if there are no more items."""
    return float((result["rank"] <= k).mean())


def slices(result: pd.DataFrame) -> pd.Series:
    """Each event's slice, by how often its item had been bought: cold, tail, mid or head."""
    codes = slice_codes(result["bought"])
    return pd.Series(pd.Categorical.from_codes(codes, list(SLICES)), result.index)


def slice_codes(times_bought: np.ndarray) -> np.ndarray:
    """[m] each item's slice as a number: 0 cold, 1 tail, 2 mid, 3 head."""
    times_bought = np.asarray(times_bought)
    if not (times_bought >= 0).all():
        raise ValueError("times_bought has a number below 0 or NaN; count purchases.")
    return np.searchsorted([high for _, high in SLICES.values()], times_bought)


def summary(result: pd.DataFrame, k: int = 100) -> pd.Series:
    """R@50, R@k, R@k by slice, and each slice's `within_slice_auc`; NaN for an empty one."""
    of = slices(result)
    recalls = {"R@50": recall(result, 50), f"R@{k}": recall(result, k)}
    recalls |= {name: recall(result[of == name], k) for name in SLICES}
    aucs = {f"in-{name}": float(result.loc[of == name, "within_auc"].mean()) for name in SLICES}
    return pd.Series(recalls | aucs)


def recalls(result: pd.DataFrame, k: int) -> pd.Series:
    """R@k of all events, named so, and of each slice that has any."""
    of = slices(result)
    found = {name: recall(result[of == name], k) for name in SLICES if (of == name).any()}
    return pd.Series({f"R@{k}": recall(result, k)} | found)


def alignment(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean squared distance of n pairs [n, d], [n, d] of unit vectors that belong together, 0 to 4
    (Wang & Isola, 2020, section 4.1).
    """
    return float((first - second).square().sum(1).mean())


def uniformity(vectors: torch.Tensor) -> float:
    """log of the mean of exp(−2 · squared distance) over all pairs of unit vectors [m, d], m ≥ 2: 0
    if all are the same, about −4 if evenly spread (Wang & Isola, 2020, section 4.1).
    """
    return float(torch.pdist(vectors).square().mul(-2).exp().mean().log())


class Difference(NamedTuple):
    """A mean paired difference and its 95 % interval."""

    mean: float
    low: float
    high: float
    pairs: int

    def times(self, factor: float) -> Difference:
        """The difference in another unit, such as hits."""
        return Difference(*(factor * value for value in self[:3]), self.pairs)

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}] ({self.pairs} pairs)"


def paired_difference(
    a: Iterable[float],
    b: Iterable[float],
    confidence: float = 0.95,
    weights: Iterable[float] | None = None,
) -> Difference:
    """Mean of a_i − b_i with Student's t interval. Pair i is a seed, a day or a user, of both arms.

    Days and users differ in size: with their events as `weights` [n] the mean is the difference of
    all events together, a ratio of two sums, with a ratio's linearised standard error (Cochran,
    Sampling Techniques, 1977, chapter 6). Equal weights change nothing.
    """
    a, b = np.asarray(list(a), dtype=float), np.asarray(list(b), dtype=float)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} values and b has {len(b)}; each needs its partner.")
    difference, n = a - b, len(a)
    if n < 2:
        raise ValueError("an interval needs at least two pairs; run more seeds.")
    if weights is None:
        mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(n)
    else:
        weights = np.asarray(list(weights), dtype=float)
        if weights.shape != (n,) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(
                f"weights must be {n} numbers above 0, one per pair, such as each day's events."
            )
        mean = np.average(difference, weights=weights)
        residuals = weights * (difference - mean)  # they sum to 0
        error = np.sqrt(n / (n - 1) * (residuals**2).sum()) / weights.sum()
    half = error * stdtrit(n - 1, 0.5 + confidence / 2)
    return Difference(float(mean), float(mean - half), float(mean + half), n)


def gains_by_day(result: pd.DataFrame, other: pd.DataFrame, k: int) -> dict[str, Difference]:
    """How much more one replay finds among the first k than another: of all events, named so, and
    of each slice with events on two days or more. A pair is a day, and weighs as much as it has
    events. Raises ValueError for replays of different events.
    """
    asked = ["day", "user", "item"]
    if not result[asked].equals(other[asked]):
        raise ValueError("the two replays are not of the same events; replay the same days.")
    days = pd.DataFrame({name: one["rank"] <= k for name, one in (("a", result), ("b", other))})
    days, of = days.assign(day=result["day"], size=1), slices(result)
    found = {}
    for name in ("all events", *SLICES):
        part = days[of == name] if name in SLICES else days
        part = part.groupby("day").agg({"a": "mean", "b": "mean", "size": "sum"})
        if name not in SLICES or len(part) > 1:
            found[name] = paired_difference(part["a"], part["b"], weights=part["size"])
    return found
