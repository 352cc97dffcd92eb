"""Data from a file of the user's own."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_number, split_missing
from nnmf_runner.core.linalg import canonical
from nnmf_runner.datasets.base import Dataset, Labels
from nnmf_runner.datasets.files.contents import NAMES, NUMERIC, ContentError, Contents
from nnmf_runner.datasets.files.readers import READERS, read
from nnmf_runner.datasets.files.reading import content_digest, existing_file

log = logging.getLogger(__name__)

ORIENTATIONS = ("samples_by_features", "features_by_samples")
# Of a sparse matrix; what else depends on it would not fit into any memory.
LARGEST_SIDE = 2**31 - 1
# Up to here every whole number has a double of its own.
LARGEST_WHOLE = 2.0**53
# How many of the features and samples that are all zeros are named in the log.
NAMED = 5


@dataclass
class File:
    """A matrix from a file, with labels where it has some.  The suffix says how it is read, see `READERS`.

    Parameters
    ----------
    path : str
        A relative one starts at the working directory.  Doubles of a ``.npy`` file stay in it if it is large, see
        `readers.MAPPED`: such a file may be larger than the memory, but must not change during a run.
    x : str, optional
        Key of the data; by default ``X`` or the only matrix in the file.  Of a table all columns are data that are
        not labels, names or `known`; its first column names the rows if it holds no number.
    labels : list of str
        Keys of labels of any type, finest level first.
    names : str, optional
        Key of the features' names; by default ``names`` or ``vocab`` if one has as many entries as there are features.
    known : str, optional
        Key of the columns whose labels a method may see: their indices, or for every sample whether it is one
        (booleans, or zeros and ones).  Where `label_fraction` is above zero, these are seen in place of a drawn share.
    known_base : int, optional
        What the first sample is called in `known`, 0 or 1; by default 1 in ``.mat`` files and 0 in others.
    orientation : {"samples_by_features", "features_by_samples"}
        What the rows and columns of the matrix in the file are.
    """

    name: ClassVar[str] = "file"
    path: str = ""
    x: str | None = None
    labels: list[str] = field(default_factory=list)
    names: str | None = None
    known: str | None = None
    known_base: int | None = None
    orientation: str = ORIENTATIONS[0]

    def __post_init__(self) -> None:
        check_choice(self.orientation, ORIENTATIONS, "dataset.orientation")
        if self.known_base is not None:
            check_number(self.known_base, "dataset.known_base", low=0, high=1, integer=True)

    @property
    def title(self) -> str:
        """What tables call the data: the name of their file."""
        return Path(self.path).name

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read what the options say of the file, see `Source.load`."""
        try:
            dataset = self._dataset(read(self._file()))
            split_missing(dataset.X, f"dataset.path={self.path}: X", signed=True)  # refuses what is not finite
            _log_zeros(dataset)
        except ContentError as error:
            raise InputError(f"dataset.path={self.path}: {error}.") from None
        except MemoryError:
            raise InputError(f"dataset.path={self.path}: its contents do not fit into memory.") from None
        return dataset

    def _dataset(self, contents: Contents) -> Dataset:
        grid = contents.grid(self.x, [*self.labels, *filter(None, (self.names, self.known))])
        by_samples = self.orientation == "samples_by_features"
        values, features = (grid.values.T, grid.columns) if by_samples else (grid.values, grid.rows)
        X = _csr(values) if sparse.issparse(values) else _doubles(values)  # (m, n)
        m, n = X.shape
        labels = [_classes(contents.vector(key), key, n) for key in self.labels]
        known = None if self.known is None else self._known(contents, self.known, n)
        names = self._names(contents, m) or features
        names = None if names is None else [_printable(name) for name in names]
        return Dataset(self.name, X, labels, feature_names=names, known=known)

    def identity(self) -> dict[str, Any]:
        """Options, with a hash of the file in the place of its path: it matters what it holds, not where it is."""
        path = self._file()
        return {**asdict(self), "path": content_digest([path], path, f"dataset.path={self.path}")}

    def _file(self) -> Path:
        return existing_file(self.path, f"a file of one of: {', '.join(READERS)}")

    def _names(self, contents: Contents, m: int) -> list[str] | None:
        if self.names is not None:
            names = contents.names(self.names)
            if len(names) != m:
                raise ContentError(f"{self.names} has {len(names)} names, expected {m}: one per feature")
            return names
        for key in NAMES:
            array = contents.arrays.get(key)
            if getattr(array, "size", None) == m and key not in (self.x, self.known, *self.labels):
                return contents.names(key)
        return None

    def _known(self, contents: Contents, key: str, n: int) -> NDArray[np.bool_]:
        """Which samples are known, shape (n,)."""
        given = _numeric(contents.vector(key))
        expected = f"expected indices of samples, or {n} booleans"
        if given is None or not np.isfinite(given).all() or (given % 1).any():
            raise ContentError(f"{key} holds entries that are no whole numbers, {expected}")
        if given.size == n and np.isin(given, (0, 1)).all():
            flags = given.astype(bool)
        else:
            base = contents.index_base if self.known_base is None else self.known_base
            if (wrong := (given < base) | (given >= n + base)).any():
                raise ContentError(f"{key} holds {given[wrong][0]:g}, {expected}: from {base} to {n - 1 + base}")
            flags = np.zeros(n, bool)
            flags[given.astype(np.int64) - base] = True
        if not flags.any():
            raise ContentError(f"{key} names no sample, {expected}")
        return flags


def _doubles(values: NDArray[Any]) -> NDArray[np.float64]:
    """An array of doubles by rows; one that is mapped from a file stays there, in whichever order it has."""
    if isinstance(values, np.memmap) and values.dtype == np.float64:
        return np.asarray(values)
    return np.ascontiguousarray(values, dtype=np.float64)


def _csr(values: Any) -> Any:
    """A sparse matrix of doubles in CSR form with every entry that is not zero stored once."""
    if max(values.shape) > LARGEST_SIDE:
        raise ContentError(f"its matrix has shape {values.shape}, expected sides of at most {LARGEST_SIDE}")
    X = sparse.csr_array(values.astype(np.float64) if values.dtype.kind in "biu" else values)  # whose sums overflow
    X = sparse.csr_array((X.data.astype(np.float64, copy=False), X.indices, X.indptr), shape=X.shape)
    X = canonical(X)
    X.eliminate_zeros()
    return X


def _numeric(array: NDArray[Any]) -> NDArray[Any] | None:
    """An array of numbers, also of such that are written as text; None if it is not one."""
    if array.dtype.kind in NUMERIC:
        return array.astype(np.float64)
    words = np.char.lower(array.astype(str))
    if np.isin(words, ("true", "false")).all():
        return (words == "true").astype(np.float64)
    try:
        return array.astype(np.float64)
    except ValueError:
        return None


def _classes(given: NDArray[Any], key: str, n: int) -> Labels:
    """Class indices from 0 in the order of the labels, shape (n,)."""
    if given.size != n:
        raise ContentError(f"{key} has {given.size} labels, expected {n}: one per sample (see dataset.orientation)")
    numbers = _numeric(given)
    values = given.astype(str) if numbers is None else numbers
    missing = values == "" if numbers is None else ~np.isfinite(numbers)
    if missing.any():
        raise ContentError(f"{key} has no label for sample {int(np.argmax(missing))} (from 0), expected one per sample")
    if numbers is not None and (broken := values % 1 != 0).any():
        raise ContentError(f"{key} holds {values[broken][0]:g}, expected labels that are whole numbers or strings")
    if numbers is not None and np.abs(values).max() > LARGEST_WHOLE:
        values = given  # numbers of accounts and the like, which would run together
    classes, indices = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ContentError(f"{key} has one class only ({classes[0]}), expected two or more")
    return indices.astype(np.intp)


def _printable(name: str) -> str:
    """A name of one line without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in name).strip() or "(no name)"


def _log_zeros(dataset: Dataset) -> None:
    """Say which features and samples hold nothing: they stay, with codes of zero."""
    X = dataset.X
    used = X.count_nonzero if sparse.issparse(X) else X.any
    features, samples = (np.flatnonzero(used(axis=axis) == 0) for axis in (1, 0))
    if 0 < len(features) + len(samples) < sum(X.shape):  # data of zeros alone are refused
        shown = _some(features, X.shape[0], "features", dataset.feature_names), _some(samples, X.shape[1], "samples")
        log.info("dataset=file: all zeros are %s and %s.", *shown)


def _some(found: NDArray[np.intp], of: int, kind: str, names: list[str] | None = None) -> str:
    """How many, and the first of them."""
    shown = [names[i] if names else str(i) for i in found[:NAMED]] + ["..."] * (len(found) > NAMED)
    return f"{len(found)} of {of} {kind}" + (f" ({', '.join(shown)})" if shown else "")
