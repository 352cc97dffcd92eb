"""The block data of the slides: sizes, values, noise, labels and truth, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import DATASETS, Dataset
from nnmf_runner.datasets.generated.toy import Toy

FEATURES = [10, 5, 10, 12, 13, 4, 11, 8, 14]
SAMPLES = [10, 10, 5, 7, 5, 20, 10, 9, 14]
TOPICS = [{0, 1}, {2, 3}, {4, 5}, {6, 7, 8}]
SUPERTOPICS = [{0, 1, 2, 3}, {4, 5, 6, 7, 8}]


def load(seed: int = 0, **options) -> Dataset:
    return Toy(**options).load(np.random.default_rng(seed))


def together(a: int, b: int, groups: list[set[int]]) -> bool:
    return any(a in group and b in group for group in groups)


def value(a: int, b: int) -> float:
    """What the slides put into the block of feature subtopic a and sample subtopic b."""
    if a == b:
        return 4.0
    if together(a, b, TOPICS):
        return 2.0
    return 1.0 if together(a, b, SUPERTOPICS) else 0.0


def expected_blocks() -> np.ndarray:
    return np.block([[np.full((m, n), value(a, b)) for b, n in enumerate(SAMPLES)] for a, m in enumerate(FEATURES)])


def test_noise_free_data_are_the_blocks_of_the_slides():
    np.testing.assert_array_equal(load(noise=0.0).X, expected_blocks())


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_uniform_from_zero_to_its_bound(seed):
    noise = load(seed).X - expected_blocks()
    assert noise.min() >= -1e-15  # rounding of 4 + noise - 4
    assert noise.max() < 0.15
    # mean and variance of 7830 uniform numbers, each within 5 standard errors
    assert abs(noise.mean() - 0.075) < 5 * 0.15 / np.sqrt(12 * noise.size)
    assert abs(noise.var() / (0.15**2 / 12) - 1) < 5 * np.sqrt(0.8 / noise.size)


@pytest.mark.parametrize("seed", range(3))
def test_norm_and_floors_are_those_of_the_slides(seed):
    X = load(seed).X
    assert np.linalg.norm(X) == pytest.approx(145.7, abs=0.2)
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    floors = [np.sqrt(squares[k:].sum() / squares.sum()) for k in (9, 4, 2)]
    # the published digits; other noise moves the fourth one
    np.testing.assert_allclose(floors, [0.0236, 0.2816, 0.4676], atol=6e-4)


def test_labels_exist_at_three_levels_and_follow_the_blocks():
    labels = load().labels
    subtopic = np.repeat(np.arange(9), SAMPLES)
    np.testing.assert_array_equal(labels[0], subtopic)
    for level, groups in ((1, TOPICS), (2, SUPERTOPICS)):
        expected = [next(i for i, group in enumerate(groups) if b in group) for b in subtopic]
        np.testing.assert_array_equal(labels[level], expected)


@pytest.mark.parametrize("options", [{}, {"levels": [5.0, 3.0, 0.5]}, {"levels": [1.0, 0.0, 0.0]}])
def test_truth_reproduces_the_noise_free_data_exactly(options):
    dataset = load(noise=0.0, **options)
    A, S = dataset.truth.A, dataset.truth.S
    np.testing.assert_array_equal(A[0] @ S[0], dataset.X)
    for level in (1, 2):  # codes of a level are those of the level above, sorted in
        np.testing.assert_array_equal(A[level].T @ S[level - 1], S[level])
    np.testing.assert_array_equal(A[1] @ A[2], [[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 5)
    assert [a.shape for a in A] == [(87, 9), (9, 4), (4, 2)]
    np.testing.assert_array_equal(dataset.truth.feature_labels[0], np.repeat(np.arange(9), FEATURES))


def test_sizes_levels_and_hierarchy_are_options():
    dataset = load(
        feature_blocks=[2, 3, 1],
        sample_blocks=[1, 2, 4],
        topics=[0, 1, 1],
        supertopics=[0, 0],
        levels=[7.0, 5.0, 3.0],
        noise=0.0,
    )
    rows, columns = np.repeat([0, 1, 2], [2, 3, 1]), np.repeat([0, 1, 2], [1, 2, 4])
    blocks = np.array([[7.0, 3.0, 3.0], [3.0, 7.0, 5.0], [3.0, 5.0, 7.0]])
    np.testing.assert_array_equal(dataset.X, blocks[rows][:, columns])


def test_same_seed_same_data_other_seed_other_data():
    np.testing.assert_array_equal(load(4).X, load(4).X)
    assert not np.array_equal(load(4).X, load(5).X)
    assert load(4).fingerprint() == load(4).fingerprint()
    assert load(4).fingerprint() != load(5).fingerprint()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"noise": -0.1}, "dataset.noise"),
        ({"noise": float("nan")}, "dataset.noise"),
        ({"feature_blocks": [1, 2]}, "dataset.feature_blocks"),
        ({"sample_blocks": SAMPLES[:-1]}, "dataset.sample_blocks"),
        ({"sample_blocks": [0, *SAMPLES[1:]]}, r"dataset.sample_blocks\[0\]"),
        ({"feature_blocks": [-3, *FEATURES[1:]]}, r"dataset.feature_blocks\[0\]"),
        ({"topics": [0, 0, 1, 1, 2, 2, 4, 4, 4]}, "dataset.topics"),
        ({"topics": [-1, 0, 1, 1, 2, 2, 3, 3, 3]}, "dataset.topics"),
        ({"topics": []}, "dataset"),
        ({"supertopics": [0, 0, 1]}, "dataset.supertopics"),
        ({"supertopics": [0, 0, 2, 2]}, "dataset.supertopics"),
        ({"levels": [4.0, 2.0]}, "dataset.levels"),
        ({"levels": [4.0, -2.0, 1.0]}, r"dataset.levels\[1\]"),
    ],
)
def test_options_that_make_no_data_are_refused_by_name(options, named):
    with pytest.raises(InputError, match=named):
        load(**options)


def test_every_registered_source_is_named_as_it_is_registered():
    assert all(source.name == name for name, source in DATASETS.items())
