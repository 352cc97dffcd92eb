"""A fitted model applied to new data: the numbers of `transform`, features matched by name, labels, errors."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import Dataset, File
from nnmf_runner.datasets.files import shards
from nnmf_runner.datasets.files.shards import Sharded
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.estimators import HierarchicalNMF, load
from nnmf_runner.estimators.applying import apply, of_summary, summary
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
    paths = apply(folder, source, 0, output).paths
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
    assert found["labels"]["class"].tolist() == model.predict(X).tolist()
    scores = numbers(found["labels"], "score of ")
    assert [CLASSES[c] for c in scores.argmax(axis=1)] == found["labels"]["class"].tolist()


@pytest.mark.parametrize("sample_names", [None, [f"s{j}" for j in range(7)]])
def test_shards_are_read_one_after_the_other(fitted, tmp_path, rng, monkeypatch, sample_names):
    """Of more than the memory, too: nothing asks for the whole of them."""
    folder, X = fitted("method=hier", "label_fraction=1"), rng.random((9, 7))
    about = {"names": WORDS, "labels": [np.array([0, 1, -1, 2, 0, 1, -1])], "class_names": [CLASSES]}
    for name, ends in (("whole", (0, 7)), ("cut", (0, 3, 4, 7))):
        cut = [X[:, start:stop] for start, stop in pairwise(ends)]
        shards.write_shards(tmp_path / name, X.shape, cut, sample_names=sample_names, **about)
    monkeypatch.setattr(shards, "MEMORY", 100)
    found, expected = (
        tables(folder, Sharded(str(tmp_path / name)), tmp_path / f"of_{name}") for name in ("cut", "whole")
    )
    np.testing.assert_allclose(numbers(found["codes"], "1."), load(folder).transform(X.T))
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame)
        assert frame["sample"].tolist() == (sample_names or [*range(7)])
    sources = [Sharded(str(tmp_path / name)) for name in ("cut", "whole")]
    told = [apply(folder, source, 0, tmp_path / f"again{i}").summary for i, source in enumerate(sources)]
    assert told[0] == told[1]
    assert told[0].startswith("7 samples\n")


def test_samples_of_zeros_are_counted_and_no_part_of_what_is_told():
    errors, classes = [0.1, np.nan, 0.3], ["a", None, "a"]
    found = pd.DataFrame({"relative error, layer 0": errors, "class": classes})
    assert summary(found).splitlines() == [
        "3 samples, 1 of them all zeros",
        "relative error, layer 0: median 0.2000, largest 0.3000",
        "predicted class: a (2)",
    ]
    assert summary(found.iloc[1:2]) == "1 sample, 1 of them all zeros"


def test_features_are_matched_by_name_and_stay_so_without_the_data(fitted, new, tmp_path):
    folder, (source, frame) = fitted("method=hier"), new(WORDS[::-1])
    found = tables(folder, source, tmp_path / "out")
    assert json.loads((folder / NAMES).read_text()) == {"features": WORDS}
    np.testing.assert_array_equal(numbers(found["codes"], "1."), load(folder).transform(frame[WORDS].to_numpy()))
    assert list(found) == ["codes", "errors"]


@pytest.mark.slow
def test_a_sample_of_zeros_has_no_class_and_no_error(fitted, tmp_path):
    folder = fitted("method=hier", "label_fraction=1")
    pd.DataFrame(np.vstack([np.zeros(9), np.ones(9)]), columns=WORDS).to_csv(tmp_path / "new.csv", index=False)
    found = tables(folder, File(path=str(tmp_path / "new.csv")), tmp_path / "out")
    assert found["labels"]["class"].isna().tolist() == [True, False]
    assert found["errors"].isna().sum(axis=1).tolist() == [2, 0]  # at both layers
    assert not numbers(found["codes"], "1.")[0].any()


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


def test_names_of_very_many_samples_are_not_kept_and_the_log_says_so(given, tmp_path, rng, monkeypatch, caplog):
    data = Dataset("given", rng.random((3, 4)), feature_names=[*"abc"], sample_names=[*"pqrs"])
    for most, kept in ((4, [*"pqrs"]), (3, None)):
        monkeypatch.setattr(record, "MOST_SAMPLES", most)
        with caplog.at_level("INFO"):
            folder = run_one(given(data, "layers=2", "max_iter=5", "force=true", f"output={tmp_path}"), 0).folder
        assert record.read_names(folder, 3) | {"samples": kept} == record.read_names(folder, 3)
        assert ("Names of 4 samples are not kept with a run; up to 3 are." in caplog.text) == (kept is None)


def test_names_beyond_a_bound_are_not_kept(fitted, monkeypatch):
    monkeypatch.setattr(record, "MOST_CHARACTERS", 50)
    assert not (fitted("method=hier") / NAMES).exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"classes": {"0": [1]}}',
        '{"features": ["a"], "classes": {}}',
        '{"samples": "ab"}',
        '{"samples": ["a"]}',
        '{"words": []}',
        '{"weights": {"options": {}, "idf": [1]}}',
        '{"weights": {"options": {}, "idf": [1, 1, 1, 1, 1, 1, 1, 1, NaN]}}',
    ],
)
def test_damaged_names_are_refused(fitted, new, tmp_path, text):
    folder = fitted("method=hier")
    (folder / NAMES).write_text(text)
    with pytest.raises(InputError, match=r"not usable as a model: names\.json "):
        apply(folder, new()[0], 0, tmp_path / "out")


def test_damaged_weights_of_words_are_refused(fitted, new, tmp_path):
    folder = fitted("method=hier")
    (folder / NAMES).write_text('{"weights": {"options": {"idf": true}, "idf": null}}')
    with pytest.raises(InputError, match=r"path=.* not usable as a model: what it keeps of the weights of words is"):
        load(folder)
    with pytest.raises(InputError, match=r"run=.* not usable as a model: what it keeps of the weights of words is"):
        apply(folder, new()[0], 0, tmp_path / "out")


def test_a_method_that_cannot_encode_is_refused(fitted, new, tmp_path, monkeypatch):
    folder = fitted("method=hier")

    def encode(*arguments):  # as of somebody's own method
        raise NotImplementedError

    monkeypatch.setattr(METHODS["hier"], "encode", encode)
    with pytest.raises(InputError, match="is of a method that cannot encode new data"):
        apply(folder, new()[0], 0, tmp_path / "out")


TEXTS = {
    "ice": ["goal puck goal rink", "rink puck team", "team goal skate"],
    "space": ["orbit moon launch", "launch orbit rocket", "moon orbit team"],
}
NEW = ["Orbit orbit team ant", "the puck", "zebra zebra", ""]


@pytest.fixture
def of_text(command, tmp_path):
    """The folder of a run on texts."""
    pytest.importorskip("sklearn")
    for theme, texts in TEXTS.items():
        (tmp_path / "posts" / theme).mkdir(parents=True)
        for i, text in enumerate(texts):
            (tmp_path / "posts" / theme / f"{i}.txt").write_text(text)
    (tmp_path / "new").mkdir()
    for i, text in enumerate(NEW):
        (tmp_path / "new" / f"{i}.txt").write_text(text)

    def make(*overrides):
        options = ["dataset=text", "dataset.path=posts", "layers=2", "label_fraction=1", "max_iter=50", *overrides]
        return tmp_path / command(*options).out.splitlines()[-1]

    return make


@pytest.mark.parametrize(
    ("options", "of_sklearn"),
    [
        ([], {}),
        (["dataset.norm=l1", "dataset.sublinear=true"], {"norm": "l1", "sublinear_tf": True}),
        (["dataset.idf=false", "dataset.norm=null"], {"use_idf": False, "norm": None}),
        (["dataset.min_df=2", "dataset.stop_words=[team]"], {"min_df": 2, "stop_words": ["team"]}),
        (["dataset.lowercase=false", "dataset.stop_words=null"], {"lowercase": False, "stop_words": None}),
    ],
)
def test_new_texts_have_the_weights_of_the_fit(command, of_text, tmp_path, options, of_sklearn):
    from sklearn.feature_extraction.text import TfidfVectorizer

    theirs = TfidfVectorizer(**{"stop_words": "english"} | of_sklearn).fit([*TEXTS["ice"], *TEXTS["space"]])
    folder = of_text(*options)
    command(folder, "dataset=text", "dataset.path=new", "output=out", program="nnmf-apply")
    found = {path.stem: pd.read_csv(path, float_precision="round_trip") for path in (tmp_path / "out").iterdir()}
    model = load(folder)
    assert model.feature_names_in_.tolist() == theirs.get_feature_names_out().tolist()
    assert model.classes_.tolist() == ["ice", "space"]
    np.testing.assert_array_equal(numbers(found["codes"], "0."), model.transform(NEW))
    np.testing.assert_allclose(model.transform(NEW), model.transform(theirs.transform(NEW)), rtol=1e-9, atol=1e-12)
    with pytest.warns(UserWarning, match="samples? (is|are) all zeros"):
        classes = model.predict(pd.Series(NEW))
    strange = ~model.transform(NEW).any(axis=1)  # that texts of none of these words are
    assert strange[-1]
    assert found["labels"]["class"].tolist()[:2] == classes.tolist()[:2]
    assert found["labels"]["class"].isna().tolist() == strange.tolist()
    assert found["codes"]["sample"].tolist() == [f"{i}.txt" for i in range(len(NEW))]
    assert found["errors"].iloc[:, 1].isna().tolist() == strange.tolist()
    model.save(tmp_path / "model")
    command("model", "dataset=text", "dataset.path=new", "output=again", program="nnmf-apply")
    for name in found:
        assert (tmp_path / "again" / f"{name}.csv").read_bytes() == (tmp_path / "out" / f"{name}.csv").read_bytes()


def test_words_that_are_missing_and_unknown_are_counted_in_one_line(command, of_text, caplog):
    result = command(of_text(), "dataset=text", "dataset.path=new", program="nnmf-apply")
    assert result.status == 0
    said = (
        "The new texts have 3 of 9 words of the fit, 6 are missing; 2 are unknown (zebra, ant) and not counted. "
        "2 of 4 texts have none."
    )
    assert said in result.err


def test_texts_may_stand_in_a_table_with_classes_of_their_own(command, of_text, tmp_path):
    (tmp_path / "new.csv").write_text("text,theme\norbit moon,a\npuck,b\n")
    options = ["dataset.path=new.csv", "dataset.label_columns=[theme]", "dataset.keep_empty=true"]
    assert command(of_text(), "dataset=text", *options, "output=out", program="nnmf-apply").status == 0
    found = {path.stem: pd.read_csv(path) for path in (tmp_path / "out").iterdir()}
    assert found["codes"]["sample"].tolist() == ["orbit moon", "puck"]
    assert found["codes"]["class"].tolist() == ["a", "b"]
    assert found["labels"]["class"].tolist() == ["space", "ice"]


def test_a_run_on_shards_of_texts_takes_texts(command, of_text, tmp_path):
    folder = of_text()
    command("dataset=text", "dataset.path=posts", "shards", "columns=4", program="nnmf-shards")
    options = ["dataset=shards", "dataset.path=shards", "layers=2", "label_fraction=1", "max_iter=50"]
    model = load(tmp_path / command(*options).out.splitlines()[-1])
    np.testing.assert_allclose(model.transform(NEW), load(folder).transform(NEW), rtol=1e-9, atol=1e-12)
    with pytest.warns(UserWarning, match="all zeros"):
        assert model.predict(NEW).tolist() == load(folder).predict(NEW).tolist()


def test_counts_of_words_in_a_table_are_weighed_too(command, of_text, tmp_path):
    folder = of_text()
    model = load(folder)
    words = model.feature_names_in_.tolist()
    counts = pd.DataFrame(0, index=range(2), columns=words[::-1])
    counts.loc[0, "orbit"] = counts.loc[1, "puck"] = 2
    counts.to_csv(tmp_path / "counts.csv", index=False)
    for i, weighting in enumerate([[], ["dataset.weighting=tfidf"]]):
        options = ["dataset=file", "dataset.path=counts.csv", *weighting, f"output=out{i}"]
        assert command(folder, *options, program="nnmf-apply").status == 0
        codes = pd.read_csv(tmp_path / f"out{i}" / "codes.csv", float_precision="round_trip")
        np.testing.assert_array_equal(numbers(codes, "0."), model.transform(["orbit orbit", "puck puck"]))


def test_counts_in_files_get_the_frequencies_of_the_fit(command, tmp_path):
    from sklearn.feature_extraction.text import TfidfTransformer

    counts = np.array([[1, 2, 0], [0, 1, 1], [3, 0, 1], [0, 0, 2]])
    pd.DataFrame(counts, columns=[*"abc"]).to_csv(tmp_path / "counts.csv", index=False)
    pd.DataFrame(counts[:2, ::-1], columns=[*"cba"]).to_csv(tmp_path / "new.csv", index=False)
    weighted = ["dataset=file", "dataset.path=counts.csv", "dataset.weighting=tfidf", "dataset.norm=l1"]
    folder = command("method=hier", "layers=2", "max_iter=9", *weighted).out.splitlines()[-1]
    command(folder, "dataset=file", "dataset.path=new.csv", "output=out", program="nnmf-apply")
    codes = pd.read_csv(tmp_path / "out" / "codes.csv", float_precision="round_trip")
    X = TfidfTransformer(norm="l1").fit(counts).transform(counts[:2])
    np.testing.assert_allclose(numbers(codes, "0."), load(folder).transform(X), rtol=1e-9, atol=1e-12)
    (tmp_path / "new.csv").write_text("a,b,c\n0.5,1,0\n")
    result = command(folder, "dataset=file", "dataset.path=new.csv", program="nnmf-apply")
    assert (result.status, result.out) == (2, "")
    said = "the new data: X holds 0.5 for feature 0 of sample 0 (from 0), and tf-idf weights are made of counts"
    assert said in result.err
    with pytest.raises(InputError, match="no vocabulary to count their words by"):
        load(folder).transform(["a b"])
    (tmp_path / "texts.csv").write_text("text\na b\n")
    result = command(folder, "dataset=text", "dataset.path=texts.csv", program="nnmf-apply")
    assert (result.status, "is not of text" in result.err) == (2, True)


@pytest.mark.slow
def test_new_data_that_do_not_go_with_the_words_of_a_fit_are_refused_in_one_line(command, of_text, fitted, tmp_path):
    folder, other = of_text(), fitted("method=hier")
    old, cut = of_text("seed=1"), of_text("seed=2")
    (old / NAMES).unlink()  # as of an earlier version
    (cut / NAMES).write_text(json.dumps({"features": json.loads((cut / NAMES).read_text())["features"]}))
    (tmp_path / "alien").mkdir()
    (tmp_path / "alien" / "1.txt").write_text("zebra giraffe")
    (tmp_path / "named.csv").write_text("goal,zebra\n1,2\n")
    new = ["dataset=text", "dataset.path=new"]
    refused = {
        "have no word in common with": [folder, "dataset=text", "dataset.path=alien"],
        "which knows 9: 2 are unknown (giraffe, zebra)": [folder, "dataset=text", "dataset.path=alien"],
        "8 are missing (launch, moon, orbit, ...), 1 is unknown": [folder, "dataset=file", "dataset.path=named.csv"],
        "does not keep how they were weighted": [old, *new],
        "give its command again": [cut, *new],
        "is not of text": [other, *new],
        "weighs counts": [other, "dataset=file", "dataset.path=named.csv", "dataset.weighting=tfidf"],
        "dataset.min_df=2 chooses words": [folder, *new, "dataset.min_df=2"],
        "dataset.norm=l1 is not as in the fit, where it is l2": [folder, *new, "dataset.norm=l1"],
        "dataset.stop_words=null is not as in the fit": [folder, *new, "dataset.stop_words=null"],
    }
    for said, arguments in refused.items():
        result = command(*arguments, "output=out", program="nnmf-apply")
        assert (result.status, result.out) == (2, ""), said
        assert said in result.err
        assert len(result.err.splitlines()) == 1, result.err
    assert not (tmp_path / "out").exists()
    assert load(old).transform(np.ones((1, 9))).shape == (1, 2)  # which is still a model of numbers
    for model in (load(old), load(cut), load(other)):
        with pytest.raises(InputError, match="X holds texts, and this model has no vocabulary"):
            model.transform(NEW)


def test_pictures_meet_pictures_of_their_size(command, tmp_path, rng):
    np.save(tmp_path / "pictures.npy", rng.random((12, 3, 4)))
    np.save(tmp_path / "new.npy", X := rng.random((5, 3, 4)))
    options = ["dataset=file", "dataset.image_shape=[3,4]"]
    folder = command(*options, "dataset.path=pictures.npy", "layers=2", "max_iter=9").out.splitlines()[-1]
    assert command(folder, *options, "dataset.path=new.npy", "output=out", program="nnmf-apply").status == 0
    codes = pd.read_csv(tmp_path / "out" / "codes.csv", float_precision="round_trip")
    np.testing.assert_array_equal(numbers(codes, "0."), load(folder).transform(X.reshape(5, 12)))
    np.save(tmp_path / "new.npy", rng.random((5, 3, 5)))
    options[1] = "dataset.image_shape=[3,5]"
    result = command(folder, *options, "dataset.path=new.npy", program="nnmf-apply")
    assert result.status == 2
    assert "have 15 features and" in result.err
    assert "3 are unknown (matched by number" in result.err


def test_without_names_features_are_matched_by_number(fitted, tmp_path, rng):
    folder, X = fitted("method=hier", names=None), rng.random((4, 9))
    X[2] = 0.0
    sparse.save_npz(tmp_path / "new.npz", sparse.csr_array(X))
    found = tables(folder, File(path=str(tmp_path / "new.npz")), tmp_path / "out")
    np.testing.assert_allclose(numbers(found["codes"], "1."), load(folder).transform(X), rtol=1e-9, atol=1e-12)
    assert found["errors"].isna().sum(axis=1).tolist() == [0, 0, 2, 0]
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


def test_the_summary_tells_errors_and_how_many_samples_each_class_is_predicted_for():
    errors = pd.DataFrame({"sample": range(3), "relative error, layer 0": [0.1, 0.7, 0.2]})
    labels = pd.DataFrame({"sample": range(3), "class, level 1": ["b", "a", "b"], "score of class, level 1": 1.0})
    assert summary(of_summary({"codes": errors, "errors": errors, "labels": labels})).splitlines() == [
        "3 samples",
        "relative error, layer 0: median 0.2000, largest 0.7000",
        "predicted class, level 1: b (2), a (1)",
    ]
    many = pd.DataFrame({"relative error": 0.5, "class": [f"c{i}" for i in range(12)]})
    assert summary(many).endswith(", 2 further classes")


@pytest.mark.slow
def test_the_command_line_writes_whole_folders_and_refuses_in_one_line(command, tmp_path, rng):
    folder = command("method=hier", "layers=4-2", "max_iter=2").out.splitlines()[-1]
    np.save(tmp_path / "new.npy", rng.random((3, 87)))
    np.save(tmp_path / "bad.npy", -np.ones((3, 87)))
    new = ["dataset=file", "dataset.path=new.npy"]
    result = command(folder, *new, "output=out", program="nnmf-apply")
    count, *errors, codes, table = result.out.splitlines()
    assert (result.status, count, codes, table) == (0, "3 samples", "out/codes.csv", "out/errors.csv")
    assert [line.split(":")[0] for line in errors] == ["relative error, layer 0", "relative error, layer 1"]
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
        "not of text": [folder, "dataset=text", "dataset.path=posts"],
        "RUN": [],
    }
    for said, arguments in refused.items():
        result = command(*arguments, program="nnmf-apply")
        assert (result.status, result.out) == (2, ""), said
        assert len(result.err.splitlines()) == 1, result.err
        assert said in result.err
        assert result.err.startswith("nnmf-apply: ")
