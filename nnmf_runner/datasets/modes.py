"""Tensors as matrices: fibres by samples, with what is known of the modes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets.files.contents import ContentError, Coordinates

# Most fibres of a sparse tensor, so that their numbers, and sums of two of them, are integers of 64 bits.
MOST_FIBRES = 2**62
# Of the mode of the samples; what else depends on it would not fit into any memory.
LARGEST_SIDE = 2**31 - 1


@dataclass(frozen=True)
class Modes:
    """The modes of a tensor that stands as a matrix X of shape (m, n), that of the samples last.

    Rows of X are the fibres, in C order of the other modes: the index in the last of these changes fastest.

    Attributes
    ----------
    shape : tuple of int
        Sizes ``d_1, ..., d_N``; their product but for the last one is m, and the last one n.
    names : tuple of str
        What every mode is called, such as "word".
    entries : tuple of list of str or None
        What every entry of a mode is called; None for a mode whose entries have no names.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    entries: tuple[list[str] | None, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        sample_mode: int,
        names: Sequence[str] | None = None,
        entries: Sequence[list[str] | None] | None = None,
    ) -> Modes:
        """The modes of an array of this shape, with names and entries in the order of its axes.

        By default they are called "mode 0" and so on, by their axes.
        """
        names = [f"mode {mode}" for mode in range(len(shape))] if names is None else names
        entries = [None] * len(shape) if entries is None else entries
        order = [*(mode for mode in range(len(shape)) if mode != sample_mode), sample_mode]
        sizes, called = tuple(shape[mode] for mode in order), tuple(names[mode] for mode in order)
        return cls(sizes, called, tuple(entries[mode] for mode in order))


@dataclass(frozen=True)
class TensorTruth:
    """A planted hierarchy of topics that have a factor in every mode.

    Attributes
    ----------
    factors : list of list of ndarray of shape (d_i, k_l)
        By level, finest first, and by mode as in `Modes`, the topics as columns, up to scale.
    parents : list of ndarray of int, shape (k_l,)
        Topic above of every topic, of all levels but the last.
    """

    factors: Sequence[Sequence[Matrix]]
    parents: Sequence[NDArray[np.intp]]

    def topics(self, level: int) -> Matrix:
        """Topics of a level in terms of the fibres, shape (m, k_l): what they are to a method for matrices."""
        return functools.reduce(_khatri_rao, self.factors[level][:-1])


def _khatri_rao(A: Matrix, B: Matrix) -> Matrix:
    return (A[:, None] * B).reshape(-1, A.shape[1])


def unfolded(array: Any, sample_mode: int) -> Any:
    """A tensor as fibres by samples, shape (m, n), see `Modes`.

    Parameters
    ----------
    array : ndarray or Coordinates of shape (d_1, ..., d_N)
    sample_mode : int
        Its axis of the samples.

    Returns
    -------
    X : ndarray or csc_array of shape (m, n)
        A view of a dense array where the samples are its first or last axis.  Of coordinates, a matrix that takes
        memory linear in them and in n, whatever m is: it is stored by columns.

    Raises
    ------
    ContentError
        If the sizes are none that can be dealt with, or coordinates stand twice.
    """
    check_order(array.shape, sample_mode)
    if isinstance(array, Coordinates):
        return _by_columns(array, sample_mode)
    n = array.shape[sample_mode]
    return np.moveaxis(array, sample_mode, 0).reshape(n, array.size // n).T


def check_order(shape: Sequence[int], sample_mode: int) -> None:
    """Refuse a tensor of order one, an empty one, and a mode that there is none of."""
    if len(shape) < 2:
        raise ContentError(f"the data have {len(shape)} dimensions with shape {tuple(shape)}, expected at least 2")
    if 0 in shape:
        raise ContentError(f"the data are empty: their shape is {tuple(shape)}")
    if sample_mode >= len(shape):
        said = f"dataset.sample_mode={sample_mode} does not exist in data of shape {tuple(shape)}"
        raise ContentError(f"{said}, expected at most {len(shape) - 1}")


def _by_columns(array: Coordinates, sample_mode: int) -> Any:
    """Coordinates as a sparse matrix in CSC form with every entry that is not zero stored once."""
    others = [mode for mode in range(array.ndim) if mode != sample_mode]
    m, n = math.prod(array.shape[mode] for mode in others), array.shape[sample_mode]
    if m > MOST_FIBRES or n > LARGEST_SIDE:
        said = f"the data have shape {array.shape}, expected at most {LARGEST_SIDE} in the mode of the samples"
        raise ContentError(f"{said} and a product of at most 2**62 of the others")
    rows = fibres(array.coords[others], [array.shape[mode] for mode in others])
    X = summed(rows, array.coords[sample_mode], array.data.astype(np.float64), (m, n))
    if X.nnz < array.data.size:
        raise ContentError(f"{array.place(_repeated(array.coords))} stands twice among its coordinates, expected once")
    X.eliminate_zeros()
    return X


def fibres(coords: NDArray[Any], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of fibres by their indices in modes of these sizes, shape (nnz,), in C order."""
    numbers = np.zeros(coords.shape[1], np.int64)
    for index, size in zip(coords, sizes, strict=True):
        numbers *= size
        numbers += index.astype(np.int64)
    return numbers


def summed(rows: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], shape: tuple[int, int]) -> Any:
    """Values at places of a matrix in CSC form, those of equal places added up, however many rows there are."""
    X = sparse.coo_array((values, (rows, columns)), shape=shape).tocsc()
    X.sort_indices()
    return X


def _repeated(coords: NDArray[Any]) -> int:
    """The first entry, in the order of their places, that stands at the place of another one."""
    order = np.lexsort(coords)
    return int(order[np.flatnonzero((np.diff(coords[:, order]) == 0).all(axis=0))[0]])


def used_entries(X: Any, modes: Modes) -> list[NDArray[np.intp]]:
    """Of every mode, the entries that have a part of X which is not all zeros, in ascending order."""
    if not sparse.issparse(X):
        array = X.reshape(modes.shape)
        axes = range(array.ndim)
        return [np.flatnonzero(array.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    used, rows = [np.flatnonzero(np.diff(X.indptr))], X.indices.astype(np.int64)
    for size in modes.shape[-2::-1]:
        rows, index = np.divmod(rows, size)
        used.append(_distinct(index, size))
    return used[::-1]


def _distinct(index: NDArray[np.int64], size: int) -> NDArray[np.intp]:
    """Different indices below a size, in ascending order; no array of that size if it is larger than they are many."""
    return np.unique(index) if size > index.size else np.flatnonzero(np.bincount(index, minlength=size))
