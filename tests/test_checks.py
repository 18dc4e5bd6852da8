"""The checks of planted bugs: each lets the right code pass, and catches the bug that it is for."""

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


def test_a_claim_ticks_or_fails(capsys: pytest.CaptureFixture):
    checks.claim("two is more than one", 2 > 1)
    assert capsys.readouterr().out == "✓ two is more than one\n"
    with pytest.raises(AssertionError, match="one is more than two"):
        checks.claim("one is more than two", 1 > 2)
    with pytest.raises(AssertionError):
        checks.claim("NaN is no evidence", np.nan > 0)


def wrong_sign(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, -log_q, ids, temperature)


def no_correction(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, torch.zeros_like(log_q), ids, temperature)


def late_temperature(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, log_q / temperature, ids, temperature)


def history(*rows):
    ids = torch.tensor([3, 4, 0])
    return Examples({"history": torch.tensor(rows)}, {}, torch.zeros(3), ids)


def library_recall(scores):
    nobody = [np.array([], int)] * 4
    return float((ranks(scores, nobody, np.arange(4), np.zeros(4, int)) <= 100).mean())


def by_product(vectors, queries, k):
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def by_distance(vectors, queries, k):
    return np.argsort(((queries[:, None] - vectors) ** 2).sum(2), axis=1)[:, :k]


def by_cosine(vectors, queries, k):
    return by_product(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), queries, k)


def raw(model, features):
    """The item tower without its last step."""
    x = model.item_tables[0](features["item"])
    return model.item_tower.shortcut(x) + model.item_tower.network(x)


def permuted(n, generator):
    return torch.randperm(n, generator=generator)


def buffered(size):
    return lambda n, generator: shuffle_order(n, size, generator)


def blocks(n, generator):
    return torch.arange(n).view(-1, 100)[torch.randperm(n // 100, generator=generator)].flatten()


def parts(n, generator):
    """Eight shards, each shuffled, one after the other in an order that forgets the day's."""
    order = (3, 6, 0, 5, 2, 7, 1, 4)
    return torch.cat([torch.randperm(n // 8, generator=generator) + n // 8 * p for p in order])


def plain_hour(
    state, log, hour, gradient=None, tables=1, named_only=True, optimiser=None, rate=0.1
):
    """An hour's update on plain tables, with switches for what can go wrong."""
    new = copy.deepcopy(state)
    rows = log.rows(hour, hour + HOUR)
    data = make_examples(new, log, rows, hour, new.generator())
    users, items = new.model.user_vectors(data.users), new.model.item_vectors(data.items)
    in_batch_softmax(users, items, data.log_q, data.ids, new.settings.temperature).backward()
    for parameter in new.model.dense_parameters():
        parameter.grad = None if gradient is None else torch.full_like(parameter, gradient)
    (optimiser(new.model.dense_parameters()) if optimiser else new.optimiser).step()
    chosen = [*new.model.item_tables[:tables], *new.model.user_tables[:tables]]
    weight = new.model.item_tables[0].weight
    if named_only:
        found = weight.grad.coalesce()
        rows, values = found.indices(), found.values()
        keep = torch.isin(rows[0], data.ids)
        weight.grad = torch.sparse_coo_tensor(
            rows[:, keep], values[keep], found.shape, check_invariants=True
        )
    RowwiseAdagrad(chosen, rate).step()
    new.full = state
    return new


def in_place(state, log, hour):
    state.model.item_tables[0].weight.data += 0.1
    return state


def merged(state, log, day):
    """Writes what the hours have learned into the full tables, and learns the day again."""
    start = copy.deepcopy(state.full)
    tables = zip(state.model.tables(), start.model.tables(), strict=True)
    for own, table in [(own, table) for own, table in tables if isinstance(own, DeltaTable)]:
        table.weight.data[own.ids] = own.weight.data
    return full_update(start, log, day)


def hours_of(state, log, day):
    return incremental_update(state, log, day, day + DAY)[0]


DECAY = partial(torch.optim.AdamW, weight_decay=0.1)
ANSWERS = {
    "logq_sign": [
        (in_batch_logits, None),
        (wrong_sign, "Is log q subtracted"),
        (no_correction, "Is log q subtracted"),
        (late_temperature, "after the division by τ"),
    ],
    "temperature_first": [(in_batch_logits, None), (late_temperature, "was divided by τ too")],
    "history": [
        (history([4, 5], [3, 0], [0, 0]), None),
        (history([4, 5], [3, 4], [0, 0]), "^1 of 3 events"),
    ],
    "ties": [(library_recall, None), (lambda scores: 1.0, "Count ties against the model")],
    "inner_product": [
        (by_product, None),
        (by_distance, "L2 distances"),
        (by_cosine, "order of cosines"),
        (lambda vectors, *rest: by_product(-vectors, *rest), "wrong way round"),
    ],
    "unit_length": [
        (lambda model, features: functional.normalize(raw(model, features), dim=1), None),
        (raw, "have lengths from"),
        (lambda *given: raw(*given) / raw(*given).norm(), "have lengths from"),
        (lambda model, features: torch.eye(4)[features["item"] % 4], "do not point where"),
    ],
    "version_refused": [
        (lambda path, version: VectorIndex.load(path, version=version), None),
        (lambda path, version: VectorIndex.load(path), "v1's item vectors"),
        (lambda path, version: [], "Load the file"),
    ],
    "shuffle": [
        (permuted, None),
        (buffered(4_000), None),
        (buffered(256), r"is \+0.9\d: .* buffer smaller"),
        (buffered(2_000), "buffer smaller"),
        (lambda n, generator: shuffle_order(n, 10, generator).flip(0), "is -1.00"),
        (lambda n, generator: torch.randint(n, (n,), generator=generator), "with replacement"),
        (lambda n, generator: permuted(n, generator)[256:], "still holds at the end"),
        (lambda n, _: permuted(n, torch.Generator().manual_seed(7)), "Is the generator used"),
        (blocks, "whole blocks were shuffled"),
        (parts, "parts of the day stayed together"),
    ],
    "frozen": [
        (lambda *given: incremental_update(*given)[0], None),
        (plain_hour, None),
        (partial(plain_hour, gradient=0.0), "tower.* should be frozen"),  # Adam's momentum
        (partial(plain_hour, gradient=0.0, optimiser=DECAY), "tower.* should be frozen"),
        (partial(plain_hour, tables=2), "colour should be frozen"),
        (partial(plain_hour, named_only=False), "item IDs 4 rows moved, .* name 2"),
        (partial(plain_hour, rate=0.0), "did not move"),
        (unfrozen_update, "should be frozen"),
        (in_place, "has changed"),
    ],
    "full_start": [
        (lambda state, log, day: full_update(state.full, log, day), None),
        (merged, "Start from state.full.$"),
        (lambda state, *_: state, "Return what full_update ret"),
    ],
    "discard": [
        (lambda state, log, day: full_update(hours_of(state, log, day).full, log, day), None),
        (hours_of, r"After 1 day\(s\) .* with 2 item rows"),
        (lambda state, log, day: merged(hours_of(state, log, day), log, day), "learned twice"),
        (lambda state, log, day: state, "Was a day left out"),
    ],
}


@pytest.mark.parametrize(
    ("check", "answer", "reason"), [(name, *one) for name, all_ in ANSWERS.items() for one in all_]
)
def test_right_code_passes_and_a_planted_bug_is_named(check, answer, reason):
    check = getattr(checks, f"check_{check}")
    if reason is None:
        return check(answer)
    with pytest.raises(AssertionError, match=reason):
        check(answer)


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


def test_leaking_histories_hold_the_day_and_only_within(tiny, tiny_state):
    rows, store = tiny.rows(tiny.days[1], tiny.days[1] + DAY), tiny_state.features
    users = tiny.user_rows[rows]

    def history(before=rows.start):
        return store.user_features(tiny, users, before)["history"]

    honest = history()
    with checks.leaking_histories():
        leaked = history()
    assert not torch.equal(leaked, honest) and torch.equal(history(), honest)
    assert torch.equal(leaked, history(rows.stop))
