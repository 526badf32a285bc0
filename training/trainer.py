"""Train a classification head on embeddings, with Keras."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.errors import UserError
from core.keras_settings import use_keras
from models.classifier import Classifier
from models.trained_head import SIDE, CanvasShape, Layers, TrainedClassifier
from training import classification_metrics

if TYPE_CHECKING:
    import tensorflow as tf

Head = Literal["linear", "mlp"]

UNITS = 100  # units of the hidden layer, as in the study this project comes from
DROPOUT = 0.3
DECAY = 1e-2  # weight decay: this times the sum of squares of all weights is added to the loss
RATE = 1e-3  # learning rate
BATCH = 64  # embeddings per step of the optimiser
EPOCHS = 30
PATIENCE = 8  # epochs without an acceptable validation loss before training stops


@dataclass(frozen=True)
class Epoch:
    """Mean loss and accuracy of an epoch, with `number` from 1.

    `loss` and `accuracy` are those during the epoch, on the training part. The others are those after it, on the validation
    part, or NaN where there is none. `is_best`: whether the head after this epoch is the best so far, see `train_head`.
    """

    number: int
    loss: float
    accuracy: float
    validation_loss: float = float("nan")
    validation_accuracy: float = float("nan")
    is_best: bool = True


class Trainer:
    """A head in Keras. It is compiled once and can be trained many times: `reset` starts the next training.

    The optimiser is RMSprop with batches of 64 and weight decay.

    Args:
        channels: Length of an embedding.
        classes: Number of classes.
        head: "linear" is one dense layer. "mlp" is dropout 0.3, a dense layer of 100 with ReLU, dropout 0.3 and a dense
            layer.
    """

    def __init__(self, channels: int, classes: int, head: Head = "mlp") -> None:
        use_keras()
        import keras
        import tensorflow as tf

        layers = keras.layers
        dense = functools.partial(layers.Dense, kernel_regularizer=keras.regularizers.L2(DECAY))
        hidden = [layers.Dropout(DROPOUT), dense(UNITS, "relu"), layers.Dropout(DROPOUT)] if head == "mlp" else []
        self.model = keras.Sequential([keras.Input((channels,)), *hidden, dense(classes)])
        self._optimizer = keras.optimizers.RMSprop(RATE)
        self._optimizer.build(self.model.trainable_variables)
        self._initial_state = [variable.numpy() for variable in self._optimizer.variables]
        loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
        model, optimizer, variables = self.model, self._optimizer, self.model.trainable_variables

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, channels), tf.float32),
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec((None,), tf.float32),
            ]
        )
        def train_epoch(x: tf.Tensor, y: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            total, correct = tf.constant(0.0), tf.constant(0.0)
            for start in tf.range(0, tf.shape(x)[0], BATCH):
                batch, truth, weight = (array[start : start + BATCH] for array in (x, y, weights))
                with tf.GradientTape() as tape:
                    logits = model(batch, training=True)
                    losses = loss_function(truth, logits) * weight
                    loss = tf.reduce_mean(losses) + tf.add_n(model.losses)
                optimizer.apply(tape.gradient(loss, variables), variables)
                total += tf.reduce_sum(losses)
                correct += tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == truth, tf.float32))
            count = tf.cast(tf.shape(x)[0], tf.float32)
            return total / count, correct / count

        self._train_epoch = train_epoch

    def reset(self, seed: int) -> None:
        """Set the initial weights of this seed, and the optimiser to its initial state."""
        use_keras()
        import keras

        for variable, value in zip(self._optimizer.variables, self._initial_state, strict=True):
            variable.assign(value)
        for index, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dense):
                layer.kernel.assign(keras.initializers.GlorotUniform(seed * 10 + index)(layer.kernel.shape))
                layer.bias.assign(np.zeros(layer.bias.shape))
            else:
                layer.seed_generator.state.assign([seed, index])

    def train_epoch(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, rate: float = RATE) -> tuple[float, float]:
        """Train on all embeddings once, in the given order.

        Args:
            x: Embeddings, float32 (N, channels).
            y: Their true classes, int32 (N,).
            weights: Their weights in the loss, float32 (N,).
            rate: Learning rate.

        Returns:
            Mean cross-entropy and accuracy during the epoch.
        """
        self._optimizer.learning_rate.assign(rate)
        loss, accuracy = self._train_epoch(x, y, weights)
        return float(loss), float(accuracy)

    def layers(self) -> Layers:
        """Copies of the current weights."""
        arrays = self.model.get_weights()
        dense = [array for array in arrays if array.dtype == np.float32]
        return [(dense[index].copy(), dense[index + 1].copy()) for index in range(0, len(dense), 2)]


def head_logits(layers: Layers, embeddings: np.ndarray) -> np.ndarray:
    """The logits (..., classes) that a head gives to embeddings (..., channels)."""
    x = embeddings
    for index, (weights, bias) in enumerate(layers):
        x = x @ weights + bias
        if index < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


def class_weights(truth: np.ndarray, classes: int) -> np.ndarray:
    """A weight for each picture (N,) by the size of its class; 1 for all where the sizes are equal.

    The weight is the square root of the one that gives every class the same influence. For sizes such as 84 and 143, full
    balance costs the large classes more than the small ones gain.

    >>> class_weights(np.array([0, 0, 0, 1]), 2).astype(float).round(2).tolist()
    [0.82, 0.82, 0.82, 1.41]
    """
    counts = np.bincount(truth, minlength=classes)
    return np.sqrt(len(truth) / (classes * np.maximum(counts, 1)))[truth].astype(np.float32)


def train_head(
    trainer: Trainer,
    embeddings: np.ndarray,
    truth: np.ndarray,
    classes: int,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Iterator[tuple[Epoch, Layers]]:
    """Train a head from its initial weights.

    An epoch uses every view of every picture. The picture itself has the same weight as all its augmentations together. The
    learning rate decreases to zero along a cosine (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983).

    The best head is the last one whose validation loss is within one standard error of the lowest: few validation pictures
    cannot separate closer losses. PATIENCE epochs without such a head end the training. Without `validation` the last head
    is the best.

    Args:
        trainer: The head in Keras; it is reset first.
        embeddings: (N, channels), or (N, views, channels) with the picture itself as the first view.
        truth: True classes (N,).
        classes: Number of classes.
        validation: Embeddings and true classes of the validation part, of the same shapes.
        epochs: Largest number of epochs.
        seed: Seed of the initial weights, of dropout and of the order of the pictures.

    Yields:
        After each epoch, its figures and the best head so far.
    """
    x, y, weights = _flatten_views(embeddings, truth)
    weights *= class_weights(y, classes)
    stopping = _EarlyStopping(*validation) if validation else None
    rng = np.random.default_rng(seed)
    trainer.reset(seed)
    for number in range(1, epochs + 1):
        order = rng.permutation(len(x))
        rate = RATE * 0.5 * (1 + math.cos(math.pi * (number - 1) / epochs))
        loss, accuracy = trainer.train_epoch(x[order], y[order], weights[order], rate)
        head = trainer.layers()
        if stopping is None:
            yield Epoch(number, loss, accuracy), head
            continue
        validation_loss, validation_accuracy = stopping.update(number, head)
        is_best = stopping.best_epoch == number
        yield Epoch(number, loss, accuracy, validation_loss, validation_accuracy, is_best), stopping.best
        if number - stopping.best_epoch >= PATIENCE:
            return


class _EarlyStopping:
    """The best head by its loss on a validation part, see `train_head`."""

    def __init__(self, embeddings: np.ndarray, truth: np.ndarray) -> None:
        self._x, self._y, self._weights = _flatten_views(embeddings, truth)
        self._pictures = len(truth)
        self._lowest = self._acceptable = math.inf
        self.best: Layers = []
        self.best_epoch = 0

    def update(self, epoch: int, head: Layers) -> tuple[float, float]:
        """Validate a head and keep it where it is the best; its loss and accuracy."""
        logits = head_logits(head, self._x)
        losses = classification_metrics.cross_entropies(logits, self._y) * self._weights
        by_picture = losses.reshape(self._pictures, -1).mean(1)
        loss = float(by_picture.mean())
        if loss < self._lowest:
            self._lowest, self._acceptable = loss, loss + float(by_picture.std()) / math.sqrt(len(by_picture))
        if not self.best or loss <= self._acceptable:
            self.best, self.best_epoch = head, epoch
        return loss, float(np.average(logits.argmax(-1) == self._y, weights=self._weights))


def _flatten_views(embeddings: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (N * views, channels), their classes, and weights of mean 1: half for the picture, half for its augmentations."""
    views = embeddings[:, None] if embeddings.ndim == 2 else embeddings
    count = views.shape[1]
    weight = np.ones(count, np.float32)
    if count > 1:
        weight[0] = count - 1
    rows = np.ascontiguousarray(views.reshape(-1, views.shape[2]), np.float32)
    return rows, np.repeat(truth, count).astype(np.int32), np.tile(weight / weight.mean(), len(views))


def fit(
    backbone: Classifier,
    embeddings: np.ndarray,
    truth: Sequence[int] | np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    head: Head = "linear",
    epochs: int = EPOCHS,
    seed: int = 0,
    canvas_shape: CanvasShape = "wide",
    side: int = SIDE,
    name: str = "my model",
) -> TrainedClassifier:
    """Train a classifier on embeddings, without validation.

    Args:
        backbone: The network that made the embeddings.
        embeddings: (N, channels), or (N, views, channels) with the picture itself as the first view.
        truth: The true class of each picture, 0, 1, ... (N,).
        labels: The name of each class, by default "class 0", "class 1", ...
        head: "linear" is one dense layer, "mlp" has a hidden layer.
        epochs: Number of epochs.
        seed: Seed of the initial weights, of dropout and of the order of the pictures.
        canvas_shape: The one that `embed` got.
        side: The one that `embed` got.
        name: The name of the model.

    Returns:
        The classifier. Its head is the one after the last epoch.

    Raises:
        UserError: There are pictures of fewer than two classes.

    >>> from models import load
    >>> from training import embed
    >>> backbone = load("mobilenet_v2")
    >>> pictures = [np.full((96, 96, 3), colour, np.uint8) for colour in ((200, 30, 40), (40, 60, 210))]
    >>> model = fit(backbone, embed(backbone, pictures, side=96), [0, 1], ["red", "blue"], side=96)
    >>> model.predict(pictures[1])[0].label
    'blue'
    """
    truth = np.asarray(truth, np.int32)
    classes = int(truth.max(initial=-1)) + 1 if labels is None else len(labels)
    if classes < 2 or len(np.unique(truth)) < 2:
        raise UserError("Training needs pictures of at least two classes.")
    trainer = Trainer(embeddings.shape[-1], classes, head)
    *_, (_, layers) = train_head(trainer, embeddings, truth, classes, epochs=epochs, seed=seed)
    labels = labels or [f"class {index}" for index in range(classes)]
    return TrainedClassifier(backbone, layers, labels, canvas_shape, side, name)
