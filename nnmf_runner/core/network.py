"""The neural objective: forward through all layers, cost, backward to all factors.

Every term is a sum over columns, so the objective is evaluated on blocks of columns and the parts are added:
full batch, minibatch and data larger than memory are one mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnmf_runner.core.costs import Cost, Derivative, LabelDerivative, Labels, label_map
from nnmf_runner.core.layer import Layer, forward
from nnmf_runner.core.linalg import Matrix, squared_norm
from nnmf_runner.core.nnls import Index, PassiveSystems


@dataclass
class Block:
    """Some columns of the data, which of them are labelled, and the systems their last evaluation ended with."""

    columns: slice | Index
    known: Index
    warm: list[PassiveSystems] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Relative cost of a block, its gradient with respect to every variable, and the codes of every layer."""

    value: float
    gradients: list[Matrix]
    codes: list[Matrix]


class Network:
    """The relative cost of Neural NMF as a function of the factors alone.

    The variables are ``A_0, ..., A_L``, nonnegative, and B, free of sign, where the labels' map is learnt.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    cost : Cost
    labels : Labels, optional

    Attributes
    ----------
    norm : float
        ``||X||^2``, the unit of the cost.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 2.
    """

    def __init__(self, X: Any, cost: Cost, labels: Labels | None = None) -> None:
        self.X, self.cost, self.labels = X, cost, labels
        self.norm = squared_norm(X)
        self.everything = self._block(slice(None))
        self._last_codes: Matrix = np.empty((0, X.shape[1]))

    @property
    def learns_map(self) -> bool:
        """Whether the last variable is the label map B."""
        return self.labels is not None and self.labels.learn_map

    def blocks(self, size: int, rng: np.random.Generator) -> list[Block]:
        """A random partition of the columns into blocks of at most `size`."""
        order = rng.permutation(self.X.shape[1])
        return [self._block(np.sort(order[start : start + size])) for start in range(0, len(order), size)]

    def _block(self, columns: slice | Index) -> Block:
        known = np.flatnonzero(self.labels.known[columns]) if self.labels else np.empty(0, np.intp)
        return Block(columns, known)

    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None) -> Evaluation:
        """Cost and gradient at `variables`, over all columns or those of `block`.

        Costs and gradients of the blocks of a partition add up to those of the whole.  With B put in, a block
        takes it from the newest codes of all columns, so the whole has to be evaluated once before a block.

        Parameters
        ----------
        variables : sequence of ndarray
        block : Block, optional

        Returns
        -------
        Evaluation
        """
        block = block or self.everything
        X = self.X if block is self.everything else self.X[:, block.columns]
        A = variables[:-1] if self.learns_map else variables
        layers = solve_layers(A, X, block.warm)
        block.warm = [layer.systems for layer in layers]

        part = self.cost.evaluate(layers, self.norm if block is self.everything else squared_norm(X))
        value = part.value / self.norm
        dB = []
        if self.labels:
            labels = self._label_term(self.labels, layers[-1].S, block, variables[-1] if self.learns_map else None)
            value += labels.value
            part.dS[-1] = self.norm * labels.dS + (0.0 if part.dS[-1] is None else part.dS[-1])
            dB = [labels.dB] if self.learns_map else []
        gradients = [gradient / self.norm for gradient in backward(layers, part)]
        return Evaluation(value, gradients + dB, [layer.S for layer in layers])

    def _label_term(self, labels: Labels, S: Matrix, block: Block, B: Matrix | None) -> LabelDerivative:
        """Weighted label cost of a block; its dS has shape (k, n) with zeros in unknown columns."""
        if B is None:
            B = self._best_map(labels, S, block)
        Y = labels.Y[:, block.columns][:, block.known]
        term = labels.cost.evaluate(S[:, block.known], Y, B)
        dS = np.zeros_like(S)
        dS[:, block.known] = labels.scale * term.dS
        return LabelDerivative(labels.scale * term.value, dS, labels.scale * term.dB)

    def _best_map(self, labels: Labels, S: Matrix, block: Block) -> Matrix:
        if block is self.everything:
            self._last_codes = S.copy()
        else:
            self._last_codes[:, block.columns] = S
        known = self.everything.known
        return label_map(self._last_codes[:, known], labels.Y[:, known])


def solve_layers(A: Sequence[Matrix], X: Any, warm: list[PassiveSystems] | None = None) -> list[Layer]:
    """Forward pass: ``S_0 = q(A_0, X)``, then ``S_l = q(A_l, S_{l-1})``.

    Parameters
    ----------
    A : sequence of ndarray of shape (k_{l-1}, k_l)
    X : ndarray or sparse matrix of shape (m, n)
    warm : list of PassiveSystems, optional
        Systems of an earlier pass over the same columns.

    Returns
    -------
    list of Layer
    """
    layers: list[Layer] = []
    for i, factor in enumerate(A):
        layers.append(forward(factor, layers[-1].S if layers else X, warm[i] if warm else None))
    return layers


def backward(layers: list[Layer], part: Derivative) -> list[Matrix]:
    """Gradient with respect to every ``A_l`` from the partial derivatives of a cost.

    From the last layer down, the derivative with respect to the codes passes through the layer's solve and
    becomes that of the codes below.  The data enter one product, ``X right^T``.

    Returns
    -------
    list of ndarray of shape (k_{l-1}, k_l)
    """
    gradients: list[Matrix] = []
    from_above: Matrix | None = None
    for i in reversed(range(len(layers))):
        layer, right, small = layers[i], part.right[i], part.small[i]
        dS = _add(part.dS[i], from_above)
        from_above = None
        if dS is not None:
            V = layer.adjoint(dS)  # (k_l, n)
            cross = layer.S @ V.T
            right, small = _add(right, V), _add(small, -cross - cross.T)
            from_above = layer.A @ V if i else None
        gradient = part.direct[i]
        if right is not None and small is not None:
            gradient = _add(gradient, layer.inputs @ right.T + layer.A @ small)
        gradients.append(np.zeros_like(layer.A) if gradient is None else gradient)
    return gradients[::-1]


def _add(left: Matrix | None, right: Matrix | None) -> Matrix | None:
    """Sum of two matrices of which either may be None for zero."""
    if left is None:
        return right
    return left if right is None else left + right
