"""Typical wrong answers to the exercises of chapter 12, each in another exercise, and what they
must cost.
"""

WRONG = {
    "within_auc": (
        "leaves the item itself among those that it is compared with, where it ties",
        """def within(scores, slices, candidates, bought):
    others = candidates & (slices == slices[bought])
    return np.mean((scores[others] < scores[bought]) + (scores[others] == scores[bought]) / 2)
""",
        ["within-check", "within-hidden"],
    ),
    "protocol": (
        "lets who tried more choose among more",
        """def protocol(tuning, test, kinds):
    validation = tuning.groupby("arm")["validation"].mean()
    chosen = {kind: validation[arms].idxmax() for kind, arms in kinds.items()}
    return {kind: (arm, against(test, arm, "plain")) for kind, arm in chosen.items()}
""",
        ["protocol-check", "protocol-hidden"],
    ),
    "clear-by-chance": (
        "takes the quantile of the normal distribution, as if five seeds were many",
        """prediction = 1.8


def clear_by_chance(arms, seeds, draws, rng):
    results = rng.normal(size=(draws, 1 + arms, seeds))
    differences = results[:, 1:] - results[:, :1]
    half = 1.96 * stats.sem(differences, axis=2)
    return (np.abs(differences.mean(2)) > half).sum(1)
""",
        ["clear-by-chance-check", "clear-by-chance-hidden"],
    ),
}
