"""The choice of ranks in Python, and that the command line makes the same one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner import HierarchicalNMF, InputError, NonnegativeCP, SemiNMF, rank_profile
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets.generated.planted import Planted

COARSE = HierarchicalNMF(tol=1e-2, max_iter=200, random_state=0)


@pytest.fixture(scope="module")
def X():
    """Samples of four topics in two groups."""
    return Planted(branching=[2, 2], features=40, samples=48, noise=0.5).load(stream(0, "data")).X.T


@pytest.fixture(scope="module")
def profile(X):
    return rank_profile(X, range(2, 8), COARSE)


def test_the_planted_hierarchy_is_found(profile):
    assert profile.layers == [4, 2]
    assert profile.verdict == "layers=4-2"


@pytest.mark.slow
def test_the_ranks_may_come_in_any_order_and_form(X, profile):
    assert rank_profile(X, np.array([7, 6, 5, 4, 3, 2, 2]), COARSE).as_dict() == profile.as_dict()


def test_the_estimator_stays_as_it_is(X, profile):
    assert COARSE.layers == HierarchicalNMF().layers
    assert not hasattr(COARSE, "factors_")


@pytest.mark.slow
def test_sparse_data_have_the_same_choice(X, profile):
    thin = rank_profile(sparse.csr_array(X), range(2, 8), COARSE)
    assert thin.layers == profile.layers
    np.testing.assert_allclose(thin.criteria.errors.values, profile.criteria.errors.values, rtol=1e-4)


@pytest.mark.slow
def test_missing_entries_are_left_out(X, rng):
    mask = rng.random(X.shape) > 0.05
    estimator = HierarchicalNMF(solver="mu", tol=1e-2, max_iter=20, random_state=0)
    hidden, filled = (rank_profile(np.where(mask, X, value), range(2, 5), estimator, mask=mask) for value in (0.0, 9.0))
    assert hidden.as_dict() == filled.as_dict()


@pytest.mark.slow
def test_data_of_any_sign_have_a_profile(X):
    found = rank_profile(X - X.mean(), range(2, 5), SemiNMF(tol=1e-2, max_iter=30, random_state=0))
    assert len(found.rows()) == 3


@pytest.mark.slow
def test_noise_has_no_levels(rng):
    """Not even one of two topics: a single one predicts as well."""
    found = rank_profile(rng.random((48, 40)), range(2, 8), COARSE)
    assert found.layers == []


@pytest.mark.slow
def test_the_command_line_makes_the_same_choice(X, profile, command, tmp_path):
    planted = ["dataset=planted", "dataset.branching=[2,2]", "dataset.features=40", "dataset.samples=48"]
    result = command(
        "ranks=2..7", *planted, "dataset.noise=0.5", "tol=1e-2", "max_iter=200", "workers=1", program="nnmf-rank"
    )
    assert (result.status, result.out.splitlines()[-1]) == (0, "layers=4-2")
    found = json.loads((tmp_path / "outputs" / "ranks" / "report" / "ranks.json").read_text())
    assert (found["dataset"], found["layers"]) == ("planted", [4, 2])
    for theirs, ours in zip(found["ranks"], profile.rows(), strict=True):
        words = [(row.pop("agree"), row.pop("reason")) for row in (theirs, ours)]
        assert words[0] == words[1]
        assert theirs == pytest.approx(ours, rel=1e-9)


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        ([], r"ranks=\[\] holds no rank"),
        (range(5, 2), r"ranks=\[\] holds no rank. Expected several integers, such as range\(2, 21\)"),
        ("2..5", "ranks=2..5 is not valid. Expected several integers"),
        (7, "ranks=7 is not valid. Expected several integers"),
        ([2, 3], "Expected at least 3"),
        ([1, 2, 3], r"ranks\[0\]=1"),
        ([2, 3.5, 4], r"ranks\[1\]=3.5"),
        (range(2, 99), "ranks go up to 98, .* Expected ranks of at most 24."),
    ],
)
def test_ranks_that_cannot_be_compared_are_refused(X, ranks, said):
    with pytest.raises(InputError, match=said):
        rank_profile(X, ranks)


@pytest.mark.parametrize(
    ("estimator", "said"), [(HierarchicalNMF, "the class HierarchicalNMF"), ("hier", "of type str"), (3, "of type int")]
)
def test_what_is_no_estimator_is_refused(X, estimator, said):
    with pytest.raises(InputError, match=f"estimator is {said}. Expected one of nnmf_runner"):
        rank_profile(X, range(2, 5), estimator)


def test_seed_words_are_refused_since_parts_of_the_data_lack_some(X):
    with pytest.raises(InputError, match=r"seed_words names features, .* Expected None"):
        rank_profile(X, range(2, 5), HierarchicalNMF(seed_words={"space": ["orbit"]}))


def test_data_that_cannot_be_factored_are_refused(X):
    with pytest.raises(InputError, match="nonnegative"):
        rank_profile(-X, range(2, 5))
    with pytest.raises(InputError, match="solver=mu"):
        rank_profile(np.where(X > 2.0, np.nan, X), range(2, 5))
    with pytest.raises(InputError, match="NonnegativeCP is for tensors"):
        rank_profile(np.ones((9, 4, 5)), range(2, 5), NonnegativeCP())
