"""An hour's incremental update and its publishing cost what the hour's events touch: the same for
10⁴ and 10⁶ items.

    python tests/benchmarks/bench_incremental.py [--hours 30] [--share 0.2]

The catalogues take turns, one hour each, so that whatever else the machine does slows all of them
alike; the medians are compared. The hour's events are the same for all; only the catalogue around
them grows. Publishing is an upsert into inverted lists, as `Nominator.update` does it. Exits with 1
if a hundred times the items cost more than `--share` more.
"""

import argparse
import statistics
import time

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.index import FaissIndex
from course_lib.log import EventLog
from course_lib.nomination import Nominator
from course_lib.state import State, new_state

CATALOGUES = (10_000, 100_000, 1_000_000)
EVENTS, USERS = 100, 5_000
MORNING = pd.Timestamp("2020-01-02")


def a_shop(items: int, hours: int) -> EventLog:
    """A day in which every item's fields are learned, and then hours of a hundred events each."""
    rng = np.random.default_rng(0)
    first = pd.DataFrame(
        {"user": rng.integers(USERS, size=2_000), "item": rng.integers(10_000, size=2_000)}
    )
    later = pd.DataFrame(
        {
            "user": rng.integers(USERS, size=EVENTS * hours),
            "item": rng.integers(10_000, size=EVENTS * hours),
        }
    )
    first["time"] = MORNING - pd.Timedelta(hours=12)
    later["time"] = MORNING + pd.to_timedelta(np.arange(EVENTS * hours) // EVENTS, unit="h")
    events = pd.concat([first, later]).drop_duplicates(["user", "item"])
    fields = {
        "item": np.arange(items),
        "listed": MORNING - pd.Timedelta(days=5),
        "colour": np.arange(items) % 30,
        "line": np.arange(items) % 500,
    }
    users = pd.DataFrame({"user": np.arange(USERS), "city": np.arange(USERS) % 40})
    return EventLog.from_frame(events, pd.DataFrame(fields), users)


def a_published_state(log: EventLog) -> tuple[State, Nominator]:
    """A full state that has a row for every item of the catalogue, and serves it."""
    state = full_update(new_state(log), log, MORNING - pd.Timedelta(days=1))
    state.features.items.learn(log.items)
    state.model.grow(
        state.features.items.sizes, state.features.users.sizes, torch.Generator().manual_seed(0)
    )
    state.features.counts.flush(MORNING, len(state.features.items))
    nominator = Nominator(log, lambda version: FaissIndex("ivf", nlist=256))
    nominator.publish(state, MORNING)
    return state, nominator


def measured(hours: int) -> dict[int, dict[str, list[float]]]:
    """Seconds of every hour's update and publishing, by catalogue."""
    shops = {}
    for items in CATALOGUES:
        log = a_shop(items, hours)
        shops[items] = (log, *a_published_state(log))
    times = {items: {"update": [], "publish": []} for items in CATALOGUES}
    for hour in tqdm(range(-3, hours), desc="hours", disable=None):  # the first rounds warm up
        for items, (log, state, nominator) in shops.items():
            start = time.perf_counter()
            time_of = MORNING + pd.Timedelta(hours=max(hour, 0))
            new, touched = incremental_update(state, log, time_of, turn="skip")
            updated = time.perf_counter()
            nominator.update(new, touched)
            if hour >= 0:
                times[items]["update"].append(updated - start)
                times[items]["publish"].append(time.perf_counter() - updated)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=30)
    parser.add_argument(
        "--share", type=float, default=0.2, help="how much more a hundred times the items may cost"
    )
    options = parser.parse_args()
    times, worst, total = measured(options.hours), 1.0, {}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {EVENTS} events an hour")
    for items, parts in times.items():
        update, publish = (1_000 * statistics.median(parts[name]) for name in ("update", "publish"))
        total[items] = 1_000 * statistics.median(map(sum, zip(*parts.values(), strict=True)))
        worst = max(worst, total[items] / total[CATALOGUES[0]])
        print(
            f"{items:>9,} items: update {update:6.2f} ms + publish {publish:6.2f} ms, {total[items] / total[CATALOGUES[0]]:.2f} ×"
        )
    print(
        f"a hundred times the items: at most {worst:.2f} × the time, allowed {1 + options.share:.2f}"
    )
    return int(worst > 1 + options.share)


if __name__ == "__main__":
    raise SystemExit(main())
