"""Which runs can go, and that nothing else ever does."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import time

import numpy as np
import pytest

from nnmf_runner.config.schema import Computed
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import Dataset
from nnmf_runner.report.collect import collect
from nnmf_runner.running.run import run_one
from nnmf_runner.store import files
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.files import FACTORS
from nnmf_runner.store.plan import Wanted, plan_folder, write_plan
from nnmf_runner.store.provenance import code
from nnmf_runner.store.prune import _LEFT_OUT, abandoned, drop, find_runs, forget
from nnmf_runner.store.record import (
    RECORD,
    SCHEMA_VERSION,
    experiment_folder,
    factors_digest,
    find_records,
    run_folder,
    write_record,
)
from nnmf_runner.store.status import folder_status


@pytest.fixture
def experiment(tmp_path):
    return tmp_path / "experiment"


@pytest.fixture
def add_run(experiment, record_of):
    """Write a run of some seed into the experiment's folder, and tell its folder."""

    def add(seed, status="done", options=None, **changes):
        record = record_of(seed=seed, status=status, **{"code": code("hier"), "commit": "abc", **changes})
        record["config"] |= options or {}
        folder = run_folder(experiment, record["config"])
        write_record(folder, record)
        return folder

    return add


def hold(folder, pid):
    claim_path(folder).write_text(json.dumps({"host": platform.node(), "pid": pid, "key": ""}))


def kinds(experiment):
    return {run.folder: run.kind for run in find_runs(experiment)}


def test_every_run_has_a_kind_a_size_and_an_age(experiment, add_run):
    expected = {
        add_run(0): None,
        add_run(1, "max_iter"): None,
        add_run(2, "failed", message="by zero"): "failed",
        add_run(3, "diverged"): "failed",
        add_run(4, "timed_out"): "failed",
        add_run(5, "interrupted"): "stale",
        add_run(6, schema=SCHEMA_VERSION - 1): "stale",
        add_run(7, code="hier-older"): None,  # its numbers are the only ones
        add_run(8, code="hier-older"): "superseded",
        add_run(8, options={"new": 1}): None,
        add_run(9, code="hier-older", options={"other": 2}): None,
        add_run(9, options={"other": 3}): None,
    }
    assert kinds(experiment) == expected
    for run in find_runs(experiment):
        assert run.size == (run.folder / RECORD).stat().st_size
        assert 0 <= time.time() - run.written + 1 < 60


@pytest.mark.parametrize("unusual", [{"engine": {"name": "dask"}}, {"dtype": "float32"}, {"consensus": 4}], ids=str)
def test_a_run_of_what_is_left_out_as_usual_supersedes_no_other(experiment, add_run, unusual):
    older = add_run(0, code="hier-older")
    newer = add_run(0, options=unusual)
    assert kinds(experiment) == {older: None, newer: None}
    older = add_run(0, code="hier-older", options=unusual | {"threshold": 1})
    newer = add_run(0, options=unusual | {"threshold": 1, "new": 2})
    assert kinds(experiment)[older] == "superseded"


def test_trials_that_a_consensus_stands_on_stay_and_one_without_them_is_stale(experiment, add_run):
    trial, newer = add_run(0, code="hier-older"), add_run(0, options={"new": 1})
    np.savez(trial / FACTORS, A0=np.eye(2))
    agreed = {"members": {trial.name: factors_digest(trial)}, "stability": [[1.0]], "votes": []}
    made = add_run(1, layers=(1,), consensus=agreed)
    assert kinds(experiment) == {trial: None, newer: None, made: None}
    np.savez(trial / FACTORS, A0=np.ones((2, 2)))
    assert kinds(experiment) == {trial: "superseded", newer: None, made: "stale"}


def test_all_that_is_written_of_a_run_may_go(given, tmp_path, rng):
    data = Dataset("given", rng.random((6, 8)), feature_names=list("abcdef"), sample_names=list("ABCDEFGH"))
    folder = run_one(given(data, "layers=3", "max_iter=2", f"output={tmp_path}"), 0).folder
    path = folder / RECORD
    path.write_text(path.read_text().replace('"status": "max_iter"', '"status": "interrupted"'))
    collect(folder)
    (notes := folder / "report" / "notes.txt").touch()
    (found,) = find_runs(experiment_folder(folder))
    assert found.kind is None  # whose report holds what is somebody's own
    notes.unlink()
    (found,) = find_runs(experiment_folder(folder))
    assert drop(experiment_folder(folder), [found]) == [found]
    assert not folder.exists()


def test_those_that_can_go_go_and_no_other(experiment, add_run):
    kept, failed = add_run(0), add_run(1, "failed")
    assert [run.folder for run in drop(experiment, find_runs(experiment))] == [failed]
    assert find_records(experiment) == [kept / RECORD]
    assert not failed.parent.exists() or failed.parent == kept.parent


def test_a_run_that_a_process_holds_stays(experiment, add_run):
    failed = add_run(0, "failed")
    found = find_runs(experiment)
    hold(failed, os.getpid())
    assert kinds(experiment) == {failed: None}
    assert drop(experiment, found) == []  # found before it was held
    hold(failed, 2**22 + 1)  # beyond the largest pid
    assert [run.folder for run in drop(experiment, found)] == [failed]


def test_a_run_that_has_been_run_again_stays(experiment, add_run):
    failed = add_run(0, "failed")
    found = find_runs(experiment)
    add_run(0)
    assert drop(experiment, found) == []
    assert (failed / RECORD).exists()


def test_nothing_but_folders_of_runs_goes(experiment, add_run, tmp_path):
    noted, renamed, moved, linked, shard = (add_run(seed, "failed") for seed in range(5))
    (noted / "notes.txt").write_text("mine")
    renamed.rename(renamed.with_name("mine"))
    moved.rename(tmp_path / moved.name)
    moved.symlink_to(tmp_path / moved.name)
    shutil.copytree(linked, experiment / "zz" / linked.name)
    shutil.rmtree(linked)
    shard.parent.rename(tmp_path / "shard")
    shard.parent.symlink_to(tmp_path / "shard")
    before = sorted(tmp_path.rglob("*"))
    assert set(kinds(experiment).values()) == {None}
    assert drop(experiment, find_runs(experiment)) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_who_is_killed_leaves_no_half_of_a_run(experiment, add_run, monkeypatch):
    add_run(0)
    failed = add_run(1, "failed")
    monkeypatch.setattr(files.shutil, "rmtree", lambda path, **_: (_ for _ in ()).throw(KeyboardInterrupt))
    found = find_runs(experiment)
    with pytest.raises(KeyboardInterrupt):
        drop(experiment, found)
    monkeypatch.undo()
    assert not failed.exists()
    assert len(find_records(experiment)) == 1
    drop(experiment, find_runs(experiment))
    assert not list(experiment.rglob(".*"))


def test_runs_that_no_plan_names_are_called_by_their_options(experiment, add_run):
    add_run(0)
    add_run(1, "failed")
    assert [run.label for run in find_runs(experiment)] == ["hier 9-4 seed=0", "hier 9-4 seed=1"]
    assert [problem.label for problem in folder_status(experiment).failed] == ["hier 9-4 seed=1"]


def test_a_folder_without_runs_is_refused(tmp_path):
    for folder, told in ((tmp_path, "holds no runs"), (tmp_path / "no", "does not exist")):
        with pytest.raises(InputError, match=told):
            find_runs(folder)


def test_sweeps_with_missing_runs_are_forgotten_unless_a_process_is_at_them(experiment, add_run):
    done, missing, waiting = add_run(0).name, "a" * 16, "b" * 16
    left = write_plan(experiment, [Wanted(done, "seed=0"), Wanted(missing, "seed=1")])
    whole, live = write_plan(experiment, [Wanted(done, "seed=0")]), write_plan(experiment, [Wanted(waiting, "seed=2")])
    hold(live, os.getpid())
    status = folder_status(experiment)
    assert (status.queued, [problem.label for problem in status.missing]) == (["seed=2"], ["seed=1"])
    assert "1 queued" in status.headline()
    assert not status.complete
    assert abandoned(experiment) == {left: 1}
    killed, running = experiment / "aa" / missing, experiment / "bb" / waiting
    for run, pid in ((killed, 2**22 + 1), (running, os.getpid())):
        run.parent.mkdir()
        hold(run, pid)
    forget(experiment, [left, live])
    assert [claim_path(run).exists() for run in (killed, running)] == [False, True]
    assert set(plan_folder(experiment).glob("*.json")) == {whole, live}
    assert folder_status(experiment).missing == []


def test_a_run_that_a_live_sweep_and_another_want_is_queued(experiment, add_run):
    add_run(0)
    wanted = [Wanted("a" * 16, "seed=1"), Wanted("b" * 16, "seed=2")]
    for some in (wanted, wanted[:1]):
        plan = write_plan(experiment, some)
    hold(plan, os.getpid())
    status = folder_status(experiment)
    assert (status.queued, [problem.label for problem in status.missing]) == (["seed=1"], ["seed=2"])
    hold(plan, 2**22 + 1)  # beyond the largest pid
    assert folder_status(experiment).queued == []


def test_forgetting_is_dry_unless_it_is_told(experiment, add_run, command):
    add_run(0)
    plan = write_plan(experiment, [Wanted("a" * 16, "seed=1")])
    assert "Can be forgotten: 1 sweep with 1 missing run." in command(experiment, "--forget", program="nnmf-status").out
    assert plan.exists()
    told = command(experiment, "--forget", "--yes", program="nnmf-status").out
    assert told == "Forgotten: 1 sweep with 1 missing run.\n"
    assert command(experiment, program="nnmf-status").status == 0
    assert "No sweep" in command(experiment, "--forget", program="nnmf-status").out


def test_the_command_is_dry_unless_it_is_told(experiment, add_run, command):
    kept, failed = add_run(0), add_run(1, "failed")
    listed = command(experiment, "--runs", program="nnmf-status")
    assert all(str(folder) in listed.out for folder in (kept, failed))
    dry = command(experiment, "--prune", program="nnmf-status")
    assert (dry.status, str(kept) in dry.out, str(failed) in dry.out) == (0, False, True)
    assert "1 run, " in dry.out
    assert failed.exists()
    assert "Removed: 1 run, " in command(experiment, "--prune", "--yes", program="nnmf-status").out
    assert (failed.exists(), kept.exists()) == (False, True)
    assert command(experiment, "--prune", program="nnmf-status").out.endswith("No run can go.\n")
    refused = command(experiment, "--yes", program="nnmf-status")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert kept.exists()


def test_whatever_an_identity_leaves_out_where_it_is_as_usual_tells_runs_apart(configure):
    """What is added to it later, too: a run without an option is no earlier one of a run that has it."""
    config = configure("method=neural", "label_fraction=0.4")
    absent = {each.name for each in dataclasses.fields(Computed)} - config.identity(0).keys()
    told_otherwise = {"allow_growing_ranks"}  # by the ranks
    assert absent - told_otherwise <= {*_LEFT_OUT}
    assert "engine" in absent
