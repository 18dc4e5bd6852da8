"""Checks of chapter 02: cosines, the batch's loss, pooled histories, a q that forgets, arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch.nn.functional import normalize

from course_lib.checks.guard import case, exercise, mistakes


@exercise("only directions count, and no direction scores 0")
def check_cosines(cosines: Callable) -> None:
    """`cosines(users [n, d], items [m, d]) -> [n, m]`, of any lengths, 0 for a vector of zeros.

    Source: the chapter's section "By hand: three users, four items".
    """

    def divided(users, items, dim):
        one, other = (vectors / vectors.norm(dim=dim, keepdim=True) for vectors in (users, items))
        return one @ other.T

    wrong = mistakes(
        "Those are products of vectors of any length; divide every row by its length first.",
        lambda users, items: users @ items.T,
        "Only the users are divided by their lengths; the items have lengths, too.",
        lambda users, items: normalize(users) @ items.T,
        "Only the items are divided by their lengths; the users have lengths, too.",
        lambda users, items: users @ normalize(items).T,
        "Is the length taken along the columns? A vector is a row: dim=1.",
        lambda users, items: divided(users, items, dim=0),
        "0 divided by 0 is NaN; a vector of zeros has no direction, and scores 0.",
        lambda users, items: divided(users, items, dim=1),
    )
    users = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    items = torch.tensor([[2.0, 0.0], [0.0, 0.0], [4.0, 3.0]])
    expected = [[0.6, 0.0, 0.96], [0.0, 0.0, -0.6]]
    what = "Two users, (3, 4) and (0, −2), and items (2, 0), (0, 0), (4, 3)"
    case(cosines, (users, items), expected, what, wrong)


def bought_in_batch(ids: Sequence[int], owners: Sequence[int]) -> np.ndarray:
    """[n, n] whether the user of pair i bought, anywhere in the batch, the item of pair j."""
    pairs = list(zip(ids, owners, strict=True))
    baskets = {owner: {item for item, other in pairs if other == owner} for owner in owners}
    return np.array([[item in baskets[owner] for item in ids] for owner in owners])


def loss_by_hand(
    users: torch.Tensor, items: torch.Tensor, log_q: torch.Tensor, bought: np.ndarray, tau: float
) -> np.ndarray:
    """[n] −log softmax of each pair's own logit among itself and what `bought` [n, n] leaves."""
    users, items, log_q = (np.asarray(values, dtype=np.float64) for values in (users, items, log_q))
    losses = []
    for i, user in enumerate(users):
        logits = [user @ item / tau - q for item, q in zip(items, log_q, strict=True)]
        kept = [logit for j, logit in enumerate(logits) if j == i or not bought[i, j]]
        losses.append(math.log(sum(map(math.exp, kept))) - logits[i])
    return np.array(losses)


@exercise("cosine / τ − log q, and nothing that the user bought is a negative")
def check_batch_loss(batch_loss: Callable) -> None:
    """`batch_loss(users [n, d], items [n, d], log_q [n], ids [n], owners [n], τ) -> scalar`.

    Source: `losses.in_batch_softmax`, with every purchase of the user in the batch masked.
    """

    def bought(ids, owners):
        return bought_in_batch(ids.tolist(), owners.tolist())

    def same(values):
        return np.equal.outer(*[values.numpy()] * 2)

    def of(mask=bought, q=lambda q, tau: q):
        return lambda users, items, log_q, ids, owners, tau: loss_by_hand(
            users, items, q(log_q, tau), mask(ids, owners), tau
        ).mean()

    wrong = mistakes(
        "Is log q added? It is subtracted.",
        of(q=lambda q, tau: -q),
        "Is log q divided by τ as well? Divide the cosine first, then correct.",
        of(q=lambda q, tau: q / tau),
        "Is log q left out?",
        of(q=lambda q, tau: 0 * q),
        "Is nothing masked?",
        of(lambda ids, owners: same(ids) & False),
        "Only copies of the pair's own item are masked; mask all that its user bought.",
        of(lambda ids, owners: same(ids)),
        "Only pairs of the same user are masked; mask others' copies of the item, too.",
        of(lambda ids, owners: same(owners)),
        "Pair 2's user bought item 7 as pair 0, so somebody else's copy, pair 3, is no negative.",
        of(lambda ids, owners: same(ids) | same(owners)),
        "Is a pair's own logit masked with the others? It must stay.",
        lambda *given: math.inf,  # −log 0
        "Is it the sum over the pairs? It is their mean.",
        lambda *given: 5 * of()(*given),
        "Is the sign of the log missing?",
        lambda *given: -of()(*given),
    )
    angles = torch.tensor([[0.2, 1.4, 0.2, 2.5, 0.9], [0.5, 1.0, 1.6, 0.5, 2.8]])
    users, items = torch.stack([angles.cos(), angles.sin()], dim=2)
    log_q = torch.tensor([0.4, 0.2, 0.1, 0.4, 0.05]).log()
    ids, owners = torch.tensor([7, 8, 9, 7, 5]), torch.tensor([0, 1, 0, 2, 1])
    given = users, items, log_q, ids, owners, 0.5
    case(batch_loss, given, of()(*given), "The loss of five pairs of three users", wrong)


@exercise("what is there, over √k, however much room there is")
def check_pool(pool: Callable) -> None:
    """`pool(table [r, d], history [n, L]) -> [n, d]`: filled places (> 0) summed, / √k, or row 0.

    Source: `towers.EmbeddingTable`.
    """

    def summed(table, history):
        return (table[history] * (history > 0)[:, :, None]).sum(1)

    def k(history, least=1):
        return (history > 0).sum(1, keepdim=True).clamp(min=least)

    def default(sums, table, history):
        return torch.where(history.any(1, keepdim=True), sums, table[0])

    wrong = mistakes(
        "Empty places are read as row 0, and they are nothing: add up the filled ones.",
        lambda table, history: table[history].sum(1) / k(history).sqrt(),
        "That is the colleague's: a mean over all places.",
        lambda table, history: table[history].mean(1),
        "It is divided by k; by √k, please.",
        lambda table, history: default(summed(table, history) / k(history), table, history),
        "It is not divided by √k.",
        lambda table, history: default(summed(table, history), table, history),
        "It is divided by √L, the room there is, and not by √k.",
        lambda table, h: default(summed(table, h) / h.shape[1] ** 0.5, table, h),
        "An empty history is 0 / 0; it should be the default, row 0.",
        lambda table, history: summed(table, history) / k(history, least=0).sqrt(),
        "An empty history should be the default, row 0, and not zeros.",
        lambda table, history: summed(table, history) / k(history).sqrt(),
    )
    table = torch.tensor([[1.0, 1.0], [8.0, 0.0], [0.0, 4.0], [4.0, 8.0]])
    history = torch.tensor([[1, 2, 3, 2], [0, 2, 0, 0], [0, 0, 0, 0]])
    expected = [[6, 8], [0, 4], [1, 1]]
    case(pool, (table, history), expected, "Histories of four items, of one, and of none", wrong)
    expected = [[0, 32**0.5], [0, 4], [1, 1]]
    what = "The same with room for two: items 2 and 2"
    case(pool, (table, history[:, [3, 1]]), expected, what, wrong)


def surprise_by_hand(
    asked: Sequence[tuple], counted: Sequence[tuple], m: int, half_life: float
) -> np.ndarray:
    """[e] −log q of every (day, item) asked, from those of `counted` that are of an earlier day."""
    found = []
    for today, item in asked:
        past = [(0.5 ** ((today - day) / half_life), one) for day, one in counted if day < today]
        count = sum(weight for weight, one in past if one == item)
        found.append(-math.log((count + 1 / m) / (sum(weight for weight, _ in past) + 1)))
    return np.array(found)


@exercise("each day is predicted first and counted after, and the past fades")
def check_surprise(surprise: Callable) -> None:
    """`surprise(day [e], items [e], m, half_life) -> float`: mean −log q, by the days before.

    Source: `features.DecayedCounts`, and test, then train, of `evaluation.replay`.
    """

    def by_hand(day, items, m, h, counted=list):
        events = list(zip(day, items, strict=True))
        return surprise_by_hand(events, counted(events), m, h)

    def by_days(losses, day):
        return [losses[day == one].mean() for one in set(day)]

    wrong = mistakes(
        "Is a day counted before it is predicted? Test first, then learn.",
        lambda *given: by_hand(*given, lambda events: [(d - 1e-9, i) for d, i in events]).mean(),
        "Is it halved by days that had events? The two days without any forget as well.",
        lambda day, *given: by_hand(np.unique(day, return_inverse=True)[1], *given).mean(),
        "Is the decay exp(−age / half-life)? After one half-life a half should be left.",
        lambda day, items, m, h: by_hand(day, items, m, h * math.log(2)).mean(),
        "Does nothing fade?",
        lambda day, items, m, h: by_hand(day, items, m, math.inf).mean(),
        "`counts[items] += 1` counts an item once that comes twice; np.add.at counts both.",
        lambda *given: by_hand(*given, lambda events: list(dict.fromkeys(events))).mean(),
        "Is it a mean of the days' means? Every event counts the same.",
        lambda day, *given: np.mean(by_days(by_hand(day, *given), day)),
        "Is it the sum? It is the mean over all events.",
        lambda *given: by_hand(*given).sum(),
        "Is the sign of the log missing?",
        lambda *given: -by_hand(*given).mean(),
    )
    given = np.array([0, 0, 0, 1, 1, 4, 4, 4, 4]), np.array([0, 0, 1, 0, 2, 2, 1, 1, 0]), 4, 2.0
    what = "Nine events of three items in a shop of four, on days 0, 1 and 4"
    case(surprise, given, by_hand(*given).mean(), what, wrong)


def verdicts_by_hand(table: pd.DataFrame, base: str, measure: str, shared_by: int) -> pd.DataFrame:
    """`mean`, `low`, `high`, `verdict` of every arm − `base` by seed, so many sharing the 5 %."""
    keys = zip(table["arm"], table["seed"], strict=True)
    runs, rows = dict(zip(keys, table[measure], strict=True)), {}
    for arm in dict.fromkeys(table["arm"]):
        mine = [(value, (base, seed)) for (name, seed), value in runs.items() if name == arm]
        gaps = [value - runs[other] for value, other in mine if other in runs]
        mean = sum(gaps) / len(gaps)
        error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
        half = error * stats.t.isf(0.025 / shared_by, len(gaps) - 1)
        word = "better" if mean > half else "worse" if mean < -half else "open"
        rows[arm] = mean, mean - half, mean + half, word
    columns = ["mean", "low", "high", "verdict"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).drop(base)


@exercise("pairs by seed, and the 5 % shared by all intervals")
def check_verdicts(verdicts: Callable) -> None:
    """`verdicts(table, base, measure) -> DataFrame`, of four arms; one has lost a seed.

    Source: `evaluation.paired_difference`, with the 5 % shared by all intervals.
    """

    def of(change):
        return lambda table, base, measure: verdicts_by_hand(change(table), base, measure, 3)

    wrong = mistakes(
        "Each interval is one of 95 %: with three of them, share the 5 %.",
        lambda *given: verdicts_by_hand(*given, 1),
        "The 5 % are shared by the intervals, and the base has none.",
        lambda *given: verdicts_by_hand(*given, 4),
        "Are runs paired in the order of the rows? A pair is two runs of one seed.",
        of(lambda table: table.assign(seed=table.groupby("arm").cumcount())),
        "A seed that 'large' lacks is left out for 'large' alone.",
        of(lambda table: table[table["seed"] != 2]),
        "Is it the base minus the arm?",
        of(lambda table: table.assign(**{"R@100": -table["R@100"]})),
    )
    runs = {  # by seed 0, 1, 2, 3
        "plain": [0.30, 0.34, 0.31, 0.36],
        "small": [0.31, 0.352, 0.318, 0.371],
        "large": [0.35, 0.39, None, 0.409],
        "worn": [0.297, 0.336, 0.3065, 0.352],
    }
    rows = [(arm, seed, r, 1 - r) for arm, rs in runs.items() for seed, r in enumerate(rs) if r]
    order = [12, 2, 5, 0, 9, 7, 3, 14, 4, 10, 1, 8, 13, 6, 11]
    table = pd.DataFrame(rows, columns=["arm", "seed", "R@100", "loss"]).iloc[order]
    given = table, "plain", "R@100"
    case(verdicts, given, verdicts_by_hand(*given, 3), "Three arms against 'plain'", wrong)
