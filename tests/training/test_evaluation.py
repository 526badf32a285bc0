"""Evaluation: figures of known answers, the heatmaps of `explain`, and a report that loads nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from core.images import shrink
from explain import explain
from explain.render import overlay
from models import trained_head
from models.from_function import from_function
from models.trained_head import TrainedClassifier
from samples import PRACTICE
from training import dataset, evaluate, evaluation, report
from training.dataset import Dataset
from training.embeddings import embed
from training.evaluation import CORRUPTION_TITLES, Evaluation, corrupted_views
from training.trainer import fit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven thumbnails of each practice channel."""
    whole = dataset.load_dataset(PRACTICE, tmp_path_factory.mktemp("practice"))
    kept = [index for label in range(3) for index in np.flatnonzero(whole.class_indices == label)[:7].tolist()]
    return replace(whole, items=tuple(whole.items[index] for index in kept), groups=whole.groups[kept])


@pytest.fixture(scope="module")
def model(data: Dataset) -> TrainedClassifier:
    x = embed(models.load(), [item.pixels() for item in data.items], side=160)
    made = fit(models.load(), x, data.class_indices, data.labels, epochs=30, side=160, name="practice")
    made.figures["digests"] = [item.digest[:12] for item in data.items[:-9]]
    return made


def test_it_judges_what_it_was_not_trained_on(model: TrainedClassifier, data: Dataset) -> None:
    ticks: list[int] = []
    found = evaluation.evaluate(model, data, corrupt=False, advance=lambda: ticks.append(1))
    assert len(ticks) == len(found.items) == 9
    assert len(found.notes) == 1
    assert "12 pictures" in found.notes[0]
    assert "left out" in found.notes[0]
    model.figures["digests"] = [item.digest[:12] for item in data.items]
    everything = evaluation.evaluate(model, data, corrupt=False)
    assert len(everything.items) == 21
    assert "trained on all" in everything.notes[0]
    model.figures["digests"] = []
    facts = evaluation.evaluate(model, data, corrupt=False).to_dict()
    assert facts["accuracy"]["value"] == facts["macro_f1"]["value"] == 1
    assert facts["confusion"] == (7 * np.eye(3, dtype=int)).tolist()
    assert facts["mistakes"] == []
    assert facts["heat_on_padding"] == 0


def test_figures_of_known_answers() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    logits = np.where(np.eye(2)[[0, 0, 1, 1, 1, 1, 0, 1]] > 0, 2.0, 0.0)
    logits[2] = 0, 5  # the surer of the two mistakes
    items = tuple(
        dataset.DatasetPicture(Path(f"{n}.png"), f"{n}.png", int(t), "test", "", np.zeros(0))
        for n, t in enumerate(truth)
    )
    distorted = np.stack([logits, -logits], axis=1)[:, [0] * 6 + [1]]
    found = Evaluation("m", ("a", "b"), items, truth, logits, np.full(8, 0.25), distorted)
    facts = found.to_dict()
    assert facts["accuracy"]["value"] == 0.75
    assert facts["confusion"] == [[2, 1], [1, 4]]
    assert facts["classes"]["a"] == pytest.approx({"pictures": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert [one["picture"] for one in facts["mistakes"]] == ["2.png", "6.png"]
    assert facts["heat_on_padding"] == 0.25
    assert found.accuracy_by_corruption() == {**dict.fromkeys(CORRUPTION_TITLES[:6], 0.75), CORRUPTION_TITLES[6]: 0.25}
    assert json.loads(json.dumps(facts)) == facts


def test_rates_of_a_class_that_is_missed_and_a_class_that_is_overpredicted() -> None:
    """Of four pictures of a, two are classified as b; all three of b are classified correctly."""
    truth, predicted = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1, 1])
    items = tuple(dataset.DatasetPicture(Path(), "", int(index), "test", "", np.zeros(0)) for index in truth)
    facts = Evaluation("m", ("a", "b"), items, truth, np.eye(2)[predicted], np.zeros(7)).to_dict()
    assert facts["confusion"] == [[2, 2], [0, 3]]
    assert facts["classes"]["a"] == pytest.approx({"pictures": 4, "precision": 1, "recall": 1 / 2, "f1": 2 / 3})
    assert facts["classes"]["b"] == pytest.approx({"pictures": 3, "precision": 3 / 5, "recall": 1, "f1": 3 / 4})


def test_photographs_of_a_screen_are_repeatable_and_of_the_size_of_the_picture(data: Dataset) -> None:
    pixels = data.items[0].pixels()
    once, again = (corrupted_views(pixels, np.random.default_rng(1)) for _ in range(2))
    assert len(once) == len(CORRUPTION_TITLES)
    assert all(np.array_equal(a, b) and a.shape == pixels.shape for a, b in zip(once, again, strict=True))


def test_the_evidence_is_what_explain_shows(model: TrainedClassifier, data: Dataset) -> None:
    square = TrainedClassifier(models.load(), model.layers, data.labels, "square", 160)
    few = replace(data, items=data.items[:3])
    shares = [explain(item.pixels(), square, "grad-cam", item.class_index).padding_share for item in few.items]
    assert min(shares) > 0
    assert evaluation.evaluate(square, few, corrupt=False).padding == pytest.approx(shares, abs=1e-5)
    pixels = data.items[0].pixels()
    for class_index, view in enumerate(report.heatmap_overlays(square, pixels, range(3))):
        heatmap = explain(pixels, square, "grad-cam", class_index).heatmap
        assert view.shape == (180, 320, 3)
        assert np.array_equal(view, shrink(overlay(pixels, heatmap, "viridis", 0.55), report.WIDTH))


def test_the_report_needs_nothing_but_itself(model: TrainedClassifier, data: Dataset, tmp_path: Path) -> None:
    found = evaluation.evaluate(
        model, replace(data, labels=(data.labels[1], data.labels[0], data.labels[2])), corrupt=True
    )
    assert found.to_dict()["accuracy"]["value"] == pytest.approx(1 / 3)  # two classes were given each other's names
    curves = {name: [[1.0, 0.1], [0.5, 0.2]] for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")}
    text = report.render_report(found, lambda _: model, curves)
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "http" not in text
    assert text.count("data:image/jpeg;base64,") == 3 * 14
    assert text.count("<svg") == 3
    assert "Crumb &amp; Co" in text
    assert "&lt;" in report.render_confusion_matrix(("<script>", "b"), np.eye(2, dtype=int))


def test_the_command_line(model: TrainedClassifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained_head.save(model, tmp_path / "m.npz")
    assert evaluate.main([str(tmp_path / "m.npz"), str(tmp_path / "nowhere")]) == 2
    assert "There is no" in capsys.readouterr().err
    assert evaluate.main([str(tmp_path / "m.npz"), str(PRACTICE), "--report", str(tmp_path / "out")]) == 0
    facts = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert facts["pictures"] == 72
    assert facts["accuracy"]["value"] > 0.95
    assert set(facts["accuracy_when_photographed"]) == set(CORRUPTION_TITLES)
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_model_without_a_map_and_without_gradients_is_evaluated(data: Dataset, tmp_path: Path) -> None:
    """With padding too: its share is left out, and the misclassified pictures are shown with occlusion."""
    kept = (*data.items[:2], *data.items[7:9], *data.items[14:16])
    few = replace(data, items=kept, groups=data.groups[: len(kept)])
    classifier = from_function(lambda pixels: pixels.mean((1, 2)), data.labels, (32, 32), fit="letterbox")
    found = evaluation.evaluate(classifier, few, corrupt=False)
    assert np.isnan(found.padding).all()
    facts = found.to_dict()
    assert facts["heat_on_padding"] is None
    assert facts["mistakes"]
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert not any("padding" in line for line in evaluate.evaluation_table(found))
    html = report.render_report(found, lambda _: classifier, None)
    assert "Heat on padding" not in html
    assert html.count("data:image") >= 3
