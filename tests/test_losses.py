"""The losses against double loops in float64, and what the logQ correction is for."""

import math

import numpy as np
import pytest
import torch
from helpers import refusal, unit_vectors

from course_lib.losses import in_batch_logits, in_batch_softmax, joint, self_supervised


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


@pytest.mark.parametrize("temperature", [0, -0.1])
def test_a_temperature_must_be_above_zero(temperature: float):
    assert refusal(in_batch_logits, *a_batch(), temperature).startswith(
        f"temperature is {temperature}"
    )


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
    """Its gradient, of either view, is what the loss changes by: nothing is held fixed on one side."""
    views = [unit_vectors(5, 4, seed).double().requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(
        lambda first, second: self_supervised(first, second, 0.5), views
    )


def test_self_supervised_refuses_what_it_can_not_compare():
    views = unit_vectors(4, 3, 0), unit_vectors(4, 3, 1)
    for temperature in (0, -0.1):
        assert refusal(self_supervised, *views, temperature).startswith(
            f"temperature is {temperature}"
        )
    for second in (views[1][:3], views[1][:, :2], views[1][0]):
        assert "the views' vectors have shapes [4, 3] and" in refusal(
            self_supervised, views[0], second, 0.1
        )
    assert "must be [m, d]" in refusal(self_supervised, views[0][0], views[1][0], 0.1)
    for m in (0, 1):
        assert refusal(self_supervised, views[0][:m], views[1][:m], 0.1).startswith(f"m is {m}")


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


@pytest.mark.parametrize("alpha", [-0.1, math.nan, math.inf])
def test_alpha_is_a_weight(alpha: float):
    assert refusal(joint, torch.tensor(1.0), torch.tensor(1.0), alpha).startswith(
        f"alpha is {alpha}"
    )


def test_joint_wants_means():
    for losses in ((torch.ones(3), torch.tensor(1.0)), (torch.tensor(1.0), torch.ones(1))):
        assert refusal(joint, *losses, 0.1).startswith("a loss is no single number")
