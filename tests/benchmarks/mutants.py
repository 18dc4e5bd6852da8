"""Whether wrong answers lose marks: data/results/mutants.csv, mutants_survivors.csv.

    python tests/benchmarks/mutants.py [CHAPTER [EXERCISE]]      e.g. 05 take-in

Each exercise's solution is changed in one place at a time, and each such mutant is graded by the
visible check and the hidden tests, in a process of its own that may take `SECONDS`. Mutants with
the solution's bytecode are left out. Those that keep all their marks must stand in mutants.toml
beside this file, with the reason.
"""

import ast
import copy
import json
import linecache
import os
import re
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import faiss
import pandas as pd
import torch

from course_lib.files import atomic_write
from course_lib.results import RESULTS, stamp
from course_lib.texts import tomllib

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "notebooks" / "exercises" / "source"
REASONS = HERE / "mutants.toml"
SECONDS = 60  # of one mutant; a class's cells have as long
EVERY = {"mean-rows": 4}  # each grading starts four processes: a quarter of its mutants will do
UNMARKED = {"prediction", "guess", "predict"}  # a wrong guess costs nothing
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
TWINS = [("min", "max"), ("minimum", "maximum"), ("any", "all"), ("argmin", "argmax")]
TWINS += [("lower", "upper"), ("ones", "zeros"), ("ones_like", "zeros_like"), ("sum", "mean")]
TWIN = dict(TWINS) | {other: one for one, other in TWINS}
SYMMETRIC = {"max", "min"}
SEEDED = {
    "generator": ("generator.manual_seed(0)", "generator = torch.Generator().manual_seed(0)"),
    "rng": ("rng = np.random.default_rng(0)",),
}


def mutants(source: str, first: int = 1, last: int | None = None) -> dict[str, str]:
    """What was changed → the changed source, of each place in the lines from `first` to `last`."""
    tree, lines = ast.parse(source), range(first, 1 + (last or source.count("\n") + 1))
    known, found = {_code(source)}, {}
    for name, path, new in _changes(tree, lines):
        changed = copy.deepcopy(tree)
        parent = changed
        for field, place in path[:-1]:
            parent = getattr(parent, field)
            parent = parent if place is None else parent[place]
        field, place = path[-1]
        if place is None:
            setattr(parent, field, new)
        elif new is None:
            del getattr(parent, field)[place]
        else:
            getattr(parent, field)[place] = new
        text = ast.unparse(ast.fix_missing_locations(changed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what no programmer would write, such as `1()`
            code = _code(text)
        if code not in known:
            known.add(code)
            found[name if name not in found else f"{name}, again"] = text
    return found


def _code(source: str) -> tuple:
    return _bytecode(compile(source, "answer", "exec", dont_inherit=True))


def _bytecode(code: types.CodeType) -> tuple:
    """What two sources that do the same thing have in common: names, constants, instructions."""
    constants = tuple(
        _bytecode(one) if isinstance(one, types.CodeType) else (type(one), repr(one))
        for one in code.co_consts
    )
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _changes(tree: ast.AST, lines: range) -> Iterator[tuple[str, list, ast.AST | None]]:
    """(what is changed, the way to the place, what comes there; None: nothing)."""
    for node, above, path in _marked(tree, []):
        if isinstance(node, ast.FunctionDef):  # begins before its solution
            yield from _seeded(node, path)
        if getattr(node, "lineno", 0) not in lines:
            continue
        text = _line(node)
        where = f" in {_line(above)}" if isinstance(node, ast.Constant) else ""
        for new in _instead(node):
            yield f"{text} → {_line(new)}{where}", path, new
        if isinstance(node, ast.Call):
            for place, keyword in enumerate(node.keywords):
                more = f"{text} without {keyword.arg or '**'}"
                if keyword.arg != "strict":
                    yield more, [*path, ("keywords", place)], None
        droppable = ast.Assign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.While, ast.Raise
        flow = ast.Assert, ast.Delete, ast.Continue, ast.Break, ast.With
        if isinstance(node, (*droppable, *flow)) and not _is_docstring(node):
            yield f"without {text}", path, ast.Pass()


def _line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def _seeded(node: ast.FunctionDef, path: list) -> Iterator[tuple[str, list, ast.AST]]:
    """The function with a seed of its own, after its docstring."""
    for argument in node.args.args:
        for seed in SEEDED.get(argument.arg, ()):
            new = copy.deepcopy(node)
            place = int(_is_docstring(new.body[0]))
            new.body[place:place] = ast.parse(seed).body
            yield f"{node.name} with {seed}", path, new


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _marked(node: ast.AST, path: list) -> Iterator[tuple[ast.AST, ast.AST, list]]:
    """Every node, the one above it and the way to it, but what no mark depends on: guesses, errors' texts, types, and
    `zip`'s `strict`, which guards what the exercise promises.
    """
    for field, value in ast.iter_fields(node):
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        if field in ("annotation", "returns") or isinstance(node, (ast.Raise, ast.JoinedStr)):
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict":
            continue
        for place, child in children:
            names = getattr(child, "name", None), *getattr(child, "targets", [])
            names = {name.id if isinstance(name, ast.Name) else name for name in names}
            if isinstance(child, ast.AST) and not names & UNMARKED:
                way = [*path, (field, place)]
                yield child, node, way
                yield from _marked(child, way)


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of an expression."""

    def with_(**fields: object) -> ast.AST:
        new = copy.copy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield with_(ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield with_(op=OPERATORS[type(operator)]())
            if isinstance(operator, ast.FloorDiv):  # rounded up
                minus = with_(left=ast.UnaryOp(ast.USub(), node.left))
                yield ast.UnaryOp(ast.USub(), minus)
        case ast.BoolOp():
            yield with_(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp():
            yield node.operand
        case ast.AugAssign() if type(node.op) in OPERATORS:
            yield with_(op=OPERATORS[type(node.op)]())
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
        case ast.Name() | ast.Attribute() | ast.keyword():
            field = {ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg"}[type(node)]
            if getattr(node, field) in TWIN:
                yield with_(**{field: TWIN[getattr(node, field)]})
        case ast.Call(args=[one, other]) if ast.unparse(node.func) not in SYMMETRIC:
            yield with_(args=[other, one])
        case ast.Slice():
            for bound in ("lower", "upper"):
                value = getattr(node, bound)
                if value is not None:
                    yield with_(**{bound: None})
                    if not isinstance(value, ast.Constant):
                        yield with_(**{bound: ast.BinOp(value, ast.Add(), ast.Constant(1))})
        case ast.If() | ast.While() | ast.IfExp() if not isinstance(node.test, ast.Compare):
            yield with_(test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension():
            for place, test in enumerate(node.ifs):
                yield with_(ifs=[*node.ifs[:place], *node.ifs[place + 1 :]])
                if not isinstance(test, ast.Compare):
                    other = ast.UnaryOp(ast.Not(), test)
                    yield with_(ifs=[*node.ifs[:place], other, *node.ifs[place + 1 :]])


def cells(chapter: str) -> list[tuple[str, str]]:
    """(grade_id or "", source) of a chapter's cells of code."""
    (path,) = SOURCE.glob(f"{chapter}_*/*.ipynb")
    code = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    ids = [cell["metadata"].get("nbgrader", {}).get("grade_id", "") for cell in code]
    return list(zip(ids, map("".join, (cell["source"] for cell in code)), strict=True))


def run(source: str, name: str, space: dict) -> None:
    """Run a cell's source, which `inspect` can read, as in a kernel."""
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    exec(compile(source, name, "exec", dont_inherit=True), space)


def graded(answer: str, tests: list[str], space: dict) -> str:
    """How an answer ends, in a process of its own: "passes", "fails" or "time"."""
    process = os.fork()
    if process == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        try:
            run(answer, "answer.py", space)
            for number, test in enumerate(tests):
                run(test, f"test_{number}.py", space)
        except BaseException:
            os._exit(1)
        os._exit(0)
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return "fails" if status else "passes"
        time.sleep(0.005)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "time"


def exercises(chapter: str) -> Iterator[tuple[str, str, list[str], dict]]:
    """(exercise, its answer's cell, its tests' cells, what the cells before have defined)."""
    found, space = cells(chapter), {"__name__": "__main__"}
    for place, (name, source) in enumerate(found):
        if name.endswith(("-check", "-hidden")):
            continue
        if name:
            tests = [text for test, text in found if re.fullmatch(rf"{name}-(check|hidden)", test)]
            yield name, source, tests, space
        run(source, f"cell_{place}.py", space)


def survivors(source: str, tests: list[str], space: dict, every: int = 1) -> tuple[int, list[str]]:
    """How many mutants are graded, every so-manieth, and those that keep all their marks."""
    lines = source.splitlines()
    first = 1 + next(i for i, line in enumerate(lines) if "### BEGIN SOLUTION" in line)
    last = len(lines) - next(i for i, line in enumerate(lines[::-1]) if "### END" in line)
    made = dict(list(mutants(source, first, last).items())[::every])
    kept = [name for name, text in made.items() if graded(text, tests, space) == "passes"]
    return len(made), kept


def main(chapter: str = "", exercise: str = "") -> None:
    torch.set_num_threads(1)  # a fork would wait for the others' threads
    faiss.omp_set_num_threads(1)
    reasons = tomllib.loads(REASONS.read_text("utf-8"))
    for path in sorted(SOURCE.glob(f"{chapter}*")):
        number = path.name[:2]
        for name, source, tests, space in exercises(number):
            if exercise not in ("", name):
                continue
            assert graded(source, tests, space) == "passes", f"{number}: {name} is not solved"
            made, kept = survivors(source, tests, space, EVERY.get(name, 1))
            known, here = reasons.get(name, {}), {"chapter": number, "exercise": name}
            row = here | {"mutants": made, "killed": made - len(kept)}
            row |= {"share": round(1 - len(kept) / made, 3), **stamp()}
            left = [here | {"mutation": one, "reason": known.get(one, "")} for one in kept]
            save(RESULTS / "mutants.csv", here, [row])
            save(RESULTS / "mutants_survivors.csv", here, left)
            print(f"{number} {name}: {row['killed']} of {made}", flush=True)
            for one in (one for one in kept if one not in known):
                print(f"  survives without a reason: {one}")
            for one in sorted(known.keys() - set(kept)):
                print(f"  {REASONS.name} names what does not survive: {one}")


def save(path: Path, here: dict, rows: list[dict]) -> None:
    """Put the rows of one exercise into a table, in the place of those that it had."""
    order = [name for n in sorted(SOURCE.glob("[01]*")) for name, _ in cells(n.name[:2]) if name]
    old = pd.read_csv(path, dtype={"chapter": str}, keep_default_na=False)
    kept = old["exercise"].isin(order) & (old["exercise"] != here["exercise"])
    table = pd.concat([old[kept], pd.DataFrame(rows, columns=old.columns)])
    place = table["exercise"].map(order.index)
    with atomic_write(path) as new:
        table.iloc[place.argsort(kind="stable")].to_csv(new, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
