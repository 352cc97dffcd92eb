"""Labels and known samples in the shapes in which people keep them."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.labels import read_classes, read_known

ONE_HOT = np.array([[1, 0, 0, 0], [0, 0, 1, 1]])  # (classes, samples), the second sample without a label


@pytest.mark.parametrize(
    ("given", "indices", "names"),
    [
        (["1_1", "11", "1_1"], [1, 0, 1], ["11", "1_1"]),
        (["1", "01", "x"], [1, 0, 2], ["01", "1", "x"]),
        (["1", "01", "2"], [0, 0, 1], ["1", "2"]),
        (["10", "9", "-3"], [2, 1, 0], ["-3", "9", "10"]),
        (["1.0", "2.0", "1"], [0, 1, 0], ["1", "2"]),
        ([1.0, np.nan, 3.0], [0, -1, 1], ["1", "3"]),
        ([1, -1, 3], [0, -1, 1], ["1", "3"]),
        (["b", "-1", "a"], [1, -1, 0], ["a", "b"]),
        (["b", "", "a", "NA", "null", "NaN", "None", " b "], [1, -1, 0, -1, -1, -1, -1, 1], ["a", "b"]),
        (["none", "some", "none"], [0, 1, 0], ["none", "some"]),
        ([True, False, True], [1, 0, 1], ["False", "True"]),
        ([2**60, 2**60 + 1, 2**60], [0, 1, 0], [str(2**60), str(2**60 + 1)]),
        ([[2, 5, 2]], [0, 1, 0], ["2", "5"]),
    ],
)
def test_labels_are_text_unless_all_are_integers_and_nothing_is_none(given, indices, names):
    found = read_classes(np.array(given), "y", len(indices))
    assert (found.indices.tolist(), found.names) == (indices, names)


@pytest.mark.parametrize("given", [ONE_HOT, ONE_HOT.T, ONE_HOT.astype(bool), ONE_HOT.astype(float)])
def test_a_one_hot_matrix_is_one_level(given):
    found = read_classes(given, "Y", 4)
    assert (found.indices.tolist(), found.names) == ([0, -1, 1, 1], ["0", "1"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "y has 2 labels, expected 4"),
        ([1, 1, -1, 1], r"y has one class only \(1\)"),
        (["", "", "NA", ""], "y has no label for any sample"),
        ([0.5, 1, 1, 1], "y holds 0.5, expected labels that are whole numbers or strings"),
        ([np.inf, 1, 1, 2], "y holds infinity, expected"),
        (np.ones((2, 4)), r"y has several classes for sample 0 \(from 0\)"),
        (np.full((2, 4), 0.5), "y is a matrix, expected one of zeros and ones"),
        (np.ones((2, 3)), r"y has shape \(2, 3\), expected \(4,\), or \(4, classes\) or \(classes, 4\)"),
        (np.eye(4), r"y has shape \(4, 4\)"),
    ],
)
def test_what_are_no_labels_is_refused(given, message):
    with pytest.raises(ContentError, match=message):
        read_classes(np.array(given), "y", 4)


@pytest.mark.parametrize(
    "mask", [[[1, 0, 1, 0]] * 3, np.array([[1, 0, 1, 0]] * 3).T, [True, False, True, False], [0, 2]]
)
def test_known_samples_are_columns_of_a_mask_flags_or_indices(mask):
    np.testing.assert_array_equal(read_known(np.array(mask), "L", 4, 0), [True, False, True, False])


def test_a_mask_that_knows_some_classes_of_a_sample_is_refused():
    with pytest.raises(ContentError, match="L knows some classes of a sample and others not"):
        read_known(np.array([[1, 0, 1, 0], [1, 1, 1, 0]]), "L", 4, 0)
