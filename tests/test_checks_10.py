"""The checks of chapter 10's exercises: a right function passes, each typical mistake gets its sentence."""

import pytest
import torch

from course_lib.augment import _split
from course_lib.checks import chapter_10


def split_names(names, order, half=None):
    ranked = [name for _, name in sorted((order.index(i), name) for i, name in enumerate(names))]
    half = len(names) // 2 if half is None else half
    return ranked[:half], ranked[half:]


def two_views(features, shown):
    return _split(features, shown)


def match_by_pattern(first, second):
    rows = [tuple(row) for row in second.tolist()]
    wanted = [tuple(not value for value in row) for row in first.tolist()]
    return torch.tensor([rows.index(row) if row in rows else -1 for row in wanted])


RIGHT = [split_names, two_views, match_by_pattern]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_10, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def minus_one(features, shown):
    first, second = two_views(features, shown)
    return {n: v if n in shown else v * 0 - 1 for n, v in first.items()}, second


def overlapping(features, shown):
    return two_views(features, shown)[0], features


def in_place(features, shown):
    for name in shown:
        features[name] = features[name] * 0
    return features, features


def last(first, second):
    fits = (first[:, None] != second[None]).all(2)
    return torch.tensor([int(row.nonzero()[-1]) if row.any() else -1 for row in fits])


def equal(first, second):
    return match_by_pattern(~first, second)


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        ("split_names", lambda names, order: split_names(names, order, (len(names) + 1) // 2), "the smaller one"),
        ("split_names", lambda names, order: (names[: len(names) // 2], names[len(names) // 2 :]), "Take them by the order"),
        ("split_names", lambda names, order: tuple(part[: len(names) // 2] for part in split_names(names, order)), "Every field"),
        ("split_names", lambda names, order: split_names(names, order)[0][:1], "expected a pair"),
        ("two_views", minus_one, "not −1"),
        ("two_views", overlapping, "is in the wrong view"),
        ("two_views", lambda features, shown: two_views(features, shown)[::-1], "is in the wrong view"),
        ("two_views", in_place, "in place"),
        ("two_views", lambda f, shown: ({n: f[n] for n in shown}, two_views(f, shown)[1]), "a dict with the fields"),
        ("match_by_pattern", last, "it is the lowest"),
        ("match_by_pattern", lambda a, b: (a[:, None] != b[None]).all(2).int().argmax(1), "gets −1, not 0"),
        ("match_by_pattern", equal, "equal patterns are no match"),
        ("match_by_pattern", lambda first, second: torch.arange(len(first)), "not by their places"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_10, f"check_{exercise}")(function)
