"""The embedded log: one year of a UK online shop for gifts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from course_lib.files import published
from course_lib.log import EventLog

DATA = Path(__file__).resolve().parent.parent / "data" / "online_retail.parquet"
SHA256 = "38e8b120ff68f4d3911ee9061a2a6416e5acd80b27449d6b9123de5b6971f6d4"
TEXTS = ["StockCode", "Description", "Country"]
TUNING = ("2011-04-01", "2011-06-01")
TEST = ("2011-06-01", "2011-12-10")


def load_online_retail(path: str | Path = DATA) -> EventLog:
    """The embedded log: one year of a UK online shop for gifts (UCI Online Retail,
    doi:10.24432/C5BW33).

    Raises ValueError, in one sentence, for a file that is missing or not as it was published.
    """
    file = pa.BufferReader(published(Path(path), SHA256))
    # each text once, for that is how the file has it, and most of it is repetition
    return shop_log(pq.read_table(file, read_dictionary=TEXTS).to_pandas(ignore_metadata=True))


def shop_log(raw: pd.DataFrame) -> EventLog:
    """The log of the shop's rows, which are in order of time.

    Kept are rows with a customer, a quantity and a price above 0, and a StockCode that begins with
    five digits; of these the first purchase of each (customer, item) pair: 266,221 events. Fields
    are made by `item_fields`.
    """
    kept = raw["CustomerID"].notna() & (raw["Quantity"] > 0) & (raw["UnitPrice"] > 0)
    kept &= raw["StockCode"].str.match(r"^\d{5}", na=False)
    names = {"CustomerID": "user", "StockCode": "item", "InvoiceDate": "time", "Country": "country"}
    bought = raw[kept].rename(columns=names).drop_duplicates(["user", "item"])
    events = bought[["user", "item", "time"]].astype({"user": "int64"})
    users = bought.drop_duplicates("user")[["user", "country"]].astype({"user": "int64"})
    # what is known of an item is what its first sale says: no later row is read
    sold = bought.drop_duplicates("item")
    items = item_fields(sold["item"], sold["Description"], sold["UnitPrice"])
    return EventLog.from_frame(events, items, users)


# -- fields ----------------------------------------------------------------------------------------

COLOURS = set(
    """
    AMBER AMETHYST AQUA BEIGE BLACK BLUE BRONZE BROWN BURGUNDY COPPER CORAL CREAM GOLD GREEN GREY
    IVORY LILAC MAUVE MINT MULTICOLOUR OLIVE ORANGE PEACH PINK PURPLE RED SILVER TURQUOISE WHITE
    YELLOW
    """.split()
)
MATERIALS = set(
    """
    ACRYLIC BAMBOO BEADED CERAMIC COTTON CROCHET CRYSTAL DIAMANTE ENAMEL FABRIC FELT FELTCRAFT
    GLASS IRON KNITTED LACE LEATHER METAL PAPER PLASTIC PORCELAIN RATTAN SHELL SLATE STEEL STRAW
    TIN WICKER WIRE WOOD WOODEN WOOL ZINC
    """.split()
)
LABELS = """
    HOT-WATER-BOTTLE T-LIGHT-HOLDER CANDLE-HOLDER WATERING-CAN PHOTO-FRAME PICTURE-FRAME
    CUSHION-COVER CAKE-STAND CAKESTAND CAKE-CASE CAKE-TIN LUNCH-BAG LUNCH-BOX STORAGE-BAG
    STORAGE-BOX STORAGE-TIN SHOPPER-BAG JUMBO-BAG GIFT-WRAP GIFT-BAG GIFT-TAG KEY-RING HAIR-CLIP
    HAND-WARMER DOOR-MAT WALL-ART WALL-CLOCK ALARM-CLOCK TEA-TOWEL TEA-SET TEA-COSY PAPER-CHAIN
    PLAYING-CARD TRINKET-BOX MONEY-BANK MUG-COSY BIRD-HOUSE LETTER-RACK RECIPE-BOX SOAP-DISH
    FLOWER-POT ADVENT-CALENDAR COOKIE-CUTTER ART-FLOWER FRIDGE-MAGNET PAPER-PLATE PAPER-CUP
    PAPER-NAPKIN SEWING-KIT DINNER-SET APRON ART BACKPACK BAG BALL BALLOON BANGLE BANK BASKET
    BEAKER BELL BIN BLACKBOARD BOARD BOOK BOTTLE BOWL BOX BRACELET BROOCH BRUSH BUCKET BUNTING
    BUTTON CABINET CALCULATOR CALENDAR CAN CANDLE CANDLEHOLDER CANDLESTICK CARD CASE CHAIN CHAIR
    CHALK CHARM CHIME CHOPSTICK CLIP CLOCK COASTER COMB CONTAINER COSY CUP CURTAIN CUSHION CUTLERY
    DECORATION DISH DOILEY DOILY DOLL DOORMAT DOORSTOP DRAWER EARRING ERASER FAN FLAG FLANNEL
    FRAME GAME GARLAND GLOBE GLOVE GNOME GUN HAMMER HANDBAG HANGER HELICOPTER HOLDER HOOK INCENSE
    JAR JEWELLERY JIGSAW JOURNAL JUG KEYRING KIT KNOB LADDER LADLE LAMP LAMPSHADE LANTERN LIGHT
    LIP-GLOSS MAGNET MARKER MASK MAT MATCHES MIRROR MOBILE MOULD MUG NAPKIN NECKLACE NOTEBOOK OIL
    ORGANISER ORNAMENT PAD PAN PARASOL PASSPORT-COVER PATCH PEG PEN PENCIL PENDANT PIN PLACEMAT
    PLANTER PLATE POSTER POT PURSE QUILT RACK RIBBON RING ROPE RUG RULER SACHET SACK SAUCER SCALE
    SCARF SCISSORS SHEET SHELF SIGN SKETCHBOOK SLIPPER SOAP SPOON STAMP STAND STATIONERY STICKER
    STOCKING STOOL STRAW SWEETS T-LIGHT TABLE TABLECLOTH TAG TAPE TEACUP TEAPOT THERMOMETER TIDY
    TIN TISSUE TORCH TOWEL TOY TRAY TREE TUBE TWINE UMBRELLA VASE WALLET WARMER WASHBAG WHISK
    WINDMILL WRAP WREATH
""".split()
IGNORED = set(
    """
    A AN AND ASSORTED ASSTD BY DE FOR I IN OF ON PC PCS PIECE PIECES SET THE TO W WITH YOUR
    """.split()
)
PRICE_BANDS = [0, 0.5, 1, 1.5, 2, 3, 5, 8, 15, np.inf]  # GBP
_LONGEST = "|".join(sorted((w.replace("-", "[- ]") for w in LABELS), key=len, reverse=True))
_LABEL = re.compile(rf"\b({_LONGEST})(?=E?S?\b)")
_SET = re.compile(
    r"\b(?:SET|PACK|BOX|S)(?: ?(?:OF|/) ?| )(\d+)|\b(\d+) ?(?:PC|PIECE|PACK|SET)|^(\d+) "
)


def item_fields(item: pd.Series, description: pd.Series, price: pd.Series) -> pd.DataFrame:
    """Item fields by plain rules from code, description and price; None where a rule finds nothing.

    `line` (the code's first three digits), `variant` (the letters behind the digits), `label` (what
    it is: the last word or words of the description that name a kind of goods), `colour`,
    `material` (first such word), `set_size`, `price_band` (of fixed borders in GBP), `keywords`
    (list: the remaining words, in the singular). They stand for the notes' ID, Label, Keywords,
    City.
    """
    rows = [_describe(str(text).upper()) for text in description]
    fields = pd.DataFrame(rows, columns=["label", "colour", "material", "set_size", "keywords"])
    code = item.astype(str).reset_index(drop=True)
    fields.insert(0, "item", code)
    fields.insert(1, "description", description.str.split().str.join(" ").to_numpy())
    fields.insert(2, "line", code.str[:3])
    fields["variant"] = code.str[5:].str.upper().where(code.str.len() > 5, None)
    fields["price_band"] = pd.cut(price, PRICE_BANDS).astype(str).to_numpy()
    return fields


def _describe(text: str) -> tuple[str | None, str | None, str | None, str | None, list[str]]:
    size = _SET.search(text)
    labels = list(_LABEL.finditer(text))
    label = labels[-1].group(1).replace(" ", "-") if labels else None
    words = [_singular(w) for w in re.findall(r"[A-Z0-9][A-Z0-9'\-]*", text)]
    colour = next((w for w in words if w in COLOURS), None)
    material = next((w for w in words if w in MATERIALS), None)
    taken = {colour, material, *(_singular(w) for w in (label or "").split("-"))} | IGNORED
    telling = (w for w in words if len(w) > 1 and not w.isdigit())
    keywords = list(dict.fromkeys(w for w in telling if not taken.issuperset(w.split("-"))))
    return label, colour, material, next(filter(None, size.groups())) if size else None, keywords


def _singular(word: str) -> str:
    word = word.removesuffix("'S").removesuffix("'")
    if word.endswith(("SHES", "SSES", "TCHES", "XES")):
        return word[:-2]
    plural = len(word) > 3 and word.endswith("S") and not word.endswith(("SS", "US", "MAS"))
    return word[:-1] if plural else word
