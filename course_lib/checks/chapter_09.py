"""Checks of the exercises of chapter 09: bags made of fields, values dropped by coins and by
halves, bags that lost everything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from course_lib.checks.guard import compare, run


def check_as_bag(as_bag: Callable) -> None:
    """`as_bag(items, fields, name) -> DataFrame` with the columns `fields` put into one bag, as
    "field=value"; by hand.

    Source: the chapter's section "Give it more to drop".
    """
    items = pd.DataFrame(
        {
            "label": ["MUG", None, "ROSE"],
            "words": [["OLD", "BIG"], [], []],
            "line": ["1", "2", "3"],
            "colour": ["ROSE", None, np.nan],
        },
        index=pd.Index(["p", "q", "r"], name="item"),
        dtype=object,
    )

    def table(*bags: list[str]) -> pd.DataFrame:
        return pd.DataFrame({"line": ["1", "2", "3"], "bag": list(bags)}, items.index)

    first = ["colour=ROSE", "words=OLD", "words=BIG", "label=MUG"]
    mistakes = {
        "A colour ROSE and a label ROSE are different traits; write the field before the value.": (
            table(["ROSE", "OLD", "BIG", "MUG"], [], ["ROSE"])
        ),
        "Is a missing value in the bag? It is left out.": (
            table(first, ["colour=None", "label=None"], ["colour=nan", "label=ROSE"])
        ),
        "A cell that is a list has several values, each of its own.": (
            table(
                ["colour=ROSE", "words=['OLD', 'BIG']", "label=MUG"],
                ["words=[]"],
                ["words=[]", "label=ROSE"],
            )
        ),
        "A cell that is a list has values, too.": table(
            ["colour=ROSE", "label=MUG"], [], ["label=ROSE"]
        ),
        "The values come in the order of `fields`, not of the table's columns.": (
            table(["label=MUG", "words=OLD", "words=BIG", "colour=ROSE"], [], ["label=ROSE"])
        ),
    }
    found = run(as_bag, items, ["colour", "words", "label"], "bag")
    compare(
        found,
        table(first, [], ["label=ROSE"]),
        "Three items, colour, words and label in one bag",
        mistakes,
    )
    print("✓ as_bag: every value that is there, with its field")


def _tensor(found: object, dimensions: int, what: str) -> torch.Tensor:
    if (
        not isinstance(found, torch.Tensor)
        or found.dim() != dimensions
        or found.is_floating_point()
        or found.dtype == torch.bool
    ):
        kind = (
            f"{found.dtype} of shape {list(found.shape)}"
            if isinstance(found, torch.Tensor)
            else type(found).__name__
        )
        raise AssertionError(
            f"{what}: expected a LongTensor with {dimensions} dimension(s), and got {kind}."
        )
    return found


def check_thin(thin: Callable) -> None:
    """`thin(bag [m, L], p, generator) -> [m, L']`: each value dropped with chance p, what is left
    moved up.

    Source: `augment.Dropout`; with p = 0 by hand, with others by counting in 4,000 bags of four.
    """
    generator = torch.Generator().manual_seed(0)
    bag = torch.tensor([[0, 7, 0, 3, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 9], [2, 0, 2, 0, 0]])
    mistakes = {
        "The order of the values is lost; sort places, not values.": [
            [7, 5, 3],
            [0, 0, 0],
            [9, 0, 0],
            [2, 2, 0],
        ],
        "Are the values sorted upwards?": [[3, 5, 7], [0, 0, 0], [9, 0, 0], [2, 2, 0]],
        "The holes are still there.": bag,
        "It is as wide as before; L′ is the size of the largest bag.": (
            [[7, 3, 5, 0, 0], [0] * 5, [9, 0, 0, 0, 0], [2, 2, 0, 0, 0]]
        ),
        "The zeros stand first; values come first.": [[7, 3, 5], [0, 0, 0], [0, 0, 9], [0, 2, 2]],
        "A value that is in the bag twice is there twice.": [
            [7, 3, 5],
            [0, 0, 0],
            [9, 0, 0],
            [2, 0, 0],
        ],
    }
    right = [[7, 3, 5], [0, 0, 0], [9, 0, 0], [2, 2, 0]]
    compare(
        run(thin, bag, 0.0, generator),
        right,
        "Four bags with holes, and nothing dropped (p = 0)",
        mistakes,
    )
    found = run(thin, torch.zeros(2, 3, dtype=torch.long), 0.5, generator)
    compare(found, [[0], [0]], "Two empty bags, which keep one place")
    many = torch.tensor([[1, 2, 4, 8]]).repeat(4_000, 1)
    found = _tensor(run(thin, many, 0.25, generator), 2, "4,000 bags of four")
    left = (found[:, :, None] == many[0]).any(
        1
    )  # [4000, 4] which of the four values each bag still has
    share = left.float().mean(0).tolist()
    if max(share) - min(share) > 0.05 or abs(np.mean(share) - 0.75) > 0.03:
        told = ", ".join(f"{one:.0%}" for one in share)
        why = " Is p the chance to stay?" if abs(np.mean(share) - 0.25) < 0.03 else ""
        raise AssertionError(
            f"4,000 bags of four, p = ¼: each value should be left in 75 % of them, and they are in {told}.{why}"
        )
    whole = float(left.all(1).float().mean())
    if abs(whole - 0.75**4) > 0.05:
        raise AssertionError(
            f"4,000 bags of four, p = ¼: ¾ to the fourth, 32 %, should stay whole, and {whole:.0%} do; has each value a coin of "
            "its own?"
        )
    if torch.equal(found, _tensor(run(thin, many, 0.25, generator), 2, "4,000 bags of four")):
        raise AssertionError(
            "Two calls with one generator gave the same view twice; draw with the generator as it stands."
        )
    print("✓ thin: each value by its own coin, and no holes")


def check_half(half: Callable) -> None:
    """`half(bag [m, L], generator) -> [m, L]`: exactly ⌈k/2⌉ of each row's k values, any choice
    equally likely.

    Source: the notes, "dropout", taken at their word.
    """
    generator = torch.Generator().manual_seed(0)
    bag = torch.tensor(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 7, 0, 0, 0, 0],
            [3, 0, 5, 0, 0, 0],
            [1, 2, 3, 0, 0, 0],
            [1, 2, 3, 4, 5, 6],
        ]
    )
    bag = bag.repeat(200, 1)
    found = _tensor(run(half, bag, generator), 2, "A thousand bags")
    if found.shape != bag.shape or not bool(((found == bag) | (found == 0)).all()):
        raise AssertionError(
            "A thousand bags: every place should hold what stood there, or 0; is the shape or a place another one?"
        )
    counts = [sorted(set((found[row::5] > 0).sum(1).tolist())) for row in range(5)]
    mistakes = {
        "Rounded down, a bag of one loses its only word; round up.": [[0], [0], [1], [1], [3]],
        "It is half of the places, empty ones included? Take half of the values.": [
            [0],
            [1],
            [2],
            [3],
            [3],
        ],
    }
    compare(
        counts,
        [[0], [1], [1], [2], [3]],
        "The numbers of values left of bags of 0, 1, 2, 3 and 6",
        mistakes,
    )
    many = torch.tensor([[0, 1, 0, 2, 4, 8]]).repeat(6_000, 1)
    found = run(half, many, generator)
    seen = np.bincount(found.sum(1).numpy(), minlength=16)
    pairs = {
        one + other: seen[one + other] for one, other in itertools.combinations((1, 2, 4, 8), 2)
    }
    if min(pairs.values()) < 850 or max(pairs.values()) > 1_150:
        told = ", ".join(map(str, pairs.values()))
        raise AssertionError(
            f"6,000 bags of four: each of the 6 pairs should be left about 1,000 times, and they are {told} times. Is every row "
            "drawn on its own, and every value as likely as the others?"
        )
    if torch.equal(found, run(half, many, generator)):
        raise AssertionError(
            "Two calls with one generator gave the same view twice; draw with the generator as it stands."
        )
    print("✓ half: exactly half of the values, rounded up, any of them")


def check_flat(flat: Callable) -> None:
    """`flat(bag [m, L]) -> (values [v], offsets [m])` for `embedding_bag`; a bag without values is
    the default, index 0.

    Source: `towers.EmbeddingTable`; by hand.
    """
    bag = torch.tensor([[5, 0, 2], [0, 0, 0], [0, 3, 0], [0, 0, 0]])
    found = run(flat, bag)
    if not isinstance(found, tuple) or len(found) != 2:
        raise AssertionError(
            f"It should be a tuple of two tensors, values and offsets, and is a {type(found).__name__}."
        )
    values, offsets = (
        _tensor(part, 1, what) for part, what in zip(found, ("values", "offsets"), strict=True)
    )
    mistakes = {
        "A row without values becomes zeros in embedding_bag; it should be the default, index 0.": [
            5,
            2,
            3,
        ],
        "Those are all places, empty ones included; take the filled ones.": bag.flatten(),
    }
    compare(values, [5, 2, 0, 3, 0], "The values of four bags, two of them empty", mistakes)
    mistakes = {
        "Are those the ends? A row's offset is where it begins.": [2, 3, 4, 5],
        "Those are the sizes; a row begins after all that come before it.": [2, 1, 1, 1],
        "An empty bag holds one place, index 0, and the next row begins after it.": [0, 2, 2, 3],
        "An empty bag keeps its row: four bags, four offsets.": [0, 2],
    }
    compare(offsets, [0, 2, 3, 4], "The offsets of four bags, two of them empty", mistakes)
    print("✓ flat: every bag keeps its row, and an empty one is the default")


def by_coins(k: int, p: float) -> float:
    """Chance that two views of k words share none, by going through every outcome of 2k coins that
    drop with p.
    """
    views = list(itertools.product((False, True), repeat=k))  # which words a view has
    chance = {view: math.prod(1 - p if there else p for there in view) for view in views}
    apart = [(one, other) for one in views for other in views if not any(map(min, one, other))]
    return sum(chance[one] * chance[other] for one, other in apart)


def by_halves(k: int, p: float = 0.5) -> float:
    """The same with exactly ⌈k/2⌉ of the words in each view, every choice as likely as another; `p`
    plays no part.
    """
    choices = list(itertools.combinations(range(k), math.ceil(k / 2)))
    return (
        sum(not set(one) & set(other) for one in choices for other in choices) / len(choices) ** 2
    )


def check_nothing_shared(nothing_shared: Callable) -> None:
    """`nothing_shared(sizes [m], p) -> (coins [m], half [m])`: the chances that two views share no
    word; by enumeration.

    Source: `augment.Dropout`; the chapter's first exercise.
    """
    sizes, p = np.array([0, 1, 2, 3, 4]), 0.3
    coins, halves = (
        np.array([chance(k, p) for k in sizes.tolist()]) for chance in (by_coins, by_halves)
    )
    found = run(nothing_shared, sizes, p)
    if not isinstance(found, tuple) or len(found) != 2:
        raise AssertionError(
            f"It should be a tuple of two arrays, coins and exactly half, and is a {type(found).__name__}."
        )
    mistakes = {
        "p is the chance to be dropped; a word is in a view with 1 − p.": (1 - p**2) ** sizes,
        "That is the chance that they have a word in common.": 1 - coins,
        "That is the chance that one view has no word at all.": p**sizes,
        "That is the chance that both views have no word at all; they may have words, and none in common.": p
        ** (2 * sizes),
        "That asks for every word to be in one view and not in the other; it may be in neither.": (
            2 * p * (1 - p)
        )
        ** sizes,
    }
    compare(found[0], coins, "Coins of p = 0.3, bags of 0 to 4 words", mistakes)
    half_down = np.array(
        [math.comb(k - k // 2, k // 2) / math.comb(k, k // 2) for k in sizes.tolist()]
    )
    mistakes = {
        "Rounded down? A bag of one keeps its word, and both views have it.": half_down,
        "That is the chance that they have a word in common.": 1 - halves,
        "Those are independent coins of ½; exactly half is a choice without replacement.": 0.75
        ** sizes,
        "A bag without words: the views have none in common, and the chance is 1.": np.where(
            sizes == 0, 0, halves
        ),
        "Two halves, rounded up, of an odd number must overlap.": (
            1 / np.array([math.comb(k, math.ceil(k / 2)) for k in sizes.tolist()])
        ),
    }
    compare(found[1], halves, "Exactly half, bags of 0 to 4 words", mistakes)
    print("✓ nothing_shared: coins are independent, halves have to fit beside each other")
