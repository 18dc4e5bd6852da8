"""Which negatives the main loss has, which weights are served, and what stands beside the towers:
each arm adds one thing to the one before.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from course_lib import movie_tweetings
from course_lib.baselines import EASE, ItemCF, Popularity
from course_lib.experiments.replays import Baseline, Run, nightly
from course_lib.losses import in_batch_softmax
from course_lib.tuning import RECIPE

ALL = 10**6  # more than a small catalogue holds: the full softmax
MASKED = {"negatives": ALL, "mask_bought": True}
AVERAGED = MASKED | {"average": 0.8}
LINEAR = {"linear_rank": 64}
POPULARITY = {"popularity_weight": 1.0}


def without_log_q(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float
) -> Tensor:
    """`in_batch_softmax` without its correction."""
    return in_batch_softmax(users, items, torch.zeros_like(log_q), ids, temperature)


def with_accidental_hits(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float
) -> Tensor:
    """`in_batch_softmax` that takes other copies of the user's own item for negatives."""
    logits = users @ items.T / temperature - log_q  # [n, n]
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def test() -> Iterator[Run]:
    """From the plainest in-batch loss to everything, on the shop's test days."""
    yield from nightly("in-batch, no logQ", loss=without_log_q)
    yield from nightly("in-batch, accidental hits", loss=with_accidental_hits)
    yield from nightly("in-batch")
    yield from nightly("256 drawn", negatives=256)
    yield from nightly("256 drawn, masked", negatives=256, mask_bought=True)
    yield from nightly("256 drawn, masked, averaged", negatives=256, mask_bought=True, average=0.8)
    yield from nightly("all items", negatives=ALL)
    yield from nightly("all items, masked", **MASKED)
    yield from nightly("all items, masked, averaged", **AVERAGED)
    yield from nightly("averaged", average=0.8)
    yield from nightly("all + popularity", **AVERAGED, **POPULARITY)
    yield from nightly("all + linear", **AVERAGED, **LINEAR)
    yield from nightly("everything", **RECIPE)


def films() -> Iterator[Run]:
    """The arms that matter, and what they are compared with, on films; three seeds."""
    yield Run("popularity", 0, Baseline(Popularity))
    yield Run("item-to-item CF", 0, Baseline(ItemCF))
    yield Run("EASE", 0, Baseline(EASE))
    arms = {"in-batch": {}, "256 drawn, masked": {"negatives": 256, "mask_bought": True}}
    arms |= {"all items, masked, averaged": AVERAGED, "everything": RECIPE}
    for name, changes in arms.items():
        yield from nightly(name, until=movie_tweetings.TEST[0], seeds=range(3), **changes)
