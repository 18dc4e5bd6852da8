"""Every student's points by exercise, as a table and a figure; run it in this folder.

TEACHERS.md says what the table's `state` means, and what to do about each.
"""

import json
import re
import sys
from pathlib import Path

import nbformat
import pandas as pd
from matplotlib.figure import Figure
from nbgrader.api import Gradebook, MissingEntry

HERE = Path(__file__).resolve().parent
NOT_A_HAND_IN = {"timestamp.txt", "submission_secret.txt"}  # the exchange writes them
COLUMNS = ["student", "chapter", "exercise", "title", "points", "max", "state"]


def by_exercise(course: Path = HERE) -> pd.DataFrame:
    """A row for each student and exercise of each chapter that somebody has handed in.

    `state` is graded, autograde failed, not graded yet, misnamed or not handed in; `points` are
    missing unless it is graded. `attrs["look"]` has a sentence for each file that needs a look.
    """
    if not (course / "gradebook.db").exists():
        raise FileNotFoundError(
            f"{course} has no gradebook.db; release a chapter first, with "
            "nbgrader generate_assignment."
        )
    rows, look = [], []
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        tests = {
            assignment.name: {
                test.name: test.max_score
                for notebook in assignment.notebooks
                for test in notebook.grade_cells
            }
            for assignment in gradebook.assignments
        }
        files, lost = handed_in(course, tests)
        folders = [path for path in (course / "submitted").glob("*") if path.is_dir()]
        students = {student.id for student in gradebook.students}
        students |= {path.name for path in folders} - tests.keys()
        for chapter, points in sorted(tests.items()):
            exercises = exercises_of(course, chapter)
            if missing := points.keys() - set().union(*exercises.values()):
                raise KeyError(
                    f"source/{chapter} lacks the test {min(missing)!r} that gradebook.db has; put "
                    "back the source that was released."
                )
            for student in sorted(students):
                file = files.get((student, chapter))
                state, given = look_up(gradebook, course, chapter, student, file)
                if state != "graded" and file:
                    look.append(f"{student}, {chapter}: {state} ({file}).")
                for exercise, names in exercises.items():
                    got = sum(given[name] for name in names) if given else None
                    most = sum(points[name] for name in names)
                    rows.append([student, chapter, *exercise, got, most, state])
        table = pd.DataFrame(rows, columns=COLUMNS).astype({"points": float})
    table = table[
        (table.state != "not handed in").groupby(table.chapter).transform("any")
    ]
    table = table.reset_index(drop=True)
    look += [f"{file}: whose is it, and which chapter?" for file in lost]
    table.attrs["look"] = look
    return table


def exercises_of(course: Path, chapter: str) -> dict[tuple[int, str], list[str]]:
    """Of each exercise in a chapter's source, by its number and title: its tests."""
    found, exercise = {}, (0, "")
    source = course / "source" / chapter / f"{chapter}.ipynb"
    for cell in nbformat.read(source, as_version=4).cells:
        if heading := re.match(r"## (\d+) · (.*)", cell.source):
            exercise = int(heading[1]), re.sub("[*`]", "", heading[2])
        elif cell.metadata.get("nbgrader", {}).get("grade"):
            found.setdefault(exercise, []).append(cell.metadata.nbgrader["grade_id"])
    return found


def handed_in(
    course: Path, tests: dict[str, dict]
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Of each student and chapter the file to grade, or else one that was meant as it.

    And the files that belong to no student, or to no chapter.
    """
    found, lost = {}, []
    for path in sorted((course / "submitted").rglob("*")):
        name, parts = (
            path.relative_to(course).as_posix(),
            path.relative_to(course).parts[1:],
        )
        if (
            path.is_dir()
            or path.name in NOT_A_HAND_IN
            or any(p[0] == "." for p in parts)
        ):
            continue
        student, *rest = parts
        chapter = meant(path, rest, tests) if rest and student not in tests else None
        if chapter is None:
            lost.append(name)
        elif (student, chapter) not in found or rest == [chapter, f"{chapter}.ipynb"]:
            found[student, chapter] = name
    return found, lost


def meant(path: Path, parts: list[str], tests: dict[str, dict]) -> str | None:
    """The chapter of a submitted file: where it lies as it should, by its tests, or by a number."""
    if len(parts) == 2 and parts[0] in tests and parts[1] == f"{parts[0]}.ipynb":
        return parts[0]
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        names = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells}
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # not a notebook, or a broken one
        names = set()
    most = max(
        tests, key=lambda chapter: len(names & tests[chapter].keys()), default=None
    )
    if most and names & tests[most].keys():
        return most
    numbers = re.findall(r"(?<!\d)\d\d(?!\d)", " ".join(parts))
    return next((c for n in numbers for c in sorted(tests) if c.startswith(n)), None)


def look_up(
    gradebook: Gradebook, course: Path, chapter: str, student: str, file: str | None
) -> tuple[str, dict[str, float] | None]:
    """A submission's state, and the points of its tests if it was graded.

    A row in the database says only that nbgrader has begun: when grading fails, it stays, and what
    was graded is removed from autograded/.
    """
    try:
        submission = gradebook.find_submission(chapter, student)
    except MissingEntry:
        submission = None
    if (
        submission
        and (course / "autograded" / student / chapter / f"{chapter}.ipynb").exists()
    ):
        grades = [
            grade for notebook in submission.notebooks for grade in notebook.grades
        ]
        return "graded", {grade.name: grade.score for grade in grades}
    if file is None:
        return "not handed in", None
    if file != f"submitted/{student}/{chapter}/{chapter}.ipynb":
        return "misnamed", None
    return ("autograde failed" if submission else "not graded yet"), None


def by_difficulty(table: pd.DataFrame) -> pd.DataFrame:
    """Of each exercise: how many were graded, their mean share of its points, how many got none."""
    graded = table[table.state == "graded"]
    groups = graded.assign(
        share=graded.points / graded["max"], none=graded.points == 0
    ).groupby(["chapter", "exercise", "title"])
    return groups.agg(
        graded=("share", "size"), share=("share", "mean"), none=("none", "sum")
    ).reset_index()


def figure(table: pd.DataFrame) -> Figure:
    """A bar for each exercise: the mean share of its points among those who were graded."""
    rows = by_difficulty(table)
    drawn = Figure(figsize=(9, 1.4 + 0.32 * len(rows)), layout="constrained")
    axes = drawn.subplots()
    labels = rows.chapter.str[:2] + "." + rows.exercise.astype(str) + " " + rows.title
    colors = [
        "#0072B2" if n % 2 else "#56B4E9"
        for n in rows.chapter.astype("category").cat.codes
    ]
    axes.barh(range(len(rows)), 100 * rows.share, color=colors)
    for place, row in enumerate(rows.itertuples()):
        axes.text(102, place, f"{row.none} of {row.graded}", va="center")
    axes.text(102, -0.7, "no points", va="bottom")
    axes.set_yticks(range(len(rows)), labels)
    axes.set(
        xlim=(0, 100),
        ylim=(len(rows) - 0.4, -0.6),
        xlabel="mean share of the points, %",
    )
    axes.set_title("Where the class struggled", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve() if sys.argv[1:] else HERE
    try:
        grades = by_exercise(folder)
    except (FileNotFoundError, KeyError) as error:
        sys.exit(error.args[0])
    grades.to_csv(folder / "grades_by_exercise.csv", index=False)
    print("\n".join(grades.attrs["look"]))
    if (grades.state == "graded").any():
        figure(grades).savefig(folder / "grades_by_exercise.png", dpi=120)
        print(by_difficulty(grades).round(2).to_string(index=False))
