"""How well a planted hierarchy was found."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nnmf_runner.core.linalg import Matrix, nearest
from nnmf_runner.datasets.modes import TensorTruth
from nnmf_runner.metrics.topics import or_one


def match_topics(topics: Matrix, truth: Matrix) -> tuple[NDArray[np.intp], float]:
    """Match found topics with true ones, each with one other, by the largest total cosine.

    Parameters
    ----------
    topics, truth : ndarray of shape (m, k) and (m, k_true)
        Topics as columns.

    Returns
    -------
    match : ndarray of shape (k,)
        The true topic of every found one, -1 where there are more found than true.
    cosine : float
        Mean cosine over the true topics; an unmatched one counts zero.

    References
    ----------
    H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Res. Logist. Quart. 2, 1955.
    """
    return _assigned(_unit(topics).T @ _unit(truth))


def _assigned(cosines: Matrix) -> tuple[NDArray[np.intp], float]:
    """The match of topics by their cosines, of shape (k, k_true), and the mean cosine, see `match_topics`."""
    found, true = linear_sum_assignment(cosines, maximize=True)
    match = np.full(len(cosines), -1)
    match[found] = true
    return match, float(cosines[found, true].sum() / cosines.shape[1])


def topic_recovery(topics: Matrix, truth: Sequence[Matrix]) -> float:
    """Mean cosine of the planted topics with those found, see `match_topics`; of the level with most nearly as many.

    Found topics have shape (m, k), the true factors shape (k_{l-1}, k_l).

    Examples
    --------
    >>> topic_recovery(np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]]), [np.eye(3)[:, :2]])
    1.0
    """
    level = nearest([planted.shape[1] for planted in truth], topics.shape[1])
    return match_topics(topics, functools.reduce(np.matmul, truth[: level + 1]))[1]


def tensor_topic_recovery(topics: Sequence[Matrix], truth: TensorTruth) -> float:
    """As `topic_recovery`, of topics with a factor in every mode of a tensor but that of the samples, shapes (d_i, k).

    The cosine of two topics is the product of those of their factors, which is that of the rank-one arrays.  Topics in
    terms of the fibres, shape (m, k), as methods for matrices find them, are compared with the planted ones unfolded.

    Examples
    --------
    >>> truth = TensorTruth([[np.eye(3)[:, :2], np.eye(2), np.eye(2)]], [])
    >>> tensor_topic_recovery([np.eye(3)[:, [1, 0]], np.array([[0.0, 2.0], [1.0, 0.0]])], truth)
    1.0
    """
    level = nearest([modes[0].shape[1] for modes in truth.factors], topics[0].shape[1])
    planted = truth.factors[level][:-1] if len(topics) > 1 else [truth.topics(level)]
    each = (_unit(found).T @ _unit(true) for found, true in zip(topics, planted, strict=True))
    return _assigned(functools.reduce(np.multiply, each))[1]


def tree_agreement(A: Sequence[Matrix], truth: Sequence[Matrix]) -> float | None:
    """Share of planted topics that are found below their planted parent, over all layers above the first.

    Parameters
    ----------
    A, truth : sequence of ndarray of shape (k_{l-1}, k_l)
        Found and true factors.  Where their ranks differ, a planted topic that no found one is matched with counts as
        not found.

    Returns
    -------
    float or None
        None for one layer, where a layer's rank is nearer to that of another planted level than to its own, or where
        the rows of a factor are not the topics below.

    Examples
    --------
    >>> truth = [np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])]
    >>> tree_agreement([np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 1.0]])], truth)
    1.0
    >>> tree_agreement([np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 1.0], [0.0, 1.0]])], truth)
    0.75
    """
    ranks = [a.shape[1] for a in A]
    if len(A) < 2 or [len(a) for a in A[1:]] != ranks[:-1]:
        return None
    planted_ranks = [planted.shape[1] for planted in truth]
    if [nearest(planted_ranks, rank) for rank in ranks] != list(range(len(A))):
        return None
    right: list[bool] = []
    topics, true_topics = A[0], truth[0]
    match, _ = match_topics(topics, true_topics)
    for found, planted in zip(A[1:], truth[1:], strict=False):
        below, above, true_topics = topics, topics @ found, true_topics @ planted
        # Between topics of unit length: what a topic weighs must not depend on how factors share scale.
        weights = found * _length(below)[:, None] / _length(above)
        parents, _ = match_topics(above, true_topics)
        matched = match >= 0
        right.extend(parents[weights[matched].argmax(axis=1)] == planted[match[matched]].argmax(axis=1))
        right.extend([False] * (len(planted) - matched.sum()))
        match, topics = parents, above
    return float(np.mean(right))


def _unit(M: Matrix) -> Matrix:
    return M / _length(M)


def _length(M: Matrix) -> Matrix:
    """Norms of the columns, one for a column of zeros."""
    return or_one(np.linalg.norm(M, axis=0))
