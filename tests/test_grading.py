"""What an answer does to its kernel, or to the tests, costs its own exercise alone, or helps nobody.

All of it goes through `nbgrader autograde`, several students in one run.
"""

import shutil
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell
from test_exercises import (  # noqa: F401 (small is a fixture)
    ANSWERS,
    FULL,
    TESTS,
    changed,
    errors,
    grade_id,
    is_sentence,
    marks,
    nbgrader,
    small,
    submit,
)

DEADLY = {  # answers; all of them end the kernel, or nearly so, when a test asks for double(3)
    "exits": "def double(x):\n    import os\n    return os._exit(1) if x == 3 else 2 * x",
    "is-killed": "def double(x):\n    import os, signal\n"
    "    return os.kill(os.getpid(), signal.SIGKILL) if x == 3 else 2 * x",
    "calls-exit": "def double(x):\n    return exit() if x == 3 else 2 * x",
    "endless": "def double(x):\n    while x == 3:\n        try:\n            while True:\n"
    "                pass\n        except:\n            pass\n    return 2 * x",
    "memory": "def double(x):\n    return bytearray(10**15) if x == 3 else 2 * x",
}
AT_ONCE = {  # cells that end it, before any test
    "dies-at-once": "import os\nos._exit(1)",
    "dies-later": "import os, threading\nthreading.Timer(0.3, os._exit, [1]).start()\n"
    "def double(x):\n    return 2 * x",
    "leaves": "exit()\ndef double(x):\n    return 2 * x",
    "spins": "while True:\n    try:\n        pass\n    except:\n        pass",
    "emptied": "",
}


@pytest.mark.parametrize("answers", [DEADLY, AT_ONCE], ids=["in a test", "at once"])
def test_nothing_costs_the_marks_of_another_exercise(answers, small: Path, tmp_path: Path):  # noqa: F811
    course = shutil.copytree(small, tmp_path / "course")
    for student, answer in answers.items():
        submit(course, student, "small", ANSWERS | {"double": answer})
    log = nbgrader(course, "autograde", "small", "--Execute.timeout=3")
    found = {student: marks(course, "small", student) for student in answers}
    lost = TESTS[1:2] if answers is DEADLY else TESTS[:2]
    for student, given in found.items():
        others = {name: points for name, points in given.items() if name not in TESTS[:2]}
        assert others == {name: FULL[name] for name in TESTS[2:]}, (student, log[-3000:])
        print(student, given, errors(course, "small", student))
    print(log[-2000:])
    assert 0
