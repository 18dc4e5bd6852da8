"""Saved indexes: what a file holds, and files that are not as they should be."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal, unit_vectors
from index_contract import LOCAL, Make, Reference

from course_lib.index import FaissIndex, VectorIndex

IDS = np.random.default_rng(0).permutation(np.arange(10_000, 10_300))


@pytest.fixture
def index() -> FaissIndex:
    index = FaissIndex("flat")
    index.build(unit_vectors(300, 12, seed=1), IDS)
    index.version = "v7"
    return index


@pytest.fixture
def file(tmp_path: Path, index: FaissIndex) -> Path:
    index.save(tmp_path / "items.index")
    return tmp_path / "items.index"


@pytest.mark.parametrize("make", LOCAL)
def test_a_saved_index_answers_as_before_and_goes_on(make: Make, tmp_path: Path):
    index, vectors = make(), unit_vectors(300, 12, seed=1)
    index.ef_search = np.int64(17)
    index.build(vectors, IDS)
    index.delete(IDS[:20])
    index.upsert(vectors[20:40].flip(0), IDS[20:40])
    index.version = "v7"
    index.save(tmp_path / "items.index")
    loaded = VectorIndex.load(tmp_path / "items.index", version="v7")
    assert type(loaded) is type(index) and (loaded.version, loaded.dim) == ("v7", 12)
    assert repr(loaded) == repr(index) and loaded.ef_search == 17, "settings are kept"
    queries = unit_vectors(9, 12, seed=2)
    for mine, its in zip(index.search(queries, 50), loaded.search(queries, 50), strict=True):
        assert np.array_equal(mine, its)
    reference = Reference(vectors, IDS)
    reference.delete(IDS[:20])
    reference.upsert(vectors[20:40].flip(0), IDS[20:40])
    for one in (loaded, reference):
        one.upsert(queries, np.arange(9))
        one.delete(IDS[30:60])
        one.upsert(vectors[:1], IDS[:1])
    recall = reference.compare(loaded, unit_vectors(20, 12, seed=3), 10)
    assert recall > (0.4 if getattr(index, "kind", "") == "ivfpq" else 0.9)
    assert [path.name for path in tmp_path.iterdir()] == ["items.index"]


@pytest.mark.parametrize("emptied", [False, True], ids=["built empty", "emptied"])
@pytest.mark.parametrize("make", LOCAL)
def test_an_empty_index_is_saved_and_goes_on(make: Make, emptied: bool, tmp_path: Path):
    index, vectors = make(), unit_vectors(40, 12, seed=1)
    index.version = 3
    index.build(vectors[: 40 * emptied], np.arange(40 * emptied))
    index.delete(np.arange(40 * emptied))
    index.save(tmp_path / "x")
    loaded = VectorIndex.load(tmp_path / "x", version=3)
    assert (len(loaded), loaded.dim, loaded.version) == (0, 12, "3")
    assert refusal(loaded.search, vectors[:1], 1).startswith("the index is empty")
    assert "vectors have 11 columns, the index has 12" in refusal(
        loaded.upsert, vectors[:, 1:], IDS[:40]
    )
    loaded.upsert(vectors, np.arange(40))
    assert Reference(vectors, np.arange(40)).compare(loaded, vectors[:3], 40) == 1


def test_an_index_that_was_never_built_is_not_saved(tmp_path: Path):
    assert refusal(FaissIndex().save, tmp_path / "x").startswith("the index is empty")
    assert not list(tmp_path.iterdir())


def test_an_index_of_another_model_version_is_refused(index: FaissIndex, file: Path):
    assert len(FaissIndex.load(file)) == 300
    message = refusal(FaissIndex.load, file, version="v8")
    assert "holds vectors of model version 'v7', and 'v8' is wanted" in message
    index.version = None
    index.save(file)
    message = refusal(FaissIndex.load, file, version="v7")
    assert "holds vectors of model version None, and 'v7' is wanted" in message


def test_a_truncated_file_is_refused(file: Path):
    whole = file.read_bytes()
    for length in [0, 1, 10, *range(100, len(whole), 997), len(whole) - 1]:
        file.write_bytes(whole[:length])
        assert "damaged or cut short" in refusal(VectorIndex.load, file), length


def test_a_damaged_file_is_refused_or_harmless(file: Path, index: FaissIndex):
    """One bit flips, anywhere: the file is refused, or no answer depends on it (a date)."""
    whole, queries, refused = file.read_bytes(), unit_vectors(3, 12, seed=2), 0
    places = [*range(0, len(whole), 61), *range(len(whole) - 400, len(whole))]
    right = index.search(queries, 300)[1]
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            loaded = VectorIndex.load(file, version="v7")
        except ValueError:
            refused += 1
        else:
            assert np.array_equal(loaded.search(queries, 300)[1], right), place
    assert refused > len(places) / 2


@pytest.mark.parametrize("content", [b"", b"not an index", b"PK\x03\x04", bytes(5_000)])
def test_a_file_that_is_no_index(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    assert "is no saved index" in refusal(VectorIndex.load, tmp_path / "x")


def test_an_array_or_a_pickle_is_no_index(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.arange(3))
    np.savez(tmp_path / "y.npz", meta=np.array([{}], dtype=object))
    assert "is no saved index" in refusal(VectorIndex.load, tmp_path / "x.npy")
    assert "is no saved index" in refusal(VectorIndex.load, tmp_path / "y.npz")


def edited(file: Path, **changes) -> Path:
    """The same file with other entries in its head; None takes one out."""
    with np.load(file) as arrays:
        parts = dict(arrays)
    head = json.loads(str(parts.pop("meta"))) | changes
    parts["meta"] = np.array(json.dumps({k: v for k, v in head.items() if v is not None}))
    with open(file, "wb") as target:
        np.savez(target, **parts)
    return file


def test_a_file_of_another_release_is_refused(file: Path):
    settings = {"kind": "flat", "nprobe": 16}
    for changes, reason in (
        ({"settings": settings | {"speed": 3}}, "of another release of its engine"),
        ({"dim": 13}, "of another release of its engine"),
        ({"settings": settings | {"nprobe": 0}}, "nprobe is 0"),
        ({"format": 2}, "of another release of the library"),  # a flat index had its ids in Faiss
    ):
        whole = file.read_bytes()
        assert reason in refusal(VectorIndex.load, edited(file, **changes))
        file.write_bytes(whole)
    with zipfile.ZipFile(file) as parts:
        assert sorted(parts.namelist()) == ["ids.npy", "index.npy", "meta.npy"]


# -- places --------------------------------------------------------------------------------------


def test_a_save_that_fails_leaves_the_old_file(
    file: Path, index: FaissIndex, monkeypatch: pytest.MonkeyPatch
):
    before = file.read_bytes()
    index.upsert(unit_vectors(5, 12, seed=9), np.arange(5))

    def full_disk(target, **arrays):
        target.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        index.save(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_place_that_cannot_be_written_is_named(index: FaissIndex, tmp_path: Path):
    with pytest.raises(IsADirectoryError) as folder:
        index.save(tmp_path)
    assert str(folder.value) == f"{tmp_path} is a folder; name a file in it."
    with pytest.raises(FileNotFoundError) as missing:
        index.save(tmp_path / "no" / "x")
    assert str(missing.value) == f"there is no folder {tmp_path / 'no'}; make it first."
    with pytest.raises(FileNotFoundError):
        VectorIndex.load(tmp_path / "x")
    with pytest.raises(IsADirectoryError):
        VectorIndex.load(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link_and_its_target_is_replaced_whole(index: FaissIndex, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    target, link, dangling = tmp_path / "disk" / "a", tmp_path / "link", tmp_path / "dangling"
    target.write_text("old")
    link.symlink_to(target)
    dangling.symlink_to(Path("disk") / "b")
    for place in (link, dangling):
        index.save(place)
        assert place.is_symlink() and not target.is_symlink()
        assert len(VectorIndex.load(place)) == 300
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["a", "b"]
