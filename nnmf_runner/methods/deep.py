"""Deep NMF: all layers are trained together by alternating updates, with derivatives propagated through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_choice, check_number, check_unused
from nnmf_runner.core.costs import Cost
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.layer import NO_SHRINKAGE, Shrinkage, solve_codes
from nnmf_runner.core.linalg import Mask, Matrix, chain, cross_product, gram_matrix, inner, like, squared_norm
from nnmf_runner.core.monitor import Monitor, Stop
from nnmf_runner.core.multiplicative import (
    Activation,
    NonnegativeNetwork,
    Pooling,
    activation,
    fit_network,
    fit_product,
    pooling,
)
from nnmf_runner.core.regularisation import Regularisation, factor_unit
from nnmf_runner.core.updates import HALS, Codes, Multiplicative, lift_zeros
from nnmf_runner.methods.base import Method, Plan, Problem
from nnmf_runner.methods.encoding import loss_parameters, multiplicative_codes, saved_divergence, saved_shrinkage
from nnmf_runner.methods.fit import Fit
from nnmf_runner.methods.supervision import Supervision

# Powers beyond it leave the largest of the entries alone, and overflow.
MOST_EXPONENT = 10.0


@dataclass
class Deep(Method):
    """Deep NMF: ``X ~ A_0 H_1``, ``H_l = pool(f(A_l H_{l+1}))``, ``H_{L+1} = S_L``, by alternating updates.

    Parameters
    ----------
    pooling : {"none", "mean", "max"}
        Pooling of groups of topics after each layer but the first, of two or more.
    pool_size : int
        Number of topics in a group, at least 2; with pooling, ``A_l`` has ``pool_size k_{l-1}`` rows.
    activation : {"identity", "power", "log1p"}
        Function f that is applied between the layers, of which there are two or more.
    exponent : float
        Exponent, above 0, of ``activation="power"``.
    solver : {"auto", "mu"}
        Multiplicative updates throughout, or by default hierarchical alternating least squares, which converge sooner,
        where they are possible: for the plain product, squared costs and data without missing entries.

    Notes
    -----
    The publication's pooling operator could not be read, so this is the nonnegative network of its abstract, with
    updates derived from the split of every derivative into nonnegative parts.  Without pooling and activation they are
    those of a product of factors and the cost never rises; otherwise the exponent of a multiplicative step shrinks
    until the cost does not rise.

    References
    ----------
    J. Flenner and B. Hunter, "A deep non-negative matrix factorization neural network", 2018; A. Cichocki and
    A.-H. Phan, IEICE Trans. Fundamentals E92-A(3), 2009, for hierarchical alternating least squares.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import DeepNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = DeepNMF(layers=(4, 2), pooling="max", random_state=0).fit(X)
    >>> [factor.shape for factor in model.factors_]  # two topics in a group
    [(12, 4), (8, 2)]
    """

    name: ClassVar[str] = "deep"
    bends_codes: ClassVar[bool] = True
    costs: ClassVar[tuple[str, ...]] = ("reconstruction", "kl")
    losses: ClassVar[tuple[str, ...]] = ("squared", "kl")
    takes_missing: ClassVar[bool] = True
    pooling: str = "none"
    pool_size: int = 2
    activation: str = "identity"
    exponent: float = 0.5
    solver: str = "auto"

    def __post_init__(self) -> None:
        check_choice(self.pooling, ("none", "mean", "max"), "pooling")
        check_choice(self.activation, ("identity", "power", "log1p"), "activation")
        check_number(self.pool_size, "pool_size", low=2, integer=True)
        check_number(self.exponent, "exponent", low=0.0, high=MOST_EXPONENT, open_low=True)
        check_choice(self.solver, ("auto", "mu"), "solver")

    @property
    def is_linear(self) -> bool:
        """Whether the network is the product of its factors, without pooling and activation."""
        return self.pooling == "none" and self.activation == "identity"

    @property
    def takes_sparse(self) -> bool:
        """The plain product takes sparse data; an activation has dense derivatives of their shape."""
        return self.is_linear

    @property
    def rescales(self) -> bool:
        """The plain product does not change when scale moves from a factor to the next."""
        return self.is_linear

    @property
    def regularises(self) -> bool:
        """The plain product can be penalised; an activation leaves no common scale to measure factors by."""
        return self.is_linear

    def holds(self, layer: int) -> bool:
        """The first factor, and without pooling, which changes the shape of the others, all, see `Method.holds`."""
        return layer == 0 or self.pooling == "none"

    def check_own(self, cost: Cost, supervision: Supervision, n_layers: int, regularisation: Regularisation) -> None:
        """Refuse options of what is not chosen, and what would act between layers where there is one."""
        if self.pooling == "none":
            check_unused(self, "pool_size", "pooling=mean or max")
        if self.activation != "power":
            check_unused(self, "exponent", "activation=power")
        for name, usual in (("pooling", "none"), ("activation", "identity")):
            if n_layers == 1 and (given := getattr(self, name)) != usual:
                raise InputError(
                    f"{name}={given} acts between layers, and there is one. Expected {name}={usual}, or more layers."
                )

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit all layers, see `Method.fit`."""
        A, S = self._start(problem, plan)
        norm, penalties = problem.cost.unit(problem.X), problem.regularisation
        unit = factor_unit(squared_norm(problem.X), len(A) + 1)
        if penalties.is_active:  # the factors share the scale equally at first
            free = [i for i in range(len(A)) if i not in plan.fixed]
            S = S * float(np.prod([np.linalg.norm(A[i]) / unit for i in free]))
            for i in free:
                A[i] = A[i] * (unit / np.linalg.norm(A[i]))
        on_S, on_A = penalties.on_S(S.shape, unit), [penalties.on_A(factor.shape, unit) for factor in A]
        shrinkage = [NO_SHRINKAGE] * (len(A) - 1) + [Shrinkage(norm / 2.0 * on_S.l1, norm * on_S.l2)]
        monitor, divergence = Monitor(plan.rule), problem.cost.divergence(problem.mask)
        parameters = loss_parameters(divergence, shrinkage, A)
        if len(plan.fixed) == len(A):  # which leaves nothing to be fitted but the codes
            S = self.encode(Fit(A, [], None, monitor.history, Stop.CONVERGED, parameters), problem.X, problem.mask)[-1]
        is_plain = self.is_linear and divergence.is_plain
        by_hals = (
            self.solver != "mu" and is_plain and (problem.labels is None or problem.labels.cost.divergence.beta == 2.0)
        )
        new_update: type[Multiplicative | HALS] = HALS if by_hals else Multiplicative
        codes = Codes(new_update, norm, problem.labels, S, on_S)
        if is_plain:
            A, S = fit_product(problem.X, A, S, codes, monitor, on_A, new_update=new_update, fixed=plan.fixed)
        else:
            A, S = fit_network(self._network(problem.X, divergence), A, S, codes, monitor, on_A, fixed=plan.fixed)
        assert monitor.stop is not None
        return Fit(A, self._all_codes(A, S), codes.B, monitor.history, monitor.stop, parameters)

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of new data, see `Method.encode`."""
        A, divergence, shrinkage = fit.A, saved_divergence(fit, mask), saved_shrinkage(fit)[-1]
        if self.is_linear and divergence.beta == 2.0:
            product = chain(list(A[:-1]), A[-1])
            return self._all_codes(A, np.ascontiguousarray(solve_codes(product, X, mask, shrinkage)))
        return self._all_codes(A, multiplicative_codes(self._network(X, divergence), A, shrinkage))

    def decode(self, A: Sequence[Matrix], S: Sequence[Matrix], level: int) -> Matrix:
        """Decode through pooling and activation, see `Method.decode`."""
        return self._all_codes(A[: level + 1], S[level])[0]

    def _all_codes(self, A: Sequence[Matrix], S: Matrix) -> list[Matrix]:
        """Codes ``H_1, ..., H_L, S_L`` of all layers, from those of the last one."""
        (f, pool), codes = self._parts(), [S]
        for factor in reversed(A[1:]):
            codes.append(pool.down(f.value(factor @ codes[-1])))
        return codes[::-1]

    def _parts(self) -> tuple[Activation, Pooling]:
        return activation(self.activation, self.exponent), pooling(self.pooling, self.pool_size)

    def _network(self, X: Any, divergence: BetaDivergence) -> NonnegativeNetwork:
        return NonnegativeNetwork(X, divergence, *self._parts())

    def _start(self, problem: Problem, plan: Plan) -> tuple[list[Matrix], Matrix]:
        """Factors and codes of the shapes of the network, strictly positive but for those that are fixed."""
        X, fixed = problem.X, plan.fixed
        S = solve_codes(plan.start[0], X, problem.mask)
        for factor in plan.start[1:]:
            S = solve_codes(factor, S)
        S = lift_zeros(np.ascontiguousarray(S))
        A = [factor if i in fixed else lift_zeros(factor) for i, factor in enumerate(plan.start)]
        if self.pooling != "none":  # members of a group that begin equal would stay equal
            A[1:] = [np.repeat(factor, self.pool_size, axis=0) for factor in A[1:]]
            A[1:] = [factor * like(plan.rng.uniform(0.5, 1.5, factor.shape), factor) for factor in A[1:]]
        if not self.is_linear and 0 not in fixed:  # an activation changes scales, so the factor is scaled to the data
            H = self._all_codes(A, S)[0]
            A[0] = A[0] * inner(cross_product(A[0], X), H) / inner(gram_matrix(A[0]), gram_matrix(H.T))
        return A, S
