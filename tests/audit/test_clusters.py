"""Heatmaps fall into the clusters that were put into them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.neighbors import kneighbors_graph

from audit.clusters import cluster_heatmaps, most_typical


def test_heatmaps_of_two_kinds_fall_into_two_clusters() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((40, 5, 9)) * 0.1
    maps[:28, 0, :3] += 1
    maps[28:, 4, 6:] += 1
    clusters = cluster_heatmaps(maps)
    np.testing.assert_array_equal(clusters.labels, [0] * 28 + [1] * 12)
    np.testing.assert_allclose(clusters.eigenvalues[:2], 0, atol=1e-9)  # two components, two zeros
    similar = cluster_heatmaps(np.ones((20, 3, 3)) + 0.01 * rng.random((20, 3, 3)))
    assert similar.labels.max() <= 2
    assert most_typical(np.array([[[0.0]], [[1.0]], [[5.0]]]), 1).tolist() == [1]


@pytest.mark.parametrize("count", [8, 30, 90])
def test_eigenvalues_are_those_of_the_normalised_laplacian(count: int) -> None:
    """I - D^-1/2 W D^-1/2, written out."""
    maps = np.random.default_rng(count).random((count, 5, 9))
    flat = maps.reshape(count, -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    neighbours = min(count - 1, max(5, round(2 * np.log(count))))
    directed = kneighbors_graph(flat, neighbours, mode="connectivity").toarray()
    weights = (directed + directed.T) / 2
    scale = 1 / np.sqrt(weights.sum(1))
    expected = eigh(np.eye(count) - scale[:, None] * weights * scale, eigvals_only=True)
    values = cluster_heatmaps(maps).eigenvalues
    np.testing.assert_allclose(values, expected[: len(values)], rtol=0, atol=1e-9)


def test_too_few_heatmaps_are_one_cluster() -> None:
    assert cluster_heatmaps(np.random.default_rng(0).random((7, 2, 2))).labels.tolist() == [0] * 7
