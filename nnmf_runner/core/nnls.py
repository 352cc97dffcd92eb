"""Nonnegative least squares for many right-hand sides at once.

The one operation that every layer rests on,

    q(A, X) = argmin_{S >= 0} ||X - A S||^2,

solved exactly for all columns of ``X`` together by block principal pivoting.  The Gram matrix ``G = A^T A``
and the cross products ``C = A^T X`` are formed once; the number of rows of ``A`` never appears again.

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
from numpy.typing import NDArray
from scipy import optimize, sparse

from nnmf_runner.core.checks import InputError, check_finite
from nnmf_runner.core.linalg import Matrix, cross_product

Mask = NDArray[np.bool_]
Index = NDArray[np.intp]

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
# Up to this share of columns solved again, the systems of the first round serve for the others.
AMENDED_SHARE = 0.5
# Above this share of distinct passive sets one solve a column beats one inverse a set (measured at k = 20).
GROUPING_SHARE = 0.125
# Largest k whose passive sets fit the bits of one integer key.
MAX_KEY_BITS = 62
# Largest condition number of G for which inverses are applied; above it every column is solved by elimination.
TRUSTED_CONDITION = 1e6
# Distinct passive sets are shared whatever their share when their inverses take no more doubles than this.
SMALL_STACK = 10_000
# Doubles in one stack of linear systems, of which a processor's cache holds several.
STACK_SIZE = 65_536
# Doubles that are kept from the forward to the backward pass: bounds the memory, whatever the number of columns.
KEPT_SIZE = 4_000_000
# Largest systems that are eliminated all at once, one step for a whole stack; LAPACK is faster on larger ones.
MAX_VECTORISED = 16


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
        `kkt_violation` of the solution.
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
        Passive sets to start from, as found for a similar problem.  By default every variable starts passive.

    Returns
    -------
    NNLSResult

    Raises
    ------
    InputError
        If a shape does not fit or an entry is not a finite number.

    Notes
    -----
    Where the solution is not unique (dependent columns of ``A``), one minimiser is returned.  All comparisons
    are relative to the columns of ``A`` and ``X``, so scaling either changes no passive set.  Since ``A^T A`` is
    formed, columns of ``A`` that are dependent but for less than about 1e-4 of their length cost accuracy; the
    result's `violation` says how much.

    References
    ----------
    J. Kim and H. Park, SIAM J. Sci. Comput. 33(6), 2011, section 4.

    Examples
    --------
    >>> nnls([[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [3.0, 1.0]]).S
    array([[2., 0.],
           [3., 1.]])
    """
    A, X = check_finite(A, "A"), check_finite(X, "X")
    A = A.toarray() if sparse.issparse(A) else A
    if X.shape[0] != A.shape[0]:
        raise InputError(f"X has {X.shape[0]} rows, expected {A.shape[0]}, as many as A.")
    shape = (A.shape[1], X.shape[1])
    if passive is not None and np.shape(passive) != shape:
        raise InputError(f"passive has shape {np.shape(passive)}, expected {shape}, the shape of the solution.")
    problem = ScaledProblem(A.T @ A, cross_product(A, X))
    solution = pivot(problem, None if passive is None else PassiveSystems(np.asarray(passive, bool)))
    S, violation = _refine(problem, solution)
    return NNLSResult(S * problem.unit, solution.systems.passive, solution.n_iter, violation)


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
    """
    problem = ScaledProblem(gram, cross)
    return float(problem.residual(S / problem.unit).max(initial=0.0))


class ScaledProblem:
    """The quadratic problem in variables that make every column of ``A`` a unit vector.

    Attributes
    ----------
    unit : ndarray of shape (k, 1)
        A solution of the scaled problem times `unit` solves the given one.
    gram, cross : ndarray of shape (k, k) and (k, n)
        The scaled ``G``, its diagonal one plus RIDGE, and ``C``.
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
        return _product(self.gram, S) - RIDGE * S - self.cross

    def residual(self, S: Matrix) -> Matrix:
        """Natural residual of every column of `S` (in scaled variables), shape (n,)."""
        gradient = self.gradient(S)
        relative = np.minimum(S / _column_scale(S), gradient / self.scale)
        return _largest(relative)


class ColumnProblem(ScaledProblem):
    """The same with a Gram matrix of its own for every column, as missing entries of ``X`` make it.

    Parameters
    ----------
    gram : ndarray of shape (n, k, k)
    cross : ndarray of shape (k, n)

    Attributes
    ----------
    unit : ndarray of shape (k, n)
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


def _product(gram: Matrix, S: Matrix) -> Matrix:
    """``G S``, shape (k, n), for a G of shape (k, k) or one a column, (n, k, k)."""
    return gram @ S if gram.ndim == 2 else np.matvec(gram, S.T).T


def _of_columns(gram: Matrix, columns: Index) -> Matrix:
    """The Gram matrices of some columns."""
    return gram if gram.ndim == 2 else gram[columns]


def _largest(M: Matrix) -> Matrix:
    """Largest absolute entry of every column, shape (n,)."""
    return np.maximum(M.max(axis=0), -M.min(axis=0))


def _column_scale(M: Matrix) -> Matrix:
    """Largest absolute entry of every column, one for a column of zeros."""
    scale = _largest(M)
    scale[scale == 0] = 1.0
    return scale


class PassiveSystems:
    """The linear systems ``G_FF x_F = b_F``, one for every column and its passive set F.

    How columns share work depends on the passive sets alone and is found once: few distinct sets get an
    inverse each, many are solved in stacks of equal size.  Keeping the object for the next, similar ``G``
    is what a warm start saves.

    Parameters
    ----------
    passive : ndarray of bool, shape (k, n)
    """

    def __init__(self, passive: Mask) -> None:
        self.passive = passive
        self._set_of, self._inside, self._outside = _distinct_systems(passive)
        self._stacks: _Stacks | None = None
        self._gathered: Matrix | None = None

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take `gram` of shape (k, k), symmetric positive definite and of unit diagonal, as ``G``."""
        self._gram, self._gathered = gram, None
        if self._inside is not None and self._outside is not None:
            # Off its passive set a system is made the identity, and that part of the inverse is dropped.
            self._inverses: Matrix = np.linalg.inv(gram * self._inside + self._outside) * self._inside
            if _is_trusted(self._inverses):
                self._stacks = None
                return self
        self._inverses = np.linalg.inv(gram)[None]
        by_active = _is_trusted(self._inverses)
        if self._stacks is None or self._stacks.by_active != by_active:
            self._stacks = _Stacks(self.passive, by_active)
        self._stacks.forget()
        return self

    def release(self) -> None:
        """Keep no more than the next `factor` can use; until then nothing can be solved."""
        self._gathered, self._inverses = None, np.empty(0)
        if self._stacks is not None:
            self._stacks.forget()

    def solve(self, rhs: Matrix) -> Matrix:
        """Solve for right-hand sides of shape (k, n); the solution is zero outside the passive sets."""
        if self._stacks is not None:
            return self._stacks.solve(self._gram, self._inverses[0], rhs)
        if len(self._inverses) == 1:
            return self._inverses[0] @ rhs
        k, n = rhs.shape
        if n * k * k <= KEPT_SIZE:
            if self._gathered is None:  # once for the forward and the backward pass
                self._gathered = self._inverses[self._set_of]
            return np.matvec(self._gathered, rhs.T).T
        S = np.empty_like(rhs)
        for part in _parts(n, k * k):
            S[:, part] = np.matvec(self._inverses[self._set_of[part]], rhs.T[part]).T
        return S


class ColumnSystems(PassiveSystems):
    """The systems where every column has a G of its own: one inverse a column.

    Parameters
    ----------
    passive : ndarray of bool, shape (k, n)
    """

    def __init__(self, passive: Mask) -> None:
        self.passive = passive

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take `gram` of shape (n, k, k), each symmetric positive definite and of unit diagonal."""
        sets = self.passive.T
        inside = sets[:, :, None] & sets[:, None, :]
        self._gram = gram
        self._inverses = np.linalg.inv(np.where(inside, gram, np.eye(gram.shape[-1]))) * inside
        return self

    def release(self) -> None:
        """Keep the passive sets, see `PassiveSystems.release`."""
        self._gram = self._inverses = np.empty(0)

    def solve(self, rhs: Matrix) -> Matrix:
        """Solve for right-hand sides of shape (k, n); the solution is zero outside the passive sets."""
        S = np.matvec(self._inverses, rhs.T)
        # Columns with fewer known entries than variables are singular but for the ridge: refined once.
        return (S + np.matvec(self._inverses, rhs.T - np.matvec(self._gram, S))).T


class AmendedSystems(PassiveSystems):
    """Systems of which some columns have been solved anew, on other passive sets, since they were factored.

    Parameters
    ----------
    passive : ndarray of bool, shape (k, n)
    first : PassiveSystems
        Of all columns.
    rounds : list of (ndarray of int, PassiveSystems)
        Columns and their new systems; a later round holds columns of the one before it.
    """

    def __init__(self, passive: Mask, first: PassiveSystems, rounds: list[tuple[Index, PassiveSystems]]) -> None:
        self.passive, self._first, self._rounds = passive, first, rounds
        self._renew = type(first)

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Systems on the present passive sets for another ``G``."""
        return self._renew(self.passive).factor(gram)

    def release(self) -> None:
        """Keep the passive sets, see `PassiveSystems.release`."""
        del self._first, self._rounds

    def solve(self, rhs: Matrix) -> Matrix:
        """Solve for right-hand sides of shape (k, n); the solution is zero outside the passive sets."""
        S = self._first.solve(rhs)
        for columns, systems in self._rounds:
            S[:, columns] = systems.solve(rhs[:, columns])
        return S


class _Stacks:
    """Columns sorted by the size of their systems, so that equal ones are solved in one call.

    A column with more passive than active variables is solved from its active set Z: with ``H = G^{-1}``,
    ``x = H (b + E_Z mu)`` vanishes on Z for ``H_ZZ mu = -(H b)_Z``, a smaller system.  That needs a ``G`` whose
    inverse is accurate; otherwise (`by_active` false) every column is solved from its passive set.
    """

    def __init__(self, passive: Mask, by_active: bool) -> None:
        self.by_active = by_active
        from_active = by_active & (2 * passive.sum(axis=0) > len(passive))
        self._passive = passive
        self._any_active = bool(from_active.any())  # columns without an active variable are in no stack
        self._passive_stacks = _equal_sizes(passive, np.flatnonzero(~from_active))
        self._active_stacks = _equal_sizes(~passive, np.flatnonzero(from_active))
        kept = 0
        for stack in (*self._passive_stacks, *self._active_stacks):
            kept += stack.size
            stack.keeps = kept <= KEPT_SIZE

    def forget(self) -> None:
        """Drop what was kept for the last ``G``."""
        for stack in (*self._passive_stacks, *self._active_stacks):
            stack.factors = None

    def solve(self, gram: Matrix, inverse: Matrix, rhs: Matrix) -> Matrix:
        """Solutions, shape (k, n), for ``G``, its inverse and right-hand sides of shape (k, n)."""
        S = np.zeros(rhs.shape)
        if self._any_active:
            shifted = rhs.copy()
            unrestricted = inverse @ rhs
            for stack in self._active_stacks:
                shifted.reshape(-1)[stack.places] -= stack.solve(inverse, unrestricted)
            S = (inverse @ shifted) * self._passive
        for stack in self._passive_stacks:
            S.reshape(-1)[stack.places] = stack.solve(gram, rhs)
        return S


class _Stack:
    """Principal subsystems of one matrix, all of one size s, for b columns.

    The systems stand along the last axis, so that a step of the elimination is one operation on all of them.

    Parameters
    ----------
    sets : ndarray of bool, shape (k, n)
    columns : ndarray of shape (b,)
        Columns whose sets have s members.
    """

    def __init__(self, sets: Mask, columns: Index) -> None:
        n = sets.shape[1]
        self._rows = np.ascontiguousarray(np.nonzero(sets.T[columns])[1].reshape(len(columns), -1).T)  # (s, b)
        self.places = self._rows * n + columns  # in a matrix of shape (k, n), flattened
        self.size = self._rows.size * len(self._rows)
        self.keeps = True
        self.factors: Matrix | None = None

    def solve(self, matrix: Matrix, rhs: Matrix) -> Matrix:
        """Solutions, shape (s, b), for a matrix of shape (k, k) and the members of `rhs`, shape (k, n)."""
        members = rhs.take(self.places)
        if len(members) > MAX_VECTORISED:
            systems = matrix.take(self._entries(len(matrix)).T)  # (b, s, s)
            return np.linalg.solve(systems, members.T[:, :, None])[:, :, 0].T
        factors = _factored(matrix.take(self._entries(len(matrix)))) if self.factors is None else self.factors
        self.factors = factors if self.keeps else None
        return _substituted(factors, members)

    def _entries(self, k: int) -> Index:
        """Where the systems stand in a symmetric matrix of shape (k, k), flattened; shape (s, s, b)."""
        return self._rows[:, None] * k + self._rows


def _factored(systems: Matrix) -> Matrix:
    """``L D L^T`` of positive definite matrices (s, s, b) in their place: L below ``D^{-1}`` on the diagonal."""
    for i in range(len(systems)):
        column = systems[i + 1 :, i]
        np.reciprocal(systems[i, i], out=systems[i, i])
        scaled = column * systems[i, i]
        systems[i + 1 :, i + 1 :] -= column[:, None] * scaled
        column[...] = scaled
    return systems


def _substituted(factors: Matrix, rhs: Matrix) -> Matrix:
    """Solutions for what `_factored` gives and right-hand sides of shape (s, b), which are overwritten."""
    s = len(rhs)
    for i in range(s - 1):
        rhs[i + 1 :] -= factors[i + 1 :, i] * rhs[i]
    rhs *= np.einsum("iib->ib", factors)
    for i in range(s - 1, 0, -1):
        rhs[:i] -= factors[i, :i] * rhs[i]
    return rhs


def _distinct_systems(passive: Mask) -> tuple[Index, Matrix | None, Matrix | None]:
    """Find the distinct passive sets.

    Returns
    -------
    set_of : ndarray of shape (n,)
        The set of every column.
    inside, outside : ndarray of shape (u, k, k), or None where sharing does not pay
        One on the entries of ``G_FF``; one on the rest of the diagonal.
    """
    k, n = passive.shape
    if k <= MAX_KEY_BITS:
        keys = (1 << np.arange(k, dtype=np.int64)) @ passive
        _, first, set_of = np.unique(keys, return_index=True, return_inverse=True)
        if len(first) <= GROUPING_SHARE * n or len(first) * k * k <= SMALL_STACK:
            sets = passive.T[first]
            return set_of, (sets[:, :, None] & sets[:, None, :]).astype(float), ~sets[:, :, None] * np.eye(k)
    return np.empty(0, np.intp), None, None


def _is_trusted(inverses: Matrix) -> bool:
    """Whether inverses of submatrices of a ``G`` of unit diagonal, shape (u, k, k), are accurate enough to apply.

    The largest entry of a positive definite matrix stands on its diagonal, so k^2 times it bounds the condition.
    """
    return bool(inverses.shape[-1] ** 2 * inverses.max() < TRUSTED_CONDITION)


def _equal_sizes(sets: Mask, columns: Index) -> list[_Stack]:
    """Stacks of the `columns` whose sets have one size, without those of none."""
    size = sets[:, columns].sum(axis=0)
    order = np.argsort(size, kind="stable")
    ends = np.cumsum(np.bincount(size))
    stacks = []
    for s in range(1, len(ends)):
        chosen = columns[order[ends[s - 1] : ends[s]]]
        stacks += [_Stack(sets, chosen[part]) for part in _parts(len(chosen), s * s)]
    return stacks


def _parts(n: int, doubles_each: int) -> list[slice]:
    """Slices of ``range(n)`` such that each part needs at most STACK_SIZE doubles."""
    step = max(1, STACK_SIZE // doubles_each)
    return [slice(start, start + step) for start in range(0, n, step)]


@dataclass
class Pivoted:
    """What `pivot` found: the solution in scaled variables and the systems that gave it."""

    S: Matrix
    systems: PassiveSystems
    n_iter: int


def pivot(problem: ScaledProblem, systems: PassiveSystems | None = None) -> Pivoted:
    """Solve `problem` (with RIDGE added) by block principal pivoting, from all passive or the sets of `systems`.

    Every infeasible variable of a column changes sides at once.  Where that fails to lower their number
    PATIENCE times, only the one of largest index does, which cannot cycle.  Columns leave when optimal.
    What MAX_ITER rounds leave open is solved column by column.
    """
    k, n = problem.cross.shape
    gram = problem.gram
    systems = (systems or problem.systems(np.ones((k, n), bool))).factor(gram)
    S = systems.solve(problem.cross)
    gradient = _product(gram, S) - problem.cross
    if np.where(systems.passive, S, gradient).min() >= 0:
        return Pivoted(S, systems, 1)

    passive, tolerance = systems.passive.copy(), PIVOT_TOLERANCE * problem.scale
    wrong = _infeasible(passive, S, gradient, tolerance)
    columns = np.flatnonzero(wrong.any(axis=0))
    wrong = wrong[:, columns]
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
        return Pivoted(S, AmendedSystems(passive, systems, rounds), n_iter)
    return Pivoted(S, problem.systems(passive).factor(gram), n_iter)


def _active_set(gram: Matrix, cross: Matrix) -> Matrix:
    """Solve column by column with scipy, as least squares in the Cholesky factor of `gram`."""
    factors = np.linalg.cholesky(np.broadcast_to(gram, (cross.shape[1], *gram.shape[-2:])))
    rhs = np.linalg.solve(factors, cross.T[:, :, None])[:, :, 0]
    return np.column_stack([optimize.nnls(F.T, column)[0] for F, column in zip(factors, rhs, strict=True)])


def _infeasible(passive: Mask, S: Matrix, gradient: Matrix, tolerance: Matrix) -> Mask:
    """Passive variables that are negative and others whose multiplier is; rounding counts as neither."""
    rounding = len(S) * np.finfo(float).eps * _largest(S)
    return np.where(passive, S < 0, gradient < -(tolerance + rounding))


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
        better = S - solution.systems.solve(problem.gradient(S))
        better = np.maximum(better, 0.0)
        better_residual = problem.residual(better)
        if not (better_residual < residual).any():
            break
        S = np.where(better_residual < residual, better, S)
        residual = np.minimum(residual, better_residual)
    return S, float(residual.max(initial=0.0))
