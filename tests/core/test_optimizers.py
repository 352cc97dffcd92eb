import numpy as np
import pytest

from nnmf_runner.core import optimizers
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Multilevel, Reconstruction
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.monitor import Monitor, Stop, StoppingRule
from nnmf_runner.core.network import Network
from nnmf_runner.core.optimizers import OPTIMIZERS, STALLED_AFTER, Adam, Descent, GradientDescent, StochasticGradient
from nnmf_runner.methods import Supervision

LAYERS = (9, 4)
ENOUGH = 30


def run(optimizer, network, start, *, seed=0, **rule):
    """Minimise; return the variables and the monitor."""
    monitor = Monitor(StoppingRule(**({"max_iter": ENOUGH} | rule)))
    return optimizer.minimize(network, start, monitor, np.random.default_rng(seed)), monitor


@pytest.fixture
def network(toy):
    return Network(toy.X, Reconstruction())


@pytest.fixture
def start(toy):
    return Random().start(toy.X, LAYERS, np.random.default_rng(0))


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request):
    return OPTIMIZERS[request.param]()


def test_cost_falls_and_factors_stay_nonnegative(optimizer, network, start):
    first = network.evaluate(start).value
    found, monitor = run(optimizer, network, start)
    assert monitor.history.cost[0] == pytest.approx(first, rel=1e-12)
    assert network.evaluate(found).value < 0.95 * first
    assert all(A.min() >= 0 for A in found)


def test_history_ends_with_the_cost_of_what_is_returned(optimizer, network, start):
    found, monitor = run(optimizer, network, start)
    assert monitor.history.cost[-1] == pytest.approx(network.evaluate(found).value, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("learn_map", [False, True])
def test_whole_cost_falls_with_labels(optimizer, toy, start, loss, learn_map):
    labels = Supervision(loss, 0.1, learn_map).labels(np.where(np.arange(90) % 3 > 0, toy.classes[4], -1), 4)
    network = Network(toy.X, Multilevel(), labels)
    variables = [*start, *([np.zeros((4, 4))] if labels.learn_map else [])]
    first = network.evaluate(variables).value
    found, _ = run(optimizer, network, variables)
    assert network.evaluate(found).value < first
    assert all(A.min() >= 0 for A in found[:2])
    if labels.learn_map:
        assert found[2].min() < 0  # the map is free of sign


def test_start_is_not_changed(optimizer, network, start):
    before = [A.copy() for A in start]
    run(optimizer, network, start, max_iter=3)
    for now, then in zip(start, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_history_starts_at_iteration_zero_with_columns_of_one_length(optimizer, network, start):
    _, monitor = run(optimizer, network, start, max_iter=4)
    columns = monitor.history.columns()
    assert columns["iteration"] == [0, 1, 2, 3, 4]
    assert {len(column) for column in columns.values()} == {5}
    assert monitor.stop is Stop.MAX_ITER


def test_no_iterations_return_the_start(optimizer, network, start):
    found, monitor = run(optimizer, network, start, max_iter=0)
    assert monitor.stop is Stop.MAX_ITER
    for a, b in zip(found, start, strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_converges_on_the_projected_gradient(optimizer, network, start):
    _, loose = run(optimizer, network, start, max_iter=8)
    # Reached on the way but for rounding, so a fit with this tolerance has to end at that iterate.
    tol = 1.001 * min(loose.history.projected_gradient[1:])
    _, monitor = run(optimizer, network, start, max_iter=8, tol=tol)
    assert monitor.stop is Stop.CONVERGED
    assert monitor.history.projected_gradient[-1] <= tol
    assert tol < min(monitor.history.projected_gradient[:-1])


def test_progress_interrupts_and_what_it_saw_last_is_returned(optimizer, network, start):
    seen = []
    found, monitor = run(optimizer, network, start, progress=lambda i, cost: seen.append((i, cost)) or i == 2)
    assert monitor.stop is Stop.INTERRUPTED
    assert [i for i, _ in seen] == [0, 1, 2]
    assert seen[-1][1] == pytest.approx(network.evaluate(found).value, rel=1e-9)


# The cost does not depend on the scale of a factor, so a step is absurd only where Gram matrices overflow.
@pytest.mark.parametrize("optimizer", [GradientDescent(), StochasticGradient(), Adam(), Adam(batch=32)])
def test_absurd_step_ends_as_diverged_with_the_factors_before_it(optimizer, network, start):
    optimizer.step = 1e200  # more than may be asked for
    found, monitor = run(optimizer, network, start)
    assert monitor.stop is Stop.DIVERGED
    assert np.isfinite(monitor.history.cost).all()
    assert network.evaluate(found).value == pytest.approx(monitor.history.cost[-1], rel=1e-12)


def test_huge_step_keeps_cost_and_factors_finite(network, start):
    found, monitor = run(GradientDescent(step=1e30), network, start)
    assert np.isfinite(monitor.history.cost).all()
    assert all(np.isfinite(A).all() for A in found)


@pytest.mark.parametrize("value", [np.nan, 1e200])
def test_start_without_a_finite_cost_ends_as_diverged(optimizer, network, start, value):
    _, monitor = run(optimizer, network, [np.full_like(start[0], value), start[1]])
    assert monitor.stop is Stop.DIVERGED
    assert len(monitor.history) == 0


@pytest.mark.parametrize("optimizer", [StochasticGradient(), Adam(batch=32)])
def test_block_without_a_finite_cost_ends_as_diverged(optimizer, network, start, monkeypatch):
    evaluate = network.evaluate

    def fail_on_blocks(variables, block=None, X=None):
        if block is not None:
            raise np.linalg.LinAlgError
        return evaluate(variables)

    monkeypatch.setattr(network, "evaluate", fail_on_blocks)
    _, monitor = run(optimizer, network, start, max_iter=3)
    assert monitor.stop is Stop.DIVERGED


@pytest.mark.parametrize(("large", "chosen"), [(10_000, "lbfgs"), (10, "spg")])
def test_auto_chooses_by_the_number_of_variables(toy, start, large, chosen):
    of = lambda: Network(toy.X, Reconstruction())  # noqa: E731  (one remembers its last passive sets)
    found, _ = run(OPTIMIZERS["auto"](large), of(), start)
    expected, _ = run(OPTIMIZERS[chosen](), of(), start)
    for A, B in zip(found, expected, strict=True):
        np.testing.assert_array_equal(A, B)


def test_lbfgs_costs_never_rise(network, start):
    _, monitor = run(OPTIMIZERS["lbfgs"](), network, start, max_iter=100)
    assert max(np.diff(monitor.history.cost)) <= 1e-14


@pytest.mark.parametrize("memory", [1, 10])
def test_spg_costs_never_exceed_the_largest_in_memory(network, start, memory):
    _, monitor = run(OPTIMIZERS["spg"](memory=memory), network, start, max_iter=100)
    costs = monitor.history.cost
    assert all(costs[i] <= max(costs[max(0, i - memory) : i]) for i in range(1, len(costs)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layers", [(9,), (9, 4), (9, 4, 2)])
def test_lbfgs_from_nndsvd_reaches_the_eckart_young_floor(toy_of, layers, seed):
    X = toy_of(seed).X
    start = NNDSVD().start(X, layers, np.random.default_rng(seed))
    _, monitor = run(OPTIMIZERS["lbfgs"](), Network(X, Reconstruction()), start, max_iter=1000)
    assert monitor.stop is Stop.CONVERGED
    sigma = np.linalg.svd(X, compute_uv=False)
    floor = np.linalg.norm(sigma[layers[-1] :]) / np.linalg.norm(sigma)
    error = np.sqrt(monitor.history.cost[-1])
    assert (1 - 1e-9) * floor <= error <= 1.001 * floor


def test_fit_is_determined_by_its_seed(optimizer, toy, start):
    first, again = (run(optimizer, Network(toy.X, Reconstruction()), start)[0] for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", [StochasticGradient(), Adam(batch=32)])
def test_another_seed_orders_the_blocks_otherwise(optimizer, network, start):
    first, other = (run(optimizer, network, start, max_iter=3, seed=seed)[0] for seed in (0, 1))
    assert not np.allclose(first[0], other[0], rtol=1e-6)


@pytest.mark.parametrize(("n", "batch", "largest"), [(90, None, 32), (4000, None, 63), (4000, 500, 500)])
def test_batch_grows_with_the_square_root_of_the_columns_unless_it_is_given(rng, n, batch, largest):
    network, sizes = Network(rng.random((3, n)), Reconstruction()), []
    evaluate = network.evaluate

    def watch(variables, block=None, X=None):
        sizes.append(n if block is None else block.size)
        return evaluate(variables, block, X)

    network.evaluate = watch
    run(StochasticGradient(batch=batch), network, [rng.random((3, 2))], max_iter=1)
    assert sizes[0] == sizes[-1] == n
    assert sum(sizes[1:-1]) == n
    assert 0.9 * largest < max(sizes[1:-1]) <= largest


def test_one_block_of_all_columns_is_the_full_batch(toy, start):
    found = [
        run(Adam(batch=batch), Network(toy.X, Reconstruction()), start, max_iter=5)[0] for batch in (None, 90, 1000)
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other[0], found[0][0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gd", {"step": 0.0}, r"step=0\.0 .* \(0, 1e\+60\]"),
        ("sgd", {"step": -1.0}, r"step=-1\.0"),
        ("sgd", {"decay": -1.0}, r"decay=-1\.0"),
        ("sgd", {"batch": 0}, r"batch=0"),
        ("sgd", {"batch": 2.5}, r"batch=2\.5 .* an integer"),
        ("adam", {"step": float("nan")}, r"step=nan"),
        ("adam", {"beta1": 1.0}, r"beta1=1\.0 .* \[0, 1\)"),
        ("adam", {"beta2": -0.1}, r"beta2=-0\.1"),
        ("adam", {"batch": 0}, r"batch=0"),
        ("spg", {"memory": 0}, r"memory=0"),
        ("spg", {"memory": 10**30}, r"memory=10000"),
        ("lbfgs", {"memory": 0}, r"memory=0"),
        ("lbfgs", {"memory": 10**30}, r"memory=10000"),
        ("auto", {"large": -1}, r"large=-1"),
        ("auto", {"hals": -1}, r"hals=-1"),
        ("auto", {"hals": 1.5}, r"hals=1\.5"),
    ],
)
def test_bad_options_are_refused_by_name(name, options, message):
    with pytest.raises(InputError, match=message):
        OPTIMIZERS[name](**options)


def test_descent_stalls_where_the_lowest_cost_hardly_falls():
    falling, flat = Descent(), Descent()
    assert not any(falling.has_stalled(cost) for cost in np.geomspace(1.0, 0.9, 500))
    wavering = 1.0 + 0.1 * np.sin(np.arange(500))  # a nonmonotone search may go up again
    stalled = [flat.has_stalled(cost) for cost in wavering]
    assert stalled.index(True) == int(np.argmin(wavering[:20])) + STALLED_AFTER


@pytest.mark.parametrize("name", ["lbfgs", "spg"])
def test_descents_end_where_the_cost_stays(name, toy, monkeypatch):
    monkeypatch.setattr(optimizers, "STALLED_SHARE", 1.0)  # whatever it falls by is too little
    start = NNDSVD().start(toy.X, (9, 4), np.random.default_rng(0))
    _, monitor = run(OPTIMIZERS[name](), Network(toy.X, Reconstruction()), start, max_iter=1000)
    assert monitor.stop is Stop.LINE_SEARCH
    assert STALLED_AFTER < len(monitor.history) <= STALLED_AFTER + 2
