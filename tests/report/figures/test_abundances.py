"""Maps of abundances: codes at their pixels, in the units of the data, with one colour scale."""

from __future__ import annotations

import numpy as np

from nnmf_runner.datasets.pictures import SAMPLES, Pictures
from nnmf_runner.report.figures.abundances import abundances
from tests.fixtures.views import make_view


def test_spectra_that_are_scaled_to_one_times_the_maps_are_the_approximation():
    view = make_view(Pictures(2, 3, "columns", SAMPLES), 5, 6)
    *parts, below = abundances(view).subfigs
    drawn = [[ax.images[0] for ax in part.axes if ax.images] for part in parts]
    assert [len(images) for images in drawn] == [3, 2]
    for topics, images, approximation in zip(view.topics, drawn, view.approximations, strict=True):
        maps = np.array([image.get_array().T.ravel() for image in images])  # column after column
        np.testing.assert_allclose(topics / topics.max(axis=0) @ maps, approximation)
    assert len({image.get_clim() for images in drawn for image in images}) == 1
    assert drawn[0][0].get_clim() == below.axes[0].get_xlim()
