"""Linear systems of many columns whose passive sets repeat, in several parts: one inverse for every distinct set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, pairwise

import numpy as np

from nnmf_runner.core.linalg import Index, Mask, Matrix, parts
from nnmf_runner.core.systems import KEPT_SIZE, STACK_SIZE, PassiveSystems, is_trusted

# Fewest columns of a part that takes its inverses from a table; KEPT_SIZE bounds the memory of these.
FEWEST = 1024
# Largest share of distinct sets among the columns of a part that shares them.
SHARE = 0.6
# Largest k whose passive sets are keys that doubles hold exactly.
MAX_KEY_BITS = 52
# Systems are filled up to a multiple of this size, so that fewer calls solve more of them.
STEP = 4


class SharedSystems(PassiveSystems):
    """The systems of some columns, whose inverses stand in a table for these and other columns.

    Once they are released, they are no longer shared.
    """

    def __init__(self, passive: Mask, table: _Table, set_of: Index) -> None:
        self.passive = passive
        self._table: _Table | None = table
        self._groups = table.groups(set_of)

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take a ``G``, see `PassiveSystems.factor`."""
        if self._table is None or not self._table.factor(gram):
            return PassiveSystems(self.passive).factor(gram)
        for group in self._groups:
            group.inverses = None
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

    def invert(self, gram: Matrix, below: Matrix, found: Matrix) -> Matrix:
        """Put the inverses of all systems into `found`, shape (u, s, s), and return them in shape (s, s, u).

        They grow by one row and column from those of one member less, `below`, of shape (s - 1, s - 1, ...).
        """
        u, s = self.rows.shape
        inverses = np.empty((s, s, u))
        for part in parts(u, max(1, STACK_SIZE // (s * s))):
            new, last = inverses[:, :, part], self.rows[part, -1]
            border = gram.take(self.rows[part, :-1].T * len(gram) + last)  # (s - 1, u)
            old = below.take(self.shorter[part], axis=2)
            product = (old * border).sum(axis=1)
            schur = gram.take(last * (len(gram) + 1)) - (product * border).sum(axis=0)
            scaled = product / schur
            np.multiply(product[:, None], scaled, out=new[:-1, :-1])
            new[:-1, :-1] += old
            new[-1, :-1] = new[:-1, -1] = -scaled
            new[-1, -1] = 1.0 / schur
            found[part] = new.transpose(2, 0, 1)
        return inverses

    def filled(self, s: int) -> Index:
        """The members, and as many others as make up s, shape (u, s)."""
        rows, keys = [self.rows], self.keys.copy()
        for _ in range(s - self.rows.shape[1]):
            others = ~keys & (keys + 1)  # the lowest
            keys |= others
            rows.append(_last(others)[:, None])
        return np.concatenate(rows, axis=1)


class _Table:
    """The distinct ones among many passive sets, given as bits of integers, and their inverses for one ``G``.

    What is found for a set does not depend on the others.  Sets of similar size stand together, filled up to one size.
    """

    def __init__(self, keys: Index, k: int) -> None:
        size = np.bitwise_count(keys).astype(np.intp)
        wanted, shorter = [], np.empty(0, np.intp)
        for s in range(int(size.max()), 0, -1):
            of_size = _distinct(np.concatenate([keys[size == s], shorter]))
            # A single set stands twice, since numpy adds up in another order where there is no other.
            wanted.append(of_size if len(of_size) > 1 else of_size.repeat(2))
            shorter = of_size ^ 1 << _last(of_size)
        self._sets = [_Sets(np.zeros(1, np.intp), np.empty(0, np.intp), np.empty((1, 0), np.intp))]
        for of_size in reversed(wanted):
            below, last = self._sets[-1], _last(of_size)
            which = np.searchsorted(below.keys, of_size ^ 1 << last)
            self._sets.append(_Sets(of_size, which, np.concatenate([below.rows[which], last[:, None]], axis=1)))
        self._kind, self._within = -(-size // STEP), np.zeros(len(keys), np.intp)
        self.rows: list[Index] = []  # of every kind of size, (u, s)
        self.inverses: list[Matrix] = []  # (u, s, s), zero outside the sets
        self._ends = []
        for start in range(1, len(self._sets), STEP):
            of_kind, s = self._sets[start : start + STEP], min(start + STEP - 1, k)
            self.rows.append(np.concatenate([sets.filled(s) for sets in of_kind]))
            self._ends.append(np.cumsum([0, *(len(sets.keys) for sets in of_kind)]).tolist())
            for i, sets in enumerate(of_kind):
                chosen = size == start + i
                self._within[chosen] = np.searchsorted(sets.keys, keys[chosen]) + self._ends[-1][i]
        self._gram: Matrix | None = None
        self._trusted = False

    def factor(self, gram: Matrix) -> bool:
        """Invert the systems of all sets, unless that is done; return whether inverses of this ``G`` are accurate."""
        if self._gram is None or not np.array_equal(self._gram, gram):
            self._gram, self._trusted = gram, is_trusted(np.linalg.inv(gram)[None])
            self.inverses = [np.zeros((*rows.shape, rows.shape[1])) for rows in self.rows if self._trusted]
            below: Matrix = np.empty((0, 0, 1))
            for s, sets in enumerate(self._sets[1:] if self._trusted else [], 1):
                kind, i = divmod(s - 1, STEP)
                found = self.inverses[kind][self._ends[kind][i] : self._ends[kind][i + 1], :s, :s]
                below = sets.invert(gram, below, found)
        return self._trusted

    def groups(self, set_of: Index) -> list[_Group]:
        """The columns with these sets by the sizes of their systems; those with empty sets are in none."""
        kind = self._kind[set_of].astype(np.uint8)
        columns = np.argsort(kind, kind="stable")
        ends = np.cumsum(np.bincount(kind, minlength=len(self.rows) + 1)).tolist()
        which = self._within[set_of[columns]]
        return [
            _Group(self, i, columns[start:end], which[start:end])
            for i, (start, end) in enumerate(pairwise(ends))
            if end > start
        ]


class _Group:
    """Columns, b of them, whose systems are of one kind of size, and which of the sets each of them has."""

    def __init__(self, table: _Table, kind: int, columns: Index, which: Index) -> None:
        self._table, self._kind, self._columns, self._which = table, kind, columns, which
        self._places: Index | None = None
        self.inverses: Matrix | None = None

    def solve(self, rhs: Matrix, S: Matrix) -> None:
        """Put solutions into S for right-hand sides, both of shape (k, n)."""
        if self._places is None:
            self._places = self._table.rows[self._kind].take(self._which, axis=0)
            self._places *= rhs.shape[1]
            self._places += self._columns[:, None]
        if self.inverses is None:  # once for the forward and the backward pass
            self.inverses = self._table.inverses[self._kind].take(self._which, axis=0)
        S.reshape(-1)[self._places] = np.matvec(self.inverses, rhs.take(self._places))


def share(systems: Sequence[PassiveSystems]) -> list[PassiveSystems]:
    """Systems on the same passive sets, of which those of many columns with few distinct sets share inverses."""
    k = len(systems[0].passive)
    if k > MAX_KEY_BITS or not systems[0].common:
        return list(systems)
    keys = [_keys(each.passive) for each in systems]
    distinct = [_distinct(own) for own in keys]
    # Each decides for itself, so that the way in which its columns are solved does not depend on the others.
    shares = [
        FEWEST <= len(own) <= KEPT_SIZE / k**2 and len(of_own) <= SHARE * len(own)
        for own, of_own in zip(keys, distinct, strict=True)
    ]
    if not any(shares):
        return list(systems)
    every = _distinct(np.concatenate(list(compress(distinct, shares))))
    table = _Table(every, k)
    return [
        SharedSystems(each.passive, table, np.searchsorted(every, own)) if shared else each
        for each, own, shared in zip(systems, keys, shares, strict=True)
    ]


def _keys(passive: Mask) -> Index:
    """Every set as the bits of an integer, shape (n,), for sets of shape (k, n)."""
    return np.dot(2.0 ** np.arange(len(passive)), passive.astype(float)).astype(np.intp)


def _distinct(keys: Index) -> Index:
    """The distinct ones in ascending order; of integers that a processor sorts fast, faster than `numpy.unique`."""
    keys = np.sort(keys)
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])]


def _last(keys: Index) -> Index:
    """The highest bit of positive integers, which doubles hold exactly."""
    return np.frexp(keys.astype(float))[1].astype(np.intp) - 1
