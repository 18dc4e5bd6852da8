"""Channels: merging against a brute force that looks for every item anew, and quotas under
hypothesis; channels of real recommenders in a replay.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import refusal
from hypothesis import given
from hypothesis import strategies as st

from course_lib.baselines import ItemCF, Popularity
from course_lib.channels import Channel, Merged, Newest, merge
from course_lib.evaluation import replay
from course_lib.log import EventLog

pytestmark = pytest.mark.filterwarnings("ignore:the log has")
ranked = st.lists(st.integers(0, 30), unique=True, max_size=20)
sources = st.dictionaries(
    st.sampled_from(["towers", "popular", "history", "new"]),
    st.tuples(ranked, st.integers(1, 8)),
    min_size=1,
)


def brute_force(lists: dict, quotas: dict) -> list[tuple[int, str]]:
    """Turn by turn: the channel that is furthest behind its share, as fractions of whole numbers;
    its first item that is not taken, found by going through its list from the start.
    """
    names, done, merged = list(lists), Counter(), []
    for _ in range(sum(quotas[name] for name in names)):
        behind = [name for name in names if done[name] < quotas[name]]
        turn = behind[0]
        for name in behind[1:]:
            if (2 * done[name] + 1) * quotas[turn] < (2 * done[turn] + 1) * quotas[name]:
                turn = name
        done[turn] += 1
        for name in [turn, *names]:
            left = [item for item in lists[name] if item not in [had for had, _ in merged]]
            if left:
                merged.append((left[0], name))
                break
    return merged


def test_by_hand():
    lists = {"towers": [1, 2, 3, 4, 5, 6], "popular": [2, 1, 9, 8]}
    items, brought = merge(lists, {"towers": 4, "popular": 2})
    # towers at 1/8, 3/8, 5/8, 7/8 of the way, popular at 1/4 and 3/4
    assert items.tolist() == [1, 2, 3, 4, 9, 5]
    assert brought == ["towers", "popular", "towers", "towers", "popular", "towers"]


@given(sources)
def test_merging_is_brute_force(given_sources: dict):
    lists = {name: items for name, (items, _) in given_sources.items()}
    quotas = {name: quota for name, (_, quota) in given_sources.items()}
    items, brought = merge(lists, quotas)
    assert list(zip(items.tolist(), brought, strict=True)) == brute_force(lists, quotas)


@given(sources)
def test_quotas_hold_and_nothing_is_there_twice(given_sources: dict):
    lists = {name: items for name, (items, _) in given_sources.items()}
    quotas = {name: quota for name, (_, quota) in given_sources.items()}
    items, brought = merge(lists, quotas)
    union = set().union(*lists.values())
    assert len(set(items)) == len(items) == min(sum(quotas.values()), len(union))
    for name in lists:
        own = [item for item, who in zip(items, brought, strict=True) if who == name]
        assert own == [item for item in lists[name] if item in set(own)]  # its order is kept
        if len(own) < quotas[name]:  # only if it has no more
            assert set(lists[name]) <= set(items)
        elif len(own) > quotas[name]:  # only if another has no more
            assert any(set(lists[other]) <= set(items) for other in lists if other != name)


def test_every_beginning_is_mixed_as_the_whole():
    lists = {"towers": range(0, 100), "popular": range(100, 200), "new": range(200, 300)}
    _, brought = merge(lists, {"towers": 60, "popular": 30, "new": 10})
    for end in range(10, 101, 10):
        counts = Counter(brought[:end])
        assert [counts["towers"], counts["popular"], counts["new"]] == [
            6 * end // 10, 3 * end // 10, end // 10
        ]  # fmt: skip


class Fixed:
    """The same scores for everybody, every day."""

    def __init__(self, scores: list[float]) -> None:
        self.given, self.days = scores, []

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        return torch.tensor(self.given[: log.listed(day)]).expand(len(users), -1)

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.days.append(day)


def test_in_a_replay(retail: EventLog):
    """R@100 of one channel is that of its recommender alone; and every channel learns."""
    start, end = retail.days[8], retail.days[11]
    alone = replay(retail, Popularity(), start, end, progress=False)
    fixed = Fixed([0.0] * len(retail.items))
    channels = {"popular": Channel(Popularity(), 99), "fixed": Channel(fixed, 1, floor=0.0)}
    merged = replay(retail, Merged(channels), start, end, progress=False)
    np.testing.assert_array_equal(merged["rank"] <= 50, alone["rank"].to_numpy() <= 50)
    assert fixed.days == [*retail.days[:11]]


def test_what_was_bought_is_left_out_and_ties_go_by_listing(tiny: EventLog):
    """On the last day bob has had bag and mug (rows 1 and 0); lamp is row 2."""
    day, bob = tiny.days[-1], tiny.user_row("bob")
    m = tiny.listed(day)
    assert m >= 3
    (lists,) = Merged({"all": Channel(Fixed([1.0] * m), 9)}).lists(tiny, day, np.array([bob]))
    assert lists["all"].tolist() == [2, 3][: m - 2]


def test_item_to_item_has_nothing_to_say_to_a_stranger(retail: EventLog):
    day = retail.days[5]
    channels = Merged({"history": Channel(ItemCF(popularity=0.0), 10, floor=0.0)})
    new = np.setdiff1d(np.arange(len(retail.users)), retail.user_rows[: retail.rows(end=day).stop])
    stranger, known = channels.lists(retail, day, np.array([new[0], retail.user_rows[0]]))
    assert len(stranger["history"]) == 0 and len(known["history"]) == 10


def test_newest_against_pandas(retail: EventLog):
    """Of the items of two weeks the most bought, as counted by pandas; and it learns for itself."""
    day, user = retail.days[40], len(retail.users) - 1
    popular = Popularity(half_life=1e9)
    newest = Newest(popular, days=14)
    for earlier in retail.days[:40]:
        newest.learn(retail, earlier)
    (lists,) = Merged({"new": Channel(newest, 9)}).lists(retail, day, np.array([user]))
    events, listed = retail.events[retail.events["time"] < day], retail.items["listed"]
    recent = listed.index[(listed <= day) & (listed > day - pd.Timedelta(days=14))]
    sold = events["item"].value_counts().reindex(recent, fill_value=0)
    expected = sold.sort_values(ascending=False, kind="stable").index[:9]
    assert retail.items.index[lists["new"]].tolist() == expected.tolist()
    assert 0 < len(recent) < 100


def test_a_quota_is_some_places():
    for quota in (0, -1, 1.5, True, "ten"):
        assert repr(quota) in refusal(Channel, Popularity(), quota)
