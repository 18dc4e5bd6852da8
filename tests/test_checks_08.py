"""The checks of chapter 08's exercises: a right function passes, each typical mistake gets its
sentence.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from course_lib.augment import RandomMask
from course_lib.checks import chapter_08


def rows_of(keep, values):
    return keep if values.dim() == 1 else keep[:, None]


def apply_mask(features, keep):
    return {
        name: values.masked_fill(~rows_of(keep[name], values), 0)
        for name, values in features.items()
    }


def share_chance(filled, p):
    return 1 - (p * (2 - p)) ** filled


def random_mask(features, p, generator):
    return RandomMask(p)(features, generator)


def weighted_mask(features, chances, generator, flip=False, other=0.0, one_coin=False, masked=0):
    if not set(chances) <= set(features) or not all(
        0 <= chance <= 1 for chance in chances.values()
    ):
        raise ValueError("a chance of no field, or out of 0 to 1")
    view, coin = {}, torch.rand(len(features["item"]), generator=generator)
    for name, values in features.items():
        chance = chances.get(name, other)
        coin = coin if one_coin else torch.rand(len(values), generator=generator)
        keep = coin < chance if flip and name in chances else coin >= chance
        view[name] = values.masked_fill(~rows_of(keep, values), masked)
    return view


def paired(table, arm, other, column, confidence=0.95):
    gaps = gaps_of(table, arm, other, column)
    return interval(gaps, stats.t.ppf(0.5 + confidence / 2, len(gaps) - 1))


def gaps_of(table, arm, other, column):
    one, two = (table[table["arm"] == name].set_index("seed")[column] for name in (arm, other))
    return np.array([one[seed] - two[seed] for seed in one.index.intersection(two.index)])


def interval(gaps, factor, ddof=1):
    half = factor * gaps.std(ddof=ddof) / len(gaps) ** 0.5
    return gaps.mean(), gaps.mean() - half, gaps.mean() + half


RIGHT = [apply_mask, share_chance, random_mask, weighted_mask, paired]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_08, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def minus_one(features, keep):
    return {
        name: values.masked_fill(~rows_of(keep[name], values), -1)
        for name, values in features.items()
    }


def one_view(features, p, generator):
    return (RandomMask(p)(features, generator)[0],) * 2


def one_coin(features, p, generator):
    keep = [torch.rand(len(features["item"]), generator=generator) >= p for _ in range(2)]
    return tuple(
        {name: values * rows_of(coins, values) for name, values in features.items()}
        for coins in keep
    )


def same_for_all_items(features, p, generator):
    coins = torch.rand(2, len(features), generator=generator) >= p
    return tuple(
        {name: features[name] * coin for name, coin in zip(features, row, strict=True)}
        for row in coins
    )


def word_by_word(features, p, generator):
    return tuple(
        {n: v * (torch.rand(v.shape, generator=generator) >= p) for n, v in features.items()}
        for _ in range(2)
    )


def own_generator(features, p, generator):
    return RandomMask(p)(features, torch.Generator().manual_seed(generator.seed()))


def one_coin_for_all_items(features, chances, generator):
    return {
        n: v * int(torch.rand(1, generator=generator) >= chances.get(n, 0))
        for n, v in features.items()
    }


def words_one_by_one(features, chances, generator):
    return {
        n: v * (torch.rand(v.shape, generator=generator) >= chances.get(n, 0))
        for n, v in features.items()
    }


def without_questions(features, chances, generator):
    return {
        n: v * rows_of(torch.rand(len(v), generator=generator) >= chances.get(n, 0), v)
        for n, v in features.items()
    }


def means(table, arm, other, column):
    found = table.groupby("arm")[column].mean()
    return found[arm] - found[other], 0.0, 1.0


def half_by(factor, ddof=1):
    """`paired` with another factor in the place of t."""
    return lambda *arguments: interval(gaps_of(*arguments), factor, ddof)


def unpaired(table, arm, other, column):
    shared = table[table["seed"].isin([0, 2])]
    one, two = (shared[shared["arm"] == name][column] for name in (arm, other))
    found = stats.ttest_ind(one, two).confidence_interval()
    return one.mean() - two.mean(), found.low, found.high


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        (
            "apply_mask",
            lambda f, keep: apply_mask(f, {name: ~values for name, values in keep.items()}),
            "True means keep",
        ),
        ("apply_mask", minus_one, "not −1"),
        ("apply_mask", lambda f, keep: f["item"], "expected a dict"),
        ("share_chance", lambda n, p: 1 - p**n, "one view's chance"),
        ("share_chance", lambda n, p: (1 - (1 - p) ** 2) ** n, "share nothing"),
        ("share_chance", lambda n, p: (1 - p) ** 2, "for one field"),
        ("share_chance", lambda n, p: n * (1 - p) ** 2, "do not add up"),
        ("share_chance", lambda n, p: 1 - (1 - p**2) ** n, "chance to be masked"),
        ("random_mask", one_view, "Coins of the two views"),
        ("random_mask", one_coin, "Coins of two fields"),
        ("random_mask", same_for_all_items, "should be shown in 70 %|Coins of"),
        ("random_mask", word_by_word, "lost one word"),
        ("random_mask", lambda f, p, g: random_mask(f, 1 - p, g), "shown in 70 %"),
        ("random_mask", lambda f, p, g: random_mask(f, p, g)[0], "pair of views"),
        (
            "random_mask",
            lambda f, p, g: ({n: v - 1 for n, v in f.items()},) * 2,
            "a value that the item does not have",
        ),
        (
            "weighted_mask",
            lambda *arguments: weighted_mask(*arguments, flip=True),
            "to be masked, not to be shown",
        ),
        (
            "weighted_mask",
            lambda *arguments: weighted_mask(*arguments, other=1.0),
            "without a chance is kept",
        ),
        ("random_mask", own_generator, "draw everything with"),
        ("weighted_mask", words_one_by_one, "lost one word"),
        ("weighted_mask", one_coin_for_all_items, "one coin for all items"),
        (
            "weighted_mask",
            lambda *arguments: weighted_mask(*arguments, one_coin=True),
            "coins of their own",
        ),
        (
            "weighted_mask",
            lambda *arguments: weighted_mask(*arguments, masked=-1),
            "a value that the item does not have",
        ),
        (
            "weighted_mask",
            lambda f, c, g: weighted_mask(f, c, torch.Generator().manual_seed(g.seed())),
            "draw everything with",
        ),
        ("weighted_mask", without_questions, "colr.*should raise ValueError"),
        ("paired", means, "no partner"),
        (
            "paired",
            lambda t, arm, other, column: paired(t, other, arm, column),
            "not the other way round",
        ),
        ("paired", lambda *arguments: paired(*arguments)[:2], "Three numbers"),
        ("paired", half_by(1), "no interval yet"),
        ("paired", half_by(stats.norm.ppf(0.975)), "1.96"),
        ("paired", half_by(stats.t.ppf(0.975, 2)), "two degrees of freedom"),
        ("paired", lambda *arguments: paired(*arguments, confidence=0.9), "interval of 90 %"),
        ("paired", half_by(stats.t.ppf(0.975, 1) * 2**0.5), "by √n"),
        ("paired", half_by(stats.t.ppf(0.975, 1), ddof=0), "n − 1"),
        ("paired", unpaired, "as if no seed had a partner"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_08, f"check_{exercise}")(function)
