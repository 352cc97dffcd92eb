"""Tables of text: which character separates their cells, and whether their first line names the columns."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.bounds import unpacked
from nnmf_runner.datasets.files.cells import NOTHING, is_number
from nnmf_runner.datasets.files.contents import UNNAMED, ContentError, Layout, Table, check_unique, names_rows

DELIMITERS, DECIMALS = (",", ";", "\t", "|", " "), (".", ",")
# How a tab is typed where a shell does not let it through.
TABS = ("\\t", "tab")
# Characters of a cell; the csv module stops at 131,072 unless told otherwise.
LONGEST = 2**31 - 1
# Characters that are read at a time.
PART = 2**20
# Lines that tell delimiter and header.
FIRST = 20
# How spreadsheets say which character separates the cells, in a line before all others.
SAID = re.compile(r"sep=(.)\s*")


def read_csv(path: Path, layout: Layout, usual: str = ",") -> Table:
    """A table of text, gzipped or not; its cells are separated by the `usual` character where its lines do not tell.

    Not read by pandas, which fills up rows that are too short.
    """
    with opened(path, layout.encoding) as file:
        first = [line for line in itertools.islice(_text(file), FIRST) if line.strip()]
    if first and (said := SAID.fullmatch(first[0])):
        usual = said[1]
    delimiter = layout.delimiter or delimiter_of(first, usual)
    with opened(path, layout.encoding) as file:
        rows = list(rows_of(file, delimiter))
    if not rows:
        raise ContentError("it holds no rows")
    header = _header(rows, layout)
    if len(header or rows[0]) == 1 and (other := delimiter_of(first, delimiter)) != delimiter:
        raise ContentError(f"its cells are separated by {other!r}, expected {delimiter!r} (see dataset.delimiter)")
    body = rows if header is None else rows[1:]
    if not body:
        raise ContentError("it has no rows below its header")
    names = [str(i) for i in range(len(body[0]))] if header is None else header
    check_unique(names)
    columns = {name: np.array(cells) for name, cells in zip(names, zip(*body, strict=True), strict=True)}
    filled = {name: cells for name, cells in columns.items() if not (UNNAMED.fullmatch(name) and set(cells) == {""})}
    taken = f"the first line ({_shown(rows[0])}) is taken for a row; dataset.header=true takes it for a header"
    notes = () if header or layout.header is False else (taken,)
    return Table(filled, layout=layout, named=header is not None, notes=notes)


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
    encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    return io.TextIOWrapper(unpacked(path), encoding=encoding, newline="")


def delimiter_of(lines: Sequence[str], usual: str) -> str:
    """The character by which lines are rows of equal length, and most cells below the first row numbers."""

    def share_of_numbers(delimiter: str) -> float:
        rows = _split(lines, delimiter)
        if not rows:
            return -1.0
        first, *rest = rows
        widths, cells = {len(row) for row in rest} or {len(first)}, [*itertools.chain(*rest)] or first
        if widths not in ({len(first)}, {len(first) + 1}) or max(widths) == 1:
            return -1.0
        return float(np.mean([is_number(cell) or is_number(cell, ",") for cell in cells]))

    # Of equal ones the usual one, and then the first.
    best = max([usual, *DELIMITERS], key=share_of_numbers)
    return usual if share_of_numbers(best) < 0 else best


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Rows of the first lines of a file, of which the last may end within a cell."""
    for some, strict in ((lines, True), (lines[:-1], False)):
        reader = csv.reader(some, delimiter=delimiter, strict=strict, skipinitialspace=True)
        with contextlib.suppress(csv.Error):
            return [row for row in reader if row]
    return []


def rows_of(file: TextIO, delimiter: str) -> Iterator[list[str]]:
    """Rows of one length; the first may have one cell less, where it does not name the column of names, as R writes.

    A ContentError is raised for rows of other lengths and for null characters.
    """
    csv.field_size_limit(LONGEST)
    reader = csv.reader(_text(file), delimiter=delimiter, strict=True, skipinitialspace=True)
    filled = (row for row in reader if row and not SAID.fullmatch(delimiter.join(row)))
    first = next(filled, None)
    if first is None:
        return
    second = next(filled, None)
    if second is not None and len(second) == len(first) + 1:
        first = ["", *first]
    yield first
    for row in itertools.chain([second] if second else [], filled):
        if len(row) != len(first):
            raise ContentError(f"line {reader.line_num} has {len(row)} cells, expected {len(first)} as the first row")
        yield row


def _text(file: TextIO) -> Iterator[str]:
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
    if not any(are_numbers) or names_rows(first[0]):
        return True
    for cell, is_one, *column in zip(first, are_numbers, *below, strict=True):
        if not is_one and cell not in NOTHING and all(is_number(each, decimal) or each in NOTHING for each in column):
            return True
    found = [float(cell.replace(decimal, ".")) for cell, is_one in zip(first, are_numbers, strict=True) if is_one]
    if (np.diff(found) > 0).all() or (np.diff(found) < 0).all():
        expected = "expected dataset.header=true or dataset.header=false"
        raise ContentError(f"its first line ({_shown(first)}) may be a header of numbers or a row of them: {expected}")
    return False


def _shown(row: Sequence[str]) -> str:
    """The first cells of a row."""
    return ", ".join(row[:3]) + ", ..." * (len(row) > 3)
