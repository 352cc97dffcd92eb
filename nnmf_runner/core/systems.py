"""The linear systems on passive sets, solved with as much shared work between columns as possible.

Block principal pivoting, and the backward pass through its solution, solve ``G_FF x_F = b_F`` for every column and
its passive set F, all principal subsystems of one matrix.
"""

from __future__ import annotations

import numpy as np

from nnmf_runner.core.linalg import Index, Mask, Matrix

# Above this share of distinct passive sets, one solve per column beats one inverse per set (measured at k = 20).
GROUPING_SHARE = 0.125
# Largest k whose passive sets fit the bits of one integer key.
MAX_KEY_BITS = 62
# Largest condition number of G for which inverses are applied; above it every column is solved by elimination.
TRUSTED_CONDITION = 1e6
# Distinct passive sets are shared, whatever their share, if their inverses take no more doubles than this.
SMALL_STACK = 10_000
# Doubles in one stack of linear systems, of which a processor's cache holds several.
STACK_SIZE = 65_536
# Doubles that are kept from the forward to the backward pass: bounds the memory, whatever the number of columns.
KEPT_SIZE = 4_000_000
# Largest systems that are eliminated all at once, one step for a whole stack; LAPACK is faster on larger ones.
MAX_VECTORISED = 16


class PassiveSystems:
    """The linear systems ``G_FF x_F = b_F``, one for every column and its passive set F.

    How columns share work depends only on the passive sets and is found once: few distinct sets get an inverse each,
    many are solved in stacks of equal size.  A warm start keeps the object for the next, similar ``G``.  `passive` is
    of shape (k, n).
    """

    # Whether all columns have one G.
    common = True

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
            if is_trusted(self._inverses):
                self._stacks = None
                return self
        self._inverses = np.linalg.inv(gram)[None]
        by_active = is_trusted(self._inverses)
        if self._stacks is None or self._stacks.by_active != by_active:
            self._stacks = _Stacks(self.passive, by_active)
        self._stacks.forget()
        return self

    def amended(self, passive: Mask, rounds: list[tuple[Index, PassiveSystems]]) -> PassiveSystems:
        """These systems where those of some columns have changed, see `AmendedSystems`."""
        return AmendedSystems(passive, self, rounds)

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
                self._gathered = self._inverses.take(self._set_of, axis=0)
            return np.matvec(self._gathered, rhs.T).T
        S = np.empty_like(rhs)
        for part in _parts(n, k * k):
            S[:, part] = np.matvec(self._inverses.take(self._set_of[part], axis=0), rhs.T[part]).T
        return S


class ColumnSystems(PassiveSystems):
    """The systems of columns that have a G of their own, with one inverse per column."""

    common = False

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
        # Systems with fewer known entries than variables are singular but for the ridge, so they are refined once.
        return (S + np.matvec(self._inverses, rhs.T - np.matvec(self._gram, S))).T


class AmendedSystems(PassiveSystems):
    """Systems of which some columns have been solved again, on other passive sets, since they were factored.

    `first` are those of all columns, `rounds` columns and their new systems; the last round with a column counts.
    """

    def __init__(self, passive: Mask, first: PassiveSystems, rounds: list[tuple[Index, PassiveSystems]]) -> None:
        self.passive, self._first, self._rounds = passive, first, rounds
        self.common = first.common

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Systems on the present passive sets for another ``G``."""
        return (PassiveSystems if self.common else ColumnSystems)(self.passive).factor(gram)

    def amended(self, passive: Mask, rounds: list[tuple[Index, PassiveSystems]]) -> PassiveSystems:
        """These systems with more rounds, see `PassiveSystems.amended`."""
        return AmendedSystems(passive, self._first, [*self._rounds, *rounds])

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
        """Drop the factors of the last ``G``."""
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

    The systems stand along the last axis, so that a step of the elimination is one operation on all of them.  Of all
    sets, shape (k, n), those of the b columns have s members.
    """

    def __init__(self, sets: Mask, columns: Index) -> None:
        n = sets.shape[1]
        rows = np.ascontiguousarray(np.nonzero(sets.T[columns])[1].reshape(len(columns), -1).T)  # (s, b)
        self.places = rows * n + columns  # in a matrix of shape (k, n), flattened
        self.size = rows.size * len(rows)
        self._rows = rows.astype(np.min_scalar_type(len(sets)))  # kept from one evaluation to the next
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
        """Positions of the systems in a flattened symmetric matrix of shape (k, k); shape (s, s, b)."""
        rows = self._rows.astype(np.intp)
        return rows[:, None] * k + rows


def _factored(systems: Matrix) -> Matrix:
    """Factor positive definite matrices (s, s, b) into ``L D L^T`` in place: L below ``D^{-1}`` on the diagonal."""
    for i in range(len(systems)):
        column = systems[i + 1 :, i]
        np.reciprocal(systems[i, i], out=systems[i, i])
        scaled = column * systems[i, i]
        systems[i + 1 :, i + 1 :] -= column[:, None] * scaled
        column[...] = scaled
    return systems


def _substituted(factors: Matrix, rhs: Matrix) -> Matrix:
    """Solutions for the factors of `_factored` and right-hand sides of shape (s, b), which are overwritten."""
    s = len(rhs)
    for i in range(s - 1):
        rhs[i + 1 :] -= factors[i + 1 :, i] * rhs[i]
    rhs *= np.einsum("iib->ib", factors)
    for i in range(s - 1, 0, -1):
        rhs[:i] -= factors[i, :i] * rhs[i]
    return rhs


def _distinct_systems(passive: Mask) -> tuple[Index, Mask | None, Mask | None]:
    """Find the distinct passive sets.

    Returns
    -------
    set_of : ndarray of shape (n,)
        Index of the set of every column.
    inside, outside : ndarray of bool, shape (u, k, k), or None where sharing does not pay
        True on the entries of ``G_FF``, and on the rest of the diagonal; kept for every block of columns, so small.
    """
    k, n = passive.shape
    if k <= MAX_KEY_BITS:
        keys = (1 << np.arange(k, dtype=np.int64)) @ passive
        _, first, set_of = np.unique(keys, return_index=True, return_inverse=True)
        if len(first) <= GROUPING_SHARE * n or len(first) * k * k <= SMALL_STACK:
            sets = passive.T[first]
            return set_of, sets[:, :, None] & sets[:, None, :], ~sets[:, :, None] & np.eye(k, dtype=bool)
    return np.empty(0, np.intp), None, None


def is_trusted(inverses: Matrix) -> bool:
    """Whether inverses of submatrices of a ``G`` of unit diagonal, shape (u, k, k), are accurate enough to apply.

    The largest entry of a positive definite matrix stands on its diagonal, so k^2 times it bounds the condition.
    """
    return bool(inverses.shape[-1] ** 2 * inverses.max() < TRUSTED_CONDITION)


def _equal_sizes(sets: Mask, columns: Index) -> list[_Stack]:
    """Stacks of columns whose sets have the same size; columns with empty sets are in none."""
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
