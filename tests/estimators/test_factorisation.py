"""Estimators: conventions, orientation, prediction, refusals, determinism."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
import subprocess
import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import nnmf_runner
from nnmf_runner import DeepNMF, HierarchicalNMF, InputError, NeuralNMF, SparseCodingNMF, estimators, nnls
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.optimizers import OPTIMIZERS, StochasticGradient
from nnmf_runner.store.start import INITIALISATIONS
from tests.fixtures.matrices import MATRIX_ESTIMATORS

ESTIMATORS = [NeuralNMF, HierarchicalNMF, DeepNMF]


def fitted(kind, X, y=None, **params):
    return kind(**{"layers": (4, 2), "max_iter": 200, "random_state": 0, **params}).fit(X, y)


@pytest.fixture(scope="module")
def X():
    """Samples as rows, (24, 15): four blocks inside two."""
    blocks = np.kron(np.eye(4), np.ones((6, 3))) * 3 + np.kron(np.eye(2), np.ones((12, 6)))
    X = np.hstack([blocks, np.ones((24, 3))]) + 0.05 * np.random.default_rng(0).random((24, 15))
    X.flags.writeable = False  # no estimator may change its data
    return X


@pytest.fixture(scope="module")
def y():
    """The larger blocks under names that are no indices; one in three is known."""
    return np.where(np.arange(24) % 3 == 0, np.where(np.arange(24) < 12, 7, 3), -1)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_parameters_are_kept_as_given_and_settable(kind):
    model = kind(layers=[3, 2], tol=1e-3)
    params = model.get_params()
    assert params["layers"] == [3, 2]
    assert params["layers"] is model.layers
    assert kind(**params).get_params() == params
    assert model.set_params(tol=0.5, max_iter=3) is model
    assert (model.tol, model.max_iter) == (0.5, 3)
    assert repr(model).startswith(f"{kind.__name__}(layers=[3, 2], ")
    with pytest.raises(InputError, match=r"parameter=max_itr.*Did you mean 'max_iter'"):
        model.set_params(max_itr=3)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a text"], "X holds texts, and this model has no vocabulary to count their words by"),
        (np.array(["a", "b"]), "X holds texts, and"),
        (pd.Series(["a", "b"]), "X holds texts, and"),
        ("a text", "X is one text, expected a list of texts"),
        (["a", None], r"X\[1\] is of type NoneType among texts, expected a text"),
        ([], "X"),
    ],
)
def test_texts_are_for_models_of_text(X, y, texts, said):
    model = fitted(HierarchicalNMF, X, y)
    for meets in (model.transform, model.predict, model.score):
        with pytest.raises(InputError, match=said) as caught:
            meets(texts)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_scikit_learn_can_clone_them(kind, X):
    base = pytest.importorskip("sklearn.base")
    model = fitted(kind, X)
    copy = base.clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "factors_")


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_shapes_and_orientation(kind, X, y):
    model = kind(layers=(4, 2), max_iter=50, random_state=0)
    assert model.fit(X, y) is model
    assert [A.shape for A in model.factors_] == [(15, 4), (4, 2)]
    assert [S.shape for S in model.codes_] == [(24, 4), (24, 2)]
    assert model.components_.shape == (2, 15)
    assert model.label_map_.shape == (2, 2)
    assert model.n_features_in_ == 15
    np.testing.assert_array_equal(model.classes_, [3, 7])
    fits = np.count_nonzero(np.asarray(model.history_["iteration"]) == 0)  # of single layers, and of all together
    assert {len(column) for column in model.history_.values()} == {model.n_iter_ + fits}
    assert {"cost", "projected_gradient", "seconds"} <= model.history_.keys()
    assert model.fit_transform(X, y).shape == (24, 2)
    assert all((array >= 0).all() for array in [*model.factors_, *model.codes_, model.components_])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_codes_times_components_approximate_the_samples(kind, X):
    model = fitted(kind, X, layers=(5, 4), max_iter=3000)
    np.testing.assert_allclose(model.components_, (model.factors_[0] @ model.factors_[1]).T)
    # four blocks and a constant: four topics leave noise of 0.05 and little else
    assert np.linalg.norm(X - model.codes_[-1] @ model.components_) / np.linalg.norm(X) < 0.05


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_predict_finds_the_classes_by_their_own_names(kind, X, y):
    model = fitted(kind, X, y)
    np.testing.assert_array_equal(model.predict(X), np.where(np.arange(24) < 12, 7, 3))
    np.testing.assert_array_equal(model.predict(X[[0, 23]]), [7, 3])


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("unlabelled", [None, "all unknown"])
def test_without_labels_there_is_nothing_to_predict(kind, X, unlabelled):
    model = fitted(kind, X, None if unlabelled is None else np.full(24, -1))
    assert model.label_map_ is None
    assert model.transform(X).shape == (24, 2)
    with pytest.raises(InputError, match="without labels"):
        model.predict(X)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_fitting_again_without_labels_forgets_them(kind, X, y):
    model = fitted(kind, X, y).fit(X)
    assert model.label_map_ is None
    assert not hasattr(model, "classes_")


def test_transform_of_the_same_data_gives_the_codes(X):
    model = fitted(NeuralNMF, X, max_iter=2000)
    # the codes are the exact solution for the factors, whatever has been iterated
    np.testing.assert_allclose(model.transform(X), model.codes_[-1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_transform_treats_every_sample_alone(kind, X):
    model = fitted(kind, X)
    new = X[[3, 17]] + 0.01
    np.testing.assert_allclose(model.transform(new)[1:], model.transform(new[1:]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_sparse_and_lists_are_as_good_as_arrays(kind, X, y):
    dense = fitted(kind, X, y, max_iter=10)
    for same in (sparse.csr_array(X), sparse.coo_array(X), X.tolist(), np.asfortranarray(X)):
        codes = fitted(kind, same, list(y), max_iter=10).codes_[-1]
        np.testing.assert_allclose(codes, dense.codes_[-1], rtol=1e-6, atol=1e-9)  # other orders of summation
    np.testing.assert_allclose(dense.transform(sparse.csr_array(X)), dense.transform(X), rtol=1e-6, atol=1e-9)


def test_sparse_data_meet_the_blocks_of_columns_that_dense_data_meet(X, y):
    chosen = {"optimizer": StochasticGradient(batch=5), "max_iter": 3}
    dense, thin = fitted(NeuralNMF, X, y, **chosen), fitted(NeuralNMF, sparse.coo_array(X), y, **chosen)
    for a, b in zip(thin.factors_, dense.factors_, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * b.max())


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_same_random_state_gives_the_same_result(kind, X, y):
    one, two = (fitted(kind, X, y, init="random", max_iter=20) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one.factors_, two.factors_, strict=True))
    other = fitted(kind, X, y, init="random", max_iter=20, random_state=1)
    assert not np.array_equal(one.factors_[0], other.factors_[0])
    generators = [fitted(kind, X, init="random", random_state=np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(generators[0].factors_[0], generators[1].factors_[0])


def broken(X, change):
    X = X.copy()
    return {
        "negative": lambda: X - 1.0,
        "missing": lambda: np.full_like(X, np.nan),
        "infinite": lambda: np.where(np.arange(X.size).reshape(X.shape) == 7, np.inf, X),
        "text": lambda: X.astype(str),
        "objects": lambda: np.where(np.arange(X.size).reshape(X.shape) == 7, {}, X),
        "words": lambda: np.where(np.arange(X.size).reshape(X.shape) == 7, "seven", X.astype(object)),
        "complex": lambda: X + 1j,
        "ragged": lambda: [[1.0, 2.0], [3.0]],
        "zeros": lambda: np.zeros_like(X),
        "empty": lambda: X[:0],
        "vector": lambda: X[0],
        "nothing": lambda: None,
        "sparse nan": lambda: sparse.csr_array(np.where(np.arange(X.size).reshape(X.shape) == 7, np.nan, X)),
    }[change]()


CHANGES = [
    "negative",
    "missing",
    "infinite",
    "text",
    "objects",
    "words",
    "complex",
    "ragged",
    "zeros",
    "empty",
    "vector",
    "nothing",
    "sparse nan",
]


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("change", CHANGES)
def test_bad_data_are_refused_in_one_line_by_name(kind, X, change):
    refusals = [
        lambda: kind(layers=(4, 2)).fit(broken(X, change)),
        lambda: fitted(kind, X).transform(broken(X, change)),
    ]
    for refused in refusals[: 1 if change in ("missing", "zeros") else 2]:  # samples without a word have codes
        with pytest.raises(InputError, match=r"^X ") as caught:
            refused()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(23, int), "y has shape"),
        (np.zeros((24, 2, 2), int), r"y has shape \(24, 2, 2\), expected one or two dimensions"),
        (np.zeros((23, 2), int), r"y has shape \(23, 2\), expected \(24,\) or \(24, n_levels\)"),
        (np.zeros((24, 0), int), r"y has shape \(24, 0\)"),
        (np.zeros((24, 2), int), r"y\[:, 0\] has one class, 0"),
        (np.c_[np.arange(24) % 2, np.full(24, 0.5)], r"y\[:, 1\] is of type float64"),
        (3, r"y has shape \(\)"),
        ([[1, 2], [3]], "y has rows of different lengths"),
        (np.zeros(24, int), "y has one class"),
        (np.where(np.arange(24) < 3, 5, -1), "y has one class, 5"),
        (np.full(24, 0.5), "y is of type float64"),
        (np.where(np.arange(24) < 12, np.nan, 1.0), "y has one class, 1"),
        (np.where(np.arange(24) < 12, np.inf, 1.0), "y is of type float64"),
        (np.full(24, "a"), "y has one class, a"),
        (np.full(24, {}), "y is of type object"),
        (np.full(24, b"a"), r"y is of type \|S1"),
        (np.full(24, "2020-01-01", "M8[D]"), "y is of type datetime64"),
        ([np.arange(i % 2 + 1) for i in range(24)], "y has rows of different lengths"),
        (np.array(["a", 1] * 12, object), "y is of type object, expected class labels"),
        (np.full(24, 1j), "y is of type complex128"),
    ],
)
def test_bad_labels_are_refused(kind, X, y, message):
    with pytest.raises(InputError, match=message):
        kind(layers=(4, 2)).fit(X, y)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_unfitted_and_other_features_are_refused(kind, X):
    for call in (kind().transform, kind().predict):
        with pytest.raises(InputError, match="not fitted"):
            call(X)
    with pytest.raises(InputError, match=f"X has 14 features, but {kind.__name__} is expecting 15"):
        fitted(kind, X).transform(X[:, :14])


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"layers": ()}, "layers"),
        ({"layers": (4, 0)}, r"layers\[1\]=0"),
        ({"layers": (4, -2)}, r"layers\[1\]=-2"),
        ({"layers": (4.5,)}, r"layers\[0\]=4.5"),
        ({"layers": (2, 4)}, r"layers\[1\]=4 exceeds"),
        ({"layers": (16,)}, r"layers\[0\]=16 exceeds 15"),
        ({"layers": None}, "layers"),
        ({"init": "nndsdv"}, "init=nndsdv.*Did you mean 'nndsvd'"),
        ({"tol": -1.0}, "tol=-1"),
        ({"tol": "small"}, "tol=small"),
        ({"max_iter": 1.5}, "max_iter=1.5"),
        ({"label_weight": -1.0}, "weight=-1"),
        ({"random_state": -1}, "random_state"),
        ({"random_state": "seed"}, "random_state"),
    ],
)
def test_bad_parameters_are_refused_by_name(kind, X, params, named):
    with pytest.raises(InputError, match=named):
        fitted(kind, X, **params)


@pytest.mark.parametrize(
    ("kind", "params", "named"),
    [
        (NeuralNMF, {"cost": "energi"}, "cost=energi.*Did you mean 'energy'"),
        (NeuralNMF, {"optimizer": "bfgs"}, "optimizer=bfgs.*Did you mean 'lbfgs'"),
        (NeuralNMF, {"label_loss": "hinge"}, "loss=hinge"),
        (HierarchicalNMF, {"solver": "cd"}, "solver=cd"),
        (DeepNMF, {"pooling": "median"}, "pooling=median"),
        (DeepNMF, {"activation": "relu"}, "activation=relu"),
        (DeepNMF, {"exponent": 0.0}, "exponent=0"),
    ],
)
def test_bad_options_of_one_method_are_refused_by_name(X, kind, params, named):
    with pytest.raises(InputError, match=named):
        fitted(kind, X, **params)


@pytest.mark.parametrize(
    "params",
    [
        {"cost": "energy"},
        {"optimizer": "spg"},
        {"optimizer": "gd"},
        {"label_loss": "cross_entropy"},
        {"learn_map": True},
        {"init": "greedy"},
    ],
    ids=str,
)
def test_options_of_the_neural_estimator_fit_and_predict(X, y, params):
    model = fitted(NeuralNMF, X, y, **params)
    assert model.history_["cost"][-1] <= model.history_["cost"][0]
    assert (model.predict(X) == np.where(np.arange(24) < 12, 7, 3)).mean() > 0.9


def test_example_of_the_documentation():
    X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    model = NeuralNMF(layers=(4, 2), random_state=0)
    assert model.fit_transform(X).shape == (20, 2)
    assert nnls(model.factors_[0], X.T).S.shape == (4, 20)


def test_a_fit_that_ends_at_the_limit_warns_and_one_that_converges_does_not(X):
    with pytest.warns(nnmf_runner.ConvergenceWarning, match=r"NeuralNMF did not converge in max_iter=2 iterations\."):
        NeuralNMF(layers=(4, 2), max_iter=2).fit(X)
    exceptions = pytest.importorskip("sklearn.exceptions")
    with pytest.warns(exceptions.ConvergenceWarning, match="HierarchicalNMF did not converge"):
        HierarchicalNMF(layers=(4, 2), max_iter=2).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NeuralNMF(layers=(2,)).fit(X).stop_ == "converged"


SHORT = {"layers": (4, 2), "max_iter": 20, "random_state": 0}


@pytest.mark.parametrize("kind", [NeuralNMF, HierarchicalNMF, DeepNMF])
def test_the_order_in_memory_does_not_change_a_bit(toy, kind):
    X = toy.X.T  # large enough for sums of BLAS to depend on it
    orders = [np.ascontiguousarray(X), np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]]
    for one, other in itertools.pairwise(
        [kind(layers=(4, 2), max_iter=20, random_state=0).fit(given) for given in orders]
    ):
        for a, b in zip([*one.factors_, *one.codes_], [*other.factors_, *other.codes_], strict=True):
            np.testing.assert_array_equal(a, b)
    kinds = [sparse.csr_array(X), sparse.csc_array(X), sparse.coo_array(X)]
    for one, other in itertools.pairwise(
        [kind(layers=(4, 2), max_iter=20, random_state=0).fit(given) for given in kinds]
    ):
        np.testing.assert_array_equal(one.components_, other.components_)
        np.testing.assert_array_equal(one.transform(kinds[0]), other.transform(kinds[1]))


@pytest.mark.parametrize("name", ["normalise", "allow_growing_ranks", "learn_map"])
def test_flags_are_true_or_false(X, y, name):
    with pytest.raises(InputError, match=rf"^{name}=no is not valid\. Expected True or False"):
        NeuralNMF(layers=(4, 2), **{name: "no"}).fit(X, y)


def test_errors_and_warnings_that_scikit_learn_knows_too_survive_pickle(X):
    pytest.importorskip("sklearn.exceptions")
    with pytest.raises(InputError) as caught:
        NeuralNMF().transform(X)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (estimators.NotFittedError, str(caught.value))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        NeuralNMF(layers=(4, 2), max_iter=1).fit(X)
    assert type(pickle.loads(pickle.dumps(found[-1].message))) is nnmf_runner.ConvergenceWarning


def test_arrays_in_place_of_names_are_refused_in_one_line(X):
    for name in ("cost", "optimizer"):
        with pytest.raises(InputError, match=rf"^{name}=<ndarray> is not known\. Expected one of: [^\n]*$"):
            NeuralNMF(layers=(4, 2), **{name: X}).fit(X)
    with pytest.raises(InputError, match=r"^init is of type ndarray\. Expected a list of arrays, one per layer[^\n]*$"):
        NeuralNMF(layers=(4, 2), init=X).fit(X)


def test_columns_of_unit_length_are_asked_for_by_a_parameter(X):
    model = NeuralNMF(layers=(4, 2), normalise=True, random_state=0).fit(X)
    plain = NeuralNMF(layers=(4, 2), random_state=0).fit(X)
    for factor in model.factors_:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(X)), plain.inverse_transform(plain.transform(X)), rtol=1e-9, atol=1e-12
    )


def test_ranks_grow_by_a_parameter_alone(X):
    with pytest.raises(InputError, match=r"layers\[1\]=4 exceeds .*set allow_growing_ranks=True"):
        NeuralNMF(layers=(2, 4)).fit(X)
    model = NeuralNMF(layers=(2, 4), allow_growing_ranks=True, max_iter=3).fit(X)
    assert [factor.shape[1] for factor in model.factors_] == [2, 4]


CLASSES = {
    "negative integers": ([-2, 5], -1),
    "floats": ([0.0, 2.0], -1.0),
    "booleans": ([False, True], None),
    "strings": (["large", "small"], None),
    "strings and unknown ones": (["large", "small"], -1),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("labels", CLASSES)
def test_classes_keep_their_names(kind, X, labels):
    (first, second), unknown = CLASSES[labels]
    truth = [second if i < 12 else first for i in range(24)]
    given = truth if unknown is None else [label if i % 3 == 0 else unknown for i, label in enumerate(truth)]
    y = np.array(given, dtype=object if "and" in labels else None)
    model = fitted(kind, X, y)
    assert list(model.classes_) == [first, second]
    assert list(model.predict(X)) == truth
    assert model.score(X, truth) == 1.0


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_without_a_weight_of_the_labels_y_is_left_out(kind, X):
    y = np.random.default_rng(0).random(24)  # no class labels
    plain, given = fitted(kind, X), fitted(kind, X, y, label_weight=None)
    np.testing.assert_array_equal(given.codes_[-1], plain.codes_[-1])
    assert given.label_map_ is None


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_score_is_accuracy_where_labels_were_fitted_and_otherwise_minus_the_relative_error(kind, X, y):
    truth = np.where(np.arange(24) < 12, 7, 3)
    model = fitted(kind, X, y)
    assert model.score(X, truth) == 1.0
    assert model.score(X, np.where(np.arange(24) < 6, 3, truth)) == 0.75
    assert model.score(X, np.where(np.arange(24) < 6, 3, -1)) == 0.0  # over the known ones
    error = np.linalg.norm(X - model.transform(X) @ model.components_) / np.linalg.norm(X)
    assert model.score(X) == pytest.approx(-error, rel=1e-9)
    assert model.score(sparse.csr_array(X)) == pytest.approx(-error, rel=1e-6)  # through Gram matrices
    assert fitted(kind, X).score(X, truth) < 0.0
    with pytest.raises(InputError, match="y has no labelled sample"):
        model.score(X, np.full(24, -1))
    with pytest.raises(InputError, match=r"y has shape \(3,\), expected \(24,\)"):
        model.score(X, [1, 2, 3])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_inverse_transform_leads_back_to_the_data(kind, X):
    model = fitted(kind, X)
    codes = model.transform(X)
    np.testing.assert_allclose(model.inverse_transform(codes), codes @ model.components_, rtol=1e-10, atol=1e-12)
    with pytest.raises(InputError, match="codes has 4 columns, expected 2"):
        model.inverse_transform(model.codes_[0])
    with pytest.raises(InputError, match="codes has 1 entries that are NaN"):
        model.inverse_transform([[np.nan, 1.0]])
    with pytest.raises(InputError, match="not fitted"):
        kind().inverse_transform(codes)


def test_inverse_transform_goes_through_the_network(X):
    model = fitted(DeepNMF, X, activation="log1p")
    (A, B), codes = model.factors_, model.transform(X)
    np.testing.assert_allclose(model.inverse_transform(codes), (A @ np.log1p(B @ codes.T)).T, rtol=1e-10)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_codes_of_the_fit_and_of_new_data_are_alike_whatever_the_labels(kind, X, y):
    model = kind(layers=(4, 2), label_weight=10.0, random_state=0, max_iter=200)
    np.testing.assert_array_equal(model.fit_transform(X, y), model.transform(X))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_names_of_features_are_kept_and_compared(kind, X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"word{i}" for i in range(15)])
    model = fitted(kind, frame)
    assert list(model.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(model.transform(frame), model.transform(X))
    with pytest.raises(InputError, match="X has 'word1' as its feature 0, expected 'word0' as in fit"):
        model.transform(frame[[*frame.columns[1:], "word0"]])
    assert list(model.get_feature_names_out()) == [f"{kind.__name__.lower()}{i}" for i in range(2)]
    assert not hasattr(model.fit(X), "feature_names_in_")
    assert not hasattr(fitted(kind, pandas.DataFrame(X)), "feature_names_in_")


LEAVING_OUT = [(NeuralNMF, {}), (HierarchicalNMF, {"solver": "mu"}), (DeepNMF, {})]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "params"), LEAVING_OUT)
def test_missing_entries_are_left_out_and_filled_in(kind, params, X):
    known = np.random.default_rng(1).random(X.shape) < 0.8
    holes = np.where(known, X, np.nan)
    params = {"layers": (4,), "max_iter": 3000, **params}
    model = fitted(kind, holes, **params)
    masked = kind(random_state=0, **params).fit(np.where(known, X, -1.0), mask=known)
    np.testing.assert_array_equal(masked.codes_[-1], model.codes_[-1])
    codes = model.transform(holes)
    np.testing.assert_array_equal(model.transform(np.where(known, X, np.inf), mask=known), codes)
    found = model.inverse_transform(codes)
    assert -model.score(holes) == pytest.approx(np.linalg.norm((X - found)[known]) / np.linalg.norm(X[known]))
    # four blocks and a constant of rank 4: noise of 0.05 below entries of at least 1, and a fit with few entries
    assert np.linalg.norm((X - found)[~known]) / np.linalg.norm(X[~known]) < 0.1


@pytest.mark.parametrize(("kind", "params"), LEAVING_OUT)
def test_a_mask_that_hides_nothing_changes_nothing(kind, params, X):
    plain = fitted(kind, X, **params)
    model = kind(layers=(4, 2), max_iter=200, random_state=0, **params).fit(X, mask=np.ones(X.shape, bool))
    np.testing.assert_array_equal(model.codes_[-1], plain.codes_[-1])


@pytest.mark.parametrize(("kind", "params"), LEAVING_OUT)
def test_bad_masks_are_refused(kind, params, X):
    model = kind(layers=(4, 2), **params)
    with pytest.raises(InputError, match=r"mask has shape \(15, 24\), expected \(24, 15\) as X has"):
        model.fit(X, mask=np.ones((15, 24), bool))
    with pytest.raises(InputError, match="X has no known entry"):
        model.fit(X, mask=np.zeros(X.shape, bool))
    with pytest.raises(InputError, match="X is sparse"):
        model.fit(sparse.csr_array(X), mask=X > 1.0)


def test_missing_entries_are_refused_where_they_cannot_be_left_out(X):
    holes = np.where(X > 3.0, np.nan, X)
    for refused in (lambda: fitted(HierarchicalNMF, holes), lambda: fitted(HierarchicalNMF, X).predict(holes)):
        with pytest.raises(InputError, match=r"HierarchicalNMF .*cannot leave out missing entries"):
            refused()


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_penalties_shrink_what_they_are_on(kind, X):
    free, tied = (fitted(kind, X, l2_A=weight, l2_S=weight, max_iter=2000) for weight in (0.0, 0.1))
    assert np.linalg.norm(tied.components_) * np.linalg.norm(tied.codes_[-1]) < np.linalg.norm(
        free.components_
    ) * np.linalg.norm(free.codes_[-1])
    with pytest.raises(InputError, match="Only A is penalised"):
        fitted(kind, X, l1_A=0.1)
    with pytest.raises(InputError, match="l1_S=-1"):
        fitted(kind, X, l1_S=-1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "params"), [(HierarchicalNMF, {"solver": "mu"}), (DeepNMF, {})])
def test_kullback_leibler_fits_data_and_labels(kind, params, X, y):
    model = fitted(kind, X, y, cost="kl", label_loss="kl", **params)
    assert model.history_["cost"][-1] < model.history_["cost"][0]
    np.testing.assert_array_equal(model.predict(X), np.where(np.arange(24) < 12, 7, 3))


def test_combinations_that_a_method_does_not_have_are_refused(X):
    for params, message in (
        ({"cost": "kl"}, "cost=kl needs solver=mu"),
        ({"cost": "energy"}, "has no cost=energy"),
        ({"label_loss": "kl"}, "loss=kl needs solver=mu"),
    ):
        with pytest.raises(InputError, match=message):
            fitted(HierarchicalNMF, X, **params)


EVERY = pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
ALL = list(MATRIX_ESTIMATORS.values())
# Every estimator, and options with which codes are found in another way.
EVERY_WAY = [(kind, {}) for kind in ALL] + [
    (HierarchicalNMF, {"solver": "mu", "cost": "kl"}),
    (DeepNMF, {"activation": "log1p", "pooling": "max"}),
    (DeepNMF, {"cost": "kl"}),
    (NeuralNMF, {"cost": "kl"}),
    (SparseCodingNMF, {"free": True}),
]


def quickly(kind, X, y=None, **params):
    """A short fit of any estimator."""
    return fitted(kind, X, y, **{"layers": (4, 2)[: kind._method.most_layers], "max_iter": 20, **params})


@pytest.mark.parametrize(("kind", "params"), EVERY_WAY)
def test_samples_of_zeros_have_no_codes_and_the_majority_whatever_the_others_are(kind, params, X):
    y = np.where(np.arange(24) < 8, "a", np.where(np.arange(24) < 18, "c", "b"))
    model, nothing = quickly(kind, X, y, **params), np.zeros((2, 15))
    both, forms = np.vstack([nothing, X[:3]]), [np.asarray]
    if model._fitted.method.takes_sparse and params.get("cost") != "kl":
        forms += [sparse.csr_array, sparse.csc_matrix]
    for form in forms:
        np.testing.assert_array_equal(model.transform(form(nothing)), np.zeros((2, model.components_.shape[0])))
        np.testing.assert_array_equal(model.transform(form(both))[:2], model.transform(form(nothing)))
        with pytest.warns(UserWarning, match=r"^2 of 2 samples are all zeros, and their classes mean nothing\.$"):
            assert model.predict(form(nothing)).tolist() == ["c", "c"]
        with pytest.warns(UserWarning, match=r"^1 of 4 samples is all zeros, and its class means nothing\.$"):
            assert model.predict(form(both[1:])).tolist() == ["c", *model.predict(X[:3])]
        assert model.score(form(nothing), ["c", "b"]) == 0.5
        assert model.score(form(nothing)) == 0.0
        with pytest.raises(InputError, match="X holds only zeros, expected at least one"):
            model.fit(form(0.0 * X))


@pytest.mark.parametrize(
    ("kind", "params"), [way for way in EVERY_WAY if way[0](**way[1])._model().method.takes_missing]
)
def test_samples_of_which_nothing_is_known_are_as_those_of_zeros(kind, params, X):
    model, unknown = quickly(kind, X, np.arange(24) < 8, **params), np.full((2, 15), np.nan)
    both = np.vstack([unknown, X[:3]])
    for given in (unknown, both):
        np.testing.assert_array_equal(model.transform(given)[:2], np.zeros((2, model.components_.shape[0])))
        with pytest.warns(UserWarning, match="2 of . samples are all zeros"):
            assert model.predict(given)[:2].tolist() == [False, False]
    assert model.score(unknown) == 0.0


def test_codes_of_zeros_have_the_majority_also_where_the_data_are_other():
    X = np.kron(np.eye(2), np.ones((6, 3)))  # the last feature occurs in no sample of the fit
    X = np.hstack([X, np.zeros((12, 1))])
    model = quickly(HierarchicalNMF, X, np.arange(12) > 2, layers=(2,), max_iter=200)
    strange = np.eye(1, 7, 6)
    assert not model.transform(strange).any()
    assert model.predict(strange).tolist() == [True]


MASKED_WAYS = {
    "masked array": lambda X, hidden: np.ma.array(np.where(hidden, 99.0, X), mask=hidden),
    "masked rows": lambda X, hidden: list(np.ma.array(np.where(hidden, 99.0, X), mask=hidden)),
    "nullable data frame": lambda X, hidden: pd.DataFrame(X).astype("Float64").mask(hidden),
    "data frame of objects": lambda X, hidden: pd.DataFrame(X).astype(object).mask(hidden, None),
    "nested lists": lambda X, hidden: np.where(hidden, None, X).tolist(),
    "pyarrow's data frame": lambda X, hidden: pd.DataFrame(X).astype("double[pyarrow]").mask(hidden),
}


@EVERY
@pytest.mark.parametrize("way", MASKED_WAYS)
def test_entries_that_are_masked_or_not_available_are_missing_or_refused(kind, way, X):
    if "pyarrow" in way:
        pytest.importorskip("pyarrow")
    hidden = np.random.default_rng(3).random(X.shape) < 0.2
    given, y = MASKED_WAYS[way](X, hidden), np.arange(24) < 12
    plain = quickly(kind, X, y)
    if not kind._method().takes_missing:
        calls = [lambda: quickly(kind, given, y), *(lambda do=do: do(given) for do in (plain.transform, plain.predict))]
        for refused in [*calls, lambda: plain.score(given)]:
            with pytest.raises(InputError, match=rf"^{kind.__name__} .*cannot leave out missing entries"):
                refused()
        return
    model, holes = quickly(kind, given, y), np.where(hidden, np.nan, X)
    expected = quickly(kind, holes, y)
    for found, other in zip(model.factors_, expected.factors_, strict=True):
        np.testing.assert_array_equal(found, other)
    np.testing.assert_array_equal(model.transform(given), expected.transform(holes))
    np.testing.assert_array_equal(model.predict(given), expected.predict(holes))
    assert model.score(given) == expected.score(holes)


@EVERY
@pytest.mark.parametrize("dtype", ["Float64", "double[pyarrow]", "Int64", "boolean", "bool[pyarrow]"])
def test_data_frames_of_nullable_types_are_as_good_as_arrays(kind, dtype, X):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    plain = (X > 1.0) if "bool" in dtype else np.round(X) if dtype == "Int64" else X
    frame = pd.DataFrame(plain).astype(dtype)
    model, expected = quickly(kind, frame), quickly(kind, plain)
    np.testing.assert_array_equal(model.components_, expected.components_)
    np.testing.assert_array_equal(model.transform(frame[3:5]), expected.transform(plain[3:5]))


def test_masked_data_are_refused_where_nothing_may_be_missing(X):
    hidden = np.ma.array(X, mask=X > 4.0)
    for refused in (lambda: nnls(hidden.T, X.T), lambda: nnls(X.T, hidden.T)):
        with pytest.raises(InputError, match=r"^[AX] has [0-9]+ entries that are masked, NaN or infinite"):
            refused()
    model = fitted(NeuralNMF, X)
    with pytest.raises(InputError, match=r"^codes has 1 entries that are masked"):
        model.inverse_transform(np.ma.array([[1.0, 2.0]], mask=[[True, False]]))
    for mask in (np.ma.array(X > 0.0, mask=X > 4.0), pd.DataFrame(X > 0.0).astype("boolean").mask(X > 4.0)):
        with pytest.raises(InputError, match=r"^mask is (masked itself|of type object)"):
            model.fit(X, mask=mask)
    mask = X < 4.0
    np.testing.assert_array_equal(
        model.transform(X, mask=pd.DataFrame(mask).astype("boolean")), model.transform(X, mask=mask)
    )


@EVERY
def test_codes_are_data_frames_on_request(kind, X):
    frame = pd.DataFrame(X, index=[f"text {i}" for i in range(24)])
    model = kind(layers=(2,), max_iter=5, random_state=0)
    plain = model.fit(X).transform(X)
    assert model.set_output(transform="pandas") is model
    for found in (model.transform(frame), model.fit_transform(frame), model.set_output().transform(frame)):
        np.testing.assert_array_equal(found, plain)
        assert list(found.index) == list(frame.index)
        assert list(found.columns) == list(model.get_feature_names_out())
    for given in (X, X.tolist(), *([sparse.csr_array(X)] if kind._method().takes_sparse else [])):
        assert list(model.transform(given).index) == list(range(24))
    assert isinstance(model.inverse_transform(model.transform(frame)), np.ndarray)
    assert isinstance(model.set_output(transform="default").transform(frame), np.ndarray)
    with pytest.raises(InputError, match=r"transform=polars is not known\. Expected one of: default, pandas"):
        model.set_output(transform="polars")


@pytest.mark.slow
def test_data_frames_need_no_scikit_learn():
    code = (
        "import sys, numpy as np; from nnmf_runner import NeuralNMF; "
        "model = NeuralNMF(layers=(1,), random_state=0).set_output(transform='pandas'); "
        "print(list(model.fit_transform(np.ones((3, 2))).columns), 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['neuralnmf0'] False\n"


@EVERY
def test_names_of_features_may_be_handed_over_for_comparison(kind, X):
    names = [f"word{i}" for i in range(15)]
    model, unnamed = quickly(kind, pd.DataFrame(X, columns=names)), quickly(kind, X)
    for each, given in ((model, names), (model, np.array(names)), (unnamed, names)):
        np.testing.assert_array_equal(each.get_feature_names_out(given), each.get_feature_names_out())
    with pytest.raises(InputError, match="input_features is not equal to feature_names_in_"):
        model.get_feature_names_out(names[::-1])
    for each in (model, unnamed):
        with pytest.raises(InputError, match=r"input_features should have length equal to .* \(15\), got 14"):
            each.get_feature_names_out(names[1:])


@EVERY
def test_any_integer_is_a_seed_and_a_limit_is_large(kind, X, tmp_path):
    large = {"init": "random", "random_state": 2**200, "max_iter": 10**9, "tol": 0.05}
    model, other = quickly(kind, X, **large), quickly(kind, X, **large | {"random_state": 2**200 + 1})
    assert (model.stop_, other.stop_) == ("converged", "converged")
    assert not np.array_equal(model.components_, other.components_)
    np.testing.assert_array_equal(quickly(kind, X, **large | {"max_iter": 5000}).components_, model.components_)
    model.save(tmp_path / "model")
    again = nnmf_runner.load(tmp_path / "model")
    assert (again.random_state, again.max_iter) == (2**200, 10**9)
    np.testing.assert_array_equal(again.fit(X).components_, model.components_)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_has_a_limit_of_its_own(optimizer, X):
    chosen = {"optimizer": optimizer, "tol": 0.05}
    model = fitted(NeuralNMF, X, max_iter=10**9, **chosen)
    assert model.stop_ == "converged"
    np.testing.assert_array_equal(model.components_, fitted(NeuralNMF, X, max_iter=10**5, **chosen).components_)


REFUSED = {
    "nothing": lambda model, X: model.fit(None),
    "zeros": lambda model, X: model.fit(0.0 * X),
    "no number": lambda model, X: model.fit(np.full_like(X, np.inf)),
    "too few labels": lambda model, X: model.fit(X, [1, 2]),
    "one class": lambda model, X: model.fit(X, np.ones(24)),
    "a level that is none": lambda model, X: model.fit(X[:, ::-1], np.full(24, 0.5)),
    "a rank that is too large": lambda model, X: model.set_params(layers=(16,)).fit(X),
    "a parameter": lambda model, X: model.set_params(tol=-1.0).fit(X),
    "what comes last": lambda model, X: model.fit(X[:12, :12], [1, 2] * 6),
}


@EVERY
@pytest.mark.parametrize("refusal", REFUSED)
def test_a_refused_fit_leaves_the_earlier_one(kind, refusal, X, monkeypatch):
    frame, y = pd.DataFrame(X, columns=[f"word{i}" for i in range(15)]), np.where(np.arange(24) < 12, "a", "b")
    model = quickly(kind, frame, y)
    before = (model.transform(frame), model.predict(frame), model.score(frame, y))
    fit = {name: value for name, value in vars(model).items() if name.endswith("_")}
    if refusal == "what comes last":
        monkeypatch.setattr(kind._method, "topics", lambda *_: (_ for _ in ()).throw(InputError("late")))
    with pytest.raises(InputError) as caught:
        REFUSED[refusal](model, X)
    assert "\n" not in str(caught.value)
    for old, new in zip(before, (model.transform(frame), model.predict(frame), model.score(frame, y)), strict=True):
        np.testing.assert_array_equal(new, old)
    left = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert left.keys() == fit.keys()
    assert all(left[name] is fit[name] for name in fit)


@EVERY
@pytest.mark.parametrize(
    "change",
    [
        lambda X: np.where((np.arange(24) % 7 == 3)[:, None] | (np.arange(15) == 2), 0.0, X),
        lambda X: np.full_like(X, 3.0),
        lambda X: np.eye(1, X.size, 40).reshape(X.shape),
    ],
    ids=["rows and columns of zeros", "constant", "one entry"],
)
@pytest.mark.parametrize("labelled", [False, True])
def test_data_that_say_little_are_fitted(kind, change, labelled, X):
    given = change(X)
    model = quickly(kind, given, np.arange(24) % 2 if labelled else None)
    assert np.isfinite(model.transform(given)).all()
    assert -1.0 <= model.score(given) <= 0.0
    if labelled:
        with pytest.warns(UserWarning, match="all zeros") if not given.any(axis=1).all() else nullcontext():
            assert set(model.predict(given)) <= {0, 1}


def arrays_in(value):
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from arrays_in(each)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    "copied", [lambda model: model, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values())
def test_what_is_written_into_an_attribute_does_not_reach_the_model(kind, copied, levels, X, y):
    y = y if levels == 1 else np.column_stack([y, y])
    layers = (2,) if kind().get_params()["layers"] == (9,) else (4, 2)
    model = fitted(kind, pd.DataFrame(X, columns=list("abcdefghijklmno")), y, layers=layers, max_iter=3)
    before = model.transform(X), model.predict(X)
    model = copied(model)
    for name, value in vars(model).items():
        for array in arrays_in(value) if name.endswith("_") else ():
            try:
                array[...] = array.ravel()[0]
            except ValueError:
                assert not array.flags.writeable
    after = model.transform(X), model.predict(X)
    assert all(np.array_equal(*each) for each in zip(before, after, strict=True))


def test_the_names_of_a_data_frame_stay_writable_for_its_owner(X):
    frame = pd.DataFrame(X, columns=np.array(list("abcdefghijklmno"), dtype=object))
    fitted(NeuralNMF, frame, max_iter=2)
    assert frame.columns.to_numpy().flags.writeable


@pytest.mark.parametrize("refused", [{"y": np.zeros(24)}, {"y": [1, 2]}, {"layers": (99,)}, {"cost": "none"}])
def test_a_refused_refit_leaves_the_earlier_fit_as_it_was(refused, X, y):
    model = fitted(NeuralNMF, X, y)
    before = dict(vars(model))
    given = dict(refused)
    labels = given.pop("y", y)
    with pytest.raises(InputError):
        model.set_params(**given).fit(X, labels)
    assert all(vars(model)[name] is value for name, value in before.items() if name.endswith("_"))
    assert model.classes_.tolist() == [3, 7]


@pytest.mark.parametrize("name", ["cost", "optimizer", "init"])
@pytest.mark.parametrize("value", [np.arange(2), np.array(["a", "b"]), [], {}, 10**30], ids=repr)
def test_no_array_is_a_choice(name, value, X):
    with pytest.raises(InputError, match=rf"^{name}(=.* is not known| is of type ndarray| holds no factor)") as caught:
        fitted(NeuralNMF, X, **{name: value})
    assert "\n" not in str(caught.value)


def numbers_of(kind):
    return [name for name, value in kind().get_params().items() if type(value) in (int, float)]


@pytest.mark.parametrize("value", [10**30, -(10**30), 10**400, 10**5000], ids=["30", "-30", "400", "5000"])
def test_a_huge_number_is_refused_or_honoured(value, X, y):
    for kind in MATRIX_ESTIMATORS.values():
        for name in numbers_of(kind):
            model = kind(layers=(2,), **{"max_iter": 2, "tol": 0.5, name: value})
            if (told := refusal(lambda: model.fit(X, y))) is not None:  # noqa: B023
                assert len(told.splitlines()) == 1
                assert len(told) < 400


@pytest.mark.parametrize("value", [10**30, 10**5000], ids=["30", "5000"])
def test_a_huge_option_of_an_object_is_refused_or_honoured(value, X):
    for group, registry in (("optimizer", OPTIMIZERS), ("cost", COSTS), ("init", INITIALISATIONS)):
        for kind in registry.values():
            for option in dataclasses.fields(kind):
                fit = lambda: NeuralNMF((2,), max_iter=2, **{group: kind(**{option.name: value})}).fit(X)  # noqa: B023, E731
                told = refusal(fit)
                assert told is None or (len(told.splitlines()) == 1 and len(told) < 400)


def refusal(call):
    """The message of an input error that a call raises; None if it is honoured."""
    try:
        call()
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("huge", [10**30, -(10**30), 10**400])
@pytest.mark.parametrize("columns", [1, 2])
def test_integers_beyond_64_bits_are_no_classes(huge, columns, X):
    y = [[huge, 1][:columns]] * 12 + [[2, 3][:columns]] * 12
    with pytest.raises(InputError, match=r"^y.* is of type object, expected class labels: all integers or all strings"):
        fitted(NeuralNMF, X, y if columns > 1 else [row[0] for row in y])


def test_arrays_are_a_start_that_stays_as_it_was_given(X, tmp_path):
    A = [np.random.default_rng(0).random(shape) for shape in ((15, 4), (4, 2))]
    before = [factor.copy() for factor in A]
    model = fitted(NeuralNMF, X, init=A, fixed=[0], max_iter=3)
    assert model.factors_[0].tobytes() == before[0].tobytes()
    assert model.factors_[0] is not A[0]
    assert A[0].flags.writeable
    assert model.get_params()["init"] is A
    np.savez(tmp_path / "mine.npz", A0=A[0], A1=A[1])
    model.save(tmp_path / "model")
    loaded = nnmf_runner.load(tmp_path / "model")
    others = [fitted(NeuralNMF, X, init=each, fixed=(0,), max_iter=3) for each in (f"{tmp_path}/mine.npz", A)]
    others += [fitted(NeuralNMF, X, init=tmp_path / "mine.npz", fixed=(0,), max_iter=3), loaded.fit(X)]
    for other in others:
        for ours, theirs in zip(other.factors_, model.factors_, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for factor, given in zip(A, before, strict=True):
        np.testing.assert_array_equal(factor, given)


def test_a_fit_with_all_factors_fixed_is_the_transform(X, y):
    A = [np.random.default_rng(0).random(shape) for shape in ((15, 4), (4, 2))]
    for kind in ESTIMATORS:
        model = fitted(kind, X, y, init=A, fixed=[0, 1])
        np.testing.assert_array_equal(model.codes_[-1], model.transform(X))
        plain = fitted(kind, X, init=A, fixed=[0, 1])
        np.testing.assert_array_equal(model.codes_[-1], plain.codes_[-1])  # labels have nothing to shape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fixed": [0]}, r"^fixed=\[0\] .* but init=nndsvd gives none\. Expected init=\[A_0, \.\.\.\], or init=PATH: "),
        ({"fixed": [1], "init": [np.ones((15, 4)), None]}, r"^fixed=\[1\] holds .* but init gives none"),
        ({"init": "gone.npz"}, r"^init=gone\.npz is not a folder or a \.npz file"),
        ({"seed_words": {"a": ["b"]}}, r"^seed_words is for X with names of its features"),
    ],
    ids=str,
)
def test_a_start_that_cannot_be_had_is_refused_in_the_words_of_python(given, message, X):
    with pytest.raises(InputError, match=message) as refused:
        NeuralNMF(layers=(4, 2), **given).fit(X)
    assert "\n" not in str(refused.value)


def test_seed_words_name_features_of_a_data_frame(X):
    frame = pd.DataFrame(X, columns=[f"word{i}" for i in range(15)])
    seeds = {"last": ["word11", "word9"], "first": ["word0"]}
    for kind in ESTIMATORS:
        seeded, plain = fitted(kind, frame, seed_words=seeds), fitted(kind, frame)
        assert [column.argmax() // 3 for column in seeded.factors_[0].T[:2]] == [3, 0]
        assert seeded.score(frame) > plain.score(frame) - 0.05
    with pytest.raises(InputError, match=r"^seed_words has the word wrod1 \(topic a\).*did you mean word1"):
        fitted(NeuralNMF, frame, seed_words={"a": ["wrod1"]})
