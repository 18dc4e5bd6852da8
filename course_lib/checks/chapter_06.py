"""Checks of chapter 06, full versus incremental."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from course_lib.checks.examples import interval, long_table
from course_lib.checks.guard import case, exercise, mistakes, parts, run


@exercise("each hour against the rest of its day")
def check_conflict(conflict: Callable[[np.ndarray, np.ndarray], pd.Series]) -> None:
    """`conflict(gradients [n, p], hours [n]) -> Series` hour → cosine with all other hours' mean.

    Source: the chapter's section "An hour is not a small day"; expected values by hand.
    """

    def cosine(one, other):
        return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))

    def others(gradients, hours, hour):
        return gradients[hours != hour].mean(0)

    def means(gradients, hours, hour):
        rest = set(hours) - {hour}
        return np.mean([gradients[hours == one].mean(0) for one in rest], axis=0)

    def of(rest=others, product=cosine, order=set):
        return lambda gradients, hours: pd.Series(
            {
                hour: product(gradients[hours == hour].mean(0), rest(gradients, hours, hour))
                for hour in order(hours)
            }
        )

    wrong = mistakes(
        "Is the hour compared with the whole day? It agrees with itself; leave it out.",
        of(lambda gradients, hours, hour: gradients.mean(0), order=sorted),
        "Does each of the other hours weigh the same? Take the mean over their events.",
        of(means, order=sorted),
        "That is the product of the two means. A cosine divides it by both lengths.",
        of(product=np.dot, order=sorted),
        "Are the hours in the order in which they come? They should rise.",
        of(order=dict.fromkeys),
    )
    given = np.array([[3.0, 4], [1, 0], [0, 2], [1, 0]]), np.array([11, 9, 10, 9])
    expected = pd.Series({9: 3 / 45**0.5, 10: 4 / 41**0.5, 11: 14 / (5 * 8**0.5)})
    case(conflict, given, expected, "The cosines of three hours", wrong)
    given, expected = (
        (np.array([[1.0, 0], [-2, 0]]), np.array([8, 17])),
        pd.Series({8: -1.0, 17: -1}),
    )
    case(conflict, given, expected, "The cosines of two hours that pull against each other", wrong)


@exercise()
def check_seeds_needed(seeds_needed: Callable[[np.ndarray, float], int], predict: Callable) -> str:
    """`seeds_needed(pilot [n], half_width) -> int`: the fewest ≥ 2 with 95 % within ± half_width.

    `predict() -> int` is asked as well, and not marked. Source: `evaluation.paired_difference`;
    expected values by a printed table of Student's t.
    """

    def students(seeds, pilot):
        return stats.t.ppf(0.975, seeds - 1)

    def of(quantile=students, ddof=1, late=0, whole=1):
        def seeds_needed(pilot, half_width):
            seeds, spread = 2, whole * np.std(pilot, ddof=ddof)
            while quantile(seeds, pilot) * spread / seeds**0.5 > half_width:
                seeds += 1
            return seeds - late

        return seeds_needed

    wrong = mistakes(
        "Is 1.96 the quantile? Few seeds need Student's t, with seeds − 1 degrees of freedom.",
        of(lambda seeds, pilot: 1.96),
        "Is the deviation that of a whole population? A sample's divides by n − 1 (ddof=1).",
        of(ddof=0),
        "Is the quantile that of the pilot's three seeds? Of more seeds it is smaller.",
        of(lambda seeds, pilot: students(len(pilot), pilot)),
        "Is n the last number that is not enough?",
        of(late=1),
        "Is the half-width the whole interval's width? It is from the middle to one end.",
        of(whole=2),
    )
    pilot = np.array([-1.0, 0, 1])  # standard deviation 1; t = 2.179, 2.776, 4.303, 12.706
    for width, expected in ((0.2, 99), (0.6208, 13), (1.2417, 5), (8.0, 3), (10.0, 2)):
        what = f"How many seeds make ±{width} of a standard deviation of 1"
        case(seeds_needed, (pilot, width), expected, what, wrong)
    prediction = run(predict)
    if not isinstance(prediction, (int, np.integer)) or prediction < 2:
        raise AssertionError(
            f"predict returned {prediction!r}; say how many seeds, a whole number above 1."
        )
    return f"half the interval of 5 seeds takes 13; you predicted {prediction}"


@exercise("partners differ in one thing, and a pair is a seed")
def check_effect(effect: Callable) -> None:
    """`effect(runs, studied, value, other) -> Difference`: pairs that differ in `studied` alone.

    `runs`: a column for each setting, `seed`, and `R@100`. One difference per seed. Source: the
    chapter's section "The protocol"; by hand.
    """

    def unpaired(runs, studied, value, other):
        means = runs.pivot_table("R@100", "seed", studied)
        return interval(means[value] - means[other])

    def gaps(runs, studied, value, other):
        names = [name for name in runs if name not in (studied, "R@100")]
        pairs = runs[runs[studied] == value].merge(runs[runs[studied] == other], on=names)
        return (pairs["R@100_x"] - pairs["R@100_y"]).set_axis(pairs["seed"])

    wrong = mistakes(
        "Are all runs compared? Some have no partner that shares start and full_every.",
        unpaired,
        "The two pairs of a seed are not independent; take the mean of their differences first.",
        lambda *given: interval(gaps(*given)),
        "Is it the other way round? It is `value` less `other`.",
        lambda *given: interval(-gaps(*given).groupby(level=0).mean()),
    )
    settings = {
        ("June", "1", "none"): (0.250, 0.260, 0.255),
        ("June", "1", "ids"): (0.260, 0.280, 0.285),
        ("June", "7", "none"): (0.240, 0.250, 0.250),
        ("June", "7", "ids"): (0.270, 0.270, 0.290),
        ("June", "30", "ids"): (0.200, 0.210, 0.205),  # no partner
        ("May", "1", "none"): (0.150, 0.170, 0.165),  # no partner: another start
    }
    rows = [
        (*names, seed, r) for names, values in settings.items() for seed, r in enumerate(values)
    ]
    runs = pd.DataFrame(rows, columns=["start", "full_every", "hourly", "seed", "R@100"])
    runs = runs.sample(frac=1, random_state=0)
    what = "The effect of hourly, ids against none (mean, low, high, pairs)"
    given, expected = (runs, "hourly", "ids", "none"), interval([0.02, 0.02, 0.035])
    case(effect, given, expected, what, wrong, of=_numbers)
    what, given = "The effect of full_every, 1 against 7", (runs, "full_every", "1", "7")
    case(effect, given, interval([0, 0.01, 0]), what, wrong, of=_numbers)


@exercise("what can't be told apart is not yet the same")
def check_cheapest(cheapest: Callable) -> None:
    """`cheapest(table, costs, reference, tolerance) -> arm` that surely loses no more than that.

    `table`: `arm`, `seed`, `R@100`; `costs`: arm → cost. Source: the chapter's section "How often
    must the full update be?".
    """

    def of(passes):
        def cheapest(table, costs, reference, tolerance):
            seeds = table.pivot_table("R@100", "seed", "arm")
            for arm in sorted(costs, key=costs.get):
                gaps = seeds[arm] - seeds[reference]
                if arm == reference or passes(*interval(gaps)[:3], tolerance):
                    return arm
            return ""

        return cheapest

    wrong = mistakes(
        "Monthly may lose 0.021, ten times what is allowed: look at the interval's lower end.",
        of(lambda mean, low, high, tolerance: low <= 0 <= high),
        "Weekly's mean loss is 0.001, twice what is allowed.",
        of(lambda mean, low, high, tolerance: low >= -0.002),
        "Hourly is cheapest, and better by 0.01. Is it left out as the difference is large?",
        of(lambda mean, low, high, tolerance: max(-low, high) <= tolerance),
    )
    night = np.array([0.251, 0.249, 0.250, 0.252, 0.248])
    noise = np.array([-1, 0, 1, 0.5, -0.5])
    recalls = {
        "nightly": night,
        "weekly": night - 0.001 + 0.0001 * noise,
        "monthly": night - 0.001 + 0.02 * noise,
        "hourly": night + 0.01 + 0.0001 * noise,
    }
    table = long_table("R@100", recalls)
    costs = {"nightly": 30, "weekly": 4, "monthly": 1, "hourly": 50}
    for tolerance, prices, expected in (
        (0.002, costs, "weekly"),
        (0.0005, costs, "nightly"),
        (0.002, costs | {"hourly": 0.5}, "hourly"),
    ):
        given, hourly = (table, prices, "nightly", tolerance), prices["hourly"]
        what = f"The cheapest arm that loses at most {tolerance}, if hourly costs {hourly}"
        case(cheapest, given, expected, what, wrong)


@exercise("block by block")
def check_difference_of_differences(difference_of_differences: Callable) -> None:
    """`difference_of_differences(days, first, second, length) -> Difference` over calendar blocks.

    `days`: `arm`, `day` (text), `events`, `hits`; `first`, `second`: (arm, other); `length`: days
    per block. Source: `evaluation.paired_difference` and the chapter's section "Fresh features or
    fresh parameters?".
    """

    def gaps(days, pairs, length, pooled=True, calendar=True):
        """[blocks] of each pair: its first arm's R@100 less the other's, by a loop."""
        dates = sorted(set(days["day"]))
        age = {day: (pd.Timestamp(day) - pd.Timestamp(dates[0])).days for day in dates}
        place, found = age if calendar else {day: n for n, day in enumerate(dates)}, {}
        for row in days.to_dict("records"):
            block = found.setdefault(place[row["day"]] // length, {})
            block.setdefault(row["arm"], []).append((row["hits"], row["events"]))

        def recall(block, arm):
            hits, events = np.array(block[arm]).T
            return hits.sum() / events.sum() if pooled else (hits / events).mean()

        return [
            np.array([recall(block, arm) - recall(block, than) for block in found.values()])
            for arm, than in pairs
        ]

    def of(weight=-1, **switches):
        def answer(days, first, second, length):
            one, other = gaps(days, (first, second), length, **switches)
            return interval(one + weight * other)

        return answer

    def of_two_intervals(days, first, second, length):
        one, other = gaps(days, (first, second), length)
        error = (stats.sem(one) ** 2 + stats.sem(other) ** 2) ** 0.5
        half, mean = stats.t.ppf(0.975, len(one) - 1) * error, (one - other).mean()
        return [mean, mean - half, mean + half, len(one)]

    wrong = mistakes(
        "Does a quiet day weigh as much as a busy one? Add up a block's hits and events.",
        of(pooled=False),
        "Are days counted as the table has them? The shop closes on some; use the calendar.",
        of(calendar=False),
        "Are two intervals put together? Take the difference block by block: it is paired.",
        of_two_intervals,
        "Is the second difference added? It is to be subtracted.",
        of(weight=1),
        "That is the first difference alone.",
        of(weight=0),
    )
    rows, draw = [], np.random.default_rng(6)
    for number, day in enumerate(pd.date_range("2011-06-01", periods=30)):
        if day.weekday() == 5 or 14 <= number < 21:
            continue  # closed
        events, base = int(draw.integers(20, 900)), draw.uniform(0.2, 0.3)
        for arm, more in {"a": 0.05, "b": 0.0, "c": 0.03, "d": 0.01}.items():
            hits = round(events * (base + more + draw.normal(0, 0.01)), 1)
            rows.append((arm, f"{day:%Y-%m-%d}", float(events), hits))
    days = pd.DataFrame(rows, columns=["arm", "day", "events", "hits"])
    days, first, second = days.sample(frac=1, random_state=0), ("a", "b"), ("c", "d")
    for given, what in (
        ((days, first, second, 7), "Thirty days in blocks of seven (mean, low, high, pairs)"),
        ((days, second, first, 10), "The same days the other way round, in blocks of ten"),
    ):
        case(difference_of_differences, given, of()(*given), what, wrong, of=_numbers)


def _numbers(found: object) -> list[float]:
    return list(parts(found, "mean", "low", "high", "pairs"))
