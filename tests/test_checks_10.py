"""The checks of chapter 10's exercises: a right function passes, each typical mistake gets its
sentence.
"""

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


def three_views(features, generator, cuts=(1 / 3, 2 / 3), order=None):
    """By chance numbers that are sorted, and by multiplication."""
    k = len(features)
    place = (
        torch.rand(k, generator=generator).argsort().argsort().tolist()
        if order is None
        else order(k)
    )
    one, other = (int(cut * k + 1e-9) for cut in cuts)
    part = [(here >= one) + (here >= other) for here in place]  # of each field
    return [
        {name: v * (part[i] == view) for i, (name, v) in enumerate(features.items())}
        for view in range(3)
    ]


RIGHT = [split_names, two_views, match_by_pattern, three_views]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_10, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def inverse(order):
    return [order.index(place) for place in range(len(order))]


def middle_lost(names, order):
    first, second = split_names(names, order)
    return first, second[-len(first) :]


def minus_one(features, shown):
    first, second = two_views(features, shown)
    return {n: v if n in shown else v * 0 - 1 for n, v in first.items()}, second


def overlapping(features, shown):
    return two_views(features, shown)[0], features


def bags_in_both(features, shown):
    bags = {name: values for name, values in features.items() if values.dim() > 1}
    return [view | bags for view in two_views(features, shown)]


def in_place(features, shown):
    for name in shown:
        features[name] = features[name] * 0
    return features, features


def last(first, second):
    fits = (first[:, None] != second[None]).all(2)
    return torch.tensor([int(row.nonzero()[-1]) if row.any() else -1 for row in fits])


def equal(first, second):
    return match_by_pattern(~first, second)


def disjoint(first, second):
    fits = ~(first[:, None] & second[None]).any(2)
    return torch.where(fits.any(1), fits.int().argmax(1), -1)


def drawn_apart(features, generator):
    return [three_views(features, generator)[view] for view in range(3)]


def own_splits(features, generator):
    return [
        {name: torch.cat([rows[name] for rows in split]) for name in features}
        for split in zip(
            *[
                three_views({n: v[i : i + 1] for n, v in features.items()}, generator)
                for i in range(4)
            ],
            strict=True,
        )
    ]


def rotated(k):
    """A random place to start, and the fields in their own order."""
    start = int(torch.randint(k, ()))
    return [(start + i) % k for i in range(k)]


def turned(features, generator):
    """Every field is everywhere equally often, and neighbours stay neighbours."""
    start = int(torch.randint(len(features), (), generator=generator))
    return three_views(features, generator, order=lambda k: [(start + i) % k for i in range(k)])


def half_drawn(features, generator):
    """The first field stays where it is."""
    drawn = [0, *(1 + torch.randperm(len(features) - 1, generator=generator)).tolist()]
    return three_views(features, generator, order=lambda k: drawn)


def minus_ones(features, generator):
    return [
        {name: v - (v == 0).long() for name, v in view.items()}
        for view in three_views(features, generator)
    ]


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        (
            "split_names",
            lambda names, order: split_names(names, order, (len(names) + 1) // 2),
            "the smaller one",
        ),
        (
            "split_names",
            lambda names, order: (names[: len(names) // 2], names[len(names) // 2 :]),
            "Take them by the order",
        ),
        (
            "split_names",
            lambda names, order: tuple(
                part[: len(names) // 2] for part in split_names(names, order)
            ),
            "Every field",
        ),
        ("split_names", middle_lost, "in the middle is lost"),
        (
            "split_names",
            lambda names, order: split_names(names, inverse(order)),
            "not to which place",
        ),
        ("split_names", lambda names, order: split_names(names, order)[0][:1], "expected a pair"),
        ("two_views", minus_one, "not −1"),
        ("two_views", overlapping, "left in both"),
        ("two_views", bags_in_both, "left in both"),
        (
            "two_views",
            lambda features, shown: two_views(features, shown)[::-1],
            "is it in the other one",
        ),
        ("two_views", in_place, "in place"),
        (
            "two_views",
            lambda f, shown: ({n: f[n] for n in shown}, two_views(f, shown)[1]),
            "a dict with the fields",
        ),
        ("match_by_pattern", last, "it is the lowest"),
        (
            "match_by_pattern",
            lambda a, b: (a[:, None] != b[None]).all(2).int().argmax(1),
            "gets −1, not 0",
        ),
        ("match_by_pattern", equal, "equal patterns are no match"),
        ("match_by_pattern", disjoint, "is not enough"),
        ("match_by_pattern", lambda first, second: torch.arange(len(first)), "not by their places"),
        ("three_views", drawn_apart, "drawn on its own"),
        ("three_views", own_splits, "one split per call"),
        ("three_views", lambda f, g: three_views(f, g, (0.25, 0.5)), "not at twice"),
        ("three_views", lambda f, g: three_views(f, g, (0.375, 0.75)), "round down"),
        ("three_views", lambda f, g: three_views(f, g, order=rotated), "nothing else"),
        (
            "three_views",
            lambda f, g: three_views(f, g, order=lambda k: list(range(k))),
            "Every call split the fields alike",
        ),
        (
            "three_views",
            lambda f, g: three_views(f, torch.Generator().manual_seed(0)),
            "Every call split the fields alike",
        ),
        ("three_views", half_drawn, "equally likely"),
        ("three_views", turned, "not only every place"),
        ("three_views", minus_ones, "neither whole nor 0"),
        ("three_views", lambda f, g: three_views(f, g)[:2], "expected three views"),
        ("three_views", lambda f, g: [{"a": f["a"]}] * 3, "a dict with the fields"),
        (
            "three_views",
            lambda f, g: [{n: v[:1] for n, v in view.items()} for view in three_views(f, g)],
            "of shape",
        ),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_10, f"check_{exercise}")(function)
