"""What a hundred times the items cost: data/results/growth.csv.

    python tests/benchmarks/growth.py [--hours 30] [--times 300]

A row per measure and catalogue, and in `slope` how the measure grows with the catalogue: the
slope of its logarithm over that of the items, 0 for what does not grow and 1 for what grows as they
do. What is timed takes turns, so that whatever else the machine does slows all catalogues alike.
"""

import argparse
import statistics
import time

import bench_incremental
import bench_training_step
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.files import atomic_write
from course_lib.index import FaissIndex
from course_lib.nomination import Nominator
from course_lib.results import RESULTS, stamp

TABLE = RESULTS / "growth.csv"
CATALOGUES, K = bench_incremental.CATALOGUES, 100
ENGINES = {"flat": {"kind": "flat"}, "IVF": {"kind": "ivf", "nlist": 256}, "HNSW": {"kind": "hnsw"}}


def training(steps: int) -> dict[str, dict[int, float]]:
    return {"training step, ms": bench_training_step.measure("zipf", steps)}


def hours(count: int) -> dict[str, dict[int, float]]:
    times = bench_incremental.measured(count)
    return {
        f"incremental {name}, ms": {
            items: 1_000 * statistics.median(parts[name]) for items, parts in times.items()
        }
        for name in ("update", "publish")
    }


def serving(times: int) -> dict[str, dict[int, float]]:
    """Memory, a full publish and a nomination, each from one state per catalogue."""
    found, shops = {}, {}
    for items in CATALOGUES:
        log = bench_incremental.a_shop(items, 1)
        state, _ = bench_incremental.a_published_state(log)
        shops[items] = log, state
        tensors = [*state.model.parameters(), *state.model.buffers()]
        size = sum(tensor.nbytes for tensor in tensors) / 2**20
        found.setdefault("tables, MiB", {})[items] = size
    for name, settings in ENGINES.items():
        served = {}
        for items, (log, state) in shops.items():
            served[items] = Nominator(log, lambda version, own=settings: FaissIndex(**own))
            start = time.perf_counter()
            served[items].publish(state, bench_incremental.MORNING)
            spent = time.perf_counter() - start
            found.setdefault(f"full publish, {name}, s", {})[items] = spent
        taken = {items: [] for items in CATALOGUES}
        for turn in tqdm(range(-20, times), desc=name, disable=None):
            for items, nominator in served.items():
                user = shops[items][0].users.index[(turn + 20) % bench_incremental.USERS]
                start = time.perf_counter()
                nominator.best(user, K)
                if turn >= 0:
                    taken[items].append(1_000 * (time.perf_counter() - start))
        for label, share in (("median", 0.5), ("99th percentile", 0.99)):
            quantiles = {items: float(np.quantile(taken[items], share)) for items in CATALOGUES}
            found[f"nomination, {name}, {label}, ms"] = quantiles
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=30)
    parser.add_argument("--times", type=int, default=300, help="nominations, and training steps")
    options = parser.parse_args()
    found = training(options.times) | hours(options.hours) | serving(options.times)
    rows, threads = [], torch.get_num_threads()
    for measure, values in found.items():
        slope = np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0]
        for items, value in values.items():
            row = {"measure": measure, "items": items, "value": round(value, 3)}
            rows.append(row | {"slope": round(slope, 2), "threads": threads, **stamp()})
    table = pd.DataFrame(rows)
    with atomic_write(TABLE) as path:
        table.to_csv(path, index=False)
    print(table.pivot_table("value", "measure", "items", sort=False).to_string())


if __name__ == "__main__":
    main()
