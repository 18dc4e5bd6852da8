"""All experiments by name, in one place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

from course_lib.experiments import (
    baselines,
    index_frontier,
    lifted,
    negatives,
    reasons,
    self_supervision,
    subsampled,
    sweeps,
    updates,
)
from course_lib.experiments.gradients import Gradients
from course_lib.experiments.replays import Replays
from course_lib.experiments.sweeps import Sweep
from course_lib.experiments.terms import Term
from course_lib.log import EventLog
from course_lib.movie_tweetings import TEST as FILMS_TEST
from course_lib.movie_tweetings import load_movie_tweetings
from course_lib.online_retail import TEST, TUNING
from course_lib.results import SEEDS

EVENTS, SHARE = "events per item", "share of events"
PARTS, QUESTION = "values for each", "every item alike"


TRIED = {"seeds": (10, 11), "start": TUNING[0]}


def _informed(
    parameter: str, values: tuple[float, ...], task: reasons.Informed, **changes
) -> Sweep:
    sweep = Sweep(reasons.INFORMED, parameter, values, SEEDS, task, TEST[0], epochs=5)
    return replace(sweep, **changes)


def _films(parameter: str, values: tuple[float, ...], task: reasons.Informed, **changes) -> Sweep:
    films = {"start": FILMS_TEST[0], "load": load_movie_tweetings}
    return _informed(parameter, values, task, **films | changes)


def _on_both_logs(
    name: str,
    parameter: str,
    values: tuple[float, ...],
    by: str,
    arms: dict[str, sweeps.Learner] = reasons.INFORMED,
) -> dict[str, Sweep]:
    logs = {"shop": (_informed, reasons.SHOP), "films": (_films, reasons.FILMS)}
    return {
        f"reason_{log}{name}": sweep(parameter, values, task._replace(by=by), arms=arms)
        for log, (sweep, task) in logs.items()
    }


EXPERIMENTS = {
    "baselines_test": Replays(baselines.test, TEST),
    "baselines_tuning": Replays(baselines.tuning, TUNING),
    "ease_ranks": Replays(baselines.ranks, TEST),
    "ablation": Replays(baselines.ablation, TUNING),
    "negatives_test": Replays(negatives.test, TEST, by=("day",)),
    "films_test": Replays(negatives.films, FILMS_TEST, by=("day",), load=load_movie_tweetings),
    "updates_test": Replays(updates.test, TEST, hourly=True, by=("day", "month")),
    "updates_recipe": Replays(updates.recipe, TEST, hourly=True),
    "updates_tuning": Replays(updates.tuning, TUNING, hourly=True),
    "hours_test": Replays(updates.hours_test, TEST, hourly=True, by=("day",)),
    "hours_tuning": Replays(updates.hours_tuning, TUNING, hourly=True),
    "self_supervision_tuning": Replays(self_supervision.tuning, TUNING, shape=True),
    "self_supervision_test": Replays(self_supervision.test, TEST, shape=True),
    "lifted": lifted.Lifted(),
    "subsampled_tuning": Replays(subsampled.tuning, TUNING),
    "subsampled_test": Replays(subsampled.test, TEST),
    "subsampled_in_proportion": Replays(subsampled.in_proportion, TEST),
    "sweep_tuning": Sweep(sweeps.SIMULATED_TRIES, EVENTS, (3.0,), (10, 11), sweeps.simulated),
    "sweep": Sweep(sweeps.SIMULATED, EVENTS, (1.0, 3.0, 10.0, 20.0), SEEDS, sweeps.simulated),
    "sweep_popular": Sweep(sweeps.SIMULATED, EVENTS, (3.0,), SEEDS, sweeps.popular),
    "sweep_real_tuning": Sweep(
        sweeps.REAL_TRIES, "share", (0.1,), (10, 11), sweeps.real_before_april, TUNING[0]
    ),
    "sweep_real": Sweep(sweeps.REAL, "share", (0.03, 0.1), SEEDS, sweeps.real_before_june, TEST[0]),
    "reason_tuning": _informed(
        SHARE,
        (0.1, 1.0),
        reasons.SHOP_TUNING._replace(by="events", even=0.0),
        arms=reasons.TRIES,
        **TRIED,
    ),
    "reason_tuning_slow": _informed(
        QUESTION, (0.0, 1.0), reasons.SHOP_TUNING, arms=reasons.SLOW_TRIES, **TRIED
    ),
    "reason_simulated": Sweep(
        reasons.SIMULATED_ARMS, "share shuffled", (0.0, 0.25, 0.5, 1.0), SEEDS, reasons.shuffled
    ),
    **{
        name: Sweep(reasons.SIMULATED_ARMS, PARTS, values, SEEDS, task)
        for name, (task, values) in reasons.SPLIT.items()
    },
    "reason_simulated_models": Sweep(
        reasons.by_model(reasons.SIMULATED_TERM), EVENTS, (3.0,), SEEDS, sweeps.simulated
    ),
    "reason_simulated_negatives": Sweep(
        reasons.by_negatives(reasons.SIMULATED_TERM), EVENTS, (3.0,), SEEDS, sweeps.simulated
    ),
    **_on_both_logs("", QUESTION, (0.0, 1.0), "even"),
    "reason_shop_again": _informed(QUESTION, (1.0,), reasons.SHOP, seeds=range(5, 10)),
    "reason_shop_events": _informed(SHARE, (0.03, 0.3), reasons.SHOP._replace(by="events")),
    "reason_films_events": _films(SHARE, (0.1, 1.0), reasons.FILMS._replace(by="events")),
    **_on_both_logs("_shuffled", "share shuffled", (0.5, 1.0), "shuffle"),
    **_on_both_logs("_values", PARTS, (4.0,), "parts"),
    **_on_both_logs("_models", QUESTION, (1.0,), "even", reasons.INFORMED_MODELS),
    **_on_both_logs("_negatives", QUESTION, (1.0,), "even", reasons.INFORMED_NEGATIVES),
    "reason_gradients": Gradients(reasons.GRADIENTS, Term("complementary"), SEEDS),
    "reason_films_gradients": Gradients(
        reasons.FILMS_GRADIENTS, Term("complementary"), SEEDS, load_movie_tweetings
    ),
    "index_frontier": index_frontier.Frontier(),
}


def run(
    name: str,
    log: EventLog | None = None,
    seeds: Collection[int] | None = None,
    processes: int = 1,
) -> dict[str, pd.DataFrame]:
    """Run an experiment and return its tables by name.

    A table has a row per arm and seed. Some replays have `name`_by_month and `name`_by_day, of
    events and hits at 100 (see `Replays`); a sweep has `name`_by_pass, the mean of the seeds.

    - `log`: the experiment's own, if none. `seeds`: of those of the experiment; None: all.
    - `processes`: each has runs of its own, on one thread.

    Raises ValueError for a log without the days that the experiment needs.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment '{name}'; the names are those in EXPERIMENTS.")
    log = EXPERIMENTS[name].load() if log is None else log
    return EXPERIMENTS[name].tables(name, log, seeds, processes)
