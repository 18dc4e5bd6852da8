"""Checks of chapter 13, a day in production; one of them kills a real process, again and again."""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import count, takewhile
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from course_lib.checks.guard import case, exercise, mistakes, run
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


@exercise("killed at any moment, 'current' leads to a whole version")
def check_put_online(put_online: Callable[[Path, str, dict[str, bytes]], None]) -> None:
    """`put_online(folder, version, files)`: files first, then the pointer in one step.

    Source: `versions.Folder`, and the chapter's section "A real kill".
    """
    first, second = ({"state": b"user network %d" % n, "index": b"items %d" % n} for n in (1, 2))
    survive(put_online, {"v1": first, "v2": second})


def survive(put_online: Callable, versions: dict[str, dict[str, bytes]]) -> None:
    """Put versions online one after the other; each in processes that are killed at every step, and
    then again in one that is not. Raises AssertionError with one sentence if a reader would find
    half a version.
    """
    for number, new in enumerate(versions, 1):
        old = [*versions][: number - 1]
        for step in count():  # 0 is not killed
            with TemporaryDirectory() as place:
                folder = Path(place).resolve()
                for version in old:
                    run(_done(put_online), folder, version, versions[version])
                killed = _killed(put_online, (folder, new, versions[new]), step) if step else "0"
                if not killed:
                    break
                if step:
                    _look(folder, versions, old[-1:], [*old[-1:], new], f"after a kill {killed}")
                try:
                    run(_done(put_online), folder, new, versions[new])
                except AssertionError as error:
                    again = f"After a kill {killed}, the same call again fails: " * bool(step)
                    raise AssertionError(f"{again}{error}") from None
                _look(folder, versions, [*old[-1:], new], [new], f"when {new} is online")


def _done(put_online: Callable) -> Callable:
    @functools.wraps(put_online)
    def done(*given):
        put_online(*given)
        return True

    return done


def _look(folder: Path, versions: dict, whole: list[str], right: list[str], when: str) -> None:
    pointer = folder / "current"
    says = pointer.read_text("utf-8", errors="replace") if pointer.exists() else None
    if says not in right and (whole or says is not None):
        raise AssertionError(
            f"'current' should say {' or '.join(right)} {when}, and says {says!r}. To write a file "
            "is no single step, to replace one is."
        )
    said = [] if says is None else [says]
    for version in dict.fromkeys([*said, *whole]):  # in order, which a set is not
        for name, data in versions[version].items():
            path = folder / version / name
            if not path.is_file() or path.read_bytes() != data:
                reason = "a reader may still be in it. Does a new version leave the old one alone?"
                if version == says:
                    reason = "'current' says it. Which is written first, the files or the pointer?"
                raise AssertionError(f"{name!r} of {version} is not whole {when}, and {reason}")


STEPS = {  # audit events of what changes a folder, and what they are called here
    "os.rename": "a rename",
    "os.mkdir": "making a folder",
    "os.remove": "removing",
    "os.rmdir": "removing",
    "os.link": "linking",
    "os.symlink": "linking",
    "shutil.rmtree": "removing",
}
WRITES = os.O_WRONLY | os.O_RDWR
PATIENCE = 10.0  # seconds that the other process may take


def _killed(function: Callable, given: tuple, step: int) -> str | None:
    """Call the function in another process, which gets SIGKILL at that step; says where that was,
    or nothing if it ended before.
    """
    if not hasattr(os, "fork"):
        raise AssertionError("A process can't be killed like this on Windows; use WSL, or Linux.")
    fork = get_context("fork")
    hear, tell = fork.Pipe(duplex=False)
    process = fork.Process(target=_until, args=(function, given, step, tell), daemon=True)
    with warnings.catch_warnings():  # this process has threads, which the other one does without
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    tell.close()
    process.join(PATIENCE)
    process.kill()
    process.join()
    try:
        said = hear.recv_bytes().decode()
    except EOFError:
        said = ""
    if process.exitcode not in (0, -signal.SIGKILL) or bool(said) != bool(process.exitcode):
        raise AssertionError(
            f"{function.__name__} works in this process, and in one of its own it ends with code "
            f"{process.exitcode}; does it change anything but the folder?"
        )
    return said or None


def _until(function: Callable, given: tuple, step: int, tell) -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    folder, left = str(given[0]), step

    def die(where: str) -> None:
        tell.send_bytes(where.encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple) -> None:
        nonlocal left
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITES
        paths = [str(path) for path in args[:2] if str(path).startswith(folder)]
        if not paths or not (writes or event in STEPS):
            return
        name, left = os.path.relpath(paths[-1], folder), left - 1
        if left == 0:
            die(f"just before {STEPS.get(event, 'writing')} ({name})")
        if writes:
            left -= 1
            if left == 0:
                os.close(os.open(paths[0], args[2], 0o666))
                die(f"in the middle of writing ({name})")

    sys.addaudithook(hook)
    function(*given)


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
