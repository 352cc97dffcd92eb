"""Unfolded NMF: multiplicative updates of the codes are the layers, each with a basis of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nnmf_runner.core.checks import check_number
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.linalg import Mask, Matrix
from nnmf_runner.core.monitor import Monitor
from nnmf_runner.core.unfolding import UnfoldedNetwork, train
from nnmf_runner.methods.base import Method, Plan, Problem
from nnmf_runner.methods.fit import Fit

# Every unfolded iteration has dictionaries of its own.
MOST_UNFOLDED = 10_000


@dataclass
class Unfolded(Method):
    """Unfolded NMF: K multiplicative updates of the codes are the layers, ``X ~ W^K H^K`` the output.

    The ``K + 1`` nonnegative bases are trained together by multiplicative backpropagation.  The network is deep, but
    not a hierarchy: there is one rank.  `Fit.A` is ``[W^K]``, `Fit.S` is ``[H^K]``, and the bases of the layers are
    `Fit.parameters`, ``W0, ..., W{K-1}``.

    Parameters
    ----------
    unfold : int
        Number of layers K.
    beta : float
        Order of the divergence of the data, from 1 (Kullback-Leibler) to 2 (squared residual).
    sparsity : float
        The publication's penalty mu on the codes within the layers, relative to the denominator of every topic for a
        layer whose output is the data and whose basis is uniform.

    Notes
    -----
    Every step is multiplicative, ``W o (minus / plus)^e`` with the two nonnegative parts of the derivative.  The
    publication has e = 1.  Here the exponent of every basis adapts, steps have momentum (see
    `nnmf_runner.core.unfolding.MultiplicativeMomentum`), and no step raises the cost.

    References
    ----------
    J. Le Roux, J. R. Hershey and F. Weninger, "Deep NMF for speech separation", ICASSP 2015, arXiv:1409.2574.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import UnfoldedNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = UnfoldedNMF(layers=4, unfold=2, random_state=0).fit(X)
    >>> model.score(X) > -0.01  # minus the relative error
    True
    """

    name: ClassVar[str] = "unfolded"
    most_layers: ClassVar[int | None] = 1
    rescales: ClassVar[bool] = False  # the layers depend on the scale of their bases
    dtypes: ClassVar[tuple[str, ...]] = ("float64",)
    takes_sparse: ClassVar[bool] = False  # the parts of the divergence are dense and have the data's shape
    unfold: int = 5
    beta: float = 1.0
    sparsity: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.unfold, "unfold", low=1, high=MOST_UNFOLDED, integer=True)
        check_number(self.beta, "beta", low=1.0, high=2.0)
        check_number(self.sparsity, "sparsity", low=0.0)

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Train all bases, see `Method.fit`."""
        network = UnfoldedNetwork(problem.X, self._divergence, self.sparsity, problem.labels)
        monitor = Monitor(plan.rule)
        W, done = train(network, network.start(plan.start[0], self.unfold), monitor)
        assert monitor.stop is not None
        parameters = {f"W{i}": basis for i, basis in enumerate(W[:-1])}
        return Fit([W[-1]], [done.S], done.B, monitor.history, monitor.stop, parameters)

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of new data, one forward pass, see `Method.encode`; refuse sparse X and missing entries."""
        self.check_data(X, mask)
        bases = [fit.parameters[f"W{i}"] for i in range(self.unfold)]
        return [UnfoldedNetwork(X, self._divergence, self.sparsity).encode(bases)[1]]

    @property
    def _divergence(self) -> BetaDivergence:
        return BetaDivergence(float(self.beta))
