"""Typical wrong answers to the exercises of chapter 09, each in another exercise, and what they
must cost.
"""

WRONG = {
    "as-bag": (
        "a missing value becomes a trait of its own, colour=nan",
        """def as_bag(items, fields, name):
    def bag(row):
        found = []
        for field in fields:
            values = row[field] if isinstance(row[field], list) else [row[field]]
            found += [f"{field}={value}" for value in values]
        return found

    bags = [bag(row) for _, row in items.iterrows()]
    return items.drop(columns=fields).assign(**{name: bags})
""",
        ["as-bag-check", "as-bag-hidden"],
    ),
    "half": (
        "half of the places are left, empty ones included, and not half of the values",
        """def half(bag, generator):
    rank = torch.rand(bag.shape, generator=generator).argsort(dim=1).argsort(dim=1)
    return bag * (rank < (bag.shape[1] + 1) // 2)
""",
        ["half-check", "half-hidden"],
    ),
    "flat": (
        "every row stays, but an empty one gets zeros and not the default",
        """def flat(bag):
    filled = bag > 0
    sizes = filled.sum(1)
    return bag[filled], sizes.cumsum(0) - sizes
""",
        ["flat-check", "flat-hidden"],
    ),
}
