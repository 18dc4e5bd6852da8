"""From raw fields to tensors of indices, with vocabularies that know no future.

`Features` is a dict from field name to a LongTensor: `[n]` for a categorical field, `[n, L]` for a
list-valued one (a bag; 0 is an empty place). Index 0 of every field is its *default*: an unknown
value, a missing value, a masked field and a brand-new item's ID are all the same index, whose
embedding is trained like any other. Items and users are named by their rows in the log's tables.
"""

from __future__ import annotations

import copy
from collections import ChainMap
from dataclasses import dataclass, replace
from itertools import chain, repeat

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from course_lib.linear import LinearPart
from course_lib.log import DAY, NOT_A_FIELD, EventLog

Features = dict[str, torch.Tensor]
NO_FIELDS = ("popularity", "linear")  # numbers that stand beside an item's fields


class Fork(ChainMap):
    """A vocabulary that shares another's values, never writes to it, and adds its own above."""

    def __len__(self) -> int:
        return sum(map(len, self.maps))  # no value is in both; ChainMap would go through them all


class Encoder:
    """Turns the fields of a log's table (items or users) into indices.

    The table's index is a field too, by its name ("item" or "user"): the ID. A value gets the next
    free index when `learn` first meets it, so that day t's indices depend on nothing after day t.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        """Take the field names from `table`, and no value; a field is a bag if it has lists."""
        self.id = table.index.name
        names = [name for name in table.columns if name not in NOT_A_FIELD]
        self.bags = [name for name in names if table[name].map(type).eq(list).any()]
        self.vocabularies = {self.id: {}, **{name: {} for name in names}}

    def __deepcopy__(self, memo: dict) -> Encoder:
        twin = copy.copy(self)  # values are immutable: the dicts need no deep copy, which is slow
        twin.vocabularies = {name: copy.copy(known) for name, known in self.vocabularies.items()}
        return twin

    def fork(self) -> Encoder:
        """An encoder that shares this one's values, copying none, and can learn IDs of its own."""
        twin, ids = copy.copy(self), self.vocabularies[self.id]
        own = ids.copy() if isinstance(ids, Fork) else Fork({}, ids)
        twin.vocabularies = self.vocabularies | {self.id: own}
        return twin

    def __len__(self) -> int:
        """Rows that the ID's embedding table needs."""
        return len(self.vocabularies[self.id]) + 1

    @property
    def sizes(self) -> dict[str, int]:
        """Rows that each field's embedding table needs: the known values, and the default."""
        return {name: len(vocabulary) + 1 for name, vocabulary in self.vocabularies.items()}

    def state_dict(self) -> dict:
        """All that the encoder knows, as plain values that can be written to a file."""
        values = {name: list(known) for name, known in self.vocabularies.items()}
        return {"id": self.id, "bags": self.bags, "values": values}

    @classmethod
    def from_state_dict(cls, contents: dict) -> Encoder:
        """The encoder whose `state_dict` this is."""
        encoder = cls.__new__(cls)
        encoder.id, encoder.bags = contents["id"], contents["bags"]
        encoder.vocabularies = {
            name: {value: index for index, value in enumerate(known, 1)}
            for name, known in contents["values"].items()
        }
        return encoder

    def learn(self, table: pd.DataFrame, ids_only: bool = False) -> None:
        """Give an index to every value of `table` (or to its IDs only) that has none yet."""
        for name in [self.id] if ids_only else self.vocabularies:
            values, vocabulary = self._column(table, name), self.vocabularies[name]
            for value in dict.fromkeys(chain(*values) if name in self.bags else values):
                if not pd.isna(value):
                    vocabulary.setdefault(value, len(vocabulary) + 1)

    def encode(self, table: pd.DataFrame) -> Features:
        """Indices of every row of `table`; what `learn` never met is 0."""
        features = {}
        for name, vocabulary in self.vocabularies.items():
            values = self._column(table, name)
            if name in self.bags:
                features[name] = _pad([[vocabulary.get(v, 0) for v in bag] for bag in values])
            else:
                indices = map(vocabulary.get, values, repeat(0))
                features[name] = torch.from_numpy(np.fromiter(indices, np.int64, len(values)))
        return features

    def decode(self, features: Features) -> pd.DataFrame:
        """The values behind the indices, a column per field: None for a default, lists for bags."""
        columns = {}
        for name in filter(features.__contains__, self.vocabularies):
            values, rows = [None, *self.vocabularies[name]], features[name].tolist()
            if name in self.bags:
                columns[name] = [[values[i] for i in row if i] for row in rows]
            else:
                columns[name] = [values[i] for i in rows]
        return pd.DataFrame(columns, dtype=object)

    def _column(self, table: pd.DataFrame, name: str) -> list:
        values = (table.index if name == self.id else table[name]).tolist()
        if name in self.bags:  # what is missing is an empty one
            return [bag if isinstance(bag, list) else [] for bag in values]
        return values


class DecayedCounts:
    """How often each item was bought lately: counts that halve every `half_lives` days.

    Streams (as Yi et al., 2019, section 4, estimate q): `add` a batch's items, ask `at` any later
    time. What was added stands in a list until `flush` adds it up: adding and asking cost what the
    batch names, flushing costs a pass over all items, and only a full update does it.
    """

    def __init__(self, half_lives: tuple[float, ...]) -> None:
        self.half_lives = torch.tensor(half_lives, dtype=torch.float64)  # [h] days
        self.settled = torch.zeros(1, len(half_lives), dtype=torch.float64)  # [size, h]
        self.sum = torch.zeros(len(half_lives), dtype=torch.float64)  # [h] of all of them
        self.flushed: pd.Timestamp | None = None  # when `settled` and `sum` were as they are
        self.added: list[tuple[torch.Tensor, pd.Timestamp]] = []

    @property
    def time(self) -> pd.Timestamp | None:
        """Of the latest `add` or `flush`."""
        return self.added[-1][1] if self.added else self.flushed

    def __copy__(self) -> DecayedCounts:
        twin = object.__new__(DecayedCounts)
        twin.__dict__ = self.__dict__ | {"added": list(self.added)}  # tensors are never written to
        return twin

    def state_dict(self) -> dict:
        """The counts as plain values; raises ValueError if something was added since `flush`."""
        if self.added:
            raise ValueError("some counts are not added up yet; call flush(time, size) first.")
        time = self.time and self.time.isoformat()
        half_lives = tuple(self.half_lives.tolist())
        return {"half_lives": half_lives, "settled": self.settled, "sum": self.sum, "time": time}

    @classmethod
    def from_state_dict(cls, contents: dict) -> DecayedCounts:
        """The counts whose `state_dict` this is."""
        counts = cls(contents["half_lives"])
        counts.settled, counts.sum = contents["settled"], contents["sum"]
        counts.flushed = contents["time"] and pd.Timestamp(contents["time"])
        return counts

    def at(self, time: pd.Timestamp, indices: torch.Tensor) -> torch.Tensor:
        """[n, h] counts of the items with these indices [n] as they stand at `time`; an index never
        added counts 0.

        Raises ValueError for a time before the latest `add`: counts forget, and cannot go back.
        """
        self._check(time)
        counts = torch.zeros(len(indices), len(self.half_lives), dtype=torch.float64)
        known = indices < len(self.settled)
        counts[known] = self.settled[indices[known]] * self._decay(self.flushed, time)
        if self.added:
            asked, rows = indices.unique(return_inverse=True)
            recent = torch.zeros(len(asked), len(self.half_lives), dtype=torch.float64)
            for ids, when in self.added:
                place = torch.searchsorted(asked, ids).clamp(max=len(asked) - 1)
                counted = (asked[place] == ids)[:, None] * self._decay(when, time)
                recent.index_add_(0, place, counted)
            counts += recent[rows]
        return counts

    def total(self, time: pd.Timestamp) -> torch.Tensor:
        """[h] the counts of all items together at `time`."""
        self._check(time)
        recent = [len(ids) * self._decay(when, time) for ids, when in self.added]
        return self.sum * self._decay(self.flushed, time) + sum(recent)

    def add(self, indices: torch.Tensor, time: pd.Timestamp) -> None:
        """Count each of `indices` [n] once at `time`."""
        self._check(time)
        self.added.append((indices, time))

    def flush(self, time: pd.Timestamp, size: int) -> None:
        """Add up all that was added, as it stands at `time`, for item indices below `size`."""
        self.settled, self.sum = self.at(time, torch.arange(size)), self.total(time)
        self.flushed, self.added = time, []

    def _decay(self, since: pd.Timestamp | None, time: pd.Timestamp) -> torch.Tensor:
        if since is None:
            return torch.ones_like(self.half_lives)
        return 0.5 ** ((time - since) / DAY / self.half_lives)

    def _check(self, time: pd.Timestamp) -> None:
        if self.time is not None and time < self.time:
            raise ValueError(f"the counts stand at {self.time}; they can't go back to {time}.")


@dataclass(eq=False, repr=False)
class FeatureStore:
    """Everything between the raw log and the towers, the same for training and nomination.

    - `counts`: the first half-life is for q, the others make the item tower's popularity features.
    - `history`: how many of a user's latest purchases make the bag.
    - `linear`: makes more dimensions of both vectors, if there is one.
    """

    items: Encoder
    users: Encoder
    counts: DecayedCounts
    history: int
    linear: LinearPart | None = None

    @classmethod
    def of(
        cls,
        log: EventLog,
        half_lives: tuple[float, ...],
        history: int,
        linear: LinearPart | None = None,
    ) -> FeatureStore:
        """A store that knows the names of the log's fields and none of its values."""
        counts = DecayedCounts(half_lives)
        return cls(Encoder(log.items), Encoder(log.users), counts, history, linear)

    def state_dict(self) -> dict:
        """All that the store knows, as plain values that can be written to a file."""
        parts = {"items": self.items, "users": self.users, "counts": self.counts}
        contents = {name: part.state_dict() for name, part in parts.items()}
        linear = self.linear and self.linear.state_dict()
        return contents | {"history": self.history, "linear": linear}

    @classmethod
    def from_state_dict(cls, contents: dict) -> FeatureStore:
        """The store whose `state_dict` this is."""
        items, users = (Encoder.from_state_dict(contents[name]) for name in ("items", "users"))
        counts = DecayedCounts.from_state_dict(contents["counts"])
        linear = contents["linear"] and LinearPart.from_state_dict(contents["linear"])
        return cls(items, users, counts, contents["history"], linear)

    def fork(self) -> FeatureStore:
        """A store that shares all that this one knows, and can learn IDs and count events alone."""
        items, users, counts = self.items.fork(), self.users.fork(), copy.copy(self.counts)
        return replace(self, items=items, users=users, counts=counts)

    def learn(self, log: EventLog, rows: slice, ids_only: bool = False) -> None:
        """Let the vocabularies, or the IDs' only, grow by these event rows' items and users."""
        self.items.learn(log.items.iloc[pd.unique(log.item_rows[rows])], ids_only)
        self.users.learn(log.users.iloc[pd.unique(log.user_rows[rows])], ids_only)

    def count(self, log: EventLog, rows: slice, time: pd.Timestamp) -> None:
        """Add the items of these event rows to the decayed counts."""
        self.counts.add(self.item_indices(log, log.item_rows[rows]), time)

    def fit_linear(self, log: EventLog, time: pd.Timestamp) -> None:
        """Bring the linear part, if there is one, to what it is at `time`, when all events before
        are counted: fitted to them, once a week, and its popularity scaled.
        """
        if self.linear is None:
            return
        counts = self.counts.at(time, torch.arange(len(self.items)))[:, 0]
        self.linear.top = max(float(counts.max()), 1e-9)
        if self.linear.is_due(time):
            rows = log.rows(end=time)
            items = self.item_indices(log, log.item_rows[rows]).numpy()
            days = (time - log.events["time"].iloc[rows]).to_numpy() / DAY.to_numpy()
            self.linear.fit(log.user_rows[rows], items, days, len(self.items))
            self.linear.fitted = time

    def item_indices(self, log: EventLog, items: np.ndarray) -> torch.Tensor:
        """ID indices (0: not learned yet) of items (rows) of any shape; row −1 is no item, 0."""
        known = self.items.vocabularies[self.items.id]
        rows, inverse = np.unique(items, return_inverse=True)
        indices = [known.get(item, 0) for item in log.items.index[rows].tolist()]
        indices = np.array(indices, dtype=np.int64) * (rows >= 0)
        return torch.from_numpy(indices[inverse.reshape(items.shape)])

    def item_features(self, log: EventLog, items: np.ndarray, time: pd.Timestamp) -> Features:
        """Features of m items (rows) as they stand at `time`: every field, `popularity`, [m, h − 1]
        log(1 + count), and the dimensions `linear`, [m, r + 1].
        """
        features = self.items.encode(log.items.iloc[items])
        ids = features[self.items.id]
        counts = self.counts.at(time, ids)
        if counts.shape[1] > 1:
            features["popularity"] = counts[:, 1:].log1p().float()
        if self.linear is not None:
            features["linear"] = self.linear.item_dimensions(ids, counts[:, 0])
        return features

    def user_features(self, log: EventLog, users: np.ndarray, before: int) -> Features:
        """Features of n users (rows; −1 is a new user, all default) from the event rows < `before`
        alone: a history that contains the day itself contains the answer.
        """
        bought, ages = ([ask(user, before) for user in users] for ask in (log.bought, log.ages))
        return self.features_of(log, users, bought, ages)

    def features_of(
        self, log: EventLog, users: np.ndarray, bought: list[np.ndarray], ages: list | None = None
    ) -> Features:
        """Features of n users (rows; −1 is a new user) who have bought these items (n arrays of
        rows, the latest last), so many days ago (n arrays; none: just now).
        """
        bags = np.full((len(users), self.history), -1)
        for bag, items in zip(bags, bought, strict=True):
            latest = items[::-1][: self.history]
            bag[: len(latest)] = latest
        known = torch.from_numpy(users >= 0)
        features = self.users.encode(log.users.iloc[users])
        features = {name: keep_rows(values, known) for name, values in features.items()}
        features["history"] = self.item_indices(log, bags)
        if self.linear is not None:
            owned = np.concatenate(bought) if bought else np.zeros(0, int)
            starts = np.cumsum([0, *map(len, bought)])[1:-1]
            indices = np.split(self.item_indices(log, owned).numpy(), starts)
            ages = ages or [np.zeros(len(bag)) for bag in indices]
            features["linear"] = self.linear.user_dimensions(indices, ages)
        return features

    def log_q(self, ids: torch.Tensor, time: pd.Timestamp) -> torch.Tensor:
        """[n] log of each item's share of the recent events, by item index [n]."""
        return (self.counts.at(time, ids)[:, 0] / self.counts.total(time)[0]).log().float()


def index_rows(features: Features, rows: torch.Tensor) -> Features:
    """The given rows of every field."""
    return {name: values[rows] for name, values in features.items()}


def concat_features(parts: list[Features]) -> Features:
    """The rows of all parts, one after the other, in the fields of the first; bags are made as wide
    as the widest.
    """
    joined = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        if values[0].dim() > 1:
            width = max(value.shape[1] for value in values)
            values = [functional.pad(value, (0, width - value.shape[1])) for value in values]
        joined[name] = torch.cat(values)
    return joined


def drop_fields(features: Features, share: float, generator: torch.Generator) -> Features:
    """Each field of each row set to its default with chance `share` (field dropout): else nothing
    would train the default of a field that is always known, as the ID is.
    """
    dropped = {}
    for name, values in features.items():
        keep = torch.rand(len(values), generator=generator) >= share  # [n]
        dropped[name] = values if name in NO_FIELDS else keep_rows(values, keep.to(values.device))
    return dropped


def as_new_items(
    features: Features, id_name: str, share: float, generator: torch.Generator
) -> Features:
    """Items with chance `share` as if they were new (cold-start dropout; Volkovs et al., 2017): the
    ID its default, the popularity features 0; what they are stays.
    """
    keep = torch.rand(len(features[id_name]), generator=generator) >= share  # [n]
    keep = keep.to(features[id_name].device)
    names = [name for name in (id_name, *NO_FIELDS) if name in features]
    return features | {name: keep_rows(features[name], keep) for name in names}


def session_prefix_histories(
    history: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """[n, L] histories of a day's n events, as the user tower meets them in the middle of a visit:
    what the user had that morning and, in random order, the visit's items before the event's own.

    - `history`: [users, L] item indices that morning, the latest first, then 0.
    - `rows`: [n] the event's user, a row of `history`; `ids`: [n] the event's item index.
    """
    users, length = history.shape
    order = torch.randperm(len(ids), generator=generator)
    owners, by_user = rows[order].sort(stable=True)
    starts = torch.searchsorted(owners, torch.arange(users))
    position = torch.empty_like(ids)  # [n] of the event within its visit
    position[order[by_user]] = torch.arange(len(ids)) - starts[owners]
    timeline = torch.zeros(users, length + int(position.max()) + 1, dtype=ids.dtype)  # oldest first
    timeline[:, :length] = history.flip(1)
    timeline[rows, length + position] = ids
    return timeline[rows[:, None], length + position[:, None] - 1 - torch.arange(length)]


def keep_rows(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Values [n] or [n, L], with 0, the default, in every row that `keep` [n] rules out."""
    return values * (keep if values.dim() == 1 else keep[:, None])


def _pad(bags: list[list[int]]) -> torch.Tensor:
    lengths = np.array([len(bag) for bag in bags], dtype=np.int64)
    padded = np.zeros((len(bags), max(lengths.max(initial=0), 1)), dtype=np.int64)
    filled = np.arange(padded.shape[1]) < lengths[:, None]
    padded[filled] = [index for bag in bags for index in bag]
    return torch.from_numpy(padded)
