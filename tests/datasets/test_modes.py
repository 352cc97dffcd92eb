"""Tensors as fibres by samples, dense and by coordinates."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from nnmf_runner.datasets.files.contents import ContentError, Coordinates
from nnmf_runner.datasets.modes import MOST_FIBRES, Modes, TensorTruth, fibres, unfolded, used_entries


def coordinates(array):
    return Coordinates(np.array(np.nonzero(array)), array[np.nonzero(array)], array.shape)


@pytest.fixture
def array(rng):
    return np.round(rng.random((2, 3, 4, 5)) * (rng.random((2, 3, 4, 5)) < 0.3), 3)


@pytest.mark.parametrize("mode", range(4))
def test_rows_are_the_other_modes_in_c_order(array, mode):
    X = unfolded(array, mode)
    others = [size for axis, size in enumerate(array.shape) if axis != mode]
    for row, place in enumerate(np.ndindex(*others)):
        np.testing.assert_array_equal(X[row], array[(*place[:mode], slice(None), *place[mode:])])


@pytest.mark.parametrize("mode", range(4))
def test_coordinates_in_any_order_give_what_the_dense_array_gives(array, rng, mode):
    given = coordinates(array)
    order = rng.permutation(given.data.size)
    X = unfolded(Coordinates(given.coords[:, order].astype(np.int32), given.data[order], array.shape), mode)
    assert X.format == "csc"
    assert X.has_canonical_format
    np.testing.assert_array_equal(X.toarray(), unfolded(array, mode))


@pytest.mark.parametrize("kind", ["u1", "i2", "u8"])
def test_coordinates_are_of_any_type_of_integers(rng, kind):
    array = rng.random((20, 20, 20))  # more fibres than the smallest of them count
    given = coordinates(array)
    X = unfolded(Coordinates(given.coords.astype(kind), given.data, array.shape), 0)
    np.testing.assert_array_equal(X.toarray(), unfolded(array, 0))


@pytest.mark.parametrize("mode", [0, 3])
def test_samples_along_the_first_or_last_axis_are_not_copied(array, mode):
    assert np.shares_memory(unfolded(array, mode), array)


def test_zeros_are_not_stored_but_nan_is():
    X = unfolded(Coordinates(np.eye(3, dtype=int), np.array([0.0, np.nan, 1.0]), (2, 2, 2)), 0)
    np.testing.assert_array_equal(np.sort(X.data), [1.0, np.nan])


@pytest.mark.parametrize("shape", [(2**31, 2**31, 3), (2**62, 1, 3), (1000, 1000, 3)])
def test_memory_is_linear_in_the_entries_whatever_the_number_of_fibres(shape):
    peaks = []
    for count in (10_000, 40_000):
        rng = np.random.default_rng(0)
        coords = np.unique([rng.integers(size, size=count) for size in shape], axis=1)
        entries = Coordinates(coords, np.ones(coords.shape[1]), shape)
        tracemalloc.start()
        X = unfolded(entries, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert X.shape == (shape[0] * shape[1], 3)
        np.testing.assert_array_equal(np.sort(X.indices), np.sort(fibres(entries.coords[:2], shape[:2])))
    assert peaks[1] < 100 * 40_000
    assert peaks[1] < 5 * peaks[0]


@pytest.mark.parametrize(
    ("shape", "mode", "said"),
    [
        ((3,), 0, r"1 dimensions with shape \(3,\), expected at least 2"),
        ((), 0, "0 dimensions"),
        ((2, 0, 2), 0, r"empty: their shape is \(2, 0, 2\)"),
        ((2, 2, 2), 3, r"dataset.sample_mode=3 does not exist in data of shape \(2, 2, 2\), expected at most 2"),
        ((2**40, 2**40, 2), 2, r"product of at most 2\*\*62"),
        ((2, 2, 2**31), 2, "at most 2147483647 in the mode of the samples"),
    ],
)
def test_sizes_that_cannot_be_dealt_with_are_refused(shape, mode, said):
    with pytest.raises(ContentError, match=said):
        unfolded(Coordinates(np.zeros((len(shape), 1), int), np.ones(1), shape), mode)


def test_the_largest_tensor_keeps_its_last_fibre():
    last = np.array([[2**31 - 1], [2**31 - 1], [0]])
    X = unfolded(Coordinates(last, np.ones(1), (2**31, 2**31, 1)), 2)
    assert X.shape == (MOST_FIBRES, 1)
    assert X.indices.tolist() == [MOST_FIBRES - 1]


@pytest.mark.parametrize("base", [0, 1])
def test_coordinates_that_stand_twice_are_refused(base):
    coords = np.array([[0, 1, 1, 0], [2, 0, 0, 1], [1, 3, 3, 0]])
    place = ", ".join(str(index + base) for index in (1, 0, 3))
    with pytest.raises(ContentError, match=rf"^\({place}\) stands twice"):
        unfolded(Coordinates(coords, np.ones(4), (2, 3, 4), base), 0)


def test_modes_are_put_into_order_with_the_samples_last():
    modes = Modes.of((2, 3, 4), 0, ["a", "b", "c"], [["x", "y"], None, [*"klmn"]])
    assert modes == Modes((3, 4, 2), ("b", "c", "a"), (None, [*"klmn"], ["x", "y"]))
    assert Modes.of((2, 3, 4), 1) == Modes((2, 4, 3), ("mode 0", "mode 2", "mode 1"), (None, None, None))


@pytest.mark.parametrize("form", [np.asarray, coordinates])
def test_which_entries_are_used(array, form):
    array[1], array[:, :, 2], array[:, :, :, 3] = 0.0, 0.0, 0.0
    array[0, :, 0, 0] = 1.0
    used = used_entries(unfolded(form(array), 1), Modes.of(array.shape, 1))
    expected = [np.flatnonzero(array.any(axis=tuple({0, 1, 2, 3} - {axis}))) for axis in (0, 2, 3, 1)]
    for ours, theirs in zip(used, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_planted_topics_in_terms_of_the_fibres(rng):
    factors = [rng.random((size, 2)) for size in (2, 3, 4, 5)]
    topics = TensorTruth([factors], []).topics(0)
    np.testing.assert_allclose(topics, np.einsum("ar,br,cr->abcr", *factors[:-1]).reshape(24, 2), rtol=1e-14)
    whole = np.einsum("ar,br,cr,dr->abcd", *factors)
    np.testing.assert_allclose(topics @ factors[-1].T, unfolded(whole, 3), rtol=1e-14)
