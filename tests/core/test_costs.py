import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS, Energy, KullbackLeibler, Multilevel
from nnmf_runner.core.layer import solve_layers


def test_kl_of_one_layer_is_its_divergence(rng):
    X, A = rng.random((8, 10)), rng.random((8, 3))
    layers = solve_layers([A], X)
    V = A @ layers[0].S
    value = KullbackLeibler().evaluate(layers, np.sum(X**2)).value / KullbackLeibler().unit(X)
    assert value == pytest.approx(np.sum(X * np.log(X / V) - X + V) / X.sum(), rel=1e-10)


@pytest.mark.parametrize("cost", ["multilevel", "reconstruction", "energy"])
def test_costs_of_one_layer_are_its_squared_error(cost, rng):
    X, A = rng.random((8, 10)), rng.random((8, 3))
    layers = solve_layers([A], X)
    value = COSTS[cost]().evaluate(layers, np.sum(X**2)).value
    assert value == pytest.approx(np.linalg.norm(X - A @ layers[0].S) ** 2, rel=1e-10)


@pytest.mark.parametrize("cost", [Energy, Multilevel])
def test_weights_are_one_each_by_default(cost, rng):
    X = rng.random((8, 10))
    layers = solve_layers([rng.random((8, 4)), rng.random((4, 2))], X)
    empty, full = (cost(weights).evaluate(layers, np.sum(X**2)).value for weights in ([], [1.0, 1.0]))
    assert empty == full


@pytest.mark.parametrize("cost", [Energy, Multilevel])
def test_weights_that_are_not_acceptable_are_refused(cost):
    with pytest.raises(InputError, match=r"weights\[1\]=-1\.0 is not valid"):
        cost([1.0, -1.0])
    with pytest.raises(InputError, match=r"weights=\[0\.0, 0\.0\] has no positive entry"):
        cost([0.0, 0.0])
    for weights, depth in (([1.0, 2.0], 1), ([1.0], 2)):
        with pytest.raises(InputError, match=rf"has {len(weights)} .*, expected {depth}, one per layer"):
            cost(weights).check(depth)


@pytest.mark.parametrize("depth", [1, 2])
def test_kl_over_the_known_entries_equals_its_definition(depth, rng):
    mask = rng.random((8, 10)) < 0.7
    X, A = rng.random((8, 10)) * mask, [rng.random((8, 4)), rng.random((4, 3))][:depth]
    layers = solve_layers(A, X, mask=mask)
    x, v = X[mask], np.linalg.multi_dot([*A, layers[-1].S])[mask]
    cost = KullbackLeibler()
    assert cost.unit(X) == pytest.approx(2.0 * x.sum())
    assert cost.evaluate(layers, 0.0).value == pytest.approx(2.0 * np.sum(x * np.log(x / v) - x + v), rel=1e-10)


@pytest.mark.parametrize("cost", ["multilevel", "reconstruction", "energy"])
def test_squared_costs_of_masked_layers_are_those_of_the_known_entries(cost, rng):
    mask = rng.random((8, 10)) < 0.7
    X, A = rng.random((8, 10)) * mask, rng.random((8, 3))
    layers = solve_layers([A], X, mask=mask)
    value = COSTS[cost]().evaluate(layers, np.sum(X**2)).value
    assert value == pytest.approx(np.sum((X - A @ layers[0].S)[mask] ** 2), rel=1e-9)


@pytest.mark.parametrize("name", COSTS)
def test_divergence_of_a_cost_is_half_of_it_in_half_its_unit(name, rng):
    X, A, mask = rng.random((8, 10)), rng.random((8, 3)), rng.random((8, 10)) < 0.7
    cost, layers = COSTS[name](), solve_layers([A], X * mask, mask=mask)
    divergence = cost.divergence(mask)
    value = cost.evaluate(layers, np.sum((X * mask) ** 2)).value
    assert 2.0 * divergence.value(X * mask, A @ layers[0].S) == pytest.approx(value, rel=1e-9)
    assert 2.0 * divergence.unit(X * mask) == pytest.approx(cost.unit(X * mask))
