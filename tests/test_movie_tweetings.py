"""The films' log, against a plain reading of its files; and what must never come with them."""

import datetime
import re
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from helpers import refusal

from course_lib.log import EventLog
from course_lib.movie_tweetings import DATA, IGNORED, load_movie_tweetings

FORBIDDEN = {"0065904", "0080491"}  # the films of the genre Adult
UTC = datetime.timezone.utc


@pytest.fixture(scope="module")
def ratings() -> list[tuple[int, str, int, datetime.datetime]]:
    """User, film, rating, time of every line, in the file's order."""
    rows = []
    for line in (DATA / "ratings.dat").open(encoding="ascii"):
        user, film, rating, seconds = line.split("::")
        time = datetime.datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None)
        rows.append((int(user), film, int(rating), time))
    return rows


@pytest.fixture(scope="module")
def films() -> dict[str, tuple[str, int, list[str]]]:
    """Name, year and genres of every film."""
    found = {}
    for line in (DATA / "movies.dat").open(encoding="utf-8", newline="\n"):
        film, title, genres = line.removesuffix("\n").split("::")
        assert title[-7:-5] + title[-1] == " ()"
        found[film] = title[:-7], int(title[-5:-1]), genres.split("|") if genres else []
    return found


def share(part: int, whole: int) -> int:
    """In percent."""
    return round(100 * part / whole)


# -- facts -----------------------------------------------------------------------------------------


def test_the_readme_s_facts(ratings: list, films: dict):
    """Every figure of data/movie_tweetings/README.md, in its order."""
    by_user, by_film = (Counter(row[column] for row in ratings) for column in (0, 1))
    times, counts = [row[3] for row in ratings], sorted(by_film.values())
    assert (len(ratings), len(by_user), len(by_film), len(films)) == (
        100_000,
        16_554,
        10_506,
        10_506,
    )
    assert len({time.date() for time in times}) == 186
    assert f"{min(times)} {max(times)}" == "2013-02-28 14:38:27 2013-09-01 20:27:45"
    assert len({row[:2] for row in ratings}) == 100_000
    of_users = sorted(by_user.values())
    assert (share(of_users.count(1), 16_554), of_users[8_277], of_users[-1]) == (45, 2, 320)
    at_most = [share(sum(n <= most for n in counts), 10_506) for most in (1, 2, 20)]
    assert at_most == [47, 62, 93]
    assert share(sum(n for n in counts if n <= 20), 100_000) == 32
    assert share(sum(counts[-1_051:]), 100_000) == 74
    genres = Counter(genre for _, _, named in films.values() for genre in named)
    assert len(genres) == 25 and round(genres.total() / len(films), 1) == 2.5
    assert sum(not named for _, _, named in films.values()) == 66
    new = {film for film, (_, year, _) in films.items() if year >= 2013}
    assert len(new) == 678 and max(year for _, year, _ in films.values()) == 2013
    assert share(sum(by_film[film] for film in new), 100_000) == 33
    assert {film for film, (_, _, named) in films.items() if "Adult" in named} == FORBIDDEN
    assert {row[2] for row in ratings} == set(range(11))
    assert min(by_user) == 1 and max(by_user) == 16_554  # the data set's own numbers


def test_the_log_has_every_other_rating_in_order_of_time(movies: EventLog, ratings: list):
    kept = [row for row in ratings if row[1] not in FORBIDDEN]
    kept.sort(key=lambda row: row[3])  # Python's sort is stable
    assert (len(movies), len(movies.items), len(movies.users)) == (99_997, 10_504, 16_554)
    found = zip(*(movies.events[name] for name in ("user", "item", "time")), strict=True)
    assert list(found) == [(user, film, time) for user, film, _, time in kept]
    assert movies.users.columns.tolist() == []
    assert movies.events["time"].dt.tz is None


def test_when_films_are_listed(movies: EventLog, ratings: list, films: dict):
    """Older films from the first day on, new ones 14 days before their first rating."""
    first = {}
    for _, film, _, time in sorted(ratings, key=lambda row: row[3]):
        first.setdefault(film, time)
    began, fortnight = datetime.datetime(2013, 2, 28), datetime.timedelta(days=14)
    assert movies.items["listed"].to_dict() == {
        film: began if films[film][1] < 2013 else first[film] - fortnight
        for film in movies.items.index
    }
    assert movies.listed("2013-02-28") == 9_826 + sum(
        films[film][1] >= 2013 and time - fortnight <= began for film, time in first.items()
    )


# -- fields ----------------------------------------------------------------------------------------


def test_fields_against_a_plain_reading(movies: EventLog, films: dict):
    fields = ["description", "year", "decade", "genre", "genres", "words"]
    assert movies.items.columns.tolist() == [*fields, "listed"]
    for film, description, year, decade, genre, genres, words in movies.items[fields].itertuples():
        name, made, named = films[film]
        assert (description, year, genres) == (f"{name} ({made})", made, named)
        assert decade == f"{made // 10 * 10}s"
        assert genre == named[0] if named else pd.isna(genre)
        letters = (c if c.isalnum() else " " for c in name.lower())
        told = [word for word in "".join(letters).split() if word not in IGNORED]
        assert words == sorted(set(told), key=told.index)
    assert {word for word in IGNORED if word != word.lower() or not word.isalpha()} == set()


@pytest.mark.parametrize(
    ("film", "description", "year", "decade", "genre", "genres", "words"),
    [
        (
            "0002844",
            "Fantômas - À l'ombre de la guillotine (1913)",
            1913,
            "1910s",
            "Crime",
            ["Crime", "Drama"],
            ["fantômas", "ombre", "guillotine"],
        ),
        (
            "1606378",
            "A Good Day to Die Hard (2013)",
            2013,
            "2010s",
            "Action",
            ["Action", "Crime", "Thriller"],
            ["good", "day", "die", "hard"],
        ),
        (
            "0021283",
            "Rakudai wa shitakeredo (1930)",
            1930,
            "1930s",
            None,
            [],
            ["rakudai", "wa", "shitakeredo"],
        ),
        (
            "0293564",
            "Rush Hour 3 (2007)",
            2007,
            "2000s",
            "Action",
            ["Action", "Comedy", "Crime", "Thriller"],
            ["rush", "hour", "3"],
        ),
        (
            "0022100",
            "M (1931)",
            1931,
            "1930s",
            "Crime",
            ["Crime", "Drama", "Film-Noir", "Thriller"],
            [],
        ),
    ],
)
def test_fields_by_eye(movies: EventLog, film, description, year, decade, genre, genres, words):
    fields = movies.items.loc[film]
    assert fields["description"] == description
    assert (fields["year"], fields["decade"], fields["genre"]) == (year, decade, genre) or (
        genre is None and pd.isna(fields["genre"])
    )
    assert (fields["genres"], fields["words"]) == (genres, words)


def test_the_fields_vocabularies(movies: EventLog):
    """Few values for what sorts films, many for what names them; none that classrooms should not
    see.
    """
    values = {name: movies.items[name].dropna().explode().nunique() for name in movies.items}
    assert (values["year"], values["decade"], values["genre"], values["genres"]) == (
        101,
        12,
        23,
        24,
    )
    assert 10_000 < values["words"] < 11_000
    genres = set(movies.items["genres"].explode().dropna())
    assert {"Drama", "Film-Noir", "Sci-Fi"} < genres and "Adult" not in genres
    assert set(movies.items["genre"].dropna()) < genres
    assert not FORBIDDEN & set(movies.items.index)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat"])
@pytest.mark.parametrize("damage", ["missing", "empty", "short", "changed", "CRLF", "folder"])
def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path, name: str, damage: str):
    for path in DATA.glob("*.dat"):
        shutil.copy(path, tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        changed = whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:]
        lines = whole.replace(b"\n", b"\r\n")
        spoiled = {"empty": b"", "short": whole[:-1], "changed": changed, "CRLF": lines}
        path.write_bytes(spoiled[damage])
    message = refusal(load_movie_tweetings, tmp_path)
    assert message.startswith(f"{path} is missing or not the file that was published; restore it")


def test_a_copy_elsewhere_gives_the_same_log(movies: EventLog, tmp_path: Path):
    for path in DATA.glob("*.dat"):
        shutil.copy(path, tmp_path)
    again = load_movie_tweetings(str(tmp_path))
    for name in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(movies, name))


def test_nobody_s_account_comes_with_the_data(ratings: list):
    """A network's account numbers have many digits; users here are counted from 1."""
    files = {path.name for path in DATA.iterdir()}
    assert files == {"LICENSE", "README.md", "movies.dat", "ratings.dat"}
    assert {row[0] for row in ratings} == set(range(1, 16_555))
    for path in DATA.parent.rglob("*"):
        assert "users" not in path.stem, path
        if path.is_dir() or path.suffix == ".parquet" or path.name == "ratings.dat":
            continue
        text = path.read_text("utf-8")
        numbers = re.findall(r"(?<![\d.a-f])\d{8,}(?![\da-f])", text)  # but in a hash
        assert not {int(number) for number in numbers} - {2**32 - 1, 2**32 - 2}, path


def test_the_licence_and_its_notice_are_there():
    licence = (DATA / "LICENSE").read_text("utf-8")
    assert "MIT License" in licence and "Copyright (c) 2013 Simon Dooms" in licence
    readme = (DATA / "README.md").read_text("utf-8")
    assert all(
        name in readme for name in ("Simon Dooms", "Toon De Pessemier", "Luc Martens", "MIT")
    )
