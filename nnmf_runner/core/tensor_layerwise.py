"""Hierarchies of nonnegative CP models fitted level after level, from a CP model of the data as the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.optimize import linear_sum_assignment

from nnmf_runner.core.init import nndsvd
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import Matrix, inner
from nnmf_runner.core.monitor import History, Monitor, Stop, StoppingRule, stationarity, worst
from nnmf_runner.core.tensor import DenseTensor, Tensor
from nnmf_runner.core.updates import HALS, Update, lift_zeros, multiply

# Gives factors of shapes (d, k) and (k, n) for a matrix of shape (d, n) and a rank k.
FactorFit = Callable[[Matrix, int], tuple[Matrix, Matrix]]
# Adds to the denominators of the tied update, as published; whatever it is, it keeps zeros out of them.
SMALL = 1e-10
# Largest array of inner products between the data and the base that is formed, in doubles.
LARGEST_CORE = 2**20
# A step of the tied update below this share of the whole one is none.
SMALLEST_STEP = 1e-6


@dataclass(frozen=True)
class Sweeps:
    """When the factorisation of a factor ends: after `max_iter` sweeps, or when `every` of them gain too little.

    Attributes
    ----------
    max_iter : int
    tol : float
        Least gain, as a share of the error at the start.
    every : int
    """

    max_iter: int = 1000
    tol: float = 1e-6
    every: int = 10


def factorise(
    X: Matrix, A: Matrix, S: Matrix, new_update: Callable[[], Update], sweeps: Sweeps
) -> tuple[Matrix, Matrix]:
    """Fit ``X ~ A S`` by alternating updates, first of A, then of S, from given factors."""
    update_A, update_S = new_update(), new_update()
    first = before = float(np.linalg.norm(X - A @ S))
    for done in range(1, sweeps.max_iter + 1):
        A = update_A(A, S @ S.T, X @ S.T)
        S = update_S(S.T, A.T @ A, X.T @ A).T
        if done % sweeps.every == 0:
            error = float(np.linalg.norm(X - A @ S))
            if before - error <= sweeps.tol * first:
                break
            before = error
    return A, S


def fit_factor(X: Matrix, rank: int, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    """Fit ``X ~ A S`` by HALS from NNDSVD, the columns of A of unit length, so that S keeps the scale of X."""
    A = lift_zeros(nndsvd(X, rank, rng))
    A, S = factorise(X, A, lift_zeros(solve_codes(A, X)), HALS, Sweeps())
    length = np.linalg.norm(A, axis=0)
    length[length == 0] = 1.0
    return A / length, S * length[:, None]


def layerwise_free(base: Sequence[Matrix], ranks: Sequence[int], fit: FactorFit) -> list[list[tuple[Matrix, Matrix]]]:
    """Standard hierarchical NCPD: every factor of a CP model is factored on by itself, ``S_i,l-1 ~ A_il S_il``.

    The result depends on how the modes share the scale of the model, so balance the base first.

    Parameters
    ----------
    base : sequence of ndarray of shape (d_i, k_0)
    ranks : sequence of int
        ``k_1, ..., k_L``.
    fit : callable
        Gives ``A`` and ``S`` for a matrix and a rank, such as `fit_factor`.

    Returns
    -------
    list of list of (ndarray, ndarray)
        ``A_il`` and ``S_il`` for every level and mode.

    References
    ----------
    J. Vendrow, J. Haddock and D. Needell, arXiv:2011.13094, where it is the baseline of Neural NCPD.
    """
    found: list[list[tuple[Matrix, Matrix]]] = []
    inputs = list(base)
    for rank in ranks:
        found.append([fit(X, rank) for X in inputs])
        inputs = [S for _, S in found[-1]]
    return found


def in_one_order(levels: Sequence[Sequence[tuple[Matrix, Matrix]]]) -> list[list[tuple[Matrix, Matrix]]]:
    """The same models as those of `layerwise_free`, with the topics of every level in one order in all modes.

    Fitted mode by mode they have orders of their own.  Two topics of different modes are one where they have the same
    shares of the base, by the largest total cosine with the first mode.
    """
    found: list[list[tuple[Matrix, Matrix]]] = []
    orders = [np.arange(len(A)) for A, _ in levels[0]] if levels else []
    for level in levels:
        units = [S / np.maximum(np.linalg.norm(S, axis=1, keepdims=True), np.finfo(float).tiny) for _, S in level]
        below, orders = orders, [linear_sum_assignment(units[0] @ unit.T, maximize=True)[1] for unit in units]
        each = zip(level, below, orders, strict=True)
        found.append([(A[np.ix_(rows, order)], S[order]) for (A, S), rows, order in each])
    return found


def links(models: Sequence[Sequence[Matrix]]) -> list[Matrix]:
    """Links ``W_1, ..., W_L`` of the tied hierarchy on the first of several CP models that is near to the others.

    Level by level they are the nonnegative least-squares fit, in all modes alike, of ``F_i^{l-1} W_l`` to the factors
    of the next model.  With CP models fitted alone, balanced, they are the start of a hierarchy; random links are a
    poor one, of which about half end in a tree of far larger cost.

    Parameters
    ----------
    models : sequence of sequence of ndarray of shape (d_i, k_l)
        Factors of every level in all modes.
    """
    found: list[Matrix] = []
    below = np.vstack(models[0])
    for model in models[1:]:
        found.append(solve_codes(below, np.vstack(model)))
        below = below @ found[-1]
    return found


def layerwise_tied(
    tensor: Tensor,
    base: Sequence[Matrix],
    start: Sequence[Matrix],
    rule: StoppingRule,
    history: History | None = None,
    *,
    guarded: bool = True,
) -> tuple[list[Matrix], Stop]:
    """Multi-HNTF: on a CP model, level after level with the levels below fixed, ``F_i^l = F_i^{l-1} W_l``.

    One W serves all modes.  Its new value is the mean of W and of its multiplicative updates for each mode in turn,
    in equal parts, as published for three modes.

    Parameters
    ----------
    base : sequence of ndarray of shape (d_i, k_0)
    start : sequence of ndarray of shape (k_{l-1}, k_l)
        Initial ``W_1, ..., W_L``.
    guarded : bool
        Whether a step that raises the cost is halved until it does not.  The published one can raise it.

    Returns
    -------
    W : list of ndarray
        ``W_1, ..., W_L``.
    stop : Stop
        The most worrying reason why a level ended.

    References
    ----------
    J. Vendrow, J. Haddock and D. Needell, "A generalized hierarchical nonnegative tensor decomposition",
    arXiv:2109.14820.
    """
    history = History() if history is None else history
    found: list[Matrix] = []
    stops = []
    below = list(base)
    for level, W in enumerate(start, start=1):
        monitor = Monitor(rule, history, level)
        found.append(_tied_level(_Level(tensor, below), W, monitor, guarded))
        stops.append(monitor.stop)
        below = [U @ found[-1] for U in below]
    return found, worst(stops)


def _tied_level(level: _Level, W: Matrix, monitor: Monitor, guarded: bool) -> Matrix:
    """One level of `layerwise_tied`."""
    at = level.evaluate(W)
    while not monitor.watch(at.cost, stationarity([W], [at.gradient])):
        mean = np.mean([multiply(W, C, D + SMALL) for C, D in zip(at.cross, at.curved, strict=True)], axis=0)
        step = 0.5
        new = level.evaluate((W + mean) / 2.0)
        while guarded and new.cost > at.cost and step > SMALLEST_STEP:
            step /= 2.0
            new = level.evaluate(W + step * (mean - W))
        if guarded and new.cost > at.cost:
            monitor.stop = Stop.LINE_SEARCH
            break
        W, at = new.W, new
    return W


@dataclass(frozen=True)
class _Point:
    """Relative cost of a level at W, its gradient, and by mode ``U_i^T M_i`` and ``U_i^T U_i W Gamma_i``."""

    W: Matrix
    cost: float
    gradient: Matrix
    cross: list[Matrix]
    curved: list[Matrix]


class _Level:
    """The cost ``||X - [[U_1 W, ..., U_N W]]||^2`` of a level above fixed ones, as a function of W.

    The inner products of the data with all combinations of topics of the base U, a small tensor in place of the data,
    are formed once where they are few.
    """

    def __init__(self, tensor: Tensor, base: Sequence[Matrix]) -> None:
        self.tensor, self.base, self.norm = tensor, list(base), tensor.squared_norm
        self.grams = [U.T @ U for U in base]
        k, n = base[0].shape[1], len(base)
        self.core: Tensor | None = None
        if k**n <= LARGEST_CORE:
            choices = np.indices((k,) * (n - 1)).reshape(n - 1, -1)
            combined = [U[:, chosen] for U, chosen in zip(base, choices, strict=False)]
            last = np.empty((len(base[-1]), choices.shape[1]))
            self.core = DenseTensor(tensor.mttkrp([*combined, last], n - 1).T @ base[-1], (k,) * n)

    def evaluate(self, W: Matrix) -> _Point:
        """The cost at W and what the updates need."""
        if self.core is not None:
            cross = self.core.products([W] * len(self.base))
        else:
            products = self.tensor.products([U @ W for U in self.base])
            cross = [U.T @ M for U, M in zip(self.base, products, strict=True)]
        of_W = [W.T @ G @ W for G in self.grams]
        curved: list[Matrix] = [G @ W @ reduce(np.multiply, of_W[:i] + of_W[i + 1 :]) for i, G in enumerate(self.grams)]
        cost = 1.0 + inner(W, curved[-1] - 2.0 * cross[-1]) / self.norm
        gradient = 2.0 / self.norm * np.sum(curved, axis=0) - 2.0 / self.norm * np.sum(cross, axis=0)
        return _Point(W, cost, gradient, cross, curved)
