"""Train a classifier and estimate how good it is by cross-validation. `python -m training DIR`.

The network runs once per picture and augmentation. A head then learns from the embeddings in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import UserError
from models.classifier import Classifier, check_labels
from models.trained_head import Layers, TrainedClassifier, problem_of_labels
from training import classification_metrics
from training.dataset import Dataset
from training.embeddings import RECIPE, embed_views
from training.settings import TrainingSettings
from training.splits import count_groups, plan_folds, split_folds
from training.trainer import EPOCHS, Epoch, Trainer, head_logits, train_head

INNER_FOLDS = 8  # one of them is the validation part, for early stopping
EMBEDDING_SHARE, LEARNING_SHARE = 0.85, 0.15  # of the progress
DEFAULTS = TrainingSettings()


@dataclass(frozen=True)
class TrainingResult:
    """A trained classifier and its cross-validation.

    `curves`: the epochs of each fold; `final_curve`: those of the final fit. `held_out_logits` (N, classes): the logits of
    each picture by the fold that did not train on it, NaN where that fold did not run. `fold_of_picture` (N,): the number of
    that fold from 0, or -1. `heads`: the head of each fold. `seconds`: of each stage. `stopped`: whether the user stopped it
    early. `notes`: what differs from an ordinary training, one sentence each.
    """

    model: TrainedClassifier
    curves: list[list[Epoch]]
    final_curve: list[Epoch]
    held_out_logits: np.ndarray
    fold_of_picture: np.ndarray
    heads: list[Layers]
    seconds: dict[str, float]
    stopped: bool = False
    notes: tuple[str, ...] = ()

    def macro_f1_by_fold(self, class_indices: np.ndarray) -> list[float]:
        """The macro F1 of each fold on its held-out pictures, from the true class of every picture (N,)."""
        from sklearn.metrics import confusion_matrix

        classes = range(self.held_out_logits.shape[1])
        scores = []
        for number in range(len(self.heads)):
            held_out = self.fold_of_picture == number
            predicted = self.held_out_logits[held_out].argmax(-1)
            confusion = confusion_matrix(class_indices[held_out], predicted, labels=classes)
            scores.append(float(classification_metrics.macro_f1(confusion)))
        return scores


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    `share`: the finished share of the work, in [0, 1]. `fold`: the number of the fold from 1, or 0 outside the folds. `epoch`:
    the epoch that has just ended, or None. `result`: None except at the end.
    """

    stage: Literal["embed", "folds", "final", "done"]
    share: float
    fold: int = 0
    epoch: Epoch | None = None
    result: TrainingResult | None = None


def train_and_validate(
    backbone: Classifier,
    data: Dataset,
    settings: TrainingSettings = DEFAULTS,
    *,
    cache: Path | None = None,
    name: str = "my model",
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Compute embeddings, cross-validate, and train on all of `data`.

    In each fold a validation part decides the number of epochs (early stopping). It is one eighth of the training part, or a
    larger part 1/n where a class has only n < 8 groups of near-duplicates in it. The head of the fold then learns from the
    whole training part for that number, so the held-out part is used only once. Where a class has one group in the training
    part, there is no validation part. The head then learns for the default number of epochs, and a note says so.

    The final head learns from all pictures for the median number of epochs. A temperature is fitted on the held-out logits
    (Guo et al. 2017, https://arxiv.org/abs/1706.04599), so that the probabilities match the accuracy. Without folds, a
    validation part of all pictures decides which head is kept.

    A class of frames from a fixed camera is split by blocks of time, see `training.splits`. Where that is not possible, there
    is no held-out figure, and a note says so.

    Args:
        backbone: The frozen network.
        data: The pictures.
        settings: How to train.
        cache: A folder for embeddings, see `embed_views`.
        name: The name of the model.
        should_stop: Called after each picture and epoch. When it returns true while a head learns, the best head so far is
            the result. Before that, there is no result.

    Yields:
        Progress by picture and by epoch, and last the result.

    Raises:
        UserError: Two labels are the same, or a head with these labels could not be loaded. All is found before the first
            picture is embedded.

    >>> import tempfile
    >>> from models import load
    >>> from samples import PRACTICE
    >>> from training.dataset import load_dataset
    >>> settings = TrainingSettings("linear", folds=2, epochs=5, augmentations=0, side=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     *_, last = train_and_validate(load("mobilenet_v2"), load_dataset(PRACTICE, folder), settings)
    >>> last.result.model.labels
    ('Bolt Squad', 'Crumb & Co', 'Orbit Lab')
    """
    training = _TrainingRun(backbone, data, settings, should_stop)
    yield from training.timed("embed", training.embed(cache))
    if training.stopped:
        return
    yield from training.timed("folds", training.cross_validate())
    if not training.stopped:
        yield from training.timed("final", training.train_on_all())
    yield Progress("done", 1, result=training.result(name))


class _TrainingRun:
    """The state of one training, see `train_and_validate`. All splits are made first, so that their errors come early."""

    def __init__(
        self, backbone: Classifier, data: Dataset, settings: TrainingSettings, should_stop: Callable[[], bool]
    ) -> None:
        check_labels(data.labels, len(data.labels))
        if problem := problem_of_labels(data.labels):
            raise UserError(f"The data set cannot be used: {problem}; rename or merge its folders.")
        self.backbone, self.data, self.settings, self.should_stop = backbone, data, settings, should_stop
        plan = plan_folds(data, settings.folds, settings.seed)
        self.folds = plan.folds
        fits = [training_part for training_part, _ in self.folds] or [np.arange(len(data.items))]
        self.validation_splits = [self._split_validation(training_part) for training_part in fits]
        self.notes = (*plan.notes, *self._note_fits_without_validation(fits))
        self.held_out_logits = np.full((len(data.items), len(data.labels)), np.nan, np.float32)
        self.fold_of_picture = np.full(len(data.items), -1)
        self.curves: list[list[Epoch]] = []
        self.heads: list[Layers] = []
        self.best_epochs: list[int] = []
        self.final_curve: list[Epoch] = []
        self.head: Layers = []
        self.seconds = dict.fromkeys(("embed", "folds", "final"), 0.0)
        self.stopped = False

    def _split_validation(self, training_part: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Indices that the head learns from and those of its validation part; None where a class has one group only."""
        if self._single_groups(training_part):
            return None
        class_indices, groups = self.data.class_indices[training_part], self.data.groups[training_part]
        learned, validation = split_folds(class_indices, groups, INNER_FOLDS, self.settings.seed)[0]
        return training_part[learned], training_part[validation]

    def _single_groups(self, training_part: np.ndarray) -> set[int]:
        """The classes that have one group only in a training part."""
        counts = count_groups(self.data.class_indices[training_part], self.data.groups[training_part])
        return {class_index for class_index, count in counts.items() if count < 2}

    def _note_fits_without_validation(self, fits: list[np.ndarray]) -> tuple[str, ...]:
        """A note on the training parts that have no validation part, if any."""
        classes = sorted(set().union(*map(self._single_groups, fits)))
        if not classes:
            return ()
        names = " and ".join(f"'{self.data.labels[class_index]}'" for class_index in classes)
        where = f"in {self.validation_splits.count(None)} of {len(fits)} folds " if self.folds else ""
        return (
            f"Too few pictures of {names} differ for a validation part: {where}the head learned for "
            f"{self._epochs_without_validation} epochs without early stopping.",
        )

    @property
    def _epochs_without_validation(self) -> int:
        return min(EPOCHS, self.settings.epochs)

    def timed(self, stage: str, steps: Iterator[Progress]) -> Iterator[Progress]:
        """The same steps; their seconds are kept."""
        start = time.perf_counter()
        yield from steps
        self.seconds[stage] = time.perf_counter() - start

    def embed(self, cache: Path | None) -> Iterator[Progress]:
        """Compute the embeddings (N, views, channels)."""
        settings = self.settings
        recipe = f"augment {RECIPE} {settings.augmentations} {settings.flip}"
        rows = []
        for row in embed_views(
            self.backbone, self.data.items, settings.make_views, recipe,
            canvas_shape=settings.canvas_shape, side=settings.side, seed=settings.seed, cache=cache,
        ):  # fmt: skip
            rows.append(row)
            if self._stop():
                return
            yield Progress("embed", EMBEDDING_SHARE * len(rows) / len(self.data.items))
        self.embeddings = np.stack(rows)

    def cross_validate(self) -> Iterator[Progress]:
        """Train the head of each fold and collect the held-out logits."""
        self.trainer = Trainer(self.embeddings.shape[-1], len(self.data.labels), self.settings.head)
        for number, (training_part, held_out) in enumerate(self.folds):
            yield from self._train_fold(number, training_part)
            self.heads.append(self.head)
            self.held_out_logits[held_out] = head_logits(self.head, self.embeddings[held_out, 0])
            self.fold_of_picture[held_out] = number
            if self.stopped:
                return

    def _train_fold(self, number: int, training_part: np.ndarray) -> Iterator[Progress]:
        """Find the number of epochs of a fold, then train its head on all of its training part."""
        curve: list[Epoch] = []
        best_epoch = 0
        steps = self._train_with_early_stopping(number, training_part)
        for epoch, self.head in steps:
            if epoch.is_best:
                best_epoch = epoch.number
            curve.append(epoch)
            yield self._learned("folds", number + epoch.number / self.settings.epochs, number + 1, epoch)
            if self._stop():
                break
        self.curves.append(curve)
        self.best_epochs.append(best_epoch)
        if self.validation_splits[number] and not self.stopped:
            self.head = self._retrain(training_part, best_epoch) or self.head

    def _retrain(self, training_part: np.ndarray, epochs: int) -> Layers | None:
        """The head after so many epochs on all of a training part, or None where the user stops it."""
        for _, head in self._train(training_part, epochs):  # noqa: B007  (the last one is used)
            if self._stop():
                return None
        return head

    def train_on_all(self) -> Iterator[Progress]:
        """Train the final head on all pictures; without folds, on all except the validation part."""
        if self.folds:
            epochs = int(np.median(self.best_epochs))
            steps = self._train(slice(None), epochs)
        else:
            epochs = self.settings.epochs
            steps = self._train_with_early_stopping(0, slice(None))
        for epoch, self.head in steps:
            self.final_curve.append(epoch)
            yield self._learned("final", len(self.folds) + epoch.number / epochs, 0, epoch)
            if self._stop():
                return

    def _train(
        self,
        training_part: np.ndarray | slice,
        epochs: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Iterator[tuple[Epoch, Layers]]:
        return train_head(
            self.trainer, self.embeddings[training_part], self.data.class_indices[training_part], len(self.data.labels),
            validation=validation, epochs=epochs, seed=self.settings.seed,
        )  # fmt: skip

    def _train_with_early_stopping(
        self, number: int, training_part: np.ndarray | slice
    ) -> Iterator[tuple[Epoch, Layers]]:
        """Train on a training part without its validation part; on all of it, without early stopping, where it has none."""
        split = self.validation_splits[number]
        if split is None:
            return self._train(training_part, self._epochs_without_validation)
        learned, validation = split
        validation_arrays = self.embeddings[validation], self.data.class_indices[validation]
        return self._train(learned, self.settings.epochs, validation_arrays)

    def _stop(self) -> bool:
        """Whether the user stops the training now."""
        self.stopped = self.should_stop()
        return self.stopped

    def _learned(self, stage: Literal["folds", "final"], fits: float, fold: int, epoch: Epoch) -> Progress:
        """Progress after so many fits of all folds and the final one."""
        share = fits / (len(self.folds) + 1)
        return Progress(stage, EMBEDDING_SHARE + LEARNING_SHARE * share, fold, epoch)

    def result(self, name: str) -> TrainingResult:
        """The classifier with its temperature and figures."""
        validated = self.fold_of_picture >= 0
        logits, class_indices = self.held_out_logits[validated], self.data.class_indices[validated]
        temperature = classification_metrics.fit_temperature(logits, class_indices) if validated.any() else 1.0
        weights, bias = self.head[-1]
        head = [*self.head[:-1], (weights / temperature, bias / temperature)]
        figures: dict[str, Any] = {
            "pictures": self.data.counts(),
            "settings": self.settings.to_dict(),
            "temperature": temperature,
            "curves": mean_curves(self.curves or [self.final_curve]),
            "digests": [item.digest[:12] for item in self.data.items],  # evaluation leaves these pictures out
        }
        if validated.any():
            scores = classification_metrics.bootstrap_intervals(logits.argmax(-1), class_indices, len(self.data.labels))
            figures["held_out"] = classification_metrics.intervals_to_dict(scores, len(class_indices))
        canvas_shape, side = self.settings.canvas_shape, self.settings.side
        return TrainingResult(
            model=TrainedClassifier(self.backbone, head, self.data.labels, canvas_shape, side, name, figures),
            curves=self.curves,
            final_curve=self.final_curve,
            held_out_logits=self.held_out_logits,
            fold_of_picture=self.fold_of_picture,
            heads=self.heads,
            seconds=self.seconds,
            stopped=self.stopped,
            notes=self.notes,
        )


def mean_curves(curves: Sequence[Sequence[Epoch]]) -> dict[str, list[list[float]]]:
    """[mean, standard deviation] of each figure for each epoch, over the folds that reached it.

    Returns:
        "loss", "accuracy", "validation_loss" and "validation_accuracy". The last two are NaN where a fold has no validation
        part.

    >>> mean_curves([[Epoch(1, loss=1.0, accuracy=0.5)], [Epoch(1, loss=3.0, accuracy=0.7)]])["loss"]
    [[2.0, 1.0]]
    """
    length = max(map(len, curves), default=0)
    means: dict[str, list[list[float]]] = {}
    for key in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        by_epoch = [
            [getattr(curve[number], key) for curve in curves if len(curve) > number] for number in range(length)
        ]
        means[key] = [[float(np.mean(values)), float(np.std(values))] for values in by_epoch]
    return means
