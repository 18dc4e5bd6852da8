"""The losses: what makes a user's vector point at the items that the user buys."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def in_batch_logits(users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """[n, n] logits of n (user, item) pairs: cos(a_i, b_j) / τ − log q_j, accidental hits at −∞.

    Divide by τ first, then correct: log q_j belongs to the softmax, not to the cosine.

    - `users`, `items`: [n, d] unit vectors; pair i is row i of both. Every other pair's item is a negative of user i.
    - `log_q`: [n] log of the share of each item among the events: popular items are drawn as negatives more often than
      others, and would be pushed away for it (logQ correction; Yi et al., 2019, section 3).
    - `ids`: [n] item indices. The same item at j ≠ i is an accidental hit: a positive posing as a negative.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    logits = users @ items.T / temperature - log_q  # [n, d] @ [d, n] → [n, n], minus [n] from every row
    same = ids[:, None] == ids[None, :]
    hits = same & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    return logits.masked_fill(hits, -torch.inf)


def in_batch_softmax(users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Mean over the batch of −log softmax of each pair's own logit among its row of `in_batch_logits`: L_main."""
    logits = in_batch_logits(users, items, log_q, ids, temperature)
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
