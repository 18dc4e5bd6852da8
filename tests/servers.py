"""Servers in processes of their own on 127.0.0.1, to be killed and started again."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that listens on a free port. `command` is called with the port."""

    def __init__(self, command: Callable[[int], list[str]]) -> None:
        self.port = free_port()
        self.command = command(self.port)

    def __enter__(self) -> "Server":
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self.command, **silent)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, f"{self.command} ended"
            time.sleep(0.1)
        raise TimeoutError(f"{self.command} does not listen")

    def kill(self, *_) -> None:
        """By SIGKILL, which leaves it no time to put anything in order."""
        self.process.kill()
        self.process.wait()

    __exit__ = kill


def milvus(folder: Path) -> Server:
    where = ["--host", "127.0.0.1", "--data-dir", str(folder / "server.db"), "--port"]
    return Server(lambda port: [sys.executable, "-m", "milvus_lite", "server", *where, str(port)])


def redis(folder: Path) -> Server:
    """One that has on disk what it has confirmed."""
    durable = ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
    place = ["redis-server", "--bind", "127.0.0.1", *durable, "--port"]
    return Server(lambda port: [*place, str(port)])


def patiently(call: Callable[[], T]) -> T:
    """What the call returns once its server is back."""
    for _ in range(300):
        try:
            return call()
        except ConnectionError:
            time.sleep(0.2)
    return call()


def killed(process: subprocess.CompletedProcess) -> bool:
    return process.returncode == -signal.SIGKILL
