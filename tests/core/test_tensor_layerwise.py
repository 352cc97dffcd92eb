from functools import partial

import numpy as np
import pytest

import nnmf_runner.core.tensor_layerwise as tensor_layerwise
from nnmf_runner.core.monitor import History, Stop, StoppingRule
from nnmf_runner.core.ncp import balanced
from nnmf_runner.core.tensor import as_tensor
from nnmf_runner.core.tensor_layerwise import (
    Sweeps,
    factorise,
    fit_factor,
    in_one_order,
    layerwise_free,
    layerwise_tied,
    links,
)
from nnmf_runner.core.updates import HALS, Multiplicative
from nnmf_runner.datasets.generated.blocks import Blocks
from tests.fixtures.tensors import published, relative_error


def free_levels(base, levels):
    """Factors of the CP models of the levels above the base."""
    A, S = [np.eye(len(U)) for U in base], []
    for level in levels:
        A = [above @ F for above, (F, _) in zip(A, level, strict=True)]
        S.append([F @ codes for F, (_, codes) in zip(A, level, strict=True)])
    return S


def sklearn_start(X, rank, seed):
    """Factors as scikit-learn's NMF draws them."""
    state, mean = np.random.RandomState(seed), np.sqrt(X.mean() / rank)
    S, A = np.abs(mean * state.randn(rank, X.shape[1])), np.abs(mean * state.randn(len(X), rank))
    return A, S


@pytest.mark.parametrize(("noise", "theirs"), [(0.1, (0.46825367, 0.81526568)), (0.4, (0.42807401, 0.71624931))])
def test_standard_hierarchy_reproduces_the_published_errors(noise, theirs):
    # Means over ten seeds of at most 300 multiplicative sweeps, stopped by a tolerance of 1e-4 of the first error.
    tensor, base = published(noise)

    def errors(seed):
        def fit(X, rank):
            return factorise(X, *sklearn_start(X, rank, seed), Multiplicative, Sweeps(300, 1e-4))

        return [relative_error(tensor, F) for F in free_levels(base, layerwise_free(base, (4, 2), fit))]

    np.testing.assert_allclose(np.mean([errors(seed) for seed in range(10)], axis=0), theirs, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_multi_hntf_reproduces_the_published_errors():
    # Means over ten seeds of 800 sweeps, against the tensor without noise.
    tensor, base = published(0.4)
    clean = as_tensor(Blocks().clean().reshape(-1, 40), (40, 40, 40))

    def errors(seed):
        state = np.random.RandomState(seed)
        start = [state.rand(7, 4), state.rand(4, 2)]
        (W, V), _ = layerwise_tied(tensor, base, start, StoppingRule(tol=0.0, max_iter=800), guarded=False)
        return [relative_error(clean, F) for F in (base, [U @ W for U in base], [U @ W @ V for U in base])]

    found = np.mean([errors(seed) for seed in range(10)], axis=0)
    np.testing.assert_allclose(found, (0.454330, 0.548042, 0.721277), rtol=0, atol=1e-6)


def test_standard_hierarchy_by_hals_is_nearer_than_the_published_one():
    tensor, base = published(0.1)
    levels = layerwise_free(balanced(base), (4, 2), partial(fit_factor, rng=np.random.default_rng(0)))
    errors = [relative_error(tensor, F) for F in free_levels(base, levels)]
    assert errors[0] < 0.25
    assert errors[1] < 0.65
    for level in levels:
        for A, S in level:
            np.testing.assert_allclose(np.linalg.norm(A, axis=0), 1.0)
            assert A.min() >= 0
            assert S.min() >= 0


def test_topics_that_a_factor_does_not_have_are_zero():
    A, S = fit_factor(np.outer([1.0, 2.0, 0.0], [1.0, 0.0, 3.0]), 2, np.random.default_rng(0))
    np.testing.assert_allclose(A @ S, np.outer([1.0, 2.0, 0.0], [1.0, 0.0, 3.0]), atol=1e-6)
    A, S = fit_factor(np.zeros((3, 4)), 2, np.random.default_rng(0))
    np.testing.assert_array_equal(A @ S, np.zeros((3, 4)))


@pytest.mark.parametrize("update", [HALS, Multiplicative])
def test_factorisation_ends_when_its_sweeps_gain_too_little(update, rng):
    X, A, S = rng.random((8, 6)), rng.random((8, 3)), rng.random((3, 6))
    few = factorise(X, A, S, update, Sweeps(max_iter=3))
    errors = [np.linalg.norm(X - A @ S), np.linalg.norm(X - few[0] @ few[1])]
    tight, loose = (factorise(X, A, S, update, Sweeps(tol=tol)) for tol in (1e-9, 0.5))
    errors += [np.linalg.norm(X - A @ S) for A, S in (loose, tight)]
    assert errors[0] > errors[1] > errors[2] > errors[3]


def planted(rng, shape):
    """A tensor with a level of 5 topics in 3 groups, with its base and links."""
    base = [rng.random((size, 5)) for size in shape]
    W = np.zeros((5, 3))
    W[[0, 1, 2, 3, 4], [0, 0, 1, 1, 2]] = rng.random(5) + 0.5
    T = np.einsum("aR,bR,cR->abc" if len(shape) == 3 else "aR,bR,cR,dR->abcd", *(U @ W for U in base))
    return as_tensor(T.reshape(-1, shape[-1]), shape), base, W


SHAPES = [(6, 5, 7), (6, 5, 4, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("largest", [0, 2**20])
def test_tied_levels_are_found_where_they_are_planted(shape, largest, rng, monkeypatch):
    # With and without the inner products of the data with all combinations of topics.
    monkeypatch.setattr(tensor_layerwise, "LARGEST_CORE", largest)
    tensor, base, W = planted(rng, shape)
    start, history = W + 0.1 * rng.random(W.shape), History()
    (found,), stop = layerwise_tied(tensor, base, [start], StoppingRule(tol=0.0, max_iter=500), history)
    np.testing.assert_array_equal(found.argmax(axis=1), W.argmax(axis=1))
    assert history.cost[-1] < 1e-2 * history.cost[0]
    assert stop is Stop.MAX_ITER
    assert set(history.layer) == {1}
    assert history.cost[0] == pytest.approx(relative_error(tensor, [U @ start for U in base]) ** 2)
    assert history.cost[-1] == pytest.approx(relative_error(tensor, [U @ found for U in base]) ** 2, abs=1e-12)


@pytest.mark.parametrize("shape", [*SHAPES, (4, 3, 5, 3, 4)])
def test_guarded_tied_steps_never_raise_the_cost(shape, rng):
    tensor = as_tensor(rng.random((int(np.prod(shape[:-1])), shape[-1])), shape)
    base = [rng.random((size, 4)) for size in shape]
    history = History()
    layerwise_tied(tensor, base, [rng.random((4, 3)), rng.random((3, 2))], StoppingRule(tol=0.0, max_iter=200), history)
    for level in (1, 2):
        costs = np.array(history.cost)[np.array(history.layer) == level]
        assert (np.diff(costs) <= 0).all()
        assert costs[-1] < costs[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_tied_measure_of_convergence_is_that_of_central_differences(shape, rng):
    tensor, base, W = planted(rng, shape)
    level = tensor_layerwise._Level(tensor, base)
    W = W + rng.random(W.shape)
    numeric, step = np.zeros_like(W), 1e-6
    for index in np.ndindex(W.shape):
        for sign in (1, -1):
            moved = W.copy()
            moved[index] += sign * step
            numeric[index] += sign * relative_error(tensor, [U @ moved for U in base]) ** 2 / (2 * step)
    gradient = level.evaluate(W).gradient
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-6 * np.abs(gradient).max())


def test_links_are_those_of_an_exact_tree(rng):
    base = [rng.random((size, 5)) for size in (6, 7, 8)]
    W, V = rng.random((5, 3)), rng.random((3, 2))
    found = links([base, [U @ W for U in base], [U @ W @ V for U in base]])
    for ours, theirs in zip(found, (W, V), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_topics_fitted_mode_by_mode_are_put_in_one_order_without_a_change_of_the_models(rng):
    base = [np.kron(np.eye(4), np.ones((3, 1))) + 0.01 * rng.random((12, 4)) for _ in range(3)]
    orders = [[0, 1], [1, 0], [1, 0]]
    pairs = np.kron(np.eye(2), np.ones((1, 2)))  # the base's topics 0 and 1, 2 and 3

    def shuffled(U, order):
        return U @ pairs.T[:, order], pairs[order]

    first = [shuffled(U, order) for U, order in zip(base, orders, strict=True)]
    second = [(np.array([[1.0], [2.0]])[order], pairs[:1] + 2.0 * pairs[1:]) for order in orders]
    levels = [first, second]
    found = in_one_order(levels)
    for before, after in zip(free_levels(base, levels), free_levels(base, found), strict=True):
        for F, G in zip(before, after, strict=True):
            np.testing.assert_allclose(G, F, rtol=1e-12)
    for _, S in found[0]:
        np.testing.assert_array_equal(S, pairs)
