"""Other towers, to find out what the self-supervised term owes to the course's own: each function
changes an untrained state in place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.full_update import known_items
from course_lib.log import EventLog
from course_lib.state import State


class _Tower(nn.Module):
    """The fields' embeddings, one after the other or summed, through a small network alone."""

    def __init__(self, fields: int, dim: int, hidden: int, concatenated: bool) -> None:
        super().__init__()
        inputs, self.concatenated = fields * dim if concatenated else dim, concatenated
        self.network = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, embeddings: list[Tensor], popularity: None) -> Tensor:
        x = torch.cat(embeddings, 1) if self.concatenated else torch.stack(embeddings).sum(0)
        return functional.normalize(self.network(x), dim=1)


class _WithoutID(nn.Module):
    """A tower that does not see the first of its fields."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, embeddings: list[Tensor], popularity: None) -> Tensor:
        return self.tower(embeddings[1:], popularity)


def no_shortcut(state: State, log: EventLog) -> None:
    """Towers without the linear map beside the network."""
    _replace(state, concatenated=False)


def concatenated(state: State, log: EventLog) -> None:
    """Towers that read the fields one beside the other, through the network alone."""
    _replace(state, concatenated=True)


def no_item_id(state: State, log: EventLog) -> None:
    """An item tower that does not see the ID; histories still do."""
    state.model.item_tower = _WithoutID(state.model.item_tower)


def id_from_fields(state: State, log: EventLog) -> None:
    """The ID's embedding starts as the sum of its item's other embeddings / √k, so that items with
    the same fields start from the same place, in histories too.
    """
    state.features.learn(log, slice(0, len(log)))
    state.model.grow(state.features.items.sizes, state.features.users.sizes, state.generator())
    fields, (ids, *tables) = known_items(state, log), state.model.item_tables
    with torch.no_grad():
        rows = [
            table(fields[name])
            for name, table in zip(state.model.item_fields[1:], tables, strict=True)
        ]
        ids.weight[1:] = torch.stack(rows).sum(0) / len(rows) ** 0.5


def _replace(state: State, concatenated: bool) -> None:
    model, settings = state.model, state.settings
    sizes = settings.dim, settings.hidden, concatenated
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model.item_tower = _Tower(len(model.item_fields), *sizes).to(settings.device)
        model.user_tower = _Tower(len(model.user_fields) + 1, *sizes).to(settings.device)
    state.optimiser = torch.optim.Adam(model.dense_parameters(), lr=settings.dense_lr, fused=True)
