"""The course as a website: `make book` turns the committed notebooks into pages, runs none of them,
and needs no network.

A page's address is where its source lies, so that links between notebooks, tables and READMEs hold
here as in the repository.
"""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

project = "Nomination"
html_title = "Nomination: a course in notebooks"
language = "en"

extensions = ["myst_nb", "sphinx_copybutton"]
root_doc = "book/index"
include_patterns = [
    "book/index.md",
    "notebooks/*.ipynb",
    "notebooks/exercises/source/*/*.ipynb",
    "notebooks/exercises/*.md",
    "data/README.md",
    "data/*/README.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [".*", "**/.*", "build"]

nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_merge_streams = True
nb_ipywidgets_js = {}  # the default asks two hosts for scripts
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath"]
myst_update_mathjax = False
html_math_renderer = "mathml"

html_theme = "sphinx_book_theme"
html_theme_options = {
    "navbar_persistent": [],  # the sidebar has a search field
    "footer_content_items": ["extra-footer"],
    "search_bar_text": "Search the course",
    "extra_footer": "Code: Apache-2.0. Prose and figures: CC BY 4.0. Data: UCI Online Retail (Daqing Chen, 2015), CC BY 4.0; MovieTweetings (Simon Dooms et al., 2013), MIT.",
}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_extra_path = ["index.html"]
html_static_path = ["book.css"]
html_css_files = ["book.css"]

PROGRESS = re.compile(r"\d+%\|.*\| \d+/")


def for_the_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Leave out what means something in Jupyter alone, and show exercises as they are handed out."""
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    notebook["cells"] = [cell for cell in notebook["cells"] if not is_worked_solution(cell)]
    live = (Path(__file__).parent / "live" / f"{Path(docname).name}-{i}.html" for i in count())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = handed_out("".join(cell["source"]))
            cell["outputs"] = [
                on_the_page(output, live) for output in cell["outputs"] if not is_progress(output)
            ]
    source[0] = json.dumps(notebook)


def handed_out(code: str) -> str:
    """What `nbgrader generate_assignment` makes of a cell."""
    stub = r'\1# YOUR CODE HERE\n\1raise NotImplementedError("This is not written yet.")'
    code = re.sub(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION", stub, code, flags=re.M | re.S)
    return re.sub(
        r"^ *### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS", "", code, flags=re.M | re.S
    ).rstrip()


def is_worked_solution(cell: dict) -> bool:
    return "worked-solution" in cell["metadata"].get("tags", [])


def link_from_here(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """The landing page includes the README, which lies a folder higher, and shows its ways in and
    its chapters as cards.
    """
    text = re.sub(r"\]\((?!\w+:|#)", "](../", content[0])
    begin = re.compile(r"(?<=^## Where to begin\n\n)(.*?)(?=\n\n## )", re.M | re.S)
    text = begin.sub(r"````{container} cards\n\1\n````", text)
    content[0] = re.sub(r"^\| chapter \|.*\n\| -.*\n((?:\|.*\n)+)", chapters, text, flags=re.M)


def chapters(table: re.Match) -> str:
    rows = re.findall(r"^\| (\[.*?\)),? ?(.*?) \| .* \| (\d+) \| (.*) \|$", table[1], re.M)
    cards = [
        f"- **{link}**\\\n  {about.removeprefix(': ')}\n\n  {minutes} minutes to read, runs in {time}"
        for link, about, minutes, time in rows
    ]
    return "\n".join(["````{container} cards", *cards, "````", ""])


def words(output: dict) -> str:
    return "".join(output.get("data", {}).get("text/plain", ""))


def is_progress(output: dict) -> bool:
    """A progress bar is stored as it was at the start: 0 %."""
    return PROGRESS.search(words(output)) is not None


def on_the_page(output: dict, live: Iterator[Path]) -> dict:
    """A widget is replaced by the next of its pages with all states (see live.py), or, where there
    is none, says that it is one, in a sentence and not in typewriter.
    """
    if "application/vnd.jupyter.widget-view+json" not in output.get("data", {}):
        return output
    page = next(live)
    if page.is_file():
        script = (Path(__file__).parent / "live.js").read_text("utf-8")
        html = page.read_text("utf-8").replace("<script></script>", f"<script>\n{script}</script>")
        return output | {"data": {"text/html": html}}
    return output | {"data": {"text/markdown": f"*{words(output)}*"}}


def visit_math(writer, node: nodes.math | nodes.math_block) -> None:
    """Formulas as MathML, which browsers set by themselves; MathJax would be fetched from a host."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    writer.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def no_source(
    app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Sphinx copies a page's source beside it, and that of an exercise has its solution in it."""
    if "/exercises/source/" in pagename:
        context["sourcename"] = context["page_source_suffix"] = ""


def setup(app: Sphinx) -> None:
    app.connect("source-read", for_the_page)
    app.connect("include-read", link_from_here)
    app.connect("html-page-context", no_source, priority=1)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
