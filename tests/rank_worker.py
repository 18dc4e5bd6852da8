"""Ranks for the tests: `launch` starts a process for each, which runs this file.

A case is a dict: `log`, `settings` and `days`; `tables`, a plan of ShardedTables, and `spare`; `differ`,
settings of rank 1 alone; `lacks`, an event that rank 1 has not; `stop`, a signal that rank 1 sends
itself before a step; `smooth`, see `start`.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import torch
from helpers import embedded, tiny_frames

from course_lib import distributed
from course_lib.log import EventLog
from course_lib.sharded_tables import ShardedTables
from course_lib.state import Settings, State, new_state

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


def launch(folder: Path, world: int, *cases: dict, timeout: float = 300) -> list[list[dict]]:
    """What every rank says of every case: its losses, a digest of its weights, or its error. Rank
    0 leaves the state of case i in `folder`/i.pt.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = (
        os.environ
        | LOOPBACK
        | {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(world),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
    )
    command = [sys.executable, "-W", "error::FutureWarning:course_lib", __file__, str(folder)]
    command += [str(timeout), json.dumps(cases)]
    processes = [
        subprocess.Popen(
            command,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    said = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=300)
            said.append([json.loads(line) for line in out.splitlines() if line.startswith("{")])
            said[-1].append({"code": process.returncode, "stderr": err})
            if "stop" in cases[-1]:  # rank 0 has ended; the other one may only be asleep
                processes[1].kill()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return said


def start(log: EventLog, settings: Settings, smooth: bool = True) -> State:
    """A new state; `smooth`: with SiLU for ReLU. The gradient of ReLU jumps at 0, so that once in a
    while rounding alone makes a step another one; then only the losses are nearly the same.
    """
    state = new_state(log, settings)
    if smooth:
        for tower in (state.model.item_tower, state.model.user_tower):
            tower.network[1] = torch.nn.SiLU()
    return state


def a_log(case: dict, rank: int) -> EventLog:
    if case["log"] != "tiny":
        return embedded(case["log"])
    frames = tiny_frames()
    if rank == 1 and "lacks" in case:
        frames["events"] = frames["events"].drop(index=case["lacks"])
    return EventLog.from_frame(**frames)


def run(case: dict, number: int, folder: Path) -> dict:
    rank = int(os.environ["RANK"])
    differ = case.get("differ", {}) if rank == 1 else {}
    log, settings = a_log(case, rank), Settings(**case["settings"] | differ)
    more, losses = {}, []
    if "tables" in case:
        more["tables"] = ShardedTables(case["tables"], case.get("spare", 0.2))
    state = start(log, settings, case.get("smooth", True))
    for day in case["days"]:
        state = distributed.full_update_on_ranks(state, log, day, losses=losses, **more)
        distributed.save(state, folder / f"{number}.pt")
    digest = hashlib.sha256()
    for values in state.model.state_dict().values():
        digest.update(values.numpy().tobytes())
    built = more["tables"].built if more else None
    return {"losses": losses, "digest": digest.hexdigest(), "built": built}


def main(folder: Path, timeout: float, cases: list[dict]) -> None:
    step = distributed.training_step

    def before_a_step(*arguments):
        stop = cases[-1].get("stop")
        if stop and os.environ["RANK"] == "1":
            stop["after"] -= 1
            if stop["after"] < 0:
                os.kill(os.getpid(), getattr(signal, stop["signal"]))
        return step(*arguments)

    distributed.training_step = before_a_step
    try:
        with distributed.ranks(timeout, "cpu"):
            for number, case in enumerate(cases):
                try:
                    said = run(case, number, folder)
                except ValueError as error:
                    said = {"error": str(error)}
                print(json.dumps(said), flush=True)
    except distributed.RankLost as error:
        print(json.dumps({"lost": str(error)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]))
