"""The exercises: their form, the students' version, and nbgrader's marks for right, untouched and
typically wrong answers.

Nothing here writes into the course directory: nbgrader runs in copies of it.
"""

import ast
import inspect
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import wrong_answers as wrong
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde, GenerateAssignment
from outputs import compared
from traitlets.config import PyFileConfigLoader

COURSE = Path(__file__).parent.parent / "notebooks" / "exercises"
CHAPTERS = [
    "01_the_log_and_its_tail",
    "02_two_towers",
    "03_online_nomination",
    "04_full_update",
    "05_incremental_update",
    "06_full_versus_incremental",
    "07_self_supervision",
    "08_random_mask",
    "09_dropout",
    "10_complementary",
    "11_correlated_mask",
    "12_which_augmentation",
    "13_a_day_in_production",
    "14_beyond_one_machine",
    "15_your_own_log",
]
FOUND = sorted(path.name for path in (COURSE / "source").glob("*") if path.is_dir())
STUB = '# YOUR CODE HERE\nraise NotImplementedError("This is not written yet.")'
PASS_THE_CHECK = {"head-share", "service"}  # wrong answers that only the hidden tests see
REGION = re.compile(
    r"^[ \t]*### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)^[ \t]*### END \1$", re.M | re.S
)

each_chapter = pytest.mark.parametrize("chapter", FOUND)


def read(chapter: str, course: Path = COURSE, step: str = "source"):
    return nbformat.read(course / step / chapter / f"{chapter}.ipynb", as_version=4)


def grade_id(cell) -> str:
    marks = cell.metadata.get("nbgrader")
    return marks.get("grade_id", "") if isinstance(marks, dict) else ""


def kind(cell) -> str:
    """md, help, worked, code, solution, check or hidden."""
    if cell.cell_type == "markdown":
        worked = "worked-solution" in cell.metadata.get("tags", [])
        return (
            "worked"
            if worked
            else "help"
            if cell.source.startswith("<details><summary>Help: common mistakes")
            else "md"
        )
    if not grade_id(cell):
        return "code"
    return (
        "solution"
        if cell.metadata.nbgrader["solution"]
        else "hidden"
        if grade_id(cell).endswith("-hidden")
        else "check"
    )


def graded(notebook) -> dict[str, int]:
    return {
        grade_id(c): c.metadata.nbgrader["points"]
        for c in notebook.cells
        if c.metadata.get("nbgrader", {}).get("grade")
    }


def exercises(notebook) -> list[list]:
    """The cells of each exercise, from its heading to the next."""
    starts = [i for i, cell in enumerate(notebook.cells) if re.match(r"## \d+ · ", cell.source)]
    end = next(
        i
        for i, cell in enumerate(notebook.cells)
        if cell.source.startswith("## What you practised")
    )
    return [
        notebook.cells[one:other] for one, other in zip(starts, [*starts[1:], end], strict=True)
    ]


def solution_lines(cell) -> list[str]:
    """The lines of code between BEGIN and END, without their comments."""
    lines = [
        without_comment(line)
        for _, body in REGION.findall(cell.source)
        for line in body.split("\n")
    ]
    return [line for line in lines if line]


def without_comment(line: str) -> str:
    return re.sub(r"(^|  )# .*", "", line.strip()).strip()


def is_sentence(text: str) -> bool:
    """Readable by a student: one line of several words, whole."""
    return "\n" not in text and text.count(" ") >= 3 and text.rstrip("`)")[-1] in ".?!…"


def wrong_answers(chapter: str) -> dict[str, tuple[str, list[str]]]:
    """Of three exercises, by grade_id: the source of the wrong answer, and what it must lose."""
    answers, found = (
        {grade_id(cell) for cell in read(chapter).cells if kind(cell) == "solution"},
        {},
    )
    for name, answer in vars(wrong).items():
        exercise = name.lower().replace("_", "-")
        if exercise in answers and answer.__module__ == wrong.__name__:
            lost = [f"{exercise}-check"] * (exercise not in PASS_THE_CHECK) + [f"{exercise}-hidden"]
            found[exercise] = inspect.getsource(answer), lost
    return found


# -- form ------------------------------------------------------------------------------------------
# -------------------


def test_every_chapter_has_its_exercises():
    assert FOUND == CHAPTERS


@each_chapter
def test_form_of_the_notebook(chapter: str):
    notebook, path = read(chapter), COURSE / "source" / chapter
    opening, closing = notebook.cells[0].source, notebook.cells[-1].source
    assert [file.name for file in path.iterdir() if file.name[0] != "."] == [f"{chapter}.ipynb"]
    assert (COURSE.parent / f"{chapter}.ipynb").exists()
    assert re.match(rf"# Exercises {chapter[:2]} · \S", opening) and "**Before:**" in opening
    assert closing.startswith("## What you practised") and "**Next:**" in closing
    for cell in notebook.cells:
        for target in (
            re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", cell.source)
            if cell.cell_type == "markdown"
            else []
        ):
            assert target.startswith("http") or (path / target).exists(), target
        assert (
            cell.source.count("<details>")
            == cell.source.count("</details>")
            == cell.source.count("<summary>")
        )
        assert (
            not re.search(r"https?://|^\s*[!%]", cell.source, re.M) or cell.cell_type == "markdown"
        )


@each_chapter
def test_form_of_each_exercise(chapter: str):
    notebook = read(chapter)
    parts, ids = exercises(notebook), [grade_id(cell) for cell in notebook.cells if grade_id(cell)]
    assert 3 <= len(parts) <= 5
    assert len(ids) == len(set(ids)) == sum(grade_id(cell) != "" for part in parts for cell in part)
    for number, cells in enumerate(parts, 1):
        title, line = cells[0].source.split("\n")[0], cells[0].source.split("\n")[2]
        assert title.startswith(f"## {number} · "), title
        assert re.fullmatch(r"\*\d+ min · (●○○|●●○|●●●) · practises: .+\*", line), (
            f"{title}: {line}"
        )
        order = " ".join(kind(cell) for cell in cells)
        assert re.fullmatch(
            r"md( code| md)* solution( code| md)*( check)+( hidden)+ help worked", order
        ), f"{title}: {order}"
        (answer,) = [cell for cell in cells if kind(cell) == "solution"]
        name = grade_id(answer)
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert [what for what, _ in REGION.findall(answer.source)] and solution_lines(answer), name
        tests = {grade_id(cell): cell for cell in cells if kind(cell) in ("check", "hidden")}
        assert {f"{name}-check", f"{name}-hidden"} <= set(tests) and all(
            test.startswith(f"{name}-") for test in tests
        ), name
        assert all(
            cell.metadata.nbgrader["points"] > 0 and cell.metadata.nbgrader["locked"]
            for cell in tests.values()
        ), name
        assert f"chapter_{chapter[:2]}.check_" in tests[f"{name}-check"].source, name
        hidden = tests[f"{name}-hidden"].source
        assert re.match(
            r"# hidden tests of .+\n### BEGIN HIDDEN TESTS\n", hidden
        ) and hidden.endswith("### END HIDDEN TESTS"), name
        assert cells[-1].source.startswith("<details><summary>Worked solution</summary>")


def told(chapter: str) -> list[tuple[str, int, str, str]]:
    """(title, minutes, dots, what it practises) of each exercise."""
    line = r"## \d+ · (.+)\n\n\*(\d+) min · ([●○]+) · practises: (.+)\*"
    found = [re.match(line, cells[0].source).groups() for cells in exercises(read(chapter))]
    return [(title, int(minutes), *rest) for title, minutes, *rest in found]


@each_chapter
def test_the_first_exercise_is_the_easiest(chapter: str):
    (_, minutes, dots, _), *others = told(chapter)
    assert dots == "●○○"
    assert all(minutes <= more and dots.count("●") <= d.count("●") for _, more, d, _ in others)


def test_no_two_exercises_are_the_same():
    every = [exercise for chapter in FOUND for exercise in told(chapter)]
    for part in (0, 3):
        names = [exercise[part] for exercise in every]
        assert len(set(names)) == len(names)


@each_chapter
def test_worked_solutions_are_the_solutions(chapter: str):
    """What is explained is what was tested: every line of code of the solution stands in the worked
    solution.
    """
    for cells in exercises(read(chapter)):
        blocks = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", cells[-1].source, re.M | re.S))
        ast.parse(blocks)
        (answer,) = [cell for cell in cells if kind(cell) == "solution"]
        shown = {without_comment(line) for line in blocks.split("\n")}
        missing = [line for line in solution_lines(answer) if line not in shown]
        assert not missing, f"{grade_id(answer)}: {missing}"


@each_chapter
def test_outputs_of_the_source(chapter: str):
    notebook = read(chapter)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    for cell in code:
        kinds = {
            output.output_type if output.output_type != "stream" else output.name
            for output in cell.outputs
        }
        assert not kinds & {"error", "stderr"}, cell.source  # nbgrader gives 0 for a warning, too
        # what a graded cell shows as its value, nbgrader takes for the points
        assert kinds <= {"stdout"} or grade_id(cell) == "", cell.source
        if kind(cell) == "check":
            assert "✓ " in cell.outputs[0].text
    ignored = sum("nbval-ignore-output" in cell.metadata.get("tags", []) for cell in code)
    assert ignored <= len(code) / 2


@each_chapter
def test_running_time_is_what_it_says(chapter: str):
    notebook = read(chapter)
    stated = int(
        re.search(r"\*\*Running time:\*\* about (\d+) s", notebook.cells[0].source).group(1)
    )
    assert notebook.metadata["seconds"] <= 15
    assert stated / 2 <= notebook.metadata["seconds"] <= stated * 2


@each_chapter
def test_form_of_the_wrong_answers(chapter: str):
    notebook, answers = read(chapter), wrong_answers(chapter)
    assert len(answers) == 3
    for code, lost in answers.values():
        assert is_sentence(ast.get_docstring(ast.parse(code).body[0]))
        assert set(lost) <= set(graded(notebook))


# -- nbgrader --------------------------------------------------------------------------------------
# -------------------


def nbgrader(course: Path, *arguments: str, patience: int = 300) -> str:
    """Run a command of nbgrader in a copy of the course directory; what it logs."""
    own = {
        name: str(course / ".jupyter")
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(
        command,
        cwd=course,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    return done.stdout + done.stderr


def copy_of_course(folder: Path, *chapters: str) -> Path:
    folder.mkdir()
    shutil.copy(COURSE / "nbgrader_config.py", folder)
    for chapter in chapters:
        shutil.copytree(COURSE / "source" / chapter, folder / "source" / chapter)
    return folder


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A course directory with the students' version of every chapter. Shared, by all workers of
    pytest-xdist as well: no test may change it.
    """
    folder = tmp_path_factory.getbasetemp()
    course = (folder if worker_id == "master" else folder.parent) / "released"
    with FileLock(f"{course}.lock"):
        if not (course / "log.txt").exists():
            copy_of_course(course, *FOUND)
            log = nbgrader(course, "generate_assignment", "*")
            (course / "log.txt").write_text(log, "utf-8")
    return course


def solutions(chapter: str) -> dict[str, str]:
    """The solution of each exercise, by its id."""
    return {
        grade_id(cell): re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.M)
        for cell in read(chapter).cells
        if kind(cell) == "solution"
    }


def submit(course: Path, student: str, chapter: str, answers: dict[str, str]) -> None:
    """The students' version with other text in the cells named."""
    notebook = read(chapter, course, "release")
    for cell in notebook.cells:
        cell.source = answers.get(grade_id(cell), cell.source)
    folder = course / "submitted" / student / chapter
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{chapter}.ipynb")


def marks(course: Path, chapter: str, student: str) -> dict[str, tuple[float, float]]:
    """Of each graded cell, by its grade_id: the points given, the points there are."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        found = gradebook.find_submission_notebook(chapter, chapter, student)
        assert not found.needs_manual_grade
        return {grade.name: (grade.score, grade.max_score) for grade in found.grades}


def errors(course: Path, chapter: str, student: str) -> dict[str, tuple[str, str]]:
    """Of each graded cell that failed, by its grade_id: the last error's name and message."""
    found = {}
    for cell in read(chapter, course, f"autograded/{student}").cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and kind(cell) in ("check", "hidden"):
                found[grade_id(cell)] = (output.ename, output.evalue)
    return found


@each_chapter
def test_the_students_version_holds_no_solution(chapter: str, released: Path):
    source, log = read(chapter), (released / "log.txt").read_text("utf-8")
    assert (released / "release" / chapter).exists(), log[-3000:]
    student = read(chapter, released, "release")
    assert [cell.source for cell in student.cells if cell.cell_type == "markdown"] == [
        cell.source for cell in source.cells if kind(cell) in ("md", "help")
    ]
    assert not any(cell.get("outputs") for cell in student.cells)
    text = "\n".join(cell.source for cell in student.cells)
    for word in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN", "Worked solution", "worked-solution"):
        assert word not in text + str([cell.metadata for cell in student.cells]), word
    # The task and the code that goes with it may show a line that the solution has as well (a bug
    # to be mended); help may not.
    shown = "\n".join(
        REGION.sub("", cell.source) for cell in source.cells if kind(cell) not in ("help", "worked")
    )
    secret = {
        line
        for cell in source.cells
        for line in solution_lines(cell)
        if len(line) > 12 and line not in shown
    }
    assert secret
    assert [line for line in sorted(secret) if line in text] == []
    for cell in student.cells:
        if kind(cell) == "solution":
            assert STUB in re.sub(r"^ +", "", cell.source, flags=re.M), cell.source


@each_chapter
def test_marks(chapter: str, released: Path, tmp_path: Path):
    """Two students in one run of `nbgrader autograde`: who solved everything, and saw what the
    source shows, though the cells were copied, split, emptied and deleted on the way; who got three
    wrong, and did not touch the others. (That the others' marks stay when some are wrong is tested
    in test_grading.py.)
    """
    source, wrong_ones, solved = read(chapter), wrong_answers(chapter), solutions(chapter)
    course = copy_of_course(tmp_path / "course", chapter)
    shutil.copytree(released / "release" / chapter, course / "release" / chapter)
    shutil.copy(released / "gradebook.db", course)
    submit(course, "solved", chapter, solved)
    wrongly = {name: f"{solved[name]}\n\n\n{code}" for name, (code, _) in wrong_ones.items()}
    submit(course, "wrong", chapter, wrongly)
    # in the next chapter, another way comes first
    handle(course, "solved", chapter, solved, COSTLESS)
    untouched = [name for name in solved if name not in wrong_ones]
    gone, untouched = untouched[:1], untouched[1:]
    handle(course, "wrong", chapter, gone, COSTLY)
    log = nbgrader(course, "autograde", chapter)
    for student in ("solved", "wrong"):
        # two kernels that start at once may choose the same port; the student is then left out
        if not (course / "autograded" / student / chapter / f"{chapter}.ipynb").exists():
            log += nbgrader(course, "autograde", chapter, "--student", student)

    points = graded(source)
    try:
        found = {student: marks(course, chapter, student) for student in ("solved", "wrong")}
    except MissingEntry:
        pytest.fail(log[-3000:])
    failed = {student: errors(course, chapter, student) for student in found}
    assert found["solved"] == {name: (most, most) for name, most in points.items()}, failed[
        "solved"
    ]
    assert seen(read(chapter, course, "autograded/solved"), source) == seen(source, source)

    wrong_tests = {name for _, names in wrong_ones.values() for name in names}
    empty_tests = {name for name in points if name.rpartition("-")[0] in untouched}
    lost = {name for name in points if name.rpartition("-")[0] in gone} | wrong_tests | empty_tests
    assert {name for name, (given, most) in found["wrong"].items() if given < most} == lost, failed[
        "wrong"
    ]
    assert all(found["wrong"][name][0] == 0 for name in lost)
    for name in wrong_tests:
        error, message = failed["wrong"][name]
        assert error == "AssertionError" and is_sentence(message), (name, error, message)
    for name in empty_tests:
        error, message = failed["wrong"][name]
        # the stub's own error has no message, and needs none
        assert error in ("NotImplementedError", "AssertionError") and is_sentence(message), (
            name,
            message,
        )
    shown = [cell.get("outputs") for cell in read(chapter, course, "autograded/wrong").cells]
    assert "guard.py" not in str(shown)


def seen(notebook, source) -> dict[str, str]:
    """What the graded cells print, and those that were given, as the source has them."""
    given = {cell.source for cell in source.cells if kind(cell) == "code"}
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and (kind(cell) in ("check", "hidden") or cell.source in given)
    ]
    words = compared(new_notebook(cells=cells))
    kept = [cell for cell in cells if "nbval-ignore-output" not in cell.metadata.get("tags", [])]
    return {grade_id(c) or c.source: said for c, said in zip(kept, words, strict=True)}


# -- the configuration
# ------------------------------------------------------------------------------------------------


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])  # the file adds to it
    return PyFileConfigLoader("nbgrader_config.py", path=str(COURSE)).load_config()


def test_worked_solutions_are_removed_before_anything_is_recorded(config):
    names = [step.__name__ for step in GenerateAssignment(config=config).preprocessors]
    assert names == [
        "RemoveWorkedSolutions",
        *[step.__name__ for step in GenerateAssignment().preprocessors],
    ]
    assert names.index("SaveCells") < names.index(
        "ClearHiddenTests"
    )  # so that hidden tests are in the database

    remove = GenerateAssignment(config=config).preprocessors[0]()
    cells = [
        new_markdown_cell("kept"),
        new_markdown_cell("gone", metadata={"tags": ["worked-solution"]}),
        new_markdown_cell("kept", metadata={"tags": ["another"]}),
        new_code_cell("gone", metadata={"tags": ["another", "worked-solution"]}),
        new_code_cell("kept"),
    ]
    notebook, resources = remove.preprocess(new_notebook(cells=cells), {"some": "thing"})
    assert [cell.source for cell in notebook.cells] == ["kept", "kept", "kept"]
    assert resources == {"some": "thing"}


def test_the_course_directory_is_the_configurations(config):
    assert Path(config.CourseDirectory.root) == COURSE.resolve()


ANSWERS = {  # each can be split into two cells at its empty line
    "double": "two = 2\n\ndef double(x):\n    return two * x",
    "half": "one_half = 0.5\n\ndef half(x):\n    return one_half * x",
}
TESTS = ["double-check", "double-hidden", "half-check", "half-hidden"]
FULL = dict.fromkeys(TESTS, (2, 2))


def an_exercise(name: str, examples: list[str]) -> list:
    answer = dict(
        schema_version=3, task=False, grade_id=name, grade=False, solution=True, locked=False
    )
    test = dict(schema_version=3, task=False, grade=True, solution=False, locked=True, points=2)
    check, hidden = (
        f"assert {name}({x}) == {y}, '{y} is {name} of {x}.'" for x, y in map(str.split, examples)
    )
    sources = {
        f"{name}-check": check,
        f"{name}-hidden": f"# hidden tests\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS",
    }
    return [
        new_markdown_cell(f"## {name}"),
        new_code_cell(
            f"### BEGIN SOLUTION\n{ANSWERS[name]}\n### END SOLUTION", metadata={"nbgrader": answer}
        ),
        *[
            new_code_cell(source, metadata={"nbgrader": test | {"grade_id": id}})
            for id, source in sources.items()
        ],
        new_markdown_cell("Worked solution", metadata={"tags": ["worked-solution"]}),
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two released exercises with all kinds of cells; they import nothing, so that a kernel starts
    soon.
    """
    course = copy_of_course(tmp_path_factory.mktemp("small") / "course")
    (course / "source" / "small").mkdir(parents=True)
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    cells = (
        an_exercise("double", ["2 4", "3 6"])
        + an_exercise("half", ["8 4.0", "6 3.0"])
        + [new_markdown_cell("The end.")]
    )
    nbformat.write(
        new_notebook(cells=cells, metadata=kernel), course / "source" / "small" / "small.ipynb"
    )
    log = nbgrader(course, "generate_assignment", "small")
    assert "hidden" in read("small", course, "release").cells[3].source, log[-3000:]
    return course


def changed(course: Path, student: str, change: Callable[[list], list]) -> None:
    """Let the student do something to the cells that were handed in."""
    path = course / "submitted" / student / "small" / "small.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = change(notebook.cells)
    nbformat.write(notebook, path)


def test_what_students_do_to_tests_does_not_help(small: Path, tmp_path: Path):
    """Tests come from the database, whatever was submitted: changed, emptied, deleted, or priced
    higher.
    """
    course = shutil.copytree(small, tmp_path / "course")
    answers = {
        "endless": "def double(x):\n    while x == 3:\n        pass\n    return 2 * x",
        "changes": "def double(x):\n    return 0",
        "deletes": "def double(x):\n    return 4",
    }
    for student, answer in answers.items():
        submit(course, student, "small", ANSWERS | {"double": answer})

    def emptied(cells: list) -> list:
        for cell in cells[2:4]:
            cell.source, cell.metadata.nbgrader["points"] = "pass", 100
        return cells

    changed(course, "changes", emptied)
    changed(
        course,
        "deletes",
        lambda cells: [cell for cell in cells if kind(cell) not in ("check", "hidden")],
    )
    log = nbgrader(course, "autograde", "small", "--Execute.timeout=3")

    found = {student: marks(course, "small", student) for student in answers}
    check, hidden = TESTS[:2]
    assert found == {
        "endless": FULL | {hidden: (0, 2)},
        "changes": FULL | {check: (0, 2), hidden: (0, 2)},
        "deletes": FULL | {hidden: (0, 2)},
    }, log[-3000:]
    doubled = {check: "4 is double of 2.", hidden: "6 is double of 3."}
    wrong = {name: ("AssertionError", message) for name, message in doubled.items()}
    assert errors(course, "small", "changes") == wrong
    assert errors(course, "small", "deletes") == {
        hidden: wrong[hidden]
    }  # right for the visible example only
    ((name, (error, message)),) = errors(course, "small", "endless").items()
    assert (name, error) == (hidden, "TimeoutError") and is_sentence(message)


def test_two_processes_grade_into_one_gradebook(small: Path, tmp_path: Path):
    """With the patterns of the teachers' page, each has its part of the students and no other."""
    course = shutil.copytree(small, tmp_path / "course")
    for number in range(6):
        answers = ANSWERS if number % 3 else {"double": ANSWERS["double"]}
        submit(course, f"student{number}", "small", answers)
    page = (COURSE / "TEACHERS.md").read_text("utf-8")
    parts = re.findall(r"^nbgrader autograde \w+ --student '(.*?)'", page, re.M)
    assert len(parts) == 2
    with ThreadPoolExecutor(2) as pool:
        logs = pool.map(
            lambda part: nbgrader(course, "autograde", "small", "--student", part), parts
        )
    begun = sorted("".join(re.findall(r"Autograding .*/student(\d)/", log)) for log in logs)
    assert begun == ["024", "135"]
    half = FULL | dict.fromkeys(TESTS[2:], (0, 2))
    assert [marks(course, "small", f"student{n}") for n in range(6)] == [half, FULL, FULL] * 2


# -- what happens to cells
# --------------------------------------------------------------------------------------------


def copy(cell):
    return nbformat.from_dict(cell | {"id": secrets.token_hex(4)})


def split(cells: list, place: int) -> list:
    """As JupyterLab does it: both parts keep the metadata."""
    parts = [copy(cells[place]) for _ in range(2)]
    for part, source in zip(parts, cells[place].source.split("\n\n"), strict=True):
        part.source = source
    return [*cells[:place], *parts, *cells[place + 1 :]]


def exercise(cells: list, name: str) -> tuple[int, list[int]]:
    """Where the answer of an exercise is, and where its tests are."""
    names = [grade_id(cell) for cell in cells]
    return names.index(name), [i for i, one in enumerate(names) if one.rpartition("-")[0] == name]


def split_anywhere(cells: list, name: str) -> list:
    """An answer in two cells; a single statement is parted from a comment before it."""
    place, _ = exercise(cells, name)
    text = cells[place].source
    second = ([0] + [node.lineno - 1 for node in ast.parse(text).body])[-1]
    lines = text.splitlines()
    texts = "\n".join(lines[:second]).strip() or "# mine", "\n".join(lines[second:])
    parts = [copy(cells[place]) for _ in range(2)]
    for part, source in zip(parts, texts, strict=True):
        part.source = source
    return [*cells[:place], *parts, *cells[place + 1 :]]


def copied(cells: list, name: str) -> list:
    """The answer, and its tests, stand there once more: the copies are the learner's first try."""
    place, tests = exercise(cells, name)
    tries = [copy(cells[one]) for one in (place, *tests)]
    tries[0].source = "# a first try\nraise NotImplementedError"
    return [*cells[:place], *tries, *cells[place:]]


def with_text(cells: list, places: list[int], text: str) -> list:
    for place in places:
        cells[place].source = text
    return cells


def without(cells: list, places: list[int]) -> list:
    return [cell for place, cell in enumerate(cells) if place not in places]


# What a learner may do to the cells of an exercise: without cost, and at the cost of its points.
COSTLESS = {
    "copied": copied,
    "split": split_anywhere,
    "tests emptied": lambda cells, name: with_text(cells, exercise(cells, name)[1], ""),
    "tests deleted": lambda cells, name: without(cells, exercise(cells, name)[1]),
}
COSTLY = {
    "emptied": lambda cells, name: with_text(cells, [exercise(cells, name)[0]], ""),
    "deleted": lambda cells, name: without(cells, [exercise(cells, name)[0]]),
}


def handle(course: Path, student: str, chapter: str, names: list[str], ways: dict) -> None:
    """Change the cells of exercises that were handed in, of each in another way."""
    path = course / "submitted" / student / chapter / f"{chapter}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for number, name in enumerate(names, int(chapter[:2])):
        notebook.cells = list(ways.values())[number % len(ways)](notebook.cells, name)
    nbformat.write(notebook, path)


@each_chapter
def test_whatever_is_done_to_cells_the_tests_stay(chapter: str, released: Path):
    """Every test of the chapter is as it was, there once, behind its own answer; and of the other
    exercises the answers are as they were handed in.
    """
    answers = solutions(chapter)
    tests = {
        grade_id(cell): cell.source
        for cell in read(chapter).cells
        if kind(cell) in ("check", "hidden")
    }
    for way, change in (COSTLESS | COSTLY).items():
        for half in (0, 1):
            names = list(answers)[half::2]
            cells = read(chapter, released, "release").cells
            for cell in cells:
                cell.source = answers.get(grade_id(cell), cell.source)
            for name in names:
                cells = change(cells, name)
            cells = sanitized(released, cells, chapter)
            found = [grade_id(cell) for cell in cells]
            assert {n: c.source for n, c in zip(found, cells, strict=True) if n in tests} == tests
            assert all(found.count(test) == 1 for test in tests), (way, names)
            for name in set(answers) & set(found):
                place = found.index(name)
                assert all(place < found.index(t) for t in tests if t.rpartition("-")[0] == name)
                assert name in names or cells[place].source == answers[name], (way, name)


def without_marks(cells: list) -> list:
    """As after a way through a program that doesn't keep metadata."""
    for cell in cells:
        cell.metadata.pop("nbgrader", None)
    return cells


def test_what_happens_to_cells_costs_nothing(small: Path, tmp_path: Path):
    """A right answer has all its points, and a wrong one costs its own exercise alone."""
    course = shutil.copytree(small, tmp_path / "course")
    stub = read("small", course, "release").cells[1]
    happened = {
        "copied": lambda cells: [copy(stub), copy(cells[2]), *cells],
        "split": lambda cells: split(split(cells, 5), 1),
        "upside-down": lambda cells: cells[::-1],
        "unmarked": without_marks,
        "wrong": lambda cells: split(cells, 5) + list(map(copy, cells[1:4])),
    }
    for student, change in happened.items():
        submit(
            course,
            student,
            "small",
            ANSWERS | ({"double": "def double(x):\n    return 0"} if student == "wrong" else {}),
        )
        changed(course, student, change)
    log = nbgrader(course, "autograde", "small")
    found = {student: marks(course, "small", student) for student in happened}
    wrong = FULL | dict.fromkeys(TESTS[:2], (0, 2))
    assert found == {student: wrong if student == "wrong" else FULL for student in happened}, log[
        -3000:
    ]


def sanitized(course: Path, cells: list, chapter: str = "small") -> list:
    """The cells that nbgrader will run, by the steps of the configuration."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(COURSE)).load_config()
    where = {
        "notebook": chapter,
        "assignment": chapter,
        "db_url": f"sqlite:///{course / 'gradebook.db'}",
    }
    notebook = new_notebook(cells=cells)
    for step in Autograde(config=config).sanitize_preprocessors:
        notebook, _ = step(config=config).preprocess(notebook, {"nbgrader": where})
    return notebook.cells


def passed(cells: list) -> list[str]:
    """The tests that pass, when all cells run in their order."""
    names, well = {}, []
    for cell in cells:
        if cell.cell_type == "code":
            with suppress(Exception):
                exec(cell.source, names)
                well += [grade_id(cell)] * (grade_id(cell) in TESTS)
    return sorted(well)


def answered(course: Path) -> list:
    cells = read("small", course, "release").cells
    for cell in cells:
        cell.source = ANSWERS.get(grade_id(cell), cell.source)
    return cells


PLACE = st.integers(0, 99)
ODD = st.sampled_from(
    [
        None,
        {},
        [],
        {"grade": True},
        {"grade_id": ["double"]},
        {"grade_id": "of-another-chapter", "locked": True},
    ]
)
WRONG = st.sampled_from(
    [
        {"grade": True},
        {"locked": True},
        {"schema_version": 0},
        {"points": "many"},
        {"cell_type": "raw"},
    ]
)
EVENTS = st.one_of(
    st.tuples(st.just("copy"), PLACE, PLACE),
    st.tuples(st.just("move"), PLACE, PLACE),
    st.tuples(st.just("split"), PLACE, PLACE),
    st.tuples(st.just("delete a test"), PLACE, PLACE),
    st.tuples(st.just("marks"), PLACE, WRONG),
    st.tuples(st.just("marks of a test"), PLACE, ODD),
    st.tuples(st.just("paste"), PLACE, ODD),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(EVENTS, max_size=8))
def test_any_order_and_number_of_cells_is_graded(small: Path, events: list[tuple]):
    """As long as each answer keeps its id, every test runs once, after it, and nothing is lost."""
    cells = answered(small)
    for event, number, other in events:
        place = number % len(cells)
        cell, test = cells[place], grade_id(cells[place]) in TESTS
        if event == "copy":
            cells.insert(other % len(cells), copy(cell))
        elif event == "move":
            cells.insert(other % len(cells), cells.pop(place))
        elif event == "split" and "\n\n" in cell.source:
            cells = split(cells, place)
        elif event == "delete a test" and test:
            del cells[place]
        elif event == "marks" and grade_id(cell):
            cell.metadata.nbgrader |= other
        elif event == "marks of a test" and test:
            cell.metadata["nbgrader"] = other
        elif event == "paste":
            cells.insert(place, new_code_cell("1 / 0", metadata={"nbgrader": other}))
    kept = [cell.id for cell in cells if grade_id(cell) not in TESTS]
    graded = sanitized(small, cells)
    assert passed(graded) == TESTS
    assert [cell.id for cell in graded if cell.get("id") in kept] == kept
    assert {*ANSWERS, *TESTS} == {grade_id(cell) for cell in graded} - {""}


def test_an_answer_without_its_marks_is_tested(small: Path):
    """Whatever of the tests is left: they come before the next exercise, or at the end."""
    cells = answered(small)
    del cells[1].metadata["nbgrader"], cells[5].metadata["nbgrader"]
    for tests in ([2], [3], [2, 3], [6, 7], [2, 3, 6, 7], [2, 7]):
        left = [deepcopy(cell) for place, cell in enumerate(cells) if place not in tests]
        assert passed(sanitized(small, left)) == TESTS, tests


@pytest.mark.parametrize("other", [new_markdown_cell, new_raw_cell])
def test_cells_of_another_type_are_code_again(small: Path, other: Callable):
    cells = [other(cell.source, metadata=cell.metadata) for cell in answered(small)]
    assert passed(sanitized(small, cells)) == TESTS
