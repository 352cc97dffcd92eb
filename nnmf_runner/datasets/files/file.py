"""Data from a file of the user's own."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_number, split_missing
from nnmf_runner.core.linalg import DTYPES, canonical
from nnmf_runner.datasets.base import SIDES, TEXT_OR_LIST, Dataset
from nnmf_runner.datasets.files.beside import Entries, located, read_entries
from nnmf_runner.datasets.files.bounds import is_too_large
from nnmf_runner.datasets.files.cells import as_text, printable
from nnmf_runner.datasets.files.contents import NAMES, ContentError, Contents, Coordinates, Grid, Layout
from nnmf_runner.datasets.files.labels import read_classes, read_known
from nnmf_runner.datasets.files.readers import READERS, read
from nnmf_runner.datasets.files.reading import absolute, content_digest, existing_file
from nnmf_runner.datasets.files.tables import DECIMALS, check_delimiter, check_encoding
from nnmf_runner.datasets.files.tns import LARGEST_INDEX
from nnmf_runner.datasets.modes import LARGEST_SIDE, Modes, check_order, unfolded, used_entries
from nnmf_runner.datasets.pictures import ORDERS, SAMPLES, Pictures, as_samples, check_image_options, pictures
from nnmf_runner.datasets.stop_words import keeps, stop_words_anywhere, stop_words_identity
from nnmf_runner.datasets.weighting import Weights, check_weighting, tfidf

log = logging.getLogger(__name__)

ORIENTATIONS = ("samples_by_features", "features_by_samples")
# Stands for a mode whose entries have no names.
NO_NAMES = "null"
# What means nothing to the other kind of data, and what does instead.
MATRICES_ONLY = {
    "orientation": ": dataset.sample_mode says which of its modes is that of the samples",
    "names": ": dataset.entries names the entries of its modes",
    "sample_names": ": dataset.entries names the entries of its modes",
    "weighting": "",
    "stop_words": "",
}
TENSORS_ONLY = {
    "sample_mode": ": dataset.orientation says whether its rows are the samples",
    "mode_names": "",
    "entries": ": dataset.names and dataset.sample_names name its features and samples",
}
# How many keys that are not used, and features and samples that are all zeros, are named in the log.
NAMED = 5


@dataclass
class File(Weights):
    """A matrix or tensor from a file, with labels where it has some.  The suffix says how it is read, see `READERS`.

    Labels, names and known samples are keys of the file, or files of their own: ``FILE`` or ``FILE:KEY``, see `beside`.

    Parameters
    ----------
    path : str
        The file; a relative one starts at the working directory.  Floats of a ``.npy`` file of 128 MB or more stay in
        it: such a file may be larger than the memory, but must not change during a run.
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
    sample_mode : int, optional
        Mode of a tensor, an array of more than two dimensions, whose entries are the samples; by default the first, 0.
    mode_names : list of str
        What the modes of a tensor are called, in the order of the file; by default "mode 0" and so on.
    entries : list of str
        Keys or files of the names of the entries of every mode of a tensor, in the order of the file; ``null`` stands
        for a mode whose entries have none.
    shape : list of int
        Sizes of the modes of a ``.tns`` file, which does not say them: by default the largest index of every mode.
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
    decimal : str
        Decimal mark of a table: a point or a comma.
    encoding : str
        Encoding of text.
    image_shape : list of int, optional
        Height and width of samples that are pictures, whose topics are then drawn as pictures; or bands, height and
        width of one picture whose pixels are the samples and whose bands are the features, as in a spectral cube: then
        codes are drawn as maps and topics as spectra, over the features' names if these are numbers.
    image_order : {"rows", "columns"}
        What of a picture follows each other among its pixels: its rows, or its columns as where MATLAB has flattened
        it.  An array of three dimensions is flattened by these options, whatever its orientation; without them it is a
        tensor.
    weighting : {"tfidf"}, optional
        How counts are weighted, see `Weights`; by default not at all.
    stop_words : str or list of str, optional
        Names of features that are left out: ``english``, a file of words, or the words, see `read_stop_words`.
    seed_words : str, optional
        A YAML file of topics with some of the features' names, such as ``space: [orbit, shuttle]``: topics of the first
        layer, in this order, start from more of these than `init` gives them, and are fitted like all others.
    idf, norm, sublinear
        See `Weights`.
    """

    name: ClassVar[str] = "file"
    draws: ClassVar[bool] = False
    path: str = ""
    x: str | None = None
    labels: list[str] = field(default_factory=list)
    names: str | None = None
    sample_names: str | None = None
    known: str | None = None
    known_base: int | None = None
    orientation: str = ORIENTATIONS[0]
    sample_mode: int | None = None
    mode_names: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    header: bool | None = None
    index: str | None = Layout.index
    exclude: list[str] = field(default_factory=list)
    delimiter: str | None = None
    decimal: str = Layout.decimal
    encoding: str = Layout.encoding
    image_shape: list[int] | None = field(default=None, metadata=SIDES)
    image_order: str = ORDERS[0]
    weighting: str | None = None
    stop_words: Any = field(default=None, metadata=TEXT_OR_LIST)
    seed_words: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weighting(self.weighting, self)
        stop_words_identity(self.stop_words)  # refuses what stands for no words
        check_choice(self.orientation, ORIENTATIONS, "dataset.orientation")
        check_image_options(self.image_shape, self.image_order)
        if self.sample_mode is not None:
            check_number(self.sample_mode, "dataset.sample_mode", low=0, integer=True)
        for i, size in enumerate(self.shape):
            check_number(size, f"dataset.shape[{i}]", low=1, high=LARGEST_INDEX, integer=True)
        if self.known_base is not None:
            check_number(self.known_base, "dataset.known_base", low=0, high=1, integer=True)
            if self.known is None:
                raise InputError(
                    f"dataset.known_base={self.known_base} changes nothing without dataset.known. Expected both."
                )
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
            contents = self._contents()
            grid = self._sized(contents.grid(self.x, self._references))
            dataset = self._dataset(contents, grid)
            self._check(dataset.X)
        except ContentError as error:
            raise InputError(f"dataset.path={self.path}: {error}.") from None
        except MemoryError:
            raise InputError(f"dataset.path={self.path}: its contents do not fit into memory.") from None
        self._log(contents, grid, dataset)
        return dataset

    def _contents(self) -> Contents:
        return read(self._file(), self._layout)

    def _check(self, X: Any) -> None:
        # The method is to say whether it takes negative entries, or none that is positive.
        split_missing(X, f"dataset.path={self.path}: X", signed=True, zeros=True, dtype=None)

    def _log(self, contents: Contents, grid: Grid, dataset: Dataset) -> None:
        """Say what was guessed and what there is nothing of; no line of it goes before an error."""
        for note in grid.notes:
            log.info("dataset=file: %s.", note)
        if unused := contents.unused:
            shown = [*unused[:NAMED], *([f"{len(unused) - NAMED} more"] if len(unused) > NAMED else [])]
            log.info(
                "dataset=file: not used of the file: %s (options such as dataset.labels say what is).", ", ".join(shown)
            )
        if dataset.modes is not None and self.sample_mode is None:
            said = "mode 0 of a tensor is that of the samples (dataset.sample_mode chooses another one)"
            log.info("dataset=file: %s.", said)
        for key, labels in zip(self.labels, dataset.labels, strict=True):
            if unlabelled := int((labels < 0).sum()):
                log.info("dataset=file: %s has no label for %d of %d samples.", key, unlabelled, len(labels))
            if len(labels) - unlabelled == labels.max() + 1 > 2:
                log.info("dataset=file: %s has a class of its own for every sample that has a label.", key)
        self._log_zeros(dataset)
        names = dataset.feature_names or []
        if twice := len(names) - len({*names}):
            log.info("dataset=file: %d features have a name that another one has before them.", twice)

    def _log_zeros(self, dataset: Dataset) -> None:
        with np.errstate(invalid="ignore"):  # a file may hold NaN that signal
            _log_zeros(dataset)

    def _dataset(self, contents: Contents, grid: Grid) -> Dataset:
        modes = self._modes(contents, grid.values.shape)
        found = self._oriented(grid) if modes is None else self._unfolded(grid, modes)
        X, (m, n) = found.values, found.values.shape
        shown = None if self.image_shape is None else pictures(self.image_shape, self.image_order, m, n)
        features = self._names(contents, m, found.rows) if modes is None else None
        samples = found.columns if self.sample_names is None else self._given(contents, self.sample_names, n, None)
        levels = [read_classes(self._entries(contents, key, n, samples, shown).values, key, n) for key in self.labels]
        known = None
        if self.known is not None:
            entries = self._entries(contents, self.known, n, samples, shown, exact=False)
            base = entries.index_base if self.known_base is None else self.known_base
            known = read_known(entries.values, self.known, n, base)
        if self.stop_words is not None:
            X, features = self._without_stop_words(X, features)
        weights = None
        if self.weighting is not None:
            X, idf = tfidf(X, self, f"dataset.path={self.path}: X")
            weights = self.kept(idf)
        return Dataset(
            self.name,
            X,
            [level.indices for level in levels],
            class_names=[[*map(printable, level.names)] for level in levels],
            feature_names=None if features is None else [*map(printable, features)],
            sample_names=None if samples is None else [*map(printable, samples)],
            known=known,
            pictures=shown,
            modes=modes,
            weights=weights,
        )

    def _sized(self, grid: Grid) -> Grid:
        """A grid with the sizes that an option says, which a file of lines of entries does not."""
        shape, values = tuple(self.shape), grid.values
        if not shape or shape == values.shape:
            return grid
        if not isinstance(values, Coordinates) or len(shape) != values.ndim:
            raise ContentError(f"dataset.shape={[*shape]} is not the shape of the data, which is {values.shape}")
        sized = dataclasses.replace(values, shape=shape)
        sized.check(f"with dataset.shape={[*shape]} it")
        return dataclasses.replace(grid, values=sized)

    def _modes(self, contents: Contents, shape: Sequence[int]) -> Modes | None:
        """The modes of a tensor of this shape, with names where options refer to some; None for a matrix."""
        is_tensor = len(shape) != 2 and self.image_shape is None
        only, others = (MATRICES_ONLY, "a tensor") if is_tensor else (TENSORS_ONLY, "a matrix")
        for name, instead in only.items():
            if getattr(self, name) not in (None, [], ORIENTATIONS[0]):
                raise ContentError(f"dataset.{name} means nothing to {others}, data of shape {tuple(shape)}{instead}")
        if not is_tensor:
            return None
        check_order(shape, self._sample_mode)
        for name, given in (("mode_names", self.mode_names), ("entries", self.entries)):
            if len(given) not in (0, len(shape)):
                raise ContentError(
                    f"dataset.{name} has {len(given)} entries, expected one for each of {len(shape)} modes"
                )
        entries = [
            None if each == NO_NAMES else self._given(contents, each, size, None)
            for each, size in zip(self.entries, shape, strict=False)
        ]
        named = [names and [*map(printable, names)] for names in entries]
        return Modes.of(shape, self._sample_mode, [*map(printable, self.mode_names)] or None, named or None)

    @property
    def _sample_mode(self) -> int:
        return self.sample_mode or 0

    def _unfolded(self, grid: Grid, modes: Modes) -> Grid:
        """The tensor of a file as doubles, or as a sparse matrix in CSC form, with fibres as rows, shape (m, n)."""
        X = unfolded(grid.values, self._sample_mode)
        return Grid(X if sparse.issparse(X) else _doubles(X), columns=modes.entries[-1])

    def _oriented(self, grid: Grid) -> Grid:
        """The matrix of a file as doubles, or as a sparse matrix in CSR form, with features as rows, shape (m, n)."""
        values, features, samples = grid.values, grid.columns, grid.rows
        if isinstance(values, Coordinates) and values.ndim == 2:
            values = unfolded(values, 1)
        stack = isinstance(values, np.ndarray) and values.ndim == 3 and self.image_shape is not None
        if stack:
            values = as_samples(values, self.image_shape or (), self.image_order)
        if values.ndim != 2:
            said = f"the data have {values.ndim} dimensions with shape {values.shape}"
            raise ContentError(f"{said}, expected 2, or 3 of a dense array, with dataset.image_shape")
        if stack or self.orientation == ORIENTATIONS[0]:
            values = values.T
        else:
            features, samples = samples, features
        return Grid(_csr(values) if sparse.issparse(values) else self._dense(values), features, samples)

    def _dense(self, values: Any) -> Any:
        return _doubles(values)

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
        return [*self.labels, *self.entries, *filter(None, (self.names, self.sample_names, self.known))]

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
            which = "dataset.sample_mode" if self.entries else "dataset.orientation"
            raise ContentError(f"{reference} has {len(found)} names, expected {count} (see {which})")
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
        del options["seed_words"]  # without which the data are the same
        single = {name: written(options[name]) for name in ("names", "sample_names", "known") if options[name]}
        several = {name: [*map(written, options[name])] for name in ("labels", "entries")}
        return options | single | several

    @property
    def recipe(self) -> dict[str, Any] | None:
        """See `Weights.recipe`."""
        return None if self.weighting is None else super().recipe

    def as_counts(self, recipe: Mapping[str, Any], **changes: Any) -> File:
        """See `Weights.as_counts`."""
        return super().as_counts(recipe, weighting=None, **asdict(Weights()), **changes)

    def _file(self) -> Path:
        path = existing_file(self.path, f"a file of one of: {', '.join(READERS)}")
        if is_too_large(path) and path.suffix.lower() != ".npy":  # whose array stays there
            raise InputError(f"dataset.path={self.path}: its contents do not fit into memory.")
        return path


def _doubles(values: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """An array of doubles by rows; one that is mapped from a file stays there, in its order and precision."""
    if isinstance(values, np.memmap) and values.dtype in DTYPES:
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


def _log_zeros(dataset: Dataset) -> None:
    """Say which features and samples hold nothing, or are missing as a whole: they stay, with codes of zero."""
    X = dataset.X
    if dataset.modes is not None:
        _log_empty_entries(dataset.modes, used_entries(X, dataset.modes))
        return
    used = X.count_nonzero if sparse.issparse(X) else X.any
    _log_some(dataset, "all zeros", *(used(axis=axis) == 0 for axis in (1, 0)))
    if not sparse.issparse(X) and np.isnan(X.sum()):
        _log_some(dataset, "missing", *(np.isnan(X).all(axis=axis) for axis in (1, 0)))


def _log_empty_entries(modes: Modes, used: Sequence[NDArray[np.intp]]) -> None:
    """Say which entries of the modes of a tensor hold nothing, unless there are none, or all."""
    shown = []
    for size, name, entries, found in zip(modes.shape, modes.names, modes.entries, used, strict=True):
        if 0 < len(found) < size:
            first = np.setdiff1d(np.arange(min(size, len(found) + NAMED)), found)
            shown.append(_some(size - len(found), first, size, f"entries of {name}", entries))
    if shown:
        log.info("dataset=file: all zeros are %s.", " and ".join(shown))


def _log_some(dataset: Dataset, what: str, features: NDArray[np.bool_], samples: NDArray[np.bool_]) -> None:
    """Name features and samples, unless there are none, or all: such data are refused."""
    if 0 < features.sum() + samples.sum() < sum(dataset.X.shape):
        found = [np.flatnonzero(flags) for flags in (features, samples)]
        each = zip(found, dataset.X.shape, ("features", "samples"), (dataset.feature_names, None), strict=True)
        shown = [_some(len(indices), indices, size, kind, names) for indices, size, kind, names in each]
        log.info("dataset=file: %s are %s and %s.", what, *shown)


def _some(count: int, first: NDArray[np.intp], among: int, kind: str, names: Sequence[str] | None) -> str:
    """How many, and the first of them."""
    shown = [names[i] if names else str(i) for i in first[:NAMED]] + ["..."] * (count > NAMED)
    return f"{count} of {among} {kind}" + (f" ({', '.join(shown)})" if shown else "")
