"""What an answer does to its kernel costs its own exercise alone, and what it does to tests is undone.

All of it goes through `nbgrader autograde`, several students in one run.
"""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from test_exercises import (  # noqa: F401 (two are fixtures)
    ANSWERS,
    FULL,
    TESTS,
    copy_of_course,
    errors,
    grade_id,
    graded,
    is_sentence,
    marks,
    nbgrader,
    read,
    released,
    small,
    submit,
)

CHECK, HIDDEN = TESTS[:2]
DEADLY = {  # answers that end the kernel, or nearly so, when the hidden test asks for double(3)
    "ends it": "import os\n\ndef double(x):\n    return os._exit(1) if x == 3 else 2 * x",
    "calls exit": "def double(x):\n    return exit() if x == 3 else 2 * x",
    "is endless": "import time\n\ndef double(x):\n    while x == 3:\n        try:\n"
    "            while True:\n                time.sleep(1)\n        except:\n            pass\n"
    "    return 2 * x",
    "is killed": "import os, signal\n\ndef double(x):\n"  # as the system does where memory is gone
    "    return os.kill(os.getpid(), signal.SIGKILL) if x == 3 else 2 * x",
    "wants memory": "def double(x):\n    return bytearray(10**15) if x == 3 else 2 * x",
}
AT_ONCE = {  # cells that end it, or themselves, before any test
    "ends it": "import os\nos._exit(1)",
    "leaves": "exit()\ndef double(x):\n    return 2 * x",
    "is endless": "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except:\n        pass",
    "is empty": "",
}
CHEATS = {
    "empties trees": "class Empty:\n    def visit(self, tree):\n        tree.body = []\n"
    "        return tree\nget_ipython().ast_transformers.append(Empty())",
    "empties lines": "shell = get_ipython()\n"
    "shell.input_transformer_manager.cleanup_transforms.append(lambda lines: [])",
    "runs nothing": "async def nothing(*given, **named):\n    return False\n"
    "get_ipython().run_code = nothing",
    "reads the source": "import os\n"
    "while not os.path.exists('nbgrader_config.py'):\n    os.chdir('..')\n"
    "text = open('source/small/small.ipynb').read()\ndouble = lambda x: 2 * x",
}
CHEATS = {name: f"def double(x):\n    return 0\n{code}" for name, code in CHEATS.items()}


@pytest.mark.parametrize(
    ("answers", "lost"),
    [(DEADLY, [HIDDEN]), (AT_ONCE, [CHECK, HIDDEN]), (CHEATS, [CHECK, HIDDEN])],
    ids=["deadly", "at once", "cheats"],
)
def test_an_answer_costs_its_own_exercise_alone(answers, lost, small: Path, tmp_path: Path):  # noqa: F811
    course = shutil.copytree(small, tmp_path / "course")
    for student, answer in answers.items():
        submit(course, student, "small", ANSWERS | {"double": answer})
    log = nbgrader(course, "autograde", "small", "--Execute.timeout=5")
    found = {student: marks(course, "small", student) for student in answers}
    right = FULL | dict.fromkeys(lost, (0, 2))
    assert found == dict.fromkeys(answers, right), log[-3000:]
    for student in answers:
        told = errors(course, "small", student)
        assert set(told) == set(lost)
        stopped = [
            text for error, text in told.values() if error in ("DeadKernelError", "TimeoutError")
        ]
        assert all(map(is_sentence, stopped))
        assert stopped or student not in ("ends it", "is killed", "is endless")


PATCHES = """
import builtins
import course_lib.checks.guard as guard

np.isclose = np.allclose = lambda *given, **named: True
builtins.abs = lambda x: 0
guard.run.__code__ = (lambda *given, **named: 0.6).__code__
guard.compare = guard._judge = guard._difference = lambda *given, **named: None
chapter_01.check_head_share = print
run = lambda *given: 0.6
np = chapter_01 = None
head_share = lambda counts, share: 0.6
"""
NOISE = """
import functools, sys, warnings
from tqdm import tqdm

def noisy(function):
    @functools.wraps(function)
    def loud(*given, **named):
        warnings.warn("a warning")
        print("an error", file=sys.stderr)
        list(tqdm(range(2)))
        return function(*given, **named)
    return loud
"""


def test_a_chapter_of_carelessness_and_patches(released: Path, tmp_path: Path):  # noqa: F811
    """The careless lose nothing, though they warn, delete what is given and bind its names anew."""
    chapter, (course, source) = "01_the_log_and_its_tail", (tmp_path / "course", None)
    copy_of_course(course, chapter)
    shutil.copytree(released / "release" / chapter, course / "release" / chapter)
    shutil.copy(released / "gradebook.db", course)
    source = read(chapter)
    solved = {
        grade_id(cell): re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source)
        for cell in source.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    loud = {
        name: f"{NOISE}\n{text.replace('prediction =', 'no_prediction =')}\n"
        f"{name.replace('-', '_')} = noisy({name.replace('-', '_')})"
        for name, text in solved.items()
    }
    loud["mix-distance"] += "\nlog = events = None"
    submit(course, "careless", chapter, loud)
    path = course / "submitted" / "careless" / chapter / f"{chapter}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    given = next(cell for cell in notebook.cells if cell.cell_type == "code")
    given.source = given.source.replace("import numpy as np\n", "")
    nbformat.write(notebook, path)
    submit(course, "patches", chapter, solved | {"head-share": PATCHES})
    log = nbgrader(course, "autograde", chapter)
    full = {name: (most, most) for name, most in graded(source).items()}
    assert marks(course, chapter, "careless") == full, (errors(course, chapter, "careless"), log)
    lost = {"head-share-check": (0, 1), "head-share-hidden": (0, 2)}
    assert marks(course, chapter, "patches") == full | lost, errors(course, chapter, "patches")
