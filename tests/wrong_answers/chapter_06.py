"""Typical wrong answers to the exercises of chapter 06, each in another exercise, and what they
must cost.
"""

WRONG = {
    "conflict": (
        "compares the hour with the whole day, itself included",
        """def conflict(gradients, hours):
    day = gradients.mean(0)
    cosines = {}
    for hour in np.unique(hours):
        own = gradients[hours == hour].mean(0)
        cosines[hour] = own @ day / (np.linalg.norm(own) * np.linalg.norm(day))
    return pd.Series(cosines)
""",
        ["conflict-check", "conflict-hidden"],
    ),
    "seeds-needed": (
        "takes the normal distribution's quantile for a handful of seeds",
        """def predict():
    return 20


def seeds_needed(pilot, half_width):
    return max(2, int(np.ceil((1.96 * np.std(pilot, ddof=1) / half_width) ** 2)))
""",
        ["seeds-needed-check", "seeds-needed-hidden"],
    ),
    "cheapest": (
        "takes an interval that includes zero for a proof that nothing is lost",
        """def cheapest(table, costs, reference, tolerance):
    seeds = table.pivot_table("R@100", "seed", "arm")
    for arm in sorted(costs, key=costs.get):
        difference = paired_difference(seeds[arm], seeds[reference])
        if difference.high >= 0 or difference.low >= -tolerance:
            return arm
""",
        ["cheapest-check", "cheapest-hidden"],
    ),
}
