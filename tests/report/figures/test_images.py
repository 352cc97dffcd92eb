"""Topics of images: as many as there are, each what it stands for in the data, of one colour scale."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.datasets.pictures import Pictures
from nnmf_runner.report.figures import style
from nnmf_runner.report.figures.images import images
from nnmf_runner.report.figures.material import load_view
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import read_factors
from tests.fixtures.views import make_view


def pictures_of(figure):
    """Axes of the pictures in every part of a figure but the last, which has the colour bar."""
    return [[ax for ax in part.axes if ax.images] for part in figure.subfigs[:-1]]


def test_topics_of_images_are_the_columns_of_the_product(run_of):
    outcome = run_of("method=hier", "dataset=swimmer", "layers=5-2", "max_iter=3")
    view, factors = load_view(Shown("hier", outcome.folder, outcome.record)), read_factors(outcome.folder)
    np.testing.assert_allclose(view.topics[1], product := factors["A0"] @ factors["A1"])
    shown = pictures_of(images(view))
    assert [len(axes) for axes in shown] == [5, 2]
    expected = product[:, 1].reshape(32, 32) / product[:, 1].max()
    np.testing.assert_allclose(shown[1][1].images[0].get_array(), expected)


def test_pixels_that_follow_each_other_by_columns_are_drawn_so():
    view = make_view(Pictures(2, 3, "columns"), 6, 4)
    drawn = pictures_of(images(view))[0][2].images[0].get_array()
    np.testing.assert_allclose(drawn, view.topics[0][:, 2].reshape(3, 2).T / view.topics[0][:, 2].max())


@pytest.mark.parametrize(("low", "limits"), [(0.0, (0.0, 1.0)), (-0.9, (-1.0, 1.0))])
def test_all_pictures_have_one_colour_scale_which_diverges_about_zero_where_there_are_signs(low, limits):
    figure = images(make_view(Pictures(2, 3), 6, 4, low=low))
    drawn = [ax.images[0] for axes in pictures_of(figure) for ax in axes]
    assert {image.get_clim() for image in drawn} == {limits}
    assert {image.get_cmap().name for image in drawn} == {style.SIGNED_COLOUR_MAP if low else style.PICTURE_COLOUR_MAP}
    (bar,) = figure.subfigs[-1].axes
    assert bar.get_xlim() == limits


@pytest.mark.parametrize("sides", [(1, 100), (100, 1), (5, 20)])
def test_long_and_narrow_pictures_can_be_seen(sides):
    figure = images(make_view(Pictures(*sides), 100, 4))
    figure.savefig("/dev/null", format="png")
    for axes in pictures_of(figure):
        for ax in axes:
            assert min(ax.get_window_extent().size) > 10  # pixels


def test_a_topic_of_zeros_is_a_picture_of_zeros():
    view = make_view(Pictures(2, 3), 6, 4)
    view.topics[0][:, 1] = 0.0
    np.testing.assert_array_equal(pictures_of(images(view))[0][1].images[0].get_array(), np.zeros((2, 3)))
