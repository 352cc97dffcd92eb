"""The methods of an experiment side by side, from its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.report.figures.style import GREY, SMALL, Look, add_title, legend_below
from nnmf_runner.report.variants import Shown, costs_of, in_words

# In per cent: the least excess over a floor that is drawn on its logarithmic scale.
SMALLEST_EXCESS = 1e-3
ERROR, EXCESS, ACCURACY = METRICS["relative_error"].title.lower(), "above the floor (%)", "accuracy"
# In inches: the width of a regime, least and for every point of one place, and the height of a row.
NARROWEST, OF_POINT, HEIGHT = 2.4, 0.06, 2.0
# Side by side, as a share of the distance between layers: points, at most, and all of them.
APART, TOGETHER = 0.11, 0.8
FLOOR, PUBLISHED = "Eckart-Young floor", "as published"


def comparison(summary: pd.DataFrame, looks: Mapping[str, Look], runs: Sequence[Shown] = ()) -> Figure:
    """Draw relative error, its excess over the floor, and accuracy by layers, with a column for every regime.

    Accuracy is that on the unlabelled samples where there are some.  Values of publications have open markers.

    Parameters
    ----------
    summary : DataFrame
        That of one experiment, from `nnmf_runner.report.table.summarise`.
    looks : mapping
        The looks of its variants.
    runs : sequence of Shown
        Those that stand for variants, which tell the costs.
    """
    rows = parts_of(summary)
    regimes = list(dict.fromkeys(rows[ERROR]["regime"]))
    looks = {label: look for label, look in looks.items() if label in set(summary["method"])}
    width = max(NARROWEST, 0.5 + OF_POINT * len(looks) * rows[ERROR]["layers"].nunique())
    figure = Figure(figsize=(1.2 + width * len(regimes), 0.6 + HEIGHT * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(regimes), squeeze=False, sharey="row")
    for (title, part), axes in zip(rows.items(), grid, strict=True):
        for regime, ax in zip(regimes, axes, strict=True):
            _dots(ax, part[part["regime"] == regime], looks)
        first = next(ax for ax in axes if ax.axison)
        first.set_ylabel(title)
        first.tick_params(labelleft=True)
        _scale(first, title, part)
    for regime, column in zip(regimes, grid.T, strict=True):
        column[0].set_title(regime)
        [ax for ax in column if ax.axison][-1].set_xlabel("ranks of the layers")
    cost, costs = costs_of(runs)
    _legend(figure, grid[0][0], costs, published=summary["reported"].notna().any())
    add_title(figure, about(summary, cost).replace("$", r"\$"))
    return figure


def parts_of(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is drawn in every row of the figure, by its title."""
    errors = summary[summary["metric"] == "relative_error"]
    rows = {ERROR: errors, EXCESS: _excess(errors), ACCURACY: _accuracy(summary)}
    return {title: part for title, part in rows.items() if part["mean"].notna().any()}


def about(summary: pd.DataFrame, cost: str | None) -> str:
    """Name the data, the cost if it is that of all, and how many trials the means are of."""
    fewest, most = summary["n"].min(), summary["n"].max()
    trials = f"{most} trial{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} trials"
    what = f"mean and standard deviation of {trials}" if most > 1 else "one trial each"
    return ", ".join(filter(None, [f"{summary['dataset'].iloc[0]}: {what}", cost]))


def _legend(figure: Figure, ax: Axes, costs: Mapping[str, str], *, published: bool) -> None:
    """What the marks mean, methods and costs in words."""
    handles, labels = ax.get_legend_handles_labels()
    words = [label if label == FLOOR else in_words(label, costs.get(label)) for label in labels]
    if published:
        handles.append(Line2D([], [], **_open(GREY, "o")))
        words.append(PUBLISHED)
    legend_below(figure, handles, words)


def _excess(errors: pd.DataFrame) -> pd.DataFrame:
    """The excess of the errors over their floors in per cent, which has neither a deviation nor published values."""
    excess = 100.0 * (errors["mean"] / errors["floor"] - 1.0)
    return errors.assign(mean=excess.clip(lower=SMALLEST_EXCESS), std=np.nan, floor=np.nan, reported=np.nan)


def _accuracy(summary: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the unlabelled samples in regimes that have some, over all samples in the others."""
    unlabelled = summary[summary["metric"] == "accuracy_unknown"]
    everywhere = summary[(summary["metric"] == "accuracy") & ~summary["regime"].isin(unlabelled["regime"])]
    return pd.concat([unlabelled, everywhere])


def _scale(ax: Axes, title: str, part: pd.DataFrame) -> None:
    """Show all marks whole, on the scale of their row."""
    if title == ACCURACY:
        ax.set_ylim(-0.05, 1.05)
    elif title == EXCESS:
        lowest, highest = np.log10([part["mean"].min(), part["mean"].max()])
        lowest, highest = np.floor(lowest + 1e-9), np.ceil(highest)
        ax.set_yscale("log")
        ax.set_ylim(10**lowest / 1.4, 1.4 * 10 ** max(highest, lowest + 1))  # with a number at two ticks at least
        clipped = part["mean"].min() <= SMALLEST_EXCESS
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value, clipped=clipped)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        highest = np.nanmax([(part["mean"] + part["std"].fillna(0.0)).max(), part["reported"].max()])
        ax.set_ylim(-0.05 * highest, 1.08 * highest)


def _percent(value: float, *, clipped: bool) -> str:
    """A plain number, the least that is drawn with a sign where it stands for smaller ones too."""
    return f"{'≤ ' if clipped and np.isclose(value, SMALLEST_EXCESS) else ''}{value:g}"


def _dots(ax: Axes, part: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Draw mean and deviation of every variant, side by side above the layers, and the floor as a line."""
    if part.empty:
        ax.set_axis_off()
        return
    layers = list(dict.fromkeys(part["layers"]))
    for i, (method, look) in enumerate(looks.items()):
        own = part[part["method"] == method]
        place = own["layers"].map(layers.index) + min(APART, TOGETHER / len(looks)) * (i - (len(looks) - 1) / 2)
        style: dict[str, Any] = {"fmt": look.marker, "markersize": 4.0, "elinewidth": 0.8, "color": look.colour}
        ax.errorbar(place, own["mean"], deviations(own), label=method, **style)
        ax.plot(place, own["reported"], zorder=1.5, **_open(look.colour, look.marker))
    if part["floor"].notna().any():
        floors = part.groupby("layers", sort=False)["floor"].min().reindex(layers)  # which bounds all of them
        span = np.arange(len(layers))
        ax.hlines(floors, span - 0.45, span + 0.45, color="0.5", linewidth=0.8, label=FLOOR)
    ax.set_xticks(range(len(layers)), layers)
    ax.set_xlim(-0.6, len(layers) - 0.4)
    if (metric := METRICS[part["metric"].iloc[0]]).name.startswith("accuracy"):
        ax.set_title(metric.title.lower().removeprefix("accuracy "), fontsize=SMALL)


def deviations(own: pd.DataFrame) -> np.ndarray[Any, Any]:
    """The bars below and above the means, shape (2, variants); those of accuracies stay between zero and one."""
    mean, std = own["mean"].to_numpy(), own["std"].fillna(0.0).to_numpy()
    shares = own["metric"].str.startswith("accuracy").to_numpy()
    return np.array([np.minimum(std, mean), np.where(shares, np.clip(1.0 - mean, 0.0, std), std)])


def _open(colour: str, marker: str) -> dict[str, Any]:
    """Style of a value of a publication."""
    return {"color": colour, "marker": marker, "markersize": 5.5, "markerfacecolor": "none", "linestyle": ""}
