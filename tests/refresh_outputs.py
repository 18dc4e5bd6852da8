"""Run notebooks from top to bottom and commit what came out: `make outputs
NOTEBOOKS="notebooks/02_two_towers.ipynb …"`.

Only a notebook that ran without an error is written. `metadata.seconds` is how long its cells took;
tests/test_notebooks.py compares it with the running time that the notebook states.
"""

import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def refresh(path: Path) -> float:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=600,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = joined(map(done, cell.outputs))
    notebook.metadata = nbformat.NotebookNode(
        kernelspec=notebook.metadata["kernelspec"],
        language_info={"name": "python"},
        seconds=round(seconds),
    )
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    return seconds


def done(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A progress bar at its end: its widget is gone, and its words would stay as at the start."""
    data = output.get("data", {})
    if "text/plain" in data:
        bar = r"\b0%\|\s*\| 0/(\d+) \[.*"
        data["text/plain"] = re.sub(bar, r"100%|██████████| \1/\1", data["text/plain"])
    return output


def joined(outputs: Iterable) -> list:
    """Pieces of the same stream that follow each other as one: how a kernel cuts them is chance."""
    kept = []
    for output in outputs:
        if (
            kept
            and output.output_type == "stream" == kept[-1].output_type
            and output.name == kept[-1].name
        ):
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {refresh(Path(name)):.0f} s", flush=True)
