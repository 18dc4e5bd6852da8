"""The front page says and shows what the course has: its picture, its result, its hours, and links
under "Further reading" that lead to a publisher.
"""

import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from course_lib import figures, results

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ROWS = {  # the table and its arm
    "two towers with everything": ("negatives_test", "everything"),
    "two towers": ("baselines_test", "two towers"),
    "LibRecommender's": ("side_by_side", "LibRecommender TwoTower"),
    "EASE": ("baselines_test", "EASE"),
    "item-to-item CF": ("baselines_test", "item-to-item CF"),
    "popularity alone": ("baselines_test", "popularity"),
}


def pixels(picture: Image.Image) -> np.ndarray:
    """In grey, 4 by 4 pixels as one: where a letter begins may differ by a pixel."""
    return np.asarray(picture.convert("RGB").convert("L").reduce(4), float)


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight", dpi=130)
    return pixels(Image.open(file))


def test_the_picture_is_what_the_function_draws():
    """If not, save `figures.pipeline()` over it, as `drawn` does."""
    (name,) = re.findall(r"!\[[^\]]{20,}\]\((.*\.png)\)", README)
    kept, changed = pixels(Image.open(ROOT / name)), figures.pipeline()
    assert kept.shape == drawn(changed).shape
    assert np.abs(kept - drawn(changed)).max() < 80
    (label,) = [text for text in changed.axes[0].texts if text.get_text() == "stored"]
    label.set_text("dated")  # a word on an arrow would be seen
    assert np.abs(kept - drawn(changed)).max() > 80


def test_the_result_is_that_of_the_committed_tables():
    part = README.partition("## One real result")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w.*?) \| (.*?) \| (.*?) \|$", part, re.M)
    assert len(rows) == len(ROWS)
    for (said, *shares), (begin, (name, arm)) in zip(rows, ROWS.items(), strict=True):
        table = results.load(name)
        table = table[
            (table["arm"] == arm) & (table.get("log", "online_retail") == "online_retail")
        ]
        means = 100 * table[["R@100", "tail"]].mean()
        assert said.startswith(begin)
        assert [share.strip("*") for share in shares] == [f"{mean:.1f} %" for mean in means]
    events = results.load("negatives_test_by_day").query("arm == 'everything'")["events"]
    assert f"{events.sum():,.0f} first purchases" in part


def test_the_hours_are_those_of_the_chapters():
    minutes = sum(map(int, re.findall(r"^\| \[.*\| (\d+) \| \d+ s \|$", README, re.M)))
    number = {8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}[round(minutes / 60)]
    assert f"about {number} hours of reading" in " ".join(README.split())


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_further_reading_names_work_section_and_address(path: Path):
    """The notes, which have no address, aside."""
    prose = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    part = "\n".join(prose).partition("\n## Further reading\n")[2].partition("\n**Next:**")[0]
    entries = re.findall(r"^- (.*)$", part, re.M)
    assert len(entries) >= 2
    for entry in entries:
        if entry.startswith("The notes, "):
            continue
        assert re.match(
            r"\w.*, \[[\"*].+[\"*]\]\(https://\S+\), .*\d{4}, |TensorFlow|Faiss|Redis", entry
        )
        assert re.search(r"\b(sections? (\d|III|\")|chapter \d|the part on|introduction)", entry)
        assert re.search(r": \w", entry), "say what to look for"
