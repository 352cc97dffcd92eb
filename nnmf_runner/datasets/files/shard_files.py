"""The files of one shard: plain arrays, whose entries are checked as they are written and as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_finite
from nnmf_runner.core.linalg import canonical, parts
from nnmf_runner.datasets.files.contents import ContentError

DENSE, CSR = "dense", "csr"
# What the files of a matrix in either form are called behind its number.
MATRIX = {DENSE: ("",), CSR: (".data", ".indices", ".indptr")}
# Entries that are read, checked and written at a time.
BLOCK = 2**22


def write_part(stem: Path, part: Any, first: int, dtype: str) -> Iterator[tuple[float, float]]:
    """Write the files of a shard, whose names begin with a stem; give what `checked` does."""
    if sparse.issparse(part):
        rows = canonical(sparse.csr_array(part.T.tocsr(), dtype=dtype))
        if not rows.data.all():
            rows = rows.copy()
            rows.eliminate_zeros()
        yield from checked(rows.T, first)
        for kind, array in zip(MATRIX[CSR], (rows.data, rows.indices, rows.indptr), strict=True):
            save(f"{stem}{kind}.npy", array)
        return
    m, columns = part.shape
    with open(f"{stem}.npy", "wb") as file:
        _write_header(file, np.dtype(dtype), (columns, m))
        for block in parts(columns, max(1, BLOCK // m)):
            values = np.asarray(part[:, block], dtype=dtype)
            yield from checked(values, first + block.start)
            file.write(_bytes(values.T))


def checked(X: Any, first: int) -> Iterator[tuple[float, float]]:
    """Check entries block by block, of columns that begin with `first`; give sum of squares and the largest of each."""
    told = f"X, samples {first} to {first + X.shape[1] - 1},"
    if sparse.issparse(X):
        blocks: Iterable[Any] = (X.data[block][None] for block in parts(X.nnz, BLOCK))
    else:
        blocks = (X[:, block] for block in parts(X.shape[1], max(1, BLOCK // X.shape[0])))
    for values in blocks:
        values = check_finite(values, told)
        lowest = values.min()
        if lowest < 0:
            raise InputError(f"{told} has a negative entry, {lowest:g}. Expected nonnegative numbers in shards.")
        squares = np.asarray(values, np.float64).ravel("K")
        yield float(squares @ squares), float(values.max())


def dense_part(rows: NDArray[Any], m: int, columns: int) -> NDArray[Any]:
    """The matrix of shape (m, columns) in an array of its samples."""
    if rows.shape != (columns, m):
        raise ContentError(f"a shard has shape {rows.shape}, expected {(columns, m)}")
    return rows.T


def sparse_part(arrays: Sequence[NDArray[Any]], m: int, columns: int) -> Any:
    """The matrix of shape (m, columns) of three arrays, each index checked before compiled code follows it."""
    data, indices, indptr = arrays
    if indices.dtype.kind != "i" or indptr.dtype.kind != "i" or indptr.shape != (columns + 1,):
        raise ContentError("a shard has indices that are no integers or not of its shape")
    if data.ndim != 1 or data.shape != indices.shape or (indptr[0], indptr[-1]) != (0, data.size):
        raise ContentError("a shard has indices of another number than entries")
    if (indptr[1:] < indptr[:-1]).any() or (data.size and not 0 <= indices.min() <= indices.max() < m):
        raise ContentError(f"a shard has indices out of range, expected 0 to {m - 1}")
    found = sparse.csc_array((data, indices, indptr), shape=(m, columns))
    if not found.has_canonical_format:
        raise ContentError("a shard has indices that are not sorted")
    return found


def _write_header(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def save(path: str, array: NDArray[Any]) -> None:
    """Write an array; unlike `numpy.save`, an error says that the disk is full."""
    with open(path, "wb") as file:
        _write_header(file, array.dtype, array.shape)
        file.write(_bytes(array))


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def file_digest(path: Path) -> str:
    """A short hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
