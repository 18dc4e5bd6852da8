"""The checks of chapter 04's exercises: right answers pass, and each typical mistake gets its
sentence.
"""

import copy

import numpy as np
import pytest
import torch

from course_lib.checks import chapter_04
from course_lib.checks.chapter_04 import Disk
from course_lib.features import drop_fields
from course_lib.full_update import (
    full_update,
    make_examples,
    minibatches,
    one_thread,
    training_step,
)
from course_lib.log import DAY
from course_lib.tfrecord import masked_crc, shuffle_order, write_records
from course_lib.towers import RowwiseAdagrad


def refused(check, answer, reason):
    with pytest.raises(AssertionError, match=f"(?s){reason}.*[?.]$"):
        check(answer)


def frame(record, checksum=masked_crc, order="little", covers=lambda length, record: record):
    length = len(record).to_bytes(8, order)
    crcs = [checksum(data).to_bytes(4, order) for data in (length, covers(length, record))]
    return length + crcs[0] + record + crcs[1]


def unmasked(data):
    rotated = masked_crc(data) - 0xA282EAD8 & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def to_the_left(data):
    crc = unmasked(data)
    return ((crc << 15 | crc >> 17) & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda record: frame(record, unmasked), "Are the checksums masked"),
        (lambda record: frame(record, to_the_left), "rotated to the left"),
        (lambda record: frame(record, order="big"), "lowest byte first"),
        (
            lambda record: frame(record, covers=lambda length, record: length + record),
            "cover the length too",
        ),
        (lambda record: frame(record)[:8] + frame(record)[12:], "length's checksum left out"),
        (lambda record: record, "expected bytes"),
    ],
)
def test_frame(answer, reason, capsys):
    chapter_04.check_frame(frame)
    assert capsys.readouterr().out.startswith("✓ frame")
    refused(chapter_04.check_frame, answer, reason)


def test_the_frame_is_the_one_that_the_library_writes(tmp_path):
    write_records(tmp_path / "shard", [b"red mug"])
    chapter_04.check_frame(frame)
    assert frame(b"red mug") == (tmp_path / "shard").read_bytes()


def shuffled(n, generator):
    return torch.randperm(n, generator=generator)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            lambda n, size, generator: shuffled(n, generator).split(size),
            "was left over; the fewer negatives",
        ),
        (
            lambda n, size, generator: [
                p for p in shuffled(n, generator).split(size) if len(p) == size or n < size
            ],
            "is lost",
        ),
        (
            lambda n, size, generator: shuffled(n, generator).tensor_split(-(-n // size)),
            "one part more than needed",
        ),
        (lambda n, size, generator: minibatches(torch.arange(n), size), "same order"),
        (
            lambda n, size, generator: minibatches(
                torch.randint(n, (n,), generator=generator), size
            ),
            "with replacement",
        ),
        (
            lambda n, size, generator: minibatches(shuffle_order(n, size, generator), size),
            "buffer smaller than the day",
        ),
        (
            lambda n, size, generator: [
                minibatches(torch.arange(n), size)[i]
                for i in shuffled(round(n / size) or 1, generator)
            ],
            "blocks",
        ),
        (lambda n, size, generator: shuffled(n, generator), "A list of batches should come back"),
    ],
)
def test_epoch(answer, reason):
    chapter_04.check_epoch(lambda n, size, generator: minibatches(shuffled(n, generator), size))
    chapter_04.check_epoch(
        lambda n, size, generator: np.array_split(
            shuffled(n, generator).numpy(), round(n / size) or 1
        )
    )
    refused(chapter_04.check_epoch, answer, reason)


def grow(
    vocabulary,
    table,
    values,
    generator,
    missing=(None,),
    order=list,
    scale=0.05,
    draw=torch.randn,
    first=1,
):
    new = order(
        dict.fromkeys(value for value in values if value not in vocabulary and value not in missing)
    )
    vocabulary = vocabulary | {
        value: len(vocabulary) + first + place for place, value in enumerate(new)
    }
    return vocabulary, torch.cat(
        [table, draw(len(new), table.shape[1], generator=generator) * scale]
    )


def renumbered(vocabulary, table, values, generator):
    known, table = grow(vocabulary, table, values, generator)
    return {value: place for place, value in enumerate(sorted(known), 1)}, table


def one_for_each(vocabulary, table, values, generator):
    new = [value for value in values if value not in vocabulary and value is not None]
    vocabulary = vocabulary | {
        value: len(vocabulary) + 1 + place for place, value in enumerate(new)
    }
    return vocabulary, torch.cat(
        [table, torch.randn(len(new), table.shape[1], generator=generator) * 0.05]
    )


def drawn_anew(vocabulary, table, values, generator):
    known, table = grow(vocabulary, table, values, generator)
    return known, torch.randn(table.shape, generator=generator) * 0.05


def with_seed_0(rows, dim, generator):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(0))


def switched(**switches):
    return lambda *given: grow(*given, **switches)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (renumbered, "numbered anew"),
        (switched(order=sorted), "Are the new ones sorted"),
        (switched(missing=()), "A missing value gets no row"),
        (one_for_each, "got two rows"),
        (switched(first=0), "first new value gets row 3"),
        (drawn_anew, "they have been trained, and stay"),
        (
            lambda vocabulary, table, *given: (grow(vocabulary, table, *given)[0], table),
            "shape of the table",
        ),
        (switched(scale=0), "can't tell apart"),
        (switched(scale=1), "standard deviation .* Is the scale missing"),
        (switched(draw=with_seed_0), "Is it used"),
        (lambda *given: grow(*given)[1], "Two things should come back"),
    ],
)
def test_grow(answer, reason):
    chapter_04.check_grow(grow)
    refused(chapter_04.check_grow, answer, reason)


@one_thread()
def night(state, log, day, duplicate=copy.deepcopy, late=False, order=shuffled):
    new, rows = duplicate(state), log.rows(day, day + DAY)
    new.updates += 1
    generator = new.generator()
    data = make_examples(new, log, rows, day, generator) if late else None
    new.features.learn(log, rows)
    new.model.grow(new.features.items.sizes, new.features.users.sizes, generator)
    data = data or make_examples(new, log, rows, day, generator)
    new.features.counts.flush(day, len(new.features.items))
    data.users = drop_fields(data.users, new.settings.field_dropout, generator)
    data.items = drop_fields(data.items, new.settings.field_dropout, generator)
    tables = RowwiseAdagrad(new.model.tables(), new.settings.embedding_lr)
    for batch in minibatches(order(len(data.ids), generator), new.settings.batch_size):
        training_step(new, tables(data, batch))
    return new


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"duplicate": copy.copy}, "has changed while it was serving"),
        ({"late": True}, "5 of these were never trained"),
        (
            {"order": lambda n, generator: shuffle_order(n, 8, generator)},
            "can the day's last event come first",
        ),
        ({"order": lambda n, generator: torch.arange(n)}, "order of time would make; shuffle"),
    ],
)
def test_night(switches, reason):
    chapter_04.check_night(night)
    chapter_04.check_night(full_update)
    chapter_04.check_night(
        lambda *given: night(*given, order=lambda n, generator: shuffle_order(n, n, generator))
    )
    refused(chapter_04.check_night, lambda *given: night(*given, **switches), reason)


def test_a_night_that_adds_no_rows_is_told_how_many_there_should_be():
    refused(
        chapter_04.check_night,
        lambda state, log, day: copy.deepcopy(state),
        "should have 31 rows after the night, and has 26",
    )


def publish(
    disk, version, files, pointer="rename", pointer_first=False, keep=True, clear=True, place=None
):
    last = disk.files.get("current", b"").decode()

    def point():
        disk.write("current" if pointer == "write" else "current.new", version.encode())
        if pointer != "write":
            if pointer == "delete" and last:
                disk.delete("current")
            disk.rename("current.new", "current")

    if pointer_first:
        point()
    for name, data in files.items():
        disk.write(f"{(last if place == 'last' and last else version)}/{name}", data)
    if not pointer_first:
        point()
    kept = ({last} if keep else set()) | {version}
    for path in disk.files:
        if clear and path != "current" and path.split("/")[0] not in kept:
            disk.delete(path)


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"pointer": "write"}, r"in the middle of write\('current'\) finds 'v'.* a rename is"),
        ({"pointer": "delete"}, r"after delete\('current'\) finds ''"),
        ({"pointer_first": True}, "state is not whole. Point to a version when"),
        (
            {"place": "last"},
            "follows 'current' to v2, whose state is not whole.* leave its files alone",
        ),
        ({"keep": False}, "was told v2 .* Keep the version before"),
        (
            {"clear": False},
            "only v2 should still be there; there is also v1/index, v1/state, v2.new/state",
        ),
    ],
)
def test_publish(switches, reason):
    chapter_04.check_publish(publish)
    refused(chapter_04.check_publish, lambda *given: publish(*given, **switches), reason)


def test_a_publication_that_does_nothing_is_refused():
    refused(
        chapter_04.check_publish,
        lambda disk, version, files: None,
        "'current' should say 'v1', and says None",
    )


def test_a_killed_publisher_leaves_half_a_file():
    disk = Disk({"a": b"old"})
    disk.write("a", b"1234")
    disk.rename("a", "b")
    disk.delete("b")
    disk.files["c"] = b"no way in"
    seen = [files for _, files in disk.moments]
    assert seen == [{"a": b"12"}, {"a": b"1234"}, {"b": b"1234"}, {}] and disk.files == {}
