import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core import linalg
from nnmf_runner.core.checks import check_finite
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.linalg import (
    chain,
    column_lengths,
    cross_product,
    gram_matrix,
    half_gradient,
    inner,
    singular_values,
    squared_norm,
    squared_residual,
    tail_shares,
    tall_product,
    truncated_svd,
    zero_columns,
)
from nnmf_runner.core.threads import threaded

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
def test_columns_of_zeros_are_those_without_a_number(form, X):
    X[:, ::4] = 0.0
    np.testing.assert_array_equal(zero_columns(form(X)), [not any(column) for column in X.T.tolist()])


@pytest.mark.parametrize("form", FORMS)
def test_squared_norm_equals_numpys(form, X):
    assert squared_norm(form(X)) == pytest.approx(np.linalg.norm(X) ** 2)


def test_sparse_data_stay_where_they_are_and_their_norm_does_not_depend_on_the_form(rng):
    X = sparse.random_array((200, 300), density=0.2, rng=rng, format="csr")
    forms = [X, X.tocsc(), X.tocoo()]
    assert [linalg.in_order(form) is form for form in forms] == [True, True, False]
    assert len({squared_norm(form) for form in forms}) == 1
    assert len({BetaDivergence().unit(form) for form in forms}) == 1


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


@pytest.fixture(params=[False, True], ids=["by rows", "by columns"])
def in_parts(request, monkeypatch):
    """What puts a matrix into one of two orders; few entries are worked on at a time."""
    monkeypatch.setattr(linalg, "ENTRIES", 100)
    return np.asfortranarray if request.param else np.ascontiguousarray


def test_parts_of_dense_data_have_about_as_many_entries_as_they_may(in_parts):
    assert [part.stop - part.start for part in linalg.column_parts(np.zeros((30, 10)))] == [2, 3, 2, 3]
    assert len(linalg.column_parts(np.zeros((200, 3)))) == 3


def test_squared_residual_is_the_sum_over_the_parts(in_parts, rng):
    X, A, S = in_parts(rng.random((20, 33))), rng.random((20, 4)), rng.random((4, 33))
    assert squared_residual(X, A, S) == pytest.approx(np.linalg.norm(X - A @ S) ** 2, rel=1e-12)


@pytest.mark.parametrize("shape", [(20, 61), (61, 20)])
@pytest.mark.parametrize("rank", [4, 20])
def test_data_decomposed_in_parts_give_the_same(in_parts, shape, rank, rng):
    X = in_parts(rng.random(shape) @ np.diag(10.0 ** -np.linspace(0, 9, shape[1])))  # a Gram matrix loses the last
    U, sigma, Vt = truncated_svd(X, rank)
    theirs = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(sigma, theirs[1][:rank], rtol=1e-12, atol=1e-14 * sigma[0])
    np.testing.assert_allclose(U * sigma @ Vt, theirs[0][:, :rank] * theirs[1][:rank] @ theirs[2][:rank], atol=1e-13)
    tail = (theirs[1][19:] ** 2).sum() / (theirs[1] ** 2).sum()
    assert tail_shares(X, [4, 19])[1] == pytest.approx(tail, rel=1e-6, abs=1e-30)


def test_singular_vectors_of_data_without_full_rank_are_finite(in_parts, rng):
    X = in_parts(rng.random((20, 3)) @ rng.random((3, 61)))
    X[:5] = 0.0
    U, sigma, Vt = truncated_svd(X, 20)
    assert np.isfinite(Vt).all()
    np.testing.assert_allclose(U * sigma @ Vt, X, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_of_the_size_of_dense_data_is_formed(order, rng):
    X = np.asarray(rng.random((100, 50_000)), order=order)  # 40 MB
    A, S = rng.random((100, 2)), rng.random((2, 50_000))
    tracemalloc.start()
    try:
        squared_norm(X), squared_residual(X, A, S), tail_shares(X, [2]), truncated_svd(X, 2), cross_product(A, X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * X.nbytes  # some parts of 8 MB, and products of two rows


@pytest.mark.parametrize(("count", "index"), [(3, 0), (4.0, 0), (5, 1), (10**400, 2)])
def test_the_nearest_count_is_found_for_any_number(count, index):
    assert linalg.nearest([2, 6, 9], count) == index


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
    U, sigma, Vt = truncated_svd(form(X), rank)
    full = np.linalg.svd(X, full_matrices=False)
    assert U.shape == (20, rank)
    assert Vt.shape == (rank, 30)
    np.testing.assert_allclose(sigma, full[1][:rank], rtol=1e-10)
    np.testing.assert_allclose(U * sigma @ Vt, full[0][:, :rank] * full[1][:rank] @ full[2][:rank], atol=1e-8)


def test_large_dense_data_are_decomposed_iteratively_to_the_same(rng):
    X = rng.random((510, 505))
    np.testing.assert_allclose(singular_values(X, 3), np.linalg.svd(X, compute_uv=False)[:3], rtol=1e-8)


@pytest.mark.parametrize("n_rows", [1, 7, 40])
@pytest.mark.parametrize("kind", [np.asarray, np.asfortranarray, sparse.csr_array, sparse.csc_array, sparse.coo_array])
def test_products_are_the_same_for_every_number_of_threads(monkeypatch, kind, n_rows):
    monkeypatch.setattr(linalg, "WORTHWHILE", 1)
    monkeypatch.setattr(linalg, "ENTRIES", 2 * n_rows)
    rng = np.random.default_rng(n_rows)
    X = rng.random((n_rows, 30)) * (rng.random((n_rows, 30)) < 0.3)
    X[: n_rows // 3] = X[:, :4] = 0.0  # rows and columns without entries
    A, B = rng.random((n_rows, 5)), rng.random((30, 5))
    found = []
    for n in (1, 2, 3, 9):
        with threaded(n):
            found.append((linalg.cross_product(A, kind(X)), linalg.product(kind(X), B)))
    np.testing.assert_allclose(found[0][0], A.T @ X, rtol=1e-13)
    np.testing.assert_allclose(found[0][1], X @ B, rtol=1e-13)
    for cross, product in found[1:]:
        assert np.array_equal(cross, found[0][0])
        assert np.array_equal(product, found[0][1])


@pytest.fixture
def singles(rng):
    """Tall factors of single precision, of equal signs, whose sums in that precision lose four of its seven digits."""
    return [np.float32(1000.0) + rng.random((200_000, k)).astype(np.float32) for k in (3, 2)]


def test_sums_of_single_precision_are_added_up_in_double(singles):
    A, B = (M.astype(np.float64) for M in singles)
    for found, expected in (
        (tall_product(*singles), A.T @ B),
        (gram_matrix(singles[0]), A.T @ A),
        (gram_matrix(singles[0].T[:, :5]), A[:5] @ A[:5].T),
        (squared_norm(singles[0]), np.linalg.norm(A) ** 2),
        (squared_norm(singles[0].T), np.linalg.norm(A) ** 2),
        (inner(singles[0], singles[0] + np.float32(1)), np.vdot(A, A + 1)),
        (inner(singles[0].T, singles[0].T), np.vdot(A, A)),
    ):
        assert np.result_type(found) == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_allclose(column_lengths(singles[0]), np.linalg.norm(A, axis=0), rtol=1e-6)
    assert column_lengths(singles[0]).dtype == np.float32


def test_sums_of_single_precision_do_not_depend_on_threads(singles):
    with threaded(3):
        found = tall_product(*singles)
    assert np.array_equal(found, tall_product(*singles))


@pytest.mark.parametrize("form", FORMS)
def test_products_of_single_precision_are_in_it(form, X, rng):
    A, S = rng.random((20, 4), np.float32), rng.random((4, 30), np.float32)
    data = form(X.astype(np.float32))
    gram, cross = gram_matrix(S.T), linalg.product(data, S.T)
    assert {M.dtype.name for M in (cross_product(A, data), cross, half_gradient(A, gram, cross))} == {"float32"}
    exact = np.linalg.norm(X.astype(np.float32) - A.astype(float) @ S.astype(float)) ** 2
    assert squared_residual(data, A, S) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("shape", "rank"), [((60, 40), 5), ((60, 40), 35), ((700, 600), 5), ((40, 30_000), 5)])
def test_singular_values_of_single_precision_are_those_of_double(form, shape, rank, rng):
    X = rng.random(shape) ** 3 * (rng.random(shape) < 0.5)
    single, exact = form(X.astype(np.float32)), np.linalg.svd(X, compute_uv=False)
    U, sigma, Vt = truncated_svd(single, rank)
    np.testing.assert_allclose(sigma, exact[:rank], rtol=1e-5)
    np.testing.assert_allclose(U.T @ X @ Vt.T, np.diag(exact[:rank]), atol=1e-4 * exact[0])
    [share] = tail_shares(single, [rank])
    assert share == pytest.approx((exact[rank:] ** 2).sum() / (exact**2).sum(), abs=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rank", [3, 12])
def test_vectors_of_equal_singular_values_are_turned_to_those_of_the_data(form, rank, rng):
    blocks = np.kron(np.diag([1.0, 2.0, 2.0, 2.0]), np.ones((6, 7))) + 1e-3
    for _ in range(3):
        X = blocks * (1.0 + 1e-15 * rng.uniform(-1.0, 1.0, blocks.shape))
        U, sigma, Vt = truncated_svd(form(X), rank)
        np.testing.assert_allclose((U.T @ X @ Vt.T), np.diag(sigma), atol=1e-10)
        np.testing.assert_allclose(U.T @ U, np.eye(rank), atol=1e-10)
        expected = np.repeat([[0.0, 2.0, -1.0, -1.0]], 6, axis=1)[0]  # the first block less the other two
        np.testing.assert_allclose(U[:, 1], expected / np.linalg.norm(expected), atol=1e-8)
