"""Unfolded networks against their definition, and derivatives against differences."""

import numpy as np
import pytest

from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.init import NNDSVD
from nnmf_runner.core.monitor import Monitor, Stop, StoppingRule
from nnmf_runner.core.unfolding import MultiplicativeMomentum, UnfoldedNetwork, backward_layer, train, unfolded_layer
from tests.fixtures.unfolded import BETAS, half_known, plain_codes, plain_cost, plain_divergence


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("sparsity", [0.0, 0.3])
@pytest.mark.parametrize("labelled", [False, True])
def test_parts_are_nonnegative_and_differ_by_the_derivative(rng, beta, sparsity, labelled):
    X, W = rng.uniform(0.1, 1.0, (8, 10)), [rng.uniform(0.1, 1.0, (8, 3)) for _ in range(4)]
    labels = half_known(rng.permutation(np.arange(10) % 3), weight=0.5) if labelled else None
    network = UnfoldedNetwork(X, BetaDivergence(beta), sparsity, labels)
    done, h = network.forward(W), 1e-5
    for i, (plus, minus) in enumerate(network.backward(W, done)):
        assert min(plus.min(), minus.min()) >= 0
        direction = rng.standard_normal(plus.shape)
        # The best map may stay: there the cost does not change with it, to first order.
        costs = [
            plain_cost([*W[:i], W[i] + t * direction, *W[i + 1 :]], X, beta, sparsity, labels, done.B) for t in (h, -h)
        ]
        # central differences lose h^2 to curvature and 1e-16 / h to rounding
        assert np.vdot(plus - minus, direction) == pytest.approx((costs[0] - costs[1]) / (2 * h), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("sparsity", [0.0, 0.3])
def test_label_map_is_the_best_nonnegative_one(rng, sparsity):
    X, W = rng.random((8, 12)), [rng.random((8, 3)) for _ in range(3)]
    labels = half_known(np.arange(12) % 4 // 2)
    done = UnfoldedNetwork(X, BetaDivergence(), sparsity, labels).forward(W)
    S, Y = done.S[:, labels.known], labels.Y[:, labels.known]
    gradient = (done.B @ S - Y) @ S.T
    assert done.B.min() >= 0
    # the solver adds a ridge of 1e-12 of the Gram matrix
    assert gradient.min() > -1e-10 * np.abs(Y @ S.T).max()
    assert abs(np.vdot(gradient, done.B)) < 1e-10 * np.vdot(Y, Y)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("sparsity", [0.0, 0.3])
def test_forward_pass_is_one_plain_update_a_layer(rng, beta, sparsity):
    X, W = rng.random((8, 10)), [rng.random((8, 3)) for _ in range(4)]
    done = UnfoldedNetwork(X, BetaDivergence(beta), sparsity).forward(W)
    np.testing.assert_allclose(done.S, plain_codes(W, X, beta, sparsity), rtol=1e-12)
    expected = plain_divergence(X, W[-1] @ done.S, beta) / ((X**beta).sum() / beta)
    assert done.cost == pytest.approx(expected, rel=1e-12)


def test_layers_are_the_updates_of_lee_and_seung(rng):
    X, W = rng.random((8, 10)), [rng.random((8, 3)) for _ in range(3)]
    squared = kullback = np.ones((3, 1)) * X.sum(axis=0)  # a column's scale does not matter without a penalty
    for A in W[:-1]:
        squared = squared * (A.T @ X) / (A.T @ A @ squared)
        kullback = kullback * (A.T @ (X / (A @ kullback))) / A.sum(axis=0)[:, None]
    for beta, expected in ((2.0, squared), (1.0, kullback)):
        np.testing.assert_allclose(UnfoldedNetwork(X, BetaDivergence(beta)).forward(W).S, expected, rtol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_with_tied_bases_the_cost_falls_along_the_layers(rng, beta):
    X, A = rng.random((8, 10)), rng.random((8, 3))
    network = UnfoldedNetwork(X, BetaDivergence(beta))
    costs = [network.forward([A] * (n + 1)).cost for n in range(1, 12)]
    assert (np.diff(costs) < 0).all()


@pytest.mark.parametrize("beta", BETAS)
def test_the_start_has_the_scale_of_the_data(toy, beta):
    network = UnfoldedNetwork(toy.X, BetaDivergence(beta))
    W = network.start(NNDSVD().start(toy.X, (4,), np.random.default_rng(0))[0], 3)
    cost = network.forward(W).cost
    for factor in (0.99, 1.01):
        assert network.forward([*W[:-1], factor * W[-1]]).cost > cost
    for basis in W[:-1]:
        np.testing.assert_allclose(np.linalg.norm(basis, axis=0), 1.0, rtol=1e-14)


def test_sparsity_makes_codes_smaller(rng):
    X, W = rng.random((8, 10)), [rng.random((8, 3)) for _ in range(3)]
    sums = [UnfoldedNetwork(X, BetaDivergence(1.0), s).forward(W).S.sum() for s in (0.0, 0.1, 1.0)]
    assert sums[0] > sums[1] > sums[2]


def test_momentum_grows_exponents_and_shrinks_them_where_a_factor_turns_back():
    updates, W = MultiplicativeMomentum(2), [np.ones((1, 1)), np.ones((1, 1))]
    falls, rises = np.array([[[1.0]], [[2.0]]]), np.array([[[2.0]], [[1.0]]])
    W = updates.search(W, [falls, falls], lambda new: True)
    np.testing.assert_allclose(np.ravel(W), 2.0)
    W = updates.search(W, [falls, rises], lambda new: True)
    assert updates.exponents[0] > 1.0 > updates.exponents[1]
    assert W[0] > 2.0 > W[1]
    assert updates.search(W, [falls, falls], lambda new: False) is None


def layer_output(W, H, X, beta, mu):
    """One update of the codes from its definition."""
    V = W @ H
    return H * (W.T @ (X * V ** (beta - 2))) / (W.T @ V ** (beta - 1) + mu)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_a_layer_is_one_update_and_its_derivatives_are_differences(rng, beta, mu):
    X, W, H = (rng.uniform(0.1, 1.0, shape) for shape in ((8, 10), (8, 3), (3, 10)))
    penalty = np.full(10, mu)
    layer = unfolded_layer(W, H, X, BetaDivergence(beta), penalty)
    np.testing.assert_allclose(layer.output, layer_output(W, H, X, beta, penalty), rtol=1e-12)
    dH, h = rng.random((2, 3, 10)), 1e-5
    parts = backward_layer(layer, beta, dH)
    for part, moved in zip(parts, (lambda D, t: (W + t * D, H), lambda D, t: (W, H + t * D)), strict=True):
        assert part.min() >= 0
        direction = rng.standard_normal(part.shape[1:])
        above, below = (np.vdot(dH[0] - dH[1], layer_output(*moved(direction, t), X, beta, penalty)) for t in (h, -h))
        assert np.vdot(part[0] - part[1], direction) == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_training_lowers_the_cost_to_that_of_the_bases_it_returns(rng, beta):
    X = rng.uniform(0.1, 1.0, (8, 10))
    labels = half_known(np.arange(10) % 3)
    network, monitor = UnfoldedNetwork(X, BetaDivergence(beta), 0.1, labels), Monitor(StoppingRule(0.0, 40))
    W, done = train(network, network.start(rng.random((8, 3)), 3), monitor)
    costs = monitor.history.cost
    assert (np.diff(costs) <= 0).all()
    assert monitor.stop is Stop.MAX_ITER
    assert costs[-1] == pytest.approx(plain_cost(W, X, beta, 0.1, labels, done.B), rel=1e-9)
    assert min(basis.min() for basis in W) >= 0


def test_training_meets_the_tolerance_where_the_factorisation_is_exact(rng):
    X = np.outer(rng.uniform(0.5, 1.0, 8), rng.uniform(0.5, 1.0, 10))  # which one layer of rank one encodes exactly
    network, monitor = UnfoldedNetwork(X, BetaDivergence(2.0)), Monitor(StoppingRule(1e-6, 1000))
    W, done = train(network, network.start(rng.random((8, 1)), 1), monitor)
    assert monitor.stop is Stop.CONVERGED
    np.testing.assert_allclose(W[-1] @ done.S, X, rtol=1e-4)


def test_no_entry_changes_by_more_than_the_largest_factor_in_one_step():
    steep = np.array([[[1e-9, 1e9]], [[1e9, 1e-9]]])
    [new] = MultiplicativeMomentum(1).search([np.ones((1, 2))], [steep], lambda new: True)
    np.testing.assert_allclose(new, [[10.0, 0.1]])


def test_exponents_shrink_until_a_step_is_accepted():
    updates, parts = MultiplicativeMomentum(1), np.array([[[1.0]], [[4.0]]])
    [new] = updates.search([np.ones((1, 1))], [parts], lambda new: new[0][0, 0] < 1.5)
    assert new[0, 0] == pytest.approx(4.0**0.25)  # 4 and 2 are refused
    assert updates.exponents == pytest.approx([0.25])
