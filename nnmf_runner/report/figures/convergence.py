"""How the fits of an experiment converge, from their histories."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
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


def convergence(runs: Sequence[Shown], looks: Mapping[str, Look]) -> Figure:
    """Draw the excess of the relative cost over the lowest reached, and the projected gradient, by iteration.

    Every variant has one look, by its label; the layers of a hierarchical fit, which follow each other, go from pale
    to dark.  Fits that others start from, as those of each layer alone before that of all, are left out.  What the runs
    have in common stands in the title, and anything else with the variant.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    words: dict[str, str] = {}  # of every line
    begun = False  # whether any fit starts from others
    (alike, apart), (cost, costs) = in_common(runs), costs_of(runs)
    for run in sorted(runs, key=lambda run: method_order(run.label)):
        history = attempt(functools.partial(_history, run), f"{run.folder} is not in the figure of convergence")
        if history is None:
            continue
        look, stages = looks[run.label], np.unique(history["layer"])
        begun |= bool((stages < 0).any() and (stages >= 0).any())
        stages = stages[stages < 0] if (stages < 0).any() else stages
        for i, layer in enumerate(stages, start=1):
            part, earlier = _last_fit(history, layer)
            begun |= earlier
            label = run.label if layer < 0 else f"{run.label}, layer {layer:.0f}"
            words[label] = ", ".join(filter(None, [in_words(label, costs.get(run.label)), apart[run.label]]))
            iteration, value = 1 + history["iteration"][part], history["cost"][part]
            style = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "alpha": i / len(stages)}
            style |= {"markersize": 3.5, "label": label}
            last, excess = len(iteration) - 1, value - value.min()
            excess[excess <= 0.0] = np.nan  # the lowest itself, which a logarithmic axis does not hold
            left.loglog(iteration[:-1], excess[:-1], markevery=_spread(last), **style)
            right.loglog(iteration, history["projected_gradient"][part], markevery=_spread(last + 1), **style)
    for tol in sorted({run.record["config"]["tol"] for run in runs}):
        right.axhline(tol, color="0.4", linewidth=0.8, linestyle=":", label="tolerance")
    left.set(xlabel="iteration", title="relative cost above the lowest reached")
    right.set(xlabel="iteration", title="relative projected gradient")
    for axis in (left.xaxis, right.xaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    handles, labels = right.get_legend_handles_labels()
    marks: dict[str, Any] = dict(zip(labels, handles, strict=True))
    legend_below(
        figure, [*marks.values()], [words.get(label, label) for label in marks], title=BEGUN if begun else None
    )
    add_title(figure, f"Convergence: {', '.join(filter(None, [alike, cost]))}")
    return figure


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
