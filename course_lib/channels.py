"""Channels: several recommenders nominate side by side, and their lists become one by quotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import pandas as pd
import torch

from course_lib.evaluation import Recommender
from course_lib.index.base import item_count
from course_lib.log import DAY, EventLog


@dataclass(frozen=True)
class Channel:
    """One of several sources of nominations: the items that `recommender` scores above `floor`,
    best first, for `quota` of the places.

    With a floor of 0 item-to-item similarity has nothing to say for a user without history, and
    its places go to the other channels.
    """

    recommender: Recommender
    quota: int
    floor: float = -inf

    def __post_init__(self) -> None:
        item_count(self.quota, "quota")


@dataclass
class Newest:
    """The items that were listed in the last `days`, as `recommender` ranks them; all others score
    −inf, and are nominated by no channel.

    Not by the date of listing: a log that lists an item some days before its first sale, as
    `EventLog` does where nothing better is known, would put those first that nobody buys yet.
    """

    recommender: Recommender
    days: float = 28.0

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        scores = torch.as_tensor(self.recommender.scores(log, day, users)).clone()
        listed = log.items["listed"].iloc[: scores.shape[1]]
        scores[:, torch.tensor((listed <= day - self.days * DAY).to_numpy())] = -inf
        return scores

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.recommender.learn(log, day)


class Merged:
    """Several channels as one recommender for `evaluation.replay`: the first of the merged list
    scores highest, and what is not on it scores 0.

    Recall is that of the list at k = the sum of the quotas, and at any smaller k.
    """

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self.channels = dict(channels)
        self.quotas = {name: int(channel.quota) for name, channel in channels.items()}

    def lists(
        self, log: EventLog, day: pd.Timestamp, users: np.ndarray
    ) -> list[dict[str, np.ndarray]]:
        """What each channel nominates to each of n users (codes) at the start of `day`, best first:
        item codes [≤ k] by the channel's name. What a user has bought is left out.
        """
        k, before = sum(self.quotas.values()), log.rows(end=day).stop
        bought = [log.bought(user, before) for user in users]
        found: list[dict[str, np.ndarray]] = [{} for _ in users]
        for name, channel in self.channels.items():
            scores = torch.as_tensor(channel.recommender.scores(log, day, users)).double()
            for scored, had, lists in zip(scores.clone(), bought, found, strict=True):
                scored[torch.from_numpy(had[had < len(scored)])] = -inf
                order = scored.argsort(descending=True, stable=True)[:k]  # ties: listed first
                lists[name] = order[scored[order] > channel.floor].numpy()
        return found

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        scores = torch.zeros(len(users), log.listed(day))
        for row, lists in zip(scores, self.lists(log, day, users), strict=True):
            merged = torch.from_numpy(merge(lists, self.quotas)[0])
            row[merged] = torch.arange(len(merged), 0, -1, dtype=row.dtype)
        return scores

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        for channel in self.channels.values():
            channel.recommender.learn(log, day)


def merge(
    lists: Mapping[str, Sequence[int]], quotas: Mapping[str, int]
) -> tuple[np.ndarray, list[str]]:
    """One list of distinct items out of several, each best first: items [≤ k], k = the sum of the
    quotas, and the channel [≤ k] that brought each.

    The channels take turns in proportion to their quotas, so that every beginning of the list is
    mixed as the whole is; where turns fall together, the channel that is named first comes first.
    At its turn a channel brings its next item that is not on the list yet. One that has none left
    gives its turn to the first that has. Fewer than k items come back only if all channels together
    have no more.
    """
    names = list(lists)
    turns = [((i + 0.5) / quotas[name], names.index(name)) for name in lists
             for i in range(quotas[name])]  # fmt: skip
    rest = {name: iter(np.asarray(items).tolist()) for name, items in lists.items()}
    taken: dict[int, str] = {}
    for _, place in sorted(turns):
        for name in (names[place], *names):
            item = next((item for item in rest[name] if item not in taken), None)
            if item is not None:
                taken[item] = name
                break
    return np.array([*taken], dtype=int), [*taken.values()]
