"""Costs of the labels: how well a linear map predicts the known ones from the codes of a layer.

They are relative to ``||Y||^2``, the number of known labels, so that their weight means the same for every data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.linalg import Matrix, column_parts, gram_matrix, inner, tall_product
from nnmf_runner.core.nnls import ScaledProblem


def label_map(S: Matrix, Y: Matrix) -> Matrix:
    """The linear map ``B = Y S^+``, shape (c, k), that predicts labels from codes best, in the sense of least squares.

    S of shape (k, n) are the codes of the labelled columns, Y of shape (c, n) their one-hot labels.
    """
    return map_of(*label_sums(S, Y, slice(None)))


def label_sums(S: Matrix, Y: Matrix, known: Any) -> tuple[Matrix, Matrix]:
    """``S S^T`` and ``S Y^T`` over some of the columns."""
    S = S[:, known]
    return gram_matrix(S.T), tall_product(S.T, Y[:, known].T)


def added(sums: Iterable[Sequence[Any]]) -> list[Any]:
    """Each of several sums over columns, from those over parts of the columns."""
    return [sum(each) for each in zip(*sums, strict=True)]


def map_of(gram: Matrix, cross: Matrix) -> Matrix:
    """The map of `label_map` from ``S S^T`` and ``S Y^T``."""
    problem = ScaledProblem(gram, cross)
    return (problem.unit * np.linalg.solve(problem.gram, problem.cross)).T


def classify(B: Matrix, S: Matrix, most: int) -> NDArray[np.intp]:
    """The class index of every column of the codes S, shape (n,): the largest entry of ``B S``.

    Codes of zeros tell nothing of a class; `most`, the `majority` of the known labels, is theirs.
    """
    return np.where(S.any(axis=0), np.argmax(B @ S, axis=0), most)


def majority(indices: NDArray[np.intp]) -> int:
    """The most frequent of class indices; the first of equally frequent ones."""
    return int(np.bincount(indices).argmax())


@dataclass
class LabelDerivative:
    """Value of a label cost with its derivatives by the codes, shape (k, n), and by the map, shape (c, k)."""

    value: float
    dS: Matrix
    dB: Matrix


class LabelCost(Protocol):
    """A cost of the labelled columns, added to that of the data.

    Costs that multiplicative updates can minimise have a `divergence`, which is the cost divided by its beta.
    """

    name: ClassVar[str]
    divergence: ClassVar[BetaDivergence]

    def evaluate(self, S: Matrix, Y: Matrix, B: Matrix) -> LabelDerivative:
        """Value and derivatives for codes (k, n), one-hot labels (c, n) and the map B (c, k)."""


class SquaredLabels:
    """``||Y - B S||^2`` over the labelled columns."""

    name: ClassVar[str] = "squared"
    divergence: ClassVar[BetaDivergence] = BetaDivergence(2.0)

    def evaluate(self, S: Matrix, Y: Matrix, B: Matrix) -> LabelDerivative:
        """Value and derivatives, see `LabelCost.evaluate`."""
        residual = B @ S - Y  # (c, n)
        return LabelDerivative(inner(residual, residual), 2.0 * B.T @ residual, 2.0 * residual @ S.T)


class CrossEntropyLabels:
    """Softmax cross-entropy of ``B S`` over the labelled columns, in units of the uniform guess, ``log c``."""

    name: ClassVar[str] = "cross_entropy"

    def evaluate(self, S: Matrix, Y: Matrix, B: Matrix) -> LabelDerivative:
        """Value and derivatives, see `LabelCost.evaluate`."""
        unit = 1.0 / np.log(len(Y))
        scores = B @ S
        scores -= scores.max(axis=0)
        exponentials = np.exp(scores)
        total = exponentials.sum(axis=0)
        value = float(np.log(total).sum()) - inner(Y, scores)
        difference = unit * (exponentials / total - Y)  # (c, n)
        return LabelDerivative(unit * value, B.T @ difference, difference @ S.T)


class KullbackLeiblerLabels:
    """The I-divergence ``D(Y | B S)`` over the labelled columns, for a nonnegative map."""

    name: ClassVar[str] = "kl"
    divergence: ClassVar[BetaDivergence] = BetaDivergence(1.0)

    def evaluate(self, S: Matrix, Y: Matrix, B: Matrix) -> LabelDerivative:
        """Value and derivatives, see `LabelCost.evaluate`."""
        V = B @ S
        Q, P = self.divergence.parts(Y, V)
        return LabelDerivative(self.divergence.value(Y, V), B.T @ (Q - P), (Q - P) @ S.T)


@dataclass(frozen=True)
class Labels:
    """The known labels of the samples and their place in the cost.

    Attributes
    ----------
    cost : LabelCost
    weight : float
        Weight of the labels' relative cost against that of the data.
    Y : ndarray of shape (c, n)
        One-hot labels; columns of unlabelled samples are ignored.
    known : ndarray of bool, shape (n,)
        True for the labelled samples, of which there is at least one.
    learn_map : bool
        Whether the label map B is a variable; if not, it is the best one for the current codes.
    count : int, optional
        Number of labelled samples that the cost is relative to, if these are a part of them.
    """

    cost: LabelCost
    weight: float
    Y: Matrix
    known: NDArray[np.bool_]
    learn_map: bool = False
    count: int | None = None

    @property
    def scale(self) -> float:
        """The factor of the label cost: its weight over ``||Y||^2``, which is the number of labelled samples."""
        return self.weight / float(self.known.sum() if self.count is None else self.count)

    def best_map(self, S: Matrix) -> Matrix:
        """The map that predicts the known labels best from the codes S of all samples, see `label_map`."""
        sums = [label_sums(S[:, part], self.Y[:, part], self.known[part]) for part in column_parts(S)]
        return map_of(*added(sums))


LABEL_COSTS: dict[str, type] = {cost.name: cost for cost in (SquaredLabels, CrossEntropyLabels, KullbackLeiblerLabels)}
