"""The settings of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from core.errors import UserError
from models.trained_head import SIDE, CanvasShape
from training.embeddings import augment
from training.trainer import EPOCHS, Head

AUGMENTATIONS = 8  # per picture
MAX_FOLDS, MAX_EPOCHS, MAX_AUGMENTATIONS = 20, 1000, 100  # more would take hours: most likely a mistyped number
SETTINGS_KEYS = {"augmentations": "views"}
"""Keys of the figures in a head. They are a file format, so they stay the same where a field has got a clearer name."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Args:
        head: "linear" is one dense layer, "mlp" has a hidden layer.
        folds: Number of folds, 2 to 20; 0 for no cross-validation.
        epochs: Largest number of epochs of a fit, 1 to 1000.
        augmentations: Augmentations per picture, 0 to 100.
        flip: Mirror half of the augmentations. Text becomes unreadable.
        canvas_shape: "wide" follows the aspect of the picture, "square" adds bars.
        side: The canvas has about side * side pixels; 32 to 1024 in steps of 32.
        seed: Seed of all random choices, 0 or more.

    Raises:
        UserError: A setting is out of its range.

    >>> TrainingSettings(folds=3).epochs
    30
    """

    head: Head = "mlp"
    folds: int = 5
    epochs: int = EPOCHS
    augmentations: int = AUGMENTATIONS
    flip: bool = False
    canvas_shape: CanvasShape = "wide"
    side: int = SIDE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.head not in get_args(Head):
            raise UserError(f"The head is {' or '.join(get_args(Head))}, not '{self.head}'.")
        if self.folds != 0 and not 2 <= self.folds <= MAX_FOLDS:
            raise UserError(f"The number of folds is 0 or 2 to {MAX_FOLDS}, not {self.folds}.")
        if not 1 <= self.epochs <= MAX_EPOCHS:
            raise UserError(f"The number of epochs is 1 to {MAX_EPOCHS}, not {self.epochs}.")
        if not 0 <= self.augmentations <= MAX_AUGMENTATIONS:
            raise UserError(f"The number of augmentations is 0 to {MAX_AUGMENTATIONS}, not {self.augmentations}.")
        if self.canvas_shape not in get_args(CanvasShape):
            raise UserError(f"The canvas is {' or '.join(get_args(CanvasShape))}, not '{self.canvas_shape}'.")
        if self.side % 32 or not 32 <= self.side <= 1024:  # what `models.trained_head.load` accepts
            raise UserError(f"The side of the canvas is 32 to 1024 in steps of 32, not {self.side}.")
        if self.seed < 0:
            raise UserError(f"The seed is 0 or more, not {self.seed}.")

    def make_views(self, pixels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """The picture and its augmentations, uint8 RGB (H, W, 3) each."""
        return [pixels, *augment(pixels, self.augmentations, rng, self.flip)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready facts, with the keys that the figures of a head have."""
        return {SETTINGS_KEYS.get(name, name): value for name, value in asdict(self).items()}
