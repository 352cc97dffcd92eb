import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.layer import forward
from nnmf_runner.core.nnls import nnls


@pytest.fixture
def problem(rng):
    A, X = rng.random((12, 5)), rng.random((12, 40))
    X[X < 0.4] = 0.0
    return A, X


def plain_adjoint(A, S, dS):
    """``v_F = (A_F^T A_F)^{-1} g_F`` column by column."""
    V = np.zeros_like(S)
    for j in range(S.shape[1]):
        F = np.flatnonzero(S[:, j] > 0)
        V[F, j] = np.linalg.solve(A[:, F].T @ A[:, F], dS[F, j])
    return V


def test_codes_are_the_nonnegative_least_squares_solution(problem):
    A, X = problem
    layer = forward(A, X)
    assert (layer.S == 0).any()  # otherwise this would be plain least squares
    np.testing.assert_allclose(layer.S, nnls(A, X).S, atol=1e-10)


def test_adjoint_equals_its_definition(problem, rng):
    A, X = problem
    layer, dS = forward(A, X), rng.standard_normal((5, 40))
    np.testing.assert_allclose(layer.adjoint(dS), plain_adjoint(A, layer.S, dS), atol=1e-9)


def test_adjoint_does_not_depend_on_the_scale_of_columns(problem, rng):
    A, X = problem
    A = A * 10.0 ** np.arange(-4, 6, 2)
    layer, dS = forward(A, X), rng.standard_normal((5, 40))
    np.testing.assert_allclose(layer.adjoint(dS), plain_adjoint(A, layer.S, dS), rtol=1e-8)


def test_derivatives_through_the_layer_equal_differences_of_the_solver(problem, rng):
    A, X = problem
    g, dA, dX = rng.standard_normal((5, 40)), rng.standard_normal(A.shape), rng.standard_normal(X.shape)
    layer = forward(A, X)
    V = layer.adjoint(g)
    h = 1e-6

    def moved(t, A_too):
        return np.vdot(g, nnls(A + t * dA if A_too else A, X if A_too else X + t * dX).S)

    slope_A = np.vdot(X @ V.T - A @ (layer.S @ V.T + V @ layer.S.T), dA)
    slope_X = np.vdot(A @ V, dX)
    assert slope_A == pytest.approx((moved(h, True) - moved(-h, True)) / (2 * h), rel=1e-6)
    assert slope_X == pytest.approx((moved(h, False) - moved(-h, False)) / (2 * h), rel=1e-6)


def test_sparse_equals_dense(problem, rng):
    A, X = problem
    dense, thin, dS = forward(A, X), forward(A, sparse.csr_array(X)), rng.standard_normal((5, 40))
    np.testing.assert_allclose(thin.S, dense.S, atol=1e-12)
    np.testing.assert_allclose(thin.adjoint(dS), dense.adjoint(dS), atol=1e-10)


def test_warm_start_does_not_change_codes_nor_adjoint(problem, rng):
    A, X = problem
    dS, nearby = rng.standard_normal((5, 40)), forward(A + 0.3 * rng.random(A.shape), X)
    cold, warm = forward(A, X), forward(A, X, nearby.systems)
    np.testing.assert_allclose(warm.S, cold.S, atol=1e-12)
    np.testing.assert_allclose(warm.adjoint(dS), cold.adjoint(dS), atol=1e-10)


def test_adjoint_of_full_columns_among_sparse_ones_equals_its_definition(rng):
    """Many different small passive sets, and some full ones: the columns are not solved in one way."""
    A = rng.standard_normal((60, 20))
    support = np.array([rng.permutation(20) < size for size in [20] * 50 + [4] * 400]).T
    X = A @ support - np.linalg.pinv(A).T @ ~support
    layer, dS = forward(A, X), rng.standard_normal(support.shape)
    np.testing.assert_array_equal(layer.S > 0, support)
    np.testing.assert_allclose(layer.adjoint(dS), plain_adjoint(A, layer.S, dS), atol=1e-9)
