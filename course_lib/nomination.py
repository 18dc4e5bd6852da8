"""Online nomination: item vectors in an index, the user's vector computed when the user comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from course_lib.index import FaissIndex, VectorIndex
from course_lib.log import EventLog
from course_lib.updates import State


@dataclass(frozen=True)
class Version:
    """A published version: the user network, and the vectors that the item network of the same state made."""

    state: State
    index: VectorIndex
    before: int  # histories end before this event row


class Nominator:
    """Answers "which k items for this user?" from the version that was published last.

    The index holds all listed items. The user's vector is computed at the moment of asking, from ID, country and latest
    purchases; it is the query; what the user has already bought is dropped from the answer and never eats into k.
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.version: Version | None = None

    def publish(self, state: State, time: pd.Timestamp | str | None = None) -> None:
        """Compute all listed items' vectors, index them, and serve them with this state's user network.

        `time`: the clock of this version. Items listed by then can be nominated, and what was bought before then is the
        users' history; without it, the end of the log. Raises ValueError if the state has learned from later days.
        """
        time = self.log.events["time"].iloc[-1] + pd.Timedelta(seconds=1) if time is None else pd.Timestamp(time)
        items = np.arange(self.log.listed(time))
        index = FaissIndex("flat")
        index.build(state.item_vectors(self.log, items, time), items)
        self.version = Version(state, index, self.log.rows(time).start)  # one assignment: never half a version

    def nominate(self, user, k: int = 10) -> pd.DataFrame:
        """The k best items for `user`, best first: `item`, `description`, `score` (cosine).

        A user that the log does not know is a new user: default ID, no history. Fewer than k rows come back only if
        the user has bought nearly all there is. Raises ValueError for k < 1 and before the first `publish`.
        """
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"k is {k!r}; ask for a whole number of items, at least 1.")
        version = self._published()
        bought = self._bought(user)
        scores, items = version.index.search(self.user_vector(user), k + len(bought))
        new = ~np.isin(items[0], bought)
        scores, items = scores[0][new][:k], items[0][new][:k]
        found = self.log.items.iloc[items]
        return pd.DataFrame({"item": found.index, "description": found["description"].to_numpy(), "score": scores})

    def user_vector(self, user) -> torch.Tensor:
        """[1, d] the user's vector, computed now by the published user network."""
        version = self._published()
        return version.state.user_vectors(self.log, np.array([self._code(user)]), version.before)

    def history(self, user, length: int = 10) -> pd.DataFrame:
        """What the user bought before the version's time, the latest first: `item`, `description`."""
        items = self.log.items.iloc[self._bought(user)[::-1][:length]]
        return pd.DataFrame({"item": items.index, "description": items["description"].to_numpy()})

    def _code(self, user) -> int:
        return int(self.log.users.index.get_indexer([user])[0])  # −1: a new user

    def _bought(self, user) -> np.ndarray:
        return self.log.bought(self._code(user), self._published().before)

    def _published(self) -> Version:
        if self.version is None:
            raise ValueError("nothing is published yet; call publish(state) first.")
        return self.version
