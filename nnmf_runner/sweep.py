"""A sweep: what it wants, what of that is not done yet, and the jobs of a launcher that do it.

Whoever launches jobs learns from the records alone what came of them: a launcher may wait for a job that was killed, or
end when one worker of many was.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from tqdm import tqdm

from nnmf_runner.config import Cell, RunConfig, Sweep, compose_cells, hydra_ready, register_schema, resolve
from nnmf_runner.core.checks import InputError
from nnmf_runner.interrupt import StopFile, end_with, is_stopped, stopped_by
from nnmf_runner.launchers import Launcher, SlurmQueue, choose_launcher
from nnmf_runner.results.claims import clear_left
from nnmf_runner.results.plan import SWEEP_FOLDER, Wanted, labels_of, write_plan
from nnmf_runner.results.provenance import THREAD_VARIABLES, blas_threads, code, commit, same_code
from nnmf_runner.results.record import COUNTED, folder_name
from nnmf_runner.results.status import Ledger, Status, status_of
from nnmf_runner.run import check_sweep, quiet
from nnmf_runner.trials import run_trials

log = logging.getLogger(__name__)

# Seconds between two looks at the records, between two questions to a scheduler, between two lines in a log, and until
# jobs that were asked to stop are left alone.
LOOK, ASK, LINE, FAREWELL = 1.0, 10.0, 60.0, 30.0

# By which a job knows that its process is a child of the launcher's, and ends with it.
LAUNCHER_PID = "NNMF_LAUNCHER_PID"


def run_sweep(sweep: Sweep) -> Status:
    """Run what a sweep wants and is not done yet.

    Raises
    ------
    InputError
        If the launcher or a configuration is not acceptable, before anything runs; or if no job could be launched.
    OSError
        If records cannot be written.
    """
    launcher = choose_launcher(sweep.launcher, sweep.target)
    cells = list(sweep.cells)
    if any(cell.config.threads != sweep.threads for cell in cells):
        raise InputError("threads differs within the sweep. Expected one number for all: make it several sweeps.")
    check_sweep(cell.config for cell in cells)
    work = Work(cells)
    log.info("%s", work.opening(sweep.launcher))
    try:
        with Progress(work) as progress:
            _launch_all(sweep, launcher, work, progress)
    finally:
        work.remove_stop_files()
    status = work.status()
    if status.complete:
        work.remove_logs()
    return status


def _launch_all(sweep: Sweep, launcher: Launcher, work: Work, progress: Progress) -> None:
    """Launch what is pending; again where a killed worker took jobs with it that had not begun."""
    stalls = 0  # launches of which nothing came, such as when a worker is killed while it loads the data
    while stalls < 2 and not work.is_stopped():
        pending = work.pending()
        if pending:
            launch = Launch(sweep, launcher, work.name, make_jobs(pending, launcher))
            launch.run(work, progress)
            work.look()
            stalled = len(work.pending()) == len(pending)
            stalls += stalled
            if launcher.queue or not stalled or stalls == 2:
                launch.raise_errors(nothing_ran=stalled)
        while work.others_at_work():  # another launcher, on the same folder
            time.sleep(LOOK)
            work.look()
            progress.show()
        if launcher.queue or not work.pending():
            break


@dataclass(frozen=True)
class Run:
    """One trial of one configuration."""

    cell: Cell
    seed: int

    @property
    def experiment(self) -> Path:
        """The folder that holds its folder."""
        return self.cell.config.folder


class Work:
    """The runs that a sweep wants, and what has become of them.

    Parameters
    ----------
    cells : sequence of Cell

    Raises
    ------
    OSError
        If the plan cannot be written.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.name = f"nnmf-{secrets.token_hex(4)}"  # of all jobs
        self.runs: dict[tuple[Path, str], Run] = {}
        self.wanted: dict[Path, list[Wanted]] = {}
        for cell, label in zip(cells, labels_of(cell.overrides for cell in cells), strict=True):
            self._want(cell, " ".join(part for part in label.split() if not part.startswith("seed=")))
        self.ledgers = {experiment: Ledger(experiment) for experiment in self.wanted}
        for experiment, wanted in self.wanted.items():
            clear_left(experiment)
            write_plan(experiment, wanted)
        for ledger in self.ledgers.values():
            ledger.look()
        heads = {key: self._head(*key) for key in self.runs}
        counted = [key for key, head in heads.items() if head.get("status") in COUNTED]
        self.outdated = [heads[key] for key in counted if not same_code(heads[key])]
        # Those that need no record, or have got one from this sweep.
        self.over = {key for key in counted if same_code(heads[key]) and not self.runs[key].cell.config.force}
        self.failed = 0

    def _want(self, cell: Cell, label: str) -> None:
        config = cell.config
        identity = config.identity(config.seed)
        for seed in range(config.seed, config.seed + config.trials):
            name = folder_name(identity | {"seed": seed})
            if (config.folder, name) not in self.runs:  # two cells may be the same runs
                self.runs[config.folder, name] = Run(cell, seed)
                self.wanted.setdefault(config.folder, []).append(Wanted(name, f"{label} seed={seed}".strip()))

    def _head(self, experiment: Path, name: str) -> dict[str, Any]:
        return self.ledgers[experiment].heads.get(name, {})

    def look(self) -> None:
        """Take note of the records that are new."""
        for experiment, ledger in self.ledgers.items():
            for name in ledger.look():
                if (experiment, name) in self.runs and (experiment, name) not in self.over:
                    self.over.add((experiment, name))
                    self.failed += self._head(experiment, name)["status"] not in COUNTED

    def pending(self) -> list[Run]:
        """Runs that have no record yet and were not in flight in a process that was killed."""
        return [
            run
            for (experiment, name), run in self.runs.items()
            if (experiment, name) not in self.over and name not in self.ledgers[experiment].claims
        ]

    def others_at_work(self) -> bool:
        """Whether a living process holds a run that this sweep wants."""
        missing = self.runs.keys() - self.over
        return any(self.ledgers[experiment].is_held(name) for experiment, name in missing)

    def running(self) -> int:
        """Runs in flight, in this sweep's jobs or elsewhere."""
        return sum(len(ledger.claims) for ledger in self.ledgers.values())

    def opening(self, launcher: str) -> str:
        """What there is to do, in one line."""
        text = f"{', '.join(map(str, self.wanted))}: {len(self.over)} of {len(self.runs)} runs are done"
        if self.outdated:
            was, now = _version(self.outdated[0]), _version({"code": code(), "commit": commit()})
            text += f", {len(self.outdated)} by another version of the code ({was}, this is {now}) are run again"
        return f"{text}; {len(self.runs) - len(self.over)} to run (hydra/launcher={launcher})."

    def stop_files(self) -> Iterator[StopFile]:
        """What stops the jobs of this sweep, one in each experiment's folder."""
        return (StopFile(stop_path(experiment, self.name)) for experiment in self.wanted)

    def stop(self) -> None:
        """Ask all jobs to end."""
        for file in self.stop_files():
            file.set()

    def is_stopped(self) -> bool:
        """Whether jobs have been asked to end."""
        return any(file.is_set() for file in self.stop_files())

    def stops_at_failure(self) -> bool:
        """Whether a run has failed, and that should end the sweep."""
        return bool(self.failed) and any(run.cell.config.fail_fast for run in self.runs.values())

    def status(self) -> Status:
        """What has become of all runs."""
        self.look()
        status = Status()
        for experiment, wanted in self.wanted.items():
            status.add(status_of(self.ledgers[experiment], wanted))
        return status

    def remove_stop_files(self) -> None:
        """Let a later sweep begin without them; by now all jobs have ended, or been told to."""
        for file in self.stop_files():
            file.path.unlink(missing_ok=True)

    def remove_logs(self) -> None:
        """Remove what the jobs printed and were handed."""
        for experiment in self.wanted:
            shutil.rmtree(experiment / SWEEP_FOLDER / self.name, ignore_errors=True)


def _version(head: dict[str, Any]) -> str:
    return f"commit {head.get('commit')}, source {head.get('code')}"


def stop_path(experiment: Path, name: str) -> Path:
    """The file that stops the jobs of a sweep."""
    return experiment / SWEEP_FOLDER / f"{name}.stop"


def make_jobs(runs: Sequence[Run], launcher: Launcher) -> list[list[str]]:
    """Share runs out among jobs, as the override list of each.

    A job composes its first configuration from its overrides as Hydra's jobs do, and finds those of the others in the
    value of `batch`.
    """
    jobs = []
    for some in _chunks(runs):
        first, *others = [_overrides(neighbours, launcher) for neighbours in _neighbours(some)]
        batch = ",".join("[" + ",".join(f"'{quote(each, safe=_SAFE)}'" for each in other) + "]" for other in others)
        jobs.append(first + ([f"batch=[{batch}]"] if batch else []))
    return jobs


# Characters that stay readable in a quoted override; the others would need escaping in two grammars.
_SAFE = " =[],:/+.-"


def _chunks(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs that share a job: as many as `runs_per_job` says, or the trials of one configuration."""
    size = runs[0].cell.config.runs_per_job
    if size is not None:
        yield from (list(runs[i : i + size]) for i in range(0, len(runs), size))
        return
    for _, some in groupby(runs, key=lambda run: id(run.cell)):
        yield list(some)


def _neighbours(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs of one configuration whose seeds follow each other, taken together."""
    some = [runs[0]]
    for run in runs[1:]:
        if run.cell is not some[-1].cell or run.seed != some[-1].seed + 1:
            yield some
            some = []
        some.append(run)
    yield some


def _overrides(neighbours: Sequence[Run], launcher: Launcher) -> list[str]:
    """What composes neighbours."""
    cell = neighbours[0].cell
    values = {"seed": neighbours[0].seed, "trials": len(neighbours)}
    if cell.config.workers is None and not launcher.in_process:  # each job has a core of its own
        values["workers"] = 1
    kept = [override for override in cell.overrides if override.partition("=")[0] not in values]
    return kept + [f"{name}={value}" for name, value in values.items()]


def run_job(composed: DictConfig) -> None:
    """What a launcher calls, in whatever process: run the trials of one or more configurations.

    What came of them is in their records.

    Raises
    ------
    OSError
        If a record cannot be written.
    KeyboardInterrupt
        If the user has told the launcher to stop, and this is its own process.
    """
    here = HydraConfig.get()
    os.chdir(here.runtime.cwd)
    if os.environ.get(LAUNCHER_PID) == str(os.getppid()):
        end_with(os.getppid())
    register_schema()
    first = resolve(composed)
    if first.threads != blas_threads():
        raise InputError(f"threads={first.threads} cannot be had: a job found {blas_threads()} set when it began.")
    batch = [[unquote(override) for override in overrides] for overrides in first.batch]
    with quiet(), stopped_by(StopFile(stop_path(first.folder, here.job.name))):
        _run_all([first, *(cell.config for cell in compose_cells(batch))])


def _run_all(configs: Sequence[RunConfig]) -> None:
    for config in configs:
        outcomes = run_trials(config, alone=False)
        if any(outcome and outcome.interrupted for outcome in outcomes.values()) and not is_stopped():
            if os.environ.get(LAUNCHER_PID) == str(os.getpid()):
                raise KeyboardInterrupt
            return  # the launcher has been told, too, and asks all jobs to stop


class Launch:
    """One call of a Hydra launcher, and what it returned or raised.

    Parameters
    ----------
    sweep : Sweep
    launcher : Launcher
    name : str
        Of all jobs.
    jobs : sequence of list of str
        The overrides of each.
    """

    def __init__(self, sweep: Sweep, launcher: Launcher, name: str, jobs: Sequence[list[str]]) -> None:
        self.sweep, self.launcher, self.name, self.jobs = sweep, launcher, name, jobs
        self.queue: SlurmQueue | None = launcher.queue(name) if launcher.queue else None
        self.ended = threading.Event()
        self.error: Exception | None = None  # of the launcher
        self.errors: list[Exception] = []  # of the jobs

    def run(self, work: Work, progress: Progress) -> None:
        """Launch and wait, following the records meanwhile; the first Ctrl-C asks the jobs to stop."""
        if self.launcher.in_process:
            follower = threading.Thread(target=self._follow_quietly, args=(work, progress), daemon=True)
            follower.start()
            self._launch()
            follower.join()
            return
        threading.Thread(target=self._launch, daemon=True).start()
        try:
            self._follow(work, progress)
        except KeyboardInterrupt:
            work.stop()
            if self.queue:
                self.queue.cancel()
            self.ended.wait(FAREWELL)
            raise

    def _launch(self) -> None:
        try:
            returned = launch_jobs(self.sweep, self.name, self.jobs)
            # `return_value` would print the overrides of a job that failed, and raise.
            self.errors += [job._return_value for job in returned if job.status is JobStatus.FAILED]
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    def _follow(self, work: Work, progress: Progress) -> None:
        """Show how far the runs are until the launcher has returned, or until its queue has been emptied."""
        period, asked, queued, empty = LOOK, time.monotonic(), False, 0
        while not self.ended.wait(period) or self._leaves_jobs():
            started = time.monotonic()
            work.look()
            progress.show()
            period = max(LOOK, 20 * (time.monotonic() - started))  # a slow file system is left alone most of the time
            if work.stops_at_failure():
                work.stop()
            if self.queue and started - asked > ASK:
                asked, count = started, self.queue.count()
                queued = queued or bool(count)
                empty = empty + 1 if queued and count == 0 else 0
                if empty == 2:  # a job that is about to enter or to leave may be seen nowhere for a moment
                    return

    def _leaves_jobs(self) -> bool:
        """Whether a launcher that has ended at the first job that was lost has others in the queue."""
        if not (self.error and self.queue and self.queue.count()):
            return False
        time.sleep(ASK)
        return True

    def _follow_quietly(self, work: Work, progress: Progress) -> None:
        try:
            self._follow(work, progress)
        except (InputError, OSError) as error:  # which whoever launched finds, too
            log.debug("%s", error)

    def raise_errors(self, *, nothing_ran: bool) -> None:
        """Raise what kept records from being written, or all jobs from running; report the rest."""
        for error in self.errors:
            if isinstance(error, OSError):
                raise error
        for error in filter(None, [self.error, *self.errors]):
            line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            if nothing_ran:
                raise InputError(f"hydra/launcher={self.sweep.launcher} could not run a job: {line}")
            log.warning("%s: %s", type(error).__name__, line)


def launch_jobs(sweep: Sweep, name: str, jobs: Sequence[list[str]]) -> Sequence[Any]:
    """Hand jobs to Hydra's launcher, and return what it returns."""
    threads = str(sweep.threads)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, threads))
    os.environ[LAUNCHER_PID] = str(os.getpid())
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "ERROR")  # else it tells often that Slurm keeps no accounts
    with hydra_ready():
        hydra = GlobalHydra.instance().hydra
        config = hydra.compose_config("config", [*sweep.fixed, f"hydra.job.name={name}"], run_mode=RunMode.MULTIRUN)
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=run_job, config=config)
        return launcher.launch(jobs, initial_job_idx=0)


class Progress:
    """One live line on a terminal, one line a minute in a log."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.started, self.done_before = time.monotonic(), len(work.over)
        self._next_line = self.started + LINE

    def __enter__(self) -> Progress:
        terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=len(self.work.runs), initial=self.done_before, unit="run", disable=not terminal, leave=False
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def show(self) -> None:
        """Bring it up to date."""
        over, failed = len(self.work.over), self.work.failed
        self.bar.set_postfix_str(f"{self.work.running()} running, {failed} failed", refresh=False)
        self.bar.update(over - self.bar.n)
        self.bar.refresh()
        if self.bar.disable and time.monotonic() >= self._next_line:
            self._next_line += LINE
            log.info("%d of %d done, %d failed, %s left", over - failed, len(self.work.runs), failed, self._left())

    def _left(self) -> str:
        """Time that the rest takes at the pace so far."""
        finished = len(self.work.over) - self.done_before
        if not finished:
            return "unknown time"
        seconds = (time.monotonic() - self.started) / finished * (len(self.work.runs) - len(self.work.over))
        return str(tqdm.format_interval(seconds))
