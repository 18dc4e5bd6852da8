"""Shards: against TensorFlow, against bytes made by hand, and what becomes of every kind of value,
damage and interruption.
"""

import datetime
import decimal
import gzip
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from helpers import Frames, refusal
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import files
from course_lib.log import EventLog
from course_lib.tfrecord import (
    Example,
    event_frame,
    masked_crc,
    read,
    records,
    shuffle_order,
    write,
    write_records,
    write_shards,
)

FIXTURES = Path(__file__).parent / "fixtures"
EVENTS = json.loads((FIXTURES / "events.json").read_text("utf-8"))
TIMES = ["time", "item/listed"]
INT64 = st.integers(-(2**63), 2**63 - 1)


def consumed(stream: Iterator) -> None:
    """All of it, thrown away."""
    for _ in stream:
        pass


def table(*paths: Path, buffer: int = 10_000) -> pd.DataFrame:
    return pd.concat(read(*paths, buffer=buffer), ignore_index=True)


def given_before(stream: Iterator) -> tuple[list, str]:
    """What a stream gives, and the message that it ends with."""
    out = []
    return out, refusal(lambda: out.extend(stream))


def plain(frame: pd.DataFrame) -> dict[str, list]:
    """The same values, a missing one as None: what two frames are compared by."""
    return frame.astype(object).where(frame.notna(), None).to_dict("list")


def column(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def three(**columns: object) -> pd.DataFrame:
    """Three legal events, with these columns instead of or beside those that must be."""
    events = {"user": [1, 2, 1], "item": ["a", "b", "c"]}
    return pd.DataFrame(events).assign(**{"time": pd.Timestamp("2020-01-01"), **columns})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


# -- TensorFlow ------------------------------------------------------------------------------------


def fixture_frame() -> pd.DataFrame:
    """events.json as `read` gives it and `write` takes it."""
    frame = pd.DataFrame(EVENTS, dtype=object).rename(columns=lambda name: name.removesuffix("[]"))
    times = {name: frame[name].astype("int64").astype("datetime64[us]") for name in TIMES}
    return frame.assign(user=frame["user"].astype(int), **times)


@pytest.mark.parametrize("name", ["tensorflow", "course"])  # in TensorFlow's order and in ours
def test_we_read_what_tensorflow_wrote(name: str):
    events = table(FIXTURES / f"{name}.tfrecord")
    assert plain(events) == plain(fixture_frame())
    types = ["int64", "datetime64[us]", "datetime64[us]"]
    assert [events[name].dtype for name in ("user", *TIMES)] == types


def test_we_write_what_tensorflow_writes(tmp_path: Path):
    write(tmp_path / "ours", fixture_frame())
    assert (tmp_path / "ours").read_bytes() == (FIXTURES / "course.tfrecord").read_bytes()


def test_an_example_by_hand():
    """Field numbers and wire types from TensorFlow's example.proto and feature.proto."""
    words = b"\x0a\x03\x0a\x01x"  # Feature.bytes_list (1) . value (1): "x"
    numbers = b"\x1a\x05\x0a\x03\x02\x80\x01"  # Feature.int64_list (3) . value (1), packed: 2, 128
    floats = b"\x12\x06\x0a\x04\x00\x00\x80\x3f"  # Feature.float_list (2) . value (1), packed: 1.0
    entries = b""
    for name, feature in ((b"w", words), (b"n", numbers), (b"f", floats)):
        entry = b"\x0a\x01" + name + b"\x12" + bytes([len(feature)]) + feature  # key (1), value (2)
        entries += b"\x0a" + bytes([len(entry)]) + entry
    feature = Example.FromString(b"\x0a" + bytes([len(entries)]) + entries).features.feature
    assert set(feature) == {"w", "n", "f"}
    assert feature["w"].bytes_list.value == [b"x"]
    assert feature["n"].int64_list.value == [2, 128]
    assert feature["f"].float_list.value == [1.0]


# -- records ---------------------------------------------------------------------------------------


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
    of_zeros = 0x8A9136AA  # RFC 3720, B.4
    assert masked_crc(bytes(32)) == ((of_zeros >> 15 | of_zeros << 17) + 0xA282EAD8) % 2**32


def frame_by_hand(record: bytes) -> bytes:
    def checksum(data: bytes) -> bytes:
        crc = f"{crc32c(data):032b}"
        return struct.pack("<I", (int(crc[-15:] + crc[:-15], 2) + 0xA282EAD8) % 2**32)

    length = struct.pack("<Q", len(record))
    return length + checksum(length) + record + checksum(record)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_a_file_is_frames_one_after_the_other(folder: Path, contents: list[bytes]):
    write_records(folder / "some", iter(contents))
    assert (folder / "some").read_bytes() == b"".join(map(frame_by_hand, contents))
    assert list(records(folder / "some")) == contents


# -- a log there and back --------------------------------------------------------------------------


def test_shards_of_the_tiny_log_by_hand(tiny: EventLog, tmp_path: Path):
    days = write_shards(tiny, tmp_path / "days")
    assert [path.name for path in days] == [f"2020-01-{day:02}.tfrecord" for day in (1, 2, 4, 5, 6)]
    assert [len(list(records(path))) for path in days] == [2, 2, 1, 2, 1]
    hours = write_shards(tiny, tmp_path / "hours", "hour", "2020-01-02", "2020-01-06")
    names = [f"2020-01-{hour}.tfrecord" for hour in ("02T09", "02T11", "04T09", "05T08", "05T23")]
    assert [path.name for path in hours] == names
    for paths in (days, hours):
        assert sorted(paths[0].parent.iterdir()) == paths
    assert write_shards(tiny, tmp_path / "none", start="2021-01-01") == []

    feature = Example.FromString(next(records(hours[3]))).features.feature
    values = {n: [*f.bytes_list.value, *f.int64_list.value] for n, f in feature.items()}
    assert values == {
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
@pytest.mark.parametrize("buffer", [1, 3, 100])
def test_the_tiny_log_there_and_back(tiny: EventLog, tmp_path: Path, every: str, buffer: int):
    back = table(*write_shards(tiny, tmp_path, every), buffer=buffer)
    expected = event_frame(tiny, slice(len(tiny)))
    assert plain(back) == plain(expected[back.columns]) and set(back) == set(expected)
    words = {"mug": ["big", "warm"], "bag": ["soft", "big"], "lamp": [], "vase": ["tall"]}
    assert back["item/words"].tolist() == [words[item] for item in tiny.events["item"]]
    grown = EventLog(tiny.events[:3], tiny.items[:2], tiny.users).append(back[3:])
    for name in ("events", "items", "users"):
        assert plain(getattr(grown, name)) == plain(getattr(tiny, name))


@pytest.fixture(scope="module")
def two_weeks(retail: EventLog, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_shards(retail, tmp_path_factory.mktemp("days"), end="2010-12-15")


def test_two_weeks_of_the_real_log_there_and_back(retail: EventLog, two_weeks: list[Path]):
    rows = retail.rows(end="2010-12-15")
    expected, chunks = event_frame(retail, rows), list(read(*two_weeks, buffer=999))
    assert rows.stop > 10_000
    assert [len(chunk) for chunk in chunks] == [999] * (rows.stop // 999) + [rows.stop % 999]
    back = pd.concat(chunks, ignore_index=True)
    assert plain(back) == plain(expected[back.columns]) and set(back) == set(expected)
    assert back["user"].dtype == retail.events["user"].dtype
    for name, values in (("user", "user"), ("user/country", "country")):  # not by event_frame
        users = retail.users.reset_index().iloc[retail.user_rows[rows]]
        assert back[name].tolist() == users[values].tolist()


def test_hours_of_the_real_log_from_its_middle(retail: EventLog, tmp_path: Path):
    rows = retail.rows("2011-06-01", "2011-06-03")
    hours = write_shards(retail, tmp_path, "hour", "2011-06-01", "2011-06-03")
    times = retail.events["time"][rows]
    assert [path.stem for path in hours] == sorted({f"{time:%Y-%m-%dT%H}" for time in times})
    for path in hours:
        assert {f"{time:%Y-%m-%dT%H}" for time in table(path)["time"]} == {path.stem}
    assert table(*hours)["item"].tolist() == retail.events["item"][rows].tolist()


def test_whether_a_field_is_a_list_is_said_by_the_log_and_not_by_the_shard(
    frames: Frames, tmp_path: Path
):
    """The bag alone has words, and it is not in every shard."""
    words = [None, [], ["soft"], None]
    log = EventLog.from_frame(**frames | {"items": frames["items"].assign(words=column(*words))})
    lists = {"vase": [], "lamp": [], "bag": ["soft"], "mug": []}
    expected = [lists[item] for item in log.events["item"]]
    for every in ("day", "hour"):
        paths = write_shards(log, tmp_path / every, every)
        for buffer in (1, 3, 100):
            assert table(*paths, buffer=buffer)["item/words"].tolist() == expected
    for row in range(len(log)):
        write(tmp_path / "one", event_frame(log, slice(row, row + 1)))
        assert table(tmp_path / "one")["item/words"].tolist() == [expected[row]]


def test_a_range_that_is_neither_day_nor_hour(tiny: EventLog, tmp_path: Path):
    assert refusal(write_shards, tiny, tmp_path, every="week").startswith("every is 'week'")


def test_nothing_is_written_where_one_event_of_many_days_cannot_be(tiny: EventLog, tmp_path: Path):
    items = tiny.items.assign(colour=column("red", "blue", 1.5, None).set_axis(tiny.items.index))
    spoilt = EventLog(tiny.events, items, tiny.users)
    message = refusal(write_shards, spoilt, tmp_path / "days")
    assert message.startswith(
        "events: column 'item/colour', row 2 (item 'lamp', value 1.5) is neither text"
    )
    assert not (tmp_path / "days").exists()


def test_each_table_has_lists_of_its_own(tiny: EventLog, tmp_path: Path):
    (path, *_) = write_shards(tiny, tmp_path)
    for make in (lambda: table(path), lambda: event_frame(tiny, slice(4, 7))):
        before, spoilt = make()["item/words"].tolist(), make()
        for words in spoilt["item/words"]:
            words.append("MINE")
        mine = [words.count("MINE") for words in spoilt["item/words"]]
        assert mine == [1] * len(spoilt)
        assert make()["item/words"].tolist() == before
    assert not any("MINE" in words for words in tiny.items["words"])


# -- frames there and back -------------------------------------------------------------------------

SCALARS = {"text": st.text(max_size=6), "number": INT64, "boolean": st.booleans()}
MISSING = st.sampled_from([None, np.nan, pd.NA, pd.NaT])


@st.composite
def lists(draw, values: st.SearchStrategy):
    cell = draw(st.lists(values, max_size=4))
    return draw(
        st.sampled_from(
            [cell, tuple(cell), set(cell), frozenset(cell), np.array(cell, dtype=object)]
        )
    )


@st.composite
def legal_frames(draw) -> pd.DataFrame:
    n = draw(st.integers(1, 5))

    def cells(values: st.SearchStrategy) -> pd.Series:
        drawn = draw(st.lists(values, min_size=n, max_size=n))
        return pd.Series(np.fromiter(drawn, object, n), dtype=object)

    ids = [draw(st.sampled_from([SCALARS["text"], INT64])) for _ in range(2)]
    columns = {"user": cells(ids[0]), "item": cells(ids[1])}
    for name in ["time", "item/listed"][: draw(st.integers(1, 2))]:
        micro = cells(st.integers(-(2**63) + 1, 2**63 - 1)).tolist()
        columns[name] = pd.Series(np.array(micro, "datetime64[us]"))
    names = st.text(max_size=5).filter(lambda name: not name.endswith("[]"))
    for name in draw(st.sets(names, max_size=3)) - columns.keys():
        value = draw(st.sampled_from(list(SCALARS.values())))
        value = lists(value) if draw(st.booleans()) else value
        columns[name] = cells(MISSING | value)
    frame = pd.DataFrame(columns)
    index = draw(st.sampled_from([range(n), range(7, 7 + n), ["x"] * n, [(1, 2)] * n]))
    return frame.set_axis(pd.Index(list(index), tupleize_cols=False))


def as_read(values: pd.Series) -> list:
    """What `write` promises to keep."""

    def listed(cell: object) -> bool:
        return isinstance(cell, (list, tuple, set, frozenset, np.ndarray))

    def kept(cell: object) -> object:
        if listed(cell):
            cell = sorted(cell, key=str) if isinstance(cell, (set, frozenset)) else cell
            return [kept(value) for value in cell]
        return int(cell) if isinstance(cell, bool) else cell

    empty = [] if any(map(listed, values)) else None
    return [kept(cell) if listed(cell) or not pd.isna(cell) else empty for cell in values]


@settings(deadline=None, max_examples=100)
@given(legal_frames(), st.integers(1, 6))
def test_any_legal_frame_comes_back(folder: Path, frame: pd.DataFrame, buffer: int):
    write(folder / "any", frame)
    chunks = list(read(folder / "any", folder / "any", buffer=buffer))
    assert [len(chunk) for chunk in chunks[:-1]] == [buffer] * (len(chunks) - 1)
    back = pd.concat(chunks, ignore_index=True)
    assert set(back.columns) == set(frame.columns)
    for name in frame:
        expected, got = as_read(frame[name]) * 2, back[name].tolist()
        assert got == expected and list(map(type, got)) == list(map(type, expected)), name


@pytest.mark.parametrize(
    "values, expected",
    [
        (pd.Series(["x", None, "x"], dtype="category"), ["x", None, "x"]),
        (pd.Series([3, None, 4], dtype="category"), [3, None, 4]),
        (pd.Series(["", None, "x"], dtype="string[pyarrow]"), ["", None, "x"]),
        (pd.Series(["", None, "x"], dtype="string[python]"), ["", None, "x"]),
        (pd.Series([2**62 + 1, None, -1], dtype="Int64"), [2**62 + 1, None, -1]),
        (pd.Series([2**62 + 1, None, -1], dtype="int64[pyarrow]"), [2**62 + 1, None, -1]),
        (pd.Series([True, None, False], dtype="boolean"), [1, None, 0]),
        (pd.Series([True, True, False]), [1, 1, 0]),
        (pd.Series([1, 2, 255], dtype="uint8"), [1, 2, 255]),
        (pd.Series([np.nan] * 3), [None] * 3),
        (pd.Series([pd.NaT] * 3), [None] * 3),
        (column(np.int32(-5), np.uint64(7), np.True_), [-5, 7, 1]),
        (column(np.str_("x"), "y\0\n", "𝔘 é"), ["x", "y\0\n", "𝔘 é"]),
        (
            pd.Series(["x", None, "x"], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
            ["x", None, "x"],
        ),
        (
            pd.Series([["x"], None, []], dtype=pd.ArrowDtype(pa.list_(pa.string()))),
            [["x"], [], []],
        ),
        (column(np.array([2, 1]), np.array(["x", "y"])[:0], None), [[2, 1], [], []]),
        (column({"b", "a"}, ("c",), np.nan), [["a", "b"], ["c"], []]),
        (column([np.int8(1), True], [], [np.False_]), [[1, 1], [], [0]]),
    ],
)
def test_types_of_pandas_arrow_and_numpy(tmp_path: Path, values: pd.Series, expected: list):
    write(tmp_path / "shard", three(**{"item/x": values}))
    got = table(tmp_path / "shard")["item/x"].tolist()
    assert got == expected and repr(got) == repr(expected)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["datetime64[{}]", "timestamp[{}][pyarrow]"])
def test_times_of_every_unit(tmp_path: Path, unit: str, kind: str):
    times = ["1969-12-31 23:59:59", "2020-02-29 12:00:00", "2100-01-01"]
    write(tmp_path / "shard", three(time=pd.Series(times, dtype=kind.format(unit))))
    back = table(tmp_path / "shard")["time"]
    assert back.dtype == "datetime64[us]" and back.tolist() == list(map(pd.Timestamp, times))


def test_times_are_cut_to_microseconds(tmp_path: Path):
    times = pd.Series([1_999, 2_000, -1]).astype("datetime64[ns]")
    write(tmp_path / "shard", three(time=times))
    assert table(tmp_path / "shard")["time"].astype("int64").tolist() == [1, 2, -1]


REFUSED = [
    1.0, np.float64(2), np.float32(3), 1.5, float("inf"), decimal.Decimal(1), b"x", 1j, "\ud800",
    2**63, -(2**63) - 1, np.uint64(2**63), datetime.date(2020, 1, 1), pd.Timestamp("2020-01-01"),
    np.datetime64("2020-01-01"), np.timedelta64(1, "s"), pd.Timedelta(1), pd.Period("2020-01"),
    pd.Interval(0, 1), {"a": 1}, object(), np.ones((1, 1), int), [["x"]], [1, "x"], ["x", None],
    [1.0], [np.nan], [b"x"], ["\ud800"], [2**63],
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED, ids=map(str, range(len(REFUSED))))
def test_what_is_refused_is_refused_beside_whatever_stands_there(tmp_path: Path, value: object):
    """At first or after what is legal, and after a shard of legal values was written."""
    write(tmp_path / "before", three(**{"item/x": [1, 2, 3]}))
    for other in (None, "x", 1, True, ["x"], [1]):
        for place in range(3):
            cells = [value if row == place else other for row in range(3)]
            message = refusal(write, tmp_path / "bad", three(**{"item/x": column(*cells)}))
            assert message.startswith(
                f"events: column 'item/x', row {place} (label {place}, value "
            )
            assert "is neither text, a whole number" in message
    assert [path.name for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(
    "cells, row, found, rule",
    [
        (["x", None, 1], 2, "whole numbers", "text"),
        ([1, None, "x"], 2, "text", "whole numbers"),
        ([["x"], "x", None], 1, "text", "a list of text"),
        (["x", ["x"], None], 1, "a list of text", "text"),
        ([[], [1], ["x"]], 2, "a list of text", "a list of whole numbers"),
    ],
)
def test_a_column_is_of_one_kind(tmp_path: Path, cells: list, row: int, found: str, rule: str):
    frame = three(**{"item/x": column(*cells)}).set_axis([9, 8, "c"])
    message = refusal(write, tmp_path / "bad", frame)
    where = f"row {row} (label {frame.index[row]!r}, value {cells[row]!r})"
    assert message.startswith(
        f"events: column 'item/x', {where} is {found}, where {rule} is the rule"
    )


ZONED = pd.Series(pd.date_range("2020-01-01", periods=3, tz="Europe/London"))


@pytest.mark.parametrize(
    "frame, sentence",
    [
        (three().drop(columns="user"), "events has no column 'user', which it needs."),
        (three(user=[[1]] * 3), r"events: column 'user', row 0 .* is no id; make ids text or"),
        (three(item=column("a", None, "c")), r"events: column 'item', row 1 .* is missing; every"),
        (three(time="noon"), "events: column 'time', row 0 .*; convert it with pandas.to_datetime"),
        (three(time=1_577_836_800), r"events: column 'time', row 0 .*to_datetime\(…, unit='s'\)"),
        (three(time=ZONED), r"events: column 'time', row 0 .*\.dt\.tz_convert\(zone\) and \.dt"),
        (three(time=ZONED.dt.tz_localize(None)[:2]), "events: column 'time', row 2 .* is missing"),
        (
            three(time=np.array([0, 1, 2**62], "datetime64[s]")),
            "events: column 'time': Out of bounds .*; leave such rows",
        ),
        (
            three(**{"item/listed": ZONED.dt.tz_localize(None)[1:]}),
            "events: column 'item/listed', row 0 .* is missing; every row needs a value",
        ),
        (three(**{"item/x[]": "x"}), r"events: column 'item/x\[\]' has a name that means"),
        (three().rename(columns={"item": 5}), "events: the column name 5 is no text; rename it."),
        (
            three().set_axis(pd.Index(["user", "\ud800", "x"], dtype=object), axis=1),
            "events: the column name '.ud800' is no text",
        ),
        (pd.concat([three(), three()], axis=1), "events has column 'user' twice; rename or drop"),
        (three()[:0], ".* would have no events; leave such a shard out"),
        ([1, 2], "events is of type list; make a pandas DataFrame of it"),
        (None, "events is of type NoneType; make a pandas DataFrame of it"),
    ],
)
def test_events_that_cannot_be_written(tmp_path: Path, frame: pd.DataFrame, sentence: str):
    assert re.match(sentence, refusal(write, tmp_path / "bad", frame))
    assert list(tmp_path.iterdir()) == []


# -- damage ----------------------------------------------------------------------------------------


@pytest.fixture
def shard(tiny: EventLog, tmp_path: Path) -> Path:
    """Three events."""
    write(tmp_path / "three.tfrecord", event_frame(tiny, slice(3)))
    return tmp_path / "three.tfrecord"


def test_every_truncation_is_refused(shard: Path):
    whole, before = shard.read_bytes(), list(records(shard))
    starts = [0, *itertools.accumulate(16 + len(record) for record in before)]
    for size in range(len(whole)):
        shard.write_bytes(whole[:size])
        number = sum(start <= size for start in starts) - 1
        if size == 0:
            assert refusal(consumed, read(shard)).startswith(f"{shard} is empty")
        elif size in starts:  # nothing can tell
            assert len(table(shard)) == number
        else:
            given, message = given_before(records(shard))
            assert given == before[:number]
            assert message == (
                f"{shard}: record {number} at byte {starts[number]} is cut off, "
                f"the file ends at byte {size}; write the shard anew."
            )
            assert given_before(read(shard))[1] == message


def test_every_flipped_bit_is_refused(shard: Path):
    """The records before it are given, by `records` and by `read` with whatever buffer."""
    whole, before = shard.read_bytes(), list(records(shard))
    starts = [0, *itertools.accumulate(16 + len(record) for record in before)]
    for bit in range(8 * len(whole)):
        place = bit // 8
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit % 8
        shard.write_bytes(damaged)
        number = sum(start <= place for start in starts) - 1
        given, message = given_before(records(shard))
        assert given == before[:number]
        assert message.startswith(f"{shard}: record {number} at byte {starts[number]} ")
        assert "damaged" in message and message.endswith("; write the shard anew.")
        if bit % 61 == 0:
            for buffer in (1, 2, 100):
                tables, again = given_before(read(shard, buffer=buffer))
                assert sum(map(len, tables)) == number and again == message


@pytest.mark.parametrize(
    "content, what",
    [
        (b"a,b\n1,2\n" * 20, "has a damaged head, or the file is no TFRecord, or a compressed one"),
        (b"PAR1" + bytes(100), "has a damaged head"),
        (bytes(12), "has a damaged head"),
        (gzip.compress(bytes(1_000), mtime=0), "has a damaged head"),
        (b"short", "is cut off, the file ends at byte 5; write the shard anew."),
    ],
)
def test_a_file_that_is_no_tfrecord(tmp_path: Path, content: bytes, what: str):
    (tmp_path / "other").write_bytes(content)
    message = refusal(consumed, read(tmp_path / "other"))
    assert message.startswith(f"{tmp_path / 'other'}: record 0 at byte 0 {what}")


def peak(function: Callable) -> int:
    """Bytes that a call needs at most beyond what there was before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [10**9, 2**62, 2**64 - 1])
def test_nobody_reserves_memory_for_a_length_that_the_file_cannot_have(tmp_path: Path, length: int):
    path, head = tmp_path / "huge", struct.pack("<Q", length)
    path.write_bytes(head + struct.pack("<I", masked_crc(head)) + b"abc")
    messages = []
    assert peak(lambda: messages.append(refusal(consumed, records(path)))) < 2**20
    assert "record 0 at byte 0 is cut off" in messages[0]


@pytest.mark.parametrize(
    "record", [b"hello", b"\x0a\x05hello", b"\xff" * 10, b"\x0a\x07\x0a\x05\x0a\x01\xff\x12\x00"]
)
def test_records_that_are_no_examples(shard: Path, record: bytes):
    """The last one is a feature whose name is no UTF-8."""
    write_records(shard.with_name("other"), [*records(shard), record])
    tables, message = given_before(read(shard.with_name("other")))
    assert len(tables[0]) == 3
    assert message.startswith(f"{shard.with_name('other')}: record 3 is no tf.train.Example")


def test_what_is_no_file(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "loop", tmp_path / "pipe"):
        assert refusal(consumed, read(path)).startswith(f"{path} is missing or not a readable file")


def spoilt(shard: Path, number: int, **features: list | None) -> Path:
    """The shard with features of one record replaced, or taken out where the value is None."""
    contents = [Example.FromString(record) for record in records(shard)]
    feature = contents[number].features.feature
    for name, values in features.items():
        feature.pop(name, None)
        if values is not None:
            kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
            kind = kinds[type(values[0])] if values else "bytes_list"
            getattr(feature[name], kind).value.extend(values)
    path = shard.with_name("spoilt.tfrecord")
    write_records(path, (content.SerializeToString() for content in contents))
    return path


@pytest.mark.parametrize(
    "number, features, bad, sentence",
    [
        (0, {"user": None}, 0, "lacks feature 'user'; all records need the same"),
        (2, {"time": None}, 2, "lacks feature 'time'"),
        (1, {"item/colour": None}, 1, "lacks feature 'item/colour'"),
        (2, {"item/age": [b"old"]}, 2, "has feature 'item/age'"),
        (0, {"user/city": None}, 1, "has feature 'user/city'"),
        (0, {"item/colour[]": [b"red"]}, 0, "has feature 'item/colour[]'"),
        (0, {"user[]": [b"ann"]}, 0, "has feature 'user[]'"),
        (0, {"item/listed[]": [1], "item/listed": None}, 0, "has feature 'item/listed[]'"),
        (1, {"item/colour": None, "item/colour[]": [b"red"]}, 1, "lacks feature 'item/colour'"),
        (1, {"item/words": [b"red"], "item/words[]": None}, 1, "has feature 'item/words'"),
        (1, {"item": []}, 1, "has not one value in feature 'item'"),
        (1, {"item/listed": []}, 1, "has not one value in feature 'item/listed'"),
        (2, {"item/colour": [b"red", b"blue"]}, 2, "has not one value in feature 'item/colour'"),
        (1, {"time": [b"noon"]}, 1, "has bytes_list in feature 'time', not int64_list"),
        (0, {"time": [b"noon"]}, 0, "has bytes_list in feature 'time'"),
        (1, {"user": [7]}, 1, "has int64_list in feature 'user', not bytes_list"),
        (0, {"user": [7]}, 1, "has bytes_list in feature 'user', not int64_list"),
        (2, {"item/words[]": [1]}, 2, "has int64_list in feature 'item/words[]', not bytes_list"),
        (2, {"item/colour": [1.0]}, 2, "has float_list in feature 'item/colour', not bytes_list"),
        (0, {"item/colour": [1.0]}, 0, "has float_list in feature 'item/colour', not bytes_list"),
        (1, {"user/city": [b"\xff"]}, 1, "has a feature 'user/city' that is no text in UTF-8"),
    ],
)
@pytest.mark.parametrize("buffer", [1, 2, 100])
def test_a_wrong_or_missing_feature(
    shard: Path, number: int, features: dict, bad: int, sentence: str, buffer: int
):
    """Alone, and after another shard; every record before it is given."""
    path = spoilt(shard, number, **features)
    tables, message = given_before(read(path, buffer=buffer))
    assert message.startswith(f"{path}: record {bad} {sentence}") and message[-1] == "."
    assert sum(map(len, tables)) == bad
    if number == bad:
        tables, message = given_before(read(shard, path, buffer=buffer))
        assert message.startswith(f"{path}: record {bad} ")
        assert sum(map(len, tables)) == 3 + bad


def test_empty_lists_of_another_kind_are_missing_values(shard: Path):
    """Of numbers in the first record, and of text in all others."""
    first, *others = (Example.FromString(record) for record in records(shard))
    for name in ("item/colour", "item/words[]"):
        del first.features.feature[name]
        first.features.feature[name].int64_list.value.extend([])
        assert first.features.feature[name].WhichOneof("kind") == "int64_list"
    write_records(shard, [example.SerializeToString() for example in (first, *others)])
    assert table(shard)["item/colour"].tolist() == [None, "blue", "blue"]
    assert table(shard)["item/words"].tolist() == [[], ["soft", "big"], ["soft", "big"]]


# -- memory ----------------------------------------------------------------------------------------


def test_memory_depends_on_the_buffer_and_not_on_the_file(tmp_path: Path):
    """Files of 2 and of 16 MB: whatever held the file would need 14 MB more."""

    def peaks(n: int) -> list[int]:
        path = tmp_path / "shard"
        write(path, three(item="x" * 20_000)[:1])
        (record,) = records(path)
        tasks = [
            lambda: write_records(path, itertools.repeat(record, n)),
            lambda: consumed(records(path)),
            lambda: consumed(read(path, buffer=10)),
        ]
        return [peak(task) for task in tasks]

    small, large = peaks(100), peaks(800)
    assert (tmp_path / "shard").stat().st_size > 15e6
    assert (np.array(large) < np.array(small) + 3e6).all(), (small, large)


# -- whole or not there ----------------------------------------------------------------------------


class Killed(BaseException):
    pass


def no(*_, **__):
    raise Killed


@pytest.mark.parametrize("there_before", [False, True])
@pytest.mark.parametrize("step", ["open", "first record", "second record", "fsync", "replace"])
@pytest.mark.parametrize("clean_up", [True, False])
def test_a_writer_that_is_stopped_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, there_before: bool, clean_up: bool
):
    """With its own cleaning-up, and without, as if it had been killed: the old file is there."""
    path, stranger = tmp_path / "shard", tmp_path / ".shard.of.somebody.else.new"
    stranger.write_text("stays")
    if there_before:
        write_records(path, [b"old"])
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def contents() -> Iterator[bytes]:
        for name in ("first record", "second record"):
            if name == step:
                raise Killed
            yield name.encode()

    with monkeypatch.context() as patch, pytest.raises(Killed):
        if step == "open":
            patch.setattr(Path, "open", no)
        elif step in ("fsync", "replace"):
            patch.setattr(files.os, step, no)
        if not clean_up:
            patch.setattr(Path, "unlink", no)
        write_records(path, contents())
    after = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert after.items() >= before.items()
    left = [file.name for file in after.keys() - before.keys()]
    assert not left if clean_up or step == "open" else left[0].startswith(".shard.")
    write_records(path, [b"new"])  # whatever was left is in nobody's way
    assert list(records(path)) == [b"new"]


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


def test_a_process_killed_in_mid_write(shard: Path):
    before = {file: file.read_bytes() for file in shard.parent.iterdir()}
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, shard], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().strip() == b"half-way"
        process.kill()
    assert {file: file.read_bytes() for file in shard.parent.glob("*.tfrecord")} == before
    (left,) = set(shard.parent.iterdir()) - before.keys()
    assert left.stat().st_size > 500_000  # it was in mid-write


def test_two_writers_at_once(tmp_path: Path):
    """The file is the old one, then the quicker writer's, then the slower one's; always whole."""
    path, seen = tmp_path / "shard", []

    def slow() -> Iterator[bytes]:
        yield b"slow 1"
        seen.append(list(records(path)))
        write_records(path, [b"quick 1", b"quick 2"])
        seen.append(list(records(path)))
        yield b"slow 2"

    write_records(path, [b"old"])
    write_records(path, slow())
    assert seen == [[b"old"], [b"quick 1", b"quick 2"]]
    assert list(records(path)) == [b"slow 1", b"slow 2"] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there_before", [False, True])
def test_a_link_stays_a_link(tmp_path: Path, there_before: bool):
    target, link, chain = tmp_path / "disk" / "real", tmp_path / "link", tmp_path / "chain"
    target.parent.mkdir()
    link.symlink_to(Path("disk", "real"))
    chain.symlink_to(link)
    if there_before:
        write_records(target, [b"old"])
    write_records(chain, [b"new"])
    assert chain.is_symlink() and link.is_symlink() and not target.is_symlink()
    assert list(records(target)) == [b"new"] and list(target.parent.iterdir()) == [target]


def test_a_place_where_no_file_can_be(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("stays")
    for path, why in ((tmp_path / "folder", "is a folder"), (tmp_path / "no" / "x", "no folder")):
        with pytest.raises(OSError, match=why):
            write_records(path, [b"x"])
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


# -- the shuffle buffer ----------------------------------------------------------------------------


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
        (3, 2, ["012", "021", "102", "120"]),  # 0 or 1 first; 2 takes its place, the rest shuffled
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
    error = (share * (1 - share) / draws) ** 0.5
    assert all(abs(times / draws - share) < 6 * error for times in seen.values())


@pytest.mark.parametrize("buffer", [0, -1])
def test_no_buffer(shard: Path, buffer: int):
    assert refusal(consumed, read(shard, buffer=buffer)).startswith(f"buffer is {buffer}")
    assert refusal(shuffle_order, 1, buffer, seeded(0)).startswith(f"buffer is {buffer}")
