"""Typical wrong answers to the exercises of chapter 08, each in another exercise, and what they
must cost.
"""

WRONG = {
    "share-chance": (
        "adds up chances of fields that may both be shared",
        """def share_chance(filled, p):
    return min(1, filled * (1 - p) ** 2)
""",
        ["share-chance-check", "share-chance-hidden"],
    ),
    "random-mask": (
        "throws one coin for an item and not one for each of its fields",
        """def random_mask(features, p, generator):
    def view():
        keep = torch.rand(len(next(iter(features.values()))), generator=generator) >= p
        return {n: v * (keep if v.dim() == 1 else keep[:, None]) for n, v in features.items()}

    return view(), view()
""",
        ["random-mask-check", "random-mask-hidden"],
    ),
    "weighted-mask": (
        "masks the words of a bag one by one, which is dropout, and checks nothing",
        """def weighted_mask(features, chances, generator):
    return {n: v * (torch.rand(v.shape, generator=generator) >= chances.get(n, 0)) for n, v in
    features.items()}

        """["weighted-mask-check", "weighted-mask-hidden"],
    ),
}
