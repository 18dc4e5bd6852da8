"""Online nomination: item vectors in an index, the user's vector computed when the user comes."""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from course_lib.incremental_update import Touched
from course_lib.index import FaissIndex, VectorIndex
from course_lib.log import EventLog, local_time
from course_lib.state import State
from course_lib.versions import Folder, Memory, Version, drop


class Nominator:
    """Answers "which k items for this user?" from the version that was published last.

    The index holds all listed items. The user's vector is computed at the moment of asking, from
    ID, country and latest purchases; it is the query; what the user has already bought is dropped
    from the answer and never eats into k.

    Any call may run beside any other. A question is answered from one version; during an `update`
    it may meet the touched items' new vectors an instant before the new user network. `publish`,
    `update`, `refresh` and `back` take turns.

    - `make_index`: an empty index for the version of that name. A database needs a place for each
      version, such as `lambda version: MilvusIndex(uri, collection=f"items_{version}")`; what is
      there is dropped with the version.
    - `folder`: where versions are kept. A new process goes on with the version that was published
      there last. Without it they live in this process alone.
    """

    def __init__(
        self,
        log: EventLog,
        make_index: Callable[[str], VectorIndex] = lambda version: FaissIndex("flat"),
        folder: str | Path | None = None,
    ) -> None:
        self.log, self.make_index = log, make_index
        self.version: Version | None = None
        self.live: dict[object, list] = {}  # items bought since, by user
        self._kept = Memory() if folder is None else Folder(folder)
        self._writing = threading.RLock()
        self._nothing = "nothing is published yet; call publish(state) first."
        self._open()

    # -- publishing -------------------------------------------------------------------------------

    def publish(
        self,
        state: State,
        time: pd.Timestamp | str | None = None,
        log: EventLog | None = None,
    ) -> None:
        """Compute and index all listed items' vectors, and serve them with this user network.

        The version before serves until the new one has answered a query. If anything fails, or the
        process is killed, it goes on serving, here and after a restart. It is kept to go back to.

        - `time`: the clock of this version. Items listed by then can be nominated, and what was
          bought before then is the users' history; without it, the end of the log.
        - `log`: as it stands now, if it has grown.

        Raises ValueError if the state has learned from events after `time` or from another log, is
        incremental (`update` is for those), or somebody else is publishing to the same folder.
        """
        log = self.log if log is None else log
        time = log.events["time"].iloc[-1] + pd.Timedelta(seconds=1) if time is None else time
        time = local_time(time)
        if state.full is not None:
            raise ValueError(
                "this state comes from an incremental update; send what it touched with "
                "update(state, touched)."
            )
        if state.learned_until is None:
            warnings.warn(
                "this state has learned nothing, and is published all the same", stacklevel=2
            )
        elif time < state.learned_until:
            raise ValueError(
                f"this state has learned events until {state.learned_until:%Y-%m-%d %H:%M:%S}, and "
                f"{time:%Y-%m-%d %H:%M:%S} is earlier; publish it for a later time."
            )
        with self._writing, self._kept.alone():
            last, name = self._kept.current, self._kept.next()
            card = {"name": name, "time": time.isoformat(), "items": log.items.index.tolist()}
            index = self.make_index(name)
            try:
                version = Version.of(card, state, index, log)
                version.fill()
                self._kept.keep(version, card)
            except BaseException:
                with suppress(Exception):
                    drop(index, self.version and self.version.index)
                raise
            self._kept.current = name
            self.log, self.version = log, version
            for old in {*self._kept.names()} - {name, last}:
                self._kept.retire(old, version.index)

    def update(self, state: State, touched: Touched, log: EventLog | None = None) -> None:
        """Serve an incremental state: the touched items' vectors go to the index, and nothing else
        does.

        - `log`: as it stands now, if it has grown (`EventLog.append`). What the state has learned
          of it is the users' history from now on.

        Raises ValueError if the state does not build on the full state that is published. If
        anything fails, all is as before. A process that starts anew goes on with the full version:
        incremental states are made again from the hour's shards, not kept.
        """
        with self._writing:
            version = self._published()
            full, base = version.state.full or version.state, state.full
            same = state is version.state or base is full
            if not same and (base is None or base.fingerprint() != full.fingerprint()):
                raise ValueError(
                    "this state does not build on the full state that is published; publish its "
                    "full state first."
                )
            log = self.log if log is None else log
            self.version = version.updated(state, touched, log)
            self.log = log

    def refresh(self) -> bool:
        """Take over the version that the folder says is current, by whomever it was published;
        returns whether it is another one than before.
        """
        if isinstance(self._kept, Memory):
            raise ValueError("this nominator has no folder to look into; make it with a folder.")
        with self._writing:
            name = self._kept.current
            if name is None or (self.version is not None and name == self.version.name):
                return False
            self.version = self._kept.load(name, self.log)
            return True

    def back(self) -> None:
        """Serve the version before the current one, here and wherever the folder is refreshed.

        Raises ValueError if none is kept.
        """
        with self._writing, self._kept.alone():
            name = self._kept.before()
            if name is None:
                raise ValueError("there is no version to go back to; publish a state.")
            self.version = self._kept.load(name, self.log)
            self._kept.current = name

    def _open(self) -> None:
        """Serve the version that is kept as current; if that can't be, the one before, or none."""
        try:
            if (name := self._kept.current) is not None:
                self.version = self._kept.load(name, self.log)
        except ValueError as error:
            self._nothing, served = str(error), "nothing is"
            with suppress(ValueError):
                if (name := self._kept.before()) is not None:
                    self.version = self._kept.load(name, self.log)
                    served = f"{name}, the version before, is"
            warnings.warn(f"{error} Until then {served} served.", stacklevel=3)

    def _published(self) -> Version:
        version = self.version
        if version is None:
            raise ValueError(self._nothing)
        return version

    # -- asking -----------------------------------------------------------------------------------

    def buy(self, user, item) -> None:
        """The user has just bought the item: it is history from now on. Raises ValueError for an
        item that is not in the log, and for ids of another type than the log's.
        """
        self.log.user_row(user)
        if self.log.item_row(item) < 0:
            raise ValueError(f"there is no item {item!r} in the log; buy something that is listed.")
        self.live.setdefault(user, []).append(item)

    def nominate(self, user, k: int = 10) -> pd.DataFrame:
        """The k best items for `user`, best first: `item`, `description`, `score` (cosine).

        A user that the log does not know is a new user: default ID, no history. Fewer than k rows
        come back only if the user has bought nearly all there is. Raises ValueError for k < 1, an
        id of another type than the log's, and before the first `publish`.
        """
        version = self._published()
        scores, rows = self._best(version, user, k)
        return _table(version.log, rows, score=scores)

    def best(self, user, k: int) -> tuple[np.ndarray, np.ndarray]:
        """What `nominate` answers, without a table for people around it: scores [≤ k], falling, and
        the items' rows [≤ k] in the log.
        """
        return self._best(self._published(), user, k)

    def user_vector(self, user) -> torch.Tensor:
        """[1, d] the user's vector, computed now by the published user network."""
        version = self._published()
        row = version.log.user_row(user)
        return torch.from_numpy(_vector(version, row, self._bought(version, user, row)))

    def history(self, user, length: int = 10) -> pd.DataFrame:
        """What the user bought before the version's time, and since, the latest first: `item`,
        `description`.
        """
        version, length = self._published(), _count(length, "length")
        bought = self._bought(version, user, version.log.user_row(user))
        return _table(version.log, bought[::-1][:length])

    def _best(self, version: Version, user, k: int) -> tuple[np.ndarray, np.ndarray]:
        k, row = _count(k, "k"), version.log.user_row(user)
        bought = self._bought(version, user, row)
        try:
            found = version.index.search(_vector(version, row, bought), k + len(bought))
        except ValueError:
            if len(version.index):
                raise
            return np.empty(0, np.float32), np.empty(0, int)  # nothing is listed
        scores, rows = found[0][0], version.rows.take(found[1][0], mode="clip")
        owned = np.zeros(len(version.log.items) + 1, bool)
        owned[bought] = owned[-1] = True
        new = (~owned[rows]).nonzero()[0][:k]
        return scores[new], rows[new]

    def _bought(self, version: Version, user, row: int) -> np.ndarray:
        """Rows of the items that the user has, the latest last."""
        bought = version.log.bought(row, version.before)
        if user not in self.live:
            return bought
        live = [version.log.item_row(item) for item in dict.fromkeys(self.live.get(user, ()))]
        return np.append(bought, [row for row in live if row >= 0 and row not in bought]).astype(
            int
        )


def _vector(version: Version, user: int, bought: np.ndarray) -> np.ndarray:
    """[1, d] the vector of a user (a row; −1 is a new one) who has bought these items (rows)."""
    state, end = version.state, user + 1 or None
    latest = version.item_indices[bought[::-1][: state.features.history]]
    features = {name: torch.from_numpy(rows[user:end]) for name, rows in version.users.items()}
    features["history"] = torch.from_numpy(latest if len(latest) else np.zeros(1, int))[None]
    with torch.inference_mode():
        return state.model.user_vectors(state.to_device(features)).cpu().numpy()


def _table(log: EventLog, rows: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    texts = log.items["description"].array[rows]
    return pd.DataFrame({"item": log.items.index[rows], "description": texts, **more})


def _count(k: int, name: str) -> int:
    try:
        number = 0 if isinstance(k, bool) else operator.index(k)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name} is {k!r}; ask for a whole number of items, at least 1.")
    return number
