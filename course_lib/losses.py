"""The losses: what makes a user's vector point at the items that the user buys, and an item's views
at each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def in_batch_logits(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float
) -> Tensor:
    """[n, n] logits of n (user, item) pairs: cos(a_i, b_j) / τ − log q_j, accidental hits at −∞.

    Divide by τ first, then correct: log q_j belongs to the softmax, not to the cosine.

    - `users`, `items`: [n, d] unit vectors; pair i is row i of both. Every other pair's item is a
      negative of user i.
    - `log_q`: [n] log of the share of each item among the events: popular items are drawn as
      negatives more often than others, and would be pushed away for it (logQ correction; Yi et al.,
      2019, section 3).
    - `ids`: [n] item indices. The same item at j ≠ i is an accidental hit: a positive posing as a
      negative.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    logits = (
        users @ items.T / temperature - log_q
    )  # [n, d] @ [d, n] → [n, n], minus [n] from every row
    same = ids[:, None] == ids[None, :]
    hits = same & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    return logits.masked_fill(hits, -torch.inf)


def in_batch_softmax(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float
) -> Tensor:
    """Mean over the batch of −log softmax of each pair's own logit among its row of
    `in_batch_logits`: L_main.
    """
    logits = in_batch_logits(users, items, log_q, ids, temperature)
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def self_supervised(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """L_self, the mean over m items: of all second views an item's first one must find its own, and
    the other way round.

    Logits are cos(b'_i, b''_j) / τ_s, the target is the diagonal; the mean of the softmax losses
    along rows and along columns. No log q: the items are drawn uniformly (`augment.uniform_items`),
    so none is a negative more often than others. The items must be different, or an item would be
    its own negative. A model that knows nothing scores log m. Source: the notes, "self-supervised
    learning"; Yao et al., 2021, section 3 (along the rows only).

    - `first`, `second`: [m, d] unit vectors of two views of the same m items, row i of both from
      item i.
    - `temperature`: τ_s, not the main loss's.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    if first.shape != second.shape or first.dim() != 2:
        shapes = f"{list(first.shape)} and {list(second.shape)}"
        raise ValueError(
            f"the views' vectors have shapes {shapes}; both must be [m, d], row i of both from the same item."
        )
    if len(first) < 2:
        raise ValueError(
            f"m is {len(first)}; an item is told from others, so a contrast needs at least two."
        )
    logits = first @ second.T / temperature  # [m, d] @ [d, m] → [m, m]
    target = torch.arange(len(logits), device=logits.device)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2


class Joint(NamedTuple):
    """A joint loss and its parts: minimise `total`; plot `main` and `self_supervised`, which has
    not been multiplied by α.
    """

    total: Tensor
    main: Tensor
    self_supervised: Tensor


def joint(main: Tensor, self_supervised: Tensor, alpha: float) -> Joint:
    """1/n Σ L_main + α · 1/m Σ L_self (the notes), from both means, such as `in_batch_softmax` and
    `self_supervised` return.
    """
    if not 0 <= alpha < torch.inf:
        raise ValueError(
            f"alpha is {alpha}; it weighs the self-supervised loss, and must be 0 or a number above."
        )
    if main.dim() or self_supervised.dim():
        raise ValueError(
            "a loss is no single number; take the mean over the batch first, of each loss over its own."
        )
    return Joint(main + alpha * self_supervised, main.detach(), self_supervised.detach())
