"""Sweeps: what is done is not repeated, what fails is a row, several runs share a job."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.generated.toy import Toy
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.store import provenance
from nnmf_runner.store.record import RECORD, SCHEMA_VERSION, find_records, read_record

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
    assert (shown.status, shown.out.strip(), shown.err.splitlines()) == (1, result.out.splitlines()[-2], lines)


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


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("-m seed=0,1 hydra/launcher=slrum", ["slrum", "basic, ray, slurm", "Did you mean 'slurm'?"]),
        ("-m seed=0,1 hydra/launcher=submitit_local", ["submitit_local", "basic, ray, slurm"]),
        ("-m seed=0,1 hydra.launcher._target_=os.system", ["hydra.launcher._target_ is not an option"]),
        ("-m seed=0,1 hydra/launcher=joblib", ["hydra/launcher=joblib", "workers=N", "workers=null for one per core"]),
        (
            "-m seed=0,1 hydra/launcher=ray hydra.launcher.jobs=2",
            ["launcher.jobs is not", "ray.remote.num_cpus"],
        ),
        ("-m seed=0,1 hydra/launcher=basic,slurm", ["hydra/launcher=basic,slurm", "one value"]),
        ("seed=0 hydra/launcher=slurm", ["hydra/launcher=slurm", "Add -m"]),
        ("seed=0,1", ["seed=0,1 is several values", "Add -m", "a list has brackets"]),
        ("-m seed=range(0,0)", ["seed=range(0,0)", "no values"]),
        ("-m seed=", ["seed="]),
        ("-m seed=choice()", ["seed=choice()"]),
        ("-m threads=1,2", ["threads differs", "split the sweep"]),
        ("-m workers=1,2", ["workers differs", "split the sweep"]),
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


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_are_what_the_record_says_everywhere(script, tmp_path, workers):
    result = script("nnmf-run", "-m", "seed=0,1", *SHORT, "threads=2", f"workers={workers}")
    assert (result.status, "2 done" in result.out) == (0, True)
    assert {(record["threads"], record["blas_threads"]) for record in records_below(tmp_path).values()} == {(2, 1)}


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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_line(tmp_path, workers):
    """The limit on the size of a file stands for it: the plan can be written, factors cannot."""
    done = subprocess.run(
        [BIN / "nnmf-run", "-m", "seed=0,1", *SHORT, f"workers={workers}"],
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
