"""The texts of the chapters: what a wrong one is told, what a control shows, and that notebooks and
texts belong together.
"""

import ast
import base64
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pytest
from outputs import Images, compared, sanitized
from PIL import Image

from course_lib import figures, texts

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
TEXTS = {
    path.stem: texts.tomllib.loads(path.read_text("utf-8")) for path in texts.HERE.glob("*.toml")
}
GOOD = """
[alt]
"a line" = "A line that rises, so more is better."

[predict.who]
question = "Who is < 2?"
choices = ["one", "`two` & more"]
answer = 2
because = "See below."

[[quiz]]
question = "First?"
choices = ["a", "b"]
answer = 1
because = "A."

[[quiz]]
question = "Second?"
choices = ["c", "d", "e"]
answer = 3
because = "E."
"""


class Page(HTMLParser):
    """The words of a piece of HTML: `shown` those in sight, `folded` those in <details>; and every
    tag with its attributes. Fails where a tag is closed that is not open, or is left open.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown, self.folded, self.tags, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"script", "style"} & set(self.open):
            (self.folded if "details" in self.open else self.shown).append(data.strip())


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write the texts of chapter 99, in a folder of their own."""
    for kind in ("js", "css"):
        code = (texts.HERE / f"questions.{kind}").read_text("utf-8")
        (tmp_path / f"questions.{kind}").write_text(code, "utf-8")
    monkeypatch.setattr(texts, "HERE", tmp_path)
    return lambda text: (tmp_path / "99.toml").write_text(text, "utf-8")


def displayed(show, *arguments) -> dict[str, str]:
    with mock.patch.object(sys.modules[show.__module__], "display") as display:
        show(*arguments)
    (data,) = display.call_args.args
    return data


# What is shown


def test_a_prediction_shows_its_choices_and_folds_its_answer(written):
    written(GOOD)
    data = displayed(texts.predict, "99", "who")
    page = Page(data["text/html"])
    shown = " ".join(page.shown)
    assert shown == "Predict first Who is < 2? one two & more"
    assert page.folded[0] == "Show the answer"
    assert " ".join(page.folded[1:]) == "The answer is 2. See below."
    assert data["text/plain"] == "Predict first\n\nWho is < 2?\n1. one\n2. `two` & more"


def test_a_quiz_shows_all_its_questions(written):
    written(GOOD)
    data = displayed(texts.quiz, "99")
    page = Page(data["text/html"])
    assert page.shown == ["First?", "a", "b", "Second?", "c", "d", "e"]
    folded = ["The answer is 1. A.", "The answer is 3. E."]
    assert page.folded == ["Show the answer", folded[0], "Show the answer", folded[1]]
    assert data["text/plain"] == "First?\n1. a\n2. b\n\nSecond?\n1. c\n2. d\n3. e"


def test_two_controls_do_not_meet_and_are_the_same_in_every_run(written):
    """No ids, and no names: the radio buttons are grouped by their form. Nothing is fetched."""
    written(GOOD)
    one, again = (displayed(texts.quiz, "99") for _ in range(2))
    assert one == again
    for tag, attributes in Page(one["text/html"]).tags:
        assert not {"id", "name", "src", "href", "action"} & set(attributes), tag
    assert "//" not in one["text/html"]


@pytest.mark.parametrize("alt", ["99: a line", 'A line, "rising", <so> it is'])
def test_a_figure_has_its_alt_text_and_is_drawn_at_twice_its_width(written, alt: str):
    written(GOOD)
    figure, (axes,) = figures.panels(width=4, height=2)
    axes.imshow(np.random.default_rng(0).random((30, 40)), cmap="viridis")
    data = displayed(figures.show, figure, alt)
    (image,) = Images(data["text/html"]).found
    expected = "A line that rises, so more is better." if alt == "99: a line" else alt
    assert image["alt"] == data["text/plain"] == expected
    png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True)
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    assert 0 <= picture.width - 2 * int(image["width"]) <= 1
    whole = io.BytesIO()
    figure.savefig(whole, bbox_inches="tight", dpi=200)
    assert len(png) < len(whole.getvalue())
    true = np.asarray(Image.open(whole).convert("RGB"), dtype=int)
    assert np.abs(np.asarray(picture, dtype=int) - true).max() <= 16  # of 255


def test_the_bytes_of_a_figure_are_not_compared_and_its_alt_text_is(written):
    written(GOOD)
    notebooks = {}
    for name, alt, height in (
        ("", "99: a line", 2),
        ("taller", "99: a line", 3),
        ("other", "A", 2),
    ):
        data = displayed(figures.show, figures.panels(width=4, height=height)[0], alt)
        output = nbformat.v4.new_output("display_data", data)
        cell = nbformat.v4.new_code_cell("show()", outputs=[output])
        notebooks[name] = compared(nbformat.v4.new_notebook(cells=[cell]))
    assert notebooks[""] == notebooks["taller"] != notebooks["other"]
    assert "PICTURE" in sanitized(data["text/html"])


# What a wrong text is told


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[predict.who]", "[predict.whom]", r'99.toml: \[predict\] has no "who"; it has "whom".'),
        ('because = "See below."', "", r"99.toml: \[predict.\"who\"\] has no 'because' that is"),
        ("answer = 2", 'answer = "2"', "has no 'answer' that is a number"),
        ("answer = 2", "answer = 3", "'answer' is 3, not 1 to 2"),
        ("answer = 2", "answer = 0", "'answer' is 0, not 1 to 2"),
        ('["one", "`two` & more"]', '["one"]', "'choices' must be two texts or more"),
        ('["one", "`two` & more"]', "[1, 2]", "'choices' must be two texts or more"),
        ("answer = 2", "answer = 2\nhint = 'no'", "has 'hint', which means nothing here"),
        ("answer = 2", "answer = ", "99.toml is no valid TOML: .*line 8"),
    ],
)
def test_a_wrong_prediction_is_named(written, old: str, new: str, sentence: str):
    assert old in GOOD
    written(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=sentence):
        texts.predict("99", "who")


def test_what_is_not_there_is_named(written):
    written('[alt]\n"a line" = "A line."\n[[quiz]]\nquestion = "Why?"\n')
    for ask, sentence in (
        (lambda: texts.alt("99", "a lime"), r'99.toml: \[alt\] has no "a lime"; it has "a line".'),
        (lambda: texts.predict("99", "who"), r'\[predict\] has no "who"; it has nothing.'),
        (lambda: texts.quiz("99"), r"question 1 of \[\[quiz\]\] has no 'choices' that is a list"),
        (lambda: texts.alt("98", "a line"), "there is no 98.toml in course_lib/texts"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ask()
    written("")
    with pytest.raises(ValueError, match="99.toml has no quiz"):
        texts.quiz("99")


# Notebooks and texts


def uses(path: Path) -> dict[str, list[tuple[str, str]]]:
    """What a notebook's code asks of which file of texts, in order: for its figures, predictions
    and quizzes.
    """
    found = {"alt": [], "predict": [], "quiz": []}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("predict", "quiz"):
                chapter, *name = (ast.literal_eval(argument) for argument in node.args)
                found[ast.unparse(node.func)].append((chapter, *name))
            text = node.value if isinstance(node, ast.Constant) else None
            if named := texts.NAMED.fullmatch(str(text)):
                found["alt"].append(named.groups())
    return found


USES = {path: uses(path) for path in NOTEBOOKS}
OF_CHAPTERS = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]


@pytest.mark.parametrize("chapter", sorted(TEXTS))
def test_every_text_is_used_once_and_by_its_chapter(chapter: str):
    (path,) = (p for p in OF_CHAPTERS if p.stem == chapter or p.stem.startswith(f"{chapter}_"))
    found = USES[path]
    for kind in ("alt", "predict"):
        assert sorted(found[kind]) == [
            (chapter, name) for name in sorted(TEXTS[chapter].get(kind, {}))
        ]
    assert found["quiz"] == [(chapter,)] * ("quiz" in TEXTS[chapter])
    assert set(TEXTS[chapter]) <= {"alt", "predict", "quiz"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_text_that_a_notebook_uses_is_there(path: Path):
    for kind, names in USES[path].items():
        for chapter, *name in names:
            assert kind in TEXTS[chapter] and all(key in TEXTS[chapter][kind] for key in name)


@pytest.mark.parametrize("chapter", sorted(TEXTS))
def test_questions_are_well_made(chapter: str):
    quiz, predictions = (TEXTS[chapter].get(kind) for kind in ("quiz", "predict"))
    assert quiz is None or 3 <= len(quiz) <= 5
    for questions in (quiz or [], list((predictions or {}).values())):
        for question in questions:
            choices = [choice.casefold().strip(" .") for choice in question["choices"]]
            assert 2 <= len(choices) == len(set(choices)) <= 5
            assert question["question"].endswith(("?", ".", ":")) and len(question["because"]) > 20
            texts._checked(question, chapter)
        if len(questions) > 2:
            assert len({question["answer"] for question in questions}) > 1
    for alt in TEXTS[chapter].get("alt", {}).values():
        assert len(alt) > 20 and alt.endswith(".")


@pytest.mark.parametrize("chapter", sorted(TEXTS))
def test_no_cell_gives_an_answer_away(chapter: str):
    """Neither the reason nor an alt text stands in a cell's source."""
    secrets = list(TEXTS[chapter].get("alt", {}).values())
    for question in [*TEXTS[chapter].get("predict", {}).values(), *TEXTS[chapter].get("quiz", [])]:
        secrets.append(question["because"])
    (path,) = (p for p in OF_CHAPTERS if p.stem == chapter or p.stem.startswith(f"{chapter}_"))
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    whole = " ".join(" ".join(sources).split())
    for secret in secrets:
        assert secret not in whole


@pytest.mark.parametrize("path", OF_CHAPTERS, ids=lambda path: path.stem)
def test_the_quiz_stands_between_what_we_saw_and_the_exercises(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    code = [place for place, cell in enumerate(cells) if cell.cell_type == "code"]
    asked = [place for place in code if re.match(r"quiz\(", cells[place].source)]
    assert asked in ([], code[-1:])
    for place in asked:
        assert re.search(r"## What we saw\n.*## Quiz\Z", cells[place - 1].source, re.S)
        assert cells[place + 1].source.startswith("## Exercises\n")


@pytest.mark.parametrize("path", OF_CHAPTERS, ids=lambda path: path.stem)
def test_a_prediction_stands_alone_in_its_cell(path: Path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and re.search(r"^(predict|quiz)\(", cell.source, re.M):
            assert len(ast.parse(cell.source).body) == 1, cell.source
