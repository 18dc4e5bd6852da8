"""Files that are whole or not there: nobody ever reads half a shard, a state or an index."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A new file beside `path` to write to; when the block ends, it replaces `path` in one step.

    If the block raises, or the process is killed, what was at `path` before is still there. Where
    `path` is a link, the file that it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}; make it first.")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


@contextmanager
def alone(lock: Path, busy: str) -> Iterator[None]:
    """Raises ValueError, which begins with `busy`, while another holder of this lock is at work."""
    try:
        with filelock.FileLock(lock, timeout=0):
            yield
    except filelock.Timeout:
        raise ValueError(f"{busy} in {lock.parent}; wait until they are done.") from None


def published(path: Path, sha256: str) -> bytes:
    """What is in a file of a data set; raises ValueError unless it is the one that was published,
    by its checksum.
    """
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(
            f"{path} is missing or not the file that was published; restore it with "
            "'git checkout -- data', or pass the path where it is."
        )
    return data
