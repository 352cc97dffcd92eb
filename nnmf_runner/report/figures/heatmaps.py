"""The factors of a run as heatmaps, beside its data and their approximations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from scipy import sparse

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import BOUNDARY, MISSING, colours_of, title_size


def heatmaps(view: View) -> Figure:
    """Draw the data and their approximation after every layer, all A and all S, with one colour scale per row."""
    depth, truth = len(view.A), view.dataset.truth
    labels, features = (
        dict(enumerate(given)) for given in (view.dataset.labels, truth.feature_labels if truth else ())
    )
    X = view.dataset.X.toarray() if sparse.issparse(view.dataset.X) else view.dataset.X

    figure = Figure(figsize=(2.0 + 1.9 * depth, 6.4), layout="constrained")
    figure.suptitle(view.title, fontsize=title_size(figure, view.title))
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=[1.0, 0.9, 0.55])[:, 0]
    names = ["data, missing grey" if np.isnan(X).any() else "data", *(f"after layer {i}" for i in range(depth))]
    pictures = _row(top, [X, *view.approximations], names, "features", "samples")
    factors = _row(middle, view.A, [f"$A_{i}$" for i in range(depth)], "features, topics below", "topics")
    codes = _row(bottom, view.S, [f"$S_{i}$" for i in range(depth)], "topics", "samples")

    for i, ax in enumerate(pictures):
        _mark(ax, features.get(max(0, i - 1)), labels.get(max(0, i - 1)))
    _mark(factors[0], features.get(0), None)
    for i, ax in enumerate(codes):
        _mark(ax, None, labels.get(i))
    return figure


def _row(
    figure: SubFigure, matrices: Sequence[Matrix], titles: Sequence[str], down: str, across: str
) -> Sequence[Axes]:
    """Draw matrices side by side with one colour scale."""
    axes, colours = figure.subplots(1, len(matrices), squeeze=False)[0], colours_of(*matrices)
    for ax, matrix, title in zip(axes, matrices, titles, strict=True):
        image = ax.imshow(matrix, aspect="auto", **colours)
        ax.set_facecolor(MISSING)
        ax.set(title=f"{title}  ({matrix.shape[0]} x {matrix.shape[1]})", xticks=[], yticks=[], xlabel=across)
        ax.spines[:].set_visible(True)
    axes[0].set_ylabel(down)
    figure.colorbar(image, ax=axes, aspect=14, pad=0.01, fraction=0.05)
    return axes


def _mark(ax: Axes, rows: Any, columns: Any) -> None:
    """Draw the boundaries of blocks of equal labels, where there are labels and they come in blocks."""
    for labels, line in ((rows, ax.axhline), (columns, ax.axvline)):
        if labels is None:
            continue
        boundaries = np.flatnonzero(np.diff(labels)) + 0.5
        if len(boundaries) == len(np.unique(labels)) - 1:
            for boundary in boundaries:
                line(boundary, **BOUNDARY)
