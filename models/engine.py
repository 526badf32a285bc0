"""Forward passes: what an engine is, how many canvases it takes at once, and the engine that runs TensorFlow.

An engine takes a float32 RGB batch (N, h, w, 3) in [0, 255]. One pass gives the features (N, fh, fw, C) and the logits
(N, classes). Any batch size works, and any canvas if the network allows it. Several threads may call an engine.

`models.litert` has the faster engine. On a CPU it takes about a quarter of the time of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from core import resources
from core.stopping import check_stop

if TYPE_CHECKING:
    import keras

BATCH = 16  # larger batches need more memory and save no time per picture
BYTES_PER_PIXEL = 256  # memory of a forward pass per canvas pixel: twice as much as measured for the embedded networks


def batch_size(canvas: tuple[int, ...], most: int = BATCH, bytes_per_pixel: int = BYTES_PER_PIXEL) -> int:
    """How many canvases to pass through a network at a time.

    Args:
        canvas: The shape (h, w, 3) of one canvas.
        most: The number that is fastest per picture.
        bytes_per_pixel: Memory that a pass needs per pixel of the canvas.

    Returns:
        `most`, or as many as `core.resources.MEMORY` allows, but at least 1.

    >>> batch_size((224, 224, 3))
    16
    """
    return max(1, min(most, resources.MEMORY // (bytes_per_pixel * canvas[0] * canvas[1])))


def forward_in_chunks(
    run: Callable[[np.ndarray], Sequence[np.ndarray]], batch: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Run a forward pass in chunks of `batch_size`; `run` gives features and logits of one chunk of canvases.

    Raises Stopped between two chunks if the work must end.
    """
    size = batch_size(batch.shape[1:])
    chunks = []
    for start in range(0, len(batch), size):
        check_stop()
        chunks.append(run(batch[start : start + size]))
    features, logits = chunks[0] if len(chunks) == 1 else map(np.concatenate, zip(*chunks, strict=True))
    return features, logits


class Engine(Protocol):
    """Runs the forward pass of a network."""

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, fh, fw, C) and logits (N, classes) of a float32 batch (N, h, w, 3) of RGB in [0, 255]."""
        ...


class TensorFlowEngine:
    """Runs a Keras network (pixels -> features, logits) in TensorFlow, for networks that LiteRT cannot convert."""

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        self._function = tf.function(lambda batch: network(batch, training=False), input_signature=[spec])

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`."""
        # np.array copies, because the memory of a tensor cannot be written.
        return forward_in_chunks(lambda chunk: [np.array(output) for output in self._function(chunk)], batch)
