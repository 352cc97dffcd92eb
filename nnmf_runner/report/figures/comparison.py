"""The methods of an experiment side by side, from its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.report.figures.style import Look, legend_below

# In per cent: the least excess over a floor that is drawn on its logarithmic scale.
SMALLEST_EXCESS = 1e-3
EXCESS = f"% above the floor, at least {SMALLEST_EXCESS:g}"
ACCURACY = METRICS["accuracy"].title.lower()


def comparison(summary: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Draw relative error, its excess over the floor, and accuracy by layers, with a column for every regime.

    The summary is that of one experiment, from `nnmf_runner.report.table.summarise`; looks are by its variants.
    """
    errors = summary[summary["metric"] == "relative_error"]
    excess = 100.0 * (errors["mean"] / errors["floor"] - 1.0)
    rows = {
        METRICS["relative_error"].title.lower(): errors,
        EXCESS: errors.assign(mean=excess.clip(lower=SMALLEST_EXCESS), std=np.nan, floor=np.nan),
        ACCURACY: summary[summary["metric"] == "accuracy"],
    }
    rows = {title: part for title, part in rows.items() if part["mean"].notna().any()}
    regimes = list(dict.fromkeys(errors["regime"]))
    looks = {label: look for label, look in looks.items() if label in set(summary["method"])}
    figure = Figure(figsize=(1.2 + 2.4 * len(regimes), 0.3 + 2.0 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(regimes), squeeze=False, sharey="row")
    for (title, part), axes in zip(rows.items(), grid, strict=True):
        for regime, ax in zip(regimes, axes, strict=True):
            _dots(ax, part[part["regime"] == regime], looks)
        first = next(ax for ax in axes if ax.axison)
        first.set_ylabel(title)
        first.tick_params(labelleft=True)
        if title == EXCESS:
            first.set_yscale("log")
        else:
            first.set_ylim(bottom=0.0, top=1.05 * (1.0 if title == ACCURACY else part["mean"].max()))
    for regime, column in zip(regimes, grid.T, strict=True):
        column[0].set_title(regime)
        [ax for ax in column if ax.axison][-1].set_xlabel("ranks of the layers")
    legend_below(figure, *grid[0][0].get_legend_handles_labels())
    return figure


def _dots(ax: Axes, part: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Draw mean and deviation of every variant, side by side above the layers, and the floor as a line."""
    if part.empty:
        ax.set_axis_off()
        return
    layers = list(dict.fromkeys(part["layers"]))
    for i, (method, look) in enumerate(looks.items()):
        own = part[part["method"] == method]
        place = own["layers"].map(layers.index) + min(0.11, 0.8 / len(looks)) * (i - (len(looks) - 1) / 2)
        style: dict[str, Any] = {"fmt": look.marker, "markersize": 4.0, "elinewidth": 0.8, "color": look.colour}
        ax.errorbar(place, own["mean"], own["std"].fillna(0.0), label=method, **style)
    if part["floor"].notna().any():
        floors = part.groupby("layers", sort=False)["floor"].min().reindex(layers)  # which bounds all of them
        span = np.arange(len(layers))
        ax.hlines(floors, span - 0.45, span + 0.45, color="0.5", linewidth=0.8, label="Eckart-Young floor")
    ax.set_xticks(range(len(layers)), layers)
    ax.set_xlim(-0.6, len(layers) - 0.4)
