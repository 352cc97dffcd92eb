"""Fitted estimators and runs as folders, read back bit for bit or refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from nnmf_runner import DeepNMF, HierarchicalNMF, InputError, NeuralNMF, load
from nnmf_runner.core.costs import Energy
from nnmf_runner.core.init import NNDSVD
from nnmf_runner.core.optimizers import LBFGS
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.generated.toy import Toy
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import NAMES, read_factors
from nnmf_runner.store.start import Saved

pytestmark = pytest.mark.slow

FITS = {
    "neural": (NeuralNMF, {}),
    "neural with objects": (
        NeuralNMF,
        {"cost": Energy([1.0, 0.5]), "optimizer": LBFGS(memory=5), "init": NNDSVD("mean"), "learn_map": True},
    ),
    "neural with penalties": (NeuralNMF, {"l1_A": 0.1, "l2_S": 0.1}),
    "hier": (HierarchicalNMF, {"layers": [4, 2]}),
    "hier by divergences": (HierarchicalNMF, {"solver": "mu", "cost": "kl", "label_loss": "kl"}),
    "deep": (DeepNMF, {}),
    "deep with pooling": (DeepNMF, {"pooling": "max", "activation": "log1p"}),
}


def data():
    """Samples as rows, (24, 15), and strings as classes."""
    blocks = np.kron(np.eye(4), np.ones((6, 3))) * 3 + np.kron(np.eye(2), np.ones((12, 6)))
    X = np.hstack([blocks, np.ones((24, 3))]) + 0.05 * np.random.default_rng(0).random((24, 15))
    return X, np.where(np.arange(24) < 12, "large", "small")


X, y = data()
NEW = X[::3] + np.random.default_rng(1).random(X[::3].shape)


def fitted(kind=NeuralNMF, y=y, **params):
    return kind(**{"layers": (4, 2), "max_iter": 30, "random_state": 0, **params}).fit(X, y)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model and its folder, which no test may change."""
    model, path = fitted(), tmp_path_factory.mktemp("saved") / "model"
    model.save(path)
    return model, path


@pytest.mark.parametrize("name", FITS)
def test_a_model_comes_back_bit_for_bit(name, tmp_path):
    kind, params = FITS[name]
    model = fitted(kind, **params)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is kind
    assert {p: v for p, v in again.get_params().items() if p != "layers"} == {
        p: v for p, v in model.get_params().items() if p != "layers"
    }
    assert again.layers == (4, 2)
    for attribute in ("components_", "label_map_", "classes_"):
        np.testing.assert_array_equal(getattr(again, attribute), getattr(model, attribute))
    for attribute in ("factors_", "codes_"):
        assert all(map(np.array_equal, getattr(again, attribute), getattr(model, attribute)))
    np.testing.assert_array_equal(again.transform(NEW), model.transform(NEW))
    np.testing.assert_array_equal(again.predict(NEW), model.predict(NEW))
    np.testing.assert_array_equal(again.inverse_transform(again.codes_[-1]), model.inverse_transform(model.codes_[-1]))
    assert again.score(NEW) == model.score(NEW)
    assert (again.stop_, again.n_iter_, again.n_features_in_) == (model.stop_, model.n_iter_, 15)
    for column, values in model.history_.items():
        np.testing.assert_array_equal(again.history_[column], values)
        assert again.history_[column].dtype == values.dtype
    # and it is an estimator like any other: fitted again it ends where it ended
    np.testing.assert_array_equal(again.fit(X, y).components_, model.components_)


@pytest.mark.slow
def test_another_process_finds_the_same(saved, tmp_path):
    model, path = saved
    np.save(tmp_path / "new.npy", NEW)
    code = (
        "import sys, numpy as np; from nnmf_runner import load; "
        "np.save(sys.argv[2], load(sys.argv[1]).transform(np.load(sys.argv[3])))"
    )
    subprocess.run([sys.executable, "-c", code, path, tmp_path / "codes.npy", tmp_path / "new.npy"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), model.transform(NEW))


@pytest.mark.parametrize(
    "y",
    [
        None,
        np.where(np.arange(24) < 12, 7, -2),
        np.arange(24) < 12,
        np.where(np.arange(24) < 12, "a", "b").astype(object),
    ],
    ids=["none", "integers", "booleans", "objects"],
)
def test_classes_come_back_in_their_type(y, tmp_path):
    model = fitted(y=y)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    if y is None:
        assert not hasattr(again, "classes_")
        with pytest.raises(InputError, match="without labels"):
            again.predict(X)
    else:
        assert again.classes_.dtype == model.classes_.dtype == y.dtype
        np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_names_of_features_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"ä{i}" for i in range(15)])
    NeuralNMF(layers=(4, 2), max_iter=3).fit(frame).save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert list(again.feature_names_in_) == list(frame.columns)
    with pytest.raises(InputError, match="as its feature 0"):
        again.transform(frame[frame.columns[::-1]])


def test_a_model_is_what_was_fitted_not_what_was_set_since(tmp_path):
    model = fitted(DeepNMF, activation="log1p")
    codes = model.transform(NEW)
    model.set_params(activation="identity").save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").transform(NEW), codes)


@pytest.mark.parametrize("value", [np.int64(3), np.array(3), 2**200], ids=repr)
def test_a_number_comes_back_whatever_numpy_made_of_it(value, tmp_path):
    fitted().set_params(max_iter=value).save(tmp_path / "model")
    assert load(tmp_path / "model").max_iter == value


def test_a_model_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path):
    fitted().save(tmp_path / "model")
    fitted(layers=(3,)).save(tmp_path / "model")
    assert load(tmp_path / "model").layers == (3,)
    (tmp_path / "empty").mkdir()
    fitted().save(tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("content")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    for taken in ("mine", "file", "model", "."):
        with pytest.raises(InputError, match="exists and is not a saved model"):
            fitted().save(tmp_path / taken)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "mine", "model"]


def test_a_crash_while_saving_leaves_the_earlier_model(tmp_path, monkeypatch):
    fitted().save(tmp_path / "model")
    monkeypatch.setattr(np, "savez", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        fitted(layers=(3,)).save(tmp_path / "model")
    assert load(tmp_path / "model").layers == (4, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


LEVELS = np.column_stack([np.arange(24) // 6, np.arange(24) // 8, np.arange(24) // 12])  # 4, 3 and 2 classes
FRAME = {
    "fine": np.arange(24) // 6,
    "middle": np.array(["a", "b", "c"])[np.arange(24) // 8],
    "coarse": np.arange(24) < 12,
}


@pytest.mark.parametrize("kind", ["integers", "frame", "objects", "some unknown"])
@pytest.mark.parametrize(
    ("estimator", "params"), [(NeuralNMF, {}), (NeuralNMF, {"label_levels": [2, None]}), (HierarchicalNMF, {})]
)
def test_labels_of_several_levels_come_back(kind, estimator, params, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(FRAME)
    unknown = np.where(np.arange(24)[:, None] % 2 == [0, 1, 5], LEVELS, -1)  # of the last level none is known
    y = {"integers": LEVELS, "frame": frame, "objects": frame.to_numpy(), "some unknown": unknown}[kind]
    model = fitted(estimator, y, **params)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.label_layers_ == model.label_layers_
    assert len(again.classes_) == len(again.label_maps_) == 3
    for one, other in zip(again.classes_, model.classes_, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for one, other in zip(again.label_maps_, model.label_maps_, strict=True):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other)
        assert one is None or one.flags.c_contiguous == other.flags.c_contiguous is True  # one order of summation
    np.testing.assert_array_equal(again.predict(NEW), model.predict(NEW))
    assert again.predict(NEW).dtype == model.predict(NEW).dtype
    assert again.score(X, y) == model.score(X, y)
    np.testing.assert_array_equal(again.fit(X, y).components_, model.components_)
    # as a start only its factors count
    NeuralNMF(layers=(4, 2), init=Saved(str(tmp_path / "model")), max_iter=1).fit(X)


class Mine(LBFGS):
    """An optimizer of the user's own."""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NeuralNMF(), "NeuralNMF is not fitted"),
        (fitted(random_state=np.random.default_rng(0)), "random_state is of type Generator, which cannot be saved"),
        (fitted(optimizer=Mine()), "optimizer is of type Mine, which cannot be saved"),
        (fitted().set_params(tol=np.inf), "A parameter of NeuralNMF cannot be saved"),
    ],
    ids=["unfitted", "generator", "subclass", "infinity"],
)
def test_what_cannot_be_saved_is_refused_and_nothing_written(model, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        model.save(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def copied(saved, tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    for file in saved[1].iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


def edit_json(change):
    def edit(path):
        described = json.loads((path / "model.json").read_text())
        change(described)
        (path / "model.json").write_text(json.dumps(described))

    return edit


def edit_arrays(**changes):
    def edit(path):
        arrays = {name: array for name, array in {**read_factors(path), **changes}.items() if array is not None}
        np.savez(path / "factors.npz", **arrays)

    return edit


def truncate(name, share):
    return lambda path: (path / name).write_bytes(
        (path / name).read_bytes()[: int(share * (path / name).stat().st_size)]
    )


DAMAGES = {
    "no model.json": (lambda path: (path / "model.json").unlink(), "holds neither model.json nor record.json"),
    "no factors": (lambda path: (path / "factors.npz").unlink(), "factors.npz cannot be read: No such file"),
    "no history": (lambda path: (path / "history.csv").unlink(), "history.csv cannot be read"),
    "half a description": (truncate("model.json", 0.5), "model.json cannot be read"),
    "half the factors": (truncate("factors.npz", 0.5), "factors.npz cannot be read"),
    "no bytes": (truncate("factors.npz", 0.0), "factors.npz cannot be read"),
    "no npz": (lambda path: (path / "factors.npz").write_text("A0"), "factors.npz cannot be read"),
    "objects": (edit_arrays(A0=np.full((15, 4), None)), "factors.npz cannot be read: Object arrays cannot be loaded"),
    "text": (edit_arrays(A0=np.full((15, 4), "a")), "A0 is not an array of numbers"),
    "nan": (edit_arrays(A0=np.full((15, 4), np.nan)), "A0 holds entries that are NaN"),
    "negative": (edit_arrays(A0=-np.ones((15, 4))), "negative entries"),
    "other features": (edit_arrays(A0=np.ones((14, 4))), "factors of 14 features, expected 15"),
    "a vector": (edit_arrays(A0=np.ones(15)), r"A0 has shape \(15,\)"),
    "other ranks": (edit_arrays(A1=np.ones((3, 2))), r"A1 has shape \(3, 2\)"),
    "pooled ranks": (edit_arrays(A1=np.ones((8, 2))), "do not fit method=neural"),
    "other codes": (edit_arrays(S1=np.ones((2, 23))), r"S1 has shape \(2, 23\), expected \(2, 24\)"),
    "no codes": (edit_arrays(S1=None), "2 factors A and 1 codes S"),
    "a gap": (edit_arrays(A0=None), "0 factors A"),
    "another map": (edit_arrays(B=np.ones((2, 3))), "B has shape"),
    "a larger map": (edit_arrays(B=np.ones((3, 2))), "2 classes, but their label map has 3 rows"),
    "a stranger": (edit_arrays(C=np.ones((3, 2))), "an array C, which no fit has"),
    "a wrong penalty": (
        edit_arrays(**{"parameters/l1_0": np.ones((3, 1)), "parameters/l2_0": np.ones((3, 1))}),
        "do not fit method=neural",
    ),
    "half a penalty": (edit_arrays(**{"parameters/l1_0": np.ones((4, 1))}), "do not fit method=neural: KeyError"),
    "an earlier version": (edit_json(lambda d: d.update(schema=1)), "schema version 1, expected 2"),
    "a later version": (edit_json(lambda d: d.update(schema=3)), "schema version 3, expected 2"),
    "no version": (edit_json(lambda d: d.pop("schema")), "schema version None"),
    "no object": (lambda path: (path / "model.json").write_text("[]"), "schema version None"),
    "no parameters": (edit_json(lambda d: d.pop("parameters")), "parameters=None is not what a model holds"),
    "an unknown class": (edit_json(lambda d: d.update(estimator="os.system")), r"estimator=os\.system is not known"),
    "another class": (edit_json(lambda d: d.update(estimator="DeepNMF", parameters={})), "not that of DeepNMF"),
    "an unknown method": (edit_json(lambda d: d["method"].update(name="magic")), "method=magic is not known"),
    "an unknown option": (edit_json(lambda d: d["method"]["options"].update(x=1)), "option of method=x is not known"),
    "an unknown parameter": (edit_json(lambda d: d["parameters"].update(layer=1)), "Did you mean 'layers'"),
    "an unknown object": (
        edit_json(lambda d: d["parameters"].update(cost={"name": "x", "options": {}})),
        "cost=x is not known",
    ),
    "an object of a number": (edit_json(lambda d: d["parameters"].update(tol={"name": "x"})), "tol=x is not known"),
    "a bad object": (
        edit_json(lambda d: d["parameters"].update(cost={"name": "energy", "options": {"weights": [-1]}})),
        r"weights\[0\]=-1",
    ),
    "other classes": (
        edit_json(lambda d: d["classes"]["values"].append("x")),
        "3 classes, but their label map has 2 rows",
    ),
    "classes of no type": (edit_json(lambda d: d["classes"].update(dtype="magic")), "are no class labels"),
    "classes that are none": (
        edit_json(lambda d: d["classes"].update(dtype="object", values=[{}, {}])),
        "class labels",
    ),
    "no classes": (edit_json(lambda d: d.update(classes=None)), "classes of 0 levels, but label maps of 1"),
    "too few names": (edit_json(lambda d: d.update(feature_names=["a"])), "1 feature names for 15 features"),
    "names of numbers": (edit_json(lambda d: d.update(feature_names=[1])), "feature_names="),
    "classes of more levels": (
        edit_json(lambda d: d.update(classes=[d["classes"], d["classes"]])),
        "classes of 2 levels, but label maps of 1",
    ),
    "no layer of the labels": (edit_json(lambda d: d.update(label_layers=[None])), "2 classes, but no label map"),
    "labels of no layer": (edit_json(lambda d: d.update(label_layers=[2])), r"label_layers\[0\]=2 is no layer of 2"),
    "labels of another layer": (
        edit_json(lambda d: d.update(label_layers=[0])),
        "needs a map of 4 topics, it has none",
    ),
    "a majority that is no class": (edit_json(lambda d: d.update(majorities=[2])), r"majorities=\[2\] do not fit"),
    "no majority": (edit_json(lambda d: d.update(majorities=[None])), r"majorities=\[None\] do not fit"),
    "majorities of more levels": (edit_json(lambda d: d.update(majorities=[0, 0])), "do not fit label maps of .2. cl"),
    "majorities of words": (edit_json(lambda d: d.update(majorities=["0"])), "majorities="),
    "layers of words": (edit_json(lambda d: d.update(label_layers=["0"])), "label_layers="),
    "another map of a level": (
        edit_arrays(**{"label_maps/0": np.ones((2, 3))}),
        r"needs a map of 2 topics, it has one of shape \(2, 3\)",
    ),
    "a map of no level": (edit_arrays(**{"label_maps/1": np.ones((2, 2))}), "an array label_maps/1, which no fit has"),
    "an unknown end": (edit_json(lambda d: d.update(stop="boredom")), "stop='boredom'"),
}


MOST_SMALL = np.where(np.arange(24) < 8, "large", "small")


@pytest.mark.parametrize("name", FITS)
def test_samples_without_a_code_are_of_the_majority_of_a_saved_model_too(name, tmp_path):
    kind, params = FITS[name]
    y = np.column_stack([MOST_SMALL, np.full(24, ""), np.where(np.arange(24) % 3, MOST_SMALL, "")])
    y[8::2, 0] = ""  # as many as of the other class, which comes first
    fitted(kind, y=y, **params).save(tmp_path / "model")
    with pytest.warns(UserWarning, match="all zeros"):
        assert load(tmp_path / "model").predict(np.zeros((1, 15))).tolist() == [["large", -1, "small"]]


def test_a_model_saved_without_a_majority_takes_that_of_its_predictions(tmp_path):
    model = NeuralNMF(layers=(4, 2), max_iter=30, random_state=0).fit(X[6:], y[6:])  # most are small
    model.save(tmp_path / "model")
    edit_json(lambda d: d.pop("majorities"))(tmp_path / "model")
    again = load(tmp_path / "model")
    with pytest.warns(UserWarning, match="all zeros"):
        assert again.predict(np.zeros((2, 15))).tolist() == ["small", "small"]
    np.testing.assert_array_equal(again.predict(NEW), model.predict(NEW))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_model_is_refused_in_one_line_with_the_reason(damage, saved, tmp_path):
    path = copied(saved, tmp_path)
    change, message = DAMAGES[damage]
    change(path)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"path={path} is not usable as a model: ")


DEEP = ["[" * 100_000, '{"a":' * 100_000, "1" * 5000]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("model.json", lambda text, deep=deep: deep) for deep in DEEP),
        *(("model.json", lambda text, key=key: text.replace(f'"{key}"', '"x"', 1)) for key in ("name", "options")),
        ("model.json", lambda text: text.replace('"schema": 2', '"schema": "a\\nb"')),
        ("history.csv", lambda text: text + "x" * 200_000),
        ("history.csv", lambda text: text + '"' + "x" * 200_000),
        ("history.csv", lambda text: text.splitlines()[0] + ",more\n"),
        ("history.csv", lambda text: "\0"),
    ],
)
def test_no_damage_is_more_than_one_line(name, change, saved, tmp_path):
    path = copied(saved, tmp_path)
    (path / name).write_text(change((path / name).read_text()))
    with pytest.raises(InputError, match=r"^path=.* is not usable as a model: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "path", ["a" * 5000, "a/" * 3000, "a\0b", "\udc80", b"absent", "~nobodyhere", 5, None], ids=ascii
)
def test_a_path_that_cannot_be_one_is_refused(path):
    with pytest.raises(InputError, match=r"^path"):
        load(path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"path=.*nowhere is not usable as a model: there is no such folder\."):
        load(tmp_path / "nowhere")


RUNS = ["method=neural", "method=hier", "method=hier_mu cost=kl", "method=deep method.pooling=mean"]


@pytest.mark.parametrize("line", RUNS)
def test_a_run_is_a_model_of_its_method(line, command, tmp_path):
    result = command(*line.split(), "layers=9-4", "label_fraction=1", "max_iter=4", "seed=3")
    assert result.status == 0
    folder = tmp_path / result.out.splitlines()[-1]
    model, factors = load(folder), read_factors(folder)
    assert (model.layers, model.max_iter, model.random_state, model.n_iter_) == (
        (9, 4),
        4,
        3,
        len(model.history_["cost"]) - len(np.unique(model.history_["layer"])),  # without the start of every fit
    )
    np.testing.assert_array_equal(model.factors_[1], factors["A1"])
    maps = [factors[name] for name in ("B0", "B") if name in factors]  # of the layers that labels supervised
    classes = model.classes_ if len(maps) > 1 else [model.classes_]
    assert model.label_layers_ == ([0, 1] if len(maps) > 1 else [1])
    assert len(maps) == (2 if "neural" in line else 1)
    for found, B, of_level in zip(model.label_maps_, maps, classes, strict=True):
        np.testing.assert_array_equal(found, B)
        np.testing.assert_array_equal(of_level, np.arange(len(B)))
    decoded = model._fitted.method.decode(model.factors_, [S.T for S in model.codes_], 1)
    samples = (factors["A0"] @ decoded).T[::45]
    with pytest.warns(UserWarning, match="all zeros"):
        assert model.predict(0.0 * samples).shape == model.predict(samples).shape
    assert model.score(samples) > -0.3  # it knows its own reconstruction again
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert model.predict(samples).shape == ((len(samples), 2) if len(maps) > 1 else (len(samples),))
    np.testing.assert_array_equal(again.predict(samples), model.predict(samples))
    assert type(again) is type(model)


@pytest.mark.parametrize(
    ("levels", "layers", "kept"),
    [
        ("auto", [0, 1, 2], (0, 1, 2)),
        ("last", [2], (None, None, 0)),
        ("[0,null,2]", [0, 2], (0, None, 1)),
        ("[1,null,null]", [0], (0, None, None)),
    ],
)
def test_a_run_predicts_from_every_layer_that_labels_supervised(levels, layers, kept, command, tmp_path):
    result = command("layers=9-4-2", "label_fraction=1", "max_iter=20", "seed=3", f"supervision.levels={levels}")
    folder = tmp_path / result.out.splitlines()[-1]
    model, factors = load(folder), read_factors(folder)
    assert (model.label_layers_, model.label_levels) == (layers, kept)
    data = Toy().load(stream(3, "data"))
    samples = data.X.T
    own = [0, 1, 2] if levels in ("auto", "last") else json.loads(levels)
    y = np.column_stack([data.labels[own[layer]] for layer in layers])
    again = load(folder).fit(samples, y if len(layers) > 1 else y[:, 0])
    assert again.label_layers_ == layers
    for ours, theirs in zip(again.factors_, model.factors_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    codes = model._fitted.method.transform(model._fit, samples.T)
    found = model.predict(samples).reshape(len(samples), -1)
    assert model.predict(samples).ndim == (1 if len(layers) == 1 else 2)
    for column, layer in zip(found.T, layers, strict=True):
        B = factors["B" if layer == 2 else f"B{layer}"]
        np.testing.assert_array_equal(column, np.argmax(B @ codes[layer], axis=0))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["b", "a"], ["b", "a"]),
        (["7", "10"], [7, 10]),
        (["07", "10"], ["07", "10"]),
        (["7", "9" * 30], ["7", "9" * 30]),
        (None, [0, 1]),
        (["a"], [0, 1]),
    ],
)
def test_classes_of_a_run_have_the_names_of_the_data(given, tmp_path, rng, names, classes):
    data = Dataset("given", rng.random((5, 8)), [np.arange(8) % 2], class_names=[["a", "b"]])
    config = given(data, "layers=2", "label_fraction=1", "max_iter=5", f"output={tmp_path}")
    folder = run_one(config, 0).folder
    if names is None:
        (folder / NAMES).unlink()
    else:
        (folder / NAMES).write_text(json.dumps({"classes": {"0": names}}))
    model = load(folder)
    assert model.classes_.tolist() == classes
    assert {*model.predict(data.X.T).tolist()} <= {*classes}
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").classes_.tolist() == classes


def test_a_run_without_labels_has_no_classes_and_one_without_factors_is_no_model(command, tmp_path):
    result = command("layers=9-4", "max_iter=2")
    folder = tmp_path / result.out.splitlines()[-1]
    assert load(folder).label_map_ is None
    (folder / "factors.npz").unlink()
    with pytest.raises(InputError, match=r"it holds no factors\.npz"):
        load(folder)
    (folder / "record.json").write_text("{}")
    with pytest.raises(InputError, match="no schema version"):
        load(folder)


def test_an_estimator_begins_where_another_has_ended(tmp_path):
    model = fitted(max_iter=3)
    model.save(tmp_path / "model")
    further = NeuralNMF(layers=(4, 2), init=Saved(str(tmp_path / "model")), max_iter=2).fit(X, y)
    assert further.history_["cost"][0] == pytest.approx(model.history_["cost"][-1], rel=1e-9)
    further.save(tmp_path / "further")
    assert load(tmp_path / "further").init == Saved(str(tmp_path / "model"))
    with pytest.raises(InputError, match=r"init=saved has no path"):
        fitted(init="saved")
    with pytest.raises(InputError, match="holds factors of shapes 15 x 4, 4 x 2, expected 15 x 3 for"):
        fitted(layers=(3,), init=Saved(str(tmp_path / "model")))
