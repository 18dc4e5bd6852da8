"""Make data/item_map.csv, the plane of the course's items, anew: `python tests/make_item_map.py`.

t-SNE (van der Maaten and Hinton, 2008) puts items with near vectors side by side. What is far apart
on the map need not be far apart among vectors.
"""

import numpy as np
import pandas as pd
from sklearn.manifold import TSNE

from course_lib.full_update import full_update
from course_lib.item_map import DATA, kind
from course_lib.log import DAY, EventLog
from course_lib.online_retail import load_online_retail
from course_lib.state import new_state


def vectors(log: EventLog) -> np.ndarray:
    """[m, d] of all items, when the towers have learned every night of the log."""
    state = new_state(log)
    for day in log.days:
        state = full_update(state, log, day)
    return state.item_vectors(log, np.arange(len(log.items)), log.days[-1] + DAY).numpy()


def make(log: EventLog) -> pd.DataFrame:
    """`item`, `name`, `kind`, `x` and `y` (0 to 1000; y points down)."""
    plane = TSNE(perplexity=30, init="pca", random_state=0).fit_transform(vectors(log))
    plane = (1000 * (plane - plane.min(0)) / np.ptp(plane, axis=0).max()).round().astype(int)
    items, named = log.items, log.items["description"]
    columns = {"name": named, "kind": kind(items["label"]), "x": plane[:, 0], "y": plane[:, 1]}
    return pd.DataFrame(columns, items.index).reset_index()


if __name__ == "__main__":
    make(load_online_retail()).to_csv(DATA, index=False)
