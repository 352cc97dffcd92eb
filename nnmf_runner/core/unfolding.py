"""Unfolded NMF: a network whose layers are multiplicative updates of the codes, each with a basis of its own.

A layer is ``H' = H o N / D`` with ``V = W H``, ``N = W^T P``, ``D = W^T Q + mu``, where ``Q - P`` is the derivative of
the divergence by V.  K layers, with bases ``W^0, ..., W^{K-1}``, lead from the data to the codes; ``W^K`` leads back.

Derivatives are stored as their nonnegative parts, positive and negative, along a first axis of length two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nnmf_runner.core.divergence import SMALLEST, BetaDivergence
from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.linalg import Matrix, inner, squared_norm
from nnmf_runner.core.monitor import Monitor, Stop, stationarity
from nnmf_runner.core.updates import TINY, ExactLeastSquares, lift_zeros

# While a basis keeps its direction, the exponent of its step grows by the first factor per iteration; if it turns back
# or the cost rises, the exponent shrinks by the second.  No entry changes by more than the third factor at once.
GROWTH, SHRINKAGE, LARGEST_FACTOR = 1.05, 0.5, 10.0
# How often exponents are shrunk to find a lower cost: from the largest seen, a few thousand, down to rounding.
MAX_SHRINKAGES = 60


@dataclass(frozen=True)
class UnfoldedLayer:
    """One multiplicative update of the codes, with the arrays that its derivative needs.

    Attributes
    ----------
    W : ndarray of shape (m, k)
    H : ndarray of shape (k, n)
        The codes before the update.
    V, P, Q : ndarray of shape (m, n)
        ``W H``, and the nonnegative parts of the derivative of the divergence there, ``Q - P``.
    numerator, denominator : ndarray of shape (k, n)
        ``W^T P`` and ``W^T Q + mu``.
    """

    W: Matrix
    H: Matrix
    V: Matrix
    P: Matrix
    Q: Matrix
    numerator: Matrix
    denominator: Matrix

    @property
    def output(self) -> Matrix:
        """The codes after the update, shape (k, n)."""
        return self.H * self.numerator / self.denominator


def unfolded_layer(W: Matrix, H: Matrix, X: Matrix, divergence: BetaDivergence, mu: Matrix) -> UnfoldedLayer:
    """One update of the codes H for data X, with the penalty `mu` of shape (n,) on their sum."""
    V = np.maximum(W @ H, SMALLEST)
    Q, P = divergence.parts(X, V)
    return UnfoldedLayer(W, H, V, P, Q, W.T @ P, np.maximum(W.T @ Q + mu, TINY))


def backward_layer(layer: UnfoldedLayer, beta: float, dH: Matrix) -> tuple[Matrix, Matrix]:
    """Nonnegative parts of the derivatives of a cost with respect to a layer's basis and its input codes.

    Their shapes are (2, m, k) and (2, k, n).  The order of the divergence is `beta`, and `dH` of shape (2, k, n) has
    the parts of the derivative with respect to the layer's output.

    References
    ----------
    J. Le Roux, J. R. Hershey and F. Weninger, "Deep NMF for speech separation", ICASSP 2015, arXiv:1409.2574.
    """
    W, H, V = layer.W, layer.H, layer.V
    ratio = layer.numerator / layer.denominator
    by_numerator = dH * (H / layer.denominator)
    by_denominator = by_numerator * ratio  # with the opposite sign, so that its parts change places
    swapped = by_denominator[::-1]
    by_V = np.zeros((2, *V.shape))
    # P falls with V and Q rises with it, so here too the parts of both change places.
    for weight, part, change in ((2.0 - beta, layer.P, by_numerator[::-1]), (beta - 1.0, layer.Q, swapped)):
        if weight:
            by_V += weight * (part / V) * (W @ change)
    dW = layer.P @ by_numerator.mT + layer.Q @ swapped.mT + by_V @ H.T
    return dW, dH * ratio + W.T @ by_V


@dataclass(frozen=True)
class UnfoldedPass:
    """The result of a forward pass.

    Attributes
    ----------
    layers : list of UnfoldedLayer
    S : ndarray of shape (k, n)
        The codes after the last layer.
    output : ndarray of shape (m, n)
        ``W^K S``.
    cost : float
        Relative cost, that of the labels included.
    B : ndarray of shape (c, k) or None
        The best nonnegative label map for the codes; None without labels.
    """

    layers: list[UnfoldedLayer]
    S: Matrix
    output: Matrix
    cost: float
    B: Matrix | None


class UnfoldedNetwork:
    """The relative cost of an unfolded network as a function of its bases ``W^0, ..., W^K``.

    Parameters
    ----------
    X : ndarray of shape (m, n)
    divergence : BetaDivergence
        Loss of the output, which is also what the updates of the layers decrease.
    sparsity : float
        The penalty on the codes in every layer, ``mu = sparsity sum_i x_i^(beta-1) / sqrt(m)`` for a column x.  Its
        unit is ``W^T Q`` for an output x and a uniform basis of unit length.
    labels : Labels, optional
        Labels with a squared cost.
    """

    def __init__(
        self, X: Matrix, divergence: BetaDivergence, sparsity: float = 0.0, labels: Labels | None = None
    ) -> None:
        self.X, self.divergence, self.labels = X, divergence, labels
        self.unit = divergence.unit(X)
        root = np.sqrt(X.shape[0])
        self._first = X.sum(axis=0) / root  # (n,)
        self._mu = sparsity / root * (X ** (divergence.beta - 1.0)).sum(axis=0)  # (n,)
        self._best_map = ExactLeastSquares()

    def start(self, W: Matrix, n_layers: int) -> list[Matrix]:
        """Strictly positive bases, all `W` with columns of unit length; the last one is scaled to fit the data."""
        W = lift_zeros(W)
        W = W / W.max(axis=0)  # their squares may not be numbers
        W = W / np.linalg.norm(W, axis=0)
        V = np.maximum(W @ self.encode([W] * n_layers)[1], SMALLEST)
        Q, P = self.divergence.parts(self.X, V)
        return [W.copy() for _ in range(n_layers)] + [W * (inner(P, V) / inner(Q, V))]

    def encode(self, bases: Sequence[Matrix]) -> tuple[list[UnfoldedLayer], Matrix]:
        """The layers with these bases, and the codes that they give.

        The first codes are equal for all topics; their size is such that uniform bases of unit length would give the
        sum of each column.
        """
        layers: list[UnfoldedLayer] = []
        k = bases[0].shape[1]
        H = np.tile(self._first / k, (k, 1))
        for W in bases:
            layers.append(unfolded_layer(W, H, self.X, self.divergence, self._mu))
            H = layers[-1].output
        return layers, H

    def forward(self, W: Sequence[Matrix]) -> UnfoldedPass:
        """Codes, output and relative cost for these bases."""
        layers, S = self.encode(W[:-1])
        output = np.maximum(W[-1] @ S, SMALLEST)
        cost, B = self.divergence.value(self.X, output) / self.unit, None
        if self.labels is not None:
            known, Y = S[:, self.labels.known], self.labels.Y[:, self.labels.known]
            B = self._best_map(np.empty(0), known @ known.T, Y @ known.T)
            cost += self.labels.scale * squared_norm(Y - B @ known)
        return UnfoldedPass(layers, S, output, cost, B)

    def backward(self, W: Sequence[Matrix], done: UnfoldedPass) -> list[Matrix]:
        """Nonnegative parts of the derivative with respect to every basis, shapes (2, m, k).

        The label map may be held fixed: it is the best one, where the cost does not change with it.
        """
        Q, P = self.divergence.parts(self.X, done.output)
        by_output = np.stack([Q, P]) / self.unit  # (2, m, n)
        dW: list[Matrix] = [by_output @ done.S.T]
        dH: Matrix = W[-1].T @ by_output
        if self.labels is not None and done.B is not None:
            known = self.labels.known
            fitted = np.stack([done.B @ done.S[:, known], self.labels.Y[:, known]])
            dH[:, :, known] += 2.0 * self.labels.scale * done.B.T @ fitted
        for layer in reversed(done.layers):
            by_basis, dH = backward_layer(layer, self.divergence.beta, dH)
            dW.append(by_basis)
        return dW[::-1]


class MultiplicativeMomentum:
    """Steps ``W o (minus / plus)^e o (W / W_before)^t`` of several factors at once, for the gradient ``plus - minus``.

    Every factor has an exponent e of its own, which adapts from step to step: the deeper a factor, the smaller is the
    difference of both parts beside their size, and the larger must the exponent be.  The momentum t is Nesterov's; it
    restarts for a factor whose last step points uphill, and for all factors when the cost rises.

    References
    ----------
    B. O'Donoghue and E. Candes, "Adaptive restart for accelerated gradient schemes", Found. Comput. Math. 15, 2015;
    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm",
    ICNN 1993, for steps that grow while their direction stays.
    """

    def __init__(self, n_factors: int) -> None:
        self.exponents, self._ages = np.ones(n_factors), np.ones(n_factors)
        self._steps: list[Matrix] = []  # the last changes of the factors' logarithms

    def search(
        self, W: Sequence[Matrix], parts: Sequence[Matrix], accepts: Callable[[list[Matrix]], bool]
    ) -> list[Matrix] | None:
        """Shrink the exponents until the new factors are accepted; return them, or None if none are."""
        momentum = self._adapt(W, parts)
        last = self._steps or [np.zeros_like(factor) for factor in W]
        logs = [np.log(np.maximum(minus, TINY) / np.maximum(plus, TINY)) for plus, minus in parts]
        limit = np.log(LARGEST_FACTOR)
        for _ in range(MAX_SHRINKAGES):
            terms = zip(self.exponents, logs, momentum, last, strict=True)
            steps = [np.clip(e * log + t * before, -limit, limit) for e, log, t, before in terms]
            new = [factor * np.exp(step) for factor, step in zip(W, steps, strict=True)]
            if accepts(new):
                self._steps = steps
                return new
            if not momentum.any():
                self.exponents *= SHRINKAGE
            momentum, self._ages = np.zeros(len(W)), np.ones(len(W))
        return None

    def _adapt(self, W: Sequence[Matrix], parts: Sequence[Matrix]) -> Matrix:
        """Adapt every exponent, by whether the last step still points downhill, and return the momenta."""
        if not self._steps:
            return np.zeros(len(W))
        terms = zip(parts, W, self._steps, strict=True)
        uphill = np.array([inner(plus - minus, factor * step) for (plus, minus), factor, step in terms]) > 0
        self.exponents *= np.where(uphill, SHRINKAGE, GROWTH)
        before = np.where(uphill, 1.0, self._ages)
        self._ages = (1.0 + np.sqrt(1.0 + 4.0 * before**2)) / 2.0
        return (before - 1.0) / self._ages


def train(network: UnfoldedNetwork, W: list[Matrix], monitor: Monitor) -> tuple[list[Matrix], UnfoldedPass]:
    """Train all bases W, strictly positive and of shape (m, k), by multiplicative backpropagation.

    The cost never rises.  Return the bases, and the forward pass with them.
    """
    updates, done = MultiplicativeMomentum(len(W)), network.forward(W)
    while True:
        parts = network.backward(W, done)
        gradients = [plus - minus for plus, minus in parts]
        if monitor.watch(done.cost, stationarity(W, gradients)):
            return W, done
        tried = done

        def accepts(new: list[Matrix], highest: float = done.cost) -> bool:
            nonlocal tried
            tried = network.forward(new)
            return tried.cost <= highest

        found = updates.search(W, parts, accepts)
        if found is None:
            monitor.stop = Stop.LINE_SEARCH
            return W, done
        W, done = found, tried
