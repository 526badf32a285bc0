"""Heads: the part of a classifier from its features to the logits, and its gradient.

Class activation maps need this gradient only. For two kinds of head it has a closed form, which needs no TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from core.errors import ModelError

if TYPE_CHECKING:
    import keras


class Head(Protocol):
    """The part of a classifier behind its features (N, fh, fw, C).

    `has_constant_gradient`: whether the gradient is the same for all features.
    """

    has_constant_gradient: bool

    def logits(self, features: np.ndarray) -> np.ndarray:
        """The logits (N, classes) for features (N, fh, fw, C)."""
        ...

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """d(objective . logits) / d(features), (N, fh, fw, C). `objective`: weights of the logits (classes,)."""
        ...


class LinearHead:
    """Global average pooling and one dense layer. Its gradient is constant.

    Args:
        weights: (C, classes).
        bias: (classes,).

    >>> head = LinearHead(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.5, 0.0]))
    >>> features = np.ones((1, 2, 2, 2), np.float32)
    >>> head.logits(features).tolist()
    [[1.5, 2.0]]
    >>> head.gradient(features, np.array([0.0, 1.0]))[0, 0, 0].tolist()
    [0.0, 0.5]
    """

    has_constant_gradient = True

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights = weights.astype(np.float32)
        self.bias = bias.astype(np.float32)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return features.mean((1, 2)) @ self.weights + self.bias

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        cells = features.shape[1] * features.shape[2]
        nonzero = np.flatnonzero(objective)  # for one class this is one column of a thousand
        weighted = self.weights[:, nonzero] @ (objective[nonzero].astype(np.float32) / cells)
        return np.broadcast_to(weighted, features.shape)


class HiddenHead:
    """Global average pooling, one dense layer with ReLU, and one dense layer. Its gradient has a closed form too.

    This uses OpenCV. After a matrix product, the threads of NumPy keep spinning and slow down the next forward pass.

    Args:
        hidden: Weights (C, units) and bias (units,) of the layer with ReLU.
        output: Weights (units, classes) and bias (classes,) of the last layer.
    """

    has_constant_gradient = False

    def __init__(self, hidden: tuple[np.ndarray, np.ndarray], output: tuple[np.ndarray, np.ndarray]) -> None:
        self.hidden = (hidden[0].astype(np.float32), hidden[1].astype(np.float32))
        self.output = (output[0].astype(np.float32), output[1].astype(np.float32))

    def _relu_input(self, features: np.ndarray) -> np.ndarray:
        """The input of the ReLU, (N, units)."""
        return _dense(features.mean((1, 2)), *self.hidden)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return _dense(np.maximum(self._relu_input(features), 0), *self.output)

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        cells = features.shape[1] * features.shape[2]
        passed = (self._relu_input(features) > 0) * (self.output[0] @ (objective.astype(np.float32) / cells))
        pooled = _dense(passed, np.ascontiguousarray(self.hidden[0].T), np.zeros(len(self.hidden[0]), np.float32))
        return np.broadcast_to(pooled[:, None, None], features.shape)


def _dense(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x @ weights + bias, computed by OpenCV."""
    return np.asarray(cv2.gemm(x, weights, 1, np.tile(bias, (len(x), 1)), 1))


class NetworkHead:
    """Any other head, computed by TensorFlow.

    Args:
        network: A Keras model from features to logits.
        hidden_rows: The last rows of the features that hold other tokens than cells, see `models.tokens`.
    """

    has_constant_gradient = False

    def __init__(self, network: keras.Model, hidden_rows: int = 0) -> None:
        import tensorflow as tf

        self.hidden_rows = hidden_rows

        features = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        objective = tf.TensorSpec((network.output_shape[-1],), tf.float32)

        @tf.function(input_signature=[features])
        def logits(features: tf.Tensor) -> tf.Tensor:
            return network(features, training=False)

        @tf.function(input_signature=[features, objective])
        def gradient(features: tf.Tensor, objective: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(features)
                score = tf.linalg.matvec(network(features, training=False), objective)
            return tape.gradient(score, features)

        self._logits, self._gradient = logits, gradient

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return np.asarray(self._logits(features.astype(np.float32)))

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return np.asarray(self._gradient(features.astype(np.float32), objective.astype(np.float32)))


class _CellsHead:
    """A head as a function of the cells alone; the hidden rows (rows, fw, C) keep the values that they have for one picture."""

    has_constant_gradient = False

    def __init__(self, head: Head, hidden: np.ndarray) -> None:
        self._head, self._hidden = head, hidden

    def _whole(self, features: np.ndarray) -> np.ndarray:
        hidden = np.broadcast_to(self._hidden, (len(features), *self._hidden.shape))
        return np.concatenate([features, hidden], 1)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return self._head.logits(self._whole(features))

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return self._head.gradient(self._whole(features), objective)[:, : features.shape[1]]


def split_cells(head: Head, features: np.ndarray) -> tuple[np.ndarray, Head]:
    """The cells among the features (fh, fw, C) of one picture, and the head as a function of them."""
    hidden_rows = getattr(head, "hidden_rows", 0)
    if not hidden_rows:
        return features, head
    return features[:-hidden_rows], _CellsHead(head, features[-hidden_rows:])


class MissingHead:
    """The head of a classifier without a spatial map. Methods that need it are refused before they start.

    `name`: name of the model, for the error.
    """

    has_constant_gradient = False

    def __init__(self, name: str) -> None:
        self._name = name

    def logits(self, features: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """See `Head`."""
        raise ModelError(f"'{self._name}' gives no spatial map; use a method by perturbation, such as occlusion.")

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """See `Head`."""
        return self.logits(features)


NO_FEATURES = (1, 1, 1)  # the shape of the features that an engine gives where there are none; zeros


def head_capabilities(head: Head | None) -> frozenset[str]:
    """What a classifier can do with its head, see `models.capabilities`; nothing without a head."""
    able = () if head is None else ("features", "feature-gradient")
    return frozenset({*able, "linear"} if isinstance(head, LinearHead) else able)
