"""What chapters 08 to 11 measure of an augmentation: what its views share, what one visible field
gives away, and some seconds of training with its term and without.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.augment import Augmentation, field_names, uniform_items
from course_lib.evaluation import Difference, paired_difference, recall, slices
from course_lib.experiments.self_supervision import PLAIN
from course_lib.experiments.sweeps import REAL, SIMULATED, Asked, Learner
from course_lib.experiments.terms import NAMES
from course_lib.features import Features, index_rows
from course_lib.full_update import full_update, known_items
from course_lib.log import EventLog
from course_lib.online_retail import TEST
from course_lib.simulate import HeldOut, Simulated, held_out, simulate
from course_lib.state import State, new_state

EVENTS, SHARE = 3.0, 0.03  # per simulated item; of the real events


def shown_by(whole: Features, views: tuple[Features, Features]) -> dict[str, float]:
    """Of the values that items have (a bag has several), the share that both views show, one view
    alone, and neither.
    """
    counts = torch.zeros(3)  # by how many views show a value
    for name in field_names(whole):
        times = sum((view[name] > 0).int() for view in views)  # [m] or [m, L]
        counts += torch.bincount(times[whole[name] > 0], minlength=3).cpu()
    neither, one, both = (counts / counts.sum()).tolist()
    return {"both show": both, "one shows": one, "neither": neither}


def what_views_share(
    augments: dict[str, Augmentation],
    states: dict[str, State],
    log: EventLog,
    draws: int = 20,
    m: int = 256,
    among: slice = slice(None),
) -> pd.DataFrame:
    """What two views of an item share, and how often a model matches them: a row for each
    augmentation, the mean of some draws of m items that the first state knows, or of those `among`
    them.

    Columns: those of `shown_by`, and by the name of each state the share of the items whose own
    second view is the nearest of all m to the first (1 / m is chance). The states' towers must get
    fields alone, no purchase counts, as by the settings `PLAIN`.
    """
    known, table = known_items(next(iter(states.values())), log), {}
    known = {name: values[among] for name, values in known.items()}
    for name, augment in augments.items():
        generator, rows = torch.Generator().manual_seed(1), []
        for _ in range(draws):
            whole = index_rows(known, uniform_items(len(known["item"]), m, generator) - 1)
            views = augment(whole, generator)
            matched = {f"matched: {n}": _matched(state, *views) for n, state in states.items()}
            rows.append(shown_by(whole, views) | matched)
        table[name] = pd.DataFrame(rows).mean()
    return pd.DataFrame(table).T


def _matched(state: State, *views: Features) -> float:
    with torch.no_grad():
        first, second = (state.model.item_vectors(view) for view in views)  # [m, d] each
    nearest = (first @ second.T).argmax(1)
    return (nearest == torch.arange(len(first), device=nearest.device)).float().mean().item()


def given_away(items: pd.DataFrame) -> pd.DataFrame:
    """How much one field of items gives another away: a row for each field that is guessed, a
    column for each that is seen.

    In points, 0 to 100: how much more often the guess that was the most common one beside the seen
    value is right than the most common value of all. Learned on a random half of the items, asked
    of the other half, and the other way round: a value that occurs once helps nobody. One value of
    each bag is taken.
    """
    flat = items.reset_index()
    for name in flat.columns[flat.map(lambda value: isinstance(value, list)).any()]:
        bags = enumerate(flat[name])
        flat[name] = [bag[row % len(bag)] if len(bag) else None for row, bag in bags]
    flat = flat.fillna("–")
    half = np.random.default_rng(0).permutation(len(flat)) % 2
    return pd.DataFrame(
        {
            seen: {
                name: 50
                * sum(_guessed(flat[half == h], flat[half != h], name, seen) for h in (0, 1))
                for name in flat
            }
            for seen in flat
        }
    )


def _guessed(learned: pd.DataFrame, asked: pd.DataFrame, name: str, seen: str) -> float:
    common = learned[name].mode()[0]
    if name == seen:
        return 0.0
    best = learned.groupby(seen)[name].agg(lambda values: values.mode()[0])
    guess = asked[seen].map(best).fillna(common)
    return (guess == asked[name]).mean() - (asked[name] == common).mean()


def guessable(points: pd.DataFrame, hidden: Collection[Collection[str]]) -> float:
    """What the most telling visible field gives away of each hidden one, in points: the mean over
    splits, by the fields that the first view hides (and the second shows), either way round.

    - `points`: as `given_away` returns them. Of the ID nothing is asked: a new item's is new.
    """
    found = []
    for one in hidden:
        other = [name for name in points if name not in one]
        for lost, seen in ((one, other), (other, one)):
            asked = [name for name in lost if name != "item"]
            if asked and seen:
                found.append(points.loc[asked, list(seen)].max(axis=1).clip(lower=0).mean())
    return float(np.mean(found))


def with_and_without(
    names: Collection[str], log: EventLog, passes: int = 5, seed: int = 0, progress: bool = True
) -> pd.DataFrame:
    """Train without a term and with each of some terms, some passes over a simulated log and over a
    small part of the real one; about ten seconds, and five more for each term after the first.

    Each arm is as tuned for the sweeps (`sweeps.SIMULATED`, `sweeps.REAL`), and stands at the pass
    that was best for half of the users; the others are asked. A row for each log, measure and term:
    `without`, `with`, and their `difference` with its 95 % interval, `low` … `high`, in which a
    pair is one of `users`. That is what other users would say of these two models, and not what
    another seed would. With two terms, a third row, "second − first", compares them.

    - `names`: in `terms.NAMES`. `log`: the real log. Raises ValueError for another name.
    """
    for name in names:
        if name not in NAMES:
            known = "; ".join(NAMES)
            raise ValueError(f"there is no term '{name}' here; the ones that are: {known}.")
    tasks: dict[str, tuple[Simulated | HeldOut, dict[str, Learner]]] = {
        f"simulated, {EVENTS:g} events per item": (
            simulate(events_per_item=EVENTS, seed=seed),
            SIMULATED,
        ),
        f"real, {SHARE:.0%} of the events": (
            held_out(log, TEST[0], SHARE, days=30, seed=seed),
            REAL,
        ),
    }
    rows, order = {}, ["plain", *names]
    with tqdm(total=2 * (1 + len(names)) * passes, desc="passes", disable=not progress) as bar:
        for title, (task, arms) in tasks.items():
            best = {name: _best(Asked(task), arms[name], passes, seed, bar) for name in order}
            pairs = {name: ("plain", name) for name in names}
            if len(names) == 2:
                pairs["second − first"] = tuple(names)
            for pair, of in pairs.items():
                (first, without), (last, added) = (best[name] for name in of)
                for measure, values in _measures(without, added).items():
                    rows[title, measure, pair] = {"best passes": f"{first}, {last}"} | values
    return pd.DataFrame.from_dict(rows, orient="index")


def _best(
    asked: Asked, learner: Learner, passes: int, seed: int, bar: tqdm
) -> tuple[int, pd.DataFrame]:
    """The pass that is best by the validation users, and the others' result after it."""
    term = learner.term and learner.term.on(asked.log)
    state, best = new_state(asked.log, replace(PLAIN, seed=seed, **learner.changes)), (-1.0, 0)
    for number in range(1, passes + 1):
        state = full_update(state, asked.log, asked.day, term=term, turn="again")
        held = recall(asked.result(state, asked.validation, auc=False), 100)
        if held > best[0]:
            best, chosen = (held, number), state
        bar.update()
    return best[1], asked.result(chosen, ~asked.validation)


def _measures(without: pd.DataFrame, added: pd.DataFrame) -> dict[str, dict[str, float]]:
    tail = (slices(without) == "tail") & without["within_auc"].notna()
    hits = [(result["rank"] <= 100).astype(float) for result in (without, added)]
    aucs = [result.loc[tail, "within_auc"] for result in (without, added)]
    measures = {"R@100": hits, "AUC among tail items": aucs}
    return {measure: _by_user(without["user"], *pair) for measure, pair in measures.items()}


def _by_user(user: pd.Series, without: pd.Series, added: pd.Series) -> dict[str, float]:
    """Means of all events, and their difference: a pair is a user, weighted by its events."""
    users = pd.DataFrame({"without": without, "added": added}).groupby(user)
    means, events = users.mean(), users.size()
    found: Difference = paired_difference(means["added"], means["without"], weights=events)
    return {
        "without": without.mean(),
        "with": added.mean(),
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "users": found.pairs,
    }
