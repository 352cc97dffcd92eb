"""Matrices in files that are read a slab at a time: zarr arrays, and the columns of parquet files."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.cells import NUMERIC
from nnmf_runner.datasets.files.contents import (
    DATA,
    NO_DATA,
    UNNAMED,
    ContentError,
    Contents,
    Layout,
    Table,
    check_unique,
    counts,
    names_rows,
)
from nnmf_runner.datasets.files.guarded import guarded
from nnmf_runner.datasets.files.npy import map_npy
from nnmf_runner.datasets.files.readers import PLAIN, plain_column
from nnmf_runner.datasets.files.reading import required
from nnmf_runner.store.files import read_json

# Entries of a slab, unless a chunk or a group of rows of the file has more.
SLAB = 2**22
# Rows that tell whether a column of numbers counts them.
HEAD = 1000
ZARR = ("zarr.json", ".zarray")
# What chunks of a zarr array may be coded by.  Others could run what they hold, as one does that unpickles it.
CODECS = (
    *("bytes", "transpose", "sharding_indexed", "crc32c", "gzip", "zlib", "bz2", "lzma", "zstd", "lz4", "blosc"),
    *("shuffle", "delta", "bitround", "fixedscaleoffset", "quantize"),
)

# Types of the columns of parquet files that are numbers.
NUMBERS = ("integer", "floating", "boolean", "decimal")

# From an axis and the number of a slab to its entries.
Reader = Callable[[int, int], NDArray[Any]]


@dataclass(frozen=True)
class Slabs:
    """A matrix in a file, of which ``[:, a:b]`` is another one, and `numpy.asarray` reads it.

    Attributes
    ----------
    read : callable
        Reads a slab of the matrix as it stands in the file.
    ends : pair of sequence of int
        Where the slabs along either axis of the file begin and end.
    dtype : dtype
    flipped : bool
        Whether this is the transpose.
    span : tuple of int, optional
        First column, and the one behind the last.
    """

    read: Reader
    ends: tuple[Sequence[int], Sequence[int]]
    dtype: np.dtype[Any]
    flipped: bool = False
    span: tuple[int, int] | None = None

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Of the columns that it holds."""
        sides = [ends[-1] for ends in self.ends]
        start, stop = self._span
        return (sides[1] if self.flipped else sides[0]), stop - start

    @property
    def T(self) -> Slabs:
        """The transpose of a whole matrix."""
        return dataclasses.replace(self, flipped=not self.flipped)

    def __getitem__(self, key: tuple[slice, slice]) -> Slabs:
        start, stop = self._span
        some = range(start, stop)[key[1]]
        return dataclasses.replace(self, span=(some.start, some.stop))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        start, stop = self._span
        axis = 0 if self.flipped else 1
        ends = self.ends[axis]
        found = np.empty(self.shape[::-1], self.dtype)  # columns first
        for i in range(bisect_right(ends, start) - 1, bisect_left(ends, stop)):
            slab, first = self._slab(axis, i), ends[i]
            low, high = max(first, start), min(ends[i + 1], stop)
            found[low - start : high - start] = (slab if self.flipped else slab.T)[low - first : high - first]
        return np.asarray(found.T, dtype)

    def _slab(self, axis: int, i: int) -> NDArray[Any]:
        try:
            return self.read(axis, i)
        except Exception as error:  # what decoders raise for damaged files is of every kind
            raise ContentError(f"it cannot be read: {first_line(error)}") from None

    @property
    def _span(self) -> tuple[int, int]:
        return self.span or (0, self.ends[0 if self.flipped else 1][-1])


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(getattr(error, "strerror", None) or error).splitlines() or [type(error).__name__])[0].rstrip(".")


def slabs(read: Reader, ends: tuple[Sequence[int], Sequence[int]], dtype: np.dtype[Any]) -> Slabs:
    """A matrix of which the slab that was read last is kept, since several blocks are taken from it."""
    return Slabs(functools.lru_cache(maxsize=1)(read), ends, dtype)


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array."""
    return any((path / name).is_file() for name in ZARR)


def read_zarr(path: Path) -> Contents:
    """The matrix of a zarr array, whose chunks are read when they are asked for."""
    _check_codecs(path)
    zarr = required("zarr", "zarr", "file")
    array = zarr.open_array(path, mode="r")
    if array.ndim != 2 or array.dtype.kind not in NUMERIC:
        raise ContentError(
            f"it is an array of shape {array.shape} and type {array.dtype}, expected a matrix of numbers"
        )
    chunks = array.shards or array.chunks

    def ends(axis: int) -> list[int]:
        size, other = array.shape[axis], array.shape[1 - axis]
        step = chunks[axis] * max(1, SLAB // (chunks[axis] * other))
        return [*range(0, size, step), size]

    both = (ends(0), ends(1))

    def read(axis: int, i: int) -> NDArray[Any]:
        some = slice(both[axis][i], both[axis][i + 1])
        with warnings.catch_warnings(action="ignore"):
            return np.asarray(array[some] if axis == 0 else array[:, some])

    return Contents({DATA: slabs(read, both, array.dtype)})


def _check_codecs(path: Path) -> None:
    """Refuse a zarr array that is coded by anything else than plain compression."""
    name = next(name for name in ZARR if (path / name).is_file())
    try:
        found = read_json(path / name)
    except ValueError as error:
        raise ContentError(f"{name} {error}") from None
    if not isinstance(found, dict) or found.get("node_type", "array") != "array":
        raise ContentError("it is a group of zarr, expected the path of one of its arrays")
    names = [each for key in ("codecs", "compressor", "filters") for each in _codecs(found.get(key))]
    if refused := [each for each in names if each.removeprefix("numcodecs.") not in CODECS]:
        raise ContentError(f"it is coded by {refused[0]!r}, which is not read. Expected one of: {', '.join(CODECS)}")


def _codecs(said: Any) -> list[str]:
    """Names of codecs in what a zarr array says of them, those within others too."""
    if isinstance(said, list):
        return [name for each in said for name in _codecs(each)]
    if not isinstance(said, dict):
        return []
    own = [str(said[key]) for key in ("name", "id") if key in said]
    return own + [name for each in said.values() if isinstance(each, (dict, list)) for name in _codecs(each)]


def read_parquet_slabs(path: Path, layout: Layout, taken: Sequence[str]) -> Contents:
    """The table of a parquet file, or of those in a folder, whose columns of data are read a group of rows at a time.

    Those that are `taken` for labels and names, or may name the rows, are read as a whole.
    """
    parquet = required("pyarrow.parquet", "parquet", "file")
    _scanned_parquet(path)
    paths = parquet_files(path)
    files = [parquet.ParquetFile(each) for each in paths]
    schema = files[0].schema_arrow
    check_unique(schema.names)
    for each, file in zip(paths, files, strict=True):
        if file.schema_arrow.names != schema.names:
            raise ContentError(f"{each.name} has other columns than {paths[0].name}")
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
    left = [name for name in schema.names if name not in {*taken, *layout.exclude}]
    maybe = [name for name in (*left[:1], *filter(UNNAMED.fullmatch, left)) if _may_name_rows(files, name)]
    asked = {*maybe, *index, layout.index, *taken}
    found = {name: _column(files, name) if name in asked else np.empty(0) for name in schema.names}
    return _Streamed(found, layout=layout, index=tuple(index), files=files)


def scan_parquet(path: Path, layout: Layout = PLAIN) -> Contents:
    """Read all of parquet files and keep nothing: what crashes over them crashes here."""
    parquet = required("pyarrow.parquet", "parquet", "file")
    for each in parquet_files(path):
        file = parquet.ParquetFile(each)
        for group in range(file.num_row_groups):
            file.read_row_group(group)
    return Contents({})


_scanned_parquet = guarded(scan_parquet)


def parquet_files(path: Path) -> list[Path]:
    """A parquet file, or those in a folder in the order of their names."""
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not found:
        raise ContentError("it is a folder that is neither a zarr array nor one of .parquet files")
    return found


@dataclass(frozen=True)
class _Streamed(Table):
    """A table whose data stay in parquet files."""

    files: Sequence[Any] = ()

    def stacked(self, columns: Mapping[str, NDArray[Any]]) -> Any:
        """The columns of these names as a matrix of slabs."""
        schema, names, types_of = self.files[0].schema_arrow, [*columns], required("pyarrow.types", "parquet", "file")
        types = [schema.field(name).type for name in names]
        for name, kind in zip(names, types, strict=True):
            if not any(getattr(types_of, f"is_{number}")(kind) for number in NUMBERS):
                raise ContentError(f"column {name!r} holds {kind}, expected numbers ({NO_DATA})")
        rows = [
            (file, i, file.metadata.row_group(i).num_rows) for file in self.files for i in range(file.num_row_groups)
        ]
        ends = np.cumsum([0, *(count for *_, count in rows)]).tolist()
        groups = [*range(0, len(names), max(1, SLAB // max(ends[-1], 1))), len(names)]
        dtype = np.dtype(np.float32 if all(types_of.is_float32(kind) for kind in types) else np.float64)

        def read(axis: int, i: int) -> NDArray[Any]:
            some = rows[i : i + 1] if axis == 0 else rows
            chosen = names if axis == 0 else names[groups[i] : groups[i + 1]]
            tables = [file.read_row_group(group, columns=chosen) for file, group, _ in some]
            return np.concatenate([_matrix(table, chosen, dtype) for table in tables])

        return slabs(read, (ends, groups), dtype)


def _matrix(table: Any, names: Sequence[str], dtype: np.dtype[Any]) -> NDArray[Any]:
    found = np.empty((table.num_rows, len(names)), dtype)
    for j, name in enumerate(names):
        found[:, j] = table.column(name).to_numpy()
    return found


def _column(files: Sequence[Any], name: str) -> NDArray[Any]:
    """A column as a whole."""
    tables = [file.read(columns=[name]) for file in files]
    columns = [plain_column(table.column(name).to_pandas(integer_object_nulls=True)) for table in tables]
    return np.concatenate(columns)


def _may_name_rows(files: Sequence[Any], name: str) -> bool:
    """Whether a column may turn out to name or number the rows, by its first rows: as text all of it is large."""
    batch = next(files[0].iter_batches(HEAD, columns=[name]), None)
    if batch is None:
        return True
    head = plain_column(batch.column(0).to_pandas())
    return names_rows(name) or head.dtype.kind not in NUMERIC or counts(head)


def read_slabs(path: Path, layout: Layout, taken: Sequence[str]) -> Contents:
    """What a ``.npy`` or parquet file, a folder of these, or a zarr array holds, without reading the data.

    Raises
    ------
    ContentError
        If it is none of these, or damaged.
    """
    try:
        if is_zarr(path):
            return read_zarr(path)
        if path.suffix.lower() == ".npy":
            return Contents({DATA: map_npy(path)})
        return read_parquet_slabs(path, layout, taken)
    except (ContentError, InputError, MemoryError):
        raise
    except Exception as error:  # as of what `readers.read` reads
        raise ContentError(f"it cannot be read: {first_line(error)}") from None
