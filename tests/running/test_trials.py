"""The trials of one configuration."""

from __future__ import annotations

import json
import os
import platform

import pytest

from nnmf_runner import load
from nnmf_runner.methods.deep import Deep
from nnmf_runner.report.collect import collect
from nnmf_runner.running import trials
from nnmf_runner.running.trials import run_and_wait, run_trials
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.record import RECORD, read_factors, read_record, run_folder


@pytest.fixture
def config(configure, tmp_path):
    return configure("method=deep", "layers=9", "max_iter=2", "trials=2", "seed=3", f"output={tmp_path}")


@pytest.fixture
def claim(config):
    """The claim of a living process on the first trial."""
    path = claim_path(run_folder(config.folder, config.identity(3)))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"host": platform.node(), "pid": os.getpid(), "key": "other"}))
    return path


def test_a_trial_that_another_process_is_at_is_none(config, claim):
    outcomes = run_trials(config)
    assert outcomes.keys() == {3, 4}
    assert outcomes[3] is None
    assert outcomes[4].record["config"]["seed"] == 4


def test_a_trial_that_another_process_is_at_is_waited_for_and_run_if_that_one_lets_go(config, claim, monkeypatch):
    monkeypatch.setattr(trials.time, "sleep", lambda seconds: claim.unlink())
    outcomes = run_and_wait(config)
    assert [outcome.record["config"]["seed"] for outcome in outcomes.values()] == [3, 4]


def test_an_interrupted_trial_is_the_last_one(config, monkeypatch, tmp_path):
    def interrupt(self, problem, plan):
        os.kill(os.getpid(), 2)
        assert plan.rule.progress(0, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(Deep, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_trials(config)
    assert list(tmp_path.rglob("*")) == []  # neither a record nor a claim


@pytest.mark.slow
def test_trials_of_any_seed_share_processes_and_are_collected_apart(configure, tmp_path):
    seed = 2**200
    given = ["method=deep", "layers=9", "tol=0.1", f"max_iter={10**9}", "trials=2", "workers=2"]
    outcomes = run_trials(configure(*given, f"seed={seed}", f"output={tmp_path}"))
    assert outcomes.keys() == {seed, seed + 1}
    for own, outcome in outcomes.items():
        record = read_record(outcome.folder / RECORD)
        assert (record["config"]["seed"], record["config"]["max_iter"]) == (own, 10**9)
        assert load(outcome.folder).random_state == own
    one, other = (read_factors(outcome.folder)["A0"] for outcome in outcomes.values())
    assert (one != other).any()
    collect(tmp_path, figures=False)
    table = (tmp_path / "report" / "records.csv").read_text()
    assert f",{seed}," in table
    assert f",{seed + 1}," in table
