"""The checks of chapter 08's exercises: a right function passes, each typical mistake gets its sentence."""

import pandas as pd
import pytest
import torch

from course_lib.augment import RandomMask
from course_lib.checks import chapter_08


def rows_of(keep, values):
    return keep if values.dim() == 1 else keep[:, None]


def apply_mask(features, keep):
    return {name: values.masked_fill(~rows_of(keep[name], values), 0) for name, values in features.items()}


def share_chance(filled, p):
    return 1 - (p * (2 - p)) ** filled


def random_mask(features, p, generator):
    return RandomMask(p)(features, generator)


def weighted_mask(features, chances, generator, flip=False, other=0.0):
    view = {}
    for name, values in features.items():
        chance = chances.get(name, other)
        coin = torch.rand(len(values), generator=generator)
        view[name] = values * rows_of(coin < chance if flip and name in chances else coin >= chance, values)
    return view


def paired(table, arm, other, column):
    one, two = (table[table["arm"] == name].set_index("seed")[column] for name in (arm, other))
    gaps = pd.Series({seed: one[seed] - two[seed] for seed in one.index.intersection(two.index)})
    return gaps.mean(), (gaps.max() - gaps.min()) / 2


RIGHT = [apply_mask, share_chance, random_mask, weighted_mask, paired]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_08, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def minus_one(features, keep):
    return {name: values.masked_fill(~rows_of(keep[name], values), -1) for name, values in features.items()}


def one_view(features, p, generator):
    return (RandomMask(p)(features, generator)[0],) * 2


def one_coin(features, p, generator):
    keep = [torch.rand(len(features["item"]), generator=generator) >= p for _ in range(2)]
    return tuple({name: values * rows_of(coins, values) for name, values in features.items()} for coins in keep)


def same_for_all_items(features, p, generator):
    coins = torch.rand(2, len(features), generator=generator) >= p
    return tuple({name: features[name] * coin for name, coin in zip(features, row, strict=True)} for row in coins)


def word_by_word(features, p, generator):
    return tuple({n: v * (torch.rand(v.shape, generator=generator) >= p) for n, v in features.items()} for _ in range(2))


def means(table, arm, other, column):
    found = table.groupby("arm")[column].mean()
    return found[arm] - found[other], 0.05


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        ("apply_mask", lambda f, keep: apply_mask(f, {name: ~values for name, values in keep.items()}), "True means keep"),
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
        ("random_mask", lambda f, p, g: ({n: v - 1 for n, v in f.items()},) * 2, "a value that the item does not have"),
        ("weighted_mask", lambda *arguments: weighted_mask(*arguments, flip=True), "to be masked, not to be shown"),
        ("weighted_mask", lambda *arguments: weighted_mask(*arguments, other=1.0), "without a chance is kept"),
        ("paired", means, "no partner"),
        ("paired", lambda t, arm, other, column: paired(t, other, arm, column), "not the other way round"),
        ("paired", lambda *arguments: (paired(*arguments)[0], 2 * paired(*arguments)[1]), "take half"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_08, f"check_{exercise}")(function)
