"""Mixed negatives in the full update: what a step's columns are, what is masked, what is learned."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, Sizes, contents, refusal, same, tiny_frames, trained, with_listing

from course_lib.augment import Complementary, SelfSupervision
from course_lib.features import concat_features
from course_lib.full_update import (
    Examples,
    epoch,
    full_update,
    make_examples,
    mixed_step,
    training_step,
)
from course_lib.incremental_update import incremental_update, unfrozen_update
from course_lib.log import DAY, HOUR, EventLog
from course_lib.losses import in_batch_softmax
from course_lib.state import Settings, State, new_state
from course_lib.towers import RowwiseAdagrad

DRAWN = replace(SMALL, negatives=2, mask_bought=True)
WHOLE = replace(SMALL, negatives=1_000, mask_bought=True)
FIFTH, SIXTH = pd.Timestamp("2020-01-05"), pd.Timestamp("2020-01-06")


def a_day(log: EventLog, settings: Settings, day: pd.Timestamp) -> tuple[State, Examples]:
    """The day's examples, as a full update makes them after all days before."""
    state = trained(log, settings, log.days[log.days < day])
    rows = log.rows(day, day + DAY)
    state.features.learn(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes)
    data = make_examples(state, log, rows, day, state.generator(), mixed=True)
    data.catalogue.items["row"] = torch.arange(len(data.catalogue.log_q))  # travels with the fields
    return state, data


def items_of(log: EventLog, step: Examples) -> list:
    """What the log calls the columns' items."""
    return log.items.index[step.items["row"].numpy()].tolist()


def has(log: EventLog, user: str, day: pd.Timestamp) -> set:
    """What the user has at the end of the day."""
    past = log.events[log.events["time"] < day + DAY]
    return set(past.loc[past["user"] == user, "item"])


@pytest.mark.parametrize("settings", [DRAWN, WHOLE, replace(DRAWN, negatives=0)])
@pytest.mark.parametrize("length", [1, 3])
def test_columns_and_masks_of_every_day(settings: Settings, length: int):
    """Against the events: what a user has before and on the day is masked, however short the
    history, and so are the other copies of the own item; that one never is.
    """
    log = EventLog.from_frame(**with_listing(tiny_frames()))
    for day in log.days[1:]:
        state, data = a_day(log, replace(settings, history=length), day)
        events = log.events[log.rows(day, day + DAY)]
        step = mixed_step(data, torch.arange(len(events)), state.settings, state.generator())
        columns = items_of(log, step)
        if settings.negatives == WHOLE.negatives:
            assert columns == log.items.index.tolist() and not step.log_q.any()
        else:
            assert columns[: len(events)] == events["item"].tolist()
            assert len(columns) == len(events) + settings.negatives
        for i, (user, item) in enumerate(zip(events["user"], events["item"], strict=True)):
            own = int(step.own[i])
            assert columns[own] == item
            expected = [name in has(log, user, day) for name in columns]
            found = step.masked[i].tolist()
            assert found[:own] + found[own + 1 :] == expected[:own] + expected[own + 1 :]


def test_without_masks_only_accidental_hits_are_masked(tiny: EventLog):
    state, data = a_day(tiny, replace(DRAWN, negatives=3, mask_bought=False), FIFTH)
    step = mixed_step(data, torch.arange(2), state.settings, torch.Generator().manual_seed(1))
    columns = items_of(tiny, step)
    expected = [[item == own for item in columns] for own in columns[:2]]
    assert step.masked.tolist() == expected


def test_the_correction_is_that_of_both_sources():
    """Shares by hand: an item's recent events, halving every 7 days, among all; 3 items listed."""
    frames = with_listing(tiny_frames())
    frames["items"].loc[frames["items"]["item"] == "vase", "listed"] = SIXTH
    log = EventLog.from_frame(**frames)
    state, data = a_day(log, DRAWN, FIFTH)
    step = mixed_step(data, torch.arange(2), state.settings, state.generator())
    ages = (FIFTH - log.events["time"].dt.normalize()[:7]) / DAY
    weights = (0.5 ** (ages / 7)).groupby(log.events["item"][:7]).sum()
    q = weights[items_of(log, step)].to_numpy() / weights.sum()
    np.testing.assert_allclose(step.log_q.exp(), 2 / 4 * q + 2 / 4 / 3, rtol=1e-5)


def test_negatives_stand_as_they_did_that_morning(tiny: EventLog):
    """Popularity features are those of the morning, before the day's own events are counted."""
    state = trained(tiny, DRAWN, tiny.days[:3])
    expected = state.features.item_features(tiny, np.arange(4), FIFTH)["popularity"]
    _, data = a_day(tiny, DRAWN, FIFTH)
    assert same(data.catalogue.items["popularity"], expected[: len(data.catalogue.log_q)])


def test_nothing_is_drawn_before_it_is_listed():
    frames = with_listing(tiny_frames())
    events, items = frames["events"], frames["items"]
    items.loc[items["item"] == "vase", "listed"] = SIXTH
    items.loc[items["item"] == "lamp", "listed"] = FIFTH + HOUR  # sold that day: in, on that day
    log = EventLog.from_frame(events, items, frames["users"])
    for day, known in zip(log.days, (2, 2, 2, 3, 4), strict=True):
        for settings in (replace(DRAWN, negatives=1), WHOLE):
            state, data = a_day(log, settings, day)
            assert len(data.catalogue.log_q) == known
            seen = set()
            for seed in range(30):
                generator = torch.Generator().manual_seed(seed)
                step = mixed_step(data, torch.tensor([0]), settings, generator)
                seen |= set(items_of(log, step))
            assert seen == set(log.items.index[:known])


def test_draws_are_uniform(tiny: EventLog):
    state, data = a_day(tiny, replace(SMALL, negatives=3), SIXTH)
    generator, counts = torch.Generator().manual_seed(0), pd.Series(0, tiny.items.index)
    for _ in range(400):
        step = mixed_step(data, torch.tensor([0]), state.settings, generator)
        counts = counts.add(pd.Series(items_of(tiny, step)[1:]).value_counts(), fill_value=0)
    assert counts.sum() == 1_200
    assert (counts - 300).abs().max() < 4 * (1_200 / 4 * 3 / 4) ** 0.5


def test_the_whole_catalogue_against_numpy(retail: EventLog):
    """A day's first step of the full softmax: over all items listed, in float64, by the log."""
    small = Settings(dim=8, hidden=8, field_dropout=0.0, session_prefix_share=0.0, device="cpu")
    settings, day = replace(small, negatives=10**6, mask_bought=True), retail.days[2]
    state, data = a_day(retail, settings, day)
    first = retail.rows(day).start
    events = torch.arange(0, len(data), 9)
    step = mixed_step(data, events, settings, state.generator())
    before = trained(retail, small, retail.days[:2])  # counts as they stood that morning
    before.features.learn(retail, retail.rows(day, day + DAY))
    listed = retail.listed(day)
    features = before.features.item_features(retail, np.arange(listed), day)
    with torch.no_grad():
        items = state.model.item_vectors(features).double().numpy()
        rows = retail.user_rows[first + events.numpy()]
        users = state.model.user_vectors(state.features.user_features(retail, rows, first))
    losses = []
    for i, vector in zip(events.tolist(), users.double().numpy(), strict=True):
        user, item = retail.user_rows[first + i], retail.item_rows[first + i]
        owned = retail.item_rows[: first + len(data)][retail.user_rows[: first + len(data)] == user]
        scores = items @ vector / settings.temperature
        left = np.setdiff1d(np.arange(listed), np.setdiff1d(owned, item))
        losses.append(np.log(np.exp(scores[left]).sum()) - scores[item])
    tables = RowwiseAdagrad(state.model.tables(), 0.1)
    assert training_step(state, tables, step) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_negative_moves_although_nobody_bought_it():
    """An item that the fifth neither sells nor names in a history; only negatives reach its row."""
    frames = with_listing(tiny_frames())
    frames["events"].loc[0, "item"] = "vase"
    frames["events"] = frames["events"].drop(index=7)
    log = EventLog.from_frame(**frames)
    for negatives, moves in ((0, False), (3, True), (1_000, True)):
        settings = replace(SMALL, history=1, negatives=negatives)
        state = trained(log, settings, log.days[:3])
        new = full_update(state, log, FIFTH)
        row = state.features.items.vocabularies["item"]["vase"]
        old, now = (each.model.item_tables[0].weight[row].detach() for each in (state, new))
        assert same(old, now) != moves


def test_each_event_once_in_steps_of_one_day(tiny: EventLog):
    """The losses' own arguments: every pair of a day together, and the day's items only."""
    seen = []

    def spy(users, items, log_q, own, masked, temperature):
        seen.append((len(users), len(items)))
        assert masked.shape == (len(users), len(items)) and len(own) == len(users)
        return (users.sum() + items.sum()) * 0

    settings = replace(WHOLE, batch_size=1)
    full_update(new_state(tiny, settings), tiny, tiny.days[0], days=6, loss=spy)
    assert len(seen) == len(tiny) and {n for n, _ in seen} == {1}
    sizes = [tiny.listed(day) for day in tiny.events["time"].dt.normalize()]
    assert sorted(c for _, c in seen) == sorted(sizes)
    state, data = a_day(tiny, settings, FIFTH)
    ordered = list(epoch(state, [data, data], False, state.generator()))
    assert [int(step.ids) for step in ordered] == data.ids.tolist() * 2


def test_off_is_the_in_batch_loss(tiny: EventLog):
    off = trained(tiny, SMALL, tiny.days[:3])
    named = full_update(off, tiny, FIFTH, loss=in_batch_softmax)
    assert contents(full_update(off, tiny, FIFTH)) == contents(named)
    rows = tiny.rows(FIFTH, SIXTH)
    assert make_examples(copy.deepcopy(off), tiny, rows, FIFTH, off.generator()).catalogue is None
    for settings in (DRAWN, WHOLE, replace(SMALL, mask_bought=True)):
        other = replace(off, settings=settings)
        assert contents(full_update(other, tiny, FIFTH))["model"] != contents(named)["model"]


def test_defaults_are_met_by_negatives_too(tiny: EventLog):
    """With every field dropped a step sees nothing but defaults, in all of its columns."""
    settings = replace(WHOLE, field_dropout=1.0)
    state, data = a_day(tiny, settings, SIXTH)
    (step,) = epoch(state, [data], True, state.generator())
    assert len(step.items["item"]) == 4
    for name in ("item", "colour", "words"):
        assert not step.items[name].any()
    state.settings = replace(WHOLE, cold_start_dropout=1.0)
    (step,) = epoch(state, [data], True, state.generator())
    assert not step.items["item"].any() and not step.items["popularity"].any()
    assert step.items["colour"].any()


def test_it_goes_with_a_self_supervised_term_and_with_hours(tiny: EventLog):
    state = trained(tiny, DRAWN, tiny.days[:3])
    term = SelfSupervision(Complementary(), alpha=0.5)
    plain, joint = (full_update(state, tiny, FIFTH, term=each) for each in (None, term))
    assert contents(plain)["model"] != contents(joint)["model"]
    hour = FIFTH + 8 * HOUR
    assert unfrozen_update(state, tiny, hour).updates == state.updates + 1
    in_batch = replace(state, settings=SMALL)
    ours, theirs = (incremental_update(each, tiny, hour)[0] for each in (state, in_batch))
    assert contents(ours)["model"] == contents(theirs)["model"]  # an hour's negatives are its own


def test_a_step_makes_nothing_of_the_catalogues_size(tiny: EventLog):
    """Ten times the items: a step with as many negatives makes tensors of the same sizes."""
    made = []
    for times in (500, 5_000):
        settings = replace(DRAWN, negatives=8, field_dropout=0.0)
        state, data = a_day(tiny, settings, SIXTH)
        catalogue = data.catalogue
        catalogue.items = concat_features([catalogue.items] * times)
        catalogue.log_q = catalogue.log_q.repeat(times)
        bought, width = catalogue.bought, 4 * times
        catalogue.bought = torch.sparse_coo_tensor(
            bought.indices(), bought.values(), (len(bought), width), check_invariants=True
        ).coalesce()
        for table in state.model.tables():
            table.grow(10 * times)
        tables, one = RowwiseAdagrad(state.model.tables(), 0.1), torch.tensor([0])
        with Sizes() as sizes:
            step = mixed_step(data, one, settings, state.generator())
            training_step(state, tables, step)
        assert len(step.log_q) == 9 and len(sizes.made) > 100
        made.append(max(count for _, count in sizes.made))
    assert made[0] == made[1] < 2_000


@pytest.mark.parametrize("wrong", [-1, 1.5, True, None, "8", np.nan])
def test_negatives_are_a_whole_number(wrong: object):
    assert refusal(Settings, negatives=wrong).startswith(f"negatives is {wrong!r}")
    assert Settings(negatives=np.int64(3)).negatives == 3


@pytest.mark.parametrize("wrong", [0, 1, None, "yes", 0.0])
def test_a_mask_is_a_switch(wrong: object):
    assert refusal(Settings, mask_bought=wrong).startswith(f"mask_bought is {wrong!r}")
    assert Settings(mask_bought=np.True_).mask_bought is True
