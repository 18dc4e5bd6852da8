"""Checks of chapter 08: masks of fields and bags, what two views share, no view that is empty."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import stats

from course_lib.checks.guard import (
    Near,
    case,
    exercise,
    fields,
    mistakes,
    part,
    parts,
    refused,
    repeats,
    run,
)

FEATURES = {
    "item": torch.tensor([7, 8, 9]),
    "colour": torch.tensor([1, 0, 2]),
    "words": torch.tensor([[4, 5], [6, 0], [0, 0]]),
}
MANY = 4_000


@exercise("what is not kept is 0, and a bag is masked as a whole")
def check_apply_mask(apply_mask: Callable) -> None:
    """`apply_mask(features, keep) -> features`, `keep`: a bool tensor [m] per field."""

    def of(value, kept):
        def rows(keep, values):
            return (keep != kept).view(-1, *[1] * (values.dim() - 1))

        return lambda features, keep: {
            name: values.masked_fill(rows(keep[name], values), value)
            for name, values in features.items()
        }

    wrong = mistakes(
        "True means keep, False means mask.",
        of(0, kept=False),
        "Masked is index 0, the default, and not −1.",
        of(-1, kept=True),
    )
    keep = {"item": [1, 0, 0], "colour": [1, 1, 0], "words": [0, 1, 1]}
    keep = {name: torch.tensor(values).bool() for name, values in keep.items()}
    expected = {"item": [7, 0, 0], "colour": [1, 0, 0], "words": [[0, 0], [6, 0], [0, 0]]}
    what = "Three items, partly masked"
    case(apply_mask, (FEATURES, keep), expected, what, wrong, of=partial(fields, like=FEATURES))


@exercise("one less the chance that no field is in both views")
def check_share_chance(share_chance: Callable) -> None:
    """`share_chance(filled, p) -> float`: the chance that two masks show a filled field in both."""

    def by_enumeration(filled, p):
        shown = np.array(np.meshgrid(*[[0, 1]] * (2 * filled))).reshape(2 * filled, -1)
        chance = np.where(shown, 1 - p, p).prod(0)  # of every outcome of both views
        return chance[(shown[:filled] & shown[filled:]).any(0)].sum()

    wrong = mistakes(
        "That is one view's chance to show anything; both must show the same field.",
        lambda filled, p: 1 - p**filled,
        "That is the chance that they share nothing.",
        lambda filled, p: 1 - by_enumeration(filled, p),
        "That is the chance for one field; with several there is more than one way.",
        lambda filled, p: (1 - p) ** 2,
        "Chances of fields that may both be shared do not add up; take the chance that none is.",
        lambda filled, p: filled * (1 - p) ** 2,
        "p is the chance to be masked; a field is shown with 1 − p.",
        lambda filled, p: 1 - (1 - p**2) ** filled,
    )
    for given in ((1, 0.5), (3, 0.5), (2, 0.2)):
        what = "{} filled fields, p = {}".format(*given)
        case(share_chance, given, by_enumeration(*given), what, wrong)


@exercise("a coin for every field of every item, in each view anew")
def check_random_mask(random_mask: Callable) -> None:
    """`random_mask(features, p, generator) -> (first, second)`: a coin per item, field and view."""

    def views():
        found = run(random_mask, _many(), 0.3, torch.Generator().manual_seed(0))
        return parts(found, "first", "second")

    shown = [_shown(view) for view in views()]  # [m, 3] each
    rates = torch.stack(shown).float().mean((0, 1)).numpy()
    if not np.allclose(rates, 0.7, atol=0.04):
        raise AssertionError(
            "With p = 0.3 fields should be shown in 70 % of the views, not "
            f"{np.round(rates, 2).tolist()}."
        )
    one = shown[0][:, 0]
    for name, this, other in (
        ("two fields of an item", one, shown[0][:, 1]),
        ("the two views", one, shown[1][:, 0]),
        ("two items next to each other", one[1:], one[:-1]),
    ):
        both = float((this & other).float().mean())
        if abs(both - 0.49) > 0.05:
            raise AssertionError(
                f"Coins of {name} should be independent, and both show with 0.49; it is {both:.2f}."
            )
    repeats(views(), views(), "views")


@exercise("something is shown of whoever has something, and all else is the random mask")
def check_never_empty(never_empty: Callable) -> None:
    """`never_empty(features, p, generator) -> view`: coins again where nothing would be shown.

    Expected shares by the random mask's chances, divided by the one that something is shown.
    """

    def coins(features, p, generator, rows=MANY):
        keep = {name: torch.rand(rows, generator=generator) >= p for name in features}
        return {n: v * keep[n].view(-1, *[1] * (v.dim() - 1)) for n, v in features.items()}

    def uncovered(features, p, generator):
        view = coins(features, p, generator)
        empty = torch.stack([v.reshape(len(v), -1).sum(1) for v in view.values()]).sum(0) == 0
        return view | {"item": torch.where(empty, features["item"], view["item"])}

    def shares(view):
        shown = _shown(view)  # [m, 3]
        return [shown.any(1).float().mean(), *shown.float().mean(0)]

    wrong = mistakes(
        "Is a view left empty? Throw its coins again.",
        coins,
        "Is a field uncovered where nothing is shown? Throw the coins of all fields again.",
        uncovered,
        "p is the chance to be masked, not to be shown.",
        lambda features, p, generator: coins(features, 1 - p, generator),
    )

    def given():
        return _many(), 0.7, torch.Generator().manual_seed(1)

    what = "The share of items that show anything, item, colour, words, with p = 0.7"
    each = 0.3 / (1 - 0.7**3)
    case(never_empty, given(), Near([1, each, each, each], 0.03), what, wrong, of=shares)
    repeats(run(never_empty, *given()), run(never_empty, *given()), "views")
    what = "Three items with p = 0; the third has no colour"
    same = FEATURES | {"colour": torch.tensor([1, 2, 0])}
    case(never_empty, (same, 0.0, torch.Generator()), same, what, of=partial(fields, like=same))
    bare = {name: 0 * values for name, values in FEATURES.items()}
    case(never_empty, (bare, 0.5, torch.Generator()), bare, "Three items without any field")
    for bad in (1.0, -0.5):
        if not refused(never_empty, FEATURES, bad, torch.Generator()):
            raise AssertionError(f"p = {bad} should raise ValueError, and is taken.")


@exercise("seed against seed, then the mean and how sure it is")
def check_paired(paired: Callable) -> None:
    """`paired(table, arm, other, column) -> (mean, low, high)`, Student's 95 % over shared seeds.

    Source: `evaluation.paired_difference`; expected values by hand and a printed table of t.
    """

    def two(table, arm, other, column):
        seeds = table.pivot_table(column, "seed", "arm")
        return seeds[[arm, other]].dropna().to_numpy().T

    def of(factor=lambda n: stats.t.ppf(0.975, n - 1), ddof=1):
        def paired(*given):
            one, other = two(*given)
            gaps = one - other
            half = factor(len(gaps)) * gaps.std(ddof=ddof) / len(gaps) ** 0.5
            return gaps.mean(), gaps.mean() - half, gaps.mean() + half

        return paired

    def means(table, arm, other, column):
        found = table.groupby("arm")[column].mean()
        return found[arm] - found[other], np.nan, np.nan

    def unpaired(*given):
        one, other = two(*given)
        return one.mean() - other.mean(), *stats.ttest_ind(one, other).confidence_interval()

    wrong = mistakes(
        "Seeds 1 and 5 have no partner; pair seed against seed, and leave them out.",
        means,
        "It is arm less other, not the other way round.",
        lambda table, arm, other, column: of()(table, other, arm, column),
        "That is only one standard error to each side; multiply it by t.",
        of(lambda n: 1),
        "Is the factor 1.96? Two pairs leave one degree of freedom, and t is 12.7.",
        of(lambda n: stats.norm.ppf(0.975)),
        "Is t for two degrees of freedom? Two pairs leave one.",
        of(lambda n: stats.t.ppf(0.975, n)),
        "That is an interval of 90 %: each side should have 2.5 % beyond it.",
        of(lambda n: stats.t.ppf(0.95, n - 1)),
        "Is the deviation of single seeds taken? The mean's is smaller, by √n.",
        of(lambda n: stats.t.ppf(0.975, n - 1) * n**0.5),
        "Is the deviation divided by n? Divide by n − 1 (`ddof=1`).",
        of(ddof=0),
        "Are the arms taken as if no seed had a partner? Take the spread of the differences.",
        unpaired,
    )
    rows = [("b", 0, 0.10), ("a", 2, 0.40), ("a", 0, 0.20), ("b", 2, 0.20), ("b", 1, 0.30)]
    table = pd.DataFrame([*rows, ("a", 5, 0.90)], columns=["arm", "seed", "R@100"])
    given, names = (table, "a", "b", "R@100"), ("mean", "low", "high")
    what = "The mean over seeds 0 and 2, a − b: 0.1 and 0.2"
    case(paired, given, 0.15, what, wrong, of=part(0, *names))
    half = 12.706205 * 0.05  # the standard error of 0.1 and 0.2 is 0.05
    what, expected = "The interval of the differences 0.1 and 0.2", (0.15 - half, 0.15 + half)
    case(paired, given, expected, what, wrong, of=lambda found: found[1:])


def _many() -> dict[str, torch.Tensor]:
    ones = torch.ones(MANY, 2, dtype=torch.long)
    return {"item": torch.arange(1, MANY + 1), "colour": ones[:, 0].clone(), "words": ones}


def _shown(view: object) -> torch.Tensor:
    """[m, fields] whether each of `_many` items shows each field; bags whole, no value made up."""
    features = _many()
    for field, values in fields(view, features).items():
        if not bool(((values == 0) | (values == features[field])).all()):
            raise AssertionError(
                f"Field '{field}' holds a value that the item does not have; what is masked is 0."
            )
    if bool((view["words"][:, 0] != view["words"][:, 1]).any()):
        raise AssertionError("A bag lost one word and kept the other; a mask hides it as a whole.")
    return torch.stack([view[field].view(MANY, -1)[:, 0] > 0 for field in features], dim=1)
