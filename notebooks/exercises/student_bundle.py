"""The course as a student gets it, in build/student: `make student-bundle`.

Left out are the exercises' sources, all that is for teachers, and the references that checks compare
with: a check in the bundle knows examples, what is expected of them, and what each typical mistake
would answer.
"""

import ast
import contextlib
import importlib
import json
import linecache
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import torch
from course_lib.checks import guard

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "notebooks" / "exercises" / "source"
WHOLE = [
    "LICENSE",
    "requirements.lock",
    "environment.yml",
    "postBuild",
    "jupyter",
    "data",
    "course_lib",
]
WHOLE += [
    "notebooks/images",
    *(f"notebooks/{p.name}" for p in ROOT.glob("notebooks/*.ipynb")),
]
IN_PART = ["README.md", "Makefile", "pyproject.toml", "notebooks/exercises/README.md"]
TEACHERS = re.compile(
    r"^[^\n]*BEGIN TEACHERS[^\n]*\n.*?^[^\n]*END TEACHERS[^\n]*\n|^make test\b[^\n]*\n",
    re.M | re.S,
)
LEFT_BEHIND = shutil.ignore_patterns(  # mutants show lines of solutions
    "__pycache__", ".ipynb_checkpoints", "*.pyc", ".DS_Store", "mutants*.csv"
)


def make(folder: Path) -> None:
    """Write the bundle to `folder`, which is not there yet."""
    for name in WHOLE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=LEFT_BEHIND)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    for name in IN_PART:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = TEACHERS.sub("", (ROOT / name).read_text("utf-8"))
        (folder / name).write_text(text, "utf-8")
    released = release(folder / "notebooks" / "exercises" / "release")
    for module in sorted((folder / "course_lib" / "checks").glob("chapter_*.py")):
        (notebook,) = [path for path in released if path.stem[:2] == module.stem[-2:]]
        replace_checks(module, notebook)


def release(folder: Path) -> list[Path]:
    """nbgrader's students' version of every chapter; no database of a class is touched."""
    with tempfile.TemporaryDirectory() as course:
        shutil.copytree(SOURCE, Path(course, "source"), ignore=LEFT_BEHIND)
        shutil.copy(SOURCE.parent / "nbgrader_config.py", course)
        command = [sys.executable, "-m", "nbgrader", "generate_assignment", "*"]
        done = subprocess.run(command, cwd=course, capture_output=True, text=True)
        if done.returncode:
            sys.exit(
                f"nbgrader could not release the exercises.\n{done.stderr[-3000:]}"
            )
        shutil.copytree(Path(course, "release"), folder)
    return sorted(folder.glob("*/*.ipynb"))


def replace_checks(module: Path, notebook: Path) -> None:
    """Write a chapter's checks without their references, and the records that they read."""
    name = module.stem
    code = "\n".join(code_of(notebook))
    used = set(re.findall(rf"\b{name}\.(\w+)", code))
    for names in re.findall(rf"from course_lib\.checks\.{name} import (.*)", code):
        used |= set(re.findall(r"\w+", names))
    module.write_text(without_references(module.read_text("utf-8"), used), "utf-8")
    records = {}
    for found in records_of(name, SOURCE / notebook.stem / notebook.name):
        if common := records.keys() & found.keys():
            sys.exit(
                f"{name}: two checks have a case called {common.pop()!r}; tell them apart."
            )
        records |= found
    text = json.dumps(records, ensure_ascii=False, indent=0)
    module.with_suffix(".json").write_text(text + "\n", "utf-8")


# What the checks know, as values


def code_of(notebook: Path) -> list[str]:
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def records_of(name: str, source: Path) -> Iterator[dict]:
    """Of each check, what its cases expect and what their mistakes would answer, by `what`."""
    checks, imports, answer = (
        importlib.import_module(f"course_lib.checks.{name}"),
        [],
        "",
    )
    for code in code_of(source):
        kinds = (ast.Import, ast.ImportFrom)
        imports += [node for node in ast.parse(code).body if isinstance(node, kinds)]
        answer = code if "### BEGIN SOLUTION" in code else answer
        for call in re.findall(rf"^{name}\.check_.*", code, re.M):
            space = {"__name__": "answers"}
            exec(compile(ast.Module(imports, []), "imports", "exec"), space)
            linecache.cache[call] = len(answer), None, answer.splitlines(True), call
            exec(compile(answer, call, "exec"), space)  # a check may ask for its text
            yield record(checks, space, call)


def record(checks: ModuleType, space: dict, call: str) -> dict:
    """The cases of a check, called on the solution that is in `space`."""
    found: dict[str, dict] = {}

    def case(function, given, expected, what, mistakes=None, of=lambda found: found):
        before = guard._fresh(given)
        right = guard.case(function, given, expected, what, of=of)
        values = {}
        for reason, wrong in (mistakes or {}).items() if with_mistakes else ():
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore")
                values[reason] = told(of(wrong(*guard._fresh(before))))
        if what in found and with_mistakes:
            sys.exit(f"{call}: two cases are called {what!r}; tell them apart.")
        found.setdefault(what, {"expected": told(expected), "mistakes": values})
        return right

    with mock.patch.object(checks, "case", case), contextlib.redirect_stdout(None):
        for with_mistakes in (True, False):
            try:
                exec(call, space)
                break
            except AssertionError:  # a mistake may have spoilt what the check counts
                if not with_mistakes:
                    raise
    return found


def told(value: object) -> object:
    """A value as JSON holds it, in nine digits, so that machines agree; `guard.restored` reads it.

    Raises TypeError for a value that would not come back as it was.
    """
    if isinstance(value, guard.Near):
        return {"near": [told(value.value), value.tolerance]}
    kept = kept_of(value)
    there, back = guard.restored(kept), value
    if guard._difference(there, back, 1e-8) or guard._difference(back, there, 1e-8):
        raise TypeError(f"A record can't hold {value!r}.")
    return kept


def kept_of(value: object) -> object:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return kept_of(guard._array(value).tolist())
    if isinstance(value, np.generic):
        return kept_of(value.item())
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {"dict": [[kept_of(key), kept_of(part)] for key, part in value.items()]}
    if isinstance(value, pd.DataFrame):
        columns = [[name, kept_of(value[name].tolist())] for name in value]
        return {"table": [columns, kept_of(list(value.index))]}
    if isinstance(value, pd.Series):
        return {"column": [kept_of(value.tolist()), kept_of(list(value.index))]}
    if isinstance(value, pd.Timestamp):
        return {"time": value.isoformat()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return [kept_of(part) for part in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"A record can't hold {value!r}.")


# The checks' code, without what would answer for a student


def without_references(source: str, used: set[str]) -> str:
    """A module of checks whose cases are `guard.recorded`, without what is left over.

    `used`: what the students' notebook uses of it, besides the checks.
    """
    tree = ast.parse(source)
    library = {  # its functions
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and "course_lib.checks" not in node.module
        for alias in node.names
        if node.module.startswith("course_lib.") and alias.name.islower()
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            Cases(values_of(node), library).visit(node)
            while drop_unused(node.body, loads(node), set()):
                pass
    used = used | {n.name for n in tree.body if getattr(n, "name", "")[:6] == "check_"}
    while drop_unused(tree.body, loads(tree), used | {"annotations"}):
        pass
    if "case" in loads(tree):
        (guard_,) = [n for n in tree.body if getattr(n, "module", "") == guard.__name__]
        guard_.names = [alias for alias in guard_.names if alias.name != "case"]
        guard_.names.append(ast.alias("recorded"))
        last = max(place for place, node in enumerate(tree.body) if is_import(node))
        tree.body[last + 1 : last + 1] = ast.parse("case = recorded(__file__)").body
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def is_import(node: ast.AST) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def loads(tree: ast.AST) -> set[str]:
    """The names that are read anywhere in a tree, but for a function's own name within itself."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        own = (
            {node.name} if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else set()
        )
        found |= loads(node) - own
    if isinstance(tree, ast.Name) and isinstance(tree.ctx, ast.Load):
        found.add(tree.id)
    return found


def pairs(target: ast.AST, value: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    """Each part of a target with its value, where both are written part by part."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def values_of(function: ast.FunctionDef) -> dict[str, set[str]]:
    """Of each local name, the names in all that is assigned to it."""
    found: dict[str, set[str]] = {}
    for node in own_statements(function.body):
        if isinstance(node, ast.Assign):
            for target, value in pairs(node.targets[0], node.value):
                for name in names_in(target):
                    found.setdefault(name, set()).update(loads(ast.Expr(value)))
    return found


def own_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a function, and none of those within it."""
    for node in body:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield from own_statements(getattr(node, "body", []))


def names_in(target: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


class Cases(ast.NodeTransformer):
    """Takes the mistakes out of each `case`, and what is expected, unless the library makes it."""

    def __init__(self, values: dict[str, set[str]], library: set[str]) -> None:
        self.values, self.library = values, library

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "case":
            function, given, expected, what = node.args[:4]
            node.args = [function, given, what]
            node.keywords = [word for word in node.keywords if word.arg == "of"]
            if self.known(expected) & self.library:
                node.keywords.append(ast.keyword("expected", expected))
        return node

    def known(self, expression: ast.AST) -> set[str]:
        names, found = loads(ast.Expr(expression)), set()
        while names:
            found |= names
            names = (
                set().union(*(self.values.get(name, set()) for name in names)) - found
            )
        return found


def drop_unused(body: list[ast.stmt], read: set[str], kept: set[str]) -> bool:
    """Take what defines names that nothing reads out of a body, once; whether there was any."""
    before = len(body), sum(len(ast.dump(node)) for node in body)
    for node in list(body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if node.name not in read | kept:
                body.remove(node)
        elif is_import(node):
            named = [(alias.asname or alias.name).split(".")[0] for alias in node.names]
            pairs_ = zip(node.names, named, strict=True)
            node.names = [alias for alias, name in pairs_ if name in read | kept]
            if not node.names:
                body.remove(node)
        elif isinstance(node, ast.Assign):
            parts = pairs(node.targets[0], node.value)
            parts = [(t, v) for t, v in parts if is_read(t, read | kept)]
            if not parts:
                body.remove(node)
            elif len(parts) < len(pairs(node.targets[0], node.value)):
                target, value = (list(part) for part in zip(*parts, strict=True))
                node.targets, node.value = (
                    [joined(target, ast.Store())],
                    joined(value, ast.Load()),
                )
        elif isinstance(node, ast.For):
            drop_columns(node, read)
            drop_unused(node.body, read, kept)
    return before != (len(body), sum(len(ast.dump(node)) for node in body))


def is_read(target: ast.AST, read: set[str]) -> bool:
    """Whether one of the names is read; a place in something, or an attribute, always is."""
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    return any(not isinstance(name, ast.Name) or name.id in read for name in names)


def joined(parts: list[ast.expr], context: ast.expr_context) -> ast.expr:
    return parts[0] if len(parts) == 1 else ast.Tuple(parts, context)


def drop_columns(node: ast.For, read: set[str]) -> None:
    """Of `for a, b in ((1, 2), (3, 4))` the values of a name that nothing reads."""
    if not isinstance(node.target, ast.Tuple) or not isinstance(node.iter, ast.Tuple):
        return
    keep = [place for place, name in enumerate(node.target.elts) if is_read(name, read)]
    if not keep or not all(isinstance(row, ast.Tuple) for row in node.iter.elts):
        return
    rows = [
        joined([row.elts[place] for place in keep], ast.Load())
        for row in node.iter.elts
    ]
    node.iter = ast.Tuple(rows, ast.Load())
    node.target = joined([node.target.elts[place] for place in keep], ast.Store())


if __name__ == "__main__":
    usual = ROOT / "build" / "student"
    bundle = Path(sys.argv[1]) if sys.argv[1:] else usual
    if bundle != usual and bundle.exists():
        sys.exit(f"{bundle} is there already; name a new folder.")
    part = bundle.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    make(part)
    if bundle == usual:
        shutil.rmtree(usual, ignore_errors=True)
    part.rename(bundle)
    print(f"The course without solutions, hidden tests and references: {bundle}")
