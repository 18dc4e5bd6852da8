"""Checks of the exercises of chapter 10: splits of fields, two and three views of a split, matching
by what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.guard import compare, run


def check_split_names(split_names: Callable) -> None:
    """`split_names(names, order) -> (first, second)`: the first ⌊k/2⌋ names by a permutation, and
    the others; by hand.
    """
    mistakes = {
        "With k odd the first part is the smaller one: ⌊k/2⌋.": (["d", "a", "e"], ["b", "c"]),
        "Is it the first names of the list? Take them by the order.": (["a", "b"], ["c", "d", "e"]),
        "Every field goes into one of the two parts; the one in the middle is lost.": (
            ["d", "a"],
            ["b", "c"],
        ),
        "Every field goes into one of the two parts; the last one is lost.": (
            ["d", "a"],
            ["e", "b"],
        ),
        "`order` says which name comes first, not to which place the first name goes.": (
            ["b", "d"],
            ["e", "a", "c"],
        ),
    }
    found = run(split_names, list("abcde"), [3, 0, 4, 1, 2])
    compare(
        _pair(found, "split_names"),
        (["d", "a"], ["e", "b", "c"]),
        "Five fields in the order d, a, e, b, c",
        mistakes,
    )
    found = run(split_names, ["x", "y"], [1, 0])
    compare(_pair(found, "split_names"), (["y"], ["x"]), "Two fields in the order y, x")
    print("✓ split_names: half of the fields, rounded down, and all others")


def check_two_views(two_views: Callable) -> None:
    """`two_views(features, shown) -> (first, second)`: every field in exactly one view, masked ones
    0, bags as a whole; by hand.
    """
    features = {
        "item": torch.tensor([4, 7]),
        "colour": torch.tensor([1, 0]),
        "words": torch.tensor([[2, 3], [5, 0]]),
    }
    first, second = _pair(run(two_views, features, {"item", "words"}), "two_views")
    zero = {"item": [0, 0], "colour": [0, 0], "words": [[0, 0], [0, 0]]}
    whole = {name: values.tolist() for name, values in features.items()}
    right = [
        {n: (whole if (n in ("item", "words")) == here else zero)[n] for n in whole}
        for here in (True, False)
    ]
    for view, expected, place in ((first, right[0], "first"), (second, right[1], "second")):
        if not isinstance(view, dict) or list(view) != list(features):
            raise AssertionError(
                f"The {place} view should be a dict with the fields {', '.join(features)}, in this order."
            )
        for name, values in expected.items():
            reasons = {
                "Masked is index 0, the default, and not −1.": np.full(np.shape(values), -1),
                "This view must show the field, and hides it; is it in the other one?": zero[name],
                "This view must hide the field, and shows it; is it left in both?": whole[name],
            }
            compare(
                view[name],
                values,
                f"Field '{name}' in the {place} view, which shows {'item and words' if place == 'first' else 'colour'}",
                reasons,
            )
    print("✓ two_views: every field in exactly one view")


def check_match_by_pattern(match_by_pattern: Callable) -> None:
    """`match_by_pattern(first [m, k], second [m, k]) -> [m]`, the lowest second view that completes
    each first, or −1; by hand.
    """
    first = torch.tensor(
        [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    ).bool()
    second = torch.tensor(
        [[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]
    ).bool()
    mistakes = {
        "Of several that fit it is the lowest.": [3, 0, -1, 3, 4],
        "A first view without a complement gets −1, not 0.": [1, 0, 0, 1, 4],
        "A complement shows what the other hides; equal patterns are no match.": [2, -1, -1, 2, -1],
        "They are matched by what is shown, and not by their places.": [0, 1, 2, 3, 4],
        "To share no field is not enough: a complement shows all that the other hides.": [
            1,
            0,
            4,
            1,
            4,
        ],
    }
    compare(
        run(match_by_pattern, first, second),
        [1, 0, -1, 1, 4],
        "Five views of four fields",
        mistakes,
    )
    print("✓ match_by_pattern: the lowest complement, or −1")


def check_three_views(three_views: Callable) -> None:
    """`three_views(features, generator) -> (first, second, third)`: eight fields cut 2, 3, 3 by one
    random order per call.

    Source: the chapter's section "By hand", with one cut more; what must hold is counted over 600
    calls.
    """
    values = torch.arange(1, 5)
    features = {name: values for name in "abcdefg"} | {"bag": values[:, None].expand(4, 3).clone()}
    generator = torch.Generator().manual_seed(0)
    splits = np.stack(
        [_shown(run(three_views, features, generator), features) for _ in range(600)]
    )  # [600, 3, 8]
    views = splits.sum(1)  # [600, 8] of each field
    if (views != 1).any():
        call, field = np.argwhere(views != 1)[0]
        raise AssertionError(
            f"Field '{list(features)[field]}' is in {views[call, field]} of the three views, and should be in exactly one. Is each "
            "view drawn on its own? Draw one order, and cut it twice."
        )
    mistakes = {
        "The second cut is at ⌊2k/3⌋, not at twice ⌊k/3⌋.": [2, 2, 4],
        "⌊8/3⌋ is 2: round down.": [3, 3, 2],
    }
    sizes = splits.sum(2)  # [600, 3]
    odd = sizes[np.argmax((sizes != [2, 3, 3]).any(1))]
    compare(odd, [2, 3, 3], "How many of eight fields the three views show", mistakes)
    again = [
        _shown(run(three_views, features, torch.Generator().manual_seed(seed)), features)
        for seed in (0, 0, 1, 2, 3)
    ]
    if not np.array_equal(again[0], again[1]) or not np.array_equal(again[0], splits[0]):
        raise AssertionError(
            "Two generators in the same state gave different splits; draw with `generator`, and with nothing else."
        )
    if all(np.array_equal(split, splits[0]) for split in [*splits, *again]):
        raise AssertionError(
            "Every call split the fields alike; draw the order with `generator`, anew in each call."
        )
    share = splits.mean(0)  # [3, 8]
    view, field = np.unravel_index(
        np.abs(share - np.array([[2], [3], [3]]) / 8).argmax(), share.shape
    )
    if abs(share[view, field] - (2 if view == 0 else 3) / 8) > 0.1:
        raise AssertionError(
            f"Field '{list(features)[field]}' is in view {view + 1} in {share[view, field]:.0%} of 600 calls, and should be in "
            f"{2 if view == 0 else 3} of 8; every order of all fields must be equally likely."
        )
    together = np.einsum("nvi,nvj->ij", splits.astype(float), splits) / len(
        splits
    )  # [8, 8], 14 of 56 by chance
    one, other = np.unravel_index(
        (np.abs(together - 1 / 4) * ~np.eye(8, dtype=bool)).argmax(), together.shape
    )
    if abs(together[one, other] - 1 / 4) > 0.1:
        raise AssertionError(
            f"Fields '{list(features)[one]}' and '{list(features)[other]}' are in the same view in {together[one, other]:.0%} of "
            "600 calls, and should be in a quarter; all orders must be equally likely, not only every place of a field."
        )
    print("✓ three_views: one order, two cuts, every field in one view")


def _shown(found: object, features: dict[str, torch.Tensor]) -> np.ndarray:
    """[3, k] bool, which fields each of three views shows; AssertionError unless a field is shown
    or masked for all items alike.
    """
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        raise AssertionError("three_views: expected three views, (first, second, third).")
    shown = np.zeros((3, len(features)), dtype=bool)
    for i, view in enumerate(found):
        if not isinstance(view, dict) or list(view) != list(features):
            raise AssertionError(
                f"View {i + 1} should be a dict with the fields {', '.join(features)}, in this order."
            )
        for j, (name, values) in enumerate(features.items()):
            if not isinstance(view[name], torch.Tensor) or view[name].shape != values.shape:
                raise AssertionError(
                    f"Field '{name}' of view {i + 1} should be a tensor of shape {list(values.shape)}."
                )
            shown[i, j] = torch.equal(view[name], values)
            if not shown[i, j] and view[name].any():
                there = (view[name] == values).reshape(len(values), -1).all(1)
                reason = (
                    "is shown for some items and hidden for others: draw one split per call, not one for each item."
                    if there.any()
                    else "is neither whole nor 0; what is masked is index 0, the default."
                )
                raise AssertionError(f"Field '{name}' of view {i + 1} {reason}")
    return shown


def _pair(found: object, name: str) -> tuple:
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise AssertionError(f"{name}: expected a pair, (first, second).")
    return tuple(found)
