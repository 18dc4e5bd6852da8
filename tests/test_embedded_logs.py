"""What holds of every log in LOGS, so that a new one needs no tests of its own for it."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import LOGS, embedded, trained

from course_lib.evaluation import TwoTowerNightly, replay
from course_lib.log import DAY, EventLog
from course_lib.state import Settings
from course_lib.tfrecord import read, write_shards

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=LOGS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def log(name: str) -> EventLog:
    return embedded(name)


def test_the_readmes_name_the_log(name: str):
    of_data, of_tree = (
        (ROOT / path).read_text("utf-8") for path in ("data/README.md", "README.md")
    )
    assert f"course_lib/{name}.py" in of_data and f"{name}.py" in of_tree


def test_settings_are_chosen_before_the_days_they_are_tested_on(name: str, log: EventLog):
    module = importlib.import_module(f"course_lib.{name}")
    tuning, test = (pd.to_datetime(days) for days in (module.TUNING, module.TEST))
    assert log.days[0] < tuning[0] < tuning[1] <= test[0] < test[1] == log.days[-1] + DAY


def test_no_item_is_listed_after_its_first_event(log: EventLog):
    listed, first = log.items["listed"].to_dict(), {}
    for item, time in zip(log.events["item"], log.events["time"], strict=True):
        first.setdefault(item, time)
    assert set(first) == set(listed)
    assert all(listed[item] <= first[item] for item in first)
    assert (
        log.items["listed"].is_monotonic_increasing and log.events["time"].is_monotonic_increasing
    )


def test_a_day_becomes_a_shard_and_comes_back(log: EventLog, tmp_path: Path):
    day = log.days[len(log.days) // 2]
    (path,) = write_shards(log, tmp_path, start=day, end=day + DAY)
    back = pd.concat(read(path), ignore_index=True)
    events = log.events[log.events["time"].dt.normalize() == day].reset_index(drop=True)
    assert len(events) > 100
    pd.testing.assert_frame_equal(back[["user", "item", "time"]], events)
    for id, table in (("item", log.items), ("user", log.users)):
        rows = table.loc[events[id]]
        assert {n for n in back if n.startswith(f"{id}/")} == {f"{id}/{n}" for n in table}
        for field in table:
            one, other = (values.astype(object) for values in (back[f"{id}/{field}"], rows[field]))
            assert (
                one.where(one.notna(), None).tolist() == other.where(other.notna(), None).tolist()
            )


def test_three_days_teach_the_two_towers_what_the_fourth_asks(log: EventLog):
    state = trained(log, Settings(dim=16, hidden=16, device="cpu"), log.days[:3])
    asked = state.features.user_features(log, log.user_rows[:5], before=len(log))
    assert set(asked) == {"user", "history", *log.users.columns}
    now = log.days[3]
    vectors = state.item_vectors(log, np.arange(log.listed(now)), now)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    nightly = TwoTowerNightly(state)
    found = replay(log, nightly, now, now + DAY, progress=False, learn_before=False)
    known = found["rank"][found["bought"] > 0]
    assert len(known) > 50 and known.median() < len(vectors) / 5  # chance: half of them
