from itertools import product

import numpy as np
import pytest
from scipy import optimize

import nnmf_runner.metrics.trees as trees
from nnmf_runner.metrics.trees import tree_loss

SIZES = (8, 7, 9)


@pytest.fixture
def below(rng):
    return [rng.random((size, 5)) for size in SIZES]


def above(below, W):
    return [U @ W for U in below]


def tree(rng, parents=(0, 0, 1, 1, 2)):
    W = np.zeros((len(parents), max(parents) + 1))
    W[np.arange(len(parents)), list(parents)] = rng.random(len(parents)) + 0.2
    return W


def plain_loss(below, above):
    """The smallest over all parents of the topics and all orders of the groups in every mode."""
    k, K = below[0].shape[1], above[0].shape[1]
    lowest = np.inf
    for parents in product(range(K), repeat=k):
        total = 0.0
        for U, A in zip(below, above, strict=True):
            A = A / np.linalg.norm(A, axis=0)
            residual = np.array([[residual_of(U[:, np.equal(parents, c)], a) for a in A.T] for c in range(K)])
            total += residual[optimize.linear_sum_assignment(residual)].sum()
        lowest = min(lowest, total)
    return np.sqrt(lowest / (len(below) * K))


def residual_of(group, topic):
    return optimize.nnls(group, topic)[1] ** 2 if group.shape[1] else topic @ topic


@pytest.fixture(params=["all", "descent"])
def search(request, monkeypatch):
    """Both ways to find the parents."""
    if request.param == "descent":
        monkeypatch.setattr(trees, "TRIED", 0)


@pytest.mark.usefixtures("search")
def test_a_tree_has_no_loss(below, rng):
    assert tree_loss(below, above(below, tree(rng))) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.usefixtures("search")
def test_loss_is_that_of_its_definition(below, rng):
    topics = above(below[:2], tree(rng, (0, 0, 1, 1, 1)) + 0.1 * rng.random((5, 2)))
    assert tree_loss(below[:2], topics) == pytest.approx(plain_loss(below[:2], topics), rel=1e-6)


def test_a_topic_with_two_parents_costs():
    # Of each topic above, half of the square is what the topic with two parents adds, which only one of them has.
    W = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert tree_loss([np.eye(4)[:, :3], np.eye(3)], [np.eye(4)[:, :3] @ W, W]) == pytest.approx(0.5)


def test_modes_that_disagree_cost(below):
    first, second = np.kron(np.eye(2), np.ones((2, 1))), np.tile(np.eye(2), (2, 1))
    U = [F[:, :4] for F in below]
    assert tree_loss(U, above(U, first)) == pytest.approx(0.0, abs=1e-9)
    assert tree_loss(U, above(U, second)) == pytest.approx(0.0, abs=1e-9)
    assert tree_loss(U, [*above(U[:2], first), *above(U[2:], second)]) > 0.1


def test_unrelated_topics_lose_everything():
    assert tree_loss([np.eye(4)[:, :2]] * 3, [np.eye(4)[:, 2:]] * 3) == pytest.approx(1.0)


@pytest.mark.usefixtures("search")
def test_loss_depends_neither_on_scale_nor_on_order(below, rng):
    topics = above(below, tree(rng) + 0.1 * rng.random((5, 3)))
    loss = tree_loss(below, topics)
    assert loss > 0.01
    order, scaled = rng.permutation(5), [U * rng.uniform(0.1, 10.0, 5) for U in below]
    mixed = [A[:, rng.permutation(3)] * rng.uniform(0.1, 10.0, 3) for A in topics]
    assert tree_loss([U[:, order] for U in scaled], mixed) == pytest.approx(loss)


def test_alike_topics_of_a_mode_hide_no_tree(below, rng):
    # In this mode all topics are one, so that its weights tell nothing of the parents.
    below = [*below[:2], np.tile(rng.random((9, 1)), 5)]
    assert tree_loss(below, above(below, tree(rng))) == pytest.approx(0.0, abs=1e-9)


def test_topics_of_zeros_are_allowed(below, rng):
    W = tree(rng)
    W[:, 1] = 0.0
    assert tree_loss(below, above(below, W)) == pytest.approx(0.0, abs=1e-9)
    apart = [np.eye(5)] * 3
    assert tree_loss([U * [1, 1, 1, 1, 0] for U in apart], above(apart, tree(rng))) == pytest.approx(3**-0.5)


def test_many_topics_are_divided_as_planted(rng):
    below, parents = [rng.random((40, 20)) for _ in range(3)], rng.integers(0, 6, 20)
    W = np.zeros((20, 6))
    W[np.arange(20), parents] = rng.random(20) + 0.2
    topics = [A[:, rng.permutation(6)] for A in above(below, W)]
    groups = trees._Groups(below, topics)
    assert groups.loss(groups.strongest()) == pytest.approx(0.0, abs=1e-9)
    assert tree_loss(below, topics) == pytest.approx(0.0, abs=1e-9)


def test_descent_improves_on_the_strongest_parents():
    # Of random topics, which are far from a tree.
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        below = [rng.random((size, 5)) for size in SIZES]
        topics = [U @ rng.random((5, 3)) for U in below]
        groups = trees._Groups(below, topics)
        found, best = trees._descended(groups), tree_loss(below, topics)
        assert best <= found * (1 + 1e-12)
        assert found <= groups.loss(groups.strongest())
        ratios.append([found / best, groups.loss(groups.strongest()) / best])
    assert np.mean(ratios, axis=0)[0] < 1.05
    assert np.mean(ratios, axis=0)[1] > 1.1


@pytest.mark.parametrize(("k", "K"), [(1, 1), (4, 2), (5, 3), (6, 6)])
def test_all_divisions_come_once(k, K):
    found = list(trees._all_parents(k, K))
    as_sets = {frozenset(frozenset(np.flatnonzero(np.equal(p, c)).tolist()) for c in set(p)) for p in found}
    assert len(found) == len(as_sets) == trees._divisions(k, K)
    assert len(as_sets) == len({tuple(p.index(c) for c in p) for p in product(range(K), repeat=k)})
