"""From a DataFrame's columns, of whatever type, to plain values; what can't be one is refused.

All that a log holds, a shard and a saved state can hold, too.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable
from datetime import date
from itertools import compress
from numbers import Real

import numpy as np
import pandas as pd

KINDS = {str: "text", int: "whole numbers", bool: "whole numbers"}  # shards have 1 for True
PRINTED_LIST = re.compile(r"\[\s*(['\"].*['\"])?\s*\]", re.DOTALL)
DIFFERENCES = {
    "blanks around it": str.strip,
    "zeros at its start": lambda text: text.lstrip("0"),
    "'.0' at its end": lambda text: text.removesuffix(".0"),
    "capital letters": str.casefold,
}


def refuse(bad: Iterable, frame: str, column: pd.Series, why: str) -> None:
    """Raise ValueError for the first row that is `bad` [n], with its label, by the index's name if
    it has one, and its value.
    """
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        row = int(bad.argmax())
        label, value = (v[row : row + 1].tolist()[0] for v in (column.index, column.iloc))
        place = f"{short(column.index.name or 'label', str)} {short(label)}"
        where = f"row {row} ({place}, value {short(value)})"
        raise ValueError(
            f"{frame}: column '{column.name}', {where} {why} (such rows: {bad.sum()})."
        )


def short(value: object, show: Callable = repr) -> str:
    """The value in at most 40 characters of one line."""
    text = " ".join(show(value).split())
    return text if len(text) <= 40 else f"{text[:39]}…"


def check_columns(
    name: str, frame: object, needed: Collection[str], reserved: str | None = None
) -> None:
    """Raise ValueError for what is no DataFrame and for columns that it lacks or has too many.

    Columns that are not needed are fields, whose names must not match the pattern `reserved`, or,
    if that is None, they are too many.
    """
    if not isinstance(frame, pd.DataFrame):
        what = type(frame).__name__
        raise ValueError(f"{name} is of type {what}; make a pandas DataFrame of it.")
    for column in frame.columns:
        if type(plain(column)) is not str:
            raise ValueError(f"{name}: the column name {short(column)} is no text; rename it.")
    for column in frame.columns[frame.columns.duplicated()]:
        raise ValueError(f"{name} has column '{column}' twice; rename or drop one.")
    for column in needed:
        if column not in frame:
            index = "; it is the index, so call reset_index" if column in frame.index.names else ""
            raise ValueError(f"{name} has no column '{column}'{index or ', which it needs'}.")
    unused = [str(column) for column in frame if column not in needed]
    if unused and reserved is None:
        raise ValueError(f"{name} has columns that are not used, {short(unused)}; drop them.")
    for column in unused:
        if re.fullmatch(reserved, column, re.DOTALL):
            why = "has a name that means something to the library"
            raise ValueError(f"{name}: column '{column}' {why}; rename it.")


def plain(value: object) -> str | int | bool | None:
    """The value as Python's own text, whole number or boolean; None for what is none of them."""
    if type(value) not in KINDS and isinstance(value, (np.integer, np.bool_, np.str_)):
        value = None if isinstance(value, np.timedelta64) else value.item()
    if type(value) is str:
        return value if value.isascii() or value.encode(errors="ignore").decode() == value else None
    whole = type(value) is int and -(2**63) <= value < 2**63
    return value if whole or type(value) is bool else None


def ids(frame: str, column: pd.Series) -> pd.Series:
    """The column as ids, all `int` or all `str`, numbered from 0."""
    refuse(column.isna(), frame, column, "is missing; every row needs a value")
    # of one type, each different value is looked at once; of several, some may be equal (1, True)
    alike = isinstance(column.dtype, (pd.StringDtype, pd.CategoricalDtype))
    alike = alike or pd.api.types.is_integer_dtype(column.dtype)
    place, values = pd.factorize(column) if alike else (np.arange(len(column)), column)
    found = [plain(value) for value in values.tolist()]
    bad = np.array([type(id) not in (int, str) for id in found], bool)
    why = "is no id; make ids text or whole numbers (of 64 bits), for example with .astype"
    refuse(bad[place], frame, column, why)
    mixed = np.array([type(id) is not type(found[0]) for id in found], bool)
    why = "is of another type than row 0; make ids all text or all whole numbers"
    refuse(mixed[place], frame, column, why)
    return pd.Series(pd.Series(found).array.take(place))


def named(frame: str, column: pd.Series) -> str:
    """The column's place and type, for a sentence."""
    return f"{frame}: column '{column.name}' ({short(column.dtype, str)})"


def check_type(
    column: pd.Series, found: pd.Series, there: str, known: pd.Series | pd.Index
) -> None:
    """Raise ValueError if ids `found` in a column of events are of another type than `known`."""
    kinds = [KINDS[type(id)] for some in (found, known) for id in some[:1].tolist()]
    if len(set(kinds)) > 1:
        raise ValueError(
            f"{named('events', column)} has {kinds[0]} and {there} has {kinds[1]}; make ids one "
            "type, text (dtype=str) if zeros at the start were lost."
        )


def check_known(column: pd.Series, found: pd.Series, table: str, known: pd.Series) -> None:
    """Raise ValueError if an id `found` in a column of events is not among those of the table."""
    known = set(known.tolist())
    if known.issuperset(found.unique().tolist()):
        return
    lost = [id not in known for id in found]
    why = f"is not in {table}; add a row for it there"
    for difference, change in DIFFERENCES.items() if type(found[0]) is str else ():
        if change(found[lost.index(True)]) in map(change, known):
            why = f"is not in {table}, where it differs by {difference}; write ids alike"
    refuse(lost, "events", column, why)


def times(frame: str, column: pd.Series) -> np.ndarray:
    """[n] the column as datetime64[us], none missing."""
    refuse(column.isna(), frame, column, "is missing; every row needs a value")
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        try:
            return column.astype("datetime64[us]").to_numpy()
        except pd.errors.OutOfBoundsDatetime as error:
            how = "leave such rows out"
            raise ValueError(f"{frame}: column '{column.name}': {error}; {how}.") from None
    found = column.tolist()
    wrong = [not isinstance(time, (date, np.datetime64)) for time in found]
    how = _how_to_date(found[wrong.index(True)]) if any(wrong) else ""
    refuse(
        wrong, frame, column, f"is {short(column.dtype, str)}, not datetime; convert it with {how}"
    )
    zones = [getattr(time, "tzinfo", None) is not None for time in found]
    why = "has a time zone; sort by time, then make it the shop's with .dt.tz_convert(zone)"
    refuse(zones, frame, column, f"{why} and .dt.tz_localize(None)")
    return np.array(found, dtype="datetime64[us]")


def _how_to_date(value: object) -> str:
    if not isinstance(value, Real):
        return "pandas.to_datetime"
    since_1973 = {"ns": 1e17, "us": 1e14, "ms": 1e11, "s": 1e8}
    unit = next((f"'{unit}'" for unit, least in since_1973.items() if value >= least), "…")
    return f"pandas.to_datetime(…, unit={unit})"


def field(frame: str, column: pd.Series, known: Iterable | None = None) -> list:
    """The column as a field's values: plain ones or lists of them, all of one kind, which is that
    of the values `known` already, if any are; what is missing is NaN or an empty list.
    """
    gone = column.isna()
    cells = [np.nan if na else _cell(v) for v, na in zip(column.tolist(), gone, strict=True)]
    numbers = pd.api.types.is_float_dtype(column.dtype)
    how = "cut it into bands (pandas.cut), or make it 'Int64'" if numbers else "make text of it"
    why = f"is neither text, a whole number, a boolean, nor a list of one of these; {how}"
    refuse([cell is None for cell in cells], frame, column, why)
    kinds = [_kind(cell) for cell in cells]
    own = _rule(kinds)
    rule = own if known is None else _rule(map(_kind, known))
    if rule in ("", "a list"):  # nothing is known of the values yet
        rule = own if own.startswith("a list") == bool(rule) else rule or "a single value"
    lists = rule.startswith("a list")
    odd = [kind not in ("", rule, "a list" if lists else "") for kind in kinds]
    found = kinds[odd.index(True)] if any(odd) else ""
    refuse(odd, frame, column, f"is {found}, where {rule} is the rule; make all of one kind")
    return [[] if lists and cell != cell else cell for cell in cells]


def refuse_printed_lists(frame: str, column: pd.Series, values: list) -> None:
    """Raise ValueError if all texts among a field's values are lists as Python prints them."""
    text = [type(value) is str for value in values]
    texts = set(compress(values, text))
    if texts - {"[]"} and all(map(PRINTED_LIST.fullmatch, texts)):
        why = "is a list saved as text; make lists of it, for example with ast.literal_eval"
        refuse(text, frame, column, why)


def _cell(value: object) -> str | int | bool | list | None:
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if not isinstance(value, (list, tuple, np.ndarray)) or getattr(value, "ndim", 1) == 0:
        return plain(value)
    values = [plain(v) for v in value]
    kinds = {KINDS.get(type(v)) for v in values}
    return None if len(kinds) > 1 or None in kinds else values


def _kind(cell: object) -> str:
    """What a cell holds, in words; none if it is missing."""
    if type(cell) is not list:
        return KINDS.get(type(cell), "")
    return f"a list of {KINDS[type(cell[0])]}" if cell else "a list"


def _rule(kinds: Iterable[str]) -> str:
    """The first kind that says all; "a list" if there are but empty ones."""
    rule = ""
    for kind in kinds:
        if kind not in ("", "a list"):
            return kind
        rule = rule or kind
    return rule


def checked(
    name: str, value: object, low: float, high: float = math.inf, whole: bool = False
) -> int | float:
    """An option's value as Python's own number; raises ValueError for one that is none or out of
    range.
    """
    try:
        number = operator.index(value) if whole else float(value)
        right = low <= number <= high and math.isfinite(number)
    except (TypeError, ValueError):
        right = False
    if not right or isinstance(value, (bool, str)):
        kind = "a whole number" if whole else "a number"
        most = "" if high == math.inf else f" and at most {high:g}"
        raise ValueError(f"{name} is {value!r}; it must be {kind}, at least {low:g}{most}.")
    return number
