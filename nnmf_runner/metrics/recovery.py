"""How well a planted hierarchy was found."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nnmf_runner.core.linalg import Matrix, nearest
from nnmf_runner.datasets import Dataset
from nnmf_runner.metrics.topics import or_one

# Topics in every mode of a tensor, shapes (d_i, k), a topic being the outer product of its columns; of a matrix, one.
Modes = Sequence[Matrix]


@dataclass(frozen=True)
class Planted:
    """A planted hierarchy of topics.

    Attributes
    ----------
    topics : list of list of ndarray of shape (d_i, k_l)
        By level, finest first, and by mode.
    parents : list of ndarray of int, shape (k_l,)
        Topic above of every topic, of all levels but the last.
    """

    topics: Sequence[Modes]
    parents: Sequence[NDArray[np.intp]]

    @classmethod
    def of(cls, dataset: Dataset, *, by_mode: bool) -> Planted | None:
        """What is planted in data, if anything is; in a tensor by mode but for the samples, or else as its fibres."""
        if dataset.truth:
            return cls.of_factors(dataset.truth.A)
        if (truth := dataset.tensor_truth) is None:
            return None
        levels = range(len(truth.factors))
        return cls([truth.factors[i][:-1] if by_mode else [truth.topics(i)] for i in levels], truth.parents)

    @classmethod
    def of_factors(cls, A: Sequence[Matrix]) -> Planted:
        """The hierarchy that the factors of a matrix make up, shapes (k_{l-1}, k_l)."""
        return cls([[topics] for topics in itertools.accumulate(A, np.matmul)], [a.argmax(axis=1) for a in A[1:]])


def topic_cosines(topics: Modes, others: Modes) -> Matrix:
    """Cosines of all topics with all others, shape (k, k_other), over the modes as outer products have them."""
    by_mode = (_unit(F).T @ _unit(G) for F, G in zip(topics, others, strict=True))
    return functools.reduce(np.multiply, by_mode)


def match_topics(topics: Modes, truth: Modes) -> tuple[NDArray[np.intp], float]:
    """Match found topics with true ones, each with one other, by the largest total cosine.

    Parameters
    ----------
    topics, truth : sequence of ndarray of shape (d_i, k) and (d_i, k_true)
        Topics as columns, by mode.

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
    cosines = topic_cosines(topics, truth)
    found, true = linear_sum_assignment(cosines, maximize=True)
    match = np.full(len(cosines), -1)
    match[found] = true
    return match, float(cosines[found, true].sum() / cosines.shape[1])


def topic_recovery(topics: Modes, planted: Planted) -> float:
    """Mean cosine of the planted topics with those found, see `match_topics`; of the level with most nearly as many.

    Examples
    --------
    >>> topic_recovery([np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])], Planted([[np.eye(3)[:, :2]]], []))
    1.0
    """
    level = nearest(_ranks(planted.topics), topics[0].shape[1])
    return match_topics(topics, planted.topics[level])[1]


def tree_agreement(topics: Sequence[Modes], links: Sequence[Matrix], planted: Planted) -> float | None:
    """Share of planted topics that are found below their planted parent, over all layers above the first.

    Parameters
    ----------
    topics : sequence of sequence of ndarray of shape (d_i, k_l)
        By layer and mode.
    links : sequence of ndarray of shape (k_{l-1}, k_l)
        What the topics of every layer but the first are made of.
    planted : Planted
        Where its ranks differ from those found, a planted topic that no found one is matched with counts as not found.

    Returns
    -------
    float or None
        None for one layer, where a layer's rank is nearer to that of another planted level than to its own, or where
        the rows of a factor are not the topics below.

    Examples
    --------
    >>> truth = [np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])]
    >>> def agreement(*A):
    ...     return tree_agreement(Planted.of_factors(A).topics, A[1:], Planted.of_factors(truth))
    >>> agreement(np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 1.0]]))
    1.0
    >>> agreement(np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 1.0], [0.0, 1.0]]))
    0.75
    """
    ranks = _ranks(topics)
    if len(ranks) < 2 or [len(link) for link in links] != ranks[:-1]:
        return None
    if [nearest(_ranks(planted.topics), rank) for rank in ranks] != list(range(len(ranks))):
        return None
    right: list[bool] = []
    matches = [match_topics(found, true)[0] for found, true in zip(topics, planted.topics, strict=False)]
    for level, (link, true_parents) in enumerate(zip(links, planted.parents, strict=False)):
        # Between topics of unit length: what a topic weighs must not depend on how factors share scale.
        weights = link * _lengths(topics[level])[:, None] / _lengths(topics[level + 1])
        matched = matches[level] >= 0
        parents = matches[level + 1][weights[matched].argmax(axis=1)]
        right.extend(parents == true_parents[matches[level][matched]])
        right.extend([False] * (len(true_parents) - matched.sum()))
    return float(np.mean(right))


def _ranks(topics: Sequence[Modes]) -> list[int]:
    return [modes[0].shape[1] for modes in topics]


def _lengths(modes: Modes) -> Matrix:
    """Norms of the topics in a single mode, the geometric mean over all modes."""
    return functools.reduce(np.multiply, map(_length, modes)) ** (1.0 / len(modes))


def _unit(M: Matrix) -> Matrix:
    return M / _length(M)


def _length(M: Matrix) -> Matrix:
    """Norms of the columns, one for a column of zeros."""
    return or_one(np.linalg.norm(M, axis=0))
