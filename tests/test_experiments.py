"""The committed tables: whole, of five seeds, and of one piece with each other; and how they are
made, on small logs.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL, refusal
from scipy import stats

from course_lib import experiments, results
from course_lib.augment import RandomMask, SelfSupervision
from course_lib.baselines import Popularity
from course_lib.evaluation import TwoTowerNightly, replay, summary
from course_lib.experiments import Run
from course_lib.log import EventLog
from course_lib.simulate import simulate, subsampled
from course_lib.state import new_state

HOURLY = [name for name, (_, _, hourly) in experiments.EXPERIMENTS.items() if hourly]


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_a_table_has_every_arm_and_seed_of_its_experiment(name: str):
    arms, _, _ = experiments.EXPERIMENTS[name]
    table = results.load(name)
    assert list(zip(table["arm"], table["seed"], strict=True)) == [
        (arm.name, arm.seed) for arm in arms()
    ]
    assert table["version"].notna().all() and table["date"].notna().all()
    assert table[["R@50", "R@100"]].stack().between(0, 1).all()


@pytest.mark.parametrize("name", HOURLY)
def test_months_days_and_hours_add_up_to_the_table(name: str):
    table = results.load(name)
    months = results.load(f"{name}_by_month").groupby(["arm", "seed"])[["events", "hits"]].sum()
    found = (months["hits"] / months["events"]).loc[
        list(zip(table["arm"], table["seed"], strict=True))
    ]
    np.testing.assert_allclose(found, table["R@100"], atol=1e-5)
    mean = table.groupby("arm")["R@100"].mean()
    for by in ("day", "hour"):
        sums = results.load(f"{name}_by_{by}").groupby("arm")[["events", "hits"]].sum()
        np.testing.assert_allclose(sums["hits"] / sums["events"], mean[sums.index], atol=5e-5)


# -- how they are made
# ------------------------------------------------------------------------------------------------


def test_run_replays_every_arm_on_its_share_of_the_log(
    tiny: EventLog, monkeypatch: pytest.MonkeyPatch
):
    arms = [
        Run("popular", 0, lambda log: Popularity()),
        Run("less of it", 3, lambda log: Popularity(), 0.75),
        Run("towers", 1, lambda log: TwoTowerNightly(new_state(log, SMALL))),
        Run("not asked for", 2, lambda log: pytest.fail("this arm's seed was not asked for")),
    ]
    days = ("2020-01-04", "2020-01-06")
    monkeypatch.setitem(experiments.EXPERIMENTS, "toy", (lambda: iter(arms), days, False))
    found = experiments.run("toy", tiny, seeds=(0, 1, 3))
    assert list(found) == ["toy"] and found["toy"]["arm"].tolist() == [
        "popular",
        "less of it",
        "towers",
    ]
    for (_, row), arm in zip(found["toy"].iterrows(), arms, strict=False):
        log = subsampled(tiny, 0.75, 3) if arm.share < 1 else tiny
        expected = summary(replay(log, arm.make(log), *days, progress=False)).round(5)
        pd.testing.assert_series_equal(
            row[expected.index].astype(float), expected, check_names=False
        )


SIMULATED = simulate(items=400, users=60, events_per_item=3, liked=6)


@pytest.mark.parametrize(
    "term", [None, SelfSupervision(RandomMask(0.3), m=50)], ids=["plain", "with a term"]
)
def test_passes_against_loops(term: SelfSupervision | None):
    """Ranks by loops, in float64, from the state that each pass yields; every second user is for
    validation.
    """
    log, settings = (
        SIMULATED.log,
        replace(SMALL, popularity_half_lives=(), batch_size=64, history=5),
    )
    wanted = SIMULATED.liked.groupby("user")["item"].agg(list)
    wanted = [
        (user, wanted[user]) for user in log.users.index if user in wanted.index
    ]  # in the order of codes
    sold = set(log.events["item"])
    found = list(experiments.epochs(SIMULATED, settings, term, number=2))
    assert [row["pass"] for _, row in found] == [state.updates for state, _ in found] == [1, 2]
    for state, row in found:
        items = state.item_vectors(log, np.arange(400), log.days[0]).double().numpy()
        hits = {True: [], False: []}
        for number, (user, liked) in enumerate(wanted):
            vector = (
                state.user_vectors(log, log.users.index.get_indexer([user]), len(log))
                .double()
                .numpy()[0]
            )
            scores = dict(zip(log.items.index, (items @ vector).tolist(), strict=True))
            had = set(log.events["item"][log.events["user"] == user])
            for item in liked:
                rank = sum(scores[other] >= scores[item] for other in scores if other not in had)
                hits[number % 2 == 0].append((rank <= 100, item in sold))
        tested = pd.DataFrame(hits[False], columns=["hit", "sold"])
        close = partial(pytest.approx, abs=2.1 / len(tested))  # the library ranks in float32
        assert row["validation"] == close(np.mean([hit for hit, _ in hits[True]]))
        assert row["R@100"] == close(tested["hit"].mean()) and 0.2 < row["R@100"] < 0.8
        assert row["cold"] == pytest.approx(
            tested["hit"][~tested["sold"]].mean(), abs=2.1 / (~tested["sold"]).sum()
        )


def test_a_regime_keeps_the_pass_with_the_best_validation(monkeypatch: pytest.MonkeyPatch):
    """The passes are made up here: nothing is trained."""
    validation = {
        (0, "a"): [0.1, 0.3, 0.2],
        (0, "b"): [0.5, 0.4, 0.1],
        (1, "a"): [0.1, 0.2, 0.6],
        (1, "b"): [0.0, 0.9, 0.8],
    }

    def made_up(task, settings, term):
        arm = "a" if settings.dim == 8 else "b"
        assert (term is None) == (arm == "a")
        for number, value in enumerate(validation[settings.seed, arm], 1):
            recalls = {"R@100": number / 10 + settings.seed, "cold": 0.5, "tail": float(number)}
            yield None, {"pass": number, "validation": value, **recalls}

    arms = {"a": ({"dim": 8}, None, 0, 1), "b": ({}, "random mask", 0.1, 0.3)}
    toy = experiments.Sweep(
        lambda: arms,
        "events per item",
        (2.0,),
        (0, 1),
        lambda value, seed: simulate(40, 20, value, seed=seed),
    )
    monkeypatch.setitem(experiments.SWEEPS, "toy", toy)
    monkeypatch.setattr(experiments, "epochs", made_up)
    found = experiments.sweep_runs("toy")
    best, by_pass = found["toy"], found["toy_by_pass"]
    assert best[["seed", "arm", "pass"]].values.tolist() == [
        [0, "a", 2],
        [0, "b", 1],
        [1, "a", 3],
        [1, "b", 2],
    ]
    assert (
        best["R@100"].tolist() == pytest.approx([0.2, 0.1, 1.3, 1.2])
        and (best["events per item"] == 2).all()
    )
    assert by_pass[["arm", "pass"]].values.tolist() == [
        [arm, number] for arm in "ab" for number in (1, 2, 3)
    ]
    assert by_pass["R@100"].tolist() == pytest.approx([0.6, 0.7, 0.8] * 2)


def test_against_pairs_by_seed():
    table = pd.DataFrame(
        {
            "arm": ["b", "a", "a", "b", "a", "b"],
            "seed": [1, 0, 2, 0, 1, 2],
            "R@100": [0.5, 0.2, 0.4, 0.1, 0.9, 0.3],
            "tail": 0.0,
        }
    )
    found = results.against(table, "a", "b")
    differences = np.array([0.2 - 0.1, 0.9 - 0.5, 0.4 - 0.3])
    low, high = stats.t.interval(0.95, 2, differences.mean(), stats.sem(differences))
    assert found[:3] == pytest.approx((differences.mean(), low, high)) and found.pairs == 3
    assert results.against(table, "a", "b", "tail").mean == 0
    assert (
        refusal(results.against, table, "a", "c") == "the table has no arm 'c'; its arms are b, a."
    )
