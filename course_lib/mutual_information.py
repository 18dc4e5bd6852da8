"""Mutual information between the fields of items: which of them give each other away."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import entr

from course_lib.features import Encoder


def mutual_information(
    items: pd.DataFrame, weights: pd.Series | np.ndarray | None = None
) -> pd.DataFrame:
    """k×k mutual information between the item fields, in nats: Σ p(x, y) log [p(x, y) / (p(x)
    p(y))].

    A row is drawn with chance by its weight, then of each multi-valued field one of the row's
    values, each equally likely and on its own. What is missing is a value too, the default. The
    diagonal is the field's entropy. A field with nearly as many values as rows, as the ID is, seems
    to determine all others: `shuffled_columns` tells how much of that is chance.

    - `items`: rows of `EventLog.items`: those known before the test period.
    - `weights`: [n] events per item in the training period, in row order, or a Series by item (an
      item that is not in it weighs 0). None: every item once.

    Returns a symmetric DataFrame, rounded to 12 decimals. Raises ValueError for a table without
    rows or without a name for its index, the ID, and for weights that are none.
    """
    if items.index.name is None:
        raise ValueError(
            "items has an index without a name, and the index is the ID field; use "
            "items.set_index('item')."
        )
    if len(items) == 0:
        raise ValueError("items has no rows; mutual information needs at least one.")
    shares = _shares(items, weights)  # [n]
    encoder = Encoder(items)
    encoder.learn(items)
    fields = {name: _draws(values.numpy()) for name, values in encoder.encode(items).items()}
    entropy = {name: entr(shares @ draws).sum() for name, draws in fields.items()}
    mi = pd.DataFrame(np.diag(list(entropy.values())), index=list(fields), columns=list(fields))
    for i, one in enumerate(fields):
        weighted = fields[one].multiply(shares[:, None]).T.tocsr()  # [values of one, n]
        for other in list(fields)[i + 1 :]:
            joint = entr((weighted @ fields[other]).data).sum()  # of the pairs that occur
            mi.loc[one, other] = mi.loc[other, one] = entropy[one] + entropy[other] - joint
    return mi.round(12) + 0.0  # no −0.0


def shuffled_columns(items: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The same fields, each column and the ID in a random order of its own: what is left of their
    relations is chance. For `mutual_information` without weights, since these rows are no items.
    """
    generator = np.random.default_rng(seed)

    def shuffled(values: pd.Series | pd.Index) -> np.ndarray:
        return values.to_numpy()[generator.permutation(len(items))]

    columns = {name: shuffled(column) for name, column in items.items()}
    return pd.DataFrame(columns, index=pd.Index(shuffled(items.index), name=items.index.name))


def _shares(items: pd.DataFrame, weights: pd.Series | np.ndarray | None) -> np.ndarray:
    """[n] each row's share of all weight."""
    if isinstance(weights, pd.Series):
        weights = weights.reindex(items.index, fill_value=0).to_numpy(float, na_value=np.nan)
    weights = np.ones(len(items)) if weights is None else np.asarray(weights, dtype=float)
    if weights.shape != (len(items),):
        raise ValueError(
            f"weights has shape {weights.shape} and items has {len(items)} rows; give one weight "
            "per row."
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise ValueError(
            "weights must be finite, none below 0 and at least one above; are they events per item?"
        )
    return weights / weights.sum()


def _draws(values: np.ndarray) -> csr_array:
    """[n, values] chance that a row's draw is each value, from indices [n] or [n, L]."""
    bags = values.reshape(len(values), -1)
    filled = bags > 0
    filled[:, 0] |= ~filled.any(1)  # an empty bag is the default
    rows, _ = filled.nonzero()
    shape = len(bags), bags.max() + 1
    return csr_array((1 / filled.sum(1)[rows], (rows, bags[filled])), shape=shape)
