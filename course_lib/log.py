"""The log: who bought what, when, and what is known of each item and user.

`EventLog` is what every chapter works on. `load_online_retail` makes one from the embedded data set;
`EventLog.from_frame` makes one from a teacher's own DataFrames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parent.parent / "data" / "online_retail.parquet"
LISTED_BEFORE_FIRST_SALE = pd.Timedelta(days=14)
DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)
NOT_A_FIELD = ("listed", "description")
TAKEN = ("history", "statistics")  # what features.py calls the features that it makes itself


@dataclass(frozen=True, eq=False)
class EventLog:
    """A checked log of events, in time order. Make one with `from_frame` or `load_online_retail`.

    - `events`: columns `user`, `item`, `time`; sorted by time; a (user, item) pair at most once.
    - `items`: one row per item, indexed by item, in order of listing; columns `listed` (the time from which the item
      can be nominated), `description` (for people), and the item's fields, each categorical or list-valued.
    - `users`: one row per user, indexed by user, in order of first event; the user's fields.

    Because both tables are in order of appearance, "known on day t" is always a prefix of them: an item's *code* (its
    row number) never depends on the future.
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame

    @classmethod
    def from_frame(cls, events: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame) -> EventLog:
        """Check three DataFrames and make a log of them.

        - `events`: `user`, `item`, `time` (datetime, not decreasing); one row per event, no (user, item) pair twice.
        - `items`: `item` and any fields; optional `description` (text) and `listed` (datetime). Without `listed`, an
          item is listed 14 days before its first sale: a documented assumption, so that an unsold item's being listed
          does not tell that it will sell today. An item that never sells is left out then.
        - `users`: `user` and any fields.

        A field holds categories (text, whole numbers, booleans) or lists of them; a missing category is None, or NaN
        among text, and becomes the field's default. Raises ValueError: one sentence, naming the column and the first bad row.
        """
        for name, frame, needed in (
            ("events", events, ["user", "item", "time"]),
            ("items", items, ["item"]),
            ("users", users, ["user"]),
        ):
            if frame.columns.has_duplicates:
                raise ValueError(f"{name} has column '{frame.columns[frame.columns.duplicated()][0]}' twice; rename or drop one.")
            for column in needed:
                if column not in frame.columns:
                    raise ValueError(f"{name} has no column '{column}'; it needs {', '.join(needed)}.")
                _refuse(frame[column].isna(), name, column, "is missing; every row needs a value")
            for column in [] if name == "events" else frame.columns.drop([*needed, *NOT_A_FIELD], errors="ignore"):
                _check_field(name, frame[column])
        if events.empty:
            raise ValueError("events has no rows; a log needs at least one.")
        _check_time("events", events["time"])
        _refuse(events["time"].diff() < pd.Timedelta(0), "events", "time", "is earlier than the row before; sort by time")
        _refuse(events.duplicated(["user", "item"]), "events", "item", "was already bought by this user; keep first purchases only")
        _refuse(items.duplicated("item"), "items", "item", "is there twice; keep one row per item")
        _refuse(users.duplicated("user"), "users", "user", "is there twice; keep one row per user")
        _refuse(~events["item"].isin(items["item"]), "events", "item", "is not in items; add a row for it there")
        _refuse(~events["user"].isin(users["user"]), "events", "user", "is not in users; add a row for it there")

        items, users = items.set_index("item"), users.set_index("user")
        first = events.groupby("item", observed=True)["time"].min()
        if "listed" in items:
            _check_time("items", items["listed"])
            late = items["listed"] > first.reindex(items.index)
            _refuse(late, "items", "listed", "is after the item's first sale; an item is listed before it is sold")
        else:
            items["listed"] = (first - LISTED_BEFORE_FIRST_SALE).reindex(items.index)
            items = items[items["listed"].notna()]
        if "description" not in items:
            items["description"] = items.index.astype(str)
        items["listed"] = items["listed"].astype("datetime64[us]")
        items = items.sort_values("listed", kind="stable").astype(dict.fromkeys(items.columns.drop("listed"), object))
        users = users.loc[events["user"].unique()].astype(object)  # plain objects: they are looked up one by one
        events = events[["user", "item", "time"]].astype({"time": "datetime64[us]"}).reset_index(drop=True)
        return cls(events, items, users)

    def __len__(self) -> int:
        return len(self.events)

    def append(self, events: pd.DataFrame) -> EventLog:
        """A log that goes on with these events, in this order; codes and rows of this log stay what they are.

        A (user, item) pair that is there already is left out: first purchases only. An item that is new here counts as
        listed when this log's last item was, if it was listed before that: codes are given in order of appearance.

        - `events`: `user`, `item`, `time`, and each field of either as `item/…`, `user/…` (`tfrecord.read` gives such
          tables). Raises ValueError for a missing column, or a time before this log's last.
        """
        for name in ("user", "item", "time", *("item/" + self.items.columns), *("user/" + self.users.columns)):
            if name not in events:
                raise ValueError(f"events has no column '{name}'; it needs the fields of the log that it goes on from.")
        _check_time("events", events["time"])
        times = pd.concat([self.events["time"].iloc[-1:], events["time"]])
        _refuse(
            times.diff()[1:] < pd.Timedelta(0), "events", "time", "is earlier than the row before; what came late goes to the end"
        )
        pairs = pd.concat([self.events[["user", "item"]], events[["user", "item"]]])
        events = events[~pairs.duplicated().to_numpy()[len(self) :]]
        tables = {}
        for kind, known in (("item", self.items), ("user", self.users)):
            new = events[~events[kind].isin(known.index)].drop_duplicates(kind).set_index(kind)
            new = new[kind + "/" + known.columns].set_axis(known.columns, axis=1)
            if kind == "item":
                new = new.assign(listed=new["listed"].clip(lower=known["listed"].iloc[-1])).sort_values("listed", kind="stable")
            tables[f"{kind}s"] = pd.concat([known, new]).astype(known.dtypes) if len(new) else known
        return EventLog(pd.concat([self.events, events[["user", "item", "time"]]], ignore_index=True), **tables)

    @cached_property
    def user_codes(self) -> np.ndarray:
        """[len(events)] row numbers in `users`."""
        return self.users.index.get_indexer(self.events["user"])

    @cached_property
    def code_of_user(self) -> dict:
        """Row number in `users` of each user."""
        return {user: code for code, user in enumerate(self.users.index.tolist())}

    @cached_property
    def item_codes(self) -> np.ndarray:
        """[len(events)] row numbers in `items`."""
        return self.items.index.get_indexer(self.events["item"])

    @cached_property
    def days(self) -> pd.DatetimeIndex:
        """Midnights of the days that have events, in order."""
        return pd.DatetimeIndex(self.events["time"].dt.normalize().unique())

    def rows(self, start: pd.Timestamp | str | None = None, end: pd.Timestamp | str | None = None) -> slice:
        """The slice of event rows with start ≤ time < end."""
        time = self.events["time"]
        low = 0 if start is None else int(time.searchsorted(pd.Timestamp(start).as_unit("us")))
        high = len(time) if end is None else int(time.searchsorted(pd.Timestamp(end).as_unit("us")))
        return slice(low, high)

    @cached_property
    def _rows_by_user(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.user_codes, kind="stable")  # each user's event rows, together and in time order
        return order, np.searchsorted(self.user_codes[order], np.arange(len(self.users) + 1))

    def bought(self, user: int, before: int) -> np.ndarray:
        """Item codes that user (code; −1 is a new user) bought in event rows < `before`, in order of time."""
        if user < 0:
            return np.array([], dtype=int)
        order, starts = self._rows_by_user
        rows = order[starts[user] : starts[user + 1]]
        return self.item_codes[rows[: np.searchsorted(rows, before)]]

    def listed(self, time: pd.Timestamp | str) -> int:
        """How many items are listed at `time`: they are the first that many rows of `items`."""
        return int(self.items["listed"].searchsorted(pd.Timestamp(time).as_unit("us"), side="right"))


def load_online_retail(path: str | Path = DATA) -> EventLog:
    """The embedded log: one year of a UK online shop for gifts (UCI Online Retail, doi:10.24432/C5BW33).

    Kept are rows with a customer, a quantity and a price above 0, and a StockCode that begins with five digits; of
    these the first purchase of each (customer, item) pair: 266,221 events. Fields are made by `item_fields`.
    Raises ValueError, in one sentence, for a file that is missing, damaged, or has other columns or types.
    """
    raw = _read_parquet(Path(path))
    kept = raw["CustomerID"].notna() & (raw["Quantity"] > 0) & (raw["UnitPrice"] > 0)
    kept &= raw["StockCode"].str.match(r"^\d{5}", na=False)
    raw = raw[kept].rename(columns={"CustomerID": "user", "StockCode": "item", "InvoiceDate": "time", "Country": "country"})
    raw["user"] = raw["user"].astype("int64")
    events = raw.drop_duplicates(["user", "item"])[["user", "item", "time"]]
    users = raw.drop_duplicates("user")[["user", "country"]]
    sold = raw.drop_duplicates("item")  # what is known of an item is what its first sale says: no later row is read
    return EventLog.from_frame(events, item_fields(sold["item"], sold["Description"], sold["UnitPrice"]), users)


# -- fields of Online Retail ------------------------------------------------------------------------------------------

COLOURS = set("""
    AMBER AMETHYST AQUA BEIGE BLACK BLUE BRONZE BROWN BURGUNDY COPPER CORAL CREAM GOLD GREEN GREY IVORY LILAC MAUVE
    MINT MULTICOLOUR OLIVE ORANGE PEACH PINK PURPLE RED SILVER TURQUOISE WHITE YELLOW""".split())  # fmt: skip
MATERIALS = set("""
    ACRYLIC BAMBOO BEADED CERAMIC COTTON CROCHET CRYSTAL DIAMANTE ENAMEL FABRIC FELT FELTCRAFT GLASS IRON KNITTED LACE
    LEATHER METAL PAPER PLASTIC PORCELAIN RATTAN SHELL SLATE STEEL STRAW TIN WICKER WIRE WOOD WOODEN WOOL
    ZINC""".split())  # fmt: skip
LABELS = """
    HOT-WATER-BOTTLE T-LIGHT-HOLDER CANDLE-HOLDER WATERING-CAN PHOTO-FRAME PICTURE-FRAME CUSHION-COVER CAKE-STAND
    CAKESTAND CAKE-CASE CAKE-TIN LUNCH-BAG LUNCH-BOX STORAGE-BAG STORAGE-BOX STORAGE-TIN SHOPPER-BAG JUMBO-BAG GIFT-WRAP GIFT-BAG
    GIFT-TAG KEY-RING HAIR-CLIP HAND-WARMER DOOR-MAT WALL-ART WALL-CLOCK ALARM-CLOCK TEA-TOWEL TEA-SET TEA-COSY
    PAPER-CHAIN PLAYING-CARD TRINKET-BOX MONEY-BANK MUG-COSY BIRD-HOUSE LETTER-RACK RECIPE-BOX SOAP-DISH FLOWER-POT
    ADVENT-CALENDAR COOKIE-CUTTER ART-FLOWER FRIDGE-MAGNET PAPER-PLATE PAPER-CUP PAPER-NAPKIN SEWING-KIT DINNER-SET
    APRON ART BACKPACK BAG BALL BALLOON BANGLE BANK BASKET BEAKER BELL BIN BLACKBOARD BOARD BOOK BOTTLE BOWL BOX
    BRACELET BROOCH BRUSH BUCKET BUNTING BUTTON CABINET CALCULATOR CALENDAR CAN CANDLE CANDLEHOLDER
    CANDLESTICK CARD CASE CHAIN CHAIR CHALK CHARM CHIME CHOPSTICK CLIP CLOCK COASTER COMB CONTAINER COSY CUP CURTAIN
    CUSHION CUTLERY DECORATION DISH DOILEY DOILY DOLL DOORMAT DOORSTOP DRAWER EARRING ERASER FAN FLAG FLANNEL FRAME
    GAME GARLAND GLOBE GLOVE GNOME GUN HAMMER HANDBAG HANGER HELICOPTER HOLDER HOOK INCENSE JAR JEWELLERY JIGSAW
    JOURNAL JUG KEYRING KIT KNOB LADDER LADLE LAMP LAMPSHADE LANTERN LIGHT LIP-GLOSS MAGNET MARKER MASK MAT MATCHES
    MIRROR MOBILE MOULD MUG NAPKIN NECKLACE NOTEBOOK OIL ORGANISER ORNAMENT PAD PAN PARASOL PASSPORT-COVER PATCH PEG
    PEN PENCIL PENDANT PIN PLACEMAT PLANTER PLATE POSTER POT PURSE QUILT RACK RIBBON RING ROPE RUG RULER SACHET SACK
    SAUCER SCALE SCARF SCISSORS SHEET SHELF SIGN SKETCHBOOK SLIPPER SOAP SPOON STAMP STAND STATIONERY STICKER STOCKING
    STOOL STRAW SWEETS T-LIGHT TABLE TABLECLOTH TAG TAPE TEACUP TEAPOT THERMOMETER TIDY TIN TISSUE TORCH TOWEL TOY
    TRAY TREE TUBE TWINE UMBRELLA VASE WALLET WARMER WASHBAG WHISK WINDMILL WRAP WREATH""".split()  # fmt: skip
IGNORED = set("A AN AND ASSORTED ASSTD BY DE FOR I IN OF ON PC PCS PIECE PIECES SET THE TO W WITH YOUR".split())
PRICE_BANDS = [0, 0.5, 1, 1.5, 2, 3, 5, 8, 15, np.inf]  # GBP
_LABEL = re.compile(r"\b(" + "|".join(sorted((w.replace("-", "[- ]") for w in LABELS), key=len, reverse=True)) + r")(?=E?S?\b)")
_SET = re.compile(r"\b(?:SET|PACK|BOX|S)(?: ?(?:OF|/) ?| )(\d+)|\b(\d+) ?(?:PC|PIECE|PACK|SET)|^(\d+) ")


def item_fields(item: pd.Series, description: pd.Series, price: pd.Series) -> pd.DataFrame:
    """Item fields by plain rules from code, description and price; None where a rule finds nothing.

    `line` (the code's first three digits), `variant` (the letters behind the digits), `label` (what it is: the last
    word or words of the description that name a kind of goods), `colour`, `material` (first such word), `set_size`,
    `price_band` (of fixed borders in GBP), `keywords` (list: the remaining words, in the singular).
    They stand for the notes' ID, Label, Keywords, City.
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
    keywords = list(dict.fromkeys(w for w in words if not taken.issuperset(w.split("-")) and not w.isdigit() and len(w) > 1))
    return label, colour, material, next(filter(None, size.groups())) if size else None, keywords


def _singular(word: str) -> str:
    word = word.removesuffix("'S").removesuffix("'")
    if word.endswith(("SHES", "SSES", "TCHES", "XES")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("S") and not word.endswith(("SS", "US", "MAS")) else word


# -- checks -----------------------------------------------------------------------------------------------------------


def _refuse(bad: pd.Series, frame: str, column: str, why: str) -> None:
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        raise ValueError(f"{frame}: column '{column}', row {int(bad.argmax())} {why} (such rows: {int(bad.sum())}).")


def _check_time(frame: str, time: pd.Series) -> None:
    if not pd.api.types.is_datetime64_any_dtype(time):
        raise ValueError(f"{frame}: column '{time.name}' is {time.dtype}, not datetime; convert it with pandas.to_datetime.")
    if time.dt.tz is not None:
        raise ValueError(f"{frame}: column '{time.name}' has a time zone; make local time of it with .dt.tz_localize(None).")
    _refuse(time.isna(), frame, time.name, "is missing; every row needs a value")


def _check_field(frame: str, values: pd.Series) -> None:
    if values.name in TAKEN:
        raise ValueError(f"{frame}: column '{values.name}' has a name that the library uses itself; rename it.")
    if pd.api.types.is_float_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        _refuse(values.isna(), frame, values.name, "is NaN; a field holds categories, and a missing one is None in a text column")
        raise ValueError(
            f"{frame}: column '{values.name}' is {values.dtype}; a field holds categories, so cut numbers into bands "
            "(pandas.cut) and make text of them."
        )
    if values.dtype == object:
        categories = (str, int, bool, np.integer, np.bool_)
        missing, lists = values.isna(), values.map(lambda value: isinstance(value, (list, tuple, set, np.ndarray)))
        bags = values.where(lists, values.map(lambda value: [value]))
        wrong = ~missing & ~bags.map(lambda bag: all(isinstance(v, categories) for v in bag))
        _refuse(wrong, frame, values.name, "holds neither a category, nor None, nor a list of categories")
        _refuse(~lists & ~missing & lists.any(), frame, values.name, "is no list, and other rows are; make a list of it")


def _read_parquet(path: Path) -> pd.DataFrame:
    columns = {"StockCode": "text", "Description": "text", "Country": "text", "InvoiceDate": "datetime",
               "Quantity": "number", "UnitPrice": "number", "CustomerID": "number"}  # fmt: skip
    if not path.exists():
        raise ValueError(f"{path} is missing; restore it with 'git checkout -- data' or pass the file's path.")
    try:
        raw = pq.read_table(path).to_pandas(ignore_metadata=True)
    except Exception as error:  # pyarrow raises several unrelated types for damage
        why = type(error).__name__
        raise ValueError(f"{path} is damaged or not Parquet ({why}); restore it with 'git checkout -- data'.") from None
    kinds = {
        "text": pd.api.types.is_string_dtype,
        "number": pd.api.types.is_numeric_dtype,
        "datetime": pd.api.types.is_datetime64_any_dtype,
    }
    for column, kind in columns.items():
        if column not in raw:
            raise ValueError(f"{path} has no column '{column}'; is it the Online Retail file that data/README.md describes?")
        if not kinds[kind](raw[column].dropna()):  # pandas 2 takes a column of text with gaps for no text
            raise ValueError(
                f"{path}: column '{column}' is {raw[column].dtype}, not {kind}; restore it with 'git checkout -- data'."
            )
    return raw.sort_values("InvoiceDate", kind="stable") if not raw["InvoiceDate"].is_monotonic_increasing else raw
