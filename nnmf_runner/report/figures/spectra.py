"""The topics of a run on a spectral cube, as curves over its bands."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nnmf_runner.datasets.pictures import as_numbers
from nnmf_runner.report.figures.by_layer import Cells, caption, scales_of, sheet
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import NEGLIGIBLE, SMALL, TOPIC_COLOURS

PANELS = Cells(usual=3, narrowest=2.8, widest=5.5, ratio=0.1, flat=1.2, topics=len(TOPIC_COLOURS))
# Up to so many bands are marked one by one.
FEW = 20


def spectra(view: View) -> Figure:
    """Draw the topics of every layer as curves, each scaled to a largest weight of one.

    The bands stand at their wavelengths where their names are numbers, else one after the other.
    """
    wavelengths = as_numbers(view.dataset.feature_names)
    at = np.arange(len(view.topics[0])) if wavelengths is None else wavelengths
    order = np.argsort(at, kind="stable")
    scaled = [topics[order] / scales_of(topics) for topics in view.topics]
    signed = min(float(curves.min()) for curves in scaled) < -NEGLIGIBLE
    made = sheet(view, PANELS, "spectra of topics, scaled to a largest weight of one, with their shares", 0.2)
    for level, panels in enumerate(made.layers):
        for ax, topics in panels:
            for j, colour in zip(topics, TOPIC_COLOURS, strict=False):
                label, marker = caption(view, level, j), "." if len(at) <= FEW else ""
                ax.plot(at[order], scaled[level][:, j], color=colour, marker=marker, label=label)
            ax.set_ylim(-1.05 if signed else -0.05, 1.05)
            ax.tick_params(labelsize=SMALL)
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=SMALL, handlelength=1.2)
            if wavelengths is None:
                ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
            if signed:
                ax.axhline(0.0, color="0.6", linewidth=0.6)
    made.below.supxlabel("band (from 0)" if wavelengths is None else "name of the band", fontsize=8)
    return made.figure
