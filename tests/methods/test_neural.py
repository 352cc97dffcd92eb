from dataclasses import replace

import numpy as np
import pytest
from scipy.special import kl_div

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Energy, KullbackLeibler, Multilevel, Reconstruction
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.network import Network
from nnmf_runner.core.nnls import nnls
from nnmf_runner.core.optimizers import OPTIMIZERS, Automatic
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import Hierarchical, Plan, Problem, Supervision
from nnmf_runner.methods.neural import Neural

SUPERVISIONS = [Supervision(), Supervision(learn_map=True), Supervision("cross_entropy")]


def plan(X, layers, seed=0, **rule):
    return Plan(Random().start(X, layers, np.random.default_rng(seed)), StoppingRule(**({"max_iter": 30} | rule)))


def half_known(classes):
    return np.where(np.arange(90) % 2, classes, -1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_codes_of_the_training_data_are_those_of_the_fit(name, toy):
    p = plan(toy.X, (9, 4, 2))
    fit = Neural().fit(Problem(toy.X), Plan(p.start, p.rule, OPTIMIZERS[name]()))
    for found, trained in zip(Neural().transform(fit, toy.X), fit.S, strict=True):
        np.testing.assert_allclose(found, trained, atol=1e-8 * trained.max())


@pytest.mark.parametrize("cost", [Reconstruction(), Energy()])
@pytest.mark.parametrize("supervision", [None, *SUPERVISIONS], ids=str)
def test_last_cost_is_that_of_what_is_returned(cost, supervision, toy):
    labels = supervision and supervision.labels(half_known(toy.classes[4]), 4)
    fit = Neural().fit(Problem(toy.X, labels, cost), plan(toy.X, (9, 4)))
    variables = [*fit.A, fit.B] if labels and labels.learn_map else fit.A
    assert fit.history.cost[-1] == pytest.approx(Network(toy.X, cost, labels).evaluate(variables).value, rel=1e-9)
    assert fit.history.cost[-1] < fit.history.cost[0]
    assert min(M.min() for M in (*fit.A, *fit.S)) >= 0


def test_returned_map_predicts_best_where_it_is_not_learnt(toy):
    classes = half_known(toy.classes[4])
    fit = Neural().fit(Problem(toy.X, Supervision().labels(classes, 4)), plan(toy.X, (9, 4)))
    known = classes >= 0
    best = np.eye(4)[:, classes[known]] @ np.linalg.pinv(fit.S[-1][:, known])
    np.testing.assert_allclose(fit.B, best, rtol=1e-6, atol=1e-9)


def test_planted_exact_factorisation_is_recovered(rng):
    A, S = rng.random((30, 3)) * (rng.random((30, 3)) > 0.5), rng.random((3, 50)) * (rng.random((3, 50)) > 0.5)
    X = A @ S
    fit = Neural().fit(Problem(X), plan(X, (5, 3), max_iter=2000, tol=1e-7))
    assert np.linalg.norm(X - fit.A[0] @ fit.A[1] @ fit.S[1]) < 1e-3 * np.linalg.norm(X)


@pytest.mark.parametrize("layers", [(3,), (9, 3)])
@pytest.mark.parametrize("supervision", SUPERVISIONS, ids=str)
def test_supervision_improves_the_label_fit(toy, supervision, layers):
    classes, losses = toy.classes[9] % 2, []  # three topics keep them apart only if they are asked to
    for weight in (1e-3, 10.0):
        labels = Supervision(supervision.loss, weight, supervision.learn_map).labels(classes, 2)
        fit = Neural().fit(Problem(toy.X, labels), plan(toy.X, layers, max_iter=80))
        losses.append(labels.cost.evaluate(fit.S[-1], np.eye(2)[:, classes], fit.B).value)
    assert losses[1] < 0.8 * losses[0]


def test_default_fit_from_nndsvd_converges_to_the_floor(toy):
    start = NNDSVD().start(toy.X, (9, 4), np.random.default_rng(0))
    fit = Neural().fit(Problem(toy.X), Plan(start))
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    error = np.linalg.norm(toy.X - fit.A[0] @ Neural().decode(fit.A, fit.S, 1)) / np.linalg.norm(toy.X)
    assert fit.stop == "converged"
    assert error <= 1.001 * np.linalg.norm(sigma[4:]) / np.linalg.norm(sigma)


@pytest.mark.parametrize("supervision", [None, *SUPERVISIONS], ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layers", [(5,), (5, 3)])
def test_divergence_is_minimised_and_recorded(layers, masked, supervision, toy):
    rng = np.random.default_rng(3)
    X = rng.random((20, 5)) @ rng.random((5, 90)) + 0.1 * rng.random((20, 90))
    mask = rng.random(X.shape) < 0.8 if masked else None
    X = X * mask if masked else X
    labels = supervision and supervision.labels(half_known(toy.classes[4]), 4)
    fit = Neural().fit(Problem(X, labels, KullbackLeibler(), mask), plan(X, layers))
    variables = [*fit.A, fit.B] if labels and labels.learn_map else fit.A
    again = Network(X, KullbackLeibler(), labels, mask=mask).evaluate(variables).value
    assert fit.history.cost[-1] == pytest.approx(again, rel=1e-8)
    assert fit.history.cost[-1] < 0.8 * fit.history.cost[0]
    if labels is None:
        V = np.linalg.multi_dot([*fit.A, fit.S[-1]])
        W = np.ones_like(X) if mask is None else mask
        assert fit.history.cost[-1] == pytest.approx(np.sum(W * kl_div(X, V)) / X.sum(), rel=1e-8)


@pytest.mark.parametrize("init", [NNDSVD(), Random()], ids=lambda init: type(init).__name__)
def test_divergence_survives_zeros_of_the_approximation(init, toy):
    """Least-squares codes can leave a column of the product zero, which no multiplicative update does."""
    start = init.start(toy.X, (9,), np.random.default_rng(0))
    fit = Neural().fit(Problem(toy.X, cost=KullbackLeibler()), Plan(start, StoppingRule(max_iter=60)))
    assert max(fit.history.projected_gradient) < 1e6
    assert fit.stop == "max_iter"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_masks_and_penalties(name, toy):
    mask = np.random.default_rng(3).random(toy.X.shape) < 0.8
    regularisation = Regularisation(l1_A=0.01, l2_A=0.01, l1_S=0.01, l2_S=0.01)
    problem = Problem(toy.X * mask, mask=mask, regularisation=regularisation)
    p = plan(toy.X, (9, 4), max_iter=10)
    optimizer = OPTIMIZERS[name](**({"step": 0.02} if name in ("gd", "sgd") else {}))
    fit = Neural().fit(problem, Plan(p.start, p.rule, optimizer))
    assert fit.history.cost[-1] < fit.history.cost[0]
    for found, trained in zip(Neural().transform(fit, toy.X * mask, mask), fit.S, strict=True):
        np.testing.assert_allclose(found, trained, atol=1e-7 * trained.max())


def test_codes_of_a_divergent_fit_are_least_squares(toy):
    """The forward pass is the same for every cost; only the factors differ."""
    fit = Neural().fit(Problem(toy.X, cost=KullbackLeibler()), plan(toy.X, (9, 4), max_iter=5))
    assert fit.parameters == {}
    for factor, inputs, S in zip(fit.A, (toy.X, fit.S[0]), fit.S, strict=True):
        np.testing.assert_allclose(S, nnls(factor, inputs).S, atol=1e-8 * S.max())


def test_energy_refuses_penalties_on_factors_whose_scale_it_fixes():
    penalty = Regularisation(l1_A=0.1, l1_S=0.1)
    for depth in (1, 2):
        with pytest.raises(InputError, match=r"cost=energy .* cannot be regularised"):
            Neural().check(Energy(), Supervision(), depth, penalty)
    Neural().check(Multilevel(), Supervision(), 2, penalty)


PENALTIES = Regularisation(l1_A=0.01, l2_A=0.01, l1_S=0.01, l2_S=0.01)


@pytest.fixture
def of_any_size(monkeypatch):
    """Lets fits of few samples begin with HALS too."""
    monkeypatch.setattr("nnmf_runner.methods.neural.MANY", 1)


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize(("cost", "regularisation"), [
    (Reconstruction(), Regularisation()), (Multilevel([1.0]), Regularisation()), (Energy(), Regularisation()),
    (Reconstruction(), PENALTIES), (Multilevel([1.0]), PENALTIES),
], ids=["reconstruction", "multilevel", "energy", "reconstruction-penalised", "multilevel-penalised"])  # fmt: skip
def test_plain_nmf_begins_as_hier_and_goes_on_with_exact_codes(cost, regularisation, toy):
    problem, p = Problem(toy.X, cost=cost, regularisation=regularisation), plan(toy.X, (9,))
    theirs = Hierarchical().fit(replace(problem, cost=Reconstruction()), p).history
    ours = Neural().fit(problem, replace(p, optimizer=Automatic(hals=10))).history
    np.testing.assert_allclose(ours.cost[:11], theirs.cost[:11], rtol=1e-12)
    assert ours.cost[11] < ours.cost[10]  # the same factor with its best codes
    assert ours.iteration == list(range(31))
    assert max(np.diff(ours.cost)) <= 0


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("changes", [
    {"labels": Supervision().labels(np.arange(90) % 2, 2)},
    {"mask": np.random.default_rng(0).random((87, 90)) < 0.8},
    {"cost": KullbackLeibler()},
    {"cost": Multilevel([2.0])},
])  # fmt: skip
def test_hals_is_for_the_plain_problem_alone(changes, toy):
    X = toy.X * changes.get("mask", 1.0)
    fits = [
        Neural().fit(Problem(X, **changes), replace(plan(X, (3,)), optimizer=optimizer))
        for optimizer in (Automatic(), Automatic(hals=0))
    ]
    np.testing.assert_array_equal(fits[0].A[0], fits[1].A[0])


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("max_iter", [0, 1, 2, 5])
def test_hals_leaves_the_number_of_iterations_to_the_rule(max_iter, toy):
    fit = Neural().fit(Problem(toy.X), plan(toy.X, (9,), max_iter=max_iter))
    assert fit.history.iteration == list(range(max_iter + 1))
    assert fit.stop == "max_iter"
    assert fit.history.cost[-1] == pytest.approx(Network(toy.X, Reconstruction()).evaluate(fit.A).value, rel=1e-9)


def test_hals_is_for_many_samples(toy):
    fits = [Neural().fit(Problem(toy.X), replace(plan(toy.X, (4,)), optimizer=Automatic(hals=n))) for n in (0, 100)]
    np.testing.assert_array_equal(fits[0].A[0], fits[1].A[0])


@pytest.mark.usefixtures("of_any_size")
def test_hals_is_interrupted_once_and_for_all(toy):
    seen = []
    fit = Neural().fit(Problem(toy.X), plan(toy.X, (9,), progress=lambda i, cost: seen.append(i) or i == 3))
    assert fit.stop == "interrupted"
    assert seen == fit.history.iteration == [0, 1, 2, 3]
    assert Network(toy.X, Reconstruction()).evaluate(fit.A).value < fit.history.cost[-1]


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("layers", [(9,), (4,), (2,)])
@pytest.mark.parametrize("seed", range(3))
def test_plain_nmf_converges_to_the_floor_after_hals(layers, seed, toy_of):
    X = toy_of(seed).X
    fit = Neural().fit(Problem(X), Plan(NNDSVD().start(X, layers, np.random.default_rng(seed))))
    sigma = np.linalg.svd(X, compute_uv=False)
    assert fit.stop == "converged"
    assert np.linalg.norm(X - fit.A[0] @ fit.S[0]) <= 1.001 * np.linalg.norm(sigma[layers[0] :])
