"""What every dataset gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.files import digest

Labels = NDArray[np.intp]


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

    A: list[NDArray[np.floating[Any]]]
    S: list[NDArray[np.floating[Any]]]
    feature_labels: list[Labels]


@dataclass(frozen=True)
class Dataset:
    """Data with what is known about them.

    Attributes
    ----------
    name : str
    X : ndarray or sparse matrix of shape (m, n)
        Nonnegative, columns are samples; NaN where an entry of dense data is missing.
    labels : list of ndarray of shape (n,)
        Class indices from 0, one array a level, finest first; empty if there are none.
    truth : Truth or None
    feature_names : list of str or None
        What every feature is called, such as its word.
    image_shape : tuple of int or None
        Height and width, where a sample is an image whose rows follow each other.
    """

    name: str
    X: Any
    labels: list[Labels] = field(default_factory=list)
    truth: Truth | None = None
    feature_names: list[str] | None = None
    image_shape: tuple[int, int] | None = None

    def level(self, classes: int) -> int | None:
        """The label level whose number of classes is nearest to `classes`; None without labels."""
        if not self.labels:
            return None
        counts = [len(np.unique(labels)) for labels in self.labels]
        return int(np.argmin([abs(count - classes) for count in counts]))

    def fingerprint(self) -> str:
        """Hash of the data: two equal ones hold the same numbers."""
        parts = [self.X.data, self.X.indices, self.X.indptr] if sparse.issparse(self.X) else [self.X]
        return digest([*parts, *self.labels, np.array(self.X.shape)])


def read_mask(path: str) -> NDArray[Any]:
    """Read an array from a ``.npy`` file.

    Raises
    ------
    InputError
        If there is no such file, or it is not one of an array of plain values.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"mask={path} cannot be read: {reason}. Expected a .npy file of booleans.") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"mask={path} holds several arrays. Expected a .npy file of booleans.")
    return array


class Source(Protocol):
    """A dataset by its options.  Implementations are dataclasses whose fields are the options."""

    name: ClassVar[str]

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read or generate the data; `rng` gives what is random about them."""
