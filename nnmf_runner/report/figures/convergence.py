"""How the fits of an experiment converge, from their histories."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnmf_runner.report.data import attempt
from nnmf_runner.report.figures.style import Look, add_title, in_common, legend_below
from nnmf_runner.report.variants import Shown, costs_of, in_words, method_order
from nnmf_runner.store.record import read_history

# How many points of a line have a marker, and an axis ticks.
MARKED, MOST_TICKS = 9, 8
# The share of its colour that the first of several layers has.
PALEST = 0.45
# In inches: a panel and the height of all.
PANEL, HEIGHT = 3.6, 2.9
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


def convergence(runs: Sequence[Shown], looks: Mapping[str, Look], total: int | None = None) -> Figure | None:
    """Draw the excess of the relative cost over the lowest reached, and the projected gradient, by iteration.

    Iterations, of which 0 is the start, stand as the logarithms of one more.  There is no panel without a value that a
    logarithmic axis holds, and no figure without a panel.

    Every variant has one look, by its label; the layers of a hierarchical fit, which follow each other, go from faint
    to full colour.  Fits that others start from, as those of each layer alone before that of all, are left out.  What
    the runs have in common stands in the title, with how many there are if these are more, and anything else with the
    variant.
    """
    lines = lines_of(runs)
    panels = panels_of(lines)
    if not panels:
        return None
    figure = Figure(figsize=(PANEL * len(panels), HEIGHT), layout="constrained")
    for ax, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        ax.set_xscale("function", functions=(np.log1p, np.expm1))  # first, for margins that it holds
        for line, values in zip(lines, curves, strict=True):
            look, count = looks[line.label], len(values)
            style = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "alpha": line.alpha}
            style |= {"markersize": 3.5, "label": line.name}
            ax.plot(line.iteration[:count], values, markevery=_spread(count), **style)
        ax.set(xlabel="iteration", title=title, yscale="log")
        ax.set_xticks(iteration_ticks(lines))
        if title == GRADIENT:
            for tol in tolerances_of(runs):
                ax.axhline(tol, color="0.4", linewidth=0.8, linestyle=":", label=TOLERANCE)
    handles, labels = ax.get_legend_handles_labels()
    marks: dict[str, Any] = dict(zip(labels, handles, strict=True))
    words = {line.name: line.words for line in lines}
    told = [words.get(name, name) for name in marks]
    legend_below(figure, [*marks.values()], told, title=BEGUN if any(line.begun for line in lines) else None)
    add_title(figure, about(runs, total))
    return figure


def panels_of(lines: Sequence[Line]) -> dict[str, list[NDArray[np.floating]]]:
    """What is drawn of every line, by the title of its panel, where any of it has a place on a logarithmic axis."""
    panels = {EXCESS: [line.excess[:-1] for line in lines], GRADIENT: [line.gradient for line in lines]}
    return {title: curves for title, curves in panels.items() if any((values > 0.0).any() for values in curves)}


def iteration_ticks(lines: Sequence[Line]) -> list[int]:
    """Iterations to be marked: 0, then 1, 2, 5, 10 and so on, or of long fits powers of ten alone."""
    last = int(max(line.iteration[-1] for line in lines))
    powers = [10**i for i in range(len(str(last)))]
    ticks = [0, *(i * power for power in powers for i in (1, 2, 5) if i * power <= last)]
    return ticks if len(ticks) <= MOST_TICKS else [0, *powers]


def tolerances_of(runs: Iterable[Shown]) -> list[float]:
    """The tolerances that fits end at, which are drawn unless they are zero."""
    return sorted({run.record["config"]["tol"] for run in runs} - {0.0})


def about(runs: Sequence[Shown], total: int | None = None) -> str:
    """The title: what the runs have in common, and of how many they are if these are more."""
    some = f"{len(runs)} of {total} runs" if total and total > len(runs) else None
    return f"Convergence: {', '.join(filter(None, [in_common(runs)[0], costs_of(runs)[0], some]))}"


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
        for alpha, layer in zip(np.linspace(1.0, PALEST, len(stages))[::-1].tolist(), stages, strict=True):
            part, earlier = _last_fit(history, layer)
            stage = "" if layer < 0 else f"layer {layer:.0f}"
            told = [in_words(run.variant, costs.get(run.variant)), stage, apart[run.label]]
            name, words = (", ".join(filter(None, each)) for each in ([run.label, stage], told))
            excess = history["cost"][part] - history["cost"][part].min()
            excess[excess <= 0.0] = np.nan  # the lowest itself, which a logarithmic axis does not hold
            columns = history["iteration"][part], excess, history["projected_gradient"][part]
            lines.append(Line(run.label, name, words, alpha, begun or earlier, *columns))
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
