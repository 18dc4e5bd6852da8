"""Chapter 06's checks: mistakes beside those in the checks, and a reference by hand."""

import numpy as np
import pytest

from course_lib.checks.examples import interval


def seeds(pilot, half_width):
    return {0.2: 99, 0.6208: 13, 1.2417: 5, 8.0: 3, 10.0: 2}[half_width]


OWN = {
    "seeds_needed": [
        ((seeds, lambda: np.int64(20)), None),
        ((seeds, lambda: None), "returned None"),
        ((seeds, lambda: "20"), "a whole number above 1"),
        ((seeds, lambda: 1), "a whole number above 1"),
    ],
    "effect": [(lambda *given: 0.02, "4 things should come back, mean, low, high, pairs")],
    "difference_of_differences": [(lambda *given: 0.1, "4 things should come back")],
}


def test_an_interval_is_students():
    # mean 2, standard error 1, and Student's t of 95 % with one degree of freedom is 12.706
    assert interval([1, 3]) == pytest.approx([2, 2 - 12.706, 2 + 12.706, 2], abs=1e-3)
