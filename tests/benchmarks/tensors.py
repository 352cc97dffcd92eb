"""Comparisons on tensors: CP models, hierarchies of them, and products of sparse tensors, with their memory."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.free_network import FreeNetwork
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.monitor import Monitor, StoppingRule
from nnmf_runner.core.ncp import balanced, ncp, random_start
from nnmf_runner.core.optimizers import LBFGS
from nnmf_runner.core.tensor import Tensor, as_tensor, khatri_rao
from nnmf_runner.core.tensor_layerwise import fit_factor, layerwise_free
from nnmf_runner.core.tensor_network import TiedNetwork
from nnmf_runner.datasets import Blocks, Wordnet
from tests.benchmarks.peers import MISSING, PublishedHierarchy, Rival, Setting, fastest_threads, installed, train_until
from tests.benchmarks.rows import SLACK, Effort, told
from tests.benchmarks.timing import Row, Times, take_turns

STEP = 50.0  # of Adam in the published notebooks
EPOCHS = 7500  # there
# Relative errors of the levels above the base in these notebooks, by noise and seed.
PUBLISHED = {(0.1, 1): (0.2172, 0.5303), (0.4, 14): (0.3136, 0.5012)}
ROUNDED = 5e-5  # that they may be above what is printed
SHAPE, ENTRIES = (45, 2431, 2431), 1_000_000  # of the pairs of words in the glosses of WordNet, about
GROWTH = (1, 2, 4, 8)
RANK, NANOSECONDS = 16, 3e-9


@dataclass
class Task:
    """A dense tensor to decompose, and what it is called."""

    name: str
    cube: np.ndarray  # (d_1, ..., d_N)
    rank: int
    wanted: float
    sweeps: int  # of either side, whose lower error is the one to come near to
    seed: int = 0
    tensor: Tensor = field(init=False)
    start: list[Matrix] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.cube.shape
        self.tensor = as_tensor(self.cube.reshape(-1, shape[-1]), shape)
        self.start = random_start(self.tensor, self.rank, np.random.default_rng([self.seed, 1]))  # not the planted one

    def ours(self, goal: float = 0.0) -> Monitor:
        """HALS until the relative error is at most `goal`."""
        rule = StoppingRule(tol=0.0, max_iter=self.sweeps, progress=lambda iteration, cost: cost <= goal**2)
        monitor = Monitor(rule)
        ncp(self.tensor, self.start, monitor)
        return monitor

    def theirs(self, sweeps: int, *, errors: bool = False) -> Any:
        """Sweeps of tensorly's HALS, which computes no errors unless it has to return them."""
        from tensorly.cp_tensor import CPTensor
        from tensorly.decomposition import non_negative_parafac_hals

        start = CPTensor((np.ones(self.rank), [F.copy() for F in self.start]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return non_negative_parafac_hals(
                self.cube, self.rank, sweeps, init=start, tol=1e-300 if errors else None, return_errors=errors
            )


def planted(seed: int, size: int = 100, rank: int = 10) -> np.ndarray:
    """A CP model of uniform factors with noise of one part in a hundred, shape (size, size, size)."""
    rng = np.random.default_rng(seed)
    clean = (khatri_rao([rng.random((size, rank)) for _ in range(2)]) @ rng.random((size, rank)).T).reshape([size] * 3)
    noise = np.abs(rng.standard_normal(clean.shape))
    return clean + 0.01 * noise * np.linalg.norm(clean) / np.linalg.norm(noise)


def ncp_tasks(effort: Effort) -> list[Task]:
    """Planted tensors, and the hyperspectral image that comes with tensorly."""
    tasks = [Task(f"planted 100^3, rank 10, seed {seed}", planted(seed), 10, 2.0, 200, seed) for seed in range(3)]
    if effort.slow_rounds > 1 and installed("tensorly"):
        from tensorly.datasets import load_indian_pines

        tasks.append(Task("Indian Pines, rank 10", np.asarray(load_indian_pines().tensor, float), 10, 1.0, 100))
    return tasks


def ncp_rows(effort: Effort, notes: list[str]) -> list[Row]:
    """A CP model from one start to SLACK times the lowest error that either ends with, against tensorly's HALS."""
    rows = []
    for task in ncp_tasks(effort):
        what = f"NCP by HALS, {task.name}"
        if not installed("tensorly"):
            rows.append(Row(what, take_turns([task.ours], 1)[0], MISSING, task.wanted))
            continue
        own = np.sqrt(task.ours().history.cost)
        their_errors = np.array([float(error) for error in task.theirs(task.sweeps, errors=True)[1]])
        goal = SLACK * min(own.min(), their_errors.min())
        arrived = int(np.argmax(their_errors <= goal)) + 1 if (their_errors <= goal).any() else task.sweeps
        bound = their_errors.min() > goal
        tasks = [partial(task.ours, goal), partial(task.theirs, arrived)]
        mine, measured = take_turns(tasks, effort.slow_rounds)
        rows.append(Row(f"{what}, to relative error {goal:.5f}", mine, measured, task.wanted, bound=bool(bound)))
        sweeps, verb = len(task.ours(goal).history) - 1, "does not get there in" if bound else "gets there in"
        notes.append(
            f"{what}: ours ends at {own[-1]:.5f} and gets there in {sweeps} sweeps, tensorly's ends at "
            f"{their_errors[-1]:.5f} and {verb} {arrived}"
        )
    return rows


@dataclass
class FixedBase:
    """The publications' tensor with the CP model of rank 7 that they build on, and what they reach above it."""

    noise: float
    seed: int
    cube: np.ndarray = field(init=False)
    tensor: Tensor = field(init=False)
    base: list[Matrix] = field(init=False)

    def __post_init__(self) -> None:
        data = Blocks(noise=self.noise, noise_seed=self.seed).load(np.random.default_rng(0))
        assert data.modes is not None
        shape = data.modes.shape
        self.cube, self.tensor = data.X.reshape(shape), as_tensor(data.X, shape)
        unfolded = [np.moveaxis(self.cube, mode, 0).reshape(shape[mode], -1) for mode in range(len(shape))]
        start = [np.abs(np.linalg.svd(X, full_matrices=False)[0][:, :7]) for X in unfolded]
        self.base = ncp(self.tensor, start, Monitor(StoppingRule(tol=0.0, max_iter=100)), "mu")

    @property
    def goal(self) -> float:
        """Sum of the squared relative errors above the base, as they are printed."""
        return float(sum((value + ROUNDED) ** 2 for value in PUBLISHED[self.noise, self.seed]))

    def fit(self) -> float:
        """Fit the free hierarchy from the layerwise one until it passes the goal; return what is left to it."""
        network = FreeNetwork(self.tensor, (7, 4, 2), self.base)
        base_cost = self.tensor.residual(self.base) / self.tensor.squared_norm
        rng = np.random.default_rng(0)
        levels = layerwise_free(balanced(self.base), (4, 2), partial(fit_factor, rng=rng))
        rule = StoppingRule(tol=0.0, max_iter=1000, progress=lambda iteration, cost: cost - base_cost <= self.goal)
        monitor = Monitor(rule)
        LBFGS().minimize(network, [A for level in levels for A, _ in level], monitor, rng)
        return monitor.history.cost[-1] - base_cost - self.goal


def free_rows(effort: Effort, notes: list[str]) -> list[Row]:
    """From the published base past the published cost, against the published network."""
    rows = []
    for noise, seed in PUBLISHED:
        task = FixedBase(noise, seed)
        what = f"free hierarchy to the published errors, blocks, noise {noise}"
        if task.fit() > 0.0:
            raise RuntimeError(f"our free hierarchy did not reach the published errors at noise {noise}.")
        if not installed("torch", "NeuralNMF"):
            rows.append(Row(what, take_turns([task.fit], effort.rounds)[0], MISSING, 300.0))
            continue
        threads = fastest_threads(PublishedHierarchy(task.cube, task.base, (4, 2), Setting(STEP)).epoch, effort.rounds)
        notes.append(f"epoch of the published hierarchy: {threads}")
        for name, plain in (
            ("the published network, of NeuralNMF's layers", False),
            ("the same made faster by us", True),
        ):
            published = PublishedHierarchy(task.cube, task.base, (4, 2), Setting(STEP), plain=plain)
            rival = Rival(task.fit)
            reach = train_until(
                published, float(np.sqrt(task.goal)), seconds=3.0 * effort.seconds, epochs=EPOCHS, rival=rival
            )
            times = Times([reach.epochs.total])
            wanted = None if plain else 300.0
            rows.append(Row(f"{what}; theirs: {name}", rival.times, times, wanted, bound=not reach.reached))
            notes.append(f"{what}, {name}: {told(reach)}")
    return rows


def word_pairs(entries: int = ENTRIES, shape: tuple[int, int, int] = SHAPE) -> Any:
    """A sparse tensor, (files x words) by words, with unequal files and word frequencies that fall like Zipf's."""
    rng = np.random.default_rng(0)
    frequency = 1.0 / np.arange(3, shape[1] + 3) ** 0.7
    drawn, files = int(1.9 * entries), rng.dirichlet(np.ones(shape[0]))
    a = rng.choice(shape[0], drawn, p=files)
    b, c = (rng.choice(size, drawn, p=frequency / frequency.sum()) for size in shape[1:])
    places = np.unique((a * shape[1] + b) * shape[2] + c)
    places = rng.choice(places, min(entries, len(places)), replace=False)
    values = rng.random(len(places)) + 0.5
    return sparse.coo_array((values, np.divmod(places, shape[2])), shape=(shape[0] * shape[1], shape[2])).tocsc()


def sparse_tensors(effort: Effort, notes: list[str]) -> list[tuple[str, Any, tuple[int, ...]]]:
    """The generated pairs of words, and those of WordNet where it is installed: name, matrix, shape."""
    found = [("word pairs", word_pairs(ENTRIES * effort.documents // 11_000), SHAPE)]
    try:
        data = Wordnet(tensor=True, min_df=50).load(np.random.default_rng(0))
        assert data.modes is not None
        found.append(("WordNet", data.X, data.modes.shape))
    except InputError as error:
        notes.append(f"tensor of WordNet left out: {error}")
    notes += [f"{name}: {' x '.join(map(str, shape))}, {X.nnz} entries" for name, X, shape in found]
    return found


def sparse_rows(effort: Effort, notes: list[str]) -> list[Row]:
    """Products of a sparse tensor with factors, and an evaluation of a hierarchy in units of its products."""
    rows = []
    for name, X, shape in sparse_tensors(effort, notes):
        tensor, rng = as_tensor(X, shape), np.random.default_rng(0)
        factors = [rng.random((size, RANK)) for size in shape]
        [all_modes] = take_turns([partial(tensor.products, factors)], effort.rounds)
        unit = X.nnz * RANK * len(shape)
        limit = NANOSECONDS * unit
        what = f"{name}: MTTKRPs of all modes, {RANK} columns"
        rows.append(
            Row(f"{what}, {1e9 * all_modes.median / unit:.2f} ns an entry, column and mode", all_modes, "", limit=limit)
        )
        for exact in (True, False):
            network = TiedNetwork(tensor, (12, 5), exact=exact)
            n_tied = len(shape) - exact
            U = [rng.random((size, 12)) for size in shape]
            variables = [*U[:n_tied], rng.random((12, 5))]
            both = [np.hstack([F, F @ variables[-1]]) for F in U]
            ours, theirs = take_turns(
                [partial(network.evaluate, variables), partial(tensor.products, both)], effort.rounds
            )
            codes = "exact codes" if exact else "tied codes"
            rows.append(
                Row(f"{name}: cost and gradient, tied [12,5], {codes}; theirs: its MTTKRPs", ours, theirs, most=2.0)
            )
    return rows


def memory_note(effort: Effort) -> str:
    """How the memory of an evaluation grows with the entries, the tensor's own arrays with it."""
    entries, peaks = [], []
    for factor in GROWTH:
        n = factor * ENTRIES // 4 * effort.documents // 11_000
        X, shape = word_pairs(n, (SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2])), (SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2])
        rng = np.random.default_rng(0)
        variables = [*(rng.random((size, 12)) for size in shape[:2]), rng.random((12, 5))]
        tracemalloc.start()
        network = TiedNetwork(as_tensor(X, shape), (12, 5))
        network.evaluate(variables)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        entries.append(X.nnz)
        peaks.append(peak + X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    slope = np.polyfit(np.log(entries), np.log(peaks), 1)[0]
    points = ", ".join(f"{n}: {peak / 1e6:.0f} MB" for n, peak in zip(entries, peaks, strict=True))
    met = "yes" if slope <= 1.0 else "no"
    return (
        f"cost and gradient of word pairs, tied [12,5], peak memory with the tensor by its entries: {points}; memory "
        f"grows as entries^{slope:.2f} (wanted: at most entries^1; met: {met})"
    )


def tensor_rows(effort: Effort, notes: list[str]) -> list[Row]:
    """All comparisons on tensors."""
    rows = [*ncp_rows(effort, notes), *free_rows(effort, notes), *sparse_rows(effort, notes)]
    notes.append(memory_note(effort))
    return rows
