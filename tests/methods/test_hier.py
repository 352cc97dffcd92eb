import numpy as np
import pytest
from scipy import optimize
from scipy.special import kl_div

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import KullbackLeibler, Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import Stop, StoppingRule, stationarity
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.hier import Hierarchical

SOLVERS = ["mu", "hals", "anls"]


@pytest.fixture(params=SOLVERS)
def method(request):
    return Hierarchical(request.param)


def plan(X, layers, seed=0, **rule):
    return Plan(Random().start(X, layers, np.random.default_rng(seed)), StoppingRule(**({"max_iter": 60} | rule)))


@pytest.mark.parametrize("supervised", [False, True])
def test_cost_of_every_layer_never_rises(method, toy, supervised):
    classes = np.where(np.arange(90) % 2, toy.classes[4], -1)
    labels = Supervision(weight=0.1).labels(classes, 4) if supervised else None
    history = method.fit(Problem(toy.X, labels), plan(toy.X, (9, 4))).history
    for level in (0, 1):
        costs = np.array(history.cost)[np.array(history.layer) == level]
        assert len(costs) > 10
        assert max(np.diff(costs)) <= 1e-13


def test_each_layer_factors_the_codes_below(method, toy):
    X = toy.X
    fit = method.fit(Problem(X), plan(X, (9, 4)))
    last = dict(zip(fit.history.layer, fit.history.cost, strict=True))
    for level, inputs in enumerate((X, fit.S[0])):
        error = np.linalg.norm(inputs - fit.A[level] @ fit.S[level]) ** 2 / np.linalg.norm(inputs) ** 2
        assert last[level] == pytest.approx(error, rel=1e-9)


def test_last_cost_holds_the_labels_term_of_what_is_returned(method, toy):
    classes = np.where(np.arange(90) % 3, toy.classes[9], -1)
    fit = method.fit(Problem(toy.X, Supervision(weight=0.1).labels(classes, 9)), plan(toy.X, (9,)))
    known = classes >= 0
    Y = np.eye(9)[:, classes[known]]
    data = np.linalg.norm(toy.X - fit.A[0] @ fit.S[0]) ** 2 / np.linalg.norm(toy.X) ** 2
    label = 0.1 * np.linalg.norm(Y - fit.B @ fit.S[0][:, known]) ** 2 / known.sum()
    assert fit.history.cost[-1] == pytest.approx(data + label, rel=1e-9)


def test_planted_exact_factorisation_is_recovered(method, rng):
    A, S = rng.random((30, 4)) * (rng.random((30, 4)) > 0.5), rng.random((4, 50)) * (rng.random((4, 50)) > 0.5)
    X = A @ S
    fit = method.fit(Problem(X), plan(X, (4,), max_iter=3000, tol=1e-8))
    assert np.linalg.norm(X - fit.A[0] @ fit.S[0]) < 1e-3 * np.linalg.norm(X)


def test_labels_reach_the_last_layer_alone(method, toy):
    labels = Supervision(weight=1.0).labels(toy.classes[4], 4)
    with_, without = (method.fit(Problem(toy.X, known), plan(toy.X, (9, 4))) for known in (labels, None))
    np.testing.assert_array_equal(with_.A[0], without.A[0])
    assert not np.allclose(with_.A[1], without.A[1])


def test_supervision_improves_the_label_fit(method, toy, rng):
    classes, residuals = rng.integers(0, 2, 90), []  # nothing in the data tells them apart
    for weight in (0.0, 10.0):
        labels = Supervision(weight=weight).labels(classes, 2)
        S = method.fit(Problem(toy.X, labels), plan(toy.X, (4,), max_iter=200)).S[-1]
        Y = np.eye(2)[:, classes]
        residuals.append(np.linalg.norm(Y - Y @ np.linalg.pinv(S) @ S))
    assert residuals[1] < 0.7 * residuals[0]


def test_loose_tolerance_stops_on_the_projected_gradient(method, toy):
    fit = method.fit(Problem(toy.X), plan(toy.X, (9,), tol=0.1, max_iter=1000))
    assert fit.stop is Stop.CONVERGED
    assert fit.history.projected_gradient[-1] <= 0.1 < fit.history.projected_gradient[-2]


@pytest.mark.parametrize("solver", ["hals", "anls"])
def test_what_is_returned_is_as_stationary_as_the_history_says(solver, toy):
    X, tol = toy.X, 1e-3
    fit = Hierarchical(solver).fit(Problem(X), plan(X, (9,), tol=tol, max_iter=2000))
    residual, norm = fit.A[0] @ fit.S[0] - X, np.sum(X**2)
    gradients = [2 / norm * residual @ fit.S[0].T, 2 / norm * fit.A[0].T @ residual]
    measure = stationarity([fit.A[0], fit.S[0]], gradients) / 2 / np.sqrt(fit.history.cost[-1])
    assert fit.stop is Stop.CONVERGED
    assert measure == pytest.approx(fit.history.projected_gradient[-1], rel=1e-6)


def test_unknown_solver_is_refused():
    with pytest.raises(InputError, match=r"solver=als is not known\. Expected one of: anls, hals, mu"):
        Hierarchical("als")


def best_codes(A, x):
    """``argmin_{s >= 0} D(x | A s)`` by scipy's bounded quasi-Newton method."""

    def value_and_slope(s):
        v = A @ s + 1e-300
        return kl_div(x, v).sum(), A.T @ (1.0 - x / v)

    start = np.full(A.shape[1], x.sum() / A.sum())
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000}
    bounds = [(0.0, None)] * A.shape[1]
    return optimize.minimize(value_and_slope, start, jac=True, bounds=bounds, options=options).x


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_codes_under_the_divergence_are_optimal_column_by_column(scale, rng):
    X, new_X = rng.random((12, 20)), rng.random((12, 8))
    method, problem = Hierarchical("mu"), Problem(X, cost=KullbackLeibler())
    fit = method.fit(problem, plan(X, (4,)))
    (S,) = method.transform(fit, scale * new_X)
    for s, x in zip(S.T / scale, new_X.T, strict=True):
        best = kl_div(x, fit.A[0] @ best_codes(fit.A[0], x)).sum()
        # Multiplicative updates end at the tolerance of the stopping rule.
        assert kl_div(x, fit.A[0] @ s).sum() <= best + 1e-3 * x.sum()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [(4,), (4, 2)])
def test_codes_of_the_training_data_under_the_divergence_are_those_of_a_converged_fit(layers, toy):
    X, method = toy.X[:, ::3], Hierarchical("mu")
    fit = method.fit(Problem(X, cost=KullbackLeibler()), plan(X, layers, max_iter=1500, tol=1e-6))
    for S, trained in zip(method.transform(fit, X), fit.S, strict=True):
        np.testing.assert_allclose(S, trained, atol=3e-2 * trained.max())


@pytest.mark.parametrize("loss", ["squared", "kl"])
@pytest.mark.parametrize("cost", [Reconstruction(), KullbackLeibler()])
def test_labels_reach_the_last_layer_alone_whatever_the_losses(cost, loss, toy):
    labels = Supervision(loss, 1.0).labels(toy.classes[4], 4)
    with_, without = (
        Hierarchical("mu").fit(Problem(toy.X, known, cost), plan(toy.X, (9, 4), max_iter=20))
        for known in (labels, None)
    )
    np.testing.assert_array_equal(with_.A[0], without.A[0])
    assert not np.allclose(with_.A[1], without.A[1])


@pytest.mark.parametrize("cost", [Reconstruction(), KullbackLeibler()])
def test_divergent_labels_are_fitted_better_with_more_weight(cost, toy, rng):
    classes, losses = rng.integers(0, 2, 90), []  # nothing in the data tells them apart
    Y = np.eye(2)[:, classes]
    for weight in (0.0, 10.0):
        labels = Supervision("kl", weight).labels(classes, 2)
        fit = Hierarchical("mu").fit(Problem(toy.X, labels, cost), plan(toy.X, (4,), max_iter=200))
        losses.append(kl_div(Y, fit.B @ fit.S[-1]).sum())
    assert losses[1] < 0.7 * losses[0]


@pytest.mark.parametrize("solver", ["hals", "anls"])
def test_solvers_without_masks_refuse_them(solver, rng):
    X = rng.random((12, 15))
    mask = X > 0.25
    X = X * mask
    with pytest.raises(InputError, match=r"method=hier with these options cannot leave out missing entries\. Expected"):
        Hierarchical(solver).check_data(X, mask)
    Hierarchical(solver).check_data(X, None)


def test_parameters_hold_what_codes_of_new_data_minimise(rng):
    X = rng.random((14, 20))
    plain = Hierarchical("mu").fit(Problem(X), plan(X, (4, 3), max_iter=2))
    assert plain.parameters == {}
    penalty = Regularisation(l1_A=0.03, l2_A=0.02, l1_S=0.04, l2_S=0.01)
    fit = Hierarchical("mu").fit(Problem(X, None, KullbackLeibler(), None, penalty), plan(X, (4, 3), max_iter=2))
    assert float(fit.parameters["beta"]) == 1.0
    assert {name: value.shape for name, value in fit.parameters.items() if name != "beta"} == {
        "l1_0": (4, 1), "l2_0": (4, 1), "l1_1": (3, 1), "l2_1": (3, 1)
    }  # fmt: skip


@pytest.mark.parametrize("solver", ["anls", "hals"])
def test_penalties_that_leave_no_codes_to_factor_are_refused_by_the_layer(toy, solver):
    problem = Problem(toy.X, regularisation=Regularisation(l1_A=0.1, l1_S=10.0))
    with pytest.raises(InputError, match=r"All codes of layer 0 are zero, of which layer 1 cannot be made\. Expected"):
        Hierarchical(solver).fit(problem, plan(toy.X, (9, 4)))


@pytest.mark.parametrize("solver", ["hals", "anls"])
def test_a_step_too_far_is_taken_back(monkeypatch, rng, solver):
    """However far factors are extrapolated, costs do not rise; some steps are taken back, and cost no iteration."""
    monkeypatch.setattr("nnmf_runner.core.updates.SHARE", 4.0)
    X = rng.random((12, 20))
    history = (
        Hierarchical(solver).fit(Problem(X), Plan(Random().start(X, (5,), rng), StoppingRule(max_iter=40))).history
    )
    assert np.diff(history.cost).max() <= 1e-13
    assert history.cost[-1] < 0.9 * history.cost[0]
