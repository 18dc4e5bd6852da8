"""One plane for the whole course: every item of Online Retail where the towers of 10 December 2011
place it, coloured by what kind of thing it is, with names on hover.

data/item_map.csv has the places; data/README.md says how they came about.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from course_lib import figures, looks

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data" / "item_map.csv"
OTHER = "other"
# which labels, the nouns that `online_retail.item_fields` finds in descriptions, are of which kind
LABELS = {
    "bags and boxes": """
        BACKPACK BAG BASKET BIN BOX BUCKET CABINET CASE CONTAINER DRAWER HANDBAG JAR JUMBO-BAG
        LUNCH-BAG LUNCH-BOX MONEY-BANK ORGANISER PURSE RECIPE-BOX SHOPPER-BAG STORAGE-BAG
        STORAGE-BOX STORAGE-TIN TIDY TIN TRINKET-BOX WALLET WASHBAG
    """,
    "candles and lights": """
        CANDLE CANDLE-HOLDER CANDLEHOLDER CANDLESTICK HOLDER INCENSE LAMP LAMPSHADE LANTERN LIGHT
        MATCHES OIL T-LIGHT T-LIGHT-HOLDER TORCH
    """,
    "kitchen and table": """
        APRON BEAKER BOTTLE BOWL CAKE-CASE CAKE-STAND CAKE-TIN CAKESTAND CHOPSTICK COASTER
        COOKIE-CUTTER COSY CUP CUTLERY DINNER-SET DISH DOILEY DOILY JUG LADLE MOULD MUG MUG-COSY
        NAPKIN PAN PAPER-CUP PAPER-NAPKIN PAPER-PLATE PLACEMAT PLATE POT SAUCER SCALE SPOON STRAW
        TABLECLOTH TEA-COSY TEA-SET TEA-TOWEL TEACUP TEAPOT TRAY WHISK
    """,
    "for the home": """
        ALARM-CLOCK ART BIRD-HOUSE BLACKBOARD BOARD CHAIR CLOCK CURTAIN CUSHION CUSHION-COVER
        DOOR-MAT DOORMAT DOORSTOP FLOWER-POT FRAME FRIDGE-MAGNET GNOME HANGER HOOK
        HOT-WATER-BOTTLE KNOB LADDER LETTER-RACK MAGNET MAT MIRROR PARASOL PHOTO-FRAME
        PICTURE-FRAME PLANTER POSTER QUILT RACK RUG SHELF SIGN SOAP-DISH STAND STOOL TABLE
        THERMOMETER VASE WALL-ART WALL-CLOCK WATERING-CAN
    """,
    "jewellery": """
        BANGLE BRACELET BROOCH CHARM COMB EARRING HAIR-CLIP JEWELLERY KEY-RING KEYRING NECKLACE
        PENDANT RING
    """,
    "paper, pens and toys": """
        BOOK CALCULATOR CARD CHALK DOLL ERASER GAME GIFT-BAG GIFT-TAG GIFT-WRAP HELICOPTER JIGSAW
        JOURNAL KIT MARKER NOTEBOOK PAD PATCH PEN PENCIL PLAYING-CARD RIBBON RULER SEWING-KIT SHEET
        SKETCHBOOK STAMP STATIONERY STICKER TAG TAPE TISSUE TOY TUBE TWINE WINDMILL WRAP
    """,
    "party and Christmas": """
        ADVENT-CALENDAR ART-FLOWER BALL BALLOON BELL BUNTING CALENDAR CHIME DECORATION FLAG GARLAND
        ORNAMENT PAPER-CHAIN STOCKING TREE WREATH
    """,
}
KINDS = dict(zip((*LABELS, OTHER), looks.EIGHT, strict=True))
KIND_OF = {label: kind for kind, labels in LABELS.items() for label in labels.split()}

Steps = Mapping[str, Mapping[str, Sequence]]


def kind(labels: pd.Series) -> pd.Series:
    """The kind of each of a log's items by its label; "other" without one, and for a rare one."""
    return labels.map(KIND_OF).fillna(OTHER)


@functools.cache
def load() -> pd.DataFrame:
    """The committed map by item. Shared: change none of it."""
    types = {"item": str, "name": str, "kind": str}
    return pd.read_csv(DATA, dtype=types, keep_default_na=False).set_index("item")


def places(items: Sequence) -> np.ndarray | None:
    """[m, 2] where the items are on the map; None if one is not on it, being of another log."""
    rows = load().index.get_indexer(items)
    return None if (rows < 0).any() else load()[["x", "y"]].to_numpy(float)[rows]


def show(
    alt: str, highlight: Mapping[str, Sequence] | None = None, steps: Steps | None = None
) -> None:
    """Display the map: names on hover and by a search box, and a still twin where scripts don't
    run. A cell ends with it.

    - `alt`: as `figures.show` wants it.
    - `highlight`: sets of item ids by name. Up to four have a marker each; one of more than 100
      items (in some step) is bright instead, while all other items are pale.
    - `steps`: such sets by the name of a step, to go through with a slider.

    Raises ValueError for an item that is not on the map.
    """
    table, numbered = load(), {}
    for step, sets in (steps or {"": highlight or {}}).items():
        numbered[step] = {name: _rows(table.index, items) for name, items in sets.items()}
    kinds = pd.Index(KINDS).get_indexer(table["kind"])
    tag, alt = figures.tag(still(numbered), alt, dpi=140)  # a dot needs no more
    known = {
        "names": [f"{name} ({item})" for item, name in table["name"].items()],
        "kinds": "".join(map(str, kinds)),
        "x": table["x"].tolist(),
        "y": table["y"].tolist(),
        "colours": KINDS,
        "bright": figures.bright(numbered),
        "steps": {s: {n: r.tolist() for n, r in sets.items()} for s, sets in numbered.items()},
    }
    data = json.dumps(known, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    script, style = ((HERE / f"map.{ending}").read_text("utf-8") for ending in ("js", "css"))
    page = f"""<div class="item-map">
<style>
{style}</style>
{tag}
<script type="application/json">{data}</script>
<script>
{script}</script>
</div>"""
    display({"text/html": page, "text/plain": alt}, raw=True)


def still(steps: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """The map as a figure, a panel for each step; the sets are rows of the table here."""
    table = load()
    kinds = pd.Index(KINDS).get_indexer(table["kind"])
    return figures.item_map(table[["x", "y"]].to_numpy(), kinds, KINDS, steps)


def _rows(index: pd.Index, items: Iterable) -> np.ndarray:
    items = list(items)
    rows = index.get_indexer(items)
    if (rows < 0).any():
        unknown = items[int((rows < 0).argmax())]
        raise ValueError(f"item {unknown!r} is not on the map; give ids of the Online Retail log.")
    return rows


class Plane:
    """A plane for what the map has no place for, such as views and users: the two directions in
    which vectors [m, d] differ most (principal components), and the vectors in it: `points` [m, 2].

    - `items`: ids of the vectors' items. If all of them are on the map, the plane is turned and
      mirrored to lie as much like it as it can.
    """

    def __init__(self, vectors: np.ndarray, items: Sequence = ()) -> None:
        self.middle = vectors.mean(0)
        axes = np.linalg.svd(vectors - self.middle, full_matrices=False)[2][:2].T
        self.axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))  # [d, 2]; one item has no second
        self.points = self.of(vectors)
        on_map = places(items)
        if on_map is not None and len(on_map):
            on_map = (on_map - on_map.mean(0)) * [1, -1]  # its y points down
            left, _, right = np.linalg.svd(self.points.T @ on_map)  # orthogonal Procrustes
            self.axes = self.axes @ left @ right
            self.points = self.of(vectors)

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """[n, d] → [n, 2]"""
        return (vectors - self.middle) @ self.axes
