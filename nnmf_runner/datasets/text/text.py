"""Any collection of texts: files in folders of their classes, or a table."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.labels import read_words
from nnmf_runner.datasets.files.reading import decoded, existing, files_below, levels_of, read_unpacked
from nnmf_runner.datasets.files.tables import DELIMITERS, SAID, check_delimiter, check_encoding, rows_of, text_lines
from nnmf_runner.datasets.text.words import Documents, Words

log = logging.getLogger(__name__)

# What means nothing to the other kind of source.
FOLDERS_ONLY, TABLES_ONLY = ("separator",), ("text_column", "label_columns", "delimiter")


@dataclass
class Text(Words):
    """Texts from files in folders of their classes, or from a table with a header.

    The folders that a file is in are its classes: the innermost is the finest level.  A level on which all texts
    are of one class is left out, and texts that are in no folder have none.  Files and folders whose names start with
    a dot are passed over.  Any file may be compressed, which the suffix ``.gz`` says.

    Parameters
    ----------
    path : str or None
        The folder, or the table, such as a CSV file; a relative one starts at the working directory.
    separator : str
        Divides names of folders into levels: with ``.``, ``comp.graphics`` is of class ``comp`` as well.
    text_column : str
        Column of the texts in a table.
    label_columns : list of str
        Columns of the classes in a table, finest level first.  They are compared as they are written; a text is not
        labelled where one is empty, -1 or says that it is missing, such as NaN.
    delimiter : str or None
        Character that separates the columns; ``\\t`` is a tab.  By default a tab in ``.tsv`` files and else a comma, or
        another of comma, semicolon, tab and bar if by that one the header has the columns that are asked for.
    encoding : str
        Encoding of the files.
    min_df, max_df, max_features, stop_words, lowercase, keep_empty, seed_words, cache
        See `Words`.
    idf, norm, sublinear
        See `Weights`.
    """

    name: ClassVar[str] = "text"
    draws: ClassVar[bool] = False
    separator: str = ""
    text_column: str = "text"
    label_columns: list[str] = field(default_factory=list)
    delimiter: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delimiter is not None:
            self.delimiter = check_delimiter(self.delimiter)
        check_encoding(self.encoding)

    @property
    def title(self) -> str:
        """What tables call the data: the name of their file or folder."""
        return Path(self.path or "").name

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read and weigh the texts as a sparse X of shape (words, texts), see `Source.load`.

        Texts are called by their folder and file, or in a table by their first words.
        """
        path = self._path()
        return self.weighted(lambda: self._folder(path) if path.is_dir() else self._table(path))

    def sources(self) -> tuple[list[Path], Path]:
        """The files, see `Words.sources`."""
        path = self._path()
        return files_below(path) if path.is_dir() else [path], path

    def _path(self) -> Path:
        return existing(
            self.path, "a folder of texts, or of one folder of texts per class, or a table such as a CSV file"
        )

    def _folder(self, root: Path) -> Documents:
        self._refuse(TABLES_ONLY, "a folder")
        option, files = self._option, files_below(root)
        if not files:
            raise InputError(f"{option} holds no files. Expected texts, or one folder of texts per class.")
        names = [path.relative_to(root).parts for path in files]
        parts = [name[:-1] for name in names]
        if any(parts) and not all(parts):
            stray = files[[bool(each) for each in parts].index(False)].name
            raise InputError(f"{option} holds files outside of class folders, such as {stray}. Expected none.")
        if self.separator:
            parts = [tuple(word for each in folders for word in each.split(self.separator)) for folders in parts]
        classes = levels_of(parts)
        if not classes:
            log.info("%s: its texts are in one folder and have no labels.", option)
        return Documents([self._text(path) for path in files], classes, ["/".join(name[-2:]) for name in names])

    def _refuse(self, options: Sequence[str], kind: str) -> None:
        """Refuse options that mean nothing to the kind of source that the path is, but for their defaults."""
        for name in options:
            if (value := getattr(self, name)) != getattr(Text(path=self.path), name):
                raise InputError(f"dataset.{name}={value} means nothing to {kind}, as {self._option} is.")

    def _text(self, path: Path) -> str:
        return decoded(read_unpacked(path, self._option), path, self._option, self.encoding, choosable=True)

    def _table(self, path: Path) -> Documents:
        self._refuse(FOLDERS_ONLY, "a table")
        option, content = self._option, self._text(path)
        try:
            header, *rows = rows_of(text_lines(io.StringIO(content, newline="")), self._delimiter(content, path))
        except (csv.Error, ContentError) as error:
            raise InputError(f"{option} is not a table: {error}.") from None
        except ValueError:
            raise InputError(f"{option} is empty. Expected a table with a header.") from None
        if not rows:
            raise InputError(f"{option} has a header but no rows. Expected one row per text.")
        for column in self._columns:
            if column not in header:
                raise InputError(f"{option} has no column {column}. Expected one of: {', '.join(header)}.")
            if header.count(column) > 1:
                raise InputError(f"{option} has the column {column} twice. Expected one of this name.")
        text, *labels = ([row[header.index(column)] for row in rows] for column in self._columns)
        classes = [self._classes(column, words) for column, words in zip(self.label_columns, labels, strict=True)]
        return Documents(text, classes)

    def _classes(self, column: str, words: list[str]) -> list[str | None]:
        """Names of the classes of a column, None where a text has none."""
        try:
            found = read_words(words, column)
        except ContentError as error:
            raise InputError(f"{self._option}: {error}.") from None
        if len(found.names) < 2:
            raise InputError(f"{self._option} holds a single class in column {column}. Expected at least two.")
        return [found.names[i] if i >= 0 else None for i in found.indices]

    @property
    def _columns(self) -> list[str]:
        """Columns that a table must have."""
        return [self.text_column, *self.label_columns]

    def _delimiter(self, content: str, path: Path) -> str:
        """The delimiter that is given, or else the first by which the header of a table has all of its columns."""
        if self.delimiter is not None:
            return self.delimiter
        if said := SAID.fullmatch(content.partition("\n")[0]):
            return said[1]
        usual = "\t" if path.name.lower().endswith((".tsv", ".tsv.gz")) else ","
        for mark in (usual, *DELIMITERS):
            header = next((row for row in csv.reader(io.StringIO(content, newline=""), delimiter=mark) if row), [])
            if {*self._columns} <= {*header}:
                return mark
        return usual
