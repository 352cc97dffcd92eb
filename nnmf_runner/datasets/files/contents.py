"""What a file holds, whatever its format: named arrays, or the columns of a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.datasets.files.cells import (
    NUMERIC,
    as_text,
    integers,
    is_grouped,
    is_number,
    numbers,
    resembles_number,
)

# What the data are called where a file does not say, and where to look for them and the features' names first.
DATA, NAMES = "X", ("names", "vocab")
# What columns are called that name or number rows: nothing at all, and by pandas.
UNNAMED = re.compile(r"|Unnamed: \d+(\.\d+)?")
_NAMING = re.compile(r"(.*[ _.-])?(id|name)s?|index|rownames|samples?|genes?|features?", re.IGNORECASE)

# What is said of a column that holds no numbers.
NO_DATA = "dataset.labels and dataset.index name columns of labels and names, dataset.exclude others"
_GUESSED = "column {!r} names the rows and is no feature (dataset.index=null makes it one)"


class ContentError(ValueError):
    """A file does not hold what is asked of it; the message says what is wrong, in half a sentence."""


@dataclass(frozen=True)
class Refused:
    """In the place of an array that is not read: an object that would have to be unpickled, a struct."""

    reason: str


@dataclass(frozen=True)
class Coordinates:
    """A sparse array by the places of its entries, which may be of any order; what a file says is not trusted.

    Attributes
    ----------
    coords : ndarray of int, shape (N, nnz)
        Indices of every entry, from 0.
    data : ndarray of shape (nnz,)
        Their values.
    shape : tuple of int
    base : int
        What the first index is called in such files.
    """

    coords: NDArray[Any]
    data: NDArray[Any]
    shape: tuple[int, ...]
    base: int = 0

    @property
    def ndim(self) -> int:
        """Number of modes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.data.dtype

    def place(self, entry: int) -> str:
        """Where an entry stands, for a message."""
        return f"({', '.join(str(int(index) + self.base) for index in self.coords[:, entry])})"

    def check(self, key: str) -> None:
        """Raise a ContentError, which calls the array by its key, unless every entry has a place in the shape."""
        if self.data.ndim != 1 or self.coords.shape != (self.ndim, self.data.size):
            shapes = f"coordinates of shape {self.coords.shape}, data of shape {self.data.shape}"
            raise ContentError(f"{key} has {shapes} and shape {self.shape}, expected (N, nnz), (nnz,) and N sizes")
        if self.coords.dtype.kind not in "iu":
            raise ContentError(f"{key} has coordinates of type {self.coords.dtype}, expected integers")
        for mode, (places, size) in enumerate(zip(self.coords, self.shape, strict=True)):
            if (wrong := np.flatnonzero((places < 0) | (places >= size))).size:
                said = f"{key} has an entry at {self.place(wrong[0])}, out of range for mode {mode} of size {size}"
                raise ContentError(f"{said}: expected indices from {self.base} to {size - 1 + self.base}")


@dataclass(frozen=True)
class Grid:
    """A matrix or a tensor as it stands in a file.

    Attributes
    ----------
    values : ndarray, sparse matrix or Coordinates of shape (rows, columns), or of a tensor's
    rows, columns : list of str or None
        Their names.
    notes : tuple of str
        What was guessed about the file.
    """

    values: Any
    rows: list[str] | None = None
    columns: list[str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How a table is to be read.

    Attributes
    ----------
    delimiter : str, optional
        Character that separates cells; by default the one by which the first lines are a table.
    decimal : {".", ","}
        Decimal mark.
    encoding : str
    header : bool, optional
        Whether the first line names the columns; by default the lines below it tell.
    index : str, optional
        Column that names the rows, or "auto", see `Table.grid`; None for none.
    exclude : sequence of str
        Columns that are left out.
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    header: bool | None = None
    index: str | None = "auto"
    exclude: Sequence[str] = ()


@dataclass(frozen=True)
class Contents:
    """Named arrays of a file.

    Attributes
    ----------
    arrays : dict
        Arrays, sparse matrices, `Coordinates`, `Grid` where the file names their rows and columns, or `Refused` by
        their key.
    index_base : int
        What the first column is called in such files by habit.
    used : set of str
        Keys of what has been asked for so far.
    """

    arrays: Mapping[str, Any]
    index_base: int = 0
    used: set[str] = field(default_factory=set, compare=False)

    def vector(self, key: str) -> NDArray[Any]:
        """The array of this key in one dimension: numbers, booleans or strings, or else a ContentError."""
        found = self.array(key)
        if max(found.shape, default=1) != found.size:
            raise ContentError(f"{key} has shape {found.shape}, expected one dimension")
        return found.ravel()

    def array(self, key: str) -> NDArray[Any]:
        """The array of this key: numbers, booleans or strings, or else a ContentError."""
        found = self._found(key)
        if isinstance(found, Coordinates):
            raise ContentError(f"{key} is a sparse array of shape {found.shape}, expected a plain one")
        if found.dtype.kind not in NUMERIC + "US":
            raise ContentError(f"{key} is of type {found.dtype}, expected numbers, booleans or strings")
        if sparse.issparse(found):
            found = found.toarray()  # labels or names: with an entry for every sample or feature
        return np.char.decode(found, "utf-8", "replace") if found.dtype.kind == "S" else found

    def names(self, key: str) -> list[str]:
        """The array of this key as strings, see `vector`."""
        return as_text(self.vector(key))

    def grid(self, key: str | None, taken: Iterable[str]) -> Grid:
        """The matrix of this key; without one, ``X`` or the only matrix whose key is not taken by something else."""
        key = self._only_matrix(set(taken)) if key is None else key
        found, named = self._found(key), self.arrays[key]
        if found.dtype.kind not in NUMERIC:
            raise ContentError(f"{key} is not numeric: expected real numbers, got entries of type {found.dtype}")
        return named if isinstance(named, Grid) else Grid(found)

    def row_names(self) -> list[str] | None:
        """What the rows of its matrices are called, if the file says so."""
        return next((array.rows for array in self.arrays.values() if isinstance(array, Grid)), None)

    @property
    def unused(self) -> list[str]:
        """Keys of what nothing has asked for."""
        return [key for key in self.arrays if key not in self.used]

    def only(self) -> str:
        """The only key."""
        if len(self.arrays) != 1:
            raise ContentError(f"it has {len(self.arrays)} arrays, so FILE:KEY has to say which. {self.keys()}")
        return next(iter(self.arrays))

    def _only_matrix(self, taken: set[str]) -> str:
        if DATA in self.arrays:
            return DATA
        found = [key for key, array in self.arrays.items() if key not in taken and _is_matrix(array)]
        if len(found) != 1:
            raise ContentError(f"it has {len(found)} matrices, so dataset.x has to say which. {self.keys()}")
        return found[0]

    def _found(self, key: str) -> Any:
        if key not in self.arrays:
            raise ContentError(f"it has no {key!r}. {self.keys()}")
        self.used.add(key)
        found = self.arrays[key]
        if isinstance(found, Refused):
            raise ContentError(f"{key} {found.reason}")
        found = found.values if isinstance(found, Grid) else found
        if isinstance(found, Coordinates):
            found.check(key)
        elif hasattr(found, "check_format"):
            try:  # indices out of bounds would be followed into foreign memory
                found.check_format(full_check=True)
                if (np.diff(found.indptr) < 0).any():  # not looked at where the last one is not above zero
                    raise ValueError("index pointer values must form a non-decreasing sequence")
            except ValueError as error:
                raise ContentError(f"{key} is a damaged sparse matrix: {error}") from None
        return found

    def keys(self) -> str:
        """What there is, for a message."""
        keys = list(self.arrays)
        more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
        return f"Expected one of: {', '.join(keys[:20])}{more}" if keys else "It holds nothing"


@dataclass(frozen=True)
class Table(Contents):
    """Columns under a header: those that nothing else is read from are the data.

    Attributes
    ----------
    layout : Layout
    named : bool
        Whether the columns have names, rather than numbers from 0.
    index : tuple of str
        Columns that the file itself says are names of the rows.
    notes : tuple of str
        See `Grid`.
    """

    layout: Layout = field(default_factory=Layout)
    named: bool = True
    index: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unused(self) -> list[str]:
        """Nothing, for what nothing has asked for is data."""
        return []

    def row_names(self) -> list[str] | None:
        """The column that names the rows, or else the first one."""
        return as_text(self.array((*self.index, *self.arrays)[0]))

    def grid(self, key: str | None, taken: Iterable[str]) -> Grid:
        """All columns that are neither taken nor excluded, and the names of the rows.

        By default these stand in the column that the file itself says, or else in the first one, if it holds no number,
        numbers the rows, or has the name of such a column and a value of its own for every row.
        A first column without a name that does none of these may still do so: a ContentError asks.
        """
        if key is not None:
            raise ContentError(f"it is a table, of which all columns are data, so dataset.x={key} means nothing")
        columns = {name: self._found(name) for name in self.arrays}
        for name in self.layout.exclude:
            self._found(name)
        left = {name: column for name, column in columns.items() if name not in {*taken, *self.layout.exclude}}
        naming = self._naming(left)
        counters = self._counters(left) if self.layout.index == "auto" else []
        found = [name for name in left if name in (naming, *counters) and name not in self.index]
        left = {name: column for name, column in left.items() if name not in (naming, *self.index, *counters)}
        guessed = [_GUESSED.format(name) for name in found if self.layout.index == "auto"]
        if not left:
            raise ContentError("; ".join(["no column is left for the data", *guessed]) + f". {self.keys()}")
        rows = None if naming is None else as_text(columns[naming])
        said = "; ".join([*self.notes, *guessed])
        return Grid(self.stacked(left), rows, [*left] if self.named else None, (said,) if said else ())

    def stacked(self, columns: Mapping[str, NDArray[Any]]) -> Any:
        """Columns of numbers as a matrix."""
        return np.column_stack([self._numeric(name, column) for name, column in columns.items()])

    def _naming(self, columns: Mapping[str, NDArray[Any]]) -> str | None:
        """The column that names the rows."""
        if self.layout.index != "auto":
            if self.layout.index is not None:
                self._found(self.layout.index)
            return self.layout.index
        if self.index or not columns:
            return self.index[0] if self.index else None
        first, column = next(iter(columns.items()))
        named = names_rows(first) and _tells_apart(column)
        if named or first in self._counters(columns) or _is_text(column, self.layout.decimal):
            return first
        if UNNAMED.fullmatch(first):
            says = f"dataset.index={first!r} says so, and dataset.index=null that it is a feature"
            raise ContentError(f"its first column has no name and may name the rows: {says}")
        return None

    def _counters(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Columns that number the rows: all without a name, and the first one, unless the file itself names them."""
        some = [name for i, name in enumerate(columns) if UNNAMED.fullmatch(name) or (i == 0 and not self.index)]
        return [name for name in some if counts(columns[name])]

    def _numeric(self, name: str, column: NDArray[Any]) -> NDArray[Any]:
        """A column as numbers."""
        decimal = self.layout.decimal
        values, good = numbers(column, decimal)
        if not good.all():
            at = int(np.argmin(good))
            cell, hint = str(column[at]), _hint(str(column[at]), decimal, among_numbers=not np.isnan(values).all())
            raise ContentError(f"column {name!r} holds {cell!r} in row {at + 1}, expected numbers ({hint})")
        if len(values) and np.isnan(values).all():
            raise ContentError(f"column {name!r} is empty, expected numbers (dataset.exclude leaves it out)")
        return values


def names_rows(column: str) -> bool:
    """Whether a column of this name is one that names rows."""
    return bool(UNNAMED.fullmatch(column) or _NAMING.fullmatch(column))


def check_unique(names: Sequence[str]) -> None:
    """Refuse names of columns of which one stands twice."""
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ContentError(f"its header has {twice[0]!r} twice")


def _hint(cell: str, decimal: str, *, among_numbers: bool) -> str:
    """What to do about a cell that is no number, with others in its column that are some or not."""
    other = "," if decimal == "." else "."
    grouped = is_grouped(cell)
    if is_number(cell, other):
        unless = ", unless that mark groups thousands: it has to go then" if grouped else ""
        return f"dataset.decimal={other!r} reads it as {cell.strip().replace(other, '.')}{unless}"
    if is_number(cell.rstrip("% "), decimal):
        return "a percent sign is no part of a number"
    if grouped:
        return "marks that group thousands are no part of a number"
    if resembles_number(cell):
        return "signs and marks between thousands are no part of a number"
    if among_numbers:
        return "an empty cell is a missing entry"
    return NO_DATA


def _is_text(column: NDArray[Any], decimal: str) -> bool:
    """Whether no entry is a number, and some are words, rather than numbers with other marks."""
    values, good = numbers(column, decimal)
    return bool(np.isnan(values).all()) and not all(map(resembles_number, column[~good]))


def _tells_apart(column: NDArray[Any]) -> bool:
    """Whether every row has a value of its own, of which numbers are whole."""
    words = as_text(column)
    return len(set(words)) == len(words) and (integers(words) is not None or not all(map(is_number, words)))


def counts(column: NDArray[Any]) -> bool:
    """Whether the entries are 0, 1, 2, ... or 1, 2, 3, ..."""
    counted = integers(as_text(column)) or [0]
    return len(counted) > 2 and counted in ([*range(len(counted))], [*range(1, len(counted) + 1)])


def _is_matrix(array: Any) -> bool:
    array = array.values if isinstance(array, Grid) else array
    numeric = not isinstance(array, Refused) and array.dtype.kind in NUMERIC
    return numeric and array.ndim > 1 and min(array.shape) > 1
