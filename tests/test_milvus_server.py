"""A Milvus server: the contract over the network, versions behind an alias, and the server killed.

The first two run against any server or cluster too, where MILVUS_URI (and MILVUS_TOKEN) is set.
"""

import base64
import itertools
import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pandas as pd
import pymilvus
import pytest
from helpers import SMALL, trained
from index_contract import check_contract
from servers import milvus, patiently

from course_lib.index import MilvusIndex
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.state import State


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory):
    if given := os.environ.get("MILVUS_URI"):
        yield given
    else:
        with milvus(tmp_path_factory.mktemp("milvus")) as server:
            yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def prefix() -> str:
    """Of names that nobody else on the server has."""
    return f"test_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def other(tiny: EventLog) -> State:
    return trained(tiny, replace(SMALL, seed=1), tiny.days)


def collections(index: MilvusIndex, prefix: str) -> list[str]:
    found = index._client.list_collections()
    return sorted(name.removeprefix(f"{prefix}_") for name in found if name.startswith(prefix))


@pytest.mark.parametrize("kind", MilvusIndex.KINDS)
def test_a_server_lives_up_to_the_contract(kind: str, uri: str, prefix: str):
    names = (f"{prefix}_{number}" for number in itertools.count())
    dials = {"ef_search": 1_000, "M": 64, "nprobe": 1_000, "kind": kind}
    check_contract(lambda: MilvusIndex(uri, next(names), **dials), True, 2, 8)


def test_who_asks_by_the_alias_meets_one_version_whole(
    uri: str, prefix: str, tiny: EventLog, tiny_state: State, other: State, tmp_path: Path
):
    """Two models are published in turn while a reader, who knows the alias alone, asks for all."""
    states = [tiny_state, other]

    def make(version: str) -> MilvusIndex:
        return MilvusIndex(uri, f"{prefix}_{version}", alias=prefix)

    nominator = Nominator(tiny, make, tmp_path)
    nominator.publish(states[0])
    time, items = nominator.version.time, np.arange(4)
    query = np.ones((1, SMALL.dim), np.float32)
    own = [state.item_vectors(tiny, items, time).numpy() @ query[0] for state in states]
    assert np.abs(own[0] - own[1]).max() > 0.01
    reader, over, answers = MilvusIndex(uri, prefix), threading.Event(), []

    def version() -> int:
        scores, ids = reader.search(query, 4)
        near = [np.allclose(scores[0], each[ids[0]], atol=1e-5) for each in own]
        assert near.count(True) == 1 and sorted(ids[0]) == [0, 1, 2, 3]
        return near.index(True)

    def ask() -> None:
        while not over.is_set():
            answers.append(version())

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            for turn in range(1, 4):
                nominator.publish(states[turn % 2])
                assert version() == turn % 2
                assert collections(reader, prefix) == [f"v{turn}", f"v{turn + 1}"]
        finally:
            over.set()
        asking.result()
    assert set(answers) == {0, 1}
    nominator.back()
    assert version() == 0 and Nominator(tiny, make, tmp_path).version.name == "v3"
    own[0] = own[0][:2]
    live = nominator.version.index  # what follows the alias, follows a rebuild as well
    live.build(states[0].item_vectors(tiny, items[:2], time), items[:2])
    assert reader.search(query, 4)[1].shape == (1, 2)
    reader._client.drop_alias(prefix)
    for name in collections(reader, prefix):
        make(name).drop()


def test_a_server_killed_while_publishing(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With half the vectors sent, with all of them but not in place, and just before the alias is
    turned. Whoever served goes on with the last good version, once the server is back.
    """
    with milvus(tmp_path) as server:
        uri, folder = f"http://127.0.0.1:{server.port}", tmp_path / "versions"

        def make(version: str) -> MilvusIndex:
            return MilvusIndex(uri, f"items_{version}", alias="items", timeout=10.0)

        nominator = Nominator(tiny, make, folder)
        nominator.publish(tiny_state)
        reader, query = MilvusIndex(uri, "items"), np.eye(1, SMALL.dim)
        before, raw = nominator.nominate("cid", 2), reader.search(query, 4)
        for step in ("flush", "rename_collection", "alter_alias"):
            call = getattr(pymilvus.MilvusClient, step)

            def kill(*arguments, call=call, **options):
                server.kill()
                return call(*arguments, **options)

            with monkeypatch.context() as patch:
                patch.setattr(pymilvus.MilvusClient, step, kill)
                with pytest.raises(ConnectionError, match="^Milvus does not answer at"):
                    nominator.publish(other)
            with pytest.raises(ConnectionError):
                nominator.nominate("cid", 2)
            server.__enter__()
            again = patiently(lambda: nominator.nominate("cid", 2))
            pd.testing.assert_frame_equal(again, before)
            for mine, first in zip(patiently(lambda: reader.search(query, 4)), raw, strict=True):
                np.testing.assert_array_equal(mine, first)
        assert Nominator(tiny, make, folder).version.name == "v1"
        nominator.publish(other)
        name = nominator.version.name
        assert collections(reader, "items") == ["v1", name]
        assert reader.leads_to() == f"items_{name}"


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """A server that notes what it is sent, and answers nothing."""
    sent = []

    class Listener(grpc.GenericRpcHandler):
        def service(self, call):
            sent.append(dict(call.invocation_metadata).get("authorization", ""))

    server = grpc.server(ThreadPoolExecutor(), [Listener()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("MILVUS_TOKEN", "ann:secret")
    try:
        with pytest.raises(ValueError, match="refuses") as raised:
            MilvusIndex(f"http://127.0.0.1:{port}")
    finally:
        server.stop(None)
    assert {base64.b64decode(token).decode() for token in sent} == {"ann:secret"}
    assert "secret" not in str(raised.value)
