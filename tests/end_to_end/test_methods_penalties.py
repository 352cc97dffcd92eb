"""Penalties on the factors: what is recorded, what they do, and in which units."""

import numpy as np
import pytest
from scipy.special import kl_div

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS, Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS, Plan, Problem, Supervision
from nnmf_runner.methods.deep import Deep
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.methods.neural import Neural

WEIGHTS = {"l1_A": 0.03, "l2_A": 0.02, "l1_S": 0.04, "l2_S": 0.01}
BOTH = Regularisation(**WEIGHTS)
ALL = {
    "mu": Hierarchical("mu"),
    "hals": Hierarchical("hals"),
    "anls": Hierarchical("anls"),
    "deep": Deep(),
    "log1p": Deep(activation="log1p"),
    "neural": Neural(),
}
DIVERGENT = ["mu", "deep", "log1p", "neural"]
CASES = [(name, "reconstruction") for name in ALL] + [(name, "kl") for name in DIVERGENT]


def data(rng, noise=0.05):
    return rng.random((14, 3)) @ rng.random((3, 20)) + noise * rng.random((14, 20))


def plan(X, layers, seed=0, **rule):
    return Plan(Random().start(X, layers, np.random.default_rng(seed)), StoppingRule(**({"max_iter": 60} | rule)))


def documented(X, A, S):
    """``l1 sum |F| / (u sqrt(size)) + l2 ||F||^2 / u^2`` for all factors A and the codes S of their product."""
    u = np.linalg.norm(X) ** (1.0 / (len(A) + 1))
    total = 0.0
    for F, l1, l2 in [*((F, WEIGHTS["l1_A"], WEIGHTS["l2_A"]) for F in A), (S, WEIGHTS["l1_S"], WEIGHTS["l2_S"])]:
        total += l1 * F.sum() / (u * np.sqrt(F.size)) + l2 * np.sum(F**2) / u**2
    return total


def relative_cost(cost, X, V):
    return np.sum(kl_div(X, V)) / X.sum() if cost == "kl" else np.sum((X - V) ** 2) / np.sum(X**2)


@pytest.mark.parametrize(("name", "cost"), CASES)
def test_recorded_cost_is_the_documented_objective(name, cost, rng):
    X = data(rng)
    fit = ALL[name].fit(Problem(X, None, COSTS[cost](), None, BOTH), plan(X, (3,)))
    V = fit.A[0] @ fit.S[0]
    expected = relative_cost(cost, X, V) + documented(X, fit.A, fit.S[0])
    assert fit.history.cost[-1] == pytest.approx(expected, rel=1e-8)
    assert fit.history.cost[-1] < fit.history.cost[0]


@pytest.mark.parametrize(("name", "cost"), [case for case in CASES if case[0] in ("deep", "neural")])
@pytest.mark.parametrize("layers", [(4, 3), (5, 4, 3)])
def test_recorded_cost_of_several_layers_is_the_documented_objective(name, cost, layers, rng):
    X = data(rng)
    fit = ALL[name].fit(Problem(X, None, COSTS[cost](), None, BOTH), plan(X, layers))
    V = fit.A[0] @ ALL[name].decode(fit.A, fit.S, len(layers) - 1)
    expected = relative_cost(cost, X, V) + documented(X, fit.A, fit.S[-1])
    assert fit.history.cost[-1] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", ["mu", "hals", "anls"])
def test_recorded_cost_of_every_layer_of_a_hierarchy_is_the_documented_objective(name, rng):
    X = data(rng)
    fit = ALL[name].fit(Problem(X, regularisation=BOTH), plan(X, (4, 3)))
    last = dict(zip(fit.history.layer, fit.history.cost, strict=True))
    for level, inputs in enumerate((X, fit.S[0])):
        A, S = fit.A[level], fit.S[level]
        expected = relative_cost("reconstruction", inputs, A @ S) + documented(inputs, [A], S)
        assert last[level] == pytest.approx(expected, rel=1e-8)


LABELLED = [(*case, loss) for case in CASES for loss in ("squared", "kl") if case[0] != "neural"]


@pytest.mark.parametrize(("name", "cost", "loss"), [c for c in LABELLED if c[2] != "kl" or c[0] in DIVERGENT])
def test_labelled_penalised_cost_never_rises(name, cost, loss, rng):
    X = data(rng)
    labels = Supervision(loss, 0.1).labels(np.arange(20) % 3 - 1, 2)
    history = ALL[name].fit(Problem(X, labels, COSTS[cost](), None, BOTH), plan(X, (4, 3))).history
    costs, layer = np.array(history.cost), np.array(history.layer)
    assert max(np.diff(costs[layer == level]).max() for level in set(layer)) <= 1e-13


SCALED = [(name, cost, layers) for name, cost in CASES for layers in [(3,), (4, 3)] if name != "neural"]
SCALED.remove(("log1p", "reconstruction", (4, 3)))  # an activation is not free of scale
SCALED.remove(("log1p", "kl", (4, 3)))


@pytest.mark.parametrize(("name", "cost", "layers"), SCALED)
def test_scale_of_the_data_does_not_matter(name, cost, layers, rng):
    """The factors of a product share the scale of the data equally; a hierarchy is of one product after another."""
    X, method = data(rng), ALL[name]
    fits = {}
    for c in (1.0, 1e6, 1e-6):
        start = [A.copy() for A in plan(X, layers).start]
        rule = StoppingRule(tol=0.0, max_iter=10)
        fits[c] = method.fit(Problem(c * X, None, COSTS[cost](), None, BOTH), Plan(start, rule))
    plain = fits.pop(1.0)
    for c, fit in fits.items():
        np.testing.assert_allclose(fit.history.cost, plain.history.cost, rtol=1e-6)
        if name in ("deep", "log1p"):
            shares = [c ** (1.0 / (len(layers) + 1))] * (len(layers) + 1)
        else:
            shares = [c**0.5, *(c**0.25 for _ in layers[1:])]
            shares.append(shares[-1])
        for a, b, share in zip((*fit.A, fit.S[-1]), (*plain.A, plain.S[-1]), shares, strict=True):
            np.testing.assert_allclose(a, share * b, rtol=1e-4, atol=1e-6 * share)


@pytest.mark.parametrize("cost", ["reconstruction", "kl"])
@pytest.mark.parametrize("layers", [(3,), (4, 3)])
@pytest.mark.parametrize("c", [1e6, 1e-6])
def test_cost_of_the_neural_method_and_its_relative_gradient_do_not_depend_on_scale(cost, layers, c, rng):
    X, found = data(rng), []
    for scale in (1.0, c):  # the path of an optimizer does: it takes its steps in the factors as they are
        rule = StoppingRule(tol=0.0, max_iter=0)
        problem = Problem(scale * X, None, COSTS[cost](), None, BOTH)
        found.append(Neural().fit(problem, Plan(plan(X, layers).start, rule)))
    plain, scaled = found
    np.testing.assert_allclose(scaled.history.cost, plain.history.cost, rtol=1e-9)
    np.testing.assert_allclose(scaled.history.projected_gradient, plain.history.projected_gradient, rtol=1e-6)
    share = c ** (1.0 / (len(layers) + 1))
    for a, b in zip((*scaled.A, scaled.S[-1]), (*plain.A, plain.S[-1]), strict=True):
        np.testing.assert_allclose(a, share * b, rtol=1e-6, atol=1e-9 * share)


@pytest.mark.parametrize("c", [1e6, 1e-6])
def test_objective_of_a_converged_neural_fit_does_not_depend_on_scale(c, rng):
    X = data(rng)
    fits = [Neural().fit(Problem(s * X, regularisation=BOTH), plan(X, (3,), tol=1e-6, max_iter=2000)) for s in (1.0, c)]
    assert fits[1].history.cost[-1] == pytest.approx(fits[0].history.cost[-1], rel=1e-6)


@pytest.mark.parametrize("name", ["hals", "anls", "neural"])
def test_l1_makes_zeros_that_l2_does_not(name, rng):
    X = data(rng, noise=0.3) + 0.5
    shares = []
    for regularisation in (Regularisation(l2_A=0.1, l2_S=0.1), Regularisation(l1_A=0.3, l1_S=0.3)):
        fit = ALL[name].fit(Problem(X, regularisation=regularisation), plan(X, (4,), max_iter=500))
        shares.append(np.mean([np.mean(F == 0) for F in (fit.A[0], fit.S[0])]))
    assert shares[1] > shares[0] + 0.1


@pytest.mark.parametrize("name", ALL)
def test_overwhelming_penalties_leave_nothing_and_no_nan(name, rng):
    X = data(rng)
    fit = ALL[name].fit(Problem(X, regularisation=Regularisation(l1_A=100.0, l1_S=100.0)), plan(X, (3,), max_iter=300))
    assert all(np.isfinite(F).all() for F in (*fit.A, *fit.S))
    assert np.linalg.norm(fit.A[0] @ fit.S[0]) <= 1e-2 * np.linalg.norm(X)


def test_one_layer_of_the_neural_method_reaches_the_objective_of_the_hierarchical(rng):
    X = data(rng)
    problem = Problem(X, regularisation=BOTH)
    ours = Neural().fit(problem, plan(X, (3,), max_iter=3000, tol=1e-8))
    theirs = Hierarchical("hals").fit(problem, Plan(ours.A, StoppingRule(tol=1e-8, max_iter=3000)))
    assert theirs.history.cost[-1] == pytest.approx(ours.history.cost[-1], rel=1e-5)
    again = Hierarchical("hals").fit(problem, plan(X, (3,), max_iter=5000, tol=1e-8))
    assert again.history.cost[-1] == pytest.approx(ours.history.cost[-1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["mu", "hals", "anls"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_penalised_objective_equals_that_of_scikit_learn(solver, l1_ratio, rng):
    """Theirs: ``1/2 ||X - W H||^2 + alpha (l1_ratio sum F + (1 - l1_ratio) / 2 ||F||^2)``, alpha_W n_features for W."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    X = data(rng)
    (m, n), k, alpha_W, alpha_H = X.shape, 3, 0.004, 0.006
    norm, u = np.sum(X**2), np.sqrt(np.linalg.norm(X))
    on_W, on_H = alpha_W * n, alpha_H * m
    regularisation = Regularisation(
        l1_A=2 / norm * on_W * l1_ratio * u * np.sqrt(m * k),
        l1_S=2 / norm * on_H * l1_ratio * u * np.sqrt(k * n),
        l2_A=on_W * (1 - l1_ratio) / norm * u**2,
        l2_S=on_H * (1 - l1_ratio) / norm * u**2,
    )
    problem = Problem(X, regularisation=regularisation)
    fit = Hierarchical(solver).fit(problem, plan(X, (k,), tol=1e-6, max_iter=4000))
    model = decomposition.NMF(
        k, init="custom", solver="cd", alpha_W=alpha_W, alpha_H=alpha_H, l1_ratio=l1_ratio, tol=0.0, max_iter=1000
    )
    # From where ours ended, theirs has nothing left to gain: there are several local minima.
    W = model.fit_transform(X, W=fit.A[0].copy(), H=fit.S[0].copy())
    H = model.components_
    theirs = 0.5 * np.sum((X - W @ H) ** 2)
    for F, alpha in ((W, on_W), (H, on_H)):
        theirs += alpha * (l1_ratio * F.sum() + (1 - l1_ratio) / 2 * np.sum(F**2))
    assert norm / 2 * fit.history.cost[-1] == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("name", "cost"), CASES)
def test_codes_of_the_training_data_are_those_of_a_converged_fit(name, cost, rng):
    X = data(rng)
    fit = ALL[name].fit(Problem(X, None, COSTS[cost](), None, BOTH), plan(X, (3,), max_iter=1500, tol=1e-6))
    (S,) = ALL[name].transform(fit, X)
    # The codes of new data stop at the default tolerance where they are found by multiplicative updates.
    tol = 1e-4 if name in ("hals", "anls", "neural") else 2e-2
    np.testing.assert_allclose(S, fit.S[0], atol=tol * fit.S[0].max())


@pytest.mark.parametrize(("name", "cost"), [("mu", "kl"), ("deep", "reconstruction"), ("deep", "kl"), ("neural", "kl")])
def test_codes_of_the_training_data_of_two_layers_are_those_of_a_converged_fit(name, cost, rng):
    X = data(rng)
    fit = ALL[name].fit(Problem(X, None, COSTS[cost](), None, BOTH), plan(X, (4, 3), max_iter=1500, tol=1e-6))
    for S, trained in zip(ALL[name].transform(fit, X), fit.S, strict=True):
        np.testing.assert_allclose(S, trained, atol=3e-2 * trained.max())


@pytest.mark.parametrize("name", ["hier", "deep", "neural"])
def test_methods_take_penalties_and_normalisation(name):
    METHODS[name]().check(Reconstruction(), Supervision(), 2, BOTH, normalise=True)


@pytest.mark.parametrize("name", ["semi", "unfolded", "sparse_coding"])
def test_methods_without_penalties_refuse_them(name):
    with pytest.raises(InputError, match=f"method={name} with these options cannot penalise factors"):
        METHODS[name]().check(Reconstruction(), Supervision(), 1, BOTH)
