"""The two towers and the baselines: how they compare, how they were tuned, what matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from scipy.sparse import csr_matrix

from course_lib.baselines import EASE, ItemCF, Popularity
from course_lib.experiments.replays import Baseline, Run, nightly
from course_lib.linear import low_rank_ease


def test() -> Iterator[Run]:
    """The two towers and the baselines on the test days, with their default settings: the chosen
    ones.
    """
    yield Run("popularity", 0, Baseline(Popularity))
    yield Run("item-to-item CF", 0, Baseline(ItemCF))
    yield Run("EASE", 0, Baseline(EASE))
    yield from nightly("two towers")


@dataclass(kw_only=True)
class LowRankEASE(EASE):
    """EASE in `rank` dimensions, as the towers' linear part has it."""

    rank: int = 64

    def fit(self, history: csr_matrix) -> None:
        rank = min(self.rank, *(size - 1 for size in history.shape))
        of_user, of_item = low_rank_ease(history.astype(float), rank, self.ridge)
        self.similarity = (of_user @ of_item.T).numpy()


def ranks() -> Iterator[Run]:
    """How much of what EASE finds is left in so many dimensions, all else as in `test`."""
    for rank in (16, 64):
        yield Run(f"EASE, {rank} dimensions", 0, Baseline(LowRankEASE, {"rank": rank}))


def tuning() -> Iterator[Run]:
    """How the baselines' default settings were chosen."""
    for half_life in (3, 5, 7, 10, 14):
        yield _tried("popularity", Popularity, half_life=half_life)
    for weight, half_life, recent in product((1.0, 3.0, 10.0), (30, 60), (3, 7)):
        yield _tried(
            "item-to-item CF",
            ItemCF,
            history_half_life=half_life,
            popularity=weight,
            popularity_half_life=recent,
        )
    for ridge, half_life, weight in product((50, 100, 200), (60, 120, 200), (0.15, 0.3, 0.6)):
        yield _tried("EASE", EASE, ridge=ridge, history_half_life=half_life, popularity=weight)


def _tried(name: str, kind: type, **options) -> Run:
    spelled = " ".join(f"{option}={value}" for option, value in options.items())
    return Run(f"{name} {spelled}", 0, Baseline(kind, options))


def ablation() -> Iterator[Run]:
    """One thing changed at a time, on the days that the settings were chosen on."""
    yield from nightly("as chosen")
    yield from nightly("no purchase counts", popularity_half_lives=())
    yield from nightly("history of 10 items", history=10)
    yield from nightly("history ends at the morning", session_prefix_share=0.0)
    yield from nightly("q half-life 3 days", q_half_life=3.0)
    yield from nightly("q half-life 30 days", q_half_life=30.0)
    yield from nightly("temperature 0.05", temperature=0.05)
    yield from nightly("temperature 0.2", temperature=0.2)
    yield from nightly("tables at a rate of 0.02", embedding_lr=0.02)
    yield from nightly("16 dimensions", dim=16)
