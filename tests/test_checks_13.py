"""Chapter 13's checks: mistakes beside those in the checks, references by the library, the kill."""

import os
from functools import partial

import numpy as np
import pytest
from helpers import needs_fork

from course_lib.channels import merge
from course_lib.checks import chapter_13
from course_lib.files import atomic_write

HERE = os.getpid()


def by_turns(lists, quotas):
    """A list of turns first, and an array back; with like quotas that is the library's merge."""
    turns = sorted((turn, place, name) for place, name in enumerate(lists)
                   for turn in range(quotas[name]))  # fmt: skip
    names = [name for _, _, name in turns] + [name for name in lists for _ in lists[name]]
    merged = []
    for name in names:
        merged += [item for item in lists[name] if item not in merged][:1]
    return np.array(merged[: len(turns)])


def put_online(
    folder,
    version,
    files,
    *,
    pointer="replace",
    first=False,
    place="version",
    keep=True,
    again=True,
):
    last = (folder / "current").read_text() if (folder / "current").exists() else None

    def point():
        if pointer == "write":
            (folder / "current").write_text(version)
        elif pointer == "atomic_write":
            with atomic_write(folder / "current") as new:
                new.write_text(version)
        else:
            (folder / "current.new").write_text(version)
            if pointer == "remove":
                (folder / "current").unlink(missing_ok=True)
            os.replace(folder / "current.new", folder / "current")

    target = folder / (last if place == "last" and last else version)
    if first:
        point()
    (folder / "aside" if place == "aside" else target).mkdir(exist_ok=again)
    for name, data in files.items():
        ((folder / "aside" if place == "aside" else target) / name).write_bytes(data)
    if place == "aside":
        os.rename(folder / "aside", target)
    if not first:
        point()
    if not keep and last:
        for file in (folder / last).iterdir():
            file.unlink()


def endless_elsewhere(*given):
    while os.getpid() != HERE:
        pass
    put_online(*given)


def dies_elsewhere(*given):
    put_online(*given)
    assert os.getpid() == HERE


def as_arrays(items, vector, visits, k):
    """Event by event, in NumPy; arrays in the place of pairs."""
    found = {"known": [], "new": []}
    for history, basket in visits:
        half = len(basket) // 2
        had = history + basket[:half]
        others = np.setdiff1d(np.arange(len(items)), had)
        scores = [items.numpy()[others] @ vector(seen).numpy() for seen in (history, had)]
        best = [others[np.argsort(-one)[:k]] for one in scores]
        rows = [[item in one for one in best] for item in basket[half:] if half]
        found["known" if history else "new"] += rows
    return {who: np.mean(rows, axis=0) for who, rows in found.items()}


OWN = {
    "merge_channels": [
        (lambda lists, quotas: dict.fromkeys(lists["towers"]), "of another kind|exp")
    ],
    "steps": [
        (lambda day, learned, landed, now: [now], "of another kind than asked for"),
        (lambda *given: [], "expected .* things, and got 1"),
    ],
    "put_online": [
        (put_online, None),
        (partial(put_online, pointer="atomic_write"), None),
        (
            partial(put_online, first=True),
            "'state' of v1 is not whole after a kill just before mak",
        ),
        (partial(put_online, pointer="write"), r"says '' .*|in the middle of writing \(current\)"),
        (partial(put_online, pointer="remove"), r"rename \(current\), and says None"),
        (partial(put_online, again=False), "the same call again fails: .* FileExistsError"),
        (partial(put_online, place="aside"), "the same call again fails: .* OSError|NotADir"),
        (
            partial(put_online, place="last"),
            "'state' of v[12] is not whole when v2 is online, and 'current' says",
        ),
        (
            partial(put_online, keep=False),
            "'state' of v1 is not whole when v2 is online, and a reader",
        ),
        (lambda folder, version, files: None, "should say v1 when v1 is online, and says None"),
    ],
    "stored_and_computed": [
        (as_arrays, None),
        (lambda *given: {"known": (0.0, 1.0)}, "expected the keys"),
    ],
}


@needs_fork
@pytest.mark.parametrize(
    ("function", "code"), [(dies_elsewhere, 1), (endless_elsewhere, -9)], ids=["error", "endless"]
)
def test_what_ends_by_itself_elsewhere_is_told(function, code, tmp_path, monkeypatch):
    monkeypatch.setattr(chapter_13, "PATIENCE", 0.5)
    with pytest.raises(AssertionError, match=f"of its own it ends with code {code};"):
        chapter_13.survive(function, {"v1": {"state": b"1"}})


@needs_fork
def test_a_process_is_killed_at_every_step(tmp_path):
    """What lies in the folder grows from nothing to the whole, an empty file between."""
    seen = []
    for step in range(1, 99):
        folder = tmp_path / str(step)
        folder.mkdir()
        if chapter_13._killed(put_online, (folder, "v1", {"state": b"whole"}), step) is None:
            break
        seen.append({p.relative_to(folder).as_posix(): p.stat().st_size
                     for p in folder.rglob("*") if p.is_file()})  # fmt: skip
    assert seen == [
        {},  # before the folder is made
        {},  # before the file is opened
        {"v1/state": 0},
        {"v1/state": 5},  # before the pointer is opened
        {"v1/state": 5, "current.new": 0},
        {"v1/state": 5, "current.new": 2},  # before it is renamed
    ]


@pytest.mark.parametrize("seed", range(5))
def test_with_like_quotas_rounds_are_turns_in_proportion(seed):
    draw = np.random.default_rng(seed)
    lists = {name: draw.permutation(30)[:20].tolist() for name in "abc"}
    quotas = dict.fromkeys(lists, 5)
    assert by_turns(lists, quotas).tolist() == merge(lists, quotas)[0].tolist()
