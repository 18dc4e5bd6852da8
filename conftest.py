"""Settings of every test run: the threads, and how `pytest --nbval` compares a notebook's outputs."""

import os
from pathlib import Path

import pytest

# Before PyTorch and Faiss are imported, here or in a notebook's kernel: their idle threads must not
# spin against each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SLOWEST = ["test_exercises.py", "test_browser.py", "test_bundle.py", "test_hub.py"]
SLOWEST += ["test_grading.py", "15_your_own_log.ipynb", "02_two_towers.ipynb"]


def pytest_configure(config):
    config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval_sanitize.cfg")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Run no notebook twice: where tests/ are run, too, they compare the exercises as these are
    graded, and what has widgets in a browser, if there is one.
    """
    tests = Path(__file__).parent / "tests"
    if collection_path.suffix != ".ipynb" or tests not in map(
        Path.absolute, map(Path, config.args)
    ):
        return None
    from browser import chromium, uses_widgets

    graded = collection_path.match("exercises/source/*/*.ipynb")
    return graded or bool(chromium() and uses_widgets(collection_path)) or None


def pytest_collectstart(collector):
    """Never compare what depends on the machine: warnings, and the bytes of an SVG. (PNG is left
    out by nbval itself.)
    """
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("stderr", "image/svg+xml")


def pytest_collection_modifyitems(items):
    """The slowest files first, then notebooks, so that no worker begins one when the others are
    done. A name with an address in it is refused: two workers of pytest-xdist would collect two
    tests.
    """
    place = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda i: (place.get(i.path.name, len(SLOWEST)), i.path.suffix != ".ipynb"))
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: name this test's parameters with ids=")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A module's tests on one worker, but each of those that grade a chapter on the next that is
    free: together they would take as long as all the others.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid if "::test_marks[" in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log)
