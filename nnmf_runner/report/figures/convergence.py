"""How the fits of an experiment converge, from their histories."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnmf_runner.report.data import attempt
from nnmf_runner.report.figures.style import Look, legend_below, title_of, title_size
from nnmf_runner.report.variants import Shown, method_order
from nnmf_runner.store.record import read_history

# How many points of a line have a marker.
MARKED = 9


def convergence(runs: Sequence[Shown], looks: Mapping[str, Look]) -> Figure:
    """Draw the excess of the relative cost over the lowest reached, and the projected gradient, by iteration.

    Every variant has one look, by its label; the layers of a hierarchical fit, which follow each other, go from pale
    to dark.  Of a fit of all layers together that starts from others of each alone, these are left out.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in sorted(runs, key=lambda run: method_order(run.label)):
        history = attempt(functools.partial(_history, run), f"{run.folder} is not in the figure of convergence")
        if history is None:
            continue
        look, stages = looks[run.label], np.unique(history["layer"])
        stages = stages[stages < 0] if (stages < 0).any() else stages
        for i, layer in enumerate(stages, start=1):
            part = history["layer"] == layer
            label = run.label if layer < 0 else f"{run.label}, layer {layer:.0f}"
            iteration, cost = 1 + history["iteration"][part], history["cost"][part]
            style = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "alpha": i / len(stages)}
            style |= {"markersize": 3.5, "label": label}
            last = len(iteration) - 1
            left.loglog(iteration[:-1], np.maximum(cost - cost.min(), 1e-16)[:-1], markevery=_spread(last), **style)
            right.loglog(iteration, history["projected_gradient"][part], markevery=_spread(last + 1), **style)
    right.axhline(runs[0].record["config"]["tol"], color="0.4", linewidth=0.8, linestyle=":", label="tolerance")
    left.set(xlabel="iteration", title="relative cost above the lowest reached")
    right.set(xlabel="iteration", title="relative projected gradient")
    legend_below(figure, *right.get_legend_handles_labels())
    title = title_of(runs[0].record)
    figure.suptitle(title, fontsize=title_size(figure, title))
    return figure


def _history(run: Shown) -> dict[str, NDArray[np.floating]]:
    """The history of a run; LookupError if it has not the columns that are drawn."""
    columns = read_history(run.folder)
    return {name: columns[name] for name in ("layer", "iteration", "cost", "projected_gradient")}


def _spread(count: int) -> list[int]:
    """Indices of points that are evenly spread on a logarithmic axis."""
    return np.unique(np.geomspace(1, max(count, 1), MARKED).astype(int) - 1).tolist() if count > 0 else []
