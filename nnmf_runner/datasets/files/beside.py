"""Labels, names and known samples that stand in a file of their own beside the data."""

from __future__ import annotations

import csv
import itertools
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.datasets.files.cells import NOTHING, integers, numbers
from nnmf_runner.datasets.files.contents import ContentError, Layout, counts
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
    parts = reference.split(":")
    for i in range(len(parts), 0, -1):  # either may have colons of its own
        name, key = ":".join(parts[:i]), ":".join(parts[i:]) if parts[i:] else None
        path = user_path(name, "path") if os.sep in name else home / name
        try:
            if name and path.is_file():
                return path, key
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
        if key is None:
            if (matrix := self.flags()) is not None:
                return matrix
            at = int(len(self.rows[0]) > 1 and self._told_apart)
        elif self.header is not None and key in self.header:
            if self.header.count(key) > 1:
                raise ContentError(f"its header has {key!r} twice")
            at = self.header.index(key)
        else:
            numbered = [str(i + 1) for i in range(len(self.rows[0]))]
            if key not in numbered:
                legal = ", ".join([*(self.header or ()), f"1 to {numbered[-1]}"])
                raise ContentError(f"it has no column {key!r}. Expected one of: {legal}")
            at = numbered.index(key)
        return np.array([row[at] for row in self.rows])

    def flags(self) -> NDArray[Any] | None:
        """All cells, or all behind those that name the lines, if they are zeros and ones, and several in every line."""
        for start in range(1 + self._told_apart):
            cells = np.array([row[start:] for row in self.rows])
            if cells.shape[1] > 1:
                values, good = numbers(cells.ravel())
                if good.all() and np.isin(values, (0, 1)).all():
                    return values.reshape(cells.shape)
        return None

    @property
    def _told_apart(self) -> bool:
        """Whether no two lines begin with the same cell."""
        return len({row[0] for row in self.rows}) == len(self.rows)

    def _naming(self) -> Iterator[list[str]]:
        """Columns that may name the lines: the first one, and those of words."""
        for i, column in enumerate(zip(*self.rows, strict=True) if self.rows and len(self.rows[0]) > 1 else ()):
            if i == 0 or integers(column) is None:
                yield [*column]

    def in_order(self, names: Sequence[str]) -> Lines | None:
        """The lines with these names, in their order; None unless a column has each of them once."""
        found = next((places for column in self._naming() if (places := places_of(names, column))), None)
        return None if found is None else Lines([self.rows[i] for i in found], self.header)

    def check_order(self, names: Sequence[str]) -> None:
        """Refuse lines of which one has the name of what another one is for."""
        for column in self._naming():
            check_order(names, column)


def places_of(names: Sequence[str], cells: Sequence[str]) -> list[int] | None:
    """Where the names stand among cells; None unless each is there once."""
    times, places = Counter(cells), {cell: i for i, cell in enumerate(cells)}
    return [places[name] for name in names] if all(times[name] == 1 for name in names) else None


def check_order(names: Sequence[str], cells: Sequence[str]) -> None:
    """Refuse cells, beside the entries for these names, of which one is the name of another, but not each is one."""
    times, own = Counter(cells), set(names)
    if integers(cells) is not None and (len(times) < len(cells) or counts(np.array(cells))):
        return  # entries, or numbers of the lines
    if any(cell != name and cell in own for name, cell in zip(names, cells, strict=False)):
        odd = next((name for name in names if times[name] != 1), names[0])
        raise ContentError(f"its names are in another order than those of the data, and {odd!r} is not there once")


def read_entries(
    path: Path, key: str | None, n: int, names: Sequence[str] | None, encoding: str, *, exact: bool = True
) -> Entries:
    """The array of a key of a file, or its only one; of a text file a column of its lines, see `read_lines`."""
    try:
        if is_text(path):
            return Entries(read_lines(path, n, names or (), encoding, exact=exact).column(key))
        contents = read(path, Layout(encoding=encoding))
        values, rows = contents.array(contents.only() if key is None else key), contents.row_names()
        if names and rows and len(values) == len(rows):
            places = places_of(names, rows)
            if places is None:
                check_order(names, rows)
            else:
                values = values[places]
        return Entries(values, contents.index_base)
    except UnicodeDecodeError as error:
        advice = f"dataset.encoding={likely_encoding(error.object)} may be what it needs"
        raise ContentError(f"{path.name} is not {encoding} text; {advice}") from None
    except (ContentError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise ContentError(f"{path.name}: {error}") from None


def read_lines(path: Path, n: int, names: Sequence[str], encoding: str, *, exact: bool = True) -> Lines:
    """Lines of a text file: those with these names, or n of them; without `exact` any number will do.

    The number of lines tells whether there is a header, and comments above it.
    """
    refuse_binary(path)
    with opened(path, encoding) as file:
        lines = file.read().replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    if not any(map(str.strip, lines)):
        raise ContentError("it is empty")
    rows = _cells(lines, path.name.lower().removesuffix(".gz"))
    below = [*itertools.dropwhile(_is_comment, rows)]
    for start in (1, 0) if names else ():
        if below[start:] and (found := _lines(below, start).in_order(names)) is not None:
            return found
    if exact and 0 < (named := len({row[0] for row in rows if row} & set(names))) < n and len(below) not in (n, n + 1):
        raise ContentError(f"it names {named} of {n} samples, expected all (with empty labels if there are none)")
    found = _counted(rows, len(rows) - len(below), n) if exact else _listed(below, n)
    found.check_order(names)
    return found


def _is_comment(row: Sequence[str]) -> bool:
    return "".join(row[:1]).startswith(COMMENTS)


def _lines(rows: list[list[str]], start: int) -> Lines:
    """Lines from a place on, of equal number of cells, and the header above it, which may have one cell less."""
    rows = [row or [""] for row in rows]
    width, header = len(rows[start]), rows[start - 1] if start else None
    if ragged := next((row for row in rows[start:] if len(row) != width), None):
        raise ContentError(f"it has lines of {width} cells and of {len(ragged)}, expected as many in each")
    if header is not None and len(header) == width - 1:
        header = ["", *header]  # as R writes
    if header is not None and len(header) != width:
        if not _is_comment(header):
            raise ContentError(f"its header has {len(header)} cells, expected {width} as in the lines below")
        header = None
    return Lines(rows[start:], header)


def _counted(rows: list[list[str]], comments: int, n: int) -> Lines:
    """The n last lines below nothing, a header, or comments and either; empty lines at the end need not count."""
    filled = _filled(rows)
    for starts in ((0, comments), (1, comments + 1)):
        for some, start in itertools.product((rows, filled), starts):
            if len(some) - start == n:
                if len(rows) - start == n + 1 and rows[start] not in rows[start + 1 :]:
                    raise ContentError(
                        f"its last line is empty and its first may be a header: expected {n} lines, or NA as the last"
                    )
                return _lines(some, start)
    below = filled[comments:]
    if len(below) == 1 and len(below[0]) == n:
        return Lines([[cell] for cell in below[0]])
    if below and all(len(row) == n for row in below) and Lines(below).flags() is not None:
        return Lines(below)  # one per class
    raise ContentError(f"it has {len(filled)} lines, expected {n} or a header more")


def _listed(below: list[list[str]], n: int) -> Lines:
    """Any number of lines, or the cells of a single one, with a header if the first line holds no number."""
    if not below:
        raise ContentError("it holds comments only")
    start = int(any(below[0]) and not any(cell and numbers(np.array([cell]))[1].all() for cell in below[0]))
    if len(below) - start != n:
        below = _filled(below)
    if len(below) == 1 and not start:
        return Lines([[cell] for cell in below[0]])
    if len(below) == start:
        raise ContentError("it holds a header only")
    return _lines(below, start)


def _filled(rows: list[list[str]]) -> list[list[str]]:
    """Rows without empty ones at the end."""
    return rows[: max(i + 1 for i, row in enumerate(rows) if row)]


def _cells(lines: list[str], name: str) -> list[list[str]]:
    """Cells of lines, none of empty ones; these count only where there is one cell in each."""
    comments = [*itertools.takewhile(lambda line: line.startswith(COMMENTS), lines)]
    rows = [[line.strip()] for line in comments] + _split(lines[len(comments) :], name)
    return [row for row in rows if row] if any(len(row) > 1 for row in rows) else rows


def _split(lines: list[str], name: str) -> list[list[str]]:
    """Cells of a table by its suffix, or between tabs, or numbers, or a number and a word; or else one."""
    if name.endswith((".csv", ".tsv")):
        delimiter = delimiter_of(lines[:FIRST], ",", among=",;\t|") if name.endswith(".csv") else "\t"
        kept = (line + "\n" for line in lines)
        reader = csv.reader(kept, delimiter=delimiter, strict=True, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in reader]
    filled = [line for line in lines if line.strip()]
    quoted = all(line.startswith('"') or line.endswith('"') or line in NOTHING for line in filled)  # as R writes
    if quoted or len(filled) == 1:
        reader = csv.reader(lines, delimiter=delimiter_of(filled[:FIRST], "\t"), strict=True, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in reader]
    if all("\t" in line for line in filled):
        return [line.split("\t") * bool(line.strip()) for line in lines]
    words = [line.split() for line in filled]
    numbered = all(len(row) == 2 and integers(row[:1]) for row in words)
    numeric = len(words[0]) > 1 and all(
        len(row) == len(words[0]) and np.isfinite(numbers(np.array(row))[0]).all() for row in words
    )
    return [line.split() if numbered or numeric else [line.strip()] * bool(line.strip()) for line in lines]
