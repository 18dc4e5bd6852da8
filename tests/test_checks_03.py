"""Chapter 03's checks: mistakes beside those in the checks, and the references by hand."""

import numpy as np

from course_lib.checks import chapter_03
from course_lib.checks.chapter_03 import NEW, OLD


class Service:
    def __init__(self):
        self.version = []

    def publish(self, network, compute):
        self.version = [network, compute(network)]

    def answer(self, user, k):
        if not self.version:
            raise ValueError("nothing is published")
        network, vectors = self.version
        return [int(row) for row in np.argsort(-(vectors @ network(user)))[:k]]


class NetworkFirst(Service):
    def publish(self, network, compute):
        self.version = [network, self.version[1]] if self.version else []
        self.version = [network, compute(network)]


class ReadTwice(Service):
    def answer(self, user, k):
        if not self.version:
            raise ValueError("nothing is published")
        query = self.version[0](user)
        return np.argsort(-(self.version[1] @ query))[:k]


class GoneMeanwhile(Service):
    def publish(self, network, compute):
        self.version = []
        super().publish(network, compute)


class NoError(Service):
    def answer(self, user, k):
        return super().answer(user, k) if self.version else []


class IndexErrorInstead(Service):
    def answer(self, user, k):
        return [] if self.version[0] is None else super().answer(user, k)


class HalfAtFirst(Service):
    def publish(self, network, compute):
        self.version = self.version or [network, np.zeros((4, 4))]
        super().publish(network, compute)


class Unwritten(Service):
    def publish(self, network, compute):
        raise NotImplementedError


class LosesItMeanwhile(Service):
    """Right when `compute` fails, and mixed while it runs."""

    def publish(self, network, compute):
        before = self.version
        self.version = [network, before[1]] if before else before
        try:
            vectors = compute(network)
        except MemoryError:
            self.version = before
            raise
        self.version = [network, vectors]


class Unpacks(Service):
    def answer(self, user, k):
        network, vectors = self.version  # ValueError as well, before the first version
        return np.argsort(-(vectors @ network(user)))[:k]


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
    "service": [
        (NetworkFirst, "After a night that failed.*the new network searched the old item"),
        (ReadTwice, "the old network searched the new item vectors"),
        (GoneMeanwhile, "After a night that failed: answer stopped with ValueError: nothing"),
        (NoError, "and it returns"),
        (IndexErrorInstead, "should raise ValueError, but answer stopped with IndexError"),
        (Unpacks, "stopped with ValueError: not enough values .* raise ValueError yourself"),
        (HalfAtFirst, "While the first version is computed.*and it returns"),
        (LosesItMeanwhile, "While the new item vectors are computed.*the new network sear"),
        (Unwritten, "not written yet"),
        (lambda: object(), "a method publish"),
    ],
    "choose_ef": [
        (place_by_place, "place compared with place"),
        (looks_before, "asked once"),
        (at_40, "ValueError should be raised"),
    ],
}


def test_a_watched_service_shows_the_steps_of_publish():
    class TwoSteps(Service):
        network = vectors = None

        def publish(self, network, compute):
            vectors = compute(network)
            self.network, self.vectors = network, vectors

        def answer(self, user, k):
            network, vectors = self.network, self.vectors
            if vectors is None:
                raise ValueError("nothing is published")
            return np.argsort(-(vectors @ network(user)))[:k]

    chapter_03.check_service(TwoSteps)  # it holds at every moment that the visible check asks at
    for service_class, mixed in ((TwoSteps, {1, 3}), (Service, set())):
        service = chapter_03.watched(service_class)
        for name, items in (("old", OLD), ("new", NEW), ("old", OLD)):
            chapter_03.publish(service, chapter_03.network(name), lambda _, items=items: items)
        assert set(service.seen) & set(chapter_03.MIXTURES) == mixed
        assert {0, 2} <= set(service.seen)


def test_the_references_against_numbers_by_hand():
    # lists of one item, none and two: the query (1, 0) is nearest to centre 2, then 0, then 1
    centres = np.array([[0.5, 0], [-1, 0], [0.9, 0]])
    store = np.array([[0.1, 0], [0.8, 0], [0.3, 0], [0.2, 0]]), np.array([2, 1, 0, 2]), centres
    for nprobe, k, rows in (
        *((1, 2, [3, 0]), (2, 2, [2, 3]), (3, 2, [1, 2])),
        *((1, 3, [2, 3, 0]), (1, 4, [1, 2, 3, 0])),
    ):
        assert chapter_03.lists_by_hand(np.array([1, 0]), *store, nprobe, k) == rows
    # in every version whole answers are 0 and 2 for ann; crossed ones are the mixtures
    ann = [chapter_03.network(version)("ann") for version in ("old", "new")]
    best = [[int((items @ one).argmax()) for items in (OLD, NEW)] for one in ann]
    assert best == [[0, 3], [1, 2]]
    search = chapter_03.Search({7: ([3, 10], [0])})
    assert (search(search.tuning[0], 7) >= 0).sum(1).tolist() == [3, 10]
    assert (search(search.test[0], 7) >= 0).sum() == 0


def test_faiss_with_given_centres_puts_items_where_the_products_do():
    draw = np.random.default_rng(0)
    vectors, centres = (draw.normal(size=(n, 6)).astype(np.float32) for n in (200, 9))
    index = chapter_03.faiss_lists(vectors, centres)
    sizes = [index.invlists.list_size(c) for c in range(9)]
    assert sizes == np.bincount((vectors.astype(float) @ centres.T).argmax(1), minlength=9).tolist()
