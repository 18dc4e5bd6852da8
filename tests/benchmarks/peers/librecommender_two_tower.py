"""LibRecommender's two towers: softmax over the batch with its logQ correction, with or without one
of its self-supervised patterns; trained on from purchase to purchase by its own retraining.
"""

import numpy as np
import pandas as pd
from libreco.algorithms import TwoTower
from libreco.bases import dyn_embed_base
from libreco.data import DataInfo, DatasetFeat
from libreco.tfops import tf
from serve import serve

WORDS = 3  # of a field that is a list; the library wants as many columns
ONE_THREAD = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
# the library's option for this is not handed on
dyn_embed_base.sess_config = lambda config=None: tf.Session(config=ONE_THREAD)


class Towers:
    def __init__(
        self, room, seed=0, rate=3e-3, temperature=0.2, passes=(5, 2), ssl_pattern=None, **options
    ):
        self.passes, self.temperature, self.known = passes, temperature, 0
        self.options = options | dict(
            loss_type="softmax",
            embed_size=64,
            norm_embed=True,
            hidden_units=(128, 64),
            batch_size=256,
            lr=rate,
            temperature=temperature,
            seed=seed,
            ssl_pattern=ssl_pattern,
        )

    def frame(self, data, rows):
        """A row per purchase; values as text, lists as WORDS columns each."""
        columns = {"user": data["user"][rows], "item": data["item"][rows], "label": 1}
        self.single, self.lists = {"user": [], "item": []}, []
        for name in (name for name in data if "/" in name):
            kind, values = name.split("/")[0], data[name][columns[name.split("/")[0]]]
            if values.ndim == 1:
                self.single[kind].append(name)
                columns[name] = values.astype(str)
                continue
            self.lists.append([f"{name} {place}" for place in range(WORDS)])
            padded = np.pad(values, ((0, 0), (0, WORDS)))[:, :WORDS]
            columns |= dict(zip(self.lists[-1], padded.astype(str).T, strict=True))
        return pd.DataFrame(columns)

    def fit(self, data):
        n = len(data["user"])
        if not self.known:
            frame = self.frame(data, slice(None))
            words = [name for columns in self.lists for name in columns]
            fields = self.single["user"] + self.single["item"]
            train, self.info = DatasetFeat.build_trainset(
                frame,
                user_col=self.single["user"],
                item_col=self.single["item"] + words,
                sparse_col=fields,
                multi_sparse_col=self.lists or None,
                pad_val="0",
            )
            self.model = TwoTower("ranking", self.info, n_epochs=self.passes[0], **self.options)
        else:
            self.info.save("saved", "towers")
            self.model.save("saved", "towers", manual=True, inference_only=False)
            self.model.sess.close()
            tf.reset_default_graph()
            frame = self.frame(data, slice(self.known, n))
            train, self.info = DatasetFeat.merge_trainset(
                frame, DataInfo.load("saved", "towers"), merge_behavior=True
            )
            self.model = TwoTower("ranking", self.info, n_epochs=self.passes[1], **self.options)
            self.model.rebuild_model("saved", "towers", full_assign=True)
        self.model.fit(train, neg_sampling=True, verbose=0, shuffle=True)
        self.known = n

    def vectors(self, data):
        """Of users and items that it has met; the library's mean item stands for the others."""
        place = self.info.item2id
        items = [place.get(item, self.info.n_items) for item in range(int(data["items"]))]
        users = [self.info.user2id[user] for user in data["asked"]]
        vectors = self.model.user_embeds_np[users] / self.temperature
        return vectors, self.model.item_embeds_np[items]


serve(Towers)
