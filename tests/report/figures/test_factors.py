"""Topics of tensors as heatmaps: in one order in all modes, scaled to one, with the names of words."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nnmf_runner.datasets.modes import TensorTruth
from nnmf_runner.report.figures.by_mode import MOST_SIDE
from nnmf_runner.report.figures.factors import MOST_WORDS, factors
from nnmf_runner.report.figures.style import BOUNDARY, STYLE
from tests.fixtures.views import make_tensor_view


def pictures(drawn):
    """Axes with a picture by layer and mode."""
    return [[ax for ax in part.axes if ax.images] for part in drawn.subfigs]


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 3, 4)])
def test_a_row_for_every_layer_and_a_column_for_every_mode(shape):
    view = make_tensor_view(shape)
    rows = pictures(factors(view))
    assert [len(row) for row in rows] == [len(shape)] * 2
    for row, topics in zip(rows, view.mode_topics, strict=True):
        names = [[label.get_text() for label in ax.get_xticklabels()] for ax in row]
        assert names == [names[0]] * len(shape)  # one order in all modes
        order = [int(name) for name in names[0]]
        assert sorted(order) == list(range(topics[0].shape[1]))
        for ax, F in zip(row, topics, strict=True):
            np.testing.assert_allclose(ax.images[0].get_array(), (F / F.max(axis=0))[:, order])
        assert len({ax.images[0].get_clim() for ax in row}) == 1


def test_topics_stand_by_where_their_entries_are():
    view = make_tensor_view((6, 6, 6), (3,))
    for F in view.mode_topics[0]:
        F[:] = np.kron(np.eye(3)[:, [2, 0, 1]], np.ones((2, 1)))
    for ax in pictures(factors(view))[0]:
        np.testing.assert_array_equal(ax.images[0].get_array(), np.kron(np.eye(3), np.ones((2, 1))))


def test_planted_blocks_have_their_boundaries():
    planted = [np.kron(np.eye(2), np.ones((size // 2, 1))) for size in (6, 4, 8)]
    drawn = factors(make_tensor_view((6, 4, 8), (2,), truth=TensorTruth([planted], [])))
    places = [[line.get_ydata()[0] for line in ax.lines if line.get_color() == BOUNDARY["color"]] for ax in drawn.axes]
    assert places[:3] == [[2.5], [1.5], [3.5]]


@pytest.mark.parametrize("k", [2, 5, 40])
def test_of_words_the_strongest_of_every_topic_stand_with_their_names(k):
    words = [f"$word {i}" for i in range(99)]
    view = make_tensor_view((99, 5, 4), (k,), names=["a", "b", "c"], entries=[words, None, None])
    ax = pictures(factors(view))[0][0]
    shown = [words.index(label.get_text()) for label in ax.get_yticklabels()]
    F = view.mode_topics[0][0]
    assert set(F.argmax(axis=0)) <= set(shown)
    assert len(shown) <= max(MOST_WORDS, k)
    assert ax.get_ylabel() == f"a, {len(shown)} of 99"
    if k < 25:  # topics that are numbered
        order = [int(label.get_text()) for label in ax.get_xticklabels()]
        np.testing.assert_allclose(ax.images[0].get_array(), (F / F.max(axis=0))[shown][:, order])


def test_of_many_entries_those_of_one_place_have_the_largest_weight():
    view = make_tensor_view((2 * MOST_SIDE, 3, 4), (1,))
    F = view.mode_topics[0][0]
    shown = pictures(factors(view))[0][0].images[0].get_array()
    np.testing.assert_allclose(shown[:, 0], (F / F.max()).reshape(-1, 2).max(axis=1))


def test_no_name_of_an_entry_leaves_the_figure_or_meets_another_picture():
    words = [["noun.communication" * (i == 3) or f"word{i}" for i in range(40)] for _ in range(3)]
    with mpl.rc_context(STYLE):
        drawn = factors(make_tensor_view((40, 40, 40), (12, 5), entries=words))
        FigureCanvasAgg(drawn).draw()
    for row in pictures(drawn):
        for i, ax in enumerate(row):
            edge = row[i - 1].get_window_extent().x1 if i else 0.0
            assert min(label.get_window_extent().x0 for label in ax.get_yticklabels()) >= edge


def test_words_that_have_labels_keep_their_order_and_boundaries():
    words = [f"word{i}" for i in range(6)]
    view = make_tensor_view((5, 4, 6), (2,), entries=[None, None, words])
    labels = np.array([0, 0, 0, 1, 1, 1])
    ax = pictures(factors(replace(view, dataset=replace(view.dataset, labels=[labels]))))[0][2]
    assert [label.get_text() for label in ax.get_yticklabels()] == words
    assert [line.get_ydata()[0] for line in ax.lines] == [2.5]
