"""Products of dense and sparse tensors with factors of a CP model, without another array of the tensor's size.

A tensor of shape ``(d_1, ..., d_N)`` is kept as a matrix: its rows are the modes ``1, ..., N-1`` in C order, its
columns the last mode, that of the samples.  A CP model ``[[F_1, ..., F_N]]`` has factors of shapes (d_i, R), and
``X_(i) (Khatri-Rao product of F_j, j != i)`` is the MTTKRP of mode i, of the shape of ``F_i``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core import linalg
from nnmf_runner.core.linalg import Index, Matrix, canonical, cross_product, in_order, inner, parts, tail_shares
from nnmf_runner.core.threads import mapped

# Fibres of a sparse tensor that are worked on at a time to bound the memory.
FIBRES = 2**13
# A sparse unfolding whose shorter side is at most this long is decomposed through its Gram matrix.
SHORT_SIDE = 500
# Index tuples are numbered up to this.
LARGEST_KEY = 2**62

# Gives the last mode's factor for its MTTKRP.
LastUpdate = Callable[[Matrix], Matrix]


def khatri_rao(factors: Sequence[Matrix]) -> Matrix:
    """Column-wise Kronecker product of arrays (d_i, R), of shape (prod d_i, R); the first index is the slowest."""
    return reduce(lambda A, B: (A[:, None] * B).reshape(-1, B.shape[1]), factors)


def gram(factors: Sequence[Matrix], without: int | None = None) -> Matrix:
    """Entrywise product of ``F_j^T F_j`` over all modes j, or all but one, shape (R, R)."""
    return reduce(np.multiply, (F.T @ F for j, F in enumerate(factors) if j != without))


class Tensor(ABC):
    """A tensor as what its products with factors need.

    Attributes
    ----------
    shape : tuple of int
        ``(d_1, ..., d_N)``.
    squared_norm : float
    """

    shape: tuple[int, ...]
    squared_norm: float

    @abstractmethod
    def mttkrp(self, factors: Sequence[Matrix], mode: int) -> Matrix:
        """``X_(i) (Khatri-Rao product of F_j, j != i)``, shape (d_i, R)."""

    @abstractmethod
    def products(self, factors: Sequence[Matrix], solve: LastUpdate | None = None) -> list[Matrix]:
        """The MTTKRPs of all modes, from two readings of the data.

        With `solve`, the last factor is replaced by ``solve(its MTTKRP)`` before those of the other modes are formed;
        what was given for it does not matter then, but for its shape.
        """

    @abstractmethod
    def sweep(self, factors: list[Matrix]) -> Iterator[tuple[int, Matrix]]:
        """Every mode in turn and its MTTKRP, with the factors that stand in the list when it is asked for.

        The caller may replace the factor of the mode that came last.
        """

    @abstractmethod
    def residual(self, factors: Sequence[Matrix]) -> float:
        """``||X - [[F_1, ..., F_N]]||^2``."""


class DenseTensor(Tensor):
    """A dense tensor, read as the matrix of its first modes by its others; both sides are of about the same length.

    Parameters
    ----------
    X : ndarray of shape (m, n)
    shape : tuple of int
    """

    def __init__(self, X: Matrix, shape: Sequence[int]) -> None:
        self.shape, self.squared_norm = tuple(shape), linalg.squared_norm(X)
        modes, X = list(range(len(shape))), in_order(X)
        if X.flags.f_contiguous and not X.flags.c_contiguous:  # a file's order, in which the samples come first
            modes, X = [modes[-1], *modes[:-1]], X.T
        sizes = [self.shape[mode] for mode in modes]
        lengths = [math.prod(sizes[:cut]) + math.prod(sizes[cut:]) for cut in range(1, len(sizes))]
        cut = 1 + int(np.argmin(lengths))
        self._sides = (tuple(modes[:cut]), tuple(modes[cut:]))
        self._X = X.reshape(math.prod(sizes[:cut]), -1)

    def _reading(self, factors: Sequence[Matrix], side: int) -> Matrix:
        """The data multiplied by the factors of the other side; its axes are the rank and the modes of this one."""
        matrix = self._X if side == 0 else self._X.T
        # In this order BLAS takes two thirds of the time of the transposed product.
        product = cross_product(khatri_rao([factors[mode] for mode in self._sides[1 - side]]), matrix.T)
        return product.reshape(-1, *(self.shape[mode] for mode in self._sides[side]))

    def mttkrp(self, factors: Sequence[Matrix], mode: int) -> Matrix:
        """See `Tensor.mttkrp`."""
        side = 0 if mode in self._sides[0] else 1
        return _contracted(self._reading(factors, side), factors, self._sides[side], mode)

    def products(self, factors: Sequence[Matrix], solve: LastUpdate | None = None) -> list[Matrix]:
        """See `Tensor.products`; a reading serves all modes of a side, since it does not depend on their factors."""
        factors, found = list(factors), list(factors)
        last = len(self.shape) - 1
        for side in sorted((0, 1), key=lambda side: last not in self._sides[side]):
            modes, reading = self._sides[side], self._reading(factors, side)
            for mode in sorted(modes, reverse=True):
                found[mode] = _contracted(reading, factors, modes, mode)
                if mode == last and solve is not None:
                    factors[last] = solve(found[last])
        return found

    def sweep(self, factors: list[Matrix]) -> Iterator[tuple[int, Matrix]]:
        """See `Tensor.sweep`; a reading serves modes of a side that follow each other: it depends on the other side's.

        Modes come in one order, whichever the order of the data in memory is, so that the result is the same.
        """
        read, reading = -1, self._X
        for mode in range(len(factors)):
            side = 0 if mode in self._sides[0] else 1
            if side != read:
                read, reading = side, self._reading(factors, side)
            yield mode, _contracted(reading, factors, self._sides[side], mode)

    def residual(self, factors: Sequence[Matrix]) -> float:
        """See `Tensor.residual`."""
        left, right = (khatri_rao([factors[mode] for mode in side]) for side in self._sides)
        return linalg.squared_residual(self._X, left, right.T)


def _contracted(reading: Matrix, factors: Sequence[Matrix], modes: Sequence[int], kept: int) -> Matrix:
    """Multiply an array of shape ``(R, d_i, ...)`` by the factors of all its modes but one, shape (d_kept, R)."""
    axes = [chr(ord("a") + mode) for mode in modes]
    for mode, axis in zip(modes, tuple(axes), strict=True):
        if mode != kept:
            before = "".join(axes)
            axes.remove(axis)
            reading = np.einsum(f"R{before},{axis}R->R{''.join(axes)}", reading, factors[mode])
    return reading.T


class SparseTensor(Tensor):
    """A sparse tensor as fibres, the index tuples of all modes but one that hold entries, by that one mode.

    It is the mode with the fewest fibres, whichever mode the samples are: every product costs one operation per entry
    and one per fibre.

    Parameters
    ----------
    X : sparse matrix of shape (m, n)
        Its rows may be far more than its entries.
    shape : tuple of int
    """

    def __init__(self, X: Any, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        X = canonical(X)
        self.squared_norm = linalg.squared_norm(X)
        coordinates, values = _coordinates(X, self.shape)
        modes = range(len(shape))
        counts = [_n_fibres(coordinates, self.shape, mode) for mode in modes]
        self._long = min(modes, key=lambda mode: (counts[mode], -self.shape[mode], -mode))
        self._others = [mode for mode in modes if mode != self._long]
        matrix, fibres = _unfolded(coordinates, values, self.shape, self._long)
        self._blocks = [
            _Block(matrix[part], [fibres[mode][part] for mode in self._others])
            for part in parts(matrix.shape[0], FIBRES)
        ]

    def mttkrp(self, factors: Sequence[Matrix], mode: int) -> Matrix:
        """See `Tensor.mttkrp`."""
        return self._products(factors, [mode])[mode]

    def products(self, factors: Sequence[Matrix], solve: LastUpdate | None = None) -> list[Matrix]:
        """See `Tensor.products`; `solve` costs a third reading where the samples are not the mode of the fibres."""
        *first, last = range(len(self.shape))
        if solve is None:
            return self._products(factors, [*first, last])
        cross = self.mttkrp(factors, last)
        return [*self._products([*factors[:last], solve(cross)], first)[:last], cross]

    def sweep(self, factors: list[Matrix]) -> Iterator[tuple[int, Matrix]]:
        """See `Tensor.sweep`; every mode takes a reading, since what it has of all fibres would need much memory."""
        for mode in range(len(factors)):
            yield mode, self.mttkrp(factors, mode)

    def residual(self, factors: Sequence[Matrix]) -> float:
        """See `Tensor.residual`; through MTTKRP and Gram matrices, so that no array of the tensor's shape is formed."""
        cross = inner(self.mttkrp(factors, self._long), factors[self._long])
        return max(0.0, self.squared_norm - 2.0 * cross + float(gram(factors).sum()))

    def _products(self, factors: Sequence[Matrix], modes: Sequence[int]) -> list[Matrix]:
        """The MTTKRPs of these modes, and zeros for the others."""
        found = [np.zeros_like(factor) for factor in factors]
        for of_block in mapped(lambda block: self._of_block(block, factors, modes), self._blocks):
            for mode, product in of_block.items():
                found[mode] += product
        return found

    def _of_block(self, block: _Block, factors: Sequence[Matrix], modes: Sequence[int]) -> dict[int, Matrix]:
        """What some fibres add to the MTTKRPs of these modes."""
        found = {}
        rows = [factors[mode][index] for mode, index in zip(self._others, block.fibres, strict=True)]
        if self._long in modes:
            found[self._long] = block.entries.T @ reduce(np.multiply, rows)
        targets = [i for i, mode in enumerate(self._others) if mode in modes]
        along = block.entries @ factors[self._long] if targets else np.empty(0)
        for i in targets:
            weighted = reduce(np.multiply, rows[:i] + rows[i + 1 :], along)
            found[self._others[i]] = block.indicator(i, self.shape[self._others[i]]) @ weighted
        return found


class ScaledTensor(Tensor):
    """A tensor divided by a number, without a copy of it.

    Parameters
    ----------
    tensor : Tensor
    unit : float
        What it is divided by.
    """

    def __init__(self, tensor: Tensor, unit: float) -> None:
        self.shape, self.squared_norm = tensor.shape, tensor.squared_norm / unit**2
        self._tensor, self._unit = tensor, unit

    def mttkrp(self, factors: Sequence[Matrix], mode: int) -> Matrix:
        """See `Tensor.mttkrp`."""
        return self._tensor.mttkrp(factors, mode) / self._unit

    def products(self, factors: Sequence[Matrix], solve: LastUpdate | None = None) -> list[Matrix]:
        """See `Tensor.products`."""
        update = None if solve is None else lambda product: solve(product / self._unit)
        return [product / self._unit for product in self._tensor.products(factors, update)]

    def sweep(self, factors: list[Matrix]) -> Iterator[tuple[int, Matrix]]:
        """See `Tensor.sweep`."""
        for mode, product in self._tensor.sweep(factors):
            yield mode, product / self._unit

    def residual(self, factors: Sequence[Matrix]) -> float:
        """See `Tensor.residual`."""
        return self._tensor.residual([*factors[:-1], self._unit * factors[-1]]) / self._unit**2


class _Block:
    """Some fibres of a sparse tensor: their entries, a row for each, and the indices of each in the other modes."""

    def __init__(self, entries: Any, fibres: list[Index]) -> None:
        self.entries, self.fibres = entries, fibres

    def indicator(self, i: int, size: int) -> Any:
        """Matrix of shape (size, fibres) that adds the rows of an array up, by the index of each in the i-th mode."""
        n = len(self.fibres[i])
        return sparse.csc_array((np.ones(n), self.fibres[i], np.arange(n + 1)), shape=(size, n))


def _coordinates(X: Any, shape: Sequence[int]) -> tuple[list[Index], Matrix]:
    """The indices of the entries in every mode, and their values."""
    X = X.tocoo()
    return [*np.unravel_index(X.row.astype(np.int64), shape[:-1]), X.col.astype(np.int64)], X.data


def _keys(coordinates: Sequence[Index], shape: Sequence[int], modes: Sequence[int]) -> Index:
    """Numbers that order the index tuples of these modes, the first one the slowest; equal tuples have equal ones."""
    keys, bound = np.zeros(len(coordinates[0]), np.int64), 1
    for mode in modes:
        if bound * shape[mode] > LARGEST_KEY:
            found, keys = np.unique(keys, return_inverse=True)
            bound = len(found)
        keys, bound = keys * shape[mode] + coordinates[mode], bound * shape[mode]
    return keys


def _n_fibres(coordinates: Sequence[Index], shape: Sequence[int], mode: int) -> int:
    """How many fibres along a mode hold entries."""
    keys = np.sort(_keys(coordinates, shape, [other for other in range(len(shape)) if other != mode]))
    return int(np.count_nonzero(np.diff(keys, prepend=-1)))


def _unfolded(coordinates: Sequence[Index], values: Matrix, shape: Sequence[int], mode: int) -> tuple[Any, list[Index]]:
    """Fibres along a mode as rows of a CSR matrix, in C order of the others, and the indices of each in all modes."""
    others = [other for other in range(len(shape)) if other != mode]
    order = np.argsort(_keys(coordinates, shape, [*others, mode]))
    starts = np.flatnonzero(np.diff(_keys(coordinates, shape, others)[order], prepend=-1))
    ends = np.append(starts, len(values))
    matrix = sparse.csr_array((values[order], coordinates[mode][order], ends), shape=(len(starts), shape[mode]))
    dtype = sparse.get_index_dtype(maxval=max(shape))
    return matrix, [index[order[starts]].astype(dtype) for index in coordinates]


def as_tensor(X: Any, shape: Sequence[int]) -> Tensor:
    """The tensor of this shape whose matrix of fibres by samples, dense or sparse, is X."""
    return SparseTensor(X, shape) if sparse.issparse(X) else DenseTensor(X, shape)


def multilinear_floors(X: Any, shape: Sequence[int], ranks: Sequence[int]) -> list[float]:
    """For every rank k, the relative error that no model of multilinear rank (k, ..., k) can fall below.

    It is the largest error of the best approximations of rank k to the unfoldings.

    References
    ----------
    C. Eckart and G. Young, Psychometrika 1, 1936; L. De Lathauwer, B. De Moor and J. Vandewalle, "A multilinear
    singular value decomposition", SIAM J. Matrix Anal. Appl. 21(4), 2000.
    """
    shares = [_tails(Y, [min(rank, *Y.shape) for rank in ranks]) for Y in _unfoldings(X, shape)]
    return [math.sqrt(max(of_rank)) for of_rank in zip(*shares, strict=True)]


def _tails(unfolding: Any, ranks: Sequence[int]) -> list[float]:
    """`tail_shares` of an unfolding; of a sparse one with a short side from that side's Gram matrix.

    Decompositions of nearly full rank would form a dense matrix of its size.
    """
    wide = unfolding if unfolding.shape[0] <= unfolding.shape[1] else unfolding.T
    if not sparse.issparse(unfolding) or wide.shape[0] > max(SHORT_SIDE, 2 * max(ranks)):
        return tail_shares(unfolding, ranks)
    squares = np.maximum(np.linalg.eigvalsh((wide @ wide.T).toarray()), 0.0)[::-1]
    return [float(squares[rank:].sum() / squares.sum()) for rank in ranks]


def _unfoldings(X: Any, shape: Sequence[int]) -> Any:
    """The unfoldings of a tensor, one at a time; of a sparse one without empty fibres."""
    if sparse.issparse(X):
        coordinates, values = _coordinates(canonical(X), shape)
        for mode in range(len(shape)):
            yield _unfolded(coordinates, values, shape, mode)[0]
    else:
        for mode in range(len(shape)):
            yield np.moveaxis(X.reshape(shape), mode, -1).reshape(-1, shape[mode])
