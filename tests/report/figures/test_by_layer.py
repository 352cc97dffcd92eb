"""Grids of cells: as few side by side as fit, all topics where there is space for them, and else the largest."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.datasets.pictures import Pictures
from nnmf_runner.report.figures.by_layer import BESIDE, HEADING, LARGEST, TITLE, Cells, arrangement, largest, sheet
from tests.fixtures.views import make_view

SQUARES = Cells(usual=10, fewest=4, narrowest=0.62, widest=1.6, ratio=1.0, flat=0.2)
PANELS = Cells(usual=3, narrowest=2.8, widest=5.5, ratio=0.1, flat=1.2, topics=6)


@pytest.mark.parametrize("cells", [SQUARES, PANELS])
@pytest.mark.parametrize("counts", [[1], [3, 2], [60], [60, 17, 5], [150, 60], [500, 67, 5], [60] * 8])
def test_a_figure_stays_within_its_largest_size_and_leaves_out_no_more_than_it_has_to(cells, counts):
    across, down = arrangement(counts, cells, 0.5)
    width, height = cells.size(across)
    total = TITLE + 0.5 + sum(HEADING + height * rows for rows in down)
    assert BESIDE + width * across <= LARGEST
    assert total <= LARGEST
    assert min(down) >= 1
    needed = [-(-count // across) for count in counts]
    if down != needed:
        assert all(rows <= need for rows, need in zip(down, needed, strict=True))
        assert total + height > LARGEST


def test_few_topics_have_one_row_and_room_for_the_title():
    assert arrangement([1], SQUARES, 0.0) == (4, [1])
    assert arrangement([6, 3], SQUARES, 0.0) == (6, [1, 1])
    assert arrangement([60, 17], SQUARES, 0.0) == (10, [6, 2])


@pytest.mark.slow
def test_of_too_many_topics_those_with_the_largest_shares_are_shown_in_their_order():
    np.testing.assert_array_equal(largest(np.array([0.1, 0.4, 0.2, 0.3]), 3), [1, 2, 3])
    np.testing.assert_array_equal(largest(np.array([0.1, 0.4]), 3), [0, 1])
    view = make_view(Pictures(1, 2), 2, 3, ranks=(700, 2))
    made = sheet(view, SQUARES, "topics", 0.1)
    shown = [j for _, topics in made.layers[0] for j in topics]
    assert 300 < len(shown) < 700
    assert min(view.shares[0][shown]) >= max(np.delete(view.shares[0], shown))
    headings = [part.get_suptitle() for part in made.figure.subfigs]
    assert headings[:2] == [f"layer 0: the {len(shown)} largest of 700 topics", "layer 1: topics"]


def test_every_topic_has_its_cell_and_the_others_are_empty():
    made = sheet(make_view(Pictures(1, 2), 2, 3, ranks=(13, 2)), PANELS, "topics", 0.1)
    assert [[list(topics) for _, topics in cells] for cells in made.layers] == [
        [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12]],
        [[0, 1]],
    ]
    assert [ax.axison for ax in made.figure.subfigs[1].axes] == [True, False, False]
