"""Chapter 01's checks: mistakes beside those in the checks, and the references by hand."""

import numpy as np
import pytest

from course_lib.checks import chapter_01


def without_missing_kinds(hour, day):
    one, other = (np.bincount(kinds) / len(kinds) for kinds in (hour, day))
    return np.abs(one - other).sum() / 2


OWN = {
    "head_share": [(lambda counts, share: counts.sort() or 0.6, "in place")],
    "mix_distance": [(without_missing_kinds, "stopped with ValueError")],
}


def test_the_references_against_numbers_by_hand():
    assert chapter_01.distance([0, 0, 0, 1], [0, 1] * 4) == 0.25  # the chapter's 3 mugs and 1 bag
    assert chapter_01.distance([7], [0, 1]) == 1
    # one event of a day of three: two draws lie 1/3 from the day (2/3 against 1), one lies 2/3
    assert chapter_01.fair_distance(1, [0, 0, 1]) == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)
    # two draws with replacement of a day of two: half of them have both kinds
    assert chapter_01.fair_distance(2, [0, 1], replace=True) == pytest.approx(0.25)
