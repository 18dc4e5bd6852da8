"""The library's order: a module imports only from those before it, and nothing below imports what
stands on top.
"""

import ast
from pathlib import Path

import pytest
from helpers import LOGS

LIBRARY = Path(__file__).resolve().parent.parent / "course_lib"
ORDER = (  # data flows down; modules in one line do not import each other
    "files frames",
    "frames",
    "describe texts looks",
    "log linear",
    " ".join((*LOGS, "raw_files", "tfrecord", "features")),
    "towers losses mutual_information augment",
    "state",
    "full_update",
    "incremental_update distributed",
    "sharded_tables index",
    "versions",
    "nomination",
    "stream",
    "redis_stream",
    "evaluation production",
    "baselines channels simulate results",
    "tuning",
)
ON_TOP = ("figures", "item_map", "widgets", "checks", "experiments", "service")
PLACE = {name: place for place, line in enumerate(ORDER) for name in line.split()}
MODULES = sorted(path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))


def room(module: Path | str) -> str:
    """The first part of a module's path: a package is one room, and so is augment with the modules
    augment_name.py.
    """
    name = Path(module).parts[0].removesuffix(".py")
    return "augment" if name.startswith("augment_") else name


def imported(source: str) -> list[str]:
    """The rooms of course_lib that a module's source imports from, wherever the import stands."""
    rooms = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import: write course_lib.… so that it can be found"
            if node.module == "course_lib":
                rooms += [alias.name for alias in node.names]
            elif (node.module or "").startswith("course_lib."):
                rooms.append(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            rooms += [name[1] for name in names if name[0] == "course_lib" and len(name) > 1]
    return [name for name in rooms if not name.startswith("__")]


def wrong_arrow(importer: str, other: str) -> str | None:
    """What is wrong with one room's importing another, in a sentence; None if nothing is."""
    if importer == other or importer in ON_TOP:
        return None
    if other in ON_TOP:
        return f"{importer} → {other}: {other} stands on top, so nothing below may import it."
    for name in (importer, other):
        if name not in PLACE:
            return f"{importer} → {other}: {name} has no place in ORDER; give it one there."
    if PLACE[other] >= PLACE[importer]:
        return (
            f"{importer} → {other}: {importer} comes no later than {other}; turn the arrow round."
        )
    return None


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_those_before_it(module: Path):
    if room(module) == "__init__":
        return
    arrows = [
        wrong_arrow(room(module), other)
        for other in imported((LIBRARY / module).read_text("utf-8"))
    ]
    assert not any(arrows), " ".join(filter(None, arrows))


def test_every_room_is_there():
    assert {room(module) for module in MODULES} - {"__init__"} == {*PLACE, *ON_TOP}


@pytest.mark.parametrize(
    ("source", "importer", "sentence"),
    [
        ("from course_lib.stream import StreamTrainer", "log", "log → stream: log comes no later"),
        ("from course_lib import figures", "losses", "losses → figures: figures stands on top"),
        ("def f():\n    import course_lib.checks.guard", "state", "state → checks: checks stands"),
        ("from course_lib.losses import joint", "towers", "towers → losses: towers comes no later"),
        ("from course_lib.attic import box", "log", "log → attic: attic has no place in ORDER"),
    ],
)
def test_a_wrong_arrow_is_named(source: str, importer: str, sentence: str):
    (other,) = imported(source)
    assert wrong_arrow(importer, other).startswith(sentence)
    assert wrong_arrow("experiments", other) is None


def test_the_readme_names_every_room():
    tree = (LIBRARY.parent / "README.md").read_text("utf-8").partition("## Where things are")[2]
    rooms = {path.name + "/" * path.is_dir() for path in LIBRARY.iterdir()}
    missing = {room for room in rooms if not room.startswith("__") and room not in tree}
    assert not missing, f"README's tree lacks {', '.join(sorted(missing))}"
