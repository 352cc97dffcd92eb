"""How entries are predicted whose rows and columns a fit has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls

from nnmf_runner.datasets.resample import Block, LeftOut
from nnmf_runner.metrics.resampling import left_out_error


def divided(X, m, n, mask=None, make=np.asarray):
    """Topics and codes of nothing in particular, and the blocks of X about its first rows and columns."""
    blocks = [(slice(m, None), slice(n)), (slice(m), slice(n, None)), (slice(m, None), slice(n, None))]
    return LeftOut(*(Block(make(X[at]), None if mask is None else mask[at]) for at in blocks))


@pytest.fixture
def case(rng):
    topics, codes = rng.random((8, 3)), rng.random((3, 9))
    return rng.random((11, 13)), topics, codes


def reference(X, topics, codes, mask=None):
    """The same, one column or row after the other, with scipy's solver."""
    m, n = len(topics), codes.shape[1]
    mask = np.ones(X.shape, bool) if mask is None else mask
    columns = np.array([nnls(topics[k], x[k])[0] for x, k in zip(X[:m, n:].T, mask[:m, n:].T, strict=True)])
    rows = np.array([nnls(codes.T[k], x[k])[0] for x, k in zip(X[m:, :n], mask[m:, :n], strict=True)])
    corner, known = X[m:, n:], mask[m:, n:]
    return np.linalg.norm((corner - rows @ columns.T)[known]) / np.linalg.norm(corner[known])


def test_the_corner_is_predicted_by_nonnegative_least_squares(case):
    X, topics, codes = case
    found = left_out_error(topics, codes, divided(X, 8, 9))
    assert found == pytest.approx(reference(X, topics, codes), rel=1e-8)
    sparse_found = left_out_error(topics, codes, divided(X, 8, 9, make=sparse.csr_array))
    assert sparse_found == pytest.approx(found, rel=1e-8)


def test_missing_entries_take_no_part(case, rng):
    X, topics, codes = case
    mask = rng.random(X.shape) > 0.2
    found = left_out_error(topics, codes, divided(np.where(mask, X, 0.0), 8, 9, mask))
    assert found == pytest.approx(reference(X, topics, codes, mask), rel=1e-8)


def test_topics_of_any_sign_code_rows_by_least_squares(case, rng):
    """The rows are ``W codes`` for any W, of which nonnegative ones would lose half."""
    _, topics, codes = case
    W = rng.standard_normal((3, 3))
    X = np.block([[topics @ codes, topics @ codes[:, :4]], [W @ codes, W @ codes[:, :4]]])
    left_out = divided(X, 8, 9)
    assert left_out_error(topics, codes, left_out, signed=True) == pytest.approx(0.0, abs=1e-8)
    assert left_out_error(topics, codes, left_out) > 0.1


def test_there_is_no_error_relative_to_a_corner_of_zeros(case):
    X, topics, codes = case
    X[8:, 9:] = 0.0
    assert left_out_error(topics, codes, divided(X, 8, 9)) is None
