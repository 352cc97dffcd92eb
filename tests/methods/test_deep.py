import numpy as np
import pytest
from scipy import optimize
from scipy.special import kl_div

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import KullbackLeibler, Reconstruction
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.init import Random
from nnmf_runner.core.linalg import squared_norm
from nnmf_runner.core.monitor import Monitor, Stop, StoppingRule
from nnmf_runner.core.multiplicative import NonnegativeNetwork, activation, fit_network, fit_product, pooling
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.core.updates import Codes, Multiplicative
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.deep import Deep
from nnmf_runner.methods.hier import Hierarchical

POOLINGS = ["none", "mean", "max"]
ACTIVATIONS = [("identity", 1.0), ("power", 0.5), ("power", 2.0), ("log1p", 1.0)]
ALL = [
    Deep(pooling=pool, pool_size=3, activation=name, exponent=exponent)
    for pool in POOLINGS
    for name, exponent in ACTIVATIONS
]


@pytest.fixture(params=ALL, ids=lambda m: f"{m.pooling}-{m.activation}-{m.exponent}")
def method(request):
    return request.param


def plan(X, layers, seed=0, **rule):
    return Plan(Random().start(X, layers, np.random.default_rng(seed)), StoppingRule(**({"max_iter": 30} | rule)))


def plain_output(method, A, S):
    """The network from its definition, entry by entry of a group."""
    f = {"identity": lambda z: z, "power": lambda z: z**method.exponent, "log1p": np.log1p}[method.activation]
    pool = {"mean": np.mean, "max": np.max}.get(method.pooling)
    H = S
    for factor in reversed(A[1:]):
        F = f(factor @ H)
        if pool:
            F = np.array([pool(F[i : i + method.pool_size], axis=0) for i in range(0, len(F), method.pool_size)])
        H = F
    return A[0] @ H


@pytest.mark.parametrize("supervised", [False, True])
def test_cost_never_rises_and_falls(method, toy, supervised):
    classes = np.where(np.arange(90) % 2, toy.classes[4], -1)
    labels = Supervision(weight=0.1).labels(classes, 4) if supervised else None
    fit = method.fit(Problem(toy.X, labels), plan(toy.X, (9, 4)))
    costs = fit.history.cost
    assert max(np.diff(costs)) <= 1e-13
    assert costs[-1] < costs[0]
    assert min(M.min() for M in (*fit.A, *fit.S)) >= 0


def test_last_cost_is_that_of_the_network_returned(method, toy):
    fit = method.fit(Problem(toy.X), plan(toy.X, (9, 4, 2), max_iter=10))
    output = plain_output(method, fit.A, fit.S[-1])
    error = np.linalg.norm(toy.X - output) ** 2 / np.linalg.norm(toy.X) ** 2
    assert fit.history.cost[-1] == pytest.approx(error, rel=1e-9)
    for level in range(3):
        np.testing.assert_allclose(fit.A[0] @ method.decode(fit.A, fit.S, level), output, rtol=1e-10)


def test_parts_are_nonnegative_and_differ_by_half_the_derivative(method, rng):
    group = 1 if method.pooling == "none" else method.pool_size
    X = rng.random((8, 9))
    A, S = [rng.random((8, 4)), rng.random((4 * group, 3)), rng.random((3 * group, 2))], rng.random((2, 9))
    network, h = method._network(X, BetaDivergence()), 1e-6
    for block in range(4):
        plus, minus = network.parts(A, S, block)
        assert min(plus.min(), minus.min()) >= 0
        direction = rng.standard_normal((*A, S)[block].shape)

        def cost(t, block=block, direction=direction):
            moved = [M + t * direction if i == block else M for i, M in enumerate((*A, S))]
            return np.linalg.norm(X - plain_output(method, moved[:3], moved[3])) ** 2

        slope = 2.0 * np.vdot(plus - minus, direction)
        assert slope == pytest.approx((cost(h) - cost(-h)) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("supervised", [False, True])
def test_linear_path_equals_the_network_iteration_by_iteration(toy, rng, supervised):
    X = toy.X
    labels = Supervision(weight=0.1).labels(np.where(np.arange(90) % 2, toy.classes[2], -1), 2) if supervised else None
    A, S = [rng.random(shape) for shape in ((87, 9), (9, 4), (4, 2))], rng.random((2, 90))
    found = []
    for fit, data in ((fit_product, X), (fit_network, NonnegativeNetwork(X))):
        monitor = Monitor(StoppingRule(max_iter=25))
        found.append(([*fit(data, A, S, Codes(Multiplicative, squared_norm(X), labels, S), monitor)], monitor.history))
    (ours, our_history), (theirs, their_history) = found
    np.testing.assert_allclose(our_history.cost, their_history.cost, rtol=1e-9)
    np.testing.assert_allclose(our_history.projected_gradient, their_history.projected_gradient, rtol=1e-6)
    for a, b in zip((*ours[0], ours[1]), (*theirs[0], theirs[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-12)


def test_first_multiplicative_updates_equal_the_formulas(rng):
    """Section 5 of the design, no pooling and no activation: every block with the newest values of the others."""
    X, A, S = rng.random((12, 15)), [rng.random((12, 5)), rng.random((5, 3))], rng.random((3, 15))
    monitor = Monitor(StoppingRule(max_iter=1))
    found, codes = fit_product(X, A, S, Codes(Multiplicative, squared_norm(X), None, S), monitor)
    H = A[1] @ S
    A0 = A[0] * (X @ H.T) / (A[0] @ H @ H.T)
    A1 = A[1] * (A0.T @ X @ S.T) / (A0.T @ A0 @ A[1] @ S @ S.T)
    P = A0 @ A1
    np.testing.assert_allclose(found[0], A0, rtol=1e-10)
    np.testing.assert_allclose(found[1], A1, rtol=1e-10)
    np.testing.assert_allclose(codes, S * (P.T @ X) / (P.T @ P @ S), rtol=1e-10)


def test_planted_exact_factorisation_is_recovered(rng):
    A, S = rng.random((30, 3)) * (rng.random((30, 3)) > 0.5), rng.random((3, 50)) * (rng.random((3, 50)) > 0.5)
    X = A @ S
    fit = Deep().fit(Problem(X), plan(X, (5, 3), max_iter=4000, tol=1e-8))
    assert np.linalg.norm(X - fit.A[0] @ fit.S[0]) < 1e-3 * np.linalg.norm(X)


def test_supervision_improves_the_label_fit(toy, rng):
    classes, residuals = rng.integers(0, 2, 90), []  # nothing in the data tells them apart
    for weight in (0.0, 10.0):
        labels = Supervision(weight=weight).labels(classes, 2)
        S = Deep().fit(Problem(toy.X, labels), plan(toy.X, (9, 4), max_iter=200)).S[-1]
        Y = np.eye(2)[:, classes]
        residuals.append(np.linalg.norm(Y - Y @ np.linalg.pinv(S) @ S))
    assert residuals[1] < 0.7 * residuals[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", [Deep(), Deep(activation="log1p"), Deep(pooling="max")])
def test_codes_of_the_training_data_fit_them_no_worse(method, toy):
    fit = method.fit(Problem(toy.X), plan(toy.X, (9, 4)))
    some = slice(None, None, 15)
    codes, trained = method.transform(fit, toy.X[:, some]), [S[:, some] for S in fit.S]
    found, before = (np.linalg.norm(toy.X[:, some] - plain_output(method, fit.A, S[-1])) for S in (codes, trained))
    # A nonlinear network has local minima, and its updates stop at a tolerance.
    assert found <= (1.0 + 1e-9 if method.is_linear else 1.02) * before
    np.testing.assert_allclose(fit.A[0] @ codes[0], plain_output(method, fit.A, codes[-1]), rtol=1e-10)


@pytest.mark.parametrize(("name", "exponent"), ACTIVATIONS)
def test_slope_is_the_derivative_of_the_activation(name, exponent):
    f, Z = activation(name, exponent), np.linspace(0.1, 3.0, 20)
    np.testing.assert_allclose(f.slope(Z), (f.value(Z + 1e-6) - f.value(Z - 1e-6)) / 2e-6, rtol=1e-8)


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_up_is_the_transpose_of_its_derivative(name, rng):
    pool, F = pooling(name, 3), rng.random((6, 5))
    dF, D = rng.standard_normal((6, 5)), rng.standard_normal(pool.down(F).shape)
    change = (pool.down(F + 1e-7 * dF) - pool.down(F - 1e-7 * dF)) / 2e-7
    assert np.vdot(D, change) == pytest.approx(np.vdot(pool.up(F, D), dF), rel=1e-7)


def test_max_pooling_gives_a_tie_to_one_member():
    assert pooling("max", 2).up(np.ones((4, 3)), np.ones((2, 3))).sum() == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "avg"}, r"pooling=avg is not known\. Expected one of: max, mean, none"),
        ({"activation": "relu"}, r"activation=relu is not known"),
        ({"pool_size": 1}, r"pool_size=1 is not valid"),
        ({"exponent": 0.0}, r"exponent=0\.0 is not valid"),
        ({"solver": "hals"}, r"solver=hals is not known\. Expected one of: auto, mu"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        Deep(**options)


@pytest.mark.parametrize("options", [{"activation": "log1p"}, {"pooling": "max"}])
def test_what_acts_between_layers_needs_two(options):
    [(name, value)] = options.items()
    with pytest.raises(InputError, match=rf"^{name}={value} acts between layers, and there is one\."):
        Deep(**options).check(Reconstruction(), Supervision(), 1)
    for method, n_layers in ((Deep(**options), 2), (Deep(), 1)):
        method.check(Reconstruction(), Supervision(), n_layers)
    # Where there is one, it would change the way to the same model, and not the model.
    A, S = [np.ones((3, 2))], [np.arange(8.0).reshape(2, 4)]
    np.testing.assert_array_equal(Deep(**options).decode(A, S, 0), Deep().decode(A, S, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pool_size": 3},
            r"^pool_size=3 changes nothing without pooling=mean or max\. Expected pooling=mean or max beside it\.$",
        ),
        ({"exponent": 3.0}, r"^exponent=3\.0 changes nothing without activation=power\."),
        ({"exponent": 3.0, "activation": "log1p"}, r"^exponent=3\.0 changes nothing"),
    ],
)
def test_options_of_what_is_not_chosen_are_refused(options, message):
    def check(method):
        method.check(Reconstruction(), Supervision(), 2)

    with pytest.raises(InputError, match=message):
        check(Deep(**options))
    check(Deep(pool_size=3, pooling="mean", exponent=3.0, activation="power"))
    check(Deep(pool_size=2, exponent=0.5))  # the defaults


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
    method, problem = Deep(), Problem(X, cost=KullbackLeibler())
    fit = method.fit(problem, plan(X, (4,)))
    (S,) = method.transform(fit, scale * new_X)
    for s, x in zip(S.T / scale, new_X.T, strict=True):
        best = kl_div(x, fit.A[0] @ best_codes(fit.A[0], x)).sum()
        # Multiplicative updates end at the tolerance of the stopping rule.
        assert kl_div(x, fit.A[0] @ s).sum() <= best + 1e-3 * x.sum()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [(4,), (4, 2)])
def test_codes_of_the_training_data_under_the_divergence_are_those_of_a_converged_fit(layers, toy):
    X, method = toy.X[:, ::3], Deep()
    fit = method.fit(Problem(X, cost=KullbackLeibler()), plan(X, layers, max_iter=1500, tol=1e-6))
    for S, trained in zip(method.transform(fit, X), fit.S, strict=True):
        np.testing.assert_allclose(S, trained, atol=3e-2 * trained.max())


@pytest.mark.parametrize("loss", [None, "squared", "kl"])
@pytest.mark.parametrize("cost", [Reconstruction(), KullbackLeibler()])
def test_cost_of_every_loss_never_rises_and_is_that_of_the_definition(method, cost, loss, toy):
    X, classes = toy.X[::3, ::3], np.where(np.arange(30) % 2, toy.classes[4][::3], -1)
    known = classes >= 0
    labels = loss and Supervision(loss, 0.1).labels(classes, 4)
    fit = method.fit(Problem(X, labels, cost), plan(X, (9, 4), max_iter=25))
    assert np.diff(fit.history.cost).max() <= 1e-13
    V = plain_output(method, fit.A, fit.S[-1])
    expected = kl_div(X, V).sum() / X.sum() if cost.name == "kl" else np.sum((X - V) ** 2) / np.sum(X**2)
    if loss:
        Y, V = np.eye(4)[:, classes[known]], fit.B @ fit.S[-1][:, known]
        label = np.sum((Y - V) ** 2) if loss == "squared" else kl_div(Y, V).sum()
        expected += 0.1 * label / known.sum()
    assert fit.history.cost[-1] == pytest.approx(expected, rel=1e-9)


def test_one_layer_equals_the_hierarchical_method(toy):
    labels, cost = Supervision("kl", 0.1).labels(toy.classes[4], 4), KullbackLeibler()
    deep, hier = (m.fit(Problem(toy.X, labels, cost), plan(toy.X, (4,))) for m in (Deep(), Hierarchical("mu")))
    np.testing.assert_allclose(deep.history.cost, hier.history.cost, rtol=1e-9)


def test_multiplicative_updates_of_a_squared_cost_are_a_choice(toy):
    labels = Supervision(weight=0.1).labels(toy.classes[4], 4)
    deep, hier = (m.fit(Problem(toy.X, labels), plan(toy.X, (4,))) for m in (Deep(solver="mu"), Hierarchical("mu")))
    np.testing.assert_allclose(deep.history.cost, hier.history.cost, rtol=1e-9)


@pytest.mark.parametrize("layers", [(9, 4), (9, 4, 2)])
def test_by_default_a_plain_product_ends_sooner_and_no_higher(layers, toy):
    ours, theirs = (m.fit(Problem(toy.X), plan(toy.X, layers, max_iter=500)) for m in (Deep(), Deep(solver="mu")))
    assert ours.history.cost[-1] <= theirs.history.cost[-1] + 1e-6
    assert len(ours.history) < len(theirs.history)


@pytest.mark.parametrize("options", [{"activation": "log1p"}, {"pooling": "mean"}], ids=str)
def test_a_network_without_a_common_scale_refuses_penalties(options):
    with pytest.raises(InputError, match="method=deep with these options cannot penalise factors"):
        Deep(**options).check(Reconstruction(), Supervision(), 2, Regularisation(l1_A=0.1, l1_S=0.1))


def test_weights_that_grow_without_bound_end_the_fit_as_diverged(toy):
    """With saturating activations the cost falls for ever as the weights grow."""
    problem, method = Problem(toy.X), Deep(activation="log1p")
    fit = method.fit(problem, plan(toy.X, (9, 4, 2), tol=0.0, max_iter=5000))
    assert fit.stop is Stop.DIVERGED
    assert 100 < len(fit.history) < 5000
    assert np.diff(fit.history.cost).max() <= 1e-13  # the factors before are kept
    assert max(np.linalg.norm(A) for A in fit.A) < 1e12
    assert method.fit(problem, plan(toy.X, (9, 4, 2), max_iter=30)).stop is Stop.MAX_ITER
