"""The self-supervised terms on smaller shops: a share of the log's events, drawn anew for each
seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

from course_lib.experiments.replays import Run
from course_lib.experiments.self_supervision import plain
from course_lib.experiments.terms import NAMES, Term
from course_lib.online_retail import TUNING


def tuning() -> Iterator[Run]:
    """Three tries for each kind of arm, two seeds each, on a tenth of April's and May's events."""
    shop = partial(plain, until=TUNING[0], seeds=range(2), share=0.1)
    yield from shop("plain")
    for chance in (0.1, 0.3, 0.5):
        yield from shop(f"new items {chance}", cold_start_dropout=chance)
    for name, alpha in product(NAMES, (0.1, 0.3, 1.0)):
        yield from shop(f"{name} alpha={alpha}", Term(name, alpha))


def test() -> Iterator[Run]:
    """Three shares of the test days' events, as tuned on a tenth."""
    for share in (0.3, 0.1, 0.03):
        shop = partial(plain, share=share)
        yield from shop(f"{share:.0%}: plain")
        yield from shop(f"{share:.0%}: new items 0.1", cold_start_dropout=0.1)
        for name in NAMES:
            alpha = 1.0 if name == "dropout" else 0.1
            yield from shop(f"{share:.0%}: {name} alpha={alpha}", Term(name, alpha))


def in_proportion() -> Iterator[Run]:
    """Does the term do better if it draws no more items than a night has events?"""
    for share, events in ((0.1, 90), (0.03, 27)):  # of an average night
        shop = partial(plain, share=share)
        yield from shop(f"{share:.0%}: plain")
        for name, m in product(("random mask", "complementary"), (256, events)):
            yield from shop(f"{share:.0%}: {name} m={m}", Term(name, m=m))
