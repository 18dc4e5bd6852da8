"""WARP of LightFM (lightfm-next) with all fields, going on each time with purchases drawn by age."""

import numpy as np
from lightfm import LightFM
from scipy.sparse import csr_matrix, hstack, identity
from serve import recent, serve, spread_alike


class WARP:
    """`first`: how many times as many passes the first fit makes."""

    def __init__(
        self, room, seed=0, factors=64, half_life=60.0, passes=10, first=3, rate=0.05, window=120
    ):
        self.room, self.seed, self.half_life, self.window = room, seed, half_life, window
        self.model = LightFM(factors, loss="warp", learning_rate=rate, random_state=seed)
        self.passes = [passes, first * passes]

    def features(self, kind, data):
        """[rows, values] a 1 for the row itself and one for each value of its fields."""
        parts = [identity(self.room[kind], np.float32, "csr")]
        for name in (name for name in data if name.startswith(f"{kind}/")):
            values = data[name].reshape(len(data[name]), -1)
            rows, columns = values.nonzero()
            places, shape = (rows, values[rows, columns]), (self.room[kind], self.room[name])
            parts.append(csr_matrix((np.ones(len(rows), np.float32), places), shape))
        return hstack(parts, "csr")

    def fit(self, data):
        rows = recent(data, self.half_life, self.seed)
        rows = rows[data["age"][rows] <= self.window]
        n = int(data["items"])
        bought = csr_matrix(
            (np.ones(len(rows), np.float32), (data["user"][rows], data["item"][rows])),
            (self.room["user"], n),
        )
        self.users, self.items = self.features("user", data), self.features("item", data)[:n]
        passes = self.passes.pop() if len(self.passes) > 1 else self.passes[0]
        self.model.fit_partial(bought.tocoo(), self.users, self.items, epochs=passes)

    def vectors(self, data):
        bias, items = self.model.get_item_representations(self.items)
        _, users = self.model.get_user_representations(self.users[data["asked"]])
        with_bias = np.hstack([users, np.ones((len(users), 1))]), np.hstack([items, bias[:, None]])
        return spread_alike(*with_bias)


serve(WARP)
