"""Typical wrong answers to the exercises of chapter 01, each in another exercise, and what they
must cost.
"""

WRONG = {
    "head-share": (
        "the head of a short list is empty: right on the visible example, wrong on a hidden one",
        """def head_share(counts, share):
    ranked = sorted(counts, reverse=True)
    return sum(ranked[: int(len(ranked) * share)]) / sum(ranked)
""",
        ["head-share-hidden"],
    ),
    "encode": (
        "the default is kept free, but the values are still in the order of the alphabet",
        """def encode(values, known):
    ordered = sorted({value for value in known if value is not None})
    return [ordered.index(value) + 1 if value in ordered else 0 for value in values]
""",
        ["encode-check", "encode-hidden"],
    ),
    "newcomer-share": (
        "the first event is looked for among the late events only",
        """prediction = "item"


def newcomer_share(events, column, start, days):
    events = events[events["time"] >= start]
    first = events.groupby(column)["time"].transform("min")
    return (events["time"] - first < pd.Timedelta(days=days)).mean()
""",
        ["newcomer-share-check", "newcomer-share-hidden"],
    ),
}
