"""Checks of chapter 09: bags of fields, values dropped by coins and by halves, empty bags."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from math import ceil, comb, prod

import numpy as np
import pandas as pd
import torch

from course_lib.checks.guard import case, exercise, mistakes, part, parts, run


@exercise("every value that is there, with its field")
def check_as_bag(as_bag: Callable) -> None:
    """`as_bag(items, fields, name) -> DataFrame`, `fields` put into one bag, as "field=value".

    Source: the chapter's section "Give it more to drop"; by hand.
    """

    def of(form="{}={}", missing=False, lists="values", order=list):
        def values(cell):
            if isinstance(cell, list) and lists != "cell":
                return cell if lists == "values" else []
            return [cell] if isinstance(cell, (str, list)) or missing else []

        def as_bag(items, fields, name):
            names = order(fields)
            bags = [
                [form.format(field, value) for field in names for value in values(row[field])]
                for _, row in items.iterrows()
            ]
            return items.drop(columns=fields).assign(**{name: bags})

        return as_bag

    wrong = mistakes(
        "A colour ROSE and a label ROSE are different traits; write the field before the value.",
        of(form="{1}"),
        "Is a missing value in the bag? It is left out.",
        of(missing=True),
        "A cell that is a list has several values, each of its own.",
        of(lists="cell"),
        "A cell that is a list has values, too.",
        of(lists="none"),
        "The values come in the order of `fields`, not of the table's columns.",
        of(order=lambda fields: [name for name in items if name in fields]),
    )
    columns = {
        "label": ["MUG", None, "ROSE"],
        "words": [["OLD", "BIG"], [], []],
        "line": ["1", "2", "3"],
        "colour": ["ROSE", None, np.nan],
    }
    items = pd.DataFrame(columns, index=pd.Index(["p", "q", "r"], name="item"), dtype=object)
    bags = [["colour=ROSE", "words=OLD", "words=BIG", "label=MUG"], [], ["label=ROSE"]]
    expected = pd.DataFrame({"line": ["1", "2", "3"], "bag": bags}, items.index)
    given, what = (
        (items, ["colour", "words", "label"], "bag"),
        "Three items, colour, words and label",
    )
    case(as_bag, given, expected, f"{what} in one bag", wrong)


def _tensor(found: object, dimensions: int, what: str) -> torch.Tensor:
    if not isinstance(found, torch.Tensor):
        raise AssertionError(f"{what}: expected a LongTensor, and got {type(found).__name__}.")
    if found.dim() != dimensions or found.is_floating_point() or found.dtype == torch.bool:
        raise AssertionError(
            f"{what}: expected a LongTensor with {dimensions} dimension(s), and got {found.dtype} "
            f"of shape {list(found.shape)}."
        )
    return found


def _check_moves_on(found: torch.Tensor, again: torch.Tensor) -> None:
    if torch.equal(found, again):
        raise AssertionError("One generator gave the same view twice; draw with it as it stands.")


@exercise("each value by its own coin, and no holes")
def check_thin(thin: Callable) -> None:
    """`thin(bag [m, L], p, generator) -> [m, L']`: values dropped with chance p, then moved up.

    Source: `augment.Dropout`; with p = 0 by hand, with others by counting in 4,000 bags of four.
    """

    def of(change=list, width=0, right=False):
        def packed(bag, *_):
            rows = [list(change(filter(None, row))) for row in bag.tolist()]
            size = max(width, *map(len, rows))
            holes = [[0] * (size - len(row)) for row in rows]
            pairs = zip(holes, rows, strict=True) if right else zip(rows, holes, strict=True)
            return [one + other for one, other in pairs]

        return packed

    wrong = mistakes(
        "The order of the values is lost; sort places, not values.",
        of(lambda row: sorted(row, reverse=True)),
        "Are the values sorted upwards?",
        of(sorted),
        "The holes are still there.",
        lambda bag, p, generator: bag,
        "It is as wide as before; L′ is the size of the largest bag.",
        of(width=5),
        "The zeros stand first; values come first.",
        of(right=True),
        "A value that is in the bag twice is there twice.",
        of(dict.fromkeys),
    )
    generator = torch.Generator().manual_seed(0)
    bag = [[0, 7, 0, 3, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 9], [2, 0, 2, 0, 0]]
    expected = [[7, 3, 5], [0, 0, 0], [9, 0, 0], [2, 2, 0]]
    what = "Four bags with holes, and nothing dropped (p = 0)"
    case(thin, (torch.tensor(bag), 0.0, generator), expected, what, wrong)
    empty = torch.zeros(2, 3, dtype=torch.long)
    case(thin, (empty, 0.5, generator), [[0], [0]], "Two empty bags, which keep one place")
    many, what = torch.tensor([[1, 2, 4, 8]]).repeat(4_000, 1), "4,000 bags of four"
    found = _tensor(run(thin, many, 0.25, generator), 2, what)
    left = (found[:, :, None] == many[0]).any(1)  # [4000, 4] which values each bag still has
    share = left.float().mean(0).tolist()
    if max(share) - min(share) > 0.05 or abs(np.mean(share) - 0.75) > 0.03:
        told = ", ".join(f"{one:.0%}" for one in share)
        why = " Is p the chance to stay?" if abs(np.mean(share) - 0.25) < 0.03 else ""
        raise AssertionError(
            f"{what}, p = ¼: each value should be left in 75 % of them, not in {told}.{why}"
        )
    whole = float(left.all(1).float().mean())
    if abs(whole - 0.75**4) > 0.05:
        raise AssertionError(
            f"{what}, p = ¼: 32 % should stay whole, not {whole:.0%}; has each value a coin of its "
            "own?"
        )
    _check_moves_on(found, _tensor(run(thin, many, 0.25, generator), 2, what))


@exercise("exactly half of the values, rounded up, any of them")
def check_half(half: Callable) -> None:
    """`half(bag [m, L], generator) -> [m, L]`: ⌈k/2⌉ of each row's k values, any equally likely.

    Source: the notes, "dropout", taken at their word.
    """

    def counts(found):
        found = _tensor(found, 2, "A thousand bags")
        if found.shape != bag.shape or not bool(((found == bag) | (found == 0)).all()):
            raise AssertionError(
                "A thousand bags: every place should hold what stood there, or 0, and no other."
            )
        return [sorted(set((found[row::5] > 0).sum(1).tolist())) for row in range(5)]

    def first(bag, size):
        return bag * ((bag > 0).cumsum(1) <= size)

    wrong = mistakes(
        "Rounded down, a bag of one loses its only word; round up.",
        lambda bag, generator: first(bag, (bag > 0).sum(1, keepdim=True) // 2),
        "It is half of the places, empty ones included? Take half of the values.",
        lambda bag, generator: first(bag, bag.shape[1] // 2),
    )
    generator = torch.Generator().manual_seed(0)
    rows = [[0] * 6, [0, 7, 0, 0, 0, 0], [3, 0, 5, 0, 0, 0], [1, 2, 3, 0, 0, 0], [1, 2, 3, 4, 5, 6]]
    bag = torch.tensor(rows).repeat(200, 1)
    what = "The numbers of values left of bags of 0, 1, 2, 3 and 6"
    case(half, (bag, generator), [[0], [1], [1], [2], [3]], what, wrong, of=counts)
    many = torch.tensor([[0, 1, 0, 2, 4, 8]]).repeat(6_000, 1)
    found = run(half, many, generator)
    seen = np.bincount(found.sum(1).numpy(), minlength=16)
    pairs = [seen[one + other] for one, other in itertools.combinations((1, 2, 4, 8), 2)]
    if min(pairs) < 850 or max(pairs) > 1_150:
        raise AssertionError(
            "6,000 bags of four: each of the 6 pairs should be left about 1,000 times, not "
            f"{', '.join(map(str, pairs))}. Is every row drawn on its own, and every value as "
            "likely?"
        )
    _check_moves_on(found, run(half, many, generator))


@exercise("every bag keeps its row, and an empty one is the default")
def check_flat(flat: Callable) -> None:
    """`flat(bag [m, L]) -> (values [v], offsets [m])` for `embedding_bag`; no values: index 0.

    Source: `towers.EmbeddingTable`; by hand.
    """

    def starts(sizes):
        return [0, *itertools.accumulate(sizes)][:-1]

    def of(values, offsets):
        """`values` of the rows' values, `offsets` of their numbers."""

        def flat(bag):
            rows = [list(filter(None, row)) for row in bag.tolist()]
            return torch.tensor(sum(values(rows), [])), torch.tensor(offsets([*map(len, rows)]))

        return flat

    def default(rows):
        return [row or [0] for row in rows]

    def least(sizes):
        return [max(size, 1) for size in sizes]

    wrong = mistakes(
        "An empty bag holds one place, index 0, and the next row begins after it.",
        of(default, starts),
        "A row without values becomes zeros in embedding_bag; it should be the default, index 0.",
        of(list, starts),
        "Those are all places, empty ones included; take the filled ones.",
        lambda bag: (bag.flatten(), torch.arange(len(bag)) * bag.shape[1]),
        "Are those the ends? A row's offset is where it begins.",
        of(default, lambda sizes: [*itertools.accumulate(least(sizes))]),
        "Those are the sizes; a row begins after all that come before it.",
        of(default, least),
        "An empty bag keeps its row: four bags, four offsets.",
        of(default, lambda sizes: starts([*filter(None, sizes)])),
    )
    given = (torch.tensor([[5, 0, 2], [0, 0, 0], [0, 3, 0], [0, 0, 0]]),)
    names = ("values", "offsets")

    def indices(found, place):
        return _tensor(parts(found, *names)[place], 1, names[place])

    for place, expected in enumerate(([5, 2, 0, 3, 0], [0, 2, 3, 4])):
        what = f"The {names[place]} of four bags, two of them empty"
        case(flat, given, expected, what, wrong, of=partial(indices, place=place))


def by_coins(k: int, p: float) -> float:
    """Chance that two views of k words share none, by all outcomes of 2k coins that drop with p."""
    views = list(itertools.product((False, True), repeat=k))  # which words a view has
    chance = {view: prod(1 - p if there else p for there in view) for view in views}
    apart = [(one, other) for one in views for other in views if not any(map(min, one, other))]
    return sum(chance[one] * chance[other] for one, other in apart)


def by_halves(k: int, p: float = 0.5) -> float:
    """The same with exactly ⌈k/2⌉ of the words in each view, all choices alike; no part for `p`."""
    choices = list(itertools.combinations(range(k), ceil(k / 2)))
    pairs = itertools.product(choices, choices)
    return sum(not set(one) & set(other) for one, other in pairs) / len(choices) ** 2


@exercise("coins are independent, halves have to fit beside each other")
def check_nothing_shared(nothing_shared: Callable) -> None:
    """`nothing_shared(sizes [m], p) -> (coins [m], half [m])`: chances that views share no word.

    Source: `augment.Dropout`; the chapter's first exercise; by enumeration.
    """

    def of(coins=by_coins, halves=by_halves):
        return lambda sizes, p: tuple(
            np.array([chance(k, p) for k in sizes.tolist()]) for chance in (coins, halves)
        )

    wrong = mistakes(
        "p is the chance to be dropped; a word is in a view with 1 − p.",
        of(lambda k, p: (1 - p**2) ** k),
        "That is the chance that coins leave a word in common.",
        of(lambda k, p: 1 - by_coins(k, p)),
        "That is the chance that one view has no word at all.",
        of(lambda k, p: p**k),
        "That is the chance that both views are empty; they may have different words.",
        of(lambda k, p: p ** (2 * k)),
        "That asks for every word to be in one view and not in the other; it may be in neither.",
        of(lambda k, p: (2 * p * (1 - p)) ** k),
        "Rounded down? A bag of one keeps its word, and both views have it.",
        of(halves=lambda k, p: comb(k - k // 2, k // 2) / comb(k, k // 2)),
        "That is the chance that halves have a word in common.",
        of(halves=lambda k, p: 1 - by_halves(k)),
        "Those are independent coins of ½; exactly half is a choice without replacement.",
        of(halves=lambda k, p: 0.75**k),
        "A bag without words: the views have none in common, and the chance is 1.",
        of(halves=lambda k, p: by_halves(k) * (k > 0)),
        "Two halves, rounded up, of an odd number must overlap.",
        of(halves=lambda k, p: 1 / comb(k, ceil(k / 2))),
    )
    given = np.array([0, 1, 2, 3, 4]), 0.3

    for place, what in enumerate(("Coins of p = 0.3", "Exactly half")):
        right, what = of()(*given)[place], f"{what}, bags of 0 to 4 words"
        case(nothing_shared, given, right, what, wrong, of=part(place, "coins", "half"))
