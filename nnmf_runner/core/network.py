"""The neural objective: forward through all layers, cost, backward to all factors.

Every term is a sum over columns, so the objective is evaluated on blocks of columns and the parts are added:
full batch, minibatch and data larger than memory are one mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnmf_runner.core.costs import Cost, Derivative, LabelDerivative, Labels, label_map
from nnmf_runner.core.layer import NO_SHRINKAGE, Layer, Shrinkage, forward
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.nnls import Index, Mask, PassiveSystems
from nnmf_runner.core.regularisation import Penalty


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


@dataclass(frozen=True)
class Terms:
    """What a network has besides its cost and its labels.

    Attributes
    ----------
    on_A : sequence of Penalty
        One a layer, or none.
    on_S : sequence of Shrinkage
        One a layer, or none.
    free : bool
        Whether the factors A may be negative.
    unit_columns : bool
        Whether the columns of A count by their direction alone, as of unit length.
    learn_l1 : bool
        Whether the `l1` of every layer is a variable, one a row of the codes.
    """

    on_A: Sequence[Penalty] = ()
    on_S: Sequence[Shrinkage] = ()
    free: bool = False
    unit_columns: bool = False
    learn_l1: bool = False


class Network:
    """The relative cost of Neural NMF as a function of the factors alone.

    The variables are ``A_0, ..., A_L``, nonnegative; where penalties are learnt, the `l1` of every layer, of shape
    (k_l, 1); and where the labels' map is learnt, B, free of sign.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Zero where an entry is missing.
    cost : Cost
    labels : Labels, optional
    mask : ndarray of bool, shape (m, n), optional
        True where an entry of dense X is known.
    terms : Terms

    Attributes
    ----------
    norm : float
        The unit of the cost, ``||X||^2`` for squared residuals.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 2.
    """

    def __init__(
        self, X: Any, cost: Cost, labels: Labels | None = None, *, mask: Mask | None = None, terms: Terms | None = None
    ) -> None:
        self.X, self.cost, self.labels, self.mask, self.terms = X, cost.of(X), labels, mask, terms or Terms()
        self.norm = cost.unit(X)
        self.everything = self._block(slice(None))
        self._last_codes: Matrix = np.empty((0, X.shape[1]))

    @property
    def learns_map(self) -> bool:
        """Whether the last variable is the label map B."""
        return self.labels is not None and self.labels.learn_map

    def split(self, variables: Sequence[Matrix]) -> tuple[list[Matrix], list[Matrix], Matrix | None]:
        """The variables as factors, learnt penalties and label map."""
        rest, B = (list(variables[:-1]), variables[-1]) if self.learns_map else (list(variables), None)
        n_layers = len(rest) // 2 if self.terms.learn_l1 else len(rest)
        return rest[:n_layers], rest[n_layers:], B

    def nonnegative(self, variables: Sequence[Matrix]) -> list[bool]:
        """Which of the variables must not be negative."""
        factors, l1, B = self.split(variables)
        return [not self.terms.free] * len(factors) + [True] * len(l1) + [False] * (B is not None)

    def factors(self, variables: Sequence[Matrix]) -> list[Matrix]:
        """The factors that the variables stand for."""
        A = self.split(variables)[0]
        return [factor / _length(factor) for factor in A] if self.terms.unit_columns else A

    def shrinkage(self, variables: Sequence[Matrix]) -> Sequence[Shrinkage]:
        """The penalty on the codes of every layer; none where the sequence is empty."""
        if not self.terms.learn_l1:
            return self.terms.on_S
        l1 = self.split(variables)[1]
        return [replace(term, l1=value) for term, value in zip(self.terms.on_S, l1, strict=True)]

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
        whole = block is self.everything
        X = self.X if whole else self.X[:, block.columns]
        mask = self.mask if whole or self.mask is None else self.mask[:, block.columns]
        given, _, B = self.split(variables)
        A = self.factors(variables)
        layers = solve_layers(A, X, block.warm, mask=mask, shrinkage=self.shrinkage(variables))
        block.warm = [layer.systems for layer in layers]

        part = self.cost.evaluate(layers, self.norm if whole else self.cost.unit(X))
        value = part.value / self.norm
        if self.labels:
            labels = self._label_term(self.labels, layers[-1].S, block, B)
            value += labels.value
            part.dS[-1] = self.norm * labels.dS + (0.0 if part.dS[-1] is None else part.dS[-1])
        back = backward(layers, part)
        gradients = [gradient / self.norm for gradient in back.A]
        for i, penalty in enumerate(self.terms.on_A):
            share = X.shape[1] / self.X.shape[1]
            value += share * penalty.value(A[i])
            gradients[i] = gradients[i] + share * penalty.gradient(A[i])
        if self.terms.unit_columns:
            gradients = [_of_direction(*parts) for parts in zip(given, A, gradients, strict=True)]
        if self.terms.learn_l1:
            gradients += [gradient / self.norm for gradient in _by_l1(layers, back.V)]
        if B is not None:
            gradients.append(labels.dB)
        return Evaluation(value, gradients, [layer.S for layer in layers])

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


def _length(A: Matrix) -> Matrix:
    """Lengths of the columns, one for a column of zeros."""
    length = np.linalg.norm(A, axis=0)
    return np.where(length > 0, length, 1.0)


def _of_direction(A: Matrix, unit: Matrix, gradient: Matrix) -> Matrix:
    """Derivative by A of a cost that depends on its columns `unit` of unit length."""
    return (gradient - unit * (unit * gradient).sum(axis=0)) / _length(A)


def _by_l1(layers: list[Layer], V: list[Matrix | None]) -> list[Matrix]:
    """Derivatives by the `l1` of every layer: its own penalty, and what it does to the codes; shapes (k_l, 1)."""
    own = [2.0 * layer.share * layer.S.sum(axis=1, keepdims=True) for layer in layers]
    return [o if v is None else o - v.sum(axis=1, keepdims=True) for o, v in zip(own, V, strict=True)]


def solve_layers(
    A: Sequence[Matrix],
    X: Any,
    warm: list[PassiveSystems] | None = None,
    *,
    mask: Mask | None = None,
    shrinkage: Sequence[Shrinkage] = (),
) -> list[Layer]:
    """Forward pass: ``S_0 = q(A_0, X)``, then ``S_l = q(A_l, S_{l-1})``.

    Parameters
    ----------
    A : sequence of ndarray of shape (k_{l-1}, k_l)
    X : ndarray or sparse matrix of shape (m, n)
    warm : list of PassiveSystems, optional
        Systems of an earlier pass over the same columns.
    mask : ndarray of bool, shape (m, n), optional
        True where an entry of dense X is known.
    shrinkage : sequence of Shrinkage
        Penalties on the codes, one a layer, or none.

    Returns
    -------
    list of Layer
    """
    layers: list[Layer] = []
    for i, factor in enumerate(A):
        layers.append(
            forward(
                factor,
                layers[-1].S if layers else X,
                warm[i] if warm else None,
                mask=None if layers else mask,
                shrinkage=shrinkage[i] if shrinkage else NO_SHRINKAGE,
            )
        )
    return layers


@dataclass(frozen=True)
class Backward:
    """Derivatives by every ``A_l``, and every layer's `Layer.adjoint`, None where it is zero."""

    A: list[Matrix]
    V: list[Matrix | None]


def backward(layers: list[Layer], part: Derivative) -> Backward:
    """Gradient with respect to every ``A_l`` from the partial derivatives of a cost.

    From the last layer down, the derivative with respect to the codes passes through the layer's solve and
    becomes that of the codes below.  The data enter one product, ``X right^T``.
    """
    gradients: list[Matrix] = []
    adjoints: list[Matrix | None] = []
    from_above: Matrix | None = None
    for i in reversed(range(len(layers))):
        layer, right = layers[i], part.right[i]
        dS, V = _add(part.dS[i], from_above), None
        from_above = None
        if dS is not None:
            V = layer.adjoint(dS)  # (k_l, n)
            from_above = layer.A @ V if i else None
        gradient = part.direct[i]
        if right is not None or V is not None:
            gradient = _add(gradient, layer.derivative(right, part.pairs[i], V))
        gradients.append(np.zeros_like(layer.A) if gradient is None else gradient)
        adjoints.append(V)
    return Backward(gradients[::-1], adjoints[::-1])


def _add(left: Matrix | None, right: Matrix | None) -> Matrix | None:
    """Sum of two matrices of which either may be None for zero."""
    if left is None:
        return right
    return left if right is None else left + right
