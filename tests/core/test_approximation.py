"""What a fit puts in the place of the data."""

import functools

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.approximation import CPModel, Product


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_a_product_and_its_distance_from_data(kind, rng):
    X, left, right = rng.random((9, 7)) * (rng.random((9, 7)) < 0.5), rng.random((9, 3)), rng.random((3, 7))
    product = Product(left, right)
    np.testing.assert_array_equal(product.dense(), left @ right)
    assert product.squared_residual(kind(X)) == pytest.approx(((X - left @ right) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 2, 4)])
def test_a_part_of_an_approximation_has_its_entries(shape, rng):
    product = Product(rng.random((int(np.prod(shape[:-1])), 2)), rng.random((2, shape[-1])))
    model = CPModel([rng.random((size, 2)) for size in shape])
    spans = [slice(1, 3)] * len(shape)
    for approximation in (product, model):
        expected = approximation.dense().reshape(shape)[tuple(spans)]
        np.testing.assert_allclose(approximation.part(shape, spans), expected, rtol=1e-13)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_a_cp_model_and_its_distance_from_data(kind, shape, rng):
    factors = [rng.random((size, 2)) for size in shape]
    dense = sum(functools.reduce(np.multiply.outer, (F[:, r] for F in factors)) for r in range(2))
    X = rng.random(dense.shape).reshape(-1, shape[-1])
    model = CPModel(factors)
    np.testing.assert_allclose(model.dense(), dense.reshape(X.shape), rtol=1e-12)
    assert model.squared_residual(kind(X)) == pytest.approx(((X - model.dense()) ** 2).sum(), rel=1e-12)
