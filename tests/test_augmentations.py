"""What chapters 08 to 11 measure of an augmentation, against counts and loops by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, refusal, trained

from course_lib import experiments
from course_lib.augment import Complementary, RandomMask, SelfSupervision
from course_lib.experiments import augmentations, sweeps
from course_lib.log import EventLog
from course_lib.simulate import HeldOut, simulate

SIMULATED = simulate(items=400, users=80, events_per_item=3, liked=6)


def test_shown_by_counts_values_and_not_fields():
    """Five values: one in both views, three in one of them, one in neither; counts are no field."""
    whole = {"item": [1, 2], "words": [[1, 2], [3, 0]], "popularity": [[0.5], [0.5]]}
    first = {"item": [1, 0], "words": [[1, 0], [0, 0]], "popularity": [[0.5], [0.5]]}
    second = {"item": [1, 0], "words": [[0, 2], [3, 0]], "popularity": [[0.5], [0.5]]}
    tensors = [{n: torch.tensor(v) for n, v in part.items()} for part in (whole, first, second)]
    found = experiments.shown_by(tensors[0], (tensors[1], tensors[2]))
    assert found == pytest.approx({"both show": 1 / 5, "one shows": 3 / 5, "neither": 1 / 5})


def test_what_views_share_matches_by_the_nearest_of_all():
    """By loops in float64, over the very views that were made."""
    log, seen = SIMULATED.log, []
    state = trained(log, replace(SMALL, popularity_half_lives=()), log.days)

    def recorded(features, generator):
        seen.append(RandomMask(0.3)(features, generator))
        return seen[-1]

    table = experiments.what_views_share({"mask": recorded}, {"model": state}, log, draws=3, m=40)
    shares = []
    for views in seen:
        first, second = (state.model.item_vectors(view).detach().double().numpy() for view in views)
        nearest = [max(range(40), key=lambda j, row=row: row @ second[j]) for row in first]
        shares.append(np.mean([i == j for i, j in enumerate(nearest)]))
    assert len(seen) == 3 and len(seen[0][0]["item"]) == 40
    assert table.loc["mask", "matched: model"] == pytest.approx(np.mean(shares), abs=1 / 120 + 1e-9)
    assert table.loc["mask", ["both show", "one shows", "neither"]].sum() == pytest.approx(1)


def test_given_away_against_counts():
    """A copy gives all away, an ID and a coin nothing; each number by a Counter over the halves."""
    draws = np.random.default_rng(3)
    colour = draws.choice(["red", "blue", "tin"], 60, p=[0.5, 0.3, 0.2])
    items = pd.DataFrame(
        {
            "colour": colour,
            "copy": [f"is {value}" for value in colour],
            "words": [[value, "other"] if value != "tin" else [] for value in colour],
            "coin": draws.choice(["heads", None], 60),
        },
        index=pd.Index(range(60), name="item"),
    )
    found = experiments.given_away(items)
    flat = items.reset_index()
    flat["words"] = [bag[row % 2] if bag else "–" for row, bag in enumerate(flat["words"])]
    flat["coin"] = ["–" if pd.isna(value) else value for value in flat["coin"]]
    half = np.random.default_rng(0).permutation(60) % 2
    for name in flat:
        for seen in flat:
            gained = []
            for h in (0, 1):
                learned, asked = flat[half == h], flat[half != h]
                common = most(learned[name])
                best = {value: most(part[name]) for value, part in learned.groupby(seen)}
                guess = [best.get(value, common) for value in asked[seen]]
                right = np.mean([g == a for g, a in zip(guess, asked[name], strict=True)])
                gained.append(100 * (right - np.mean(asked[name] == common)))
            expected = 0 if name == seen else np.mean(gained)
            assert found.loc[name, seen] == pytest.approx(expected), (name, seen)
    assert (found["item"] == 0).all() and found.loc["colour", "copy"] > 30


def most(values: pd.Series) -> object:
    """The most common value; of several the first in order."""
    return min(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))[0]


def test_guessable_takes_the_most_telling_field_of_the_other_side():
    """Three fields; guessed are rows, seen are columns. Of the ID nothing is asked."""
    names = ["item", "a", "b"]
    points = pd.DataFrame([[0, 9, 9], [1, 0, 6], [-2, 4, 0]], names, names, dtype=float)
    # first hides a: item and b tell a (6); the other way round a tells b (4)
    assert experiments.guessable(points, [["a"]]) == (6 + 4) / 2
    # first hides a and b: the item tells a (1) and b (-2, so nothing): half a point; no way back
    assert experiments.guessable(points, [["a", "b"]]) == 0.5
    assert experiments.guessable(points, [["a"], ["a", "b"]]) == pytest.approx((6 + 4 + 0.5) / 3)


def test_with_and_without_is_what_the_sweeps_measure(
    monkeypatch: pytest.MonkeyPatch, tiny: EventLog
):
    """The pass with the best validation, and what `epochs` measures after it; on both logs."""
    made = {"simulated": SIMULATED, "real": HeldOut(SIMULATED.log, SIMULATED.liked)}
    monkeypatch.setattr(augmentations, "simulate", lambda **options: made["simulated"])
    monkeypatch.setattr(augmentations, "held_out", lambda *options, **more: made["real"])
    names = ["complementary", "random mask"]
    found = experiments.with_and_without(names, tiny, passes=3, progress=False)
    assert len(found) == 12
    assert [title.split(",")[0] for title in found.index.levels[0]] == ["real", "simulated"]
    for (title, measure, name), row in found.iterrows():
        arms = sweeps.REAL if title.startswith("real") else sweeps.SIMULATED
        pair = names if name == "second − first" else ["plain", name]
        for column, arm in zip(("without", "with"), pair, strict=True):
            term = arms[arm].term
            mask = Complementary() if arm == "complementary" else RandomMask(0.5)
            term = term and SelfSupervision(mask, term.alpha, term.temperature)
            rows = [r for _, r in experiments.epochs(SIMULATED, experiments.PLAIN, term, 3)]
            best = max(rows, key=lambda row: row["validation"])
            key = "R@100" if measure == "R@100" else "in-tail"
            assert row[column] == pytest.approx(best[key], abs=1e-5)
            assert str(best["pass"]) == row["best passes"].split(", ")[column == "with"]
        assert row["difference"] == pytest.approx(row["with"] - row["without"], abs=1e-6)
        assert row["low"] < row["difference"] < row["high"] and 20 < row["users"] <= 40


def test_with_and_without_knows_its_names(tiny: EventLog):
    message = refusal(experiments.with_and_without, ["dropout", "mask"], tiny)
    assert message.startswith("there is no term 'mask' here; the ones that are: random mask; drop")
