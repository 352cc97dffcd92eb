"""The data of a run are loaded again, or it is said that they are not what they were."""

from __future__ import annotations

import pytest

from nnmf_runner.datasets import Dataset
from nnmf_runner.report.data import data_title, load_data, trial_of
from nnmf_runner.report.variants import method_of
from nnmf_runner.running.run import run_one


@pytest.mark.slow
def test_the_data_are_those_of_the_seed(run_of, configure):
    for seed in (0, 3):
        record = run_of(f"seed={seed}", "layers=2").record
        assert load_data(record).fingerprint() == record["dataset"]["fingerprint"]
        assert load_data(record).name == "toy"


def test_the_data_are_those_of_the_seed_that_trials_share(run_of):
    own, shared = (run_of("seed=3", "layers=2", *more).record for more in ([], ["data_seed=1"]))
    assert load_data(shared).fingerprint() == shared["dataset"]["fingerprint"] != own["dataset"]["fingerprint"]


def test_a_run_is_called_by_its_seeds(record_of):
    record = record_of(seed=2)
    assert trial_of(record) == "seed 2"
    record["config"]["consensus"] = 4
    assert trial_of(record) == "seeds 2 to 5"


def test_other_data_are_not_taken_for_those_of_the_run(given, tmp_path, rng):
    dataset = Dataset("given", rng.random((5, 8)))
    record = run_one(given(dataset, "layers=2", "max_iter=1", f"output={tmp_path}"), 0).record
    assert load_data(record) is dataset
    dataset.X[0, 0] += 1.0
    with pytest.raises(ValueError, match="not those of the run any more"):
        load_data(record)


def test_a_part_of_the_data_is_not_taken_for_all_of_them(run_of):
    record = run_of("resample=halves", "layers=2", "max_iter=1").record
    assert record["dataset"]["n_samples"] == 45
    with pytest.raises(ValueError, match="the run saw a part of its data alone"):
        load_data(record)


def test_a_title_holds_nothing_that_parts_names_of_variants():
    record = {"config": {"dataset": {"name": "file"}}, "dataset": {"title": "a, b.csv"}}
    assert method_of(data_title(record)) == data_title(record) == "a,b.csv"
