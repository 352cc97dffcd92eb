"""Linear systems of many columns whose passive sets repeat, in several parts: one inverse for every distinct set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nnmf_runner.core.linalg import Index, Mask, Matrix, parts
from nnmf_runner.core.systems import STACK_SIZE, PassiveSystems, is_trusted

# Fewest columns for which a table of sets is made.
FEWEST = 2048
# Largest k whose passive sets are keys that doubles hold exactly.
MAX_KEY_BITS = 52


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
    """Distinct sets of one size s, u of them.  Without their last member they are among those of size s - 1."""

    keys: Index  # ascending
    shorter: Index  # (u,), which of the sets without the last member
    rows: Index  # (u, s), the members, ascending
    inverses: Matrix  # (u, s, s)

    def factor(self, gram: Matrix, below: Matrix) -> Matrix:
        """Invert the systems of all sets by those of one member less, `below`, both of shape (s, s, u)."""
        u, s = self.rows.shape
        found, self.inverses = np.empty((s, s, u)), np.empty((u, s, s))
        for part in parts(u, max(1, STACK_SIZE // (s * s))):
            of_part, last = found[:, :, part], self.rows[part, -1]
            border = gram.take(self.rows[part, :-1].T * len(gram) + last)  # (s - 1, u)
            inverse = below.take(self.shorter[part], axis=2)
            product = (inverse * border).sum(axis=1)
            schur = gram.take(last * (len(gram) + 1)) - (product * border).sum(axis=0)
            scaled = product / schur
            np.multiply(product[:, None], scaled, out=of_part[:-1, :-1])
            of_part[:-1, :-1] += inverse
            of_part[-1, :-1] = of_part[:-1, -1] = -scaled
            of_part[-1, -1] = 1.0 / schur
            self.inverses[part] = of_part.transpose(2, 0, 1)
        return found


class _Table:
    """The distinct ones among many passive sets, given as bits of integers, and their inverses for one ``G``.

    An inverse grows from that of the set without its last member by one row and column, so what is found for a set
    does not depend on the others.
    """

    def __init__(self, keys: Index, k: int) -> None:
        self._size = np.bitwise_count(keys)
        wanted, shorter = [], np.empty(0, np.intp)
        for size in range(int(self._size.max()), 0, -1):
            wanted.append(_distinct(np.concatenate([keys[self._size == size], shorter])))
            shorter = wanted[-1] ^ 1 << _last(wanted[-1])
        self._sets = [_Sets(np.zeros(1, np.intp), np.empty(0, np.intp), np.empty((1, 0), np.intp), np.empty((1, 0, 0)))]
        self._within = np.zeros(len(keys), np.intp)
        for size, of_size in enumerate(reversed(wanted), 1):
            below, last = self._sets[-1], _last(of_size)
            parent = np.searchsorted(below.keys, of_size ^ 1 << last)
            rows = np.concatenate([below.rows[parent], last[:, None]], axis=1)
            self._sets.append(_Sets(of_size, parent, rows, np.empty(0)))
            chosen = self._size == size
            self._within[chosen] = np.searchsorted(of_size, keys[chosen])
        self._gram: Matrix | None = None
        self._trusted = False

    def factor(self, gram: Matrix) -> bool:
        """Invert the systems of all sets, unless that is done; return whether inverses of this ``G`` are accurate."""
        if self._gram is None or not np.array_equal(self._gram, gram):
            self._gram, self._trusted = gram, is_trusted(np.linalg.inv(gram)[None])
            inverses = np.empty((0, 0, 1))
            for sets in self._sets[1:] if self._trusted else []:
                inverses = sets.factor(gram, inverses)
        return self._trusted

    def groups(self, set_of: Index) -> list[_Group]:
        """The columns with these sets by the sizes of their systems; those with empty sets are in none."""
        size = self._size[set_of]
        columns = np.argsort(size, kind="stable")
        ends = np.cumsum(np.bincount(size, minlength=len(self._sets))).tolist()
        which = self._within[set_of[columns]]
        return [
            _Group(sets, columns[start:end], which[start:end])
            for sets, (start, end) in zip(self._sets[1:], pairwise(ends), strict=True)
            if end > start
        ]


class _Group:
    """Columns, b of them, whose systems are of one size s, and which of the sets each of them has."""

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
    if sum(sizes) < FEWEST or k > MAX_KEY_BITS or not systems[0].common:
        return systems
    keys = np.concatenate([(1 << np.arange(k)) @ each.passive for each in systems])
    distinct = _distinct(keys)
    table, set_of = _Table(distinct, k), np.searchsorted(distinct, keys)
    return [
        SharedSystems(each.passive, table, own)
        for each, own in zip(systems, np.split(set_of, np.cumsum(sizes)[:-1]), strict=True)
    ]


def _distinct(keys: Index) -> Index:
    """The distinct ones in ascending order; of integers that a processor sorts fast, faster than `numpy.unique`."""
    keys = np.sort(keys)
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])]


def _last(keys: Index) -> Index:
    """The highest bit of positive integers, which doubles hold exactly."""
    return np.frexp(keys.astype(float))[1].astype(np.intp) - 1
