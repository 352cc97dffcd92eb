"""What every method shares: the problem it is given, how it is to be solved, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_choice, check_number
from nnmf_runner.core.costs import LABEL_COSTS, Cost, Labels, Reconstruction
from nnmf_runner.core.linalg import Matrix, chain
from nnmf_runner.core.monitor import History, Stop, StoppingRule
from nnmf_runner.core.network import solve_layers
from nnmf_runner.core.optimizers import LBFGS, Optimizer


@dataclass
class Supervision:
    """How labels, where some are known, enter the cost.

    Parameters
    ----------
    loss : {"squared", "cross_entropy"}
    weight : float
        Weight of the labels' relative cost (one: no prediction at all) against the relative cost of the data.
    learn_map : bool
        Whether the label map is a variable of the optimizer.  The squared loss does without: its best map is
        known.  Cross-entropy always learns it.
    """

    loss: str = "squared"
    weight: float = 0.01
    learn_map: bool = False

    def __post_init__(self) -> None:
        check_choice(self.loss, LABEL_COSTS, "supervision.loss")
        check_number(self.weight, "supervision.weight", low=0.0)

    def labels(self, classes: NDArray[np.intp], n_classes: int) -> Labels | None:
        """Labels for the core from class indices of shape (n,), -1 where unknown; None if all are."""
        known = classes >= 0
        if not known.any():
            return None
        Y = np.zeros((n_classes, len(classes)))
        Y[classes[known], np.flatnonzero(known)] = 1.0
        return Labels(LABEL_COSTS[self.loss](), self.weight, Y, known, self.learn_map or self.loss == "cross_entropy")


@dataclass(frozen=True)
class Problem:
    """What is to be factored and what counts as good.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Nonnegative data, columns are samples.
    labels : Labels or None
    cost : Cost
    """

    X: Any
    labels: Labels | None = None
    cost: Cost = field(default_factory=Reconstruction)


@dataclass(frozen=True)
class Plan:
    """How the problem is to be solved.

    Attributes
    ----------
    start : sequence of ndarray
        Initial factors ``A_0, ..., A_L``.
    rule : StoppingRule
    optimizer : Optimizer
        For methods that update all factors together by gradients.
    rng : Generator
        For stochastic choices during the fit.
    """

    start: Sequence[Matrix]
    rule: StoppingRule = field(default_factory=StoppingRule)
    optimizer: Optimizer = field(default_factory=LBFGS)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


@dataclass(frozen=True)
class Fit:
    """A factorisation.

    Attributes
    ----------
    A : list of ndarray of shape (k_{l-1}, k_l)
        Factors, ``k_{-1} = m``.
    S : list of ndarray of shape (k_l, n)
        Codes of every layer.
    B : ndarray of shape (c, k_L) or None
        Label map of the last layer, where labels were known.
    history : History
    stop : Stop
    """

    A: list[Matrix]
    S: list[Matrix]
    B: Matrix | None
    history: History
    stop: Stop


class Method:
    """A way to fit the factors.  Subclasses are dataclasses whose fields are the method's options."""

    name: ClassVar[str]
    costs: ClassVar[tuple[str, ...]] = ("reconstruction",)
    losses: ClassVar[tuple[str, ...]] = ("squared",)
    uses_optimizer: ClassVar[bool] = False

    def check(self, cost: Cost, supervision: Supervision, n_layers: int) -> None:
        """Refuse a cost or label loss that the method cannot minimise, or a cost that does not fit the layers.

        Raises
        ------
        InputError
        """
        for name, value, legal in (
            ("cost", cost.name, self.costs),
            ("supervision.loss", supervision.loss, self.losses),
        ):
            if value not in legal:
                raise InputError(f"method={self.name} has no {name}={value}. Expected one of: {', '.join(legal)}.")
        cost.check(n_layers)

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Factor the data of `problem` as `plan` says."""
        raise NotImplementedError

    def transform(self, A: Sequence[Matrix], X: Any) -> list[Matrix]:
        """Codes of every layer, shapes (k_l, n), for data of shape (m, n) and fitted factors."""
        return [layer.S for layer in solve_layers(A, X)]

    def decode(self, A: Sequence[Matrix], S: Sequence[Matrix], level: int) -> Matrix:
        """From the codes of layer `level` down to the first, shape (k_0, n): the data are ``A_0`` times this."""
        return chain(list(A[1 : level + 1]), S[level])

    def topics(self, A: Sequence[Matrix], level: int) -> Matrix:
        """What each code of layer `level` stands for in the data, shape (m, k_l): the data for unit codes."""
        unit = np.eye(A[level].shape[1])
        return A[0] @ self.decode(A, [unit] * (level + 1), level)


def check_layers(layers: Any, shape: tuple[int, int] | None = None, *, allow_growing: bool = False) -> tuple[int, ...]:
    """Return ranks as a tuple of positive integers that do not grow.

    Parameters
    ----------
    layers : sequence of int, int, or str
        Ranks; also in the form ``9-4-2``.
    shape : tuple of int, optional
        ``(m, n)`` of the data, whose smaller side bounds the ranks.
    allow_growing : bool

    Raises
    ------
    InputError
    """
    given = layers
    if isinstance(layers, str):
        layers = [
            int(part) if part.strip().isdecimal() else part for part in layers.strip("[]").replace(",", "-").split("-")
        ]
    if isinstance(layers, (int, np.integer)) and not isinstance(layers, bool):
        layers = [layers]
    layers = list(layers) if isinstance(layers, Sequence) or hasattr(layers, "__iter__") else [layers]
    if not layers:
        raise InputError(f"layers={given} is empty. Expected at least one rank, such as layers=[9,4,2].")
    for i, rank in enumerate(layers):
        if not isinstance(rank, (int, np.integer)) or isinstance(rank, bool) or rank < 1:
            raise InputError(
                f"layers[{i}]={rank} is not valid. Expected a positive integer, such as in layers=[9,4,2]."
            )
        if i and rank > layers[i - 1] and not allow_growing:
            raise InputError(
                f"layers[{i}]={rank} exceeds layers[{i - 1}]={layers[i - 1]}: ranks must not grow "
                "(set allow_growing_ranks=true to force it)."
            )
        if shape is not None and rank > min(shape):
            raise InputError(
                f"layers[{i}]={rank} exceeds {min(shape)}, the smaller side of the data "
                f"({shape[0]} features, {shape[1]} samples). Expected a rank of at most {min(shape)}."
            )
    return tuple(int(rank) for rank in layers)
