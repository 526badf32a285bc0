"""Evaluation: the figures of known answers, the evidence that explain gives too, and a report that needs nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from explain import explain
from models import dataset, evaluate, report, trained
from models.dataset import Dataset
from models.embeddings import embed
from models.evaluate import TITLES, Evaluation, photographed
from models.train import fit
from models.trained import Trained
from samples import PRACTICE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven thumbnails of each practice channel."""
    whole = dataset.load(PRACTICE, tmp_path_factory.mktemp("practice"))
    kept = [index for label in range(3) for index in np.flatnonzero(whole.targets == label)[:7].tolist()]
    return replace(whole, items=tuple(whole.items[index] for index in kept), groups=whole.groups[kept])


@pytest.fixture(scope="module")
def model(data: Dataset) -> Trained:
    x = embed(models.load(), [item.pixels() for item in data.items], side=160)
    made = fit(models.load(), x, data.targets, data.labels, epochs=30, side=160, name="practice")
    made.figures["digests"] = [item.digest[:12] for item in data.items[:-9]]
    return made


def test_it_judges_what_it_was_not_trained_on(model: Trained, data: Dataset) -> None:
    ticks: list[int] = []
    found = evaluate.evaluate(model, data, distort=False, advance=lambda: ticks.append(1))
    assert len(ticks) == len(found.items) == 9
    assert found.notes == ("12 pictures that it was trained on are left out.",)
    model.figures["digests"] = [item.digest[:12] for item in data.items]
    everything = evaluate.evaluate(model, data, distort=False)
    assert len(everything.items) == 21
    assert "trained on all" in everything.notes[0]
    model.figures["digests"] = []
    facts = evaluate.evaluate(model, data, distort=False).facts()
    assert facts["accuracy"]["value"] == facts["macro_f1"]["value"] == 1
    assert facts["confusion"] == (7 * np.eye(3, dtype=int)).tolist()
    assert facts["mistakes"] == []
    assert facts["heat_on_padding"] == 0


def test_figures_of_known_answers() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    logits = np.where(np.eye(2)[[0, 0, 1, 1, 1, 1, 0, 1]] > 0, 2.0, 0.0)
    logits[2] = 0, 5  # the surer of the two mistakes
    items = tuple(
        dataset.Item(Path(f"{n}.png"), f"{n}.png", int(t), "test", "", np.zeros(0)) for n, t in enumerate(truth)
    )
    distorted = np.stack([logits, -logits], axis=1)[:, [0] * 6 + [1]]
    found = Evaluation("m", ("a", "b"), items, truth, logits, np.full(8, 0.25), distorted)
    facts = found.facts()
    assert facts["accuracy"]["value"] == 0.75
    assert facts["confusion"] == [[2, 1], [1, 4]]
    assert facts["classes"]["a"] == pytest.approx({"pictures": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert [one["picture"] for one in facts["mistakes"]] == ["2.png", "6.png"]
    assert facts["heat_on_padding"] == 0.25
    assert found.stress() == {**dict.fromkeys(TITLES[:6], 0.75), TITLES[6]: 0.25}
    assert json.loads(json.dumps(facts)) == facts


def test_photographs_of_a_screen_are_repeatable_and_of_the_size_of_the_picture(data: Dataset) -> None:
    pixels = data.items[0].pixels()
    once, again = (photographed(pixels, np.random.default_rng(1)) for _ in range(2))
    assert len(once) == len(TITLES)
    assert all(np.array_equal(a, b) and a.shape == pixels.shape for a, b in zip(once, again, strict=True))


def test_the_evidence_is_what_explain_shows(model: Trained, data: Dataset) -> None:
    pixels = data.items[0].pixels()
    features = model.forward(model.geometry(pixels.shape[:2]).place(pixels)[None])[0][0]
    assert evaluate.heat(model, features, 1) == pytest.approx(explain(pixels, model, "grad-cam", 1).raw, abs=1e-5)


def test_the_report_needs_nothing_but_itself(model: Trained, data: Dataset, tmp_path: Path) -> None:
    found = evaluate.evaluate(
        model, replace(data, labels=(data.labels[1], data.labels[0], data.labels[2])), distort=True
    )
    assert found.facts()["accuracy"]["value"] == pytest.approx(1 / 3)  # two classes were given each other's names
    curves = {name: [[1.0, 0.1], [0.5, 0.2]] for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")}
    text = report.page(found, lambda _: model, curves)
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "http" not in text
    assert text.count("data:image/jpeg;base64,") == 3 * 14
    assert text.count("<svg") == 3
    assert "Crumb &amp; Co" in text
    assert "&lt;" in report.confusion(("<script>", "b"), np.eye(2, dtype=int))


def test_the_command_line(model: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained.save(model, tmp_path / "m.npz")
    assert evaluate.main([str(tmp_path / "m.npz"), str(tmp_path / "nowhere")]) == 1
    assert "There is no" in capsys.readouterr().err
    assert evaluate.main([str(tmp_path / "m.npz"), str(PRACTICE), "--report", str(tmp_path / "out")]) == 0
    facts = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert facts["pictures"] == 72
    assert facts["accuracy"]["value"] > 0.95
    assert set(facts["accuracy_when_photographed"]) == set(TITLES)
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
