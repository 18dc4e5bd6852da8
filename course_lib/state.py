"""The state of a model: its settings, what it has learned and until when, and how it is saved."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

from course_lib.features import Features, FeatureStore
from course_lib.files import atomic_write
from course_lib.frames import checked
from course_lib.linear import LinearPart
from course_lib.log import EventLog
from course_lib.towers import TwoTower

FORMAT = 2  # of a saved state
Turn = Literal["next", "again", "skip"]
INSTANT = pd.Timedelta(microseconds=1)


@dataclass(frozen=True)
class Settings:
    """What was chosen, once, on April and May 2011 (data/results/README.md says how).

    Raises ValueError for a value out of range; NumPy numbers become Python's.
    """

    dim: int = 64
    hidden: int = 128
    temperature: float = 0.1
    batch_size: int = 256
    embedding_lr: float = 0.1  # learning rate of the embedding tables (row-wise Adagrad)
    dense_lr: float = 0.0007  # learning rate of everything else (Adam)
    q_half_life: float = 7.0  # days
    popularity_half_lives: tuple[float, ...] = (2.0, 7.0, 30.0)  # days; inputs of the item tower
    history: int = 60  # a user's latest purchases
    session_prefix_share: float = 0.5  # events trained in the middle of their visit
    field_dropout: float = 0.02  # how often training sees a field's default instead of its value
    cold_start_dropout: float = 0.0  # how often an item as if it were new: ID default, counts 0
    negatives: int = 0  # items drawn uniformly for each step; as many as there are or more: all
    mask_bought: bool = False  # whether what the user has is left out of the user's negatives
    linear_rank: int = 0  # dimensions of the linear part; 0: there is none
    linear_weight: float = 4.0  # of low-rank EASE's score beside cos / temperature
    linear_ridge: float = 100.0
    linear_half_life: float = 120.0  # days; of a purchase, in the linear part
    popularity_weight: float = 0.0  # of recent popularity, at most 1, beside cos / temperature
    average: float = 0.0  # share of the old weights in the averaged ones that are served; 0: live
    seed: int = 0
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")

    def __post_init__(self) -> None:
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        whole = ("dim", "hidden", "batch_size", "history", "seed", "negatives", "linear_rank")
        for name in whole:
            least = name not in ("seed", "negatives", "linear_rank")
            keep(name, checked(name, getattr(self, name), least, math.inf, whole=True))
        for name in ("temperature", "q_half_life", "linear_ridge", "linear_half_life"):
            keep(name, checked(name, getattr(self, name), 1e-12))
        for name in ("embedding_lr", "dense_lr", "linear_weight", "popularity_weight"):
            keep(name, checked(name, getattr(self, name), 0))
        for name in ("session_prefix_share", "field_dropout", "cold_start_dropout"):
            keep(name, checked(name, getattr(self, name), 0, 1))
        keep("average", checked("average", self.average, 0, 0.9999))
        if not isinstance(self.mask_bought, (bool, np.bool_)):
            raise ValueError(f"mask_bought is {self.mask_bought!r}; it must be True or False.")
        keep("mask_bought", bool(self.mask_bought))
        name = "popularity_half_lives"
        keep(name, tuple(checked(name, value, 1e-12) for value in self.popularity_half_lives))
        keep("device", str(self.device))


@dataclass
class State:
    """A model with all that is needed to go on training it, or to serve it.

    - `updates`: how many. `learned_until`: just after the last event that it has learned.
    - `full`: of an incremental state, the full one that it builds on.
    - `averaged`: the weights that are served if `Settings.average` asks for an average over the
      full updates. Training goes on from `model`, the live ones.
    """

    settings: Settings
    features: FeatureStore
    model: TwoTower
    optimiser: torch.optim.Optimizer
    updates: int = 0
    learned_until: pd.Timestamp | None = None
    full: State | None = None
    averaged: TwoTower | None = None

    @property
    def serving(self) -> TwoTower:
        """The model whose vectors are served."""
        return self.model if self.averaged is None else self.averaged

    def generator(self) -> torch.Generator:
        """A source of chance that depends on the seed and the number of updates alone."""
        sequence = np.random.SeedSequence([self.settings.seed, self.updates])
        return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))

    def next_rows(
        self, log: EventLog, start: pd.Timestamp, end: pd.Timestamp, turn: Turn = "next"
    ) -> slice:
        """The event rows with start ≤ time < end, which this state is about to learn.

        Raises ValueError if some of them have been learned, unless `turn` is "again", or if events
        before them have not been, unless it is "skip": what a state skips it never learns.
        """
        if turn not in ("next", "again", "skip"):
            raise ValueError(f"turn is {turn!r}; it must be 'next', 'again' or 'skip'.")
        rows, until = log.rows(start, end), self.learned_until
        if until is None or rows.start == rows.stop:
            return rows
        first, skipped = log.events["time"].iloc[rows.start], log.rows(until, start)
        if first < until and turn != "again":
            raise ValueError(
                f"this state has learned all events before {until:%Y-%m-%d %H:%M:%S}, and would "
                f"learn that of {first:%Y-%m-%d %H:%M} twice; go on with what comes after, or ask "
                "for another epoch with turn='again'."
            )
        if skipped.start < skipped.stop and turn != "skip":
            raise ValueError(
                f"this state has learned until {until:%Y-%m-%d %H:%M}, and would skip "
                f"{skipped.stop - skipped.start} events before {start:%Y-%m-%d %H:%M}; learn them "
                "first, or leave them out with turn='skip'."
            )
        return rows

    def learned(self, log: EventLog, rows: slice) -> None:
        """Note that these event rows have been learned."""
        until = log.events["time"].iloc[rows.stop - 1] + INSTANT
        self.learned_until = until if self.learned_until is None else max(until, self.learned_until)

    def fingerprint(self) -> str:
        """A digest of the served dense parameters and of how far they have learned: equal for a
        state and its copies, saved and loaded ones too, and for no other model.
        """
        digest = hashlib.sha256(f"{self.updates} {self.learned_until}".encode())
        for parameter in self.serving.dense_parameters():
            digest.update(parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def item_vectors(self, log: EventLog, items: np.ndarray, time: pd.Timestamp) -> torch.Tensor:
        """[m, dim] vectors of items (rows of the log) as they stand at `time`, on the CPU."""
        features = self.features.item_features(log, items, time)
        return self.serving.item_vectors(self.to_device(features)).cpu()

    @torch.no_grad()
    def user_vectors(self, log: EventLog, users: np.ndarray, before: int) -> torch.Tensor:
        """[n, dim] vectors of users (rows) from what they bought in event rows < `before`."""
        features = self.features.user_features(log, users, before)
        return self.serving.user_vectors(self.to_device(features)).cpu()

    def to_device(self, features: Features) -> Features:
        """The features on the model's device."""
        return {name: values.to(self.settings.device) for name, values in features.items()}

    def save(self, path: str | Path) -> None:
        """Write a full state to a file, whole or not at all.

        Raises ValueError for an incremental state, which is made again from the hour's shards.
        """
        if self.full is not None:
            raise ValueError(
                "this state comes from an incremental update; save the full state (state.full), "
                "and keep the hour's shards."
            )
        contents = {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "features": self.features.state_dict(),
            "model": dict(self.model.state_dict()),
            "averaged": self.averaged and dict(self.averaged.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
            "learned_until": self.learned_until and self.learned_until.isoformat(),
        }
        with atomic_write(path) as new:
            torch.save(contents, new)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> State:
        """The state that `save` wrote, on `device` (a GPU if there is one).

        Raises ValueError for a file that is missing, damaged or of another edition, and for a
        device that this machine lacks.
        """
        device = str(device or Settings().device)
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device is {device!r}, and this machine has no GPU; load on 'cpu'.")
        if not Path(path).is_file():
            raise ValueError(f"there is no state at {path}.")
        try:
            contents = torch.load(path, map_location="cpu", weights_only=True)
            if contents.get("format") != FORMAT:
                raise ValueError("it is of another edition of the library")
            settings = Settings(**contents["settings"] | {"device": device})
            state = _state(settings, FeatureStore.from_state_dict(contents["features"]))
            state.model.grow(state.features.items.sizes, state.features.users.sizes)
            state.model.load_state_dict(contents["model"])
            state.optimiser.load_state_dict(contents["optimiser"])
            if averaged := contents.get("averaged"):  # files from before averages have none
                state.averaged = copy.deepcopy(state.model)
                state.averaged.load_state_dict(averaged)
            until = contents["learned_until"]
            state.updates, state.learned_until = contents["updates"], until and pd.Timestamp(until)
        except Exception as error:  # torch raises several unrelated types for damage
            why = str(error) if type(error) is ValueError else type(error).__name__
            raise ValueError(
                f"{path} is damaged or holds no state of this library ({why}); train it anew."
            ) from None
        return state


def new_state(log: EventLog, settings: Settings | None = None) -> State:
    """An untrained state that knows the names of `log`'s fields and none of its values."""
    settings = settings or Settings()
    half_lives = (settings.q_half_life, *settings.popularity_half_lives)
    return _state(settings, FeatureStore.of(log, half_lives, settings.history, _linear(settings)))


def _linear(settings: Settings) -> LinearPart | None:
    if not settings.linear_rank and not settings.popularity_weight:
        return None
    scale, rank, ridge = settings.temperature, settings.linear_rank, settings.linear_ridge
    weights = settings.linear_weight * scale, settings.popularity_weight * scale
    return LinearPart(rank, ridge, settings.linear_half_life, weights)


def _state(settings: Settings, features: FeatureStore) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = TwoTower(
            list(features.items.sizes),
            list(features.users.sizes),
            len(settings.popularity_half_lives),
            settings.dim,
            settings.hidden,
        ).to(settings.device)
    optimiser = torch.optim.Adam(model.dense_parameters(), lr=settings.dense_lr, fused=True)
    return State(settings, features, model, optimiser)
