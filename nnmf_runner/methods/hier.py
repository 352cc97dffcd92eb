"""Hierarchical NMF: layers are fitted one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_choice
from nnmf_runner.core.costs import Cost
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.layer import Shrinkage, solve_codes
from nnmf_runner.core.linalg import Mask, Matrix, cross_product, gram_matrix, half_gradient, inner, like, squared_norm
from nnmf_runner.core.monitor import History, Monitor, Stop, stationarity, worst
from nnmf_runner.core.multiplicative import NonnegativeNetwork, fit_network, fit_product
from nnmf_runner.core.regularisation import NO_PENALTY, Regularisation, factor_unit
from nnmf_runner.core.updates import TINY, UPDATES, Codes, Update, extrapolated, lift_zeros
from nnmf_runner.methods.base import Method, Plan, Problem, no_codes
from nnmf_runner.methods.encoding import loss_parameters, multiplicative_codes, saved_divergence, saved_shrinkage
from nnmf_runner.methods.fit import Fit
from nnmf_runner.methods.supervision import Supervision


@dataclass
class Hierarchical(Method):
    """Hierarchical NMF: the data, then the codes of each layer, are factored in turn; labels act on the last layer.

    Parameters
    ----------
    solver : {"mu", "anls", "hals"}
        Algorithm for one layer: multiplicative updates, alternating nonnegative least squares, which solves each half
        step exactly, or hierarchical alternating least squares.

    References
    ----------
    A. Cichocki and R. Zdunek, "Multilayer nonnegative matrix factorisation", Electron. Lett. 42(16), 2006;
    H. Lee, J. Yoo and S. Choi, IEEE Signal Process. Lett. 17(1), 2010, for the labels.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import HierarchicalNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = HierarchicalNMF(layers=(4, 2), random_state=0).fit(X)
    >>> model.stop_, [codes.shape for codes in model.codes_]
    ('converged', [(20, 4), (20, 2)])
    """

    name: ClassVar[str] = "hier"
    bends_codes: ClassVar[bool] = True
    costs: ClassVar[tuple[str, ...]] = ("reconstruction", "kl")
    losses: ClassVar[tuple[str, ...]] = ("squared", "kl")
    regularises: ClassVar[bool] = True
    solver: str = "hals"

    def __post_init__(self) -> None:
        check_choice(self.solver, UPDATES, "solver")

    def holds(self, layer: int) -> bool:
        """The factors of all layers, see `Method.holds`."""
        return True

    @property
    def takes_missing(self) -> bool:
        """Multiplicative updates can leave missing entries out; the other solvers cannot."""
        return self.solver == "mu"

    def check_own(self, cost: Cost, supervision: Supervision, n_layers: int, regularisation: Regularisation) -> None:
        """Refuse losses that the solver does not have, see `Method.check_own`."""
        for name, value in (("cost", cost.name), ("label_loss", supervision.loss)):
            if value == "kl" and self.solver != "mu":
                raise InputError(f"{name}=kl needs solver=mu, the multiplicative updates, but solver={self.solver}.")

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit layer after layer, see `Method.fit`."""
        history, inputs = History(), problem.X
        factors: list[Matrix] = []
        codes: list[Matrix] = []
        stops: list[Stop | None] = []
        shrinkage: list[Shrinkage] = []
        for level, start in enumerate(plan.start):
            last, first = level == len(plan.start) - 1, level == 0
            layer = replace(
                problem, X=inputs, labels=problem.labels if last else None, mask=problem.mask if first else None
            )
            norm = problem.cost.unit(inputs)
            if norm <= TINY:
                raise no_codes(level - 1)
            unit = factor_unit(squared_norm(inputs), 2) if problem.regularisation.is_active else 1.0
            monitor = Monitor(plan.rule, history, level)
            fit_layer = fit_codes if level in plan.fixed else factorise
            A, S, B = fit_layer(layer, start, UPDATES[self.solver], monitor, norm, unit)
            factors.append(A)
            codes.append(S)
            penalty = problem.regularisation.on_S(S.shape, unit)
            shrinkage.append(Shrinkage(norm / 2.0 * penalty.l1, norm * penalty.l2))
            inputs = S
            stops.append(monitor.stop)
        parameters = loss_parameters(problem.cost.divergence(None), shrinkage, factors)
        return Fit(factors, codes, B, history, worst(stops), parameters)

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of new data, layer after layer, see `Method.encode`."""
        if saved_divergence(fit).beta == 2.0:
            return super().encode(fit, X, mask)
        codes, inputs = [], X
        for A, shrinkage in zip(fit.A, saved_shrinkage(fit), strict=True):
            codes.append(best_codes(A, inputs, saved_divergence(fit, mask), shrinkage))
            inputs, mask = codes[-1], None
        return codes


def best_codes(A: Matrix, inputs: Any, divergence: BetaDivergence, shrinkage: Shrinkage) -> Matrix:
    """Codes of one layer for a factor A of shape (m, k), by the divergence and with the penalties, shape (k, n)."""
    if divergence.beta == 2.0:
        return np.ascontiguousarray(solve_codes(A, inputs, divergence.mask, shrinkage))
    return multiplicative_codes(NonnegativeNetwork(inputs, divergence), [A], shrinkage)


def factorise(
    problem: Problem, A: Matrix, new_update: type[Update], monitor: Monitor, norm: float, unit: float
) -> tuple[Matrix, Matrix, Matrix | None]:
    """Fit one layer ``X ~ A S`` by alternating updates; return A (m, k), S (k, n) and B (c, k) or None.

    Multiplicative updates start from the codes ``q(A, X)`` and change A first.  Others start from `clipped_codes`,
    change S first, and extrapolate A, unless the cost is then higher than it was before.  The updates must be
    multiplicative if entries are missing or the cost is not the squared residual.
    """
    X = problem.X
    if problem.regularisation.is_active:  # the factors share the scale equally at first
        A = A * (unit / np.linalg.norm(A))
    S = solve_codes(A, X, problem.mask) if new_update.absorbs_zeros else clipped_codes(A, X)
    on_A = problem.regularisation.on_A(A.shape, unit)
    if new_update.absorbs_zeros:
        A, S = lift_zeros(A), lift_zeros(S)
    codes = Codes(new_update, norm, problem.labels, S, problem.regularisation.on_S(S.shape, unit))
    divergence = problem.cost.divergence(problem.mask)
    if not divergence.is_plain:
        [A], S = fit_network(NonnegativeNetwork(X, divergence), [A], S, codes, monitor, [on_A])
        return A, S, codes.B
    if new_update.absorbs_zeros:
        [A], S = fit_product(X, [A], S, codes, monitor, [on_A])
        return A, S, codes.B

    update_A, ridge = new_update(), norm * on_A.l2 * np.eye(A.shape[1])
    shift, highest = norm / 2.0 * on_A.l1, math.inf
    A_new, gram, cross = A, gram_matrix(S.T), cross_product(S.T, X.T).T
    while True:
        step = codes.move(S, gram_matrix(A), cross_product(A, X))
        gradient = half_gradient(A, gram, cross)
        data_cost = 1.0 + (inner(A, gradient) - inner(A, cross)) / norm  # ||X - A S||^2 / ||X||^2
        cost = data_cost + on_A.value(A) + step.cost
        if cost > highest:  # too far beyond the update, which itself cannot raise it
            A, highest = A_new, math.inf
            continue
        gradient *= 2.0 / norm
        if on_A is not NO_PENALTY:
            gradient += on_A.gradient(A)
        if monitor.watch(cost, max(stationarity([A], [gradient]), step.measure)):
            return A, S, codes.B
        highest = cost
        S = step.new()
        del step, cross, gradient  # which hold the old codes, and arrays as large as A
        gram, cross = gram_matrix(S.T), cross_product(S.T, X.T).T
        updated = update_A(A, gram + ridge, cross, shift)
        A, A_new = extrapolated(updated, A_new), updated


def clipped_codes(A: Matrix, X: Any) -> Matrix:
    """The least-squares codes without their negative entries, (k, n): much sooner there than nonnegative ones."""
    gram = gram_matrix(A)
    inverse = np.linalg.pinv(gram, hermitian=True) if np.isfinite(gram).all() else gram  # on which the fit diverges
    S = cross_product(A, X).T @ like(inverse, A)
    return np.maximum(S, 0.0, out=S).T


def fit_codes(
    problem: Problem, A: Matrix, new_update: type[Update], monitor: Monitor, norm: float, unit: float
) -> tuple[Matrix, Matrix, Matrix | None]:
    """Fit the codes of one layer ``X ~ A S`` for a fixed factor, and a label map, see `factorise`.

    Without labels the codes are those that new data get, and the fit ends where it begins.
    """
    X, labels = problem.X, problem.labels
    divergence = problem.cost.divergence(problem.mask)
    penalty = problem.regularisation.on_S((A.shape[1], X.shape[1]), unit)
    shrinkage = Shrinkage(norm / 2.0 * penalty.l1, norm * penalty.l2)
    S = best_codes(A, X, divergence, shrinkage)
    if labels is not None and new_update.absorbs_zeros:
        S = lift_zeros(S)
    codes = Codes(new_update, norm, labels, S, penalty)
    held = problem.regularisation.on_A(A.shape, unit)
    if not divergence.is_plain:
        _, S = fit_network(NonnegativeNetwork(X, divergence), [A], S, codes, monitor, [held], fixed=[0])
        return A, S, codes.B
    gram, cross = gram_matrix(A), cross_product(A, X)
    while True:
        step = codes.step(S, gram, cross)
        data_cost = 1.0 + inner(S, like(gram, S) @ S - 2.0 * cross) / norm
        measure = stationarity(step.factors, step.gradients)
        if monitor.watch(data_cost + held.value(A) + step.cost, measure):
            return A, S, codes.B
        S = step.S
