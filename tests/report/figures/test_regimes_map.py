"""The map as a figure: titles side by side, and the looks that it is given.

What it shows of methods is tested with the numbers of the map, in `tests/report/test_regimes.py`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from nnmf_runner.report.figures.regimes_map import DARKEST, regime_map
from nnmf_runner.report.figures.style import PAGE, STYLE, Look, looks_of, shaded
from nnmf_runner.report.panels import observed
from nnmf_runner.report.regimes import compare


@pytest.fixture
def comparisons(record_of):
    """Those of a map of one narrow panel in which neural is best by two measures."""
    records = [
        record_of(method, seed=seed, error=error + 0.001 * seed * error, **{"dataset.noise": noise})
        for (method, error), noise, seed in itertools.product({"hier": 0.5, "neural": 0.3}.items(), (1, 2), range(6))
    ]
    for record in records:
        record["metrics"]["accuracy_unknown"] = 1.0 - record["metrics"]["relative_error"]
    noted = []
    list(observed(((Path(), record) for record in records), noted))
    return compare(noted)


def test_titles_do_not_overlap_above_narrow_panels(comparisons):
    with mpl.rc_context(STYLE):
        drawn = regime_map(comparisons)
        drawn.savefig("/dev/null", format="png")
    assert drawn.get_figwidth() <= PAGE
    first, second = [ax.title.get_window_extent() for ax in drawn.axes]
    assert 0 <= first.x0 < first.x1 < second.x0 < second.x1 <= drawn.bbox.x1


def test_places_have_the_looks_of_the_experiment(comparisons):
    own = Look("#112233", "o", "-", "")
    drawn = regime_map(comparisons, looks_of(["hier", "deep"]) | {"neural": own})
    for patch in drawn.axes[0].patches:
        assert patch.get_facecolor()[:3] == to_rgb(shaded(own.colour, 1.0 - DARKEST))
    assert [text.get_text() for text in drawn.legends[0].get_texts()][:2] == ["Hierarchical NMF", "Neural NMF"]


def test_measures_that_a_page_has_no_width_for_stand_below_the_others(record_of):
    records = [
        record_of(method, seed=seed, error=error + 0.001 * seed * error, **{"dataset.noise": noise})
        for (method, error), noise, seed in itertools.product({"hier": 0.5, "neural": 0.3}.items(), range(8), range(6))
    ]
    for record in records:
        record["metrics"]["accuracy_unknown"] = record["tree_agreement"] = 1.0 - record["metrics"]["relative_error"]
    noted = []
    list(observed(((Path(), record) for record in records), noted))
    drawn = regime_map(compare(noted))
    drawn.draw_without_rendering()
    assert drawn.get_figwidth() <= PAGE
    titled = [ax for ax in drawn.axes if ax.get_title()]
    assert len(titled) == 3 == len({round(ax.get_position().y0, 3) for ax in titled})
    assert all(len(ax.get_yticklabels()) for ax in titled)
