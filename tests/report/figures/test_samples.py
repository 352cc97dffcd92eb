"""Topics of images beside the pictures that they are strongest in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.datasets.pictures import Pictures
from nnmf_runner.report.figures.samples import samples
from tests.fixtures.views import make_view


def strips_of(figure, level=0):
    """Labels and pictures of every cell of a layer."""
    cells = [ax.child_axes for ax in figure.subfigs[level].axes if ax.child_axes]
    return [[(own.get_xlabel(), own.images[0].get_array()) for own in strip] for strip in cells]


def test_beside_a_topic_stand_the_samples_with_its_largest_parts():
    view = make_view(Pictures(2, 3), 6, 7)
    X, parts = view.dataset.X, view.codes[0] * np.linalg.norm(view.topics[0], axis=0)[:, None]
    strips = strips_of(samples(view))
    assert len(strips) == len(parts)
    for j, ((name, topic), *beside) in enumerate(strips):
        assert name.startswith(f"0.{j} ")
        np.testing.assert_allclose(topic, view.topics[0][:, j].reshape(2, 3) / view.topics[0][:, j].max())
        assert [int(name) for name, _ in beside] == np.argsort(-parts[j])[:4].tolist()
        for name, picture in beside:
            np.testing.assert_allclose(picture, X[:, int(name)].reshape(2, 3) / X[:, int(name)].max())


def test_sparse_data_give_the_same_pictures():
    view = make_view(Pictures(2, 3, "columns"), 6, 7)
    dense = strips_of(samples(view))
    dataset = replace(view.dataset, X=sparse.csr_array(view.dataset.X))
    for ours, theirs in zip(strips_of(samples(replace(view, dataset=dataset))), dense, strict=True):
        for own, other in zip(ours, theirs, strict=True):
            assert own[0] == other[0]
            np.testing.assert_array_equal(own[1], other[1])


@pytest.mark.slow
def test_a_topic_that_no_sample_has_stands_alone():
    view = make_view(Pictures(2, 3), 6, 7)
    view.codes[0][1], view.topics[0][:, 0] = 0.0, 0.0
    figure = samples(view)
    assert [len(strip) for strip in strips_of(figure)][:3] == [1, 1, 5]
    figure.savefig("/dev/null", format="png")


@pytest.mark.slow
@pytest.mark.parametrize("sides", [(1, 100), (100, 1), (5, 20)])
def test_long_and_narrow_pictures_can_be_seen(sides):
    figure = samples(make_view(Pictures(*sides), 100, 4))
    figure.savefig("/dev/null", format="png")
    drawn = [own for part in figure.subfigs[:-1] for ax in part.axes for own in ax.child_axes]
    assert min(min(own.get_window_extent().size) for own in drawn) > 5  # pixels
