"""Shards of the log: TFRecord files of `tf.train.Example`, which TensorFlow reads too.

A shard holds one Example per event, in order of time. Its features are `user`, `item`, `time`
(microseconds since 1970) and every field of both, such as `user/country` or `item/colour`. The name
of a list-valued one ends in `[]`: `item/keywords[]`. A missing value is a feature without values.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from course_lib import frames
from course_lib.files import atomic_write
from course_lib.log import EventLog

IDS, TIMES = ("user", "item"), ("time", "item/listed")
NEEDED = (*IDS, "time")
FILLED = {*IDS, *TIMES}  # one value in every event
BYTES, INT64 = "bytes_list", "int64_list"
UNITS = {"day": "D", "hour": "h"}  # of shards, as NumPy calls them

# -- records --------------------------------------------------------------------------------------

_HEAD, _CRC = struct.Struct("<QI"), struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """CRC32C of `data`, rotated and shifted as TFRecord has it.

    Source: TensorFlow's guide "TFRecord and tf.train.Example", "TFRecords format details".
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_records(path: str | Path, records: Iterable[bytes]) -> None:
    """Write a TFRecord file, whole or not at all; raises ValueError if there is no record.

    Per record: its length (8 bytes), the length's masked CRC (4), the record, its masked CRC (4).
    """
    with atomic_write(path) as new, new.open("wb") as file:
        file.writelines(map(_framed, records))
        if file.tell() == 0:
            raise ValueError(f"{path} would have no events; leave such a shard out.")


def _framed(record: bytes) -> bytes:
    length = len(record).to_bytes(8, "little")
    head = length + _CRC.pack(masked_crc(length))
    return head + record + _CRC.pack(masked_crc(record))


def records(path: str | Path) -> Iterator[bytes]:
    """The records of a TFRecord file, one at a time, both checksums of each checked.

    Raises ValueError at the first damage, after all records before it have been given. The format
    does not say how many records a file has: one that was cut between two records looks whole.
    """
    if not (os.path.isfile(path) and os.access(path, os.R_OK)):
        raise ValueError(f"{path} is missing or not a readable file; write it with write_shards.")
    number, offset, size = 0, 0, os.path.getsize(path)
    if size == 0:
        raise ValueError(f"{path} is empty, and a shard has an event; write the shard anew.")

    def damaged(how: str) -> ValueError:
        where = f"{path}: record {number} at byte {offset}"
        return ValueError(f"{where} {how}; write the shard anew.")

    with open(path, "rb", buffering=2**18) as file:
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise damaged(f"is cut off, the file ends at byte {size}")
            length, crc = _HEAD.unpack(head)
            if crc != masked_crc(head[:8]):
                raise damaged("has a damaged head, or the file is no TFRecord, or a compressed one")
            end = offset + _HEAD.size + length + _CRC.size
            if end > size:
                raise damaged(f"is cut off, the file ends at byte {size}")
            record = file.read(length)
            if file.read(_CRC.size) != _CRC.pack(masked_crc(record)):
                raise damaged("is damaged, its checksum is wrong")
            yield record
            number, offset = number + 1, end


# -- Examples -------------------------------------------------------------------------------------

_PROTO = """
    name: "example.proto"  package: "tensorflow"  syntax: "proto3"
    message_type { name: "BytesList"
        field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
    message_type { name: "FloatList"
        field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
    message_type { name: "Int64List"
        field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
    message_type { name: "Feature"  oneof_decl { name: "kind" }
        field { name: "bytes_list" number: 1 type_name: "BytesList" oneof_index: 0 }
        field { name: "float_list" number: 2 type_name: "FloatList" oneof_index: 0 }
        field { name: "int64_list" number: 3 type_name: "Int64List" oneof_index: 0 } }
    message_type { name: "Features"
        nested_type { name: "FeatureEntry"  options { map_entry: true }
            field { name: "key" number: 1 type: TYPE_STRING }
            field { name: "value" number: 2 type_name: "Feature" } }
        field { name: "feature" number: 1 label: LABEL_REPEATED type_name: "FeatureEntry" } }
    message_type { name: "Example"
        field { name: "features" number: 1 type_name: "Features" } }
"""  # TensorFlow's example.proto and feature.proto, without generated code
_POOL = descriptor_pool.DescriptorPool()  # not the common one, where TensorFlow has its own
_FILE = text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto())
_POOL.AddSerializedFile(_FILE.SerializeToString())
_CLASSES = message_factory.GetMessageClassesForFiles(["example.proto"], _POOL)
Example, Feature = _CLASSES["tensorflow.Example"], _CLASSES["tensorflow.Feature"]


def write(path: str | Path, events: pd.DataFrame) -> None:
    """Write a table of events with `event_frame`'s columns as one shard, whole or not at all.

    A column holds what a log's may: `user` and `item` ids, `time` and `item/listed` times, which
    are cut to microseconds, any other a field (True and False become 1 and 0). Raises ValueError
    for everything else.
    """
    write_records(path, _event_examples(events))


def append(path: str | Path, events: pd.DataFrame) -> None:
    """Add events, such as `write` takes, to the end of a shard, or begin one; they are on disk once
    this returns. All events of a shard need the same columns.

    If that fails, the shard is as it was. A process that is killed can leave half a record, which
    `mend` cuts off. Raises ValueError as `write` does.
    """
    new = b"".join(map(_framed, _event_examples(events)))
    with open(path, "ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(new) < len(new):
                raise OSError(f"{path} could not be written to; is the disk full?")
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise
    if end == 0 and os.name != "nt":  # the file's name has to reach the disk, too
        folder = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def mend(path: str | Path) -> None:
    """Cut off what `append` left half written when its process was killed: a shard ends before its
    first damage from now on, and the rest is added to a file beside it, `….tfrecord.damaged`.
    """
    end = 0
    with suppress(ValueError):
        for record in records(path):
            end += _HEAD.size + len(record) + _CRC.size
    if end < os.path.getsize(path):
        with open(path, "rb") as file, open(f"{path}.damaged", "ab") as rest:
            file.seek(end)
            shutil.copyfileobj(file, rest)
            rest.flush()
            os.fsync(rest.fileno())  # before it goes from where it was
        os.truncate(path, end)


def _event_examples(events: pd.DataFrame) -> Iterator[bytes]:
    frames.check_columns("events", events, NEEDED, reserved=r".*\[\]")
    return _examples(_columns(events))


def _examples(columns: dict[str, Iterable[Feature]]) -> Iterator[bytes]:
    for row in zip(*columns.values(), strict=True):
        example = Example()
        features = example.features.feature
        for name, feature in zip(columns, row, strict=True):
            features[name].CopyFrom(feature)
        yield example.SerializeToString(deterministic=True)


def _columns(table: pd.DataFrame) -> dict[str, list[Feature]]:
    """Each column as a feature per row, by feature name."""
    columns = {}
    for name, column in table.items():
        if name in TIMES:
            values = frames.times("events", column).astype("int64").tolist()
        elif name in IDS:
            values = frames.ids("events", column).tolist()
        else:
            values = frames.field("events", column)
        many = any(type(value) is list for value in values)
        columns[f"{name}[]" if many else name] = [_feature(value) for value in values]
    return columns


def _feature(value: str | int | list | float) -> Feature:
    """A feature of one plain value, of a list of them, or, for NaN, of none."""
    values = value if type(value) is list else [value] if value == value else []
    feature = Feature()
    if values and type(values[0]) is str:
        feature.bytes_list.value.extend(map(str.encode, values))
    elif values:  # if not, no kind: TensorFlow refuses an empty list of another kind
        feature.int64_list.value.extend(map(int, values))
    return feature


def read(*paths: str | Path, buffer: int = 10_000) -> Iterator[pd.DataFrame]:
    """The events of one or more shards, in order, as tables of at most `buffer` rows.

    The columns are `event_frame`'s: a list-valued one holds a list in every row, any other None or
    one value. Raises ValueError, after all events before it have been given, for damage (see
    `records`) and for a feature whose name or kind is not the same in all records of all shards.
    """
    if buffer < 1:
        raise ValueError(f"buffer is {buffer}; a buffer holds at least one event.")
    rows, kinds = [], {}
    try:
        for path in paths:
            for number, record in enumerate(records(path)):
                try:
                    rows.append(_row(record, kinds))
                except ValueError as error:
                    raise ValueError(f"{path}: record {number} {error}.") from None
                if len(rows) == buffer:
                    yield _table(kinds, rows)
                    rows = []
    except ValueError:
        if rows:
            yield _table(kinds, rows)
        raise
    if rows:
        yield _table(kinds, rows)


def _row(record: bytes, kinds: dict[str, str | None]) -> list:
    """The event's values in the order of `kinds`: what kind each feature has had, None for none."""
    try:
        features = Example.FromString(record).features.feature
    except DecodeError:
        raise ValueError("is no tf.train.Example; is the file a shard of events?") from None
    names = set(features)
    if not kinds:
        others = names - {*NEEDED, *(f"{name}[]" for name in names | FILLED)}  # not both names
        for name in (*NEEDED, *sorted(others)):
            kinds[name] = INT64 if name in TIMES else None
    for name in sorted(kinds.keys() ^ names):
        has = "lacks" if name in kinds else "has"
        raise ValueError(f"{has} feature '{name}'; all records need the same ones, each once")
    row = []
    for name, kind in kinds.items():
        values = getattr(features[name], kind).value if kind else ()
        if not values and (found := features[name].WhichOneof("kind")):
            values = getattr(features[name], found).value
            if values and (kind or found not in (BYTES, INT64)):
                wanted = kind or f"{BYTES} or {INT64}"
                raise ValueError(f"has {found} in feature '{name}', not {wanted}")
            kinds[name] = kind = found if values else kind
        n, many = len(values), name.endswith("[]")
        if n > 1 and not many or n == 0 and name in FILLED:
            raise ValueError(f"has not one value in feature '{name}'; a list's name ends in []")
        try:
            if many:
                row.append([v.decode() for v in values] if kind == BYTES else list(values))
            else:
                value = values[0] if n else None
                row.append(value.decode() if n and kind == BYTES else value)
        except UnicodeDecodeError:
            raise ValueError(f"has a feature '{name}' that is no text in UTF-8") from None
    return row


def _table(names: Iterable[str], rows: list[list]) -> pd.DataFrame:
    columns = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        if name in TIMES:
            values = np.array(values, "datetime64[us]")
        dtype = None if name in FILLED else object
        columns[name.removesuffix("[]")] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns)


# -- the log --------------------------------------------------------------------------------------


def event_frame(log: EventLog, rows: slice) -> pd.DataFrame:
    """Event rows of the log as one table: `user`, `item`, `time`, and all fields of both.

    A list-valued field has a list of its own in every row, an empty one where it is missing.
    """
    parts = [log.events[rows]]
    for side, table, places in _sides(log):
        part = table.iloc[places[rows]]
        lists = [name for name in table if isinstance(table[name].iloc[0], list)]
        part = part.assign(**{name: [list(cell) for cell in part[name]] for name in lists})
        parts.append(part.add_prefix(f"{side}/"))
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def write_shards(
    log: EventLog,
    folder: str | Path,
    every: str = "day",
    start: pd.Timestamp | str | None = None,
    end: pd.Timestamp | str | None = None,
) -> list[Path]:
    """Write the events with start ≤ time < end as shards, one per day or hour that has events.

    Returns the paths: `2011-06-01.tfrecord` or `2011-06-01T09.tfrecord`, which sort as time does.
    Raises ValueError if `every` is neither "day" nor "hour", and as `write` does.
    """
    if every not in UNITS:
        raise ValueError(f"every is {every!r}; write a shard every 'day' or every 'hour'.")
    rows = log.rows(start, end)
    times = log.events["time"].iloc[rows]
    columns = _columns(times.to_frame())
    for side, table, places in _sides(log):
        table = table.add_prefix(f"{side}/")
        for name, features in _columns(table.assign(**{side: table.index})).items():
            columns[name] = map(features.__getitem__, places[rows].tolist())
    stream = _examples(columns)
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    periods = times.to_numpy().astype(f"datetime64[{UNITS[every]}]")
    for period, events in zip(*np.unique(periods, return_counts=True), strict=True):
        paths.append(Path(folder) / f"{period}.tfrecord")
        write_records(paths[-1], islice(stream, events))
    return paths


def _sides(log: EventLog) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    yield "item", log.items, log.item_rows
    yield "user", log.users, log.user_rows


# -- the shuffle buffer ---------------------------------------------------------------------------


def shuffle_order(n: int, buffer: int, generator: torch.Generator) -> torch.Tensor:
    """[n] the order in which a shuffle buffer of that size gives the events 0 … n − 1.

    Each new event takes the place of a random one of the buffer, which is given: none comes more
    than `buffer` − 1 places too early. A buffer that holds all is a full shuffle, a buffer of 1
    none. Source: the documentation of `tf.data.Dataset.shuffle`.
    """
    if buffer < 1:
        raise ValueError(f"buffer is {buffer}; a buffer holds at least one event.")
    held, order = list(range(min(n, buffer))), []
    for begin in range(buffer, n, 1_000):  # so many random places are drawn at once
        places = torch.randint(len(held), (1_000,), generator=generator).tolist()
        for event, place in zip(range(begin, n), places):  # noqa: B905
            order.append(held[place])
            held[place] = event
    order += [held[place] for place in torch.randperm(len(held), generator=generator).tolist()]
    return torch.tensor(order, dtype=torch.long)
