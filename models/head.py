"""From the last spatial activation to the logits, and back: all that a class activation map ever differentiates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

if TYPE_CHECKING:
    import keras


class Head(Protocol):
    """The part of a classifier behind its features (N, fh, fw, C).

    `constant`: whether its gradient is the same whatever the features.
    """

    constant: bool

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, classes)."""
        ...

    def gradient(self, features: np.ndarray, target: np.ndarray) -> np.ndarray:
        """d(target . logits) / d(features), (N, fh, fw, C), for a target (classes,) of weights on the logits."""
        ...


class LinearHead:
    """Global average pooling and one dense layer: `weights` (C, classes), `bias` (classes,). Its gradient is constant."""

    constant = True

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights = weights.astype(np.float32)
        self.bias = bias.astype(np.float32)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return features.mean((1, 2)) @ self.weights + self.bias

    def gradient(self, features: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Head`."""
        cells = features.shape[1] * features.shape[2]
        some = np.flatnonzero(target)  # a class is one column of a thousand
        return np.broadcast_to(self.weights[:, some] @ (target[some].astype(np.float32) / cells), features.shape)


class HiddenHead:
    """Global average pooling, one dense layer with ReLU, one dense layer: `hidden` and `output` are (weights, bias) each.

    Closed form as well; OpenCV multiplies, since NumPy's threads spin on and slow down the next forward pass.
    """

    constant = False

    def __init__(self, hidden: tuple[np.ndarray, np.ndarray], output: tuple[np.ndarray, np.ndarray]) -> None:
        self.hidden = (hidden[0].astype(np.float32), hidden[1].astype(np.float32))
        self.output = (output[0].astype(np.float32), output[1].astype(np.float32))

    def _before(self, features: np.ndarray) -> np.ndarray:
        """What the ReLU is given, (N, units)."""
        return _dense(features.mean((1, 2)), *self.hidden)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return _dense(np.maximum(self._before(features), 0), *self.output)

    def gradient(self, features: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Head`."""
        cells = features.shape[1] * features.shape[2]
        passed = (self._before(features) > 0) * (self.output[0] @ (target.astype(np.float32) / cells))
        pooled = _dense(passed, np.ascontiguousarray(self.hidden[0].T), np.zeros(len(self.hidden[0]), np.float32))
        return np.broadcast_to(pooled[:, None, None], features.shape)


def _dense(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x @ weights + bias, by OpenCV."""
    return np.asarray(cv2.gemm(x, weights, 1, np.tile(bias, (len(x), 1)), 1))


class NetworkHead:
    """Any other head, through TensorFlow: a Keras model from features to logits."""

    constant = False

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        features = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        target = tf.TensorSpec((network.output_shape[-1],), tf.float32)

        @tf.function(input_signature=[features])
        def logits(features: tf.Tensor) -> tf.Tensor:
            return network(features, training=False)

        @tf.function(input_signature=[features, target])
        def gradient(features: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(features)
                score = tf.linalg.matvec(network(features, training=False), target)
            return tape.gradient(score, features)

        self._logits, self._gradient = logits, gradient

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return np.asarray(self._logits(features.astype(np.float32)))

    def gradient(self, features: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return np.asarray(self._gradient(features.astype(np.float32), target.astype(np.float32)))
