"""The map of a sweep: every place has the colours of its best methods, which are the darker the larger their margin."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from nnmf_runner.metrics.registry import METRICS, mapped
from nnmf_runner.report.figures.style import (
    PAGE,
    SMALL,
    SMALLEST,
    Look,
    add_title,
    legend_below,
    looks_of,
    shaded,
    text_width,
)
from nnmf_runner.report.regimes import LEVEL, methods_of, values_of, verdicts
from nnmf_runner.report.regimes_table import label, texts
from nnmf_runner.report.variants import in_words, words_of

# How much of its colour the least and the largest lead have.
PALEST, DARKEST = 0.2, 0.85
NOT_SIGNIFICANT: dict[str, Any] = {"facecolor": "0.96", "hatch": "/////", "edgecolor": "0.8", "linewidth": 0.0}
# Of red, green and blue.
LUMINANCE = np.array([0.299, 0.587, 0.114])
# Of a setting, a panel, the title, and what is beside panels and between them, in inches.
WIDTH, HEIGHT, NARROWEST, TITLE, BESIDE, BETWEEN = 0.56, 0.44, 1.5, 0.25, 0.7, 0.2


def regime_map(comparisons: pd.DataFrame, looks: Mapping[str, Look] | None = None, data: str | None = None) -> Figure:
    """Draw a row for every panel of the map and a column for every measure, below each other those beyond a page.

    Comparisons are those of one experiment, from `nnmf_runner.report.regimes.compare`; looks are of all its variants,
    by default of those that are compared; `data` is what those of the experiment are called.
    """
    places, methods = verdicts(comparisons), methods_of(comparisons)
    looks = {method: (looks or looks_of(methods))[method] for method in methods}
    measures = [metric.name for metric in mapped() if metric.name in set(places["measure"])]
    panels = [part for _, part in places.groupby(["axis", "other_axis"], sort=False, dropna=False)]
    across, down = ([len(values_of(panel, name)) for panel in panels] for name in ("at", "other_at"))

    width = max(WIDTH, 0.12 + max(text_width(_short(label, looks)) for label in looks) / 72.0)
    width = max(width * max(across), NARROWEST)
    titles = [textwrap.fill(METRICS[name].title, int(14 * width)) for name in measures]  # of about 14 letters per inch
    together = min(len(measures), max(1, int((PAGE - BESIDE) / (BETWEEN + width))))
    blocks = -(-len(measures) // together)
    lines = 1 + places["best"].map(len).max()  # of the smallest letters in a setting
    setting = max(HEIGHT, 1.2 * SMALLEST * lines / 72.0)
    height = 0.14 * max(title.count("\n") + 1 for title in titles) + sum(0.55 + setting * n for n in down)
    size = (BESIDE + together * (BETWEEN + width), 0.3 + blocks * height)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(blocks * len(panels), together, squeeze=False, height_ratios=down * blocks)
    for i, (measure, title) in enumerate(zip(measures, titles, strict=True)):
        block, column = divmod(i, together)
        axes = grid[block * len(panels) :, column][: len(panels)]
        axes[0].set_title(title)
        for ax, panel in zip(axes, panels, strict=True):
            _heatmap(ax, panel, measure, looks, places.loc[places["measure"] == measure, "margin"].max())
            ax.set(**{"ylabel": "", "yticklabels": []} if column else {})
    for ax in grid[(blocks - 1) * len(panels) :, 1 + i % together :].flat:
        ax.set_axis_off()
    handles = [*(Patch(**_area(look, 0.7)) for look in looks.values()), Patch(**NOT_SIGNIFICANT)]
    caption = "best and not significantly worse; margin in points"
    legend_below(figure, handles, [*map(in_words, looks), f"not significant at {LEVEL:g}"], 8.0, caption)
    if data is not None:
        figure.set_figheight(figure.get_figheight() + TITLE)
        add_title(figure, f"{data}: the best methods".replace("$", r"\$"))
    return figure


def _heatmap(ax: Axes, panel: pd.DataFrame, measure: str, looks: Mapping[str, Look], largest: float) -> None:
    """Draw the settings of a panel by one measure; those without numbers stay blank."""
    across, down = values_of(panel, "at"), values_of(panel, "other_at")
    for place in panel[panel["measure"] == measure].itertuples():
        _setting(ax, across.index(place.at), down.index(place.other_at), place, looks, largest)
    axis, other = panel.iloc[0][["axis", "other_axis"]]
    ax.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5), xlabel=label(axis), ylabel=label(other))
    ax.set_xticks(range(len(across)), texts(across))
    ax.set_yticks(range(len(down)), texts(down))
    ax.tick_params(length=0)
    ax.set_facecolor("white")
    ax.spines[:].set_visible(False)


def _setting(ax: Axes, x: int, y: int, place: Any, looks: Mapping[str, Look], largest: float) -> None:
    """Draw a band for each of the best, with their names and their margin, or hatching where none is significant."""
    if pd.isna(place.margin):
        ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, **NOT_SIGNIFICANT))
        return
    share = PALEST + (DARKEST - PALEST) * place.margin / largest
    best = [method for method in looks if method in place.best]
    band = 0.94 / len(best)
    for i, method in enumerate(best):
        ax.add_patch(Rectangle((x - 0.47 + i * band, y - 0.46), band, 0.92, **_area(looks[method], share)))
    tints = [to_rgb(shaded(looks[method].colour, 1.0 - share)) for method in best]
    ink = "white" if np.max(tints @ LUMINANCE) < 0.45 else "black"
    names = "\n".join(_short(method, looks) for method in best)
    halo = withStroke(linewidth=1.6, foreground="black" if ink == "white" else "white", alpha=0.7)  # over the hatching
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": ink, "linespacing": 1.1, "path_effects": [halo]}
    ax.text(x, y, f"{names}\n{100 * place.margin:+.1f}", fontsize=SMALL if len(best) < 3 else SMALLEST, **style)


def _short(label: str, labels: Iterable[str]) -> str:
    """Name a variant in a setting by what tells it apart, if that is its alone, as its colour tells the method."""
    words = words_of(label)
    return words if words and [words_of(other) for other in labels].count(words) == 1 else label


def _area(look: Look, share: float) -> dict[str, Any]:
    """Style of an area of a variant, with this share of its colour."""
    return {"facecolor": shaded(look.colour, 1.0 - share), "hatch": look.hatch, "edgecolor": "white", "linewidth": 0.0}
