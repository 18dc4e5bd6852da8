"""Augmentations: two views of each item, for self-supervised learning (the notes; Yao et al., 2021,
section 3).

An augmentation is a callable `(item_features, generator) -> (view', view'')`, all three `Features`
of m items. What a view does not show is index 0, the field's default; the ID is a field like any
other. Both views depend on the features and on the generator's state alone, and the features stay
as they were.

`popularity`, an item's recent purchase counts, is no field. Both views set it to 0, as of an item
never sold: two views that kept it would be matched by it alone. `Complementary` and
`CorrelatedMask` draw one split of the fields per call (as Yao et al. do): with one per item, two
views could be matched by which fields are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_lib.features import Features, concat_features, drop_fields, index_rows
from course_lib.frames import checked

ALMOST_ALL = 0.9999  # the largest chance to hide a value
Augmentation = Callable[[Features, torch.Generator], tuple[Features, Features]]


@dataclass(frozen=True)
class SelfSupervision:
    """The self-supervised term of a joint loss: what each step draws, how it is transformed, and
    what it weighs.

    - `augment`: makes the two views. `alpha`: α, the weight of the term. `temperature`: τ_s.
    - `m`: items per step, drawn uniformly from those known.
    """

    augment: Augmentation
    alpha: float = 0.1
    temperature: float = 0.2
    m: int = 256

    def __post_init__(self) -> None:
        checked("alpha", self.alpha, 0)
        checked("temperature", self.temperature, 1e-12)
        checked("m", self.m, 2, whole=True)

    def views(self, catalogue: Features, generator: torch.Generator) -> tuple[Features, Features]:
        """Two views of m items of the catalogue, all of them if there are fewer."""
        ids = next(iter(catalogue.values()))
        rows = uniform_items(len(ids), self.m, generator) - 1
        return self.augment(index_rows(catalogue, rows.to(ids.device)), generator)


def uniform_items(known: int, m: int, generator: torch.Generator) -> Tensor:
    """[m] different item indices out of 1 … `known`, each equally likely; all, if there are fewer.

    Uniform, because the term is for the tail (the notes; Yao et al., 2021, section 3). Different,
    because a second copy of an item would be a negative of itself. Costs what m is.
    """
    if m < 2 or known < 2:
        raise ValueError(
            f"m is {m} and {known} items are known; a contrast needs at least two items."
        )
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    rows = np.random.default_rng(seed).choice(known, min(m, known), replace=False)
    return torch.from_numpy(rows + 1)


def vectors_together(
    item_vectors: Callable[[Features], Tensor], *parts: Features
) -> tuple[Tensor, ...]:
    """[m, d] vectors of each of several batches of items, from one pass: every embedding table gets
    one gradient.
    """
    sizes = [len(next(iter(part.values()))) for part in parts]
    return item_vectors(concat_features(list(parts))).split(sizes)


@dataclass(frozen=True)
class RandomMask:
    """Random mask: each view anew masks every field with chance `p` (the notes)."""

    p: float

    def __post_init__(self) -> None:
        checked("p", self.p, 0, ALMOST_ALL)

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features)
        return drop_fields(features, self.p, generator), drop_fields(features, self.p, generator)


@dataclass(frozen=True)
class Dropout:
    """Dropout: every value of every bag is dropped with chance `p`, for each view anew (Yao et al.,
    2021, section 3).

    A bag that loses all of them is the default. Fields with one value are left as they are, the ID
    too.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        checked("p", self.p, 0, ALMOST_ALL)

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features)
        bags = [name for name in field_names(features) if features[name].dim() > 1]
        if not bags:
            raise ValueError(
                "no field of these items is multi-valued, so dropout has nothing to drop; use "
                "another augmentation."
            )

        def subsampled(values: Tensor) -> Tensor:
            keep = torch.rand(values.shape, generator=generator) >= self.p  # [m, L]
            return values * keep.to(values.device)

        first, second = ({name: subsampled(features[name]) for name in bags} for _ in range(2))
        return features | first, features | second


@dataclass(frozen=True)
class Complementary:
    """Complementary: the k fields in random order, the first ⌊k/2⌋ in one view, the others in the
    other view (the notes): what the views share is what one half of an item says of the other.
    """

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features, least=2)
        names = field_names(features)
        order = torch.randperm(len(names), generator=generator).tolist()
        return _split(features, {names[i] for i in order[: len(names) // 2]})


class CorrelatedMask:
    """Correlated mask: a random seed field and its ⌊k/2⌋ most related ones are masked, the rest is
    retained (the notes).

    The first view shows the rest; the second is its complement (Yao et al., 2021, section 3).

    - `mi`: k×k, how related the fields are, by `mutual_information`, of the training period.
    - `masked`: what the first view masks, by seed: the seed, then its relatives, the most related
      first; with k = 2 the seed alone, so that something is retained.
    """

    def __init__(self, mi: pd.DataFrame) -> None:
        k = len(mi)
        if k < 2 or not mi.index.equals(mi.columns) or not mi.index.is_unique:
            raise ValueError(
                f"mi has shape {mi.shape}; its rows and columns must be the same fields in the "
                "same order, two or more."
            )
        if not np.isfinite(mi.to_numpy(float)).all() or not np.allclose(mi, mi.T):
            raise ValueError(
                "mi is not symmetric or has a value that is not finite; make it with "
                "mutual_information."
            )
        self.masked: dict[str, list[str]] = {}
        for seed in mi.index:
            relatives = mi.loc[seed].drop(seed).sort_values(ascending=False, kind="stable").index
            self.masked[seed] = [seed, *relatives[: min(k // 2, k - 2)]]

    def __call__(self, features: Features, generator: torch.Generator) -> tuple[Features, Features]:
        features = _prepare(features, least=2)
        names = field_names(features)
        if set(names) != set(self.masked):
            raise ValueError(
                "mi is about other fields than the items have: "
                f"{', '.join(sorted(set(names) ^ set(self.masked)))}."
            )
        seed = names[torch.randint(len(names), (), generator=generator).item()]
        return _split(features, set(names) - set(self.masked[seed]))


def field_names(features: Features) -> list[str]:
    """The fields, the ID first: everything but `popularity`."""
    return [name for name in features if name != "popularity"]


def _split(features: Features, shown: set[str]) -> tuple[Features, Features]:
    """A view with these fields and a view with all others; what is masked is 0."""
    first, second = dict(features), dict(features)
    for name in field_names(features):
        (second if name in shown else first)[name] = torch.zeros_like(features[name])
    return first, second


def _prepare(features: Features, least: int = 1) -> Features:
    """The features as the views start from them: checked, and as of items never sold."""
    if len(field_names(features)) < least:
        found = ", ".join(field_names(features)) or "none"
        raise ValueError(
            f"these items have too few fields ({found}); this augmentation needs at least {least}."
        )
    counts = features.get("popularity")
    return features if counts is None else features | {"popularity": torch.zeros_like(counts)}


# name → what makes it of `mi`, how related the fields are. A line adds one, such as
# "name": "course_lib.augment_name:Name", the path of a class or function.
AUGMENTATIONS: dict[str, Callable[[pd.DataFrame], Augmentation] | str] = {
    "random mask": lambda mi: RandomMask(0.5),
    "dropout": lambda mi: Dropout(),
    "complementary": lambda mi: Complementary(),
    "correlated mask": CorrelatedMask,
}


def augmentation(name: str, mi: pd.DataFrame) -> Augmentation:
    """The one of that name in `AUGMENTATIONS`; `mi`: of the items, by `mutual_information`."""
    if name not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise ValueError(f"there is no augmentation '{name}'; the ones that are: {known}.")
    make = AUGMENTATIONS[name]
    return (resolve_name(make) if isinstance(make, str) else make)(mi)
