"""Words of topics and the tree: planted ones are found, scores agree with loops, and scale changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core import linalg
from nnmf_runner.metrics.topics import (
    distinctive_features,
    feature_shares,
    in_unit_topics,
    npmi_coherence,
    strongest_samples,
    top_features,
    topic_diversity,
    topic_shares,
    tree_weights,
    unlinked_topics,
)


@pytest.fixture
def topics(rng):
    return rng.random((30, 4)) ** 3


@pytest.fixture
def corpus(rng):
    """Twelve features, ten of them random and rare, one that is everywhere and one that is nowhere."""
    X = rng.random((12, 40)) * (rng.random((12, 40)) < 0.3)
    X[10], X[11] = 1.0, 0.0
    return X


def npmi_by_loops(X, words):
    """The formula, pair by pair, from sets of samples."""
    samples = [set(np.flatnonzero(X[word] > 0)) for word in words]
    n, scores = X.shape[1], []
    for i in range(len(words)):
        for j in range(i):
            together = len(samples[i] & samples[j]) / n
            if together in (0.0, 1.0):
                scores.append(together - 1.0)
                continue
            pmi = math.log(together / (len(samples[i]) / n * len(samples[j]) / n))
            scores.append(pmi / -math.log(together))
    return sum(scores) / len(scores)


def test_top_features_are_those_of_largest_weight_in_order(topics):
    top = top_features(topics, 5)
    assert top.shape == (4, 5)
    for j, row in enumerate(top):
        assert topics[row, j].tolist() == sorted(topics[:, j], reverse=True)[:5]


def test_only_positive_weights_are_words():
    topics = np.array([[3.0, 0.0], [-5.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    np.testing.assert_array_equal(top_features(topics, 3), [[3, 0, -1], [-1, -1, -1]])
    np.testing.assert_array_equal(distinctive_features(topics, 3), [[3, 0, -1], [-1, -1, -1]])


def test_there_are_no_more_words_than_features():
    np.testing.assert_array_equal(top_features(np.array([[1.0], [2.0]]), 4), [[1, 0, -1, -1]])


def test_a_word_of_every_topic_is_at_the_top_but_not_distinctive():
    shared, own = np.full((1, 3), 10.0), np.kron(np.eye(3), [[2.0], [1.0]])
    topics = np.vstack([shared, own])  # features 1 and 2 are of topic 0, 3 and 4 of topic 1, ...
    np.testing.assert_array_equal(top_features(topics, 2), [[0, 1], [0, 3], [0, 5]])
    np.testing.assert_array_equal(distinctive_features(topics, 3), [[1, 2, -1], [3, 4, -1], [5, 6, -1]])


def test_distinctive_features_by_the_formula(topics):
    p = topics / topics.sum(axis=0)
    for j, row in enumerate(distinctive_features(topics, 6)):
        scores = [p[i, j] * math.log(p[i, j] / (sum(p[i]) / 4)) for i in range(30)]
        assert [scores[i] for i in row] == pytest.approx(sorted(scores, reverse=True)[:6])


def test_one_topic_has_nothing_that_sets_it_apart(topics):
    assert (distinctive_features(topics[:, :1], 5) == -1).all()


def test_the_scale_of_a_topic_changes_no_word_and_no_share(topics, rng):
    scaled = topics * rng.uniform(0.1, 10.0, 4)
    np.testing.assert_array_equal(top_features(scaled, 6), top_features(topics, 6))
    np.testing.assert_array_equal(distinctive_features(scaled, 6), distinctive_features(topics, 6))
    np.testing.assert_allclose(feature_shares(scaled), feature_shares(topics), rtol=1e-12)


@pytest.mark.parametrize("entries", [100, linalg.ENTRIES])
@pytest.mark.parametrize("seed", range(5))
def test_coherence_agrees_with_loops_for_dense_and_sparse_data(corpus, seed, entries, monkeypatch):
    monkeypatch.setattr(linalg, "ENTRIES", entries)
    top = np.array([np.random.default_rng([seed, j]).permutation(12)[:5] for j in range(3)])
    expected = [npmi_by_loops(corpus, words) for words in top]
    for X in (corpus, sparse.csr_array(corpus), sparse.csc_array(corpus)):
        # a sum of ten logarithms of numbers of order one
        np.testing.assert_allclose(npmi_coherence(X, top), expected, rtol=1e-12)


def test_coherence_is_one_for_words_that_come_together_and_minus_one_for_words_that_never_do():
    X = np.kron(np.eye(2), np.ones((3, 4)))  # words 0 to 2 in samples 0 to 3, words 3 to 5 in the others
    np.testing.assert_allclose(npmi_coherence(X, np.array([[0, 1, 2], [0, 3, -1]])), [1.0, -1.0])


def test_missing_entries_are_no_occurrences(corpus):
    top, holes = np.arange(8).reshape(2, 4), corpus.copy()
    holes[3, :7] = np.nan
    np.testing.assert_array_equal(npmi_coherence(holes, top), npmi_coherence(np.nan_to_num(holes), top))


def test_fewer_than_two_words_have_no_coherence(corpus):
    coherence = npmi_coherence(corpus, np.array([[2, -1], [-1, -1], [0, 1]]))
    np.testing.assert_array_equal(np.isnan(coherence), [True, True, False])
    assert np.isnan(npmi_coherence(corpus, np.full((2, 3), -1))).all()


def test_coherence_never_holds_all_pairs_of_features():
    X = sparse.random_array((200_000, 50), density=1e-3, rng=np.random.default_rng(0), format="csr")  # 300 GB of pairs
    assert npmi_coherence(X, np.arange(20).reshape(2, 10)).shape == (2,)


def test_diversity_is_the_share_of_distinct_words():
    assert topic_diversity(np.array([[0, 1], [2, 3]])) == 1.0
    assert topic_diversity(np.array([[0, 1], [0, 1]])) == 0.5
    assert topic_diversity(np.array([[0, 1], [0, -1]])) == pytest.approx(2 / 3)
    assert topic_diversity(np.full((2, 2), -1)) is None


def test_tree_weights_share_every_parent_out_whatever_the_scale(topics, rng):
    A, scale, scale_above = rng.random((4, 3)), rng.uniform(0.1, 10.0, 4), rng.uniform(0.1, 10.0, 3)
    weights = tree_weights(topics, A)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    np.testing.assert_allclose(tree_weights(topics * scale, A / scale[:, None] * scale_above), weights, rtol=1e-12)
    # the words of a topic are a mixture of the words of those below
    np.testing.assert_allclose(feature_shares(topics) @ weights, feature_shares(topics @ A), rtol=1e-12)


@pytest.mark.parametrize("best", [top_features, distinctive_features, lambda topics, n: strongest_samples(topics.T, n)])
def test_rounding_does_not_order_equal_features_and_samples(best, topics, rng):
    topics[[3, 7, 21]] = topics[12]
    topics[12] *= 1.5
    found = best(topics, 30)
    for _ in range(5):
        rounded = topics * (1.0 + 1e-15 * rng.uniform(-1.0, 1.0, topics.shape))
        np.testing.assert_array_equal(best(rounded, 30), found)


def test_topics_share_the_approximation_out_whatever_the_scale(topics, rng):
    S, scale = rng.random((4, 20)), rng.uniform(0.1, 10.0, 4)
    shares = topic_shares([topics, S.T])
    parts = [np.outer(topic, codes).sum() for topic, codes in zip(topics.T, S, strict=True)]
    np.testing.assert_allclose(shares, np.array(parts) / (topics @ S).sum(), rtol=1e-12)
    np.testing.assert_allclose(topic_shares([topics * scale, (S / scale[:, None]).T]), shares, rtol=1e-12)
    np.testing.assert_array_equal(topic_shares([0 * topics, S.T]), 0.0)


def test_negative_weights_and_empty_parents_have_no_share(topics):
    A = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(tree_weights(topics, A), [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


def test_topics_without_a_link_above_or_without_features_are_counted(rng):
    A = [rng.random((12, 6)) + 0.1, rng.random((6, 4)) + 0.1, rng.random((4, 2)) - 0.5]
    assert unlinked_topics(A) == [0, 0, 0]
    A[1][[0, 3]] = 0.0
    A[1][5] *= 1e-15
    assert unlinked_topics(A) == [3, 0, 0]
    A[0][:, [3, 4]] = 0.0  # topic 3 has no link either and counts once
    A[2][1] = 0.0
    assert unlinked_topics(A) == [4, 1, 0]
    A[2][:, 1] = 0.0
    assert unlinked_topics(A) == [4, 1, 1]
    assert all(type(count) is int for count in unlinked_topics(A))


def test_the_scale_of_a_factor_unlinks_no_topic(rng):
    A = [rng.random((12, 6)), rng.random((6, 4))]
    A[1][2] = 0.0
    assert unlinked_topics([1e-30 * A[0], 1e30 * A[1]]) == unlinked_topics(A) == [1, 0]


def test_factors_of_zeros_have_no_topic_that_takes_part():
    assert unlinked_topics([np.zeros((5, 3)), np.zeros((3, 2))]) == [3, 2]


def test_no_link_is_counted_where_rows_are_not_the_topics_below(rng):
    assert unlinked_topics([rng.random((9, 4)), np.zeros((8, 2))]) == [None, 2]


def test_codes_in_units_of_their_topics_do_not_depend_on_the_scale_of_factors(rng):
    topics, S, scale = rng.random((7, 4)), rng.random((4, 20)), rng.uniform(0.01, 100.0, 4)
    codes = in_unit_topics(S, topics)
    np.testing.assert_allclose(in_unit_topics(S / scale[:, None], topics * scale), codes, rtol=1e-12)
    np.testing.assert_allclose(topics / np.linalg.norm(topics, axis=0) @ codes, topics @ S, rtol=1e-12)


def test_the_strongest_samples_are_those_that_a_topic_gives_most_to(rng):
    topics, S = rng.random((7, 4)) * rng.uniform(0.01, 100.0, 4), rng.random((4, 20))
    found = strongest_samples(in_unit_topics(S, topics), 3)
    for j, samples in enumerate(found):
        given = [np.linalg.norm(topics[:, j] * code) for code in S[j]]
        assert samples.tolist() == sorted(range(20), key=lambda i: -given[i])[:3]


def test_of_a_topic_that_few_samples_have_there_are_no_more():
    S = np.array([[0.0, 2.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert strongest_samples(S, 4).tolist() == [[1, 4, 3, -1], [-1, -1, -1, -1]]
