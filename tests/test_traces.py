"""A solution planted in what students get is found there, however it is written or packed."""

import bz2
import gzip
import html
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import traces
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ANSWER = """def mean(numbers):
    ### BEGIN SOLUTION
    total = sum(numbers) if 0 < len(numbers) else "no \\n sum"
    # the stub shows the next line, too
    return total / len(numbers)  # a comment
    ### END SOLUTION"""
STUB = """def mean(numbers):
    # YOUR CODE HERE
    return total / len(numbers)"""
HIDDEN = """# hidden tests run here
### BEGIN HIDDEN TESTS
assert mean([1, 2]) == 1.5, "It isn't 1.5."
x = 1
### END HIDDEN TESTS"""
WORKED = "First *all* numbers that aren't `None` & then their mean."
SECRETS = {
    "SOLUTION": ['total = sum(numbers) if 0 < len(numbers) else "no \\n sum"'],
    "HIDDEN TESTS": ['assert mean([1, 2]) == 1.5, "It isn\'t 1.5."'],
    "WORKED SOLUTION": [WORKED],
}
EVERYTHING = f"{ANSWER}\n{HIDDEN}\n{WORKED}\n"


@pytest.fixture
def exercise(tmp_path: Path) -> Path:
    worked = new_markdown_cell(WORKED, metadata={"tags": ["worked-solution"]})
    nbformat.write(
        new_notebook(cells=[new_code_cell(ANSWER), new_code_cell(HIDDEN), worked]),
        tmp_path / "a.ipynb",
    )
    return tmp_path / "a.ipynb"


def as_notebook(text: str) -> bytes:
    return json.dumps({"source": text.splitlines(keepends=True)}, indent=1).encode()


def as_script(text: str) -> bytes:
    return f"Search.setIndex({json.dumps({'text': text})})".encode()


def as_page(text: str) -> bytes:
    """With a colour for every word and sign, and typographic quotes."""
    coloured = re.sub(
        r"\w+|[<&]", lambda part: f'<span class="n">{html.escape(part[0])}</span>', text
    )
    return coloured.replace("'", "’").replace("*all*", "<em>all</em>").replace("`", "").encode()


def as_inventory(text: str) -> bytes:
    return b"# Sphinx inventory version 2\n# compressed using zlib.\n" + zlib.compress(
        text.encode()
    )


def packed_twice(text: str) -> bytes:
    return gzip.compress(bz2.compress(lzma.compress(as_notebook(text))))


@pytest.mark.parametrize(
    "write", [str.encode, as_notebook, as_script, as_page, as_inventory, packed_twice]
)
def test_a_planted_solution_is_found(exercise: Path, tmp_path: Path, write: Callable[[str], bytes]):
    secrets = traces.secrets([exercise], [STUB])
    assert secrets == {(exercise, kind): lines for kind, lines in SECRETS.items()}
    lines = sum(secrets.values(), [])
    (folder := tmp_path / "site" / "deep").mkdir(parents=True)
    (folder / "innocent").write_bytes(write(f"{STUB}\n# hidden tests run here"))
    assert traces.found(tmp_path / "site", lines) == []
    (folder / "planted").write_bytes(write(EVERYTHING))
    assert set(traces.found(tmp_path / "site", lines)) == {("deep/planted", line) for line in lines}
    (folder / "planted").unlink()
    with zipfile.ZipFile(folder / "archive", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/it", write(EVERYTHING))
    assert set(traces.found(tmp_path / "site", lines)) == {("deep/archive", line) for line in lines}


def test_a_line_that_anybody_may_read_is_no_secret(exercise: Path):
    assert not any(traces.secrets([exercise], [STUB, EVERYTHING]).values())


CHECKS = """def total_by_hand(numbers):
    return sum(one for one in numbers)

def the_numbers():
    return [first for first in (1, 2, 3)]

def check_total(total):
    def twice(numbers, other):
        return [2 * one for one in numbers]

    def other(numbers):
        return "a helper that stays"

    wrong = mistakes(
        "Is each counted twice? Once will do.",
        lambda numbers: total_by_hand(twice(numbers, 0)),
        "Is it the first alone?",
        lambda numbers: numbers[0] + 0.0,  # a comment
    )
    case(total, (the_numbers(),), total_by_hand(the_numbers()), "The total of three", wrong)
"""
REFERENCES = [
    "def total_by_hand(numbers):",
    "def twice(numbers, other):",
    "lambda numbers: numbers[0] + 0.0",
    "lambda numbers: total_by_hand(twice(numbers, 0))",
    "return [2 * one for one in numbers]",
    "return sum(one for one in numbers)",
]


def test_references_are_what_answers_rightly_or_typically_wrongly(tmp_path: Path):
    """Inputs, sentences and what a check asks besides may be seen."""
    (tmp_path / "chapter_00.py").write_text(CHECKS)
    modules = [tmp_path / "chapter_00.py"]
    assert traces.references(modules, []) == {modules[0]: REFERENCES}
    assert traces.references(modules, [REFERENCES[4]])[modules[0]] == [
        line for line in REFERENCES if line != REFERENCES[4]
    ]
    assert {line for _, line in traces.found(tmp_path, REFERENCES)} == set(REFERENCES)
