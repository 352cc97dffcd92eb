"""Sweeps: what is done is not repeated, what fails is a row, several runs share a job."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import OmegaConf

from nnmf_runner.config import composition, engine, launchers, schema
from nnmf_runner.config.launchers import LAUNCHERS, choose_launcher
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.generated.toy import Toy
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.running import launch, queues
from nnmf_runner.running.jobs import make_jobs
from nnmf_runner.running.work import Run
from nnmf_runner.store import provenance
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.record import RECORD, SCHEMA_VERSION, find_records, read_factors, read_record

pytestmark = pytest.mark.slow  # `test_cli` has a sweep for the fast tier

BIN = Path(sys.executable).parent
SHORT = ["layers=9", "max_iter=2"]


def records_below(folder):
    return {path.parent.name: read_record(path) for path in find_records(folder)}


def inodes(folder):
    return {path.parent.name: path.parent.stat().st_ino for path in find_records(folder)}


@pytest.fixture
def broken(monkeypatch):
    """Make the hierarchical method raise."""

    def raise_it(self, problem, plan):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Hierarchical, "fit", raise_it)


def test_the_same_command_runs_only_what_is_not_done(command, tmp_path):
    line = ["-m", "method=hier,deep", "seed=0,1", "trials=2", *SHORT]
    first = command(*line)
    assert "6 done, 0 failed: outputs/runs" in first.out  # seeds 0 to 2, of which two cells share one
    assert "0 of 6 runs are done; 6 to run" in first.err
    before = inodes(tmp_path)
    again = command(*line)
    assert (again.status, again.out) == (0, first.out)
    assert "6 of 6 runs are done; 0 to run" in again.err
    assert inodes(tmp_path) == before
    more = command(*line, "seed=0,1,2")
    assert "6 of 8 runs are done; 2 to run" in more.err
    assert {name: inode for name, inode in inodes(tmp_path).items() if name in before} == before


def test_force_runs_again_and_leaves_no_duplicate(command, tmp_path):
    command("-m", "seed=0,1", *SHORT)
    before = inodes(tmp_path)
    assert "0 of 2 runs are done" in command("-m", "seed=0,1", *SHORT, "force=true").err
    after = inodes(tmp_path)
    assert before.keys() == after.keys()
    assert all(after[name] != inode for name, inode in before.items())


def test_another_version_of_the_code_is_shown_and_its_runs_are_run_again(command, tmp_path):
    command("-m", "seed=0,1", *SHORT)
    path = find_records(tmp_path)[0]
    now, other = read_record(path)["code"], "neural-" + "0" * 16
    path.write_text(path.read_text().replace(now, other))
    result = command("-m", "seed=0,1", *SHORT)
    (line,) = result.err.splitlines()
    assert "1 of 2 runs are done, 1 by another version of the code (" in line
    assert f"source {other}, this is" in line
    assert now in line
    assert read_record(path)["code"] == now == provenance.code("neural")


def test_a_single_run_by_another_version_of_the_code_is_shown_and_run_again(command, tmp_path):
    command("seed=0", *SHORT)
    (path,) = find_records(tmp_path)
    now, other = read_record(path)["code"], "neural-" + "0" * 16
    path.write_text(path.read_text().replace(now, other))
    shown = [line for line in command("seed=0", *SHORT).err.splitlines() if "another version" in line]
    assert len(shown) == 1
    assert f"source {other}, this is" in shown[0]
    assert now in shown[0]
    assert read_record(path)["code"] == now


@pytest.mark.parametrize("damage", ["{", "", '{\n "schema": 2,\n "status": "done"\n}\n'])
def test_a_damaged_record_is_run_again(command, tmp_path, damage):
    command("-m", "seed=0,1", *SHORT)
    path = find_records(tmp_path)[0]
    path.write_text(damage)
    assert "1 to run" in command("-m", "seed=0,1", *SHORT).err
    assert len(records_below(tmp_path)) == 2


def test_a_run_that_raises_is_a_row_and_the_rest_goes_on(command, tmp_path, broken):
    result = command("-m", "method=hier,deep", "seed=0,1", *SHORT)
    assert result.status == 1
    assert "2 done, 2 failed: outputs/runs" in result.out
    lines = [line for line in result.err.splitlines() if line.startswith("failed: ")]
    assert [line.partition(" (")[0] for line in lines] == [
        f"failed: method=hier seed={seed}: ZeroDivisionError: by zero" for seed in (0, 1)
    ]
    assert all((tmp_path / line.rpartition("(")[2].rstrip(")")).is_dir() for line in lines)
    assert "Traceback" not in result.err
    shown = command("outputs/runs", program="nnmf-status")
    assert (shown.status, shown.out, shown.err.splitlines()) == (1, result.out, lines)


def test_data_that_fail_at_one_seed_fail_its_run_alone(command, tmp_path, monkeypatch):
    load, seeds = Toy.load, []

    def load_some(self, rng):
        seeds.append(1)
        if len(seeds) == 2:  # the first load, which checks the sweep, serves its first seed
            raise InputError("dataset.noise=0 is not to its taste.")
        return load(self, rng)

    monkeypatch.setattr(Toy, "load", load_some)
    result = command("-m", "method=deep", "seed=0", "trials=3", *SHORT)
    assert "2 done, 1 failed" in result.out
    assert "failed: method=deep" in result.err
    assert "seed=1: dataset.noise=0 is not to its taste. (" in result.err


def test_fail_fast_stops_at_the_first_failure_and_resuming_runs_the_rest(command, tmp_path, broken, monkeypatch):
    line = ["-m", "method=hier,deep", "seed=0", "trials=2", *SHORT]
    result = command(*line, "fail_fast=true")
    assert result.status == 1
    assert "0 done, 1 failed, 3 missing" in result.out
    assert [record["status"] for record in records_below(tmp_path).values()] == ["failed"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "4 done, 0 failed" in command(*line, "fail_fast=true").out
    assert [path.name for path in (tmp_path / "outputs/runs/.sweep").iterdir()] == ["plans"]


def test_fail_fast_stops_the_trials_of_a_single_configuration(command, tmp_path, broken):
    result = command("method=hier", "trials=3", "fail_fast=true", *SHORT)
    assert result.status == 1
    assert "missing: seed 1" in result.err
    assert len(records_below(tmp_path)) == 1


def test_a_fit_ends_at_its_time_limit_and_its_run_has_failed(command, tmp_path):
    result = command("-m", "method=deep", "layers=9-4", "tol=0", "max_iter=10000000", "time_limit=0.3")
    assert result.status == 1
    assert "0 done, 1 failed" in result.out
    assert "stopped after time_limit=0.3 seconds" in result.err
    (record,) = records_below(tmp_path).values()
    assert record["status"] == "timed_out"
    assert 0.3 <= record["metrics"]["seconds"] < 30


def test_a_run_in_flight_elsewhere_is_waited_for_and_not_repeated(command, tmp_path, monkeypatch):
    command("-m", "seed=0,1", *SHORT)
    held = find_records(tmp_path)[0].parent
    record = read_record(held / RECORD)
    aside = held.rename(tmp_path / "aside")
    claim = claim_path(held)
    claim.write_text(json.dumps({"host": platform.node(), "pid": os.getpid(), "key": "other"}))

    def end_elsewhere():
        aside.rename(held)
        claim.unlink()

    monkeypatch.setattr(launch, "LOOK", 0.05)
    other = threading.Timer(4.0, end_elsewhere)
    other.start()
    result = command("-m", "seed=0,1", *SHORT)
    other.join()
    assert "1 of 2 runs are done; 1 to run" in result.err
    assert "2 done, 0 failed" in result.out
    assert read_record(held / RECORD) == record


def test_a_run_whose_process_elsewhere_is_killed_is_run_after_all(command, tmp_path, monkeypatch):
    command("-m", "seed=0,1", *SHORT)
    held = find_records(tmp_path)[0].parent
    shutil.rmtree(held)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        claim_path(held).write_text(json.dumps({"host": platform.node(), "pid": other.pid, "key": "other"}))
        monkeypatch.setattr(launch, "LOOK", 0.05)
        killer = threading.Timer(4.0, other.kill)
        killer.start()
        result = command("-m", "seed=0,1", *SHORT)
        killer.join()
    assert "1 of 2 runs are done; 1 to run" in result.err
    assert "2 done, 0 failed" in result.out
    assert not claim_path(held).exists()


@pytest.mark.parametrize("runs_per_job", [1, 3, 5, 100])
def test_any_number_of_runs_in_a_job_makes_the_same_records(command, tmp_path, runs_per_job):
    line = ["-m", "method=hier,deep", "layers=[9],[9,4]", "init=random", "trials=2", "max_iter=3"]
    command(*line, "name=plain")
    result = command(*line, "name=shared", f"runs_per_job={runs_per_job}")
    assert "8 done, 0 failed" in result.out
    ours, theirs = (
        {path.parent.name: path.parent for path in find_records(tmp_path / "outputs" / name)}
        for name in ("shared", "plain")
    )
    assert ours.keys() == theirs.keys()
    for name, folder in ours.items():
        one, two = read_factors(folder), read_factors(theirs[name])
        assert all(np.array_equal(one[key], two[key]) for key in two)


class Jobs:
    """The jobs that a command line makes, without running them."""

    def __init__(self, *arguments, launcher="slurm"):
        asked = composition.read_sweep(["-m", *arguments])
        cells = list(asked.cells)
        self.runs = [Run(cell, cell.config.seed + i) for cell in cells for i in range(cell.config.trials)]
        self.launcher = LAUNCHERS[launcher]

    def made(self, runs=None):
        return make_jobs(self.runs if runs is None else runs, self.launcher)


@pytest.fixture(autouse=True)
def registered():
    composition.register_schema()


def test_trials_share_a_job_and_jobs_hold_as_many_runs_as_asked():
    assert [job[-2:] for job in Jobs("method=hier,deep", "trials=4", launcher="basic").made()] == [
        ["seed=0", "trials=4"]
    ] * 2
    jobs = Jobs("method=hier,deep", "trials=4", "runs_per_job=3", launcher="basic").made()
    assert [(job[2:4], "batch" in job[-1]) for job in jobs] == [
        (["seed=0", "trials=3"], False),
        (["seed=3", "trials=1"], True),
        (["seed=2", "trials=2"], False),
    ]


def test_only_missing_trials_are_launched():
    some = Jobs("method=hier", "trials=6", "workers=null")
    jobs = some.made([run for run in some.runs if run.seed not in (1, 2)])
    assert len(jobs) == 1
    assert jobs[0][-4:-1] == ["seed=0", "trials=1", "workers=1"]
    assert "'seed=3','trials=3','workers=1'" in jobs[0][-1]


def test_jobs_that_a_launcher_shares_out_have_one_worker_unless_asked():
    assert "workers=1" in Jobs("workers=null", "seed=0,1").made()[0]
    assert "workers=3" in Jobs("workers=3", "seed=0,1").made()[0]
    assert "workers=1" not in Jobs("workers=null", "seed=0,1", launcher="basic").made()[0]


@pytest.mark.parametrize("value", ["a b", "it's", r"back\slash", "a,b=[c]", "100%", "${name}", "~x", "{y}"])
def test_awkward_values_survive_in_a_batch(value):
    """As Hydra parses the override of a job, and the job its value."""
    cell = composition.Cell([f"mask={value}"], schema.RunConfig.__new__(schema.RunConfig))
    cell.config.runs_per_job, cell.config.workers = 2, 1
    [job] = make_jobs([Run(cell, 0), Run(cell, 5)], LAUNCHERS["slurm"])
    [parsed] = engine.parse(job[-1:])
    assert unquote(str(parsed.value()[0][0])) == f"mask={value}"


# Launchers.


@pytest.mark.parametrize("name", [name for name, launcher in LAUNCHERS.items() if launcher.extra])
def test_a_launcher_that_is_not_installed_names_the_command_that_installs_it(command, monkeypatch, name):
    monkeypatch.setattr(launchers, "_has_module", lambda target: False)
    result = command("-m", "seed=0,1", f"hydra/launcher={name}")
    assert (result.status, result.files) == (2, [])
    assert result.err == (
        f"nnmf-run: hydra/launcher={name} needs a package that is not installed: pip install 'nnmf-runner[{name}]'\n"
    )


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("-m seed=0,1 hydra/launcher=slrum", ["slrum", "basic, joblib, ray, slurm", "Did you mean 'slurm'?"]),
        ("-m seed=0,1 hydra/launcher=submitit_local", ["submitit_local", "basic, joblib, ray, slurm"]),
        ("-m seed=0,1 hydra.launcher._target_=os.system", ["hydra.launcher._target_=os.system", "BasicLauncher"]),
        ("-m seed=0,1 hydra/launcher=joblib hydra.launcher.jobs=2", ["hydra.launcher.jobs", "--cfg hydra"]),
        ("-m seed=0,1 hydra/launcher=basic,joblib", ["hydra/launcher=basic,joblib", "one value"]),
        ("seed=0 hydra/launcher=joblib", ["hydra/launcher=joblib", "Add -m"]),
        ("seed=0,1", ["seed=0,1 is several values", "Add -m", "a list has brackets"]),
        ("-m seed=range(0,0)", ["seed=range(0,0)", "no values"]),
        ("-m seed=", ["seed="]),
        ("-m seed=choice()", ["seed=choice()"]),
        ("-m threads=1,2", ["threads", "several sweeps"]),
        ("threads=0", ["threads=0"]),
        ("runs_per_job=0", ["runs_per_job=0"]),
        ("time_limit=0", ["time_limit=0"]),
        ("time_limit=-1", ["time_limit=-1"]),
        ("fail_fast=often", ["fail_fast", "often"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(command, line, parts):
    result = command(*line.split())
    assert (result.status, result.out, result.files) == (2, "", [])
    assert result.err.count("\n") == 1
    assert [part for part in parts if part not in result.err] == []


@pytest.mark.parametrize("name", LAUNCHERS)
def test_presets_name_their_class_and_pass_what_it_takes(name):
    """Where the plugin is installed, its launcher is made from the preset."""
    asked = composition.read_sweep(["-m", "seed=0,1", f"hydra/launcher={name}"])
    assert (asked.launcher, asked.target) == (name, LAUNCHERS[name].target)
    fixed = [*asked.fixed, "hydra.job.name=test", "threads=3"]
    with engine.hydra_ready():
        composed = GlobalHydra.instance().hydra.compose_config("config", fixed, run_mode=RunMode.MULTIRUN)
        container = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
        assert container.pop("_target_") == LAUNCHERS[name].target
        if importlib.util.find_spec(f"hydra_plugins.hydra_{name}_launcher") or name == "basic":
            choose_launcher(asked.launcher, asked.target)
            assert Plugins.instance()._instantiate(composed.hydra.launcher)
    if name == "slurm":
        assert container["cpus_per_task"] == 3
        assert "OPENBLAS_NUM_THREADS=3" in container["setup"][0]
        assert container["submitit_folder"] == "outputs/runs/.sweep/test/%j"


def test_a_launcher_that_cannot_run_a_job_is_one_line(command, monkeypatch):
    def refuse(*given):
        raise RuntimeError("\nno such partition\nand a long story")

    monkeypatch.setattr(launch, "launch_jobs", refuse)
    result = command("-m", "seed=0,1", *SHORT)
    assert result.status == 2
    assert result.err.splitlines()[-1] == ("nnmf-run: hydra/launcher=basic could not run a job: no such partition")


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


def test_slurms_queue_is_read_and_what_fails_is_unknown(tmp_path, monkeypatch):
    tool = tmp_path / "squeue"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    queue = queues.SlurmQueue("nnmf-abc")
    for script, count in [
        ('[ "$3" = --name=nnmf-abc ] && echo 4_1 && echo "4_[2-9%4]"', 2),
        ("true", 0),
        ("echo down >&2; exit 1", None),
    ]:
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        assert queue.count() == count
    tool.write_text('#!/bin/sh\nfor option; do [ "$option" != --states=all ] || echo 4_1; done\n')
    assert (queue.count(), queue.count(ended=True)) == (0, 1)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert queue.count() is None


def test_more_jobs_than_slurm_takes_are_refused_with_what_to_do(tmp_path, monkeypatch):
    tool = tmp_path / "scontrol"
    tool.write_text("#!/bin/sh\necho 'MaxArrayTasks = 7'\necho 'MaxArraySize            = 1001'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    queue = queues.SlurmQueue("nnmf-abc")
    queue.check(1001, 100_000)
    with pytest.raises(InputError, match=r"^10000 jobs .* the 1001 .*: runs_per_job=100 or more\.$"):
        queue.check(10_000, 100_000)
    tool.unlink()
    queue.check(10_000, 100_000)  # nobody knows


# Progress, threads and disks.


def test_a_log_gets_a_line_with_counts_and_time_left(command, monkeypatch):
    monkeypatch.setattr(launch, "LINE", 0.0)
    monkeypatch.setattr(launch, "LOOK", 0.02)
    result = command("-m", "method=deep", "seed=range(0,6)", "layers=9-4", "tol=0", "max_iter=300")
    lines = [line for line in result.err.splitlines() if " of 6 done, 0 failed, " in line]
    assert lines
    assert all(line.endswith(" left") for line in lines)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_threads_are_what_the_record_says_everywhere(script, tmp_path, launcher):
    result = script("nnmf-run", "-m", "seed=0,1", *SHORT, "threads=2", f"hydra/launcher={launcher}")
    assert (result.status, "2 done" in result.out) == (0, True)
    assert {record["blas_threads"] for record in records_below(tmp_path).values()} == {2}


def test_a_record_of_a_newer_schema_is_not_overwritten(command, tmp_path):
    command("-m", "seed=0,1", *SHORT)
    path = find_records(tmp_path)[0]
    newer = json.loads(path.read_text()) | {"schema": SCHEMA_VERSION + 1}
    path.write_text(json.dumps(newer, indent=1) + "\n")
    for result in (
        command("-m", "seed=0,1", *SHORT),
        command("seed=0", "trials=2", *SHORT),
        command("outputs/runs", program="nnmf-status"),
        command("outputs/runs", program="nnmf-collect"),
    ):
        assert result.status == 2
        assert result.out == ""
        assert f"{path.parent.name}/{RECORD} has schema version {SCHEMA_VERSION + 1}" in result.err
    assert json.loads(path.read_text()) == newer


def test_the_status_of_a_folder_that_is_not_there_is_refused(command):
    result = command("outputs/absent", program="nnmf-status")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("nnmf-status: folder=outputs/absent does not exist")


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_full_disk_is_one_line(tmp_path, launcher):
    """The limit on the size of a file stands for it: the plan can be written, factors cannot."""
    done = subprocess.run(
        [BIN / "nnmf-run", "-m", "seed=0,1", *SHORT, f"hydra/launcher={launcher}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("nnmf-run: ")
    assert "outputs/runs/" in last
    assert "File too large" in last
    assert find_records(tmp_path) == []
