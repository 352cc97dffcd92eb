"""Deep semi-NMF: factors of any sign and nonnegative codes, pretrained layer by layer and then fitted together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import check_flag, check_number
from nnmf_runner.core.divergence import SMALLEST, smallest_of
from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import (
    Mask,
    Matrix,
    cross_product,
    gram_matrix,
    inner,
    like,
    right_factors,
    squared_norm,
)
from nnmf_runner.core.monitor import History, Monitor, Stop, stationarity, worst
from nnmf_runner.core.updates import HALS, TINY, lift_zeros, multiply, shortened, tiny
from nnmf_runner.methods.base import Method, Plan, Problem, no_codes
from nnmf_runner.methods.fit import Fit

# Directions with eigenvalues of a least-squares problem below this share of the largest are left unchanged.
NEGLIGIBLE = 1e-8
# The same in single precision.
NEGLIGIBLE_SINGLE = 1e-5


@dataclass
class Semi(Method):
    """Deep semi-NMF: minimise ``||X - Z_0 Z_1 ... Z_L H||^2`` for nonnegative H and Z's of any sign.

    Every layer is pretrained by semi-NMF of the codes below, then all factors are fitted together.  Known labels enter
    through a graph that ties the last codes of one class together (Deep WSF).  There is no loss of the labels: their
    weight is that of the graph, see `ClassGraph`.

    Parameters
    ----------
    pretrain : int
        Largest number of iterations for the pretraining of a layer.
    weakly_supervised : bool
        Whether known labels enter the fit; if not, they are used for the label map alone.
    nonnegative : bool
        Whether the Z's are kept nonnegative too, by multiplicative updates, for comparison.

    Notes
    -----
    Three things differ from the publication.  Its least-squares solution for a factor is the one of least norm, whose
    rank is at most k_L, and which forgets what pretraining found for the layers below; here the solution nearest to the
    present factor is taken, which has the same cost.  Its update of the codes is followed by a sweep over their rows,
    see `update_codes`.  Its codes of lower layers are left out of the iteration, since they do not enter the cost of
    the linear model.  After the fit they are ``argmin_{S >= 0} ||X - Z_0 ... Z_l S||``, like the codes of new data and
    the last codes of samples outside the graph.  Samples in the graph keep the codes that were trained.

    The history has the pretraining of every layer and then, as layer -1, the fit of all layers.  `Fit.stop` ignores
    that pretraining ends at its limit of iterations, but not that it is interrupted or diverges.

    References
    ----------
    G. Trigeorgis, K. Bousmalis, S. Zafeiriou and B. W. Schuller, "A deep semi-NMF model for learning hidden
    representations", ICML 2014, and "A deep matrix factorization method for learning attribute representations",
    IEEE TPAMI 39(3), 2017; C. Ding, T. Li and M. I. Jordan, "Convex and semi-nonnegative matrix factorizations",
    IEEE TPAMI 32(1), 2010, for the updates.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import SemiNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = SemiNMF(layers=(4, 2), random_state=0).fit(X - 1.0)
    >>> [bool((array < 0).any()) for array in (model.factors_[0], model.codes_[0])]
    [True, False]
    """

    name: ClassVar[str] = "semi"
    bends_codes: ClassVar[bool] = True
    pretrain: int = 100
    weakly_supervised: bool = True
    nonnegative: bool = False

    def __post_init__(self) -> None:
        check_number(self.pretrain, "pretrain", low=0, integer=True)
        check_flag(self.weakly_supervised, "weakly_supervised")
        check_flag(self.nonnegative, "nonnegative")

    @property
    def sign_free(self) -> bool:
        """The factors may be negative unless `nonnegative` is set."""
        return not self.nonnegative

    def holds(self, layer: int) -> bool:
        """The factors of all layers, see `Method.holds`."""
        return True

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Pretrain layer by layer, then fit all factors together, see `Method.fit`."""
        X, labels, history = problem.X, problem.labels, History()
        Z, H, stops = self._pretrained(X, plan, history)
        graph = ClassGraph(labels) if labels and labels.weight > 0 and self.weakly_supervised else None
        monitor = Monitor(plan.rule, history)
        Z, H = fine_tune(X, Z, H, monitor, graph=graph, nonnegative=self.nonnegative, fixed=plan.fixed)
        S = encode_levels(Z, X)
        if graph is not None:
            S[-1][:, graph.known] = H[:, graph.known]
        B = None if labels is None else labels.best_map(S[-1])
        return Fit(Z, S, B, history, worst([*stops, monitor.stop]))

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of new data, those of every layer directly from the data, see `Method.encode`."""
        return encode_levels(fit.A, X, mask)

    def _pretrained(self, X: Any, plan: Plan, history: History) -> tuple[list[Matrix], Matrix, list[Stop | None]]:
        """Factors and last codes of one semi-NMF per layer, and why each ended if it did not reach its limit."""
        rule = replace(plan.rule, max_iter=min(self.pretrain, plan.rule.max_iter))
        factors: list[Matrix] = []
        stops: list[Stop | None] = []
        inputs = X
        for level, start in enumerate(plan.start):
            if squared_norm(inputs) <= TINY:
                raise no_codes(level - 1)
            monitor, fixed = Monitor(rule, history, level), level in plan.fixed
            first = lift_zeros(start) if self.nonnegative and not fixed else start
            S = _codes(first, inputs)
            if not S.any():  # of data of one sign: with codes of their sizes, the factor takes the sign
                S = _codes(lift_zeros(abs(first)), abs(inputs))
            H = lift_zeros(S)
            [factor], inputs = fine_tune(
                inputs, [first], H, monitor, nonnegative=self.nonnegative, fixed=[0] if fixed else ()
            )
            factors.append(factor)
            stops.append(None if monitor.stop is Stop.MAX_ITER else monitor.stop)
        return factors, inputs, stops


def encode_levels(Z: Sequence[Matrix], X: Any, mask: Mask | None = None) -> list[Matrix]:
    """Codes ``argmin_{S >= 0} ||X - Z_0 ... Z_l S||`` of every layer l, shapes (k_l, n)."""
    return [_codes(product, X, mask) for product in accumulate(Z, np.matmul)]  # of shapes (m, k_l)


def _codes(A: Matrix, X: Any, mask: Mask | None = None) -> Matrix:
    """`solve_codes` by rows in memory, since what is computed from them depends on the order in its last bits."""
    return np.ascontiguousarray(solve_codes(A, X, mask))


class ClassGraph:
    """A graph whose edges join the labelled samples of a class, and the cost that ties their codes together.

    With weights ``1/n_c`` on the edges within a class of n_c samples (loops included) every degree is one, and
    ``tr(H Lap H^T)`` is the scatter of the codes about the means of their classes.  Since the factors can absorb any
    scale of the codes, the scatter of each row is divided by its sum of squares over the labelled samples,

        weight / k sum_r ||h_r - mean_r||^2 / ||h_r||^2,

    which lies between zero, if all codes of a class are equal, and the weight.

    References
    ----------
    G. Trigeorgis et al., IEEE TPAMI 39(3), 2017, for the weakly supervised variant.
    """

    def __init__(self, labels: Labels) -> None:
        self.known, self.weight = labels.known, labels.weight
        self._Y = labels.Y[:, labels.known]
        self._share = self._Y / np.maximum(self._Y.sum(axis=1, keepdims=True), 1.0)  # (c, n_known)

    def value(self, H: Matrix) -> float:
        """The cost of codes H of shape (k, n)."""
        tied = H[:, self.known]
        return self.weight * float(self._quotients(tied, self._means(tied)).mean())

    def parts(self, H: Matrix) -> tuple[Matrix, Matrix]:
        """Nonnegative R (k, 1) and M (k, n_known) such that ``R H - M`` is half the derivative by the known codes."""
        tied = H[:, self.known]
        means, unit = self._means(tied), self.weight / (len(H) * _squares(tied))
        return unit * (1.0 - self._quotients(tied, means)), unit * means

    def gradient(self, H: Matrix) -> Matrix:
        """The derivative by the known codes, shape (k, n_known)."""
        ridge, means = self.parts(H)
        return 2.0 * (ridge * H[:, self.known] - means)

    def _means(self, tied: Matrix) -> Matrix:
        """The mean of its class for every labelled sample, shape (k, n_known)."""
        return tied @ self._share.T @ self._Y

    def _quotients(self, tied: Matrix, means: Matrix) -> Matrix:
        """Scatter about the means divided by the sum of squares, for every row, shape (k, 1)."""
        return ((tied - means) ** 2).sum(axis=1, keepdims=True) / _squares(tied)


def _squares(tied: Matrix) -> Matrix:
    return np.maximum((tied**2).sum(axis=1, keepdims=True), smallest_of(tied))


# From Z, ``P^T inputs H^T``, ``P^T P Z H H^T``, ``P^T P`` (None for the identity) and ``H H^T`` to a new Z for which
# ``||inputs - P Z H||^2`` is no higher.
FactorUpdate = Callable[[Matrix, Matrix, Matrix, Matrix | None, Matrix], Matrix]


def least_squares(Z: Matrix, target: Matrix, product: Matrix, left: Matrix | None, right: Matrix) -> Matrix:
    """``P^+ inputs H^+`` if P and H have full rank, otherwise the minimiser that is nearest to Z."""
    share = NEGLIGIBLE if Z.dtype == np.float64 else NEGLIGIBLE_SINGLE
    step = (product - target) @ like(pseudo_inverse(right, share), product)
    if left is not None:
        step = pseudo_inverse(left, share) @ step
    return like(np.subtract(Z, step, out=step), Z)


def multiplicative(Z: Matrix, target: Matrix, product: Matrix, left: Matrix | None, right: Matrix) -> Matrix:
    """Lee and Seung's update, for nonnegative factors and data."""
    return multiply(Z, target, product)


def pseudo_inverse(gram: Matrix, share: float = NEGLIGIBLE) -> Matrix:
    """A symmetric M with ``M G M = M``, and ``G M G = G`` except for negligible directions of the Gram matrix G.

    By the first equation, ``Z - (gradient) M`` is the minimum over the remaining directions.
    """
    if not np.isfinite(gram).all():
        return np.full_like(gram, np.nan)  # the monitor ends the fit
    length = np.sqrt(gram.diagonal())
    unit = 1.0 / np.where(length > 0, length, 1.0)  # makes the threshold relative to the scales of the variables
    values, vectors = np.linalg.eigh(gram * unit[:, None] * unit)
    kept = values > share * max(values[-1], SMALLEST)
    half = unit[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return half @ half.T


def ding(H: Matrix, gram: Matrix, cross: Matrix, plus: Any = 0.0, minus: Any = 0.0) -> Matrix:
    """One update of the codes H of shape (k, n), for ``G = P^T P`` and ``C = P^T X`` of any sign.

    ``H o sqrt(([C]+ + [G]- H + minus) / ([C]- + [G]+ H + plus))``, where ``[t]+ = max(t, 0)``, ``[t]- = max(-t, 0)``
    and ``plus - minus`` is half the derivative of further terms of the cost, in nonnegative parts of shape (k, n).

    References
    ----------
    C. Ding, T. Li and M. I. Jordan, IEEE TPAMI 32(1), 2010.
    """
    gram = like(gram, H)
    numerator = np.maximum(cross, 0.0) + np.maximum(-gram, 0.0) @ H + minus
    denominator = np.maximum(-cross, 0.0) + np.maximum(gram, 0.0) @ H + plus
    # Where the denominator vanishes, so does the column of P, and the codes do not matter.
    return H * np.sqrt(np.divide(numerator, denominator, out=np.ones_like(H), where=denominator > tiny(H)))


def update_codes(H: Matrix, gram: Matrix, cross: Matrix, norm: float, graph: ClassGraph | None = None) -> Matrix:
    """One update by `ding` and a sweep over the rows that do not raise ``||X - P H||^2 / norm`` plus the graph's cost.

    Near convergence the multiplicative update alone would need thousands of iterations for the effect of one sweep.
    """
    if graph is None:
        return _lifted(_sweep(ding(H, gram, cross), gram, cross))
    cost_of = partial(_cost_of_codes, gram, cross, norm, graph)
    first = _tied_ding(H, gram, cross, norm, graph)
    new = _lifted(_tied_sweep(first, gram, cross, norm, graph))
    # The unit of a row in the graph's cost changes with the codes, so a whole step may raise the cost.
    return new if cost_of(new) <= cost_of(H) else shortened(H, first, cost_of)


def _lifted(H: Matrix) -> Matrix:
    """Codes of at least the rounding of their mean, since a zero could never grow again."""
    return np.maximum(H, np.finfo(H.dtype).eps * H.mean())


def _sweep(H: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
    return HALS(sweeps=1)(H.T, gram, cross.T).T


def _tied_ding(H: Matrix, gram: Matrix, cross: Matrix, norm: float, graph: ClassGraph) -> Matrix:
    plus, minus = np.zeros_like(H), np.zeros_like(H)
    ridge, means = graph.parts(H)
    plus[:, graph.known], minus[:, graph.known] = norm * ridge * H[:, graph.known], norm * means
    return ding(H, gram, cross, plus, minus)


def _tied_sweep(H: Matrix, gram: Matrix, cross: Matrix, norm: float, graph: ClassGraph) -> Matrix:
    """A sweep with fixed means of the classes, which bounds the concave part of the scatter from above."""
    new, known = np.empty_like(H), graph.known
    ridge, means = graph.parts(H)
    new[:, known] = _sweep(H[:, known], gram + np.diag(norm * ridge[:, 0]), cross[:, known] + norm * means)
    if not known.all():
        new[:, ~known] = _sweep(H[:, ~known], gram, cross[:, ~known])
    return new


def _cost_of_codes(gram: Matrix, cross: Matrix, norm: float, graph: ClassGraph, H: Matrix) -> float:
    return inner(H, like(gram, H) @ H - 2.0 * cross) / norm + graph.value(H)


def fine_tune(
    X: Any,
    Z: list[Matrix],
    H: Matrix,
    monitor: Monitor,
    *,
    graph: ClassGraph | None = None,
    nonnegative: bool = False,
    fixed: Collection[int] = (),
) -> tuple[list[Matrix], Matrix]:
    """Minimise ``||X - Z_0 ... Z_L H||^2 / ||X||^2`` plus the graph's cost by updates of every Z, then of H.

    With one factor this is semi-NMF.  An iteration reads X twice.  The codes H of shape (k_L, n) must be strictly
    positive at first, and so must the Z's of shapes (k_{l-1}, k_l) if they are to stay nonnegative.  Those of layers
    that are `fixed` stay as they are; where the first one is among them, X is read once in all.  Return Z and
    H.
    """
    norm, update = squared_norm(X), multiplicative if nonnegative else least_squares
    below = (gram_matrix(Z[0]), cross_product(Z[0], X)) if 0 in fixed else None
    while True:
        step = update_factors(X, Z, H, update, fixed=fixed, below=below)
        cost = 1.0 + step.data / norm
        gradient = 2.0 / norm * (like(step.gram, H) @ H - step.cross)
        if graph is not None:
            cost += graph.value(H)
            gradient[:, graph.known] += graph.gradient(H)
        gradients = [np.multiply(2.0 / norm, half, out=half) for half in step.half_gradients]
        updated = [factor for i, factor in enumerate(Z) if i not in fixed]
        if nonnegative:
            measure = stationarity([*updated, H], [*gradients, gradient])
        else:
            free = [float(np.linalg.norm(F) * np.linalg.norm(G)) for F, G in zip(updated, gradients, strict=True)]
            measure = max([stationarity([H], [gradient]), *free])
        if monitor.watch(cost, measure):
            return Z, H
        Z, H = step.Z, update_codes(H, step.gram, step.cross, norm, graph)
        del step, gradients, gradient  # which are as large as the factors


@dataclass
class FactorsStep:
    """One update of every factor with the codes H held fixed, from the data up.

    Attributes
    ----------
    Z : list of ndarray
        The new factors.
    data : float
        ``||X - Z_0 ... Z_L H||^2 - ||X||^2`` before the update.
    half_gradients : list of ndarray
        Halves of the derivatives of ``||X - Z_0 ... Z_L H||^2`` by those that may change, each with the new factors
        below it.
    gram, cross : ndarray of shape (k_L, k_L) and (k_L, n)
        ``P^T P`` and ``P^T X`` for the product P of the new factors.
    """

    Z: list[Matrix]
    data: float
    half_gradients: list[Matrix]
    gram: Matrix
    cross: Matrix


def update_factors(
    X: Any,
    Z: Sequence[Matrix],
    H: Matrix,
    update: FactorUpdate,
    *,
    fixed: Collection[int] = (),
    below: tuple[Matrix, Matrix] | None = None,
) -> FactorsStep:
    """Update every factor once that is not `fixed`, with the newest values of the factors below.

    Where the first one is fixed, `below` are ``Z_0^T Z_0`` and ``Z_0^T X``.
    """
    new: list[Matrix] = []
    half_gradients: list[Matrix] = []
    data, inputs = 0.0, X  # inputs are P^T X for the product P of the new factors so far
    gram: Matrix | None = None
    for i, (factor, above) in enumerate(zip(Z, right_factors(Z, H), strict=True)):
        if i in fixed:
            new.append(factor)
            if gram is None:
                assert below is not None
                gram, inputs = below
                data = inner(above, like(gram, above) @ above - 2.0 * inputs)
            else:
                gram, inputs = factor.T @ gram @ factor, factor.T @ inputs
            continue
        right, target = gram_matrix(above.T), cross_product(above.T, inputs.T).T
        product = (factor if gram is None else gram @ factor) @ like(right, factor)
        if gram is None:
            data = inner(factor, product - 2.0 * target)
        new.append(update(factor, target, product, gram, right))
        half_gradients.append(np.subtract(product, target, out=product))
        del target, product  # which may be as large as the factors
        inputs = cross_product(new[-1], inputs)
        gram = gram_matrix(new[-1]) if gram is None else new[-1].T @ (gram @ new[-1])
    assert gram is not None
    return FactorsStep(new, data, half_gradients, gram, inputs)
