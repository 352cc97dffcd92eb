"""Projections of tensors: the largest entries, of sparse data and of parts of approximations as of whole arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import LogNorm
from scipy import sparse

from nnmf_runner.report.figures import projections as module
from nnmf_runner.report.figures.by_mode import MOST_SIDE
from nnmf_runner.report.figures.projections import projections
from tests.fixtures.views import make_tensor_view


def pixels(drawn):
    return [ax.images[0].get_array() for ax in drawn.axes if ax.images]


def largest(tensor):
    """Largest entries for every two modes."""
    axes = range(tensor.ndim)
    return [tensor.max(axis=tuple({*axes} - {*pair})) for pair in itertools.combinations(axes, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("shape", [(6, 5, 4), (3, 5, 2, 4)])
def test_the_largest_entries_of_the_data_and_of_every_approximation(shape, kind, monkeypatch):
    monkeypatch.setattr(module, "PART", 7)
    view = make_tensor_view(shape, kind=kind)
    tensors = [view.dataset.X, *(model.dense() for model in view.models)]
    dense = [X.toarray() if sparse.issparse(X) else X for X in tensors]
    expected = [picture for X in dense for picture in largest(X.reshape(shape))]
    for shown, picture in zip(pixels(projections(view)), expected, strict=True):
        np.testing.assert_allclose(shown, picture, rtol=1e-13)


def test_zeros_of_sparse_data_are_zero():
    X = np.zeros((6, 3))
    X[1, 2], X[4, 0] = 5.0, 2.0
    view = make_tensor_view((3, 2, 3), kind=lambda _: sparse.csc_array(X))
    for shown, picture in zip(pixels(projections(view)), largest(X.reshape(3, 2, 3)), strict=False):
        np.testing.assert_array_equal(shown, picture)


def test_missing_entries_do_not_count():
    X = np.arange(24.0).reshape(12, 2)
    X[3], X[::4, 1] = np.nan, np.nan
    view = make_tensor_view((3, 4, 2), kind=lambda _: X)
    shown = pixels(projections(view))[0]
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan)[0], [0.0, 3.0, 5.0, np.nan])


def test_many_entries_share_places_and_words_stand_by_topic():
    words = [f"word{i}" for i in range(2 * MOST_SIDE)]
    view = make_tensor_view((2 * MOST_SIDE, 3, 4), (2,), entries=[words, None, None])
    drawn = projections(view)
    order = module.entry_orders(view)[0]
    tensor = view.dataset.X.reshape(2 * MOST_SIDE, 3, 4)[order]
    expected = tensor.max(axis=2).reshape(MOST_SIDE, 2, 3).max(axis=1)
    np.testing.assert_allclose(pixels(drawn)[0], expected)
    assert drawn.axes[0].get_ylabel() == f"mode 0, {2 * MOST_SIDE} by topic"


def test_headings_tell_which_modes_are_left_out_and_what_is_drawn():
    drawn = projections(make_tensor_view((3, 5, 2, 4), names=["w", "x", "y", "z"]))
    shown = [ax for ax in drawn.axes if ax.images]
    headings = [" ".join(ax.get_title().split()) for ax in shown[:6]]
    assert headings[0] == "largest over y, z (samples)"
    assert headings[5] == "largest over w, x"
    first = [ax.get_title(loc="left").strip() for ax in shown[::6]]
    assert first == ["data", "approximation after layer 0, 3 topics", "approximation after layer 1, 2 topics"]
    assert [ax.get_xlabel() for ax in shown[12:15]] == ["x, 5", "y, 2", "z (samples), 4"]


def test_a_few_entries_that_are_far_larger_make_the_scale_logarithmic(rng):
    X = rng.random((30, 5))
    X[0, 0] = 1000.0
    drawn = [ax for ax in projections(make_tensor_view((6, 5, 5), kind=lambda _: X)).axes if ax.images]
    assert [isinstance(ax.images[0].norm, LogNorm) for ax in drawn[:6]] == [True] * 3 + [False] * 3


@pytest.mark.slow
def test_of_many_modes_the_first_pairs_are_drawn_and_the_title_says_so():
    drawn = projections(make_tensor_view((2,) * 6))
    assert drawn.get_suptitle() == "a title (10 of 15 pairs of modes)"
    assert len(pixels(drawn)) == 30


def test_a_tensor_that_is_too_large_is_refused_in_a_line(monkeypatch):
    monkeypatch.setattr(module, "MOST_ENTRIES", 100)
    with pytest.raises(ValueError, match=r"^6 x 5 x 4 entries are too many$"):
        projections(make_tensor_view((6, 5, 4)))
