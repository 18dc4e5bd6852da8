"""What the peers' scripts share: how they are asked and answer. Needs NumPy alone.

    python SCRIPT OPTIONS ROOM

Both arguments are JSON: the peer's options, and how many different users, items and values of each
field the log has, for libraries whose tables cannot grow. Each line of standard input names a
folder: `ask.npz` in it holds the purchases so far (`user`, `item`: rows; `age`: days), the fields
as indices (`item/colour`: [items] or [items, L], 0 where there is none), which users are `asked`
for, and whether to `fit`. The script writes `answer.npz`: vectors of those users and of the first
items, whose inner products are the scores; then it prints its CPU seconds so far, without imports.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def serve(peer):
    """Answer until standard input ends. `peer(room, **options)` has `fit(data)` and
    `vectors(data)`, which gives [asked, d] and [items, d].
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    started = time.process_time()
    model = peer(json.loads(sys.argv[2]), **json.loads(sys.argv[1]))
    for line in sys.stdin:
        folder = Path(line.strip())
        with np.load(folder / "ask.npz", allow_pickle=False) as file:
            data = dict(file)
        if data["fit"]:
            model.fit(data)
        users, items = (np.asarray(part, np.float32) for part in model.vectors(data))
        np.savez(folder / "answer.npz", users=users, items=items)
        print(time.process_time() - started, file=answers, flush=True)


def spread_alike(users, items):
    """The same order of items, with scores whose mean is 0 and deviation 1/3 for each user."""
    items = items - items.mean(0)
    spread = np.sqrt(np.einsum("ud,de,ue->u", users, items.T @ items / len(items), users))
    return users / np.maximum(3 * spread, 1e-9)[:, None], items


def recent(data, half_life, seed):
    """Rows of the purchases, each drawn with a chance that halves with age."""
    chance = 0.5 ** (data["age"] / half_life)
    return np.flatnonzero(np.random.default_rng([seed, len(chance)]).random(len(chance)) < chance)
