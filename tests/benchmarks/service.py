"""The service under load, while hours are learned and versions change: data/results/service.csv.

    python tests/benchmarks/service.py [--seconds 60] [--connections 1 8 64]

wrk asks for 100 nominations again and again, over one connection or several at once, each of which
waits for its answer. This process is the trainer: every second it learns an hour of Online Retail's
test days, and publishes a version when a day is over. Beside wrk, one client asks at its leisure,
and its answers are compared with a search through all items by the version that they name: one
that differs is `mixed`. `versions` and `states` (a version, and what hours it has learned) are
those that wrk has seen. `cpu_ms` is what the service spends for each request, learning the hours
included. All share one machine: `load` is how many processes wanted to run, by its own average over
the last minute, when a row was done.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from helpers import before  # noqa: E402
from shop import Client, Truth, open_shop, service  # noqa: E402

from course_lib import tfrecord  # noqa: E402
from course_lib.files import atomic_write  # noqa: E402
from course_lib.full_update import full_update  # noqa: E402
from course_lib.log import DAY, EventLog  # noqa: E402
from course_lib.online_retail import TEST, load_online_retail  # noqa: E402
from course_lib.results import RESULTS, stamp  # noqa: E402
from course_lib.state import Settings, new_state  # noqa: E402
from course_lib.stream import StreamTrainer  # noqa: E402

K, PAUSE = 100, 0.05  # seconds between two answers that are checked


def wrk(port: int, connections: int, seconds: int, users: list) -> dict:
    """What service.lua says at the end."""
    load = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    script = ["-s", str(HERE / "service.lua"), f"http://127.0.0.1:{port}", "--", *map(str, users)]
    done = subprocess.run(["wrk", *load, *script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def learn(trainer: StreamTrainer, hours: list[Path], stop: threading.Event) -> None:
    """An hour every second, until it is time to stop; `hours` loses those that were learned."""
    while not stop.wait(1):
        path = hours.pop(0)
        path.rename(trainer.shards.folder / path.name)
        trainer.poll(pd.to_datetime(path.stem))


def sample(port: int, users: list, stop: threading.Event, found: list) -> None:
    ask, draw = Client(port), np.random.default_rng(0)
    while not stop.wait(PAUSE):
        user = users[draw.integers(len(users))]
        found.append((user, *ask("/nominate", {"user": user, "k": K})))


def mixed(found: list, truths: dict[tuple, Truth]) -> int:
    """How many answers are not those of the version that they name."""
    keys = ((answer.get("version"), answer.get("learned_until")) for *_, answer in found)
    return sum(
        key not in truths or truths[key].wrong(user, K, answer) is not None
        for key, (user, _, answer) in zip(keys, found, strict=True)
    )


def measured(
    process: psutil.Process,
    port: int,
    trainer: StreamTrainer,
    hours: list[Path],
    connections: int,
    seconds: int,
) -> dict:
    """A row of the table."""
    users, stop, found = trainer.log.users.index[:2_000].tolist(), threading.Event(), []
    left, spent = len(hours), sum(process.cpu_times()[:2])
    with ThreadPoolExecutor(2) as pool:
        beside = [
            pool.submit(learn, trainer, hours, stop),
            pool.submit(sample, port, users, stop, found),
        ]
        try:
            said = wrk(port, connections, seconds, users)
            spent = sum(process.cpu_times()[:2]) - spent
        finally:
            stop.set()
    for part in beside:
        part.result()  # raises what it raised
    said["failed"] += sum(status != 200 for _, status, _ in found)
    truths, cpu = trainer.nominator.truths, 1000 * spent / (said["requests"] + len(found))
    row = {"connections": connections, "seconds": seconds, "hours": left - len(hours)}
    row |= said | {"checked": len(found), "mixed": mixed(found, truths)}
    return row | {"cpu_ms": round(cpu, 1), "load": round(os.getloadavg()[0], 1)} | stamp()


def shop(folder: Path, whole: EventLog, start: pd.Timestamp) -> StreamTrainer:
    """A trainer that has learned the ten days before `start`."""
    log = before(whole, start)
    state = new_state(log, Settings(device="cpu"))
    for number, day in enumerate(log.days[-10:]):
        state = full_update(state, log, day, turn="next" if number else "skip")
    return open_shop(folder, log, state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print(
            "wrk is not here, so the service is not measured: install it (Debian has it), then run this again."
        )
        return
    torch.set_num_threads(1)
    whole, start, rows = load_online_retail(), pd.Timestamp(TEST[0]), []
    with tempfile.TemporaryDirectory() as folder:
        trainer = shop(Path(folder), whole, start)
        enough = start + 30 * DAY
        hours = tfrecord.write_shards(whole, Path(folder) / "hours", "hour", start, enough)
        with service(Path(folder)) as (process, port):
            for connections in options.connections:
                time.sleep(2)
                row = measured(
                    psutil.Process(process.pid), port, trainer, hours, connections, options.seconds
                )
                rows.append(row)
                print(row, flush=True)
    with atomic_write(RESULTS / "service.csv") as path:
        pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    main()
