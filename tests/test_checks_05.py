"""The checks of chapter 05's exercises: right answers pass, and each typical mistake gets its
sentence.
"""

import pandas as pd
import pytest
import torch

from course_lib.checks import chapter_05
from course_lib.full_update import full_update
from course_lib.incremental_update import DeltaTable, incremental_update
from course_lib.log import DAY, HOUR
from course_lib.towers import EmbeddingTable, RowwiseAdagrad

FIRST_MOMENT = pd.Timedelta(microseconds=1)


def refused(check, answer, reason):
    with pytest.raises(AssertionError, match=f"(?s){reason}.*[?.]$"):
        check(answer)


def look_up(base, ids, own, asked):
    """By the library's delta_table, which is asked for no ID that nobody knows."""
    table = EmbeddingTable(base.shape[1])
    table.grow(len(base))
    table.weight.data[:] = base
    unknown = (asked >= len(base)) & ~torch.isin(asked, ids)
    return (
        DeltaTable(table, ids, own, torch.zeros(len(ids)))
        .rows(asked.masked_fill(unknown, 0))
        .detach()
    )


def no_comparison(base, ids, own, asked):
    return own[torch.searchsorted(ids, asked)]


def last_row(base, ids, own, asked):
    rows = base[asked.clamp(max=len(base) - 1)]
    for place, one in enumerate(ids.tolist()):
        rows[asked == one] = own[place]
    return rows


def written_through(base, ids, own, asked):
    base[ids[:2]] = own[:2]
    return look_up(base, ids, own, asked)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no_comparison, "without asking whether it is there"),
        (last_row, "the last row.* the default, row 0"),
        (
            lambda base, ids, own, asked: look_up(base, ids[:0], own[:0], asked),
            "own rows are not looked at",
        ),
        (written_through, "argument number 1 in place"),
    ],
)
def test_look_up(answer, reason, capsys):
    chapter_05.check_look_up(look_up)
    assert capsys.readouterr().out.startswith("✓ look_up")
    refused(chapter_05.check_look_up, answer, reason)


def adagrad_step(table, squares, rows, gradients, rate):
    stepped = EmbeddingTable(table.shape[1])
    stepped.grow(len(table))
    stepped.weight.data[:], stepped.accumulator[:] = table, squares
    stepped.weight.grad = torch.sparse_coo_tensor(
        rows[None], gradients, table.shape, check_invariants=True
    )
    RowwiseAdagrad([stepped], rate).step()
    return stepped.weight.data, stepped.accumulator


def by_hand(
    table,
    squares,
    rows,
    gradients,
    rate,
    total=torch.sum,
    size=torch.mean,
    old=False,
    root=torch.sqrt,
    epsilon=1e-8,
):
    table, squares, before = table.clone(), squares.clone(), squares
    for row in rows.unique():
        gradient = total(gradients[rows == row], dim=0)
        squares[row] += size(gradient.square())
        table[row] -= rate * gradient / (root((before if old else squares)[row]) + epsilon)
    return table, squares


def assigned(table, squares, rows, gradients, rate):
    table, squares = table.clone(), squares.clone()
    squares[rows] += gradients.square().mean(1)
    table[rows] -= rate * gradients / (squares[rows].sqrt() + 1e-8)[:, None]
    return table, squares


def place_by_place(table, squares, rows, gradients, rate):
    squares = squares.index_add(0, rows, gradients.square().mean(1))
    return table.index_add(0, rows, gradients / squares[rows].sqrt()[:, None], alpha=-rate), squares


def switched(**switches):
    return lambda table, squares, rows, gradients, rate: by_hand(
        table, squares, rows, gradients, rate, **switches
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (assigned, "only its last gradient is left"),
        (place_by_place, "each place squared by itself"),
        (switched(total=torch.mean), "averaged"),
        (switched(size=torch.sum), "It is their mean"),
        (
            lambda table, squares, *given: by_hand(table, 0 * squares, *given),
            "what the row had before forgotten",
        ),
        (switched(root=lambda square: square), "by their root"),
        (switched(old=True), "squares before this step"),
        (lambda *given: by_hand(*given[:-1], -given[-1]), "Descent goes against it"),
        (switched(epsilon=0), "0 divided by 0"),
        (lambda *given: by_hand(*given)[0], "Two things should come back"),
    ],
)
def test_adagrad_step(answer, reason):
    chapter_05.check_adagrad_step(adagrad_step)
    chapter_05.check_adagrad_step(by_hand)
    refused(chapter_05.check_adagrad_step, answer, reason)


def masked(gradients, named):
    return [
        torch.where(torch.isin(torch.arange(len(g)), ids)[:, None], g, 0)
        for g, ids in zip(gradients, named, strict=True)
    ]


def backward(loss, tables, named):
    loss().backward()
    return [table.grad for table in tables]


def tables_only(loss, tables, named):
    torch.autograd.backward(loss(), inputs=tables)
    return masked([table.grad for table in tables], named)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (backward, "first call the tower is left with a gradient"),
        (tables_only, "first call the table of item IDs is left"),
        (lambda loss, tables, named: torch.autograd.grad(loss(), tables), "in a history only"),
        (
            lambda loss, tables, named: torch.autograd.grad(loss(), tables)[0],
            "Two things should come back",
        ),
    ],
)
def test_id_gradients(answer, reason):
    chapter_05.check_id_gradients(
        lambda loss, tables, named: masked(torch.autograd.grad(loss(), tables), named)
    )
    refused(chapter_05.check_id_gradients, answer, reason)


def day_of(state, log, day, send, skip=0, from_morning=False, old=False, back="night"):
    morning = hourly = state
    for hour in log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique():
        rows = log.rows(hour, hour + HOUR)
        if rows.stop - rows.start > skip:
            before = morning if from_morning else hourly
            hourly, touched = incremental_update(before, log, hour)
            send(touched.items, (before if old else hourly).item_vectors(log, touched.items, hour))
    return {
        "night": full_update(morning, log, day),
        "hours": hourly,
        "morning": morning,
        "nothing": 0,
    }[back]


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"skip": 1}, "lone event at 11 o'clock"),
        ({"skip": 9}, "is called 0 times"),
        ({"from_morning": True}, "Does each hour start from the morning"),
        ({"old": True}, "what the index holds already"),
        ({"back": "hours"}, "tomorrow's hours would build on today's"),
        ({"back": "morning"}, "is the night missing"),
        ({"back": "nothing"}, "it is a int"),
    ],
)
def test_a_day(switches, reason):
    chapter_05.check_a_day(day_of)
    refused(chapter_05.check_a_day, lambda *given: day_of(*given, **switches), reason)


def take_in(
    known, shard, now, sort=True, lift=True, keep_late=True, once=True, refuse=True, resort=False
):
    if refuse and (shard["time"] > now).any():
        raise ValueError("yet to come")
    last = known["time"].iloc[-1]
    new = shard.sort_values("time") if sort else shard
    new = new if keep_late else new[new["time"] > last]
    new = new.assign(time=new["time"].clip(lower=last + FIRST_MOMENT)) if lift else new
    had = set(zip(known["user"], known["item"], strict=True))
    new = new[[pair not in had for pair in zip(new["user"], new["item"], strict=True)]]
    new = new.drop_duplicates(["user", "item"]) if once else new
    found = pd.concat([known, new], ignore_index=True)
    return found.sort_values("time", ignore_index=True) if resort else found


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"lift": False, "resort": True}, "is where its own time puts it"),
        ({"lift": False}, "the clock goes back"),
        ({"keep_late": False}, "is lost"),
        ({"sort": False, "resort": False}, "Sort it by time"),
        ({"once": False}, "in the shard twice"),
        ({"refuse": False}, "it is yet to come"),
    ],
)
def test_take_in(switches, reason):
    chapter_05.check_take_in(take_in)
    refused(chapter_05.check_take_in, lambda *given: take_in(*given, **switches), reason)
