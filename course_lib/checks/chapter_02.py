"""Checks of chapter 02: cosines, a tower, the batch's loss, a training step, a q that forgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from course_lib.checks.guard import case, exercise, mistakes, parts


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


@exercise("bags over √k, fields added up, both ways through, and length 1")
def check_tower(tower: Callable) -> None:
    """`tower(features, tables, shortcut, network) -> [n, d]`, of fields [n] and bags [n, L].

    Source: `towers.pool` and `towers.Tower`; the fields' sums by hand.
    """

    def of(
        over=lambda k, room: k**0.5,
        holes=False,
        empty=lambda table: table[0],
        x=sum,
        end=lambda x, shortcut, network: normalize(shortcut(x) + network(x), dim=1),
    ):
        def vector(table, bag):
            there = [index for index in bag if index]
            rows = [table[index] for index in (bag if holes else there)]
            return sum(rows) / over(len(there), len(bag)) if there else empty(table)

        def tower(features, tables, shortcut, network):
            given = [
                torch.stack([vector(tables[field], bag) for bag in indices.tolist()])
                if indices.dim() == 2
                else tables[field][indices]
                for field, indices in features.items()
            ]
            return end(x(given), shortcut, network)

        return tower

    wrong = mistakes(
        "Are empty places read as row 0? They are nothing; add up the filled ones.",
        of(holes=True),
        "Is a bag divided by k? By √k, please.",
        of(lambda k, room: k),
        "Is a bag's sum not divided by √k?",
        of(lambda k, room: 1),
        "Is a bag divided by √L, the room that there is, and not by √k?",
        of(lambda k, room: room**0.5),
        "An empty bag should be the default, row 0, and not zeros.",
        of(empty=lambda table: 0 * table[0]),
        "Is the shortcut missing?",
        of(end=lambda x, shortcut, network: normalize(network(x), dim=1)),
        "Is the network missing?",
        of(end=lambda x, shortcut, network: normalize(shortcut(x), dim=1)),
        "Shortcut and network both take x; here one takes what the other returns.",
        of(end=lambda x, shortcut, network: normalize(network(shortcut(x)), dim=1)),
        "Is x added, and the shortcut's answer not?",
        of(end=lambda x, shortcut, network: normalize(x + network(x), dim=1)),
        "The vectors should have length 1.",
        of(end=lambda x, shortcut, network: shortcut(x) + network(x)),
        "Is the length taken along the columns? A vector is a row: dim=1.",
        of(end=lambda x, shortcut, network: normalize(shortcut(x) + network(x), dim=0)),
        "x is the sum of the fields, not their mean.",
        of(x=lambda given: sum(given) / len(given)),
    )
    tables = {
        "line": torch.tensor([[9.0, 9.0]]),  # of another tower
        "history": torch.tensor([[1.0, 1.0], [8.0, 0.0], [0.0, 4.0], [4.0, 8.0]]),
        "user": torch.tensor([[3.0, 1.0], [0.0, 2.0], [-4.0, 1.0]]),
    }
    users = torch.tensor([1, 2, 0])
    history = torch.tensor([[1, 2, 3, 2], [0, 2, 0, 0], [0, 0, 0, 0]])
    # x = (6, 8) + (0, 2), (0, 4) + (−4, 1), (1, 1) + (3, 1)
    given = {"user": users, "history": history}, tables
    mirror, network = (lambda x: x * torch.tensor([1, -1])), (lambda x: (x.flip(1) - 1).relu())
    outs = torch.tensor([[6.0 + 9, -10 + 5], [-4 + 4, -5 + 0], [4 + 1, -2 + 3]])
    expected = outs / outs.norm(dim=1, keepdim=True)
    what = "Users 1, 2, 0 with four items, one, and none"
    case(tower, (*given, mirror, network), expected, what, wrong)


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


@exercise("the loss before the step, and rows that move against its gradient")
def check_training_step(training_step: Callable) -> None:
    """`training_step(users [r, d], items [s, d], pairs [n, 2], log_q [n], τ, rate) -> (loss, users,
    items)`: plain gradient descent on two tables.

    Source: the chapter's section "Two towers and one purchase"; gradients by differences.
    """

    def of(told="before", moved=(1, 1), **changes):
        def training_step(users, items, *rest):
            loss, *after = step_by_hand(users, items, *rest, **changes)
            tables = zip((users, items), after, moved, strict=True)
            after = [np.asarray(old) + k * (new - np.asarray(old)) for old, new, k in tables]
            if told == "after":
                loss = step_by_hand(*after, *rest, **changes)[0]
            return loss, *after

        return training_step

    wrong = mistakes(
        "That is the loss after the step; return the one before.",
        of(told="after"),
        "Rows go against the gradient, and these go along with it.",
        of(moved=(-1, -1)),
        "Do the items stay? Both tables move.",
        of(moved=(1, 0)),
        "Do the users stay? Both tables move.",
        of(moved=(0, 1)),
        "Does nothing move?",
        of(moved=(0, 0)),
        "Is it the sum over the pairs? The loss is their mean.",
        of(loss=lambda logits: 3 * loss_of(logits)),
        "Is log q added? It is subtracted.",
        of(log_q_times=-1),
        "Is log q left out?",
        of(log_q_times=0),
        "A vector is its row divided by the length, within the loss: the gradient feels it.",
        of(unit=False),
        "Is the softmax taken over the users of an item? It goes over the items of a user.",
        of(loss=lambda logits: loss_of(logits.T)),
    )
    users = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]])
    items = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [-1.0, 0.5]])
    pairs, log_q = torch.tensor([[0, 1], [1, 0], [0, 3]]), torch.tensor([0.5, 0.2, 0.1]).log()
    given = users, items, pairs, log_q, 0.5, 0.3
    what = "Three pairs of two users: the loss, the users, the items"
    names = "loss", "users", "items"
    case(training_step, given, of()(*given), what, wrong, of=lambda found: parts(found, *names))


def loss_of(logits: np.ndarray) -> float:
    """Mean −log softmax of the diagonal."""
    return float(np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits)))


def step_by_hand(
    users: torch.Tensor,
    items: torch.Tensor,
    pairs: torch.Tensor,
    log_q: torch.Tensor,
    tau: float,
    rate: float,
    loss: Callable = loss_of,
    log_q_times: int = 1,
    unit: bool = True,
) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss, and both tables after a step, whose slopes are differences of the loss."""
    tables = [np.asarray(table).astype(float) for table in (users, items)]
    log_q, pairs = np.asarray(log_q, dtype=float), np.asarray(pairs)

    def value():
        rows = [table[rows] for table, rows in zip(tables, pairs.T, strict=True)]
        if unit:
            rows = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in rows]
        return loss(rows[0] @ rows[1].T / tau - log_q_times * log_q)

    slopes = [np.zeros_like(table) for table in tables]
    for table, slope in zip(tables, slopes, strict=True):
        for place in np.ndindex(table.shape):
            for way in (1, -1):
                table[place] += way * 1e-5
                slope[place] += way * value() / 2e-5
                table[place] -= way * 1e-5
    moved = (table - rate * slope for table, slope in zip(tables, slopes, strict=True))
    return value(), *moved


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
