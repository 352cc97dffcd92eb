"""Beta-divergences, the losses of data or labels that multiplicative updates decrease.

Missing entries of the data are zero, and a mask leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse, special

from nnmf_runner.core.linalg import BUFFER, Mask, Matrix, doubles, parts, stored

# Replaces zeros of the approximation, by which is divided.
SMALLEST = float(np.sqrt(np.finfo(float).tiny))


def smallest_of(V: Matrix) -> float:
    """What replaces zeros of V in its precision, of which powers and quotients are finite still."""
    return float(np.sqrt(np.finfo(V.dtype).tiny))


@dataclass(frozen=True, eq=False)
class BetaDivergence:
    """``D(X | V)`` of order beta over the known entries: ``1/2 ||X - V||^2`` for 2, the I-divergence for 1.

    Parameters
    ----------
    beta : float
        From 1 to 2.
    mask : ndarray of bool, shape (m, n), optional
        True where an entry is known; ``X`` is zero elsewhere.
    smallest : float
        Replaces smaller entries of the approximation, by which is divided.

    References
    ----------
    C. Fevotte and J. Idier, "Algorithms for nonnegative matrix factorization with the beta-divergence", Neural
    Comput. 23(9), 2011.
    """

    beta: float = 2.0
    mask: Mask | None = None
    smallest: float = SMALLEST

    @property
    def is_plain(self) -> bool:
        """Whether it is half the squared residual of all entries."""
        return self.beta == 2.0 and self.mask is None

    def unit(self, X: Any) -> float:
        """The unit of a relative cost, ``sum X^beta / beta``: half of ``||X||^2`` for 2, the sum of X for 1."""
        values = stored(X) if sparse.issparse(X) else X
        powers = values if self.beta == 1.0 else values**self.beta  # which would be a copy
        return float(powers.sum(dtype=np.float64)) / self.beta

    def entries(self, X: Matrix, V: Matrix) -> Matrix:
        """The terms of ``D(X | V)``, one per entry, shape (m, n)."""
        V = self._lifted(V)
        if self.beta == 2.0:
            each = 0.5 * (X - V) ** 2
        elif self.beta == 1.0:
            each = special.kl_div(X, V)
        else:
            b = self.beta
            each = (X**b + (b - 1.0) * V**b - b * X * V ** (b - 1.0)) / (b * (b - 1.0))
        return each if self.mask is None else each * self.mask

    def value(self, X: Matrix, V: Matrix) -> float:
        """``D(X | V)``."""
        return float((self.entries(X, V) if V.dtype == np.float64 else self.by_column(X, V)).sum())

    def by_column(self, X: Matrix, V: Matrix) -> Matrix:
        """The part of every column in ``D(X | V)``, shape (n,), in double precision, in which alone terms cancel."""
        if V.dtype == np.float64:
            return self.entries(X, V).sum(axis=0)
        found = np.empty(V.shape[1])
        for part in parts(len(found), max(1, BUFFER // len(V))):
            own = self if self.mask is None else replace(self, mask=self.mask[:, part])
            found[part] = own.entries(doubles(X[:, part]), doubles(V[:, part])).sum(axis=0)
        return found

    def _lifted(self, V: Matrix) -> Matrix:
        return np.maximum(V, max(self.smallest, smallest_of(V)))

    def parts(self, X: Matrix, V: Matrix) -> tuple[Matrix, Matrix]:
        """Nonnegative parts ``Q`` and ``P`` of the derivative ``Q - P`` with respect to V, shape (m, n) each."""
        if self.beta == 2.0:
            Q, P = V, X
        else:
            V = self._lifted(V)
            Q = V ** (self.beta - 1.0)
            P = X * Q / V  # a power costs ten divisions
        return (Q if self.mask is None else Q * self.mask), P
