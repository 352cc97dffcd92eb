import numpy as np
import pytest
from scipy.special import log_softmax

from nnmf_runner.core.label_costs import (
    LABEL_COSTS,
    CrossEntropyLabels,
    Labels,
    SquaredLabels,
    classify,
    label_map,
    majority,
)


def one_hot(rng, classes, n):
    return np.eye(classes)[:, rng.integers(0, classes, n)]


def test_label_map_equals_the_pseudoinverse(rng):
    S, Y = rng.random((4, 30)), one_hot(rng, 3, 30)
    np.testing.assert_allclose(label_map(S, Y), Y @ np.linalg.pinv(S), atol=1e-9)


def test_label_map_ignores_codes_that_are_zero(rng):
    S, Y = rng.random((4, 30)), one_hot(rng, 3, 30)
    S[2] = 0.0
    np.testing.assert_allclose(label_map(S, Y), Y @ np.linalg.pinv(S), atol=1e-9)


@pytest.mark.parametrize("n", [2, 30])
def test_label_map_of_dependent_codes_predicts_like_the_pseudoinverse(rng, n):
    S, Y = rng.random((3, n)), one_hot(rng, 3, n)
    S = np.vstack([S, S[:1]])
    np.testing.assert_allclose(label_map(S, Y) @ S, Y @ np.linalg.pinv(S) @ S, atol=1e-8)


def test_label_map_does_not_depend_on_the_scale_of_codes(rng):
    S, Y, d = rng.random((3, 30)), one_hot(rng, 3, 30), np.array([1e-9, 1.0, 1e9])
    np.testing.assert_allclose(label_map(S * d[:, None], Y) * d, label_map(S, Y), rtol=1e-9)


def test_columns_without_a_code_are_of_the_majority_and_others_of_the_largest_product(rng):
    S, B = rng.random((4, 30)), rng.standard_normal((3, 4))
    S[:, ::3] = 0.0
    np.testing.assert_array_equal(classify(B, S, 2), np.where(np.arange(30) % 3 == 0, 2, np.argmax(B @ S, axis=0)))


@pytest.mark.parametrize(("indices", "expected"), [([1, 0, 1], 1), ([2, 0, 0, 2, 1], 0), ([4], 4)])
def test_the_majority_is_the_first_of_the_most_frequent(indices, expected):
    assert majority(np.array(indices)) == expected


def test_cross_entropy_equals_the_log_softmax(rng):
    S, Y, B = rng.random((4, 30)), one_hot(rng, 3, 30), rng.standard_normal((3, 4))
    expected = -np.sum(Y * log_softmax(B @ S, axis=0)) / np.log(3)
    assert CrossEntropyLabels().evaluate(S, Y, B).value == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_of_the_uniform_guess_is_one_a_column(rng):
    value = CrossEntropyLabels().evaluate(rng.random((4, 30)), one_hot(rng, 5, 30), np.zeros((5, 4))).value
    assert value == pytest.approx(30.0)


def test_cross_entropy_of_huge_scores_is_finite():
    result = CrossEntropyLabels().evaluate(np.array([[1e4, 1e4]]), np.eye(2), np.array([[1.0], [-1.0]]))
    assert result.value == pytest.approx(2e4 / np.log(2))  # the first column is right, the second wrong by 2e4
    assert np.isfinite(result.dS).all()
    assert np.isfinite(result.dB).all()


def test_squared_labels_equal_their_definition(rng):
    S, Y, B = rng.random((4, 30)), one_hot(rng, 3, 30), rng.standard_normal((3, 4))
    assert SquaredLabels().evaluate(S, Y, B).value == pytest.approx(np.linalg.norm(Y - B @ S) ** 2)


@pytest.mark.parametrize("cost", LABEL_COSTS)
def test_label_derivatives_equal_differences(cost, rng):
    S, Y, B = rng.random((4, 6)), one_hot(rng, 3, 6), rng.standard_normal((3, 4))
    B = np.abs(B) if cost == "kl" else B  # a divergence is of nonnegative matrices
    dS, dB, h = rng.standard_normal(S.shape), rng.standard_normal(B.shape), 1e-6
    cost = LABEL_COSTS[cost]()
    result = cost.evaluate(S, Y, B)
    up, down = cost.evaluate(S + h * dS, Y, B), cost.evaluate(S - h * dS, Y, B)
    assert np.vdot(result.dS, dS) == pytest.approx((up.value - down.value) / (2 * h), rel=1e-6)
    up, down = cost.evaluate(S, Y, B + h * dB), cost.evaluate(S, Y, B - h * dB)
    assert np.vdot(result.dB, dB) == pytest.approx((up.value - down.value) / (2 * h), rel=1e-6)


def test_label_scale_is_the_weight_over_the_number_of_known_columns(rng):
    Y, known = one_hot(rng, 3, 10), np.arange(10) < 4
    scale = Labels(SquaredLabels(), 2.0, Y, known).scale
    assert scale == pytest.approx(2.0 / np.linalg.norm(Y[:, known]) ** 2)


def test_kl_labels_equal_their_definition(rng):
    S, Y, B = rng.random((4, 30)), one_hot(rng, 3, 30), rng.random((3, 4))
    V = B @ S
    expected = sum(-np.log(V[c, j]) - 1.0 + V[:, j].sum() for j, c in enumerate(Y.argmax(axis=0)))
    assert LABEL_COSTS["kl"]().evaluate(S, Y, B).value == pytest.approx(expected, rel=1e-12)
