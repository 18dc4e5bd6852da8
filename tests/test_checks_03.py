"""Chapter 03's checks: mistakes beside those in the checks, and the references by hand."""

import numpy as np

from course_lib.checks import chapter_03


def at_40(search, tuning, test, floor, values):
    return 40, (search(test[0], 40) >= 0).mean()


def looks_before(search, tuning, test, floor, values):
    search(test[0], 10)
    return at_40(search, tuning, test, floor, values)


def place_by_place(search, tuning, test, floor, values):
    good = [ef for ef in values if (search(tuning[0], ef) == tuning[1]).mean() > floor]
    if not good:
        raise ValueError("none is good enough")
    return good[0], 1.0


OWN = {
    "pq_search": [(lambda query, *rest: query, "expected shape")],
    "choose_ef": [
        (place_by_place, "place compared with place"),
        (looks_before, "asked once"),
        (at_40, "ValueError should be raised"),
    ],
}


def test_the_references_against_numbers_by_hand():
    # lists of one item, none and two: the query (1, 0) is nearest to centre 2, then 0, then 1
    centres = np.array([[0.5, 0], [-1, 0], [0.9, 0]])
    store = np.array([[0.1, 0], [0.8, 0], [0.3, 0], [0.2, 0]]), np.array([2, 1, 0, 2]), centres
    for nprobe, k, rows in (
        *((1, 2, [3, 0]), (2, 2, [2, 3]), (3, 2, [1, 2])),
        *((1, 3, [2, 3, 0]), (1, 4, [1, 2, 3, 0])),
    ):
        assert chapter_03.lists_by_hand(np.array([1, 0]), *store, nprobe, k) == rows
    search = chapter_03.Search({7: ([3, 10], [0])})
    assert (search(search.tuning[0], 7) >= 0).sum(1).tolist() == [3, 10]
    assert (search(search.test[0], 7) >= 0).sum() == 0


def test_faiss_with_given_centres_puts_items_where_the_products_do():
    draw = np.random.default_rng(0)
    vectors, centres = (draw.normal(size=(n, 6)).astype(np.float32) for n in (200, 9))
    index = chapter_03.faiss_lists(vectors, centres)
    sizes = [index.invlists.list_size(c) for c in range(9)]
    assert sizes == np.bincount((vectors.astype(float) @ centres.T).argmax(1), minlength=9).tolist()
