"""A day in production: whatever goes wrong, no event is lost or there twice, every answer is of one
version, and the night ends where a plain full update ends.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import contents, refusal, trained

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, EventLog
from course_lib.production import (
    FAULTS,
    Day,
    by_the_hour,
    half_baskets,
    kill_publisher,
    sold_before,
    with_hours_merged,
)
from course_lib.state import Settings, State
from course_lib.versions import Folder

MORNING = pd.Timestamp("2010-12-03")
SMALL = Settings(dim=8, hidden=8, history=5, popularity_half_lives=(2.0,), device="cpu")


@pytest.fixture(scope="module")
def state(retail: EventLog) -> State:
    past = sold_before(retail, MORNING)
    return trained(past, SMALL, past.days)


@pytest.fixture(scope="module")
def plain(retail: EventLog, state: State, tmp_path_factory) -> Day:
    day = Day(retail, state, MORNING, tmp_path_factory.mktemp("plain"))
    while day.left:
        day.step()
    return day


def purchases(retail: EventLog) -> pd.Series:
    times = retail.events["time"]
    return times[times.dt.normalize() == MORNING].dt.floor("h").value_counts().sort_index()


def test_every_hour_is_learned_once(plain: Day, retail: EventLog):
    hours, table = purchases(retail), plain.table
    assert table["hour"].tolist() == [f"{hour:%H}" for hour in hours.index] + ["next day"]
    assert table["events"].tolist() == [0, *hours]
    assert plain.lost() == 0 and not table["fault"].any()
    assert refusal(plain.step).startswith("this day is over")


def test_the_night_is_the_plain_full_update(plain: Day, retail: EventLog, state: State):
    """Of the log as the shards made it; the hours are gone."""
    log = plain.trainer.log
    expected = full_update(state, log, MORNING)
    assert plain.trainer.state.full is None
    assert contents(plain.trainer.state) == contents(expected)
    held = plain.nominator.version.index
    assert len(held) == log.listed(expected.learned_until) == plain.table["sent"].iloc[-1]


def test_recall_is_of_what_the_hour_bought(plain: Day, retail: EventLog):
    """The last step's, found anew; and no answer holds what its user has."""
    first = retail.events[retail.events["time"] >= MORNING + pd.Timedelta(days=1)]
    hour = first["time"].iloc[0].floor("h")
    bought = first[first["time"] < hour + pd.Timedelta(hours=1)]
    lists = {answer.user: answer.items for answer in plain.answers if answer.last}
    found = [item in lists[user] for user, item in zip(bought.user, bought.item, strict=True)]
    assert plain.table["R@100"].iloc[-1] == pytest.approx(np.mean(found))
    assert {*lists} == {*bought["user"]} and all(len(set(a)) == 100 for a in lists.values())
    past = retail.events[retail.events["time"] < MORNING + pd.Timedelta(days=1)]
    for answer in plain.answers:
        if answer.last:
            assert not set(answer.items) & set(past["item"][past["user"] == answer.user])


def test_answers_are_of_the_version_before_or_after(retail: EventLog, state: State, tmp_path: Path):
    day = Day(retail, state, MORNING, tmp_path)
    day.step()
    before = day.nominator.version.state.learned_until
    day.step()
    after = day.nominator.version.state.learned_until
    assert before < after
    assert {answer.learned_until for answer in day.answers} <= {before, after}
    assert {answer.learned_until for answer in day.answers if answer.last} == {after}


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_a_fault_loses_nothing(fault: str, retail: EventLog, state: State, tmp_path: Path):
    day = Day(retail, state, MORNING, tmp_path)
    for number in range(day.left):
        said = day.step(fault if number == 2 else None)
        if number == 2:
            (became,) = said.values() or [""]
            assert {
                "lose an hour": became == "",
                "deliver twice": became.endswith("; then nothing new"),
                "damage a shard": "left alone" in became and "checksum" in became,
                "clock back": became == "from the future: waits",
            }[fault], became
    late = fault != "deliver twice"
    assert (day.table["events"].iloc[2] == 0) == late
    assert day.lost() == 0 and day.table["fault"].tolist()[2] == fault
    assert (
        day.table["shards"].tolist()[2]
        == {
            "lose an hour": ["nothing landed"],
            "deliver twice": ["learned", "there already"],
            "damage a shard": ["damaged"],
            "clock back": ["from the future"],
        }[fault]
    )
    assert set(day.table["version"].iloc[:-1]) == {"v1"} != set(day.table["version"].iloc[-1:])
    assert day.table["events"].sum() == purchases(retail).sum()


def test_what_is_lost_is_counted(retail: EventLog, state: State, tmp_path: Path):
    """A day whose third shard never comes: as many events as that hour has."""
    day = Day(retail, state, MORNING, tmp_path)
    for number in range(day.left):
        day.step("lose an hour" if number == 3 else None)
        day.late = []
    assert day.lost() == purchases(retail).iloc[2]


def test_a_publisher_is_really_killed(retail: EventLog, state: State, tmp_path: Path):
    day = Day(retail, state, MORNING, tmp_path)
    day.step()
    day.step()
    serving, learned = day.nominator.version.name, len(day.trainer.log)
    kill_publisher(day.past, day.keep / "full.pt", tmp_path)
    folder = Folder(tmp_path)
    assert folder.current == serving
    assert [path.suffix for path in folder.place.glob("v*") if path.name != serving] == [".new"]
    day.start()
    assert not [*folder.place.glob("*.new")] and folder.current != serving
    assert len(day.trainer.log) == learned
    day.step()
    assert day.table["events"].iloc[2] == purchases(retail).iloc[1]


def test_merged_hours_change_the_rows_that_they_learned(retail: EventLog, state: State):
    """And nothing else of the full state, which stays as it was."""
    hourly, before = by_the_hour(state, retail, MORNING), contents(state)
    expected = state
    for hour in purchases(retail).index:
        expected, _ = incremental_update(expected, retail, hour)
    assert contents(hourly) == contents(expected) and hourly.full is state
    merged = with_hours_merged(hourly)
    assert contents(state) == before and merged.full is None
    for tables in ("item_tables", "user_tables"):
        own, plain, new = (getattr(s.model, tables)[0] for s in (hourly, state, merged))
        inside = own.ids[own.ids < len(plain)]
        assert torch.equal(new.weight[inside], own.weight[own.ids < len(plain)])
        changed = (new.weight != plain.weight).any(1).nonzero()[:, 0]
        assert len(changed) and torch.isin(changed, inside).all()
    dense = zip(merged.model.dense_parameters(), state.model.dense_parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in dense)


def test_half_baskets_against_brute_force(retail: EventLog, state: State):
    """With the same draws; the vectors from the features by hand, ranked in float64."""
    found = half_baskets(retail, state, MORNING, np.random.default_rng(3), k=50)
    generator, rows = np.random.default_rng(3), retail.rows(MORNING, MORNING + DAY)
    m, expected = retail.listed(MORNING), []
    items = state.item_vectors(retail, np.arange(m), MORNING).double().numpy()
    for user in sorted(set(retail.user_rows[rows].tolist())):
        of_user = retail.user_rows[rows] == user
        basket = [item for item in retail.item_rows[rows][of_user] if item < m]
        basket = generator.permutation(basket)
        if len(basket) < 2:
            continue
        n = (len(basket) + 1) // 2
        second, first = set(basket[:n].tolist()), basket[n:].tolist()
        old = retail.bought(user, rows.start).tolist()
        hits = []
        for latest in (old, old + first):
            features = state.features.user_features(retail, np.array([user]), rows.start)
            history = torch.zeros_like(features["history"])
            newest = latest[::-1][: state.features.history]
            if newest:
                history[0, : len(newest)] = state.features.item_indices(retail, np.array(newest))
            with torch.no_grad():
                vector = state.model.user_vectors(features | {"history": history})
            scores = items @ vector.double().numpy()[0]
            scores[old + first] = -np.inf
            hits.append(len(second & set(np.argsort(-scores)[:50].tolist())))
        expected.append((MORNING, not old, len(second), *hits))
    expected = pd.DataFrame(expected, columns=found.columns)
    assert (found[["new", "events"]] == expected[["new", "events"]]).all(axis=None)
    columns = ["stored", "computed"]
    assert (found[columns] - expected[columns]).abs().to_numpy().sum() <= 1  # a tie at the end
    assert found["computed"].sum() != found["stored"].sum()
