"""A class on a real JupyterHub, with the settings that teachers are given: two students and a
teacher hand out, hand in, grade and give feedback through nbgrader's exchange.

Every request goes to the hub's one address, and each user's server is one that the hub started. All
run under one account of this machine, so nothing here shows that the exchange keeps accounts apart.
"""

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import requests
from servers import free_port
from test_exercises import COURSE, copy_of_course, grade_id, graded, kind, read
from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

pytest.importorskip("jupyterhub", reason="the hub needs JupyterHub: pip install -e '.[hub]'")
if sys.platform == "win32":
    pytest.skip("JupyterHub runs on Linux and macOS alone", allow_module_level=True)

CHAPTER = "01_the_log_and_its_tail"
FILE = f"notebooks/exercises/release/{CHAPTER}/{CHAPTER}.ipynb"
TEST_SETTINGS = """
load_subconfig({shipped!r})
c.JupyterHub.bind_url, c.JupyterHub.hub_bind_url = {address!r}, "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.authenticator_class, c.JupyterHub.spawner_class = "dummy", "simple"
c.Authenticator.allowed_users = {{"ada", "bob", "teacher"}}
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 240
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
scopes = ["admin:users", "admin:servers", "tokens"]
c.JupyterHub.load_roles = [{{"name": "test", "scopes": scopes, "services": ["test"]}}]
"""
# A machine's accounts tell nbgrader who hands in; here all have one, and the hub's name is taken.
ONE_ACCOUNT = """
import os
if os.environ["JUPYTERHUB_USER"] != "teacher":
    c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]
"""


class Hub:
    """A JupyterHub on 127.0.0.1. `place` holds its settings, the exchange and the users' homes."""

    def __init__(self, place: Path) -> None:
        self.place, self.token, self.tokens = place, secrets.token_hex(16), {}
        self.address = f"http://127.0.0.1:{free_port()}"
        shutil.copytree(COURSE / "hub", place / "hub")
        with (place / "hub" / "nbgrader_config.py").open("a") as config:
            config.write(ONE_ACCOUNT)
        (place / "exchange").mkdir()
        (place / "exchange").chmod(0o777)
        for student in ("ada", "bob"):
            self.home(student, FILE).parents[1].mkdir(parents=True)
        self.home("teacher", "").mkdir()
        copy_of_course(self.home("teacher", "exercises"), CHAPTER)
        shutil.copy(COURSE / "by_exercise.py", self.home("teacher", "exercises"))
        settings = TEST_SETTINGS.format(
            shipped=str(place / "hub" / "jupyterhub_config.py"),
            homes=str(place / "home"),
            hub=free_port(),
            proxy=free_port(),
            **vars(self),
        )
        (place / "config.py").write_text(settings, "utf-8")

    def home(self, user: str, name: str) -> Path:
        return self.place / "home" / user / name

    def start(self) -> None:
        command = [sys.executable, "-m", "jupyterhub", "-f", str(self.place / "config.py")]
        with (self.place / "log.txt").open("w") as log:
            self.process = subprocess.Popen(command, cwd=self.place, stdout=log, stderr=log)
        self.wait(lambda: requests.get(f"{self.address}/hub/api", timeout=60).ok)
        for user in ("ada", "bob", "teacher"):
            self.api("POST", f"users/{user}/server")
            self.tokens[user] = self.api("POST", f"users/{user}/tokens")["token"]
        self.wait(lambda: all(self.api("GET", f"users/{user}")["server"] for user in self.tokens))

    def wait(self, there: Callable[[], bool]) -> None:
        for _ in range(480):
            assert self.process.poll() is None, self.log()
            with suppress(requests.ConnectionError):
                if there():
                    return
            time.sleep(0.5)
        raise TimeoutError(self.log())

    def api(self, method: str, path: str) -> dict:
        """What the hub itself answers."""
        address, token = f"{self.address}/hub/api/{path}", {"Authorization": f"token {self.token}"}
        answer = requests.request(method, address, headers=token, timeout=60)
        assert answer.ok, answer.text
        return answer.json() if answer.content else {}

    def stop(self) -> None:
        self.process.terminate()  # it ends the users' servers and the proxy first
        self.process.wait(120)

    def log(self) -> str:
        return (self.place / "log.txt").read_text("utf-8")[-3000:]

    def ask(self, user: str, method: str, path: str, at: str = "", **what) -> requests.Response:
        """What a user asks of their own server, or of that of `at`."""
        address = f"{self.address}/user/{at or user}/{path}"
        token = {"Authorization": f"token {self.tokens[user]}"}
        return requests.request(method, address, headers=token, timeout=120, **what)

    def assignment(self, user: str, action: str) -> list[dict]:
        """A button of the student's list of assignments, and the list that it then shows."""
        what = {"course_id": "nomination", "assignment_id": CHAPTER}
        method, path = ("POST", f"assignments/{action}") if action else ("GET", "assignments")
        answer = self.ask(user, method, path, params=what).json()
        assert answer["success"], answer
        return answer["value"]

    def terminal(self, command: str) -> str:
        """Run a command in a terminal of the teacher's JupyterLab, and check that it ends well."""
        name = self.ask("teacher", "POST", "api/terminals").json()["name"]
        address = f"{self.address}/user/teacher/terminals/websocket/{name}"
        request = HTTPRequest(
            address.replace("http", "ws", 1),
            headers={"Authorization": f"token {self.tokens['teacher']}"},
        )

        async def run() -> str:
            socket, said = await websocket_connect(request), ""
            await socket.write_message(
                json.dumps(["stdin", f"cd ~/exercises && {command}; echo ended=$?\r"])
            )
            while not (ended := re.search(r"ended=(\d+)", said)):
                message = await socket.read_message()
                assert message is not None, said
                kind, *text = json.loads(message)
                said += text[0] if kind == "stdout" else ""
            socket.close()
            assert ended[1] == "0", said[-3000:]
            return said

        return IOLoop(make_current=False).run_sync(run, timeout=400)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


def test_a_class_on_the_hub(hub: Hub):
    source = read(CHAPTER)
    points = graded(source)
    solved = {
        grade_id(cell): re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.M)
        for cell in source.cells
        if kind(cell) == "solution"
    }
    answers = {"ada": solved, "bob": dict(list(solved.items())[:2])}
    got = {
        student: sum(points[f"{name}-{test}"] for name in right for test in ("check", "hidden"))
        for student, right in answers.items()
    }
    assert got["ada"] == sum(points.values()) > got["bob"] > 0

    nbgrader = f"{sys.executable} -m nbgrader"
    hub.terminal(f"{nbgrader} generate_assignment {CHAPTER}")
    hub.terminal(f"{nbgrader} release_assignment {CHAPTER}")
    for student, right in answers.items():
        assert [found["status"] for found in hub.assignment(student, "")] == ["released"]
        assert [found["status"] for found in hub.assignment(student, "fetch")] == ["fetched"]
        notebook = hub.ask(student, "GET", f"api/contents/{FILE}").json()["content"]
        assert "BEGIN SOLUTION" not in json.dumps(notebook)
        (chapter,) = re.findall(r"\]\((\.\./.*?\.ipynb)\)", notebook["cells"][0]["source"])
        linked = (hub.home(student, FILE).parent / chapter).resolve()
        assert linked == hub.home(student, f"notebooks/{CHAPTER}.ipynb")  # as the bundle has it
        for cell in notebook["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            cell["source"] = right.get(name, cell["source"])
        model = {"type": "notebook", "content": notebook}
        assert hub.ask(student, "PUT", f"api/contents/{FILE}", json=model).ok
        other = {"path": FILE.replace(".ipynb", " (1).ipynb")}
        assert hub.ask(student, "PATCH", f"api/contents/{FILE}", json=other).ok
        what = {"course_id": "nomination", "assignment_id": CHAPTER}
        refused = hub.ask(student, "POST", "assignments/submit", params=what).json()
        assert not refused["success"] and "missing notebooks" in refused["value"]
        hub.ask(student, "PATCH", f"api/contents/{other['path']}", json={"path": FILE})
        assert [found["status"] for found in hub.assignment(student, "submit")] == [
            "fetched",
            "submitted",
        ]
    assert hub.ask("ada", "GET", f"api/contents/{FILE}", at="bob").status_code == 403
    assert hub.ask("ada", "GET", "formgrader").status_code == 404  # which is the teacher's

    hub.terminal(f"{nbgrader} collect {CHAPTER}")
    hub.terminal(f"{nbgrader} autograde {CHAPTER}")
    hub.terminal(f"{nbgrader} generate_feedback {CHAPTER}")
    hub.terminal(f"{nbgrader} release_feedback {CHAPTER}")
    hub.terminal(f"{sys.executable} by_exercise.py")
    table = pd.read_csv(hub.home("teacher", "exercises/grades_by_exercise.csv"))
    assert set(table.state) == {"graded"}
    assert table.groupby("student").points.sum().to_dict() == got
    for student, mine in got.items():
        hub.assignment(student, "fetch_feedback")
        (page,) = hub.home(student, FILE).parent.glob(f"feedback/*/{CHAPTER}.html")
        score = re.search(r"\(Score: ([\d.]+) / ([\d.]+)\)", page.read_text("utf-8"))
        assert tuple(map(float, score.groups())) == (mine, sum(points.values()))
