"""The look of everything that is compared: an arm has one colour, marker, dash pattern and hatch in
all figures of the course.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# Okabe and Ito, 2008
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
PINK, SKY, BLACK, BROWN = "#CC79A7", "#56B4E9", "#000000", "#8B4513"
EIGHT = (BLUE, ORANGE, GREEN, RED, PINK, SKY, BLACK, "#999999")  # kinds of item on a map
FIVE = (BLUE, ORANGE, GREEN, RED, GREY)


class Look(NamedTuple):
    """What a line, a marker or a bar is drawn with."""

    colour: str
    marker: str
    dashes: str
    hatch: str


OTHERS = (
    Look(BLUE, "o", "-", ""),
    Look(ORANGE, "s", "--", "//"),
    Look(GREEN, "^", "-.", ".."),
    Look(RED, "v", ":", "xx"),
    Look(GREY, "x", "-", "\\\\"),
    Look(BLACK, "d", "--", "++"),
    Look(PINK, "p", "-.", "oo"),
    Look(SKY, "P", ":", "||"),
    Look(BROWN, "h", "-", "--"),
)
ARMS = {
    # updates
    "nightly full": Look(BLUE, "o", "-", ""),
    "nightly full + hourly IDs": Look(ORANGE, "s", "--", "//"),
    "full every 7 days": Look(SKY, "d", "-.", "||"),
    "full every 30 days": Look(PINK, "v", ":", "oo"),
    "never updated": Look(GREY, "x", "-", "\\\\"),
    # peers
    "popularity": Look(GREY, "x", "-", "\\\\"),
    "item-to-item CF": Look(GREEN, "^", "-.", ".."),
    "EASE": Look(ORANGE, "s", "--", "//"),
    "two towers": Look(BLUE, "o", "-", ""),
    "ours, plain towers": Look(BLUE, "o", "-", ""),
    "ours, everything": Look(RED, "v", ":", "xx"),
    # self-supervision and its rivals
    "plain": Look(BLACK, "o", "-", ""),
    "new items": Look(GREY, "o", "-", "\\\\"),
    "fields dropped": Look(ORANGE, "s", "--", "//"),
    "random mask": Look(BLUE, "^", "-", ""),
    "dropout": Look(GREEN, "d", "-.", ".."),
    "complementary": Look(RED, "v", "-", "xx"),
    "correlated mask": Look(BROWN, "P", "--", "++"),
    "correlated mask, corrected MI": Look(PINK, "X", ":", "oo"),
    "q half-life 3 days": Look(SKY, "p", "-", "||"),
    "counts": Look(BLACK, "h", "-", "--"),
    # the two towers' choices
    "7 days, as chosen": Look(BLUE, "o", "-", ""),
    "guessing": Look(GREY, "x", "--", "\\\\"),
    # indexes
    "flat": Look(BLACK, "*", "-", ""),
    "ivf": Look(BLUE, "o", "-", ""),
    "ivfpq": Look(ORANGE, "s", "--", "//"),
    "ivfpq re-ranked": Look(BROWN, "d", "--", "++"),
    "hnsw": Look(GREEN, "^", "-.", ".."),
    "hnswlib": Look(RED, "v", "-", "xx"),
    # how often an item is seen
    "3 events per item": Look(BROWN, "o", "-", ""),
    "12 events per item": Look(GREEN, "s", "--", "//"),
}


def of(names: Iterable[str]) -> list[Look]:
    """The looks of the things in one figure: an arm's own, and for any other name the first whose
    colour is left. Raises ValueError if there are more names than looks.
    """
    names = list(names)
    taken = {ARMS[name].colour for name in names if name in ARMS}
    left = [look for look in OTHERS if look.colour not in taken]
    others = sum(name not in ARMS for name in names)
    if others > len(left):
        raise ValueError(
            f"there are {len(names)} arms, and a figure tells {len(names) - others + len(left)} "
            f"apart; draw fewer."
        )
    rest = iter(left)
    return [ARMS[name] if name in ARMS else next(rest) for name in names]
