"""What one user's `nominate` costs beside the tower pass and the library's search that it can't do
without.

    python tests/benchmarks/bench_nomination.py [--times 2000] [--limit 1.3]

The bare sum: the user network on tensors that are ready, and Faiss's own search for k + the user's
purchases. `best` is `nominate` without the table for people. The three take turns, user by user, so
that whatever else the machine does slows all alike. Exits with 1 if `nominate`'s median or 99th
percentile is more than `--limit` times the bare sum's.
"""

import argparse
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
    parser.add_argument("--times", type=int, default=2_000)
    parser.add_argument("--limit", type=float, default=1.3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    log = load_online_retail()
    state = new_state(log, Settings(device="cpu"))
    for day in log.days[:40]:
        state = full_update(state, log, day)
    worst = 0.0
    for kind in ("flat", "hnsw"):
        nominator = Nominator(log, lambda version, kind=kind: FaissIndex(kind))
        nominator.publish(state, log.days[40])
        version, bare_index = nominator.version, nominator.version.index._index
        if kind == "hnsw":
            bare_index.hnsw.efSearch = version.index.ef_search
        users = np.unique(log.user_rows[: version.before])
        bought = {user: log.bought(user, version.before) for user in users}
        ready = {
            user: state.features.features_of(log, np.array([user]), [bought[user]])
            for user in users
        }
        found = {"bare": [], "best": [], "nominate": []}
        for turn in tqdm(range(-200, options.times), desc=kind, disable=None):
            user = users[turn % len(users)]
            name = log.users.index[user]
            times = [time.perf_counter()]
            with torch.inference_mode():
                vector = state.model.user_vectors(ready[user]).numpy()
            bare_index.search(vector, K + len(bought[user]))
            times.append(time.perf_counter())
            nominator.best(name, K)
            times.append(time.perf_counter())
            nominator.nominate(name, K)
            times.append(time.perf_counter())
            if turn >= 0:
                for what, taken in zip(found, np.diff(times), strict=True):
                    found[what].append(1e6 * taken)
        table = pd.DataFrame(found).quantile([0.5, 0.99])
        ratio = table.div(table["bare"], axis=0)
        for quantile, label in ((0.5, "median"), (0.99, "p99")):
            parts = [
                f"{what} {table.loc[quantile, what]:.0f} µs ({ratio.loc[quantile, what]:.2f} ×)"
                for what in found
            ]
            print(f"{kind:5} {label:7}", ", ".join(parts))
        worst = max(worst, ratio["nominate"].max())
    print(f"nominate costs at most {worst:.2f} × the bare sum, allowed {options.limit:.2f}")
    return int(worst > options.limit)


if __name__ == "__main__":
    raise SystemExit(main())
