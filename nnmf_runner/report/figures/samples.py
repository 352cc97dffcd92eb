"""The topics of a run on images beside the pictures that they are strongest in."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.metrics.topics import in_unit_topics, or_one, strongest_samples
from nnmf_runner.report.figures.by_layer import Cells, caption, sheet
from nnmf_runner.report.figures.images import BAR, LONGEST, colour_bar
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import PICTURE_COLOUR_MAP, SMALL, colours_of

# Pictures beside a topic.
SHOWN = 4


def samples(view: View) -> Figure:
    """Draw every topic, and beside it the pictures that it is strongest in with their indices.

    Each is scaled to a largest weight of one.
    """
    layout = view.dataset.pictures
    assert layout is not None
    side = layout.height / layout.width
    ratio = min(LONGEST, max(1 / LONGEST, side))
    shape: dict[str, Any] = {"aspect": "equal" if ratio == side else "auto", "interpolation": "antialiased"}
    cells = Cells(usual=3, narrowest=2.2, widest=3.2, ratio=ratio / (1 + SHOWN), flat=0.25)
    made = sheet(view, cells, "topics with their shares, beside each the samples that it is strongest in", BAR)
    strengths = map(in_unit_topics, view.codes, view.topics)
    found = [[best[best >= 0] for best in strongest_samples(own, SHOWN)] for own in strengths]
    scaled = [[_scaled(view, level, j, best) for j, best in enumerate(layer)] for level, layer in enumerate(found)]
    colours = colours_of(*(rows for layer in scaled for rows in layer), positive=PICTURE_COLOUR_MAP)
    for level, drawn in enumerate(made.layers):
        for ax, (j,) in drawn:
            ax.set_axis_off()
            names = [caption(view, level, j), *map(str, found[level][j])]
            for place, (name, pixels) in enumerate(zip(names, scaled[level][j], strict=True)):
                own = ax.inset_axes((place / (1 + SHOWN), 0.0, 0.94 / (1 + SHOWN), 1.0))
                own.imshow(layout.unflatten(pixels), **shape, **colours)
                own.set(xticks=[], yticks=[])
                own.spines[:].set(visible=True, color="0.7", linewidth=0.4)
                own.set_xlabel(name, fontsize=SMALL, color="0.3", labelpad=2)
    colour_bar(made, colours, "weight, the largest of each picture being one")
    return made.figure


def _scaled(view: View, level: int, topic: int, best: NDArray[np.intp]) -> Matrix:
    """A topic and samples in rows, shape (1 + samples, m), each scaled to a largest weight of one."""
    X: Any = view.dataset.X[:, best]
    rows = np.vstack([view.topics[level][:, topic], (X.toarray() if sparse.issparse(X) else X).T])
    return rows / or_one(np.nanmax(np.abs(rows), axis=1, keepdims=True, initial=0.0))
