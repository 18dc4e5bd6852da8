"""The checks: each lets the right code pass, and catches the bug it is for."""

import numpy as np
import pytest
import torch

from course_lib import checks
from course_lib.evaluation import ranks
from course_lib.losses import in_batch_logits
from course_lib.updates import Batch

HAND = (checks.check_logq_sign, checks.check_temperature_first, checks.check_accidental_hits)


def test_a_claim_ticks_or_fails(capsys: pytest.CaptureFixture):
    checks.claim("two is more than one", 2 > 1)
    assert capsys.readouterr().out == "✓ two is more than one\n"
    with pytest.raises(AssertionError, match="one is more than two"):
        checks.claim("one is more than two", 1 > 2)
    with pytest.raises(AssertionError):
        checks.claim("NaN is no evidence", np.nan > 0)


@pytest.mark.parametrize("check", HAND)
def test_the_library_passes(check):
    check(in_batch_logits)


def naive(users, items, log_q, ids, temperature):
    return users @ items.T / temperature - log_q


def wrong_sign(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, -log_q, ids, temperature)


def no_correction(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, torch.zeros_like(log_q), ids, temperature)


def late_temperature(users, items, log_q, ids, temperature):
    return in_batch_logits(users, items, log_q / temperature, ids, temperature)


def masks_everything(users, items, log_q, ids, temperature):
    return naive(users, items, log_q, ids, temperature).masked_fill(~torch.eye(len(ids), dtype=torch.bool), -torch.inf)


@pytest.mark.parametrize(
    ("check", "logits"),
    [
        (checks.check_logq_sign, wrong_sign),
        (checks.check_logq_sign, no_correction),
        (checks.check_logq_sign, late_temperature),
        (checks.check_temperature_first, late_temperature),
        (checks.check_accidental_hits, naive),
        (checks.check_accidental_hits, masks_everything),
    ],
)
def test_a_planted_bug_is_caught(check, logits):
    with pytest.raises(AssertionError, match="[?.]$"):
        check(logits)


def test_an_item_in_its_own_history_is_caught():
    ids = torch.tensor([3, 4, 0])
    clean = Batch({"history": torch.tensor([[4, 5], [3, 0], [0, 0]])}, {}, torch.zeros(3), ids)
    checks.check_history(clean)
    leaking = Batch({"history": torch.tensor([[4, 5], [3, 4], [0, 0]])}, {}, torch.zeros(3), ids)
    with pytest.raises(AssertionError, match="^1 of 3 events"):
        checks.check_history(leaking)


def test_ties_as_hits_are_caught():
    checks.check_ties(lambda scores: float((ranks(scores, [np.array([], int)] * 4, np.arange(4), np.zeros(4, int)) <= 100).mean()))
    with pytest.raises(AssertionError, match="Count ties against the model"):
        checks.check_ties(lambda scores: 1.0)


def test_this_machine_is_ready():
    found = checks.environment().set_index("check")
    assert found["ok"].all(), found.loc[~found["ok"], "advice"].tolist()
    assert {"Python", "torch", "faiss-cpu", "threads", "OpenMP runtimes"} <= set(found.index)


def test_a_wrong_version_has_advice(monkeypatch: pytest.MonkeyPatch):
    version = checks.importlib.metadata.version
    monkeypatch.setattr(checks.importlib.metadata, "version", lambda name: "0.1" if name == "torch" else version(name))
    row = checks.environment().set_index("check").loc["torch"]
    assert not row["ok"] and row["found"] == "0.1" and row["advice"].startswith("The course needs torch")


def test_two_runtimes_that_spin_have_advice(monkeypatch: pytest.MonkeyPatch):
    pools = [{"user_api": "openmp", "filepath": f"/lib/{name}.so"} for name in ("libgomp", "libiomp5")]
    monkeypatch.setattr(checks, "threadpool_info", lambda: pools)
    monkeypatch.setattr(checks.torch, "get_num_threads", lambda: 2)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    row = checks.environment().set_index("check").loc["OpenMP runtimes"]
    assert not row["ok"] and "OMP_WAIT_POLICY=PASSIVE" in row["advice"]
