"""The incremental update: an hour's events move the ID embeddings that they name, in a delta table;
all else is frozen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.features import (
    first_seen,
)
from course_lib.full_update import Batch, epoch, index_batch, make_batch, minibatches, one_thread
from course_lib.log import HOUR, EventLog
from course_lib.losses import in_batch_softmax
from course_lib.state import State
from course_lib.towers import EmbeddingTable, RowwiseAdagrad


class DeltaTable(EmbeddingTable):
    """A table seen through some rows of its own: those can be trained, all others are the base's
    and never change.

    What an incremental update publishes, and what the next full update throws away, is this: `ids`
    and `weight`. Making one and training it costs what it holds, whatever the base holds.

    - `base`: a full table. `ids`: [t] rows of the base or beyond its end, each once, rising;
      `weight`: [t, dim].
    """

    def __init__(self, base: EmbeddingTable, ids: Tensor, weight: Tensor, squares: Tensor) -> None:
        nn.Module.__init__(self)
        self.shared = [base]  # in a list: the base is no part of this module's parameters
        self.register_buffer("ids", ids)
        self.weight = nn.Parameter(weight)
        self.register_buffer("accumulator", squares)

    @property
    def base(self) -> EmbeddingTable:
        return self.shared[0]

    def rows(self, indices: Tensor) -> Tensor:
        own, place = self.find(indices)
        shared = functional.embedding(indices.masked_fill(own, 0), self.base.weight.detach())
        if not len(self.ids):
            return shared
        return torch.where(
            own[:, None], functional.embedding(place, self.weight, sparse=True), shared
        )

    def find(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """[n] which of the indices are rows of its own, and where."""
        if not len(self.ids):
            return torch.zeros_like(indices, dtype=torch.bool), torch.zeros_like(indices)
        place = torch.searchsorted(self.ids, indices).clamp(max=len(self.ids) - 1)
        return self.ids[place] == indices, place


def delta_table(table: EmbeddingTable, ids: Tensor) -> DeltaTable:
    """A delta table with rows for `ids` [n] as they are in `table` (itself a delta table or not),
    which is left as it is.

    A row beyond the table's end starts as a copy of the default's: that is where its ID has stood
    until now.
    """
    base, old = (
        (table.base, table.ids) if isinstance(table, DeltaTable) else (table, ids.new_zeros(0))
    )
    ids = torch.cat([old, ids]).unique()
    rows = ids.masked_fill(ids >= len(base), 0)
    weight, squares = base.weight.detach()[rows], base.accumulator[rows]
    if len(old):
        place = torch.searchsorted(ids, old)
        weight[place], squares[place] = table.weight.detach(), table.accumulator
    return DeltaTable(base, ids, weight, squares)


@one_thread()
def unfrozen_update(
    state: State, log: EventLog, hour: pd.Timestamp, end: pd.Timestamp | None = None
) -> State:
    """What `incremental_update` would be with nothing frozen: an hour's events in order of time,
    all parameters.

    Here to be compared with; every item's vector changes, so that all of them would have to be
    published every hour.
    """
    hour = pd.Timestamp(hour)
    rows = log.rows(hour, hour + HOUR if end is None else end)
    new = epoch(replace(state, full=None), log, {hour: rows}, False, in_batch_softmax)
    new.full = state.full or state
    return new


class Touched(NamedTuple):
    """Whose ID embeddings an incremental update moved, as codes of the log."""

    items: np.ndarray
    users: np.ndarray


@one_thread()
def incremental_update(
    state: State,
    log: EventLog,
    hour: pd.Timestamp,
    end: pd.Timestamp | None = None,
    rate: float | None = None,
) -> tuple[State, Touched]:
    """Gradient descent on the embeddings of the user IDs and item IDs that an hour's events name;
    all else is frozen.

    Returns a new state and whose embeddings moved; `state`, full or incremental, stays as it was.
    The new state shares every frozen parameter with the last full state, so that an update costs
    what its events touch, whatever the catalogue holds. Users and items met for the first time get
    IDs; other new values wait for the full update. The events come in order of time, as in a
    stream, and are counted. An hour without events touches nothing. Source: the notes, "incremental
    update".

    - `end`: of the events' time; an hour after `hour` unless said. `rate`: the learning rate,
      `Settings.embedding_lr` unless said.
    """
    hour = pd.Timestamp(hour)
    rows = log.rows(hour, hour + HOUR if end is None else end)
    touched = Touched(first_seen(log.item_rows[rows]), first_seen(log.user_rows[rows]))
    if rows.start == rows.stop:
        return state, touched
    features = state.features.fork()
    features.learn(log, rows, ids_only=True)
    new = replace(state, features=features, updates=state.updates + 1, full=state.full or state)
    data = make_batch(new, log, rows, hour, new.generator())
    if len(features.counts.added) > 100:  # nobody has made a full update for days
        features.counts.flush(hour, len(features.items))
    named = [data.items[features.items.id].unique(), data.users[features.users.id].unique()]
    tables = [state.model.item_tables[0], state.model.user_tables[0]]
    tables = [delta_table(table, ids) for table, ids in zip(tables, named, strict=True)]
    new.model = state.model.with_ids(*tables)
    optimiser = RowwiseAdagrad(tables, state.settings.embedding_lr if rate is None else rate)
    for events in minibatches(torch.arange(len(data.ids)), state.settings.batch_size):
        id_step(new, tables, named, optimiser, index_batch(data, events))
    return new, touched


def id_step(
    state: State,
    tables: list[EmbeddingTable],
    named: list[torch.Tensor],
    optimiser: RowwiseAdagrad,
    batch: Batch,
) -> float:
    """One step of gradient descent on the rows `named` [t] of each of the two delta tables
    `tables`, in place; nothing else moves.

    Histories read item IDs too: a row that only a history names is left alone, so that what moved
    is what the hour names.
    """
    users, items = (
        state.model.user_vectors(batch.users),
        state.model.item_vectors(batch.items),
    )  # [n, d], [n, d]
    value = in_batch_softmax(users, items, batch.log_q, batch.ids, state.settings.temperature)
    gradients = torch.autograd.grad(value, [table.weight for table in tables])
    for table, ids, gradient in zip(tables, named, gradients, strict=True):
        rows, values = gradient._indices()[0], gradient._values()
        keep = torch.isin(table.ids[rows], ids)
        table.weight.grad = torch.sparse_coo_tensor(
            rows[keep][None], values[keep], gradient.shape, check_invariants=True
        )
    optimiser.step()
    return value.item()
