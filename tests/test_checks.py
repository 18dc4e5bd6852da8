"""The checks: each lets the right code pass, and catches the bug it is for."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from course_lib import checks
from course_lib.checks import machine
from course_lib.evaluation import ranks
from course_lib.full_update import Examples, full_update, make_examples
from course_lib.incremental_update import DeltaTable, incremental_update, unfrozen_update
from course_lib.index import VectorIndex
from course_lib.log import DAY, HOUR
from course_lib.losses import in_batch_logits, in_batch_softmax
from course_lib.tfrecord import shuffle_order
from course_lib.towers import RowwiseAdagrad

HAND = (checks.check_logq_sign, checks.check_temperature_first, checks.check_accidental_hits)


def test_a_claim_ticks_or_fails(capsys: pytest.CaptureFixture):
    checks.claim("two is more than one", 2 > 1)
    assert capsys.readouterr().out == "✓ two is more than one\n"
    with pytest.raises(AssertionError, match="one is more than two"):
        checks.claim("one is more than two", 1 > 2)
    with pytest.raises(AssertionError):
        checks.claim("NaN is no evidence", np.nan > 0)


@pytest.mark.parametrize("check", HAND)
def test_the_library_passes(check):
    check(in_batch_logits)


def naive(users, items, log_q, ids, temperature):
    return users @ items.T / temperature - log_q


def wrong_sign(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, -log_q, ids, temperature)


def no_correction(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, torch.zeros_like(log_q), ids, temperature)


def late_temperature(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, log_q / temperature, ids, temperature)


def masks_everything(users, items, log_q, ids, temperature):
    return naive(users, items, log_q, ids, temperature).masked_fill(
        ~torch.eye(len(ids), dtype=torch.bool), -torch.inf
    )


@pytest.mark.parametrize(
    ("check", "logits"),
    [
        (checks.check_logq_sign, wrong_sign),
        (checks.check_logq_sign, no_correction),
        (checks.check_logq_sign, late_temperature),
        (checks.check_temperature_first, late_temperature),
        (checks.check_accidental_hits, naive),
        (checks.check_accidental_hits, masks_everything),
    ],
)
def test_a_planted_bug_is_caught(check, logits):
    with pytest.raises(AssertionError, match="[?.]$"):
        check(logits)


def test_an_item_in_its_own_history_is_caught():
    ids = torch.tensor([3, 4, 0])
    clean = Examples({"history": torch.tensor([[4, 5], [3, 0], [0, 0]])}, {}, torch.zeros(3), ids)
    checks.check_history(clean)
    leaking = Examples({"history": torch.tensor([[4, 5], [3, 4], [0, 0]])}, {}, torch.zeros(3), ids)
    with pytest.raises(AssertionError, match="^1 of 3 events"):
        checks.check_history(leaking)


def test_ties_as_hits_are_caught():
    checks.check_ties(
        lambda scores: float(
            (ranks(scores, [np.array([], int)] * 4, np.arange(4), np.zeros(4, int)) <= 100).mean()
        )
    )
    with pytest.raises(AssertionError, match="Count ties against the model"):
        checks.check_ties(lambda scores: 1.0)


def by_product(vectors, queries, k):
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def by_distance(vectors, queries, k):
    return np.argsort(((queries[:, None] - vectors) ** 2).sum(2), axis=1)[:, :k]


def by_cosine(vectors, queries, k):
    return by_product(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), queries, k)


def worst_first(vectors, queries, k):
    return by_product(-vectors, queries, k)


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (by_distance, "L2 distances"),
        (by_cosine, "order of cosines"),
        (worst_first, "wrong way round"),
    ],
)
def test_another_order_than_the_products_is_caught_and_named(search, reason):
    checks.check_inner_product(by_product)
    with pytest.raises(AssertionError, match=f"{reason}.*[.]$"):
        checks.check_inner_product(search)


def raw(model, features):
    """The item tower without its last step."""
    x = model.item_tables[0](features["item"])
    return model.item_tower.shortcut(x) + model.item_tower.network(x)


@pytest.mark.parametrize(
    ("embed", "reason"),
    [
        (raw, "have lengths from"),
        (
            lambda model, features: raw(model, features) / raw(model, features).norm(),
            "have lengths from",
        ),
        (lambda model, features: torch.eye(4)[features["item"] % 4], "do not point where"),
    ],
)
def test_other_lengths_than_1_are_caught(embed, reason):
    checks.check_unit_length(
        lambda model, features: functional.normalize(raw(model, features), dim=1)
    )
    with pytest.raises(AssertionError, match=f"{reason}.*[?.]$"):
        checks.check_unit_length(embed)


def test_an_index_of_another_version_must_be_refused():
    checks.check_version_refused(lambda path, version: VectorIndex.load(path, version=version))
    with pytest.raises(AssertionError, match="v1's item vectors"):
        checks.check_version_refused(lambda path, version: VectorIndex.load(path))
    with pytest.raises(AssertionError, match="Load the file"):
        checks.check_version_refused(lambda path, version: [])


def blocks(n, generator):
    return torch.arange(n).view(-1, 100)[torch.randperm(n // 100, generator=generator)].flatten()


def parts(n, generator):
    """Eight shards, each shuffled, one after the other in an order that keeps nothing of the day's."""
    return torch.cat(
        [
            torch.randperm(n // 8, generator=generator) + n // 8 * part
            for part in (3, 6, 0, 5, 2, 7, 1, 4)
        ]
    )


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (lambda n, generator: shuffle_order(n, 256, generator), r"is \+0.9\d: .* buffer smaller"),
        (lambda n, generator: shuffle_order(n, n // 2, generator), "buffer smaller"),
        (lambda n, generator: shuffle_order(n, 10, generator).flip(0), "is -1.00"),
        (lambda n, generator: torch.randint(n, (n,), generator=generator), "with replacement"),
        (
            lambda n, generator: torch.randperm(n, generator=generator)[256:],
            "still holds at the end",
        ),
        (
            lambda n, generator: torch.randperm(n, generator=torch.Generator().manual_seed(7)),
            "Is the generator used",
        ),
        (blocks, "whole blocks were shuffled"),
        (parts, "parts of the day stayed together"),
    ],
)
def test_a_day_that_is_not_mixed_is_caught(order, reason):
    checks.check_shuffle(lambda n, generator: torch.randperm(n, generator=generator))
    checks.check_shuffle(lambda n, generator: shuffle_order(n, n, generator))
    with pytest.raises(AssertionError, match=f"{reason}.*[?.]$"):
        checks.check_shuffle(order)


def plain_hour(
    state, log, hour, gradient=None, tables=slice(0, 1), named_only=True, optimiser=None, rate=0.1
):
    """An hour's update on plain tables, with switches for what can go wrong; returns a state of its
    own.
    """
    new = copy.deepcopy(state)
    rows = log.rows(hour, hour + HOUR)
    data = make_examples(new, log, rows, hour, new.generator())
    users, items = new.model.user_vectors(data.users), new.model.item_vectors(data.items)
    in_batch_softmax(users, items, data.log_q, data.ids, new.settings.temperature).backward()
    for parameter in new.model.dense_parameters():
        parameter.grad = None if gradient is None else torch.full_like(parameter, gradient)
    (optimiser(new.model.dense_parameters()) if optimiser else new.optimiser).step()
    chosen = [*new.model.item_tables[tables], *new.model.user_tables[tables]]
    weight = new.model.item_tables[0].weight
    if named_only:
        found = weight.grad.coalesce()
        keep = torch.isin(found.indices()[0], data.ids)
        weight.grad = torch.sparse_coo_tensor(
            found.indices()[:, keep], found.values()[keep], found.shape, check_invariants=True
        )
    RowwiseAdagrad(chosen, rate).step()
    new.full = state
    return new


def in_place(state, log, hour):
    state.model.item_tables[0].weight.data += 0.1
    return state


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (partial(plain_hour, gradient=0.0), "tower.* should be frozen"),  # Adam's momentum
        (
            partial(
                plain_hour, gradient=0.0, optimiser=partial(torch.optim.AdamW, weight_decay=0.1)
            ),
            "tower.* should be frozen",
        ),
        (partial(plain_hour, tables=slice(0, 2)), "colour should be frozen"),
        (partial(plain_hour, named_only=False), "item IDs 4 rows moved, .* name 2"),
        (partial(plain_hour, rate=0.0), "did not move"),
        (unfrozen_update, "should be frozen"),
        (in_place, "has changed"),
    ],
)
def test_what_should_be_frozen_and_moves_is_caught(broken, reason):
    checks.check_frozen(lambda state, log, hour: incremental_update(state, log, hour)[0])
    checks.check_frozen(plain_hour)
    with pytest.raises(AssertionError, match=f"{reason}.*[?.]$"):
        checks.check_frozen(broken)


def merged(state, log, day):
    """Writes what the hours have learned into the full tables, and learns the day again."""
    start = copy.deepcopy(state.full)
    tables = zip(state.model.tables(), start.model.tables(), strict=True)
    for own, table in [(own, table) for own, table in tables if isinstance(own, DeltaTable)]:
        table.weight.data[own.ids] = own.weight.data
    return full_update(start, log, day)


def test_a_night_that_starts_from_the_hours_is_caught():
    checks.check_full_start(lambda state, log, day: full_update(state.full, log, day))
    with pytest.raises(AssertionError, match="Start from state.full.$"):
        checks.check_full_start(merged)
    with pytest.raises(AssertionError, match="Return what full_update returns.$"):
        checks.check_full_start(
            lambda state, log, day: incremental_update(state, log, day + HOUR * 10)[0]
        )


def hours_of(state, log, day):
    return incremental_update(state, log, day, day + DAY)[0]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (hours_of, r"After 1 day\(s\) .* with 2 item rows"),
        (lambda state, log, day: merged(hours_of(state, log, day), log, day), "learned twice"),
        (lambda state, log, day: state, "Was a day left out"),
    ],
)
def test_hours_that_outlive_their_day_are_caught(broken, reason):
    checks.check_discard(
        lambda state, log, day: full_update(hours_of(state, log, day).full, log, day)
    )
    with pytest.raises(AssertionError, match=f"{reason}.*[?.]$"):
        checks.check_discard(broken)


def test_this_machine_is_ready():
    found = checks.environment().set_index("check")
    assert found["ok"].all(), found.loc[~found["ok"], "advice"].tolist()
    assert {"Python", "torch", "faiss-cpu", "threads", "OpenMP runtimes"} <= set(found.index)


def test_a_wrong_version_has_advice(monkeypatch: pytest.MonkeyPatch):
    version = machine.importlib.metadata.version
    monkeypatch.setattr(
        machine.importlib.metadata,
        "version",
        lambda name: "0.1" if name == "torch" else version(name),
    )
    row = checks.environment().set_index("check").loc["torch"]
    assert (
        not row["ok"]
        and row["found"] == "0.1"
        and row["advice"].startswith("The course needs torch")
    )


def test_two_runtimes_that_spin_have_advice(monkeypatch: pytest.MonkeyPatch):
    pools = [
        {"user_api": "openmp", "filepath": f"/lib/{name}.so"} for name in ("libgomp", "libiomp5")
    ]
    monkeypatch.setattr(machine, "threadpool_info", lambda: pools)
    monkeypatch.setattr(machine.torch, "get_num_threads", lambda: 2)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    row = checks.environment().set_index("check").loc["OpenMP runtimes"]
    assert not row["ok"] and "OMP_WAIT_POLICY=PASSIVE" in row["advice"]
