"""Raw files against plain readings of the same text; and a sentence for whatever an export holds."""

import ast
import datetime
import json
import re
import string
from pathlib import Path

import pandas as pd
import pytest
from helpers import refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.log import EventLog
from course_lib.movie_tweetings import DATA
from course_lib.online_retail import DATA as RETAIL
from course_lib.online_retail import shop_log
from course_lib.raw_files import RawFile, read_log, words

EVENTS = {"user": "customer", "item": "sku", "time": "ts"}
SALES = """customer,sku,ts,channel
ann,007,2020-01-02 09:00:00,web
bob,7,2020-01-01 10:00:00,app
ann,7,2020-01-03 11:30:00,web
ann,007,2020-01-05 08:00:00,web
"""


def file(folder: Path, text: str | bytes = SALES, name: str = "sales.csv", **options) -> RawFile:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return RawFile(path=path, **{"columns": EVENTS} | options)


def rows(log: EventLog) -> list[tuple]:
    return [(u, i, str(t)) for u, i, t in log.events.itertuples(index=False)]


# -- what is read ----------------------------------------------------------------------------------


def test_a_csv_becomes_a_log_of_first_events_in_order_of_time(tmp_path: Path):
    log, report = read_log(file(tmp_path))
    assert rows(log) == [
        ("bob", "7", "2020-01-01 10:00:00"),
        ("ann", "007", "2020-01-02 09:00:00"),  # zeros at the start are kept
        ("ann", "7", "2020-01-03 11:30:00"),
    ]
    assert report.values.tolist() == [
        ["sales.csv", "column 'channel' is not used", 4],
        ["sales.csv", "later events of the same user and item", 1],
    ]
    assert list(log.items["listed"]) == [
        pd.Timestamp("2019-12-18 10:00"),  # 14 days before the first sale
        pd.Timestamp("2019-12-19 09:00"),
    ]


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda text: text, {}),
        (lambda text: "\ufeff" + text, {}),
        (lambda text: text.replace("\n", "\r\n"), {}),
        (lambda text: text.replace("\n", "\n\n") + "\n\n", {}),
        (lambda text: text.replace(",", ";"), {"separator": ";"}),
        (lambda text: text.replace(",", "\t"), {"separator": "\t"}),
        (lambda text: text.replace(",", "||"), {"separator": "||"}),
        (lambda text: text.replace(",", " , "), {}),
        (lambda text: text.replace("ann", '"ann"'), {}),
        (lambda text: text.encode("utf-16"), {"encoding": "utf-16"}),
        (lambda text: text.replace("\n", ",\n"), {}),
        (lambda text: text.replace("\n", "\r"), {}),
        (lambda text: "," + text[:-1].replace("\n", "\n0,") + "\n", {}),
        (
            lambda text: text.split("\n", 1)[1],
            {"header": ["customer", "sku", "ts", "channel"]},
        ),
    ],
    ids=[
        *("plain", "byte order mark", "CRLF", "empty lines", "semicolon", "tab", "two bars"),
        *(
            "blanks",
            "quotes",
            "UTF-16",
            "separator at the end",
            "CR",
            "a frame's index",
            "no header",
        ),
    ],
)
def test_one_table_in_many_spellings(tmp_path: Path, change, options: dict):
    right = read_log(file(tmp_path)).log
    log = read_log(file(tmp_path, change(SALES), "other.csv", **options)).log
    pd.testing.assert_frame_equal(log.events, right.events)
    pd.testing.assert_frame_equal(log.items, right.items)


TEXT = st.text(string.ascii_letters + string.digits + " ,;'\"|é中\n", max_size=8)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cells=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]),
)
def test_what_pandas_writes_is_read(tmp_path: Path, cells: list, separator: str, encoding: str):
    """Cells with separators, quotes, line breaks and letters of any kind; blanks around them go."""
    frame = pd.DataFrame(cells, columns=["a", "b"]).assign(last="end")
    path = tmp_path / "written.csv"
    frame.to_csv(path, sep=separator, encoding=encoding, index=False)
    columns = {"first": "a", "second": "b", "end": "last"}
    read, _, _ = RawFile(path=path, columns=columns, separator=separator, encoding=encoding).read()
    assert read[["first", "second"]].values.tolist() == [
        [cell.strip() or None for cell in row] for row in cells
    ]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moments=st.lists(
        st.datetimes(datetime.datetime(2001, 9, 10), datetime.datetime(2033, 1, 1)),
        min_size=1,
        max_size=5,
    ),
    how=st.sampled_from(["s", "ms", "iso", "%d/%m/%Y %H.%M.%S"]),
)
def test_times_in_every_spelling(tmp_path: Path, moments: list, how: str):
    moments = [moment.replace(microsecond=0) for moment in moments]
    since = [(m - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1) for m in moments]
    spelled = {
        "s": since,
        "ms": [1000 * seconds for seconds in since],
        "iso": [m.isoformat() for m in moments],
    }.get(how) or [m.strftime(how) for m in moments]
    text = "customer,sku,ts\n" + "".join(f"u{n},x,{t}\n" for n, t in enumerate(spelled))
    log = read_log(file(tmp_path, text, time=how)).log
    assert [t.to_pydatetime() for t in log.events["time"]] == sorted(moments)


def test_a_zone_moves_the_clock_and_the_order_outlives_the_autumn(tmp_path: Path):
    """On 2020-10-25 clocks in London went from 02:00 back to 01:00, at 01:00 UTC."""
    utc = ["2020-07-01T12:00:00Z", "2020-10-25T00:30:00Z", "2020-10-25T01:10:00+00:00"]
    text = "customer,sku,ts\n" + "".join(f"u{n},x,{t}\n" for n, t in enumerate(utc))
    log = read_log(file(tmp_path, text, zone="Europe/London")).log
    assert log.events["user"].tolist() == ["u0", "u1", "u2"]
    assert log.events["time"].astype(str).tolist() == [
        "2020-07-01 13:00:00",
        "2020-10-25 01:30:00",
        "2020-10-25 01:30:00",  # 01:10 on the clock, after the 01:30 before it
    ]


def test_fields_lists_and_functions(tmp_path: Path):
    goods = """sku|name|tags|made|more
007|A Mug|red; big;red;|2019|["a", "b"]
7|A Bag||2020|
"""
    items = file(
        tmp_path,
        goods,
        "goods.csv",
        separator="|",
        quoted=False,
        columns={
            "item": "sku",
            "description": "name",
            "tags": "tags",
            "year": "made",
            "more": "more",
        },
        lists={"tags": ";"},
        convert={"year": int, "more": ast.literal_eval},
    )
    log, _ = read_log(file(tmp_path), items)
    assert log.items.loc["007", ["description", "tags", "year", "more"]].tolist() == [
        "A Mug", ["red", "big"], 2019, ["a", "b"],
    ]  # fmt: skip
    assert log.items.loc["7", ["tags", "year", "more"]].tolist() == [[], 2020, []]


def test_listed_as_the_file_says_or_as_assumed(tmp_path: Path):
    sales = "customer,sku,ts\na,x,2020-01-10\na,y,2020-01-11\na,z,2020-01-12\n"
    goods = "sku,since\nx,2019-06-01\ny,\nz,2020-02-01\nunsold,2019-12-01\nunknown,\n"
    items = file(tmp_path, goods, "goods.csv", columns={"item": "sku", "listed": "since"})
    log, report = read_log(file(tmp_path, sales), items)
    assert log.items["listed"].astype(str).to_dict() == {
        "x": "2019-06-01",
        "unsold": "2019-12-01",
        "y": "2019-12-28",  # 14 days before its first sale
        "z": "2020-01-12",  # listed after it was sold: then
    }
    assert report.values.tolist() == [
        ["goods.csv", "items listed after their first event, which counts", 1],
        ["goods.csv", "items with neither an event nor a time of listing", 1],
    ]


def test_rows_are_kept_by_the_file_s_own_names(tmp_path: Path):
    sales = """customer,sku,ts,quantity
a,x,2020-01-01,1
,x,2020-01-02,1
b,x,2020-01-03,-1
b,bad,2020-01-04,2
c,x,2020-01-05,3
"""
    goods = "sku,kind\nx,mug\nbad,fee\nnever,mug\n"
    events = file(tmp_path, sales, keep={"customer": bool, "quantity": lambda text: int(text) > 0})
    items = file(tmp_path, goods, "goods.csv", columns={"item": "sku"}, keep={"kind": "mug".__eq__})
    log, report = read_log(events, items)
    assert rows(log) == [
        ("a", "x", "2020-01-01 00:00:00"),
        ("c", "x", "2020-01-05 00:00:00"),
    ]
    assert report.set_index("what")["rows"].to_dict() == {
        "rows left out by keep": 1,  # of goods.csv; of the two in sales.csv below
        "events of items that keep left out": 1,
        "items with neither an event nor a time of listing": 1,
    } | {"rows left out by keep": 1}
    assert report[report["file"] == "sales.csv"]["rows"].tolist() == [2, 1]


def test_a_row_that_is_left_out_may_hold_anything(tmp_path: Path):
    """A total at the end, and an item without a number: neither takes events with it."""
    goods = "sku,kind\n7,mug\n,fee\ntotal,fee\n8,fee\n"
    whole = {"item": int}
    columns = {"item": "sku"}
    items = file(
        tmp_path, goods, "g.csv", columns=columns, convert=whole, keep={"kind": "mug".__eq__}
    )
    sales = "customer,sku,ts\na,7,2020-01-01\nb,8,2020-01-02\n"
    log, report = read_log(file(tmp_path, sales, convert=whole), items)
    assert rows(log) == [("a", 7, "2020-01-01 00:00:00")]
    assert ["sales.csv", "events of items that keep left out", 1] in report.values.tolist()
    lost = "customer,sku,ts\na,7,2020-01-01\nb,,2020-01-02\n"
    message = refusal(lambda: read_log(file(tmp_path, lost, convert=whole), items))
    assert message.startswith("events: column 'item', row 1 (line 3, value None) is missing")


def test_one_file_for_all_says_what_the_first_event_says(tmp_path: Path):
    lines = """customer,sku,ts,colour,town
ann,x,2020-01-03,red,Ayr
bob,x,2020-01-01,blue,Ely
ann,y,2020-01-02,green,Rye
"""
    events = file(tmp_path, lines)
    items = file(tmp_path, lines, columns={"item": "sku", "colour": "colour"})
    users = file(tmp_path, lines, columns={"user": "customer", "town": "town"})
    log, report = read_log(events, items, users)
    assert log.items["colour"].to_dict() == {"x": "blue", "y": "green"}
    assert log.users["town"].to_dict() == {"bob": "Ely", "ann": "Rye"}
    assert rows(log)[0][0] == "bob"


def test_users_without_an_event_are_counted(tmp_path: Path):
    towns = "customer,town\nann,Ayr\nbob,Ely\nzoe,Rye\n"
    users = file(tmp_path, towns, "towns.csv", columns={"user": "customer", "town": "town"})
    log, report = read_log(file(tmp_path), None, users)
    assert log.users["town"].to_dict() == {"bob": "Ely", "ann": "Ayr"}
    assert ["towns.csv", "users without an event", 1] in report.values.tolist()


def test_the_films_files_give_the_films_log(movies: EventLog):
    """Against the loader, which splits lines itself."""

    def listed(title: str) -> str:
        return "2013-02-28" if int(title[-5:-1]) < 2013 else ""

    events = RawFile(
        path=DATA / "ratings.dat",
        separator="::",
        header=["user", "film", "rating", "seconds"],
        columns={"user": "user", "item": "film", "time": "seconds"},
        time="s",
        convert={"user": lambda text: text},
    )
    items = RawFile(
        path=DATA / "movies.dat",
        separator="::",
        header=["film", "title", "genres"],
        columns={"item": "film", "description": "title", "genres": "genres", "listed": "title"},
        lists={"genres": "|"},
        convert={"listed": listed},
        keep={"genres": lambda text: "Adult" not in text},
    )
    log, report = read_log(events, items)
    expected = movies.events.assign(user=movies.events["user"].astype(str).astype(object))
    pd.testing.assert_frame_equal(log.events, expected, check_dtype=False)
    same = ["description", "genres", "listed"]
    there = log.items.loc[movies.items.index, same]
    pd.testing.assert_frame_equal(there, movies.items[same], check_dtype=False)
    assert report.values.tolist() == [
        ["ratings.dat", "column 'rating' is not used", 100_000],
        ["movies.dat", "rows left out by keep", 2],
        ["ratings.dat", "events of items that keep left out", 3],
    ]


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("La Vie d'Adèle, la vie (2013)", ["vie", "adèle", "2013"]),
        ("M (1931)", ["1931"]),
        ("", []),
    ],
)
def test_words(title: str, found: list[str]):
    assert words(title) == found


def test_one_file_of_a_shop_gives_the_shop_s_log(tmp_path: Path):
    """Two months of Online Retail as a spreadsheet would export them: items and users from the rows
    of the events.
    """
    raw = pd.read_parquet(RETAIL).sort_values("InvoiceDate", kind="stable").iloc[:80_000]
    shop = shop_log(raw)
    raw["InvoiceDate"] = raw["InvoiceDate"].dt.strftime("%d/%m/%Y %H:%M")
    path = tmp_path / "Online Retail.csv"
    raw.to_csv(path, sep=";", index=False, encoding="cp1252", errors="replace")
    goods = {"StockCode": lambda text: text[:5].isdigit(), "CustomerID": bool}
    paid = dict.fromkeys(("Quantity", "UnitPrice"), lambda text: float(text) > 0)
    shared = {"path": path, "separator": ";", "encoding": "cp1252", "keep": goods | paid}
    number = {"user": int}
    events, items, users = (
        {"user": "CustomerID", "item": "StockCode", "time": "InvoiceDate"},
        {"item": "StockCode", "description": "Description"},
        {"user": "CustomerID", "country": "Country"},
    )
    log, report = read_log(
        RawFile(**shared, columns=events, convert=number, time="%d/%m/%Y %H:%M"),
        RawFile(**shared, columns=items),
        RawFile(**shared, columns=users, convert=number),
    )
    pd.testing.assert_frame_equal(log.events, shop.events, check_dtype=False)
    pd.testing.assert_frame_equal(log.users, shop.users, check_dtype=False)
    assert log.items["listed"].to_dict() == shop.items["listed"].to_dict()
    found = log.items["description"].str.split().str.join(" ")
    assert found.to_dict() == shop.items["description"].to_dict()
    kept = raw["StockCode"].str[:5].str.isdigit() & raw["CustomerID"].notna()
    kept &= (raw["Quantity"] > 0) & (raw["UnitPrice"] > 0)
    assert report.set_index("what").loc["rows left out by keep", "rows"] == (~kept).sum() > 9_999


# -- bad files -------------------------------------------------------------------------------------

ONE = "customer,sku,ts\nann,7,2020-01-01\n"


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "sales.csv has no rows; export it again."),
        ("customer,sku,ts\n", {}, "sales.csv has no rows; export it again."),
        (ONE.replace("ts", "when"), {}, "sales.csv has no column 'ts', only 'customer', 'sku', 'when'."),
        (
            ONE.replace(",", ";"), {},
            "sales.csv has no column 'customer', only 'customer;sku;ts'; it was split at "
            "','; pass what stands between its columns as separator=….",
        ),
        (
            ONE + "bob,8\n", {},
            "sales.csv: line 3 has 2 columns, ['bob', '8'], and 3 are named; mend the line, the "
            "header or the separator.",
        ),
        (ONE + "\nbob,8,9,2020-01-01\n", {}, "sales.csv: line 4 has 4 columns, "),
        (ONE + 'bob,"8,2020-01-01\n', {}, "sales.csv: the row that begins on line 3 can't be read ("),
        (ONE.replace("sku", "customer"), {}, "sales.csv has the name 'customer' twice in its first line"),
        (ONE, {"header": ["a", "b", "a"]}, "sales.csv has the name 'a' twice in its first line or in header"),
        (
            ONE.encode() + "zoë,8,2020-01-01\n".encode("cp1252"), {},
            "sales.csv: byte 0xeb on line 3 is not valid UTF-8; pass the encoding that the file was "
            "saved in, such as 'cp1252', 'utf-16' or 'gb18030'.",
        ),
        (ONE.encode("utf-16-le"), {}, "sales.csv holds zero bytes; pass the encoding that"),
        (ONE, {"encoding": "utf-88"}, "there is no encoding 'utf-88'; try 'utf-8'."),
        (b"PK\x03\x04", {}, "sales.csv is a spreadsheet or a zip archive; unpack it"),
        (b"\x1f\x8b\x08", {}, "sales.csv is packed with gzip; unpack it"),
        (
            ONE + "bob,8,\n", {},
            "events: column 'time', row 1 (line 3, value NaT) is missing; every row needs a value",
        ),
        (
            ONE + "bob,8,13/01/2020\n", {},
            "sales.csv: column 'ts', 1 of 2 rows cannot be read as an ISO date, the first on line 3 "
            "('13/01/2020'); if all rows are like it, pass the format as time='%d/%m/%Y', or the "
            "unit of a number as time='s'; else mend the file.",
        ),
        (
            ONE.replace("2020-01-01", "2020-01-01T10:00:00+01:00"), {},
            "sales.csv: column 'ts', row 0 (line 2, value '2020-01-01T10:00:00+01:00') has an "
            "offset from UTC; name the log's time zone as zone='Europe/London' (such rows: 1).",
        ),
        (ONE, {"zone": "London"}, "there is no time zone 'London'; give one such as"),
        (
            ONE.replace("2020-01-01", "1577836800"), {"time": "ms"},
            "sales.csv: column 'ts', row 0 (line 2, value '1577836800') and most others would not be",
        ),
        (ONE.replace("2020-01-01", "1577836800000"), {"time": "s"}, "sales.csv: column 'ts', row 0 (line 2"),
        (
            ONE.replace("2020-01-01", "1577836800"), {},
            "sales.csv: column 'ts', 1 of 1 rows cannot be read as an ISO date, the first on line 2 "
            "('1577836800'); if all rows are like it, pass the format as time='%d/%m/%Y %H:%M', or "
            "the unit of a number as time='s'; else mend the file.",
        ),
        (
            ONE + ",8,2020-01-02\n", {},
            "events: column 'user', row 1 (line 3, value None) is missing; every row needs a value",
        ),
        (
            ONE, {"keep": {"sku": lambda text: int("x")}},
            "sales.csv: column 'sku', row 0 (line 2, value '7') makes its function in keep fail "
            "(ValueError: invalid literal for int() with base 10: 'x'); mend the function",
        ),
        (ONE, {"keep": {"quantity": bool}}, "sales.csv has no column 'quantity'"),
        (ONE, {"keep": {"sku": "8".__eq__}}, "sales.csv: keep leaves out all events; look at its functions."),
        (ONE, {"columns": {"user": "customer", "item": "sku"}}, "sales.csv: events has no column 'time', which it needs."),
        (ONE, {"columns": EVENTS | {"kind": "sku"}}, "sales.csv: events has columns that are not used, ['kind']; drop them."),
    ],
)  # fmt: skip
def test_a_bad_file_gets_one_sentence(tmp_path: Path, text, options: dict, sentence: str):
    message = refusal(lambda: read_log(file(tmp_path, text, **options)))
    assert message.startswith(sentence), message


@pytest.mark.parametrize(
    "value",
    ["13/01/2020", "13/01/2020 09:05", "01/13/2020", "13.01.2020 9:05:30"],
)
def test_the_format_that_a_refusal_proposes_reads_the_value(tmp_path: Path, value: str):
    text = ONE.replace("2020-01-01", value)
    proposed = re.search(r"time='(%.*?)'", refusal(lambda: read_log(file(tmp_path, text))))[1]
    (time,) = read_log(file(tmp_path, text, time=proposed)).log.events["time"]
    assert time.normalize() == pd.Timestamp("2020-01-13")
    assert (time.hour, time.minute) == ((9, 5) if ":" in value else (0, 0))


def test_a_file_that_is_not_there(tmp_path: Path):
    for path in (tmp_path / "nowhere.csv", tmp_path):
        message = refusal(read_log, RawFile(path=path, columns=EVENTS))
        assert message == f"{path} is no file; give the path of one."


@pytest.mark.parametrize(
    ("goods", "options", "sentence"),
    [
        ("sku,a\n7,x\n", {}, "events: column 'item', row 1 (line 2, value '007') is not in items, where it differs by zeros at its start; write ids alike"),
        ("sku,a\n007,x\n", {}, "events: column 'item', row 0 (line 3, value '7') is not in items, where it"),
        ("sku,a\n7,x\n007,x\n7,y\n", {}, "items: column 'item', row 2 (line 4, value '7') is there twice; keep one row"),
        ("sku,a\n7,3.5\n007,x\n", {"convert": {"a": lambda text: 3.5}}, "items: column 'a', row 0 (line 2, value 3.5) is neither text, a whole number"),
        ("sku,a\n7,\"['x', 'y']\"\n007,\n", {}, "items: column 'a', row 0 (line 2, value \"['x', 'y']\") is a list saved as text;"),
        ("sku,a\n7,{\n007,1\n", {"convert": {"a": json.loads}}, "goods.csv: column 'a', row 0 (line 2, value '{') makes its function in convert fail (JSONDecodeError"),
    ],
)  # fmt: skip
def test_a_bad_table_of_items_gets_one_sentence(tmp_path: Path, goods, options, sentence: str):
    columns = {"item": "sku", "a": "a"}
    items = file(tmp_path, goods, "goods.csv", **{"columns": columns} | options)
    message = refusal(read_log, file(tmp_path), items)
    assert message.startswith(sentence), message


@pytest.mark.parametrize("wrong", [None, "sales.csv", pd.DataFrame(), {"path": "sales.csv"}])
def test_what_is_no_raw_file_is_refused(tmp_path: Path, wrong: object):
    assert refusal(read_log, wrong) == f"events are of type {type(wrong).__name__}; give a RawFile."
    if wrong is not None:
        sentence = f"users are of type {type(wrong).__name__}; give a RawFile."
        assert refusal(read_log, file(tmp_path), None, wrong) == sentence


@pytest.mark.parametrize(
    ("columns", "frame"),
    [({"item": "sku", "user": "a"}, "items"), ({"item": "sku", "time": "a"}, "items")],
)
def test_a_table_has_no_columns_of_another(tmp_path: Path, columns: dict, frame: str):
    items = file(tmp_path, "sku,a\n7,2020-01-01\n", "goods.csv", columns=columns)
    message = refusal(read_log, file(tmp_path), items)
    assert message.startswith(f"goods.csv: {frame}: column '{[*columns][1]}' has a name that means")


def test_lines_are_counted_over_line_breaks_in_cells(tmp_path: Path):
    text = 'customer,sku,ts\n"a\nb",7,2020-01-01\n\nbob,8,never\n'
    message = refusal(lambda: read_log(file(tmp_path, text)))
    assert "1 of 2 rows cannot be read as an ISO date, the first on line 5 ('never')" in message


@pytest.mark.parametrize("number", ["nan", "inf", "-1e300", "1e18", "12:30", "1,577,836,800"])
def test_a_number_that_is_no_time(tmp_path: Path, number: str):
    text = f'customer,sku,ts\nann,7,1577836800\nbob,7,1577836801\ncid,7,"{number}"\n'
    message = refusal(lambda: read_log(file(tmp_path, text, time="s")))
    assert f"1 of 3 rows cannot be read as time='s', the first on line 4 ('{number}')" in message


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"separator": ""}, "separator is ''; give what stands between columns."),
        ({"time": "seconds"}, "time is 'seconds'; give 'iso', a format such as"),
        ({"lists": {"tags": "|"}}, "lists or convert names 'tags', and columns only user, item, time;"),
        ({"columns": ["user"]}, "columns is ['user']; give a dict by name."),
        ({"keep": bool}, "keep is <class 'bool'>; give a dict by name."),
        ({"convert": {"tags": str}}, "lists or convert names 'tags', and columns only user, item"),
        ({"lists": {"item": "|"}, "convert": {"item": str}}, "lists and convert both name 'item'; split"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused_at_once(options: dict, sentence: str):
    assert refusal(lambda: RawFile(path="x.csv", **{"columns": EVENTS} | options)).startswith(
        sentence
    )
