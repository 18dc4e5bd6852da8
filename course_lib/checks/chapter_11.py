"""Checks of chapter 11, correlated mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from math import log as ln

import numpy as np
import pandas as pd

from course_lib.checks.guard import case, exercise, mistakes
from course_lib.log import DAY, EventLog
from course_lib.mutual_information import shuffled_columns


@exercise("what one field says of the other, in nats")
def check_information(information: Callable[[np.ndarray], float]) -> None:
    """`information(counts [a, b]) -> float`: mutual information of a table of counts, in nats.

    Source: the chapter's section "Mutual information, by hand"; expected values by hand.
    """

    def of(log=np.log, total=np.sum, keep=0.0, sign=1):
        def information(counts):
            p = counts / total(counts)
            terms = sign * p * log(p * p.sum() / np.outer(p.sum(1), p.sum(0)))
            return terms[p > keep].sum()

        return information

    wrong = mistakes(
        "0 · log 0 is NaN in NumPy; an empty cell adds 0.",
        of(keep=-1),
        "Those are bits. The natural logarithm makes nats.",
        of(log=np.log2),
        "Are the counts divided by their sum? Chances add up to 1.",
        of(total=lambda counts: 1),
        "That is the entropy of the pairs; divide by the product of the margins in the logarithm.",
        lambda counts: -sum(p * ln(p) for p in (counts / counts.sum()).ravel() if p),
        "The sign: are the margins divided by the cell? It is the cell by the margins.",
        of(sign=-1),
    )
    counts = np.array([[6, 0, 1, 1], [0, 6, 1, 1]])
    right = 0.75 * ln(
        2
    )  # three quarters of the items give one of two equally frequent colours away
    what = "The information of a 2×4 table with four empty or sure cells"
    case(information, (counts,), right, what, wrong)
    case(information, (counts.T,), right, "The information of the same table, turned round", wrong)
    even = np.array([[1, 2, 3, 0], [2, 4, 6, 0]])
    case(information, (even,), 0.0, "The information of two rows with the same shares", wrong)


@exercise("the seed and half of the others, the most related first")
def check_masked(masked: Callable[[pd.DataFrame, str], list[str]]) -> None:
    """`masked(mi, seed) -> [seed, its most related field, …]`: min(⌊k/2⌋, k − 2) relatives.

    Of ties the first in the table. Source: the chapter's section "From the table to a mask", and
    `CorrelatedMask`; expected values by hand.
    """

    def of(
        start=lambda seed: [seed],
        out=True,
        order=lambda row: row.sort_values(ascending=False, kind="stable"),
        skip=0,
        size=lambda k: min(k // 2, k - 2),
    ):
        def masked(mi, seed):
            row = mi.loc[seed].drop(seed) if out else mi.loc[seed]
            return [*start(seed), *order(row).index[skip : skip + size(len(mi))]]

        return masked

    def in_the_tables_order(mi, seed):
        found = of()(mi, seed)
        return [seed, *[name for name in mi if name in found[1:]]]

    by_name = (
        "With chance taken out the diagonal is 0, so the seed is not the first in its own row any "
        "more; leave it out by its name."
    )
    wrong = mistakes(
        "The seed stands first in its own row. Leave it out before you count relatives.",
        of(lambda seed: [], out=False),
        "Is the seed taken for a relative as well? Both relatives are other fields.",
        of(out=False),
        "Those are the least related ones.",
        of(order=lambda row: row.sort_values(kind="stable")),
        "⌊5/2⌋ is 2: two relatives besides the seed, three masked fields in all.",
        of(size=lambda k: min(k // 2 + 1, k - 2)),
        "The seed belongs to what is masked, and comes first.",
        of(lambda seed: []),
        "Of ties the first in the table is taken first.",
        of(order=lambda row: row.sort_values(kind="stable")[::-1]),
        "The most related comes first.",
        in_the_tables_order,
        by_name,
        of(out=False, skip=1),
        f"Where is the seed? {by_name}",
        of(lambda seed: [], out=False, size=lambda k: min(k // 2, k - 2) + 1),
        "Then nothing is retained, and the first view is empty: of two fields mask the seed alone.",
        of(size=lambda k: min(k // 2, k - 1)),
    )
    five = _table(
        "item line label colour size", [9, 4, 5, 2, 1], [4, 3, 1, 0], [6, 1, 1], [2, 0], [2]
    )
    two, less = five.iloc[1:3, 1:3], five - np.diag(np.diag(five))  # less: with chance taken out
    for mi, expected, of_what in (
        (five, ["label", "item", "line"], "five fields"),
        (five, ["size", "item", "label"], "five fields"),
        (five, ["item", "label", "line"], "five fields"),
        (less, ["label", "item", "line"], "five fields where the diagonal is 0"),
        (two, ["line"], "two fields"),
    ):
        what = f"What seed {expected[0]} masks of {of_what}"
        case(masked, (mi, expected[0]), expected, what, wrong)


@exercise("of known items alone, nats less nats, and nobody related to itself")
def check_related(related: Callable[[EventLog, pd.Timestamp], pd.DataFrame]) -> None:
    """`related(log, day) -> k×k DataFrame`: MI less that of `shuffled_columns`, nats, diagonal NaN.

    Of the items listed by `day`. Source: the chapter's sections "The table of the real shop" and
    "Break it"; expected values by `relations`.
    """

    def of(
        known=(True, True), less=lambda mi, chance: mi - chance, diagonal=lambda less, mi: np.nan
    ):
        def related(log, day):
            names = [log.items.index.name, "colour", "label"]
            items = [log.items.iloc[: log.listed(day) if part else None] for part in known]
            mi, chance = relations(items[0], names), relations(shuffled_columns(items[1]), names)
            found = less(mi, chance)
            return found.where(~np.eye(3, dtype=bool), diagonal(found, mi))

        return related

    wrong = mistakes(
        "Are items listed later among them? Take those listed by then, for both measures.",
        of((False, False)),
        "Items listed later have a say in the first of the two measures; take the same items.",
        of((False, True)),
        "Is one of the two in bits? Both come from mutual_information, in nats.",
        of(less=lambda mi, chance: mi - chance / ln(2)),
        "Both are in nats already; dividing by log 2 makes bits.",
        of(less=lambda mi, chance: (mi - chance) / ln(2)),
        "That is plain MI; take off that of the shuffled columns.",
        of(less=lambda mi, chance: mi),
        "That is chance less MI; it is the other way round.",
        of(less=lambda mi, chance: chance - mi),
        "No field is its own relative: make the diagonal NaN.",
        of(diagonal=lambda less, mi: less),
        "A field's entropy is on the diagonal; no field is its own relative: make it NaN.",
        of(diagonal=lambda less, mi: mi),
    )
    given = small_log(), pd.Timestamp("2020-02-01")
    case(related, given, of()(*given), "The relations of three fields of eight items", wrong)


@exercise("one word of each bag, each equally likely")
def check_bag_information(bag_information: Callable) -> None:
    """`bag_information(values [n], bags [n] lists of different words) -> float`, in nats.

    An empty bag is a value of its own. Source: the chapter's section "Mutual information, by hand";
    expected values by `of_copies`.
    """

    def each_word(values, bags):
        pairs = zip(values, bags, strict=True)
        return shared(*zip(*((v, w) for v, bag in pairs for w in bag or [None]), strict=True))

    def filled(values, bags):
        return [pair for pair in zip(values, bags, strict=True) if pair[1]]

    wrong = mistakes(
        "Does each word weigh the same? Of an item with four words each is a quarter.",
        each_word,
        "Is only the first word of each bag looked at? Any of them may be drawn.",
        lambda values, bags: shared(values, [tuple(bag[:1]) for bag in bags]),
        "Is each bag one value, as a set? One of its words is drawn.",
        lambda values, bags: shared(values, [*map(tuple, bags)]),
        "The empty bag is left out. Drawing from it gives the default, which is a value, too.",
        lambda values, bags: of_copies(*zip(*filled(values, bags), strict=True)),
        "Those are bits.",
        lambda values, bags: of_copies(values, bags) / ln(2),
    )
    bags = [["HEART", "LOVE"], ["HEART"], ["HEART", "STAR", "MOON", "LOVE"], [], ["STAR"]]
    given, what = (["RED", "RED", "BLUE", "BLUE", "BLUE"], bags), "The information of"
    case(bag_information, given, of_copies(*given), f"{what} five colours and five bags", wrong)
    by_hand = ln(4 / 3) / 2 + ln(2 / 3) / 4 + ln(2) / 4  # BLUE, HEART; RED, HEART; RED, LOVE
    given = ["RED", "BLUE"], [["HEART", "LOVE"], ["HEART"]]
    case(bag_information, given, by_hand, f"{what} the chapter's two items", wrong)


@exercise("all that is open, less what is seen")
def check_left_to_guess(left_to_guess: Callable) -> None:
    """`left_to_guess(table [n rows], hidden, seen) -> float`: the entropy of `hidden` given `seen`.

    Both are lists of columns; in nats. Source: the chapter's section "What is left to guess" (Cover
    & Thomas, 2006, chapter 2); expected values by hand.
    """

    def entropy(table, columns):
        return conditional(table, columns, [])

    def of_whole_pairs(table, hidden, seen):
        p = table.groupby(hidden + seen).size() / len(table)  # leaves missing ones out
        return -(p * np.log(p)).sum() - entropy(table, seen)

    wrong = mistakes(
        "Are the hidden fields added up? The colour gives the size away; guess the pair.",
        lambda table, hidden, seen: sum(conditional(table, [name], seen) for name in hidden),
        "Are the seen fields looked at one by one? Together a and b tell c.",
        lambda table, hidden, seen: min(
            conditional(table, hidden, one) for one in [[s] for s in seen] or [[]]
        ),
        "Those are bits.",
        lambda *given: conditional(*given) / ln(2),
        "A missing value is a value, too; is its row left out?",
        lambda table, hidden, seen: conditional(table.dropna(), hidden, seen),
        "A missing value is a value, too; are its pairs left out?",
        of_whole_pairs,
        "Does each label weigh the same? Average over the items, not over the labels.",
        lambda table, hidden, seen: np.mean([entropy(g, hidden) for _, g in table.groupby(seen)]),
        "That is what is left of the label, seen the colour; it is the other way round.",
        lambda table, hidden, seen: conditional(table, seen, hidden),
        "That is what the label says of the colour; what it leaves open was asked.",
        lambda table, hidden, seen: entropy(table, hidden) - conditional(table, hidden, seen),
        "That is the entropy of both; take off that of what is seen.",
        lambda table, hidden, seen: entropy(table, hidden + seen),
        "That is the colour's entropy; the label is seen.",
        lambda table, hidden, seen: entropy(table, hidden),
        "The sign: entropies are −Σ p log p.",
        lambda *given: -conditional(*given),
    )
    columns = {
        "label": "BAG BAG BAG BAG MUG MUG TIN TIN".split(),
        "colour": ["RED", "RED", "BLUE", "BLUE", "RED", "RED", None, "GREEN"],
        "size": "S S M M S S S M".split(),  # the colour gives it away
    }
    table, either = pd.DataFrame(columns), [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    either = pd.DataFrame(either, columns=["a", "b", "c"])
    for given, bits, what in (
        ((table, ["colour"], ["label"]), 0.75, "What the label leaves of the colour"),
        (
            (table, ["colour", "size"], ["label"]),
            0.75,
            "What the label leaves of colour and size together",
        ),
        ((table, ["colour"], []), 1.75, "What is left of the colour if nothing is seen"),
        ((either, ["c"], ["a", "b"]), 0.0, "What a and b leave of c"),
    ):
        case(left_to_guess, given, bits * ln(2), what, wrong)


def conditional(table: pd.DataFrame, hidden: list[str], seen: list[str]) -> float:
    """H(hidden | seen), in nats: the mean −log of the hidden values' share in their group."""
    rows = table[[*hidden, *seen]].astype(object).where(table[[*hidden, *seen]].notna(), "–")
    rows, k = rows.to_numpy().tolist(), len(hidden)
    both = Counter((tuple(row[:k]), tuple(row[k:])) for row in rows)
    groups = Counter(tuple(row[k:]) for row in rows)
    return sum(n * ln(groups[group] / n) for (_, group), n in both.items()) / len(rows)


def shared(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Mutual information of two columns [n], in nats: how much likelier pairs are than chance."""
    pairs, n = Counter(zip(one, other, strict=True)), len(one)
    ones, others = Counter(one), Counter(other)
    return sum(c / n * ln(c * n / (ones[x] * others[y])) for (x, y), c in pairs.items())


def of_copies(values: Sequence[str], bags: Sequence[Sequence[str]]) -> float:
    """`shared` of values and words drawn from bags of 1, 2, 3, 4 or 6, by twelve copies of each."""
    drawn = []
    for value, bag in zip(values, bags, strict=True):
        drawn += [(value, word) for word in bag or [None]] * (12 // max(len(bag), 1))
    return shared(*zip(*drawn, strict=True))


def small_log() -> EventLog:
    """Eight items known at the end of January 2020, and four of March that change everything."""
    colours = "RED RED RED BLUE BLUE BLUE GREEN GREEN RED BLUE GREEN GREEN".split()
    labels = "BAG BAG BAG MUG MUG BAG TIN TIN CLOCK CLOCK CLOCK BAG".split()
    items = pd.DataFrame({"item": list("pqrstuvwxyza"), "colour": colours, "label": labels})
    bought = pd.date_range("2020-01-10", periods=8).append(pd.date_range("2020-03-01", periods=4))
    events = pd.DataFrame({"user": ["ann", "bob"] * 6, "item": items["item"], "time": bought})
    items = items.assign(listed=bought - 2 * DAY)
    return EventLog.from_frame(events, items, pd.DataFrame({"user": ["ann", "bob"]}))


def relations(items: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """`shared` of every two of these fields; the first is the ID. A missing value is a value."""
    columns = items.rename_axis(index=names[0]).reset_index()[names].astype(object)
    columns = columns.where(columns.notna(), "–")
    rows = [[shared(columns[one], columns[other]) for other in names] for one in names]
    return pd.DataFrame(rows, names, names)


def _table(names: str, *rows: list[float]) -> pd.DataFrame:
    """A symmetric table from its upper triangle, row by row."""
    half = np.zeros((len(rows), len(rows)))
    for row, values in enumerate(rows):
        half[row, row:] = values
    return pd.DataFrame(half + np.triu(half, 1).T, names.split(), names.split())
