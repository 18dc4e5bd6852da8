"""Updates: how a day's events become a new state of the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from course_lib.augment import SelfSupervision, vectors_together
from course_lib.features import (
    Encoder,
    Features,
    FeatureStore,
    as_new_items,
    drop_fields,
    first_seen,
    growing_histories,
    stack,
    take,
)
from course_lib.files import whole_file
from course_lib.log import DAY, HOUR, EventLog
from course_lib.losses import Joint, in_batch_softmax, joint, self_supervised
from course_lib.towers import RowwiseAdagrad, Table, TwoTower, overlay

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


@dataclass(frozen=True)
class Settings:
    """What was chosen, once, on April and May 2011 (data/results/README.md says how)."""

    dim: int = 64
    hidden: int = 128
    temperature: float = 0.1
    batch_size: int = 256
    table_rate: float = 0.1  # learning rate of the embedding tables (row-wise Adagrad)
    dense_rate: float = 0.0007  # learning rate of everything else (Adam)
    q_half_life: float = 7.0  # days
    statistics: tuple[float, ...] = (2.0, 7.0, 30.0)  # half-lives in days of the purchase counts that the item tower sees
    history: int = 60  # a user's latest purchases
    visit_share: float = 0.5  # share of events trained in the middle of their visit (features.growing_histories)
    default_share: float = 0.02  # how often training sees a field's default instead of its value
    new_item_share: float = 0.0  # how often it sees an item as if it were new: ID default, counts 0 (features.as_new_items)
    seed: int = 0
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class State:
    """A model with all that is needed to go on training it or to serve it."""

    settings: Settings
    features: FeatureStore
    model: TwoTower
    optimiser: torch.optim.Optimizer
    updates: int = 0
    full: State | None = None  # of an incremental state: the full state that it builds on, and goes back to

    def generator(self) -> torch.Generator:
        """A source of chance that depends on the seed and the number of updates alone: same state, same day, same result."""
        seed = np.random.SeedSequence([self.settings.seed, self.updates]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed >> 1))

    @torch.no_grad()
    def item_vectors(self, log: EventLog, items: np.ndarray, time: pd.Timestamp) -> torch.Tensor:
        """[m, dim] vectors of items (codes) as they stand at `time`."""
        return self.model.item_vectors(self.put(self.features.item_features(log, items, time))).cpu()

    @torch.no_grad()
    def user_vectors(self, log: EventLog, users: np.ndarray, before: int) -> torch.Tensor:
        """[n, dim] vectors of users (codes) from what they bought in event rows < `before`."""
        return self.model.user_vectors(self.put(self.features.user_features(log, users, before))).cpu()

    def put(self, features: Features) -> Features:
        """The features on the model's device."""
        return {name: values.to(self.settings.device) for name, values in features.items()}

    def save(self, path: str | Path) -> None:
        """Write a full state to a file, whole or not at all. Raises ValueError for an incremental one: it is not worth keeping."""
        if self.full is not None:
            raise ValueError("this state comes from an incremental update; save the full state (state.full) and the hour's shards.")
        counts = self.features.counts
        contents = {
            "settings": asdict(self.settings),
            "items": self.features.items.contents(),
            "users": self.features.users.contents(),
            "counts": {"settled": counts.settled, "sum": counts.sum, "time": counts.time and counts.time.isoformat()},
            "model": dict(self.model.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
        }
        with whole_file(path) as new:
            torch.save(contents, new)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> State:
        """The state that `save` wrote, on `device` (a GPU if there is one). Raises ValueError for a damaged file."""
        try:
            contents = torch.load(path, map_location="cpu", weights_only=True)
            device = device or Settings().device
            settings = Settings(
                **contents["settings"] | {"statistics": tuple(contents["settings"]["statistics"]), "device": device}
            )
            state = _state(settings, Encoder.of(contents["items"]), Encoder.of(contents["users"]))
            state.model.grow(state.features.items.sizes, state.features.users.sizes)
            state.model.load_state_dict(contents["model"])
            state.optimiser.load_state_dict(contents["optimiser"])
            counts, time = state.features.counts, contents["counts"]["time"]
            counts.settled, counts.sum = contents["counts"]["settled"], contents["counts"]["sum"]
            counts.time = counts.settled_at = time and pd.Timestamp(time)
            state.updates = contents["updates"]
        except FileNotFoundError:
            raise ValueError(f"there is no state at {path}.") from None
        except Exception as error:  # torch raises several unrelated types for damage
            why = type(error).__name__
            raise ValueError(f"{path} is damaged or holds no state of this library ({why}); train it anew.") from None
        return state


def new_state(log: EventLog, settings: Settings | None = None) -> State:
    """An untrained state that knows the names of `log`'s fields and none of its values."""
    return _state(settings or Settings(), Encoder(log.items), Encoder(log.users))


def _state(settings: Settings, items: Encoder, users: Encoder) -> State:
    features = FeatureStore(items, users, (settings.q_half_life, *settings.statistics), settings.history)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = TwoTower(list(items.sizes), list(users.sizes), len(settings.statistics), settings.dim, settings.hidden).to(
            settings.device
        )
    return State(settings, features, model, torch.optim.Adam(model.dense_parameters(), lr=settings.dense_rate, fused=True))


@dataclass
class Batch:
    """n events as the losses want them."""

    users: Features  # [n]
    items: Features  # [n]
    log_q: torch.Tensor  # [n]
    ids: torch.Tensor  # [n] item indices


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors of a few hundred rows are handled sooner than a second thread wakes up (with OMP_WAIT_POLICY=PASSIVE)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def full_update(
    state: State,
    log: EventLog,
    day: pd.Timestamp,
    days: int = 1,
    shuffle: bool = True,
    loss: Loss = in_batch_softmax,
    term: SelfSupervision | None = None,
) -> State:
    """One epoch over all events of a day (or of several), shuffled, all parameters; returns a new state, leaves `state` as it was.

    New items and users get rows first. Purchase counts stand where each day begins, and so do the histories, but for the
    `visit_share` of the events that are trained in the middle of their visit (`growing_histories`). Without `shuffle`
    the events come from morning to night. With a self-supervised `term` every step minimises the joint loss; its items are
    drawn from all that the vocabulary knows. Raises ValueError if there are no events, and for an incremental state: a
    full update starts from the last full one. Source: the notes, "full update", "self-supervised learning".
    """
    day = pd.Timestamp(day).normalize()
    if state.full is not None:
        raise ValueError("this state comes from an incremental update; a full update starts from the last full state: state.full.")
    rows = log.rows(day, day + days * DAY)
    if rows.start == rows.stop:
        raise ValueError(f"{day:%Y-%m-%d} has no events, so there is nothing to learn; leave the day out.")
    mornings = log.days[(log.days >= day) & (log.days < day + days * DAY)]
    return _epoch(state, log, {morning: log.rows(morning, morning + DAY) for morning in mornings}, shuffle, loss, term)


@one_thread()
def unfrozen_update(state: State, log: EventLog, hour: pd.Timestamp, end: pd.Timestamp | None = None) -> State:
    """What `incremental_update` would be with nothing frozen: an hour's events in order of time, all parameters.

    Here to be compared with; every item's vector changes, so that all of them would have to be published every hour.
    """
    hour = pd.Timestamp(hour)
    rows = log.rows(hour, hour + HOUR if end is None else end)
    new = _epoch(replace(state, full=None), log, {hour: rows}, False, in_batch_softmax)
    new.full = state.full or state
    return new


def _epoch(
    state: State,
    log: EventLog,
    parts: dict[pd.Timestamp, slice],
    shuffle: bool,
    loss: Loss,
    term: SelfSupervision | None = None,
) -> State:
    """A new state after one epoch over event rows, each part with features as they stand at its time."""
    state = copy.deepcopy(state)
    state.updates += 1
    generator, batches = state.generator(), []
    for rows in parts.values():
        state.features.learn(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes, generator)
    for time, rows in parts.items():
        batches.append(make_batch(state, log, rows, time, generator))
        state.features.counts.settle(time, len(state.features.items))
    data = join(batches)
    data.users = drop_fields(data.users, state.settings.default_share, generator)
    data.items = drop_fields(data.items, state.settings.default_share, generator)
    if state.settings.new_item_share:
        data.items = as_new_items(data.items, state.features.items.id, state.settings.new_item_share, generator)
    catalogue = known_items(state, log) if term and len(state.features.items) > 2 else None
    order = torch.randperm(len(data.ids), generator=generator) if shuffle else torch.arange(len(data.ids))
    tables = RowwiseAdagrad(state.model.tables(), state.settings.table_rate)
    for events in split(order, state.settings.batch_size):
        if catalogue is None:
            training_step(state, tables, take_batch(data, events), loss)
        else:
            joint_step(state, tables, take_batch(data, events), term.views(catalogue, generator), term, loss)
    return state


def known_items(state: State, log: EventLog) -> Features:
    """[known] fields of every item that has an ID of its own, in order of ID from 1, on the state's device; no statistics."""
    vocabulary = state.features.items.vocabularies[state.features.items.id]
    return state.put(state.features.items.encode(log.items.loc[list(vocabulary)]))


class Touched(NamedTuple):
    """Whose ID embeddings an incremental update moved, as codes of the log."""

    items: np.ndarray
    users: np.ndarray


@one_thread()
def incremental_update(
    state: State, log: EventLog, hour: pd.Timestamp, end: pd.Timestamp | None = None, rate: float | None = None
) -> tuple[State, Touched]:
    """Gradient descent on the embeddings of the user IDs and item IDs that an hour's events name; all else is frozen.

    Returns a new state and whose embeddings moved; `state`, full or incremental, stays as it was. The new state shares every
    frozen parameter with the last full state, so that an update costs what its events touch, whatever the catalogue
    holds. Users and items met for the first time get IDs; other new values wait for the full update. The events come
    in order of time, as in a stream, and are counted. An hour without events touches nothing.
    Source: the notes, "incremental update".

    - `end`: of the events' time; an hour after `hour` unless said. `rate`: the learning rate, `Settings.table_rate` unless said.
    """
    hour = pd.Timestamp(hour)
    rows = log.rows(hour, hour + HOUR if end is None else end)
    touched = Touched(first_seen(log.item_codes[rows]), first_seen(log.user_codes[rows]))
    if rows.start == rows.stop:
        return state, touched
    features = state.features.fork()
    features.learn(log, rows, ids_only=True)
    new = replace(state, features=features, updates=state.updates + 1, full=state.full or state)
    data = make_batch(new, log, rows, hour, new.generator())
    if len(features.counts.added) > 100:  # nobody has made a full update for days
        features.counts.settle(hour, len(features.items))
    named = [data.items[features.items.id].unique(), data.users[features.users.id].unique()]
    tables = [state.model.item_tables[0], state.model.user_tables[0]]
    tables = [overlay(table, ids) for table, ids in zip(tables, named, strict=True)]
    new.model = state.model.with_ids(*tables)
    optimiser = RowwiseAdagrad(tables, state.settings.table_rate if rate is None else rate)
    for events in split(torch.arange(len(data.ids)), state.settings.batch_size):
        id_step(new, tables, named, optimiser, take_batch(data, events))
    return new, touched


def split(order: torch.Tensor, batch_size: int) -> tuple[torch.Tensor, ...]:
    """Parts of nearly the same size, as near to `batch_size` as that allows."""
    return order.tensor_split(max(1, round(len(order) / batch_size)))


def make_batch(state: State, log: EventLog, rows: slice, time: pd.Timestamp, generator: torch.Generator) -> Batch:
    """All the events of `rows` as one batch on the state's device; counts the events, once their features are made."""
    items, users = first_seen(log.item_codes[rows]), first_seen(log.user_codes[rows])
    item_features = state.features.item_features(log, items, time)
    user_features = state.features.user_features(log, users, rows.start)
    state.features.count(log, rows, time)
    item_rows = torch.from_numpy(pd.Index(items).get_indexer(log.item_codes[rows]))
    user_rows = torch.from_numpy(pd.Index(users).get_indexer(log.user_codes[rows]))
    ids = item_features[state.features.items.id]
    log_q = state.features.log_q(ids, time)
    batch = Batch(take(user_features, user_rows), take(item_features, item_rows), log_q[item_rows], ids[item_rows])
    grown = growing_histories(user_features["history"], user_rows, batch.ids, generator)
    visit = torch.rand(len(grown), 1, generator=generator) < state.settings.visit_share
    batch.users["history"] = torch.where(visit, grown, batch.users["history"])
    return Batch(state.put(batch.users), state.put(batch.items), *(t.to(state.settings.device) for t in (batch.log_q, batch.ids)))


def join(batches: list[Batch]) -> Batch:
    """All the events of several batches, one after the other."""
    users, items = stack([batch.users for batch in batches]), stack([batch.items for batch in batches])
    return Batch(users, items, torch.cat([batch.log_q for batch in batches]), torch.cat([batch.ids for batch in batches]))


def take_batch(batch: Batch, events: torch.Tensor) -> Batch:
    """The given events of a batch."""
    return Batch(take(batch.users, events), take(batch.items, events), batch.log_q[events], batch.ids[events])


def training_step(state: State, tables: RowwiseAdagrad, batch: Batch, loss: Loss = in_batch_softmax) -> float:
    """One step of gradient descent on `loss`, in place; returns its value before the step."""
    users, items = state.model.user_vectors(batch.users), state.model.item_vectors(batch.items)  # [n, d], [n, d]
    value = loss(users, items, batch.log_q, batch.ids, state.settings.temperature)
    _descend(state, tables, value)
    return value.item()


def joint_step(
    state: State,
    tables: RowwiseAdagrad,
    batch: Batch,
    views: tuple[Features, Features],
    term: SelfSupervision,
    loss: Loss = in_batch_softmax,
) -> Joint:
    """One step on the joint loss of n events and two views of m items, in place; returns the loss and its parts."""
    users = state.model.user_vectors(batch.users)  # [n, d]
    if "statistics" in batch.items:
        views = tuple(_without_counts(view, batch.items["statistics"]) for view in views)
    items, *views = vectors_together(state.model.item_vectors, batch.items, *views)  # [n, d], [m, d], [m, d]
    main = loss(users, items, batch.log_q, batch.ids, state.settings.temperature)
    value = joint(main, self_supervised(*views, term.temperature), term.alpha)
    _descend(state, tables, value.total)
    return value._replace(total=value.total.detach())


def _without_counts(view: Features, like: torch.Tensor) -> Features:
    if "statistics" in view:
        return view
    return view | {"statistics": like.new_zeros(len(next(iter(view.values()))), like.shape[1])}


def _descend(state: State, tables: RowwiseAdagrad, value: torch.Tensor) -> None:
    state.optimiser.zero_grad()
    value.backward()
    tables.step()
    state.optimiser.step()


def id_step(state: State, tables: list[Table], named: list[torch.Tensor], optimiser: RowwiseAdagrad, batch: Batch) -> float:
    """One step of gradient descent on the rows `named` [t] of each of the two overlay `tables`, in place; nothing else moves.

    Histories read item IDs too: a row that only a history names is left alone, so that what moved is what the hour names.
    """
    users, items = state.model.user_vectors(batch.users), state.model.item_vectors(batch.items)  # [n, d], [n, d]
    value = in_batch_softmax(users, items, batch.log_q, batch.ids, state.settings.temperature)
    gradients = torch.autograd.grad(value, [table.weight for table in tables])
    for table, ids, gradient in zip(tables, named, gradients, strict=True):
        rows, values = gradient._indices()[0], gradient._values()
        keep = torch.isin(table.ids[rows], ids)
        table.weight.grad = torch.sparse_coo_tensor(rows[keep][None], values[keep], gradient.shape, check_invariants=True)
    optimiser.step()
    return value.item()
