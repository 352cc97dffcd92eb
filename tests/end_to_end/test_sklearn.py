"""The estimators among scikit-learn's tools: its own checks, pipelines, searches."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from nnmf_runner import InputError, NeuralNMF
from tests.fixtures.matrices import MATRIX_ESTIMATORS

pytestmark = pytest.mark.slow


def small(kind):
    """An estimator for data of as few as two features, which those of the checks are."""
    return kind(layers=(2, 1)[: kind._method.most_layers])


# The checks warn of estimators that do without `sklearn.base.BaseEstimator`; these do on purpose.
WARNING = "Estimator .* does not inherit from"

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", WARNING)
    every_check = parametrize_with_checks([small(kind) for kind in MATRIX_ESTIMATORS.values()])


@every_check
@pytest.mark.filterwarnings(f"ignore:{WARNING}")
@pytest.mark.filterwarnings("ignore:.* samples are all zeros")  # as some of the checks of sparse data are
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def X():
    """Samples as rows, (48, 12): two blocks of two."""
    blocks = np.kron(np.eye(4), np.ones((12, 3))) * 3 + np.kron(np.eye(2), np.ones((24, 6)))
    return (blocks + 0.5 * np.random.default_rng(0).random((48, 12)))[np.random.default_rng(1).permutation(48)]


@pytest.fixture(scope="module")
def y(X):
    return np.where(X[:, :6].sum(axis=1) > X[:, 6:].sum(axis=1), "left", "right")


def test_a_pipeline_of_texts_predicts_from_their_words():
    texts = ["orbit moon launch", "moon orbit rocket", "goal puck rink", "puck rink skate"] * 3
    pipeline = make_pipeline(TfidfVectorizer(), NeuralNMF(layers=(4, 2), random_state=0))
    pipeline.fit(texts, ["space", "space", "ice", "ice"] * 3)
    assert pipeline.predict(["the launch of a rocket", "goal, skate!"]).tolist() == ["space", "ice"]
    assert pipeline.transform(["nothing known"]).tolist() == [[0.0, 0.0]]
    assert pipeline.score(texts, ["space", "space", "ice", "ice"] * 3) == 1.0


@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
def test_a_pipeline_learns_from_codes_that_look_like_those_of_new_data(kind, X, y):
    pipeline = make_pipeline(small(kind).set_params(random_state=0, max_iter=100), LogisticRegression())
    assert pipeline.fit(X[:36], y[:36]).score(X[36:], y[36:]) == 1.0
    assert clone(pipeline).get_params().keys() == pipeline.get_params().keys()


def test_a_pipeline_to_a_regression_leaves_its_targets_out(X):
    target = X[:, 0] + 0.1
    model = NeuralNMF(layers=(4,), random_state=0, max_iter=100)
    with pytest.raises(InputError, match="label_weight=None leaves y out"):
        make_pipeline(model, Ridge()).fit(X, target)
    pipeline = make_pipeline(model.set_params(label_weight=None), Ridge(alpha=0.01))
    assert pipeline.fit(X, target).score(X, target) > 0.9
    names = pipeline[:-1].get_feature_names_out()
    assert list(names) == [f"neuralnmf{i}" for i in range(4)]


@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
def test_a_pipeline_gives_data_frames_on_request(kind, X, y):
    frame = pd.DataFrame(X, index=[f"text {i}" for i in range(48)], columns=[f"word{i}" for i in range(12)])
    model = small(kind).set_params(random_state=0, max_iter=20)
    pipeline = make_pipeline(MinMaxScaler(), clone(model), FunctionTransformer()).set_output(transform="pandas")
    codes = pipeline.fit(frame, y).transform(frame[5:9])
    names = [f"{kind.__name__.lower()}{i}" for i in range(len(codes.columns))]
    assert (list(codes.columns), list(codes.index)) == (names, [f"text {i}" for i in range(5, 9)])
    assert list(pipeline[:2].get_feature_names_out(frame.columns)) == names
    plain = make_pipeline(MinMaxScaler(), model).fit(frame, y).transform(frame[5:9])
    np.testing.assert_array_equal(codes, plain)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(model.fit(X).transform(X), pd.DataFrame)
        assert isinstance(model.set_output(transform="default").transform(X), np.ndarray)
        assert isinstance(clone(model).fit_transform(X), np.ndarray)  # which was chosen for it
    with sklearn.config_context(transform_output="polars"), pytest.raises(InputError, match="transform_output=polars"):
        small(kind).set_params(max_iter=20).fit_transform(X)


def test_a_pipeline_passes_a_mask_on(X, y):
    mask = np.random.default_rng(2).random(X.shape) < 0.9
    pipeline = make_pipeline(NeuralNMF(layers=(4,), random_state=0, max_iter=100), LogisticRegression())
    pipeline.fit(np.where(mask, X, 99.0), y, neuralnmf__mask=mask)
    assert pipeline.score(np.where(mask, X, np.nan), y) == 1.0


def test_a_search_finds_the_rank_by_the_error_on_samples_left_out(X):
    model = NeuralNMF(random_state=0, max_iter=200)
    search = GridSearchCV(model, {"layers": [(1,), (2,), (4,)]}, cv=3, error_score="raise").fit(X)
    assert search.best_params_ == {"layers": (4,)}
    assert search.best_score_ == pytest.approx(-0.08, abs=0.05)  # noise of 0.14 beside entries of 4, 1 and 0


def test_a_search_over_the_weight_of_the_labels_goes_by_accuracy(X, y):
    grid = {"label_weight": [0.0, 0.1], "layers": [(4, 2), (2,)]}
    search = GridSearchCV(NeuralNMF(random_state=0, max_iter=100), grid, cv=3, error_score="raise").fit(X, y)
    assert set(search.cv_results_["mean_test_score"]) <= set(np.linspace(0, 1, 49))  # shares of 48 samples
    assert search.best_score_ == 1.0
    assert set(search.predict(X)) == {"left", "right"}


@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
def test_labels_of_several_levels_pass_through_pipelines_and_searches(kind, X, y):
    levels = np.column_stack([X.reshape(48, 4, 3).sum(axis=2).argmax(axis=1), y == "left"]).astype(int)
    model = kind(layers=(4, 2)[: kind._method.most_layers], random_state=0, max_iter=100)
    pipeline = make_pipeline(clone(model), KNeighborsClassifier(3)).fit(X[:36], levels[:36])
    assert pipeline.predict(X[36:]).shape == (12, 2)
    grid = {"label_weight": [0.1, 1.0]}
    if "label_levels" in model.get_params():
        grid["label_levels"] = ["auto", "last", [0, 1]]
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, levels)
    assert search.best_score_ > (0.6 if kind.__name__ == "DeepNMF" else 0.9)  # 0.375 by chance
    assert search.predict(X).shape == (48, 2)


def test_scikit_learn_knows_what_is_fitted(X):
    model = NeuralNMF(layers=(2,), random_state=0, max_iter=5)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError, match="not fitted") as caught:
        model.transform(X)
    assert isinstance(caught.value, InputError)
    check_is_fitted(model.fit(X))
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(model))
