"""TensorFlow Recommenders' retrieval task: two towers of summed embeddings and a small network, with
its correction for how often an item is drawn and its removal of accidental hits; trained on with the
purchases since the last fit.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from serve import serve


class Tower(tf.keras.Model):
    """The embeddings of a row and of its fields, which stand in tables that do not train."""

    def __init__(self, kind, sizes, fields):
        super().__init__()
        self.kind = kind
        self.embeddings = {name: tf.keras.layers.Embedding(n, 64) for name, n in sizes.items()}
        self.tables = {
            name: tf.Variable(np.zeros((sizes[kind], *values.shape[1:]), np.int32), trainable=False)
            for name, values in fields.items()
        }
        self.network = tf.keras.Sequential(
            [tf.keras.layers.Dense(128, "relu"), tf.keras.layers.Dense(64)]
        )

    def call(self, rows):
        parts = [self.embeddings[self.kind](rows)]
        for name, table in self.tables.items():
            values = tf.gather(table, rows)
            vectors = self.embeddings[name](values)
            if len(values.shape) == 2:  # a list: the mean of what is there
                there = tf.cast(values > 0, tf.float32)[..., None]
                total = tf.reduce_sum(vectors * there, 1)
                vectors = total / tf.maximum(tf.reduce_sum(there, 1), 1.0)
            parts.append(vectors)
        x = tf.add_n(parts)
        return tf.math.l2_normalize(x + self.network(x), axis=1)


class Model(tfrs.Model):
    def __init__(self, towers, temperature, batch):
        super().__init__()
        self.users, self.items = towers
        self.batch = batch
        self.task = tfrs.tasks.Retrieval(temperature=temperature, remove_accidental_hits=True)

    def compute_loss(self, pairs, training=False):
        users, items = self.users(pairs["user"]), self.items(pairs["item"])
        loss = self.task(
            users,
            items,
            candidate_sampling_probability=pairs["share"],
            candidate_ids=pairs["item"],
            compute_metrics=False,
        )
        return loss / self.batch


class Towers:
    def __init__(self, room, seed=0, rate=0.1, temperature=0.2, passes=(5, 2), batch=1024):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.keras.utils.set_random_seed(seed)
        self.room, self.rate, self.temperature, self.passes = room, rate, temperature, passes
        self.batch, self.known, self.towers = batch, 0, None

    def fit(self, data):
        fields = {
            kind: {name: data[name] for name in data if name.startswith(f"{kind}/")}
            for kind in ("user", "item")
        }
        if self.towers is None:
            self.build(fields)
        for tower in self.towers:
            for name, values in fields[tower.kind].items():
                old = tower.tables[name].numpy()
                width = min(values.shape[1:], old.shape[1:])  # of lists: as long as at first
                old[: len(values)][(..., *map(slice, width))] = values[(..., *map(slice, width))]
                tower.tables[name].assign(old)
        users, items = (data[name][self.known :].astype(np.int32) for name in ("user", "item"))
        share = (np.bincount(items) / len(items)).astype(np.float32)[items]
        pairs = {"user": users, "item": items, "share": share}
        passes = self.passes[self.known > 0]
        self.model.fit(pairs, batch_size=self.batch, epochs=passes, verbose=0)
        self.known = len(data["user"])

    def build(self, fields):
        self.towers = []
        for kind, named in fields.items():
            sizes = {name: self.room[name] for name in (kind, *named)}
            self.towers.append(Tower(kind, sizes, named))
        self.model = Model(self.towers, self.temperature, self.batch)
        self.model.compile(tf.keras.optimizers.Adagrad(self.rate))

    def vectors(self, data):
        users, items = self.towers
        users = users(data["asked"].astype(np.int32)).numpy() / self.temperature
        return users, items(np.arange(int(data["items"]), dtype=np.int32)).numpy()


serve(Towers)
