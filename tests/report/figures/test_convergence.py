"""The figure of convergence: short histories, and markers that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from nnmf_runner.report.figures.convergence import MARKED, convergence
from nnmf_runner.report.figures.style import looks_of
from nnmf_runner.report.variants import Shown


def drawn_of(outcome):
    run = Shown(outcome.record["config"]["method"]["name"], outcome.folder, outcome.record)
    return convergence([run], looks_of([run.label]))


@pytest.mark.parametrize("overrides", ["layers=9", "method=hier layers=9-4", "max_iter=0"])
def test_convergence_of_short_and_shallow_runs_is_drawn(run_of, overrides):
    drawn = drawn_of(run_of(*overrides.split()))
    assert isinstance(drawn, Figure)
    drawn.savefig("/dev/null", format="png")


def test_markers_are_few_and_never_side_by_side_at_the_end_of_a_long_history(run_of):
    for ax in drawn_of(run_of("method=deep", "layers=9-4", "max_iter=200", "tol=0")).axes:
        line = ax.lines[0]
        marked = line.get_xdata()[line.get_markevery()]
        assert 5 <= len(marked) <= MARKED
        assert (np.diff(np.log(marked)) > 0.3).all()


def test_the_fits_that_a_joint_one_starts_from_are_left_out(run_of):
    joint = drawn_of(run_of("method=ncpd", "dataset=blocks", "layers=3-2", "max_iter=3")).axes[0].lines
    assert [(line.get_label(), line.get_alpha()) for line in joint] == [("ncpd", 1.0)]
    layerwise = ["method.hierarchy=free", "method.training=layerwise"]
    lines = drawn_of(run_of("method=ncpd", "dataset=blocks", *layerwise, "layers=3-2", "max_iter=3")).axes[0].lines
    assert lines[0].get_label() == "ncpd, layer 0"
