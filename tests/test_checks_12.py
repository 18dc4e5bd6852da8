"""Chapter 12's checks: mistakes beside those in the checks, and a reference by the library."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from course_lib.checks import chapter_12
from course_lib.evaluation import paired_difference


def within(scores, slices, candidates, bought):
    """By scikit-learn: one positive among the candidates of its slice."""
    among = candidates & (slices == slices[bought])
    positive = np.arange(len(scores))[among] == bought
    return roc_auc_score(positive, scores[among]) if among.sum() > 1 else np.nan


def clear_by_chance(arms, seeds, draws, rng):
    plain = rng.normal(size=(draws, 1, seeds))
    differences = rng.normal(size=(draws, arms, seeds)) - plain
    ratio = abs(differences.mean(2)) / stats.sem(differences, axis=2)
    return (ratio > stats.t.ppf(0.975, seeds - 1)).sum(1)


def experiment(world, one, other, dial, seeds, worlds=None):
    found = {}
    for value in dial:
        tasks = [world(value, (worlds or seeds)[place]) for place in range(len(seeds))]
        gain = paired_difference([one(task) for task in tasks], [other(task) for task in tasks])
        word = "one" if gain.low > 0 else "other" if gain.high < 0 else "can't tell"
        found[value] = gain, word
    return found


def wasteful(world, *given):
    """Makes one task more, and measures as if it had not."""
    world(given[2][0], 0)
    return experiment(lambda value, seed: (*world(value, seed)[:2], 1), *given)


def with_one_world(*given):
    return experiment(*given, worlds=[0] * 5)


OWN = {
    "within": [(within, None)],
    "clear_by_chance": [
        (clear_by_chance, None),
        ((clear_by_chance, "two"), "`prediction` a number"),
        (lambda arms, seeds, draws, rng: np.zeros(3), "expected 1500"),
    ],
    "experiment": [
        (experiment, None),
        (with_one_world, "under 1, in place 0"),
        (wasteful, "made were 16"),
    ],
}


def by_the_library(arms, seeds, draws, rng):
    counts = []
    for _ in range(draws):
        plain, *others = rng.normal(size=(1 + arms, seeds))
        found = [paired_difference(other, plain) for other in others]
        counts.append(sum(not difference.low <= 0 <= difference.high for difference in found))
    return np.array(counts)


def test_the_reference_of_clear_by_chance():
    """The library's own intervals, one by one, say what the t tests at once say."""
    counts, reference = (
        by_the_library(12, 5, 150, np.random.default_rng(3)),
        chapter_12.by_t_test(12, 5, 20_000),
    )
    assert reference.mean() == pytest.approx(0.6, abs=0.03)
    assert counts.mean() == pytest.approx(reference.mean(), abs=0.35)
