"""What `EventLog.describe` says of a log, against counts by hand; every warning there and not there."""

import re

import pandas as pd
import pytest
from helpers import LOGS, embedded, tiny_frames

from course_lib.describe import Description
from course_lib.log import DAY, EventLog

START = pd.Timestamp("2020-01-01")


def made_up(
    days: int = 10,
    a_day: int = 300,
    users: int = 100,
    items: int = 600,
    hour: float = 9.5,
    **fields,
) -> EventLog:
    """A log of `days` days with `a_day` events each, on which nothing is odd; and fields of the
    items, functions of their number.
    """
    numbers = range(days * a_day)
    assert len(numbers) < users * items / 2
    # user and item count at different speeds, so that no pair comes twice
    events = pd.DataFrame(
        {
            "user": [n % users for n in numbers],
            "item": [(n // users + 7 * (n % users)) % items for n in numbers],
            "time": [START + n // a_day * DAY + pd.Timedelta(hours=hour) for n in numbers],
        }
    )
    table = pd.DataFrame({"item": range(items)}).assign(listed=START - DAY)
    for name, value in fields.items():
        table[name] = pd.Series([value(n) for n in range(items)], dtype=object)
    return EventLog.from_frame(events, table, events[["user"]].drop_duplicates())


def warnings(log: EventLog) -> list[str]:
    """Each a sentence with a number."""
    found = log.describe().warnings
    for warning in found:
        assert warning.endswith(".") and "\n" not in warning and re.search(r"\d", warning)
        assert not re.search(r"[.?!] [A-Z]", warning), warning
    return found


def test_the_facts_of_the_tiny_log():
    """Eight events of three users and four items on five days, by hand."""
    described = EventLog.from_frame(**tiny_frames()).describe()
    assert described.facts.to_dict() == {
        "events": "8",
        "users": "3, each with 3 (median)",
        "items": "4, each with 2 (median)",
        "unsold items": "0",
        "first event": "2020-01-01 09:00",
        "last event": "2020-01-06 00:00",
        "days with events": "5, each with 2 (median)",
        "events of a user with a history": "62%",  # 5 of 8: all but the first of each
        "events of items with at most 20": "100%",
    }
    assert described.fields.reset_index().values.tolist() == [
        ["colour", "items", "text", 2, "25%", 1.5],
        ["words", "items", "lists of texts", 4, "25%", 1.0],
        ["city", "users", "text", 2, "33%", 1.0],
    ]
    text = repr(described)
    for part in ("events of a user with a history  62%", "colour", *described.warnings):
        assert part in text


@pytest.mark.parametrize("name", LOGS)
def test_nothing_is_odd_about_the_embedded_logs(name: str):
    assert warnings(embedded(name)) == []
    assert "no warnings" in repr(embedded(name).describe())


def test_nothing_is_odd_about_a_plain_log():
    kind = made_up(
        kind=lambda n: "abc"[n % 3],
        tags=lambda n: ["x", "y"][: n % 3],
        sentence=lambda n: f"the word, {n % 50}",
        sparse=lambda n: "z" if n % 10 == 0 else ("w" if n % 10 == 1 else None),
    )
    assert warnings(kind) == []


ODD = {
    "one day": (made_up(days=1), "All 300 events are of one day, 2020-01-01: nothing can be"),
    "midnight": (made_up(hour=0), "All 3,000 events are at midnight: the hours are not known"),
    "no history": (
        made_up(days=11, users=3_000, items=600),
        "Only 9.1% of the events are of users who had one before",
    ),
    "small": (made_up(items=499), "The catalogue has 499 items, not many more than k = 100"),
    "few events": (made_up(a_day=255), "A median day has 255 events, less than one training"),
    "lists": (
        made_up(tags=lambda n: f"{'abcd'[n % 4]}|{'efgh'[n // 4 % 4]}"),
        "items: the field 'tags' looks like lists, 'a|e' for example, in 600 of 600 rows: split "
        "them at '|'.",
    ),
    "comma lists": (
        made_up(tags=lambda n: ", ".join({"abcdef"[n % 6], "uvwxyz"[n // 6 % 6]} - {"a"})),
        "items: the field 'tags' looks like lists, ",
    ),
    "nearly unique": (
        made_up(code=lambda n: f"c{n % 301}"),
        "items: the field 'code' has 301 values in 600 rows, so it is nearly an ID",
    ),
    "unique numbers": (
        made_up(code=lambda n: n),
        "items: the field 'code' has 600 values in 600 rows, so it is nearly an ID",
    ),
    "one value": (
        made_up(shop=lambda n: "web"),
        "items: the field 'shop' has one value, 'web', in all 600 rows that have any",
    ),
    "nearly empty": (
        made_up(note=lambda n: "ab"[n % 2] if n < 29 else None),
        "items: the field 'note' is missing in 95.2% of the rows",
    ),
    "null": (
        made_up(kind=lambda n: ("mug", "bag", "NULL")[n % 3]),
        "items: the field 'kind' says 'NULL' in 200 rows, which is a value like any other",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_a_warning_is_there(name: str):
    log, sentence = ODD[name]
    (warning,) = warnings(log)
    assert warning.startswith(sentence), warning


@pytest.mark.parametrize(
    "log",
    [
        made_up(days=2),
        made_up(days=13, users=3_000),  # 23 % of the events have a history
        made_up(items=500),
        made_up(a_day=256),
        made_up(code=lambda n: f"c{n % 300}"),
        made_up(note=lambda n: "ab"[n % 2] if n < 30 else None),
        made_up(name=lambda n: f"A MUG, NUMBER {n % 290}"),  # its parts are no others'
    ],
    ids=["two days", "history", "500 items", "256 events", "300 of 600", "30 of 600", "parts"],
)
def test_just_before_a_warning(log: EventLog):
    assert warnings(log) == []


@pytest.mark.parametrize(
    ("stray", "where"), [("1970-01-01", "long before"), ("2033-05-18", "long after")]
)
def test_a_stray_date(stray: str, where: str):
    log = made_up()
    new = pd.DataFrame({"user": [99], "item": [599], "time": [pd.Timestamp(stray)]})
    events = pd.concat([log.events, new]).sort_values("time")
    items = log.items.reset_index()
    items["listed"] = pd.Timestamp("1969-01-01")
    spoiled = EventLog.from_frame(events, items, events[["user"]].drop_duplicates())
    (warning,) = warnings(spoiled)
    assert warning == (
        f"1 of 3,001 events lie {where} the others, which are of 2020-01-01 to 2020-01-10, the "
        f"first on {stray}: if that date is missing or mistyped, leave them out."
    )


def test_a_quiet_month_is_no_stray_date():
    log = made_up()
    moved = log.events["time"].where(log.events.index < 1_500, log.events["time"] + 29 * DAY)
    later = EventLog.from_frame(
        log.events.assign(time=moved), log.items.reset_index(), log.users.reset_index()
    )
    assert warnings(later) == []


def test_k_is_how_many_are_nominated():
    assert made_up().describe(120).warnings == []
    (warning,) = made_up().describe(121).warnings
    assert warning.startswith("The catalogue has 600 items, not many more than k = 121: R@121 is")


def test_users_fields_are_looked_at_too():
    log = made_up()
    users = log.users.reset_index().assign(mail=[f"u{n}@x" for n in range(100)])
    spoiled = EventLog.from_frame(log.events, log.items.reset_index(), users)
    (warning,) = warnings(spoiled)
    assert warning.startswith("users: the field 'mail' has 100 values in 100 rows")


def test_a_log_of_one_event_is_described():
    frames = tiny_frames()
    log = EventLog.from_frame(frames["events"][:1], frames["items"], frames["users"])
    assert isinstance(log.describe(), Description)
    assert any("one day" in warning for warning in warnings(log))
