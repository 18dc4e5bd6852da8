"""Every exercise, answered rightly in every other form: the check and the hidden tests agree.

The solution of each notebook is wrapped, so that what it returns comes in another form, or so that
it prints and warns meanwhile; then the cells that grade it run, in this process.
"""

import contextlib
import functools
import io
import linecache
import warnings
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from tqdm import tqdm

SOURCE = Path(__file__).parent.parent / "notebooks" / "exercises" / "source"
NOTEBOOKS = {
    path.stem: nbformat.read(path, as_version=4) for path in sorted(SOURCE.glob("*/*.ipynb"))
}


def grade_id(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


EXERCISES = [
    (chapter, grade_id(cell))
    for chapter, notebook in NOTEBOOKS.items()
    for cell in notebook.cells
    if cell.metadata.get("nbgrader", {}).get("solution")
]


# Forms of a right answer


def as_numpy(value):
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if isinstance(value, list) and value and all(type(one) in (int, float) for one in value):
        return np.array(value)
    return np.float64(value) if type(value) is float else value


def as_tensors(value):
    numeric = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"
    return torch.tensor(value) if numeric or type(value) is float else value


def as_lists(value):
    return value.tolist() if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) else value


def of_dtypes(floats: str, integers: str) -> Callable:
    def change(value):
        if isinstance(value, torch.Tensor):
            kinds = {torch.float32, torch.float64}, {torch.int32, torch.int64}
            for kind, name in zip(kinds, (floats, integers), strict=True):
                if value.dtype in kind:
                    return value.to(getattr(torch, name))
        if isinstance(value, (np.ndarray, np.generic, pd.Series)) and value.dtype.kind in "fi":
            return value.astype(floats if value.dtype.kind == "f" else integers)
        if isinstance(value, pd.DataFrame):
            return value.apply(change)
        return value

    return change


def with_gradients(value):
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_() * 1
    return value


def with_object_index(value):
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return value.set_axis(value.index.astype(object))
    return value


FORMS = {
    "NumPy": as_numpy,
    "tensors": as_tensors,
    "lists": as_lists,
    "wide": of_dtypes("float64", "int64"),
    "narrow": of_dtypes("float32", "int32"),
    "gradients": with_gradients,
    "index": with_object_index,
    "noise": None,
}


def everywhere(form: Callable, value, name: str):
    """The value in another form, and what is in it, too."""
    if isinstance(value, dict):
        return {key: everywhere(form, part, name) for key, part in value.items()}
    if hasattr(value, "_fields"):  # the library's own
        return value
    if isinstance(value, tuple):
        kind = list if name == "lists" else tuple
        return kind(everywhere(form, part, name) for part in value)
    if isinstance(value, list) and not all(type(one) in (int, float) for one in value):
        return [everywhere(form, part, name) for part in value]
    return form(value)


class Changed:
    """Wraps a function, or what a class answers; `any`: whether an answer has changed its form."""

    def __init__(self, name: str) -> None:
        self.name, self.any = name, name == "noise"

    def __call__(self, answer):
        if isinstance(answer, type):
            methods = {"answer": self(answer.answer)}
            return type(answer.__name__, (answer,), methods)

        @functools.wraps(answer)
        def changed(*given, **named):
            if self.name == "noise":
                print("on the way")
                warnings.warn("a warning", stacklevel=1)
                list(tqdm(range(3)))
                return answer(*given, **named)
            right = answer(*given, **named)
            other = everywhere(FORMS[self.name], right, self.name)
            self.any |= described(other) != described(right)
            return other

        return changed


def described(value) -> object:
    if isinstance(value, dict):
        return {key: described(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [described(part) for part in value]
    index = str(getattr(getattr(value, "index", None), "dtype", None))
    return (
        type(value),
        str(getattr(value, "dtype", None)),
        index,
        getattr(value, "requires_grad", 0),
    )


@functools.cache
def given(chapter: str) -> dict:
    """The names that a chapter's cells bind before anybody has answered. Shared."""
    space = {"__name__": "answers"}
    for cell in NOTEBOOKS[chapter].cells:
        if cell.cell_type == "code" and not grade_id(cell):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(cell.source, space)
    return space


def outcome(source: str, space: dict) -> str:
    """Nothing if the cell ends, else the sentence with which it fails."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                exec(source, space)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def answered(chapter: str, exercise: str, form: str) -> tuple[list[str], Changed]:
    space, changed = given(chapter).copy(), Changed(form)
    told = []
    for cell in NOTEBOOKS[chapter].cells:
        name = grade_id(cell)
        if name == exercise:
            file = f"<{exercise}>"
            linecache.cache[file] = len(cell.source), None, cell.source.splitlines(True), file
            exec(compile(cell.source, file, "exec"), space)
            answer = exercise.replace("-", "_")
            answer = answer if answer in space else answer.title()
            space[answer] = changed(space[answer])
        elif name.rpartition("-")[0] == exercise:
            told.append(outcome(cell.source, space))
            if not changed.any:
                break
    return told, changed


@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_agree(chapter, exercise):
    bad = {}
    for form in FORMS:
        told, changed = answered(chapter, exercise, form)
        if changed.any and any(told):
            bad[form] = told
    assert not bad, "\n".join(f"## {exercise} {f}: {t}" for f, t in bad.items())
