"""Chapter 13's checks: mistakes beside those in the checks, and references by the library."""

import numpy as np
import pytest
import wrong_answers

from course_lib.channels import merge
from course_lib.checks import chapter_13
from course_lib.checks.chapter_13 import NEW, OLD


def by_turns(lists, quotas):
    """A list of turns first, and an array back; with like quotas that is the library's merge."""
    turns = sorted((turn, place, name) for place, name in enumerate(lists)
                   for turn in range(quotas[name]))  # fmt: skip
    names = [name for _, _, name in turns] + [name for name in lists for _ in lists[name]]
    merged = []
    for name in names:
        merged += [item for item in lists[name] if item not in merged][:1]
    return np.array(merged[: len(turns)])


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


def as_arrays(items, vector, visits, k):
    """Event by event, in NumPy; arrays in the place of pairs."""
    found = {"known": [], "new": []}
    for history, basket in visits:
        half = len(basket) // 2
        had = history + basket[:half]
        others = np.setdiff1d(np.arange(len(items)), had)
        scores = [items.numpy()[others] @ vector(seen).numpy() for seen in (history, had)]
        best = [others[np.argsort(-one)[:k]] for one in scores]
        rows = [[item in one for one in best] for item in basket[half:] if half]
        found["known" if history else "new"] += rows
    return {who: np.mean(rows, axis=0) for who, rows in found.items()}


OWN = {
    "merge_channels": [
        (lambda lists, quotas: dict.fromkeys(lists["towers"]), "of another kind|exp")
    ],
    "steps": [
        (lambda day, learned, landed, now: [now], "of another kind than asked for"),
        (lambda *given: [], "expected .* things, and got 1"),
    ],
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
    "stored_and_computed": [
        (as_arrays, None),
        (lambda *given: {"known": (0.0, 1.0)}, "expected the keys"),
    ],
}


def test_a_watched_service_shows_the_steps_of_publish():
    # at every moment that the visible check asks at, it is whole
    chapter_13.check_service(wrong_answers.Service)
    for service_class, mixed in ((wrong_answers.Service, {1, 3}), (Service, set())):
        service = chapter_13.watched(service_class)
        for name, items in (("old", OLD), ("new", NEW), ("old", OLD)):
            chapter_13.publish(service, chapter_13.network(name), lambda _, items=items: items)
        assert set(service.seen) & set(chapter_13.MIXTURES) == mixed
        assert {0, 2} <= set(service.seen)


def test_crossed_versions_answer_otherwise_than_whole_ones():
    # in every version whole answers are 0 and 2 for ann; crossed ones are the mixtures
    ann = [chapter_13.network(version)("ann") for version in ("old", "new")]
    best = [[int((items @ one).argmax()) for items in (OLD, NEW)] for one in ann]
    assert best == [[0, 3], [1, 2]]


@pytest.mark.parametrize("seed", range(5))
def test_with_like_quotas_rounds_are_turns_in_proportion(seed):
    draw = np.random.default_rng(seed)
    lists = {name: draw.permutation(30)[:20].tolist() for name in "abc"}
    quotas = dict.fromkeys(lists, 5)
    assert by_turns(lists, quotas).tolist() == merge(lists, quotas)[0].tolist()
