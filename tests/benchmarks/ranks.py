"""What two ranks are worth: data/results/ranks.csv, ranks_by_day.csv and ranks_speed.csv.

    python tests/benchmarks/ranks.py [--only speed|negatives] [--rounds 3] [--seeds 0 1 2]

`negatives`: R@100 on Online Retail's tuning days of batches of 256 on one rank, and of 256 on each of
two, whose users meet the items of both ranks or of their own rank alone. Two ranks give what one
process gives with the whole batch (tests/test_distributed.py), so each arm is run in one process.

`speed`: one full update over 30 days, by one process and by two ranks with the same global batch, in
turns, so that whatever else the machine does slows both. `one_…` and `two_…` are ms a step,
`threads_…` those of one process with two threads, which sends no messages, and `half_…` those of one
process with half the batch, which is what two ranks would need if they had nothing to say to each
other; `wall` is by the clock, `cpu` the CPU time of the slower rank. The medians of the rounds are
kept. `speedup_…` is one / two; `bound_…` is one / half, the most that two ranks can reach.
"""

import argparse
import os
import socket
import statistics
import sys
import time
from collections import defaultdict

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

from course_lib import distributed, full_update
from course_lib.experiments.replays import Replays, nightly
from course_lib.files import atomic_write
from course_lib.losses import in_batch_softmax
from course_lib.online_retail import TUNING, load_online_retail
from course_lib.results import RESULTS, against, against_by_day, stamp
from course_lib.state import Settings, new_state

BATCHES = (512, 1024, 2048, 8192)  # of all ranks together
LEARNED, DAYS = 60, 30  # days before, and days of the update that is timed


def own_negatives(
    users: Tensor, items: Tensor, log_q: Tensor, ids: Tensor, temperature: float
) -> Tensor:
    """The loss of two ranks that gather nothing: the mean of both halves' own."""
    halves = zip(*(side.chunk(2) for side in (users, items, log_q, ids)), strict=True)
    return sum(in_batch_softmax(*half, temperature) for half in halves) / 2


def runs(seeds: list[int]):
    yield from nightly("one rank, 256", seeds=seeds, batch_size=256)
    yield from nightly("two ranks, own negatives", seeds=seeds, batch_size=512, loss=own_negatives)
    yield from nightly("two ranks, gathered", seeds=seeds, batch_size=512)


def negatives(seeds: list[int]) -> None:
    log = load_online_retail()
    tables = Replays(lambda: runs(seeds), TUNING, by_day=True).tables("ranks", log, None, 1)
    for name, table in tables.items():
        write(name, table)
    for other in ("one rank, 256", "two ranks, own negatives"):
        print("two ranks, gathered, against", other)
        print("    over seeds", against(tables["ranks"], "two ranks, gathered", other))
        print("    over days", against_by_day(tables["ranks_by_day"], "two ranks, gathered", other))


def timed(epoch, spent: list[tuple[float, float, int]]):
    """An epoch that notes how long its steps took, by the clock and of the CPU, and how many."""

    def noted(*arguments):
        start, steps = (time.perf_counter(), time.process_time()), 0
        for step in epoch(*arguments):
            yield step
            steps += 1
        spent.append((time.perf_counter() - start[0], time.process_time() - start[1], steps))

    return noted


def of_a_rank(rank: int, port: int, rounds: int, batches: tuple[int, ...], answers) -> None:
    """Rank 0 alone with the whole batch, with two threads, and with half of it, then both ranks."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    log, spent = load_online_retail(), []
    distributed.epoch, full_update.epoch = (timed(full_update.epoch, spent) for _ in range(2))
    state = new_state(log, Settings(device="cpu"))
    for day in log.days[:LEARNED]:
        state = full_update.full_update(state, log, day)
    days = {"days": (log.days[LEARNED + DAYS] - log.days[LEARNED]).days}
    found = defaultdict(list)
    with distributed.ranks(1_800, "cpu"):
        for _ in range(rounds):
            for batch in batches:
                sizes = {"one": batch, "threads": batch, "half": batch // 2, "two": batch}
                for who, size in sizes.items():
                    torch.set_num_threads(2 if who == "threads" else 1)
                    state.settings = Settings(device="cpu", batch_size=size)
                    update = full_update.full_update
                    if who == "threads":
                        update = update.__wrapped__  # which does not hold torch to one thread
                    if who == "two":
                        update = distributed.full_update_on_ranks
                    spent.clear()
                    start = time.perf_counter(), time.process_time()
                    if rank == 0 or who == "two":
                        update(state, log, log.days[LEARNED], **days)
                        whole = time.perf_counter() - start[0], time.process_time() - start[1]
                        found[batch, who].append((*spent[0], *whole))
                    dist.barrier()
    answers.put((rank, dict(found)))


def speed(rounds: int, batches: tuple[int, ...] = BATCHES) -> None:
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = context.Queue()
    processes = [
        context.Process(target=of_a_rank, args=(rank, port, rounds, batches, answers))
        for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    found = dict(answers.get() for _ in processes)
    for process in processes:
        process.join()
    rows = []
    for batch in batches:
        row = {"batch": batch, "steps": found[0][batch, "one"][0][2]}
        for place, what in enumerate(("wall", "cpu")):
            for who in ("one", "threads", "half", "two"):
                both = [found[rank].get((batch, who), []) for rank in (0, 1)]
                both = zip(*both, strict=True) if all(both) else [(one,) for one in both[0]]
                slower = [max(one[place] / one[2] for one in pair) for pair in both]
                row[f"{who}_{what}"] = round(1_000 * statistics.median(slower), 2)
            row[f"speedup_{what}"] = round(row[f"one_{what}"] / row[f"two_{what}"], 2)
            row[f"bound_{what}"] = round(row[f"one_{what}"] / row[f"half_{what}"], 2)
        one, two = (
            statistics.median(round[4] for round in found[0][batch, who]) for who in ("one", "two")
        )
        row["speedup_cpu_whole_update"] = round(one / two, 2)
        rows.append(row | {"rounds": rounds} | stamp())
        print(rows[-1], flush=True)
    write("ranks_speed", pd.DataFrame(rows))


def write(name: str, table: pd.DataFrame) -> None:
    with atomic_write(RESULTS / f"{name}.csv") as new:
        table.to_csv(new, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("speed", "negatives"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    if options.only != "negatives":
        speed(options.rounds, tuple(options.batches))
    if options.only != "speed":
        negatives(options.seeds)


if __name__ == "__main__":
    main()
