"""Augmentations: two views of each item, for self-supervised learning (the notes; Yao et al., 2021,
section 3).

An augmentation is a callable `(item_features, generator) -> (view', view'')`, all three `Features`
of m items. What a view does not show is index 0, the field's default; the ID is a field like any
other. Both views depend on the features and on the generator's state alone, and the features stay
as they were.

`popularity`, an item's recent purchase counts, is no field. Both views set it to 0, the counts of
an item never sold: the three numbers all but name a popular item, so that two views that kept them
would be matched by popularity, and the fields would have nothing left to learn.
`keep_popularity=True` keeps them in both, for comparison.

`Complementary` and `CorrelatedMask` draw one split of the fields per call, so all items of a batch
hide the same ones (as Yao et al. change the seed field per batch). With a split per item the second
view would show exactly what the first one hides, and a model can learn to match the two by which
fields are missing, without reading a single value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array
from scipy.special import entr
from torch import Tensor

from course_lib.features import Encoder, Features, concat_features, drop_fields, index_rows

Augmentation = Callable[[Features, torch.Generator], tuple[Features, Features]]


@dataclass(frozen=True)
class SelfSupervision:
    """The self-supervised term of a joint loss: what each step draws, how it is transformed, and
    what it weighs.

    - `augment`: makes the two views. `alpha`: α, the weight of the term. `temperature`: τ_s.
    - `m`: items per step, drawn uniformly from those known, whatever the number of events in the
      step.
    """

    augment: Augmentation
    alpha: float = 0.1
    temperature: float = 0.2
    m: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < np.inf:
            raise ValueError(
                f"alpha is {self.alpha}; it weighs the self-supervised loss, and must be 0 or a number above."
            )
        if not 0 < self.temperature < np.inf or self.m < 2:
            raise ValueError(
                f"temperature is {self.temperature} and m is {self.m}; τ_s must be a number above 0, and m 2 or more."
            )

    def views(self, catalogue: Features, generator: torch.Generator) -> tuple[Features, Features]:
        """Two views of m items, drawn uniformly from a catalogue of `known` items (all of them, if
        there are fewer).
        """
        ids = next(iter(catalogue.values()))
        rows = uniform_items(len(ids), self.m, generator) - 1
        return self.augment(index_rows(catalogue, rows.to(ids.device)), generator)


def uniform_items(known: int, m: int, generator: torch.Generator) -> Tensor:
    """[m] different item indices out of 1 … `known`, each equally likely, whatever the item's
    popularity.

    Uniform, because the head has events enough to learn from: the self-supervised term is for the
    tail (the notes; Yao et al., 2021, section 3). Different, because a second copy of an item would
    be a negative of itself. A catalogue of fewer than m items is taken whole, in random order.
    Costs what m is, not what `known` is.
    """
    if m < 2 or known < 2:
        raise ValueError(
            f"m is {m} and {known} items are known; a contrast needs at least two items."
        )
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    return torch.from_numpy(
        np.random.default_rng(seed).choice(known, min(m, known), replace=False) + 1
    )


def vectors_together(
    item_vectors: Callable[[Features], Tensor], *parts: Features
) -> tuple[Tensor, ...]:
    """[m, d] vectors of each of several batches of items, such as both views and the main loss's
    items, from one pass.

    One pass costs less than one for each part: every embedding table gets one gradient, to be
    sorted and applied once.
    """
    return item_vectors(concat_features(list(parts))).split(
        [len(next(iter(part.values()))) for part in parts]
    )


@dataclass(frozen=True)
class RandomMask:
    """Random mask: every field of every item is masked with chance `p`, for each view anew (the
    notes).
    """

    p: float
    keep_popularity: bool = False

    def __post_init__(self) -> None:
        _check_chance(self.p)

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features, self.keep_popularity)
        return drop_fields(features, self.p, generator), drop_fields(features, self.p, generator)


@dataclass(frozen=True)
class Dropout:
    """Dropout: every value of every bag is dropped with chance `p`, for each view anew (Yao et al.,
    2021, section 3).

    Half of the values on average, as the notes say; a bag that loses all of them is the default.
    Fields with one value are left as they are, the ID too, so the two views are much more alike
    than those of the other augmentations.
    """

    p: float = 0.5
    keep_popularity: bool = False

    def __post_init__(self) -> None:
        _check_chance(self.p)

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features, self.keep_popularity)
        bags = {
            name: values
            for name, values in features.items()
            if name != "popularity" and values.dim() > 1
        }
        if not bags:
            raise ValueError(
                "no field of these items is multi-valued, so dropout has nothing to drop; use another augmentation."
            )

        def subsampled(values: Tensor) -> Tensor:
            return values * (torch.rand(values.shape, generator=generator) >= self.p).to(
                values.device
            )  # [m, L]

        first, second = (
            {name: subsampled(values) for name, values in bags.items()} for _ in range(2)
        )
        return features | first, features | second


@dataclass(frozen=True)
class Complementary:
    """Complementary: the k fields in random order, the first ⌊k/2⌋ in one view, the others in the
    other view (the notes).

    No field is in both, so nothing can be copied: what the views share is what one half of an item
    says about the other.
    """

    keep_popularity: bool = False

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features, self.keep_popularity, least=2)
        names = field_names(features)
        order = torch.randperm(len(names), generator=generator).tolist()
        return _split(features, {names[i] for i in order[: len(names) // 2]})


class CorrelatedMask:
    """Correlated mask: a random seed field and its ⌊k/2⌋ most related ones are masked, the rest is
    retained (the notes).

    Complementary splits by chance, so colour may be in one view and a label that gives the colour
    away in the other; here relatives are hidden together. The first view shows the rest. The second
    view is its complement: it shows the seed and its relatives and masks the rest, as Yao et al.
    (2021, section 3) split the fields in two. Were it another correlated mask, the two views would
    share fields, and with the same seed be equal.

    - `mi`: k×k, how related the fields are, by `mutual_information`, from the training period
      alone.
    - `masked`: what the first view masks, by seed: the seed, then its relatives, the most related
      first; equally related ones in the order of `mi`. With k = 2 the seed alone, so that something
      is retained.
    """

    def __init__(self, mi: pd.DataFrame, keep_popularity: bool = False) -> None:
        k = len(mi)
        if k < 2 or not mi.index.equals(mi.columns):
            raise ValueError(
                f"mi has shape {mi.shape}; its rows and columns must be the same fields in the same order, two or more."
            )
        if not np.isfinite(mi.to_numpy(float)).all() or not np.allclose(mi, mi.T):
            raise ValueError(
                "mi is not symmetric or has a value that is not finite; make it with mutual_information."
            )
        self.keep_popularity = keep_popularity
        self.masked: dict[str, list[str]] = {}
        for seed in mi.index:
            relatives = mi.loc[seed].drop(seed).sort_values(ascending=False, kind="stable").index
            self.masked[seed] = [seed, *relatives[: min(k // 2, k - 2)]]

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features, self.keep_popularity, least=2)
        names = field_names(features)
        if set(names) != set(self.masked):
            raise ValueError(
                f"mi is about other fields than the items have: {', '.join(sorted(set(names) ^ set(self.masked)))}."
            )
        seed = names[torch.randint(len(names), (), generator=generator).item()]
        return _split(features, set(names) - set(self.masked[seed]))


def mutual_information(
    items: pd.DataFrame, weights: pd.Series | np.ndarray | None = None
) -> pd.DataFrame:
    """k×k mutual information between the item fields, in nats: Σ p(x, y) log [p(x, y) / (p(x)
    p(y))].

    Computed offline, on the table of raw values, as Σ −p log p of both fields minus that of the
    pair. A row is drawn with chance by its weight, then of each multi-valued field one of the row's
    values, each equally likely and on its own. (As sets, bags would nearly all be different, and
    every field would seem to determine them.) A missing value, or an empty bag, is a value too: the
    default. The diagonal is the field's entropy; a field with one value has 0 everywhere.

    The ID determines every single-valued field: MI(ID, f) is all of f's entropy, and no field is
    more related to f. The same goes, by chance, for any field with nearly as many values as there
    are rows. So a correlated mask by plain MI, as the notes and Yao et al. (2021, section 3) have
    it, hides the ID and the fields of many values with every seed: compare with the MI of
    `shuffled_columns(items)`, which is what chance alone gives (without weights).

    - `items`: rows of `EventLog.items`: those known before the test period.
    - `weights`: [n] events per item in the training period, in row order, or a Series by item (an
      item that is not in it weighs 0). None: every item once.
    - Returns a symmetric DataFrame, rounded to 12 decimals: the same relation is the same number,
      however it was summed.
    """
    if items.index.name is None:
        raise ValueError(
            "items has an index without a name, and the index is the ID field; use items.set_index('item')."
        )
    if len(items) == 0:
        raise ValueError("items has no rows; mutual information needs at least one.")
    shares = _shares(items, weights)  # [n]
    encoder = Encoder(items)
    encoder.learn(items)
    fields = {
        name: _draws(values.numpy()) for name, values in encoder.encode(items).items()
    }  # each [n, values]
    entropy = {name: entr(shares @ draws).sum() for name, draws in fields.items()}
    mi = pd.DataFrame(np.diag(list(entropy.values())), index=list(fields), columns=list(fields))
    for i, one in enumerate(fields):
        weighted = fields[one].multiply(shares[:, None]).T.tocsr()  # [values of one, n]
        for other in list(fields)[i + 1 :]:
            joint = (weighted @ fields[other]).data  # the pairs of values that occur
            mi.loc[one, other] = mi.loc[other, one] = (
                entropy[one] + entropy[other] - entr(joint).sum()
            )
    return mi.round(12) + 0.0  # no −0.0


def shuffled_columns(items: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The same fields, each column and the ID in a random order of its own: what is left of their
    relations is chance.

    For `mutual_information` without weights: weights belong to rows, and these rows are no items
    any more.
    """
    generator = np.random.default_rng(seed)
    columns = {
        name: column.to_numpy()[generator.permutation(len(items))] for name, column in items.items()
    }
    ids = pd.Index(items.index.to_numpy()[generator.permutation(len(items))], name=items.index.name)
    return pd.DataFrame(columns, index=ids)


def field_names(features: Features) -> list[str]:
    """The fields, the ID first: everything but `popularity`."""
    return [name for name in features if name != "popularity"]


def _split(features: Features, shown: set[str]) -> tuple[Features, Features]:
    """A view with these fields and a view with all others; what is masked is 0."""
    first, second = dict(features), dict(features)
    for name in field_names(features):
        (second if name in shown else first)[name] = torch.zeros_like(features[name])
    return first, second


def _prepare(features: Features, keep_popularity: bool, least: int = 1) -> Features:
    """The features as the views start from them, checked."""
    if len(field_names(features)) < least:
        found = ", ".join(field_names(features)) or "none"
        raise ValueError(
            f"these items have too few fields ({found}); this augmentation needs at least {least}."
        )
    statistics = features.get("popularity")
    if statistics is None:
        return features
    if not statistics.isfinite().all():
        row = int((~statistics.isfinite()).any(1).nonzero()[0])
        raise ValueError(
            f"statistics, row {row}, is NaN or infinite; purchase counts are finite, 0 where there are none."
        )
    return features if keep_popularity else features | {"popularity": torch.zeros_like(statistics)}


def _check_chance(p: float) -> None:
    if not 0 <= p < 1:
        raise ValueError(
            f"p is {p}; it is a chance, at least 0 and below 1, as with 1 nothing would be left of any item."
        )


def _shares(items: pd.DataFrame, weights: pd.Series | np.ndarray | None) -> np.ndarray:
    """[n] each row's share of all weight."""
    if isinstance(weights, pd.Series):
        weights = weights.reindex(items.index, fill_value=0)
    weights = np.ones(len(items)) if weights is None else np.asarray(weights, dtype=float)
    if weights.shape != (len(items),):
        raise ValueError(
            f"weights has shape {weights.shape} and items has {len(items)} rows; give one weight per row."
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
    return csr_array(
        (1 / filled.sum(1)[rows], (rows, bags[filled])), shape=(len(bags), bags.max() + 1)
    )
