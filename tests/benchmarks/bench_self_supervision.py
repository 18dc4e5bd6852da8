"""What self-supervised learning adds to a training step on the real log: the augmentation, and the
whole term with m = n.

    python tests/benchmarks/bench_self_supervision.py [--steps 200] [--augmentation 0.1] [--step
    1.6]

Plain steps, steps with the term and augmentations take turns, so that whatever else the machine
does slows all of them alike; medians are compared. Exits with 1 if an augmentation takes more than
`--augmentation` of a plain step, or a step with the term more than `--step` times a plain one.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_lib.augment import (
    Complementary,
    CorrelatedMask,
    Dropout,
    RandomMask,
    SelfSupervision,
    mutual_information,
)
from course_lib.features import index_rows
from course_lib.full_update import (
    full_update,
    joint_step,
    known_items,
    make_examples,
    one_thread,
    training_step,
)
from course_lib.log import DAY
from course_lib.online_retail import load_online_retail
from course_lib.state import Settings, new_state
from course_lib.towers import RowwiseAdagrad

DAYS = 10  # trained before the clock starts


def seconds(work: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--augmentation",
        type=float,
        default=0.1,
        help="share of a plain step that an augmentation may take",
    )
    parser.add_argument(
        "--step", type=float, default=1.6, help="plain steps that a step with the term may take"
    )
    options = parser.parse_args()

    log, settings = load_online_retail(), Settings()
    state = new_state(log, settings)
    for day in log.days[:DAYS]:
        state = full_update(state, log, day)
    day, generator = log.days[DAYS], torch.Generator().manual_seed(0)
    rows = log.rows(day, day + DAY)
    state.features.learn(log, rows)
    state.model.grow(state.features.items.sizes, state.features.users.sizes, generator)
    catalogue = known_items(state, log)
    known = log.items.index.get_indexer(
        list(state.features.items.vocabularies["item"])
    )  # [known] codes; row i has index i + 1
    weights = np.bincount(log.item_rows[log.rows(None, day)], minlength=len(log.items))[known]
    data = make_examples(state, log, rows, pd.Timestamp(day), generator)
    batches = [data[part] for part in torch.randperm(len(data.ids)).split(settings.batch_size)[:-1]]
    tables = RowwiseAdagrad(state.model.tables(), settings.embedding_lr)
    augmentations = {
        "random mask": RandomMask(0.5),
        "dropout": Dropout(),
        "complementary": Complementary(),
        "correlated mask": CorrelatedMask(mutual_information(log.items.iloc[known], weights)),
    }

    plain, alone, whole = (
        [],
        {name: [] for name in augmentations},
        {name: [] for name in augmentations},
    )
    with one_thread():  # as full_update trains
        for step in tqdm(range(-10, options.steps), disable=None):  # the first ones warm up
            batch = batches[step % len(batches)]
            drawn = index_rows(
                catalogue,
                torch.randperm(len(catalogue["item"]), device=settings.device)[: len(batch.ids)],
            )
            found = [seconds(lambda b=batch: training_step(state, tables, b))]
            for augment in augmentations.values():
                term = SelfSupervision(augment, m=len(batch.ids))
                found.append(seconds(lambda a=augment, d=drawn: a(d, generator)))
                found.append(
                    seconds(
                        lambda t=term, b=batch: joint_step(
                            state, tables, b, t.views(catalogue, generator), t
                        ).total.item()
                    )
                )
            if step >= 0:
                for times, value in zip(
                    [plain, *(t for name in augmentations for t in (alone[name], whole[name]))],
                    found,
                    strict=True,
                ):
                    times.append(value)

    base = statistics.median(plain)
    print(
        f"torch {torch.__version__}, {settings.device}; {settings.batch_size} events and items a step, {len(known):,} items known"
    )
    print(f"plain step: {1_000 * base:.2f} ms")
    shares = {name: statistics.median(alone[name]) / base for name in augmentations}
    ratios = {name: statistics.median(whole[name]) / base for name in augmentations}
    for name in augmentations:
        print(
            f"{name:16} augmentation {shares[name]:6.1%} of a plain step; step with the term {ratios[name]:.2f} × a plain one"
        )
    print(f"allowed: {options.augmentation:.0%} and {options.step:.2f} ×")
    return int(max(shares.values()) > options.augmentation or max(ratios.values()) > options.step)


if __name__ == "__main__":
    raise SystemExit(main())
