"""The log: who bought what, when, and what is known of each item and user.

`EventLog` is what every chapter works on; `EventLog.from_frame` makes one of DataFrames. An item
has three names: the *item* is what the log calls it, its *row* is its place in the log's table, its
*index* the place in an embedding table. So has a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from course_lib import frames
from course_lib.describe import NOT_A_FIELD, Description, describe
from course_lib.files import atomic_write

LISTED_BEFORE_FIRST_SALE = pd.Timedelta(days=14)
DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)
TABLES = ("events", "items", "users")
TAKEN = r"history|popularity|.*/.*|.*\[\]"  # features.py's own features, and what shards write


@dataclass(frozen=True, eq=False)
class EventLog:
    """A checked log of events, in time order. Make one with `from_frame`.

    - `events`: columns `user`, `item`, `time`; sorted by time; a (user, item) pair at most once.
    - `items`: one row per item, indexed by item, in order of listing; columns `listed` (the time
      from which the item can be nominated), `description` (for people), and the item's fields.
    - `users`: one row per user, indexed by user, in order of first event; the user's fields.

    Items are all `int` or all `str`, and so are users. A field's values are all `str`, all `int`,
    all `bool`, or lists of one of them; what is missing is NaN, or an empty list. Both tables are
    in order of appearance, so "known on day t" is a prefix, and a row never depends on the future.
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame

    @classmethod
    def from_frame(cls, events: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame) -> EventLog:
        """Check three DataFrames and make a log of them.

        - `events`: `user`, `item` (text or whole numbers), `time` (datetime without a time zone,
          never decreasing); one row per event, no (user, item) pair twice.
        - `items`: `item` and any fields; optional `description` (text) and `listed` (datetime).
          Without `listed`, an item is listed 14 days before its first sale: an assumption, so that
          an unsold item's being listed does not tell that it will sell today. An item that never
          sells is left out then.
        - `users`: `user` and any fields. A user without events is left out.

        A field holds text, whole numbers or booleans, or lists of one of them; a missing value
        becomes the field's default. Raises ValueError: one sentence that names the column and the
        first bad row.
        """
        frames.check_columns("events", events, ["user", "item", "time"])
        frames.check_columns("items", items, ["item"], reserved=TAKEN)
        frames.check_columns("users", users, ["user"], reserved="|".join((TAKEN, *NOT_A_FIELD)))
        if events.empty:
            raise ValueError("events has no rows; a log needs at least one.")
        times = frames.times("events", events["time"])
        _check_order(events["time"], times, times[0])
        ids, tables = {}, {}
        for kind, name, frame in (("user", "users", users), ("item", "items", items)):
            ids[kind], known = frames.ids("events", events[kind]), frames.ids(name, frame[kind])
            twice = f"is there twice; keep one row for each {kind}"
            frames.refuse(known.duplicated(), name, frame[kind], twice)
            frames.check_type(events[kind], ids[kind], frames.named(name, frame[kind]), known)
            frames.check_known(events[kind], ids[kind], name, known)
            tables[kind] = _table(name, frame.drop(columns=kind), pd.Index(known, name=kind))
        log = pd.DataFrame(ids | {"time": times})
        again = "was already bought by this user; keep first purchases only"
        frames.refuse(log.duplicated(["user", "item"]), "events", events["item"], again)
        users = tables["user"].loc[log["user"].unique()]
        return cls(log, _listed(items, tables["item"], log), users)

    @classmethod
    def load(cls, folder: str | Path) -> EventLog:
        """The log that `save` wrote there; raises ValueError if there is none, or a damaged one."""
        try:
            paths = {name: Path(folder) / f"{name}.parquet" for name in TABLES}
            tables = {
                name: pd.read_parquet(path, dtype_backend="numpy_nullable")
                for name, path in paths.items()
            }
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} holds no whole log; write it with log.save.") from error
        return cls.from_frame(**tables)

    def save(self, folder: str | Path) -> None:
        """Write the log's tables to `folder`, as `events.parquet` and so on."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            table = getattr(self, name)
            with atomic_write(Path(folder) / f"{name}.parquet") as new:
                table.reset_index(drop=name == "events").to_parquet(new)

    def __len__(self) -> int:
        return len(self.events)

    def append(self, events: pd.DataFrame) -> EventLog:
        """A log that goes on with these events, in this order; the rows of this log stay as they
        are.

        A (user, item) pair that is there already is left out: first purchases only. An item that is
        new here counts as listed when this log's last item was, if it was listed before that: rows
        are given in order of appearance.

        - `events`: `user`, `item`, `time`, and each field of either as `item/…`, `user/…`
          (`tfrecord.read` gives such tables). Raises ValueError as `from_frame` does, for a value
          of another kind than the log's, and for a time before this log's last.
        """
        tables = {"user": self.users, "item": self.items}
        names = {kind: [f"{kind}/{name}" for name in table] for kind, table in tables.items()}
        needed = ["user", "item", "time", *names["user"], *names["item"]]
        frames.check_columns("events", events, needed)
        if events.empty:
            return self
        times = frames.times("events", events["time"])
        _check_order(events["time"], times, self.events["time"].iloc[-1])
        ids = {}
        for kind, rows in (("user", self.row_of_user), ("item", self.row_of_item)):
            known, ids[kind] = tables[kind], frames.ids("events", events[kind])
            frames.check_type(events[kind], ids[kind], "the log", known.index)
            new = _table("events", events[names[kind]], pd.Index(ids[kind], name=kind), known)
            new = new[~new.index.duplicated() & [id not in rows for id in ids[kind]]]
            if kind == "item":
                listed = new["listed"].clip(lower=known["listed"].iloc[-1])
                new = new.assign(listed=listed).sort_values("listed", kind="stable")
            tables[kind] = pd.concat([known, new]).astype(known.dtypes) if len(new) else known
        new = pd.DataFrame(ids | {"time": times}).astype(self.events.dtypes)
        log = pd.concat([self.events, new]).drop_duplicates(["user", "item"], ignore_index=True)
        return EventLog(log, tables["item"], tables["user"])

    def describe(self, k: int = 100) -> Description:
        """What the log holds, with a warning, in one sentence, for whatever needs a look before
        anything is learned from it: print it. `k`: how many items are nominated.
        """
        return describe(self.events, self.items, self.users, k)

    @cached_property
    def row_of_user(self) -> dict[int | str, int]:
        """Row in `users` of each user."""
        return {user: row for row, user in enumerate(self.users.index.tolist())}

    @cached_property
    def row_of_item(self) -> dict[int | str, int]:
        """Row in `items` of each item."""
        return {item: row for row, item in enumerate(self.items.index.tolist())}

    def user_row(self, user: int | str) -> int:
        """Row in `users`, −1 for a user that the log does not know.

        Raises ValueError for an id of another type than the log's: "416" is not 416.
        """
        return _row(self.row_of_user, "user", user)

    def item_row(self, item: int | str) -> int:
        """Row in `items`, −1 for an item that the log does not know; raises as `user_row` does."""
        return _row(self.row_of_item, "item", item)

    @cached_property
    def user_rows(self) -> np.ndarray:
        """[len(events)] each event's row in `users`; read-only."""
        return _rows(self.events["user"], self.row_of_user)

    @cached_property
    def item_rows(self) -> np.ndarray:
        """[len(events)] each event's row in `items`; read-only."""
        return _rows(self.events["item"], self.row_of_item)

    @cached_property
    def days(self) -> pd.DatetimeIndex:
        """Midnights of the days that have events, in order."""
        return pd.DatetimeIndex(self.events["time"].dt.normalize().unique())

    def rows(
        self, start: pd.Timestamp | str | None = None, end: pd.Timestamp | str | None = None
    ) -> slice:
        """The slice of event rows with start ≤ time < end. Raises ValueError as `local_time`."""
        time = self.events["time"]
        low = 0 if start is None else int(time.searchsorted(local_time(start)))
        return slice(low, len(time) if end is None else int(time.searchsorted(local_time(end))))

    @cached_property
    def _rows_by_user(self) -> tuple[np.ndarray, np.ndarray]:
        # each user's event rows, together and in time order, and where they begin
        order = np.argsort(self.user_rows, kind="stable")
        return order, np.searchsorted(self.user_rows[order], np.arange(len(self.users) + 1))

    def bought(self, user: int, before: int) -> np.ndarray:
        """Rows of the items that the user (a row; −1 is a new user) bought in event rows <
        `before`, in order of time.
        """
        return self.item_rows[self._events_of(user, before)]

    def ages(self, user: int, before: int) -> np.ndarray:
        """How many days before event row `before` − 1 the user bought each of `bought`."""
        return self._clock[max(before - 1, 0)] - self._clock[self._events_of(user, before)]

    @cached_property
    def _clock(self) -> np.ndarray:
        return (self.events["time"] - self.events["time"].iloc[0]).to_numpy() / DAY.to_numpy()

    def _events_of(self, user: int, before: int) -> np.ndarray:
        if user < 0:
            return np.array([], dtype=int)
        order, starts = self._rows_by_user
        rows = order[starts[user] : starts[user + 1]]
        return rows[: rows.searchsorted(before)]

    def listed(self, time: pd.Timestamp | str) -> int:
        """How many items are listed at `time`: they are the first that many rows of `items`. Raises
        ValueError as `local_time`.
        """
        return int(self.items["listed"].searchsorted(local_time(time), side="right"))


def local_time(time: pd.Timestamp | str) -> pd.Timestamp:
    """A moment as the log's clock has it; raises ValueError for one with a time zone and for what
    is no time.
    """
    try:
        moment = pd.NaT if isinstance(time, Real) else pd.Timestamp(time)
    except (TypeError, ValueError):
        moment = pd.NaT
    if moment is pd.NaT or moment.tz is not None:
        how = "give one such as '2011-06-01 09:00', after .tz_convert(zone).tz_localize(None) if "
        how += "it has a time zone"
        raise ValueError(f"{frames.short(time)} is no moment of the log's local time; {how}.")
    return moment.as_unit("us")


def _row(row_of: dict, kind: str, id: object) -> int:
    known = type(next(iter(row_of)))
    value = id if type(id) is known else frames.plain(id)
    if type(value) is not known:
        raise ValueError(
            f"{kind} {frames.short(id)} is of type {type(id).__name__}, and the log has ids of "
            f"type {known.__name__}; ask for one of that type."
        )
    return row_of.get(value, -1)


def _rows(ids: pd.Series, row_of: dict) -> np.ndarray:
    rows = np.fromiter(map(row_of.__getitem__, ids.tolist()), np.intp, len(ids))
    rows.flags.writeable = False
    return rows


def _check_order(column: pd.Series, times: np.ndarray, since: pd.Timestamp) -> None:
    back = np.diff(times, prepend=np.datetime64(since, "us")) / HOUR.to_timedelta64()
    how = "sort by time"
    if back.min() >= -1:
        how = "sort by time, but where clocks went back keep the order, with .cummax()"
    frames.refuse(back < 0, "events", column, f"is earlier than the row before; {how}")


def _listed(given: pd.DataFrame, items: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """The table of items in order of listing, with all its columns."""
    first = log.drop_duplicates("item").set_index("item")["time"].reindex(items.index)
    if "listed" in items:
        why = "is after the item's first sale; an item is listed before it is sold"
        frames.refuse(items["listed"] > first, "items", given["listed"], why)
    else:
        listed = (first - LISTED_BEFORE_FIRST_SALE).astype("datetime64[us]")
        items = items.assign(listed=listed)[listed.notna()]
    if "description" not in items:
        items = items.assign(description=items.index.astype(str).astype(object))
    return items.sort_values("listed", kind="stable")


def _table(
    frame: str, columns: pd.DataFrame, index: pd.Index, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The columns as a table of plain values, of the kinds that they have in the `known` one."""
    table = {}
    for name, column in columns.items():
        name = str(name).rpartition("/")[2]
        if name == "listed":
            table[name] = pd.Series(frames.times(frame, column))
        else:
            rule = [""] if name == "description" else None if known is None else known[name]
            values = frames.field(frame, column, rule)
            if rule is None:
                frames.refuse_printed_lists(frame, column, values)
            table[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(table, index=range(len(index))).set_axis(index)
