"""The full update and the training step: what moves, what stays, and what it costs."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, Sizes, contents, refusal, same, tiny_frames, trained, with_listing

from course_lib.augment import (
    Augmentation,
    Complementary,
    CorrelatedMask,
    Dropout,
    RandomMask,
    SelfSupervision,
    mutual_information,
)
from course_lib.evaluation import TwoTowerNightly, recall, replay
from course_lib.features import session_prefix_histories
from course_lib.full_update import (
    Examples,
    full_update,
    joint_step,
    known_items,
    make_examples,
    training_step,
)
from course_lib.log import DAY, EventLog
from course_lib.losses import in_batch_softmax
from course_lib.state import Settings, State, new_state
from course_lib.towers import RowwiseAdagrad

FIFTH, SIXTH = pd.Timestamp("2020-01-05"), pd.Timestamp("2020-01-06")


# -- states ----------------------------------------------------------------------------------------
# -------------------


def test_a_new_state_knows_names_and_no_value(tiny: EventLog):
    state = new_state(tiny, SMALL)
    assert state.features.items.sizes == {"item": 1, "colour": 1, "words": 1}
    assert state.features.users.sizes == {"user": 1, "city": 1}
    assert [len(table) for table in state.model.tables()] == [1] * 5
    assert all(
        table.weight[0].any() for table in state.model.tables()
    )  # the default is an embedding, not zeros
    other = trained(EventLog.from_frame(**tiny_frames()), SMALL, [])
    assert contents(state) == contents(other)
    assert contents(state)["model"] != contents(new_state(tiny, replace(SMALL, seed=1)))["model"]


def test_making_a_state_leaves_torchs_own_chance_alone(tiny: EventLog):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    new_state(tiny, SMALL)
    assert same(torch.rand(2), expected)


def test_chance_depends_on_the_seed_and_the_number_of_updates(tiny: EventLog):
    draws = set()
    for seed in (0, 1):
        for updates in (0, 1, 2):
            state = replace(new_state(tiny, replace(SMALL, seed=seed)), updates=updates)
            first, again = (torch.rand(3, generator=state.generator()).tolist() for _ in range(2))
            assert first == again
            draws.add(tuple(first))
    assert len(draws) == 6


def test_vectors_are_those_of_the_model_on_the_stores_features(tiny: EventLog, tiny_state: State):
    items, users = np.array([2, 0]), np.array([1, -1])
    expected = tiny_state.model.item_vectors(tiny_state.features.item_features(tiny, items, SIXTH))
    assert same(tiny_state.item_vectors(tiny, items, SIXTH), expected.detach())
    expected = tiny_state.model.user_vectors(tiny_state.features.user_features(tiny, users, 7))
    assert same(tiny_state.user_vectors(tiny, users, 7), expected.detach())


# -- the day as a batch
# -----------------------------------------------------------------------------------------------


def test_make_batch_by_hand(tiny: EventLog):
    """The fifth: ann buys the new lamp, cid the bag. Histories and counts are the morning's; q has
    seen the day.
    """
    state = trained(tiny, SMALL, tiny.days[:3])
    rows = tiny.rows(FIFTH, SIXTH)
    state.features.learn(tiny, rows)
    batch = make_examples(state, tiny, rows, FIFTH, state.generator())
    assert batch.ids.tolist() == batch.items["item"].tolist() == [3, 2]  # mug 1, bag 2, lamp 3
    bags = 0.5 ** (4 / 2) + 0.5 ** (3 / 2)  # bought on the first and the second, half-life 2 days
    np.testing.assert_allclose(
        batch.items["popularity"].numpy(), [[0.0], [np.log1p(bags)]], rtol=1e-6
    )
    assert batch.users["user"].tolist() == [1, 3]
    assert batch.users["history"].tolist() == [[2, 1, 0], [1, 0, 0]]
    weight = 0.5 ** (
        np.array([4, 4, 3, 3, 1, 0, 0]) / SMALL.q_half_life
    )  # of the events so far, by age in days
    share = np.array([weight[5], weight[[1, 2, 6]].sum()]) / weight.sum()
    np.testing.assert_allclose(batch.log_q.exp().numpy(), share, rtol=1e-6)
    taken = batch[torch.tensor([1])]
    assert (
        taken.users["history"].tolist() == [[1, 0, 0]]
        and taken.ids.tolist() == [2]
        and taken.log_q.shape == (1,)
    )


def test_growing_histories_against_a_loop():
    """Some order of each user's visit explains all of it: event p has the p items before it in
    front of the morning.
    """
    rng = np.random.default_rng(0)
    morning = torch.tensor([[91, 92, 93], [94, 0, 0], [0, 0, 0], [95, 96, 0]])
    rows = torch.tensor([0, 2, 1, 2, 0, 2, 2, 0])  # user 3 buys nothing
    ids = torch.from_numpy(rng.permutation(np.arange(1, 9)))
    orders = set()
    for seed in range(20):
        wide = torch.nn.functional.pad(morning, (0, 8))
        histories = session_prefix_histories(wide, rows, ids, torch.Generator().manual_seed(seed))
        for user in range(3):
            events = sorted(
                np.flatnonzero(rows == user).tolist(), key=lambda e: int((histories[e] > 0).sum())
            )
            before = [index for index in morning[user].tolist() if index]
            for event in events:
                assert [index for index in histories[event].tolist() if index] == before
                before = [int(ids[event]), *before]
            orders.add((user, tuple(events)))
        short = session_prefix_histories(morning, rows, ids, torch.Generator().manual_seed(seed))
        assert same(short, histories[:, :3])
    assert len(orders) > 15  # the order is drawn anew each time


def test_half_the_events_are_trained_in_the_middle_of_a_visit(
    retail: EventLog, retail_state: State
):
    day = retail.days[3]
    rows = retail.rows(day, day + DAY)
    morning = retail.rows(day).start
    batches = {}
    for share in (0.0, 0.5, 1.0):
        state = copy.deepcopy(retail_state)
        state.settings = replace(state.settings, session_prefix_share=share)
        state.features.learn(retail, rows)
        batches[share] = make_examples(state, retail, rows, day, torch.Generator().manual_seed(0))
    expected = state.features.user_features(retail, retail.user_rows[rows], morning)["history"]
    assert same(batches[0.0].users["history"], expected)
    grown = batches[1.0].users["history"]
    middle = (grown != expected).any(1)
    share = (batches[0.5].users["history"] != expected).any(1)[middle].double().mean()
    assert abs(share - 0.5) < 4 * (0.25 / int(middle.sum())) ** 0.5
    for batch in batches.values():
        assert not (batch.users["history"] == batch.ids[:, None]).any()  # never the item itself


# -- the full update
# --------------------------------------------------------------------------------------------------


def test_full_update_leaves_the_old_state_alone(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    before = contents(state)
    new = full_update(state, tiny, FIFTH)
    assert contents(state) == before
    assert new.updates == 4 and contents(new) != before


def test_full_update_depends_on_the_seed_alone(tiny: EventLog):
    """Whatever torch's own source of chance has been used for meanwhile."""
    settings, states = replace(SMALL, field_dropout=0.3, session_prefix_share=0.5), []
    for noise in (1, 2):
        torch.manual_seed(noise)
        states.append(contents(trained(tiny, settings, tiny.days)))
    assert states[0] == states[1]
    assert (
        states[0]["model"] != contents(trained(tiny, replace(settings, seed=1), tiny.days))["model"]
    )


def test_full_update_reads_the_days_rows_and_histories_only():
    """Later events do not matter, nor do earlier ones of users who stay away that day."""
    frames, other = with_listing(tiny_frames()), with_listing(tiny_frames())
    other["events"].loc[[4, 7], "item"] = [
        "vase",
        "mug",
    ]  # what bob buys on the fourth and the sixth
    logs = [EventLog.from_frame(**f) for f in (frames, other)]
    state = trained(logs[0], SMALL, logs[0].days[:3])
    a, b = (full_update(state, log, FIFTH) for log in logs)
    assert contents(a) == contents(b)


def test_full_update_moves_no_row_that_the_day_does_not_name(retail: EventLog, retail_state: State):
    """New rows are appended; old ones that are in no event and no history of the day keep value and
    optimiser state.
    """
    day = retail.days[3]
    rows = retail.rows(day, day + DAY)
    state = copy.deepcopy(retail_state)
    state.settings = replace(state.settings, field_dropout=0.0)
    new = full_update(state, retail, day)
    items, users = new.features.items, new.features.users
    buyers = np.unique(retail.user_rows[rows])
    shown = {
        "items": items.encode(retail.items.iloc[np.unique(retail.item_rows[rows])]),
        "users": users.encode(retail.users.iloc[buyers]),
    }
    history = new.features.user_features(retail, buyers, rows.start)["history"]
    shown["items"]["item"] = torch.cat([shown["items"]["item"], history.flatten()])
    grown = 0
    for fields, tables, old_tables in (
        (shown["items"], new.model.item_tables, retail_state.model.item_tables),
        (shown["users"], new.model.user_tables, retail_state.model.user_tables),
    ):
        for (name, values), table, old in zip(fields.items(), tables, old_tables, strict=True):
            named = torch.zeros(len(table), dtype=torch.bool)
            named[values.flatten()] = True
            quiet = ~named[: len(old)]
            quiet[0] = False  # the default: of empty bags and of missing values
            assert same(table.weight[: len(old)][quiet].detach(), old.weight[quiet].detach()), name
            assert same(table.accumulator[: len(old)][quiet], old.accumulator[quiet]), name
            moved = (table.weight[: len(old)].detach() != old.weight.detach()).any(1)
            assert moved[named[: len(old)]][1:].all(), name
            grown += len(table) - len(old)
    assert grown > 300 and len(new.model.item_tables[0]) == items.sizes["item"]


def test_shuffle_is_a_switch(tiny: EventLog):
    times = pd.date_range("2020-01-02", periods=9, freq="h")
    busy = pd.DataFrame(
        {"user": ["ann", "bob", "cid"] * 3, "item": [f"i{i}" for i in range(9)], "time": times}
    )
    log = EventLog.from_frame(
        pd.concat([tiny.events[:2], busy]),
        pd.concat(
            [
                tiny.items.reset_index().drop(columns="listed"),
                pd.DataFrame({"item": busy["item"], "words": [[]] * 9}),
            ]
        ),
        tiny.users.reset_index(),
    )
    state, day = trained(log, SMALL, log.days[:1]), log.days[1]
    shuffled, ordered = full_update(state, log, day), full_update(state, log, day, shuffle=False)
    assert contents(shuffled)["model"] != contents(ordered)["model"]
    assert contents(ordered) == contents(full_update(state, log, day, shuffle=False))
    # in order: three batches of three, as they were bought
    steps = copy.deepcopy(state)
    steps.updates += 1
    generator = steps.generator()
    rows = log.rows(day, day + DAY)
    steps.features.learn(log, rows)
    steps.model.grow(steps.features.items.sizes, steps.features.users.sizes, generator)
    batch = make_examples(steps, log, rows, day, generator)
    for events in ([0, 1, 2], [3, 4, 5], [6, 7, 8]):
        training_step(
            steps,
            RowwiseAdagrad(steps.model.tables(), SMALL.embedding_lr),
            batch[torch.tensor(events)],
        )
    steps.features.counts.flush(day, len(steps.features.items))
    assert contents(steps) == contents(ordered)


def test_every_event_is_trained_on_once():
    """One epoch: the batches that the loss sees are the day's events, each once, in batches of much
    the same size.
    """
    seen = []

    def spy(users, items, log_q, ids, temperature):
        seen.append(ids.tolist())
        return (users * items).sum()

    frames = tiny_frames()
    frames["events"] = frames["events"].assign(time=[*frames["events"]["time"][:2], *[FIFTH] * 6])
    log = EventLog.from_frame(**frames)
    state = trained(log, replace(SMALL, batch_size=2), log.days[:1])
    full_update(state, log, FIFTH, loss=spy)
    names = state.features.items.vocabularies["item"] | {"lamp": 3, "vase": 4}
    assert sorted(sum(seen, [])) == sorted(names[item] for item in frames["events"]["item"][2:])
    assert [len(batch) for batch in seen] == [2, 2, 2]


def test_the_defaults_are_trained(retail: EventLog, retail_state: State):
    """Of every field, the ID included, although no ID of the day is unknown."""
    new = full_update(retail_state, retail, retail.days[3])
    for table, old in zip(new.model.tables(), retail_state.model.tables(), strict=True):
        assert not same(table.weight[0].detach(), old.weight[0].detach())
    assert len({tuple(table.weight[0].tolist()) for table in new.model.tables()}) == len(
        new.model.tables()
    )  # nor are they zeros


def test_with_all_fields_dropped_only_defaults_are_trained(tiny: EventLog):
    state = trained(tiny, replace(SMALL, field_dropout=1.0), tiny.days[:3])
    new = full_update(state, tiny, FIFTH)
    for table, old in zip(new.model.tables(), state.model.tables(), strict=True):
        assert same(table.weight[1 : len(old)].detach(), old.weight[1:].detach())
        assert not same(table.weight[0].detach(), old.weight[0].detach())


@pytest.mark.parametrize("day", ["2020-01-03", "2019-12-31", "2020-01-07 15:00"])
def test_an_empty_day(tiny: EventLog, tiny_state: State, day: str):
    assert refusal(full_update, tiny_state, tiny, day).startswith(f"{day[:10]} has no events")


def test_any_time_of_the_day_means_the_day(tiny: EventLog):
    state = trained(tiny, SMALL, tiny.days[:3])
    assert contents(full_update(state, tiny, "2020-01-05 15:30")) == contents(
        full_update(state, tiny, FIFTH)
    )


def test_it_learns_who_likes_what():
    """Two kinds of users, two kinds of items: after nine days a user's remaining items of the right
    kind come first.
    """
    rng = np.random.default_rng(0)
    tastes = [
        (user, item)
        for user in range(60)
        for item in rng.permutation(np.arange(user % 2, 40, 2))[:10]
    ]
    times = pd.Timestamp("2020-01-01") + np.sort(rng.uniform(0, 10, len(tastes))) * DAY
    users, items = np.array(tastes)[rng.permutation(len(tastes))].T
    log = EventLog.from_frame(
        pd.DataFrame({"user": users, "item": items, "time": times}),
        pd.DataFrame({"item": range(40), "listed": pd.Timestamp("2019-12-01")}),
        pd.DataFrame({"user": range(60)}),
    )
    settings = Settings(dim=16, hidden=16, batch_size=32, device="cpu")
    result = replay(log, TwoTowerNightly(new_state(log, settings)), log.days[-1], progress=False)
    assert recall(result, 20) > 0.9  # by chance it were little above 1/2: 20 of some 33 candidates


# -- items as if they were new
# ----------------------------------------------------------------------------------------


def test_an_item_that_is_always_new_trains_the_default_id_alone(tiny: EventLog):
    """The fifth sells lamp and bag; no history holds the lamp, so its row moves only if the day
    shows it as it is.
    """
    seen = []

    def spy(users, items, log_q, ids, temperature):
        seen.append(sorted(ids.tolist()))
        return in_batch_softmax(users, items, log_q, ids, temperature)

    for share in (0.0, 1.0):
        state = trained(tiny, replace(SMALL, cold_start_dropout=share), tiny.days[:3])
        (ids, colours, _), (old, old_colours, _) = (
            full_update(state, tiny, FIFTH, loss=spy).model.item_tables,
            state.model.item_tables,
        )
        assert bool(ids.accumulator[3] > 0) == (share == 0)
        assert bool(ids.accumulator[0] > old.accumulator[0]) == (share == 1)
        assert (ids.accumulator[1:3] > old.accumulator[1:3]).all()  # mug and bag are in histories
        assert (
            colours.accumulator[1:] > old_colours.accumulator[1:]
        ).all()  # a new item's colour is known
    assert seen == [[2, 3]] * 2  # it is still known which item was sold: for accidental hits


# -- with a self-supervised term
# --------------------------------------------------------------------------------------


def augmentations(log: EventLog) -> list[Augmentation]:
    return [
        RandomMask(0.5),
        Dropout(),
        Complementary(),
        CorrelatedMask(mutual_information(log.items)),
    ]


def test_known_items_by_hand(tiny: EventLog, tiny_state: State):
    assert {name: values.tolist() for name, values in known_items(tiny_state, tiny).items()} == {
        "item": [1, 2, 3, 4],  # mug, bag, lamp, vase
        "colour": [1, 2, 1, 0],
        "words": [[1, 2], [3, 1], [0, 0], [4, 0]],
    }
    assert known_items(trained(tiny, SMALL, tiny.days[:3]), tiny)["item"].tolist() == [1, 2]
    frames = tiny_frames()
    frames["items"] = frames["items"].assign(
        listed=pd.date_range("2019-12-02", periods=4)
    )  # vase, lamp, bag, mug
    assert known_items(tiny_state, EventLog.from_frame(**frames))["colour"].tolist() == [
        1,
        2,
        1,
        0,
    ]  # by ID, not by code


@pytest.mark.parametrize("half_lives", [(), (2.0, 7.0)])
def test_a_term_of_weight_zero_changes_nothing(tiny: EventLog, half_lives: tuple[float, ...]):
    settings = replace(
        SMALL,
        popularity_half_lives=half_lives,
        field_dropout=0.2,
        session_prefix_share=0.5,
        cold_start_dropout=0.3,
    )
    state = trained(tiny, settings, tiny.days[:3])
    plain = full_update(state, tiny, FIFTH).model.state_dict()
    for alpha in (0.0, 1.0):
        for augment in augmentations(tiny):
            joint = full_update(
                state, tiny, FIFTH, term=SelfSupervision(augment, alpha)
            ).model.state_dict()
            assert all(values.isfinite().all() for values in joint.values())
            equal = [
                torch.allclose(joint[name], values, atol=1e-5) for name, values in plain.items()
            ]
            assert all(equal) == (alpha == 0)


def test_a_term_moves_items_that_no_event_names(tiny: EventLog):
    """On the sixth bob buys the vase and has had bag and mug: nothing but the term knows of the
    lamp.
    """
    state = trained(tiny, SMALL, tiny.days[:4])
    lamp = state.features.items.vocabularies["item"]["lamp"]
    old = state.model.item_tables[0]
    for term in (None, SelfSupervision(Dropout(), alpha=0.1)):
        new = full_update(state, tiny, SIXTH, term=term).model.item_tables[0]
        assert same(new.weight[lamp].detach(), old.weight[lamp].detach()) == (term is None)
        assert bool(new.accumulator[lamp] > old.accumulator[lamp]) == (term is not None)


@pytest.mark.parametrize("half_lives", [(), (2.0,)])
def test_a_term_goes_by_the_state_and_the_day(tiny: EventLog, half_lives: tuple[float, ...]):
    """Bit for bit, whatever torch's own source of chance has been used for; and the old state
    stays.
    """
    state = trained(tiny, replace(SMALL, popularity_half_lives=half_lives), tiny.days[:4])
    before = contents(state)
    for augment in augmentations(tiny):
        term, found = SelfSupervision(augment, m=3), []
        for noise in (1, 2):
            torch.manual_seed(noise)
            found.append(contents(full_update(state, tiny, SIXTH, term=term)))
        assert found[0] == found[1] and contents(state) == before
        assert (
            found[0]["model"]
            != contents(full_update(state, tiny, SIXTH, term=SelfSupervision(augment, m=2)))[
                "model"
            ]
        )


def test_a_term_is_left_out_while_there_is_no_second_item(tiny: EventLog):
    """Only the mug is sold on the first day; with the bag, on the second, the term begins."""
    frames = tiny_frames()
    frames["events"] = frames["events"].drop(1)
    log, term = EventLog.from_frame(**frames), SelfSupervision(RandomMask(0.3))
    state = new_state(log, SMALL)
    first = full_update(state, log, log.days[0], term=term)
    assert len(first.features.items) == 2 and contents(first) == contents(
        full_update(state, log, log.days[0])
    )
    second, plain = (
        full_update(first, log, log.days[1], term=term),
        full_update(first, log, log.days[1]),
    )
    assert contents(second)["model"] != contents(plain)["model"]


# -- one training step
# ------------------------------------------------------------------------------------------------


def a_step(rows: int) -> tuple[State, Examples]:
    """A state whose tables have `rows` rows, and a batch that names rows 1 to 39 and leaves no
    place empty.
    """
    log = EventLog.from_frame(**tiny_frames())
    state = new_state(
        log, Settings(dim=8, hidden=8, history=4, popularity_half_lives=(2.0,), device="cpu")
    )
    sizes = state.features.items.sizes, state.features.users.sizes
    state.model.grow(
        *({name: rows for name in names} for names in sizes), torch.Generator().manual_seed(1)
    )
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randint(1, 40, shape, generator=generator)

    ids = draw(16)
    items = {
        "item": ids,
        "colour": draw(16),
        "words": draw(16, 3),
        "popularity": torch.rand(16, 1, generator=generator),
    }
    users = {"user": draw(16), "city": draw(16), "history": draw(16, 4)}
    return state, Examples(users, items, torch.rand(16, generator=generator).log(), ids)


def named_rows(batch: Examples) -> list[set[int]]:
    """Rows that a batch names, table by table; histories go through the table of item IDs."""
    items = torch.cat([batch.items["item"], batch.users["history"].flatten()])
    named = [
        items,
        batch.items["colour"],
        batch.items["words"],
        batch.users["user"],
        batch.users["city"],
    ]
    return [set(values.flatten().tolist()) for values in named]


def test_a_step_changes_the_rows_that_its_batch_names_and_no_others():
    state, batch = a_step(rows=5_000)
    before = copy.deepcopy(state.model)
    training_step(state, RowwiseAdagrad(state.model.tables(), 0.1), batch)
    for table, old, named in zip(
        state.model.tables(), before.tables(), named_rows(batch), strict=True
    ):
        changed = (table.weight.detach() != old.weight.detach()).any(1)
        assert set(changed.nonzero().flatten().tolist()) == named
        assert set((table.accumulator != old.accumulator).nonzero().flatten().tolist()) == named
    dense = zip(state.model.dense_parameters(), before.dense_parameters(), strict=True)
    assert all(not torch.equal(new, old) for new, old in dense)


def test_a_step_makes_nothing_of_the_catalogues_size():
    """Ten times the rows: the same operations on tensors of the same sizes. Views and updates in
    place make nothing.
    """
    made = []
    for rows in (2_000, 20_000):
        state, batch = a_step(rows)
        tables = RowwiseAdagrad(state.model.tables(), 0.1)
        with Sizes() as sizes:
            training_step(state, tables, batch)
        assert max(count for _, count in sizes.made) < 2_000
        assert (
            any("embedding" in name for name, _ in sizes.made) and len(sizes.made) > 100
        )  # it did watch
        made.append(sizes.made)
    assert made[0] == made[1]


def test_the_watch_sees_what_a_dense_gradient_makes():
    """The check above can fail: the same watch on an ordinary embedding and torch's own Adagrad."""
    weight = torch.nn.Parameter(torch.randn(2_000, 8))
    with Sizes() as sizes:
        torch.nn.functional.embedding(torch.tensor([1, 2]), weight).sum().backward()
    assert max(count for _, count in sizes.made) == 16_000


def test_a_step_against_a_dense_model_in_float64():
    """Loss, embeddings and dense parameters of three steps, against dense gradients, a loss by
    loops and torch's Adam.
    """
    state, batch = a_step(rows=50)
    tables = RowwiseAdagrad(state.model.tables(), 0.1)
    model = copy.deepcopy(state.model).double()
    adam = torch.optim.Adam(model.dense_parameters(), lr=state.settings.dense_lr)
    squares = [torch.zeros(50, dtype=torch.double) for _ in model.tables()]
    batch.items["popularity"] = batch.items["popularity"].double()
    for _ in range(3):
        cosines = model.user_vectors(batch.users) @ model.item_vectors(batch.items).T
        scores = cosines / state.settings.temperature - batch.log_q.double()
        losses = [
            torch.stack(
                [scores[i, j] for j in range(16) if j == i or batch.ids[j] != batch.ids[i]]
            ).logsumexp(0)
            - scores[i, i]
            for i in range(16)
        ]
        expected = sum(losses) / 16
        adam.zero_grad()
        expected.backward()
        adam.step()
        for table, total in zip(model.tables(), squares, strict=True):
            gradient = table.weight.grad.to_dense()
            total += (gradient**2).mean(1)
            table.weight.data -= 0.1 * gradient / (total.sqrt() + 1e-8)[:, None]
            table.weight.grad = None
        single = Examples(
            batch.users,
            batch.items | {"popularity": batch.items["popularity"].float()},
            batch.log_q,
            batch.ids,
        )
        assert training_step(state, tables, single) == pytest.approx(
            float(expected.detach()), rel=1e-4
        )
    for ours, theirs in zip(state.model.tables(), model.tables(), strict=True):
        torch.testing.assert_close(ours.weight.double(), theirs.weight, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(state.model.dense_parameters(), model.dense_parameters(), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)


def masked(items: dict[str, torch.Tensor], hidden: set[str]) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(values) if name in hidden else values
        for name, values in items.items()
    }


def a_view(hidden: set[str], counts: bool = False) -> dict[str, torch.Tensor]:
    """Seven items of which some fields are hidden; bags are wider than in the batch of `a_step`."""
    generator = torch.Generator().manual_seed(5)
    words = torch.randint(1, 40, (7, 5), generator=generator)
    items = {
        "item": torch.arange(20, 27),
        "colour": torch.randint(1, 40, (7,), generator=generator),
        "words": words,
    }
    return masked(items, hidden) | ({"popularity": torch.full((7, 1), 0.7)} if counts else {})


@pytest.mark.parametrize("counts", [False, True], ids=["views without counts", "views with counts"])
def test_a_joint_step_against_a_dense_model_in_float64(counts: bool):
    """Losses, embeddings and dense parameters of two steps; a view without counts is of an item
    never sold.
    """
    state, batch = a_step(rows=50)
    tables = RowwiseAdagrad(state.model.tables(), 0.1)
    model = copy.deepcopy(state.model).double()
    adam = torch.optim.Adam(model.dense_parameters(), lr=state.settings.dense_lr)
    squares = [torch.zeros(50, dtype=torch.double) for _ in model.tables()]
    term, views = (
        SelfSupervision(Dropout(), alpha=0.7, temperature=0.3),
        (a_view({"item"}, counts), a_view({"words"}, counts)),
    )
    exact = [
        view | {"popularity": torch.full((7, 1), 0.7 if counts else 0.0, dtype=torch.double)}
        for view in views
    ]
    exact_items = batch.items | {"popularity": batch.items["popularity"].double()}
    for _ in range(2):
        users, items = model.user_vectors(batch.users), model.item_vectors(exact_items)
        scores = users @ items.T / state.settings.temperature - batch.log_q.double()
        main = [
            torch.stack(
                [scores[i, j] for j in range(16) if j == i or batch.ids[j] != batch.ids[i]]
            ).logsumexp(0)
            - scores[i, i]
            for i in range(16)
        ]
        cosines = model.item_vectors(exact[0]) @ model.item_vectors(exact[1]).T / 0.3
        own = [
            (cosines[i].logsumexp(0) + cosines[:, i].logsumexp(0)) / 2 - cosines[i, i]
            for i in range(7)
        ]
        expected = sum(main) / 16, sum(own) / 7
        adam.zero_grad()
        (expected[0] + 0.7 * expected[1]).backward()
        adam.step()
        for table, total in zip(model.tables(), squares, strict=True):
            gradient = table.weight.grad.to_dense()
            total += (gradient**2).mean(1)
            table.weight.data -= 0.1 * gradient / (total.sqrt() + 1e-8)[:, None]
            table.weight.grad = None
        found = joint_step(state, tables, batch, views, term)
        assert float(found.main) == pytest.approx(float(expected[0].detach()), rel=1e-4)
        assert float(found.self_supervised) == pytest.approx(float(expected[1].detach()), rel=1e-4)
        assert float(found.total) == pytest.approx(
            float(found.main) + 0.7 * float(found.self_supervised), rel=1e-6
        )
        assert not any(
            part.requires_grad for part in found
        )  # a list of many steps' losses keeps no graph alive
    for ours, theirs in zip(state.model.tables(), model.tables(), strict=True):
        torch.testing.assert_close(ours.weight.double(), theirs.weight, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(state.model.dense_parameters(), model.dense_parameters(), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)


def test_a_joint_step_takes_the_loss_that_it_is_given():
    state, batch = a_step(rows=50)
    views = a_view({"item"}), a_view({"words"})
    found = joint_step(
        state,
        RowwiseAdagrad([], 0.1),
        batch,
        views,
        SelfSupervision(Dropout(), 0.5),
        lambda u, *_: u.sum() * 0 + 3,
    )
    assert float(found.main) == 3 and float(found.total) == pytest.approx(
        3 + 0.5 * float(found.self_supervised)
    )
