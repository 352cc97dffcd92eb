import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import check_finite
from nnmf_runner.core.linalg import (
    chain,
    cross_product,
    inner,
    singular_values,
    squared_norm,
    squared_residual,
    truncated_svd,
)

FORMS = [np.asarray, sparse.csr_array, sparse.csc_array, sparse.csr_matrix]


@pytest.fixture
def X(rng):
    return rng.random((20, 30)) * (rng.random((20, 30)) < 0.3)


@pytest.mark.parametrize("form", FORMS)
def test_cross_product_equals_the_dense_product(form, X, rng):
    A = rng.standard_normal((20, 4))
    found = cross_product(A, form(X))
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, A.T @ X, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_squared_norm_equals_numpys(form, X):
    assert squared_norm(form(X)) == pytest.approx(np.linalg.norm(X) ** 2)


def test_squared_norm_counts_repeated_sparse_entries_as_their_sum():
    X = sparse.csr_array((np.array([1.0, 1.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    assert squared_norm(check_finite(X, "X")) == pytest.approx(4.0)


@pytest.mark.parametrize("form", FORMS)
def test_squared_residual_equals_its_definition(form, X, rng):
    A, S = rng.random((20, 4)), rng.random((4, 30))
    assert squared_residual(form(X), A, S) == pytest.approx(np.linalg.norm(X - A @ S) ** 2, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_squared_residual_of_an_exact_product_is_never_negative(form, rng):
    A, S = rng.random((20, 4)), rng.random((4, 30))
    assert 0.0 <= squared_residual(form(A @ S), A, S) <= 1e-12 * np.linalg.norm(A @ S) ** 2


def test_inner_is_the_trace_of_the_product(rng):
    A, B = rng.standard_normal((4, 6)), rng.standard_normal((6, 4)).T
    assert inner(A, B) == pytest.approx(np.trace(A.T @ B))


def test_chain_multiplies_in_order(rng):
    A, S = [rng.random((5, 4)), rng.random((4, 3))], rng.random((3, 7))
    np.testing.assert_allclose(chain(A, S), A[0] @ A[1] @ S)
    assert chain([], S) is S


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rank", [1, 3, 15, 20])
def test_truncated_svd_equals_the_whole_one(form, rank, X, rng):
    U, sigma, Vt = truncated_svd(form(X), rank, rng)
    full = np.linalg.svd(X, full_matrices=False)
    assert U.shape == (20, rank)
    assert Vt.shape == (rank, 30)
    np.testing.assert_allclose(sigma, full[1][:rank], rtol=1e-10)
    np.testing.assert_allclose(U * sigma @ Vt, full[0][:, :rank] * full[1][:rank] @ full[2][:rank], atol=1e-8)


def test_large_dense_data_are_decomposed_iteratively_to_the_same(rng):
    X = rng.random((510, 505))
    np.testing.assert_allclose(singular_values(X, 3), np.linalg.svd(X, compute_uv=False)[:3], rtol=1e-8)
