"""The losses against double loops in float64, and what the logQ correction is for."""

import math

import numpy as np
import pytest
import torch
from helpers import refusal, unit_vectors
from hypothesis import given, settings, strategies

from course_lib.losses import (
    in_batch_logits,
    in_batch_softmax,
    joint,
    mixed_log_q,
    mixed_logits,
    mixed_softmax,
    self_supervised,
)


def a_batch(
    n: int = 7, dim: int = 3
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Users, items, log q, ids; pairs 0, 4 and 5 bought the same item."""
    ids = torch.tensor([11, 12, 13, 14, 11, 11, 17])[:n]
    return unit_vectors(n, dim, 0), unit_vectors(n, dim, 1), (ids / 100).log(), ids


def loop_logits(users, items, log_q, ids, temperature: float) -> np.ndarray:
    n = len(ids)
    logits = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            cosine = sum(float(a) * float(b) for a, b in zip(users[i], items[j], strict=True))
            hit = i != j and int(ids[i]) == int(ids[j])
            logits[i, j] = -math.inf if hit else cosine / temperature - float(log_q[j])
    return logits


def test_logits_by_hand():
    """cos / τ − log q: τ = 0.5 doubles the cosine and leaves log q alone; q = 1/4 adds log 4."""
    users, items = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    logits = in_batch_logits(
        users, items, torch.tensor([0.5, 0.25]).log(), torch.tensor([1, 2]), temperature=0.5
    )
    expected = [[2.0 + math.log(2), 0.0 + math.log(4)], [1.2 + math.log(2), 1.6 + math.log(4)]]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0, 3.0])
def test_logits_against_a_double_loop(temperature: float):
    batch = a_batch()
    np.testing.assert_allclose(
        in_batch_logits(*batch, temperature).numpy(),
        loop_logits(*batch, temperature),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_softmax_against_a_double_loop(temperature: float):
    batch = a_batch()
    logits = loop_logits(*batch, temperature)
    losses = [
        math.log(sum(math.exp(value) for value in row)) - row[i] for i, row in enumerate(logits)
    ]
    assert float(in_batch_softmax(*batch, temperature)) == pytest.approx(
        sum(losses) / len(losses), rel=1e-5
    )


def test_accidental_hits_have_no_weight_and_no_gradient():
    users, items, log_q, ids = a_batch()
    items.requires_grad_()
    logits = in_batch_logits(users, items, log_q, ids, 0.1)
    weight = logits.softmax(1)
    assert (weight[[0, 0, 4, 4, 5, 5], [4, 5, 0, 5, 0, 4]] == 0).all()
    assert (weight.diagonal() > 0).all()  # the pair's own item stays
    logits[0].logsumexp(0).backward()
    assert (items.grad[[4, 5]] == 0).all() and (items.grad[[0, 1, 2, 3, 6]].abs().sum(1) > 0).all()


def test_a_pair_alone_in_its_batch_has_nothing_to_learn():
    batch = a_batch(n=1)
    assert float(in_batch_softmax(*batch, 0.1)) == 0


NO_TEMPERATURES = {
    **{repr(value): value for value in (0, -0.1, math.nan, math.inf, True, "0.1", None)},
    "[1.0, 1.0, 1.0]": torch.ones(3),
    "0.0": torch.tensor(0.0),
    "False": torch.tensor(False),
}


@pytest.mark.parametrize("shown", NO_TEMPERATURES)
def test_a_temperature_must_be_a_number_above_zero(shown: str):
    for loss, batch in ((in_batch_logits, a_batch()), (self_supervised, a_batch()[:2])):
        message = refusal(loss, *batch, NO_TEMPERATURES[shown])
        assert message == f"temperature is {shown}; it must be a number, at least 1e-12."


def test_a_temperature_can_be_learned():
    users, items, log_q, ids = (t.double() if t.is_floating_point() else t for t in a_batch())
    temperature = torch.tensor(0.5, dtype=torch.double, requires_grad=True)
    for loss, rest in ((in_batch_softmax, (log_q, ids)), (self_supervised, ())):
        assert torch.autograd.gradcheck(
            lambda t, loss=loss, rest=rest: loss(users, items, *rest, t), temperature
        )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_vectors_of_any_float_type(kind: torch.dtype):
    """Half precision loses what the vectors lose, and nothing more: against the double loop."""
    users, items, log_q, ids = a_batch()
    users, items = users.to(kind), items.to(kind)
    close = 1e-12 if kind == torch.float64 else 1e-5
    logits = in_batch_logits(users, items, log_q.double(), ids, 0.05)
    np.testing.assert_allclose(logits, loop_logits(users, items, log_q, ids, 0.05), atol=close)
    expected = loop_self_supervised(users, items, 0.05)
    assert float(self_supervised(users, items, 0.05)) == pytest.approx(expected, rel=close)
    users.requires_grad_()
    in_batch_softmax(users, items, log_q, ids, 0.05).backward()
    assert users.grad.dtype == kind and users.grad.any()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"users": torch.ones(6, 3)}, "users and items have shapes [6, 3] and [7, 3]; both must"),
        ({"items": torch.ones(7, 2)}, "users and items have shapes [7, 3] and [7, 2]; both must"),
        ({"items": torch.ones(7)}, "users and items have shapes [7, 3] and [7]; both must"),
        ({"items": torch.ones(7, 3).double()}, "users and items are torch.float32 on cpu and"),
        ({"items": torch.ones(7, 3, device="meta")}, "users and items are torch.float32 on cpu"),
        ({"log_q": torch.zeros(7, 1)}, "log_q has shape [7, 1] on cpu; it must have shape [7]"),
        ({"log_q": torch.zeros(7, 7)}, "log_q has shape [7, 7] on cpu; it must have shape [7]"),
        ({"log_q": torch.zeros(1)}, "log_q has shape [1] on cpu; it must have shape [7]"),
        ({"log_q": torch.tensor(0.0)}, "log_q has shape [] on cpu; it must have shape [7]"),
        ({"log_q": torch.zeros(7, device="meta")}, "log_q has shape [7] on meta; it must have"),
        ({"log_q": torch.zeros(7).bool()}, "log_q is torch.bool, own is torch.int64 and masked"),
        ({"ids": torch.arange(6)}, "ids has shape [6] on cpu; it must have shape [7]"),
        ({"ids": torch.arange(7.0)}, "ids are torch.float32; give the items' indices"),
        ({"ids": torch.ones(7).bool()}, "ids are torch.bool; give the items' indices"),
        ({"ids": torch.arange(7)[:, None]}, "ids has shape [7, 1] on cpu; it must have shape [7]"),
    ],
)
def test_a_batch_that_is_none_is_refused(change: dict, reason: str):
    names = ("users", "items", "log_q", "ids")
    batch = dict(zip(names, a_batch(), strict=True)) | change
    for loss in (in_batch_logits, in_batch_softmax):
        assert refusal(loss, **batch, temperature=0.1).startswith(reason)


def test_an_empty_batch_and_whole_numbers_are_refused():
    empty = [values[:0] for values in a_batch()]
    assert "and n at least 1" in refusal(in_batch_softmax, *empty, 0.1)
    users, items, log_q, ids = a_batch()
    whole = (users.long(), items.long(), log_q, ids)
    assert "users and items are torch.int64" in refusal(in_batch_logits, *whole, 0.1)


# -- what logQ is for
# -------------------------------------------------------------------------------------------------


def in_batch_gradient(
    user: torch.Tensor, items: torch.Tensor, q: torch.Tensor, drawn: torch.Tensor, sign: float
) -> torch.Tensor:
    """[d] gradient of the loss of a user whose item is the batch's first, negatives drawn from q;
    log q times `sign`.
    """
    user = user.clone().requires_grad_()
    users = torch.cat([user[None], items[drawn[1:]]])
    # every pair has an id of its own: 40 items in batches of 1,000 would be accidental hits nearly
    # all
    logits = in_batch_logits(
        users, items[drawn], sign * q[drawn].log(), torch.arange(len(drawn)), temperature=0.5
    )
    (logits[0].logsumexp(0) - logits[0, 0]).backward()
    return user.grad


def test_logq_makes_the_in_batch_gradient_that_of_the_full_softmax():
    """Negatives are drawn as often as they are bought: with − log q their mean gradient is the full
    softmax's, else not.
    """
    generator = torch.Generator().manual_seed(0)
    items, user = unit_vectors(40, 4, 2), unit_vectors(1, 4, 3)[0]
    leaf = user.double().requires_grad_()
    scores = items.double() @ leaf / 0.5
    q = 1 / (1 + (-scores).argsort().argsort().float())  # Zipf: what this user likes is popular
    q /= q.sum()
    (scores.logsumexp(0) - scores[7]).backward()
    full = leaf.grad.float()

    found = {}
    for sign in (1.0, 0.0, -1.0):
        gradients = []
        for _ in range(40):
            negatives = torch.multinomial(q, 400, replacement=True, generator=generator)
            gradients.append(
                in_batch_gradient(user, items, q, torch.cat([torch.tensor([7]), negatives]), sign)
            )
        found[sign] = float((torch.stack(gradients).mean(0) - full).norm() / full.norm())
    assert found[1.0] < 0.03
    assert found[0.0] > 0.15
    assert found[-1.0] > 0.15


def test_logq_makes_the_estimate_of_the_partition_unbiased():
    """E over j ~ q of exp(s_j − log q_j) = Σ_j exp(s_j), whatever q: exactly, summed over all j
    instead of drawn.
    """
    items, user = unit_vectors(12, 4, 4), unit_vectors(1, 4, 5)
    for seed in range(3):
        q = torch.rand(12, generator=torch.Generator().manual_seed(seed)).add(0.05)
        q /= q.sum()
        logits = in_batch_logits(
            user.expand(12, -1), items, q.log(), torch.arange(12), temperature=0.3
        )[0]
        assert float((q * logits.exp()).sum()) == pytest.approx(
            float((user @ items.T / 0.3).exp().sum()), rel=1e-5
        )


# -- mixed negatives
# -------------------------------------------------------------------------------------------------


def test_mixed_logits_by_hand():
    """Three users, their own items, and one drawn: τ = 0.5 doubles the cosines, −log ½ adds log 2.

    Users 0 and 1 bought the same item: an accidental hit. User 2 has the drawn one.
    """
    users = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    items = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    share = torch.tensor([1.0, 1.0, 0.5, 0.25])
    hits = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]).bool()
    own, hidden, two, four = torch.arange(3), -math.inf, math.log(2), math.log(4)
    expected = [
        [2.0, hidden, 0.0 + two, 1.6 + four],
        [hidden, 0.0, 2.0 + two, 1.2 + four],
        [1.2, 1.2, 1.6 + two, hidden],
    ]
    found = mixed_logits(users, items, share.log(), own, hits, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    losses = [math.log(sum(map(math.exp, row))) - row[i] for i, row in enumerate(expected)]
    loss = mixed_softmax(users, items, share.log(), own, hits, 0.5)
    assert float(loss) == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_a_mixed_share_by_hand():
    """Of 3 + 1 columns, the item with q = ½ has 3/4 · 1/2 + 1/4 · 1/5; one never bought has 1/20."""
    found = mixed_log_q(torch.tensor([0.5, 0.0]).log(), n=3, m=1, known=5)
    np.testing.assert_allclose(found.exp(), [0.425, 0.05], rtol=1e-6)
    alone = torch.tensor([0.5, 0.1]).log()
    np.testing.assert_allclose(mixed_log_q(alone, 3, 0, 5), alone, rtol=1e-6)
    for n, m, known in ((0, 1, 5), (3, -1, 5), (3, 1, 0)):
        assert f"n is {n}, m is {m} and known is {known}" in refusal(
            mixed_log_q, alone, n, m, known
        )


def mixed_batch(seed: int, n: int, m: int, dim: int) -> dict[str, object]:
    random = np.random.default_rng(seed)
    return {
        "users": unit_vectors(n, dim, seed),
        "items": unit_vectors(n + m, dim, seed + 1),
        "log_q": torch.from_numpy(np.log(random.uniform(1e-4, 1, n + m))).float(),
        "own": torch.from_numpy(random.integers(0, n + m, n)),
        "masked": torch.from_numpy(random.random((n, n + m)) < 0.4),
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=strategies.integers(0, 10_000),
    n=strategies.integers(1, 6),
    m=strategies.integers(0, 7),
    temperature=strategies.sampled_from([0.05, 0.1, 1.0]),
)
def test_mixed_softmax_against_numpy(seed: int, n: int, m: int, temperature: float):
    """Float64, one user after the other, over the columns that are left."""
    batch = mixed_batch(seed, n, m, dim=3)
    users, items, log_q, own, masked = (values.numpy() for values in batch.values())
    before = [values.clone() for values in batch.values()]
    losses = []
    for i in range(n):
        left = [j for j in range(n + m) if j == own[i] or not masked[i, j]]
        scores = items[left].astype(float) @ users[i].astype(float) / temperature - log_q[left]
        losses.append(np.log(np.exp(scores).sum()) - scores[left.index(own[i])])
    found = mixed_softmax(**batch, temperature=temperature)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4, abs=1e-5)
    assert all(map(torch.equal, before, batch.values()))


def test_the_mixed_correction_makes_the_partition_unbiased():
    """n columns as often as they are bought and m uniformly: the mean of Σ exp(s_j − log share_j)
    is (n + m) Σ exp(s_j), whatever q; exactly, summed over all items instead of drawn.
    """
    q = torch.tensor([0.7, 0.2, 0.1, 0.0, 0.0], dtype=torch.double)
    scores = torch.linspace(-1, 2, 5, dtype=torch.double)
    for n, m in ((1, 1), (3, 2), (256, 16)):
        corrected = (scores - mixed_log_q(q.log(), n, m, 5)).exp()
        mean = n * (q * corrected).sum() + m * corrected.mean()
        assert float(mean) == pytest.approx((n + m) * float(scores.exp().sum()))


def test_a_whole_catalogue_is_the_full_softmax():
    """Every item once, no correction: torch's own cross-entropy over all scores."""
    users, items = unit_vectors(5, 3, 0).double(), unit_vectors(4, 3, 1).double()
    bought, nothing = torch.tensor([3, 0, 0, 1, 2]), torch.zeros(5, 4).bool()
    found = mixed_softmax(users, items, torch.zeros(4), bought, nothing, 0.2)
    scores = users.numpy() @ items.numpy().T / 0.2
    expected = np.log(np.exp(scores).sum(1)) - scores[range(5), bought]
    assert float(found) == pytest.approx(expected.mean())


def test_what_is_masked_gets_no_gradient_and_what_is_drawn_does():
    batch = mixed_batch(0, n=4, m=3, dim=3) | {"own": torch.arange(4)}
    batch["masked"] = torch.zeros(4, 7).bool()
    batch["masked"][:, 5] = True
    batch["items"].requires_grad_()
    mixed_softmax(**batch, temperature=0.1).backward()
    moved = batch["items"].grad.abs().sum(1) > 0
    assert moved.tolist() == [True] * 5 + [False, True]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_mixed_logits_of_any_float_type(kind: torch.dtype):
    batch = mixed_batch(3, n=4, m=3, dim=3)
    half = {name: batch[name].to(kind) for name in ("users", "items")}
    found = mixed_logits(**batch | half, temperature=0.05)
    exact = {name: values.double() for name, values in half.items()}
    expected = mixed_logits(**batch | exact, temperature=0.05)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == (torch.float64 if kind == torch.float64 else torch.float32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"users": torch.ones(0, 3)}, "users and items have shapes [0, 3] and [7, 3]; give [n"),
        ({"items": torch.ones(7, 2)}, "users and items have shapes [4, 3] and [7, 2]; give [n"),
        ({"items": torch.ones(3)}, "users and items have shapes [4, 3] and [3]; give [n"),
        ({"items": torch.ones(7, 3).double()}, "users and items are torch.float32 on cpu and"),
        ({"log_q": torch.zeros(4)}, "log_q has shape [4] on cpu; it must have shape [7] on cpu"),
        ({"log_q": torch.zeros(7).long()}, "log_q is torch.int64, own is torch.int64 and masked"),
        ({"own": torch.arange(7)}, "own has shape [7] on cpu; it must have shape [4] on cpu"),
        ({"own": torch.ones(4)}, "log_q is torch.float32, own is torch.float32 and masked is"),
        ({"own": torch.ones(4).bool()}, "log_q is torch.float32, own is torch.bool and masked is"),
        ({"own": torch.tensor([0, 1, 2, 7])}, "own names columns 0 … 7; they are 0 … 6"),
        ({"own": torch.tensor([0, -1, 2, 3])}, "own names columns -1 … 3; they are 0 … 6"),
        ({"masked": torch.zeros(7, 4).bool()}, "masked has shape [7, 4] on cpu; it must have"),
        ({"masked": torch.zeros(4, 7)}, "log_q is torch.float32, own is torch.int64 and masked is"),
        ({"masked": torch.zeros(4, 7, device="meta").bool()}, "masked has shape [4, 7] on meta"),
        ({"temperature": 0}, "temperature is 0; it must be a number, at least"),
    ],
)
def test_a_mixed_batch_that_is_none_is_refused(change: dict, reason: str):
    batch = mixed_batch(0, n=4, m=3, dim=3) | {"temperature": 0.1} | change
    for loss in (mixed_logits, mixed_softmax):
        assert refusal(loss, **batch).startswith(reason)


# -- self-supervised
# --------------------------------------------------------------------------------------------------


def loop_self_supervised(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Item by item in plain floats: −log of its own pair's share, among all second views and among
    all first ones.
    """
    first, second, losses = first.double().tolist(), second.double().tolist(), []
    for i in range(len(first)):
        own = math.exp(sum(map(float.__mul__, first[i], second[i])) / temperature)
        across = sum(
            math.exp(sum(map(float.__mul__, first[i], other)) / temperature) for other in second
        )
        down = sum(
            math.exp(sum(map(float.__mul__, other, second[i])) / temperature) for other in first
        )
        losses += [-math.log(own / across), -math.log(own / down)]
    return sum(losses) / len(losses)


def test_self_supervised_by_hand():
    """Both first views at cosine 1 to their own; the second item's first view also at 0.6 to the
    other's second. τ = 0.5.
    """
    first, second = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    rows = [math.log(1 + math.exp(0 - 2)), math.log(1 + math.exp(1.2 - 1.6))]
    columns = [math.log(1 + math.exp(1.2 - 2)), math.log(1 + math.exp(0 - 1.6))]
    assert float(self_supervised(first, second, 0.5)) == pytest.approx(
        (sum(rows) + sum(columns)) / 4, rel=1e-6
    )


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("m", [2, 9])
def test_self_supervised_against_a_double_loop(temperature: float, m: int):
    first, second = unit_vectors(m, 5, 6), unit_vectors(m, 5, 7)
    expected = loop_self_supervised(first, second, temperature)
    assert float(self_supervised(first, second, temperature)) == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )
    assert float(self_supervised(second, first, temperature)) == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )


def test_self_supervised_knows_nothing_and_everything():
    """All vectors the same: log m. Orthogonal items whose views agree, at a low temperature: 0."""
    same = unit_vectors(1, 4, 0).expand(8, -1)
    assert float(self_supervised(same, same, 0.2)) == pytest.approx(math.log(8), rel=1e-6)
    assert float(self_supervised(torch.eye(8), torch.eye(8), 0.02)) < 1e-6


def test_self_supervised_moves_both_views():
    """Its gradient, of either view, is what the loss changes by: no side is held fixed."""
    views = [unit_vectors(5, 4, seed).double().requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(
        lambda first, second: self_supervised(first, second, 0.5), views
    )


def test_self_supervised_refuses_what_it_can_not_compare():
    views = unit_vectors(4, 3, 0), unit_vectors(4, 3, 1)
    for second in (views[1][:3], views[1][:, :2], views[1][0]):
        assert "the two views have shapes [4, 3] and" in refusal(
            self_supervised, views[0], second, 0.1
        )
    assert "must be [n, d]" in refusal(self_supervised, views[0][0], views[1][0], 0.1)
    for m in (0, 1):
        assert "n at least 2" in refusal(self_supervised, views[0][:m], views[1][:m], 0.1)


# -- joint -----------------------------------------------------------------------------------------
# -------------------


def test_joint_is_the_weighted_sum_and_shows_its_parts():
    """1/n Σ L_main + α · 1/m Σ L_self; the gradient of the total is that of the sum, the parts have
    none.
    """
    weight = torch.tensor(2.0, requires_grad=True)
    main, self_loss = (
        torch.stack([weight, 3 * weight]).mean(),
        (weight**2).mean(),
    )  # 4 and 4, gradients 2 and 4
    found = joint(main, self_loss, 0.25)
    assert (float(found.total.detach()), float(found.main), float(found.self_supervised)) == (
        5.0,
        4.0,
        4.0,
    )
    found.total.backward()
    assert float(weight.grad) == 2 + 0.25 * 4
    assert not found.main.requires_grad and not found.self_supervised.requires_grad
    assert float(joint(torch.tensor(4.0), torch.tensor(9.0), 0).total) == 4


@pytest.mark.parametrize("alpha", [-0.1, math.nan, math.inf, True, "0.1", None])
def test_alpha_is_a_weight(alpha: float):
    assert refusal(joint, torch.tensor(1.0), torch.tensor(1.0), alpha).startswith(
        f"alpha is {alpha!r}"
    )


def test_joint_wants_means():
    for losses in ((torch.ones(3), torch.tensor(1.0)), (torch.tensor(1.0), torch.ones(1))):
        assert refusal(joint, *losses, 0.1).startswith("a loss is no single number")
