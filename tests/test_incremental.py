"""The incremental update: which numbers move, by how much, and what is left of it after the next
full update.
"""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, Sizes, contents, refusal, same, trained

from course_lib.full_update import full_update, make_examples
from course_lib.incremental_update import (
    delta_table,
    incremental_update,
    unfrozen_update,
)
from course_lib.log import DAY, EventLog
from course_lib.losses import in_batch_softmax
from course_lib.state import Settings, State
from course_lib.towers import EmbeddingTable

FIFTH, SIXTH = pd.Timestamp("2020-01-05"), pd.Timestamp("2020-01-06")


@pytest.fixture(scope="module")
def morning(retail: EventLog, retail_state: State) -> pd.Timestamp:
    """The first hour after the last day that the state has learned."""
    return retail.events["time"][retail.rows(retail.days[3]).start].floor("h")


def hour_rows(log: EventLog, hour: pd.Timestamp) -> slice:
    return log.rows(hour, hour + pd.Timedelta(hours=1))


def test_nothing_moves_but_the_ids_that_the_hour_names(
    retail: EventLog, retail_state: State, morning: pd.Timestamp
):
    before, full = contents(retail_state), retail_state
    new, touched = incremental_update(full, retail, morning)
    assert contents(full) == before and new.full is full
    rows = hour_rows(retail, morning)
    assert set(touched.items) == set(retail.item_rows[rows]) and set(touched.users) == set(
        retail.user_rows[rows]
    )
    for table, old in zip(new.model.tables(), full.model.tables(), strict=True):
        if table is new.model.item_tables[0] or table is new.model.user_tables[0]:
            continue
        assert table is old  # the very same: shared, not copied
    assert all(
        a is b
        for a, b in zip(new.model.dense_parameters(), full.model.dense_parameters(), strict=True)
    )
    for codes, table, old, encoder, index in (
        (
            touched.items,
            new.model.item_tables[0],
            full.model.item_tables[0],
            new.features.items,
            retail.items.index,
        ),
        (
            touched.users,
            new.model.user_tables[0],
            full.model.user_tables[0],
            new.features.users,
            retail.users.index,
        ),
    ):
        everything = torch.arange(len(encoder))
        now = table.rows(everything).detach()
        then = torch.cat(
            [old.weight.detach(), old.weight.detach()[:1].expand(len(now) - len(old), -1)]
        )
        moved = set((now != then).any(1).nonzero().flatten().tolist())
        assert moved == {encoder.vocabularies[encoder.id].get(index[code]) for code in codes}
        assert len(now) > len(old)  # somebody new came in that hour


def test_one_step_against_dense_autograd_in_float64(
    retail: EventLog, retail_state: State, morning: pd.Timestamp
):
    """The same loss on a plain model that has the new rows, differentiated whole; Adagrad by its
    formula.
    """
    state = replace(
        retail_state, settings=replace(retail_state.settings, batch_size=1_000)
    )  # one step
    new, _ = incremental_update(state, retail, morning, rate=0.05)
    features = state.features.fork()
    rows = hour_rows(retail, morning)
    features.learn(retail, rows, ids_only=True)
    frozen = replace(state, features=features, updates=state.updates + 1)
    batch = make_examples(frozen, retail, rows, morning, frozen.generator())
    model = copy.deepcopy(state.model).double()
    squares = {}
    for name, table, size in (
        ("i", model.item_tables[0], len(features.items)),
        ("u", model.user_tables[0], len(features.users)),
    ):
        extra = size - len(table)
        table.weight = torch.nn.Parameter(
            torch.cat([table.weight.data, table.weight.data[:1].expand(extra, -1)])
        )
        squares[name] = torch.cat([table.accumulator, table.accumulator[:1].expand(extra)])
        table.rows = lambda indices, table=table: table.weight[
            indices
        ]  # plain indexing, dense gradients
    items = {n: v.double() if n == "popularity" else v for n, v in batch.items.items()}
    loss = in_batch_softmax(
        model.user_vectors(batch.users),
        model.item_vectors(items),
        batch.log_q.double(),
        batch.ids,
        frozen.settings.temperature,
    )
    loss.backward()
    for name, table, moved, ids in (
        ("i", model.item_tables[0], new.model.item_tables[0], batch.items["item"]),
        ("u", model.user_tables[0], new.model.user_tables[0], batch.users["user"]),
    ):
        ids = ids.unique()
        gradient = table.weight.grad[ids]
        step = gradient / ((squares[name][ids] + gradient.square().mean(1)).sqrt() + 1e-8)[:, None]
        expected = table.weight.data[ids] - 0.05 * step
        np.testing.assert_allclose(moved.rows(ids).detach().numpy(), expected.numpy(), atol=2e-6)


def test_hours_build_on_each_other_and_leave_each_other_alone(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    first, touched = incremental_update(state, tiny, "2020-01-05 08:00")
    assert touched.items.tolist() == [2] and touched.users.tolist() == [0]  # ann bought the lamp
    ids, weight = (
        first.model.item_tables[0].ids.clone(),
        first.model.item_tables[0].weight.detach().clone(),
    )
    second, touched = incremental_update(first, tiny, "2020-01-05 23:00")
    assert touched.items.tolist() == [1] and touched.users.tolist() == [2]
    assert same(first.model.item_tables[0].ids, ids) and same(
        first.model.item_tables[0].weight.detach(), weight
    )
    assert second.full is state and second.updates == first.updates + 1
    lamp = second.features.item_indices(tiny, np.array([2]))
    assert same(
        second.model.item_tables[0].rows(lamp), first.model.item_tables[0].rows(lamp)
    )  # kept from the first hour
    at = pd.Timestamp("2020-01-06")
    counts = second.features.counts.at(at, second.features.item_indices(tiny, np.array([2, 1])))[
        :, 1
    ]
    expected = [
        0.5 ** (16 / 24 / 2),
        0.5 ** (1 / 24 / 2) + 0.5 ** (5 / 2) + 0.5 ** (4 / 2),
    ]  # half-life: two days
    np.testing.assert_allclose(counts.numpy(), expected, rtol=1e-12)


def test_an_hour_without_events(tiny: EventLog, tiny_state: State):
    new, touched = incremental_update(tiny_state, tiny, "2020-01-07 15:00")
    assert new is tiny_state and len(touched.items) == len(touched.users) == 0


def test_a_rate_of_0_counts_and_moves_nothing(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    new, _ = incremental_update(state, tiny, FIFTH, FIFTH + DAY, rate=0.0)
    known = torch.arange(len(state.features.items))
    assert same(
        new.model.item_tables[0].rows(known).detach(), state.model.item_tables[0].weight.detach()
    )
    assert new.features.counts.total(FIFTH + DAY)[0] > state.features.counts.total(FIFTH + DAY)[0]


def test_the_full_update_goes_back_to_the_full_state(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    expected = contents(full_update(state, tiny, FIFTH))
    new, _ = incremental_update(state, tiny, "2020-01-05 08:00")
    assert refusal(full_update, new, tiny, FIFTH).startswith(
        "this state comes from an incremental update"
    )
    assert contents(full_update(new.full, tiny, FIFTH)) == expected
    everything = unfrozen_update(state, tiny, FIFTH, FIFTH + DAY)
    assert everything.full is state and refusal(full_update, everything, tiny, FIFTH).startswith(
        "this state comes from"
    )


def test_unfrozen_moves_everything(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    new = unfrozen_update(state, tiny, FIFTH, FIFTH + DAY)
    dense = zip(new.model.dense_parameters(), state.model.dense_parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in dense)
    ordered = full_update(
        state, tiny, FIFTH, shuffle=False
    )  # a day at once, in order of time, is the same thing
    assert contents(ordered)["model"] == contents(new)["model"]


def test_unfrozen_moves_as_fast_as_asked_and_leaves_the_rates_as_they_were(tiny: EventLog):
    """With a tenth of both rates: as a state with those settings; the settings are kept."""
    slow = replace(SMALL, embedding_lr=SMALL.embedding_lr / 10, dense_lr=SMALL.dense_lr / 10)
    state = trained(tiny, SMALL, tiny.days[:3])
    alike = copy.deepcopy(state)
    alike.settings = slow
    alike.optimiser.param_groups[0]["lr"] = slow.dense_lr
    expected = contents(full_update(alike, tiny, FIFTH, shuffle=False))["model"]
    before = contents(state)
    new = unfrozen_update(state, tiny, FIFTH, FIFTH + DAY, rate=slow.embedding_lr)
    assert contents(new)["model"] == expected and contents(state) == before
    assert new.settings == SMALL
    assert [group["lr"] for group in new.optimiser.param_groups] == [SMALL.dense_lr]


def test_it_costs_what_the_hour_names(tiny: EventLog):
    """No operation makes anything as long as the catalogue, and more items change no operation's
    size.
    """
    made = []
    for rows in (5_000, 50_000):
        state = trained(
            tiny,
            Settings(dim=8, hidden=8, popularity_half_lives=(2.0,), device="cpu"),
            tiny.days[:3],
        )
        state.features.items.vocabularies["item"] |= {
            f"item {i}": i for i in range(len(state.features.items), rows)
        }
        state.model.grow(
            state.features.items.sizes, state.features.users.sizes, torch.Generator().manual_seed(0)
        )
        state.features.counts.flush(FIFTH, rows)
        with Sizes() as sizes:
            new, touched = incremental_update(state, tiny, "2020-01-05 08:00")
            new.item_vectors(tiny, touched.items, FIFTH + DAY)
        made.append(sizes.made)
    assert made[0] == made[1] and max(size for _, size in made[0]) < 5_000


# -- delta_tables ----------------------------------------------------------------------------------
# -----------------------


def test_an_overlay_by_hand():
    base = EmbeddingTable(2)
    base.grow(4, torch.Generator().manual_seed(0))
    base.accumulator += torch.arange(4.0)
    rows = base.weight.detach()
    over = delta_table(base, torch.tensor([5, 2, 2]))
    assert over.ids.tolist() == [2, 5] and over.accumulator.tolist() == [2.0, 0.0]
    over.weight.data += 10
    expected = torch.stack([rows[0], rows[1], rows[2] + 10, rows[3], rows[0] + 10])
    assert same(over(torch.tensor([0, 1, 2, 3, 5])).detach(), expected)
    bags = over(torch.tensor([[1, 2, 0], [0, 0, 0]])).detach()
    np.testing.assert_allclose(
        bags.numpy(), torch.stack([(rows[1] + rows[2] + 10) / 2**0.5, rows[0]]).numpy(), rtol=1e-6
    )
    again = delta_table(over, torch.tensor([3]))
    assert again.ids.tolist() == [2, 3, 5] and again.base is base
    assert same(
        again(torch.tensor([2, 3, 5])).detach(), torch.stack([rows[2] + 10, rows[3], rows[0] + 10])
    )
    over.weight.data += 1  # they share nothing
    assert same(again(torch.tensor([2])).detach()[0], rows[2] + 10)
    assert base.weight.detach() is not None and same(base.weight.detach(), rows)


# -- states on disk
# --------------------------------------------------------------------------------------------------
# -


def test_a_state_comes_back_from_its_file(retail: EventLog, retail_state: State, tmp_path):
    path = tmp_path / "state.pt"
    retail_state.save(path)
    loaded = State.load(path, device="cpu")
    assert contents(loaded) == contents(retail_state)
    day = retail.days[3]
    assert contents(full_update(loaded, retail, day)) == contents(
        full_update(retail_state, retail, day)
    )
    hour = incremental_update(loaded, retail, day + pd.Timedelta(hours=10))[0].model.item_tables[0]
    other = incremental_update(retail_state, retail, day + pd.Timedelta(hours=10))[
        0
    ].model.item_tables[0]
    assert same(hour.weight.detach(), other.weight.detach()) and [
        p.name for p in tmp_path.iterdir()
    ] == ["state.pt"]


def test_the_share_of_new_items_is_kept_and_is_0_in_a_file_that_has_none(tiny: EventLog, tmp_path):
    path = tmp_path / "state.pt"
    trained(tiny, replace(SMALL, cold_start_dropout=0.3), tiny.days[:2]).save(path)
    assert State.load(path, device="cpu").settings == replace(SMALL, cold_start_dropout=0.3)
    old = torch.load(path, weights_only=True)
    del old["settings"]["cold_start_dropout"]
    torch.save(old, path)
    assert State.load(path, device="cpu").settings == SMALL


def test_an_incremental_state_is_not_kept(tiny: EventLog, tmp_path):
    new, _ = incremental_update(trained(tiny, SMALL, tiny.days[:3]), tiny, "2020-01-05 08:00")
    assert refusal(new.save, tmp_path / "state.pt").startswith(
        "this state comes from an incremental update"
    )
    assert not list(tmp_path.iterdir())


def test_a_damaged_state(tiny_state: State, tmp_path):
    path = tmp_path / "state.pt"
    assert refusal(State.load, path).startswith(f"there is no state at {path}")
    tiny_state.save(path)
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        whole[:100] + bytes([whole[100] ^ 255]) + whole[101:],
        b"not a state",
    ):
        path.write_bytes(damaged)
        try:
            assert contents(State.load(path)) == contents(
                tiny_state
            )  # the flipped byte hit padding
        except ValueError as error:
            assert str(error).startswith(f"{path} is damaged or holds no state")


def test_a_state_holds_no_code(tmp_path):
    """A pickle that would run something is refused, and does not run."""
    torch.save({"settings": pytest.fail}, tmp_path / "evil.pt")
    assert refusal(State.load, tmp_path / "evil.pt").startswith(
        f"{tmp_path / 'evil.pt'} is damaged or holds no state"
    )
