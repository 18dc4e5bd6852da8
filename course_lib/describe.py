"""What a log holds, and what in it would spoil what the course does with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from course_lib import frames

MANY_TIMES_K = 5  # a catalogue of fewer items than k times that is small
FEW_EVENTS = 256  # a training step's; a median day of fewer is not even one step
LITTLE_HISTORY = 0.2  # share of the events whose user had any
NEARLY_UNIQUE = 0.5  # distinct values for each item that has one
LISTS = 0.1  # share of the texts that have the separator
ALL_EMPTY = 0.95  # share of the rows
FEW_ROWS = 20  # of a table: too few to judge a field by
STRAY = pd.Timedelta(days=30)
INSIDE = ("|", ";", ",", "/")
GONE = {"null", "nan", "none", "n/a", "na", "unknown", "undefined", "\\n", "-", "?"}
NOT_A_FIELD = ("listed", "description")


@dataclass(frozen=True, repr=False)
class Description:
    """What a log holds: print it.

    - `facts`: numbers, by name. `fields`: a row for each field, `of` (items or users), `kind`,
      `values` (different ones), `missing` (share of the rows), `rows for each value` (median).
    - `warnings`: a sentence for each thing that needs a look, none if there is nothing.
    """

    facts: pd.Series
    fields: pd.DataFrame
    warnings: list[str]

    def __repr__(self) -> str:
        width = max(map(len, self.facts.index))
        lines = [f"{name:{width}}  {value}" for name, value in self.facts.items()]
        fields = self.fields.to_string() if len(self.fields) else "no fields"
        found = [f"⚠ {warning}" for warning in self.warnings] or ["no warnings"]
        return "\n".join([*lines, "", fields, "", *found])


def describe(events: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame, k: int) -> Description:
    """Describe the tables of a log, as `EventLog` has them, for nominations of k items."""
    days = events["time"].dt.normalize().value_counts()
    per_item = events["item"].value_counts()
    earlier = len(events) - events["user"].nunique()
    facts = {
        "events": f"{len(events):,}",
        "users": f"{len(users):,}, each with {events['user'].value_counts().median():g} (median)",
        "items": f"{len(items):,}, each with {per_item.median():g} (median)",
        "unsold items": f"{len(items) - len(per_item):,}",
        "first event": f"{events['time'].iloc[0]:%Y-%m-%d %H:%M}",
        "last event": f"{events['time'].iloc[-1]:%Y-%m-%d %H:%M}",
        "days with events": f"{len(days):,}, each with {days.median():g} (median)",
        "events of a user with a history": f"{earlier / len(events):.0%}",
        "events of items with at most 20": f"{per_item[per_item <= 20].sum() / len(events):.0%}",
    }
    rows = []
    warnings = [*_times(events["time"], days), *_sizes(len(events), items, days, earlier, k)]
    for of, table in (("items", items), ("users", users)):
        for name in table.columns.difference(NOT_A_FIELD, sort=False):
            row, found = _field(table[name])
            rows.append({"field": name, "of": of} | row)
            warnings += [f"{of}: the field '{name}' {sentence}" for sentence in found]
    columns = ["field", "of", "kind", "values", "missing", "rows for each value"]
    fields = pd.DataFrame(rows, columns=columns).set_index("field")
    return Description(pd.Series(facts, dtype=object), fields, warnings)


def _times(times: pd.Series, days: pd.Series) -> Iterator[str]:
    if len(days) == 1:
        yield (
            f"All {len(times):,} events are of one day, {days.index[0]:%Y-%m-%d}: nothing can be "
            "replayed, for a replay learns one day and tests the next; bring more days."
        )
    if len(times) > 1 and (times == times.dt.normalize()).all():
        yield (
            f"All {len(times):,} events are at midnight: the hours are not known, so an hourly "
            "update has nothing to learn and the order within a day is that of the file."
        )
    out = -(-len(times) // 1000)  # at least one on each side
    inner = times.iloc[out : len(times) - out]
    if inner.empty:
        return
    begin, end = inner.iloc[0], inner.iloc[-1]
    far = max(end - begin, STRAY)
    for stray, where in ((begin - times > far, "before"), (times - end > far, "after")):
        if stray.any():
            yield (
                f"{stray.sum():,} of {len(times):,} events lie long {where} the others, which are "
                f"of {begin:%Y-%m-%d} to {end:%Y-%m-%d}, the first on "
                f"{times[stray].iloc[0]:%Y-%m-%d}: if that date is missing or mistyped, leave them "
                "out."
            )


def _sizes(
    events: int, items: pd.DataFrame, days: pd.Series, earlier: int, k: int
) -> Iterator[str]:
    if earlier / events < LITTLE_HISTORY:
        yield (
            f"Only {earlier / events:.1%} of the events are of users who had one before, so there "
            "is hardly any history to compute a user from, and popularity is hard to beat."
        )
    if len(items) < MANY_TIMES_K * k:
        yield (
            f"The catalogue has {len(items):,} items, not many more than k = {k}: R@{k} is high "
            f"whatever the model; compare at a smaller k, such as {max(len(items) // 20, 1)}."
        )
    if days.median() < FEW_EVENTS:
        yield (
            f"A median day has {days.median():g} events, less than one training step of "
            f"{FEW_EVENTS}: nights teach little; update by the week, full_update(…, days=7)."
        )


def _field(column: pd.Series) -> tuple[dict, list[str]]:
    """What a field holds, and what is odd about it."""
    values = column.explode().dropna()  # each value of a list by itself
    lists = any(type(value) is list for value in column)
    text = len(values) > 0 and type(values.iloc[0]) is str
    counts, given = values.value_counts(), values.index.nunique()
    missing = 1 - given / max(len(column), 1)
    kind = "text" if text else "number"
    row = {
        "kind": f"lists of {kind}s" if lists else kind,
        "values": len(counts),
        "missing": f"{missing:.0%}",
        "rows for each value": float(counts.median()) if len(counts) else 0.0,
    }
    return row, list(_odd(values, missing, lists)) if len(column) >= FEW_ROWS else []


def _odd(values: pd.Series, missing: float, lists: bool) -> Iterator[str]:
    """What is odd about a field of these values, of which a share is missing."""
    distinct, given = values.nunique(), values.index.nunique()
    texts = (
        values if given and not lists and type(values.iloc[0]) is str else values[:0].astype(str)
    )
    if missing > ALL_EMPTY:
        yield f"is missing in {missing:.1%} of the rows: it tells little; drop it."
    elif distinct == 1:
        yield (
            f"has one value, {frames.short(values.iloc[0])}, in all {given:,} rows that have any: "
            "it tells nothing apart; drop it."
        )
    if inner := _inner_separator(texts):
        split = texts[texts.str.contains(inner, regex=False)]
        yield (
            f"looks like lists, {frames.short(split.iloc[0])} for example, in {len(split):,} of "
            f"{given:,} rows: split them at {inner!r}."
        )
    elif not lists and distinct > NEARLY_UNIQUE * given:
        yield (
            f"has {distinct:,} values in {given:,} rows, so it is nearly an ID and says nothing of "
            "a new row; make bands, words or lists of it, or drop it."
        )
    gone = texts[texts.str.strip().str.casefold().isin(GONE)]
    if len(gone):
        yield (
            f"says {frames.short(gone.iloc[0])} in {len(gone):,} rows, which is a value like any "
            "other: if it means that nothing is known, make it missing."
        )


def _inner_separator(texts: pd.Series) -> str | None:
    """What seems to separate the parts of texts; a sentence has commas, too, but its parts are not
    those of others.
    """
    for inner in INSIDE:
        split = texts[texts.str.contains(inner, regex=False)]
        if len(split) and len(split) >= LISTS * len(texts):
            parts = split.str.split(inner).explode().str.strip()
            if parts.nunique() < min(texts.nunique(), len(parts) / 2):
                return inner
    return None
