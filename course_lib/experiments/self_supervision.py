"""The self-supervised terms, their rivals, and recipes of both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

from course_lib.experiments.replays import Run, nightly
from course_lib.experiments.terms import NAMES, Term
from course_lib.online_retail import TUNING
from course_lib.state import Settings

# without purchase counts among the inputs, which keep every new item down
PLAIN = Settings(popularity_half_lives=())
ALPHAS, TEMPERATURES = (0.03, 0.1, 0.3, 1.0), (0.1, 0.3)
plain = partial(nightly, base=PLAIN)


def tuning() -> Iterator[Run]:
    """Every kind of arm gets eight tries (the plain one counts for all), two seeds each, on April
    and May.
    """
    tuned = partial(plain, until=TUNING[0], seeds=range(2))
    yield from tuned("plain")
    for days in (2.0, 3.0, 4.0, 5.0, 10.0, 14.0, 30.0):
        yield from tuned(f"q half-life {days:g} days", q_half_life=days)
    for share in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        yield from tuned(f"new items {share}", cold_start_dropout=share)
    for share in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        yield from tuned(f"fields dropped {share}", field_dropout=share)
    for name, temperature, alpha in product(NAMES, TEMPERATURES, ALPHAS):
        term = Term(name, alpha, temperature)
        yield from tuned(f"{name} alpha={alpha} temperature={temperature}", term)
    for share, days in product((0.0, 0.01, 0.02, 0.05, 0.1, 0.2), (3.0, 5.0, 7.0)):
        name = f"counts: new items {share}, q half-life {days:g} days"
        yield from tuned(name, base=Settings(), cold_start_dropout=share, q_half_life=days)


def test() -> Iterator[Run]:
    """Every augmentation with some and with much weight; its rivals; and recipes, with purchase
    counts and without.

    "Default untrained" is a main loss that never sees a default (`field_dropout=0`), so that the
    term alone trains it.
    """
    yield from plain("plain")
    yield from plain("default untrained", field_dropout=0.0)
    for name in ("random mask", "correlated mask"):
        arm = f"default untrained + {name} alpha=0.1"
        yield from plain(arm, Term(name), field_dropout=0.0)
    yield from plain("q half-life 3 days", q_half_life=3.0)
    yield from plain("new items 0.1", cold_start_dropout=0.1)
    for name in NAMES:
        for alpha in (0.03, 0.1, 1.0) if name in ("random mask", NAMES[-1]) else (0.1, 1.0):
            yield from plain(f"{name} alpha={alpha}", Term(name, alpha))
    mask, more = Term("random mask", 0.03), " + random mask alpha=0.03"
    yield from plain("q half-life 3 days" + more, mask, q_half_life=3.0)
    yield from nightly("counts")
    yield from nightly("counts" + more, mask)
    recipe = "counts + new items 0.2, q half-life 3 days"
    yield from nightly(recipe, cold_start_dropout=0.2, q_half_life=3.0)
    yield from nightly(recipe + more, mask, cold_start_dropout=0.2, q_half_life=3.0)
    recipe = "counts + new items 0.01, q half-life 5 days"
    yield from nightly(recipe, cold_start_dropout=0.01, q_half_life=5.0)
