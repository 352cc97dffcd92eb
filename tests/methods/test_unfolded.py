import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Reconstruction
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.monitor import Stop, StoppingRule
from nnmf_runner.core.unfolding import MultiplicativeMomentum
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.unfolded import Unfolded
from tests.fixtures.unfolded import BETAS, half_known, plain_cost


def plan(X, rank=4, init=None, **rule):
    start = (init or Random()).start(X, (rank,), np.random.default_rng(0))
    return Plan(start, StoppingRule(**({"max_iter": 30} | rule)))


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


def test_a_start_that_nothing_improves_ends_the_line_search(toy, monkeypatch):
    monkeypatch.setattr(MultiplicativeMomentum, "search", lambda *args: None)
    fit = Unfolded().fit(Problem(toy.X), plan(toy.X))
    assert fit.stop is Stop.LINE_SEARCH
    assert len(fit.history) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfold": 0}, r"unfold=0 is not valid\. Expected an integer in \[1, 10000\]"),
        ({"unfold": 10**30}, r"unfold=1000000000000000000000000000000 is not valid"),
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
