"""The checks of chapter 03's exercises: a right function passes, each typical mistake gets its
sentence.
"""

import numpy as np
import pytest
from scipy import stats

from course_lib.checks import chapter_03
from course_lib.index import FaissIndex


def best(query, vectors, ids, bought, k):
    """By the library's flat index, asked for more, as a nominator does it."""
    index = FaissIndex("flat")
    index.build(vectors.astype(np.float32), ids)
    found = index.search(query[None].astype(np.float32), k + len(bought))[1][0]
    return [item for item in found.tolist() if item not in set(bought.tolist())][:k]


def ivf_search(query, vectors, owner, centres, nprobe, k):
    near = sorted(range(len(centres)), key=lambda c: -centres[c] @ query)
    enough = next(n for n in range(nprobe, len(near) + 1) if np.isin(owner, near[:n]).sum() >= k)
    scores = np.where(np.isin(owner, near[:enough]), vectors @ query, -np.inf)
    return np.argsort(-scores)[:k]


def expected_compared(sizes):
    sizes = np.asarray(sizes)
    return (
        len(sizes) + sizes.mean() + sizes.var() / sizes.mean()
    )  # the mean, and what unevenness adds


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


def recalls(search, sample, ef):
    found = search(sample[0], ef)
    return np.array(
        [
            len(set(one) & set(other)) / len(one)
            for one, other in zip(sample[1].tolist(), found.tolist(), strict=True)
        ]
    )


def choose_ef(search, tuning, test, floor, values):
    for ef in values:
        sample = recalls(search, tuning, ef)
        error = sample.std(ddof=1) / len(sample) ** 0.5
        if sample.mean() - error * stats.t.ppf(0.975, len(sample) - 1) > floor:
            return ef, recalls(search, test, ef).mean()
    raise ValueError("none is good enough")


RIGHT = {
    "best": best,
    "ivf_search": ivf_search,
    "expected_compared": expected_compared,
    "service": Service,
    "choose_ef": choose_ef,
}


@pytest.mark.parametrize("exercise", RIGHT)
def test_a_right_answer_passes(exercise, capsys):
    getattr(chapter_03, f"check_{exercise}")(RIGHT[exercise])
    assert capsys.readouterr().out.startswith(f"✓ {exercise}: ")


def ranked(scores, ids, k):
    return ids[np.argsort(-scores)[:k]]


def masked_with(value, k_too_large=False):
    def best(query, vectors, ids, bought, k):
        return ranked(np.where(np.isin(ids, bought), value, vectors @ query), ids, k)

    return best


def bought_are_rows(query, vectors, ids, bought, k):
    return ranked(np.where(np.isin(np.arange(len(ids)), bought), -np.inf, vectors @ query), ids, k)


def cut_first(query, vectors, ids, bought, k):
    found = ranked(vectors @ query, ids, k)
    return found[~np.isin(found, bought)]


def rows_not_ids(query, vectors, ids, bought, k):
    return ranked(np.where(np.isin(ids, bought), -np.inf, vectors @ query), np.arange(len(ids)), k)


def worst(query, vectors, ids, bought, k):
    return best(-query, vectors, ids, bought, k)


def everywhere(query, vectors, owner, centres, nprobe, k):
    return np.argsort(-(vectors @ query))[:k]


def places(query, vectors, owner, centres, nprobe, k):
    seen = np.flatnonzero(np.isin(owner, np.argsort(-(centres @ query))[:nprobe]))
    return np.argsort(-(vectors[seen] @ query))[:k]


def one_list(query, vectors, owner, centres, nprobe, k):
    return ivf_search(query, vectors, owner, centres, 1, k)


def never_further(query, vectors, owner, centres, nprobe, k):
    seen = np.flatnonzero(np.isin(owner, np.argsort(-(centres @ query))[:nprobe]))
    return seen[np.argsort(-(vectors[seen] @ query))][:k]


def farthest(query, vectors, owner, centres, nprobe, k):
    return ivf_search(query, vectors, owner, -centres, nprobe, k)


def by_distance(query, vectors, owner, centres, nprobe, k):
    near = -((centres - query) ** 2).sum(1)
    return ivf_search(
        np.append(query, 1),
        np.pad(vectors, [(0, 0), (0, 1)]),
        owner,
        np.pad(near[:, None], [(0, 0), (2, 0)]),
        nprobe,
        k,
    )


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


def chosen_by_mean(search, tuning, test, floor, values):
    good = [ef for ef in values if recalls(search, tuning, ef).mean() > floor]
    return good[0], recalls(search, test, good[0]).mean()


def reports_tuning(search, tuning, test, floor, values):
    return choose_ef(search, tuning, tuning, floor, values)


def chosen_on_test(search, tuning, test, floor, values):
    return choose_ef(search, test, tuning, floor, values)


def the_best(search, tuning, test, floor, values):
    return choose_ef(search, tuning, test, floor, values[::-1])


def place_by_place(search, tuning, test, floor, values):
    for ef in values:
        if (search(tuning[0], ef) == tuning[1]).mean() > floor:
            return ef, (search(test[0], ef) == test[1]).mean()
    raise ValueError("none is good enough")


def looks_before(search, tuning, test, floor, values):
    for ef in values:
        recalls(search, test, ef)
    return choose_ef(search, tuning, test, floor, values)


def takes_the_last(search, tuning, test, floor, values):
    try:
        return choose_ef(search, tuning, test, floor, values)
    except ValueError:
        return values[-1], 1.0


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        ("best", rows_not_ids, "Those are rows"),
        (
            "best",
            lambda query, vectors, ids, bought, k: ranked(vectors @ query, ids, k),
            "Item 7 was bought",
        ),
        ("best", masked_with(0), "give it −∞"),
        ("best", masked_with(-np.inf), "beyond what is left"),
        ("best", bought_are_rows, "taken for rows"),
        ("best", cut_first, "Drop first"),
        ("best", worst, "largest product is the best"),
        ("ivf_search", everywhere, "the wrong search"),
        ("ivf_search", places, "places among the items seen"),
        ("ivf_search", one_list, "Are `nprobe` lists"),
        ("ivf_search", never_further, "until there are four"),
        ("ivf_search", farthest, "nearest list is the one"),
        ("ivf_search", by_distance, "not by distance"),
        ("expected_compared", lambda sizes: len(sizes) + sizes.mean(), "lists of equal size"),
        (
            "expected_compared",
            lambda sizes: expected_compared(sizes) - len(sizes),
            "centres are compared as well",
        ),
        (
            "expected_compared",
            lambda sizes: expected_compared(sizes) - (sizes == 0).sum(),
            "An empty list has a centre",
        ),
        ("expected_compared", lambda sizes: len(sizes) + sizes.max(), "largest list"),
        ("expected_compared", lambda sizes: len(sizes) + (sizes**2).mean(), "not of lists"),
        (
            "service",
            NetworkFirst,
            "After a night that failed.*the new network searched the old item vectors",
        ),
        ("service", ReadTwice, "the old network searched the new item vectors"),
        (
            "service",
            GoneMeanwhile,
            "After a night that failed: answer stopped with ValueError: nothing is published",
        ),
        ("service", NoError, "and it returns"),
        (
            "service",
            IndexErrorInstead,
            "should raise ValueError, but answer stopped with IndexError",
        ),
        ("service", HalfAtFirst, "While the first version is computed.*and it returns"),
        ("service", Unwritten, "not written yet"),
        ("service", lambda: object(), "AttributeError"),
        ("choose_ef", chosen_by_mean, "not surely above"),
        ("choose_ef", reports_tuning, "had no part in the choice"),
        ("choose_ef", chosen_on_test, "chosen on the test queries"),
        ("choose_ef", the_best, "not the best one"),
        ("choose_ef", place_by_place, "place compared with place"),
        ("choose_ef", looks_before, "asked once"),
        ("choose_ef", takes_the_last, "ValueError should be raised"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_03, f"check_{exercise}")(function)


def test_a_question_while_vectors_are_computed_is_asked():
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

    with pytest.raises(
        AssertionError,
        match="While the new item vectors are computed.*the new network searched the old",
    ):
        chapter_03.check_service(LosesItMeanwhile)


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
        for name, items in (
            ("old", chapter_03.OLD),
            ("new", chapter_03.NEW),
            ("old", chapter_03.OLD),
        ):
            chapter_03.publish(service, chapter_03.network(name), lambda _, items=items: items)
        assert set(service.seen) & set(chapter_03.MIXTURES) == mixed
        assert {0, 2} <= set(service.seen)


def test_the_references_against_numbers_by_hand():
    # three lists of one item each and one of two: the query (1, 0) is nearest to centre 2, then 0
    centres, vectors = (
        np.array([[0.5, 0], [-1, 0], [0.9, 0]]),
        np.array([[0.1, 0], [0.8, 0], [0.3, 0], [0.2, 0]]),
    )
    owner = np.array([2, 1, 0, 2])
    found = {(nprobe, k): chapter_03.lists_by_hand(np.array([1, 0]), vectors, owner, centres, nprobe, k) for nprobe, k in
             ((1, 2), (2, 2), (3, 2), (1, 3), (1, 4))}  # fmt: skip
    assert found == {
        (1, 2): [3, 0],
        (2, 2): [2, 3],
        (3, 2): [1, 2],
        (1, 3): [2, 3, 0],
        (1, 4): [1, 2, 3, 0],
    }
    # in every version whole answers are 0 and 2 for ann; crossed ones are the mixtures
    answers = {}
    for who, items in (
        ("old", chapter_03.OLD),
        ("old", chapter_03.NEW),
        ("new", chapter_03.OLD),
        ("new", chapter_03.NEW),
    ):
        answers[who, items is chapter_03.OLD] = int(
            (items @ chapter_03.network(who)("ann")).argmax()
        )
    assert answers == {("old", True): 0, ("old", False): 3, ("new", True): 1, ("new", False): 2}
    search = chapter_03.Search({7: ([3, 10], [0])})
    assert recalls(search, search.tuning, 7).tolist() == [0.3, 1.0] and recalls(
        search, search.test, 7
    ).tolist() == [0.0]


def test_faiss_with_given_centres_puts_items_where_the_products_do():
    draw = np.random.default_rng(0)
    vectors, centres = (draw.normal(size=(n, 6)).astype(np.float32) for n in (200, 9))
    index = chapter_03.faiss_lists(vectors, centres)
    sizes = [index.invlists.list_size(c) for c in range(9)]
    assert sizes == np.bincount((vectors.astype(float) @ centres.T).argmax(1), minlength=9).tolist()
