"""Every check of every chapter: a right answer passes, and each typical mistake gets its sentence.

The right answers are the exercises' solutions. A typical mistake is a wrong function that stands in
the check beside its sentence; those that need more stand in `OWN` of test_checks_NN.py.
"""

import ast
import importlib
import json
import linecache
import re
from pathlib import Path

import pytest
import torch

from course_lib.checks import guard

SOURCE = Path(__file__).parent.parent / "notebooks" / "exercises" / "source"
CHAPTERS = [path.name[:2] for path in sorted(SOURCE.glob("[01]*"))]
CHECKS = {n: importlib.import_module(f"course_lib.checks.chapter_{n}") for n in CHAPTERS}
OWN = {n: importlib.import_module(f"test_checks_{n}").OWN for n in CHAPTERS}
EXERCISES = [
    (n, name[6:])
    for n, checks in CHECKS.items()
    for name, check in vars(checks).items()
    if name[:6] == "check_" and check.__module__ == checks.__name__
]
MORE = {"seeds_needed": (lambda: 20,), "clear_by_chance": (2,)}  # what else a check is given


def solution(chapter: str, exercise: str):
    """The solution of the exercise's notebook: a function, or a class."""
    (path,) = SOURCE.glob(f"{chapter}_*/*.ipynb")
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    (answer,) = [
        "".join(cell["source"])
        for cell in cells
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == exercise.replace("_", "-")
    ]
    given = ["".join(c["source"]) for c in cells if "nbgrader" not in c["metadata"]]
    nodes = [node for source in given for node in ast.parse(source).body]
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    space = {"__name__": "answers"}
    exec(compile(ast.Module(imports, []), "imports", "exec"), space)
    linecache.cache[str(path)] = len(answer), None, answer.splitlines(True), str(path)
    exec(compile(answer, path, "exec"), space)  # as in a cell, the source can be read
    return space.get(exercise) or space[exercise.title()]


def caught(check, *answer) -> str:
    """What the learner reads: one sentence, and no traceback of the checks."""
    with pytest.raises(AssertionError) as raised:
        check(*answer)
    message = str(raised.value)
    assert raised.value._render_traceback_() == [f"AssertionError: {message}"]
    assert len(raised.traceback) == 2 and raised.value.__suppress_context__
    assert "\n" not in message and message[-1] in "?." and len(message) < 450, message
    return message


@pytest.mark.filterwarnings("ignore")  # a wrong function may divide by 0
@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_a_right_answer_passes_and_each_mistake_is_named(chapter, exercise, monkeypatch, capsys):
    check, more, known = getattr(CHECKS[chapter], f"check_{exercise}"), MORE.get(exercise, ()), {}

    def case(function, given, expected, what, mistakes=None, **options):
        known.update(mistakes or {})
        return guard.case(function, given, expected, what, mistakes, **options)

    monkeypatch.setattr(CHECKS[chapter], "case", case, raising=False)
    check(solution(chapter, exercise), *more)
    assert capsys.readouterr().out.startswith(f"✓ {exercise}: ")
    told = {sentence: caught(check, wrong, *more) for sentence, wrong in known.items()}
    assert [f"{message} || {s}" for s, message in told.items() if not message.endswith(s)] == []
    assert known or OWN[chapter][exercise]


@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_an_answer_of_another_kind_gets_one_sentence(chapter, exercise):
    check = getattr(CHECKS[chapter], f"check_{exercise}")
    for kind in (object(), "a text", [], {}, torch.ones(3)):
        caught(check, lambda *given, kind=kind: kind, *MORE.get(exercise, ()))


@pytest.mark.parametrize(
    ("chapter", "exercise", "answer", "reason"),
    [(n, name, *one) for n, own in OWN.items() for name in own for one in own[name]],
)
def test_a_mistake_that_needs_more_is_named(chapter, exercise, answer, reason, monkeypatch):
    if "waited" in (reason or ""):  # in vain, so it need not be long
        monkeypatch.setattr(CHECKS[chapter], "ANSWER", 2)
    check = getattr(CHECKS[chapter], f"check_{exercise}")
    answer = answer if isinstance(answer, tuple) else (answer, *MORE.get(exercise, ()))
    if reason is None:  # another right answer
        return check(*answer)
    assert re.search(reason, message := caught(check, *answer)), message
