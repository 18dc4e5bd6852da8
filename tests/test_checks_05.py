"""Chapter 05's checks: mistakes beside those in the checks."""

from functools import partial

import pandas as pd
import torch

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY, HOUR
from course_lib.towers import EmbeddingTable, RowwiseAdagrad


def written_through(base, ids, own, asked):
    base[ids[:2]] = own[:2]
    return base[asked.clamp(max=4)]


def adagrad_step(table, squares, rows, gradients, rate):
    """By the library."""
    stepped = EmbeddingTable(table.shape[1])
    stepped.grow(len(table))
    stepped.weight.data[:], stepped.accumulator[:] = table, squares
    gradient = torch.sparse_coo_tensor(rows[None], gradients, table.shape, check_invariants=True)
    stepped.weight.grad = gradient
    RowwiseAdagrad([stepped], rate).step()
    return stepped.weight.data, stepped.accumulator


def assigned(table, squares, rows, gradients, rate):
    table, squares = table.clone(), squares.clone()
    squares[rows] += gradients.square().mean(1)
    table[rows] -= rate * gradients / (squares[rows].sqrt() + 1e-8)[:, None]
    return table, squares


def backward(loss, tables, named):
    loss().backward()
    return [table.grad for table in tables]


def tables_only(loss, tables, named):
    torch.autograd.backward(loss(), inputs=tables)
    return [table.grad for table in tables]


def day_of(state, log, day, send, skip=0, back="night"):
    hourly = state
    for hour in log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique():
        rows = log.rows(hour, hour + HOUR)
        if rows.stop - rows.start > skip:
            hourly, touched = incremental_update(hourly, log, hour, turn="skip")
            send(touched.items[::-1].copy(), hourly.item_vectors(log, touched.items[::-1], hour))
    return {"night": full_update(state, log, day), "hours": hourly, "nothing": 0}[back]


def not_refused(known, shard, now):
    moment = known["time"].iloc[-1] + pd.Timedelta(microseconds=1)
    new = shard.sort_values("time").assign(time=lambda new: new["time"].clip(lower=moment))
    events = pd.concat([known, new], ignore_index=True)
    return events.drop_duplicates(["user", "item"], ignore_index=True)


OWN = {
    "look_up": [(written_through, "argument number 1 in place")],
    "adagrad_step": [
        (adagrad_step, None),
        (assigned, "only its last gradient is left"),
        (lambda *given: adagrad_step(*given)[0], "2 things should come back"),
    ],
    "id_gradients": [
        (backward, "first call the tower is left with a gradient"),
        (tables_only, "first call the table of item IDs is left"),
        (lambda loss, tables, named: torch.autograd.grad(loss(), tables)[0], "2 things should"),
    ],
    "a_day": [
        (day_of, None),
        (partial(day_of, skip=1), "lone event at 11 o'clock"),
        (partial(day_of, skip=9), "is called 0 times"),
        (partial(day_of, back="hours"), "tomorrow's hours would build on today's"),
        (partial(day_of, back="nothing"), "not a int"),
    ],
    "take_in": [(not_refused, "is yet to come")],
}
