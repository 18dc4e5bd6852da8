"""What a notebook's outputs say, and what of it nbval compares: the same after every run."""

import configparser
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat

RULES = configparser.RawConfigParser()
RULES.read(Path(__file__).parent / "nbval_sanitize.cfg", "utf-8")


class Images(HTMLParser):
    """The attributes of the images in a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        if tag == "img":
            self.found.append(dict(attributes))


def alts(output: nbformat.NotebookNode) -> list[str]:
    """The alt text of each figure of an output."""
    return [image["alt"] for image in Images(output.get("data", {}).get("text/html", "")).found]


def texts(output: nbformat.NotebookNode) -> list[str]:
    """All that an output says in words, always in the same order."""
    if output.output_type == "stream":
        return [output.text]
    return [
        value for mime, value in sorted(output.get("data", {}).items()) if mime.startswith("text/")
    ]


def compared(notebook: nbformat.NotebookNode) -> list[str]:
    """The words of each cell's outputs, those tagged as depending on the machine left out."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kept = [cell for cell in code if "nbval-ignore-output" not in cell.metadata.get("tags", [])]
    return [
        sanitized("".join(text for output in cell.outputs for text in texts(output)))
        for cell in kept
    ]


def sanitized(text: str) -> str:
    for rule in RULES.sections():
        text = re.sub(RULES[rule]["regex"], RULES[rule]["replace"], text)
    return text
