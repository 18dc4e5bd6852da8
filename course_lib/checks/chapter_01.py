"""Checks of the exercises of chapter 01: the head, mixes of goods, indices, fair opponents,
newcomers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pandas as pd

from course_lib.checks.guard import compare, run


def distance(hour: Sequence[int], day: Sequence[int]) -> float:
    """Total variation distance of two samples of kinds of goods, of any length but 0: 0 same mix, 1
    nothing in common.
    """
    one, other = Counter(hour), Counter(day)
    shares = [abs(Fraction(one[k], len(hour)) - Fraction(other[k], len(day))) for k in one | other]
    return float(sum(shares) / 2)


def fair_distance(size: int, day: Sequence[int], replace: bool = False) -> float:
    """Mean distance from `day` of all draws of `size` events of it, by going through every one: for
    days of ten events or so.
    """
    draws = product(day, repeat=size) if replace else combinations(day, size)
    return float(np.mean([distance(draw, day) for draw in draws]))


def check_head_share(head_share: Callable) -> None:
    """`head_share(counts [n] whole numbers, share) -> float`, the head effect of "The head effect",
    on four items.
    """
    counts = np.array([2, 6, 1, 1])
    mistakes = {
        "Those are the first items; sort by count first.": 0.2,
        "Those are the items with the fewest events; sort the other way round.": 0.1,
        "Divide by all events, not by the number of items.": 1.5,
    }
    compare(
        run(head_share, counts, 0.25),
        0.6,
        "The top quarter of four items with 2, 6, 1 and 1 events",
        mistakes,
    )
    compare(
        run(head_share, counts, 0.5), 0.8, "The top half of four items with 2, 6, 1 and 1 events"
    )
    print("✓ head_share: the largest counts, over all of them")


def check_mix_distance(mix_distance: Callable) -> None:
    """`mix_distance(hour [a] kinds, day [b] kinds) -> float`, total variation, on the chapter's 3
    mugs and 1 bag, and on an hour that lacks the day's last kind.
    """
    hour, day = np.array([0, 0, 0, 1]), np.array([0, 1] * 4)
    mistakes = {
        "Is it half the sum of the differences?": 0.5,
        "Are numbers of events compared? Divide each by the size of its sample first.": 2.0,
        "The differences of shares always add up to 0; take their absolute values.": 0.0,
    }
    compare(run(mix_distance, hour, day), 0.25, "3 mugs and 1 bag, against 4 and 4", mistakes)
    compare(
        run(mix_distance, np.array([0, 1]), np.array([0, 1, 2, 2])),
        0.5,
        "An hour without a kind that is half of its day",
    )
    print("✓ mix_distance: half the sum of the differences of shares")


def check_encode(encode: Callable) -> None:
    """`encode(values [n], known [m]) -> [n]` indices as an `Encoder` gives them, on three colours
    and a missing one.
    """
    monday, values = ["RED", None, "BLUE", "RED"], ["RED", "BLUE", None, "GREEN"]
    mistakes = {
        "Index 0 is the default: the first value gets 1.": [0, 1, 0, 0],
        "Give indices in the order of meeting, not in the order of the alphabet.": [2, 1, 0, 0],
        "A missing value is the default, and takes no index of its own.": [1, 3, 2, 0],
    }
    compare(
        run(encode, values, monday),
        [1, 2, 0, 0],
        "RED, BLUE, missing and GREEN, by Monday's values",
        mistakes,
    )
    reason = {"A value met later changed the index of one met earlier.": [4, 2, 0, 3]}
    compare(
        run(encode, values, [*monday, "AQUA", "GREEN"]),
        [1, 2, 0, 4],
        "The same by Tuesday's values, AQUA and GREEN added",
        reason,
    )
    print("✓ encode: 0 is the default, the others in order of meeting, and no index changes later")


def check_excess(excess: Callable) -> None:
    """`excess(hour [a] kinds, day [b] kinds, draws, rng) -> float`, against the mean over all draws
    without replacement.
    """
    hour, day = np.array([0, 0, 0, 2]), np.array([0, 0, 0, 1, 1, 1, 2, 2])
    found = run(excess, hour, day, 3_000, np.random.default_rng(0))
    observed, fair = distance(hour, day), fair_distance(4, day.tolist())
    mistakes = {
        "Is it drawn with replacement? An hour can't hold an event of the day twice.": observed
        - fair_distance(4, day.tolist(), True),
        "Take the draws' mean distance off the hour's, not the other way round.": fair - observed,
        "That is the hour's distance alone; take off that of draws as large as the hour.": observed,
        "That is the draws' distance; it is what to take off.": fair,
    }
    compare(
        found,
        observed - fair,
        "The excess of an hour of 4 events over draws from its day of 8",
        mistakes,
        tolerance=0.015,
    )
    print("✓ excess: the hour's distance, less that of equally large draws from its day")


def check_newcomer_share(newcomer_share: Callable) -> None:
    """`newcomer_share(events, column, start, days) -> float`, on seven events of two users and four
    items.
    """
    rows = [
        ("ann", "mug", "01 09:00"),
        ("ann", "bag", "02 10:00"),
        ("bob", "mug", "05 12:00"),
        ("bob", "bag", "05 12:00"),
        ("ann", "sign", "05 18:00"),
        ("ann", "clock", "06 08:00"),
        ("bob", "sign", "07 12:00"),
    ]
    events = pd.DataFrame(rows, columns=["user", "item", "time"])
    events["time"] = pd.to_datetime("2020-01-" + events["time"])
    mistakes = {
        "Is the first event looked for among the late ones only? Then everybody is new; look before you filter.": 4
        / 5,
        "Is it a share of all events? It should be one of those from `start` on.": 2 / 7,
        "Are the events before `start` counted too?": 4 / 7,
        "An event exactly `days` days after the first is not one of a newcomer any more.": 3 / 5,
    }
    start = pd.Timestamp("2020-01-05")
    compare(
        run(newcomer_share, events, "user", start, 2),
        2 / 5,
        "Users: bob's first two of five events from the 5th on",
        mistakes,
    )
    compare(
        run(newcomer_share, events, "item", start, 2),
        3 / 5,
        "Items: sign twice and clock, of five events from the 5th on",
    )
    print(
        "✓ newcomer_share: new is who, or what, had its first event less than so many days before"
    )
