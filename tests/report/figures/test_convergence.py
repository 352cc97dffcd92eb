"""The figure of convergence: short histories, and markers that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from nnmf_runner.report.figures.convergence import BEGUN, MARKED, convergence
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


@pytest.mark.slow
def test_the_fits_that_a_joint_one_starts_from_are_left_out(run_of):
    joint = drawn_of(run_of("method=ncpd", "dataset=blocks", "layers=3-2", "max_iter=3")).axes[0].lines
    assert [(line.get_label(), line.get_alpha()) for line in joint] == [("ncpd", 1.0)]
    assert BEGUN in joint[0].figure.legends[0].get_title().get_text()
    layerwise = ["method.hierarchy=free", "method.training=layerwise"]
    lines = drawn_of(run_of("method=ncpd", "dataset=blocks", *layerwise, "layers=3-2", "max_iter=3")).axes[0].lines
    assert lines[0].get_label() == "ncpd, layer 0"
    for most in (1, 3):
        tied = drawn_of(run_of("method=ncpd", "dataset=blocks", layerwise[1], "layers=3-2", f"max_iter={most}"))
        assert BEGUN in tied.legends[0].get_title().get_text()  # its layers alone
        for line in tied.axes[1].lines[:-1]:
            assert (np.diff(line.get_xdata()) > 0).all()


def test_runs_of_other_ranks_and_tolerances_say_so(run_of):
    outcomes = [run_of("method=hier", "layers=9-4"), run_of("method=unfolded", "layers=9", "tol=0.01")]
    runs = [Shown(each.record["config"]["method"]["name"], each.folder, each.record) for each in outcomes]
    drawn = convergence(runs, looks_of(run.label for run in runs))
    assert drawn.get_suptitle() == "Convergence: toy, unsupervised, seed 0, reconstruction cost"
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "hierarchical NMF, layer 0, ranks 9-4",
        "hierarchical NMF, layer 1, ranks 9-4",
        "unfolded NMF, rank 9",
        "tolerance",
    ]
    levels = {line.get_ydata()[0] for line in drawn.axes[1].lines if line.get_label() == "tolerance"}
    assert levels == {run.record["config"]["tol"] for run in runs}
