"""Pictures: pixels laid out as they were flattened, shapes that fit the data or are refused with what is meant."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.pictures import (
    FEATURES,
    SAMPLES,
    Pictures,
    as_numbers,
    as_samples,
    check_image_options,
    pictures,
)


@pytest.mark.parametrize(("order", "flattened"), [("rows", "C"), ("columns", "F")])
def test_pictures_are_laid_out_as_they_were_flattened(rng, order, flattened):
    given = rng.random((4, 2, 3))
    pixels = np.stack([picture.ravel(order=flattened) for picture in given])
    layout = Pictures(2, 3, order)
    np.testing.assert_array_equal(layout.unflatten(pixels), given)
    np.testing.assert_array_equal(layout.unflatten(pixels[1]), given[1])


@pytest.mark.parametrize("order", ["rows", "columns"])
def test_stacks_of_pictures_and_cubes_are_flattened_from_the_first_or_last_axis(rng, order):
    given, layout = rng.random((4, 2, 3)), Pictures(2, 3, order)
    for stood in (given, np.moveaxis(given, 0, -1)):
        np.testing.assert_array_equal(layout.unflatten(as_samples(stood, [2, 3], order)), given)
        np.testing.assert_array_equal(layout.unflatten(as_samples(stood, [4, 2, 3], order).T), given)
        for wrong in ([3, 2], [5, 2, 3]):
            with pytest.raises(InputError, match=r"does not fit data of shape \("):
                as_samples(stood, wrong, order)


def test_two_numbers_are_of_samples_and_three_of_a_cube():
    assert pictures([2, 3], "columns", 6, 5) == Pictures(2, 3, "columns", FEATURES)
    assert pictures([2, 3], "rows", 6, 6) == Pictures(2, 3, "rows", FEATURES)
    assert pictures([7, 2, 3], "rows", 7, 6) == Pictures(2, 3, "rows", SAMPLES)


@pytest.mark.parametrize(
    ("shape", "m", "n", "named"),
    [
        ([2, 3], 7, 5, ["dataset.image_shape=[2,3] is of 6 pixels, but a sample has 7 features", "product is 7"]),
        ([2, 3], 7, 6, ["7 features and there are 6 samples", "dataset.orientation", "dataset.image_shape=[7,2,3]"]),
        ([7, 2, 3], 6, 7, ["7 bands and 6 pixels, but there are 6 features and 7 samples", "dataset.orientation"]),
        ([2, 3, 7], 7, 6, ["the bands first, dataset.image_shape=[7,2,3]"]),
        ([7, 2, 3], 7, 5, ["Expected 7 bands", "product is 5"]),
        ([1, 2, 3], 6, 5, ["Expected 6 bands", "product is 5"]),
    ],
)
def test_a_shape_that_is_not_that_of_the_data_is_refused_with_what_may_be_meant(shape, m, n, named):
    with pytest.raises(InputError) as caught:
        pictures(shape, "rows", m, n)
    assert [part for part in named if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("shape", "order", "named"),
    [
        ([32], "rows", r"dataset.image_shape=\[32\] is not valid. Expected \[height,width\]"),
        ([], "rows", r"dataset.image_shape=\[\] is not valid"),
        ([1, 2, 3, 4], "rows", r"dataset.image_shape=\[1,2,3,4\] is not valid"),
        ([-2, -3], "rows", r"dataset.image_shape\[0\]=-2 is not valid"),
        ([2, 0], "rows", r"dataset.image_shape\[1\]=0 is not valid"),
        ([2, 3], "column", "dataset.image_order=column is not known.*'columns'"),
        (None, "columns", "dataset.image_order=columns needs .*dataset.image_shape"),
    ],
)
def test_options_that_are_of_no_pictures_are_refused(shape, order, named):
    with pytest.raises(InputError, match=named):
        check_image_options(shape, order)


def test_options_of_pictures_and_of_none_are_accepted():
    for shape, order in ((None, "rows"), ([2, 3], "columns"), ([4, 2, 3], "rows")):
        check_image_options(shape, order)


def test_names_are_numbers_if_all_of_them_are_written_as_such():
    np.testing.assert_array_equal(as_numbers(["400", " 410.5", ".5", "-1e3", "7."]), [400.0, 410.5, 0.5, -1000.0, 7.0])
    for names in (None, [], ["400", "red"], ["1_1"], ["nan"], ["1e999"], ["٣"], [""]):
        assert as_numbers(names) is None
