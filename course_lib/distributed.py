"""The full update on several ranks: torchrun starts a process for each, all share every step, and
end with the same state.

    torchrun --nproc-per-node 2 -m course_lib.distributed online_retail state.pt 2011-04-01

A step's events are divided among the ranks, and so are its items. Each rank makes the vectors of
its part; then the item vectors are gathered, so that every user meets the items of all ranks as
negatives. The towers are replicated by `DistributedDataParallel`, the embedding tables by
`GatheredAdagrad`, or divided by `sharded_tables`. The result is that of one process with the same
steps, but for rounding.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather as all_gather_with_gradients
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from course_lib.features import index_rows
from course_lib.full_update import Examples, Loss, epoch, full_update, prepare, training_step
from course_lib.log import EventLog
from course_lib.losses import mixed_logits
from course_lib.state import Settings, State, Turn, new_state
from course_lib.towers import RowwiseAdagrad, TwoTower

Learn = Callable[[Examples, Loss], float]  # one step on this rank's part of it
Tables = Callable[[State], AbstractContextManager[Learn]]  # see replicated_tables


class RankLost(RuntimeError):
    """Another rank has died, or has not answered in time."""


@contextmanager
def ranks(timeout: float = 120, on: str | None = None) -> Iterator[None]:
    """The process group that the block's updates share: torchrun's, over NCCL if states are on GPUs
    and over gloo if they are not. Without torchrun this process is the only rank.

    - `timeout`: seconds that a rank may take to answer. `on`: the device, `device()` unless said.

    Raises RankLost in every rank that is left if one dies or does not answer.
    """
    backend = "nccl" if torch.device(on or device()).type == "cuda" else "gloo"
    alone = {} if "RANK" in os.environ else {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    if backend == "nccl":
        torch.cuda.set_device(on or device())
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout), **alone)
        with warnings.catch_warnings():  # its successor has no public name yet
            warnings.filterwarnings("ignore", r"torch\.distributed\.nn\.functional", FutureWarning)
            yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise RankLost(
            "another rank has died or stopped answering; start all ranks again from the last saved "
            "state, which is whole."
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def device() -> str:
    """The device of this rank, for `Settings`: a GPU of its own, or the CPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def share(step: Examples) -> tuple[Examples, Loss]:
    """This rank's part of a step, and the loss of its events against the columns of all ranks.

    The part has ⌈n / ranks⌉ events and ⌈c / ranks⌉ columns; at the end of the last rank's part a
    row may stand twice, and the copy counts for nothing. The mean of all ranks' losses, which
    `DistributedDataParallel` follows, is the loss of the whole step.
    """
    n, c, device = len(step), len(step.log_q), step.log_q.device
    rank, world = dist.get_rank(), dist.get_world_size()

    def part(size: int) -> Tensor:
        each = -(-size // world)
        return torch.arange(rank * each, (rank + 1) * each, device=device)

    copies = part(n) >= n
    events, columns = part(n).clamp(max=n - 1), part(c).clamp(max=c - 1)
    ids = step.ids[events]
    if step.masked is None:  # the columns are the events' own items
        own, masked = events, ids[:, None] == step.ids
    else:
        own, masked = step.own[events], step.masked[events]

    def loss(
        users: Tensor, items: Tensor, log_q: Tensor, own: Tensor, masked: Tensor, temperature: float
    ) -> Tensor:
        mine = torch.cat([items, log_q[:, None]], 1)  # [c / ranks, d + 1]
        every = torch.cat(all_gather_with_gradients(mine))[:c]  # [c, d + 1]
        logits = mixed_logits(users, every[:, :-1], every[:, -1], own, masked, temperature)
        target = own.masked_fill(copies, -100)  # cross_entropy leaves these out
        return functional.cross_entropy(logits, target, reduction="sum") / n * world

    users, items = index_rows(step.users, events), index_rows(step.items, columns)
    return Examples(users, items, step.log_q[columns], ids, own=own, masked=masked), loss


class GatheredAdagrad(RowwiseAdagrad):
    """Row-wise Adagrad on the mean of all ranks' gradients, for tables that every rank has.

    Each rank sends the rows that its share names, so that a step costs what its batch touches. The
    mean comes first: Adagrad divides by a gradient's size, and the mean of the ranks' own steps
    would be another step.
    """

    @torch.no_grad()
    def step(self) -> None:
        sizes = torch.tensor([0, *map(len, self.tables)]).cumsum(0).tolist()
        mine = [table.weight.grad.coalesce() for table in self.tables]
        rows = [part.indices()[0] + start for part, start in zip(mine, sizes, strict=False)]
        rows, values = torch.cat(rows), torch.cat([part.values() for part in mine])
        counts = gathered(torch.tensor([len(rows)], device=rows.device)).flatten().tolist()
        more = max(counts) - len(rows)  # all ranks send messages of one length
        rows = gathered(functional.pad(rows, (0, more)))
        values = gathered(functional.pad(values, (0, 0, 0, more)))
        rows = torch.cat([part[:count] for part, count in zip(rows, counts, strict=True)])
        values = torch.cat([part[:count] for part, count in zip(values, counts, strict=True)])
        values /= len(counts)
        for table, start in zip(self.tables, sizes, strict=False):
            own = (rows >= start) & (rows < start + len(table))
            table.weight.grad = torch.sparse_coo_tensor(
                rows[own][None] - start, values[own], table.weight.shape, check_invariants=True
            )
        super().step()


@contextmanager
def replicated_towers(model: TwoTower) -> Iterator[None]:
    """Both towers in `DistributedDataParallel`: the gradients of all ranks become their mean."""
    towers = model.item_tower, model.user_tower
    model.item_tower, model.user_tower = map(DistributedDataParallel, towers)
    try:
        yield
    finally:
        model.item_tower, model.user_tower = towers


@contextmanager
def replicated_tables(state: State) -> Iterator[Learn]:
    """What learns a step with tables that every rank has whole."""
    tables = GatheredAdagrad(state.model.tables(), state.settings.embedding_lr)
    yield partial(training_step, state, tables)


def full_update_on_ranks(
    state: State,
    log: EventLog,
    day: pd.Timestamp | str,
    *,
    days: int = 1,
    shuffle: bool = True,
    turn: Turn = "next",
    losses: list[float] | None = None,
    tables: Tables = replicated_tables,
) -> State:
    """`full_update`, with every step shared by all ranks; each returns the same new state.

    `Settings.batch_size` is that of all ranks together. `losses` gets the loss of every step;
    `tables` says how the embedding tables are kept, whole or by `ShardedTables`.

    Raises ValueError on all ranks, before the first step, if one of them has other settings, other
    weights or other events; and as `full_update` does.
    """
    train = partial(_train, losses=losses, tables=tables)
    return full_update(state, log, day, days=days, shuffle=shuffle, turn=turn, train=train)


def on_ranks(script: str, *arguments: str, count: int = 2) -> str:
    """What a script prints if torchrun runs it on `count` ranks of this machine, one thread each.
    Raises RuntimeError with the end of what it says of errors if a rank fails.
    """
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        variables["GLOO_SOCKET_IFNAME"] = "lo"  # the ranks talk within this machine
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.py")
        path.write_text(script, "utf-8")
        command = [*torchrun, "--nproc-per-node", str(count), str(path), *arguments]
        ran = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"a rank has failed:\n{ran.stderr[-2_000:]}")
    return ran.stdout


def save(state: State, path: str | Path) -> None:
    """Rank 0 writes the state, whole or not at all; no rank goes on before it is there."""
    if dist.get_rank() == 0:
        state.save(path)
    dist.barrier()


def _train(
    state: State,
    log: EventLog,
    parts: dict[pd.Timestamp, slice],
    *,
    shuffle: bool,
    losses: list[float] | None,
    tables: Tables,
    **_: None,
) -> State:
    """`train_all` on ranks: all prepare the same steps from one seed, and learn a share each."""
    old = state
    state, days, generator = prepare(state, log, parts)
    check_alike(old, days)
    values = []
    with replicated_towers(state.model), tables(state) as learn:
        for step in epoch(state, days, shuffle, generator):
            values.append(learn(*share(step)))
    values = gathered(torch.tensor(values, device=state.settings.device)).mean(0).tolist()
    if losses is not None:
        losses += values
    return state


def check_alike(state: State, days: list[Examples]) -> None:
    """Raises ValueError on all ranks if one is about to learn something else than rank 0 is."""
    settings = asdict(state.settings) | {"device": None}
    parts = {f"another {name}": repr(value).encode() for name, value in settings.items()}
    tensors = list(state.model.state_dict().values())
    for moments in state.optimiser.state_dict()["state"].values():
        tensors += moments.values()
    parts["another state"] = b"".join(map(_bytes, tensors))
    tensors = []
    for day in days:
        tensors += [*day.users.values(), *day.items.values(), day.log_q, day.ids]
        if day.catalogue is not None:
            tensors += [*day.catalogue.items.values(), day.catalogue.bought.indices()]
    parts["other events"] = b"".join(map(_bytes, tensors))
    digests = [hashlib.sha256(part).digest()[:8] for part in parts.values()]
    numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
    differ = gathered(torch.tensor(numbers, device=state.settings.device))
    differ = (differ != differ[0]).nonzero()  # rank, part
    if len(differ):
        rank, part = differ[differ[:, 1].argmin()].tolist()
        raise ValueError(
            f"rank {rank} has {list(parts)[part]} than rank 0; start every rank with the same "
            "settings, state and log."
        )


def gathered(values: Tensor) -> Tensor:
    """[ranks, …] what every rank has, of one shape."""
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.stack(parts)


def _bytes(values: Tensor) -> bytes:
    return values.detach().cpu().contiguous().numpy().tobytes()


def main() -> None:
    """The command: learns days in turn, and saves the state after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", help="a module of course_lib with load_LOG(), such as online_retail")
    parser.add_argument(
        "state", type=Path, help="where the state is saved, and read if it is there"
    )
    parser.add_argument("days", nargs="+", help="the days to learn, such as 2011-04-01")
    parser.add_argument("--settings", type=json.loads, default={}, help="of a new state, as JSON")
    options = parser.parse_args()
    try:
        log = getattr(importlib.import_module(f"course_lib.{options.log}"), f"load_{options.log}")()
        with ranks():
            if options.state.exists():
                state = State.load(options.state, device())
            else:
                state = new_state(log, Settings(**options.settings | {"device": device()}))
            for day in options.days:
                state = full_update_on_ranks(state, log, day, losses=(losses := []))
                save(state, options.state)
                if dist.get_rank() == 0:
                    print(f"{day}: loss {sum(losses) / len(losses):.6f} in {len(losses)} steps")
    except (RankLost, ValueError) as error:
        sys.exit(f"rank {os.environ.get('RANK', 0)}: {error}")


if __name__ == "__main__":
    main()
