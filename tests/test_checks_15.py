"""Chapter 15's checks: mistakes beside those in the checks, and references by the library."""

import pandas as pd
import pytest

from course_lib.describe import _inner_separator
from course_lib.results import against_by_day


def in_place(events):
    events["item"] = events["item"].str.strip() + " "
    return events.drop_duplicates(["user", "item"]).reset_index(drop=True)


def by_pandas(texts, candidates, share):
    """The rule of `EventLog.describe`, one candidate after the other."""
    series = pd.Series(texts)
    for candidate in candidates:
        having = series[series.str.contains(candidate, regex=False)]
        parts = having.str.split(candidate).explode().str.strip()
        if len(having) >= share * len(series) and parts[parts != ""].nunique() < having.nunique():
            return candidate
    return ""


def carried(tables, one, other):
    found = {log: against_by_day(table, one, other) for log, table in tables.items()}
    clear = [(d.low > 0) - (d.high < 0) for d in found.values()]
    words = {2: "carried over", -2: "carried over"}
    word = "reversed" if clear[0] * clear[1] < 0 else words.get(sum(clear), "can't tell")
    return word, found


OWN = {
    "first_events": [(in_place, "in place")],
    "inner_separator": [(by_pandas, None), (lambda *given: None, "returned None")],
    "carried": [(carried, None), (lambda *given: carried(*given)[0], "expected")],
}


@pytest.mark.parametrize("inner", ["|", ";", ","])
def test_the_library_s_rule_tells_the_same_lists(inner: str):
    texts = [inner.join(pair) for pair in ("ab", "ba", "ac", "ca", "bc", "cb", "aa")]
    assert _inner_separator(pd.Series(texts)) == by_pandas(texts, [inner], 0.1) == inner
