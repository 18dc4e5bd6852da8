"""Settings of every test run: the threads, and how `pytest --nbval` compares a notebook's outputs."""

import os
from pathlib import Path

import pytest

# Before PyTorch and Faiss are imported, here or in a notebook's kernel: their idle threads must not
# spin against each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SLOWEST = {"test_exercises.py": 0, "test_browser.py": 1, "test_book.py": 2}


def pytest_configure(config):
    config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval_sanitize.cfg")


def pytest_collectstart(collector):
    """Never compare what depends on the machine: warnings, and the bytes of an SVG. (PNG is left
    out by nbval itself.)
    """
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("stderr", "image/svg+xml")


def pytest_collection_modifyitems(items):
    """The slowest files first, so that no worker begins one when the other is done. A name with an
    address in it is refused: two workers of pytest-xdist would collect two tests.
    """
    items.sort(key=lambda item: SLOWEST.get(item.path.name, len(SLOWEST)))
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: name this test's parameters with ids=")
