"""Checks of chapter 15, your own log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import pandas as pd

from course_lib.checks.examples import interval
from course_lib.checks.guard import case, exercise, mistakes

PAIR = ["user", "item"]


@exercise("the first event of each pair, in order of time")
def check_first_events(first_events: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """`first_events(events) -> events`, of columns `user`, `item`, `time`; expected by hand."""

    def of(sort="time", subset=PAIR, keep="first", sort_first=True, numbered=True):
        def first_events(events):
            once = events.sort_values(sort, kind="stable") if sort and sort_first else events
            once = once.drop_duplicates(subset, keep=keep)
            once = once.sort_values(sort, kind="stable") if sort and not sort_first else once
            return once.reset_index(drop=True) if numbered else once

        return first_events

    wrong = mistakes(
        "Is it the first row of a pair in the file? It is the first in time: sort before.",
        of(sort_first=False),
        "Is it the last event of a pair? A log keeps the first.",
        of(keep="last"),
        "Is one event left of each item? A pair is a user and an item.",
        of(subset=["item"]),
        "Is one event left of each user? A pair is a user and an item.",
        of(subset=["user"]),
        "Only rows that are alike in all columns are dropped; a pair is a user and an item.",
        of(subset=[*PAIR, "time"]),
        "The rows are in the file's order, and a log is in order of time.",
        of(sort=None),
        "The labels are those of the file; number the rows anew, from 0.",
        of(numbered=False),
        "Events of the same time have changed places; sort with kind='stable'.",
        of(sort=["time", "user"]),
    )
    rows = [
        *(("ann", "mug", 3), ("cid", "mug", 2), ("ann", "mug", 1), ("ann", "bag", 2)),
        *(("cid", "mug", 4), ("bob", "bag", 2), ("bob", "mug", 5)),
    ]
    right = [rows[2], rows[1], rows[3], rows[5], rows[6]]
    case(first_events, (frame(rows),), frame(right), "Seven events of three users", wrong)


@exercise("a list is told by its parts, which come again")
def check_inner_separator(
    inner_separator: Callable[[list[str], list[str], float], str],
) -> None:
    """`inner_separator(texts, candidates, share) -> str`, "" for none; expected by hand."""

    def of(
        strip=str.strip,
        count=lambda parts: len(set(parts)),
        texts_of=lambda having, texts: len(set(having)),
        enough=lambda having, texts, share: len(having) >= share * len(texts),
        last=False,
    ):
        def inner_separator(texts, candidates, share):
            found = ""
            for candidate in candidates:
                having = [text for text in texts if candidate in text]
                cut = [strip(part) for text in having for part in text.split(candidate)]
                again = count([part for part in cut if part]) < texts_of(having, texts)
                if having and enough(having, texts, share) and again:
                    if not last:
                        return candidate
                    found = candidate
            return found

        return inner_separator

    wrong = mistakes(
        "A share that is just reached is enough.",
        of(enough=lambda having, texts, share: len(having) > share * len(texts)),
        "Are there blanks around the parts? ' red' and 'red' are one.",
        of(strip=lambda part: part),
        "Are all parts counted? Count the different ones.",
        of(count=len),
        "Are parts compared with all texts that have it? Two texts that are alike count once.",
        of(texts_of=lambda having, texts: len(having)),
        "Are parts compared with all texts? Compare with those that have the separator.",
        of(texts_of=lambda having, texts: len(set(texts))),
        "Too few of the texts have it; look at `share`.",
        of(enough=lambda having, texts, share: True),
        "Is it the last candidate that fits? It is the first.",
        of(last=True),
    )
    genres = ["Action|Comedy", "Comedy|Drama", "Action|Drama", "Action|Comedy|Drama", "Drama|"]
    many = ["|".join(text) for text in permutations(("Action", "Comedy", "Drama", "War"), 3)]
    pairs = list(permutations("abc", 2))
    colours = ["red, big", "big, red", "red,blue", "blue, red", "big,blue"]
    gifts = ["A MUG, BLUE", "A BAG, LARGE", "A LAMP, RED", "A VASE, TALL"]
    same = ["S, M"] * 10
    few = ["a;b", "b;a", "a;b;a", *"abcdefghijklmnopqrstuvwxyz"]
    for texts, candidates, share, right, what in (
        (genres, ["|", ","], 0.1, "|", "Five texts of genres"),
        (colours, ["|", ","], 0.1, ",", "Colours with blanks here and there"),
        (gifts, ["|", ","], 0.1, "", "Names of four gifts"),
        (same, [","], 0.1, "", "One text, ten times"),
        (few, [";"], 0.2, "", "Three of 29 texts, where a fifth is asked for"),
        (few, [";"], 3 / 29, ";", "Three of 29 texts, where just that share is asked for"),
        ([*"abcdefgh", "x;y", "y;x"], [";"], 0.1, "", "Two texts of two parts, among ten"),
        ([f"{text}/x" for text in many], ["/", "|"], 0.1, "|", "Texts with two separators"),
        ([f"{a}{inner}{b}" for a, b in pairs for inner in "/|"], ["/", "|"], 0.1, "/", "Two fit"),
    ):
        case(inner_separator, (texts, candidates, share), right, what, wrong)


@exercise("two logs, days weighed by their events, and a word that both intervals carry")
def check_carried(carried: Callable) -> None:
    """`carried(tables, one, other) -> (word, {log: Difference})`, of tables by day; intervals by
    `examples.interval`.
    """

    def of(weights=lambda events: events, sign=1, by_mean=False, by_place=False, easy=False):
        def carried(tables, one, other):
            found = {}
            for log, table in tables.items():
                ours, theirs = (table[table["arm"] == arm] for arm in (one, other))
                if not by_place:
                    ours, theirs = ours.sort_values("day"), theirs.sort_values("day")
                rates = [(t["hits"] / t["events"]).to_numpy() for t in (ours, theirs)]
                gap = sign * (rates[0] - rates[1])
                found[log] = interval(gap, weights(ours["events"].to_numpy()))
            signs = [
                np.sign(mean) if by_mean else int(low > 0) - int(high < 0)
                for mean, low, high, _ in found.values()
            ]
            word = "can't tell"
            if all(signs) or (easy and any(signs)):
                word = "carried over" if len(set(signs) - {0}) == 1 else "reversed"
            return word, found

        return carried

    wrong = mistakes(
        "Days differ in size; weigh each by its events.",
        of(weights=np.ones_like),
        "A pair is a day, and the rows stand in no order: subtract by day, not row by row.",
        of(by_place=True),
        "It is one less other, not the other way round.",
        of(sign=-1),
        "Is the mean alone asked? An interval that holds zero has no sign.",
        of(by_mean=True),
        "One of the two intervals holds zero, so nobody can tell.",
        of(easy=True),
    )
    events = np.array([100, 20, 100, 100, 20])
    gains = {  # hits more than the other arm, by day
        "up": [5, 0, 6, 5, -1],
        "up, too": [4, 2, 5, 6, 1],
        "down": [-6, -1, -5, -7, -1],
        "unclear": [6, 1, -4, 5, -1],
    }
    tables = {name: by_day(events, gain) for name, gain in gains.items()}
    for one, two, word in (
        ("up", "up, too", "carried over"),
        ("up, too", "down", "reversed"),
        ("down", "unclear", "can't tell"),
        ("unclear", "up", "can't tell"),
    ):
        given = {name: tables[name] for name in (one, two)}
        right = word, {name: interval(np.array(gains[name]) / events, events) for name in given}
        what = f"Two logs, '{one}' and '{two}' (mean, low, high, pairs)"
        case(carried, (given, "towers", "rival"), right, what, wrong)


def frame(rows: Sequence[tuple]) -> pd.DataFrame:
    """Events; times are days of January 2020."""
    events = pd.DataFrame(rows, columns=["user", "item", "time"])
    return events.assign(time=pd.Timestamp("2019-12-31") + pd.to_timedelta(events["time"], "D"))


def by_day(events: np.ndarray, more: Sequence[int]) -> pd.DataFrame:
    """A table of three arms, as `films_test_by_day`, whose rows stand in no order."""
    level = np.array([40, 6, 52, 30, 9])
    hits = {"towers": level + np.array(more), "rival": level, "third": level + 9}
    days = pd.date_range("2020-01-01", periods=len(events)).strftime("%Y-%m-%d")
    parts = [
        pd.DataFrame({"arm": arm, "day": days, "events": events.astype(float), "hits": hit})
        for arm, hit in hits.items()
    ]
    return pd.concat(parts).sample(frac=1, random_state=3).reset_index(drop=True)
