"""What files hold: one reader a suffix, each from a path to `Contents`.  Nothing in a file is executed or unpickled."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.reading import required

# What the data are called where a file does not say, and where to look for them and the features' names first.
DATA, NAMES = "X", ("names", "vocab")
NUMERIC = "biuf"
# What entries of a Matrix Market file can be.
FIELDS = ("real", "double", "integer", "pattern")


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
        """The array of this key in one dimension: numbers, booleans or strings.

        Raises
        ------
        ContentError
            If there is none, or it is a matrix.
        """
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
        """The matrix of this key; without one, ``X`` or the only matrix there.

        Parameters
        ----------
        key : str or None
        taken : iterable of str
            Keys that something else is read from.

        Raises
        ------
        ContentError
        """
        key = self._only_matrix(taken) if key is None else key
        found = self._found(key)
        if found.ndim != 2:
            raise ContentError(f"{key} has {found.ndim} dimensions with shape {found.shape}, expected 2")
        if found.dtype.kind not in NUMERIC:
            raise ContentError(f"{key} is not numeric: expected real numbers, got entries of type {found.dtype}")
        return Grid(found, self.rows, self.columns)

    def _only_matrix(self, taken: Iterable[str]) -> str:
        if DATA in self.arrays:
            return DATA
        taken = set(taken)
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
        return found

    def _keys(self) -> str:
        keys = list(self.arrays)
        more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
        return f"Expected one of: {', '.join(keys[:20])}{more}"


@dataclass(frozen=True)
class Table(Contents):
    """Columns under a header: those that nothing else is read from are the data."""

    first_row: int = field(default=1, kw_only=True)  # what a reader of the file counts as its first row of values

    def grid(self, key: str | None, taken: Iterable[str]) -> Grid:
        """All columns that are not taken; the first of them names the rows if none of its entries is a number.

        Raises
        ------
        ContentError
            If a column holds text.
        """
        if key is not None:
            raise ContentError(f"it is a table, of which all columns are data, so dataset.x={key} means nothing")
        taken = set(taken)
        columns = {name: column for name, column in self.arrays.items() if name not in taken}
        rows, first = self.rows, next(iter(columns), None)
        if first is not None and (first == "" or not _numbers(columns[first])[1].any()):
            rows = [str(value) for value in columns.pop(first)]
        if not columns:
            raise ContentError(f"no column is left for the data. {self._keys()}")
        return Grid(
            np.column_stack([self._numeric(name, column) for name, column in columns.items()]), rows, [*columns]
        )

    def _numeric(self, name: str, column: NDArray[Any]) -> NDArray[Any]:
        if column.dtype.kind in NUMERIC:
            return column
        values, good = _numbers(column)
        if not good.all():
            at = int(np.argmin(good))
            raise ContentError(
                f"column {name!r} holds {str(column[at])!r} in row {at + self.first_row}, expected numbers "
                "(columns of labels and names are given by dataset.labels and dataset.names)"
            )
        return values


def _is_matrix(array: Any) -> bool:
    numeric = not isinstance(array, Refused) and array.dtype.kind in NUMERIC
    return numeric and array.ndim == 2 and min(array.shape) > 1


def _numbers(column: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers of a column, NaN where a cell is empty, and which cells are numbers or empty."""
    if column.dtype.kind in NUMERIC:
        return column.astype(np.float64), np.ones(len(column), bool)
    values, good = np.full(len(column), np.nan), np.ones(len(column), bool)
    for i, cell in enumerate(column):
        try:
            values[i] = float(cell) if str(cell).strip() else np.nan
        except (TypeError, ValueError):
            good[i] = False
    return values, good


def read_npy(path: Path) -> Contents:
    """One array of plain values."""
    with path.open("rb") as file:
        return Contents({DATA: np.lib.format.read_array(file, allow_pickle=False)})


def read_npz(path: Path) -> Contents:
    """Arrays of an archive, with sparse matrices put together from their parts.

    Such are files of `scipy.sparse.save_npz`, and any ``<key>_data``, ``<key>_indices``, ``<key>_indptr``,
    ``<key>_shape`` of one in CSR form (without ``<key>_``, it is ``X``).
    """
    arrays: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                arrays[name.removesuffix(".npy")] = _plain(io.BytesIO(member.read()))
    if {"format", "shape", "data"} <= set(arrays):
        return Contents({DATA: sparse.load_npz(path)})  # which refuses pickles
    for indptr in [key for key in arrays if key.endswith("indptr")]:
        stem = indptr.removesuffix("indptr")
        parts = [stem + part for part in ("data", "indices", "indptr", "shape")]
        if set(parts) <= set(arrays):
            data, indices, starts, shape = (arrays.pop(part) for part in parts)
            arrays[stem.rstrip("_./") or DATA] = sparse.csr_array((data, indices, starts), shape=tuple(shape))
    return Contents(arrays)


def _plain(file: io.BytesIO) -> Any:
    """An array of plain values; a pickled one is not opened."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(version, np.lib.format.read_array_header_2_0)
    if version < (3, 0) and read(file)[2].hasobject:
        return Refused("is a pickled object, which is not read: expected plain values")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def read_mtx(path: Path) -> Contents:
    """A real Matrix Market file, dense or sparse, general or symmetric, gzipped or not.

    Not by `scipy.io.mmread`, whose compiled parser can crash on a file that is cut short.
    """
    with gzip.open(path, "rt") if path.suffix.lower() == ".gz" else path.open() as file:
        banner = file.readline().lower().split()
        legal = (("%%matrixmarket",), ("matrix",), ("array", "coordinate"), FIELDS, ("general", "symmetric"))
        if len(banner) != len(legal) or any(word not in words for word, words in zip(banner, legal, strict=True)):
            raise ContentError("its first line is not that of a real general or symmetric Matrix Market file")
        _, _, form, kind, symmetry = banner
        sizes = [
            int(word) for word in next((line for line in file if line.strip(" \n\r%") and line[0] != "%"), "").split()
        ]
        body = [line for line in file if line.strip()]
    if len(sizes) != (3 if form == "coordinate" else 2) or min(sizes) < 0:
        raise ContentError("it does not say the size of its matrix")
    symmetric, (m, n) = symmetry == "symmetric", sizes[:2]
    if symmetric and m != n:
        raise ContentError(f"it is symmetric, but of shape {(m, n)}")
    if form == "array":
        return Contents({DATA: _dense_mtx(_body(body, n * (n + 1) // 2 if symmetric else m * n, 1), (m, n), symmetric)})
    columns = 2 if kind == "pattern" else 3
    return Contents({DATA: _sparse_mtx(_body(body, sizes[2], columns), (m, n), symmetric)})


def _body(lines: list[str], count: int, columns: int) -> NDArray[np.float64]:
    """The lines below the sizes as numbers, shape (count, columns); not made before it is known that all are there."""
    if len(lines) != count:
        raise ContentError(f"it has {len(lines)} entries, but says {count}: it may be cut short")
    rows = np.loadtxt(lines, ndmin=2) if lines else np.zeros((0, columns))
    if rows.shape[1] != columns:
        raise ContentError(f"its entries have {rows.shape[1]} numbers each, expected {columns}")
    return rows


def _dense_mtx(entries: NDArray[np.float64], shape: tuple[int, int], symmetric: bool) -> NDArray[np.float64]:
    if not symmetric:
        return entries.reshape(shape, order="F")
    values = np.zeros(shape)
    columns, rows = np.triu_indices(shape[0])  # the lower triangle, column by column
    values[rows, columns] = values[columns, rows] = entries[:, 0]
    return values


def _sparse_mtx(entries: NDArray[np.float64], shape: tuple[int, int], symmetric: bool) -> Any:
    places = entries[:, :2]
    if (places % 1).any() or (places < 1).any() or (places > shape).any():
        raise ContentError(f"it has an entry that is not at a row and column from 1 to {shape[0]} and {shape[1]}")
    rows, columns = places.astype(np.int64).T - 1
    values = entries[:, 2] if entries.shape[1] == 3 else np.ones(len(entries))
    if symmetric:
        below = rows != columns
        mirrored = columns[below], rows[below]
        rows, columns = np.append(rows, mirrored[0]), np.append(columns, mirrored[1])
        values = np.append(values, values[below])
    return sparse.coo_array((values, (rows, columns)), shape=shape)


def read_mat(path: Path) -> Contents:
    """Variables of a MATLAB file of version 4 to 7.2; structs and objects are not read.

    A file cut short is refused, and so is damage to a compressed one (MATLAB's default), which has checksums.  Bytes
    changed inside an uncompressed one can crash scipy's compiled reader, which no handler of exceptions sees: do not
    read such files from sources that you do not trust.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path, appendmat=False)
    except NotImplementedError:
        raise ContentError("it is of MATLAB's version 7.3. Expected version 7 or before: save(..., '-v7')") from None
    return Contents({key: _of_mat(found[key]) for key in found if not key.startswith("__")}, index_base=1)


def _of_mat(array: Any) -> Any:
    """An array of numbers or strings; cells are taken if each holds one of either."""
    if sparse.issparse(array):
        return array
    if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMERIC + "cUSO":
        return Refused("is a struct or an object, which is not read: expected an array or cells of strings")
    if array.dtype.kind != "O":
        return np.char.rstrip(array) if array.dtype.kind == "U" else array
    cells = []
    for cell in array.ravel():
        if not isinstance(cell, np.ndarray) or cell.size > 1 or cell.dtype.kind not in NUMERIC + "U":
            return Refused("has cells that hold more than one string or number")
        cells.append(str(cell.item()) if cell.size else "")
    return np.array(cells, dtype=str).reshape(array.shape)


def read_csv(path: Path, delimiter: str = ",") -> Contents:
    """A table with a header, in UTF-8; an empty cell is a missing number."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = next(reader, [])
        rows = []
        for row in reader:
            if not row:
                continue  # an empty line, as at the end of many files
            if len(row) != len(header):
                raise ContentError(f"line {reader.line_num} has {len(row)} cells, expected {len(header)} as the header")
            rows.append(row)
    if not rows:
        raise ContentError("it has no rows below its header")
    _check_unique(header)
    return Table({name: np.array(column) for name, column in zip(header, zip(*rows, strict=True), strict=True)})


def read_tsv(path: Path) -> Contents:
    """As `read_csv`, with tabs between cells."""
    return read_csv(path, "\t")


def read_parquet(path: Path) -> Contents:
    """A table; a null is a missing number."""
    parquet = required("pyarrow.parquet", "parquet", "file")
    with path.open("rb") as file:
        table = parquet.ParquetFile(file).read()
    _check_unique(table.column_names)
    return Table({name: _plain_column(table.column(name).to_pylist()) for name in table.column_names})


def _plain_column(values: list[Any]) -> NDArray[Any]:
    """Numbers, NaN for what is none, or else strings."""
    if all(value is None or isinstance(value, (bool, int, float)) for value in values):
        return np.array([np.nan if value is None else value for value in values])
    return np.array(["" if value is None or value != value else str(value) for value in values])  # NaN is not itself


def read_h5ad(path: Path) -> Contents:
    """Annotated data: ``X``, layers and the columns of ``obs`` by their names; variables name the columns."""
    found = required("anndata", "bio", "file").read_h5ad(path)
    arrays: dict[str, Any] = {name: _plain_column(found.obs[name].tolist()) for name in found.obs.columns}
    arrays |= {name: found.layers[name] for name in found.layers}
    arrays |= {} if found.X is None else {DATA: found.X}
    return Contents(arrays, rows=[*map(str, found.obs_names)], columns=[*map(str, found.var_names)])


def _check_unique(header: Sequence[str]) -> None:
    if twice := [name for name in header if header.count(name) > 1]:
        raise ContentError(f"its header has {twice[0]!r} twice")


READERS: dict[str, Callable[[Path], Contents]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".mtx": read_mtx,
    ".mtx.gz": read_mtx,
    ".mat": read_mat,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".h5ad": read_h5ad,
}


def read(path: Path) -> Contents:
    """Read a file by its suffix.

    Raises
    ------
    ContentError
        If it cannot be, with the reason.
    """
    suffix = next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ContentError(f"its suffix is not known. Expected one of: {', '.join(READERS)}")
    try:
        if not path.stat().st_size:
            raise ContentError("it is empty")
        return READERS[suffix](path)
    except (ContentError, InputError):
        raise
    except Exception as error:  # what parsers raise for damaged files is of every kind
        reason = (str(getattr(error, "strerror", None) or error).splitlines() or [type(error).__name__])[0]
        raise ContentError(f"it cannot be read as {suffix}: {reason.rstrip('.')}") from None
