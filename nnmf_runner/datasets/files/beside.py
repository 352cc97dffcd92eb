"""Labels, names and known samples that stand in a file of their own beside the data."""

from __future__ import annotations

import csv
import itertools
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.datasets.files.cells import NOTHING, integers, numbers
from nnmf_runner.datasets.files.contents import ContentError, Layout
from nnmf_runner.datasets.files.readers import is_text, read
from nnmf_runner.datasets.files.reading import likely_encoding
from nnmf_runner.datasets.files.tables import FIRST, delimiter_of, opened, refuse_binary
from nnmf_runner.store.files import user_path

COMMENTS = ("%", "#")


def located(reference: str, home: Path) -> tuple[Path, str | None] | None:
    """The file that ``FILE`` or ``FILE:KEY`` names, and the key; None if there is no such file.

    A bare name is that of a file in `home`, the folder of the data; any other relative path starts at the working
    directory.
    """
    head, _, key = reference.rpartition(":")
    for name, of_file in ((reference, None), (head, key)):
        path = user_path(name, "path") if os.sep in name else home / name
        try:
            if name and path.is_file():
                return path, of_file
        except (OSError, ValueError):  # too long a name, a null character
            continue
    return None


@dataclass(frozen=True)
class Entries:
    """Entries for samples or features, and what the first sample is called in such files by habit."""

    values: NDArray[Any]
    index_base: int = 0


@dataclass(frozen=True)
class Lines:
    """Lines of a text file, one per sample or feature.

    Attributes
    ----------
    rows : list of list of str
        Cells of every line, of equal number.
    header : list of str or None
        Cells of the line above.
    """

    rows: list[list[str]]
    header: list[str] | None = None

    def column(self, key: str | None) -> NDArray[Any]:
        """Cells of one column, or a matrix where all cells, but for names in the first column, are zeros and ones.

        It has the name of a key in the header, or that number, from 1.  Without a key it is the second one, where the
        first tells the lines apart.
        """
        width = len(self.rows[0])
        for number, row in enumerate(self.rows, 1):
            if len(row) != width:
                raise ContentError(f"entry {number} has {len(row)} cells, expected {width} as the first one")
        if key is None:
            for start in (0, 1):  # of the zeros and ones, which names of the rows may stand before
                if width > start + 1 and (matrix := _zeros_and_ones([row[start:] for row in self.rows])) is not None:
                    return matrix
            at = int(len(self.rows[0]) > 1 and len({row[0] for row in self.rows}) == len(self.rows))
        elif key in (self.header or ()):
            at = (self.header or []).index(key)
        else:
            numbers = [str(i + 1) for i in range(len(self.rows[0]))]
            if key not in numbers:
                legal = ", ".join([*(self.header or ()), f"1 to {numbers[-1]}"])
                raise ContentError(f"it has no column {key!r}. Expected one of: {legal}")
            at = numbers.index(key)
        return np.array([row[at] for row in self.rows])

    def in_order(self, names: Sequence[str]) -> Lines | None:
        """The lines whose first cells are these names, in their order; None unless each is there once."""
        places = {row[0]: i for i, row in enumerate(self.rows)}
        if not self.rows or len(self.rows[0]) == 1 or len(places) < len(self.rows) or not places.keys() >= set(names):
            return None
        return Lines([self.rows[places[name]] for name in names], self.header)


def read_entries(
    path: Path, key: str | None, n: int, names: Sequence[str] | None, encoding: str, *, exact: bool = True
) -> Entries:
    """The array of a key of a file, or its only one; of a text file a column of its lines, see `read_lines`."""
    try:
        if is_text(path):
            return Entries(read_lines(path, n, names, encoding, exact=exact).column(key))
        contents = read(path, Layout(encoding=encoding))
        return Entries(contents.array(contents.only() if key is None else key), contents.index_base)
    except UnicodeDecodeError as error:
        advice = f"dataset.encoding={likely_encoding(error.object)} may be what it needs"
        raise ContentError(f"{path.name} is not {encoding} text; {advice}") from None
    except (ContentError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise ContentError(f"{path.name}: {error}") from None


def read_lines(path: Path, n: int, names: Sequence[str] | None, encoding: str, *, exact: bool = True) -> Lines:
    """Lines of a text file: those whose first cells are `names`, or n of them; without `exact` any number will do.

    The number of lines tells whether there is a header, and comments above it.
    """
    refuse_binary(path)
    with opened(path, encoding) as file:
        lines = file.read().replace("\r\n", "\n").rstrip("\n").split("\n")
    rows = _cells(lines, path.name.lower().removesuffix(".gz"))
    if _lies(rows, n, exact=exact):
        rows = [*map(list, zip(*rows, strict=True))]
    below = [*itertools.dropwhile(lambda row: row[0].startswith(COMMENTS), rows)]
    for lined in (Lines(below[1:], below[0]), Lines(below)) if names and below else ():
        if (found := lined.in_order(names or ())) is not None:
            return found
    if not exact and below:
        return Lines(below) if numbers(np.array(below[0]))[1].all() else Lines(below[1:], below[0])
    for some in (rows, below, rows[1:], below[1:]):
        if len(some) == n:
            above = rows[: len(rows) - n]
            return Lines(some, above[-1] if above else None)
    if named := {row[0] for row in rows}.intersection(names or ()):
        raise ContentError(f"it names {len(named)} of {n} samples, expected all (with empty labels if there are none)")
    raise ContentError(f"it has {len(rows)} lines, expected {n} or a header more")


def _lies(rows: list[list[str]], n: int, *, exact: bool) -> bool:
    """Whether rows are the columns of what is meant: one line of all entries, or zeros and ones of each class."""
    if not exact:
        return len(rows) == 1
    long = len(rows) != n and all(len(row) == n for row in rows)
    return long and (len(rows) == 1 or _zeros_and_ones(rows) is not None)


def _zeros_and_ones(rows: Sequence[Sequence[str]]) -> NDArray[Any] | None:
    """Cells as a matrix if each is zero or one, in whatever way they are written; else None."""
    if not np.isin(numbers(np.array(rows[0]))[0], (0.0, 1.0)).all():  # as in most files
        return None
    values = np.array([numbers(np.array(row))[0] for row in rows])
    return values if np.isin(values, (0.0, 1.0)).all() else None


def _cells(lines: list[str], name: str) -> list[list[str]]:
    """Cells of lines, of which the first may have one less, see `tables.rows_of`.

    They are those of a table by its suffix, if there is a single line or if the cells are in quotes, as R writes them;
    or stand between tabs, or are zeros and ones, or a number and a word; or else each line is one.
    """
    usual = "," if name.endswith(".csv") else "\t"
    quoted = all(line.startswith('"') or line.endswith('"') or line in NOTHING for line in lines)
    if quoted or len(lines) == 1 or name.endswith((".csv", ".tsv")):
        reader = csv.reader(lines, delimiter=delimiter_of(lines[:FIRST], usual), skipinitialspace=True)
        rows = [[cell.strip() for cell in row] or [""] for row in reader]
        less = len(rows) > 1 and {len(row) for row in rows[1:]} == {len(rows[0]) + 1}
        return [["", *rows[0]], *rows[1:]] if less else rows
    if all("\t" in line for line in lines):
        return [line.split("\t") for line in lines]
    words = [line.split() for line in lines]
    if len({*map(len, words)}) == 1 < len(words[0]) and _zeros_and_ones(words) is not None:
        return words
    numbered = all(len(row) == 2 and integers(row[:1]) for row in words if row and not row[0].startswith(COMMENTS))
    return [row or [""] for row in words] if numbered else [[line.strip()] for line in lines]
