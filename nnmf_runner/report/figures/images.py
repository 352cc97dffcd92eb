"""The topics of a run on images, as images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.report.figures.by_layer import Cells, Sheet, caption, scales_of, sheet
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import COLOUR_MAP, PICTURE_COLOUR_MAP, SMALL, colours_of

# In inches, of the colour bar with what is about it.
BAR = 0.6
# Pictures whose sides differ by more are drawn with pixels that are not square.
LONGEST = 6.0


def images(view: View) -> Figure:
    """Draw the topics of every layer, columns of ``A_0 ... A_l``, with their shares of the approximation.

    Each is scaled to a largest weight of one.
    """
    scaled = [(topics / scales_of(topics)).T for topics in view.topics]
    heading = "topics with their shares of the approximation"
    return pictures_by_layer(view, scaled, heading, "weight, the largest of a topic being one", PICTURE_COLOUR_MAP)


def pictures_by_layer(view: View, rows: Sequence[Matrix], what: str, unit: str, colour_map: str = COLOUR_MAP) -> Figure:
    """Draw rows of pixels, one for every topic of a layer, as pictures of one colour scale, which a bar explains."""
    layout = view.dataset.pictures
    assert layout is not None
    ratio = layout.height / layout.width
    cell_ratio = min(LONGEST, max(1 / LONGEST, ratio))
    cells = Cells(usual=10, fewest=4, narrowest=0.62, widest=1.6, ratio=cell_ratio, flat=0.2)
    shape: dict[str, Any] = {"aspect": "equal" if cell_ratio == ratio else "auto", "interpolation": "antialiased"}
    made, colours = sheet(view, cells, what, BAR), colours_of(*rows, positive=colour_map)
    for level, drawn in enumerate(made.layers):
        for ax, (j,) in drawn:
            ax.imshow(layout.unflatten(rows[level][j]), **shape, **colours)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="0.7", linewidth=0.4)  # borders may have the colour of the paper
            ax.set_title(caption(view, level, j), fontsize=SMALL, color="0.3", pad=2)
    colour_bar(made, colours, unit)
    return made.figure


def colour_bar(made: Sheet, colours: dict[str, Any], unit: str) -> None:
    """Explain the colours, of `colours_of`, by a bar below the layers."""
    scale = ScalarMappable(Normalize(colours["vmin"], colours["vmax"]), colours["cmap"])
    bar = made.figure.colorbar(scale, cax=made.below.add_axes((0.25, 0.65, 0.5, 0.14)), orientation="horizontal")
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(unit, fontsize=SMALL)
