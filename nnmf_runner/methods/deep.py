"""Deep NMF: all layers trained together by multiplicative updates that propagate like derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import check_choice, check_number
from nnmf_runner.core.linalg import Matrix, chain, cross_product, inner, squared_norm
from nnmf_runner.core.monitor import Monitor, StoppingRule, stationarity
from nnmf_runner.core.network import solve_layers
from nnmf_runner.core.nnls import nnls
from nnmf_runner.core.updates import TINY, Codes, Multiplicative, lift_zeros, multiply
from nnmf_runner.methods.base import Fit, Method, Plan, Problem

# How often the exponent of a multiplicative step is halved in search of a lower cost.
MAX_HALVINGS = 10

ArrayFunction = Callable[[Matrix], Matrix]


@dataclass(frozen=True)
class Activation:
    """A nonnegative increasing function of nonnegative numbers and its derivative."""

    value: ArrayFunction
    slope: ArrayFunction


@dataclass(frozen=True)
class Pooling:
    """A map from groups of `size` neighbouring rows to one row each, and its transpose at a point.

    ``down(F)`` has shape (k, n) for F of shape (size k, n); ``up(F, D)`` distributes D of shape (k, n) back.
    """

    down: ArrayFunction
    up: Callable[[Matrix, Matrix], Matrix]


def activation(name: str, exponent: float) -> Activation:
    """The activation of that name; `exponent` is that of ``power``."""
    if name == "identity":
        return Activation(lambda Z: Z, np.ones_like)
    if name == "power":
        return Activation(lambda Z: Z**exponent, lambda Z: exponent * np.maximum(Z, TINY) ** (exponent - 1.0))
    return Activation(np.log1p, lambda Z: 1.0 / (1.0 + Z))


def pooling(name: str, size: int) -> Pooling:
    """The pooling of that name over groups of `size` rows."""
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


@dataclass
class Deep(Method):
    """Deep NMF: ``X ~ A_0 H_1``, ``H_l = pool(f(A_l H_{l+1}))``, ``H_{L+1} = S_L``, by multiplicative updates.

    Parameters
    ----------
    pooling : {"none", "mean", "max"}
        What is done to groups of topics after each layer but the first.
    pool_size : int
        Topics in a group; with pooling, ``A_l`` has ``pool_size k_{l-1}`` rows.
    activation : {"identity", "power", "log1p"}
    exponent : float
        Exponent of the power.

    Notes
    -----
    The publication's pooling operator could not be read; this is the nonnegative network of its abstract, with
    updates derived from the split of every derivative into nonnegative parts.  Without pooling and activation
    each is an ordinary multiplicative update and the cost never rises; otherwise a step is shortened, in its
    exponent, until it does not.

    References
    ----------
    J. Flenner and B. Hunter, "A deep non-negative matrix factorization neural network", 2018.
    """

    name: ClassVar[str] = "deep"
    pooling: str = "none"
    pool_size: int = 2
    activation: str = "identity"
    exponent: float = 0.5

    def __post_init__(self) -> None:
        check_choice(self.pooling, ("none", "mean", "max"), "method.pooling")
        check_choice(self.activation, ("identity", "power", "log1p"), "method.activation")
        check_number(self.pool_size, "method.pool_size", low=2, integer=True)
        check_number(self.exponent, "method.exponent", low=0.0, open_low=True)

    @property
    def is_linear(self) -> bool:
        """Whether the network is the plain product of its factors."""
        return self.pooling == "none" and self.activation == "identity"

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit all layers, see `Method.fit`."""
        A, S = self._start(problem.X, plan)
        codes = Codes(Multiplicative, squared_norm(problem.X), problem.labels, S)
        monitor = Monitor(plan.rule)
        if self.is_linear:
            A, S = fit_linear(problem.X, A, S, codes, monitor)
        else:
            A, S = fit_network(_Network(problem.X, self), A, S, codes, monitor)
        assert monitor.stop is not None
        return Fit(A, self._all_codes(A, S), codes.B, monitor.history, monitor.stop)

    def transform(self, A: Sequence[Matrix], X: Any) -> list[Matrix]:
        """Codes of new data, see `Method.transform`."""
        if self.is_linear:
            return self._all_codes(A, nnls(chain(list(A[:-1]), A[-1]), X).S)
        S = np.ones((A[-1].shape[1], X.shape[1]))  # far from the zeros that an update cannot leave
        codes, monitor = Codes(Multiplicative, squared_norm(X), None, S), Monitor(StoppingRule())
        return self._all_codes(A, fit_network(_Network(X, self), list(A), S, codes, monitor, only_codes=True)[1])

    def decode(self, A: Sequence[Matrix], S: Sequence[Matrix], level: int) -> Matrix:
        """Through the network from the codes of layer `level` down, see `Method.decode`."""
        return self._all_codes(A[: level + 1], S[level])[0]

    def _all_codes(self, A: Sequence[Matrix], S: Matrix) -> list[Matrix]:
        """Codes ``H_1, ..., H_L, S_L`` that follow from those of the last layer."""
        f, pool = activation(self.activation, self.exponent), pooling(self.pooling, self.pool_size)
        codes = [S]
        for factor in reversed(A[1:]):
            codes.append(pool.down(f.value(factor @ codes[-1])))
        return codes[::-1]

    def _start(self, X: Any, plan: Plan) -> tuple[list[Matrix], Matrix]:
        """Strictly positive factors of the network's shapes, and codes, from the plan's start."""
        S = lift_zeros(solve_layers(plan.start, X)[-1].S)
        A = [lift_zeros(factor) for factor in plan.start]
        if self.pooling != "none":  # members of a group must differ, or they would stay equal
            A[1:] = [np.repeat(factor, self.pool_size, axis=0) for factor in A[1:]]
            A[1:] = [factor * plan.rng.uniform(0.5, 1.5, factor.shape) for factor in A[1:]]
        if not self.is_linear:  # an activation changes scales: begin with the best multiple of the first factor
            H = self._all_codes(A, S)[0]
            A[0] = A[0] * inner(cross_product(A[0], X), H) / inner(A[0].T @ A[0], H @ H.T)
        return A, S


def fit_linear(X: Any, A: list[Matrix], S: Matrix, codes: Codes, monitor: Monitor) -> tuple[list[Matrix], Matrix]:
    """Multiplicative updates of ``||X - A_0 ... A_L S||^2``, reading X twice an iteration.

    Every block is updated with the newest values of the others: the layers from the data up, then the codes.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    A : list of ndarray of shape (k_{l-1}, k_l)
    S : ndarray of shape (k_L, n)
    codes : Codes
    monitor : Monitor

    Returns
    -------
    A, S
    """
    while True:
        H = [S]
        for factor in reversed(A[1:]):
            H.append(factor @ H[-1])
        H.reverse()  # H[l] is what A_l is multiplied by

        outer, cross = H[0] @ H[0].T, cross_product(H[0].T, X.T).T  # X H^T, (m, k_0)
        denominator = A[0] @ outer
        data_cost = 1.0 + inner(A[0], denominator - 2.0 * cross) / codes.norm
        gradients = [2.0 / codes.norm * (denominator - cross)]
        new = [multiply(A[0], cross, denominator)]
        gram, cross = new[0].T @ new[0], cross_product(new[0], X)  # of A_0 ... A_{l-1}
        for factor, above in zip(A[1:], H[1:], strict=True):
            numerator, denominator = cross @ above.T, gram @ factor @ (above @ above.T)
            gradients.append(2.0 / codes.norm * (denominator - numerator))
            new.append(multiply(factor, numerator, denominator))
            gram, cross = new[-1].T @ gram @ new[-1], new[-1].T @ cross
        step = codes.step(S, gram, cross)
        measure = stationarity([*A, *step.factors], [*gradients, *step.gradients])
        if monitor.watch(data_cost + step.label_cost, measure):
            return A, S
        A, S = new, step.S


class _Network:
    """The nonlinear network: its output, and the two nonnegative parts of every derivative."""

    def __init__(self, X: Any, method: Deep) -> None:
        self.X = X.toarray() if sparse.issparse(X) else X
        self.norm = squared_norm(X)
        self.f = activation(method.activation, method.exponent)
        self.pool = pooling(method.pooling, method.pool_size)

    def forward(self, A: list[Matrix], S: Matrix) -> tuple[list[Matrix], list[Matrix]]:
        """``Z_0, ..., Z_L`` and ``H_1, ..., H_{L+1}``."""
        Z: list[Matrix] = []
        H = [S]
        for factor in reversed(A[1:]):
            Z.append(factor @ H[-1])
            H.append(self.pool.down(self.f.value(Z[-1])))
        return [A[0] @ H[-1], *Z[::-1]], H[::-1]

    def costs(self, A: list[Matrix], S: Matrix) -> Matrix:
        """What every column adds to the relative cost of the data, shape (n,)."""
        return ((self.X - self.forward(A, S)[0][0]) ** 2).sum(axis=0) / self.norm

    def parts(self, A: list[Matrix], S: Matrix, block: int) -> tuple[Matrix, Matrix]:
        """Positive and negative part of half the derivative with respect to ``A_block``, or S if there is none."""
        Z, H = self.forward(A, S)
        plus, minus = Z[0], self.X
        for i in range(1, min(block, len(A) - 1) + 1):
            F, slope = self.f.value(Z[i]), self.f.slope(Z[i])
            plus = slope * self.pool.up(F, A[i - 1].T @ plus)
            minus = slope * self.pool.up(F, A[i - 1].T @ minus)
        if block == len(A):
            return A[-1].T @ plus, A[-1].T @ minus
        return plus @ H[block].T, minus @ H[block].T


def fit_network(
    network: _Network, A: list[Matrix], S: Matrix, codes: Codes, monitor: Monitor, *, only_codes: bool = False
) -> tuple[list[Matrix], Matrix]:
    """Multiplicative updates of the nonlinear network, each shortened until the cost does not rise.

    Returns
    -------
    A, S
    """
    while True:
        new, factors, gradients = list(A), [] if only_codes else list(A), []
        data_cost = float(network.costs(A, S).sum())
        for i in range(len(factors)):
            plus, minus = network.parts(new, S, i)
            gradients.append(2.0 / network.norm * (plus - minus))
            new[i] = _shortened(A[i], multiply(A[i], minus, plus), partial(_cost_with, network, new, S, i))
        step = codes.multiplicative_step(S, *network.parts(new, S, len(A)))
        measure = stationarity([*factors, *step.factors], [*gradients, *step.gradients])
        if monitor.watch(data_cost + step.label_cost, measure):
            return A, S
        S = _shortened(S, step.S, partial(_costs_of_codes, network, new, codes))
        A = new


def _cost_with(network: _Network, A: list[Matrix], S: Matrix, i: int, F: Matrix) -> Matrix:
    return network.costs([*A[:i], F, *A[i + 1 :]], S).sum()


def _costs_of_codes(network: _Network, A: list[Matrix], codes: Codes, S: Matrix) -> Matrix:
    return network.costs(A, S) + codes.label_costs(S)


def _shortened(F: Matrix, new: Matrix, cost_of: Callable[[Matrix], Matrix]) -> Matrix:
    """Take the first of ``F (new / F)^(1, 1/2, 1/4, ...)`` whose cost is no higher; stay at F if there is none.

    `cost_of` gives one cost for all, or one a column; each column then has an exponent of its own.
    """
    ratio, before = new / np.maximum(F, TINY), cost_of(F)
    taken = np.zeros(np.shape(before), bool)
    for halvings in range(MAX_HALVINGS):
        candidate = np.where(taken, F, F * ratio ** (0.5**halvings))
        better = ~taken & (cost_of(candidate) <= before)
        F = np.where(better, candidate, F)
        taken |= better
        if taken.all():
            break
    return F
