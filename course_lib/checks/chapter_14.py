"""Checks of chapter 14, beyond one machine; the last of them starts two ranks."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import json
import os
import socket
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType, ModuleType

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

from course_lib.checks import guard
from course_lib.checks.guard import case, compare, exercise, mistakes, run
from course_lib.files import atomic_write

# -- in this process -------------------------------------------------------------------------------


@exercise("each event on one rank, and no rank waits for another")
def check_my_share(my_share: Callable) -> None:
    """`my_share(n, steps, rank, world, seed) -> [places] of each step`; every rank is asked."""
    for n, steps, world, seed in ((10, 3, 2, 0), (1_000, 5, 3, 1)):
        divided(my_share, n, steps, world, seed)
    one, other = (divided(my_share, 1_000, 2, 2, seed) for seed in (1, 2))
    if one == other:
        raise AssertionError("Seeds 1 and 2 give the same order. Is the seed used?")


def divided(my_share: Callable, n: int, steps: int, world: int, seed: int) -> list[int]:
    """The order of a day that all ranks together learn. Raises AssertionError with one sentence
    unless each event is on one rank, in steps of equal size, well mixed.
    """
    what = f"{n} events, {steps} steps, {world} ranks, seed {seed}"
    shares = []
    for rank in range(world):
        found = run(my_share, n, steps, rank, world, seed)
        if not isinstance(found, (list, tuple)) or len(found) != steps:
            came = (
                f"{len(found)} parts" if isinstance(found, (list, tuple)) else type(found).__name__
            )
            raise AssertionError(
                f"{what}: rank {rank} should get a list of {steps} parts, and gets {came}; a rank "
                "with fewer steps ends, and the others wait for it."
            )
        shares.append([np.asarray(part).tolist() for part in found])
    order = [place for step in zip(*shares, strict=True) for part in step for place in part]
    times = Counter(order)
    twice = [place for place, count in times.items() if count > 1]
    lost = [place for place in range(n) if place not in times]
    if twice:
        raise AssertionError(
            f"{what}: event {twice[0]} is learned {times[twice[0]]} times. Has each rank an order "
            "of its own, or is a part filled up? All make one order, from the seed alone."
        )
    if lost:
        raise AssertionError(
            f"{what}: event {lost[0]} is on no rank, as are {len(lost) - 1} others."
        )
    if set(order) - set(range(n)):
        raise AssertionError(f"{what}: the places should be those from 0 to {n - 1}.")
    sizes = [len(part) for share in shares for part in share]
    if max(sizes) > min(sizes) + 1:
        raise AssertionError(
            f"{what}: parts have {min(sizes)} to {max(sizes)} events; they should differ by one at "
            "most, or the others wait for the rank with the largest."
        )
    if n > 99 and np.mean(np.abs(np.diff(order)) <= world) > 0.1:
        raise AssertionError(f"{what}: neighbours of the day are neighbours still; shuffle events.")
    return order


@exercise("the mean over ranks is the gradient of one process")
def check_rank_gradient(rank_gradient: Callable) -> None:
    """`rank_gradient(rank, users [n_r, d], items, weight [d, d]) -> [d, d]`; items: [n_s, d] of
    each rank s.

    Expected values by autograd, from the loss of the whole batch.
    """

    def of(columns="all", shift=True, size=lambda n, own, world: n / world, less=1, sign=1, turn=0):
        def gradient(rank, users, items, weight):
            every = torch.cat(list(items)) if columns == "all" else items[rank]
            start = sum(map(len, items[:rank])) if shift and columns == "all" else 0
            own = torch.arange(len(users))
            p = (users @ weight @ every.T).softmax(1)
            p[own, start + own] -= less
            found = sign * users.T @ p @ every / size(sum(map(len, items)), len(users), len(items))
            return found.T if turn else found

        return gradient

    wrong = mistakes(
        "Do the users meet their own rank's items alone? They meet those of all ranks.",
        of(columns="own"),
        "The own items of rank 1 do not begin in column 0, but after those of rank 0.",
        of(shift=False),
        "Is it divided by all events? The mean over ranks divides once more, so it is times ranks.",
        of(size=lambda n, own, world: n),
        "Is nothing divided? A loss is a mean over events.",
        of(size=lambda n, own, world: 1),
        "Is it the mean over the rank's own events? Parts of unlike size then weigh alike.",
        of(size=lambda n, own, world: own),
        "The own item's probability less 1 is what counts; is the 1 missing?",
        of(less=0),
        "Its sign is turned round.",
        of(sign=-1),
        "It is transposed: rows belong to the users' numbers.",
        of(turn=1),
    )
    draw = torch.Generator().manual_seed(14)
    for sizes in ((2, 2), (3, 1, 2)):
        users, items = torch.randn(2, sum(sizes), 3, generator=draw)
        weight = torch.randn(3, 3, generator=draw).requires_grad_()
        own = torch.arange(sum(sizes))
        losses = cross_entropy(users @ weight @ items.T, own, reduction="none").split(sizes)
        whole = torch.autograd.grad(torch.cat(losses).mean(), weight, retain_graph=True)[0]
        parts, weight_now, found = items.split(sizes), weight.detach(), []
        for rank, (own_users, part) in enumerate(zip(users.split(sizes), losses, strict=True)):
            loss = part.sum() * len(sizes) / sum(sizes)
            right = torch.autograd.grad(loss, weight, retain_graph=True)[0]
            given = rank, own_users, list(parts), weight_now
            what = f"Ranks with {sizes} events, the gradient of rank {rank}"
            case(rank_gradient, given, right, what, wrong)
            found.append(torch.as_tensor(run(rank_gradient, *given)).detach())
        compare(torch.stack(found).mean(0), whole, f"Ranks with {sizes} events, the mean")


class Killed(BaseException):
    """The process is gone; what is in its store stays."""


class Store:
    """Values by name that outlive a process; a write is whole or not at all.

    - `writes`: how many there were. `life`: the process is killed instead of the next one.
    """

    def __init__(self, values: dict | None = None, life: float = np.inf) -> None:
        self._values, self.life, self.writes = copy.deepcopy(values or {}), life, 0

    @property
    def values(self) -> dict:
        """A copy of all that is there."""
        return copy.deepcopy(self._values)

    def read(self, name: str, default: object = None) -> object:
        return copy.deepcopy(self._values.get(name, default))

    def write(self, name: str, value: object) -> None:
        if self.writes >= self.life:
            raise Killed
        self.writes += 1
        self._values[name] = copy.deepcopy(value)


def lives(follow: Callable) -> Callable:
    """A life of a process that may be killed, and a second one: what that says."""

    @functools.wraps(follow)
    def life(store: Store, shards: Sequence) -> object:
        first = Store(store.values, store.life)
        with suppress(Killed):
            return follow(first, shards)
        return follow(Store(first.values), shards)

    return life


@exercise("each event counted once, wherever it is killed")
def check_follow(follow: Callable) -> None:
    """`follow(store, shards) -> counts`: with the offset in one write; shards are (offset, items).

    Expected values by hand. Source: `stream.StreamTrainer`.
    """

    def of(first="both", new=lambda offset, last: offset > last, every=True):
        def follow(store, shards):
            counts, last = store.read("counts", {}), store.read("last", 0)
            counts, last = store.read("both", (counts, last)) if first == "both" else (counts, last)
            for offset, items in shards:
                if not new(offset, last):
                    continue
                counts = dict(Counter(counts) + Counter(items))
                last = offset
                if first == "offset":
                    store.write("last", last)
                store.write(*(("both", (counts, last)) if first == "both" else ("counts", counts)))
                if first == "counts":
                    store.write("last", last)
            return counts

        return follow

    def by_place(store, shards):
        counts, last = store.read("both", ({}, 0))
        for place, (_, items) in enumerate(shards, 1):
            if place > last:
                counts, last = dict(Counter(counts) + Counter(items)), place
                store.write("both", (counts, last))
        return counts

    wrong = mistakes(
        "The offset was committed and the counts were not: at most once, so an hour is lost.",
        of("offset"),
        "The counts were committed and the offset was not: at least once, so an hour is doubled.",
        of("counts"),
        "Is a shard learned again that is learned? Compare its offset.",
        of(new=lambda offset, last: True),
        "The place in the list is no offset: a broker may begin anywhere, and give one again.",
        by_place,
    )
    follow = inspect.unwrap(follow)
    lived = {sentence: lives(other) for sentence, other in wrong.items()}
    hours = [(1, ["mug", "bag"]), (2, ["mug"]), (3, ["sign", "mug", "bag"])]
    right, twice = {"mug": 3, "bag": 2, "sign": 1}, [*hours[:2], *hours[:2], *hours[1:]]
    half, whole = Store(), Store()
    run(follow, half, hours[:1])
    given = half.values, hours[1:], "Hours 2 and 3, after another process has learned hour 1"
    for life in (99, *range(7)):
        for values, shards, what in (given, ({}, twice, "Three hours, some of them twice")):
            what += f", killed after {life} write{'s' * (life != 1)}" if life < 99 else ""
            case(lives(follow), (Store(values, life), shards), right, what, lived)
    run(follow, whole, hours)
    if whole.writes < len(hours):
        raise AssertionError(
            f"Three hours are learned with {whole.writes} write; a kill in the third loses all. "
            "Write after each."
        )


@exercise("codes, ids, centroids and codebooks, all counted")
def check_ivf_pq_bytes(ivf_pq_bytes: Callable[[int, int, int, int, int], int]) -> None:
    """`ivf_pq_bytes(n, d, m, bits, lists) -> bytes`; expected values by hand.

    Source: Faiss's wiki, "Faiss indexes".
    """

    def of(
        code=lambda d, m, bits: -(-m * bits // 8), id=8, coarse=4, book=lambda m, lists: 4, wide=1
    ):
        def ivf_pq_bytes(n, d, m, bits, lists):
            codebooks = book(m, lists) * d * 2**bits * wide
            return n * (code(d, m, bits) + id) + coarse * d * lists + codebooks

        return ivf_pq_bytes

    wrong = mistakes(
        "Is the whole vector kept? Its code is, m numbers of `bits` bits.",
        of(code=lambda d, m, bits: 4 * d),
        "Does every part's number take a byte, or `bits` bytes? It takes `bits` bits.",
        of(code=lambda d, m, bits: m),
        "A code begins with a byte of its own: round its bits up to whole bytes.",
        of(code=lambda d, m, bits: m * bits // 8),
        "Half a byte can't be kept: round each code up.",
        of(code=lambda d, m, bits: m * bits / 8),
        "Each code stands beside its id, 8 bytes.",
        of(id=0),
        "Are the lists' centroids missing? Each has d floats.",
        of(coarse=0),
        "A float has 4 bytes, in the centroids as well.",
        of(coarse=1),
        "Are the codebooks missing? Each part has one, 2 to the power of `bits` centroids.",
        of(wide=0),
        "A part's centroid has d / m floats, not d.",
        of(book=lambda m, lists: 4 * m),
        "All lists share the codebooks.",
        of(book=lambda m, lists: 4 * lists),
    )
    # 1,000 codes of 15 bits, and 2 bytes for each; 4 · 6 · 10 for lists; 4 · 6 · 32 for codebooks
    for given, right in (
        ((1_000, 6, 3, 5, 10), 11_008),
        ((10**9, 64, 16, 8, 31_623), 24_008_161_024),
    ):
        what = "{:,} items, d = {}, m = {}, {} bits, {:,} lists".format(*given)
        case(ivf_pq_bytes, given, right, what, wrong)


# -- in two processes ------------------------------------------------------------------------------

PATIENCE, ANSWER = 20, 6  # seconds until all is over; until a rank has answered another


@exercise("two real ranks agree on the mean of what both have named")
def check_mean_rows(mean_rows: Callable) -> None:
    """`mean_rows(rows [r], values [r, d]) -> (rows [u], values [u, d])`, on each of two ranks.

    Expected values by a loop over rows. Source: `distributed.GatheredAdagrad`.
    """
    first = ([1, 3, 2], [[2, 0], [4, 4], [6, 2]]), ([3, 7, 3, 5, 1], [[1, 1]] * 5)
    on_two_ranks(mean_rows, [first, (([], []), ([4, 6], [[2, 4], [8, 8]]))])


def on_two_ranks(mean_rows: Callable, cases: Sequence) -> None:
    """Let two processes call the function; a case is (rows, values) of each rank. Raises
    AssertionError with one sentence unless both say the mean, in every case.
    """
    said = _on_two_ranks(mean_rows, cases)
    for number, parts in enumerate(cases):
        named = [one for part in parts for one in zip(*part, strict=True)]
        named.sort(key=lambda one: one[0])
        rows = sorted({row for row, _ in named})
        sums = [np.sum([value for row, value in named if row == one], axis=0) for one in rows]
        named_by = [[sum(one in part[0] for part in parts)] for one in rows]
        sums, right = np.array(sums), [rows, np.array(sums) / 2]
        hints = {
            "Is it the sum? The mean divides by the number of ranks.": [rows, sums],
            "A rank that does not name a row counts, with a gradient of 0.": [
                rows,
                sums / named_by,
            ],
            "No rank has named row 0; is it the padding?": [[0, *rows], [0 * sums[0], *right[1]]],
            "A row that is named twice has one gradient, the sum of both.": [
                [row for row, _ in named],
                np.array([value for _, value in named]) / 2,
            ],
        }
        had = [f"rows {part[0]}" if len(part[0]) < 9 else f"{len(part[0])} rows" for part in parts]
        what = f"Rank 0 with {had[0]}, rank 1 with {had[1]}: what rank "
        for rank, answers in enumerate(said):
            known = {sentence: lambda other=other: other for sentence, other in hints.items()}
            answer = functools.partial(answers.__getitem__, number)
            guard.case(answer, (), right, f"{what}{rank} says", known)


def _on_two_ranks(function: Callable, cases: Sequence) -> list[list]:
    """What each rank says of each case."""
    source = _source(function)
    # this process has threads, so none is forked from it; their server imports PyTorch once
    context = get_context("forkserver" if hasattr(os, "fork") else "spawn")
    context.set_forkserver_preload([__name__])
    warm = context.Process(target=int)
    warm.start()
    warm.join()
    with TemporaryDirectory() as folder:
        given = folder, source, function.__name__, cases, ANSWER
        ranks = [context.Process(target=_rank, args=(rank, *given), daemon=True) for rank in (0, 1)]
        for process in ranks:
            process.start()
        for process, seconds in zip(ranks, (PATIENCE, ANSWER), strict=True):
            process.join(seconds)
        late = [process for process in ranks if process.is_alive()]
        for process in late:
            process.kill()
            process.join()
        paths = [Path(folder, f"{rank}.json") for rank in (0, 1)]
        said = [json.loads(path.read_text("utf-8")) if path.exists() else None for path in paths]
    for rank, answer in enumerate(said):
        if isinstance(answer, str) and "gloo" not in answer and "imed out" not in answer:
            error = answer.strip().splitlines()[0][:200].rstrip(".")
            raise AssertionError(f"{function.__name__} stopped on rank {rank} with {error}.")
    if late and not any(isinstance(answer, str) for answer in said):
        message = f"has not ended after {PATIENCE} s; is there a loop that never ends?"
        raise AssertionError(f"{function.__name__} {message}")
    if not all(isinstance(answer, list) for answer in said):
        raise AssertionError(
            "A rank waited for a message that the other did not send, or one of another length "
            "came; every rank calls the same functions in the same order, whatever rows it has."
        )
    return said


def _rank(rank: int, folder: str, source: str, name: str, cases: Sequence, answer: float) -> None:
    for stream in (1, 2):  # nbgrader would take what gloo says for a failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    for loopback in {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}:
        os.environ["GLOO_SOCKET_IFNAME"] = loopback
    torch.set_num_threads(1)
    store, limit, said = dist.FileStore(f"{folder}/store", 2), timedelta(seconds=answer), []
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=limit)
    dim = max(len(value) for parts in cases for _, values in parts for value in values)
    try:
        exec(compile(source, "answer", "exec"), space := {"__name__": "answer"})
        for parts in cases:
            rows, values = parts[rank]
            values = torch.tensor(values, dtype=torch.float32).reshape(len(rows), dim)
            found = space[name](torch.tensor(rows, dtype=torch.long), values)
            said.append([part.tolist() if hasattr(part, "tolist") else part for part in found])
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    with atomic_write(Path(folder, f"{rank}.json")) as new:
        new.write_text(json.dumps(said, default=repr), "utf-8")
    store.set(f"{rank} is done", "")
    with suppress(RuntimeError):
        store.wait([f"{1 - rank} is done"], limit)
    os._exit(0)  # what gloo has not sent or received is given up


def _source(function: Callable) -> str:
    """A module that defines the function, with the imports and the functions that it uses."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        source = ""
    if not source.startswith("def "):
        raise AssertionError(
            "Two other processes get the text of your function; define it with `def`, in a cell."
        )
    lines, space = [source], getattr(function, "__globals__", {})
    for name in sorted({node.id for node in ast.walk(ast.parse(source)) if hasattr(node, "id")}):
        value = space.get(name)
        if isinstance(value, ModuleType):
            lines.insert(0, f"import {value.__name__} as {name}\n")
        elif isinstance(value, FunctionType) and value is not function:
            if value.__globals__ is space:
                lines.insert(0, _source(value))
            else:
                lines.insert(0, f"from {value.__module__} import {value.__name__} as {name}\n")
    return "\n".join(lines)
