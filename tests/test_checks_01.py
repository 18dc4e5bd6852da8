"""The checks of chapter 01's exercises: a right function passes, each typical mistake gets its
sentence.
"""

import numpy as np
import pandas as pd
import pytest

from course_lib.checks import chapter_01


def head_share(counts, share):
    return float(np.sort(counts)[-max(1, int(share * len(counts))) :].sum() / counts.sum())


def mix_distance(hour, day):
    return (
        sum(abs(np.mean(hour == kind) - np.mean(day == kind)) for kind in set(hour) | set(day)) / 2
    )


def encode(values, known):
    met = list(dict.fromkeys(value for value in known if value is not None))
    return [met.index(value) + 1 if value in met else 0 for value in values]


def excess(hour, day, draws, rng):
    return mix_distance(hour, day) - np.mean(
        [mix_distance(rng.permutation(day)[: len(hour)], day) for _ in range(draws)]
    )


def newcomer_share(events, column, start, days):
    first = events[column].map(events.groupby(column)["time"].first())
    return float((events["time"] < first + pd.Timedelta(days=days))[events["time"] >= start].mean())


RIGHT = [head_share, mix_distance, encode, excess, newcomer_share]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_01, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def on_late_events(events, column, start, days):
    return newcomer_share(events[events["time"] >= start], column, start, days)


def of_all_events(events, column, start, days):
    late = (events["time"] >= start).mean()
    return newcomer_share(events, column, start, days) * late


def one_event_too_late(events, column, start, days):
    first = events.groupby(column)["time"].transform("min")
    return (events["time"] - first <= pd.Timedelta(days=days))[events["time"] >= start].mean()


def from_nought(values, known):
    return [max(index - 1, 0) for index in encode(values, known)]


def alphabetical(values, known):
    return encode(values, sorted(value for value in known if value))


def missing_takes_an_index(values, known):
    met = list(dict.fromkeys(known))
    return [met.index(value) + 1 if value in met else 0 for value in values]


def alphabetical_from_monday(values, known):  # hard-coded for the first example
    return encode(values, known) if len(known) == 4 else alphabetical(values, known)


def with_replacement(hour, day, draws, rng):
    return mix_distance(hour, day) - np.mean(
        [mix_distance(rng.choice(day, len(hour)), day) for _ in range(draws)]
    )


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        (
            "head_share",
            lambda counts, share: counts[: int(share * len(counts))].sum() / counts.sum(),
            "sort by count first",
        ),
        (
            "head_share",
            lambda counts, share: np.sort(counts)[: int(share * len(counts))].sum() / counts.sum(),
            "other way round",
        ),
        (
            "head_share",
            lambda counts, share: np.sort(counts)[::-1][: int(share * 4)].sum() / 4,
            "Divide by all events",
        ),
        ("head_share", lambda counts, share: counts.sort() or 0.6, "in place"),
        ("mix_distance", lambda hour, day: 2 * mix_distance(hour, day), "half the sum"),
        (
            "mix_distance",
            lambda hour, day: np.abs(np.bincount(hour) - np.bincount(day)).sum() / 2,
            "numbers of events",
        ),
        (
            "mix_distance",
            lambda hour, day: (np.bincount(hour) / 4 - np.bincount(day) / 8).sum() / 2,
            "absolute values",
        ),
        (
            "mix_distance",
            lambda hour, day: (
                np.abs(np.bincount(hour) / len(hour) - np.bincount(day) / len(day)).sum() / 2
            ),
            "stopped with",
        ),
        ("encode", from_nought, "the first value gets 1"),
        ("encode", alphabetical, "order of meeting"),
        ("encode", missing_takes_an_index, "no index of its own"),
        ("encode", alphabetical_from_monday, "changed the index"),
        ("excess", with_replacement, "with replacement"),
        ("excess", lambda *arguments: -excess(*arguments), "the other way round"),
        ("excess", lambda hour, day, draws, rng: mix_distance(hour, day), "hour's distance alone"),
        (
            "excess",
            lambda hour, day, draws, rng: mix_distance(hour, day) - excess(hour, day, draws, rng),
            "draws' distance",
        ),
        ("newcomer_share", on_late_events, "before you filter"),
        ("newcomer_share", of_all_events, "from `start` on"),
        (
            "newcomer_share",
            lambda events, column, start, days: newcomer_share(
                events, column, events["time"].min(), days
            ),
            "counted too",
        ),
        ("newcomer_share", one_event_too_late, "exactly `days` days"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_01, f"check_{exercise}")(function)


def test_the_references_against_numbers_by_hand():
    assert chapter_01.distance([0, 0, 0, 1], [0, 1] * 4) == 0.25  # the chapter's 3 mugs and 1 bag
    assert chapter_01.distance([7], [0, 1]) == 1
    # one event of a day of three: two draws lie 1/3 from the day (2/3 against 1), one lies 2/3 from
    # it
    assert chapter_01.fair_distance(1, [0, 0, 1]) == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)
    # two draws with replacement of a day of two: half of them have both kinds
    assert chapter_01.fair_distance(2, [0, 1], replace=True) == pytest.approx(0.25)
