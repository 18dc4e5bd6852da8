"""Online nomination: item vectors in an index, the user's vector computed when the user comes."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import torch

try:  # pandas 3: a tenth of the time of pd.DataFrame, which would cost as much as the search
    from pandas.api.internals import create_dataframe_from_blocks
except ImportError:
    create_dataframe_from_blocks = None

from course_lib.features import Features
from course_lib.files import atomic_write
from course_lib.incremental_update import Touched
from course_lib.index import FaissIndex, VectorIndex
from course_lib.log import EventLog
from course_lib.state import State


@dataclass(frozen=True)
class Version:
    """A published version: the user network, and the vectors that the item network of the same
    state made.
    """

    name: str
    state: State
    index: VectorIndex
    time: (
        pd.Timestamp
    )  # items listed by then can be nominated; what was bought before then is history
    before: int  # the first event row that is not
    # every user's fields as this state knows them, by code; the last row is a new user
    users: Features
    item_ids: torch.Tensor  # every item's ID as this state knows it, by code
    words: np.ndarray  # [2, items] every item and its description


class Nominator:
    """Answers "which k items for this user?" from the version that was published last.

    The index holds all listed items. The user's vector is computed at the moment of asking, from
    ID, country and latest purchases; it is the query; what the user has already bought is dropped
    from the answer and never eats into k.

    - `make_index`: an empty index for the version of that name. A database needs a place for each
      version, such as `lambda version: MilvusIndex(uri, collection=f"items_{version}")`.
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
        self.folder = None if folder is None else Path(folder)
        self.version: Version | None = None
        self.live: dict[object, list[int]] = {}  # item codes that users bought since, by user
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()

    # -- publishing --------------------------------------------------------------------------------
    # -------------------

    def publish(self, state: State, time: pd.Timestamp | str | None = None) -> None:
        """Compute all listed items' vectors, index them, and serve them with this state's user
        network.

        The version before serves until the new one has answered a query. If anything fails, or the
        process is killed, it goes on serving; with a folder, so it does for a process that starts
        after. The folder keeps it until the next one.

        `time`: the clock of this version. Items listed by then can be nominated, and what was
        bought before then is the users' history; without it, the end of the log. Raises ValueError
        if the state has learned from later days, is incremental (`update` is for those), or
        somebody else is publishing to the same folder.
        """
        if state.full is not None:
            raise ValueError(
                "this state comes from an incremental update; send what it touched with update(state, touched)."
            )
        time = (
            self.log.events["time"].iloc[-1] + pd.Timedelta(seconds=1)
            if time is None
            else pd.Timestamp(time)
        )
        if self.folder is None:
            self.version = self._made(
                state, time, f"v{int(self.version.name[1:]) + 1 if self.version else 1}"
            )
            return
        try:
            with filelock.FileLock(
                self.folder / "publishing.lock", timeout=0
            ):  # the system frees it if the process dies
                self.version = self._kept(state, time)
        except filelock.Timeout:
            raise ValueError(
                f"somebody else is publishing to {self.folder}; wait until they are done."
            ) from None

    def refresh(self) -> bool:
        """Take over the version that was published last to the folder, by whomever; returns whether
        there was a newer one.
        """
        pointer = self.folder / "current"
        if not pointer.exists():
            return False
        name = pointer.read_text("utf-8")
        if self.version is not None and name == self.version.name:
            return False
        self.version = self._loaded(name)
        return True

    def update(self, state: State, touched: Touched, log: EventLog | None = None) -> None:
        """Serve an incremental state: the touched items' vectors go to the index, and nothing else
        does.

        - `log`: as it stands now, if it has grown (`EventLog.append`); all of it is the users'
          history from now on.

        Raises ValueError if the state does not build on the full state that is published. A process
        that starts anew goes on with the full version: incremental states are made again from the
        hour's shards, not kept.
        """
        version = self._published()
        if (
            state.full is None
            or state.full.updates != (version.state.full or version.state).updates
        ):
            raise ValueError(
                "this state does not build on the full state that is published; publish its full state first."
            )
        if log is not None and log is not self.log:
            users = np.append(np.arange(len(self.log.users), len(log.users)), -1)
            items = np.arange(len(self.log.items), len(log.items))
            self.log = log
            new = self._encoded(state, users)
            users = {
                name: torch.cat([values[:-1], new[name]]) for name, values in version.users.items()
            }
            item_ids = torch.cat([version.item_ids, state.features.item_indices(log, items)])
            words = self._words() if len(items) else version.words
            version = replace(version, users=users, item_ids=item_ids, before=len(log), words=words)
        if len(touched.items):
            version.index.upsert(
                state.item_vectors(self.log, touched.items, state.features.counts.time),
                touched.items,
            )
        id = state.features.users.id
        version.users[id][torch.from_numpy(touched.users)] = self._encoded(state, touched.users)[id]
        version.item_ids[torch.from_numpy(touched.items)] = state.features.item_indices(
            self.log, touched.items
        )
        self.version = replace(version, state=state)

    def _made(self, state: State, time: pd.Timestamp, name: str) -> Version:
        """A version that has answered a query."""
        items = np.arange(self.log.listed(time))
        vectors = state.item_vectors(self.log, items, time)
        index = self.make_index(name)
        index.version = name
        index.build(vectors, items)
        if len(items):
            index.search(vectors[:1], 1)
        return self._version(name, state, index, time)

    def _kept(self, state: State, time: pd.Timestamp) -> Version:
        """A version that has answered a query and is in the folder: written aside, moved there
        whole, then pointed to.
        """
        pointer = self.folder / "current"
        last = pointer.read_text("utf-8") if pointer.exists() else None
        name = f"v{int(last[1:]) + 1 if last else 1}"
        aside, place = self.folder / f"{name}.new", self.folder / name
        for left in (aside, place):  # by a publisher that was killed
            shutil.rmtree(left, ignore_errors=True)
        aside.mkdir()
        version = self._made(state, time, name)
        state.save(aside / "state.pt")
        if len(version.index):
            version.index.save(aside / "index")
        (aside / "version.json").write_text(json.dumps({"time": time.isoformat()}), "utf-8")
        aside.rename(place)
        with atomic_write(pointer) as new:
            new.write_text(name, "utf-8")
        for old in self.folder.glob("v*"):
            if old.name not in (name, last):
                shutil.rmtree(old, ignore_errors=True)
        return version

    def _open(self) -> None:
        """Serve the last version in the folder; if it is damaged, the one before, and say so."""
        try:
            self.refresh()
        except ValueError as error:
            current = (self.folder / "current").read_text("utf-8")
            others = [
                place.name
                for place in self.folder.glob("v*")
                if place.suffix != ".new" and place.name != current
            ]
            if not others:
                raise
            self.version = self._loaded(others[0])
            warnings.warn(
                f"{error} Until then {others[0]}, the version before, is served.", stacklevel=3
            )

    def _loaded(self, name: str) -> Version:
        place = self.folder / name
        try:
            time = pd.Timestamp(json.loads((place / "version.json").read_text("utf-8"))["time"])
            state = State.load(place / "state.pt")
            return self._version(
                name, state, type(self.make_index(name)).load(place / "index", version=name), time
            )
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{place} is no whole version; publish again to {self.folder}."
            ) from error

    def _version(self, name: str, state: State, index: VectorIndex, time: pd.Timestamp) -> Version:
        users = np.append(np.arange(len(self.log.users)), -1)
        item_ids = state.features.item_indices(self.log, np.arange(len(self.log.items)))
        before = self.log.rows(time).start
        return Version(
            name, state, index, time, before, self._encoded(state, users), item_ids, self._words()
        )

    def _words(self) -> np.ndarray:
        return np.array([self.log.items.index, self.log.items["description"]], dtype=object)

    def _encoded(self, state: State, users: np.ndarray) -> Features:
        features = state.features.features_of(self.log, users, [np.array([], int)] * len(users))
        return {name: values for name, values in features.items() if name != "history"}

    # -- asking ------------------------------------------------------------------------------------
    # -------------------

    def buy(self, user, item) -> None:
        """The user has just bought the item: it is history from now on. Raises ValueError for an
        item that is not in the log.
        """
        code = int(self.log.items.index.get_indexer([item])[0])
        if code < 0:
            raise ValueError(f"there is no item {item!r} in the log; buy something that is listed.")
        self.live.setdefault(user, []).append(code)

    def nominate(self, user, k: int = 10) -> pd.DataFrame:
        """The k best items for `user`, best first: `item`, `description`, `score` (cosine).

        A user that the log does not know is a new user: default ID, no history. Fewer than k rows
        come back only if the user has bought nearly all there is. Raises ValueError for k < 1 and
        before the first `publish`.
        """
        scores, items = self.best(user, k)
        return _table(self._published().words[:, items], scores)

    def best(self, user, k: int) -> tuple[np.ndarray, np.ndarray]:
        """What `nominate` answers, without a table for people around it: scores [≤ k], falling, and
        item codes [≤ k].
        """
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"k is {k!r}; ask for a whole number of items, at least 1.")
        bought = self._bought(user)
        scores, items = self._published().index.search(self._vector(user, bought), k + len(bought))
        owned = set(bought.tolist())
        new = np.array(
            [place for place, item in enumerate(items[0].tolist()) if item not in owned][:k],
            dtype=int,
        )
        return scores[0][new], items[0][new]

    def user_vector(self, user) -> torch.Tensor:
        """[1, d] the user's vector, computed now by the published user network."""
        return self._vector(
            user, self._bought(user)
        ).clone()  # an ordinary tensor, not one of inference mode

    def history(self, user, length: int = 10) -> pd.DataFrame:
        """What the user bought before the version's time, and since, the latest first: `item`,
        `description`.
        """
        items = self.log.items.iloc[self._bought(user)[::-1][:length]]
        return pd.DataFrame({"item": items.index, "description": items["description"].to_numpy()})

    @torch.inference_mode()
    def _vector(self, user, bought: np.ndarray) -> torch.Tensor:
        version, code = self._published(), self._code(user)
        features = {
            name: values[code : code + 1 or None] for name, values in version.users.items()
        }  # −1: the last row
        latest = torch.from_numpy(bought[::-1][: version.state.features.history].copy())
        features["history"] = (
            version.item_ids[latest][None] if len(latest) else torch.zeros(1, 1, dtype=torch.long)
        )
        return version.state.model.user_vectors(version.state.to_device(features)).cpu()

    def _code(self, user) -> int:
        return self.log.row_of_user.get(user, -1)

    def _bought(self, user) -> np.ndarray:
        bought, live = (
            self.log.bought(self._code(user), self._published().before),
            self.live.get(user, []),
        )
        return (
            np.append(bought, [code for code in dict.fromkeys(live) if code not in bought]).astype(
                int
            )
            if live
            else bought
        )

    def _published(self) -> Version:
        if self.version is None:
            raise ValueError("nothing is published yet; call publish(state) first.")
        return self.version


COLUMNS = pd.Index(["item", "description", "score"], dtype=object)


def _table(words: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    if create_dataframe_from_blocks is None:
        return pd.DataFrame({"item": words[0], "description": words[1], "score": scores})
    blocks = [(words, np.array([0, 1])), (scores[None], np.array([2]))]
    return create_dataframe_from_blocks(blocks, index=pd.RangeIndex(len(scores)), columns=COLUMNS)
