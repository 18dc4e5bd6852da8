"""Versions: published whole, kept in a folder, gone back to; what fails or is killed changes
nothing, and nothing is removed that the library has not written.
"""

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest
from helpers import FORK, SMALL, needs_fork, refusal, tiny_frames, trained, with_listing

from course_lib import versions
from course_lib.incremental_update import incremental_update
from course_lib.index import FaissIndex, MilvusIndex
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.state import State, new_state


@dataclass(eq=False)
class Database(FaissIndex):
    """Stands for a database: notes which collections it has."""

    collection: str = "items"
    there = set()

    def _build(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        super()._build(vectors, ids)
        self.there.add(self.collection)

    def drop(self) -> None:
        self.there.discard(self.collection)


@pytest.fixture
def other(tiny: EventLog) -> State:
    """Another model, as old as `tiny_state`."""
    return trained(tiny, replace(SMALL, seed=1), tiny.days)


@contextmanager
def failing(target: object, name: str, error: BaseException) -> Iterator[None]:
    """The method raises the first time that it is called, before it has done anything."""
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_, **__):
            patch.undo()
            raise error

        patch.setattr(target, name, fail)
        yield


def late(log: EventLog, *bought: tuple[str, str], day: str = "2020-01-07") -> EventLog:
    """The log with purchases of that day at its end; items and users may be new."""
    events = pd.DataFrame(bought, columns=["user", "item"])
    events["time"] = pd.Timestamp(f"{day} 09:00")
    events["item/listed"], events["item/description"] = events["time"], "NEW"
    events["item/colour"], events["user/city"] = "red", "Ely"
    events["item/words"] = [["big"] for _ in bought]
    return log.append(events)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "versions").glob("v*"))


def version_of(nominator: Nominator, states: dict[str, State]) -> str | None:
    """Which state answers: scores of all four items against cosines by that state."""
    log, found = nominator.log, nominator.nominate("eve", 4).set_index("item")["score"]
    for name, state in states.items():
        vectors = state.item_vectors(log, np.arange(4), nominator.version.time)
        right = (state.user_vectors(log, np.array([-1]), 0) @ vectors.T)[0]
        if np.allclose(found[log.items.index[:4]], right, atol=1e-6):
            return name
    return None


# -- a folder ---------------------------------------------------------------------------------


def test_a_new_process_goes_on_with_the_last_version(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path
):
    one = Nominator(tiny, folder=tmp_path)
    assert one.version is None and not one.refresh()
    one.publish(tiny_state)
    two = Nominator(tiny, folder=tmp_path)
    assert two.version.name == one.version.name == "v1" and two.version.index.version == "v1"
    pd.testing.assert_frame_equal(two.nominate("cid", 2), one.nominate("cid", 2))
    one.publish(other)
    assert two.version.name == "v1" and two.refresh() and two.version.name == "v2"
    assert not two.refresh()
    pd.testing.assert_frame_equal(two.nominate("cid", 2), one.nominate("cid", 2))
    one.publish(tiny_state)
    assert kept(tmp_path) == ["v2", "v3"]  # this one and the one before


def test_two_publishers_at_once(tiny: EventLog, tiny_state: State, tmp_path: Path):
    one, two = (Nominator(tiny, folder=tmp_path) for _ in range(2))
    one.publish(tiny_state)
    with filelock.FileLock(tmp_path / "versions" / "publishing.lock"):
        assert refusal(two.publish, tiny_state).startswith("somebody else is publishing in")
        assert refusal(two.back).startswith("somebody else is publishing in")
    assert (tmp_path / "versions" / "current").read_text() == "v1"
    assert len(one.nominate("eve", 4)) == 4
    two.publish(tiny_state)
    assert two.version.name == "v2"


@pytest.mark.parametrize("step", ["build", "search", "save", "state", "rename", "current"])
def test_a_failed_publish_leaves_everything_as_it_was(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path, step: str
):
    from course_lib import files

    target, name = {
        "build": (FaissIndex, "build"),
        "search": (FaissIndex, "search"),
        "save": (FaissIndex, "save"),
        "state": (State, "save"),
        "rename": (Path, "rename"),
        "current": (files.os, "replace"),
    }[step]
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(tiny_state)
    log = late(tiny, ("eve", "cup"))
    before = nominator.version
    with failing(target, name, ConnectionError("gone")), pytest.raises(ConnectionError):
        nominator.publish(other, log=log)
    assert nominator.version is before and nominator.log is tiny
    assert Nominator(tiny, folder=tmp_path).version.name == "v1" and kept(tmp_path) == ["v1"]
    nominator.publish(other, log=log)
    assert nominator.version.name == "v2" and nominator.log is log


def test_a_diverged_model_is_not_published(tiny: EventLog, tiny_state: State, tmp_path: Path):
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(tiny_state)
    broken = trained(tiny, SMALL, tiny.days[:1])
    broken.model.item_tables[0].weight.data.fill_(float("nan"))
    assert refusal(nominator.publish, broken).startswith("vectors hold NaN")
    assert Nominator(tiny, folder=tmp_path).version.name == "v1" == nominator.version.name


@pytest.mark.parametrize("file", ["index", "state.pt", "version.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_version_is_left_for_the_one_before(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path, file: str, damage: str
):
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(tiny_state)
    expected = nominator.nominate("cid", 2)
    nominator.publish(other)
    path = tmp_path / "versions" / "v2" / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2]) if damage == "cut" else path.unlink()
    with pytest.warns(UserWarning, match="v2 can't be served.*v1, the version before, is served"):
        served = Nominator(tiny, folder=tmp_path)
    pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
    (tmp_path / "versions" / "v1" / file).unlink()
    with pytest.warns(UserWarning, match="nothing is served"):
        served = Nominator(tiny, folder=tmp_path)
    with pytest.raises(ValueError, match="v2 can't be served, because"):
        served.nominate("cid")
    served.publish(tiny_state)
    assert Nominator(tiny, folder=tmp_path).version.name == "v3"


def test_nothing_of_others_is_removed(tiny: EventLog, tiny_state: State, tmp_path: Path):
    """Beside the versions' folder, in it, under names that are nearly or wholly a version's, and in
    a version; links stay links, and what they lead to stays.
    """
    mine, versions = tmp_path / "mine", tmp_path / "shop" / "versions"
    for place in (mine, tmp_path / "shop" / "v1", tmp_path / "shop" / "vectors"):
        place.mkdir(parents=True)
    for name in ("v0", "v01", "v1_backup", "v9.new", "validation", "v2"):
        (versions / name).mkdir(parents=True)
        (versions / name / "index.txt").write_text("mine")
    (tmp_path / "shop" / "current").write_text("mine")
    (versions / "v3").symlink_to(mine)
    (versions / "v4.new").symlink_to(mine)
    (versions / "v5").write_text("mine")
    (mine / "version.json").write_text("mine")
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    nominator = Nominator(tiny, folder=tmp_path / "shop")
    for _ in range(4):
        nominator.publish(tiny_state)
        (versions / nominator.version.name / "notes.txt").write_text("mine")
    for path, text in before.items():
        assert (path.is_file() and path.read_text()) == text, path
    assert (versions / "v3").is_symlink() and (versions / "v4.new").is_symlink()
    names = [f"v{number}" for number in range(10, 14)]
    whole = [name for name in names if (versions / name / "state.pt").exists()]
    assert whole == names[-2:] and nominator.version.name == names[-1]
    assert all((versions / name / "notes.txt").read_text() == "mine" for name in names)
    assert not (versions / names[0] / "index").exists()


def test_a_pointer_of_somebody_else_is_left_alone(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    (tmp_path / "versions").mkdir()
    pointer = tmp_path / "versions" / "current"
    pointer.write_text("../mine")
    with pytest.warns(UserWarning, match="names no version"):
        nominator = Nominator(tiny, folder=tmp_path)
    assert "names no version" in refusal(nominator.publish, tiny_state)
    assert pointer.read_text() == "../mine" and kept(tmp_path) == []
    (tmp_path / "file").touch()
    assert "is no folder" in refusal(Nominator, tiny, folder=tmp_path / "file")


def test_a_linked_pointer_stays_a_link(tiny: EventLog, tiny_state: State, tmp_path: Path):
    Nominator(tiny, folder=tmp_path).publish(tiny_state)
    pointer = tmp_path / "versions" / "current"
    pointer.rename(tmp_path / "elsewhere")
    pointer.symlink_to(tmp_path / "elsewhere")
    Nominator(tiny, folder=tmp_path).publish(tiny_state)
    assert pointer.is_symlink() and (tmp_path / "elsewhere").read_text() == "v2"


# -- another log ------------------------------------------------------------------------------


def test_items_keep_their_vectors_whatever_their_rows(
    tiny_state: State, tmp_path: Path, other: State
):
    """An older item in the table moves every row by one."""
    frames = with_listing(tiny_frames())
    log = EventLog.from_frame(**frames)
    one = Nominator(log, folder=tmp_path)
    one.publish(trained(log, SMALL, log.days))
    right = one.nominate("eve", 4).set_index("item")["score"]
    older = pd.DataFrame(
        {"item": ["jar"], "colour": "red", "words": [[]], "listed": pd.Timestamp("2019-01-01")}
    )
    frames["items"] = pd.concat([older, frames["items"]], ignore_index=True)
    grown = EventLog.from_frame(**frames)
    two = Nominator(grown, folder=tmp_path)
    assert grown.items.index.tolist().index("jar") == 0
    found = two.nominate("eve", 9).set_index("item")["score"]
    pd.testing.assert_series_equal(found, right)
    assert two.nominate("ann", 9)["item"].tolist() == one.nominate("ann", 9)["item"].tolist()
    assert two.history("ann").equals(one.history("ann"))
    bought = late(grown, ("eve", "jar"), ("bob", "lamp"))
    state, touched = incremental_update(two.version.state, bought, "2020-01-07 09:00")
    two.update(state, touched, bought)  # the jar gets an id of its own
    assert set(two.nominate("fay", 9)["item"]) == {*right.index, "jar"}
    assert "jar" not in set(two.nominate("eve", 9)["item"])
    vectors = state.item_vectors(bought, np.array([0]), state.features.counts.time)
    score = two.nominate("fay", 9).set_index("item").loc["jar", "score"]
    assert score == pytest.approx(float(two.user_vector("fay") @ vectors[0]), abs=1e-6)


@pytest.mark.parametrize("lost", ["item", "user", "field"])
def test_a_log_without_what_the_model_knows(
    frames, tiny: EventLog, tiny_state: State, tmp_path: Path, lost: str
):
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(tiny_state)
    if lost == "field":
        frames["items"] = frames["items"].drop(columns="colour")
    else:
        gone = {"item": "vase", "user": "cid"}[lost]
        frames["events"] = frames["events"][frames["events"][lost] != gone]
    log = EventLog.from_frame(**frames)
    word = {"item": "item 'vase'", "user": "user 'cid'", "field": "field 'colour'"}[lost]
    with pytest.warns(UserWarning, match=f"lacks {word}.*nothing is served"):
        served = Nominator(log, folder=tmp_path)
    assert f"lacks {word}" in refusal(served.publish, tiny_state, "2020-01-08")
    with pytest.raises(ValueError, match=f"lacks {word}"):
        served.best("ann", 1)
    served.publish(trained(log, SMALL, log.days))
    assert len(served.nominate("eve", 1)) == 1


def test_ids_of_another_type_are_other_items(frames, tmp_path: Path):
    numbers = dict(zip(["mug", "bag", "lamp", "vase"], range(4), strict=True))
    frames["events"]["item"] = frames["events"]["item"].map(numbers)
    frames["items"]["item"] = frames["items"]["item"].map(numbers)
    log = EventLog.from_frame(**frames)
    Nominator(log, folder=tmp_path).publish(trained(log, SMALL, log.days))
    text = {name: frame.copy() for name, frame in frames.items()}
    for name in ("events", "items"):
        text[name]["item"] = text[name]["item"].astype(str)
    with pytest.warns(UserWarning, match="the log lacks item 0"):
        assert Nominator(EventLog.from_frame(**text), folder=tmp_path).version is None


# -- incremental states -----------------------------------------------------------------------


def test_an_incremental_state_of_another_model_is_refused(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path
):
    """With as many updates; one that was saved and loaded is no other."""
    nominator = Nominator(tiny)
    nominator.publish(tiny_state)
    log = late(tiny, ("eve", "mug"))
    wrong = incremental_update(other, log, "2020-01-07 09:00")
    version = nominator.version
    assert refusal(nominator.update, *wrong, log).startswith("this state does not build on")
    assert nominator.version is version and nominator.log is tiny
    tiny_state.save(tmp_path / "state.pt")
    same = State.load(tmp_path / "state.pt")
    nominator.update(*incremental_update(same, log, "2020-01-07 09:00"), log)
    assert nominator.log is log


def test_what_was_just_bought_is_history_without_a_log(frames):
    """The nominator has the whole log, and stands at the fifth, 08:00: Ann buys the lamp."""
    log = EventLog.from_frame(**with_listing(frames))
    state = trained(log, SMALL, log.days[:3])
    nominator = Nominator(log)
    nominator.publish(state, "2020-01-05")
    assert set(nominator.nominate("ann", 9)["item"]) == {"lamp", "vase"}
    nominator.update(*incremental_update(state, log, "2020-01-05 08:00"))
    assert nominator.nominate("ann", 9)["item"].tolist() == ["vase"]
    assert nominator.history("ann")["item"].tolist() == ["lamp", "bag", "mug"]
    assert nominator.history("cid")["item"].tolist() == ["mug"]  # the bag is yet to come


def test_an_update_that_fails_changes_nothing(tiny: EventLog, tiny_state: State):
    nominator = Nominator(tiny)
    nominator.publish(tiny_state)
    before, version = nominator.nominate("cid", 4), nominator.version
    log = late(tiny, ("eve", "cup"), ("cid", "lamp"))
    update = (*incremental_update(tiny_state, log, "2020-01-07 09:00"), log)
    gone = ConnectionError("gone")
    with failing(version.index, "upsert", gone), pytest.raises(ConnectionError):
        nominator.update(*update)
    assert nominator.version is version and nominator.log is tiny
    pd.testing.assert_frame_equal(nominator.nominate("cid", 4), before)
    nominator.update(*update)
    assert set(nominator.nominate("cid", 9)["item"]) == {"vase", "cup"}
    assert set(nominator.nominate("eve", 9)["item"]) == {"mug", "bag", "lamp", "vase"}
    nominator.update(*update)  # once more is nothing more
    assert set(nominator.nominate("cid", 9)["item"]) == {"vase", "cup"}


def test_a_log_that_does_not_go_on_is_refused(tiny: EventLog, tiny_state: State):
    nominator = Nominator(tiny)
    nominator.publish(tiny_state)
    log = late(tiny, ("eve", "cup"))
    state, touched = incremental_update(tiny_state, log, "2020-01-07 09:00")
    nominator.update(state, touched, log)
    twisted = late(tiny, ("zoe", "pot"), ("eve", "cup"))
    assert refusal(nominator.update, state, touched, twisted).startswith("this log does not go on")
    assert nominator.log is log


# -- back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps", [True, False], ids=["folder", "memory"])
def test_back_to_the_version_before(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path, keeps: bool
):
    states = {"tiny": tiny_state, "other": other}
    nominator = Nominator(tiny, folder=tmp_path if keeps else None)
    assert refusal(nominator.back).startswith("there is no version to go back to")
    nominator.publish(tiny_state)
    assert refusal(nominator.back).startswith("there is no version to go back to")
    nominator.publish(other)
    reader = Nominator(tiny, folder=tmp_path) if keeps else nominator
    assert version_of(reader, states) == "other"
    nominator.back()
    assert version_of(nominator, states) == "tiny" and nominator.version.name == "v1"
    if keeps:
        assert reader.refresh() and version_of(reader, states) == "tiny"
        assert Nominator(tiny, folder=tmp_path).version.name == "v1"
    assert refusal(nominator.back).startswith("there is no version to go back to")
    nominator.publish(other)
    assert nominator.version.name == "v3"  # never a name that another process may serve
    nominator.back()
    assert nominator.version.name == "v1"


@pytest.mark.parametrize("keeps", [True, False], ids=["folder", "memory"])
def test_a_retired_version_leaves_the_database(
    tiny: EventLog, tiny_state: State, tmp_path: Path, keeps: bool
):
    Database.there.clear()
    folder = tmp_path if keeps else None
    nominator = Nominator(tiny, lambda name: Database(collection=name), folder)
    for number in range(1, 5):
        nominator.publish(tiny_state)
        assert Database.there == {f"v{n}" for n in (number - 1, number) if n}
    step, gone = "save" if keeps else "search", ConnectionError("gone")
    with failing(Database, step, gone), pytest.raises(ConnectionError):
        nominator.publish(tiny_state)
    assert Database.there == {"v3", "v4"}
    if keeps:  # and if it can't be reached: next time
        with failing(Database, "drop", ConnectionError("gone")):
            nominator.publish(tiny_state)
        assert Database.there == {"v3", "v4", "v5"} and kept(tmp_path) == ["v3", "v4", "v5"]
        Nominator(tiny, lambda name: Database(collection=name), folder).publish(tiny_state)
        assert Database.there == {"v5", "v6"} and kept(tmp_path) == ["v5", "v6"]


def test_one_collection_for_all_versions_is_never_dropped(tiny: EventLog, tiny_state: State):
    Database.there.clear()
    nominator = Nominator(tiny, lambda name: Database())
    for _ in range(4):
        nominator.publish(tiny_state)
    assert Database.there == {"items"}


def test_milvus_has_two_collections(tiny: EventLog, tiny_state: State, tmp_path: Path):
    def collection(name: str) -> MilvusIndex:
        return MilvusIndex(tmp_path / "items.db", collection=f"items_{name}")

    nominator = Nominator(tiny, collection, tmp_path)
    exact = Nominator(tiny)
    exact.publish(tiny_state)
    for _ in range(3):
        nominator.publish(tiny_state)
    client = nominator.version.index._client
    assert sorted(client.list_collections()) == ["items_v2", "items_v3"]
    found, right = nominator.nominate("eve", 4), exact.nominate("eve", 4)
    assert found["item"].tolist() == right["item"].tolist()
    np.testing.assert_allclose(found["score"], right["score"], atol=1e-6)


def test_a_reader_elsewhere_follows_the_alias_with_the_user_network_of_its_version(
    tiny: EventLog, tiny_state: State, other: State, tmp_path: Path
):
    """It knows the folder and the alias; user and item vectors are of one version all the time."""
    states, uri = {"tiny": tiny_state, "other": other}, tmp_path / "items.db"
    nominator = Nominator(
        tiny, lambda name: MilvusIndex(uri, f"items_{name}", alias="items"), tmp_path
    )
    nominator.publish(tiny_state)
    alias, reader = MilvusIndex(uri, "items"), Nominator(tiny, folder=tmp_path)

    def follow() -> str | None:
        reader.refresh(name=alias.leads_to().removeprefix("items_"))
        return version_of(reader, states)

    assert alias.leads_to() == nominator.version.index.leads_to() == "items_v1"
    assert follow() == "tiny" and reader.version.index.collection == "items_v1"
    held = reader.user_vector("eve")
    nominator.publish(other)
    assert version_of(reader, states) == "tiny"  # the alias has turned, and it has not looked
    assert follow() == "other" and reader.version.index.collection == "items_v2"
    mixed, _ = alias.search(held, 4)  # a user vector of one version, item vectors of the other
    for state in states.values():
        items = state.item_vectors(tiny, np.arange(4), nominator.version.time)
        own = (state.user_vectors(tiny, np.array([-1]), 0) @ items.T)[0].numpy()
        assert np.abs(mixed[0] - np.sort(own)[::-1]).max() > 1e-3
    nominator.back()
    assert follow() == "tiny"
    assert "v9 can't be served, because it is not there" in refusal(reader.refresh, name="v9")
    assert follow() == "tiny"
    with pytest.raises(ValueError, match="refuses: .*nowhere"):
        MilvusIndex(uri, "nowhere").leads_to()


def test_what_another_process_put_into_a_database_is_no_item_here(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    """It had a longer log, and died; this one does not know the cup."""
    log = late(tiny, ("eve", "cup"))
    uri = tmp_path / "items.db"
    first = Nominator(log, lambda name: MilvusIndex(uri, collection=name), tmp_path)
    first.log = tiny
    first.publish(tiny_state)
    first.update(*incremental_update(tiny_state, log, "2020-01-07 09:00"), log)
    assert "cup" in set(first.nominate("ann", 9)["item"])
    second = Nominator(tiny, lambda name: MilvusIndex(uri, collection=name), tmp_path)
    assert second.nominate("ann", 9)["item"].tolist() == ["vase"]
    other = late(tiny, ("bob", "jug"))  # whose row is the cup's
    assert other.item_row("jug") == log.item_row("cup")
    second.update(*incremental_update(second.version.state, other, "2020-01-07 09:00"), other)
    assert set(second.nominate("ann", 9)["item"]) == {"vase", "jug"}


# -- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FaissIndex.KINDS)
def test_every_answer_is_of_one_version(retail: EventLog, kind: str):
    """Three threads ask while two models are published in turn: all scores of an answer are cosines
    by one of them.
    """
    settings = replace(SMALL, dim=16, hidden=16, batch_size=256)
    states = [trained(retail, replace(settings, seed=seed), retail.days[:2]) for seed in (0, 1)]
    morning = retail.days[2]
    before, items = retail.rows(end=morning).stop, np.arange(retail.listed(morning))
    users = retail.user_rows[:before:50]
    cosines = [
        state.user_vectors(retail, users, before) @ state.item_vectors(retail, items, morning).T
        for state in states
    ]
    nominator = Nominator(retail, lambda name: FaissIndex(kind))
    nominator.publish(states[0], morning)
    over, wrong, answers = threading.Event(), [], []

    def ask(turn: int) -> None:
        try:
            while not over.is_set():
                turn += 1
                place = turn % len(users)
                scores, rows = nominator.best(retail.users.index[users[place]], 20)
                near = [np.abs(own[place, rows].numpy() - scores).max() for own in cosines]
                owned = set(retail.bought(users[place], before)) & set(rows)
                answers.append(int(np.argmin(near)))
                if min(near) > (0.3 if kind == "ivfpq" else 1e-5) or owned or len(rows) != 20:
                    wrong.append((near, owned, rows))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(turn * 7,)) for turn in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(1, 7):
        nominator.publish(states[turn % 2], morning)
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    assert set(answers) == {0, 1}


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_asking_and_buying_beside_updates(retail: EventLog, retail_state: State, kind: str):
    """What was bought before the question is never in the answer, and nothing is lost."""
    morning, user = retail.days[3], -1
    nominator = Nominator(retail, lambda name: FaissIndex(kind))
    nominator.publish(retail_state, morning)
    hours = retail.events["time"][retail.rows(morning, morning + pd.Timedelta(days=1))]
    over, wrong, basket = threading.Event(), [], []

    def buy() -> None:
        for item in nominator.nominate(user, 60)["item"]:
            nominator.buy(user, item)
            basket.append(item)
            time.sleep(0)

    def ask() -> None:
        try:
            while not over.is_set():
                had = set(basket)
                found = nominator.nominate(user, 10)
                if had & set(found["item"]) or len(found) != 10:
                    wrong.append(found)
                if not had <= set(nominator.history(user, 10_000)["item"]):
                    wrong.append("lost")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask), threading.Thread(target=ask)]
    buyer = threading.Thread(target=buy)
    for thread in (*threads, buyer):
        thread.start()
    state = retail_state
    for hour in hours.dt.floor("h").unique():
        state, touched = incremental_update(state, retail, hour)
        nominator.update(state, touched)
    buyer.join()
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    assert nominator.history(user, 100)["item"].tolist() == basket[::-1]


# -- killed ------------------------------------------------------------------------------------


def publish_for_ever(log: EventLog, state: State, folder: Path, names: Connection) -> None:
    nominator = Nominator(log, folder=folder)
    while True:
        nominator.publish(state)
        names.send(nominator.version.name)


@needs_fork
def test_killed_while_publishing_the_last_good_version_answers(
    tiny: EventLog, tiny_state: State, tmp_path: Path
):
    """A process that publishes again and again is killed (really) at different moments; the next
    one reads and goes on.
    """
    Nominator(tiny, folder=tmp_path).publish(tiny_state)
    expected = Nominator(tiny, folder=tmp_path).nominate("cid", 2)
    published, names = FORK.Pipe(duplex=False)
    arguments = (tiny, tiny_state, tmp_path, names)
    process = FORK.Process(target=publish_for_ever, args=arguments, daemon=True)
    process.start()
    published.recv()
    for wait in (0.0, 0.003, 0.007, 0.011):
        time.sleep(wait)
        os.kill(process.pid, signal.SIGSTOP)  # in the middle of whatever it does
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            served = Nominator(tiny, folder=tmp_path)
        pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
        os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.join()
    served = Nominator(tiny, folder=tmp_path)
    pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
    name = served.version.name
    served.publish(tiny_state)  # the lock died with the process
    assert int(served.version.name[1:]) > int(name[1:])


MOMENTS = {
    "state.pt": (State, "save"),
    "index": (FaissIndex, "save"),
    "version.json": (versions, "atomic_write"),
    "rename": (Path, "rename"),
    "current": (versions.Folder, "current"),
}


def publish_and_die(log: EventLog, state: State, folder: Path, moment: str) -> None:
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    nominator = Nominator(log, folder=folder)
    target, name = MOMENTS[moment]
    if moment == "current":
        die = property(vars(target)[name].fget, die)
    setattr(target, name, die)
    nominator.publish(state)


@needs_fork
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_step_of_publishing(
    tiny: EventLog, tiny_state: State, tmp_path: Path, moment: str
):
    """Killed just before a file is written, the folder is moved, or the pointer is turned."""
    Nominator(tiny, folder=tmp_path).publish(tiny_state)
    expected = Nominator(tiny, folder=tmp_path).nominate("cid", 2)
    arguments = (tiny, new_state(tiny, SMALL), tmp_path, moment)
    process = FORK.Process(target=publish_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    served = Nominator(tiny, folder=tmp_path)
    assert served.version.name == "v1"
    pd.testing.assert_frame_equal(served.nominate("cid", 2), expected)
    served.publish(tiny_state)
    expected = "v3" if moment == "current" else "v2"  # no name twice, though none has served it
    assert Nominator(tiny, folder=tmp_path).version.name == expected
    assert kept(tmp_path) == ["v1", expected]
