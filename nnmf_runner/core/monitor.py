"""The stopping rule, the history and the measure of convergence that all fits share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from nnmf_runner.core.linalg import Matrix, parts
from nnmf_runner.core.threads import mapped

# Relative errors below this are all small alike: a fit of data without noise is not pursued to rounding.
SMALL_ERROR = 0.01
# Roundings of one number that may add up to a projected gradient (measured on data with and without noise).
ROUNDINGS = 16


class Stop(StrEnum):
    """Why a fit ended, from the least to the most worrying reason."""

    CONVERGED = "converged"  # the projected gradient met the tolerance
    PRECISION = "precision"  # the projected gradient is no more than the rounding of single precision
    LINE_SEARCH = "line_search"  # no lower cost along the optimizer's directions: a kink, or rounding
    MAX_ITER = "max_iter"
    DIVERGED = "diverged"  # a cost that is infinite or NaN, or a factor without bound; the factors before are kept
    INTERRUPTED = "interrupted"


def worst(stops: Sequence[Stop | None]) -> Stop:
    """The most worrying of the reasons why several stages ended; there may be none."""
    order = list(Stop)
    return max((stop for stop in stops if stop is not None), key=order.index, default=Stop.CONVERGED)


@dataclass
class History:
    """One row per iteration; iteration 0 is the start.

    Attributes
    ----------
    layer : list of int
        The layer being fitted, or -1 where all are fitted together.
    iteration : list of int
    cost : list of float
        Relative cost.
    projected_gradient : list of float
        Projected gradient of the relative error, the root of the cost: `stationarity` over twice the error.
    seconds : list of float
        Time the iteration took.
    """

    layer: list[int] = field(default_factory=list)
    iteration: list[int] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    projected_gradient: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def columns(self) -> dict[str, list[int] | list[float]]:
        """The history as named columns of equal length."""
        return dict(vars(self))

    @property
    def at_end(self) -> float | None:
        """The largest projected gradient at which a layer ended; None if there is none, or none that is finite."""
        ends = [*dict(zip(self.layer, self.projected_gradient, strict=True)).values()]
        return max(ends) if ends and np.isfinite(ends).all() else None

    @property
    def fits(self) -> int:
        """How many fits there are, one after the other, each of which begins with iteration 0."""
        return self.iteration.count(0)

    @property
    def n_iter(self) -> int:
        """The iterations of all fits together."""
        return len(self) - self.fits

    def __len__(self) -> int:
        return len(self.iteration)


# Called with iteration and relative cost; returning true stops the fit.
Progress = Callable[[int, float], bool | None]


@dataclass
class StoppingRule:
    """When a fit ends, the same for every method.

    Attributes
    ----------
    tol : float
        A fit has converged when the projected gradient of its relative error is at most `tol`.  To first order, that
        is how much the error falls if one factor changes by its own size.
    max_iter : int
        Iterations, or epochs of stochastic optimizers, after which a fit ends in any case.
    progress : callable, optional
        Called with iteration and relative cost at every iteration; returning true interrupts the fit.
    rounding : float
        A fit also ends where the projected gradient of its relative cost, see `stationarity`, is at most this.
    """

    tol: float = 3e-4
    max_iter: int = 5000
    progress: Progress | None = None
    rounding: float = 0.0


class Monitor:
    """Records the iterates of a fit in a history and says when to stop.

    A fit of several stages hands on its history and says which layer it fits; -1 stands for all.
    """

    def __init__(self, rule: StoppingRule, history: History | None = None, layer: int = -1) -> None:
        self.rule, self.layer = rule, layer
        self.history = History() if history is None else history
        self.stop: Stop | None = None
        self._iteration = 0
        self._clock = time.perf_counter()

    def watch(self, cost: float, measure: float) -> Stop | None:
        """Record an iterate by its relative cost and `stationarity`; return the reason to stop, if there is one."""
        if not np.isfinite(cost):
            self.stop = Stop.DIVERGED
            return self.stop
        now = time.perf_counter()
        projected_gradient = float(measure / (2.0 * max(np.sqrt(max(cost, 0.0)), SMALL_ERROR)))
        row = (self.layer, self._iteration, cost, projected_gradient, now - self._clock)
        for column, value in zip(self.history.columns().values(), row, strict=True):
            column.append(value)  # type: ignore[arg-type]
        self._clock = now
        if self.rule.progress is not None and self.rule.progress(self._iteration, cost):
            self.stop = Stop.INTERRUPTED
        elif projected_gradient <= self.rule.tol:
            self.stop = Stop.CONVERGED
        elif measure <= self.rule.rounding:
            self.stop = Stop.PRECISION
        elif self._iteration >= self.rule.max_iter:
            self.stop = Stop.MAX_ITER
        self._iteration += 1
        return self.stop


def rounding_of(dtype: str) -> float:
    """The `StoppingRule.rounding` of fits in this precision; none in double precision, where no tolerance meets it."""
    return 0.0 if dtype == "float64" else ROUNDINGS * float(np.finfo(dtype).eps)


def stationarity(factors: Sequence[Matrix], gradients: Sequence[Matrix]) -> float:
    """Largest projected gradient of nonnegative factors for the gradients of a relative cost, in relative units.

    With each factor measured in multiples of its norm, ``f = F / ||F||`` and ``g = ||F|| dC/dF``, it is
    ``max ||f - P(f - g)||``, the length of a unit step of projected gradient descent.  It depends neither on the scale
    of the data nor on how the factors share it.  Entries that approach zero, which a multiplicative update never
    reaches, count only by their remaining size.

    References
    ----------
    C.-J. Lin, "Projected gradient methods for nonnegative matrix factorization", Neural Comput. 19, 2007, for
    the projected gradient as the measure of convergence; E. G. Birgin et al., SIAM J. Optim. 10(4), 2000,
    for the step in place of the gradient.
    """
    tall = ((F, G) if len(F) > F.shape[1] else (F.T, G.T) for F, G in zip(factors, gradients, strict=True))
    return max(_step(F, G.__getitem__) for F, G in tall)


def partwise_stationarity(F: Matrix, gram: Matrix, cross: Matrix, shift: float, norm: float) -> float:
    """`stationarity` of tall F of shape (p, k) alone for the gradient ``2 (F G - C + shift) / norm``, never formed."""

    def gradient(rows: slice) -> Matrix:
        found = F[rows] @ gram
        found -= cross[rows]
        found += shift
        found *= 2.0 / norm
        return found

    return _step(F, gradient)


def _step(F: Matrix, gradient: Callable[[slice], Matrix]) -> float:
    """``||f - P(f - g)||``, which is ``||min(f, g)||``, of tall F and the gradient of some of its rows."""
    entries = F.ravel(order="K")  # without a copy, whichever side is contiguous
    norm = float(np.sqrt(np.vdot(entries, entries)))
    unit = max(norm, np.finfo(float).tiny)

    def square(rows: slice) -> float:
        step = gradient(rows) * (norm * unit)
        np.minimum(F[rows], step, out=step)
        step /= unit
        return float(np.vdot(step, step))

    return float(np.sqrt(sum(mapped(square, parts(len(F))))))  # in parts, which bounds the memory
