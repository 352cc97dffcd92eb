"""The topics of a run on images, as images."""

from __future__ import annotations

from matplotlib.figure import Figure

from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import PICTURE_COLOUR_MAP, SMALL, colours_of, title_size
from nnmf_runner.report.topics import percent


def images(view: View) -> Figure:
    """Draw the topics of every layer, columns of ``A_0 ... A_l``, with their shares of the approximation.

    Each image has a colour scale of its own and is dark where its topic weighs most.
    """
    assert view.dataset.image_shape is not None
    across = min(10, max(4, *(topics.shape[1] for topics in view.topics)))
    down = [-(-topics.shape[1] // across) for topics in view.topics]
    height, width = view.dataset.image_shape
    size = (0.5 + 0.85 * across, 0.6 + sum((0.85 * height / width + 0.2) * n + 0.35 for n in down))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(view.title, fontsize=title_size(figure, view.title))
    parts = figure.subfigures(len(down), 1, height_ratios=down, squeeze=False)[:, 0]
    for level, (part, topics, rows) in enumerate(zip(parts, view.topics, down, strict=True)):
        heading = f"layer {level}: topics with their shares of the approximation"
        part.suptitle(heading, fontsize=8, x=0.01, ha="left")
        for j, ax in enumerate(part.subplots(rows, across, squeeze=False).flat):
            ax.set_axis_off()
            if j < topics.shape[1]:
                picture = topics[:, j].reshape(height, width)
                ax.imshow(picture, **colours_of(picture, positive=PICTURE_COLOUR_MAP))
                ax.set_title(f"{level}.{j}  {percent(view.shares[level][j])}", fontsize=SMALL, color="0.3", pad=2)
    return figure
