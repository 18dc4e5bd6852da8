"""Checks of the exercises of chapter 11, correlated mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from math import log as ln

import numpy as np
import pandas as pd

from course_lib.augment import shuffled_columns
from course_lib.checks.guard import compare, run
from course_lib.log import DAY, EventLog


def check_information(information: Callable[[np.ndarray], float]) -> None:
    """`information(counts [a, b]) -> float`: mutual information of a table of counts, in nats.

    Source: the chapter's section "Mutual information, by hand"; expected values by hand.
    """
    counts = np.array([[6, 0, 1, 1], [0, 6, 1, 1]])
    right = 0.75 * np.log(
        2
    )  # three quarters of the items give one of two equally frequent colours away
    mistakes = {
        "0 · log 0 is NaN in NumPy; an empty cell adds 0.": np.nan,
        "Those are bits. The natural logarithm makes nats.": 0.75,
        "Are the counts divided by their sum? Chances add up to 1.": 16 * right,
        "That is the entropy of the pairs; inside the logarithm each chance is divided by the product of its margins.": (
            np.log(16) - 0.75 * np.log(6)
        ),
        "The sign: are the margins divided by the cell? It is the cell by the margins.": -right,
    }
    compare(
        run(information, counts),
        right,
        "The information of a 2×4 table with four empty or sure cells",
        mistakes,
    )
    compare(run(information, counts.T), right, "The information of the same table, turned round")
    compare(
        run(information, np.array([[1, 2, 3, 0], [2, 4, 6, 0]])),
        0.0,
        "The information of two rows with the same shares",
    )
    print("✓ information: what one field says of the other, in nats")


def check_masked(masked: Callable[[pd.DataFrame, str], list[str]]) -> None:
    """`masked(mi, seed) -> [seed, its most related field, …]`: min(⌊k/2⌋, k − 2) relatives; of ties
    the first in the table.

    Source: the chapter's section "Nine fields", and `CorrelatedMask`; expected values by hand.
    """
    five = _table(
        "item line label colour size", [9, 4, 5, 2, 1], [4, 3, 1, 0], [6, 1, 1], [2, 0], [2]
    )
    asked = {
        "label": (["label", "item", "line"], {
            "The seed stands first in its own row. Leave it out before you count relatives.": ["label", "item"],
            "Is the seed taken for a relative as well? It is masked once, and both relatives are other fields.": (
                ["label", "label", "item"]
            ),
            "Those are the least related ones.": ["label", "colour", "size"],
            "⌊5/2⌋ is 2: two relatives besides the seed, three masked fields in all.": ["label", "item", "line", "colour"],
            "The seed belongs to what is masked, and comes first.": ["item", "line"],
        }),
        "size": (["size", "item", "label"], {"Of ties the first in the table is taken first.": ["size", "label", "item"]}),
        "item": (["item", "label", "line"], {"The most related comes first.": ["item", "line", "label"]}),
    }  # fmt: skip
    for seed, (expected, mistakes) in asked.items():
        compare(
            run(masked, five, seed), expected, f"What seed {seed} masks of five fields", mistakes
        )
    less = five - np.diag(np.diag(five))  # as with chance taken out
    why = "With chance taken out the diagonal is 0, so the seed is not the first in its own row any more; leave it out by its name."
    mistakes = {
        why: ["label", "line", "colour"],
        f"Where is the seed? {why}": ["item", "line", "colour"],
    }
    compare(
        run(masked, less, "label"),
        ["label", "item", "line"],
        "What seed label masks where the diagonal is 0",
        mistakes,
    )
    two = five.iloc[1:3, 1:3]
    reason = {
        "Then nothing is retained, and the first view is empty: of two fields mask the seed alone.": [
            "line",
            "label",
        ]
    }
    compare(run(masked, two, "line"), ["line"], "What seed line masks of two fields", reason)
    print("✓ masked: the seed and half of the others, the most related first")


def check_related(related: Callable[[EventLog, pd.Timestamp], pd.DataFrame]) -> None:
    """`related(log, day) -> k×k DataFrame`: MI less that of `shuffled_columns`, nats, of items
    listed by `day`; diagonal NaN.

    Source: the chapter's sections "What chance alone gives" and "Break it"; expected values by
    `relations`.
    """
    log, day = small_log(), pd.Timestamp("2020-02-01")
    known = log.items.iloc[:8]
    names, later = [log.items.index.name, "colour", "label"], log.items
    right = relations(known, names) - relations(shuffled_columns(known), names)
    off = ~np.eye(3, dtype=bool)
    mistakes = {
        "Are the items of the time from that day on among them? Take those listed by then, for both measures.": (
            (relations(later, names) - relations(shuffled_columns(later), names)).where(off)
        ),
        "The items listed later have a say in the first of the two measures; chance must be measured on the same items.": (
            (relations(later, names) - relations(shuffled_columns(known), names)).where(off)
        ),
        "Is one of the two in bits, and the other in nats? Both come from mutual_information, in nats.": (
            (relations(known, names) - relations(shuffled_columns(known), names) / np.log(2)).where(
                off
            )
        ),
        "Both are in nats already; dividing by log 2 makes bits.": (right / np.log(2)).where(off),
        "That is plain MI; take off that of the shuffled columns.": relations(known, names).where(
            off
        ),
        "That is chance less MI; it is the other way round.": (-right).where(off),
        "No field is its own relative: make the diagonal NaN.": right,
        "What stands on the diagonal is the field's entropy, and no field is its own relative: make it NaN.": (
            right.where(off, relations(known, names))
        ),
    }
    compare(
        run(related, log, day),
        right.where(off),
        "The relations of three fields of eight items",
        mistakes,
    )
    print("✓ related: of known items alone, nats less nats, and nobody related to itself")


def check_bag_information(bag_information: Callable[[list[str], list[list[str]]], float]) -> None:
    """`bag_information(values [n], bags [n] lists of different words) -> float`, in nats; an empty
    bag is a value of its own.

    Source: the chapter's section "A field with several values"; expected values by `of_copies`.
    """
    values = ["RED", "RED", "BLUE", "BLUE", "BLUE"]
    bags = [["HEART", "LOVE"], ["HEART"], ["HEART", "STAR", "MOON", "LOVE"], [], ["STAR"]]
    right, filled = of_copies(values, bags), [0, 1, 2, 4]
    words = [
        (value, word) for value, bag in zip(values, bags, strict=True) for word in bag or [None]
    ]
    mistakes = {
        "Does each word weigh the same? Then an item with four words counts four times; each of its words is a quarter.": (
            shared(*zip(*words, strict=True))
        ),
        "Is only the first word of each bag looked at? Any of them may be drawn.": shared(
            values, [tuple(bag[:1]) for bag in bags]
        ),
        "Is each bag one value, as a set? One of its words is drawn.": shared(
            values, list(map(tuple, bags))
        ),
        "The item with the empty bag is left out. Drawing from it gives the default, which is a value, too.": (
            of_copies([values[row] for row in filled], [bags[row] for row in filled])
        ),
        "Those are bits.": right / ln(2),
    }
    compare(
        run(bag_information, values, bags),
        right,
        "The information of five colours and five bags",
        mistakes,
    )
    by_hand = ln(4 / 3) / 2 + ln(2 / 3) / 4 + ln(2) / 4  # BLUE, HEART; RED, HEART; RED, LOVE
    compare(
        run(bag_information, ["RED", "BLUE"], [["HEART", "LOVE"], ["HEART"]]),
        by_hand,
        "The information of the chapter's two items",
    )
    print("✓ bag_information: one word of each bag, each equally likely")


def check_left_to_guess(
    left_to_guess: Callable[[pd.DataFrame, list[str], list[str]], float],
) -> None:
    """`left_to_guess(table [n rows], hidden, seen) -> float`: the entropy of `hidden` given `seen`,
    lists of columns, in nats.

    Source: the chapter's section "What is left to guess" (Cover & Thomas, 2006, chapter 2);
    expected values by hand.
    """
    table = pd.DataFrame({
        "label": "BAG BAG BAG BAG MUG MUG TIN TIN".split(),
        "colour": ["RED", "RED", "BLUE", "BLUE", "RED", "RED", None, "GREEN"],
        "size": "S S M M S S S M".split(),  # the colour gives it away
    })  # fmt: skip
    bit = ln(2)
    mistakes = {
        "Those are bits.": 0.75,
        "A missing value is a value, too; is its row left out?": 4 / 7 * bit,
        "A missing value is a value, too; are its pairs left out?": (-sum(p * ln(p) for p in (1/4, 1/4, 1/4, 1/8)) - 1.5 * bit),
        "Does each label weigh the same? Average over the items, not over the labels.": 2 / 3 * bit,
        "That is what is left of the label, seen the colour; it is the other way round.": 0.5 * bit,
        "That is what the label says of the colour; what it leaves open was asked.": 1.0 * bit,
        "That is the entropy of both; take off that of what is seen.": 2.25 * bit,
        "That is the colour's entropy; the label is seen.": 1.75 * bit,
        "The sign: entropies are −Σ p log p.": -0.75 * bit,
    }  # fmt: skip
    compare(
        run(left_to_guess, table, ["colour"], ["label"]),
        0.75 * bit,
        "What the label leaves of the colour",
        mistakes,
    )
    together = {
        "Are the hidden fields added up? The colour gives the size away; guess the pair.": 1.5 * bit
    }
    found = run(left_to_guess, table, ["colour", "size"], ["label"])
    compare(found, 0.75 * bit, "What the label leaves of colour and size together", together)
    compare(
        run(left_to_guess, table, ["colour"], []),
        1.75 * bit,
        "What is left of the colour if nothing is seen",
    )
    either = pd.DataFrame([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], columns=["a", "b", "c"])
    apart = {"Are the seen fields looked at one by one? Together a and b tell c.": bit}
    compare(run(left_to_guess, either, ["c"], ["a", "b"]), 0.0, "What a and b leave of c", apart)
    print("✓ left_to_guess: all that is open, less what is seen")


def conditional(table: pd.DataFrame, hidden: list[str], seen: list[str]) -> float:
    """H(hidden | seen), in nats, group by group: the mean over the rows of −log of the hidden
    values' share in the row's group.
    """
    rows = table[[*hidden, *seen]].astype(object).where(table[[*hidden, *seen]].notna(), "–")
    pairs = [
        (tuple(row[: len(hidden)]), tuple(row[len(hidden) :])) for row in rows.to_numpy().tolist()
    ]
    both, groups = Counter(pairs), Counter(group for _, group in pairs)
    return sum(count * ln(groups[group] / count) for (_, group), count in both.items()) / len(pairs)


def shared(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Mutual information of two columns [n], in nats: the mean, over the rows, of how much likelier
    the pair is than by chance.
    """
    pairs, ones, others, n = (
        Counter(zip(one, other, strict=True)),
        Counter(one),
        Counter(other),
        len(one),
    )
    return sum(count / n * ln(count * n / (ones[x] * others[y])) for (x, y), count in pairs.items())


def of_copies(values: Sequence[str], bags: Sequence[Sequence[str]]) -> float:
    """`shared` of values and words drawn from bags of 1, 2, 3, 4 or 6: twelve copies of each item
    share out its words.
    """
    drawn = [
        (value, word)
        for value, bag in zip(values, bags, strict=True)
        for word in bag or [None]
        for _ in range(12 // max(len(bag), 1))
    ]
    return shared(*zip(*drawn, strict=True))


def small_log() -> EventLog:
    """Eight items known at the end of January 2020, and four that are listed in March and would
    change everything.
    """
    colours, labels = "RED RED RED BLUE BLUE BLUE GREEN GREEN", "BAG BAG BAG MUG MUG BAG TIN TIN"
    future = ["RED", "BLUE", "GREEN", "GREEN"], ["CLOCK", "CLOCK", "CLOCK", "BAG"]
    items = pd.DataFrame(
        {
            "item": list("pqrstuvwxyza"),
            "colour": colours.split() + future[0],
            "label": labels.split() + future[1],
        }
    )
    bought = pd.date_range("2020-01-10", periods=8, freq="D").append(
        pd.date_range("2020-03-01", periods=4, freq="D")
    )
    events = pd.DataFrame({"user": ["ann", "bob"] * 6, "item": items["item"], "time": bought})
    items = items.assign(listed=[*bought[:8] - 2 * DAY, *bought[8:] - 2 * DAY])
    return EventLog.from_frame(events, items, pd.DataFrame({"user": ["ann", "bob"]}))


def relations(items: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """`shared` of every two of these fields; the first is the ID. A missing value is a value."""
    columns = (
        items.rename_axis(index=names[0])
        .reset_index()[names]
        .astype(object)
        .where(lambda value: value.notna(), "–")
    )
    return pd.DataFrame(
        [[shared(columns[one], columns[other]) for other in names] for one in names], names, names
    )


def _table(names: str, *rows: list[float]) -> pd.DataFrame:
    """A symmetric table from its upper triangle, row by row."""
    half = np.zeros((len(rows), len(rows)))
    for row, values in enumerate(rows):
        half[row, row:] = values
    return pd.DataFrame(half + np.triu(half, 1).T, names.split(), names.split())
