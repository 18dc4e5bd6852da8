"""The losses against double loops in float64, and what the logQ correction is for."""

import math

import numpy as np
import pytest
import torch
from helpers import refusal, unit_vectors

from course_lib.losses import in_batch_logits, in_batch_softmax


def a_batch(n: int = 7, dim: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
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
    logits = in_batch_logits(users, items, torch.tensor([0.5, 0.25]).log(), torch.tensor([1, 2]), temperature=0.5)
    expected = [[2.0 + math.log(2), 0.0 + math.log(4)], [1.2 + math.log(2), 1.6 + math.log(4)]]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0, 3.0])
def test_logits_against_a_double_loop(temperature: float):
    batch = a_batch()
    np.testing.assert_allclose(in_batch_logits(*batch, temperature).numpy(), loop_logits(*batch, temperature), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_softmax_against_a_double_loop(temperature: float):
    batch = a_batch()
    logits = loop_logits(*batch, temperature)
    losses = [math.log(sum(math.exp(value) for value in row)) - row[i] for i, row in enumerate(logits)]
    assert float(in_batch_softmax(*batch, temperature)) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


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
    assert refusal(in_batch_logits, *a_batch(), temperature).startswith(f"temperature is {temperature}")


# -- what logQ is for -------------------------------------------------------------------------------------------------


def in_batch_gradient(user: torch.Tensor, items: torch.Tensor, q: torch.Tensor, drawn: torch.Tensor, sign: float) -> torch.Tensor:
    """[d] gradient of the loss of a user whose item is the batch's first, negatives drawn from q; log q times `sign`."""
    user = user.clone().requires_grad_()
    users = torch.cat([user[None], items[drawn[1:]]])
    # every pair has an id of its own: 40 items in batches of 1,000 would be accidental hits nearly all
    logits = in_batch_logits(users, items[drawn], sign * q[drawn].log(), torch.arange(len(drawn)), temperature=0.5)
    (logits[0].logsumexp(0) - logits[0, 0]).backward()
    return user.grad


def test_logq_makes_the_in_batch_gradient_that_of_the_full_softmax():
    """Negatives are drawn as often as they are bought: with − log q their mean gradient is the full softmax's, else not."""
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
            gradients.append(in_batch_gradient(user, items, q, torch.cat([torch.tensor([7]), negatives]), sign))
        found[sign] = float((torch.stack(gradients).mean(0) - full).norm() / full.norm())
    assert found[1.0] < 0.03
    assert found[0.0] > 0.15
    assert found[-1.0] > 0.15


def test_logq_makes_the_estimate_of_the_partition_unbiased():
    """E over j ~ q of exp(s_j − log q_j) = Σ_j exp(s_j), whatever q: exactly, summed over all j instead of drawn."""
    items, user = unit_vectors(12, 4, 4), unit_vectors(1, 4, 5)
    for seed in range(3):
        q = torch.rand(12, generator=torch.Generator().manual_seed(seed)).add(0.05)
        q /= q.sum()
        logits = in_batch_logits(user.expand(12, -1), items, q.log(), torch.arange(12), temperature=0.3)[0]
        assert float((q * logits.exp()).sum()) == pytest.approx(float((user @ items.T / 0.3).exp().sum()), rel=1e-5)
