"""Spectra: one curve for every topic, over wavelengths where these are known, told apart by few colours a panel."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.datasets.pictures import SAMPLES, Pictures
from nnmf_runner.report.figures.spectra import spectra
from nnmf_runner.report.figures.style import TOPIC_COLOURS
from tests.fixtures.views import make_view

CUBE = Pictures(2, 3, of=SAMPLES)


def panels(figure):
    return [[ax for ax in part.axes if ax.lines] for part in figure.subfigs[:-1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "at", "order", "label"),
    [
        (None, [0, 1, 2, 3], [0, 1, 2, 3], "band (from 0)"),
        (["a", "b", "c", "d"], [0, 1, 2, 3], [0, 1, 2, 3], "band (from 0)"),
        (["700", "400.5", "600", "500"], [400.5, 500, 600, 700], [1, 3, 2, 0], "name of the band"),
    ],
)
def test_curves_are_topics_scaled_to_one_in_the_order_of_wavelengths(names, at, order, label):
    view = make_view(CUBE, 4, 6, names=names)
    figure = spectra(view)
    for topics, (ax,) in zip(view.topics, panels(figure), strict=True):
        assert len(ax.lines) == topics.shape[1]
        for line, topic in zip(ax.lines, topics.T, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), at)
            np.testing.assert_allclose(line.get_ydata(), topic[order] / topic.max())
    assert figure.subfigs[-1].get_supxlabel() == label


def test_no_two_curves_of_a_panel_have_one_colour_and_a_legend_names_all():
    named = []
    for ax in panels(spectra(make_view(CUBE, 4, 6, ranks=(20, 2))))[0]:
        colours = [line.get_color() for line in ax.lines]
        assert len(set(colours)) == len(colours) <= len(TOPIC_COLOURS)
        named += [text.get_text().split()[0] for text in ax.get_legend().get_texts()]
    assert named == [f"0.{j}" for j in range(20)]


@pytest.mark.parametrize(("low", "lines"), [(0.0, 2), (-0.9, 3)])
def test_negative_weights_are_within_the_axes_and_zero_is_marked(low, lines):
    view = make_view(CUBE, 4, 6, ranks=(2,), low=low)
    ((ax,),) = panels(spectra(view))
    assert len(ax.lines) == lines
    bottom, top = ax.get_ylim()
    for line in ax.lines:
        assert bottom <= min(line.get_ydata()) <= max(line.get_ydata()) <= top


@pytest.mark.parametrize("bands", [1, 3])
def test_few_bands_are_marked_at_whole_numbers(bands):
    figure = spectra(make_view(CUBE, bands, 6))
    figure.savefig("/dev/null", format="png")
    ((first,), _) = panels(figure)
    assert first.lines[0].get_marker() == "."
    assert (first.get_xticks() % 1 == 0).all()
