"""Recovery of planted topics and trees, whatever the order and scale of what was found."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.tensor import khatri_rao
from nnmf_runner.datasets.generated.blocks import Blocks
from nnmf_runner.datasets.generated.planted_cp import PlantedCP
from nnmf_runner.datasets.generated.toy import Toy
from nnmf_runner.metrics.recovery import Planted, match_topics, topic_recovery, tree_agreement


@pytest.fixture
def truth():
    return Toy().load(np.random.default_rng(0)).truth.A


def agreement(A, truth):
    """Tree agreement of the factors of a matrix."""
    pooled = [len(a) for a in A[1:]] != [a.shape[1] for a in A[:-1]]
    topics = [[a] for a in A] if pooled else Planted.of_factors(A).topics
    return tree_agreement(topics, A[1:], Planted.of_factors(truth))


def permuted(A, rng, *, scaled=False):
    """The same factorisation with the topics of every layer in another order, and scale."""
    out, order, scale = [], np.arange(A[0].shape[0]), np.ones(A[0].shape[0])
    for factor in A:
        factor = scale[order, None] * factor[order]
        scale = rng.uniform(0.1, 10.0, factor.shape[1]) if scaled else np.ones(factor.shape[1])
        order = rng.permutation(factor.shape[1])
        out.append((factor / scale)[:, order])
    return out


def noisy(A, rng):
    return [factor + 0.3 * factor.max() * rng.random(factor.shape) for factor in A]


def test_planted_topics_and_tree_give_one(truth):
    match, cosine = match_topics([truth[0]], [truth[0]])
    np.testing.assert_array_equal(match, np.arange(9))
    assert cosine == pytest.approx(1.0)
    assert agreement(truth, truth) == 1.0


def test_hand_worked_match():
    truth = np.eye(3)[:, :2]
    topics = np.array([[0.0, 3.0], [0.0, 4.0], [2.0, 0.0]])  # the first meets no true topic
    match, cosine = match_topics([topics], [truth])
    assert match[1] == 1
    assert cosine == pytest.approx(0.8 / 2)


def test_more_or_fewer_topics_than_true_ones():
    match, cosine = match_topics([np.eye(3)], [np.eye(3)[:, :2]])
    np.testing.assert_array_equal(match, [0, 1, -1])
    assert cosine == pytest.approx(1.0)
    match, cosine = match_topics([np.eye(3)[:, :1]], [np.eye(3)[:, :2]])
    np.testing.assert_array_equal(match, [0])
    assert cosine == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_matching_does_not_depend_on_order_and_scale(truth, seed):
    rng = np.random.default_rng(seed)
    found = noisy(truth, rng)[0]
    order, scale = rng.permutation(9), rng.uniform(0.1, 10.0, 9)
    before, after = (match_topics([F], truth[:1]) for F in (found, (found * scale)[:, order]))
    np.testing.assert_array_equal(after[0], before[0][order])
    assert after[1] == pytest.approx(before[1])


@pytest.mark.parametrize("seed", range(5))
def test_tree_of_the_truth_is_found_in_any_order_and_scale(truth, seed):
    rng = np.random.default_rng(seed)
    assert agreement(permuted(truth, rng, scaled=True), truth) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_tree_agreement_does_not_depend_on_order(truth, seed):
    rng = np.random.default_rng(seed)
    found = noisy(truth, rng)
    assert agreement(permuted(found, rng), truth) == agreement(found, truth)


@pytest.mark.parametrize("seed", range(5))
def test_tree_agreement_does_not_depend_on_the_scale_of_topics(truth, seed):
    """``A_1 D, D^-1 S_1`` is the same factorisation as ``A_1, S_1``: where a topic belongs cannot depend on D."""
    rng = np.random.default_rng(seed)
    found = noisy(truth, rng)
    assert agreement(permuted(found, rng, scaled=True), truth) == agreement(found, truth)


def test_a_topic_below_the_wrong_parent_counts(truth):
    wrong = [truth[0], truth[1].copy(), truth[2]]
    wrong[1][0] = wrong[1][8]  # subtopic 0 below the last topic
    # 1 of the 9 + 4 topics below a parent
    assert agreement(wrong, truth) == pytest.approx(12 / 13)


def test_no_tree_where_there_is_one_layer_or_the_layers_are_of_other_levels(truth, rng):
    assert agreement(truth[:1], truth) is None
    assert agreement([truth[0] @ truth[1], truth[2]], truth) is None  # 4 and 2 topics stand one level higher
    assert agreement([truth[0], rng.random((18, 4))], truth) is None  # as pooling leaves it
    assert agreement(truth[:2], truth) == 1.0


def test_a_planted_topic_that_is_not_found_counts_in_the_tree(truth):
    without = [truth[0][:, 1:], truth[1][1:], truth[2]]
    assert agreement(without, truth) == pytest.approx(12 / 13)
    topless = [truth[0], truth[1][:, :3]]  # the last 3 of the 9 subtopics have lost their topic
    assert agreement(topless, truth) == pytest.approx(6 / 9)


def test_a_topic_too_many_changes_nothing_in_the_tree(truth):
    spare = np.eye(87)[:, :1]
    more = [np.hstack([truth[0], spare]), np.vstack([truth[1], truth[1][:1]]), truth[2]]
    assert agreement(more, truth) == 1.0


def test_topics_are_compared_with_the_planted_level_of_as_many_or_nearly(truth):
    topics = truth[0] @ truth[1]
    assert topic_recovery([topics], Planted.of_factors(truth)) == pytest.approx(1.0)
    # 3 is as near to 2, the finer level counts.
    assert topic_recovery([topics[:, :3]], Planted.of_factors(truth)) == pytest.approx(3 / 4)
    assert topic_recovery([truth[0]], Planted.of_factors(truth)) == pytest.approx(1.0)


def test_topics_of_zeros_match_nothing_and_give_numbers():
    _, cosine = match_topics([np.zeros((4, 2))], [np.eye(4)[:, :2]])
    assert cosine == 0.0


def test_topics_by_mode_match_as_their_outer_products_do(rng):
    found, true = ([rng.random((size, k)) ** 3 for size in (4, 3, 5)] for k in (4, 3))
    match, cosine = match_topics([khatri_rao(found)], [khatri_rao(true)])
    by_mode, cosine_by_mode = match_topics(found, true)
    np.testing.assert_array_equal(by_mode, match)
    assert cosine_by_mode == pytest.approx(cosine)


@pytest.mark.parametrize("source", [Blocks(), PlantedCP(sizes=[9, 10, 11, 12])])
@pytest.mark.parametrize("by_mode", [False, True])
def test_what_is_planted_in_a_tensor_is_found_by_methods_of_both_kinds(source, by_mode, rng):
    dataset = source.load(rng)
    planted, parents = Planted.of(dataset, by_mode=by_mode), dataset.tensor_truth.parents
    orders = [rng.permutation(len(each)) for each in (*parents, range(planted.topics[-1][0].shape[1]))]
    topics = [
        [F[:, order] * rng.uniform(0.1, 10.0, len(order)) for F in modes]
        for modes, order in zip(planted.topics, orders, strict=True)
    ]
    assert [topic_recovery(modes, planted) for modes in topics] == pytest.approx([1.0] * len(topics))
    # In the orders and scales above; every topic has a part in others than its parent, too.
    links = [
        0.5 + np.eye(len(above))[of][below][:, above]
        for below, of, above in zip(orders, parents, orders[1:], strict=False)
    ]
    lengths = [np.prod([np.linalg.norm(F, axis=0) for F in modes], axis=0) ** (1 / len(modes)) for modes in topics]
    scaled = [W / low[:, None] * high for W, low, high in zip(links, lengths, lengths[1:], strict=False)]
    assert tree_agreement(topics, scaled, planted) == 1.0
    swapped = [scaled[0][:, ::-1] / lengths[1][::-1] * lengths[1], *scaled[1:]]
    assert tree_agreement(topics, swapped, planted) < 1.0
