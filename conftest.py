"""Settings of every test run: the threads, and how `pytest --nbval` compares a notebook's outputs."""

import os
from pathlib import Path

import pytest

# Before PyTorch and Faiss are imported, here or in a notebook's kernel: their idle threads must not
# spin against each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure(config):
    config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval_sanitize.cfg")


def pytest_collectstart(collector):
    """Never compare what depends on the machine: warnings, and the bytes of an SVG. (PNG is left
    out by nbval itself.)
    """
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("stderr", "image/svg+xml")


def pytest_collection_modifyitems(items):
    """Refuse a name with an address in it: two workers of pytest-xdist would collect two tests."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: name this test's parameters with ids=")
