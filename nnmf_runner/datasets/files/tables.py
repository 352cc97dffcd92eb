"""Tables of text: which character separates their cells, and whether their first line names the columns."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.bounds import unpacked
from nnmf_runner.datasets.files.cells import NOTHING, integers, is_number
from nnmf_runner.datasets.files.contents import UNNAMED, ContentError, Layout, Table, check_unique, names_rows
from nnmf_runner.datasets.files.reading import MARKS

DELIMITERS, DECIMALS = (",", ";", "\t", "|", " "), (".", ",")
# How a tab is typed where a shell does not let it through.
TABS = ("\\t", "tab")
# Characters of a cell; the csv module stops at 131,072 unless told otherwise.
LONGEST = 2**31 - 1
# Characters that are read at a time.
PART = 2**20
# Lines that tell delimiter and header.
FIRST = 20
# What files of other programs begin with.
GZIP = "packed by gzip, which its name has to say if that is a table (.gz)"
BINARY = {
    b"\x1f\x8b": GZIP,
    b"PK\x03\x04": "a zip archive, as those of spreadsheets (.xlsx) are",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a parquet file, which its name has to say (.parquet)",
}
# How comments above a table begin, and a header that numpy writes.
COMMENT = "#"
# How spreadsheets say which character separates the cells, in a line before all others.
SAID = re.compile(r"sep=(.)\s*")


def read_csv(path: Path, layout: Layout, usual: str = ",") -> Table:
    """A table of text, gzipped or not; its cells are separated by the `usual` character where its lines do not tell.

    Not read by pandas, which fills up rows that are too short.
    """
    refuse_binary(path)
    with opened(path, layout.encoding) as file:
        above, first = _first_lines(text_lines(file))
    said = SAID.fullmatch(first[0]) if first else None
    delimiter = layout.delimiter or (said[1] if said else delimiter_of(first, usual, layout.decimal))
    with opened(path, layout.encoding) as file:
        instead = _instead_of_comments(above, first, delimiter)
        rows = list(rows_of((instead.get(line, line) for line in text_lines(file)), delimiter))
    if not rows:
        raise ContentError("it holds no rows")
    header = _header(rows, layout)
    if len(rows[0]) == 1 and (other := delimiter_of(first, delimiter, layout.decimal)) != delimiter:
        raise ContentError(f"its cells are separated by {other!r}, expected {delimiter!r} (see dataset.delimiter)")
    body = rows if header is None else rows[1:]
    if not body:
        raise ContentError("it has no rows below its header")
    names = [str(i) for i in range(len(body[0]))] if header is None else header
    check_unique(names)
    columns = {name: np.array(cells) for name, cells in zip(names, zip(*body, strict=True), strict=True)}
    filled = {name: cells for name, cells in columns.items() if not (UNNAMED.fullmatch(name) and set(cells) == {""})}
    notes = []
    if layout.delimiter is None and delimiter != usual:
        notes.append(f"cells are separated by {delimiter!r}")
    if layout.header is None:
        taken = "a header" if header else "a row; dataset.header=true takes it for a header"
        notes.append(f"the first line ({_shown(rows[0])}) is taken for {taken}")
    return Table(filled, layout=layout, named=header is not None, notes=tuple(notes))


def refuse_binary(path: Path) -> None:
    """Raise a ContentError for files of other programs under the name of a table, by the bytes they begin with."""
    with path.open("rb") as file:
        head = file.read(8)
    for magic, kind in BINARY.items():
        if head.startswith(magic) and not (kind == GZIP and path.suffix.lower() == ".gz"):
            raise ContentError(f"it is {kind}, and no table of text")


def _first_lines(file: Iterable[str]) -> tuple[list[str], list[str]]:
    """The comments above a table, and its first lines; empty ones are passed over."""
    lines = (line for line in file if line.strip())
    above: list[str] = []
    for line in lines:
        if not line.startswith(COMMENT):
            return above, [line, *itertools.islice(lines, FIRST - 1)]
        above.append(line)
    return [], above


def _instead_of_comments(above: Sequence[str], first: Sequence[str], delimiter: str) -> dict[str, str]:
    """What to read in the place of comments: nothing, or the header that the last one is, as numpy and others write it.

    It is one if it has as many cells as the line below it, or one less.
    """
    if not above:
        return {}
    header = re.sub(rf"{COMMENT}\s+", "", above[-1])
    names, row = csv.reader([header, first[0]], delimiter=delimiter, skipinitialspace=True)
    is_header = len(names) in (len(row), len(row) - 1)
    return dict.fromkeys(above, "\n") | ({above[-1]: header} if is_header else {})


def check_delimiter(delimiter: str) -> str:
    """A character that separates cells, or an InputError."""
    delimiter = "\t" if delimiter in TABS else delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise InputError(f"dataset.delimiter={delimiter!r} is not valid. Expected one character, or tab.")
    return delimiter


def check_encoding(encoding: str) -> None:
    """Raise an InputError for an encoding that Python does not know."""
    try:
        b" ".decode(encoding, errors="replace")
    except LookupError:
        raise InputError(f"dataset.encoding={encoding} is not known. Expected one such as utf-8.") from None


def opened(path: Path, encoding: str) -> TextIO:
    """A file of text, gzipped or not, without a byte order mark."""
    with unpacked(path) as start:
        encoding = without_mark(encoding, start.read(4))
    return io.TextIOWrapper(unpacked(path), encoding=encoding, newline="")


def without_mark(encoding: str, start: bytes) -> str:
    """The variant of an encoding that passes over the byte order mark with which a text starts."""
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    marked = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    return marked if marked and codecs.lookup(encoding).name.startswith(marked) else encoding


def delimiter_of(lines: Sequence[str], usual: str, decimal: str = ".", among: Sequence[str] = DELIMITERS) -> str:
    """The character by which lines are rows of equal length, and most cells below the first row numbers.

    A decimal comma separates no cells unless these are quoted, or their names in the first line.
    """

    def fit(delimiter: str) -> tuple[float, bool]:
        rows = _split(lines, delimiter)
        if not rows:
            return -1.0, False
        first, *rest = rows
        widths, cells = {len(row) for row in rest} or {len(first)}, [*itertools.chain(*rest)] or first
        if widths not in ({len(first)}, {len(first) + 1}) or max(widths) == 1:
            return -1.0, False
        return float(np.mean([is_number(cell) or is_number(cell, ",") for cell in cells])), widths == {len(first)}

    if usual == decimal and not any('"' in line for line in lines) and _is_cell(lines[0], decimal):
        usual = ";"
    # Of equal ones that by which the first row is no shorter than the others, the usual one, and then the first.
    best = max([usual, *(mark for mark in among if mark != decimal)], key=fit)
    return usual if fit(best)[0] < 0 else best


def _is_cell(line: str, decimal: str) -> bool:
    """Whether a line is one cell, a name or a number, where this is the decimal mark."""
    return decimal not in line or is_number(line, decimal)


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Rows of the first lines of a file, of which the last may end within a cell."""
    for some, strict in ((lines, True), (lines[:-1], False)):
        reader = csv.reader(some, delimiter=delimiter, strict=strict, skipinitialspace=True)
        with contextlib.suppress(csv.Error):
            return [row for row in reader if row]
    return []


def rows_of(file: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Rows of one length; the first may have one cell less, where it does not name the column of names, as R writes.

    A ContentError is raised for rows of other lengths.
    """
    csv.field_size_limit(LONGEST)
    reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
    filled = (row for row in reader if row)
    first = next(filled, None)
    if first is not None and SAID.fullmatch(delimiter.join(first)):
        first = next(filled, None)
    if first is None:
        return
    second = next(filled, None)
    if second is not None and len(second) == len(first) + 1:
        first = ["", *first]
    yield first
    for row in itertools.chain([second] if second else [], filled):
        if len(row) != len(first):
            said = f"line {reader.line_num} has {len(row)} cells, expected {len(first)} as the first row"
            raise ContentError(f"{said} (separated by {delimiter!r}; comments above a table begin with {COMMENT})")
        yield row


def text_lines(file: TextIO) -> Iterator[str]:
    """Lines of a file without null characters, of which numpy's strings would lose some.

    They are looked for in parts of a line, since a file with a hole is one line of them.
    """
    parts: list[str] = []
    while part := file.readline(PART):
        if "\0" in part:
            raise ContentError("it holds null characters, expected text")
        parts.append(part)
        if len(part) < PART or part.endswith("\n"):
            yield "".join(parts)
            parts.clear()
    if parts:
        yield "".join(parts)


def _header(rows: Sequence[Sequence[str]], layout: Layout) -> list[str] | None:
    """Names of the columns from the first row; None if it is a row like the others."""
    if not (_is_header(rows[0], rows[1:FIRST], layout.decimal) if layout.header is None else layout.header):
        return None
    return [name.strip() or (f"Unnamed: {i}" if i else "") for i, name in enumerate(rows[0])]


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first row holds names: none of its cells is a number, or one is none above numbers alone.

    Numbers that rise or fall from cell to cell may be names, as wavelengths are, or a sample: a ContentError asks.
    """
    are_numbers = [is_number(cell, decimal) for cell in first]
    if not all(cell.strip() in NOTHING for cell in first) and not any(are_numbers):
        return True
    blank = not first[0].strip()
    if names_rows(first[0]) and not (blank and _are_measured([row[0] for row in below], decimal)):
        return True
    for cell, is_one, *column in zip(first, are_numbers, *below, strict=True):
        if not is_one and cell not in NOTHING and all(is_number(each, decimal) or each in NOTHING for each in column):
            return True
    found = [float(cell.replace(decimal, ".")) for cell, is_one in zip(first, are_numbers, strict=True) if is_one]
    if blank or (np.diff(found) > 0).all() or (np.diff(found) < 0).all():
        expected = "expected dataset.header=true or dataset.header=false"
        raise ContentError(f"its first line ({_shown(first)}) may be a header of numbers or a row of them: {expected}")
    return False


def _are_measured(column: Sequence[str], decimal: str) -> bool:
    """Whether a column holds numbers or nothing, and does not number the rows from 0 or 1."""
    counted = (integers(column) or [-1])[:2]
    return counted not in ([0, 1], [1, 2], [0], [1]) and all(
        is_number(cell, decimal) or cell in NOTHING for cell in column
    )


def _shown(row: Sequence[str]) -> str:
    """The first cells of a row."""
    return ", ".join(row[:3]) + ", ..." * (len(row) > 3)
