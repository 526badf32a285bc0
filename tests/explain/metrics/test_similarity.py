"""Similarity of maps: against SciPy, and against what holds by definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from explain.metrics import similarity
from models.geometry import resample


def test_spearman_is_scipys_with_ties_too() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        first, second = rng.integers(0, 5, 40).astype(float), rng.normal(size=40)
        assert similarity.spearman(first, second) == pytest.approx(stats.spearmanr(first, second)[0], abs=1e-9)
    assert similarity.spearman(np.ones(5), np.arange(5.0)) == 0


def test_top_overlap() -> None:
    first = np.arange(100.0).reshape(10, 10)
    assert similarity.top_overlap(first, first) == 1
    assert similarity.top_overlap(first, -first) == 0
    assert similarity.top_overlap(first, np.roll(first, 5), share=0.1) == 0.5


def test_agreement_of_maps() -> None:
    rng = np.random.default_rng(8)
    first = rng.random((40, 60)).astype(np.float32)
    same = similarity.agreement(first, first)
    assert (same.spearman, same.ssim, same.overlap) == (pytest.approx(1), pytest.approx(1), 1)
    opposite = similarity.agreement(first, 1 - first)
    assert opposite.spearman == pytest.approx(-1)
    assert opposite.ssim < 0
    assert opposite.overlap == 0
    assert similarity.agreement(first, first**3).spearman == pytest.approx(1)  # ranks know no scale
    assert similarity.agreement(first, first**3).ssim < 1
    other = rng.random((40, 60)).astype(np.float32)
    result = similarity.agreement(first, other)
    assert result.spearman == pytest.approx(stats.spearmanr(first.ravel(), other.ravel())[0], abs=1e-9)
    assert result.overlap == similarity.top_overlap(first, other)
    empty = np.zeros((40, 60), np.float32)
    assert similarity.agreement(empty, empty) == similarity.Agreement(1, 1, 1)
    assert similarity.agreement(empty, first).spearman == 0


def test_agreement_hardly_depends_on_the_pictures_size() -> None:
    small = [np.random.default_rng(seed).random((7, 9)) for seed in (0, 1)]
    result = [
        similarity.agreement(*(resample(heatmap, size) for heatmap in small)) for size in ((180, 224), (900, 1120))
    ]
    assert result[0].spearman == pytest.approx(result[1].spearman, abs=0.01)
    assert result[0].ssim == pytest.approx(result[1].ssim, abs=0.02)
    assert result[0].overlap == pytest.approx(result[1].overlap, abs=0.02)


def test_agreements_are_those_of_all_pairs() -> None:
    maps = {name: np.random.default_rng(seed).random((20, 30)) for seed, name in enumerate("abc")}
    result = similarity.agreements(maps)
    assert list(result) == [("a", "b"), ("a", "c"), ("b", "c")]
    for (first, second), agreement in result.items():
        assert agreement == similarity.agreement(maps[first], maps[second])
