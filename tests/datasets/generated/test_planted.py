"""Planted hierarchies: what every knob does, and that an easy one is found again."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.generated.planted import Planted, ancestors, block_sizes


def load(seed: int = 0, **options) -> Dataset:
    return Planted(**options).load(np.random.default_rng(seed))


def clean(dataset: Dataset) -> np.ndarray:
    return dataset.truth.A[0] @ dataset.truth.S[0]


def unit(M: np.ndarray) -> np.ndarray:
    return M / np.linalg.norm(M, axis=0)


def cosines(dataset: Dataset, level: int) -> np.ndarray:
    """Cosine of every two different leaves that have their topic at this level in common, but none below."""
    A, path = dataset.truth.A[0], ancestors([3, 2, 2])
    common = (path[:, :, None] == path[:, None, :]).sum(axis=0)
    return (unit(A).T @ unit(A))[common == 3 - level]


def relative_noise(dataset: Dataset) -> float:
    return np.linalg.norm(dataset.X - clean(dataset)) / np.linalg.norm(clean(dataset))


def test_without_knobs_the_data_are_equal_blocks_whose_values_are_those_of_the_docstring():
    dataset = load()
    leaves = np.repeat(np.arange(12), 8)
    np.testing.assert_array_equal(dataset.truth.feature_labels[0], leaves)
    shared = [(leaves // width)[:, None] == np.arange(12) // width for width in (1, 2, 4)]
    np.testing.assert_array_equal(dataset.truth.A[0], np.select(shared, [4.0, 2.0, 1.0]))
    np.testing.assert_array_equal(dataset.X, clean(dataset))


def test_labels_and_truth_exist_at_every_level_and_agree():
    dataset = load(noise=0.5, overlap=0.4, imbalance=3.0)
    truth = dataset.truth
    assert [a.shape for a in truth.A] == [(96, 12), (12, 6), (6, 3)]
    assert [s.shape for s in truth.S] == [(12, 120), (6, 120), (3, 120)]
    for level, (labels, S, features) in enumerate(zip(dataset.labels, truth.S, truth.feature_labels, strict=True)):
        assert len(np.unique(labels)) == len(np.unique(features)) == (12, 6, 3)[level]
        np.testing.assert_array_equal(S.argmax(axis=0), labels)
        np.testing.assert_array_equal(np.count_nonzero(S, axis=0), 1)
    # labels of a level are those of the one below, gathered by the true factor
    for below, above, factor in zip(dataset.labels, dataset.labels[1:], truth.A[1:], strict=False):
        np.testing.assert_array_equal(factor[below].argmax(axis=1), above)


@pytest.mark.parametrize("branching", [[2], [5], [2, 3], [3, 2, 2], [2, 2, 2, 2]])
def test_branching_gives_depth_and_ranks(branching):
    dataset = load(branching=branching)
    ranks = np.cumprod(branching)[::-1].tolist()
    assert [len(np.unique(labels)) for labels in dataset.labels] == ranks
    assert [a.shape[1] for a in dataset.truth.A] == ranks
    assert np.linalg.matrix_rank(dataset.X) == ranks[0]


@pytest.mark.parametrize("options", [{}, {"overlap": 1.0}, {"imbalance": 8.0}, {"overlap": 0.5, "crossing": 1.0}])
@pytest.mark.parametrize("seed", range(3))
def test_clean_data_have_the_planted_rank_and_noise_a_floor_below_it(options, seed):
    assert np.linalg.matrix_rank(load(seed, **options).X) == 12
    for noise in (0.1, 1.0):
        dataset = load(seed, noise=noise, **options)
        singular = np.linalg.svd(dataset.X, compute_uv=False)
        floor = np.sqrt((singular[12:] ** 2).sum())
        assert 0.0 < floor <= np.linalg.norm(dataset.X - clean(dataset))  # the truth is of rank 12 itself


@pytest.mark.parametrize("noise", [0.1, 1.0, 4.0])
def test_noise_has_the_relative_size_that_is_asked_for(noise):
    found = [relative_noise(load(seed, noise=noise)) for seed in range(5)]
    # the sum of 11520 squared uniform numbers deviates by sqrt(4/5 / 11520) of it, its root by half as much
    np.testing.assert_allclose(found, noise, rtol=5 * np.sqrt(0.8 / 11520) / 2)
    residual = load(noise=noise).X - clean(load(noise=noise))
    highest = noise * np.sqrt(3.0 * np.mean(clean(load()) ** 2))
    assert residual.min() > -1e-12
    assert residual.max() <= highest * (1 + 1e-12)


def test_knobs_leave_the_strengths_and_each_other_alone():
    plain = load(3)
    for options in ({"noise": 2.0}, {"overlap": 0.7}):
        np.testing.assert_array_equal(load(3, **options).truth.S[0], plain.truth.S[0])
    np.testing.assert_array_equal(load(3, noise=2.0).truth.A[0], plain.truth.A[0])
    strengths = np.concatenate([load(seed).truth.S[0].sum(axis=0) for seed in range(20)])
    assert 0.5 <= strengths.min() < 0.51
    assert 1.49 < strengths.max() < 1.5


@pytest.mark.parametrize("crossing", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 1.0])
def test_overlap_is_the_share_of_features_with_a_second_owner_of_the_kind_that_crossing_says(overlap, crossing):
    A = load(overlap=overlap, crossing=crossing).truth.A[0]
    owner = np.repeat(np.arange(12), 8)
    second = [set(np.flatnonzero(row == 4.0)) - {leaf} for row, leaf in zip(A, owner, strict=True)]
    assert all(len(leaves) <= 1 for leaves in second)
    pairs = [(leaf, leaves.pop()) for leaf, leaves in zip(owner, second, strict=True) if leaves]
    crossed = [a // 4 != b // 4 for a, b in pairs]
    assert np.bincount([a for a, _ in pairs], minlength=12).tolist() == [round(8 * overlap)] * 12
    assert sum(crossed) == 12 * round(crossing * round(8 * overlap))
    assert all(a // 2 == b // 2 for (a, b), cross in zip(pairs, crossed, strict=True) if not cross)


@pytest.mark.parametrize(("crossing", "level"), [(0.0, 1), (1.0, 3)])
def test_overlap_makes_topics_more_alike(crossing, level):
    """With a sibling (one level up) or across the top, by the share of common features."""
    means = [
        np.mean([cosines(load(seed, overlap=overlap, crossing=crossing), level).mean() for seed in range(5)])
        for overlap in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert (np.diff(means) > 0.005).all()


@given(st.integers(1, 30), st.integers(0, 500), st.floats(0.0, 50.0))
@settings(deadline=None)
def test_block_sizes_sum_up_and_fall_as_rounding_allows(blocks, more, imbalance):
    total = blocks + more
    sizes = block_sizes(total, blocks, imbalance)
    exact = (1 + imbalance) ** -np.linspace(0, 1, blocks)
    assert sizes.sum() == total
    share = total * exact / exact.sum()
    assert (np.abs(sizes - share) <= 1.0).all()
    lost, up = share - np.floor(share), sizes > share  # those that lose most are rounded up
    assert lost[up].min(initial=1.0) >= lost[~up].max(initial=0.0) - 1e-9
    assert sizes.max() - sizes.min() <= 1 or imbalance > 0


def test_imbalance_is_what_the_largest_block_has_more_than_the_smallest():
    ratios = []
    for imbalance in (0.0, 1.0, 3.0, 8.0):
        dataset = load(features=1200, samples=2400, imbalance=imbalance)
        for sizes in (np.bincount(dataset.labels[0]), np.bincount(dataset.truth.feature_labels[0])):
            assert (np.diff(sizes) <= 0).all()
            assert sizes[0] / sizes[-1] == pytest.approx(1 + imbalance, rel=0.03)  # half a member of the smallest
        ratios.append(sizes[0] / sizes[-1])
    assert (np.diff(ratios) > 0).all()


def test_data_are_nonnegative_and_those_of_their_seed():
    options = {"noise": 1.0, "overlap": 0.5, "imbalance": 4.0}
    assert load(4, **options).X.min() >= 0.0
    assert load(4, **options).fingerprint() == load(4, **options).fingerprint()
    assert load(4, **options).fingerprint() != load(5, **options).fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branching": []}, r"dataset\.branching=\[\] is not valid. Expected at least one number of topics."),
        ({"branching": [3, 1]}, r"dataset\.branching\[1\]=1 is not valid. Expected an integer in \[2, 1e\+09\]."),
        ({"noise": -0.1}, r"dataset\.noise=-0.1 is not valid. Expected a number in \[0, 1e\+60\]."),
        ({"noise": float("nan")}, r"dataset\.noise=nan"),
        ({"overlap": 1.1}, r"dataset\.overlap=1.1 is not valid. Expected a number in \[0, 1\]."),
        ({"crossing": -1.0}, r"dataset\.crossing=-1.0"),
        ({"imbalance": -1.0}, r"dataset\.imbalance=-1.0"),
        ({"features": 0}, r"dataset\.features=0"),
        ({"features": 10**30}, r"dataset\.features=10{30} is not valid. Expected an integer in \[1, 1e\+09\]"),
        ({"branching": [10**9, 10**9]}, r"dataset\.features=96 leaves 0 for the smallest of 10{18} leaves"),
        ({"samples": 11}, r"dataset\.samples=11 leaves 0 for the smallest of 12 leaves. Expected at least 1: more"),
        ({"imbalance": 1e4}, r"dataset\.features=96 leaves 0 .* or less of dataset\.imbalance=10000\."),
    ],
)
def test_options_that_make_no_data_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        load(**options)


def test_the_true_topics_of_a_level_are_sums_of_those_below():
    truth = load(overlap=0.5).truth
    top = functools.reduce(np.matmul, truth.A)
    np.testing.assert_allclose(top, np.stack([truth.A[0][:, 4 * i : 4 * i + 4].sum(axis=1) for i in range(3)], axis=1))
