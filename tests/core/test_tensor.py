import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core import tensor
from nnmf_runner.core.tensor import ScaledTensor, as_tensor, gram, khatri_rao, multilinear_floors

SHAPES = [(4, 5, 6), (7, 2, 3), (1, 3, 1), (3, 4, 2, 5), (2, 6, 3, 2, 4)]


def mapped(X):
    """By columns, in which order data stay that are mapped from a file."""
    return np.asfortranarray(X).view(np.memmap)


FORMS = [np.ascontiguousarray, np.asfortranarray, mapped, sparse.csr_array, sparse.csc_array, sparse.csr_matrix]
LETTERS = "abcdefgh"


@pytest.fixture(params=SHAPES, ids=str)
def data(request, rng):
    """A tensor with zeros, and factors of rank 3 of any sign."""
    shape = request.param
    T = rng.random(shape) * (rng.random(shape) < 0.4)
    return T, [rng.standard_normal((size, 3)) for size in shape]


def matrix(T):
    return T.reshape(-1, T.shape[-1])


def einsum_mttkrp(T, factors, mode):
    modes = LETTERS[: T.ndim]
    others = [(f"{modes[j]}r", F) for j, F in enumerate(factors) if j != mode]
    return np.einsum(f"{modes},{','.join(axes for axes, _ in others)}->{modes[mode]}r", T, *(F for _, F in others))


def model(factors):
    modes = LETTERS[: len(factors)]
    return np.einsum(f"{','.join(f'{axis}r' for axis in modes)}->{modes}", *factors)


@pytest.mark.parametrize("form", FORMS)
def test_products_take_a_last_factor_that_depends_on_its_product(form, data, rng):
    T, factors = data
    mixing, asked = rng.standard_normal((3, 3)), []

    def solve(product):
        asked.append(product)
        return product @ mixing

    given = [*factors[:-1], np.full_like(factors[-1], np.nan)]  # which must never be looked at
    products = as_tensor(form(matrix(T)), T.shape).products(given, solve)
    last = einsum_mttkrp(T, factors, T.ndim - 1)
    replaced = [*factors[:-1], last @ mixing]
    assert len(asked) == 1
    for mode, found in enumerate(products):
        np.testing.assert_allclose(found, einsum_mttkrp(T, replaced, mode), atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_products_equal_einsums(form, data):
    T, factors = data
    tensor_ = as_tensor(form(matrix(T)), T.shape)
    assert tensor_.shape == T.shape
    assert tensor_.squared_norm == pytest.approx(np.sum(T**2))
    found = tensor_.products(factors)
    for mode, product in enumerate(found):
        theirs = einsum_mttkrp(T, factors, mode)
        np.testing.assert_allclose(product, theirs, atol=1e-12)
        np.testing.assert_allclose(tensor_.mttkrp(factors, mode), theirs, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_sweep_gives_every_product_with_the_factors_before_it(form, data):
    T, factors = data
    seen = []
    for mode, product in as_tensor(form(matrix(T)), T.shape).sweep(factors):
        np.testing.assert_allclose(product, einsum_mttkrp(T, factors, mode), atol=1e-12)
        factors[mode] = factors[mode] + 0.1 * product
        seen.append(mode)
    assert seen == list(range(T.ndim))


@pytest.mark.parametrize("form", FORMS)
def test_a_scaled_tensor_is_one_of_scaled_entries(form, data):
    T, factors = data
    given, expected = (as_tensor(form(matrix(each)), T.shape) for each in (T, T / 8.0))
    found = ScaledTensor(given, 8.0)
    assert (found.shape, found.squared_norm) == (T.shape, pytest.approx(expected.squared_norm, rel=1e-14))
    assert found.residual(factors) == pytest.approx(expected.residual(factors), rel=1e-12)
    for solve in (None, lambda product: 2.0 * product):
        for ours, theirs in zip(found.products(factors, solve), expected.products(factors, solve), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-13)
    np.testing.assert_allclose(found.mttkrp(factors, 1), expected.mttkrp(factors, 1), atol=1e-13)
    both = [list(factors), list(factors)]
    for (mode, ours), (same, theirs) in zip(found.sweep(both[0]), expected.sweep(both[1]), strict=True):
        assert mode == same
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
        both[0][mode] = both[1][mode] = factors[mode] + theirs


@pytest.mark.parametrize("form", FORMS)
def test_residual_equals_its_definition(form, data):
    T, factors = data
    theirs = np.sum((T - model(factors)) ** 2)
    assert as_tensor(form(matrix(T)), T.shape).residual(factors) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_residual_of_an_exact_model_is_never_negative(form, data):
    T, factors = data
    exact = model(factors)
    assert 0.0 <= as_tensor(form(matrix(exact)), T.shape).residual(factors) <= 1e-12 * np.sum(exact**2)


def test_khatri_rao_and_gram_agree_with_their_definitions(data):
    _, factors = data
    K = khatri_rao(factors)
    for r in range(3):
        np.testing.assert_allclose(K[:, r], model([F[:, [r]] for F in factors]).ravel())
    np.testing.assert_allclose(gram(factors), K.T @ K, atol=1e-12)
    np.testing.assert_allclose(gram(factors, without=0) * (factors[0].T @ factors[0]), gram(factors))


@pytest.mark.parametrize("short_side", [0, 500])
@pytest.mark.parametrize("shape", [(40, 30, 20), (6, 50, 40), (3, 3, 90)])
def test_floors_of_sparse_data_are_those_of_the_dense_ones(shape, short_side, monkeypatch):
    monkeypatch.setattr(tensor, "SHORT_SIDE", short_side)
    X, ranks = sparse_tensor(shape, 0.05), [1, 2, 5]
    np.testing.assert_allclose(multilinear_floors(X, shape, ranks), multilinear_floors(X.toarray(), shape, ranks))


@pytest.mark.parametrize("form", FORMS)
def test_floors_are_the_largest_tails_of_the_unfoldings(form, data):
    T, _ = data
    ranks = [1, 2, 4, 50]
    spectra = [np.linalg.svd(np.moveaxis(T, i, 0).reshape(T.shape[i], -1), compute_uv=False) for i in range(T.ndim)]
    theirs = [max(np.sqrt(np.sum(s[rank:] ** 2)) for s in spectra) / np.linalg.norm(T) for rank in ranks]
    np.testing.assert_allclose(multilinear_floors(form(matrix(T)), T.shape, ranks), theirs, atol=1e-7)


def sparse_tensor(shape, density, seed=0):
    """Entries of a random sparse tensor as a CSC matrix of fibres by samples."""
    rng = np.random.default_rng(seed)
    n = int(density * np.prod(shape, dtype=float))
    rows, columns = rng.integers(0, int(np.prod(shape[:-1])), n), rng.integers(0, shape[-1], n)
    return sparse.coo_array((rng.random(n), (rows, columns)), shape=(int(np.prod(shape[:-1])), shape[-1])).tocsc()


@pytest.mark.parametrize("shape", [(5, 6, 40), (40, 6, 5), (5, 40, 6), (3, 30, 4, 5)])
@pytest.mark.parametrize("fibres", [1, 7, 10**6])
def test_sparse_products_depend_on_neither_the_long_mode_nor_the_parts(shape, fibres, monkeypatch, rng):
    monkeypatch.setattr(tensor, "FIBRES", fibres)
    X = sparse_tensor(shape, 0.1)
    factors = [rng.random((size, 2)) for size in shape]
    found = as_tensor(X, shape).products(factors)
    for mode, product in enumerate(found):
        np.testing.assert_allclose(product, einsum_mttkrp(X.toarray().reshape(shape), factors, mode), atol=1e-12)


@pytest.mark.parametrize("mode", range(3))
def test_the_mode_with_the_fewest_fibres_is_the_one_along_them(mode):
    shape = [4, 5, 6]
    shape[mode] = 50
    assert as_tensor(sparse_tensor(shape, 0.5), shape)._long == mode


def test_entries_that_are_stored_twice_count_as_their_sum(rng):
    twice = sparse.csc_array(([1.0, 2.0, 4.0], [3, 3, 0], [0, 2, 3]), shape=(6, 2))
    once = sparse.csc_array(([3.0, 4.0], [3, 0], [0, 1, 2]), shape=(6, 2))
    factors = [rng.random((size, 2)) for size in (2, 3, 2)]
    for ours, theirs in zip(*(as_tensor(Y, (2, 3, 2)).products(factors) for Y in (twice, once)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert as_tensor(twice, (2, 3, 2)).squared_norm == 25.0


@pytest.mark.parametrize("largest", [2**62, 8])
def test_rows_and_cells_may_be_far_more_than_the_entries(largest, monkeypatch, rng):
    """The cells of this tensor, and of its fibres along the first mode, have no numbers of 64 bits."""
    monkeypatch.setattr(tensor, "LARGEST_KEY", largest)
    shape, small_shape = (4, 2**20, 2**20, 2**20, 2**18), (4, 2, 3, 2, 3)
    small = sparse_tensor(small_shape, 2.0)
    at = [np.arange(4), *(np.arange(n) * (size // 4) for size, n in zip(shape[1:], small_shape[1:], strict=True))]
    coordinates = np.unravel_index(small.tocoo().row, small_shape[:-1])
    rows = np.ravel_multi_index([index[c] for index, c in zip(at[:-1], coordinates, strict=True)], shape[:-1])
    X = sparse.coo_array((small.tocoo().data, (rows, at[-1][small.tocoo().col])), shape=(2**62, 2**18)).tocsc()
    factors = [rng.random((size, 1)) for size in shape]
    few = [F[index] for F, index in zip(factors, at, strict=True)]
    ours, theirs = as_tensor(X, shape), as_tensor(small, small_shape)
    assert ours._long == 0
    for found, expected, index in zip(ours.products(factors), theirs.products(few), at, strict=True):
        np.testing.assert_allclose(found[index], expected, rtol=1e-12)
    floors = multilinear_floors(small, small_shape, [1, 2])
    np.testing.assert_allclose(multilinear_floors(X, shape, [1, 2]), floors, rtol=1e-6)


def test_memory_of_sparse_products_is_linear_in_the_entries(rng):
    peaks = []
    for copies in (1, 2, 4, 8):
        shape = (20, 100 * copies, 200)
        X = sparse_tensor(shape, 0.1)
        factors = [rng.random((size, 4)) for size in shape]
        tracemalloc.start()
        as_tensor(X, shape).products(factors)
        peaks.append(tracemalloc.get_traced_memory()[1] / X.nnz)
        tracemalloc.stop()
    assert max(peaks) < 120  # bytes an entry, of which 12 are its own
    assert peaks[-1] <= 1.1 * peaks[0]


def test_dense_products_form_no_array_of_the_tensors_size(rng):
    shape = (60, 50, 70)
    X, factors = rng.random((3000, 70)), [rng.random((size, 3)) for size in shape]
    tracemalloc.start()
    as_tensor(X, shape).products(factors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 4
