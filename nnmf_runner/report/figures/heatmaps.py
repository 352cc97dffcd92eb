"""The factors of a run as heatmaps, beside its data and their approximations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.report.figures.material import View, come_in_blocks, labelled_first
from nnmf_runner.report.figures.style import (
    BOUNDARY,
    GREY,
    MISSING,
    PAGE,
    SMALL,
    SMALLEST,
    STYLE,
    add_title,
    colours_of,
    legend_below,
    text_width,
)

# The strip below samples without a label.
STRIP: dict[str, Any] = {"color": GREY, "linewidth": 3.0, "solid_capstyle": "butt", "clip_on": False}

# In inches: the heights of the rows, and of the name of a feature; the widths of what is beside the pictures of a row,
# and of the narrowest of them.
ROWS, NAME, BESIDE, NARROWEST = (2.6, 2.35, 1.45), 0.095, 0.9, 0.9
# The most features and classes that have names, and the letters of the longest.
MOST_NAMED, MOST_CLASSES, LONGEST_NAME = 60, 20, 18
# An entry is far larger than others at so many times the size below which this share of those that are not zero is.
FAR, USUAL = 4.0, 0.99
# The most blocks of samples or features, and the smallest share of them, between which lines leave the picture visible.
MOST_LINED, SMALLEST_LINED = 20, 0.02
# The most whose boundaries are marked at all.
MOST_TICKED = 100


def heatmaps(view: View) -> Figure:
    """Draw the data and their approximation after every layer, all A and all S, with one colour scale per row.

    Features have their names where there is space for all, and classes below the codes.  A scale ends where few entries
    are far larger than all others, with an arrow and the largest size.  Samples stand by class where classes do not
    come in blocks, and those without a label last, above a grey strip.  Where there are fewer levels of labels than
    layers, the coarsest one is that of all layers above.
    """
    depth, truth = len(view.A), view.dataset.truth
    levels = [level[view.order] for level in view.dataset.labels]
    labels = {layer: levels[min(layer, len(levels) - 1)] for layer in range(depth)} if levels else {}
    features = dict(enumerate(truth.feature_labels if truth else ()))
    X = view.dataset.X.toarray() if sparse.issparse(view.dataset.X) else view.dataset.X

    feature_names = view.dataset.feature_names if len(X) <= MOST_NAMED else None
    rows_high = max(ROWS[0], NAME * len(X) if feature_names else 0.0)
    classes = [shortened(name) for level in view.dataset.class_names if len(level) <= MOST_CLASSES for name in level]
    below = max((text_width(name) for name in classes), default=0.0) / 72.0
    heights = [rows_high, max(ROWS[1], rows_high if feature_names else 0.0), ROWS[2] + below]
    beside = max((text_width(shortened(name), SMALLEST) for name in feature_names or ()), default=0.0) / 72.0
    width = min(2.0 + 1.9 * depth, max(PAGE - beside, BESIDE + NARROWEST * (1 + depth)))
    figure = Figure(figsize=(width + beside, sum(heights)), layout="constrained")
    add_title(figure, view.title)
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=heights)[:, 0]
    names = ["data, missing grey" if np.isnan(X).any() else "data", *(f"after layer {i}" for i in range(depth))]
    samples = [matrix[:, view.order] for matrix in (X, *view.approximations)]
    across = "samples" if np.array_equal(view.order, labelled_first(view.dataset)) else "samples by class"
    pictures = _row(top, samples, names, "features", across, width)
    factors = _row(middle, view.A, [f"$A_{i}$" for i in range(depth)], "features, topics below", "topics", width)
    codes = _row(bottom, view.S, [f"$S_{i}$" for i in range(depth)], "topics", across, width)

    for i, ax in enumerate(pictures):
        mark_blocks(ax, features.get(max(0, i - 1)), labels.get(max(0, i - 1)))
    mark_blocks(factors[0], features.get(0), None)
    for ax in (pictures[0], factors[0]) if feature_names else ():
        ax.set_yticks(range(len(X)), [shortened(name) for name in feature_names or ()], minor=True, parse_math=False)
        ax.tick_params(axis="y", which="minor", length=0, labelsize=SMALLEST, pad=1)
    for i, ax in enumerate(codes):
        mark_blocks(ax, None, labels.get(i))
        if i in labels and view.dataset.class_names:
            _name_blocks(ax, labels[i], view.dataset.class_names[min(i, len(levels) - 1)])
    if any((level < 0).any() for level in labels.values()):
        legend_below(figure, [Patch(color=STRIP["color"])], ["unlabelled"])
    return figure


def _row(
    figure: SubFigure, matrices: Sequence[Matrix], titles: Sequence[str], down: str, across: str, width: float
) -> Sequence[Axes]:
    """Draw matrices side by side, so many inches with what is beside them, with one colour scale.

    Their shapes have a line of their own where there is no space for them beside the titles.
    """
    axes, colours = figure.subplots(1, len(matrices), squeeze=False)[0], colours_of(*matrices)
    scale, extend = without_outliers(colours, matrices)
    shapes = [f"({matrix.shape[0]} x {matrix.shape[1]})" for matrix in matrices]
    size = STYLE["axes.titlesize"]
    widest = max(text_width("  ".join(each), size) for each in zip(titles, shapes, strict=True))
    between = "  " if widest <= 72.0 * (width - BESIDE) / len(matrices) else "\n"
    for ax, matrix, *heading in zip(axes, matrices, titles, shapes, strict=True):
        image = ax.imshow(matrix, aspect="auto", **scale)
        ax.set_facecolor(MISSING)
        ax.set(title=between.join(heading), xticks=[], yticks=[], xlabel=across)
        ax.spines[:].set_visible(True)
    axes[0].set_ylabel(down)
    bar = figure.colorbar(image, ax=axes, aspect=14, pad=0.01, fraction=0.05, extend=extend)
    if extend != "neither":
        bar.set_label(f"sizes up to {colours['vmax']:.3g}", fontsize=SMALL)
    return axes


def without_outliers(colours: dict[str, Any], matrices: Sequence[Matrix]) -> tuple[dict[str, Any], str]:
    """A colour scale for most entries where few are far larger, and to which side colours then stand for more."""
    sizes = np.concatenate([np.abs(matrix[np.isfinite(matrix) & (matrix != 0.0)]) for matrix in matrices])
    usual = float(np.quantile(sizes, USUAL)) if len(sizes) else 0.0
    if colours["vmax"] <= FAR * usual or not usual:
        return colours, "neither"
    signed = colours["vmin"] < 0.0
    return colours | {"vmin": -usual if signed else 0.0, "vmax": usual}, "both" if signed else "max"


def _name_blocks(ax: Axes, labels: NDArray[np.intp], names: Sequence[str]) -> None:
    """Write the names of classes below their blocks, where each is one block and they are few."""
    present = np.unique(labels[labels >= 0])
    if len(present) > MOST_CLASSES or not come_in_blocks(labels):
        return
    middles = [np.flatnonzero(labels == label).mean() for label in present]
    shown = [shortened(names[label]) for label in present]
    ax.set_xticks(middles, shown, minor=True, rotation=90, parse_math=False)  # beside the ticks between blocks
    ax.tick_params(axis="x", which="minor", length=0, labelsize=SMALLEST, pad=3)


def shortened(name: str) -> str:
    """A name of an entry, cut where it is long."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def mark_blocks(ax: Axes, rows: Any, columns: Any) -> None:
    """Mark the boundaries of blocks of equal labels, where there are labels and they come in blocks.

    They are lines between few and large blocks, and ticks outside where lines would cover small or many ones.
    Below columns without a label there is a strip.
    """
    for labels, line, axis in ((rows, ax.axhline, ax.yaxis), (columns, ax.axvline, ax.xaxis)):
        if labels is None:
            continue
        boundaries = np.flatnonzero(np.diff(labels)) + 0.5
        blocks = np.diff(boundaries, prepend=-0.5, append=len(labels) - 0.5)
        if not come_in_blocks(labels) or len(blocks) > MOST_TICKED:
            continue
        if len(blocks) <= MOST_LINED and blocks.min() >= SMALLEST_LINED * len(labels):
            for boundary in boundaries:
                line(boundary, **BOUNDARY)
        else:
            axis.set_ticks(boundaries, labels=[""] * len(boundaries))
            axis.set_tick_params(length=2.0, pad=0.0, color=BOUNDARY["color"], width=BOUNDARY["linewidth"])
    if columns is not None and (without := columns < 0).any():
        down = ScaledTranslation(0.0, -STRIP["linewidth"] / 144.0, ax.figure.dpi_scale_trans)
        for ends in np.flatnonzero(np.diff(without, prepend=False, append=False)).reshape(-1, 2) - 0.5:
            below = ax.get_xaxis_transform() + down
            ax.plot(ends, [0.0, 0.0], transform=below, scalex=False, scaley=False, **STRIP)
