"""The committed tables: whole, of five seeds, and of one piece with each other; and how they are
made, on small logs.
"""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, contents, refusal, tiny_frames, trained
from scipy import stats

from course_lib import experiments, results
from course_lib.augment import (
    Complementary,
    CorrelatedMask,
    Dropout,
    RandomMask,
    SelfSupervision,
)
from course_lib.baselines import Popularity
from course_lib.evaluation import Difference, TwoTowerNightly, replay, summary
from course_lib.experiments import EXPERIMENTS, NAMES, architectures, reasons, sweeps
from course_lib.experiments.gradients import Gradients, compared
from course_lib.experiments.lifted import Lifted, Lifting
from course_lib.experiments.replays import Baseline, Nightly, Replays, Run, Served, warm_state
from course_lib.experiments.sweeps import Learner, Sweep
from course_lib.experiments.terms import Term
from course_lib.full_update import full_update
from course_lib.log import DAY, EventLog
from course_lib.mutual_information import mutual_information, shuffled_columns
from course_lib.simulate import Simulated, simulate, subsampled
from course_lib.state import State, new_state

pytestmark = pytest.mark.filterwarnings("ignore:the log has")
REPLAYS = {name: which for name, which in EXPERIMENTS.items() if isinstance(which, Replays)}
SWEEPS = {name: which for name, which in EXPERIMENTS.items() if isinstance(which, Sweep)}
BY = [(name, by) for name, which in REPLAYS.items() for by in which.by]


@pytest.mark.parametrize("name", REPLAYS)
def test_a_table_has_every_arm_and_seed_of_its_experiment(name: str):
    table = results.load(name)
    assert list(zip(table["arm"], table["seed"], strict=True)) == [
        (run.name, run.seed) for run in REPLAYS[name].runs()
    ]
    assert table["version"].notna().all() and table["date"].notna().all()
    assert table[["R@50", "R@100"]].stack().between(0, 1).all()


@pytest.mark.parametrize("name", SWEEPS)
def test_a_table_has_every_arm_value_and_seed_of_its_sweep(name: str):
    sweep, table = SWEEPS[name], results.load(name)
    found = table[[sweep.parameter, "seed", "arm"]].itertuples(index=False, name=None)
    assert list(found) == [(t.value, t.seed, t.arm) for t in sweep.trials()]
    by_pass = results.load(f"{name}_by_pass")
    assert set(by_pass["arm"]) == set(sweep.arms) and set(by_pass["pass"]) == set(
        range(1, sweep.epochs + 1)
    )


BENCHED = {
    "side_by_side",
    "growth",
    "lists",
    "bad_input",
    "class_of_30",
    "mutants",
    "mutants_survivors",
    "service",
    "ranks",
    "ranks_by_day",
    "ranks_speed",
} | {  # what tests/benchmarks leaves
    f"side_by_side_{name}"
    for name in ("by_day", "speed", "profile", "freshness", "freshness_by_day")
}


def test_every_table_has_its_experiment():
    tables = {path.stem for path in results.RESULTS.glob("*.csv")}
    known = {name for name in tables if name in EXPERIMENTS}
    assert known == set(EXPERIMENTS)
    for name in tables - known - BENCHED:
        assert name.rsplit("_by_", 1)[0] in EXPERIMENTS


@pytest.mark.parametrize(("name", "by"), BY)
def test_days_and_months_add_up_to_the_table(name: str, by: str):
    table, parts = results.load(name), results.load(f"{name}_by_{by}")
    runs = ["arm", "seed"] if by == "month" else ["arm"]
    sums = parts.groupby(runs)[["events", "hits"]].sum()
    expected = table.groupby(runs)["R@100"].mean()
    np.testing.assert_allclose(sums["hits"] / sums["events"], expected[sums.index], atol=5e-5)
    assert len(sums) == len(expected)


# -- how they are made
# ------------------------------------------------------------------------------------------------


def test_run_replays_every_arm_on_its_share_of_the_log(
    tiny: EventLog, monkeypatch: pytest.MonkeyPatch
):
    arms = [
        Run("popular", 0, Baseline(Popularity)),
        Run("less of it", 3, Baseline(Popularity, {"half_life": 2.0}), 0.75),
        Run("towers", 1, Nightly(SMALL)),
        Run("not asked for", 2, lambda log: pytest.fail("this arm's seed was not asked for")),
    ]
    days = ("2020-01-04", "2020-01-06")
    monkeypatch.setitem(EXPERIMENTS, "toy", Replays(lambda: iter(arms), days))
    found = experiments.run("toy", tiny, seeds=(0, 1, 3))
    assert list(found) == ["toy"] and found["toy"]["arm"].tolist() == [
        "popular",
        "less of it",
        "towers",
    ]
    made = [Popularity(), Popularity(2.0), TwoTowerNightly(new_state(tiny, SMALL))]
    for (_, row), recommender, share in zip(
        found["toy"].iterrows(), made, (1, 0.75, 1), strict=True
    ):
        log = subsampled(tiny, share, 3) if share < 1 else tiny
        expected = summary(replay(log, recommender, *days, progress=False)).round(5)
        pd.testing.assert_series_equal(
            row[expected.index].astype(float), expected, check_names=False
        )


def test_an_experiment_replays_the_log_that_it_names(tiny: EventLog, monkeypatch):
    days, arms = ("2020-01-04", "2020-01-06"), [Run("popular", 0, Baseline(Popularity))]
    toy = Replays(lambda: arms, days, load=lambda: tiny)
    monkeypatch.setitem(EXPERIMENTS, "toy", toy)
    one, other = experiments.run("toy")["toy"], experiments.run("toy", tiny)["toy"]
    pd.testing.assert_frame_equal(one, other)


def test_several_processes_find_what_one_finds(tiny: EventLog, monkeypatch: pytest.MonkeyPatch):
    """Jobs carry what they need, the log goes to each process; the results come in order."""
    days = ("2020-01-04", "2020-01-07")
    arms = [
        Run("served", 0, Served(SMALL, days[0], {"full_every": 2})),
        Run("a term", 0, Nightly(SMALL, Term("dropout"))),
        Run("less", 1, Nightly(SMALL), 0.9),
    ]
    monkeypatch.setitem(EXPERIMENTS, "toy", Replays(lambda: arms, days, shape=True))
    one, two = (experiments.run("toy", tiny, processes=number)["toy"] for number in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert one["arm"].tolist() == ["served", "a term", "less"] and one["uniformity"].notna().all()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """Another process, started as for the experiments."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_job_can_go_to_another_process(name: str, elsewhere: ProcessPoolExecutor):
    experiment = EXPERIMENTS[name]
    jobs = list(experiment.runs()) if isinstance(experiment, Replays) else [experiment]
    assert repr(elsewhere.submit(list, jobs).result()) == repr(jobs)  # there and back


@pytest.mark.parametrize(
    "name", ["baselines_test", "updates_tuning", "sweep_real", "index_frontier"]
)
def test_a_log_of_other_days_is_refused_before_anything_is_run(tiny: EventLog, name: str):
    message = refusal(experiments.run, name, tiny)
    assert message.startswith(f"the log's days are 2020-01-01 … 2020-01-06, and {name} needs")
    assert "before 2011-" in message and "and some from then to" in message
    assert "there is no experiment 'sweeps'" in refusal(experiments.run, "sweeps", tiny)


def test_a_constant_in_passing_is_one_added_to_the_scores(tiny: EventLog):
    class Added(TwoTowerNightly):
        def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
            scores = super().scores(log, day, users)
            before = log.events.loc[log.events["time"] < day, "item"]
            tail = log.items.index[: scores.shape[1]].isin(before)  # nothing was bought 21 times
            return scores + 0.3 * torch.from_numpy(tail)

    nightly = Lifting(tiny, (("tail", 0.0), ("tail", 0.3)), seed=0)
    plain, state = replay(tiny, nightly, tiny.days[1]), new_state(tiny, experiments.PLAIN)
    added = replay(tiny, Added(state), tiny.days[1])
    for constant, expected in {0.0: plain, 0.3: added}.items():
        assert np.concatenate(nightly.ranks["tail", constant]).tolist() == expected["rank"].tolist()
    assert plain["rank"].tolist() != added["rank"].tolist()


def test_a_larger_constant_finds_more_of_its_slice_and_less_of_the_others():
    table, experiment = results.load("lifted"), Lifted()
    for lifted in experiment.lifted:
        arms = [f"plain + {constant:g} on {lifted}" for constant in experiment.constants]
        for seed in experiment.seeds:
            rows = table[table["seed"] == seed].set_index("arm").loc[arms]
            for part in ("cold", "tail", "mid", "head"):
                rise = rows[part].diff().dropna()
                assert (rise >= 0).all() if part == lifted else (rise <= 0).all()


def test_a_warm_state_is_made_once_and_goes_with_its_log():
    log = EventLog.from_frame(**tiny_frames())
    state = warm_state(log, SMALL, "2020-01-04")
    expected = trained(log, SMALL, log.days[:2])
    assert warm_state(log, SMALL, "2020-01-04") is state and contents(state) == contents(expected)
    term, other = SelfSupervision(RandomMask(0.5), m=2), new_state(log, SMALL)
    for day in log.days[:2]:
        other = full_update(other, log, day, term=term)
    found = contents(warm_state(log, SMALL, "2020-01-04", term))
    assert found == contents(other) and found != contents(expected)
    gone = weakref.ref(log)
    del log
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", NAMES)
def test_an_augmentation_by_name_knows_the_items_of_its_time(tiny: EventLog, name: str):
    frames = tiny_frames()
    for items in (tiny, EventLog.from_frame(**frames)):
        augment = experiments.augmentation(name, items, "2020-01-03")
    if name.startswith("correlated"):
        known = tiny.items.iloc[: tiny.listed("2020-01-03")]
        mi = mutual_information(known)
        if name.endswith("corrected MI"):
            mi -= mutual_information(shuffled_columns(known))
        assert augment.masked == CorrelatedMask(mi).masked
    else:
        expected = {"random mask": RandomMask(0.5), "dropout": Dropout()}
        assert augment == expected.get(name, Complementary())


def test_an_hour_meets_random_events_and_whole_visits_of_its_size(retail: EventLog):
    """Own events are all of their hour; of the customers of whole visits only the last is cut."""
    day, rng = retail.days[3], np.random.default_rng(0)
    rows = retail.rows(day, day + DAY)
    events = retail.events.iloc[rows]
    hours, found = events["time"].dt.hour.to_numpy(), []
    for own, random, visits in experiments.hours_and_opponents(retail, day, rng, least=5):
        assert len({*hours[own]}) == 1 and (hours == hours[own[0]]).sum() == len(own) >= 5
        assert len({*random}) == len({*visits}) == len(own)
        users = events["user"].to_numpy()
        cut = [u for u in {*users[visits]} if (users == u).sum() > (users[visits] == u).sum()]
        assert len(cut) <= 1
        found.append(hours[own[0]])
    enough = pd.Series(hours).value_counts()
    assert found == sorted(enough[enough >= 5].index) and found


SIMULATED = simulate(items=400, users=60, events_per_item=3, liked=6)


@pytest.mark.parametrize(
    "term", [None, SelfSupervision(RandomMask(0.3), m=50)], ids=["plain", "with a term"]
)
def test_epochs_against_loops(term: SelfSupervision | None):
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
        hits, new = {True: [], False: []}, []
        for number, (user, liked) in enumerate(wanted):
            vector = (
                state.user_vectors(log, log.users.index.get_indexer([user]), len(log))
                .double()
                .numpy()[0]
            )
            scores = dict(zip(log.items.index, (items @ vector).tolist(), strict=True))
            had = set(log.events["item"][log.events["user"] == user])
            if number % 2:
                candidates = sorted(scores.keys() - had, key=scores.get)
                new.append(sum(item not in sold for item in candidates[-100:]))
            for item in liked:
                rank = sum(scores[other] >= scores[item] for other in scores if other not in had)
                hits[number % 2 == 0].append((rank <= 100, item in sold))
        tested = pd.DataFrame(hits[False], columns=["hit", "sold"])
        close = partial(pytest.approx, abs=2.1 / len(tested))  # the library ranks in float32
        assert row["cold nominated"] == pytest.approx(np.mean(new), abs=0.1)
        assert row["validation"] == close(np.mean([hit for hit, _ in hits[True]]))
        assert row["R@100"] == close(tested["hit"].mean()) and 0.2 < row["R@100"] < 0.8
        assert row["cold"] == pytest.approx(
            tested["hit"][~tested["sold"]].mean(), abs=2.1 / (~tested["sold"]).sum()
        )


def test_a_sweep_keeps_the_epoch_with_the_best_validation(
    tiny: EventLog, monkeypatch: pytest.MonkeyPatch
):
    """The epochs are made up here: nothing is trained."""
    validation = {
        (0, "a"): [0.1, 0.3, 0.2],
        (0, "b"): [0.5, 0.4, 0.1],
        (1, "a"): [0.1, 0.2, 0.6],
        (1, "b"): [0.0, 0.9, 0.8],
    }

    def made_up(task, settings, term, number, reshape):
        arm = "a" if settings.dim == 8 else "b"
        assert (term is None) == (arm == "a")
        for number, value in enumerate(validation[settings.seed, arm], 1):
            recalls = {"R@100": number / 10 + settings.seed, "cold": 0.5, "tail": float(number)}
            yield None, {"pass": number, "validation": value, **recalls}

    arms = {"a": Learner({"dim": 8}), "b": Learner(term=Term("random mask", 0.1))}
    toy = Sweep(
        arms,
        "events per item",
        (2.0,),
        (0, 1),
        lambda log, value, seed: simulate(40, 20, value, seed=seed),
    )
    monkeypatch.setitem(EXPERIMENTS, "toy", toy)
    monkeypatch.setattr(sweeps, "epochs", made_up)
    found = experiments.run("toy", tiny)
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


def item_vectors(state: State, log: EventLog, **changed: torch.Tensor) -> np.ndarray:
    features = state.features.item_features(log, np.arange(len(log.items)), log.days[0])
    return state.model.item_vectors(features | changed).detach().numpy()


@pytest.mark.parametrize("name", list(reasons.MODELS)[1:])
def test_other_towers_are_what_their_names_say(name: str):
    log, settings = SIMULATED.log, replace(SMALL, popularity_half_lives=())
    state, (day,) = new_state(log, settings), log.days
    reasons.MODELS[name](state, log)
    state = full_update(state, log, day)
    whole = item_vectors(state, log)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1, abs=1e-5)
    ids = torch.zeros(len(log.items), dtype=torch.long)
    assert (whole == item_vectors(state, log, item=ids)).all() == (name == "no item ID")
    assert hasattr(state.model.item_tower, "shortcut") == (name == "ID from fields")
    trained = [group["params"] for group in state.optimiser.param_groups]
    assert {id(p) for group in trained for p in group} == {
        id(p) for p in state.model.dense_parameters()
    }


def test_concatenated_fields_keep_their_places_and_a_sum_does_not():
    tables = [torch.randn(5, 4), torch.randn(5, 4)]
    for concatenated in (True, False):
        tower = architectures._Tower(2, 4, 8, concatenated)
        same = torch.allclose(tower(tables, None), tower(tables[::-1], None))
        assert same == (not concatenated)


def test_an_id_starts_as_the_sum_of_its_fields():
    log, settings = SIMULATED.log, replace(SMALL, popularity_half_lives=())
    state = new_state(log, settings)
    architectures.id_from_fields(state, log)
    item = list(state.features.items.vocabularies["item"])[7]
    fields = state.features.items.encode(log.items.loc[[item]])
    tables = dict(zip(state.model.item_fields, state.model.item_tables, strict=True))
    own = tables.pop("item").weight[fields["item"]]
    others = [table(fields[name]) for name, table in tables.items()]
    assert torch.allclose(own, sum(others) / len(others) ** 0.5, atol=1e-6)


def test_gradients_of_the_same_events_agree_and_shares_add_up(tiny: EventLog):
    def task(log: EventLog, number: float, seed: int) -> Simulated:
        return simulate(items=200, users=40, events_per_item=3, seed=seed)

    toy = Gradients({"toy": (task, 3.0)}, Term("complementary"), (0,), after=(1,))
    row = toy.tables("toy", tiny, None, 1)["toy"].iloc[0]
    assert row["more events"] == row["events"]
    assert row[["main with more on fields", "main with more on tower"]].tolist() == pytest.approx(
        [1, 1], abs=1e-4
    )
    for name in ("main", "term"):
        parts = [row[f"{name} on {part}"] for part in ("IDs", "fields", "defaults", "tower")]
        assert sum(parts) == pytest.approx(1, abs=1e-4) and min(parts) > 0
    assert abs(row["term with more on fields"]) < 1


def test_gradients_are_compared_by_hand():
    def parts(fields: list, tower: list) -> dict[str, torch.Tensor]:
        values = {"IDs": [0.0, 1.0], "fields": fields, "defaults": [1.0, 0.0], "tower": tower}
        return {name: torch.tensor(value) for name, value in values.items()}

    found = compared(
        {
            "main": parts([1.0, 0.0], [1.0, 1.0]),
            "term": parts([3.0, 4.0], [0.0, 3.0]),
            "more": parts([0.0, 2.0], [1.0, 1.0]),
        }
    )
    assert found["main on tower"] == pytest.approx(2 / 5)
    assert found["term on fields"] == pytest.approx(25 / 36)
    assert found["main with more on fields"] == pytest.approx(0)
    assert found["term with more on fields"] == pytest.approx(0.8)
    assert found["term with more on tower"] == pytest.approx(0.5**0.5)


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


def test_along_has_a_difference_for_each_value_in_order():
    rows = [
        (x, arm, seed, x + seed + more)
        for x in (2, 1)
        for arm, more in (("plain", 0), ("a", 3 * x))
        for seed in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["x", "arm", "seed", "R@100"])
    found = results.along(table, "x", ["a"])
    assert [difference.mean for difference in found["a"]] == [3, 6] and list(found) == ["a"]


def test_relative_is_in_per_cent_of_what_plain_has_at_each_value():
    rows = [
        (x, arm, seed, level)
        for x, plain in ((2.0, 0.4), (1.0, 0.1))
        for seed in (0, 1)
        for arm, level in (("plain", plain), ("a", plain * (1.1 + 0.1 * seed)))
    ]
    table = pd.DataFrame(rows, columns=["x", "arm", "seed", "R@100"])
    one, two = results.relative(table, "x", ["a"])["a"]
    assert one.mean == pytest.approx(15) == two.mean and one == pytest.approx(two)
    plain = results.along(table, "x", ["a"])["a"][1]
    assert two.low == pytest.approx(100 * plain.low / 0.4) and two.pairs == 2


def test_a_verdict_needs_all_intervals_on_one_side():
    up, down, null = (Difference(0.0, *ends, 5) for ends in ((1, 2), (-2, -1), (-1, 1)))
    assert [results.verdict(up), results.verdict(down, down)] == ["yes", "no"]
    assert results.verdict(up, null) == results.verdict(up, down) == "cannot tell"
    seeds = pd.Series([0.1, 0.3])
    assert [results.agree(seeds, level) for level in (0, 0.2, 1)] == ["yes", "cannot tell", "no"]


def test_by_slice_has_every_arm_over_seeds_days_and_slices():
    draws = np.random.default_rng(0)
    levels = pd.DataFrame(draws.random((6, 5)), columns=["R@100", "cold", "tail", "mid", "head"])
    table = levels.assign(arm=["base", "a", "b"] * 2, seed=[0, 0, 0, 1, 1, 1])
    days = pd.DataFrame({"arm": ["base", "a", "b"] * 2, "day": [1] * 3 + [2] * 3, "events": 10})
    days = days.assign(hits=draws.random(6))
    found = results.by_slice(table, days, {"a": "base", "b": "base"})
    seeds, by_day, *slices = found
    assert seeds.startswith("all") and f"{levels['R@100'][[0, 3]].mean():.3f}" in seeds
    for title, name in zip(slices, ["cold", "tail", "mid", "head"], strict=True):
        assert title == f"{name} ({levels[name][[0, 3]].mean():.3f})"
        assert found[title]["b"] == results.against(table, "b", "base", name)
    assert found[seeds]["a"] == results.against(table, "a", "base")
    assert found[by_day]["b"] == results.against_by_day(days, "b", "base")
    assert all(list(of_arms) == ["a", "b"] for of_arms in found.values())
    several = results.by_slice(table, days, {"a": "base", "b": "a"})
    base, other = (levels["R@100"][rows].mean() for rows in ([0, 3], [1, 4]))
    assert list(several)[0] == "all events, over seeds" and list(several)[2] == "cold"
    assert list(several["cold"]) == [f"base ({base:.3f})", f"a ({other:.3f})"]
    assert several["head"][f"a ({other:.3f})"] == results.against(table, "b", "a", "head")
    some = {"a": "base", "b": "base", "base": "a"}
    assert refusal(results.by_slice, table, days, some).startswith("3 arms have 2 bases")


def test_against_by_day_weighs_a_day_by_its_events():
    """The mean is the difference of all hits together; the interval that of a ratio estimator."""
    events, ours, theirs = (np.array(n) for n in ([10, 40, 50], [2.2, 9, 20], [1, 10.4, 15]))
    days = ["2020-01-01", "2020-01-02", "2020-01-04"]
    parts = {"a": ours, "b": theirs}
    table = pd.concat(
        pd.DataFrame({"arm": arm, "day": days, "events": events, "hits": hits})
        for arm, hits in parts.items()
    )
    found = results.against_by_day(table.sample(frac=1, random_state=0), "a", "b")
    mean = (ours.sum() - theirs.sum()) / events.sum()
    residuals = (ours - theirs) - mean * events
    half = stats.t.ppf(0.975, 2) * np.sqrt(3 / 2 * (residuals**2).sum()) / events.sum()
    assert found[:3] == pytest.approx((mean, mean - half, mean + half)) and found.pairs == 3
    assert refusal(results.against_by_day, table, "a", "c").startswith("the table has no arm 'c'")
    for other in (table.iloc[:-1], table.assign(events=[10, 40, 50, 10, 40, 51])):
        assert (
            refusal(results.against_by_day, other, "a", "b")
            == "'a' and 'b' were not asked about the same events every day."
        )
