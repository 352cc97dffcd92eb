"""Least squares for so few variables and columns that it is the calls which take time, rather than the arithmetic."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nnmf_runner.core.linalg import Mask, Matrix
from nnmf_runner.core.systems import PassiveSystems, inside_of, inverses_of, is_trusted

# Numbers that all sets have for all columns: up to here they take less time than two rounds of pivoting.
MOST_SUBSETS = 2**16


def best_subsets(gram: Matrix, cross: Matrix) -> PassiveSystems | None:
    """The optimal passive sets for ``G`` of unit diagonal, shape (k, k), and ``C``, shape (k, n).

    Of the solutions on all sets, that is optimal whose variables on the set and multipliers off it are not negative: of
    which the least is largest, but for rounding.  Return None where there are too many, or inverses are not accurate.
    """
    k, n = cross.shape
    if gram.ndim > 2 or k * n << k > MOST_SUBSETS:
        return None
    sets, inside = _subsets(k)
    inverses = inverses_of(gram, inside)  # (2^k, k, k)
    if not is_trusted(inverses):
        return None
    conditions = np.where(sets[:, :, None], inverses, gram @ inverses - np.eye(k))
    least = (conditions.reshape(-1, k) @ cross).reshape(len(sets), k, n).min(axis=1)
    best = least.argmax(axis=0)
    return PassiveSystems(sets[best].T, inverses[best])


@lru_cache(maxsize=16)
def _subsets(k: int) -> tuple[Mask, Mask]:
    """All subsets of k variables, shape (2^k, k), and `inside_of` them."""
    sets = (np.arange(1 << k)[:, None] >> np.arange(k) & 1).astype(bool)
    return sets, inside_of(sets.T)
