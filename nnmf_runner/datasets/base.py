"""What every dataset gives."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import MOST, InputError, shown
from nnmf_runner.core.linalg import nearest
from nnmf_runner.core.sharded import ShardedMatrix
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets.files.npy import read_npy
from nnmf_runner.datasets.modes import Modes, TensorTruth
from nnmf_runner.datasets.pictures import SAMPLES, Pictures, as_numbers
from nnmf_runner.store.files import digest

Labels = NDArray[np.intp]
# Of a field of a source for text or a list of it; its type is Any, since OmegaConf has none for both.
TEXT_OR_LIST = {"text or list": True}
# Of a field of a source for the height and width of pictures, or what stands before them.
SIDES = {"sides": True}


@dataclass(frozen=True)
class Truth:
    """A planted hierarchy.

    Attributes
    ----------
    A : list of ndarray of shape (k_{l-1}, k_l)
        True factors; the columns of ``A_0 ... A_l`` are the topics of level l, up to scale.
    S : list of ndarray of shape (k_l, n)
        True codes of every level.
    feature_labels : list of ndarray of shape (m,)
        Topic that every feature belongs to, finest level first.
    """

    A: Sequence[NDArray[np.floating[Any]]]
    S: Sequence[NDArray[np.floating[Any]]]
    feature_labels: list[Labels]


@dataclass(frozen=True)
class Dataset:
    """Data with what is known about them.

    Attributes
    ----------
    name : str
    X : ndarray or sparse matrix of shape (m, n)
        Columns are samples; nonnegative but for some files; NaN where an entry of dense data is missing.
    labels : list of ndarray of shape (n,)
        Class indices from 0, -1 where a sample has no label, one array per level, finest first; empty if there are
        none.
    truth : Truth or None
    feature_names : list of str or None
        What every feature is called, such as its word.
    known : ndarray of bool, shape (n,), or None
        Samples whose label a method may see, where the data say so themselves.
    class_names : list of list of str
        What every class is called, one list per level in the order of the indices; empty if they have no names.
    sample_names : list of str or None
        What every sample is called.
    pictures : Pictures or None
        Where the features, or the samples, are pixels.
    modes : Modes or None
        Of a tensor, whose fibres are the features of X; sparse X is stored by columns then and may have far more
        features than entries.
    tensor_truth : TensorTruth or None
        A planted hierarchy of a tensor.
    weights : dict or None
        How counts were weighted, where X holds such weights: ``{"options": ..., "idf": ...}``, see `Vocabulary`.
    """

    name: str
    X: Any
    labels: list[Labels] = field(default_factory=list)
    truth: Truth | None = None
    feature_names: list[str] | None = None
    known: NDArray[np.bool_] | None = None
    class_names: list[list[str]] = field(default_factory=list)
    sample_names: list[str] | None = None
    pictures: Pictures | None = None
    modes: Modes | None = None
    tensor_truth: TensorTruth | None = None
    weights: dict[str, Any] | None = None

    @functools.cached_property  # a sweep asks for it again and again
    def classes(self) -> list[int]:
        """Number of classes of every level, of those that a sample is labelled with."""
        return [len(np.unique(labels[labels >= 0])) for labels in self.labels]

    @property
    def counts(self) -> list[float]:
        """Number of classes of every level; infinite, and so never the nearest to a rank, where there is no label."""
        return [classes or np.inf for classes in self.classes]

    @property
    def words(self) -> list[str] | None:
        """Names of features that tell what a topic is about: not those of pixels, nor numbers that name bands."""
        if self.pictures is None:
            return self.feature_names
        bands = self.pictures.of == SAMPLES and as_numbers(self.feature_names) is None
        return self.feature_names if bands else None

    def level(self, classes: int) -> int | None:
        """The label level whose number of classes is nearest to `classes`; None without labels."""
        return nearest(self.counts, classes) if any(self.classes) else None

    def fingerprint(self) -> str:
        """Hash of the data: two equal ones hold the same numbers."""
        if isinstance(self.X, ShardedMatrix):
            return self.X.source.key
        parts = [self.X.data, self.X.indices, self.X.indptr] if sparse.issparse(self.X) else [self.X.T]
        shape = self.X.shape if self.modes is None else self.modes.shape
        return digest([*parts, *self.labels, np.array(shape)])


def read_mask(path: str) -> NDArray[np.bool_]:
    """Read an array of booleans from a ``.npy`` file; again only if the file has changed since the last time.

    If there is no such file, or it is not one of an array of booleans, that is an InputError.
    """
    return _read_mask(path, file_state(path))[0]


def mask_digest(path: str) -> str:
    """A short hash of what `read_mask` returns, by which two files of the same mask are equal."""
    return _read_mask(path, file_state(path))[1]


def file_state(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file, by which another content is noticed; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # no such file, or no name of one
        return None
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=1)
def _read_mask(path: str, state: tuple[int, int] | None) -> tuple[NDArray[np.bool_], str]:
    """The mask in a file of this state, and its hash."""
    expected = "Expected a .npy file of booleans."
    try:
        array = read_npy(Path(path))
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"mask={path} cannot be read: {reason}. {expected}") from None
    if array.dtype != bool:
        raise InputError(f"mask={path} is of type {array.dtype}. {expected}")
    array.flags.writeable = False
    return array, digest([array])


def check_entries(features: int, samples: int, options: str) -> None:
    """Raise an `InputError` if dense data of this shape, made by these options, have more than `MOST` entries."""
    if features * samples > MOST:
        raise InputError(
            f"{options} ask for {shown(features)} x {shown(samples)} entries. "
            f"Expected at most {MOST:g} in all, which take {8e-9 * MOST:g} GB."
        )


class Source(Protocol):
    """A dataset by its options.  Implementations are dataclasses whose fields are the options.

    Those whose data are the same whatever the seed say so by a class attribute ``draws = False``.
    """

    name: ClassVar[str]

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read or generate the data; `rng` gives what is random about them, and most sources draw nothing.

        Raises
        ------
        InputError
            If what they are read from is missing, unreadable or not as the options say, or a package is missing.
        """


class Loader:
    """Loads datasets and remembers the last one, since the runs of a sweep mostly share theirs."""

    def __init__(self) -> None:
        self._identity: Any = None
        self._seed: int | None = None
        self._dataset: Dataset | None = None

    def load(self, source: Source, identity: Any, seed: int) -> Dataset:
        """The dataset of a source for a seed, which does not matter where the source draws nothing.

        The `identity` is equal for sources that give the same.
        """
        if self._dataset is None or self._identity != identity or self._seed not in (None, seed):
            self._dataset = None  # two large ones need not stand side by side
            rng = stream(seed, "data")
            untouched = rng.bit_generator.state
            self._dataset = source.load(rng)
            self._identity, self._seed = identity, None if rng.bit_generator.state == untouched else seed
        return self._dataset
