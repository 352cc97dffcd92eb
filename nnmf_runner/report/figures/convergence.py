"""How the fits of an experiment converge, from their histories."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from nnmf_runner.report.data import attempt
from nnmf_runner.report.figures.style import Look, add_title, in_common, legend_below
from nnmf_runner.report.variants import Shown, costs_of, in_words, method_order
from nnmf_runner.store.record import read_history

# How many points of a line have a marker.
MARKED = 9
BEGUN = "Fits that others start from, of single layers, are left out."
EXCESS, GRADIENT, TOLERANCE = "relative cost above the lowest reached", "relative projected gradient", "tolerance"


@dataclass(frozen=True)
class Line:
    """A fit: the variant it is of, its name, also in words, how dark it is, and whether it starts from other fits."""

    label: str
    name: str
    words: str
    alpha: float
    begun: bool
    iteration: NDArray[np.floating]
    excess: NDArray[np.floating]
    gradient: NDArray[np.floating]


def convergence(runs: Sequence[Shown], looks: Mapping[str, Look]) -> Figure:
    """Draw the excess of the relative cost over the lowest reached, and the projected gradient, by iteration.

    Every variant has one look, by its label; the layers of a hierarchical fit, which follow each other, go from pale
    to dark.  Fits that others start from, as those of each layer alone before that of all, are left out.  What the runs
    have in common stands in the title, and anything else with the variant.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    lines = lines_of(runs)
    for line in lines:
        look, count = looks[line.label], len(line.iteration)
        style = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "alpha": line.alpha}
        style |= {"markersize": 3.5, "label": line.name}
        left.loglog(line.iteration[:-1], line.excess[:-1], markevery=_spread(count - 1), **style)
        right.loglog(line.iteration, line.gradient, markevery=_spread(count), **style)
    for tol in sorted({run.record["config"]["tol"] for run in runs}):
        right.axhline(tol, color="0.4", linewidth=0.8, linestyle=":", label=TOLERANCE)
    left.set(xlabel="iteration", title=EXCESS)
    right.set(xlabel="iteration", title=GRADIENT)
    for axis in (left.xaxis, right.xaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    handles, labels = right.get_legend_handles_labels()
    marks: dict[str, Any] = dict(zip(labels, handles, strict=True))
    words = {line.name: line.words for line in lines}
    told = [words.get(name, name) for name in marks]
    legend_below(figure, [*marks.values()], told, title=BEGUN if any(line.begun for line in lines) else None)
    add_title(figure, about(runs))
    return figure


def about(runs: Sequence[Shown]) -> str:
    """The title: what the runs have in common."""
    return f"Convergence: {', '.join(filter(None, [in_common(runs)[0], costs_of(runs)[0]]))}"


def lines_of(runs: Sequence[Shown], *, quietly: bool = False) -> list[Line]:
    """The fits of some runs, without those that others start from, nor of runs that have no history any more.

    The log names these, unless that is to be done `quietly`.
    """
    lines = []
    apart, costs = in_common(runs)[1], costs_of(runs)[1]
    for run in sorted(runs, key=lambda run: method_order(run.label)):
        lacks = None if quietly else f"{run.folder} is not in the figure of convergence"
        history = attempt(functools.partial(_history, run), lacks)
        if history is None:
            continue
        stages = np.unique(history["layer"])
        begun = bool((stages < 0).any() and (stages >= 0).any())
        stages = stages[stages < 0] if (stages < 0).any() else stages
        for i, layer in enumerate(stages, start=1):
            part, earlier = _last_fit(history, layer)
            stage = "" if layer < 0 else f"layer {layer:.0f}"
            told = [in_words(run.variant, costs.get(run.variant)), stage, apart[run.label]]
            name, words = (", ".join(filter(None, each)) for each in ([run.label, stage], told))
            excess = history["cost"][part] - history["cost"][part].min()
            excess[excess <= 0.0] = np.nan  # the lowest itself, which a logarithmic axis does not hold
            columns = 1 + history["iteration"][part], excess, history["projected_gradient"][part]
            lines.append(Line(run.label, name, words, i / len(stages), begun or earlier, *columns))
    return lines


def _history(run: Shown) -> dict[str, NDArray[np.floating]]:
    """The history of a run; LookupError if it has not the columns that are drawn."""
    columns = read_history(run.folder)
    return {name: columns[name] for name in ("layer", "iteration", "cost", "projected_gradient")}


def _last_fit(history: Mapping[str, NDArray[np.floating]], layer: float) -> tuple[NDArray[np.intp], bool]:
    """Where in a history the last fit of a layer is, and whether there are earlier ones."""
    rows = np.flatnonzero(history["layer"] == layer)
    starts = np.flatnonzero(np.diff(history["iteration"][rows], prepend=np.inf) <= 0)
    return rows[starts[-1] :], len(starts) > 1


def _spread(count: int) -> list[int]:
    """Indices of points that are evenly spread on a logarithmic axis."""
    return np.unique(np.geomspace(1, max(count, 1), MARKED).astype(int) - 1).tolist() if count > 0 else []
