"""A shop in a folder, its service in a process of its own, and what an answer has to be, by brute
force: for tests/test_service.py and tests/benchmarks/service.py.
"""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from course_lib.incremental_update import Touched
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.state import State
from course_lib.stream import StreamTrainer

ROOT = Path(__file__).resolve().parent.parent
JSON = {"Content-Type": "application/json"}


@dataclass
class Truth:
    """All that a version answers from: the vectors that its items got, in whichever hour."""

    state: State
    log: EventLog
    before: int
    vectors: torch.Tensor  # [items, d], NaN where an item is not in the index

    def wrong(self, user, k: int, answer: dict) -> str | None:
        """What is wrong with an answer; None if it is what a search through all items gives."""
        row = self.log.user_row(user)
        query = self.state.user_vectors(self.log, np.array([row]), self.before)
        scores = (self.vectors @ query[0]).numpy().astype(float)
        scores[self.log.bought(row, self.before)] = np.nan
        best = -np.sort(-scores[~np.isnan(scores)])[:k]
        if not np.allclose(answer["scores"], best, rtol=0, atol=2e-6):
            return f"{user}: scores {answer['scores']}, not {best}"
        own = scores[[self.log.row_of_item[item] for item in answer["items"]]]
        if len({*answer["items"]}) != len(best) or not np.allclose(own, best, rtol=0, atol=2e-6):
            return f"{user}: items {answer['items']} score {own}, not {best}"
        return None


class Witness(Nominator):
    """A trainer's nominator that remembers the truth of everything that it serves."""

    def __init__(self, *arguments, **options) -> None:
        self.truths: dict[tuple[str, str], Truth] = {}  # by version and learned_until
        super().__init__(*arguments, **options)

    def publish(self, state: State, time=None, log: EventLog | None = None) -> None:
        super().publish(state, time, log)
        items = np.arange(self.log.listed(self.version.time))
        self._remember(items, state.item_vectors(self.log, items, self.version.time), None)

    def update(self, state: State, touched: Touched, log: EventLog | None = None) -> None:
        last = self.truths[self.key()]
        super().update(state, touched, log)
        time = state.features.counts.time
        vectors = state.item_vectors(self.log, touched.items, time)
        self._remember(touched.items, vectors, last.vectors)

    def key(self) -> tuple[str, str]:
        return self.version.name, str(self.version.state.learned_until)

    def _remember(self, items: np.ndarray, vectors: torch.Tensor, last: torch.Tensor | None):
        table = torch.full((len(self.log.items), vectors.shape[1]), torch.nan)
        if last is not None:
            table[: len(last)] = last
        table[items] = vectors
        state, before = self.version.state, self.version.before
        self.truths[self.key()] = Truth(state, self.log, before, table)


def open_shop(folder: Path, log: EventLog, state: State) -> StreamTrainer:
    """A trainer at work in the folder, which has published the state; its nominator is a Witness."""
    log.save(folder / "log")
    (folder / "shards").mkdir()
    witness = Witness(log, folder=folder)
    return StreamTrainer(folder / "shards", folder / "keep", log, state, witness)


class Client:
    """One connection to the service, kept open."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __call__(self, path: str, body=None, headers=JSON, method: str = "") -> tuple[int, dict]:
        """The status and the answer; a `body` that is not bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())


@contextmanager
def service(folder: Path, before: str = "") -> Iterator[tuple[subprocess.Popen, int]]:
    """The service's process and its port; killed at the end. `before`: Python that it runs first."""
    command = ["-m", "course_lib.service"]
    if before:
        command = ["-c", f"{before}\nfrom course_lib import service\nservice.main()"]
    process = subprocess.Popen(
        [sys.executable, *command, str(folder), "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline()
        assert address.startswith("http://127.0.0.1:"), address
        yield process, int(address.rpartition(":")[2])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL


def pairs(events: pd.DataFrame) -> list[tuple]:
    return sorted(events[["user", "item"]].itertuples(index=False, name=None))
