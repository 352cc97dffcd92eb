"""Data with missing entries: what the methods find without them, and that they do not look at them."""

import numpy as np
import pytest
from scipy import optimize, sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.deep import Deep
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.methods.neural import Neural

METHODS = {"hier": Hierarchical("mu"), "deep": Deep(solver="mu"), "neural": Neural(), "log1p": Deep(activation="log1p")}


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def plan(X, layers, seed=0, **rule):
    return Plan(Random().start(X, layers, np.random.default_rng(seed)), StoppingRule(**({"max_iter": 30} | rule)))


def planted(rng, rank=3, share_missing=0.25):
    """Exact data of low rank, what is left of them, and where."""
    A, S = (rng.random(shape) * (rng.random(shape) > 0.3) for shape in ((30, rank), (rank, 40)))
    mask = rng.random((30, 40)) >= share_missing
    return A @ S, A @ S * mask, mask


def small(rng):
    mask = rng.random((12, 15)) < 0.75
    return rng.random((12, 15)) * mask, mask


# Multiplicative updates come near zeros of the truth slowly, the quasi-Newton method does not.
@pytest.mark.parametrize(
    ("name", "layers", "tol"),
    [
        ("hier", (3,), 2e-2),
        ("deep", (3,), 2e-2),
        ("deep", (5, 3), 2e-2),
        ("neural", (3,), 1e-4),
        ("neural", (5, 3), 1e-2),
    ],
)
def test_missing_entries_of_exact_data_are_recovered(name, layers, tol, rng):
    X, seen, mask = planted(rng)
    method = METHODS[name]
    fit = method.fit(Problem(seen, mask=mask), plan(seen, layers, max_iter=1500, tol=1e-7))
    found = fit.A[0] @ method.decode(fit.A, fit.S, len(layers) - 1)
    assert np.linalg.norm((X - found)[~mask]) <= tol * np.linalg.norm(X[~mask])


@pytest.mark.parametrize("name", ["hier", "deep"])
def test_divergence_recovers_missing_entries_too(name, rng):
    X, seen, mask = planted(rng)
    problem = Problem(seen, cost=COSTS["kl"](), mask=mask)
    fit = METHODS[name].fit(problem, plan(seen, (3,), max_iter=1200, tol=1e-7))
    found = fit.A[0] @ fit.S[0]
    assert np.linalg.norm((X - found)[~mask]) <= 2e-2 * np.linalg.norm(X[~mask])


@pytest.mark.parametrize(("name", "cost"), [(name, cost) for name in METHODS for cost in METHODS[name].costs])
@pytest.mark.parametrize("layers", [(3,), (4, 2)])
def test_mask_of_true_gives_the_fit_without_one(name, cost, layers, rng):
    X, method = rng.random((12, 15)), METHODS[name]
    labels = Supervision(weight=0.1).labels(np.arange(15) % 3 - 1, 2)
    fits = [
        method.fit(Problem(X, labels, COSTS[cost](), mask), plan(X, layers, max_iter=10))
        for mask in (None, np.ones(X.shape, bool))
    ]
    np.testing.assert_allclose(fits[1].history.cost, fits[0].history.cost, rtol=1e-8)
    for a, b in zip((*fits[1].A, *fits[1].S, fits[1].B), (*fits[0].A, *fits[0].S, fits[0].B), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("cost", ["reconstruction", "kl"])
@pytest.mark.parametrize("loss", [None, "squared", "kl"])
@pytest.mark.parametrize("name", ["hier", "deep", "log1p"])
def test_masked_cost_never_rises(name, cost, loss, rng):
    X, mask = small(rng)
    labels = loss and Supervision(loss, 0.1).labels(np.arange(15) % 3 - 1, 2)
    fit = METHODS[name].fit(Problem(X, labels, COSTS[cost](), mask), plan(X, (4, 2), max_iter=60))
    costs, layer = np.array(fit.history.cost), np.array(fit.history.layer)
    for level in set(layer):
        assert len(costs[layer == level]) > 5
        assert np.diff(costs[layer == level]).max() <= 1e-13


def cost_of_known(cost, X, V, mask):
    """Relative cost over the known entries, from the definition."""
    X, V = X[mask], V[mask]
    if cost == "kl":
        return (np.sum(X[X > 0] * np.log(X[X > 0] / V[X > 0])) - X.sum() + V.sum()) / X.sum()
    return np.sum((X - V) ** 2) / np.sum(X**2)


@pytest.mark.parametrize("cost", ["reconstruction", "kl"])
def test_last_cost_is_that_of_the_known_entries(method, cost, rng):
    X, mask = small(rng)
    fit = method.fit(Problem(X, None, COSTS[cost](), mask), plan(X, (3,)))
    assert fit.history.cost[-1] == pytest.approx(cost_of_known(cost, X, fit.A[0] @ fit.S[0], mask), rel=1e-9)


@pytest.mark.parametrize("name", ["deep", "neural"])
@pytest.mark.parametrize("cost", ["reconstruction", "kl"])
def test_last_cost_of_two_layers_is_that_of_the_known_entries(name, cost, rng):
    X, mask = small(rng)
    fit = METHODS[name].fit(Problem(X, None, COSTS[cost](), mask), plan(X, (4, 2)))
    V = fit.A[0] @ fit.A[1] @ fit.S[1]
    assert fit.history.cost[-1] == pytest.approx(cost_of_known(cost, X, V, mask), rel=1e-9)


def test_sample_and_feature_without_a_known_entry_are_fitted_to_nothing(method, rng):
    X, mask = small(rng)
    mask[:, 4], mask[3] = False, False
    X = X * mask
    fit = method.fit(Problem(X, mask=mask), plan(X, (4, 2), max_iter=50))
    assert all(np.isfinite(M).all() for M in (*fit.A, *fit.S))
    for S in fit.S:
        np.testing.assert_array_equal(S[:, 4], 0.0)


def test_sample_and_feature_without_a_known_entry_cost_nothing(rng):
    X, mask = small(rng)
    mask[:, 4], mask[3] = False, False
    X = X * mask
    others, rows = np.arange(15) != 4, np.arange(12) != 3
    start = plan(X, (4, 2)).start
    whole = Neural().fit(Problem(X, mask=mask), Plan(start, StoppingRule(max_iter=5)))
    less = Plan([start[0][rows], start[1]], StoppingRule(max_iter=5))
    without = Neural().fit(Problem(X[rows][:, others], mask=mask[rows][:, others]), less)
    np.testing.assert_allclose(whole.history.cost, without.history.cost, rtol=1e-8)


@pytest.mark.parametrize("name", ["hier", "deep", "neural"])
def test_codes_of_masked_data_are_least_squares_on_their_known_entries(name, rng):
    X, mask = small(rng)
    method = METHODS[name]
    fit = method.fit(Problem(X, mask=mask), plan(X, (3,)))
    S = method.transform(fit, X, mask)[0]
    for j in range(15):
        expected = optimize.nnls(fit.A[0][mask[:, j]], X[mask[:, j], j])[0]
        np.testing.assert_allclose(S[:, j], expected, atol=1e-8)


@pytest.mark.parametrize("name", ["hier", "deep", "neural"])
def test_codes_of_new_samples_need_a_part_of_their_entries(name, rng):
    X, _, mask = planted(rng)
    method = METHODS[name]
    fit = method.fit(Problem(X), plan(X, (3,), max_iter=2000, tol=1e-7))
    S = method.transform(fit, X * mask, mask)[0]
    assert np.linalg.norm((X - fit.A[0] @ S)[~mask]) <= 1e-2 * np.linalg.norm(X[~mask])


def test_fit_does_not_change_data_nor_mask(method, rng):
    X, mask = small(rng)
    before = X.copy(), mask.copy()
    method.fit(Problem(X, mask=mask), plan(X, (4, 2), max_iter=3))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_sparse_data_with_a_mask_are_refused(method, rng):
    X, mask = small(rng)
    reason = "where missing entries cannot be told from zeros" if method.takes_sparse else "and .* dense matrices"
    with pytest.raises(InputError, match=f"X is sparse, {reason}"):
        method.check_data(sparse.csr_array(X), mask)
    if method.takes_sparse:
        method.check_data(sparse.csr_array(X), None)
    method.check_data(X, mask)
