"""Self-supervised terms by the names that stand in the tables."""

from __future__ import annotations

from typing import NamedTuple

from course_lib import augment
from course_lib.augment import Augmentation, SelfSupervision
from course_lib.log import EventLog
from course_lib.mutual_information import mutual_information, shuffled_columns

CORRECTED = ", corrected MI"
NAMES = (
    "random mask",
    "dropout",
    "complementary",
    "correlated mask",
    "correlated mask" + CORRECTED,
)


class Term(NamedTuple):
    """A term: an augmentation by its name in `NAMES`, α, τ_s and m."""

    name: str
    alpha: float = 0.1
    temperature: float = 0.3
    m: int = 256

    def on(self, log: EventLog, until: str | None = None) -> SelfSupervision:
        """The term, with relations of the items that are listed by `until` (None: of all)."""
        chosen = augmentation(self.name, log, until)
        return SelfSupervision(chosen, self.alpha, self.temperature, self.m)


def augmentation(name: str, log: EventLog, until: str | None = None) -> Augmentation:
    """An augmentation by its name in `NAMES` or `augment.AUGMENTATIONS`; mutual information is that
    of the items listed by `until` (None: all), every item once.
    """
    items = log.items if until is None else log.items.iloc[: log.listed(until)]
    mi = mutual_information(items)
    if name.endswith(CORRECTED):
        mi -= mutual_information(shuffled_columns(items))
    return augment.augmentation(name.removesuffix(CORRECTED), mi)
