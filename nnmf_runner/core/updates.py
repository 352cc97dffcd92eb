"""Updates of one factor with the other held fixed.

Each decreases ``1/2 tr(F G F^T) - <C, F> + shift sum F`` over ``F >= 0``, where the rows of F are independent.  For
``||X - A S||^2`` that means F = A, ``G = S S^T``, ``C = X S^T`` or, transposed, F = S^T, ``G = A^T A``, ``C = X^T A``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.linalg import PART, Index, Matrix, gram_matrix, like, parts, tall_product
from nnmf_runner.core.monitor import partwise_stationarity, stationarity
from nnmf_runner.core.nnls import ScaledProblem, pivot
from nnmf_runner.core.regularisation import NO_PENALTY, Penalty
from nnmf_runner.core.systems import PassiveSystems
from nnmf_runner.core.threads import each

# How often the exponent of a multiplicative step is halved to find a lower cost.
MAX_HALVINGS = 10
# A pass of adaptive HALS that moves less far than this share of the longest one is the last.
SMALL_PASS = 0.1
# The share of a change that is made once more.  On the toy data 0.4 and more slowed HALS down near the end.
SHARE = 0.2
# Replaces zeros of the denominator.  Where it vanishes, so does the numerator, so any positive number will do.
TINY = np.finfo(float).tiny


def tiny(F: Matrix) -> np.floating[Any]:
    """`TINY` in the precision of F."""
    return np.finfo(F.dtype).tiny


class Update(ABC):
    """One update of a factor; an instance serves one factor and may remember its last solution."""

    absorbs_zeros: ClassVar[bool]

    @abstractmethod
    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix, shift: float = 0.0, out: Matrix | None = None) -> Matrix:
        """New value for F of shape (p, k), from ``G`` (k, k), ``C`` (p, k) and the penalty `shift` on its sum.

        It is written to `out`, which may be F or C, if that is given.
        """


class Multiplicative(Update):
    """``F o C / (F G)``, which never increases the objective and never leaves zero.

    References
    ----------
    D. D. Lee and H. S. Seung, "Algorithms for non-negative matrix factorization", NIPS 2000.
    """

    absorbs_zeros = True

    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix, shift: float = 0.0, out: Matrix | None = None) -> Matrix:
        """New value for F, see `Update`."""
        new, gram = np.empty_like(F) if out is None else out, like(gram, F)

        def update(rows: slice) -> None:
            new[rows] = multiply(F[rows], cross[rows], F[rows] @ gram + shift)

        each(update, parts(len(F)))
        return new

    def between(
        self, F: Matrix, left: Matrix, right: Matrix, cross: Matrix, shift: float = 0.0, ridge: float = 0.0
    ) -> Matrix:
        """New value for F of shape (p, k) that does not increase ``1/2 tr(L F R F^T) - <C, F>`` plus penalties.

        These are ``shift sum F + ridge/2 ||F||^2``.  L of shape (p, p) and R of shape (k, k) are Gram matrices of what
        F is multiplied by from the left and from the right.
        """
        return multiply(F, cross, left @ F @ right + shift + ridge * F)


def multiply(F: Matrix, numerator: Matrix, denominator: Matrix) -> Matrix:
    """``F o numerator / denominator``, zero where the denominator vanishes.

    In single precision, numbers soon fall to where arithmetic takes a hundred times as long, and then to zero, which
    they could not leave any more: those that are not zero stay above.
    """
    new = F * numerator / np.maximum(denominator, tiny(F))
    if F.dtype != np.float64:
        least = tiny(F) / np.finfo(F.dtype).eps
        new[(new < least) & (F > 0) & (numerator > 0)] = least
    return new


def shortened(F: Matrix, new: Matrix, cost_of: Callable[[Matrix], Any]) -> Matrix:
    """Return the first of ``F (new / F)^(1, 1/2, 1/4, ...)`` whose cost is no higher, or F if there is none.

    `cost_of` gives one cost for all columns or one per column; each column then has an exponent of its own.
    """
    ratio, before = new / np.maximum(F, tiny(F)), cost_of(F)
    if F.dtype != np.float64:  # whose rounding would hide that a cost is lower
        before = before * (1.0 + float(np.finfo(F.dtype).eps))
    taken = np.zeros(np.shape(before), bool)
    for halvings in range(MAX_HALVINGS):
        candidate = np.where(taken, F, F * ratio ** (0.5**halvings))
        better = ~taken & (cost_of(candidate) <= before)
        F = np.where(better, candidate, F)
        taken |= better
        if taken.all():
            break
    return F


class HALS(Update):
    """Hierarchical alternating least squares: columns are minimised exactly, one after the other.

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

    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix, shift: float = 0.0, out: Matrix | None = None) -> Matrix:
        """New value for F, see `Update`."""
        new, gram = np.empty_like(F) if out is None else out, like(gram, F)
        diagonal = gram.diagonal()
        used, idle = np.flatnonzero(diagonal > 0), np.flatnonzero(diagonal <= 0)
        unit = np.where(diagonal > 0, diagonal, 1).astype(F.dtype, copy=False)
        others = -gram / unit[:, None]  # in units in which the diagonal is one
        np.fill_diagonal(others, 0.0)

        def sweep(rows: slice) -> None:
            columns, target = np.array(F[rows].T, order="C"), np.array(cross[rows].T, order="C")
            target -= shift
            target /= unit[:, None]
            columns[idle] *= target[idle] >= 0.0  # they are zero where they do nothing but cost a penalty
            self._passes(columns, others, target, used)
            new[rows] = columns.T

        # Parts do not depend on each other, stay in the cache over the sweeps, and take longer than to change threads.
        each(sweep, parts(len(F), 2 * PART))
        return new

    def between(
        self, F: Matrix, left: Matrix, right: Matrix, cross: Matrix, shift: float = 0.0, ridge: float = 0.0
    ) -> Matrix:
        """The rows of F one after the other, see `Multiplicative.between`."""
        F, target, ridges = F.copy(), cross - shift, ridge * np.eye(len(right))
        for p, entry in enumerate(left.diagonal()):
            others = (left[p] @ F - entry * F[p]) @ right
            F[p] = self(F[p : p + 1], entry * right + ridges, (target[p] - others)[None])[0]
        return F

    def _passes(self, columns: Matrix, others: Matrix, target: Matrix, used: Index) -> None:
        """Sweep over the columns of F as rows, shape (k, p), each of which is contiguous, in place."""
        for _ in range(self.sweeps):
            _pass(columns, others, target, used)


def _pass(columns: Matrix, others: Matrix, target: Matrix, used: Index) -> None:
    """Set ``columns[j]``, for every j in `used`, to its minimiser ``max(target[j] + others[j] columns, 0)``."""
    row = np.empty(columns.shape[1], columns.dtype)
    for j in used:
        np.dot(others[j], columns, out=row)
        row += target[j]
        np.maximum(row, 0.0, out=columns[j])


class AdaptiveHALS(HALS):
    """HALS that goes on while passes change much: until one moves at most `SMALL_PASS` times as far as the longest.

    References
    ----------
    N. Gillis and F. Glineur, Neural Comput. 24(4), 2012, section 4, for when inner passes end.
    """

    def __init__(self, sweeps: int = 20) -> None:
        super().__init__(sweeps)

    def _passes(self, columns: Matrix, others: Matrix, target: Matrix, used: Index) -> None:
        longest = 0.0
        for _ in range(self.sweeps):
            before = columns.copy()
            _pass(columns, others, target, used)
            before -= columns
            length = float(np.linalg.norm(before))
            longest = max(longest, length)
            if length <= SMALL_PASS * longest:
                break


class ExactLeastSquares(Update):
    """The exact minimiser, by block principal pivoting from the passive sets of the last call.

    References
    ----------
    J. Kim and H. Park, SIAM J. Sci. Comput. 33(6), 2011.
    """

    absorbs_zeros = False

    def __init__(self) -> None:
        self._warm: list[PassiveSystems | None] = []

    def __call__(self, F: Matrix, gram: Matrix, cross: Matrix, shift: float = 0.0, out: Matrix | None = None) -> Matrix:
        """New value for F, see `Update`."""
        rows = parts(len(cross))
        self._warm = self._warm or [None] * len(rows)
        new = np.empty_like(cross) if out is None else out

        def solve(i: int) -> None:
            problem = ScaledProblem(gram, cross[rows[i]].T - shift)
            solution = pivot(problem, self._warm[i])
            self._warm[i] = solution.systems
            solution.systems.release()
            new[rows[i]] = (problem.unit * solution.S).T

        each(solve, range(len(rows)))  # in parts, which bounds the memory that the systems take
        return new


def extrapolated(F: Matrix, last: Matrix) -> Matrix:
    """The point beyond an update F: the change since the last one is made once more, in part.

    References
    ----------
    A. M. S. Ang and N. Gillis, "Accelerating nonnegative matrix factorization algorithms using extrapolation", Neural
    Comput. 31(2), 2019.
    """
    found = F - last
    found *= SHARE
    found += F
    return np.maximum(found, 0.0, out=found)


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
    cost : float
        Weighted label cost of the old codes with the new map, plus their penalty.
    factors, gradients : list of ndarray
        The old codes and the old map, and the derivatives of the relative cost with respect to them.
    """

    S: Matrix
    cost: float
    factors: list[Matrix]
    gradients: list[Matrix]


@dataclass
class Move:
    """A `CodesStep` in brief.

    Attributes
    ----------
    new : callable
        Gives the new codes, shape (k, n).
    cost : float
    measure : float
        The `stationarity` of the old codes and the old map.
    """

    new: Callable[[], Matrix]
    cost: float
    measure: float


@dataclass
class MapStep:
    """One update of the label map.

    Attributes
    ----------
    before, gradient : ndarray of shape (c, k)
        The old map and the derivative of the relative cost with respect to it.
    cost : float
        Weighted label cost with the new map.
    plus, minus : ndarray of shape (k, n_known)
        Nonnegative parts of half its derivative with respect to the known codes.
    """

    before: Matrix
    gradient: Matrix
    cost: float
    plus: Matrix
    minus: Matrix


class Codes:
    """Updates codes, and a nonnegative label map if there are labels.

    They decrease the relative cost of the data, such as ``||X - A S||^2 / norm``, plus that of the known labels,
    ``weight ||Y - B S||^2 / ||Y||^2`` or their divergence, plus a penalty on S.

    Parameters
    ----------
    new_update : callable
        Gives a fresh `Update`.
    norm : float
        The unit of the relative cost of the data: ``||X||^2`` for squared residuals.
    labels : Labels, optional
        With a cost other than the squared one, `new_update` must be multiplicative.
    S : ndarray of shape (k, n)
        Initial codes, on which `penalty` is; the label map starts as the best nonnegative one for them.

    Attributes
    ----------
    B : ndarray of shape (c, k) or None
    """

    def __init__(
        self, new_update: type[Update], norm: float, labels: Labels | None, S: Matrix, penalty: Penalty = NO_PENALTY
    ) -> None:
        self.norm, self.penalty = norm, penalty
        # The penalty in units of half the cost of the data.
        self._shift, self._ridge = norm / 2.0 * penalty.l1, norm * penalty.l2
        self._map, self._tied, self._free = new_update(), new_update(), new_update()
        self.B: Matrix | None = None
        self._known = np.zeros(S.shape[1], bool) if labels is None else labels.known
        if labels is not None:
            self._Y = labels.Y[:, labels.known]
            self._tie = labels.scale * norm  # weight of ||Y - B S||^2 against ||X - A S||^2
            self._divergence = labels.cost.divergence
            Sk = S[:, labels.known]
            B = ExactLeastSquares()(np.empty(0), gram_matrix(Sk.T), tall_product(self._Y.T, Sk.T))
            self.B = like(lift_zeros(B) if new_update.absorbs_zeros else B, S)

    def step(self, S: Matrix, gram: Matrix, cross: Matrix) -> CodesStep:
        """Update B, then S, for ``gram = A^T A`` and ``cross = A^T X``."""
        if self.B is not None and self._divergence.beta != 2.0:  # no least-squares problem in S
            return self.multiplicative_step(S, like(gram, S) @ S, cross)
        gradient = np.empty_like(S)

        def derive(part: slice) -> None:
            np.matmul(gram, S[:, part], out=gradient[:, part])
            gradient[:, part] -= cross[:, part]
            gradient[:, part] *= 2.0 / self.norm

        each(derive, parts(S.shape[1]))
        if self.penalty is not NO_PENALTY:
            gradient += self.penalty.gradient(S)
            gram = gram + self._ridge * np.eye(len(gram))
        labels = self.update_map(S)
        if labels is None or self.B is None:
            return self._done(S, self._free(S.T, gram, cross.T, self._shift).T, gradient, None)
        known = self._known
        gradient[:, known] += (labels.plus - labels.minus) * (2.0 / self.norm)
        new = np.empty_like(S)
        tied = gram + self._tie * self.B.T @ self.B  # (k, k)
        new[:, known] = self._tied(S[:, known].T, tied, (cross[:, known] + labels.minus).T, self._shift).T
        if not known.all():
            new[:, ~known] = self._free(S[:, ~known].T, gram, cross[:, ~known].T, self._shift).T
        return self._done(S, new, gradient, labels)

    def move(self, S: Matrix, gram: Matrix, cross: Matrix) -> Move:
        """`step` without other arrays of the size of S: the new codes may take the memory of ``cross = A^T X``."""
        if self.B is not None:
            step = self.step(S, gram, cross)
            return Move(lambda: step.S, step.cost, stationarity(step.factors, step.gradients))
        gram = gram + self._ridge * np.eye(len(gram))
        measure = partwise_stationarity(S.T, gram, cross.T, self._shift, self.norm)
        return Move(lambda: self._free(S.T, gram, cross.T, self._shift, out=cross.T).T, self.penalty.value(S), measure)

    def multiplicative_step(self, S: Matrix, plus: Matrix, minus: Matrix) -> CodesStep:
        """Update B, then S multiplicatively, for the data's half-gradient ``plus - minus``, both nonnegative."""
        plus, minus, labels = plus + self._shift + self._ridge * S, minus.copy(), self.update_map(S)
        if labels is not None:
            plus[:, self._known] += labels.plus
            minus[:, self._known] += labels.minus
        return self._done(S, multiply(S, minus, plus), 2.0 / self.norm * (plus - minus), labels)

    def _done(self, S: Matrix, new: Matrix, gradient: Matrix, labels: MapStep | None) -> CodesStep:
        step = CodesStep(new, self.penalty.value(S), [S], [gradient])
        if labels is not None:
            step.cost += labels.cost
            step.factors.append(labels.before)
            step.gradients.append(labels.gradient)
        return step

    def update_map(self, S: Matrix) -> MapStep | None:
        """Update B for codes S; return None if there are no labels."""
        if self.B is None:
            return None
        Sk, before = S[:, self._known], self.B
        half = self._tie * self._divergence.beta / 2.0  # of the divergence, in terms of half the cost of the data
        Q, P = self._divergence.parts(self._Y, before @ Sk)
        plus, minus = Q @ Sk.T, P @ Sk.T
        is_squared = self._divergence.beta == 2.0
        self.B = self._map(before, gram_matrix(Sk.T), minus) if is_squared else multiply(before, minus, plus)
        fitted = self.B @ Sk
        Q, P = self._divergence.parts(self._Y, fitted)
        return MapStep(
            before,
            2.0 * half / self.norm * (plus - minus),
            float(self._label_costs(fitted).sum()),
            half * self.B.T @ Q,
            half * self.B.T @ P,
        )

    def column_costs(self, S: Matrix) -> Matrix:
        """Label cost with the present map plus penalty of every column, shape (n,)."""
        costs = (self.penalty.l1 * S + self.penalty.l2 * S**2).sum(axis=0, dtype=np.float64)
        if self.B is not None:
            costs[self._known] += self._label_costs(self.B @ S[:, self._known])
        return costs

    def _label_costs(self, fitted: Matrix) -> Matrix:
        """Weighted label cost of every known column, for ``B S`` of shape (c, n_known)."""
        return self._divergence.beta * self._tie / self.norm * self._divergence.by_column(self._Y, fitted)
