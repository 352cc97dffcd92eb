"""Comparisons on sparse text: time, memory, and how both grow with the data."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Energy, Multilevel, Reconstruction
from nnmf_runner.core.init import NNDSVD
from nnmf_runner.core.linalg import cross_product, squared_norm
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.network import Network
from nnmf_runner.core.optimizers import Automatic, Objective, Optimizer, StochasticGradient
from nnmf_runner.datasets import Digits, Wordnet
from nnmf_runner.methods import Fit, Hierarchical, Method, Neural, Plan, Problem, Semi
from nnmf_runner.task import threads
from tests.benchmarks.peers import MISSING, installed
from tests.benchmarks.rows import Effort
from tests.benchmarks.texts import zipf_text
from tests.benchmarks.timing import Row, Times, clock, take_turns

LAYERS = (20, 6)
NEAR = 1.001  # a fit has arrived at this multiple of the relative error that it is compared with
GROWTH = (1, 2, 4, 8)
THREADS_GAIN = 1.6  # of a second thread
FIGURE = Path("outputs/benchmarks/growth.png")


@dataclass
class Text:
    """Data, such as sparse text as words by documents, in compressed columns if they are sparse, and our start."""

    name: str
    X: Any
    most: float = np.inf  # wanted: an evaluation in multiples of its two products with the data
    norm: float = field(init=False)

    def __post_init__(self) -> None:
        self.X = self.X.tocsc() if sparse.issparse(self.X) else self.X
        self.norm = float(np.sqrt(squared_norm(self.X)))

    def start(self, layers: tuple[int, ...] = LAYERS) -> list[np.ndarray]:
        """NNDSVD factors."""
        return NNDSVD().start(self.X, layers, np.random.default_rng(0))

    @property
    def bytes(self) -> int:
        """What the matrix takes."""
        return self.X.data.nbytes + self.X.indices.nbytes + self.X.indptr.nbytes


def texts(effort: Effort, notes: list[str]) -> list[Text]:
    """The generated text, and the glosses of WordNet where they are installed."""
    found = [Text("Zipf text", zipf_text(effort.documents), 2.2)]
    try:
        found.append(Text("WordNet", Wordnet().load(np.random.default_rng(0)).X, 7.0))
    except InputError as error:
        notes.append(f"WordNet left out: {error}")
    sizes = (f"{X.shape[0]} words x {X.shape[1]} documents, {X.nnz} entries" for X in (text.X for text in found))
    notes += [f"{text.name}: {size}" for text, size in zip(found, sizes, strict=True)]
    return found


def dense_data() -> list[Text]:
    """Digits, and a product of rank 20 with noise."""
    rng = np.random.default_rng(0)
    planted = rng.random((2000, 20)) ** 3 @ rng.random((20, 5000)) ** 3
    noisy = planted + planted.mean() * rng.random(planted.shape)
    return [Text("digits", Digits().load(rng).X), Text("dense 2000 x 5000", noisy)]


def product_rows(effort: Effort, text: Text) -> list[Row]:
    """One cost and gradient at [20,6] against the two products with the data in it.

    The factors are those of a fit on its way, and change by 0.1 % from one evaluation to the next.
    """
    A = Neural().fit(Problem(text.X), Plan(text.start(), StoppingRule(max_iter=20))).A
    rng = np.random.default_rng(0)
    moved = [factor * (1.0 + 1e-3 * rng.standard_normal(factor.shape)) for factor in A]
    rows = []
    for cost in (Reconstruction(), Energy(), Multilevel()):
        network = Network(text.X, cost)
        V = network.codes(A)[0]

        def both(network: Network = network) -> None:
            network.evaluate(A)
            network.evaluate(moved)

        def products(V: np.ndarray = V) -> None:
            for _ in range(2):
                cross_product(A[0], text.X)
                text.X @ V.T

        ours, theirs = take_turns([both, products], effort.rounds)
        name = f"{text.name}: 2 x cost and gradient, {cost.name} [20,6]; theirs: 2 x A0^T X and X V^T"
        rows.append(Row(name, ours, theirs, most=text.most))
    return rows


def thread_rows(effort: Effort, text: Text) -> list[Row]:
    """Two threads against one: cost and gradient at [20,6] with moving factors, and fits of `hier` at rank 20."""
    start = text.start((20,))
    rng = np.random.default_rng(0)
    A = Neural().fit(Problem(text.X), Plan(text.start(), StoppingRule(max_iter=20))).A
    moved = [factor * (1.0 + 1e-3 * rng.standard_normal(factor.shape)) for factor in A]
    network = Network(text.X, Reconstruction())

    def both() -> None:
        network.evaluate(A)
        network.evaluate(moved)

    def fit() -> None:
        Hierarchical().fit(Problem(text.X), Plan(start, StoppingRule(tol=0.0, max_iter=10)))

    def by_two(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with threads(2):
                work()

        return run

    rows = []
    for name, work in (("2 x cost and gradient, reconstruction [20,6]", both), ("hier [20], 10 iterations", fit)):
        ours, theirs = take_turns([by_two(work), work], 2 * effort.rounds)
        rows.append(Row(f"{text.name}: {name}, two threads; theirs: one", ours, theirs, THREADS_GAIN))
    return rows


def precision_notes(effort: Effort, text: Text) -> list[str]:
    """Single precision beside double: cost and gradient with moving factors, and peak memory of the data and a fit."""
    A = Neural().fit(Problem(text.X), Plan(text.start(), StoppingRule(max_iter=20))).A
    rng = np.random.default_rng(0)
    moved = [factor * (1.0 + 1e-3 * rng.standard_normal(factor.shape)) for factor in A]
    start, work, peaks = text.start(), [], []
    for dtype in ("float64", "float32"):
        of_type = Text(text.name, text.X.astype(dtype))
        given, others, first = ([factor.astype(dtype) for factor in some] for some in (A, moved, start))
        network, problem = Network(of_type.X, Reconstruction()), Problem(of_type.X)

        def both(network: Network = network, given: Any = given, others: Any = others) -> None:
            network.evaluate(given)
            network.evaluate(others)

        def fit(problem: Problem = problem, first: Any = first) -> None:
            Hierarchical().fit(problem, Plan(first[:1], StoppingRule(tol=0.0, max_iter=10)))

        work += [both, fit]
        peaks += [
            of_type.bytes + peak_of(method, problem, first[:n]) for method, n in ((Neural(), 2), (Hierarchical(), 1))
        ]
    times = take_turns(work, effort.rounds)
    names = ("cost and gradient, neural [20,6]", "10 iterations, hier [20]")
    return [
        f"{text.name}: {name}, single precision takes {times[2 + i].median / times[i].median:.2f} of the time and "
        f"{peaks[2 + i] / peaks[i]:.2f} of the peak memory (with the data) of double"
        for i, name in enumerate(names)
    ]


def _timed(fit: Callable[[StoppingRule], Fit], goal: float) -> Callable[[], Fit]:
    """The fit, ended when its relative error is at most `goal`."""
    rule = StoppingRule(tol=0.0, max_iter=1000, progress=lambda iteration, cost: cost <= goal**2)
    return lambda: fit(rule)


def sklearn_rows(effort: Effort, text: Text, notes: list[str]) -> list[Row]:
    """Rank 20 from one start, to NEAR times the error that scikit-learn's coordinate descent converges to."""
    if not installed("sklearn"):
        return [Row(f"{text.name}: rank 20", Times([np.nan]), MISSING)]
    from sklearn.decomposition import NMF
    from sklearn.decomposition._nmf import _initialize_nmf

    samples = text.X.T.tocsr() if sparse.issparse(text.X) else np.ascontiguousarray(text.X.T)
    W, H = _initialize_nmf(samples, 20, init="nndsvda", random_state=0)

    def theirs(**options: Any) -> Any:
        model = NMF(20, solver="cd", init="custom", **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where sweeps are limited
            model.fit_transform(samples, W=W.copy(), H=H.copy())
        return model

    converged = theirs(max_iter=1000)
    goal = NEAR * converged.reconstruction_err_ / text.norm
    sweeps = next(n for n in range(1, 1000) if theirs(tol=0.0, max_iter=n).reconstruction_err_ / text.norm <= goal)
    rows = []
    for method in (Hierarchical(), Neural()):
        ours = _timed(partial(_fit, method, text, [H.T.copy()]), goal)
        tasks = [ours, lambda: theirs(max_iter=1000), lambda: theirs(tol=0.0, max_iter=sweeps)]
        mine, whole, part = take_turns(tasks, effort.slow_rounds)
        what = f"{text.name}: {method.name} [20] to {NEAR} x scikit-learn's error"
        rows.append(Row(f"{what}; theirs: cd to its end, {converged.n_iter_} sweeps", mine, whole, 1.0))
        rows.append(
            Row(
                f"{what}; theirs: cd until it gets there, {sweeps} sweeps",
                mine,
                part,
                1.0 if method.name == "hier" else 0.5,
            )
        )
    notes.append(f"{text.name}: scikit-learn's cd ends at relative error {goal / NEAR:.5f}")
    return rows


def _fit(method: Method, text: Text, start: list[np.ndarray], rule: StoppingRule) -> Fit:
    return method.fit(Problem(text.X), Plan(start, rule))


class Counted:
    """Counts evaluations of an objective while it is in force."""

    def __enter__(self) -> Counted:
        self.number, self._plain = 0, Objective.evaluate

        def evaluate(objective: Objective, *arguments: Any) -> Any:
            self.number += 1
            return self._plain(objective, *arguments)

        Objective.evaluate = evaluate  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        Objective.evaluate = self._plain  # type: ignore[method-assign]


def evaluations_note(text: Text) -> str:
    """How many evaluations neural [20,6] takes to within 0.1 % of the error that it ends with."""
    seen: list[tuple[int, float]] = []
    with Counted() as counted:
        rule = StoppingRule(progress=lambda iteration, cost: seen.append((counted.number, float(np.sqrt(cost)))))
        fit = _fit(Neural(), text, text.start(), rule)
    first = next(number for number, error in seen if error <= NEAR * seen[-1][1])
    return (
        f"{text.name}: neural [20,6] is within 0.1 % of its final error {seen[-1][1]:.5f} after {first} evaluations "
        f"(wanted: under 100) and ends after {seen[-1][0]} ({fit.stop})"
    )


def peak_share(text: Text, method: Method, layers: tuple[int, ...], optimizer: Optimizer | None = None) -> float:
    """Peak memory of a fit, the data with it, over that of the data and all factors."""
    start = text.start(layers)
    factors = sum(A.nbytes + 8 * A.shape[1] * text.X.shape[1] for A in start)
    return (text.bytes + peak_of(method, Problem(text.X), start, optimizer)) / (text.bytes + factors)


def peak_of(method: Method, problem: Problem, start: list[np.ndarray], optimizer: Optimizer | None = None) -> int:
    """Peak memory of a fit beside the data, in bytes."""
    plan = Plan(start, StoppingRule(tol=0.0, max_iter=20), optimizer or Automatic())
    tracemalloc.start()
    method.fit(problem, plan)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def memory_notes(text: Text) -> list[str]:
    """Peak memory of fits in units of the data and the factors together."""
    cases: list[tuple[Method, tuple[int, ...], Optimizer | None]] = [
        (Neural(), LAYERS, None),
        (Neural(), LAYERS[:1], None),
        (Neural(), LAYERS, StochasticGradient()),
        (Semi(), LAYERS, None),
        (Hierarchical(), LAYERS[:1], None),
    ]
    return [
        f"{text.name}: {method.name} {list(layers)}{f' by {optimizer.name}' if optimizer else ''}, peak memory "
        f"{peak_share(text, method, layers, optimizer):.2f} x the data and the factors together (wanted: at most 2)"
        for method, layers, optimizer in cases
    ]


def growth_note(effort: Effort) -> str:
    """How an evaluation of neural [20,6] grows with the number of documents, also drawn in FIGURE."""
    rows = []
    for factor in GROWTH:
        text = Text(f"{factor}x", zipf_text(factor * effort.documents // 2))
        A, network, times = text.start(), Network(text.X, Reconstruction()), Times()
        network.evaluate(A)
        for _ in range(effort.rounds):
            with clock(times):
                network.evaluate(A)
        rows.append((text.X.nnz, times.median, peak_share(text, Neural(), LAYERS)))
    entries, seconds = (np.array([row[i] for row in rows]) for i in (0, 1))
    slope = np.polyfit(np.log(entries), np.log(seconds), 1)[0]
    _draw_growth(entries, seconds)
    points = ", ".join(f"{n}: {1e3 * t:.3g} ms, {share:.2f}" for n, t, share in rows)
    return (
        f"cost and gradient, neural [20,6], by entries of the data (with peak memory as above): {points}; "
        f"time grows as entries^{slope:.2f} ({FIGURE})"
    )


def _draw_growth(entries: np.ndarray, seconds: np.ndarray) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from nnmf_runner.report.figures.style import STYLE, looks_of, save

    with mpl.rc_context(STYLE):
        figure, look = Figure(figsize=(4.5, 3.2), layout="constrained"), looks_of(["neural"])["neural"]
        axes = figure.subplots()
        millions, slope = entries / 1e6, seconds[0] / entries[0]
        axes.plot([0, *millions], 1e3 * slope * np.array([0, *entries]), "--", color="0.6", label="in proportion")
        axes.plot(millions, 1e3 * seconds, color=look.colour, marker=look.marker, label="measured")
        axes.set(xlabel="entries that are not zero (millions)", ylabel="cost and gradient (ms)", xlim=0, ylim=0)
        axes.set_title("neural, 20-6, on sparse text")
        axes.legend()
        list(save(figure, FIGURE.with_suffix("")))


def large_rows(effort: Effort, notes: list[str]) -> list[Row]:
    """All comparisons on sparse text, and those with coordinate descent on dense data."""
    rows = [row for data in dense_data() for row in sklearn_rows(effort, data, notes)]
    for text in texts(effort, notes):
        rows += [*product_rows(effort, text), *thread_rows(effort, text), *sklearn_rows(effort, text, notes)]
        notes += [evaluations_note(text), *memory_notes(text), *precision_notes(effort, text)]
    notes.append(growth_note(effort))
    return rows
