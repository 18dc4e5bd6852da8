"""The committed tables: whole, of five seeds, and of one piece with each other."""

import numpy as np
import pytest

from course_lib import experiments

HOURLY = [name for name, (_, _, hourly) in experiments.EXPERIMENTS.items() if hourly]


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_a_table_has_every_arm_and_seed_of_its_experiment(name: str):
    arms, _, _ = experiments.EXPERIMENTS[name]
    table = experiments.load(name)
    assert list(zip(table["arm"], table["seed"], strict=True)) == [(arm, seed) for arm, seed, _ in arms()]
    assert table["version"].notna().all() and table["date"].notna().all()
    assert table[["R@50", "R@100"]].stack().between(0, 1).all()


@pytest.mark.parametrize("name", HOURLY)
def test_months_days_and_hours_add_up_to_the_table(name: str):
    table = experiments.load(name)
    months = experiments.load(f"{name}_by_month").groupby(["arm", "seed"])[["events", "hits"]].sum()
    found = (months["hits"] / months["events"]).loc[list(zip(table["arm"], table["seed"], strict=True))]
    np.testing.assert_allclose(found, table["R@100"], atol=1e-5)
    mean = table.groupby("arm")["R@100"].mean()
    for by in ("day", "hour"):
        sums = experiments.load(f"{name}_by_{by}").groupby("arm")[["events", "hits"]].sum()
        np.testing.assert_allclose(sums["hits"] / sums["events"], mean[sums.index], atol=5e-5)
