"""torch-rechub's DSSM with all fields and the batch's other items as negatives, trained on with the
purchases since the last fit.
"""

import numpy as np
import torch
from serve import serve
from torch.utils.data import DataLoader, TensorDataset
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.models.matching import DSSM
from torch_rechub.trainers import MatchTrainer


class Scaled(DSSM):
    """DSSM leaves its `temperature` out of the scores."""

    def user_tower(self, x):
        return super().user_tower(x) / self.temperature


class Batches:
    """What the trainer goes through: features of a batch's pairs, and labels that it ignores."""

    def __init__(self, towers, users, items):
        self.towers = towers
        pairs = TensorDataset(torch.from_numpy(users), torch.from_numpy(items))
        size = towers.batch
        self.loader = DataLoader(pairs, size, shuffle=True, drop_last=len(users) > size)

    def __iter__(self):
        for users, items in self.loader:
            yield self.towers.features("user", users) | self.towers.features("item", items), users


class Towers:
    def __init__(self, room, seed=0, rate=3e-3, temperature=0.2, passes=(5, 2), batch=1024):
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.room, self.rate, self.temperature, self.passes = room, rate, temperature, passes
        self.batch, self.known, self.trainer = batch, 0, None

    def features(self, kind, rows):
        named = {name: table[rows] for name, table in self.tables.items() if name.startswith(kind)}
        return {kind: rows} | named

    def fit(self, data):
        n = len(data["user"])
        tables = {name: torch.from_numpy(data[name]) for name in data if "/" in name}
        self.tables = {name.replace("/", "_"): table for name, table in tables.items()}
        if self.trainer is None:
            self.build()
        self.trainer.n_epoch = self.passes[self.known > 0]
        self.trainer.fit(Batches(self, data["user"][self.known :], data["item"][self.known :]))
        self.known = n

    def build(self):
        size = {name.replace("/", "_"): n for name, n in self.room.items()}
        kinds = {
            kind: [SparseFeature(kind, size[kind], 64)]
            + [
                SparseFeature(name, size[name], 64)
                if table.dim() == 1
                else SequenceFeature(name, size[name], 64, padding_idx=0)
                for name, table in self.tables.items()
                if name.startswith(kind)
            ]
            for kind in ("user", "item")
        }
        shape = {"dims": [128, 64]}
        self.model = Scaled(kinds["user"], kinds["item"], shape, shape, self.temperature)
        self.trainer = MatchTrainer(
            self.model, mode=2, in_batch_neg=True, optimizer_params={"lr": self.rate}
        )

    @torch.no_grad()
    def vectors(self, data):
        self.model.eval()
        users, items = torch.from_numpy(data["asked"]), torch.arange(int(data["items"]))
        return (
            np.asarray(self.model.user_tower(self.features("user", users))),
            np.asarray(self.model.item_tower(self.features("item", items))),
        )


serve(Towers)
