"""Heatmaps: one colour scale per row, blocks with their boundaries, signs that can be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from nnmf_runner.report.figures.heatmaps import heatmaps
from nnmf_runner.report.figures.material import load_view
from nnmf_runner.report.figures.style import MISSING
from nnmf_runner.report.variants import Shown


def drawn_of(outcome, label="neural"):
    return heatmaps(load_view(Shown(label, outcome.folder, outcome.record)))


def test_one_colour_scale_a_row_and_marked_boundaries(run_of):
    outcome = run_of("label_fraction=0.4", "layers=9-4-2")
    drawn = drawn_of(outcome)
    assert len(drawn.subfigs) == 3
    for row, count in zip(drawn.subfigs, (4, 3, 3), strict=True):
        images = [ax.images[0] for ax in row.axes if ax.images]
        assert len(images) == count
        assert len({image.get_clim() for image in images}) == 1
    data = drawn.subfigs[0].axes[0]
    assert len(data.lines) == 8 + 8  # between nine blocks of features and of samples


def test_factors_with_signs_get_a_scale_that_diverges_about_zero(run_of):
    outcome = run_of("method=semi", "label_fraction=0.4", "layers=9-4-2")
    pictures, factors, codes = drawn_of(outcome).subfigs
    low, high = factors.axes[0].images[0].get_clim()
    assert low == -high < 0
    assert factors.axes[0].images[0].get_cmap() != codes.axes[0].images[0].get_cmap()
    assert codes.axes[0].images[0].get_clim()[0] == pictures.axes[0].images[0].get_clim()[0] == 0


def test_missing_entries_are_grey_and_leave_the_scale_to_the_others(run_of):
    outcome = run_of("method=semi", "label_fraction=0.4", "layers=9-4-2")
    view = load_view(Shown("semi", outcome.folder, outcome.record))
    X = -view.dataset.X
    X[0, 0] = np.nan
    data = heatmaps(replace(view, dataset=replace(view.dataset, X=X))).subfigs[0].axes[0]
    low, high = data.images[0].get_clim()
    assert low == -high < 0
    assert data.images[0].get_array().mask.sum() == 1
    assert data.get_facecolor() == to_rgba(MISSING)
    assert "missing grey" in data.get_title()


@pytest.mark.parametrize("layers", ["9", "9-4"])
def test_a_long_title_stays_within_the_figure(run_of, layers):
    drawn = drawn_of(run_of("label_fraction=0.4", f"layers={layers}"), "neural, energy, random, weights 1.0 / 0.5")
    drawn.savefig("/dev/null", format="png")
    title = drawn._suptitle.get_window_extent()
    assert drawn.bbox.x0 <= title.x0 < title.x1 <= drawn.bbox.x1
