"""Coordinate search by hand, with a recommender whose recall is known; what it counts and refuses;
and that it never reads a later day.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from helpers import refusal

from course_lib import tuning
from course_lib.baselines import ALS, EASE, ItemCF, Popularity, UserKNN
from course_lib.log import EventLog
from course_lib.state import Settings
from course_lib.tuning import DIALS, RECIPE, TRIES, tune

START, DAYS, ITEMS, USERS = pd.Timestamp("2020-03-01"), 28, 150, 40
PERIOD = ("2020-03-15", "2020-03-22")


def made(days: int = DAYS, later: int = 0) -> EventLog:
    """40 users, 150 items, 30 events a day, users in order of their rows; with another seed for what
    happens after PERIOD, where new users come as well.
    """
    parts = []
    for day in range(days):
        after = START + pd.Timedelta(days=day) >= pd.Timestamp(PERIOD[1])
        rng = np.random.default_rng([day, later * after])
        users = rng.permutation(USERS)[:30] + 100 * later * after
        items = (rng.pareto(0.6, 30) * 10).astype(int) % ITEMS
        time = START + pd.Timedelta(days=day, hours=9)
        parts.append(pd.DataFrame({"user": users, "item": items, "time": time}))
    events = pd.concat(parts).drop_duplicates(["user", "item"], ignore_index=True)
    items = pd.DataFrame({"item": range(ITEMS), "listed": START})
    items["kind"] = [f"kind {item % 7}" for item in range(ITEMS)]
    return EventLog.from_frame(events, items, events[["user"]].drop_duplicates())


@pytest.fixture(scope="module")
def log() -> EventLog:
    return made()


@dataclass
class Fake:
    """Knows the future of the users in the first `known` rows, and nothing of the others: all of
    their items tie.
    """

    known: int
    days: list = field(default_factory=list)

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> np.ndarray:
        self.days.append(day)
        rows, scores = log.rows(day, day + pd.Timedelta(days=1)), np.zeros((len(users), ITEMS))
        place = np.searchsorted(users, log.user_rows[rows])
        scores[place, log.item_rows[rows]] = log.user_rows[rows] < self.known
        return scores

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        pass


def recall(log: EventLog, known: int, start: str, end: str) -> float:
    return float((log.user_rows[log.rows(start, end)] < known).mean())


# how many users each pair of options a, b knows: a = 2 beats a = 3, which would be better with b = 9
KNOWN = {(0, 0): 5, (1, 0): 3, (2, 0): 20, (3, 0): 12, (2, 8): 20, (2, 9): 22, (3, 9): 40}
DIALS_OF_FAKE = {"a": (1, 2, 3), "b": (8, 9)}


def fakes() -> tuple[Callable, list[Fake]]:
    """What makes a Fake by its options, and those that were asked for scores."""
    asked = []

    def make(a: int = 0, b: int = 0) -> Fake:
        asked.append(Fake(KNOWN.get((a, b), 0)))
        return asked[-1]

    return make, asked


def test_the_search_goes_from_option_to_option_by_hand(log: EventLog):
    make, asked = fakes()
    found = tune(log, make, DIALS_OF_FAKE, PERIOD, progress=False)
    assert found.options == {"a": 2, "b": 9}
    assert found.tries["options"].tolist() == ["", "a=1", "a=2", "a=3", "a=2 b=8", "a=2 b=9"]
    expected = [recall(log, known, *PERIOD) for known in (5, 3, 20, 12, 20, 22)]
    assert found.tries["R@100"].tolist() == pytest.approx(expected)
    assert (found.tries["cpu_s"] >= 0).all()
    assert {"R@50", "cold", "tail", "mid", "head"} <= set(found.tries)
    for fake in filter(lambda fake: fake.days, asked):
        assert fake.days == list(pd.date_range(*PERIOD, inclusive="left"))


@dataclass
class Second(Fake):
    """As Fake, but an item that nobody buys stands first for everybody."""

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> np.ndarray:
        unsold = np.setdiff1d(np.arange(ITEMS), log.item_rows)[0]
        scores = super().scores(log, day, users)
        scores[:, unsold] = 2
        return scores


def test_the_best_is_the_best_at_the_k_that_is_asked_for(log: EventLog):
    """Twenty users' items in the second place, against five users' in the first."""

    def make(second: bool = True) -> Fake:
        return Second(20) if second else Fake(5)

    found = {k: tune(log, make, {"second": (False,)}, PERIOD, progress=False, k=k) for k in (1, 2)}
    five, twenty = (recall(log, known, *PERIOD) for known in (5, 20))
    assert found[1].tries["R@1"].tolist() == pytest.approx([0, five])
    assert found[2].tries["R@2"].tolist() == pytest.approx([twenty, five])
    assert found[1].options == {"second": False} and found[2].options == {}
    assert "k is 0" in refusal(tune, log, make, {"second": (False,)}, PERIOD, k=0)


@pytest.mark.parametrize(
    ("tries", "options"),
    [(1, {}), (2, {}), (3, {"a": 2}), (4, {"a": 2}), (5, {"a": 2}), (6, {"a": 2, "b": 9})],
)
def test_it_stops_when_the_tries_are_spent(log: EventLog, tries: int, options: dict):
    make, asked = fakes()
    found = tune(log, make, DIALS_OF_FAKE, PERIOD, tries, progress=False)
    assert found.options == options  # a tie keeps what was tried earlier: b = 8 is no better
    assert len(found.tries) == tries == sum(bool(fake.days) for fake in asked)


def test_tries_that_are_left_follow_the_best_values_outwards(log: EventLog):
    gains = {
        "weight": {0.5: -1, 2.0: 5, 8.0: 15, 32.0: 10},
        "rate": {0.5: 2, 3.0: -2, 0.5 * 0.5 / 3: 1},
        "share": {0.3: -1, 0.9: 3},  # 2.7 is refused
        "count": {2: 1, 3: 2},  # no fraction
    }

    def make(**options) -> Fake:
        if options.get("share", 0) > 1:
            raise ValueError("share must be from 0 to 1")
        return Fake(5 + sum(gains[name][value] for name, value in options.items()))

    dials = {name: tuple(values)[:2] for name, values in gains.items()}
    found = tune(log, make, dials, PERIOD, 20, progress=False)
    assert found.options == {"weight": 8.0, "rate": 0.5, "share": 0.9, "count": 3}
    last = found.tries["options"].str.split()[9:]
    assert [dict(o.split("=") for o in options)["weight"] for options in last] == ["8.0"] * 2 + [
        "32.0"
    ]
    assert len(found.tries) == 12
    assert len(tune(log, make, dials, PERIOD, 10, progress=False).tries) == 10


def test_the_last_quarter_of_the_days_is_tested_unless_others_are_given(log: EventLog):
    make, asked = fakes()
    tune(log, make, {}, progress=False)
    assert asked[-1].days == list(log.days[21:])


@pytest.mark.parametrize("make", DIALS)
def test_what_happens_after_the_period_changes_nothing(log: EventLog, make: type | None):
    other = made(later=1)
    rows = log.rows(end=PERIOD[1])
    pd.testing.assert_frame_equal(log.events[rows], other.events[rows])
    assert not set(other.events["user"]) <= set(log.events["user"])
    a, b = (tune(each, make, None, PERIOD, 2, progress=False) for each in (log, other))
    assert a.options == b.options
    pd.testing.assert_frame_equal(*(found.tries.drop(columns="cpu_s") for found in (a, b)))


def test_the_two_towers_start_from_the_recipe(log: EventLog):
    found = tune(log, days=PERIOD, dials={"q_half_life": (3.0,)}, progress=False)
    first, second = found.tries["options"]
    assert second == first + " q_half_life=3.0" and "negatives=1000000" in first
    settings = Settings(**found.options)
    assert settings.mask_bought and settings.linear_rank == RECIPE["linear_rank"]


@pytest.mark.parametrize("make", [None, Popularity, ItemCF, EASE, UserKNN, ALS])
def test_every_set_of_dials_fills_the_tries_with_values_that_are_no_defaults(make: type | None):
    dials, options = DIALS[make], inspect.signature(make or Settings).parameters
    assert 1 + sum(map(len, dials.values())) >= TRIES
    for name, values in dials.items():
        default = RECIPE.get(name, options[name].default) if make is None else options[name].default
        assert len({*values, default}) == len(values) + 1


def test_what_cannot_be_tried_is_refused_before_anything_is(log: EventLog, monkeypatch):
    monkeypatch.setattr(tuning, "replay", None)
    assert (
        refusal(tune, log, EASE, {"rigde": (1.0,)})
        == "there is no option 'rigde' to try values of."
    )
    assert refusal(tune, log, EASE, {"ridge": (1.0, 0)}).startswith("ridge is 0; it must be")
    assert refusal(tune, log, None, {"dim": (8, 0.5)}).startswith("dim is 0.5; it must be")
    assert refusal(tune, log, Fake) == (
        f"no values are known to try for {Fake!r}; pass some as dials."
    )
    assert refusal(tune, log, EASE, tries=0) == (
        "tries is 0; it must be a whole number, at least 1."
    )
    assert "no moment of the log's local time" in refusal(tune, log, EASE, days=("soon", None))


@pytest.mark.parametrize(
    ("days", "period", "counted"),
    [
        (7, None, "5 days before 2020-03-06, to learn from, and 2 from then on"),
        (28, ("2020-03-03", None), "2 days before 2020-03-03, to learn from, and 26 from then on"),
        (28, ("2020-03-28", None), "27 days before 2020-03-28, to learn from, and 1 from then on"),
        (28, ("2020-03-20", "2020-03-20"), "and 0 from then on"),
    ],
)
def test_too_few_days_are_refused(days: int, period: tuple | None, counted: str):
    message = refusal(tune, made(days), Popularity, days=period)
    assert counted in message and message.endswith("tuning needs at least 6 and 2.")


def test_less_than_a_week_to_test_is_warned_of():
    with pytest.warns(UserWarning, match="^only 5 days to test on: a choice by less than a week"):
        tune(made(20), Popularity, tries=1, progress=False)
