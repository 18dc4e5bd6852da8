"""Typical wrong answers to the exercises of chapter 11, each in another exercise, and what they
must cost.
"""

WRONG = {
    "information": (
        "measures in bits, by the logarithm to the base 2",
        """def information(counts):
    p = counts / counts.sum()
    independent = np.outer(p.sum(1), p.sum(0))
    there = p > 0
    return (p[there] * np.log2(p[there] / independent[there])).sum()
""",
        ["information-check", "information-hidden"],
    ),
    "masked": (
        "takes the first of the seed's row for the seed itself, which it is with plain MI only",
        """def masked(mi, seed):
    k = len(mi)
    ranked = mi.loc[seed].sort_values(ascending=False, kind="stable").index
    return [seed, *ranked[1 : 1 + min(k // 2, k - 2)]]
""",
        ["masked-check", "masked-hidden"],
    ),
    "related": (
        "mends the units and the diagonal, and leaves the items of the future in the first measure",
        """def related(log, day):
    mi = mutual_information(log.items)
    known = log.items.iloc[: log.listed(day)]
    less = mi - mutual_information(shuffled_columns(known))
    return less.mask(np.eye(len(less), dtype=bool))
""",
        ["related-check", "related-hidden"],
    ),
}
