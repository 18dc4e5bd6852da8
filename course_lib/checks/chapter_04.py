"""Checks of chapter 04, full update; and `Disk`, to publish to."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from course_lib.checks.bugs import check_shuffle
from course_lib.checks.examples import learned
from course_lib.checks.guard import case, compare, exercise, mistakes, part, parts, run
from course_lib.full_update import full_update
from course_lib.log import EventLog
from course_lib.state import State


@exercise("what TensorFlow reads")
def check_frame(frame: Callable[[bytes], bytes]) -> None:
    """`frame(record) -> bytes`: length, its masked CRC, record, its masked CRC.

    Source: TensorFlow's guide "TFRecord and tf.train.Example", section "TFRecords format details".
    """

    def crc32c(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
        return crc ^ 0xFFFFFFFF

    def framed(record, right=15, mask=0xA282EAD8, order="little"):
        def checksum(data):
            crc = crc32c(data)
            rotated = (crc >> right | crc << 32 - right) & 0xFFFFFFFF
            return (rotated + mask & 0xFFFFFFFF).to_bytes(4, order)

        length = len(record).to_bytes(8, order)
        return [length, checksum(length), record, checksum(record), checksum(length + record)]

    wrong = mistakes(
        "Are the checksums masked?",
        lambda record: b"".join(framed(record, right=0, mask=0)[:4]),
        "Is the checksum rotated to the left? 15 bits to the right are meant.",
        lambda record: b"".join(framed(record, right=17)[:4]),
        "TFRecord writes its numbers with the lowest byte first (little).",
        lambda record: b"".join(framed(record, order="big")[:4]),
        "Does the last checksum cover the length too? It is of the record alone.",
        lambda record: b"".join([*framed(record)[:3], framed(record)[4]]),
        "Is the length's checksum left out?",
        lambda record: b"".join([framed(record)[0], *framed(record)[2:4]]),
    )
    for record in (b"red mug", b"", bytes(range(256)) * 2):
        what = f"A record of {len(record)} bytes in its frame"
        case(frame, (record,), b"".join(framed(record)[:4]), what, wrong)


@exercise("every event once, well mixed, in batches of nearly the same size")
def check_epoch(epoch: Callable[[int, int, torch.Generator], list[torch.Tensor]]) -> None:
    """`epoch(n, batch_size, generator) -> [batches of places]`: shuffled, cut into like parts.

    Source: the chapter's step three, and `bugs.check_shuffle`; the sizes by hand.
    """

    def batches(found):
        if not isinstance(found, (list, tuple)) and getattr(found, "ndim", 0) < 2:
            came = type(found).__name__
            raise AssertionError(f"A list of batches should come back; a {came} came.")
        return [torch.as_tensor(batch) for batch in found]

    def sizes(found):
        return sorted(map(len, batches(found)), reverse=True)

    wrong = mistakes(
        "The last batch is what was left over, with few negatives. Cut nearly equal parts.",
        lambda n, size, _: torch.arange(n).split(size),
        "What was left over is lost; an epoch has every event once.",
        lambda n, size, _: [part for part in torch.arange(n).split(size) if len(part) == size],
        "There is one part more than needed; take the number that brings sizes nearest to 256.",
        lambda n, size, _: np.array_split(np.arange(n), n // size + 1),
    )
    for n, expected in ((513, [257, 256]), (857, [286, 286, 285]), (3, [3]), (768, [256] * 3)):
        given, what = (
            (n, 256, torch.Generator().manual_seed(0)),
            f"The sizes of batches of {n} events",
        )
        case(epoch, given, expected, what, wrong, of=sizes)
    check_shuffle(lambda n, generator: torch.cat(batches(run(epoch, n, 256, generator))))


@exercise("old rows stay where they are, newcomers come behind")
def check_grow(grow: Callable) -> None:
    """`grow(vocabulary, table [r, d], values, generator) -> (vocabulary, table [r', d])`, by hand.

    Old rows stay, new values get new ones. Source: `features.Encoder.learn`,
    `towers.EmbeddingTable.grow`.
    """

    def grown(vocabulary, table, values, seed=0):
        found = run(grow, vocabulary, table, values, torch.Generator().manual_seed(seed))
        return parts(found, "vocabulary", "table")

    def behind(vocabulary, new, first=1):
        places = enumerate(new, len(vocabulary) + first)
        return vocabulary | {value: place for place, value in places}, None

    wrong = mistakes(
        "Are all values numbered anew? The model has learned mug as 1 and clock as 2.",
        lambda v, table, values, _: behind({}, sorted({*v, *filter(None, values)})),
        "Are the new ones sorted? They come in the order in which the day met them.",
        lambda v, table, values, _: behind(v, sorted({*filter(None, values)} - {*v})),
        "A missing value gets no row: it is the default, row 0.",
        lambda v, table, values, _: behind(v, [x for x in dict.fromkeys(values) if x not in v]),
        "Sign came twice, and got two rows.",
        lambda v, table, values, _: behind(v, [x for x in values if x and x not in v]),
        "Row 0 is the default's, so three rows are taken: the first new value gets row 3.",
        lambda v, table, values, _: behind(
            v, [x for x in dict.fromkeys(values) if x and x not in v], first=0
        ),
    )
    vocabulary, values = {"mug": 1, "clock": 2}, ["sign", "mug", None, "bag", "sign"]
    given = vocabulary, torch.tensor([[0.5] * 4, [1.5] * 4, [2.5] * 4]), values
    what, expected = "The vocabulary after sign, mug, None, bag, sign", {"sign": 3, "bag": 4}
    seeded, first = (*given, torch.Generator().manual_seed(0)), part(0, "vocabulary", "table")
    case(grow, seeded, vocabulary | expected, what, wrong, of=first)
    table = grown(*given)[1]
    compare(tuple(table.shape), (5, 4), "The shape of the table after two new values")
    compare(
        table[:3], given[1], "The rows that were there before; they have been trained, and stay"
    )
    large = grown({}, given[1][:1], list(range(1, 1001)))[1]
    what = "The shape of the table after 1,000 values for an empty vocabulary"
    compare(tuple(large.shape), (1001, 4), what)
    spread, apart = float(large[1:].detach().std()), len(large[1:].detach().unique(dim=0))
    if apart < 1000:
        raise AssertionError(
            f"Of 1,000 new rows {apart} are different; two equal ones are two items that the model "
            "can't tell apart."
        )
    if not 0.045 < spread < 0.055:
        raise AssertionError(
            f"The standard deviation of new rows should be 0.05, not {spread:.3f}. Is the scale "
            "missing?"
        )
    if not torch.equal(grown(*given)[1], table) or torch.equal(grown(*given, seed=1)[1], table):
        raise AssertionError(
            "One generator should give the same rows twice, and another other ones. Is it used?"
        )


@exercise("to the last number what full_update makes")
def check_night(night: Callable[[State, EventLog, pd.Timestamp], State]) -> None:
    """`night(state, log, day) -> state` does what `full_update` does, and leaves `state` alone."""
    log, state = _three_busy_days()
    before = {name: values.clone() for name, values in state.model.state_dict().items()}
    rows, day = len(state.features.items), log.days[2]
    right, found = full_update(state, log, day), run(night, state, log, day)
    now = state.model.state_dict()
    if len(state.features.items) != rows or any(
        not torch.equal(now[name], values) for name, values in before.items()
    ):
        raise AssertionError(
            "The state that was passed in has changed while it was serving: its model or its "
            "vocabularies are shared with the new one. A shallow copy copies names only."
        )
    squares, expected = (each.model.item_tables[0].accumulator for each in (found, right))
    if len(squares) != len(expected):
        raise AssertionError(
            f"The item table should have {len(expected)} rows after the night, and has "
            f"{len(squares)}."
        )
    late = int(((squares == 0) & (expected > 0))[rows:].sum())
    if late:
        raise AssertionError(
            f"{late} of the day's new items were never trained: their events were learned as the "
            "default's. Do the vocabularies know them when the features are made?"
        )
    wrong = mistakes(
        "This is what the order of time would make; shuffle.",
        lambda state, log, day: full_update(state, log, day, shuffle=False),
    )
    what = (
        "Nothing is shared and every row was trained, but it is not full_update's model (can the "
        "day's last event come first? are the four steps in the chapter's order?)"
    )
    right = dict(right.model.state_dict())
    case(night, (state, log, day), right, what, wrong, of=lambda state: state.model.state_dict())


def _three_busy_days() -> tuple[EventLog, State]:
    """Three days of about 60 events with newcomers, and a state that has learned two of them."""
    draw, days = np.random.default_rng(4), []
    for day in range(3):
        drawn = draw.integers(0, 20 + 5 * day, (80, 2))
        times = pd.Timestamp("2020-01-01") + pd.to_timedelta(24 * 60 * day + np.arange(80), "min")
        days.append(pd.DataFrame({"user": drawn[:, 0], "item": drawn[:, 1], "time": times}))
    events = pd.concat(days, ignore_index=True).drop_duplicates(["user", "item"])
    items = pd.DataFrame({"item": range(30), "colour": ["red", "blue", None] * 10})
    log = EventLog.from_frame(events, items, pd.DataFrame({"user": range(30)}))
    return log, learned(log, batch_size=8)


class Disk:
    """A disk in memory that shows what a reader would find at any moment, or after a crash then.

    `write` and `delete` change one path, `rename` puts one in another's place, all at once. A write
    is no single step: for a moment only half of the bytes are there. `moments`: (what was
    happening, path → bytes), one after the other.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self._files, self.moments = dict(files or {}), []

    @property
    def files(self) -> dict[str, bytes]:
        """A copy of all that is on the disk now, path → bytes."""
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


@exercise("at every moment one whole version, whenever it is killed")
def check_publish(publish: Callable[[Disk, str, dict[str, bytes]], None]) -> None:
    """`publish(disk, version, files)`: whole or not there at every moment; remains are cleared.

    Source: the chapter's section "What has to be published?", and `Nominator.publish`.
    """

    @functools.wraps(publish)
    def published(*given):
        publish(*given)
        return True

    whole = {
        f"v{n}": {"state": b"user network %d" % n, "index": b"item vectors %d" % n}
        for n in (1, 2, 3, 4)
    }
    first = Disk()
    run(published, first, "v1", whole["v1"])
    _look(first, whole, None, "v1")
    old = [(f"{v}/{file}", data) for v in ("v1", "v2") for file, data in whole[v].items()]
    # somebody was killed
    disk = Disk(dict(old) | {"current": b"v2", "v2.new/state": b"us"})
    run(published, disk, "v3", whole["v3"])
    _look(disk, whole, "v2", "v3")
    for _, left in disk.moments:  # killed there; another one goes on
        again = Disk(left)
        run(published, again, "v4", whole["v4"])
        _look(again, whole, left["current"].decode(), "v4")


def _look(disk: Disk, whole: dict[str, dict[str, bytes]], last: str | None, new: str) -> None:
    for what, files in disk.moments:
        pointer, comes = files.get("current", b"").decode(), f"A reader who comes {what}"
        if pointer not in whole and (last or "current" in files):
            raise AssertionError(
                f"{comes} finds {pointer!r} in 'current'. A write is no single step; a rename is."
            )
        for version in {pointer, last} & whole.keys():
            wanted = whole[version].items()
            lost = [file for file, data in wanted if files.get(f"{version}/{file}") != data]
            if lost and version == pointer:
                raise AssertionError(
                    f"{comes} follows 'current' to {version}, whose {lost[0]} is not whole. Point "
                    "to a version when it is written, and leave its files alone."
                )
            if lost:
                raise AssertionError(
                    f"{version}'s {lost[0]} is gone {what}, and a reader was told it. Keep the "
                    "version before."
                )
    files, kept = disk.files, {last, new} & whole.keys()
    if files.get("current") != new.encode():
        says = files.get("current")
        raise AssertionError(f"When all is done 'current' should say {new!r}, and says {says!r}.")
    left = files.keys() - {"current"} - {f"{v}/{file}" for v in kept for file in whole[v]}
    if left:
        raise AssertionError(
            f"Of older versions only {last} should still be there; there is also "
            f"{', '.join(sorted(left))}."
        )
