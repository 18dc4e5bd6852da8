"""The augmentations by counting, mutual information against scikit-learn and by hand, and the
checks for learners.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, refusal, same, trained
from scipy.stats import chisquare
from sklearn.metrics import mutual_info_score

from course_lib import checks
from course_lib.augment import (
    AUGMENTATIONS,
    Complementary,
    CorrelatedMask,
    Dropout,
    RandomMask,
    SelfSupervision,
    augmentation,
    field_names,
    uniform_items,
    vectors_together,
)
from course_lib.checks import bugs
from course_lib.features import Features
from course_lib.full_update import full_update
from course_lib.log import EventLog
from course_lib.losses import self_supervised
from course_lib.mutual_information import mutual_information, shuffled_columns
from course_lib.state import State

NAMES = ["item", "colour", "label", "keywords", "price"]  # k = 5


def some_mi(names: list[str] = NAMES) -> pd.DataFrame:
    """The further apart two names stand in the list, the less they are related."""
    places = np.arange(len(names))
    return pd.DataFrame(1 / (1 + abs(places[:, None] - places)), index=names, columns=names)


everyone = pytest.mark.parametrize(
    "augment", [augmentation(name, some_mi()) for name in AUGMENTATIONS], ids=AUGMENTATIONS
)


def some_items(n: int = 6) -> Features:
    """n items, no value missing but for places in the bags, which hold 1 to 4 values."""
    values = torch.arange(1, n + 1)
    keywords = torch.arange(1, 4 * n + 1).reshape(n, 4) * (torch.arange(4) <= (values % 4)[:, None])
    return {
        "item": values,
        "colour": values % 3 + 1,
        "label": values % 5 + 1,
        "keywords": keywords,
        "price": values % 2 + 1,
        "popularity": torch.linspace(0.1, 3, 3 * n).reshape(n, 3),
    }


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown(view: Features) -> torch.Tensor:
    """[n, k] whether each item shows each field at all."""
    return torch.stack(
        [(view[name] > 0).reshape(len(view[name]), -1).any(1) for name in field_names(view)], dim=1
    )


# -- all of them -----------------------------------------------------------------------------------
# -------------------


@everyone
def test_a_view_shows_the_items_own_values_or_the_default(augment):
    features = some_items()
    before = {name: values.clone() for name, values in features.items()}
    for seed in range(20):
        for view in augment(features, generator(seed)):
            assert list(view) == list(features)
            for name in NAMES:
                assert (
                    view[name].dtype == features[name].dtype
                    and view[name].shape == features[name].shape
                )
                assert ((view[name] == features[name]) | (view[name] == 0)).all()
    assert all(same(features[name], values) for name, values in before.items())


@everyone
def test_the_generator_alone_decides(augment):
    torch.manual_seed(1)
    features, state = some_items(50), torch.get_rng_state()
    first, second = augment(features, generator(3)), augment(features, generator(3))
    for one, other in zip(first, second, strict=True):
        assert all(same(one[name], other[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), state)
    calls = [augment(features, generator(seed)) for seed in range(8)]
    assert any(not torch.equal(calls[0][0]["keywords"], call[0]["keywords"]) for call in calls)


@everyone
def test_purchase_counts_are_no_field(augment):
    """Zero in both views."""
    features = some_items()
    for view in augment(features, generator()):
        assert same(view["popularity"], torch.zeros(6, 3))
    del features["popularity"]
    assert all(list(view) == NAMES for view in augment(features, generator()))


@everyone
def test_items_that_are_all_default_teach_nothing(augment, tiny_state: State):
    """Both views are the item itself, all items look alike, and the loss is that of a model that
    knows nothing: log m.
    """
    features = {name: torch.zeros_like(values) for name, values in some_items().items()}
    views = augment(features, generator())
    for view in views:
        assert all(same(view[name], features[name]) for name in features)
    names = tiny_state.model.item_fields
    as_tiny = [
        {"item": view["item"], "colour": view["colour"], "words": view["keywords"]}
        for view in views
    ]
    assert names == list(as_tiny[0])
    with torch.no_grad():
        views = [view | {"popularity": torch.zeros(6, 1)} for view in as_tiny]
        first, second = vectors_together(tiny_state.model.item_vectors, *views)
    assert float(self_supervised(first, second, 0.1)) == pytest.approx(math.log(6), rel=1e-5)


@everyone
def test_items_without_fields_are_refused(augment):
    assert "too few fields (none)" in refusal(
        augment, {"popularity": torch.zeros(3, 1)}, generator()
    )
    assert "too few fields (none)" in refusal(augment, {}, generator())


@everyone
def test_no_items_have_no_views(augment):
    empty = {name: values[:0] for name, values in some_items().items()}
    for view in augment(empty, generator()):
        assert {name: values.shape for name, values in view.items()} == {
            name: values.shape for name, values in empty.items()
        }


MADE_UP = '''
class FirstHalf:
    """Hides the second half of the fields from one view, and nothing from the other."""

    def __call__(self, features, generator):
        fields = [name for name in features if name != "popularity"]
        counts = {name: 0 * features[name] for name in features if name not in fields}
        hidden = {name: 0 * features[name] for name in fields[len(fields) // 2 :]}
        return {**features, **counts, **hidden}, {**features, **counts}


def made(mi):
    return FirstHalf()
'''


def test_an_augmentation_is_one_new_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: EventLog
):
    """A file and a line in the registry; and a joint step is trained with it."""
    (tmp_path / "augment_made_up.py").write_text(MADE_UP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(AUGMENTATIONS, "made up", "augment_made_up:made")
    augment = augmentation("made up", some_mi())
    test_a_view_shows_the_items_own_values_or_the_default(augment)
    first, second = augment(some_items(), generator())
    assert shown(first)[0].tolist() == [True] * 2 + [False] * 3 and shown(second).all()
    before = trained(tiny, SMALL, tiny.days[:2])
    plain, joint = (
        full_update(before, tiny, tiny.days[2], term=term)
        for term in (None, SelfSupervision(augment, alpha=1.0, m=2))
    )
    weights = [state.model.item_tables[0].weight.detach() for state in (before, plain, joint)]
    assert not torch.equal(weights[1], weights[2]) and not torch.equal(weights[0], weights[2])
    assert "there is no augmentation 'new'; the ones that are: random mask" in refusal(
        augmentation, "new", some_mi()
    )


@pytest.mark.parametrize("augment", [Complementary(), CorrelatedMask(some_mi())])
def test_one_field_can_not_be_split(augment):
    assert "too few fields (item); this augmentation needs at least 2" in refusal(
        augment, {"item": torch.arange(3)}, generator()
    )


@pytest.mark.parametrize("kind", [RandomMask, Dropout])
@pytest.mark.parametrize("p", [-0.1, 1, 1.5, math.nan, math.inf, True, "0.5", None])
def test_p_is_a_chance_below_one(kind, p: float):
    assert refusal(kind, p).startswith(f"p is {p!r}")


# -- one by one ------------------------------------------------------------------------------------
# -------------------


def test_random_mask_masks_every_field_and_the_id_alike():
    """Shares within 4 standard errors of p, whole bags, the views on their own: both masked in p²
    of the places.
    """
    n, p = 20_000, 0.3
    features = some_items(n)
    first, second = RandomMask(p)(features, generator())
    masked = [~shown(view) for view in (first, second)]
    for mask in masked:
        np.testing.assert_allclose(mask.float().mean(0), p, atol=4 * math.sqrt(p * (1 - p) / n))
        assert np.abs(np.corrcoef(mask.T.numpy())[np.triu_indices(5, 1)]).max() < 4 / math.sqrt(n)
    both = (masked[0] & masked[1]).float().mean(0)
    np.testing.assert_allclose(both, p * p, atol=4 * math.sqrt(p * p / n))
    bags = first["keywords"]
    assert ((bags == features["keywords"]).all(1) | (bags == 0).all(1)).all()


def test_random_mask_with_p_zero_changes_no_field():
    features = some_items()
    assert all(
        same(view[name], features[name])
        for view in RandomMask(0)(features, generator())
        for name in NAMES
    )


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_drops_values_of_bags_alone(p: float):
    n = 20_000
    features = some_items(n)
    filled = features["keywords"] > 0
    kept = []
    for view in Dropout(p)(features, generator()):
        assert all(same(view[name], features[name]) for name in NAMES if name != "keywords")
        kept.append((view["keywords"] > 0)[filled].float())
        assert float(kept[-1].mean()) == pytest.approx(
            1 - p, abs=4 * math.sqrt(p * (1 - p) / len(kept[-1]))
        )
    assert float((kept[0] * kept[1]).mean()) == pytest.approx((1 - p) ** 2, abs=0.01)
    fours = (
        kept[0].new_zeros(filled.shape).masked_scatter(filled, kept[0])[filled.all(1)]
    )  # [bags of four, 4]
    assert float(np.abs(np.corrcoef(fours.T.numpy())[np.triu_indices(4, 1)]).max()) < 4 / math.sqrt(
        len(fours)
    )
    assert Dropout() == Dropout(0.5)


def test_dropout_needs_a_bag():
    features = some_items()
    del features["keywords"]
    assert refusal(Dropout(), features, generator()).startswith(
        "no field of these items is multi-valued"
    )


def test_complementary_splits_the_fields_in_two_halves():
    """No field in both views, none in neither, ⌊k/2⌋ in the first; the same for all items; every
    such split is drawn.
    """
    splits = set()
    for seed in range(200):
        first, second = (shown(view) for view in Complementary()(some_items(), generator(seed)))
        assert (first ^ second).all()
        assert (first == first[0]).all() and int(first[0].sum()) == 2
        splits.add(tuple(first[0].tolist()))
    assert len(splits) == math.comb(5, 2)


def test_complementary_of_two_fields_shows_one_each():
    features = {"item": torch.arange(1, 4), "colour": torch.ones(3, dtype=torch.long)}
    for seed in range(5):
        first, second = (shown(view) for view in Complementary()(features, generator(seed)))
        assert (first ^ second).all() and (first.sum(1) == 1).all()


def test_correlated_mask_by_hand():
    """k = 5: the seed and its two nearest are masked, ties by the order of the fields; two are
    retained.
    """
    expected = {
        "item": ["item", "colour", "label"],
        "colour": ["colour", "item", "label"],
        "label": ["label", "colour", "keywords"],
        "keywords": ["keywords", "label", "price"],
        "price": ["price", "keywords", "label"],
    }
    augment = CorrelatedMask(some_mi())
    assert augment.masked == expected
    counts = {frozenset(masked): 0 for masked in expected.values()}
    for seed in range(300):
        first, second = (shown(view) for view in augment(some_items(), generator(seed)))
        assert (first ^ second).all() and (first == first[0]).all()
        counts[
            frozenset(
                name
                for name, is_shown in zip(NAMES, first[0].tolist(), strict=True)
                if not is_shown
            )
        ] += 1
    assert (
        chisquare(list(counts.values()), [120, 60, 120]).pvalue > 1e-3
    )  # item and colour mask the same, and so do the last two


@pytest.mark.parametrize("k", range(2, 10))
def test_correlated_mask_masks_the_seed_and_half_of_k(k: int):
    augment = CorrelatedMask(some_mi([f"field {i}" for i in range(k)]))
    size = 1 if k == 2 else 1 + k // 2
    assert all(
        len(set(masked)) == size and masked[0] == seed for seed, masked in augment.masked.items()
    )
    assert k - size == (k // 2 if k % 2 else max(k // 2 - 1, 1))  # retained


def test_correlated_mask_goes_by_names():
    """The fields of mi may come in another order than those of the items, and must be the same
    ones.
    """
    backwards = CorrelatedMask(some_mi().iloc[::-1, ::-1])
    for seed in range(20):
        views = backwards(some_items(), generator(seed))
        masked = {
            name
            for name, is_shown in zip(NAMES, shown(views[0])[0].tolist(), strict=True)
            if not is_shown
        }
        assert masked in [set(masked) for masked in backwards.masked.values()]
    features = some_items()
    features["city"] = features.pop("colour")
    assert refusal(backwards, features, generator()).endswith(
        "other fields than the items have: city, colour."
    )


def test_a_matrix_that_is_no_mutual_information_is_refused():
    mi = some_mi()
    assert "shape (1, 1)" in refusal(CorrelatedMask, mi.iloc[:1, :1])
    assert "shape (5, 4)" in refusal(CorrelatedMask, mi.iloc[:, :4])
    assert "same order" in refusal(CorrelatedMask, mi.iloc[::-1])
    twice = mi.iloc[[0, 0, 1], [0, 0, 1]]
    assert "must be the same fields" in refusal(CorrelatedMask, twice)
    for value in (math.nan, math.inf, 7.0):
        spoilt = mi.copy()
        spoilt.iloc[0, 1] = value
        if math.isinf(value):
            spoilt.iloc[1, 0] = value
        assert "not symmetric or has a value that is not finite" in refusal(CorrelatedMask, spoilt)


# -- the sampler -----------------------------------------------------------------------------------
# -------------------


@pytest.mark.parametrize(("known", "m"), [(12, 4), (12, 11), (40_000, 3)])
def test_uniform_items_are_different_and_equally_likely(known: int, m: int):
    chance = generator(5)
    drawn = torch.stack([uniform_items(known, m, chance) for _ in range(3_000)])
    assert drawn.dtype == torch.long and drawn.min() >= 1 and drawn.max() <= known
    assert all(len(set(row)) == m for row in drawn.tolist())
    bins = np.bincount((drawn.numpy().ravel() - 1) * 12 // known, minlength=12)
    # draws without replacement scatter less than chisquare assumes, so a small p-value would be all
    # the stranger
    assert chisquare(bins).pvalue > 1e-3


def test_a_small_catalogue_is_taken_whole():
    assert sorted(uniform_items(5, 256, generator()).tolist()) == [1, 2, 3, 4, 5]
    assert sorted(uniform_items(5, 5, generator()).tolist()) == [1, 2, 3, 4, 5]
    orders = {tuple(uniform_items(3, 9, generator(seed)).tolist()) for seed in range(100)}
    assert orders == set(itertools.permutations([1, 2, 3]))


def test_the_sampler_goes_by_its_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, other = generator(2), generator(2)
    first = uniform_items(1_000, 20, one)
    assert same(first, uniform_items(1_000, 20, other))
    assert not torch.equal(first, uniform_items(1_000, 20, one))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("known", "m"), [(5, 1), (5, 0), (5, -3), (1, 5), (0, 5)])
def test_one_item_is_no_contrast(known: int, m: int):
    assert refusal(uniform_items, known, m, generator()).startswith(
        f"m is {m} and {known} items are known"
    )


def test_one_pass_has_the_vectors_of_three(tiny: EventLog, tiny_state: State):
    """Two views of four items and one item as it is, whose bag is narrower."""
    model, day = tiny_state.model, pd.Timestamp("2020-01-07")
    features = tiny_state.features.item_features(tiny, np.array([0, 1, 2, 3]), day)
    parts = [
        *RandomMask(0.4)(features, generator()),
        tiny_state.features.item_features(tiny, np.array([3]), day),
    ]
    assert parts[2]["words"].shape[1] < parts[0]["words"].shape[1]
    with torch.no_grad():
        together, apart = (
            vectors_together(model.item_vectors, *parts),
            [model.item_vectors(part) for part in parts],
        )
    assert [len(vectors) for vectors in together] == [4, 4, 1]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)
    assert not torch.allclose(*together[:2])


# -- the term --------------------------------------------------------------------------------------
# -------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        *(
            ({"alpha": a}, f"alpha is {a!r}; it must")
            for a in (-0.1, math.nan, math.inf, True, "1")
        ),
        *(
            ({"temperature": t}, f"temperature is {t}; it must")
            for t in (0, -0.1, math.nan, math.inf, True, None)
        ),
        *(({"m": m}, f"m is {m}; it must") for m in (1, 0, -5, 2.0, math.nan, True)),
    ],
)
def test_a_term_that_can_not_be_is_refused(options: dict, reason: str):
    assert refusal(SelfSupervision, RandomMask(0.5), **options).startswith(reason)


def test_numbers_of_numpy_are_numbers():
    term = SelfSupervision(Dropout(np.float32(0.5)), np.float64(1), np.float32(0.2), np.int64(3))
    plain = SelfSupervision(Dropout(0.5), 1.0, 0.2, 3)
    for one, other in zip(
        *(t.views(some_items(), generator()) for t in (term, plain)), strict=True
    ):
        assert all(same(one[name], other[name]) for name in one)


def test_a_term_of_weight_zero_is_one():
    term = SelfSupervision(RandomMask(0.5), alpha=0)
    assert (term.alpha, term.temperature, term.m) == (0, 0.2, 256)


@pytest.mark.parametrize(("m", "drawn"), [(2, 2), (11, 11), (12, 12), (256, 12)])
def test_the_views_are_of_m_different_items(m: int, drawn: int):
    """Dropout leaves all but the bags, so both views say which items were drawn; all of them, if
    there are fewer than m.
    """
    catalogue = some_items(12)
    before = {name: values.clone() for name, values in catalogue.items()}
    for view in SelfSupervision(Dropout(0.5), m=m).views(catalogue, generator(3)):
        ids = view["item"].tolist()
        assert len(ids) == len(set(ids)) == drawn and set(ids) <= set(range(1, 13))
        for name in ("colour", "label", "price"):
            assert same(view[name], catalogue[name][view["item"] - 1])
    assert all(same(catalogue[name], values) for name, values in before.items())


def test_views_of_a_term_go_by_the_generator_and_every_item_is_drawn_alike():
    term, catalogue = SelfSupervision(Dropout(), m=3), some_items(12)
    one, again = (term.views(catalogue, generator(1)) for _ in range(2))
    assert all(same(a[name], b[name]) for a, b in zip(one, again, strict=True) for name in a)
    chance = generator(5)
    drawn = torch.cat([term.views(catalogue, chance)[0]["item"] for _ in range(2_000)])
    assert chisquare(np.bincount(drawn.numpy(), minlength=13)[1:]).pvalue > 1e-3


def test_what_the_augmentation_refuses_the_term_refuses():
    one = {name: values[:1] for name, values in some_items().items()}
    assert refusal(SelfSupervision(RandomMask(0.5)).views, one, generator()).startswith(
        "m is 256 and 1 items are known"
    )


# -- mutual information
# -----------------------------------------------------------------------------------------------


def table(**fields: list) -> pd.DataFrame:
    n = len(next(iter(fields.values())))
    return pd.DataFrame(fields, index=pd.Index([f"i{row}" for row in range(n)], name="item"))


def random_table(n: int = 300) -> pd.DataFrame:
    """`b` follows `a` half of the time; `c` has gaps; `d` is always the same."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 6, n)
    b = np.where(rng.random(n) < 0.5, a % 3, rng.integers(0, 3, n))
    c = [None if gap else f"c{v}" for gap, v in zip(rng.random(n) < 0.4, (a + b) % 4, strict=True)]
    return table(a=[f"a{v}" for v in a], b=b.tolist(), c=c, d=["same"] * n)


def test_mutual_information_of_a_2_by_4_table_by_hand():
    """Counts 2 1 1 0 / 0 1 1 2 of 8: two cells hold 1/4 where 1/8 is expected, the others as
    expected: MI = ½ log 2.
    """
    items = table(row=list("aaaabbbb"), column=[1, 1, 2, 3, 2, 3, 4, 4])
    mi = mutual_information(items)
    assert list(mi.index) == list(mi.columns) == ["item", "row", "column"]
    expected = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.5], [2.0, 0.5, 2.0]]) * math.log(2)
    np.testing.assert_allclose(mi, expected, atol=1e-12)


def test_mutual_information_against_scikit_learn():
    items = random_table()
    mi, columns = mutual_information(items), items.reset_index().fillna("none")
    for one, other in itertools.product(mi.index, repeat=2):
        assert mi.loc[one, other] == pytest.approx(
            mutual_info_score(columns[one], columns[other]), abs=1e-9
        ), (one, other)


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        ("category", "Int64", "string"),
        ("string[pyarrow]", "int8", "category"),
        (object, "int64[pyarrow]", object),
    ],
)
def test_a_field_of_any_pandas_type_is_the_same_field(a, b, c):
    items = random_table()
    found = mutual_information(items.astype({"a": a, "b": b, "c": c}))
    pd.testing.assert_frame_equal(found, mutual_information(items))
    weights = pd.Series(range(300), index=items.index)
    plain = mutual_information(items, weights)
    for kind in ("Int64", "Float64", "int64[pyarrow]"):
        pd.testing.assert_frame_equal(mutual_information(items, weights.astype(kind)), plain)
    gap = weights.astype("Int64").mask(weights == 3)
    assert refusal(mutual_information, items, gap).startswith("weights must be finite")


def test_weights_are_repeated_rows():
    items = random_table(60)
    weights = np.random.default_rng(1).integers(0, 5, 60)
    mi, columns = (
        mutual_information(items, weights),
        items.reset_index().fillna("none").loc[np.repeat(np.arange(60), weights)],
    )
    for one, other in itertools.product(mi.index, repeat=2):
        assert mi.loc[one, other] == pytest.approx(
            mutual_info_score(columns[one], columns[other]), abs=1e-9
        ), (one, other)
    by_item = pd.Series(weights, index=items.index)[weights > 0].sample(
        frac=1, random_state=0
    )  # unsold items are not in it
    pd.testing.assert_frame_equal(mutual_information(items, by_item), mi)
    pd.testing.assert_frame_equal(mutual_information(items, 7.0 * weights), mi)


def test_bags_are_drawn_from():
    """Against all pairs (value of one field, value of the other) of every item, 1/L each, counted
    by scikit-learn.
    """
    items = table(
        words=[
            ["soft", "big"],
            ["big"],
            [],
            ["warm", "big", "soft", "red"],
            ["red"],
            ["soft", "warm"],
        ],
        moods=[["glad"], ["glad", "calm"], ["calm"], [], ["calm", "wild", "glad"], ["wild"]],
        colour=["red", "blue", "red", None, "red", "blue"],
    )
    weights = [1, 2, 3, 1, 4, 2]
    mi = mutual_information(items, np.array(weights))
    values = {
        name: [
            list(v) or ["none"] if isinstance(v, list) else [v if isinstance(v, str) else "none"]
            for v in column
        ]
        for name, column in items.reset_index().items()
    }
    for one, other in itertools.combinations(values, 2):
        pairs = [
            (x, y, weight / len(xs) / len(ys))
            for xs, ys, weight in zip(values[one], values[other], weights, strict=True)
            for x in xs
            for y in ys
        ]
        joint = pd.DataFrame(pairs, columns=["x", "y", "share"]).pivot_table(
            "share", "x", "y", "sum", fill_value=0
        )
        counts = (
            (joint.to_numpy() * 144).round().astype(int)
        )  # scikit-learn wants whole numbers; L is 1, 2, 3 or 4
        assert counts.sum() == 144 * sum(weights)
        expected = mutual_info_score(None, None, contingency=counts)
        assert mi.loc[one, other] == pytest.approx(expected, abs=1e-9), (one, other)
    drawn = {
        "soft": 1 / 2 + 1 / 4 + 1,
        "big": 1 / 2 + 2 + 1 / 4,
        "default": 3,
        "warm": 1 / 4 + 1,
        "red": 1 / 4 + 4,
    }
    shares = np.array(list(drawn.values())) / sum(weights)
    assert shares.sum() == pytest.approx(1)
    assert mi.loc["words", "words"] == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-9)


def test_shuffled_columns_keep_their_values_and_lose_their_relations():
    n = 2_000
    numbers = np.random.default_rng(3).integers(0, 20, n)
    items = table(
        a=[f"a{v}" for v in numbers],
        b=(numbers % 5).tolist(),
        words=[[f"w{v}", "x"] for v in numbers],
    )
    before, shuffled = items.copy(deep=True), shuffled_columns(items, seed=1)
    pd.testing.assert_frame_equal(items, before)
    assert list(shuffled) == list(items) and shuffled.index.name == "item"
    assert sorted(shuffled.index) == sorted(items.index) and list(shuffled.index) != list(
        items.index
    )
    for name in items:
        assert (
            sorted(shuffled[name]) == sorted(items[name])
            and shuffled[name].tolist() != items[name].tolist()
        )
    mi, chance = mutual_information(items), mutual_information(shuffled)
    np.testing.assert_allclose(np.diag(chance), np.diag(mi), atol=1e-9)  # as many of every value
    for one, other in (("a", "b"), ("a", "words"), ("b", "words")):  # a and the words determine b
        assert chance.loc[one, other] < 0.05 * mi.loc[one, other]
    assert (
        chance.loc["item", "a"] == mi.loc["item", "a"]
    )  # of a field with a value for each row nothing else can be said
    pd.testing.assert_frame_equal(shuffled, shuffled_columns(items, seed=1))
    assert shuffled_columns(items, seed=2)["a"].tolist() != shuffled["a"].tolist()


def test_mutual_information_has_no_gaps_and_two_equal_halves():
    items = random_table()
    items["words"] = [["x"], []] * 150
    mi = mutual_information(items)
    assert np.isfinite(mi).all(axis=None)
    pd.testing.assert_frame_equal(mi, mi.T)
    assert (mi["d"] == 0).all()  # one value: exactly nothing to tell
    assert (
        mi.loc["item", ["a", "b", "c", "words"]] == np.diag(mi)[[1, 2, 3, 5]]
    ).all()  # the ID determines the others
    pd.testing.assert_frame_equal(mi, mutual_information(items))


@pytest.mark.parametrize("n", [9, 11, 12, 17])
def test_nothing_in_common_is_zero_and_not_below(n: int):
    """Sums of logarithms miss 0 by a hair, on either side."""
    mi = mutual_information(
        table(a=[i % 3 for i in range(n)], b=[i // 3 for i in range(n)], d=["same"] * n)
    )
    assert not np.signbit(mi).any(axis=None)


def test_one_row_tells_nothing():
    assert (mutual_information(table(a=["x"], words=[["y", "z"]])).drop("words") == 0).all(
        axis=None
    )


def test_bad_tables_and_weights_are_refused():
    items = random_table(10)
    assert "index without a name" in refusal(mutual_information, items.reset_index())
    for weights in (np.ones(9), np.ones((10, 1)), 3.0):
        assert refusal(mutual_information, items, weights).startswith("weights has shape")
    for bad in (math.nan, -1, math.inf):
        assert refusal(mutual_information, items, np.array([bad] + [1] * 9)).startswith(
            "weights must be finite"
        )
    assert refusal(mutual_information, items, np.zeros(10)).startswith("weights must be finite")
    assert refusal(mutual_information, items, pd.Series([1.0], index=["elsewhere"])).startswith(
        "weights must be finite"
    )
    assert (
        refusal(mutual_information, items.iloc[:0])
        == "items has no rows; mutual information needs at least one."
    )


def test_on_the_real_log_the_id_and_the_fields_of_many_values_are_always_masked(retail: EventLog):
    """What the docstring warns of: 4 of the 9 fields are hidden from the first view whatever the
    seed.
    """
    augment = CorrelatedMask(mutual_information(retail.items.iloc[: retail.listed("2011-06-01")]))
    always = set.intersection(*map(set, augment.masked.values()))
    assert len(augment.masked) == 9 and always == {"item", "label", "keywords", "line"}


# -- the checks for learners
# ------------------------------------------------------------------------------------------

K = field_names(bugs._whole_items(2))


@pytest.mark.parametrize(
    "augment", [RandomMask(0.3), Dropout(), Complementary(), CorrelatedMask(some_mi(K))]
)
def test_two_views_pass(augment):
    checks.check_views_differ(augment)


def one_mask_for_both(features, generator):
    first, _ = RandomMask(0.5)(features, generator)
    return first, dict(first)


def generator_set_back(features, generator):
    state = generator.get_state()
    first, _ = Dropout()(features, generator)
    generator.set_state(state)
    return first, Dropout()(features, generator)[0]


@pytest.mark.parametrize("augment", [one_mask_for_both, generator_set_back])
def test_a_shared_mask_is_caught(augment):
    with pytest.raises(AssertionError, match="^100% of 500 items have two equal views"):
        checks.check_views_differ(augment)


def draw_from_catalogue(events, m, generator):
    return uniform_items(int(events.max()), m, generator)


def draw_with_replacement(events, m, generator):
    return torch.randint(1, int(events.max()) + 1, (m,), generator=generator)


def draw_from_events(events, m, generator):
    return events[torch.randperm(len(events), generator=generator)[:m]]


def draw_the_first(events, m, generator):
    return events.unique()[:m]


def diagonal_twice(first, second, temperature):
    logits = first @ second.T / temperature
    both = [torch.cat([side.diagonal()[:, None], side], dim=1) for side in (logits, logits.T)]
    return (
        sum(
            torch.nn.functional.cross_entropy(side, torch.zeros(len(side), dtype=torch.long))
            for side in both
        )
        / 2
    )


def no_temperature(first, second, temperature):
    return self_supervised(first, second, temperature * 2)


def test_a_positive_counted_once_passes():
    checks.check_positive_counted_once(self_supervised, draw_from_catalogue)


@pytest.mark.parametrize(
    ("loss", "draw", "reason"),
    [
        (diagonal_twice, draw_from_catalogue, r"is 1\.006. Is the diagonal"),
        (no_temperature, draw_from_catalogue, "Three items"),
        (self_supervised, draw_with_replacement, "draw without replacement"),
    ],
)
def test_a_positive_among_the_negatives_is_caught(loss, draw, reason: str):
    with pytest.raises(AssertionError, match=reason):
        checks.check_positive_counted_once(loss, draw)


def test_a_uniform_draw_passes():
    checks.check_uniform_draw(draw_from_catalogue)


@pytest.mark.parametrize("draw", [draw_from_events, draw_the_first])
def test_a_draw_by_popularity_is_caught(draw):
    with pytest.raises(AssertionError, match="Draw from the catalogue"):
        checks.check_uniform_draw(draw)


@pytest.mark.parametrize("augment", [Complementary(), CorrelatedMask(some_mi(K))])
def test_complements_pass(augment):
    checks.check_complement(augment)


def overlapping(features, generator):
    """Two halves drawn one by one."""
    return Complementary()(features, generator)[0], Complementary()(features, generator)[1]


def second_view_whole(features, generator):
    return Complementary()(features, generator)[0], features


@pytest.mark.parametrize("augment", [overlapping, second_view_whole, RandomMask(0.5)])
def test_sets_that_overlap_are_caught(augment):
    with pytest.raises(AssertionError, match="should be in exactly one view of each"):
        checks.check_complement(augment)


def mi_of_the_past(log: EventLog, day: pd.Timestamp) -> pd.DataFrame:
    known = log.listed(day)
    return mutual_information(
        log.items.iloc[:known], np.bincount(log.item_rows[log.rows(None, day)], minlength=known)
    )


def mi_of_all_events(log, day):
    known = log.listed(day)
    return mutual_information(log.items.iloc[:known], log.events["item"].value_counts())


def mi_of_the_test_period(log, day):
    known = log.listed(day)
    return mutual_information(
        log.items.iloc[:known], log.events["item"][log.rows(day)].value_counts()
    )


def mi_of_all_items(log, day):
    return mutual_information(log.items)


def mi_nowhere(log, day):
    return mi_of_the_past(log, day) * math.nan


def test_mutual_information_of_the_past_passes():
    checks.check_past_only(mi_of_the_past)
    checks.check_past_only(lambda log, day: mutual_information(log.items.iloc[: log.listed(day)]))


@pytest.mark.parametrize(
    "measure", [mi_of_all_events, mi_of_the_test_period, mi_of_all_items, mi_nowhere]
)
def test_mutual_information_of_the_future_is_caught(measure):
    with pytest.raises(AssertionError, match="differ by up to"):
        checks.check_past_only(measure)
