"""Milvus: embedded, and the same on a server; what outlives a process, and what goes with it."""

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers import refusal, unit_vectors
from index_contract import Reference
from servers import milvus

from course_lib.index import MilvusIndex, VectorIndex

IDS = np.random.default_rng(0).permutation(np.arange(10_000, 10_300))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


@pytest.fixture
def server(tmp_path: Path):
    """A Milvus server in another process, on 127.0.0.1: its address, the process, its data."""
    with milvus(tmp_path) as server:
        yield f"http://127.0.0.1:{server.port}", server.process, tmp_path / "server.db"


def asleep(pid: int) -> None:
    """Stop a process, and wait until it has: it may answer once more before the signal arrives."""
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    time.sleep(0.2)  # its other threads


def test_a_server_is_only_another_uri(server, tmp_path: Path):
    uri, process, data = server
    vectors = unit_vectors(300, 12, seed=1)
    index, reference = MilvusIndex(uri, collection="items_v7"), Reference(vectors, IDS)
    assert len(index) == 0
    assert refusal(index.search, vectors[:1], 1).startswith("the index is empty")
    index.build(vectors, IDS)
    index.version = "v7"
    index.save(tmp_path / "card")
    other = VectorIndex.load(tmp_path / "card", version="v7")  # as another process would
    assert other.uri == uri and other.dim == 12
    for one in (other, reference):
        one.upsert(unit_vectors(8, 12, seed=2), np.concatenate([IDS[:5], [1, 2, 3]]))
        one.delete(IDS[5:9])
    for one in (index, other):  # at once, for everybody
        assert reference.compare(one, unit_vectors(5, 12, seed=3), 10) == 1
    index.search(vectors[:1], 300)
    other.delete(IDS[10:20])
    assert index.search(vectors[:2], 300)[1].shape == (2, 289), (
        "what another deletes is not made up"
    )
    assert "1 of 2 ids are not in the index, the first is 77" in refusal(
        index.delete, [IDS[30], 77]
    )
    other.upsert(vectors[:2], IDS[10:12])
    assert index.search(vectors[:2], 300)[1].shape == (2, 291), "nor is what another adds left out"
    message = refusal(VectorIndex.load, tmp_path / "card", version="v8")
    assert "model version 'v7', and 'v8' is wanted" in message
    message = refusal(MilvusIndex, data)
    assert "can't be opened: its folder is missing, another process has it open" in message
    MilvusIndex(uri, collection="items_v7").build(unit_vectors(3, 4, seed=1), np.arange(3))
    message = refusal(VectorIndex.load, tmp_path / "card")
    assert "has no collection 'items_v7' of 12 columns" in message
    index.timeout = other.timeout = 1
    if hasattr(signal, "SIGSTOP"):  # not on Windows
        asleep(process.pid)
        with pytest.raises(ConnectionError, match="^Milvus does not answer"):
            index.search(vectors[:1], 1)
    process.kill()
    process.wait()
    for call in (
        lambda: index.search(vectors[:1], 1),
        lambda: len(index),
        lambda: VectorIndex.load(tmp_path / "card"),
    ):
        with pytest.raises(
            ConnectionError, match=f"^Milvus does not answer at {uri}; is it running"
        ):
            call()


@pytest.mark.parametrize("listens", [False, True], ids=["nobody listens", "never answers"])
def test_an_unreachable_server_is_named(listens: bool, capfd: pytest.CaptureFixture):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            ConnectionError, match=f"^Milvus does not answer at {uri}; is it running"
        ):
            MilvusIndex(uri)
    assert capfd.readouterr().err == ""


def test_a_database_file_outlives_its_process_and_a_notebook_sees_no_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = """
import numpy as np
from course_lib.index import MilvusIndex
index = MilvusIndex("items.db", kind="HNSW", M=8)
index.version = "v7"
index.build(np.eye(60, 8) + np.eye(60, 8, 1), np.arange(60))
index.upsert(5 * np.eye(1, 8), [3])
index.save("card")
MilvusIndex().build(np.eye(3), np.arange(3))
print(index.search(np.eye(1, 8), 1)[1])
index.collection = "nowhere"
try:
    index.search(np.eye(1, 8), 1)
except ValueError as error:
    print(error)
"""
    (tmp_path / "temporary").mkdir()
    environment = ENVIRONMENT | {"TMPDIR": str(tmp_path / "temporary")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, "[[3]]", "")
    assert re.fullmatch(r"Milvus at .*items.db refuses: .*nowhere.*\.", done.stdout.splitlines()[1])
    assert not list((tmp_path / "temporary").iterdir()), (
        "a temporary database goes with its process"
    )
    index = MilvusIndex.load(tmp_path / "card", version="v7")  # from another folder
    assert index.uri == str(tmp_path / "items.db") and (index.kind, index.M) == ("HNSW", 8)
    assert len(index) == 60 and index.search(np.eye(1, 8), 1)[1].tolist() == [[3]]


def test_a_temporary_database_is_not_saved_and_not_shared(tmp_path: Path):
    first, second = MilvusIndex(), MilvusIndex()
    first.build(unit_vectors(3, 4, seed=1), np.arange(3))
    assert len(second) == 0
    assert refusal(first.save, tmp_path / "card").startswith("this Milvus database is temporary")
    folder = Path(first.uri).parent
    assert folder.exists()
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:  # lets go of its copy, and ends as `sys.exit` would
            try:
                del first
                gc.collect()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert folder.exists() and len(first) == 3
    del first
    gc.collect()  # the refusal's traceback
    assert not folder.exists() and not list(tmp_path.iterdir())


def test_a_retired_collection_is_dropped(tmp_path: Path):
    uri, vectors = tmp_path / "items.db", unit_vectors(30, 4, seed=1)
    old, new = MilvusIndex(uri, "items_v1"), MilvusIndex(uri, "items_v2")
    for index in (old, new):
        index.build(vectors, np.arange(30))
        index.save(tmp_path / index.collection)
    old.drop()
    old.drop()
    assert new._client.list_collections() == ["items_v2"]
    assert (len(old), old.dim, len(new)) == (0, None, 30)
    assert refusal(old.search, vectors, 1).startswith("the index is empty")
    assert "has no collection 'items_v1'" in refusal(VectorIndex.load, tmp_path / "items_v1")
    old.build(vectors[:, :3], np.arange(30))
    assert Reference(vectors[:, :3], np.arange(30)).compare(old, vectors[:2, :3], 9) == 1


@pytest.mark.parametrize("step", ["insert", "create_index", "rename_collection"])
def test_a_build_that_fails_leaves_the_collection_as_it_was(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    uri, vectors = tmp_path / "items.db", unit_vectors(30, 4, seed=1)
    index, reference = MilvusIndex(uri), Reference(vectors, np.arange(30))
    index.build(vectors, np.arange(30))

    def broken(*arguments, **options):
        raise index._milvus.MilvusException(message="quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(index._client, step, broken)
        assert "refuses: quota exceeded." in refusal(index.build, vectors[:5, :3], np.arange(5))
    assert index._client.list_collections() == ["items"]
    for one in (index, MilvusIndex(uri)):
        assert one.dim == 4 and reference.compare(one, vectors[:3], 30) == 1
    index.build(vectors[:5, :3], np.arange(5))
    assert index._client.list_collections() == ["items"]
    assert Reference(vectors[:5, :3], np.arange(5)).compare(index, vectors[:3, :3], 5) == 1


def test_few_probes_are_widened():
    vectors = unit_vectors(900, 8, seed=1)
    reference, queries = Reference(vectors, np.arange(900)), unit_vectors(30, 8, seed=2)
    index = MilvusIndex(kind="IVF_FLAT", nprobe=1)
    index.build(vectors, np.arange(900))
    narrow = reference.compare(index, queries, 10)
    assert reference.compare(index, queries, 300) == 1, "too few in one list: all are searched"
    index.nprobe = 30
    assert narrow < 0.95 < reference.compare(index, queries, 10)
    index.delete(np.arange(900))
    assert refusal(index.search, queries, 10).startswith("the index is empty")


def test_what_the_graph_does_not_find_is_fetched(monkeypatch: pytest.MonkeyPatch):
    index, vectors = MilvusIndex(kind="HNSW"), unit_vectors(60, 8, seed=1)
    index.build(vectors, np.arange(60))
    hits = index._hits
    monkeypatch.setattr(index, "_hits", lambda *a: [(s[:7], ids[:7]) for s, ids in hits(*a)])
    assert Reference(vectors, np.arange(60)).compare(index, unit_vectors(3, 8, seed=2), 50) == 1


@pytest.mark.parametrize(
    "uri, sentence",
    [
        ("somewhere", "uri is 'somewhere'; name a file that ends in .db"),
        (7, "uri is '7'; name a file that ends in .db"),
        ("/no/such/folder/items.db", "/no/such/folder/items.db can't be opened: its folder is"),
        ("http://ann:secret@127.0.0.1:19530", "a saved index shows its uri to everybody"),
    ],
)
def test_a_bad_uri(uri, sentence: str):
    message = refusal(MilvusIndex, uri)
    assert message.startswith(sentence) and "secret" not in message


@pytest.mark.parametrize("collection", [7, None, "", "x" * 256])
def test_a_bad_name_of_a_collection(collection):
    def use():
        MilvusIndex(collection=collection).build(np.eye(2), [1, 2])

    assert "refuses: " in refusal(use)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), "5", True, None])
def test_a_timeout_is_some_seconds(timeout):
    assert refusal(MilvusIndex, timeout=timeout).startswith(
        f"timeout is {timeout!r}; it takes a nu"
    )
    assert vars(MilvusIndex)["timeout"].default == 60
