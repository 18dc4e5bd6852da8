"""The checks of chapter 07's exercises: a right function passes, each typical mistake gets its
sentence.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from course_lib.augment import uniform_items
from course_lib.checks import chapter_07
from course_lib.evaluation import SLICES, alignment, slices
from course_lib.losses import in_batch_logits, self_supervised


def slice_shares(times_bought, right=True, cold=0, events=True, share=True):
    cut = pd.cut(times_bought, [-1, cold, 20, 100, np.inf], right=right, labels=list(SLICES))
    counted = pd.DataFrame(
        {"items": 1, "events": times_bought if events else np.ones(len(times_bought))}
    )
    counted = counted.groupby(cut, observed=False).sum()
    counted.index = list(SLICES)
    return counted / counted.sum() if share else counted


def item_losses(first, second, temperature):
    cosines = cosine_similarity(first[:, None], second[None], dim=2) / temperature
    target = torch.arange(len(first))
    return (
        cross_entropy(cosines, target, reduction="none")
        + cross_entropy(cosines.T, target, reduction="none")
    ) / 2


def joint_loss(main, cosines, ids, temperature, alpha):
    """Masked by the library's main loss, of unit vectors that make the cosines their own products."""
    m = len(ids)
    there, back = (
        in_batch_logits(torch.eye(m), one, torch.zeros(m), torch.as_tensor(ids), temperature)
        for one in (cosines.T, cosines)
    )
    target = torch.arange(m)
    return main.mean() + alpha * (cross_entropy(there, target) + cross_entropy(back, target)) / 2


def draw(times_bought, m, power, rng):
    """Gumbel's trick: the largest of log weight + noise."""
    known = np.flatnonzero(times_bought)
    keys = power * np.log(times_bought[known]) + rng.gumbel(size=len(known))
    return known[np.argsort(-keys)[:m]]


def split_loss(squared, temperature):
    pull = squared.diagonal().mean()
    logits, target = (1 - squared / 2) / temperature, torch.arange(len(squared))
    whole = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
    return pull, whole - pull / (2 * temperature)


RIGHT = [slice_shares, item_losses, joint_loss, draw, split_loss]


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_function_passes(function, capsys):
    getattr(chapter_07, f"check_{function.__name__}")(function)
    assert capsys.readouterr().out.startswith(f"✓ {function.__name__}: ")


def without_empty_slices(times_bought):
    shares = slice_shares(times_bought)
    return shares[shares["items"] > 0]


def cold_is_tail(times_bought):
    shares = slice_shares(times_bought)
    shares.loc["tail"] += shares.loc["cold"]
    shares.loc["cold"] = 0
    return shares


def by_shares(first, second, temperature):
    one, other = (view / view.norm(dim=1, keepdim=True) for view in (first, second))
    shares = torch.exp(one @ other.T / temperature)
    rows, columns = (shares.diagonal() / shares.sum(way) for way in (1, 0))
    return -(rows.log() + columns.log()) / 2


def without_the_positive(first, second, temperature):
    logits = cosine_similarity(first[:, None], second[None], dim=2) / temperature
    others = logits.clone().fill_diagonal_(-torch.inf)
    return (others.logsumexp(1) + others.logsumexp(0)) / 2 - logits.diagonal()


def rows_only(first, second, temperature):
    logits = cosine_similarity(first[:, None], second[None], dim=2) / temperature
    return cross_entropy(logits, torch.arange(len(logits)), reduction="none")


def unmasked(main, cosines, ids, temperature, alpha):
    return joint_loss(main, cosines, torch.arange(len(ids)), temperature, alpha)


def colleagues(main, cosines, ids, temperature, alpha, twice=True, mask=False, one_mean=True):
    shares = torch.exp(cosines / temperature)
    if mask:
        shares = shares * (torch.eye(len(ids)).bool() | (ids[:, None] != ids))
    positive = shares.diagonal()
    ways = [-torch.log(positive / (twice * positive + shares.sum(way))) for way in (0, 1)]
    term = sum(ways) / 2
    return torch.cat([main, alpha * term]).mean() if one_mean else main.mean() + alpha * term.mean()


def own_logit_masked(main, cosines, ids, temperature, alpha):
    logits = (cosines / temperature).masked_fill(ids[:, None] == ids, -torch.inf)
    return main.mean() - alpha * logits.log_softmax(1).diagonal().mean()


def along_rows(main, cosines, ids, temperature, alpha):
    logits = in_batch_logits(
        torch.eye(len(ids)), cosines.T, torch.zeros(len(ids)), ids, temperature
    )
    return main.mean() + alpha * cross_entropy(logits, torch.arange(len(ids)))


def drawn(pick):
    """A draw from what was bought, with one thing changed."""
    return lambda times_bought, m, power, rng: pick(
        np.flatnonzero(times_bought), times_bought, m, power, rng
    )


def by_weight(places, times_bought, m, power, rng, replace=False):
    weight = times_bought[places].astype(float) ** power
    return rng.choice(
        places, min(m, len(places)) if not replace else m, replace=replace, p=weight / weight.sum()
    )


def positions(places, times_bought, m, power, rng):
    return np.searchsorted(places, by_weight(places, times_bought, m, power, rng)) + 90


def off_by(change_pull=lambda pull, t: pull, change_spread=lambda spread, pull, t, squared: spread):
    def split(squared, temperature):
        pull, spread = split_loss(squared, temperature)
        return change_pull(pull, temperature), change_spread(spread, pull, temperature, squared)

    return split


@pytest.mark.parametrize(
    ("exercise", "function", "phrase"),
    [
        (
            "slice_shares",
            lambda counts: slice_shares(counts, right=False, cold=0.5),
            "Tail ends with 20",
        ),
        ("slice_shares", cold_is_tail, "It is cold"),
        ("slice_shares", lambda counts: slice_shares(counts, events=False), "not of the items"),
        ("slice_shares", lambda counts: slice_shares(counts, share=False), "divide by all"),
        ("slice_shares", without_empty_slices, "expected the index"),
        ("item_losses", rows_only, "along the rows only"),
        (
            "item_losses",
            lambda first, second, t: rows_only(second, first, t),
            "along the columns only",
        ),
        ("item_losses", lambda *arguments: 2 * item_losses(*arguments), "It is their mean"),
        ("item_losses", lambda *arguments: item_losses(*arguments).mean(), "One number for each"),
        ("item_losses", lambda a, b, t: item_losses(a, b, 1 / t), "It is divided"),
        ("item_losses", lambda a, b, t: -item_losses(a, b, t), "sign of the log"),
        ("item_losses", without_the_positive, "positive is missing"),
        ("item_losses", by_shares, "too large for float32"),
        (
            "item_losses",
            lambda a, b, t: torch.stack(chapter_ways(a @ b.T / t)).mean(0),
            "any length",
        ),
        ("joint_loss", colleagues, "All three bugs"),
        (
            "joint_loss",
            lambda *arguments: colleagues(*arguments, one_mean=False),
            "twice, and copies",
        ),
        (
            "joint_loss",
            lambda *arguments: colleagues(*arguments, one_mean=False, mask=True),
            "in the sum twice; once",
        ),
        (
            "joint_loss",
            lambda *arguments: colleagues(*arguments, twice=False, mask=True),
            "over all n",
        ),
        ("joint_loss", unmasked, "leave copies out"),
        ("joint_loss", own_logit_masked, "own logit is masked"),
        ("joint_loss", along_rows, "along the rows only"),
        (
            "joint_loss",
            lambda main, c, i, t, alpha: joint_loss(main, c, i, t, 1.0),
            "α is left out",
        ),
        ("joint_loss", lambda main, c, i, t, alpha: joint_loss(main, c, i, t, 4 * alpha), "summed"),
        (
            "joint_loss",
            lambda main, c, i, t, alpha: joint_loss(main, c, i, t, 2 * alpha),
            "added up",
        ),
        ("joint_loss", lambda main, *rest: joint_loss(0 * main, *rest), "main loss is missing"),
        (
            "draw",
            drawn(lambda *arguments: by_weight(*arguments, replace=True)),
            "draw without replacement",
        ),
        (
            "draw",
            lambda t, m, power, rng: by_weight(np.arange(len(t)), t, m, power, rng),
            "0 to the power 0",
        ),
        ("draw", drawn(lambda p, t, m, power, rng: by_weight(p, t, m, 1, rng)), "power 0: item"),
        ("draw", drawn(lambda p, t, m, power, rng: by_weight(p, t, m, 0, rng)), "power 1: item"),
        ("draw", drawn(positions), "two places from 0 to 4"),
        ("draw", drawn(lambda *arguments: by_weight(*arguments)[:1]), "A draw of 2 has 1 items"),
        (
            "draw",
            drawn(lambda p, t, m, power, rng: draw(t, min(m, 3), power, rng)),
            "should be all four",
        ),
        (
            "draw",
            lambda t, m, power, rng: draw(t, m, power, np.random.default_rng()),
            "draw everything with",
        ),
        ("split_loss", off_by(lambda pull, t: 3 * pull), "mean over the items"),
        ("split_loss", off_by(lambda pull, t: pull / (2 * t)), "divided by 2 τ_s already"),
        (
            "split_loss",
            off_by(change_spread=lambda s, pull, t, squared: s + pull / (2 * t)),
            "all of L_self",
        ),
        ("split_loss", off_by(change_spread=lambda s, pull, t, squared: s + 1 / t), "It cancels"),
        ("split_loss", off_by(change_spread=lambda s, pull, t, squared: 2 * s), "added up"),
        (
            "split_loss",
            off_by(change_spread=lambda s, p, t, squared: (-squared / t / 2).logsumexp(1).mean()),
            "the rows only",
        ),
        (
            "split_loss",
            off_by(change_spread=lambda s, p, t, squared: (-squared / t / 2).logsumexp(0).mean()),
            "the columns only",
        ),
        (
            "split_loss",
            lambda squared, t: (squared.diagonal().mean(), split_loss(squared, t / 2)[1]),
            "−s/",
        ),
        ("split_loss", lambda squared, t: split_loss(squared, t)[0], "expected shape"),
    ],
)
def test_a_mistake_is_named(exercise, function, phrase):
    with pytest.raises(AssertionError, match=phrase):
        getattr(chapter_07, f"check_{exercise}")(function)


def chapter_ways(logits):
    return [torch.as_tensor(way) for way in chapter_07.ways(logits.numpy())]


def test_the_references_against_the_library():
    draw = torch.Generator().manual_seed(0)
    first, second = (
        torch.nn.functional.normalize(torch.randn(9, 4, generator=draw), dim=1) for _ in range(2)
    )
    losses = chapter_07.losses_by_hand(first.numpy(), second.numpy(), 0.3)
    assert losses.mean() == pytest.approx(self_supervised(first, second, 0.3).item(), abs=1e-5)
    for one, other in chapter_07.four_maps().values():
        pull, push = split_loss(torch.cdist(one, other).square(), 0.2)
        assert pull.item() == pytest.approx(alignment(one, other), abs=1e-4)
        assert (pull / 0.4 + push).item() == pytest.approx(
            self_supervised(one, other, 0.2).item(), abs=1e-4
        )
    counts = np.array([0, 1, 20, 21, 100, 101])
    assert slice_shares(counts)["items"].tolist() == pytest.approx(
        slices(pd.DataFrame({"bought": counts})).value_counts(normalize=True)[list(SLICES)].tolist()
    )


def test_the_references_against_numbers_by_hand():
    # one of weight 3 and two of weight 1, two drawn: an item of weight 1 is in with 1/5 + 3/5 · 1/2
    # + 1/5 · 1/4
    assert chapter_07.inclusion([3, 0, 1, 1], 2, 1) == pytest.approx([0.9, 0, 0.55, 0.55])
    assert chapter_07.inclusion([3, 0, 1, 1], 2, 0) == pytest.approx([2 / 3, 0, 2 / 3, 2 / 3])
    generator = torch.Generator().manual_seed(0)
    seen = torch.cat([uniform_items(3, 2, generator) for _ in range(600)]).bincount()[1:] / 600
    assert seen.numpy() == pytest.approx(chapter_07.inclusion([3, 1, 1], 2, 0), abs=0.08)
    # two rows of one item: no negative is left; two different ones at cosine 0: log 2 each way
    assert chapter_07.joint_by_hand([1.0], np.eye(2), [7, 7], 0.1, 5.0) == pytest.approx(1.0)
    assert chapter_07.joint_by_hand(
        [1.0, 3.0], np.zeros((2, 2)), [7, 8], 0.1, 0.5
    ) == pytest.approx(2 + 0.5 * np.log(2))
