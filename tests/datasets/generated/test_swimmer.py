"""The swimmer: its images, and the parts that they are sums of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nnmf_runner.datasets.generated.swimmer import Swimmer
from nnmf_runner.datasets.pictures import Pictures


@pytest.fixture(scope="module")
def swimmer():
    return Swimmer().load(np.random.default_rng(0))


def test_every_pose_is_there_once_as_zeros_and_ones(swimmer):
    assert swimmer.X.shape == (1024, 256)
    assert swimmer.pictures == Pictures(32, 32)
    assert set(np.unique(swimmer.X)) == {0.0, 1.0}
    assert len(np.unique(swimmer.X, axis=1).T) == 256
    np.testing.assert_array_equal(swimmer.X.sum(axis=0), 12 + 4 * 6)


def test_the_parts_reproduce_the_images_and_share_no_pixel(swimmer):
    (A,), (S,) = swimmer.truth.A, swimmer.truth.S
    assert (A.shape, S.shape) == ((1024, 17), (17, 256))
    np.testing.assert_array_equal(A @ S, swimmer.X)
    np.testing.assert_array_equal(A.T @ A, np.diag([12.0] + [6.0] * 16))


def test_every_limb_is_in_each_of_its_positions_in_a_quarter_of_the_images(swimmer):
    S = swimmer.truth.S[0]
    np.testing.assert_array_equal(S[0], 1.0)
    np.testing.assert_array_equal(S[1:].sum(axis=1), 64)
    np.testing.assert_array_equal(S[1:].reshape(4, 4, 256).sum(axis=1), 1.0)


def test_a_swimmer_is_in_one_piece(swimmer):
    for image in swimmer.X.T[::17]:
        assert ndimage.label(swimmer.pictures.unflatten(image), structure=np.ones((3, 3)))[1] == 1


def test_the_rank_is_that_of_the_limbs_and_the_torso_together(swimmer):
    assert np.linalg.matrix_rank(swimmer.X) == 13


def test_features_belong_to_their_part_and_the_background_to_none(swimmer):
    owner, A = swimmer.truth.feature_labels[0], swimmer.truth.A[0]
    for part in range(17):
        np.testing.assert_array_equal(owner == part, A[:, part] > 0)
    np.testing.assert_array_equal(owner == 17, ~swimmer.X.any(axis=1))
