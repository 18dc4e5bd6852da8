"""The teachers' pages say what the exercises' own sources say: minutes, points, numbers, commands."""

import re
from itertools import product

import pytest
from nbgrader.apps import NbGraderApp
from test_exercises import COURSE, FOUND, exercises, graded, read

from course_lib.results import load

ROOT = COURSE.parent.parent
README, TEACHERS = ((COURSE / name).read_text("utf-8") for name in ("README.md", "TEACHERS.md"))
WEEKS = [
    [cell.strip() for cell in row.strip("| ").split("|")]
    for row in re.findall(r"^\| \d \|.*", README, re.M)
]
AMOUNT = r"\((\d+)(?: to (\d+))? min, (\d+)(?: to (\d+))? points\)"


def own(chapter: str) -> list[tuple[int, int]]:
    """Minutes and points of each exercise, as its heading and its tests' metadata have them."""
    notebook = read(chapter)
    points = graded(notebook)
    return [
        (
            int(re.match(r"\*(\d+) min", cells[0].source.split("\n")[2])[1]),
            sum(points.get(cell.metadata.get("nbgrader", {}).get("grade_id"), 0) for cell in cells),
        )
        for cells in exercises(notebook)
    ]


OWN = {chapter[:2]: own(chapter) for chapter in FOUND}


def numbers(text: str, chapter: str) -> list[int]:
    """The exercises that `1 to 3, 5` means; all of them where there are no numbers."""
    if not text:
        return list(range(1, len(OWN[chapter]) + 1))
    found = []
    for first, last in re.findall(r"(\d)(?: to (\d))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def total(chapter: str, which: list[int]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(OWN[chapter][number - 1] for number in which), strict=True)))


def named(cell: str) -> dict[str, tuple[list[int], tuple[int, int]]]:
    """Of each chapter in a cell of the plan: its exercises, and the minutes and points stated."""
    found = re.findall(rf"(?<![\w(])(\d\d)(?:: ([^(;]*?))? {AMOUNT}", cell)
    return {
        chapter: (numbers(text, chapter), (int(minutes), int(points)))
        for chapter, text, minutes, _, points, _ in found
        if chapter != "11"  # of "08 to 11", which is a range
    }


@pytest.mark.parametrize("week", WEEKS, ids=lambda week: f"week {week[0]}")
def test_minutes_and_points_of_the_plan_add_up(week: list[str]):
    for cell in week[2:]:
        for chapter, (which, stated) in named(cell).items():
            assert stated == total(chapter, which), chapter


def test_the_groups_chapters_have_the_range_that_is_stated():
    (low, high, least, most) = map(int, re.search(rf"08 to 11 {AMOUNT}", README).groups())
    minutes, points = zip(
        *(total(c, numbers("", c)) for c in ("08", "09", "10", "11")), strict=True
    )
    assert (low, high, least, most) == (min(minutes), max(minutes), min(points), max(points))


def test_every_exercise_is_in_the_plan_once():
    planned = {(c, n) for c in ("08", "09", "10", "11") for n in numbers("", c)}
    for week, place in product(WEEKS, (2, 3)):
        for chapter, (which, _) in named(week[place]).items():
            assert not planned & {(chapter, n) for n in which}
            planned |= {(chapter, n) for n in which}
    assert planned == {(c, n) for c in OWN for n in numbers("", c)}


def test_the_weeks_are_as_long_as_is_said():
    sums = [
        [sum(int(low) for low, *_ in parts), sum(int(high or low) for low, high, *_ in parts)]
        for parts in (re.findall(AMOUNT, week[2]) for week in WEEKS)
    ]
    (low, high) = re.search(r"takes (\d+) to (\d+) min a week", README).groups()
    assert len(sums) == 6
    assert (int(low), int(high)) == (min(map(min, sums)), max(map(max, sums)))


def test_exercises_of_the_one_day_are_there():
    day = README.partition("## One day")[2].partition("\n## ")[0]
    found = re.findall(r"exercises? (\d\d\.\d)(?: and (\d\d\.\d))?", day)
    assert len(found) >= 4
    for name in filter(None, sum(found, ())):
        assert int(name[3]) <= len(OWN[name[:2]]), name


def test_files_of_the_teachers_page_are_there():
    for target in re.findall(r"\]\(([^):#]+)\)", TEACHERS):
        assert (COURSE / target).exists(), target
    for script in re.findall(r"python (\w+\.py)", TEACHERS):
        assert (COURSE / script).exists(), script
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for goal in re.findall(r"`make ([\w-]+)", TEACHERS):
        assert re.search(rf"^{goal}:", makefile, re.M), goal


@pytest.mark.parametrize("text", [README, TEACHERS], ids=["README", "TEACHERS"])
def test_commands_of_nbgrader_are_there(text: str):
    commands = set(re.findall(r"(?:`|^|; )nbgrader ([a-z_]+)", text, re.M))
    assert {"generate_assignment", "autograde"} <= commands <= NbGraderApp().subcommands.keys()


def test_the_time_for_a_class_is_what_was_measured():
    table = load("class_of_30").set_index(["what", "chapter", "processes"]).seconds
    row = r"^\| (release|grade) (\d\d|all chapters) \| (\d+) s \| (?:(\d+) s )?\|$"
    stated = {}
    names = {name[:2]: name for name in FOUND} | {"all chapters": "all"}
    for what, chapter, *seconds in re.findall(row, TEACHERS, re.M):
        stated |= {(what, names[chapter], n): int(s) for n, s in enumerate(seconds, 1) if s}
    assert stated == table.to_dict()
    assert table.max() <= 300  # what the course promises to a teacher with two cores
