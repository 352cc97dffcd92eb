"""The figure of a choice of ranks: curves, what they propose, and what is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.ranks import Criteria, Curve, Stability
from nnmf_runner.metrics.rank_profile import RankProfile
from nnmf_runner.report.figures.ranks import rank_figure


def profile(last=9, halves=(4, 7), enough=7):
    ranks = list(range(2, last + 1))
    at = {name: np.array([1.0 + 0.5 * (k in some) for k in ranks]) for name, some in (("s", (4, 7)), ("h", halves))}
    errors = Curve(np.array([0.5 if k >= enough else 0.9 for k in ranks]), np.full(len(ranks), 0.01))
    criteria = Criteria(ranks, at["s"], Curve(at["h"], np.full(len(ranks), 0.01)), errors, 1.0)
    return RankProfile(criteria, np.linspace(0.5, 0.3, len(ranks)), [Stability(1.0, 1.0, 1.0, 1.0)] * len(ranks), 7)


def vertical(ax):
    return [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1]


def numbers(ax):
    return [text.get_text() for text in ax.texts if text.get_text().isdigit()]


def test_chosen_ranks_are_marked_in_every_panel():
    figure = rank_figure(profile(), "planted")
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "planted: layers=7-4"
    assert [vertical(ax) for ax in figure.axes] == [[7, 4]] * 3
    assert [numbers(ax) for ax in figure.axes] == [["4", "7"], ["4", "7"], ["7"]]


@pytest.mark.slow
def test_nothing_is_marked_as_chosen_where_the_criteria_disagree():
    figure = rank_figure(profile(halves=(4,)), "my $ data")
    figure.draw_without_rendering()
    assert figure.get_suptitle().startswith(r"my \$ data: undecided: split halves 4, spectrum 4-7")
    assert [vertical(ax) for ax in figure.axes] == [[]] * 3
    assert [numbers(ax) for ax in figure.axes] == [["4", "7"], ["4"], ["7"]]


def test_the_spread_and_the_floors_are_drawn():
    _, halves, errors = rank_figure(profile(), "planted").axes
    assert len(halves.collections) == len(errors.collections) == 1
    assert any(np.array_equal(line.get_ydata(), profile().floors) for line in errors.lines)


@pytest.mark.parametrize("last", [9, 60, 400])
def test_the_numbers_of_the_axis_do_not_touch(last):
    assert len(rank_figure(profile(last), "planted").axes[-1].get_xticks()) <= 20
