"""nbgrader's settings, for its commands run in this folder; README.md says which commands, and what
each needs.
"""

import os
import sysconfig
from pathlib import Path

from nbgrader.preprocessors import NbGraderPreprocessor

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


c = get_config()  # noqa: F821 (nbgrader runs this file with it)

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

# A test cell that somebody has deleted is put back, and so fails or passes like everybody's.
c.OverwriteCells.add_missing_cells = True

c.Execute.timeout = SECONDS
c.Execute.error_on_timeout = {
    "ename": "TimeoutError",
    "evalue": f"This cell had not ended after {SECONDS} s; is there a loop that never ends?",
    "traceback": [
        f"TimeoutError: This cell had not ended after {SECONDS} s; is there a loop that never ends?"
    ],
}
