"""Checks of chapter 13: merged channels, a stream, whole versions, a fresh user vector."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import takewhile

import numpy as np
import pandas as pd
import torch

from course_lib.checks.guard import case, exercise, mistakes, refused, run
from course_lib.log import DAY, HOUR


@exercise("every place is filled, no item comes twice, and the channels take turns")
def check_merge_channels(merge_channels: Callable) -> None:
    """`merge_channels(lists, quotas) -> [items]`, in rounds; expected values by hand."""

    def of(order=lambda lists, quotas: [*lists], end="cut", share=True, at_once=False):
        def merge(lists, quotas):
            merged, names, k = [], order(lists, quotas), sum(quotas.values())
            every = [item for name in names for item in lists[name]]
            for turn in range(k):
                for name in names:
                    rest = [item for item in lists[name] if item not in merged]
                    rest = rest or [item for item in every if at_once and item not in merged]
                    merged += rest[:1] if turn < quotas[name] or not share else []
            merged += [item for item in dict.fromkeys(every) if item not in merged and end]
            return merged[:k] if end == "cut" else merged

        return merge

    def one_by_one(lists, quotas):
        merged = []
        for name, items in lists.items():
            merged += [item for item in items if item not in merged][: quotas[name]]
        return merged

    def by_place(lists, quotas, distinct=True):
        found = []
        for turn in range(max(quotas.values())):
            for name, items in lists.items():
                found += items[turn : turn + 1] if turn < quotas[name] else []
        return [*dict.fromkeys(found)] if distinct else found

    wrong = mistakes(
        "Is an item on the list twice? A channel passes over what is there already.",
        lambda lists, quotas: by_place(lists, quotas, distinct=False),
        "Does a channel lose its place where another was first? It brings its next item.",
        by_place,
        "Are the channels' parts set one behind the other? They take turns, in rounds.",
        one_by_one,
        "A channel takes part in as many rounds as it has places.",
        of(share=False),
        "Is the order that of the quotas? Within a round it is that of the lists.",
        of(order=lambda lists, quotas: [*quotas]),
        "Places that a channel can't fill go to the others, after the last round.",
        of(end=""),
        "There are as many places as the quotas have together, and no more.",
        of(end="all"),
        "Does a channel without items give its turn away at once? Fill up after the last round.",
        of(at_once=True),
    )
    for lists, quotas, right in (
        (
            {"towers": [1, 2, 3, 4], "popular": [2, 1, 9, 8]},
            {"towers": 2, "popular": 2},
            [1, 2, 3, 9],
        ),
        (
            {"towers": [1, 2, 3, 4, 5], "popular": [6, 7, 8, 9]},
            {"towers": 3, "popular": 1},
            [1, 6, 2, 3],
        ),
        (
            {"new": [9], "towers": [1, 2, 3, 4], "old": [1, 5, 6, 7]},
            {"towers": 2, "old": 2, "new": 2},
            [9, 1, 5, 2, 6, 3],
        ),
        ({"towers": [1, 2], "popular": [2, 1]}, {"towers": 2, "popular": 2}, [1, 2]),
    ):
        case(merge_channels, (lists, quotas), right, f"{lists} with quotas {quotas}", wrong)


@exercise("late is learned, twice counts once, the future waits, a gap holds nothing up")
def check_steps(steps: Callable) -> None:
    """`steps(day, learned, landed, now) -> [("learn", hour) or ("night", day), …]`, by hand.

    Source: `stream.StreamTrainer.poll`.
    """

    def due(day, learned, landed, now):
        return sorted(hour for hour in {*landed} - {*learned} if hour <= now)

    def until_a_gap(day, learned, landed, now):
        known = {*learned, *landed}
        return [*takewhile(lambda hour: hour - HOUR in known, due(day, learned, landed, now))]

    def in_order_of_arrival(*given):
        return [hour for hour in dict.fromkeys(given[2]) if hour in due(*given)]

    def after_the_last(day, learned, *given):
        last = max(learned, default=pd.Timestamp.min)
        return [hour for hour in due(day, learned, *given) if hour > last]

    def of(hours=due, between=True, nights=0):
        def steps(day, learned, landed, now):
            found = []
            for hour in hours(day, learned, landed, now):
                while between and day < hour.normalize():
                    found, day = [*found, ("night", day)], day + DAY
                found.append(("learn", hour))
            while day < now.normalize() + nights * DAY:
                found, day = [*found, ("night", day)], day + DAY
            return found

        return steps

    def told(found):
        return [*(f"{what} {time:%d %b, %H h}" for what, time in found), "no more"]

    wrong = mistakes(
        "Is an hour learned that the state knows already?",
        of(lambda day, learned, landed, now: due(day, [], landed, now)),
        "Is a shard learned twice that has landed twice?",
        of(lambda *given: sorted(hour for hour in given[2] if hour in due(*given))),
        "Are the hours learned as they landed? The earliest comes first.",
        of(in_order_of_arrival),
        "Is an hour learned that is yet to come? It waits.",
        of(lambda day, learned, landed, now: due(day, learned, landed, pd.Timestamp.max)),
        "An hour that begins just now has begun; only later ones wait.",
        of(lambda *given: [hour for hour in due(*given) if hour < given[3]]),
        "An hour that comes late is learned now; left out here, it never is.",
        of(after_the_last),
        "Does it wait for an hour that is missing? That hour may never come.",
        of(until_a_gap),
        "Yesterday's hour came after its night; it is learned today, or never.",
        of(lambda *given: [hour for hour in due(*given) if hour >= given[0]]),
        "Days end without a new shard as well, as soon as the clock says so.",
        of(nights=-99),
        "Are the nights missing?",
        of(between=False, nights=-99),
        "A night comes before the first hour of a later day.",
        of(between=False),
        "Is there a night for the day that it is now? It is not over.",
        of(nights=1),
    )
    for day, learned, landed, now in (
        ("02", ["02T09"], ["02T09", "02T11", "02T10", "02T11", "02T15"], "02T11"),
        ("02", ["02T09", "02T12"], ["02T14", "02T10"], "02T15"),
        ("02", ["02T09"], ["04T08", "02T16", "03T09"], "04T08"),
        ("03", [], ["02T15", "03T10"], "03T10"),
        ("02", [], [], "05T00"),
    ):
        given = at(day), [*map(at, learned)], [*map(at, landed)], at(now)
        what = f"Open {day}, learned {learned}, landed {landed}, now {now}"
        case(steps, given, told(of()(*given)), what, wrong, of=told)


def at(text: str) -> pd.Timestamp:
    """A moment of June 2011, such as 02T09."""
    return pd.Timestamp(f"2011-06-{text}")


# Items of two versions, whose networks answer differently.
OLD, NEW = np.eye(4), np.eye(4)[[2, 3, 1, 0]]
AXES = {"old": {"ann": 0, "bob": 2}, "new": {"ann": 1, "bob": 3}}
MIXTURES = {
    1: "the new network searched the old item vectors",
    3: "the old network searched the new item vectors",
}


def network(name: str, before: Callable[[], object] = lambda: None) -> Callable:
    """The user network of a version; `before` happens while it computes. Ann's best are 0 and 2."""

    def vector(user):
        before()
        return np.eye(4)[AXES[name][user]]

    return vector


def publish(service: object, network: Callable, compute: Callable) -> None:
    """Call the learner's `publish`, which returns nothing; a MemoryError of `compute` is let go."""

    def publish():
        with contextlib.suppress(MemoryError):
            service.publish(network, compute)
        return True

    run(publish)


def asked(service: object, when: str, right: int) -> None:
    """Ask for ann's best, and raise AssertionError if it is not the item `right`."""
    try:
        found = np.asarray(run(service.answer, "ann", 1)).ravel().tolist()
    except AssertionError as error:
        raise AssertionError(f"{when}: {error}") from None
    if found != [right]:
        why = MIXTURES.get(found[0] if found else None, "is the version before still whole?")
        raise AssertionError(f"{when}: ann's best should be item {right}, and is {found}; {why}.")


def asked_early(service: object, when: str) -> None:
    """Raise AssertionError unless the question is answered with ValueError."""
    try:
        early = not refused(service.answer, "ann", 1)
    except AssertionError as error:
        raise AssertionError(f"{when}, answer should raise ValueError, but {error}") from None
    if early:
        raise AssertionError(f"{when}, answer should raise ValueError, and it returns something.")


def watched(service_class: Callable) -> object:
    """A learner's service that is asked for ann's best after every assignment to it: `seen`."""

    class Watched(service_class):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            with contextlib.suppress(Exception):  # before the first version there is no answer
                seen.append(int(self.answer("ann", 1)[0]))

    seen: list[int] = []
    service = Watched()
    object.__setattr__(service, "seen", seen)
    return service


@exercise("old or new, and never half of each")
def check_service(service_class: Callable) -> None:
    """`Service()` with `publish(network, compute)` and `answer(user, k) -> rows [k]`.

    Always a whole version, old or new. Overlap without threads: a question while `compute` runs, a
    publication while `network` does. Source: `nomination.Nominator.publish`.
    """
    service = run(service_class)
    for name in ("publish", "answer"):
        if not callable(getattr(service, name, None)):
            raise AssertionError(f"A service should have a method {name}, and this one has none.")
    asked_early(service, "Before anything is published")
    early = "While the first version is computed"
    publish(service, network("old"), lambda _: asked_early(service, early) or OLD)
    asked(service, "After the first version", 0)
    case(service.answer, ("bob", 1), [2], "bob's best by the first version")

    def fail(_):
        raise MemoryError("no room for another version")

    publish(service, network("new"), fail)
    asked(service, "After a night that failed", 0)
    late = "While the new item vectors are computed"
    publish(service, network("new"), lambda _: asked(service, late, 0) or NEW)
    asked(service, "After the second version", 2)
    in_between = network("old", lambda: publish(service, network("new"), lambda _: NEW))
    publish(service, in_between, lambda _: OLD)
    asked(service, "A version is published while ann's vector is computed", 0)


@exercise("the same baskets for both, and nothing of what is to be found")
def check_stored_and_computed(stored_and_computed: Callable) -> None:
    """`stored_and_computed(items [m, d], vector, visits, k) -> {"known": (stored, computed), "new":
    (stored, computed)}`: shares of the second halves' items; the first case by hand.

    Source: `production.half_baskets`.
    """

    def of(
        half=lambda n: n // 2,
        seen=lambda history, first, second: history + first,
        dropped=lambda history, first, arm: history + first,
        count=len,
        single=False,
        of_first=False,
    ):
        def stored_and_computed(items, vector, visits, k):
            found = {"known": [], "new": []}
            for history, basket in visits:
                first, second = basket[: half(len(basket))], basket[half(len(basket)) :]
                first, second = (second, first) if of_first else (first, second)
                if len(basket) < 2 and not single:
                    continue
                hits = []
                for arm, had in enumerate((history, seen(history, first, second))):
                    scores = (items @ vector(had)).tolist()
                    out = {*dropped(history, first, arm)}
                    order = sorted({*range(len(items))} - out, key=lambda item: -scores[item])
                    hits.append(len({*order[:k]} & {*second}) / len(second) * count(second))
                found["known" if history else "new"].append((*hits, count(second)))
            sums = {who: [*map(sum, zip(*rows, strict=True))] for who, rows in found.items()}
            return {who: (a / n, b / n) for who, (a, b, n) in sums.items()}

        return stored_and_computed

    wrong = mistakes(
        "Does the vector know all of the basket? It may know the first half alone.",
        of(seen=lambda history, first, second: history + first + second),
        "Is the history forgotten when a basket begins? The vector has both.",
        of(seen=lambda history, first, second: first or history),
        "May the stored arm nominate what is in the basket? Both arms leave it out.",
        of(dropped=lambda history, first, arm: history + first * arm),
        "What was bought before today is left out as well.",
        of(dropped=lambda history, first, arm: first),
        "Is every visit given the same weight? Every item to be found has the same.",
        of(count=lambda second: 1),
        "A visit of one item has no first half, and does not count.",
        of(single=True),
        "Of an odd number the larger part is to be found.",
        of(half=lambda n: (n + 1) // 2),
        "Is it the first half that is to be found? It is in the basket already.",
        of(of_first=True),
    )
    items = torch.tensor([[1.0, 0], [0.9, 0], [0.8, 0], [0, 1.1], [0, 1], [0, 0.7]])

    def mean(had):
        return items[had].mean(0) if had else torch.tensor([0.6, 0.4])

    visits = [([0], [3, 4]), ([], [5, 3]), ([1], [2])]
    right = {"known": (0.0, 1.0), "new": (0.0, 1.0)}
    case(stored_and_computed, (items, mean, visits, 1), right, "Three visits by hand", wrong)
    draw = torch.Generator().manual_seed(13)
    items = torch.randn(30, 2, generator=draw)
    visits = [*_visits(40, draw)]
    given, what = (items, mean, visits, 5), "Forty visits, drawn"
    case(stored_and_computed, given, of()(*given), what, wrong)


def _visits(n: int, draw: torch.Generator) -> Iterator[tuple[list[int], list[int]]]:
    """Histories of 0, 2 or 4 of 30 items, baskets of 1 to 6 others."""
    for number, size in enumerate(torch.randint(1, 7, (n,), generator=draw).tolist()):
        order, bought = torch.randperm(30, generator=draw).tolist(), number % 3 * 2
        yield order[:bought], order[bought : bought + size]
