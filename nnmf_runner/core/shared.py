"""Linear systems of many columns whose passive sets repeat, in several parts: one inverse for every distinct set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnmf_runner.core.linalg import Index, Mask, Matrix, parts
from nnmf_runner.core.systems import STACK_SIZE, ColumnSystems, PassiveSystems, is_trusted

# Fewest columns for which a table of sets is made.
FEWEST = 2048
# Largest k whose passive sets fit the bits of one integer key.
MAX_KEY_BITS = 62
# Systems are filled up to a multiple of this size, so that fewer calls solve more of them.
STEP = 2


class SharedSystems(PassiveSystems):
    """The systems of some columns, whose inverses stand in a table for these and other columns.

    They are for one `factor` and what is solved after it; what is kept then is the passive sets.
    """

    def __init__(self, passive: Mask, table: _Table, set_of: Index) -> None:
        self.passive = passive
        self._table: _Table | None = table
        self._groups = table.groups(set_of)

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take a ``G``, see `PassiveSystems.factor`."""
        if self._table is None or not self._table.factor(gram):
            return PassiveSystems(self.passive).factor(gram)
        return self

    def release(self) -> None:
        """Keep the passive sets, see `PassiveSystems.release`."""
        self._table, self._groups = None, []

    def solve(self, rhs: Matrix) -> Matrix:
        """Solve for right-hand sides of shape (k, n); the solution is zero outside the passive sets."""
        S = np.zeros(rhs.shape)
        for group in self._groups:
            group.solve(rhs, S)
        return S


@dataclass
class _Sets:
    """Distinct sets, u of them, of at most s members: these and, where they are fewer, others to make up s."""

    rows: Index  # (u, s)
    inside: Mask  # (u, s)
    inverses: Matrix | None = None  # (u, s, s), zero outside the sets

    def factor(self, gram: Matrix) -> None:
        """Invert the systems of the sets, so that what is found for a set does not depend on the others."""
        u, s = self.rows.shape
        self.inverses = np.empty((u, s, s))
        for part in parts(u, max(1, STACK_SIZE // (s * s))):
            rows, inside = self.rows[part].T, self.inside[part].T
            both = inside[:, None] & inside
            systems = gram.take(rows[:, None] * len(gram) + rows) * both  # (s, s, u)
            systems[range(s), range(s)] += ~inside
            self.inverses[part] = (_inverted(systems) * both).transpose(2, 0, 1)


class _Table:
    """The distinct ones among many passive sets, given as bits of integers, and their inverses for one ``G``."""

    def __init__(self, keys: Index, k: int) -> None:
        sets = (keys[:, None] >> np.arange(k) & 1).astype(bool)  # (u, k)
        # Members of every set before all others, each in ascending order.
        rows = np.flatnonzero(np.hstack([sets, ~sets])).reshape(-1, k) % k
        size = sets.sum(axis=1)
        self._kind = (-(-size // STEP)).astype(np.uint8)  # of every set; none has a system in kind zero
        self._within = np.empty(len(keys), np.intp)
        self._kinds: list[_Sets] = []
        for kind in range(1, -(-k // STEP) + 1):
            chosen, s = np.flatnonzero(self._kind == kind), min(STEP * kind, k)
            self._within[chosen] = np.arange(len(chosen))
            self._kinds.append(_Sets(rows[chosen, :s], np.arange(s) < size[chosen, None]))
        self._gram: Matrix | None = None
        self._trusted = False

    def factor(self, gram: Matrix) -> bool:
        """Invert the systems of all sets, unless that is done; return whether inverses of this ``G`` are accurate."""
        if self._gram is None or not np.array_equal(self._gram, gram):
            self._gram, self._trusted = gram, is_trusted(np.linalg.inv(gram)[None])
            for sets in self._kinds if self._trusted else []:
                sets.factor(gram)
        return self._trusted

    def groups(self, set_of: Index) -> list[_Group]:
        """The columns with these sets by the sizes of their systems."""
        kind = self._kind[set_of]
        columns = np.argsort(kind, kind="stable")
        ends = np.cumsum(np.bincount(kind, minlength=len(self._kinds) + 1))
        which = self._within[set_of[columns]]
        return [
            _Group(sets, columns[start:end], which[start:end])
            for sets, start, end in zip(self._kinds, ends[:-1], ends[1:], strict=True)
            if end > start
        ]


class _Group:
    """Columns, b of them, whose systems are filled up to one size s, and which of the sets each of them has."""

    def __init__(self, sets: _Sets, columns: Index, which: Index) -> None:
        self._sets, self._columns, self._which = sets, columns, which
        self._places: Index | None = None
        self._inverses: Matrix | None = None

    def solve(self, rhs: Matrix, S: Matrix) -> None:
        """Put solutions into S for right-hand sides, both of shape (k, n)."""
        if self._places is None:
            self._places = self._sets.rows.take(self._which, axis=0)
            self._places *= rhs.shape[1]
            self._places += self._columns[:, None]
            self._inverses = self._sets.inverses.take(self._which, axis=0)
        S.reshape(-1)[self._places] = np.matvec(self._inverses, rhs.take(self._places))


def share(systems: Sequence[PassiveSystems]) -> Sequence[PassiveSystems]:
    """Systems on the same passive sets that share the work for equal ones, if there are many columns."""
    k, sizes = len(systems[0].passive), [each.passive.shape[1] for each in systems]
    if sum(sizes) < FEWEST or k > MAX_KEY_BITS or any(isinstance(each, ColumnSystems) for each in systems):
        return systems
    keys = np.concatenate([(1 << np.arange(k)) @ each.passive for each in systems])
    distinct, set_of = np.unique(keys, return_inverse=True)
    table = _Table(distinct, k)
    return [
        SharedSystems(each.passive, table, own)
        for each, own in zip(systems, np.split(set_of, np.cumsum(sizes)[:-1]), strict=True)
    ]


def _inverted(systems: Matrix) -> Matrix:
    """Inverses of symmetric positive definite matrices (s, s, u), in place."""
    for i in range(len(systems)):
        column = systems[:, i].copy()
        pivot = np.reciprocal(column[i])
        scaled = column * pivot
        systems -= column[:, None] * scaled
        systems[i] = systems[:, i] = scaled
        systems[i, i] = -pivot
    return np.negative(systems, out=systems)
