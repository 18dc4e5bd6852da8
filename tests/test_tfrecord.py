"""Shards: against TensorFlow, against frames made by hand, and what a reader says to every kind of
damage.
"""

import gzip
import itertools
import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Frames, refusal

from course_lib import tfrecord
from course_lib.log import EventLog
from course_lib.state import State
from course_lib.tfrecord import (
    Example,
    event_frame,
    examples,
    masked_crc,
    read,
    read_tensors,
    records,
    shuffle_order,
    shuffled,
    to_log,
    write,
    write_records,
    write_shards,
)

FIXTURES = Path(__file__).parent / "fixtures"
EVENTS = json.loads((FIXTURES / "events.json").read_text("utf-8"))
TENSORFLOW = os.environ.get("COURSE_TENSORFLOW_PYTHON")
TIMES = ["time", "item/listed"]


def consumed(stream: Iterator) -> None:
    """All of it, thrown away."""
    for _ in stream:
        pass


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values, a missing one as None, columns in the order of their names: what two frames
    are compared by.
    """
    return frame.astype(object).where(frame.notna(), None).sort_index(axis=1)


def same_frame(a: pd.DataFrame, b: pd.DataFrame) -> None:
    assert a.index.tolist() == b.index.tolist()
    assert plain(a).to_dict("list") == plain(b).to_dict("list")


def same_log(a: EventLog, b: EventLog) -> None:
    for name in ("events", "items", "users"):
        same_frame(getattr(a, name), getattr(b, name))
    assert (a.item_rows.tolist(), a.user_rows.tolist()) == (
        b.item_rows.tolist(),
        b.user_rows.tolist(),
    )


# -- TensorFlow ------------------------------------------------------------------------------------
# -------------------


def fixture_frame() -> pd.DataFrame:
    """events.json as `read` gives it and `write` takes it."""
    frame = pd.DataFrame(EVENTS, dtype=object).rename(columns=lambda name: name.removesuffix("[]"))
    times = {name: frame[name].astype("int64").astype("datetime64[us]") for name in TIMES}
    return frame.assign(user=frame["user"].astype(int), **times)


def test_we_read_what_tensorflow_wrote():
    (events,) = read(FIXTURES / "tensorflow.tfrecord")
    same_frame(events, fixture_frame())
    assert [events[name].dtype for name in ("user", *TIMES)] == [
        "int64",
        "datetime64[us]",
        "datetime64[us]",
    ]


def test_we_write_what_tensorflow_has_checked(tmp_path: Path):
    """`course.tfrecord` was read by TensorFlow, and all values found to be those of events.json."""
    write(tmp_path / "ours.tfrecord", fixture_frame())
    assert (tmp_path / "ours.tfrecord").read_bytes() == (FIXTURES / "course.tfrecord").read_bytes()


@pytest.mark.skipif(
    not TENSORFLOW, reason="COURSE_TENSORFLOW_PYTHON names no Python that has TensorFlow"
)
def test_against_tensorflow_itself(tmp_path: Path):
    ours, theirs = tmp_path / "course.tfrecord", tmp_path / "tensorflow.tfrecord"
    write(ours, fixture_frame())
    for command, path in (("check", ours), ("write", theirs)):
        done = subprocess.run(
            [TENSORFLOW, FIXTURES / "with_tensorflow.py", command, path],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    (events,) = read(theirs)
    same_frame(events, fixture_frame())
    for path in (ours, theirs):
        if not (FIXTURES / path.name).exists():
            shutil.copy(path, FIXTURES)


def test_our_reader_agrees_with_itself_on_the_two_ways_to_write(tmp_path: Path):
    """Ours in parts, TensorFlow's in one piece: the same protobuf message."""
    ours, theirs = (
        list(records(FIXTURES / f"{name}.tfrecord")) for name in ("course", "tensorflow")
    )
    assert ours != theirs
    assert list(map(Example.FromString, ours)) == list(map(Example.FromString, theirs))


# -- frames and checksums
# ---------------------------------------------------------------------------------------------


def crc32c(data: bytes) -> int:
    """Bit by bit, from the definition (RFC 3720, B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_masked_crc_by_hand():
    """CRC32C of "123456789" is E3069283: rotated right by 15 bits 2507C60D, and A282EAD8 added."""
    assert crc32c(b"123456789") == google_crc32c.value(b"123456789") == 0xE3069283
    assert masked_crc(b"123456789") == 0xC78AB0E5
    assert (
        masked_crc(bytes(32)) == (((0x8A9136AA >> 15) | (0x8A9136AA << 17)) + 0xA282EAD8) % 2**32
    )  # RFC 3720, B.4


def frame_by_hand(record: bytes) -> bytes:
    def checksum(data: bytes) -> bytes:
        crc = f"{crc32c(data):032b}"
        return struct.pack("<I", (int(crc[-15:] + crc[:-15], 2) + 0xA282EAD8) % 2**32)

    length = struct.pack("<Q", len(record))
    return length + checksum(length) + record + checksum(record)


def test_a_file_is_frames_one_after_the_other(tmp_path: Path):
    contents = [b"one", b"", bytes(range(256)) * 3]
    write_records(tmp_path / "some.tfrecord", iter(contents))
    assert (tmp_path / "some.tfrecord").read_bytes() == b"".join(map(frame_by_hand, contents))
    assert list(records(tmp_path / "some.tfrecord")) == contents


def test_an_example_by_hand():
    """Field numbers and wire types from TensorFlow's example.proto and feature.proto."""
    words = b"\x0a\x03\x0a\x01x"  # Feature.bytes_list (1) . value (1): "x"
    numbers = b"\x1a\x05\x0a\x03\x02\x80\x01"  # Feature.int64_list (3) . value (1), packed: 2, 128
    floats = b"\x12\x06\x0a\x04\x00\x00\x80\x3f"  # Feature.float_list (2) . value (1), packed: 1.0
    entries = b""
    for name, feature in ((b"w", words), (b"n", numbers), (b"f", floats)):
        entry = (
            b"\x0a\x01" + name + b"\x12" + bytes([len(feature)]) + feature
        )  # map entry: key (1), value (2)
        entries += b"\x0a" + bytes([len(entry)]) + entry
    feature = Example.FromString(b"\x0a" + bytes([len(entries)]) + entries).features.feature
    assert set(feature) == {"w", "n", "f"}
    assert feature["w"].bytes_list.value == [b"x"]
    assert feature["n"].int64_list.value == [2, 128]
    assert feature["f"].float_list.value == [1.0]


# -- there and back
# --------------------------------------------------------------------------------------------------
# -


def test_shards_of_the_tiny_log_by_hand(tiny: EventLog, tmp_path: Path):
    days = write_shards(tiny, tmp_path / "days")
    assert [path.name for path in days] == [f"2020-01-{day:02}.tfrecord" for day in (1, 2, 4, 5, 6)]
    assert [len(list(records(path))) for path in days] == [2, 2, 1, 2, 1]
    hours = write_shards(
        tiny, tmp_path / "hours", every="hour", start="2020-01-02", end="2020-01-06"
    )
    assert [path.name for path in hours] == [
        f"2020-01-{hour}.tfrecord" for hour in ("02T09", "02T11", "04T09", "05T08", "05T23")
    ]
    assert (
        sorted((tmp_path / "days").iterdir()) == days
        and sorted((tmp_path / "hours").iterdir()) == hours
    )
    assert write_shards(tiny, tmp_path / "none", start="2021-01-01") == []

    feature = Example.FromString(next(records(hours[3]))).features.feature
    assert {
        name: [*feature[name].bytes_list.value, *feature[name].int64_list.value] for name in feature
    } == {
        "user": [b"ann"],
        "item": [b"lamp"],
        "time": [1_578_211_200_000_000],
        "item/description": [b"A RED LAMP"],
        "item/colour": [b"red"],
        "item/words[]": [],
        "item/listed": [1_578_211_200_000_000 - 14 * 86_400_000_000],
        "user/city": [b"Ayr"],
    }


@pytest.mark.parametrize("every", ["day", "hour"])
def test_the_tiny_log_there_and_back(tiny: EventLog, tmp_path: Path, every: str):
    same_log(to_log(write_shards(tiny, tmp_path, every)), tiny)


@pytest.fixture(scope="module")
def two_weeks(retail: EventLog, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_shards(retail, tmp_path_factory.mktemp("days"), end="2010-12-15")


def test_the_first_weeks_of_the_real_log_there_and_back(retail: EventLog, two_weeks: list[Path]):
    back, n = to_log(two_weeks), retail.rows(end="2010-12-15").stop
    assert n > 10_000
    same_frame(back.events, retail.events[:n])
    same_frame(back.users, retail.users[: len(back.users)])
    same_frame(back.items, retail.items[: len(back.items)])
    assert np.array_equal(back.item_rows, retail.item_rows[:n]) and np.array_equal(
        back.user_rows, retail.user_rows[:n]
    )
    assert (back.users.index.dtype, back.items.index.dtype) == (
        retail.users.index.dtype,
        retail.items.index.dtype,
    )


def test_hours_of_the_real_log_from_its_middle(retail: EventLog, tmp_path: Path):
    rows = retail.rows("2011-06-01", "2011-06-03")
    hours = write_shards(retail, tmp_path, "hour", "2011-06-01", "2011-06-03")
    assert [path.stem for path in hours] == sorted(
        {f"{time:%Y-%m-%dT%H}" for time in retail.events["time"][rows]}
    )
    for path, frame in zip(hours, map(read, hours), strict=True):
        assert all(f"{time:%Y-%m-%dT%H}" == path.stem for time in pd.concat(frame)["time"])
    back = to_log(hours)
    same_frame(back.events, retail.events[rows].reset_index(drop=True))
    same_frame(back.users, retail.users.loc[back.users.index])
    same_frame(
        back.items.sort_index(), retail.items.loc[retail.events["item"][rows].unique()].sort_index()
    )
    assert back.items["listed"].is_monotonic_increasing


def test_read_gives_chunks_of_at_most_the_buffer(retail: EventLog, two_weeks: list[Path]):
    expected = event_frame(retail, retail.rows(end="2010-12-15"))
    chunks = list(read(*two_weeks, buffer=999))
    assert [len(chunk) for chunk in chunks] == [999] * (len(expected) // 999) + [
        len(expected) % 999
    ]
    same_frame(pd.concat(chunks, ignore_index=True), expected)


def test_what_an_items_first_shard_says_is_kept(tiny: EventLog, tmp_path: Path):
    """The later shard has another name for the mug, and a field that the first lacks."""
    first, later = (
        event_frame(tiny, slice(0, 2)),
        event_frame(tiny, slice(3, 6)),
    )  # mug, bag; mug, mug, lamp
    write(tmp_path / "1.tfrecord", first)
    write(
        tmp_path / "2.tfrecord",
        later.assign(**{"item/description": "NEW NAME", "item/shape": "round"}),
    )
    log = to_log([tmp_path / "1.tfrecord", tmp_path / "2.tfrecord"])
    assert log.items["description"].to_dict() == {
        "mug": "A RED MUG",
        "bag": "A BLUE BAG",
        "lamp": "NEW NAME",
    }
    assert log.items["shape"].to_dict() == {"mug": None, "bag": None, "lamp": "round"}


def test_a_teachers_own_fields(frames: Frames, tmp_path: Path):
    """Whole numbers, booleans, sets, arrays, every kind of missing, and fields of the same name on
    both sides.
    """
    gone = [np.nan, None, pd.NA, "x"]
    items = frames["items"].assign(
        item=pd.array([7, 5, 3, 1]),
        flag=pd.array([True, None, False, True], dtype="boolean"),
        sets=[{"b", "a"}, set(), None, {"y"}],
        arrays=[np.array([2, 1]), np.array([], dtype=int), None, np.array([9])],
        city=["Bath", None, "Cork", "Deal"],
        band=pd.Categorical(["(0, 1]", None, "(1, 2]", "(0, 1]"]),
        gaps=pd.Series(gone, dtype=object),
        listed=pd.Timestamp("2019-12-01"),
    )
    events = frames["events"].assign(
        item=frames["events"]["item"].map({"vase": 7, "lamp": 5, "bag": 3, "mug": 1})
    )
    log = EventLog.from_frame(events, items, frames["users"].astype("string"))
    back = to_log(write_shards(log, tmp_path, "hour"))
    assert back.users["city"].tolist() == ["Ayr", "Ely", None]
    expected = {
        "colour": ["red", "blue", "red", None],
        "words": [["big", "warm"], ["soft", "big"], [], ["tall"]],
        "flag": [1, 0, None, 1],
        "sets": [["y"], [], [], ["a", "b"]],
        "arrays": [[9], [], [], [2, 1]],
        "city": ["Deal", "Cork", None, "Bath"],
        "band": ["(0, 1]", "(1, 2]", None, "(0, 1]"],
        "gaps": ["x", None, None, None],
    }
    items = plain(back.items.loc[[1, 3, 5, 7]])
    for name in (
        "sets",
        "arrays",
    ):  # a shard without any list in the column knows the missing one as None
        items[name] = [value or [] for value in items[name]]
    assert items[list(expected)].to_dict("list") == expected
    assert (back.items["listed"] == pd.Timestamp("2019-12-01")).all()


@pytest.mark.parametrize("buffer", [3, 8, 1_000])
def test_tensors_are_those_of_the_log(
    tiny: EventLog, tiny_state: State, tmp_path: Path, buffer: int
):
    features, start = tiny_state.features, 0
    for users, items in read_tensors(features, *write_shards(tiny, tmp_path), buffer=buffer):
        rows = slice(start, start + len(items["item"]))
        for encoder, table, codes, got in (
            (features.items, tiny.items, tiny.item_rows, items),
            (features.users, tiny.users, tiny.user_rows, users),
        ):
            expected = encoder.encode(table.iloc[codes[rows]])
            assert got.keys() == expected.keys()
            for name, values in expected.items():
                width = (
                    values.shape[1] if values.dim() == 2 else None
                )  # a bag may be padded by more
                assert torch.equal(got[name][..., :width] if width else got[name], values), name
                assert width is None or not got[name][:, width:].any()
        start = rows.stop
    assert start == len(tiny)


def test_tensors_of_the_real_log(retail: EventLog, retail_state: State, two_weeks: list[Path]):
    """The state has learned three days: what came later is 0."""
    n = retail.rows(end="2010-12-15").stop
    ((users, items),) = read_tensors(retail_state.features, *two_weeks, buffer=n)
    assert torch.equal(
        items["item"], retail_state.features.item_indices(retail, retail.item_rows[:n])
    )
    for encoder, table, codes, got in (
        (retail_state.features.items, retail.items, retail.item_rows, items),
        (retail_state.features.users, retail.users, retail.user_rows, users),
    ):
        for name, values in encoder.encode(table.iloc[codes[:n]]).items():
            assert torch.equal(got[name], values), name
    assert 0 < (items["item"] == 0).sum() < n


# -- memory ----------------------------------------------------------------------------------------
# -------------------


def peak(function) -> int:
    """Bytes that a call needs at most beyond what there was before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_depends_on_the_buffer_and_not_on_the_file(tmp_path: Path):
    """Files of 2 and of 16 MB: whatever held the file would need 14 MB more."""
    ids = list(range(500))
    block = pd.DataFrame(
        {"user": ids, "item": [str(n) * 700 for n in ids], "time": pd.Timestamp("2020-01-01")}
    )
    consumed(examples(block))  # the cache of parts knows them all from now on

    def events(blocks: int) -> Iterator[bytes]:
        return itertools.chain.from_iterable(examples(block) for _ in range(blocks))

    peaks = []
    for blocks in (2, 16):
        path = tmp_path / "shard.tfrecord"
        write_records(path, events(blocks))
        consumed(read(path))
        peaks.append(
            [
                peak(lambda path=path, blocks=blocks: write_records(path, events(blocks))),
                peak(lambda path=path: consumed(records(path))),
                peak(lambda path=path: consumed(read(path, buffer=100))),
                peak(lambda path=path: consumed(shuffled(records(path), 100, torch.Generator()))),
            ]
        )
    assert path.stat().st_size > 15e6
    assert all(large < small + 1e6 for small, large in zip(*peaks, strict=True)), peaks


# -- damage ----------------------------------------------------------------------------------------
# -------------------


@pytest.fixture
def shard(tiny: EventLog, tmp_path: Path) -> Path:
    """Three events."""
    write(tmp_path / "three.tfrecord", event_frame(tiny, slice(3)))
    return tmp_path / "three.tfrecord"


def test_every_truncation_is_refused(shard: Path):
    whole = shard.read_bytes()
    ends = {0, *itertools.accumulate(16 + len(record) for record in records(shard))}
    for size in range(len(whole)):
        shard.write_bytes(whole[:size])
        if size == 0:
            assert refusal(consumed, read(shard)).startswith(f"{shard} is empty")
        elif size in ends:  # nothing can tell
            assert len(list(records(shard))) == sorted(ends).index(size)
        else:
            number, offset = max(
                (number, end) for number, end in enumerate(sorted(ends)) if end < size
            )
            message = f"{shard}: record {number} at byte {offset} is cut off, the file ends at byte {size}; write the shard anew."
            assert refusal(consumed, records(shard)) == message
            assert refusal(consumed, read(shard)) == message


def test_every_flipped_byte_is_refused(shard: Path):
    """One bit of each byte of the file, in turn; the records before it are still given."""
    whole = shard.read_bytes()
    before = list(records(shard))
    ends = list(itertools.accumulate(16 + len(record) for record in before))
    for place in range(len(whole)):
        shard.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        number, given = sum(end <= place for end in ends), []
        message = refusal(lambda given=given: given.extend(records(shard)))
        assert (
            message.startswith(f"{shard}: record {number} at byte {[0, *ends][number]} ")
            and "damaged" in message
        )
        assert message.endswith("; write the shard anew.")
        assert given == before[:number]


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n" * 20, b"PAR1" + bytes(100), gzip.compress(bytes(1_000), mtime=0), bytes(12)],
)
def test_a_file_that_is_no_tfrecord(tmp_path: Path, content: bytes):
    path = tmp_path / "other.tfrecord"
    path.write_bytes(content)
    assert refusal(consumed, read(path)).startswith(
        f"{path}: record 0 at byte 0 has a damaged head, or the file is no TFRecord"
    )


def test_a_whole_head_of_a_record_that_is_not_there(tmp_path: Path):
    """Nobody reserves memory for a length that the file cannot have."""
    path, length = tmp_path / "huge.tfrecord", struct.pack("<Q", 2**62)
    path.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"abc")
    assert "record 0 at byte 0 is cut off" in refusal(consumed, records(path))


@pytest.mark.parametrize("record", [b"hello", b"\x0a\x05hello", b"\xff" * 10])
def test_records_that_are_no_examples(shard: Path, record: bytes):
    path = shard.with_name("other.tfrecord")
    write_records(path, [*records(shard), record])
    assert refusal(consumed, read(path)).startswith(f"{path}: record 3 is no tf.train.Example")


def test_a_missing_file(tmp_path: Path):
    for path in (tmp_path / "none.tfrecord", tmp_path):
        assert refusal(consumed, read(path)).startswith(f"{path} is missing")


def test_no_shards():
    assert refusal(to_log, []).startswith("there is no shard")


def spoilt(shard: Path, number: int, name: str, values: list | None) -> Path:
    """The shard with one feature of one record replaced, or taken out."""
    contents = [Example.FromString(record) for record in records(shard)]
    feature = contents[number].features.feature
    feature.pop(name, None)
    if values is not None:
        kind = "bytes_list" if all(isinstance(value, bytes) for value in values) else "int64_list"
        getattr(feature[name], kind).value.extend(values)
    path = shard.with_name("spoilt.tfrecord")
    write_records(path, (content.SerializeToString() for content in contents))
    return path


@pytest.mark.parametrize(
    "number, name, values, sentence",
    [
        (0, "user", None, "record 0 has no feature 'user', which every event needs;"),
        (2, "time", None, "record 2 has no feature 'time', which every event needs"),
        (1, "item/colour", None, "record 1 has no feature 'item/colour', and the first one has;"),
        (2, "item/age", [b"old"], "record 2 has a feature 'item/age', and the first one has not;"),
        (0, "user/city", None, "record 1 has a feature 'user/city', and the first one has not;"),
        (1, "item", [], "record 1 has no value of feature 'item', which every event needs"),
        (1, "item/listed", [], "record 1 has no value of feature 'item/listed'"),
        (
            2,
            "item/colour",
            [b"red", b"blue"],
            "record 2 has 2 values of feature 'item/colour', and the name of a list",
        ),
        (
            1,
            "time",
            [b"noon"],
            "record 1 has a feature 'time' that is no whole number of microseconds",
        ),
        (1, "user/city", [b"\xff"], "record 1 has a feature 'user/city' that is no text in UTF-8"),
    ],
)
@pytest.mark.parametrize("buffer", [1, 2, 100])
def test_a_wrong_or_missing_feature(
    shard: Path, number: int, name: str, values: list | None, sentence: str, buffer: int
):
    path = spoilt(shard, number, name, values)
    assert refusal(consumed, read(path, buffer=buffer)).startswith(f"{path}: {sentence}")


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("buffer", [1, 2, 100])
def test_a_bad_record_in_the_second_of_two_shards(shard: Path, number: int, buffer: int):
    path = spoilt(shard, number, "item/colour", None)
    assert refusal(consumed, read(shard, path, buffer=buffer)).startswith(
        f"{path}: record {number} has no feature 'item/colour'"
    )


def test_shards_written_by_both_read_together():
    shards = [FIXTURES / f"{name}.tfrecord" for name in ("course", "tensorflow", "course")]
    same_frame(
        pd.concat(read(*shards), ignore_index=True),
        pd.concat([fixture_frame()] * 3, ignore_index=True),
    )


def test_a_field_that_the_features_have_and_the_shard_lacks(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    path = tmp_path / "narrow.tfrecord"
    write(path, event_frame(tiny, slice(3)).drop(columns="item/words"))
    message = refusal(consumed, read_tensors(tiny_state.features, path))
    assert message.startswith(f"{path}: record 0 has no feature 'item/words'")


def put(column: str, row: int, value: object):
    def change(events: pd.DataFrame) -> pd.DataFrame:
        cells = events[column].tolist()
        cells[row] = value
        return events.assign(**{column: pd.Series(cells, dtype=object)})

    return change


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            lambda events: events.drop(columns="user"),
            "the events have no column 'user'; a shard needs user, item, time.",
        ),
        (put("item", 1, None), "the events' column 'item' has no value in row 1"),
        (lambda events: events.assign(time="noon"), "the events' column 'time' is "),
        (
            lambda events: events.assign(time=events["time"].dt.tz_localize("UTC")),
            "the events' column 'time' is ",
        ),
        (put("time", 2, "noon"), "the events' column 'time' is object; make it datetime"),
        (
            lambda events: events.assign(time=events["time"][:2]),
            "the events' column 'time' has no value in row 2",
        ),
        (put("item/listed", 2, pd.NaT), "the events' column 'item/listed' has no value in row 2"),
        (put("user", 0, 1.5), "column 'user' holds 1.5; a feature holds text or whole numbers"),
        (
            put("item/words", 2, ["x", 1]),
            "column 'item/words[]' holds ('x', 1); a feature holds text or whole numbers",
        ),
        (lambda events: events[:0], "{path} would have no events"),
    ],
)
def test_events_that_cannot_be_written(tiny: EventLog, tmp_path: Path, change, sentence: str):
    path = tmp_path / "bad.tfrecord"
    message = refusal(lambda: write(path, change(event_frame(tiny, slice(3)))))
    assert message.startswith(sentence.format(path=path))
    assert list(tmp_path.iterdir()) == []


def test_a_range_that_is_neither_day_nor_hour(tiny: EventLog, tmp_path: Path):
    assert refusal(write_shards, tiny, tmp_path, every="week").startswith("every is 'week'")


def test_an_error_in_mid_write_leaves_the_old_shard(shard: Path):
    old = shard.read_bytes()

    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(shard, broken())
    assert shard.read_bytes() == old and list(shard.parent.iterdir()) == [shard]


WRITE_AND_WAIT = """
import sys
from course_lib.tfrecord import write_records

def records():
    for _ in range(100):
        yield bytes(10_000)
    print("half-way", flush=True)
    sys.stdin.read()
    yield b"never"

write_records(sys.argv[1], records())
"""


@pytest.mark.parametrize("there_before", [False, True])
def test_a_process_killed_in_mid_write(shard: Path, there_before: bool):
    path = shard if there_before else shard.with_name("new.tfrecord")
    before = {file: file.read_bytes() for file in shard.parent.iterdir()}
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().strip() == b"half-way"
        process.kill()
    assert {file: file.read_bytes() for file in shard.parent.glob("*.tfrecord")} == before
    (left,) = set(shard.parent.iterdir()) - before.keys()
    assert left.stat().st_size > 500_000  # it was in mid-write
    write(path, fixture_frame())
    assert len(list(records(path))) == 3


# -- the shuffle buffer
# -----------------------------------------------------------------------------------------------


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "n, buffer", [(0, 3), (1, 1), (10, 1), (10, 3), (10, 10), (10, 99), (3_000, 50)]
)
def test_shuffle_order_is_a_permutation_that_no_event_leaves_by_more_than_the_buffer(
    n: int, buffer: int
):
    order = shuffle_order(n, buffer, seeded(1))
    assert order.dtype == torch.long and order.sort().values.tolist() == list(range(n))
    assert (order - torch.arange(n) < buffer).all()  # none comes earlier than the buffer allows
    assert buffer > 1 or order.tolist() == list(range(n))
    assert n < 1_000 or (torch.arange(n) - order).max() > buffer  # and chance keeps some for long
    assert torch.equal(order, shuffle_order(n, buffer, seeded(1)))
    assert n < 10 or buffer == 1 or not torch.equal(order, shuffle_order(n, buffer, seeded(2)))


@pytest.mark.parametrize(
    "n, buffer, orders",
    [
        (
            3,
            2,
            ["012", "021", "102", "120"],
        ),  # 0 or 1 first; 2 takes its place, and the rest is shuffled
        (3, 3, ["012", "021", "102", "120", "201", "210"]),
        (4, 2, ["0123", "0132", "0213", "0231", "1023", "1032", "1203", "1230"]),
    ],
)
def test_shuffle_orders_are_equally_likely(n: int, buffer: int, orders: list[str]):
    """Against all orders, counted by hand; six standard errors."""
    generator, draws = seeded(0), 6_000
    seen = Counter(
        "".join(map(str, shuffle_order(n, buffer, generator).tolist())) for _ in range(draws)
    )
    assert sorted(seen) == orders
    share = 1 / len(orders)
    assert all(
        abs(times / draws - share) < 6 * (share * (1 - share) / draws) ** 0.5
        for times in seen.values()
    )


def test_shuffled_streams(tiny: EventLog):
    """It asks for an element more than the buffer holds, and gives the elements themselves, in
    `shuffle_order`.
    """
    asked = []
    stream = shuffled((asked.append(n) or f"event {n}" for n in range(1_000)), 10, seeded(3))
    first = next(stream)
    assert asked == list(range(11))
    assert [first, *stream] == [f"event {n}" for n in shuffle_order(1_000, 10, seeded(3)).tolist()]


@pytest.mark.parametrize("buffer", [0, -1])
def test_no_buffer(shard: Path, buffer: int):
    for stream in (shuffled([1], buffer, seeded(0)), read(shard, buffer=buffer)):
        assert refusal(consumed, stream).startswith(f"buffer is {buffer}")


def test_the_caches_are_bounded():
    assert {cached.cache_info().maxsize for cached in (tfrecord._part, tfrecord._parsed)} == {
        tfrecord.CACHED
    }
