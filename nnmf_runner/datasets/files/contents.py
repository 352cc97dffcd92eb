"""What a file holds, whatever its format: named arrays, or the columns of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# What the data are called where a file does not say, and where to look for them and the features' names first.
DATA, NAMES = "X", ("names", "vocab")
NUMERIC = "biuf"
# Cells of a table that are numbers, though not written as such.
SPELLED = {"": np.nan, "na": np.nan, "true": 1.0, "false": 0.0}


class ContentError(ValueError):
    """A file does not hold what is asked of it; the message says what is wrong, in half a sentence."""


@dataclass(frozen=True)
class Refused:
    """In the place of an array that is not read: an object that would have to be unpickled, a struct."""

    reason: str


@dataclass(frozen=True)
class Grid:
    """A matrix as it stands in a file.

    Attributes
    ----------
    values : ndarray or sparse matrix of shape (rows, columns)
    rows, columns : list of str or None
        Their names.
    """

    values: Any
    rows: list[str] | None = None
    columns: list[str] | None = None


@dataclass(frozen=True)
class Contents:
    """Named arrays of a file.

    Attributes
    ----------
    arrays : dict
        Arrays, sparse matrices or `Refused` by their key.
    index_base : int
        What the first column is called in such files by habit.
    rows, columns : list of str or None
        Names that the file gives the rows and columns of its matrices.
    """

    arrays: dict[str, Any]
    index_base: int = 0
    rows: list[str] | None = None
    columns: list[str] | None = None

    def vector(self, key: str) -> NDArray[Any]:
        """The array of this key in one dimension: numbers, booleans or strings, or else a ContentError."""
        found = self._found(key)
        if sparse.issparse(found):
            found = found.toarray() if min(found.shape) == 1 else found
        if sparse.issparse(found) or max(found.shape, default=1) != found.size:
            raise ContentError(f"{key} has shape {found.shape}, expected one dimension")
        if found.dtype.kind not in NUMERIC + "US":
            raise ContentError(f"{key} is of type {found.dtype}, expected numbers, booleans or strings")
        return np.char.decode(found.ravel(), "utf-8", "replace") if found.dtype.kind == "S" else found.ravel()

    def names(self, key: str) -> list[str]:
        """The array of this key as strings, see `vector`."""
        return [str(value) for value in self.vector(key)]

    def grid(self, key: str | None, taken: Iterable[str]) -> Grid:
        """The matrix of this key; without one, ``X`` or the only matrix whose key is not taken by something else."""
        key = self._only_matrix(set(taken)) if key is None else key
        found = self._found(key)
        if found.ndim != 2:
            raise ContentError(f"{key} has {found.ndim} dimensions with shape {found.shape}, expected 2")
        if found.dtype.kind not in NUMERIC:
            raise ContentError(f"{key} is not numeric: expected real numbers, got entries of type {found.dtype}")
        return Grid(found, self.rows, self.columns)

    def _only_matrix(self, taken: set[str]) -> str:
        if DATA in self.arrays:
            return DATA
        found = [key for key, array in self.arrays.items() if key not in taken and _is_matrix(array)]
        if len(found) != 1:
            raise ContentError(f"it has {len(found)} matrices, so dataset.x has to say which. {self._keys()}")
        return found[0]

    def _found(self, key: str) -> Any:
        if key not in self.arrays:
            raise ContentError(f"it has no {key!r}. {self._keys()}")
        found = self.arrays[key]
        if isinstance(found, Refused):
            raise ContentError(f"{key} {found.reason}")
        if hasattr(found, "check_format"):
            try:
                found.check_format(full_check=True)  # indices out of bounds would be followed into foreign memory
            except ValueError as error:
                raise ContentError(f"{key} is a damaged sparse matrix: {error}") from None
        return found

    def _keys(self) -> str:
        keys = list(self.arrays)
        more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
        return f"Expected one of: {', '.join(keys[:20])}{more}" if keys else "It holds nothing"


@dataclass(frozen=True)
class Table(Contents):
    """Columns under a header: those that nothing else is read from are the data.

    Attributes
    ----------
    index : tuple of str
        Columns that the file itself says are names of the rows.
    """

    index: tuple[str, ...] = ()

    def grid(self, key: str | None, taken: Iterable[str]) -> Grid:
        """All columns that are not taken; the first of them names the rows if none of its entries is a number."""
        if key is not None:
            raise ContentError(f"it is a table, of which all columns are data, so dataset.x={key} means nothing")
        taken = {*taken, *self.index}
        columns = {name: column for name, column in self.arrays.items() if name not in taken}
        naming = self.arrays[self.index[0]] if self.index else None
        if naming is None and columns and not _numbers(next(iter(columns.values())))[1].any():
            naming = columns.pop(next(iter(columns)))
        if not columns:
            raise ContentError(f"no column is left for the data. {self._keys()}")
        values = np.column_stack([_numeric(name, column) for name, column in columns.items()])
        return Grid(values, None if naming is None else [str(value) for value in naming], [*columns])


def _numeric(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """A column as numbers."""
    values, good = _numbers(column)
    if not good.all():
        at = int(np.argmin(good))
        raise ContentError(
            f"column {name!r} holds {str(column[at])!r} in row {at + 1}, expected numbers "
            "(columns of labels and names are given by dataset.labels and dataset.names)"
        )
    if len(values) and np.isnan(values).all():
        raise ContentError(f"column {name!r} is empty, expected numbers")
    return values


def _is_matrix(array: Any) -> bool:
    numeric = not isinstance(array, Refused) and array.dtype.kind in NUMERIC
    return numeric and array.ndim == 2 and min(array.shape) > 1


def _numbers(column: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Numbers of a column, NaN where a cell is empty, and which cells are numbers or empty."""
    good = np.ones(len(column), bool)
    if column.dtype.kind in NUMERIC:
        return column, good
    try:
        return column.astype(np.float64), good
    except ValueError:
        values = np.full(len(column), np.nan)
    for i, cell in enumerate(column):
        try:
            word = cell.strip().lower()
            values[i] = SPELLED[word] if word in SPELLED else float(word)
        except ValueError:
            good[i] = False
    return values, good
