"""A widget's page with all states, against a widget whose states are known."""

import itertools
import json
import sys
from pathlib import Path

import ipywidgets
from bs4 import BeautifulSoup

from course_lib.widgets import Panel

sys.path.append(str(Path(__file__).parent.parent / "book"))
import live


def made() -> Panel:
    """`b` counts only where `a` is "on"; the picture shows the sum and says nothing of `c`."""
    panel = Panel()
    a = ipywidgets.Dropdown(options=["off", "on"], description="a")
    b = ipywidgets.Dropdown(options=[("one", 1), ("<two>", 2), ("five", 5)], description="b")
    c = ipywidgets.Dropdown(options=[10, 20], description="c")
    panel.dials, text, picture = (a, b, c), ipywidgets.HTML(), ipywidgets.HTML()
    panel.fill(ipywidgets.HBox(panel.dials), ipywidgets.HBox([text]), picture)

    def show(_=None) -> None:
        b.disabled = a.value == "off"
        number = 0 if b.disabled else b.value
        text.value = f"<b>{a.value} {number} {c.value}</b>"
        picture.value = f'<img alt="a number" src="data:image/png;base64,{number}">'

    for dial in panel.dials:
        dial.observe(show, "value")
    show()
    return panel


def test_every_state_is_there_once_and_a_picture_too(monkeypatch):
    monkeypatch.setattr(live, "small", lambda png: f"data:small,{png}")
    page = BeautifulSoup(live.page(made()), "html.parser")
    known = json.loads(page.find("script", type="application/json").get_text())
    said = {}
    for c, number in itertools.product((0, 1), (0, 1, 2, 5)):
        at = (1, (1, 2, 5).index(number), c) if number else (0, None, c)
        said[at] = f"<b>{'on' if number else 'off'} {number} {10 + 10 * c}</b>", number
    assert len(known["states"]) == len(said) == 8
    for state in known["states"]:
        text, number = said[tuple(state["at"])]
        place = known["pictures"].index(f"data:small,{number}")
        assert state["parts"] == [text, f'<img alt="a number" src="#{place}">']
    assert len(known["pictures"]) == 4
    assert page.find("img")["src"] == "data:small,0" and page.find("b").get_text() == "off 0 10"


def test_controls_have_names_and_names_are_text():
    controls = [BeautifulSoup(live.control(dial), "html.parser") for dial in made().dials]
    assert [one.find(["select", "input"])["aria-label"] for one in controls] == [*"abc"]
    assert [option.get_text() for option in controls[0].select("option")] == ["off", "on"]
    slider = controls[1]
    assert slider.find("input")["max"] == "2"
    assert json.loads(slider.find("label")["data-names"]) == ["one", "<two>", "five"]
