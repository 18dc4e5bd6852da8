"""Is this machine ready for the course?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import torch
from packaging.requirements import Requirement
from threadpoolctl import threadpool_info


def environment() -> pd.DataFrame:
    """One row per check of this machine: `check`, `found`, `ok`, and `advice` where it is not."""
    rows = [_python(), *_packages(), _threads(), _openmp(), _together(), _gpu()]
    return pd.DataFrame(rows, columns=["check", "found", "ok", "advice"])


Row = tuple[str, str, bool, str]


def _python() -> Row:
    ok = tuple(int(part) for part in platform.python_version_tuple()[:2]) >= (3, 10)
    return (
        "Python",
        platform.python_version(),
        ok,
        "Install Python 3.10 or newer; then run 'make clean lab'.",
    )


def _packages() -> list[Row]:
    rows = []
    for line in importlib.metadata.requires("course_lib") or []:
        need = Requirement(line)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            # conda's Faiss goes by another name
            found = faiss.__version__ if need.name == "faiss-cpu" else "missing"
        ok = found != "missing" and need.specifier.contains(found.split("+")[0], prereleases=True)
        wanted = f"The course needs {need.name}{need.specifier}"
        advice = f"{wanted}: run 'make clean lab', or update the conda environment."
        rows.append((need.name, found, ok, advice))
    return rows


def _threads() -> Row:
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    found = f"torch {threads}, Faiss {faiss.omp_get_max_threads()}, cores {cores}"
    advice = (
        "More threads than cores: set OMP_NUM_THREADS to the number of cores before you start "
        "Jupyter."
    )
    return "threads", found, threads <= cores, advice


def _openmp() -> Row:
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "openmp"]
    libraries = sorted({Path(pool["filepath"]).name for pool in pools})
    passive = os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    ok = len(libraries) < 2 or passive or torch.get_num_threads() == 1
    advice = (
        "Two OpenMP runtimes are loaded, and their idle threads fight for the cores: import "
        "course_lib before torch and faiss, or set OMP_WAIT_POLICY=PASSIVE before you start "
        "Jupyter."
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
    advice = (
        "This should take well under a second: close other programs, or set OMP_NUM_THREADS=1 "
        "before you start Jupyter."
    )
    return "a torch step and a Faiss search", f"{seconds:.2f} s together", ok, advice


def _gpu() -> Row:
    found = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return "GPU (not needed)", found, True, ""
