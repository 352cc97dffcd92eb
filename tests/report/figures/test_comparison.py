"""The comparison of methods: means, deviations, excess and floor where the table has them."""

from __future__ import annotations

import numpy as np

from nnmf_runner.report.figures.comparison import comparison
from nnmf_runner.report.figures.style import looks_of
from nnmf_runner.report.table import rows_of, summarise


def test_several_methods_are_compared_by_mean_excess_and_floor(record_of, records_of):
    runs = [
        record_of(method, layers, seed, error=error + 0.02 * seed, regime=regime)
        for method, error in (("hier", 0.4), ("neural", 0.3))
        for layers in ((9,), (9, 4))
        for regime in ("unsupervised", "semisupervised")
        for seed in (0, 1)
    ]
    summary = summarise(rows_of(records_of(*runs).items()))
    drawn = comparison(summary, looks_of([*summary["method"], "deep"]))
    errors, excess, _ = [drawn.axes[i : i + 2] for i in (0, 2, 4)]
    assert [ax.get_title() for ax in errors] == ["unsupervised", "semisupervised"]
    for ax, above in zip(errors, excess, strict=True):
        hier, neural = (container.lines[0].get_ydata(orig=False) for container in ax.containers)
        np.testing.assert_allclose(hier, 0.41)  # the mean of the two seeds
        np.testing.assert_allclose(neural, 0.31)
        floors = [segment[0][1] for segment in ax.collections[-1].get_segments()]
        np.testing.assert_allclose(floors, [0.1, 0.2])
        np.testing.assert_allclose(above.containers[1].lines[0].get_ydata(orig=False), [210.0, 55.0])
        assert above.get_yscale() == "log"


def test_the_floor_that_is_drawn_bounds_every_method(record_of, records_of):
    runs = [record_of("hier", (4,)), record_of("ncpd", (4,))]  # whose floor is that of all unfoldings
    runs[1]["layers"][-1]["floor"] = 0.3
    summary = summarise(rows_of(records_of(*runs).items()))
    drawn = comparison(summary, looks_of(summary["method"]))
    assert [segment[0][1] for segment in drawn.axes[0].collections[-1].get_segments()] == [0.1]
