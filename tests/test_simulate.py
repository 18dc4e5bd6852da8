"""The simulated log: its tastes, its fields and its popular items are what it says they are; and
logs of fewer events.
"""

import re

import numpy as np
import pandas as pd
import pytest
from helpers import refusal
from scipy.stats import chisquare, spearmanr
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from course_lib.log import EventLog
from course_lib.simulate import (
    FIELDS,
    START,
    TOPICS,
    Simulated,
    co_purchase_fields,
    held_out,
    shuffled_fields,
    simulate,
    split_values,
    subsampled,
)


@pytest.fixture(scope="module")
def sparse() -> Simulated:
    """A hundred items for each topic, a quarter of an event for each item."""
    return simulate(items=4_000, users=300, events_per_item=0.25, liked=20, seed=5)


@pytest.fixture(scope="module")
def busy() -> Simulated:
    return simulate(items=400, users=2_000, events_per_item=30, seed=5)


def tastes_by_user(simulated: Simulated) -> pd.DataFrame:
    return pd.DataFrame(simulated.tastes, simulated.log.users.index)


# -- simulate --------------------------------------------------------------------------------------
# -------------------


def test_the_seed_decides():
    one, again, other = (simulate(items=80, users=30, seed=seed) for seed in (1, 1, 2))
    for name in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(one.log, name), getattr(again.log, name))
    pd.testing.assert_frame_equal(one.liked, again.liked)
    assert (one.tastes == again.tastes).all() and (one.topics == again.topics).all()
    assert one.log.events["item"].tolist() != other.log.events["item"].tolist()
    assert (
        one.log.items["line"].tolist() != other.log.items["line"].tolist()
        and one.topics.tolist() != other.topics.tolist()
    )


def test_the_dial_changes_the_events_alone():
    few, many = (
        simulate(items=80, users=50, events_per_item=events, seed=1) for events in (0.5, 12.0)
    )
    assert len(many.log) > 5 * len(few.log) and len(few.log.users) < len(many.log.users) == 50
    pd.testing.assert_frame_equal(few.log.items, many.log.items)
    assert (few.topics == many.topics).all()
    pd.testing.assert_frame_equal(
        tastes_by_user(few), tastes_by_user(many).loc[few.log.users.index]
    )


def test_the_log_is_of_one_day_and_lists_what_nobody_bought(sparse: Simulated):
    log = sparse.log
    assert 0.9 * 1_000 < len(log) <= 1_000  # second purchases are left out
    assert (
        log.days.tolist() == [START]
        and log.listed(START) == len(log.items) == len(sparse.topics) == 4_000
    )
    assert set(log.items.index) == set(range(4_000)) and log.events["item"].nunique() < 1_000
    assert set(log.users.index) == set(log.events["user"]) and sparse.tastes.shape == (
        len(log.users),
        TOPICS,
    )


def test_nothing_liked_was_bought(busy: Simulated):
    for simulated in (busy, simulate(items=40, users=10, events_per_item=8, liked=30)):
        bought = set(simulated.log.events[["user", "item"]].itertuples(index=False, name=None))
        liked = list(simulated.liked.itertuples(index=False, name=None))
        assert liked and bought.isdisjoint(liked) and len(set(liked)) == len(liked)
        assert set(simulated.liked["user"]) <= set(simulated.log.users.index)


def test_liked_follows_the_tastes(sparse: Simulated):
    """Topic by topic, within what repeated draws and 4 standard errors allow; and user by user."""
    tastes, liked = tastes_by_user(sparse), sparse.liked
    np.testing.assert_allclose(sparse.tastes.sum(1), 1)
    topic = pd.Series(sparse.topics, sparse.log.items.index)[liked["item"]].to_numpy()
    share, expected = np.bincount(topic, minlength=TOPICS) / len(liked), sparse.tastes.mean(0)
    np.testing.assert_allclose(share, expected, atol=0.015)
    assert np.corrcoef(share, expected)[0, 1] > 0.9
    chance = tastes.to_numpy()[
        tastes.index.get_indexer(liked["user"]), topic
    ]  # of the topic that was drawn, for that user
    assert chance.mean() == pytest.approx(
        (sparse.tastes**2).sum(1).mean(), rel=0.1
    )  # at random it would be 1/40


def test_bought_follows_the_tastes_too(sparse: Simulated):
    log = sparse.log
    chance = sparse.tastes[log.user_rows, sparse.topics[log.item_rows]]
    assert chance.mean() == pytest.approx(
        (sparse.tastes[log.user_rows] ** 2).sum(1).mean(), rel=0.1
    )


def correlation(ranking: np.ndarray, values: np.ndarray, topics: np.ndarray) -> float:
    """Mean over topics of the rank correlation within the topic."""
    return float(
        np.mean(
            [
                spearmanr(ranking[topics == topic], values[topics == topic])[0]
                for topic in range(TOPICS)
            ]
        )
    )


def times_bought(log: EventLog) -> np.ndarray:
    return np.bincount(log.item_rows, minlength=len(log.items))


def test_liked_by_popularity_favours_what_was_bought_often():
    """Same world, same purchases; within a topic the popular items are to be found more often, and
    only then.
    """
    for by_popularity in (False, True):
        simulated = simulate(
            400, users=9_000, events_per_item=30, liked=5, seed=5, liked_by_popularity=by_popularity
        )
        wanted = np.bincount(
            simulated.log.items.index.get_indexer(simulated.liked["item"]), minlength=400
        )
        found = correlation(wanted, times_bought(simulated.log), simulated.topics)
        assert found > 0.7 if by_popularity else abs(found) < 0.3
    uniform, popular = (
        simulate(items=80, users=30, seed=1, liked_by_popularity=flag) for flag in (False, True)
    )
    pd.testing.assert_frame_equal(uniform.log.events, popular.log.events)


def test_events_fall_with_popularity_within_a_topic(busy: Simulated):
    """The same shop twice: what sells in one log sells in the other, but not with zipf 0; what is
    liked is not what sells.
    """
    other = simulate(items=400, users=2_000, events_per_item=10, liked=20, seed=5)
    assert correlation(times_bought(busy.log), times_bought(other.log), busy.topics) > 0.5
    flat = [times_bought(simulate(400, 2_000, events, zipf=0, seed=5).log) for events in (30, 10)]
    assert abs(correlation(*flat, busy.topics)) < 0.2
    unpopular = times_bought(busy.log) < np.median(times_bought(busy.log))
    bought, liked = other.log.item_rows, other.log.items.index.get_indexer(other.liked["item"])
    assert unpopular[bought].mean() < 0.35 < 0.45 < unpopular[liked].mean()


def test_fields_tell_the_topic(sparse: Simulated):
    items, topics, shuffled = (
        sparse.log.items,
        sparse.topics,
        np.random.default_rng(0).permutation(sparse.topics),
    )
    for name, (values, own, clear) in FIELDS.items():
        column = items[name].astype(int)
        assert column.between(0, values - 1).all()
        assert mutual_info_score(topics, column) > 1.2 * mutual_info_score(shuffled, column), name
        known = [
            column[topics == topic].value_counts().iloc[:own].sum() / (topics == topic).sum()
            for topic in range(TOPICS)
        ]
        expected = clear + (1 - clear) * own / values
        assert expected - 0.03 < np.mean(known) < expected + 0.15, (
            name
        )  # the most frequent ones are found after the fact
    assert items["keywords"].map(len).between(1, 4).all() and all(
        len(set(words)) == len(words) for words in items["keywords"]
    )


@pytest.mark.parametrize(
    "too_small",
    [
        {"items": 39},
        {"users": 0},
        {"events_per_item": 0},
        {"items": 40, "events_per_item": 0.02},
        {"events_per_item": np.nan},
    ],
)
def test_a_log_that_can_not_be_is_refused(too_small: dict):
    assert "it needs 40 items, 1, and 1 event" in refusal(simulate, **too_small)


def test_the_smallest_log():
    smallest = simulate(items=40, users=1, events_per_item=1 / 40)
    assert (
        len(smallest.log) == 1
        and len(smallest.log.items) == 40
        and smallest.tastes.shape == (1, 40)
    )


# -- subsampled ------------------------------------------------------------------------------------
# ----------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_thinned_log_is_a_part_of_the_log(busy: Simulated, share: float):
    log = busy.log
    thin = subsampled(log, share, seed=3)
    assert len(thin) == round(share * len(log))
    kept = thin.events.merge(log.events.reset_index(), on=["user", "item", "time"])
    assert len(kept) == len(thin) and kept["index"].is_monotonic_increasing
    pd.testing.assert_frame_equal(thin.items, log.items)
    assert set(thin.users.index) == set(thin.events["user"])
    pd.testing.assert_frame_equal(thin.events, subsampled(log, share, seed=3).events)
    assert not thin.events.equals(subsampled(log, share, seed=4).events)
    assert (thin.events["time"] < log.events["time"].median()).mean() == pytest.approx(
        0.5, abs=0.06
    )  # from all of the log


def test_a_thinned_log_keeps_fields_and_what_is_missing(tiny: EventLog):
    for seed in range(5):
        thin = subsampled(tiny, 0.25, seed)
        assert len(thin) == 2
        pd.testing.assert_frame_equal(thin.items, tiny.items)
        pd.testing.assert_frame_equal(thin.users, tiny.users.loc[thin.users.index])
        assert thin.users.index.tolist() == list(dict.fromkeys(thin.events["user"]))


def test_all_of_a_log(tiny: EventLog):
    whole = subsampled(tiny, 1.0)
    for name in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(tiny, name))


@pytest.mark.parametrize("share", [0, -0.5, 1.5, np.nan, 0.01])
def test_a_share_that_leaves_no_log(tiny: EventLog, share: float):
    assert refusal(subsampled, tiny, share).startswith(f"share is {share}; it must be a number")


# -- held out --------------------------------------------------------------------------------------
# -------------------


def test_held_out_by_hand(tiny: EventLog):
    """Before the fourth day; what is asked is by whom the first three days know, of what was listed
    by then.
    """
    day = tiny.days[3]
    task = held_out(tiny, day)
    before, after = tiny.events[tiny.events["time"] < day], tiny.events[tiny.events["time"] >= day]
    assert (
        task.log.events[["user", "item"]].values.tolist()
        == before[["user", "item"]].values.tolist()
    )
    assert task.log.days.tolist() == [START] and task.log.events["time"].is_monotonic_increasing
    listed = tiny.items.index[tiny.items["listed"] <= day]
    assert list(task.log.items.index) == list(listed) and task.log.listed(START) == len(listed)
    expected = [
        [u, i]
        for u, i in after[["user", "item"]].values.tolist()
        if u in set(before["user"]) and i in set(listed)
    ]
    assert task.liked.values.tolist() == expected and expected


def test_held_out_thins_what_is_learned_and_nothing_else(retail: EventLog):
    day = pd.Timestamp("2011-02-01")
    task, again, other = (held_out(retail, day, 0.1, days=20, seed=seed) for seed in (1, 1, 2))
    before = retail.events[retail.events["time"] < day]
    assert len(task.log) == round(0.1 * len(before)) and task.log.events.equals(again.log.events)
    assert not task.log.events.equals(other.log.events)
    pairs = set(before[["user", "item"]].itertuples(index=False, name=None))
    assert set(task.log.events[["user", "item"]].itertuples(index=False, name=None)) <= pairs
    assert not set(task.liked.itertuples(index=False, name=None)) & pairs
    times = retail.events.set_index(["user", "item"])["time"].loc[
        list(task.liked.itertuples(index=False, name=None))
    ]
    assert times.min() >= day and times.max() < day + pd.Timedelta(days=20)
    assert (task.log.items["listed"] < START).all() and len(task.log.items) == (
        retail.items["listed"] <= day
    ).sum()


def test_held_out_refuses_what_leaves_nothing(tiny: EventLog):
    assert refusal(held_out, tiny, tiny.days[0]).startswith("events has no rows")
    assert refusal(held_out, tiny, tiny.days[3], 0.0).startswith(
        "share is 0.0; it must be a number"
    )
    assert refusal(held_out, tiny, tiny.days[-1] + pd.Timedelta(days=1)).startswith(
        "nobody who bought before 2020-01-07 bought"
    )


# -- fields that say more or less ------------------------------------------------------------------


def rows_of(log: EventLog) -> list[tuple]:
    """Every item's fields, in the order of the log's rows."""
    fields = log.items[[*FIELDS, "keywords"]]
    return [tuple(map(str, row)) for row in fields.itertuples(index=False)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_shuffled_items_have_each_others_whole_rows(busy: Simulated, share: float):
    log = shuffled_fields(busy.log, share, seed=2)
    pd.testing.assert_frame_equal(log.events, busy.log.events)
    was, became = rows_of(busy.log), rows_of(log)
    assert sorted(was) == sorted(became)
    changed = np.mean([a != b for a, b in zip(was, became, strict=True)])
    assert changed == pytest.approx(share, abs=0.07)
    assert log.items["listed"].equals(busy.log.items["listed"])


def test_shuffled_fields_refuse_a_share_that_is_none(busy: Simulated):
    message = refusal(shuffled_fields, busy.log, 1.2)
    assert message == "share is 1.2; it must be a number, at least 0 and at most 1."


def test_split_values_say_the_same_and_are_met_less_often(busy: Simulated):
    log = split_values(busy.log, 3, seed=1)
    pd.testing.assert_frame_equal(log.events, busy.log.events)
    for was, became in zip(rows_of(busy.log), rows_of(log), strict=True):
        assert re.sub(", part [012]|'", "", "; ".join(became)) == "; ".join(was)
    for name in ("line", "colour"):
        counts = log.items[name].value_counts().sort_index()
        assert counts.groupby(counts.index.str.split(",").str[0]).size().max() == 3
    parts = log.items["colour"].str[-1].value_counts()
    assert chisquare(parts).pvalue > 0.001


def test_split_values_leave_what_is_missing_and_refuse_less_than_one_part():
    events = pd.DataFrame({"user": [1, 2], "item": ["a", "b"], "time": [START] * 2})
    items = pd.DataFrame({"item": ["a", "b"], "kind": ["x", None], "bag": [["u", "v"], []]})
    users = pd.DataFrame({"user": [1, 2]})
    log = split_values(EventLog.from_frame(events, items, users), 1)
    assert log.items["kind"].iloc[0] == "x, part 0" and log.items["kind"].isna().iloc[1]
    assert log.items["bag"].tolist() == [["u, part 0", "v, part 0"], []]
    for parts in (0, 1.5):
        message = refusal(split_values, log, parts)
        assert message == f"parts is {parts}; it must be a whole number, at least 1."


def test_clusters_of_what_is_bought_together_tell_the_topic(busy: Simulated):
    log = co_purchase_fields(busy.log, values=TOPICS, seed=1)
    topics = pd.Series(busy.topics, busy.log.items.index)[log.items.index]
    made = log.items["cluster_0"].notna()
    assert adjusted_mutual_info_score(topics[made], log.items["cluster_0"][made]) > 0.2
    assert {"clusters", *(f"cluster_{n}" for n in range(4))} <= set(log.items.columns)
    assert log.items["clusters"].map(len).isin([0, 4]).all()


def test_who_makes_the_clusters_is_left_out_and_nobody_else_has_a_say(busy: Simulated):
    made = co_purchase_fields(busy.log, values=10, seed=1)
    left = busy.log.events["user"].isin(made.users.index)
    assert 0.4 < len(made.users) / len(busy.log.users) < 0.6
    pd.testing.assert_frame_equal(
        made.events.reset_index(drop=True), busy.log.events[left].reset_index(drop=True)
    )
    first = ~busy.log.events.duplicated("user")
    fewer = busy.log.events[~left | first].reset_index(drop=True)
    frames = (table.reset_index() for table in (busy.log.items, busy.log.users))
    other = co_purchase_fields(EventLog.from_frame(fewer, *frames), values=10, seed=1)
    pd.testing.assert_frame_equal(other.items, made.items)
