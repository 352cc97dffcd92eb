"""How the fits of an experiment converge, from their histories."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from nnmf_runner.report.figures.style import Look, legend_below, title_of, title_size
from nnmf_runner.report.variants import Shown, method_order
from nnmf_runner.store.record import read_history

log = logging.getLogger(__name__)

# How many points of a line have a marker.
MARKED = 9


def convergence(runs: Sequence[Shown], looks: Mapping[str, Look]) -> Figure:
    """Draw the excess of the relative cost over the lowest reached, and the projected gradient, by iteration.

    Every variant has one look, by its label; the layers of a hierarchical fit, which follow each other, go from pale
    to dark.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in sorted(runs, key=lambda run: method_order(run.label)):
        try:
            history = read_history(run.folder)
        except ValueError as error:
            log.warning("%s is not in the figure of convergence: %s.", run.folder, error)
            continue
        look, stages = looks[run.label], np.unique(history["layer"])
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


def _spread(count: int) -> list[int]:
    """Indices of points that are evenly spread on a logarithmic axis."""
    return np.unique(np.geomspace(1, max(count, 1), MARKED).astype(int) - 1).tolist() if count > 0 else []
