"""The checks of chapter 12's exercises: right answers pass, and each typical mistake gets its
sentence.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from course_lib.checks import chapter_12
from course_lib.evaluation import paired_difference, ranks


def refused(check, answer, reason):
    with pytest.raises(AssertionError, match=f"(?s){reason}.*[?.]$"):
        check(answer)


def within(scores, slices, candidates, bought):
    """By scikit-learn: one positive among the candidates of its slice."""
    among = candidates & (slices == slices[bought])
    if among.sum() < 2:
        return np.nan
    return roc_auc_score(np.arange(len(scores))[among] == bought, scores[among])


def counted(
    scores,
    slices,
    candidates,
    bought,
    tie=0.5,
    itself=False,
    more=0,
    everywhere=False,
    anyone=False,
    sign=1,
    empty=np.nan,
):
    others = (candidates | anyone) & ((slices == slices[bought]) | everywhere)
    others[bought] = itself
    wins = (sign * scores[others] < sign * scores[bought]) + tie * (
        scores[others] == scores[bought]
    )
    return wins.sum() / (others.sum() + more) if others.sum() else empty


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"tie": 0}, "a tie count as a loss"),
        ({"tie": 1}, "a tie count as a win"),
        ({"itself": True}, "compared with itself"),
        ({"more": 1}, "those that it is divided by"),
        ({"everywhere": True}, "Only those in the slice"),
        ({"anyone": True}, "Item 9 is no candidate"),
        ({"sign": -1}, "those that score lower"),
        ({"empty": 0.5}, "nothing to compare"),
    ],
)
def test_within(switches, reason, capsys):
    chapter_12.check_within(within)
    chapter_12.check_within(counted)
    assert capsys.readouterr().out.startswith("✓ within")
    refused(chapter_12.check_within, lambda *given: counted(*given, **switches), reason)


def measured(scores, bought, new, k, tie=0.5, auc_of_all=False, rank_of_new=False, kind=False):
    """R@k by the library's ranks, the AUC by scikit-learn or, with another worth of a tie, by
    counting.
    """
    among = np.ones(len(new), bool) if auc_of_all else new
    own = scores[np.arange(len(bought)), bought][:, None]
    rank = ranks(
        torch.from_numpy(scores), [np.array([], int)] * len(bought), np.arange(len(bought)), bought
    )
    rank = (
        (scores[:, new] >= own).sum(1)
        if rank_of_new
        else (scores > own).sum(1) + 1
        if kind
        else rank
    )
    aucs = [
        roc_auc_score(np.flatnonzero(among) == item, row[among])
        if tie == 0.5
        else np.mean(
            [
                (row[i] < row[item]) + tie * (row[i] == row[item])
                for i in np.flatnonzero(among)
                if i != item
            ]
        )
        for row, item in zip(scores, bought, strict=True)
    ]
    return np.array([(rank <= k).mean(), np.mean(aucs)])


def verdict(before, after, bought, new, k, sign=1, recall_first=False, blind=False, **switches):
    recall, auc = sign * (
        measured(after, bought, new, k, **switches) - measured(before, bought, new, k, **switches)
    )
    word = "ranked" if auc > 0.001 and not blind else "lifted" if recall > 0.001 else "neither"
    word = "ranked" if recall_first and recall > 0.001 else word
    return {"recall": recall, "auc": auc, "verdict": word}


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"auc_of_all": True}, "AUC taken among all items"),
        ({"recall_first": True}, "That is lifted, and not ranked"),
        ({"sign": -1}, "after less before"),
        ({"rank_of_new": True}, "Recall is among all"),
        ({"kind": True}, "a tie counts against the model"),
        ({"tie": 0}, "counts as a loss"),
        ({"tie": 1}, "counts as a win"),
        ({"blind": True}, "told apart better: ranked"),
    ],
)
def test_verdict(switches, reason):
    chapter_12.check_verdict(verdict)
    refused(chapter_12.check_verdict, lambda *given: verdict(*given, **switches), reason)


def protocol(tuning, test, kinds, equal=True, score="mean", peek=False, sign=1):
    budget = min(map(len, kinds.values())) if equal else None
    table, column = (test, "R@100") if peek else (tuning, "validation")
    value = table.groupby("arm")[column].agg(score)
    seeds = test.pivot_table("R@100", "seed", "arm")
    found = {}
    for kind, arms in kinds.items():
        arm = max(arms[:budget], key=value.get)
        found[kind] = arm, paired_difference(sign * seeds[arm], sign * seeds["plain"])
    return found


def row_by_row(tuning, test, kinds):
    right = protocol(tuning, test, kinds)
    values = {arm: part.to_numpy() for arm, part in test.groupby("arm")["R@100"]}
    return {
        kind: (arm, paired_difference(values[arm], values["plain"]))
        for kind, (arm, _) in right.items()
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda *given: protocol(*given, equal=False), "only the first two of each"),
        (lambda *given: protocol(*given, score="max"), "One lucky seed is not a choice"),
        (lambda *given: protocol(*given, peek=True), "Choose by `validation`"),
        (lambda *given: protocol(*given, sign=-1), "It is the arm less plain"),
        (row_by_row, "by seed, not row by row"),
    ],
)
def test_protocol(answer, reason):
    chapter_12.check_protocol(protocol)
    refused(chapter_12.check_protocol, answer, reason)


def clear_by_chance(arms, seeds, draws, rng, own=False, gains=False, quantile=None, held=False):
    results = rng.normal(size=(draws, 1 + arms, seeds))
    plain = rng.normal(size=(draws, arms, seeds)) if own else results[:, :1]
    differences = results[:, 1:] - plain
    ratio = differences.mean(2) / stats.sem(differences, axis=2)
    clear = (ratio if gains else abs(ratio)) > (quantile or stats.t.ppf(0.975, seeds - 1))
    return (~clear if held else clear).sum(1)


def by_the_library(arms, seeds, draws, rng):
    counts = []
    for _ in range(draws):
        plain, *others = rng.normal(size=(1 + arms, seeds))
        found = [paired_difference(other, plain) for other in others]
        counts.append(sum(not difference.low <= 0 <= difference.high for difference in found))
    return np.array(counts)


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"own": True}, "one lucky plain moves them all"),
        ({"quantile": 1.96}, "Student's t with 4 degrees"),
        ({"gains": True}, "An interval below zero"),
        ({"held": True}, "those counted that hold zero"),
    ],
)
def test_clear_by_chance(switches, reason, capsys):
    chapter_12.check_clear_by_chance(clear_by_chance, 2)
    assert capsys.readouterr().out.endswith("1.8 are clear of zero by chance; you predicted 2\n")

    def answer(arms, seeds, draws, rng):
        return clear_by_chance(arms, seeds, draws, rng, **switches)

    refused(lambda function: chapter_12.check_clear_by_chance(function, 2), answer, reason)


def test_clear_by_chance_asks_for_a_number_and_draws():
    refused(
        lambda function: chapter_12.check_clear_by_chance(function, "two"),
        clear_by_chance,
        "`prediction` a number",
    )
    refused(
        lambda function: chapter_12.check_clear_by_chance(function, 2),
        lambda a, s, d, r: np.zeros(3),
        "expected 1500|1,500",
    )


def experiment(
    world, one, other, dial, seeds, sign=1, by_mean=False, anew=False, samples=False, worlds=None
):
    results = {}
    for value in dial:
        tasks = [world(value, worlds[seed] if worlds else seed) for seed in seeds]
        for_other = [world(value, seed) for seed in seeds] if anew else tasks
        a, b = [one(task) for task in tasks], [other(task) for task in for_other]
        gain = paired_difference(*(a, b)[::sign])
        if samples:
            low, high = stats.ttest_ind(a, b).confidence_interval()
            gain = gain._replace(low=low, high=high)
        low, high = (gain.mean, gain.mean) if by_mean else (gain.low, gain.high)
        results[value] = gain, "one" if low > 0 else "other" if high < 0 else "can't tell"
    return results


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"by_mean": True}, "the whole interval"),
        ({"sign": -1}, "one less other"),
        ({"samples": True}, "take the differences first"),
        ({"anew": True}, "no pair"),
        ({"worlds": [0] * 5}, "under 1, in place 0"),
    ],
)
def test_experiment(switches, reason, capsys):
    chapter_12.check_experiment(experiment)
    assert capsys.readouterr().out.startswith("✓ experiment")
    refused(chapter_12.check_experiment, lambda *given: experiment(*given, **switches), reason)


def test_experiment_makes_each_task_once():
    def wasteful(world, *given):
        world(given[2][0], 0)
        return experiment(lambda value, seed: (*world(value, seed)[:2], 1), *given)

    refused(chapter_12.check_experiment, wasteful, "made were 16")


def test_the_reference_of_clear_by_chance():
    """The library's own intervals, one by one, say what the t tests at once say."""
    counts, reference = (
        by_the_library(12, 5, 150, np.random.default_rng(3)),
        chapter_12.by_t_test(12, 5, 20_000),
    )
    assert reference.mean() == pytest.approx(0.6, abs=0.03)
    assert counts.mean() == pytest.approx(reference.mean(), abs=0.35)
