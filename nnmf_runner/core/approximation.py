"""What a fit puts in the place of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from nnmf_runner.core.linalg import Matrix, squared_residual


class Approximation(Protocol):
    """An approximation of data of shape (m, n), kept as the factors that it is made of."""

    def dense(self) -> Matrix:
        """All of its entries, shape (m, n)."""

    def squared_residual(self, X: Any) -> float:
        """Its squared distance from dense or sparse X of shape (m, n), without an array of that shape for sparse X."""


@dataclass(frozen=True)
class Product:
    """A product of two factors.

    Attributes
    ----------
    left : ndarray of shape (m, k)
    right : ndarray of shape (k, n)
    """

    left: Matrix
    right: Matrix

    def dense(self) -> Matrix:
        """The product, see `Approximation.dense`."""
        return self.left @ self.right

    def squared_residual(self, X: Any) -> float:
        """``||X - left right||^2``, see `Approximation.squared_residual`."""
        return squared_residual(X, self.left, self.right)
