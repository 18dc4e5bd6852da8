"""Checks of chapter 01: the head, mixes of goods, indices, fair opponents, newcomers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pandas as pd

from course_lib.checks.examples import events
from course_lib.checks.guard import Near, case, exercise, mistakes


def distance(hour: Sequence[int], day: Sequence[int]) -> float:
    """Total variation distance of two samples of kinds of goods: 0 same mix, 1 nothing in common.

    The samples may have any length but 0.
    """
    one, other = Counter(hour), Counter(day)
    shares = (Fraction(one[k], len(hour)) - Fraction(other[k], len(day)) for k in one | other)
    return float(sum(map(abs, shares)) / 2)


def fair_distance(size: int, day: Sequence[int], replace: bool = False) -> float:
    """Mean distance from `day` of all draws of `size` of its events, for days of ten or so."""
    draws = product(day, repeat=size) if replace else combinations(day, size)
    return float(np.mean([distance(draw, day) for draw in draws]))


@exercise("the largest counts, over all of them")
def check_head_share(head_share: Callable) -> None:
    """`head_share(counts [n] whole numbers, share) -> float`, the head effect, on four items."""

    def first(counts, share):
        return counts[: int(share * len(counts))].sum()

    wrong = mistakes(
        "Those are the first items; sort by count first.",
        lambda counts, share: first(counts, share) / counts.sum(),
        "Those are the items with the fewest events; sort the other way round.",
        lambda counts, share: first(np.sort(counts), share) / counts.sum(),
        "Divide by all events, not by the number of items.",
        lambda counts, share: first(-np.sort(-counts), share) / len(counts),
    )
    counts, items = np.array([2, 6, 1, 1]), "of four items with 2, 6, 1 and 1 events"
    case(head_share, (counts, 0.25), 0.6, f"The top quarter {items}", wrong)
    case(head_share, (counts, 0.5), 0.8, f"The top half {items}", wrong)


@exercise("half the sum of the differences of shares")
def check_mix_distance(mix_distance: Callable) -> None:
    """`mix_distance(hour [a] kinds, day [b] kinds) -> float`, total variation.

    On the chapter's 3 mugs and 1 bag, and on an hour that lacks the day's last kind.
    """

    def shares(kinds):
        return np.bincount(kinds, minlength=3) / len(kinds)

    wrong = mistakes(
        "Is it half the sum of the differences?",
        lambda hour, day: 2 * distance(hour, day),
        "Are numbers of events compared? Divide each by the size of its sample first.",
        lambda hour, day: np.abs(np.bincount(hour) - np.bincount(day)).sum() / 2,
        "The differences of shares always add up to 0; take their absolute values.",
        lambda hour, day: (shares(hour) - shares(day)).sum() / 2,
    )
    hour, day = np.array([0, 0, 0, 1]), np.array([0, 1] * 4)
    case(mix_distance, (hour, day), 0.25, "3 mugs and 1 bag, against 4 and 4", wrong)
    short = np.array([0, 1]), np.array([0, 1, 2, 2])
    case(mix_distance, short, 0.5, "An hour without a kind that is half of its day", wrong)


@exercise("0 is the default, the others in order of meeting, and no index changes later")
def check_encode(encode: Callable) -> None:
    """`encode(values [n], known [m]) -> [n]` indices as an `Encoder` gives them."""

    def places(values, order, start=1):
        return [order.index(value) + start if value in order else 0 for value in values]

    def met(known):
        return list(dict.fromkeys(filter(None, known)))

    wrong = mistakes(
        "A value met later changed the index of one met earlier.",
        lambda values, known: places(values, (sorted if "AQUA" in known else list)(met(known))),
        "Index 0 is the default: the first value gets 1.",
        lambda values, known: places(values, met(known), start=0),
        "Give indices in the order of meeting, not in the order of the alphabet.",
        lambda values, known: places(values, sorted(met(known))),
        "A missing value is the default, and takes no index of its own.",
        lambda values, known: places(values, list(dict.fromkeys(known))),
    )
    monday, values = ["RED", None, "BLUE", "RED"], ["RED", "BLUE", None, "GREEN"]
    these = "RED, BLUE, missing and GREEN"
    case(encode, (values, monday), [1, 2, 0, 0], f"{these}, by Monday's values", wrong)
    tuesday = [*monday, "AQUA", "GREEN"]
    what = f"{these}, by Tuesday's values, AQUA and GREEN added"
    case(encode, (values, tuesday), [1, 2, 0, 4], what, wrong)


@exercise("the hour's distance, less that of equally large draws from its day")
def check_excess(excess: Callable) -> None:
    """`excess(hour [a] kinds, day [b] kinds, draws, rng) -> float`, by going through all draws."""

    def fair(hour, day, replace=False):
        return fair_distance(len(hour), day.tolist(), replace)

    wrong = mistakes(
        "Is it drawn with replacement? An hour can't hold an event of the day twice.",
        lambda hour, day, *_: distance(hour, day) - fair(hour, day, replace=True),
        "Take the draws' mean distance off the hour's, not the other way round.",
        lambda hour, day, *_: fair(hour, day) - distance(hour, day),
        "That is the hour's distance alone; take off that of draws as large as the hour.",
        lambda hour, day, *_: distance(hour, day),
        "That is the draws' distance; it is what to take off.",
        lambda hour, day, *_: fair(hour, day),
    )
    hour, day = np.array([0, 0, 0, 2]), np.array([0, 0, 0, 1, 1, 1, 2, 2])
    expected = Near(distance(hour, day) - fair(hour, day), 0.015)
    what = "The excess of an hour of 4 events over draws from its day of 8"
    case(excess, (hour, day, 3_000, np.random.default_rng(0)), expected, what, wrong)


@exercise("new is who, or what, had its first event less than so many days before")
def check_newcomer_share(newcomer_share: Callable) -> None:
    """`newcomer_share(events, column, start, days) -> float`, on seven events."""

    def age(events, column):
        since = events["time"] - events.groupby(column)["time"].transform("min")
        return since / pd.Timedelta(days=1)

    def late(events, start):
        return events["time"] >= start

    wrong = mistakes(
        "Is the first event looked for among the late ones only? Look before you filter.",
        lambda e, column, start, days: (age(e[late(e, start)], column) < days).mean(),
        "Is it a share of all events? It should be one of those from `start` on.",
        lambda e, column, start, days: ((age(e, column) < days) & late(e, start)).mean(),
        "Are the events before `start` counted too?",
        lambda e, column, start, days: (age(e, column) < days).mean(),
        "An event exactly `days` days after the first is not one of a newcomer any more.",
        lambda e, column, start, days: (age(e, column) <= days)[late(e, start)].mean(),
    )
    rows = "ann mug 01T09, ann bag 02T10, bob mug 05T12, bob bag 05T12, ann sign 05T18"
    bought = events(rows, "ann clock 06T08, bob sign 07T12")
    start = pd.Timestamp("2020-01-05")
    what = "Users: bob's first two of five events from the 5th on"
    case(newcomer_share, (bought, "user", start, 2), 2 / 5, what, wrong)
    what = "Items: sign twice and clock, of five events from the 5th on"
    case(newcomer_share, (bought, "item", start, 2), 3 / 5, what, wrong)
