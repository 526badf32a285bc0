"""A copy of a classifier whose weights are taken away layer by layer: what is left of a map is not about the model."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from models.head import LinearHead, NetworkHead

if TYPE_CHECKING:
    import keras

    from models.classifier import Classifier

STAGES = 8


class Randomised:
    """A classifier's network again, its weights shuffled from the logits down (Adebayo et al. 2018, cascading).

    Every variable (a kernel, a bias, a BatchNorm's variance) keeps its values and loses their places: each layer's
    distribution of weights, and with it their scale, is that of the trained network. `stages`, from the top down: the name
    of the activation down to which, that one's own layers included, nothing of what was learned is left; "logits" first.

    The copy runs through TensorFlow and is traced once, whatever its weights. The classifier it is made from is never
    touched. Threads take turns, a stage each.
    """

    def __init__(self, original: Classifier, network: keras.Model) -> None:
        import keras

        from models import keras_model
        from models.classifier import Classifier
        from models.engine import Function

        copy, pairs = keras_model.copy(network)
        self._behind = keras.Model(*copy.outputs)
        self._groups = _stages(pairs)
        self._drawn: dict[tuple[int, int], int | None] = {}  # what each layer holds: the seed of a shuffle
        self._lock = threading.Lock()
        self._linear = isinstance(original.head, LinearHead)
        self._classifier = Classifier(
            name=f"{original.name}, randomised",
            labels=original.labels,
            engine=Function(copy),
            head=original.head if self._linear else NetworkHead(self._behind),
            network=lambda: copy,
            canvas=original.canvas,
            activation=original.activation,
        )
        self.stages = tuple(name for name, _ in self._groups)

    @contextmanager
    def down_to(self, stage: int, seed: int = 0) -> Iterator[Classifier]:
        """The classifier with all weights shuffled from the logits down to `stages[stage]`; to be used inside `with` only.

        What a layer gets depends on `seed` and the layer alone: each stage keeps what the one before it was given.
        """
        from models import keras_model

        with self._lock:
            for group, (_, pairs) in enumerate(self._groups):
                wanted = seed if group <= stage else None
                for index, (original, copy) in enumerate(pairs):
                    if self._drawn.get((group, index)) != wanted:
                        self._drawn[group, index] = wanted
                        weights = original.get_weights()
                        rng = np.random.default_rng([seed, group, index])
                        copy.set_weights(weights if wanted is None else [_shuffled(values, rng) for values in weights])
            if self._linear:
                self._classifier.head = keras_model.linear_head(self._behind) or self._classifier.head
            yield self._classifier


def _shuffled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(values.ravel()).reshape(values.shape)


def _stages(pairs: list[tuple[Any, Any]]) -> list[tuple[str, list[tuple[Any, Any]]]]:
    """At most STAGES names from the top down, each with the layers that have weights and their copies."""
    from models.gradient import is_activation
    from models.keras_model import is_passive

    found: dict[str, list[tuple[Any, Any]]] = {}
    name = "logits"
    for original, copy in reversed(pairs):
        if is_activation(original):
            name = original.name
        if getattr(original, "weights", None) and not is_passive(original):
            found.setdefault(name, []).append((original, copy))
    first, *rest = found.items()
    count = min(STAGES - 1, len(rest))
    ends = np.linspace(0, len(rest), count + 1).round().astype(int)
    merged = [
        (rest[end - 1][0], [pair for _, layers in rest[start:end] for pair in layers])
        for start, end in itertools.pairwise(ends)
    ]
    return [first, *merged]
