"""The checks of chapter 02's exercises: a right function passes, each typical mistake gets its
sentence.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib.checks import chapter_02
from course_lib.evaluation import paired_difference
from course_lib.features import DecayedCounts
from course_lib.losses import in_batch_softmax
from course_lib.towers import EmbeddingTable


def cosines(users, items):
    return torch.nn.functional.cosine_similarity(users[:, None], items[None], dim=2)


def batch_loss(users, items, log_q, ids, owners, temperature, wrong_mask=None):
    logits = users @ items.T / temperature - log_q
    for i, owner in enumerate(owners.tolist()):
        visit = ids[owners == owner]
        mask = torch.isin(ids, visit) if wrong_mask is None else wrong_mask(ids, owners)[i]
        logits[i, mask & (torch.arange(len(ids)) != i)] = -torch.inf
    return -logits.log_softmax(1).diag().mean()


def pool(table, history):
    """The library's own, on the same rows."""
    library = EmbeddingTable(table.shape[1])
    library.grow(len(table))
    with torch.no_grad():
        library.weight.copy_(table)
        left = history.sort(
            dim=1, descending=True
        ).values  # the library wants the filled places first
        return library(left)


def surprise(day, items, m, half_life):
    """By the library's streaming counts."""
    counts, losses = DecayedCounts((half_life,)), []
    for today in np.unique(day):
        time, bought = (
            pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(today)),
            torch.from_numpy(items[day == today]),
        )
        total = float(counts.total(time)[0])
        losses.append(-((counts.at(time, bought)[:, 0] + 1 / m) / (total + 1)).log())
        counts.add(bought, time)
    return float(torch.cat(losses).mean())


def verdicts(table, base, measure, share=True, rows=False):
    arms = [arm for arm in table["arm"].unique() if arm != base]
    found = {}
    for arm in arms:
        one, other = table[table["arm"] == arm], table[table["arm"] == base]
        if rows:
            one, other = (each.assign(seed=np.arange(len(each))) for each in (one, other))
        both = one.merge(other, on="seed")
        both = both.dropna(subset=[f"{measure}_x", f"{measure}_y"])
        confidence = 1 - 0.05 / (len(arms) if share else 1)
        d = paired_difference(both[f"{measure}_x"], both[f"{measure}_y"], confidence)
        found[arm] = {"mean": d.mean, "low": d.low, "high": d.high}
        found[arm]["verdict"] = "better" if d.low > 0 else "worse" if d.high < 0 else "open"
    return pd.DataFrame.from_dict(found, orient="index").loc[arms]


RIGHT = [cosines, batch_loss, pool, surprise, verdicts]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_02, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def masked(mask):
    """A loss that masks by `mask(ids, owners)` [n, n]."""
    return lambda *arguments: batch_loss(*arguments, wrong_mask=mask)


def same(values):
    return values[:, None] == values


def diagonal_too(users, items, log_q, ids, owners, temperature):
    logits = (users @ items.T / temperature - log_q).masked_fill(same(ids), -torch.inf)
    return -logits.log_softmax(1).diag().mean()


def tau_after(users, items, log_q, ids, owners, temperature):
    return batch_loss(users, items, log_q / temperature, ids, owners, temperature)


def zeros_if_empty(table, history):
    filled = (history > 0).to(table)
    return (table[history] * filled[:, :, None]).sum(1) / filled.sum(1, keepdim=True).clamp(
        min=1
    ).sqrt()


def nan_if_empty(table, history):
    filled = (history > 0).to(table)
    return (table[history] * filled[:, :, None]).sum(1) / filled.sum(1, keepdim=True).sqrt()


def holes_are_default(table, history):
    return table[history].sum(1) / (history > 0).sum(1, keepdim=True).clamp(min=1).sqrt()


def times_root_of_k(table, history, power):
    return pool(table, history) * (history > 0).sum(1, keepdim=True).clamp(min=1) ** power


def by_the_room(table, history):
    k = (history > 0).sum(1, keepdim=True)
    return torch.where(
        k > 0, zeros_if_empty(table, history) * (k / history.shape[1]).sqrt(), table[0]
    )


def stream(
    fade=lambda passed, h: 0.5 ** (passed / h), add=None, learn_first=False, mean_of_days=False
):
    """A streaming `surprise` with one thing changed."""

    def surprise(day, items, m, half_life):
        counts, last, losses = np.zeros(m), day[0], []
        for today in np.unique(day):
            bought = items[day == today]
            counts = counts * fade(today - last, half_life)
            new = counts + np.bincount(bought, minlength=m)
            if add is not None:
                new = add(counts.copy(), bought)
            asked = new if learn_first else counts
            losses.append(-np.log((asked[bought] + 1 / m) / (asked.sum() + 1)))
            counts, last = new, today
        return (
            np.mean([day.mean() for day in losses])
            if mean_of_days
            else np.concatenate(losses).mean()
        )

    return surprise


def indexed_add(counts, bought):
    counts[bought] += 1
    return counts


def in_place(day, items, m, half_life):
    items.sort()
    return 0.0


def without_any_lost_seed(table, base, measure):
    everywhere = table.groupby("seed")["arm"].transform("size") == table["arm"].nunique()
    kept = verdicts(table[everywhere], base, measure)
    return kept.loc[[arm for arm in table["arm"].unique() if arm != base]]


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        ("cosines", lambda users, items: users @ items.T, "divide every row by its length"),
        (
            "cosines",
            lambda u, i: u / u.norm(dim=1, keepdim=True) @ i.T,
            "Only the users are divided",
        ),
        (
            "cosines",
            lambda u, i: u @ torch.nn.functional.normalize(i, dim=1).T,
            "Only the items are divided",
        ),
        ("cosines", lambda u, i: u / u.norm(dim=0) @ (i / i.norm(dim=0)).T, "dim=1"),
        (
            "cosines",
            lambda u, i: u / u.norm(dim=1, keepdim=True) @ (i / i.norm(dim=1, keepdim=True)).T,
            "has no direction",
        ),
        ("cosines", lambda u, i: cosines(i, u), "expected shape"),
        ("batch_loss", lambda u, i, q, *rest: batch_loss(u, i, -q, *rest), "Is log q added"),
        ("batch_loss", tau_after, "divided by τ as well"),
        ("batch_loss", lambda u, i, q, *rest: batch_loss(u, i, 0 * q, *rest), "left out"),
        (
            "batch_loss",
            masked(lambda ids, owners: torch.zeros(len(ids), len(ids), dtype=torch.bool)),
            "nothing masked",
        ),
        (
            "batch_loss",
            lambda u, i, q, ids, owners, tau: in_batch_softmax(u, i, q, ids, tau),
            "Only copies",
        ),
        ("batch_loss", masked(lambda ids, owners: same(owners)), "Only pairs of the same user"),
        (
            "batch_loss",
            masked(lambda ids, owners: same(owners) | same(ids)),
            "no negative of pair 2",
        ),
        ("batch_loss", diagonal_too, "own logit masked"),
        ("batch_loss", lambda *arguments: 5 * batch_loss(*arguments), "It is their mean"),
        ("batch_loss", lambda *arguments: -batch_loss(*arguments), "sign of the log"),
        ("pool", lambda table, history: table[history].mean(1), "colleague's"),
        ("pool", holes_are_default, "Empty places are read"),
        ("pool", lambda table, history: times_root_of_k(table, history, -0.5), "by √k, please"),
        ("pool", lambda table, history: times_root_of_k(table, history, 0.5), "not divided by √k"),
        ("pool", by_the_room, "√L"),
        ("pool", nan_if_empty, "0 / 0"),
        ("pool", zeros_if_empty, "and not zeros"),
        ("surprise", stream(learn_first=True), "Test first"),
        (
            "surprise",
            stream(fade=lambda passed, h: 0.5 ** (min(passed, 1) / h)),
            "without any forget as well",
        ),
        ("surprise", stream(fade=lambda passed, h: np.exp(-passed / h)), "a half should be left"),
        ("surprise", stream(fade=lambda passed, h: 1.0), "nothing fade"),
        ("surprise", stream(add=indexed_add), "comes twice"),
        ("surprise", stream(mean_of_days=True), "Every event counts the same"),
        (
            "surprise",
            lambda day, *rest: len(day) * surprise(day, *rest),
            "the mean over all events",
        ),
        ("surprise", lambda *arguments: -surprise(*arguments), "sign of the log"),
        ("surprise", in_place, "in place"),
        ("verdicts", lambda *arguments: verdicts(*arguments, share=False), "share the 5 %"),
        ("verdicts", lambda *arguments: verdicts(*arguments, rows=True), "order of the rows"),
        ("verdicts", without_any_lost_seed, "left out for 'large' alone"),
        (
            "verdicts",
            lambda table, base, measure: verdicts(
                table.assign(**{measure: -table[measure]}), base, measure
            ),
            "base minus",
        ),
        ("verdicts", lambda *arguments: verdicts(*arguments).sort_index(), "expected the index"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_02, f"check_{exercise}")(function)


def test_the_base_takes_no_share_of_the_five_percent():
    def one_too_many(table, base, measure):
        found = verdicts(table, base, measure)
        for arm in found.index:
            pairs = table[table["arm"] == arm].merge(table[table["arm"] == base], on="seed")
            d = paired_difference(
                pairs[f"{measure}_x"], pairs[f"{measure}_y"], 1 - 0.05 / table["arm"].nunique()
            )
            found.loc[arm, ["low", "high"]] = d.low, d.high
        return found

    with pytest.raises(AssertionError, match="the base has none"):
        chapter_02.check_verdicts(one_too_many)


def test_the_references_against_numbers_by_hand():
    # ann bought 7 and 9, bob 8, cem 7: of ann only bob's 8 is a negative, of cem all but ann's 7
    bought = chapter_02.bought_in_batch([7, 8, 9, 7], ["ann", "bob", "ann", "cem"])
    assert bought.tolist() == [[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 0, 1]]
    # two pairs at a right angle, τ = 1: logits 1 and 0 of each, and a q of one half shifts both
    # alike
    unit, half = torch.eye(2), torch.tensor([0.5, 0.5]).log()
    found = chapter_02.loss_by_hand(unit, unit, half, np.eye(2, dtype=bool), 1.0)
    assert found == pytest.approx(np.log(1 + np.exp(-1)))
    # day 0: 1/2 each; day 2, two half-lives on: item 0 has a quarter, so (1/4 + 1/2) / (1/4 + 1)
    events = [(0, 0), (2, 0)]
    assert chapter_02.surprise_by_hand(events, events, 2, 1.0) == pytest.approx(
        [np.log(2), -np.log(0.6)]
    )
    # gaps 1 and 3: mean 2, standard error 1, and Student's t for 95 % with one degree of freedom is
    # 12.706
    runs = pd.DataFrame({"arm": list("aabb"), "seed": [0, 1, 1, 0], "r": [0.0, 0.0, 3.0, 1.0]})
    (row,) = chapter_02.verdicts_by_hand(runs, "a", "r", 1).to_dict("records")
    assert row == pytest.approx(
        {"mean": 2.0, "low": 2 - 12.7062, "high": 2 + 12.7062, "verdict": "open"}, abs=1e-3
    )
