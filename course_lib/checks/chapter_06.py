"""Checks of the exercises of chapter 06, full versus incremental."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from course_lib.checks.guard import compare, run


def check_conflict(conflict: Callable[[np.ndarray, np.ndarray], pd.Series]) -> None:
    """`conflict(gradients [n, p], hours [n]) -> Series` hour → cosine with the mean gradient of all
    other hours' events.

    Source: the chapter's section "An hour is not a small day"; expected values by hand.
    """
    gradients, hours = np.array([[3.0, 4], [1, 0], [0, 2], [1, 0]]), np.array([11, 9, 10, 9])
    expected = pd.Series({9: 3 / 45**0.5, 10: 4 / 41**0.5, 11: 14 / (5 * 8**0.5)})
    mistakes = {
        "Is the hour compared with the whole day? It is a part of that, and agrees with itself; leave it out.": (
            pd.Series({9: 5 / 61**0.5, 10: 6 / 61**0.5, 11: 39 / (5 * 61**0.5)})
        ),
        "Does each of the other hours weigh the same? Take the mean over their events.": (
            pd.Series({9: 3 / 45**0.5, 10: 0.5**0.5, 11: 11 / (5 * 5**0.5)})
        ),
        "That is the product of the two means. A cosine divides it by both lengths.": pd.Series(
            {9: 1.5, 10: 8 / 3, 11: 14 / 3}
        ),
        "Are the hours in the order in which they come? They should rise.": expected[[11, 9, 10]],
    }
    compare(run(conflict, gradients, hours), expected, "The cosines of three hours", mistakes)
    against = run(conflict, np.array([[1.0, 0], [-2, 0]]), np.array([8, 17]))
    compare(
        against,
        pd.Series({8: -1.0, 17: -1.0}),
        "The cosines of two hours that pull against each other",
    )
    print("✓ conflict: each hour against the rest of its day")


def check_seeds_needed(
    seeds_needed: Callable[[np.ndarray, float], int], predict: Callable[[], int]
) -> None:
    """`seeds_needed(pilot [n], half_width) -> int`: the smallest number ≥ 2 with a 95 % interval of
    at most ± half_width.

    `predict() -> int` is asked as well, and not marked. Source: `evaluation.paired_difference`;
    expected values by a printed table of Student's t.
    """
    pilot = np.array([-1.0, 0, 1])  # standard deviation 1
    mistakes = {
        "Is 1.96 the quantile? That is the normal one; few seeds need Student's t, with one degree of freedom less than seeds.": 97,
        "Is the standard deviation that of a whole population? Of a sample it divides by n − 1 (ddof=1).": 67,
        "Is the quantile that of the pilot's three seeds? Of more seeds it is smaller.": 463,
        "Is n the last number that is not enough?": 98,
        "Is the half-width the whole interval's width? It is from the middle to one end.": 387,
    }
    compare(
        run(seeds_needed, pilot, 0.2),
        99,
        "How many seeds make ±0.2 of a standard deviation of 1",
        mistakes,
    )
    for half_width, expected in (
        (0.6208, 13),
        (1.2417, 5),
        (8.0, 3),
        (10.0, 2),
    ):  # t = 2.179, 2.776, 4.303, 12.706
        found = run(seeds_needed, pilot, half_width)
        compare(found, expected, f"How many seeds make ±{half_width} of a standard deviation of 1")
    prediction = run(predict)
    if not isinstance(prediction, (int, np.integer)) or prediction < 2:
        raise AssertionError(
            f"predict returned {prediction!r}; say how many seeds you expect, a whole number above 1."
        )
    print(f"✓ seeds_needed: half the interval of 5 seeds takes 13; you predicted {prediction}")


def check_effect(effect: Callable) -> None:
    """`effect(runs, studied, value, other) -> Difference`: pairs that differ in `studied` alone,
    one difference per seed.

    `runs`: a column for each setting, `seed`, and `R@100`. Source: the chapter's section "The
    protocol"; by hand.
    """
    settings = {
        ("June", "1", "none"): (0.250, 0.260, 0.255),
        ("June", "1", "ids"): (0.260, 0.280, 0.285),
        ("June", "7", "none"): (0.240, 0.250, 0.250),
        ("June", "7", "ids"): (0.270, 0.270, 0.290),
        ("June", "30", "ids"): (0.200, 0.210, 0.205),  # no partner
        ("May", "1", "none"): (0.150, 0.170, 0.165),  # no partner: another start
    }
    rows = [
        (*names, seed, recall)
        for names, recalls in settings.items()
        for seed, recall in enumerate(recalls)
    ]
    runs = pd.DataFrame(rows, columns=["start", "full_every", "hourly", "seed", "R@100"]).sample(
        frac=1, random_state=0
    )
    of = {
        value: runs[runs["hourly"] == value].groupby("seed")["R@100"].mean()
        for value in ("ids", "none")
    }
    mistakes = {
        "Are all runs of one value set against all of the other? Some have no partner that shares start and full_every.": (
            _interval(of["ids"] - of["none"])
        ),
        "Six pairs are two for each seed, which are not independent; take the mean of a seed's differences first.": (
            _interval([0.01, 0.02, 0.03, 0.03, 0.02, 0.04])
        ),
        "Is it the other way round? It is `value` less `other`.": _interval([-0.02, -0.02, -0.035]),
    }
    what = "The effect of hourly, ids against none (mean, low, high, pairs)"
    compare(
        _numbers(run(effect, runs, "hourly", "ids", "none")),
        _interval([0.02, 0.02, 0.035]),
        what,
        mistakes,
    )
    what = "The effect of full_every, 1 against 7"
    compare(_numbers(run(effect, runs, "full_every", "1", "7")), _interval([0, 0.01, 0]), what)
    print("✓ effect: partners differ in one thing, and a pair is a seed")


def check_cheapest(cheapest: Callable) -> None:
    """`cheapest(table, costs, reference, tolerance) -> arm`: the cheapest that surely loses no more
    than `tolerance`.

    `table`: `arm`, `seed`, `R@100`; `costs`: arm → cost. Source: the chapter's section "How often
    must the full update be?".
    """
    night = np.array([0.251, 0.249, 0.250, 0.252, 0.248])
    noise = np.array([-1, 0, 1, 0.5, -0.5])
    recalls = {
        "nightly": night,
        "weekly": night - 0.001 + 0.0001 * noise,
        "monthly": night - 0.001 + 0.02 * noise,
    }
    recalls["hourly"] = night + 0.01 + 0.0001 * noise
    rows = [
        (arm, seed, recall) for arm, values in recalls.items() for seed, recall in enumerate(values)
    ]
    table, costs = (
        pd.DataFrame(rows, columns=["arm", "seed", "R@100"]),
        {"nightly": 30, "weekly": 4, "monthly": 1, "hourly": 50},
    )
    asked = (
        (0.002, costs, "weekly", {
            "Monthly's interval goes from −0.021 to +0.019: it may lose ten times what is allowed. Not being able to tell two "
            "arms apart does not make them equal; look at the interval's lower end.": "monthly",
        }),
        (0.0005, costs, "nightly", {"Weekly's mean loss is 0.001, twice what is allowed.": "weekly"}),
        (0.002, costs | {"hourly": 0.5}, "hourly", {
            "Hourly is cheaper than any other and better by 0.01. Is it left out because the difference is large?": "weekly",
            "Hourly is the cheapest and loses nothing for certain; monthly may lose 0.021.": "monthly",
        }),
    )  # fmt: skip
    for tolerance, prices, expected, mistakes in asked:
        found = run(cheapest, table, prices, "nightly", tolerance)
        compare(found, expected, f"The cheapest arm that loses at most {tolerance}", mistakes)
    print("✓ cheapest: what can't be told apart is not yet the same")


def check_difference_of_differences(difference_of_differences: Callable) -> None:
    """`difference_of_differences(days, first, second, length) -> Difference` over blocks of
    `length` calendar days.

    `days`: `arm`, `day` (text), `events`, `hits`; `first`, `second`: (arm, other). Source:
    `evaluation.paired_difference` and the chapter's section "Fresh features or fresh parameters?";
    expected values by a loop.
    """
    days, draw = [], np.random.default_rng(6)
    for number, day in enumerate(pd.date_range("2011-06-01", periods=30)):
        if day.weekday() == 5 or 14 <= number < 21:
            continue  # closed
        events, base = int(draw.integers(20, 900)), draw.uniform(0.2, 0.3)
        for arm, more in {"a": 0.05, "b": 0.0, "c": 0.03, "d": 0.01}.items():
            hits = round(events * (base + more + draw.normal(0, 0.01)), 1)
            days.append((arm, f"{day:%Y-%m-%d}", float(events), hits))
    days = pd.DataFrame(days, columns=["arm", "day", "events", "hits"]).sample(
        frac=1, random_state=0
    )
    first, second = ("a", "b"), ("c", "d")
    differences, one, other = _block_differences(days, first, second, 7)
    half = stats.t.ppf(0.975, len(one) - 1) * (stats.sem(one) ** 2 + stats.sem(other) ** 2) ** 0.5
    mistakes = {
        "Is a block's R@100 the mean of its days' shares? A quiet day would weigh as much as a busy one; add up hits and events.": (
            _interval(_block_differences(days, first, second, 7, pooled=False)[0])
        ),
        "Are days counted by their number in the table? The shop is closed on some; count by the calendar.": (
            _interval(_block_differences(days, first, second, 7, calendar=False)[0])
        ),
        "Are the two differences' intervals put together afterwards? Take the difference block by block: it is paired.": (
            [differences.mean(), differences.mean() - half, differences.mean() + half, len(one)]
        ),
        "Is the second difference added? It is to be subtracted.": _interval(one + other),
        "That is the first difference alone.": _interval(one),
    }
    found = _numbers(run(difference_of_differences, days, first, second, 7))
    compare(
        found,
        _interval(differences),
        "Thirty days in blocks of seven (mean, low, high, pairs)",
        mistakes,
    )
    found = _numbers(run(difference_of_differences, days, second, first, 10))
    compare(
        found,
        _interval(_block_differences(days, second, first, 10)[0]),
        "The same days the other way round, in blocks of ten",
    )
    print("✓ difference_of_differences: block by block")


def _block_differences(
    days: pd.DataFrame,
    first: Sequence[str],
    second: Sequence[str],
    length: int,
    pooled: bool = True,
    calendar: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[blocks] the difference of both differences, and each of the two."""
    dates = sorted(set(days["day"]))
    place = {
        d: (pd.Timestamp(d) - pd.Timestamp(dates[0])).days if calendar else n
        for n, d in enumerate(dates)
    }
    found: dict[int, dict[str, list[tuple[float, float]]]] = {}
    for row in days.to_dict("records"):
        found.setdefault(place[row["day"]] // length, {}).setdefault(row["arm"], []).append(
            (row["hits"], row["events"])
        )

    def recall(block: dict, arm: str) -> float:
        hits, events = np.array(block[arm]).T
        return hits.sum() / events.sum() if pooled else (hits / events).mean()

    one, other = (
        np.array([recall(b, arm) - recall(b, than) for b in found.values()])
        for arm, than in (first, second)
    )
    return one - other, one, other


def _interval(differences: Sequence[float]) -> list[float]:
    """Mean, low, high and number, by SciPy's t test."""
    interval = stats.ttest_1samp(differences, 0).confidence_interval()
    return [np.mean(differences), interval.low, interval.high, len(differences)]


def _numbers(found: object) -> list[float]:
    if not isinstance(found, tuple) or len(found) != 4:
        raise AssertionError(
            f"A Difference should come back, as paired_difference makes it; a {type(found).__name__} came."
        )
    return list(found)
