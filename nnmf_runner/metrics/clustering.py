"""How well the codes fall into the classes of the labels, whatever the names of the clusters."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq
from scipy.spatial.distance import cdist

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.metrics.topics import or_one

Labels = NDArray[np.intp]

# k-means: equal codes give equal clusters, so its random numbers do not come from the seed of a run.
SEED = 0
RESTARTS = 10
MOST_ITERATIONS = 100
# What bounds the time: centroids are fitted to no more samples than these, from fewer starts where all of them need
# more products an iteration than those, and more clusters are not worth the wait.
MOST_SAMPLES = 10_000
MOST_PRODUCTS = 2_000_000_000
MOST_CLUSTERS = 1000
# Directions that agree to these decimals are one: rounding must not tell samples or restarts apart.
DECIMALS = 12


@dataclass(frozen=True)
class Agreement:
    """Purity, normalised mutual information and adjusted Rand index, each one for perfect agreement."""

    purity: float
    nmi: float
    ari: float


def agreement(clusters: Labels, labels: Labels) -> Agreement:
    """Compare a clustering with labels, both of shape (n,); columns without a label, which is -1, do not count.

    References
    ----------
    C. D. Manning, P. Raghavan and H. Schuetze, "Introduction to Information Retrieval", 2008, section 16.3, for
    purity and mutual information (normalised by the mean entropy); L. Hubert and P. Arabie, "Comparing
    partitions", J. Classification 2, 1985, for the index.
    """
    labelled = labels >= 0
    table = contingency(clusters[labelled], labels[labelled])
    return Agreement(float(table.max(axis=1).sum() / table.sum()), _nmi(table), _ari(table))


def direction_clusters(codes: Matrix, n_clusters: int) -> Labels:
    """Clusters of the columns by k-means on their directions, shape (n,).

    The best of `RESTARTS` starts counts (of fewer for large problems), on at most `MOST_SAMPLES` columns drawn by a
    fixed seed; then every column joins the nearest centroid.  Columns are scaled to unit length, zeros stay.  There
    are fewer clusters where fewer columns differ.  The codes, of shape (k, n), are those of topics of unit length, see
    `nnmf_runner.metrics.topics.in_unit_topics`.

    References
    ----------
    D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007, for the starts and
    their greedy variant.
    """
    rng, points = np.random.default_rng(SEED), _directions(codes)
    few = len(points) <= MOST_SAMPLES
    sample = points if few else points[np.sort(rng.choice(len(points), MOST_SAMPLES, replace=False))]
    n_clusters = min(n_clusters, len(np.unique(sample, axis=0)))
    best, least = sample[:1], np.inf
    for _ in range(max(1, min(RESTARTS, MOST_PRODUCTS // (sample.size * n_clusters)))):
        centroids = _centroids(sample, n_clusters, rng)
        distortion = float((vq(sample, centroids)[1] ** 2).sum())
        if distortion < least * (1.0 - 1e-9):  # by more than rounding
            best, least = centroids, distortion
    return vq(points, best)[0].astype(np.intp)


def _directions(codes: Matrix) -> Matrix:
    """Columns as rows of unit length, shape (n, k); zeros stay."""
    points = np.array(codes.T, dtype=float, order="C")
    points /= or_one(np.abs(points).max(axis=1, keepdims=True))  # so that no square overflows or vanishes
    points /= or_one(np.linalg.norm(points, axis=1, keepdims=True))
    return np.round(points, DECIMALS)


def _centroids(points: Matrix, n_clusters: int, rng: np.random.Generator) -> Matrix:
    """Centroids of one run of k-means, until no point changes its cluster."""
    centroids, clusters = _seeds(points, n_clusters, rng), np.full(len(points), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its centroid, another start may be better
        for _ in range(MOST_ITERATIONS):
            before = clusters
            centroids, clusters = kmeans2(points, centroids, iter=1, minit="matrix")
            if np.array_equal(before, clusters):
                break
    return centroids


def _seeds(points: Matrix, n_clusters: int, rng: np.random.Generator) -> Matrix:
    """Points to start from, by k-means++ that takes the best of several draws at every step.

    With single draws, as in scipy, the best of many starts still misses some of twenty clear clusters.
    """
    n_draws = 2 + int(np.log(n_clusters))
    seeds = [points[rng.integers(len(points))]]
    left = cdist(seeds, points, "sqeuclidean")[0]  # (n,), the squared distance to the nearest seed
    for _ in range(1, n_clusters):
        drawn = points[rng.choice(len(points), n_draws, p=left / left.sum())]
        lefts = np.minimum(left, cdist(drawn, points, "sqeuclidean"))  # (n_draws, n)
        best = lefts.sum(axis=1).argmin()
        seeds.append(drawn[best])
        left = lefts[best]
    return np.array(seeds)


def contingency(clusters: Labels, labels: Labels) -> NDArray[np.floating]:
    """Number of columns in each cluster and class, shape (clusters, classes)."""
    _, rows = np.unique(clusters, return_inverse=True)
    _, columns = np.unique(labels, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1.0)
    return table


def _entropy(p: NDArray[np.floating]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _nmi(table: NDArray[np.floating]) -> float:
    joint = table / table.sum()
    rows, columns = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    if rows + columns == 0:  # one cluster and one class agree
        return 1.0
    return max(0.0, 2.0 * (rows + columns - _entropy(joint.ravel())) / (rows + columns))


def _ari(table: NDArray[np.floating]) -> float:
    def pairs(counts: NDArray[np.floating]) -> float:
        return float((counts * (counts - 1.0) / 2.0).sum())

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(1.0, pairs(np.array([table.sum()])))
    largest = (rows + columns) / 2.0
    return 1.0 if largest == expected else (together - expected) / (largest - expected)
