"""Purity, mutual information and Rand index against hand-worked values and scikit-learn, and the clusters of codes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from nnmf_runner.metrics import clustering
from nnmf_runner.metrics.clustering import agreement, contingency, direction_clusters

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


@pytest.mark.parametrize(("clusters", "labels"), [*random_pairs(), BOOK])
def test_columns_without_a_label_do_not_count(clusters, labels, rng):
    at = np.sort(rng.integers(0, len(labels) + 1, 15))
    more = np.insert(clusters, at, rng.integers(0, 12, 15)), np.insert(labels, at, -1)
    assert agreement(*more) == agreement(clusters, labels)


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


def codes_of(means, size, rng, noise=0.02):
    """Codes about the given ones, `size` of each with a length of its own, and the class of every column."""
    classes = rng.permutation(np.repeat(np.arange(len(means)), size))
    codes = np.asarray(means, float)[classes].T
    return np.abs(codes + noise * rng.standard_normal(codes.shape)) * rng.uniform(0.1, 10.0, len(classes)), classes


SHARED = [[1.0, 0.4, 0.0], [1.0, 0.0, 0.4]]  # two classes whose largest code is that of the same topic


def test_directions_tell_apart_classes_that_share_their_largest_topic(rng):
    codes, classes = codes_of(SHARED, 60, rng)
    assert agreement(codes.argmax(axis=0), classes).nmi == 0.0
    assert agreement(direction_clusters(codes, 2), classes) == agreement(classes, classes)


@pytest.mark.parametrize("scale", [1e-200, 1e200, "each"])
def test_the_scale_of_samples_changes_no_cluster(rng, scale):
    codes, _ = codes_of(rng.random((5, 4)), 30, rng, noise=0.2)
    scaled = codes * (rng.uniform(0.1, 10.0, codes.shape[1]) if scale == "each" else scale)
    np.testing.assert_array_equal(direction_clusters(scaled, 5), direction_clusters(codes, 5))


def test_clusters_depend_on_the_codes_alone(rng):
    codes, _ = codes_of(rng.random((5, 4)), 30, rng, noise=0.2)
    first = direction_clusters(codes, 5)
    np.random.seed(3)  # noqa: NPY002
    np.testing.assert_array_equal(direction_clusters(codes, 5), first)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.15, 0.3])
@pytest.mark.parametrize(("k", "n_clusters"), [(3, 4), (10, 8), (40, 20)])
def test_clusters_are_as_tight_as_those_of_scikit_learn(seed, k, n_clusters, noise):
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(seed)
    codes, _ = codes_of(rng.random((n_clusters, k)), 25, rng, noise=noise)
    points = (codes / np.linalg.norm(codes, axis=0)).T
    theirs = cluster.KMeans(n_clusters, n_init=10, random_state=seed).fit(points).inertia_
    clusters = direction_clusters(codes, n_clusters)
    parts = [points[clusters == i] for i in np.unique(clusters)]
    ours = sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)
    assert ours <= 1.05 * theirs  # both end in local minima


def test_of_many_samples_those_not_drawn_join_the_nearest_centroid(rng, monkeypatch):
    codes, classes = codes_of(np.eye(6)[:4] + 0.2, 100, rng)
    monkeypatch.setattr(clustering, "MOST_SAMPLES", 50)
    clusters = direction_clusters(codes, 4)
    assert clusters.shape == classes.shape
    assert agreement(clusters, classes).ari == 1.0


@pytest.mark.parametrize(("products", "starts"), [(10**9, 10), (7 * 60 * 3 * 2, 7), (1, 1)])
def test_large_problems_have_fewer_starts(rng, monkeypatch, products, starts):
    codes, classes = codes_of(SHARED, 30, rng)
    made, start = [], clustering._centroids
    monkeypatch.setattr(clustering, "_centroids", lambda *given: made.append(1) or start(*given))
    monkeypatch.setattr(clustering, "MOST_PRODUCTS", products)
    assert agreement(direction_clusters(codes, 2), classes).ari == 1.0
    assert len(made) == starts


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (np.zeros((3, 8)), 1),
        (np.ones((1, 8)) * np.arange(1, 9), 1),
        (np.repeat([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]], 4, axis=1), 3),  # a zero column is a cluster of its own
        (np.array([[2.0], [1.0]]), 1),
    ],
)
def test_there_are_no_more_clusters_than_directions(codes, expected):
    assert len(np.unique(direction_clusters(codes, 5))) == expected


def test_empty_clusters_are_no_error(rng, monkeypatch):
    def far(points, n, rng):
        return np.repeat(points[:1], n, axis=0) + 100.0 * np.arange(n)[:, None]

    monkeypatch.setattr(clustering, "_seeds", far)
    assert set(direction_clusters(rng.random((2, 30)), 3)) == {0}
