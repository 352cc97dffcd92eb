"""Neural NMF: all factors together, through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nnmf_runner.core.costs import Labels, label_map
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.monitor import Monitor
from nnmf_runner.core.network import Network, solve_layers
from nnmf_runner.methods.base import Fit, Method, Plan, Problem


@dataclass
class Neural(Method):
    """Neural NMF: the A's are the variables, every S is a nonnegative least-squares solution of them.

    References
    ----------
    T. Will, R. Zhang, E. Sadovnik, M. Gao, J. Vendrow, J. Haddock, D. Molitor and D. Needell, "Neural
    nonnegative matrix factorization for hierarchical multilayer topic modeling", arXiv:2303.00058.
    """

    name: ClassVar[str] = "neural"
    costs: ClassVar[tuple[str, ...]] = ("reconstruction", "energy")
    losses: ClassVar[tuple[str, ...]] = ("squared", "cross_entropy")
    uses_optimizer: ClassVar[bool] = True

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit all factors together, see `Method.fit`."""
        network, labels = Network(problem.X, problem.cost, problem.labels), problem.labels
        variables = list(plan.start)
        if labels is not None and labels.learn_map:
            variables.append(_best_map(variables, problem.X, labels))
        monitor = Monitor(plan.rule)
        variables = plan.optimizer.minimize(network, variables, monitor, plan.rng)
        A = variables[: len(plan.start)]
        S = [layer.S for layer in solve_layers(A, problem.X, network.everything.warm)]
        B = None
        if labels is not None:
            B = variables[-1] if labels.learn_map else _best_map(A, problem.X, labels)
        assert monitor.stop is not None
        return Fit(A, S, B, monitor.history, monitor.stop)


def _best_map(A: Sequence[Matrix], X: Any, labels: Labels) -> Matrix:
    """The label map that predicts best from the codes of `A`, shape (c, k_L)."""
    codes = solve_layers(A, X)[-1].S[:, labels.known]
    return label_map(codes, labels.Y[:, labels.known])
