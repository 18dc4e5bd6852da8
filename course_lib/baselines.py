"""Baselines: simple methods that a two-tower model has to beat, each with `scores` and `learn` for
`evaluation.replay`.

Defaults are what was best on April and May 2011 (data/results/baselines_tuning.csv).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from course_lib.features import DecayedCounts
from course_lib.log import DAY, EventLog


class Popularity:
    """The same list for everybody: purchase counts that halve every `half_life` days."""

    def __init__(self, half_life: float = 7.0) -> None:
        self.counts = DecayedCounts((half_life,))

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        return self.counts.at(day, torch.arange(log.listed(day)))[:, 0].expand(len(users), -1)

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.counts.add(torch.tensor(log.item_rows[log.rows(day, day + DAY)]), day)
        self.counts.flush(day, len(log.items))


class _ItemToItem:
    """A user's score of an item: the sum of its similarity to what the user bought, plus a little
    popularity.

    Old purchases fade with `history_half_life`, in the user's own history and in the similarities.
    Similarities are refitted every `refit` days from all events so far. `popularity` weighs the
    most popular item's share of the score: without it nobody who is new gets any nomination but
    ties.
    """

    def __init__(
        self, history_half_life: float, popularity: float, popularity_half_life: float, refit: int
    ) -> None:
        self.history_half_life, self.popularity, self.refit = history_half_life, popularity, refit
        self.recent = Popularity(popularity_half_life)
        self.similarity: torch.Tensor | None = None  # [m, m]
        self.fitted: pd.Timestamp | None = None

    def similarities(self, history: torch.Tensor) -> torch.Tensor:
        """[m, m] from all histories, [users, m]."""
        raise NotImplementedError

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        if not log.listed(day) or not len(users):
            return torch.zeros(len(users), log.listed(day))
        if self.fitted is None or day - self.fitted >= self.refit * DAY:
            self.similarity = self.similarities(self._history(log, day, np.arange(len(log.users))))
            self.fitted = day
        history = self._history(log, day, users)  # [n, m]
        known = len(self.similarity)
        scores = torch.zeros(history.shape)
        scores[:, :known] = history[:, :known] @ self.similarity
        recent = self.recent.scores(log, day, users)
        return scores + self.popularity * (recent / recent.max().clamp(min=1e-9)).float()

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.recent.learn(log, day)

    def _history(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        """[n, m] what n users (codes) had bought before `day`, 1 on the day itself and half after
        each half-life.
        """
        # −1: somebody else's event
        owners = pd.Index(users).get_indexer(log.user_rows[log.rows(end=day)])
        rows = np.flatnonzero(owners >= 0)
        age = (day - log.events["time"].iloc[rows].dt.normalize()) / DAY
        history = torch.zeros(len(users), log.listed(day))
        weight = torch.tensor(0.5 ** (age.to_numpy() / self.history_half_life), dtype=torch.float32)
        history[owners[rows], log.item_rows[rows]] = weight
        return history


class ItemCF(_ItemToItem):
    """Item-to-item collaborative filtering: the cosine of two items' columns of buyers (Sarwar et
    al., 2001).
    """

    def __init__(
        self,
        history_half_life: float = 60.0,
        popularity: float = 3.0,
        popularity_half_life: float = 7.0,
        refit: int = 7,
    ) -> None:
        super().__init__(history_half_life, popularity, popularity_half_life, refit)

    def similarities(self, history: torch.Tensor) -> torch.Tensor:
        columns = torch.nn.functional.normalize(history, dim=0)
        return (columns.T @ columns).fill_diagonal_(0)


class EASE(_ItemToItem):
    """A linear model of every item by all others, in closed form (Steck, 2019, equation 8)."""

    def __init__(
        self,
        ridge: float = 100.0,
        history_half_life: float = 120.0,
        popularity: float = 0.3,
        popularity_half_life: float = 7.0,
        refit: int = 7,
    ) -> None:
        super().__init__(history_half_life, popularity, popularity_half_life, refit)
        self.ridge = ridge

    def similarities(self, history: torch.Tensor) -> torch.Tensor:
        gram = history.T @ history
        factor = torch.linalg.cholesky(gram + self.ridge * torch.eye(len(gram)))
        precision = torch.cholesky_inverse(factor)
        # column j: the weights that predict item j
        return (-precision / precision.diagonal()).fill_diagonal_(0)
