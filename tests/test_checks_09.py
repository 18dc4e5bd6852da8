"""Chapter 09's checks: mistakes beside those in the checks, and the references."""

import numpy as np
import pytest
import torch

from course_lib.augment import Dropout
from course_lib.checks import chapter_09
from course_lib.online_retail import load_online_retail


def beside(items, fields, name):
    return items.assign(**{name: [[]] * 3})


def in_place(items, fields, name):
    items[name] = [[]] * 3
    return items


def thin(bag, p, generator):
    """By the library's dropout, row by row in Python."""
    rows = [[v for v in row if v] for row in Dropout(p)({"bag": bag}, generator)[0]["bag"].tolist()]
    width = max(1, *map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def narrow_as_nothing(bag, p, generator):
    found = thin(bag, p, generator)
    return found[:, : int((found > 0).sum(1).max())]


def by_coin(shape):
    """`thin` with coins of this shape."""
    return lambda b, p, g: thin(b * (torch.rand(shape(b), generator=g) >= p), 0.0, g)


def half(bag, generator):
    left = torch.zeros_like(bag)
    for row, values in enumerate(bag):
        places = values.nonzero()[:, 0]
        kept = places[torch.randperm(len(places), generator=generator)[: -(-len(places) // 2)]]
        left[row, kept] = values[kept]
    return left


def up(bag):
    return ((bag > 0).sum(1, keepdim=True) + 1) // 2


def half_of_places(bag, generator):
    rank = torch.rand(bag.shape, generator=generator).argsort(dim=1).argsort(dim=1)
    return bag * (rank < (bag.shape[1] + 1) // 2)


def one_order_for_all(bag, generator):
    lots = torch.rand(bag.shape[1], generator=generator).expand(bag.shape).masked_fill(bag == 0, 2)
    return bag * (lots.argsort(dim=1).argsort(dim=1) < up(bag))


def own_seed(function):
    return lambda *arguments: function(*arguments[:-1], torch.Generator().manual_seed(5))


OWN = {
    "as_bag": [(in_place, "in place"), (beside, "expected the columns")],
    "thin": [
        (thin, None),
        (narrow_as_nothing, "keep one place"),
        (by_coin(lambda bag: (len(bag), 1)), "a coin of its own"),
        (by_coin(lambda bag: bag.shape[1]), "left in 75 %|a coin of its own"),
        (lambda b, p, g: thin(b, p and 1 - p, g), "Is p the chance to stay"),
        (own_seed(thin), "same view twice"),
    ],
    "half": [
        (half, None),
        (half_of_places, "half of the places|numbers of values left"),
        (lambda bag, generator: thin(bag, 0.5, generator), "every place should hold"),
        (lambda bag, g: Dropout(0.5)({"bag": bag}, g)[0]["bag"], "numbers of values left"),
        (lambda bag, g: bag * ((bag > 0).cumsum(1) <= up(bag)), "drawn on its own"),
        (one_order_for_all, "drawn on its own"),
        (own_seed(half), "same view twice"),
    ],
    "flat": [
        (lambda bag: bag[bag > 0], "2 things should come back"),
        (lambda bag: ([5, 2, 0, 3, 0], [0, 2, 3, 4]), None),
        (lambda bag: (bag[bag > 0].float(), bag), "LongTensor with 1 dim.*, and got torch.float32"),
    ],
    "nothing_shared": [(lambda sizes, p: (p * (2 - p)) ** sizes, "2 things should come back")],
}


def test_the_references_against_numbers_by_hand():
    assert chapter_09.by_coins(0, 0.5) == chapter_09.by_halves(0) == 1
    assert chapter_09.by_coins(2, 0.5) == pytest.approx(0.75**2)
    assert chapter_09.by_coins(1, 0.2) == pytest.approx(1 - 0.8**2)
    # of four words two each: one of the six pairs leaves the first view's two out
    assert [chapter_09.by_halves(k) for k in (1, 2, 3, 4)] == pytest.approx([0, 1 / 2, 0, 1 / 6])


def test_the_chance_of_coins_is_what_the_librarys_dropout_does():
    sizes = load_online_retail().items["keywords"].map(len).clip(upper=6).to_numpy()
    bag = torch.from_numpy((np.arange(6) < sizes[:, None]).astype(np.int64))
    first, second = Dropout(0.3)({"bag": bag}, torch.Generator().manual_seed(0))
    apart = float((~((first["bag"] > 0) & (second["bag"] > 0)).any(1)).double().mean())
    assert apart == pytest.approx(np.mean([chapter_09.by_coins(k, 0.3) for k in sizes]), abs=0.02)
