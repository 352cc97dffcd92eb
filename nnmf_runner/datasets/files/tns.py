"""Sparse tensors as lines of text: the indices of an entry, from 1, and its value.

References
----------
S. Smith et al., "FROSTT: The formidable repository of open sparse tensors and tools", 2017, http://frostt.io.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.datasets.files.bounds import unpacked
from nnmf_runner.datasets.files.contents import DATA, ContentError, Contents, Coordinates, Grid
from nnmf_runner.datasets.files.number_lines import parsed, quoted, whole_lines, words_by_line

# Indices up to which doubles are all of them, so that none is taken for another.
LARGEST_INDEX = 2**53 - 1


def read_tns(path: Path) -> Contents:
    """A tensor in the format of FROSTT, compressed by gzip or not; comments begin with ``#``.

    Such a file does not say the sizes of its modes: they are the largest indices.
    """
    notes: list[str] = []
    with unpacked(path) as file:
        parts = [*_entries(file, notes)]
    if not parts:
        raise ContentError("it has no entries")
    coords = np.concatenate([places for places, _ in parts], axis=1)
    shape = tuple(int(largest) + 1 for largest in coords.max(axis=1))
    entries = Coordinates(coords, np.concatenate([values for _, values in parts]), shape, base=1)
    return Contents({DATA: Grid(entries, notes=tuple(notes))})


def _entries(file: IO[bytes], notes: list[str]) -> Iterator[tuple[NDArray[np.integer], NDArray[np.float64]]]:
    """Indices from 0, shape (N, some), and values of the entries, some at a time."""
    width, before = 0, 0
    for chunk in whole_lines(file, ".tns", notes):
        text = re.sub(rb"#[^\n]*", b"", chunk) if b"#" in chunk else chunk
        words = words_by_line(text)
        filled = np.flatnonzero(words)
        if not width and filled.size:
            width = int(words[filled[0]])
        _check_lines(text, words, width, before)
        numbers = parsed(text)
        if numbers is None:
            _refuse(text, next(i for i, line in enumerate(text.split(b"\n")) if parsed(line) is None), before, width)
        elif numbers.size:
            rows = numbers.reshape(-1, width)
            _check_rows(rows, text, filled, before)
            indices = rows[:, :-1].T - 1
            yield indices.astype(np.int32 if indices.max() < 2**31 else np.int64), rows[:, -1].copy()
        before += len(words)


def _check_lines(text: bytes, words: NDArray[np.intp], width: int, before: int) -> None:
    """Refuse lines that have not the same number of words as the first, or too few of them."""
    if (wrong := np.flatnonzero((words > 0) & ((words != width) | (words < 2)))).size:
        _refuse(text, int(wrong[0]), before, width)


def _check_rows(rows: NDArray[np.float64], text: bytes, filled: NDArray[np.intp], before: int) -> None:
    """Refuse indices that are none, and values beyond the range of doubles."""
    indices = rows[:, :-1]
    with np.errstate(invalid="ignore"):
        good = ((indices >= 1) & (indices <= LARGEST_INDEX) & (indices % 1 == 0)).all(axis=1)
    if (wrong := np.flatnonzero(~(good & np.isfinite(rows[:, -1])))).size:
        _refuse(text, int(filled[wrong[0]]), before, rows.shape[1])


def _refuse(text: bytes, line: int, before: int, width: int) -> None:
    """Raise a ContentError for a line of a text below other lines."""
    numbers = f"{width - 1} indices, which count from 1," if width > 1 else "indices, which count from 1,"
    found = quoted(text.split(b"\n")[line])
    raise ContentError(f"line {before + line + 1} is {found}, expected {numbers} and a value")
