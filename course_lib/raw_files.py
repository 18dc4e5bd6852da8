"""Raw files: what a shop exports, a CSV or another text with separators, becomes a log.

A `RawFile` says how a file is to be read, `read_log` makes a log of one, two or three of them.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from course_lib import frames
from course_lib.log import LISTED_BEFORE_FIRST_SALE, EventLog

UNITS = ("s", "ms", "us", "ns")  # since 1970-01-01, in UTC
OFFSET = r"\d\d:\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$"  # behind a time of day
PLAUSIBLE = range(1980, 2100)  # years
PACKED = {b"PK": "a spreadsheet or a zip archive", b"\x1f\x8b": "packed with gzip"}
SPLIT = "\x1f"  # stands for a separator of several characters, which csv can't have
NOT_IN = {"item": "user|time", "user": "item|time|listed|description"}  # columns of each table
Note = tuple[str, str, int]  # a row of the report


class RawLog(NamedTuple):
    """A log, and a row for each thing that was left out or changed on the way: `file`, `what`,
    `rows`.
    """

    log: EventLog
    report: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """How a text file with one row per line is to be read. All cells are text, without the blanks
    around them; an empty one is missing.

    - `path`; `separator`: one character or several, such as "::"; `encoding`: utf-8 with or without
      a byte order mark, unless another one is named. `quoted`: whether a cell may stand in double
      quotes, so that it can hold a separator; with a separator of several characters none can.
    - `columns`: the file's name of each column of the log, {"user": "customer_id", …}: `user`,
      `item`, `time`, `listed`, `description`, and the fields. What is not named is not read.
    - `header`: the names of the file's columns, if its first line does not have them.
    - `time`: how `time` and `listed` are written: "iso", a format such as "%d/%m/%Y %H:%M", or the
      unit of a number since 1970, "s", "ms", "us" or "ns". `zone`: the log's time zone, such as
      "Europe/London", to which times are converted: those since 1970, those with an offset, and
      those without one, which are UTC then. None: they stay as they are written.
    - `lists`: the separator inside the cells of a field that is a list, {"genres": "|"}.
    - `convert`: {"decade": function}, the function makes the value of a cell's text; it is called
      once for each different text.
    - `keep`: {"Quantity": function}, by the file's own names: rows for whose text a function is
      not true are left out.

    Raises ValueError for a column, a unit or an option that does not fit the others.
    """

    path: str | Path
    columns: Mapping[str, str]
    separator: str = ","
    encoding: str = "utf-8-sig"
    quoted: bool = True
    header: list[str] | None = None
    time: str = "iso"
    zone: str | None = None
    lists: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[str], object]] = field(default_factory=dict)
    keep: Mapping[str, Callable[[str], bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option in ("columns", "lists", "convert", "keep"):
            given = getattr(self, option)
            if not isinstance(given, Mapping) or not all(type(name) is str for name in given):
                raise ValueError(f"{option} is {frames.short(given)}; give a dict by name.")
        if not self.separator or set(self.separator) & set('"\r\n'):
            raise ValueError(f"separator is {self.separator!r}; give what stands between columns.")
        for name in (*self.lists, *self.convert):
            if name not in self.columns:
                raise ValueError(
                    f"lists or convert names '{name}', and columns only {', '.join(self.columns)}; "
                    "name it in both."
                )
        for name in self.lists.keys() & self.convert.keys():
            raise ValueError(f"lists and convert both name '{name}'; split it or convert it.")
        if self.time not in (*UNITS, "iso") and "%" not in self.time:
            raise ValueError(
                f"time is {self.time!r}; give 'iso', a format such as '%d/%m/%Y %H:%M', or one of "
                f"{', '.join(UNITS)} for a number since 1970."
            )

    @property
    def name(self) -> str:
        """The file's, for sentences."""
        return Path(self.path).name

    def read(self) -> tuple[pd.DataFrame, pd.DataFrame, list[Note]]:
        """The log's columns, by the line on which each row begins, with times in UTC if there is a
        `zone`; the rows that `keep` left out, as the file has them; and what was not read, as in
        `RawLog.report`.

        Raises ValueError, in one sentence, for a file that is missing, empty, packed, of another
        encoding, or not all of one width, and for a column or a value that is not as promised.
        """
        raw = _cells(self)
        for name in (*self.columns.values(), *self.keep):
            if name not in raw:
                have = ", ".join(f"'{frames.short(column, str)}'" for column in raw)
                how = f"it was split at {self.separator!r}; pass what stands between its columns"
                end = f"; {how} as separator=…" if len(raw.columns) == 1 else ""
                raise ValueError(f"{self.name} has no column '{name}', only {have}{end}.")
        kept = np.ones(len(raw), bool)
        for name, wanted in self.keep.items():
            kept &= np.array(_each(self.name, raw[name], wanted, "keep"), bool)
        notes = [(self.name, "rows left out by keep", int((~kept).sum()))]
        for name in raw.columns.difference([*self.columns.values(), *self.keep], sort=False):
            notes.append((self.name, f"column '{name}' is not used", len(raw)))
        rows = raw[kept]
        table = {name: _column(self, name, rows[own]) for name, own in self.columns.items()}
        return pd.DataFrame(table, rows.index), raw[~kept], notes


def words(text: str) -> list[str]:
    """The words of a title, in small letters and each once; those of less than three letters are
    left out. For `RawFile.convert`.
    """
    return list(dict.fromkeys(re.findall(r"\w{3,}", text.lower())))


# -- cells -----------------------------------------------------------------------------------------


def _cells(file: RawFile) -> pd.DataFrame:
    """All cells of a file as text, by the line on which each row begins."""
    text, separator, quoted = _text(Path(file.path), file.encoding), file.separator, file.quoted
    if len(separator) > 1:
        text, separator, quoted = text.replace(separator, SPLIT), SPLIT, False
    how = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, quoting=how, strict=True)
    names, rows, begins, line = file.header and _names(file, file.header), [], [], 1
    try:
        for cells in reader:
            here, line = line, reader.line_num + 1
            row = [cell.strip() for cell in cells]
            if not any(row):
                continue  # an empty line
            if names is None:
                names = _names(file, row)
                continue
            if len(row) != len(names):
                raise ValueError(
                    f"{file.name}: line {here} has {len(row)} columns, {frames.short(row)}, and "
                    f"{len(names)} are named; mend the line, the header or the separator."
                )
            rows.append(row)
            begins.append(here)
    except csv.Error as error:
        raise ValueError(
            f"{file.name}: the row that begins on line {line} can't be read ({error}); close its "
            "quotes, or read the file with quoted=False."
        ) from None
    if not rows:
        raise ValueError(f"{file.name} has no rows; export it again.")
    return pd.DataFrame(rows, pd.Index(begins, name="line"), names, dtype=object)


def _names(file: RawFile, row: list[str]) -> list[str]:
    """The columns' names; one without, such as that of a frame's index, is called by its place."""
    names = [name or f"column {place}" for place, name in enumerate(row, 1)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(
                f"{file.name} has the name '{name}' twice in its first line or in header; mend it, "
                "or, if that line has no names, pass them as header=[…]."
            )
    return names


def _text(path: Path, encoding: str) -> str:
    if not path.is_file():
        raise ValueError(f"{path} is no file; give the path of one.")
    data = path.read_bytes()
    for start, what in PACKED.items():
        if data.startswith(start):
            raise ValueError(f"{path.name} is {what}; unpack it, or export it as CSV.")
    how = "pass the encoding that the file was saved in, such as 'cp1252', 'utf-16' or 'gb18030'"
    try:
        text = data.decode(encoding)
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}; try 'utf-8'.") from None
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start]
        spelled = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise ValueError(
            f"{path.name}: byte {byte:#04x} on line {line} is not valid {spelled}; {how}."
        ) from None
    if "\0" in text:
        raise ValueError(f"{path.name} holds zero bytes; {how}.")
    return text


def _column(file: RawFile, name: str, cells: pd.Series) -> pd.Series:
    """A column as the log wants it."""
    function = file.convert.get(name, str)
    if name in file.lists:
        function = partial(_split, file.lists[name])
    values = _each(file.name, cells, function, "convert")
    values = [None if type(value) is str and not value else value for value in values]
    column = pd.Series(values, cells.index, object, cells.name)
    return _times(file, column) if name in ("time", "listed") else column


def _split(separator: str, cell: str) -> list[str]:
    parts = (part.strip() for part in cell.split(separator))
    return list(dict.fromkeys(filter(None, parts)))


def _each(file: str, cells: pd.Series, function: Callable, option: str) -> list:
    """What the function makes of each cell, of which it is asked once for each different one; of an
    empty one only to keep its row or not.
    """
    made: dict[str, object] = {}
    for cell in cells.unique():
        try:
            made[cell] = function(cell) if cell or option == "keep" else None
        except Exception as error:  # a function of the reader's own
            why = f"makes its function in {option} fail ({type(error).__name__}: {error})"
            frames.refuse(cells == cell, file, cells, f"{why}; mend the function")
    return [made[cell] for cell in cells]


def _times(file: RawFile, cells: pd.Series) -> pd.Series:
    """[n] times, in UTC if there is a zone."""
    missing = cells.isna()
    texts = cells.astype(str).where(~missing, None)
    if file.time in UNITS:
        numbers = pd.to_numeric(texts, errors="coerce")
        times = pd.to_datetime(numbers, unit=file.time, errors="coerce", utc=True)
    else:
        iso = file.time == "iso"
        shifted = texts.str.contains(OFFSET, na=False) if iso else ~missing & ("%z" in file.time)
        why = "has an offset from UTC; name the log's time zone as zone='Europe/London'"
        frames.refuse(shifted & (file.zone is None), file.name, cells, why)
        form = "ISO8601" if iso else file.time
        times = pd.to_datetime(texts, format=form, errors="coerce", utc=True)
    unread = times.isna() & ~missing
    if unread.any():
        line, value = next(cells[unread].items())
        kind = "an ISO date" if file.time == "iso" else f"time={file.time!r}"
        raise ValueError(
            f"{file.name}: column '{cells.name}', {unread.sum():,} of {(~missing).sum():,} rows "
            f"cannot be read as {kind}, the first on line {line} ({frames.short(value)}); if all "
            f"rows are like it, {_how(str(value))}; else mend the file."
        )
    odd = ~missing & ~times.dt.year.isin(PLAUSIBLE)
    years = f"{PLAUSIBLE[0]} to {PLAUSIBLE[-1]}"
    why = f"and most others would not be in the years {years}; {_how()}"
    frames.refuse(odd & (2 * odd.sum() > (~missing).sum()), file.name, cells, why)
    return times if file.zone else times.dt.tz_localize(None)


def _how(text: str = "") -> str:
    """How to read a time such as this text."""
    with warnings.catch_warnings():  # that the day was not first, after all
        warnings.simplefilter("ignore")
        form = guess_datetime_format(text, dayfirst=True) or "%d/%m/%Y %H:%M"
    return f"pass the format as time={form!r}, or the unit of a number as time='s'"


def _on_the_clock(times: pd.Series, zone: str | None) -> pd.Series:
    """Times in UTC as the clock of the zone has them."""
    if zone is None:
        return times
    try:
        return times.dt.tz_convert(zone).dt.tz_localize(None)
    except Exception:  # of several types, by version
        raise ValueError(
            f"there is no time zone {zone!r}; give one such as 'Europe/London'."
        ) from None


# -- logs ------------------------------------------------------------------------------------------


def read_log(events: RawFile, items: RawFile | None = None, users: RawFile | None = None) -> RawLog:
    """A log of raw files, and a report of what it leaves out.

    Events are sorted by time. Of a (user, item) pair the first event is kept; events of an item or
    a user that `keep` left out of its table go with it. The tables of items and users have a row
    each; if they are read from the same file as the events, what is known of an item is what its
    first event says. Without a table, items or users have no fields.

    An item is listed when its `listed` says; where that is missing, 14 days before its first event:
    an assumption, see `EventLog.from_frame`. If that is after its first event, the first event
    counts. An item with neither is left out.

    Raises ValueError, in one sentence that names the file or the table, the column, the row, its
    line in the file and the value.
    """
    log, _, notes = _read(events, "events", ("user", "item", "time"))
    log = log.sort_values("time", kind="stable")
    # when clocks go back, an hour is there twice: the order stays
    log["time"] = _on_the_clock(log["time"], events.zone).cummax()
    tables = {}
    for kind, file in (("item", items), ("user", users)):
        tables[kind], gone, found = _table(kind, file, log, events)
        lost = log[kind].isin(gone)
        left_out = f"events of {kind}s that keep left out"
        notes += [*found, (events.name, left_out, int(lost.sum()))]
        log = log[~lost]
    if log.empty:
        raise ValueError(f"{events.name}: keep leaves out all events; look at its functions.")
    twice = log.duplicated(["user", "item"])
    notes.append((events.name, "later events of the same user and item", int(twice.sum())))
    log = log[~twice]
    tables["item"], found = _listed(tables["item"], log, (items or events).name)
    idle = ~tables["user"]["user"].isin(log["user"])
    notes += [*found, ((users or events).name, "users without an event", int(idle.sum()))]
    report = pd.DataFrame([note for note in notes if note[2]], columns=["file", "what", "rows"])
    return RawLog(EventLog.from_frame(log, tables["item"], tables["user"]), report)


def _read(file: RawFile, frame: str, needed: tuple, reserved: str | None = None) -> tuple:
    """What `RawFile.read` says, once the columns are those of a frame of a log."""
    if not isinstance(file, RawFile):
        raise ValueError(f"{frame} are of type {type(file).__name__}; give a RawFile.")
    read = file.read()
    frames.check_columns(f"{file.name}: {frame}", read[0], needed, reserved)
    return read


def _table(
    kind: str, file: RawFile | None, log: pd.DataFrame, events: RawFile
) -> tuple[pd.DataFrame, set, list[Note]]:
    """The table of items or users, which of them `keep` left out, and what was not read."""
    if file is None:
        return log[[kind]].dropna().drop_duplicates(), set(), []
    table, left_out, notes = _read(file, f"{kind}s", (kind,), NOT_IN[kind])
    if "listed" in table:
        table["listed"] = _on_the_clock(table["listed"], file.zone)
    gone, convert = set(), file.convert.get(kind, str)
    for cell in filter(None, left_out[file.columns[kind]].unique()):
        with suppress(Exception):  # a row that is left out may hold no ID at all
            gone.add(convert(cell))
    gone -= set(table[kind])
    if Path(file.path).resolve() == Path(events.path).resolve():
        first = log.index[log.index.isin(table.index)]  # in order of time
        table, notes = table.loc[first].drop_duplicates(kind), []
    return table, gone, notes


def _listed(items: pd.DataFrame, log: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[Note]]:
    """The table of items with the time from which each is listed, and what was changed for it."""
    first = items["item"].map(log.drop_duplicates("item").set_index("item")["time"])
    assumed = first - LISTED_BEFORE_FIRST_SALE
    listed = items["listed"].fillna(assumed) if "listed" in items else assumed
    late, unknown = listed > first, listed.isna()
    notes = [
        (file, "items listed after their first event, which counts", int(late.sum())),
        (file, "items with neither an event nor a time of listing", int(unknown.sum())),
    ]
    return items.assign(listed=listed.mask(late, first))[~unknown], notes
