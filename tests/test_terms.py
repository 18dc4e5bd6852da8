"""The course's words: each is explained before it is used, in reading order.

tests/terms.toml says which chapter introduces a term; chapter 00 has the glossary.
"""

import re
from pathlib import Path

import nbformat
import pytest

from course_lib import texts

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
TERMS = Path(__file__).parent / "terms.toml"
INTRODUCED = texts.tomllib.loads(TERMS.read_text("utf-8"))["introduced"]
PAGES = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
# Words that an earlier page uses in another sense, or in a chapter's title
ELSEWHERE = {"index", "rank", "head", "tail"}


def prose(page: str) -> str:
    """A page's Markdown, without the glossary, the literature and what is set as code; but a term
    that is code by itself stands there as a word.
    """
    cells = nbformat.read(PAGES[page], as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    text = re.sub(r"<details><summary>The glossary.*?</details>", "", text, flags=re.S)
    text = re.sub(r"^## Further reading.*", "", text, flags=re.S | re.M)
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"\]\([^)\s]*\)", "]", text)  # where a link leads is not read
    return re.sub(r"`([^`\n]*)`", lambda m: m[1] if m[1] in INTRODUCED else "", text)


def uses(term: str) -> str:
    """A pattern of the term, in the singular or plural; letters are large where the term has some."""
    exact = "(?i:" if term == term.lower() else ""
    return rf"(?<![\w-]){exact}{re.escape(term)}(?:s|es)?{')' if exact else ''}(?![\w-])"


@pytest.fixture(scope="module")
def glossary() -> dict[str, str]:
    """Term → chapter."""
    cells = nbformat.read(PAGES["00"], as_version=4).cells
    (text,) = (cell.source for cell in cells if "<summary>The glossary" in cell.source)
    rows = re.findall(r"^\|([^|\n]+)\|[^|\n]+\|[^|\n]+\|(\d\d)\|$", text, re.M)
    return {term: chapter for terms, chapter in rows for term in terms.split(", ")}


def test_the_glossary_has_the_terms_of_the_list(glossary: dict[str, str]):
    assert len(glossary) > 60
    assert glossary.items() <= INTRODUCED.items()
    assert list(INTRODUCED.values()) == sorted(INTRODUCED.values())


@pytest.mark.parametrize("term", INTRODUCED)
def test_a_term_is_explained(glossary: dict[str, str], term: str):
    """In the glossary, or in bold or italics on its page."""
    marked = re.findall(r"\*{1,2}([^*\n]+)\*{1,2}", prose(INTRODUCED[term]))
    assert term in glossary or any(re.search(uses(term), part) for part in marked)


@pytest.mark.parametrize("page", PAGES)
def test_no_term_is_used_before_it_is_explained(page: str):
    text = prose(page)
    early = {
        term: text[max(found.start() - 40, 0) : found.end() + 40].replace("\n", " ")
        for term, chapter in INTRODUCED.items()
        if page < chapter and term not in ELSEWHERE
        if (found := re.search(uses(term), text))
    }
    assert not early, "\n".join(f"{term}: …{where}…" for term, where in early.items())
