"""Checks of the exercises of chapter 02: cosines, the batch's loss, a pooled history, a q that
forgets, many arms at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats

from course_lib.checks.guard import compare, run


def check_cosines(cosines: Callable) -> None:
    """`cosines(users [n, d], items [m, d]) -> [n, m]`, of vectors of any length, 0 for a vector of
    zeros; by hand.

    Source: the chapter's section "By hand: three users, four items".
    """
    users, items = (
        torch.tensor([[3.0, 4.0], [0.0, -2.0]]),
        torch.tensor([[2.0, 0.0], [0.0, 0.0], [4.0, 3.0]]),
    )
    expected = torch.tensor([[0.6, 0.0, 0.96], [0.0, 0.0, -0.6]])
    nan = torch.tensor([[0, torch.nan, 0]])
    by_column = (users / users.norm(dim=0)) @ (items / items.norm(dim=0)).T
    mistakes = {
        "Those are products of vectors of any length; divide every row by its length first.": users
        @ items.T,
        "Only the users are divided by their lengths; the items have lengths, too.": expected
        * torch.tensor([2.0, 0, 5]),
        "Only the items are divided by their lengths; the users have lengths, too.": expected
        * torch.tensor([[5.0], [2]]),
        "Is the length taken along the columns? A vector is a row: dim=1.": by_column,
        "0 divided by 0 is NaN; a vector of zeros has no direction, and scores 0.": expected + nan,
    }
    compare(
        run(cosines, users, items),
        expected,
        "Two users, (3, 4) and (0, −2), and items (2, 0), (0, 0), (4, 3)",
        mistakes,
    )
    print("✓ cosines: only directions count, and no direction scores 0")


def bought_in_batch(ids: Sequence[int], owners: Sequence[int]) -> np.ndarray:
    """[n, n] whether the user of pair i bought, anywhere in the batch, the item of pair j; by
    looking at every pair.
    """
    baskets = {
        owner: {item for item, other in zip(ids, owners, strict=True) if other == owner}
        for owner in owners
    }
    return np.array([[item in baskets[owner] for item in ids] for owner in owners])


def loss_by_hand(
    users: torch.Tensor,
    items: torch.Tensor,
    log_q: torch.Tensor,
    bought: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """[n] −log softmax of each pair's own logit among itself and what `bought` [n, n] leaves; in
    float64, term by term.
    """
    users, items, log_q = (np.asarray(values, dtype=np.float64) for values in (users, items, log_q))
    losses = []
    for i, user in enumerate(users):
        logits = [user @ item / temperature - q for item, q in zip(items, log_q, strict=True)]
        kept = [logit for j, logit in enumerate(logits) if j == i or not bought[i, j]]
        losses.append(math.log(sum(map(math.exp, kept))) - logits[i])
    return np.array(losses)


def check_batch_loss(batch_loss: Callable) -> None:
    """`batch_loss(users [n, d], items [n, d], log_q [n], ids [n], owners [n], temperature) ->
    scalar`, five pairs of three users.

    Source: `losses.in_batch_softmax`, with every purchase of the user in the batch masked, not only
    copies of the pair's item.
    """
    angles = torch.tensor([0.2, 1.4, 0.2, 2.5, 0.9]), torch.tensor([0.5, 1.0, 1.6, 0.5, 2.8])
    users, items = (torch.stack([angle.cos(), angle.sin()], dim=1) for angle in angles)
    ids, owners, temperature = torch.tensor([7, 8, 9, 7, 5]), torch.tensor([0, 1, 0, 2, 1]), 0.5
    log_q = torch.tensor([0.4, 0.2, 0.1, 0.4, 0.05]).log()
    bought = bought_in_batch(ids.tolist(), owners.tolist())
    same_item, same_owner = (np.equal.outer(*[values.numpy()] * 2) for values in (ids, owners))

    def loss(log_q: torch.Tensor, bought: np.ndarray) -> float:
        return loss_by_hand(users, items, log_q, bought, temperature).mean()

    right = loss_by_hand(users, items, log_q, bought, temperature)
    mistakes = {
        "Is log q added? It is subtracted.": loss(-log_q, bought),
        "Is log q divided by τ as well? Divide the cosine first, then correct.": loss(
            log_q / temperature, bought
        ),
        "Is log q left out?": loss(torch.zeros(5), bought),
        "Is nothing masked?": loss(log_q, np.zeros((5, 5), bool)),
        "Only copies of the pair's own item are masked; what else its user bought in this batch is no negative either.": (
            loss(log_q, same_item)
        ),
        "Only pairs of the same user are masked; copies of the pair's item, bought by others, are no negatives either.": (
            loss(log_q, same_owner)
        ),
        "Pair 3 is somebody else's item 7, but pair 2's user bought item 7, too, as pair 0: it is no negative of pair 2.": (
            loss(log_q, same_item | same_owner)
        ),
        "Is a pair's own logit masked with the others? It must stay.": math.inf,
        "Is it the sum over the pairs? It is their mean.": right.sum(),
        "Is the sign of the log missing?": -right.mean(),
    }
    found = run(batch_loss, users, items, log_q, ids, owners, temperature)
    compare(found, right.mean(), "The loss of five pairs of three users", mistakes)
    print("✓ batch_loss: cosine / τ − log q, and nothing that the user bought is a negative")


def check_pool(pool: Callable) -> None:
    """`pool(table [r, d], history [n, L]) -> [n, d]`: filled places (> 0) summed, / √k; row 0 if
    there are none. By hand.

    Source: `towers.EmbeddingTable`.
    """
    table = torch.tensor([[1.0, 1.0], [8.0, 0.0], [0.0, 4.0], [4.0, 8.0]])
    history = torch.tensor([[1, 2, 3, 2], [0, 2, 0, 0], [0, 0, 0, 0]])
    expected = torch.tensor([[6.0, 8.0], [0.0, 4.0], [1.0, 1.0]])
    k, zeros = torch.tensor([[4.0], [1.0], [1.0]]), torch.tensor([[1.0], [1.0], [0.0]])
    mistakes = {
        "Empty places are read as row 0, and they are nothing: add up the filled ones.": table[
            history
        ].sum(1)
        / k.sqrt(),
        "That is the colleague's: a mean over all places.": table[history].mean(1),
        "It is divided by k; by √k, please.": expected / k.sqrt(),
        "It is not divided by √k.": expected * k.sqrt(),
        "It is divided by √L, the room there is, and not by √k.": expected
        / torch.tensor([[1.0], [2.0], [1.0]]),
        "An empty history is 0 / 0; it should be the default, row 0.": expected * zeros / zeros,
        "An empty history should be the default, row 0, and not zeros.": expected * zeros,
    }
    compare(
        run(pool, table, history),
        expected,
        "Histories of four items, of one, and of none",
        mistakes,
    )
    compare(
        run(pool, table, history[:, [3, 1]]),
        [[0, 32**0.5], [0, 4], [1, 1]],
        "The same with room for two: items 2 and 2",
    )
    print("✓ pool: what is there, over √k, however much room there is")


def surprise_by_hand(
    asked: Sequence[tuple], counted: Sequence[tuple], m: int, half_life: float
) -> np.ndarray:
    """[e] −log q of every (day, item) asked, from those of `counted` that are of an earlier day;
    event by event, no stream.
    """
    found = []
    for today, item in asked:
        weights = [
            (other, 0.5 ** ((today - day) / half_life)) for day, other in counted if day < today
        ]
        count = sum(weight for other, weight in weights if other == item)
        found.append(-math.log((count + 1 / m) / (sum(weight for _, weight in weights) + 1)))
    return np.array(found)


def check_surprise(surprise: Callable) -> None:
    """`surprise(day [e], items [e], m, half_life) -> float`: mean −log q of each event, q from the
    events of the days before.

    Source: `features.DecayedCounts`, and test, then train, of `evaluation.replay`.
    """
    day, items, m, h = (
        np.array([0, 0, 0, 1, 1, 4, 4, 4, 4]),
        np.array([0, 0, 1, 0, 2, 2, 1, 1, 0]),
        4,
        2.0,
    )
    events, no_gaps = (
        list(zip(day, items, strict=True)),
        list(zip([0, 0, 0, 1, 1, 2, 2, 2, 2], items, strict=True)),
    )
    right = surprise_by_hand(events, events, m, h)
    mistakes = {
        "Is a day counted before it is predicted? Test first, then learn.": (
            surprise_by_hand(events, [(day - 1e-9, item) for day, item in events], m, h).mean()
        ),
        "Is it halved by the number of days that had events? The two days without any forget as well.": (
            surprise_by_hand(no_gaps, no_gaps, m, h).mean()
        ),
        "Is the decay exp(−age / half-life)? After one half-life a half should be left.": (
            surprise_by_hand(events, events, m, h * math.log(2)).mean()
        ),
        "Does nothing fade?": surprise_by_hand(events, events, m, math.inf).mean(),
        "`counts[items] += 1` counts an item once that comes twice; np.bincount and np.add.at count both.": (
            surprise_by_hand(events, list(dict.fromkeys(events)), m, h).mean()
        ),
        "Is it a mean of the days' means? Every event counts the same.": np.mean(
            [right[day == d].mean() for d in (0, 1, 4)]
        ),
        "Is it the sum? It is the mean over all events.": right.sum(),
        "Is the sign of the log missing?": -right.mean(),
    }
    found = run(surprise, day, items, m, h)
    compare(
        found,
        right.mean(),
        "Nine events of three items in a shop of four, on days 0, 1 and 4",
        mistakes,
    )
    print("✓ surprise: each day is predicted first and counted after, and the past fades")


def verdicts_by_hand(table: pd.DataFrame, base: str, measure: str, shared_by: int) -> pd.DataFrame:
    """`mean`, `low`, `high`, `verdict` of every arm − `base` by seed, the 5 % shared by so many
    intervals; by the formula.
    """
    runs = {
        (arm, seed): value
        for arm, seed, value in zip(table["arm"], table["seed"], table[measure], strict=True)
    }
    rows = {}
    for arm in dict.fromkeys(table["arm"]):
        gaps = [
            value - runs[base, seed]
            for (name, seed), value in runs.items()
            if name == arm and (base, seed) in runs
        ]
        mean = sum(gaps) / len(gaps)
        error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
        half = error * stats.t.isf(0.025 / shared_by, len(gaps) - 1)
        rows[arm] = (
            mean,
            mean - half,
            mean + half,
            "better" if mean > half else "worse" if mean < -half else "open",
        )
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["mean", "low", "high", "verdict"]
    ).drop(base)


def check_verdicts(verdicts: Callable) -> None:
    """`verdicts(table, base, measure) -> DataFrame`, of four arms in an untidy table of runs; one
    has lost a seed.

    Source: `evaluation.paired_difference`, with the 5 % shared by all intervals.
    """
    runs = {  # by seed 0, 1, 2, 3
        "plain": [0.30, 0.34, 0.31, 0.36],
        "small": [0.31, 0.352, 0.318, 0.371],
        "large": [0.35, 0.39, None, 0.409],
        "worn": [0.297, 0.336, 0.3065, 0.352],
    }
    rows = [
        (arm, seed, value, 1 - value)
        for arm, values in runs.items()
        for seed, value in enumerate(values)
        if value
    ]
    table = pd.DataFrame(rows, columns=["arm", "seed", "R@100", "loss"]).iloc[
        [12, 2, 5, 0, 9, 7, 3, 14, 4, 10, 1, 8, 13, 6, 11]
    ]
    by_row = table.assign(seed=table.groupby("arm").cumcount())
    mistakes = {
        "Each interval is one of 95 %: with three of them, share the 5 %.": verdicts_by_hand(
            table, "plain", "R@100", 1
        ),
        "The 5 % are shared by the intervals, and the base has none.": verdicts_by_hand(
            table, "plain", "R@100", 4
        ),
        "Are runs paired in the order of the rows? A pair is two runs of one seed.": verdicts_by_hand(
            by_row, "plain", "R@100", 3
        ),
        "A seed that 'large' lacks is left out for 'large' alone.": (
            verdicts_by_hand(table[table["seed"] != 2], "plain", "R@100", 3)
        ),
        "Is it the base minus the arm?": verdicts_by_hand(
            table.assign(**{"R@100": -table["R@100"]}), "plain", "R@100", 3
        ),
    }
    found = run(verdicts, table, "plain", "R@100")
    compare(
        found, verdicts_by_hand(table, "plain", "R@100", 3), "Three arms against 'plain'", mistakes
    )
    print("✓ verdicts: pairs by seed, and the 5 % shared by all intervals")
