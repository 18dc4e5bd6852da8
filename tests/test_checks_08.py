"""Chapter 08's checks: mistakes beside those in the checks."""

from functools import partial

import torch

from course_lib.augment import RandomMask


def random_mask(features, p, generator):
    return RandomMask(p)(features, generator)


def one_view(features, p, generator):
    return (random_mask(features, p, generator)[0],) * 2


def of_coins(draw):
    """Two views by `draw(features, generator)`, the coins of every field."""
    return lambda features, p, generator: tuple(
        {
            name: values * (coins >= p)
            for (name, values), coins in zip(features.items(), drawn, strict=True)
        }
        for drawn in (draw(features, generator), draw(features, generator))
    )


def one_coin(features, generator):
    coins = torch.rand(len(features["item"]), generator=generator)
    return [coins, coins, coins[:, None]]


def unseeded(function):
    """The same by a generator of its own, anew in each call."""
    fresh = torch.Generator()
    return lambda *given: function(*given[:-1], fresh)


def never_empty(features, p, generator, masked=0, ask=True, coins=random_mask):
    """The library's mask, and for whoever shows nothing the first of 99 more that shows anything."""
    if ask and not 0 <= p < 1:
        raise ValueError("p is no chance to leave anything")
    masks = [coins(features, p, generator)[0] for _ in range(99 if p else 1)]
    for new in masks[1:]:
        shown = sum(v.view(len(v), -1).any(1).int() for v in masks[0].values()) > 0
        for name, values in masks[0].items():
            values[~shown] = new[name][~shown]
    return {n: torch.where(v == 0, masked, v) for n, v in masks[0].items()}


def at_most(features, p, generator):
    return random_mask(features, min(max(p, 0), 0.9), generator)


OWN = {
    "apply_mask": [(lambda features, keep: features["item"], "a dict with the fields")],
    "random_mask": [
        (random_mask, None),
        (one_view, "Coins of the two views"),
        (of_coins(one_coin), "Coins of two fields"),
        (of_coins(lambda f, g: torch.rand(3, generator=g)), "shown in 70 %|Coins of"),
        (of_coins(lambda f, g: [torch.rand(v.shape, generator=g) for v in f.values()]), "lost one"),
        (lambda f, p, g: random_mask(f, 1 - p, g), "shown in 70 %"),
        (lambda f, p, g: random_mask(f, p, g)[0], "2 things should come back, first, second"),
        (lambda f, p, g: ({n: v - 1 for n, v in f.items()},) * 2, "a value that the item does not"),
        (unseeded(random_mask), "draw everything with"),
    ],
    "never_empty": [
        (never_empty, None),
        (partial(never_empty, coins=of_coins(one_coin)), "expected 0.45.*, and got"),
        (partial(never_empty, masked=-1), "a value that the item does not have"),
        (unseeded(never_empty), "draw everything with"),
        (partial(never_empty, ask=False, coins=at_most), "p = 1.0 should raise ValueError"),
        (lambda features, p, generator: list(features), "a dict with the fields"),
    ],
    "paired": [(lambda *given: (0.15, 0.1), "3 things should come back, mean, low, high")],
}
