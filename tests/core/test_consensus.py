"""The consensus of hierarchies: equivariance, outliers, and votes."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.consensus import consensus

TREE = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def hierarchy(rng, noise=0.1):
    """Topics of two layers and the link between them, blurred."""
    A = np.kron(np.eye(4), np.ones((3, 1))) + noise * rng.random((12, 4))
    return [A, A @ TREE], [TREE + 0.0]


def shuffled(topics, links, rng):
    """The same hierarchy with other lengths and another order of its topics."""
    first, second = rng.permutation(4), rng.permutation(2)
    lengths = rng.uniform(0.5, 2.0, 4)
    own = (links[0] / lengths[:, None])[first][:, second]
    return [(topics[0] * lengths)[:, first], topics[1][:, second]], [own]


def together(hierarchies, **options):
    topics, links = zip(*hierarchies, strict=True)
    return consensus(topics, links, signed=False, **options)


def sorted_columns(M):
    return M[:, np.lexsort(np.round(M, 6))]


def unit(M):
    return M / np.linalg.norm(M, axis=0)


def test_a_hierarchy_is_the_consensus_of_its_copies(rng):
    topics, links = hierarchy(rng)
    found = together([(topics, links)] * 3)
    for own, expected in zip(found.factors, [topics[0], links[0]], strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9, atol=1e-9)
    assert [layer.tolist() for layer in found.votes] == [TREE.tolist()]
    assert [layer.tolist() for layer in found.members] == [[3] * 4, [3] * 2]
    np.testing.assert_allclose(np.concatenate(found.stability), 1.0, rtol=1e-12)


def test_neither_the_order_nor_the_lengths_of_topics_nor_the_order_of_hierarchies_matters(rng):
    hierarchies = [hierarchy(rng) for _ in range(5)]
    expected = together(hierarchies)
    others = [shuffled(*each, rng) for each in hierarchies]
    found = together([others[i] for i in rng.permutation(5)])
    for own, same in zip(found.topics, expected.topics, strict=True):
        np.testing.assert_allclose(sorted_columns(unit(own)), sorted_columns(unit(same)), rtol=1e-9)
    for name in ("stability", "support"):
        for own, same in zip(getattr(found, name), getattr(expected, name), strict=True):
            np.testing.assert_allclose(np.sort(own), np.sort(same), rtol=1e-9)


def test_factors_of_any_sign_are_found_again_where_they_may_have_one(rng):
    A = [rng.standard_normal(shape) for shape in ((9, 4), (4, 2))]
    found = consensus([[A[0], A[0] @ A[1]]] * 2, [A[1:]] * 2, signed=True)
    for own, expected in zip(found.factors, A, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9)


def test_an_outlier_neither_shapes_a_topic_nor_votes(rng):
    (first, second), links = hierarchy(rng, noise=0.0)
    strange = first.copy()
    strange[:, 3] = rng.random(12)  # no topic of the others
    wrong = TREE[[0, 1, 2, 0]]
    found = together([([first, second], links)] * 3 + [([strange, strange @ wrong], [wrong])])
    np.testing.assert_allclose(found.topics[0], first)
    assert found.members[0].tolist() == [4, 4, 4, 3]
    assert found.stability[0][3] < found.stability[0][0] == pytest.approx(1.0)
    assert found.support[0][3] == 0.75
    assert found.votes[0][3].tolist() == [0.0, 0.75]


def test_the_parent_is_the_one_with_most_votes(rng):
    topics, links = hierarchy(rng, noise=0.0)
    moved = TREE.copy()
    moved[1] = [0.4, 0.6]
    found = together([(topics, links), (topics, links), (topics, [moved])])
    assert [own.tolist() for own in found.parents] == [[0, 0, 1, 1]]
    np.testing.assert_allclose(found.votes[0][1], [2 / 3, 1 / 3])


def test_a_topic_without_a_link_votes_for_none_and_an_empty_one_stays(rng):
    topics, links = hierarchy(rng, noise=0.0)
    topics[0][:, 2] = 0.0
    links[0][2] = 0.0
    found = together([(topics, links)] * 2)
    assert found.parents[0].tolist() == [0, 0, -1, 1]
    assert found.stability[0][2] == 0.0
    assert not found.topics[0][:, 2].any()
    assert all(np.isfinite(own).all() for own in (*found.factors, *found.stability, *found.votes))


def test_topics_whose_median_is_empty_keep_one_of_them(rng):
    """Of sparse topics half of which agree nowhere, though each is like the first."""
    first = np.array([[10.0], [0.0], [0.0]])
    found = consensus([[first], [np.array([[0.0], [9.0], [0.0]])], [np.array([[0.0], [0.0], [9.0]])]], [[], [], []],
                      signed=False)  # fmt: skip
    assert found.topics[0].any()
    assert found.members[0].tolist() == [1]


@pytest.mark.parametrize("ranks", [(5, 3, 2), (3, 5), (2, 2, 2), (1, 1), (4,)])
def test_copies_are_their_own_consensus_in_their_order_whatever_the_links(rng, ranks):
    """Also where topics stand below several others alike, there are more above than below, or one alone."""
    A = [rng.random(shape) for shape in zip((20, *ranks[:-1]), ranks, strict=True)]
    topics = [np.linalg.multi_dot([*A[: i + 1], np.eye(rank)]) for i, rank in enumerate(ranks)]
    found = together([(topics, A[1:])] * 3)
    for own, expected in zip(found.topics, topics, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(found.stability), 1.0)
    if ranks == (5, 3, 2):
        for own, expected in zip(found.factors, A, strict=True):
            np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-9)


def test_hierarchies_with_different_mistakes_agree_on_what_most_have_right(rng):
    """Each takes one of six pairs apart and joins two others, so that none of them is right."""
    pairs = np.repeat(np.arange(6), 2)
    first = np.kron(np.eye(12), np.ones((2, 1))) + 0.05 * rng.random((24, 12))
    hierarchies = []
    for split in range(6):
        parents = pairs.copy()
        parents[2 * split] = (split + 1) % 6  # its own topic from here on; the pair of it joins the next one
        parents[pairs == (split + 1) % 6] = (split + 2) % 6
        link = np.eye(6)[parents]
        hierarchies.append(([first, first @ link], [link]))
    (found,) = together(hierarchies).parents
    assert (found[::2] == found[1::2]).all()
    assert len(set(found)) == 6


def test_outliers_leave_the_median_as_it_is_without_them(rng):
    alike = [hierarchy(rng) for _ in range(3)]
    strange = [hierarchy(rng) for _ in range(2)]
    for i, ((first, _), _) in enumerate(strange):
        first[:, 3] = np.eye(12)[:, i]
    (own, *_), (expected, *_) = together(alike + strange).topics, together(alike).topics
    np.testing.assert_allclose(unit(own)[:, 3], unit(expected)[:, 3])
    assert (np.abs(unit(own) - unit(expected))[:, :3].max(axis=0) > 1e-4).all()  # whose topics are all alike


def test_who_has_another_topic_above_does_not_vote(rng):
    (first, second), links = hierarchy(rng, noise=0.0)
    strange = second.copy()
    strange[:, 1] = [*[0.0] * 11, 1.0]
    found = together([([first, second], links)] * 3 + [([first, strange], links)])
    assert found.members[1].tolist() == [4, 3]
    np.testing.assert_allclose(found.support[0], [1.0, 1.0, 0.75, 0.75])


def test_a_pair_that_many_take_apart_to_join_two_others_stays_one_and_is_told_to_be_weak(rng):
    """As hierarchical fits of noisy data do, of which the most then look like each other."""
    right = np.repeat(np.arange(6), 2)
    wrong = np.array([0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5])
    first = np.kron(np.eye(12), np.ones((2, 1))) + 0.05 * rng.random((24, 12))
    links = [np.eye(6)[parents] for parents in (right, right, right, wrong, wrong, wrong, wrong)]
    found = together([([first, first @ link], [link]) for link in links])
    (parents,), (support,) = found.parents, found.support
    assert (parents[::2] == parents[1::2]).all()
    assert len(set(parents)) == 6
    assert support[8] == 1.0
    assert support[[0, 1, 4, 5, 6, 7]].max() < 0.5
