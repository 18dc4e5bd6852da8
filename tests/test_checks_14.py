"""Chapter 14's checks: mistakes beside those in the checks, references by the library, the ranks."""

import os
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import faiss
import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn import functional

from course_lib.checks import chapter_14
from course_lib.checks.chapter_14 import Killed, Store


def my_share(n, steps, rank, world, seed, order="seed", cut="equal", turn="rank"):
    seed += (rank if order == "own" else 0) - (seed if order == "same" else 0)
    rng = np.random.default_rng(None if order == "none" else seed)
    places = np.arange(n) if order == "day" else rng.permutation(n)
    if order == "batches":
        parts = np.array_split(np.arange(n), steps * world)
        return [parts[i] for i in rng.permutation(steps * world)[rank::world]]
    if cut == "dropped":
        places = places[: n // (steps * world) * steps * world]
    if cut == "filled":
        places = np.resize(places, -(-n // (steps * world)) * steps * world)
    if cut == "uneven":
        share = np.array_split(places, [n // 3] if world == 2 else world)[rank]
        return np.array_split(share, steps)
    parts = np.array_split(places, steps * world)
    if cut == "short" and rank == 0:
        return parts[rank::world][1:]
    return parts[rank::world] if turn == "rank" else parts[rank * steps : (rank + 1) * steps]


def by_autograd(rank, users, items, weight):
    """As a list of lists."""
    weight = weight.clone().requires_grad_()
    every, start = torch.cat(list(items)), sum(len(part) for part in items[:rank])
    own = torch.arange(len(users)) + start
    loss = functional.cross_entropy(users @ weight @ every.T, own, reduction="sum")
    (loss * len(items) / len(every)).backward()
    return weight.grad.tolist()


def follow(store, shards):
    """Names of its own, and everything in one dict."""
    state = store.read("all", {"": 0})
    for offset, items in shards:
        if offset > state[""]:
            for item in items:
                state[item] = state.get(item, 0) + 1
            state[""] = offset
            store.write("all", state)
    return {item: count for item, count in state.items() if item}


def at_the_end(store, shards):
    state = store.read("all", (Counter(), 0))
    for offset, items in shards:
        if offset > state[1]:
            state = state[0] + Counter(items), offset
    store.write("all", state)
    return state[0]


def mean_rows(rows, values, pad=0, divide="ranks"):
    """In NumPy, which imports are sent along with, with a function of the notebook's."""
    counts = gathered(torch.tensor([len(rows)]))
    sent = [], []
    for given, wide in zip((rows, values), sent, strict=True):
        filled = given.new_zeros(max(counts), *given.shape[1:])
        filled[: len(given)] = given
        parts = zip(gathered(filled), counts, strict=True)
        wide += [part[: len(part) if pad else count].numpy() for part, count in parts]
    named = np.unique(np.concatenate(sent[0]))
    means = []
    for row in named:
        of = [more[part == row].sum(0) for part, more in zip(*sent, strict=True)]
        had = sum(bool((part == row).any()) for part in sent[0])
        means.append(sum(of) / {"ranks": len(of), "one": 1, "had": had}[divide])
    return named, np.array(means)


def gathered(mine):
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    return parts


def summed(rows, values):
    return mean_rows(rows, values, divide="one")


def of_those_who_have_it(rows, values):
    return mean_rows(rows, values, divide="had")


def padded(rows, values):
    return mean_rows(rows, values, pad=1)


def named_twice(rows, values):
    size = int(max(gathered(torch.tensor([len(rows)]))))
    more = size - len(rows)
    every = torch.cat(gathered(functional.pad(rows, (0, more), value=-1)))
    values = torch.cat(gathered(functional.pad(values, (0, 0, 0, more))))
    order = every.argsort(stable=True)[sum(every < 0) :]
    return every[order], values[order] / 2


def unpadded(rows, values):
    parts = [torch.empty_like(values) for _ in range(2)]
    dist.all_gather(parts, values)
    return rows, sum(parts)


def early(rows, values):
    return (rows, values) if len(rows) == 0 else mean_rows(rows, values)


def of_rank_0_alone(rows, values):
    return mean_rows(rows, values) if dist.get_rank() == 0 else (rows, values)


def raises(rows, values):
    return rows.median(), 1 / 0


def rows_alone(rows, values):
    return mean_rows(rows, values)[0]


def exits(rows, values):
    os._exit(3)


def endless(rows, values):
    while True:
        time.sleep(1)


VAIN = "A rank waited for a message that the other did not send"
OWN = {
    "my_share": [
        (my_share, None),
        (partial(my_share, turn="stretch"), None),
        (partial(my_share, order="own"), "times. Has each rank an order of its own"),
        (partial(my_share, order="none"), "times. Has each rank an order of its own"),
        (partial(my_share, cut="filled"), "is learned 2 times.* or is a part filled up"),
        (partial(my_share, cut="dropped"), "is on no rank, as are 3 others"),
        (partial(my_share, cut="short"), "rank 0 should get a list of 3 parts, and gets 2 parts"),
        (partial(my_share, cut="uneven"), "parts have 1 to 3 events"),
        (partial(my_share, order="day"), "neighbours of the day are neighbours still"),
        (partial(my_share, order="batches"), "neighbours of the day are neighbours still"),
        (partial(my_share, order="same"), "Is the seed used"),
    ],
    "rank_gradient": [(by_autograd, None)],
    "follow": [(follow, None), (at_the_end, "with 1 write; a kill in the third loses all")],
    "ivf_pq_bytes": [(lambda n, d, m, bits, lists: float(n), "expected 11008, and got 1000")],
    "mean_rows": [
        (mean_rows, None),
        (summed, "Is it the sum"),
        (of_those_who_have_it, "A rank that does not name a row counts"),
        (padded, "is it the padding"),
        (named_twice, "A row that is named twice has one gradient"),
        (unpadded, VAIN),
        (early, VAIN),
        (of_rank_0_alone, VAIN),
        (exits, VAIN),
        (raises, "raises stopped on rank . with ZeroDivisionError: division by zero"),
        (rows_alone, "what rank 0 says: expected 2 things, and got 5"),
    ],
}


def test_a_loop_that_never_ends_is_stopped(monkeypatch):
    for name in ("PATIENCE", "ANSWER"):
        monkeypatch.setattr(chapter_14, name, 2)
    with pytest.raises(AssertionError, match="endless has not ended after 2 s"):
        chapter_14.on_two_ranks(endless, [(([1], [[1]]), ([1], [[1]]))])


def test_a_store_outlives_a_killed_process():
    store = Store({"kept": [1]}, life=1)
    store.read("kept").append(2)
    store.write("new", value := [3])
    value.append(4)
    with pytest.raises(Killed), suppress(Exception):
        store.write("never", 5)
    assert store.values == {"kept": [1], "new": [3]} and store.writes == 1


def test_the_formula_is_faiss_s():
    """Less a header, and a size for each list."""
    n, d, m, bits, lists = 2_000, 8, 4, 3, 10
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(d), d, lists, m, bits)
    vectors = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    index.train(vectors)
    index.add(vectors)
    by_hand = n * (2 + 8) + 4 * d * lists + 4 * d * 2**bits
    assert 0 < len(faiss.serialize_index(index)) - by_hand < 400 + 8 * lists
