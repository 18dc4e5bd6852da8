"""Updates: how a day's events become a new state of the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from course_lib.features import Features, FeatureStore, drop_fields, first_seen, growing_histories, take
from course_lib.log import DAY, EventLog
from course_lib.losses import in_batch_softmax
from course_lib.towers import RowwiseAdagrad, TwoTower

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


def new_state(log: EventLog, settings: Settings | None = None) -> State:
    """An untrained state that knows the names of `log`'s fields and none of its values."""
    settings = settings or Settings()
    features = FeatureStore(log, (settings.q_half_life, *settings.statistics), settings.history)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = TwoTower(
            list(features.items.sizes), list(features.users.sizes), len(settings.statistics), settings.dim, settings.hidden
        ).to(settings.device)
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
def full_update(state: State, log: EventLog, day: pd.Timestamp, shuffle: bool = True, loss: Loss = in_batch_softmax) -> State:
    """One epoch over all of a day's events, shuffled, all parameters; returns a new state and leaves `state` as it was.

    New items and users get rows first. Purchase counts stand where the day begins, and so do the histories, but for the
    `visit_share` of the events that are trained in the middle of their visit (`growing_histories`). Raises ValueError
    if the day has no events. Source: the notes, "full update".
    """
    day = pd.Timestamp(day).normalize()
    rows = log.rows(day, day + DAY)
    if rows.start == rows.stop:
        raise ValueError(f"{day:%Y-%m-%d} has no events, so there is nothing to learn; leave the day out.")
    state = copy.deepcopy(state)
    state.updates += 1
    generator = state.generator()
    state.features.learn(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes, generator)
    data = day_batch(state, log, rows, day, generator)
    data.users = drop_fields(data.users, state.settings.default_share, generator)
    data.items = drop_fields(data.items, state.settings.default_share, generator)
    order = torch.randperm(len(data.ids), generator=generator) if shuffle else torch.arange(len(data.ids))
    tables = RowwiseAdagrad(state.model.tables(), state.settings.table_rate)
    for events in order.tensor_split(max(1, round(len(order) / state.settings.batch_size))):
        training_step(state, tables, take_batch(data, events), loss)
    return state


def day_batch(state: State, log: EventLog, rows: slice, time: pd.Timestamp, generator: torch.Generator) -> Batch:
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


def take_batch(batch: Batch, events: torch.Tensor) -> Batch:
    """The given events of a batch."""
    return Batch(take(batch.users, events), take(batch.items, events), batch.log_q[events], batch.ids[events])


def training_step(state: State, tables: RowwiseAdagrad, batch: Batch, loss: Loss = in_batch_softmax) -> float:
    """One step of gradient descent on `loss`, in place; returns its value before the step."""
    users, items = state.model.user_vectors(batch.users), state.model.item_vectors(batch.items)  # [n, d], [n, d]
    value = loss(users, items, batch.log_q, batch.ids, state.settings.temperature)
    state.optimiser.zero_grad()
    value.backward()
    tables.step()
    state.optimiser.step()
    return value.item()
