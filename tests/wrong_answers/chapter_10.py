"""Typical wrong answers to the exercises of chapter 10, each in another exercise, and what they
must cost.
"""

WRONG = {
    "split-names": (
        "rounds half of an odd number of fields up",
        """def split_names(names, order):
    drawn = [names[place] for place in order]
    half = (len(names) + 1) // 2
    return drawn[:half], drawn[half:]
""",
        ["split-names-check", "split-names-hidden"],
    ),
    "two-views": (
        "leaves bags in both views, where they can be copied",
        """def two_views(features, shown):
    first, second = dict(features), dict(features)
    for name, values in features.items():
        if values.dim() == 1:
            (second if name in shown else first)[name] = torch.zeros_like(values)
    return first, second
""",
        ["two-views-check", "two-views-hidden"],
    ),
    "match-by-pattern": (
        "gives a first view without a complement index 0",
        """prediction = 0.5


def match_by_pattern(first, second):
    return (first[:, None] != second[None]).all(2).int().argmax(1)
""",
        ["match-by-pattern-check", "match-by-pattern-hidden"],
    ),
}
