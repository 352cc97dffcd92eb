"""tf-idf of counts: by its definition, of any kind of matrix, and what is no counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.text.words import Documents
from nnmf_runner.datasets.weighting import Weights, check_weighting, tfidf
from tests.datasets.text.test_words import Given

# The third sample holds nothing, and nothing holds the fourth feature.
COUNTS = np.array([[3, 0, 0, 1], [1, 2, 0, 1], [0, 5, 0, 0], [0, 0, 0, 0]])


@pytest.fixture(autouse=True)
def _needs_sklearn():
    pytest.importorskip("sklearn")


def by_definition(counts, idf=True, norm="l2", sublinear=False):
    weights = np.array(counts, float)
    if sublinear:
        weights[weights > 0] = 1 + np.log(weights[weights > 0])
    if idf:
        weights *= np.log((1 + weights.shape[1]) / (1 + (weights > 0).sum(axis=1, keepdims=True))) + 1
    length = {"l1": weights.sum(axis=0), "l2": np.sqrt((weights**2).sum(axis=0)), None: np.ones(weights.shape[1])}[norm]
    return weights / np.where(length > 0, length, 1)


@pytest.mark.parametrize("kind", [np.array, sparse.csr_array, sparse.csc_matrix, lambda X: np.asfortranarray(X, float)])
@pytest.mark.parametrize(
    "options",
    [{}, {"idf": False}, {"norm": "l1"}, {"norm": None}, {"sublinear": True}, {"idf": False, "norm": None}],
    ids=str,
)
def test_weights_are_tf_idf_by_its_definition_in_a_matrix_of_the_same_kind(kind, options):
    X = kind(COUNTS)
    found, _ = tfidf(X, Weights(**options), "X")
    assert sparse.issparse(found) == sparse.issparse(X)
    np.testing.assert_allclose(
        found.toarray() if sparse.issparse(found) else found, by_definition(COUNTS, **options), rtol=1e-14
    )
    np.testing.assert_array_equal(X.toarray() if sparse.issparse(X) else X, COUNTS)


def test_stored_zeros_and_repeated_entries_of_a_sparse_matrix_make_no_difference():
    stored = sparse.csr_array((COUNTS.ravel(), np.tile(range(4), 4), range(0, 17, 4)), COUNTS.shape)
    halves = np.concatenate([[0.5, 2.5], COUNTS.ravel()[1:]])
    repeated = sparse.csr_array((halves, [0, *np.tile(range(4), 4)], [0, 5, 9, 13, 17]), COUNTS.shape)
    for X in (stored, repeated):
        for options in ({}, {"sublinear": True}):
            found, _ = tfidf(X, Weights(**options), "X")
            np.testing.assert_allclose(found.toarray(), by_definition(COUNTS, **options), rtol=1e-14)


def test_counts_of_texts_get_the_weights_that_texts_have(tmp_path):
    documents = Documents(["red red blue", "blue", "green red"], [["a", "b", "a"]])
    plain = Given(cache=str(tmp_path), idf=False, norm=None, sublinear=False).weighted(lambda: documents)
    for options in ({}, {"norm": "l1", "sublinear": True}):
        weighted = Given(cache=str(tmp_path), **options).weighted(lambda: documents)
        found, _ = tfidf(plain.X, Weights(**options), "X")
        np.testing.assert_allclose(found.toarray(), weighted.X.toarray(), rtol=1e-14)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf])
@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
def test_what_is_no_count_is_refused_with_its_place(value, kind):
    X = COUNTS.astype(float)
    X[2, 1] = value
    with pytest.raises(InputError, match=rf"a\.npy: X holds {value:g} for feature 2 of sample 1 .* whole numbers"):
        tfidf(kind(X), Weights(), "dataset.path=a.npy: X")


@dataclass
class Source(Weights):
    """One that has a weighting, as that of files."""

    weighting: str | None = None

    def __post_init__(self):
        super().__post_init__()
        check_weighting(self.weighting, self)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "max"}, r"dataset\.norm=max is not known. Expected one of: l1, l2"),
        ({"idf": "yes"}, r"dataset\.idf=yes is not valid"),
        ({"weighting": "tf-idf"}, r"dataset\.weighting=tf-idf is not known.*tfidf"),
        ({"sublinear": True}, r"dataset\.sublinear=True changes nothing .* Expected dataset\.weighting=tfidf"),
        ({"norm": None}, r"dataset\.norm=None changes nothing"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Source(**options)


def test_options_with_a_weighting_and_defaults_without_one_are_good():
    assert Source().weighting is None
    assert Source(weighting="tfidf", sublinear=True, norm=None).sublinear


def test_counts_get_the_idf_of_other_samples():
    idf = np.array([1.0, 2.0, 0.5, 3.0])
    found, same = tfidf(COUNTS, Weights(norm=None), "X", idf)
    np.testing.assert_allclose(found, COUNTS * idf[:, None])
    assert same is idf
    assert tfidf(COUNTS, Weights(idf=False), "X")[1] is None


def test_a_source_of_weights_becomes_one_of_counts_unless_it_weighs_in_another_way(tmp_path):
    recipe = {"idf": True, "norm": "l1", "sublinear": False, "lowercase": False, "stop_words": ["a"]}
    counts = Given(norm="l1", stop_words=["a"], cache=str(tmp_path)).as_counts(recipe)
    assert (counts.idf, counts.norm, counts.lowercase, counts.stop_words) == (False, None, False, ["a"])
    assert (counts.min_df, counts.keep_empty, counts.cache) == (1, True, str(tmp_path))
    assert File(path="a", weighting="tfidf", norm="l1").as_counts(recipe) == File(path="a")
    for source, said in [
        (Given(norm=None), r"dataset\.norm=None is not as in the fit, where it is l1"),
        (Given(stop_words=["b"]), r"dataset\.stop_words=\['b'\] is not"),
        (Given(max_features=5), r"dataset\.max_features=5 chooses words"),
        (File(path="a", weighting="tfidf", sublinear=True), r"dataset\.sublinear=True is not"),
    ]:
        with pytest.raises(InputError, match=said):
            source.as_counts(recipe)


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(InputError, match=r"pip install 'nnmf-runner\[text\]'"):
        tfidf(COUNTS, Weights(), "X")
