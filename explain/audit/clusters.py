"""SpRAy: which ways of deciding there are in a class, by clustering its heatmaps (Lapuschkin et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

MOST = 8  # clusters that are looked for
FEWEST = 8  # maps under which there is nothing to cluster


@dataclass(frozen=True)
class Clusters:
    """`of` (n,): the cluster of each map, the largest first. `eigenvalues`: the smallest of the graph's Laplacian."""

    of: np.ndarray
    eigenvalues: np.ndarray


def cluster(maps: np.ndarray, seed: int = 0) -> Clusters:
    """Cluster maps (n, rows, columns) by the look of them.

    Spectral clustering (von Luxburg 2007): a graph of each map's nearest neighbours, the first eigenvectors of its
    normalised Laplacian, k-means on their rows (Ng, Jordan & Weiss 2002). The number of clusters, 1 to 8, is where the gap
    between successive eigenvalues is largest.
    """
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    count = len(maps)
    if count < FEWEST:
        return Clusters(np.zeros(count, int), np.zeros(min(count, 1)))
    flat = maps.reshape(count, -1).astype(np.float64)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    near = kneighbors_graph(flat, min(count - 1, max(5, round(2 * np.log(count)))), mode="connectivity").toarray()
    weights = (near + near.T) / 2
    scale = 1 / np.sqrt(weights.sum(1))
    laplacian = np.eye(count) - scale[:, None] * weights * scale
    wanted = min(MOST + 1, count)
    values, vectors = eigh(laplacian, subset_by_index=(0, wanted - 1))
    number = int(np.argmax(np.diff(values))) + 1
    if number == 1:
        return Clusters(np.zeros(count, int), values)
    rows = vectors[:, :number]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found = KMeans(number, n_init=5, random_state=seed).fit_predict(rows)
    order = np.argsort(-np.bincount(found, minlength=number), kind="stable")
    return Clusters(np.argsort(order)[found], values)


def typical(maps: np.ndarray, count: int = 6) -> np.ndarray:
    """The indices of the maps (n, rows, columns) that are nearest to their mean."""
    distance = ((maps - maps.mean(0)) ** 2).sum((1, 2))
    return np.argsort(distance, kind="stable")[:count]
