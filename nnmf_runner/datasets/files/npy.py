"""Arrays in numpy's format, whose headers are not trusted: they can say any size, or be no Python literal."""

from __future__ import annotations

import math
import tokenize
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAGIC = np.lib.format.MAGIC_PREFIX
HEADERS: dict[tuple[int, ...], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class PickledError(ValueError):
    """An array would have to be unpickled, which would run what a file says."""


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file, see `read_array`; OSError if the file cannot be read."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("it is not a plain file")
    with path.open("rb") as file:
        return read_array(file, path.stat().st_size)


def map_npy(path: Path) -> NDArray[Any]:
    """The array of plain values of a ``.npy`` file that holds nothing else, mapped; a ValueError if it is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        shape, _, kind = _header(file, size)
        if math.prod(shape) * kind.itemsize != size - file.tell():
            raise ValueError(f"its header says shape {shape} of type {kind}, which is less than it holds")
    return np.asarray(np.lib.format.open_memmap(path, mode="r"))


def read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array of plain values in a file of this many bytes, or a ValueError with the reason."""
    _header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of the array in a file of this many bytes, which holds all of it."""
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("it is not in numpy's format")
    read = HEADERS.get(tuple(file.read(2)))
    if read is None:
        raise ValueError("it is of a version of numpy's format that plain values do not need")
    try:
        shape, fortran, kind = read(file)
        count = math.prod(shape)
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError, RecursionError, MemoryError):
        raise ValueError("its header is damaged") from None
    if kind.hasobject:
        raise PickledError("it is a pickled object, which is not read: expected plain values")
    if min(shape, default=0) < 0 or count * kind.itemsize > size - file.tell():
        raise ValueError(f"its header says shape {shape} of type {kind}, which is more than it holds")
    return shape, fortran, kind
