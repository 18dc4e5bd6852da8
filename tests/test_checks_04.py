"""Chapter 04's checks: mistakes beside those in the checks, and the disk that is published to."""

import copy
from functools import partial

import torch

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
from course_lib.tfrecord import shuffle_order
from course_lib.towers import RowwiseAdagrad


def shuffled(n, generator):
    return torch.randperm(n, generator=generator)


def epoch(n, size, generator, order=shuffled):
    return minibatches(order(n, generator), size)


def redrawn(n, generator):
    return torch.randint(n, (n,), generator=generator)


def blocks(n, size, generator):
    parts = minibatches(torch.arange(n), size)
    return [parts[place] for place in shuffled(len(parts), generator)]


def grow(vocabulary, table, values, generator, scale=0.05, draw=torch.randn):
    new = list(dict.fromkeys(value for value in values if value and value not in vocabulary))
    places = enumerate(new, len(vocabulary) + 1)
    rows = draw(len(new), table.shape[1], generator=generator) * scale
    return vocabulary | {value: place for place, value in places}, torch.cat([table, rows])


def drawn_anew(vocabulary, table, values, generator):
    known, table = grow(vocabulary, table, values, generator)
    return known, torch.randn(table.shape, generator=generator) * 0.05


def with_seed_0(rows, dim, generator):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(0))


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
        training_step(new, tables, data[batch])
    return new


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


OWN = {
    "frame": [(lambda record: record, "expected bytes")],
    "epoch": [
        (epoch, None),
        (partial(epoch, order=lambda n, generator: torch.arange(n)), "same order"),
        (partial(epoch, order=redrawn), "replacement"),
        (lambda n, size, g: minibatches(shuffle_order(n, size, g), size), "buffer smaller than"),
        (blocks, "blocks"),
        (lambda n, size, generator: shuffled(n, generator), "A list of batches should come"),
    ],
    "grow": [
        (grow, None),
        (drawn_anew, "they have been trained, and stay"),
        (lambda known, table, *given: (grow(known, table, *given)[0], table), "The shape"),
        (partial(grow, scale=0), "can't tell apart"),
        (partial(grow, scale=1), "standard deviation .* Is the scale missing"),
        (partial(grow, draw=with_seed_0), "Is it used"),
        (lambda *given: grow(*given)[1], "2 things should come back, vocabulary, table"),
    ],
    "night": [
        (night, None),
        (full_update, None),
        (partial(night, order=lambda n, generator: shuffle_order(n, n, generator)), None),
        (partial(night, duplicate=copy.copy), "has changed while it was serving"),
        (partial(night, late=True), "5 of the day.s new items were never trained"),
        (partial(night, order=lambda n, g: shuffle_order(n, 8, g)), "can the day's last"),
        (lambda state, log, day: copy.deepcopy(state), "should have 31 rows .* and has 26"),
    ],
    "publish": [
        (publish, None),
        (partial(publish, pointer="write"), r"in the middle of write\('current'\) finds 'v'"),
        (partial(publish, pointer="delete"), r"after delete\('current'\) finds ''"),
        (partial(publish, pointer_first=True), "whole. Point to a version when"),
        (partial(publish, place="last"), "follows 'current' to v2, whose state is not whole"),
        (partial(publish, keep=False), "^v2.s .* Keep the version before"),
        (partial(publish, clear=False), "only v2 should still .* v1/index, v1/state, v2.new"),
        (lambda disk, version, files: None, "'current' should say 'v1', and says None"),
    ],
}


def test_a_killed_publisher_leaves_half_a_file():
    disk = Disk({"a": b"old"})
    disk.write("a", b"1234")
    disk.rename("a", "b")
    disk.delete("b")
    disk.files["c"] = b"no way in"
    seen = [files for _, files in disk.moments]
    assert seen == [{"a": b"12"}, {"a": b"1234"}, {"b": b"1234"}, {}] and disk.files == {}
