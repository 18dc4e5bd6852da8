"""Embedding tables that no rank has whole, by TorchRec: each rank holds some of the tables, or some
columns of all.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from course_lib.distributed import Learn
from course_lib.features import NO_FIELDS, Features
from course_lib.full_update import Examples, training_step
from course_lib.state import State, checked
from course_lib.towers import EmbeddingTable, RowwiseAdagrad, TwoTower

Plan = Literal["table-wise", "column-wise"]


class ShardedTables:
    """The tables of a state under `DistributedModelParallel`; `tables` of `full_update_on_ranks`.

    A look-up sends indices to the rank that has the table and gets embeddings back, and the
    backward pass ends with row-wise Adagrad where the rows are (fused), so that no gradient of a
    table is ever made. A state is whole: its tables are read when an update begins, and gathered
    when it ends. Tables too large for that would be saved shard by shard, with
    `torch.distributed.checkpoint`.

    - `plan`: "table-wise" puts each table on one rank. "column-wise" gives every rank some columns
      of each table; Adagrad then has one accumulator per row and rank, so that the steps are not
      quite those of one process.
    - `spare`: rows that a table has too many, as a share. These tables can't grow: what is new goes
      into spare rows, and if there are none left, the tables are built again. `built`: how often.

    Raises ImportError without the extra `torchrec`, and ValueError for another plan.
    """

    def __init__(self, plan: Plan = "table-wise", spare: float = 0.2) -> None:
        if importlib.util.find_spec("torchrec") is None:
            raise ImportError(
                "ShardedTables needs TorchRec, which is not installed; it has wheels for Linux, "
                "where 'make lab' installs it."
            )
        if plan not in ("table-wise", "column-wise"):
            raise ValueError(f"plan is {plan!r}; it must be 'table-wise' or 'column-wise'.")
        self.plan, self.spare, self.built = plan, checked("spare", spare, 0), 0
        self.rows: dict[str, int] = {}
        self.sharded: nn.Module | None = None

    @contextmanager
    def __call__(self, state: State) -> Iterator[Learn]:
        """What learns a step of the state with sharded tables; at the end the state has them."""
        named = _named(state.model)
        if any(len(table) > self.rows.get(name, 0) for name, table in named.items()):
            self._build(state, named)
        for name, table in named.items():
            for columns, weight, accumulator in self._shards(name):
                weight[: len(table)] = table.weight.data[:, columns]
                accumulator[: len(table)] = table.accumulator
        twin = state.model.with_ids(nn.Identity(), nn.Identity())
        for tables in (twin.item_tables, twin.user_tables):  # for features that are embeddings
            for place in range(len(tables)):
                tables[place] = nn.Identity()
        learn = partial(training_step, replace(state, model=twin), RowwiseAdagrad([], 0))
        yield lambda step, loss: learn(self.look_up(step), loss)
        for name, table in named.items():
            whole = torch.zeros(len(table), state.model.dim + 1, device=state.settings.device)
            for columns, weight, accumulator in self._shards(name):
                whole[:, columns] = weight[: len(table)]
                whole[:, -1] += accumulator[: len(table)] * weight.shape[1] / state.model.dim
            dist.all_reduce(whole)
            table.weight.data, table.accumulator = whole[:, :-1].contiguous(), whole[:, -1].clone()

    def look_up(self, step: Examples) -> Examples:
        """The step with embeddings [n, dim] in place of indices, of all fields in one exchange."""
        from torchrec import KeyedJaggedTensor

        sides = {"item": step.items, "user": step.users}
        fields = {
            _key(side, name): _bags(values)
            for side, features in sides.items()
            for name, values in features.items()
            if name not in NO_FIELDS
        }
        rows = max(len(lengths) for _, lengths in fields.values())  # the shorter side gets no bags
        padded = [functional.pad(k, (0, rows - len(k))) for _, k in fields.values()]
        values = torch.cat([values for values, _ in fields.values()])
        found = self.sharded(KeyedJaggedTensor(list(fields), values, lengths=torch.cat(padded)))
        found = found.to_dict()

        def embedded(side: str) -> Features:
            features = dict(sides[side])
            for name in features.keys() - set(NO_FIELDS):
                _, k = fields[_key(side, name)]
                features[name] = found[_key(side, name)][: len(k)] / k.sqrt()[:, None]
            return features

        return replace(step, items=embedded("item"), users=embedded("user"))

    def _build(self, state: State, named: dict[str, EmbeddingTable]) -> None:
        from torch.distributed.optim import _apply_optimizer_in_backward
        from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, PoolingType
        from torchrec.distributed import DistributedModelParallel
        from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
        from torchrec.distributed.sharding_plan import (
            column_wise,
            construct_module_sharding_plan,
            table_wise,
        )
        from torchrec.distributed.types import ShardingEnv, ShardingPlan
        from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

        ids = _key("item", state.model.item_fields[0])
        self.rows = {name: int(len(table) * (1 + self.spare)) for name, table in named.items()}
        configs = [
            EmbeddingBagConfig(
                name=name,
                embedding_dim=state.model.dim,
                num_embeddings=rows,
                feature_names=[name, _key("user", "history")] if name == ids else [name],
                pooling=PoolingType.SUM,
            )
            for name, rows in self.rows.items()
        ]
        tables = EmbeddingBagCollection(configs, device=torch.device("meta"))
        options = {"lr": state.settings.embedding_lr, "eps": 1e-8}
        _apply_optimizer_in_backward(RowWiseAdagrad, tables.parameters(), options)
        world = dist.get_world_size()
        largest_first = sorted(self.rows, key=self.rows.get, reverse=True)
        where = {name: table_wise(rank=i % world) for i, name in enumerate(largest_first)}
        if self.plan == "column-wise":
            where = {name: column_wise(ranks=list(range(world))) for name in named}
        sharder, device = EmbeddingBagCollectionSharder(), torch.device(state.settings.device)
        plan = construct_module_sharding_plan(
            tables, where, sharder, local_size=world, world_size=world, device_type=device.type
        )
        self.sharded = DistributedModelParallel(
            nn.Sequential(tables),
            ShardingEnv.from_process_group(dist.group.WORLD),
            device,
            ShardingPlan({"0": plan}),
            [sharder],
        )
        self.built += 1

    def _shards(self, name: str) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """This rank's shards of a table: which columns, the weights, and the accumulator of each
        row.
        """
        key = f"0.embedding_bags.{name}.weight"
        weights = self.sharded.state_dict()[key].local_shards()
        state = self.sharded.fused_optimizer.state_dict()["state"]
        accumulators = state[key][f"{name}.momentum1"].local_shards() if weights else []
        for weight, accumulator in zip(weights, accumulators, strict=True):
            (_, start), (_, width) = weight.metadata.shard_offsets, weight.metadata.shard_sizes
            yield slice(start, start + width), weight.tensor, accumulator.tensor


def _key(side: str, name: str) -> str:
    return f"{side}/{name}".replace(".", "/")  # a module's name has no dot


def _named(model: TwoTower) -> dict[str, EmbeddingTable]:
    fields = [_key("item", name) for name in model.item_fields]
    fields += [_key("user", name) for name in model.user_fields]
    return dict(zip(fields, model.tables(), strict=True))


def _bags(indices: Tensor) -> tuple[Tensor, Tensor]:
    """[all] indices and [n] lengths of bags, as `towers.pool` has them: an empty one is [0]."""
    indices = indices[:, None] if indices.dim() == 1 else indices
    filled = indices > 0
    filled[:, 0] |= ~filled.any(1)
    return indices[filled], filled.sum(1)


def managed_collisions(rows: int) -> Callable[[list[int]], list[int]]:
    """TorchRec's managed collisions above a table of so many rows: gives a batch's IDs their rows.

    The IDs that are met most often have a row each, one of the first; all others share the last.
    Raises ImportError without the extra `torchrec`.
    """
    from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
    from torchrec.modules.mc_embedding_modules import ManagedCollisionEmbeddingBagCollection
    from torchrec.modules.mc_modules import (
        LFU_EvictionPolicy,
        ManagedCollisionCollection,
        MCHManagedCollisionModule,
    )

    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)  # warns of a new name
    cpu = torch.device("cpu")
    table = EmbeddingBagConfig(
        name="item", embedding_dim=4, num_embeddings=rows, feature_names=["item"]
    )
    places = MCHManagedCollisionModule(
        rows, cpu, LFU_EvictionPolicy(), eviction_interval=1, input_hash_size=2**40
    )
    tables = ManagedCollisionEmbeddingBagCollection(
        EmbeddingBagCollection([table], device=cpu),
        ManagedCollisionCollection({"item": places}, [table]),
        return_remapped_features=True,
    )

    def rows_of(ids: list[int]) -> list[int]:
        lengths = torch.ones(len(ids), dtype=torch.long)
        batch = KeyedJaggedTensor(["item"], torch.tensor(ids), lengths=lengths)
        return tables(batch)[1]["item"].values().tolist()

    return rows_of
