"""Checks of chapter 07: the tail's share, the contrastive loss, a joint loss, draws of items."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from course_lib.checks.guard import Near, case, exercise, mistakes, repeats, run


@exercise("all four slices, each with its share of the items and of the events")
def check_slice_shares(slice_shares: Callable) -> None:
    """`slice_shares(times_bought [m]) -> DataFrame`: `items`, `events`; cold, tail, mid, head.

    Source: `evaluation.SLICES`; by hand.
    """
    names = ["cold", "tail", "mid", "head"]

    def table(times_bought, cold=0, right=True):
        cut = pd.cut(times_bought, [-1, cold, 20, 100, np.inf], right=right, labels=names)
        rows = pd.DataFrame({"items": 1, "events": times_bought})
        return rows.groupby(cut, observed=False).sum()

    wrong = mistakes(
        "Is an item bought 20 times mid, or 100 times head? Tail ends with 20, mid with 100.",
        lambda times: table(times, 0.5, right=False) / [len(times), times.sum()],
        "Is an item that was never bought in the tail? It is cold.",
        lambda times: table(times, -0.5) / [len(times), times.sum()],
        "`events` is the slice's share of the purchases, not of the items.",
        lambda times: table(times).assign(events=table(times)["items"]) / len(times),
        "Those are numbers, and not shares; divide by all.",
        table,
    )
    times = np.array([100, 0, 20, 300, 1, 200, 21, 101, 29, 29])
    expected = pd.DataFrame({"items": [0.1, 0.2, 0.4, 0.3], "events": [0, 21, 179, 601]}, names)
    expected["events"] /= 801
    case(slice_shares, (times,), expected, "Ten items, bought 0 to 300 times", wrong)
    expected = pd.DataFrame({"items": [0, 1, 0, 0], "events": [0, 1, 0, 0]}, names)
    case(slice_shares, (np.array([5, 3]),), expected, "Two tail items, and three empty slices")


def ways(logits: np.ndarray, left_out: np.ndarray | bool = False) -> tuple[np.ndarray, np.ndarray]:
    """[m], [m]: −log softmax of the diagonal along the rows and along the columns of [m, m].

    No negative is one that `left_out` [m, m] names; the diagonal always stays.
    """
    others = left_out & ~np.eye(len(logits), dtype=bool)
    logits = np.where(others, -np.inf, np.asarray(logits, dtype=np.float64))
    there, back = np.logaddexp.reduce(logits, axis=1), np.logaddexp.reduce(logits, axis=0)
    return there - logits.diagonal(), back - logits.diagonal()


def losses_by_hand(first: np.ndarray, second: np.ndarray, temperature: float) -> np.ndarray:
    """[m] the mean of both ways for each item, from vectors [m, d] of any length."""
    one, other = (np.asarray(view, dtype=np.float64) for view in (first, second))
    cosines = [[x @ y / math.sqrt((x @ x) * (y @ y)) for y in other] for x in one]
    return sum(ways(np.array(cosines) / temperature)) / 2


@exercise("both ways, a number for each item, at any τ_s")
def check_item_losses(item_losses: Callable) -> None:
    """`item_losses(first [m, d], second [m, d], temperature) -> [m]`, of vectors of any length.

    Source: `losses.self_supervised`, item by item; the vectors are those of the chapter's first
    three items, before the last step.
    """

    def cosines(first, second, tau=1):
        return (normalize(first) @ normalize(second).T / tau).numpy()

    def both(*given):
        return sum(ways(cosines(*given))) / 2

    def by_shares(*given):
        powers = torch.from_numpy(cosines(*given)).exp()
        return -sum((powers.diagonal() / powers.sum(way)).log() for way in (0, 1)) / 2

    def without_own(*given):
        logits = cosines(*given).astype(float)
        others = np.exp(logits) * ~np.eye(len(logits), dtype=bool)
        return np.log(others.sum(0) * others.sum(1)) / 2 - logits.diagonal()

    nan = (
        "Is e^(cosine / τ_s) too large for float32? torch has a softmax whose logarithm needs no "
        "such number."
    )
    wrong = mistakes(
        "That is along the rows only; the second view must find its first one as well.",
        lambda *given: ways(cosines(*given))[0],
        "That is along the columns only; the first view must find its second one as well.",
        lambda *given: ways(cosines(*given))[1],
        "Are both ways added up? It is their mean.",
        lambda *given: 2 * both(*given),
        "Is it the mean over the items? One number for each, please.",
        lambda *given: both(*given).mean(),
        "Those are products of vectors of any length; divide every row by its length first.",
        lambda first, second, tau: sum(ways((first @ second.T / tau).numpy())) / 2,
        "Is the cosine multiplied by τ_s? It is divided.",
        lambda first, second, tau: both(first, second, 1 / tau),
        "The positive is missing in the sum that it is compared with.",
        without_own,
        "Is the sign of the log missing?",
        lambda *given: -both(*given),
        nan,
        by_shares,
    )

    def finite(found):
        found = np.asarray(torch.as_tensor(found).detach(), dtype=float)
        if not np.isfinite(found).all():
            raise AssertionError(f"The same at τ_s = 0.002: a loss is NaN or infinite. {nan}")
        return found

    first = torch.tensor([[1.0, 1], [-2, 0.5], [1, -1.5]])
    given = first, torch.tensor([[2.0, -0.5], [-1, 1], [1, -1]])
    what = "The losses of the chapter's first three items at τ_s = 0.5"
    case(item_losses, (*given, 0.5), losses_by_hand(*given, 0.5), what, wrong)
    cold = Near(losses_by_hand(*given, 0.002), 1e-3)
    case(item_losses, (*given, 0.002), cold, "The same at τ_s = 0.002", wrong, of=finite)


def joint_by_hand(
    main: Sequence[float], cosines: np.ndarray, ids: Sequence[int], temperature: float, alpha: float
) -> float:
    """The mean of `main` plus α times the mean of both ways, copies left out; in float64."""
    both = ways(cosines / temperature, np.equal.outer(ids, ids))
    return np.mean(main) + alpha * sum(both).mean() / 2


@exercise("two means, the positive once, no copy among the negatives")
def check_joint_loss(joint_loss: Callable) -> None:
    """`joint_loss(main [n], cosines [m, m], ids [m], temperature, alpha) -> scalar`.

    Source: `losses.joint` and `losses.self_supervised`, with copies masked as
    `losses.in_batch_logits` does it.
    """

    def plain(main, rows, columns, alpha):
        return main.mean() + alpha * (rows + columns).mean() / 2

    def pooled(main, rows, columns, alpha):
        return np.concatenate([main, alpha * (rows + columns) / 2]).mean()

    def of(join=plain, masked=True, twice=False):
        def loss(main, cosines, ids, temperature, alpha):
            logits, own = cosines.numpy().astype(float) / temperature, np.eye(len(ids))
            copies = (np.equal.outer(*[ids.numpy()] * 2) & masked) > own
            powers = np.exp(logits) * (~copies + twice * own)
            rows, columns = (np.log(powers.sum(way)) - logits.diagonal() for way in (1, 0))
            return join(main.numpy(), rows, columns, alpha)

        return loss

    wrong = mistakes(
        "Is it one mean over all n + m numbers? Take the mean of each part over its own.",
        of(pooled),
        "The positive is in the sum twice; once is right.",
        of(twice=True),
        "The positive is in the sum twice, and copies are negatives.",
        of(twice=True, masked=False),
        "Rows 0 and 2 are the same item, and each is a negative of the other; leave copies out.",
        of(masked=False),
        "All three bugs are still there.",
        of(pooled, twice=True, masked=False),
        "The own logit is masked with the copies; it must stay.",
        lambda *given: math.inf,  # −log 0
        "α is left out.",
        of(lambda main, rows, columns, alpha: plain(main, rows, columns, 1)),
        "Are the contrastive losses summed? It is their mean.",
        of(lambda main, rows, columns, alpha: plain(main, rows, columns, alpha * len(rows))),
        "That is along the rows only; the columns count as well.",
        of(lambda main, rows, columns, alpha: plain(main, rows, rows, alpha)),
        "Are rows and columns added up? It is the mean of both.",
        of(lambda main, rows, columns, alpha: plain(main, rows, columns, 2 * alpha)),
        "The main loss is missing.",
        of(lambda main, *rest: plain(0 * main, *rest)),
    )
    main, ids = torch.tensor([3.0, 5.0]), torch.tensor([1, 2, 1, 3])
    cosines = [[0.9, 0.1, 0.7, -0.2], [0.3, 0.6, 0.0, 0.2], [0.8, -0.1, 0.5, 0.4]]
    cosines = torch.tensor([*cosines, [-0.3, 0.2, 0.1, 0.7]])
    given, expected = (
        (main, cosines, ids, 0.5, 0.3),
        joint_by_hand(main.numpy(), cosines.numpy(), ids, 0.5, 0.3),
    )
    what = "Two pairs and four rows, two of them the same item, α = 0.3"
    case(joint_loss, given, expected, what, wrong)
    given, what = (main[:1], torch.zeros(4, 4), torch.arange(4), 0.5, 1.0), "One pair, four items"
    case(joint_loss, given, 3 + math.log(4), f"{what} and all cosines 0, α = 1", wrong)


def inclusion(times_bought: Sequence[int], m: int, power: float) -> np.ndarray:
    """[items] the chance that each is among m drawn without replacement, by all orders."""
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
    """What so many calls `draw(*arguments)` return; guarded as one, for a guard costs more."""

    @functools.wraps(draw)
    def repeatedly(*arguments):
        return [np.asarray(draw(*arguments)).tolist() for _ in range(times)]

    run(draw, *arguments)
    return run(repeatedly, *arguments, seconds=30)  # a loop over elements may be slow


def _check_drawn(drawn: list[list[int]], expected: np.ndarray, power: int) -> None:
    """1,000 draws of 2 out of items that were bought 10, 0, 1, 4 and 1 times."""
    if not all(isinstance(one, list) and set(one) <= set(range(5)) for one in drawn):
        raise AssertionError(f"A draw of 2 should be two places from 0 to 4; one is {drawn[0]}.")
    if any(len(one) == 2 and one[0] == one[1] for one in drawn):
        raise AssertionError(
            "An item that is twice in a batch is its own negative; draw without replacement."
        )
    if any(len(one) != 2 for one in drawn):
        size = next(len(one) for one in drawn if len(one) != 2)
        raise AssertionError(f"A draw of 2 has {size} items.")
    seen = Counter(place for one in drawn for place in one)
    if seen[1]:
        raise AssertionError(
            f"power {power}: item 1 was never bought, and is drawn; 0 to the power 0 is 1."
        )
    for place, right in enumerate(expected):
        if abs(seen[place] / 1_000 - right) > 0.08:
            raise AssertionError(
                f"Items bought 10, 0, 1, 4, 1 times, m = 2, power {power}: item {place} should be "
                f"in {right:.0%} of the draws, and is in {seen[place] / 1_000:.0%}."
            )


@exercise("different items, all of them bought before, each by its chance")
def check_draw(draw: Callable) -> None:
    """`draw(times_bought [items], m, power, rng) -> [m]` different places, of items bought before.

    Source: `augment.uniform_items`, which is power 0.
    """
    counts, rng = np.array([10, 0, 1, 4, 1]), np.random.default_rng(7)
    for power in (0, 1):
        drawn = draws(draw, 1_000, counts, 2, power, rng)
        _check_drawn(drawn, inclusion(counts, 2, power), power)
    everything = sorted(np.asarray(run(draw, counts, 9, 1, rng)).tolist())
    if everything != [0, 2, 3, 4]:
        raise AssertionError(
            f"9 items of 4 that were bought should be all four, 0 2 3 4, not {everything}."
        )
    given = np.ones(40), 20, 1
    one, same = (run(draw, *given, np.random.default_rng(3)) for _ in range(2))
    repeats(one, same, "items", by="rng")


def four_maps(m: int = 64, d: int = 16) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Unit vectors [m, d], [m, d] of two views, as four towers might place them."""
    noise = torch.Generator().manual_seed(0)

    def unit(*vectors):
        return tuple(torch.nn.functional.normalize(v, dim=1) for v in vectors)

    one, other, third = (torch.randn(m, d, generator=noise) for _ in range(3))
    poles = torch.cat([torch.eye(1, d)] * (m // 2) + [-torch.eye(1, d)] * (m - m // 2))
    return {
        "all in one place": unit(torch.ones(m, d), torch.ones(m, d)),
        "two heaps": unit(poles, poles),
        "scattered, whatever the item": unit(one, other),
        "scattered, views near each other": unit(one, one + 0.3 * third),
    }


@exercise("what pulls and what pushes add up to L_self")
def check_split_loss(split_loss: Callable) -> None:
    """`split_loss(squared [m, m], temperature) -> (alignment, spread)`.

    L_self = alignment / (2 τ_s) + spread. Source: Wang & Isola, 2020, section 4.1;
    `losses.self_supervised`.
    """

    def sums(squared, scale, own=True):
        """Two numbers, log Σ e^(−s/scale) along the rows and along the columns, each the mean."""
        powers = np.exp(-squared.numpy().astype(float) / scale) * (
            1 - np.eye(len(squared)) * (not own)
        )
        return np.array([np.log(powers.sum(way)).mean() for way in (1, 0)])

    def pull(squared):
        return squared.diagonal().mean().item()

    def of(spread, alignment=lambda squared, t: pull(squared)):
        return lambda squared, t: (alignment(squared, t), spread(squared, t))

    def right(squared, t):
        return sums(squared, 2 * t).mean()

    wrong = mistakes(
        "That alignment is a sum; it is the mean over the items.",
        of(right, lambda squared, t: squared.diagonal().sum().item()),
        "Is the alignment divided by 2 τ_s already? L_self does that.",
        of(right, lambda squared, t: pull(squared) / (2 * t)),
        "The spread lacks the positive; j = i belongs to the sum.",
        of(lambda squared, t: sums(squared, 2 * t, own=False).mean()),
        "That spread is along the rows only.",
        of(lambda squared, t: sums(squared, 2 * t)[0]),
        "That spread is along the columns only.",
        of(lambda squared, t: sums(squared, 2 * t)[1]),
        "The spread has −s/τ_s in it, and should have −s/(2 τ_s).",
        of(lambda squared, t: sums(squared, t).mean()),
        "That spread is all of L_self; take the alignment's part out.",
        of(lambda squared, t: right(squared, t) + pull(squared) / (2 * t)),
        "The spread is the mean of the rows' and the columns'; are they added up?",
        of(lambda squared, t: 2 * right(squared, t)),
        "Is 1/τ_s left in the spread? It cancels.",
        of(lambda squared, t: right(squared, t) + 1 / t),
    )
    squared = torch.tensor([[0.5, 2.0, 3.0], [1.0, 0.25, 3.5], [2.5, 4.0, 0.75]])
    for given, expected, what in (
        ((squared, 0.25), (0.5, right(squared, 0.25)), "Three items at τ_s = ¼"),
        ((torch.zeros(5, 5), 0.1), (0, math.log(5)), "Five items whose views are all in one place"),
        ((squared, 0.05), (0.5, right(squared, 0.05)), "The same three items at τ_s = 0.05"),
    ):
        case(split_loss, given, expected, what, wrong)
