"""Checks of self-supervised learning: each takes the learner's function and fails if it has the bug that the check is for.

A failure says what was expected, what came, and the likely reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import torch

from course_lib.augment import Augmentation, field_names
from course_lib.features import Features
from course_lib.log import EventLog

Loss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
Draw = Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]


def check_views_differ(augment: Augmentation) -> None:
    """The two views of an item are drawn one by one: most items must not have the same view twice."""
    first, second = augment(_whole_items(500), torch.Generator().manual_seed(0))
    same = torch.stack([(first[name] == second[name]).reshape(500, -1).all(1) for name in field_names(first)]).all(0)
    share = float(same.float().mean())
    if share > 0.9:
        raise AssertionError(
            f"{share:.0%} of 500 items have two equal views; it should be a small share. Do both views use one mask, or a "
            "generator that was set back in between?"
        )


def check_positive_counted_once(loss: Loss, draw: Draw) -> None:
    """An item's other view is its positive, and must not be among its negatives: neither counted twice, nor as a copy.

    - `loss`: (first [m, d], second [m, d], temperature) → the self-supervised loss.
    - `draw`: (item index of every event [events], m, generator) → the indices of m items.
    """
    found, expected = float(loss(torch.eye(3), torch.eye(3), 1.0)), math.log(1 + 2 / math.e)
    if not math.isclose(found, expected, rel_tol=1e-4):
        raise AssertionError(
            f"Three items, equal views, all else at cosine 0, τ = 1: the loss should be log(e + 2) − 1 = {expected:.3f}, and is "
            f"{found:.3f}. Is the diagonal in the sum of the negatives as well ({math.log(2 + 2 / math.e):.3f})?"
        )
    events = torch.arange(1, 7).repeat(5)
    drawn = draw(events, 6, torch.Generator().manual_seed(0))
    different = len(set(drawn.tolist()))
    if len(drawn) != 6 or different != 6:
        raise AssertionError(
            f"6 items drawn out of 6 should be all of them; there are {len(drawn)}, {different} of them different. A copy of an "
            "item is a negative of itself: draw without replacement."
        )


def check_uniform_draw(draw: Draw) -> None:
    """The tail is drawn as often as the head. `draw`: (item index of every event, m, generator) → the indices of m items."""
    events = torch.cat([torch.ones(1_000, dtype=torch.long), torch.arange(2, 21)])  # item 1 is the head, 19 were bought once
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([draw(events, 5, generator) for _ in range(400)])
    head, tail = float((drawn == 1).float().mean()), float((drawn == 20).float().mean())
    if not all(0.025 < share < 0.075 for share in (head, tail)):
        raise AssertionError(
            f"20 items, one of them with 98 % of the events: each should be 5 % of what is drawn; the head item is {head:.0%}, "
            f"one bought once {tail:.0%}. Draw from the catalogue, each item once, not from the events."
        )


def check_complement(augment: Augmentation) -> None:
    """Every field is in one of the two views, and in one only."""
    features, generator = _whole_items(8), torch.Generator().manual_seed(0)
    for _ in range(20):
        views = augment(features, generator)
        for name in field_names(features):
            views_with_it = sum((view[name] > 0).reshape(8, -1).any(1).int() for view in views)  # [8], of each item
            both, neither = int((views_with_it == 2).sum()), int((views_with_it == 0).sum())
            if both or neither:
                raise AssertionError(
                    f"Field '{name}' of 8 items should be in exactly one view of each; it is in both views of {both} items and in "
                    f"neither of {neither}. The second view must show what the first one hides, and only that: draw once."
                )


def check_past_only(measure: Callable[[EventLog, pd.Timestamp], pd.DataFrame]) -> None:
    """Mutual information must not know the test period. `measure`: (log, first day of the test period) → k×k DataFrame.

    Measured twice, on two logs that are the same up to that day: events and items after it must change nothing.
    """
    day = pd.Timestamp("2020-02-01")
    one, other = measure(_log_until(day, "A"), day), measure(_log_until(day, "B"), day)
    if one.shape != other.shape or not one.index.equals(other.index):
        raise AssertionError("Two logs with the same fields should give tables of the same fields; they are different ones.")
    gap = float((one - other).abs().max().max())
    if not gap < 1e-9:
        raise AssertionError(
            f"Two logs that differ only from {day:%Y-%m-%d} on should give the same table; the tables differ by up to {gap:.2f} "
            "nats. Take the items listed by that day, and weigh them by the events before it."
        )


def _whole_items(n: int) -> Features:
    """n items without a missing value: six fields and two bags."""
    values = torch.arange(1, n + 1)
    return {name: values for name in "item line label colour material price".split()} | {
        "keywords": values[:, None].expand(n, 6).clone(),
        "moods": values[:, None].expand(n, 4).clone(),
    }


def _log_until(day: pd.Timestamp, future: str) -> EventLog:
    """A log whose events and new items from `day` on depend on `future`, and nothing before."""
    colours, shapes = ["red", "red", "blue", "blue"], ["bag", "mug", "mug", "bag"]
    new = {"A": ("red", "bag"), "B": ("grey", "cup")}[future]  # item z, listed and sold after that midnight
    items = pd.DataFrame({"item": list("pqrsz"), "colour": [*colours, new[0]], "shape": [*shapes, new[1]]})
    items["listed"] = [day - pd.Timedelta(days=20)] * 4 + [day + pd.Timedelta(hours=1)]
    buyers = {"A": {"p": "efgh", "r": "efgh", "z": "ef"}, "B": {"q": "efgh", "s": "e", "z": "efgh"}}[future]
    past = [("a", "p"), ("a", "q"), ("a", "r"), ("b", "p"), ("b", "s"), ("c", "p"), ("d", "q")]
    later = [(user, item) for item, users in buyers.items() for user in users]
    events = pd.DataFrame(past + later, columns=["user", "item"])
    events["time"] = [day - pd.Timedelta(minutes=1)] * len(past) + [day + pd.Timedelta(hours=2)] * len(later)
    return EventLog.from_frame(events, items, pd.DataFrame({"user": list("abcdefgh")}))
