"""What a library says to bad input: a line of JSON per case, its name and what happened.

    python bad_input.py LIBRARY

The same made-up purchases for all, 60 users and 40 items of four colours; each library is called as
its own guide calls it. "a NaN" stands where the library takes numbers: a price, or else a purchase's
weight.
"""

import json
import os
import sys

import numpy as np

USERS, ITEMS, EVENTS = 60, 40, 400
rng = np.random.default_rng(0)
user, item = rng.integers(USERS, size=EVENTS), rng.integers(ITEMS, size=EVENTS)
colour, price = np.arange(ITEMS) % 4, np.arange(1.0, ITEMS + 1)
nan_price = np.where(np.arange(ITEMS) == 3, np.nan, price)


def finite(*arrays):
    """How many numbers of a model are none."""
    share = np.mean(np.concatenate([np.isnan(np.asarray(array)).ravel() for array in arrays]))
    return f"accepted; {share:.0%} of the learned numbers are NaN" if share else "accepted"


def implicit():
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    def matrix(weights=None, n=EVENTS):
        values = np.ones(n, np.float32) if weights is None else weights
        return csr_matrix((values, (user[:n], item[:n])), (USERS, ITEMS))

    def fitted(data):
        model = AlternatingLeastSquares(factors=8, iterations=2, random_state=0, num_threads=1)
        model.fit(data, show_progress=False)
        return model

    def nan():
        weights = np.ones(EVENTS, np.float32)
        weights[5] = np.nan
        model = fitted(matrix(weights))
        return finite(model.user_factors, model.item_factors)

    def twice():
        model, found = fitted(matrix()), []
        for _ in range(2):
            model.partial_fit_users(np.arange(3), matrix()[:3])
            found.append(model.user_factors[:3].copy())
        same = np.allclose(*found, atol=1e-4)
        return "accepted; the second time changes " + ("nothing" if same else "the factors")

    return {
        "unknown item": lambda: answered(fitted(matrix()).similar_items(999)),
        "unknown user": lambda: answered(fitted(matrix()).recommend(999, matrix()[0])),
        "a NaN": nan,
        "an empty day": lambda: finite(fitted(matrix(n=0)).user_factors),
        "the same day twice": twice,
    }


def lightfm():
    from lightfm import LightFM
    from scipy.sparse import coo_matrix, csr_matrix, hstack, identity

    def bought(weights=None, n=EVENTS):
        values = np.ones(n, np.float32) if weights is None else weights
        return coo_matrix((values, (user[:n], item[:n])), (USERS, ITEMS))

    def fitted(data, features=None):
        return LightFM(8, loss="warp", random_state=0).fit_partial(data, item_features=features)

    def nan():
        features = hstack([identity(ITEMS), csr_matrix(nan_price[:, None])]).tocsr()
        return finite(fitted(bought(), features.astype(np.float32)).item_embeddings)

    def twice():
        model = fitted(bought())
        before = model.item_embeddings.copy()
        model.fit_partial(bought())
        changed = not np.array_equal(before, model.item_embeddings)
        return "accepted; learned again" if changed else "accepted; nothing changed"

    return {
        "unknown item": lambda: answered(fitted(bought()).predict(0, np.array([999]))),
        "unknown user": lambda: answered(fitted(bought()).predict(999, np.arange(ITEMS))),
        "a NaN": nan,
        "an empty day": lambda: finite(fitted(bought(n=0)).item_embeddings),
        "the same day twice": twice,
    }


def librecommender():
    import pandas as pd
    from libreco.algorithms import TwoTower
    from libreco.data import DataInfo, DatasetFeat
    from libreco.tfops import tf

    whole = pd.DataFrame({"user": user, "item": item, "label": 1})
    whole["colour"], whole["price"] = colour[item].astype(str), price[item]
    options = dict(loss_type="softmax", embed_size=8, hidden_units=(8,), n_epochs=1, seed=0)

    def fitted(frame=whole):
        tf.reset_default_graph()
        names = dict(item_col=["colour", "price"], sparse_col=["colour"], dense_col=["price"])
        train, info = DatasetFeat.build_trainset(frame, **names)
        model = TwoTower("ranking", info, **options)
        model.fit(train, neg_sampling=True, verbose=0)
        return model, info

    def after(info, frame):
        """Trained on, from what was saved, with a further day."""
        train, merged = DatasetFeat.merge_trainset(
            frame, DataInfo.load("saved", "towers"), merge_behavior=True
        )
        tf.reset_default_graph()
        model = TwoTower("ranking", merged, **options)
        model.rebuild_model("saved", "towers", full_assign=True)
        model.fit(train, neg_sampling=True, verbose=0)
        save(model, merged)
        return model, merged

    def save(model, info):
        info.save("saved", "towers")
        model.save("saved", "towers", manual=True, inference_only=False)

    def days(*further):
        model, info = fitted(whole.iloc[:300])
        save(model, info)
        for frame in further:
            model, info = after(info, frame)
        return info.user_consumed[int(user[300])]

    def twice():
        owned = days(whole.iloc[300:], whole.iloc[300:])
        more = len(owned) - len(set(owned))
        return f"accepted; learned again, and one user's purchases hold {more} repetitions"

    def nan():
        model, _ = fitted(whole.assign(price=nan_price[item]))
        return finite(model.user_embeds_np, model.item_embeds_np)

    return {
        "unknown item": lambda: answered(fitted()[0].predict(0, "no such item")),
        "unknown user": lambda: answered(fitted()[0].recommend_user("no such user", 3)),
        "a NaN": nan,
        "an empty day": lambda: answered(days(whole.iloc[:0])),
        "the same day twice": twice,
    }


def tfrs():
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tensorflow_recommenders as retrieval

    class Model(retrieval.Model):
        def __init__(self):
            super().__init__()
            names = [str(number) for number in range(ITEMS)]
            look_up = tf.keras.layers.StringLookup(vocabulary=names)
            self.items = tf.keras.Sequential([look_up, tf.keras.layers.Embedding(ITEMS + 1, 8)])
            self.users = tf.keras.layers.Embedding(USERS, 8)
            self.price = tf.keras.layers.Dense(8)
            self.task = retrieval.tasks.Retrieval()

        def compute_loss(self, data, training=False):
            items = self.items(data["item"]) + self.price(data["price"][:, None])
            return self.task(self.users(data["user"]), items, compute_metrics=False)

    def day(prices=price, n=EVENTS):
        names = np.array([str(number) for number in item[:n]], dtype=object)
        columns = {"user": user[:n], "item": names, "price": prices[item[:n]].astype(np.float32)}
        return tf.data.Dataset.from_tensor_slices(columns).batch(100)

    def fitted(*days):
        model = Model()
        model.compile(tf.keras.optimizers.Adagrad(0.1))
        for data in days:
            model.fit(data, verbose=0)
        return model

    def twice():
        found = [fitted(*[day()] * n) for n in (1, 2)]
        first, second = (model.users(np.arange(3)).numpy() for model in found)
        return (
            "accepted; nothing changed" if np.allclose(first, second) else "accepted; learned again"
        )

    return {
        "unknown item": lambda: answered(fitted(day()).items(tf.constant(["no such item"]))),
        "unknown user": lambda: answered(fitted(day()).users(np.array([999]))),
        "a NaN": lambda: finite(fitted(day(nan_price)).users(np.arange(USERS))),
        "an empty day": lambda: fitted(day(), day(n=0)) and "accepted",
        "the same day twice": twice,
    }


def torch_rechub():
    import torch
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.matching import DSSM
    from torch_rechub.trainers import MatchTrainer
    from torch_rechub.utils.data import MatchDataGenerator

    def fitted(*days):
        shape = {"dims": [8]}
        columns = (
            [SparseFeature("user", USERS, 8)],
            [
                SparseFeature("item", ITEMS, 8),
                DenseFeature("price"),
            ],
        )
        model = DSSM(*columns, shape, shape)
        trainer = MatchTrainer(model, mode=0, n_epoch=1, optimizer_params={"lr": 0.01})
        for data in days:
            generator = MatchDataGenerator(data, np.ones(len(data["user"]), np.float32))
            everything = {"user": np.arange(USERS)}, {"item": np.arange(ITEMS), "price": price}
            train, _, _ = generator.generate_dataloader(*everything, batch_size=100)
            trainer.fit(train)
        return model.eval()

    def day(prices=price, n=EVENTS):
        return {"user": user[:n], "item": item[:n], "price": prices[item[:n]]}

    def vectors(model, **features):
        model.mode = next(iter({"user", "item"} & set(features)))
        with torch.no_grad():
            return model({name: torch.as_tensor(x) for name, x in features.items()})

    def twice():
        torch.manual_seed(0)
        once = vectors(fitted(day()), user=np.arange(3))
        torch.manual_seed(0)
        again = vectors(fitted(day(), day()), user=np.arange(3))
        return (
            "accepted; nothing changed" if torch.equal(once, again) else "accepted; learned again"
        )

    unknown = {"item": np.array([999]), "price": np.array([1.0])}
    return {
        "unknown item": lambda: answered(vectors(fitted(day()), **unknown)),
        "unknown user": lambda: answered(vectors(fitted(day()), user=np.array([999]))),
        "a NaN": lambda: finite(vectors(fitted(day(nan_price)), user=np.arange(USERS))),
        "an empty day": lambda: fitted(day(), day(n=0)) and "accepted",
        "the same day twice": twice,
    }


def answered(found):
    """What came back, shortly."""
    return f"answers {' '.join(str(found).split())}"[:60]


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for name, call in globals()[sys.argv[1]]().items():
        try:
            says = call()
        except Exception as error:
            words = " ".join(str(error).split())
            says = f"{type(error).__name__}: {words}"[:240]
        print(json.dumps([name, says]), file=out, flush=True)


main()
