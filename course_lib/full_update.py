"""The full update: a day's events become tensors once, and are learned in one shuffled epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_lib.augment import SelfSupervision, vectors_together
from course_lib.features import (
    NO_FIELDS,
    Features,
    as_new_items,
    concat_features,
    drop_fields,
    index_rows,
    session_prefix_histories,
)
from course_lib.log import DAY, EventLog
from course_lib.losses import (
    Joint,
    in_batch_softmax,
    joint,
    mixed_log_q,
    mixed_softmax,
    self_supervised,
)
from course_lib.state import Settings, State, Turn
from course_lib.towers import RowwiseAdagrad

Loss = Callable[..., Tensor]  # see in_batch_softmax and, with mixed negatives, mixed_softmax
Train = Callable[..., State]  # see train_all


@dataclass
class Examples:
    """n events as tensors: all that training sees. `examples[events]` are some of them.

    - `users`, `items`: features, n rows each. `log_q`: [n]. `ids`: [n] item indices.
    - `catalogue`: what steps with mixed negatives draw from. In such a step `items` and `log_q`
      have c rows; `own`: [n], `masked`: [n, c], see `losses.mixed_logits`.
    """

    users: Features
    items: Features
    log_q: Tensor
    ids: Tensor
    catalogue: Catalogue | None = None
    own: Tensor | None = None
    masked: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.users.values())))

    def __getitem__(self, events: Tensor) -> Examples:
        users, items = index_rows(self.users, events), index_rows(self.items, events)
        return Examples(users, items, self.log_q[events], self.ids[events])

    @staticmethod
    def concat(parts: list[Examples]) -> Examples:
        """All the events of several parts, one after the other."""
        return Examples(
            concat_features([part.users for part in parts]),
            concat_features([part.items for part in parts]),
            torch.cat([part.log_q for part in parts]),
            torch.cat([part.ids for part in parts]),
        )


@dataclass
class Catalogue:
    """All items of a day, which its steps draw negatives from, in the order of the log's rows.

    - `items`: features, k rows; `log_q`: [k]. `own`: [n] the row of each event's item.
    - `buyers`: [n] each event's user, a row of `bought`: [users, k], sparse, True for what the user
      has, the day's purchases too.
    """

    items: Features
    log_q: Tensor
    own: Tensor
    buyers: Tensor
    bought: Tensor


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: a few hundred rows are done before a second one wakes up."""
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
    day: pd.Timestamp | str,
    *,
    days: int = 1,
    shuffle: bool = True,
    loss: Loss | None = None,
    term: SelfSupervision | None = None,
    turn: Turn = "next",
    train: Train | None = None,
) -> State:
    """A new state after one epoch over all events of a day, shuffled, on all parameters.

    `state` stays as it was. Purchase counts and histories stand where each day begins, but for the
    `session_prefix_share` of the events, trained in the middle of their visit. With
    `Settings.negatives` or `mask_bought` the loss is that over mixed negatives, and a step's events
    are of one day. Source: the notes, "full update", "self-supervised learning"; Yang et al., 2020.

    - `days`: how many days, from `day` on. `shuffle=False`: from morning to night.
    - `loss`: called as `in_batch_softmax` is, which it replaces, or as `mixed_softmax`.
    - `term`: a self-supervised term; every step then minimises the joint loss, whose items are
      drawn from all that the vocabulary knows.
    - `turn`: "again" for one more epoch over a day that the state has learned, "skip" to leave out
      what came before the day. `train`: how the epoch is done, `train_all` unless said.

    Raises ValueError for an incremental state, for a day without events, one that has been learned,
    and one before which others have not been.
    """
    day = pd.Timestamp(day).normalize()
    if state.full is not None:
        raise ValueError(
            "this state comes from an incremental update; a full update starts from the last full "
            "state: state.full."
        )
    rows = state.next_rows(log, day, day + days * DAY, turn)
    if rows.start == rows.stop:
        raise ValueError(f"{day:%Y-%m-%d} has no events to learn from; leave the day out.")
    mornings = log.days[(log.days >= day) & (log.days < day + days * DAY)]
    parts = {morning: log.rows(morning, morning + DAY) for morning in mornings}
    live = replace(state, averaged=None)
    new = (train or train_all)(live, log, parts, shuffle=shuffle, loss=loss, term=term)
    if share := state.settings.average:
        new.averaged = (state.averaged or new.model).averaged(new.model, share)
    return new


def train_all(
    state: State,
    log: EventLog,
    parts: dict[pd.Timestamp, slice],
    *,
    shuffle: bool,
    loss: Loss | None = None,
    term: SelfSupervision | None = None,
) -> State:
    """A new state after one epoch over the event rows of `parts`, each with its time's features."""
    state, examples, generator = prepare(state, log, parts)
    catalogue = known_items(state, log) if term and len(state.features.items) > 2 else None
    tables = RowwiseAdagrad(state.model.tables(), state.settings.embedding_lr)
    for step in epoch(state, examples, shuffle, generator):
        if catalogue is None:
            training_step(state, tables, step, loss)
        else:
            views = term.views(catalogue, generator)
            joint_step(state, tables, step, views, term, loss)
    return state


def prepare(
    state: State, log: EventLog, parts: dict[pd.Timestamp, slice]
) -> tuple[State, list[Examples], torch.Generator]:
    """A copy of the state with rows for all that is new in `parts`; their events, a part at a time;
    and the source of chance that goes on from there.
    """
    state = copy.deepcopy(state)
    state.updates += 1
    generator = state.generator()
    for rows in parts.values():
        state.features.learn(log, rows)
        state.learned(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes, generator)
    examples = []
    mixed = bool(state.settings.negatives or state.settings.mask_bought)
    for time, rows in parts.items():
        state.features.fit_linear(log, time)
        examples.append(make_examples(state, log, rows, time, generator, mixed))
        state.features.counts.flush(time, len(state.features.items))
    return state, examples, generator


def epoch(
    state: State, days: list[Examples], shuffle: bool, generator: torch.Generator
) -> Iterator[Examples]:
    """Every event once, in steps over all days together or, with mixed negatives, over one each."""

    def order(n: int) -> Tensor:
        return torch.randperm(n, generator=generator) if shuffle else torch.arange(n)

    size = state.settings.batch_size
    if days[0].catalogue is None:
        data = with_defaults(state, Examples.concat(days), generator)
        yield from (data[events] for events in minibatches(order(len(data)), size))
        return
    steps = [(day, events) for day in days for events in minibatches(order(len(day)), size)]
    for place in order(len(steps)).tolist():
        yield with_defaults(state, mixed_step(*steps[place], state.settings, generator), generator)


def mixed_step(
    day: Examples, events: Tensor, settings: Settings, generator: torch.Generator
) -> Examples:
    """These events of a day, with m items drawn from its catalogue beside their own, or all of it,
    each item once, if m is as large.
    """
    catalogue, own = day.catalogue, day.catalogue.own[events]
    k, m, device = len(catalogue.log_q), settings.negatives, own.device
    if m >= k:
        columns, log_q = torch.arange(k, device=device), torch.zeros(k, device=device)
    else:
        drawn = torch.randint(k, (m,), generator=generator).to(device)  # a second copy does no harm
        columns = torch.cat([own, drawn])
        log_q = mixed_log_q(catalogue.log_q[columns], len(own), m, k)
        own = torch.arange(len(own), device=device)
    masked = columns[own][:, None] == columns
    if settings.mask_bought:
        bought = catalogue.bought.index_select(0, catalogue.buyers[events])
        masked |= bought.index_select(1, columns).to_dense()
    users, items = index_rows(day.users, events), index_rows(catalogue.items, columns)
    return Examples(users, items, log_q, day.ids[events], own=own, masked=masked)


def make_examples(
    state: State,
    log: EventLog,
    rows: slice,
    time: pd.Timestamp,
    generator: torch.Generator,
    mixed: bool = False,
) -> Examples:
    """The events of `rows` as tensors on the state's device, with features as they stand at `time`;
    counts the events once their features are made. `mixed`: with a catalogue to draw from.
    """
    features, device = state.features, state.settings.device
    own, items = pd.factorize(log.item_rows[rows])  # each once, in order of appearance
    buyers, users = pd.factorize(log.user_rows[rows])
    own, buyers = torch.from_numpy(own), torch.from_numpy(buyers)
    if mixed:  # sold or not: all that can be nominated, and what the events name that is newer
        items, own = np.arange(max(log.listed(time), items.max() + 1)), torch.from_numpy(items)[own]
    item_features = features.item_features(log, items, time)
    user_features = features.user_features(log, users, rows.start)
    features.count(log, rows, time)
    ids = item_features[features.items.id]
    log_q = features.log_q(ids, time)
    prefix = session_prefix_histories(user_features["history"], buyers, ids[own], generator)
    chosen = torch.rand(len(own), 1, generator=generator) < state.settings.session_prefix_share
    user_features = index_rows(user_features, buyers)
    user_features["history"] = torch.where(chosen, prefix, user_features["history"])
    catalogue = None
    if mixed:
        tensors = log_q, own, buyers, _bought(log, users, rows.stop, len(items))
        tensors = (values.to(device) for values in tensors)
        catalogue = Catalogue(state.to_device(item_features), *tensors)
    users, items = state.to_device(user_features), state.to_device(index_rows(item_features, own))
    return Examples(users, items, log_q[own].to(device), ids[own].to(device), catalogue)


def _bought(log: EventLog, users: np.ndarray, before: int, items: int) -> Tensor:
    """[users, items] sparse, True where the user has bought the item in event rows < `before`."""
    bought = [log.bought(user, before) for user in users]
    user = np.repeat(np.arange(len(users)), [len(rows) for rows in bought])
    places = np.stack([user, np.concatenate(bought)])
    places = places[:, places[1] < items]
    values, shape = np.ones(places.shape[1], bool), (len(users), items)
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=True).coalesce()


def with_defaults(state: State, data: Examples, generator: torch.Generator) -> Examples:
    """Some fields of some rows are replaced by their defaults, so that training meets those too."""
    settings = state.settings
    data.users = drop_fields(data.users, settings.field_dropout, generator)
    data.items = drop_fields(data.items, settings.field_dropout, generator)
    if share := settings.cold_start_dropout:
        data.items = as_new_items(data.items, state.features.items.id, share, generator)
    return data


def known_items(state: State, log: EventLog) -> Features:
    """[known] fields of every item that has an ID of its own, in order of ID from 1, on the state's
    device; no popularity features.
    """
    encoder = state.features.items
    return state.to_device(encoder.encode(log.items.loc[list(encoder.vocabularies[encoder.id])]))


def minibatches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Parts of nearly the same size, as near to `batch_size` as that allows."""
    return order.tensor_split(max(1, round(len(order) / batch_size)))


def training_step(
    state: State, tables: RowwiseAdagrad, examples: Examples, loss: Loss | None = None
) -> float:
    """One step of gradient descent on `loss`, in place; returns its value before the step."""
    users = state.model.user_vectors(examples.users)  # [n, d]
    items = state.model.item_vectors(examples.items)  # [n, d], or [c, d]
    value = main_loss(state, users, items, examples, loss)
    _descend(state, tables, value)
    return value.item()


def joint_step(
    state: State,
    tables: RowwiseAdagrad,
    examples: Examples,
    views: tuple[Features, Features],
    term: SelfSupervision,
    loss: Loss | None = None,
) -> Joint:
    """One step on the joint loss of n events and two views of m items, in place; returns it."""
    users = state.model.user_vectors(examples.users)  # [n, d]
    numbers = {name: examples.items[name] for name in NO_FIELDS if name in examples.items}
    m = len(next(iter(views[0].values())))
    unsold = {name: given.new_zeros(m, given.shape[1]) for name, given in numbers.items()}
    parts = examples.items, *(unsold | view for view in views)
    # [n, d] or [c, d], [m, d], [m, d]
    items, *views = vectors_together(state.model.item_vectors, *parts)
    main = main_loss(state, users, items, examples, loss)
    value = joint(main, self_supervised(*views, term.temperature), term.alpha)
    _descend(state, tables, value.total)
    return value._replace(total=value.total.detach())


def main_loss(
    state: State, users: Tensor, items: Tensor, examples: Examples, loss: Loss | None = None
) -> Tensor:
    """L_main of a step: `loss`, or the one that its negatives ask for."""
    if examples.masked is None:
        loss, negatives = loss or in_batch_softmax, (examples.ids,)
    else:
        loss, negatives = loss or mixed_softmax, (examples.own, examples.masked)
    return loss(users, items, examples.log_q, *negatives, state.settings.temperature)


def _descend(state: State, tables: RowwiseAdagrad, value: Tensor) -> None:
    state.optimiser.zero_grad()
    value.backward()
    tables.step()
    state.optimiser.step()
