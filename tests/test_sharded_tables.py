"""Tables sharded by TorchRec against the course's own: the same day, the same losses."""

import importlib.util
from pathlib import Path

import pytest
import torch
from helpers import refusal
from rank_worker import launch, start
from test_distributed import DAYS, SETTINGS, TINY, TINY_DAYS, alone, assert_close

from course_lib import distributed, towers
from course_lib.log import EventLog
from course_lib.sharded_tables import ShardedTables, managed_collisions
from course_lib.state import State

needs_torchrec = pytest.mark.skipif(
    importlib.util.find_spec("torchrec") is None,
    reason="TorchRec is not installed: it has wheels for Linux alone.",
)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[list, Path]:
    """What two ranks say of each plan, with plain settings and with mixed ones, and of more or fewer
    spare rows.
    """
    folder = tmp_path_factory.mktemp("sharded")
    plain, mixed = ({"log": "online_retail", "settings": s} for s in SETTINGS.values())
    cases = [plain | {"days": DAYS, "tables": "table-wise"}]
    cases += [plain | {"days": DAYS, "tables": "column-wise"}]
    cases += [mixed | {"days": DAYS[:1], "tables": "table-wise"}]
    tiny = {"log": "tiny", "settings": TINY, "days": TINY_DAYS, "tables": "table-wise"}
    cases += [tiny | {"spare": 0}, tiny | {"spare": 9}]
    return launch(folder, 2, *cases), folder


@needs_torchrec
@pytest.mark.parametrize(("case", "name", "days"), [(0, 0, 2), (2, 1, 1)])
def test_table_wise_is_the_courses_own_tables(case, name, days, two, retail: EventLog):
    said, folder = two
    losses, state = alone(retail, list(SETTINGS.values())[name], DAYS[:days])
    first, second = (rank[case] for rank in said)
    assert first["losses"] == pytest.approx(losses, rel=1e-5) and first == second
    assert_close(State.load(folder / f"{case}.pt", "cpu"), state)


@needs_torchrec
def test_column_wise_is_a_table_for_each_half_of_the_columns(two, retail: EventLog, monkeypatch):
    """One process whose Adagrad has an accumulator per row and half gives the same losses."""
    said, _ = two

    def step(self: towers.RowwiseAdagrad) -> None:
        for table in self.tables:
            gradient = table.weight.grad.to_dense()  # [rows, dim]
            halves = table.__dict__.setdefault("halves", {})
            for half in (slice(0, 32), slice(32, 64)):
                old = halves.get(half.start, torch.zeros(0))
                grown = torch.nn.functional.pad(old, (0, len(table) - len(old)))
                halves[half.start] = grown + gradient[:, half].square().mean(1)
                size = halves[half.start].sqrt()[:, None] + 1e-8
                table.weight.data[:, half] -= self.learning_rate * gradient[:, half] / size
            table.accumulator = sum(halves.values()) / 2
            table.weight.grad = None

    monkeypatch.setattr(towers.RowwiseAdagrad, "step", step)
    losses, _ = alone(retail, SETTINGS["plain"], DAYS[:1])
    assert said[0][1]["losses"][: len(losses)] == pytest.approx(losses, rel=1e-5)
    monkeypatch.undo()
    whole, _ = alone(retail, SETTINGS["plain"], DAYS[:1])
    assert whole != pytest.approx(losses, rel=1e-5)  # an accumulator per whole row: other steps
    assert whole == pytest.approx(losses, rel=1e-2)


@needs_torchrec
def test_what_is_new_goes_into_spare_rows_and_without_them_tables_are_built_again(two, tiny):
    """All four days but the third have a new item, user or value of a field."""
    said, _ = two
    losses, _ = alone(tiny, TINY, TINY_DAYS)
    for case, built in ((3, 3), (4, 1)):
        assert said[0][case]["losses"] == pytest.approx(losses, abs=1e-4)
        assert said[0][case]["built"] == built


@needs_torchrec
def test_managed_collisions_take_any_number_of_ids_into_four_rows():
    """A zero-collision hash (ZCH): no vocabulary; what is met most often has a row of its own, all
    else shares the last one.
    """
    rows_of = managed_collisions(4)

    def row_of(*ids: int) -> dict[int, int]:
        return dict(zip(ids, rows_of(list(ids)), strict=True))

    first = row_of(90_001, 90_001, 71)
    assert sorted({*first.values()}) == [1, 2]
    more = row_of(
        90_001, 71, 5, 5, 6
    )  # 5 gets the third row, 6 is met once: the last one is shared
    assert {more[90_001], more[71]} == {1, 2} and more[5] == 0 and more[6] == 3
    later = row_of(8, 8, 8, 8, 90_001, 71, 5)  # 8 is met more often than 5, and takes its row
    assert later[8] == more[5] and later[5] == 3
    assert (later[90_001], later[71]) == (first[90_001], first[71])
    assert row_of(123_456_789, 8)[123_456_789] == 3


@needs_torchrec
def test_a_single_rank_has_all_shards(retail: EventLog):
    settings = {**SETTINGS["plain"], "dim": 16}
    losses, state = alone(retail, settings, DAYS[:1])
    untrained, found = start(retail, state.settings), []
    with distributed.ranks(on="cpu"):
        new = distributed.full_update_on_ranks(
            untrained, retail, DAYS[0], losses=found, tables=ShardedTables("column-wise")
        )
    assert found == pytest.approx(losses, rel=1e-5)
    assert_close(new, state)


@needs_torchrec
def test_refuses_another_plan():
    assert "'table-wise' or 'column-wise'" in refusal(ShardedTables, "row-wise")
    assert "spare is -1" in refusal(ShardedTables, spare=-1)


def test_without_torchrec_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs TorchRec, which is not installed"):
        ShardedTables()
