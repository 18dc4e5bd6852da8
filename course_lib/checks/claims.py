"""What a notebook concludes."""

from __future__ import annotations


def claim(sentence: str, holds: bool) -> None:
    """Print a tick and the sentence, or fail: a notebook concludes only what holds."""
    if not bool(holds):
        raise AssertionError(f"✗ does not hold here: {sentence}")
    print(f"✓ {sentence}")
