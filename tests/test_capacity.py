"""The estimates of the page Capacity, against what was worked out by hand."""

from pathlib import Path

import nbformat
import pytest

PAGE = Path(__file__).resolve().parent.parent / "notebooks" / "capacity.ipynb"
CELLS = (
    "capacity-01 beyond-43 beyond-46 beyond-50 beyond-54 beyond-55 beyond-56 beyond-58 beyond-66"
    " capacity-day"
)


@pytest.fixture(scope="module")
def page() -> dict:
    """The names that the page's formulas define."""
    sources = {cell.id: cell.source for cell in nbformat.read(PAGE, 4).cells}
    names = {"safety": 5.949 / (0.25 + 10 * (0.25 - 0.039))}  # a flat publish, the furthest off
    for id in CELLS.split():
        exec(sources[id], names)
    return names


def test_the_parts_and_copies_of_ivf(page):
    """288 · 10⁹ bytes in 192 · 10⁹ each: 2 parts. 17 · √(5 · 10⁸) comparisons of 8.4 ns and 0.415
    ms take 3.6 ms of two threads, with the safety factor 18.2 ms; at 23,148 a second, of 16 cores:
    26.4 copies.
    """
    assert page["parts"]("IVF", 10**9) == 2
    assert page["search_seconds"]("IVF", 5 * 10**8) == pytest.approx(0.01822, rel=1e-3)
    assert page["copies"]("IVF", 10**9, 10**8) == 27
    assert page["copies"]("IVF", 10**9, 10**5) == 2


def test_an_upsert_is_put_in_once_in_every_copy_and_a_full_publish_is_built_once(page):
    """100 items at half a second each, in 3 copies; 50 of them touched: 1 s to make, 2 s to find
    their list.
    """
    mine = {"n": 100, "events": 69.3147, "held": 3, "bulk": 0.5, "make": 1, "find": 2}
    before = {name: page[name] for name in mine}
    page.update(mine)
    try:
        vectors, *hours = page["a_day"](1)
        _, *nightly = page["a_day"](0)
        everything = page["a_day"](0, full=24)[1:]
    finally:
        page.update(before)
    assert vectors == pytest.approx(150 / 1e6, rel=1e-4)
    seconds = [50 + 50 * (1 + 2), 50 + 50 * (1 + 3 * 2), 50 + 3 * 50 * (1 + 2)]
    assert [3600 * hour for hour in hours] == pytest.approx(seconds, rel=1e-4)
    assert [3600 * hour for hour in nightly] == pytest.approx([50] * 3)
    assert [3600 * hour for hour in everything] == pytest.approx([1200] * 3)


def test_a_day_of_hourly_upserts_of_the_page(page):
    """24 · 10⁹ · (1 − exp(−1/48)) = 495 million, 235 µs to make and 153 µs to find: 53 hours in a
    copy, 32 hours of them the making; the night's publish takes 56.
    """
    _, one, least, most = page["a_day"](24)
    assert one == pytest.approx(56.2 + 53.3, rel=2e-3)
    assert least == pytest.approx(56.2 + 32.3 + 27 * 21.0, rel=2e-3)
    assert most == pytest.approx(56.2 + 27 * 53.3, rel=2e-3)
