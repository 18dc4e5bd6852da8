"""The student bundle holds no solution, no hidden test and no reference, and its checks still judge."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
import traces
import wrong_answers
from nbclient import NotebookClient
from test_mistakes import CHECKS, EXERCISES, MORE, SOURCE, caught, solution

from course_lib.checks import guard

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(SOURCE.glob("*/*.ipynb"))
MODULES = sorted((ROOT / "course_lib" / "checks").glob("chapter_*.py"))
# its inputs are made by the learner's function, so no record knows what a mistake would answer
WITHOUT_SENTENCES = {("14", "follow")}
# parts of a call and of a signature, which checks that are kept have, too
FRAGMENTS = ["found = np.asarray(", "centres: np.ndarray", "with suppress(Killed):"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make student-bundle` makes. Shared: no test may change it."""
    folder = tmp_path_factory.mktemp("bundle") / "student"
    script = ROOT / "notebooks" / "exercises" / "student_bundle.py"
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def bundled(bundle: Path) -> Iterator[dict[str, ModuleType]]:
    """The bundle's checks by chapter, on this process's library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        sys.path.append(str(bundle / "course_lib" / "checks"))  # ranks import them as well
        yield {chapter: importlib.import_module(f"chapter_{chapter}") for chapter in CHECKS}
        sys.path.remove(str(bundle / "course_lib" / "checks"))


def released(bundle: Path, source: Path):
    path = bundle / "notebooks" / "exercises" / "release" / source.stem / source.name
    return nbformat.read(path, as_version=4)


def published() -> list[str]:
    """What students may read: chapters, the library that they teach, and exercises to be done."""
    texts = [
        cell.source
        for path in sorted(ROOT.glob("notebooks/*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
    ]
    library = sorted((ROOT / "course_lib").rglob("*.py"))
    library = [path.read_text("utf-8") for path in library if path not in MODULES]
    return texts + library + traces.stubs(NOTEBOOKS) + FRAGMENTS


# What is not there


def test_no_line_of_a_solution_a_hidden_test_or_a_reference_is_in_it(bundle: Path):
    """Nor of functions that make a typical mistake, which are with the references."""
    secrets = traces.secrets(NOTEBOOKS, published())
    assert len(secrets) == 3 * len(NOTEBOOKS) and all(map(len, secrets.values()))
    references = traces.references(MODULES, published())
    assert all(len(lines) >= 5 for lines in references.values()), {
        p: len(n) for p, n in references.items()
    }
    assert traces.found(bundle, sum([*secrets.values(), *references.values()], [])) == []


def test_nothing_that_can_be_imported_passes_a_check(bundled: dict[str, ModuleType]):
    passed = [
        (chapter, name, exercise)
        for chapter, exercise in EXERCISES
        for name, answer in vars(bundled[chapter]).items()
        if inspect.isfunction(answer) and answer.__module__ == bundled[chapter].__name__
        if not name.startswith("check_") and passes(bundled[chapter], exercise, answer)
    ]
    assert passed == []


def passes(checks: ModuleType, exercise: str, answer: Callable) -> bool:
    try:
        getattr(checks, f"check_{exercise}")(answer, *MORE.get(exercise, ()))
    except AssertionError:
        return False
    return True


def test_nothing_is_for_teachers(bundle: Path):
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*")}
    assert not [
        n for n in names if re.search(r"source|nbgrader|gradebook|__pycache__|^tests|^book", n)
    ]
    texts = ("README.md", "Makefile", "pyproject.toml", "environment.yml")
    for name in (*texts, "notebooks/exercises/README.md"):
        text = (bundle / name).read_text("utf-8")
        assert not re.search(r"TEACHERS|nbgrader|make test|\bpytest\b|sphinx", text), name


# What is there


def test_every_link_leads_somewhere(bundle: Path):
    for path in sorted(bundle.rglob("*.md")) + sorted(bundle.rglob("*.ipynb")):
        text = path.read_text("utf-8")
        if path.suffix == ".ipynb":
            cells = nbformat.reads(text, 4).cells
            text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", text):
            assert (path.parent / target).exists(), (path.relative_to(bundle), target)


def test_make_works_there(bundle: Path):
    for goal in ("help", "lab", "service"):
        done = subprocess.run(["make", "-n", goal], cwd=bundle, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    told = subprocess.run(["make", "help"], cwd=bundle, capture_output=True, text=True).stdout
    assert re.findall(r"^make (\S+)", told, re.M) == ["lab", "service", "clean"]


@pytest.mark.filterwarnings("ignore")  # a wrong function may divide by 0
@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_its_checks_judge_as_ours(chapter, exercise, bundled, monkeypatch, capsys):
    """A right answer passes, and a typical mistake is told the sentence that it is told here."""
    known, name, more = {}, f"check_{exercise}", MORE.get(exercise, ())

    def case(function, given, expected, what, mistakes=None, **options):
        known.update(mistakes or {})
        return guard.case(function, given, expected, what, mistakes, **options)

    answer, check = solution(chapter, exercise), getattr(bundled[chapter], name)
    monkeypatch.setattr(CHECKS[chapter], "case", case, raising=False)
    getattr(CHECKS[chapter], name)(answer, *more)
    check(answer, *more)
    ours, theirs = capsys.readouterr().out.splitlines()
    assert ours == theirs and ours.startswith("✓ ")
    told = {sentence: caught(check, wrong, *more) for sentence, wrong in known.items()}
    if (chapter, exercise) in WITHOUT_SENTENCES:
        return
    assert [f"{message} || {s}" for s, message in told.items() if not message.endswith(s)] == []


def test_a_released_notebook_is_checked_there(bundle: Path):
    """An honest solution gets its ticks; a wrong one gets one sentence, and no code of a check."""
    (source,) = SOURCE.glob("02_*/*.ipynb")
    solved = {
        cell.metadata.nbgrader.grade_id: re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source)
        for cell in nbformat.read(source, as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    notebook = released(bundle, source)
    notebook.cells[0:0] = [
        nbformat.v4.new_code_cell("import course_lib; print(course_lib.__file__)")
    ]
    answers = solved | {"batch-loss": inspect.getsource(wrong_answers.batch_loss)}
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    folder = bundle / "notebooks" / "exercises" / "release" / source.stem
    client = NotebookClient(
        notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=os.environ | {"PYTHONPATH": str(bundle), "PYTHONDONTWRITEBYTECODE": "1"})

    first, *code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert first.outputs[0].text.strip() == str(bundle / "course_lib" / "__init__.py")
    ticks = {
        cell.metadata.nbgrader.grade_id: cell.outputs
        for cell in code
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-check")
    }
    (error,) = ticks.pop("batch-loss-check")
    assert error.ename == "AssertionError" and len(error.traceback) == 1
    assert "mask all that its user bought" in error.traceback[0]
    others = ("cosines", "tower", "training-step", "surprise")
    assert set(ticks) == {f"{exercise}-check" for exercise in others}
    assert all(outputs[0].text.startswith("✓ ") for outputs in ticks.values())
