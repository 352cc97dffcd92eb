"""Optimizers over all factors together, behind one interface.

Each minimises a `Network` from given variables under a `Monitor`, and returns the variables it ends with.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from scipy import optimize

from nnmf_runner.core.checks import check_number
from nnmf_runner.core.linalg import Matrix, doubles
from nnmf_runner.core.monitor import Monitor, Stop, stationarity
from nnmf_runner.core.network import Block, Evaluation

# A descent has stalled if this many iterations lower the cost by less than this share.  The cost has kinks where codes
# enter or leave zero, and there the projected gradient need not become small.
STALLED_AFTER, STALLED_SHARE = 50, 1e-5
# Smallest number of columns in a block of stochastic gradient descent.
SMALLEST_BATCH = 32
# A variable or a relative cost beyond this is of a fit that diverges: squares of products overflow soon.
FARTHEST = 1e75
# Earlier steps that may be kept: each is as large as all factors.
MOST_MEMORY = 10_000


class Differentiable(Protocol):
    """What an optimizer needs of a network, such as `nnmf_runner.core.network.Network`."""

    X: Any

    def nonnegative(self, variables: Sequence[Matrix]) -> list[bool]:
        """For every variable, whether it must not be negative."""

    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None, X: Any = None) -> Evaluation:
        """Cost and gradient over all columns, or those of a block, whose data may be given."""

    def blocks(self, size: int, rng: np.random.Generator) -> list[Block]:
        """A random partition of the columns into blocks of at most `size`."""

    def in_turn(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, Any]]:
        """Blocks one after the other, each with its data."""


class Objective:
    """The cost of a network as a function of one vector, with the projection onto the feasible set.

    The vector holds variables of the shapes of `start`, and the variables are of the precision of the first of them.
    """

    def __init__(self, network: Differentiable, start: Sequence[Matrix]) -> None:
        self.network = network
        self.dtype = start[0].dtype
        self.shapes = [variable.shape for variable in start]
        ends = list(itertools.accumulate((variable.size for variable in start), initial=0))
        self.places = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.nonnegative = network.nonnegative(start)

    def pack(self, variables: Sequence[Matrix]) -> Matrix:
        """All variables, or all gradients, as one vector."""
        return np.concatenate([variable.ravel() for variable in variables], dtype=self.dtype)

    def unpack(self, x: Matrix) -> list[Matrix]:
        """The variables as views of a vector, or of its copy in their precision."""
        x = x.astype(self.dtype, copy=False)
        return [x[place].reshape(shape) for place, shape in zip(self.places, self.shapes, strict=True)]

    def project(self, x: Matrix) -> Matrix:
        """Nearest feasible vector; changes `x` in place."""
        for variable, sign in zip(self.unpack(x), self.nonnegative, strict=True):
            if sign:
                np.maximum(variable, 0.0, out=variable)
        return x

    def bounds(self) -> optimize.Bounds:
        """The feasible set in scipy's form."""
        sizes = [place.stop - place.start for place in self.places]
        return optimize.Bounds(np.repeat([0.0 if sign else -np.inf for sign in self.nonnegative], sizes), np.inf)

    def evaluate(self, x: Matrix, block: Block | None = None, X: Any = None) -> tuple[float, Matrix]:
        """Relative cost and gradient, see `Network.evaluate`.

        The cost is NaN where floating point cannot give it, or a metric.
        """
        if not -FARTHEST <= float(x.min()) <= float(x.max()) <= FARTHEST:  # nor if any of x is NaN
            return np.nan, x
        with np.errstate(all="ignore"):
            try:
                result = self.network.evaluate(self.unpack(x), block, X)
            except np.linalg.LinAlgError:
                return np.nan, x
        return (result.value if result.value <= FARTHEST else np.nan), self.pack(result.gradients)

    def stationarity(self, x: Matrix, gradient: Matrix) -> float:
        """`monitor.stationarity` of the variables; those of any sign count with their plain gradient."""
        bounded: list[tuple[Matrix, Matrix]] = []
        free = 0.0
        for variable, part, sign in zip(self.unpack(x), self.unpack(gradient), self.nonnegative, strict=True):
            if sign:
                bounded.append((variable, part))
            else:
                free = max(float(np.linalg.norm(variable) * np.linalg.norm(part)), free)  # also if it is NaN
        return max(free, stationarity(*zip(*bounded, strict=True))) if bounded else free


class Optimizer:
    """A way to minimise the cost of a network.  Subclasses are dataclasses whose fields are its options."""

    name: ClassVar[str]

    @property
    def takes_blocks(self) -> bool:
        """Whether its steps follow gradients of some of the columns."""
        return False

    @property
    def hals(self) -> int:
        """Iterations of HALS that should come before its own where one layer is a plain NMF of the data."""
        return 0

    def minimize(
        self, network: Differentiable, start: Sequence[Matrix], monitor: Monitor, rng: np.random.Generator
    ) -> list[Matrix]:
        """Minimise from `start`; `monitor` records and decides when to stop, which is at once without any variable."""
        if not start:
            monitor.watch(network.evaluate(start).value, 0.0)
            return []
        objective = Objective(network, start)
        with np.errstate(all="ignore"):  # what overflows has no finite cost, and ends as diverged
            return objective.unpack(self.descend(objective, objective.pack(start), monitor, rng))

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise the objective from the vector x, see `minimize`."""
        raise NotImplementedError


def _check_steps(optimizer: StochasticGradient | Adam) -> None:
    check_number(optimizer.step, "step", low=0.0, open_low=True)
    check_number(optimizer.decay, "decay", low=0.0)
    if optimizer.batch is not None:
        check_number(optimizer.batch, "batch", low=1, integer=True)


class Descent:
    """Watches whether the cost of a descent still falls."""

    def __init__(self) -> None:
        self._lowest: list[float] = []

    def has_stalled(self, value: float) -> bool:
        """Whether the cost, with that of this iteration, has hardly fallen for `STALLED_AFTER` iterations."""
        self._lowest.append(min([value, *self._lowest[-1:]]))
        if len(self._lowest) <= STALLED_AFTER:
            return False
        before = self._lowest[-1 - STALLED_AFTER]
        return before - self._lowest[-1] < STALLED_SHARE * before


Rule = Callable[[Matrix, Matrix], Matrix]


def _descend(
    objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator, rule: Rule, batch: int | None
) -> Matrix:
    """Apply ``x <- P(rule(x, gradient))`` for every block of `batch` columns, epoch after epoch.

    The rule is given an unbiased estimate of the full gradient.  The full cost and projected gradient are computed
    after every epoch.
    """
    n = objective.network.X.shape[1]
    blocks = objective.network.blocks(batch, rng) if batch is not None and batch < n else []
    value, gradient = objective.evaluate(x)
    while not monitor.watch(value, objective.stationarity(x, gradient)):
        before = x
        if not blocks:
            x = objective.project(rule(x, gradient))
        del gradient  # which is as large as the factors
        for block, X in objective.network.in_turn([blocks[i] for i in rng.permutation(len(blocks))]):
            value, gradient = objective.evaluate(x, block, X)
            if not np.isfinite(value):
                break
            gradient *= len(blocks)
            x = objective.project(rule(x, gradient))
            del gradient, X
        if np.isfinite(value):
            value, gradient = objective.evaluate(x)
        if not np.isfinite(value):
            monitor.stop = Stop.DIVERGED
            return before
    return x


@dataclass
class GradientDescent(Optimizer):
    """Projected gradient descent with one constant step for all factors, method 1 of the slides.

    Parameters
    ----------
    step : float
        The step for the relative cost, above 0.
    """

    name: ClassVar[str] = "gd"
    step: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.step, "step", low=0.0, open_low=True)

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise, see `Optimizer.descend`."""
        return _descend(objective, x, monitor, rng, lambda x, gradient: x - self.step * gradient, None)


@dataclass
class StochasticGradient(Optimizer):
    """Projected stochastic gradient over blocks of columns.

    Parameters
    ----------
    step : float
        First step, above 0; step t is ``step / (1 + decay t)``.
    decay : float
        How fast the steps fall, see `step`; with 0 all are the first.
    batch : int, optional
        Number of columns in a block.  The default is the square root of the number of columns, but at least 32,
        since every block costs a pass over the factors.

    References
    ----------
    L. Bottou, F. Curtis and J. Nocedal, "Optimization methods for large-scale machine learning",
    SIAM Review 60(2), 2018, section 4.
    """

    name: ClassVar[str] = "sgd"
    step: float = 1.0
    decay: float = 0.01
    batch: int | None = None
    takes_blocks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_steps(self)

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise, see `Optimizer.descend`."""
        taken = 0

        def rule(x: Matrix, gradient: Matrix) -> Matrix:
            nonlocal taken
            taken += 1
            return x - self.step / (1.0 + self.decay * taken) * gradient

        batch = self.batch or max(SMALLEST_BATCH, math.isqrt(objective.network.X.shape[1]))
        return _descend(objective, x, monitor, rng, rule, batch)


@dataclass
class Adam(Optimizer):
    """Adam with projection, over all columns or blocks of them.

    Parameters
    ----------
    step : float
        First step, above 0; step t is ``step / (1 + decay t)``.
    decay : float
        How fast the steps fall, see `step`; with 0 all are the first.
    beta1 : float
        Share, from 0 to below 1, that the mean of the gradients keeps of itself at every step.
    beta2 : float
        Share, from 0 to below 1, that the mean of the squared gradients keeps of itself at every step.
    batch : int, optional
        Number of columns in a block; all by default.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    name: ClassVar[str] = "adam"
    step: float = 0.02
    decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    batch: int | None = None

    def __post_init__(self) -> None:
        _check_steps(self)
        check_number(self.beta1, "beta1", low=0.0, high=1.0, open_high=True)
        check_number(self.beta2, "beta2", low=0.0, high=1.0, open_high=True)

    @property
    def takes_blocks(self) -> bool:
        """Where they are asked for."""
        return self.batch is not None

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise, see `Optimizer.descend`."""
        first, second, taken = np.zeros_like(x), np.zeros_like(x), 0

        def rule(x: Matrix, gradient: Matrix) -> Matrix:
            nonlocal first, second, taken
            taken += 1
            first = self.beta1 * first + (1.0 - self.beta1) * gradient
            second = self.beta2 * second + (1.0 - self.beta2) * gradient**2
            mean = first / (1.0 - self.beta1**taken)
            deviation = np.sqrt(second / (1.0 - self.beta2**taken))
            # Gradients of a relative cost are small, so the usual 1e-8 would not be negligible.
            return x - self.step / (1.0 + self.decay * taken) * mean / (deviation + 1e-12)

        return _descend(objective, x, monitor, rng, rule, self.batch)


@dataclass
class SpectralProjectedGradient(Optimizer):
    """Spectral projected gradient with the nonmonotone line search.

    Parameters
    ----------
    memory : int
        Number of last costs of which an accepted step must not exceed the largest.

    References
    ----------
    E. G. Birgin, J. M. Martinez and M. Raydan, "Nonmonotone spectral projected gradient methods on convex
    sets", SIAM J. Optim. 10(4), 2000, algorithm 2.2.
    """

    name: ClassVar[str] = "spg"
    memory: int = 10

    def __post_init__(self) -> None:
        check_number(self.memory, "memory", low=1, high=MOST_MEMORY, integer=True)

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise, see `Optimizer.descend`."""
        value, gradient = objective.evaluate(x)
        costs, descent = deque([value], maxlen=self.memory), Descent()
        spectral = 1.0 / max(np.abs(objective.project(x - gradient) - x).max(), np.finfo(float).tiny)
        while not monitor.watch(value, objective.stationarity(x, gradient)):
            candidate = objective.project(x - spectral * gradient)
            slope = float(gradient @ (candidate - x))
            found = _nonmonotone_search(objective, x, candidate, max(costs), slope)
            if found is None or descent.has_stalled(found[0]):
                monitor.stop = Stop.LINE_SEARCH
                break
            value, new_gradient = found
            spectral = _spectral_step(x, gradient, candidate, new_gradient)
            x, gradient = candidate, new_gradient
            costs.append(value)
        return x


def _spectral_step(x: Matrix, gradient: Matrix, new_x: Matrix, new_gradient: Matrix) -> float:
    """Inverse of the curvature between two points; overwrites the vectors of the first point."""
    x -= new_x
    gradient -= new_gradient
    curvature = float(x @ gradient)
    return float(np.clip(x @ x / curvature, 1e-10, 1e10)) if curvature > 0 else 1e10


def _nonmonotone_search(
    objective: Objective, x: Matrix, candidate: Matrix, highest: float, slope: float
) -> tuple[float, Matrix] | None:
    """Halve the step from `x` to `candidate`, in place, until the cost is sufficiently below `highest`.

    Return the cost and gradient there, or None if no step is short enough.
    """
    step = 1.0
    while step > 1e-15:
        value, gradient = objective.evaluate(candidate)
        if value <= highest + 1e-4 * step * slope:
            return value, gradient
        del gradient  # as large as all variables, like what the next evaluation needs
        step /= 2.0
        candidate += x
        candidate /= 2.0
    return None


@dataclass
class LBFGS(Optimizer):
    """Limited-memory quasi-Newton with bounds: scipy's L-BFGS-B with the stopping rule of all methods.

    Parameters
    ----------
    memory : int
        Number of last steps whose curvature is kept, at least 1.

    References
    ----------
    R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, "A limited memory algorithm for bound constrained optimization",
    SIAM J. Sci. Comput. 16(5), 1995.
    """

    name: ClassVar[str] = "lbfgs"
    memory: int = 20

    def __post_init__(self) -> None:
        check_number(self.memory, "memory", low=1, high=MOST_MEMORY, integer=True)

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise, see `Optimizer.descend`."""
        run = _LBFGSRun(objective, monitor, x)
        if not monitor.stop:
            unlimited = np.iinfo(np.int32).max
            with contextlib.suppress(_Diverged):
                optimize.minimize(
                    run.evaluate,
                    x,
                    jac=True,
                    method="L-BFGS-B",
                    bounds=objective.bounds(),
                    callback=run.accept,
                    options={
                        "maxcor": self.memory, "maxls": 30, "ftol": 0.0, "gtol": 0.0,
                        "maxiter": unlimited, "maxfun": unlimited,
                    },
                )  # fmt: skip
            monitor.stop = monitor.stop or Stop.LINE_SEARCH
        return run.accepted


class _Diverged(Exception):
    """An evaluation had no finite cost."""


class _LBFGSRun:
    """The last evaluation and the last accepted iterate of one call of scipy's minimiser."""

    def __init__(self, objective: Objective, monitor: Monitor, x: Matrix) -> None:
        self.objective, self.monitor, self.descent = objective, monitor, Descent()
        self.accepted = self.x = doubles(x).copy()  # scipy's precision, whichever that of the variables is
        self.value, self.gradient = self._evaluated(x)
        monitor.watch(self.value, objective.stationarity(x, self.gradient))

    def evaluate(self, x: Matrix) -> tuple[float, Matrix]:
        if not np.array_equal(x, self.x):
            self.x = x.copy()
            self.value, self.gradient = self._evaluated(self.x)
            if not np.isfinite(self.value):
                self.monitor.stop = Stop.DIVERGED
                raise _Diverged
        return self.value, self.gradient

    def _evaluated(self, x: Matrix) -> tuple[float, Matrix]:
        value, gradient = self.objective.evaluate(x)
        return value, doubles(gradient)

    def accept(self, intermediate_result: Any) -> None:
        self.evaluate(intermediate_result.x)
        self.accepted = self.x
        stop = self.monitor.watch(self.value, self.objective.stationarity(self.x, self.gradient))
        if stop or self.descent.has_stalled(self.value):
            raise StopIteration


@dataclass
class Automatic(Optimizer):
    """L-BFGS-B for few variables, the spectral projected gradient for many; for a plain NMF after HALS.

    L-BFGS-B needs fewer evaluations, but works on every variable many times between two of them.  With 400,000
    variables that takes several times as long as an evaluation on sparse text.  An iteration of HALS takes less time
    than either, since it does not solve for the codes exactly, and far from a minimum it falls as far.

    Parameters
    ----------
    large : int
        Smallest number of variables that counts as many.
    hals : int
        Most iterations of hierarchical alternating least squares that neural NMF begins with where it has one layer
        and the squared residual of all entries as its cost, for 1000 samples or more and without labels; 0 for none.
    """

    name: ClassVar[str] = "auto"
    large: int = 50_000
    hals: int = 100

    def __post_init__(self) -> None:
        check_number(self.large, "large", low=0, integer=True)
        check_number(self.hals, "hals", low=0, integer=True)

    def descend(self, objective: Objective, x: Matrix, monitor: Monitor, rng: np.random.Generator) -> Matrix:
        """Minimise, see `Optimizer.descend`."""
        chosen = LBFGS() if x.size < self.large else SpectralProjectedGradient()
        return chosen.descend(objective, x, monitor, rng)


OPTIMIZERS: dict[str, type] = {
    optimizer.name: optimizer
    for optimizer in (Automatic, LBFGS, SpectralProjectedGradient, Adam, StochasticGradient, GradientDescent)
}
