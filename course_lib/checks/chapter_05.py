"""Checks of the exercises of chapter 05, incremental update."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from course_lib.checks.guard import compare, run
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, EventLog
from course_lib.state import Settings, State, new_state


def check_look_up(look_up: Callable) -> None:
    """`look_up(base [r, d], ids [t], own [t, d], asked [n]) -> [n, d]`: own rows where there are,
    the base's or its default else.

    Source: `towers.DeltaTable`; expected values by hand.
    """
    base, ids = torch.arange(10.0).view(5, 2), torch.tensor([1, 3, 7])
    own, asked = (
        torch.tensor([[-1.0, -1.0], [-3.0, -3.0], [-7.0, -7.0]]),
        torch.tensor([0, 3, 7, 2, 1, 6]),
    )
    found = run(look_up, base, ids, own, asked)
    mistakes = {
        "Is the row taken where the ID would stand, without asking whether it is there?": own[
            [0, 1, 2, 1, 0, 2]
        ],
        "Is an ID beyond the table's end taken for the last row? Somebody new has the default, row 0.": (
            [[0, 1], [-3, -3], [-7, -7], [4, 5], [-1, -1], [8, 9]]
        ),
        "The own rows are not looked at.": base[[0, 3, 0, 2, 1, 0]],
    }
    expected = [[0, 1], [-3, -3], [-7, -7], [4, 5], [-1, -1], [0, 1]]
    compare(
        found,
        expected,
        "The rows of IDs 0, 3, 7, 2, 1, 6 through a delta_table of 1, 3 and 7",
        mistakes,
    )
    above = run(look_up, base, ids, own, torch.tensor([99, 3]))
    compare(above, [[0, 1], [-3, -3]], "The rows of IDs 99, above all that have one, and 3")
    compare(
        run(look_up, base, ids[:0], own[:0], asked[:2]),
        base[[0, 3]],
        "Two rows through a delta table without rows of its own",
    )
    print("✓ look_up: own rows above, the base below, the default for whom neither knows")


def check_adagrad_step(adagrad_step: Callable) -> None:
    """`adagrad_step(table [r, d], squares [r], rows [n], gradients [n, d], rate) -> (table [r, d],
    squares [r])`.

    Source: `towers.RowwiseAdagrad`; expected values by hand.
    """
    table, squares = torch.arange(10.0).view(5, 2), torch.tensor([0, 0, 0, 0.75, 0])
    rows, gradients = torch.tensor([1, 3, 1]), torch.tensor([[1, 0], [0.5, 0.5], [1, 2]])
    new_table, new_squares = _pair(
        run(adagrad_step, table, squares, rows, gradients, 0.1), "the table and the squares"
    )
    mistakes = {
        "Is each place squared by itself? First add up the gradients of a row, then square.": [
            0,
            3,
            0,
            1,
            0,
        ],
        "Row 1 comes twice, and only its last gradient is left; add them up.": [0, 2.5, 0, 1, 0],
        "Are the gradients of a row's places averaged? Add them up.": [0, 1, 0, 1, 0],
        "Is the square summed over the row's numbers? It is their mean.": [0, 8, 0, 1.25, 0],
        "Is what the row had before forgotten? The squares add up from step to step.": [
            0,
            4,
            0,
            0.25,
            0,
        ],
    }
    compare(new_squares, [0, 4, 0, 1, 0], "The squares after a step with rows 1, 3, 1", mistakes)

    def moved(first: float, third: float) -> torch.Tensor:
        return table - torch.tensor([0, first, 0, third, 0])[:, None]

    mistakes = {
        "Is the step divided by the squares? It is by their root.": moved(0.05, 0.05),
        "Is the root that of the squares before this step? Add the new square first.": moved(
            0.2 / 1e-8, 0.05 / 0.75**0.5
        ),
        "Does it go with the gradient? Descent goes against it.": moved(-0.1, -0.05),
    }
    compare(new_table, moved(0.1, 0.05), "The table after a step with rows 1, 3, 1", mistakes)
    still, _ = _pair(
        run(adagrad_step, table, squares, torch.tensor([2]), torch.zeros(1, 2), 0.1),
        "the table and the squares",
    )
    nan = table.clone()
    nan[2] = torch.nan
    compare(
        still,
        table,
        "The table after a gradient of 0 for row 2",
        {"0 divided by 0 is NaN; add 1e-8 to the root.": nan},
    )
    print("✓ adagrad_step: one step size per row, and only named rows move")


def check_id_gradients(id_gradients: Callable) -> None:
    """`id_gradients(loss, tables, named) -> [gradient [rows, d] for each table]`, zero but in named
    rows; no `.grad` is left.

    Source: `updates.id_step`; expected values by hand, from the bilinear loss −Σ (user + history) ·
    tower · item.
    """
    items = torch.tensor(
        [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [0.0, 2.0]], requires_grad=True
    )
    users = torch.tensor([[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]], requires_grad=True)
    tower = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)

    def loss() -> (
        torch.Tensor
    ):  # user 0 had items 1 and 4, and buys 3; user 2 had item 3, and buys 1
        asking = users[[0, 2]] + torch.stack([items[[1, 4]].mean(0), items[3]])  # [2, 2]
        return -((asking @ tower) * items[[3, 1]]).sum()

    tables, named = [items, users], [torch.tensor([3, 1]), torch.tensor([0, 2])]
    whole = torch.tensor([[0, 0], [-4.0, -2], [0, 0], [-1, -9], [-1, 0]])
    of_items, of_users = whole.clone(), torch.tensor([[-2.0, 0], [0, 0], [0, -2]])
    of_items[4] = 0  # named by a history alone
    for call in ("first", "second"):
        found = list(
            _pair(run(id_gradients, loss, tables, named), "a gradient for each of two tables")
        )
        for parameter, name in (
            (tower, "tower"),
            (items, "table of item IDs"),
            (users, "table of user IDs"),
        ):
            if parameter.grad is not None:
                raise AssertionError(
                    f"After the {call} call the {name} is left with a gradient, and whatever optimiser steps next will use it. "
                    "Ask torch.autograd.grad for the tables' gradients: it writes none into parameters."
                )
        mistakes = {
            "Row 4 is in a history only; the hour does not name it, so it must stay.": whole
        }
        direct = torch.tensor([[0, 0], [-3.0, -2], [0, 0], [-1, -7], [0, 0]])
        mistakes[
            "Rows 1 and 3 are named: they get all of their gradient, what came through histories too."
        ] = direct
        compare(found[0], of_items, f"The gradient of the item IDs, {call} call", mistakes)
        compare(
            found[1],
            of_users,
            f"The gradient of the user IDs, {call} call",
            {"Is it added to the last call's?": 2 * of_users},
        )
    print("✓ id_gradients: the rows that the hour names, and nothing else")


Send = Callable[[np.ndarray, torch.Tensor], None]


def check_a_day(a_day: Callable[[State, EventLog, pd.Timestamp, Send], State]) -> None:
    """`a_day(state, log, day, send) -> state`: every hour learned and sent, then the night, and the
    hours dropped.

    Source: the chapter's sections "What the index receives" and "A day of hours, and the discard".
    """
    log, state, day = _three_days()
    sent = []
    found = run(a_day, state, log, day, lambda *given: sent.append(given))
    hours = log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique()
    if len(sent) == len(hours) - 1:
        raise AssertionError(
            "Four hours had events, and three were sent. The lone event at 11 o'clock has no gradient, but it is a purchase all "
            "the same: counted, it moves its item's vector, and it is history from now on."
        )
    if len(sent) != len(hours):
        raise AssertionError(
            f"Four hours had events, so `send` should be called 4 times, and is called {len(sent)} times."
        )
    hourly = state
    for hour, (items, vectors) in zip(hours, sent, strict=True):
        before, alone = hourly, incremental_update(state, log, hour)[0]
        hourly, touched = incremental_update(hourly, log, hour)
        compare(
            sorted(np.asarray(items)),
            sorted(touched.items),
            f"The items sent after {hour:%H} o'clock",
        )
        right, lonely, old = (
            each.item_vectors(log, np.asarray(items), hour) for each in (hourly, alone, before)
        )
        mistakes = {
            "Does each hour start from the morning? It goes on from the hour before.": lonely,
            "They are what the index holds already: the vectors before the update.": old,
        }
        compare(vectors, right, f"The vectors sent after {hour:%H} o'clock", mistakes)
    if not isinstance(found, State):
        raise AssertionError(
            f"The state of the next morning should come back, and it is a {type(found).__name__}."
        )
    if found.full is not None:
        raise AssertionError(
            "What comes back is an incremental state: tomorrow's hours would build on today's. Return what the night made."
        )
    night, found, morning = (
        each.model.state_dict() for each in (full_update(state, log, day), found, state)
    )
    reason = {
        "It is the morning's, so the day was not learned; is the night missing?": morning[
            "item_tower.shortcut.weight"
        ]
    }
    compare(
        found["item_tower.shortcut.weight"],
        night["item_tower.shortcut.weight"],
        "The next morning's item tower",
        reason,
    )
    for name in night:
        compare(found[name], night[name], f"The next morning's {name}")
    print("✓ a_day: hour builds on hour, each is sent, and none outlives the night")


def check_take_in(take_in: Callable) -> None:
    """`take_in(known, shard, now) -> events`: three frames of `user`, `item`, `time`; ValueError
    for an event after `now`.

    Source: `stream.StreamTrainer`; expected values by hand.
    """
    known = _events("ann mug 09:00", "bob bag 10:30")
    shard = _events(
        "cem mug 10:40", "ann bag 09:50", "bob bag 10:10", "cem mug 10:45", "ann sign 10:35"
    )
    now = pd.Timestamp("2020-01-01 11:00")
    found = run(take_in, known, shard, now)
    expected = _events(
        "ann mug 09:00",
        "bob bag 10:30",
        "ann bag 10:30:00.000001",
        "ann sign 10:35",
        "cem mug 10:40",
    )
    mistakes = {
        "Ann's bag of 09:50 came late, and is where its own time puts it. The model learns it now: give it a time after 10:30.": (
            _events(
                "ann mug 09:00", "ann bag 09:50", "bob bag 10:30", "ann sign 10:35", "cem mug 10:40"
            )
        ),
        "Ann's bag of 09:50 came late and is lost. It happened: give it the first moment after 10:30.": (
            _events("ann mug 09:00", "bob bag 10:30", "ann sign 10:35", "cem mug 10:40")
        ),
        "Ann's bag has kept its time, so the clock goes back. Give it the first moment after 10:30.": (
            _events(
                "ann mug 09:00", "bob bag 10:30", "ann bag 09:50", "ann sign 10:35", "cem mug 10:40"
            )
        ),
        "Is the shard left in the order in which it was written? Sort it by time.": (
            _events(
                "ann mug 09:00",
                "bob bag 10:30",
                "cem mug 10:40",
                "ann bag 10:30:00.000001",
                "ann sign 10:35",
            )
        ),
        "Cem's mug is in the shard twice; it is one purchase.": (
            _events(
                "ann mug 09:00",
                "bob bag 10:30",
                "ann bag 10:30:00.000001",
                "ann sign 10:35",
                "cem mug 10:40",
                "cem mug 10:45",
            )
        ),
    }
    compare(found, expected, "Two known events and a shard of five", mistakes)
    compare(run(take_in, expected, shard, now), expected, "The same shard once more")
    compare(run(take_in, known, shard[:0], now), known, "A shard without events")
    try:
        run(take_in, known, shard, pd.Timestamp("2020-01-01 10:42"))
    except AssertionError as error:
        if "ValueError" not in str(error):
            raise
    else:
        raise AssertionError(
            "At 10:42 the shard holds an event of 10:45, and it is taken. Raise ValueError: it is yet to come."
        )
    print("✓ take_in: late is learned now, twice counts once, tomorrow is refused")


def _pair(found: object, what: str) -> tuple:
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise AssertionError(f"Two things should come back, {what}; a {type(found).__name__} came.")
    return tuple(found)


def _events(*lines: str) -> pd.DataFrame:
    events = pd.DataFrame([line.split() for line in lines], columns=["user", "item", "time"])
    return events.assign(
        time=pd.to_datetime("2020-01-01 " + events["time"], format="ISO8601").astype(
            "datetime64[us]"
        )
    )


def _three_days() -> tuple[EventLog, State, pd.Timestamp]:
    """Three days of a shop, a state that has learned two, and the third: four hours, one of a lone
    event, with a new user.
    """
    bought = "01T09:00 ann mug, 01T09:30 bob bag, 01T10:00 cem sign, 02T09:00 ann clock, 02T10:00 bob mug, 02T11:00 cem bag"
    bought += ", 03T09:05 ann sign, 03T09:20 bob clock, 03T10:00 cem mug, 03T10:30 dan sign, 03T11:10 eve sign"
    bought += ", 03T12:15 eve mug, 03T12:45 dan clock"
    events = pd.DataFrame(
        [line.split() for line in bought.split(", ")], columns=["time", "user", "item"]
    )
    events["time"] = pd.to_datetime("2020-01-" + events["time"])
    items = pd.DataFrame(
        {"item": ["mug", "bag", "sign", "clock"], "colour": ["red", "blue", "red", None]}
    )
    log = EventLog.from_frame(
        events, items, pd.DataFrame({"user": ["ann", "bob", "cem", "dan", "eve"]})
    )
    state = new_state(
        log,
        Settings(
            dim=4,
            hidden=4,
            batch_size=4,
            popularity_half_lives=(2.0,),
            history=3,
            field_dropout=0.0,
            device="cpu",
        ),
    )
    for day in log.days[:2]:
        state = full_update(state, log, day)
    return log, state, log.days[2]
