"""Checks of chapter 03: exact search, lists by hand, comparisons, short codes, a dial."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import faiss
import numpy as np
from scipy import stats

from course_lib.checks.guard import case, exercise, mistakes, refused


@exercise("the largest products, under the items' ids, without what was bought")
def check_best(best: Callable) -> None:
    """`best(query [d], vectors [m, d], ids [m], bought [b], k) -> ids [≤ k]`, best first.

    Source: `nomination.Nominator.best`; by hand.
    """

    def ranked(scores, names, k, out=(), low=-np.inf):
        return names[np.argsort(-np.where(np.isin(names, out), low, scores))[:k]]

    wrong = mistakes(
        "Those are rows; look up which item is in which row.",
        lambda q, v, ids, out, k: [list(ids).index(i) for i in ranked(v @ q, ids, k, out)],
        "Item 7 was bought.",
        lambda q, v, ids, out, k: ranked(v @ q, ids, k),
        "A score of 0 for what was bought beats items that point away; give it −∞.",
        lambda q, v, ids, out, k: ranked(v @ q, ids, k, out, 0),
        "Are bought items taken for rows? Row 4 holds item 5.",
        lambda q, v, ids, out, k: ids[ranked(v @ q, np.arange(len(ids)), k, out)],
        "Is what was bought dropped after cutting to k? Drop first, then k are left.",
        lambda q, v, ids, out, k: [i for i in ranked(v @ q, ids, k) if i not in out],
        "The largest product is the best.",
        lambda q, v, ids, out, k: ranked(-v @ q, ids, k, out),
        "With k beyond what is left, bought items come back.",
        lambda q, v, ids, out, k: ranked(v @ q, ids, k, out),
    )
    query, ids, bought = np.array([0.6, 0.8]), np.array([40, 7, 23, 11, 5]), np.array([7, 4])
    vectors = np.array([-0.2, 0.9, 0.5, -0.6, 0.1])[:, None] * query
    vectors += np.array([[0.3], [0.0], [-0.2], [0.1], [0.4]]) * np.array([-0.8, 0.6])
    what = "Three of items 40, 7, 23, 11, 5; bought: 7 and 4"
    case(best, (query, vectors, ids, bought, 3), [23, 5, 40], what, wrong)
    what = "Ten of the same five"
    case(best, (query, vectors, ids, bought, 10), [23, 5, 40, 11], what, wrong)


def lists_by_hand(
    query: np.ndarray,
    vectors: np.ndarray,
    owner: np.ndarray,
    centres: np.ndarray,
    nprobe: int,
    k: int,
    near: Callable = np.dot,
) -> list[int]:
    """[≤ k] rows: lists in the order of `near(centre, query)`, `nprobe` of them, more until k."""
    order = sorted(range(len(centres)), key=lambda c: -near(centres[c], query))
    seen: list[int] = []
    for place, c in enumerate(order):
        if place < nprobe or len(seen) < k:
            seen += [row for row in range(len(vectors)) if owner[row] == c]
    return sorted(seen, key=lambda row: -np.dot(vectors[row], query))[:k]


def faiss_lists(vectors: np.ndarray, centres: np.ndarray) -> faiss.IndexIVFFlat:
    """Faiss's lists with these centres [c, d], filled with the vectors [m, d]; all float32."""
    coarse = faiss.IndexFlatIP(centres.shape[1])
    coarse.add(np.ascontiguousarray(centres))
    index = faiss.IndexIVFFlat(coarse, centres.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    index.add(np.ascontiguousarray(vectors))
    return index


@exercise("the nearest lists alone, and further ones only if too few were seen")
def check_ivf_search(ivf_search: Callable) -> None:
    """`ivf_search(query [d], vectors [m, d], owner [m], centres [c, d], nprobe, k) -> rows [k]`.

    Source: the chapter's section "First idea: look into a few lists (IVF)"; further lists as in
    `FaissIndex`, one by one.
    """

    def seen(query, owner, centres, nprobe):
        return np.flatnonzero(np.isin(owner, np.argsort(-(centres @ query))[:nprobe]))

    def first(scores, k):
        return np.argsort(-scores)[:k]

    wrong = mistakes(
        "That is the right answer by the wrong search: nprobe = 1 looks into one list only.",
        lambda query, vectors, owner, centres, nprobe, k: first(vectors @ query, k),
        "Are those places among the items seen? They should be rows.",
        lambda query, v, owner, c, nprobe, k: first(v[seen(query, owner, c, nprobe)] @ query, k),
        "The nearest list is the one whose centre has the largest product with the query.",
        lambda *given: lists_by_hand(*given, near=lambda centre, query: -centre @ query),
        "Are `nprobe` lists looked into?",
        lambda *given: lists_by_hand(*given[:4], 1, given[5]),
        "Its list holds three; go on with the next nearest until there are four.",
        lambda query, v, owner, c, nprobe, k: [
            row for row in first(v @ query, len(v)) if row in seen(query, owner, c, nprobe)
        ][:k],
        "The centres are compared by product as well, not by distance or angle.",
        lambda *given: lists_by_hand(*given, near=lambda c, query: -((c - query) ** 2).sum()),
    )
    items = np.radians([5, 20, 35, 62, 100, 115, 140, 190, 205, 250, 300, 330])
    angles = items, np.radians([355, 105, 215]), np.radians([55, 280])
    points, centres, (query, other) = (np.stack([np.cos(a), np.sin(a)], axis=1) for a in angles)
    store = points, np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 0])
    for given, expected, what in (
        ((query, *store, centres, 1, 2), [3, 4], "The query at 55°, nprobe = 1, k = 2"),
        ((query, *store, centres, 2, 2), [3, 2], "The same with nprobe = 2"),
        ((other, *store, centres, 1, 4), [10, 9, 11, 8], "The query at 280°, nprobe = 1, k = 4"),
        (
            (query, *store, centres * np.array([[3.0], [1.0], [1.0]]), 1, 2),
            [2, 1],
            "55° again, with the first centre three times as long",
        ),
    ):
        case(ivf_search, given, expected, what, wrong)


@exercise("the centres, and lists as often as queries fall into them")
def check_expected_compared(expected_compared: Callable) -> None:
    """`expected_compared(sizes [c]) -> float`: centres, and the mean size of a query's list."""

    def squares(sizes):
        return (sizes**2).sum()

    wrong = mistakes(
        "That holds for equal lists; a query falls into a large list more often.",
        lambda sizes: len(sizes) + sizes.mean(),
        "The centres are compared as well.",
        lambda sizes: squares(sizes) / sizes.sum(),
        "An empty list has a centre, too, that is compared.",
        lambda sizes: (sizes > 0).sum() + squares(sizes) / sizes.sum(),
        "Is it the largest list? It is a mean.",
        lambda sizes: len(sizes) + sizes.max(),
        "Divide by the number of items, not of lists.",
        lambda sizes: len(sizes) + squares(sizes) / len(sizes),
    )
    sizes = np.array([6, 0, 2, 2])
    case(expected_compared, (sizes,), 4 + 4.4, "Lists of 6, 0, 2 and 2 items", wrong)


@exercise("the best by code, and of these the best by whole vectors")
def check_pq_search(pq_search: Callable) -> None:
    """`pq_search(query [d], codebooks [p, e, d/p], codes [m, p], vectors [m, d], candidates, k) ->
    rows [k]`.

    Source: Engines and dials, "What if memory is short? Codes (PQ)"; codes spelled out.
    """

    def spelled(codebooks, codes):
        return np.array([np.concatenate(codebooks[range(len(row)), row]) for row in codes])

    def first(scores, n):
        return np.argsort(-scores)[:n]

    def few(query, codebooks, codes, n):
        return first(spelled(codebooks, codes) @ query, n)

    def of(sign=1, book=lambda books: books, kept=None):
        def pq_search(query, codebooks, codes, vectors, candidates, k):
            rows = few(sign * query, book(codebooks), codes, kept or candidates)
            return rows[first(sign * vectors[rows] @ query, k)]

        return pq_search

    wrong = mistakes(
        "Are those the best by code? Rank the candidates again by their whole vectors.",
        lambda query, books, codes, vectors, n, k: few(query, books, codes, k),
        "That is the exact search. An item that the codes put behind the candidates is lost.",
        lambda query, books, codes, vectors, n, k: first(vectors @ query, k),
        "Are those places among the candidates? They should be rows.",
        lambda query, books, codes, v, n, k: first(v[few(query, books, codes, n)] @ query, k),
        "Are k items taken by code, and then ranked? Take `candidates`, then rank, then k.",
        of(kept=2),
        "The best are those with the largest products.",
        of(sign=-1),
        "Are all parts looked up in the first codebook? Each has its own.",
        of(book=lambda books: books[[0] * len(books)]),
    )
    codebooks = np.array([[[1.0, 0], [0, 1], [0.7, 0.7]], [[0.1, 0.3], [0.5, 0], [0.3, 0.3]]])
    codes = np.array([[2, 1], [1, 1], [2, 0], [0, 0], [0, 1], [1, 2]])
    tenths = [5, 6, 2, -1], [-1, 8, 7, 0], [9, 7, 1, 3], [10, 4, -1, 7], [10, 3, 9, -1]
    vectors, query = np.array([*tenths, [-1, 10, 2, 5]]) / 10, np.array([0.5, 0.6, 0.7, 0.4])
    what = "Six items, the best two of four candidates"
    # by code 0, 2, 1, 5 come first, though 4 would be the best
    case(pq_search, (query, codebooks, codes, vectors, 4, 2), [2, 1], what, wrong)


class Search:
    """A graph to choose efSearch for: by ef, the `hits` of tuning and of test queries."""

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


@exercise(
    "the smallest value that is surely good enough, measured on queries that did not choose it"
)
def check_choose_ef(choose_ef: Callable) -> None:
    """`choose_ef(search, tuning, test, floor, values) -> (ef, recall on test)`.

    `search(queries [n, d], ef) -> ids [n, k]`. Source: Engines and dials, "What does a dial do?",
    with the interval of `evaluation.paired_difference`: the smallest ef whose recall is surely
    above.
    """

    def recalls(search, sample, ef):
        pairs = zip(sample[1], search(sample[0], ef), strict=True)
        return np.array([np.isin(right, found).mean() for right, found in pairs])

    def low(found):
        return found.mean() - stats.t.ppf(0.975, len(found) - 1) * stats.sem(found)

    def chosen(by, search, sample, told, *rest):
        floor, values = rest
        ef = next(ef for ef in values if by(recalls(search, sample, ef)) > floor)
        return ef, recalls(search, told, ef).mean()

    wrong = mistakes(
        "0.85 of eight queries is not surely above 0.8: the interval's lower end must be.",
        lambda *given: chosen(np.mean, *given),
        "The recall to report is the test queries', which had no part in the choice.",
        lambda search, tuning, test, *rest: chosen(low, search, tuning, tuning, *rest),
        "Was it chosen on the test queries?",
        lambda search, tuning, test, *rest: chosen(low, search, test, tuning, *rest),
        "The smallest value that is good enough, not the best one.",
        lambda *given: chosen(low, *given[:4], given[4][::-1]),
    )
    hits = {
        10: ([5, 9] * 4, [6, 8] * 4),
        20: ([7, 10] * 4, [9] * 8),  # tuning: 0.85, not surely above 0.8; test: surely
        40: ([9, 9, 9, 10] * 2, [8, 9] * 4),
        80: ([10] * 8, [10, 9] * 4),
    }
    search, again, values = Search(hits), Search(hits), (10, 20, 40, 80)
    if refused(choose_ef, again, again.tuning, again.test, 0.8, values):
        raise AssertionError(
            "With efSearch 80 all ten are found, and none is good enough for you. Is place "
            "compared with place? In recall the order does not matter."
        )
    given = search, search.tuning, search.test, 0.8, values
    case(choose_ef, given, (40, 0.85), "efSearch and held-out recall, floor 0.8", wrong)
    if [call for call in search.calls if call[0] == 1] != [(1, 40)]:
        raise AssertionError(
            "The test queries should be asked once, with the value chosen, and not before."
        )
    if not refused(choose_ef, search, search.tuning, search.test, 1.0, values):
        raise AssertionError("No value is surely above 1, so ValueError should be raised.")
