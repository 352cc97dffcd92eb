"""Nonnegative CP decomposition (NCP, NCPD): minimise ``||X - [[F_1, ..., F_N]]||^2`` over ``F_i >= 0``, (d_i, R)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from nnmf_runner.core.linalg import Matrix, inner
from nnmf_runner.core.monitor import Monitor, Stop, StoppingRule, stationarity
from nnmf_runner.core.tensor import Tensor, gram
from nnmf_runner.core.updates import AdaptiveHALS, Multiplicative, Update

UPDATES: dict[str, type[Update]] = {"hals": AdaptiveHALS, "mu": Multiplicative}


@dataclass
class Sweep:
    """One update of every factor, the others held fixed at their newest values.

    Attributes
    ----------
    cost : float
        Relative cost ``||X - [[F_1, ..., F_N]]||^2 / ||X||^2`` before the sweep.
    gradients : list of ndarray
        Its derivatives by every factor, just before the factor's update.
    factors : list of ndarray
        The factors after the sweep.
    """

    cost: float
    gradients: list[Matrix]
    factors: list[Matrix]


def _sweep(tensor: Tensor, factors: Sequence[Matrix], update: Update, highest: float) -> Sweep | None:
    """One sweep, or None, after a part of the first reading, if the cost before it is above `highest`."""
    norm = tensor.squared_norm or 1.0  # data of zeros have no scale to be relative to
    sweep = Sweep(math.nan, [np.empty(0)] * len(factors), list(factors))
    grams = [F.T @ F for F in factors]
    for i, (mode, cross) in enumerate(tensor.sweep(sweep.factors)):
        F, others = sweep.factors[mode], reduce(np.multiply, grams[:mode] + grams[mode + 1 :])
        gradient = F @ others
        gradient -= cross  # half of it
        if i == 0:
            sweep.cost = max(0.0, (tensor.squared_norm + inner(F, gradient) - inner(F, cross)) / norm)
            if sweep.cost > highest:
                return None
        sweep.factors[mode] = update(F, others, cross)
        grams[mode] = sweep.factors[mode].T @ sweep.factors[mode]
        gradient *= 2.0 / norm
        sweep.gradients[mode] = gradient
    return sweep


def ncp(tensor: Tensor, start: Sequence[Matrix], monitor: Monitor, update: str = "hals") -> list[Matrix]:
    """Minimise the cost of nonnegative factors from a start; the cost never rises.

    Parameters
    ----------
    tensor : Tensor
    start : sequence of ndarray of shape (d_i, R)
    monitor : Monitor
        Records every sweep and says when to stop.
    update : {"hals", "mu"}
        Sweeps of HALS with inner passes, whose steps Nesterov's momentum extends and which restart when the cost rises,
        or plain multiplicative sweeps.

    References
    ----------
    A. Cichocki and A.-H. Phan, IEICE Trans. Fundamentals E92-A(3), 2009, for HALS; D. Mitchell, N. Ye and H. De Sterck,
    "Nesterov acceleration of alternating least squares for canonical tensor decomposition", Numer. Linear Algebra Appl.
    27(4), 2020, for momentum with restarts; A. Shashua and T. Hazan, "Non-negative tensor factorization with
    applications to statistics and computer vision", ICML 2005, for multiplicative sweeps.
    """
    step = UPDATES[update]()
    factors = swept = list(start)
    age, highest = 1.0, math.inf
    while True:
        sweep = _sweep(tensor, factors, step, highest)
        if sweep is None:  # the momentum went too far
            factors, age, highest = swept, 1.0, math.inf
            continue
        if monitor.watch(sweep.cost, stationarity(factors, sweep.gradients)):
            return factors
        before, swept = swept, sweep.factors
        if update == "mu":
            factors = swept
            continue
        age, last = (1.0 + math.sqrt(1.0 + 4.0 * age**2)) / 2.0, age
        momentum, highest = (last - 1.0) / age, sweep.cost
        factors = [np.maximum(F + momentum * (F - G), 0.0) for F, G in zip(swept, before, strict=True)]


def ncp_from_starts(
    tensor: Tensor,
    rank: int,
    rng: np.random.Generator,
    monitor: Monitor,
    n_starts: int = 40,
    sweeps: int = 15,
    first: Sequence[Matrix] | None = None,
) -> list[Matrix]:
    """Fit by HALS from the best of several random starts, see `best_start`."""
    return ncp(tensor, best_start(tensor, rank, rng, monitor.rule, n_starts, sweeps, first), monitor)


def best_start(
    tensor: Tensor,
    rank: int,
    rng: np.random.Generator,
    rule: StoppingRule,
    n_starts: int = 40,
    sweeps: int = 15,
    first: Sequence[Matrix] | None = None,
) -> list[Matrix]:
    """The factors of lowest cost after some sweeps of HALS from each of several random starts.

    Random starts end in local minima of very different cost; the decompositions of the unfoldings, which have no
    minimum in common, are a poor start.  Many starts serve better than long ones: where one in ten reaches the lowest
    minimum, 40 of 15 sweeps miss it in 1 of 200 fits, 20 of 30 sweeps in 1 of 10.  The `first` one may be given.  The
    rule's tolerance and its `progress` end the sweeps from a start too.
    """
    lowest, best = math.inf, list(first or random_start(tensor, rank, rng))
    for i in range(n_starts):
        start = best if i == 0 else random_start(tensor, rank, rng)
        monitor = Monitor(StoppingRule(rule.tol, min(sweeps, rule.max_iter), rule.progress))
        factors = ncp(tensor, start, monitor)
        if monitor.history.cost and monitor.history.cost[-1] < lowest:
            lowest, best = monitor.history.cost[-1], factors
        if monitor.stop is Stop.INTERRUPTED:
            break
    return best


def random_start(tensor: Tensor, rank: int, rng: np.random.Generator) -> list[Matrix]:
    """Factors (d_i, R) with entries uniform on [0, 1), scaled alike such that the model has the norm of the data."""
    factors = [rng.random((size, rank)) for size in tensor.shape]
    model = math.sqrt(float(gram(factors).sum()))
    unit = (math.sqrt(tensor.squared_norm) / model) ** (1.0 / len(factors))
    return [unit * F for F in factors]


def balanced(factors: Sequence[Matrix]) -> list[Matrix]:
    """The same model with columns of equal length in all modes; components that are zero are left as they are."""
    lengths = np.array([np.linalg.norm(F, axis=0) for F in factors])  # (N, R)
    positive = np.where(lengths.all(axis=0), lengths, 1.0)
    shared = np.exp(np.log(positive).mean(axis=0))  # whose product with itself is no number where lengths are extreme
    return [F * (shared / length) for F, length in zip(factors, positive, strict=True)]
