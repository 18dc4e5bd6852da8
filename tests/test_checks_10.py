"""Chapter 10's checks: mistakes beside those in the checks."""

from functools import partial

import torch

from course_lib.augment import _split


def bags_in_both(features, shown):
    bags = {name: values for name, values in features.items() if values.dim() > 1}
    return [view | bags for view in _split(features, shown)]


def in_place(features, shown):
    for name in shown:
        features[name] = features[name] * 0
    return features, features


def three_views(features, generator, order=None):
    """By chance numbers that are sorted."""
    k = len(features)
    chances = torch.rand(k, generator=generator)
    place = chances.argsort().argsort().tolist() if order is None else order(k, generator)
    part = [(here >= k // 3) + (here >= 2 * k // 3) for here in place]  # of each field
    fields = list(zip(features.items(), part, strict=True))
    return [{name: v * (own == view) for (name, v), own in fields} for view in range(3)]


def drawn_apart(features, generator):
    return [three_views(features, generator)[view] for view in range(3)]


def own_splits(features, generator):
    items = [{n: v[i : i + 1] for n, v in features.items()} for i in range(4)]
    splits = zip(*(three_views(item, generator) for item in items), strict=True)
    return [
        {name: torch.cat([rows[name] for rows in split]) for name in features} for split in splits
    ]


def turned(k, generator=None):
    """Every field is everywhere equally often, and neighbours stay neighbours."""
    start = int(torch.randint(k, (), generator=generator))
    return [(start + i) % k for i in range(k)]


def half_drawn(k, generator):
    """The first field stays where it is."""
    return [0, *(1 + torch.randperm(k - 1, generator=generator)).tolist()]


def minus_ones(features, generator):
    views = three_views(features, generator)
    return [{name: v - (v == 0).long() for name, v in view.items()} for view in views]


def first_rows(features, generator):
    return [{n: v[:1] for n, v in view.items()} for view in three_views(features, generator)]


OWN = {
    "split_names": [(lambda names, order: [names[order[0]]], "2 things should come back")],
    "two_views": [
        (_split, None),
        (bags_in_both, "left in both"),
        (in_place, "in place"),
        (
            lambda features, shown: _split({n: features[n] for n in shown}, shown),
            "a dict with the f",
        ),
    ],
    "three_views": [
        (three_views, None),
        (drawn_apart, "drawn on its own"),
        (own_splits, "one split per call"),
        (partial(three_views, order=lambda k, generator: turned(k)), "nothing else"),
        (partial(three_views, order=lambda k, generator: range(k)), "Every call split the fields"),
        (lambda f, g: three_views(f, torch.Generator().manual_seed(0)), "Every call split the fie"),
        (partial(three_views, order=half_drawn), "equally likely"),
        (partial(three_views, order=turned), "not only every place"),
        (minus_ones, "neither whole nor 0"),
        (lambda f, g: three_views(f, g)[:2], "3 things should come back, first, second, third"),
        (lambda f, g: [{"a": f["a"]}] * 3, "a dict with the fields"),
        (first_rows, "a tensor of shape"),
    ],
}
