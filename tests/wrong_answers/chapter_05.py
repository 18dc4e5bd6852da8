"""Typical wrong answers to the exercises of chapter 05, each in another exercise, and what they
must cost.
"""

WRONG = {
    "look-up": (
        "takes the row where the ID would stand, and never asks whether it is there",
        """def look_up(base, ids, own, asked):
    rows = base[asked.masked_fill(asked >= len(base), 0)]
    if len(ids):
        place = torch.searchsorted(ids, asked)
        found = place < len(ids)
        rows[found] = own[place[found]]
    return rows
""",
        ["look-up-check", "look-up-hidden"],
    ),
    "adagrad-step": (
        "an indexed assignment, which counts a row that comes twice once",
        """def adagrad_step(table, squares, rows, gradients, rate):
    table, squares = table.clone(), squares.clone()
    squares[rows] += gradients.square().mean(1)
    table[rows] -= rate * gradients / (squares[rows].sqrt() + 1e-8)[:, None]
    return table, squares
""",
        ["adagrad-step-check", "adagrad-step-hidden"],
    ),
    "a-day": (
        "mends the loop, and still hands the hours' state to the next morning",
        """def a_day(state, log, day, send):
    for hour in log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique():
        state, touched = incremental_update(state, log, hour)
        send(touched.items, state.item_vectors(log, touched.items, hour))
    night = full_update(state.full, log, day)
    assert night.full is None
    return state
""",
        ["a-day-check", "a-day-hidden"],
    ),
}
