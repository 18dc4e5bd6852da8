"""Checks of the exercises of chapter 12, which augmentation, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from course_lib.checks.guard import compare, run


def check_within(within: Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]) -> None:
    """`within(scores [m], slices [m], candidates [m] bool, bought) -> float`; NaN for a slice
    without another candidate.

    Source: `evaluation.within_slice_auc`; expected values by hand.
    """
    scores = np.array([0.9, 0.5, 0.2, 0.5, 0.7, 0.1, 0.5, 0.3, 0.4, 0.1])
    slices, candidates = (
        np.array("tail cold cold cold cold head cold cold cold cold".split()),
        np.arange(10) < 9,
    )
    mistakes = {
        "Does a tie count as a loss? It is half a win.": 3 / 6,
        "Does a tie count as a win? It is half of one.": 5 / 6,
        "Is the item compared with itself as well? It is no other.": 4.5 / 7,
        "Is the item itself among those that it is divided by? It is no other.": 4 / 7,
        "Are all candidates compared? Only those in the slice of the bought item.": 5 / 8,
        "Item 9 is no candidate, for the user has it already, and is compared all the same.": 5 / 7,
        "Are those counted that score higher? It is those that score lower.": 2 / 6,
    }  # of the six cold candidates besides item 1 three are lower, two equal, one is higher
    compare(
        run(within, scores, slices, candidates, 1),
        4 / 6,
        "The place of item 1 among the cold candidates",
        mistakes,
    )
    alone = {
        "Without another candidate there is nothing to compare: NaN, which a mean can leave out.": 0.5
    }
    compare(
        run(within, scores, slices, candidates, 5),
        np.nan,
        "The place of item 5, alone in its slice",
        alone,
    )
    compare(
        run(within, scores, slices, candidates, 4),
        1.0,
        "The place of item 4, the best of the cold candidates",
    )
    print("✓ within: wins and half the ties, among the other candidates of the slice")


def check_verdict(verdict: Callable) -> None:
    """`verdict(before [n, m], after [n, m], bought [n], new [m] bool, k) -> {"recall": …, "auc": …,
    "verdict": …}`.

    Source: the chapter's section "The trap: a slice that is lifted"; expected values by hand.
    """
    before = np.array([[0.9, 0.8, 0.7, 0.3, 0.2, 0.2], [0.9, 0.6, 0.5, 0.4, 0.1, 0.2]])
    bought, new = np.array([4, 3]), np.arange(6) > 2
    lifted, ranked, worse = before + 0.55 * new, before.copy(), before + 0.55 * new
    ranked[0, 3:] = 0.2, 0.3, 0.1
    worse[1, 3:] = 0.75, 0.95, 0.65  # found now, and no longer the best of its slice
    right = _gains(0.5, 0, "lifted")
    mistakes = {
        "Is the AUC taken among all items? Lifting a slice raises that as well; compare within the new ones.": _gains(
            0.5, 0.4, "ranked"
        ),
        "Recall rises, but by a constant added to every new item. That is lifted, and not ranked.": _gains(
            0.5, 0, "ranked"
        ),
        "It is after less before.": _gains(-0.5, 0, "neither"),
        "Is the rank taken among the new items only? Recall is among all.": _gains(0, 0, "neither"),
    }
    compare(
        run(verdict, before, lifted, bought, new, 3),
        right,
        "All new items 0.55 higher, k = 3",
        mistakes,
    )
    mistakes = {
        "In recall a tie counts against the model: the rank is how many score at least as high.": _gains(
            0.5, 0, "lifted"
        )
    }
    compare(
        run(verdict, before, lifted, bought, new, 4),
        _gains(0, 0, "neither"),
        "The same, k = 4",
        mistakes,
    )
    mistakes = {
        "In the AUC a tie is half a win, and here it counts as a loss.": _gains(0, 0.5, "ranked"),
        "In the AUC a tie is half a win, and here it counts as a win.": _gains(0, 0.25, "ranked"),
        "No more items are found, but the new ones are told apart better: ranked.": _gains(
            0, 0.375, "neither"
        ),
    }
    compare(
        run(verdict, before, ranked, bought, new, 3),
        _gains(0, 0.375, "ranked"),
        "A better order of the new items",
        mistakes,
    )
    what = "All new items higher and told apart worse"
    compare(run(verdict, before, worse, bought, new, 3), _gains(0.5, -0.25, "lifted"), what)
    compare(
        run(verdict, lifted, before, bought, new, 3),
        _gains(-0.5, 0, "neither"),
        "All new items lowered",
    )
    print("✓ verdict: a constant buys recall, and no AUC")


def check_protocol(protocol: Callable) -> None:
    """`protocol(tuning, test, kinds) -> {kind: (arm, Difference)}`: chosen by `validation` within
    equal budgets, then read once.

    `tuning`: `arm`, `seed`, `validation`; `test`: `arm`, `seed`, `R@100`; `kinds`: kind → arms in
    the order in which they were tried. Source: the chapter's section "The protocol"; expected
    values by hand, intervals by a printed table of Student's t.
    """
    tuning = long_table(
        "validation",
        {
            "a1": [0.115, 0.12],
            "a2": [0.09, 0.14],
            "a3": [0.2, 0.2],
            "b1": [0.1, 0.1],
            "b2": [0.11, 0.12],
        },
    )
    gains = {
        "a1": [1, 2, 1, 2, 4],
        "a2": [5, 5, 5, 5, 6],
        "a3": [3, 3, 2, 3, 3],
        "b1": [3, 3, 3, 3, 2],
        "b2": [-1, 0, -1, -2, 0],
    }
    plain = np.array([0.20, 0.24, 0.22, 0.21, 0.23])
    test = long_table(
        "R@100",
        {"plain": plain, **{arm: plain + np.array(gain) / 100 for arm, gain in gains.items()}},
    )
    test = test.sample(frac=1, random_state=0)  # rows of two arms stand in no order
    read = {arm: _interval(np.array(gain) / 100) for arm, gain in gains.items()}

    def chosen(a: str, b: str) -> dict:
        return {"A": (a, read[a]), "B": (b, read[b])}

    rows = {arm: part.to_numpy() for arm, part in test.groupby("arm")["R@100"]}
    mistakes = {
        "A pair is a seed, and the rows stand in no order: subtract by seed, not row by row.": {
            kind: (arm, _interval(rows[arm] - rows["plain"]))
            for kind, arm in {"A": "a1", "B": "b2"}.items()
        },
        "A had three tries and B two: only the first two of each count, or who tries more has the better luck.": chosen(
            "a3", "b2"
        ),
        "Is the best single run chosen? One lucky seed is not a choice; take the mean over seeds.": chosen(
            "a2", "b2"
        ),
        "Those are the best of the test table. Choose by `validation`, in the tuning table alone.": chosen(
            "a2", "b1"
        ),
        "It is the arm less plain, not the other way round.": {
            "A": ("a1", _interval(-np.array(gains["a1"]) / 100)),
            "B": ("b2", _interval(-np.array(gains["b2"]) / 100)),
        },
    }
    found = run(protocol, tuning, test, {"A": ["a1", "a2", "a3"], "B": ["b1", "b2"]})
    compare(
        found,
        chosen("a1", "b2"),
        "The arms chosen, and what the test says of them (mean, low, high, pairs)",
        mistakes,
    )
    print("✓ protocol: equal budgets, chosen in spring, read once")


def check_clear_by_chance(clear_by_chance: Callable, prediction: float) -> None:
    """`clear_by_chance(arms, seeds, draws, rng) -> [draws]` how many of the arms' intervals are
    clear of zero, by chance alone.

    Source: the chapter's section "The whole table"; expected values by SciPy's paired t test, on
    draws of our own.
    """
    compare(
        isinstance(prediction, (int, float)) and not isinstance(prediction, bool),
        True,
        "Is `prediction` a number",
    )
    found = run(clear_by_chance, 12, 5, 1_500, np.random.default_rng(0), seconds=20.0)
    counts = by_t_test(12, 5, 20_000)
    own = stats.binom(12, 0.05)  # as if each arm had a plain of its own
    right = {"mean": counts.mean(), "none clear": (counts == 0).mean()}
    mistakes = {
        "Has each arm a plain of its own? All are compared with the same one, so that one lucky plain moves them all.": (
            {"mean": own.mean(), "none clear": own.pmf(0)}
        ),
        "Is 1.96 the quantile? That is the normal one; five seeds need Student's t with 4 degrees of freedom.": _summary(
            by_t_test(12, 5, 20_000, quantile=1.96)
        ),
        "Are only the gains counted? An interval below zero is clear of it as well.": _summary(
            by_t_test(12, 5, 20_000, gains=True)
        ),
        "Are those counted that hold zero? It is the others.": {
            "mean": 12 - counts.mean(),
            "none clear": (counts == 12).mean(),
        },
    }
    compare(np.shape(found), (1_500,), "The shape of the numbers of 1,500 draws")
    compare(
        _summary(np.asarray(found)),
        right,
        "Of twelve arms, in 1,500 draws",
        mistakes,
        tolerance=0.045,
    )
    by_chance = 36 * counts.mean() / 12
    print(
        f"✓ clear_by_chance: of 36 intervals {by_chance:.1f} are clear of zero by chance; you predicted {prediction:g}"
    )


def check_experiment(experiment: Callable) -> None:
    """`experiment(world, one, other, dial, seeds) -> {value: (Difference, "one" / "other" / "can't
    tell")}`.

    Source: the chapter's section "When it pays"; expected values by hand, intervals by a printed
    table of Student's t.
    """
    gains = {
        1: [4, 5, 6, 5, 5],
        2: [-3, -5, -4, -4, -4],
        3: [3, -1, 2, 1, -2],
    }  # in hundredths, of seeds 0 … 4
    made: list[tuple[int, int]] = []

    def world(value: int, seed: int) -> tuple[int, int, int]:
        made.append((value, seed))
        return value, seed, made.count((value, seed))

    def other(task: tuple[int, int, int]) -> float:
        value, seed, time = task
        return seed / 10 + time / 5  # a seed's level, and another one if its task is made anew

    def one(task: tuple[int, int, int]) -> float:
        return other(task) + gains[task[0]][task[1]] / 100

    def answers(found: Callable[[np.ndarray], tuple], words: str = "one other can't-tell") -> dict:
        told = [word.replace("-", " ") for word in words.split()]
        return {
            value: (found(np.array(gain) / 100), word)
            for (value, gain), word in zip(gains.items(), told, strict=True)
        }

    def half_of_two_samples(gain: np.ndarray) -> tuple[float, float, float, int]:
        level = np.arange(5) / 10
        half = (
            2.306004 * ((level + gain).var(ddof=1) / 5 + level.var(ddof=1) / 5) ** 0.5
        )  # 8 degrees of freedom
        return gain.mean(), gain.mean() - half, gain.mean() + half, 5

    mistakes = {
        "Is the mean alone asked? The word is for the whole interval; where it holds zero nobody can tell.": answers(
            _interval, "one other one"
        ),
        "It is one less other, not the other way round.": answers(
            lambda gain: _interval(-gain), "other one can't-tell"
        ),
        "Are the two rankers' results taken as two samples? A pair is a seed; take the differences first.": answers(
            half_of_two_samples, "can't-tell can't-tell can't-tell"
        ),
        "The task is made anew for the second ranker, so that the pair is no pair; make it once, and measure both on it.": answers(
            lambda gain: _interval(gain - 0.2), "other other other"
        ),
    }
    found = run(experiment, world, one, other, [1, 2, 3], [0, 1, 2, 3, 4])
    where = "Three values of the dial, five seeds (mean, low, high, pairs; word)"
    compare(found, answers(_interval), where, mistakes)
    if sorted(made) != [(value, seed) for value in gains for seed in range(5)]:
        raise AssertionError(
            f"Three values and five seeds are 15 tasks, each made once; made were {len(made)}."
        )
    print("✓ experiment: one log for both, a pair a seed, and a word that the interval carries")


def by_t_test(
    arms: int, seeds: int, draws: int, quantile: float | None = None, gains: bool = False
) -> np.ndarray:
    """[draws] how many of `arms` differ from one plain, all drawn alike, by paired t tests at 5 %."""
    results = np.random.default_rng(99).normal(size=(draws, arms + 1, seeds))
    t = stats.ttest_rel(results[:, 1:], results[:, :1], axis=2).statistic
    clear = (t if gains else np.abs(t)) > (quantile or stats.t.ppf(0.975, seeds - 1))
    return clear.sum(1)


def long_table(column: str, arms: dict[str, Sequence[float]]) -> pd.DataFrame:
    """A row per arm and seed, as the committed tables have."""
    rows = [(arm, seed, value) for arm, values in arms.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["arm", "seed", column])


def _summary(counts: np.ndarray) -> dict[str, float]:
    return {"mean": counts.mean(), "none clear": (counts == 0).mean()}


def _gains(recall: float, auc: float, verdict: str) -> dict:
    return {"recall": recall, "auc": auc, "verdict": verdict}


def _interval(differences: np.ndarray) -> tuple[float, float, float, int]:
    """Mean, low, high, pairs of five differences; 2.776445 is Student's t of 97.5 % at 4 degrees of
    freedom.
    """
    half = 2.776445 * differences.std(ddof=1) / 5**0.5
    return differences.mean(), differences.mean() - half, differences.mean() + half, 5
