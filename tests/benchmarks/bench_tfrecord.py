"""Shards of the real log on one core: events a second written and read; memory; TensorFlow beside
it.

    [COURSE_TENSORFLOW_PYTHON=/path/to/python] python tests/benchmarks/bench_tfrecord.py [--rounds
    5] [--least 20000]

Seconds are the process's own (CPU time, one thread), so that what else the machine does counts
little; the rounds take turns, and of each task the median and the fastest round are shown.
TensorFlow, in a Python of its own, reads the same shards with TFRecordDataset and parse_example:
strings as strings. Exits with 1 if the fastest round of writing or reading the day shards has fewer
than `--least` events a second.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from course_lib.features import Encoder
from course_lib.log import EventLog
from course_lib.online_retail import load_online_retail
from course_lib.tfrecord import event_frame, read, records, write, write_records, write_shards

WITH_TENSORFLOW = Path(__file__).parent.parent / "fixtures" / "with_tensorflow.py"
TENSORFLOW = os.environ.get("COURSE_TENSORFLOW_PYTHON")


def consumed(stream: Iterable) -> None:
    for _ in stream:
        pass


def seconds(task: Callable[[], object]) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def tensorflow_seconds(folder: Path) -> float:
    """CPU seconds for all events of the folder, its imports not counted."""
    done = subprocess.run(
        [TENSORFLOW, WITH_TENSORFLOW, "time", folder], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["seconds"]


def speeds(log: EventLog, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Events a second of every round, by task."""
    frame = event_frame(log, slice(len(log)))
    days, hours = write_shards(log, folder / "day"), write_shards(log, folder / "hour", "hour")
    tasks = {
        "write day shards": lambda: write_shards(log, folder / "day"),
        "write one table of all events": lambda: write(folder / "all", frame),
        "write hour shards": lambda: write_shards(log, folder / "hour", "hour"),
        "records of day shards (frames, CRCs)": lambda: [consumed(records(path)) for path in days],
        "read day shards": lambda: consumed(read(*days)),
        "read day shards, one by one": lambda: [consumed(read(path)) for path in days],
        "read hour shards": lambda: consumed(read(*hours)),
    }
    times = {name: [] for name in tasks} | (
        {"TensorFlow reads day shards into tensors": []} if TENSORFLOW else {}
    )
    for _ in tqdm(range(rounds), disable=None):
        for name, task in tasks.items():
            times[name].append(seconds(task))
        if TENSORFLOW:
            times["TensorFlow reads day shards into tensors"].append(
                tensorflow_seconds(folder / "day")
            )
    return {name: [len(log) / value for value in values] for name, values in times.items()}


def peak(task: Callable[[], object]) -> float:
    """MB of Python's memory that the task needs at most."""
    tracemalloc.start()
    task()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def memory(log: EventLog, folder: Path) -> None:
    """Peak memory against the size of one file of some weeks or months."""
    print(f"\n{'one file of':>12} {'records':>9} {'read 1,000':>11} {'read 10,000':>12}", end="")
    print("   (MB at most, by buffer)")
    for end in ("2011-01-05", "2011-04-01", "2011-12-10"):
        path = folder / f"{end}.tfrecord"
        write_records(
            path,
            (record for day in write_shards(log, folder / end, end=end) for record in records(day)),
        )
        tasks = [records(path), read(path, buffer=1_000), read(path, buffer=10_000)]
        frames, small, large = (peak(partial(consumed, task)) for task in tasks)
        print(f"{path.stat().st_size / 1e6:9.1f} MB {frames:9.1f} {small:11.1f} {large:12.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--least", type=int, default=20_000, help="events a second")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    log = load_online_retail()
    fields = [*Encoder(log.items).vocabularies, *Encoder(log.users).vocabularies]
    print(f"{len(log):,} events, each with {', '.join(fields)}, time, listed, description")
    with tempfile.TemporaryDirectory() as folder:
        measured = speeds(log, Path(folder), options.rounds)
        for name, values in measured.items():
            middle, best = statistics.median(values), max(values)
            print(f"{name:42} {middle:>9,.0f} events/s, fastest {best:>9,.0f}")
        if TENSORFLOW:
            theirs = statistics.median(measured["TensorFlow reads day shards into tensors"])
            for name in ("records of day shards (frames, CRCs)", "read day shards"):
                print(
                    f"{name}: {statistics.median(measured[name]) / theirs:.2f} × TensorFlow's speed"
                )
        memory(log, Path(folder))
    wanted = ("write day shards", "read day shards")
    return int(min(max(measured[name]) for name in wanted) < options.least)


if __name__ == "__main__":
    raise SystemExit(main())
