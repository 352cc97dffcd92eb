"""Class labels as Python users hand them over, in one level or several, and what predicts them from codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.label_costs import label_map
from nnmf_runner.core.linalg import Matrix, nearest
from nnmf_runner.methods import Fit


@dataclass(frozen=True)
class Target:
    """Class labels of the samples of a fit.

    Attributes
    ----------
    classes : list of ndarray of shape (c_j,)
        The classes of every level, sorted; empty where no label of the level is known.
    indices : list of ndarray of int, shape (n_samples,)
        The class of every sample, by level; -1 where it is unknown.
    has_columns : bool
        Whether y had one column per level, rather than a single level and no columns.
    """

    classes: list[NDArray[Any]]
    indices: list[NDArray[np.intp]]
    has_columns: bool

    @property
    def counts(self) -> list[float]:
        """Number of classes of every level; infinite, and so never the nearest to a rank, where none is known."""
        return [len(classes) or np.inf for classes in self.classes]

    @property
    def labelled(self) -> list[int]:
        """Number of labelled samples of every level."""
        return [int((indices >= 0).sum()) for indices in self.indices]

    def predictors(
        self, levels: dict[int, int], fit: Fit, encode: Callable[[], list[Matrix]]
    ) -> tuple[list[int | None], list[Matrix | None]]:
        """The layer that every level is predicted from, and its map; None where no label of the level is known.

        That is the last layer which the level supervises, and the map of the fit; or else the last one of those whose
        rank is nearest to its number of classes, and the best map in the sense of least squares, shape (c_j, k_l).
        `levels` has the level that supervises a layer, by the layer.  Where the codes of every layer are needed as new
        data get them, shapes (k_l, n_samples), `encode` is called for them.
        """
        supervised = {level: layer for layer, level in sorted(levels.items())}
        ranks = [factor.shape[1] for factor in fit.A]
        layers: list[int | None] = []
        maps: list[Matrix | None] = []
        codes: list[Matrix] = []
        for level, (classes, indices) in enumerate(zip(self.classes, self.indices, strict=True)):
            if not len(classes):
                layers.append(None)
                maps.append(None)
            elif level in supervised:
                layers.append(supervised[level])
                maps.append(fit.maps[supervised[level]])
            else:
                layer = len(ranks) - 1 - nearest(ranks[::-1], len(classes))  # the last of equally near ones
                codes, known = codes or encode(), indices >= 0
                one_hot = np.eye(len(classes))[:, indices[known]]
                layers.append(layer)
                maps.append(np.asarray(label_map(codes[layer][:, known], one_hot), order="C"))
        return layers, maps


def read_target(y: Any, n: int) -> Target:
    """The labels y of n samples that are to be learnt, array_like or a data frame of shape (n,) or (n, n_levels).

    They are integers or strings, every column of its own kind; -1 where unknown.  Raise an `InputError` if y has
    another shape, is not of class labels, or knows one class only of a level.
    """
    columns, shape = _columns(y)
    if not columns or shape[0] != n:
        raise InputError(
            f"y has shape {shape}, expected ({n},) or ({n}, n_levels): one class label per sample, or one for each "
            "level."
        )
    target = Target([], [], len(shape) == 2)
    for name, column in _named(columns, target.has_columns):
        column, known = as_labels(column, name)
        indices = np.full(n, -1)
        classes, indices[known] = np.unique(column[known], return_inverse=True)
        if len(classes) == 1:
            raise InputError(f"{name} has one class, {classes[0]}, expected at least two, or y=None.")
        target.classes.append(classes)
        target.indices.append(indices)
    return target


def share_right(found: Sequence[NDArray[Any]], y: Any, has_columns: bool) -> float:
    """The share of known labels that were found, by level and each of shape (n_samples,), over all levels.

    The true ones, y, are -1 where unknown; their shape is (n_samples,) or, with columns, (n_samples, n_levels).  Raise
    an `InputError` if y has the other shape, is not of class labels or knows none.
    """
    columns, shape = _columns(y)
    expected = (len(found[0]), len(found)) if has_columns else found[0].shape
    if shape != expected:
        raise InputError(f"y has shape {shape}, expected {expected}: one class label per sample and level, as in fit.")
    right = []
    for (name, column), labels in zip(_named(columns, has_columns), found, strict=True):
        column, known = as_labels(column, name)
        right.append(labels[known] == column[known])
    if not sum(map(len, right)):
        raise InputError("y has no labelled sample to score. Expected at least one class label, or y=None.")
    return float(np.mean(np.concatenate(right)))


def as_labels(column: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Class labels of one level, and which of them are known, both of shape (n,).

    Raise an `InputError` if they are neither integers nor strings.
    """
    if column.dtype == object:
        plain = np.asarray(column.tolist()) if all(isinstance(label, (int, np.integer)) for label in column) else column
        column = plain if plain.dtype.kind in "bi" else column
    if column.dtype == object:
        known = np.array([not isinstance(label, (int, np.integer)) or label != -1 for label in column], dtype=bool)
        is_label = all(isinstance(label, str) for label in column[known])
    else:
        known = column != -1 if column.dtype.kind in "if" else np.ones(len(column), bool)
        kind = column.dtype.kind
        whole = kind == "f" and bool(np.isfinite(column).all()) and np.array_equal(column, np.floor(column))
        is_label = kind in "iubU" or whole
    if not is_label:
        raise InputError(
            f"{name} is of type {column.dtype}, expected class labels: integers or strings, and -1 where unknown "
            "(label_weight=None leaves y out)."
        )
    return column, known


def predicted(classes: NDArray[Any], B: Matrix | None, S: Matrix | None, n: int) -> NDArray[Any]:
    """The classes of n samples by their codes S of shape (k, n) and a map B; -1 where there is none."""
    return np.full(n, -1) if B is None or S is None else classes[np.argmax(B @ S, axis=0)]


def side_by_side(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Labels by level as one array of shape (n, n_levels), of objects where the levels differ in their kind."""
    if len({column.dtype.kind for column in columns}) == 1:
        return np.column_stack(columns)
    mixed = np.empty((len(columns[0]), len(columns)), dtype=object)
    for level, column in enumerate(columns):
        mixed[:, level] = column
    return mixed


def _columns(y: Any) -> tuple[list[NDArray[Any]], tuple[int, ...]]:
    """The levels of y, which are its columns if it has any, and its shape."""
    if hasattr(y, "columns") and hasattr(y, "items"):  # a data frame, whose columns differ in their types
        return [np.asarray(column) for _, column in y.items()], y.shape
    try:
        array = np.asarray(y)
    except ValueError:
        raise InputError("y has rows of different lengths, expected one class label per sample and level.") from None
    if array.dtype.kind == "U" and not hasattr(y, "dtype"):  # numpy made strings of numbers beside strings
        given = np.asarray(y, dtype=object)
        array = array if all(isinstance(label, str) for label in given.flat) else given
    if array.ndim not in (1, 2):
        raise InputError(f"y has shape {array.shape}, expected one or two dimensions: samples, and levels of labels.")
    return [array] if array.ndim == 1 else list(array.T), array.shape


def _named(columns: Sequence[NDArray[Any]], has_columns: bool) -> list[tuple[str, NDArray[Any]]]:
    """The columns with what they are called in messages."""
    return [(f"y[:, {level}]" if has_columns else "y", column) for level, column in enumerate(columns)]
