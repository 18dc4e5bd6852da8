"""The losses: what makes a user's vector point at the items that the user buys, and an item's views
at each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.frames import checked

Number = float | Tensor  # a temperature can be learned


def in_batch_logits(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: Number
) -> Tensor:
    """[n, n] logits of n (user, item) pairs: cos(a_i, b_j) / τ − log q_j, accidental hits at −∞.

    - `users`, `items`: [n, d] unit vectors; pair i is row i of both. Every other pair's item is a
      negative of user i. Half precision is computed in float32.
    - `log_q`: [n] log of the share of each item among the events (logQ correction; Yi et al., 2019,
      section 3). It belongs to the softmax, not to the cosine: divide by τ first.
    - `ids`: [n] item indices. The same item at j ≠ i is an accidental hit.
    """
    _vectors("users and items", users, items, least=1)
    _check_shape("ids", ids, [len(users)], users.device)
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"ids are {ids.dtype}; give the items' indices, whole numbers.")
    own = torch.arange(len(ids), device=ids.device)
    return mixed_logits(users, items, log_q, own, ids[:, None] == ids[None, :], temperature)


def in_batch_softmax(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: Number
) -> Tensor:
    """Mean over the batch of −log softmax of each pair's own logit among its row of
    `in_batch_logits`: L_main.
    """
    logits = in_batch_logits(users, items, log_q, ids, temperature)
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def mixed_logits(
    users: Tensor, items: Tensor, log_q: Tensor, own: Tensor, masked: Tensor, temperature: Number
) -> Tensor:
    """[n, c] logits of n users against c columns: cos(a_i, b_j) / τ − log q_j, what is masked at
    −∞.

    The columns are the n events' own items and m more, drawn uniformly (mixed negative sampling,
    Yang et al., 2020, section 3); or a whole catalogue, each item once, with log q = 0.

    - `users`: [n, d], `items`: [c, d], unit vectors. Half precision is computed in float32.
    - `log_q`: [c] log of each column's expected share, see `mixed_log_q`; 0 for no correction.
    - `own`: [n] the column of each user's own item, which stays whatever `masked` says.
    - `masked`: [n, c] bool, True where the column's item is no negative of the user: another copy
      of the own one (an accidental hit), or one that the user has bought as well.
    """
    _check_temperature(temperature)
    users, items = _vectors("users and items", users, items, least=1, paired=False)
    n, c = len(users), len(items)
    _check_shape("log_q", log_q, [c], users.device)
    _check_shape("own", own, [n], users.device)
    _check_shape("masked", masked, [n, c], users.device)
    if not log_q.is_floating_point() or own.dtype != torch.long or masked.dtype != torch.bool:
        raise ValueError(
            f"log_q is {log_q.dtype}, own is {own.dtype} and masked is {masked.dtype}; they must "
            "be floats, torch.int64 and torch.bool."
        )
    if own.min() < 0 or own.max() >= c:
        raise ValueError(f"own names columns {own.min()} … {own.max()}; they are 0 … {c - 1}.")
    # [n, d] @ [d, c] → [n, c], minus [c] from every row
    logits = users @ items.T / temperature - log_q
    return logits.masked_fill_(masked.scatter(1, own[:, None], False), -torch.inf)


def mixed_softmax(
    users: Tensor, items: Tensor, log_q: Tensor, own: Tensor, masked: Tensor, temperature: Number
) -> Tensor:
    """Mean over the users of −log softmax of each one's own column in `mixed_logits`: L_main."""
    logits = mixed_logits(users, items, log_q, own, masked, temperature)
    return functional.cross_entropy(logits, own)


def mixed_log_q(log_q: Tensor, n: int, m: int, known: int) -> Tensor:
    """[c] log of each item's expected share of n + m columns: n in-batch ones, where its share is
    q, and m drawn uniformly from `known` items.

    log(n/(n + m) · q + m/(n + m) · 1/known): one correction for both sources, as either may bring
    the item (Yang et al., 2020, section 3). `log_q`: [c], −∞ for an item never bought.
    """
    if n < 1 or m < 0 or known < 1:
        raise ValueError(
            f"n is {n}, m is {m} and known is {known}; m is 0 or above, and the others at least 1."
        )
    return ((n * log_q.exp() + m / known) / (n + m)).log()


def self_supervised(first: Tensor, second: Tensor, temperature: Number) -> Tensor:
    """L_self, the mean over m items: of all second views an item's first one must find its own, and
    the other way round.

    The mean of the softmax losses of cos(b'_i, b''_j) / τ_s along rows and along columns. No log q:
    the items are drawn uniformly, and must be different. Source: the notes, "self-supervised
    learning"; Yao et al., 2021, section 3 (along the rows only).

    - `first`, `second`: [m, d] unit vectors of two views of the same m items, row i of both from
      item i; at least two items.
    - `temperature`: τ_s, not the main loss's.
    """
    _check_temperature(temperature)
    first, second = _vectors("the two views", first, second, least=2)
    logits = first @ second.T / temperature  # [m, d] @ [d, m] → [m, m]
    target = torch.arange(len(logits), device=logits.device)
    along_rows = functional.cross_entropy(logits, target)
    return (along_rows + functional.cross_entropy(logits.T, target)) / 2


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
    checked("alpha", alpha, 0)
    if main.dim() or self_supervised.dim():
        raise ValueError(
            "a loss is no single number; take the mean over the batch first, of each over its own."
        )
    return Joint(main + alpha * self_supervised, main.detach(), self_supervised.detach())


def _vectors(
    what: str, first: Tensor, second: Tensor, least: int, paired: bool = True
) -> tuple[Tensor, Tensor]:
    """Both sides of n pairs, [n, d] each, checked, in float32 at least; or, not paired, [n, d] and
    [c, d].
    """
    shapes = f"{what} have shapes {list(first.shape)} and {list(second.shape)}"
    alike = first.shape == second.shape if paired else first.shape[1:] == second.shape[1:]
    if not alike or first.dim() != 2 or len(first) < least:
        form = "both must be [n, d], row i of both from pair i" if paired else "give [n, d], [c, d]"
        raise ValueError(f"{shapes}; {form}, and n at least {least}.")
    kinds = {(side.dtype, side.device) for side in (first, second)}
    if len(kinds) > 1 or not first.is_floating_point():
        raise ValueError(
            f"{what} are {first.dtype} on {first.device} and {second.dtype} on {second.device}; "
            "both must be floats of one kind on one device."
        )
    half = first.dtype.itemsize < 4
    return (first.float(), second.float()) if half else (first, second)


def _check_shape(name: str, values: Tensor, shape: list[int], device: torch.device) -> None:
    if list(values.shape) != shape or values.device != device:
        raise ValueError(
            f"{name} has shape {list(values.shape)} on {values.device}; it must have shape {shape} "
            f"on {device}, as the vectors say."
        )


def _check_temperature(temperature: Number) -> None:
    tensor = isinstance(temperature, Tensor)
    checked("temperature", temperature.tolist() if tensor else temperature, 1e-12)
