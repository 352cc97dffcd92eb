"""The published tensor of blocks: its values, noise, planted topics and labels."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.generated.blocks import Blocks
from nnmf_runner.datasets.modes import unfolded


def load(seed=0, **options):
    return Blocks(**options).load(np.random.default_rng(seed))


def published(noise, seed):
    """The tensor as the publications build it, written out once more."""
    X = np.zeros((40, 40, 40))
    X[0:20, 0:20, 0:20] = X[20:40, 20:40, 20:40] = 0.75
    X[0:12, 0:12, 0:8] = X[12:20, 12:20, 8:20] = X[20:27, 20:34, 20:27] = X[27:40, 34:40, 27:40] = 2.0
    X[0:12, 0:6, 0:4] = X[0:12, 6:12, 4:8] = X[12:17, 12:20, 8:13] = 3.5
    X[17:20, 12:20, 13:20] = X[20:23, 20:27, 20:27] = X[23:27, 27:34, 20:27] = 3.5
    return X + noise * np.abs(np.random.RandomState(seed).randn(40, 40, 40))


@pytest.mark.parametrize(("noise", "seed"), [(0.1, 1), (0.4, 14)])
def test_the_published_tensor(noise, seed):
    dataset = load(noise=noise, noise_seed=seed)
    np.testing.assert_array_equal(dataset.X, published(noise, seed).reshape(1600, 40))
    assert dataset.X.flags.c_contiguous
    assert dataset.modes.shape == (40, 40, 40)


def test_defaults_are_the_lower_published_noise():
    np.testing.assert_array_equal(load().X, published(0.1, 1).reshape(1600, 40))


def test_noise_may_be_that_of_the_run():
    first, again, other = load(noise_seed=None), load(noise_seed=None), load(seed=1, noise_seed=None)
    np.testing.assert_array_equal(first.X, again.X)
    assert (first.X != other.X).all()
    excess = first.X - Blocks().clean().reshape(1600, 40)
    assert excess.min() >= 0.0
    assert excess.mean() == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.02)
    assert load(noise=0.0).fingerprint() == load(seed=1, noise=0.0).fingerprint()


@pytest.mark.parametrize("sizes", [[40, 40, 40], [14, 15, 16], [20, 16, 15, 17], [14] * 5])
def test_planted_topics_add_up_to_the_clean_tensor(sizes):
    dataset = load(sizes=sizes, noise=0.0)
    total = 0.0
    for level, height in enumerate((1.5, 1.25, 0.75)):  # above what a block lies in
        factors = dataset.tensor_truth.factors[level]
        heights = np.full(factors[0].shape[1], height)
        if level == 0:
            heights[6] = 0.0  # stands for its parent, within which it has no block of its own
        assert all((factor.sum(axis=0) > 0).all() for factor in factors)
        total = total + dataset.tensor_truth.topics(level) * heights @ factors[-1].T
    np.testing.assert_allclose(total, dataset.X, atol=1e-12)
    np.testing.assert_array_equal(dataset.X, unfolded(Blocks(sizes=sizes).clean(), len(sizes) - 1))


def test_topics_lie_within_their_parents():
    truth = load().tensor_truth
    assert [factors[0].shape[1] for factors in truth.factors] == [7, 4, 2]
    for level, parents in enumerate(truth.parents):
        below, above = truth.topics(level), truth.topics(level + 1)
        assert (below <= above[:, parents]).all()
        overlaps = truth.factors[level][-1].T @ truth.factors[level + 1][-1]
        np.testing.assert_array_equal(overlaps.argmax(axis=1), parents)


def test_labels_are_the_topics_that_samples_take_part_in():
    dataset = load()
    assert dataset.classes == [6, 4, 2]
    for labels, factors in zip(dataset.labels, dataset.tensor_truth.factors, strict=True):
        assert labels[0] == 0
        assert (np.diff(labels) >= 0).all()  # blocks follow each other along the last mode
        for c in range(labels.max() + 1):
            assert len(np.unique(factors[-1][labels == c], axis=0)) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": [40, 40]}, r"dataset.sizes=\[40, 40\] has 2 entries. Expected at least 3"),
        ({"sizes": [40, 13, 40]}, r"dataset.sizes\[1\]=13 is not valid"),
        ({"noise": -1.0}, "dataset.noise=-1.0 is not valid"),
        ({"noise_seed": -1}, "dataset.noise_seed=-1 is not valid"),
        ({"noise_seed": 2**32}, "dataset.noise_seed=4294967296 is not valid"),
        ({"sizes": [10**6] * 3}, r"dataset.sizes=.* has 1000000000000000000 entries"),
    ],
)
def test_what_is_no_such_tensor_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        Blocks(**options)
