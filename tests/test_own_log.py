"""Chapter 15 runs on somebody else's files: its cell of settings is the only one that is changed."""

import random
import re
from datetime import datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from course_lib.raw_files import RawFile, read_log

CHAPTER = Path(__file__).parent.parent / "notebooks" / "15_your_own_log.ipynb"
README = CHAPTER.parent.parent / "README.md"
FIRST = """
from course_lib.raw_files import RawFile

EVENTS = RawFile(
    path={folder!r} + "/Verkäufe.csv",
    encoding="cp1252",
    separator=";",
    columns={{"user": "Kunde", "item": "Artikel", "time": "Zeit"}},
    time="%d.%m.%Y %H:%M",
    keep={{"Menge": lambda text: float(text.replace(",", ".")) > 0, "Kunde": bool}},
)
ITEMS = RawFile(
    path={folder!r} + "/goods.tsv",
    separator="\\t",
    columns={{
        "item": "sku", "description": "name", "colours": "colours", "price": "price",
        "listed": "since",
    }},
    lists={{"colours": ", "}},
    convert={{"price": lambda text: "cheap" if float(text) < 10 else "dear"}},
)
USERS = RawFile(
    path={folder!r} + "/customers.csv",
    columns={{"user": "customer_id", "town": "town"}},
)
TESTED, K = ("2024-03-29", "2024-04-12"), 40
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of a made-up shop: 42 days, 60 customers, 150 goods."""
    folder, chance = tmp_path_factory.mktemp("a shop's export"), random.Random(0)
    sales = ["Rechnung;Kunde;Artikel;Menge;Zeit"]
    for number in range(42 * 40):
        opened = datetime(2024, 3, 1) + timedelta(days=number // 40)
        time = opened + timedelta(hours=9, minutes=chance.randrange(600))
        item = int(150 * chance.random() ** 2)
        customer = chance.choice(["", *(f"K{n:03}" for n in range(60))])
        amount = "-1,0" if number % 50 == 0 else f"{chance.randrange(1, 4)},5"
        sales.append(f"R{number};{customer};{item:05};{amount};{time:%d.%m.%Y %H:%M}")
    goods = ["sku\tname\tcolours\tprice\tsince"]
    for item in range(150):
        colours = ", ".join(chance.sample(["red", "grün", "blue", "grey"], item % 3))
        listed = "2024-02-01" if item % 2 else ""
        goods.append(
            f'{item:05}\t"Größe ""{item}"""\t{colours}\t{chance.random() * 20:.2f}\t{listed}'
        )
    towns = ["customer_id,town,mail", *(f"K{n:03},town {n % 7},{n}@x" for n in range(60))]
    (folder / "Verkäufe.csv").write_text("\r\n".join(sales), "cp1252")
    (folder / "goods.tsv").write_text("\n".join(goods), "utf-8-sig")
    (folder / "customers.csv").write_text("\n".join(towns), "utf-8")
    return folder


def test_the_chapter_runs_on_files_of_another_shape(folder: Path):
    notebook = nbformat.read(CHAPTER, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (form,) = (n for n, cell in enumerate(code) if "settings" in cell.metadata.get("tags", []))
    assert not any("RawFile(\n" in cell.source for cell in code if cell is not code[form])
    code[form].source = FIRST.format(folder=str(folder))
    notebook.cells = code
    resources = {"metadata": {"path": str(CHAPTER.parent)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    said = "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in code[form:]
        for output in cell.outputs
    )
    assert "Größe" in said  # of this shop's goods, one was nominated
    for word in ("genre", "film's", "Creatures"):
        assert word not in said
    assert "The catalogue has 150 items, not many more than k = 40" in said
    assert "R@40, two towers − popularity" in said


def test_the_made_up_files_hold_what_they_should(folder: Path):
    """Against a plain reading of the lines."""
    space: dict = {}
    exec(FIRST.format(folder=str(folder)), space)
    assert isinstance(space["EVENTS"], RawFile)
    log, report = read_log(space["EVENTS"], space["ITEMS"], space["USERS"])
    lines = (folder / "Verkäufe.csv").read_text("cp1252").split("\n")[1:]
    parts = [line.strip().split(";") for line in lines]
    kept = [(p[1], p[2]) for p in parts if p[1] and not p[3].startswith("-")]
    assert len(log) == len(set(kept)) < len(kept) < len(parts)
    rows = report.set_index(["file", "what"])["rows"]
    assert rows["Verkäufe.csv", "rows left out by keep"] == len(parts) - len(kept)
    assert rows["Verkäufe.csv", "later events of the same user and item"] == len(kept) - len(log)
    assert set(log.items["price"]) == {"cheap", "dear"}
    assert log.items.loc["00002", "colours"] != [] and log.items.loc["00003", "colours"] == []
    assert log.users["town"].nunique() == 7


def test_the_readme_s_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    part = README.read_text("utf-8").partition("## Your own log")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", part, re.S)
    orders = "customer_id,sku,ts\n1,007,31/12/2023 23:59\n2,007,01/02/2024 09:00\n"
    (tmp_path / "orders.csv").write_text(orders, "utf-8")
    (tmp_path / "goods.csv").write_text("sku,brand,tags\n007,Acme,red|big\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    space: dict = {}
    exec(code, space)
    log = space["log"]
    assert log.events["user"].tolist() == ["1", "2"]
    assert log.items.loc["007", ["brand", "tags"]].tolist() == ["Acme", ["red", "big"]]
