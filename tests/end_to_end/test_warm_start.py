"""Runs that begin where an earlier one ended."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from nnmf_runner import NeuralNMF, load
from nnmf_runner.config import composition
from nnmf_runner.core.checks import InputError
from nnmf_runner.report.data import load_data
from nnmf_runner.store.record import find_records, read_factors, read_history, read_record

pytestmark = pytest.mark.slow


@pytest.fixture
def earlier(command, tmp_path):
    """The folder of a run that was stopped early, beside an empty `outputs`."""
    result = command("layers=9-4", "max_iter=3", "output=before")
    assert result.status == 0
    return tmp_path / result.out.splitlines()[-1]


def run_in(tmp_path):
    """Records of the runs below `outputs`, by their folders."""
    return {path.parent: read_record(path) for path in find_records(tmp_path / "outputs")}


@pytest.mark.parametrize("form", ["init={path}", "init=saved init.path={path}"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_run_goes_on_from_the_factors_of_another(command, tmp_path, earlier, form, relative):
    path = earlier.relative_to(tmp_path) if relative else earlier
    result = command(*form.format(path=path).split(), "layers=9-4", "max_iter=2")
    assert result.status == 0
    ((folder, record),) = run_in(tmp_path).items()
    assert read_history(folder)["cost"][0] == pytest.approx(read_history(earlier)["cost"][-1], rel=1e-9)
    assert set(record["config"]["init"]) == {"name", "digest"}


def test_a_saved_model_serves_as_well(command, tmp_path):
    X = np.abs(np.random.default_rng(0).standard_normal((90, 87)))
    NeuralNMF(layers=(9, 4), max_iter=2).fit(X).save(tmp_path / "model")
    assert command("init=model", "layers=9-4", "max_iter=1").status == 0  # a folder needs no separator


def test_a_run_is_known_by_the_factors_it_began_with_not_by_where_they_were(command, tmp_path, earlier):
    shutil.copytree(earlier, tmp_path / "moved")
    line = ("layers=9-4", "max_iter=1")
    command(f"init={earlier}", *line)
    command("init=./moved", *line)
    assert len(run_in(tmp_path)) == 1
    factors = read_factors(tmp_path / "moved")
    np.savez(tmp_path / "moved" / "factors.npz", **{**factors, "A1": factors["A1"] + 0.1})
    command("init=./moved", *line)
    assert len(run_in(tmp_path)) == 2
    np.savez(tmp_path / "moved" / "factors.npz", A0=factors["A0"], A1=factors["A1"])  # codes are no part of the start
    command("init=./moved", *line)
    assert len(run_in(tmp_path)) == 2


def test_a_sweep_over_starts(command, tmp_path, earlier):
    again = command("layers=9-4", "max_iter=5", "output=before")
    other = again.out.splitlines()[-1]
    result = command("-m", f"init={earlier},{other}", "layers=9-4", "max_iter=1")
    assert result.status == 0
    assert len(run_in(tmp_path)) == 2


def is_refused(result, before, parts):
    assert (result.status, result.out, result.files) == (2, "", before)
    assert result.err.count("\n") == 1
    assert result.err.startswith("nnmf-run: ")
    assert [part for part in parts if part not in result.err] == []


BAD = [
    ("init=saved layers=9-4", ["init=saved has no path. Expected init.path=..., the folder"]),
    ("init=no/where layers=9-4", ["init.path=no/where is not a folder"]),
    (
        "init=before layers=9-4",
        ["init.path=before cannot be used as initial factors: factors.npz cannot be read: No such file"],
    ),
    ("init={path} layers=9-5", ["87 x 9, 9 x 4, expected 87 x 9, 9 x 5", "layers=9-5"]),
    ("init={path} layers=9-4-2", ["expected 87 x 9, 9 x 4, 4 x 2"]),
    ("-m init=saved init.path={path},no/where layers=9-4", ["init.path=no/where is not a folder"]),
    ("-m init={path} layers=9-4,9-5", ["expected 87 x 9, 9 x 5"]),
    ("-m init=nndsvd,{path} layers=9-4", ["init=nndsvd,", "mixes paths with other options"]),
    ("init=nndsdv layers=9-4", ["init=nndsdv is not known", "Did you mean 'nndsvd'?"]),
    ("layers=9-4 fixed=[0]", ["fixed=[0] holds the factor of layer 0", "but init=nndsvd gives none", "init=PATH"]),
    ("layers=9-4 fixed=[1] init=random", ["fixed=[1] holds the factor of layer 1", "but init=random gives none"]),
    ("init={path} layers=9-4 fixed=[2]", ["fixed[0]=2 is no layer. Expected integers in [0, 1]"]),
    ("init={path} layers=9-4 fixed=[-1]", ["fixed[0]=-1 is no layer"]),
    ("init={path} layers=9-4 fixed=0", ["fixed=0", "a list, such as 'fixed=[0]'"]),
    ("init={path} layers=9-4 fixed=[a]", ["fixed"]),
    ("init={path} layers=9-4 fixed=[0] normalise=true", ["fixed=[0] and normalise=true contradict each other"]),
    ("init={path} layers=9 method=unfolded fixed=[0]", ["method=unfolded with these options cannot", "method=hier"]),
    (
        "init={path} layers=9-4 method=deep method.pooling=max fixed=[1]",
        ["layer 1, which method=deep", "method.pooling"],
    ),
    ("init={path} layers=9-4 init.rest=random", ["init.rest=random is not known", "nndsvd"]),
    ("-m init={path} layers=9-4 fixed=[0],[5]", ["fixed[0]=5 is no layer"]),
    ("init=none.npz layers=9-4", ["init.path=none.npz is not a folder or a .npz file"]),
    ("init.path={path} layers=9-4", ["init.path is not an option of the chosen init. It is one of: init=saved"]),
]


@pytest.mark.parametrize(("line", "parts"), BAD, ids=[line for line, _ in BAD])
def test_a_bad_start_is_refused_before_anything_is_written(command, tmp_path, earlier, line, parts):
    before = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    is_refused(command(*line.format(path=earlier).split(), "max_iter=1"), before, parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda factors: {**factors, "A1": -factors["A1"]}, "needs nonnegative ones"),
        (lambda factors: {**factors, "A0": factors["A0"][1:]}, "86 x 9, 9 x 4, expected 87 x 9, 9 x 4 for 87 features"),
        (lambda factors: {"S0": factors["S0"]}, "factors.npz has no factor A0"),
        (lambda factors: {**factors, "A1": factors["A1"] * np.nan}, "A1 holds entries that are NaN"),
        (lambda factors: {**factors, "A0": np.full((2, 2), None)}, "Object arrays cannot be loaded"),
    ],
    ids=["negative", "other rows", "no factors", "nan", "objects"],
)
def test_bad_factors_are_refused_before_anything_is_written(command, tmp_path, earlier, change, message):
    np.savez(earlier / "factors.npz", **change(read_factors(earlier)))
    before = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    is_refused(command(f"init={earlier}", "layers=9-4", "max_iter=1"), before, [message])


def test_only_what_is_a_path_is_written_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "nndsvd", "a, b's"):
        (tmp_path / name).mkdir()
    (tmp_path / "a b,c.npz").touch()
    for argument, full in {
        "init=nndsvd": ["init=nndsvd"],
        "init=": ["init="],
        "init=random,nndsvd": ["init=random,nndsvd"],
        "init.path=x/y": ["init.path=x/y"],
        "output=x/y": ["output=x/y"],
        "output=folder": ["output=folder"],
        "output='x (1)'": ["output='x (1)'"],
        "output=x (1)": ["output='x (1)'"],
        "init=mine.npz": ["init=saved", "init.path=mine.npz"],
        "init=a.npz,b.npz": ["init=saved", "init.path=a.npz,b.npz"],
        "init=a b,c.npz": ["init=saved", "init.path='a b,c.npz'"],
        "dataset.path=~/a.npz,b c.npz": ["dataset.path='~/a.npz','b c.npz'"],
        "dataset.path=a.npz,b.npz": ["dataset.path=a.npz,b.npz"],
        "dataset.path=a, b's": [r"dataset.path='a, b\'s'"],
        "name=x (1)": ["name='x (1)'"],
        "init=folder": ["init=saved", "init.path=folder"],
        "init=x/y": ["init=saved", "init.path=x/y"],
        "init=x/y,folder": ["init=saved", "init.path=x/y,folder"],
        "init=a, b's": ["init=saved", r"init.path='a, b\'s'"],
    }.items():
        assert composition.expanded([argument]) == full
    with pytest.raises(InputError, match=r"^init=nndsdv is not known\..*; or a path that is there, .*'nndsvd'\?$"):
        composition.expanded(["init=nndsdv"])


def test_a_path_with_every_kind_of_sign(command, tmp_path, earlier):
    strange = tmp_path / "it's [a], {b}=c: d"
    shutil.copytree(earlier, strange)
    assert command(f"init={strange}", "layers=9-4", "max_iter=1").status == 0


def test_a_run_starts_from_a_file_of_arrays_and_leaves_what_is_fixed(command, tmp_path, earlier):
    factors = {name: array for name, array in read_factors(earlier).items() if name.startswith("A")}
    np.savez(tmp_path / "mine.npz", **factors)
    for line in (f"init={earlier}", "init=mine.npz"):
        assert command(line, "layers=9-4", "fixed=[1]", "max_iter=2").status == 0
    ((folder, record),) = run_in(tmp_path).items()  # of equal values
    assert record["config"]["fixed"] == [1]
    found = read_factors(folder)
    assert found["A1"].tobytes() == factors["A1"].tobytes()
    assert not np.array_equal(found["A0"], factors["A0"])
    np.savez(tmp_path / "mine.npz", A0=factors["A0"], A1=factors["A1"] * 1.5)
    for fixed in ("[1]", "[]", "[0]", "[0,1]"):
        assert command("init=mine.npz", "layers=9-4", f"fixed={fixed}", "max_iter=2").status == 0
    records = run_in(tmp_path)
    assert len(records) == 5
    assert sum("fixed" not in record["config"] for record in records.values()) == 1  # as in older records


def test_a_file_may_lack_factors_that_are_to_be_made(command, tmp_path, earlier):
    np.savez(tmp_path / "first.npz", A0=read_factors(earlier)["A0"])
    before = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    refused = command("init=first.npz", "layers=9-4", "max_iter=2")
    is_refused(refused, before, ["87 x 9, expected 87 x 9, 9 x 4", "init.rest=nndsvd"])
    assert command("init=first.npz", "init.rest=nndsvd", "layers=9-4", "fixed=[0]", "max_iter=2").status == 0
    refused = command("init=first.npz", "init.rest=nndsvd", "layers=9-4", "fixed=[1]", "max_iter=2")
    assert (refused.status, "A1 among them" in refused.err) == (2, True)
    ((folder, record),) = run_in(tmp_path).items()
    again = load(folder).fit(load_data(record).X.T)
    for ours, theirs in zip(again.factors_, (read_factors(folder)[name] for name in ("A0", "A1")), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.fixed == (0,)


@pytest.fixture
def words(tmp_path):
    """A file of counts of twelve words in sixty texts about three things."""
    rng = np.random.default_rng(0)
    X = np.kron(np.eye(3), np.ones((20, 4))) * rng.random((60, 12)) * 3.0 + rng.random((60, 12)) * 0.2
    names = ["orbit", "shuttle", "nasa", "moon", "puck", "goal", "hockey", "team", "god", "faith", "church", "bible"]
    np.savez(tmp_path / "texts.npz", X=X, names=names)
    (tmp_path / "topics.yaml").write_text("faith: [god, church]\nsport: [puck]\n")
    return pd.DataFrame(X, columns=names)


LINE = ["dataset=file", "dataset.path=texts.npz", "layers=3-2", "dataset.seed_words=topics.yaml"]


def test_topics_begin_with_their_seed_words_and_are_fitted_as_all(command, tmp_path, words):
    assert command(*LINE).status == 0
    ((folder, record),) = run_in(tmp_path).items()
    assert record["config"]["seed_words"] == [["faith", ["god", "church"]], ["sport", ["puck"]]]
    assert "seed_words" not in record["config"]["dataset"]
    topics = [{*topic["words"][:4]} for topic in record["topics"][0]]
    assert topics == [{*words.columns[8:]}, {*words.columns[4:8]}, {*words.columns[:4]}]
    load_data(record)  # without the file of topics
    (tmp_path / "topics.yaml").rename(tmp_path / "moved.yaml")
    again = load(folder).fit(words)
    assert [*again.seed_words.items()] == [("faith", ["god", "church"]), ("sport", ["puck"])]
    for layer, factor in enumerate(again.factors_):
        np.testing.assert_array_equal(factor, read_factors(folder)[f"A{layer}"])
    again.save(tmp_path / "model")
    assert load(tmp_path / "model").seed_words == again.seed_words


def test_a_run_is_known_by_its_seed_words_and_their_order_not_by_where_they_were(command, tmp_path, words):
    command(*LINE, "max_iter=2")
    (tmp_path / "topics.yaml").rename(tmp_path / "moved.yaml")
    command(*LINE[:-1], "dataset.seed_words=moved.yaml", "max_iter=2")
    assert len(run_in(tmp_path)) == 1
    (tmp_path / "moved.yaml").write_text("sport: [puck]\nfaith: [god, church]\n")
    command(*LINE[:-1], "dataset.seed_words=moved.yaml", "max_iter=2")
    command(*LINE[:-1], "max_iter=2")
    assert len(run_in(tmp_path)) == 3


@pytest.mark.parametrize(
    ("content", "line", "parts"),
    [
        ("faith: [god, hope]", [], ["dataset.seed_words=topics.yaml has the word hope (topic faith)"]),
        ("faith: [god", [], ["dataset.seed_words=topics.yaml is not YAML: line"]),
        ("a: [god]\nb: [god]\nc: [god]\nd: [god]", [], ["has 4 topics, but the first layer has 3"]),
        ("faith: [god]", ["init=factors.npz", "fixed=[0]"], ["fixed=[0] and seed words contradict each other"]),
        (
            "faith: [god]",
            ["dataset.names=null", "dataset.path=bare.npz"],
            ["dataset=file has no names of its features"],
        ),
        ("faith: [god]", ["dataset=toy"], ["dataset.seed_words is not an option of the chosen dataset"]),
        ("{}", [], ["dataset.seed_words=topics.yaml is empty"]),
    ],
)
def test_bad_seed_words_are_refused_before_anything_is_written(command, tmp_path, words, content, line, parts):
    (tmp_path / "topics.yaml").write_text(content)
    np.savez(tmp_path / "bare.npz", X=words.to_numpy())
    np.savez(tmp_path / "factors.npz", A0=np.ones((12, 3)), A1=np.ones((3, 2)))
    before = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    is_refused(command(*(LINE[-2:] if "dataset=toy" in line else LINE), *line), before, parts)
