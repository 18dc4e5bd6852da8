"""The committed tables of long runs, in data/results: how they are read and compared."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd

from course_lib import __version__
from course_lib.evaluation import Difference, paired_difference, summary

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
TUNING = ("2011-04-01", "2011-06-01")
TEST = ("2011-06-01", "2011-12-10")
SEEDS = range(5)


def table_row(arm: str, seed: int, result: pd.DataFrame, more: dict | None = None) -> dict:
    """What a table says of one replay."""
    measured = {"arm": arm, "seed": seed, **summary(result).round(5).to_dict(), **(more or {})}
    return measured | {"version": __version__, "date": datetime.date.today().isoformat()}


def load(name: str) -> pd.DataFrame:
    """The committed table of an experiment."""
    return pd.read_csv(RESULTS / f"{name}.csv")


def against(table: pd.DataFrame, arm: str, other: str, column: str = "R@100") -> Difference:
    """How much more one arm of a table has than another, pair by pair: a pair is a seed. Raises
    ValueError for an unknown arm.
    """
    seeds = table.pivot_table(column, "seed", "arm")
    for name in (arm, other):
        if name not in seeds:
            raise ValueError(
                f"the table has no arm '{name}'; its arms are {', '.join(dict.fromkeys(table['arm']))}."
            )
    return paired_difference(seeds[arm], seeds[other])
