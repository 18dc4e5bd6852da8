"""The full update: a day's events, shuffled, one epoch, all parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import torch

from course_lib.augment import SelfSupervision, vectors_together
from course_lib.features import (
    Features,
    as_new_items,
    concat_features,
    drop_fields,
    first_seen,
    index_rows,
    session_prefix_histories,
)
from course_lib.log import DAY, EventLog
from course_lib.losses import Joint, in_batch_softmax, joint, self_supervised
from course_lib.state import State
from course_lib.towers import RowwiseAdagrad

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


@dataclass
class Batch:
    """n events as the losses want them."""

    users: Features  # [n]
    items: Features  # [n]
    log_q: torch.Tensor  # [n]
    ids: torch.Tensor  # [n] item indices


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors of a few hundred rows are handled sooner than a second thread wakes up (with
    OMP_WAIT_POLICY=PASSIVE).
    """
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
    """One epoch over all events of a day (or of several), shuffled, all parameters; returns a new
    state, leaves `state` as it was.

    New items and users get rows first. Purchase counts stand where each day begins, and so do the
    histories, but for the `session_prefix_share` of the events that are trained in the middle of
    their visit (`session_prefix_histories`). Without `shuffle` the events come from morning to
    night. With a self-supervised `term` every step minimises the joint loss; its items are drawn
    from all that the vocabulary knows. Raises ValueError if there are no events, and for an
    incremental state: a full update starts from the last full one. Source: the notes, "full
    update", "self-supervised learning".
    """
    day = pd.Timestamp(day).normalize()
    if state.full is not None:
        raise ValueError(
            "this state comes from an incremental update; a full update starts from the last full state: state.full."
        )
    rows = log.rows(day, day + days * DAY)
    if rows.start == rows.stop:
        raise ValueError(
            f"{day:%Y-%m-%d} has no events, so there is nothing to learn; leave the day out."
        )
    mornings = log.days[(log.days >= day) & (log.days < day + days * DAY)]
    return epoch(
        state,
        log,
        {morning: log.rows(morning, morning + DAY) for morning in mornings},
        shuffle,
        loss,
        term,
    )


def epoch(
    state: State,
    log: EventLog,
    parts: dict[pd.Timestamp, slice],
    shuffle: bool,
    loss: Loss,
    term: SelfSupervision | None = None,
) -> State:
    """A new state after one epoch over event rows, each part with features as they stand at its
    time.
    """
    state = copy.deepcopy(state)
    state.updates += 1
    generator, batches = state.generator(), []
    for rows in parts.values():
        state.features.learn(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes, generator)
    for time, rows in parts.items():
        batches.append(make_batch(state, log, rows, time, generator))
        state.features.counts.flush(time, len(state.features.items))
    data = concat_batches(batches)
    data.users = drop_fields(data.users, state.settings.field_dropout, generator)
    data.items = drop_fields(data.items, state.settings.field_dropout, generator)
    if state.settings.cold_start_dropout:
        data.items = as_new_items(
            data.items, state.features.items.id, state.settings.cold_start_dropout, generator
        )
    catalogue = known_items(state, log) if term and len(state.features.items) > 2 else None
    order = (
        torch.randperm(len(data.ids), generator=generator)
        if shuffle
        else torch.arange(len(data.ids))
    )
    tables = RowwiseAdagrad(state.model.tables(), state.settings.embedding_lr)
    for events in minibatches(order, state.settings.batch_size):
        if catalogue is None:
            training_step(state, tables, index_batch(data, events), loss)
        else:
            joint_step(
                state,
                tables,
                index_batch(data, events),
                term.views(catalogue, generator),
                term,
                loss,
            )
    return state


def known_items(state: State, log: EventLog) -> Features:
    """[known] fields of every item that has an ID of its own, in order of ID from 1, on the state's
    device; no statistics.
    """
    vocabulary = state.features.items.vocabularies[state.features.items.id]
    return state.to_device(state.features.items.encode(log.items.loc[list(vocabulary)]))


def minibatches(order: torch.Tensor, batch_size: int) -> tuple[torch.Tensor, ...]:
    """Parts of nearly the same size, as near to `batch_size` as that allows."""
    return order.tensor_split(max(1, round(len(order) / batch_size)))


def make_batch(
    state: State, log: EventLog, rows: slice, time: pd.Timestamp, generator: torch.Generator
) -> Batch:
    """All the events of `rows` as one batch on the state's device; counts the events, once their
    features are made.
    """
    items, users = first_seen(log.item_rows[rows]), first_seen(log.user_rows[rows])
    item_features = state.features.item_features(log, items, time)
    user_features = state.features.user_features(log, users, rows.start)
    state.features.count(log, rows, time)
    item_rows = torch.from_numpy(pd.Index(items).get_indexer(log.item_rows[rows]))
    user_rows = torch.from_numpy(pd.Index(users).get_indexer(log.user_rows[rows]))
    ids = item_features[state.features.items.id]
    log_q = state.features.log_q(ids, time)
    batch = Batch(
        index_rows(user_features, user_rows),
        index_rows(item_features, item_rows),
        log_q[item_rows],
        ids[item_rows],
    )
    grown = session_prefix_histories(user_features["history"], user_rows, batch.ids, generator)
    visit = torch.rand(len(grown), 1, generator=generator) < state.settings.session_prefix_share
    batch.users["history"] = torch.where(visit, grown, batch.users["history"])
    return Batch(
        state.to_device(batch.users),
        state.to_device(batch.items),
        *(t.to(state.settings.device) for t in (batch.log_q, batch.ids)),
    )


def concat_batches(batches: list[Batch]) -> Batch:
    """All the events of several batches, one after the other."""
    users, items = (
        concat_features([batch.users for batch in batches]),
        concat_features([batch.items for batch in batches]),
    )
    return Batch(
        users,
        items,
        torch.cat([batch.log_q for batch in batches]),
        torch.cat([batch.ids for batch in batches]),
    )


def index_batch(batch: Batch, events: torch.Tensor) -> Batch:
    """The given events of a batch."""
    return Batch(
        index_rows(batch.users, events),
        index_rows(batch.items, events),
        batch.log_q[events],
        batch.ids[events],
    )


def training_step(
    state: State, tables: RowwiseAdagrad, batch: Batch, loss: Loss = in_batch_softmax
) -> float:
    """One step of gradient descent on `loss`, in place; returns its value before the step."""
    users, items = (
        state.model.user_vectors(batch.users),
        state.model.item_vectors(batch.items),
    )  # [n, d], [n, d]
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
    """One step on the joint loss of n events and two views of m items, in place; returns the loss
    and its parts.
    """
    users = state.model.user_vectors(batch.users)  # [n, d]
    if "popularity" in batch.items:
        views = tuple(_without_counts(view, batch.items["popularity"]) for view in views)
    items, *views = vectors_together(
        state.model.item_vectors, batch.items, *views
    )  # [n, d], [m, d], [m, d]
    main = loss(users, items, batch.log_q, batch.ids, state.settings.temperature)
    value = joint(main, self_supervised(*views, term.temperature), term.alpha)
    _descend(state, tables, value.total)
    return value._replace(total=value.total.detach())


def _without_counts(view: Features, like: torch.Tensor) -> Features:
    if "popularity" in view:
        return view
    return view | {"popularity": like.new_zeros(len(next(iter(view.values()))), like.shape[1])}


def _descend(state: State, tables: RowwiseAdagrad, value: torch.Tensor) -> None:
    state.optimiser.zero_grad()
    value.backward()
    tables.step()
    state.optimiser.step()
