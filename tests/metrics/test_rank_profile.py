"""Profiles of ranks: what follows from fits on parts of the data, in words and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.metrics.rank_profile import BICROSS, HALVES, SPECTRUM, Pair, make_profile

RANKS = [2, 3, 4, 5]


def profile_of(X, best=(3,), enough=3, below=2.0):
    """A profile whose halves agree at the best ranks, and whose error is as good as the lowest from `enough` on."""
    rng = np.random.default_rng(0)
    pairs = {}
    for rank in RANKS:
        A = rng.random((X.shape[0], rank))
        pairs[rank] = [Pair(A, A if rank in best else rng.random(A.shape)) for _ in range(2)]
    errors = {rank: [0.5, 0.51] if rank >= enough else [1.0, 1.01] for rank in RANKS}
    return make_profile(X, None, pairs.items(), {1: [below], **errors}, 2)


@pytest.fixture
def X(rng):
    """Data of rank three but for a little noise."""
    return rng.random((12, 3)) @ rng.random((3, 14)) + 1e-3 * rng.random((12, 14))


def test_where_all_agree_the_verdict_can_be_pasted(X):
    profile = profile_of(X)
    assert (profile.layers, profile.verdict) == ([3], "layers=3")
    assert profile.threshold_rank == 3


def test_where_they_do_not_the_verdict_says_what_each_says(X):
    profile = profile_of(X, best=(2, 4))
    assert profile.layers == []
    assert profile.verdict == "undecided: split halves 2-4, spectrum 3, bi-cross-validation 3"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"enough": 5}, "5 or more"), ({"below": 0.5}, "no more than 1"), ({}, "3")],
)
def test_what_bi_cross_validation_says(X, options, said):
    assert profile_of(X, **options).proposals[BICROSS] == said


def test_no_peak_is_called_none(X):
    assert profile_of(X, best=RANKS).proposals[HALVES] == "none"


def test_every_rank_has_its_scores_its_votes_and_a_reason(X):
    rows = profile_of(X).rows()
    assert [row["rank"] for row in rows] == RANKS
    third = rows[1]
    assert third["agree"] == [HALVES, SPECTRUM, BICROSS]
    assert third["halves_cosine"] == pytest.approx(1.0)
    assert third["left_out_error"] == pytest.approx(0.505)
    assert third["reason"] == (
        "chosen: peak of the split halves, peak of the spectrum, "
        "first rank whose error is within one standard error of the lowest"
    )
    assert rows[0]["reason"] == "not proposed: no criterion stands out here"
    assert rows[3]["reason"] == "not proposed: error within one standard error of the lowest"


def test_floors_are_the_tails_of_the_spectrum(X):
    sigma = np.linalg.svd(X, compute_uv=False)
    expected = [np.sqrt((sigma[rank:] ** 2).sum()) / np.linalg.norm(X) for rank in RANKS]
    np.testing.assert_allclose([row["floor"] for row in profile_of(X).rows()], expected, atol=1e-12)


def test_all_of_it_is_json(X):
    found = json.loads(json.dumps(profile_of(X).as_dict(), allow_nan=False))
    assert found["layers"] == [3]
    assert len(found["ranks"]) == len(RANKS)


def test_sparse_data_have_the_same_profile_but_for_the_threshold(X):
    thin, dense = profile_of(sparse.csr_array(X)), profile_of(X)
    np.testing.assert_allclose(thin.criteria.ratios, dense.criteria.ratios, rtol=1e-6)
    assert thin.verdict == dense.verdict
    assert thin.threshold_rank is None


def test_missing_entries_are_left_out_of_the_codes():
    """The first sample is of the second topic by the first fit and its known entries alone."""
    X = np.array([[0.9, 1.0], [0.0, 0.0], [1.0, 0.0]])
    mask = np.array([[True, True], [False, True], [True, True]])
    pair = Pair(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    known, taken_for_zero = (make_profile(X, given, [(2, [pair])], {2: [0.5]}) for given in (mask, None))
    assert known.stability[0].dispersion == pytest.approx(0.5)
    assert taken_for_zero.stability[0].dispersion == pytest.approx(1.0)


def test_corners_of_zeros_are_left_out_but_not_all_of_them(X):
    pairs = {rank: [Pair(*[np.ones((12, rank))] * 2)] for rank in RANKS}
    found = make_profile(X, None, pairs.items(), {rank: [None, 0.5, 0.6] for rank in RANKS}, 3)
    assert found.criteria.errors.values[0] == pytest.approx(0.55)
    with pytest.raises(InputError, match="only zeros in the corners"):
        make_profile(X, None, pairs.items(), {rank: [None] for rank in RANKS}, 3)
