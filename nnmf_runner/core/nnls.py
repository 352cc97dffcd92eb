"""Nonnegative least squares for many right-hand sides at once.

The one operation that every layer rests on,

    q(A, X) = argmin_{S >= 0} ||X - A S||^2,

solved exactly for all columns of ``X`` together: by block principal pivoting or, for few variables and columns, by
trying all passive sets.  The Gram matrix ``G = A^T A`` and the cross products ``C = A^T X`` are formed once; the
number of rows of ``A`` never appears again.

References
----------
J. Kim and H. Park, "Fast nonnegative matrix factorization: an active-set-like method and comparisons",
SIAM J. Sci. Comput. 33(6), 2011, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import optimize, sparse

from nnmf_runner.core.checks import InputError, check_finite, check_numbers
from nnmf_runner.core.linalg import PART, Index, Mask, Matrix, cross_product, parts
from nnmf_runner.core.subsets import best_subsets
from nnmf_runner.core.systems import ColumnSystems, PassiveSystems
from nnmf_runner.core.threads import mapped

# A variable enters the passive set only for a multiplier below -PIVOT_TOLERANCE times the scale of its column.
PIVOT_TOLERANCE = 1e-10
# On the unit diagonal of the scaled Gram matrix: makes singular problems (duplicate columns, k > m) definite.
RIDGE = 1e-12
# Rounds of refinement with the true Gram matrix while a column is above the target.
REFINEMENTS = 20
REFINE_ABOVE = 1e-11
# Exchanges of every infeasible variable that may fail to reduce their number before the backup rule takes over.
PATIENCE = 3
# Rounds of pivoting.  The backup rule ends, but in the worst case only after exponentially many; columns that
# are left then (seen on Hilbert matrices alone) go to scipy's active-set solver.
MAX_ITER = 200
# A passive variable is zero, but for rounding and the RIDGE, if it is at most this share of both the largest variable
# and the largest cross product of its column.  What enters the passive set is larger, by PIVOT_TOLERANCE.
NEGLIGIBLE = 1e-10
# Up to this share of columns solved again, the systems of the first round serve for the others.
AMENDED_SHARE = 0.5
# Lengths of the columns of A, and largest products of a column of X with unit vectors, within which squares and
# products neither overflow nor lose digits to underflow, and solutions of any accuracy neither.
LENGTHS, PRODUCTS = (2.0**-400, 2.0**400), (2.0**-500, 2.0**500)


@dataclass(frozen=True)
class NNLSResult:
    """Solution of a nonnegative least-squares problem with its optimality certificate.

    Attributes
    ----------
    S : ndarray of shape (k, n)
        The solution, exactly zero outside the passive sets.
    passive : ndarray of bool, shape (k, n)
        The passive set of every column; hand it back as a warm start.
    n_iter : int
        Rounds of pivoting.
    violation : float
        `kkt_violation` of the solution.  Rounding hides no more of it than about 1e-15 times
        ``(k ||s|| + ||x||) / ||c||``, for the columns of ``S``, ``X`` and ``C`` and columns of ``A`` of unit length.
    """

    S: Matrix
    passive: Mask
    n_iter: int
    violation: float


def nnls(A: Any, X: Any, *, passive: Mask | None = None) -> NNLSResult:
    """Solve ``min_{S >= 0} ||X - A S||`` for all columns of ``X``.

    Parameters
    ----------
    A : array_like of shape (m, k)
        Coefficients, of any sign and rank.
    X : array_like or scipy sparse matrix of shape (m, n)
        Right-hand sides, of any sign.
    passive : ndarray of bool, shape (k, n), optional
        Passive sets to start from, as found for a similar problem.  By default every variable starts passive.  Where a
        problem is so small that all sets are tried, there is no start.

    Returns
    -------
    NNLSResult

    Raises
    ------
    InputError
        If a shape does not fit, an entry is not a finite number, or the solution exceeds the largest double.

    Notes
    -----
    All is computed in double precision, whichever type A and X are of.

    Where the solution is not unique (dependent columns of ``A``), one minimiser is returned.  All comparisons
    are relative to the columns of ``A`` and ``X``, so scaling either changes no passive set, in the whole range of
    doubles.  Since ``A^T A`` is formed, columns of ``A`` that are linearly dependent up to about 1e-4 of their length
    cost accuracy; the result's `violation` says how much.

    References
    ----------
    J. Kim and H. Park, SIAM J. Sci. Comput. 33(6), 2011, section 4.

    Examples
    --------
    >>> nnls([[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [3.0, 1.0]]).S
    array([[2., 0.],
           [3., 1.]])
    """
    given, A, X = X, check_finite(A, "A"), check_numbers(X, "X")
    A = A.toarray() if sparse.issparse(A) else A
    if X.shape[0] != A.shape[0]:
        raise InputError(f"X has {X.shape[0]} rows, expected {A.shape[0]}, as many as A.")
    shape = (A.shape[1], X.shape[1])
    if passive is not None and np.shape(passive) != shape:
        raise InputError(f"passive has shape {np.shape(passive)}, expected {shape}, the shape of the solution.")
    warm = None if passive is None else np.asarray(passive, bool)
    if (n := X.shape[1]) <= PART:
        return _solved(A, X, warm, given)
    columns = sparse.csc_array(X) if sparse.issparse(X) else X

    def solve(part: slice) -> NNLSResult:
        return _solved(A, columns[:, part], None if warm is None else warm[:, part], given)

    found = list(mapped(solve, parts(n)))
    return NNLSResult(
        np.concatenate([each.S for each in found], axis=1),
        np.concatenate([each.passive for each in found], axis=1),
        max(each.n_iter for each in found),
        max(each.violation for each in found),
    )


def _solved(A: Matrix, X: Any, passive: Mask | None, given: Any) -> NNLSResult:
    """Solve for some columns X of the `given` ones, see `nnls`."""
    problem, of_A, of_X = _formed(A, X, given)
    solution = pivot(problem, None if passive is None else PassiveSystems(passive))
    S, violation = _refine(problem, solution)
    S *= problem.unit
    if of_A.any() or of_X.any():
        S, violation = _scaled_back(problem, S, of_X - of_A[:, None], violation)
    return NNLSResult(S, solution.systems.passive, solution.n_iter, violation)


def kkt_violation(gram: Matrix, cross: Matrix, S: Matrix) -> float:
    """Measure how far `S` is from solving ``min_{S >= 0} 1/2 tr(S^T G S) - <C, S>``.

    The natural residual ``max |min(S, G S - C)|`` in units where it does not change when a column of ``A`` or
    of ``X`` is scaled: variables in multiples of ``1/||a_i||``, then ``S`` and its gradient relative to the
    largest entry of their column of ``S`` and of ``C``.  It is zero exactly at a solution.

    Parameters
    ----------
    gram : ndarray of shape (k, k)
        ``G = A^T A``.
    cross : ndarray of shape (k, n)
        ``C = A^T X``.
    S : ndarray of shape (k, n)
        The candidate.

    Returns
    -------
    float
        The largest relative violation over all entries.

    References
    ----------
    R. W. Cottle, J.-S. Pang and R. E. Stone, "The Linear Complementarity Problem", SIAM, 2009, section 5.10.

    Examples
    --------
    >>> gram, cross = np.eye(2), np.array([[2.0], [-1.0]])
    >>> abs(kkt_violation(gram, cross, S=np.array([[2.0], [0.0]])))
    0.0
    >>> kkt_violation(gram, cross, S=np.array([[1.0], [0.0]]))
    0.5
    """
    of_A = np.frexp(np.sqrt(gram.diagonal()))[1][:, None] - 1
    of_X = np.maximum(_exponents(cross) - of_A, _exponents(S) + of_A).max(axis=0)
    problem = ScaledProblem(np.ldexp(gram, -of_A - of_A.T), np.ldexp(cross, -of_A - of_X))
    return float(problem.residual(np.ldexp(S, of_A - of_X) / problem.unit).max(initial=0.0))


class ScaledProblem:
    """The quadratic problem in variables that make every column of ``A`` a unit vector.

    Attributes
    ----------
    unit : ndarray of shape (k, 1)
        A solution of the scaled problem times `unit` solves the given one.
    gram, cross : ndarray of shape (k, k) and (k, n)
        The scaled ``G``, its diagonal one plus RIDGE, and ``C``; in double precision, as the given ``G`` is.
    """

    def __init__(self, gram: Matrix, cross: Matrix) -> None:
        length = np.sqrt(gram.diagonal())
        if not length.all():
            length[length == 0] = 1.0  # a zero column has zero cross products: any unit does
        self.unit = (1.0 / length)[:, None]
        self.gram = gram * self.unit * self.unit.T
        self.gram.flat[:: len(gram) + 1] = 1.0 + RIDGE
        self.cross = np.multiply(cross, self.unit, order="C")  # which the stacks take columns of

    @cached_property
    def scale(self) -> Matrix:
        """Largest absolute entry of every column of `cross`, shape (n,): what tolerances are relative to."""
        return _column_scale(self.cross)

    def systems(self, passive: Mask) -> PassiveSystems:
        """The linear systems of this problem on passive sets of shape (k, n)."""
        return PassiveSystems(passive)

    def gradient(self, S: Matrix) -> Matrix:
        """``G S - C`` at `S` (in scaled variables), without the ridge."""
        gradient = _product(self.gram, S)
        gradient -= RIDGE * S
        gradient -= self.cross
        return gradient

    def residual(self, S: Matrix) -> Matrix:
        """Natural residual of every column of `S` (in scaled variables), shape (n,)."""
        gradient = self.gradient(S)
        gradient /= self.scale
        return _largest(np.minimum(S / _column_scale(S), gradient, out=gradient))


class ColumnProblem(ScaledProblem):
    """The same problem with one Gram matrix per column, as missing entries of ``X`` require.

    So `gram` is of shape (n, k, k), and `unit` of shape (k, n) like `cross`.
    """

    def __init__(self, gram: Matrix, cross: Matrix) -> None:
        length = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))  # (n, k)
        unit = 1.0 / np.where(length > 0, length, 1.0)
        self.unit = unit.T
        self.gram = gram * unit[:, :, None] * unit[:, None, :]
        diagonal = np.arange(gram.shape[-1])
        self.gram[:, diagonal, diagonal] = 1.0 + RIDGE
        self.cross = cross * self.unit

    def systems(self, passive: Mask) -> PassiveSystems:
        """The linear systems of this problem on passive sets of shape (k, n)."""
        return ColumnSystems(passive)


def _formed(A: Matrix, X: Any, given: Any) -> tuple[ScaledProblem, Index, Index]:
    """The scaled problem, and by which powers of two the columns of A and of X have been divided for it.

    These are zero but where columns are so large or small that their products would leave the range of doubles.
    Columns that are not finite have no finite sum, which one more column of A finds out on the way.
    """
    of_A, of_X = np.zeros(A.shape[1], np.intp), np.zeros(X.shape[1], np.intp)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = A.T @ A
        far = _outside(np.sqrt(gram.diagonal()), LENGTHS)
        if far.any() and A[:, far].any():  # not only zeros
            A, of_A = _normalised(A)
            gram = A.T @ A
        products = cross_product(np.column_stack([A, np.ones(len(A))]), X)
        problem = ScaledProblem(gram, products[:-1])
        scale = _largest(problem.cross)
    if not np.isfinite(products[-1]).all():
        check_finite(given, "X")  # sums of finite numbers may be infinite
    if (far := _outside(scale, PRODUCTS)).any():
        part, of_X[far] = _normalised(X[:, far])
        problem.cross[:, far] = cross_product(A, part) * problem.unit
    else:
        problem.scale = scale  # which is asked for anyway
    return problem, of_A, of_X


def _outside(values: Matrix, bounds: tuple[float, float]) -> Mask:
    """Whether values are below or above the bounds, or not finite."""
    return ~((values >= bounds[0]) & (values <= bounds[1]))


def _exponents(M: Matrix) -> Index:
    """The e of ``2^e <= |M| < 2^(e + 1)`` for every entry; for zeros one below all others."""
    return np.where(M == 0, np.iinfo(np.int16).min, np.frexp(M)[1] - 1)


def _normalised(M: Any) -> tuple[Any, Index]:
    """Scale every column by a power of two to a largest entry in [1/2, 1); return it with the exponents."""
    if sparse.issparse(M):
        M = sparse.csc_array(M)
        exponents = np.frexp(abs(M).max(axis=0).toarray().ravel())[1]
        data = np.ldexp(M.data, -np.repeat(exponents, np.diff(M.indptr)))
        return sparse.csc_array((data, M.indices, M.indptr), shape=M.shape), exponents
    exponents = np.frexp(_largest(M))[1]
    return np.ldexp(M, -exponents), exponents


def _scaled_back(problem: ScaledProblem, S: Matrix, exponents: Index, violation: float) -> tuple[Matrix, float]:
    """The solution in the units of A and X, and the violation, to which entries below the range of doubles add."""
    with np.errstate(over="ignore"):
        scaled = np.ldexp(S, exponents)
    if not np.isfinite(scaled).all():
        largest = np.finfo(float).max
        raise InputError(
            f"The solution exceeds {largest:g}, the largest double. Expected X scaled down or A scaled up."
        )
    rounded = np.ldexp(scaled, -exponents)
    residual = problem.residual(rounded / problem.unit)
    return scaled, max(violation, float(residual.max(initial=0.0)))


def _product(gram: Matrix, S: Matrix) -> Matrix:
    """``G S``, shape (k, n), for one G of shape (k, k) or one per column, (n, k, k)."""
    return gram @ S if gram.ndim == 2 else np.matvec(gram, S.T).T


def _of_columns(gram: Matrix, columns: Index) -> Matrix:
    """The Gram matrices of these columns."""
    return gram if gram.ndim == 2 else gram[columns]


def _largest(M: Matrix) -> Matrix:
    """Largest absolute entry of every column, shape (n,)."""
    return np.maximum(M.max(axis=0), -M.min(axis=0))


def _column_scale(M: Matrix) -> Matrix:
    """Largest absolute entry of every column; one for a column of zeros."""
    scale = _largest(M)
    scale[scale == 0] = 1.0
    return scale


@dataclass
class Pivoted:
    """The result of `pivot`: the solution in scaled variables and the systems that gave it."""

    S: Matrix
    systems: PassiveSystems
    n_iter: int


def pivot(problem: ScaledProblem, systems: PassiveSystems | None = None) -> Pivoted:
    """Solve `problem` (with RIDGE added) by `best_subsets` if it is small, otherwise by block principal pivoting.

    The passive sets of `systems`, or all variables, are passive at first.  All infeasible variables of a column change
    sides at once.  Where that has failed to lower their number PATIENCE times, only the one of largest index does,
    which cannot cycle.  Columns leave when they are optimal; those left after MAX_ITER rounds are solved one by one.
    """
    if (best := best_subsets(problem.gram, problem.cross)) is not None:
        return Pivoted(np.maximum(best.solve(problem.cross), 0.0), best, 1)
    k, n = problem.cross.shape
    gram = problem.gram
    systems = (systems or problem.systems(np.ones((k, n), bool))).factor(gram)
    S = systems.solve(problem.cross)
    gradient = _product(gram, S)
    gradient -= problem.cross
    gradient *= ~systems.passive  # which is rounding on the passive sets, as the solution is zero outside them
    lowest = np.minimum(S.min(axis=0), gradient.min(axis=0))
    if lowest.min() >= 0:
        return Pivoted(S, systems, 1)

    passive, tolerance = systems.passive.copy(), PIVOT_TOLERANCE * problem.scale
    columns = np.flatnonzero(lowest < 0)
    wrong = _infeasible(passive[:, columns], S[:, columns], gradient[:, columns], tolerance[columns])
    still = wrong.any(axis=0)
    columns, wrong = columns[still], wrong[:, still]
    fewest = np.full(len(columns), k + 1)
    patience = np.full(len(columns), PATIENCE)
    rounds: list[tuple[Index, PassiveSystems]] = []
    n_iter = 1
    while len(columns) and n_iter < MAX_ITER:
        n_iter += 1
        count = wrong.sum(axis=0)
        patience = np.where(count < fewest, PATIENCE, patience - 1)
        fewest = np.minimum(fewest, count)
        passive[:, columns] ^= np.where(patience >= 0, wrong, _last_only(wrong))
        cross, own = problem.cross[:, columns], _of_columns(gram, columns)
        rounds.append((columns, problem.systems(passive[:, columns]).factor(own)))
        S[:, columns] = part = rounds[-1][1].solve(cross)
        wrong = _infeasible(passive[:, columns], part, _product(own, part) - cross, tolerance[columns])
        still = wrong.any(axis=0)
        columns, wrong, fewest, patience = columns[still], wrong[:, still], fewest[still], patience[still]
    if len(columns):
        S[:, columns] = _active_set(_of_columns(gram, columns), problem.cross[:, columns])
        passive[:, columns] = S[:, columns] > 0
    elif sum(len(changed) for changed, _ in rounds) <= AMENDED_SHARE * n:
        return Pivoted(S, systems.amended(passive, rounds), n_iter)
    return Pivoted(S, problem.systems(passive).factor(gram), n_iter)


def settled(problem: ScaledProblem, S: Matrix, systems: PassiveSystems) -> tuple[Matrix, PassiveSystems]:
    """Make passive variables of NEGLIGIBLE size in a solution S (in scaled variables) active and exactly zero.

    At such a kink, where a variable vanishes together with its multiplier, both passive sets solve the problem, and
    the start of the search decides which of them is found.  The derivative through the solution must not depend on it.
    """
    large = NEGLIGIBLE * S.max(initial=0.0) < S
    if np.count_nonzero(large) == np.count_nonzero(systems.passive):
        return S, systems  # the usual case: none is small even beside the largest of all columns
    negligible = systems.passive & (np.minimum(S.max(axis=0, initial=0.0), problem.scale) * NEGLIGIBLE >= S)
    columns = np.flatnonzero(negligible.any(axis=0))
    if not len(columns):
        return S, systems
    passive = systems.passive & ~negligible
    on_fewer = problem.systems(passive[:, columns]).factor(_of_columns(problem.gram, columns))
    return np.where(negligible, 0.0, S), systems.amended(passive, [(columns, on_fewer)])


def _active_set(gram: Matrix, cross: Matrix) -> Matrix:
    """Solve column by column with scipy, as least squares in the Cholesky factor of `gram`."""
    factors = np.linalg.cholesky(np.broadcast_to(gram, (cross.shape[1], *gram.shape[-2:])))
    rhs = np.linalg.solve(factors, cross.T[:, :, None])[:, :, 0]
    return np.column_stack([optimize.nnls(F.T, column)[0] for F, column in zip(factors, rhs, strict=True)])


def _infeasible(passive: Mask, S: Matrix, gradient: Matrix, tolerance: Matrix) -> Mask:
    """Passive variables that are negative, and others whose multiplier is, by more than rounding."""
    rounding = len(S) * np.finfo(float).eps * _largest(S)
    return (S < 0) | (~passive & (gradient < -(tolerance + rounding)))


def _last_only(wrong: Mask) -> Mask:
    """The infeasible variable of largest index in every column."""
    last = len(wrong) - 1 - wrong[::-1].argmax(axis=0)
    return np.arange(len(wrong))[:, None] == last


def _refine(problem: ScaledProblem, solution: Pivoted) -> tuple[Matrix, float]:
    """Remove the effect of RIDGE by iterative refinement on the passive sets; return the violation left."""
    S, residual = solution.S, problem.residual(solution.S)
    for _ in range(REFINEMENTS):
        if residual.max(initial=0.0) <= REFINE_ABOVE:
            break
        better = np.maximum(S - solution.systems.solve(problem.gradient(S)), 0.0)
        better_residual = problem.residual(better)
        if not (better_residual < residual).any():
            break
        S = np.where(better_residual < residual, better, S)
        residual = np.minimum(residual, better_residual)
    return S, float(residual.max(initial=0.0))
