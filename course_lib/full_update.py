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
from course_lib.losses import (
    Joint,
    in_batch_softmax,
    joint,
    mixed_log_q,
    mixed_softmax,
    self_supervised,
)
from course_lib.state import State, Turn
from course_lib.towers import RowwiseAdagrad

Loss = Callable[..., Tensor]  # see in_batch_softmax and, with mixed negatives, mixed_softmax


@dataclass
class Examples:
    """n events as tensors: all that training sees. `examples[events]` are some of them.

    - `users`, `items`: features, n rows each. `log_q`: [n]. `ids`: [n] item indices.
    - `columns`: what steps with mixed negatives choose theirs from. In such a step `items` and
      `log_q` have c rows, one for each column; `own`: [n], `masked`: [n, c], see `mixed_logits`.
    """

    users: Features
    items: Features
    log_q: Tensor
    ids: Tensor
    columns: Columns | None = None
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
class Columns:
    """The k different items that a day's n events, and its steps' uniform draws, name.

    - `known`: how many items there were to draw from. `items`: features, k rows; `log_q`: [k].
    - `own`: [n] the place, 0 … k − 1, of each event's item. `drawn`: [s, m] places of what each of
      s steps drew; [1, known] if every step takes all items.
    - `buyers`: [n] each event's user, a row of `bought`: [users, k], sparse, True for what the user
      has, the day's purchases too.
    """

    known: int
    items: Features
    log_q: Tensor
    own: Tensor
    drawn: Tensor
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
) -> State:
    """A new state after one epoch over all events of a day, shuffled, on all parameters.

    `state` stays as it was. New items and users get rows first. Purchase counts and histories stand
    where each day begins, but for the `session_prefix_share` of the events that are trained in the
    middle of their visit. With `Settings.negatives` or `mask_bought` the loss is that over mixed
    negatives, and a step's events are of one day. Source: the notes, "full update",
    "self-supervised learning"; Yang et al., 2020.

    - `days`: how many days, from `day` on. `shuffle=False`: from morning to night.
    - `loss`: called as `in_batch_softmax` is, which it replaces, or as `mixed_softmax`.
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
    new = train_all(state, log, parts, shuffle=shuffle, loss=loss, term=term)
    if share := state.settings.average:
        new.averaged = new.serving.averaged(new.model, share)
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
    mixed = bool(state.settings.negatives or state.settings.mask_bought)
    for time, rows in parts.items():
        examples.append(make_examples(state, log, rows, time, generator, mixed))
        state.features.counts.flush(time, len(state.features.items))
    catalogue = known_items(state, log) if term and len(state.features.items) > 2 else None
    tables = RowwiseAdagrad(state.model.tables(), state.settings.embedding_lr)
    for step in epoch(state, examples, shuffle, generator):
        if catalogue is None:
            training_step(state, tables, step, loss)
        else:
            views = term.views(catalogue, generator)
            joint_step(state, tables, step, views, term, loss)
    return state


def epoch(
    state: State, days: list[Examples], shuffle: bool, generator: torch.Generator
) -> Iterator[Examples]:
    """Every event once, in steps: over the events of all days together, or, with mixed negatives,
    each over those of one day, whose items it draws.
    """

    def order(n: int) -> Tensor:
        return torch.randperm(n, generator=generator) if shuffle else torch.arange(n)

    settings = state.settings
    if days[0].columns is None:
        data = with_defaults(state, Examples.concat(days), generator)
        for events in minibatches(order(len(data)), settings.batch_size):
            yield data[events]
        return
    steps = []
    for day in days:
        parts = minibatches(order(len(day)), settings.batch_size)
        steps += [(day, number, events) for number, events in enumerate(parts)]
    for place in order(len(steps)).tolist():
        step = mixed_step(*steps[place], settings.mask_bought)
        yield with_defaults(state, step, generator)


def mixed_step(day: Examples, number: int, events: Tensor, mask_bought: bool) -> Examples:
    """These events of the day, as its step of that number: their columns are their own items and
    what the step drew, or all items.
    """
    columns, own = day.columns, day.columns.own[events]
    drawn = columns.drawn[number % len(columns.drawn)]
    if len(drawn) == columns.known:
        places, log_q = drawn.sort().values, torch.zeros_like(columns.log_q)
    else:
        places = torch.cat([own, drawn])
        log_q = mixed_log_q(columns.log_q[places], len(own), len(drawn), columns.known)
        own = torch.arange(len(own), device=own.device)
    masked = places[own][:, None] == places
    if mask_bought:
        bought = columns.bought.index_select(0, columns.buyers[events])
        masked |= bought.index_select(1, places).to_dense()
    users, items = index_rows(day.users, events), index_rows(columns.items, places)
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
    counts the events once their features are made. `mixed`: with the columns of mixed negatives.
    """
    features, events = state.features, log.item_rows[rows]
    known, drawn = draw_negatives(state, log, rows, time, generator) if mixed else (0, events[:0])
    items, places = _distinct(np.append(events, drawn))
    users, buyers = _distinct(log.user_rows[rows])
    item_features = features.item_features(log, items, time)
    user_features = features.user_features(log, users, rows.start)
    features.count(log, rows, time)
    ids, own = item_features[features.items.id], places[: len(events)]
    log_q = features.log_q(ids, time)
    prefix = session_prefix_histories(user_features["history"], buyers, ids[own], generator)
    chosen = torch.rand(len(own), 1, generator=generator) < state.settings.session_prefix_share
    user_features = index_rows(user_features, buyers)
    user_features["history"] = torch.where(chosen, prefix, user_features["history"])
    device, item_features = state.settings.device, state.to_device(item_features)
    log_q, ids, own = (values.to(device) for values in (log_q, ids, own))
    data = Examples(
        state.to_device(user_features), index_rows(item_features, own), log_q[own], ids[own]
    )
    if mixed:
        more = places[len(own) :].view(drawn.shape), buyers, _bought(log, users, rows.stop, items)
        more = (values.to(device) for values in more)
        data.columns = Columns(known, item_features, log_q, own, *more)
    return data


def draw_negatives(
    state: State, log: EventLog, rows: slice, time: pd.Timestamp, generator: torch.Generator
) -> tuple[int, np.ndarray]:
    """How many items there are to draw from, and what each step over these events draws of them:
    [s, m] rows of the log, each equally likely; or [1, known], all of them, if m is as large.

    They are those listed at `time`, sold or not, as these can be nominated, and those up to the
    last one that the events name, listed since.
    """
    known, m = max(log.listed(time), log.item_rows[rows].max() + 1), state.settings.negatives
    if m >= known:
        return known, np.arange(known)[None]
    steps = step_count(rows.stop - rows.start, state.settings.batch_size)
    return known, torch.randint(known, (steps, m), generator=generator).numpy()


def _bought(log: EventLog, users: np.ndarray, before: int, items: np.ndarray) -> Tensor:
    """[users, items] sparse, True where the user has bought the item in event rows < `before`."""
    bought = [log.bought(user, before) for user in users]
    user = np.repeat(np.arange(len(users)), [len(rows) for rows in bought])
    item = pd.Index(items).get_indexer(np.concatenate(bought))
    places = np.stack([user, item])[:, item >= 0]
    shape, values = (len(users), len(items)), np.ones(places.shape[1], bool)
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=True).coalesce()


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
    return order.tensor_split(step_count(len(order), batch_size))


def step_count(n: int, batch_size: int) -> int:
    """How many minibatches n events make."""
    return max(1, round(n / batch_size))


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
    )  # [n, d] or [c, d], [m, d], [m, d]
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
