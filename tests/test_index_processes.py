"""Threads and forks, each in a process of its own: a crash there fails the test, not pytest."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

LOCAL = [f"FaissIndex('{kind}', nprobe=60)" for kind in ("flat", "ivf", "ivfpq", "hnsw")]
if importlib.util.find_spec("hnswlib"):
    LOCAL.append("HnswlibIndex()")
ENGINES = [pytest.param(LOCAL, id="in process"), pytest.param(["MilvusIndex()"], id="Milvus")]


def run(script: str, *arguments: str, threads: str = "1") -> None:
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "OMP_NUM_THREADS": threads,
    }
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])


BESIDE = """
import sys, threading
import numpy as np
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex

rng = np.random.default_rng(0)
vectors = rng.normal(size=(800, 16))
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
pair = np.array([0, 1])  # two ids whose vectors always change together: axis, times 2, 3, 4, …
axis = np.eye(2, 16)[[0, 0]]

def watch(engine, turns):
    index, bad, asked, done = eval(engine), [], [0, 0], False

    def ask(me):
        while not done or not asked[me]:
            try:
                scores, ids = index.search(axis[:1], 10)
                asked[me] += 1
                if len(set(ids[0].tolist())) < 10 or ids.min() < 0 or ids.max() >= 800:
                    bad.append(f"ids {ids}")
                elif "pq" not in engine and (set(ids[0, :2]) != {0, 1} or np.ptp(scores[0, :2])):
                    bad.append(f"half an upsert: {ids[0, :3]} {scores[0, :3]}")
                if not 400 <= len(index) <= 500:
                    bad.append(f"len {len(index)}")
            except Exception as error:
                bad.append(repr(error))

    index.build(np.concatenate([2 * axis, vectors[2:400]]), np.arange(400))
    threads = [threading.Thread(target=ask, args=(me,)) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for turn in range(turns):
        some = 400 + (turn * 100 + np.arange(100)) % 400
        index.upsert(vectors[some], some)
        index.upsert((3 + turn) * axis, pair)
        index.delete(some)
        if turn % 20 == 19:
            index.build(np.concatenate([(3 + turn) * axis, vectors[2:400]]), np.arange(400))
    done = True
    for thread in threads:
        thread.join()
    if bad:
        sys.exit(f"{engine}: {bad[:3]}")

for engine in sys.argv[1:]:
    print(engine, flush=True)
    watch(engine, 5 if "Milvus" in engine else 60)
"""


@pytest.mark.parametrize("engines", ENGINES)
def test_searches_beside_changes_see_them_whole(engines: list[str]):
    run(BESIDE, *engines)


FORKS = """
import multiprocessing, sys, threading
import numpy as np
import torch
from course_lib.index import FaissIndex, HnswlibIndex, MilvusIndex

vectors = np.random.default_rng(0).normal(size=(1_000, 16)).astype(np.float32)
matrix, done = torch.ones(300, 300), False
torch.set_num_threads(2)
matrix @ matrix
indexes = [eval(engine) for engine in sys.argv[1:]]
for index in indexes:
    index.build(vectors, np.arange(1_000))
    index.search(vectors[:64], 5)

def change():
    turn = 0
    while not done:
        some = (turn * 100 + np.arange(100)) % 1_000
        for index in indexes:
            index.upsert(vectors[some], some)
        turn += 1

def child(answers):
    found = []
    for index in indexes:
        ids = index.search(vectors[:64], 5)[1]
        index.upsert(vectors[:3], np.arange(3))
        found.append(bool((ids >= 0).all()) and len(index) == 1_000)
    answers.put((found, float((matrix @ matrix).sum())))

threads = [threading.Thread(target=change, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
context = multiprocessing.get_context("fork")
try:
    for _ in range(3):
        answers = context.SimpleQueue()
        process = context.Process(target=child, args=(answers,))
        process.start()
        process.join(30)
        if process.is_alive():
            process.kill()
            sys.exit("the child hangs")
        if process.exitcode or answers.get() != ([True] * len(indexes), 300.0**3):
            sys.exit(f"the child ended with {process.exitcode}, or a wrong answer")
finally:
    done = True
    for thread in threads:
        thread.join()
for index in indexes:
    assert len(index) == 1_000 and index.search(vectors[:9], 5)[1].shape == (9, 5)
"""


@pytest.mark.parametrize("engines", ENGINES if hasattr(os, "fork") else [])
def test_a_forked_process_goes_on_and_so_does_its_parent(engines: list[str]):
    run(FORKS, *engines, threads="2")
