"""Sweeps of real processes that are really killed: runs in flight are lost at most, and run by the next command."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.store.record import find_records, read_factors, read_record
from tests.fixtures.processes import is_running, until

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
# About a second a run, so that something is in flight whenever one looks.
LONG = ["method=deep", "tol=0", "max_iter=8000"]
ENDLESS = ["method=deep", "tol=0", "max_iter=1000000000"]


class Launcher:
    """A command line at work in a session of its own."""

    def __init__(self, arguments, folder):
        self.folder = folder
        self.log = (folder / f"log{time.monotonic_ns()}").open("w+")
        command = [BIN / "nnmf-run", *arguments]
        output = {"stdout": self.log, "stderr": self.log}
        self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, start_new_session=True, **output)

    def wait(self, seconds=120.0):
        """Exit status; all that was printed is in `text`."""
        status = self.process.wait(seconds)
        self.log.seek(0)
        self.text = self.log.read()
        return status

    def kill(self):
        """Kill it and every process of its session that has not left it."""
        if not self.log.closed:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.log.close()


@pytest.fixture
def launch(tmp_path):
    """Start command lines; what a test leaves is killed."""
    started = []

    def start(*arguments):
        started.append(Launcher(arguments, tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def holders(folder):
    """Processes that have a run in flight, by the run."""
    found = {}
    for path in folder.glob("outputs/*/*/.*.claim"):
        try:
            found[path.name[1:17]] = json.loads(path.read_text())["pid"]
        except (OSError, ValueError):
            continue
    return found


def records(folder):
    """All records by their folder's name; each is whole, with its factors, and there once."""
    paths = find_records(folder / "outputs")
    for path in paths:
        assert {entry.name for entry in path.parent.iterdir()} == {"record.json", "factors.npz", "history.csv"}
        assert all(np.isfinite(factor).all() for factor in read_factors(path.parent).values())
    found = {path.parent.name: read_record(path) for path in paths}
    assert len(found) == len(paths)
    return found


def is_tidy(folder):
    """Nothing hidden is left but the plans."""
    hidden = [path for path in folder.glob("outputs/**/.*") if path.name != ".sweep"]
    return hidden == [] and {path.name for path in folder.glob("outputs/*/.sweep/*")} == {"plans"}


@pytest.mark.parametrize("workers", [1, 2])
def test_after_the_launcher_was_killed_the_same_command_runs_the_rest(launch, tmp_path, workers):
    line = ["-m", *LONG, "seed=range(0,6)", f"workers={workers}"]
    first = launch(*line)
    until(lambda: len(find_records(tmp_path)) >= 2)
    holding = until(lambda: holders(tmp_path)).values()
    first.process.kill()
    first.wait()
    until(lambda: not any(is_running(pid) for pid in holding), 30.0)
    done = records(tmp_path)
    assert 2 <= len(done) < 6
    again = launch(*line)
    assert again.wait() == 0
    assert f"{len(done)} of 6 runs are done; {6 - len(done)} to run" in again.text
    assert "6 done, 0 failed" in again.text
    after = records(tmp_path)
    assert len(after) == 6
    assert all(after[name] == record for name, record in done.items())
    assert is_tidy(tmp_path)


@pytest.mark.parametrize("sweep", [["trials=6"], ["-m", "trials=6"], ["-m", "seed=range(0,6)"]], ids=" ".join)
def test_a_killed_worker_loses_what_was_in_flight_and_nothing_else(launch, tmp_path, sweep):
    line = [*sweep, *LONG, "workers=2"]
    first = launch(*line)
    lost, pid = until(lambda: list(holders(tmp_path).items()))[0]
    os.kill(pid, signal.SIGKILL)
    assert first.wait() == 1
    assert "Traceback" not in first.text
    assert "warn" not in first.text
    done = records(tmp_path)
    assert (len(done), lost in done) == (5, False)
    (missing,) = re.findall(r"^missing: .*seed.(\d)", first.text, re.MULTILINE)
    assert {str(record["config"]["seed"]) for record in done.values()} == set("012345") - {missing}
    if "-m" in sweep:
        assert "5 done, 0 failed, 1 missing" in first.text
        assert ": its process was killed" in first.text
        status = subprocess.run([BIN / "nnmf-status", "outputs/runs"], cwd=tmp_path, capture_output=True, text=True)
        assert (status.returncode, status.stderr.count(": its process was killed")) == (1, 1)
    again = launch(*line)
    assert again.wait() == 0
    assert len(records(tmp_path)) == 6
    assert "-m" not in sweep or is_tidy(tmp_path)


def test_the_processes_of_a_pool_end_with_a_parent_that_was_killed(launch, tmp_path):
    first = launch(*ENDLESS, "trials=2", "workers=2")
    workers = until(lambda: len(holders(tmp_path)) == 2 and holders(tmp_path)).values()
    first.process.kill()
    first.wait()
    until(lambda: not any(is_running(pid) for pid in workers), 30.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_instant_a_sweep_has_whole_records_and_resumes(launch, tmp_path, workers):
    """All processes at once, as when a machine goes down; runs of a tenth of a second, to meet writes, too."""
    line = ["-m", "method=deep,hier", "layers=[9],[9,4]", "trials=10", "max_iter=100", f"workers={workers}"]
    delays, before = random.Random(0), {}
    for _ in range(6):
        running = launch(*line, "runs_per_job=4")
        until(lambda: running.process.poll() is not None or len(find_records(tmp_path)) > len(before), 60.0)  # noqa: B023
        time.sleep(delays.uniform(0.0, 0.5))
        running.kill()
        after = records(tmp_path)
        assert all(after[name] == record for name, record in before.items())
        before = after
    last = launch(*line)
    assert last.wait() == 0
    assert "40 done, 0 failed" in last.text
    assert len(records(tmp_path)) == 40
    assert is_tidy(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_two_launchers_at_once_share_the_runs_and_repeat_none(launch, tmp_path, workers):
    line = ["-m", *LONG, "max_iter=3000", "seed=range(0,8)", f"workers={workers}"]
    both = [launch(*line), launch(*line)]
    seen = {}
    while any(one.process.poll() is None for one in both):
        for path in find_records(tmp_path):
            try:
                inode = path.parent.stat().st_ino
            except FileNotFoundError:
                continue
            assert seen.setdefault(path.parent.name, inode) == inode, "a run was repeated"
        time.sleep(0.02)
    for one in both:
        assert one.wait() == 0, one.text
        assert "8 done, 0 failed" in one.text
    assert len(records(tmp_path)) == 8
    assert is_tidy(tmp_path)


def test_a_run_that_another_process_is_at_is_waited_for(launch, tmp_path):
    line = [*LONG, "max_iter=60000", "seed=0"]
    first = launch(*line)
    until(lambda: holders(tmp_path))
    second = launch(*line)
    assert (first.wait(), second.wait()) == (0, 0)
    assert "another process is at it" in second.text
    assert len(records(tmp_path)) == 1
    assert first.text.splitlines()[-5:] == second.text.splitlines()[-5:]


@pytest.mark.parametrize("to", ["group", "launcher"])
def test_control_c_ends_a_sweep_and_its_workers(launch, tmp_path, to):
    running = launch("-m", *ENDLESS, "seed=range(0,4)", "workers=2")
    workers = until(lambda: len(holders(tmp_path)) == 2 and holders(tmp_path)).values()
    (os.killpg if to == "group" else os.kill)(running.process.pid, signal.SIGINT)
    assert running.wait(60.0) == 130
    assert "Traceback" not in running.text
    assert running.text.splitlines()[-1].startswith("interrupted. ")
    assert not any(is_running(pid) for pid in workers)
    assert {record["status"] for record in records(tmp_path).values()} <= {"interrupted"}
    assert is_tidy(tmp_path)


# An iteration that never ends, and tells when it should.
HANGING = """
import os, pathlib, time
from nnmf_runner.methods.deep import Deep

def fit(self, problem, plan):
    pathlib.Path(f"begun{os.getpid()}").touch()
    while True:
        time.sleep(0.01)
        if plan.rule.progress(0, 0.0):
            pathlib.Path("told").touch()

Deep.fit = fit
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_control_c_ends_what_the_first_one_waits_for(launch, tmp_path, workers, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(HANGING)  # which every process loads as it starts
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", f"{tmp_path}{os.pathsep}{ENVIRONMENT.get('PYTHONPATH', '')}")
    running = launch("-m", "method=deep", "layers=9", "seed=0,1", f"workers={workers}")
    until(lambda: len(list(tmp_path.glob("begun*"))) == workers)
    holding = holders(tmp_path).values()
    running.process.send_signal(signal.SIGINT)
    until((tmp_path / "told").exists)
    running.process.send_signal(signal.SIGINT)
    assert running.wait() == 130
    assert "Traceback" not in running.text
    assert running.text.splitlines()[-1].startswith("interrupted. ")
    assert not any(is_running(pid) for pid in holding)
    assert records(tmp_path) == {}
