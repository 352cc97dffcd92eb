"""The figure of convergence: short histories, and markers that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from nnmf_runner.report.figures.convergence import (
    BEGUN,
    EXCESS,
    GRADIENT,
    MARKED,
    MOST_TICKS,
    PALEST,
    convergence,
    iteration_ticks,
    lines_of,
    panels_of,
)
from nnmf_runner.report.figures.style import looks_of
from nnmf_runner.report.variants import Shown


def shown(outcome):
    return Shown(outcome.record["config"]["method"]["name"], outcome.folder, outcome.record)


def drawn_of(outcome):
    run = shown(outcome)
    return convergence([run], looks_of([run.label]))


@pytest.mark.parametrize("overrides", ["layers=9", "method=hier layers=9-4", "max_iter=0"])
def test_convergence_of_short_and_shallow_runs_is_drawn(run_of, overrides):
    drawn = drawn_of(run_of(*overrides.split()))
    assert isinstance(drawn, Figure)
    drawn.savefig("/dev/null", format="png")


def test_markers_are_few_and_never_side_by_side_at_the_end_of_a_long_history(run_of):
    drawn = drawn_of(run_of("method=deep", "layers=9-4", "max_iter=200", "tol=0"))
    drawn.draw_without_rendering()
    for ax in drawn.axes:
        line = ax.lines[0]
        assert -1.0 < ax.get_xlim()[0] < 0.0 < line.get_xdata()[-1] < ax.get_xlim()[1]
        marked = line.get_xdata()[line.get_markevery()]
        assert 5 <= len(marked) <= MARKED
        assert (np.diff(np.log1p(marked)) > 0.3).all()


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
    runs = [*map(shown, outcomes)]
    drawn = convergence(runs, looks_of(run.label for run in runs))
    assert drawn.get_suptitle() == "Convergence: toy, unsupervised, seed 0, reconstruction cost"
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "Hierarchical NMF, layer 0, ranks 9-4",
        "Hierarchical NMF, layer 1, ranks 9-4",
        "Unfolded NMF, rank 9",
        "Tolerance",
    ]
    levels = {line.get_ydata()[0] for line in drawn.axes[1].lines if line.get_label() == "tolerance"}
    assert levels == {run.record["config"]["tol"] for run in runs}


def test_iterations_are_those_of_the_record_from_the_start(run_of):
    outcome = run_of("method=deep", "layers=9-4", "max_iter=2", "tol=0")
    excess, gradient = drawn_of(outcome).axes
    assert list(gradient.lines[0].get_xdata()) == [0, 1, outcome.record["n_iter"]]
    assert list(excess.lines[0].get_xdata()) == [0, 1]
    assert list(gradient.get_xticks()) == [0, 1, 2]
    assert gradient.get_yscale() == "log"
    assert len(gradient.lines) == 1  # a tolerance of zero has no place


def test_there_is_no_panel_without_a_value_and_no_figure_without_a_panel(run_of, tmp_path):
    outcome = run_of("method=deep", "layers=9-4", "max_iter=0")
    assert [ax.get_title() for ax in drawn_of(outcome).axes] == [GRADIENT]
    assert convergence([Shown("deep", tmp_path, outcome.record)], looks_of(["deep"])) is None  # without a history


@pytest.mark.parametrize(("last", "ticks"), [(0, [0]), (2, [0, 1, 2]), (36, [0, 1, 2, 5, 10, 20]), (5000, None)])
def test_ticks_are_round_and_few(run_of, last, ticks):
    [line] = lines_of([shown(run_of("method=deep", "layers=9-4", "max_iter=2", "tol=0"))])
    line.iteration[-1] = last
    found = iteration_ticks([line])
    assert found == (ticks or [0, 1, 10, 100, 1000])
    assert len(found) <= MOST_TICKS


def test_the_layers_of_a_deep_hierarchy_can_all_be_seen(run_of):
    lines = lines_of([shown(run_of("method=hier", "layers=9-7-5-4-3-2", "max_iter=2"))])
    alphas = [line.alpha for line in lines]
    assert alphas == sorted(set(alphas))
    assert (alphas[0], alphas[-1]) == (PALEST, 1.0)
    assert [*panels_of(lines)] == [EXCESS, GRADIENT]


def test_the_title_says_of_how_many_runs_some_are_drawn(run_of):
    runs = [shown(run_of("method=hier", "layers=9-4"))]
    for count, told in ((1, False), (30, True)):
        assert convergence(runs, looks_of(["hier"]), count).get_suptitle().endswith("1 of 30 runs") == told
