"""A state knows how far it has learned, who it is, and what its settings may be; its file keeps all
of it.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, contents, refusal, same, trained
from hypothesis import given, settings, strategies

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update, unfrozen_update
from course_lib.log import DAY, HOUR, EventLog
from course_lib.state import Settings, State, new_state

FIFTH = pd.Timestamp("2020-01-05")


def last_event(log: EventLog, before: pd.Timestamp) -> pd.Timestamp:
    return log.events["time"][log.events["time"] < before].max()


def test_a_state_knows_how_far_it_has_learned(tiny: EventLog):
    state = new_state(tiny, SMALL)
    assert state.learned_until is None
    for day in tiny.days:
        state = full_update(state, tiny, day)
        assert state.learned_until == last_event(tiny, day + DAY) + pd.Timedelta(microseconds=1)


def test_a_day_is_not_learned_twice_but_on_purpose(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    before = contents(state)
    said = refusal(full_update, state, tiny, tiny.days[2])
    assert "twice" in said and "turn='again'" in said and f"{tiny.days[2]:%Y-%m-%d}" in said
    assert contents(state) == before
    again = full_update(state, tiny, tiny.days[2], turn="again")
    assert again.updates == state.updates + 1 and again.learned_until == state.learned_until
    assert contents(again)["model"] != before["model"]


def test_a_day_is_not_skipped(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:2])
    said = refusal(full_update, state, tiny, tiny.days[3])
    skipped = tiny.rows(tiny.days[2], tiny.days[3])
    assert f"skip {skipped.stop - skipped.start} events" in said
    assert "turn is 'now'" in refusal(full_update, state, tiny, tiny.days[2], turn="now")
    left_out = full_update(state, tiny, tiny.days[3], turn="skip")
    assert left_out.learned_until > tiny.days[3]
    together = full_update(state, tiny, tiny.days[2], days=3)  # a gap without events is none
    assert together.learned_until > tiny.days[3]


def test_an_hour_is_learned_once_and_none_is_skipped(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    hours = tiny.events["time"][tiny.rows(FIFTH, FIFTH + DAY)].dt.floor("h").unique()
    first, _ = incremental_update(state, tiny, hours[0])
    assert "twice" in refusal(incremental_update, first, tiny, hours[0])
    assert "skip" in refusal(incremental_update, state, tiny, hours[-1])
    assert "twice" in refusal(unfrozen_update, trained(tiny, SMALL, tiny.days[:4]), tiny, hours[0])
    empty, touched = incremental_update(first, tiny, hours[0] + HOUR)
    assert empty is first and len(touched.items) == 0
    assert first.full is state and first.learned_until > state.learned_until
    assert "delta tables" in refusal(unfrozen_update, first, tiny, hours[-1])


def test_a_day_that_goes_on_is_not_learned_in_part_and_then_again(tiny: EventLog):
    """Half a day's events learned as the day: the rest of it can't be learned as the same day."""
    start = tiny.rows(FIFTH).start
    half = EventLog(tiny.events.iloc[: start + 1], tiny.items, tiny.users)
    state = full_update(trained(half, SMALL, tiny.days[:3]), half, FIFTH)
    assert "twice" in refusal(full_update, state, tiny, FIFTH)


def test_a_fingerprint_is_the_models_own(tiny: EventLog, tmp_path):
    states = [
        trained(tiny, replace(SMALL, seed=seed), tiny.days[:n]) for seed in (0, 1) for n in (2, 3)
    ]
    assert len({state.fingerprint() for state in states}) == 4
    assert trained(tiny, SMALL, tiny.days[:3]).fingerprint() == states[1].fingerprint()
    states[1].save(tmp_path / "state.pt")
    assert State.load(tmp_path / "state.pt").fingerprint() == states[1].fingerprint()


def test_what_is_loaded_goes_on_as_what_was_saved(tiny: EventLog, tmp_path):
    state = trained(tiny, SMALL, tiny.days[:3])
    state.save(tmp_path / "state.pt")
    loaded = State.load(tmp_path / "state.pt", device="cpu")
    assert loaded.settings == state.settings and loaded.learned_until == state.learned_until
    one, other = (full_update(each, tiny, FIFTH) for each in (state, loaded))
    assert contents(one) == contents(other)
    assert "twice" in refusal(full_update, loaded, tiny, tiny.days[0])
    untrained = new_state(tiny, SMALL)
    untrained.save(tmp_path / "new.pt")
    assert State.load(tmp_path / "new.pt").learned_until is None


def test_a_file_of_another_kind_or_edition(tiny: EventLog, tmp_path):
    path = tmp_path / "state.pt"
    trained(tiny, SMALL, tiny.days[:1]).save(path)
    whole = torch.load(path, weights_only=True)
    torch.save(whole | {"format": 1}, path)
    assert "another edition" in refusal(State.load, path)
    torch.save({"weights": torch.zeros(3)}, path)
    assert "another edition" in refusal(State.load, path)
    torch.save([1, 2], path)
    assert f"{path} is damaged or holds no state" in refusal(State.load, path)
    assert refusal(State.load, tmp_path).startswith("there is no state at")
    if not torch.cuda.is_available():
        assert "has no GPU" in refusal(State.load, path, "cuda")


def test_numpy_numbers_are_settings_like_others(tiny: EventLog, tmp_path):
    odd = Settings(
        dim=np.int64(8), hidden=np.int32(8), temperature=np.float32(0.5), seed=np.uint8(3),
        popularity_half_lives=np.array([2.0]), device=torch.device("cpu"),
    )  # fmt: skip
    assert odd == Settings(8, 8, 0.5, popularity_half_lives=(2.0,), seed=3, device="cpu")
    state = full_update(new_state(tiny, odd), tiny, tiny.days[0])
    state.save(tmp_path / "state.pt")
    assert State.load(tmp_path / "state.pt", "cpu").settings == odd


WHOLE = ("dim", "hidden", "batch_size", "history")
POSITIVE = ("temperature", "q_half_life")
SHARES = ("session_prefix_share", "field_dropout", "cold_start_dropout")


@settings(max_examples=150, deadline=None)
@given(
    name=strategies.sampled_from([*WHOLE, *POSITIVE, *SHARES, "seed", "embedding_lr", "dense_lr"]),
    value=strategies.one_of(
        strategies.integers(-3, 3), strategies.floats(-2, 2), strategies.booleans(),
        strategies.sampled_from([None, "1", np.nan, np.inf, -np.inf, [1], 1j]),
    ),
)  # fmt: skip
def test_a_setting_is_in_its_range_or_refused_by_name(name: str, value: object):
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
    if name in WHOLE or name == "seed":
        legal = number and isinstance(value, int) and value >= (name != "seed")
    elif name in SHARES:
        legal = number and 0 <= value <= 1
    else:
        legal = number and (value >= 1e-12 if name in POSITIVE else value >= 0)
    if legal:
        assert getattr(Settings(device="cpu", **{name: value}), name) == value
    else:
        with pytest.raises(ValueError, match=f"^{name} is "):
            Settings(device="cpu", **{name: value})


def test_an_update_leaves_the_state_that_it_came_from(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    before, weight = contents(state), state.model.item_tables[0].weight.detach().clone()
    full_update(state, tiny, FIFTH)
    incremental_update(state, tiny, FIFTH, FIFTH + DAY)
    unfrozen_update(state, tiny, FIFTH, FIFTH + DAY)
    assert contents(state) == before and same(state.model.item_tables[0].weight.detach(), weight)
