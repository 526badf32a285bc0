"""Gradients of logits by the pixels: the one thing that needs TensorFlow for the embedded networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

BATCH = 16


class PixelGradient:
    """One traced function a network; classes, pictures and batches never trace it again."""

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        pixels = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        target = tf.TensorSpec((network.output_shape[1][-1],), tf.float32)

        @tf.function(input_signature=[pixels, target])
        def gradient(batch: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                score = tf.linalg.matvec(network(batch, training=False)[1], target)
            return tape.gradient(score, batch)

        self._gradient = gradient

    def __call__(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """d(target . logits) / d(pixels), (N, h, w, 3), at a batch (N, h, w, 3) in [0, 255], in chunks of 16."""
        chunks = [self._gradient(batch[i : i + BATCH], target) for i in range(0, len(batch), BATCH)]
        return np.concatenate([np.asarray(chunk) for chunk in chunks])
