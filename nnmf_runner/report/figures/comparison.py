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
from nnmf_runner.report.figures.style import GREY, PAGE, SMALL, Look, add_title, legend_below
from nnmf_runner.report.variants import Shown, costs_of, in_words

# In per cent: the least excess over a floor that is drawn on its logarithmic scale.
SMALLEST_EXCESS = 1e-3
# A floor below this is rounding, and nothing is above it by a share of it.
ROUNDING = 1e-6
ERROR, EXCESS, ACCURACY = METRICS["relative_error"].title.lower(), "above the floor (%)", "accuracy"
# In inches: the width of a regime, least and for every point of one place, the height of a row, what is beside all.
NARROWEST, OF_POINT, HEIGHT, BESIDE = 2.2, 0.06, 2.0, 1.2
# Side by side, as a share of the distance between layers: points, at most, and all of them.
APART, TOGETHER = 0.11, 0.8
FLOOR, PUBLISHED = "Eckart-Young floor", "as published"
CUT = "Bars end where errors and accuracies do, at 0 and 1."
EXACT = f"No excess is drawn over floors below {ROUNDING:g}, which are rounding."


def comparison(summary: pd.DataFrame, looks: Mapping[str, Look], runs: Sequence[Shown] = ()) -> Figure:
    """Draw relative error, its excess over the floor, and accuracy by layers, with a column for every regime.

    Regimes for which a page is not wide enough stand below the others.
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
    room = PAGE - BESIDE
    width = min(room, max(NARROWEST, 0.5 + OF_POINT * len(looks) * rows[ERROR]["layers"].nunique()))
    across = min(len(regimes), int(room / width))
    blocks = [regimes[i : i + across] for i in range(0, len(regimes), across)]
    drawn = {title: {*part.loc[part["mean"].notna(), "regime"]} for title, part in rows.items()}
    strips = [(block, title) for block in blocks for title in rows if drawn[title].intersection(block)]
    figure = Figure(figsize=(BESIDE + width * across, 0.6 + HEIGHT * len(strips)), layout="constrained")
    grid = figure.subplots(len(strips), across, squeeze=False, sharey="row")
    columns: dict[str, list[Axes]] = {regime: [] for regime in regimes}
    for (block, title), axes in zip(strips, grid, strict=True):
        part = rows[title]
        shown = {regime: ax for regime, ax in zip(block, axes, strict=False) if regime in drawn[title]}
        for regime, ax in shown.items():
            _dots(ax, part[part["regime"] == regime], looks)
            columns[regime].append(ax)
        for ax in {*axes}.difference(shown.values()):
            ax.set_axis_off()
        first = next(iter(shown.values()))
        first.set_ylabel(title)
        first.tick_params(labelleft=True)
        _scale(first, title, part)
    for regime, column in columns.items():
        column[0].set_title(regime)
        column[-1].set_xlabel("ranks of the layers")
    cost, costs = costs_of(runs)
    _legend(figure, grid[0][0], costs, notes_on(rows), published=summary["reported"].notna().any())
    add_title(figure, about(summary, cost).replace("$", r"\$"))
    return figure


def parts_of(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is drawn in every row of the figure, by its title."""
    errors = summary[summary["metric"] == "relative_error"]
    rows = {ERROR: errors, EXCESS: _excess(errors), ACCURACY: _accuracy(summary)}
    return {title: part for title, part in rows.items() if part["mean"].notna().any()}


def notes_on(rows: Mapping[str, pd.DataFrame]) -> list[str]:
    """What is to be known of what is drawn: bars that are cut, and floors that have no excess over them."""
    cut = any((part["std"].to_numpy() > deviations(part)).any() for part in rows.values())
    return [*([CUT] if cut else []), *([EXACT] if (rows[ERROR]["floor"] < ROUNDING).any() else [])]


def about(summary: pd.DataFrame, cost: str | None) -> str:
    """Name the data, the cost if it is that of all, and how many trials the means are of."""
    fewest, most = summary["n"].min(), summary["n"].max()
    trials = f"{most} trial{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} trials"
    what = f"mean and standard deviation of {trials}" if most > 1 else "one trial each"
    return ", ".join(filter(None, [f"{summary['dataset'].iloc[0]}: {what}", cost]))


def _legend(figure: Figure, ax: Axes, costs: Mapping[str, str], notes: Sequence[str], *, published: bool) -> None:
    """What the marks mean, methods and costs in words."""
    handles, labels = ax.get_legend_handles_labels()
    words = [label if label == FLOOR else in_words(label, costs.get(label)) for label in labels]
    if published:
        handles.append(Line2D([], [], **_open(GREY, "o")))
        words.append(PUBLISHED)
    legend_below(figure, handles, words, title=" ".join(notes) or None)


def _excess(errors: pd.DataFrame) -> pd.DataFrame:
    """The excess of the errors over their floors in per cent, which has neither a deviation nor published values."""
    excess = 100.0 * (errors["mean"] / errors["floor"].where(errors["floor"] >= ROUNDING) - 1.0)
    return errors.assign(mean=excess.clip(lower=SMALLEST_EXCESS), std=np.nan, floor=np.nan, reported=np.nan)


def _accuracy(summary: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the unlabelled samples in regimes that have some, over all samples in the others."""
    unlabelled = summary[summary["metric"] == "accuracy_unknown"]
    everywhere = summary[(summary["metric"] == "accuracy") & ~summary["regime"].isin(unlabelled["regime"])]
    return pd.concat([unlabelled, everywhere])


def _scale(ax: Axes, title: str, part: pd.DataFrame) -> None:
    """Show all marks whole, on the scale of their row."""
    if title == EXCESS:
        least = part["mean"].min()
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, least)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(*limits_of(title, part))


def limits_of(title: str, part: pd.DataFrame) -> tuple[float, float]:
    """Where the axis of a row ends, beyond all of its marks."""
    if title == ACCURACY:
        return -0.05, 1.05
    if title == EXCESS:
        lowest, highest = np.log10([part["mean"].min(), part["mean"].max()])
        lowest, highest = np.floor(lowest + 1e-9), np.ceil(highest)
        highest = max(highest, lowest + 1)  # with a number at two ticks at least
        margin = 0.05 * (highest - lowest)
        return 10 ** (lowest - margin), 10 ** (highest + margin)
    spread = part["std"].fillna(0.0)
    highest = np.nanmax([(part["mean"] + spread).max(), part["reported"].max()]) or 1.0
    lowest = np.nanmin([(part["mean"] - spread).min(), part["reported"].min(), part["floor"].min()])
    lowest = lowest if lowest > 0.5 * highest else 0.0  # from zero up, large errors would all look the same
    return lowest - 0.05 * (highest - lowest or highest), highest + 0.08 * (highest - lowest or highest)


def percent(value: float, least: float) -> str:
    """A plain number, the least that is drawn with a sign where it stands for smaller ones too."""
    clipped = least <= SMALLEST_EXCESS and np.isclose(value, SMALLEST_EXCESS)
    return f"{'≤ ' if clipped else ''}{value:g}"


def _dots(ax: Axes, part: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Draw mean and deviation of every variant, side by side above the layers, and the floor as a line."""
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
