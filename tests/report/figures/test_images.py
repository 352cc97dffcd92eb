"""Topics of images: as many as there are, each what it stands for in the data."""

from __future__ import annotations

import numpy as np

from nnmf_runner.report.figures.images import images
from nnmf_runner.report.figures.material import load_view
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import read_factors


def test_topics_of_images_are_the_columns_of_the_product(run_of):
    outcome = run_of("method=hier", "dataset=swimmer", "layers=5-2", "max_iter=3")
    view, factors = load_view(Shown("hier", outcome.folder, outcome.record)), read_factors(outcome.folder)
    np.testing.assert_allclose(view.topics[1], product := factors["A0"] @ factors["A1"])
    shown = [[ax.images[0].get_array() for ax in part.axes if ax.images] for part in images(view).subfigs]
    assert [len(pictures) for pictures in shown] == [5, 2]
    np.testing.assert_array_equal(shown[1][1], product[:, 1].reshape(view.dataset.image_shape))
