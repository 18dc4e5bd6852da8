"""Jobs: what an experiment does many times over, one after the other or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import pandas as pd
import torch

from course_lib.log import EventLog

Result = TypeVar("Result")


def done(
    jobs: list[Callable[[EventLog], Result]], log: EventLog, processes: int
) -> Iterator[Result]:
    """What each job makes of the log, in order. With several processes a job must be picklable."""
    if processes == 1:
        yield from (job(log) for job in jobs)
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _Worker.start, (log,)) as pool:
        yield from pool.map(_Worker.do, jobs)


def check_days(name: str, log: EventLog, start: str, end: str | None = None) -> None:
    """Raise ValueError if the log has no day before `start`, or none from then to before `end`."""
    later = log.days[log.days >= start]
    if len(later) in (0, len(log.days)) or (end and later[0] >= pd.Timestamp(end)):
        raise ValueError(
            f"the log's days are {log.days[0]:%Y-%m-%d} … {log.days[-1]:%Y-%m-%d}, and {name} "
            f"needs some before {start}, to learn, and some from then to {end or 'its end'}."
        )


class _Worker:
    """A process that keeps the log between its jobs."""

    log: EventLog

    @classmethod
    def start(cls, log: EventLog) -> None:
        torch.set_num_threads(1)
        cls.log = log

    @classmethod
    def do(cls, job: Callable[[EventLog], Result]) -> Result:
        return job(cls.log)
