"""The checks of chapter 11's exercises: right answers pass, and each typical mistake gets its
sentence.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.special import entr
from sklearn.metrics import mutual_info_score

from course_lib.augment import CorrelatedMask, mutual_information, shuffled_columns
from course_lib.checks import chapter_11


def refused(check, answer, reason):
    with pytest.raises(AssertionError, match=f"(?s){reason}.*[?.]$"):
        check(answer)


def information(counts):
    """By scikit-learn, from a contingency table."""
    return mutual_info_score(None, None, contingency=counts)


def by_formula(counts, total=None, log=np.log, there=True, sign=1):
    p = counts / (total or counts.sum())
    independent = np.outer(p.sum(1), p.sum(0)) / p.sum()
    with np.errstate(all="ignore"):
        terms = sign * p * log(p / independent)
    return terms[p > 0].sum() if there else terms.sum()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda counts: by_formula(counts, log=np.log2), "Those are bits"),
        (lambda counts: by_formula(counts, there=False), "an empty cell adds 0"),
        (lambda counts: by_formula(counts, total=1), "Are the counts divided by their sum"),
        (lambda counts: entr(counts / counts.sum()).sum(), "the entropy of the pairs"),
        (lambda counts: by_formula(counts, sign=-1), "cell by the margins"),
    ],
)
def test_information(answer, reason, capsys):
    chapter_11.check_information(information)
    chapter_11.check_information(by_formula)
    assert capsys.readouterr().out.startswith("✓ information")
    refused(chapter_11.check_information, answer, reason)


def masked(mi, seed):
    return CorrelatedMask(mi).masked[seed]


def spelled(mi, seed, out=True, first=True, down=True, more=0, skip=0, least=2, reverse=False):
    """The same with switches: what is left out, which end is taken, how many, and how ties fall."""
    row = mi.loc[seed].drop(seed) if out else mi.loc[seed]
    ranked = row.sort_values(ascending=not down, kind="stable").index
    ranked = row.sort_values(kind="stable").index[::-1] if reverse else ranked
    count = min(len(mi) // 2 + more, len(mi) - least)
    return [seed, *ranked[skip : skip + count]] if first else list(ranked[skip : skip + count])


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"out": False}, "Is the seed taken for a relative as well"),
        ({"out": False, "first": False}, "Leave it out before you count"),
        ({"first": False}, "comes first"),
        ({"down": False}, "the least related"),
        ({"more": 1}, "⌊5/2⌋ is 2"),
        ({"out": False, "skip": 1}, "leave it out by its name"),
        ({"out": False, "first": False, "more": 1}, "leave it out by its name"),
        ({"reverse": True}, "Of ties the first"),
        ({"least": 1}, "of two fields mask the seed alone"),
    ],
)
def test_masked(switches, reason):
    chapter_11.check_masked(masked)
    chapter_11.check_masked(spelled)
    refused(chapter_11.check_masked, lambda mi, seed: spelled(mi, seed, **switches), reason)


def test_masked_in_the_table_s_order():
    def unordered(mi, seed):
        return [seed, *[name for name in mi if name in masked(mi, seed)[1:]]]

    refused(chapter_11.check_masked, unordered, "The most related comes first")


def related(
    log,
    day,
    of=None,
    chance_of=None,
    unit=1.0,
    chance=1.0,
    chance_unit=1.0,
    sign=1,
    diagonal=np.nan,
):
    known = log.items.iloc[: log.listed(day)]
    of, chance_of = (known if items is None else items(log) for items in (of, chance_of))
    mi, by_chance = mutual_information(of), mutual_information(shuffled_columns(chance_of))
    less = sign * (mi - chance * by_chance / chance_unit) / unit
    return less.where(
        ~np.eye(len(less), dtype=bool), {"kept": less, "entropy": mi}.get(diagonal, np.nan)
    )


def everything(log):
    return log.items


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        (
            {"of": everything, "chance_of": everything},
            "Take those listed by then, for both measures",
        ),
        ({"of": everything}, "in the first of the two measures"),
        ({"chance_unit": np.log(2)}, "one of the two in bits"),
        ({"unit": np.log(2)}, "dividing by log 2 makes bits"),
        ({"chance": 0}, "That is plain MI"),
        ({"sign": -1}, "the other way round"),
        ({"diagonal": "kept"}, "make the diagonal NaN"),
        ({"diagonal": "entropy"}, "the field's entropy"),
    ],
)
def test_related(switches, reason):
    chapter_11.check_related(related)
    refused(chapter_11.check_related, lambda log, day: related(log, day, **switches), reason)


def bag_information(values, bags):
    """By the library."""
    items = pd.DataFrame({"value": values, "bag": bags}).rename_axis("item")
    return mutual_information(items).loc["value", "bag"]


def exploded(values, bags, default="", first=False):
    pairs = [
        (v, w)
        for v, bag in zip(values, bags, strict=True)
        for w in (bag[:1] if first else bag) or [default]
        if w is not None
    ]
    return mutual_info_score(*zip(*pairs, strict=True))


def without_empty(values, bags):
    return bag_information(
        *zip(*[(value, bag) for value, bag in zip(values, bags, strict=True) if bag], strict=True)
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (exploded, "counts four times"),
        (
            lambda values, bags: mutual_info_score(values, [str(sorted(bag)) for bag in bags]),
            "as a set",
        ),
        (without_empty, "The item with the empty bag is left out"),
        (lambda values, bags: exploded(values, bags, first=True), "only the first word"),
        (lambda values, bags: bag_information(values, bags) / np.log(2), "Those are bits"),
    ],
)
def test_bag_information(answer, reason):
    chapter_11.check_bag_information(bag_information)
    refused(chapter_11.check_bag_information, answer, reason)


def left_to_guess(table, hidden, seen):
    """By what the seen fields say, from scikit-learn: H(hidden) − MI."""
    one, other = (
        list(map(str, table[list(columns)].to_numpy().tolist())) for columns in (hidden, seen)
    )
    return mutual_info_score(one, one) - mutual_info_score(one, other)


def entropy(table, columns, dropna=False, log=np.log):
    p = (
        table.groupby(list(columns), dropna=dropna).size() / len(table)
        if columns
        else pd.Series([1.0])
    )
    return -(p * log(p)).sum()


def by_group(table, hidden, seen, weighted=True, dropna=False):
    if not seen:
        return entropy(table, hidden)
    rows = table.dropna() if dropna else table
    groups = [part for _, part in rows.groupby(seen)]
    return np.average(
        [entropy(part, hidden) for part in groups],
        weights=[len(g) if weighted else 1 for g in groups],
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            lambda table, hidden, seen: left_to_guess(table, hidden, seen) / np.log(2),
            "Those are bits",
        ),
        (
            lambda table, hidden, seen: by_group(table, hidden, seen, dropna=True),
            "is its row left out",
        ),
        (
            lambda t, hidden, seen: entropy(t, hidden + seen, dropna=True) - entropy(t, seen),
            "are its pairs left out",
        ),
        (
            lambda table, hidden, seen: by_group(table, hidden, seen, weighted=False),
            "not over the labels",
        ),
        (lambda table, hidden, seen: left_to_guess(table, seen, hidden), "the other way round"),
        (
            lambda t, hidden, seen: entropy(t, hidden) - left_to_guess(t, hidden, seen),
            "what it leaves open was asked",
        ),
        (
            lambda table, hidden, seen: entropy(table, hidden + seen),
            "take off that of what is seen",
        ),
        (lambda table, hidden, seen: entropy(table, hidden), "the label is seen"),
        (lambda table, hidden, seen: -left_to_guess(table, hidden, seen), "The sign"),
        (
            lambda table, hidden, seen: sum(left_to_guess(table, [name], seen) for name in hidden),
            "guess the pair",
        ),
        (
            lambda table, hidden, seen: (
                entropy(table, hidden + seen) - entropy(table, seen) if seen else 0.0
            ),
            "nothing is seen",
        ),
        (
            lambda t, hidden, seen: min(
                (left_to_guess(t, hidden, [s]) for s in seen), default=entropy(t, hidden)
            ),
            "one by one",
        ),
    ],
)
def test_left_to_guess(answer, reason):
    chapter_11.check_left_to_guess(left_to_guess)
    chapter_11.check_left_to_guess(by_group)
    refused(chapter_11.check_left_to_guess, answer, reason)


def test_conditional_is_what_scikit_learn_says():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.integers(0, 3, (120, 4)), columns=list("abcd")).replace(2, None)
    for hidden, seen in ((["a"], ["b", "c"]), (["a", "d"], ["b"]), (["c"], [])):
        assert chapter_11.conditional(table, hidden, seen) == pytest.approx(
            left_to_guess(table, hidden, seen)
        )


def test_shared_is_what_scikit_learn_says():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, 90).tolist(), rng.integers(0, 9, 90).tolist()
    assert chapter_11.shared(one, other) == pytest.approx(mutual_info_score(one, other))
    assert chapter_11.shared(one, one) == pytest.approx(entr(np.bincount(one) / 90).sum())
