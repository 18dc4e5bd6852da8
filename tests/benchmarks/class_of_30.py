"""How long it takes to release and grade for a class of 30: data/results/class_of_30.csv.

    python tests/benchmarks/class_of_30.py [--chapters 01 02 14]

A third of the class solves everything, a third hands in the notebook as it was released, a third has
the three wrong answers of tests/wrong_answers.py. Each chapter is graded by one `nbgrader autograde`
and by two beside each other, each with half of the students, into one gradebook; both must give the
marks that tests/test_exercises.py expects. `cpu_seconds` are those of nbgrader and of all kernels.
`load` is how many processes wanted to run, by the machine's own average over the last minute, when
a row was done: what is over the row's `processes` was not of this class, and made `seconds` longer.
"""

import argparse
import itertools
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import test_exercises as exercises

from course_lib.files import atomic_write
from course_lib.results import RESULTS, stamp

TABLE = RESULTS / "class_of_30.csv"
STUDENTS = [f"student{number:02}" for number in range(30)]
HALVES = {1: ["*"], 2: ["*[02468]", "*[!02468]"]}  # as the teachers' page has it


def timed(what: str, chapter: str, processes: int, work: Callable[[], object]) -> dict:
    """A row of the table."""
    usage, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    row = {"what": what, "chapter": chapter, "processes": processes, "seconds": round(seconds)}
    return row | {"cpu_seconds": round(cpu), "load": round(os.getloadavg()[0], 1), **stamp()}


def hand_in(course: Path, chapter: str) -> dict[str, float]:
    """What each student must get."""
    source = exercises.read(chapter)
    points, wrong = exercises.graded(source), exercises.wrong_answers(chapter)
    solved = {
        exercises.grade_id(c): re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", c.source, flags=re.M)
        for c in source.cells
        if exercises.kind(c) == "solution"
    }
    mistaken = solved | {name: f"{solved[name]}\n\n\n{code}" for name, (code, _) in wrong.items()}
    lost = {name for _, names in wrong.values() for name in names}
    kinds = [
        (solved, sum(points.values())),
        ({}, 0),
        (mistaken, sum(most for name, most in points.items() if name not in lost)),
    ]
    for number, student in enumerate(STUDENTS):
        exercises.submit(course, student, chapter, kinds[number % 3][0])
    return {student: kinds[number % 3][1] for number, student in enumerate(STUDENTS)}


def grade(course: Path, chapter: str, processes: int) -> None:
    with ThreadPoolExecutor(processes) as pool:
        one = partial(exercises.nbgrader, course, "autograde", chapter, patience=3_600)
        logs = list(pool.map(lambda students: one("--student", students), HALVES[processes]))
    assert not any("database is locked" in log for log in logs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", nargs="+", default=["01", "02", "14"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    chapters = [name for name in exercises.FOUND if name[:2] in options.chapters]
    with tempfile.TemporaryDirectory() as folder:
        released = exercises.copy_of_course(Path(folder) / "released", *exercises.FOUND)
        release = partial(exercises.nbgrader, released, "generate_assignment", "*")
        keep(timed("release", "all", 1, release))
        for chapter, processes in itertools.product(chapters, options.processes):
            course = shutil.copytree(released, Path(folder) / f"{chapter}_{processes}")
            expected = hand_in(course, chapter)
            row = timed("grade", chapter, processes, partial(grade, course, chapter, processes))
            for student, points in expected.items():
                found = exercises.marks(course, chapter, student)
                assert sum(given for given, _ in found.values()) == points, student
            keep(row)


def keep(row: dict) -> None:
    """In the place of an earlier measurement of the same."""
    print(row, flush=True)
    table = pd.concat([pd.read_csv(TABLE) if TABLE.exists() else None, pd.DataFrame([row])])
    table = table.drop_duplicates(["what", "chapter", "processes"], keep="last")
    with atomic_write(TABLE) as path:
        table.sort_values(["what", "chapter", "processes"]).to_csv(path, index=False)


if __name__ == "__main__":
    main()
