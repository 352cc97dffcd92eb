"""What files hold: one reader per suffix, from a path to `Contents`.  Nothing in files is executed or unpickled."""

from __future__ import annotations

import functools
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, shown
from nnmf_runner.datasets.files import npy
from nnmf_runner.datasets.files.bounds import MEMORY
from nnmf_runner.datasets.files.cells import NUMERIC
from nnmf_runner.datasets.files.contents import (
    DATA,
    ContentError,
    Contents,
    Coordinates,
    Grid,
    Layout,
    Refused,
    Table,
    check_unique,
)
from nnmf_runner.datasets.files.guarded import guarded
from nnmf_runner.datasets.files.hdf5 import check_self_contained
from nnmf_runner.datasets.files.matrix_market import read_mtx
from nnmf_runner.datasets.files.reading import likely_encoding, required
from nnmf_runner.datasets.files.tables import read_csv
from nnmf_runner.datasets.files.tns import read_tns

Reader = Callable[[Path, Layout], Contents]
PLAIN = Layout()

# Integers to which are all of them doubles; larger ones beside a missing one stay text, since labels may be such.
EXACT = 2**53
# What is said of a sparse array by compressed axes, whose rows need not be its first axis.
GCXS = "is in GCXS form, which is not read: expected that of coordinates (sparse.COO) or a matrix of scipy"
# Bytes from which an array is mapped from its file.  A smaller one is read, so that the file may change under a run.
MAPPED = 2**27


def read_npy(path: Path) -> Contents:
    """One array of plain values; a large one is mapped, so that no more of it is in the memory than is worked on."""
    if path.stat().st_size >= MAPPED:
        return Contents({DATA: np.lib.format.open_memmap(path, mode="r")})  # which refuses pickles
    return Contents({DATA: npy.read_npy(path)})


def read_npz(path: Path) -> Contents:
    """Arrays of an archive, with sparse ones put together from their parts.

    Such are files of `scipy.sparse.save_npz`, and any ``<key>_data``, ``<key>_indices``, ``<key>_indptr``,
    ``<key>_shape`` of a matrix in CSR form or ``<key>_coords``, ``<key>_data``, ``<key>_shape`` of coordinates, as
    ``sparse.save_npz`` of the package sparse writes (without ``<key>_``, it is ``X``).
    """
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        if sum(archive.getinfo(name).file_size for name in members.values()) > MEMORY:
            raise MemoryError
        if {"format", "shape", "data"} <= set(members):
            return Contents({DATA: _of_scipy(sparse.load_npz(path))})  # which refuses pickles
        arrays = {key: _plain(archive, name) for key, name in members.items()}
    for indptr in [key for key in arrays if key.endswith("indptr")]:
        stem = indptr.removesuffix("indptr")
        parts = [stem + part for part in ("data", "indices", "indptr", "shape")]
        if set(parts) <= set(arrays):
            data, indices, starts, shape = (arrays.pop(part) for part in parts)
            by_rows = arrays.pop(f"{stem}compressed_axes", None) is None
            arrays[stem.rstrip("_./") or DATA] = (
                sparse.csr_array((data, indices, starts), shape=tuple(shape)) if by_rows else Refused(GCXS)
            )
    for coords in [key for key in arrays if key.endswith("coords")]:
        stem = coords.removesuffix("coords")
        parts = [stem + part for part in ("coords", "data", "shape")]
        if all(isinstance(arrays.get(part), np.ndarray) for part in parts):
            places, data, shape = (arrays.pop(part) for part in parts)
            fill = arrays.pop(f"{stem}fill_value", 0)
            arrays[stem.rstrip("_./") or DATA] = _of_coordinates(places, data, shape, fill)
    return Contents(arrays)


def _of_scipy(array: Any) -> Any:
    """A sparse matrix as it is; an array of another order, which has coordinates only, by these."""
    if array.ndim == 2:
        return array
    return Coordinates(np.array(array.coords), array.data, array.shape)


def _of_coordinates(coords: NDArray[Any], data: NDArray[Any], shape: NDArray[Any], fill: Any) -> Coordinates | Refused:
    """A sparse array of any order; one that is another number than zero where it has no entry is none."""
    if shape.ndim != 1 or shape.dtype.kind not in "iu" or (shape < 0).any():
        return Refused(f"has {shown(shape.tolist())} as its shape, expected sizes of its modes")
    if np.any(np.asarray(fill) != 0):
        return Refused(f"is {shown(fill)} where it has no entry, expected zero")
    return Coordinates(coords, data, tuple(map(int, shape)))


def _plain(archive: zipfile.ZipFile, name: str) -> Any:
    """An array of plain values; a pickled one is not opened."""
    with archive.open(name) as member:
        try:
            return npy.read_array(member, archive.getinfo(name).file_size)
        except npy.PickledError as error:
            return Refused(str(error).removeprefix("it "))


def read_mat(path: Path) -> Contents:
    """Variables of a MATLAB file of version 4 to 7.2; structs and objects are not read.

    A file cut short is refused, and so is damage to a compressed one (MATLAB's default), which has checksums.  Bytes
    changed inside an uncompressed one can crash scipy's compiled reader, see `guarded`.
    """
    from scipy.io import loadmat

    try:
        found = loadmat(path, appendmat=False)
    except NotImplementedError:
        raise ContentError("it is of MATLAB's version 7.3. Expected version 7 or before: save(..., '-v7')") from None
    except ValueError as error:
        if re.search("Unknown mat file type|Mat 4 mopt", str(error)):
            raise ContentError("it is no MATLAB file of version 4 to 7. Expected save(..., '-v7')") from None
        raise
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


def read_parquet(path: Path, layout: Layout = PLAIN) -> Contents:
    """A table; a null is a missing number.  The index of a frame of pandas names the rows."""
    parquet = required("pyarrow.parquet", "parquet", "file")
    with path.open("rb") as file:
        table = parquet.ParquetFile(file).read()
    check_unique(table.column_names)
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    columns = {
        name: plain_column(table.column(name).to_pandas(integer_object_nulls=True)) for name in table.column_names
    }
    return Table(columns, layout=layout, index=tuple(name for name in index if isinstance(name, str)))  # no range


def plain_column(values: Any) -> NDArray[Any]:
    """Numbers of a series of pandas, NaN where one is missing, or else strings, with nothing in its place."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in NUMERIC:
        return values.to_numpy()
    pairs = list(zip(values.tolist(), values.isna(), strict=True))
    if all(missing or (isinstance(value, (bool, int, float)) and abs(value) <= EXACT) for value, missing in pairs):
        return np.array([np.nan if missing else value for value, missing in pairs])
    return np.array(["" if missing else str(value) for value, missing in pairs])


def read_h5ad(path: Path) -> Contents:
    """Annotated data: ``X``, ``raw``, layers and the columns of ``obs`` and ``var`` by their names.

    Columns of ``raw.var``, which may have other features, have that name behind ``raw.``.
    """
    anndata = required("anndata", "bio", "file")
    check_self_contained(path)
    found = anndata.read_h5ad(path)
    samples, features = ([*map(str, names)] for names in (found.obs_names, found.var_names))
    arrays: dict[str, Any] = {} if found.X is None else {DATA: Grid(found.X, samples, features)}
    arrays |= {name: Grid(found.layers[name], samples, features) for name in found.layers}
    if found.raw is not None:
        arrays["raw"] = Grid(found.raw.X, samples, [*map(str, found.raw.var_names)])
    frames = [("", found.obs), ("", found.var), *([("raw.", found.raw.var)] if found.raw is not None else [])]
    for prefix, frame in frames:
        named = {f"{prefix}{name}": name for name in frame.columns}
        arrays |= {key: plain_column(frame[name]) for key, name in named.items() if key not in arrays}
    return Contents(arrays)


def _of_arrays(reader: Callable[[Path], Contents]) -> Reader:
    """A reader of arrays, for which the layout of a table means nothing."""

    def read_arrays(path: Path, layout: Layout) -> Contents:
        plain = Layout(encoding=layout.encoding)
        for name, value in vars(layout).items():
            if value != getattr(plain, name):
                raise ContentError(f"dataset.{name}={value} is for tables, and this file is none")
        return reader(path)

    return read_arrays


READERS: dict[str, Reader] = {
    ".npz": _of_arrays(read_npz),
    ".npy": _of_arrays(read_npy),
    ".mtx": _of_arrays(read_mtx),
    ".mtx.gz": _of_arrays(read_mtx),
    ".mtx.bz2": _of_arrays(read_mtx),
    ".tns": _of_arrays(read_tns),
    ".tns.gz": _of_arrays(read_tns),
    ".mat": _of_arrays(guarded(read_mat)),
    ".h5ad": _of_arrays(guarded(read_h5ad)),
    ".parquet": guarded(read_parquet),
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": functools.partial(read_csv, usual="\t"),
    ".tsv.gz": functools.partial(read_csv, usual="\t"),
    ".txt": functools.partial(read_csv, usual="\t"),
    ".txt.gz": functools.partial(read_csv, usual="\t"),
}


def suffix_of(path: Path) -> str | None:
    """The suffix by which a file is read; None if there is no reader for it."""
    return next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)


def is_text(path: Path) -> bool:
    """Whether the lines of a file are read one by one, since it is a table of text or of no known suffix."""
    return suffix_of(path.with_suffix("") if path.suffix.lower() == ".gz" else path) in (None, ".csv", ".tsv", ".txt")


def read(path: Path, layout: Layout = PLAIN) -> Contents:
    """Read a file by its suffix, or raise ContentError with the reason, or MemoryError."""
    suffix = suffix_of(path)
    if suffix is None:
        raise ContentError(f"its suffix is not known. Expected one of: {', '.join(READERS)}")
    try:
        if not path.stat().st_size:
            raise ContentError("it is empty")
        with warnings.catch_warnings(action="ignore"):  # what is wrong for this program, it says itself
            return READERS[suffix](path, layout)
    except (ContentError, InputError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        said = f"it is not {layout.encoding} text (byte {error.object[error.start]:#x} at {error.start})"
        raise ContentError(f"{said}; dataset.encoding={likely_encoding(error.object)} may be what it needs") from None
    except Exception as error:  # what parsers raise for damaged files is of every kind
        reason = (str(getattr(error, "strerror", None) or error).splitlines() or [type(error).__name__])[0]
        raise ContentError(f"it cannot be read as {suffix}: {reason.rstrip('.')}") from None
