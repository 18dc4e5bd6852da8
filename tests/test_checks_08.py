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


def weighted_mask(features, chances, generator, masked=0, one_coin=False, ask=True):
    if ask and (not set(chances) <= set(features) or max(chances.values()) > 1):
        raise ValueError("a chance of no field, or above 1")
    view, coin = {}, torch.rand(len(features["item"]), generator=generator)
    for name, values in features.items():
        coin = coin if one_coin else torch.rand(len(values), generator=generator)
        keep = (coin >= chances.get(name, 0)).view(-1, *[1] * (values.dim() - 1))
        view[name] = values.masked_fill(~keep, masked)
    return view


def shaped(shape):
    """A mask whose coins have `shape(values)`."""
    return lambda features, chances, generator: {
        name: values * (torch.rand(shape(values), generator=generator) >= chances.get(name, 0))
        for name, values in features.items()
    }


OWN = {
    "apply_mask": [(lambda features, keep: features["item"], "[Ee]xpected a dict")],
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
    "weighted_mask": [
        (weighted_mask, None),
        (shaped(lambda values: values.shape), "lost one word"),
        (shaped(lambda values: 1), "one coin for all items"),
        (partial(weighted_mask, one_coin=True), "coins of their own"),
        (partial(weighted_mask, masked=-1), "a value that the item does not have"),
        (unseeded(weighted_mask), "draw everything with"),
        (partial(weighted_mask, ask=False), "colr.*should raise ValueError"),
    ],
    "paired": [(lambda *given: (0.15, 0.1), "3 things should come back, mean, low, high")],
}
