"""Features: index 0, vocabularies that know no future, counts that forget, histories that end in
time.
"""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, refusal, same, tiny_frames, trained, with_listing

from course_lib.features import (
    DecayedCounts,
    Encoder,
    FeatureStore,
    as_new_items,
    drop_fields,
    index_rows,
)
from course_lib.log import DAY, EventLog

START = pd.Timestamp("2020-01-01")


@pytest.fixture
def store(tiny: EventLog) -> FeatureStore:
    """Vocabularies and counts of the tiny log's first two days: ann bought mug and bag, bob bag,
    cid mug.
    """
    store = FeatureStore.of(tiny, (1.0, 2.0), history=2)
    for day in tiny.days[:2]:
        store.learn(tiny, tiny.rows(day, day + DAY))
        store.count(tiny, tiny.rows(day, day + DAY), day)
    return store


# -- the encoder -----------------------------------------------------------------------------------
# -------------------


def test_encoder_by_hand(tiny: EventLog):
    encoder = Encoder(tiny.items)
    assert encoder.sizes == {"item": 1, "colour": 1, "words": 1}  # names, and not one value
    encoder.learn(tiny.items.iloc[[0, 1]])  # mug, bag
    assert encoder.vocabularies == {
        "item": {"mug": 1, "bag": 2},
        "colour": {"red": 1, "blue": 2},
        "words": {"big": 1, "warm": 2, "soft": 3},
    }
    features = encoder.encode(tiny.items)  # mug, bag, lamp, vase
    assert features["item"].tolist() == [1, 2, 0, 0]  # new items are 0
    assert features["colour"].tolist() == [1, 2, 1, 0]  # the vase has none
    assert features["words"].tolist() == [
        [1, 2],
        [3, 1],
        [0, 0],
        [0, 0],
    ]  # the lamp has none, the vase's is unknown
    assert all(values.dtype == torch.long for values in features.values())
    encoder.learn(tiny.items)
    assert encoder.encode(tiny.items)["item"].tolist() == [1, 2, 3, 4]  # what had an index keeps it
    assert encoder.sizes == {"item": 5, "colour": 3, "words": 5}


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=["None", "NaN", "NA", "NaT"])
def test_missing_is_never_a_value(missing: object):
    index = pd.Index(["a", "b", "c"], name="item")
    table = pd.Series(["red", missing, "red"], index, dtype=object).to_frame("colour")
    encoder = Encoder(table)
    encoder.learn(table)
    assert encoder.sizes["colour"] == 2
    assert encoder.encode(table)["colour"].tolist() == [1, 0, 1]


def test_bags_by_hand():
    words = [["x", "y"], ["x", "z"], ["y"], ["x", "x"], None, []]
    table = pd.Series(words, pd.Index(range(6), name="item"), dtype=object).to_frame("words")
    encoder = Encoder(table)
    encoder.learn(table)
    assert encoder.encode(table)["words"].tolist() == [
        [1, 2],
        [1, 3],
        [2, 0],
        [1, 1],
        [0, 0],
        [0, 0],
    ]
    assert encoder.encode(table[4:])["words"].shape == (
        2,
        1,
    )  # a bag has room for one, even if nobody fills it
    assert encoder.encode(table[:0])["words"].shape == (0, 1)


def test_a_copy_of_the_encoder_learns_alone(tiny: EventLog):
    encoder = Encoder(tiny.items)
    twin = copy.deepcopy(encoder)
    twin.learn(tiny.items)
    assert (encoder.sizes["item"], twin.sizes["item"]) == (1, 5)


@pytest.mark.parametrize("kind", ["category", "string", object])
def test_every_kind_of_text_encodes_alike(tiny: EventLog, kind: object):
    frames = tiny_frames()
    frames["items"] = frames["items"].astype({"item": kind, "colour": kind})
    frames["events"] = frames["events"].astype({"item": kind})
    log = EventLog.from_frame(**frames)
    encoders = Encoder(tiny.items), Encoder(log.items)
    for encoder, table in zip(encoders, (tiny.items, log.items), strict=True):
        encoder.learn(table)
    a, b = encoders[0].encode(tiny.items), encoders[1].encode(log.items)
    assert all(same(a[name], b[name]) for name in a)


def test_names_that_torch_and_dict_use_too():
    """A teacher's field may be called anything: it is trained, saved and served under that name."""
    odd = ["type", "keys", "a.b", "forward", "items", "training", "", "log_q", "weight", "user"]
    frames = tiny_frames()
    frames["items"] = frames["items"].assign(**{name: list("wxyz") for name in odd})
    frames["users"] = frames["users"].assign(
        **{name.replace("user", "item"): list("xyz") for name in odd}
    )
    log = EventLog.from_frame(**frames)
    state = trained(log, SMALL, log.days)
    assert state.item_vectors(log, np.arange(4), log.days[-1]).shape == (4, 8)
    assert state.user_vectors(log, np.arange(3), 8).shape == (3, 8)
    assert all(state.features.items.sizes[name] == 5 for name in odd)


# -- no knowledge of the future
# ---------------------------------------------------------------------------------------


def until(log: EventLog, time: pd.Timestamp) -> EventLog:
    """The log as it was at `time`: no later event, and no item or user whose first event is later."""
    events = log.events[log.rows(end=time)]
    items, users = log.items.reset_index(), log.users.reset_index()
    return EventLog.from_frame(
        events,
        items[items["item"].isin(events["item"])].drop(columns="listed"),
        users[users["user"].isin(events["user"])],
    )


def test_a_truncated_log_gives_the_same_features(retail: EventLog):
    """Encode on the log as it was on a day = the prefix of what the whole log gives for that day."""
    time = retail.days[8]
    short = until(retail, time)
    stores = []
    for log in (short, retail):
        store = FeatureStore.of(log, (7.0, 2.0), history=30)
        for day in short.days:
            rows = log.rows(day, day + DAY)
            store.learn(log, rows)
            store.count(log, rows, day)
        stores.append(store)
    a, b = stores
    assert (
        a.items.vocabularies == b.items.vocabularies
        and a.users.vocabularies == b.users.vocabularies
    )
    assert 1_000 < len(short.items) < len(retail.items)
    items, users = np.arange(len(short.items)), np.arange(len(short.users))
    for one, other in (
        (a.item_features(short, items, time), b.item_features(retail, items, time)),
        (a.user_features(short, users, len(short)), b.user_features(retail, users, len(short))),
        (
            {"log q": a.log_q(torch.arange(1, 99), time)},
            {"log q": b.log_q(torch.arange(1, 99), time)},
        ),
    ):
        assert one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)


def test_what_happens_later_changes_nothing_today():
    """Two logs that part ways on the fifth: everything up to that morning is the same, scores
    included.
    """
    frames, other = with_listing(tiny_frames()), with_listing(tiny_frames())
    other["events"].loc[5:, ["user", "item"]] = [("bob", "vase"), ("cid", "lamp"), ("ann", "lamp")]
    logs = EventLog.from_frame(**frames), EventLog.from_frame(**other)
    morning = pd.Timestamp("2020-01-05")
    states = [trained(log, SMALL, [day for day in log.days if day < morning]) for log in logs]
    scores = []
    for log, state in zip(logs, states, strict=True):
        before = log.rows(morning).start
        assert before == 5
        items = log.items.index.get_indexer(["mug", "bag", "lamp", "vase"])
        scores.append(
            state.user_vectors(log, np.arange(3), before)
            @ state.item_vectors(log, items, morning).T
        )
    assert same(*scores)
    assert states[0].features.items.vocabularies == states[1].features.items.vocabularies


# -- counts that forget
# -----------------------------------------------------------------------------------------------


def everything(counts: DecayedCounts, time: pd.Timestamp, size: int) -> list[list[float]]:
    return counts.at(time, torch.arange(size)).tolist()


def test_forgetting_counts_by_hand():
    counts = DecayedCounts((1.0, 2.0))
    assert everything(counts, START, 3) == [[0, 0]] * 3
    counts.add(torch.tensor([1, 2, 1]), START)
    for settle in (False, True):
        if settle:
            counts.flush(START, 3)
        assert everything(counts, START, 3) == [[0, 0], [2, 2], [1, 1]]
        assert everything(counts, START + 2 * DAY, 3) == [
            [0, 0],
            [0.5, 1],
            [0.25, 0.5],
        ]  # two days: a quarter, a half
        assert counts.total(START + 2 * DAY).tolist() == [0.75, 1.5]
        assert counts.at(START, torch.tensor([2, 1, 2, 9])).tolist() == [
            [1, 1],
            [2, 2],
            [1, 1],
            [0, 0],
        ]
    counts.add(torch.tensor([3]), START + 2 * DAY)
    assert everything(counts, START + 2 * DAY, 5) == [[0, 0], [0.5, 1], [0.25, 0.5], [1, 1], [0, 0]]
    assert everything(counts, START + 3 * DAY, 4)[3] == [0.5, 0.5**0.5]


@pytest.mark.parametrize("settle_every", [1, 3, 100])
def test_forgetting_counts_against_the_sum_over_events(settle_every: int):
    rng = np.random.default_rng(0)
    half_lives, size = np.array([0.5, 3.0, 20.0]), 7
    counts, events = DecayedCounts(tuple(half_lives)), []
    for i, day in enumerate(sorted(rng.choice(40, 12, replace=False))):
        indices = rng.integers(size, size=5)
        counts.add(torch.from_numpy(indices), START + day * DAY)
        if (i + 1) % settle_every == 0:
            counts.flush(START + day * DAY, size)
        events += [(index, day) for index in indices]
    expected = np.zeros((size, 3))
    for index, day in events:
        expected[index] += 0.5 ** ((41 - day) / half_lives)
    time = START + 41 * DAY
    np.testing.assert_allclose(counts.at(time, torch.arange(size)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(counts.total(time).numpy(), expected.sum(0), rtol=1e-12)


def test_asking_does_not_change_the_counts():
    counts = DecayedCounts((1.0,))
    counts.add(torch.tensor([0]), START)
    counts.flush(START, 1)
    counts.at(START + 5 * DAY, torch.tensor([0])).zero_()
    assert everything(counts, START, 1) == [[1]]


def test_counts_that_go_back():
    counts = DecayedCounts((1.0,))
    counts.add(torch.tensor([0]), START + DAY)
    for call in (
        lambda: counts.at(START, torch.tensor([0])),
        lambda: counts.add(torch.tensor([0]), START),
    ):
        assert refusal(call).startswith("the counts stand at")


# -- forks -----------------------------------------------------------------------------------------
# -------------------


def test_a_fork_learns_ids_and_counts_without_changing_what_it_came_from(tiny: EventLog):
    store = FeatureStore.of(tiny, (7.0, 2.0), history=3)
    store.learn(tiny, tiny.rows(None, START + 2 * DAY))
    known = {name: dict(vocabulary) for name, vocabulary in store.items.vocabularies.items()}
    fork, rows = store.fork(), tiny.rows()
    fork.learn(tiny, rows, ids_only=True)
    fork.count(tiny, rows, START + 9 * DAY)
    again = fork.fork()
    again.count(tiny, rows, START + 9 * DAY)
    assert {
        name: dict(vocabulary) for name, vocabulary in store.items.vocabularies.items()
    } == known
    assert (
        store.counts.time is None and len(fork.counts.added) == 1 and len(again.counts.added) == 2
    )
    full = FeatureStore.of(tiny, (7.0, 2.0), history=3)
    full.learn(tiny, rows)
    everyone = np.arange(len(tiny.items))
    assert same(fork.item_indices(tiny, everyone), full.item_indices(tiny, everyone))
    assert fork.items.sizes["item"] == full.items.sizes["item"] == len(fork.items)
    assert {n: s for n, s in fork.items.sizes.items() if n != "item"} == {
        n: len(v) + 1 for n, v in known.items() if n != "item"
    }


# -- the feature store
# ------------------------------------------------------------------------------------------------


def test_item_features_by_hand(tiny: EventLog, store: FeatureStore):
    features = store.item_features(tiny, np.array([2, 0]), START + 3 * DAY)  # lamp (never met), mug
    assert {name: values.tolist() for name, values in features.items() if name != "popularity"} == {
        "item": [0, 1],
        "colour": [1, 1],
        "words": [[0, 0], [1, 2]],
    }
    mugs = 0.5 ** (3 / 2) + 0.5 ** (2 / 2)  # bought on the first and the second, half-life 2 days
    np.testing.assert_allclose(features["popularity"].numpy(), [[0.0], [np.log1p(mugs)]], rtol=1e-6)
    assert features["popularity"].dtype == torch.float32


def test_without_statistics_there_are_none(tiny: EventLog):
    store = FeatureStore.of(tiny, (1.0,), history=2)
    assert "popularity" not in store.item_features(tiny, np.arange(4), START)


def test_log_q_by_hand(tiny: EventLog, store: FeatureStore):
    """Half-life 1 day. On the third: mug and bag were bought once the day before and once two days
    before, of four purchases.
    """
    later = tiny.days[2]
    np.testing.assert_allclose(
        store.log_q(torch.tensor([1, 2, 1]), later).exp().numpy(), [0.5, 0.5, 0.5], rtol=1e-6
    )
    store.learn(tiny, tiny.rows(later, later + DAY))
    store.count(tiny, tiny.rows(later, later + DAY), later)  # one more mug, on the fourth
    old = 0.5**3 + 0.5**2
    share = np.array([old + 1, old]) / (2 * old + 1)
    np.testing.assert_allclose(
        store.log_q(torch.tensor([1, 2]), later).exp().numpy(), share, rtol=1e-6
    )


def test_user_features_by_hand(tiny: EventLog, store: FeatureStore):
    """Before row 5 ann has bought mug then bag, bob bag then mug, cid a mug; a code of -1 is
    somebody new.
    """
    features = store.user_features(tiny, np.array([0, 1, 2, -1]), before=5)
    assert features["user"].tolist() == [1, 2, 3, 0]
    assert features["city"].tolist() == [1, 2, 0, 0]
    assert features["history"].tolist() == [
        [2, 1],
        [1, 2],
        [1, 0],
        [0, 0],
    ]  # the latest first; mug is 1, bag is 2
    assert store.user_features(tiny, np.array([0]), before=8)["history"].tolist() == [
        [0, 2]
    ]  # the lamp is new to the store
    assert store.user_features(tiny, np.array([0]), before=0)["history"].tolist() == [[0, 0]]


@pytest.mark.parametrize("length", [1, 30])
def test_histories_against_brute_force(retail: EventLog, length: int):
    """For every buyer of a day: what was bought before that midnight, the latest first, at most
    `length`.
    """
    day = retail.days[20]
    store = FeatureStore.of(retail, (7.0,), history=length)
    store.learn(retail, retail.rows(end=day))
    buyers = np.unique(retail.user_rows[retail.rows(day, day + DAY)])
    history = store.user_features(retail, buyers, retail.rows(day).start)["history"]
    past = retail.events[retail.events["time"] < day]
    names = {index: item for item, index in store.items.vocabularies["item"].items()}
    assert history.shape == (len(buyers), length)
    for row, user in zip(history.tolist(), retail.users.index[buyers], strict=True):
        bought = past.loc[past["user"] == user, "item"].tolist()
        assert [names[index] for index in row if index] == bought[::-1][:length]
        assert row == sorted(row, key=lambda index: index == 0)  # empty places come last
    assert (history > 0).all(1).any() and (history == 0).all(
        1
    ).any()  # there are both, long histories and none


def test_item_ids_of_any_shape(tiny: EventLog, store: FeatureStore):
    assert store.item_indices(tiny, np.array([[0, -1], [1, 3]])).tolist() == [[1, 0], [2, 0]]
    assert store.item_indices(tiny, np.array([], dtype=int)).tolist() == []


# -- defaults in training
# ---------------------------------------------------------------------------------------------


def features_of(rows: int) -> dict[str, torch.Tensor]:
    return {
        "item": torch.arange(1, rows + 1),
        "words": torch.ones(rows, 2, dtype=torch.long),
        "popularity": torch.ones(rows, 3),
    }


def test_drop_fields_all_or_nothing():
    generator = torch.Generator().manual_seed(0)
    features = features_of(50)
    none, everything = drop_fields(features, 0.0, generator), drop_fields(features, 1.0, generator)
    assert all(same(none[name], features[name]) for name in features)
    assert not everything["item"].any() and not everything["words"].any()
    assert same(everything["popularity"], features["popularity"])  # purchase counts are no field
    assert all(
        same(features[name], values) for name, values in features_of(50).items()
    )  # and the input is as it was


def test_drop_fields_drops_a_share_and_whole_bags():
    features = features_of(20_000)
    dropped = drop_fields(features, 0.1, torch.Generator().manual_seed(0))
    items, words = dropped["item"] == 0, dropped["words"] == 0
    for gone in (items, words[:, 0]):
        assert (
            abs(gone.double().mean() - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5
        )  # four standard errors
    assert same(words[:, 0], words[:, 1])
    assert (
        abs((items & words[:, 0]).double().mean() - 0.01) < 4 * (0.01 / 20_000) ** 0.5
    )  # each field by itself
    again = drop_fields(features, 0.1, torch.Generator().manual_seed(0))
    assert same(dropped["item"], again["item"])


def test_as_new_items_all_or_nothing():
    features, generator = features_of(50), torch.Generator().manual_seed(0)
    none, everything = (as_new_items(features, "item", share, generator) for share in (0.0, 1.0))
    assert all(same(none[name], features[name]) for name in features)
    assert list(everything) == list(features)
    assert same(everything["item"], torch.zeros(50, dtype=torch.long)) and same(
        everything["popularity"], torch.zeros(50, 3)
    )
    assert same(everything["words"], features["words"])  # what they are stays
    assert all(
        same(features[name], values) for name, values in features_of(50).items()
    )  # and the input is as it was
    del features["popularity"]
    assert list(as_new_items(features, "item", 1.0, generator)) == ["item", "words"]


@pytest.mark.parametrize("share", [0.3, 0.999])
def test_as_new_items_takes_counts_and_id_together(share: float):
    features = features_of(20_000)
    new, again, other = (
        as_new_items(features, "item", share, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    gone = new["item"] == 0
    assert (
        abs(gone.double().mean() - share) < 4 * (share * (1 - share) / 20_000) ** 0.5
    )  # four standard errors
    assert same(new["item"][~gone], features["item"][~gone])
    assert same(new["popularity"], (~gone).float()[:, None].expand(-1, 3)) and same(
        new["words"], features["words"]
    )
    assert all(same(new[name], again[name]) for name in features) and not same(
        new["item"], other["item"]
    )


def test_take():
    taken = index_rows(features_of(4), torch.tensor([2, 2, 0]))
    assert taken["item"].tolist() == [3, 3, 1] and taken["words"].shape == (3, 2)
