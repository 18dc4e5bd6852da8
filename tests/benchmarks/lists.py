"""What the default inverted lists cost to build: data/results/lists.csv.

    python tests/benchmarks/lists.py [--rounds 3]

k-means finds √n lists, and each vector is compared with all of them. CPU seconds on one thread, so
that other work on the machine counts little; the medians of the rounds are kept.
"""

import argparse
import statistics
import time

import faiss
import numpy as np
import pandas as pd

from course_lib.files import atomic_write
from course_lib.index import FaissIndex
from course_lib.results import RESULTS, stamp

TABLE = RESULTS / "lists.csv"
CATALOGUES = (10_000, 100_000, 1_000_000)


def measured(rounds: int, catalogues: tuple[int, ...] = CATALOGUES) -> pd.DataFrame:
    faiss.omp_set_num_threads(1)
    rng, taken = np.random.default_rng(0), {items: [] for items in catalogues}
    for _ in range(rounds):
        for items in catalogues:
            vectors = rng.normal(size=(items, 64)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            start = time.process_time()
            FaissIndex("ivf").build(vectors, np.arange(items))
            taken[items].append(time.process_time() - start)
    rows = [
        {
            "items": items,
            "lists": round(items**0.5),
            "cpu_seconds": round(statistics.median(each), 3),
        }
        for items, each in taken.items()
    ]
    return pd.DataFrame(rows).assign(rounds=rounds, **stamp())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    table = measured(parser.parse_args().rounds)
    with atomic_write(TABLE) as path:
        table.to_csv(path, index=False)
    print(table.to_string())


if __name__ == "__main__":
    main()
