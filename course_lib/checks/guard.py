"""Calling a learner's function and comparing what it returns: one clear sentence, whatever happens.

The check of an exercise is an `@exercise`. It goes through `case`s: inputs, the right answer, and
typical mistakes. A mistake is a sentence and a wrong function; whoever answers as that function
does is told the sentence.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dis
import functools
import inspect
import json
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

SECONDS = 5.0


class Near(NamedTuple):
    """An expected value with another tolerance, both absolute and relative, than 1e-5."""

    value: object
    tolerance: float


class _TimeUp(BaseException):
    """Raised inside the learner's function, from outside."""


def exercise(tick: str = "") -> Callable:
    """Let a check print `tick`, or what it returns, when all is well, and fail in one sentence."""

    def decorate(check: Callable) -> Callable:
        @functools.wraps(check)
        def checked(*answers: object) -> None:
            try:
                told = check(*answers)
            except Exception as error:  # `run` has caught what the learner's code raises
                problem = f"The answer is of another kind than asked for: {_first_line(error)}."
                failed = error if isinstance(error, AssertionError) else AssertionError(problem)
                sentence = f"AssertionError: {failed}"
                failed._render_traceback_ = lambda: [sentence]  # all that IPython shows
                raise failed.with_traceback(None) from None
            print(f"✓ {check.__name__.removeprefix('check_')}: {told or tick}")

        return checked

    return decorate


def run(function: Callable, *arguments: object, seconds: float = SECONDS) -> object:
    """What `function(*arguments)` returns. Raises AssertionError with one sentence if

    - it is not a function, or takes other arguments than these;
    - it is not written yet (NotImplementedError), raises anything else, or returns None;
    - it changes one of its arguments in place (a generator may move on);
    - it has not returned after `seconds`. One endless call of a compiled library can't be stopped
      from here, nor a loop that goes on after every exception (`except: pass`).

    What it writes to stderr goes to stdout: nbgrader takes stderr for a failure. Asked with tensors
    it may answer with arrays or lists of numbers: they come back as tensors, without gradients.
    """
    name = _name(function)
    _check_signature(function, name, arguments)
    before = _copy(arguments)
    try:
        with contextlib.redirect_stderr(sys.stdout):
            found = _in_time(function, arguments, seconds)
    except _TimeUp as error:
        raise AssertionError(
            f"{name} did not return within {seconds:g} s{_where(function, error)}; is there a loop "
            "that never ends, or one over every element?"
        ) from None
    except NotImplementedError:
        message = f"{name} is not written yet: replace `raise NotImplementedError` by your code."
        raise AssertionError(message) from None
    except (Exception, SystemExit) as error:
        if isinstance(error, AssertionError) and str(error):
            raise
        told = f"{type(error).__name__}: {_first_line(error)}{_where(function, error)}."
        raise AssertionError(f"{name} stopped with {told}") from None
    for number, (old, new) in enumerate(zip(before, arguments, strict=True), 1):
        if not _unchanged(old, new):
            raise AssertionError(
                f"{name} changed its argument number {number} in place, and the caller still needs "
                "it; work on a copy."
            )
    if found is None:
        raise AssertionError(f"{name} returned None; is the `return` missing?")
    return _tensors(found) if _has_tensors(arguments) else found


def refused(function: Callable, *arguments: object) -> bool:
    """Whether the learner's own code raises ValueError for this; all else as in `run`."""
    try:
        run(function, *arguments)
    except AssertionError as told:
        error = told.__context__
        if not isinstance(error, ValueError):
            raise
        if not _raised_by(function, error):
            raise AssertionError(f"{told} Look before, and raise ValueError yourself.") from None
        return True
    return False


def compare(found: object, expected: object, what: str) -> None:
    """Raise AssertionError unless `found` is `expected`: same kind, same shape, same values.

    - `expected`: may be `Near`.
    - `what`: what is compared, for the sentence: "the logits of three pairs".

    Tensors, arrays and lists of numbers are compared as arrays, so that torch or NumPy does not
    matter; bools and whole numbers exactly, NaN with NaN. Dicts key by key, other lists and tuples
    part by part, Series and DataFrames with their labels, anything else by ==.
    """
    problem = _difference(found, *_near(expected))
    if problem:
        raise AssertionError(f"{what}: {problem}")


def case(
    function: Callable,
    given: tuple,
    expected: object,
    what: str,
    mistakes: Mapping[str, Callable] | None = None,
    of: Callable = lambda found: found,
) -> object:
    """`compare` what `function(*given)` returns, and tell the mistake that would answer alike.

    Returns what was expected.

    - `mistakes`: sentence → a wrong function of the same arguments.
    - `of`: what is compared of an answer, as `of(answer)`.
    """
    before = _fresh(given)
    answers = {
        reason: lambda wrong=wrong: of(wrong(*_fresh(before)))
        for reason, wrong in (mistakes or {}).items()
    }
    return _judge(of(run(function, *given)), expected, what, answers)


def recorded(module: str) -> Callable:
    """`case(function, given, what, of)` of a module of checks that holds no reference answers.

    What is expected, and what each mistake would answer, is read from the JSON file beside the
    module, a path; `expected` may be given all the same. For both files, see
    `notebooks/exercises/student_bundle.py`.
    """
    records = json.loads(Path(module).with_suffix(".json").read_text("utf-8"))

    def case(
        function: Callable, given: tuple, what: str, of: Callable = lambda found: found, **live
    ) -> object:
        kept = {"expected": None, "mistakes": {}} | records.get(what, {})
        expected = live["expected"] if live else restored(kept["expected"])
        answers = {
            reason: functools.partial(restored, value) for reason, value in kept["mistakes"].items()
        }
        return _judge(of(run(function, *given)), expected, what, answers)

    return case


def restored(value: object) -> object:
    """What stands in a record: plain values, lists, and objects of one key, the kind of a value."""
    if isinstance(value, list):
        return [restored(part) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, told),) = value.items()
    kinds = {
        "dict": lambda: {restored(key): restored(part) for key, part in told},
        "table": lambda: pd.DataFrame(dict(restored(told[0])), restored(told[1]), dtype=object),
        "column": lambda: pd.Series(*restored(told), dtype=object),
        "time": lambda: pd.Timestamp(told),
        "bytes": lambda: bytes.fromhex(told),
        "near": lambda: Near(*restored(told)),
    }
    return kinds[kind]()


def _judge(found: object, expected: object, what: str, answers: Mapping[str, Callable]) -> object:
    """What was expected, if it was found; `answers`: sentence → what that mistake would answer."""
    expected, tolerance = _near(expected)
    problem = _difference(found, expected, tolerance)
    if problem is None:
        return expected
    for reason, answer in answers.items():
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            if _difference(found, answer(), tolerance) is None:
                problem += f" {reason}"
                break
    raise AssertionError(f"{what}: {problem}")


def mistakes(*told: str | Callable) -> dict[str, Callable]:
    """Of sentence, wrong function, sentence, wrong function …: sentence → function."""
    return dict(zip(told[::2], told[1::2], strict=True))


def parts(found: object, *names: str) -> tuple:
    """The learner's answer as a tuple, which must have as many parts as there are names."""
    several = isinstance(found, (tuple, list)) or (isinstance(found, torch.Tensor) and found.dim())
    if not several or len(found) != len(names):
        these = f"{len(names)} things should come back, {', '.join(names)}"
        raise AssertionError(f"{these}; {_short(found)} came.")
    return tuple(found)


def part(place: int, *names: str) -> Callable:
    """What stands in that place of an answer of as many `parts`; for `case(…, of=…)`."""
    return lambda found: parts(found, *names)[place]


def fields(found: object, like: Mapping, whose: str = "the answer") -> dict:
    """The learner's features, which must have the fields of `like`, in its order and shapes."""
    if not isinstance(found, dict) or list(found) != list(like):
        raise AssertionError(
            f"{whose[0].upper()}{whose[1:]} should be a dict with the fields {', '.join(like)}, in "
            "this order."
        )
    for name, values in like.items():
        if not isinstance(found[name], torch.Tensor) or found[name].shape != values.shape:
            shape = list(values.shape)
            raise AssertionError(f"Field '{name}' of {whose} should be a tensor of shape {shape}.")
    return found


def repeats(one: object, again: object, drawn: str, by: str = "generator") -> None:
    """Raise AssertionError unless what two equal generators have drawn is the same."""
    if _difference(again, one, 0.0):
        raise AssertionError(
            f"Two equal generators gave different {drawn}; draw everything with `{by}`, and with "
            "nothing else."
        )


def _near(expected: object) -> tuple[object, float]:
    return expected if isinstance(expected, Near) else (expected, 1e-5)


def _has_tensors(value: object) -> bool:
    if isinstance(value, (dict, list, tuple)):
        return any(map(_has_tensors, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (torch.Tensor, torch.Generator))


def _tensors(value: object) -> object:
    """The same with tensors for all arrays and lists of numbers, none of them with a gradient."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: _tensors(part) for key, part in value.items()}
    if type(value) is tuple:
        return tuple(map(_tensors, value))
    if (isinstance(value, np.ndarray) or _is_of_numbers(value)) and _is_numeric(value):
        return torch.as_tensor(value)
    return list(map(_tensors, value)) if isinstance(value, list) else value


def _is_of_numbers(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_of_numbers(p) or isinstance(p, (int, float)) for p in value)
    return False


def _where(function: Callable, error: BaseException) -> str:
    """The last line of the learner's own that was on its way when it ended, for a sentence."""
    file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file and f.line]
    line = " ".join(lines[-1].line.split()) if lines else ""
    line = f"{line[:57]}…" if len(line) > 58 else line
    return f" (line {lines[-1].lineno}: `{line}`)" if line else ""


def _raised_by(function: Callable, error: BaseException) -> bool:
    """Whether a `raise` in the function's own module raised the error, not a library on its way."""
    place = error.__traceback__
    while place.tb_next:
        place = place.tb_next
    raised = dis.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] == "RAISE_VARARGS"
    own = getattr(inspect.unwrap(function), "__globals__", place.tb_frame.f_globals)
    return raised and place.tb_frame.f_globals is own


def _name(function: object) -> str:
    if not callable(function):
        got = f"got {_short(function)}; pass the function itself, without ()."
        raise AssertionError(f"The check needs a function, and {got}")
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
        given = f"{len(arguments)} argument{'s' * (len(arguments) != 1)}"
        raise AssertionError(
            f"{name} is called with {given}, and takes ({takes}); keep the signature that the "
            "exercise gives."
        ) from None


def _in_time(function: Callable, arguments: tuple, seconds: float) -> object:
    thread, lock, done = ctypes.c_ulong(threading.get_ident()), threading.Lock(), threading.Event()

    def stop() -> None:
        wait = seconds
        while not done.wait(wait):
            with lock:
                if not done.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_TimeUp))
            wait = 0.1  # and again: an `except:` in the function may have swallowed it

    try:
        threading.Thread(target=stop, daemon=True).start()  # time may be up before this returns
        return function(*arguments)
    finally:
        settled = False
        while not settled:
            try:
                with lock:
                    # what is on its way must not hit what comes next
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)
                    done.set()
                settled = True
            except _TimeUp:  # it came while we waited for the lock
                continue


def _fresh(arguments: tuple) -> tuple:
    """The arguments with generators that stand where these do; nothing else moves on."""
    kinds = {torch.Generator: torch.Generator.clone_state, np.random.Generator: copy.deepcopy}
    return tuple(kinds.get(type(one), lambda same: same)(one) for one in arguments)


def _copy(value: object) -> object:
    """A copy of what `_unchanged` can compare; anything else (a model, a log) is what it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone() if value.layout == torch.strided else None
    if isinstance(value, (np.ndarray, pd.DataFrame, pd.Series, set)):
        return value.copy()
    if isinstance(value, Mapping):
        return {key: _copy(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(part) for part in value]
    return value


def _unchanged(old: object, new: object) -> bool:
    for kind in (torch.Tensor, np.ndarray):
        if isinstance(old, kind):
            if not isinstance(new, kind) or old.shape != new.shape:
                return False
            same = (old == new) | ((old != old) & (new != new))
            return bool(same.all())
    if isinstance(old, (pd.DataFrame, pd.Series)):
        return old.equals(new)
    if isinstance(old, dict):
        same = isinstance(new, Mapping) and list(old) == list(new)
        return same and all(_unchanged(old[key], new[key]) for key in old)
    if isinstance(old, list):
        same = isinstance(new, (list, tuple)) and len(old) == len(new)
        return same and all(map(_unchanged, old, new))
    if isinstance(old, (str, int, float, set)):
        return type(old) is type(new) and (old == new or old != old)
    return True  # a model, a log: its own module guards it


def _difference(found: object, expected: object, tolerance: float) -> str | None:
    """A sentence on how they differ, or None."""
    if isinstance(expected, (pd.DataFrame, pd.Series)):
        return _labelled_difference(found, expected, tolerance)
    if isinstance(expected, Mapping):
        return _difference_in_keys(found, expected, tolerance)
    if not _is_numeric(expected):
        if isinstance(expected, (list, tuple, np.ndarray)):
            return _difference_in_parts(found, expected, tolerance)
        same = isinstance(found, type(expected)) and found == expected
        return None if same else f"expected {_short(expected)}, and got {_short(found)}."
    right = _array(expected)
    if not _is_numeric(found):
        return f"expected {_kind(right)}, and got {_short(found)}."
    value = _array(found)
    if value.shape != right.shape:
        return f"expected shape {list(right.shape)}, and got {list(value.shape)}."
    if right.dtype.kind == "b" and right.ndim and value.dtype.kind != "b":
        # as a mask, 0 and 1 would pick rows 0 and 1
        return f"expected {_kind(right)}, and got {value.dtype}."
    if right.dtype.kind in "biu" and value.dtype.kind in "biu":
        close = value == right
    else:
        numbers = value.astype(float), right.astype(float)
        close = np.isclose(*numbers, tolerance, tolerance, equal_nan=True)
    if close.all():
        return None
    nan = ""
    if (value != value)[right == right].any():
        nan = " NaN comes of 0/0, of inf − inf, or of the log of something negative."
    if right.ndim == 0:
        return f"expected {_number(right)}, and got {_number(value)}.{nan}"
    place = tuple(int(i) for i in np.argwhere(~close)[0])
    where = f" at [{', '.join(map(str, place))}]"
    more = int((~close).sum()) - 1
    several = f", and {more} more of {close.size} differ" if more else ""
    got = f"got {_number(value[place])}{several}.{nan}"
    return f"expected {_number(right[place])}{where}, and {got}"


def _difference_in_keys(found: object, expected: Mapping, tolerance: float) -> str | None:
    if not isinstance(found, Mapping):
        return f"expected a dict, and got {_short(found)}."
    if set(found) != set(expected):
        return f"expected the keys {_short(list(expected))}, and got {_short(list(found))}."
    for key in expected:
        problem = _difference(found[key], expected[key], tolerance)
        if problem:
            return f"under {key!r}, {problem}"
    return None


def _difference_in_parts(
    found: object, expected: list | tuple | np.ndarray, tolerance: float
) -> str | None:
    found, expected = (
        value.tolist() if isinstance(value, np.ndarray) else value for value in (found, expected)
    )
    if not isinstance(found, (list, tuple, pd.Series, pd.Index)):
        return f"expected {len(expected)} things, one after the other, and got {_short(found)}."
    if len(found) != len(expected):
        return f"expected {len(expected)} things, and got {len(found)}: {_short(found)}."
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        problem = _difference(one, other, tolerance)
        if problem:
            return f"in place {place}, {problem}"
    return None


def _labelled_difference(
    found: object, expected: pd.DataFrame | pd.Series, tolerance: float
) -> str | None:
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


def _kind(right: np.ndarray) -> str:
    what = "True and False (bool)" if right.dtype.kind == "b" else "numbers"
    return (
        f"{what} of shape {list(right.shape)}"
        if right.ndim
        else {"b": "True or False"}.get(right.dtype.kind, "a number")
    )


def _number(value: np.ndarray) -> str:
    return str(value) if value.dtype.kind in "biu" else f"{float(value):.4g}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else "(no message)"


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '…'}"
