import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Reconstruction
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.monitor import Stop, StoppingRule
from nnmf_runner.core.unfolding import MultiplicativeMomentum, UnfoldedNetwork
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.unfolded import Unfolded

BETAS = [1.0, 1.3, 1.5, 2.0]


def plan(X, rank=4, init=None, **rule):
    start = (init or Random()).start(X, (rank,), np.random.default_rng(0))
    return Plan(start, StoppingRule(**({"max_iter": 30} | rule)))


def half_known(classes, weight=0.1):
    known = np.where(np.arange(len(classes)) % 2, classes, -1)
    return Supervision(weight=weight).labels(known, int(classes.max()) + 1)


def plain_divergence(X, V, beta):
    """The definition, entry by entry; X positive."""
    if beta == 1.0:
        return (X * np.log(X / V) - X + V).sum()
    return (X**beta + (beta - 1) * V**beta - beta * X * V ** (beta - 1)).sum() / (beta * (beta - 1))


def plain_codes(W, X, beta, sparsity=0.0):
    """The layers from their definition."""
    m, k = W[0].shape
    H = np.ones((k, 1)) * X.sum(axis=0) / (np.sqrt(m) * k)
    mu = sparsity * (X ** (beta - 1)).sum(axis=0) / np.sqrt(m)
    for basis in W[:-1]:
        V = basis @ H
        H = H * (basis.T @ (X * V ** (beta - 2))) / (basis.T @ V ** (beta - 1) + mu)
    return H


def plain_cost(W, X, beta, sparsity, labels, B):
    S = plain_codes(W, X, beta, sparsity)
    cost = plain_divergence(X, W[-1] @ S, beta) / ((X**beta).sum() / beta)
    if labels is not None:
        residual = labels.Y[:, labels.known] - B @ S[:, labels.known]
        cost += labels.weight * (residual**2).sum() / labels.known.sum()
    return cost


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
@pytest.mark.parametrize("unfold", [1, 4])
@pytest.mark.parametrize("labelled", [False, True])
def test_cost_never_rises_and_is_that_of_what_is_returned(toy, beta, unfold, labelled):
    method, labels = Unfolded(unfold, beta, sparsity=0.01), half_known(toy.classes[4]) if labelled else None
    fit = method.fit(Problem(toy.X, labels), plan(toy.X))
    costs = fit.history.cost
    assert (np.diff(costs) <= 0).all()
    assert costs[-1] < 0.9 * costs[0]
    W = [*(fit.parameters[f"W{i}"] for i in range(unfold)), fit.A[0]]
    assert len(fit.parameters) == unfold
    assert min(M.min() for M in (*W, fit.S[0])) >= 0
    assert costs[-1] == pytest.approx(plain_cost(W, toy.X, beta, 0.01, labels, fit.B), rel=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_the_start_has_the_scale_of_the_data(toy, beta):
    network = UnfoldedNetwork(toy.X, BetaDivergence(beta))
    W = network.start(NNDSVD().start(toy.X, (4,), np.random.default_rng(0))[0], 3)
    cost = network.forward(W).cost
    for factor in (0.99, 1.01):
        assert network.forward([*W[:-1], factor * W[-1]]).cost > cost
    for basis in W[:-1]:
        np.testing.assert_allclose(np.linalg.norm(basis, axis=0), 1.0, rtol=1e-14)


def test_scale_of_the_start_does_not_matter(toy):
    start = plan(toy.X).start[0]
    fits = [Unfolded(3).fit(Problem(toy.X), Plan([s * start], StoppingRule(max_iter=10))) for s in (1.0, 1e200)]
    np.testing.assert_allclose(fits[1].S[0], fits[0].S[0], rtol=1e-8)


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_of_the_data_is_that_of_the_result_and_changes_nothing_else(toy, beta, scale):
    method, labels = Unfolded(3, beta, sparsity=0.1), half_known(toy.classes[4])
    one, other = (method.fit(Problem(s * toy.X, labels), plan(toy.X)) for s in (1.0, scale))
    # rounding grows over thirty iterations
    np.testing.assert_allclose(other.history.cost, one.history.cost, rtol=1e-8)
    np.testing.assert_allclose(other.history.projected_gradient, one.history.projected_gradient, rtol=1e-5)
    np.testing.assert_allclose(other.A[0] @ other.S[0], scale * one.A[0] @ one.S[0], rtol=1e-6)
    np.testing.assert_allclose(other.S[0], scale * one.S[0], rtol=1e-6)
    for name, basis in one.parameters.items():
        np.testing.assert_allclose(other.parameters[name], basis, rtol=1e-6)


@pytest.mark.parametrize("sparsity", [0.0, 0.2])
def test_each_column_is_encoded_by_itself_and_in_its_scale(rng, sparsity):
    X, method = rng.random((8, 10)), Unfolded(3, 1.5, sparsity)
    fit = method.fit(Problem(X), plan(X, 3))
    np.testing.assert_allclose(method.transform(fit, X)[0], fit.S[0], rtol=1e-12)
    [codes] = method.transform(fit, 1e5 * X[:, 2:4])
    np.testing.assert_allclose(codes, 1e5 * fit.S[0][:, 2:4], rtol=1e-10)


def test_a_column_of_zeros_has_codes_of_zero_and_disturbs_nothing(rng):
    X = rng.random((8, 10)) * (rng.random((8, 10)) < 0.6)
    X[:, 4], X[2] = 0.0, 0.0
    for beta in BETAS:
        fit = Unfolded(3, beta, 0.1).fit(Problem(X), plan(X, 3))
        assert (fit.S[0][:, 4] == 0).all()
        assert np.isfinite(fit.history.cost).all()
        assert np.isfinite(fit.S[0]).all()


def test_sparsity_makes_codes_smaller(rng):
    X, W = rng.random((8, 10)), [rng.random((8, 3)) for _ in range(3)]
    sums = [UnfoldedNetwork(X, BetaDivergence(1.0), s).forward(W).S.sum() for s in (0.0, 0.1, 1.0)]
    assert sums[0] > sums[1] > sums[2]


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0])
def test_planted_exact_factorisation_is_recovered(rng, beta):
    A, S = np.kron(np.eye(3), np.ones((8, 1))) * rng.uniform(0.2, 1.0, (24, 3)), rng.uniform(0.2, 1.0, (3, 40))
    # topics without a common feature, which finitely many layers can encode exactly
    X = A @ S
    fit = Unfolded(3, beta).fit(Problem(X), plan(X, 3, max_iter=300))
    best_of_rank_2 = np.linalg.svd(X, compute_uv=False)[2]
    assert np.linalg.norm(X - fit.A[0] @ fit.S[0]) < 0.1 * best_of_rank_2
    # S has no zeros, so that the topics are not determined to the last
    cosines = A.T @ fit.A[0] / np.outer(np.linalg.norm(A, axis=0), np.linalg.norm(fit.A[0], axis=0))
    assert cosines.max(axis=1).min() > 0.95
    assert set(cosines.argmax(axis=1)) == {0, 1, 2}


def test_toy_data_are_fitted_to_the_floor(toy):
    fit = Unfolded(beta=2.0).fit(Problem(toy.X), plan(toy.X, 2, NNDSVD(), max_iter=2000))
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    floor = np.linalg.norm(sigma[2:]) / np.linalg.norm(sigma)
    assert fit.stop is Stop.CONVERGED
    assert np.linalg.norm(toy.X - fit.A[0] @ fit.S[0]) / np.linalg.norm(toy.X) < 1.001 * floor


def test_supervision_improves_the_label_fit(toy):
    classes, residuals = toy.classes[9] % 2, []  # what the data tell apart, but four topics alone do not
    for weight in (0.0, 10.0):
        labels = Supervision(weight=weight).labels(classes, 2)
        S = Unfolded(beta=2.0).fit(Problem(toy.X, labels), plan(toy.X, max_iter=100)).S[0]
        Y = np.eye(2)[:, classes]
        residuals.append(np.linalg.norm(Y - Y @ np.linalg.pinv(S) @ S))
    assert residuals[1] < 0.3 * residuals[0]


def test_momentum_grows_exponents_and_shrinks_them_where_a_factor_turns_back():
    updates, W = MultiplicativeMomentum(2), [np.ones((1, 1)), np.ones((1, 1))]
    falls, rises = np.array([[[1.0]], [[2.0]]]), np.array([[[2.0]], [[1.0]]])
    W = updates.search(W, [falls, falls], lambda new: True)
    np.testing.assert_allclose(np.ravel(W), 2.0)
    W = updates.search(W, [falls, rises], lambda new: True)
    assert updates.exponents[0] > 1.0 > updates.exponents[1]
    assert W[0] > 2.0 > W[1]
    assert updates.search(W, [falls, falls], lambda new: False) is None


def test_a_start_that_nothing_improves_ends_the_line_search(toy, monkeypatch):
    monkeypatch.setattr(MultiplicativeMomentum, "search", lambda *args: None)
    fit = Unfolded().fit(Problem(toy.X), plan(toy.X))
    assert fit.stop is Stop.LINE_SEARCH
    assert len(fit.history) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfold": 0}, r"unfold=0 is not valid\. Expected an integer in \[1, inf\)"),
        ({"unfold": 1.5}, r"unfold=1\.5 is not valid"),
        ({"beta": 0.9}, r"beta=0\.9 is not valid\. Expected a number in \[1, 2\]"),
        ({"beta": 2.1}, r"beta=2\.1 is not valid"),
        ({"sparsity": -1.0}, r"sparsity=-1\.0 is not valid"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        Unfolded(**options)


def test_what_the_method_cannot_have_is_refused_in_one_line(toy):
    method, X = Unfolded(), sparse.csr_array(toy.X)
    fit = method.fit(Problem(toy.X), plan(toy.X, max_iter=1))
    mask = np.ones(toy.X.shape, bool)
    for refused, message in (
        (lambda: method.check(Reconstruction(), Supervision(), 2), "method=unfolded has no hierarchy: .* one rank"),
        (lambda: method.check(Reconstruction(), Supervision(), 1, normalise=True), "method=unfolded .* scale"),
        (lambda: method.check_data(X, None), r"X is sparse.*method=unfolded"),
        (lambda: method.check_data(toy.X, mask), "method=unfolded .* missing entries"),
        (lambda: method.transform(fit, X), "X is sparse"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            refused()
        assert "\n" not in str(caught.value)
    method.check(Reconstruction(), Supervision(), 1)
    method.check_data(toy.X, None)
