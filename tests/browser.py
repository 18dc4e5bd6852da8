"""JupyterLab as a reader has it: what `make lab` starts, with nobody's settings, over a copy of
the notebooks, seen by Chromium.

`lab` starts both; `Lab.opened` opens a notebook; `Notebook.run` runs it; `Notebook.panels` are its
widgets; `Panel.turn` moves one of a widget's controls. Whatever takes longer than PATIENCE
(seconds), or RUN for all cells of a notebook, is an error: both are several times what two busy
cores need.
"""

import ast
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import matplotlib.font_manager  # which makes Matplotlib's cache, if there is none
import nbformat
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

COURSE = Path(__file__).parent.parent
PATIENCE, RUN = 120, 600
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
PROMPTS = ".jp-CodeCell .jp-InputArea-prompt"
ROW = ".widget-inline-hbox"  # a control with its label


def chromium() -> str | None:
    """The browser that COURSE_BROWSER names, or the first that is there; None if none is."""
    named = os.environ.get("COURSE_BROWSER")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None)


def uses_widgets(path: Path) -> bool:
    """Whether a notebook's code imports them."""
    source = "\n".join(
        cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
    )
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return bool(names & {"course_lib.widgets", "ipywidgets"})


def until(
    done: Callable[[], object],
    what: Callable[[], str],
    seconds: float,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Return once `done()` is true; after `seconds` fail, and say `what()` is the matter."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"after {seconds} s: {what()}"
        wait(0.2)


@contextmanager
def lab(browser: str, notebooks: Path, scratch: Path, pictures: Path) -> Iterator["Lab"]:
    """A server on this machine alone and a browser, both gone afterwards. `scratch`, an empty
    folder, takes all that they write.
    """
    root = scratch / "course" / "notebooks"
    shutil.copytree(notebooks, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    pictures.mkdir(parents=True, exist_ok=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not re.match("MAKE|MFLAGS|LAB_ARGS|JUPYTER", name)
    }
    folders = [
        "HOME",
        "IPYTHONDIR",
        *(f"JUPYTER_{kind}_DIR" for kind in ("CONFIG", "DATA", "RUNTIME")),
    ]
    folders += [f"JUPYTERLAB_{kind}_DIR" for kind in ("SETTINGS", "WORKSPACES")]
    # Matplotlib's cache stays where it is: to make it anew takes seconds, and may write to a
    # notebook's stderr.
    environment |= {name: str(scratch / name) for name in folders} | {
        "MPLCONFIGDIR": matplotlib.get_cachedir()
    }

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = scratch / "server.log"
    arguments = [
        "--no-browser",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root.parent}",
    ]
    # With the tests' own Python, and without making the environment anew.
    command = [
        "make",
        "-o",
        ".venv/.ready",
        f"BIN={Path(sys.executable).parent}",
        "lab",
        f"LAB_ARGS={shlex.join(arguments)}",
    ]
    with open(log, "w") as file:
        server = subprocess.Popen(command, cwd=COURSE, env=environment, stdout=file, stderr=file)
    try:
        until(
            lambda: server.poll() is not None or addresses(log),
            lambda: f"no JupyterLab\n{log.read_text()}",
            PATIENCE,
        )
        assert server.poll() is None, f"JupyterLab did not start\n{log.read_text()}"
        api = Api(f"http://127.0.0.1:{port}", addresses(log)[-1].partition("token=")[2])
        until(api.answers, lambda: f"no answer\n{log.read_text()}", PATIENCE)
        flags = ["gpu", "quic", "background-networking", "component-update", "sync"]
        flags = (
            [f"--disable-{flag}" for flag in flags]
            + ["--no-first-run"]
            + AS_ROOT * ["--no-sandbox"]
        )
        with sync_playwright() as playwright:
            program = playwright.chromium.launch(
                executable_path=browser, args=flags, env=environment
            )
            yield Lab(
                root,
                log,
                api,
                program.new_context(viewport={"width": 1400, "height": 1000}),
                pictures,
            )
            program.close()
    finally:
        server.terminate()  # which ends the kernels, too
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()


def addresses(log: Path) -> list[str]:
    """Those that the server has printed."""
    return re.findall(r"https?://\S+", log.read_text())


def answer(control: Locator, choices: Sequence[int]) -> None:
    """Answer every question of a control, each by its choice, counted from 1: with the keyboard,
    and look before and after at what a reader sees of the answer.
    """
    forms = control.locator("form")
    expect(forms).to_have_count(len(choices))
    for form, choice in zip(forms.all(), choices, strict=True):
        told, button = form.get_by_role("status"), form.get_by_role("button")
        name = form.locator("legend").inner_text()
        assert control.get_by_role("group", name=name).count() and "answer is" not in name
        assert told.inner_text() == "" and "The answer is" not in form.inner_text()
        expect(button).to_be_disabled()
        radios = form.get_by_role("radio")
        radios.first.focus()
        radios.first.press("Space")
        for _ in range(choice - 1):
            form.locator(":focus").press("ArrowDown")
        expect(radios.nth(choice - 1)).to_be_checked()
        assert told.inner_text() == ""
        form.locator(":focus").press("Tab")
        expect(button).to_be_focused()
        assert button.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
        button.press("Enter")
        expect(told).to_contain_text("The answer is")


def inaccessible(page: Page, part: str) -> list[str]:
    """What axe-core finds against WCAG 2, levels A and AA, in a part of the page: such as text too
    near to its ground, and controls without a name. A rule and an element each.
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core needs pip install -e '.[test]'"
    )
    # a colour on its way to another is not what a reader sees
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    found = axe.Axe().run(page, part, {"runOnly": rules, "resultTypes": ["violations"]}).response
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


class Api:
    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=PATIENCE
        ) as answer:
            return answer.read()

    def answers(self) -> bool:
        try:
            return bool(self.ask("status"))
        except OSError:
            return False


class Lab:
    def __init__(
        self, root: Path, log: Path, api: Api, context: BrowserContext, pictures: Path
    ) -> None:
        self.root, self.log, self.api, self.context, self.pictures = (
            root,
            log,
            api,
            context,
            pictures,
        )
        context.set_default_timeout(1000 * PATIENCE)
        expect.set_options(timeout=1000 * PATIENCE)  # its own is 5 s

    @contextmanager
    def opened(self, name: str) -> Iterator["Notebook"]:
        """The notebook in a new page, its kernel started; both closed afterwards. A picture of the
        page is kept if a test fails.
        """
        page = self.context.new_page()
        try:
            notebook = Notebook(self, page, name)
            # A workspace for each: another notebook's tabs are not opened again, nor its kernel
            # awaited.
            page.goto(
                f"{self.api.url}/lab/workspaces/{Path(name).name}/tree/notebooks/{name}.ipynb?token={self.api.token}"
            )
            notebook.idle()
            yield notebook
        except Exception:
            page.screenshot(path=self.pictures / f"{Path(name).name}-failed.png")
            raise
        finally:
            page.close()
            for session in json.loads(self.api.ask("sessions")):
                self.api.ask(f"sessions/{session['id']}", "DELETE")


class Notebook:
    """`errors`: what the page said in the browser's console, as errors, and raised. `elsewhere`:
    what it asked other hosts for.
    """

    def __init__(self, lab: Lab, page: Page, name: str) -> None:
        self.lab, self.page, self.file, self.name = (
            lab,
            page,
            lab.root / f"{name}.ipynb",
            Path(name).name,
        )
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        here = (
            f"{lab.api.url}/",
            lab.api.url.replace("http", "ws", 1) + "/",
            f"blob:{lab.api.url}/",
            "data:",
        )
        page.on(
            "console", lambda said: self.errors.append(said.text) if said.type == "error" else None
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(here) else self.elsewhere.append(asked.url),
        )

    def idle(self) -> None:
        """Wait for the kernel. Before it is there, "Run All Cells" does nothing."""
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def run(self) -> nbformat.NotebookNode:
        """Run All Cells, by the menu; then save. The notebook as saved: with all its outputs, or
        those up to the first error.
        """
        cells = nbformat.read(self.file, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        folded = [cell for cell in code if cell.metadata.get("jupyter", {}).get("source_hidden")]
        expect(self.page.locator(PROMPTS)).to_have_count(len(code) - len(folded))
        if folded:  # a cell whose code is out of sight has no star
            self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^View$")).click()
            self.page.locator('.lm-Menu-item[data-command="notebook:show-all-cell-code"]').click()
            expect(self.page.locator(PROMPTS)).to_have_count(len(code))
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        self.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        # All cells are queued at once: when no star is left, the run is over, well or not.
        waiting = self.page.locator(PROMPTS, has_text="[*]")
        waiting.first.wait_for(state="attached")
        expect(waiting).to_have_count(0, timeout=1000 * RUN)
        self.idle()
        before = self.file.stat().st_mtime_ns
        self.page.locator('[data-jp-item-name="save"]').click()
        saved = []

        def whole() -> bool:
            # The server empties the file before it writes the notebook.
            if self.file.stat().st_mtime_ns > before:
                with suppress(nbformat.reader.NotJSONError):
                    saved.append(nbformat.read(self.file, as_version=4))
            return bool(saved)

        until(whole, lambda: "not saved", PATIENCE, self.pause)
        return saved[-1]

    def panels(self, count: int) -> list["Panel"]:
        """The widgets, from top to bottom, once there are `count` of them. Progress bars are no
        vertical boxes, and a column inside a widget is none of its own.
        """
        boxes = self.page.locator(".jp-OutputArea-output .widget-vbox:not(.widget-vbox *)")
        expect(boxes).to_have_count(count)
        return [Panel(self, boxes.nth(place)) for place in range(count)]

    def logged(self) -> str | None:
        """JupyterLab's count of messages that no cell shows, such as an error in a widget's
        callback; None if there are none.
        """
        count = self.page.locator(".jp-LogConsoleStatusItem:not(.lm-mod-hidden) [title]")
        return count.get_attribute("title") if count.count() else None

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.lab.pictures / f"{self.name}-{name}.png")

    def pause(self, seconds: float) -> None:
        """Unlike time.sleep, let the page go on."""
        self.page.wait_for_timeout(1000 * seconds)


class Panel:
    """A widget of several controls, and parts that show something: texts, tables, pictures."""

    def __init__(self, notebook: Notebook, box: Locator) -> None:
        self.notebook, self.box = notebook, box
        self.to_the_top()

    def to_the_top(self) -> None:
        self.box.evaluate("box => box.scrollIntoView({block: 'start'})")

    def controls(self) -> list[str]:
        """The label of each, or what is written on a button."""
        kinds = "select, input, textarea, [role=slider], .widget-button"
        label = "(control.closest(row)?.querySelector('.widget-label') ?? control).textContent"
        return self.box.evaluate(
            f"(box, [kinds, row]) => [...box.querySelectorAll(kinds)].map(control => {label})",
            [kinds, ROW],
        )

    def shown(self) -> list[str]:
        """What each part shows, as HTML; "" for one with a picture that isn't drawn."""
        return self.box.evaluate(
            """box => [...box.querySelectorAll(".widget-html-content")].map(part =>
                [...part.querySelectorAll("img")].every(one => one.naturalWidth) ? part.innerHTML : "")
            """
        )

    def text(self) -> str:
        return " ".join(self.box.locator(".widget-html-content").all_inner_texts()).strip()

    def turn(self, name: str, to: str | None) -> None:
        """Press a button (`to` is None), by the keyboard; a key on a list, or one of its choices;
        type a text.
        """
        if to is None:
            self.box.get_by_role("button", name=name, exact=True).press("Space")
            return
        control = self.box.get_by_label(name, exact=True)
        before = control.input_value()
        if to in ("Home", "End", "ArrowDown"):
            control.press(to)
            expect(control).not_to_have_value(before)
        elif "widget-dropdown" in control.locator("..").get_attribute("class").split():
            assert before != to, f"{to} is chosen already"
            control.select_option(to)
        else:
            control.fill(to)
            control.press("Enter")

    def fits(self) -> bool:
        """Whether all of it is seen at once."""
        room = self.box.page.locator(".jp-WindowedPanel-outer").first.bounding_box()
        return self.box.bounding_box()["height"] <= room["height"]

    def cut_off(self) -> list[str]:
        """What has less room than it needs: labels, buttons, read-outs, texts, a choice of a list,
        and the panel itself.
        """
        return self.box.evaluate(
            """box => {
                const canvas = document.createElement("canvas").getContext("2d"); const cut =
                [...box.querySelectorAll(".widget-label, button, .widget-readout, input"), box]
                    .filter(part => part.scrollWidth > part.clientWidth).map(part => part.value ||
                    part.textContent);
                for (const list of box.querySelectorAll("select")) {
                    const style = getComputedStyle(list); canvas.font = style.font; const room =
                    list.clientWidth - parseFloat(style.paddingLeft) -
                    parseFloat(style.paddingRight); cut.push(...[...list.options].map(option =>
                    option.text).filter(text => canvas.measureText(text).width > room));
                }
                return cut;
            }
            """
        )
