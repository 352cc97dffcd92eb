"""Class labels as Python users hand them over, in one level or several, and what predicts them from codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, is_missing, masked
from nnmf_runner.core.label_costs import classify, label_map, majority
from nnmf_runner.core.linalg import Matrix, nearest
from nnmf_runner.methods import Fit

# What stands for no label beside what is masked or missing; the text is what numpy makes of -1 among strings.
UNLABELLED = (-1, "-1", "")


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

    @property
    def majorities(self) -> list[int | None]:
        """The class of most labelled samples of every level, see `majority`; None where none is known."""
        return [
            majority(indices[indices >= 0]) if len(c) else None
            for c, indices in zip(self.classes, self.indices, strict=True)
        ]

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
                maps.append(np.asarray(label_map(codes[layer][:, known], one_hot), codes[layer].dtype, order="C"))
        return layers, maps


def read_target(y: Any, n: int) -> Target:
    """The labels y of n samples that are to be learnt, array_like or a data frame of shape (n,) or (n, n_levels).

    They are integers or strings, every column of its own kind, and unknown as `known_labels` says.  Raise an
    `InputError` if y has another shape, is not of class labels, or knows one class only of a level.
    """
    columns, shape = _columns(y)
    if not columns or shape[0] != n:
        raise InputError(
            f"y has shape {shape}, expected ({n},) or ({n}, n_levels): one class label per sample, or one for each "
            "level."
        )
    target = Target([], [], len(shape) == 2)
    for name, column in _named(columns, target.has_columns):
        labels, known = known_labels(column, name)
        indices = np.full(n, -1)
        classes, indices[known] = np.unique(labels, return_inverse=True)
        if len(classes) == 1:
            raise InputError(f"{name} has one class, {classes[0]}, expected at least two, or y=None.")
        target.classes.append(classes)
        target.indices.append(indices)
    return target


def share_right(found: Sequence[NDArray[Any]], y: Any, has_columns: bool) -> float:
    """The share of known labels that were found, by level and each of shape (n_samples,), over all levels.

    The true ones, y, are unknown as `known_labels` says; their shape is (n_samples,) or, with columns,
    (n_samples, n_levels).  Raise an `InputError` if y has the other shape, is not of class labels or knows none.
    """
    columns, shape = _columns(y)
    expected = (len(found[0]), len(found)) if has_columns else found[0].shape
    if shape != expected:
        raise InputError(f"y has shape {shape}, expected {expected}: one class label per sample and level, as in fit.")
    right = []
    for (name, column), predictions in zip(_named(columns, has_columns), found, strict=True):
        labels, known = known_labels(column, name)
        right.append(predictions[known] == labels)
    if not sum(map(len, right)):
        raise InputError("y has no labelled sample to score. Expected at least one class label, or y=None.")
    return float(np.mean(np.concatenate(right)))


def known_labels(column: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The class labels of one level that are known, and which of the n samples they belong to, shape (n,).

    A label is unknown if it is masked, `is_missing`, or one of `UNLABELLED`.  Raise an `InputError` if the known ones
    are neither integers nor strings.
    """
    hidden, column = masked(column), np.asarray(column)
    unknown = _is_unlabelled(column) if hidden is None else hidden | _is_unlabelled(column)
    labels = _of_one_kind(column[~unknown])
    if not _are_labels(labels):
        raise InputError(
            f"{name} is of type {column.dtype}, expected class labels: all integers or all strings, and -1 where "
            "unknown (label_weight=None leaves y out)."
        )
    return labels, ~unknown


def _is_unlabelled(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Where labels of any type are missing or one of `UNLABELLED`, shape (n,)."""
    if column.dtype.kind == "U":
        return np.isin(column, [value for value in UNLABELLED if isinstance(value, str)])
    if column.dtype.kind in "if":
        return np.isnan(column) | (column == -1)
    plain = (int, float, str, np.number)  # of which a comparison is true or false
    unknown = [is_missing(label) or (isinstance(label, plain) and label in UNLABELLED) for label in column]
    return np.array(unknown, dtype=bool)


def _of_one_kind(labels: NDArray[Any]) -> NDArray[Any]:
    """Numbers among objects as numpy types them, if it keeps their values; other labels as they are."""
    numbers = (int, float, np.number, np.bool_)
    if labels.dtype != object or not all(isinstance(label, numbers) for label in labels):
        return labels
    typed = np.asarray(labels.tolist())
    return typed if (typed == labels).all() else labels  # 2**63 beside 1 becomes a float, as 2**63 + 1 does


def _are_labels(labels: NDArray[Any]) -> bool:
    kind = labels.dtype.kind
    if kind == "O":
        return all(isinstance(label, str) for label in labels)
    return kind in "biuU" or (kind == "f" and bool((np.isfinite(labels) & (labels == np.floor(labels))).all()))


def predicted(classes: NDArray[Any], B: Matrix | None, S: Matrix | None, most: int | None, n: int) -> NDArray[Any]:
    """The classes of n samples by their codes S of shape (k, n), a map B and the majority; -1 where there is none."""
    if B is None or S is None or most is None:
        return np.full(n, -1)
    return classes[classify(B, S, most)]


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
        return [_as_given(column) for _, column in y.items()], y.shape
    array = _as_given(y)
    if array.ndim not in (1, 2):
        raise InputError(f"y has shape {array.shape}, expected one or two dimensions: samples, and levels of labels.")
    return [array] if array.ndim == 1 else list(array.T), array.shape


def _as_given(y: Any) -> NDArray[Any]:
    """Labels as an array, of objects where numpy would turn what is missing into text or integers into floats."""
    own = getattr(y, "dtype", None)
    if isinstance(own, np.dtype) and own.kind != "T":
        return y if isinstance(y, np.ma.MaskedArray) else np.asarray(y)
    try:
        hidden, given = masked(y), np.asarray(y, dtype=object)
        if hidden is not None:
            given[hidden] = None
        if any(isinstance(label, (list, tuple, np.ndarray)) for label in given.flat):
            raise ValueError
    except ValueError:
        raise InputError("y has rows of different lengths, expected one class label per sample and level.") from None
    is_text = own is None and all(isinstance(label, str) for label in given.flat)
    return given.astype(str) if is_text else given


def _named(columns: Sequence[NDArray[Any]], has_columns: bool) -> list[tuple[str, NDArray[Any]]]:
    """The columns with what they are called in messages."""
    return [(f"y[:, {level}]" if has_columns else "y", column) for level, column in enumerate(columns)]
