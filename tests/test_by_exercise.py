"""Points by exercise, compared with marks that were made by hand and with the database's rows."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_notebook
from test_exercises import ANSWERS, COURSE, an_exercise, copy_of_course, nbgrader, submit

sys.path.insert(0, str(COURSE))
import by_exercise

FIRST, SECOND = "01_numbers", "02_more_numbers"
CONSTANT = "def double(x):\n    return 4"  # right for the visible check, which has 2 of 4 points
WRONG = "def half(x):\n    return 0"
KERNEL = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}


def source(course: Path, chapter: str, names: list[str]) -> None:
    cells = []
    for number, name in enumerate(names, 1):
        part = an_exercise(name, {"double": ["2 4", "3 6"], "half": ["8 4.0", "6 3.0"]}[name])
        part[0].source = f"## {number} · To *{name}*"
        cells += part
    (course / "source" / chapter).mkdir(parents=True)
    notebook = new_notebook(cells=cells, metadata=KERNEL)
    nbformat.write(notebook, course / "source" / chapter / f"{chapter}.ipynb")


def moved(course: Path, student: str, old: str, new: str) -> None:
    folder = course / "submitted" / student
    (folder / new).parent.mkdir(parents=True, exist_ok=True)
    (folder / old).rename(folder / new)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of ten after `nbgrader autograde` of the first of its two chapters."""
    course, file = copy_of_course(tmp_path_factory.mktemp("class") / "course"), f"{FIRST}.ipynb"
    source(course, FIRST, ["double", "half"])
    source(course, SECOND, ["half"])
    nbgrader(course, "generate_assignment", "*")
    submit(course, "right", FIRST, ANSWERS)
    submit(course, "in part", FIRST, {"double": CONSTANT, "half": WRONG})
    submit(course, "untouched", FIRST, {})
    submit(course, "dead", FIRST, ANSWERS | {"half": "import os\nos._exit(1)"})
    submit(course, "broken", FIRST, ANSWERS)
    (course / "submitted" / "broken" / FIRST / file).write_text('{"cells":')
    for student in ("other file", "other folder", "other format"):
        submit(course, student, FIRST, ANSWERS)
    moved(course, "other file", f"{FIRST}/{file}", f"{FIRST}/numbers (1).ipynb")
    moved(course, "other folder", f"{FIRST}/{file}", "homework/mine.ipynb")
    moved(course, "other format", f"{FIRST}/{file}", "01.zip")
    (course / "submitted" / "nothing").mkdir()
    (course / "submitted" / "somebody.ipynb").write_text("{}")
    log = nbgrader(course, "autograde", FIRST)
    (course / "log.txt").write_text(log, "utf-8")
    submit(course, "too late", FIRST, ANSWERS)
    return course


STATES = {
    "right": "graded",
    "in part": "graded",
    "untouched": "graded",
    "dead": "graded",
    "broken": "autograde failed",
    "other file": "misnamed",
    "other folder": "misnamed",
    "other format": "misnamed",
    "nothing": "not handed in",
    "too late": "not graded yet",
}
POINTS = {"right": [4, 4], "in part": [2, 0], "untouched": [0, 0], "dead": [4, 0]}


def test_states_and_points_are_those_made_by_hand(course: Path):
    table = by_exercise.by_exercise(course)
    assert set(table.chapter) == {FIRST}  # nobody has handed in the other
    assert table.drop_duplicates("student").set_index("student").state.to_dict() == STATES
    assert table[["exercise", "title", "max"]].drop_duplicates().to_numpy().tolist() == [
        [1, "To double", 4],
        [2, "To half", 4],
    ]
    found = table.groupby("student").points.apply(list)
    assert {student: found[student] for student in POINTS} == POINTS
    assert table.points.isna().equals(table.state != "graded")  # no zero for what wasn't graded


def test_points_are_those_in_the_database(course: Path):
    """Summed by SQL over nbgrader's tables, with none of its code."""
    with sqlite3.connect(course / "gradebook.db") as database:
        rows = database.execute(
            """
            select submitted_assignment.student_id, base_cell.name, grade.auto_score
            from grade join base_cell on base_cell.id = grade.cell_id
            join submitted_notebook on submitted_notebook.id = grade.notebook_id
            join submitted_assignment on submitted_assignment.id = submitted_notebook.assignment_id
            where grade.auto_score is not null
            """
        ).fetchall()
    cells = pd.DataFrame(rows, columns=["student", "cell", "points"])
    cells["title"] = "To " + cells.cell.str.split("-").str[0]
    expected = cells.groupby(["student", "title"]).points.sum()
    table = by_exercise.by_exercise(course)
    graded = table[table.state == "graded"].set_index(["student", "title"]).points
    assert len(expected) == 8
    assert graded.sort_index().to_dict() == expected.to_dict()


def test_nbgrader_prints_what_the_teachers_page_says(course: Path):
    page, log = (p.read_text("utf-8") for p in (COURSE / "TEACHERS.md", course / "log.txt"))
    for student in ("broken", "other file"):
        assert f"There was an error processing assignment '{FIRST}' for student '{student}'" in log
    assert log.count("for student '") == 2  # for all others it ends well
    rows = re.findall(r"^\| (`.*?) \| ", page.partition("## When grading fails")[2], re.M)
    quoted = [text.rstrip(" …") for row in rows for text in re.findall("`(.*?)`", row)]
    assert len(quoted) > 4 and [text for text in quoted if text not in log] == [
        "database is locked"
    ]
    assert "SAWarning" not in log


def test_what_needs_a_look_is_named(course: Path):
    look = by_exercise.by_exercise(course).attrs["look"]
    assert look == [
        f"broken, {FIRST}: autograde failed (submitted/broken/{FIRST}/{FIRST}.ipynb).",
        f"other file, {FIRST}: misnamed (submitted/other file/{FIRST}/numbers (1).ipynb).",
        f"other folder, {FIRST}: misnamed (submitted/other folder/homework/mine.ipynb).",
        f"other format, {FIRST}: misnamed (submitted/other format/01.zip).",
        f"too late, {FIRST}: not graded yet (submitted/too late/{FIRST}/{FIRST}.ipynb).",
        "submitted/somebody.ipynb: whose is it, and which chapter?",
    ]


def test_the_figure_shows_the_mean_share_and_how_many_got_none(course: Path):
    drawn = by_exercise.figure(by_exercise.by_exercise(course))
    (axes,) = drawn.axes
    shares = [bar.get_width() for bar in axes.patches]
    assert shares == pytest.approx([100 * (4 + 2 + 0 + 4) / 16, 100 * (4 + 0 + 0 + 0) / 16])
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "01.1 To double",
        "01.2 To half",
    ]
    assert [text.get_text() for text in axes.texts] == ["1 of 4", "3 of 4", "no points"]


def test_one_command_writes_the_table_and_the_figure(course: Path):
    command = [sys.executable, str(COURSE / "by_exercise.py"), str(course)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    table = by_exercise.by_exercise(course)
    read = pd.read_csv(course / "grades_by_exercise.csv")
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    assert plt.imread(course / "grades_by_exercise.png").std() > 0
    assert all(sentence in done.stdout for sentence in table.attrs["look"])


def test_what_is_missing_is_said_in_a_sentence(course: Path, tmp_path: Path):
    command = [sys.executable, str(COURSE / "by_exercise.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "release a chapter first, with nbgrader generate_assignment."
    )

    copy = copy_of_course(tmp_path / "copy")
    (copy / "gradebook.db").write_bytes((course / "gradebook.db").read_bytes())
    source(copy, FIRST, ["double"])
    with pytest.raises(KeyError, match="source/01_numbers lacks the test 'half-check'"):
        by_exercise.by_exercise(copy)


def test_a_failure_after_a_success_is_no_longer_called_graded(course: Path):
    """nbgrader keeps the earlier points in its database, and takes autograded/ away."""
    graded = course / "autograded" / "right" / FIRST / f"{FIRST}.ipynb"
    text = graded.read_text("utf-8")
    try:
        graded.unlink()
        table = by_exercise.by_exercise(course)
    finally:
        graded.write_text(text, "utf-8")
    assert set(table[table.student == "right"].state) == {"autograde failed"}
    assert json.loads(text)["cells"]
