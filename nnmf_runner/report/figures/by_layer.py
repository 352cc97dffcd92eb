"""Figures with a part for every layer, in which its topics stand in a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.metrics.topics import or_one
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import PAGE, add_title
from nnmf_runner.report.topics import percent

# In inches: the largest side of a figure, the space beside its cells, above all and above a layer, and the width of
# cells that are not too many for a page.
LARGEST, BESIDE, TITLE, HEADING = 16.0, 0.5, 0.25, 0.35
TOGETHER = PAGE - BESIDE


@dataclass(frozen=True)
class Cells:
    """What cells are like: bounds of their number side by side, topics in each, and sizes in inches.

    The height of a cell is `flat` and `ratio` times its width.
    """

    usual: int
    narrowest: float
    widest: float
    ratio: float
    flat: float
    fewest: int = 1  # for the title has to have room
    topics: int = 1

    def size(self, across: int) -> tuple[float, float]:
        """Width and height of cells of which so many stand side by side."""
        width = min(self.widest, max(self.narrowest, TOGETHER / across))
        return width, self.flat + self.ratio * width


@dataclass(frozen=True)
class Sheet:
    """A figure with the cells of every layer, each with its topics, and what is below them."""

    figure: Figure
    below: SubFigure
    layers: list[list[tuple[Axes, NDArray[np.intp]]]] = field(default_factory=list)


def sheet(view: View, cells: Cells, what: str, below: float) -> Sheet:
    """Lay out cells for the topics of every layer, below a heading that says what is shown of them.

    Of more topics than there is space for, those with the largest shares are shown.  `below` are inches for what is of
    no layer.
    """
    across, down = arrangement([-(-len(shares) // cells.topics) for shares in view.shares], cells, below)
    width, height = cells.size(across)
    heights = [HEADING + height * rows for rows in down]
    figure = Figure(figsize=(BESIDE + width * across, TITLE + sum(heights) + below), layout="constrained")
    add_title(figure, view.title)
    *parts, last = figure.subfigures(len(down) + 1, 1, height_ratios=[*heights, below], squeeze=False)[:, 0]
    made = Sheet(figure, last)
    for level, (part, shares, rows) in enumerate(zip(parts, view.shares, down, strict=True)):
        shown = largest(shares, across * rows * cells.topics)
        some = "" if len(shown) == len(shares) else f"the {len(shown)} largest of {len(shares)} "
        part.suptitle(f"layer {level}: {some}{what}", fontsize=8, x=0.01, ha="left")
        axes = part.subplots(rows, across, squeeze=False).ravel()
        groups = [shown[i : i + cells.topics] for i in range(0, len(shown), cells.topics)]
        made.layers.append(list(zip(axes, groups, strict=False)))
        for ax in axes[len(groups) :]:
            ax.set_axis_off()
    return made


def arrangement(counts: Sequence[int], cells: Cells, below: float) -> tuple[int, list[int]]:
    """How many cells stand side by side, as few as from `usual` on fit, and how many rows of them a layer has.

    Where even the most side by side are too high, the layers with most rows have fewer than their cells need,
    but at least one.
    """
    room = LARGEST - TITLE - below - HEADING * len(counts)
    start = min(cells.usual, max(cells.fewest, *counts))
    for across in range(start, int((LARGEST - BESIDE) / cells.narrowest) + 1):
        rows = [-(-count // across) for count in counts]
        fit = int(room / cells.size(across)[1])
        if sum(rows) <= fit:
            break
    while sum(rows) > max(fit, len(rows)):
        rows[int(np.argmax(rows))] -= 1
    return across, rows


def largest(shares: Matrix, most: int) -> NDArray[np.intp]:
    """The topics with the largest shares, in their order."""
    return np.sort(np.argsort(-shares, kind="stable")[:most])


def caption(view: View, level: int, topic: int) -> str:
    """Name of a topic, with its share of the approximation."""
    return f"{level}.{topic}  {percent(view.shares[level][topic])}"


def scales_of(topics: Matrix) -> Matrix:
    """The largest absolute weight of every topic, by which they are divided where they are drawn, shape (k,)."""
    return or_one(np.abs(topics).max(axis=0))
