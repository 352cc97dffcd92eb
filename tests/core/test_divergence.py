import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.divergence import BetaDivergence

BETAS = [1.0, 1.25, 1.5, 2.0]


@pytest.fixture
def pair(rng):
    X, V = rng.random((9, 11)), rng.random((9, 11)) + 0.05
    X[X < 0.2] = 0.0
    return X, V


@pytest.fixture
def mask(rng):
    return rng.random((9, 11)) < 0.7


def definition(beta, x, v):
    """One entry of the beta-divergence, with the limits at zero."""
    if beta == 2.0:
        return (x - v) ** 2 / 2.0
    if beta == 1.0:
        return (x * np.log(x / v) if x > 0 else 0.0) - x + v
    return (x**beta + (beta - 1) * v**beta - beta * x * v ** (beta - 1)) / (beta * (beta - 1))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("masked", [False, True])
def test_value_is_the_sum_of_the_definition_over_the_known_entries(beta, masked, pair, mask):
    X, V = pair
    W = mask if masked else np.ones_like(mask)
    expected = sum(definition(beta, X[at], V[at]) for at in np.ndindex(X.shape) if W[at])
    divergence = BetaDivergence(beta, mask if masked else None)
    assert divergence.value(X * W, V) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(divergence.entries(X * W, V).sum(), expected, rtol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_value_equals_scikit_learns(beta, pair, rng):
    theirs = pytest.importorskip("sklearn.decomposition._nmf")._beta_divergence
    X, _ = pair
    A, S = rng.random((9, 3)), rng.random((3, 11))
    assert BetaDivergence(beta).value(X, A @ S) == pytest.approx(theirs(X, A, S, beta), rel=1e-6)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("masked", [False, True])
def test_parts_are_nonnegative_and_differ_by_the_derivative(beta, masked, pair, mask, rng):
    X, V = pair
    divergence = BetaDivergence(beta, mask if masked else None)
    X, dV, h = X * mask if masked else X, rng.standard_normal(V.shape), 1e-6
    Q, P = divergence.parts(X, V)
    assert min(Q.min(), P.min()) >= 0.0
    slope = (divergence.value(X, V + h * dV) - divergence.value(X, V - h * dV)) / (2 * h)
    assert np.vdot(Q - P, dV) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("beta", BETAS)
def test_value_is_nonnegative_and_zero_at_the_data_alone(beta, pair):
    X, V = pair
    assert BetaDivergence(beta).entries(X, V).min() >= -1e-15  # rounding of terms that cancel
    assert BetaDivergence(beta).value(X, X) == pytest.approx(0.0, abs=1e-14 * X.sum())
    assert BetaDivergence(beta).value(X, V) > 0.1


@pytest.mark.parametrize("beta", BETAS)
def test_unit_is_the_divergence_of_an_approximation_by_zero_or_its_scale(beta, pair):
    X, _ = pair
    expected = {1.0: X.sum(), 2.0: np.linalg.norm(X) ** 2 / 2}.get(beta, (X**beta).sum() / beta)
    assert BetaDivergence(beta).unit(X) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_relative_cost_does_not_depend_on_scale(beta, pair):
    X, V = pair
    divergence = BetaDivergence(beta)
    for c in (1e-6, 1e6):
        assert divergence.value(c * X, c * V) / divergence.unit(c * X) == pytest.approx(
            divergence.value(X, V) / divergence.unit(X), rel=1e-9
        )


@pytest.mark.parametrize("beta", BETAS)
def test_zeros_of_the_approximation_stay_finite(beta):
    X, V = np.array([[0.0, 2.0, 0.0]]), np.array([[0.0, 0.0, 3.0]])
    divergence = BetaDivergence(beta)
    Q, P = divergence.parts(X, V)
    assert np.isfinite([divergence.entries(X, V), Q, P]).all()
    assert divergence.entries(X, V)[0, 0] == pytest.approx(0.0, abs=1e-70)
    assert P[0, 0] == 0.0


@pytest.mark.parametrize("beta", BETAS)
def test_approximation_of_missing_entries_does_not_matter(beta, pair, mask):
    X, V = pair
    X, other = X * mask, np.where(mask, V, 7.0)
    divergence = BetaDivergence(beta, mask)
    assert divergence.value(X, V) == divergence.value(X, other)
    for a, b in zip(divergence.parts(X, V), divergence.parts(X, other), strict=True):
        np.testing.assert_array_equal(a[mask], b[mask])
        np.testing.assert_array_equal(a[~mask], 0.0) if beta != 2.0 else None


@pytest.mark.parametrize("beta", BETAS)
def test_mask_of_true_changes_nothing(beta, pair):
    X, V = pair
    everything = BetaDivergence(beta, np.ones(X.shape, bool))
    np.testing.assert_array_equal(everything.entries(X, V), BetaDivergence(beta).entries(X, V))
    for a, b in zip(everything.parts(X, V), BetaDivergence(beta).parts(X, V), strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_the_squared_residual_of_all_entries_is_plain(mask):
    assert BetaDivergence().is_plain
    assert not BetaDivergence(2.0, mask).is_plain
    assert not BetaDivergence(1.0).is_plain


def twice(X):
    """Every entry stored in two halves."""
    X = sparse.coo_array(X)
    return sparse.coo_array((np.tile(X.data / 2, 2), tuple(np.tile(i, 2) for i in X.coords)), X.shape)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array, twice])
def test_unit_of_sparse_data_is_that_of_dense(beta, form, pair):
    X, _ = pair
    assert BetaDivergence(beta).unit(form(X)) == pytest.approx(BetaDivergence(beta).unit(X), rel=1e-12)


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("is_masked", [False, True])
def test_costs_of_columns_are_in_double_precision(beta, is_masked, rng):
    """Its terms cancel where the approximation is near: in single precision nothing would be left of them."""
    X = rng.random((300, 500), np.float32) + np.float32(0.5)
    V = X * (1 + np.float32(1e-3) * rng.standard_normal((300, 500), np.float32))
    divergence = BetaDivergence(beta, rng.random((300, 500)) < 0.7 if is_masked else None)
    exact = divergence.entries(X.astype(float), V.astype(float)).sum(axis=0)
    assert divergence.by_column(X, V).dtype == np.float64
    np.testing.assert_allclose(divergence.by_column(X, V), exact, rtol=1e-12)
    assert divergence.value(X, V) == pytest.approx(exact.sum(), rel=1e-12)
    assert {part.dtype.name for part in divergence.parts(X, V)} == {"float32"}
