"""The comparisons: each function measures some rows of the table and may add notes to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from nnmf_runner.core.costs import Reconstruction
from nnmf_runner.core.init import NNDSVD
from nnmf_runner.core.layer import forward
from nnmf_runner.core.linalg import chain
from nnmf_runner.core.monitor import Stop, StoppingRule
from nnmf_runner.core.network import Network
from nnmf_runner.core.nnls import nnls
from nnmf_runner.datasets import Toy
from nnmf_runner.methods import Fit, Hierarchical, Neural, Plan, Problem, Supervision
from tests.benchmarks.peers import (
    MISSING,
    Published,
    Reach,
    Setting,
    fastest_threads,
    installed,
    scipy_loop,
    train_until,
)
from tests.benchmarks.timing import Row, Times, take_turns

LAYERS = (9, 4, 2)
SLACK = 1.001  # a fit has arrived at this multiple of the Eckart-Young floor

# Where the number of epochs and the step of the published package come from, none of them fitted to these data.
DOCSTRING = Setting(step=1000.0)  # NeuralNMF/train.py 1.0.0, first lines: train(net, X, epoch=200, lr=1000)
DOCSTRING_EPOCHS = 200
DEMO_EPOCHS = 30  # with labels; its repository, src/NeuralNMF/attic/demo.py
NEWSGROUPS_EPOCHS = 150  # with labels; its repository, src/20news_super.py
# The best of a search on these data over steps from 3 to 20,000: larger ones diverge, smaller ones are slower.
GOOD_STEPS = (10.0, 30.0)


@dataclass
class Effort:
    """How much to measure.

    Attributes
    ----------
    rounds : int
        Turns of short measurements.
    seconds : float
        Budget of one training of the published package.
    seeds : tuple of int
        Random starts that its fastest training is taken from.
    steps : tuple of float
        Steps that it is taken from.
    """

    rounds: int = 15
    seconds: float = 60.0
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: tuple[float, ...] = GOOD_STEPS


QUICK = Effort(rounds=3, seconds=2.0, seeds=(1,), steps=GOOD_STEPS[-1:])


@dataclass
class Toys:
    """The toy data of the slides, their floors, and our start for them."""

    X: np.ndarray = field(init=False)
    classes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        data = Toy().load(np.random.default_rng(0))
        self.X, self.classes = data.X, data.labels[-1]

    def start(self, layers: tuple[int, ...] = LAYERS) -> list[np.ndarray]:
        """NNDSVD factors."""
        return NNDSVD().start(self.X, layers, np.random.default_rng(0))

    def floor(self, rank: int) -> float:
        """The Eckart-Young floor of the relative error."""
        sigma = np.linalg.svd(self.X, compute_uv=False)
        return float(np.linalg.norm(sigma[rank:]) / np.linalg.norm(sigma))

    def error(self, fit: Fit) -> float:
        """Relative error of a fit."""
        return float(np.linalg.norm(self.X - chain(fit.A, fit.S[-1])) / np.linalg.norm(self.X))


def nnls_rows(effort: Effort) -> list[Row]:
    """Nonnegative least squares, 300 x k, for 2000 right-hand sides, against scipy's solver in a loop."""
    rows = []
    for kind in ("uniform", "product x noise"):
        for k, wanted in ((9, 15.0), (20, 10.0)):
            rng = np.random.default_rng(k)
            A, X = rng.random((300, k)), rng.random((300, 2000))
            if kind != "uniform":
                X *= A @ rng.random((k, 2000))
            own = nnls(A, X)
            moved = nnls(A * (1.0 + 1e-3 * rng.standard_normal(A.shape)), X).passive
            if not np.allclose(own.S, scipy_loop(A, X), atol=1e-9 * np.abs(own.S).max()):
                raise RuntimeError(f"nnls differs from scipy on {kind} data with k={k}.")
            tasks = [
                lambda A=A, X=X: nnls(A, X),
                lambda A=A, X=X, own=own: nnls(A, X, passive=own.passive),
                lambda A=A, X=X, moved=moved: nnls(A, X, passive=moved),
                lambda A=A, X=X: scipy_loop(A, X),
            ]
            cold, warm, near, theirs = take_turns(tasks, effort.rounds)
            name = f"nnls k={k}, {kind}"
            rows.append(Row(f"{name}, cold", cold, theirs, wanted))
            rows.append(Row(f"{name}, warm", warm, theirs, 30.0))
            rows.append(Row(f"{name}, warm, A moved by 0.1 %", near, theirs))
    return rows


def evaluation_rows(effort: Effort, toys: Toys, notes: list[str]) -> list[Row]:
    """One cost and gradient at [9,4,2] against an epoch of the published package."""
    plan = Plan(toys.start(), StoppingRule(max_iter=100))
    factors = Neural().fit(Problem(toys.X), plan).A
    network = Network(toys.X, Reconstruction())
    what = "cost and gradient, toy [9,4,2]"
    calls = 50

    def ours() -> None:
        for _ in range(calls):
            network.evaluate(factors)

    def per_call(times: Times) -> Times:
        return Times([seconds / calls for seconds in times.seconds])

    if not installed("torch", "NeuralNMF"):
        times = per_call(take_turns([ours], effort.rounds)[0])
        return [Row(what, times, MISSING, 25.0), Row(what, times, "", limit=4e-4)]
    published = Published(toys.X, LAYERS, Setting(step=GOOD_STEPS[0], seed=1))
    notes.append(fastest_threads(published.epoch, 2 * effort.rounds))
    mine, theirs = take_turns([ours, published.epoch], 2 * effort.rounds)
    mine = per_call(mine)
    return [Row(f"{what}; theirs: an epoch", mine, theirs, 25.0), Row(what, mine, "", limit=4e-4)]


def our_fit(toys: Toys, supervised: bool) -> Callable[[], Fit]:
    """The fit that stops at SLACK times the floor, from NNDSVD; the start is part of the time.

    With labels it stops by the whole cost, of which the squared relative error is one part: later, never sooner.
    """
    labels = Supervision(loss="cross_entropy").labels(toys.classes, 2) if supervised else None
    problem = Problem(toys.X, labels)
    goal = (SLACK * toys.floor(LAYERS[-1])) ** 2
    rule = StoppingRule(tol=0.0, max_iter=1000, progress=lambda iteration, cost: cost <= goal)
    return lambda: Neural().fit(problem, Plan(toys.start(), rule))


def floor_rows(effort: Effort, toys: Toys, notes: list[str], supervised: bool) -> list[Row]:
    """Time to SLACK times the floor at [9,4,2], against trainings of the published package."""
    regime = "supervised" if supervised else "unsupervised"
    what, fit = f"fit to {SLACK} x floor, {regime}", our_fit(toys, supervised)
    result = fit()
    if result.stop is not Stop.INTERRUPTED or toys.error(result) > SLACK * toys.floor(LAYERS[-1]):
        raise RuntimeError(f"our {regime} fit did not reach the floor: stop={result.stop}.")
    wanted = 1000.0 if supervised else 100.0
    if not installed("torch", "NeuralNMF"):
        return [Row(what, take_turns([fit], effort.rounds)[0], MISSING, wanted)]
    runs = _supervised_runs(effort, toys) if supervised else _unsupervised_runs(effort, toys)
    rows, epochs = [], Times()
    for name, reach in runs.items():
        ours = take_turns([fit], effort.rounds)[0]  # between the trainings, for the same noise
        rows.append(Row(f"{what}; theirs: {name}", ours, Times([reach.total]), wanted, bound=not reach.reached))
        notes.append(_told(f"{regime}, {name}", reach))
        epochs.seconds += reach.epochs.seconds
    for name, number in _own_numbers(supervised):
        ours = take_turns([fit], effort.rounds)[0]
        projected = Times([number * seconds for seconds in epochs.seconds])
        rows.append(Row(f"{what}; theirs: {number} epochs ({name}), projected", ours, projected, wanted))
    return rows


def _own_numbers(supervised: bool) -> list[tuple[str, int]]:
    if not supervised:
        return [("its docstring", DOCSTRING_EPOCHS)]
    return [("its demo", DEMO_EPOCHS), ("its newsgroups script", NEWSGROUPS_EPOCHS)]


def _told(name: str, reach: Reach) -> str:
    outcome = "arrived" if reach.reached else "stopped (so the ratio is a lower bound)"
    return (
        f"{name}: {outcome} at relative error {reach.error:.4f} (target {reach.target:.4f}) after {reach.total:.3g} s,"
        f" {len(reach.epochs.seconds)} epochs of {reach.epochs}; {reach.negative_share:.0%} of its factors negative"
    )


def _unsupervised_runs(effort: Effort, toys: Toys) -> dict[str, Reach]:
    """As documented, and with the best step and start that we found, as published and projected by us."""
    target = SLACK * toys.floor(LAYERS[-1])
    documented = Published(toys.X, LAYERS, DOCSTRING)
    runs = {"its documented step": train_until(documented, target, effort.seconds / 2, 10_000)}
    for name, project in (("best step and start", False), ("best step and start, projected", True)):
        settings = [Setting(step, seed, project) for step in effort.steps for seed in effort.seeds]
        reaches = [train_until(Published(toys.X, LAYERS, s), target, effort.seconds / 8, 150) for s in settings]
        runs[name] = min(reaches, key=lambda reach: (not reach.reached, reach.total))
    return runs


def _supervised_runs(effort: Effort, toys: Toys) -> dict[str, Reach]:
    """With the best step, and the weight of the labels that is ours; its relative errors are ours squared."""
    target = SLACK * toys.floor(LAYERS[-1])
    weight = Supervision().weight * float(np.mean(toys.X**2)) / np.log(2)
    setting = Setting(GOOD_STEPS[-1], seed=1, label_weight=weight)
    reach = train_until(Published(toys.X, LAYERS, setting, toys.classes), target, effort.seconds, 10_000)
    slower = replace(setting, step=1e-3)  # the default of train_supervised
    default = train_until(Published(toys.X, LAYERS, slower, toys.classes), target, effort.seconds / 4, 10_000)
    return {"best step and start": reach, "its default step": default}


def sklearn_rows(effort: Effort, toys: Toys) -> list[Row]:
    """One layer of rank 9 by coordinate descent, from the same start to the same error as our HALS."""
    start, fit = toys.start((9,)), Hierarchical().fit
    best = fit(Problem(toys.X), Plan(start, StoppingRule(tol=0.0, max_iter=500))).history.cost[-1]
    target = SLACK * np.sqrt(best)
    rule = StoppingRule(tol=0.0, max_iter=500, progress=lambda iteration, cost: cost <= target**2)

    def ours() -> Fit:
        return fit(Problem(toys.X), Plan(start, rule))

    what = f"one layer, k=9, toy, to relative error {target:.5f}"
    if not installed("sklearn"):
        return [Row(what, take_turns([ours], effort.rounds)[0], MISSING)]
    from sklearn.decomposition import NMF

    codes = forward(start[0], toys.X).S

    def theirs(sweeps: int) -> NMF:
        model = NMF(9, solver="cd", init="custom", tol=0.0, max_iter=sweeps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that the sweeps are limited
            model.fit_transform(toys.X, W=start[0].copy(), H=codes.copy())
        return model

    goal = target * np.linalg.norm(toys.X)
    sweeps = next((n for n in range(1, 1001) if theirs(n).reconstruction_err_ <= goal), None)
    if sweeps is None:
        return [Row(what, take_turns([ours], effort.rounds)[0], "not reached in 1000 sweeps")]
    mine, measured = take_turns([ours, lambda: theirs(sweeps)], 2 * effort.rounds)
    return [Row(f"{what}; theirs: cd, {sweeps} sweeps", mine, measured)]
