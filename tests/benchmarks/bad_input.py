"""What the course's library and others say to bad input: data/results/bad_input.csv.

    python tests/benchmarks/bad_input.py

An unknown item, an unknown user, a NaN, a day without events, the same day twice: a row per library
and case with what came of it, word for word but for its length. `make bench` makes the libraries'
environments; one that is not there has a row that says so.
"""

import json
import os
import subprocess
import tempfile

import numpy as np
import pandas as pd
from side_by_side import ALONE, ENVIRONMENTS, HERE

from course_lib.files import atomic_write
from course_lib.full_update import full_update
from course_lib.index import FaissIndex
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.results import RESULTS, stamp
from course_lib.state import new_state

PEERS = {
    "implicit": "implicit ALS",
    "lightfm": "LightFM WARP",
    "librecommender": "LibRecommender TwoTower",
    "tfrs": "TFRS retrieval",
    "torch_rechub": "torch-rechub DSSM",
}
DAY = pd.Timestamp("2020-01-01")


def a_log(prices: list | None = None, users: np.ndarray | None = None) -> EventLog:
    """60 users, 40 items of four colours, five days of which the second has no events."""
    rng = np.random.default_rng(0)
    events = pd.DataFrame({"user": rng.integers(60, size=400), "item": rng.integers(40, size=400)})
    events["time"] = DAY + pd.to_timedelta(np.sort(rng.choice([0, 2, 3, 4], 400)), "D")
    events = events.drop_duplicates(["user", "item"])
    if users is not None:
        events["user"] = users[: len(events)]
    names, price = np.arange(40), prices or ["low", "high"] * 20
    described = [f"item {name}" for name in names]
    items = {"item": names, "description": described, "colour": names % 4, "price": price}
    return EventLog.from_frame(events, pd.DataFrame(items), pd.DataFrame({"user": np.arange(60)}))


def nominator() -> Nominator:
    log = a_log()
    state = full_update(new_state(log), log, DAY)
    served = Nominator(log, lambda version: FaissIndex("flat"))
    served.publish(state, DAY + pd.Timedelta(days=1))
    return served


def nan() -> str:
    log = a_log(["low", "high", np.nan, "high"] * 10)
    state = full_update(new_state(log), log, DAY)
    bad = np.mean([np.isnan(part.detach().numpy()).any() for part in state.model.parameters()])
    return f"accepted as a missing value; {bad:.0%} of the learned numbers are NaN"


def twice() -> str:
    log = a_log()
    return str(full_update(full_update(new_state(log), log, DAY), log, DAY))


CASES = {
    "unknown item": lambda: nominator().buy(0, 999),
    "unknown user": lambda: f"answers {nominator().nominate(999, 3)['item'].tolist()}",
    "a NaN": nan,
    "a NaN as an id": lambda: a_log(users=np.where(np.arange(400) == 5, np.nan, 1.0)),
    "an empty day": lambda: full_update(
        new_state(a_log()), a_log(), DAY + pd.Timedelta(days=1), turn="skip"
    ),
    "the same day twice": twice,
}


def ours() -> list[tuple[str, str]]:
    rows = []
    for name, call in CASES.items():
        try:
            rows.append((name, str(call())))
        except ValueError as error:
            rows.append((name, f"ValueError: {error}"))
    return rows


def theirs(environment: str) -> list[tuple[str, str]]:
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        return [("", "no environment; see what make bench says of it")]
    command = [python, HERE / "peers" / "bad_input.py", environment]
    with tempfile.TemporaryDirectory() as folder:
        options = {"capture_output": True, "text": True, "cwd": folder, "env": os.environ | ALONE}
        done = subprocess.run(command, **options)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    found = {"ours": ours()} | {arm: theirs(name) for name, arm in PEERS.items()}
    rows = [
        {"arm": arm, "input": name, "says": says, **stamp()}
        for arm, cases in found.items()
        for name, says in cases
    ]
    table = pd.DataFrame(rows)
    with atomic_write(RESULTS / "bad_input.csv") as path:
        table.to_csv(path, index=False)
    print(table[["arm", "input", "says"]].to_string())


if __name__ == "__main__":
    main()
