"""The mutants of solutions: what is made of a function by hand, and the committed table."""

import inspect
import sys
from pathlib import Path

import pytest
import wrong_answers
from test_mistakes import SOURCE

from course_lib import results
from course_lib.texts import tomllib

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import mutants

HAND_MADE = '''
def halves(rows, k, generator):
    """Docstrings stay: 1 < 2."""
    kept = rows[:k].sum(dim=0)
    if k > 2 and not kept:
        raise ValueError(f"{k + 1} is too many")
    return -max(kept // 2, k)
'''
EXPECTED = """
halves with generator.manual_seed(0)
halves with generator = torch.Generator().manual_seed(0)
without kept = rows[:k].sum(dim=0)
without if k > 2 and (not kept):
without raise ValueError(f'{k + 1} is too many')
rows[:k].sum(dim=0) without dim
rows[:k].sum → rows[:k].mean
:k → :
:k → :k + 1
0 → 1 in dim=0
0 → -1 in dim=0
k > 2 and (not kept) → k > 2 or not kept
if k > 2 and (not kept): → if not (k > 2 and (not kept)):
k > 2 → k >= 2
k > 2 → k <= 2
2 → 3 in k > 2
2 → 1 in k > 2
not kept → kept
-max(kept // 2, k) → max(kept // 2, k)
max → min
kept // 2 → kept / 2
kept // 2 → -(-kept // 2)
2 → 3 in kept // 2
2 → 1 in kept // 2
"""


def test_the_mutants_of_a_function_made_by_hand():
    """One change each, none of texts, and none that makes the same bytecode."""
    made = mutants.mutants(HAND_MADE)
    assert sorted(made) == sorted(EXPECTED.strip().splitlines())
    assert len(set(made.values())) == len(made)
    assert "return -max(kept / 2, k)" in made["kept // 2 → kept / 2"]
    assert mutants.mutants("def f(a, b):\n    return (a + b)\n", first=2) == {
        "a + b → a - b": "def f(a, b):\n    return a - b"
    }
    assert mutants.mutants("def f(a, b):\n    return a + b\n", last=1) == {}
    swapped = mutants.mutants("g(a, b); max(a, b); zip(a, strict=True); prediction = 3")
    assert list(swapped) == ["without g(a, b)", "g(a, b) → g(b, a)"] + [
        "without max(a, b)", "max → min", "without zip(a, strict=True)",
    ]  # fmt: skip


def test_a_mutant_is_graded_in_a_process_of_its_own():
    space, tests = {"known": [2]}, ["assert f(2) == 4, 'no'", "assert known == [2]"]
    right, wrong = "def f(x):\n    return x + 2", "def f(x):\n    known.clear()\n    return 4"
    for answer, ends in ((right, "passes"), (wrong, "fails"), ("def f(x", "fails")):
        assert mutants.graded(answer, tests, space) == ends
    assert space == {"known": [2]}


def test_an_endless_mutant_is_stopped(monkeypatch):
    monkeypatch.setattr(mutants, "SECONDS", 0.2)
    assert mutants.graded("while True: pass", [], {}) == "time"


def test_nine_of_ten_mutants_of_every_exercise_lose_marks():
    table = results.load("mutants")
    names = [
        (int(path.name[:2]), name)
        for path in sorted(SOURCE.glob("[01]*"))
        for name, _ in mutants.cells(path.name[:2])
        if name and not name.endswith(("-check", "-hidden"))
    ]
    assert list(zip(table["chapter"], table["exercise"], strict=True)) == names
    assert (table["share"] - table["killed"] / table["mutants"]).abs().max() < 0.001
    assert table["share"].min() >= 0.9


def test_every_survivor_has_a_reason():
    table, left = results.load("mutants"), results.load("mutants_survivors")
    reasons = tomllib.loads(mutants.REASONS.read_text("utf-8"))
    told = {(name, one): why for name, known in reasons.items() for one, why in known.items()}
    survived = zip(left["exercise"], left["mutation"], strict=True)
    assert dict(zip(survived, left["reason"], strict=True)) == told
    assert all(why.endswith(".") for why in told.values())
    assert len(left) == table["mutants"].sum() - table["killed"].sum()


ONCE = [name for name in vars(wrong_answers) if "__" in name.strip("_")]


@pytest.mark.parametrize("chapter", ["01", "02", "05", "08"])
def test_wrong_answers_that_once_got_full_marks_lose_some(chapter: str):
    for name, source, tests, space in mutants.exercises(chapter):
        for wrong in ONCE:
            function = name.replace("-", "_")
            if wrong.split("__")[0] == function:
                text = inspect.getsource(getattr(wrong_answers, wrong)).replace(wrong, function)
                here = dict(space)
                mutants.run(f"{source}\n\n\n{text}", "answer.py", here)
                with pytest.raises(AssertionError):
                    for number, test in enumerate(tests):
                        mutants.run(test, f"test_{number}.py", here)
