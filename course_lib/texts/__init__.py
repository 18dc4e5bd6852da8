"""What a chapter says without showing it in a cell's source: alt texts of figures, predictions and
the quiz. `NN.toml` has those of chapter NN.

A control needs no kernel and asks no host. Where its script does not run, as in a notebook that
JupyterLab does not trust, the question and the choices stand there as a list, and the answer is
folded.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

from IPython.display import display

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
PAGES = "|".join(sorted(path.stem for path in HERE.glob("*.toml")))
NAMED = re.compile(rf"(\d\d|{PAGES}): (.+)")  # a page's alt text
KEYS = {"question": str, "choices": list, "answer": int, "because": str}


def alt(chapter: str, name: str) -> str:
    """The alt text of a chapter's figure. Raises ValueError if the chapter's file lacks it."""
    return _named(chapter, "alt", name, str)


def predict(chapter: str, name: str) -> None:
    """Ask the reader for a prediction, and tell the answer once there is one. Raises ValueError if
    the chapter's file lacks the question, or a part of it.
    """
    question = _named(chapter, "predict", name, dict)
    _show("Predict first", [_checked(question, f'{chapter}.toml: [predict."{name}"]')])


def quiz(chapter: str) -> None:
    """Ask the questions on a chapter, and count the right answers. Raises ValueError if the
    chapter's file lacks them, or a part of one.
    """
    questions = _read(chapter).get("quiz")
    if not questions or not isinstance(questions, list):
        raise ValueError(f"{chapter}.toml has no quiz; write its questions there, as [[quiz]].")
    checked = [
        _checked(question, f"{chapter}.toml: question {number} of [[quiz]]")
        for number, question in enumerate(questions, 1)
    ]
    _show(None, checked)  # its heading is the page's


def _read(chapter: str) -> dict:
    path = HERE / f"{chapter}.toml"
    if not path.is_file():
        raise ValueError(
            f"there is no {path.name} in course_lib/texts; write it, or correct '{chapter}'."
        )
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is no valid TOML: {error}") from None


def _named(chapter: str, table: str, name: str, kind: type):
    found = _read(chapter).get(table, {})
    if not isinstance(found, dict) or not isinstance(found.get(name), kind):
        there = ", ".join(f'"{key}"' for key in found) or "nothing"
        raise ValueError(f'{chapter}.toml: [{table}] has no "{name}"; it has {there}.')
    return found[name]


def _checked(question: dict, where: str) -> dict:
    """The question itself, if it is whole."""
    for key, kind in KEYS.items():
        if not isinstance(question, dict) or not isinstance(question.get(key), kind):
            words = {str: "a text", list: "a list", int: "a number"}[kind]
            raise ValueError(f"{where} has no '{key}' that is {words}; give it one.")
    if extra := set(question) - set(KEYS):
        raise ValueError(f"{where} has '{min(extra)}', which means nothing here; delete it.")
    choices = question["choices"]
    if len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
        raise ValueError(f"{where}: 'choices' must be two texts or more.")
    if not 1 <= question["answer"] <= len(choices):
        raise ValueError(f"{where}: 'answer' is {question['answer']}, not 1 to {len(choices)}.")
    return question


def _show(heading: str | None, questions: list[dict]) -> None:
    script, style = ((HERE / f"questions.{kind}").read_text("utf-8") for kind in ("js", "css"))
    above = [f"<p><strong>{heading}</strong></p>"] if heading else []
    forms = "\n".join([*above, *map(_form, questions)])
    page = f"""<div class="course-questions">
<style>
{style}</style>
{forms}
<p role="status" class="score"></p>
<script>
{script}</script>
</div>"""
    plain = "\n\n".join([*filter(None, [heading]), *map(_plain, questions)])
    display({"text/html": page, "text/plain": plain}, raw=True)


def _form(question: dict) -> str:
    items = "\n".join(f"<li>{_marked(choice)}</li>" for choice in question["choices"])
    return f"""<form data-answer="{question["answer"]}"><fieldset>
<legend>{_marked(question["question"])}</legend>
<ol>
{items}
</ol>
<details><summary>Show the answer</summary>
<p>The answer is {question["answer"]}. {_marked(question["because"])}</p>
</details>
<p role="status"></p>
</fieldset></form>"""


def _plain(question: dict) -> str:
    choices = [f"{number}. {choice}" for number, choice in enumerate(question["choices"], 1)]
    return "\n".join([question["question"], *choices])


def _marked(text: str) -> str:
    """As HTML, with `code` as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))
