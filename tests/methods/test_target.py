"""Labels of several levels in Python: which layer learns what, what predicts it, and in which form."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from nnmf_runner import DeepNMF, HierarchicalNMF, InputError, NeuralNMF, SemiNMF, SparseCodingNMF, UnfoldedNMF
from nnmf_runner.core.linalg import tail_shares
from nnmf_runner.methods import METHODS, label_units
from nnmf_runner.methods.target import read_target, share_right
from nnmf_runner.task import prepare
from tests.fixtures.matrices import MATRIX_ESTIMATORS

SEVERAL = [NeuralNMF, SparseCodingNMF]  # these supervise lower layers


@pytest.fixture(scope="module")
def y():
    """Two blocks, and two classes in each: the finer level first, (96, 2)."""
    coarse, within = np.arange(96) // 48, np.random.default_rng(0).integers(0, 2, 96)
    return np.column_stack([2 * coarse + within, coarse])


@pytest.fixture(scope="module")
def X(y):
    """Samples as rows, (96, 44): the blocks, what is stronger than the finer classes and across them, these, noise."""
    rng, other = np.random.default_rng(1), np.arange(96) // 24
    strengths = ((y[:, 1], 6, 4.0), (other, 4, 1.0), (y[:, 0], 4, 0.8))
    X = np.hstack([np.kron(np.eye(labels.max() + 1)[labels], np.ones(width)) * h for labels, width, h in strengths])
    X += rng.random(X.shape)
    X.flags.writeable = False
    return X


@pytest.fixture(scope="module")
def half(y):
    """The same labels where every second sample has none."""
    return np.where(np.arange(96)[:, None] % 2, -1, y)


def fitted(kind, X, y, **params):
    given = {"layers": (4, 2)[: kind._method.most_layers], "max_iter": 100, "random_state": 0, **params}
    return kind(**given).fit(X, y)


def by_hand(model, codes):
    """What every level is by its map and the codes of its layer, of shapes (n, k_l)."""
    return [
        classes[np.argmax(codes[layer] @ B.T, axis=1)]
        for classes, layer, B in zip(model.classes_, model.label_layers_, model.label_maps_, strict=True)
    ]


def test_every_level_is_learnt_by_the_layer_of_its_rank(X, y, half):
    unseen = np.arange(96) % 2 == 1
    model, of_last = (fitted(NeuralNMF, X, half, label_weight=1.0, label_levels=levels) for levels in ("auto", "last"))
    assert model.label_layers_ == of_last.label_layers_ == [0, 1]
    assert (model.predict(X) == y)[unseen].mean(axis=0) == pytest.approx([1.0, 1.0], abs=0.03)
    assert (of_last.predict(X) == y)[unseen, 0].mean() < 0.8  # labels of the last layer tell nothing of finer classes


@pytest.mark.slow
@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
@pytest.mark.parametrize("columns", [[0, 1], [1, 0], [1, 0, 1], [1], [0]], ids=str)
def test_predictions_are_the_largest_of_map_times_codes(kind, columns, X, half):
    model = fitted(kind, X, half[:, columns])
    found = model.predict(X)
    assert found.shape == (96, len(columns))
    codes = [S.T for S in model._fitted.method.transform(model._fit, X.T)]
    for ours, theirs in zip(found.T, by_hand(model, codes), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for column, classes, layer, B in zip(columns, model.classes_, model.label_layers_, model.label_maps_, strict=True):
        assert list(classes) == [[0, 1, 2, 3], [0, 1]][column]
        alone = len(columns) == 1  # then it supervises the last layer, whatever its number of classes
        assert layer == (column if len(model.factors_) == 2 and not alone else len(model.factors_) - 1)
        assert B.shape == (len(classes), model.factors_[layer].shape[1])
    truth = half[:, columns]
    assert model.score(X, truth) == pytest.approx((found == truth)[truth != -1].mean())
    np.testing.assert_array_equal(model.predict(X[[3, 80]]), found[[3, 80]])


@pytest.mark.parametrize("kind", [HierarchicalNMF, DeepNMF, SemiNMF])
def test_a_level_that_supervises_no_layer_has_the_map_of_least_squares(kind, X, half):
    model, known = fitted(kind, X, half), half[:, 0] >= 0
    codes = model._fitted.method.transform(model._fit, X.T)[0].T
    assert model.label_layers_ == [0, 1]
    between = fitted(kind, X, np.column_stack([np.arange(96) // 32, half[:, 1]]))
    assert between.label_layers_ == [1, 1]  # three classes are as near to four topics as to two
    codes, one_hot = codes[known], np.eye(4)[half[known, 0]]
    theirs = np.linalg.lstsq(codes, one_hot, rcond=None)[0].T
    # topics of the deep method may be alike: then maps differ that predict alike
    residuals = [np.linalg.norm(one_hot - codes @ B.T) for B in (model.label_maps_[0], theirs)]
    assert residuals[0] == pytest.approx(residuals[1], rel=1e-3)
    if kind is not DeepNMF:
        np.testing.assert_allclose(model.label_maps_[0], theirs, rtol=1e-6, atol=1e-9 * abs(theirs).max())


@pytest.mark.parametrize(("kind", "weight"), [(HierarchicalNMF, 10.0), (DeepNMF, 10.0), (SemiNMF, 1.0)])
def test_labelled_samples_are_predicted_as_well_as_least_squares_can(kind, weight, X, y):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 8, 96)  # that the data do not hold: labels alone bend the codes of the fit
    model = fitted(kind, X, labels, layers=(20,), label_weight=weight)
    codes, one_hot = model.transform(X), np.eye(8)[labels]
    best = np.argmax(codes @ np.linalg.lstsq(codes, one_hot, rcond=None)[0], axis=1)
    assert model.score(X, labels) == pytest.approx(np.mean(best == labels), abs=0.011)  # a tie apart
    bent = model.codes_[-1]
    of_fit = np.argmax(codes @ np.linalg.lstsq(bent, one_hot, rcond=None)[0], axis=1)
    if kind is not SemiNMF:  # whose codes bend little
        assert np.mean(of_fit == labels) < np.mean(best == labels)


@pytest.mark.parametrize("kind", SEVERAL)
def test_the_last_level_alone_is_a_fit_without_the_others(kind, X, half):
    several, one = fitted(kind, X, half, label_levels="last"), fitted(kind, X, half[:, 1])
    for a, b in zip([*several.factors_, several.label_map_], [*one.factors_, one.label_map_], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.label_layers_ == [1]
    assert one.label_maps_[0] is one.label_map_
    np.testing.assert_array_equal(several.predict(X)[:, 1], one.predict(X))
    # and so are all levels for a method that supervises the last layer alone
    several, one = fitted(HierarchicalNMF, X, half), fitted(HierarchicalNMF, X, half[:, 1])
    np.testing.assert_array_equal(several.components_, one.components_)


@pytest.mark.parametrize("kind", SEVERAL)
def test_columns_stand_in_any_order(kind, X, half):
    model, other = fitted(kind, X, half), fitted(kind, X, half[:, ::-1])
    assert (model.label_layers_, other.label_layers_) == ([0, 1], [1, 0])
    for a, b in zip([*model.factors_, *model.label_maps_], [*other.factors_, *other.label_maps_[::-1]], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("levels", "layers", "supervised"),
    [
        ("all", [0, 1], [0, 1]),
        ([0, 1], [0, 1], [0, 1]),
        ((1, 0), [1, 0], [0, 1]),
        (np.array([1, 1]), [0, 1], [0, 1]),
        ([0, None], [0, 1], [0]),
        ([None, 0], [1, 1], [1]),
    ],
    ids=str,
)
def test_a_list_says_which_layer_learns_from_which_level(levels, layers, supervised, X, half):
    model = fitted(NeuralNMF, X, half, label_levels=levels)
    assert model.get_params()["label_levels"] is levels
    assert model.label_layers_ == layers
    assert sorted(model._fit.maps) == supervised
    assert (model.label_map_ is None) == (1 not in supervised)


def test_one_level_may_supervise_a_lower_layer_alone(X, half):
    model = fitted(NeuralNMF, X, half[:, 0], label_levels=[0, None])
    assert model.label_map_ is None
    assert model.label_layers_ == [0]
    assert model.predict(X).shape == (96,)
    assert model.score(X, half[:, 0]) > 0.0


def test_every_layer_weighs_its_labels_in_its_own_unit(X, half, monkeypatch):
    from nnmf_runner.methods.neural import Neural

    problems = []
    solve = Neural.solve
    monkeypatch.setattr(Neural, "solve", lambda *given, **how: problems.append(given[1]) or solve(*given, **how))
    fitted(NeuralNMF, X, half, label_weight=0.5, max_iter=1)
    lower, last = problems[0].lower_labels[0], problems[0].labels
    sigma = np.linalg.svd(X, compute_uv=False) ** 2
    floors = [sigma[rank:].sum() / sigma.sum() for rank in (4, 2)]
    assert floors == pytest.approx(label_units([4, 2], partial(tail_shares, X.T)), rel=1e-8)
    assert [lower.weight, last.weight] == pytest.approx([0.5 * floor for floor in floors], rel=1e-8)
    assert (lower.Y.shape, last.Y.shape) == ((4, 96), (2, 96))


def test_the_default_cost_is_that_of_the_command_line(X, half):
    default, named = fitted(NeuralNMF, X, half), fitted(NeuralNMF, X, half, cost="multilevel")
    np.testing.assert_array_equal(default.components_, named.components_)
    assert not np.array_equal(default.components_, fitted(NeuralNMF, X, half, cost="reconstruction").components_)
    assert NeuralNMF().cost == METHODS["neural"].costs[0]
    assert {kind().cost for kind in (HierarchicalNMF, DeepNMF, SparseCodingNMF)} == {"reconstruction"}


@pytest.mark.parametrize(
    "options", [[], ["supervision.levels=[0,null,1]"], ["supervision.levels=last"], ["method=hier"]]
)
def test_command_line_and_estimator_agree(options, configure):
    config = configure("layers=9-4-2", "label_fraction=0.4", "max_iter=30", *options)
    material = prepare(config, 3)
    theirs = material.task.fit(3)
    levels = np.column_stack(material.dataset.labels)
    kind = HierarchicalNMF if config.method.name == "hier" else NeuralNMF
    params = {"layers": (9, 4, 2), "max_iter": 30, "random_state": 3}
    if kind is NeuralNMF:
        params["label_levels"] = config.supervision.levels
    ours = kind(**params).fit(material.dataset.X.T, np.where(material.known[:, None], levels, -1))
    for a, b in zip([*ours.factors_, *(S.T for S in ours.codes_)], [*theirs.A, *theirs.S], strict=True):
        np.testing.assert_array_equal(a, b)
    assert ours._fit.maps.keys() == theirs.maps.keys()
    for layer, B in theirs.maps.items():
        np.testing.assert_array_equal(ours._fit.maps[layer], B)


def test_levels_may_contradict_each_other_and_be_known_for_different_samples(X, y):
    mixed = np.column_stack([y[:, 0], np.random.default_rng(3).permutation(y[:, 1])])
    mixed[::2, 0], mixed[1::2, 1] = -1, -1
    model = fitted(NeuralNMF, X, mixed)
    assert model.predict(X).shape == (96, 2)
    right = (model.predict(X) == mixed)[mixed != -1]
    assert model.score(X, mixed) == pytest.approx(right.mean())


@pytest.mark.parametrize("kind", [NeuralNMF, HierarchicalNMF])
def test_a_level_of_which_nothing_is_known_leaves_the_other_a_single_one(kind, X, half):
    for level in (0, 1):  # whichever layer it is nearer to
        one = fitted(kind, X, half[:, level])
        with_column = fitted(kind, X, np.column_stack([np.full(96, -1), half[:, level]]))
        np.testing.assert_array_equal(with_column.components_, one.components_)


@pytest.mark.parametrize("kind", [NeuralNMF, HierarchicalNMF])
def test_a_level_of_which_nothing_is_known_is_predicted_as_unknown(kind, X, half):
    nothing = np.full(96, -1)
    model, one = fitted(kind, X, np.column_stack([nothing, half[:, 1]])), fitted(kind, X, half[:, 1])
    np.testing.assert_array_equal(model.components_, one.components_)
    np.testing.assert_array_equal(model.predict(X), np.column_stack([nothing, one.predict(X)]))
    assert (model.label_layers_, model.label_maps_[0]) == ([None, 1], None)
    # nor does it supervise a layer of few topics, to whose rank no classes at all would be near
    model, one = (fitted(kind, X, np.c_[nothing, half[:, 1]][:, j], layers=(4, 1)) for j in ([0, 1], [1]))
    np.testing.assert_array_equal(model.label_map_, one.label_map_)
    none = fitted(kind, X, np.full((96, 2), -1))
    np.testing.assert_array_equal(none.components_, fitted(kind, X, None).components_)
    assert none.label_maps_ == none.label_layers_ == [None, None]
    with pytest.raises(InputError, match="without labels"):
        none.predict(X)
    again = none.fit(X)
    assert again.label_maps_ == again.label_layers_ == []
    assert not hasattr(again, "classes_")


@pytest.mark.parametrize("form", ["data frame", "array of objects", "lists"])
def test_every_level_keeps_its_own_kind(form, X, half):
    names = np.array(["a", "b", "c", "d"], object)
    columns = {"fine": [-1 if i < 0 else names[i] for i in half[:, 0]], "coarse": half[:, 1] * 3}
    columns["coarse"][half[:, 1] < 0] = -1
    objects = np.empty((96, 2), object)
    objects[:, 0], objects[:, 1] = columns.values()
    y = objects if form == "array of objects" else objects.tolist()
    if form == "data frame":
        y = pytest.importorskip("pandas").DataFrame(columns)
    model, plain = fitted(NeuralNMF, X, y), fitted(NeuralNMF, X, half)
    np.testing.assert_array_equal(model.components_, plain.components_)
    assert [classes.tolist() for classes in model.classes_] == [["a", "b", "c", "d"], [0, 3]]
    assert model.classes_[1].dtype.kind == "i"
    indices = plain.predict(X)
    assert model.predict(X).tolist() == [[names[i], 3 * j] for i, j in indices]
    assert model.score(X, y) == plain.score(X, half)


@pytest.mark.parametrize("labels", [["x", "y"], [False, True], [2.0, 7.0]], ids=str)
def test_levels_of_one_kind_are_predicted_in_this_kind(labels, X, y):
    given = np.array(labels)[y % 2]
    found = fitted(NeuralNMF, X, given).predict(X)
    assert found.dtype == given.dtype
    assert set(found.ravel()) <= set(labels)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"label_levels": "every"}, r"^label_levels=every is not known\. Expected one of: all, auto, last"),
        ({"label_levels": 1}, "^label_levels=1 is not known"),
        ({"label_levels": [0, 2]}, r"^label_levels\[1\]=2 does not exist\. Expected at most 1: .* 2 levels of labels"),
        ({"label_levels": [0, -1]}, r"^label_levels\[1\]=-1 is not valid"),
        ({"label_levels": [0, 0.5]}, r"^label_levels\[1\]=0\.5 is not valid"),
        ({"label_levels": [None, None]}, r"^label_levels=\[None, None\] supervises no layer"),
        ({"label_levels": [0]}, r"^label_levels=\[0\] has 1 entries, expected 2: .* or None\."),
        ({"label_weight": -1.0}, "^label_weight=-1"),
        ({"label_loss": "hinge"}, "^label_loss=hinge is not known"),
        ({"label_loss": "kl"}, "^NeuralNMF has no label_loss=kl"),
    ],
    ids=str,
)
def test_parameters_of_labels_are_refused_by_their_names_in_python(params, message, X, half):
    with pytest.raises(InputError, match=message) as caught:
        fitted(NeuralNMF, X, half, **params)
    assert "supervision" not in str(caught.value)


@pytest.mark.parametrize("kind", [NeuralNMF, HierarchicalNMF, UnfoldedNMF])
def test_labels_of_other_shapes_are_refused_by_score(kind, X, y):
    several, one = fitted(kind, X, y), fitted(kind, X, y[:, 1])
    for model, given, message in (
        (several, y[:, 1], r"y has shape \(96,\), expected \(96, 2\)"),
        (several, y[:, [0, 1, 1]], r"y has shape \(96, 3\), expected \(96, 2\)"),
        (several, y[:9], r"y has shape \(9, 2\), expected \(96, 2\)"),
        (several, y[:, :, None], r"y has shape \(96, 2, 1\), expected one or two dimensions"),
        (several, np.full((96, 2), -1), "y has no labelled sample"),
        (several, y + 0.5, r"y\[:, 0\] is of type float64"),
        (one, y, r"y has shape \(96, 2\), expected \(96,\)"),
        (one, y[:, 1:], r"y has shape \(96, 1\), expected \(96,\)"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            model.score(X, given)
        assert "\n" not in str(caught.value)


NAMES = np.array(["news", "sport"])
NA = pd.NA
# Labels of text in every container that people have, from a list of names in which None is unlabelled.
TEXT = {
    "list with -1": lambda names: [-1 if name is None else name for name in names],
    "array of a list with -1": lambda names: np.array([-1 if name is None else name for name in names]),
    "list with the text of -1": lambda names: ["-1" if name is None else name for name in names],
    "list with None": lambda names: names,
    "list with NaN": lambda names: [np.nan if name is None else name for name in names],
    "list with NA": lambda names: [NA if name is None else name for name in names],
    "list with NaT": lambda names: [pd.NaT if name is None else name for name in names],
    "list with masked": lambda names: [np.ma.masked if name is None else name for name in names],
    "list with empty texts": lambda names: [name or "" for name in names],
    "array with empty texts": lambda names: np.array([name or "" for name in names]),
    "tuple": lambda names: tuple(names),
    "array of objects": lambda names: np.array(names, object),
    "masked array": lambda names: np.ma.array(
        [name or "hidden" for name in names], mask=[name is None for name in names]
    ),
    "array of numpy's strings": lambda names: np.array([name or "" for name in names], np.dtypes.StringDType()),
    "array of numpy's strings and NA": lambda names: np.array(names, np.dtypes.StringDType(na_object=None)),
    "series": lambda names: pd.Series(names),
    "series of objects with -1": lambda names: pd.Series([-1 if name is None else name for name in names]),
    "categorical": lambda names: pd.Categorical(names),
    "series of categories": lambda names: pd.Series(names, dtype="category"),
    "nullable strings": lambda names: pd.Series(names, dtype="string"),
    "index": lambda names: pd.Index(names),
}
NUMBERS = {
    "list with None": lambda numbers: numbers,
    "list with NaN": lambda numbers: [np.nan if number is None else number for number in numbers],
    "list with NA": lambda numbers: [NA if number is None else number for number in numbers],
    "list with empty texts": lambda numbers: ["" if number is None else number for number in numbers],
    "array of objects": lambda numbers: np.array(numbers, object),
    "array with NaN": lambda numbers: np.array(numbers, float),
    "masked array": lambda numbers: np.ma.array(
        [number or 5 for number in numbers], mask=[number is None for number in numbers]
    ),
    "series": lambda numbers: pd.Series(numbers),
    "nullable integers": lambda numbers: pd.Series(numbers, dtype="Int64"),
    "categorical": lambda numbers: pd.Categorical(numbers),
}


def arrow(kind):
    """A maker of series of a type of pyarrow."""

    def make(labels):
        pytest.importorskip("pyarrow")
        return pd.Series(labels, dtype=kind)

    return make


TEXT["pyarrow's strings"] = arrow("string[pyarrow]")
NUMBERS["pyarrow's integers"] = arrow("int64[pyarrow]")


def named(half, classes):
    """The coarser labels as a list of the names of classes, None where unknown."""
    return [None if label < 0 else classes[label] for label in half[:, 1]]


@pytest.mark.parametrize("container", TEXT)
def test_text_is_unlabelled_in_every_container(container, X, half):
    given = TEXT[container](named(half, ["news", "sport"]))
    found, plain = read_target(given, 96), read_target(half[:, 1], 96)
    assert found.classes[0].tolist() == ["news", "sport"]
    np.testing.assert_array_equal(found.indices, plain.indices)
    predictions = [NAMES[half[:, 1] % 2], NAMES[(half[:, 1] + 1) % 2]]  # whatever stands where nothing is known
    assert [share_right([each], given, False) for each in predictions] == [1.0, 0.0]


@pytest.mark.parametrize("container", NUMBERS)
def test_numbers_are_unlabelled_in_every_container(container, half):
    found = read_target(NUMBERS[container](named(half, [3, 7])), 96)
    assert found.classes[0].tolist() == [3, 7]
    np.testing.assert_array_equal(found.indices, read_target(half[:, 1], 96).indices)


@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
def test_every_estimator_learns_and_scores_text_with_unlabelled_samples(kind, X, y, half):
    plain, coarse = fitted(kind, X, half[:, 1]), named(half, ["news", "sport"])
    for given in (TEXT["array of a list with -1"](coarse), TEXT["nullable strings"](coarse)):
        model = fitted(kind, X, given)
        np.testing.assert_array_equal(model.components_, plain.components_)
        np.testing.assert_array_equal(model.predict(X), NAMES[plain.predict(X)])
        assert model.score(X, given) == plain.score(X, half[:, 1])


@pytest.mark.parametrize(
    "form",
    [
        lambda columns: pd.DataFrame(columns),
        lambda columns: pd.DataFrame(columns).astype("category"),
        lambda columns: pd.DataFrame(columns).convert_dtypes(),
        lambda columns: list(zip(*columns.values(), strict=True)),
        lambda columns: np.array(list(columns.values()), object).T,
        lambda columns: (
            np.ma.array(
                [[label or "hidden" for label in column] for column in columns.values()],
                mask=[[label is None for label in column] for column in columns.values()],
            ).T
        ),
    ],
    ids=["data frame", "categories", "nullable", "list", "objects", "masked"],
)
def test_several_levels_are_unlabelled_each_for_itself(form, X, half):
    fine = [None if label < 0 else "abcd"[label] for label in half[:, 0]]
    coarse = [None if i % 3 == 0 else name for i, name in enumerate(named(half, ["news", "sport"]))]
    model = fitted(NeuralNMF, X, form({"fine": fine, "coarse": coarse}))
    plain = fitted(NeuralNMF, X, np.column_stack([half[:, 0], np.where(np.arange(96) % 3 == 0, -1, half[:, 1])]))
    np.testing.assert_array_equal(model.components_, plain.components_)
    assert [classes.tolist() for classes in model.classes_] == [list("abcd"), ["news", "sport"]]


def test_a_text_of_nan_is_a_class_and_a_number_that_is_not_one_is_none():
    assert read_target(np.array(["a", "nan", "a"]), 3).classes[0].tolist() == ["a", "nan"]
    assert read_target(["a", np.nan, "b"], 3).classes[0].tolist() == ["a", "b"]


def test_large_integers_of_a_nullable_series_stay_apart():
    large = [2**53, 2**53 + 1, None]
    assert read_target(pd.Series(large, dtype="Int64"), 3).classes[0].tolist() == large[:2]


@pytest.mark.parametrize("large", [[2**63, 2**63 + 1, 1], [2**53, 2**53 + 1, 1.0]], ids=str)
def test_integers_that_a_float_would_merge_are_refused(large):
    with pytest.raises(InputError, match="expected class labels"):
        read_target([*large, -1], 4)


@pytest.mark.parametrize("y", [["a", 1, None], [1.5, None, 2.0], [{}, None, 1], [b"a", None, b"b"]], ids=str)
def test_known_labels_that_are_no_labels_are_refused_beside_unknown_ones(y):
    with pytest.raises(InputError, match=r"^y is of type object, expected class labels"):
        read_target(y, 3)


@pytest.mark.parametrize("kind", MATRIX_ESTIMATORS.values(), ids=list(MATRIX_ESTIMATORS))
def test_samples_without_a_code_are_of_the_majority_by_level(kind, X, half):
    y = np.where(half < 0, -1, half)
    y[:36:2], y[60::4] = [[1, 1]], -1  # most are known of class 1, at both levels
    y[36:46, 1] = -1
    model = fitted(kind, X, y)
    expected = [np.bincount(column[column >= 0]).argmax() for column in y.T]
    assert expected == [1, 1]
    nothing = np.zeros((2, 44))
    with pytest.warns(UserWarning, match="2 of 2 samples are all zeros"):
        np.testing.assert_array_equal(model.predict(nothing), [expected, expected])
    both = np.vstack([nothing, X[:5]])
    with pytest.warns(UserWarning, match="2 of 7 samples are all zeros"):
        found = model.predict(both)
    np.testing.assert_array_equal(found, np.vstack([[expected, expected], model.predict(X[:5])]))
    assert model.score(both[:2], np.array([[1, 0], [1, 1]])) == 0.75


def test_of_equally_frequent_classes_the_first_is_the_majority():
    assert read_target(["b", "a", "c", "b", "a", -1], 6).majorities == [0]
    assert read_target(np.array([[1, -1], [2, -1], [2, -1]]), 3).majorities == [1, None]
