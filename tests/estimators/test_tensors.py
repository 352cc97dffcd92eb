"""The estimator of tensors: what it takes, gives, refuses and keeps."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner import InputError, NonnegativeCP, load

SIZES = (8, 9, 10)  # samples first


@pytest.fixture
def factors(rng):
    """Three components of which every sample has one or two, shapes (d_i, 3)."""
    return [rng.random((size, 3)) * (rng.random((size, 3)) < 0.6) + 0.05 for size in SIZES]


@pytest.fixture
def X(factors):
    return np.einsum("ir,jr,kr->ijk", *factors)


def model(**given):
    return NonnegativeCP(**{"layers": (3, 2), "random_state": 0, "starts": 3} | given)


def test_planted_components_are_found_and_codes_are_least_squares(X):
    fitted = model(layers=3, tol=1e-7).fit(X)
    U, V = fitted.topics_[0]
    left = np.einsum("jr,kr->jkr", U, V).reshape(-1, 3)
    codes = fitted.transform(X)
    assert np.linalg.norm(X.reshape(8, -1) - codes @ left.T) < 1e-3 * np.linalg.norm(X)
    gradient = (codes @ left.T - X.reshape(8, -1)) @ left
    assert (gradient > -1e-8).all()
    assert np.abs(gradient * codes).max() < 1e-8


@pytest.mark.parametrize("hierarchy", ["tied", "free"])
def test_what_it_gives_has_the_shapes_of_the_data(X, hierarchy):
    fitted = model(hierarchy=hierarchy).fit(X)
    codes = fitted.transform(X[:5])
    assert codes.shape == (5, 2)
    assert fitted.inverse_transform(codes).shape == (5, 9, 10)
    assert [[topics.shape for topics in level] for level in fitted.topics_] == [[(9, 3), (10, 3)], [(9, 2), (10, 2)]]
    assert [codes.shape for codes in fitted.codes_] == [(8, 3), (8, 2)]
    assert (fitted.n_features_in_, fitted.components_.shape) == (90, (2, 19))
    assert fitted.get_feature_names_out().tolist() == ["nonnegativecp0", "nonnegativecp1"]


def test_score_is_minus_the_relative_error_of_what_inverse_transform_gives(X):
    fitted = model().fit(X)
    error = np.linalg.norm(X - fitted.inverse_transform(fitted.transform(X))) / np.linalg.norm(X)
    assert fitted.score(X) == pytest.approx(-error, rel=1e-10)


@pytest.mark.parametrize("kind", ["nested lists", "Fortran", "float32", "scipy", "coordinates"])
def test_every_form_of_a_tensor_gives_the_same_fit(X, kind):
    X = np.where(X > 0.3, X, 0.0)
    forms = {
        "nested lists": X.tolist(),
        "Fortran": np.asfortranarray(X),
        "float32": X.astype(np.float32),
        "scipy": sparse.coo_array(X),
        "coordinates": Coordinates(X),
    }
    expected = model().fit(X.astype(np.float32).astype(float) if kind == "float32" else X).transform(X)
    found = model().fit(forms[kind]).transform(X)
    if kind in ("scipy", "coordinates"):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("sizes", [SIZES, (3, 9, 10), (30, 4, 5), (4, 3, 5, 6)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_tensor_that_stays_in_its_file_gives_the_same_fit(rng, tmp_path, sizes, order):
    X = rng.random(sizes)
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert mapped.flags.c_contiguous == (order == "C")
    expected, found = (model(layers=(2,), max_iter=10, tol=1e-12).fit(data) for data in (X, mapped))
    np.testing.assert_allclose(found.history_["cost"], expected.history_["cost"], rtol=1e-9)


class Coordinates:
    """As pydata sparse has them, in another order than that of their places."""

    def __init__(self, X):
        self.coords, self.data, self.shape = np.array(np.nonzero(X))[:, ::-1], X[X != 0][::-1], X.shape


@pytest.mark.slow
def test_a_saved_model_gives_what_it_gave_before(X, tmp_path):
    for hierarchy in ("tied", "free"):
        fitted = model(hierarchy=hierarchy).fit(X)
        fitted.save(tmp_path / hierarchy)
        for again in (load(tmp_path / hierarchy), pickle.loads(pickle.dumps(fitted))):
            np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
            np.testing.assert_array_equal(again.topics_[1][0], fitted.topics_[1][0])
            for level in again.topics_:
                with pytest.raises(ValueError, match="read-only"):
                    level[0][0] = 1.0


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("training", ["joint", "layerwise"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("parameters/topics_1", lambda array: None),
        ("parameters/topics_1", lambda array: -array),
        ("parameters/topics_1", lambda array: array[:, :1]),
        ("parameters/topics_1", lambda array: array[1:]),
        ("parameters/mixing_1", lambda array: None),
        ("parameters/mixing_1", lambda array: -array),
        ("parameters/mixing_1", lambda array: array[1:]),
        ("parameters/sizes", lambda array: None),
        ("parameters/sizes", lambda array: array - 1),
        ("S0", lambda array: -array),
    ],
)
def test_a_damaged_model_is_refused_in_one_line(X, tmp_path, training, name, change):
    model(layers=(4, 3, 2), hierarchy="free", training=training, max_iter=3).fit(X).save(tmp_path / "model")
    path = tmp_path / "model" / "factors.npz"
    arrays = dict(np.load(path))
    arrays[name] = change(arrays[name])
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match="is not usable as a model") as caught:
        load(tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"exact_codes": False}, {"hierarchy": "free"}, {"training": "layerwise"}])
def test_labels_are_learnt_and_predicted(rng, given):
    y = np.repeat(["a", "b"], 6)
    U = np.column_stack([y == "a", y == "b"]).astype(float)
    X = np.einsum("ir,jr,kr->ijk", U, rng.random((7, 2)), rng.random((8, 2))) + 0.01 * rng.random((12, 7, 8))
    fitted = model(layers=(3, 2), **given).fit(X, np.where(np.arange(12) % 3, y, "-1"))
    assert fitted.predict(X).tolist() == y.tolist()
    assert fitted.score(X, y) == 1.0


NAN = np.ones(SIZES)
NAN[0, 0, 0] = np.nan
REPEATED = Coordinates(np.ones(SIZES))
REPEATED.coords = REPEATED.coords.copy()
REPEATED.coords[:, 1] = REPEATED.coords[:, 0]
OUTSIDE = Coordinates(np.ones(SIZES))
OUTSIDE.coords = OUTSIDE.coords + 1


def changed(**attributes):
    """A sparse array of which some attributes are others."""
    found = Coordinates(np.ones(SIZES))
    vars(found).update(attributes)
    return found


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"fill_value": 1.0}, "X is 1.0 where it has no entry, expected zero"),
        ({"data": np.full(720, 1j)}, "X is not numeric.* complex"),
        ({"data": np.full(720, "1")}, "X is not numeric"),
        ({"data": np.full(720, np.inf)}, "X has 720 entries that are NaN or infinite"),
        ({"data": np.ones((1, 720))}, "X has coordinates of shape"),
        ({"shape": ("a", 9, 10)}, "as its shape, expected sizes"),
        ({"shape": None}, "X has None as its shape"),
        ({"coords": None}, "X has coordinates of shape"),
        ({"coords": np.ones((3, 720))}, "expected integers"),
        ({"coords": np.empty((3, 0), int), "data": np.empty(0)}, "X holds only zeros"),
    ],
)
def test_sparse_arrays_that_are_none_are_refused_in_one_line(attributes, message):
    with pytest.raises(InputError, match=message) as caught:
        model().fit(changed(**attributes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((4, 5)), r"X has shape \(4, 5\), expected a tensor of at least three dimensions"),
        (np.ones(4), "expected a tensor of at least three dimensions"),
        (sparse.csr_array(np.ones((4, 5))), "expected a tensor of at least three dimensions"),
        (np.ones((4, 0, 5)), "none of size zero"),
        (-np.ones(SIZES), "X has to be nonnegative"),
        (np.zeros(SIZES), "X holds only zeros"),
        (NAN, "NonnegativeCP.* cannot leave out missing entries"),
        ([[[1.0]], [[1.0, 2.0]]], "different shapes"),
        (REPEATED, "stands twice among its coordinates"),
        (OUTSIDE, "out of range for mode 0 of size 8"),
        (np.full(SIZES, "a"), "X"),
    ],
    ids=["matrix", "vector", "sparse", "empty", "negative", "zeros", "nan", "ragged", "repeated", "outside", "text"],
)
def test_bad_tensors_are_refused_in_one_line(X, message):
    with pytest.raises(InputError, match=message) as caught:
        model().fit(X)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": (73, 2)}, r"layers\[0\]=73 exceeds 72"),
        ({"hierarchy": "loose"}, "hierarchy=loose is not known"),
        ({"training": "both"}, "training=both is not known"),
        ({"hierarchy": "free", "exact_codes": True}, "exact_codes=True needs hierarchy=tied"),
        ({"starts": 0}, "starts=0 is not valid"),
        ({"optimizer": "newton"}, "optimizer=newton is not known"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(X, given, message):
    with pytest.raises(InputError, match=message):
        model(**given).fit(X)


def test_a_mask_has_the_shape_of_the_tensor_and_leaves_nothing_out(X):
    known = np.ones(SIZES, bool)
    expected = model().fit(X)
    np.testing.assert_array_equal(model().fit(X, mask=known).transform(X, mask=known), expected.transform(X))
    known[0, 1, 2] = False
    for given in ({"mask": known}, {"mask": known[:, :2]}):
        with pytest.raises(InputError, match=r"cannot leave out missing entries|mask has shape") as caught:
            model().fit(X, **given)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot leave out missing entries"):
        model().fit(np.ma.masked_array(X, ~known))


def test_new_data_of_another_shape_are_refused(X):
    with pytest.raises(InputError, match=r"samples of shape \(10, 9\), but NonnegativeCP is expecting .* \(9, 10\)"):
        model().fit(X).transform(X.transpose(0, 2, 1))


def test_scikit_learn_clones_it_and_finds_its_tags(X):
    base = pytest.importorskip("sklearn.base")
    copy = base.clone(model(starts=2))
    assert (copy.starts, copy.layers) == (2, (3, 2))
    tags = pytest.importorskip("sklearn.utils").get_tags(copy)
    assert tags.input_tags.three_d_array
    assert not tags.input_tags.two_d_array
