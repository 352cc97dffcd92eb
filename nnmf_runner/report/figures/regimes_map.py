"""The map of a sweep as heatmaps: every place in the colours of its winners, the darker the larger their lead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from nnmf_runner.metrics.registry import METRICS, mapped
from nnmf_runner.report.figures.all import STYLE, legend_below, save, text_width
from nnmf_runner.report.looks import Look, looks_of
from nnmf_runner.report.regimes import LEVEL, methods_of, values_of, verdicts
from nnmf_runner.report.regimes_table import label, text
from nnmf_runner.report.variants import words_of

# How much of its colour the least and the largest lead have.
PALEST, DARKEST = 0.2, 0.85
UNDECIDED = {"facecolor": "0.96", "hatch": "/////", "edgecolor": "0.8", "linewidth": 0.0}
# Of a place, in inches.
WIDTH, HEIGHT = 0.56, 0.44
# Of the names in it, in points: of two winners at most, and of more.
SMALL, SMALLEST = 6.5, 5.0


def draw_maps(comparisons: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """Draw the map of every experiment that has one.

    Parameters
    ----------
    comparisons : DataFrame
        From `nnmf_runner.report.regimes.compare`.
    folder : Path
        Where to write; it exists.

    Yields
    ------
    Path
        Each file written.
    """
    with mpl.rc_context(STYLE):
        for experiment, part in comparisons.groupby("experiment", sort=False):
            yield from save(regime_map(part), folder / f"{experiment}_map")


def regime_map(comparisons: pd.DataFrame) -> Figure:
    """A row for every panel of the map, a column for every measure.

    Parameters
    ----------
    comparisons : DataFrame
        Of one experiment, from `nnmf_runner.report.regimes.compare`.
    """
    places, looks = verdicts(comparisons), looks_of(methods_of(comparisons))
    measures = [metric.name for metric in mapped() if metric.name in set(places["measure"])]
    panels = [part for _, part in places.groupby(["axis", "other_axis"], sort=False, dropna=False)]
    across, down = ([len(values_of(panel, name)) for panel in panels] for name in ("at", "other_at"))

    width = max(WIDTH, 0.12 + max(text_width(_short(label, looks), SMALL) for label in looks) / 72.0)
    size = (0.7 + len(measures) * (0.2 + width * max(across)), 0.4 + sum(0.55 + HEIGHT * n for n in down))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), len(measures), squeeze=False, height_ratios=down)
    for axes, panel in zip(grid, panels, strict=True):
        for ax, measure in zip(axes, measures, strict=True):
            largest = places.loc[places["measure"] == measure, "margin"].max()
            _heatmap(ax, panel, measure, looks, largest)
    for ax, measure in zip(grid[0], measures, strict=True):
        ax.set_title(METRICS[measure].title)
    for ax in grid[:, 1:].flat:
        ax.set(ylabel="", yticklabels=[])
    handles = [*(Patch(**_area(look, 0.7)) for look in looks.values()), Patch(**UNDECIDED)]
    caption = "Best and not significantly worse; numbers are margins over the best of the others, in points."
    legend_below(figure, handles, [*looks, f"not significant at {LEVEL:g}"], 8.0, caption)
    return figure


def _heatmap(ax: Axes, panel: pd.DataFrame, measure: str, looks: Mapping[str, Look], largest: float) -> None:
    """The places of a panel by one measure; those without numbers stay blank."""
    across, down = values_of(panel, "at"), values_of(panel, "other_at")
    for place in panel[panel["measure"] == measure].itertuples():
        _place(ax, across.index(place.at), down.index(place.other_at), place, looks, largest)
    axis, other = panel.iloc[0][["axis", "other_axis"]]
    ax.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5), xlabel=label(axis), ylabel=label(other))
    ax.set_xticks(range(len(across)), map(text, across))
    ax.set_yticks(range(len(down)), map(text, down))
    ax.tick_params(length=0)
    ax.set_facecolor("white")
    ax.spines[:].set_visible(False)


def _place(ax: Axes, x: int, y: int, place: Any, looks: Mapping[str, Look], largest: float) -> None:
    """A rectangle with a band for every winner, their names and their lead in points; hatched where none is decided."""
    if pd.isna(place.margin):
        ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, **UNDECIDED))
        return
    share = PALEST + (DARKEST - PALEST) * place.margin / largest
    winners = [method for method in looks if method in place.best]
    band = 0.94 / len(winners)
    for i, winner in enumerate(winners):
        ax.add_patch(Rectangle((x - 0.47 + i * band, y - 0.46), band, 0.92, **_area(looks[winner], share)))
    tints = [_tint(looks[winner].colour, share) for winner in winners]
    ink = "white" if max(map(_luminance, tints)) < 0.45 else "black"
    names = "\n".join(_short(winner, looks) for winner in winners)
    halo = withStroke(linewidth=1.6, foreground="black" if ink == "white" else "white", alpha=0.7)  # over the hatching
    style = {"ha": "center", "va": "center", "color": ink, "linespacing": 1.1, "path_effects": [halo]}
    ax.text(x, y, f"{names}\n{100 * place.margin:+.1f}", fontsize=SMALL if len(winners) < 3 else SMALLEST, **style)


def _short(label: str, labels: Iterable[str]) -> str:
    """What a place holds of a variant: what tells it apart, if that is its alone, as its colour tells the method."""
    words = words_of(label)
    return words if words and [words_of(other) for other in labels].count(words) == 1 else label


def _area(look: Look, share: float) -> dict[str, Any]:
    """Style of an area of a variant, with this share of its colour."""
    return {"facecolor": _tint(look.colour, share), "hatch": look.hatch, "edgecolor": "white", "linewidth": 0.0}


def _tint(colour: str, share: float) -> tuple[float, ...]:
    """A colour thinned with white."""
    return tuple(1.0 - share * (1.0 - np.array(to_rgb(colour))))


def _luminance(colour: tuple[float, ...]) -> float:
    return float(np.dot(colour, (0.299, 0.587, 0.114)))
