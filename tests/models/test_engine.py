"""How much goes through a network at a time, and that nothing but memory depends on it; the engine of TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

import models
from core import resources
from explain import explain
from models import engine, gradients
from tests.networks import picture, relative_gap, small_classifier, two_outputs


def test_as_many_as_are_quick_or_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.batch_size((224, 224, 3)) == engine.BATCH
    assert engine.batch_size((224, 224, 3), gradients.BATCH, gradients.BYTES_PER_PIXEL) == gradients.BATCH
    monkeypatch.setattr(resources, "MEMORY", 3 * engine.BYTES_PER_PIXEL * 100 * 200 + 1)
    assert engine.batch_size((100, 200, 3)) == 3
    assert engine.batch_size((200, 200, 3)) == 1
    assert engine.batch_size((2000, 2000, 3)) == 1  # there is no less than one
    assert engine.batch_size((100, 200, 3), most=2) == 2


@pytest.mark.parametrize("memory", [0, 2 << 20])
def test_answers_do_not_depend_on_it(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    classifier = models.load("mobilenet_v2")
    batch = np.random.default_rng(0).uniform(0, 255, (5, 64, 96, 3)).astype(np.float32)
    features, logits = classifier.forward(batch)
    methods = {"smoothgrad": {"samples": 6}, "integrated-gradients": {"steps": 6}, "rise": {"samples": 40}}
    maps = {
        name: explain(picture(), small_classifier("flat"), name, 1, **options).raw for name, options in methods.items()
    }
    monkeypatch.setattr(resources, "MEMORY", memory)
    assert engine.batch_size(batch.shape[1:]) < 5
    fewer = classifier.forward(batch)
    np.testing.assert_allclose(fewer[0], features, atol=1e-4 * features.std())
    np.testing.assert_allclose(fewer[1], logits, atol=1e-4 * logits.std())
    for name, options in methods.items():
        found = explain(picture(), small_classifier("flat"), name, 1, **options).raw
        np.testing.assert_allclose(found, maps[name], atol=1e-4 * np.abs(maps[name]).max())


def test_tensorflow_gives_what_keras_gives():
    network = two_outputs((32, 48))
    many = np.random.default_rng(6).uniform(0, 255, (35, 32, 48, 3)).astype(np.float32)
    for found, truth in zip(engine.TensorFlowEngine(network).forward(many), network(many), strict=True):
        assert found.shape == truth.shape
        assert relative_gap(found, truth) < 1e-5
