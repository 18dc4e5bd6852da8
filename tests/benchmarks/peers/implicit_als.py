"""Alternating least squares of implicit; a user's factors are solved anew from each day's history."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from serve import serve


class ALS:
    def __init__(
        self, room, seed=0, factors=64, half_life=60.0, regularization=10.0, alpha=10.0, passes=8
    ):
        self.shape, self.half_life, self.alpha, self.old = (
            (room["user"], room["item"]),
            half_life,
            alpha,
            None,
        )
        self.options = dict(factors=factors, regularization=regularization, random_state=seed)
        self.passes = passes

    def matrix(self, data):
        weight = np.float32(self.alpha) * 0.5 ** (data["age"] / self.half_life).astype(np.float32)
        return csr_matrix((weight, (data["user"], data["item"])), self.shape)

    def fit(self, data):
        passes = 3 if self.old else self.passes
        model = AlternatingLeastSquares(alpha=1.0, iterations=passes, num_threads=1, **self.options)
        if self.old:
            model.user_factors, model.item_factors = self.old.user_factors, self.old.item_factors
        model.fit(self.matrix(data), show_progress=False)
        self.old, self.items = model, int(data["items"])

    def vectors(self, data):
        users = data["asked"]
        return self.old.recalculate_user(users, self.matrix(data)[users]), self.old.item_factors[
            : self.items
        ]


serve(ALS)
