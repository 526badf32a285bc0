"""Evaluate a trained classifier on pictures it was not trained on: `python -m training.evaluate MODEL DIR --report OUT`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from core.corruptions import CORRUPTIONS
from core.folders import Excluded
from explain.methods.cam import grad_cam
from explain.registry import METHODS
from explain.view import View
from models.capabilities import lacks
from models.classifier import Classifier
from models.trained_head import TrainedClassifier
from training import classification_metrics
from training.cross_validation import TrainingResult
from training.dataset import Dataset, DatasetPicture

SINGLE_CORRUPTIONS = ("perspective", "blur", "gaussian-noise", "glare", "moire", "zoom")
PHOTOGRAPH = ("moire", "glare", "zoom", "perspective", "blur", "gaussian-noise")  # from the screen to the sensor
CORRUPTION_TITLES = (*SINGLE_CORRUPTIONS, "all together")


def corrupted_views(pixels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The picture under each corruption of CORRUPTION_TITLES.

    Each of SINGLE_CORRUPTIONS has full severity. The last view imitates a photograph of a screen: all of PHOTOGRAPH one
    after the other, each with a random severity.
    """
    views = [CORRUPTIONS[name](pixels, 1.0, rng) for name in SINGLE_CORRUPTIONS]
    for name in PHOTOGRAPH:
        pixels = CORRUPTIONS[name](pixels, rng.uniform(), rng)
    return [*views, pixels]


@dataclass(frozen=True)
class Evaluation:
    """The answers of a classifier to labelled pictures, and their figures.

    `truth` (N,): true classes. `logits` (N, classes). `padding` (N,): the share of the heatmap of the true class that lies
    on padding. `corrupted_logits` (N, len(CORRUPTION_TITLES), classes): logits under each corruption, or None. `notes`: how
    to read the figures, one sentence each. `excluded`: what is left out of the data set.
    """

    model: str
    labels: tuple[str, ...]
    items: tuple[DatasetPicture, ...]
    truth: np.ndarray
    logits: np.ndarray
    padding: np.ndarray
    corrupted_logits: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()

    @property
    def predicted(self) -> np.ndarray:
        """The predicted class of each picture (N,)."""
        return self.logits.argmax(-1)

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each class (N, classes)."""
        return np.asarray(softmax(self.logits, axis=-1))

    @property
    def confusion(self) -> np.ndarray:
        """Counts (classes, classes), one row per true class and one column per predicted class."""
        from sklearn.metrics import confusion_matrix

        return np.asarray(confusion_matrix(self.truth, self.predicted, labels=range(len(self.labels))))

    def mistakes(self) -> list[int]:
        """Indices of the misclassified pictures, the most confident first."""
        confidence = self.probabilities.max(-1)
        return sorted(np.flatnonzero(self.predicted != self.truth).tolist(), key=lambda index: -confidence[index])

    def accuracy_by_corruption(self) -> dict[str, float]:
        """Accuracy under each corruption, in [0, 1]; empty where none was tested."""
        if self.corrupted_logits is None:
            return {}
        accuracies = (self.corrupted_logits.argmax(-1) == self.truth[:, None]).mean(0)
        return dict(zip(CORRUPTION_TITLES, accuracies.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """All figures, JSON-ready."""
        intervals = classification_metrics.bootstrap_intervals(self.predicted, self.truth, len(self.labels))
        return {
            "model": self.model,
            **classification_metrics.intervals_to_dict(intervals, len(self.items)),
            "classes": self._class_figures(),
            "confusion": self.confusion.tolist(),
            "calibration": calibration(self.logits, self.truth),
            "heat_on_padding": None if np.isnan(self.padding).all() else float(self.padding.mean()),
            "accuracy_when_photographed": self.accuracy_by_corruption(),
            "mistakes": [
                {
                    "picture": self.items[index].name,
                    "true": self.labels[self.truth[index]],
                    "predicted": self.labels[self.predicted[index]],
                }
                for index in self.mistakes()
            ],
            "notes": list(self.notes),
            "left_out": [[entry.name, entry.reason] for entry in self.excluded],
        }

    def _class_figures(self) -> dict[str, dict[str, Any]]:
        """Pictures, precision, recall and F1 of each class."""
        from sklearn.metrics import precision_recall_fscore_support

        columns = precision_recall_fscore_support(
            self.truth, self.predicted, labels=range(len(self.labels)), zero_division=0
        )
        return {
            label: {"pictures": int(support), "precision": float(precision), "recall": float(recall), "f1": float(f1)}
            for label, precision, recall, f1, support in zip(self.labels, *columns, strict=True)
        }


def calibration(logits: np.ndarray, truth: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How well the probabilities match the accuracy.

    Args:
        logits: (N, classes).
        truth: True classes (N,).
        seed: Seed of the random halves.

    Returns:
        "ece": the expected calibration error. "temperature": the best one for these logits. "ece_after_temperature": the
        error after scaling; the temperature of each random half comes from the other half.
    """
    before = classification_metrics.expected_calibration_error(softmax(logits, axis=-1), truth)
    order = np.random.default_rng(seed).permutation(len(truth))
    halves = np.array_split(order, 2)
    scaled = logits.astype(np.float64).copy()
    if min(map(len, halves)):
        for half, other in (halves, halves[::-1]):
            scaled[half] /= classification_metrics.fit_temperature(logits[other], truth[other])
    after = classification_metrics.expected_calibration_error(softmax(scaled, axis=-1), truth)
    return {
        "ece": before,
        "temperature": classification_metrics.fit_temperature(logits, truth),
        "ece_after_temperature": after,
    }


def padding_share(view: View, class_index: int) -> float:
    """The share of the Grad-CAM heatmap of a class that lies on padding, in [0, 1]; NaN for a model without a map."""
    if not view.geometry.padded:
        return 0.0
    if lacks(view.classifier, METHODS["grad-cam"].needs):
        return float("nan")
    return view.geometry.padding_share(grad_cam(view, view.classifier.objective(class_index)))


def evaluate(
    classifier: Classifier,
    data: Dataset,
    corrupt: bool = True,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Evaluate a classifier on every picture of a data set that it was not trained on.

    Where it was trained on all of them, all are used and a note says so.

    Args:
        classifier: The classifier to test. Its labels must contain the labels of `data`, in upper or lower case.
        data: The labelled pictures.
        corrupt: Whether to test the pictures under corruptions too. This takes eight times as long.
        seed: Seed of the random corruptions.
        advance: Called after each picture.

    Returns:
        The logits of every picture and the figures.

    Raises:
        UserError: The classifier does not have a class of `data`.

    >>> from models import load
    >>> from samples import PRACTICE
    >>> from training import embed, fit
    >>> from training.dataset import load_dataset
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = load_dataset(PRACTICE, folder)
    ...     embeddings = embed(load("mobilenet_v2"), [item.pixels() for item in data.items], side=64)
    ...     classifier = fit(load("mobilenet_v2"), embeddings, data.class_indices, data.labels, side=64)
    ...     evaluation = evaluate(classifier, data, corrupt=False)
    >>> evaluation.confusion.sum(1)
    array([24, 24, 24])
    """
    class_index = {index: classifier.index(label) for index, label in enumerate(data.labels)}
    items, notes = _unseen_items(classifier, data)
    logits, padding = [], []
    for item in items:
        pixels = item.pixels()
        geometry = classifier.geometry(pixels.shape[:2])
        views = [pixels]
        if corrupt:
            views += corrupted_views(pixels, np.random.default_rng([seed, int(item.digest[:8], 16)]))
        canvases = np.stack([geometry.place(view) for view in views])
        features, view_logits = classifier.forward(canvases)
        view = View.from_forward_pass(classifier, geometry, canvases[0], features[0], view_logits[0])
        logits.append(view_logits)
        padding.append(padding_share(view, class_index[item.class_index]))
        advance()
    all_logits = np.stack(logits)
    return Evaluation(
        model=classifier.name,
        labels=classifier.labels,
        items=items,
        truth=np.array([class_index[item.class_index] for item in items]),
        logits=all_logits[:, 0],
        padding=np.array(padding),
        corrupted_logits=all_logits[:, 1:] if corrupt else None,
        notes=notes,
        excluded=data.excluded,
    )


def _unseen_items(classifier: Classifier, data: Dataset) -> tuple[tuple[DatasetPicture, ...], tuple[str, ...]]:
    """The pictures that the classifier was not trained on, or all where there are no others; and notes about it."""
    trained_on = set(classifier.figures.get("digests", ())) if isinstance(classifier, TrainedClassifier) else set()
    unseen = tuple(item for item in data.items if item.digest[:12] not in trained_on)
    if not unseen:
        return data.items, (
            "The model was trained on all of these pictures: the figures are not valid for new pictures.",
        )
    count = len(data.items) - len(unseen)
    return unseen, (f"{count} pictures that the model was trained on are left out.",) if count else ()


def held_out_evaluation(
    backbone: Classifier, data: Dataset, result: TrainingResult
) -> tuple[Evaluation, list[TrainedClassifier]]:
    """Evaluate a training on the pictures that each fold held out.

    Args:
        backbone: The frozen network of the training.
        data: The pictures of the training.
        result: The training.

    Returns:
        The evaluation, and for each of its pictures the classifier of the fold that did not train on it.
    """
    model = result.model
    folds = [
        TrainedClassifier(backbone, head, data.labels, model.canvas_shape, model.side, model.name)
        for head in result.heads
    ]
    validated = np.flatnonzero(result.fold_of_picture >= 0)
    classifiers = [folds[result.fold_of_picture[index]] for index in validated]
    items = tuple(data.items[index] for index in validated)
    padding = []
    for item, classifier in zip(items, classifiers, strict=True):
        pixels = item.pixels()
        geometry = classifier.geometry(pixels.shape[:2])
        padding.append(padding_share(View(classifier, geometry, pixels), item.class_index) if geometry.padded else 0.0)
    evaluation = Evaluation(
        model=model.name,
        labels=data.labels,
        items=items,
        truth=data.class_indices[validated],
        logits=result.held_out_logits[validated],
        padding=np.array(padding),
        excluded=data.excluded,
        notes=(
            f"Each picture is classified by a model that was not trained on it (folds: {len(folds)}).",
            *result.notes,
        ),
    )
    return evaluation, classifiers
