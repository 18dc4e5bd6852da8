"""Checks: of a notebook's claims, of the machine, and of code with a planted bug."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import torch
from packaging.requirements import Requirement
from threadpoolctl import threadpool_info

from course_lib.updates import Batch

Logits = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def claim(sentence: str, holds: bool) -> None:
    """Print a tick and the sentence, or fail: a notebook concludes only what holds."""
    if not bool(holds):
        raise AssertionError(f"✗ does not hold here: {sentence}")
    print(f"✓ {sentence}")


# -- the machine ------------------------------------------------------------------------------------------------------


def environment() -> pd.DataFrame:
    """One row per check of this machine: `check`, `found`, `ok`, and `advice` in plain words where it is not ok."""
    rows = [_python(), *_packages(), _threads(), _openmp(), _together(), _gpu()]
    return pd.DataFrame(rows, columns=["check", "found", "ok", "advice"])


Row = tuple[str, str, bool, str]


def _python() -> Row:
    ok = tuple(int(part) for part in platform.python_version_tuple()[:2]) >= (3, 10)
    return "Python", platform.python_version(), ok, "Install Python 3.10 or newer; then run 'make clean lab'."


def _packages() -> list[Row]:
    rows = []
    for line in importlib.metadata.requires("course_lib") or []:
        need = Requirement(line)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            found = faiss.__version__ if need.name == "faiss-cpu" else "missing"  # conda's Faiss goes by another name
        ok = found != "missing" and need.specifier.contains(found.split("+")[0], prereleases=True)
        advice = f"The course needs {need.name}{need.specifier}: run 'make clean lab', or update the conda environment."
        rows.append((need.name, found, ok, advice))
    return rows


def _threads() -> Row:
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    found = f"torch {threads}, Faiss {faiss.omp_get_max_threads()}, cores {cores}"
    advice = "More threads than cores: set OMP_NUM_THREADS to the number of cores before you start Jupyter."
    return "threads", found, threads <= cores, advice


def _openmp() -> Row:
    libraries = sorted({Path(pool["filepath"]).name for pool in threadpool_info() if pool["user_api"] == "openmp"})
    ok = len(libraries) < 2 or os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE" or torch.get_num_threads() == 1
    advice = (
        "Two OpenMP runtimes are loaded, and their idle threads fight for the cores: import course_lib before torch and "
        "faiss, or set OMP_WAIT_POLICY=PASSIVE before you start Jupyter."
    )
    return "OpenMP runtimes", ", ".join(libraries) or "none", ok, advice


def _together() -> Row:
    started = time.perf_counter()
    weight = torch.randn(64, 64, requires_grad=True)
    vectors = torch.nn.functional.normalize(torch.randn(20_000, 64) @ weight, dim=1)
    vectors.sum().backward()
    index = faiss.IndexFlatIP(64)
    index.add(vectors.detach().numpy())
    _, found = index.search(vectors[:64].detach().numpy(), 1)
    seconds = time.perf_counter() - started
    ok = bool((found[:, 0] == np.arange(64)).all()) and seconds < 5
    advice = "This should take well under a second: close other programs, or set OMP_NUM_THREADS=1 before you start Jupyter."
    return "a torch step and a Faiss search", f"{seconds:.2f} s together", ok, advice


def _gpu() -> Row:
    return "GPU (not needed)", torch.cuda.get_device_name() if torch.cuda.is_available() else "none", True, ""


# -- planted bugs -----------------------------------------------------------------------------------------------------


def check_logq_sign(logits: Logits) -> None:
    """Two negatives with the same cosine: the popular one must get the lower logit, by the difference of log q."""
    users, items = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    log_q = torch.tensor([0.2, 0.7, 0.1]).log()
    row = logits(users, items, log_q, torch.arange(3), 0.1)[0]
    expected = float(log_q[2] - log_q[1])
    if not np.isclose(float(row[1] - row[2]), expected, atol=1e-5):
        raise AssertionError(
            f"Same cosine, q = 0.7 and 0.1: the popular negative's logit minus the other's should be {expected:+.2f}, and is "
            f"{float(row[1] - row[2]):+.2f}. Is log q subtracted, and after the division by τ?"
        )


def check_temperature_first(logits: Logits) -> None:
    """With all cosines 0 the temperature has nothing to scale: logits must not depend on it."""
    users, items = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
    log_q = torch.tensor([0.9, 0.1]).log()
    cold, warm = (logits(users, items, log_q, torch.arange(2), temperature) for temperature in (0.05, 1.0))
    if not torch.allclose(cold, warm):
        raise AssertionError(
            f"All cosines are 0, yet τ = 0.05 gives {cold[0].tolist()} and τ = 1 gives {warm[0].tolist()}: log q was divided "
            "by τ too. Divide the cosine by τ first, then correct."
        )


def check_accidental_hits(logits: Logits) -> None:
    """An item that is in the batch twice must not be a negative of its own buyers."""
    users, items = torch.eye(3), torch.eye(3)[[0, 1, 0]]
    weight = logits(users, items, torch.zeros(3), torch.tensor([7, 8, 7]), 0.1).softmax(1)
    if float(weight[0, 2]) > 0 or float(weight[2, 0]) > 0 or float(weight[1, 0]) == 0:
        raise AssertionError(
            f"Pairs 0 and 2 bought the same item, and pair 0 gives the other copy a weight of {float(weight[0, 2]):.2f}; it should "
            "be 0, and other items' more. Mask the copies, and nothing else."
        )


def check_history(batch: Batch) -> None:
    """First purchases only: an item can't be in the history that its own event is predicted from."""
    inside = (batch.users["history"] == batch.ids[:, None]).any(1) & (batch.ids > 0)
    if inside.any():
        raise AssertionError(
            f"{int(inside.sum())} of {len(inside)} events have their own item in the user's history: the history contains the "
            "day itself. End it before the day's first event."
        )


def check_ties(recall_of_scores: Callable[[torch.Tensor], float]) -> None:
    """A model that gives every item the same score knows nothing, and must score 0."""
    found = recall_of_scores(torch.zeros(4, 1000))
    if found != 0:
        raise AssertionError(f"All items score the same, and R@100 is {found:.2f}; it should be 0. Count ties against the model.")
