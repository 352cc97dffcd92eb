import numpy as np
import pytest

from nnmf_runner.core.monitor import History, Monitor, Stop, StoppingRule, rounding_of, stationarity, worst


def test_iterates_are_recorded_in_order():
    monitor = Monitor(StoppingRule(tol=0.0, max_iter=9), layer=2)
    for i in range(3):
        assert monitor.watch(1.0 / (i + 1), 0.5) is None
    columns = monitor.history.columns()
    assert columns["iteration"] == [0, 1, 2]
    assert columns["layer"] == [2, 2, 2]
    assert columns["cost"] == [1.0, 1 / 2, 1 / 3]
    # that of the relative error e, where the cost is e^2: dC = 2 e de
    expected = [0.25 * np.sqrt(i + 1) for i in range(3)]
    assert columns["projected_gradient"] == pytest.approx(expected, rel=1e-14)
    assert min(columns["seconds"]) >= 0
    assert len(monitor.history) == 3


def test_stages_share_a_history_and_count_anew():
    history = History()
    for layer in (0, 1):
        monitor = Monitor(StoppingRule(max_iter=1), history, layer)
        while not monitor.watch(1.0, 1.0):
            pass
    assert history.layer == [0, 0, 1, 1]
    assert history.iteration == [0, 1, 0, 1]


def test_fit_has_converged_at_the_tolerance_itself():
    rule = StoppingRule(tol=1e-3)
    assert Monitor(rule).watch(0.25, 1e-3) is Stop.CONVERGED
    assert Monitor(rule).watch(0.25, 1.001e-3) is None


@pytest.mark.parametrize("cost", [1e-8, 0.0, -1e-16])  # rounding can leave a cost below zero
def test_fit_of_data_without_noise_converges(cost):
    assert Monitor(StoppingRule(tol=1e-3)).watch(cost, 1e-5) is Stop.CONVERGED


def test_a_limit_may_be_larger_than_any_machine_integer():
    assert Monitor(StoppingRule(max_iter=10**20)).watch(1.0, 1.0) is None


def test_fit_ends_after_the_last_iteration_and_not_before():
    monitor = Monitor(StoppingRule(max_iter=2))
    assert [monitor.watch(1.0, 1.0) for _ in range(3)] == [None, None, Stop.MAX_ITER]


@pytest.mark.parametrize("cost", [np.nan, np.inf, -np.inf])
def test_cost_that_is_no_number_is_divergence_and_not_recorded(cost):
    monitor = Monitor(StoppingRule(progress=lambda *_: pytest.fail("not to be shown")))
    assert monitor.watch(cost, 0.0) is Stop.DIVERGED
    assert monitor.stop is Stop.DIVERGED
    assert len(monitor.history) == 0


def test_progress_sees_every_iterate_and_can_interrupt():
    seen = []
    monitor = Monitor(StoppingRule(tol=0.5, progress=lambda i, cost: seen.append((i, cost)) or i == 1))
    assert monitor.watch(3.0, 4.0) is None
    assert monitor.watch(2.0, 0.1) is Stop.INTERRUPTED  # asked for, though it has converged as well
    assert seen == [(0, 3.0), (1, 2.0)]


def test_nan_projected_gradient_is_not_convergence():
    assert Monitor(StoppingRule()).watch(1.0, np.nan) is None


def test_a_fit_of_several_stages_ends_where_the_worst_of_them_did():
    history = History()
    assert history.at_end is None
    for layer, measures in enumerate([[0.9, 0.2], [0.5, 0.1]]):
        monitor = Monitor(StoppingRule(), history, layer)
        for measure in measures:
            monitor.watch(0.25, measure)
    assert history.at_end == 0.2  # the measure over twice the root of the cost
    Monitor(StoppingRule(), history, 2).watch(0.25, np.nan)
    assert history.at_end is None


def test_stop_reads_as_its_name():
    assert f"{Stop.MAX_ITER}" == "max_iter"


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ([Stop.CONVERGED, Stop.CONVERGED], Stop.CONVERGED),
        ([Stop.MAX_ITER, Stop.CONVERGED], Stop.MAX_ITER),
        ([Stop.LINE_SEARCH, Stop.MAX_ITER], Stop.MAX_ITER),
        ([Stop.INTERRUPTED, Stop.DIVERGED, None], Stop.INTERRUPTED),
    ],
)
def test_worst_is_the_reason_of_most_concern(stops, expected):
    assert worst(stops) is expected


def test_stationarity_is_the_step_of_projected_gradient_descent_in_relative_units(rng):
    F, G = rng.random((4, 3)) * (rng.random((4, 3)) > 0.4), rng.standard_normal((4, 3))
    norm = np.linalg.norm(F)
    f, g = F / norm, G * norm
    assert stationarity([F], [G]) == pytest.approx(np.linalg.norm(f - np.maximum(f - g, 0.0)))


def test_stationarity_is_that_of_the_worst_factor(rng):
    F, G = [rng.random((3, 2)) for _ in range(3)], [rng.standard_normal((3, 2)) for _ in range(3)]
    each = [stationarity([f], [g]) for f, g in zip(F, G, strict=True)]
    assert stationarity(F, G) == max(each)


def test_stationarity_does_not_depend_on_how_scale_is_shared(rng):
    F, G = [rng.random((3, 2)), rng.random((2, 4))], [rng.standard_normal((3, 2)), rng.standard_normal((2, 4))]
    moved = stationarity([F[0] * 10, F[1] / 10], [G[0] / 10, G[1] * 10])
    assert moved == pytest.approx(stationarity(F, G))


def test_stationarity_vanishes_at_a_bound_with_positive_multiplier():
    assert stationarity([np.array([[0.0, 1.0]])], [np.array([[3.0, 0.0]])]) == 0.0


def test_a_fit_ends_where_its_gradient_is_rounding_unless_it_has_converged():
    single = rounding_of("float32")
    assert 1e-6 < single < 1e-5
    assert rounding_of("float64") == 0.0
    rule = StoppingRule(tol=1e-9, rounding=single)
    assert Monitor(rule).watch(0.25, 1.001 * single) is None
    assert Monitor(rule).watch(0.25, single) is Stop.PRECISION
    assert Monitor(rule).watch(0.25, 1e-10) is Stop.CONVERGED
    assert worst([Stop.CONVERGED, Stop.PRECISION]) is Stop.PRECISION
