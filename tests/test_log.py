"""The log: facts of the real one, and what `from_frame` takes and refuses."""

import datetime
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import Frames, refusal, tiny_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.log import EventLog
from course_lib.online_retail import DATA, load_online_retail, shop_log
from course_lib.tfrecord import event_frame

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
    "item, line, variant, label, colour, material, set_size, price_band, keywords",
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
    retail: EventLog, item, line, variant, label, colour, material, set_size, price_band, keywords
):
    fields = retail.items.loc[item]
    expected = (line, variant, label, colour, material, set_size, price_band)
    names = ["line", "variant", "label", "colour", "material", "set_size", "price_band"]
    assert tuple(None if pd.isna(value) else value for value in fields[names]) == expected
    assert fields["keywords"] == keywords


def test_retail_fields_know_only_the_first_sale(retail: EventLog):
    """A file that ends earlier gives the same events, items and users, as far as it goes."""
    shorter = shop_log(pq.read_table(DATA).slice(0, 60_000).to_pandas())
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


def test_rows_and_days_by_hand(tiny: EventLog):
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
        "events has no column 'time', which it needs.",
    ),
    "no events": (lambda f: f | {"events": f["events"][:0]}, "events has no rows"),
    "a column twice": (
        lambda f: f | {"items": pd.concat([f["items"], f["items"]["colour"]], axis=1)},
        "items has column 'colour' twice",
    ),
    "user missing": (
        put("events", "user", 2, None),
        "events: column 'user', row 2 (label 'c', value ",
    ),
    "time missing": (
        put("events", "time", 3, pd.NaT),
        "events: column 'time', row 3 (label 'd', value NaT) is missing",
    ),
    "unsorted time": (
        put("events", "time", 4, pd.Timestamp("2020-01-01")),
        "events: column 'time', row 4 (label 'e', value Timestamp('2020-01-01 00:00:00')) is "
        "earlier than the row before; sort by time (such rows: 1).",
    ),
    "duplicate event": (
        lambda f: f | {"events": f["events"].assign(user=["bob", *f["events"]["user"][1:]])},
        "events: column 'item', row 4 (label 'e', value 'mug') was already bought by this user",
    ),
    "duplicate item": (
        put("items", "item", 2, "vase"),
        "items: column 'item', row 2 (label 2, value 'vase') is there twice",
    ),
    "duplicate user": (
        put("users", "user", 1, "cid"),
        "users: column 'user', row 1 (label 1, value 'cid') is there twice",
    ),
    "item not in items": (
        put("items", "item", 3, "cup"),  # three mugs were sold
        "events: column 'item', row 0 (label 'a', value 'mug') is not in items; add a row for it "
        "there (such rows: 3).",
    ),
    "user not in users": (
        put("events", "user", 6, "Ann"),
        "events: column 'user', row 6 (label 'g', value 'Ann') is not in users, where it differs "
        "by capital letters; write ids alike (such rows: 1).",
    ),
    "listed missing": (
        spoil("items", listed=[pd.Timestamp("2019-01-01")] * 3 + [pd.NaT]),
        "items: column 'listed', row 3 (label 3, value NaT) is missing",
    ),
    "listed too late": (
        spoil("items", listed=[pd.Timestamp("2020-01-04")] * 4),
        "items: column 'listed', row 2 (label 2, value Timestamp('2020-01-04 00:00:00')) is after "
        "the item's first sale; an item is listed before it is sold (such rows: 2).",
    ),
}


@pytest.mark.parametrize("change, sentence", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_gets_one_sentence(
    frames: Frames, change: Callable[[Frames], Frames], sentence: str
):
    frames["events"].index = list("abcdefgh")  # a row is named by its place and its label
    assert refusal(EventLog.from_frame, **change(frames)).startswith(sentence)


# -- rows of users and items -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "known, same, other",
    [
        (416, [416, np.int64(416), np.uint16(416), np.array([416])[0]], ["416", b"416", 416.0]),
        (
            "416",
            ["416", np.str_("416"), np.array(["416"])[0]],
            [416, np.int64(416), b"416"],
        ),
    ],
)
def test_the_row_of_an_id_whatever_its_type(frames: Frames, known, same, other):
    """Equal in Python or NumPy is the same id; one of another type is refused, not unknown."""
    for name, column in (("users", "user"), ("items", "item")):
        first = frames[name][column][0]
        ids = {id: type(known)(place) for place, id in enumerate(frames[name][column])}
        ids[first] = known
        for table in (name, "events"):
            frames[table][column] = frames[table][column].map(ids)
    log = EventLog.from_frame(**frames)
    for kind, look_up, table in (
        ("user", log.user_row, log.users),
        ("item", log.item_row, log.items),
    ):
        assert [look_up(id) for id in table.index] == list(range(len(table)))
        row = table.index.get_loc(known)
        assert [look_up(id) for id in same] == [row] * len(same)
        assert look_up(type(known)(999)) == -1
        for wrong in (*other, True, np.True_, None, np.nan, 3.0, pd.NA, pd.NaT, [known], (known,)):
            message = refusal(look_up, wrong)
            assert message.startswith(f"{kind} ") and f"of type {type(wrong).__name__}" in message
            assert f"type {type(known).__name__};" in message


def test_what_a_caller_writes_does_not_change_the_log(frames: Frames):
    log = EventLog.from_frame(**frames)
    for rows in (log.item_rows, log.user_rows):
        with pytest.raises(ValueError, match="read-only"):
            rows[0] = 3
    log.bought(0, 8)[:] = 3
    assert log.bought(0, 8).tolist() == [0, 1, 2]


@pytest.mark.parametrize("ask", ["rows", "listed"])
def test_a_moment_is_local_time(tiny: EventLog, ask: str):
    ask = getattr(tiny, ask)
    midnight = "2020-01-02", datetime.date(2020, 1, 2), np.datetime64("2020-01-02", "ns")
    assert all(ask(time) == ask(pd.Timestamp("2020-01-02")) for time in midnight)
    for wrong in (
        pd.Timestamp("2020-01-02", tz="UTC"),
        "2020-01-02T00:00Z",
        "noon?",
        5,
        1.5,
        pd.NaT,
        [],
        {},
    ):
        assert "no moment of the log's local time" in refusal(ask, wrong)


# -- append ----------------------------------------------------------------------------------------


@st.composite
def logs_and_shards(draw) -> tuple[EventLog, list[slice]]:
    """A log of a few users and items in any order, and its rows in parts."""
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=15, unique=True
        )
    )
    minutes = sorted(draw(st.lists(st.integers(0, 50), min_size=len(pairs), max_size=len(pairs))))
    events = pd.DataFrame(pairs, columns=["user", "item"])
    events["time"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(minutes, "min")
    sold = events["item"].unique()
    tags = draw(st.lists(st.lists(st.sampled_from("xyz")), min_size=len(sold), max_size=len(sold)))
    band = draw(st.lists(st.none() | st.integers(0, 3), min_size=len(sold), max_size=len(sold)))
    items = pd.DataFrame({"item": sold, "tags": tags, "band": pd.array(band, dtype="Int64")})
    users = pd.DataFrame({"user": range(5), "club": [True, None, False, True, None]})
    cuts = sorted(draw(st.sets(st.integers(1, len(events)), max_size=5)) | {len(events)})
    return EventLog.from_frame(events, items, users), [slice(*cut) for cut in pairwise([0, *cuts])]


def first(log: EventLog, events: int) -> EventLog:
    """A log of the first events alone."""
    head = log.events[:events]
    items, users = log.items.reset_index(), log.users.reset_index()
    return EventLog.from_frame(head, items[items["item"].isin(head["item"])], users)


@settings(max_examples=60, deadline=None)
@given(logs_and_shards())
def test_a_log_is_what_its_shards_make_in_any_parts(case: tuple[EventLog, list[slice]]):
    """Each shard twice, and the first one again at the end; what was there stays where it was."""
    whole, shards = case
    log = first(whole, shards[0].stop)
    for rows in shards[1:]:
        before, shard = log, event_frame(whole, rows)
        log = log.append(shard)
        log = log.append(shard[shard["time"] == shard["time"].max()])
        for table in ("events", "items", "users"):
            was, now = getattr(before, table), getattr(log, table)
            pd.testing.assert_frame_equal(now[: len(was)], was)
    for table in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(log, table), getattr(whole, table))
    again = event_frame(whole, shards[0]).assign(time=whole.events["time"].iloc[-1])
    assert len(log.append(again)) == len(whole)


def shard(log: EventLog, **columns) -> pd.DataFrame:
    """Two events to append to the tiny log, some columns made anew: a known one, and a new one."""
    events = event_frame(log, slice(6, 8)).assign(time=pd.Timestamp("2020-01-07 10:00"))
    return events.assign(item=["bag", "cup"]).assign(**columns)


BAD_SHARDS = {
    "text for lists": (
        {"item/words": ["big", "soft"]},
        "'item/words', row 0 (label 0, value 'big') is text, where a list of "
        "text is the rule; make all of one kind (such rows: 2).",
    ),
    "a list for text": (
        {"item/colour": [None, ["red"]]},
        "'item/colour', row 1 (label 1, value ['red']) is a list of text, where",
    ),
    "numbers for text": (
        {"user/city": [5, 6]},
        "'user/city', row 0 (label 0, value 5) is whole numbers, where text is the",
    ),
    "a list of numbers": (
        {"item/words": [[], [1]]},
        "'item/words', row 1 (label 1, value [1]) is a list of whole numbers, where",
    ),
    "a float": (
        {"item/colour": [0.5, 0.5]},
        "'item/colour', row 0 (label 0, value 0.5) is neither",
    ),
    "a description of numbers": (
        {"item/description": [1, 2]},
        "'item/description', row 0 (label 0, value 1) is whole numbers, where text",
    ),
    "users as numbers": (
        {"user": [1, 2]},
        "'user' (int64) has whole numbers and the log has text; make ids one type",
    ),
    "an item of bytes": (
        {"item": [b"bag", b"cup"]},
        "'item', row 0 (label 0, value b'bag') is no id",
    ),
    "no user": ({"user": ["ann", None]}, "'user', row 1 (label 1, value "),
    "no listing": (
        {"item/listed": pd.NaT},
        "'item/listed', row 0 (label 0, value NaT) is missing",
    ),
    "too early": (
        {"time": pd.Timestamp("2019-12-31")},
        "'time', row 0 (label 0, value Timestamp('2019-12-31 00:00:00')) is earlier",
    ),
    "in another zone": (
        {"time": pd.Timestamp("2020-01-07", tz="UTC")},
        "'time', row 0 (label 0, value Timestamp('2020-01-07 00:00:00+0000', t…) has",
    ),
}


@pytest.mark.parametrize("columns, sentence", BAD_SHARDS.values(), ids=BAD_SHARDS)
def test_a_bad_shard_gets_one_sentence_and_changes_nothing(
    frames: Frames, columns: dict, sentence: str
):
    log, untouched = (EventLog.from_frame(**frames) for _ in range(2))
    assert refusal(log.append, shard(log, **columns)).startswith(f"events: column {sentence}")
    for table in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(log, table), getattr(untouched, table))
    assert len(log.append(shard(log))) == 9


def test_a_shard_with_other_fields_or_no_frame_is_refused(tiny: EventLog):
    message = refusal(tiny.append, shard(tiny, **{"item/price": 5}))
    assert message == "events has columns that are not used, ['item/price']; drop them."
    message = refusal(tiny.append, shard(tiny).drop(columns="item/words"))
    assert message == "events has no column 'item/words', which it needs."
    assert (
        refusal(tiny.append, None) == "events is of type NoneType; make a pandas DataFrame of it."
    )


@pytest.mark.parametrize(
    "dtype", [object, "category", "string[pyarrow]", pd.ArrowDtype(pa.large_string())]
)
def test_a_shard_of_other_types_and_of_nothing_missing_is_taken(tiny: EventLog, dtype):
    """The types are those of `from_frame`; a column without values says nothing of their kind."""
    columns = ["user", "item", "user/city", "item/colour", "item/description"]
    events = shard(tiny, **{"item/colour": None, "user/city": None, "item/words": None})
    log = tiny.append(events.astype(dict.fromkeys(columns, dtype)))
    assert log.items.iloc[-1][["colour", "words", "description"]].tolist()[1:] == [
        [],
        "A TALL VASE",
    ]
    assert log.item_rows.tolist() == [*tiny.item_rows, 4] and log.items.dtypes.equals(
        tiny.items.dtypes
    )
    assert log.events.dtypes.equals(tiny.events.dtypes)


def test_a_field_that_nobody_has_takes_its_kind_from_the_first_shard(frames: Frames):
    frames["items"]["colour"] = None
    log = EventLog.from_frame(**frames)
    assert "is a list of text, where a single value is the rule" in refusal(
        log.append, shard(log, **{"item/colour": [["red"], []]})
    )
    log = log.append(shard(log, **{"item/colour": pd.array([None, 7], dtype="Int64")}))
    assert log.items["colour"].tolist()[-1] == 7
    assert "is text, where whole numbers is the rule" in refusal(
        log.append, shard(log, **{"item/colour": "red"})
    )


def test_an_empty_shard_changes_nothing(tiny: EventLog):
    log = tiny.append(shard(tiny)[:0])
    pd.testing.assert_frame_equal(log.events, tiny.events)


# -- bad files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [lambda data: b"", lambda data: data[:-1], lambda data: data[:9_999] + b"?" + data[10_000:]],
    ids=["empty", "all but one byte", "another byte"],
)
def test_a_file_that_is_not_the_published_one(tmp_path: Path, spoil: Callable[[bytes], bytes]):
    path = tmp_path / "spoilt.parquet"
    sentence = f"{path} is missing or not the file that was published; restore it with"
    assert refusal(load_online_retail, path).startswith(sentence)
    path.write_bytes(spoil(DATA.read_bytes()))
    assert refusal(load_online_retail, path).startswith(sentence)


def test_no_usable_row():
    rows = pq.read_table(DATA).slice(0, 3_000).to_pandas().assign(Quantity=-1)
    assert refusal(shop_log, rows).startswith("events has no rows")
