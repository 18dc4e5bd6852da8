"""The two towers: networks that turn features into unit vectors, so that a score is a cosine."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.features import Features


def pool(look_up: Callable[[Tensor], Tensor], indices: Tensor) -> Tensor:
    """[n] → the rows, [n, dim]; [n, L] → each bag's sum over its k filled places / √k, or the
    default row.

    By √k, since k rows that point anywhere sum to √k times the length of one. `look_up`: [rows] →
    [rows, dim].
    """
    if indices.dim() == 1:
        return look_up(indices)
    filled = indices > 0  # [n, L]
    filled[:, 0] |= ~filled.any(1)  # an empty bag is the default: one place, index 0
    k = filled.sum(1)  # [n]
    named, places = indices[filled].unique(return_inverse=True)  # bags share rows: read each once
    rows = look_up(named)  # [rows named, dim]
    return functional.embedding_bag(places, rows, k.cumsum(0) - k, mode="sum") / k.sqrt()[:, None]


class EmbeddingTable(nn.Module):
    """The embedding table of one field: a row per value; row 0, the field's default, is trained
    like any other.

    Gradients are sparse: a step reads and writes the rows that its batch names. `accumulator`,
    [rows], is the state of `RowwiseAdagrad`, and lives here so that it grows with the table.
    """

    def __init__(self, dim: int, scale: float = 0.05) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(1, dim) * scale)  # [rows, dim]
        self.register_buffer("accumulator", torch.zeros(1))  # [rows]

    def __len__(self) -> int:
        return len(self.weight)

    def grow(self, rows: int, generator: torch.Generator | None = None) -> None:
        """Append random rows until there are `rows`; those that are there stay as they are."""
        old = self.weight.data
        missing = max(rows - len(old), 0)
        new = torch.randn(missing, old.shape[1], generator=generator).to(old) * self.scale
        self.weight = nn.Parameter(torch.cat([old, new]))
        self.accumulator = torch.cat([self.accumulator, self.accumulator.new_zeros(missing)])

    def forward(self, indices: Tensor) -> Tensor:
        """[n] or bags [n, L] of indices → [n, dim], see `pool`."""
        return pool(self.rows, indices)

    def rows(self, indices: Tensor) -> Tensor:
        """[n] → [n, dim]"""
        return functional.embedding(indices, self.weight, sparse=True)


class Tower(nn.Module):
    """Sum of the fields' embeddings, a linear map beside a small network, unit length.

    By the shortcut a field's word arrives in the vector while the network knows nothing yet.
    """

    def __init__(self, popularity: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.popularity = nn.Linear(popularity, dim) if popularity else None
        self.shortcut = nn.Linear(dim, dim)
        self.network = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, embeddings: list[Tensor], popularity: Tensor | None) -> Tensor:
        x = torch.stack(embeddings).sum(0)  # fields × [n, dim] → [n, dim]
        if self.popularity is not None:
            x = x + self.popularity(popularity)  # [n, h] → [n, dim]
        return functional.normalize(self.shortcut(x) + self.network(x), dim=1)


class TwoTower(nn.Module):
    """A user tower and an item tower into one space (Huang et al., 2013; Yi et al., 2019): score =
    cosine.

    The user's history is a bag of item IDs, embedded by the *same* ID table that the item tower
    reads.

    - `item_fields`, `user_fields`: names of the fields; the first of each is the ID.
    - `popularity`: how many numbers (recent purchase counts) the item tower gets beside its fields.
    """

    def __init__(
        self,
        item_fields: list[str],
        user_fields: list[str],
        popularity: int = 0,
        dim: int = 64,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.item_fields, self.user_fields, self.dim = list(item_fields), list(user_fields), dim
        self.item_tables = nn.ModuleList(EmbeddingTable(dim) for _ in item_fields)
        self.user_tables = nn.ModuleList(EmbeddingTable(dim) for _ in user_fields)
        self.item_tower = Tower(popularity, dim, hidden)
        self.user_tower = Tower(0, dim, hidden)

    def tables(self) -> list[EmbeddingTable]:
        return [*self.item_tables, *self.user_tables]

    def with_ids(self, items: nn.Module, users: nn.Module) -> TwoTower:
        """The same model with other ID tables; everything else is shared, not copied."""
        twin = TwoTower.__new__(TwoTower)
        nn.Module.__init__(twin)
        twin.item_fields, twin.user_fields, twin.dim = self.item_fields, self.user_fields, self.dim
        twin.item_tables = nn.ModuleList([items, *self.item_tables[1:]])
        twin.user_tables = nn.ModuleList([users, *self.user_tables[1:]])
        twin.item_tower, twin.user_tower = self.item_tower, self.user_tower
        return twin

    @torch.no_grad()
    def averaged(self, live: TwoTower, share: float) -> TwoTower:
        """A model of `share` times these weights and 1 − `share` times the live ones; rows that
        only the live one has are as they are there.
        """
        twin = copy.deepcopy(live)
        for new, old in zip(twin.parameters(), self.parameters(), strict=True):
            new[: len(old)].lerp_(old, share)
        return twin

    def dense_parameters(self) -> list[nn.Parameter]:
        """Every parameter that is not an embedding."""
        return [*self.item_tower.parameters(), *self.user_tower.parameters()]

    def grow(
        self,
        item_sizes: dict[str, int],
        user_sizes: dict[str, int],
        generator: torch.Generator | None = None,
    ) -> None:
        """Add rows for values that the vocabularies have learned since."""
        for fields, tables, sizes in (
            (self.item_fields, self.item_tables, item_sizes),
            (self.user_fields, self.user_tables, user_sizes),
        ):
            for name, table in zip(fields, tables, strict=True):
                table.grow(sizes[name], generator)

    def item_vectors(self, features: Features) -> Tensor:
        """[m, dim] unit vectors of m items. `features` holds every item field and, if the model has
        any, `popularity`.
        """
        embeddings = _look_up(self.item_fields, self.item_tables, features)
        return _beside(self.item_tower(embeddings, features.get("popularity")), features)

    def user_vectors(self, features: Features) -> Tensor:
        """[n, dim] unit vectors of n users. `features` holds every user field and `history`, [n, L]
        item IDs, 0 = empty.
        """
        embeddings = _look_up(self.user_fields, self.user_tables, features)
        embeddings.append(self.item_tables[0](features["history"]))
        return _beside(self.user_tower(embeddings, None), features)


def _look_up(fields: list[str], tables: nn.ModuleList, features: Features) -> list[Tensor]:
    return [table(features[name]) for name, table in zip(fields, tables, strict=True)]


def _beside(vectors: Tensor, features: Features) -> Tensor:
    """The towers' unit vectors, and the dimensions of the linear part if there is one."""
    return torch.cat([vectors, features["linear"]], 1) if "linear" in features else vectors


class RowwiseAdagrad:
    """Adagrad for embedding tables with one accumulator per row (as DLRM's embedding tables have
    it, Naumov et al., 2019).

    Every row has its own step size, learning_rate / √(sum of its mean squared gradients): a tail
    item moves far when it is met. Costs what the batch touches.
    """

    def __init__(self, tables: list[EmbeddingTable], learning_rate: float) -> None:
        self.tables, self.learning_rate = tables, learning_rate

    @torch.no_grad()
    def step(self) -> None:
        for table in self.tables:
            gradient = table.weight.grad
            if gradient is None:
                continue
            gradient = gradient.coalesce()
            rows, values = gradient.indices()[0], gradient.values()  # [r], [r, dim]
            table.accumulator.index_add_(0, rows, values.square().mean(1))
            scaled = values / (table.accumulator[rows].sqrt() + 1e-8)[:, None]
            table.weight.index_add_(0, rows, scaled, alpha=-self.learning_rate)
            table.weight.grad = None
