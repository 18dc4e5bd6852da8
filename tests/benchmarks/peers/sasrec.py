"""SASRec (Kang and McAuley, 2018) with the softmax over all items instead of one negative
(Klenitskiy and Vasilev, 2023), written for this comparison: no library that could be installed
trains on from day to day. Recent popularity is added to the logits in training as in the answers.
"""

import numpy as np
import torch
from serve import serve
from torch import nn
from torch.nn import functional

USERS = 12  # a batch, with all that they have bought since the last fit
WEEK = 7.0  # the half-life of popularity


class Net(nn.Module):
    def __init__(self, items, dim, layers, dropout, places):
        super().__init__()
        self.items = nn.Embedding(items + 1, dim)  # the last one begins each sequence
        self.places = nn.Embedding(places, dim)
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            dim, 2, 2 * dim, dropout, batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, sequences):
        length = sequences.shape[1]
        x = self.dropout(self.items(sequences) + self.places(torch.arange(length)))
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        return self.norm(self.body(x, mask=future)) * self.scale


class SASRec:
    def __init__(
        self,
        room,
        seed=0,
        dim=64,
        layers=2,
        dropout=0.2,
        length=50,
        rate=1e-3,
        table_rate=1e-2,
        passes=2,
    ):
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.net = Net(room["item"], dim, layers, dropout, 2 * length)
        self.start, self.length, self.passes, self.known = room["item"], length, passes, 0
        tables = [self.net.items.weight]
        others = [part for part in self.net.parameters() if part is not tables[0]]
        groups = [{"params": tables, "lr": table_rate}, {"params": others, "lr": rate}]
        self.optimiser = torch.optim.Adam(groups)

    def sequences(self, data, users):
        """Each user's items, the oldest first, and how many of them the last fit knew."""
        order = np.argsort(data["user"], kind="stable")
        borders = np.searchsorted(data["user"][order], [users, users + 1]).T
        rows = [order[start:end] for start, end in borders]
        return [(data["item"][own], int((own < self.known).sum())) for own in rows]

    def fit(self, data):
        n, items, old = len(data["user"]), int(data["items"]), slice(self.known)
        # of what came before the purchases that it learns: they must not stand in their own prior
        counts = np.bincount(data["item"][old], 0.5 ** (data["age"][old] / WEEK), items)
        prior = torch.from_numpy(counts + 0.1).log().float()
        users = np.unique(data["user"][self.known :])
        self.net.train()
        by_user = self.sequences(data, users)
        for _ in range(self.passes):
            order = torch.randperm(len(users))
            for batch in order.tensor_split(max(1, round(len(users) / USERS))):
                self.step([by_user[user] for user in batch.tolist()], prior)
        self.known = n

    def step(self, batch, prior):
        inputs, targets, owned = [], [], []
        for items, known in batch:
            items, known = items[max(known - self.length + 1, 0) :], min(known, self.length - 1)
            new = np.random.default_rng(len(items)).permutation(items[known:])[: self.length]
            row = np.concatenate([[self.start], items[:known], new])
            target = np.full(len(row) - 1, -1)
            target[known:] = row[1 + known :]
            inputs.append(torch.from_numpy(row[:-1]))
            targets.append(torch.from_numpy(target))
            mask = torch.zeros(len(prior), dtype=torch.bool)
            mask[items] = True
            owned.append(mask)
        inputs = nn.utils.rnn.pad_sequence(inputs, True, self.start)
        targets = nn.utils.rnn.pad_sequence(targets, True, -1)
        rows, places = (targets >= 0).nonzero(as_tuple=True)
        target = targets[rows, places]
        logits = self.net(inputs)[rows, places] @ self.net.items.weight[: len(prior)].T + prior
        masked = torch.stack(owned)[rows]
        masked[torch.arange(len(rows)), target] = False
        loss = functional.cross_entropy(logits.masked_fill(masked, -torch.inf), target)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()

    @torch.no_grad()
    def vectors(self, data):
        self.net.eval()
        rows = [
            torch.from_numpy(np.append(self.start, items[-self.length + 1 :]))
            for items, _ in self.sequences(data, data["asked"])
        ]
        items = self.net.items.weight[: int(data["items"])].numpy()
        if not rows:
            return np.zeros((0, items.shape[1])), items
        padded = nn.utils.rnn.pad_sequence(rows, True, self.start)
        last = torch.tensor([len(row) - 1 for row in rows])
        return self.net(padded)[torch.arange(len(rows)), last].numpy(), items


serve(SASRec)
