"""Right answers in every form that a task leaves open: the check and the hidden tests accept them.

The solution of each exercise is wrapped, so that what it returns is of another type, or so that it
prints, warns and shows a bar meanwhile. The cells that grade it then run, in this process.
"""

import contextlib
import functools
import io
import linecache
import sys
import time
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
NOTEBOOKS = {path.stem: nbformat.read(path, 4) for path in sorted(SOURCE.glob("*/*.ipynb"))}
# Not swept: a copy of its text runs in two processes, which know nothing of what is wrapped here.
APART = {"mean-rows"}
# The check is given what was predicted, and tells whoever has predicted nothing.
PREDICTED = {"seeds-needed": ["predict"], "clear-by-chance": ["prediction"]}
# These return nothing, or are taken out of what wraps them.
UNSEEN = {"publish", "put-online", "follow"}
ENOUGH = 8  # answers of an exercise that are looked at, to see whether a form changes them


def grade_id(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


EXERCISES = [
    (chapter, grade_id(cell))
    for chapter, notebook in NOTEBOOKS.items()
    for cell in notebook.cells
    if cell.metadata.get("nbgrader", {}).get("solution") and grade_id(cell) not in APART
]


# The forms


def is_list_of_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(one) in (int, float) for one in value)


def as_numpy(value):
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    numbers = type(value) is float or (is_list_of_numbers(value) and value)
    return np.array(value) if numbers else value


def as_tensor(value):
    numbers = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"
    return torch.tensor(value) if numbers or type(value) is float else value


def as_list(value):
    return value.tolist() if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) else value


def of_types(floats: str, integers: str) -> Callable:
    def change(value):
        if isinstance(value, pd.DataFrame):
            return value.apply(change)
        if isinstance(value, torch.Tensor) and value.dtype != torch.bool:
            return value.to(getattr(torch, floats if value.is_floating_point() else integers))
        if isinstance(value, (np.ndarray, np.generic, pd.Series)) and value.dtype.kind in "fi":
            return value.astype(floats if value.dtype.kind == "f" else integers)
        return value

    return change


def with_gradient(value):
    floats = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.detach().clone().requires_grad_() * 1 if floats else value


def with_objects_as_index(value):
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return value.set_axis(value.index.astype(object))
    return value


FORMS = {
    "NumPy": as_numpy,
    "a tensor": as_tensor,
    "a list": as_list,
    "64 bits": of_types("float64", "int64"),
    "32 bits": of_types("float32", "int32"),
    "a gradient": with_gradient,
    "an index of objects": with_objects_as_index,
}


def everywhere(form: Callable, value: object) -> object:
    """The value in another form, and all that is in it."""
    if isinstance(value, dict):
        return {key: everywhere(form, part) for key, part in value.items()}
    if type(value) is tuple:  # others are the library's own
        return (list if form is as_list else tuple)(everywhere(form, part) for part in value)
    if isinstance(value, list) and not is_list_of_numbers(value):
        return [everywhere(form, part) for part in value]
    return form(value)


def kinds(value: object) -> object:
    if isinstance(value, dict):
        return {key: kinds(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [kinds(part) for part in value]
    index = getattr(getattr(value, "index", None), "dtype", None)
    types = list(value.dtypes) if isinstance(value, pd.DataFrame) else getattr(value, "dtype", None)
    return type(value), str(types), str(index), getattr(value, "requires_grad", False)


def wrapped(answer: Callable, change: Callable) -> Callable:
    """The function with a change made to all that it returns; of a class, what `answer` returns."""
    if isinstance(answer, type):
        return type(answer.__name__, (answer,), {"answer": wrapped(answer.answer, change)})

    @functools.wraps(answer)
    def other(*given, **named):
        return change(answer(*given, **named))

    return other


# What grades them


@functools.cache
def given(chapter: str) -> dict:
    """The names that a chapter's cells bind before anybody has answered. Shared."""
    space = {"__name__": "answers"}
    for cell in NOTEBOOKS[chapter].cells:
        if cell.cell_type == "code" and not grade_id(cell):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(cell.source, space)
    return space


def outcomes(chapter: str, exercise: str, change: Callable, without: bool = False) -> list[str]:
    """Of each cell that grades the exercise, why it fails, or "".

    - `change`: made to all that the solution returns.
    - `without`: whether all else that the answer binds is deleted, such as a prediction.
    """
    space, told = given(chapter).copy(), []
    if exercise == "three-views":  # 2,000 draws of all items otherwise
        space["real"] = {name: values[:1000] for name, values in space["real"].items()}
        space["with_an_empty_view"].__defaults__ = (400,)
    for cell in NOTEBOOKS[chapter].cells:
        if grade_id(cell) == exercise:
            file = f"<{exercise}>"
            linecache.cache[file] = len(cell.source), None, cell.source.splitlines(True), file
            before = set(space)
            exec(compile(cell.source, file, "exec"), space)  # a check may ask for its text
            name = exercise.replace("-", "_")
            name = name if name in space else name.title()
            for other in set(space) - before - {name, *PREDICTED.get(exercise, ())}:
                if without:
                    del space[other]
            space[name] = wrapped(space[name], change)
        elif grade_id(cell).rpartition("-")[0] == exercise:
            told.append(outcome(cell.source, space))
    return told


def outcome(source: str, space: dict) -> str:
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        try:
            exec(source, space)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_a_right_answer_is_right_in_every_form(chapter: str, exercise: str):
    seen = []

    def noisy(answer):
        if len(seen) < ENOUGH:
            print("on the way")
            print("on the way", file=sys.stderr)
            warnings.warn("a warning", stacklevel=1)
            list(tqdm(range(2)))
            time.sleep(0.05)  # as a loop over elements would
        seen.extend([answer][: ENOUGH - len(seen)])
        return answer

    found = {"noise": outcomes(chapter, exercise, noisy, without=True)}
    for name, form in FORMS.items():
        if any(kinds(everywhere(form, answer)) != kinds(answer) for answer in seen):
            found[name] = outcomes(chapter, exercise, functools.partial(everywhere, form))
    wrong = {name: told for name, told in found.items() if any(told)}
    assert not wrong and all(len(told) >= 2 for told in found.values()), wrong


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("chapter", "exercise"), [e for e in EXERCISES if e[1] not in UNSEEN])
def test_an_answer_of_another_kind_is_refused_by_both(chapter: str, exercise: str):
    check, *hidden = outcomes(chapter, exercise, lambda answer: object())
    assert check.startswith("AssertionError: ") and all(hidden), (check, hidden)
