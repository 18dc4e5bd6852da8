"""Redis Streams: hour shards from a broker, each learned once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd

from course_lib.stream import Shard, events_of, hour_of

BATCH = 16  # shards in one answer


class RedisStream:
    """The stream `name` on the Redis server (7.0 or newer) at `uri`: a `Reader` of hour shards.

    - A shard is an entry. Entries are numbered 1, 2, 3, … (ids 0-1, 0-2, …; Redis gives the next
      one), so that a gap shows what was lost. Nothing after a gap is given.
    - `group`: the consumer group, which keeps an entry as pending until it is acknowledged, and
      gives it again if asked. One trainer reads for a group.
    - What is learned, the trainer's state says, and not the broker: the group is set back to the
      last offset in it. So a new state, or an older one, is given again all that came after that.

    The server has to keep what it has confirmed (`appendonly yes`, `appendfsync always`).
    REDIS_PASSWORD of the environment is sent along. Raises ConnectionError if there is no answer
    within `timeout` seconds.
    """

    def __init__(
        self,
        uri: str = "redis://127.0.0.1:6379",
        name: str = "hours",
        group: str = "trainer",
        timeout: float = 5.0,
    ) -> None:
        try:
            import redis
        except ImportError as error:
            raise ImportError("RedisStream needs the client: pip install redis.") from error
        if "@" in uri:
            advice = "put the password into the environment's REDIS_PASSWORD instead"
            raise ValueError(f"errors show the uri to everybody; {advice}.")
        self._redis, self.uri, self.name, self.group = redis, uri, name, group
        password = os.environ.get("REDIS_PASSWORD")
        self._client = redis.Redis.from_url(
            uri, password=password, socket_timeout=timeout, protocol=2
        )
        self._last: int | None = None  # the offset up to which all have been given
        self._learned: Collection[str] = ()

    def send(self, path: str | Path) -> str:
        """Append an hour shard, a file such as 2011-06-01T09.tfrecord; returns its offset."""
        fields = {"hour": Path(path).stem, "shard": Path(path).read_bytes()}
        with self._asking():
            return self._place(_number(self._client.xadd(self.name, fields, id="0-*")))

    def arrived(self, learned: Collection[str]) -> Iterator[Shard]:
        self._learned = learned
        with self._asking():
            self._set_back()
            newest = _number(self._client.xinfo_stream(self.name)["last-generated-id"])
            if newest < self._held():
                raise ValueError(
                    f"{self.name} ends with offset {newest}, and {self._held()} is learned: it is "
                    "not the same stream, so give it another name."
                )
            given = [entry for entry in self._delivered("0") if entry[0] <= self._last]
        while True:
            for number, fields in given:
                if not fields and self._place(number) not in learned:
                    raise self._lost(number)
                yield self._shard(number, fields or {})
            with self._asking():
                given = self._delivered(">")
                for expected, (number, _) in enumerate(given, self._last + 1):
                    if number != expected:
                        raise self._lost(expected)
            if not given:
                break
            self._last += len(given)
        if self._last < newest:
            raise self._lost(self._last + 1)

    def done(self, shard: Shard) -> None:
        with self._asking():
            self._client.xack(self.name, self.group, f"0-{shard.offset.rpartition('/')[2]}")

    def trim(self, offset: int) -> None:
        """Let the server forget the entries up to this one. Raises ValueError if one of them is not
        learned, or some group has not acknowledged it.
        """
        with self._asking():
            groups = self._client.xinfo_groups(self.name)
            ends = [self._held(), *(_number(group["last-delivered-id"]) for group in groups)]
            for group in groups:
                pending = self._client.xpending(self.name, group["name"])
                ends += [_number(pending["min"]) - 1] if pending["pending"] else []
            if offset > min(ends):
                raise ValueError(
                    f"{self.name} has to keep what comes after offset {min(ends)}, which is not "
                    f"learned by all who read it; trim no more than that, not {offset}."
                )
            self._client.xtrim(self.name, minid=f"0-{offset + 1}", approximate=False)

    def _set_back(self) -> None:
        """Have the group go on after `_last`, wherever it stands: an answer may have got lost."""
        try:
            self._client.xgroup_create(self.name, self.group, id="0", mkstream=True)
        except self._redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # it is there already
                raise
        if self._last is None:
            groups = self._client.xinfo_groups(self.name)
            ends = {group["name"].decode(): group["last-delivered-id"] for group in groups}
            self._last = min(_number(ends[self.group]), self._held())
        self._client.xgroup_setid(self.name, self.group, f"0-{self._last}")

    def _delivered(self, start: str) -> list[tuple[int, dict | None]]:
        """Entries that nobody was given (">"), or all that were and are not acknowledged ("0");
        None for the fields of one that is gone.
        """
        count = BATCH if start == ">" else None
        found = self._client.xreadgroup(self.group, "trainer", {self.name: start}, count=count)
        return [(_number(id), fields) for _, entries in found for id, fields in entries]

    def _shard(self, number: int, fields: dict) -> Shard:
        hour, place = fields.get(b"hour", b"").decode(errors="replace"), self._place(number)
        read = partial(_events, fields.get(b"shard", b""), place)
        return Shard(f"{place} {hour}", hour_of(hour), read, place)

    def _place(self, number: int) -> str:
        return f"{self.name}/{number}"

    def _held(self) -> int:
        """The last offset of this stream that is learned."""
        places = (offset.rpartition("/") for offset in self._learned)
        return max((int(number) for name, _, number in places if name == self.name), default=0)

    def _lost(self, number: int) -> ValueError:
        return ValueError(
            f"{self.name} has lost the shard with offset {number} before it was learned; learn its "
            "hour from a folder, and go on with a stream of another name."
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        errors = self._redis.exceptions
        try:
            yield
        except (errors.ConnectionError, errors.TimeoutError) as error:
            if isinstance(error, errors.AuthenticationError):
                raise ValueError(f"Redis at {self.uri} wants another REDIS_PASSWORD.") from error
            advice = "is it running, and is that its address?"
            raise ConnectionError(f"Redis does not answer at {self.uri}; {advice}") from error
        except errors.RedisError as error:
            reason = str(error).rstrip(".")
            raise ValueError(f"Redis at {self.uri} refuses {self.name}: {reason}.") from error


def _number(id: bytes) -> int:
    first, _, number = id.partition(b"-")
    if first != b"0":
        raise ValueError(f"entry {id.decode()} has no offset; append shards with send alone.")
    return int(number)


def _events(shard: bytes, source: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shard")
        path.write_bytes(shard)
        try:
            return events_of(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), source)) from None
