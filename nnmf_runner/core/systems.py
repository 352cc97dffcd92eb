"""The linear systems on passive sets, those of many columns in one operation.

Block principal pivoting, and the backward pass through its solution, solve ``G_FF x_F = b_F`` for every column and
its passive set F, all principal subsystems of one matrix.
"""

from __future__ import annotations

import numpy as np

from nnmf_runner.core.linalg import Index, Mask, Matrix

# Largest condition number of G for which inverses are applied; above it every column is solved by elimination.
TRUSTED_CONDITION = 1e6
# Doubles up to which one inverse for each column takes less time than the calls that stacks take.
FEW = 2_000
# Doubles in one stack of linear systems, of which a processor's cache holds several.
STACK_SIZE = 65_536
# Doubles that are kept from the forward to the backward pass: bounds the memory, whatever the number of columns.
KEPT_SIZE = 4_000_000
# Largest systems that are eliminated all at once, one step for a whole stack; LAPACK is faster on larger ones.
MAX_VECTORISED = 16


class PassiveSystems:
    """The linear systems ``G_FF x_F = b_F``, one for every column and its passive set F.

    Small problems take one inverse for every column, others stacks of systems, which depend only on the passive sets
    and are built once, when they are first needed.  A warm start keeps the object for the next ``G``.  `passive` is of
    shape (k, n), and `inverses` of a ``G``, if they are known, of shape (n, k, k).
    """

    def __init__(self, passive: Mask, inverses: Matrix | None = None) -> None:
        self.passive = passive
        self._inside = inside_of(passive) if len(passive) * passive.size <= FEW else None
        self._stacks: _Stacks | None = None
        self._each = inverses

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take `gram` of shape (k, k), symmetric positive definite and of unit diagonal, as ``G``."""
        self._gram, self._each = gram, None
        if self._inside is not None and is_trusted(inverses := inverses_of(gram, self._inside)):
            self._each = inverses
        else:
            self._inverse = np.linalg.inv(gram)
        if self._stacks is not None:
            self._stacks.forget()
        return self

    def amended(self, passive: Mask, rounds: list[tuple[Index, PassiveSystems]]) -> PassiveSystems:
        """These systems where those of some columns have changed, see `AmendedSystems`."""
        return AmendedSystems(passive, self, rounds)

    def release(self) -> None:
        """Keep no more than the next `factor` can use; until then nothing can be solved."""
        self._each = None
        if self._stacks is not None:
            self._stacks.forget()

    def solve(self, rhs: Matrix) -> Matrix:
        """Solve for right-hand sides of shape (k, n); the solution is zero outside the passive sets."""
        if self._each is not None:
            return np.matvec(self._each, rhs.T).T
        by_active = is_trusted(self._inverse)
        if self._stacks is None or self._stacks.by_active != by_active:
            self._stacks = _Stacks(self.passive, by_active)
        return self._stacks.solve(self._gram, self._inverse, rhs)


class ColumnSystems(PassiveSystems):
    """The systems of columns that have a G of their own, with one inverse per column."""

    def __init__(self, passive: Mask) -> None:
        self.passive = passive

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take `gram` of shape (n, k, k), each symmetric positive definite and of unit diagonal."""
        self._gram, self._inverses = gram, inverses_of(gram, inside_of(self.passive))
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
        self._renew = type(first)

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Systems on the present passive sets for another ``G``."""
        return self._renew(self.passive).factor(gram)

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
    """Columns sorted by the size of their systems, so that similar ones are solved in one call.

    A column with more passive than active variables is solved from its active set Z: with ``H = G^{-1}``,
    ``x = H (b + E_Z mu)`` vanishes on Z for ``H_ZZ mu = -(H b)_Z``, a smaller system.  That needs a ``G`` whose
    inverse is accurate; otherwise (`by_active` false) every column is solved from its passive set.
    """

    def __init__(self, passive: Mask, by_active: bool) -> None:
        k, n = passive.shape
        self.by_active, self._passive = by_active, passive
        size = passive.sum(axis=0, dtype=np.min_scalar_type(k))
        self._from_active = by_active & (size > k // 2)
        sets = passive ^ self._from_active
        size = np.where(self._from_active, k - size, size)
        order = np.argsort(size, kind="stable")
        self._stacks: list[_Stack] = []
        kept, end = 0, n
        while end and (largest := int(size[order[end - 1]])):  # columns with empty sets are in no stack
            start = max(0, end - max(1, STACK_SIZE // largest**2))
            columns, end = order[start:end], start
            self._stacks.append(_Stack(sets, columns, largest, self._from_active))
            kept += len(columns) * largest**2
            self._stacks[-1].keeps = kept <= KEPT_SIZE

    def forget(self) -> None:
        """Drop the factors of the last ``G``."""
        for stack in self._stacks:
            stack.factors = None

    def solve(self, gram: Matrix, inverse: Matrix, rhs: Matrix) -> Matrix:
        """Solutions, shape (k, n), for ``G``, its inverse and right-hand sides of shape (k, n)."""
        k, n = rhs.shape
        members, found = np.empty((k + 1, n)), np.zeros((k + 1, n))  # the last row is of no variable
        members[:k], members[k] = np.where(self._from_active, inverse @ rhs, rhs) if self.by_active else rhs, 0.0
        for stack in self._stacks:
            found.reshape(-1)[stack.places] = stack.solve((gram, inverse), members)
        S = found[:k]
        if self.by_active:
            S = np.where(self._from_active, inverse @ (rhs - S), S)
        return S * self._passive


class _Stack:
    """Principal subsystems of two matrices, all filled up to one size s with the identity, for b columns.

    The systems stand along the last axis, so that a step of the elimination is one operation on all of them.
    """

    def __init__(self, sets: Mask, columns: Index, size: int, of_second: Mask) -> None:
        k, n = sets.shape
        members, place = sets.T[columns], np.arange(size)  # (b, k)
        rows = np.tile(k + place, (len(columns), 1))
        rows[place < members.sum(axis=1, dtype=np.intp)[:, None]] = np.flatnonzero(members) % k
        rows = np.ascontiguousarray(rows.T)  # (s, b)
        # Kept from one evaluation to the next, so in few bytes.  Places are in a matrix of shape (k + 1, n), flattened.
        self.places = (np.minimum(rows, k) * n + columns).astype(np.min_scalar_type((k + 1) * n))
        self._rows = rows.astype(np.min_scalar_type(k + size))
        self._second = of_second[columns]
        self.keeps = True
        self.factors: Matrix | None = None

    def solve(self, matrices: tuple[Matrix, Matrix], rhs: Matrix) -> Matrix:
        """Solutions, shape (s, b), for two matrices of shape (k, k) and members of `rhs`, shape (k + 1, n)."""
        members = rhs.take(self.places)
        if len(members) > MAX_VECTORISED:
            systems = self._systems(matrices).transpose(2, 0, 1)
            return np.linalg.solve(systems, members.T[:, :, None])[:, :, 0].T
        factors = _factored(self._systems(matrices)) if self.factors is None else self.factors
        self.factors = factors if self.keeps else None
        return _substituted(factors, members)

    def _systems(self, matrices: tuple[Matrix, Matrix]) -> Matrix:
        """The systems, shape (s, s, b)."""
        s, k = len(self._rows), len(matrices[0])
        filled = np.zeros((2, k + s, k + s))
        filled[:, :k, :k] = matrices
        filled[:, range(k, k + s), range(k, k + s)] = 1.0
        rows = self._rows.astype(np.intp)
        return filled.take((rows + (k + s) * self._second)[:, None] * (k + s) + rows)


def _factored(systems: Matrix) -> Matrix:
    """Factor symmetric positive definite matrices (s, s, b) into ``L D L^T`` in place.

    Below the diagonal of D^{-1} stands L, above it ``(L D)^T``.
    """
    for i, row in enumerate(systems):
        row[i:] -= np.einsum("jb,jpb->pb", row[:i], systems[:i, i:])
        np.reciprocal(row[i], out=row[i])
        np.multiply(row[i + 1 :], row[i], out=systems[i + 1 :, i])
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


def inside_of(passive: Mask) -> Mask:
    """True on the entries of ``G_FF`` for every column, shape (n, k, k)."""
    sets = passive.T
    return sets[:, :, None] & sets[:, None, :]


def inverses_of(gram: Matrix, inside: Mask) -> Matrix:
    """One inverse for every column, shape (n, k, k), zero outside the passive sets."""
    return np.linalg.inv(np.where(inside, gram, np.eye(gram.shape[-1]))) * inside


def is_trusted(inverse: Matrix) -> bool:
    """Whether inverses of submatrices of a ``G`` of unit diagonal, shape (..., k, k), are accurate enough to apply.

    The largest entry of a positive definite matrix stands on its diagonal, so k^2 times it bounds the condition.
    """
    return bool(inverse.shape[-1] ** 2 * inverse.max(initial=0.0) < TRUSTED_CONDITION)
