"""The map of a sweep as heatmaps: every place in the colours of its winners, the darker the larger their lead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from nnmf_runner.results.figure import STYLE, save
from nnmf_runner.results.panels import MEASURES
from nnmf_runner.results.regimes import LEVEL, TITLES, methods_of, values_of, verdicts
from nnmf_runner.results.regimes_table import label, text

# Told apart by readers of every colour vision: M. Okabe and K. Ito, "Color Universal Design", 2008.
COLOURS = ("#e69f00", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9")
# How much of its colour the least and the largest lead have.
PALEST, DARKEST = 0.2, 0.85
UNDECIDED = {"facecolor": "0.96", "hatch": "/////", "edgecolor": "0.8", "linewidth": 0.0}
# Of a place, in inches.
WIDTH, HEIGHT = 0.56, 0.44


def draw_maps(comparisons: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """Draw the map of every experiment that has one.

    Parameters
    ----------
    comparisons : DataFrame
        From `nnmf_runner.results.regimes.compare`.
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
        Of one experiment, from `nnmf_runner.results.regimes.compare`.
    """
    places, methods = verdicts(comparisons), methods_of(comparisons)
    colours = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    measures = [name for name in MEASURES if name in set(places["measure"])]
    panels = [part for _, part in places.groupby(["axis", "other_axis"], sort=False, dropna=False)]
    across, down = ([len(values_of(panel, name)) for panel in panels] for name in ("at", "other_at"))

    size = (0.7 + len(measures) * (0.2 + WIDTH * max(across)), 0.7 + sum(0.55 + HEIGHT * n for n in down))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), len(measures), squeeze=False, height_ratios=down)
    for axes, panel in zip(grid, panels, strict=True):
        for ax, measure in zip(axes, measures, strict=True):
            largest = places.loc[places["measure"] == measure, "lead"].max()
            _heatmap(ax, panel, measure, colours, largest)
    for ax, measure in zip(grid[0], measures, strict=True):
        ax.set_title(TITLES[measure])
    for ax in grid[:, 1:].flat:
        ax.set(ylabel="", yticklabels=[])
    handles = [Patch(facecolor=_tint(colour, 0.7), label=method) for method, colour in colours.items()]
    handles.append(Patch(**UNDECIDED, label=f"undecided at {LEVEL:g}"))
    caption = "Who wins, and who is not decidedly behind; numbers are leads over the best of the others, in points."
    legend = {"loc": "outside lower center", "ncols": len(handles), "fontsize": 8, "title_fontsize": 8}
    figure.legend(handles=handles, title=caption, **legend)
    return figure


def _heatmap(ax: Axes, panel: pd.DataFrame, measure: str, colours: dict[str, str], largest: float) -> None:
    """The places of a panel by one measure; those without numbers stay blank."""
    across, down = values_of(panel, "at"), values_of(panel, "other_at")
    for place in panel[panel["measure"] == measure].itertuples():
        _place(ax, across.index(place.at), down.index(place.other_at), place, colours, largest)
    axis, other = panel.iloc[0][["axis", "other_axis"]]
    ax.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5), xlabel=label(axis), ylabel=label(other))
    ax.set_xticks(range(len(across)), map(text, across))
    ax.set_yticks(range(len(down)), map(text, down))
    ax.tick_params(length=0)
    ax.set_facecolor("white")
    ax.spines[:].set_visible(False)


def _place(ax: Axes, x: int, y: int, place: Any, colours: dict[str, str], largest: float) -> None:
    """A rectangle with a band for every winner, their names and their lead in points; hatched where none is decided."""
    if pd.isna(place.lead):
        ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, **UNDECIDED))
        return
    share = PALEST + (DARKEST - PALEST) * place.lead / largest
    winners = [method for method in colours if method in place.winners]
    band = 0.94 / len(winners)
    tints = [_tint(colours[winner], share) for winner in winners]
    for i, tint in enumerate(tints):
        ax.add_patch(Rectangle((x - 0.47 + i * band, y - 0.46), band, 0.92, facecolor=tint, linewidth=0.0))
    ink = "white" if max(map(_luminance, tints)) < 0.45 else "black"
    names = "\n".join(winner.split()[0] for winner in winners)
    style = {"ha": "center", "va": "center", "color": ink, "linespacing": 0.95}
    ax.text(x, y, f"{names}\n{100 * place.lead:+.1f}", fontsize=6.5 if len(winners) < 3 else 5, **style)


def _tint(colour: str, share: float) -> tuple[float, ...]:
    """A colour thinned with white."""
    return tuple(1.0 - share * (1.0 - np.array(to_rgb(colour))))


def _luminance(colour: tuple[float, ...]) -> float:
    return float(np.dot(colour, (0.299, 0.587, 0.114)))
