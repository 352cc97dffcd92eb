"""How well the data are approximated, and how well they could be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.approximation import Approximation
from nnmf_runner.core.linalg import squared_norm, tail_shares


def relative_error(X: Any, approximation: Approximation, entries: NDArray[np.bool_] | None = None) -> float:
    """``||X - approximation|| / ||X||`` (Frobenius); zero for data of zeros that are approximated by zeros.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    approximation : Approximation of shape (m, n)
    entries : ndarray of bool, shape (m, n), optional
        The entries of dense X that both norms run over; all by default.

    Examples
    --------
    >>> from nnmf_runner.core.approximation import Product
    >>> relative_error(np.diag([3.0, 4.0]), Product(np.eye(2)[:, 1:], np.array([[0.0, 4.0]])))
    0.6
    """
    if entries is not None:
        residual = np.linalg.norm((X - approximation.dense())[entries])
        return float(residual / np.linalg.norm(X[entries])) if residual else 0.0
    square = approximation.squared_residual(X)
    return float(np.sqrt(square / squared_norm(X))) if square else 0.0


def eckart_young_floors(
    X: Any, ranks: Sequence[int], shares: Callable[[Any, Sequence[int]], Sequence[float]] = tail_shares
) -> list[float]:
    """Relative error that no factorisation of each rank can beat, ``sqrt(sum_{i > k} sigma_i^2) / ||X||``.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    ranks : sequence of int
    shares : callable
        Gives the squares of these errors; for a tensor that of its unfoldings, see `Method.floor_shares`.

    Examples
    --------
    >>> eckart_young_floors(np.diag([3.0, 4.0]), [1, 2])
    [0.6, 0.0]
    """
    return [float(np.sqrt(share)) for share in shares(X, ranks)]
