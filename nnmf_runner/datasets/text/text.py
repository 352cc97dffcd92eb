"""Any collection of texts: files in folders of their classes, or a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.reading import decoded, existing, files_below, read_bytes
from nnmf_runner.datasets.text.words import Documents, Words

# Longest text of a table; the csv module stops at 131,072 characters unless told otherwise.
LONGEST = 2**31 - 1


@dataclass
class Text(Words):
    """Texts from files in folders of their classes, or from a CSV file with a header.

    The folders that a file is in are its classes: the innermost is the finest level.  A level on which all texts
    are of one class is left out.  Files and folders whose names start with a dot are passed over.

    Parameters
    ----------
    path : str or None
        The folder, or the CSV file; a relative one starts at the working directory.
    separator : str
        Divides names of folders into levels: with ``.``, ``comp.graphics`` is of class ``comp`` as well.
    text_column : str
        Column of the texts in a CSV file.
    label_columns : list of str
        Columns of the classes in a CSV file, finest level first; an empty cell is no label.
    delimiter : str
        Character that separates the columns.
    encoding : str
        Encoding of the files.
    min_df, max_df, max_features, stop_words, lowercase, idf, norm, cache
        See `Words`.
    """

    name: ClassVar[str] = "text"
    separator: str = ""
    text_column: str = "text"
    label_columns: list[str] = field(default_factory=list)
    delimiter: str = ","
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise InputError(f"dataset.delimiter={self.delimiter!r} is not valid. Expected one character.")
        try:
            b" ".decode(self.encoding, errors="replace")
        except LookupError:
            raise InputError(f"dataset.encoding={self.encoding} is not known. Expected one such as utf-8.") from None

    @property
    def title(self) -> str:
        """What tables call the data: the name of their file or folder."""
        return Path(self.path or "").name

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read and weigh the texts as a sparse X of shape (words, texts), see `Source.load`."""
        path = self._path()
        return self.weighted(lambda: self._folder(path) if path.is_dir() else self._table(path))

    def sources(self) -> tuple[list[Path], Path]:
        """The files, see `Words.sources`."""
        path = self._path()
        return files_below(path) if path.is_dir() else [path], path

    def _path(self) -> Path:
        return existing(self.path, "a folder with one folder of texts per class, or a CSV file")

    def _folder(self, root: Path) -> Documents:
        option, files = self._option, files_below(root)
        parts = [path.relative_to(root).parent.parts for path in files]
        if not any(parts):
            raise InputError(f"{option} holds no class folders with files. Expected one folder of texts per class.")
        if not all(parts):
            stray = files[[bool(each) for each in parts].index(False)].name
            raise InputError(f"{option} holds files outside of class folders, such as {stray}. Expected none.")
        if self.separator:
            parts = [tuple(word for each in names for word in each.split(self.separator)) for names in parts]
        classes = levels_of(parts)
        if not classes:
            raise InputError(f"{option} holds a single class. Expected at least two class folders.")
        return Documents([self._text(path) for path in files], classes)

    def _text(self, path: Path) -> str:
        content = read_bytes(path, self._option)
        return decoded(content, path, f"dataset.encoding={self.encoding}", self.encoding)

    def _table(self, path: Path) -> Documents:
        option, content = self._option, self._text(path)
        csv.field_size_limit(LONGEST)
        lines = csv.reader(io.StringIO(content, newline=""), delimiter=self.delimiter)
        try:
            header, *rows = [row for row in lines if row]
        except csv.Error as error:
            raise InputError(f"{option} is not a CSV file: {error}.") from None
        except ValueError:
            raise InputError(f"{option} is empty. Expected a CSV file with a header.") from None
        for i, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise InputError(
                    f"{option} has {len(row)} columns in row {i}, expected {len(header)} as in its header."
                )
        if not rows:
            raise InputError(f"{option} has a header but no rows. Expected one row per text.")
        for column in (self.text_column, *self.label_columns):
            if column not in header:
                raise InputError(f"{option} has no column {column}. Expected one of: {', '.join(header)}.")
        places = {column: header.index(column) for column in header}
        classes = [[row[places[column]] for row in rows] for column in self.label_columns]
        for column, level in zip(self.label_columns, classes, strict=True):
            if len(set(level) - {""}) < 2:
                raise InputError(f"{option} holds a single class in column {column}. Expected at least two.")
        return Documents([row[places[self.text_column]] for row in rows], classes)


def levels_of(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Class names at every level, finest first, from the parts of every name; levels of one class are left out.

    The finest class is the whole name.  Of a coarser level there are only as many as the shortest name has parts.
    """
    shortest = min(len(each) for each in parts)
    lengths = [max(len(each) for each in parts), *range(shortest - 1, 0, -1)]
    levels = [["/".join(each[:length]) for each in parts] for length in lengths]
    return [level for level in levels if len(set(level)) > 1]
