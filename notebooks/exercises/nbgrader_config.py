"""nbgrader's settings, for its commands run in this folder; README.md says which commands, and what
each needs.
"""

import ast
import copy
import os
import re
import secrets
import symtable
import sysconfig
import warnings
from contextlib import suppress
from pathlib import Path

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import DeduplicateIds, Execute, NbGraderPreprocessor
from nbgrader.utils import has_failed, is_grade, is_solution
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
    one id the last keeps it, and the others still run; a test runs after all of its answer. Code
    that was given, such as the imports, is put back where it was changed or deleted.
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
        nb.cells = with_given(nb.cells, source_of(self.config, resources).cells)
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


def source_of(config, resources):
    """The teachers' notebook; an empty one where it isn't."""
    where = resources["nbgrader"]
    folder = CourseDirectory(config=config).format_path(
        "source", ".", where["assignment"]
    )
    path = Path(folder, f"{where['notebook']}.ipynb")
    there = path.is_file()
    return nbformat.read(path, as_version=4) if there else nbformat.v4.new_notebook()


def is_given(cell):
    return cell.cell_type == "code" and "nbgrader" not in cell.metadata


def id_of(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def with_given(cells, source):
    """The cells, with all code that was given: each in its place, as it was given.

    A learner's own version of it, if there is one, runs after it.
    """
    cells, at = list(cells), 0
    marked = [cell for cell in source if is_given(cell) or id_of(cell)]
    for number, cell in enumerate(marked):
        later = {id_of(other) for other in marked[number:]} - {""}
        places = [
            place
            for place, one in enumerate(cells)
            if id_of(one) == id_of(cell)
            and (id_of(cell) or (is_given(one) and one.source == cell.source))
        ]
        end = next(
            (i for i, one in enumerate(cells) if id_of(one) in later), len(cells)
        )
        if is_given(cell) and not (places and places[0] < end):
            cells.insert(min(at, end), new := copy.deepcopy(cell))
            new.outputs, places = [], [min(at, end)]
        at = max([at, *(place + 1 for place in places[:1])])
    return cells


# Runs in the kernel before anything else. What it keeps is put back before each test.
KEEP = """
def keep():
    import importlib, os, sys, types
    for name in {modules!r}:
        importlib.import_module(name)
    shell, forbidden = get_ipython(), {forbidden!r}
    roots = ("builtins", "math", "numpy", "pandas", "torch", "scipy", "course_lib")
    kept = [m for n, m in list(sys.modules.items())
            if n.split(".")[0] in roots and isinstance(m, types.ModuleType)]
    for module in kept[:]:
        if module.__name__ in roots or module.__name__.startswith("course_lib"):
            kept += [v for v in vars(module).values() if isinstance(v, type)]
    kept = [(one, {{n: v for n, v in vars(one).items() if callable(v)}}) for one in kept]
    codes = [(v, v.__code__) for one, names in kept for v in names.values()
             if isinstance(v, types.FunctionType) and (v.__module__ or "").startswith("course_lib")]
    lists = [shell.ast_transformers, shell.input_transformers_post,
             shell.input_transformer_manager.cleanup_transforms,
             shell.input_transformer_manager.line_transforms,
             shell.input_transformer_manager.token_transformers]
    lists += shell.events.callbacks.values()
    lists = [(one, list(one)) for one in lists]

    def put_back(imports):
        sys.settrace(None)
        sys.setprofile(None)
        for function, code in codes:
            function.__code__ = code
        for one, names in kept:
            for name, value in names.items():
                if vars(one).get(name) is not value:
                    setattr(one, name, value)
        for one, parts in lists:
            one[:] = parts
        exec(imports, shell.user_ns)

    def watch(event, arguments):
        if event in ("open", "sqlite3.connect") and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if path.startswith(forbidden):
                raise PermissionError("An answer can't read what is the teachers'.")

    def stay():
        raise RuntimeError("exit() would end the kernel; use return.")

    shell.ask_exit = stay
    sys.addaudithook(watch)
    sys.modules["put_back"] = put_back

keep()
del keep
"""
CHECKS = os.path.join("course_lib", "checks")
DIED = (
    "The kernel died here; is a process ended, or more memory asked for than there is?"
)


class Run(Execute):
    """Runs a submission so that no answer costs the marks of another exercise.

    All cells run in one kernel. If it dies, if a cell does not end, if a test is kept from running,
    or if an answer binds names that were given, each exercise that has not passed runs again:
    alone, in a new kernel. A test runs with what was imported, and with the libraries' functions as
    they were; it counts if it has run to its end.
    """

    def preprocess(self, nb, resources, km=None):
        self.ended, self.kept_from = set(), False
        source = source_of(self.config, resources).cells
        text = "\n".join(cell.source for cell in nb.cells if is_grade(cell))
        modules = sorted(set(re.findall(r"\bchapter_\d\d\b", text)))
        root = Path(CourseDirectory(config=self.config).root).resolve()
        self.setup = KEEP.format(
            modules=[f"course_lib.checks.{module}" for module in modules],
            forbidden=(f"{root / 'source'}{os.sep}", str(root / "gradebook.db")),
        )
        self.imports = imports([cell for cell in source if is_given(cell)])
        exercises = by_exercise(nb.cells, {cell.source for cell in source})
        whole = self.run_all(nb, resources, nb.cells) and not self.kept_from
        names = {
            key: set().union(*(bound(cell) for cell in cells if not is_grade(cell)))
            for key, cells in exercises.items()
        }
        given = names.pop("", set())
        for name, cells in exercises.items():
            others = set().union(
                *(theirs for key, theirs in names.items() if key != name)
            )
            if name and (not whole or others & given):
                self.run_alone(nb, resources, exercises.get("", []), cells)
        return nb, resources

    def run_alone(self, nb, resources, given, cells):
        """Run an exercise's cells, unless its tests have passed, with those that are given."""
        left = [cell for cell in cells if is_grade(cell)]
        if all(id(cell) in self.ended and not has_failed(cell) for cell in left):
            return
        run = [cell for cell in nb.cells if any(cell is one for one in given + cells)]
        self.ended.clear()
        while left and not self.run_all(nb, resources, run):
            culprit = self.running
            gone = left if is_solution(culprit) else [culprit]
            for cell in gone if culprit in gone else [culprit, *gone]:
                cell.outputs = [self.what_stopped]
            done = {id(cell) for cell in gone} | {id(culprit)} | self.ended
            left = [cell for cell in left if id(cell) not in done]
            run = [
                c for c in run if c is not culprit and (not is_grade(c) or c in left)
            ]

    def run_all(self, nb, resources, cells):
        """Run cells of the notebook in a new kernel; whether that has got to the end."""
        part = copy.copy(nb)
        part.cells, self.running = cells, None
        try:
            super().preprocess(part, resources)
        except (DeadKernelError, CellTimeoutError) as error:
            if self.running is None:
                raise
            told = {"ename": "DeadKernelError", "evalue": DIED}
            if isinstance(error, CellTimeoutError):
                told = self.error_on_timeout
            told = {"traceback": [f"{told['ename']}: {told['evalue']}"]} | told
            self.what_stopped = nbformat.v4.new_output("error", **told)
            return False
        return True

    def preprocess_cell(self, cell, resources, index):
        if self.running is None:
            limit, self.timeout = self.timeout, None  # imports take their time
            self.tell(self.setup)
            self.timeout = limit
        self.running = cell
        if not is_grade(cell):
            return super().preprocess_cell(cell, resources, index)
        put_back = f"__import__('sys').modules['put_back']({self.imports!r})"
        self.tell("", put_back)
        source, proof = cell.source, secrets.token_hex(8)
        cell.source = f"{source}\n__ended__ = '{proof}'"
        try:
            super().preprocess_cell(cell, resources, index)
        finally:
            cell.source = source
        for output in cell.outputs:
            if output.output_type == "stream":
                output.name = "stdout"  # nbgrader takes stderr for a failure
            if output.output_type == "error":  # without the frames of the checks
                parts = output.traceback
                output.traceback = [one for one in parts if CHECKS not in one]
        if proof not in self.tell("", "__ended__") and not has_failed(cell):
            self.kept_from, told = True, "This test was kept from running to its end."
            error = {"ename": "AssertionError", "evalue": told, "traceback": [told]}
            cell.outputs.append(nbformat.v4.new_output("error", **error))
        self.ended.add(id(cell))
        return cell, resources

    def tell(self, code, expression="None"):
        """Let the kernel run code, and tell what an expression is."""
        asked = {"it": expression}
        message = self.kc.execute(code, silent=True, user_expressions=asked)
        reply = self.wait_for_reply(
            message, self.running or nbformat.v4.new_code_cell()
        )
        return str(reply and reply["content"].get("user_expressions"))


def imports(cells):
    """The statements of cells that import modules, or something of the checks."""
    found = []
    for node in ast.parse("\n".join(cell.source for cell in cells)).body:
        checks = getattr(node, "module", None) or ""
        if isinstance(node, ast.Import) or checks.startswith("course_lib.checks"):
            found.append(ast.unparse(node))
    return "\n".join(found)


def bound(cell):
    """The names that a cell of Python binds."""
    with suppress(SyntaxError):
        names = symtable.symtable(cell.source, "cell", "exec").get_symbols()
        return {n.get_name() for n in names if n.is_assigned() or n.is_imported()}
    return set()


def by_exercise(cells, given):
    """The code of each exercise, by its id, and what belongs to none or was given, by "".

    A cell without an id belongs to the one exercise below its heading.
    """
    found, sections = {}, [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            sections.append([])
        sections[-1] += [cell] * (cell.cell_type == "code")
    for section in sections:
        names = {exercise_of(cell) for cell in section} - {""}
        own = names.pop() if len(names) == 1 else ""
        for cell in section:
            name = exercise_of(cell) or ("" if cell.source in given else own)
            found.setdefault(name, []).append(cell)
    return found


def exercise_of(cell):
    name = id_of(cell)
    return name if not name or is_solution(cell) else name.rpartition("-")[0]


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

c.Autograde.autograde_preprocessors = [
    Run if step is Execute else step
    for step in Autograde.autograde_preprocessors.default()
]
c.Execute.interrupt_on_timeout = False  # which some loops survive
c.Execute.shutdown_kernel = "immediate"
c.Execute.timeout = SECONDS
c.Execute.error_on_timeout = {
    "ename": "TimeoutError",
    "evalue": f"This cell had not ended after {SECONDS} s; is there a loop that never ends?",
    "traceback": [
        f"TimeoutError: This cell had not ended after {SECONDS} s; is there a loop that never ends?"
    ],
}
