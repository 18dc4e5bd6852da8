"""Bayesian personalised ranking of implicit, fitted anew each time to purchases drawn by age."""

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix
from serve import recent, serve, spread_alike


class BPR:
    def __init__(
        self, room, seed=0, factors=64, half_life=120.0, regularization=0.01, passes=60, rate=0.05
    ):
        self.seed, self.half_life = seed, half_life
        self.options = dict(
            factors=factors, regularization=regularization, iterations=passes, learning_rate=rate
        )

    def fit(self, data):
        rows = recent(data, self.half_life, self.seed)
        places = data["user"][rows], data["item"][rows]
        shape = data["user"].max() + 1, int(data["items"])
        self.model = BayesianPersonalizedRanking(
            num_threads=1, random_state=self.seed, **self.options
        )
        self.model.fit(
            csr_matrix((np.ones(len(rows), np.float32), places), shape), show_progress=False
        )

    def vectors(self, data):
        return spread_alike(self.model.user_factors[data["asked"]], self.model.item_factors)


serve(BPR)
