"""Chapter 02's checks: mistakes beside those in the checks, and the references by hand."""

import numpy as np
import pytest
import torch

from course_lib.checks import chapter_02


def in_place(day, items, m, half_life):
    items.sort()
    return 0.0


def steps_in_place(users, items, *rest):
    users += 1
    return 0.0, users, items


OWN = {
    "cosines": [(lambda users, items: items @ users.T, "expected shape")],
    "surprise": [(in_place, "in place")],
    "tower": [
        (lambda features, *rest: features["user"], "expected shape"),
    ],
    "training_step": [
        (lambda users, *rest: (0.0, users), "3 things should come back"),
        (steps_in_place, "in place"),
    ],
}


def test_the_references_against_numbers_by_hand():
    # ann bought 7 and 9, bob 8, cem 7: ann's only negative is 8, cem's are 8 and 9
    bought = chapter_02.bought_in_batch([7, 8, 9, 7], ["ann", "bob", "ann", "cem"])
    assert bought.tolist() == [[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 0, 1]]
    # two pairs at a right angle, τ = 1: logits 1 and 0; a q of one half shifts both alike
    unit, half = torch.eye(2), torch.tensor([0.5, 0.5]).log()
    found = chapter_02.loss_by_hand(unit, unit, half, np.eye(2, dtype=bool), 1.0)
    assert found == pytest.approx(np.log(1 + np.exp(-1)))
    # day 0: 1/2 each; day 2, two half-lives on: item 0 has a quarter, so (1/4 + 1/2) / (1/4 + 1)
    events = [(0, 0), (2, 0)]
    assert chapter_02.surprise_by_hand(events, events, 2, 1.0) == pytest.approx(
        [np.log(2), -np.log(0.6)]
    )
    # two pairs at right angles: own logits 1, others 0, both slopes of 1 / (1 + e) go sideways
    eye, pairs = np.eye(2), np.array([[0, 0], [1, 1]])
    loss, users, items = chapter_02.step_by_hand(eye, eye, pairs, np.zeros(2), 1.0, 0.5)
    away = 0.5 / 2 / (1 + np.e)
    assert loss == pytest.approx(np.log(1 + np.exp(-1)))
    assert users == pytest.approx(np.array([[1, -away], [-away, 1]]), abs=1e-8)
    assert items == pytest.approx(users, abs=1e-8)
