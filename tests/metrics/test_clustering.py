"""Purity, mutual information and Rand index against hand-worked values and scikit-learn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from nnmf_runner.metrics.clustering import agreement, contingency

# Manning et al., figure 16.1: 17 points, three clusters and classes.
BOOK = (
    np.repeat([0, 1, 2], [6, 6, 5]),
    np.array([0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 2, 0, 0, 2, 2, 2]),
)


def plain_ari(a, b):
    """Hubert and Arabie's index by counting pairs one by one."""
    pairs = list(combinations(range(len(a)), 2))
    in_a, in_b = (np.array([x[i] == x[j] for i, j in pairs]) for x in (a, b))
    expected = in_a.sum() * in_b.sum() / len(pairs)
    return ((in_a & in_b).sum() - expected) / ((in_a.sum() + in_b.sum()) / 2 - expected)


def random_pairs():
    rng = np.random.default_rng(1)
    return [(rng.integers(0, k, 40), rng.integers(0, c, 40)) for k, c in ((2, 2), (3, 5), (9, 4), (1, 3), (4, 1))]


def test_textbook_example():
    ours = agreement(*BOOK)
    assert ours.purity == pytest.approx(12 / 17)
    assert ours.nmi == pytest.approx(0.36, abs=0.005)  # the book gives two digits
    assert ours.ari == pytest.approx(plain_ari(*BOOK))


def test_contingency_counts():
    np.testing.assert_array_equal(contingency(*BOOK), [[5, 1, 0], [1, 4, 1], [2, 0, 3]])
    np.testing.assert_array_equal(contingency(np.array([7, 7, 2]), np.array([5, 9, 9])), [[0, 1], [1, 1]])


@pytest.mark.parametrize(("clusters", "labels"), [*random_pairs(), BOOK])
def test_agrees_with_scikit_learn(clusters, labels):
    theirs = pytest.importorskip("sklearn.metrics")
    ours = agreement(clusters, labels)
    assert ours.nmi == pytest.approx(theirs.normalized_mutual_info_score(labels, clusters), abs=1e-12)
    assert ours.ari == pytest.approx(theirs.adjusted_rand_score(labels, clusters), abs=1e-12)
    assert ours.purity == theirs.cluster.contingency_matrix(labels, clusters).max(axis=0).sum() / len(labels)


@pytest.mark.parametrize(("clusters", "labels"), random_pairs()[:3])
def test_rand_index_is_that_of_counted_pairs(clusters, labels):
    assert agreement(clusters, labels).ari == pytest.approx(plain_ari(clusters, labels), abs=1e-12)


def test_perfect_agreement_whatever_the_names():
    labels = np.array([0, 0, 1, 2, 2, 2])
    ours = agreement(np.array([8, 8, 3, 1, 1, 1]), labels)
    assert (ours.purity, ours.ari) == (1.0, 1.0)
    assert ours.nmi == pytest.approx(1.0)


def test_degenerate_partitions_give_numbers():
    one = np.zeros(5, int)
    assert agreement(one, one) == type(agreement(one, one))(1.0, 1.0, 1.0)
    single = agreement(np.array([0]), np.array([3]))
    assert (single.purity, single.nmi, single.ari) == (1.0, 1.0, 1.0)
    assert agreement(np.arange(5), np.arange(5)).ari == 1.0
    assert agreement(one, np.arange(5)).nmi == 0.0
