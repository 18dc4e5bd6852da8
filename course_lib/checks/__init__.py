"""Checks of a notebook's claims, of the machine, of code with a planted bug, and of exercises.

- `claim` and `environment` serve every chapter, the `check_…` of `bugs` those with a "Break it".
- `chapter_01` … `chapter_15` check the exercises, and call a learner's function through `guard`.
"""

# ruff: noqa: F401
from course_lib.checks.bugs import (
    check_complement,
    check_discard,
    check_frozen,
    check_full_start,
    check_history,
    check_inner_product,
    check_logq_sign,
    check_past_only,
    check_positive_counted_once,
    check_shuffle,
    check_temperature_first,
    check_ties,
    check_uniform_draw,
    check_unit_length,
    check_version_refused,
    check_views_differ,
    leaking_histories,
)
from course_lib.checks.machine import environment


def claim(sentence: str, holds: bool) -> None:
    """Print a tick and the sentence, or fail: a notebook concludes only what holds."""
    if not bool(holds):
        raise AssertionError(f"✗ does not hold here: {sentence}")
    print(f"✓ {sentence}")
