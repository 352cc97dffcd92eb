"""How well the largest code of every column agrees with its label, whatever the names of the clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Agreement:
    """Purity, normalised mutual information and adjusted Rand index, each one for perfect agreement."""

    purity: float
    nmi: float
    ari: float


def agreement(clusters: Labels, labels: Labels) -> Agreement:
    """Compare a clustering with labels.

    Parameters
    ----------
    clusters, labels : ndarray of int, shape (n,)

    References
    ----------
    C. D. Manning, P. Raghavan and H. Schuetze, "Introduction to Information Retrieval", 2008, section 16.3, for
    purity and mutual information (normalised by the mean entropy); L. Hubert and P. Arabie, "Comparing
    partitions", J. Classification 2, 1985, for the index.
    """
    table = contingency(clusters, labels)
    return Agreement(float(table.max(axis=1).sum() / table.sum()), _nmi(table), _ari(table))


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
