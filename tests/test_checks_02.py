"""Chapter 02's checks: mistakes beside those in the checks, and the references by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.checks import chapter_02


def in_place(day, items, m, half_life):
    items.sort()
    return 0.0


OWN = {
    "cosines": [(lambda users, items: items @ users.T, "expected shape")],
    "surprise": [(in_place, "in place")],
    "verdicts": [
        (lambda *given: chapter_02.verdicts_by_hand(*given, 3).sort_index(), "ed the index")
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
    # gaps 1 and 3: mean 2, standard error 1; Student's t of 95 % with one degree of freedom 12.706
    runs = pd.DataFrame({"arm": list("aabb"), "seed": [0, 1, 1, 0], "r": [0.0, 0.0, 3.0, 1.0]})
    (row,) = chapter_02.verdicts_by_hand(runs, "a", "r", 1).to_dict("records")
    assert row == pytest.approx(
        {"mean": 2.0, "low": 2 - 12.7062, "high": 2 + 12.7062, "verdict": "open"}, abs=1e-3
    )
