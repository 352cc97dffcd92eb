"""The forward and the backward pass of one layer ``S = q(A, X)``: plain, with penalties and with missing entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from nnmf_runner.core.linalg import (
    Distributed,
    Mask,
    Matrix,
    cross_product,
    doubles,
    gram_matrix,
    inner,
    like,
    parts,
    tall_product,
)
from nnmf_runner.core.nnls import ColumnProblem, ScaledProblem, pivot, settled
from nnmf_runner.core.systems import PassiveSystems
from nnmf_runner.core.threads import each

# U, V for a term ``A U V^T`` of a derivative with respect to A.
Pair = tuple[Matrix, Matrix]


@dataclass(frozen=True)
class Shrinkage:
    """A penalty ``l1 sum S + l2/2 ||S||^2`` on the codes of a layer, added to ``1/2 ||inputs - A S||^2``.

    Attributes
    ----------
    l1, l2 : float or ndarray of shape (k, 1)
    share : float
        Weight of the layer's penalty in the total cost.
    """

    l1: Any = 0.0
    l2: Any = 0.0
    share: float = 1.0


NO_SHRINKAGE = Shrinkage()


@dataclass(frozen=True)
class DeferredGradient:
    """A gradient ``inputs outer^T + A small`` whose product with the inputs is formed later, for all columns at once.

    Attributes
    ----------
    outer : ndarray of shape (k, n)
    small : ndarray of shape (k, k)
    """

    outer: Matrix
    small: Matrix


@dataclass(frozen=True)
class Level:
    """``||X - A B S||^2`` less ``||X||^2``, for the inputs X and the factor A of a layer, and half its derivatives.

    Attributes
    ----------
    value : float
    pair : tuple of ndarray
        U and V: half the derivative with respect to A is ``A U V^T - X (B S)^T``.
    by_B, by_S : ndarray of the shape of B and of S, or None where B is the identity
    """

    value: float
    pair: Pair
    by_B: Matrix | None = None
    by_S: Matrix | None = None


@dataclass
class Layer:
    """A solved layer: its input, its codes, and what the backward pass needs.

    Attributes
    ----------
    A : ndarray of shape (k_in, k)
    inputs : ndarray or sparse matrix of shape (k_in, n), or None
        None where the caller forms all products with them.
    S : ndarray of shape (k, n)
        The codes, ``argmin_{S >= 0} 1/2 ||inputs - A S||^2 + l1 sum S + l2/2 ||S||^2``.
    gram, cross : ndarray of shape (k, k) and (k, n)
        ``A^T A`` and ``A^T inputs``; with missing entries there is one Gram matrix per column, (n, k, k).
    problem : ScaledProblem
        The least-squares problem in the units of `systems`.
    systems : PassiveSystems
        The linear systems on the passive sets; hand them to the next `forward` as a warm start.
    """

    A: Matrix
    inputs: Any
    S: Matrix
    gram: Matrix
    cross: Matrix
    problem: ScaledProblem
    systems: PassiveSystems
    shrinkage: Shrinkage = NO_SHRINKAGE

    @property
    def is_penalised(self) -> bool:
        """Whether there is a penalty on the codes."""
        return self.shrinkage is not NO_SHRINKAGE

    @property
    def share(self) -> float:
        """Weight of the penalty in the total cost."""
        return self.shrinkage.share

    def level(self, B: Matrix | None, S: Matrix) -> Level:
        """The fit of ``A B S`` to the inputs over the known entries, for B of shape (k, l), None for the identity.

        It goes through products with S of shapes (l, l) and (k, l), so that no other array of k rows is formed.
        """
        squares, cross = gram_matrix(S.T), tall_product(self.cross.T, S.T)
        if B is None:
            return Level(inner(self.gram, squares) - 2.0 * float(cross.trace()), (squares, np.eye(len(S))))
        through = self.gram @ B
        gram = B.T @ through
        value = inner(gram, squares) - 2.0 * inner(B, cross)
        by_S = gram @ S
        by_S -= B.T @ self.cross
        return Level(value, (B @ squares, B), through @ squares - cross, by_S)

    def deferred_gradient(
        self, right: Matrix | None, pairs: Sequence[Pair], adjoint: Matrix | None = None
    ) -> DeferredGradient:
        """Gradient with respect to A, shape (k_in, k), before the product with the inputs is formed.

        It is ``inputs right^T + sum A U V^T`` over `pairs`, plus the part that passes through the codes,
        ``inputs V^T - A (S V^T + V S^T)`` for the `adjoint` V.
        """
        outer = [part for part in (right, adjoint) if part is not None]  # each (k, n), at least one
        small = [tall_product(U.T, V.T) for U, V in pairs]  # each (k, k)
        if adjoint is not None:
            cross = tall_product(self.S.T, adjoint.T)
            small.append(-cross - cross.T)
        return DeferredGradient(reduce(np.add, outer), reduce(np.add, small))

    def derivative(self, right: Matrix | None, pairs: Sequence[Pair], adjoint: Matrix | None = None) -> Matrix:
        """Gradient with respect to A over the known entries, see `deferred_gradient`; the inputs are read once."""
        deferred = self.deferred_gradient(right, pairs, adjoint)
        return self.inputs @ deferred.outer.T + self.A @ deferred.small

    def penalty(self) -> float:
        """``2 l1 sum S + l2 ||S||^2``, which is added to ``||inputs - A S||^2``."""
        if not self.is_penalised:
            return 0.0
        return float((2.0 * self.shrinkage.l1 * self.S + self.shrinkage.l2 * self.S**2).sum())

    def penalty_gradient(self) -> Matrix:
        """Derivative of `penalty` with respect to the codes."""
        return 2.0 * (self.shrinkage.l1 + self.shrinkage.l2 * self.S)

    def settle(self) -> None:
        """Set codes of negligible size to zero, see `nnmf_runner.core.nnls.settled`."""
        unit = self.problem.unit
        S, systems = settled(self.problem, self.S / unit, self.systems)
        if systems is not self.systems:
            self.S, self.systems = unit * S, systems

    def adjoint(self, dS: Matrix) -> Matrix:
        """Solve the systems of the forward pass for a cost's derivative ``g = dC/dS`` by the codes, shape (k, n).

        The result V, of the same shape, is ``v_F = G_FF^{-1} g_F`` on the passive set F of each column and zero
        elsewhere.  The derivatives of the cost through the layer are ``dC/dX = A V``,
        ``dC/dA = X V^T - A (S V^T + V S^T)`` and, for a penalty, ``dC/dl1 = -V``.

        The derivative exists where no variable is zero together with its multiplier.  At such a kink, once the codes
        are settled, the result is the derivative for the smaller passive set, which leaves that variable out.

        References
        ----------
        T. Will et al., "Neural nonnegative matrix factorization for hierarchical multilayer topic modeling",
        arXiv:2303.00058, section 2; X. Sun, N. M. Nasrabadi and T. D. Tran, arXiv:1701.08349, with a penalty.
        """
        unit = self.problem.unit
        V = self.systems.solve(unit * dS)
        V *= unit
        return V


@dataclass
class MaskedLayer(Layer):
    """A layer that leaves out the missing entries of its input, which is zero there.

    Attributes
    ----------
    mask : ndarray of bool, shape (k_in, n)
        True where an entry is known.
    """

    mask: Mask = field(default_factory=lambda: np.ones((0, 0), bool))

    def level(self, B: Matrix | None, S: Matrix) -> Level:
        """The fit over the known entries, see `Layer.level`; all products are formed."""
        T = S if B is None else B @ S
        approximated = self.A.T @ (self.mask * (self.A @ like(T, self.A)))
        value = inner(approximated, T) - 2.0 * inner(self.cross, T)
        if B is None:
            return Level(value, (T, T))
        approximated -= self.cross
        return Level(value, (T, T), tall_product(approximated.T, S.T), B.T @ approximated)

    def derivative(self, right: Matrix | None, pairs: Sequence[Pair], adjoint: Matrix | None = None) -> Matrix:
        """Gradient with ``W o (A U)`` in place of ``A U``, see `Layer.derivative`."""
        through = [] if adjoint is None else [(-self.S, adjoint), (-adjoint, self.S)]
        outer = [part for part in (right, adjoint) if part is not None]
        gradient = self.inputs @ like(reduce(np.add, outer), self.inputs).T
        for U, V in [*pairs, *through]:
            gradient += (self.mask * (self.A @ like(U, self.A))) @ like(V, self.A).T
        return gradient


def forward(
    A: Matrix,
    inputs: Any,
    warm: PassiveSystems | None = None,
    *,
    mask: Mask | None = None,
    shrinkage: Shrinkage = NO_SHRINKAGE,
    cross: Matrix | None = None,
    gram: Matrix | None = None,
) -> Layer:
    """Solve ``min_{S >= 0} 1/2 ||inputs - A S||^2 + l1 sum S + l2/2 ||S||^2``, keeping what the derivative needs.

    Parameters
    ----------
    A : ndarray of shape (k_in, k)
        Of any sign.
    inputs : ndarray or sparse matrix of shape (k_in, n)
    warm : PassiveSystems, optional
        Systems of an earlier `Layer` with the same n and k, used as a warm start.  They are modified, so the earlier
        layer must not be used any more.
    mask : ndarray of bool, shape (k_in, n), optional
        True where an entry of dense `inputs` is known; the others are zero and left out.
    shrinkage : Shrinkage
        Its `l1` and `l2`.
    cross, gram : ndarray of shape (k, n) and (k, k), optional
        ``A^T inputs`` and, where there is no mask, ``A^T A``, if they are known already.
    """
    cross = cross_product(A, inputs) if cross is None else cross
    if mask is not None:
        gram = _column_grams(doubles(A), mask)
    elif gram is None:
        gram = gram_matrix(A)
    penalised = (gram, cross)
    if shrinkage is not NO_SHRINKAGE:
        penalised = (gram + shrinkage.l2 * np.eye(A.shape[1]), cross - shrinkage.l1)
    problem = ScaledProblem(*penalised) if mask is None else ColumnProblem(*penalised)
    solution = pivot(problem, warm)
    solved = (A, inputs, problem.unit * solution.S, gram, cross, problem, solution.systems, shrinkage)
    return Layer(*solved) if mask is None else MaskedLayer(*solved, mask)


def solve_layers(
    A: Sequence[Matrix],
    X: Any,
    warm: list[PassiveSystems] | None = None,
    *,
    mask: Mask | None = None,
    shrinkage: Sequence[Shrinkage] = (),
    cross: Matrix | None = None,
    gram: Matrix | None = None,
) -> list[Layer]:
    """Forward pass: ``S_0 = q(A_0, X)``, then ``S_l = q(A_l, S_{l-1})``.

    Parameters
    ----------
    A : sequence of ndarray of shape (k_{l-1}, k_l)
    X, mask, cross, gram
        The inputs of the first layer, of shape (m, n), with their mask and products as in `forward`.
    warm : list of PassiveSystems, optional
        Systems of an earlier pass over the same columns.
    shrinkage : sequence of Shrinkage
        Penalties on the codes, one per layer; none if empty.
    """
    systems: Sequence[PassiveSystems | None] = warm or [None] * len(A)
    shrinkage = shrinkage or [NO_SHRINKAGE] * len(A)
    layers = [forward(A[0], X, systems[0], mask=mask, shrinkage=shrinkage[0], cross=cross, gram=gram)]
    for factor, own, term in zip(A[1:], systems[1:], shrinkage[1:], strict=True):
        layers.append(forward(factor, layers[-1].S, own, shrinkage=term))
    return layers


def solve_codes(A: Matrix, inputs: Any, mask: Mask | None = None, shrinkage: Shrinkage = NO_SHRINKAGE) -> Any:
    """``argmin_{S >= 0} ||inputs - A S||^2``, shape (k, n), over the known entries of inputs of shape (k_in, n).

    Half of that is minimised with a penalty, as in `forward`.
    """
    if isinstance(inputs, Distributed):
        return inputs.coded(A)
    S = cross_product(A, inputs)

    def solve(part: slice) -> None:
        known = None if mask is None else mask[:, part]
        S[:, part] = forward(A, None, mask=known, shrinkage=shrinkage, cross=S[:, part]).S

    each(solve, parts(inputs.shape[1]))  # which bounds the memory needed beside the codes
    return S


def solve_normal(gram: Matrix, cross: Matrix) -> Matrix:
    """``argmin_{S >= 0} 1/2 <gram S, S> - <cross, S>``, shape (k, n), from arrays of shapes (k, k) and (k, n)."""
    S = np.empty_like(cross)

    def solve(part: slice) -> None:
        problem = ScaledProblem(gram, cross[:, part])
        solution = pivot(problem)
        S[:, part] = problem.unit * settled(problem, solution.S, solution.systems)[0]

    each(solve, parts(cross.shape[1]))
    return S


def _column_grams(A: Matrix, mask: Mask) -> Matrix:
    """``A^T diag(w_j) A`` for every column ``w_j`` of the mask, shape (n, k, k)."""
    m, k = A.shape
    squares = (A[:, :, None] * A[:, None, :]).reshape(m, k * k)
    return (mask.T.astype(float) @ squares).reshape(-1, k, k)
