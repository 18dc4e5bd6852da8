"""The notebooks' form: what a reader may rely on in every chapter."""

import re
import statistics
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def lines(cell) -> list[str]:
    return [line for line in cell.source.split("\n") if line.strip()]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest):
    return nbformat.read(request.param, as_version=4)


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


def test_opens_and_closes_as_agreed(notebook):
    opening = notebook.cells[0].source
    for part in ("**After this chapter**", "**Before:**", "**Running time:**"):
        assert part in opening
    text = prose(notebook)
    places = [text.find(part) for part in ("## What we saw", "## Exercises", "## Further reading", "**Next:**")]
    assert -1 not in places and places == sorted(places)


def test_cells_are_short(notebook):
    sizes = [len(lines(cell)) for cell in code(notebook)]
    assert max(sizes) <= 20 and statistics.median(sizes) <= 6


def test_cells_are_introduced(notebook):
    """No more than three cells of code in a row without a word between them."""
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in notebook.cells)
    assert "cccc" not in kinds


def test_outputs_are_committed_and_clean(notebook):
    assert all(cell.execution_count for cell in code(notebook))
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", cell.source


def test_every_figure_has_alt_text(notebook):
    for cell in code(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 20


def test_no_magics_no_absolute_paths_no_network(notebook):
    for cell in code(notebook):
        assert not re.search(r"^\s*[!%]", cell.source, re.M)
        assert not re.search(r"https?://|[\"'](/|[A-Z]:\\)", cell.source)


def test_most_outputs_are_compared(notebook):
    ignored = ["nbval-ignore-output" in cell.metadata.get("tags", []) for cell in code(notebook)]
    assert sum(ignored) <= len(ignored) / 2


def test_links_lead_somewhere(notebook):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", prose(notebook)):
        assert target.startswith("http") or (NOTEBOOKS[0].parent / target).exists(), target


def test_folded_parts_are_closed(notebook):
    text = prose(notebook)
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")
