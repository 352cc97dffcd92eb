"""Nonnegative networks fitted by multiplicative updates: products of factors with optional activation and pooling.

``V = A_0 H_1``, ``H_l = pool(f(A_l H_{l+1}))``, ``H_{L+1} = S_L``.  One layer is NMF; several layers
without activation and pooling are a product of factors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.linalg import (
    Matrix,
    cross_product,
    gram_matrix,
    half_gradient,
    inner,
    like,
    right_factors,
    tall_product,
)
from nnmf_runner.core.monitor import Monitor, Stop, stationarity
from nnmf_runner.core.regularisation import NO_PENALTY, Penalty
from nnmf_runner.core.updates import HALS, Codes, Multiplicative, multiply, shortened, tiny

ArrayFunction = Callable[[Matrix], Matrix]


# A factor whose Frobenius norm has grown so many fold grows for ever: the cost has no minimum.  Saturating
# activations have such costs, since weights without bound make a step of them.
GROWTH = 1e8


@dataclass(frozen=True)
class Activation:
    """A nonnegative increasing function of nonnegative numbers and its derivative."""

    value: ArrayFunction
    slope: ArrayFunction


@dataclass(frozen=True)
class Pooling:
    """A map from groups of neighbouring rows to one row each, and the transpose of its derivative.

    ``down(F)`` has shape (k, n) for F of shape (size k, n); ``up(F, D)`` spreads D of shape (k, n) to the rows of F.
    """

    down: ArrayFunction
    up: Callable[[Matrix, Matrix], Matrix]


def activation(name: str, exponent: float = 1.0) -> Activation:
    """The activation of this name; `exponent` belongs to ``power``."""
    if name == "identity":
        return Activation(lambda Z: Z, np.ones_like)
    if name == "power":
        return Activation(lambda Z: Z**exponent, lambda Z: exponent * np.maximum(Z, tiny(Z)) ** (exponent - 1.0))
    return Activation(np.log1p, lambda Z: 1.0 / (1.0 + Z))


def pooling(name: str, size: int = 1) -> Pooling:
    """The pooling of this name over groups of `size` rows."""
    if name == "none":
        return Pooling(lambda F: F, lambda F, D: D)

    def grouped(F: Matrix) -> Matrix:
        return F.reshape(-1, size, F.shape[-1])  # (k, size, n)

    def spread(D: Matrix) -> Matrix:
        return np.repeat(D, size, axis=0)

    if name == "mean":
        return Pooling(lambda F: grouped(F).mean(axis=1), lambda F, D: spread(D) / size)

    def up(F: Matrix, D: Matrix) -> Matrix:
        largest = np.arange(size)[:, None] == grouped(F).argmax(axis=1)[:, None, :]
        return spread(D) * largest.reshape(F.shape)

    return Pooling(lambda F: grouped(F).max(axis=1), up)


NO_ACTIVATION, NO_POOLING = activation("identity"), pooling("none")


class NonnegativeNetwork:
    """The output and cost of a network for X of shape (m, n), and the nonnegative parts of its derivatives.

    Sparse X is refused with an `InputError`: the output and its derivatives are dense and have its shape.
    """

    def __init__(
        self,
        X: Matrix,
        divergence: BetaDivergence | None = None,
        activation: Activation = NO_ACTIVATION,
        pooling: Pooling = NO_POOLING,
    ) -> None:
        if sparse.issparse(X):
            raise InputError(
                f"X is sparse, and this loss or activation forms dense matrices of its shape {X.shape}. "
                "Expected a dense array: X.toarray()."
            )
        self.X = X
        self.divergence = divergence or BetaDivergence()
        self.unit = self.divergence.unit(self.X) or 1.0  # data of zeros have no scale to be relative to
        self.f, self.pool = activation, pooling

    def forward(self, A: Sequence[Matrix], S: Matrix) -> tuple[list[Matrix], list[Matrix]]:
        """``Z_0, ..., Z_L``, the products ``Z_l = A_l H_{l+1}``, and ``H_1, ..., H_{L+1}``."""
        Z: list[Matrix] = []
        H = [S]
        for factor in reversed(A[1:]):
            Z.append(factor @ H[-1])
            H.append(self.pool.down(self.f.value(Z[-1])))
        return [A[0] @ H[-1], *Z[::-1]], H[::-1]

    def costs(self, A: Sequence[Matrix], S: Matrix) -> Matrix:
        """The relative cost of the data by column, shape (n,)."""
        return self.divergence.by_column(self.X, self.forward(A, S)[0][0]) / self.unit

    def parts(self, A: Sequence[Matrix], S: Matrix, block: int) -> tuple[Matrix, Matrix]:
        """Positive and negative part of the derivative by ``A_block``, or by S for ``block = len(A)``."""
        Z, H = self.forward(A, S)
        plus, minus = self.divergence.parts(self.X, Z[0])
        for i in range(1, min(block, len(A) - 1) + 1):
            F, slope = self.f.value(Z[i]), self.f.slope(Z[i])
            plus = slope * self.pool.up(F, A[i - 1].T @ plus)
            minus = slope * self.pool.up(F, A[i - 1].T @ minus)
        if block == len(A):
            return A[-1].T @ plus, A[-1].T @ minus
        return plus @ H[block].T, minus @ H[block].T


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # of a step that is then shortened, or of a divergence
def fit_network(
    network: NonnegativeNetwork,
    A: list[Matrix],
    S: Matrix,
    codes: Codes,
    monitor: Monitor,
    on_A: Sequence[Penalty] = (),
    *,
    fixed: Collection[int] = (),
) -> tuple[list[Matrix], Matrix]:
    """Fit a network by multiplicative updates, each shortened until the cost does not rise; return A and S.

    Parameters
    ----------
    A, S : list of ndarray, and ndarray of shape (k_L, n)
        Strictly positive, but for factors that are fixed: a zero stays one.
    codes : Codes
        Updates of the codes, with the norm ``2 network.unit``.
    on_A : sequence of Penalty
        Penalties on the factors, one per factor; none if empty.
    fixed : collection of int
        The factors that are left as they are.
    """
    penalties = list(on_A) or [NO_PENALTY] * len(A)
    free = [i for i in range(len(A)) if i not in fixed]
    bounds = [GROWTH * np.linalg.norm(F) for F in (*A, S)]
    while True:
        new, gradients = list(A), []
        cost = float(network.costs(A, S).sum()) + sum(map(Penalty.value, penalties, A))
        for i in free:
            plus, minus = network.parts(new, S, i)
            plus = plus + network.unit * penalties[i].gradient(A[i])
            gradients.append((plus - minus) / network.unit)
            cost_of = partial(_cost_with, network, new, S, i, penalties[i])
            new[i] = shortened(A[i], multiply(A[i], minus, plus), cost_of)
        step = codes.multiplicative_step(S, *network.parts(new, S, len(A)))
        measure = stationarity([*(A[i] for i in free), *step.factors], [*gradients, *step.gradients])
        if monitor.watch(cost + step.cost, measure):
            return A, S
        new_S = shortened(S, step.S, partial(_costs_of_codes, network, new, codes))
        if any(np.linalg.norm(F) > bound for F, bound in zip((*new, new_S), bounds, strict=True)):
            monitor.stop = Stop.DIVERGED
            return A, S
        A, S = new, new_S


def _cost_with(network: NonnegativeNetwork, A: list[Matrix], S: Matrix, i: int, penalty: Penalty, F: Matrix) -> float:
    return float(network.costs([*A[:i], F, *A[i + 1 :]], S).sum()) + penalty.value(F)


def _costs_of_codes(network: NonnegativeNetwork, A: list[Matrix], codes: Codes, S: Matrix) -> Matrix:
    return network.costs(A, S) + codes.column_costs(S)


def fit_product(
    X: Any,
    A: list[Matrix],
    S: Matrix,
    codes: Codes,
    monitor: Monitor,
    on_A: Sequence[Penalty] = (),
    *,
    new_update: type[Multiplicative | HALS] = Multiplicative,
    fixed: Collection[int] = (),
) -> tuple[list[Matrix], Matrix]:
    """Minimise ``||X - A_0 ... A_L S||^2`` by alternating updates that read X twice per iteration; return A and S.

    Every factor is updated with the newest values of the others: the layers from the data up, then the codes.  With
    multiplicative updates it does the same as `fit_network` for squared residuals of all entries, without forming the
    product.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    A : list of ndarray of shape (k_{l-1}, k_l)
    S : ndarray of shape (k_L, n)
    on_A : sequence of Penalty
        Penalties on the factors, one per factor; none if empty.
    new_update : type
        The update of the factors, as `codes` has one for the codes.
    fixed : collection of int
        The factors that are left as they are; without the first one to be updated, X is read once in all.
    """
    norm, penalties = codes.norm, list(on_A) or [NO_PENALTY] * len(A)
    free = [i for i in range(len(A)) if i not in fixed]
    update = new_update()
    first = None if 0 in free else (gram_matrix(A[0]), cross_product(A[0], X))
    while True:
        H, new, gradients = right_factors(A, S), list(A), []
        if first is None:
            outer, cross = gram_matrix(H[0].T), cross_product(H[0].T, X.T).T  # X H^T, (m, k_0)
            gradient = half_gradient(A[0], like(outer, A[0]), cross)
            data = inner(A[0], gradient) - inner(A[0], cross)  # ||X - A_0 ... A_L S||^2 - ||X||^2
            gradients.append(gradient * (2.0 / norm) + penalties[0].gradient(A[0]))
            ridge = norm * penalties[0].l2 * np.eye(len(outer))
            new[0] = update(A[0], outer + ridge, cross, norm / 2.0 * penalties[0].l1)
            gram, cross = gram_matrix(new[0]), cross_product(new[0], X)  # of A_0 ... A_{l-1}
        else:
            gram, cross = first
            data = inner(H[0], like(gram, cross) @ H[0] - 2.0 * cross)
        cost = 1.0 + data / norm + sum(map(Penalty.value, penalties, A))
        for i, (factor, above) in enumerate(zip(A[1:], H[1:], strict=True), start=1):
            if i in free:
                numerator, outer, penalty = tall_product(cross.T, above.T), gram_matrix(above.T), penalties[i]
                gradients.append((gram @ factor @ outer - numerator) * (2.0 / norm) + penalty.gradient(factor))
                found = update.between(factor, gram, outer, numerator, norm / 2.0 * penalty.l1, norm * penalty.l2)
                new[i] = like(found, factor)
            gram, cross = new[i].T @ gram @ new[i], new[i].T @ cross
        step = codes.step(S, gram, cross)
        measure = stationarity([*(A[i] for i in free), *step.factors], [*gradients, *step.gradients])
        if monitor.watch(cost + step.cost, measure):
            return A, S
        A, S = new, step.S
