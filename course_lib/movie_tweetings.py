"""The second embedded log: half a year of films that people rated in public."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from course_lib.files import published
from course_lib.log import LISTED_BEFORE_FIRST_SALE, EventLog

DATA = Path(__file__).resolve().parent.parent / "data" / "movie_tweetings"
SHA256 = {
    "ratings.dat": "c0dd868c2632d10002ebc928ddc5345f33adeaa59eca52c2941c26a2c5e36fd6",
    "movies.dat": "e63fb84bc734e3c574f135634a40d3cbafab22b8f94f5fc0b80f80d1d2076efc",
}
TUNING = ("2013-05-01", "2013-06-15")
TEST = ("2013-06-15", "2013-09-02")
LEFT_OUT = "Adult"  # a genre of two films: this log is for classrooms
FIRST_NEW_YEAR = 2013  # of the log itself: older films were out before it began


def load_movie_tweetings(folder: str | Path = DATA) -> EventLog:
    """The second embedded log: half a year of rated films (MovieTweetings, Dooms et al., 2013).

    An event is a rating, of whatever height, at its time in UTC: 99,997 events, which leaves out
    the three ratings of the two films of the genre Adult. Users have no field but their ID, films
    those of `item_fields`. Assumed: a film of before 2013 is listed from the log's first day on,
    a newer one 14 days before its first rating. Raises ValueError, in one sentence, for a file
    that is missing or not as it was published.
    """
    items = item_fields(_read(Path(folder) / "movies.dat", ["item", "title", "genres"]))
    items = items[[LEFT_OUT not in genres for genres in items["genres"]]]
    ratings = _read(Path(folder) / "ratings.dat", ["user", "item", "rating", "time"])
    ratings = ratings[ratings["item"].isin(items["item"])]
    ratings = ratings.assign(
        user=ratings["user"].astype("int64"),
        time=pd.to_datetime(ratings["time"].astype("int64"), unit="s"),
    )
    events = ratings.sort_values("time", kind="stable")[["user", "item", "time"]]
    first = items["item"].map(events.drop_duplicates("item").set_index("item")["time"])
    old, start = items["year"] < FIRST_NEW_YEAR, events["time"].iloc[0].normalize()
    items = items.assign(listed=(first - LISTED_BEFORE_FIRST_SALE).mask(old, start))
    return EventLog.from_frame(events, items, events[["user"]].drop_duplicates())


# -- fields ----------------------------------------------------------------------------------------

# articles, prepositions, conjunctions, and what an apostrophe leaves, in the titles' languages
IGNORED = set(
    """
    a à al an and at au aux but by d da das de del della der des di dos du e een ein eine el en et
    for from i il im in into is l la las le les ll lo los m n nor o of on or os re s t the to u und
    un una une ve vs with y
    """.split()
)


def item_fields(films: pd.DataFrame) -> pd.DataFrame:
    """Item fields by plain rules, from `item`, `title` ("Title (year)") and `genres` ("One|Two").

    `description` (the title as published), `year` (a whole number), `decade` ("1990s"), `genre`
    (the first that is named; None if none is), `genres` (list: all of them), `words` (list: the
    title's words in small letters, each once, without articles and the like).
    """
    titles = films["title"].str.extract(r"^(?P<name>.*) \((?P<year>\d{4})\)$")
    genres = [[genre for genre in text.split("|") if genre] for text in films["genres"]]
    return pd.DataFrame(
        {
            "item": films["item"],
            "description": films["title"],
            "year": titles["year"].astype("int64"),
            "decade": titles["year"].str[:3] + "0s",
            "genre": [next(iter(named), None) for named in genres],
            "genres": genres,
            "words": titles["name"].map(_words),
        }
    )


def _words(title: str) -> list[str]:
    words = dict.fromkeys(re.findall(r"[^\W_]+", title.lower()))
    return [word for word in words if word not in IGNORED]


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    lines = published(path, SHA256[path.name]).decode().split("\n")[:-1]
    return pd.DataFrame([line.split("::") for line in lines], columns=columns)
