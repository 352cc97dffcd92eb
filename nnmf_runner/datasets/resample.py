"""Parts of the data that fits are made on, to tell how many topics the data have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.linalg import Index, Mask, in_order
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.visible import Entries

# How often the samples are halved, and the folds of the rows and of the columns, to compare ranks.
PAIRS, FOLDS = 5, 3
# How many halvings and foldings there may be: the indices of them only begin streams of random numbers.
MOST_PAIRS, MOST_FOLDS = 1000, 100


@dataclass(frozen=True)
class Block:
    """Entries of the data by their rows and columns.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (rows, columns)
        Zero where an entry is missing.
    mask : ndarray of bool or None
        True where an entry is known; None where all are.
    """

    X: Any
    mask: Mask | None = None

    @classmethod
    def of(cls, entries: Entries, rows: Index, columns: Index) -> Block:
        """The entries at these rows and columns."""
        mask = None if entries.mask is None else np.ascontiguousarray(entries.mask[np.ix_(rows, columns)])
        return cls(in_order(entries.X[rows][:, columns]), None if mask is None or mask.all() else mask)


@dataclass(frozen=True)
class LeftOut:
    """What a fold of bi-cross-validation hides: rows, columns, and the corner where both meet.

    Attributes
    ----------
    rows : Block
        The rows left out, at the columns that are seen.
    columns : Block
        The columns left out, at the rows that are seen.
    corner : Block
        The rows left out at the columns left out.
    """

    rows: Block
    columns: Block
    corner: Block


@dataclass(frozen=True)
class Part:
    """What a fit sees of the data, and what it is judged by."""

    dataset: Dataset
    entries: Entries
    left_out: LeftOut | None = None


@dataclass
class Whole:
    """All of the data."""

    name: ClassVar[str] = "none"

    def part(self, dataset: Dataset, entries: Entries, rng: np.random.Generator) -> Part:
        """The data as they are."""
        return Part(dataset, entries)


class Resample:
    """A part of a matrix without labels.  Subclasses are dataclasses whose fields say which part."""

    name: ClassVar[str]

    def part(self, dataset: Dataset, entries: Entries, rng: np.random.Generator) -> Part:
        """What a fit sees; `rng` is that of the resampling, in its first state.

        Raises
        ------
        InputError
            If the data are a tensor, entries of them are held out, or they have too few rows or columns.
        """
        raise NotImplementedError

    def check(self, dataset: Dataset, entries: Entries) -> None:
        """Raise an `InputError` if the data are a tensor, or entries of them are held out."""
        if dataset.modes is not None:
            given = f"dataset={dataset.name} is a tensor"
            raise InputError(f"resample={self.name} takes a part of a matrix, but {given}. Expected another dataset.")
        if entries.heldout is not None:
            raise InputError(f"resample={self.name} hides entries itself. Expected holdout=0.")

    def _seen(self, dataset: Dataset, entries: Entries, rows: Index, columns: Index) -> tuple[Dataset, Entries]:
        """The data at these rows and columns, with nothing known about them."""
        seen = Block.of(entries, rows, columns)
        if not (seen.X.data if hasattr(seen.X, "nnz") else seen.X).any():
            raise InputError(
                "A part of the data that is to be compared with others holds only zeros. Expected data with fewer."
            )
        return Dataset(dataset.name, seen.X), dataclasses.replace(entries, X=seen.X, mask=seen.mask)


@dataclass
class Halves(Resample):
    """One half of the samples; of a good rank the topics of both halves are the same.

    The other half has the same initial factors where these are random.

    Parameters
    ----------
    pair : int
        Which of the halvings, counted from 0; each draws its halves anew.
    half : int
        Which of its halves, 0 or 1.

    References
    ----------
    A. Ben-Hur, A. Elisseeff and I. Guyon, "A stability based method for discovering structure in clustered data",
    Pac. Symp. Biocomput. 7, 2002, for clusters.
    """

    name: ClassVar[str] = "halves"
    pair: int = 0
    half: int = 0

    def __post_init__(self) -> None:
        check_number(self.pair, "pair", low=0, high=MOST_PAIRS, integer=True)
        check_number(self.half, "half", low=0, high=1, integer=True)

    def part(self, dataset: Dataset, entries: Entries, rng: np.random.Generator) -> Part:
        """Half of the samples, see `Resample.part`."""
        self.check(dataset, entries)
        rows, samples = (np.arange(size) for size in entries.X.shape)
        if len(samples) < 2:
            raise InputError("One sample cannot be halved. Expected at least 2.")
        return Part(*self._seen(dataset, entries, rows, self.samples(len(samples), rng)))

    def samples(self, n_samples: int, rng: np.random.Generator) -> Index:
        """Indices of the samples of this half, ascending."""
        order = rng.spawn(self.pair + 1)[self.pair].permutation(n_samples)
        return np.sort(np.array_split(order, 2)[self.half])


@dataclass
class Bicross(Resample):
    """All but a fold of the rows and a fold of the columns, whose common entries the fit is to predict.

    Parameters
    ----------
    row_fold : int
        Which fold of the rows is left out, counted from 0.
    column_fold : int
        Which fold of the columns is left out, counted from 0.
    folds : int
        Number of folds of the rows, and of the columns, at least 2.

    References
    ----------
    A. B. Owen and P. O. Perry, "Bi-cross-validation of the SVD and the nonnegative matrix factorization", Ann. Appl.
    Stat. 3(2), 2009.
    """

    name: ClassVar[str] = "bicross"
    row_fold: int = 0
    column_fold: int = 0
    folds: int = FOLDS

    def __post_init__(self) -> None:
        check_number(self.folds, "folds", low=2, high=MOST_FOLDS, integer=True)
        for name in ("row_fold", "column_fold"):
            check_number(getattr(self, name), name, low=0, high=self.folds - 1, integer=True)

    def part(self, dataset: Dataset, entries: Entries, rng: np.random.Generator) -> Part:
        """All but a fold of the rows and of the columns, see `Resample.part`."""
        self.check(dataset, entries)
        if min(entries.X.shape) < self.folds:
            raise InputError(
                f"The smaller side of the data is {min(entries.X.shape)}, which cannot be divided into {self.folds} "
                "folds. Expected fewer folds, or more data."
            )
        left, kept = [], []
        for size, fold in zip(entries.X.shape, (self.row_fold, self.column_fold), strict=True):
            folds = np.array_split(rng.permutation(size), self.folds)
            left.append(np.sort(folds.pop(fold)))
            kept.append(np.sort(np.concatenate(folds)))
        (rows, columns), (seen_rows, seen_columns) = left, kept
        pairs = ((rows, seen_columns), (seen_rows, columns), (rows, columns))
        return Part(
            *self._seen(dataset, entries, seen_rows, seen_columns),
            LeftOut(*(Block.of(entries, *pair) for pair in pairs)),
        )


RESAMPLES: dict[str, type] = {part.name: part for part in (Whole, Halves, Bicross)}


def check_highest(ranks: Sequence[int], shape: tuple[int, int]) -> None:
    """Raise an `InputError` if a rank is above what half of data of a shape (m, n), or all but a fold, allow."""
    m, n = shape
    highest = min(n // 2, *(size - -(-size // FOLDS) for size in shape))
    if max(ranks) > highest:
        raise InputError(
            f"ranks go up to {max(ranks)}, but fits on half of {n} samples, and without a fold of them and of {m} "
            f"features in {FOLDS}, are compared. Expected ranks of at most {highest}."
        )
