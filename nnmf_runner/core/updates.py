"""Updates of one factor with the other held fixed.

Each decreases ``1/2 tr(F G F^T) - <C, F>`` over ``F >= 0``, the rows of F independent of each other.  For
``||X - A S||^2`` that is F = A, ``G = S S^T``, ``C = X S^T``; and by transposition F = S^T, ``G = A^T A``,
``C = X^T A``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnmf_runner.core.costs import Labels
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.nnls import PassiveSystems, ScaledProblem, pivot

# Replaces zeros of the denominator.  Where that vanishes, the numerator does too, so any positive number does.
TINY = np.finfo(float).tiny


class Update(ABC):
    """One update of a factor; an instance serves one factor and may remember its last solution."""

    absorbs_zeros: ClassVar[bool]

    @abstractmethod
    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
        """New value for F of shape (p, k), from ``G`` (k, k) and ``C`` (p, k)."""


class Multiplicative(Update):
    """``F o C / (F G)``: never increases the objective, and never leaves zero.

    References
    ----------
    D. D. Lee and H. S. Seung, "Algorithms for non-negative matrix factorization", NIPS 2000.
    """

    absorbs_zeros = True

    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
        """New value for F, see `Update`."""
        return multiply(F, cross, F @ gram)


def multiply(F: Matrix, numerator: Matrix, denominator: Matrix) -> Matrix:
    """``F o numerator / denominator``, zero where the denominator vanishes."""
    return F * numerator / np.maximum(denominator, TINY)


class HALS(Update):
    """Hierarchical alternating least squares: every column exactly, one after the other.

    Parameters
    ----------
    sweeps : int
        Passes over the columns.

    References
    ----------
    A. Cichocki and A.-H. Phan, "Fast local algorithms for large scale nonnegative matrix and tensor
    factorizations", IEICE Trans. Fundamentals E92-A(3), 2009; N. Gillis and F. Glineur, "Accelerated
    multiplicative updates and hierarchical ALS algorithms", Neural Comput. 24(4), 2012, for inner passes.
    """

    absorbs_zeros = False

    def __init__(self, sweeps: int = 2) -> None:
        self.sweeps = sweeps

    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
        """New value for F, see `Update`."""
        columns = np.ascontiguousarray(F.T).copy()  # (k, p), so that each is contiguous
        target = np.ascontiguousarray(cross.T)
        for _ in range(self.sweeps):
            for j, pivot_entry in enumerate(gram.diagonal()):
                if pivot_entry > 0:
                    step = (target[j] - gram[j] @ columns) / pivot_entry
                    np.maximum(columns[j] + step, 0.0, out=columns[j])
        return columns.T


class ExactLeastSquares(Update):
    """The minimiser itself, by block principal pivoting from the passive sets of the last call.

    References
    ----------
    J. Kim and H. Park, SIAM J. Sci. Comput. 33(6), 2011.
    """

    absorbs_zeros = False

    def __init__(self) -> None:
        self._warm: PassiveSystems | None = None

    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
        """New value for F, see `Update`."""
        problem = ScaledProblem(gram, cross.T)
        solution = pivot(problem, self._warm)
        self._warm = solution.systems
        return (problem.unit * solution.S).T


UPDATES: dict[str, type[Update]] = {"mu": Multiplicative, "hals": HALS, "anls": ExactLeastSquares}


def lift_zeros(F: Matrix, share: float = 1e-2) -> Matrix:
    """Replace zeros by `share` of the mean entry, since a multiplicative update cannot leave them."""
    return np.where(F > 0, F, share * max(float(F.mean()), TINY))


@dataclass
class CodesStep:
    """One update of the label map and of the codes with the basis held fixed.

    Attributes
    ----------
    S : ndarray of shape (k, n)
        The new codes.
    label_cost : float
        Weighted label cost of the old codes with the new map.
    factors, gradients : list of ndarray
        The old values of what was updated, and the derivatives of the relative cost at them.
    """

    S: Matrix
    label_cost: float
    factors: list[Matrix]
    gradients: list[Matrix]


@dataclass
class MapStep:
    """One update of the label map: its value `before` and the derivative there; the label cost and the
    nonnegative parts of its half-derivative with respect to the known codes, both with the new map."""

    before: Matrix
    gradient: Matrix
    cost: float
    plus: Matrix
    minus: Matrix


class Codes:
    """Updates codes, and a nonnegative label map if there are labels.

    Minimises ``||X - A S||^2 / norm + weight ||Y - B S||^2 / ||Y||^2``, the second term over known columns.

    Parameters
    ----------
    new_update : callable
        Gives a fresh `Update`.
    norm : float
        ``||X||^2``.
    labels : Labels, optional
    S : ndarray of shape (k, n)
        First codes; the map starts at the best nonnegative one for them.

    Attributes
    ----------
    B : ndarray of shape (c, k) or None

    References
    ----------
    H. Lee, J. Yoo and S. Choi, "Semi-supervised nonnegative matrix factorization", IEEE Signal Process.
    Lett. 17(1), 2010.
    """

    def __init__(self, new_update: type[Update], norm: float, labels: Labels | None, S: Matrix) -> None:
        self.norm = norm
        self.B: Matrix | None = None
        self._free, self._tied, self._map = new_update(), new_update(), new_update()
        self._known = np.zeros(S.shape[1], bool) if labels is None else labels.known
        if labels is not None:
            self._Y = labels.Y[:, labels.known]
            self._tie = labels.scale * norm  # weight of ||Y - B S||^2 against ||X - A S||^2
            Sk = S[:, labels.known]
            B = ExactLeastSquares()(np.empty(0), Sk @ Sk.T, self._Y @ Sk.T)
            self.B = lift_zeros(B) if new_update.absorbs_zeros else B

    def step(self, S: Matrix, gram: Matrix, cross: Matrix) -> CodesStep:
        """Update B, then S, for ``gram = A^T A`` and ``cross = A^T X``."""
        gradient = 2.0 / self.norm * (gram @ S - cross)
        labels = self.update_map(S)
        if labels is None or self.B is None:
            return CodesStep(self._free(S.T, gram, cross.T).T, 0.0, [S], [gradient])
        known = self._known
        gradient[:, known] += (labels.plus - labels.minus) * (2.0 / self.norm)
        new = np.empty_like(S)
        tied = gram + self._tie * self.B.T @ self.B  # (k, k)
        new[:, known] = self._tied(S[:, known].T, tied, (cross[:, known] + labels.minus).T).T
        if not known.all():
            new[:, ~known] = self._free(S[:, ~known].T, gram, cross[:, ~known].T).T
        return CodesStep(new, labels.cost, [S, labels.before], [gradient, labels.gradient])

    def multiplicative_step(self, S: Matrix, plus: Matrix, minus: Matrix) -> CodesStep:
        """Update B, then S multiplicatively, for the data's half-gradient ``plus - minus``, both nonnegative."""
        plus, minus, labels = plus.copy(), minus.copy(), self.update_map(S)
        if labels is not None:
            plus[:, self._known] += labels.plus
            minus[:, self._known] += labels.minus
        step = CodesStep(multiply(S, minus, plus), 0.0, [S], [2.0 / self.norm * (plus - minus)])
        if labels is not None:
            step.label_cost = labels.cost
            step.factors.append(labels.before)
            step.gradients.append(labels.gradient)
        return step

    def update_map(self, S: Matrix) -> MapStep | None:
        """Update B for codes S; None where there are no labels."""
        if self.B is None:
            return None
        Sk = S[:, self._known]
        gram, cross = Sk @ Sk.T, self._Y @ Sk.T
        before, self.B = self.B, self._map(self.B, gram, cross)
        tie = self._tie
        return MapStep(
            before,
            2.0 * tie / self.norm * (before @ gram - cross),
            float(self.label_costs(S).sum()),
            tie * self.B.T @ (self.B @ Sk),
            tie * self.B.T @ self._Y,
        )

    def label_costs(self, S: Matrix) -> Matrix:
        """What every column adds to the weighted label cost with the map as it is, shape (n,)."""
        costs = np.zeros(S.shape[1])
        if self.B is not None:
            residual = self.B @ S[:, self._known] - self._Y
            costs[self._known] = self._tie / self.norm * (residual**2).sum(axis=0)
        return costs
