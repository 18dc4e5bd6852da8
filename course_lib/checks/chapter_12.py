"""Checks of chapter 12, which augmentation, and when."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from course_lib.checks.examples import interval, long_table
from course_lib.checks.guard import Near, case, compare, exercise, mistakes, run


@exercise("wins and half the ties, among the other candidates of the slice")
def check_within(within: Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]) -> None:
    """`within(scores [m], slices [m], candidates [m] bool, bought) -> float`; NaN if it is alone.

    Source: `evaluation.within_slice_auc`; expected values by hand.
    """

    def of(
        others=lambda slices, candidates, bought: candidates & (slices == slices[bought]),
        itself=False,
        worth=lambda one, own: (one < own) + (one == own) / 2,
        more=0,
        empty=np.nan,
    ):
        def within(scores, slices, candidates, bought):
            among = others(slices, candidates, bought)
            among[bought] = itself
            if not among.any():
                return empty
            return worth(scores[among], scores[bought]).sum() / (among.sum() + more)

        return within

    wrong = mistakes(
        "Without another candidate there is nothing to compare: NaN, which a mean can leave out.",
        of(empty=0.5),
        "Does a tie count as a loss? It is half a win.",
        of(worth=lambda one, own: one < own),
        "Does a tie count as a win? It is half of one.",
        of(worth=lambda one, own: one <= own),
        "Is the item compared with itself as well? It is no other.",
        of(itself=True),
        "Is the item itself among those that it is divided by? It is no other.",
        of(more=1),
        "Are all candidates compared? Only those in the slice of the bought item.",
        of(lambda slices, candidates, bought: candidates.copy()),
        "Item 9 is no candidate, for the user has it already, and is compared all the same.",
        of(lambda slices, candidates, bought: slices == slices[bought]),
        "Are those counted that score higher? It is those that score lower.",
        of(worth=lambda one, own: (one > own) + (one == own) / 2),
    )
    slices = np.array("tail cold cold cold cold head cold cold cold cold".split())
    store = np.array([0.9, 0.5, 0.2, 0.5, 0.7, 0.1, 0.5, 0.3, 0.4, 0.1]), slices, np.arange(10) < 9
    for item, right, what in (  # of item 1's six others three are lower, two equal, one is higher
        (1, 4 / 6, "item 1 among the cold candidates"),
        (5, np.nan, "item 5, alone in its slice"),
        (4, 1.0, "item 4, the best of the cold candidates"),
    ):
        case(within, (*store, item), right, f"The place of {what}", wrong)


@exercise("a constant buys recall, and no AUC")
def check_verdict(verdict: Callable) -> None:
    """`verdict(before [n, m], after [n, m], bought [n], new [m] bool, k)`.

    Returns {"recall": …, "auc": …, "verdict": …}. Source: the chapter's section "The trap: a slice
    that is lifted"; expected values by hand.
    """

    def word(recall, auc):
        return "ranked" if auc > 0.001 else "lifted" if recall > 0.001 else "neither"

    def by_recall(recall, auc):
        return "ranked" if recall > 0.001 else word(recall, auc)

    def of(
        tie=0.5,
        among=lambda new: new,
        rank=lambda row, own, new: (row >= own).sum(),
        word=word,
        sign=1,
    ):
        def measured(scores, bought, new, k):
            found = []
            for row, item in zip(scores, bought, strict=True):
                others = row[among(new) & (np.arange(len(row)) != item)]
                auc = ((others < row[item]) + tie * (others == row[item])).mean()
                found.append([rank(row, row[item], new) <= k, auc])
            return np.mean(found, axis=0)

        def verdict(before, after, *given):
            recall, auc = sign * (measured(after, *given) - measured(before, *given))
            return _gains(recall, auc, word(recall, auc))

        return verdict

    wrong = mistakes(
        "Is the AUC taken among all items? Lifting raises that, too; take the new ones.",
        of(among=lambda new: new | True),
        "Recall rises, but by a constant added to every new item. That is lifted, and not ranked.",
        of(word=by_recall),
        "It is after less before.",
        of(sign=-1),
        "Is the rank taken among the new items only? Recall is among all.",
        of(rank=lambda row, own, new: (row[new] >= own).sum()),
        "In recall a tie counts against the model: the rank is how many score at least as high.",
        of(rank=lambda row, own, new: (row > own).sum() + 1),
        "In the AUC a tie is half a win, and here it counts as a loss.",
        of(tie=0),
        "In the AUC a tie is half a win, and here it counts as a win.",
        of(tie=1),
        "No more items are found, but the new ones are told apart better: ranked.",
        of(word=lambda recall, auc: "lifted" if recall > 0.001 else "neither"),
    )
    before = np.array([[0.9, 0.8, 0.7, 0.3, 0.2, 0.2], [0.9, 0.6, 0.5, 0.4, 0.1, 0.2]])
    bought, new = np.array([4, 3]), np.arange(6) > 2
    lifted, ranked, worse = before + 0.55 * new, before.copy(), before + 0.55 * new
    ranked[0, 3:] = 0.2, 0.3, 0.1
    worse[1, 3:] = 0.75, 0.95, 0.65  # found now, and no longer the best of its slice
    for old, after, k, right, what in (
        (before, lifted, 3, (0.5, 0, "lifted"), "All new items 0.55 higher, k = 3"),
        (before, lifted, 4, (0, 0, "neither"), "The same, k = 4"),
        (before, ranked, 3, (0, 0.375, "ranked"), "A better order of the new items"),
        (before, worse, 3, (0.5, -0.25, "lifted"), "All new items higher and told apart worse"),
        (lifted, before, 3, (-0.5, 0, "neither"), "All new items lowered"),
    ):
        case(verdict, (old, after, bought, new, k), _gains(*right), what, wrong)


@exercise("equal budgets, chosen in spring, read once")
def check_protocol(protocol: Callable) -> None:
    """`protocol(tuning, test, kinds) -> {kind: (arm, Difference)}`, by `validation`.

    `tuning`: `arm`, `seed`, `validation`; `test`: `arm`, `seed`, `R@100`; `kinds`: kind → arms in
    the order in which they were tried, of equal budgets. Source: the chapter's section "The
    protocol"; intervals by `examples.interval`.
    """

    def of(budget=min, score="mean", peek=False, gaps=lambda one, plain: one - plain):
        def protocol(tuning, test, kinds):
            table, column = (test, "R@100") if peek else (tuning, "validation")
            value, found = table.groupby("arm")[column].agg(score), {}
            runs = {arm: part.set_index("seed")["R@100"] for arm, part in test.groupby("arm")}
            for kind, arms in kinds.items():
                best = max(arms[: budget(map(len, kinds.values()))], key=value.get)
                found[kind] = best, interval(np.asarray(gaps(runs[best], runs["plain"])))
            return found

        return protocol

    wrong = mistakes(
        "A pair is a seed, and the rows stand in no order: subtract by seed, not row by row.",
        of(gaps=lambda one, plain: one.to_numpy() - plain.to_numpy()),
        "A had three tries and B two: only the first two of each count.",
        of(budget=max),
        "Is the best single run chosen? One lucky seed is not a choice; take the mean over seeds.",
        of(score="max"),
        "Those are the best of the test table. Choose by `validation`, in the tuning table alone.",
        of(peek=True),
        "It is the arm less plain, not the other way round.",
        of(gaps=lambda one, plain: plain - one),
    )
    spring = {"a1": [0.115, 0.12], "a2": [0.09, 0.14], "a3": [0.2, 0.2], "b1": [0.1, 0.1]}
    tuning = long_table("validation", spring | {"b2": [0.11, 0.12]})
    gains = {"a1": [1, 2, 1, 2, 4], "a2": [5, 5, 5, 5, 6], "a3": [3, 3, 2, 3, 3]}
    gains |= {"b1": [3, 3, 3, 3, 2], "b2": [-1, 0, -1, -2, 0], "plain": [0] * 5}  # in hundredths
    plain = np.array([0.20, 0.24, 0.22, 0.21, 0.23])
    test = {arm: plain + np.array(gain) / 100 for arm, gain in gains.items()}
    test = long_table("R@100", test).sample(frac=1, random_state=0)  # rows stand in no order
    given = tuning, test, {"A": ["a1", "a2", "a3"], "B": ["b1", "b2"]}
    chosen = {"A": "a1", "B": "b2"}
    right = {kind: (arm, interval(np.array(gains[arm]) / 100)) for kind, arm in chosen.items()}
    what = "The arms chosen, and what the test says of them (mean, low, high, pairs)"
    case(protocol, given, right, what, wrong)


@exercise()
def check_clear_by_chance(clear_by_chance: Callable, prediction: float) -> str:
    """`clear_by_chance(arms, seeds, draws, rng) -> [draws]`: intervals clear of 0 by chance alone.

    Source: the chapter's section "The full log, learned once a night"; expected values by SciPy's
    paired t test, on draws of our own.
    """

    def summary(counts):
        counts = np.asarray(counts)
        return {"mean": counts.mean(), "none clear": (counts == 0).mean()}

    wrong = mistakes(
        "Has each arm a plain of its own? All are compared with one, whose luck moves them all.",
        lambda arms, seeds, draws, rng: rng.binomial(arms, 0.05, draws),
        "Is 1.96 the quantile? Five seeds need Student's t with 4 degrees of freedom.",
        lambda arms, seeds, draws, rng: by_t_test(arms, seeds, draws, quantile=1.96),
        "Are only the gains counted? An interval below zero is clear of it as well.",
        lambda arms, seeds, draws, rng: by_t_test(arms, seeds, draws, gains=True),
        "Are those counted that hold zero? It is the others.",
        lambda arms, seeds, draws, rng: arms - by_t_test(arms, seeds, draws),
    )
    number = isinstance(prediction, (int, float)) and not isinstance(prediction, bool)
    compare(number, True, "Is `prediction` a number")
    given = 12, 5, 1_500, np.random.default_rng(0)
    found = run(clear_by_chance, *given, seconds=20.0)
    compare(np.shape(found), (1_500,), "The shape of the numbers of 1,500 draws")
    by_test, what = summary(by_t_test(12, 5, 20_000)), "Of twelve arms, in 1,500 draws"
    right = case(lambda *given: found, given, Near(by_test, 0.045), what, wrong, of=summary)
    by_chance = f"of 36 intervals {36 / 12 * right['mean']:.1f} are clear of zero by chance"
    return f"{by_chance}; you predicted {prediction:g}"


@exercise("one log for both, a pair a seed, and a word that the interval carries")
def check_experiment(experiment: Callable) -> None:
    """`experiment(world, one, other, dial, seeds) -> {value: (Difference, word)}`.

    The word is "one", "other" or "can't tell". Source: the chapter's section "The first
    dial"; expected values by hand, intervals by `examples.interval`.
    """
    gains = {1: [4, 5, 6, 5, 5], 2: [-3, -5, -4, -4, -4], 3: [3, -1, 2, 1, -2]}  # in hundredths
    made: list[tuple[int, int]] = []

    def world(value, seed):
        made.append((value, seed))
        return value, seed, made.count((value, seed))

    def other(task):
        return task[1] / 10 + task[2] / 5  # a seed's level; another one if its task is made anew

    def one(task):
        return other(task) + gains[task[0]][task[1]] / 100

    def of_pairs(one, other):
        return interval(one - other)

    def of_samples(one, other):
        return (one - other).mean(), *stats.ttest_ind(one, other).confidence_interval(), len(one)

    def of(measure=of_pairs, anew=False, by_mean=False):
        def experiment(world, one, other, dial, seeds):
            found = {}
            for value in dial:
                tasks = [world(value, seed) for seed in seeds]
                again = [world(value, seed) for seed in seeds] if anew else tasks
                results = np.array([one(t) for t in tasks]), np.array([other(t) for t in again])
                gain = measure(*results)
                low, high = (gain[0], gain[0]) if by_mean else gain[1:3]
                found[value] = gain, "one" if low > 0 else "other" if high < 0 else "can't tell"
            return found

        return experiment

    wrong = mistakes(
        "Is the mean alone asked? Where the whole interval holds zero, nobody can tell.",
        of(by_mean=True),
        "It is one less other, not the other way round.",
        of(lambda one, other: of_pairs(other, one)),
        "Are the results taken as two samples? A pair is a seed; take the differences first.",
        of(of_samples),
        "The task is made anew for the second ranker; make it once, and measure both on it.",
        of(anew=True),
    )
    words = ("one", "other", "can't tell")
    right = {
        value: (interval(np.array(gain) / 100), word)
        for (value, gain), word in zip(gains.items(), words, strict=True)
    }
    what = "Three values of the dial, five seeds (mean, low, high, pairs; word)"
    case(experiment, (world, one, other, [1, 2, 3], [0, 1, 2, 3, 4]), right, what, wrong)
    if sorted(made) != [(value, seed) for value in gains for seed in range(5)]:
        raise AssertionError(
            f"Three values and five seeds are 15 tasks, each made once; made were {len(made)}."
        )


def by_t_test(
    arms: int, seeds: int, draws: int, quantile: float | None = None, gains: bool = False
) -> np.ndarray:
    """[draws] how many of `arms` differ from one plain, all alike, by paired t tests at 5 %."""
    results = np.random.default_rng(99).normal(size=(draws, arms + 1, seeds))
    t = stats.ttest_rel(results[:, 1:], results[:, :1], axis=2).statistic
    clear = (t if gains else np.abs(t)) > (quantile or stats.t.ppf(0.975, seeds - 1))
    return clear.sum(1)


def _gains(recall: float, auc: float, verdict: str) -> dict:
    return {"recall": recall, "auc": auc, "verdict": verdict}
