"""The item map: its table is what its description says, its page is alive without a host, and its
still twin stands where scripts do not run.
"""

import json
import re
from unittest import mock

import browser
import nbformat
import numpy as np
import pandas as pd
import pytest
from helpers import refusal
from make_item_map import vectors
from outputs import Images
from playwright.sync_api import Page, expect, sync_playwright
from sklearn.neighbors import NearestNeighbors

from course_lib import item_map, looks, online_retail
from course_lib.log import EventLog

ALT = "A map for the tests, with some candles."
MARKED = {"bought": ["22423", "85123A"], "nominated": ["20725"]}


def shown(**options) -> dict[str, str]:
    """What `item_map.show` displays, by MIME type."""
    with mock.patch.object(item_map, "display") as display:
        item_map.show(ALT, **options)
    return display.call_args[0][0]


def nearest(points: np.ndarray, k: int = 10) -> np.ndarray:
    """[m, k] rows of each point's nearest others."""
    found = NearestNeighbors(n_neighbors=k).fit(np.asarray(points, float))
    return found.kneighbors(return_distance=False)


# The table


def test_every_item_has_its_place_its_name_and_its_kind(retail: EventLog):
    table = item_map.load()
    assert table.index.tolist() == retail.items.index.tolist() and table.index.is_unique
    assert table["name"].tolist() == retail.items["description"].tolist()
    assert table["kind"].tolist() == item_map.kind(retail.items["label"]).tolist()
    places = table[["x", "y"]]
    assert places.min().tolist() == [0, 0] and places.max().max() == 1000


@pytest.mark.parametrize(
    ("item", "name", "kind"),
    [
        ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "candles and lights"),
        ("22423", "REGENCY CAKESTAND 3 TIER", "kitchen and table"),
        ("20725", "LUNCH BAG RED RETROSPOT", "bags and boxes"),
        ("23574", "PACKING CHARGE", "other"),
    ],
)
def test_a_kind_can_be_read_off_a_name(item: str, name: str, kind: str):
    assert item_map.load().loc[item, ["name", "kind"]].tolist() == [name, kind]


def test_a_label_is_of_one_kind_and_there_are_eight_in_colours_of_their_own():
    labels = " ".join(item_map.LABELS.values()).split()
    assert len(labels) == len(set(labels)) and set(labels) <= set(online_retail.LABELS)
    assert len(item_map.KINDS) == len(set(item_map.KINDS.values())) == 8
    found = item_map.load()["kind"].value_counts(normalize=True)
    assert set(found.index) == set(item_map.KINDS) and found["other"] < 0.2 and found.min() > 0.05


def test_the_plane_keeps_neighbours(retail: EventLog):
    """Towers trained here as the table's were: half of an item's ten nearest are its neighbours on
    the map, and a shuffled map keeps as many as chance. Neighbours are mostly of one kind.
    """
    places, near = item_map.places(retail.items.index), nearest(vectors(retail))
    mixed = np.random.default_rng(0).permutation(places)

    def kept(points: np.ndarray) -> float:
        pairs = zip(near, nearest(points), strict=True)
        return np.mean([len(set(one) & set(other)) for one, other in pairs]) / 10

    assert kept(places) > 0.4 and kept(mixed) < 0.01
    kinds = item_map.load()["kind"].to_numpy()
    same = kinds[nearest(places)] == kinds[:, None]
    assert same.mean() > 3 * (pd.Series(kinds).value_counts(normalize=True) ** 2).sum()


def test_another_logs_items_have_no_place(movies: EventLog):
    assert item_map.places(movies.items.index) is None
    assert item_map.places(["22423", "no such item"]) is None


# A plane of other vectors


def test_the_plane_is_the_one_in_which_vectors_differ_most():
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    vectors = 7 + (rng.normal(size=(400, 5)) * [9, 5, 1, 1, 1]) @ turned
    spread = item_map.Plane(vectors).points.var(0)
    np.testing.assert_allclose(spread, np.linalg.eigvalsh(np.cov(vectors.T, bias=True))[::-1][:2])


def test_another_plane_is_turned_like_the_map():
    """The map itself, mirrored and turned in five dimensions, comes back as it lies on the page."""
    items = item_map.load().index[::7]
    seen = item_map.places(items) * [1, -1]
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0][:2]
    for mirrored in ([1, 1], [-1, 1]):
        plane = item_map.Plane(3 + (seen * mirrored) @ turned, items)
        np.testing.assert_allclose(plane.points, seen - seen.mean(0), atol=1e-6)
        np.testing.assert_allclose(plane.of(3 + (seen * mirrored) @ turned), plane.points)


# The page


def test_the_page_holds_all_that_it_needs_and_is_not_heavy():
    page = shown(steps={"one": {}, "two": MARKED | {"many": item_map.load().index[::3]}})
    assert page["text/plain"] == ALT and len(page["text/html"]) < 400_000
    (image,) = Images(page["text/html"]).found
    assert image["alt"] == ALT and image["src"].startswith("data:image/png;base64,")
    assert not re.search(r"(src|href)=\"(?!data:)|https?:|@import|url\(", page["text/html"])
    data = json.loads(re.search(r"json\">(.*?)</script>", page["text/html"])[1])
    table = item_map.load()
    assert data["names"][0] == f"{table['name'].iloc[0]} ({table.index[0]})"
    assert [*data["colours"]] == [*item_map.KINDS] and data["bright"] == ["many"]
    assert [table.index[row] for row in data["steps"]["two"]["bought"]] == MARKED["bought"]


def test_notebooks_hold_the_page_as_the_library_makes_it_now():
    script, style = (
        (item_map.HERE / f"map.{ending}").read_text("utf-8") for ending in ("js", "css")
    )
    pages = [
        output.data["text/html"]
        for path in sorted((item_map.HERE.parents[1] / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if 'class="item-map"' in output.get("data", {}).get("text/html", "")
    ]
    assert len(pages) >= 2 and all(script in page and style in page for page in pages)


def test_text_from_the_log_ends_no_script():
    table = item_map.load().copy()
    table.iloc[0, 0] = "</script><b>"
    with mock.patch.object(item_map, "load", lambda: table):
        page = shown()["text/html"]
    assert page.count("</script>") == 2 and "<b>" not in page


def test_what_cannot_be_shown_is_refused():
    assert "item 'none' is not on the map" in refusal(item_map.show, ALT, {"bought": ["none"]})
    five = {name: ["22423"] for name in "abcde"}
    assert "tells 4 apart" in refusal(item_map.show, ALT, five)


@pytest.fixture(scope="module")
def pages():
    """A new page of a browser, with the options given."""
    program = browser.chromium()
    if program is None:
        pytest.skip("There is no Chromium here; name one by COURSE_BROWSER.")
    flags = ["--disable-gpu", *browser.AS_ROOT * ["--no-sandbox"]]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=flags)

        def opened(content: str, **options) -> Page:
            page = started.new_context(**options).new_page()
            page.errors, page.asked = [], []
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.on("request", lambda request: page.asked.append(request.url))
            page.set_content(f"<!doctype html><body>{content}")
            return page

        yield opened
        started.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_reader_points_searches_and_goes_through_steps(pages, width: int):
    steps = {"nothing": {}, "purchases": MARKED}
    size = {"width": width, "height": 720}
    page = pages(shown(steps=steps)["text/html"], viewport=size)
    label, said = page.locator(".label"), page.get_by_role("status")
    picture = page.get_by_role("img", name=ALT)
    expect(picture).to_be_visible()
    assert page.locator("circle").count() == len(item_map.load()) + 1  # and the ring
    # every point has its name, and shows it under the pointer
    where, box = item_map.load().loc["22423"], picture.bounding_box()
    x, y = ((place + 18) * box["width"] / 1036 for place in (where["x"], where["y"]))
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(label).to_have_text("REGENCY CAKESTAND 3 TIER (22423)")
    titles = page.locator("circle title").all_text_contents()
    assert sorted(titles) == sorted(f"{n} ({i})" for i, n in item_map.load()["name"].items())
    # by keyboard alone
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(page.locator(".step")).to_have_text("purchases")
    assert page.locator("svg g path").count() == 3
    expect(page.locator(".legend")).to_contain_text("bought (2)")
    page.keyboard.press("Tab")
    page.keyboard.type("regency")
    found = [name for name in item_map.load()["name"] if "REGENCY" in name]
    expect(said).to_contain_text(f"{len(found)} items. Enter shows the next.")
    assert page.locator("circle.match").count() == len(found)
    first = label.text_content()
    page.keyboard.press("Enter")
    expect(said).to_contain_text(f"2 of {len(found)}: ")
    assert label.text_content() != first
    search = page.get_by_label("Search the map:")
    search.fill("no such thing")
    expect(said).to_contain_text("0 items.")
    search.fill("")
    jewellery = page.get_by_role("button", name="jewellery")
    jewellery.click()
    expect(jewellery).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.errors and not page.asked


def test_without_scripts_the_still_twin_stands_there(pages):
    size = {"width": 390, "height": 720}
    page = pages(shown(highlight=MARKED)["text/html"], java_script_enabled=False, viewport=size)
    expect(page.get_by_role("img", name=ALT)).to_be_visible()
    assert page.locator(".item-map").bounding_box()["width"] <= 390


def test_the_still_twin_is_a_map_of_the_same_items():
    (axes,) = item_map.still({"": {"bought": np.array([5])}}).axes
    dots, marked = axes.collections
    assert dots.get_offsets().tolist() == item_map.load()[["x", "y"]].to_numpy().tolist()
    assert marked.get_offsets().tolist() == dots.get_offsets()[5:6].tolist()
    assert axes.yaxis_inverted() and item_map.KINDS["other"] == looks.EIGHT[-1]
