"""Heatmaps: one colour scale per row, blocks with their boundaries, signs that can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.report.figures.heatmaps import heatmaps
from nnmf_runner.report.figures.material import load_view
from nnmf_runner.report.variants import Shown
from tests.fixtures.views import make_view


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


@pytest.mark.parametrize(
    ("sizes", "lines", "ticks"),
    [
        ([50, 50], 1, 0),
        ([5] * 20, 19, 0),
        ([3] * 67, 0, 66),
        ([3] * 500, 0, 0),
        ([500, 3, 500], 0, 2),  # lines would hide the three
    ],
)
def test_boundaries_of_many_or_small_classes_do_not_cover_the_picture(sizes, lines, ticks):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    pictures, _, codes = heatmaps(make_view(None, 4, len(labels), labels=[labels])).subfigs
    for ax in (pictures.axes[0], pictures.axes[1], codes.axes[0]):
        assert (len(ax.lines), len(ax.get_xticks())) == (lines, ticks)
        if ticks:
            np.testing.assert_array_equal(ax.get_xticks(), np.cumsum(sizes)[:-1] - 0.5)


@pytest.mark.parametrize("layers", ["9", "9-4"])
def test_a_long_title_stays_within_the_figure(run_of, layers):
    drawn = drawn_of(run_of("label_fraction=0.4", f"layers={layers}"), "neural, energy, random, weights 1.0 / 0.5")
    drawn.savefig("/dev/null", format="png")
    title = drawn._suptitle.get_window_extent()
    assert drawn.bbox.x0 <= title.x0 < title.x1 <= drawn.bbox.x1
