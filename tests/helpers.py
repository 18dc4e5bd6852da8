"""What several test files need: frames to spoil, training in one line, comparisons bit for bit."""

import functools
import importlib
import multiprocessing
import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.full_update import full_update
from course_lib.log import EventLog
from course_lib.state import Settings, State, new_state

SMALL = Settings(
    dim=8,
    hidden=12,
    batch_size=3,
    popularity_half_lives=(2.0,),
    history=3,
    session_prefix_share=0.0,
    field_dropout=0.0,
    device="cpu",
)
Frames = dict[str, pd.DataFrame]
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
needs_fork = pytest.mark.skipif(FORK is None, reason="needs a system that can fork a process")
LOGS = ("online_retail", "movie_tweetings")  # modules of course_lib, each with a load_NAME()


@functools.cache
def embedded(name: str) -> EventLog:
    """One of LOGS. Shared: no test may change it."""
    return getattr(importlib.import_module(f"course_lib.{name}"), f"load_{name}")()


def tiny_frames() -> Frames:
    """Events, items and users of the tiny log as a teacher might bring them; a new copy each time."""
    bought = [
        ("ann", "mug", "2020-01-01 09:00"),
        ("bob", "bag", "2020-01-01 10:00"),
        ("ann", "bag", "2020-01-02 09:00"),
        ("cid", "mug", "2020-01-02 11:00"),
        ("bob", "mug", "2020-01-04 09:00"),  # nobody bought anything on the third
        ("ann", "lamp", "2020-01-05 08:00"),
        ("cid", "bag", "2020-01-05 23:59"),
        ("bob", "vase", "2020-01-06 00:00"),
    ]
    events = pd.DataFrame(bought, columns=["user", "item", "time"])
    events["time"] = pd.to_datetime(events["time"])
    items = pd.DataFrame(
        {
            "item": ["vase", "lamp", "bag", "mug"],
            "description": ["A TALL VASE", "A RED LAMP", "A BLUE BAG", "A RED MUG"],
            "colour": [None, "red", "blue", "red"],
            "words": [["tall"], [], ["soft", "big"], ["big", "warm"]],
        }
    )
    users = pd.DataFrame({"user": ["cid", "bob", "ann"], "city": [None, "Ely", "Ayr"]})
    return {"events": events, "items": items, "users": users}


def with_listing(frames: Frames, time: str = "2019-12-01") -> Frames:
    """The same frames, all items listed at `time`: what is listed then says nothing about the
    future.
    """
    return frames | {"items": frames["items"].assign(listed=pd.Timestamp(time))}


def before(log: EventLog, time: pd.Timestamp) -> EventLog:
    """What the log held before that time: nothing in it knows the rest."""
    events = log.events[log.events["time"] < time]
    items = log.items[
        log.items.index.isin(events["item"]) | (log.items["listed"] < time)
    ].reset_index()
    return EventLog.from_frame(
        events, items, log.users[log.users.index.isin(events["user"])].reset_index()
    )


def trained(log: EventLog, settings: Settings, days: pd.DatetimeIndex) -> State:
    state = new_state(log, settings)
    for day in days:
        state = full_update(state, log, day)
    return state


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal bit for bit."""
    return a.dtype == b.dtype and torch.equal(a, b)


def contents(state: State) -> dict[str, object]:
    """Everything that a state holds, as plain values of their own that `==` compares to the last
    bit.
    """
    return {
        "settings": state.settings,
        "updates": state.updates,
        "vocabularies": [
            {n: dict(v) for n, v in e.vocabularies.items()}
            for e in (state.features.items, state.features.users)
        ],
        "counts": state.features.counts.settled.tolist(),
        "time": state.features.counts.time,
        "model": {name: tensor.tolist() for name, tensor in state.model.state_dict().items()},
        "moments": [
            {n: v.tolist() for n, v in m.items()}
            for m in state.optimiser.state_dict()["state"].values()
        ],
    }


def refusal(function, *arguments, **options) -> str:
    """The message of the ValueError that the call raises, once it is clear that it is one short,
    whole sentence.
    """
    with pytest.raises(ValueError) as raised:
        function(*arguments, **options)
    message = str(raised.value)
    assert "\n" not in message and len(message) < 250, message
    assert message[-1] in ".?" and not re.search(r"[.?!] [A-Z]", message), message
    return message


def unit_vectors(rows: int, dim: int, seed: int) -> torch.Tensor:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim))
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).float()


class Sizes(TorchDispatchMode):
    """Notes how many numbers each operation reads and makes anew, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, int]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        given = {id(a) for a in args} | {a.untyped_storage().data_ptr() for a in args if strided(a)}
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if (
                strided(tensor)
                and id(tensor) not in given
                and tensor.untyped_storage().data_ptr() not in given
            ):
                self.made.append((str(operation), tensor.numel()))
        return result


def strided(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided
