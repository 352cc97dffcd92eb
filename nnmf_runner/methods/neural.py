"""Neural NMF: all factors are optimised together, by gradients through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Cost
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.layer import NO_SHRINKAGE, Shrinkage
from nnmf_runner.core.linalg import Distributed, Matrix, squared_norm
from nnmf_runner.core.monitor import Monitor, Stop
from nnmf_runner.core.network import Terms
from nnmf_runner.core.regularisation import Regularisation, factor_unit
from nnmf_runner.core.sharded import network_of
from nnmf_runner.core.updates import UPDATES
from nnmf_runner.methods.base import Method, Plan, Problem
from nnmf_runner.methods.encoding import loss_parameters
from nnmf_runner.methods.fit import Fit
from nnmf_runner.methods.hier import factorise
from nnmf_runner.methods.supervision import Supervision

# Columns of data from which on alternating updates come first: exact codes of fewer take little time to save.
MANY = 1000


@dataclass
class Neural(Method):
    """Neural NMF: the factors A are the variables, and every S is a nonnegative least-squares solution for them.

    References
    ----------
    T. Will, R. Zhang, E. Sadovnik, M. Gao, J. Vendrow, J. Haddock, D. Molitor and D. Needell, "Neural
    nonnegative matrix factorization for hierarchical multilayer topic modeling", arXiv:2303.00058.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import NeuralNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = NeuralNMF(layers=(4, 2), random_state=0)
    >>> model.fit_transform(X).shape
    (20, 2)

    Labels of two levels, each of which supervises the layer of its number of classes:

    >>> y = np.column_stack([np.repeat([0, 1, 2, 3], 5), np.repeat([0, 1], 10)])
    >>> model.fit(X, y).predict(X).shape
    (20, 2)
    >>> model.label_layers_, model.score(X, y)
    ([0, 1], 1.0)
    """

    name: ClassVar[str] = "neural"
    costs: ClassVar[tuple[str, ...]] = ("multilevel", "reconstruction", "energy", "kl")
    losses: ClassVar[tuple[str, ...]] = ("squared", "cross_entropy")
    uses_optimizer: ClassVar[bool] = True
    supervises_layers: ClassVar[bool] = True
    regularises: ClassVar[bool] = True
    takes_shards: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True

    def check_own(self, cost: Cost, supervision: Supervision, n_layers: int, regularisation: Regularisation) -> None:
        """Refuse penalties beside a cost that fixes the scale of the factors, see `Method.check_own`."""
        if cost.unit_columns and regularisation.is_active:
            raise InputError(
                f"cost={cost.name} fixes the scale of the factors and cannot be regularised. Expected "
                "cost=multilevel, cost=reconstruction or cost=kl, or no penalty."
            )

    def holds(self, layer: int) -> bool:
        """The factors of all layers, see `Method.holds`."""
        return True

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit all factors together, see `Method.fit`."""
        start, monitor = list(plan.start), Monitor(plan.rule)
        free = [i for i in range(len(start)) if i not in plan.fixed]
        if problem.regularisation.is_active:  # the factors share the scale equally at first
            unit = factor_unit(squared_norm(problem.X), len(start) + 1)
            for i in free:
                start[i] = start[i] * float(unit / np.linalg.norm(start[i]))
        if _is_plain(problem, plan):
            start = [_alternated(problem, start[0], plan, monitor)]
        terms = self.terms(problem, start)
        network = network_of(
            problem.X,
            problem.cost,
            problem.labels,
            mask=problem.mask,
            terms=terms,
            lower_labels=problem.lower_labels,
            fixed={i: start[i] for i in plan.fixed},
        )
        variables = [start[i] for i in free]
        if terms.learn_l1:  # one value per row of the codes
            variables += [np.full((A.shape[1], 1), term.l1) for A, term in zip(start, terms.on_S, strict=True)]
        if network.learnt:
            S = network.codes(start, terms.on_S)
            variables += [network.labels[layer].best_map(S[layer]) for layer in network.learnt]
        if monitor.stop is None:
            variables = plan.optimizer.minimize(network, variables, monitor, plan.rng)
        A, on_S = network.factors(variables), network.shrinkage(variables)
        S = network.codes(A, on_S)
        learnt = network.split(variables)[2]
        maps = {i: learnt[i] if i in learnt else labels.best_map(S[i]) for i, labels in network.labels.items()}
        B = maps.pop(-1, None)
        assert monitor.stop is not None
        return Fit(A, S, B, monitor.history, monitor.stop, loss_parameters(BetaDivergence(), on_S, A), maps)

    def terms(self, problem: Problem, start: Sequence[Matrix]) -> Terms:
        """Penalties of the network, those on the codes in the last layer only.

        The penalty of the last layer is added to the squared residual of its own input, in the units of that input if
        all factors share the scale of the data equally.
        """
        if not problem.regularisation.is_active:
            return Terms()
        norm, last = squared_norm(problem.X), len(start) - 1
        unit = factor_unit(norm, last + 2)
        on_A = [problem.regularisation.on_A(factor.shape, unit) for factor in start]
        penalty = problem.regularisation.on_S((start[-1].shape[1], problem.X.shape[1]), unit)
        share = unit ** (2 * last)
        counted = share * problem.cost.unit(problem.X) / norm  # in units of the cost, rather than of squared residuals
        shrinkage = Shrinkage(norm / share / 2.0 * penalty.l1, norm / share * penalty.l2, counted)
        return Terms(on_A, [NO_SHRINKAGE] * last + [shrinkage])


def _is_plain(problem: Problem, plan: Plan) -> bool:
    """Whether the problem is an NMF of all of the data with a free factor, as alternating updates solve it too."""
    return (
        len(plan.start) == 1
        and problem.X.shape[1] >= MANY
        and not isinstance(problem.X, Distributed)
        and not (plan.fixed or problem.labels or problem.lower_labels)
        and problem.cost.divergence(problem.mask).is_plain
        and getattr(problem.cost, "weights", []) in ([], [1.0])
    )


def _alternated(problem: Problem, A: Matrix, plan: Plan, monitor: Monitor) -> Matrix:
    """The factor after the iterations of HALS that the optimizer asks for; the monitor stops only for interruption.

    One iteration is left for the optimizer, which records the cost with exact codes.
    """
    n_iter = min(plan.optimizer.hals, plan.rule.max_iter - 1)
    if n_iter <= 0:
        return A
    monitor.rule = replace(plan.rule, max_iter=n_iter)
    norm = squared_norm(problem.X)
    A = factorise(problem, A, UPDATES["hals"], monitor, norm, factor_unit(norm, 2))[0]
    monitor.rule = plan.rule
    if monitor.stop is not Stop.INTERRUPTED:
        monitor.stop = None
    return A
