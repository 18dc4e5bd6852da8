"""nbgrader's settings, for its commands run in this folder; README.md says which commands, and what
each needs.
"""

import os
import sysconfig
import warnings
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.preprocessors import DeduplicateIds, NbGraderPreprocessor
from sqlalchemy.exc import SAWarning

SECONDS = 60  # for one cell, when a submission is graded


class RemoveWorkedSolutions(NbGraderPreprocessor):
    """Drops the cells tagged `worked-solution`."""

    def preprocess(self, nb, resources):
        nb.cells = [
            cell
            for cell in nb.cells
            if "worked-solution" not in cell.metadata.get("tags", [])
        ]
        return nb, resources


class RestoreCells(NbGraderPreprocessor):
    """Gives answers and tests the metadata that they were released with, and puts tests back.

    Students copy cells, split and move them, and paste some from elsewhere. Of several cells with
    one id the last keeps it, and the others still run; a test runs after all of its answer.
    """

    def preprocess(self, nb, resources):
        where = resources["nbgrader"]
        with Gradebook(where["db_url"]) as gradebook:
            notebook = gradebook.find_notebook(where["notebook"], where["assignment"])
            points = {cell.name: cell.max_score for cell in notebook.grade_cells}
            released = {
                cell.name: as_released(cell, points) for cell in notebook.source_cells
            }
        there = {}
        for cell in nb.cells:
            found = cell.metadata.pop("nbgrader", None)
            grade_id = str(found.get("grade_id")) if isinstance(found, dict) else None
            if grade_id in released:
                there[grade_id] = cell
        for grade_id, cell in there.items():
            cell.metadata["nbgrader"] = released[grade_id].metadata["nbgrader"]
        nb.cells = with_tests(nb.cells, there, released)
        return nb, resources


def as_released(cell, points):
    """A cell of nbgrader's database as one of a notebook. `points`: of the tests, by their ids."""
    test = cell.name in points
    marks = {
        "schema_version": 3,
        "grade_id": cell.name,
        "grade": test,
        "solution": not cell.locked,
    }
    marks |= {"locked": cell.locked, "task": False, "checksum": cell.checksum}
    marks |= {"points": points[cell.name]} if test else {}
    new = {
        "cell_type": cell.cell_type,
        "metadata": {"nbgrader": marks},
        "source": cell.source,
    }
    return nbformat.from_dict(new | {"outputs": [], "execution_count": None})


def with_tests(cells, there, released):
    """The cells with every test after what it followed when released, and missing tests put in.

    Where that isn't there either, a missing test comes before the next cell that is.
    `there`: those of the cells that nbgrader knows, by their ids.
    """
    cells, names = list(cells), list(released)

    def place(name):
        return next(i for i, cell in enumerate(cells) if cell is there[name])

    for number, name in enumerate(names):
        before = names[number - 1] if number else None
        if released[name].metadata["nbgrader"]["solution"]:
            continue
        if name in there and (before not in there or place(before) < place(name)):
            continue
        if name in there:
            del cells[place(name)]
        if before in there:
            at = place(before) + 1
        else:
            at = next(
                (place(later) for later in names[number + 1 :] if later in there),
                len(cells),
            )
        cells.insert(at, there.setdefault(name, released[name]))
    return cells


c = get_config()  # noqa: F821 (nbgrader runs this file with it)

# nbgrader reads new rows before it has added them: three warnings a student, and no row is lost.
warnings.filterwarnings("ignore", "Object of type <Submitted", SAWarning)

# nbgrader starts `alembic` by its bare name: this finds it without an activated environment.
os.environ["PATH"] = os.pathsep.join(
    [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
)

c.CourseDirectory.root = str(Path(__file__).resolve().parent)

# Before anything is recorded: what goes into the database is put back into submissions.
c.GenerateAssignment.preprocessors.prepend([RemoveWorkedSolutions])

# A hidden test that calls an unwritten function shows this sentence in the feedback.
c.ClearSolutions.code_stub = {
    "python": '# YOUR CODE HERE\nraise NotImplementedError("This is not written yet.")'
}

# In the place of nbgrader's DeduplicateIds, whose repair makes the steps after it fail.
c.Autograde.sanitize_preprocessors = [
    RestoreCells if step is DeduplicateIds else step
    for step in Autograde.sanitize_preprocessors.default()
]

c.Execute.timeout = SECONDS
c.Execute.error_on_timeout = {
    "ename": "TimeoutError",
    "evalue": f"This cell had not ended after {SECONDS} s; is there a loop that never ends?",
    "traceback": [
        f"TimeoutError: This cell had not ended after {SECONDS} s; is there a loop that never ends?"
    ],
}
