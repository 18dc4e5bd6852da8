"""Checks of the exercises of chapter 10: splits of fields, views of a split, and matching views by what is missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.guard import compare, run


def check_split_names(split_names: Callable) -> None:
    """`split_names(names, order) -> (first, second)`: the first ⌊k/2⌋ names by a permutation, and the others; by hand."""
    mistakes = {
        "With k odd the first part is the smaller one: ⌊k/2⌋.": (["d", "a", "e"], ["b", "c"]),
        "Is it the first names of the list? Take them by the order.": (["a", "b"], ["c", "d", "e"]),
        "Every field goes into one of the two parts.": (["d", "a"], ["e", "b"]),
    }
    found = run(split_names, list("abcde"), [3, 0, 4, 1, 2])
    compare(_pair(found, "split_names"), (["d", "a"], ["e", "b", "c"]), "Five fields in the order d, a, e, b, c", mistakes)
    found = run(split_names, ["x", "y"], [1, 0])
    compare(_pair(found, "split_names"), (["y"], ["x"]), "Two fields in the order y, x")
    print("✓ split_names: half of the fields, rounded down, and all others")


def check_two_views(two_views: Callable) -> None:
    """`two_views(features, shown) -> (first, second)`: every field in exactly one view, masked ones 0, bags as a whole; by hand."""
    features = {"item": torch.tensor([4, 7]), "colour": torch.tensor([1, 0]), "words": torch.tensor([[2, 3], [5, 0]])}
    first, second = _pair(run(two_views, features, {"item", "words"}), "two_views")
    zero = {"item": [0, 0], "colour": [0, 0], "words": [[0, 0], [0, 0]]}
    whole = {name: values.tolist() for name, values in features.items()}
    right = [{n: (whole if (n in ("item", "words")) == here else zero)[n] for n in whole} for here in (True, False)]
    for view, expected, place in ((first, right[0], "first"), (second, right[1], "second")):
        if not isinstance(view, dict) or list(view) != list(features):
            raise AssertionError(f"The {place} view should be a dict with the fields {', '.join(features)}, in this order.")
        for name, values in expected.items():
            reasons = {
                "Masked is index 0, the default, and not −1.": np.full(np.shape(values), -1),
                "The field is in the wrong view: see which it must be in.": (whole if values == zero[name] else zero)[name],
            }
            compare(
                view[name],
                values,
                f"Field '{name}' in the {place} view, which shows {'item and words' if place == 'first' else 'colour'}",
                reasons,
            )
    print("✓ two_views: every field in exactly one view")


def check_match_by_pattern(match_by_pattern: Callable) -> None:
    """`match_by_pattern(first [m, k], second [m, k]) -> [m]`, the lowest second view that completes each first, or −1; by hand."""
    first = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0]]).bool()
    second = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]]).bool()
    mistakes = {
        "Of several that fit it is the lowest.": [3, 0, -1, 3],
        "A first view without a complement gets −1, not 0.": [1, 0, 0, 1],
        "A complement shows what the other hides; equal patterns are no match.": [2, -1, -1, 2],
        "They are matched by what is shown, and not by their places.": [0, 1, 2, 3],
    }
    compare(run(match_by_pattern, first, second), [1, 0, -1, 1], "Four views of four fields", mistakes)
    print("✓ match_by_pattern: the lowest complement, or −1")


def _pair(found: object, name: str) -> tuple:
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise AssertionError(f"{name}: expected a pair, (first, second).")
    return tuple(found)
