"""Costs of the data: what a stack of layers minimises, one value and one derivative each.

All costs are relative, those of squared residuals to ``||X||^2``, so that weights, steps and tolerances mean the same
for every data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_number, shown
from nnmf_runner.core.divergence import SMALLEST, BetaDivergence
from nnmf_runner.core.layer import Layer, MaskedLayer, Pair
from nnmf_runner.core.linalg import Mask, Matrix, chain, inner, like, product, right_factors, squared_norm, tall_product

# Smallest entry of an approximation in multiples of the mean entry of the data: codes by least squares can make a
# product exactly zero, where the derivative of a divergence is infinite.
SMALL_SHARE = 1e-6


@dataclass
class Derivative:
    """Value of a cost and its partial derivatives with the codes of every layer held fixed.

    The derivative with respect to ``A_l`` is ``inputs_l @ right[l].T + sum A_l U V^T + direct[l]``.  It is kept in
    parts, so that the backward pass can add its own and the data need to be read only once more.

    Attributes
    ----------
    value : float
    right : list of ndarray of shape (k_l, n), or None for zero
    pairs : list of list of (U, V), each of shape (k_l, n)
    direct : list of ndarray of shape (k_{l-1}, k_l), or None for zero
    dS : list of ndarray of shape (k_l, n), or None for zero
        Derivative with respect to the codes.
    """

    value: float
    right: list[Matrix | None]
    pairs: list[list[Pair]]
    direct: list[Matrix | None]
    dS: list[Matrix | None]


class Cost:
    """A cost of the data, which a stack of layers minimises; a sum of squared residuals unless it says otherwise.

    Attributes
    ----------
    takes_sparse : bool
        Whether it can be evaluated without a dense matrix of the data's shape.
    unit_columns : bool
        Whether the columns of every A are scaled to unit length, because the cost depends on the scale of the codes.
    """

    name: ClassVar[str]
    takes_sparse: ClassVar[bool] = True
    unit_columns: ClassVar[bool] = False

    def check(self, n_layers: int) -> None:
        """Refuse, with an `InputError`, options that do not fit this number of layers."""

    def of(self, X: Any) -> Cost:
        """Return the cost for data X, with the constants that depend on all of them."""
        return self

    def unit(self, X: Any) -> float:
        """The number that the value is divided by to be relative to data X."""
        return squared_norm(X)

    def divergence(self, mask: Mask | None) -> BetaDivergence:
        """Half the cost of one layer over the known entries, as a divergence."""
        return BetaDivergence(2.0, mask)

    def evaluate(self, layers: list[Layer], squared_norm: float) -> Derivative:
        """Value and derivative for solved `layers`; `squared_norm` is that of the data."""
        raise NotImplementedError


class Levels(Cost):
    """Base of the costs that sum the weighted squared error of the data at every level."""

    def level_weights(self, n_layers: int) -> list[float]:
        """``w_0, ..., w_L``."""
        raise NotImplementedError

    def evaluate(self, layers: list[Layer], squared_norm: float) -> Derivative:
        """Value and derivative, see `Cost.evaluate`; all levels share the two passes over the data."""
        first, depth = layers[0], len(layers)
        weights = self.level_weights(depth)
        value = sum(layer.share * layer.penalty() for layer in layers)
        right: Matrix | None = None
        pairs: list[Pair] = []
        direct: list[Matrix | None] = [None] * depth
        dS = _by_penalties(layers, weights[0])
        for level, weight in enumerate(weights):
            if not weight:
                continue
            upper, S = [layer.A for layer in layers[1 : level + 1]], layers[level].S
            B = reduce(np.matmul, upper) if upper else None
            fit = first.level(B, S)
            value += weight * (squared_norm + fit.value)
            right = plus(right, -2.0 * weight * S if B is None else (-2.0 * weight * B) @ S)
            pairs.append((2.0 * weight * fit.pair[0], fit.pair[1]))
            if fit.by_B is not None and fit.by_S is not None:  # the first codes minimise their own term
                by_factors = _by_factors(upper, 2.0 * weight * fit.by_B)
                direct[1 : level + 1] = map(plus, direct[1 : level + 1], by_factors)
                fit.by_S[...] *= 2.0 * weight
                dS[level] = plus(dS[level], fit.by_S)
        return Derivative(value, [right, *[None] * (depth - 1)], [pairs, *([] for _ in layers[1:])], direct, dS)


def _by_penalties(layers: list[Layer], first_weight: float) -> list[Matrix | None]:
    """Derivatives of the penalties with respect to the codes, less the part that the first codes minimise already."""
    counted = [layers[0].share - first_weight, *(layer.share for layer in layers[1:])]
    return [
        share * layer.penalty_gradient() if layer.is_penalised and share else None
        for layer, share in zip(layers, counted, strict=True)
    ]


@dataclass
class Reconstruction(Levels):
    """``||X - A_0 A_1 ... A_L S_L||^2``.

    References
    ----------
    T. Will et al., arXiv:2303.00058.
    """

    name: ClassVar[str] = "reconstruction"

    def level_weights(self, n_layers: int) -> list[float]:
        """Zero for every level but the last."""
        return [*[0.0] * (n_layers - 1), 1.0]


@dataclass
class LayerWeights:
    """A weight for every layer.

    Parameters
    ----------
    weights : list of float
        Weight of every layer, at least 0, ``w_0, ..., w_L``; all are one if the list is empty.  A weight of zero
        switches the term of its layer off.
    """

    weights: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.weights, str) or not hasattr(self.weights, "__iter__"):
            raise InputError(f"weights={shown(self.weights)} is not valid. Expected a list of numbers, one per layer.")
        weights = enumerate(self.weights)
        self.weights = [float(check_number(weight, f"weights[{i}]", low=0.0)) for i, weight in weights]
        if self.weights and not any(self.weights):
            raise InputError(f"weights={self.weights} has no positive entry. Expected at least one.")

    def check(self, n_layers: int) -> None:
        """Refuse another number of weights than of layers, see `Cost.check`."""
        if self.weights and len(self.weights) != n_layers:
            raise InputError(
                f"weights={self.weights} has {len(self.weights)} entries, expected {n_layers}, one per "
                "layer, or an empty list for weights of one."
            )

    def identity(self) -> dict[str, Any]:
        """What determines the cost: weights that are all one are those of an empty list."""
        return {"weights": [] if all(weight == 1.0 for weight in self.weights) else list(self.weights)}

    def level_weights(self, n_layers: int) -> list[float]:
        """The weight of every layer."""
        self.check(n_layers)
        return list(self.weights) or [1.0] * n_layers


@dataclass
class Multilevel(LayerWeights, Levels):
    """``sum_l w_l ||X - A_0 A_1 ... A_l S_l||^2``: every level approximates the data, not the last one alone.

    The reconstruction cost is the special case of weights ``0, ..., 0, 1``, which leaves the lower layers free.  The
    cost does not change when all codes of a layer are multiplied by one number and its factor is divided by it.

    References
    ----------
    P. De Handschutter and N. Gillis, "A consistent and flexible framework for deep matrix factorizations", Pattern
    Recognition 134, 2023, for the data-centric loss; J. Vendrow, J. Haddock and D. Needell, "Neural nonnegative
    CP decomposition for hierarchical tensor analysis", Asilomar 2021, for the sum over levels where the codes are
    least-squares solutions.
    """

    name: ClassVar[str] = "multilevel"


def _by_factors(A: Sequence[Matrix], derivative: Matrix) -> list[Matrix]:
    """Derivatives with respect to ``A_1, ..., A_L`` from that with respect to their product, shape (k_0, k_L)."""
    direct: list[Matrix] = []
    for factor, above in zip(A, right_factors(A, np.eye(derivative.shape[1])), strict=False):
        direct.append(derivative @ above.T)
        derivative = factor.T @ derivative
    return direct


def plus(left: Matrix | None, right: Matrix | None) -> Matrix | None:
    """Sum of two derivatives of which either may be None for zero."""
    if left is None:
        return right
    return left if right is None else left + right


@dataclass
class Energy(LayerWeights, Cost):
    """``w_0 ||X - A_0 S_0||^2 + sum_l w_l ||S_{l-1} - A_l S_l||^2``, the columns of every A of unit length.

    The publication sums the same terms without fixing a scale.  There the sum has no useful minimum with several
    layers: when A_0 grows, S_0 shrinks and with it every later term, whatever these approximate.  With columns of
    unit length the codes keep the scale of the data, and the scale of a given A does not matter unless it is fixed.

    References
    ----------
    T. Will et al., arXiv:2303.00058.
    """

    name: ClassVar[str] = "energy"
    unit_columns: ClassVar[bool] = True

    def evaluate(self, layers: list[Layer], squared_norm: float) -> Derivative:
        """Value and derivative, see `Cost.evaluate`."""
        value, norm = 0.0, squared_norm
        right: list[Matrix | None] = []
        pairs: list[list[Pair]] = []
        dS: list[Matrix | None] = []
        for layer, weight in zip(layers, self.level_weights(len(layers)), strict=True):
            S = layer.S
            fit = layer.level(None, S)
            value += weight * (norm + fit.value + layer.penalty())
            right.append(-2.0 * weight * S)
            pairs.append([(2.0 * weight * fit.pair[0], fit.pair[1])])
            if dS:  # this term's derivative with respect to its input, the codes below
                dS[-1] = 2.0 * weight * (layer.inputs - layer.A @ S)
            dS.append(None)  # its derivative with respect to S vanishes on the passive sets
            norm = inner(S, S)
        return Derivative(value, right, pairs, [None] * len(layers), dS)


@dataclass
class KullbackLeibler(Cost):
    """The I-divergence ``D(X | A_0 A_1 ... A_L S_L)``, in units of the sum of X.

    References
    ----------
    D. D. Lee and H. S. Seung, "Algorithms for non-negative matrix factorization", NIPS 2000.
    """

    name: ClassVar[str] = "kl"
    takes_sparse: ClassVar[bool] = False
    _smallest = SMALLEST

    def of(self, X: Any) -> KullbackLeibler:
        """Return the cost with a smallest approximation in proportion to the data."""
        cost = KullbackLeibler()
        cost._smallest = SMALL_SHARE * float(X.sum(dtype=np.float64)) / (X.shape[0] * X.shape[1])
        return cost

    def unit(self, X: Any) -> float:
        """Twice the sum of X."""
        return 2.0 * self.divergence(None).unit(X)

    def divergence(self, mask: Mask | None) -> BetaDivergence:
        """The I-divergence."""
        return BetaDivergence(1.0, mask, self._smallest)

    def evaluate(self, layers: list[Layer], squared_norm: float) -> Derivative:
        """Value and derivative, see `Cost.evaluate`; the whole approximation is formed."""
        first, S, upper = layers[0], layers[-1].S, [layer.A for layer in layers[1:]]
        T = chain(upper, S)  # what approximates the first codes
        divergence = self.divergence(first.mask if isinstance(first, MaskedLayer) else None)
        X, outer = first.inputs, like(T, first.A)
        V = first.A @ outer
        Q, P = divergence.parts(X, V)
        dV = 2.0 * (Q - P)  # (m, n); the codes minimise the squared residual, not this
        dT = first.A.T @ dV
        direct: list[Matrix | None] = [product(dV, outer.T), *_by_factors(upper, tall_product(dT.T, S.T))]
        dS = reduce(lambda derivative, factor: factor.T @ derivative, upper, dT)
        value = 2.0 * divergence.value(X, V) + sum(layer.share * layer.penalty() for layer in layers)
        by_codes = _by_penalties(layers, 0.0)
        by_codes[-1] = plus(by_codes[-1], dS)
        return Derivative(value, [None] * len(layers), [[] for _ in layers], direct, by_codes)


COSTS: dict[str, type] = {cost.name: cost for cost in (Reconstruction, Energy, Multilevel, KullbackLeibler)}
