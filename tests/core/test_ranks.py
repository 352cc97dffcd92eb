"""Criteria for ranks: their peaks, where they agree, and how alike fits are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.signal import find_peaks, peak_prominences
from sklearn.metrics import silhouette_samples

from nnmf_runner.core import ranks as module
from nnmf_runner.core.ranks import (
    Criteria,
    Curve,
    matched_cosines,
    optimal_threshold_rank,
    peaks,
    prominences,
    singular_ratios,
    stability,
)

RANKS = list(range(2, 11))


def exact(values):
    return Curve(np.array(values, float), np.zeros(len(values)))


def test_ratios_are_of_successive_singular_values():
    sigma = np.array([9.0, 6.0, 2.0, 1.0])
    np.testing.assert_allclose(singular_ratios(sigma, [1, 2, 3]), [1.5, 3.0, 2.0])


def test_ratios_are_one_where_only_rounding_is_left():
    ratios = singular_ratios(np.array([5.0, 4.0, 1e-16, 1e-18]), [2, 3, 4, 5])
    assert ratios[0] > 1e10
    np.testing.assert_array_equal(ratios[1:], 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_prominences_within_a_curve_are_those_of_scipy(seed):
    values = np.random.default_rng(seed).random(30)
    found, _ = find_peaks(values)
    found = np.array([i for i in found if (values[:i] > values[i]).any()])  # the others have no known ground before
    np.testing.assert_allclose(prominences(exact(values))[found], peak_prominences(values, found)[0])


def test_what_is_highest_so_far_is_compared_with_what_follows():
    assert prominences(exact([3.0, 1.0, 2.0]))[0] == 2.0
    assert prominences(exact([2.9, 3.0, 1.0, 2.0]))[1] == 2.0


def test_of_ranks_in_a_row_that_are_as_good_the_last_is_the_peak():
    values, errors = np.array([0.95, 0.94, 0.7, 0.8, 0.5]), np.full(5, 0.02)
    assert peaks(Curve(values, errors), [2, 3, 4, 5, 6], 0.02) == [3, 5]
    assert peaks(Curve(values, errors / 4.0), [2, 3, 4, 5, 6], 0.02) == [2, 5]
    assert peaks(Curve(values[:2], errors[:2]), [2, 3], -0.02) == []  # which may go on


def test_the_last_rank_is_no_peak_since_the_curve_may_rise_behind_it():
    assert peaks(exact([1.0, 0.0, 5.0]), [2, 3, 4], 0.1) == [2]


def test_a_peak_has_to_stand_out_by_more_than_its_standard_error():
    values, errors = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.95, 0.0])
    assert peaks(Curve(values, errors), [2, 3, 4], 0.02) == [3]
    assert peaks(Curve(values, 1.05 * errors), [2, 3, 4], 0.02) == []


def test_the_standard_error_counts_independent_scores_alone():
    scores = np.random.default_rng(0).random((2, 9))
    few, all_of_them = Curve.over(scores, 3), Curve.over(scores)
    np.testing.assert_allclose(all_of_them.errors, scores.std(axis=1, ddof=1) / 3.0)
    np.testing.assert_allclose(few.errors, np.sqrt(3.0) * all_of_them.errors)


def test_the_threshold_finds_the_signals_in_noise():
    """The coefficient of square matrices is 2.858, as published."""
    rng = np.random.default_rng(0)
    Q = [np.linalg.qr(rng.standard_normal((200, 4)))[0] for _ in range(2)]
    X = (100.0 * Q[0]) @ Q[1].T + rng.standard_normal((200, 200))
    assert optimal_threshold_rank(np.linalg.svd(X, compute_uv=False), X.shape) == 4
    assert optimal_threshold_rank(np.array([2.87, 1.0, 1.0]), (9, 9)) == 1
    assert optimal_threshold_rank(np.array([2.85, 1.0, 1.0]), (9, 9)) == 0


def test_topics_are_matched_such_that_the_sum_is_largest():
    rng = np.random.default_rng(0)
    A, B = rng.random((6, 4)), rng.random((6, 4))
    cosines = (A / np.linalg.norm(A, axis=0)).T @ (B / np.linalg.norm(B, axis=0))
    best = max(sum(cosines[range(4), order]) for order in itertools.permutations(range(4)))
    assert matched_cosines(A, B).sum() == pytest.approx(best)
    np.testing.assert_allclose(matched_cosines(A, 3.0 * A[:, ::-1]), 1.0)


def test_an_empty_topic_matches_nothing():
    A = np.eye(3)[:, :2] * [1.0, 0.0]
    assert sorted(matched_cosines(A, A)) == [0.0, 1.0]


def criteria(spectrum=(3, 6), halves=(3, 6), enough=6, below=9.0, extra=None):
    """Curves over `RANKS` with peaks at some ranks, and errors that are as good as the lowest from one rank on."""
    of = {"spectrum": spectrum, "halves": halves}
    ratios, cosines = ([1.0 + 0.3 * (rank in of[name]) for rank in RANKS] for name in of)
    ratios = [ratio + (extra or {}).get(rank, 0.0) for rank, ratio in zip(RANKS, ratios, strict=True)]
    errors = Curve(np.array([1.0 if rank >= enough else 2.0 for rank in RANKS]), np.full(len(RANKS), 0.1))
    return Criteria(RANKS, np.array(ratios), exact(cosines), errors, below)


def test_ranks_on_which_all_agree_are_chosen_finest_first():
    assert criteria().chosen() == [6, 3]


@pytest.mark.parametrize(
    "disagreeing",
    [
        {"spectrum": (3, 6, 8)},
        {"spectrum": (3,)},
        {"halves": (3, 6, 8)},
        {"halves": (3,)},
        {"halves": ()},
        {"enough": 8},  # more topics predict better
        {"enough": 3},  # fewer predict as well
        {"enough": 10},
        {"below": 1.05},  # even fewer than all that were compared
        {"halves": (), "spectrum": ()},
    ],
)
def test_nothing_is_chosen_where_one_criterion_disagrees(disagreeing):
    assert criteria(**disagreeing).chosen() == []


def test_a_low_peak_of_the_spectrum_confirms_and_one_elsewhere_does_not_disturb():
    assert criteria(spectrum=(6,), extra={3: 0.1}).chosen() == [6, 3]
    assert criteria(extra={8: 0.1}).chosen() == [6, 3]


def test_an_error_that_is_lowest_at_the_last_rank_may_fall_further():
    assert criteria(enough=10).is_open
    assert not criteria(enough=9).is_open


def fits(rng, k=4, n=40, noise=0.0, count=5):
    """Topics and codes of several fits that differ in the order and scale of their topics, and by noise."""
    A, S = rng.random((12, k)), np.eye(k)[:, rng.integers(0, k, n)]
    found = []
    for _ in range(count):
        order, scale = rng.permutation(k), rng.uniform(0.1, 10.0, k)
        found.append(((A + noise * rng.random(A.shape))[:, order] * scale, S[order] / scale[:, None]))
    return [each for each, _ in found], [each for _, each in found]


def test_fits_that_differ_in_order_and_scale_are_all_alike(rng):
    found = stability(*fits(rng))
    assert [found.silhouette, found.least_silhouette, found.cophenetic, found.dispersion] == pytest.approx([1.0] * 4)


def test_silhouettes_are_those_of_scikit_learn(rng):
    topics, codes = fits(rng, noise=0.3)
    rows = np.hstack([topics[0], *(A[:, matched(topics[0], A)] for A in topics[1:])]).T
    clusters = np.tile(np.arange(4), 5)
    own = silhouette_samples(rows, clusters, metric="cosine").reshape(5, 4).mean(axis=0)
    found = stability(topics, codes)
    assert (found.silhouette, found.least_silhouette) == pytest.approx((own.mean(), own.min()))


def matched(A, B):
    unit = [M / np.linalg.norm(M, axis=0) for M in (A, B)]
    return module.linear_sum_assignment(unit[0].T @ unit[1], maximize=True)[1]


def test_samples_that_change_their_topic_lower_the_consensus(rng):
    topics, codes = fits(rng)
    shuffled = [S[:, rng.permutation(S.shape[1])] for S in codes]
    found = stability(topics, shuffled)
    assert found.dispersion < 0.8
    assert found.cophenetic < 0.95
