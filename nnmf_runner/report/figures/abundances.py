"""Where in a picture the topics of a run are: the codes of its pixels, as maps."""

from __future__ import annotations

from matplotlib.figure import Figure

from nnmf_runner.report.figures.by_layer import scales_of
from nnmf_runner.report.figures.images import pictures_by_layer
from nnmf_runner.report.figures.material import View


def abundances(view: View) -> Figure:
    """Draw the codes of the topics of every layer as maps.

    Topics are scaled to a largest weight of one, as in the figure of their spectra, and codes by the inverse: all are
    in the units of the data.
    """
    maps = [scales_of(topics)[:, None] * S for topics, S in zip(view.topics, view.codes, strict=True)]
    heading = "abundances of topics, with their shares of the approximation"
    return pictures_by_layer(view, maps, heading, "codes of topics whose largest weight is one")
