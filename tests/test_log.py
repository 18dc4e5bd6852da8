"""The log: facts of the real one, and what `from_frame` takes and refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import Frames, refusal, tiny_frames

from course_lib.log import EventLog
from course_lib.online_retail import DATA, load_online_retail

DAY = pd.Timedelta(days=1)


def test_retail_facts(retail: EventLog):
    """The numbers that data/README.md gives."""
    assert (len(retail), len(retail.users), len(retail.items), len(retail.days)) == (
        266_221,
        4_334,
        3_659,
        305,
    )
    before, after = retail.rows(end="2011-06-01"), retail.rows("2011-06-01")
    assert (before.stop - before.start, after.stop - after.start) == (113_026, 153_195)
    assert retail.events["time"].iloc[[0, -1]].tolist() == [
        pd.Timestamp("2010-12-01 08:26"),
        pd.Timestamp("2011-12-09 12:50"),
    ]


def test_retail_events_are_first_purchases(retail: EventLog):
    """Against a plain loop over the file's first rows, without pandas."""
    names = ["CustomerID", "StockCode", "InvoiceDate", "Quantity", "UnitPrice"]
    rows = pq.read_table(DATA, columns=names).slice(0, 120_000)
    first = {}
    for user, item, time, quantity, price in zip(
        *(column.to_pylist() for column in rows.columns), strict=True
    ):
        if user is not None and quantity > 0 and price > 0 and item[:5].isdigit():
            first.setdefault((user, item), time)  # the file is in time order
    events = retail.events[: len(first)]
    pairs = zip(events["user"], events["item"], strict=True)
    assert dict(zip(pairs, events["time"], strict=True)) == first
    assert 40_000 < len(first) < 80_000


@pytest.mark.parametrize(
    "code, line, variant, label, colour, material, set_size, price_band, keywords",
    [
        (
            "85123A",
            "851",
            "A",
            "T-LIGHT-HOLDER",
            "WHITE",
            None,
            None,
            "(2.0, 3.0]",
            ["HANGING", "HEART"],
        ),
        (
            "84406B",
            "844",
            "B",
            "HANGER",
            "CREAM",
            None,
            None,
            "(2.0, 3.0]",
            ["CUPID", "HEART", "COAT"],
        ),
        ("22752", "227", None, "BOX", None, None, "7", "(5.0, 8.0]", ["BABUSHKA", "NESTING"]),
        ("22720", "227", None, "CAKE-TIN", None, "TIN", "3", "(3.0, 5.0]", ["PANTRY", "DESIGN"]),
        ("20725", "207", None, "LUNCH-BAG", "RED", None, None, "(1.5, 2.0]", ["RETROSPOT"]),
        ("21087", "210", None, "PAPER-CUP", None, "PAPER", "6", "(0.5, 1.0]", ["POSIE"]),
        ("15056BL", "150", "BL", "PARASOL", "BLACK", None, None, "(5.0, 8.0]", ["EDWARDIAN"]),
        ("23574", "235", None, None, None, None, None, "(5.0, 8.0]", ["PACKING", "CHARGE"]),
    ],
)
def test_retail_fields_by_eye(
    retail: EventLog, code, line, variant, label, colour, material, set_size, price_band, keywords
):
    item = retail.items.loc[code]
    expected = (line, variant, label, colour, material, set_size, price_band)
    names = ["line", "variant", "label", "colour", "material", "set_size", "price_band"]
    assert tuple(None if pd.isna(value) else value for value in item[names]) == expected
    assert item["keywords"] == keywords


def test_retail_fields_know_only_the_first_sale(retail: EventLog, tmp_path: Path):
    """A file that ends earlier gives the same events, items and users, as far as it goes."""
    table = pq.read_table(DATA)
    pq.write_table(table.slice(0, 60_000), tmp_path / "shorter.parquet")
    shorter = load_online_retail(tmp_path / "shorter.parquet")
    assert 1_500 < len(shorter.items) < 3_000
    pd.testing.assert_frame_equal(shorter.events, retail.events[: len(shorter)])
    pd.testing.assert_frame_equal(shorter.items, retail.items[: len(shorter.items)])
    pd.testing.assert_frame_equal(shorter.users, retail.users[: len(shorter.users)])


def test_retail_listing(retail: EventLog):
    """Every item is listed 14 days before its first sale, and the tables are in order of
    appearance.
    """
    first = retail.events.drop_duplicates("item").set_index("item")["time"]
    assert (retail.items["listed"] == first.reindex(retail.items.index) - 14 * DAY).all()
    assert retail.users.index.tolist() == list(dict.fromkeys(retail.events["user"]))
    for time in ("2010-11-01", "2010-11-17 08:26", "2011-03-05", "2012-01-01"):
        count = retail.listed(time)
        assert count == sum(first - 14 * DAY <= pd.Timestamp(time))
        assert set(retail.items.index[:count]) == set(
            first.index[first - 14 * DAY <= pd.Timestamp(time)]
        )


def test_codes_days_and_rows_by_hand(tiny: EventLog):
    assert tiny.items.index.tolist() == ["mug", "bag", "lamp", "vase"]
    assert tiny.users.index.tolist() == ["ann", "bob", "cid"]
    assert tiny.item_rows.tolist() == [0, 1, 1, 0, 0, 2, 1, 3]
    assert tiny.user_rows.tolist() == [0, 1, 0, 2, 1, 0, 2, 1]
    assert [f"{day:%d %H}" for day in tiny.days] == ["01 00", "02 00", "04 00", "05 00", "06 00"]
    assert tiny.rows("2020-01-02", "2020-01-05") == slice(2, 5)
    assert tiny.rows("2020-01-05", "2020-01-06") == slice(
        5, 7
    )  # 23:59 belongs to the day, 00:00 to the next
    assert tiny.rows("2020-01-03", "2020-01-04") == slice(4, 4)
    assert (tiny.rows(), tiny.rows(end="2020-01-02"), tiny.rows("2020-01-06")) == (
        slice(0, 8),
        slice(0, 2),
        slice(7, 8),
    )
    assert [
        tiny.listed(time) for time in ("2019-12-18 08:59", "2019-12-18 09:00", "2020-01-01")
    ] == [0, 1, 4]


def test_bought_by_hand(tiny: EventLog):
    assert tiny.bought(0, 8).tolist() == [0, 1, 2]
    assert tiny.bought(0, 5).tolist() == [0, 1]  # row 5 is the lamp itself
    assert tiny.bought(1, 1).tolist() == []
    assert tiny.bought(-1, 8).tolist() == []


def test_bought_against_brute_force(retail: EventLog):
    for user in (0, 7, 1_000, 4_333):
        for before in (1, 50_000, len(retail)):
            head = retail.events[:before]
            bought = head.loc[head["user"] == retail.users.index[user], "item"]
            assert retail.items.index[retail.bought(user, before)].tolist() == bought.tolist()


def test_from_frame_leaves_the_frames_alone(frames: Frames):
    EventLog.from_frame(**frames)
    for name, untouched in tiny_frames().items():
        pd.testing.assert_frame_equal(frames[name], untouched)


def test_from_frame_fills_in_listing_and_description(frames: Frames):
    items = pd.concat(
        [
            frames["items"].drop(columns="description"),
            pd.DataFrame({"item": ["unsold"], "words": [[]]}),
        ]
    )
    log = EventLog.from_frame(frames["events"], items, frames["users"])
    assert [f"{listed:%m-%d %H}" for listed in log.items["listed"]] == [
        "12-18 09",
        "12-18 10",
        "12-22 08",
        "12-23 00",
    ]
    assert log.items["description"].tolist() == [
        "mug",
        "bag",
        "lamp",
        "vase",
    ]  # and the unsold item is left out


def test_from_frame_keeps_given_listing(frames: Frames):
    listed = pd.to_datetime(["2019-12-03", "2019-12-02", "2019-12-04", "2019-12-01", "2019-12-05"])
    unsold = pd.DataFrame({"item": ["unsold"], "description": ["NEVER SOLD"], "words": [["new"]]})
    items = pd.concat([frames["items"], unsold]).assign(listed=listed)
    log = EventLog.from_frame(frames["events"], items, frames["users"])
    assert log.items.index.tolist() == ["mug", "lamp", "vase", "bag", "unsold"]
    assert [log.listed(f"2019-12-0{day}") for day in (1, 2, 5)] == [1, 2, 5]


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame.astype(
            {
                name: "category"
                for name in frame.columns
                if name not in ("time", "words", "description")
            }
        ),
        lambda frame: frame.astype(
            {name: "string" for name in frame.columns if name not in ("time", "words")}
        ),
        lambda frame: frame.astype({name: object for name in frame.columns if name != "time"}),
        lambda frame: frame.set_index(np.arange(len(frame)) * -7),
    ],
    ids=["categorical", "string", "object", "odd index"],
)
def test_from_frame_takes_every_kind_of_text(tiny: EventLog, frames: Frames, convert: Callable):
    log = EventLog.from_frame(**{name: convert(frame) for name, frame in frames.items()})
    assert (log.item_rows.tolist(), log.user_rows.tolist()) == (
        tiny.item_rows.tolist(),
        tiny.user_rows.tolist(),
    )
    assert log.items["description"].tolist() == tiny.items["description"].tolist()
    assert [None if pd.isna(c) else c for c in log.items["colour"]] == ["red", "blue", "red", None]


def test_from_frame_takes_fields_of_many_types(frames: Frames):
    items = frames["items"].assign(
        number=[1, 2, 3, 3],
        flag=pd.array([True, None, False, True], dtype="boolean"),
        sets=[{"x", 1}, set(), None, {"y"}],
        arrays=[np.array(["x"]), np.array([]), np.array(["y", "x"]), None],
        band=pd.cut([1.0, 2.0, 3.0, np.nan], [0, 1.5, 9]),
        gaps=pd.Series(["x", np.nan, None, pd.NA], dtype=object),
    )
    assert len(EventLog.from_frame(frames["events"].assign(price=0.5), items, frames["users"])) == 8


def spoil(name: str, **columns) -> Callable[[Frames], Frames]:
    """Replace columns: by these values, or by what a function makes of the frame."""
    return lambda frames: frames | {name: frames[name].assign(**columns)}


def put(name: str, column: str, row: int, value: object) -> Callable[[Frames], Frames]:
    def change(frames: Frames) -> Frames:
        values = frames[name][column].tolist()
        values[row] = value
        return frames | {name: frames[name].assign(**{column: values})}

    return change


BAD_FRAMES = {
    "missing column": (
        lambda f: f | {"events": f["events"].drop(columns="time")},
        "events has no column 'time'; it needs user, item, time.",
    ),
    "no events": (lambda f: f | {"events": f["events"][:0]}, "events has no rows"),
    "a column twice": (
        lambda f: f | {"items": pd.concat([f["items"], f["items"]["colour"]], axis=1)},
        "items has column 'colour' twice",
    ),
    "user missing": (put("events", "user", 2, None), "events: column 'user', row 2 is missing"),
    "item missing": (put("items", "item", 1, None), "items: column 'item', row 1 is missing"),
    "time missing": (put("events", "time", 3, pd.NaT), "events: column 'time', row 3 is missing"),
    "time as text": (
        spoil("events", time=lambda e: e["time"].astype(str)),
        "events: column 'time' is ",
    ),
    "time with a zone": (
        spoil("events", time=lambda e: e["time"].dt.tz_localize("UTC")),
        "events: column 'time' has a time zone",
    ),
    "unsorted time": (
        put("events", "time", 4, pd.Timestamp("2020-01-01")),
        "events: column 'time', row 4 is earlier than the row before",
    ),
    "duplicate event": (
        lambda f: (
            f
            | {
                "events": f["events"]
                .iloc[[0, 1, 2, 0]]
                .assign(time=f["events"]["time"][:4].tolist())
            }
        ),
        "events: column 'item', row 3 was already bought by this user",
    ),
    "duplicate item": (
        put("items", "item", 2, "vase"),
        "items: column 'item', row 2 is there twice",
    ),
    "duplicate user": (
        put("users", "user", 1, "cid"),
        "users: column 'user', row 1 is there twice",
    ),
    "item not in items": (
        put("events", "item", 5, "sofa"),
        "events: column 'item', row 5 is not in items",
    ),
    "user not in users": (
        put("events", "user", 6, "eve"),
        "events: column 'user', row 6 is not in users",
    ),
    "NaN in a feature": (
        spoil("items", weight=[1.0, 2.0, np.nan, 4.0]),
        "items: column 'weight', row 2 is NaN",
    ),
    "a float feature": (
        spoil("users", age=[31.5, 40.0, 22.0]),
        "users: column 'age' is float64; a field holds categories",
    ),
    "a date feature": (
        spoil("users", born=pd.Timestamp("1999-09-09")),
        "users: column 'born' is datetime64",
    ),
    "a float that is called user": (
        spoil("items", user=[1.0, 2.0, 3.0, 4.0]),
        "items: column 'user' is float64",
    ),
    "a dict feature": (
        spoil("items", parts=[{}, {}, {}, {}]),
        "items: column 'parts', row 0 holds neither a category",
    ),
    "an object feature": (
        spoil("items", thing=["x", None, object(), "y"]),
        "items: column 'thing', row 2 holds neither a category",
    ),
    "a list of lists": (
        spoil("items", words=[["x"], [["y"]], [], None]),
        "items: column 'words', row 1 holds neither a category",
    ),
    "NaN in a list": (
        spoil("items", words=[["x"], [], ["y", np.nan], None]),
        "items: column 'words', row 2 holds neither a category",
    ),
    "a list or not": (
        spoil("items", words=[["x"], None, "y", []]),
        "items: column 'words', row 2 is no list, and other rows are",
    ),
    "a field called history": (
        spoil("users", history=["x", "y", "z"]),
        "users: column 'history' has a name that the library uses itself",
    ),
    "a field called popularity": (
        spoil("items", popularity=list("wxyz")),
        "items: column 'popularity' has a name that the library uses itself",
    ),
    "listed as text": (spoil("items", listed="2019-01-01"), "items: column 'listed' is "),
    "listed missing": (
        spoil("items", listed=[pd.Timestamp("2019-01-01")] * 3 + [pd.NaT]),
        "items: column 'listed', row 3 is missing",
    ),
    "listed too late": (
        spoil("items", listed=[pd.Timestamp("2020-01-04")] * 4),
        "items: column 'listed', row 2 is after the item's first sale",
    ),
}


@pytest.mark.parametrize("change, sentence", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_gets_one_sentence(
    frames: Frames, change: Callable[[Frames], Frames], sentence: str
):
    assert refusal(EventLog.from_frame, **change(frames)).startswith(sentence)


def test_the_sentence_counts_the_bad_rows(frames: Frames):
    frames = put("items", "item", 3, "cup")(frames)  # three mugs were sold
    sentence = (
        "events: column 'item', row 0 is not in items; add a row for it there (such rows: 3)."
    )
    assert refusal(EventLog.from_frame, **frames) == sentence


# -- bad files -------------------------------------------------------------------------------------
# -------------------


@pytest.fixture(scope="module")
def some_rows() -> pa.Table:
    return pq.read_table(DATA).slice(0, 3_000)


def test_a_missing_file(tmp_path: Path):
    assert refusal(load_online_retail, tmp_path / "nowhere.parquet").startswith(
        f"{tmp_path / 'nowhere.parquet'} is missing"
    )


@pytest.mark.parametrize(
    "keep", [0, 3, 1_000, -1], ids=["empty", "3 bytes", "1000 bytes", "all but one byte"]
)
def test_a_truncated_file(some_rows: pa.Table, tmp_path: Path, keep: int):
    path = tmp_path / "cut.parquet"
    pq.write_table(some_rows, path)
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(load_online_retail, path).startswith(f"{path} is damaged or not Parquet")


def test_a_flipped_byte(some_rows: pa.Table, tmp_path: Path):
    """Damage in the middle of the file, its end intact."""
    path = tmp_path / "flipped.parquet"
    pq.write_table(some_rows, path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[2_000:3_000] = bytes(1_000)
    path.write_bytes(data)
    assert refusal(load_online_retail, path).startswith(f"{path} is damaged or not Parquet")


def test_a_missing_column(some_rows: pa.Table, tmp_path: Path):
    path = tmp_path / "narrow.parquet"
    pq.write_table(some_rows.drop_columns("UnitPrice"), path)
    assert refusal(load_online_retail, path).startswith(f"{path} has no column 'UnitPrice'")


@pytest.mark.parametrize(
    "column, type_, sentence",
    [
        ("Quantity", pa.string(), "not number"),
        ("InvoiceDate", pa.string(), "not datetime"),
        ("CustomerID", pa.string(), "not number"),
        ("Description", pa.binary(), "not text"),
    ],
)
def test_a_wrong_column_type(
    some_rows: pa.Table, tmp_path: Path, column: str, type_: pa.DataType, sentence: str
):
    path = tmp_path / "wrong.parquet"
    at = some_rows.schema.get_field_index(column)
    pq.write_table(some_rows.set_column(at, column, some_rows[column].cast(type_)), path)
    message = refusal(load_online_retail, path)
    assert message.startswith(f"{path}: column '{column}' is ") and sentence in message


def test_an_unsorted_file_is_sorted(some_rows: pa.Table, tmp_path: Path):
    pq.write_table(some_rows, tmp_path / "sorted.parquet")
    order = np.argsort(np.array(some_rows["InvoiceDate"]), kind="stable")
    days = np.array(some_rows["InvoiceDate"]).astype("datetime64[m]")[order]
    mixed = np.concatenate([order[days >= days[1_500]], order[days < days[1_500]]])
    pq.write_table(some_rows.take(mixed), tmp_path / "mixed.parquet")
    a, b = (
        load_online_retail(tmp_path / "sorted.parquet"),
        load_online_retail(tmp_path / "mixed.parquet"),
    )
    pd.testing.assert_frame_equal(a.events, b.events)
    pd.testing.assert_frame_equal(a.items, b.items)


def test_a_file_without_one_usable_row(some_rows: pa.Table, tmp_path: Path):
    path = tmp_path / "returns.parquet"
    at = some_rows.schema.get_field_index("Quantity")
    pq.write_table(some_rows.set_column(at, "Quantity", pa.array([-1] * len(some_rows))), path)
    assert refusal(load_online_retail, path).startswith("events has no rows")
