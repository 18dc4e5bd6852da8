"""The long runs behind the committed tables: `python -m course_lib.experiments NAME` rewrites
data/results/NAME.csv. And `augmentations`, the short ones that chapters 08 to 11 run themselves.

Every row carries its arm, its seed, the library's version and the date. The notebooks load the
tables (`course_lib.results`), and run one seed again to see that it lies where the table says.
"""

from course_lib.experiments.augmentations import (
    given_away,
    guessable,
    shown_by,
    what_views_share,
    with_and_without,
)
from course_lib.experiments.index_frontier import frontier, index_recall, synthetic_vectors
from course_lib.experiments.registry import EXPERIMENTS, run
from course_lib.experiments.replays import warm_state
from course_lib.experiments.self_supervision import ALPHAS, PLAIN
from course_lib.experiments.sweeps import EPOCHS, epochs
from course_lib.experiments.terms import NAMES, augmentation
from course_lib.experiments.updates import hours_and_opponents

__all__ = [
    "ALPHAS",
    "EPOCHS",
    "EXPERIMENTS",
    "NAMES",
    "PLAIN",
    "augmentation",
    "epochs",
    "frontier",
    "given_away",
    "index_recall",
    "guessable",
    "hours_and_opponents",
    "run",
    "shown_by",
    "synthetic_vectors",
    "warm_state",
    "what_views_share",
    "with_and_without",
]
