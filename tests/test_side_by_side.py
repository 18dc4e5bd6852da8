"""The wrapper that has another library's script fitted and asked during a replay."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SMALL, tiny_frames, with_listing

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import freshness  # noqa: E402
import side_by_side  # noqa: E402
from side_by_side import Arm, Peer  # noqa: E402

from course_lib.evaluation import replay  # noqa: E402
from course_lib.log import EventLog  # noqa: E402
from course_lib.state import new_state  # noqa: E402

# scores user u's item i by `scale` · (u + 1) · (how often i was bought before the fit)
SCRIPT = f"""
import sys, time
sys.path.insert(0, {str(BENCHMARKS / "peers")!r})
import numpy as np
from serve import serve

class MadeUp:
    def __init__(self, room, scale=1.0, seed=0, fails_at_purchases=10**9, sleeps=0):
        assert room == {{"user": 3, "item": 4, "user/city": 3, "item/colour": 3, "item/words": 5}}
        self.scale, self.fails_at, self.sleeps = scale, fails_at_purchases, sleeps

    def fit(self, data):
        print("a library's own words")
        time.sleep(self.sleeps)
        assert data["item/colour"].shape == (4,) and data["item/words"].ndim == 2
        if len(data["user"]) >= self.fails_at:
            raise MemoryError("no room left")
        self.counts = np.bincount(data["item"], minlength=int(data["items"])).astype(float)

    def vectors(self, data):
        return self.scale * (data["asked"][:, None] + 1.0), self.counts[:, None]

serve(MadeUp)
"""


@pytest.fixture
def log() -> EventLog:
    return EventLog.from_frame(**with_listing(tiny_frames()))


@pytest.fixture
def command(tmp_path) -> list:
    script = tmp_path / "made_up.py"
    script.write_text(SCRIPT)
    return [sys.executable, script]


@pytest.fixture
def started(monkeypatch) -> list[subprocess.Popen]:
    """Every script that is started."""
    processes, popen = [], subprocess.Popen

    def noted(*arguments, **options):
        processes.append(popen(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(side_by_side.subprocess, "Popen", noted)
    return processes


def scores_after(log: EventLog, peer: Peer, days: int) -> torch.Tensor:
    for day in log.days[:days]:
        peer.learn(log, day)
    return peer.scores(log, log.days[days], np.arange(len(log.users)))


def counted(log: EventLog, days: int) -> np.ndarray:
    """[m] how often each item was bought on the first `days` days, from the table itself."""
    bought = log.events[log.events["time"] < log.days[days]]["item"].value_counts()
    return bought.reindex(log.items.index, fill_value=0).to_numpy().astype(float)


def test_scores_are_the_scripts_plus_the_prior(log, command):
    times = counted(log, 3)
    own = np.outer([1, 2, 3], 2.0 * times)  # ann, bob, cid: rows 0, 1, 2
    recent = Peer(log, command, weight=0.0, scale=2.0)
    assert scores_after(log, recent, 3).numpy() == pytest.approx(own)
    ages = (log.days[3] - log.events["time"].dt.normalize()) / pd.Timedelta("1D")
    decayed = (0.5 ** (ages / 7)).where(ages > 0, 0).groupby(log.events["item"]).sum()
    decayed = decayed.reindex(log.items.index).to_numpy()
    for prior, expected in (("share", decayed / decayed.max()), ("log", np.log(decayed + 0.1))):
        peer = Peer(log, command, weight=0.5, prior=prior, scale=2.0)
        assert scores_after(log, peer, 3).numpy() == pytest.approx(own + 0.5 * expected, rel=1e-5)


@pytest.mark.parametrize("daily", [False, True])
def test_a_user_without_purchases_gets_the_prior_alone(log, command, daily):
    """On the second morning cid, row 2, has bought nothing."""
    found = scores_after(log, Peer(log, command, daily=daily), 1)
    alone = scores_after(log, Peer(log, command, scale=0.0), 1)
    assert torch.equal(found[2], alone[2]) and alone[2].max() == 1
    assert (found[:2] > alone[:2]).any(1).all()


def test_fitted_every_seven_days_and_no_earlier(log, command):
    """The purchases of the days since are not in the scores, whoever is asked for."""
    for refit, seen in ((7, 1), (2, 3)):
        peer = Peer(log, command, weight=0.0, refit=refit)
        scores_after(log, peer, 1)
        found = peer.scores(log, log.days[3], np.array([1, 0]))
        assert found.numpy() == pytest.approx(np.outer([2, 1], counted(log, seen)))


def test_before_any_purchase_nothing_is_asked(log, started):
    peer = Peer(log, ["/nowhere/python"])
    assert peer.scores(log, log.days[0], np.arange(3)).tolist() == [[0.0] * 4] * 3
    assert not started


class Days:
    """A log's days, as its module has them."""

    TUNING = ("2020-01-02", "2020-01-05")
    TEST = ("2020-01-05", "2020-01-07")


def run(monkeypatch, tmp_path, arms: dict, log: EventLog) -> pd.DataFrame:
    """What the whole program leaves in its table."""
    days = type(sys)("course_lib.tiny_shop")
    days.load_tiny_shop, days.TUNING, days.TEST = lambda: log, Days.TUNING, Days.TEST
    monkeypatch.setitem(sys.modules, "course_lib.tiny_shop", days)
    monkeypatch.setattr(side_by_side.tuning, "LEARNED", 1)
    monkeypatch.setattr(side_by_side, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(side_by_side, "ARMS", arms)
    arguments = ["side_by_side.py", "--log", "tiny_shop", "--tries", "2", "--seeds", "0", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    side_by_side.main()
    return pd.read_csv(tmp_path / "table.csv")


def arm(command: list, **options) -> Arm:
    def make(log, seed):
        return lambda **chosen: Peer(log, command, **{"seed": seed, **options, **chosen})

    return Arm(make, {"weight": (0.3,)})


@pytest.mark.filterwarnings("ignore:the log has", "ignore:only")
def test_what_dies_or_is_missing_has_a_row_that_says_so(
    monkeypatch, tmp_path, log, command, started
):
    arms = {
        "dies": arm(command, fails_at_purchases=2),
        "missing": arm([tmp_path / "no python", "peer.py"]),
        "silent": arm(command, sleeps=600),
        "lives": arm(command),
    }
    monkeypatch.setattr(side_by_side, "PATIENCE", 5.0)
    table = run(monkeypatch, tmp_path, arms, log)
    assert table["arm"].tolist() == ["dies", "missing", "silent", "lives", "lives"]
    assert table["note"][0] == "RuntimeError: made_up.py ended: MemoryError: no room left"
    assert "peer.py has no environment; see what make bench says" in table["note"][1]
    assert table["note"][2] == "RuntimeError: made_up.py ended: no answer within 5 s"
    assert table[side_by_side.MEASURED][:3].isna().all(axis=None)
    result = replay(log, Peer(log, command), *Days.TEST, progress=False)
    assert table["R@100"][3:].tolist() == pytest.approx(
        [(result["rank"] <= 100).mean()] * 2, abs=1e-5
    )
    assert table["tries"][3:].tolist() == [2, 2] and table["note"][3:].isna().all()
    days = pd.read_csv(tmp_path / "table_by_day.csv", parse_dates=["day"])
    hits = (result["rank"] <= 100).groupby(result["day"]).sum()
    assert days.set_index("day")["hits"].to_dict() == hits.to_dict()
    assert set(days["arm"]) == {"lives"} and days["events"].sum() == len(result)
    del result
    assert len(started) == 7 and all(process.poll() is not None for process in started)


def test_new_rows_take_the_place_of_an_arms_old_ones(monkeypatch, tmp_path):
    monkeypatch.setattr(side_by_side, "TABLE", tmp_path / "table.csv")
    for arm, seed, found in (("EASE", 0, 0.1), ("EASE", 1, 0.2), ("popularity", 0, 0.3)):
        side_by_side.keep("online_retail", arm, [{"seed": seed, "R@100": found}])
    side_by_side.keep("movie_tweetings", "EASE", [{"seed": 0, "R@100": 0.4}])
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["R@100"].tolist() == [0.3, 0.2, 0.4]
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.fixture
def week() -> EventLog:
    """The tiny log, which ends on the sixth day, with two days more."""
    frames = tiny_frames()
    more = [("ann", "vase", "2020-01-07 09:00"), ("cid", "lamp", "2020-01-08 09:00")]
    more = pd.DataFrame(more, columns=["user", "item", "time"])
    more["time"] = pd.to_datetime(more["time"])
    frames["events"] = pd.concat([frames["events"], more], ignore_index=True)
    return EventLog.from_frame(**frames)


def test_weekly_towers_count_every_night_and_learn_every_seventh(week):
    recommender = freshness.Weekly(new_state(week, SMALL))
    learned, counted = [], []
    for day in week.days:
        before = recommender.state.serving.state_dict()["item_tower.shortcut.weight"].clone()
        recommender.learn(week, day)
        if not torch.equal(
            before, recommender.state.serving.state_dict()["item_tower.shortcut.weight"]
        ):
            learned.append(day.day)
        counted.append(recommender.state.learned_until)
    assert learned == [7]
    assert [until.day for until in counted] == [day.day for day in week.days]


def test_all_weekly_towers_are_served_as_they_were_a_week_ago(week):
    recommender = freshness.AllWeekly(new_state(week, SMALL))
    served = []
    for day in week.days:
        recommender.scores(week, day, np.arange(1))
        served.append(recommender.since.day)
        recommender.learn(week, day)
    assert served == [1, 1, 1, 1, 1, 1, 8]
