"""Calling a learner's function, and comparing what it returns with a reference: one clear sentence whatever goes wrong.

Every check of an exercise does two things: `found = run(function, …)`, then `compare(found, expected, …)`. Both raise
AssertionError with what was expected, what came, and the likely reason; the learner never sees a stack of internals.
"""

from __future__ import annotations

import copy
import ctypes
import inspect
import threading
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

SECONDS = 5.0


class _TimeUp(BaseException):
    """Raised inside the learner's function, from outside."""


def run(function: Callable, *arguments: object, seconds: float = SECONDS) -> object:
    """What `function(*arguments)` returns. Raises AssertionError with one sentence if

    - it is not a function, or takes other arguments than these;
    - it is not written yet (NotImplementedError), raises anything else, or returns None;
    - it changes one of its arguments in place (a generator may move on);
    - it has not returned after `seconds`. Code that never comes back to Python, such as one endless call of a compiled
      library, can't be stopped from here.
    """
    name = _name(function)
    _check_signature(function, name, arguments)
    before = tuple(a if isinstance(a, torch.Generator) or callable(a) else copy.deepcopy(a) for a in arguments)
    try:
        found = _in_time(function, arguments, seconds)
    except _TimeUp:
        raise AssertionError(
            f"{name} did not return within {seconds:g} s; is there a loop that never ends, or one over every element?"
        ) from None
    except NotImplementedError:
        raise AssertionError(f"{name} is not written yet: replace `raise NotImplementedError` by your code.") from None
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{name} stopped with {type(error).__name__}: {_first_line(error)}") from None
    for number, (old, new) in enumerate(zip(before, arguments, strict=True), 1):
        if not _unchanged(old, new):
            raise AssertionError(
                f"{name} changed its argument number {number} in place, and the caller still needs it; work on a copy."
            )
    if found is None:
        raise AssertionError(f"{name} returned None; is the `return` missing?")
    return found


def compare(
    found: object,
    expected: object,
    what: str,
    mistakes: Mapping[str, object] | None = None,
    tolerance: float = 1e-5,
) -> None:
    """Raise AssertionError unless `found` is `expected`: same kind, same shape, same values within `tolerance`.

    - `what`: what is compared, for the sentence: "the logits of three pairs".
    - `mistakes`: reason → what a function with that mistake would have returned; if that is what came, the reason is told.

    Tensors, arrays and lists of numbers are compared as arrays, so that torch or NumPy does not matter; bools and whole
    numbers exactly, NaN with NaN. Strings, sets and dicts by ==, Series and DataFrames with their labels.
    """
    problem = _difference(found, expected, tolerance)
    if problem is None:
        return
    for reason, wrong in (mistakes or {}).items():
        if _difference(found, wrong, tolerance) is None:
            raise AssertionError(f"{what}: {problem} {reason}")
    raise AssertionError(f"{what}: {problem}")


def _name(function: object) -> str:
    if not callable(function):
        raise AssertionError(f"The check needs a function, and got {_short(function)}; pass the function itself, without ().")
    return getattr(function, "__name__", type(function).__name__)


def _check_signature(function: Callable, name: str, arguments: tuple) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        takes = ", ".join(signature.parameters) or "nothing"
        raise AssertionError(
            f"{name} is called with {len(arguments)} argument{'s' * (len(arguments) != 1)}, and takes ({takes}); keep the "
            "signature that the exercise gives."
        ) from None


def _in_time(function: Callable, arguments: tuple, seconds: float) -> object:
    thread, lock, done = threading.get_ident(), threading.Lock(), False

    def stop() -> None:
        with lock:
            if not done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TimeUp))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        return function(*arguments)
    finally:
        with lock:
            done = True
        timer.cancel()


def _unchanged(old: object, new: object) -> bool:
    if isinstance(old, (torch.Generator, np.random.Generator)) or callable(old):
        return True
    if isinstance(old, torch.Tensor):
        return old.shape == new.shape and torch.equal(torch.nan_to_num(old), torch.nan_to_num(new))
    if isinstance(old, np.ndarray):
        return old.shape == new.shape and bool(((old == new) | ((old != old) & (new != new))).all())
    if isinstance(old, (pd.DataFrame, pd.Series)):
        return old.equals(new)
    if isinstance(old, Mapping):
        return list(old) == list(new) and all(_unchanged(old[key], new[key]) for key in old)
    if isinstance(old, (list, tuple)):
        return len(old) == len(new) and all(_unchanged(a, b) for a, b in zip(old, new, strict=True))
    if isinstance(old, (str, int, float, set, frozenset, type(None))):
        return old == new or old != old
    return True  # a model, a log: its own module guards it


def _difference(found: object, expected: object, tolerance: float) -> str | None:
    """A sentence on how they differ, or None."""
    if isinstance(expected, (pd.DataFrame, pd.Series)):
        return _labelled_difference(found, expected, tolerance)
    if isinstance(expected, (str, set, frozenset, dict)) or not _is_numeric(expected):
        same = type(found) is type(expected) and found == expected
        return None if same else f"expected {_short(expected)}, and got {_short(found)}."
    right = _array(expected)
    try:
        value = _array(found)
    except (TypeError, ValueError, RuntimeError):
        return f"expected numbers of shape {list(right.shape)}, and got {_short(found)}."
    if value.shape != right.shape:
        return f"expected shape {list(right.shape)}, and got {list(value.shape)}."
    if value.dtype.kind not in "biuf":
        return f"expected numbers, and got {_short(found)}."
    exact = right.dtype.kind in "biu" and value.dtype.kind in "biu"
    close = value == right if exact else np.isclose(value.astype(float), right.astype(float), tolerance, tolerance, equal_nan=True)
    if close.all():
        return None
    if right.ndim == 0:
        return f"expected {_number(right)}, and got {_number(value)}."
    place = tuple(int(i) for i in np.argwhere(~close)[0])
    where = f" at [{', '.join(map(str, place))}]"
    several = f", and {int((~close).sum()) - 1} more of {close.size} differ" if (~close).sum() > 1 else ""
    return f"expected {_number(right[place])}{where}, and got {_number(value[place])}{several}."


def _labelled_difference(found: object, expected: pd.DataFrame | pd.Series, tolerance: float) -> str | None:
    kind = type(expected).__name__
    if not isinstance(found, type(expected)):
        return f"expected a pandas {kind}, and got {_short(found)}."
    axes = {"index": (found.index, expected.index)}
    if isinstance(expected, pd.DataFrame):
        axes["columns"] = (found.columns, expected.columns)
    for axis, (one, other) in axes.items():
        if list(one) != list(other):
            return f"expected the {axis} {_short(list(other))}, and got {_short(list(one))}."
    columns = expected.columns if isinstance(expected, pd.DataFrame) else [None]
    for column in columns:
        one, other = (t if column is None else t[column] for t in (found, expected))
        problem = _difference(one.tolist(), other.tolist(), tolerance)
        if problem:
            return problem if column is None else f"column '{column}': {problem}"
    return None


def _is_numeric(value: object) -> bool:
    try:
        return _array(value).dtype.kind in "biuf"
    except (TypeError, ValueError, RuntimeError):
        return False


def _array(value: object) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _number(value: np.ndarray) -> str:
    return str(value) if value.dtype.kind in "biu" else f"{float(value):.4g}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "(no message)"


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '…'}"
