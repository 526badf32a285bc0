"""Train a classifier of one's own: a small head on the embeddings of a frozen network.

The network runs once a picture and augmentation, through the fast engine; a head learns from the numbers in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from models.classifier import Classifier
from models.engine import BATCH
from models.errors import UserError
from models.geometry import Geometry, fixed
from models.trained import Canvas, Layers, Trained

if TYPE_CHECKING:
    import tensorflow as tf

Head = Literal["linear", "mlp"]

UNITS = 100  # of the study's hidden layer
DROPOUT = 0.3
RATE = 1e-3
STEP = 32  # pictures a step of the optimiser
EPOCHS = 30
PATIENCE = 8  # epochs without a better validation loss before training stops


def lay(backbone: Classifier, size: tuple[int, int], spread: Canvas = "wide") -> Geometry:
    """Where a picture (H, W) lies on the canvas that a head is trained for."""
    side = backbone.side
    return backbone.geometry(size) if spread == "wide" else fixed(size, (side, side))


def embed(backbone: Classifier, pictures: Iterable[np.ndarray], spread: Canvas = "wide") -> np.ndarray:
    """Embeddings (N, channels), float32: the features of uint8 pictures (H, W, 3), averaged over the canvas.

    Neighbours of one size share passes.
    """
    rows: list[np.ndarray] = []
    waiting: list[np.ndarray] = []

    def flush() -> None:
        if waiting:
            rows.append(backbone.forward(np.stack(waiting))[0].mean((1, 2)))
            waiting.clear()

    for pixels in pictures:
        canvas = lay(backbone, pixels.shape[:2], spread).place(pixels)
        if waiting and (len(waiting) == BATCH or waiting[0].shape != canvas.shape):
            flush()
        waiting.append(canvas)
    flush()
    if not rows:
        raise UserError("There are no pictures to embed.")
    return np.concatenate(rows)


@dataclass(frozen=True)
class Epoch:
    """After an epoch: mean loss and accuracy of the training part as it was learned from, and of the validation part."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float = float("nan")
    validation_accuracy: float = float("nan")


class Trainer:
    """A head in Keras, compiled once and trained as often as wanted: folds start it anew without another trace.

    `mlp`: dropout 0.3, a dense layer of 100 with ReLU, dropout 0.3, a dense layer, as in the study this grew from;
    `linear`: one dense layer. RMSprop, batches of 32.
    """

    def __init__(self, channels: int, classes: int, head: Head = "mlp") -> None:
        import keras
        import tensorflow as tf

        layers = keras.layers
        inner = [layers.Dropout(DROPOUT), layers.Dense(UNITS, "relu"), layers.Dropout(DROPOUT)] if head == "mlp" else []
        self.model = keras.Sequential([keras.Input((channels,)), *inner, layers.Dense(classes)])
        self._optimizer = keras.optimizers.RMSprop(RATE)
        self._optimizer.build(self.model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self._optimizer.variables]
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
        model, optimizer, variables = self.model, self._optimizer, self.model.trainable_variables

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, channels), tf.float32),
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec((None,), tf.float32),
            ]
        )
        def epoch(x: tf.Tensor, y: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            total, right = tf.constant(0.0), tf.constant(0.0)
            for start in tf.range(0, tf.shape(x)[0], STEP):
                some, truth, weight = (part[start : start + STEP] for part in (x, y, weights))
                with tf.GradientTape() as tape:
                    logits = model(some, training=True)
                    losses = loss_of(truth, logits) * weight
                    loss = tf.reduce_mean(losses)
                optimizer.apply(tape.gradient(loss, variables), variables)
                total += tf.reduce_sum(losses)
                right += tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == truth, tf.float32))
            count = tf.cast(tf.shape(x)[0], tf.float32)
            return total / count, right / count

        self._epoch = epoch

    def start(self, seed: int) -> None:
        """Begin anew: the weights of that seed, no memory of the last training."""
        import keras

        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        for index, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dense):
                layer.kernel.assign(keras.initializers.GlorotUniform(seed * 10 + index)(layer.kernel.shape))
                layer.bias.assign(np.zeros(layer.bias.shape))
            else:
                layer.seed_generator.state.assign([seed, index])

    def epoch(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        """Learn from all of (N, channels), (N,), (N,) once, in this order; the mean loss and accuracy on the way."""
        loss, accuracy = self._epoch(x, y, weights)
        return float(loss), float(accuracy)

    def layers(self) -> Layers:
        """The head as it is now."""
        arrays = self.model.get_weights()
        dense = [array for array in arrays if array.dtype == np.float32]
        return [(dense[index].copy(), dense[index + 1].copy()) for index in range(0, len(dense), 2)]


def logits(layers: Layers, embeddings: np.ndarray) -> np.ndarray:
    """(..., channels) -> (..., classes)."""
    x = embeddings
    for index, (weights, bias) in enumerate(layers):
        x = x @ weights + bias
        if index < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


def loss_and_accuracy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross entropy and share right of logits (N, classes)."""
    shifted = scores - scores.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return float(loss), float((scores.argmax(-1) == labels).mean())


def balanced(labels: np.ndarray, classes: int) -> np.ndarray:
    """A weight for each picture, so that every class weighs the same: 1 for all where they are of one size."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1)))[labels].astype(np.float32)


def learn(
    trainer: Trainer,
    embeddings: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Iterator[tuple[Epoch, Layers]]:
    """Train the head from its beginning; an epoch at a time, with the best head so far.

    `embeddings` (N, channels), or (N, views, channels) with the picture itself first: each epoch takes one view of every
    picture at random. With `validation` (embeddings (M, channels), labels (M,)) the best is that of the lowest validation
    loss, and training ends after PATIENCE epochs without a better one; without it the best is the last.
    """
    views = embeddings[:, None] if embeddings.ndim == 2 else embeddings
    labels = labels.astype(np.int32)
    weights = balanced(labels, classes)
    rng = np.random.default_rng(seed)
    trainer.start(seed)
    best: tuple[float, int, Layers] | None = None
    for number in range(1, epochs + 1):
        order = rng.permutation(len(views))
        x = np.ascontiguousarray(views[order, rng.integers(views.shape[1], size=len(views))], np.float32)
        loss, accuracy = trainer.epoch(x, labels[order], weights[order])
        now = trainer.layers()
        if validation is None:
            yield Epoch(number, loss, accuracy), now
            continue
        held, right = loss_and_accuracy(logits(now, validation[0]), validation[1])
        if best is None or held < best[0]:
            best = held, number, now
        yield Epoch(number, loss, accuracy, held, right), best[2]
        if number - best[1] >= PATIENCE:
            return


def fit(
    backbone: Classifier,
    embeddings: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
    *,
    head: Head = "linear",
    epochs: int = EPOCHS,
    seed: int = 0,
    spread: Canvas = "wide",
    name: str = "my model",
) -> Trained:
    """A classifier from embeddings (N, channels) or (N, views, channels) and labels 0, 1, ... (N,); no validation.

    `names`: one a class, by default "class 0", ... Raises UserError unless there are at least two classes.
    """
    truth = np.asarray(labels, np.int32)
    classes = int(truth.max(initial=-1)) + 1 if names is None else len(names)
    if classes < 2 or len(np.unique(truth)) < 2:
        raise UserError("Training needs pictures of at least two classes.")
    trainer = Trainer(embeddings.shape[-1], classes, head)
    *_, (_, layers) = learn(trainer, embeddings, truth, classes, epochs=epochs, seed=seed)
    return Trained(backbone, layers, names or [f"class {index}" for index in range(classes)], spread, name)
