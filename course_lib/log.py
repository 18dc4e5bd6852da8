"""The log: who bought what, when, and what is known of each item and user.

`EventLog` is what every chapter works on; `EventLog.from_frame` makes one of DataFrames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

LISTED_BEFORE_FIRST_SALE = pd.Timedelta(days=14)
DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)
NOT_A_FIELD = ("listed", "description")
TAKEN = ("history", "popularity")  # what features.py calls the features that it makes itself


@dataclass(frozen=True, eq=False)
class EventLog:
    """A checked log of events, in time order. Make one with `from_frame`.

    - `events`: columns `user`, `item`, `time`; sorted by time; a (user, item) pair at most once.
    - `items`: one row per item, indexed by item, in order of listing; columns `listed` (the time
      from which the item can be nominated), `description` (for people), and the item's fields, each
      categorical or list-valued.
    - `users`: one row per user, indexed by user, in order of first event; the user's fields.

    Because both tables are in order of appearance, "known on day t" is always a prefix of them: an
    item's *code* (its row number) never depends on the future.
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame

    @classmethod
    def from_frame(cls, events: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame) -> EventLog:
        """Check three DataFrames and make a log of them.

        - `events`: `user`, `item`, `time` (datetime, not decreasing); one row per event, no (user,
          item) pair twice.
        - `items`: `item` and any fields; optional `description` (text) and `listed` (datetime).
          Without `listed`, an item is listed 14 days before its first sale: a documented
          assumption, so that an unsold item's being listed does not tell that it will sell today.
          An item that never sells is left out then.
        - `users`: `user` and any fields.

        A field holds categories (text, whole numbers, booleans) or lists of them; a missing
        category is None, or NaN among text, and becomes the field's default. Raises ValueError: one
        sentence, naming the column and the first bad row.
        """
        for name, frame, needed in (
            ("events", events, ["user", "item", "time"]),
            ("items", items, ["item"]),
            ("users", users, ["user"]),
        ):
            if frame.columns.has_duplicates:
                raise ValueError(
                    f"{name} has column '{frame.columns[frame.columns.duplicated()][0]}' twice; rename or drop one."
                )
            for column in needed:
                if column not in frame.columns:
                    raise ValueError(
                        f"{name} has no column '{column}'; it needs {', '.join(needed)}."
                    )
                _refuse(frame[column].isna(), name, column, "is missing; every row needs a value")
            for column in (
                []
                if name == "events"
                else frame.columns.drop([*needed, *NOT_A_FIELD], errors="ignore")
            ):
                _check_field(name, frame[column])
        if events.empty:
            raise ValueError("events has no rows; a log needs at least one.")
        _check_time("events", events["time"])
        _refuse(
            events["time"].diff() < pd.Timedelta(0),
            "events",
            "time",
            "is earlier than the row before; sort by time",
        )
        _refuse(
            events.duplicated(["user", "item"]),
            "events",
            "item",
            "was already bought by this user; keep first purchases only",
        )
        _refuse(items.duplicated("item"), "items", "item", "is there twice; keep one row per item")
        _refuse(users.duplicated("user"), "users", "user", "is there twice; keep one row per user")
        _refuse(
            ~events["item"].isin(items["item"]),
            "events",
            "item",
            "is not in items; add a row for it there",
        )
        _refuse(
            ~events["user"].isin(users["user"]),
            "events",
            "user",
            "is not in users; add a row for it there",
        )

        items, users = items.set_index("item"), users.set_index("user")
        first = events.groupby("item", observed=True)["time"].min()
        if "listed" in items:
            _check_time("items", items["listed"])
            late = items["listed"] > first.reindex(items.index)
            _refuse(
                late,
                "items",
                "listed",
                "is after the item's first sale; an item is listed before it is sold",
            )
        else:
            items["listed"] = (first - LISTED_BEFORE_FIRST_SALE).reindex(items.index)
            items = items[items["listed"].notna()]
        if "description" not in items:
            items["description"] = items.index.astype(str)
        items["listed"] = items["listed"].astype("datetime64[us]")
        items = items.sort_values("listed", kind="stable").astype(
            dict.fromkeys(items.columns.drop("listed"), object)
        )
        users = users.loc[events["user"].unique()].astype(
            object
        )  # plain objects: they are looked up one by one
        events = (
            events[["user", "item", "time"]]
            .astype({"time": "datetime64[us]"})
            .reset_index(drop=True)
        )
        return cls(events, items, users)

    def __len__(self) -> int:
        return len(self.events)

    def append(self, events: pd.DataFrame) -> EventLog:
        """A log that goes on with these events, in this order; codes and rows of this log stay what
        they are.

        A (user, item) pair that is there already is left out: first purchases only. An item that is
        new here counts as listed when this log's last item was, if it was listed before that: codes
        are given in order of appearance.

        - `events`: `user`, `item`, `time`, and each field of either as `item/…`, `user/…`
          (`tfrecord.read` gives such tables). Raises ValueError for a missing column, or a time
          before this log's last.
        """
        for name in (
            "user",
            "item",
            "time",
            *("item/" + self.items.columns),
            *("user/" + self.users.columns),
        ):
            if name not in events:
                raise ValueError(
                    f"events has no column '{name}'; it needs the fields of the log that it goes on from."
                )
        _check_time("events", events["time"])
        times = pd.concat([self.events["time"].iloc[-1:], events["time"]])
        _refuse(
            times.diff()[1:] < pd.Timedelta(0),
            "events",
            "time",
            "is earlier than the row before; what came late goes to the end",
        )
        pairs = pd.concat([self.events[["user", "item"]], events[["user", "item"]]])
        events = events[~pairs.duplicated().to_numpy()[len(self) :]]
        tables = {}
        for kind, known in (("item", self.items), ("user", self.users)):
            new = events[~events[kind].isin(known.index)].drop_duplicates(kind).set_index(kind)
            new = new[kind + "/" + known.columns].set_axis(known.columns, axis=1)
            if kind == "item":
                new = new.assign(
                    listed=new["listed"].clip(lower=known["listed"].iloc[-1])
                ).sort_values("listed", kind="stable")
            tables[f"{kind}s"] = pd.concat([known, new]).astype(known.dtypes) if len(new) else known
        return EventLog(
            pd.concat([self.events, events[["user", "item", "time"]]], ignore_index=True), **tables
        )

    @cached_property
    def user_rows(self) -> np.ndarray:
        """[len(events)] row numbers in `users`."""
        return self.users.index.get_indexer(self.events["user"])

    @cached_property
    def row_of_user(self) -> dict:
        """Row number in `users` of each user."""
        return {user: code for code, user in enumerate(self.users.index.tolist())}

    @cached_property
    def item_rows(self) -> np.ndarray:
        """[len(events)] row numbers in `items`."""
        return self.items.index.get_indexer(self.events["item"])

    @cached_property
    def days(self) -> pd.DatetimeIndex:
        """Midnights of the days that have events, in order."""
        return pd.DatetimeIndex(self.events["time"].dt.normalize().unique())

    def rows(
        self, start: pd.Timestamp | str | None = None, end: pd.Timestamp | str | None = None
    ) -> slice:
        """The slice of event rows with start ≤ time < end."""
        time = self.events["time"]
        low = 0 if start is None else int(time.searchsorted(pd.Timestamp(start).as_unit("us")))
        high = len(time) if end is None else int(time.searchsorted(pd.Timestamp(end).as_unit("us")))
        return slice(low, high)

    @cached_property
    def _rows_by_user(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(
            self.user_rows, kind="stable"
        )  # each user's event rows, together and in time order
        return order, np.searchsorted(self.user_rows[order], np.arange(len(self.users) + 1))

    def bought(self, user: int, before: int) -> np.ndarray:
        """Item codes that user (code; −1 is a new user) bought in event rows < `before`, in order
        of time.
        """
        if user < 0:
            return np.array([], dtype=int)
        order, starts = self._rows_by_user
        rows = order[starts[user] : starts[user + 1]]
        return self.item_rows[rows[: np.searchsorted(rows, before)]]

    def listed(self, time: pd.Timestamp | str) -> int:
        """How many items are listed at `time`: they are the first that many rows of `items`."""
        return int(
            self.items["listed"].searchsorted(pd.Timestamp(time).as_unit("us"), side="right")
        )


# -- checks ----------------------------------------------------------------------------------------
# -------------------


def _refuse(bad: pd.Series, frame: str, column: str, why: str) -> None:
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        raise ValueError(
            f"{frame}: column '{column}', row {int(bad.argmax())} {why} (such rows: {int(bad.sum())})."
        )


def _check_time(frame: str, time: pd.Series) -> None:
    if not pd.api.types.is_datetime64_any_dtype(time):
        raise ValueError(
            f"{frame}: column '{time.name}' is {time.dtype}, not datetime; convert it with pandas.to_datetime."
        )
    if time.dt.tz is not None:
        raise ValueError(
            f"{frame}: column '{time.name}' has a time zone; make local time of it with .dt.tz_localize(None)."
        )
    _refuse(time.isna(), frame, time.name, "is missing; every row needs a value")


def _check_field(frame: str, values: pd.Series) -> None:
    if values.name in TAKEN:
        raise ValueError(
            f"{frame}: column '{values.name}' has a name that the library uses itself; rename it."
        )
    if pd.api.types.is_float_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        _refuse(
            values.isna(),
            frame,
            values.name,
            "is NaN; a field holds categories, and a missing one is None in a text column",
        )
        raise ValueError(
            f"{frame}: column '{values.name}' is {values.dtype}; a field holds categories, so cut numbers into bands "
            "(pandas.cut) and make text of them."
        )
    if values.dtype == object:
        categories = (str, int, bool, np.integer, np.bool_)
        missing, lists = (
            values.isna(),
            values.map(lambda value: isinstance(value, (list, tuple, set, np.ndarray))),
        )
        bags = values.where(lists, values.map(lambda value: [value]))
        wrong = ~missing & ~bags.map(lambda bag: all(isinstance(v, categories) for v in bag))
        _refuse(
            wrong,
            frame,
            values.name,
            "holds neither a category, nor None, nor a list of categories",
        )
        _refuse(
            ~lists & ~missing & lists.any(),
            frame,
            values.name,
            "is no list, and other rows are; make a list of it",
        )
