"""The consensus of trials: made when all of them stand, found again while they are the same, made anew when not."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil

import numpy as np
import pytest

from nnmf_runner import load
from nnmf_runner.config.cells import Cell
from nnmf_runner.config.launchers import LAUNCHERS, Launcher
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.running import launch, queues, trials
from nnmf_runner.running.jobs import make_jobs
from nnmf_runner.running.run import run_one
from nnmf_runner.running.trials import run_and_wait
from nnmf_runner.running.work import Run, Work
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.record import (
    FACTORS,
    RECORD,
    find_records,
    read_factors,
    read_record,
    run_folder,
)
from nnmf_runner.store.status import folder_status

SHORT = ["dataset=planted", "dataset.branching=[2,2]", "dataset.features=16", "dataset.samples=20"]
SHORT += ["layers=4-2", "method=hier", "init=random", "max_iter=20"]
WANTED = [*SHORT, "trials=3", "consensus=true"]


@pytest.fixture
def config(configure, tmp_path):
    return configure(*WANTED, f"output={tmp_path}")


def written(folder):
    """When the record of a run was written."""
    return (folder / RECORD).stat().st_mtime_ns


def kinds(folder):
    """When the records below a folder were written, by ranks and seed, of a consensus by its number of trials."""
    found = {}
    for path in find_records(folder):
        asked = read_record(path)["config"]
        key = ("-".join(map(str, asked["layers"])), asked.get("consensus", f"seed {asked['seed']}"))
        assert key not in found
        found[key] = written(path.parent)
    return found


def change(folder):
    """Let the factors of a run be those of another fit."""
    arrays = read_factors(folder)
    np.savez(folder / FACTORS, **(arrays | {"A0": arrays["A0"] + 0.1}))


def test_the_consensus_of_trials_is_a_run_like_any_other(config):
    outcomes = run_and_wait(config)
    assert list(outcomes) == [0, 1, 2, None]
    agreed = outcomes[None]
    record = read_record(agreed.folder / RECORD)
    assert record == agreed.record
    assert record["config"]["consensus"] == 3
    assert record["consensus"]["members"].keys() == {outcomes[seed].folder.name for seed in range(3)}
    assert [np.shape(own) for own in record["consensus"]["stability"]] == [(4,), (2,)]
    assert [np.shape(own) for own in record["consensus"]["votes"]] == [(4, 2)]
    assert record["layers"][1]["relative_error"] > 0
    assert not claim_path(agreed.folder).exists()


def test_a_consensus_that_is_loaded_and_fitted_again_is_the_same_bit_for_bit(config):
    from nnmf_runner.task import prepare

    folder = run_and_wait(config)[None].folder
    model = load(folder)
    before = [factor.copy() for factor in model.factors_]
    model.fit(prepare(config, 0).dataset.X.T)
    assert all(np.array_equal(one, other) for one, other in zip(model.factors_, before, strict=True))


def test_all_trials_have_the_data_of_the_first(config):
    outcomes = run_and_wait(dataclasses.replace(config, method=Hierarchical("mu"), holdout=0.1, label_fraction=0.5))
    assert len({outcome.record["dataset"]["fingerprint"] for outcome in outcomes.values()}) == 1
    assert {outcome.record["config"].get("data_seed", 0) for outcome in outcomes.values()} == {0}
    known = {outcome.record["layers"][0]["heldout_error"] is not None for outcome in outcomes.values()}
    assert known == {True}


def test_it_is_found_again_while_the_trials_are_the_same(config):
    first = run_and_wait(config)
    again = run_and_wait(config)
    assert all(written(again[seed].folder) == written(first[seed].folder) for seed in first)
    shutil.rmtree(first[1].folder)  # and is fitted again, to the same factors
    assert written(run_and_wait(config)[None].folder) == written(first[None].folder)


def test_it_is_made_anew_if_a_trial_has_changed_or_if_that_is_forced(config):
    first = run_and_wait(config)
    change(first[1].folder)
    again = run_and_wait(config)
    assert written(again[1].folder) == written(first[1].folder)
    assert again[None].record["finished"] >= first[None].record["finished"]
    was, now = (outcomes[None].record["consensus"]["members"] for outcomes in (first, again))
    assert [name for name in was if was[name] != now[name]] == [first[1].folder.name]
    forced = run_and_wait(dataclasses.replace(config, force=True))
    assert forced[None].record["consensus"]["members"] == was


def test_trials_that_do_not_all_stand_have_none(config, monkeypatch):
    fit = Hierarchical.fit

    def fail(self, problem, plan):
        if plan.rng.bit_generator.seed_seq.entropy == 1:
            raise ZeroDivisionError("by zero")
        return fit(self, problem, plan)

    monkeypatch.setattr(Hierarchical, "fit", fail)
    outcomes = run_and_wait(config)
    assert outcomes[1].record["status"] == "failed"
    assert outcomes[None] is None
    assert not run_folder(config.folder, config.identity(None)).exists()


def test_one_that_another_process_is_at_is_waited_for(config, monkeypatch):
    folder = run_and_wait(config)[None].folder
    shutil.rmtree(folder)
    path = claim_path(folder)
    path.write_text(json.dumps({"host": platform.node(), "pid": os.getpid(), "key": "other"}))
    monkeypatch.setattr(trials, "clear_left", lambda experiment: None)
    monkeypatch.setattr(trials.time, "sleep", lambda seconds: path.unlink())
    assert run_and_wait(config)[None].folder == folder


def test_a_trial_that_cannot_be_read_is_named(config):
    from nnmf_runner.core.checks import InputError

    outcomes = run_and_wait(config)
    (outcomes[2].folder / FACTORS).write_bytes(b"no archive")
    with pytest.raises(InputError, match=rf"The trial {outcomes[2].folder} cannot be read: {FACTORS}.*force=true"):
        run_one(config, None)


def test_equal_trials_are_warned_of(configure, tmp_path, caplog):
    line = [part for part in WANTED if part != "init=random"]
    record = run_and_wait(configure(*line, f"output={tmp_path}"))[None].record
    assert "init=nndsvd does not depend on the seed" in caplog.text
    assert min(map(min, record["consensus"]["stability"])) == pytest.approx(1.0)


def test_work_wants_it_when_all_trials_stand(configure, tmp_path):
    work = Work([Cell([], config := configure(*WANTED, f"output={tmp_path}"))])
    assert [run.seed for run in work.pending()] == [0, 1, 2]
    for seed in range(3):
        run_one(config, seed)
    work.look()
    assert [run.seed for run in work.pending()] == [None]
    outcome = run_one(config, None)
    work.look()
    assert work.pending() == []
    assert (work.status().done, work.status().complete) == (4, True)
    change(run_folder(config.folder, config.identity(1)))
    (line,) = folder_status(config.folder).lines()
    assert line == "missing: consensus: its trials have changed"
    assert [run.seed for run in Work([Cell([], config)]).pending()] == [None]
    shutil.rmtree(outcome.folder)
    assert folder_status(config.folder).lines() == ["missing: consensus: not run"]


def test_a_job_makes_trials_then_the_consensus_of_the_whole_configuration(configure, tmp_path):
    config = configure(*WANTED, "runs_per_job=2", f"output={tmp_path}")
    cell = Cell([*WANTED, "force=true"], config)
    jobs = make_jobs([Run(cell, seed) for seed in range(3)])
    kept = [*WANTED[:-2], "force=true"]
    assert [job[:-1] for job in jobs] == [
        [*kept, "seed=0", "trials=2", "consensus=false", "data_seed=0"],
        [*kept, "seed=2", "trials=1", "consensus=false", "data_seed=0"],
    ]
    for job in jobs:
        assert "'seed=0','trials=3','consensus=true','data_seed=0'" in job[-1]
        assert job[-1].index("force=true") < job[-1].index("force=false")  # the trials of other jobs may be old ones
    [[*alone]] = make_jobs([Run(cell, None)])
    assert alone == [*kept, "seed=0", "trials=3", "consensus=true", "data_seed=0"]


@pytest.mark.slow
def test_processes_make_it_when_they_have_made_the_trials(command):
    assert command("-m", *WANTED, "workers=2").out == "4 done, 0 failed: outputs/runs\n"


@pytest.mark.slow
def test_a_sweep_makes_one_for_every_configuration(command, tmp_path):
    line = ["-m", *WANTED, "layers=4-2,3-2"]
    result = command(*line)
    assert (result.status, result.out) == (0, "8 done, 0 failed: outputs/runs\n")
    before = kinds(tmp_path)
    assert before.keys() == {(layers, k) for layers in ("4-2", "3-2") for k in ("seed 0", "seed 1", "seed 2", 3)}
    again = command(*line)
    assert "8 of 8 runs are done; 0 to run" in again.err
    assert kinds(tmp_path) == before
    forced = command(*line, "force=true")
    assert "8 done, 0 failed" in forced.out
    assert not set(kinds(tmp_path).values()) & set(before.values())
    assert command("outputs/runs", program="nnmf-status").out == "8 done, 0 failed: outputs/runs\n"


@pytest.mark.slow
@pytest.mark.parametrize(("runs_per_job", "scheduler"), [(2, None), (1, "test"), (100, "test")])
def test_launchers_make_it_too(command, tmp_path, monkeypatch, runs_per_job, scheduler):
    """Also where a scheduler's jobs are not launched a second time after trials."""
    command("-m", *WANTED, "name=plain")

    class Queue(queues.SlurmQueue):
        def count(self, *, ended=False):
            return 1

        def check(self, jobs, runs):
            pass

    monkeypatch.setitem(queues.QUEUES, "test", Queue)
    monkeypatch.setitem(LAUNCHERS, "basic", Launcher(LAUNCHERS["basic"].target, scheduler=scheduler))
    monkeypatch.setattr(launch, "LOOK", 0.02)
    line = ["-m", *WANTED, "name=shared", f"runs_per_job={runs_per_job}"]
    assert "4 done, 0 failed" in command(*line).out
    one, other = (tmp_path / "outputs" / name for name in ("plain", "shared"))
    assert kinds(one).keys() == kinds(other).keys()
    for path in find_records(one):
        theirs = read_factors(other / path.parent.relative_to(one))
        assert all(np.array_equal(own, theirs[name]) for name, own in read_factors(path.parent).items())
    for path in find_records(other):
        if "consensus" in read_record(path)["config"]:
            shutil.rmtree(path.parent)
    result = command(*line)
    assert "3 of 4 runs are done; 1 to run" in result.err
    assert "4 done, 0 failed" in result.out
    before = set(kinds(other).values())
    assert "4 done, 0 failed" in command(*line, "force=true").out
    assert not set(kinds(other).values()) & before


@pytest.mark.slow
def test_the_command_line_tells_what_the_trials_agree_on(command, tmp_path):
    result = command(*WANTED)
    assert result.status == 0
    assert "standard deviation of 3 trials" in result.out
    assert "consensus of 3 trials\nlayer 0: mean stability of the topics " in result.out
    change(next(path.parent for path in find_records(tmp_path) if "consensus" not in read_record(path)["config"]))
    assert "is the consensus of other trials: run again." in command(*WANTED).err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["consensus=true"], "consensus=true needs several trials, but trials=1. Expected at least 2."),
        (
            ["consensus=true", "trials=3", "dataset=planted_cp", "method=ncpd"],
            "consensus=true needs a method that starts from given factors, but method=ncpd starts from init=random. "
            "Expected another method.",
        ),
        (["data_seed=-1"], "data_seed=-1 "),
    ],
)
def test_bad_input_is_one_line(command, options, told):
    result = command(*options)
    assert (result.status, result.out, result.files) == (2, "", [])
    assert result.err.startswith(f"nnmf-run: {told}")
    assert result.err.count("\n") == 1
