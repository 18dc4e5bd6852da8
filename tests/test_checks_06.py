"""The checks of chapter 06's exercises: right answers pass, and each typical mistake gets its
sentence.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from course_lib.checks import chapter_06
from course_lib.evaluation import paired_difference


def refused(check, answer, reason, *more):
    with pytest.raises(AssertionError, match=f"(?s){reason}.*[?.]$"):
        check(answer, *more)


def conflict(gradients, hours, rest=None, normed=True, rising=True):
    cosines = {}
    for hour in sorted(set(hours)) if rising else dict.fromkeys(hours):
        own = gradients[hours == hour].mean(0)
        others = rest(gradients, hours, hour) if rest else gradients[hours != hour].sum(0)
        cosines[hour] = (
            own
            @ others
            / (np.linalg.norm(own) * np.linalg.norm(others) if normed else (hours != hour).sum())
        )
    return pd.Series(cosines)


def mean_of_means(gradients, hours, hour):
    return np.mean([gradients[hours == other].mean(0) for other in set(hours) - {hour}], axis=0)


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"rest": lambda gradients, hours, hour: gradients.mean(0)}, "compared with the whole day"),
        ({"rest": mean_of_means}, "other hours weigh the same"),
        ({"normed": False}, "product of the two means"),
        ({"rising": False}, "They should rise"),
    ],
)
def test_conflict(switches, reason, capsys):
    chapter_06.check_conflict(conflict)
    assert capsys.readouterr().out.startswith("✓ conflict")
    refused(
        chapter_06.check_conflict,
        lambda gradients, hours: conflict(gradients, hours, **switches),
        reason,
    )


def seeds_needed(
    pilot, half_width, quantile=lambda seeds, pilot: stats.t.ppf(0.975, seeds - 1), ddof=1, late=0
):
    seeds = 2
    while quantile(seeds, pilot) * np.std(pilot, ddof=ddof) / seeds**0.5 > half_width:
        seeds += 1
    return seeds - late


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            lambda pilot, width: seeds_needed(pilot, width, lambda seeds, pilot: 1.96),
            "few seeds need Student's t",
        ),
        (
            lambda pilot, width: seeds_needed(
                pilot, width, lambda seeds, pilot: stats.t.ppf(0.975, len(pilot) - 1)
            ),
            "pilot's three",
        ),
        (lambda pilot, width: seeds_needed(pilot, width, ddof=0), "whole population"),
        (
            lambda pilot, width: seeds_needed(pilot, width, late=1),
            "the last number that is not enough",
        ),
        (lambda pilot, width: seeds_needed(pilot, width / 2), "from the middle to one end"),
    ],
)
def test_seeds_needed(answer, reason, capsys):
    chapter_06.check_seeds_needed(seeds_needed, lambda: 20)
    assert (
        capsys.readouterr().out
        == "✓ seeds_needed: half the interval of 5 seeds takes 13; you predicted 20\n"
    )
    refused(chapter_06.check_seeds_needed, answer, reason, lambda: 20)


@pytest.mark.parametrize(
    ("predicted", "reason"),
    [(None, "returned None"), ("20", "a whole number above 1"), (1, "above 1")],
)
def test_a_prediction_is_asked_for(predicted, reason):
    refused(chapter_06.check_seeds_needed, seeds_needed, reason, lambda: predicted)


def effect(runs, studied, value, other, by_seed=True):
    names = [name for name in runs if name not in (studied, "R@100")]
    pairs = runs[runs[studied] == value].merge(runs[runs[studied] == other], on=names)
    differences = (
        (pairs["R@100_x"] - pairs["R@100_y"])
        .groupby(pairs["seed"] if by_seed else pairs.index)
        .mean()
    )
    return paired_difference(differences, 0 * differences)


def all_runs(runs, studied, value, other):
    means = runs.pivot_table("R@100", "seed", studied)
    return paired_difference(means[value], means[other])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (all_runs, "no partner that shares"),
        (lambda *given: effect(*given, by_seed=False), "not independent"),
        (
            lambda runs, studied, value, other: effect(runs, studied, other, value),
            "the other way round",
        ),
        (lambda *given: effect(*given).mean, "A Difference should come back"),
    ],
)
def test_effect(answer, reason):
    chapter_06.check_effect(effect)
    refused(chapter_06.check_effect, answer, reason)


def cheapest(
    table,
    costs,
    reference,
    tolerance,
    passes=lambda difference, tolerance: difference.low >= -tolerance,
):
    seeds = table.pivot_table("R@100", "seed", "arm")
    return next(
        a
        for a in sorted(costs, key=costs.get)
        if passes(paired_difference(seeds[a], seeds[reference]), tolerance)
    )


@pytest.mark.parametrize(
    ("passes", "reason"),
    [
        (
            lambda difference, tolerance: difference.low <= 0 <= difference.high,
            "does not make them equal",
        ),
        (
            lambda difference, tolerance: difference.mean >= -tolerance,
            "may lose ten times what is allowed",
        ),
        (
            lambda difference, tolerance: max(-difference.low, difference.high) <= tolerance,
            "because the difference is large",
        ),
        (lambda difference, tolerance: difference.low >= -0.002, "twice what is allowed"),
    ],
)
def test_cheapest(passes, reason):
    chapter_06.check_cheapest(cheapest)
    refused(chapter_06.check_cheapest, lambda *given: cheapest(*given, passes), reason)


def shares(days, length, pooled=True, calendar=True):
    """R@100, [blocks, arms]"""
    day = pd.to_datetime(days["day"])
    number = (day - day.min()).dt.days if calendar else day.rank(method="dense").astype(int) - 1
    blocks = days.assign(block=number // length, share=days["hits"] / days["events"])
    sums = blocks.pivot_table(["hits", "events"], "block", "arm", aggfunc="sum")
    return sums["hits"] / sums["events"] if pooled else blocks.pivot_table("share", "block", "arm")


def difference_of_differences(days, first, second, length, sign=-1, **switches):
    r = shares(days, length, **switches)
    return paired_difference(r[first[0]] - r[first[1]], -sign * (r[second[0]] - r[second[1]]))


def of_two_intervals(days, first, second, length):
    r = shares(days, length)
    one, other = (r[arm] - r[than] for arm, than in (first, second))
    half = stats.t.ppf(0.975, len(r) - 1) * (stats.sem(one) ** 2 + stats.sem(other) ** 2) ** 0.5
    mean = (one - other).mean()
    return mean, mean - half, mean + half, len(r)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda *given: difference_of_differences(*given, pooled=False), "A quiet day would weigh"),
        (lambda *given: difference_of_differences(*given, calendar=False), "count by the calendar"),
        (of_two_intervals, "Take the difference block by block"),
        (lambda *given: difference_of_differences(*given, sign=1), "It is to be subtracted"),
        (lambda *given: difference_of_differences(*given, sign=0), "the first difference alone"),
        (lambda *given: 0.1, "A Difference should come back"),
    ],
)
def test_difference_of_differences(answer, reason):
    chapter_06.check_difference_of_differences(difference_of_differences)
    refused(chapter_06.check_difference_of_differences, answer, reason)
