"""Checks of the exercises of chapter 08: masks of fields and bags, what two views share, a mask
with a chance for each field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch

from course_lib.checks.guard import compare, run

FEATURES = {
    "item": torch.tensor([7, 8, 9]),
    "colour": torch.tensor([1, 0, 2]),
    "words": torch.tensor([[4, 5], [6, 0], [0, 0]]),
}
MANY = 4_000


def check_apply_mask(apply_mask: Callable) -> None:
    """`apply_mask(features, keep) -> features`, `keep` a dict of bool tensors [m], one per field;
    masked is 0, a bag as a whole.
    """
    keep = {
        name: torch.tensor(values)
        for name, values in {"item": [1, 0, 0], "colour": [1, 1, 0], "words": [0, 1, 1]}.items()
    }
    keep = {name: values.bool() for name, values in keep.items()}
    found = _as_features(run(apply_mask, FEATURES, keep), "apply_mask")
    expected = {"item": [7, 0, 0], "colour": [1, 0, 0], "words": [[0, 0], [6, 0], [0, 0]]}
    wrong = {
        "item": {
            "True means keep, False means mask.": [0, 8, 9],
            "Masked is index 0, the default, and not −1.": [7, -1, -1],
        },
        "words": {"True means keep, False means mask.": [[4, 5], [0, 0], [0, 0]]},
    }
    for name, values in expected.items():
        compare(found[name], values, f"Field '{name}' of three items", wrong.get(name))
    print("✓ apply_mask: what is not kept is 0, and a bag is masked as a whole")


def check_share_chance(share_chance: Callable) -> None:
    """`share_chance(filled, p) -> float`: the chance that two masks of an item show a filled field
    in both; by enumeration.
    """
    for filled, p in ((1, 0.5), (3, 0.5), (2, 0.2)):
        shown = np.array(np.meshgrid(*[[0, 1]] * (2 * filled))).reshape(
            2 * filled, -1
        )  # every outcome of both views
        chance = np.where(shown, 1 - p, p).prod(0)
        both = (shown[:filled] & shown[filled:]).any(0)
        mistakes = {
            "That is one view's chance to show anything; both must show the same field.": 1
            - p**filled,
            "That is the chance that they share nothing.": 1 - chance[both].sum(),
            "That is the chance for one field; with several there is more than one way.": (1 - p)
            ** 2,
            "Chances of fields that may both be shared do not add up; take the chance that none is.": filled
            * (1 - p) ** 2,
            "p is the chance to be masked; a field is shown with 1 − p.": 1 - (1 - p**2) ** filled,
        }
        mistakes = {
            reason: value
            for reason, value in mistakes.items()
            if not np.isclose(value, chance[both].sum())
        }
        compare(
            run(share_chance, filled, p),
            chance[both].sum(),
            f"{filled} filled fields, p = {p}",
            mistakes,
        )
    print("✓ share_chance: one less the chance that no field is in both views")


def check_random_mask(random_mask: Callable) -> None:
    """`random_mask(features, p, generator) -> (first, second)`: every field of every item has a
    coin of its own, in each view.
    """
    features = _many()
    views = run(random_mask, features, 0.3, torch.Generator().manual_seed(0))
    if not isinstance(views, tuple) or len(views) != 2:
        raise AssertionError("random_mask: expected a pair of views, (first, second).")
    shown = [_shown(view, "random_mask", features) for view in views]  # [m, 3] each
    rates = torch.stack(shown).float().mean((0, 1)).numpy()
    if not np.allclose(rates, 0.7, atol=0.04):
        raise AssertionError(
            f"With p = 0.3 every field should be shown in 70 % of the views; it is {np.round(rates, 2).tolist()}."
        )
    pairs = {
        "two fields of an item": (shown[0][:, 0], shown[0][:, 1]),
        "the two views": (shown[0][:, 0], shown[1][:, 0]),
    }
    pairs["two items next to each other"] = (shown[0][1:, 0], shown[0][:-1, 0])
    for name, (one, other) in pairs.items():
        both = float((one & other).float().mean())
        if abs(both - 0.49) > 0.05:
            raise AssertionError(
                f"Coins of {name} should be independent: both show with 0.49; it is {both:.2f}. Does one coin serve both?"
            )
    again = run(random_mask, features, 0.3, torch.Generator().manual_seed(0))
    _check_repeats(views, again, "random_mask")
    print("✓ random_mask: a coin for every field of every item, in each view anew")


def check_weighted_mask(weighted_mask: Callable) -> None:
    """`weighted_mask(features, chances, generator) -> view`, a chance to be masked for each field
    by name; the others are kept.
    """
    features, chances = _many(), {"item": 0.7, "words": 0.4}
    view = run(weighted_mask, features, chances, torch.Generator().manual_seed(1))
    shown = _shown(view, "weighted_mask", features).float()  # [m, 3]
    mistakes = {
        "The chances are those to be masked, not to be shown.": [0.7, 1, 0.4],
        "A field without a chance is kept.": [0.3, 0, 0.6],
    }
    if bool((shown.mean(0)[[0, 2]] % 1 == 0).all()):
        raise AssertionError(
            "Item and words are shown by all items or by none: is there one coin for all items? Each needs its own."
        )
    what = f"The share of items that show item, colour, words, with chances {chances}"
    compare(shown.mean(0), [0.3, 1, 0.6], what, mistakes, tolerance=0.03)
    both = float((shown[:, 0] * shown[:, 2]).mean())
    if abs(both - 0.18) > 0.04:
        raise AssertionError(
            f"Item and words should have coins of their own: both are shown with 0.3 · 0.6 = 0.18, and it is {both:.2f}. "
            "Does one coin serve both?"
        )
    again = run(weighted_mask, features, chances, torch.Generator().manual_seed(1))
    _check_repeats([view], [again], "weighted_mask")
    for bad in ({"colr": 0.5}, {"colour": 1.5}):
        try:
            run(weighted_mask, features, bad, torch.Generator())
        except AssertionError as error:
            if "ValueError" not in str(error):
                raise
        else:
            raise AssertionError(f"Chances of {bad} should raise ValueError, and are taken.")
    print("✓ weighted_mask: each field by its own chance and coin, and the others stay")


def check_paired(paired: Callable) -> None:
    """`paired(table, arm, other, column) -> (mean, low, high)`, Student's 95 % interval over the
    seeds of both arms.

    Source: `evaluation.paired_difference`; expected values by hand and a printed table of t.
    """
    rows = [
        ("b", 0, 0.10),
        ("a", 2, 0.40),
        ("a", 0, 0.20),
        ("b", 2, 0.20),
        ("b", 1, 0.30),
        ("a", 5, 0.90),
    ]
    table = pd.DataFrame(rows, columns=["arm", "seed", "R@100"])
    found = run(paired, table, "a", "b", "R@100")
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        raise AssertionError("Three numbers should come back: (mean, low, high).")
    mistakes = {
        "Seeds 1 and 5 have no partner; pair seed against seed, and leave them out.": 0.3,
        "It is arm less other, not the other way round.": -0.15,
    }
    compare(found[0], 0.15, "The mean over seeds 0 and 2, a − b: 0.1 and 0.2", mistakes)
    halves = {  # the standard error of 0.1 and 0.2 is 0.05
        "That is no interval yet, only the mean less and plus one standard error; multiply it by t.": 0.05,
        "Is the factor 1.96? That is for many pairs; two leave one degree of freedom, and t is 12.7.": 1.959964
        * 0.05,
        "Is t for two degrees of freedom? Two pairs leave one.": 4.302653 * 0.05,
        "That is an interval of 90 %: each side should have 2.5 % beyond it.": 6.313752 * 0.05,
        "Is the deviation of single seeds taken? The mean's is smaller, by √n.": 12.706205
        * 0.05
        * 2**0.5,
        "Is the deviation divided by n? Divide by n − 1 (`ddof=1`).": 12.706205 * 0.05 / 2**0.5,
        "Are the arms taken as if no seed had a partner? Take the spread of the differences.": 4.302653
        * 0.0125**0.5,
    }
    mistakes = {reason: (0.15 - half, 0.15 + half) for reason, half in halves.items()}
    half = 12.706205 * 0.05
    compare(
        found[1:],
        (0.15 - half, 0.15 + half),
        "The interval of the differences 0.1 and 0.2",
        mistakes,
    )
    print("✓ paired: seed against seed, then the mean and how sure it is")


def _many() -> dict[str, torch.Tensor]:
    ones = torch.ones(MANY, 2, dtype=torch.long)
    return {"item": torch.arange(1, MANY + 1), "colour": ones[:, 0].clone(), "words": ones}


def _shown(view: object, name: str, features: dict) -> torch.Tensor:
    """[m, fields] whether each item shows each field; AssertionError if a value is made up, or a
    bag is masked word by word.
    """
    view = _as_features(view, name, features)
    for field, values in features.items():
        if not bool(((view[field] == 0) | (view[field] == values)).all()):
            raise AssertionError(
                f"Field '{field}' holds a value that the item does not have; what is masked is 0, and nothing else changes."
            )
    if bool((view["words"][:, 0] != view["words"][:, 1]).any()):
        raise AssertionError(
            "A bag lost one word and kept the other; a mask hides a bag as a whole."
        )
    return torch.stack([view[field].reshape(MANY, -1)[:, 0] > 0 for field in features], dim=1)


def _check_repeats(views: Iterable[dict], again: Iterable[dict], name: str) -> None:
    same = all(
        torch.equal(one[field], other[field])
        for one, other in zip(views, again, strict=True)
        for field in one
    )
    if not same:
        raise AssertionError(
            f"{name}: two generators in the same state gave different views; draw everything with `generator`."
        )


def _as_features(found: object, name: str, like: dict = FEATURES) -> dict:
    if not isinstance(found, dict) or list(found) != list(like):
        raise AssertionError(
            f"{name}: expected a dict with the fields {', '.join(like)}, in this order."
        )
    for field, values in like.items():
        if not isinstance(found[field], torch.Tensor) or found[field].shape != values.shape:
            raise AssertionError(
                f"{name}: field '{field}' should be a tensor of shape {list(values.shape)}."
            )
    return found
