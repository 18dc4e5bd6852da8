"""Chapter 07's checks: mistakes beside those in the checks, and the references."""

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.augment import uniform_items
from course_lib.checks import chapter_07
from course_lib.losses import self_supervised


def gumbel(times_bought, m, power, rng):
    """The largest of log weight + noise."""
    known = np.flatnonzero(times_bought)
    keys = power * np.log(times_bought[known]) + rng.gumbel(size=len(known))
    return known[np.argsort(-keys)[:m]]


def choice(times_bought, m, power, rng, among=np.flatnonzero, replace=False):
    places = among(times_bought)
    weight = times_bought[places].astype(float) ** power
    size = m if replace else min(m, len(places))
    return rng.choice(places, size, replace=replace, p=weight / weight.sum())


OWN = {
    "slice_shares": [
        (lambda times: pd.DataFrame({"items": [1.0]}, ["tail"]), "expected the index")
    ],
    "draw": [
        (gumbel, None),
        (lambda *given: choice(*given, replace=True), "draw without replacement"),
        (lambda *given: choice(*given, among=lambda t: np.arange(len(t))), "0 to the power 0"),
        (lambda t, m, power, rng: choice(t, m, 1, rng), "power 0: item"),
        (lambda t, m, power, rng: choice(t, m, 0, rng), "power 1: item"),
        (lambda *given: choice(*given) + 90, "two places from 0 to 4"),
        (lambda *given: choice(*given)[:1], "A draw of 2 has 1 items"),
        (lambda t, m, power, rng: gumbel(t, min(m, 3), power, rng), "should be all four"),
        (lambda t, m, power, rng: gumbel(t, m, power, np.random.default_rng()), "draw everything"),
    ],
    "split_loss": [(lambda squared, t: squared.diagonal().mean(), "expected shape")],
}


def test_the_references_against_the_library():
    draw = torch.Generator().manual_seed(0)
    for views in (torch.randn(2, 9, 4, generator=draw), *chapter_07.four_maps().values()):
        first, second = (torch.nn.functional.normalize(view, dim=1) for view in views)
        loss = chapter_07.losses_by_hand(first.numpy(), second.numpy(), 0.3).mean()
        assert loss == pytest.approx(self_supervised(first, second, 0.3).item(), abs=1e-5)


def test_the_references_against_numbers_by_hand():
    # of weights 3, 1 and 1 two are drawn: a 1 is in with 1/5 + 3/5 · 1/2 + 1/5 · 1/4
    assert chapter_07.inclusion([3, 0, 1, 1], 2, 1) == pytest.approx([0.9, 0, 0.55, 0.55])
    assert chapter_07.inclusion([3, 0, 1, 1], 2, 0) == pytest.approx([2 / 3, 0, 2 / 3, 2 / 3])
    generator = torch.Generator().manual_seed(0)
    seen = torch.cat([uniform_items(3, 2, generator) for _ in range(600)]).bincount()[1:] / 600
    assert seen.numpy() == pytest.approx(chapter_07.inclusion([3, 1, 1], 2, 0), abs=0.08)
    # two rows of one item: no negative is left; two different ones at cosine 0: log 2 each way
    joint = chapter_07.joint_by_hand
    assert joint([1.0], np.eye(2), [7, 7], 0.1, 5.0) == pytest.approx(1.0)
    assert joint([1.0, 3.0], np.zeros((2, 2)), [7, 8], 0.1, 0.5) == pytest.approx(2 + np.log(2) / 2)
