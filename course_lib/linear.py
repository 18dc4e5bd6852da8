"""The linear part: what memorises, as more dimensions of both vectors beside the towers', which
generalise (Cheng et al., 2016, "wide and deep", as vectors).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import aslinearoperator, eigsh
from torch import Tensor
from torch.nn import functional

REFIT = pd.Timedelta(days=7)


def low_rank_ease(history: csr_matrix, rank: int, ridge: float) -> tuple[Tensor, Tensor]:
    """EASE in r = `rank` dimensions: A, B [m, r] with history @ A @ Bᵀ for its scores.

    EASE (Steck, 2019, equation 8) predicts item j with the weights −P_ij / P_jj, where P is the
    inverse of G + λI and G the Gram matrix. Here G is its r largest eigenvalues and a diagonal for
    the rest, so that P comes from an inverse of r × r (Woodbury).

    - `history`: [users, m], 0 where a user does not own an item. `ridge`: λ.
    """
    gram = aslinearoperator(history.T.tocsr()) @ aslinearoperator(history)  # G @ x, without G
    values, vectors = eigsh(gram, rank, v0=np.ones(history.shape[1]), tol=1e-7)
    g, v = torch.from_numpy(values), torch.from_numpy(vectors)  # [r], [m, r]
    diagonal = torch.from_numpy(np.asarray(history.multiply(history).sum(0))[0])  # [m]
    rest = (diagonal - v.square() @ g).clamp(min=0) + ridge
    x = v / rest[:, None]  # [m, r]
    inner = torch.linalg.inv(torch.diag(1 / g.clamp(min=1e-9)) + v.T @ x)  # [r, r]
    p = 1 / rest - ((x @ inner) * x).sum(1)  # [m] P's diagonal
    return (x @ inner).float(), (x / p[:, None]).float()


class LinearPart:
    """Low-rank EASE and recent popularity as `rank + 1` more dimensions of both vectors.

    A score is then cos + τ · (weight · EASE + popularity_weight · popularity), still one inner
    product: each side carries the root of its weight. The full update fits it anew every week.

    - `users`, `items`: [size, r] by item index: what owning an item adds to a user's vector, and
      what stands in an item's; 0 for those that came later.
    - `top`: the decayed count of the most popular item.
    """

    def __init__(
        self, rank: int, ridge: float, half_life: float, weights: tuple[float, float]
    ) -> None:
        self.rank, self.ridge, self.half_life, self.weights = rank, ridge, half_life, weights
        self.users = self.items = torch.zeros(1, rank)
        self.top = 1.0
        self.fitted: pd.Timestamp | None = None

    def state_dict(self) -> dict:
        """All that the part has learned, as plain values that can be written to a file."""
        fitted = self.fitted and self.fitted.isoformat()
        return vars(self) | {"fitted": fitted}

    @classmethod
    def from_state_dict(cls, contents: dict) -> LinearPart:
        """The part whose `state_dict` this is."""
        part = cls.__new__(cls)
        fitted = contents["fitted"] and pd.Timestamp(contents["fitted"])
        vars(part).update(contents | {"fitted": fitted})
        return part

    def is_due(self, time: pd.Timestamp) -> bool:
        return self.rank > 0 and (self.fitted is None or time - self.fitted >= REFIT)

    def fit(self, owners: np.ndarray, items: np.ndarray, age: np.ndarray, size: int) -> None:
        """Fit to e purchases: the owners' rows, the items' indices, and their age in days [e]; an
        old one counts less, half after each `half_life`. `size`: of the item table.
        """
        weight = 0.5 ** (age / self.half_life) * (items > 0)
        shape = owners.max(initial=0) + 1, size
        if min(shape) > self.rank:  # in the first days there is too little
            history = csr_matrix((weight, (owners, items)), shape)
            self.users, self.items = low_rank_ease(history, self.rank, self.ridge)

    def item_dimensions(self, indices: Tensor, count: Tensor) -> Tensor:
        """[n, r + 1] of items with these indices [n] and decayed counts [n]."""
        known = indices.masked_fill(indices >= len(self.items), 0)
        popularity = (count / self.top).float()[:, None]
        return torch.cat([self.items[known], popularity], 1) * self._scale()

    def user_dimensions(self, bags: list[np.ndarray], ages: list[np.ndarray]) -> Tensor:
        """[n, r + 1] of n users who own the items with these indices, bought so many days ago."""
        starts = torch.tensor([0, *map(len, bags[:-1])]).cumsum(0)
        indices, age = (torch.from_numpy(np.concatenate(parts)) for parts in (bags, ages))
        known = indices.masked_fill(indices >= len(self.users), 0)
        weights = (0.5 ** (age / self.half_life)).float()
        summed = functional.embedding_bag(
            known, self.users, starts, mode="sum", per_sample_weights=weights
        )
        return torch.cat([summed, torch.ones(len(summed), 1)], 1) * self._scale()

    def _scale(self) -> Tensor:
        roots = torch.tensor(self.weights).sqrt()
        return roots.repeat_interleave(torch.tensor([self.rank, 1]))
