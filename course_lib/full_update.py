"""The full update: a day's events become tensors once, and are learned in one shuffled epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_lib.augment import SelfSupervision, vectors_together
from course_lib.features import (
    Features,
    as_new_items,
    concat_features,
    drop_fields,
    index_rows,
    session_prefix_histories,
)
from course_lib.log import DAY, EventLog
from course_lib.losses import Joint, in_batch_softmax, joint, self_supervised
from course_lib.state import State, Turn
from course_lib.towers import RowwiseAdagrad

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]


@dataclass
class Examples:
    """n events as tensors: all that training sees. `examples[events]` are some of them.

    - `users`, `items`: features, n rows each. `log_q`: [n]. `ids`: [n] item indices.
    """

    users: Features
    items: Features
    log_q: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.ids)

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
    loss: Loss = in_batch_softmax,
    term: SelfSupervision | None = None,
    turn: Turn = "next",
) -> State:
    """A new state after one epoch over all events of a day, shuffled, on all parameters.

    `state` stays as it was. New items and users get rows first. Purchase counts and histories stand
    where each day begins, but for the `session_prefix_share` of the events that are trained in the
    middle of their visit. Source: the notes, "full update", "self-supervised learning".

    - `days`: how many days, from `day` on. `shuffle=False`: from morning to night.
    - `term`: a self-supervised term; every step then minimises the joint loss, whose items are
      drawn from all that the vocabulary knows.
    - `turn`: "again" for one more epoch over a day that the state has learned, "skip" to leave out
      what came before the day.

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
    return train_all(state, log, parts, shuffle=shuffle, loss=loss, term=term)


def train_all(
    state: State,
    log: EventLog,
    parts: dict[pd.Timestamp, slice],
    *,
    shuffle: bool,
    loss: Loss = in_batch_softmax,
    term: SelfSupervision | None = None,
) -> State:
    """A new state after one epoch on all parameters over the event rows of `parts`, each with
    features as they stand at its time.
    """
    state = copy.deepcopy(state)
    state.updates += 1
    generator = state.generator()
    for rows in parts.values():
        state.features.learn(log, rows)
        state.learned(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes, generator)
    examples = []
    for time, rows in parts.items():
        examples.append(make_examples(state, log, rows, time, generator))
        state.features.counts.flush(time, len(state.features.items))
    data = with_defaults(state, Examples.concat(examples), generator)
    catalogue = known_items(state, log) if term and len(state.features.items) > 2 else None
    order = torch.randperm(len(data), generator=generator) if shuffle else torch.arange(len(data))
    tables = RowwiseAdagrad(state.model.tables(), state.settings.embedding_lr)
    for events in minibatches(order, state.settings.batch_size):
        if catalogue is None:
            training_step(state, tables, data[events], loss)
        else:
            views = term.views(catalogue, generator)
            joint_step(state, tables, data[events], views, term, loss)
    return state


def make_examples(
    state: State, log: EventLog, rows: slice, time: pd.Timestamp, generator: torch.Generator
) -> Examples:
    """The events of `rows` as tensors on the state's device, with features as they stand at `time`;
    counts the events once their features are made.
    """
    (items, item_rows), (users, user_rows) = (
        _distinct(numbers[rows]) for numbers in (log.item_rows, log.user_rows)
    )
    item_features = state.features.item_features(log, items, time)
    user_features = state.features.user_features(log, users, rows.start)
    state.features.count(log, rows, time)
    ids = item_features[state.features.items.id]
    log_q = state.features.log_q(ids, time)
    users, items = index_rows(user_features, user_rows), index_rows(item_features, item_rows)
    ids = ids[item_rows]
    prefix = session_prefix_histories(user_features["history"], user_rows, ids, generator)
    chosen = torch.rand(len(ids), 1, generator=generator) < state.settings.session_prefix_share
    users["history"] = torch.where(chosen, prefix, users["history"])
    log_q, ids = log_q[item_rows].to(state.settings.device), ids.to(state.settings.device)
    return Examples(state.to_device(users), state.to_device(items), log_q, ids)


def _distinct(numbers: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """Each number once, in order of appearance; and [n] where each stands there."""
    codes, distinct = pd.factorize(numbers)
    return distinct, torch.from_numpy(codes)


def with_defaults(state: State, data: Examples, generator: torch.Generator) -> Examples:
    """Some fields of some rows are replaced by their defaults, so that training meets those too."""
    settings, features = state.settings, state.features
    data.users = drop_fields(data.users, settings.field_dropout, generator)
    data.items = drop_fields(data.items, settings.field_dropout, generator)
    if settings.cold_start_dropout:
        share = settings.cold_start_dropout
        data.items = as_new_items(data.items, features.items.id, share, generator)
    return data


def known_items(state: State, log: EventLog) -> Features:
    """[known] fields of every item that has an ID of its own, in order of ID from 1, on the state's
    device; no popularity features.
    """
    vocabulary = state.features.items.vocabularies[state.features.items.id]
    return state.to_device(state.features.items.encode(log.items.loc[list(vocabulary)]))


def minibatches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Parts of nearly the same size, as near to `batch_size` as that allows."""
    return order.tensor_split(max(1, round(len(order) / batch_size)))


def training_step(
    state: State, tables: RowwiseAdagrad, examples: Examples, loss: Loss = in_batch_softmax
) -> float:
    """One step of gradient descent on `loss`, in place; returns its value before the step."""
    users = state.model.user_vectors(examples.users)  # [n, d]
    items = state.model.item_vectors(examples.items)  # [n, d]
    value = loss(users, items, examples.log_q, examples.ids, state.settings.temperature)
    _descend(state, tables, value)
    return value.item()


def joint_step(
    state: State,
    tables: RowwiseAdagrad,
    examples: Examples,
    views: tuple[Features, Features],
    term: SelfSupervision,
    loss: Loss = in_batch_softmax,
) -> Joint:
    """One step on the joint loss of n events and two views of m items, in place; returns the loss
    and its parts.
    """
    users = state.model.user_vectors(examples.users)  # [n, d]
    counts = examples.items.get("popularity")
    if counts is not None and "popularity" not in views[0]:  # as of items never sold
        views = tuple(
            view | {"popularity": counts.new_zeros(len(next(iter(view.values()))), counts.shape[1])}
            for view in views
        )
    items, *views = vectors_together(
        state.model.item_vectors, examples.items, *views
    )  # [n, d], [m, d], [m, d]
    main = loss(users, items, examples.log_q, examples.ids, state.settings.temperature)
    value = joint(main, self_supervised(*views, term.temperature), term.alpha)
    _descend(state, tables, value.total)
    return value._replace(total=value.total.detach())


def _descend(state: State, tables: RowwiseAdagrad, value: Tensor) -> None:
    state.optimiser.zero_grad()
    value.backward()
    tables.step()
    state.optimiser.step()
