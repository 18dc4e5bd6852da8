"""Claims: a notebook's conclusions as code."""

from __future__ import annotations


def claim(sentence: str, holds: bool) -> None:
    """Print a tick and the sentence, or fail: prose may state only what holds."""
    if not bool(holds):
        raise AssertionError(f"✗ {sentence}")
    print(f"✓ {sentence}")
