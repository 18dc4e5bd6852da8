"""Checks of chapter 10: splits of fields, two and three views, matching by what is missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from course_lib.checks.guard import case, compare, exercise, fields, mistakes, parts, repeats, run


@exercise("half of the fields, rounded down, and all others")
def check_split_names(split_names: Callable) -> None:
    """`split_names(names, order) -> (first, second)`: the first ⌊k/2⌋ names by a permutation."""

    def of(first, second):
        def split_names(names, order):
            ranked = [names[place] for place in order]
            return ranked[: first(len(names))], ranked[second(len(names))]

        return split_names

    right = of(lambda k: k // 2, lambda k: slice(k // 2, None))
    wrong = mistakes(
        "With k odd the first part is the smaller one: ⌊k/2⌋.",
        of(lambda k: (k + 1) // 2, lambda k: slice((k + 1) // 2, None)),
        "Is it the first names of the list? Take them by the order.",
        lambda names, order: right(names, range(len(names))),
        "Every field goes into one of the two parts; the one in the middle is lost.",
        of(lambda k: k // 2, lambda k: slice(-(k // 2), None)),
        "Every field goes into one of the two parts; the last one is lost.",
        of(lambda k: k // 2, lambda k: slice(k // 2, 2 * (k // 2))),
        "`order` says which name comes first, not to which place the first name goes.",
        lambda names, order: right(names, [order.index(place) for place in range(len(order))]),
    )

    def pair(found):
        return parts(found, "first", "second")

    given, expected = (list("abcde"), [3, 0, 4, 1, 2]), (["d", "a"], ["e", "b", "c"])
    case(split_names, given, expected, "Five fields in the order d, a, e, b, c", wrong, of=pair)
    given, expected = (["x", "y"], [1, 0]), (["y"], ["x"])
    case(split_names, given, expected, "Two fields in the order y, x", wrong, of=pair)


@exercise("every field in exactly one view")
def check_two_views(two_views: Callable) -> None:
    """`two_views(features, shown) -> (first, second)`: every field in one view, else 0."""

    def of(keeps, hidden=0):
        """Whether view 0 or 1 keeps a field that is, or is not, among those shown."""
        return lambda features, shown: [
            {
                name: values if keeps(name in shown, view) else torch.full_like(values, hidden)
                for name, values in features.items()
            }
            for view in (0, 1)
        ]

    wrong = mistakes(
        "Masked is index 0, the default, and not −1.",
        of(lambda shown, view: shown != view, hidden=-1),
        "This view must hide the field, and shows it; is it left in both?",
        of(lambda shown, view: True),
        "This view must show the field, and hides it; is it in the other one?",
        of(lambda shown, view: shown == view),
    )
    colour, words = torch.tensor([1, 0]), torch.tensor([[2, 3], [5, 0]])
    features = {"item": torch.tensor([4, 7]), "colour": colour, "words": words}

    def field(found, view, name):
        names = "first", "second"
        return fields(parts(found, *names)[view], features, f"the {names[view]} view")[name]

    given = features, {"item", "words"}
    for view, which in enumerate(("first view, which shows item and words", "second, with colour")):
        for name, values in features.items():
            right, what = values * ((name in given[1]) != view), f"Field '{name}' in the {which}"
            case(two_views, given, right, what, wrong, of=partial(field, view=view, name=name))


@exercise("the lowest complement, or −1")
def check_match_by_pattern(match_by_pattern: Callable) -> None:
    """`match_by_pattern(first [m, k], second [m, k]) -> [m]`, the lowest complement of each.

    −1 for a first view that no second view completes; by hand.
    """

    def fits(first, second):
        return (first[:, None] != second[None]).all(2)

    def lowest(fits):
        return torch.where(fits.any(1), fits.int().argmax(1), -1)

    wrong = mistakes(
        "Of several that fit it is the lowest.",
        lambda *views: [int(row.nonzero()[-1]) if row.any() else -1 for row in fits(*views)],
        "A first view without a complement gets −1, not 0.",
        lambda *views: fits(*views).int().argmax(1),
        "A complement shows what the other hides; equal patterns are no match.",
        lambda first, second: lowest(fits(~first, second)),
        "They are matched by what is shown, and not by their places.",
        lambda first, second: torch.arange(len(first)),
        "To share no field is not enough: a complement shows all that the other hides.",
        lambda first, second: lowest(~(first[:, None] & second[None]).any(2)),
    )
    first = [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    second = [[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]
    views = torch.tensor(first).bool(), torch.tensor(second).bool()
    case(match_by_pattern, views, [1, 0, -1, 1, 4], "Five views of four fields", wrong)


@exercise("one order, two cuts, every field in one view")
def check_three_views(three_views: Callable) -> None:
    """`three_views(features, generator) -> (first, second, third)`: eight fields cut 2, 3, 3.

    By one random order per call. Source: the chapter's section "By hand", with one cut more; what
    must hold is counted over 600 calls.
    """
    values = torch.arange(1, 5)
    features = dict.fromkeys("abcdefg", values) | {"bag": values[:, None].expand(4, 3).clone()}

    def of(cuts):
        def three_views(features, generator):
            names = list(features)
            order = [names[i] for i in torch.randperm(len(names), generator=generator)]
            one, other = cuts(len(names))
            shown = order[:one], order[one:other], order[other:]
            return [{n: v * (n in part) for n, v in features.items()} for part in shown]

        return three_views

    wrong = mistakes(
        "The second cut is at ⌊2k/3⌋, not at twice ⌊k/3⌋.",
        of(lambda k: (k // 3, 2 * (k // 3))),
        "⌊8/3⌋ is 2: round down.",
        of(lambda k: (round(k / 3), 2 * round(k / 3))),
    )
    what = "How many of eight fields the three views show"
    given = features, torch.Generator().manual_seed(0)
    case(
        three_views, given, [2, 3, 3], what, wrong, of=lambda found: _shown(found, features).sum(1)
    )
    generator = torch.Generator().manual_seed(0)
    splits = np.stack([_shown(run(three_views, features, generator), features) for _ in range(600)])
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1, 2, 3)]
    again = [_shown(run(three_views, features, seed), features) for seed in seeds]
    views, names = splits.sum(1), list(features)  # [600, 8] of each field
    if (views != 1).any():
        call, field = np.argwhere(views != 1)[0]
        raise AssertionError(
            f"Field '{names[field]}' is in {views[call, field]} of the three views, not in one. Is "
            "each view drawn on its own? Draw one order, and cut it twice."
        )
    sizes = splits.sum(2)  # [600, 3]
    compare(sizes[np.argmax((sizes != [2, 3, 3]).any(1))], [2, 3, 3], what)
    for other in (again[1], splits[0]):
        repeats(again[0], other, "splits")
    if all(np.array_equal(split, splits[0]) for split in [*splits, *again]):
        raise AssertionError(
            "Every call split the fields alike; draw the order with `generator` in each call."
        )
    _check_chances(splits, names)


def _check_chances(splits: np.ndarray, names: list[str]) -> None:
    """Every order is equally likely, by the shares in [calls, 3, 8] of fields and of pairs."""
    share = splits.mean(0)  # [3, 8]
    view, field = np.unravel_index(np.abs(share - np.array([[2], [3], [3]]) / 8).argmax(), (3, 8))
    right = 2 if view == 0 else 3
    if abs(share[view, field] - right / 8) > 0.1:
        raise AssertionError(
            f"In 600 calls view {view + 1} has field '{names[field]}' in {share[view, field]:.0%}, "
            f"and should have it in {right} of 8; all orders must be equally likely."
        )
    together = np.einsum("nvi,nvj->ij", splits.astype(float), splits) / len(splits)  # 14 of 56
    off = np.abs(together - 1 / 4) * ~np.eye(8, dtype=bool)
    one, other = np.unravel_index(off.argmax(), off.shape)
    if off[one, other] > 0.1:
        raise AssertionError(
            f"Fields '{names[one]}' and '{names[other]}' are together in "
            f"{together[one, other]:.0%}, not in a quarter; all orders must be equally likely, not "
            "only every place of a field."
        )


def _shown(found: object, features: dict[str, torch.Tensor]) -> np.ndarray:
    """[3, k] bool, which fields each view shows; a field must be shown or masked for all items."""
    shown = np.zeros((3, len(features)), dtype=bool)
    for i, view in enumerate(parts(found, "first", "second", "third")):
        fields(view, features, f"view {i + 1}")
        for j, (name, values) in enumerate(features.items()):
            shown[i, j] = torch.equal(view[name], values)
            if not shown[i, j] and view[name].any():
                there = (view[name] == values).reshape(len(values), -1).all(1)
                reason = (
                    "is shown for some items and hidden for others: draw one split per call, not "
                    "one for each item."
                    if there.any()
                    else "is neither whole nor 0; what is masked is index 0, the default."
                )
                raise AssertionError(f"Field '{name}' of view {i + 1} {reason}")
    return shown
