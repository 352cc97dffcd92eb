"""Launching: what comes of runs whose launcher, queue or neighbours misbehave, and the order of runs."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading

import pytest

from nnmf_runner.config import launchers
from nnmf_runner.config.launchers import LAUNCHERS
from nnmf_runner.datasets.generated.toy import Toy
from nnmf_runner.running import launch, queues
from nnmf_runner.running.work import Work
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.record import RECORD, find_records, read_record

pytestmark = pytest.mark.slow
SHORT = ["layers=9", "max_iter=2"]


@pytest.fixture
def through_hydra(monkeypatch):
    """Let the option `basic` stand for a launcher whose jobs run elsewhere."""
    monkeypatch.setitem(LAUNCHERS, "basic", launchers.Launcher(LAUNCHERS["basic"].target))


def test_a_launcher_that_cannot_run_a_job_is_one_line(command, monkeypatch, through_hydra):
    def refuse(*given):
        raise RuntimeError("\nno such partition\nand a long story")

    monkeypatch.setattr(launch, "launch_jobs", refuse)
    result = command("-m", "seed=0,1", *SHORT)
    assert result.status == 2
    assert result.err.splitlines()[-1] == ("nnmf-run: hydra/launcher=basic could not run a job: no such partition")


def test_a_launcher_and_an_engine_that_shares_out_fits_are_refused(command, through_hydra):
    result = command("-m", "seed=1,2", "engine=dask")
    assert result.status == 2
    assert result.err.splitlines()[-1] == (
        "nnmf-run: engine=dask shares out the data of every fit, and hydra/launcher=basic the fits of a sweep. "
        "Expected one of them."
    )


class Forgetful(queues.SlurmQueue):
    """A queue that was seen with jobs and then is empty."""

    counts = [None, 0, 2, 2, 0, 0]

    def count(self, *, ended=False):
        if ended:
            return 0
        return self.counts.pop(0) if self.counts else pytest.fail("was asked on and on")


class Quick(queues.SlurmQueue):
    """A queue whose jobs came and went between two questions."""

    counts = [0, 0, 0, 0]

    def count(self, *, ended=False):
        if ended:
            return 2 if len(self.counts) < 3 else 0
        return self.counts.pop(0) if self.counts else pytest.fail("was asked on and on")


@pytest.mark.parametrize("queue", [Forgetful, Quick])
def test_a_launcher_that_waits_for_ever_is_left_when_its_queue_is_empty(command, monkeypatch, queue):
    """As with Slurm without accounting, where a job was killed."""
    block = threading.Event()
    slurm = launchers.Launcher(LAUNCHERS["basic"].target, scheduler="test")
    monkeypatch.setitem(queues.QUEUES, "test", queue)
    monkeypatch.setitem(LAUNCHERS, "basic", slurm)
    monkeypatch.setattr(launch, "launch_jobs", lambda *given: block.wait(60.0) and [])
    monkeypatch.setattr(launch, "LOOK", 0.01)
    monkeypatch.setattr(launch, "ASK", 0.0)
    result = command("-m", "seed=0,1", *SHORT)
    block.set()
    assert result.status == 1
    assert "0 done, 0 failed, 2 missing" in result.out
    assert result.err.splitlines()[-2:] == ["missing: seed=0: not run", "missing: seed=1: not run"]


def test_a_log_gets_a_line_with_counts_and_time_left(command, monkeypatch):
    monkeypatch.setattr(launch, "LINE", 0.0)
    monkeypatch.setattr(launch, "LOOK", 0.02)
    result = command("-m", "method=deep", "seed=range(0,6)", "layers=9-4", "tol=0", "max_iter=300")
    lines = [line for line in result.err.splitlines() if " of 6 done, 0 failed, " in line]
    assert lines
    assert all(line.endswith(" left") for line in lines)


@pytest.fixture
def when_waiting(monkeypatch):
    """Call something once, when a sweep waits for others."""
    monkeypatch.setattr(launch, "LOOK", 0.05)
    wait, calls = Work.others_at_work, []

    def set_up(call):
        def others_at_work(work):
            if (waits := wait(work)) and not calls:
                calls.append(call())
            return waits

        monkeypatch.setattr(Work, "others_at_work", others_at_work)
        return calls

    return set_up


def test_a_run_in_flight_elsewhere_is_waited_for_and_not_repeated(command, tmp_path, when_waiting):
    command("-m", "seed=0,1", *SHORT)
    held = find_records(tmp_path)[0].parent
    record = read_record(held / RECORD)
    aside = held.rename(tmp_path / "aside")
    claim = claim_path(held)
    claim.write_text(json.dumps({"host": platform.node(), "pid": os.getpid(), "key": "other"}))

    def end_elsewhere():
        aside.rename(held)
        claim.unlink()

    calls = when_waiting(end_elsewhere)
    result = command("-m", "seed=0,1", *SHORT)
    assert len(calls) == 1
    assert "1 of 2 runs are done; 1 to run" in result.err
    assert "2 done, 0 failed" in result.out
    assert read_record(held / RECORD) == record


def test_a_run_whose_process_elsewhere_is_killed_is_run_after_all(command, tmp_path, when_waiting):
    command("-m", "seed=0,1", *SHORT)
    held = find_records(tmp_path)[0].parent
    shutil.rmtree(held)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        claim_path(held).write_text(json.dumps({"host": platform.node(), "pid": other.pid, "key": "other"}))
        calls = when_waiting(other.kill)
        result = command("-m", "seed=0,1", *SHORT)
    assert len(calls) == 1
    assert "1 of 2 runs are done; 1 to run" in result.err
    assert "2 done, 0 failed" in result.out
    assert not claim_path(held).exists()


def test_data_are_loaded_once_for_all_runs_on_them(command, monkeypatch):
    load, loads = Toy.load, []

    def counted(self, rng):
        loads.append(self.noise)
        return load(self, rng)

    monkeypatch.setattr(Toy, "load", counted)
    result = command("-m", "method=hier,deep", "dataset.noise=0,0.1", "trials=2", *SHORT)
    assert "8 done, 0 failed" in result.out
    checked, run = loads[:-3], loads[-3:]
    assert len(checked) <= 2
    assert sorted(run) == [0.0, 0.1, 0.1]  # noise is drawn anew for every seed


def test_a_run_that_fails_before_it_has_begun_is_not_tried_for_ever(command, monkeypatch):
    tried = []
    monkeypatch.setattr(launch, "run_tasks", lambda tasks, workers, begun: tried.append(len(tasks)) or iter(()))
    result = command("-m", "seed=0,1", *SHORT)
    assert (result.status, tried) == (1, [2])
    assert "0 done, 0 failed, 2 missing" in result.out


def test_a_log_tells_how_many_configurations_are_composed_and_checked(command, monkeypatch):
    monkeypatch.setattr(launch, "LINE", 0.0)
    said = [line for line in command("-m", "seed=0,1", *SHORT).err.splitlines() if " configurations are " in line]
    assert said == [f"{n} of 2 configurations are {done}." for done in ("composed", "checked") for n in (1, 2)]


def test_a_sweep_of_many_configurations_says_that_they_are_checked(command, monkeypatch):
    monkeypatch.setattr(launch, "MANY", 3)
    said = "Checking 3 configurations before the first of them runs.\n"
    assert said in command("-m", "seed=0,1,2", *SHORT).err
    assert said not in command("-m", "seed=0,1", *SHORT).err
