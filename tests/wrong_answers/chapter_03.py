"""Typical wrong answers to the exercises of chapter 03, each in another exercise, and what they
must cost.
"""

WRONG = {
    "best": (
        "what was bought gets a score of 0, which is more than items have that point away",
        """def best(query, vectors, ids, bought, k):
    scores = vectors @ query
    scores[np.isin(ids, bought)] = 0
    return ids[np.argsort(scores)[::-1][:k]]
""",
        ["best-check", "best-hidden"],
    ),
    "service": (
        "network and vectors are switched in two steps, so a question between them meets a mixture",
        """class Service:
    def __init__(self):
        self.network, self.vectors = None, None

    def publish(self, network, compute):
        vectors = compute(network)
        self.network, self.vectors = network, vectors

    def answer(self, user, k):
        network, vectors = self.network, self.vectors
        if vectors is None:
            raise ValueError("publish first")
        return np.argsort(-(vectors @ network(user)))[:k]
""",
        ["service-hidden"],
    ),
    "choose-ef": (
        "a mean above the floor is taken for a promise, without any interval",
        """def choose_ef(search, tuning, test, floor, values):
    def recall(sample, ef):
        queries, exact = sample return np.mean([np.isin(right, found).mean() for right, found in
        zip(exact, search(queries, ef))])

    for ef in values:
        if recall(tuning, ef) > floor:
            return ef, recall(test, ef)
    raise ValueError("no value is good enough")

        """["choose-ef-check", "choose-ef-hidden"],
    ),
}
