"""Frames of every dtype that pandas and pyarrow make: the log is the plain one, or one sentence."""

import datetime
import decimal
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from helpers import SMALL, Frames, contents, refusal, tiny_frames, trained
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.frames import short
from course_lib.log import EventLog
from course_lib.state import State

NUMBER = {"ann": 7, "bob": 3, "cid": 2**40, "mug": 20, "bag": 10, "lamp": 30, "vase": 40}
IDS = [("events", "user"), ("events", "item"), ("items", "item"), ("users", "user")]


def of(dtype):
    return lambda values: pd.Series(values, dtype=dtype)


def arrow(type_):
    return of(pd.ArrowDtype(type_))


def each(function):
    """An object column of what the function makes of each value that is not missing."""
    return lambda values: pd.Series([v if v is None else function(v) for v in values], dtype=object)


def full(function, then=pd.Series):
    """A column of what the function makes of each value, with 0 for a missing one."""
    return lambda values: then([function(v or 0) for v in values])


TEXT = {
    "inferred": pd.Series,
    "object": of(object),
    "numpy": each(np.str_),
    "string": of("string"),
    "string[python]": of("string[python]"),
    "string[pyarrow]": of("string[pyarrow]"),
    "arrow": arrow(pa.string()),
    "arrow large": arrow(pa.large_string()),
    "arrow dictionary": arrow(pa.dictionary(pa.int8(), pa.string())),
    "category": of("category"),
    "category of string": lambda values: of("string")(values).astype("category"),
}
WHOLE = {
    "Int64": of("Int64"),
    "UInt64": of("UInt64"),
    "object": of(object),
    "numpy": each(np.int64),
    "numpy unsigned": each(np.uint64),
    "numpy mixed": each(lambda value: (int, np.int64, np.uint64)[value % 3](value)),
    "arrow": arrow(pa.int64()),
    "arrow unsigned": arrow(pa.uint64()),
    "arrow dictionary": arrow(pa.dictionary(pa.int8(), pa.int64())),
    "category": lambda values: of("Int64")(values).astype("category"),
}
NEITHER = {
    "float": full(float),
    "Float64": of("Float64"),
    "arrow float": arrow(pa.float64()),
    "sparse float": full(float, lambda values: pd.Series(pd.arrays.SparseArray(values))),
    "complex": full(complex),
    "too large": each(lambda value: 2**63 + value),
    "unsigned": full(lambda value: 2**63 + value, of("uint64")),
    "bytes": each(lambda value: str(value).encode()),
    "arrow bytes": full(lambda value: str(value).encode(), arrow(pa.binary())),
    "UUID": each(lambda value: uuid.UUID(int=value)),
    "decimal": each(decimal.Decimal),
    "arrow decimal": full(decimal.Decimal, arrow(pa.decimal128(20, 1))),
    "date": each(lambda value: datetime.date(2020, 1, 1)),
    "arrow date": full(lambda value: datetime.date(2020, 1, 1), arrow(pa.date32())),
    "datetime": full(pd.Timestamp),
    "category of dates": full(pd.Timestamp, of("category")),
    "numpy datetime": each(lambda value: np.datetime64(value, "ns")),
    "timedelta": full(pd.Timedelta),
    "arrow duration": full(pd.Timedelta, arrow(pa.duration("ns"))),
    "numpy timedelta": each(lambda value: np.timedelta64(value, "ns")),
    "period": full(lambda value: pd.Period("2020", "D")),
    "interval": full(lambda value: pd.Interval(value, value + 1)),
    "bands": full(lambda value: value % 60, lambda values: pd.cut(pd.Series(values), 60)),
    "dict": each(lambda value: {value: 1}),
    "arrow struct": full(lambda value: {"a": value}, arrow(pa.struct([("a", pa.int64())]))),
    "nested": each(lambda value: [[value]]),
    "a list with a gap": each(lambda value: [value, None]),
    "a text of its own": each(type("Text", (str,), {})),
    "half a character": each(lambda value: f"{value}\udc80"),
    "array": each(lambda value: np.array([[value]])),
    "object": each(lambda value: object()),
}
IDS_ONLY = {
    "bool": full(bool),
    "boolean": full(bool, of("boolean")),
    "list": each(lambda value: [value]),
    "two kinds": lambda values: pd.Series([int, str][i % 2](v) for i, v in enumerate(values)),
}


def numbered() -> Frames:
    """The tiny log with whole numbers for ids."""
    frames = tiny_frames()
    for name, column in IDS:
        frames[name][column] = frames[name][column].map(NUMBER)
    return frames


def changed(frames: Frames, name: str, column: str, make) -> Frames:
    """The frames with one column made anew from its values, None for a missing one."""
    values = [None if v != v else v for v in frames[name][column].tolist()]
    return frames | {name: frames[name].assign(**{column: make(values)})}


def assert_same_log(log: EventLog, expected: EventLog):
    for table in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(log, table), getattr(expected, table))
    assert log.item_rows.tolist() == expected.item_rows.tolist()
    assert log.user_rows.tolist() == expected.user_rows.tolist()


@pytest.mark.parametrize("plain, make", [(tiny_frames, TEXT), (numbered, WHOLE)])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_ids_of_any_mixture_of_types_are_the_same_ids(plain, make, data):
    frames = plain()
    for name, column in IDS:
        frames = changed(frames, name, column, make[data.draw(st.sampled_from(list(make)))])
    assert_same_log(EventLog.from_frame(**frames), EventLog.from_frame(**plain()))


@pytest.mark.parametrize("name, column", IDS)
@pytest.mark.parametrize("make", [*(NEITHER | IDS_ONLY).values()], ids=[*(NEITHER | IDS_ONLY)])
def test_what_is_no_id_is_refused(name, column, make):
    message = refusal(EventLog.from_frame, **changed(numbered(), name, column, make))
    assert message.startswith(f"{name}: column '{column}', row ")


@pytest.mark.parametrize("kind", ["user", "item"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_text_never_meets_whole_numbers(kind, data):
    """Not even where the text shows the same digits: one sentence names both columns and types."""
    whole, text = data.draw(st.sampled_from(list(WHOLE))), data.draw(st.sampled_from(list(TEXT)))
    one, other = data.draw(st.permutations(["events", f"{kind}s"]))
    frames = changed(numbered(), one, kind, WHOLE[whole])
    frames = changed(frames, other, kind, lambda values: TEXT[text]([*map(str, values)]))
    message = refusal(EventLog.from_frame, **frames)
    for name, holds in ((one, "whole numbers"), (other, "text")):
        dtype = str(frames[name][kind].dtype)
        dtype = dtype if len(dtype) <= 40 else dtype[:39] + "…"
        assert f"{name}: column '{kind}' ({dtype}) has {holds}" in message


@pytest.mark.parametrize(
    "written, difference",
    [("  {}\t", "blanks around it"), ("00{}", "zeros at its start"), ("{}.0", "'.0' at its end")],
)
def test_the_likely_reason_is_named(written, difference):
    frames = changed(numbered(), "events", "item", lambda values: [*map(str, values)])
    frames = changed(frames, "items", "item", lambda values: [*map(written.format, values)])
    frames["events"].index += 100
    assert refusal(EventLog.from_frame, **frames) == (
        "events: column 'item', row 0 (label 100, value '20') is not in items, where it differs by "
        f"{difference}; write ids alike (such rows: 8)."
    )


# -- fields ----------------------------------------------------------------------------------------

FLAGS = {
    "object": of(object),
    "numpy": each(np.bool_),
    "boolean": of("boolean"),
    "arrow": arrow(pa.bool_()),
    "category": lambda values: of("boolean")(values).astype("category"),
}
LISTS = {
    "object": of(object),
    "tuples": each(tuple),
    "sets": each(set),
    "frozen sets": each(frozenset),
    "arrays": each(np.array),
    "arrow": arrow(pa.list_(pa.string())),
    "arrow large": arrow(pa.large_list(pa.string())),
}
FIELDS = {
    **{f"text, {name}": (["red", None, "blue", "red"], make) for name, make in TEXT.items()},
    **{f"whole, {name}": ([2**40, None, 0, 7], make) for name, make in WHOLE.items()},
    **{f"bool, {name}": ([True, None, False, True], make) for name, make in FLAGS.items()},
    **{f"list, {name}": ([["a", "b"], [], ["b"], []], make) for name, make in LISTS.items()},
    "nothing": ([None] * 4, of(object)),
    "arrow nothing": ([None] * 4, arrow(pa.null())),
    "int8": ([3, 1, 1, 2], of("int8")),
    "sparse": ([3, 0, 0, 2], lambda values: pd.Series(pd.arrays.SparseArray(values))),
    "bool": ([True, True, False, True], of(bool)),
    "lists of numbers": ([[1, 2], [], [3], [1]], arrow(pa.list_(pa.int32()))),
    "text that may be a category": (["[2, 3]", "[a]", "a|b", "['b']"], of(object)),
    "empty brackets": (["[]"] * 4, of(object)),
}


def fields(name: str, column: str, make) -> list:
    """The values as the log has them, in the order of the frame; None for a missing one."""
    frames = changed(tiny_frames(), name, column, make)
    kept = getattr(EventLog.from_frame(**frames), name).loc[frames[name][name[:-1]], column]
    return [None if value != value else value for value in kept]


@pytest.mark.parametrize("values, make", FIELDS.values(), ids=FIELDS)
def test_fields_of_every_type_are_plain_values(values, make):
    for name, column in (("items", "colour"), ("users", "city")):
        kept = fields(name, column, lambda old: make(values)[: len(old)])
        assert kept == values[: len(kept)]
        assert [*map(type, kept)] == [*map(type, values)][: len(kept)]


def test_a_missing_list_is_an_empty_one():
    assert fields("items", "words", lambda _: pd.Series([["x"], None, np.nan, ()])) == [
        ["x"],
        [],
        [],
        [],
    ]


@pytest.mark.parametrize(
    "name, column", [("items", "colour"), ("users", "city"), ("items", "description")]
)
@pytest.mark.parametrize("make", NEITHER.values(), ids=NEITHER)
def test_what_is_no_field_is_refused(name, column, make):
    values = [7, None, 3, 2**40]
    frames = changed(tiny_frames(), name, column, lambda old: make(values)[: len(old)])
    assert refusal(EventLog.from_frame, **frames).startswith(f"{name}: column '{column}', row ")


@pytest.mark.parametrize(
    "values, sentence",
    [
        ([1.0, None, 3.0, 1.0], "row 0 (label 0, value 1.0) is neither text, a whole number, a"),
        ([["x"], None, "y", []], "row 2 (label 2, value 'y') is text, where a list of text is the"),
        (
            [["x"], [1, "y"], [], []],
            "row 1 (label 1, value [1, 'y']) is neither text, a whole number",
        ),
        (
            [[1, "y"], None, [], []],
            "row 0 (label 0, value [1, 'y']) is neither text, a whole number",
        ),
        (["x", None, 3, "y"], "row 2 (label 2, value 3) is whole numbers, where text is the rule"),
        (["['a', 'b']", None, "[]", "['a']"], "row 0 (label 0, value \"['a', 'b']\") is a list"),
        (['["a"]'] * 4, "row 0 (label 0, value '[\"a\"]') is a list saved as text; make lists"),
    ],
)
def test_a_field_of_two_kinds_or_of_printed_lists_is_refused(values, sentence):
    frames = changed(tiny_frames(), "items", "colour", lambda _: of(object)(values))
    assert refusal(EventLog.from_frame, **frames).startswith(f"items: column 'colour', {sentence}")


def test_what_trains_and_saves_loads_again(tmp_path):
    """Arrow columns, NumPy scalars, sets and NumPy's texts for names, to the file and back."""
    frames = changed(numbered(), "items", "item", WHOLE["arrow dictionary"])
    frames = changed(frames, "users", "city", TEXT["numpy"])
    frames = changed(frames, "items", "words", LISTS["sets"])
    frames["items"]["flag"] = FLAGS["boolean"]([True, None, False, True])
    frames["items"].columns = pd.Index([*map(np.str_, frames["items"])], dtype=object)
    log = EventLog.from_frame(**frames)
    state = trained(log, SMALL, log.days[:2])
    state.save(tmp_path / "state.pt")
    assert contents(State.load(tmp_path / "state.pt", device="cpu")) == contents(state)


# -- times -----------------------------------------------------------------------------------------

DAYS = [datetime.datetime(2020, 1, day) for day in (1, 1, 2, 2, 4, 5, 5, 6)]
EPOCH = [round((day - datetime.datetime(1970, 1, 1)).total_seconds()) for day in DAYS]
TIMES = {
    **{f"datetime64[{unit}]": of(f"datetime64[{unit}]") for unit in ("s", "ms", "us", "ns")},
    **{f"arrow {unit}": arrow(pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    "object": of(object),
    "timestamps": each(pd.Timestamp),
    "numpy": each(np.datetime64),
    "dates": each(datetime.datetime.date),
    "dates and times": lambda values: pd.Series([values[0].date(), *values[1:]], dtype=object),
    "arrow date32": arrow(pa.date32()),
    "arrow date64": arrow(pa.date64()),
    "category": lambda values: pd.to_datetime(pd.Series(values)).astype("category"),
}
NO_TIMES = {
    "text": (each(str), "convert it with pandas.to_datetime (such"),
    "arrow text": (lambda days: arrow(pa.string())([*map(str, days)]), "pandas.to_datetime (such"),
    "seconds": (lambda days: pd.Series(EPOCH), "unit='s'"),
    "float": (lambda days: pd.Series(EPOCH) * 1.0, "unit='s'"),
    "arrow": (lambda days: arrow(pa.int64())(EPOCH), "unit='s'"),
    "milliseconds": (lambda days: pd.Series(EPOCH) * 10**3, "unit='ms'"),
    "microseconds": (lambda days: pd.Series(EPOCH) * 10**6, "unit='us'"),
    "nanoseconds": (lambda days: pd.Series(EPOCH) * 10**9, "unit='ns'"),
    "days": (lambda days: pd.Series(EPOCH) // 86400, "unit=…"),
    "zone": (of("datetime64[us, UTC]"), ".dt.tz_convert(zone) and .dt.tz_localize(None)"),
    "arrow zone": (arrow(pa.timestamp("us", "Europe/London")), ".dt.tz_convert(zone)"),
    "zones": (each(lambda day: day.replace(tzinfo=datetime.timezone.utc)), ".dt.tz_convert(zone)"),
    "period": (lambda days: pd.Series(pd.PeriodIndex(days, freq="D")), "pandas.to_datetime"),
    "timedelta": (lambda days: pd.to_timedelta(pd.Series(EPOCH)), "pandas.to_datetime"),
    "clock": (each(datetime.datetime.time), "pandas.to_datetime"),
}


def daily(make, name: str = "", column: str = "") -> Frames:
    """The tiny log on midnights and with listing, one column of times made anew."""
    frames = tiny_frames()
    frames["events"]["time"] = DAYS
    frames["items"]["listed"] = [day - datetime.timedelta(days=30) for day in DAYS[:4]]
    if name:
        days = [time.to_pydatetime() for time in frames[name][column]]
        frames[name][column] = make(days)[: len(days)]
    return frames


@pytest.mark.parametrize("name, column", [("events", "time"), ("items", "listed")])
@pytest.mark.parametrize("make", TIMES.values(), ids=TIMES)
def test_times_of_every_type_are_the_same_times(name, column, make):
    log = EventLog.from_frame(**daily(make, name, column))
    assert_same_log(log, EventLog.from_frame(**daily(None)))


@pytest.mark.parametrize("name, column", [("events", "time"), ("items", "listed")])
@pytest.mark.parametrize("make, advice", NO_TIMES.values(), ids=NO_TIMES)
def test_what_is_no_local_time_is_refused_with_advice(name, column, make, advice):
    message = refusal(EventLog.from_frame, **daily(make, name, column))
    assert message.startswith(f"{name}: column '{column}', row 0 ") and advice in message


def test_the_advice_for_a_zone_leads_to_the_log_in_autumn_too():
    frames = tiny_frames()
    utc = pd.Series(pd.date_range("2020-10-25 00:15", periods=8, freq="20min", tz="UTC"))
    frames["events"]["time"] = utc.dt.tz_convert("Europe/London").dt.tz_localize(None)
    assert not frames["events"]["time"].is_monotonic_increasing
    assert "where clocks went back keep the order, with .cummax()" in refusal(
        EventLog.from_frame, **frames
    )
    frames["events"]["time"] = frames["events"]["time"].cummax()
    assert EventLog.from_frame(**frames).item_rows.tolist() == [0, 1, 1, 0, 0, 2, 1, 3]


# -- columns and frames ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["events", "items", "users"])
@pytest.mark.parametrize(
    "value", [[1, 2], "log.csv", {}, None, pd.Series([1]), np.zeros(2), pa.table({"user": [1]})]
)
def test_what_is_no_frame_is_refused(name, value):
    message = refusal(EventLog.from_frame, **tiny_frames() | {name: value})
    assert message == f"{name} is of type {type(value).__name__}; make a pandas DataFrame of it."


@pytest.mark.parametrize("name", ["events", "items", "users"])
@pytest.mark.parametrize("column", [3, None, 2.5, ("a", "b"), pd.Timestamp("2020-01-01"), b"x"])
def test_a_column_name_that_is_no_text_is_refused(name, column):
    frames = tiny_frames()
    frames[name].insert(1, column, "x")
    message = refusal(EventLog.from_frame, **frames)
    assert message.startswith(f"{name}: the column name ") and "is no text" in message


@pytest.mark.parametrize(
    "name, column",
    [
        *((name, column) for name in ("items", "users") for column in ("a[]", "a/b", "history")),
        *(("items", "popularity"), ("users", "listed"), ("users", "description")),
    ],
)
def test_a_name_that_means_something_to_the_library_is_refused(name, column):
    frames = changed(tiny_frames(), name, name[:-1], list)
    frames[name][column] = "x"
    assert refusal(EventLog.from_frame, **frames) == (
        f"{name}: column '{column}' has a name that means something to the library; rename it."
    )


def test_levels_of_columns_an_index_and_unused_columns_are_refused():
    frames = tiny_frames()
    items, users, events = frames["items"], frames["users"], frames["events"]
    levels = items.set_axis(pd.MultiIndex.from_product([["x"], items.columns]), axis=1)
    for change, sentence in (
        ({"items": levels}, "items: the column name ('x', 'item') is no text; rename it."),
        (
            {"users": users.set_index("user")},
            "users has no column 'user'; it is the index, so call reset_index.",
        ),
        (
            {"events": events.assign(rating=5, price=2)},
            "events has columns that are not used, ['rating', 'price']; drop them.",
        ),
    ):
        assert refusal(EventLog.from_frame, **frames | change) == sentence


@pytest.mark.parametrize(
    "index",
    [
        [5] * 4,
        list("aabb"),
        pd.MultiIndex.from_product([[1, 2], [3, 4]]),
        pd.Index(list("vlbm"), name="item"),
    ],
)
def test_the_index_of_a_frame_means_nothing(index):
    frames = tiny_frames()
    frames["items"].index = index
    assert_same_log(EventLog.from_frame(**frames), EventLog.from_frame(**tiny_frames()))


@pytest.mark.parametrize("name", ["items", "users"])
def test_an_empty_table_lacks_the_first_event(name):
    frames = tiny_frames()
    message = refusal(EventLog.from_frame, **frames | {name: frames[name][:0]})
    assert message.startswith(f"events: column '{name[:-1]}', row 0 (label 0, value ")


def test_the_log_has_values_of_its_own():
    frames = tiny_frames()
    log = EventLog.from_frame(**frames)
    frames["items"]["words"][0].append("MINE")
    frames["events"].loc[0, "time"] = pd.Timestamp("1999-01-01")
    assert_same_log(log, EventLog.from_frame(**tiny_frames()))


@pytest.mark.parametrize("value", ["x" * 100, "two\nlines", [["a"] * 50], pd.DataFrame({"a": [1]})])
def test_a_value_is_shown_in_one_short_line(value):
    assert len(short(value)) <= 40 and "\n" not in short(value)
