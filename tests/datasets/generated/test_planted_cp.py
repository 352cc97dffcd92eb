"""Planted CP hierarchies: exact ranks, dense and sparse, in any order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.generated.planted_cp import PlantedCP

SIZES = {3: [8, 9, 10], 4: [8, 9, 10, 11], 5: [8, 8, 8, 9, 8]}


def load(seed=0, **options):
    return PlantedCP(**options).load(np.random.default_rng(seed))


def full(factors):
    """The tensor of a CP model."""
    found = factors[0]
    for factor in factors[1:]:
        found = found[..., None, :] * factor
    return found.sum(axis=-1)


@pytest.mark.parametrize("order", SIZES)
def test_the_clean_tensor_is_that_of_its_factors(order):
    dataset = load(sizes=SIZES[order])
    leaves = dataset.tensor_truth.factors[0]
    assert [len(factor) for factor in leaves] == SIZES[order]
    np.testing.assert_allclose(dataset.X.reshape(SIZES[order]), full(leaves), rtol=1e-12)
    assert np.linalg.matrix_rank(dataset.X) == 8


def test_topics_are_sums_of_those_below():
    truth = load(branching=[2, 3]).tensor_truth
    assert [[factor.shape[1] for factor in factors] for factors in truth.factors] == [[6] * 3, [2] * 3]
    for (below, above), parents in zip(itertools.pairwise(truth.factors), truth.parents, strict=True):
        for mode in range(3):
            for topic in range(above[mode].shape[1]):
                expected = below[mode][:, parents == topic].sum(axis=1)
                np.testing.assert_allclose(above[mode][:, topic], expected, rtol=1e-14)


def test_labels_are_the_topics_that_weigh_most_in_a_sample():
    dataset = load()
    assert dataset.classes == [8, 4, 2]
    for labels, factors in zip(dataset.labels, dataset.tensor_truth.factors, strict=True):
        np.testing.assert_array_equal(labels, factors[-1].argmax(axis=1))


def test_noise_has_the_root_mean_square_that_is_asked_for():
    clean, noisy = load().X, load(noise=0.5).X
    assert (noisy >= clean).all()
    assert np.linalg.norm(noisy - clean) / np.linalg.norm(clean) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("order", SIZES)
def test_sparse_tensors_count_draws_of_entries(order):
    dataset = load(sizes=SIZES[order], density=0.5)
    assert sparse.issparse(dataset.X)
    assert dataset.X.format == "csc"
    assert dataset.X.has_canonical_format
    assert dataset.X.shape == (np.prod(SIZES[order][:-1]), SIZES[order][-1])
    assert dataset.X.sum() == round(0.5 * np.prod(SIZES[order]))
    assert set(dataset.X.data % 1) == {0.0}


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_entries_are_drawn_in_proportion_to_the_clean_tensor(noise):
    options = {"sizes": [8, 8, 8], "branching": [2, 2], "noise": noise}
    dense = load(**options | {"noise": 0.0})
    source, rng = PlantedCP(**options, density=1.0), np.random.default_rng(0)
    total = sum(source._sparse(dense.tensor_truth.factors[0], rng).toarray() for _ in range(400))
    share = 1.0 / (1.0 + noise)
    expected = total.sum() * (share * dense.X / dense.X.sum() + (1.0 - share) / dense.X.size)
    possible = expected > 0
    assert not total[~possible].any()
    z = (total - expected)[possible] / np.sqrt(expected[possible])
    assert total.sum() == 400 * 512
    assert np.abs(z).max() < 5.0
    assert np.mean(z**2) == pytest.approx(1.0, abs=0.2)


def test_a_tensor_may_have_more_fibres_than_any_array():
    dataset = load(sizes=[2**12] * 5 + [50], density=1e-16)
    assert dataset.X.shape == (2**60, 50)
    assert 0 < dataset.X.nnz <= round(1e-16 * 2**60 * 50)


def test_one_seed_gives_one_tensor():
    for options in ({}, {"density": 0.1}):
        assert load(**options).fingerprint() == load(**options).fingerprint()
        assert load(**options).fingerprint() != load(seed=1, **options).fingerprint()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"branching": []}, r"dataset.branching=\[\] is not valid"),
        ({"branching": [2, 1]}, r"dataset.branching\[1\]=1 is not valid"),
        ({"sizes": [9, 9]}, "Expected at least 3 modes"),
        ({"sizes": [9, 7, 9]}, r"dataset.sizes\[1\]=7 is not valid. Expected an integer in \[8, "),
        ({"noise": -0.1}, "dataset.noise=-0.1 is not valid"),
        ({"density": 0.0}, "dataset.density=0.0 is not valid"),
        ({"density": 1e-9}, "has 0 entries"),
        ({"sizes": [2000] * 3}, "has 8000000000 entries. Expected 1 to 1000000000"),
        ({"sizes": [10**7] * 4, "density": 1e-20}, r"is too large. Expected at most 2\*\*62 fibres"),
    ],
)
def test_what_is_no_such_tensor_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        PlantedCP(**options)
