"""A training step costs what its batch touches: the same time for 10,000, 100,000 and 1,000,000
items.

    python tests/benchmarks/bench_training_step.py [--steps 200] [--share 0.2]

The catalogues take turns, one step each, so that whatever else the machine does slows all of them
alike; the medians are compared. Items are drawn by Zipf's law, as in a shop, or uniformly, which is
the worst case: hardly a row is in the processor's cache. Exits with 1 if ten times the items cost
more than `--share` more with Zipf's law.
"""

import argparse
import statistics
import time

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.full_update import Examples, training_step
from course_lib.log import EventLog
from course_lib.state import Settings, State, new_state
from course_lib.towers import RowwiseAdagrad

CATALOGUES = (10_000, 100_000, 1_000_000)
BATCHES = 8  # different ones, taken in turns


def a_state(items: int) -> State:
    """A model with the default settings, and that many items; users and the other fields' values
    stay the same.
    """
    log = EventLog.from_frame(
        pd.DataFrame({"user": [1], "item": [1], "time": [pd.Timestamp("2020-01-01")]}),
        pd.DataFrame({"item": [1], "colour": ["red"], "words": [["big"]]}),
        pd.DataFrame({"user": [1], "city": ["Ely"]}),
    )
    state = new_state(log)
    state.model.grow({"item": items, "colour": 30, "words": 2_000}, {"user": 5_000, "city": 40})
    state.model.to(state.settings.device)
    return state


def a_batch(items: int, law: str, settings: Settings, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, items) if law == "zipf" else np.ones(items - 1)
    borders, scattered = (
        share.cumsum() / share.sum(),
        rng.permutation(items - 1) + 1,
    )  # popular rows lie anywhere

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(scattered[np.searchsorted(borders, rng.random(shape))]).to(
            settings.device
        )

    def other(size: int, *shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(1, size, shape)).to(settings.device)

    n, ids = settings.batch_size, draw(settings.batch_size)
    counts = torch.rand(n, len(settings.popularity_half_lives), device=settings.device)
    return Examples(
        users={"user": other(5_000, n), "city": other(40, n), "history": draw(n, settings.history)},
        items={
            "item": ids,
            "colour": other(30, n),
            "words": other(2_000, n, 5),
            "popularity": counts,
        },
        log_q=torch.rand(n, device=settings.device).log(),
        ids=ids,
    )


def measure(law: str, steps: int) -> dict[int, float]:
    """Median milliseconds of a step, by catalogue."""
    states = {items: a_state(items) for items in CATALOGUES}
    tables = {
        items: RowwiseAdagrad(state.model.tables(), state.settings.embedding_lr)
        for items, state in states.items()
    }
    batches = {
        items: [a_batch(items, law, state.settings, seed) for seed in range(BATCHES)]
        for items, state in states.items()
    }
    times = {items: [] for items in CATALOGUES}
    for step in tqdm(range(-BATCHES, steps), desc=law, disable=None):  # the first round warms up
        for items, state in states.items():
            start = time.perf_counter()
            training_step(
                state, tables[items], batches[items][step % BATCHES]
            )  # returns a number: the device has finished
            if step >= 0:
                times[items].append(time.perf_counter() - start)
    return {items: 1_000 * statistics.median(values) for items, values in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--share", type=float, default=0.2, help="how much more ten times the items may cost"
    )
    options = parser.parse_args()
    settings = Settings()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {settings.device}; {settings.batch_size} events a step"
    )
    worst = 0.0
    for law in ("zipf", "uniform"):
        medians = measure(law, options.steps)
        for fewer, more in zip((None, *CATALOGUES), CATALOGUES, strict=False):
            ratio = medians[more] / medians[fewer] if fewer else 1.0
            worst = max(worst, ratio) if law == "zipf" else worst
            against = f", {ratio:.2f} × that of {fewer:,}" if fewer else ""
            print(f"{law:8} {more:>9,} items: {medians[more]:7.2f} ms a step{against}")
    print(
        f"ten times the items: at most {worst:.2f} × the time (Zipf), allowed {1 + options.share:.2f}"
    )
    return int(worst > 1 + options.share)


if __name__ == "__main__":
    raise SystemExit(main())
