"""How well a fit predicts entries of rows and columns that it has not seen."""

from __future__ import annotations

import numpy as np

from nnmf_runner.core.approximation import Product
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import Matrix, in_order
from nnmf_runner.datasets.resample import Block, LeftOut
from nnmf_runner.metrics.errors import relative_error


def left_out_error(topics: Matrix, codes: Matrix, left_out: LeftOut, *, signed: bool = False) -> float | None:
    """Relative error of a corner that is predicted from its rows and its columns; None for a corner of zeros.

    Parameters
    ----------
    topics : ndarray of shape (m, k)
        What codes the columns that are left out, by nonnegative least squares.
    codes : ndarray of shape (k, n)
        What codes the rows that are left out in the same way.
    left_out : LeftOut
    signed : bool
        Whether topics may have any sign: then the rows are coded by least squares.

    References
    ----------
    A. B. Owen and P. O. Perry, "Bi-cross-validation of the SVD and the nonnegative matrix factorization", Ann. Appl.
    Stat. 3(2), 2009.

    Examples
    --------
    >>> X = np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 2.0])
    >>> seen, row, column, corner = X[:2, :2], X[2:, :2], X[:2, 2:], X[2:, 2:]
    >>> left_out = LeftOut(Block(row), Block(column), Block(corner))
    >>> round(left_out_error(seen[:, :1], np.ones((1, 2)), left_out), 9)
    0.0
    """
    rows, columns, corner = left_out.rows, left_out.columns, left_out.corner
    if not abs(corner.X).sum():
        return None
    of_columns = solve_codes(topics, columns.X, columns.mask)
    of_rows = rows.X @ np.linalg.pinv(codes) if signed else _coded_rows(rows, codes)
    return relative_error(corner.X, Product(of_rows, of_columns), corner.mask)


def _coded_rows(rows: Block, codes: Matrix) -> Matrix:
    """``argmin_{W >= 0} ||rows - W codes||^2`` over the known entries, shape (rows, k)."""
    mask = None if rows.mask is None else rows.mask.T
    return solve_codes(in_order(codes.T), in_order(rows.X.T), mask).T
