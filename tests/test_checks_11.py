"""Chapter 11's checks: mistakes beside those in the checks, and the references by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import entr
from sklearn.metrics import mutual_info_score

from course_lib.augment import CorrelatedMask
from course_lib.checks import chapter_11
from course_lib.mutual_information import mutual_information


def of_library(values, bags):
    items = pd.DataFrame({"value": values, "bag": bags}).rename_axis("item")
    return mutual_information(items).loc["value", "bag"]


def left_to_guess(table, hidden, seen):
    """By what the seen fields say, from scikit-learn: H(hidden) − MI."""
    columns = (table[list(names)].to_numpy().tolist() for names in (hidden, seen))
    one, other = (list(map(str, rows)) for rows in columns)
    return mutual_info_score(one, one) - mutual_info_score(one, other)


OWN = {
    "information": [(lambda counts: mutual_info_score(None, None, contingency=counts), None)],
    "masked": [(lambda mi, seed: CorrelatedMask(mi).masked[seed], None)],
    "bag_information": [(of_library, None)],
    "left_to_guess": [
        (left_to_guess, None),
        (lambda *given: left_to_guess(*given) if given[2] else 0.0, "nothing is seen"),
    ],
}


def test_conditional_is_what_scikit_learn_says():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.integers(0, 3, (120, 4)), columns=list("abcd")).replace(2, None)
    for hidden, seen in ((["a"], ["b", "c"]), (["a", "d"], ["b"]), (["c"], [])):
        assert chapter_11.conditional(table, hidden, seen) == pytest.approx(
            left_to_guess(table, hidden, seen)
        )


def test_shared_is_what_scikit_learn_says():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, 90).tolist(), rng.integers(0, 9, 90).tolist()
    assert chapter_11.shared(one, other) == pytest.approx(mutual_info_score(one, other))
    assert chapter_11.shared(one, one) == pytest.approx(entr(np.bincount(one) / 90).sum())
