"""A fitted model applied to new data: the numbers of `transform`, features matched by name, labels, errors."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import Dataset, File
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.estimators import HierarchicalNMF, load
from nnmf_runner.estimators.applying import apply
from nnmf_runner.methods import METHODS
from nnmf_runner.running.run import run_one
from nnmf_runner.store import record
from nnmf_runner.store.record import NAMES, RECORD

WORDS = [f"w{i}" for i in range(9)]
CLASSES = ["one", "two", "three"]


@pytest.fixture
def fitted(given, rng, tmp_path):
    """The folder of a run of data with names and classes."""

    def make(*overrides, names=WORDS, X=None):
        X = rng.random((9, 12)) if X is None else X
        data = Dataset("given", X, [np.arange(12) % 3], feature_names=names, class_names=[CLASSES])
        return run_one(given(data, "layers=3-2", "max_iter=5", f"output={tmp_path}", *overrides), 0).folder

    return make


@pytest.fixture
def new(tmp_path, rng):
    """A table of new samples with named columns, and what it holds."""

    def make(columns=WORDS, n=5):
        frame = pd.DataFrame(rng.random((n, len(columns))), columns=columns)
        frame.to_csv(tmp_path / "new.csv", index=False)
        return File(path=str(tmp_path / "new.csv")), frame

    return make


def tables(folder, source, output):
    paths = apply(folder, source, 0, output)
    return {path.stem: pd.read_csv(path, float_precision="round_trip") for path in paths}


def numbers(frame, start):
    return frame[[name for name in frame if name.startswith(start)]].to_numpy()


@pytest.mark.parametrize("options", ["method=hier", "method=neural normalise=true", "method=deep", "method=semi"])
def test_the_numbers_are_those_of_the_estimator(fitted, new, tmp_path, options):
    folder, (source, frame) = fitted(*options.split(), "label_fraction=1"), new()
    found, model = tables(folder, source, tmp_path / "out"), load(folder)
    X = frame.to_numpy()
    np.testing.assert_array_equal(numbers(found["codes"], "1."), model.transform(X))
    layer_0 = found["errors"]["relative error, layer 0"]
    last = model.inverse_transform(model.transform(X))
    distance = np.linalg.norm(X - last, axis=1) / np.linalg.norm(X, axis=1)
    np.testing.assert_allclose(found["errors"]["relative error, layer 1"], distance, rtol=1e-9)
    first = model._fitted.fit.A[0] @ numbers(found["codes"], "0.").T
    if "deep" not in options:
        np.testing.assert_allclose(layer_0, np.linalg.norm(X.T - first, axis=0) / np.linalg.norm(X, axis=1))
    assert found["labels"]["class"].tolist() == [CLASSES[c] for c in model.predict(X)]
    scores = numbers(found["labels"], "score of ")
    assert [CLASSES[c] for c in scores.argmax(axis=1)] == found["labels"]["class"].tolist()


def test_features_are_matched_by_name_and_stay_so_without_the_data(fitted, new, tmp_path):
    folder, (source, frame) = fitted("method=hier"), new(WORDS[::-1])
    found = tables(folder, source, tmp_path / "out")
    assert json.loads((folder / NAMES).read_text()) == {"features": WORDS, "classes": {}}
    np.testing.assert_array_equal(numbers(found["codes"], "1."), load(folder).transform(frame[WORDS].to_numpy()))
    assert list(found) == ["codes", "errors"]


@pytest.mark.slow
def test_other_features_are_named(fitted, new, tmp_path):
    folder = fitted("method=hier")
    told = "2 are missing (w7, w8), 4 are unknown (a, b, c, ...). Expected the features of the fit, in any order."
    with pytest.raises(InputError, match=re.escape(told)):
        apply(folder, new([*WORDS[:7], *"abcd"])[0], 0, tmp_path / "out")
    np.save(tmp_path / "new.npy", np.ones((2, 11)))
    with pytest.raises(InputError, match=r"have 11 features and run=.* has 9: 0 are missing, 2 are unknown"):
        apply(folder, File(path=str(tmp_path / "new.npy")), 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_kept_no_names_has_those_of_its_data(fitted, new, tmp_path):
    folder, (source, frame) = fitted("method=hier"), new(WORDS[::-1])
    (folder / NAMES).unlink()  # as of an earlier version
    found = tables(folder, source, tmp_path / "out")
    np.testing.assert_array_equal(numbers(found["codes"], "1."), load(folder).transform(frame[WORDS].to_numpy()))


def test_names_beyond_a_bound_are_not_kept(fitted, monkeypatch):
    monkeypatch.setattr(record, "MOST_CHARACTERS", 50)
    assert not (fitted("method=hier") / NAMES).exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"classes": {"0": [1]}}', '{"features": ["a"], "classes": {}}'])
def test_damaged_names_are_refused(fitted, new, tmp_path, text):
    folder = fitted("method=hier")
    (folder / NAMES).write_text(text)
    with pytest.raises(InputError, match=r"not usable as a model: names\.json "):
        apply(folder, new()[0], 0, tmp_path / "out")


def test_a_method_that_cannot_encode_is_refused(fitted, new, tmp_path, monkeypatch):
    folder = fitted("method=hier")

    def encode(*arguments):  # as of somebody's own method
        raise NotImplementedError

    monkeypatch.setattr(METHODS["hier"], "encode", encode)
    with pytest.raises(InputError, match="is of a method that cannot encode new data"):
        apply(folder, new()[0], 0, tmp_path / "out")


@pytest.mark.slow
def test_tfidf_weights_are_refused_on_either_side(command, fitted, new, tmp_path):
    (tmp_path / "counts.csv").write_text("a,b,c\n1,2,0\n0,1,1\n3,0,1\n")
    weighted = ["dataset=file", "dataset.path=counts.csv", "dataset.weighting=tfidf"]
    named = fitted("method=hier")
    folder = command("method=hier", "layers=2", "max_iter=2", *weighted).out.splitlines()[-1]
    for arguments in ([folder, *weighted[:2]], [named, *weighted]):
        result = command(*arguments, program="nnmf-apply")
        assert (result.status, len(result.err.splitlines())) == (2, 1)
        assert "weighted by tf-idf, whose weights of words come from all documents of the fit" in result.err


def test_without_names_features_are_matched_by_number(fitted, tmp_path, rng):
    folder, X = fitted("method=hier", names=None), rng.random((4, 9))
    X[2] = 0.0
    sparse.save_npz(tmp_path / "new.npz", sparse.csr_array(X))
    found = tables(folder, File(path=str(tmp_path / "new.npz")), tmp_path / "out")
    np.testing.assert_allclose(numbers(found["codes"], "1."), load(folder).transform(X), rtol=1e-9, atol=1e-12)
    assert found["errors"].iloc[2].tolist() == [2, 0, 0]
    assert not numbers(found["codes"], "")[2, 1:].any()


def test_missing_entries_are_left_out_of_codes_and_errors(fitted, new, tmp_path):
    folder, (source, frame) = fitted("method=neural"), new()
    frame.iloc[1, 3] = np.nan
    frame.to_csv(source.path, index=False)
    found, X, model = tables(folder, source, tmp_path / "out"), frame.to_numpy(), load(folder)
    codes = model.transform(X)
    np.testing.assert_array_equal(numbers(found["codes"], "1."), codes)
    residual = np.nan_to_num(X - model.inverse_transform(codes))
    ours = found["errors"]["relative error, layer 1"]
    np.testing.assert_allclose(ours, np.linalg.norm(residual, axis=1) / np.linalg.norm(np.nan_to_num(X), axis=1))


def test_a_saved_model_keeps_names_and_classes(new, tmp_path):
    (source, frame), y = new(n=8), np.array(["a", "b"] * 4)
    model = HierarchicalNMF(layers=(3, 2), max_iter=5, label_weight=1.0, random_state=0).fit(frame, y)
    model.save(tmp_path / "model")
    found = tables(tmp_path / "model", source, tmp_path / "out")
    np.testing.assert_array_equal(numbers(found["codes"], "1."), model.transform(frame))
    assert found["labels"]["class"].tolist() == model.predict(frame).tolist()
    assert found["codes"].columns[1].split()[1] in WORDS


def test_a_tensor_meets_tensors(given, tmp_path, rng):
    X = rng.random((8, 2, 3))
    modes = Modes((2, 3, 8), ("a", "b", "sample"), (None,) * 3)
    data = Dataset("given", np.moveaxis(X, 0, -1).reshape(6, 8), modes=modes)
    folder = run_one(given(data, "method=ncpd", "layers=2", "max_iter=5", f"output={tmp_path}"), 0).folder
    np.save(tmp_path / "new.npy", X)
    found = tables(folder, File(path=str(tmp_path / "new.npy")), tmp_path / "out")
    np.testing.assert_array_equal(numbers(found["codes"], "0."), load(folder).transform(X))


@pytest.mark.slow
def test_the_command_line_writes_whole_folders_and_refuses_in_one_line(command, tmp_path, rng):
    folder = command("method=hier", "layers=4-2", "max_iter=2").out.splitlines()[-1]
    np.save(tmp_path / "new.npy", rng.random((3, 87)))
    np.save(tmp_path / "bad.npy", -np.ones((3, 87)))
    new = ["dataset=file", "dataset.path=new.npy"]
    result = command(folder, *new, "output=out", program="nnmf-apply")
    assert (result.status, result.out.splitlines()) == (0, ["out/codes.csv", "out/errors.csv"])
    (tmp_path / "file").touch()
    old = tmp_path / "old"
    old.mkdir()
    (old / RECORD).write_text('{"schema": 3}')
    refused = {
        "exists": [folder, *new, "output=out"],
        "file": [folder, *new, "output=file/below"],
        "no such folder": ["absent", *new],
        "schema version 3": ["old", *new],
        "negative": [folder, "dataset=file", "dataset.path=bad.npy"],
        "dataset has to be given": [folder],
        "no option of new data": [folder, *new, "layers=3"],
        "tf-idf": [folder, "dataset=text", "dataset.path=posts"],
        "RUN": [],
    }
    for said, arguments in refused.items():
        result = command(*arguments, program="nnmf-apply")
        assert (result.status, result.out) == (2, ""), said
        assert len(result.err.splitlines()) == 1, result.err
        assert said in result.err
        assert result.err.startswith("nnmf-apply: ")
