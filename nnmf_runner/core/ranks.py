"""How many topics data have, and at how many levels: what several criteria propose, and where they agree.

Levels of a hierarchy stand out as ranks that are better than those about them, so that the proposals of a criterion are
the peaks of a curve over the ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster import hierarchy
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import squareform

from nnmf_runner.core.linalg import Matrix

# Heights of a peak above the lower ground about it: of a ratio of singular values, and of a mean cosine.  They were
# fixed on planted hierarchies before any of the data that they are tested on.
RATIO_PEAK, COSINE_PEAK = 0.15, 0.02


@dataclass(frozen=True)
class Curve:
    """Scores by rank, with the spread of their means.

    Attributes
    ----------
    values : ndarray of shape (n_ranks,)
    errors : ndarray of shape (n_ranks,)
        One standard error of each value.
    """

    values: Matrix
    errors: Matrix

    @classmethod
    def over(cls, scores: Matrix, independent: int | None = None) -> Curve:
        """Means over the columns of scores of shape (n_ranks, n), of which so many are `independent`, or all."""
        n = scores.shape[1]
        spread = scores.std(axis=1, ddof=1) if n > 1 else np.zeros(len(scores))
        return cls(scores.mean(axis=1), spread / np.sqrt(n if independent is None else independent))


def singular_ratios(sigma: Matrix, ranks: Sequence[int]) -> Matrix:
    """``sigma_k / sigma_{k+1}`` for every rank k; one where there is nothing left to tell apart.

    Examples
    --------
    >>> singular_ratios(np.array([8.0, 6.0, 2.0, 1.0]), [1, 2, 3]).round(2).tolist()
    [1.33, 3.0, 2.0]
    """
    rounding = sigma[0] * len(sigma) * np.finfo(float).eps
    padded = np.maximum(np.append(sigma, 0.0), rounding)
    return np.array([padded[min(k, len(sigma)) - 1] / padded[min(k, len(sigma))] for k in ranks])


def optimal_threshold_rank(sigma: Matrix, shape: tuple[int, int]) -> int:
    """Number of singular values above the optimal hard threshold for noise of unknown level.

    References
    ----------
    M. Gavish and D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE Trans. Inf. Theory
    60(8), 2014, equation (5) for the approximation of the coefficient.
    """
    beta = min(shape) / max(shape)
    omega = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    return int((sigma > omega * np.median(sigma)).sum())


def matched_cosines(A: Matrix, B: Matrix) -> Matrix:
    """Cosines of the columns of A and B, each of shape (m, k), that are matched such that their sum is largest."""
    cosines = _unit(A).T @ _unit(B)
    return cosines[linear_sum_assignment(cosines, maximize=True)]


def _unit(A: Matrix) -> Matrix:
    lengths = np.linalg.norm(A, axis=0)
    return A / np.where(lengths > 0, lengths, 1.0)


def prominences(curve: Curve) -> Matrix:
    """How far every point, less its standard error, stands out above the lower ground on its higher side.

    Going to either side from a point, up to a higher point or to the end, the curve has a lowest value; the higher one
    of the two is what the point is compared with.  A point that no point before it is above is compared with what
    follows alone: the ground before the first rank is not known.  Values are not positive where a neighbour is higher.

    Examples
    --------
    >>> prominences(Curve(np.array([1.0, 3.0, 2.0, 2.5, 0.0]), np.zeros(5))).tolist()
    [-2.0, 3.0, -1.0, 0.5, -2.5]
    """
    values, found = curve.values, []
    for i, value in enumerate(values):
        before, after = values[:i][::-1], values[i + 1 :]
        grounds = [_ground(before, value)] if (before > value).any() else []
        grounds += [_ground(after, value)] if len(after) else []
        found.append(value - curve.errors[i] - max(grounds, default=value))
    return np.array(found)


def _ground(side: Matrix, value: float) -> float:
    """The lowest of the values of one side, from the nearest on, before the first above `value`; that if it is next."""
    higher = np.flatnonzero(side > value)
    end = max(int(higher[0]), 1) if len(higher) else len(side)
    return float(side[:end].min())


def peaks(curve: Curve, ranks: Sequence[int], height: float) -> list[int]:
    """Ranks at which a curve stands out by more than `height`.

    Where the ranks that follow a peak are within one standard error of it, the last of them counts.  The last rank of
    all is no peak, since the curve may rise behind it.
    """
    found = []
    for i in np.flatnonzero(prominences(curve) > height).tolist():
        lower = np.flatnonzero(curve.values[i:] < curve.values[i] - curve.errors[i])
        if len(lower):
            found.append(ranks[i + int(lower[0]) - 1])
    return found


def spectrum_peaks(ratios: Matrix, ranks: Sequence[int], height: float = RATIO_PEAK) -> list[int]:
    """Ranks that ratios of successive singular values propose."""
    return peaks(Curve(ratios, np.zeros(len(ratios))), ranks, height)


@dataclass(frozen=True)
class Criteria:
    """What the criteria say by rank.

    Attributes
    ----------
    ranks : list of int
        In ascending order.
    ratios : ndarray of shape (n_ranks,)
        Ratios of successive singular values, see `singular_ratios`.
    halves : Curve
        Agreement of the topics of the halves of the data, see `matched_cosines`.
    errors : Curve
        Errors of bi-cross-validation.
    below : float, optional
        The error of the rank before the first one.
    """

    ranks: Sequence[int]
    ratios: Matrix
    halves: Curve
    errors: Curve
    below: float | None = None

    @property
    def spectrum_peaks(self) -> list[int]:
        """Ranks that the spectrum proposes."""
        return spectrum_peaks(self.ratios, self.ranks)

    @property
    def halves_peaks(self) -> list[int]:
        """Ranks that the split halves propose."""
        return peaks(self.halves, self.ranks, COSINE_PEAK)

    @property
    def highest_error(self) -> float:
        """The lowest error of bi-cross-validation and one standard error of it: what is below it is as good."""
        lowest = int(np.argmin(self.errors.values))
        return float(self.errors.values[lowest] + self.errors.errors[lowest])

    @property
    def sufficient(self) -> list[int]:
        """Ranks whose error is as good as the lowest; none where fewer topics than any of them have as good a one."""
        if self.below is not None and self.below <= self.highest_error:
            return []
        return [rank for rank, error in zip(self.ranks, self.errors.values, strict=True) if error <= self.highest_error]

    @property
    def is_open(self) -> bool:
        """Whether the error is lowest at the last rank, behind which it may fall further."""
        return int(np.argmin(self.errors.values)) == len(self.ranks) - 1

    def chosen(self) -> list[int]:
        """Ranks of the layers, the finest first; empty where the criteria disagree.

        The split halves propose the ranks.  The spectrum confirms them if it has a peak at each, of whatever height,
        and none higher than `RATIO_PEAK` elsewhere; bi-cross-validation confirms the finest if it is the first of them
        whose error is as good as the lowest.
        """
        proposed, enough = self.halves_peaks, self.sufficient
        told = set(spectrum_peaks(self.ratios, self.ranks, 0.0))
        agree = set(self.spectrum_peaks) <= set(proposed) <= told
        return proposed[::-1] if agree and [rank for rank in proposed if rank in enough] == proposed[-1:] else []


@dataclass(frozen=True)
class Stability:
    """How alike the fits of one rank on parts of the data are.

    Attributes
    ----------
    silhouette : float
        Mean silhouette of the topics of all fits, in clusters of one from each.
    least_silhouette : float
        The lowest mean of a cluster.
    cophenetic, dispersion : float
        Of the share of the fits in which two samples have the same topic as their largest.

    References
    ----------
    D. Kotliar et al., eLife 8, 2019 (cNMF), for the mean silhouette; L. B. Alexandrov et al., Cell Rep. 3(1), 2013
    (NMFk), for the lowest; J.-P. Brunet et al., PNAS 101(12), 2004, for the cophenetic correlation; H. Kim and H. Park,
    Bioinformatics 23(12), 2007, for the dispersion.
    """

    silhouette: float
    least_silhouette: float
    cophenetic: float
    dispersion: float


def stability(topics: Sequence[Matrix], codes: Sequence[Matrix]) -> Stability:
    """How alike fits are, from the topics of each, shapes (m, k), and its codes of the same samples, (k, n)."""
    by_cluster = _silhouettes(topics)
    largest = [np.argmax(S * np.linalg.norm(A, axis=0)[:, None], axis=0) for A, S in zip(topics, codes, strict=True)]
    consensus = np.mean([each[:, None] == each for each in largest], axis=0)
    return Stability(
        float(by_cluster.mean()),
        float(by_cluster.min()),
        _cophenetic(consensus),
        float((4.0 * (consensus - 0.5) ** 2).mean()),
    )


def _silhouettes(topics: Sequence[Matrix]) -> Matrix:
    """Mean silhouette, by the cosine distance, of clusters of one topic from each fit, shape (k,).

    Every fit is matched to the sum of those before it.
    """
    matched = [_unit(topics[0])]
    for A in topics[1:]:
        unit = _unit(A)
        matched.append(unit[:, linear_sum_assignment(_unit(np.sum(matched, axis=0)).T @ unit, maximize=True)[1]])
    stack = np.stack(matched)  # (fits, m, k)
    fits, _, k = stack.shape
    if k == 1 or fits == 1:
        return np.ones(k)
    distances = np.maximum(1.0 - np.einsum("fmi,gmj->figj", stack, stack, optimize=True), 0.0)
    to_clusters = distances.sum(axis=2)  # (fits, k, k): from a topic to all of a cluster
    own = np.einsum("fii->fi", to_clusters) / (fits - 1)
    others = to_clusters / fits
    others[:, np.arange(k), np.arange(k)] = np.inf
    nearest = others.min(axis=2)
    larger = np.maximum(own, nearest)
    return ((nearest - own) / np.where(larger > 0, larger, 1.0)).mean(axis=0)


def _cophenetic(consensus: Matrix) -> float:
    """Correlation of the distances ``1 - consensus`` with those in their tree; one where all of them are the same."""
    distances = squareform(1.0 - consensus, checks=False)
    if len(distances) < 2 or np.ptp(distances) == 0:
        return 1.0
    correlation, _ = hierarchy.cophenet(hierarchy.average(distances), distances)
    return float(correlation) if np.isfinite(correlation) else 1.0
