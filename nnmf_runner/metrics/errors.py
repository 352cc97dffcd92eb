"""How well the data are approximated, and how well they could be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.linalg import Matrix, singular_values, squared_norm, squared_residual

# Dense data up to this smaller side are decomposed whole, which gives the tail of the spectrum without cancellation.
WHOLE_SVD = 2000


def relative_error(X: Any, A: Matrix, S: Matrix, entries: NDArray[np.bool_] | None = None) -> float:
    """``||X - A S|| / ||X||`` (Frobenius).

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    A, S : ndarray of shape (m, k) and (k, n)
    entries : ndarray of bool, shape (m, n), optional
        The entries of dense X that both norms run over; all by default.
    """
    if entries is not None:
        return float(np.linalg.norm((X - A @ S)[entries]) / np.linalg.norm(X[entries]))
    return float(np.sqrt(squared_residual(X, A, S) / squared_norm(X)))


def eckart_young_floors(X: Any, ranks: Sequence[int]) -> list[float]:
    """Relative error that no factorisation of each rank can beat, ``sqrt(sum_{i > k} sigma_i^2) / ||X||``.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    ranks : sequence of int

    References
    ----------
    C. Eckart and G. Young, "The approximation of one matrix by another of lower rank", Psychometrika 1, 1936.
    """
    norm = squared_norm(X)
    if not sparse.issparse(X) and min(X.shape) <= WHOLE_SVD:
        squares = np.linalg.svd(X, compute_uv=False) ** 2
        tails = [float(squares[rank:].sum()) for rank in ranks]
    else:
        captured = np.cumsum(singular_values(X, max(ranks)) ** 2)
        tails = [max(0.0, norm - float(captured[rank - 1])) for rank in ranks]
    return [float(np.sqrt(tail / norm)) for tail in tails]
