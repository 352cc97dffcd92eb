"""Errors of a factorisation and the floor that none can beat."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core import linalg
from nnmf_runner.core.approximation import Product
from nnmf_runner.metrics.errors import eckart_young_floors, relative_error


def numpy_floor(X, rank):
    """Error of the truncated decomposition, formed as a matrix."""
    U, sigma, Vt = np.linalg.svd(X, full_matrices=False)
    return np.linalg.norm(X - (U[:, :rank] * sigma[:rank]) @ Vt[:rank]) / np.linalg.norm(X)


@pytest.fixture
def X(rng):
    return np.maximum(rng.random((30, 40)) - 0.5, 0.0)


def test_hand_worked_error():
    X = np.diag([3.0, 4.0])
    assert relative_error(X, Product(np.array([[0.0], [1.0]]), np.array([[0.0, 4.0]]))) == pytest.approx(0.6)
    assert relative_error(X, Product(np.eye(2), X)) == 0.0


def test_error_is_one_for_nothing_and_invariant_to_scale(X, rng):
    A, S = rng.random((30, 3)), rng.random((3, 40))
    assert relative_error(X, Product(A, np.zeros((3, 40)))) == pytest.approx(1.0)
    expected = np.linalg.norm(X - A @ S) / np.linalg.norm(X)
    for scale in (1e-9, 1.0, 1e9):
        assert relative_error(scale * X, Product(scale * A, S)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.csr_matrix])
def test_sparse_equals_dense(X, rng, kind):
    A, S = rng.random((30, 3)), rng.random((3, 40))
    assert relative_error(kind(X), Product(A, S)) == pytest.approx(relative_error(X, Product(A, S)), rel=1e-12)
    np.testing.assert_allclose(
        eckart_young_floors(kind(X), [7, 2, 1]), eckart_young_floors(X, [7, 2, 1]), rtol=1e-9
    )  # differences of squares lose digits, of which there are plenty at these floors


def test_floors_are_those_of_the_truncated_decomposition(X):
    ranks = [30, 9, 4, 2, 1]
    # floors near zero are compared absolutely: rounding of the decomposition
    np.testing.assert_allclose(eckart_young_floors(X, ranks), [numpy_floor(X, k) for k in ranks], atol=1e-12)


def test_floors_of_large_data_agree_with_the_whole_decomposition(X, monkeypatch):
    expected = eckart_young_floors(X, [5, 2])
    monkeypatch.setattr(linalg, "WHOLE_SVD", 10)
    np.testing.assert_allclose(eckart_young_floors(X, [5, 2]), expected, rtol=1e-9)


def test_small_floors_do_not_drown_in_rounding(rng):
    exact = rng.random((20, 3)) @ rng.random((3, 25))
    assert eckart_young_floors(exact, [3])[0] < 1e-13
    tiny = 1e-7 * rng.random((20, 25))
    floor = eckart_young_floors(exact + tiny, [3])[0]
    assert floor == pytest.approx(numpy_floor(exact + tiny, 3), rel=1e-6)


def test_no_factorisation_beats_the_floor(X, rng):
    floor = eckart_young_floors(X, [4])[0]
    for _ in range(20):
        A = rng.random((30, 4))
        S = np.linalg.lstsq(A, X, rcond=None)[0]
        assert relative_error(X, Product(A, S)) >= floor


def test_zeros_that_are_approximated_by_zeros_leave_no_error():
    X = np.zeros((3, 2))
    for data, entries in ((X, None), (sparse.csr_array(X), None), (X, np.ones((3, 2), bool)), (X, X.astype(bool))):
        assert relative_error(data, Product(np.ones((3, 1)), np.zeros((1, 2))), entries) == 0.0
