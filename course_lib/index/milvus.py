"""Milvus: a database of vectors, embedded in this process, or a server or cluster."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from course_lib.index.base import Dial, Found, Kind, VectorIndex, search_all

CONNECT = 3.0  # seconds
ROWS = 5_000  # in one request
MOST_EF, MOST_LISTS = 32_768, 65_536  # Milvus's limits


@dataclass(eq=False)
class MilvusIndex(VectorIndex):
    """Milvus (Wang et al., 2021), a vector database. `uri` says where:

    - None: embedded in this process (Milvus Lite), in a temporary folder that goes with the index.
    - a path that ends in ".db": the same, and it stays. One process at a time can have it open.
    - "http://…", "https://…": a server or a cluster, and nothing else changes. MILVUS_TOKEN of the
      environment ("user:password" or a key) is sent along.

    The vectors live in the collection of that name: a new MilvusIndex finds what an earlier one
    built there, `build` replaces it once the new one is complete, `drop` removes it, and `save`
    writes a card (where it is, which version) instead of vectors. Publish each model version to a
    collection of its own, or a user vector of one version meets item vectors of another. One
    process at a time may build a collection.

    `alias`: a second name that `serve` gives to this collection in one step, taking it from the
    version before. Who searches by the alias meets one version or the other, whole.

    `kind`: "FLAT" (exact), "HNSW" or "IVF_FLAT", with the dials of `FaissIndex`. A search sees
    changes at once (strong consistency). A query that finds fewer than k is searched again, as wide
    as possible. Raises ConnectionError if Milvus does not answer within `timeout` s, when it is
    constructed within 5.
    """

    KINDS = ("FLAT", "HNSW", "IVF_FLAT")

    uri: str | os.PathLike | None = None
    collection: str = "items"
    kind: str = Kind(KINDS)
    _: KW_ONLY
    alias: str | None = None
    nlist: int | None = Dial(None, 1, MOST_LISTS)
    nprobe: int = Dial(16, 1, MOST_LISTS)
    M: int = Dial(16, 2, 2048)
    ef_construction: int = Dial(100)
    ef_search: int = Dial(150, 1, MOST_EF)
    timeout: float = Dial(60.0, 0.001, 86_400)

    def __post_init__(self) -> None:
        self._milvus, self._temporary = _pymilvus(), self.uri is None
        self.uri = _milvus_uri(self.uri)
        self._last_size = 0  # when Milvus was asked last
        options = {"token": os.environ.get("MILVUS_TOKEN", ""), "dedicated": True}
        make = self._milvus.MilvusClient
        self._client = self._ask(make, self.uri, timeout=CONNECT, **options)
        if self._temporary:
            weakref.finalize(self, _forget, self._client, self.uri, os.getpid())
        if self._ask(self._client.has_collection, self.collection):
            found = self._ask(self._client.describe_collection, self.collection)
            vector = next(field for field in found["fields"] if field["name"] == "vector")
            self.dim = int(vector["params"]["dim"])
            self._ask(self._client.load_collection, self.collection)
            self._size()

    def _ask(self, call: Callable, *arguments, again: bool = True, **options):
        """What Milvus answers to this call; if something goes wrong, an error of one sentence."""
        import grpc

        try:
            return call(*arguments, **{"timeout": self.timeout} | options)
        except (self._milvus.MilvusException, grpc.RpcError) as error:
            message = str(getattr(error, "message", "") or error)
            if again and ("not loaded" in message or "state 'released'" in message):
                # the server was away, and has it on disk alone
                self._ask(self._client.load_collection, self.collection, again=False)
                return self._ask(call, *arguments, again=False, **options)
            lost = "connecting to server" in message or "Retry timeout" in message
            if lost or isinstance(error, grpc.RpcError):
                advice = "is it running, is that its address, and is the timeout long enough?"
                raise ConnectionError(f"Milvus does not answer at {self.uri}; {advice}") from error
            if "Open local milvus failed" in message:
                reasons = "its folder is missing, another process has it open, or it is damaged"
                raise ValueError(f"{self.uri} can't be opened: {reasons}.") from error
            reason = message.splitlines()[0].rstrip(".")
            raise ValueError(f"Milvus at {self.uri} refuses: {reason}.") from error

    def serve(self) -> None:
        """Let the alias, if there is one, lead here from now on."""
        if self.alias is not None:
            there = self._ask(self._client.list_aliases)["aliases"]
            turn = self._client.alter_alias if self.alias in there else self._client.create_alias
            self._ask(turn, self.collection, self.alias)

    def leads_to(self) -> str:
        """The collection that the alias, or `collection` if that is one, leads to now.

        The alias can turn between user and item vectors, which must be of one version: so look here
        first, and search that collection by its own name. Raises ValueError for an unknown alias.
        """
        found = self._ask(self._client.describe_alias, self.alias or self.collection)
        return found["collection_name"]

    def drop(self) -> None:
        """Remove the collection from the database; the index is then as if never built."""
        with self._lock:
            self._ask(self._client.drop_collection, self.collection)
            self.dim, self._last_size = None, 0

    def _size(self) -> int:
        if self.dim is not None:
            counted = self._query(filter="", output_fields=["count(*)"])
            self._last_size = int(counted[0]["count(*)"])
        return self._last_size

    def _query(self, **what) -> list[dict]:
        what["consistency_level"] = "Strong"
        return self._ask(self._client.query, self.collection, **what)

    def _count(self, k: int) -> int:
        return self._last_size if self._last_size >= k else self._size()

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        client, ask, name = self._client, self._ask, self.collection
        aside, aliases = f"{name}_{uuid.uuid4().hex}", []
        for left in ask(client.list_collections):  # by a process that was killed
            if re.fullmatch(f"{re.escape(str(name))}_[0-9a-f]{{32}}(_old)?", left):
                ask(client.drop_collection, left)
        try:
            self._fill(aside, vectors, ids)
            if ask(client.has_collection, name):
                aliases = ask(client.list_aliases, name)["aliases"]
                ask(client.rename_collection, name, f"{aside}_old")
            ask(client.rename_collection, aside, name)
        finally:
            ask(client.drop_collection, aside)  # it is still there if something failed
        ask(client.load_collection, name)
        for alias in aliases:  # they have followed the old one
            ask(client.alter_alias, name, alias)
        ask(client.drop_collection, f"{aside}_old")
        self._last_size = len(ids)

    def _fill(self, name: str, vectors: np.ndarray, ids: np.ndarray) -> None:
        client, ask = self._client, self._ask
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", self._milvus.DataType.INT64, is_primary=True)
        schema.add_field("vector", self._milvus.DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        ask(client.create_collection, name, schema=schema, consistency_level="Strong")
        for part in _parts(ids):
            ask(client.insert, name, _rows(vectors[part], ids[part]))
        ask(client.flush, name)
        lists = min(self.nlist or round(len(ids) ** 0.5), len(ids) // 39)  # k-means wants 39 each
        kind = "FLAT" if self.kind == "IVF_FLAT" and not lists else self.kind
        graph = {"M": self.M, "efConstruction": self.ef_construction}
        dials = {"FLAT": {}, "HNSW": graph, "IVF_FLAT": {"nlist": lists}}[kind]
        plan = client.prepare_index_params()
        nested = {"params": dials}  # both a server and Milvus Lite read this form
        plan.add_index("vector", index_type=kind, metric_type="IP", params=nested)
        ask(client.create_index, name, plan)

    def _search(self, queries: np.ndarray, k: int) -> Found:
        found = self._hits(queries, k, {"ef": max(self.ef_search, k), "nprobe": self.nprobe})
        short = [i for i, (_, ids) in enumerate(found) if len(ids) < k]
        if short:
            k = min(k, self._size())  # somebody else may have deleted some
            widest = {"ef": min(max(self._last_size, k), MOST_EF), "nprobe": MOST_LISTS}
            for i, again in zip(short, self._hits(queries[short], k, widest), strict=True):
                found[i] = again if len(again[1]) >= k else self._search_everywhere(queries[i], k)
        scores, ids = zip(*((scores[:k], ids[:k]) for scores, ids in found), strict=True)
        return np.array(scores, np.float32), np.array(ids, np.int64)

    def _hits(self, queries: np.ndarray, k: int, effort: dict[str, int]) -> list[Found]:
        used = {"FLAT": (), "HNSW": ("ef",), "IVF_FLAT": ("nprobe",)}[self.kind]
        hits = self._ask(
            self._client.search,
            self.collection,
            data=queries,
            limit=k,
            search_params={"metric_type": "IP", "params": {name: effort[name] for name in used}},
            output_fields=["id"],  # else Milvus Lite sends the vectors, too
            consistency_level="Strong",
        )
        return [(row.distances, row.ids) for row in hits]

    def _search_everywhere(self, query: np.ndarray, k: int) -> Found:
        """Fetch all vectors and compare: a graph can have corners that no path leads to."""

        def fetch(**options) -> list[dict]:
            rows, options["output_fields"] = [], ["id", "vector"]
            pages = self._client.query_iterator(self.collection, batch_size=ROWS, **options)
            while page := pages.next():
                rows += page
            pages.close()
            return rows

        rows = self._ask(fetch)
        vectors = np.array([row["vector"] for row in rows], np.float32)
        scores, ids = search_all(query[None], k, vectors, np.array([row["id"] for row in rows]))
        return scores[0], ids[0]

    def _upsert(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        for part in _parts(ids):
            rows = _rows(vectors[part], ids[part])
            self._ask(self._client.upsert, self.collection, rows)

    def _delete(self, ids: np.ndarray) -> None:
        self._last_size = 0  # ask again, also if this fails half-way
        for part in _parts(ids):
            self._ask(self._client.delete, self.collection, ids=ids[part].tolist())

    def _known(self, ids: np.ndarray) -> np.ndarray:
        there = [self._query(ids=ids[part].tolist(), output_fields=["id"]) for part in _parts(ids)]
        return np.isin(ids, [row["id"] for rows in there for row in rows])

    def _arrays(self) -> dict[str, np.ndarray]:
        if self._temporary:
            lost = "is temporary and ends with the index, so a saved card would lead nowhere"
            advice = "make the index with a uri, such as 'items.db'"
            raise ValueError(f"this Milvus database {lost}; {advice}.")
        self._ask(self._client.flush, self.collection)
        return {}

    def _restore(self, arrays: dict[str, np.ndarray], dim: int) -> None:
        if self.dim != dim:  # the constructor has looked
            missing = f"no collection '{self.collection}' of {dim} columns"
            raise ValueError(f"Milvus at {self.uri} has {missing}; build the index again.")


def _parts(ids: np.ndarray) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, len(ids), ROWS)]


def _rows(vectors: np.ndarray, ids: np.ndarray) -> list[dict]:
    pairs = zip(ids.tolist(), vectors, strict=True)
    return [{"id": id, "vector": vector} for id, vector in pairs]


def _milvus_uri(uri: str | os.PathLike | None) -> str:
    if uri is None:
        return str(Path(tempfile.mkdtemp(prefix="milvus-"), "index.db"))
    uri = str(uri)
    if "@" in uri and "://" in uri:
        advice = "put user:password into the environment's MILVUS_TOKEN instead"
        raise ValueError(f"a saved index shows its uri to everybody; {advice}.")
    if uri.startswith(("http://", "https://")):
        return uri
    if uri.endswith(".db"):
        return os.path.abspath(uri)
    advice = "name a file that ends in .db (Milvus Lite), or a server as http://host:19530"
    raise ValueError(f"uri is '{uri}'; {advice}.")


def _pymilvus():
    # Read when grpc is imported; errors arrive as exceptions all the same.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import milvus_lite  # noqa: F401 (pymilvus finds it by itself)
        import pymilvus
    except ImportError as error:
        raise ImportError(
            "MilvusIndex needs pymilvus and milvus-lite: pip install pymilvus milvus-lite."
        ) from error
    for name in ("pymilvus", "milvus_lite", "grpc._server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus


def _forget(client, uri: str, owner: int) -> None:
    """End an embedded database and remove it, unless this is a fork of the process that has it."""
    from milvus_lite.server_manager import server_manager_instance

    if os.getpid() == owner:
        client.close()
        server_manager_instance.release_server(uri)
        shutil.rmtree(Path(uri).parent, ignore_errors=True)
