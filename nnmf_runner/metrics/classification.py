"""How well the codes predict the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.label_costs import added, classify, label_sums, majority, map_of
from nnmf_runner.core.linalg import Matrix, column_parts


@dataclass(frozen=True)
class Accuracy:
    """Share of samples whose label a linear map of the codes predicts; samples without a label do not count.

    Attributes
    ----------
    all : float or None
        Over all samples, of the map fitted with the known labels; None if none is known.
    unknown : float or None
        Over the samples whose label is not known; None if no label is known, or all are.
    fit : float or None
        Over all samples, of a linear probe fitted with all labels; None if any was given to the method.
    """

    all: float | None
    unknown: float | None
    fit: float | None


def accuracy(S: Matrix, labels: NDArray[np.intp], known: NDArray[np.bool_]) -> Accuracy:
    """Accuracies of the argmax of ``B S``, where ``B = Y_known S_known^+``.

    Parameters
    ----------
    S : ndarray of shape (k, n)
        Codes.
    labels : ndarray of shape (n,)
        Class indices of all columns, -1 where a column has no label.
    known : ndarray of bool, shape (n,)
        Columns whose label was given to the method, those that have one.

    Returns
    -------
    Accuracy

    Examples
    --------
    >>> S, labels = np.array([[2.0, 1.0, 0.0, 0.1], [0.0, 0.3, 1.0, 2.0]]), np.array([0, 1, 1, 1])
    >>> accuracy(S, labels, known=np.array([True, False, True, False]))
    Accuracy(all=0.75, unknown=0.5, fit=None)
    """
    labelled = labels >= 0
    seen, unseen = labelled & known, labelled & ~known
    if not known.any():
        return Accuracy(None, None, _share_right(S, labels, unseen, unseen))
    return Accuracy(_share_right(S, labels, seen, labelled), _share_right(S, labels, seen, unseen), None)


def _share_right(
    S: Matrix, labels: NDArray[np.intp], seen: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> float | None:
    """Share of the columns to be counted that the map of those seen predicts; None where there are none of either."""
    if not (seen.any() and counted.any()):
        return None
    return float((predict(S, labels, seen) == labels)[counted].mean())


def predict(S: Matrix, labels: NDArray[np.intp], known: NDArray[np.bool_]) -> NDArray[Any]:
    """Class index of every column by the least-squares map from the codes of the known columns, shape (n,).

    A column without any code has the most frequent of the known labels, see `classify`.
    """
    classes, spans = np.eye(labels.max() + 1), column_parts(S)
    sums = [label_sums(S[:, some], classes[:, labels[some]], known[some]) for some in spans]
    B, most = map_of(*added(sums)), majority(labels[known])
    return np.concatenate([classify(B, S[:, some], most) for some in spans])
