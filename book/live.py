"""A widget with all of its states, as HTML that needs no kernel: `python book/live.py`.

It runs the chapters in LIVE as far as the widget, turns its dials through every state, and writes
what was shown to book/live, from where `make book` takes it. A state's pictures are kept once.
"""

import base64
import html
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).resolve().parent
LIVE = {  # the chapter, and which of its widgets
    "08_random_mask": 0,
    "engines": 0,
}
SOURCE = re.compile(r'src="data:image/png;base64,([^"]*)"')


def states(panel) -> Iterator[dict]:
    """What a panel shows in each state of its dials: `at`, the place of each dial's choice (None
    where another one switches the dial off), and `parts`, the HTML of each part.
    """

    def turn(dials: tuple) -> Iterator[None]:
        if not dials:
            yield
            return
        first, *rest = dials
        for choice in [first.value] if first.disabled else [value for _, value in options(first)]:
            first.value = choice
            yield from turn(rest)

    for _ in turn(panel.dials):
        at = [
            None if dial.disabled else [value for _, value in options(dial)].index(dial.value)
            for dial in panel.dials
        ]
        yield {"at": at, "parts": [part.value for part in parts(panel)]}


def options(dial: ipywidgets.Dropdown) -> list[tuple[str, object]]:
    """What it offers, by name; the first ten of more."""
    return [one if isinstance(one, tuple) else (str(one), one) for one in dial.options[:10]]


def parts(box: ipywidgets.Box) -> Iterator[ipywidgets.HTML]:
    for child in box.children:
        if isinstance(child, ipywidgets.HTML):
            yield child
        elif isinstance(child, ipywidgets.Box):
            yield from parts(child)


def page(panel) -> str:
    """The panel as HTML: a slider or a list for each dial, and what its first state shows. `make
    book` puts live.js into the empty script.
    """
    found, pictures = list(states(panel)), {}
    for state in found:
        for place, part in enumerate(state["parts"]):
            for png in SOURCE.findall(part):
                number = pictures.setdefault(small(png), len(pictures))
                state["parts"][place] = part.replace(f"data:image/png;base64,{png}", f"#{number}")
    known = json.dumps({"states": found, "pictures": list(pictures)}).replace("</", "<\\/")
    controls = "\n".join(map(control, panel.dials))
    shown = "\n".join(f"<div>{part}</div>" for part in found[0]["parts"])
    for picture, number in pictures.items():
        shown = shown.replace(f'src="#{number}"', f'src="{picture}"')
    return f"""<div class="course-live">
<p class="dials" hidden>
{controls}
</p>
{shown}
<script type="application/json">{known}</script>
<script></script>
</div>
"""


def control(dial: ipywidgets.Dropdown) -> str:
    """A slider for numbers, a list for names."""
    names = [name for name, _ in options(dial)]
    if all(isinstance(value, (int, float)) for _, value in options(dial)):
        slider = f'<input type="range" aria-label="{dial.description}" min="0" max="{len(names) - 1}" value="0">'
        data = html.escape(json.dumps(names))
        return f'<label data-names="{data}">{dial.description} {slider} <output></output></label>'
    choices = "".join(
        f'<option value="{place}">{html.escape(name)}</option>' for place, name in enumerate(names)
    )
    name = dial.description
    return f'<label>{name} <select aria-label="{name}">{choices}</select></label>'


def small(png: str) -> str:
    """The picture in 256 colours, as an address."""
    file = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(file, format="webp", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def is_widget(output: dict) -> bool:
    """Something to turn, and no progress bar."""
    data = output.get("data", {})
    return "application/vnd.jupyter.widget-view+json" in data and "%|" not in data.get(
        "text/plain", ""
    )


def write(path: Path, number: int) -> None:
    """Run a chapter up to its widget with this number, and keep the widget's page."""
    notebook = nbformat.read(path, as_version=4)
    places = [
        place
        for place, cell in enumerate(notebook.cells)
        if any(map(is_widget, cell.get("outputs", [])))
    ]
    last = places[number]
    target = HERE / "live" / f"{path.stem}-{number}.html"
    code = f"import sys; sys.path.append({str(HERE)!r})\nfrom pathlib import Path\nimport live\n"
    code += f"Path({str(target)!r}).write_text(live.page([*Out.values()][-1]), 'utf-8')"
    notebook.cells = [*notebook.cells[: last + 1], nbformat.v4.new_code_cell(code)]
    target.parent.mkdir(exist_ok=True)
    NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    print(f"{target.relative_to(HERE.parent)}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    for name in sys.argv[1:] or LIVE:
        write(HERE.parent / "notebooks" / f"{name}.ipynb", LIVE[name])
