"""How fast the towers and public libraries learn: data/results/side_by_side_speed.csv.

    python tests/benchmarks/speed.py [--rounds 3] [--arms "implicit BPR" …]

Every arm learns the same events of Online Retail, those before its test days, with 64 dimensions,
batches of 256 where there are batches, and one thread; all that is counted is CPU time. `whole` is
examples a second of one pass with everything around it, `steps` what a further pass would make it.
The arms take turns, and the median of the rounds is kept. `arithmetic` is the share of our step
that grows with the batch; the rest is the price of a step of any size. `make bench` makes the
libraries' environments.

The ten lines that cost most, of one night's full update and of 300 nominations: side_by_side_profile.csv.
"""

import argparse
import cProfile
import pstats
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import threadpoolctl
import torch
from bench_training_step import a_batch, a_state
from side_by_side import ENVIRONMENTS, HERE, Peer

from course_lib import full_update
from course_lib.files import atomic_write
from course_lib.index import FaissIndex
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.online_retail import TEST, load_online_retail
from course_lib.results import RESULTS, stamp
from course_lib.state import Settings, new_state
from course_lib.towers import RowwiseAdagrad
from course_lib.tuning import RECIPE

PASSES = 4  # how many more passes the steps are taken from
OURS = {
    "ours, plain towers": {},
    "ours, 256 drawn, masked": {"negatives": 256, "mask_bought": True},
    "ours, everything": RECIPE,
}
PEERS = {
    "implicit BPR": ("implicit", "implicit_bpr", {"half_life": 1e9}),
    "LightFM WARP": ("lightfm", "lightfm_warp", {"half_life": 1e9, "window": 10**6, "first": 1}),
    "LibRecommender TwoTower": ("librecommender", "librecommender_two_tower", {}),
    "torch-rechub DSSM": ("torch_rechub", "torch_rechub_dssm", {"batch": 256}),
    "TFRS retrieval": ("tfrs", "tfrs_retrieval", {"batch": 256}),
}


def ours(log: EventLog, settings: dict) -> tuple[float, float]:
    """CPU seconds of one full update over the events, and of its steps alone."""
    steps, step = 0.0, full_update.training_step

    def timed(*arguments) -> float:
        nonlocal steps
        start = time.process_time()
        value = step(*arguments)
        steps += time.process_time() - start
        return value

    state = new_state(log, Settings(**settings))
    days = (pd.Timestamp(TEST[0]) - log.days[0]).days
    full_update.training_step = timed
    try:
        start = time.process_time()
        full_update.full_update(state, log, log.days[0], days=days)
        return time.process_time() - start, steps
    finally:
        full_update.training_step = step


def peers(log: EventLog, environment: str, script: str, options: dict) -> tuple[float, float]:
    """CPU seconds of a fit of one pass, and of a further pass."""
    command = [ENVIRONMENTS / environment / "bin" / "python", HERE / "peers" / f"{script}.py"]
    spent = []
    for passes in (1, 1 + PASSES):
        several = passes if environment in ("implicit", "lightfm") else (passes, passes)
        peer = Peer(log, command, **options | {"passes": several})
        peer.ask(log, pd.Timestamp(TEST[0]), np.zeros(1, int), fit=True)
        spent.append(peer.cpu)
        peer.close()
    return spent[0], (spent[1] - spent[0]) / PASSES


def arithmetic() -> float:
    """The share of a step of 256 events that a step of 8 does not have."""
    settings, taken = Settings(device="cpu"), {8: [], 256: []}
    state = a_state(4_000)
    tables = RowwiseAdagrad(state.model.tables(), settings.embedding_lr)
    batch = a_batch(4_000, "zipf", settings, 0)
    for turn in range(-20, 200):
        for size, times in taken.items():
            start = time.process_time()
            full_update.training_step(state, tables, batch[torch.arange(size)])
            if turn >= 0:
                times.append(time.process_time() - start)
    few, many = (statistics.median(times) for times in taken.values())
    return 1 - few / many


def top_ten(what: str, call) -> list[dict]:
    """The ten functions in which most of the time of `call()` is spent, without what they call."""
    profile = cProfile.Profile()
    profile.runcall(call)
    found = pstats.Stats(profile).stats
    whole = sum(own for _, _, own, _, _ in found.values())
    rows = []
    for (file, _, name), (_, calls, own, _, _) in sorted(found.items(), key=lambda x: -x[1][2])[
        :10
    ]:
        place = f"{Path(file).name}: {name}" if file != "~" else name.strip("<>")
        row = {"what": what, "function": place, "calls": calls, "share": round(own / whole, 3)}
        rows.append(row | stamp())
    return rows


def profiles(log: EventLog) -> pd.DataFrame:
    state = new_state(log, Settings())
    first = log.days[log.days < TEST[0]][-40:]
    for number, day in enumerate(first[:-1]):
        state = full_update.full_update(state, log, day, turn="next" if number else "skip")
    rows = top_ten("full update", lambda: full_update.full_update(state, log, first[-1]))
    nominator = Nominator(log, lambda version: FaissIndex("hnsw"))
    nominator.publish(state, first[-1])
    users = log.users.index[:300].tolist()
    nominator.best(users[0], 100)

    def nominate() -> None:
        for user in users:
            nominator.best(user, 100)

    return pd.DataFrame(rows + top_ten("nomination", nominate))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)  # NumPy's, of the linear part
    log = load_online_retail()
    events = log.rows(end=TEST[0]).stop
    spent, notes = {arm: [] for arm in options.arms}, {}
    for _ in range(options.rounds):
        for arm in options.arms:
            try:
                found = ours(log, OURS[arm]) if arm in OURS else peers(log, *PEERS[arm])
                spent[arm].append(found)
            except RuntimeError as error:  # a library that is not installed has a row that says so
                notes[arm] = str(error)
            print(arm, spent[arm], flush=True)
    rows = []
    for arm, times in spent.items():
        row = {"arm": arm, "examples": events, "note": notes.get(arm, "")}
        if times:
            whole, steps = (statistics.median(taken) for taken in zip(*times, strict=True))
            row |= {"whole": round(events / whole), "steps": round(events / steps)}
        if arm == "ours, plain towers":
            row["arithmetic"] = round(arithmetic(), 2)
        rows.append(row | stamp())
    columns = "arm examples whole steps arithmetic note version date".split()
    tables = {"side_by_side_speed": pd.DataFrame(rows).reindex(columns=columns)}
    tables["side_by_side_profile"] = profiles(log)
    for name, table in tables.items():
        with atomic_write(RESULTS / f"{name}.csv") as path:
            table.to_csv(path, index=False)
        print(table.to_string())


if __name__ == "__main__":
    main()
