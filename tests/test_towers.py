"""The towers against NumPy in float64, and the optimiser against torch's and against a plain loop."""

import numpy as np
import pytest
import torch
from helpers import same

from course_lib.features import Features
from course_lib.towers import EmbeddingTable, RowwiseAdagrad, TwoTower


def rows_of(table: EmbeddingTable) -> np.ndarray:
    return table.weight.detach().numpy().astype(np.float64)


def a_table(rows: int = 6, dim: int = 4, seed: int = 0) -> EmbeddingTable:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        table = EmbeddingTable(dim)
    table.grow(rows, torch.Generator().manual_seed(seed))
    return table


@pytest.fixture
def model() -> TwoTower:
    """Item fields `item` (9 rows), `words` (5, a bag) and one statistic; user fields `user` (7) and
    `city` (3).
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TwoTower(["item", "words"], ["user", "city"], popularity=2, dim=6, hidden=5)
    model.grow({"item": 9, "words": 5}, {"user": 7, "city": 3}, torch.Generator().manual_seed(0))
    return model


@pytest.fixture
def items() -> Features:
    return {
        "item": torch.tensor([1, 0, 8, 8]),
        "words": torch.tensor([[1, 4, 0], [0, 0, 0], [2, 2, 3], [0, 0, 4]]),
        "popularity": torch.tensor([[0.0, 1.5], [0.0, 0.0], [2.0, 0.3], [0.1, 0.1]]),
    }


@pytest.fixture
def users() -> Features:
    return {
        "user": torch.tensor([3, 0, 6]),
        "city": torch.tensor([0, 2, 1]),
        "history": torch.tensor([[8, 1, 0], [0, 0, 0], [2, 3, 5]]),
    }


# -- by hand ---------------------------------------------------------------------------------------
# -------------------


def pooled(rows: np.ndarray, bag: list[int]) -> np.ndarray:
    """The sum of the k rows that a bag names, over √k; the default row if it names none."""
    named = [rows[index] for index in bag if index] or [rows[0]]
    return np.sum(named, axis=0) / np.sqrt(len(named))


def linear(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.detach().numpy().astype(
        np.float64
    ).T + layer.bias.detach().numpy().astype(np.float64)


def tower(module, x: np.ndarray) -> np.ndarray:
    y = linear(module.shortcut, x) + linear(
        module.network[2], np.maximum(linear(module.network[0], x), 0)
    )
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def test_a_table_looks_up_rows_and_pools_bags():
    table = a_table()
    rows = rows_of(table)
    np.testing.assert_allclose(table(torch.tensor([3, 0, 5])).detach(), rows[[3, 0, 5]], rtol=1e-6)
    bags = [[3, 0, 5], [0, 0, 0], [2, 2, 1], [0, 4, 0]]
    expected = np.stack([pooled(rows, bag) for bag in bags])
    np.testing.assert_allclose(table(torch.tensor(bags)).detach(), expected, rtol=1e-6, atol=1e-8)


def test_item_vectors_against_numpy(model: TwoTower, items: Features):
    tables = [rows_of(table) for table in model.item_tables]
    x = tables[0][items["item"]] + np.stack(
        [pooled(tables[1], bag) for bag in items["words"].tolist()]
    )
    x += linear(model.item_tower.popularity, items["popularity"].numpy().astype(np.float64))
    vectors = model.item_vectors(items).detach().numpy()
    np.testing.assert_allclose(vectors, tower(model.item_tower, x), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_user_vectors_against_numpy(model: TwoTower, users: Features):
    """The history goes through the item tower's own ID table."""
    user, city = (rows_of(table) for table in model.user_tables)
    item = rows_of(model.item_tables[0])
    x = (
        user[users["user"]]
        + city[users["city"]]
        + np.stack([pooled(item, bag) for bag in users["history"].tolist()])
    )
    vectors = model.user_vectors(users).detach().numpy()
    np.testing.assert_allclose(vectors, tower(model.user_tower, x), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_without_statistics_a_tower_needs_none(items: Features):
    model = TwoTower(["item"], ["user"], dim=4, hidden=3)
    model.grow({"item": 9}, {"user": 1})
    assert model.item_vectors({"item": items["item"]}).shape == (4, 4)


def test_every_field_reaches_the_vector(model: TwoTower, items: Features, users: Features):
    for vectors, features in ((model.item_vectors, items), (model.user_vectors, users)):
        for name, values in features.items():
            other = features | {name: values.roll(1, 0)}
            assert not torch.allclose(vectors(features), vectors(other)), name


# -- gradients and growth
# ---------------------------------------------------------------------------------------------


def test_only_named_rows_get_a_gradient(model: TwoTower, items: Features, users: Features):
    """Sparse, and row 0 is trained where a field is missing, an ID unknown or a bag empty, and only
    there.
    """
    (model.user_vectors(users)[:1] * model.item_vectors(items)[:3].sum(0)).sum().backward()
    named = []
    for table in model.tables():
        assert table.weight.grad.is_sparse
        gradient = table.weight.grad.coalesce()
        moved = gradient.values().abs().sum(1) > 0
        named.append(set(gradient.indices()[0][moved].tolist()))
    # events: items 0 to 2, user 0, whose history holds items 8 and 1
    assert named == [{0, 1, 8}, {0, 1, 2, 3, 4}, {3}, {0}]


def test_an_unused_default_gets_no_gradient(model: TwoTower, items: Features):
    model.item_vectors({name: values[[0, 2]] for name, values in items.items()})[
        :, 0
    ].sum().backward()
    assert [float(table.weight.grad.to_dense()[0].abs().sum()) for table in model.item_tables] == [
        0,
        0,
    ]


def test_growth_appends_and_keeps():
    table = a_table(rows=4)
    table.accumulator += torch.arange(4)
    weight, squares = table.weight.detach().clone(), table.accumulator.clone()
    table.grow(4)
    assert same(table.weight.detach(), weight) and same(table.accumulator, squares)
    table.grow(1000, torch.Generator().manual_seed(5))
    assert same(table.weight[:4].detach(), weight) and same(table.accumulator[:4], squares)
    assert (
        table.weight.shape == (1000, 4) and table.accumulator[4:].eq(0).all() and len(table) == 1000
    )
    assert abs(float(table.weight[4:].detach().std()) / table.scale - 1) < 0.05
    twin = a_table(rows=4)
    twin.grow(1000, torch.Generator().manual_seed(5))
    assert same(table.weight[4:].detach(), twin.weight[4:].detach())
    table.grow(2)  # a vocabulary never shrinks, and neither does its table
    assert len(table) == 1000
    assert table.weight.requires_grad


# -- row-wise Adagrad
# -------------------------------------------------------------------------------------------------


def batches(rows: int, steps: int = 8) -> list[torch.Tensor]:
    """Indices of each step, with repetitions; row 2 is in no batch."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randint(rows, (5,), generator=generator) for _ in range(steps)]
    return [indices.masked_fill(indices == 2, 1) for indices in drawn]


def weighted(embeddings: torch.Tensor, step: int) -> torch.Tensor:
    """Some loss that is not the same for any two places."""
    weight = (
        torch.arange(embeddings.numel(), dtype=embeddings.dtype).reshape(embeddings.shape) + step
    )
    return ((embeddings * 3 + weight.sin()) ** 2).sum()


def test_one_column_is_torch_adagrad():
    """With one number per row, an accumulator per row is an accumulator per number."""
    table = a_table(rows=6, dim=1)
    dense = torch.nn.Parameter(table.weight.detach().clone())
    ours, theirs = RowwiseAdagrad([table], 0.3), torch.optim.Adagrad([dense], lr=0.3, eps=1e-8)
    for step, indices in enumerate(batches(6)):
        weighted(table(indices), step).backward()
        ours.step()
        theirs.zero_grad()
        weighted(dense[indices], step).backward()
        theirs.step()
        torch.testing.assert_close(table.weight, dense, rtol=1e-5, atol=1e-6)


def test_rowwise_adagrad_against_a_dense_loop():
    table = a_table(rows=6, dim=4)
    start = table.weight.detach().clone()
    weight, squares = rows_of(table), np.zeros(6)
    optimiser = RowwiseAdagrad([table], 0.3)
    for step, indices in enumerate(batches(6)):
        weighted(table(indices), step).backward()
        optimiser.step()
        leaf = torch.tensor(weight, requires_grad=True)
        weighted(leaf[indices], step).backward()
        for row, gradient in enumerate(leaf.grad.numpy()):
            if row in indices:
                squares[row] += np.mean(gradient**2)
                weight[row] -= 0.3 * gradient / (np.sqrt(squares[row]) + 1e-8)
        np.testing.assert_allclose(rows_of(table), weight, atol=1e-5)
        np.testing.assert_allclose(table.accumulator.numpy(), squares, rtol=1e-4)
    assert same(table.weight[2].detach(), start[2]) and table.accumulator[2] == 0


def test_a_step_forgets_its_gradient():
    """Two steps on one backward pass move once; a table that no batch named stays."""
    table, idle = a_table(seed=1), a_table(seed=2)
    optimiser = RowwiseAdagrad([table, idle], 0.3)
    untouched = idle.weight.detach().clone()
    table(torch.tensor([1, 1])).sum().backward()
    optimiser.step()
    once = table.weight.detach().clone()
    optimiser.step()
    assert same(table.weight.detach(), once) and same(idle.weight.detach(), untouched)


def test_a_gradient_of_zero_is_no_division_by_zero():
    table = a_table()
    before = table.weight.detach().clone()
    (table(torch.tensor([1, 3])) * 0).sum().backward()
    RowwiseAdagrad([table], 0.3).step()
    assert same(table.weight.detach(), before)
