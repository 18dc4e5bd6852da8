"""The towers, the baselines and public libraries side by side: data/results/side_by_side.csv, and
side_by_side_by_day.csv with the events and hits at 100 of every day, means of the seeds.

    python tests/benchmarks/side_by_side.py [--log online_retail] [--arms "implicit ALS" …]
                                            [--tries 6] [--seeds 0 1 2]

Every arm is tuned on the log's tuning days, with as many tries, and replayed on its test days. Rows
of an arm and log are replaced when all its seeds are done, so a long run can be made in parts. A
library (peers/) runs in an environment of its own, build/peers/NAME, which `make bench` makes from
peers/NAME.txt. One that is not installed, fails or is silent for half an hour has a row without
numbers, and says why.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from course_lib import baselines, tuning
from course_lib.evaluation import Recommender, TwoTowerNightly, replay
from course_lib.features import Encoder
from course_lib.files import atomic_write
from course_lib.log import DAY, EventLog
from course_lib.results import RESULTS, stamp, table_row
from course_lib.state import Settings, new_state

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / "build" / "peers"
TABLE = RESULTS / "side_by_side.csv"
MEASURED = ["R@50", "R@100", "cold", "tail", "mid", "head"]
COLUMNS = "log arm seed {} tries cpu_seconds options note version date".format(" ".join(MEASURED))
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
PATIENCE = 1800.0  # seconds for one fit
ALONE |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""}


class Peer:
    """A recommender that a script of peers/ fits every `refit` days, plus recent popularity.

    - `command`: what runs the script; it gets `options` and speaks as peers/serve.py says.
    - `weight`: of the prior, which is alone for users and items that the last fit did not know.
      `prior`: "share" (of the most popular item's count) or "log" (of the count, plus 0.1).
    - `daily`: whether it is asked every day for its users' vectors, not only after a fit.

    Raises RuntimeError with the script's last words if it ends, and if it can't start.
    """

    def __init__(
        self,
        log: EventLog,
        command: Sequence[str | Path],
        weight: float = 1.0,
        prior: str = "share",
        daily: bool = False,
        **options,
    ) -> None:
        self.command, self.weight, self.prior, self.daily = command, weight, prior, daily
        self.refit, self.options = options.pop("refit", 7), options
        self.recent, self.fitted, self.cpu = baselines.Popularity(7.0), None, 0.0
        self.encoders = {"user": Encoder(log.users), "item": Encoder(log.items)}
        self.process: subprocess.Popen | None = None

    def scores(self, log: EventLog, day: pd.Timestamp, users: np.ndarray) -> torch.Tensor:
        recent = self.recent.scores(log, day, users)
        if self.prior == "log":
            prior = (recent + 0.1).log()
        else:
            prior = recent / recent.max().clamp(min=1e-9)
        scores = (self.weight * prior).float()
        due = self.fitted is None or day - self.fitted >= self.refit * DAY
        if log.rows(end=day).stop and (due or self.daily):
            self.ask(log, day, users, due)
        if self.fitted is not None:
            known = np.flatnonzero(users < len(self.users))
            own = self.users[users[known]] @ self.items.T  # [k, m']
            scores[known, : own.shape[1]] += torch.from_numpy(own)
        return scores

    def learn(self, log: EventLog, day: pd.Timestamp) -> None:
        self.recent.learn(log, day)

    def ask(self, log: EventLog, day: pd.Timestamp, users: np.ndarray, fit: bool) -> None:
        """Have the vectors of these users, or after a fit of all, and of the items."""
        rows = log.rows(end=day)
        bought, items = log.user_rows[rows], log.listed(day)
        known = int(bought.max()) + 1  # users are in order of first event
        asked = users[users < known] if self.daily else np.arange(known)
        age = (day - log.events["time"].iloc[rows].dt.normalize()) / DAY
        data = {"user": bought, "item": log.item_rows[rows], "age": age.to_numpy()}
        data |= {"fit": fit, "asked": asked, "items": items}
        if fit:
            for kind, table in (("user", log.users[:known]), ("item", log.items[:items])):
                self.encoders[kind].learn(table)
                fields = self.encoders[kind].encode(table)
                data |= {f"{kind}/{name}": field for name, field in fields.items() if name != kind}
            self.fitted = day
        found = self.answer(log, data)
        self.items = found["items"]
        self.users = np.zeros((known, self.items.shape[1]), np.float32)
        self.users[asked] = found["users"]

    def answer(self, log: EventLog, data: dict) -> dict[str, np.ndarray]:
        if self.process is None:
            self.start(log)
        np.savez(self.folder / "ask.npz", **data)
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(f"{self.folder}\n")
            self.process.stdin.flush()
            self.cpu = float(self.process.stdout.readline())
        except (BrokenPipeError, ValueError):
            self.process.wait()
            said = [line for line in (self.folder / "stderr").read_text().splitlines() if line]
            said = said[-1] if said else "it said nothing"
            said = said if watch.is_alive() else f"no answer within {PATIENCE:.0f} s"
            self.close()
            raise RuntimeError(f"{Path(self.command[-1]).name} ended: {said:.200}") from None
        finally:
            watch.cancel()
        with np.load(self.folder / "answer.npz", allow_pickle=False) as found:
            return dict(found)

    def start(self, log: EventLog) -> None:
        if not Path(self.command[0]).exists():
            name = Path(self.command[-1]).name
            raise RuntimeError(f"{name} has no environment; see what make bench says of it")
        folder = tempfile.TemporaryDirectory()
        self.folder = Path(folder.name)
        room = {"user": len(log.users), "item": len(log.items)}
        for kind, table in (("user", log.users), ("item", log.items)):
            whole = Encoder(table)
            whole.learn(table)  # only how many there are is told
            room |= {f"{kind}/{name}": n for name, n in whole.sizes.items() if name != kind}
        with open(self.folder / "stderr", "w") as said:
            self.process = subprocess.Popen(
                [*map(str, self.command), json.dumps(self.options), json.dumps(room)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=self.folder,
                env=os.environ | ALONE,
            )
        self.close = weakref.finalize(self, _stop, self.process, folder)


def _stop(process: subprocess.Popen, folder: tempfile.TemporaryDirectory) -> None:
    """End a script and wait for it; at the latest when its recommender is forgotten."""
    process.kill()
    process.communicate()
    folder.cleanup()


class Arm(NamedTuple):
    """`make(log, seed)` gives what makes a recommender of options; `dials` are values to try."""

    make: Callable[[EventLog, int], Callable[..., Recommender]]
    dials: tuning.Dials
    drawn: bool = True  # whether the seed makes a difference


def towers(**defaults) -> Callable:
    def make(log: EventLog, seed: int, **options) -> TwoTowerNightly:
        return TwoTowerNightly(new_state(log, Settings(**defaults | options | {"seed": seed})))

    return lambda log, seed: partial(make, log, seed)


def baseline(kind: type) -> Arm:
    return Arm(lambda log, seed: kind, tuning.DIALS[kind], drawn=False)


def peer(environment: str, script: str, dials: tuning.Dials, **defaults) -> Arm:
    command = [ENVIRONMENTS / environment / "bin" / "python", HERE / "peers" / f"{script}.py"]
    return Arm(lambda log, seed: partial(Peer, log, command, seed=seed, **defaults), dials)


PLAIN = {
    "q_half_life": (14.0, 30.0),
    "temperature": (0.07, 0.14),
    "embedding_lr": (0.05, 0.2),
}
TWO_TOWER = {"weight": (0.5, 1.5), "temperature": (0.1,), "rate": (1e-3, 1e-2)}
LIBRECOMMENDER = partial(peer, "librecommender", "librecommender_two_tower", TWO_TOWER, prior="log")
ARMS = {
    "ours, plain towers": Arm(towers(), PLAIN),
    "ours, all items, averaged": Arm(
        towers(**{name: tuning.RECIPE[name] for name in ("negatives", "mask_bought", "average")}),
        PLAIN,
    ),
    "ours, everything": Arm(towers(**tuning.RECIPE), tuning.TOWERS),
    "popularity": baseline(baselines.Popularity),
    "item-to-item CF": baseline(baselines.ItemCF),
    "user-kNN": baseline(baselines.UserKNN),
    "ALS": baseline(baselines.ALS),
    "EASE": baseline(baselines.EASE),
    "implicit ALS": peer(
        "implicit",
        "implicit_als",
        {"weight": (0.3, 3.0), "regularization": (10.0,), "alpha": (3.0,), "half_life": (120.0,)},
        daily=True,
        regularization=30.0,
    ),
    "implicit BPR": peer(
        "implicit",
        "implicit_bpr",
        {"weight": (6.0, 20.0, 1.0), "half_life": (60.0,), "passes": (150,)},
        weight=3.0,
    ),
    "LightFM WARP": peer(
        "lightfm",
        "lightfm_warp",
        {"weight": (4.0, 16.0, 1.0), "half_life": (20.0,), "rate": (0.02,)},
        weight=2.0,
    ),
    "SASRec": peer(
        "torch_rechub",
        "sasrec",
        {
            "table_rate": (3e-2,),
            "rate": (3e-3,),
            "weight": (0.7,),
            "dropout": (0.5,),
            "layers": (1,),
        },
        prior="log",
        daily=True,
        refit=1,
    ),
    "LibRecommender TwoTower": LIBRECOMMENDER(),
    "LibRecommender TwoTower rfm": LIBRECOMMENDER(ssl_pattern="rfm"),
    "LibRecommender TwoTower cfm": LIBRECOMMENDER(ssl_pattern="cfm"),
    "torch-rechub DSSM": peer("torch_rechub", "torch_rechub_dssm", TWO_TOWER, prior="log"),
    "TFRS retrieval": peer(
        "tfrs", "tfrs_retrieval", TWO_TOWER | {"rate": (0.03, 0.3)}, prior="log"
    ),
}


def measured(
    arm: Arm, log: EventLog, module, tries: int, seeds: Sequence[int]
) -> tuple[list[dict], pd.DataFrame]:
    """A row per seed, and the hits of every day; options are chosen once, with the first seed."""
    tuned = tuning.tune(
        log, arm.make(log, seeds[0]), arm.dials, module.TUNING, tries, progress=False
    )
    print(tuned.tries[["options", "R@100", "cpu_s"]].to_string(), file=sys.stderr, flush=True)
    return replayed(arm, log, module, tuned, seeds)


def replayed(
    arm: Arm, log: EventLog, module, tuned: tuning.Tuned, seeds: Sequence[int]
) -> tuple[list[dict], pd.DataFrame]:
    """A row per seed, and the hits of every day, of the options that were chosen."""
    rows, days = [], []
    for seed in seeds if arm.drawn else seeds[:1]:
        started = time.process_time()
        recommender = arm.make(log, seed)(**tuned.options)
        result = replay(log, recommender, *module.TEST, progress=False)
        spent = time.process_time() - started + getattr(recommender, "cpu", 0.0)
        spelled = " ".join(f"{name}={value}" for name, value in tuned.options.items())
        more = {"tries": len(tuned.tries), "cpu_seconds": round(spent, 1), "options": spelled}
        rows.append(table_row("", seed, result, more))
        hit = (result["rank"] <= 100).groupby(result["day"].dt.strftime("%Y-%m-%d"))
        days.append(hit.agg(events="size", hits="sum").reset_index())
    by_day = pd.concat(days).groupby("day").mean().round(1)
    return rows, by_day.reset_index()


def keep(
    log: str,
    arm: str,
    rows: list[dict],
    days: pd.DataFrame | None = None,
    table: Path | None = None,
) -> None:
    """Put an arm's rows, and its days, in the place of its old ones."""
    table = table or TABLE
    by_day = table.with_name(f"{table.stem}_by_day.csv")
    tables = {table: (pd.DataFrame(rows), ["seed"], COLUMNS.split())}
    if days is not None:
        tables[by_day] = days, ["day"], ["log", "arm", "day", "events", "hits"]
    for table, (new, order, columns) in tables.items():
        new = new.assign(log=log, arm=arm)
        if table.exists():
            old = pd.read_csv(table)
            new = pd.concat([old[(old["log"] != log) | (old["arm"] != arm)], new])
        rank = {name: place for place, name in enumerate(ARMS)}
        new = new.assign(place=new["arm"].map(rank), second=new["log"] != "online_retail")
        new = new.sort_values(["second", "log", "place", "arm", *order]).reindex(columns=columns)
        with atomic_write(table) as path:
            new.to_csv(path, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", default="online_retail", help="a module of course_lib")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--tries", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    module = importlib.import_module(f"course_lib.{options.log}")
    log = getattr(module, f"load_{options.log}")()
    for name in options.arms:
        days = None
        try:
            rows, days = measured(ARMS[name], log, module, options.tries, options.seeds)
        except Exception as error:  # whatever a library does, the others are measured
            note = f"{type(error).__name__}: {error}".splitlines()[0]
            rows = [{"seed": options.seeds[0], "note": note, **stamp()}]
        keep(options.log, name, rows, days)
        print(name, rows, flush=True)


if __name__ == "__main__":
    main()
