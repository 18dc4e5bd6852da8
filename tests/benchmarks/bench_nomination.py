"""What one user's `best` costs beside the tower pass and the search that it can't do without.

    python tests/benchmarks/bench_nomination.py [--times 4000] [--limit 1.3]

The bare sum: the user network on tensors that are ready, and Faiss's own search for k + the user's
purchases. `nominate` is `best` with a table for people. The bare sum and the call take turns, user
by user, so that whatever else the machine does slows both alike; what is counted is the thread's
own time. Exits with 1 if `best`'s median or 99th percentile is more than `--limit` times the bare
sum's.
"""

import argparse
import time

import faiss
import numpy as np
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
    parser.add_argument("--limit", type=float, default=1.3)
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
        for way in ("best", "nominate"):
            taken = measured(nominator, users, way, options.times, kind)
            ratios = taken[way] / taken["bare"]
            for label, bare, own, ratio in zip(
                ("half", "99 %"), *taken.values(), ratios, strict=True
            ):
                print(f"{kind:5} {label}: {way} {own:.0f} µs, bare {bare:.0f} µs, {ratio:.2f} ×")
            worst = max(worst, ratios.max() if way == "best" else 0)
    print(f"best costs at most {worst:.2f} × the bare sum, allowed {options.limit:.2f}")
    return int(worst > options.limit)


def measured(
    nominator: Nominator, users: np.ndarray, way: str, times: int, kind: str
) -> dict[str, np.ndarray]:
    """Median and 99th percentile, in µs, of the bare sum and of a method of the nominator."""
    version = nominator.version
    log, state, engine = version.log, version.state, version.index._index
    bought = {user: log.bought(user, version.before) for user in users}
    ready = {
        user: state.features.features_of(log, np.array([user]), [bought[user]]) for user in users
    }
    names, params = log.users.index.tolist(), None
    if kind == "hnsw":
        params = faiss.SearchParametersHNSW(efSearch=version.index.ef_search)

    def bare(user: int) -> None:
        with torch.inference_mode():
            vector = state.model.user_vectors(ready[user]).numpy()
        engine.search(vector, K + len(bought[user]), params=params)

    ways = {"bare": bare, way: lambda user: getattr(nominator, way)(names[user], K)}
    found = {"bare": [], way: []}
    for turn in tqdm(range(-200, times), desc=f"{kind}, {way}", disable=None):
        user = users[turn % len(users)]
        for name in [*ways][:: 1 if turn % 2 else -1]:
            start = time.thread_time()
            ways[name](user)
            if turn >= 0:
                found[name].append(1e6 * (time.thread_time() - start))
    return {name: np.quantile(taken, [0.5, 0.99]) for name, taken in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
