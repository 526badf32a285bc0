"""Strategy clusters: groups of similar heatmaps within one class.

Spectral relevance analysis (SpRAy), Lapuschkin et al. 2019, https://doi.org/10.1038/s41467-019-08987-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_CLUSTERS = 8  # a reader can compare so many groups of heatmaps
MIN_MAPS = 8  # with fewer maps all of them form one cluster


@dataclass(frozen=True)
class Clusters:
    """`labels` (n,): the cluster of each map; 0 is the largest. `eigenvalues`: the smallest of the Laplacian, ascending."""

    labels: np.ndarray
    eigenvalues: np.ndarray


def cluster_heatmaps(maps: np.ndarray, seed: int = 0) -> Clusters:
    """Cluster maps (n, rows, columns) by their similarity.

    Spectral clustering (von Luxburg 2007, https://arxiv.org/abs/0711.0189): a graph joins each map with its nearest
    neighbours. K-means groups the rows of the first eigenvectors of its normalised Laplacian. The number of clusters, 1 to
    MAX_CLUSTERS, is where the gap between successive eigenvalues is largest.
    """
    from scipy.linalg import eigh
    from scipy.sparse.csgraph import laplacian
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    count = len(maps)
    if count < MIN_MAPS:
        return Clusters(np.zeros(count, int), np.zeros(min(count, 1)))
    flat = _unit_rows(maps.reshape(count, -1).astype(np.float64))
    neighbours = min(count - 1, max(5, round(2 * np.log(count))))
    directed = kneighbors_graph(flat, neighbours, mode="connectivity").toarray()
    graph = laplacian((directed + directed.T) / 2, normed=True)
    values, vectors = eigh(graph, subset_by_index=(0, min(MAX_CLUSTERS + 1, count) - 1))
    number = int(np.argmax(np.diff(values))) + 1
    if number == 1:
        return Clusters(np.zeros(count, int), values)
    groups = KMeans(number, n_init=5, random_state=seed).fit_predict(_unit_rows(vectors[:, :number]))
    order = np.argsort(-np.bincount(groups, minlength=number), kind="stable")
    return Clusters(np.argsort(order)[groups], values)


def most_typical(maps: np.ndarray, count: int = 6) -> np.ndarray:
    """The indices of the maps (n, rows, columns) nearest to their mean, nearest first."""
    distance = ((maps - maps.mean(0)) ** 2).sum((1, 2))
    return np.argsort(distance, kind="stable")[:count]


def _unit_rows(values: np.ndarray) -> np.ndarray:
    """Rows (n, k) divided by their Euclidean length."""
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
