"""Day and hour shards of the log: TFRecord files of `tf.train.Example`, which TensorFlow reads too.

A shard holds one Example per event, in order of time: `user`, `item`, `time` (microseconds since
1970), and the raw values of every field, as `user/country` or `item/colour`. A list-valued field
has `[]` behind its name, so that a list of one value comes back as a list: `item/keywords[]`. A
missing value is a feature without values.

From the bytes up: `write_records` and `records` know frames and checksums, `write` and `read` know
tables of events, `write_shards` and `to_log` know the log. `shuffled` is the shuffle buffer,
`read_tensors` ends at a model's indices.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache
from itertools import chain, count, groupby, islice, repeat
from pathlib import Path
from typing import TypeVar

import google_crc32c
import numpy as np
import pandas as pd
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from course_lib.features import Encoder, Features, FeatureStore, index_rows
from course_lib.files import atomic_write
from course_lib.log import EventLog

SHARDS = {
    "day": ("D", "%Y-%m-%d"),
    "hour": ("h", "%Y-%m-%dT%H"),
}  # what time is rounded down to, and the file's name
NEEDED = ("user", "item", "time")
TIMES = ("time", "item/listed")
BUFFER = 10_000  # events held at a time
CACHED = 2**13  # parts of Examples kept: a user's or an item's come again and again
T = TypeVar("T")

# -- frames and checksums
# ---------------------------------------------------------------------------------------------

_HEAD, _CRC = struct.Struct("<QI"), struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """CRC32C of `data`, rotated and shifted as TFRecord has it.

    Source: TensorFlow's guide "TFRecord and tf.train.Example", section "TFRecords format details".
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_records(path: str | Path, records: Iterable[bytes]) -> None:
    """Write a TFRecord file: per record its length (8 bytes), the length's masked CRC (4), the
    record, its masked CRC (4).

    The file is whole or not there (`files.atomic_write`). Raises ValueError if there is no record.
    """
    with atomic_write(path) as new, new.open("wb") as file:
        for record in records:
            length = len(record).to_bytes(8, "little")
            file.write(
                b"".join(
                    (length, _CRC.pack(masked_crc(length)), record, _CRC.pack(masked_crc(record)))
                )
            )
        if file.tell() == 0:
            raise ValueError(f"{path} would have no events; leave such a shard out.")


def records(path: str | Path) -> Iterator[bytes]:
    """The records of a TFRecord file, one at a time, both checksums of each checked.

    Raises ValueError at the first damage, when all records before it have been given. The format
    does not say how many records a file has, so one that was cut between two records looks whole;
    `write_records` never leaves such a file.
    """
    path, number, offset = Path(path), 0, 0
    if not path.is_file():
        raise ValueError(f"{path} is missing; write it with write_shards.")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(
            f"{path} is empty, and a shard has at least one event; write the shard anew."
        )

    def damaged(how: str) -> ValueError:
        return ValueError(f"{path}: record {number} at byte {offset} {how}; write the shard anew.")

    with path.open("rb", buffering=2**18) as file:
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


# -- events as tables
# -------------------------------------------------------------------------------------------------


def _message_classes(*names: str) -> Iterator[type]:
    """Classes of TensorFlow's messages, made here, so that no generated code has to fit the
    installed protobuf.
    """

    def field(name: str, number: int, kind: str, many: bool = False, **more) -> dict:
        type_ = (
            {"type": f"TYPE_{kind}"}
            if kind.isupper()
            else {"type": "TYPE_MESSAGE", "type_name": f".tensorflow.{kind}"}
        )
        return {
            "name": name,
            "number": number,
            "label": "LABEL_REPEATED" if many else "LABEL_OPTIONAL",
            **type_,
            **more,
        }

    entry = {
        "name": "FeatureEntry",
        "field": [field("key", 1, "STRING"), field("value", 2, "Feature")],
    }
    messages = [  # in proto3, repeated numbers are packed
        {"name": "BytesList", "field": [field("value", 1, "BYTES", many=True)]},
        {"name": "FloatList", "field": [field("value", 1, "FLOAT", many=True)]},
        {"name": "Int64List", "field": [field("value", 1, "INT64", many=True)]},
        {
            "name": "Feature",
            "oneof_decl": [{"name": "kind"}],
            "field": [
                field("bytes_list", 1, "BytesList", oneof_index=0),
                field("float_list", 2, "FloatList", oneof_index=0),
                field("int64_list", 3, "Int64List", oneof_index=0),
            ],
        },
        {
            "name": "Features",  # map<string, Feature> feature = 1
            "nested_type": [{**entry, "options": {"map_entry": True}}],
            "field": [field("feature", 1, "Features.FeatureEntry", many=True)],
        },
        {"name": "Example", "field": [field("features", 1, "Features")]},
        {
            "name": "Parts",
            "field": [field("features", 1, "BYTES", many=True)],
        },  # ours: an Example, not looked into
    ]
    file = descriptor_pb2.FileDescriptorProto(
        name="example.proto", package="tensorflow", syntax="proto3", message_type=messages
    )
    pool = descriptor_pool.DescriptorPool()  # not the common one, where TensorFlow has its own
    pool.AddSerializedFile(file.SerializeToString())
    return (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.{name}"))
        for name in names
    )


# Serialised messages laid end to end are one message with the fields of all (protobuf's encoding
# guide, "Last One Wins").
# So an event is written as parts, each an Example that is serialised once and written often: its
# user's features, its
# item's, its time. Read as `Parts` instead of Example, a record falls into them again, and each is
# parsed once.
Example, ExampleFeatures, Parts = _message_classes("Example", "Features", "Parts")


def event_frame(log: EventLog, rows: slice) -> pd.DataFrame:
    """Event rows of the log as one table: `user`, `item`, `time`, and all that is known of either
    (`item/…`, `user/…`).
    """
    items, users = log.items.iloc[log.item_rows[rows]], log.users.iloc[log.user_rows[rows]]
    tables = log.events[rows], items.add_prefix("item/"), users.add_prefix("user/")
    return pd.concat([table.reset_index(drop=True) for table in tables], axis=1)


def examples(events: pd.DataFrame) -> Iterator[bytes]:
    """A serialised `tf.train.Example` per row of a table of events, whose columns are as
    `event_frame` makes them.

    Raises ValueError if `user`, `item` or `time` is missing, and for a value that is neither text
    nor a whole number.
    """
    for name in NEEDED:
        if name not in events:
            raise ValueError(
                f"the events have no column '{name}'; a shard needs {', '.join(NEEDED)}."
            )
    for name in events.columns.intersection([*NEEDED, *TIMES]):
        if events[name].isna().any():
            raise ValueError(
                f"the events' column '{name}' has no value in row {int(events[name].isna().argmax())}; give it one."
            )
    parts: dict[str, dict[str, list]] = {}  # item, user, time: their columns by feature name
    for name, values in events.items():
        part = parts.setdefault(name.split("/")[0], {})
        if name in TIMES:
            if not pd.api.types.is_datetime64_dtype(values):
                raise ValueError(
                    f"the events' column '{name}' is {values.dtype}; make it datetime without a time zone."
                )
            values = values.astype("datetime64[us]").astype("int64")
        cells = values.astype(object).where(values.notna(), None).tolist()
        if not {list, tuple, set, np.ndarray}.isdisjoint(map(type, cells)):
            name = f"{name}[]"
            cells = [
                ()
                if cell is None
                else tuple(sorted(cell, key=str) if isinstance(cell, set) else cell)
                for cell in cells
            ]
        part[name] = cells
    columns = [
        map(_part, repeat(tuple(part)), zip(*part.values(), strict=True)) for part in parts.values()
    ]
    return map(b"".join, zip(*columns, strict=True))


@lru_cache(CACHED)
def _part(names: tuple[str, ...], cells: tuple) -> bytes:
    part = Example()
    for name, cell in zip(names, cells, strict=True):
        feature = part.features.feature[name]  # exists from now on
        values = cell if isinstance(cell, tuple) else () if cell is None else (cell,)
        if not values:
            # a feature of no kind, which TensorFlow takes for missing; an empty list of the wrong
            # kind it refuses
            continue
        if all(isinstance(value, str) for value in values):
            feature.bytes_list.value.extend(value.encode() for value in values)
        elif all(isinstance(value, (int, np.integer, np.bool_)) for value in values):
            feature.int64_list.value.extend(map(int, values))
        else:
            raise ValueError(
                f"column '{name}' holds {cell!r}; a feature holds text or whole numbers, and not both."
            )
    return part.SerializeToString(deterministic=True)


def write(path: str | Path, events: pd.DataFrame) -> None:
    """Write one shard, all or nothing, from a table of events (`event_frame`); raises ValueError as
    `examples` does.
    """
    write_records(path, examples(events))


def read(*paths: str | Path, buffer: int = BUFFER) -> Iterator[pd.DataFrame]:
    """The events of one or more shards, in their order, at most `buffer` at a time, as tables with
    `event_frame`'s columns.

    A missing value is None, or an empty list. Shards that TensorFlow wrote are read as well. Raises
    ValueError for damage (see `records`), and for a feature that an event should have and has not:
    all have the features that the first one has.
    """
    for parts in _parts(paths, buffer):
        typed, fields = {}, {}
        for rows, codes in parts:
            for name in rows[0]:
                if name in (*NEEDED, *TIMES):
                    typed[name] = _typed(rows, name).take(codes)
                else:
                    fields[name] = _cells(rows, name)[codes]
        yield pd.concat([pd.DataFrame(typed), pd.DataFrame(fields, dtype=object)], axis=1)


def _parts(
    paths: Sequence[str | Path], buffer: int
) -> Iterator[list[tuple[list[dict], np.ndarray]]]:
    """For up to `buffer` events at a time, and for each of their parts: the distinct rows; and [n]
    which row is the event's.
    """
    if buffer < 1:
        raise ValueError(f"buffer is {buffer}; a buffer holds at least one event.")
    names, start = set(), 0
    for _, events in groupby(_split(paths), key=len):  # TensorFlow writes an event in one part
        while chunk := list(islice(events, buffer)):
            parts, place = [], 0
            try:
                first = set().union(*map(_parsed, chunk[0]))
                names = names or first.union(NEEDED)
                _check_names(first, names)
                for pieces in zip(*chunk, strict=True):  # [n] the same part of each event
                    codes, distinct = pd.factorize(np.array(pieces, dtype=object))
                    places = np.unique(codes, return_index=True)[
                        1
                    ]  # where each distinct piece comes first
                    rows = []
                    for code, piece in enumerate(distinct):
                        place = places[code]
                        rows.append(_parsed(piece))
                        _check_names(rows[-1].keys(), rows[0].keys())
                    parts.append((rows, codes))
            except ValueError as error:
                path, number = _place(paths, start + place)
                raise ValueError(f"{path}: record {number} {error}.") from None
            start += len(chunk)
            yield parts


def _split(paths: Iterable[str | Path]) -> Iterator[tuple[bytes, ...]]:
    for path in paths:
        for number, record in enumerate(records(path)):
            try:
                yield tuple(Parts.FromString(record).features)
            except DecodeError:
                raise ValueError(
                    f"{path}: record {number} is no tf.train.Example; is the file a shard of events?"
                ) from None


def _place(paths: Iterable[str | Path], event: int) -> tuple[str | Path, int]:
    """The path and the number there of an event of several shards, counted anew: the way there
    keeps no account of it.
    """
    places = ((path, number) for path in paths for number, _ in enumerate(records(path)))
    return next(islice(places, event, None))


def _check_names(names: Set[str], expected: Set[str]) -> None:
    if names == expected:
        return
    for name in sorted(expected - names):
        why = "which every event needs" if name in NEEDED else "and the first one has"
        raise ValueError(
            f"has no feature '{name}', {why}; a missing value is a feature without values"
        )
    raise ValueError(
        f"has a feature '{min(names - expected)}', and the first one has not; leave it out or write it for all"
    )


def _cells(rows: list[dict], name: str) -> np.ndarray:
    return np.fromiter((row[name] for row in rows), object, len(rows))  # takes lists as they are


def _typed(rows: list[dict], name: str) -> pd.Index:
    values = [row[name] for row in rows]
    return pd.Index(np.array(values, "datetime64[us]") if name in TIMES else values)


@lru_cache(CACHED)
def _parsed(piece: bytes) -> dict[str, object]:
    """A row of values by column, from a serialised `Features` message."""
    try:
        features = ExampleFeatures.FromString(piece).feature
    except DecodeError:
        raise ValueError("is no tf.train.Example; is the file a shard of events?") from None
    row = {}
    for name, feature in features.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value[:] if kind else []
        if kind == "bytes_list":
            try:
                values = [value.decode() for value in values]
            except UnicodeDecodeError:
                raise ValueError(f"has a feature '{name}' that is no text in UTF-8") from None
        if name.endswith("[]"):
            row[name.removesuffix("[]")] = values
        elif len(values) > 1:
            raise ValueError(
                f"has {len(values)} values of feature '{name}', and the name of a list ends in []"
            )
        elif not values and name in (*NEEDED, *TIMES):
            raise ValueError(f"has no value of feature '{name}', which every event needs")
        elif name in TIMES and kind != "int64_list":
            raise ValueError(f"has a feature '{name}' that is no whole number of microseconds")
        else:
            row[name] = values[0] if values else None
    return row


# -- the log ---------------------------------------------------------------------------------------
# -------------------


def write_shards(
    log: EventLog,
    folder: str | Path,
    every: str = "day",
    start: pd.Timestamp | str | None = None,
    end: pd.Timestamp | str | None = None,
) -> list[Path]:
    """Write the events with start ≤ time < end as shards, one for each day or hour that has events;
    returns their paths.

    Named by day and hour, `2011-06-01.tfrecord` and `2011-06-01T09.tfrecord`, so that names sort as
    time does. Each is there as a whole or not at all (`write_records`). Raises ValueError if
    `every` is neither "day" nor "hour".
    """
    if every not in SHARDS:
        raise ValueError(f"every is {every!r}; write a shard every 'day' or every 'hour'.")
    unit, name = SHARDS[every]
    rows = log.rows(start, end)
    frames = (
        event_frame(log, slice(low, min(low + BUFFER, rows.stop)))
        for low in range(rows.start, rows.stop, BUFFER)
    )
    stream = chain.from_iterable(map(examples, frames))
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for period, events in (
        log.events["time"][rows].dt.floor(unit).value_counts().sort_index().items()
    ):
        paths.append(Path(folder) / f"{period:{name}}.tfrecord")
        write_records(paths[-1], islice(stream, events))
    return paths


def to_log(paths: Iterable[str | Path]) -> EventLog:
    """The log that these shards hold, given in order of time; of an item or user, what its first
    event says is kept.

    Items that were not sold are in no shard. Items listed at the same moment come in order of first
    sale. Raises ValueError as `read` and `EventLog.from_frame` do.
    """
    columns = {name: [] for name in NEEDED}
    known = {"item": {}, "user": {}}  # what the shards say of each, by ID
    for path in paths:
        for rows, codes in chain.from_iterable(_parts([path], BUFFER)):
            for name in columns.keys() & rows[0].keys():
                columns[name].append(_typed(rows, name).take(codes).to_series())
            for kind in known.keys() & rows[0].keys():
                for row in rows:
                    known[kind].setdefault(row[kind], row)
    if not columns["time"]:
        raise ValueError("there is no shard among the paths; pass what write_shards returns.")
    events = pd.DataFrame(
        {name: pd.concat(values, ignore_index=True) for name, values in columns.items()}
    )
    return EventLog.from_frame(
        events, *(_table(kind, list(rows.values())) for kind, rows in known.items())
    )


def _table(kind: str, rows: list[dict]) -> pd.DataFrame:
    """Items or users as `from_frame` takes them."""
    names = [
        name
        for name in dict.fromkeys(chain.from_iterable(rows))
        if name == kind or name.startswith(f"{kind}/")
    ]
    columns = {name: [row.get(name) for row in rows] for name in names}
    table = pd.DataFrame(columns, dtype=object).astype(
        {name: "datetime64[us]" for name in names if name in TIMES}
    )
    return table.assign(**{kind: columns[kind]}).rename(
        columns=lambda name: name.removeprefix(f"{kind}/")
    )


def read_tensors(
    features: FeatureStore, *paths: str | Path, buffer: int = BUFFER
) -> Iterator[tuple[Features, Features]]:
    """One or more shards as indices of the users' and the items' fields, in order, at most `buffer`
    events at a time.

    Each is [n], or [n, L] for a list-valued field. Raises ValueError as `read` does, and for a
    field that `features` has and the shards lack.
    """
    for parts in _parts(paths, buffer):
        yield tuple(
            _indices(paths[0], parts, encoder) for encoder in (features.users, features.items)
        )


def _indices(
    path: str | Path, parts: list[tuple[list[dict], np.ndarray]], encoder: Encoder
) -> Features:
    rows, codes = next(part for part in parts if encoder.id in part[0][0])
    names = {
        name: name if name == encoder.id else f"{encoder.id}/{name}"
        for name in encoder.vocabularies
    }
    for name in names.values():
        if name not in rows[0]:
            raise ValueError(
                f"{path}: record 0 has no feature '{name}', which is a field of the features asked for."
            )
    table = pd.DataFrame(
        {name: _cells(rows, feature) for name, feature in names.items()}, dtype=object
    )
    return index_rows(encoder.encode(table.set_index(encoder.id)), torch.from_numpy(codes))


# -- the shuffle buffer
# -----------------------------------------------------------------------------------------------


def shuffled(stream: Iterable[T], buffer: int, generator: torch.Generator) -> Iterator[T]:
    """The stream in another order, with at most `buffer` of it held at a time.

    The buffer is filled, then each new element takes the place of a random one, which is given. So
    an element can come as late as chance has it, but never more than `buffer` − 1 places too early;
    a buffer that holds all is a full shuffle, a buffer of 1 none. Source: the documentation of
    `tf.data.Dataset.shuffle`, which does the same.
    """
    if buffer < 1:
        raise ValueError(f"buffer is {buffer}; a buffer holds at least one event.")
    stream = iter(stream)
    held = list(islice(stream, buffer))
    places = chain.from_iterable(
        torch.randint(len(held), (1_000,), generator=generator).tolist() for _ in count()
    )
    for element, place in zip(stream, places):  # noqa: B905
        yield held[place]
        held[place] = element
    for place in torch.randperm(len(held), generator=generator).tolist():
        yield held[place]


def shuffle_order(n: int, buffer: int, generator: torch.Generator) -> torch.Tensor:
    """[n] the order in which a shuffle buffer of that size gives the events 0 … n − 1."""
    return torch.tensor(list(shuffled(range(n), buffer, generator)), dtype=torch.long)
