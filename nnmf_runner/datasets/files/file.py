"""Data from a file of the user's own."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_number, split_missing
from nnmf_runner.core.linalg import canonical
from nnmf_runner.datasets.base import TEXT_OR_LIST, Dataset
from nnmf_runner.datasets.files.beside import Entries, located, read_entries
from nnmf_runner.datasets.files.bounds import is_too_large
from nnmf_runner.datasets.files.cells import as_text
from nnmf_runner.datasets.files.contents import NAMES, ContentError, Contents, Grid, Layout
from nnmf_runner.datasets.files.labels import read_classes, read_known
from nnmf_runner.datasets.files.readers import READERS, read
from nnmf_runner.datasets.files.reading import absolute, content_digest, existing_file
from nnmf_runner.datasets.files.tables import DECIMALS, check_delimiter, check_encoding
from nnmf_runner.datasets.pictures import ORDERS, SAMPLES, Pictures, as_samples, check_image_options, pictures
from nnmf_runner.datasets.stop_words import keeps, stop_words_anywhere, stop_words_identity
from nnmf_runner.datasets.weighting import Weights, check_weighting, tfidf

log = logging.getLogger(__name__)

ORIENTATIONS = ("samples_by_features", "features_by_samples")
# Of a sparse matrix; what else depends on it would not fit into any memory.
LARGEST_SIDE = 2**31 - 1
# How many of the features and samples that are all zeros are named in the log.
NAMED = 5


@dataclass
class File(Weights):
    """A matrix from a file, with labels where it has some.  The suffix says how it is read, see `READERS`.

    Labels, names and known samples are keys of the file, or files of their own: ``FILE`` or ``FILE:KEY``, see `beside`.

    Parameters
    ----------
    path : str
        A relative one starts at the working directory.  Doubles of a ``.npy`` file stay in it if it is large, see
        `readers.MAPPED`: such a file may be larger than the memory, but must not change during a run.
    x : str, optional
        Key of the data; by default ``X`` or the only matrix in the file.  Of a table all columns are data that are not
        anything else.
    labels : list of str
        Keys or files of labels of any type, finest level first; a one-hot matrix is one level.  -1 and what stands
        for nothing mean that a sample has no label.
    names : str, optional
        Key or file of the features' names; by default ``names`` or ``vocab`` if one has as many entries as there are
        features.
    sample_names : str, optional
        Key or file of the samples' names.
    known : str, optional
        Key or file of the samples whose labels a method may see: their indices, or for every sample whether it is one
        (booleans, or zeros and ones), or a mask of one row or column per class.  Where `label_fraction` is above zero,
        these are seen in place of a drawn share.
    known_base : int, optional
        What the first sample is called in `known`, 0 or 1; by default 1 in ``.mat`` files and 0 in others.
    orientation : {"samples_by_features", "features_by_samples"}
        What the rows and columns of the matrix in the file are.
    header : bool, optional
        Whether the first line of a table names its columns; by default the lines below it tell.  Without names,
        columns are numbered from 0.
    index : str, optional
        Column of a table that names the rows; "auto" takes the first one if it holds no number, numbers the rows, or
        is called like an identifier and has a value of its own for every row; null takes none.
    exclude : list of str
        Columns of a table that are left out.
    delimiter : str, optional
        Character that separates the cells of a table; by default the one by which the first lines are rows of equal
        length.
    decimal : {".", ","}
        Decimal mark of a table.
    encoding : str
        Encoding of text.
    image_shape : list of int, optional
        Height and width of samples that are pictures, whose topics are then drawn as pictures; or bands, height and
        width of one picture whose pixels are the samples and whose bands are the features, as in a spectral cube: then
        codes are drawn as maps and topics as spectra, over the features' names if these are numbers.
    image_order : {"rows", "columns"}
        What of a picture follows each other among its pixels: its rows, or its columns as where MATLAB has flattened
        it.  An array of three dimensions is flattened by these options, whatever its orientation.
    weighting : {"tfidf"}, optional
        How counts are weighted, see `Weights`; by default not at all.
    stop_words : str or list of str, optional
        Names of features that are left out: ``english``, a file of words, or the words, see `read_stop_words`.
    idf, norm, sublinear
        See `Weights`.
    """

    name: ClassVar[str] = "file"
    path: str = ""
    x: str | None = None
    labels: list[str] = field(default_factory=list)
    names: str | None = None
    sample_names: str | None = None
    known: str | None = None
    known_base: int | None = None
    orientation: str = ORIENTATIONS[0]
    header: bool | None = None
    index: str | None = Layout.index
    exclude: list[str] = field(default_factory=list)
    delimiter: str | None = None
    decimal: str = Layout.decimal
    encoding: str = Layout.encoding
    image_shape: list[int] | None = None
    image_order: str = ORDERS[0]
    weighting: str | None = None
    stop_words: Any = field(default=None, metadata=TEXT_OR_LIST)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weighting(self.weighting, self)
        stop_words_identity(self.stop_words)  # refuses what stands for no words
        check_choice(self.orientation, ORIENTATIONS, "dataset.orientation")
        check_image_options(self.image_shape, self.image_order)
        if self.known_base is not None:
            check_number(self.known_base, "dataset.known_base", low=0, high=1, integer=True)
        check_choice(self.decimal, DECIMALS, "dataset.decimal")
        check_encoding(self.encoding)
        if self.delimiter is not None:
            self.delimiter = check_delimiter(self.delimiter)
        if self.delimiter == self.decimal:
            raise InputError(f"dataset.delimiter={self.delimiter} is the decimal mark as well. Expected another one.")

    @property
    def title(self) -> str:
        """What tables call the data: the name of their file."""
        return Path(self.path).name

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read what the options say of the file, see `Source.load`."""
        try:
            contents = read(self._file(), self._layout)
            grid = contents.grid(self.x, self._references)
            dataset = self._dataset(contents, grid)
            # The method is to say whether it takes negative entries, or none that is positive.
            split_missing(dataset.X, f"dataset.path={self.path}: X", signed=True, zeros=True)
        except ContentError as error:
            raise InputError(f"dataset.path={self.path}: {error}.") from None
        except MemoryError:
            raise InputError(f"dataset.path={self.path}: its contents do not fit into memory.") from None
        self._log(grid, dataset)
        return dataset

    def _log(self, grid: Grid, dataset: Dataset) -> None:
        """Say what was guessed and what there is nothing of; no line of it goes before an error."""
        for note in grid.notes:
            log.info("dataset=file: %s.", note)
        for key, labels in zip(self.labels, dataset.labels, strict=True):
            if unlabelled := int((labels < 0).sum()):
                log.info("dataset=file: %s has no label for %d of %d samples.", key, unlabelled, len(labels))
            if len(labels) - unlabelled == labels.max() + 1 > 2:
                log.info("dataset=file: %s has a class of its own for every sample that has a label.", key)
        _log_zeros(dataset)
        names = dataset.feature_names or []
        if twice := len(names) - len({*names}):
            log.info("dataset=file: %d features have a name that another one has before them.", twice)

    def _dataset(self, contents: Contents, grid: Grid) -> Dataset:
        found = self._oriented(grid)
        X, (m, n) = found.values, found.values.shape
        shown = None if self.image_shape is None else pictures(self.image_shape, self.image_order, m, n)
        features = self._names(contents, m, found.rows)
        samples = found.columns if self.sample_names is None else self._given(contents, self.sample_names, n, None)
        levels = [read_classes(self._entries(contents, key, n, samples, shown).values, key, n) for key in self.labels]
        known = None
        if self.known is not None:
            entries = self._entries(contents, self.known, n, samples, shown, exact=False)
            base = entries.index_base if self.known_base is None else self.known_base
            known = read_known(entries.values, self.known, n, base)
        if self.stop_words is not None:
            X, features = self._without_stop_words(X, features)
        if self.weighting is not None:
            X = tfidf(X, self, f"dataset.path={self.path}: X")
        return Dataset(
            self.name,
            X,
            [level.indices for level in levels],
            class_names=[[*map(_printable, level.names)] for level in levels],
            feature_names=None if features is None else [*map(_printable, features)],
            sample_names=None if samples is None else [*map(_printable, samples)],
            known=known,
            pictures=shown,
        )

    def _oriented(self, grid: Grid) -> Grid:
        """The matrix of a file as doubles, or as a sparse matrix in CSR form, with features as rows, shape (m, n)."""
        values, features, samples = grid.values, grid.columns, grid.rows
        stack = values.ndim == 3 and self.image_shape is not None
        if stack:
            values = as_samples(values, self.image_shape or (), self.image_order)
        if values.ndim != 2:
            hint = " (dataset.image_shape says how pictures stand in it)" if values.ndim == 3 else ""
            raise ContentError(f"the data have {values.ndim} dimensions with shape {values.shape}, expected 2{hint}")
        if stack or self.orientation == ORIENTATIONS[0]:
            values = values.T
        else:
            features, samples = samples, features
        return Grid(_csr(values) if sparse.issparse(values) else _doubles(values), features, samples)

    def _without_stop_words(self, X: Any, features: list[str] | None) -> tuple[Any, list[str]]:
        """Data and names of those features whose names are no stop words."""
        if features is None:
            raise ContentError("dataset.stop_words needs the features' names, dataset.names")
        if self.image_shape is not None:
            raise ContentError("dataset.stop_words leaves features out, of which dataset.image_shape needs all")
        kept = keeps(features, self.stop_words)
        return X[kept], [*itertools.compress(features, kept)]

    @property
    def _layout(self) -> Layout:
        return Layout(self.delimiter, self.decimal, self.encoding, self.header, self.index, tuple(self.exclude))

    @property
    def _references(self) -> list[str]:
        """What names a key of the file, or a file beside it."""
        return [*self.labels, *filter(None, (self.names, self.sample_names, self.known))]

    def _names(self, contents: Contents, m: int, names: list[str] | None) -> list[str] | None:
        """Names of the features, of which the file itself may have some."""
        if self.names is not None:
            return self._given(contents, self.names, m, names)
        for key in NAMES:
            array = contents.arrays.get(key)
            if getattr(array, "size", None) == m and key not in (self.x, *self._references):
                return contents.names(key)
        return names

    def _given(self, contents: Contents, reference: str, count: int, names: Sequence[str] | None) -> list[str]:
        """Names of the features or samples that an option refers to."""
        found = as_text(self._entries(contents, reference, count, names).values.ravel())
        if len(found) != count:
            raise ContentError(f"{reference} has {len(found)} names, expected {count} (see dataset.orientation)")
        return found

    def _entries(
        self,
        contents: Contents,
        reference: str,
        count: int,
        names: Sequence[str] | None,
        shown: Pictures | None = None,
        *,
        exact: bool = True,
    ) -> Entries:
        """What there is for every sample or feature: the array of a key, or of a file, see `beside.read_entries`."""
        if reference in contents.arrays:
            found = Entries(contents.array(reference), contents.index_base)
        elif (place := located(reference, self._file().parent)) is not None:
            found = read_entries(*place, count, names, self.encoding, exact=exact)
        else:
            raise ContentError(f"it has no {reference!r}, and no such file stands beside it. {contents.keys()}")
        if shown is not None and shown.of == SAMPLES and found.values.shape == (shown.height, shown.width):
            return Entries(shown.flatten(found.values), found.index_base)  # a map of the pixels
        return found

    def portable(self) -> dict[str, Any]:
        """Options that load the same data from any working directory."""

        def from_anywhere(reference: str) -> str:
            return absolute(reference) if os.sep in reference and located(reference, Path()) else reference

        options = {"path": absolute(self.path), "stop_words": stop_words_anywhere(self.stop_words)}
        return self._with_references(from_anywhere) | options

    def identity(self) -> dict[str, Any]:
        """Options, with hashes of the files in the place of their paths: it matters what they hold, not where."""

        def digest(path: Path) -> str:
            return content_digest([path], path, f"dataset.path={self.path}")

        def by_content(reference: str) -> str:
            found = located(reference, self._file().parent)
            return reference if found is None else f"{digest(found[0])}:{found[1] or ''}"

        stop_words = stop_words_identity(self.stop_words)
        return self._with_references(by_content) | {"path": digest(self._file()), "stop_words": stop_words}

    def _with_references(self, written: Callable[[str], str]) -> dict[str, Any]:
        """Options, with what refers to keys or files written in another way."""
        options = asdict(self)
        single = {name: written(options[name]) for name in ("names", "sample_names", "known") if options[name]}
        return options | single | {"labels": [*map(written, self.labels)]}

    def _file(self) -> Path:
        path = existing_file(self.path, f"a file of one of: {', '.join(READERS)}")
        if is_too_large(path) and path.suffix.lower() != ".npy":  # whose array stays there
            raise InputError(f"dataset.path={self.path}: its contents do not fit into memory.")
        return path


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


def _printable(name: str) -> str:
    """A name of one line without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in name).strip() or "(no name)"


def _log_zeros(dataset: Dataset) -> None:
    """Say which features and samples hold nothing, or are missing as a whole: they stay, with codes of zero."""
    X = dataset.X
    used = X.count_nonzero if sparse.issparse(X) else X.any
    _log_some(dataset, "all zeros", *(used(axis=axis) == 0 for axis in (1, 0)))
    if not sparse.issparse(X) and np.isnan(X.sum()):
        _log_some(dataset, "missing", *(np.isnan(X).all(axis=axis) for axis in (1, 0)))


def _log_some(dataset: Dataset, what: str, features: NDArray[np.bool_], samples: NDArray[np.bool_]) -> None:
    """Name features and samples, unless there are none, or all: such data are refused."""
    if 0 < features.sum() + samples.sum() < sum(dataset.X.shape):
        shown = _some(features, "features", dataset.feature_names), _some(samples, "samples")
        log.info("dataset=file: %s are %s and %s.", what, *shown)


def _some(flags: NDArray[np.bool_], kind: str, names: list[str] | None = None) -> str:
    """How many, and the first of them."""
    found = np.flatnonzero(flags)
    shown = [names[i] if names else str(i) for i in found[:NAMED]] + ["..."] * (len(found) > NAMED)
    return f"{len(found)} of {len(flags)} {kind}" + (f" ({', '.join(shown)})" if shown else "")
