"""Baselines: simple methods that a two-tower model has to beat, each with `scores` and `learn` for
`evaluation.replay`.

Defaults of the first three are what was best on April and May 2011
(data/results/baselines_tuning.csv); `tuning.tune` finds others for another log.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix, diags, issparse

from course_lib.features import DecayedCounts
from course_lib.frames import checked
from course_lib.log import DAY, EventLog


class Popularity:
    """The same list for everybody: purchase counts that halve every `half_life` days."""

    def __init__(self, half_life: float = 7.0) -> None:
        self.counts = DecayedCounts((checked("half_life", half_life, 1e-12),))

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        return self.counts.at(day, torch.arange(log.listed(day)))[:, 0].expand(len(users), -1)

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.counts.add(torch.tensor(log.item_rows[log.rows(day, day + DAY)]), day)
        self.counts.flush(day, len(log.items))


@dataclass(kw_only=True)
class Personal:
    """What the personal baselines share: a score is what `predict` makes of the user's history,
    plus a little popularity, without which all items tie for a new user.

    - `history_half_life`: days in which a purchase counts half, in a user's own history and in all
      histories, which `fit` is given every `refit` days.
    - `popularity`: of the most popular item, in the score. `popularity_half_life`: days.

    Raises ValueError for an option that is no number or out of range.
    """

    history_half_life: float
    popularity: float
    popularity_half_life: float = 7.0
    refit: int = 7
    fitted: pd.Timestamp | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, kind in ((option.name, option.type) for option in fields(self) if option.init):
            least = 1 if kind == "int" else 0 if name in ("popularity", "idf") else 1e-12
            number = checked(name, getattr(self, name), least, whole=kind == "int")
            setattr(self, name, number)
        self.recent = Popularity(self.popularity_half_life)

    def fit(self, history: csr_matrix) -> None:
        """Learn from all histories, [users, m]."""
        raise NotImplementedError

    def predict(self, history: csr_matrix, users: np.ndarray) -> np.ndarray:
        """[n, m] scores of the items that `fit` knows, for n users (codes) with these histories."""
        raise NotImplementedError

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        history = self._history(log, day)
        scores = np.zeros((len(users), history.shape[1]), np.float32)
        if not history.nnz or not len(users):
            return torch.from_numpy(scores)
        if self.fitted is None or day - self.fitted >= self.refit * DAY:
            self.fit(history)
            self.fitted, self.known = day, history.shape[1]
        scores[:, : self.known] = self.predict(history[users, : self.known], users)
        recent = self.recent.scores(log, day, users)
        share = self.popularity * (recent / recent.max().clamp(min=1e-9)).float()
        return torch.from_numpy(scores) + share

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.recent.learn(log, day)

    def _history(self, log: EventLog, day: pd.Timestamp) -> csr_matrix:
        """[users, m] what everybody had bought before `day`, half after each half-life."""
        rows = log.rows(end=day)
        age = (day - log.events["time"].iloc[rows].dt.normalize()) / DAY
        weight = (0.5 ** (age.to_numpy() / self.history_half_life)).astype(np.float32)
        places = log.user_rows[rows], log.item_rows[rows]
        return csr_matrix((weight, places), (len(log.users), log.listed(day)))


class ItemToItem(Personal):
    """A user's score of an item: the sum of its similarity to what the user bought."""

    similarity: csr_matrix | np.ndarray  # [m, m]

    def predict(self, history: csr_matrix, users: np.ndarray) -> np.ndarray:
        summed = history @ self.similarity
        return summed.toarray() if issparse(summed) else summed


@dataclass(kw_only=True)
class ItemCF(ItemToItem):
    """Item-to-item collaborative filtering: the cosine of two items' columns of buyers (Sarwar et
    al., 2001).
    """

    history_half_life: float = 60.0
    popularity: float = 3.0

    def fit(self, history: csr_matrix) -> None:
        columns = _unit_rows(history.T)
        cosine = columns @ columns.T
        self.similarity = cosine - diags(cosine.diagonal())


@dataclass(kw_only=True)
class EASE(ItemToItem):
    """A linear model of every item by all others, in closed form (Steck, 2019, equation 8)."""

    history_half_life: float = 120.0
    popularity: float = 0.3
    ridge: float = 100.0

    def fit(self, history: csr_matrix) -> None:
        bought = np.unique(history.indices)  # what nobody has bought has weights of 0
        gram = torch.from_numpy((history.T @ history)[bought][:, bought].toarray())
        gram.diagonal().add_(self.ridge)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        # column j: the weights that predict item j
        weights = (-precision / precision.diagonal()).fill_diagonal_(0)
        self.similarity = np.zeros((history.shape[1],) * 2, np.float32)
        self.similarity[np.ix_(bought, bought)] = weights.numpy()


@dataclass(kw_only=True)
class UserKNN(Personal):
    """What the most similar users bought lately (Hu et al., 2020, "TIFU-KNN").

    - `neighbours`: how many users, by and weighed by the cosine of their histories, in which an
      item that k users bought counts k^−`idf`.
    - `purchase_half_life`: days, of what the neighbours bought.
    """

    history_half_life: float = 120.0
    popularity: float = 0.3
    refit: int = 1
    neighbours: int = 100
    purchase_half_life: float = 30.0
    idf: float = 0.5

    def fit(self, history: csr_matrix) -> None:
        bought = np.asarray(history.sum(0))[0]  # [m]
        self.weight = diags(np.maximum(bought, 1e-3) ** -self.idf)
        self.profiles = _unit_rows(history @ self.weight)
        self.purchases = history.power(self.history_half_life / self.purchase_half_life)

    def predict(self, history: csr_matrix, users: np.ndarray) -> np.ndarray:
        cosine = (_unit_rows(history @ self.weight) @ self.profiles.T).toarray()  # [n, users]
        cosine[np.arange(len(users)), users] = 0  # nobody is a neighbour of their own
        k = min(self.neighbours, cosine.shape[1])
        nearest = np.argpartition(-cosine, k - 1)[:, :k]  # [n, k]
        starts = np.arange(len(users) + 1) * k
        weight = np.take_along_axis(cosine, nearest, 1)
        weight = csr_matrix((weight.ravel(), nearest.ravel(), starts), cosine.shape)
        scores = (weight @ self.purchases).toarray()  # [n, m]
        return scores / np.maximum(scores.max(1, keepdims=True), 1e-9)


@dataclass(kw_only=True)
class ALS(Personal):
    """Matrix factorisation of implicit feedback by alternating least squares (Hu, Koren and
    Volinsky, 2008): a purchase is a 1 in which one has 1 + `confidence` · (what is left of it)
    confidence, everything else a 0 with confidence 1.

    The first fit has `passes`; a later one goes on from the last, with 2. A user's factors are
    solved anew from the history of the day.
    """

    history_half_life: float = 60.0
    popularity: float = 1.0
    factors: int = 64
    ridge: float = 10.0
    confidence: float = 10.0
    passes: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.items = np.zeros((0, self.factors), np.float32)  # [m, f]

    def fit(self, history: csr_matrix) -> None:
        drawn = np.random.default_rng(0).normal(size=(history.shape[1], self.factors)) * 0.1
        start, passes = len(self.items), 2 if len(self.items) else self.passes
        self.items = np.concatenate([self.items, drawn[start:].astype(np.float32)])
        buyers = history.T.tocsr()
        for _ in range(passes):
            users = self.solve(self.items, history)
            self.items = self.solve(users, buyers)

    def solve(self, others: np.ndarray, history: csr_matrix) -> np.ndarray:
        """[n, f] the best factors of n rows of a history [n, k], given its columns' [k, f]: their
        equation 4.
        """
        best = np.zeros((history.shape[0], self.factors), np.float32)
        everywhere = others.T @ others + self.ridge * np.eye(self.factors, dtype=np.float32)
        for row, (start, end) in enumerate(pairwise(history.indptr)):
            if start < end:
                y = others[history.indices[start:end]]  # [what it has, f]
                more = self.confidence * history.data[start:end]
                best[row] = np.linalg.solve(everywhere + (y.T * more) @ y, (1 + more) @ y)
        return best

    def predict(self, history: csr_matrix, users: np.ndarray) -> np.ndarray:
        return self.solve(self.items, history) @ self.items.T


def _unit_rows(matrix: csr_matrix) -> csr_matrix:
    """The rows of a matrix, each of length 1; an empty one stays so."""
    lengths = np.sqrt(np.asarray(matrix.power(2).sum(1)).ravel())
    return diags((1 / np.maximum(lengths, 1e-12)).astype(np.float32)) @ matrix
