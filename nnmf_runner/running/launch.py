"""Launch a sweep and follow it to its end.

A launcher may wait for ever for a job that was killed, or end when one worker of many was: only the records tell how
the runs ended.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from nnmf_runner.config.cells import Cell
from nnmf_runner.config.composition import Sweep
from nnmf_runner.config.launchers import Launcher, choose_launcher
from nnmf_runner.config.messages import as_options, first_line
from nnmf_runner.config.schema import MOST_TRIALS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.running.interrupt import stopped_by
from nnmf_runner.running.jobs import launch_jobs, make_jobs
from nnmf_runner.running.listeners import Jobs
from nnmf_runner.running.objective import metric_of
from nnmf_runner.running.pool import run_tasks
from nnmf_runner.running.queues import QUEUES, SlurmQueue
from nnmf_runner.running.run import quiet
from nnmf_runner.running.work import Run, Work
from nnmf_runner.store.status import Status
from nnmf_runner.task import check_sweep

log = logging.getLogger(__name__)

# Seconds between two looks at the records, between two questions to a scheduler, between two lines in a log, and until
# jobs that were asked to stop are left alone.
LOOK, ASK, LINE, FAREWELL = 1.0, 10.0, 60.0, 30.0
# Configurations that take long enough to check to say so.
MANY = 500


def run_sweep(
    sweep: Sweep,
    check: Callable[[Iterable[RunConfig]], str | None] = check_sweep,
    jobs: Jobs | None = None,
    *,
    opening: bool = True,
) -> Status:
    """Run what a sweep wants and is not done yet.

    Parameters
    ----------
    sweep : Sweep
    check : callable
        Raises an `InputError` if anything is in the way of the configurations; what it returns is logged.
    jobs : Jobs, optional
        What is told of every configuration.
    opening : bool
        Whether one line says what there is to do.

    Raises
    ------
    InputError
        If the launcher or a configuration is not acceptable, before anything runs; or if no job could be launched.
    OSError
        If records cannot be written.
    """
    launcher, jobs = choose_launcher(sweep.launcher), jobs or Jobs()
    cells = read_cells(sweep)
    workers = cells[0].config.workers
    first = cells[0].config
    shared: dict[str, Any] = {"threads": sweep.threads, "workers": workers, "tracking": first.tracking}
    shared |= {"objective": first.objective, "objective_layer": first.objective_layer}
    for name, value in shared.items():
        if any(getattr(cell.config, name) != value for cell in cells):
            raise InputError(f"{name} differs within the sweep. Expected one value for all runs: split the sweep.")
    if not launcher.local and (engine := next((c.config.engine for c in cells if c.config.engine.shares_data), None)):
        raise InputError(
            f"engine={engine.name} shares out the data of every fit, and hydra/launcher={sweep.launcher} the fits of "
            "a sweep. Expected one of them."
        )
    for cell in cells:
        metric_of(cell.config)
    note = check(cell.config for cell in _shown(cells, len(cells), "checked"))
    workers = cells[0].config.processes
    jobs.awaits(cells)
    work = Work(cells)
    if opening:
        log.info("%s", work.opening(f"workers={workers}" if launcher.local else f"hydra/launcher={sweep.launcher}"))
    if note:
        log.info("%s", note)
    jobs.add(cells, work)
    try:
        with work.held(), Progress(work) as progress:
            _run_all(sweep, launcher, workers, progress, jobs)
    finally:
        work.remove_stop_files()
        jobs.close()
    status = work.status()
    if status.complete:
        work.remove_logs()
    for folder in work.logs():
        log.info("What the jobs printed is in %s", folder)
    return status


def read_cells(sweep: Sweep) -> list[Cell]:
    """Compose and check all configurations of a sweep; an `InputError` says what is wrong with one, or with so many."""
    if sweep.size >= MANY:
        log.info("Checking %d configurations before the first of them runs.", sweep.size)
    cells, runs = [], 0
    for cell in _shown(sweep.cells, sweep.size, "composed"):
        cells.append(cell)
        runs += cell.config.trials
        if runs > MOST_TRIALS:
            raise InputError(
                f"trials={cell.config.trials} is too many. Expected at most {MOST_TRIALS} runs: split the sweep."
            )
    return cells


def _shown(cells: Iterable[Cell], size: int, done: str) -> Iterator[Cell]:
    """Iterate over cells, and show how far that is: a live line on a terminal, one line a minute in a log."""
    next_line = time.monotonic() + LINE
    with tqdm(cells, f"configurations {done}", size, leave=False, delay=LOOK, disable=None) as bar:
        for number, cell in enumerate(bar, 1):
            if bar.disable and time.monotonic() >= next_line:
                next_line += LINE
                log.info("%d of %d configurations are %s.", number, size, done)
            yield cell


def _run_all(sweep: Sweep, launcher: Launcher, workers: int, progress: Progress, jobs: Jobs) -> None:
    """Run what is pending; again what killed processes have left, as long as something comes of it."""
    work, before = progress.work, None
    while not work.gives_up and (pending := work.pending()) != before:
        if launcher.local:
            _run_here(pending, workers, progress, jobs)
        elif pending:
            Launch(sweep, launcher, progress, jobs).run(pending)
        while work.others_at_work():  # another launcher, on the same folder
            time.sleep(LOOK)
            progress.look()
        before = pending
        if launcher.scheduler and any(run.seed is not None for run in work.pending()):
            break  # a scheduler has its reasons for killing a job


def _run_here(pending: Sequence[Run], workers: int, progress: Progress, jobs: Jobs) -> None:
    """Let processes of this machine run what is pending."""
    # Runs on the same data follow each other, so that every process loads them once.
    runs = sorted(pending, key=lambda run: (repr(run.cell.config.dataset), run.seed or 0))
    with quiet(), stopped_by(threading.Event()), _followed(progress):
        for task, _ in run_tasks([(run.cell.config, run.seed) for run in runs], workers, begun=jobs.begun):
            jobs.ended(*task)
    progress.work.look()


@contextmanager
def _followed(progress: Progress) -> Iterator[None]:
    """Show how far the runs are while the block lasts."""
    ended = threading.Event()

    def follow() -> None:
        period = LOOK
        try:
            while not ended.wait(period):
                period = progress.look()
        except (InputError, OSError) as error:  # which the block meets, too
            log.debug("%s", error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Launch:
    """One call of a Hydra launcher, and what it returned or raised."""

    def __init__(self, sweep: Sweep, launcher: Launcher, progress: Progress, jobs: Jobs) -> None:
        self.sweep, self.progress, self.work, self.jobs = sweep, progress, progress.work, jobs
        self.queue: SlurmQueue | None = QUEUES[launcher.scheduler](self.work.name) if launcher.scheduler else None
        self.ended = threading.Event()
        self.error: Exception | None = None  # of the launcher
        self.errors: list[Exception] = []  # of the jobs

    def run(self, pending: Sequence[Run]) -> None:
        """Launch and wait, following the records meanwhile; Ctrl-C asks the jobs to stop."""
        jobs = make_jobs(pending)
        if self.queue:
            self.queue.check(len(jobs), len(pending))
        threading.Thread(target=self._launch, args=(jobs,), daemon=True).start()
        try:
            self._follow()
        except KeyboardInterrupt:
            self._stop("PENDING", "RUNNING")
            self.ended.wait(FAREWELL)
            raise
        self.work.look()
        self.jobs.look()
        self._raise_errors(nothing_ran=len(self.work.pending()) == len(pending))

    def _launch(self, jobs: Sequence[list[str]]) -> None:
        try:
            self.errors += launch_jobs(self.sweep, self.work.name, jobs)
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    def _stop(self, *states: str) -> None:
        """Ask the jobs to stop, and take those in these states out of the queue."""
        self.work.stop()
        if self.queue:
            self.queue.cancel(*states)

    def _follow(self) -> None:
        """Show how far the runs are until the launcher has returned, or until its queue has been emptied."""
        period, asked, stopped, queued, empty = LOOK, time.monotonic(), False, False, 0
        while not self.ended.wait(period) or self._leaves_jobs():
            started = time.monotonic()
            period = self.progress.look()
            self.jobs.look()
            if self.work.gives_up and not stopped:
                stopped = True
                self._stop("PENDING")
            if self.queue and started - asked > ASK:
                asked, count = started, self.queue.count()
                queued = queued or bool(count or self.queue.count(ended=True))  # it may have ended since the last time
                empty = empty + 1 if queued and count == 0 else 0
                if empty == 2:  # a job that is about to enter or to leave may be seen nowhere for a moment
                    return

    def _leaves_jobs(self) -> bool:
        """Whether a launcher that has ended at the first job that was lost has others in the queue."""
        if not (self.error and self.queue and self.queue.count()):
            return False
        time.sleep(ASK)
        return True

    def _raise_errors(self, *, nothing_ran: bool) -> None:
        """Raise what kept records from being written, or all jobs from running; report the rest."""
        for error in self.errors:
            if isinstance(error, OSError):
                raise error
        for error in filter(None, [self.error, *self.errors]):
            line = first_line(error)
            if nothing_ran:
                raise InputError(f"hydra/launcher={self.sweep.launcher} could not run a job: {line}")
            log.warning("%s: %s", type(error).__name__, as_options(line))


class Progress:
    """One live line on a terminal, one line a minute in a log."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.started, self.done_before = time.monotonic(), len(work.over)
        self._next_line = self.started + LINE

    def __enter__(self) -> Progress:
        runs, hidden = len(self.work.runs), not sys.stderr.isatty()
        self.bar = tqdm(total=runs, initial=self.done_before, unit="run", disable=hidden, leave=False)
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def look(self) -> float:
        """Look at the records, show how far the runs are, and return the seconds until the next look."""
        started = time.monotonic()
        self.work.look()
        over, failed = len(self.work.over), self.work.failed
        self.bar.set_postfix_str(f"{self.work.running()} running, {failed} failed", refresh=False)
        self.bar.update(over - self.bar.n)
        self.bar.refresh()
        if self.bar.disable and time.monotonic() >= self._next_line:
            self._next_line += LINE
            log.info("%d of %d done, %d failed, %s left", over - failed, len(self.work.runs), failed, self._left())
        return max(LOOK, 20 * (time.monotonic() - started))  # a slow file system is left alone most of the time

    def _left(self) -> str:
        """Time that the rest takes at the pace so far."""
        finished = len(self.work.over) - self.done_before
        if not finished:
            return "unknown time"
        seconds = (time.monotonic() - self.started) / finished * (len(self.work.runs) - len(self.work.over))
        return str(tqdm.format_interval(seconds))
