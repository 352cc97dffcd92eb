import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import Stop, StoppingRule
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


def test_sparse_equals_dense(method, rng):
    X = rng.random((30, 40)) * (rng.random((30, 40)) < 0.3)
    dense, thin = (method.fit(Problem(M), plan(X, (5, 2), max_iter=10)) for M in (X, sparse.csr_array(X)))
    for a, b in zip((*thin.A, *thin.S), (*dense.A, *dense.S), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


def test_loose_tolerance_stops_on_the_projected_gradient(method, toy):
    fit = method.fit(Problem(toy.X), plan(toy.X, (9,), tol=0.1, max_iter=1000))
    assert fit.stop is Stop.CONVERGED
    assert fit.history.projected_gradient[-1] <= 0.1 < fit.history.projected_gradient[-2]


def test_unknown_solver_is_refused():
    with pytest.raises(InputError, match=r"method\.solver=als is not known\. Expected one of: anls, hals, mu"):
        Hierarchical("als")
