"""What a sweep has to do whatever runs its jobs, seen from the command line as its user sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

BIN = Path(sys.executable).parent
# In seconds.  A program that waits for ever is what these tests are about.
PATIENCE = 180.0


def wait_for(condition: Callable[[], object], what: str, patience: float = 60.0) -> None:
    """Wait until a condition holds.

    Raises
    ------
    TimeoutError
    """
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.05)


def processes_that_name(text: str) -> list[int]:
    """Numbers of the processes, other than this one, with a text among their arguments or variables."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if text.encode() in said:
                found.append(int(entry.name))
    return found


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    status: int
    text: str


@dataclass(frozen=True)
class Running:
    """A program that was started, and what it prints."""

    process: subprocess.Popen[bytes]
    log: Path

    def finish(self) -> Done:
        """Wait for its end, and bring it about where it takes too long."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise TimeoutError(f"{self.process.args} was at it for {PATIENCE:g} s:\n{self.log.read_text()}") from None
        return Done(status, self.log.read_text())


@dataclass(frozen=True)
class Site:
    """Where sweeps run.

    Attributes
    ----------
    folder : Path
        Working directory.
    launcher : tuple of str
        Arguments that choose and set the launcher.
    environment : mapping of str to str
    """

    folder: Path
    launcher: tuple[str, ...]
    environment: Mapping[str, str]

    def start(self, *arguments: str, program: str = "nnmf-run") -> Running:
        """Begin a program, in a process group of its own."""
        # A file, since a pipe would stay open as long as any process that a killed program has started.
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".log", delete=False) as log:
            process = subprocess.Popen(
                [BIN / program, *arguments],
                cwd=self.folder,
                env={**self.environment, "TEST_SITE": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, Path(log.name))

    def call(self, *arguments: str, program: str = "nnmf-run") -> Done:
        """Run a program to its end."""
        return self.start(*arguments, program=program).finish()

    def records(self, name: str) -> dict[Path, dict[str, Any]]:
        """Records of an experiment by their paths."""
        paths = (self.folder / "outputs" / name).glob("*/*/record.json")
        return {path: json.loads(path.read_text()) for path in paths}

    def wait_for_silence(self) -> None:
        """Wait until no process is left that a program of this site has started."""
        wait_for(lambda: not processes_that_name(f"TEST_SITE={self.folder}"), "the end of all processes")

    def in_flight(self, name: str) -> list[int]:
        """Processes that are at work on runs of an experiment."""
        claims = (self.folder / "outputs" / name).glob("*/.*.claim")
        return [json.loads(text)["pid"] for claim in claims if (text := claim.read_text())]

    def table(self, name: str) -> pd.DataFrame:
        """The collected table of an experiment, but for seconds and its name."""
        done = self.call(f"outputs/{name}", "--no-figures", program="nnmf-collect")
        assert done.status == 0, done.text
        table = pd.read_csv(self.folder / "outputs" / name / "report" / "table.csv")
        return table[table["metric"] != "seconds"].drop(columns="experiment").reset_index(drop=True)


# Several cells and seeds in several jobs of several runs.
STUDY = ("-m", "method=hier,deep,neural", "layers=9,9-4", "label_fraction=0,0.4", "trials=2", "runs_per_job=8")
# A run that ends at once and one of some seconds, in a job each.
PAIR = ("-m", "method=deep", "tol=0", "max_iter=50,60000")


class SweepTests:
    """Tests of a launcher; the module of a subclass has a fixture `site`, for a whole module: jobs take seconds."""

    def kill(self, site: Site, name: str) -> None:
        """End the process that is at work on the long run as the kernel does when memory is short."""
        (process,) = site.in_flight(name)
        os.kill(process, signal.SIGKILL)

    def begin_pair(self, site: Site, name: str) -> Running:
        """Start the two runs; return when one is done and the other in flight."""
        running = site.start(*PAIR, f"name={name}", *site.launcher)
        try:
            wait_for(lambda: len(site.records(name)) == 1 and len(site.in_flight(name)) == 1, "a run in flight")
        except TimeoutError as error:
            running.process.kill()
            raise AssertionError(running.finish().text) from error
        return running

    def test_a_sweep_gives_the_table_of_the_plain_launcher_and_again_runs_nothing(self, site, plain):
        written = []
        for _ in range(2):
            done = site.call(*STUDY, "name=study", *site.launcher)
            assert done.status == 0, done.text
            assert "24 done, 0 failed" in done.text
            written.append({path: path.stat().st_mtime_ns for path in site.records("study")})
        assert len(written[0]) == 24
        assert written[0] == written[1]
        assert_frame_equal(site.table("study"), plain["study"], check_exact=True)

    def test_a_killed_job_is_listed_and_the_same_sweep_again_runs_it_alone(self, site, plain):
        self.check_kill(site, plain, "killed", self.kill)

    def check_kill(self, site: Site, plain: dict[str, pd.DataFrame], name: str, kill: Callable[[Site, str], None]):
        """Kill the job of the long run: the sweep ends and says so, its repetition mends it."""
        running = self.begin_pair(site, name)
        kill(site, name)
        done = running.finish()
        status = site.call(f"outputs/{name}", program="nnmf-status")
        for told in (done, status):
            assert told.status == 1, told.text
            assert "1 done, 0 failed, 1 missing" in told.text
            assert [line for line in told.text.splitlines() if line.startswith("missing: max_iter=60000 ")]
        ((path, record),) = site.records(name).items()
        assert record["config"]["max_iter"] == 50
        before = path.stat().st_mtime_ns

        again = site.call(*PAIR, f"name={name}", *site.launcher)
        assert again.status == 0, again.text
        assert "2 done, 0 failed" in again.text
        assert path.stat().st_mtime_ns == before
        assert_frame_equal(site.table(name), plain["pair"], check_exact=True)
        status = site.call(f"outputs/{name}", program="nnmf-status")
        assert (status.status, status.text.partition(":")[0]) == (0, "2 done, 0 failed")

    def test_a_killed_launcher_costs_no_run_and_repeats_none(self, site, plain):
        running = self.begin_pair(site, "launcher")
        running.process.kill()
        running.finish()
        again = site.call(*PAIR, "name=launcher", *site.launcher)
        assert again.status == 0, again.text
        assert len(site.records("launcher")) == 2
        assert_frame_equal(site.table("launcher"), plain["pair"], check_exact=True)

    def test_a_run_that_fails_is_a_row_and_the_rest_goes_on(self, site):
        penalties = ("method=hier", "regularisation.l1_S=10,0.01", "regularisation.l2_A=0.01")
        sweep = ("-m", *penalties, "layers=9-4", "max_iter=20", "name=failing")
        done = site.call(*sweep, *site.launcher)
        assert done.status == 1, done.text
        assert "1 done, 1 failed" in done.text
        assert [line for line in done.text.splitlines() if line.startswith("failed: regularisation.l1_S=10 ")]
        statuses = sorted(record["status"] for record in site.records("failing").values())
        assert statuses == ["failed", "max_iter"]

    def test_callbacks_and_trackers_are_told_of_every_job(self, site):
        pytest.importorskip("tensorboardX")
        ears = ("hydra/callbacks=log_job_return", "tracking=tensorboard", "tracking.figures=false")
        done = site.call(
            "-m", "method=hier", "layers=9,9-4", "seed=0,1", "max_iter=5", "name=told", *ears, *site.launcher
        )
        assert done.status == 0, done.text
        assert done.text.count("Succeeded with return value") == 4
        assert len([*(site.folder / "outputs" / "tensorboard" / "told").glob("*/run.json")]) == 4

    def test_a_search_chooses_by_what_jobs_return_and_goes_on(self, site):
        pytest.importorskip("optuna")
        search = ("hydra/sweeper=optuna", "hydra.sweeper.n_jobs=2", "tol=interval(1e-4,1e-2)", "layers=9,9-4")
        for trials in (2, 4):
            wanted = ("-m", *search, f"hydra.sweeper.n_trials={trials}", "method=hier", "max_iter=5", "name=found")
            done = site.call(*wanted, *site.launcher)
            assert done.status == 0, done.text
            assert len(site.records("found")) == trials
        errors = {record["metrics"]["relative_error"] for record in site.records("found").values()}
        assert f"best: relative_error {min(errors):.6g} with " in done.text
