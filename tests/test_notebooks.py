"""The notebooks' form: what a reader may rely on in every chapter and every exercise notebook."""

import ast
import functools
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from outputs import alts, compared, texts

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
BESIDE = sorted(set((ROOT / "notebooks").glob("*.ipynb")) - set(CHAPTERS))  # without a number
EXERCISES = sorted((ROOT / "notebooks" / "exercises" / "source").glob("*/*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


class Notebook:
    def __init__(self, path: Path) -> None:
        self.path = path
        whole = nbformat.read(path, as_version=4)
        self.metadata, self.cells = whole.metadata, whole.cells
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]
        self.prose = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        self.text = "\n\n".join(self.prose)
        self.opening = self.cells[0].source

    @property
    def stated_seconds(self) -> int:
        (seconds,) = re.findall(r"\*\*Running time:\*\* about (\d+) s\b", self.opening)
        return int(seconds)

    def outputs(self) -> list:
        return [output for cell in self.code for output in cell.outputs]


def is_widget(output) -> bool:
    """A widget to turn, not a progress bar."""
    return WIDGET in output.get("data", {}) and not re.search(
        r"\d+%\|", output["data"].get("text/plain", "")
    )


opened = functools.cache(Notebook)  # shared: no test may change one


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request: pytest.FixtureRequest) -> Notebook:
    return opened(request.param)


@pytest.fixture(params=EXERCISES, ids=lambda path: path.stem)
def exercises(request: pytest.FixtureRequest) -> Notebook:
    return opened(request.param)


SHOWN = {
    *("full_update", "incremental_update", "publish", "nominate", "backward", "step", "train"),
    *("new_state", "replay", "upsert", "build", "search", "softmax_loss", "self_supervised_loss"),
}  # what a folded cell may not call


@pytest.fixture(
    params=CHAPTERS + BESIDE + EXERCISES,
    ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix(),
)
def notebook(request: pytest.FixtureRequest) -> Notebook:
    return opened(request.param)


# What is there


def test_chapters_are_numbered_and_exercises_are_a_chapters():
    numbers = [path.stem[:3] for path in CHAPTERS]
    assert all(re.fullmatch(r"\d\d_", number) for number in numbers)
    assert len(set(numbers)) == len(numbers) >= 10 and numbers[0] == "00_"  # some are to come
    for path in EXERCISES:
        assert path.stem == path.parent.name and ROOT / "notebooks" / path.name in CHAPTERS


def test_a_chapter_opens_and_closes_as_agreed(chapter: Notebook):
    assert re.match(rf"# {chapter.path.stem[:2]} · \w", chapter.opening)
    for part in ("**After this chapter**", "**Before:**", "**Running time:**"):
        assert chapter.opening.count(part) == 1, part
    heads = [
        chapter.text.find(f"\n{part}")
        for part in ("## What we saw", "## Exercises", "## Further reading", "**Next:**")
    ]
    assert -1 not in heads and heads == sorted(heads)


def test_exercises_open_and_close_as_agreed(exercises: Notebook):
    assert re.match(rf"# Exercises {exercises.path.stem[:2]} · \w", exercises.opening)
    for part in ("**Before:**", "**Running time:**"):
        assert exercises.opening.count(part) == 1, part
    last = exercises.cells[-1].source
    assert -1 < last.find("## What you practised") < last.find("**Next:**")


def test_nothing_is_left_to_be_filled_in(notebook: Notebook):
    for cell in notebook.cells:
        assert "@@" not in cell.source


# How long it takes


def test_the_stated_running_time_is_true(notebook: Notebook):
    """Within a factor of two of what tests/refresh_outputs.py measured with the outputs."""
    assert "seconds" in notebook.metadata, "run tests/refresh_outputs.py on it"
    assert 0.5 <= notebook.stated_seconds / max(notebook.metadata.seconds, 1) <= 2
    assert max(notebook.stated_seconds, notebook.metadata.seconds) <= (
        15 if notebook.path in EXERCISES else 90
    )


def test_the_readme_states_the_running_time_of_every_chapter():
    readme = (ROOT / "README.md").read_text("utf-8")
    stated = dict(re.findall(r"^\| \[[^\]]+\]\(notebooks/([^)]+)\).*\| (\d+) s \|$", readme, re.M))
    pages = CHAPTERS + BESIDE
    assert stated == {path.name: str(opened(path).stated_seconds) for path in pages}


# Cells


def lines(code: str) -> int:
    return sum(bool(line.strip()) for line in code.split("\n"))


def test_cells_are_short(notebook: Notebook):
    """As a reader gets them, without solutions and hidden tests: none over 20 lines, and half of
    them at most 6. With those, which a teacher reads, none over 60; nor chapter 15's form to fill
    in, which has one setting a line and is tagged "settings".
    """
    whole = [cell.source for cell in notebook.code]
    read = [
        re.sub(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n.*?### END \1", "", code, flags=re.S)
        for code in whole
    ]
    short = [
        lines(code)
        for code, cell in zip(read, notebook.code, strict=True)
        if "settings" not in cell.metadata.get("tags", [])
    ]
    assert max(short) <= 20 and statistics.median(map(lines, read)) <= 6
    assert len(read) - len(short) == (
        notebook.path.name == "15_your_own_log.ipynb" and notebook.path in CHAPTERS
    )
    assert max(map(lines, whole)) <= 60


@pytest.mark.parametrize("path", CHAPTERS + BESIDE, ids=lambda path: path.stem)
def test_a_chapter_can_be_read_in_one_go(path: Path):
    """At most 2,500 words and 45 cells of code."""
    chapter = opened(path)
    assert len(chapter.text.split()) <= 2_500 and len(chapter.code) <= 45


@pytest.mark.parametrize("number", ["08", "09", "10", "11"])
def test_an_augmentations_chapter_is_short(number: str):
    """At most 1,500 words and 25 cells of code; and its results are in chapter 12, not here."""
    (path,) = (path for path in CHAPTERS if path.stem.startswith(number))
    chapter = Notebook(path)
    assert len(chapter.text.split()) <= 1_500 and len(chapter.code) <= 25
    assert not any(re.search(r"\bresults\b", cell.source) for cell in chapter.code)


def test_cells_that_only_ask_or_draw_are_folded(notebook: Notebook):
    """In JupyterLab and on the website alike. What asks is folded always; and what is folded calls
    nothing that learns, nominates or publishes, which a reader came to see.
    """
    for cell in notebook.code:
        tags = set(cell.metadata.get("tags", [])) & {"remove-input", "hide-input"}
        called = {
            name
            for node in ast.walk(ast.parse(cell.source))
            if isinstance(node, ast.Call)
            for name in [getattr(node.func, "id", getattr(node.func, "attr", ""))]
        }
        asks = bool(called) and called <= {"predict", "quiz"}
        assert ("remove-input" in tags) == asks, cell.source
        assert bool(tags) == cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert not (tags and called & SHOWN), cell.source


def test_cells_are_introduced(notebook: Notebook):
    """No more than three cells of code in a row without a word between them."""
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in notebook.cells)
    assert "cccc" not in kinds


def test_code_is_python_alone(notebook: Notebook):
    """No magic of line, cell or shell, no `?`: IPython finds nothing to rewrite."""
    for cell in notebook.code:
        assert TransformerManager().transform_cell(cell.source).rstrip("\n") == cell.source.rstrip(
            "\n"
        )
        assert "get_ipython" not in cell.source


def test_no_network_and_no_absolute_paths(notebook: Notebook):
    remote = {"ftplib", "http", "httpx", "requests", "socket", "urllib"}
    for cell in notebook.code:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = (
                    [node.module]
                    if isinstance(node, ast.ImportFrom)
                    else [alias.name for alias in node.names]
                )
                assert not remote & {name.split(".")[0] for name in names}
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"\b\w+://|^~?/\w|^[A-Za-z]:[\\/]", node.value), node.value


# Outputs


def test_every_cell_was_run_once_in_order(notebook: Notebook):
    assert [cell.execution_count for cell in notebook.code] == list(
        range(1, len(notebook.code) + 1)
    )


def test_outputs_are_clean(notebook: Notebook):
    """No error, nothing on stderr, and no word of the machine they were made on."""
    for output in notebook.outputs():
        assert output.output_type != "error" and output.get("name") != "stderr"
        for text in texts(output):
            assert not re.search(
                r"(?<![\w.])/(home|mnt|opt|private|root|tmp|usr|Users|var|work)/\w|[A-Z]:\\Users",
                text,
            ), text


def test_progress_bars_are_at_their_end(notebook: Notebook):
    """A reader of the page, who runs nothing, must not think that it is still running."""
    for output in notebook.outputs():
        assert not re.search(r"\b0%\|", output.get("data", {}).get("text/plain", ""))


def test_most_outputs_are_compared(notebook: Notebook):
    ignored = ["nbval-ignore-output" in cell.metadata.get("tags", []) for cell in notebook.code]
    assert sum(ignored) <= len(ignored) / 2


def test_every_figure_has_alt_text(notebook: Notebook):
    for output in notebook.outputs():
        assert all(len(alt) > 20 for alt in alts(output))


def test_every_widget_has_a_static_twin(notebook: Notebook):
    """A figure, in one of the next three cells of code."""
    for place, cell in enumerate(notebook.code):
        if any(map(is_widget, cell.outputs)):
            after = [
                output for later in notebook.code[place + 1 : place + 4] for output in later.outputs
            ]
            assert any(map(alts, after)), cell.source


# Prose


class Html(HTMLParser):
    """The tags of a piece of Markdown, and whether those that were opened were closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(without_code(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes nothing"
        self.open.pop()


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def test_folded_parts_open_and_close(notebook: Notebook):
    for text in notebook.prose:
        html = Html(text)
        assert not html.open, f"<{html.open}> is not closed"
        names = [tag for tag, _ in html.tags]
        assert names.count("details") == names.count("summary")
        # Without an empty line, what is folded would be shown as HTML: no lists, no code.
        for fold in re.findall(r"<details>.*?</summary>\n(.*)\n", text):
            assert not fold.strip(), fold


def test_images_in_prose_have_alt_text(notebook: Notebook):
    for text in notebook.prose:
        for alt in re.findall(r"!\[([^\]]*)\]\(", text):
            assert len(alt) > 20
        for tag, attributes in Html(text).tags:
            assert tag != "img" or len(attributes.get("alt") or "") > 20


def test_links_lead_somewhere(notebook: Notebook):
    text = without_code(notebook.text)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text)
    targets += [
        tag[1][name]
        for tag in Html(notebook.text).tags
        for name in ("href", "src")
        if name in tag[1]
    ]
    for target in targets:
        if not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            there = notebook.path.parent / path if path else notebook.path
            assert there.exists(), target
            if anchor:
                assert anchor in anchors(there), target


def anchors(path: Path) -> set[str]:
    """Jupyter's names for the headings of a notebook."""
    return {
        heading.strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", opened(path).text, re.M)
    }


def test_next_is_the_next_chapter(notebook: Notebook):
    """Of those that exist; or, behind the last chapter, no notebook at all."""
    if notebook.path in BESIDE:
        assert "**Next:**" not in notebook.text
        return
    number = notebook.path.stem[:2]
    linked = re.findall(r"\]\(([^)]*\.ipynb)\)", notebook.text[notebook.text.rindex("**Next:**") :])
    following = [path for path in CHAPTERS if path.stem[:2] > number][:1]
    assert [(notebook.path.parent / link).resolve() for link in linked] == following


# Run


def test_run_again_it_says_the_same():
    """The fastest of those that write files, in a fresh kernel. `make test` runs it by nbval, too:
    what one run leaves behind changes nothing in the next.
    """
    writing = [path for path in CHAPTERS if "tempfile" in path.read_text("utf-8")]
    path = min(writing, key=lambda path: opened(path).metadata.get("seconds", 999))
    committed = nbformat.read(path, as_version=4)
    assert any(compared(committed))
    again = nbformat.read(path, as_version=4)
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(again, timeout=600, resources=resources).execute()
    assert compared(again) == compared(committed)
