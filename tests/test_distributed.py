"""Training on ranks: two processes and one, the same losses and the same weights; and what happens
when a rank dies, sleeps, or has something else to learn.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import SMALL, contents, embedded
from rank_worker import LOOPBACK, launch, start

from course_lib import distributed
from course_lib.full_update import Examples, full_update, prepare
from course_lib.log import DAY, EventLog
from course_lib.losses import in_batch_softmax, mixed_softmax
from course_lib.state import Settings, State, new_state
from course_lib.towers import EmbeddingTable

DAYS = ["2010-12-01", "2010-12-02"]
MIXED = {"negatives": 100, "mask_bought": True, "linear_rank": 8, "average": 0.8}
SETTINGS = {
    "plain": {"batch_size": 300, "device": "cpu"},
    "mixed negatives, masks, linear part, average": {"batch_size": 300, "device": "cpu", **MIXED},
}
TINY = {name: getattr(SMALL, name) for name in ("dim", "hidden", "history", "device")}
TINY |= {"popularity_half_lives": [2.0], "batch_size": 2}
TINY_DAYS = ["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-05"]


def alone(
    log: EventLog, settings: dict, days: list[str], smooth: bool = True
) -> tuple[list[float], State]:
    """The losses and the state of one process, by `full_update`."""
    losses, state = [], start(log, Settings(**settings), smooth)
    loss = mixed_softmax if state.settings.negatives else in_batch_softmax

    def noted(*arguments) -> torch.Tensor:
        value = loss(*arguments)
        losses.append(value.item())
        return value

    for day in days:
        state = full_update(state, log, day, loss=noted)
    return losses, state


def assert_close(state: State, other: State) -> None:
    """Weights and accumulators differ by rounding. Adam divides by the size of a gradient, so where
    a gradient is nothing but rounding its step is too; hence the mean, and a step as the most.
    """
    for mine, others in ((state.model, other.model), (state.serving, other.serving)):
        pairs = zip(mine.state_dict().items(), others.state_dict().values(), strict=True)
        for (name, values), expected in pairs:
            assert values.shape == expected.shape, name
            apart = (values - expected).abs()
            assert apart.mean() < 2e-6 and apart.max() < state.settings.dense_lr, name


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[list, Path]:
    """What two ranks say of both SETTINGS, and of a rank that differs from the other."""
    folder = tmp_path_factory.mktemp("two")
    cases = [{"log": "online_retail", "settings": s, "days": DAYS} for s in SETTINGS.values()]
    tiny = {"log": "tiny", "settings": TINY, "days": TINY_DAYS[:1]}
    cases += [tiny | {"differ": {"seed": 1}}, tiny | {"differ": {"dense_lr": 0.001}}]
    cases += [tiny | {"lacks": 1}, cases[0] | {"smooth": False}]
    return launch(folder, 2, *cases), folder


@pytest.mark.parametrize("name", SETTINGS)
def test_two_ranks_give_the_losses_and_weights_of_one_process(name: str, two, retail: EventLog):
    said, folder = two
    case = list(SETTINGS).index(name)
    losses, state = alone(retail, SETTINGS[name], DAYS)
    first, second = (rank[case] for rank in said)
    assert len(losses) > 8 and first["losses"] == pytest.approx(losses, rel=1e-5)
    assert first == second  # to the last bit: nothing drifts apart
    assert_close(State.load(folder / f"{case}.pt", "cpu"), state)


def test_the_losses_are_those_of_one_process_with_relu_too(two, retail: EventLog):
    losses, _ = alone(retail, SETTINGS["plain"], DAYS, smooth=False)
    assert two[0][0][5]["losses"] == pytest.approx(losses, rel=1e-4)
    assert losses != pytest.approx(alone(retail, SETTINGS["plain"], DAYS)[0], rel=1e-4)


@pytest.mark.parametrize(
    ("case", "what"), [(2, "another seed"), (3, "another dense_lr"), (4, "other events")]
)
def test_ranks_that_differ_are_refused_on_all_ranks(case: int, what: str, two):
    said, folder = two
    expected = (
        f"rank 1 has {what} than rank 0; start every rank with the same settings, state and log."
    )
    assert [rank[case] for rank in said] == [{"error": expected}] * 2
    assert not (folder / f"{case}.pt").exists()


def test_three_ranks_share_steps_of_one_and_two_events(tmp_path: Path, tiny: EventLog):
    said = launch(tmp_path, 3, {"log": "tiny", "settings": TINY, "days": TINY_DAYS})
    losses, _ = alone(tiny, TINY, TINY_DAYS)
    first, *others = (rank[0] for rank in said)
    assert first["losses"] == pytest.approx(losses, abs=1e-4)  # some gradients are all rounding
    assert others == [first] * 2


@pytest.mark.parametrize("name", SETTINGS)
def test_a_single_rank_is_the_full_update_to_the_last_bit(name: str, retail: EventLog):
    losses, state = alone(retail, SETTINGS[name], DAYS[:1])
    untrained, found = start(retail, Settings(**SETTINGS[name])), []
    with distributed.ranks(on="cpu"):
        new = distributed.full_update_on_ranks(untrained, retail, DAYS[0], losses=found)
    assert found == losses and contents(new) == contents(state)
    assert new.learned_until == state.learned_until and untrained.updates == 0
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_when_a_rank_dies_or_sleeps_the_other_stops_and_the_last_state_is_whole(
    how: str, tmp_path: Path, retail: EventLog
):
    settings = {"batch_size": 300, "dim": 16, "device": "cpu"}
    _, expected = alone(retail, settings, DAYS[:1])
    steps = round((retail.rows(DAYS[0], "2010-12-02").stop) / 300)
    case = {"log": "online_retail", "settings": settings, "days": DAYS}
    stop = {"signal": how, "after": steps + 2}  # in the middle of the second day
    said = launch(tmp_path, 2, case | {"stop": stop}, timeout=300 if how == "SIGKILL" else 20)
    lost, end = said[0]
    assert lost["lost"].startswith("another rank has died or stopped answering; start all ranks")
    assert end["code"] == 0 and said[1] == [{"code": -9, "stderr": said[1][-1]["stderr"]}]
    saved = State.load(tmp_path / "0.pt", "cpu")
    assert saved.updates == 1 and saved.learned_until == expected.learned_until
    assert_close(saved, expected)
    assert [file.name for file in tmp_path.iterdir()] == ["0.pt"]


def test_the_command_under_torchrun_goes_on_where_it_was(tmp_path: Path, monkeypatch):
    path, root = tmp_path / "state.pt", Path(distributed.__file__).parent.parent
    options = ["online_retail", str(path), DAYS[0], "--settings"]
    options += ['{"dim": 16, "batch_size": 800, "device": "cpu"}']
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "course_lib.distributed", *options]
    environment = os.environ | LOOPBACK | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # two ranks would need two GPUs
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"{DAYS[0]}: loss \d\.\d{{6}} in \d+ steps\n", done.stdout)
    assert State.load(path, "cpu").updates == 1
    monkeypatch.setattr(sys, "argv", ["distributed", *options])
    with pytest.raises(SystemExit, match="^rank 0: .* would learn that of 2010-12-01 08:26 twice"):
        distributed.main()


def test_a_script_runs_on_ranks_and_a_failure_is_told():
    script = "import os, sys; sys.stdout.write(os.environ['RANK'] + sys.argv[1])"
    assert sorted(distributed.on_ranks(script, ",")) == [",", ",", "0", "1"]
    with pytest.raises(RuntimeError, match="(?s)^a rank has failed:.*no such day"):
        distributed.on_ranks("raise ValueError('no such day')", count=1)


# -- by hand, in one process -----------------------------------------------------------------------


def the_steps(log: EventLog, settings: dict) -> list[Examples]:
    state = new_state(log, Settings(**settings))
    day = log.days[0]
    return prepare(state, log, {day: log.rows(day, day + DAY)})[1]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_cover_a_step_once(world: int, monkeypatch):
    step = the_steps(embedded("online_retail"), SETTINGS["plain"])[0][torch.arange(10)]
    events, columns = [], []
    for rank in range(world):
        monkeypatch.setattr(distributed.dist, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(distributed.dist, "get_world_size", lambda: world)
        part, _ = distributed.share(step)
        assert len(part) == len(part.log_q) == -(-10 // world)
        events += part.ids.tolist()
        columns += part.items["item"].tolist()
        for own, masked, item in zip(part.own, part.masked, part.ids, strict=True):
            assert masked.tolist() == (step.ids == item).tolist() and step.ids[own] == item
    for found in (events, columns):  # the copies stand at the end
        assert found[:10] == step.ids.tolist() and set(found[10:]) <= {int(step.ids[-1])}


def test_adagrad_takes_the_mean_of_the_ranks_first(monkeypatch):
    """Two ranks name rows 0, 1 and 1, 2 of one table, and row 0 of another."""
    first, second = EmbeddingTable(2), EmbeddingTable(2)
    first.grow(3)
    start = first.weight.detach().double().numpy().copy()
    mine = torch.tensor([[1.0, 3.0], [2.0, 0.0], [2.0, 0.0]])  # row 1 twice
    first.weight.grad = torch.sparse_coo_tensor([[0, 1, 1]], mine, (3, 2), check_invariants=True)
    second.weight.grad = torch.sparse_coo_tensor(
        [[0]], torch.ones(1, 2), (1, 2), check_invariants=True
    )
    theirs = {  # what the other rank sends: a row fewer, rows, values
        1: torch.tensor([2]),
        2: torch.tensor([1, 3, 0]),
        3: torch.tensor([[6.0, 2.0], [3.0, 3.0], [0.0, 0.0]]),
    }
    calls = iter(theirs.values())
    monkeypatch.setattr(distributed, "gathered", lambda mine: torch.stack([mine, next(calls)]))
    distributed.GatheredAdagrad([first, second], 0.1).step()
    # means: row 0 [.5, 1.5], row 1 [(4 + 6) / 2, 2 / 2]; the other table [(1 + 3) / 2] * 2
    gradients = [[0.5, 1.5], [5.0, 1.0], [0.0, 0.0]]
    squares = [(0.25 + 2.25) / 2, (25 + 1) / 2, 0.0]
    assert first.accumulator.tolist() == pytest.approx(squares)
    for row in range(3):
        size = max(squares[row], 1e-9) ** 0.5
        expected = [start[row][k] - 0.1 * gradients[row][k] / size for k in (0, 1)]
        assert first.weight[row].tolist() == pytest.approx(expected, rel=1e-5)
    assert second.accumulator.tolist() == [4.0]


def test_another_error_is_not_said_to_be_a_lost_rank():
    with pytest.raises(RuntimeError, match="size mismatch"), distributed.ranks(on="cpu"):
        torch.ones(2, 3) @ torch.ones(2)
    with pytest.raises(ValueError, match="incremental"), distributed.ranks(on="cpu"):
        raise ValueError("incremental")


def test_refuses_what_the_full_update_refuses(tiny: EventLog, tiny_state: State):
    with distributed.ranks(on="cpu"), pytest.raises(ValueError, match="twice"):
        distributed.full_update_on_ranks(tiny_state, tiny, "2020-01-02")
