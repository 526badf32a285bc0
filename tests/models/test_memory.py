"""How much goes through a network at a time, and that nothing but memory depends on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import models
from explain import explain
from models import engine, gradient
from tests.explain.nets import from_keras, picture


def test_as_many_as_are_quick_or_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.at_once((224, 224, 3)) == engine.BATCH
    assert engine.at_once((224, 224, 3), gradient.BATCH, gradient.PIXEL) == gradient.BATCH
    monkeypatch.setattr(engine, "MEMORY", 3 * engine.PIXEL * 100 * 200 + 1)
    assert engine.at_once((100, 200, 3)) == 3
    assert engine.at_once((200, 200, 3)) == 1
    assert engine.at_once((2000, 2000, 3)) == 1  # there is no less than one
    assert engine.at_once((100, 200, 3), most=2) == 2


@pytest.mark.parametrize("memory", [0, 2 << 20])
def test_answers_do_not_depend_on_it(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    classifier = models.load("mobilenet_v2")
    batch = np.random.default_rng(0).uniform(0, 255, (5, 64, 96, 3)).astype(np.float32)
    features, logits = classifier.forward(batch)
    methods = {"smoothgrad": {"samples": 6}, "integrated-gradients": {"steps": 6}, "rise": {"samples": 40}}
    maps = {name: explain(picture(), from_keras("flat"), name, 1, **options).raw for name, options in methods.items()}
    monkeypatch.setattr(engine, "MEMORY", memory)
    assert engine.at_once(batch.shape[1:]) < 5
    fewer = classifier.forward(batch)
    np.testing.assert_allclose(fewer[0], features, atol=1e-4 * features.std())
    np.testing.assert_allclose(fewer[1], logits, atol=1e-4 * logits.std())
    for name, options in methods.items():
        found = explain(picture(), from_keras("flat"), name, 1, **options).raw
        np.testing.assert_allclose(found, maps[name], atol=1e-4 * np.abs(maps[name]).max())


@pytest.mark.parametrize(
    ("limit", "most"),
    [("150000 100000", 2), ("100000 100000", 1), ("20000 100000", 1), ("max 100000", 10**6), ("", 10**6)],
)
def test_cores_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    monkeypatch.setattr(engine.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(limit)
    assert engine.cores(quota) == min(8, most)
    assert engine.cores(tmp_path / "none") == 8
    monkeypatch.setenv("THUMBSCOPE_THREADS", "3")
    assert engine.cores(quota) == 3
