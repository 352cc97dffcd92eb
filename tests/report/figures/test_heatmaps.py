"""Heatmaps: one colour scale per row, blocks with their boundaries, signs that can be seen."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from nnmf_runner.datasets import Dataset
from nnmf_runner.report.figures.heatmaps import MOST_NAMED, STRIP, heatmaps
from nnmf_runner.report.figures.material import load_view
from nnmf_runner.report.figures.style import BOUNDARY, MISSING, PAGE, drawing
from nnmf_runner.report.variants import Shown
from nnmf_runner.running.run import run_one
from tests.fixtures.views import make_view


def drawn_of(outcome, label="neural"):
    return heatmaps(load_view(Shown(label, outcome.folder, outcome.record)))


@pytest.mark.slow
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
    for ax in (*pictures.axes[:3], *codes.axes[:2]):  # the one level of labels is that of both layers
        assert (len(ax.lines), len(ax.get_xticks())) == (lines, ticks)
        if ticks:
            np.testing.assert_array_equal(ax.get_xticks(), np.cumsum(sizes)[:-1] - 0.5)


@pytest.mark.slow
def test_missing_entries_are_grey_and_leave_the_scale_to_the_others(run_of):
    outcome = run_of("method=semi", "label_fraction=0.4", "layers=9-4-2")
    view = load_view(Shown("semi", outcome.folder, outcome.record))
    X = -view.dataset.X
    X[0, 0] = np.nan
    data = heatmaps(replace(view, dataset=replace(view.dataset, X=X))).subfigs[0].axes[0]
    low, high = data.images[0].get_clim()
    assert low == -high < 0
    assert data.images[0].get_array().mask.sum() == 1
    assert data.get_facecolor() == to_rgba(MISSING)
    assert "missing grey" in data.get_title()


@pytest.mark.parametrize("layers", ["9", "9-4"])
def test_a_long_title_stays_within_the_figure(run_of, layers):
    drawn = drawn_of(run_of("label_fraction=0.4", f"layers={layers}"), "neural, energy, random, weights 1.0 / 0.5")
    drawn.savefig("/dev/null", format="png")
    title = drawn._suptitle.get_window_extent()
    assert drawn.bbox.x0 <= title.x0 < title.x1 <= drawn.bbox.x1


@pytest.fixture
def partly(given, toy, tmp_path):
    """Heatmaps of the toy data without the labels of some samples, by the layers of the fit."""

    def make(layers, *without):
        levels = zip((9, 4), without, strict=True)
        labels = [np.where(np.isin(np.arange(90), hidden), -1, toy.classes[classes]) for classes, hidden in levels]
        config = given(Dataset("given", toy.X, labels), f"layers={layers}", "max_iter=3", f"output={tmp_path}")
        return drawn_of(run_one(config, 0))

    return make


def strips(ax):
    """Where samples are drawn as unlabelled: the ends of the grey strips."""
    return [tuple(line.get_xdata()) for line in ax.lines if line.get_color() == STRIP["color"]]


def test_samples_without_a_label_stand_last_above_a_strip(partly, toy):
    hidden = [3, 40, 41]
    drawn = partly("9-4", hidden, [*hidden, 80])
    last = [i for i in range(90) if i not in (*hidden, 80)] + [80, *hidden]
    data, _, after = [ax for ax in drawn.subfigs[0].axes if ax.images]
    np.testing.assert_array_equal(data.images[0].get_array(), toy.X[:, last])
    codes = [ax for ax in drawn.subfigs[2].axes if ax.images]
    assert [strips(ax) for ax in (data, codes[0])] == [[(86.5, 89.5)]] * 2
    assert [strips(ax) for ax in (after, codes[1])] == [[(85.5, 89.5)]] * 2
    assert [text.get_text() for legend in drawn.legends for text in legend.get_texts()] == ["Unlabelled"]


def test_classes_in_blocks_keep_their_boundaries_beside_unlabelled_samples(partly):
    codes = partly("9-4", [3, 40, 41], []).subfigs[2].axes[0]
    boundaries = sorted(line.get_xdata()[0] for line in codes.lines if line.get_color() == BOUNDARY["color"])
    assert boundaries[-1] == 86.5
    assert len(boundaries) == 9


def test_samples_stand_by_class_where_classes_do_not_come_in_blocks(given, toy, tmp_path, rng):
    mixed = rng.permutation(90)
    dataset = Dataset("given", toy.X[:, mixed], [toy.classes[9][mixed]])
    drawn = drawn_of(run_one(given(dataset, "layers=9", "max_iter=3", f"output={tmp_path}"), 0))
    data, codes = drawn.subfigs[0].axes[0], drawn.subfigs[2].axes[0]
    assert len(codes.lines) == 8
    assert data.get_xlabel() == codes.get_xlabel() == "samples by class"
    expected = mixed[np.lexsort([np.arange(90), toy.classes[9][mixed]])]
    np.testing.assert_array_equal(data.images[0].get_array(), toy.X[:, expected])


def test_classes_that_do_not_come_in_blocks_have_no_boundaries(rng):
    labels = rng.permutation(np.repeat(np.arange(3), 10))
    drawn = heatmaps(make_view(None, 4, 30, labels=[labels]))
    assert [len(ax.lines) for ax in drawn.subfigs[2].axes] == [0, 0, 0]


@pytest.mark.parametrize("without", [[[], []], [[], [5]]])
def test_where_all_samples_that_are_marked_have_a_label_there_is_no_legend(partly, without):
    assert partly("9", *without).legends == []


@pytest.mark.slow
def test_few_entries_far_larger_than_the_others_leave_these_visible_and_the_scale_says_so():
    view = make_view(None, 30, 40)
    X = view.dataset.X.copy()
    usual = X.max()
    plain = heatmaps(replace(view, dataset=replace(view.dataset, X=X))).subfigs[0]
    X[3, 5] = 500 * usual
    drawn = heatmaps(replace(view, dataset=replace(view.dataset, X=X))).subfigs[0]
    assert 0 < drawn.axes[0].images[0].get_clim()[1] <= plain.axes[0].images[0].get_clim()[1] < 2 * usual
    bars = [each.axes[-1] for each in (plain, drawn)]
    assert [bar._colorbar.extend for bar in bars] == ["neither", "max"]
    assert [bar.get_ylabel() for bar in bars] == ["", f"sizes up to {X.max():.3g}"]


@pytest.mark.parametrize(("m", "named"), [(30, True), (MOST_NAMED + 1, False)])
def test_features_and_classes_have_their_names_where_there_is_space(m, named):
    names = [f"feature {i}" for i in range(m)]
    view = make_view(None, m, 40, names=names, labels=[np.repeat([0, 2, 1, -1], 10)])
    view = replace(view, dataset=replace(view.dataset, class_names=[["one", "two", "a very long name of a class"]]))
    pictures, factors, codes = heatmaps(view).subfigs
    for ax in (pictures.axes[0], factors.axes[0]):
        assert [label.get_text() for label in ax.get_yticklabels(minor=True)] == (names if named else [])
    for ax in codes.axes[:2]:
        assert [label.get_text() for label in ax.get_xticklabels(minor=True)] == ["one", "two", "a very long name …"]
        assert list(ax.get_xticks(minor=True)) == [4.5, 24.5, 14.5]


@pytest.mark.slow
@pytest.mark.parametrize("names", [None, ["a name of many letters"] * 30])
@pytest.mark.parametrize("ranks", [(3,), (3, 2), (9, 4, 3, 2), (9, 8, 7, 6, 5, 4, 3, 2, 2, 2, 2, 2)])
def test_titles_of_matrices_side_by_side_do_not_meet_on_a_page(names, ranks):
    with drawing():
        drawn = heatmaps(make_view(None, 30, 12345, ranks=ranks, names=names))
        drawn.draw_without_rendering()
    assert drawn.get_figwidth() <= PAGE or len(ranks) > 6
    for row in drawn.subfigs:
        boxes = [ax.title.get_window_extent() for ax in row.axes if ax.images]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
        assert all(drawn.bbox.x0 <= box.x0 and box.x1 <= drawn.bbox.x1 for box in boxes)


def test_names_of_features_do_not_overlap():
    with drawing():
        drawn = heatmaps(make_view(None, MOST_NAMED, 40, names=[f"gene {i}" for i in range(MOST_NAMED)]))
        drawn.draw_without_rendering()
    for row in drawn.subfigs[:2]:
        boxes = [label.get_window_extent() for label in row.axes[0].get_yticklabels(minor=True)]
        assert len(boxes) == MOST_NAMED
        assert all(upper.y0 >= lower.y1 - 0.35 * lower.height for upper, lower in itertools.pairwise(boxes))
