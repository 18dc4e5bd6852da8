"""Where the gradient of a self-supervised term goes, and whether it agrees with more data's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from course_lib.experiments.jobs import done
from course_lib.experiments.self_supervision import PLAIN
from course_lib.experiments.sweeps import epochs
from course_lib.experiments.terms import Term
from course_lib.full_update import epoch, known_items, main_loss, make_examples
from course_lib.log import EventLog
from course_lib.losses import self_supervised
from course_lib.online_retail import load_online_retail
from course_lib.results import stamp
from course_lib.simulate import HeldOut, Simulated
from course_lib.state import State

Task = Callable[[EventLog, float, int], HeldOut | Simulated]  # of the log, by a number, by seed
DRAWS = 20


@dataclass(frozen=True)
class Gradients:
    """An experiment: train without a term, and ask after some epochs what the term would change.

    `settings`: by name a task and the number that says how many events it has; there is as well the
    same with ten times as many. `term`: that of all. `after`: the epochs.
    """

    settings: dict[str, tuple[Task, float]]
    term: Term
    seeds: Collection[int]
    load: Callable[[], EventLog] = load_online_retail
    after: tuple[int, ...] = (1, 3, 10)

    def tables(
        self, name: str, log: EventLog, seeds: Collection[int] | None, processes: int
    ) -> dict[str, pd.DataFrame]:
        """A row per setting, seed and epoch: the shares of the squared gradient that fall on each
        part of the model, and the cosines between the gradients.
        """
        chosen = [seed for seed in self.seeds if seeds is None or seed in seeds]
        jobs = [
            partial(_measured, setting, *task, self.term, seed, self.after)
            for (setting, task), seed in product(self.settings.items(), chosen)
        ]
        return {name: pd.concat(done(jobs, log, processes), ignore_index=True).assign(**stamp())}


def _measured(
    setting: str,
    task: Task,
    events: float,
    term: Term,
    seed: int,
    after: tuple[int, ...],
    log: EventLog,
) -> pd.DataFrame:
    small = task(log, events, seed)
    more = of_items(task(log, 10 * events, seed).log, small.log.events["item"])
    term, rows = term.on(small.log), []
    for state, measured in epochs(small, replace(PLAIN, seed=seed), number=max(after)):
        if measured["pass"] in after:
            gradients = {
                "main": main_gradient(state, small.log),
                "more": main_gradient(state, more),
                "term": term_gradient(state, small.log, term),
            }
            row = {"setting": setting, "seed": seed, "pass": measured["pass"]}
            row |= {"events": len(small.log), "more events": len(more)}
            rows.append(row | compared(gradients))
    return pd.DataFrame(rows).round(5)


def of_items(log: EventLog, items: pd.Series) -> EventLog:
    """A log's events of these items alone."""
    events = log.events[log.events["item"].isin(items)].reset_index(drop=True)
    users = log.users[log.users.index.isin(events["user"])]
    return EventLog.from_frame(events, log.items.reset_index(), users.reset_index())


def compared(gradients: dict[str, dict[str, Tensor]]) -> dict[str, float]:
    """Of the main loss and of the term, the share of the squared gradient that falls on each part;
    and the cosines of both with the gradient of more events, over all that items have in common.
    """
    found = {}
    for name in ("main", "term"):
        squares = {part: values.square().sum() for part, values in gradients[name].items()}
        total = sum(squares.values())
        found |= {f"{name} on {part}": float(value / total) for part, value in squares.items()}
    for part in ("fields", "tower"):
        more = gradients["more"][part]
        for name in ("main", "term"):
            cosine = torch.nn.functional.cosine_similarity(gradients[name][part], more, dim=0)
            found[f"{name} with more on {part}"] = float(cosine)
    return found


def main_gradient(state: State, log: EventLog) -> dict[str, Tensor]:
    """Of the mean of the main loss over the events of a log's only day, by `parts`."""
    state, (day,) = copy.deepcopy(state), log.days
    examples = make_examples(state, log, log.rows(day), day, state.generator())
    for step in epoch(state, [examples], True, state.generator()):
        users, items = state.model.user_vectors(step.users), state.model.item_vectors(step.items)
        (main_loss(state, users, items, step) * len(step) / len(examples)).backward()
    return parts(state)


def term_gradient(state: State, log: EventLog, term) -> dict[str, Tensor]:
    """Of the mean of the self-supervised loss over several draws of items, by `parts`."""
    state = copy.deepcopy(state)
    catalogue, generator = known_items(state, log), state.generator()
    for _ in range(DRAWS):
        views = (state.model.item_vectors(view) for view in term.views(catalogue, generator))
        (self_supervised(*views, term.temperature) / DRAWS).backward()
    return parts(state)


def parts(state: State) -> dict[str, Tensor]:
    """The gradients on the item side, each flat: the ID table, the fields' tables, the default rows
    of both, the tower.
    """
    tables = [
        torch.zeros_like(table.weight)
        if table.weight.grad is None
        else table.weight.grad.to_dense()
        for table in state.model.item_tables
    ]
    tower = [
        parameter.grad.flatten()
        for parameter in state.model.item_tower.parameters()
        if parameter.grad is not None
    ]
    return {
        "IDs": tables[0][1:].flatten(),
        "fields": torch.cat([table[1:].flatten() for table in tables[1:]]),
        "defaults": torch.cat([table[0] for table in tables]),
        "tower": torch.cat(tower),
    }
