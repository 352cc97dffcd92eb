"""Hierarchical NMF: one layer after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nnmf_runner.core.checks import check_choice
from nnmf_runner.core.costs import Labels
from nnmf_runner.core.layer import forward
from nnmf_runner.core.linalg import Matrix, cross_product, inner, squared_norm
from nnmf_runner.core.monitor import History, Monitor, Stop, stationarity, worst
from nnmf_runner.core.updates import UPDATES, Codes, Update, lift_zeros
from nnmf_runner.methods.base import Fit, Method, Plan, Problem


@dataclass
class Hierarchical(Method):
    """Hierarchical NMF: the data, then each layer's codes, are factored in turn; the last layer sees the labels.

    Parameters
    ----------
    solver : {"mu", "anls", "hals"}
        How one layer is fitted: multiplicative updates, alternating nonnegative least squares with each half
        step exact, or hierarchical alternating least squares.

    References
    ----------
    A. Cichocki and R. Zdunek, "Multilayer nonnegative matrix factorisation", Electron. Lett. 42(16), 2006;
    H. Lee, J. Yoo and S. Choi, IEEE Signal Process. Lett. 17(1), 2010, for the labels.
    """

    name: ClassVar[str] = "hier"
    solver: str = "hals"

    def __post_init__(self) -> None:
        check_choice(self.solver, UPDATES, "method.solver")

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit layer after layer, see `Method.fit`."""
        history, inputs = History(), problem.X
        factors: list[Matrix] = []
        codes: list[Matrix] = []
        stops: list[Stop | None] = []
        for level, start in enumerate(plan.start):
            labels = problem.labels if level == len(plan.start) - 1 else None
            monitor = Monitor(plan.rule, history, level)
            A, S, B = factorise(inputs, start, UPDATES[self.solver], labels, monitor)
            factors.append(A)
            codes.append(S)
            inputs = S
            stops.append(monitor.stop)
        return Fit(factors, codes, B, history, worst(stops))


def factorise(
    X: Any, A: Matrix, new_update: type[Update], labels: Labels | None, monitor: Monitor
) -> tuple[Matrix, Matrix, Matrix | None]:
    """Fit one layer ``X ~ A S`` by alternating updates.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
    A : ndarray of shape (m, k)
        Where to begin; the codes begin at ``q(A, X)``.
    new_update : type of Update
    labels : Labels, optional
    monitor : Monitor

    Returns
    -------
    A, S, B : ndarray of shape (m, k), (k, n) and (c, k) or None
    """
    S = forward(A, X).S
    if new_update.absorbs_zeros:
        A, S = lift_zeros(A), lift_zeros(S)
    norm, update_A = squared_norm(X), new_update()
    codes = Codes(new_update, norm, labels, S)
    while True:
        gram, cross = S @ S.T, cross_product(S.T, X.T).T
        half_gradient = A @ gram - cross
        data_cost = 1.0 + inner(A, half_gradient - cross) / norm  # ||X - A S||^2 / ||X||^2
        A_new = update_A(A, gram, cross)
        step = codes.step(S, A_new.T @ A_new, cross_product(A_new, X))
        measure = stationarity([A, *step.factors], [2.0 / norm * half_gradient, *step.gradients])
        if monitor.watch(data_cost + step.label_cost, measure):
            return A, S, codes.B
        A, S = A_new, step.S
