"""Classes of samples, and which of them a method may see, in the shapes in which people keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.datasets.base import Labels
from nnmf_runner.datasets.files.cells import as_text, integers, is_label, is_number, numbers
from nnmf_runner.datasets.files.contents import ContentError


@dataclass(frozen=True)
class Classes:
    """One level of labels.

    Attributes
    ----------
    indices : ndarray of shape (n,)
        Class of every sample, -1 where it has none.
    names : list of str
        Names of the classes; integers stand in their order, words in that of their letters.
    """

    indices: Labels
    names: list[str]


def read_classes(given: NDArray[Any], key: str, n: int) -> Classes:
    """Read the classes of n samples: a label of each, or a one-hot matrix of shape (classes, n) or (n, classes).

    Labels are text, compared as written, unless all of them are integers.  What stands for nothing, and -1, is none.
    """
    if given.dtype.kind == "f" and np.isinf(given).any():
        raise ContentError(f"{key} holds infinity, expected labels that are whole numbers or strings")
    if is_matrix(given):
        found = _one_hot(given, key, n)
    elif given.size == n:
        found = read_words(as_text(given.ravel()), key)
    else:
        raise ContentError(
            f"{key} has {given.size} labels, expected {n}: one per sample (see dataset.orientation, or "
            "of a tensor dataset.sample_mode)"
        )
    if len(found.names) < 2:
        raise ContentError(f"{key} has one class only ({''.join(found.names)}), expected two or more")
    return found


def read_words(words: list[str], key: str) -> Classes:
    """Classes of samples from their labels as text."""
    words = [word.strip() for word in words]
    known = [*map(is_label, words)]
    labels = [word for word, is_one in zip(words, known, strict=True) if is_one]
    if not labels:
        raise ContentError(f"{key} has no label for any sample")
    whole = integers(labels)
    if whole is None and all(map(is_number, labels)):
        broken = next(label for label in labels if integers([label]) is None)
        raise ContentError(f"{key} holds {broken}, expected labels that are whole numbers or strings")
    indices = np.full(len(words), -1)
    classes, indices[known] = np.unique(np.array(whole or labels, dtype=object), return_inverse=True)
    return Classes(indices, [str(name) for name in classes])


def read_known(given: NDArray[Any], key: str, n: int, base: int) -> NDArray[np.bool_]:
    """Read which of n samples are known: their indices from a base, a flag of each, or the columns of ones of a mask.

    A mask has the shape (classes, n) or (n, classes), as that of known entries of a one-hot matrix.
    """
    expected = f"expected indices of samples, or {n} booleans"
    if is_matrix(given):
        mask = _by_class(given, key, n).astype(bool)
        flags = np.asarray(mask.any(axis=0))
        if (flags != mask.all(axis=0)).any():
            raise ContentError(f"{key} knows some classes of a sample and others not, expected all or none of them")
    else:
        values, good = numbers(given.ravel())
        if not good.all() or not np.isfinite(values).all() or (values % 1).any():
            raise ContentError(f"{key} holds entries that are no whole numbers, {expected}")
        if given.size == n and np.isin(values, (0, 1)).all():
            flags = values.astype(bool)
        else:
            if (wrong := (values < base) | (values >= n + base)).any():
                raise ContentError(f"{key} holds {values[wrong][0]:g}, {expected}: from {base} to {n - 1 + base}")
            flags = np.zeros(n, bool)
            flags[values.astype(np.int64) - base] = True
    if not flags.any():
        raise ContentError(f"{key} names no sample, {expected}")
    return flags


def is_matrix(array: NDArray[Any]) -> bool:
    """Whether an array has rows and columns."""
    return array.ndim == 2 and min(array.shape) > 1


def _one_hot(given: NDArray[Any], key: str, n: int) -> Classes:
    by_class = _by_class(given, key, n)
    if (several := by_class.sum(axis=0) > 1).any():
        raise ContentError(f"{key} has several classes for sample {int(np.argmax(several))} (from 0), expected one")
    indices = np.where(by_class.any(axis=0), by_class.argmax(axis=0), -1)
    return read_words([str(index) for index in indices], key)


def _by_class(given: NDArray[Any], key: str, n: int) -> NDArray[Any]:
    """Zeros and ones, shape (classes, n)."""
    if n not in given.shape or len(set(given.shape)) == 1:
        raise ContentError(f"{key} has shape {given.shape}, expected ({n},), or ({n}, classes) or (classes, {n})")
    if given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        raise ContentError(f"{key} is a matrix, expected one of zeros and ones with a row or column per class")
    return given if given.shape[1] == n else given.T
