"""Matrix Market files, dense or sparse.

They are not read by `scipy.io.mmread`: its compiled parser can crash on a file that is cut short, reads ``1_1`` as 1
and ``1.5D3`` as 1.5, and takes what precedes a slip for the number.

References
----------
R. F. Boisvert, R. Pozo and K. A. Remington, "The Matrix Market exchange formats: initial design", NISTIR 5935, 1996.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.datasets.files.bounds import unpacked
from nnmf_runner.datasets.files.contents import DATA, ContentError, Contents, Grid
from nnmf_runner.datasets.files.number_lines import CHUNK, parsed, quoted, whole_lines, words_by_line

FORMS = ("array", "coordinate")
FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")
# By symmetry, what an entry below the diagonal is multiplied by to be that above it; None where both are given.
SYMMETRIES = {"general": None, "symmetric": 1.0, "skew-symmetric": -1.0}


@dataclass(frozen=True)
class Header:
    """What a file says of its matrix.

    Attributes
    ----------
    form, field, symmetry : str
        One each of `FORMS`, `FIELDS` and `SYMMETRIES`.
    shape : tuple of int
    count : int
        Number of entries that follow.
    """

    form: str
    field: str
    symmetry: str
    shape: tuple[int, int]
    count: int

    @property
    def mirrored(self) -> float | None:
        """See `SYMMETRIES`."""
        return SYMMETRIES[self.symmetry]

    @property
    def columns(self) -> int:
        """Numbers of every entry: the value, and its row and column where they are given."""
        return 1 if self.form == "array" else 2 if self.field == "pattern" else 3


def read_mtx(path: Path) -> Contents:
    """A real Matrix Market file: general, symmetric or skew-symmetric; compressed by gzip or bzip2 or not."""
    with unpacked(path) as file:
        header, notes = _header(file), list[str]()
        entries = _entries(file, header, notes)
        matrix = _dense(entries, header) if header.form == "array" else _sparse(entries, header)
    return Contents({DATA: Grid(matrix, notes=tuple(notes))})


def _header(file: IO[bytes]) -> Header:
    banner = file.readline(CHUNK).removeprefix(b"\xef\xbb\xbf").decode("latin-1").lower().split()
    if len(banner) < 5 or banner[0] not in ("%%matrixmarket", "%matrixmarket") or banner[1] != "matrix":
        raise ContentError("its first line is not that of a Matrix Market file of a matrix")
    form, field, symmetry = banner[2:5]
    for kind, word, legal in (("format", form, FORMS), ("field", field, FIELDS), ("symmetry", symmetry, SYMMETRIES)):
        if word not in legal:
            raise ContentError(f"its {kind} is {word!r}, expected one of: {', '.join(legal)}")
    if (form, field) == ("array", "pattern"):
        raise ContentError("it is a pattern, but of format 'array', which needs values")
    below = iter(lambda: file.readline(CHUNK), b"")
    sizes = next((words for line in below if line.endswith(b"\n") and (words := _bare(line).split())), [])
    if len(sizes) != (2 if form == "array" else 3) or not all(word.isdigit() for word in sizes):
        raise ContentError("it does not say the size of its matrix")
    m, n, *counts = (int(word) for word in sizes)
    if symmetry != "general" and m != n:
        raise ContentError(f"it is {symmetry}, but of shape {(m, n)}")
    dense = {"general": m * n, "symmetric": n * (n + 1) // 2, "skew-symmetric": n * (n - 1) // 2}
    return Header(form, field, symmetry, (m, n), counts[0] if counts else dense[symmetry])


def _dense(entries: Iterator[NDArray[np.float64]], header: Header) -> NDArray[np.float64]:
    values = np.concatenate([np.empty(0), *(rows[:, 0] for rows in entries)])
    if header.mirrored is None:
        return values.reshape(header.shape, order="F")
    matrix = np.zeros(header.shape)
    columns, rows = np.triu_indices(len(matrix), header.symmetry == "skew-symmetric")  # the lower triangle by columns
    matrix[columns, rows] = header.mirrored * values
    matrix[rows, columns] = values
    return matrix


def _sparse(entries: Iterator[NDArray[np.float64]], header: Header) -> Any:
    kind = np.int32 if max(header.shape) <= np.iinfo(np.int32).max else np.int64
    places, values = [np.empty((2, 0), kind)], [np.empty(0)]
    for rows in entries:
        given = rows[:, :2]
        if (given < 1).any() or (given > header.shape).any() or (given % 1).any():
            last = f"{header.shape[0]} and {header.shape[1]}"
            raise ContentError(f"it has an entry that is not at a row and column from 1 to {last}")
        places.append(given.T.astype(kind) - 1)
        values.append(np.ones(len(rows)) if header.field == "pattern" else rows[:, 2].copy())
    indices, data = np.concatenate(places, axis=1), np.concatenate(values)
    if header.mirrored is not None:
        off = indices[0] != indices[1]
        indices = np.concatenate([indices, indices[::-1, off]], axis=1)
        data = np.concatenate([data, header.mirrored * data[off]])
    return sparse.coo_array((data, (indices[0], indices[1])), shape=header.shape)


def _entries(file: IO[bytes], header: Header, notes: list[str]) -> Iterator[NDArray[np.float64]]:
    """The entries below the header, some at a time, shape (some, columns); all of them are there, and no more."""
    found = 0
    for chunk in whole_lines(file, "Matrix Market", notes):
        rows = _numbers(chunk, header.columns)
        _check_values(rows[:, -1], header.field)
        found += len(rows)
        if found > header.count:
            raise ContentError(f"it has more entries than the {header.count} that it says")
        yield rows
    if found < header.count:
        raise ContentError(f"it has {found} entries, but says {header.count}: it may be cut short")


def _numbers(chunk: bytes, columns: int) -> NDArray[np.float64]:
    """Whole lines as numbers, shape (entries, columns); comments and empty lines are left out."""
    text = _bare(chunk)
    numbers = parsed(text)
    if numbers is None:
        slip = next(line for line in text.split(b"\n") if parsed(line) is None)
        raise ContentError(f"it holds {quoted(slip)} in the place of {columns} numbers")
    words = words_by_line(text)
    if (wrong := words[(words > 0) & (words != columns)]).size:
        raise ContentError(f"its entries have {wrong[0]} numbers each, expected {columns}")
    return numbers.reshape(-1, columns)


def _check_values(values: NDArray[np.float64], field: str) -> None:
    """Refuse numbers that the field does not have."""
    if not np.isfinite(values).all():
        raise ContentError("it holds a number beyond the range of doubles")
    whole, least = "integer" in field, 0.0 if "unsigned" in field else -np.inf
    if (wrong := (values < least) | (whole & (values % 1 != 0))).any():
        raise ContentError(f"it holds {values[wrong][0]:g}, but its field is {field!r}")


def _bare(lines: bytes) -> bytes:
    """Lines without comments, which end them."""
    return re.sub(rb"%[^\n]*", b"", lines) if b"%" in lines else lines
