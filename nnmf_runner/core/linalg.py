"""Products, norms and decompositions of dense and sparse data that form no other matrix of the data's size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from nnmf_runner.core.threads import each, mapped, n_threads

Matrix = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]

# Precisions of data and factors, the default first.
DTYPES = ("float64", "float32")
# Columns that are worked on at a time to bound the memory: enough for the overhead of the calls to be small.
PART = 3072
# Entries of dense data that are copied at a time, where a copy of all would need as much memory as they do.
ENTRIES = 2**20
# Numbers of single precision that are copied to double at a time.
BUFFER = 2**16
# Multiplications of a sparse product that are worth the start of a thread.
WORTHWHILE = 2**19
# Numbers that are apart by less than this share of the largest may be so by rounding alone, in each precision.
ROUNDING = {"float64": 1e-10, "float32": 1e-5}
# What singular vectors of equal singular values are known to: much more than the rounding that chose them.
SAME = 1e-6
# Dense data up to this smaller side are decomposed whole, which gives the tail of the spectrum without cancellation.
WHOLE_SVD = 2000


class Distributed:
    """Data of shape (m, n) that no process holds whole: they answer themselves what the functions here ask of data.

    Attributes
    ----------
    shape : tuple of int
    is_sparse : bool
    dtype : dtype
        Of what is computed from them, whatever they are stored in.
    """

    shape: tuple[int, int]
    is_sparse: bool
    dtype = np.dtype(np.float64)

    def coded(self, A: Matrix) -> Distributed:
        """The codes of the data for the factor A, see `nnmf_runner.core.layer.solve_codes`."""
        raise NotImplementedError

    def leading(self, rank: int) -> tuple[Matrix, Matrix, Matrix]:
        """``U`` and ``sigma`` of `truncated_svd`, and the lengths of the parts of ``V`` of either sign, (2, rank)."""
        raise NotImplementedError

    def squared_norm(self) -> float:
        """See the function of this name."""
        raise NotImplementedError

    def squared_residual(self, A: Matrix, S: Matrix) -> float:
        """See the function of this name."""
        raise NotImplementedError

    def tail_shares(self, ranks: Sequence[int]) -> list[float]:
        """See the function of this name."""
        raise NotImplementedError


def is_sparse(X: Any) -> bool:
    """Whether data are sparse, wherever they are."""
    return X.is_sparse if isinstance(X, Distributed) else sparse.issparse(X)


def cross_product(A: Matrix, X: Any) -> Matrix:
    """``A^T X`` as an array; A of shape (m, k), X dense or sparse of shape (m, n)."""
    if sparse.issparse(X):
        return _sparse_product(X.T, A).T
    if X.size <= ENTRIES:
        return A.T @ X
    found = np.empty((A.shape[1], X.shape[1]), np.result_type(A, X))
    each(lambda part: np.matmul(A.T, X[:, part], out=found[:, part]), column_parts(X))
    return found


def product(X: Any, B: Matrix) -> Matrix:
    """``X B`` as an array; X dense or sparse of shape (m, n), B of shape (n, k)."""
    if sparse.issparse(X):
        return _sparse_product(X, B)
    if X.size <= ENTRIES:
        return X @ B
    found = np.empty((X.shape[0], B.shape[1]), np.result_type(X, B))
    each(lambda rows: np.matmul(X[rows], B, out=found[rows]), column_parts(X.T))
    return found


def tall_product(A: Matrix, B: Matrix) -> Matrix:
    """``A^T B`` for tall A and B of shapes (m, k) and (m, l), in double precision whichever theirs is."""
    if A.dtype == B.dtype == np.float64:
        return np.dot(A.T, B)  # which lets go of the interpreter, as `@` does not where the result is small
    return sum(mapped(lambda rows: doubles(A[rows]).T @ doubles(B[rows]), parts(len(A))), start=np.zeros(()))


def gram_matrix(A: Matrix) -> Matrix:
    """``A^T A`` for tall A of shape (m, k), in double precision."""
    return tall_product(A, A)


def doubles(A: Matrix) -> Matrix:
    """A in double precision: itself, or a copy."""
    return A.astype(np.float64, copy=False)


def like(M: Matrix, A: Matrix) -> Matrix:
    """M in the precision of A, as the product of both is to be: itself, or a copy."""
    return M.astype(A.dtype, copy=False)


def column_lengths(A: Matrix) -> Matrix:
    """Lengths of the columns of A, shape (k,)."""
    return like(np.sqrt(np.add.reduce(A * A, axis=0, dtype=np.float64)), A)


def zero_columns(X: Any) -> NDArray[np.bool_]:
    """Which columns of X, dense or sparse, hold nothing but zeros, shape (n,)."""
    return np.asarray((X != 0).sum(axis=0)).ravel() == 0


def half_gradient(A: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
    """``A G - C`` for tall A and C of shape (m, k)."""
    found = np.empty_like(A)

    def fill(rows: slice) -> None:
        np.matmul(A[rows], gram, out=found[rows])
        found[rows] -= cross[rows]

    each(fill, parts(len(A)))
    return found


def _sparse_product(X: Any, B: Matrix) -> Matrix:
    """``X B``, whose entries are the same sums whichever way threads share them out."""
    n = min(n_threads(), X.nnz * B.shape[1] // WORTHWHILE)
    if n < 2 or X.format not in ("csr", "csc"):
        return X @ B
    found = np.empty((X.shape[0], B.shape[1]), np.result_type(X, B))
    if X.format == "csr":
        ends = np.searchsorted(X.indptr, np.linspace(0, X.nnz, n + 1))
        ends[0], ends[-1] = 0, X.shape[0]  # for rows without entries at either end
        shares = [slice(*pair) for pair in pairwise(ends.tolist())]
        each(lambda rows: np.copyto(found[rows], _rows(X, rows) @ B), shares)
    else:  # an entry by columns adds to a row of the result, of which every thread has some entries
        each(lambda some: np.copyto(found[:, some], X @ B[:, some]), parts(B.shape[1], -(-B.shape[1] // n)))
    return found


def _rows(X: Any, rows: slice) -> Any:
    """Rows of a CSR matrix that share its entries in memory."""
    first, last = X.indptr[rows.start], X.indptr[rows.stop]
    found = sparse.csr_array((rows.stop - rows.start, X.shape[1]), dtype=X.dtype)
    found.data, found.indices = X.data[first:last], X.indices[first:last]
    found.indptr = X.indptr[rows.start : rows.stop + 1] - first
    return found


def canonical(X: Any) -> Any:
    """A sparse matrix in which every entry is stored once: X itself, or a copy with repeated entries added up."""
    if X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def stored(X: Any) -> Matrix:
    """The entries of a sparse matrix by rows, in whichever form it is, since their sum depends on their order.

    A tensor of more fibres than entries stays in the one form that it has, by columns.
    """
    return canonical(X if X.format == "csc" and X.shape[0] > X.nnz else X.tocsr()).data


def in_order(X: Any) -> Any:
    """Return X in one order in memory, by rows, since sums depend on the order in their last bits.

    Sparse data stay in CSR or CSC form: products with either add up the same terms in the same order, and a copy
    would take as much memory again.  Data that are mapped from a file stay there, in whichever order it has.
    """
    if sparse.issparse(X):
        return canonical(X if X.format in ("csr", "csc") else X.tocsr())
    base = X
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return np.asarray(X, order="C") if base is None else X


def parts(n: int, size: int | None = None) -> list[slice]:
    """``range(n)`` in slices of at most `size`, by default `PART`, whose lengths differ by at most one."""
    if 0 < n <= (size or PART):  # without the time of the rest, which small data would notice
        return [slice(0, n)]
    ends = np.linspace(0, n, -(-n // (size or PART)) + 1).astype(int)
    return [slice(*pair) for pair in pairwise(ends.tolist())]


def column_parts(X: Any, least: int = 1) -> list[slice]:
    """The columns of X in slices of about `ENTRIES` entries, but of at least `least` columns."""
    return parts(X.shape[1], max(least, ENTRIES // X.shape[0]))


def nearest(counts: Sequence[float], count: float) -> int:
    """Index of the entry of `counts` that is nearest to `count`; the first of several equally near ones."""
    count = min(count, 2**53)  # no count is above, and Python takes no integer beyond doubles from them
    return int(np.argmin(np.abs(np.asarray(counts, float) - count)))


def squared_norm(X: Any) -> float:
    """``||X||^2`` (Frobenius) of a dense or sparse matrix."""
    if isinstance(X, Distributed):
        return X.squared_norm()
    values = stored(X) if sparse.issparse(X) else X.ravel(order="K")  # which copies neither X nor its transpose
    if values.dtype == np.float64:
        return float(np.vdot(values, values))
    return float(sum(np.vdot(some, some) for some in (doubles(values[part]) for part in parts(len(values), BUFFER))))


def inner(A: Matrix, B: Matrix) -> float:
    """``<A, B> = tr(A^T B)`` of two arrays of one shape, added up in double precision."""
    if A.dtype == B.dtype == np.float64:
        return float(np.vdot(A, B))
    A, B = (A, B) if len(A) > A.shape[1] else (A.T, B.T)
    return float(sum(np.vdot(doubles(A[rows]), doubles(B[rows])) for rows in parts(len(A))))


def chain(A: list[Matrix], S: Matrix) -> Matrix:
    """``A_0 A_1 ... A_l S``, multiplied from the right, where the matrices are small."""
    for factor in reversed(A):
        S = factor @ S
    return S


def right_factors(A: Sequence[Matrix], S: Matrix) -> list[Matrix]:
    """What every factor is multiplied by in the product ``A_0 ... A_L S``: ``A_{l+1} ... A_L S``, shapes (k_l, n)."""
    products = [S]
    for factor in reversed(A[1:]):
        products.append(factor @ products[-1])
    return products[::-1]


def squared_residual(X: Any, A: Matrix, S: Matrix) -> float:
    """``||X - A S||^2``; for sparse X through ``A^T X`` and Gram matrices, so that no m x n product is formed."""
    if isinstance(X, Distributed):
        return X.squared_residual(A, S)
    if not sparse.issparse(X):
        return sum(squared_norm(X[:, part] - A @ S[:, part]) for part in column_parts(X))
    return max(0.0, squared_norm(X) + beside_norm(X, A, S))


def beside_norm(X: Any, A: Matrix, S: Matrix) -> float:
    """What ``||X - A S||^2`` is more than ``||X||^2``."""
    return inner(gram_matrix(A), gram_matrix(S.T)) - 2.0 * inner(cross_product(A, X), S)


def truncated_svd(X: Any, rank: int) -> tuple[Matrix, Matrix, Matrix]:
    """Leading singular triples ``U`` (m, rank), ``sigma`` (rank,), descending, and ``V^T`` (rank, n).

    Small problems and those of nearly full rank are decomposed whole, others by Lanczos iteration from `lanczos_start`.
    For those of equal singular values, see `turn_equal`.
    """
    smaller = min(X.shape)
    if 2 * rank < smaller and (sparse.issparse(X) or smaller > 500):
        U, sigma, Vt = svds(_operator(X), k=rank, v0=lanczos_start(smaller))
        U, sigma, Vt = U[:, ::-1], sigma[::-1], Vt[::-1]
    elif sparse.issparse(X):
        U, sigma, Vt = _nearly_full_svd(X)
    else:
        U, sigma, Vt = _whole_svd(X, rank)
    turn_equal(U, sigma, Vt, ROUNDING[X.dtype.name])
    return U[:, :rank], sigma[:rank], Vt[:rank]


def turn_equal(U: Matrix, sigma: Matrix, Vt: Matrix | None = None, rounding: float = ROUNDING["float64"]) -> None:
    """Turn the vectors of equal singular values, in place, to a basis of their space that rounding does not choose.

    Each in turn is what the space has of one unit vector: the one it has most of, orthogonal to those before, and of
    equal ones the first.  Singular values that are zero have no such space.
    """
    ends = np.flatnonzero(sigma[:-1] - sigma[1:] > rounding * sigma[0]) + 1
    for start, end in pairwise([0, *ends.tolist(), len(sigma)]):
        if end - start < 2 or sigma[start] <= rounding * sigma[0]:
            continue
        rest, turn = U[:, start:end].copy(), np.empty((end - start, end - start))
        for direction in turn:
            lengths = np.linalg.norm(rest, axis=1)
            most = int(np.argmax(lengths >= (1.0 - SAME) * lengths.max()))
            direction[:] = rest[most] / lengths[most]
            rest -= np.outer(rest @ direction, direction)
        U[:, start:end] = U[:, start:end] @ turn.T
        if Vt is not None:
            Vt[start:end] = turn @ Vt[start:end]


def lanczos_start(n: int) -> Matrix:
    """A vector that no data are likely to be orthogonal to, the same for all seeds: only they may change a result."""
    return np.random.default_rng(0).standard_normal(n)


def _whole_svd(X: Matrix, rank: int) -> tuple[Matrix, Matrix, Matrix]:
    """Singular triples of dense data, of large ones the leading `rank`, see `truncated_svd`."""
    if X.size <= ENTRIES:
        return np.linalg.svd(doubles(X), full_matrices=False)
    if X.shape[0] > X.shape[1]:
        V, sigma, Ut = _whole_svd(X.T, rank)
        return Ut.T, sigma, V.T
    U, sigma, _ = np.linalg.svd(triangle(X).T)
    Vt = like(U[:, :rank], X).T @ X
    lengths = np.linalg.norm(Vt, axis=1, keepdims=True)  # the singular values, up to rounding
    return U[:, :rank], sigma[:rank], Vt / np.where(lengths > 0, lengths, 1.0)


def triangle(X: Any) -> Matrix:
    """The triangular factor of ``X^T = Q R`` for wide X, shape (m, m), from a part of the columns at a time.

    Its transpose has the singular values of X, as exactly as X itself gives them, and its left singular vectors.
    """
    R: Any = np.empty((0, X.shape[0]))
    for part in column_parts(X, least=X.shape[0]):
        rows = X[:, part].T
        R = np.linalg.qr(np.vstack([R, rows.toarray() if sparse.issparse(rows) else rows]), mode="r")
    return R


def _operator(X: Any) -> LinearOperator:
    """Products with X and its transpose; of X itself `svds` would keep a conjugated copy."""
    products = {"matvec": X.__matmul__, "rmatvec": X.T.__matmul__}
    return LinearOperator(X.shape, matmat=X.__matmul__, rmatmat=X.T.__matmul__, dtype=X.dtype, **products)


def _nearly_full_svd(X: Any) -> tuple[Matrix, Matrix, Matrix]:
    """All singular triples of a sparse matrix whose smaller side is short, see `truncated_svd`.

    The eigenvectors of the Gram matrix of that side turn X into nearly orthogonal columns, and what is left to
    decompose is their triangular factor: small singular values keep the accuracy that a Gram matrix would lose.
    """
    if X.shape[0] < X.shape[1]:
        V, sigma, Ut = _nearly_full_svd(X.T)
        return Ut.T, sigma, V.T
    vectors = np.linalg.eigh((X.T @ X).toarray())[1]  # (n, n)
    Q, R = np.linalg.qr(X @ vectors)  # (m, n), (n, n)
    U, sigma, Vt = np.linalg.svd(R)
    return Q @ U, sigma, Vt @ vectors.T


def singular_values(X: Any, rank: int) -> Matrix:
    """The leading `rank` singular values of X in descending order."""
    return truncated_svd(X, rank)[1]


def tail_shares(X: Any, ranks: Sequence[int]) -> list[float]:
    """``sum_{i > k} sigma_i^2 / ||X||^2`` for every rank k: the smallest relative cost of a product of that rank.

    References
    ----------
    C. Eckart and G. Young, "The approximation of one matrix by another of lower rank", Psychometrika 1, 1936.
    """
    if isinstance(X, Distributed):
        return X.tail_shares(ranks)
    norm = squared_norm(X)
    if not sparse.issparse(X) and min(X.shape) <= WHOLE_SVD:
        small = X if X.size <= ENTRIES else triangle(X if X.shape[0] <= X.shape[1] else X.T)
        squares = np.linalg.svd(doubles(small), compute_uv=False) ** 2
        tails = [float(squares[rank:].sum()) for rank in ranks]
    else:
        captured = np.cumsum(singular_values(X, max(ranks)) ** 2)
        tails = [max(0.0, norm - float(captured[rank - 1])) for rank in ranks]
    return [tail / norm for tail in tails]
