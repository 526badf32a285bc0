"""Train a classifier of one's own: a small head on the embeddings of a frozen network. `python -m models.train DIR`.

The network runs once a picture and augmentation, through the fast engine; a head learns from the numbers in seconds.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import cv2
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

import models
from models import dataset as datasets
from models import embedded, metrics, trained
from models.classifier import Classifier
from models.dataset import Dataset
from models.embeddings import RECIPE, augment, cache_folder, embed, embed_views
from models.engine import write_atomically
from models.errors import UserError
from models.trained import SIDE, Canvas, Layers, Trained

__all__ = ["DEFAULTS", "Outcome", "Progress", "Settings", "embed", "fit", "learn", "run"]

if TYPE_CHECKING:
    import tensorflow as tf

Head = Literal["linear", "mlp"]

UNITS = 100  # of the study's hidden layer
DROPOUT = 0.3
DECAY = 1e-2  # of the squares of all weights, added to the loss
RATE = 1e-3
STEP = 64  # pictures a step of the optimiser
EPOCHS = 30
PATIENCE = 8  # epochs with a validation loss clearly above the best before training stops
VIEWS = 8  # augmentations of each picture


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
    `linear`: one dense layer. RMSprop, batches of 32, weight decay.
    """

    def __init__(self, channels: int, classes: int, head: Head = "mlp") -> None:
        import keras
        import tensorflow as tf

        layers = keras.layers
        dense = functools.partial(layers.Dense, kernel_regularizer=keras.regularizers.L2(DECAY))
        inner = [layers.Dropout(DROPOUT), dense(UNITS, "relu"), layers.Dropout(DROPOUT)] if head == "mlp" else []
        self.model = keras.Sequential([keras.Input((channels,)), *inner, dense(classes)])
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
                    loss = tf.reduce_mean(losses) + tf.add_n(model.losses)
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

    def epoch(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, rate: float = RATE) -> tuple[float, float]:
        """Learn from all of (N, channels), (N,), (N,) once, in this order, at that learning rate; the mean cross-entropy and
        accuracy on the way."""
        self._optimizer.learning_rate.assign(rate)
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


def balanced(labels: np.ndarray, classes: int) -> np.ndarray:
    """A weight for each picture, 1 for all where the classes are of one size.

    A small class is raised half-way to weighing as much as the others: to all the way, it costs the others more than it
    gains where sizes are as different as 84 and 143.
    """
    counts = np.bincount(labels, minlength=classes)
    return np.sqrt(len(labels) / (classes * np.maximum(counts, 1)))[labels].astype(np.float32)


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

    `embeddings` (N, channels), or (N, views, channels) with the picture itself first: an epoch sees every view of every
    picture, the picture itself weighing as much as all its augmentations. The learning rate falls to nothing along a cosine
    (Loshchilov & Hutter 2017). With `validation`, of the same shapes, the best is the last whose validation loss, weighed
    alike, is within a standard error of the lowest, since few pictures cannot tell closer ones apart; PATIENCE epochs
    without one such end the training. Without it the best is the last.
    """
    x, y, weights = _flat(embeddings, labels)
    weights *= balanced(y, classes)
    held = _flat(*validation) if validation else None
    rng = np.random.default_rng(seed)
    trainer.start(seed)
    lowest, enough = math.inf, math.inf
    best: tuple[int, Layers] | None = None
    for number in range(1, epochs + 1):
        order = rng.permutation(len(x))
        rate = RATE * 0.5 * (1 + math.cos(math.pi * (number - 1) / epochs))
        loss, accuracy = trainer.epoch(x[order], y[order], weights[order], rate)
        now = trainer.layers()
        if validation is None or held is None:
            yield Epoch(number, loss, accuracy), now
            continue
        scores = logits(now, held[0])
        by_picture = (metrics.losses(scores, held[1]) * held[2]).reshape(len(validation[1]), -1).mean(1)
        missed = float(by_picture.mean())
        if missed < lowest:
            lowest, enough = missed, missed + float(by_picture.std()) / math.sqrt(len(by_picture))
        if best is None or missed <= enough:
            best = number, now
        right = float(np.average(scores.argmax(-1) == held[1], weights=held[2]))
        yield Epoch(number, loss, accuracy, missed, right), best[1]
        if number - best[0] >= PATIENCE:
            return


def _flat(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (N * views, channels), their labels, and weights of mean 1: half for the picture itself, half for the others."""
    views = embeddings[:, None] if embeddings.ndim == 2 else embeddings
    count = views.shape[1]
    weight = np.ones(count, np.float32)
    if count > 1:
        weight[0] = count - 1
    rows = np.ascontiguousarray(views.reshape(-1, views.shape[2]), np.float32)
    return rows, np.repeat(labels, count).astype(np.int32), np.tile(weight / weight.mean(), len(views))


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
    side: int = SIDE,
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
    return Trained(backbone, layers, names or [f"class {index}" for index in range(classes)], spread, side, name)


@dataclass(frozen=True)
class Settings:
    """How to train. `views`: augmentations a picture, 0 for none. `folds`: 0 for no cross-validation."""

    head: Head = "mlp"
    folds: int = 5
    epochs: int = EPOCHS
    views: int = VIEWS
    flip: bool = False
    spread: Canvas = "wide"
    side: int = SIDE
    seed: int = 0

    def make(self, pixels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """The picture, then its augmentations."""
        return [pixels, *augment(pixels, self.views, rng, self.flip)]


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    `curves`: the epochs of each fold; `final`: those of the last fit. `held` (N, classes): every picture's logits from the
    fold that did not train on it, NaN where that fold was not run; `fold` (N,): that fold's number from 0, or -1; `heads`:
    each fold's. `seconds`: by stage. `stopped`: whether it ended early because it was told to.
    """

    model: Trained
    curves: list[list[Epoch]]
    final: list[Epoch]
    held: np.ndarray
    fold: np.ndarray
    heads: list[Layers]
    seconds: dict[str, float]
    stopped: bool = False


@dataclass(frozen=True)
class Progress:
    """`done` of all the work, in [0, 1]. `fold` from 1, 0 for the last fit. The last one has the `outcome`."""

    stage: Literal["embed", "folds", "final", "done"]
    done: float
    fold: int = 0
    epoch: Epoch | None = None
    outcome: Outcome | None = None


DEFAULTS = Settings()


def parts(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices (train, held out) of stratified folds that keep groups whole; fewer folds where a class has fewer groups.

    Raises UserError where a class has one group only: no split can both learn and check it.
    """
    most = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if most < 2:
        raise UserError("All pictures of a class are nearly the same; add other ones.")
    splitter = StratifiedGroupKFold(min(folds, most), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels, groups))


def run(
    backbone: Classifier,
    data: Dataset,
    settings: Settings = DEFAULTS,
    *,
    cache: Path | None = None,
    name: str = "my model",
    halted: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Embed, cross-validate, fit on all of `data`: progress by picture and by epoch, and last the outcome.

    In each fold an eighth of the training part is put aside, so that what is held out is looked at once: the number of epochs
    is found by that eighth, and the fold's head then learns for so many from the whole part. The last fit runs for
    the folds' median number, on everything. The head's temperature is set by the held-out logits (Guo et al. 2017), so that
    its probabilities mean what they say. Without folds an eighth of all is put aside, and the best head of then kept.

    When `halted` turns true while a head is learning, the best head so far is the outcome; before that, there is none.
    """
    clock = time.perf_counter
    begun = clock()
    labels, groups, classes = data.targets, data.groups, len(data.labels)
    outer = parts(labels, groups, settings.folds, settings.seed) if settings.folds else []
    recipe = f"augment {RECIPE} {settings.views} {settings.flip}"
    rows = []
    made = embed_views(
        backbone, data.items, settings.make, recipe,
        spread=settings.spread, side=settings.side, seed=settings.seed, cache=cache,
    )  # fmt: skip
    for row in made:
        rows.append(row)
        if halted():
            return
        yield Progress("embed", 0.85 * len(rows) / len(labels))
    embeddings = np.stack(rows)
    embedded = clock()

    trainer = Trainer(embeddings.shape[-1], classes, settings.head)
    held = np.full((len(labels), classes), np.nan, np.float32)
    fold_of = np.full(len(labels), -1)
    curves: list[list[Epoch]] = []
    heads: list[Layers] = []
    best_epochs = []
    stopped = False

    def stopped_early(chosen: np.ndarray) -> Iterator[tuple[Epoch, Layers]]:
        """Train on seven eighths of `chosen`, and stop by the last."""
        inner, aside = parts(labels[chosen], groups[chosen], 8, settings.seed)[0]
        yield from learn(
            trainer, embeddings[chosen[inner]], labels[chosen[inner]], classes,
            validation=(embeddings[chosen[aside]], labels[chosen[aside]]), epochs=settings.epochs, seed=settings.seed,
        )  # fmt: skip

    for number, (chosen, out) in enumerate(outer):
        curve: list[Epoch] = []
        head: Layers = []
        for epoch, best in stopped_early(chosen):
            if best is not head:
                head, enough = best, epoch.epoch
            curve.append(epoch)
            done = (number + epoch.epoch / settings.epochs) / (len(outer) + 1)
            yield Progress("folds", 0.85 + 0.15 * done, number + 1, epoch)
            if stopped := halted():
                break
        best_epochs.append(enough)
        if not stopped:
            whole = learn(trainer, embeddings[chosen], labels[chosen], classes, epochs=enough, seed=settings.seed)
            for _, best in whole:  # noqa: B007  (the last one is used)
                if stopped := halted():
                    break
            else:
                head = best
        curves.append(curve)
        heads.append(head)
        held[out], fold_of[out] = logits(head, embeddings[out, 0]), number
        if stopped:
            break
    crossed = clock()

    final: list[Epoch] = []
    if not stopped:
        if outer:
            epochs = int(np.median(best_epochs))
            fit_all = learn(trainer, embeddings, labels, classes, epochs=epochs, seed=settings.seed)
        else:
            epochs, fit_all = settings.epochs, stopped_early(np.arange(len(labels)))
        for epoch, head in fit_all:  # noqa: B007
            final.append(epoch)
            yield Progress("final", 0.85 + 0.15 * (len(outer) + epoch.epoch / epochs) / (len(outer) + 1), 0, epoch)
            if stopped := halted():
                break
    known = fold_of >= 0
    heat = metrics.temperature(held[known], labels[known]) if known.any() else 1.0
    head = [*head[:-1], (head[-1][0] / heat, head[-1][1] / heat)]
    seconds = {"embed": embedded - begun, "folds": crossed - embedded, "final": clock() - crossed}
    figures = {
        "pictures": data.counts(),
        "settings": asdict(settings),
        "temperature": heat,
        "curves": mean_curves(curves or [final]),
        "digests": [item.digest[:12] for item in data.items],  # so that evaluation knows what it was trained on
    }
    if known.any():
        scores = metrics.bootstrap(held[known].argmax(-1), labels[known], classes)
        figures["held_out"] = {"pictures": int(known.sum()), **{key: asdict(value) for key, value in scores.items()}}
    model = Trained(backbone, head, data.labels, settings.spread, settings.side, name, figures)
    yield Progress("done", 1, outcome=Outcome(model, curves, final, held, fold_of, heads, seconds, stopped))


def by_fold(outcome: Outcome, labels: np.ndarray) -> list[float]:
    """Macro F1 of each fold that was run, on what it did not train on."""
    classes = outcome.held.shape[1]
    return [
        float(metrics.macro_f1(metrics.confusion(outcome.held[out].argmax(-1), labels[out], classes)))
        for out in (outcome.fold == number for number in range(len(outcome.heads)))
    ]


def mean_curves(curves: Sequence[Sequence[Epoch]]) -> dict[str, list[list[float]]]:
    """[mean, standard deviation] over the folds that got as far, by epoch, of each figure of an `Epoch`."""
    length = max(map(len, curves), default=0)
    found: dict[str, list[list[float]]] = {}
    for key in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        by_epoch = [
            [getattr(curve[number], key) for curve in curves if len(curve) > number] for number in range(length)
        ]
        found[key] = [[float(np.mean(values)), float(np.std(values))] for values in by_epoch]
    return found


def curve_table(curves: Sequence[Sequence[Epoch]]) -> str:
    """Mean and spread (standard deviation) over the folds, a line an epoch."""
    lines = [f"{'epoch':>5}  {'loss':>15}  {'accuracy':>15}  {'validation loss':>15}  {'validation acc.':>15}"]
    for number, cells in enumerate(zip(*mean_curves(curves).values(), strict=True), 1):
        lines.append(f"{number:>5}  {'  '.join(f'{mean:8.3f} ±{spread:6.3f}' for mean, spread in cells)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: train on a folder or zip, print what came of it, write the head."""
    parser = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Train a classifier on a folder of class folders, a folder with train/ and test/, or a zip of either.",
    )
    parser.add_argument("data", metavar="DIR", help="the folder or zip")
    parser.add_argument(
        "--head", choices=get_args(Head), default=Settings.head, help="mlp has a hidden layer; CAM is exact for linear"
    )
    parser.add_argument("--backbone", default=models.DEFAULT, help=f"the frozen network (default {models.DEFAULT})")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation, 0 for none (default 5)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"at most (default {EPOCHS})")
    parser.add_argument(
        "--augment", type=int, default=VIEWS, metavar="N", help=f"augmentations a picture, 0 for none (default {VIEWS})"
    )
    parser.add_argument("--flip", action="store_true", help="mirror every other augmentation; text does not bear it")
    parser.add_argument(
        "--canvas", choices=get_args(Canvas), default="wide", help="wide follows the picture, square adds bars"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-cache", action="store_true", help="neither read nor keep embeddings on disk")
    parser.add_argument("--name", default="my model", help="what the model is called")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet of the classes, a PNG")
    parser.add_argument(
        "--out", type=Path, default=Path("model.npz"), help="where the head is written (default model.npz)"
    )
    options = parser.parse_args(arguments)
    try:
        _train(options)
    except UserError as error:
        print(f"models.train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("models.train: stopped; nothing was written.", file=sys.stderr)
        return 130
    return 0


def _train(options: argparse.Namespace) -> None:
    if (
        options.folds == 1
        or not 0 <= options.folds <= 20
        or not 1 <= options.epochs <= 1000
        or not 0 <= options.augment <= 100
    ):
        raise UserError("Folds are 0 or 2 to 20, epochs 1 to 1000, augmentations 0 to 100.")
    if not models.MODELS.get(options.backbone) or not models.MODELS[options.backbone].embedded:
        raise models.unknown("backbone", options.backbone, embedded.ARCHITECTURES)
    from tqdm import tqdm

    settings = Settings(
        options.head, options.folds, options.epochs, options.augment, options.flip, options.canvas, seed=options.seed
    )
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as scratch:
        whole = datasets.load(options.data, scratch)
        print(datasets.histogram(whole.counts()))
        for one in whole.refused:
            print(f"left out: {one.name}: {one.why}")
        for note in whole.notes:
            print(note)
        if options.sheet:
            _write_png(options.sheet, datasets.contact_sheet(whole))
        data, test = whole.part("train"), whole.part("test")
        backbone = models.load(options.backbone)
        cache = None if options.no_cache else cache_folder()
        outcome = None
        with tqdm(
            total=100, desc="training", unit="%", bar_format="{desc} {bar} {n:.0f} % {elapsed}<{remaining}"
        ) as bar:
            for progress in run(backbone, data, settings, cache=cache, name=options.name):
                bar.update(100 * progress.done - bar.n)
                outcome = progress.outcome
        assert outcome is not None
        _report(outcome, data)
        if test.items:
            vectors = np.concatenate(
                list(
                    embed_views(
                        backbone, test.items, lambda pixels, _: [pixels], "plain", cache=cache, spread=settings.spread
                    )
                )
            )
            scores = metrics.bootstrap(logits(outcome.model.layers, vectors).argmax(-1), test.targets, len(data.labels))
            outcome.model.figures["test"] = {
                "pictures": len(test.items),
                **{key: asdict(value) for key, value in scores.items()},
            }
            print(f"test set of {len(test.items)}: accuracy {scores['accuracy']}, macro F1 {scores['macro_f1']}")
    trained.save(outcome.model, options.out)
    print(f"wrote {options.out} after {time.perf_counter() - begun:.1f} s in all")


def _report(outcome: Outcome, data: Dataset) -> None:
    if outcome.curves:
        print(curve_table(outcome.curves))
        folds = by_fold(outcome, data.targets)
        print(
            f"macro F1 by fold: {', '.join(f'{f1:.3f}' for f1 in folds)}; mean {np.mean(folds):.3f} ± {np.std(folds):.3f}"
        )
        figures = outcome.model.figures["held_out"]
        for key, title in (("accuracy", "accuracy"), ("macro_f1", "macro F1")):
            print(f"held out, all folds: {title} {metrics.Interval(**figures[key])}")
    print(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in outcome.seconds.items()))


def _write_png(path: Path, pixels: np.ndarray) -> None:
    write_atomically(path, cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())


if __name__ == "__main__":
    sys.exit(main())
