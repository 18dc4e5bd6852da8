"""The committed tables of long runs, in data/results: how they are read and compared."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from course_lib import __version__
from course_lib.evaluation import SLICES, Difference, paired_difference, summary
from course_lib.online_retail import TEST as TEST  # the tables' days, which chapters read here
from course_lib.online_retail import TUNING as TUNING

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
SEEDS = range(5)


def stamp() -> dict[str, str]:
    """The library's version and the date, as every row of a table has them."""
    return {"version": __version__, "date": datetime.date.today().isoformat()}


def table_row(arm: str, seed: int, result: pd.DataFrame, more: dict | None = None) -> dict:
    """What a table says of one replay."""
    measured = summary(result).round(5).to_dict()
    return {"arm": arm, "seed": seed, **measured, **(more or {}), **stamp()}


def load(name: str) -> pd.DataFrame:
    """The committed table of an experiment."""
    return pd.read_csv(RESULTS / f"{name}.csv")


def against(table: pd.DataFrame, arm: str, other: str, column: str = "R@100") -> Difference:
    """How much more one arm of a table has than another, pair by pair: a pair is a seed. Raises
    ValueError for an unknown arm.
    """
    _check_arms(table, arm, other)
    seeds = table.pivot_table(column, "seed", "arm")
    return paired_difference(seeds[arm], seeds[other])


def along(
    table: pd.DataFrame, parameter: str, arms: Iterable[str], column: str = "R@100"
) -> dict[str, list[Difference]]:
    """How much more than plain arms have, at each value of a sweep's parameter from the least on.
    For `figures.gains`.
    """
    parts = [part for _, part in table.groupby(parameter)]
    return {arm: [against(part, arm, "plain", column) for part in parts] for arm in arms}


def relative(
    table: pd.DataFrame, parameter: str, arms: Iterable[str], column: str = "R@100"
) -> dict[str, list[Difference]]:
    """`along`, in per cent of what plain has at each value."""
    plain = table[table["arm"] == "plain"].groupby(parameter)[column].mean()
    return {
        arm: [in_percent(*pair) for pair in zip(found, plain, strict=True)]
        for arm, found in along(table, parameter, arms, column).items()
    }


def in_percent(difference: Difference, level: float) -> Difference:
    """The same difference, in per cent of a level."""
    return difference.times(100 / level)


def against_by_day(table: pd.DataFrame, arm: str, other: str) -> Difference:
    """How much more R@100 one arm has than another in a table of `events` and `hits` by `day`: a
    pair is a day, and weighs as much as it has events. Raises ValueError for an unknown arm, and
    for arms that were not asked about the same events.
    """
    _check_arms(table, arm, other)
    ours, theirs = (table[table["arm"] == name].set_index("day") for name in (arm, other))
    if not ours["events"].sort_index().equals(theirs["events"].sort_index()):
        raise ValueError(f"'{arm}' and '{other}' were not asked about the same events every day.")
    theirs = theirs.loc[ours.index]
    rates = (arm["hits"] / arm["events"] for arm in (ours, theirs))
    return paired_difference(*rates, weights=ours["events"])


def verdict(*found: Difference) -> str:
    """ "yes" or "no" if all intervals lie above zero, or all below, else "cannot tell"."""
    yes, no = all(d.low > 0 for d in found), all(d.high < 0 for d in found)
    return "yes" if yes else "no" if no else "cannot tell"


def agree(seeds: pd.Series, level: float) -> str:
    """ "yes" or "no" if all seeds lie above a level, or all below, else "cannot tell"."""
    return verdict(*(Difference(gap, gap, gap, 1) for gap in seeds - level))


def by_slice(
    table: pd.DataFrame, days: pd.DataFrame, bases: dict[str, str]
) -> dict[str, dict[str, Difference]]:
    """How much more R@100 each arm has than its base: of all events, over seeds and over days, and
    of each slice, over seeds. For `figures.differences_by`: the titles say the base's level. If the
    arms have a base each, that is their name, with its level.

    - `table`, `days`: an experiment's table, and that by day. `bases`: the base of each arm.

    Raises ValueError if only some of the arms share a base.
    """
    level, different = table.groupby("arm")[["R@100", *SLICES]].mean(), set(bases.values())
    if len(different) not in (1, len(bases)):
        raise ValueError(f"{len(bases)} arms have {len(different)} bases; give one, or one each.")
    one = different if len(different) == 1 else ()
    shown = {c: "".join(f" ({level.loc[base, c]:.3f})" for base in one) for c in level}
    names = {a: a if one else f"{b} ({level.loc[b, 'R@100']:.3f})" for a, b in bases.items()}
    by_day = {names[a]: against_by_day(days, a, b) for a, b in bases.items()}
    found = {
        ("all events" if column == "R@100" else column) + shown[column]: {
            names[a]: against(table, a, b, column) for a, b in bases.items()
        }
        for column in level
    }
    (overall, by_seed), *slices = found.items()
    return {f"{overall}, over seeds": by_seed, "all events, over days": by_day} | dict(slices)


def _check_arms(table: pd.DataFrame, *names: str) -> None:
    arms = list(dict.fromkeys(table["arm"]))
    for name in names:
        if name not in arms:
            raise ValueError(f"the table has no arm '{name}'; its arms are {', '.join(arms)}.")
