"""The incremental update: an hour's events move the ID embeddings that they name, in a delta table;
all else is frozen.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.full_update import Examples, make_examples, minibatches, one_thread, train_all
from course_lib.log import HOUR, EventLog
from course_lib.losses import in_batch_softmax
from course_lib.state import Settings, State, Turn
from course_lib.towers import EmbeddingTable, RowwiseAdagrad, pool


class DeltaTable(nn.Module):
    """A table seen through some rows of its own, which can be trained; all others are the base's
    and never change. It costs what it holds, whatever the base holds.

    - `base`: the full table, which is no part of this module's parameters. `ids`: [t] rows of it,
      or beyond its end, each once, rising, one at least. `weight`: [t, dim]; `accumulator`: [t].
    """

    def __init__(
        self, base: EmbeddingTable, ids: Tensor, weight: Tensor, accumulator: Tensor
    ) -> None:
        super().__init__()
        object.__setattr__(self, "base", base)  # a module that is not to be registered
        self.register_buffer("ids", ids)
        self.weight = nn.Parameter(weight)
        self.register_buffer("accumulator", accumulator)

    def forward(self, indices: Tensor) -> Tensor:
        """As `EmbeddingTable.forward`."""
        return pool(self.rows, indices)

    def rows(self, indices: Tensor) -> Tensor:
        """[n] → [n, dim]"""
        own, place = self.find(indices)
        shared = functional.embedding(indices.masked_fill(own, 0), self.base.weight.detach())
        mine = functional.embedding(place, self.weight, sparse=True)
        return torch.where(own[:, None], mine, shared)

    def find(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """[n] which of the indices are rows of its own, and where."""
        place = torch.searchsorted(self.ids, indices).clamp(max=len(self.ids) - 1)
        return self.ids[place] == indices, place


def delta_table(table: EmbeddingTable | DeltaTable, ids: Tensor) -> DeltaTable:
    """A delta table with rows for `ids` [n] as they are in `table`, which is left as it is; a row
    beyond its end starts as a copy of the default's, where its ID has stood until now.
    """
    earlier = table if isinstance(table, DeltaTable) else None
    base, old = (earlier.base, earlier.ids) if earlier else (table, ids.new_zeros(0))
    ids = torch.cat([old, ids]).unique()
    rows = ids.masked_fill(ids >= len(base), 0)
    weight, accumulator = base.weight.detach()[rows], base.accumulator[rows]
    if earlier:
        place = torch.searchsorted(ids, old)
        weight[place], accumulator[place] = earlier.weight.detach(), earlier.accumulator
    return DeltaTable(base, ids, weight, accumulator)


class Touched(NamedTuple):
    """Whose ID embeddings an incremental update moved, as rows of the log's tables."""

    items: np.ndarray
    users: np.ndarray


@one_thread()
def incremental_update(
    state: State,
    log: EventLog,
    hour: pd.Timestamp | str,
    end: pd.Timestamp | None = None,
    rate: float | None = None,
    turn: Turn = "next",
) -> tuple[State, Touched]:
    """Gradient descent on the embeddings of the user IDs and item IDs that an hour's events name;
    all else is frozen.

    Returns a new state and whose embeddings moved; `state`, full or incremental, stays as it was.
    What moves are the rows that are served, those of the average where there is one; the new state
    shares all else with the last full state, so that an update costs what its events touch. The
    loss is the in-batch one whatever `Settings` says: the row of a drawn item is frozen, and masks
    would leave an hour's only user without negatives. Users and items met for the first time get
    IDs; other new values wait for the full update. Source: the notes, "incremental update".

    - `end`: of the events' time; an hour after `hour` unless said. `rate`: the learning rate,
      `Settings.embedding_lr` unless said. `turn`: as for `full_update`.

    Raises ValueError for events that have been learned, or before which others have not been.
    """
    hour = pd.Timestamp(hour)
    rows = state.next_rows(log, hour, hour + HOUR if end is None else end, turn)
    touched = Touched(pd.unique(log.item_rows[rows]), pd.unique(log.user_rows[rows]))
    if rows.start == rows.stop:
        return state, touched
    features = state.features.fork()
    features.learn(log, rows, ids_only=True)
    full, served = state.full or state, state.serving
    new = replace(state, features=features, updates=state.updates + 1, full=full, averaged=None)
    new.learned(log, rows)
    data = make_examples(new, log, rows, hour, new.generator())
    if len(features.counts.added) > 100:  # nobody has made a full update for days
        features.counts.flush(hour, len(features.items))
    named = [data.items[features.items.id].unique(), data.users[features.users.id].unique()]
    tables = [served.item_tables[0], served.user_tables[0]]
    tables = [delta_table(table, ids) for table, ids in zip(tables, named, strict=True)]
    new.model = served.with_ids(*tables)
    optimiser = RowwiseAdagrad(tables, state.settings.embedding_lr if rate is None else rate)
    for events in minibatches(torch.arange(len(data)), state.settings.batch_size):
        id_step(new, named, optimiser, data[events])
    return new, touched


def id_step(
    state: State, named: list[Tensor], optimiser: RowwiseAdagrad, examples: Examples
) -> float:
    """One step of gradient descent on the rows `named` [t] of the optimiser's two delta tables, in
    place; nothing else moves, not even a row that only a history names.
    """
    users = state.model.user_vectors(examples.users)  # [n, d]
    items = state.model.item_vectors(examples.items)  # [n, d]
    temperature = state.settings.temperature
    value = in_batch_softmax(users, items, examples.log_q, examples.ids, temperature)
    gradients = torch.autograd.grad(value, [table.weight for table in optimiser.tables])
    for table, ids, gradient in zip(optimiser.tables, named, gradients, strict=True):
        rows, values = gradient._indices()[0], gradient._values()
        keep = torch.isin(table.ids[rows], ids)
        table.weight.grad = torch.sparse_coo_tensor(
            rows[keep][None], values[keep], gradient.shape, check_invariants=True
        )
    optimiser.step()
    return value.item()


@one_thread()
def unfrozen_update(
    state: State,
    log: EventLog,
    hour: pd.Timestamp | str,
    end: pd.Timestamp | None = None,
    rate: float | None = None,
) -> State:
    """What `incremental_update`, to be compared with it, would be with nothing frozen: every item's
    vector changes. `rate`: the embeddings' learning rate, which `dense_lr` keeps its proportion to.
    Raises ValueError for a state with delta tables too.
    """
    if isinstance(state.model.item_tables[0], DeltaTable):
        raise ValueError(
            "this state has delta tables, in which all else is frozen; start from its full state: "
            "state.full."
        )
    hour = pd.Timestamp(hour)
    rows = state.next_rows(log, hour, hour + HOUR if end is None else end)
    start, settings = replace(state, full=None, averaged=None), state.settings
    if state.averaged is not None or rate is not None:
        start = copy.deepcopy(start)
    if state.averaged is not None:
        start.model.load_state_dict(state.averaged.state_dict())
    if rate is not None:
        dense_lr = settings.dense_lr * rate / settings.embedding_lr
        _set_rates(start, replace(settings, embedding_lr=rate, dense_lr=dense_lr))
    new = train_all(start, log, {hour: rows}, shuffle=False)
    _set_rates(new, settings)
    new.full = state.full or state
    return new


def _set_rates(state: State, settings: Settings) -> None:
    state.settings = settings
    for group in state.optimiser.param_groups:
        group["lr"] = settings.dense_lr
