"""Least squares for so few variables and columns that it is the calls which take time, rather than the arithmetic."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nnmf_runner.core.linalg import Mask, Matrix
from nnmf_runner.core.systems import PassiveSystems, is_trusted

# Numbers that all sets have for all columns: up to here they take less time than two rounds of pivoting.
MOST_SUBSETS = 2**16
# Numbers in the inverses of all columns: up to here they take less time than to find which columns can share one.
MOST_INVERSES = 1000
NOTHING = np.empty(0)


class OwnSystems(PassiveSystems):
    """Systems with an inverse for every column."""

    def __init__(self, passive: Mask, inverses: Matrix = NOTHING) -> None:
        self.passive = passive
        self._of_columns = inverses

    @staticmethod
    def suit(passive: Mask) -> bool:
        """Whether the columns of passive sets of shape (k, n) are so few that none need share an inverse."""
        return len(passive) * passive.size <= MOST_INVERSES

    def factor(self, gram: Matrix) -> PassiveSystems:
        """Take another ``G``, see `PassiveSystems.factor`."""
        if self.suit(self.passive):
            self._of_columns = _inverses(gram, *_entries(self.passive.T))
            if is_trusted(self._of_columns):
                return self
        return PassiveSystems(self.passive).factor(gram)

    def release(self) -> None:
        """Keep the passive sets, see `PassiveSystems.release`."""
        self._of_columns = NOTHING

    def solve(self, rhs: Matrix) -> Matrix:
        """Solve for right-hand sides of shape (k, n); the solution is zero outside the passive sets."""
        return np.matvec(self._of_columns, rhs.T).T


def best_subsets(gram: Matrix, cross: Matrix) -> OwnSystems | None:
    """The optimal passive sets for ``G`` of unit diagonal, shape (k, k), and ``C``, shape (k, n).

    Of the solutions on all sets, that is optimal whose variables on the set and multipliers off it are not negative: of
    which the least is largest, but for rounding.  Return None where there are too many, or inverses are not accurate.
    """
    k, n = cross.shape
    if gram.ndim > 2 or k * n << k > MOST_SUBSETS:
        return None
    sets, inside, outside = _subsets(k)
    inverses = _inverses(gram, inside, outside)  # (2^k, k, k)
    if not is_trusted(inverses):
        return None
    conditions = np.where(sets[:, :, None], inverses, gram @ inverses - np.eye(k))
    least = (conditions.reshape(-1, k) @ cross).reshape(len(sets), k, n).min(axis=1)
    best = least.argmax(axis=0)
    return OwnSystems(sets[best].T, inverses[best])


def _inverses(gram: Matrix, inside: Mask, outside: Mask) -> Matrix:
    """The inverses of principal submatrices, zero elsewhere."""
    return np.linalg.inv(gram * inside + outside) * inside


def _entries(sets: Mask) -> tuple[Mask, Mask]:
    """Where the submatrices of sets, shape (u, k), have their entries, and the rest of the diagonal."""
    return sets[:, :, None] & sets[:, None, :], ~sets[:, :, None] & np.eye(sets.shape[1], dtype=bool)


@lru_cache(maxsize=16)
def _subsets(k: int) -> tuple[Mask, Mask, Mask]:
    """All subsets of k variables, shape (2^k, k), and their `_entries`."""
    sets = (np.arange(1 << k)[:, None] >> np.arange(k) & 1).astype(bool)
    return sets, *_entries(sets)
