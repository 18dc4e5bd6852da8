"""Checks of the exercises of chapter 03: exact search, lists by hand, how many are compared, whole
versions, a dial to choose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import faiss
import numpy as np

from course_lib.checks.guard import compare, run


def check_best(best: Callable) -> None:
    """`best(query [d], vectors [m, d], ids [m], bought [b], k) -> ids [≤ k]`, best first, none of
    them bought; by hand.

    Source: `nomination.Nominator.best`.
    """
    query, ids, bought = np.array([0.6, 0.8]), np.array([40, 7, 23, 11, 5]), np.array([7, 4])
    scores = np.array([-0.2, 0.9, 0.5, -0.6, 0.1])
    vectors = scores[:, None] * query + np.array([[0.3], [0.0], [-0.2], [0.1], [0.4]]) * np.array(
        [-0.8, 0.6]
    )
    mistakes = {
        "Those are rows; look up which item is in which row.": [2, 4, 0],
        "Item 7 was bought.": [7, 23, 5],
        "What is bought is a score of 0 now, and that is more than items have that point away; give it −∞.": [
            23,
            5,
            7,
        ],
        "Are bought items taken for rows? Row 4 holds item 5.": [7, 23, 40],
        "Is what was bought dropped after cutting to k? Drop first, then k are left.": [23, 5],
        "The largest product is the best.": [11, 40, 5],
    }
    compare(
        run(best, query, vectors, ids, bought, 3),
        [23, 5, 40],
        "Three of items 40, 7, 23, 11, 5; bought: 7 and 4",
        mistakes,
    )
    all_left = "Ten of the same five"
    mistakes = {"With k beyond what is left, bought items come back.": [23, 5, 40, 11, 7]}
    compare(run(best, query, vectors, ids, bought, 10), [23, 5, 40, 11], all_left, mistakes)
    print("✓ best: the largest products, under the items' ids, without what was bought")


def lists_by_hand(
    query: np.ndarray,
    vectors: np.ndarray,
    owner: np.ndarray,
    centres: np.ndarray,
    nprobe: int,
    k: int,
    near: Callable = np.dot,
) -> list[int]:
    """[≤ k] rows, item by item: lists in the order of `near(centre, query)`, as many as `nprobe`
    and until k items are seen.
    """
    order = sorted(range(len(centres)), key=lambda c: -near(centres[c], query))
    seen: list[int] = []
    for place, c in enumerate(order):
        if place < nprobe or len(seen) < k:
            seen += [row for row in range(len(vectors)) if owner[row] == c]
    return sorted(seen, key=lambda row: -np.dot(vectors[row], query))[:k]


def faiss_lists(vectors: np.ndarray, centres: np.ndarray) -> faiss.IndexIVFFlat:
    """Faiss's lists with these centres [c, d], so that nothing has to be learned; float32, filled
    with the vectors [m, d].
    """
    coarse = faiss.IndexFlatIP(centres.shape[1])
    coarse.add(np.ascontiguousarray(centres))
    index = faiss.IndexIVFFlat(coarse, centres.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    index.add(np.ascontiguousarray(vectors))
    return index


def check_ivf_search(ivf_search: Callable) -> None:
    """`ivf_search(query [d], vectors [m, d], owner [m], centres [c, d], nprobe, k) -> rows [k]`, on
    the chapter's circle.

    Source: the chapter's section "Lists (IVF)"; further lists as in `FaissIndex`, one by one until
    there are k.
    """
    degrees = np.radians([5, 20, 35, 62, 100, 115, 140, 190, 205, 250, 300, 330])
    angles = {
        "items": degrees,
        "centres": np.radians([355, 105, 215]),
        "queries": np.radians([55, 280]),
    }
    points, centres, (query, other) = (
        np.stack([np.cos(a), np.sin(a)], axis=1) for a in angles.values()
    )
    owner = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 0])
    mistakes = {
        "That is the right answer, and the wrong search: with nprobe = 1 only one list is looked into.": [
            3,
            2,
        ],
        "Are those places among the items seen? They should be rows.": [0, 1],
        "The nearest list is the one whose centre has the largest product with the query.": [7, 8],
    }
    compare(
        run(ivf_search, query, points, owner, centres, 1, 2),
        [3, 4],
        "The query at 55°, nprobe = 1, k = 2",
        mistakes,
    )
    mistakes = {"Are `nprobe` lists looked into?": [3, 4]}
    compare(
        run(ivf_search, query, points, owner, centres, 2, 2),
        [3, 2],
        "The same with nprobe = 2",
        mistakes,
    )
    mistakes = {
        "Its list holds three; go on with the next nearest until there are four.": [9, 8, 7]
    }
    compare(
        run(ivf_search, other, points, owner, centres, 1, 4),
        [10, 9, 11, 8],
        "The query at 280°, nprobe = 1, k = 4",
        mistakes,
    )
    long = centres * np.array([[3.0], [1.0], [1.0]])
    mistakes = {"The centres are compared by product as well, not by distance or angle.": [3, 4]}
    compare(
        run(ivf_search, query, points, owner, long, 1, 2),
        [2, 1],
        "55° again, with the first centre three times as long",
        mistakes,
    )
    print("✓ ivf_search: the nearest lists alone, and further ones only if too few were seen")


def check_expected_compared(expected_compared: Callable) -> None:
    """`expected_compared(sizes [c]) -> float`: centres, and the mean size of the list of a query
    that falls as the items do.
    """
    sizes = np.array([6, 0, 2, 2])
    mistakes = {
        "That holds for lists of equal size: a query falls into a large list more often than into a small one.": 4
        + 2.5,
        "The centres are compared as well.": 4.4,
        "An empty list has a centre, too, that is compared.": 3 + 4.4,
        "Is it the largest list? It is a mean.": 4 + 6,
        "Divide by the number of items, not of lists.": 4 + 44 / 4,
    }
    compare(run(expected_compared, sizes), 4 + 4.4, "Lists of 6, 0, 2 and 2 items", mistakes)
    print("✓ expected_compared: the centres, and lists as often as queries fall into them")


OLD, NEW = (
    np.eye(4),
    np.eye(4)[[2, 3, 1, 0]],
)  # items of two versions, whose networks answer differently
AXES = {"old": {"ann": 0, "bob": 2}, "new": {"ann": 1, "bob": 3}}
MIXTURES = {
    1: "the new network searched the old item vectors",
    3: "the old network searched the new item vectors",
}


def network(name: str, before: Callable[[], object] = lambda: None) -> Callable[[str], np.ndarray]:
    """The user network of one of the two versions; `before` happens while it computes. For ann
    whole versions find 0 or 2.
    """

    def vector(user: str) -> np.ndarray:
        before()
        return np.eye(4)[AXES[name][user]]

    return vector


def publish(service: object, network: Callable, compute: Callable) -> None:
    """Call the learner's `publish`, which returns nothing; a MemoryError, as `compute` may raise
    it, is let go.
    """

    def publish() -> bool:
        with contextlib.suppress(MemoryError):
            service.publish(network, compute)
        return True

    run(publish)


def ask(service: object) -> object:
    """The learner's answer for ann's best."""

    def answer() -> object:
        return service.answer("ann", 1)

    return run(answer)


def asked(service: object, when: str, right: int) -> None:
    """Ask for ann's best, and raise AssertionError if it is not the item `right`."""
    try:
        found = np.asarray(ask(service)).ravel().tolist()
    except AssertionError as error:
        raise AssertionError(f"{when}: {error}") from None
    if found != [right]:
        reason = MIXTURES.get(found[0] if found else None, "is the version before still whole?")
        raise AssertionError(
            f"{when}: ann's best should be item {right}, and is {found}; {reason}."
        )


def refused(service: object, when: str) -> None:
    """Raise AssertionError unless the question is answered with ValueError."""
    try:
        early = ask(service)
    except AssertionError as error:
        if "ValueError" not in str(error):
            raise AssertionError(f"{when}, answer should raise ValueError, but {error}") from None
    else:
        raise AssertionError(f"{when}, answer should raise ValueError, and it returns {early!r}.")


def watched(service_class: Callable) -> object:
    """A learner's service that is asked for ann's best after every single assignment to it; the
    answers are in `seen`.
    """

    class Watched(service_class):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            with contextlib.suppress(Exception):  # before the first version there is no answer
                seen.append(int(self.answer("ann", 1)[0]))

    seen: list[int] = []
    service = Watched()
    object.__setattr__(service, "seen", seen)
    return service


def check_service(service_class: Callable) -> None:
    """`Service()` with `publish(network, compute)` and `answer(user, k) -> rows [k]`: always a
    whole version, old or new.

    Source: `nomination.Nominator.publish`. Overlap without threads: a question while `compute`
    runs, a publication while `network` does.
    """
    service = run(service_class)
    refused(service, "Before anything is published")
    publish(
        service,
        network("old"),
        lambda _: refused(service, "While the first version is computed") or OLD,
    )
    asked(service, "After the first version", 0)
    compare(run(service.answer, "bob", 1), [2], "bob's best by the first version")

    def fail(_: Callable) -> np.ndarray:
        raise MemoryError("no room for another version")

    publish(service, network("new"), fail)
    asked(service, "After a night that failed", 0)
    publish(
        service,
        network("new"),
        lambda _: asked(service, "While the new item vectors are computed", 0) or NEW,
    )
    asked(service, "After the second version", 2)
    in_between = network("old", before=lambda: publish(service, network("new"), lambda _: NEW))
    publish(service, in_between, lambda _: OLD)
    asked(service, "A version is published while ann's vector is computed", 0)
    print("✓ service: old or new, and never half of each")


class Search:
    """A graph to choose efSearch for: `hits` of each query's ten are found, by ef, for tuning
    queries and test queries.
    """

    def __init__(self, hits: dict[int, tuple[Sequence[int], Sequence[int]]]) -> None:
        self.hits, self.calls = hits, []
        sizes = [len(each) for each in next(iter(hits.values()))]
        self.tuning, self.test = (
            (np.full((n, 1), part), self.exact(n, part)) for part, n in enumerate(sizes)
        )

    @staticmethod
    def exact(n: int, part: int) -> np.ndarray:
        return 10_000 * part + 10 * np.arange(n)[:, None] + np.arange(10)

    def __call__(self, queries: np.ndarray, ef: int) -> np.ndarray:
        part = int(queries[0, 0])
        self.calls.append((part, ef))
        exact, hits = self.exact(len(queries), part), np.array(self.hits[ef][part])[:, None]
        return np.where(np.arange(10) < hits, exact, -1)[
            :, ::-1
        ]  # another order, and −1 for what was not found


def check_choose_ef(choose_ef: Callable) -> None:
    """`choose_ef(search, tuning, test, floor, values) -> (ef, recall on test)`, with
    `search(queries [n, d], ef) -> ids [n, k]`.

    Source: "The dials", with the interval of `evaluation.paired_difference`: the smallest ef whose
    recall is surely above.
    """
    hits = {
        10: ([5, 9] * 4, [6, 8] * 4),
        20: (
            [7, 10] * 4,
            [9] * 8,
        ),  # on the tuning queries 0.85, but not surely above 0.8; on the test queries surely
        40: ([9, 9, 9, 10] * 2, [8, 9] * 4),
        80: ([10] * 8, [10, 9] * 4),
    }
    search, values = Search(hits), (10, 20, 40, 80)
    mistakes = {
        "0.85 of eight queries is not surely above 0.8: the interval's lower end must be.": (
            20,
            0.9,
        ),
        "The recall to report is the test queries', which had no part in the choice.": (40, 0.925),
        "Was it chosen on the test queries?": (20, 0.85),
        "The smallest value that is good enough, not the best one.": (80, 0.95),
    }
    try:
        found = run(choose_ef, search, search.tuning, search.test, 0.8, values)
    except AssertionError as error:
        if "ValueError" not in str(error):
            raise
        raise AssertionError(
            "With efSearch 80 all ten are found for every tuning query, and no value is good enough for you. Is place compared "
            "with place? An answer's order does not matter for recall."
        ) from None
    compare(found, (40, 0.85), "efSearch and held-out recall, floor 0.8", mistakes)
    if [call for call in search.calls if call[0] == 1] != [(1, 40)]:
        raise AssertionError(
            "The test queries should be asked once, with the value chosen: who looks at them before, chooses on them."
        )
    try:
        too_high = run(choose_ef, search, search.tuning, search.test, 1.0, values)
    except AssertionError as error:
        if "ValueError" not in str(error):
            raise
    else:
        raise AssertionError(
            f"No value is surely above 1, so ValueError should be raised, and {too_high} came."
        )
    print(
        "✓ choose_ef: the smallest value that is surely good enough, measured on queries that did not choose it"
    )
