"""The committed tables of `make bench`: they agree with each other, and with what the code says."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import bad_input  # noqa: E402
import freshness  # noqa: E402
import side_by_side  # noqa: E402
import speed  # noqa: E402

from course_lib import movie_tweetings, online_retail, results  # noqa: E402
from course_lib.log import EventLog  # noqa: E402

LOGS = ("online_retail", "movie_tweetings")


@pytest.mark.parametrize("log", LOGS)
def test_days_add_up_to_the_table(log: str):
    """An arm's hits, over its events, are the mean of its seeds; and all arms of a log were asked
    about the same events on the same days.
    """
    table, days = (results.load(f"side_by_side{more}") for more in ("", "_by_day"))
    table, days = table[(table["log"] == log) & table["R@100"].notna()], days[days["log"] == log]
    sums = days.groupby("arm")[["events", "hits"]].sum()
    assert len(sums) > 5 and set(sums.index) == set(table["arm"])
    mean = table.groupby("arm")["R@100"].mean()
    np.testing.assert_allclose(sums["hits"] / sums["events"], mean[sums.index], atol=5e-5)
    assert days.groupby("day")["events"].nunique().eq(1).all()


@pytest.mark.parametrize("log", LOGS)
def test_days_of_the_other_rhythms_add_up_and_are_those_of_the_table(log: str):
    named = [results.load(f"side_by_side{more}") for more in ("_freshness", "_freshness_by_day")]
    table, days = (frame[frame["log"] == log] for frame in named)
    sums = days.groupby("arm")[["events", "hits"]].sum()
    assert len(sums) and set(sums.index) == set(table["arm"]) <= set(freshness.ARMS)
    mean = table.groupby("arm")["R@100"].mean()
    np.testing.assert_allclose(sums["hits"] / sums["events"], mean[sums.index], atol=5e-5)
    of_all = pd.concat([days, results.load("side_by_side_by_day").query("log == @log")])
    assert of_all.groupby("day")["events"].nunique().eq(1).all()


@pytest.mark.parametrize("log", LOGS)
def test_every_arm_is_in_the_table_or_says_why_not(log: str):
    table = results.load("side_by_side")
    found = table[table["log"] == log]
    assert set(found["arm"]) <= set(side_by_side.ARMS)
    assert (found["R@100"].notna() | found["note"].notna()).all()
    assert (found["tries"].dropna() <= 6).all()


@pytest.mark.parametrize(("log", "module"), [(LOGS[0], online_retail), (LOGS[1], movie_tweetings)])
def test_all_days_are_test_days(log: str, module, retail: EventLog, movies: EventLog):
    days = results.load("side_by_side_by_day")
    own = {"online_retail": retail, "movie_tweetings": movies}[log].days
    expected = own[(own >= module.TEST[0]) & (own < module.TEST[1])]
    assert sorted(set(days.loc[days["log"] == log, "day"])) == sorted(map(str, expected.date))


def test_slopes_are_those_of_the_values():
    for _, rows in results.load("growth").groupby("measure"):
        (low, _), (high, _) = (rows.iloc[place][["value", "items"]] for place in (0, -1))
        between = np.log10(high / low) / 2  # the middle one of three has no say in a straight line
        assert rows["items"].tolist() == [10**4, 10**5, 10**6]
        assert rows["slope"].tolist() == pytest.approx([between] * 3, abs=0.006)


def test_lists_are_the_square_root():
    table = results.load("lists")
    assert table["items"].tolist() == [10**4, 10**5, 10**6]
    np.testing.assert_allclose(table["lists"] ** 2, table["items"], rtol=0.01)
    assert table["cpu_seconds"].is_monotonic_increasing


def test_every_trainer_has_its_speed():
    table = results.load("side_by_side_speed")
    assert table["arm"].tolist() == [*speed.OURS, *speed.PEERS]
    timed = table[table["note"].isna()]
    assert (timed["steps"] >= timed["whole"]).all() and (timed["whole"] > 0).all()
    assert table["examples"].nunique() == 1


def test_the_profile_has_ten_lines_each_the_most_costly_first():
    for _, rows in results.load("side_by_side_profile").groupby("what"):
        assert len(rows) == 10 and rows["share"].is_monotonic_decreasing
        assert 0 < rows["share"].sum() < 1


def test_the_service_failed_nobody_and_mixed_nothing():
    """While versions changed, and hours were learned."""
    table = results.load("service")
    assert table["connections"].tolist() == [1, 8, 64]
    assert not table[["failed", "mixed"]].to_numpy().any()
    assert (table[["requests", "checked"]] > 20).to_numpy().all()
    assert (table["versions"] > 1).all() and (table["states"] > table["versions"]).all()
    assert (table["p50_ms"] <= table["p99_ms"]).all() and table["p50_ms"].is_monotonic_increasing


def test_what_the_library_says_to_bad_input_is_what_the_table_says():
    table = results.load("bad_input")
    found = table[table["arm"] == "ours"]
    assert list(zip(found["input"], found["says"], strict=True)) == bad_input.ours()
    refused = found.set_index("input")["says"].str.startswith("ValueError: ")
    accepted = refused.index[~refused].tolist()
    assert accepted == ["unknown user", "a NaN"]
