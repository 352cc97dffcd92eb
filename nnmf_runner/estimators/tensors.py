"""What the estimators of methods for tensors share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_finite, shown, split_missing
from nnmf_runner.core.linalg import Matrix, in_order
from nnmf_runner.datasets.files.contents import ContentError, Coordinates
from nnmf_runner.datasets.modes import unfolded
from nnmf_runner.estimators.factorisation import Factorisation
from nnmf_runner.methods import Method
from nnmf_runner.store.model import SavedModel


class TensorFactorisation(Factorisation):
    """X is an array of shape (n_samples, d_1, ..., d_{N-1}) and of at least three dimensions.

    A sparse one is an object with `coords`, `data` and `shape`, such as a ``coo_array`` of scipy or a ``COO`` of pydata
    sparse.

    Attributes
    ----------
    factors_ : list of ndarray
        First the topics of layer 0 in all modes but that of the samples, stacked vertically, of shape (sum d_i, k_0);
        then, for every further layer, the weights by which it sums the topics of the layer below, of shape
        (k_{l-1}, k_l).
    topics_ : list of list of ndarray of shape (d_i, k_l)
        The topics of every layer in all modes but that of the samples: ``topics_[l][i]`` are those of layer l in mode
        i, which is axis i + 1 of X.
    components_ : ndarray of shape (k_L, sum d_i)
        The last layer's topics in all modes but that of the samples, side by side.  Every mode has the same share of a
        row, which is as long as the topic is in the data.
    n_features_in_ : int
        The product of the sizes of all modes but that of the samples.
    """

    topics_: list[list[Matrix]]

    def _read(
        self, X: Any, mask: Any, method: Method, dtype: str, *, zeros: bool = False
    ) -> tuple[Any, NDArray[np.bool_] | None, tuple[int, ...] | None]:
        """See `Factorisation._read`."""
        given = _as_array(X)
        if len(given.shape) < 3 or 0 in given.shape:
            raise InputError(
                f"X has shape {tuple(given.shape)}, expected a tensor of at least three dimensions, none of size zero: "
                "(n_samples, d_1, d_2, ...)."
            )
        try:
            columns = unfolded(given, 0)
        except ContentError as error:
            raise InputError(f"X cannot be used: {error}.") from None
        if mask is not None and np.shape(mask) == tuple(given.shape):
            mask = np.reshape(mask, (len(mask), -1)).T
        columns, known = split_missing(columns, "X", mask, signed=method.sign_free, zeros=zeros, dtype=dtype)
        return in_order(columns), known, tuple(map(int, given.shape[1:]))

    def _check_features(self, n_features: int, sizes: tuple[int, ...] | None) -> None:
        """See `Factorisation._check_features`."""
        if sizes != (expected := self._sizes):
            raise InputError(
                f"X has samples of shape {sizes}, but {type(self).__name__} is expecting samples of shape {expected}."
            )

    def _shaped(self, rows: Matrix) -> NDArray[Any]:
        """See `Factorisation._shaped`."""
        return rows.reshape(len(rows), *self._sizes)

    def _own_attributes(self, model: SavedModel) -> dict[str, Any]:
        """See `Factorisation._own_attributes`."""
        topics = [model.method.mode_topics(model.fit, level)[:-1] for level in range(len(model.fit.A))]
        for modes in topics:
            for array in modes:
                array.setflags(write=False)
        return {"topics_": topics}

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Sizes of the modes of the fit but that of the samples."""
        return tuple(len(array) for array in self.topics_[0])


def _as_array(X: Any) -> Any:
    """A dense array of any number of dimensions, or the coordinates of a sparse one."""
    if sparse.issparse(X) and X.ndim > 2:
        X = X.tocoo()
    if sparse.issparse(X) and X.ndim < 3:
        return X  # which is too few dimensions
    if all(hasattr(X, name) for name in ("coords", "data", "shape")):
        return _coordinates(X)
    try:
        return X if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
    except ValueError:
        raise InputError("X has samples of different shapes, expected one shape for all.") from None


def _coordinates(X: Any) -> Coordinates:
    """The coordinates of a sparse array, which is zero where it has no entry."""
    if np.any(np.asarray(getattr(X, "fill_value", 0)) != 0):
        raise InputError(f"X is {shown(X.fill_value)} where it has no entry, expected zero.")
    try:
        shape = tuple(map(int, X.shape))
    except (TypeError, ValueError):
        raise InputError(f"X has {shown(X.shape)} as its shape, expected sizes of its modes.") from None
    data = np.asarray(X.data)
    found = Coordinates(np.array(X.coords), check_finite(data, "X", vector=True) if data.size else data, shape)
    try:
        found.check("X")
    except ContentError as error:
        raise InputError(f"{error}.") from None
    return found
