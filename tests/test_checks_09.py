"""The checks of chapter 09's exercises: a right function passes, each typical mistake gets its
sentence.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import binom
from scipy.stats import hypergeom

from course_lib.augment import Dropout
from course_lib.checks import chapter_09
from course_lib.online_retail import load_online_retail
from course_lib.towers import EmbeddingTable


def as_bag(items, fields, name, form="{}={}".format, missing=False, flatten=True, lists=True):
    def bag(row):
        found = []
        for field in fields:
            many = row[field] if isinstance(row[field], list) and flatten else [row[field]]
            if isinstance(row[field], list) and not lists:
                continue
            found += [
                form(field, value) for value in many if missing or isinstance(value, (str, list))
            ]
        return found

    return items.drop(columns=fields).assign(**{name: items.apply(bag, axis=1)})


def thin(bag, p, generator):
    """By the library's dropout, row by row in Python."""
    rows = [[v for v in row if v] for row in Dropout(p)({"bag": bag}, generator)[0]["bag"].tolist()]
    width = max(1, *map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def half(bag, generator, size=lambda k: -(-k // 2)):
    left = torch.zeros_like(bag)
    for row, values in enumerate(bag):
        places = values.nonzero()[:, 0]
        kept = places[torch.randperm(len(places), generator=generator)[: size(len(places))]]
        left[row, kept] = values[kept]
    return left


def flat(bag):
    rows = [[v for v in row if v] or [0] for row in bag.tolist()]
    return torch.tensor(sum(rows, [])), torch.tensor(
        [sum(map(len, rows[:i])) for i in range(len(rows))]
    )


def nothing_shared(sizes, p):
    return (p * (2 - p)) ** sizes, none_of(sizes, -(-sizes // 2))


def none_of(sizes, left):
    """[m] chance that `left` words drawn out of `sizes` are none of `left` others."""
    return hypergeom.pmf(0, np.maximum(sizes, 1), left, left)


RIGHT = [as_bag, thin, half, flat, nothing_shared]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_09, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def in_place(items, fields, name):
    bags = as_bag(items, fields, name)[name]
    for field in fields:
        del items[field]
    items[name] = bags
    return items


def sorted_values(bag, p, generator):
    return bag.sort(dim=1, descending=True).values[:, : int((bag > 0).sum(1).max())]


def with_holes(bag, p, generator):
    return Dropout(p)({"bag": bag}, generator)[0]["bag"]


def as_wide(bag, p, generator):
    found = thin(bag, p, generator)
    return torch.nn.functional.pad(found, (0, bag.shape[1] - found.shape[1]))


def narrow_as_nothing(bag, p, generator):
    found = thin(bag, p, generator)
    return found[:, : int((found > 0).sum(1).max())]


def each_value_once(bag, p, generator):
    rows = [list(dict.fromkeys(v for v in row if v)) for row in bag.tolist()]
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True
    )


def one_coin_a_row(bag, p, generator):
    return thin(bag * (torch.rand(len(bag), 1, generator=generator) >= p), 0.0, generator)


def one_coin_a_place(bag, p, generator):
    return thin(bag * (torch.rand(bag.shape[1], generator=generator) >= p), 0.0, generator)


def half_of_places(bag, generator):
    rank = torch.rand(bag.shape, generator=generator).argsort(dim=1).argsort(dim=1)
    return bag * (rank < (bag.shape[1] + 1) // 2)


def first_half(bag, generator):
    return bag * ((bag > 0).cumsum(1) <= ((bag > 0).sum(1, keepdim=True) + 1) // 2)


def one_order_for_all(bag, generator):
    lots = torch.rand(bag.shape[1], generator=generator).expand(bag.shape).masked_fill(bag == 0, 2)
    return bag * (lots.argsort(dim=1).argsort(dim=1) < ((bag > 0).sum(1, keepdim=True) + 1) // 2)


def own_seed(function):
    return lambda *arguments: function(*arguments[:-1], torch.Generator().manual_seed(5))


def zeros_if_empty(bag):
    sizes = (bag > 0).sum(1)
    return bag[bag > 0], sizes.cumsum(0) - sizes


def flat_with(offsets):
    return lambda bag: (flat(bag)[0], torch.tensor(offsets))


def chances(coins=lambda k, p: (p * (2 - p)) ** k, halves=lambda k, p: nothing_shared(k, p)[1]):
    return lambda sizes, p: (coins(sizes, p), halves(sizes, p))


def as_if_even(k, p):
    return 1 / binom(k, -(-k // 2))


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        (
            "as_bag",
            lambda *arguments: as_bag(*arguments, form=lambda field, value: value),
            "different traits",
        ),
        ("as_bag", lambda *arguments: as_bag(*arguments, missing=True), "It is left out"),
        ("as_bag", lambda *arguments: as_bag(*arguments, flatten=False), "several values"),
        ("as_bag", lambda *arguments: as_bag(*arguments, lists=False), "has values, too"),
        ("as_bag", lambda i, f, n: as_bag(i, [c for c in i if c in f], n), "order of `fields`"),
        ("as_bag", in_place, "in place"),
        ("as_bag", lambda i, f, n: i.assign(**{n: as_bag(i, f, n)[n]}), "expected the columns"),
        ("thin", sorted_values, "order of the values is lost"),
        ("thin", with_holes, "holes are still there"),
        ("thin", as_wide, "as wide as before"),
        ("thin", narrow_as_nothing, "keep one place"),
        ("thin", lambda b, p, g: thin(b.sort(dim=1).values, p, g), "sorted upwards"),
        (
            "thin",
            lambda b, p, g: thin(b, p, g).flip(1).sort(dim=1, stable=True).values,
            "bags with holes",
        ),
        ("thin", each_value_once, "twice is there twice"),
        ("thin", one_coin_a_row, "a coin of its own"),
        ("thin", one_coin_a_place, "each value should be left in 75 %|a coin of its own"),
        ("thin", lambda b, p, g: thin(b, p and 1 - p, g), "Is p the chance to stay"),
        ("thin", own_seed(thin), "same view twice"),
        ("half", lambda bag, generator: half(bag, generator, lambda k: k // 2), "Rounded down"),
        ("half", half_of_places, "half of the places|numbers of values left"),
        ("half", lambda bag, generator: thin(bag, 0.5, generator), "every place should hold"),
        ("half", lambda bag, generator: with_holes(bag, 0.5, generator), "numbers of values left"),
        ("half", first_half, "drawn on its own"),
        ("half", one_order_for_all, "drawn on its own"),
        ("half", own_seed(half), "same view twice"),
        ("flat", zeros_if_empty, "zeros in embedding_bag"),
        (
            "flat",
            lambda bag: (bag.flatten(), torch.arange(len(bag)) * bag.shape[1]),
            "empty ones included",
        ),
        ("flat", flat_with([2, 3, 4, 5]), "where it begins"),
        ("flat", flat_with([2, 1, 1, 1]), "Those are the sizes"),
        ("flat", flat_with([0, 2, 2, 3]), "the next row begins after it"),
        ("flat", flat_with([0, 2]), "keeps its row"),
        ("flat", lambda bag: flat(bag)[0], "tuple of two"),
        ("flat", lambda bag: tuple(part.tolist() for part in flat(bag)), "LongTensor"),
        ("nothing_shared", chances(lambda k, p: (1 - p**2) ** k), "with 1 − p"),
        ("nothing_shared", chances(lambda k, p: 1 - (p * (2 - p)) ** k), "a word in common"),
        ("nothing_shared", chances(lambda k, p: p**k), "one view has no word"),
        ("nothing_shared", chances(lambda k, p: p ** (2 * k)), "both views have no word"),
        ("nothing_shared", chances(lambda k, p: (2 * p * (1 - p)) ** k), "in neither"),
        ("nothing_shared", chances(halves=lambda k, p: none_of(k, k // 2)), "Rounded down"),
        (
            "nothing_shared",
            chances(halves=lambda k, p: 1 - nothing_shared(k, p)[1]),
            "a word in common",
        ),
        ("nothing_shared", chances(halves=lambda k, p: 0.75**k), "without replacement"),
        (
            "nothing_shared",
            chances(halves=lambda k, p: nothing_shared(k, p)[1] * (k > 0)),
            "without words",
        ),
        ("nothing_shared", chances(halves=as_if_even), "must overlap"),
        ("nothing_shared", lambda sizes, p: nothing_shared(sizes, p)[0], "tuple of two"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_09, f"check_{exercise}")(function)


def test_the_references_against_numbers_by_hand():
    assert chapter_09.by_coins(0, 0.5) == chapter_09.by_halves(0) == 1
    assert chapter_09.by_coins(2, 0.5) == pytest.approx(0.75**2)
    assert chapter_09.by_coins(1, 0.2) == pytest.approx(1 - 0.8**2)
    # of four words two each: one of the six pairs leaves the first view's two out
    assert [chapter_09.by_halves(k) for k in (1, 2, 3, 4)] == pytest.approx([0, 1 / 2, 0, 1 / 6])


def test_a_flat_bag_is_what_the_librarys_table_makes_of_it():
    table = EmbeddingTable(3)
    table.grow(9, torch.Generator().manual_seed(0))
    bag = torch.tensor([[5, 0, 8], [0, 0, 0], [0, 3, 0]])
    values, offsets = flat(bag)
    summed = torch.nn.functional.embedding_bag(values, table.weight, offsets, mode="sum")
    k = torch.tensor([2.0, 1.0, 1.0])[:, None]
    assert torch.allclose(table(bag), summed / k.sqrt())


def test_the_chance_of_coins_is_what_the_librarys_dropout_does():
    sizes = load_online_retail().items["keywords"].map(len).clip(upper=6).to_numpy()
    bag = torch.from_numpy((np.arange(6) < sizes[:, None]).astype(np.int64))
    first, second = Dropout(0.3)({"bag": bag}, torch.Generator().manual_seed(0))
    apart = ~((first["bag"] > 0) & (second["bag"] > 0)).any(1)
    assert float(apart.double().mean()) == pytest.approx(
        np.mean([chapter_09.by_coins(k, 0.3) for k in sizes]), abs=0.02
    )


def test_no_argument_is_changed_by_the_reference_answers():
    items = pd.DataFrame({"a": ["X"], "b": [["Y"]]}, index=pd.Index(["p"], name="item"))
    before = items.copy()
    assert as_bag(items, ["b", "a"], "bag")["bag"].tolist() == [["b=Y", "a=X"]]
    assert items.equals(before)
