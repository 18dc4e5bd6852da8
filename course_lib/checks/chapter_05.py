"""Checks of chapter 05, incremental update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch

from course_lib.checks.examples import events, shop
from course_lib.checks.guard import case, exercise, mistakes, part, parts, refused
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, EventLog
from course_lib.state import State


@exercise("own rows above, the base below, the default for whom neither knows")
def check_look_up(look_up: Callable) -> None:
    """`look_up(base [r, d], ids [t], own [t, d], asked [n]) -> [n, d]`: own rows, or the base's.

    Source: `towers.DeltaTable`; expected values by hand.
    """

    def last_row(base, ids, own, asked):
        rows = base[asked.clamp(max=len(base) - 1)]
        for place, one in enumerate(ids):
            rows[asked == one] = own[place]
        return rows

    wrong = mistakes(
        "Is the row taken where the ID would stand, without asking whether it is there?",
        lambda base, ids, own, asked: own[torch.searchsorted(ids, asked)],
        "Is an ID beyond the table's end taken for the last row? It has the default, row 0.",
        last_row,
        "The own rows are not looked at.",
        lambda base, ids, own, asked: base[asked * (asked < len(base))],
    )
    base, ids = torch.arange(10.0).view(5, 2), torch.tensor([1, 3, 7])
    own, asked = -ids[:, None] * torch.ones(1, 2), torch.tensor([0, 3, 7, 2, 1, 6])
    expected = [[0, 1], [-3, -3], [-7, -7], [4, 5], [-1, -1], [0, 1]]
    what = "The rows of IDs 0, 3, 7, 2, 1, 6 through an delta_table of 1, 3 and 7"
    case(look_up, (base, ids, own, asked), expected, what, wrong)
    what = "The rows of IDs 99, above all that have one, and 3"
    case(look_up, (base, ids, own, torch.tensor([99, 3])), [[0, 1], [-3, -3]], what, wrong)
    what = "Two rows through an delta_table without rows of its own"
    case(look_up, (base, ids[:0], own[:0], asked[:2]), base[[0, 3]], what, wrong)


@exercise("one step size per row, and only named rows move")
def check_adagrad_step(adagrad_step: Callable) -> None:
    """`adagrad_step(table [r, d], squares [r], rows [n], gradients [n, d], rate)`.

    Returns (table [r, d], squares [r]). Source: `towers.RowwiseAdagrad`; expected values by hand.
    """

    def of(
        total=torch.sum, size=torch.mean, root=lambda before, now: now.sqrt() + 1e-8, keep=1, sign=1
    ):
        def step(table, squares, rows, gradients, rate):
            table, squares = table.clone(), keep * squares
            for row in rows.unique():
                gradient = total(gradients[rows == row], dim=0)
                before, squares[row] = squares[row].clone(), squares[row] + size(gradient.square())
                table[row] -= sign * rate * gradient / root(before, squares[row])
            return table, squares

        return step

    def by_place(table, squares, rows, gradients, rate):
        return table, squares.index_add(0, rows, gradients.square().mean(1))

    wrong = mistakes(
        "Is each place squared by itself? First add up the gradients of a row, then square.",
        by_place,
        "Row 1 comes twice, and only its last gradient is left; add them up.",
        of(lambda gradients, dim: gradients[-1]),
        "Are the gradients of a row's places averaged? Add them up.",
        of(torch.mean),
        "Is the square summed over the row's numbers? It is their mean.",
        of(size=torch.sum),
        "Is what the row had before forgotten? The squares add up from step to step.",
        of(keep=0),
        "Is the step divided by the squares? It is by their root.",
        of(root=lambda before, now: now + 1e-8),
        "Is the root that of the squares before this step? Add the new square first.",
        of(root=lambda before, now: before.sqrt() + 1e-8),
        "Does it go with the gradient? Descent goes against it.",
        of(sign=-1),
        "0 divided by 0 is NaN; add 1e-8 to the root.",
        of(root=lambda before, now: now.sqrt()),
    )
    table, squares = torch.arange(10.0).view(5, 2), torch.tensor([0, 0, 0, 0.75, 0])
    gradients = torch.tensor([[1, 0], [0.5, 0.5], [1, 2]])
    given = table, squares, torch.tensor([1, 3, 1]), gradients, 0.1
    new = ("the table", "the squares")
    what, expected = "The squares after a step with rows 1, 3, 1", [0, 4, 0, 1, 0]
    case(adagrad_step, given, expected, what, wrong, of=part(1, *new))
    expected = table - torch.tensor([0, 0.1, 0, 0.05, 0])[:, None]
    what = "The table after a step with rows 1, 3, 1"
    case(adagrad_step, given, expected, what, wrong, of=part(0, *new))
    given, what = (table, squares, torch.tensor([2]), torch.zeros(1, 2), 0.1), "a gradient of 0"
    what = f"The table after {what} for row 2"
    case(adagrad_step, given, table, what, wrong, of=part(0, *new))


@exercise("the rows that the hour names, and nothing else")
def check_id_gradients(id_gradients: Callable) -> None:
    """`id_gradients(loss, tables, named) -> [gradient [rows, d] for each table]`, no `.grad` left.

    0 but in named rows. Source: `updates.id_step`; expected values by hand, from the bilinear loss
    −Σ (user + history) · tower · item.
    """
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    users, tower = torch.tensor([[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]]), torch.diag(torch.ones(2))
    tower[1, 1] = 2
    names = {"tower": tower, "table of item IDs": items, "table of user IDs": users}
    for parameter in names.values():
        parameter.requires_grad_()

    def loss():
        # user 0 had items 1 and 4, and buys 3; user 2 had item 3, and buys 1
        asking = users[[0, 2]] + torch.stack([items[[1, 4]].mean(0), items[3]])  # [2, 2]
        return -((asking @ tower) * items[[3, 1]]).sum()

    def clean(found, call, place):
        for name, parameter in names.items():
            if parameter.grad is not None:
                raise AssertionError(
                    f"After the {call} call the {name} is left with a gradient, which the next "
                    "optimiser will use. Ask torch.autograd.grad for the tables' gradients: it "
                    "writes none."
                )
        return parts(found, "the items' gradient", "the users' gradient")[place]

    of_items = torch.tensor([[0, 0], [-4.0, -2], [0, 0], [-1, -9], [0, 0]])  # 4 in a history alone
    of_users = torch.tensor([[-2.0, 0], [0, 0], [0, -2]])
    through_history = torch.tensor([[0, 0], [-1.0, 0], [0, 0], [0, -2], [0, 0]])
    wrong = mistakes(
        "Row 4 is in a history only; the hour does not name it, so it must stay.",
        lambda loss, tables, named: torch.autograd.grad(loss(), tables),
        "Rows 1 and 3 are named: they get all of their gradient, what came through histories too.",
        lambda *given: (of_items - through_history, of_users),
        "Is it added to the last call's?",
        lambda *given: (of_items, 2 * of_users),
    )
    given = loss, [items, users], [torch.tensor([3, 1]), torch.tensor([0, 2])]
    for call in ("first", "second"):
        for place, right in enumerate((of_items, of_users)):
            what = f"The gradient of the {('item', 'user')[place]} IDs, {call} call"
            of = partial(clean, call=call, place=place)
            case(id_gradients, given, right, what, wrong, of=of)


Send = Callable[[np.ndarray, torch.Tensor], None]


@exercise("hour builds on hour, each is sent, and none outlives the night")
def check_a_day(a_day: Callable[[State, EventLog, pd.Timestamp, Send], State]) -> None:
    """`a_day(state, log, day, send) -> state`: hours learned and sent, the night, hours dropped.

    Source: the chapter's sections "What does the index receive?" and "What is left after a day of
    hours?".
    """
    log, state, day = _three_days()
    sent = []

    def of(morning=False, old=False, night=True):
        def a_day(state, log, day, send):
            hourly = state
            for hour in log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique():
                before = state if morning else hourly
                hourly, touched = incremental_update(before, log, hour, turn="skip")
                send(
                    touched.items,
                    (before if old else hourly).item_vectors(log, touched.items, hour),
                )
            return full_update(state, log, day) if night else state

        return a_day

    def received(_):
        hours = [(np.asarray(items), np.asarray(vectors)) for items, vectors in sent]
        sent.clear()
        if len(hours) == 3:
            raise AssertionError(
                "Four hours had events, and three were sent. The lone event at 11 o'clock has no "
                "gradient, but counted it moves its item's vector, and it is history from now on."
            )
        if len(hours) != 4:
            raise AssertionError(
                f"`send` should be called after 4 hours, and is called {len(hours)} times."
            )
        return [[items[np.argsort(items)], vectors[np.argsort(items)]] for items, vectors in hours]

    def next_morning(found):
        sent.clear()
        if not isinstance(found, State):
            came = type(found).__name__
            raise AssertionError(f"The state of the next morning should come back, not a {came}.")
        if found.full is not None:
            raise AssertionError(
                "That is an incremental state: tomorrow's hours would build on today's. Return "
                "the night's."
            )
        return found.model.state_dict()

    wrong = mistakes(
        "Does each hour start from the morning? It goes on from the hour before.",
        of(morning=True),
        "They are what the index holds already: the vectors before the update.",
        of(old=True),
        "It is the morning's, so the day was not learned; is the night missing?",
        of(night=False),
    )
    given = state, log, day, lambda *given: sent.append(given)
    expected = received(of()(*given))
    case(a_day, given, expected, "The items and vectors sent, hour by hour", wrong, of=received)
    model = dict(next_morning(full_update(state, log, day)))
    case(a_day, given, model, "The next morning's model", wrong, of=next_morning)


@exercise("late is learned now, twice counts once, tomorrow is refused")
def check_take_in(take_in: Callable) -> None:
    """`take_in(known, shard, now) -> events`: frames of `user`, `item`, `time`; by hand.

    ValueError for an event after `now`. Source: `stream.StreamTrainer`.
    """

    def of(late="lifted", sort=True, once=True, resort=False):
        def take_in(known, shard, now):
            last = known["time"].iloc[-1]
            new = shard.sort_values("time") if sort else shard
            new = new[new["time"] > last] if late == "lost" else new
            if late == "lifted":
                new = new.assign(time=new["time"].clip(lower=last + pd.Timedelta(microseconds=1)))
            pairs = pd.MultiIndex.from_frame(new[["user", "item"]])
            new = new[~pairs.isin(pd.MultiIndex.from_frame(known[["user", "item"]]))]
            new = new.drop_duplicates(["user", "item"]) if once else new
            found = pd.concat([known, new], ignore_index=True)
            return found.sort_values("time", ignore_index=True) if resort else found

        return take_in

    wrong = mistakes(
        "Ann's bag of 09:50 came late, and is learned now: give it a time after 10:30.",
        of(late="kept", resort=True),
        "Ann's bag of 09:50 came late and is lost. Give it the first moment after 10:30.",
        of(late="lost"),
        "Ann's bag has kept its time, and the clock goes back. Use the moment after 10:30.",
        of(late="kept"),
        "Is the shard left in the order in which it was written? Sort it by time.",
        of(sort=False),
        "Cem's mug is in the shard twice; it is one purchase.",
        of(once=False),
    )
    known = events("ann mug 01T09:00", "bob bag 01T10:30")
    late = "ann bag 01T09:50", "bob bag 01T10:10", "cem mug 01T10:45", "ann sign 01T10:35"
    shard, now = events("cem mug 01T10:40", *late), pd.Timestamp("2020-01-01 11:00")
    new = "ann bag 01T10:30:00.000001", "ann sign 01T10:35", "cem mug 01T10:40"
    expected = events("ann mug 01T09:00", "bob bag 01T10:30", *new)
    case(take_in, (known, shard, now), expected, "Two known events and a shard of five", wrong)
    case(take_in, (expected, shard, now), expected, "The same shard once more", wrong)
    case(take_in, (known, shard[:0], now), known, "A shard without events", wrong)
    if not refused(take_in, known, shard, pd.Timestamp("2020-01-01 10:42")):
        raise AssertionError(
            "At 10:42 an event of 10:45 is yet to come, and it is taken. Raise ValueError."
        )


def _three_days() -> tuple[EventLog, State, pd.Timestamp]:
    """A shop whose third day has four hours, one of a lone event, with a new user."""
    return shop(
        "ann mug 01T09:00, bob bag 01T09:30, cem sign 01T10:00, ann clock 02T09:00",
        "bob mug 02T10:00, cem bag 02T11:00, ann sign 03T09:05, bob clock 03T09:20",
        "cem mug 03T10:00, dan sign 03T10:30, eve sign 03T11:10, eve mug 03T12:15",
        "dan clock 03T12:45",
    )
