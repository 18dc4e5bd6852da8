"""The course as a website: `make book`, and what a reader of its pages may rely on."""

import base64
import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import browser
import nbformat
import outputs
import pytest
import traces
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("myst_nb", reason="the website needs myst-nb: pip install -e '.[book]'")
pytest.importorskip(
    "sphinx_book_theme", reason="the website needs sphinx-book-theme: pip install -e '.[book]'"
)
pytest.importorskip(
    "sphinx_copybutton", reason="the website needs sphinx-copybutton: pip install -e '.[book]'"
)
from bs4 import BeautifulSoup  # comes with the theme

from course_lib.texts import HERE, tomllib

sys.path.append(str(Path(__file__).parent.parent / "book"))
from live import LIVE

ROOT = Path(__file__).parent.parent
CHAPTERS, EXERCISES = (
    sorted(ROOT.glob(f"notebooks/{what}.ipynb")) for what in ("*", "exercises/source/*/*")
)
NOTEBOOKS = CHAPTERS + EXERCISES
ACCESSIBLE = (
    "search",
    "book/index",
    "notebooks/00_start_here",
    "notebooks/03_online_nomination",
    "notebooks/exercises/source/02_two_towers/02_two_towers",
    "data/results/README",
)
PAGES = (
    "CONTRIBUTING",
    "data/README",
    *sorted(f"data/{path.parent.name}/README" for path in (ROOT / "data").glob("*/README.md")),
    "notebooks/exercises/README",
    "notebooks/exercises/TEACHERS",
)


class Book:
    """The pages that were built from `source`, and what the builder said on the way."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder, self.kernel_started = folder / "html", folder / "a kernel was started"
        kernels = (
            folder / "kernels" / "python3"
        )  # a kernel that tells, in the place of the real one
        kernels.mkdir(parents=True)
        tell = [
            sys.executable,
            "-c",
            f"open({str(self.kernel_started)!r}, 'w')",
            "{connection_file}",
        ]
        (kernels / "kernel.json").write_text(
            json.dumps({"argv": tell, "display_name": "Python 3", "language": "python"})
        )
        command = [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-c",
            ROOT / "book",
            "-d",
            folder / "cache",
        ]
        environment = os.environ | {"JUPYTER_PATH": str(folder)}
        self.built = subprocess.run(
            [*command, source, self.folder], capture_output=True, text=True, env=environment
        )
        pages = [
            path.relative_to(self.folder).as_posix() for path in sorted(self.folder.rglob("*.html"))
        ]
        self.pages = {
            page: soup(self.folder / page) for page in pages if not page.startswith("_static/")
        }

    def article(self, source: str):
        return self.pages[str(Path(source).with_suffix(".html").as_posix())].find("article")


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The course."""
    return Book(ROOT, tmp_path_factory.mktemp("book"))


def alts(path: Path) -> list[str]:
    """Of the figures of a notebook, from the first to the last."""
    cells = nbformat.read(path, as_version=4).cells
    found = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return sum(map(outputs.alts, found), [])


# The course


def test_no_page_is_heavy(book: Book):
    for path in book.folder.rglob("*.html"):
        assert path.stat().st_size < 3_000_000, path


def test_it_is_built_without_a_warning_and_without_running_anything(book: Book):
    assert book.built.stderr == "" and book.built.returncode == 0
    assert not book.kernel_started.exists()


def test_every_notebook_and_table_of_contents_has_a_page_in_the_sidebar(book: Book):
    landing = book.pages["book/index.html"]
    linked = [(a["href"], a.get_text().strip()) for a in landing.select("nav.bd-links a")]
    for path in NOTEBOOKS:
        title = re.match(r"# (.*)", nbformat.read(path, as_version=4).cells[0].source)[1]
        assert (f"../{path.relative_to(ROOT).with_suffix('.html').as_posix()}", title) in linked
    for page in PAGES:
        assert f"../{page}.html" in [href for href, _ in linked]


def test_the_landing_page_is_the_readme_and_the_front_door_leads_there(book: Book):
    (refresh,) = book.pages["index.html"].select("meta[http-equiv=refresh]")
    assert refresh["content"] == "0; url=book/index.html"
    article, readme = book.article("book/index"), (ROOT / "README.md").read_text("utf-8")
    assert article.h1.get_text().startswith(re.match(r"# (.*)", readme)[1])
    assert (
        "One real result" in article.get_text()
        and len(article.select(".cards > p")) == 4  # the ways in
        and article.img["alt"] == re.search(r"!\[(.*)\]", readme)[1]
    )
    chapters = [a["href"] for a in article.select(".cards li strong a")]
    assert chapters == [
        f"../notebooks/{name}.html"
        for name in re.findall(r"^\| \[.*?notebooks/(\w+)\.ipynb", readme, re.M)
    ]
    assert "Where things are" not in article.get_text()


@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix()
)
def test_figures_keep_their_alt_texts_and_order(book: Book, path: Path):
    shown = book.article(path.relative_to(ROOT)).select(".cell_output img:not(.course-live *)")
    assert [image["alt"] for image in shown] == alts(path)


@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix()
)
def test_what_is_folded_stays_folded_whole(book: Book, path: Path):
    """As many folds as in the notebook, each with its end where it belongs, and Markdown inside
    them is rendered.
    """
    cells = [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if "worked-solution" not in cell.metadata.get("tags", [])
    ]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    article = book.article(path.relative_to(ROOT))
    folds = article.select("details:not(.cell_output *, .hide)")
    summaries = [
        BeautifulSoup(summary, "html.parser").get_text()
        for summary in re.findall(r"<summary>(.*?)</summary>", text)
    ]
    assert [fold.summary.get_text() for fold in folds] == summaries
    for fold in folds:
        assert not fold.select("section, h2, details") and "```" not in fold.get_text()
        assert len(fold.get_text().strip()) > len(fold.summary.get_text())
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    assert len(article.select("details.hide")) == tags.count("hide-input")
    code = [cell for cell in cells if cell.cell_type == "code"]
    inputs = article.select(".cell_input")
    assert len(inputs) == len(code) - tags.count("remove-input")


def test_no_image_is_without_alt_text(book: Book):
    for name, page in book.pages.items():
        for image in page.select("img"):
            assert len(image.get("alt", "")) > 20, name


def test_no_page_and_no_style_asks_another_host(book: Book):
    asks = {
        "script": "src",
        "link": "href",
        "img": "src",
        "iframe": "src",
        "source": "src",
        "object": "data",
        "form": "action",
    }
    for name, page in book.pages.items():
        for tag, attribute in asks.items():
            for element in page.find_all(tag):
                address = element.get(attribute, "")
                assert not re.match(r"(?!data:)\w+:|//", address), (name, address)
        assert not re.search(
            r"mathjax|thebe|plausible|googleapis",
            "".join(str(script) for script in page.select("head")),
            re.I,
        )
    for style in book.folder.rglob("*.css"):
        assert not re.search(
            r"url\(\s*['\"]?(\w+:)?//|@import\s+(url\()?['\"]?(\w+:)?//", style.read_text("utf-8")
        ), style


def test_every_link_leads_to_a_page_and_its_anchor(book: Book):
    for name, page in book.pages.items():
        for element in page.select("[href], [src]"):
            target = element.get("href") or element.get("src")
            if re.match(r"\w+:", target) or target in ("", "#"):
                continue
            path, _, anchor = target.partition("#")
            there = (
                (book.folder / name).parent / re.sub(r"\?.*", "", path)
                if path
                else book.folder / name
            )
            assert there.is_file(), (name, target)
            if anchor:
                assert book.pages[os.path.relpath(there, book.folder).replace(os.sep, "/")].find(
                    id=anchor
                ), (name, target)


@pytest.mark.parametrize("word", ["logQ", "Adagrad", "召回"])
def test_search_knows_the_words_of_the_notebooks(book: Book, word: str):
    index = json.loads(
        (book.folder / "searchindex.js")
        .read_text("utf-8")
        .removeprefix("Search.setIndex(")
        .removesuffix(")")
    )
    found = set()
    for terms in (index["terms"], index["titleterms"]):
        places = terms.get(word.lower(), [])
        found |= {
            index["docnames"][place] for place in ([places] if isinstance(places, int) else places)
        }
    for path in CHAPTERS:
        text = path.read_text("utf-8")
        prose = [
            cell.source for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown"
        ]
        if re.search(rf"\b{word}\b", "\n".join(prose)):
            assert f"notebooks/{path.stem}" in found
        elif not re.search(word, text, re.I):
            assert f"notebooks/{path.stem}" not in found
    assert found


def test_no_solution_no_hidden_test_and_no_reference_is_published(book: Book):
    texts = [cell.source for path in CHAPTERS for cell in nbformat.read(path, as_version=4).cells]
    texts += [(ROOT / f"{page}.md").read_text("utf-8") for page in ("README", *PAGES)]
    secrets = traces.secrets(EXERCISES, texts)
    assert len(secrets) == 3 * len(EXERCISES) and all(
        len(lines) >= 10 for lines in secrets.values()
    )
    modules = sorted(ROOT.glob("course_lib/checks/chapter_*.py"))
    secrets |= traces.references(modules, texts + traces.stubs(EXERCISES))
    assert traces.found(book.folder, sum(secrets.values(), [])) == []


# A book of one page, with what the course may come to have


FIGURES = {
    b"one": "The first of two figures in one cell.",
    b"two": "The second of two figures in one cell.",
}
PROSE = """# 00 · Start

召回, and $x_i = \\frac{1}{2}$, and

$$
\\textcolor{#0072B2}{\\sum_i x_i}
$$

1. An exercise.
   <details><summary>Help</summary>

   - a *list*

   ```python
   a = 1
   ```
   </details>
2. Another."""
CODE = '''def answer():
    """What it does."""
    ### BEGIN SOLUTION
    xyzzy = 42
    return xyzzy
    ### END SOLUTION'''
HIDDEN = """# hidden tests run here
### BEGIN HIDDEN TESTS
assert answer() == 42, "xyzzy"
### END HIDDEN TESTS"""
WORKED = "<details><summary>Worked solution</summary>\n\nIt is called xyzzy.\n</details>"


def widget(text: str):
    view = {
        "application/vnd.jupyter.widget-view+json": {
            "model_id": "0",
            "version_major": 2,
            "version_minor": 0,
        }
    }
    return new_output("display_data", {"text/plain": text} | view)


PYTHON = {
    "kernelspec": {"name": "python3", "display_name": "Python 3"},
    "language_info": {"name": "python"},
}
README = """# A promise

[a chapter](notebooks/00_a.ipynb), [a table](data/a.csv), [a part](#a-part)

## A part

## Where things are
"""


def figure(png: bytes, alt: str):
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return new_output("display_data", {"text/html": f'<img alt="{alt}" src="{source}">'})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Book:
    source = tmp_path_factory.mktemp("small")
    start = [
        new_markdown_cell(PROSE),
        new_code_cell(
            "show()", outputs=[figure(png, alt) for png, alt in FIGURES.items()], execution_count=1
        ),
        new_code_cell(
            "turn()",
            outputs=[
                widget("A widget: open it."),
                widget("nights:   0%|          | 0/78 [00:00<?]"),
            ],
        ),
    ]
    exercises = [
        new_markdown_cell("# Exercises 00 · Start"),
        new_code_cell(CODE),
        new_code_cell(HIDDEN),
    ]
    exercises.append(new_markdown_cell(WORKED, metadata={"tags": ["worked-solution"]}))
    files = {f"{page}.md": f"# {page}\n" for page in PAGES}
    files |= {
        "README.md": README,
        "data/a.csv": "a,b\n",
        "book/index.md": (ROOT / "book" / "index.md").read_text("utf-8"),
    }
    files["notebooks/00_a.ipynb"] = nbformat.writes(new_notebook(cells=start, metadata=PYTHON))
    files["notebooks/exercises/source/00_a/00_a.ipynb"] = nbformat.writes(
        new_notebook(cells=exercises, metadata=PYTHON)
    )
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, "utf-8")
    return Book(source, tmp_path_factory.mktemp("small_book"))


def test_two_figures_in_one_cell(small: Book):
    assert small.built.stderr == "" and small.built.returncode == 0
    images = small.article("notebooks/00_a").select("img")
    shown = [(image["alt"], base64.b64decode(image["src"].partition(",")[2])) for image in images]
    assert shown == [(alt, png) for png, alt in FIGURES.items()]


def test_formulas_are_set_without_a_script_and_chinese_is_chinese(small: Book):
    article = small.article("notebooks/00_a")
    inline, block = article.select("math")
    assert [number.get_text() for number in inline.select("mfrac mn")] == ["1", "2"]
    assert block["display"] == "block" and "∑" in block.get_text() and "召回" in article.get_text()
    assert block.select_one("mstyle")["mathcolor"] == "#0072B2"


def test_a_fold_in_a_list_holds_a_list_and_code(small: Book):
    outer = small.article("notebooks/00_a").ol
    assert len(outer.find_all("li", recursive=False)) == 2
    fold = outer.li.details
    assert (
        fold.select_one("li em").get_text() == "list"
        and "a = 1" in fold.select_one(".highlight").get_text()
    )


def test_a_widget_is_a_sentence_and_a_progress_bar_is_gone(small: Book):
    assert (
        small.article("notebooks/00_a").select_one(".cell_output p em").get_text()
        == "A widget: open it."
    )
    assert "nights" not in small.article("notebooks/00_a").get_text()
    assert not small.pages["notebooks/00_a.html"].select("pre:-soup-contains('widget')")


def test_an_exercise_is_shown_as_it_is_handed_out(small: Book):
    """As nbgrader does: the stub is in its documentation. The source is nowhere: it has the
    solution.
    """
    article = small.article("notebooks/exercises/source/00_a/00_a")
    answer, hidden = (code.get_text().rstrip() for code in article.select(".cell_input pre"))
    stub = '    # YOUR CODE HERE\n    raise NotImplementedError("This is not written yet.")'
    assert answer == f'def answer():\n    """What it does."""\n{stub}'
    assert hidden == "# hidden tests run here"
    assert not small.pages["notebooks/exercises/source/00_a/00_a.html"].select(
        "a[href*='_sources']"
    )
    assert small.pages["notebooks/00_a.html"].select("a[href='../_sources/notebooks/00_a.ipynb']")
    assert traces.found(small.folder, ["xyzzy"]) == []


def test_links_of_the_readme_hold_where_it_is_included(small: Book):
    links = [a["href"] for a in small.article("book/index").select("p a")]
    assert links[0] == "../notebooks/00_a.html" and links[2] == "#a-part"
    assert (small.folder / "book" / links[1]).read_text() == "a,b\n"


# In a browser


@pytest.fixture(scope="module")
def page(book: Book):
    """A browser's page at 127.0.0.1, and in `page.asked` every address that was asked for."""
    if browser.chromium() is None:
        pytest.skip("there is no Chromium here")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=book.folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.sync_playwright() as playwright:
            program = playwright.chromium.launch(
                executable_path=browser.chromium(), args=["--no-sandbox"]
            )
            page = program.new_page(base_url=f"http://127.0.0.1:{server.server_address[1]}")
            page.asked = []
            page.on("request", lambda request: page.asked.append(request.url))
            yield page
            program.close()
        server.shutdown()


def test_a_reader_walks_in_searches_and_unfolds(page):
    page.goto("/")
    page.wait_for_url("**/book/index.html")
    assert page.locator("article img").first.evaluate("image => image.naturalWidth") > 300
    page.locator("article .cards li a").first.click()
    page.wait_for_url("**/notebooks/00_start_here.html")
    fold = page.locator("article details:not(.hide)").first
    assert not fold.locator("p").first.is_visible()
    fold.locator("summary").click()
    assert fold.locator("p").first.is_visible()
    page.goto("/search.html?q=logQ")
    page.locator("#search-results a", has_text="02 · Two towers").first.click()
    page.wait_for_url("**/notebooks/02_two_towers.html*")


def test_pages_fit_a_narrow_window_and_a_dark_room(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark")
    for name in ("book/index", "notebooks/02_two_towers", "notebooks/06_full_versus_incremental"):
        page.goto(f"/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, name
        red, green, blue = map(
            int,
            re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[
                :3
            ],
        )
        assert max(red, green, blue) < 64


def test_a_reader_predicts_and_takes_the_quiz(page):
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.goto("/notebooks/00_start_here.html")
    texts = tomllib.loads((HERE / "00.toml").read_text("utf-8"))
    predict, quiz = page.locator("article .course-questions").all()
    browser.answer(predict, [2])
    browser.expect(predict).to_contain_text("You are right. The answer is 2")
    browser.answer(quiz, [question["answer"] for question in texts["quiz"]])
    browser.expect(quiz).to_contain_text(f"Score: {len(texts['quiz'])} of {len(texts['quiz'])}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_control_can_be_read_in_a_bright_and_in_a_dark_room(page, scheme: str):
    """Text and ground are far enough apart for WCAG's level AA, and the browser draws its radio
    buttons for that ground.
    """
    page.emulate_media(color_scheme=scheme)
    page.goto("/notebooks/00_start_here.html")
    legend = page.locator("article .course-questions legend").first
    text, *grounds = legend.evaluate(
        """element => {
            const found = [getComputedStyle(element).color];
            for (let part = element; part; part = part.parentElement)
                found.push(getComputedStyle(part).backgroundColor);
            return found;
        }"""
    )
    ground = next(colour for colour in grounds if not colour.endswith(" 0)"))
    lighter, darker = sorted(map(luminance, (text, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    assert (luminance(ground) > 0.5) == (scheme == "light")
    assert legend.evaluate("element => getComputedStyle(element).colorScheme") == scheme


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing(page, scheme: str):
    page.emulate_media(color_scheme=scheme)
    for name in ACCESSIBLE:
        page.goto(f"/{name}.html")
        assert not browser.inaccessible(page, "html"), name
    page.locator("article p").first.evaluate(
        "one => { one.style.color = '#777'; one.style.background = '#888'; }"
    )
    assert any("color-contrast" in one for one in browser.inaccessible(page, "html"))


@pytest.mark.parametrize(("name", "number"), LIVE.items())
def test_a_reader_of_the_website_turns_a_widget(page, name: str, number: int):
    """By the keyboard, through all states: each shows what is kept of it; and it fits one screen."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"/notebooks/{name}.html")
    (widget,) = page.locator(".course-live").all()
    kept = soup(ROOT / "book" / "live" / f"{name}-{number}.html")
    known = json.loads(kept.find("script", type="application/json").get_text())
    dials = widget.locator("input, select").all()
    for state in known["states"]:
        for dial, place in zip(dials, state["at"], strict=True):
            while place is not None and (by := place - int(dial.input_value())):
                dial.press("ArrowRight" if by > 0 else "ArrowLeft")
        assert [dial.is_disabled() for dial in dials] == [place is None for place in state["at"]]
        parts = "".join(state["parts"])
        (picture,) = re.findall(r'"#(\d+)"', parts)
        texts = widget.locator(":scope > div").evaluate_all(
            "all => all.map(one => one.textContent)"
        )
        assert "".join(texts).split() == BeautifulSoup(parts, "html.parser").get_text().split()
        assert widget.locator("img").get_attribute("src") == known["pictures"][int(picture)]
    assert widget.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert len(known["states"]) > 15 and widget.bounding_box()["height"] <= 720 - 60


def test_code_can_be_copied(page):
    page.goto("/notebooks/02_two_towers.html")
    cells, buttons = page.locator(".cell_input pre"), page.locator(".cell_input .copybtn")
    assert buttons.count() == cells.count() > 10
    assert all(
        buttons.evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label') || one.dataset.tooltip)"
        )
    )


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_nothing_was_asked_of_another_host(page):
    page.goto("/notebooks/03_online_nomination.html", wait_until="networkidle")
    assert page.asked and not [
        url for url in page.asked if not re.match(r"http://127\.0\.0\.1:|data:|blob:", url)
    ]
