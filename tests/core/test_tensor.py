import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.tensor import as_tensor, cp_residual, gram, khatri_rao, multilinear_floors

SHAPES = [(4, 5, 6), (7, 2, 3), (1, 3, 1), (3, 4, 2, 5), (2, 6, 3, 2, 4)]
FORMS = [np.ascontiguousarray, np.asfortranarray, sparse.csr_array, sparse.csc_array, sparse.csr_matrix]
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
    assert sorted(seen) == list(range(T.ndim))


@pytest.mark.parametrize("form", FORMS)
def test_residual_equals_its_definition(form, data):
    T, factors = data
    theirs = np.sum((T - model(factors)) ** 2)
    assert cp_residual(as_tensor(form(matrix(T)), T.shape), factors) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_residual_of_an_exact_model_is_never_negative(form, data):
    T, factors = data
    exact = model(factors)
    assert 0.0 <= cp_residual(as_tensor(form(matrix(exact)), T.shape), factors) <= 1e-12 * np.sum(exact**2)


def test_khatri_rao_and_gram_agree_with_their_definitions(data):
    _, factors = data
    K = khatri_rao(factors)
    for r in range(3):
        np.testing.assert_allclose(K[:, r], model([F[:, [r]] for F in factors]).ravel())
    np.testing.assert_allclose(gram(factors), K.T @ K, atol=1e-12)
    np.testing.assert_allclose(gram(factors, without=0) * (factors[0].T @ factors[0]), gram(factors))


@pytest.mark.parametrize("form", FORMS)
def test_floors_are_the_largest_tails_of_the_unfoldings(form, data):
    T, _ = data
    ranks = [1, 2, 4, 50]
    spectra = [np.linalg.svd(np.moveaxis(T, i, 0).reshape(T.shape[i], -1), compute_uv=False) for i in range(T.ndim)]
    theirs = [max(np.sqrt(np.sum(s[rank:] ** 2)) for s in spectra) / np.linalg.norm(T) for rank in ranks]
    np.testing.assert_allclose(multilinear_floors(form(matrix(T)), T.shape, ranks), theirs, atol=1e-7)
