"""The state of a model: its settings, what it has learned, and how it is saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from course_lib.features import (
    Encoder,
    Features,
    FeatureStore,
)
from course_lib.files import atomic_write
from course_lib.log import EventLog
from course_lib.towers import TwoTower


@dataclass(frozen=True)
class Settings:
    """What was chosen, once, on April and May 2011 (data/results/README.md says how)."""

    dim: int = 64
    hidden: int = 128
    temperature: float = 0.1
    batch_size: int = 256
    embedding_lr: float = 0.1  # learning rate of the embedding tables (row-wise Adagrad)
    dense_lr: float = 0.0007  # learning rate of everything else (Adam)
    q_half_life: float = 7.0  # days
    popularity_half_lives: tuple[float, ...] = (
        2.0,
        7.0,
        30.0,
    )  # half-lives in days of the purchase counts that the item tower sees
    history: int = 60  # a user's latest purchases
    # share of events trained in the middle of their visit (features.session_prefix_histories)
    session_prefix_share: float = 0.5
    field_dropout: float = 0.02  # how often training sees a field's default instead of its value
    # how often it sees an item as if it were new: ID default, counts 0 (features.as_new_items)
    cold_start_dropout: float = 0.0
    seed: int = 0
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class State:
    """A model with all that is needed to go on training it or to serve it."""

    settings: Settings
    features: FeatureStore
    model: TwoTower
    optimiser: torch.optim.Optimizer
    updates: int = 0
    full: State | None = (
        None  # of an incremental state: the full state that it builds on, and goes back to
    )

    def generator(self) -> torch.Generator:
        """A source of chance that depends on the seed and the number of updates alone: same state,
        same day, same result.
        """
        seed = np.random.SeedSequence([self.settings.seed, self.updates]).generate_state(
            1, np.uint64
        )[0]
        return torch.Generator().manual_seed(int(seed >> 1))

    @torch.no_grad()
    def item_vectors(self, log: EventLog, items: np.ndarray, time: pd.Timestamp) -> torch.Tensor:
        """[m, dim] vectors of items (codes) as they stand at `time`."""
        return self.model.item_vectors(
            self.to_device(self.features.item_features(log, items, time))
        ).cpu()

    @torch.no_grad()
    def user_vectors(self, log: EventLog, users: np.ndarray, before: int) -> torch.Tensor:
        """[n, dim] vectors of users (codes) from what they bought in event rows < `before`."""
        return self.model.user_vectors(
            self.to_device(self.features.user_features(log, users, before))
        ).cpu()

    def to_device(self, features: Features) -> Features:
        """The features on the model's device."""
        return {name: values.to(self.settings.device) for name, values in features.items()}

    def save(self, path: str | Path) -> None:
        """Write a full state to a file, whole or not at all. Raises ValueError for an incremental
        one: it is not worth keeping.
        """
        if self.full is not None:
            raise ValueError(
                "this state comes from an incremental update; save the full state (state.full) and the hour's shards."
            )
        counts = self.features.counts
        contents = {
            "settings": asdict(self.settings),
            "items": self.features.items.contents(),
            "users": self.features.users.contents(),
            "counts": {
                "settled": counts.settled,
                "sum": counts.sum,
                "time": counts.time and counts.time.isoformat(),
            },
            "model": dict(self.model.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
        }
        with atomic_write(path) as new:
            torch.save(contents, new)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> State:
        """The state that `save` wrote, on `device` (a GPU if there is one). Raises ValueError for a
        damaged file.
        """
        try:
            contents = torch.load(path, map_location="cpu", weights_only=True)
            device = device or Settings().device
            settings = Settings(
                **contents["settings"]
                | {
                    "popularity_half_lives": tuple(contents["settings"]["popularity_half_lives"]),
                    "device": device,
                }
            )
            state = _state(settings, Encoder.of(contents["items"]), Encoder.of(contents["users"]))
            state.model.grow(state.features.items.sizes, state.features.users.sizes)
            state.model.load_state_dict(contents["model"])
            state.optimiser.load_state_dict(contents["optimiser"])
            counts, time = state.features.counts, contents["counts"]["time"]
            counts.settled, counts.sum = contents["counts"]["settled"], contents["counts"]["sum"]
            counts.time = counts.settled_at = time and pd.Timestamp(time)
            state.updates = contents["updates"]
        except FileNotFoundError:
            raise ValueError(f"there is no state at {path}.") from None
        except Exception as error:  # torch raises several unrelated types for damage
            why = type(error).__name__
            raise ValueError(
                f"{path} is damaged or holds no state of this library ({why}); train it anew."
            ) from None
        return state


def new_state(log: EventLog, settings: Settings | None = None) -> State:
    """An untrained state that knows the names of `log`'s fields and none of its values."""
    return _state(settings or Settings(), Encoder(log.items), Encoder(log.users))


def _state(settings: Settings, items: Encoder, users: Encoder) -> State:
    features = FeatureStore(
        items, users, (settings.q_half_life, *settings.popularity_half_lives), settings.history
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = TwoTower(
            list(items.sizes),
            list(users.sizes),
            len(settings.popularity_half_lives),
            settings.dim,
            settings.hidden,
        ).to(settings.device)
    return State(
        settings,
        features,
        model,
        torch.optim.Adam(model.dense_parameters(), lr=settings.dense_lr, fused=True),
    )
