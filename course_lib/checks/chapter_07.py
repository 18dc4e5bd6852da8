"""Checks of the exercises of chapter 07: the tail's share, the contrastive loss and its parts, a
joint loss, draws of items.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from course_lib.checks.guard import compare, run


def check_slice_shares(slice_shares: Callable) -> None:
    """`slice_shares(times_bought [m]) -> DataFrame`, columns `items` and `events`, rows cold, tail,
    mid, head; by hand.

    Source: `evaluation.SLICES`.
    """

    def table(items: list, events: list) -> pd.DataFrame:
        return pd.DataFrame({"items": items, "events": events}, ["cold", "tail", "mid", "head"])

    tenth = np.array([1, 2, 4, 3]) / 10
    found = run(slice_shares, np.array([100, 0, 20, 300, 1, 200, 21, 101, 29, 29]))
    mistakes = {
        "Does an item bought 20 times count as mid, or one bought 100 times as head? Tail ends with 20, mid with 100.": (
            table([0.1, 0.1, 0.4, 0.4], [0, 1 / 801, 99 / 801, 701 / 801])
        ),
        "Is an item that was never bought in the tail? It is cold.": table(
            [0, 0.3, 0.4, 0.3], [0, 21 / 801, 179 / 801, 601 / 801]
        ),
        "`events` is the slice's share of the purchases, not of the items.": table(tenth, tenth),
        "Those are numbers, and not shares; divide by all.": table([1, 2, 4, 3], [0, 21, 179, 601]),
    }
    compare(
        found,
        table(tenth, [0, 21 / 801, 179 / 801, 601 / 801]),
        "Ten items, bought 0 to 300 times",
        mistakes,
    )
    found = run(slice_shares, np.array([5, 3]))
    compare(found, table([0, 1, 0, 0], [0, 1, 0, 0]), "Two tail items, and three empty slices")
    print("✓ slice_shares: all four slices, each with its share of the items and of the events")


def ways(logits: np.ndarray, left_out: np.ndarray | bool = False) -> tuple[np.ndarray, np.ndarray]:
    """[m], [m]: −log softmax of the diagonal along the rows and along the columns of [m, m], in
    float64.

    No negative is one that `left_out` [m, m] names; the diagonal always stays.
    """
    logits = np.where(
        left_out & ~np.eye(len(logits), dtype=bool), -np.inf, np.asarray(logits, dtype=np.float64)
    )
    return tuple(
        np.array([np.logaddexp.reduce(row) - row[i] for i, row in enumerate(one)])
        for one in (logits, logits.T)
    )


def losses_by_hand(first: np.ndarray, second: np.ndarray, temperature: float) -> np.ndarray:
    """[m] the mean of both ways for each item, from vectors [m, d] of any length."""
    one, other = (np.asarray(view, dtype=np.float64) for view in (first, second))
    cosines = [[x @ y / math.sqrt((x @ x) * (y @ y)) for y in other] for x in one]
    return sum(ways(np.array(cosines) / temperature)) / 2


def check_item_losses(item_losses: Callable) -> None:
    """`item_losses(first [m, d], second [m, d], temperature) -> [m]`, vectors of any length, a τ_s
    as cold as 0.002.

    Source: `losses.self_supervised`, item by item. The vectors are those of the chapter's three
    items, before the last step.
    """
    first, second = (
        torch.tensor([[1.0, 1], [-2, 0.5], [1, -1.5]]),
        torch.tensor([[2.0, -0.5], [-1, 1], [1, -1]]),
    )
    lengths = first.norm(dim=1, keepdim=True), second.norm(dim=1, keepdim=True)
    cosines = ((first / lengths[0]) @ (second / lengths[1]).T).numpy()
    rows, columns = ways(cosines / 0.5)
    powers = np.exp(cosines / 0.5)
    without = [
        np.log(powers.sum(way) - powers.diagonal()) - np.log(powers.diagonal()) for way in (0, 1)
    ]
    mistakes = {
        "That is along the rows only; the second view must find its first one as well.": rows,
        "That is along the columns only; the first view must find its second one as well.": columns,
        "Are both ways added up? It is their mean.": rows + columns,
        "Is it the mean over the items? One number for each, please.": (rows + columns).mean() / 2,
        "Those are products of vectors of any length; divide every row by its length first.": sum(
            ways(first @ second.T / 0.5)
        )
        / 2,
        "Is the cosine multiplied by τ_s? It is divided.": sum(ways(cosines * 0.5)) / 2,
        "The positive is missing in the sum that it is compared with.": sum(without) / 2,
        "Is the sign of the log missing?": -(rows + columns) / 2,
    }
    found = run(item_losses, first, second, 0.5)
    compare(
        found,
        (rows + columns) / 2,
        "The losses of the chapter's three items at τ_s = 0.5",
        mistakes,
    )
    nan = "Is e^(cosine / τ_s) too large for float32? torch has a softmax whose logarithm needs no such number."
    cold = losses_by_hand(first.numpy(), second.numpy(), 0.002)
    mistakes = {nan: np.full(3, np.nan)}
    found = run(item_losses, first, second, 0.002)
    if not np.isfinite(np.asarray(torch.as_tensor(found).detach(), dtype=float)).all():
        raise AssertionError(f"The same at τ_s = 0.002: a loss is NaN or infinite. {nan}")
    compare(found, cold, "The same at τ_s = 0.002", tolerance=1e-3)
    print("✓ item_losses: both ways, a number for each item, at any τ_s")


def joint_by_hand(
    main: Sequence[float], cosines: np.ndarray, ids: Sequence[int], temperature: float, alpha: float
) -> float:
    """The mean of `main` plus α times the mean of both ways, copies left out; in float64."""
    return (
        np.mean(main)
        + alpha * sum(ways(cosines / temperature, np.equal.outer(ids, ids))).mean() / 2
    )


def check_joint_loss(joint_loss: Callable) -> None:
    """`joint_loss(main [n], cosines [m, m], ids [m], temperature, alpha) -> scalar`, four items for
    two pairs, two of them copies.

    Source: `losses.joint` and `losses.self_supervised`, with copies masked as
    `losses.in_batch_logits` does it.
    """
    main, ids = torch.tensor([3.0, 5.0]), torch.tensor([1, 2, 1, 3])
    cosines = torch.tensor(
        [[0.9, 0.1, 0.7, -0.2], [0.3, 0.6, 0.0, 0.2], [0.8, -0.1, 0.5, 0.4], [-0.3, 0.2, 0.1, 0.7]]
    )
    logits, copies = cosines.numpy().astype(float) / 0.5, np.equal.outer(ids.numpy(), ids.numpy())
    rows, columns = ways(logits, copies)
    right, no_mask = (rows + columns) / 2, sum(ways(logits)) / 2
    powers = np.exp(logits)
    double = {  # the positive counted twice
        masked: sum(np.log(1 + (powers * kept).sum(way) / powers.diagonal()) for way in (0, 1)) / 2
        for masked, kept in ((True, ~copies | np.eye(4, dtype=bool)), (False, True))
    }
    mistakes = {
        "Is it one mean over all n + m numbers? Take the mean of each part over its own.": (
            8 + 0.3 * right.sum()
        )
        / 6,
        "The positive is in the sum twice; once is right.": 4 + 0.3 * double[True].mean(),
        "The positive is in the sum twice, and copies are negatives.": 4
        + 0.3 * double[False].mean(),
        "Rows 0 and 2 are the same item, and each is a negative of the other; leave copies out.": 4
        + 0.3 * no_mask.mean(),
        "All three bugs are still there.": (8 + 0.3 * double[False].sum()) / 6,
        "The own logit is masked with the copies; it must stay.": math.inf,
        "α is left out.": 4 + right.mean(),
        "Are the contrastive losses summed? It is their mean.": 4 + 0.3 * right.sum(),
        "That is along the rows only; the columns count as well.": 4 + 0.3 * rows.mean(),
        "Are rows and columns added up? It is the mean of both.": 4 + 0.6 * right.mean(),
        "The main loss is missing.": 0.3 * right.mean(),
    }
    found = run(joint_loss, main, cosines, ids, 0.5, 0.3)
    compare(
        found,
        4 + 0.3 * right.mean(),
        "Two pairs and four rows, two of them the same item, α = 0.3",
        mistakes,
    )
    found = run(joint_loss, main[:1], torch.zeros(4, 4), torch.arange(4), 0.5, 1.0)
    compare(found, 3 + math.log(4), "One pair, four items and all cosines 0, α = 1")
    print("✓ joint_loss: two means, the positive once, no copy among the negatives")


def inclusion(times_bought: Sequence[int], m: int, power: float) -> np.ndarray:
    """[items] the chance that each is among m drawn one by one without replacement; by going
    through every order.
    """
    weight = {place: float(count) ** power for place, count in enumerate(times_bought) if count}
    chance = np.zeros(len(times_bought))
    for order in itertools.permutations(weight, m):
        left, product = sum(weight.values()), 1.0
        for place in order:
            product *= weight[place] / left
            left -= weight[place]
        chance[list(order)] += product
    return chance


def draws(draw: Callable, times: int, *arguments: object) -> list[list[int]]:
    """What `draw(*arguments)` returns, so many times, as lists; guarded as one call, because a
    guard costs more than a draw.
    """

    @functools.wraps(draw)
    def repeatedly(*arguments: object) -> list[list[int]]:
        return [np.asarray(draw(*arguments)).tolist() for _ in range(times)]

    run(draw, *arguments)
    return run(repeatedly, *arguments)


def check_draw(draw: Callable) -> None:
    """`draw(times_bought [items], m, power, rng) -> [m]` different places, of items that were
    bought; 1,000 draws each.

    Source: `augment.uniform_items`, which is power 0.
    """
    counts, rng = np.array([10, 0, 1, 4, 1]), np.random.default_rng(7)
    for power in (0, 1):
        drawn = draws(draw, 1_000, counts, 2, power, rng)
        if not all(
            isinstance(one, list) and all(place in range(5) for place in one) for one in drawn
        ):
            raise AssertionError(
                f"A draw of 2 out of 5 items should be two places from 0 to 4; one is {drawn[0]}."
            )
        seen = Counter(place for one in drawn for place in one)
        if any(len(one) == 2 and one[0] == one[1] for one in drawn):
            raise AssertionError(
                "The same item is twice in a batch, and would be its own negative; draw without replacement."
            )
        if any(len(one) != 2 for one in drawn):
            raise AssertionError(
                f"A draw of 2 has {len(next(one for one in drawn if len(one) != 2))} items."
            )
        if seen[1]:
            raise AssertionError(
                f"power {power}: item 1 was never bought and has no ID, and is drawn; 0 to the power 0 is 1."
            )
        for place, right in enumerate(inclusion(counts, 2, power)):
            if abs(seen[place] / 1_000 - right) > 0.08:
                raise AssertionError(
                    f"Items bought 10, 0, 1, 4, 1 times, m = 2, power {power}: item {place} should be in {right:.0%} of the draws, "
                    f"and is in {seen[place] / 1_000:.0%}."
                )
    everything = sorted(np.asarray(run(draw, counts, 9, 1, rng)).tolist())
    if everything != [0, 2, 3, 4]:
        raise AssertionError(
            f"9 items of 4 that were bought: should be all four, places 0 2 3 4, and is {everything}."
        )
    one, same = (
        np.asarray(run(draw, np.ones(40), 20, 1, np.random.default_rng(3))).tolist()
        for _ in range(2)
    )
    if one != same:
        raise AssertionError(
            "Two generators in the same state drew different items; draw everything with `rng`."
        )
    print("✓ draw: different items, all of them bought before, each by its chance")


def four_maps(m: int = 64, d: int = 16) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Unit vectors [m, d], [m, d] of two views, as four towers might place them."""
    noise = torch.Generator().manual_seed(0)

    def unit(*vectors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.nn.functional.normalize(v, dim=1) for v in vectors)

    one, other, third = (torch.randn(m, d, generator=noise) for _ in range(3))
    poles = torch.cat([torch.eye(1, d)] * (m // 2) + [-torch.eye(1, d)] * (m - m // 2))
    return {
        "all in one place": unit(torch.ones(m, d), torch.ones(m, d)),
        "two heaps": unit(poles, poles),
        "scattered, whatever the item": unit(one, other),
        "scattered, views near each other": unit(one, one + 0.3 * third),
    }


def check_split_loss(split_loss: Callable) -> None:
    """`split_loss(squared [m, m], temperature) -> (alignment, spread)`, so that L_self = alignment
    / (2 τ_s) + spread.

    Source: Wang & Isola, 2020, section 4.1; `losses.self_supervised`.
    """
    squared = torch.tensor([[0.5, 2.0, 3.0], [1.0, 0.25, 3.5], [2.5, 4.0, 0.75]])
    logits, pull, alignment = (
        -2 * squared.numpy().astype(float),
        squared.diagonal().numpy(),
        0.5,
    )  # −s/(2 τ_s) at τ_s = ¼
    right = sum(ways(logits)).mean() / 2 - 2 * alignment

    def sums(logits: np.ndarray, kept: np.ndarray | bool = True) -> list[float]:
        return [float(np.log((np.exp(logits) * kept).sum(way)).mean()) for way in (1, 0)]

    mistakes = {
        "That alignment is a sum; it is the mean over the items.": (pull.sum(), right),
        "Is the alignment divided by 2 τ_s already? L_self does that.": (2 * alignment, right),
        "The spread lacks the positive; j = i belongs to the sum.": (
            alignment,
            np.mean(sums(logits, ~np.eye(3, dtype=bool))),
        ),
        "That spread is along the rows only.": (alignment, sums(logits)[0]),
        "That spread is along the columns only.": (alignment, sums(logits)[1]),
        "The spread has −s/τ_s in it, and should have −s/(2 τ_s).": (
            alignment,
            np.mean(sums(2 * logits)),
        ),
        "That spread is all of L_self; take the alignment's part out.": (
            alignment,
            right + 2 * alignment,
        ),
        "The spread is the mean of the rows' and the columns'; are they added up?": (
            alignment,
            2 * right,
        ),
        "Is 1/τ_s left in the spread? It cancels.": (alignment, right + 4),
    }
    compare(run(split_loss, squared, 0.25), (alignment, right), "Three items at τ_s = ¼", mistakes)
    equal = run(split_loss, torch.zeros(5, 5), 0.1)
    compare(equal, (0.0, math.log(5)), "Five items whose views are all in one place")
    cold = sum(ways(5 * logits)).mean() / 2 - 10 * alignment
    compare(run(split_loss, squared, 0.05), (alignment, cold), "The same three items at τ_s = 0.05")
    print("✓ split_loss: what pulls and what pushes add up to L_self")
