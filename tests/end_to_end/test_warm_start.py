"""Runs that begin where an earlier one ended."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from nnmf_runner import NeuralNMF
from nnmf_runner.config import composition
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
    for argument, full in {
        "init=nndsvd": ["init=nndsvd"],
        "init=nndsdv": ["init=nndsdv"],
        "init=": ["init="],
        "init=random,nndsvd": ["init=random,nndsvd"],
        "init.path=x/y": ["init.path=x/y"],
        "output=x/y": ["output=x/y"],
        "output=folder": ["output=folder"],
        "output='x (1)'": ["output='x (1)'"],
        "output=x (1)": ["output='x (1)'"],
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


def test_a_path_with_every_kind_of_sign(command, tmp_path, earlier):
    strange = tmp_path / "it's [a], {b}=c: d"
    shutil.copytree(earlier, strange)
    assert command(f"init={strange}", "layers=9-4", "max_iter=1").status == 0
