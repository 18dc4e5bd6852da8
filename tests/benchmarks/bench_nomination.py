"""What one user's `best` costs beside the tower pass and the search that it can't do without.

    python tests/benchmarks/bench_nomination.py [--times 4000] [--limit 1.2]

The bare sum: the user network on tensors that are ready, and Faiss's own search for k + the user's
purchases. `nominate` is `best` with a table for people. The three take turns, user by user, and in
every order, so that whatever else the machine does slows all alike. Exits with 1 if `best`'s median
or 99th percentile is more than `--limit` times the bare sum's.
"""

import argparse
import itertools
import time

import faiss
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.full_update import full_update
from course_lib.index import FaissIndex
from course_lib.nomination import Nominator
from course_lib.online_retail import load_online_retail
from course_lib.state import Settings, new_state

K = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=4_000)
    parser.add_argument("--days", type=int, default=40, help="of training")
    parser.add_argument("--limit", type=float, default=1.2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    log = load_online_retail()
    state = new_state(log, Settings(device="cpu"))
    for day in log.days[: options.days]:
        state = full_update(state, log, day)
    worst = 0.0
    for kind in ("flat", "hnsw"):
        nominator = Nominator(log, lambda version, kind=kind: FaissIndex(kind))
        nominator.publish(state, log.days[options.days])
        users = np.unique(log.user_rows[: nominator.version.before])
        table = measured(nominator, users, options.times, kind)
        ratio = table.div(table["bare"], axis=0)
        for quantile in table.index:
            parts = [
                f"{what} {table.loc[quantile, what]:.0f} µs ({ratio.loc[quantile, what]:.2f} ×)"
                for what in table
            ]
            print(f"{kind:5} {quantile:4}", ", ".join(parts))
        worst = max(worst, ratio["best"].max())
    print(f"best costs at most {worst:.2f} × the bare sum, allowed {options.limit:.2f}")
    return int(worst > options.limit)


def measured(nominator: Nominator, users: np.ndarray, times: int, kind: str) -> pd.DataFrame:
    """Median and 99th percentile, in µs, of the bare sum, `best` and `nominate`."""
    version = nominator.version
    log, state, engine = version.log, version.state, version.index._index
    bought = {user: log.bought(user, version.before) for user in users}
    ready = {
        user: state.features.features_of(log, np.array([user]), [bought[user]]) for user in users
    }
    for user, features in ready.items():
        features["history"] = features["history"][:, : max(1, len(bought[user]))]
    names, params = log.users.index.tolist(), None
    if kind == "hnsw":
        params = faiss.SearchParametersHNSW(efSearch=version.index.ef_search)

    def bare(user: int) -> None:
        with torch.inference_mode():
            vector = state.model.user_vectors(ready[user]).numpy()
        engine.search(vector, K + len(bought[user]), params=params)

    ways = {
        "bare": bare,
        "best": lambda user: nominator.best(names[user], K),
        "nominate": lambda user: nominator.nominate(names[user], K),
    }
    found, orders = {way: [] for way in ways}, itertools.cycle(itertools.permutations(ways))
    for turn in tqdm(range(-200, times), desc=kind, disable=None):
        user = users[turn % len(users)]
        for way in next(orders):
            start = time.thread_time()
            ways[way](user)
            if turn >= 0:
                found[way].append(1e6 * (time.thread_time() - start))
    return pd.DataFrame(found).quantile([0.5, 0.99]).set_axis(["half", "99 %"])


if __name__ == "__main__":
    raise SystemExit(main())
