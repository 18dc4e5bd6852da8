"""Online nomination: item vectors in an index, the user's vector computed when the user comes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from course_lib.index.base import item_count
from course_lib.log import EventLog
from course_lib.versions import Publisher, Version


class Nominator(Publisher):
    """Answers "which k items for this user?" from the version that was published last.

    The index holds all listed items. The user's vector is computed at the moment of asking, from
    ID, fields and latest purchases; it is the query; what the user has already bought is dropped
    from the answer and never eats into k.

    Any call may run beside any other. A question is answered from one version; during an `update`
    it may meet the touched items' new vectors an instant before the new user network.

    - `make_index`: an empty index for the version of that name. A database needs a place for each,
      such as `lambda version: MilvusIndex(uri, f"items_{version}", alias="items")`.
    - `folder`: where versions are kept, and a new process finds the last; without it they live in
      this process alone.
    """

    def buy(self, user, item) -> None:
        """The user has just bought the item: it is history from now on. Raises ValueError for an
        item that is not in the log, and for ids of another type than the log's.
        """
        self.log.user_row(user)
        if self.log.item_row(item) < 0:
            raise ValueError(f"there is no item {item!r} in the log; buy something that is listed.")
        self.live.setdefault(user, []).append(item)

    def nominate(self, user, k: int = 10) -> pd.DataFrame:
        """The k best items for `user`, best first: `item`, `description`, `score` (cosine). Its
        `attrs` say which `version` answered, and how far that had `learned_until`.

        A user that the log does not know is a new user: default ID, no history. Fewer than k rows
        come back only if the user has bought nearly all there is. Raises ValueError for k < 1, an
        id of another type than the log's, and before the first `publish`.
        """
        version = self._published()
        scores, rows = self._best(version, user, k)
        table = _table(version.log, rows, score=scores)
        table.attrs = {"version": version.name, "learned_until": version.state.learned_until}
        return table

    def best(self, user, k: int) -> tuple[np.ndarray, np.ndarray]:
        """What `nominate` answers, without a table for people around it: scores [≤ k], falling, and
        the items' rows [≤ k] in the log.
        """
        return self._best(self._published(), user, k)

    def user_vector(self, user) -> torch.Tensor:
        """[1, d] the user's vector, computed now by the published user network."""
        version = self._published()
        return torch.from_numpy(_vector(version, *self._known(version, user)))

    def history(self, user, length: int = 10) -> pd.DataFrame:
        """What the user bought before the version's time, and since, the latest first: `item`,
        `description`.
        """
        version, length = self._published(), item_count(length, "length")
        _, bought = self._known(version, user)
        return _table(version.log, bought[::-1][:length])

    def _best(self, version: Version, user, k: int) -> tuple[np.ndarray, np.ndarray]:
        k, (row, bought) = item_count(k, "k"), self._known(version, user)
        try:
            found = version.index.search(_vector(version, row, bought), k + len(bought))
        except ValueError:
            if len(version.index):
                raise
            return np.empty(0, np.float32), np.empty(0, int)  # nothing is listed
        scores, rows = found[0][0], version.rows.take(found[1][0], mode="clip")
        taken = np.zeros(len(version.item_indices) + 1, bool)
        taken[bought] = taken[-1] = True
        new = (~taken[rows]).nonzero()[0][:k]
        return scores[new], rows[new]

    def _known(self, version: Version, user) -> tuple[int, np.ndarray]:
        """The user's row, −1 for a new one, and those of the items bought, the latest last."""
        user_row = version.log.user_row(user)
        bought = version.log.bought(user_row, version.before)
        if user in self.live:
            live = (version.log.item_row(item) for item in dict.fromkeys(self.live.get(user, ())))
            new = [row for row in live if row >= 0 and row not in bought]
            bought = np.append(bought, new).astype(int)
        return user_row, bought


def _vector(version: Version, user: int, bought: np.ndarray) -> np.ndarray:
    """[1, d] the vector of a user (a row; −1 is a new one) who has bought these items (rows)."""
    state, end = version.state, user + 1 or None
    latest = version.item_indices[bought[::-1][: state.features.history]]
    features = {name: torch.from_numpy(rows[user:end]) for name, rows in version.users.items()}
    features["history"] = torch.from_numpy(latest if len(latest) else np.zeros(1, int))[None]
    if (linear := state.features.linear) is not None:
        ages = version.log.ages(user, version.before)
        ages = np.pad(ages, (0, len(bought) - len(ages)))  # what was bought since is of today
        features["linear"] = linear.user_dimensions([version.item_indices[bought]], [ages])
    if state.settings.device != "cpu":  # moving nothing would cost as much as a field
        features = state.to_device(features)
    with torch.inference_mode():
        return state.serving.user_vectors(features).cpu().numpy()


def _table(log: EventLog, rows: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    texts = log.items["description"].array[rows]
    return pd.DataFrame({"item": log.items.index[rows], "description": texts, **more})
