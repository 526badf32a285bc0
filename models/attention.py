"""The attention between the tokens of a transformer, and the gradient of a score with respect to it, computed by TensorFlow.

It is read from every keras.layers.MultiHeadAttention of a network, also from those inside other layers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from core.stopping import check_stop
from models.gradients import signature

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_reading = threading.Lock()  # two networks may share the layers of a user's own model


def has_attention(network: keras.Model, tokens: int) -> bool:
    """Whether every layer of attention of a Keras network (pixels -> ...) has one row and one column for each of its tokens.

    This is not so for windows, for tokens that are merged on the way, and for a network without a layer of attention. The
    network runs once on a black canvas.
    """
    with _read(network) as found:
        network(np.zeros((1, *network.input_shape[1:]), np.float32), training=False)
    readable = [
        hasattr(one, "numpy") and one.shape[2:] == (tokens, tokens) for one in found
    ]  # no values: a tf.function
    return bool(readable) and all(readable)


class AttentionGradient:
    """The attention A of every layer of a network (pixels -> features, logits), and the effect of A on a score.

    The network is not changed. It has attention, see `has_attention`.
    """

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        @tf.function(input_signature=signature(network))
        def compute(batch: tf.Tensor, objective: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape, _read(network) as found:
                tape.watch(batch)
                score = tf.linalg.matvec(network(batch, training=False)[1], objective)
            gradients = tape.gradient(score, found, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            effects = [tf.nn.relu(one * gradient) for one, gradient in zip(found, gradients, strict=True)]
            attention, effect = (tf.stack([tf.reduce_mean(one[0], 0) for one in layers]) for layers in (found, effects))
            is_used = tf.reduce_any(gradients[-1][0] != 0, (0, 2))
            return attention, effect, tf.cast(is_used, tf.float32)

        self._compute = compute

    def __call__(self, canvas: np.ndarray, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For a canvas (h, w, 3) in [0, 255] and the weights of the logits (classes,), see `Classifier.attention`."""
        check_stop()
        attention, effect, is_used = self._compute(canvas[None], objective)
        return np.asarray(attention), np.asarray(effect), np.asarray(is_used)


@contextmanager
def _read(network: keras.Model) -> Iterator[list[Any]]:
    """The attention (N, heads, tokens, tokens) of every call of a layer of attention, in order, while the `with` lasts."""
    import keras

    found: list[Any] = []
    # A subclass may have other arguments.
    read = [layer for layer in network._flatten_layers() if type(layer) is keras.layers.MultiHeadAttention]
    with _reading:
        for layer in read:
            layer.call = _reader(layer.call, found)
        try:
            yield found
        finally:
            for layer in read:
                del layer.call  # that of the class is valid again


def _reader(call: Callable[..., Any], found: list[Any]) -> Callable[..., Any]:
    """The method `call` of a layer of attention, which also puts its attention into a list."""

    def call_and_keep(*arguments: Any, return_attention_scores: bool = False, **options: Any) -> Any:
        outputs, attention = call(*arguments, return_attention_scores=True, **options)
        found.append(attention)
        return (outputs, attention) if return_attention_scores else outputs

    return call_and_keep
