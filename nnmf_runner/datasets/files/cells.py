"""What cells of tables and entries of arrays of labels mean: numbers by a strict grammar, words, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMERIC = "biuf"  # kinds of numpy's types
# Words that stand for nothing: in numbers in any case of letters, in labels as they are here, where pandas has them.
NOTHING = frozenset(["", "#N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "NaN", "nan", "-nan", "NULL", "null", "None"])
_NOTHING = frozenset(word.lower() for word in NOTHING)
_FLAGS = {"true": 1.0, "false": 0.0}
# Python's `float` takes more: underscores, digits of every alphabet.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d{1,4000}(\.0*)?", re.ASCII)  # Python reads no longer ones
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,.'\s]\d{3})+([.,]\d*)?")
_UNLABELLED = re.compile(r"-1(\.0*)?")
# Of what is called by its first words.
LONGEST_NAME = 60
# By their codes, the characters of numbers, and what fills up shorter strings of an array.
_LEGAL = np.isin(np.arange(128), [0, *b"0123456789+-.eE"])


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a number with this decimal mark."""
    cell = cell.strip()
    return _NUMBER.fullmatch(cell if decimal == "." else cell.replace(".", "?").replace(decimal, ".")) is not None


def is_grouped(cell: str) -> bool:
    """Whether a cell is a number whose thousands are set apart."""
    return _GROUPED.fullmatch(cell) is not None


def resembles_number(cell: str) -> bool:
    """Whether a cell is a number but for its decimal mark, marks between thousands, and signs of percents or money."""
    bare = cell.strip("%$€£ ")
    return is_number(bare) or is_number(bare, ",") or is_grouped(bare)


def numbers(column: NDArray[Any], decimal: str = ".") -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Numbers of a column, NaN where a cell holds nothing, and which cells are numbers, truth values or nothing."""
    good = np.ones(len(column), bool)
    if column.dtype.kind in NUMERIC:
        return column, good
    values = np.full(len(column), np.nan)
    plain = _of_digits(column)
    try:
        values[plain] = column[plain].astype(np.float64)
    except ValueError:  # "1-2"
        plain[:] = False
    if decimal != ".":
        plain &= np.char.find(column, ".") < 0  # which is read again
    words, places = np.unique(column[~plain], return_inverse=True)
    read = [_number(word, decimal) for word in words]
    values[~plain] = np.array([value for value, _ in read], np.float64)[places]
    good[~plain] = np.array([is_good for _, is_good in read], bool)[places]
    return values, good


def _of_digits(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells hold nothing but characters of numbers, as most do, and at least one."""
    codes = np.ascontiguousarray(column).view(np.uint32).reshape(len(column), column.itemsize // 4)
    return np.asarray((_LEGAL[np.minimum(codes, len(_LEGAL) - 1)]).all(axis=1) & (codes[:, 0] > 0))


def _number(cell: str, decimal: str) -> tuple[float, bool]:
    """The number of a cell, NaN if it holds nothing, and whether it is either or a truth value."""
    word = cell.strip().lower()
    if is_number(word, decimal):
        return float(word.replace(decimal, ".")), True
    return _FLAGS.get(word, np.nan), word in _FLAGS or word in _NOTHING


def integers(words: Sequence[str]) -> list[int] | None:
    """Words as integers of any size; None unless all of them are, with zeros alone behind a decimal point."""
    return [int(word.partition(".")[0]) for word in words] if all(map(_INTEGER.fullmatch, words)) else None


def is_label(word: str) -> bool:
    """Whether a word labels a sample, rather than stands for nothing, or for -1 as the label of an unlabelled one."""
    return word.strip() not in NOTHING and _UNLABELLED.fullmatch(word.strip()) is None


def as_text(array: NDArray[Any]) -> list[str]:
    """Entries as text; whole numbers without a decimal point."""
    if array.dtype.kind == "f":
        return [f"{value:.0f}" if value.is_integer() else str(value) for value in array]
    return [str(value) for value in array]


def printable(name: str) -> str:
    """A name of one line without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in name).strip() or "(no name)"


def first_words(text: str, most: int = LONGEST_NAME) -> str:
    """A name from what a text begins with: one printable line of at most `most` characters.

    It begins with a letter or digit, for a spreadsheet would take others for a formula, and has no mark that divides
    cells or encloses code in Markdown.
    """
    begun = re.sub(r"^\W+", "", text)[: 10 * most]  # which white space may fill up
    return shortened(printable(" ".join(re.sub(r"[|`]", " ", printable(begun)).split())), most)


def shortened(name: str, most: int = LONGEST_NAME) -> str:
    """A name of at most `most` characters, cut between words where it has some."""
    if len(name) <= most:
        return name
    cut = name[:most]
    return f"{cut.rpartition(' ')[0] or cut[:-1]}…"
