"""The guard: whatever a learner's function does, one clear sentence, and no effect on the next."""

import sys
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.checks.guard import Near, case, compare, exercise, mistakes, parts, refused, run


def answer(call, *arguments, **options) -> str:
    """What the learner reads: one sentence on one line, without a word of our own internals."""
    with pytest.raises(AssertionError) as raised:
        call(*arguments, **options)
    message = str(raised.value)
    assert "\n" not in message and len(message) < 400, message
    assert message[-1] in ".?", message
    assert "_TimeUp" not in message and "guard" not in message, message
    assert (
        raised.value.__suppress_context__ or raised.value.__context__ is None
    )  # no second stack above it
    return message


def identity(x):
    return x


# -- run ------------------------------------------------------------------------------------------


def test_a_right_function_is_called_once_with_the_arguments_themselves():
    calls = []

    def learner(x, y, *, z=3):
        calls.append((x, y, z))
        return x + y

    x = torch.ones(2)
    assert run(learner, x, 2).tolist() == [3, 3]
    assert calls == [(x, 2, 3)] and calls[0][0] is x


@pytest.mark.parametrize(
    ("function", "phrases"),
    [
        (lambda x: x, ["called with 2 arguments", "takes (x)"]),
        (lambda: 1, ["called with 2 arguments", "takes (nothing)"]),
        (lambda x, y, z: x, ["called with 2 arguments", "takes (x, y, z)"]),
        (lambda x, *, y: x, ["takes (x, y)"]),
    ],
)
def test_wrong_signature(function, phrases):
    message = answer(run, function, 1, 2)
    assert all(phrase in message for phrase in phrases), message


def test_what_is_no_function():
    assert "got Tensor tensor([0., 0.])" in answer(run, torch.zeros(2), 1)
    assert "got NoneType None" in answer(run, None, 1)


def test_not_written_yet():
    def learner(x):
        raise NotImplementedError()

    assert answer(run, learner, 1).startswith("learner is not written yet")


def test_returns_none():
    def learner(x):
        x + 1

    assert "learner returned None" in answer(run, learner, 1)


def test_raises():
    def learner(x):
        return {"a": 1}[x]

    line = learner.__code__.co_firstlineno + 1
    expected = f"learner stopped with KeyError: 'b' (line {line}: `return {{\"a\": 1}}[x]`)."
    assert answer(run, learner, "b") == expected
    message = answer(run, raising(ValueError("first line\nsecond line")), 1)
    assert "ValueError: first line (line" in message and "`raise error`" in message
    assert "(no message)" in answer(run, raising(ValueError()), 1)
    assert "AssertionError: (no message)" in answer(run, raising(AssertionError()), 1)
    assert "RecursionError" in answer(run, forever_deeper, 1)
    assert "SystemExit" in answer(run, raising(SystemExit(1)), 1)
    assert answer(run, raising(AssertionError("my own words.")), 1) == "my own words."


def raising(error):
    def learner(x):
        raise error

    return learner


def forever_deeper(x):
    return forever_deeper(x)


def test_an_interrupt_of_the_learners_passes():
    with pytest.raises(KeyboardInterrupt):
        run(raising(KeyboardInterrupt()), 1)


def change_tensor(x):
    x[0] = 7
    return x


def change_column(frame):
    frame["new"] = 1
    return frame


def change_value(frame):
    frame.loc[0, "a"] = 7
    return frame


def take_column(frame):
    return frame.pop("a")


def change_entry(fields):
    fields["colour"][0] = 7
    return fields


def change_key(fields):
    fields["new"] = 7
    return fields


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (change_tensor, torch.tensor([1.0, 2.0])),
        (change_tensor, torch.tensor([torch.nan, 2.0])),
        (change_tensor, torch.tensor([1, 2])),
        (change_tensor, torch.tensor([False, True])),
        (change_tensor, np.array([1.0, 2.0])),
        (change_tensor, np.array(["a", "b"], object)),
        (change_tensor, [1, 2]),
        (change_tensor, [torch.zeros(2), 3]),
        (change_column, pd.DataFrame({"a": [1, 2]})),
        (change_value, pd.DataFrame({"a": [1, 2]})),
        (take_column, pd.DataFrame({"a": [1, 2]})),
        (change_tensor, pd.Series([1, 2])),
        (change_entry, {"item": torch.tensor([1, 2]), "colour": torch.tensor([1, 2])}),
        (change_key, {"item": torch.tensor([1, 2])}),
        (lambda x: x.add(3) or x, {1, 2}),
        (lambda x: x.append(3) or x, [1, 2]),
    ],
)
def test_change_in_place(function, argument):
    message = answer(run, lambda first, second: function(second), "untouched", argument)
    assert "changed its argument number 2 in place" in message


def test_what_may_change_and_what_is_not_a_change():
    generator, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    weights = torch.ones(2, requires_grad=True) * 2  # no leaf: deepcopy would refuse it
    arguments = (
        generator,
        random,
        weights,
        torch.nn.Linear(2, 2),
        identity,
        torch.tensor([torch.nan, torch.inf]),
        np.array([np.nan]),
        pd.DataFrame({"a": [np.nan, 1], "b": [["x"], None]}),
        {"history": torch.zeros(0, 3)},
        float("nan"),
        None,
        pd.Timestamp("2020-01-01"),
    )

    def learner(*arguments):
        torch.rand(1, generator=arguments[0]), arguments[1].random()
        return arguments[2].sum()

    assert run(learner, *arguments).item() == 4


def endless(x):
    while True:
        x = x + 1


def endless_twice(x):
    try:
        endless(x)
    except:  # noqa: E722 (it is what learners write)
        endless(x)


@pytest.mark.parametrize("function", [endless, endless_twice])
def test_an_endless_loop_ends_and_the_next_call_works(function):
    watchers = threading.active_count()
    message = answer(run, function, 1, seconds=0.2)
    assert f"{function.__name__} did not return within 0.2 s" in message

    def busy(x):  # long enough for a belated exception to arrive in it
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            x = x + 1
        return "done"

    assert run(busy, 1) == "done"
    assert busy(1) == "done"
    assert threading.active_count() <= watchers


def test_the_limit_is_never_felt_by_what_comes_after():
    """Functions that end about when time is up return or are stopped, and nothing comes later."""
    outcomes = set()
    for step in range(60):
        end = time.perf_counter() + 0.01 + (step % 20 - 10) * 2e-4

        def learner(end):
            while time.perf_counter() < end:
                pass
            return 1

        try:
            outcomes.add(run(learner, end, seconds=0.01))
        except AssertionError as error:
            outcomes.add(str(error)[-6:])
        sum(range(1000))
    assert outcomes <= {1, "ement?"}


def test_stderr_goes_to_stdout(capsys: pytest.CaptureFixture):
    """nbgrader gives no points for a cell that has written to stderr."""

    def learner(x):
        print("a bar", file=sys.stderr)
        warnings.warn("a warning", stacklevel=1)
        return x

    with warnings.catch_warnings():
        # pytest's own would keep it
        warnings.showwarning = lambda message, *rest: print(message, file=sys.stderr)
        assert run(learner, 1) == 1
    out, err = capsys.readouterr()
    assert out == "a bar\na warning\n" and err == ""
    print("afterwards", file=sys.stderr)
    assert capsys.readouterr().err == "afterwards\n"


# -- compare --------------------------------------------------------------------------------------

ONES = torch.ones(2)
RIGHT = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
DAYS = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (RIGHT.numpy().astype(np.float64) + 1e-7, RIGHT),
        ([[1, 2], [3, 4]], RIGHT),
        (RIGHT.clone().requires_grad_(), RIGHT),
        (np.float32(0.5), 0.5),
        (torch.tensor(3), 3),
        (3.0, 3),
        ([np.nan, np.inf], torch.tensor([torch.nan, torch.inf])),
        (np.array([True, False]), torch.tensor([True, False])),
        (True, np.True_),
        ([], torch.zeros(0)),
        ("label", "label"),
        (np.str_("label"), "label"),
        ({1, 2}, {1, 2}),
        ({"b": np.ones(2), "a": "x"}, {"a": "x", "b": torch.ones(2)}),
        ((torch.ones(2), torch.ones(3), "x"), [np.ones(2), [1, 1, 1], "x"]),
        (np.array(["a", "b"]), ["a", "b"]),
        (["a", "b"], np.array(["a", "b"])),
        (DAYS, DAYS.copy()),
        (None, None),
        (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01")),
        (pd.Series([1.0, np.nan], index=["a", "b"]), pd.Series([1.0, np.nan], index=["a", "b"])),
        (FRAME, FRAME.astype({"a": float})),
    ],
)
def test_the_same(found, expected):
    compare(found, expected, "this")


@pytest.mark.parametrize(
    ("found", "expected", "phrases"),
    [
        (RIGHT[0], RIGHT, ["shape [2, 2]", "got [2]"]),
        (RIGHT[:, :0], RIGHT, ["shape [2, 2]", "got [2, 0]"]),
        (5.0, RIGHT, ["shape [2, 2]", "got []"]),
        (RIGHT + RIGHT.ge(3) / 2, RIGHT, ["3 at [1, 0], and got 3.5, and 1 more of 4 differ"]),
        ([1, 2, 4], [1, 2, 3], ["expected 3 at [2], and got 4."]),
        ([10**9 + 1], [10**9], ["1000000000 at [0], and got 1000000001"]),
        (0.25, 0.5, ["expected 0.5, and got 0.25"]),
        (["a", "b"], torch.ones(2), ["numbers of shape [2]", "list ['a', 'b']"]),
        (np.array([1 + 1j, 1]), torch.ones(2), ["numbers of shape [2]", "1.+1.j"]),
        (np.array([None, 1]), torch.ones(2), ["numbers of shape [2]", "None"]),
        ([torch.ones(2), torch.ones(3)], torch.ones(2), ["numbers of shape [2]", "list"]),
        ("0.5", 0.5, ["a number", "str '0.5'"]),
        ({"a": 1}, 0.5, ["a number", "dict {'a': 1}"]),
        (identity, 0.5, ["a number", "function"]),
        ((i for i in range(3)), [0, 1, 2], ["numbers of shape [3]", "generator"]),
        ([1, 0], np.array([True, False]), ["True and False (bool) of shape [2]", "int64"]),
        ([0.5, np.nan], ONES / 2, ["expected 0.5 at [1], and got nan", "0/0"]),
        (np.nan, 0.5, ["expected 0.5, and got nan", "0/0"]),
        (0.5, np.nan, ["expected nan, and got 0.5."]),
        (torch.inf, 0.5, ["got inf"]),
        ("b", "a", ["expected str 'a', and got str 'b'"]),
        ([1, 2], {1, 2}, ["expected set {1, 2}, and got list [1, 2]"]),
        ({"a": 1}, {"a": 1, "b": 2}, ["keys list ['a', 'b']", "got list ['a']"]),
        ({"a": torch.ones(2)}, {"a": torch.zeros(2)}, ["under 'a', expected 0 at [0], and got 1"]),
        (3, {"a": 1}, ["expected a dict, and got int 3"]),
        ((ONES, "x"), (ONES, "y"), ["in place 1, expected str 'y', and got str 'x'"]),
        ((torch.ones(2),), (torch.ones(2), "y"), ["expected 2 things, and got 1"]),
        ("ab", ["a", "b"], ["expected 2 things", "str 'ab'"]),
        ([1], pd.Series([1]), ["a pandas Series", "list [1]"]),
        (pd.Series([1, 2]), pd.Series([1, 2], [1, 2]), ["the index list [1, 2]", "list [0, 1]"]),
        (FRAME.rename(columns={"b": "c"}), FRAME, ["the columns list ['a', 'b']"]),
        (FRAME.assign(a=[1, 3]), FRAME, ["column 'a': expected 2 at [1], and got 3"]),
        (pd.Series(["x", "z"]), pd.Series(["x", "y"]), ["in place 1, expected str 'y', and got"]),
    ],
)
def test_a_difference_is_told(found, expected, phrases):
    message = answer(compare, found, expected, "The logits of two pairs")
    assert message.startswith("The logits of two pairs: ")
    assert all(phrase in message for phrase in phrases), message


def test_the_tolerance_is_both_absolute_and_relative():
    compare([1e-6, 1e6 + 1], [0.0, 1e6], "this")
    assert "got 1.02" in answer(compare, 1.02, Near(1.0, 0.005), "this")
    compare(1.02, Near(1.0, 0.02), "this")


# -- cases, refusals, exercises -------------------------------------------------------------------


def test_the_reason_of_a_mistake_is_told():
    draw = np.random.default_rng(0)
    wrong = mistakes(
        "Never told: it fails on these.",
        lambda x, rng: x["no"],
        "Is log q added?",
        lambda x, rng: x + 1,
        "Is τ applied twice?",
        lambda x, rng: x * 2,
        "Is it drawn?",
        lambda x, rng: x + rng.random(),
    )
    expected = np.random.default_rng(0).random()

    def told(function, right=RIGHT, **options):
        given = RIGHT, np.random.default_rng(0)
        return answer(case, function, given, right, "this", wrong, **options)

    assert told(lambda x, rng: x * 2).endswith("and 3 more of 4 differ. Is τ applied twice?")
    assert told(lambda x, rng: (x + 1).tolist()).endswith("Is log q added?")
    assert told(lambda x, rng: x + expected).endswith("Is it drawn?")  # by the same generator
    assert told(lambda x, rng: x + 5).endswith("differ.")
    assert told(lambda x, rng: x * 2, Near(RIGHT, 0.01), of=lambda x: x + 0.001).endswith("twice?")
    case(lambda x, rng: x, (RIGHT, draw), RIGHT, "this", wrong)


def raise_own(x):
    raise ValueError("by a rule of the exercise")


def pass_on(x):
    try:
        return raise_own(x)
    except ValueError as error:
        raise error


class Own:
    def method(self, x):
        raise_own(x)


@pytest.mark.parametrize("function", [raise_own, pass_on, Own().method, lambda x: raise_own(x)])
def test_a_refusal_is_a_value_error_that_the_learners_code_raises(function):
    assert refused(function, 1)
    assert not refused(lambda x: "anything", 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [1, 2].index(x),
        lambda x: np.ones(2) + np.ones(x),
        lambda x: pd.Series([x]).rolling(2, min_periods=x),  # pandas raises it
        lambda x: [(a, b) for a, b in [(x,)]],
    ],
)
def test_a_value_error_of_something_else_is_no_refusal(function):
    assert "with ValueError: " in (message := answer(refused, function, 3))
    assert message.endswith("Look before, and raise ValueError yourself.")


def test_another_error_that_speaks_of_value_error_is_no_refusal():
    message = answer(refused, raising(KeyError("ValueError")), 1)
    assert message.startswith("learner stopped with KeyError: 'ValueError'")


def test_an_exercise_ticks_or_fails_in_one_sentence(capsys: pytest.CaptureFixture):
    @exercise("all is well")
    def check_this(function):
        case(function, (1,), 2, "The double of 1")

    check_this(lambda x: 2 * x)
    assert capsys.readouterr().out == "✓ this: all is well\n"
    with pytest.raises(AssertionError, match="The double of 1: expected 2, and got 1.") as raised:
        check_this(lambda x: x)
    assert raised.value._render_traceback_() == [f"AssertionError: {raised.value}"]
    assert len(raised.traceback) == 2  # the call, and the frame that raises again


def test_the_parts_of_an_answer():
    assert parts([1, 2], "mean", "low") == (1, 2)
    assert (
        answer(parts, 0.5, "mean", "low") == "2 things should come back, mean, low; float 0.5 came."
    )
    assert "tuple (1, 2, 3) came" in answer(parts, (1, 2, 3), "mean", "low")
