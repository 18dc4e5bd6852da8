"""Averaged weights: what is served is an average over the full updates, and training never sees it."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, contents, refusal, same, tiny_frames, trained, with_listing

from course_lib.evaluation import TwoTowerNightly, TwoTowerServed
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update, unfrozen_update
from course_lib.log import HOUR, EventLog
from course_lib.nomination import Nominator
from course_lib.state import Settings, State, new_state

AVERAGED = replace(SMALL, average=0.8)
FIFTH, SIXTH, SEVENTH = (pd.Timestamp(f"2020-01-0{day}") for day in (5, 6, 7))


@pytest.fixture(scope="module")
def state(tiny: EventLog) -> State:
    return trained(tiny, AVERAGED, tiny.days[:4])


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: values.detach().double().numpy() for name, values in model.named_parameters()}


def cosines(model: torch.nn.Module, state: State, log: EventLog, time: pd.Timestamp) -> np.ndarray:
    """[users, items] of everybody and all that is listed, by that model."""
    features = state.features
    items = features.item_features(log, np.arange(log.listed(time)), time)
    users = features.user_features(log, np.arange(len(log.users)), log.rows(end=time).stop)
    with torch.no_grad():
        return (model.user_vectors(users) @ model.item_vectors(items).T).numpy()


def test_the_average_of_four_nights_against_numpy(tiny: EventLog):
    """0.8 · average + 0.2 · live; rows that are new start from the live ones, and all do at first."""
    state, expected, grown = new_state(tiny, AVERAGED), None, 0
    assert state.averaged is None and state.serving is state.model
    for day in tiny.days[:4]:
        state = full_update(state, tiny, day)
        live = weights(state.model)
        if expected is None:
            expected = live
        for name, values in live.items():
            known = len(expected[name])
            grown += len(values) - known
            mixed = 0.8 * expected[name] + 0.2 * values[:known]
            expected[name] = np.concatenate([mixed, values[known:]])
        found = weights(state.averaged)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-6)
        assert state.serving is state.averaged
    assert grown > 0 and not np.allclose(
        live["item_tables.0.weight"], found["item_tables.0.weight"]
    )


def test_training_never_sees_the_average(tiny: EventLog, state: State):
    """The live weights are, to the last bit, those of a run without one."""
    live = trained(tiny, SMALL, tiny.days[:4])
    assert live.averaged is None
    assert contents(state) | {"settings": SMALL} == contents(live)
    hour, _ = incremental_update(state, tiny, SIXTH)
    ours, theirs = full_update(hour.full, tiny, SIXTH), full_update(live, tiny, SIXTH)
    assert contents(ours) | {"settings": SMALL} == contents(theirs)


def test_what_is_served_is_the_average(tiny: EventLog, state: State):
    everybody, items = np.arange(3), np.arange(tiny.listed(SIXTH))
    rows = tiny.rows(end=SIXTH).stop
    served = state.user_vectors(tiny, everybody, rows) @ state.item_vectors(tiny, items, SIXTH).T
    average, live = (cosines(m, state, tiny, SIXTH) for m in (state.averaged, state.model))
    np.testing.assert_allclose(served, average, atol=1e-6)
    assert np.abs(average - live).max() > 1e-3
    nightly = TwoTowerNightly(state).scores(tiny, SIXTH, everybody)
    np.testing.assert_allclose(nightly, average, atol=1e-6)
    hourly = TwoTowerServed(state).scores(tiny, SIXTH, everybody)
    np.testing.assert_allclose(hourly, average, atol=1e-6)


def test_what_is_published_is_the_average_after_a_restart_too(
    tiny: EventLog, state: State, tmp_path
):
    nominator = Nominator(tiny, folder=tmp_path)
    nominator.publish(state, SIXTH)
    expected = cosines(state.averaged, state, tiny, SIXTH)
    for served in (nominator, Nominator(tiny, folder=tmp_path)):
        for user, row in (("ann", 0), ("bob", 1), ("cid", 2)):
            found = served.nominate(user, 4)
            assert len(found)
            columns = tiny.items.index.get_indexer(found["item"])
            np.testing.assert_allclose(found["score"], expected[row, columns], atol=1e-5)


def test_an_hour_builds_on_the_average(tiny: EventLog, state: State):
    hour, touched = incremental_update(state, tiny, SIXTH, rate=0)
    assert hour.averaged is None and hour.full is state
    assert hour.model.item_tables[0].base is state.averaged.item_tables[0]
    before, after = (cosines(m, state, tiny, SEVENTH) for m in (state.averaged, hour.serving))
    np.testing.assert_allclose(after, before, atol=1e-6)
    moved, _ = incremental_update(state, tiny, SIXTH)
    rows = torch.arange(len(state.features.items))
    base = state.averaged.item_tables[0].weight.detach()
    own, _ = moved.model.item_tables[0].find(rows)
    assert same(moved.model.item_tables[0].rows(rows).detach()[~own], base[~own])
    nominator = Nominator(tiny)
    nominator.publish(state, SIXTH)
    nominator.update(moved, touched)
    found = nominator.nominate("cid", 4)
    columns = tiny.items.index.get_indexer(found["item"])
    changed = columns == tiny.item_row("vase")  # all others are in the index as they were
    expected = moved.user_vectors(tiny, np.array([2]), len(tiny)).numpy()
    old = state.item_vectors(tiny, columns, SIXTH).numpy() @ expected[0]
    np.testing.assert_allclose(found["score"][~changed], old[~changed], atol=1e-5)


def test_an_hour_goes_on_from_an_hour(tiny: EventLog):
    state = trained(tiny, AVERAGED, tiny.days[:3])
    first, _ = incremental_update(state, tiny, FIFTH + 8 * HOUR)
    second, _ = incremental_update(first, tiny, FIFTH + 23 * HOUR)
    assert second.full is state
    assert second.model.item_tables[0].base is state.averaged.item_tables[0]
    lamp = torch.tensor([first.features.items.vocabularies["item"]["lamp"]])
    ours, theirs = (each.model.item_tables[0].rows(lamp).detach() for each in (second, first))
    assert same(ours, theirs)


def test_an_hour_with_nothing_frozen_starts_from_the_average(tiny: EventLog):
    still = replace(AVERAGED, embedding_lr=0.0, dense_lr=0.0)
    state = replace(trained(tiny, AVERAGED, tiny.days[:3]), settings=still)
    for group in state.optimiser.param_groups:
        group["lr"] = 0.0
    kept = weights(state.averaged), weights(state.model)
    hour = unfrozen_update(state, tiny, FIFTH + 8 * HOUR)
    for name, values in weights(hour.serving).items():
        np.testing.assert_array_equal(values[: len(kept[0][name])], kept[0][name])
    for old, model in zip(kept, (state.averaged, state.model), strict=True):
        assert all(map(np.array_equal, old.values(), weights(model).values()))
    assert hour.full is state


def test_it_is_saved_copied_and_told_apart(tiny: EventLog, state: State, tmp_path):
    state.save(tmp_path / "state.pt")
    loaded, twin = State.load(tmp_path / "state.pt", "cpu"), copy.deepcopy(state)
    for other in (loaded, twin):
        assert contents(other) == contents(state) and other.fingerprint() == state.fingerprint()
        for ours, theirs in zip(
            state.averaged.state_dict().values(), other.averaged.state_dict().values(), strict=True
        ):
            assert same(ours, theirs) and ours.data_ptr() != theirs.data_ptr()
        one, two = (full_update(each, tiny, SIXTH) for each in (state, other))
        assert contents(one) == contents(two) and one.fingerprint() == two.fingerprint()
        a, b = (incremental_update(each, tiny, SIXTH)[0] for each in (state, other))
        assert same(a.model.item_tables[0].weight.detach(), b.model.item_tables[0].weight.detach())
    live = replace(state, averaged=None)
    assert live.fingerprint() != state.fingerprint()
    assert live.fingerprint() == trained(tiny, SMALL, tiny.days[:4]).fingerprint()


def test_a_file_from_before_averages_is_a_state_without_one(tiny: EventLog, tmp_path):
    state, path = trained(tiny, SMALL, tiny.days[:2]), tmp_path / "state.pt"
    state.save(path)
    old = torch.load(path, weights_only=True)
    del old["averaged"]
    for name in ("negatives", "mask_bought", "average"):
        del old["settings"][name]
    torch.save(old, path)
    loaded = State.load(path, "cpu")
    assert loaded.averaged is None and contents(loaded) == contents(state)


def test_several_days_at_once_are_one_step_of_the_average():
    log = EventLog.from_frame(**with_listing(tiny_frames()))
    first = full_update(new_state(log, AVERAGED), log, log.days[0])
    both = full_update(first, log, log.days[1], days=4)
    old, live, found = (weights(m) for m in (first.averaged, both.model, both.averaged))
    name = "item_tower.shortcut.weight"
    np.testing.assert_allclose(found[name], 0.8 * old[name] + 0.2 * live[name], atol=1e-6)
    assert both.learned_until > log.days[3]


@pytest.mark.parametrize("wrong", [-0.1, 1, 1.0, True, None, "0.8", np.nan])
def test_an_average_is_a_share_below_one(wrong: object):
    assert refusal(Settings, average=wrong).startswith(f"average is {wrong!r}")
    assert Settings(average=np.float32(0.5)).average == 0.5
