"""The method that README writes: run, described, tabulated, drawn, an estimator, and read again."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra.core.config_store import ConfigStore

import nnmf_runner
from nnmf_runner.estimators import estimator_of
from nnmf_runner.methods import METHODS
from nnmf_runner.store.record import find_records, read_factors, read_record
from nnmf_runner.task import prepare

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README[README.index("## A method of your own") :]
BLOCK = re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)[1]


@pytest.fixture(autouse=True)
def mine(tmp_path_factory, monkeypatch, configure):
    """The class of README's block, as a file of the methods that is in their registry."""
    path = tmp_path_factory.mktemp("methods") / "mine.py"
    path.write_text(BLOCK)
    spec = importlib.util.spec_from_file_location("nnmf_runner.methods.mine", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, "mine", module.Mine)
    yield module.Mine
    methods = ConfigStore.instance().repo["method"]
    for group in (methods, methods["alone"]):  # where a command line registers it
        group.pop("mine.yaml", None)


OPTIONS = ["method=mine", "method.step=0.5", "layers=9-4", "label_fraction=0.4", "max_iter=100"]


@pytest.fixture
def record(command, tmp_path):
    """The record of a run of it on the toy data."""
    done = command(*OPTIONS)
    assert done.status == 0
    assert done.err.startswith("mine 9-4 semisupervised seed 0: max_iter after 100 iterations")
    (path,) = find_records(tmp_path / "outputs" / "runs")
    return path


def test_a_run_of_it_is_recorded_and_scored(record):
    kept = read_record(record)
    assert kept["config"]["method"] == {"name": "mine", "step": 0.5}
    assert kept["code"].startswith("mine-")
    assert kept["metrics"]["accuracy"] == 1.0
    assert kept["n_iter"] == 100
    last = kept["layers"][-1]
    assert last["floor"] <= last["relative_error"] <= 1.05 * last["floor"]


def test_the_help_describes_its_options(command):
    assert re.search(r"mine +Projected gradient descent", command("--help").out)
    own = command("method=mine", "--help").out
    assert re.search(r"method\.step=1\.0", own)
    assert "in units of each factor's size" in " ".join(own.split())


@pytest.mark.slow
def test_it_stands_in_the_table_and_in_the_figures(command):
    command("-m", "method=mine,hier", "layers=9-4", "max_iter=5")
    collected = command("outputs/runs", program="nnmf-collect")
    assert collected.status == 0, collected.err
    assert "| regime | layers | floor | hier | mine |" in collected.out
    assert "outputs/runs/report/figures/runs_mine_heatmaps.png" in collected.files


def test_in_python_it_is_an_estimator(mine, toy):
    kind = estimator_of(mine)
    model = kind(layers=(9, 4), step=0.5, tol=1e-2, random_state=0)
    assert (kind.__name__, model.get_params()["step"]) == ("MineNMF", 0.5)
    assert model.fit(toy.X.T, toy.classes[4]).score(toy.X.T, toy.classes[4]) == 1.0
    assert model.score(toy.X.T) > -0.3
    assert "in units of each factor's size" in kind.__doc__


def test_a_run_of_it_is_read_as_an_estimator_that_fits_the_same_again(record, configure):
    model, saved = nnmf_runner.load(record.parent), read_factors(record.parent)
    assert (type(model).__name__, model.step) == ("MineNMF", 0.5)
    material = prepare(configure(*OPTIONS), 0)
    labels = np.where(material.known, material.dataset.labels[material.task.levels[1]], -1)
    with pytest.warns(nnmf_runner.ConvergenceWarning):
        model.fit(material.dataset.X.T, labels)
    for layer in (0, 1):
        np.testing.assert_array_equal(model.factors_[layer], saved[f"A{layer}"])
        np.testing.assert_array_equal(model.codes_[layer].T, saved[f"S{layer}"])
