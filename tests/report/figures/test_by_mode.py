"""Pictures of modes: words stand by their topics and other entries in their own order, many of them share a place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnmf_runner.datasets.generated.planted_cp import PlantedCP
from nnmf_runner.report.figures.by_mode import MOST_SIDE, bins, blocks, by_topic, entry_orders, mode_name
from tests.fixtures.views import make_tensor_view

SHAPE = (6, 5, 4)
WORDS = [f"word{i}" for i in range(6)]


def test_words_stand_by_their_strongest_topics_and_numbers_in_their_own_order():
    view = make_tensor_view(SHAPE, (2, 1), entries=[WORDS, ["1", "2", "3", "4", "5"], None])
    fine = np.array([[0.0, 2.0], [1.0, 0.2], [0.0, 0.0], [0.5, 0.0], [0.1, 1.0], [0.8, 0.0]])
    for level, topics in enumerate((fine, fine.sum(axis=1, keepdims=True))):
        view.mode_topics[level][0] = topics
    assert [by_topic(view, mode) for mode in range(3)] == [True, False, False]
    orders = entry_orders(view)
    assert [order.tolist() for order in orders] == [[1, 5, 3, 0, 4, 2], [*range(5)], [*range(4)]]


def test_topics_of_the_last_layer_come_first():
    view = make_tensor_view(SHAPE, (4, 2), entries=[WORDS[:6], None, None])
    order = entry_orders(view)[0]
    top = [(F / F.max(axis=0)).argmax(axis=1)[order] for F in (topics[0] for topics in view.mode_topics)]
    assert (np.diff(top[1]) >= 0).all()
    for parent in range(2):
        assert (np.diff(top[0][top[1] == parent]) >= 0).all()


def test_blocks_are_those_planted_or_the_labels_of_samples(rng):
    planted = PlantedCP(branching=[2, 2], sizes=[8, 8, 8]).load(rng)
    assert [blocks(planted, 0, rank).tolist() for rank in (4, 2)] == [[0, 0, 1, 1, 2, 2, 3, 3], [0] * 4 + [1] * 4]
    bare = replace(planted, tensor_truth=None)
    assert blocks(bare, 0, 4) is None
    np.testing.assert_array_equal(blocks(bare, 2, 2), planted.labels[1])
    assert blocks(replace(bare, labels=[]), 2, 2) is None


@pytest.mark.parametrize("size", [1, 7, MOST_SIDE, MOST_SIDE + 1, 5 * MOST_SIDE])
def test_entries_share_the_places_of_a_picture_evenly(size, rng):
    order = rng.permutation(size)
    places = bins(order)
    counts = np.bincount(places)
    assert len(counts) == min(size, MOST_SIDE)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(places[order]) >= 0).all()


def test_modes_of_one_name_are_told_apart_and_that_of_the_samples_is_named_so():
    view = make_tensor_view(SHAPE, names=["word", "$x$", "word"])
    assert [mode_name(view, mode) for mode in range(3)] == ["word 1", r"\$x\$", "word 2 (samples)"]
