"""What a fit puts in the place of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from nnmf_runner.core.linalg import Matrix, squared_residual
from nnmf_runner.core.tensor import as_tensor, khatri_rao


class Approximation(Protocol):
    """An approximation of data of shape (m, n), kept as the factors that it is made of."""

    def dense(self) -> Matrix:
        """All of its entries, shape (m, n)."""

    def squared_residual(self, X: Any) -> float:
        """Its squared distance from dense or sparse X of shape (m, n), without an array of that shape for sparse X."""

    def part(self, shape: Sequence[int], spans: Sequence[slice]) -> NDArray[Any]:
        """The entries within a span of every mode, of a tensor of this shape that stands as the matrix (m, n)."""


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

    def part(self, shape: Sequence[int], spans: Sequence[slice]) -> NDArray[Any]:
        """Some entries, see `Approximation.part`."""
        return self.left.reshape(*shape[:-1], -1)[tuple(spans[:-1])] @ self.right[:, spans[-1]]


@dataclass(frozen=True)
class CPModel:
    """A CP model ``[[F_1, ..., F_N]]`` of a tensor that is kept as the matrix of its fibres by the last mode.

    Attributes
    ----------
    factors : sequence of ndarray of shape (d_i, R)
        Mode N is that of the samples.
    """

    factors: Sequence[Matrix]

    def dense(self) -> Matrix:
        """All entries, shape ``(d_1 ... d_{N-1}, d_N)``, see `Approximation.dense`."""
        return khatri_rao(self.factors[:-1]) @ self.factors[-1].T

    def squared_residual(self, X: Any) -> float:
        """``||X - [[F_1, ..., F_N]]||^2``, see `Approximation.squared_residual`."""
        return as_tensor(X, [len(factor) for factor in self.factors]).residual(self.factors)

    def part(self, shape: Sequence[int], spans: Sequence[slice]) -> NDArray[Any]:
        """Some entries, see `Approximation.part`."""
        factors = [factor[span] for factor, span in zip(self.factors, spans, strict=True)]
        return CPModel(factors).dense().reshape([len(factor) for factor in factors])
