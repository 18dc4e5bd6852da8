"""Checks of the exercises of chapter 04, full update; and `Disk`, to publish to."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from course_lib.checks.bugs import check_shuffle
from course_lib.checks.guard import compare, run
from course_lib.full_update import full_update
from course_lib.log import EventLog
from course_lib.state import Settings, State, new_state


def check_frame(frame: Callable[[bytes], bytes]) -> None:
    """`frame(record) -> bytes`: length, its masked CRC, record, its masked CRC.

    Source: TensorFlow's guide "TFRecord and tf.train.Example", section "TFRecords format details";
    the CRC bit by bit.
    """
    for record in (b"red mug", b"", bytes(range(256)) * 2):
        mistakes = {
            "Are the checksums masked?": _framed(record, mask=lambda crc: crc),
            "Is the checksum rotated to the left? 15 bits to the right are meant.": _framed(
                record, right=17
            ),
            "TFRecord writes its numbers with the lowest byte first (little).": _framed(
                record, order="big"
            ),
            "Does the last checksum cover the length too? It is of the record alone.": (
                _framed(record, covers=len(record).to_bytes(8, "little") + record)
            ),
            "Is the length's checksum left out?": _framed(record)[:8] + _framed(record)[12:],
        }
        compare(
            run(frame, record),
            _framed(record),
            f"A record of {len(record)} bytes in its frame",
            mistakes,
        )
    print("✓ frame: what TensorFlow reads")


def _framed(
    record: bytes,
    mask: Callable | None = None,
    right: int = 15,
    order: str = "little",
    covers: bytes | None = None,
) -> bytes:
    def checksum(data: bytes) -> bytes:
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
        crc ^= 0xFFFFFFFF
        rotated = (crc >> right | crc << 32 - right) & 0xFFFFFFFF
        return (mask(crc) if mask else rotated + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, order)

    length = len(record).to_bytes(8, order)
    return length + checksum(length) + record + checksum(record if covers is None else covers)


def check_epoch(epoch: Callable[[int, int, torch.Generator], list[torch.Tensor]]) -> None:
    """`epoch(n, batch_size, generator) -> [batches of places]`: a real shuffle, cut into parts of
    nearly the same size.

    Source: the chapter's step three, and `bugs.check_shuffle`; the sizes by hand.
    """

    def batches(n: int, size: int, generator: torch.Generator) -> list[torch.Tensor]:
        found = run(epoch, n, size, generator)
        if not isinstance(found, (list, tuple)):
            raise AssertionError(
                f"A list of batches should come back; a {type(found).__name__} came."
            )
        return [torch.as_tensor(batch) for batch in found]

    for n, expected in ((513, [257, 256]), (857, [286, 286, 285]), (3, [3]), (768, [256] * 3)):
        sizes = sorted(
            (len(batch) for batch in batches(n, 256, torch.Generator().manual_seed(0))),
            reverse=True,
        )
        whole, left = [256] * (n // 256), [n % 256] * (n % 256 > 0)
        mistakes = {
            "The last batch is what was left over; the fewer negatives, the less it teaches. Cut parts of nearly the same size.": (
                whole + left
            ),
            "What was left over is lost; an epoch has every event once.": whole,
            "There is one part more than needed; take the number that brings their size nearest to 256.": (
                [len(part) for part in np.array_split(np.arange(n), n // 256 + 1)]
            ),
        }
        compare(sizes, expected, f"The sizes of the batches of {n} events", mistakes)
    check_shuffle(lambda n, generator: torch.cat(batches(n, 256, generator)))
    print("✓ epoch: every event once, well mixed, in batches of nearly the same size")


def check_grow(grow: Callable) -> None:
    """`grow(vocabulary, table [r, d], values, generator) -> (vocabulary, table [r', d])`: old rows
    stay, new values get new ones.

    Source: `features.Encoder.learn` and `towers.EmbeddingTable.grow`; expected values by hand.
    """
    vocabulary, table, values = (
        {"mug": 1, "clock": 2},
        torch.tensor([[0.5] * 4, [1.5] * 4, [2.5] * 4]),
        ["sign", "mug", None],
    )
    values += ["bag", "sign"]
    known, grown = _two(run(grow, vocabulary, table, values, torch.Generator().manual_seed(0)))
    mistakes = {
        "Are all values numbered anew, in the order of the alphabet? The model has learned mug as 1 and clock as 2.": (
            {"bag": 1, "clock": 2, "mug": 3, "sign": 4}
        ),
        "Are the new ones sorted? They come in the order in which the day met them.": vocabulary
        | {"bag": 3, "sign": 4},
        "A missing value gets no row: it is the default, row 0.": vocabulary
        | {"sign": 3, None: 4, "bag": 5},
        "Sign came twice, and got two rows.": vocabulary | {"bag": 4, "sign": 5},
        "Row 0 is the default's, so three rows are taken: the first new value gets row 3.": vocabulary
        | {"sign": 2, "bag": 3},
    }
    compare(
        known,
        vocabulary | {"sign": 3, "bag": 4},
        "The vocabulary after sign, mug, None, bag, sign",
        mistakes,
    )
    compare(tuple(grown.shape), (5, 4), "The shape of the table after two new values")
    compare(grown[:3], table, "The rows that were there before; they have been trained, and stay")
    _, large = _two(
        run(grow, {}, table[:1], list(range(1, 1001)), torch.Generator().manual_seed(0))
    )
    compare(
        tuple(large.shape),
        (1001, 4),
        "The shape of the table after 1,000 values for an empty vocabulary",
    )
    new = large[1:].detach()
    spread, apart = float(new.std()), len(new.unique(dim=0))
    if apart < 1000:
        raise AssertionError(
            f"1,000 new rows should all be different, and {apart} are. Two equal rows are two items that the model can't tell "
            "apart; draw each at random."
        )
    if not 0.045 < spread < 0.055:
        raise AssertionError(
            f"The standard deviation of new rows should be 0.05, and is {spread:.3f}. Is the scale missing?"
        )
    once, again = (
        _two(run(grow, vocabulary, table, values, torch.Generator().manual_seed(seed)))[1]
        for seed in (0, 1)
    )
    if not torch.equal(once, grown) or torch.equal(again, grown):
        raise AssertionError(
            "The same generator should give the same rows, and another other ones. Is it used?"
        )
    print("✓ grow: old rows stay where they are, newcomers come behind")


def _two(found: object) -> tuple:
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise AssertionError(
            f"Two things should come back, vocabulary and table; a {type(found).__name__} came."
        )
    return tuple(found)


def check_night(night: Callable[[State, EventLog, pd.Timestamp], State]) -> None:
    """`night(state, log, day) -> state`, written out, must do what `full_update` does, and leave
    `state` as it was.
    """
    log, state = _three_busy_days()
    before, rows = (
        {name: values.clone() for name, values in state.model.state_dict().items()},
        len(state.features.items),
    )
    right = full_update(state, log, log.days[2])
    found = run(night, state, log, log.days[2])
    now, squares = (
        state.model.state_dict(),
        (found.model.item_tables[0].accumulator, right.model.item_tables[0].accumulator),
    )
    if len(state.features.items) != rows or any(
        not torch.equal(now[name], values) for name, values in before.items()
    ):
        raise AssertionError(
            "The state that was passed in has changed while it was serving: its model, its vocabularies or both are shared with "
            "the new one. A shallow copy copies names, not what they stand for."
        )
    if len(squares[0]) != len(squares[1]):
        raise AssertionError(
            f"The item table should have {len(squares[1])} rows after the night, and has {len(squares[0])}."
        )
    late = int(((squares[0] == 0) & (squares[1] > 0))[rows:].sum())
    if late:
        raise AssertionError(
            f"The day's new items have rows, and {late} of these were never trained: their events were learned as the default's. "
            "Do the vocabularies know the newcomers when the features are made?"
        )
    expected = right.model.state_dict()
    in_time = full_update(state, log, log.days[2], shuffle=False).model.state_dict()
    for name, values in found.model.state_dict().items():
        compare(
            values,
            expected[name],
            f"Nothing is shared and every row was trained, but {name} is not full_update's (can the day's last event come first? "
            "are the four steps in the chapter's order?)",
            {"This is what the order of time would make; shuffle.": in_time[name]},
        )
    print("✓ night: to the last number what full_update makes")


def _three_busy_days() -> tuple[EventLog, State]:
    """Three days of about 60 events, each with newcomers, and a state that has learned two of them
    in batches of 8.
    """
    draw, days = np.random.default_rng(4), []
    for day in range(3):
        drawn = draw.integers(0, 20 + 5 * day, (80, 2))
        times = pd.Timestamp("2020-01-01") + pd.to_timedelta(24 * 60 * day + np.arange(80), "min")
        days.append(pd.DataFrame({"user": drawn[:, 0], "item": drawn[:, 1], "time": times}))
    events = pd.concat(days, ignore_index=True).drop_duplicates(["user", "item"])
    items = pd.DataFrame({"item": range(30), "colour": ["red", "blue", None] * 10})
    log = EventLog.from_frame(events, items, pd.DataFrame({"user": range(30)}))
    state = new_state(
        log,
        Settings(
            dim=4, hidden=4, batch_size=8, popularity_half_lives=(2.0,), history=3, device="cpu"
        ),
    )
    for day in log.days[:2]:
        state = full_update(state, log, day)
    return log, state


class Disk:
    """A disk in memory that shows what a reader would find at any moment, or after a crash at that
    moment.

    `write` and `delete` change one path, `rename` puts one in another's place, all at once. A write
    is no single step: for a moment only half of the bytes are there. `moments`: (what was
    happening, path → bytes), one after the other.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self._files, self.moments = dict(files or {}), []

    @property
    def files(self) -> dict[str, bytes]:
        """All that is on the disk now, path → bytes; a copy, so that the only ways to change a file
        are those below.
        """
        return dict(self._files)

    def write(self, path: str, data: bytes) -> None:
        self._files[path] = data[: len(data) // 2]
        self._note(f"in the middle of write({path!r})")
        self._files[path] = bytes(data)
        self._note(f"after write({path!r})")

    def rename(self, old: str, new: str) -> None:
        self._files[new] = self._files.pop(old)
        self._note(f"after rename({old!r}, {new!r})")

    def delete(self, path: str) -> None:
        del self._files[path]
        self._note(f"after delete({path!r})")

    def _note(self, what: str) -> None:
        self.moments.append((what, self.files))


def check_publish(publish: Callable[[Disk, str, dict[str, bytes]], None]) -> None:
    """`publish(disk, version, files)`: whole or not there at every moment, and whatever a killed
    publisher has left is cleared.

    Source: the chapter's section "Publish together", and `Nominator.publish`.
    """

    @functools.wraps(publish)
    def published(*given: object) -> bool:
        publish(*given)
        return True

    whole = {
        f"v{n}": {"state": b"user network %d" % n, "index": b"item vectors %d" % n}
        for n in (1, 2, 3, 4)
    }
    first = Disk()
    run(published, first, "v1", whole["v1"])
    _look(first, whole, None, "v1")
    files = {
        f"{name}/{file}": data for name in ("v1", "v2") for file, data in whole[name].items()
    } | {"current": b"v2"}
    disk = Disk(files | {"v2.new/state": b"us"})  # somebody was killed
    run(published, disk, "v3", whole["v3"])
    _look(disk, whole, "v2", "v3")
    for _, left in disk.moments:  # killed there; another one goes on
        again = Disk(left)
        run(published, again, "v4", whole["v4"])
        _look(again, whole, left["current"].decode(), "v4")
    print("✓ publish: at every moment one whole version, whenever it is killed")


def _look(disk: Disk, whole: dict[str, dict[str, bytes]], last: str | None, new: str) -> None:
    for what, files in disk.moments:
        pointer = files.get("current", b"").decode()
        if pointer not in whole and (last or "current" in files):
            raise AssertionError(
                f"A reader who comes {what} finds {pointer!r} in 'current', which is no version. A write is no single step; a "
                "rename is."
            )
        for version in {pointer, last} & whole.keys():
            lost = [
                file
                for file, data in whole[version].items()
                if files.get(f"{version}/{file}") != data
            ]
            if lost and version == pointer:
                raise AssertionError(
                    f"A reader who comes {what} follows 'current' to {version}, whose {lost[0]} is not whole. Point to a version "
                    "when all of it is written, and leave its files alone."
                )
            if lost:
                raise AssertionError(
                    f"A reader who was told {version} looks for its {lost[0]} {what}, and it is gone. Keep the version before."
                )
    expected = {"current"} | {
        f"{version}/{file}" for version in {last, new} & whole.keys() for file in whole[version]
    }
    if disk.files.get("current") != new.encode():
        raise AssertionError(
            f"When all is done 'current' should say {new!r}, and says {disk.files.get('current')!r}."
        )
    left = sorted(disk.files.keys() - expected)
    if left:
        raise AssertionError(
            f"When {new} is published, of older versions only {last} should still be there; there is also {', '.join(left)}."
        )
