"""Lines of numbers, as files of sparse data hold them: read some at a time, and nothing else taken for a number."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.datasets.files.contents import ContentError

# What numbers and the space between them are made of.  Fortran writes exponents of double precision with a D.
LEGAL = b"+-.0123456789DEde \t\r\n"
EXPONENTS = bytes.maketrans(b"Dd", b"Ee")
# Letters of a line that a message quotes.
SHOWN = 60
# Bytes that are read at a time, which bounds the memory taken beside the entries; no line is longer.
CHUNK = 2**18


def whole_lines(file: IO[bytes], format_name: str, notes: list[str]) -> Iterator[bytes]:
    """The rest of a file, whole lines of some bytes at a time.

    There is a note on a last line without an end, whose last number nobody can tell from the beginning of a longer one.
    """
    while chunk := file.read(CHUNK):
        chunk += file.readline(CHUNK)
        if chunk.rpartition(b"\n")[2].strip():
            if file.read(1):
                raise ContentError(f"it has a line that is too long for a {format_name} file")
            notes.append("the last line has no end: if the file was cut short, its last number is not whole")
            chunk += b"\n"
        yield chunk


def parsed(text: bytes) -> NDArray[np.float64] | None:
    """The words of a text as numbers, or None if one is none."""
    if text.translate(None, LEGAL):
        return None
    if not text.strip():
        return np.empty(0)
    with warnings.catch_warnings(action="error"):
        try:
            return np.fromstring(text.translate(EXPONENTS), sep=" ")
        except (DeprecationWarning, ValueError):  # it stops at what is no number
            return None


def words_by_line(text: bytes) -> NDArray[np.intp]:
    """Number of words of every line of whole lines."""
    codes = np.frombuffer(b"\n" + text, np.uint8)
    inside = codes > ord(" ")
    starts = np.flatnonzero(inside[1:] > inside[:-1])  # of words
    return np.diff(np.searchsorted(starts, np.flatnonzero(codes == ord("\n"))))


def quoted(line: bytes) -> str:
    """A line for a message, unless it is long."""
    text = ascii(line.strip().decode("latin-1"))
    return text if len(text) < SHOWN else "a line"
