"""The course in a real browser: the first screen, and that every widget's controls change what they
must.

A picture after each move is kept in build/screenshots, or where COURSE_ARTEFACTS says. Without
Chromium all this is skipped; COURSE_BROWSER names another browser of its kind.
"""

import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import browser
import nbformat
import pytest
from nbclient import NotebookClient
from outputs import compared
from playwright.sync_api import expect

from course_lib.texts import HERE, tomllib

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
TEXTS = tomllib.loads((HERE / "00.toml").read_text("utf-8"))


WIDGET = ".jp-OutputArea-output .widget-vbox"


class Move(NamedTuple):
    control: str  # its label, or what is written on a button
    to: str | None  # as Panel.turn wants it
    changes: str  # the parts that must show something else
    says: str = ""  # a pattern that the parts' text must then match


class Widget(NamedTuple):
    name: str
    parts: str  # from top to bottom
    moves: list[Move]


EXPLORER = Widget(
    "nomination_explorer",
    "message nominations history picture",
    [
        Move("item", "JUMBO BAG ALPHABET (23201)", ""),
        Move(
            "Buy",
            None,
            "message nominations history picture",
            r"Bought: JUMBO BAG ALPHABET .*Nominations.*first.*\b23201\b",
        ),
        Move(
            "Start again",
            None,
            "message nominations history picture",
            r"Nothing bought yet.* 1\.000 .*latest first\s+nothing",
        ),
        Move("user", "16438", "nominations history picture", "Nominations for 16438"),
    ],
)
INDEX_DIALS = Widget(
    "index_dials",
    "message picture",
    [
        Move("nprobe", "End", "message picture", r"recall (0\.99|1\.00)"),
        Move("index", "hnsw", "message picture", r"recall 0\.[67]"),
        Move("M", "End", "message picture", r"recall 0\.[789]"),
        Move("efSearch", "End", "message picture", r"recall (0\.99|1\.00)"),
    ],
)
CIRCLE_SEARCH = Widget(
    "circle_search",
    "message picture",
    [
        Move("step", "End", "message picture", r"compared 12 of 12, best so far: 3, 2"),
        Move("search", "End", "message picture", r"best so far: 10, 9"),
    ],
)
CAPACITY_DIALS = Widget(
    "capacity_dials",
    "message picture",
    [
        Move("items", "Home", "message picture", r"fewest machines: .*, \d+"),
        Move("daily users", "Home", "picture", r"fewest machines: .*, 2$"),
        Move("requests", "End", "", r"fewest machines: "),
        Move("GiB each", "Home", "", r"fewest machines: "),
    ],
)
DASHBOARD = Widget(
    "production_dashboard",
    "message picture",
    [
        Move("Next hour", None, "message picture", r"\.tfrecord: \d+ events learned"),
        Move("Kill the publisher", None, "message picture", r"v2, .*events learned"),
        Move("Lose an hour", None, "message picture", "no shard has landed"),
        Move("Deliver twice", None, "message picture", "then nothing new"),
        Move("Damage a shard", None, "message picture", "left alone: .*checksum"),
        Move("Clock back", None, "message picture", "from the future: waits"),
        Move("Start again", None, "message picture", "no shard has landed"),
    ],
)


VIEW_EXPLORER = Widget(
    "view_explorer",
    "message table picture",
    [
        Move(
            "item", "REGENCY CAKESTAND 3 TIER (22423)", "message table picture", r"item\s+22423\b"
        ),
        Move("draw", "ArrowDown", "message table picture", r"item\s+22423\b"),
    ],
)


WIDGETS = {
    "03_online_nomination": [CIRCLE_SEARCH, EXPLORER],
    "08_random_mask": [VIEW_EXPLORER],
    "13_a_day_in_production": [DASHBOARD],
    "capacity": [CAPACITY_DIALS],
    "engines": [INDEX_DIALS],
}


def test_every_notebook_with_a_widget_is_in_the_table():
    found = [
        path
        for path in NOTEBOOKS.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts and browser.uses_widgets(path)
    ]
    assert sorted(
        path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in found
    ) == sorted(WIDGETS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Lab]:
    program = browser.chromium()
    if program is None:
        reason = "There is no Chromium here to turn the widgets in; name one by COURSE_BROWSER."
        pytest.skip(reason)
    pictures = Path(os.environ.get("COURSE_ARTEFACTS", ROOT / "build" / "screenshots"))
    with browser.lab(program, NOTEBOOKS, tmp_path_factory.mktemp("lab"), pictures) as lab:
        yield lab


def test_the_first_screen_is_the_course_and_nothing_else(lab: browser.Lab):
    """One address, in few lines; there a picture, and nothing of Jupyter's news or of nbgrader."""
    said = lab.log.read_text()
    (address,) = browser.addresses(lab.log)
    assert said.count("\n") < 8 and urllib.parse.urlparse(address).hostname == "127.0.0.1", said
    page = lab.context.new_page()
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(address)
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    expect(page.locator(".jp-NotebookPanel h1")).to_contain_text("Start here")
    expect(page.locator(".jp-OutputArea-output img").first).to_be_in_viewport(ratio=0.3)
    page.wait_for_timeout(3000)  # for what pops up late
    page.screenshot(path=lab.pictures / "first-screen.png")
    # what the course shows; the rest is JupyterLab's
    assert not browser.inaccessible(page, ".jp-OutputArea, .jp-RenderedMarkdown")
    assert page.locator(".Toastify__toast, .jp-Dialog, .jp-toast-button").count() == 0
    assert not re.search(
        "nbgrader|assignment|validate|news", page.locator("body").inner_text() + titles(page), re.I
    )
    assert [
        page.request.get(f"{lab.api.url}/{path}").status for path in ("lsp/status", "formgrader")
    ] == [200, 404]
    page.close()


def titles(page) -> str:
    return " ".join(page.locator("[title]").evaluate_all("all => all.map(one => one.title)"))


@pytest.mark.parametrize("name", WIDGETS)
def test_a_reader_turns_every_control(lab: browser.Lab, name: str):
    committed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    with lab.opened(name) as notebook:
        ran = notebook.run()
        all_ran(ran)
        assert compared(ran) == compared(committed)
        for panel, widget in zip(notebook.panels(len(WIDGETS[name])), WIDGETS[name], strict=True):
            turn_all(notebook, panel, widget)
        assert not notebook.errors and not notebook.elsewhere and not notebook.logged()


def test_a_reader_predicts_and_takes_the_quiz(lab: browser.Lab):
    """In a notebook that is not trusted, both can be read and nothing is given away; run, they ask
    and tell. The figure has a text for screen readers in both.
    """
    cells = [
        "from course_lib import figures, texts\nfigures.show(figures.pipeline(), '00: pipeline')",
        "texts.predict('00', 'what to offer')",
        "texts.quiz('00')",
    ]
    whole = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
    )
    nbformat.write(NotebookClient(whole, timeout=browser.RUN).execute(), lab.root / "quiz.ipynb")
    right = [question["answer"] for question in TEXTS["quiz"]]
    with lab.opened("quiz") as notebook:
        controls = notebook.page.locator(".course-questions")
        expect(controls).to_have_count(2)
        notebook.picture("untrusted")
        for question in [*TEXTS["predict"].values(), *TEXTS["quiz"]]:
            for text in (question["question"], *question["choices"]):
                expect(controls.get_by_text(text, exact=True)).to_be_visible()
            fold = controls.locator("details", has_text=question["because"])
            expect(fold.locator("p")).to_be_hidden()
            fold.locator("summary").click()
            expect(fold.locator("p")).to_be_visible()
        expect(notebook.page.get_by_role("img", name=TEXTS["alt"]["pipeline"])).to_be_visible()
        all_ran(notebook.run())
        browser.answer(controls.first, [1])
        expect(controls.first).to_contain_text("You chose 1, which is not right. The answer is 2")
        browser.answer(controls.last, [right[0] % len(TEXTS["quiz"][0]["choices"]) + 1, *right[1:]])
        expect(controls.last).to_contain_text(f"Score: {len(right) - 1} of {len(right)}")
        notebook.picture("answered")
        expect(notebook.page.get_by_role("img", name=TEXTS["alt"]["pipeline"])).to_be_visible()
        assert not notebook.errors and not notebook.elsewhere and not notebook.logged()


def test_what_goes_wrong_is_seen(lab: browser.Lab):
    """In a notebook in which everything does."""
    cells = [
        "import sys, time, ipywidgets\nfrom IPython.display import HTML, Javascript, display\ntime.sleep(2)",
        "button = ipywidgets.Button(description='Press', layout={'width': '2em'})\nbutton.on_click(lambda _: 1 / 0)",
        "display(ipywidgets.VBox([button]), Javascript('console.error(\"Oh!\")'))",
        "display(HTML('<img src=\"http://localhost:1/picture.png\">'))",
        "print('Beware', file=sys.stderr)",
        "raise KeyError('here')",
        "print('not reached')",
    ]
    kernel = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
    }  # without one, JupyterLab asks
    whole = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )
    nbformat.write(whole, lab.root / "wrong.ipynb")
    with lab.opened("wrong") as notebook:
        ran = notebook.run().cells
        (panel,) = notebook.panels(1)
        assert panel.controls() == panel.cut_off() == ["Press"] and notebook.logged() is None
        panel.turn("Press", None)
        browser.until(
            notebook.logged, lambda: "nothing is logged", browser.PATIENCE, notebook.pause
        )
    assert notebook.errors[0] == "Oh!" and set(notebook.elsewhere) == {
        "http://localhost:1/picture.png"
    }
    all_ran(nbformat.v4.new_notebook(cells=ran[:4]))
    for cells, wrong in (
        (ran[:5], "Beware"),
        (ran[:4] + ran[5:6], "KeyError: 'here'"),
        (ran[:4] + ran[6:], "None"),
    ):
        with pytest.raises(AssertionError, match=wrong):
            all_ran(nbformat.v4.new_notebook(cells=cells))


def all_ran(notebook: nbformat.NotebookNode) -> None:
    """Every cell, once, in order, without an error and without a word on stderr."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error", (
                f"{cell.source}\n\n{output.ename}: {output.evalue}"
            )
            assert output.get("name") != "stderr", f"{cell.source}\n\n{output.text}"
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def turn_all(notebook: browser.Notebook, panel: browser.Panel, widget: Widget) -> None:
    assert sorted(panel.controls()) == sorted({move.control for move in widget.moves})
    notebook.page.set_viewport_size({"width": 1280, "height": 720})
    panel.to_the_top()
    notebook.picture(f"{widget.name}-0")
    for number, move in enumerate(widget.moves, 1):
        before = panel.shown()
        panel.turn(move.control, move.to)
        await_change(panel, widget, move, before)
        panel.to_the_top()
        notebook.picture(f"{widget.name}-{number}-{move.control.replace(' ', '_')}")
        assert not panel.cut_off() and panel.fits(), move
    assert not browser.inaccessible(notebook.page, WIDGET)


def await_change(panel: browser.Panel, widget: Widget, move: Move, before: list[str]) -> None:
    def missing() -> list[str]:
        parts = zip(widget.parts.split(), before, panel.shown(), strict=True)
        same = [
            part for part, old, new in parts if part in move.changes.split() and new in ("", old)
        ]
        return same + [move.says] * (re.search(move.says, panel.text(), re.S) is None)

    browser.until(
        lambda: not missing(),
        lambda: f"{move}: no change yet of {missing()}",
        browser.PATIENCE,
        panel.notebook.pause,
    )
    panel.notebook.idle()
