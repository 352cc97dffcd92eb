"""Forward and backward pass of one layer ``S = q(A, X)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nnmf_runner.core.linalg import Matrix, cross_product
from nnmf_runner.core.nnls import PassiveSystems, ScaledProblem, pivot


@dataclass
class Layer:
    """A solved layer: its input, its codes, and what the backward pass needs.

    Attributes
    ----------
    A : ndarray of shape (k_in, k)
    inputs : ndarray or sparse matrix of shape (k_in, n)
    S : ndarray of shape (k, n)
        The codes ``q(A, inputs)``.
    gram, cross : ndarray of shape (k, k) and (k, n)
        ``A^T A`` and ``A^T inputs``.
    unit : ndarray of shape (k, 1)
        Units of the variables in which `systems` is scaled.
    systems : PassiveSystems
        The linear systems on the passive sets; hand them to the next `forward` as a warm start.
    """

    A: Matrix
    inputs: Any
    S: Matrix
    gram: Matrix
    cross: Matrix
    unit: Matrix
    systems: PassiveSystems

    def adjoint(self, dS: Matrix) -> Matrix:
        """Solve the systems of the forward pass for a cost's derivative with respect to the codes.

        Parameters
        ----------
        dS : ndarray of shape (k, n)
            Derivative ``g = dC/dS``.

        Returns
        -------
        V : ndarray of shape (k, n)
            ``v_F = G_FF^{-1} g_F`` on the passive set F of each column, zero elsewhere.  The derivatives of
            the cost through the layer are ``dC/dX = A V`` and ``dC/dA = X V^T - A (S V^T + V S^T)``.

        Notes
        -----
        The derivative exists where no variable is zero together with its multiplier.  At such a kink this is
        the derivative for the passive set that the solver returned.

        References
        ----------
        T. Will et al., "Neural nonnegative matrix factorization for hierarchical multilayer topic modeling",
        arXiv:2303.00058, section 2.
        """
        return self.unit * self.systems.solve(self.unit * dS)


def forward(A: Matrix, inputs: Any, warm: PassiveSystems | None = None) -> Layer:
    """Compute ``S = argmin_{S >= 0} ||inputs - A S||^2`` and keep what the backward pass needs.

    Parameters
    ----------
    A : ndarray of shape (k_in, k)
    inputs : ndarray or sparse matrix of shape (k_in, n)
    warm : PassiveSystems, optional
        Systems of an earlier `Layer` with the same n and k to start from; they are taken over, so the earlier
        layer is not to be used any more.

    Returns
    -------
    Layer
    """
    gram, cross = A.T @ A, cross_product(A, inputs)
    problem = ScaledProblem(gram, cross)
    solution = pivot(problem, warm)
    return Layer(A, inputs, problem.unit * solution.S, gram, cross, problem.unit, solution.systems)
