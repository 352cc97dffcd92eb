"""What a fit puts in the place of the data."""

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.approximation import Product


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_a_product_and_its_distance_from_data(kind, rng):
    X, left, right = rng.random((9, 7)) * (rng.random((9, 7)) < 0.5), rng.random((9, 3)), rng.random((3, 7))
    product = Product(left, right)
    np.testing.assert_array_equal(product.dense(), left @ right)
    assert product.squared_residual(kind(X)) == pytest.approx(((X - left @ right) ** 2).sum(), rel=1e-12)
