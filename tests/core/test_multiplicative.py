import numpy as np
import pytest

from nnmf_runner.core.costs import KullbackLeibler, Reconstruction
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.label_costs import LABEL_COSTS, Labels
from nnmf_runner.core.linalg import squared_norm
from nnmf_runner.core.monitor import Monitor, StoppingRule
from nnmf_runner.core.multiplicative import NonnegativeNetwork, activation, fit_network, fit_product, pooling
from nnmf_runner.core.regularisation import NO_PENALTY, Penalty, Regularisation, factor_unit
from nnmf_runner.core.updates import UPDATES, Codes, Multiplicative
from nnmf_runner.methods import Plan, Problem
from nnmf_runner.methods.hier import Hierarchical, factorise

DATA = {"reconstruction": Reconstruction(), "kl": KullbackLeibler()}
SIX = [(data, loss) for data in DATA for loss in (None, "squared", "kl")]
WEIGHT = 0.4
THREE = StoppingRule(tol=0.0, max_iter=3)


def i_divergence(X, V):
    return np.sum(np.where(X > 0, X * np.log(np.where(X > 0, X, 1.0) / V), 0.0) - X + V)


class Semisupervised:
    """A small semi-supervised problem with its costs written out."""

    def __init__(self, data, loss, masked=False, seed=0):
        rng = np.random.default_rng(seed)
        self.data, self.loss = data, loss
        self.mask = rng.random((12, 20)) < 0.75 if masked else None
        self.W = self.mask.astype(float) if masked else np.ones((12, 20))
        self.X = rng.random((12, 20)) * (rng.random((12, 20)) > 0.2) * self.W
        self.A, self.S = rng.random((12, 4)), rng.random((4, 20))
        self.known = np.arange(20) % 3 != 0
        self.Y = np.eye(3)[:, rng.integers(0, 3, 20)]
        self.L = np.tile(self.known, (3, 1)).astype(float)
        labels = loss and Labels(LABEL_COSTS[loss](), WEIGHT, self.Y, self.known)
        self.labels = labels or None
        self.norm = 2.0 * self.X.sum() if data == "kl" else np.sum(self.X**2)

    def codes(self, S=None, penalty=NO_PENALTY):
        return Codes(Multiplicative, self.norm, self.labels, self.S if S is None else S, penalty)

    def network(self):
        return NonnegativeNetwork(self.X, DATA[self.data].divergence(self.mask))

    def cost(self, A, S, B):
        W, V = self.W, A @ S
        data = i_divergence(self.X, W * V + (W == 0)) - np.sum(W == 0) if self.data == "kl" else None
        data = data / self.X.sum() if self.data == "kl" else np.sum(W * (self.X - V) ** 2) / np.sum(self.X**2)
        if self.loss is None:
            return data
        Y, V = self.Y[:, self.known], B @ S[:, self.known]
        label = np.sum((Y - V) ** 2) if self.loss == "squared" else i_divergence(Y, V)
        return data + WEIGHT * label / self.known.sum()

    def formulas(self, A, S, B, eps=1e-300):
        """One iteration of SSNMF as it is published: A, B, S, each with the newest values of the others."""
        W, X, L, Y = self.W, self.X, self.L, self.L * self.Y
        if self.data == "kl":
            A = A * ((X / (W * (A @ S) + eps)) @ S.T) / (W @ S.T + eps)
        else:
            A = A * (X @ S.T) / ((W * (A @ S)) @ S.T + eps)
        if self.loss == "kl":
            B = B * ((Y / (L * (B @ S) + eps)) @ S.T) / (L @ S.T + eps)
        elif self.loss == "squared":
            B = B * (Y @ S.T) / ((L * (B @ S)) @ S.T + eps)
        # The relative costs, multiplied by the unit of the data.
        lam = WEIGHT / self.known.sum() * (X.sum() if self.data == "kl" else np.sum(X**2))
        up = A.T @ (X / (W * (A @ S) + eps)) if self.data == "kl" else 2.0 * A.T @ X
        down = A.T @ W if self.data == "kl" else 2.0 * A.T @ (W * (A @ S))
        if self.loss == "kl":
            up, down = up + lam * B.T @ (Y / (L * (B @ S) + eps)), down + lam * B.T @ L
        elif self.loss == "squared":
            up, down = up + 2.0 * lam * B.T @ Y, down + 2.0 * lam * B.T @ (L * (B @ S))
        return A, S * up / (down + eps), B


def run(problem, method, iterations, codes):
    """Factors after that many iterations, with the history."""
    monitor = Monitor(StoppingRule(tol=0.0, max_iter=iterations))
    if method == "product":
        A, S = fit_product(problem.X, [problem.A], problem.S, codes, monitor)
    else:
        A, S = fit_network(problem.network(), [problem.A], problem.S, codes, monitor)
    return A[0], S, monitor.history


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("data", "loss"), SIX)
def test_iterations_equal_the_published_formulas(data, loss, masked):
    problem = Semisupervised(data, loss, masked)
    A, S, B = problem.A, problem.S, problem.codes().B
    for iterations in (1, 2, 3):
        A, S, B = problem.formulas(A, S, B)
        for method in ["network"] + ["product"] * (data == "reconstruction" and not masked):
            found_A, found_S, history = run(problem, method, iterations, problem.codes())
            np.testing.assert_allclose(found_A, A, rtol=1e-9)
            np.testing.assert_allclose(found_S, S, rtol=1e-9)
    assert len(history) == 4


EVERY_WAY = [("network", *case, masked) for case in SIX for masked in (False, True)]
EVERY_WAY += [("product", "reconstruction", loss, False) for loss in (None, "squared", "kl")]


@pytest.mark.parametrize(("method", "data", "loss", "masked"), EVERY_WAY)
def test_cost_never_rises_and_is_that_of_the_definition(method, data, loss, masked):
    problem = Semisupervised(data, loss, masked)
    codes = problem.codes()
    A, S, history = run(problem, method, 100, codes)
    # The cost was taken with the codes before the last update of the factor, and the map after it.
    assert history.cost[-1] == pytest.approx(problem.cost(A, S, codes.B), rel=1e-9)
    assert np.diff(history.cost).max() <= 1e-13
    assert history.cost[-1] < 0.9 * history.cost[0]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("data", "loss"), SIX)
def test_hierarchical_layer_equals_the_published_formulas(data, loss, masked):
    """The method itself, from its own first codes."""
    problem = Semisupervised(data, loss, masked)
    given = Problem(problem.X, problem.labels, DATA[data], problem.mask)

    def fitted(iterations):
        rule = StoppingRule(tol=0.0, max_iter=iterations)
        return Hierarchical("mu").fit(given, Plan([problem.A], rule))

    start = fitted(0)
    B = problem.codes(start.S[0]).B
    A, S, B = problem.formulas(start.A[0], start.S[0], B)
    found = fitted(1)
    np.testing.assert_allclose(found.A[0], A, rtol=1e-9)
    np.testing.assert_allclose(found.S[0], S, rtol=1e-9)
    costs = fitted(60)
    assert np.diff(costs.history.cost).max() <= 1e-13
    assert costs.history.cost[-1] == pytest.approx(problem.cost(costs.A[0], costs.S[0], costs.B), rel=1e-9)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_iterates_equal_scikit_learns(beta):
    """Both update A first and S with the new A."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    problem = Semisupervised("kl" if beta == 1.0 else "reconstruction", None)
    X, n_iter = problem.X + 0.01, 60
    problem.X, problem.norm = X, 2.0 * X.sum() if beta == 1.0 else np.sum(X**2)
    model = decomposition.NMF(
        4, init="custom", solver="mu", beta_loss=beta, max_iter=n_iter, tol=0.0, alpha_W=0.0, alpha_H=0.0
    )
    W = model.fit_transform(X, W=problem.A.copy(), H=problem.S.copy())
    A, S, _ = run(problem, "network", n_iter, problem.codes())
    np.testing.assert_allclose(A @ S, W @ model.components_, rtol=1e-6)


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["identity", "log1p"])
@pytest.mark.parametrize("pool", ["none", "mean", "max"])
def test_parts_differ_by_the_derivative_of_the_divergence(beta, masked, name, pool, rng):
    group = 1 if pool == "none" else 2
    mask = rng.random((8, 9)) < 0.7 if masked else None
    X = rng.random((8, 9)) * (1.0 if mask is None else mask)
    A, S = [rng.random((8, 4)), rng.random((4 * group, 3)), rng.random((3 * group, 2))], rng.random((2, 9))
    network = NonnegativeNetwork(X, BetaDivergence(beta, mask), activation(name), pooling(pool, 2))
    for block in range(4):
        plus, minus = network.parts(A, S, block)
        assert min(plus.min(), minus.min()) >= 0
        direction, h = rng.standard_normal((*A, S)[block].shape), 1e-6

        def value(t, block=block, direction=direction):
            moved = [M + t * direction if i == block else M for i, M in enumerate((*A, S))]
            return network.costs(moved[:3], moved[3]).sum() * network.unit

        slope = (value(h) - value(-h)) / (2 * h)
        assert np.vdot(plus - minus, direction) == pytest.approx(slope, rel=1e-5, abs=1e-7)


PENALTIES = [Penalty(0.01, 0.0), Penalty(0.0, 0.02), Penalty(0.01, 0.02)]


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("loss", [None, "squared", "kl"])
def test_penalised_product_equals_the_network_iteration_by_iteration(penalty, loss):
    problem, rng = Semisupervised("reconstruction", loss), np.random.default_rng(3)
    A, S = [problem.A, rng.random((4, 3))], rng.random((3, 20))
    on_A = [Penalty(0.03, 0.01), penalty]
    found = []
    for fit, data in ((fit_product, problem.X), (fit_network, problem.network())):
        monitor = Monitor(StoppingRule(tol=0.0, max_iter=15))
        found.append((fit(data, A, S, problem.codes(S, penalty), monitor, on_A), monitor.history))
    ((A1, S1), ours), ((A2, S2), theirs) = found
    np.testing.assert_allclose(ours.cost, theirs.cost, rtol=1e-10)
    np.testing.assert_allclose(ours.projected_gradient, theirs.projected_gradient, rtol=1e-6)
    for a, b in zip((*A1, S1), (*A2, S2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("data", "loss"), SIX)
def test_penalised_cost_never_rises_and_holds_the_penalties(data, loss, masked):
    problem = Semisupervised(data, loss, masked)
    on_A, on_S = Penalty(0.002, 0.001), Penalty(0.003, 0.002)
    codes, monitor = problem.codes(penalty=on_S), Monitor(StoppingRule(tol=0.0, max_iter=60))
    (A,), S = fit_network(problem.network(), [problem.A], problem.S, codes, monitor, [on_A])
    expected = problem.cost(A, S, codes.B) + 0.002 * A.sum() + 0.001 * np.sum(A**2)
    expected += 0.003 * S.sum() + 0.002 * np.sum(S**2)
    assert monitor.history.cost[-1] == pytest.approx(expected, rel=1e-9)
    assert np.diff(monitor.history.cost).max() <= 1e-13


@pytest.mark.parametrize("data", DATA)
def test_a_fixed_factor_is_left_as_it_is_and_reaches_the_same_codes_from_anywhere(data):
    problem, found = Semisupervised(data, None), []
    for seed in (0, 1):
        S = np.random.default_rng(seed).random((4, 20)) + 0.1
        monitor = Monitor(StoppingRule(tol=1e-9, max_iter=800))
        A, S = fit_network(problem.network(), [problem.A], S, problem.codes(S), monitor, fixed=[0])
        np.testing.assert_array_equal(A[0], problem.A)
        found.append(problem.A @ S)
    np.testing.assert_allclose(found[0], found[1], atol=5e-3)  # convex: zeros are approached sublinearly


def test_fit_leaves_what_it_is_given():
    problem = Semisupervised("kl", "kl", masked=True)
    before = [M.copy() for M in (problem.A, problem.S, problem.X, problem.Y)]
    run(problem, "network", 5, problem.codes())
    for now, then in zip((problem.A, problem.S, problem.X, problem.Y), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("solver", UPDATES)
def test_one_layer_of_every_solver_reaches_one_penalised_objective(solver, rng):
    """They minimise one function: from a start near a minimum all end there."""
    X = rng.random((12, 3)) @ rng.random((3, 20)) + 0.05 * rng.random((12, 20))
    problem = Problem(X, regularisation=Regularisation(l1_A=0.02, l2_A=0.01, l1_S=0.03, l2_S=0.01))
    start = np.random.default_rng(1).random((12, 3))

    def objective(name, A, rule):
        monitor, norm = Monitor(rule), squared_norm(X)
        A, _, _ = factorise(problem, A, UPDATES[name], monitor, norm, factor_unit(norm, 2))
        return monitor.history.cost[-1], A

    best, A = objective("hals", start, StoppingRule(tol=1e-9, max_iter=3000))
    value, _ = objective(solver, A, StoppingRule(tol=1e-9, max_iter=3000))
    assert value == pytest.approx(best, rel=1e-5)


def test_squared_norm_is_the_unit_of_half_squared_residuals(rng):
    X = rng.random((5, 6))
    assert NonnegativeNetwork(X).unit == pytest.approx(squared_norm(X) / 2.0)


@pytest.mark.parametrize("fixed", [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("loss", [None, "squared", "kl"])
def test_fixed_factors_stay_in_the_product_and_in_the_network_alike(loss, fixed):
    problem, rng = Semisupervised("reconstruction", loss), np.random.default_rng(3)
    A, S = [problem.A, rng.random((4, 3)), rng.random((3, 2))], rng.random((2, 20))
    on_A, found = [Penalty(0.03, 0.01)] * 3, []
    for fit, data in ((fit_product, problem.X), (fit_network, problem.network())):
        monitor = Monitor(StoppingRule(tol=0.0, max_iter=15))
        found.append((fit(data, A, S, problem.codes(S), monitor, on_A, fixed=fixed), monitor.history))
    ((A1, S1), ours), ((A2, S2), theirs) = found
    np.testing.assert_allclose(ours.cost, theirs.cost, rtol=1e-10)
    np.testing.assert_allclose(ours.projected_gradient, theirs.projected_gradient, rtol=1e-6)
    assert np.diff(ours.cost).max() <= 1e-13
    for i, (a, b) in enumerate(zip((*A1, S1), (*A2, S2), strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
        assert np.array_equal(a, (*A, S)[i]) == (i in fixed)


def test_a_gradient_beyond_all_numbers_is_no_warning(rng):
    """The slope of a root has no bound at zero; pytest makes an error of every warning."""
    X, S = rng.random((6, 5)), rng.random((2, 5))
    A = [rng.random(shape) for shape in ((6, 3), (3, 2), (2, 2))]
    A[0][:, 0] *= 1e79  # what the tiny codes that it is multiplied by make up for
    A[1][0, 1], A[2][0] = 1e-200, 1e-320
    network, monitor = NonnegativeNetwork(X, None, activation("power", 0.5), pooling("none", 2)), Monitor(THREE)
    fit_network(network, A, S, Codes(Multiplicative, 2.0 * network.unit, None, S), monitor)
    assert np.isinf(monitor.history.projected_gradient).any()
    assert (np.diff(monitor.history.cost) < 0).all()
