"""Topics as people read them: their words, how well these belong together, and which topic is below which.

Topics are columns of length m, one weight per feature ("word").  Nothing here depends on the scale of a topic, but for
what is `NEGLIGIBLE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.linalg import Matrix, column_parts

# Features, or samples, by topic, best first; -1 fills up a topic that has fewer.
Words = NDArray[np.intp]
# Weights that are no more than this share of the largest of their factor count as zero.
NEGLIGIBLE = 1e-12
# Scores that agree to these decimals of the largest are equal: rounding must not order words or samples.
DECIMALS = 10


def top_features(topics: Matrix, n: int) -> Words:
    """The features of largest weight in every topic, shape (k, n); only those of positive weight, then -1.

    Topics have shape (m, k).
    """
    return _best(topics.T, n)


def distinctive_features(topics: Matrix, n: int) -> Words:
    """The features that set every topic apart: ``p log(p / mean p)``, p the feature's share of the topic.

    Topics have shape (m, k), the features shape (k, n): only those of more than their mean share over the topics, then
    -1.

    Notes
    -----
    The term score of the publication, with the arithmetic instead of the geometric mean over the topics, which is
    zero for every word that some topic lacks, as most do here.

    References
    ----------
    D. M. Blei and J. D. Lafferty, "Topic models", in A. Srivastava and M. Sahami (eds.), "Text mining:
    classification, clustering, and applications", 2009.
    """
    p = feature_shares(topics)  # (m, k)
    mean = p.mean(axis=1)
    return _best((share * np.log(np.divide(share, mean, out=np.ones_like(share), where=share > 0)) for share in p.T), n)


def feature_shares(topics: Matrix) -> Matrix:
    """Positive weights of every topic, scaled to sum to one, shape (m, k); zeros stay for a topic without any."""
    return _shares(np.maximum(topics, 0.0))


def in_unit_topics(S: Matrix, topics: Matrix) -> Matrix:
    """Codes of topics of unit length, shape (k, n): they do not depend on how factors and codes share scale.

    The topics, of shape (m, k), are what each code stands for in the data.
    """
    return S * np.linalg.norm(topics, axis=0)[:, None]


def strongest_samples(strengths: Matrix, n: int) -> Words:
    """The samples that every topic is strongest in, best first, shape (k, n); then -1.

    The strength of a topic in a sample is the length of its part of the sample, its code at unit length as
    `in_unit_topics` has it, shape (k, n_samples): what the sample has of the topic, not its share of the sample.
    """
    return _best(strengths, n)


def npmi_coherence(X: Any, top: Words) -> NDArray[np.floating]:
    """Mean normalised pointwise mutual information of the pairs of top features of every topic, in [-1, 1].

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        A feature occurs in the samples where it is positive.
    top : ndarray of int, shape (k, n_top)
        See `top_features`.

    Returns
    -------
    ndarray of shape (k,)
        A pair that never occurs together counts -1, the limit of the formula (a small number in the place of the share
        of samples, as some programs have it, gives more); one that always does counts 0, for it tells nothing.  NaN
        for a topic of less than two features.

    References
    ----------
    G. Bouma, "Normalized (pointwise) mutual information in collocation extraction", GSCL 2009; M. Roeder, A. Both
    and A. Hinneburg, "Exploring the space of topic coherence measures", WSDM 2015, with the document as window.

    Examples
    --------
    >>> X = np.array([[1, 2, 0], [3, 1, 0], [0, 0, 1]])  # the first two words always occur together
    >>> npmi_coherence(X, np.array([[0, 1], [0, 2]])).round(6)
    array([ 1., -1.])
    """
    features = np.unique(top[top >= 0])
    npmi = _npmi(_joint_counts(X, features) / X.shape[1])
    coherence = np.full(len(top), np.nan)
    for j, row in enumerate(top):
        pairs = list(combinations(np.searchsorted(features, row[row >= 0]), 2))
        if pairs:
            coherence[j] = npmi[tuple(np.array(pairs).T)].mean()
    return coherence


def _joint_counts(X: Any, features: NDArray[np.intp]) -> Matrix:
    """In how many samples two of these features occur together, for all pairs of them."""
    if sparse.issparse(X):
        occurs = sparse.csr_array(X.tocsr()[features] > 0, dtype=float)  # (len(features), n)
        return (occurs @ occurs.T).toarray()
    counts = np.zeros((len(features), len(features)))
    for part in column_parts(X):
        occurs = (X[features, part] > 0).astype(float)
        counts += occurs @ occurs.T
    return counts


def _npmi(joint: Matrix) -> Matrix:
    """``log(p_ij / (p_i p_j)) / -log p_ij`` from the shares of samples, whose diagonal is p_i."""
    single = np.diag(joint)
    result = np.where(joint > 0, 0.0, -1.0)
    i, j = np.nonzero((joint > 0) & (joint < 1))
    result[i, j] = np.log(joint[i, j] / (single[i] * single[j])) / -np.log(joint[i, j])
    return result


def topic_diversity(top: Words) -> float | None:
    """Share of distinct features among the top features of all topics; None if there are no features.

    References
    ----------
    A. B. Dieng, F. J. R. Ruiz and D. M. Blei, "Topic modeling in embedding spaces", Trans. ACL 8, 2020,
    of the top 25 words.
    """
    present = top[top >= 0]
    return len(np.unique(present)) / len(present) if len(present) else None


def tree_weights(topics_below: Matrix, A: Matrix) -> Matrix:
    """What share of every topic each topic below has, shape (k_{l-1}, k_l); columns sum to one.

    With them the words of a topic are a mixture of those of the topics below: of nonnegative factors,
    ``feature_shares(topics_below @ A) = feature_shares(topics_below) @ tree_weights(topics_below, A)``.
    Topics below have shape (m, k_{l-1}).  Negative weights count nothing; a column without positive ones stays zero.
    """
    return feature_shares(A * np.maximum(topics_below, 0.0).sum(axis=0)[:, None])


def unlinked_topics(A: Sequence[Matrix]) -> list[int | None]:
    """Number of topics in every layer that take no part: empty ones, and those that no topic above is made of.

    An empty topic has a column of zeros in its layer's factor; one without a link has a row of zeros in the next.  The
    number is None where the rows of the next factor are not the topics of the layer, as with pooling.
    """
    counts: list[int | None] = []
    for factor, above in zip(A, [*A[1:], None], strict=True):
        unlinked = _vanish(factor, axis=0)
        if above is not None and len(above) != len(unlinked):
            counts.append(None)
            continue
        counts.append(int((unlinked if above is None else unlinked | _vanish(above, axis=1)).sum()))
    return counts


def _vanish(A: Matrix, axis: int) -> NDArray[np.bool_]:
    """Which columns (axis 0) or rows (axis 1) have negligible entries alone."""
    largest = np.abs(A).max(axis=axis)
    return largest <= NEGLIGIBLE * largest.max()


def topic_shares(modes: Sequence[Matrix]) -> Matrix:
    """What share of the sum of outer products of their columns every topic has, by the sums of entries, shape (k,).

    Of a matrix approximated by ``topics @ S``, the modes are ``[topics, S.T]``.
    """
    return _shares(np.prod([np.abs(F).sum(axis=0) for F in modes], axis=0))


def _best(scores: Iterable[NDArray[np.floating]], n: int) -> Words:
    """Places of the n largest positive scores of every topic, of equal ones the first, (k, n), filled up with -1."""
    best = []
    for score in scores:  # one after the other, for a vocabulary can be large
        score = np.round(score / or_one(score.max(initial=0.0)), DECIMALS)
        order = np.argsort(-score, kind="stable")[:n]
        order[score[order] <= 0] = -1
        best.append(np.pad(order, (0, n - len(order)), constant_values=-1))
    return np.array(best)


def _shares(M: Matrix) -> Matrix:
    return M / or_one(M.sum(axis=0))


def or_one(scale: Matrix) -> Matrix:
    """What to divide by: scales, and one in the place of zeros."""
    return np.where(scale > 0, scale, 1.0)
