"""A copy of a classifier with randomised weights, for the parameter-randomisation test.

A map that stays the same with randomised weights does not depend on what the model has learned.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from models.classifier import Classifier
from models.engine import TensorFlowEngine
from models.gradients import is_activation
from models.head import Head, LinearHead, NetworkHead

if TYPE_CHECKING:
    import keras

STAGES = 8


def randomised(classifier: Classifier) -> Randomised:
    """The randomisable copy of a classifier. It is made at the first call, which imports TensorFlow, and then shared."""
    return classifier.cached("randomised", lambda network: Randomised(classifier, network))


class Randomised:
    """A copy of a classifier whose weights are shuffled from the logits down (cascading randomisation).

    Adebayo et al. 2018, https://arxiv.org/abs/1810.03292. Every variable (a kernel, a bias, a variance of BatchNorm) is
    shuffled: it keeps its values, but in a random order. The distribution and the scale of the weights of each layer therefore
    stay those of the trained network.

    `stages` names where the randomisation can stop, from the top down: "logits" first, then names of activations. A stage
    includes the layers of that activation.

    The copy runs in TensorFlow and is traced once, whatever its weights are. The original classifier is not changed. Only one
    thread at a time can use the copy.

    Args:
        original: The classifier.
        network: Its Keras network (pixels -> features, logits).
    """

    def __init__(self, original: Classifier, network: keras.Model) -> None:
        import keras

        from models import keras_copy

        copy, pairs = keras_copy.copy_network(network)
        has_map = "features" in original.capabilities
        self._behind = keras.Model(*copy.outputs) if has_map else None
        self._groups = _stages(pairs)
        self._seeds: dict[tuple[int, int], int | None] = {}  # of the weights that each layer has; None: trained weights
        self._lock = threading.Lock()
        self._linear = isinstance(original.head, LinearHead)
        self._classifier = Classifier(
            name=f"{original.name}, randomised",
            labels=original.labels,
            engine=TensorFlowEngine(copy),
            head=self._make_head(original.head) if has_map else original.head,
            build_network=lambda: copy,
            canvas=original.canvas,
            activation=original.activation,
            fit=original.fit,
            capabilities=original.capabilities,
        )
        self._classifier.side, self._classifier.stride = original.side, original.stride
        self._classifier.features_layer, self._classifier.has_tokens = original.features_layer, original.has_tokens
        self.stages = tuple(name for name, _ in self._groups)

    def _make_head(self, original: Head) -> Head:
        return original if self._linear else NetworkHead(self._behind, getattr(original, "hidden_rows", 0))

    @contextmanager
    def randomise_down_to(self, stage: int, seed: int = 0) -> Iterator[Classifier]:
        """The classifier with weights shuffled from the logits down to `stages[stage]`. Use it inside `with` only.

        The shuffled weights of a layer depend on `seed` and the layer alone, so every stage keeps those of the stage before it.
        """
        from models import from_keras

        with self._lock:
            for group, (_, pairs) in enumerate(self._groups):
                wanted_seed = seed if group <= stage else None
                for index, (original, copy) in enumerate(pairs):
                    if self._seeds.get((group, index)) != wanted_seed:
                        self._seeds[group, index] = wanted_seed
                        weights = original.get_weights()
                        rng = np.random.default_rng([seed, group, index])
                        if wanted_seed is not None:
                            weights = [_shuffle(values, rng) for values in weights]
                        copy.set_weights(weights)
            if self._linear:
                self._classifier.head = from_keras.linear_head(self._behind) or self._classifier.head
            yield self._classifier


def _shuffle(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same values in a random order, in the same shape."""
    return rng.permutation(values.ravel()).reshape(values.shape)


def _stages(pairs: list[tuple[Any, Any]]) -> list[tuple[str, list[tuple[Any, Any]]]]:
    """The stages from the top down, at most STAGES: each a name, and pairs of layers with weights and their copies."""
    from models.features import is_passive
    from models.keras_copy import AsIs

    groups: dict[str, list[tuple[Any, Any]]] = {}
    name = "logits"
    for original, copy in reversed(pairs):
        if is_activation(original):
            name = original.name
        if getattr(original, "weights", None) and not is_passive(original) and not isinstance(copy, AsIs):
            groups.setdefault(name, []).append((original, copy))
    first, *rest = groups.items()
    count = min(STAGES - 1, len(rest))
    ends = np.linspace(0, len(rest), count + 1).round().astype(int)
    merged = [
        (rest[end - 1][0], [pair for _, layers in rest[start:end] for pair in layers])
        for start, end in itertools.pairwise(ends)
    ]
    return [first, *merged]
