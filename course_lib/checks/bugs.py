"""Checks of the planted bugs: each takes a learner's function, and fails if it has the bug.

A failure says what was expected, what came, and the likely reason.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch

from course_lib.augment import Augmentation, field_names
from course_lib.checks.examples import shop
from course_lib.features import Features, FeatureStore
from course_lib.full_update import Examples, full_update
from course_lib.incremental_update import DeltaTable, incremental_update
from course_lib.index import FaissIndex, VectorIndex
from course_lib.log import DAY, HOUR, EventLog
from course_lib.state import State
from course_lib.towers import TwoTower

Logits = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def check_logq_sign(logits: Logits) -> None:
    """Of two negatives with one cosine the popular one has the lower logit, by the gap of log q."""
    users, log_q = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([0.2, 0.7, 0.1]).log()
    items = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    row = logits(users, items, log_q, torch.arange(3), 0.1)[0]
    expected = float(log_q[2] - log_q[1])
    if not np.isclose(float(row[1] - row[2]), expected, atol=1e-5):
        raise AssertionError(
            "Same cosine, q = 0.7 and 0.1: the popular negative's logit minus the other's should "
            f"be {expected:+.2f}, and is {float(row[1] - row[2]):+.2f}. Is log q subtracted, and "
            "after the division by τ?"
        )


def check_temperature_first(logits: Logits) -> None:
    """With all cosines 0 the temperature has nothing to scale: logits must not depend on it."""
    users, items = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
    log_q = torch.tensor([0.9, 0.1]).log()
    cold, warm = (logits(users, items, log_q, torch.arange(2), tau) for tau in (0.05, 1.0))
    if not torch.allclose(cold, warm):

        def rounded(logits):
            return [round(logit, 2) for logit in logits[0].tolist()]

        raise AssertionError(
            f"All cosines are 0, yet τ = 0.05 gives {rounded(cold)} and τ = 1 gives "
            f"{rounded(warm)}: log q was divided by τ too. Divide the cosine by τ first, then "
            "correct."
        )


@contextmanager
def leaking_histories() -> Iterator[None]:
    """Within it, histories contain the day that they are made for: a bug, to be looked at."""
    honest = FeatureStore.user_features

    def leaking(store, log, users, before):
        morning = log.events["time"].iloc[before].normalize()
        return honest(store, log, users, log.rows(end=morning + DAY).stop)

    with mock.patch.object(FeatureStore, "user_features", leaking):
        yield


def check_history(batch: Examples) -> None:
    """First purchases only: no item is in the history that its own event is predicted from."""
    inside = (batch.users["history"] == batch.ids[:, None]).any(1) & (batch.ids > 0)
    if inside.any():
        raise AssertionError(
            f"{int(inside.sum())} of {len(inside)} events have their own item in the user's "
            "history: the history contains the day itself. End it before the day's first event."
        )


def check_ties(recall_of_scores: Callable[[torch.Tensor], float]) -> None:
    """A model that gives every item the same score knows nothing, and must score 0."""
    found = recall_of_scores(torch.zeros(4, 1000))
    if found != 0:
        raise AssertionError(
            f"All items score the same, and R@100 is {found:.2f}; it should be 0. Count ties "
            "against the model."
        )


Search = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def check_inner_product(search: Search) -> None:
    """`search(vectors [m, d], queries [n, d], k) -> ids [n, k]`, by product.

    On vectors whose products, distances and cosines disagree.
    """
    vectors, query = (np.array(v, np.float32) for v in ([[3, 3], [1, 0], [0, -1]], [[1, 0]]))
    found = tuple(np.asarray(search(vectors, query, 3))[0].tolist())
    if found != (0, 1, 2):
        reasons = {
            "(1, 2, 0)": "That is the order of L2 distances. Faiss's lists and graphs measure "
            "those unless METRIC_INNER_PRODUCT is said.",
            "(1, 0, 2)": "That is the order of cosines: something divides by the length.",
            "(2, 1, 0)": "That is the wrong way round: a larger product is better, a larger "
            "distance is worse.",
        }
        reason = reasons.get(str(found), "Does it return ids, and all three of them?")
        raise AssertionError(
            f"The products are 3, 1 and 0, so the order should be (0, 1, 2), and is {found}. "
            f"{reason}"
        )


def check_unit_length(embed: Callable[[TwoTower, Features], torch.Tensor]) -> None:
    """`embed(model, item_features) -> [m, d]`: what is stored has length 1, and its direction."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = TwoTower(["item"], ["user"], dim=4, hidden=4)
        model.grow({"item": 5}, {"user": 1})
        features = {"item": torch.arange(5)}
        vectors, right = embed(model, features), model.item_vectors(features)
    lengths = vectors.norm(dim=1)
    if not torch.allclose(lengths, torch.ones(5), atol=1e-4):
        raise AssertionError(
            "Five stored vectors should all have length 1, and have lengths from "
            f"{lengths.min():.2f} to {lengths.max():.2f}: long ones would be preferred. Is the "
            "division by the length left out?"
        )
    if not torch.allclose(vectors, right, atol=1e-4):
        raise AssertionError(
            "The lengths are 1, but the vectors do not point where the item tower's do. Divide by "
            "the length only."
        )


def check_version_refused(load: Callable[[Path, str], VectorIndex]) -> None:
    """`load(path, version)` must open an index of that version, and refuse any other's."""
    with tempfile.TemporaryDirectory() as folder:
        path, index = Path(folder, "index"), FaissIndex()
        index.version = "v1"
        index.build(np.eye(3, dtype=np.float32), np.arange(3))
        index.save(path)
        if len(load(path, "v1")) != 3:
            raise AssertionError(
                "The file holds 3 vectors of version v1, v1 was asked for, and something else "
                "came. Load the file."
            )
        try:
            load(path, "v2")
        except ValueError:
            return
        raise AssertionError(
            "The file holds vectors of version v1, v2 was asked for, and they were handed out: "
            "v2's user vectors would search v1's item vectors. Is the version compared when the "
            "index is loaded?"
        )


def check_shuffle(order: Callable[[int, torch.Generator], torch.Tensor]) -> None:
    """`order(n, generator) -> [n]`, in which a day's n events are trained: each once, time lost."""
    n = 4_000
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    first, second = (torch.as_tensor(order(n, seed)) for seed in seeds)
    if not torch.equal(first.sort().values, torch.arange(n)):
        raise AssertionError(
            f"The order of {n} events has {len(first)} places and {len(first.unique())} different "
            "events; each event should come once. Is something drawn with replacement, or is what "
            "the buffer still holds at the end left out?"
        )
    if torch.equal(first, second):
        raise AssertionError(
            "Two seeds gave the same order of 4,000 events; it should be random. Is the generator "
            "used?"
        )
    kept = float(np.corrcoef(first.numpy(), np.arange(n))[0, 1])  # of places: the rank correlation
    near = float(((first[1:] - first[:-1]).abs() < n // 50).float().mean())  # by chance 2 in 50
    if near > 0.5 and abs(kept) < 0.5:
        raise AssertionError(
            f"The day as a whole is mixed, but {near:.0%} of the neighbours come from the same "
            "fiftieth of the day, and by chance it would be 4 %: whole blocks were shuffled, and "
            "not the events in them. Shuffle events."
        )
    if abs(kept) > 0.1:
        raise AssertionError(
            f"The rank correlation of place in and place out should be near 0, and is {kept:+.2f}: "
            "what happened early is trained early. Is the shuffle buffer smaller than the day?"
        )
    if near > 0.08:
        raise AssertionError(
            f"{near:.0%} of the neighbours come from the same fiftieth of the day, and by chance "
            "it would be 4 %: parts of the day stayed together. Is each shard shuffled in itself, "
            "and not with the others?"
        )


def _a_shop() -> tuple[EventLog, State, pd.Timestamp]:
    """Four items, and a busy hour of the third day."""
    log, state, day = shop(
        "ann mug 01T09, bob bag 01T10, cem sign 01T11, ann clock 02T09, bob mug 02T10",
        "cem bag 02T11, ann sign 03T10:05, bob clock 03T10:40, ann bag 04T10:10, cem mug 04T10:20",
    )
    return log, state, day + 10 * HOUR


def _values(state: State) -> dict[str, torch.Tensor]:
    """A copy of every parameter by name; of a table, the rows that the last full state has."""
    model, values = state.model, {}
    fields = model.item_fields, model.user_fields
    names = [name for first, *rest in fields for name in (f"{first} IDs", *rest)]
    full = (state.full or state).model.tables()
    for name, table, last in zip(names, model.tables(), full, strict=True):
        values[f"the table of {name}"] = table.rows(torch.arange(len(last))).detach().clone()
    return values | {n: p.detach().clone() for n, p in model.named_parameters() if "tower" in n}


def check_frozen(update: Callable[[State, EventLog, pd.Timestamp], State]) -> None:
    """`update(state, log, hour) -> state` moves the ID rows that the hour names, and no more."""
    log, state, hour = _a_shop()
    before = _values(state)
    after = _values(update(state, log, hour))
    if any(not torch.equal(values, before[name]) for name, values in _values(state).items()):
        raise AssertionError(
            "The state that was passed in has changed, and it is being served; work on a copy."
        )
    rows = log.rows(hour, hour + HOUR)
    codes = {"item": log.item_rows[rows], "user": log.user_rows[rows]}
    named = {"item": state.features.item_indices(log, codes["item"])}
    named["user"] = state.features.users.encode(log.users.iloc[codes["user"]])["user"]
    of_ids = {f"the table of {kind} IDs": ids for kind, ids in named.items()}
    for name, old in sorted(
        before.items(), key=lambda pair: pair[0] in of_ids
    ):  # what must be frozen comes first
        moved, ids = after[name][: len(old)] != old, of_ids.get(name)
        if ids is None and moved.any():
            raise AssertionError(
                f"{name} should be frozen, and moved by up to "
                f"{(after[name] - old).abs().max():.1g}. A gradient of zero does not hold a "
                "parameter: momentum and weight decay go on. Is it left out of the optimiser, or "
                "its gradient None?"
            )
        if ids is not None and not moved.any(1)[ids].all():
            raise AssertionError(
                f"In {name} a row of the hour's events did not move. Does the step reach the ID "
                "tables?"
            )
        if ids is not None and moved.any(1).sum() > len(ids.unique()):
            raise AssertionError(
                f"In {name} {int(moved.any(1).sum())} rows moved, and the hour's events name "
                f"{len(ids.unique())}. Histories read item IDs too: does their gradient get "
                "through?"
            )


def _same_values(one: State, other: State) -> bool:
    a, b = one.model.state_dict(), other.model.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check_full_start(night: Callable[[State, EventLog, pd.Timestamp], State]) -> None:
    """`night(state, log, day) -> state` gets an incremental state, and starts from the full one."""
    log, state, hour = _a_shop()
    hourly, _ = incremental_update(state, log, hour)
    expected, found = full_update(state, log, hour), night(hourly, log, hour.normalize())
    if found.full is not None:
        raise AssertionError(
            "After the night the state is still an incremental one. Return what full_update "
            "returns."
        )
    if not _same_values(found, expected):
        raise AssertionError(
            "After the night the model should be the one that the last full state and the day "
            "make, bit for bit, and it is another: if what the hours learned is in it, the night "
            "has learned the same events again. Start from state.full."
        )


def check_discard(day: Callable[[State, EventLog, pd.Timestamp], State]) -> None:
    """`day(state, log, day) -> state`: a day's hours and its night; no hour is left over."""
    log, state, _ = _a_shop()
    expected = found = state
    for number, midnight in enumerate(log.days[2:], 1):
        expected, found = full_update(expected, log, midnight), day(found, log, midnight)
        table = found.model.item_tables[0]
        if found.full is not None or isinstance(table, DeltaTable):
            raise AssertionError(
                f"After {number} day(s) the state that goes on is an incremental one, with "
                f"{len(table.ids)} item rows of its own: tomorrow's hours would build on today's. "
                "Return the full update's state, and drop the other."
            )
        if not _same_values(found, expected):
            raise AssertionError(
                f"After {number} day(s) the model is not the one that full updates of all days "
                "make. Was a day left out, or learned twice? Each night starts from the full "
                "state of the night before."
            )


# -- self-supervised learning ---------------------------------------------------------------------


Loss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
Draw = Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]


def check_views_differ(augment: Augmentation) -> None:
    """The two views of an item are drawn one by one: few items have the same view twice."""
    first, second = augment(_whole_items(500), torch.Generator().manual_seed(0))
    same = [(first[name] == second[name]).reshape(500, -1).all(1) for name in field_names(first)]
    share = float(torch.stack(same).all(0).float().mean())
    if share > 0.9:
        raise AssertionError(
            f"{share:.0%} of 500 items have two equal views; it should be a small share. Do both "
            "views use one mask, or a generator that was set back in between?"
        )


def check_positive_counted_once(loss: Loss, draw: Draw) -> None:
    """An item's other view is its positive, and no negative: not counted twice, and no copy.

    - `loss`: (first [m, d], second [m, d], temperature) → the self-supervised loss.
    - `draw`: (item index of every event [events], m, generator) → the indices of m items.
    """
    found, expected = float(loss(torch.eye(3), torch.eye(3), 1.0)), math.log(1 + 2 / math.e)
    if not math.isclose(found, expected, rel_tol=1e-4):
        raise AssertionError(
            "Three items, equal views, all else at cosine 0, τ = 1: the loss should be log(e + 2) "
            f"− 1 = {expected:.3f}, and is {found:.3f}. Is the diagonal in the sum of the "
            f"negatives as well ({math.log(2 + 2 / math.e):.3f})?"
        )
    events = torch.arange(1, 7).repeat(5)
    drawn = draw(events, 6, torch.Generator().manual_seed(0))
    different = len(set(drawn.tolist()))
    if len(drawn) != 6 or different != 6:
        raise AssertionError(
            f"6 items drawn out of 6 should be all of them; there are {len(drawn)}, {different} of "
            "them different. A copy of an item is a negative of itself: draw without replacement."
        )


def check_uniform_draw(draw: Draw) -> None:
    """The tail is drawn as often as the head.

    - `draw`: (item index of every event, m, generator) → the indices of m items.
    """
    events = torch.cat([torch.ones(1_000, dtype=torch.long), torch.arange(2, 21)])  # 1 is the head
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([draw(events, 5, generator) for _ in range(400)])
    head, tail = float((drawn == 1).float().mean()), float((drawn == 20).float().mean())
    if not all(0.025 < share < 0.075 for share in (head, tail)):
        raise AssertionError(
            "20 items, one of them with 98 % of the events: each should be 5 % of what is drawn; "
            f"the head item is {head:.0%}, one bought once {tail:.0%}. Draw from the catalogue, "
            "each item once, not from the events."
        )


def check_complement(augment: Augmentation) -> None:
    """Every field is in one of the two views, and in one only."""
    features, generator = _whole_items(8), torch.Generator().manual_seed(0)
    for _ in range(20):
        views = augment(features, generator)
        for name in field_names(features):
            shown = sum((view[name] > 0).reshape(8, -1).any(1).int() for view in views)  # [8]
            both, neither = int((shown == 2).sum()), int((shown == 0).sum())
            if both or neither:
                raise AssertionError(
                    f"Field '{name}' of 8 items should be in exactly one view of each; it is in "
                    f"both views of {both} items and in neither of {neither}. The second view must "
                    "show what the first one hides, and only that: draw once."
                )


def check_past_only(measure: Callable[[EventLog, pd.Timestamp], pd.DataFrame]) -> None:
    """Mutual information must not know the test period, in which two logs differ.

    - `measure`: (log, first day of the test period) → k×k DataFrame.
    """
    day = pd.Timestamp("2020-02-01")
    one, other = measure(_log_until(day, "A"), day), measure(_log_until(day, "B"), day)
    if one.shape != other.shape or not one.index.equals(other.index):
        raise AssertionError(
            "Two logs with the same fields should give tables of the same fields; they are "
            "different ones."
        )
    gap = float((one - other).abs().max().max())
    if not gap < 1e-9:
        raise AssertionError(
            f"Two logs that differ only from {day:%Y-%m-%d} on should give the same table; the "
            f"tables differ by up to {gap:.2f} nats. Take the items listed by that day, and weigh "
            "them by the events before it."
        )


def _whole_items(n: int) -> Features:
    """n items without a missing value: six fields and two bags."""
    values = torch.arange(1, n + 1)
    bags = {"keywords": values[:, None].expand(n, 6), "moods": values[:, None].expand(n, 4)}
    fields = dict.fromkeys("item line label colour material price".split(), values)
    return fields | {name: bag.clone() for name, bag in bags.items()}


def _log_until(day: pd.Timestamp, future: str) -> EventLog:
    """A log whose events and new items from `day` on depend on `future`, and nothing before."""
    colours, shapes = ["red", "red", "blue", "blue"], ["bag", "mug", "mug", "bag"]
    new = {"A": ("red", "bag"), "B": ("grey", "cup")}[future]  # z, listed and sold after midnight
    items = {"item": list("pqrsz"), "colour": [*colours, new[0]], "shape": [*shapes, new[1]]}
    listed = [day - pd.Timedelta(days=20)] * 4 + [day + pd.Timedelta(hours=1)]
    later = {"A": "pe pf pg ph re rf rg rh ze zf", "B": "qe qf qg qh se ze zf zg zh"}[future]
    pairs = [(user, item) for item, user in "pa qa ra pb sb pc qd".split() + later.split()]
    events = pd.DataFrame(pairs, columns=["user", "item"])
    late = [day + pd.Timedelta(hours=2)] * (len(pairs) - 7)
    events["time"] = [day - pd.Timedelta(minutes=1)] * 7 + late
    users = pd.DataFrame({"user": list("abcdefgh")})
    return EventLog.from_frame(events, pd.DataFrame(items).assign(listed=listed), users)
